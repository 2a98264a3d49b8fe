//! The operations over a provider in memory: prepared and presumed creates, late results, rows
//! without ids, typed answers, streams.

use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Certainty, Delivery, Error, ErrorKind, Ledger as _,
    Outcome, Retry, RunFilter, ShardState,
};
use lmbatch_engine::{BatchLimit, DoubtPolicy, LMInvoker, MemoryLedger, OnDoubt, Prepared};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 2] = [("a/ü", "one"), ("b", "two")];

fn world(script: Script) -> (Arc<MemoryProvider>, LMInvoker) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    (provider, invoker)
}

fn lost() -> Error {
    Error::new(ErrorKind::ProviderInternal)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

#[tokio::test]
async fn a_presumed_batch_is_adopted_once_it_alone_matches_twice_in_a_row() {
    for (blind_looks, looks) in [(0, vec![0, 5]), (2, vec![0, 5, 15, 30])] {
        let (provider, invoker) = world(Script {
            accepted_unseen: [lost()].into(),
            certainty: Some(Certainty::Presumed),
            blind_looks,
            ..Script::default()
        });
        let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
        assert_eq!(provider.times("find"), looks);
        assert_eq!(
            (provider.times("create").len(), provider.accepted()),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn several_matching_batches_are_not_adopted_and_none_is_created() {
    let (provider, invoker) = world(Script {
        accepted_unseen: [lost()].into(),
        certainty: Some(Certainty::Presumed),
        lookalikes: 1,
        ..Script::default()
    });
    let error = invoker.batch().invoke(ASKED).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Doubt, Delivery::Unknown)
    );
    assert!(
        error
            .to_string()
            .contains("several batches may be that of this create: foreign0, b1"),
        "{error}"
    );
    assert_eq!(provider.times("create").len(), 1);
}

/// A page that was not read may hold the batch, so that no create is sent again, even where the
/// input can be deleted and the caller has chosen to resubmit.
#[tokio::test]
async fn a_list_that_repeats_a_page_ends_and_proves_nothing() {
    let (provider, invoker) = world(Script {
        accepted_unseen: [lost()].into(),
        circles: true,
        fences: true,
        uploads: true,
        ..Script::default()
    });
    let invoker = invoker.on_doubt(OnDoubt::Resubmit);
    let error = invoker.batch().invoke(ASKED).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt);
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (1, 1)
    );
    // Each search reads the first page and both pages of the circle.
    let looks = DoubtPolicy::default().waits.len();
    assert_eq!(provider.times("find").len(), 3 * looks);
}

#[tokio::test]
async fn a_presumed_batch_of_another_program_returns_the_create_to_doubt() {
    let (provider, invoker) = world(Script {
        creates: [Some(lost())].into(),
        certainty: Some(Certainty::Presumed),
        lookalikes: 1,
        rows: Some(b"{\"id\":\"x\",\"text\":\"y\"}\n".to_vec()),
        ..Script::default()
    });
    let error = invoker.batch().invoke(ASKED).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt);
    // The search begins again and excludes that batch.
    assert!(
        error
            .to_string()
            .contains("no batch of this create has appeared"),
        "{error}"
    );
    assert_eq!(provider.times("create").len(), 1);
    assert!(provider.times("find").len() > 9);
}

