//! Transitions of shards in SQLite, on a real file with every sync.
//!
//! The file is in the folder for temporary files. Set `TMPDIR` to a folder on the disk of interest: on a file system in
//! memory, syncs cost nothing.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_core::{Ledger as _, ShardState};
use lmbatch_ledger::SqliteLedger;

#[expect(dead_code, reason = "the tables of version 1 are for the tests")]
#[path = "../tests/records/mod.rs"]
mod records;

fn main() {
    divan::main();
}

/// Applies one transition durably, from planned to created or back; counts the bytes of the record as JSON.
#[divan::bench]
fn apply_one_transition(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let ledger = runtime.block_on(SqliteLedger::open(&folder.path().join("ledger.db")));
    let ledger = ledger.unwrap();
    let mut shard = records::shard("r", 0);
    let run = records::run("r");
    let begun = ledger.begin(&run, std::slice::from_ref(&shard));
    runtime.block_on(begun).unwrap();
    let states = [records::created(), ShardState::Planned];
    let mut states = states.into_iter().cycle();
    let size = serde_json::to_vec(&shard).unwrap().len();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        shard.state = states.next().unwrap();
        shard.epoch = runtime.block_on(ledger.advance(&shard)).unwrap();
    });
    runtime.block_on(ledger.close()).unwrap();
}
