//! Test doubles for lmbatch: a clock, a provider, builders.