/// For each choice about doubts: the number of creates, and whether the run ends.
#[tokio::test]
async fn a_resumed_run_rejects_a_foreign_batch_and_applies_the_choice_about_doubts() {
    for (on_doubt, creates, ends) in [
        (OnDoubt::Hold, 1, false),
        (OnDoubt::Abandon, 1, true),
        (OnDoubt::Resubmit, 2, true),
    ] {
        let (provider, invoker) = world(Script {
            creates: [Some(lost())].into(),
            certainty: Some(Certainty::Presumed),
            lookalikes: 1,
            statuses: [Ok(BatchStatus::InProgress)].into(),
            // Rows of the foreign batch only; a batch of this program echoes its requests.
            rows_of: Some((
                BatchId::new("foreign0"),
                b"{\"id\":\"x\",\"text\":\"y\"}\n".to_vec(),
            )),
            ..Script::default()
        });
        let ledger = Arc::new(MemoryLedger::default());
        let spool = Arc::new(lmbatch_engine::TemporarySpool::new().unwrap());
        let invoker = invoker.record(ledger.clone(), spool).on_doubt(on_doubt);
        let asked = || invoker.batch().invoke(ASKED).named("mine");
        asked().max_iterations(1).await.unwrap_err();
        // A process died after it had recorded the end, and nothing more.
        let run = ledger
            .all_runs(RunFilter::default())
            .await
            .unwrap()
            .remove(0);
        let shard = ledger.shards(&run.id).await.unwrap().remove(0);
        let proof = shard.proof.clone().unwrap();
        assert_eq!(
            (proof.certainty, &*proof.evidence),
            (Certainty::Presumed, "label")
        );
        let end = BatchSnapshot::new(BatchId::new("foreign0"), BatchStatus::Completed);
        let ended = ShardState::Ended(end);
        ledger.advance(&shard.advanced(ended)).await.unwrap();
        let result = asked().await;
        assert_eq!(result.is_ok(), ends, "{on_doubt:?}: {result:?}");
        assert_eq!(provider.times("create").len(), creates, "{on_doubt:?}");
        match result {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Doubt),
            Ok(outcomes) => {
                let usable = outcomes.iter().all(|(_, outcome)| outcome.is_usable());
                assert_eq!(usable, on_doubt == OnDoubt::Resubmit, "{outcomes:?}");
            }
        }
    }
}

#[tokio::test]
async fn rows_of_a_foreign_batch_do_not_affect_those_of_other_batches() {
    let (_, invoker) = world(Script {
        creates: [Some(lost())].into(),
        certainty: Some(Certainty::Presumed),
        lookalikes: 1,
        rows_of: Some((
            BatchId::new("foreign0"),
            b"{\"id\":\"x\",\"text\":\"y\"}\n".to_vec(),
        )),
        ..Script::default()
    });
    let spool = Arc::new(lmbatch_engine::TemporarySpool::new().unwrap());
    let invoker = invoker.record(Arc::new(MemoryLedger::default()), spool);
    let invoker = invoker.batch_limit(BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    });
    let asked = |invoker: &LMInvoker| {
        let invoker = invoker.clone();
        async move { invoker.batch().invoke(ASKED).named("mine").await }
    };
    assert_eq!(asked(&invoker).await.unwrap_err().kind(), ErrorKind::Doubt);
    let outcomes = asked(&invoker.on_doubt(OnDoubt::Resubmit)).await.unwrap();
    let texts: Vec<String> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.as_result().unwrap().text())
        .collect();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn a_prepared_create_is_sent_at_once_in_its_process_and_searched_for_first_in_another() {
    let (provider, invoker) = world(Script::default());
    let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
    assert_eq!(provider.accepted(), 0);
    let kept = serde_json::to_string(&prepared).unwrap();
    let handle = invoker
        .batch()
        .create(ASKED)
        .find_or_create(prepared)
        .await
        .unwrap();
    assert_eq!((provider.accepted(), provider.times("find").len()), (1, 0));

    let restored: Prepared = serde_json::from_str(&kept).unwrap();
    let same = invoker
        .batch()
        .create(ASKED)
        .find_or_create(restored.clone())
        .await
        .unwrap();
    assert_eq!(same, handle);
    assert_eq!((provider.accepted(), provider.times("find").len()), (1, 1));
    let outcomes = invoker.batch().retrieve(&same).await.unwrap();
    assert_eq!(outcomes["a/ü"].as_result().unwrap().text(), "one");

    let other = invoker.batch().create([("a/ü", "one"), ("b", "three")]);
    let error = other.find_or_create(restored).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .contains("not the requests that were prepared"),
        "{error}"
    );
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn a_create_prepared_elsewhere_is_sent_only_where_no_earlier_one_can_appear() {
    // Whether the input can be deleted first, the choice about doubts, the number of searches, and
    // whether the batch is created.
    for (fences, on_doubt, looks, created) in [
        (true, OnDoubt::Hold, 10, true),
        (false, OnDoubt::Hold, 9, false),
        (false, OnDoubt::Resubmit, 9, true),
    ] {
        let (provider, invoker) = world(Script {
            fences,
            ..Script::default()
        });
        let invoker = invoker.on_doubt(on_doubt);
        let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
        let kept = serde_json::to_string(&prepared.sending()).unwrap();
        let restored: Prepared = serde_json::from_str(&kept).unwrap();
        let create = invoker.batch().create(ASKED).find_or_create(restored);
        let result = create.await.map(drop).map_err(|error| error.kind());
        let expected = if created {
            Ok(())
        } else {
            Err(ErrorKind::Doubt)
        };
        assert_eq!(result, expected, "{on_doubt:?}");
        let (finds, creates) = (provider.times("find"), provider.times("create"));
        assert_eq!((finds.len(), creates.len()), (looks, usize::from(created)));
        assert!(creates.iter().all(|at| at >= finds.last().unwrap()));
    }
}

