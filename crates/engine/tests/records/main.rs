//! Runs in a record: what is sent again, read again, found again and never paid again.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod broken;
mod incomplete;
mod record;
mod rollback;
mod tokens;
mod whole;
mod world;
