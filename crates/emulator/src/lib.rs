//! The providers' batch APIs, served on localhost for tests.