#[tokio::test]
async fn a_second_copy_of_a_prepared_create_is_searched_for_before_it_is_sent() {
    let (provider, invoker) = world(Script {
        accepted_unseen: [lost()].into(),
        blind_looks: DoubtPolicy::default().waits.len() as u32,
        ..Script::default()
    });
    let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
    let first = invoker
        .batch()
        .create(ASKED)
        .find_or_create(prepared.clone());
    assert_eq!(first.await.unwrap_err().kind(), ErrorKind::Doubt);
    let second = invoker.batch().create(ASKED).find_or_create(prepared);
    assert_eq!(second.await.unwrap().batch, BatchId::new("b1"));
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_presumed_batch_that_disappears_is_rejected() {
    let (provider, invoker) = world(Script {
        creates: [Some(lost())].into(),
        certainty: Some(Certainty::Presumed),
        lookalikes: 1,
        reads: [Error::new(ErrorKind::FileNotFound)].into(),
        ..Script::default()
    });
    let invoker = invoker.on_doubt(OnDoubt::Resubmit);
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (2, 1)
    );
}

#[tokio::test]
async fn early_exit_reports_the_permanent_failure() {
    let (_, invoker) = world(Script {
        creates: [None, Some(lost())].into(),
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let invoker = invoker.batch_limit(BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    });
    let error = invoker.batch().invoke(ASKED).max_iterations(1).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Doubt);
}

/// The provider accepts every create and loses every response.
#[tokio::test]
async fn a_create_whose_every_response_is_lost_is_sent_at_most_twice() {
    for (fences, on_doubt, creates) in [
        (false, OnDoubt::Hold, 1),
        (true, OnDoubt::Hold, 2),
        (false, OnDoubt::Resubmit, 2),
        (true, OnDoubt::Resubmit, 2),
    ] {
        let (provider, invoker) = world(Script {
            creates: std::iter::repeat_with(|| Some(lost())).take(20).collect(),
            fences,
            ..Script::default()
        });
        let error = invoker.on_doubt(on_doubt).batch().invoke(ASKED).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Doubt);
        assert_eq!(provider.times("create").len(), creates, "{on_doubt:?}");
    }
}

#[tokio::test]
async fn late_results_are_awaited() {
    let (provider, invoker) = world(Script {
        late_results: 3,
        ..Script::default()
    });
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(provider.times("results"), [0, 2, 5, 9]);
}

#[tokio::test]
async fn results_that_never_arrive_are_missing_once_they_are_given_up() {
    let (provider, invoker) = world(Script {
        late_results: u32::MAX,
        ..Script::default()
    });
    let handle = invoker.batch().create(ASKED).await.unwrap();
    let retrieved = invoker.batch().retrieve(&handle).await;
    let invoked = invoker.batch().invoke(ASKED).await;
    for error in [retrieved.unwrap_err(), invoked.unwrap_err()] {
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Timeout, Retry::Temporary)
        );
    }
    let last = *provider.times("results").last().unwrap();
    assert!((1800..2000).contains(&last), "{last}");
    let invoker = invoker.on_doubt(OnDoubt::Abandon);
    let words = |outcomes: &lmbatch_engine::Outcomes| {
        let words = outcomes
            .iter()
            .map(|(_, outcome)| outcome.status().as_str());
        words.collect::<Vec<_>>()
    };
    let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
    assert_eq!(words(&outcomes), ["missing", "missing"]);
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(words(&outcomes), ["missing", "missing"]);
}

