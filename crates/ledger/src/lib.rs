//! The durable record of runs, on SQLite.
