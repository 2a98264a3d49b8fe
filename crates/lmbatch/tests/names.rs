//! Types of public signatures, named through the facade alone.
#![cfg(all(feature = "durable", feature = "openai"))]

use std::any::type_name;
use std::future::IntoFuture as _;

use lmbatch::durable::Durable as _;
use lmbatch::{LMInvoker, Outcome, adapter, engine, record};

/// The types that signatures name and that a program may have to write down.
#[test]
fn every_type_that_a_signature_names_has_a_path_in_the_facade() {
    let names = [
        type_name::<lmbatch::BatchClass>(),
        type_name::<lmbatch::BatchProblem>(),
        type_name::<lmbatch::Decision>(),
        type_name::<lmbatch::IdRule>(),
        type_name::<lmbatch::Label>(),
        type_name::<lmbatch::Nonce>(),
        type_name::<lmbatch::ParameterError>(),
        type_name::<lmbatch::SchemaMode>(),
        type_name::<lmbatch::UnknownWord>(),
        type_name::<dyn lmbatch::Clock>(),
        type_name::<dyn lmbatch::Observer>(),
        type_name::<dyn lmbatch::Rng>(),
        type_name::<adapter::Certainty>(),
        type_name::<adapter::Connection>(),
        type_name::<adapter::Intent>(),
        type_name::<adapter::OutcomeView<'_>>(),
        type_name::<adapter::RemoteObject>(),
        type_name::<adapter::Shard>(),
        type_name::<adapter::Staged>(),
        type_name::<dyn adapter::BatchCodec>(),
        type_name::<dyn adapter::BatchProvider>(),
        type_name::<dyn adapter::ProviderFactory>(),
        type_name::<engine::AnsweredRequest<'_>>(),
        type_name::<engine::BadInput>(),
        type_name::<engine::RequestEntry<'_>>(),
        type_name::<engine::RunResults>(),
        type_name::<engine::OutcomeReader>(),
        type_name::<engine::Plan>(),
        type_name::<engine::PlanError>(),
        type_name::<engine::RunOptions>(),
        type_name::<dyn engine::RequestSource>(),
        type_name::<record::RunFilter>(),
        type_name::<record::RunRecord>(),
        type_name::<record::ShardRecord>(),
        type_name::<dyn record::Ledger>(),
        type_name::<dyn record::Spool>(),
    ];
    assert!(names.iter().all(|name| name.contains("lmbatch")));
}

fn invoker() -> LMInvoker {
    let clock = std::sync::Arc::new(lmbatch_testing::TestClock::default());
    let script = lmbatch_testing::Script::default();
    let provider = lmbatch_testing::MemoryProvider::new(clock.clone(), script);
    LMInvoker::new(provider, "m").clock(clock)
}

#[tokio::test]
async fn a_durable_invoker_is_opened_by_one_call_and_can_leave_its_function() {
    async fn opened(folder: std::path::PathBuf) -> lmbatch::Result<LMInvoker> {
        invoker().durable(folder).await
    }
    let folder = tempfile::tempdir().unwrap();
    let first = opened(folder.path().join("state")).await.unwrap();
    let run = first.batch().invoke([("a", "one")]).named("n");
    let outcomes = tokio::spawn(run.into_future()).await.unwrap().unwrap();
    assert_eq!(outcomes["a"].as_result().unwrap().text(), "one");
    // The record outlives the invoker: another provider is not asked again.
    drop(first);
    let second = opened(folder.path().join("state")).await.unwrap();
    let output = second.batch().run("n").await.unwrap();
    assert_eq!((output.requests(), output.batches().len()), (1, 1));
}

#[tokio::test]
async fn the_question_mark_works_in_three_worlds() {
    async fn plain(outcome: Outcome<u8>) -> lmbatch::Result<u8> {
        Ok(*outcome.as_result()? + outcome.into_result()?)
    }
    async fn boxed(outcome: Outcome<u8>) -> Result<u8, Box<dyn std::error::Error>> {
        let outcomes = [outcome];
        Ok(*outcomes[0].as_result()?)
    }
    let four = || Outcome::Succeeded {
        value: 4,
        problem: None,
    };
    assert_eq!(plain(four()).await.unwrap(), 8);
    assert_eq!(boxed(four()).await.unwrap(), 4);
    assert!(plain(Outcome::Expired).await.is_err());
    assert!(boxed(Outcome::Missing).await.is_err());
}