#[tokio::test]
async fn a_failed_fetch_does_not_block_other_batches() {
    let (provider, invoker) = world(Script {
        reads: [Error::new(ErrorKind::FileNotFound)].into(),
        ..Script::default()
    });
    let ledger = Arc::new(MemoryLedger::default());
    let spool = Arc::new(lmbatch_engine::TemporarySpool::new().unwrap());
    let one = BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    };
    let invoker = invoker.record(ledger.clone(), spool).batch_limit(one);
    let asked = || invoker.batch().invoke(ASKED).named("mine");
    let error = asked().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileNotFound);
    let run = ledger
        .all_runs(RunFilter::default())
        .await
        .unwrap()
        .remove(0);
    let shards = ledger.shards(&run.id).await.unwrap();
    let sealed =
        |shard: &lmbatch_core::ShardRecord| matches!(shard.state, ShardState::Sealed { .. });
    // Either batch may have been read first.
    assert_eq!(shards.iter().filter(|shard| sealed(shard)).count(), 1);
    // The results that are read later do not overwrite those of the other batch.
    let outcomes = asked().await.unwrap();
    let texts: Vec<String> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.as_result().unwrap().text())
        .collect();
    assert_eq!(texts, ["one", "two"]);
    assert_eq!(provider.accepted(), 2);
}

#[tokio::test]
async fn w2_rows_without_an_id_are_numbered_or_named_by_the_caller() {
    let rows = "{\"text\":\"1st\"}\n{\"id\":\"own\",\"text\":\"named\"}\n{\"text\":\"2nd\"}\n";
    let (_, invoker) = world(Script {
        rows: Some(rows.into()),
        ..Script::default()
    });
    let batch = BatchId::new("b1");
    let found = |names: &'static [&'static str]| {
        let (invoker, batch) = (invoker.clone(), batch.clone());
        async move {
            let operations = invoker.batch();
            let outcomes = operations
                .retrieve_rows_as(&batch, names.iter().copied())
                .await
                .unwrap();
            let texts = outcomes
                .iter()
                .map(|(id, outcome)| (id.to_string(), outcome.as_result().unwrap().text()));
            texts.collect::<Vec<_>>()
        }
    };
    let pair = |id: &str, text: &str| (id.to_owned(), text.to_owned());
    assert_eq!(
        found(&[]).await,
        [
            pair("row-without-id-1", "1st"),
            pair("own", "named"),
            pair("row-without-id-2", "2nd")
        ]
    );
    assert_eq!(
        found(&["x"]).await,
        [
            pair("x", "1st"),
            pair("own", "named"),
            pair("row-without-id-2", "2nd")
        ]
    );
    let taken = invoker.batch().retrieve_rows_as(&batch, ["own"]).await;
    let error = taken.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(error.batch(), Some(&batch));
}

#[tokio::test]
async fn typed_answers_are_values_of_the_type_or_errors() {
    #[derive(Debug, PartialEq, serde::Deserialize, schemars::JsonSchema)]
    struct Sum {
        number: i64,
    }
    let (_, invoker) = world(Script::default());
    let asked = [
        ("good", r#"{"number": 4}"#),
        ("bad", r#"{"number": "four"}"#),
        ("no", "four"),
    ];
    let sums = invoker.batch().invoke_as::<Sum>(asked).await.unwrap();
    assert_eq!(sums["good"].as_result().unwrap(), &Sum { number: 4 });
    for id in ["bad", "no"] {
        let error = sums[id].as_result().unwrap_err();
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::InvalidStructured, true)
        );
        let words = if id == "bad" {
            "at /number: "
        } else {
            "not JSON"
        };
        assert!(error.message().unwrap().contains(words), "{error:?}");
        let output = sums.output(id).unwrap();
        assert!(!output.text().is_empty());
        let place = output.schema_error().map(|error| error.path.as_str());
        assert_eq!(place, Some(if id == "bad" { "/number" } else { "" }));
    }
    assert!(sums.output("good").unwrap().schema_error().is_none());
}

