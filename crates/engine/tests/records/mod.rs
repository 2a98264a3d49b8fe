//! Runs in a ledger: what is sent again, read again and found again, and never paid for twice.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod broken;
mod doubts;
mod incomplete;
mod patience;
mod record;
mod rollback;
mod tokens;
mod whole;
mod world;
