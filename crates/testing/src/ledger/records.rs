//! Sample records for clauses of ledgers and for other tests.

use std::collections::BTreeMap;

use lmbatch_core::{
    AccountId, BatchClass, BatchId, BatchSnapshot, BatchStatus, CreateToken, IdRule, Intent, Label,
    Nonce, Proof, ProviderId, Rng, RunRecord, ShardKey, ShardRecord, ShardState, Staged,
};

use crate::TestRng;

/// Returns an unfinished run without a name, under the account `v2-own`. Its digest and nonce are derived from its
/// id.
pub fn run(id: &str) -> RunRecord {
    let seed = id.bytes().fold(7_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let rng: &dyn Rng = &TestRng::new(seed);
    let nonce = Nonce::draw(rng);
    RunRecord {
        id: id.into(),
        name: None,
        digest: format!("digest of {id}").into(),
        provider: ProviderId::new("p"),
        account: AccountId::new("v2-own"),
        key_hint: Some("key".into()),
        ids: IdRule::Ordinal(nonce.clone()),
        nonce,
        requests: 3,
        pilot_of: None,
        attempt: 0,
        requested_attempt: 0,
        order: None,
        created_at: lmbatch_core::parse_time("2026-11-23T10:00:00.123456789Z"),
        finished: false,
        cancelled: false,
        cleaned: None,
        answers_deleted_at: None,
        checksums: [("echo".into(), 7)].into(),
        notes: [("output".into(), format!("{id}.jsonl").into())].into(),
        epoch: 0,
    }
}

/// Returns a planned shard of two requests.
pub fn shard(run: &str, number: u32) -> ShardRecord {
    ShardRecord {
        key: ShardKey {
            run: run.into(),
            shard: number,
        },
        label: Label::new(format!("label-{run}-{number}")),
        class: class(),
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

fn class() -> BatchClass {
    BatchClass {
        model: Some("m".into()),
        endpoint: "/x".into(),
        route: "file".into(),
        variant: BTreeMap::new(),
    }
}

/// Returns the state of a shard whose create returned `batch`.
pub fn created(batch: &str) -> ShardState {
    ShardState::Created {
        batch: BatchId::new(batch),
        proof: Proof::proved("its create was answered"),
    }
}

/// Returns the final status of a batch.
pub fn snapshot(batch: &str) -> BatchSnapshot {
    BatchSnapshot::new(BatchId::new(batch), BatchStatus::Completed)
}

/// Returns the intent of a create, with `other` as its watermark and as an unrelated batch.
pub fn intent(other: &str) -> Intent {
    Intent {
        label: Label::new("label"),
        class: class(),
        count: 2,
        bytes: 99,
        staged: Staged::default(),
        token: CreateToken::new("token"),
        posted_at: lmbatch_core::parse_time("2026-11-23T10:00:00Z"),
        watermark: Some(BatchId::new(other)),
        watermark_at: None,
        foreign_batches: vec![BatchId::new(other)],
    }
}