#[tokio::test]
async fn a_schema_that_cannot_be_validated_is_refused_before_anything_is_sent() {
    let of = |money: serde_json::Value| serde_json::json!({"type": "object", "properties": {"a": money}});
    for schema in [
        of(serde_json::json!({"type": "strng"})),
        of(serde_json::json!({"$ref": "https://schemas.test/a.json"})),
        of(serde_json::json!({"$ref": "#/$defs/none"})),
        serde_json::json!([1]),
        serde_json::json!(true),
        serde_json::json!({"name": "x", "strict": true, "schema": {"type": "object"}}),
    ] {
        let (provider, invoker) = world(Script::default());
        let schema = lmbatch_core::ResponseSchema::new(&schema);
        let invoker = invoker.response_schema(schema);
        let error = invoker.batch().invoke(ASKED).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.message().unwrap().contains("the schema for answers"),
            "{error}"
        );
        assert!(provider.calls().is_empty());
    }
}

#[tokio::test]
async fn outcomes_and_lists_can_be_streamed() {
    let (_, invoker) = world(Script::default());
    let handle = invoker.batch().create(ASKED).await.unwrap();
    for _ in 0..4 {
        invoker.batch().create(ASKED).await.unwrap();
    }
    let outcomes = invoker.batch().retrieve_stream(&handle).await.unwrap();
    let ids: Vec<String> = outcomes
        .map_ok(|(id, _)| id.to_string())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(ids, ["a/ü", "b"]);
    let newest: Vec<_> = invoker
        .batch()
        .list()
        .stream()
        .take(3)
        .try_collect()
        .await
        .unwrap();
    let ids: Vec<&str> = newest.iter().map(|batch| batch.id.as_str()).collect();
    assert_eq!(ids, ["b5", "b4", "b3"]);
}

#[tokio::test]
async fn the_requests_of_an_abandoned_create_are_errors_that_say_so() {
    let (provider, invoker) = world(Script {
        creates: [Some(lost())].into(),
        ..Script::default()
    });
    let invoker = invoker.on_doubt(OnDoubt::Abandon);
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    for (_, outcome) in &outcomes {
        let Outcome::Errored(error) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (error.kind(), error.is_retryable()),
            (ErrorKind::Doubt, false)
        );
        let message = error.message().unwrap_or_default();
        assert!(
            message.contains("may still be accepted and billed"),
            "{message}"
        );
    }
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (1, 0)
    );
}

#[tokio::test]
async fn batches_are_cut_by_their_estimated_tokens() {
    // A row of this provider is about 30 bytes, or ten tokens.
    for (max_tokens, batches) in [(None, 1), (Some(1_000_000), 1), (Some(20), 2), (Some(1), 2)] {
        let (provider, invoker) = world(Script::default());
        let invoker = invoker.batch_limit(BatchLimit {
            max_tokens,
            ..BatchLimit::default()
        });
        let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
        assert_eq!(provider.accepted(), batches, "{max_tokens:?}");
    }
}

#[tokio::test]
async fn a_matching_batch_of_another_run_is_not_adopted() {
    let ledger = Arc::new(MemoryLedger::default());
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(
        clock.clone(),
        Script {
            creates: [None, Some(lost())].into(),
            certainty: Some(Certainty::Presumed),
            by_count: true,
            ..Script::default()
        },
    ));
    let spool = Arc::new(lmbatch_engine::TemporarySpool::new().unwrap());
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .record(ledger, spool);
    invoker.batch().invoke(ASKED).named("first").await.unwrap();
    let error = invoker
        .batch()
        .invoke(ASKED)
        .named("second")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Doubt);
    assert!(
        error
            .to_string()
            .contains("no batch of this create has appeared"),
        "{error}"
    );
    assert_eq!(provider.accepted(), 1);
}
