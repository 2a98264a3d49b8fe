//! Records for the tests of ledgers.

use std::collections::BTreeMap;

use lmbatch_core::{
    AccountId, BatchClass, BatchId, IdRule, Label, Nonce, Proof, ProviderId, RunRecord, ShardKey,
    ShardRecord, ShardState,
};

pub(crate) fn run(id: &str) -> RunRecord {
    let nonce: Nonce = serde_json::from_str("\"abcdefghijkl\"").unwrap();
    RunRecord {
        id: id.into(),
        name: Some("mine".into()),
        digest: "d".into(),
        provider: ProviderId::new("p"),
        account: AccountId::new("a"),
        key_hint: None,
        ids: IdRule::Ordinal(nonce.clone()),
        nonce,
        requests: 3,
        pilot_of: None,
        attempt: 0,
        requested_attempt: 0,
        order: None,
        created_at: lmbatch_core::parse_time("2026-11-23T10:00:00Z"),
        finished: false,
        cancelled: false,
        cleaned: None,
        answers_deleted_at: None,
        epoch: 0,
        checksums: [("echo".into(), 7)].into(),
        notes: [("output".into(), "out.jsonl".into())].into(),
    }
}

pub(crate) fn shard(run: &str, number: u32) -> ShardRecord {
    ShardRecord {
        key: ShardKey {
            run: run.into(),
            shard: number,
        },
        label: Label::new(format!("l-{number}")),
        class: BatchClass {
            model: Some("m".into()),
            endpoint: "/x".into(),
            route: "file".into(),
            variant: BTreeMap::new(),
        },
        count: 2,
        bytes: 99,
        checksum: Some(8),
        tables: None,
        attempt: 0,
        repair: false,
        epoch: 0,
        state: ShardState::Planned,
        proof: None,
        progress: Default::default(),
        doubted: None,
        remote_objects: Vec::new(),
        sent_twice: false,
        cost: None,
    }
}

pub(crate) fn created() -> ShardState {
    ShardState::Created {
        batch: BatchId::new("b1"),
        proof: Proof::proved("its create was answered"),
    }
}

/// Tables of a version 1 ledger.
pub(crate) const FIRST: &str = "
    CREATE TABLE run (id TEXT PRIMARY KEY, number INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
    CREATE TABLE shard (run TEXT NOT NULL REFERENCES run(id) ON DELETE CASCADE, number INTEGER NOT NULL,
        epoch INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (run, number)) STRICT;
    PRAGMA user_version = 1;";
