//! Calls that an operation makes, and those that it does not make.

use std::sync::Arc;

use lmbatch_core::{
    AccountId, BatchClass, BatchHandle, BatchId, BatchSnapshot, BatchStatus, Certainty, Error,
    ErrorKind, Label, Ledger, Proof, Retry, ShardKey, ShardRecord, ShardState,
};
use lmbatch_testing::TestClock;
use mockall::Sequence;
use mockall::predicate::eq;

use crate::client::invoker::LMInvoker;
use crate::context::Context;
use crate::memory::MemoryLedger;
use crate::mock::MockProvider;
use crate::policy::RunOptions;
use crate::services::fixture::recorded_run;

fn invoker(provider: MockProvider) -> LMInvoker {
    LMInvoker::new(provider, "a-model").clock(Arc::new(TestClock::default()))
}

#[tokio::test]
async fn a_check_asks_for_the_model_alone_and_repeats_temporary_failures() {
    let busy = || Error::new(ErrorKind::ProviderOverloaded).with_retry(Retry::Temporary);
    let (mut provider, mut order) = (MockProvider::new(), Sequence::new());
    for answer in [
        Ok(()),
        Err(busy()),
        Err(Error::new(ErrorKind::ModelNotFound)),
    ] {
        provider
            .expect_probe()
            .with(eq("a-model"))
            .times(1)
            .in_sequence(&mut order)
            .return_once(|_| answer);
    }
    let invoker = invoker(provider);
    invoker.check().await.unwrap();
    let error = invoker.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{error}");
}

/// Returns a shard of the recorded run whose batch exists.
fn created(number: u32, certainty: Certainty) -> ShardRecord {
    ShardRecord {
        key: ShardKey {
            run: "r-1".into(),
            shard: number,
        },
        label: Label::new(format!("lmbatch-abcdefghijkl-{number}")),
        class: BatchClass::new("/v1", "file"),
        count: 1,
        bytes: 0,
        checksum: None,
        tables: None,
        attempt: 0,
        repair: false,
        epoch: 0,
        state: ShardState::Created {
            batch: BatchId::new(format!("b{number}")),
            proof: Proof {
                certainty,
                evidence: "test".into(),
            },
        },
        progress: Default::default(),
        proof: None,
        doubted: None,
        remote_objects: Vec::new(),
        sent_twice: false,
        cost: None,
    }
}

#[tokio::test]
async fn a_cancelled_run_cancels_its_proved_batches_and_no_presumed_one() {
    let (mut provider, mut order) = (MockProvider::new(), Sequence::new());
    provider
        .expect_account()
        .returning(|| AccountId::from("mine"));
    // A second batch is cancelled even if the first cannot be.
    let gone = Error::new(ErrorKind::BatchNotFound);
    for (batch, answer) in [("b0", Err(gone)), ("b2", Ok(()))] {
        provider
            .expect_cancel()
            .with(eq(BatchId::new(batch)))
            .times(1)
            .in_sequence(&mut order)
            .return_once(|_| answer);
    }
    let ledger = Arc::new(MemoryLedger::default());
    let shards = [
        created(0, Certainty::Proved),
        created(1, Certainty::Presumed),
        created(2, Certainty::Token),
    ];
    let run = recorded_run(None);
    ledger.begin(&run, &shards).await.unwrap();
    let context = Context {
        ledger: ledger.clone(),
        ..Context::new(Arc::new(provider))
    };
    let error = context.cancel_run(&run).await.unwrap_err();
    assert_eq!(error.batch(), Some(&BatchId::new("b0")));
    assert!(ledger.run(&run.id).await.unwrap().unwrap().cancelled);
}

#[tokio::test]
async fn a_wait_asks_for_the_status_alone_until_the_batch_has_ended() {
    let (mut provider, mut order) = (MockProvider::new(), Sequence::new());
    for _ in 0..3 {
        provider
            .expect_status()
            .times(1)
            .in_sequence(&mut order)
            .returning(|batch| Ok(BatchSnapshot::new(batch.clone(), BatchStatus::InProgress)));
    }
    let context = Context {
        clock: Arc::new(TestClock::default()),
        ..Context::new(Arc::new(provider))
    };
    let options = RunOptions {
        max_polls: Some(3),
        ..RunOptions::default()
    };
    let handle = BatchHandle::new(
        "p".into(),
        AccountId::from("mine"),
        BatchId::new("b"),
        BatchClass::new("/v1", "file"),
        ["a"],
    );
    let error = context.wait_for(&handle, &options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}
