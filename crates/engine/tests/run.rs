//! The engine over a provider in memory: what it sends, when, and what it returns.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{
    BatchId, BatchStatus, Delivery, Error, ErrorKind, Hyperparameters, Outcome, OutcomeStatus,
    Request, Result, Retry,
};
use lmbatch_engine::{LMInvoker, Outcomes};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

struct World {
    provider: Arc<MemoryProvider>,
    invoker: LMInvoker,
}

fn world(script: Script) -> World {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    World { provider, invoker }
}

const ASKED: [(&str, &str); 3] = [("c", "three"), ("a/ü", "one"), ("b", "two")];

fn texts(outcomes: &Outcomes) -> Vec<(&str, String)> {
    outcomes
        .iter()
        .map(|(id, outcome)| {
            (
                id.as_str(),
                outcome.as_result().map(|o| o.text()).unwrap_or_default(),
            )
        })
        .collect()
}

fn temporary(kind: ErrorKind, delivery: Delivery) -> Error {
    Error::new(kind)
        .with_retry(Retry::Temporary)
        .with_delivery(delivery)
}

fn in_progress(polls: usize) -> std::collections::VecDeque<Result<BatchStatus>> {
    (0..polls).map(|_| Ok(BatchStatus::InProgress)).collect()
}

#[tokio::test]
async fn every_request_has_one_outcome_under_its_id_in_its_order() {
    let World { provider, invoker } = world(Script::default());
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(
        texts(&outcomes),
        [
            ("c", "three".into()),
            ("a/ü", "one".into()),
            ("b", "two".into())
        ]
    );
    assert_eq!(outcomes.usage().input_tokens, 3);
    assert_eq!(outcomes["b"].status(), OutcomeStatus::Succeeded);
    assert!(outcomes.get("x").is_none());
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn polls_grow_from_two_seconds_to_a_minute() {
    let World { provider, invoker } = world(Script {
        statuses: in_progress(11),
        ..Script::default()
    });
    invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(
        provider.times("status"),
        [0, 2, 5, 9, 16, 26, 41, 64, 98, 149, 209, 269]
    );
}

#[tokio::test]
async fn a_given_interval_is_kept_and_the_servers_interval_wins() {
    let wishes = [None, Some(Duration::from_secs(10)), None].into();
    let World { provider, invoker } = world(Script {
        statuses: in_progress(4),
        wishes,
        ..Script::default()
    });
    invoker
        .batch()
        .invoke(ASKED)
        .status_check_interval(Duration::from_secs(30))
        .await
        .unwrap();
    assert_eq!(provider.times("status"), [0, 30, 40, 70, 100]);
}

#[tokio::test]
async fn w9_a_poll_or_a_download_that_fails_never_creates_again() {
    let statuses = [
        Ok(BatchStatus::InProgress),
        Err(temporary(ErrorKind::ProviderInternal, Delivery::Unknown)),
        Err(temporary(ErrorKind::Connection, Delivery::NotSent)),
        Ok(BatchStatus::InProgress),
    ];
    let reads = [temporary(ErrorKind::Connection, Delivery::Unknown)].into();
    let World { provider, invoker } = world(Script {
        statuses: statuses.into(),
        reads,
        ..Script::default()
    });
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(texts(&outcomes).len(), 3);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(
        (
            provider.accepted(),
            provider.times("create").len(),
            provider.times("read").len()
        ),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn w10_a_wait_that_ends_early_names_the_batch_and_does_not_cancel_it() {
    for (polls, timeout) in [(Some(3), None), (None, Some(Duration::from_secs(60)))] {
        let World { provider, invoker } = world(Script {
            statuses: in_progress(100),
            ..Script::default()
        });
        let mut invoke = invoker
            .batch()
            .invoke(ASKED)
            .status_check_interval(Duration::from_secs(25));
        if let Some(polls) = polls {
            invoke = invoke.max_iterations(polls);
        }
        if let Some(timeout) = timeout {
            invoke = invoke.timeout(timeout);
        }
        let error = invoke.await.unwrap_err();
        assert_eq!(
            (error.kind(), error.batch()),
            (ErrorKind::Timeout, Some(&BatchId::new("b1")))
        );
        assert_eq!(provider.times("status"), [0, 25, 50]);
        assert_eq!(
            (provider.accepted(), provider.times("cancel").len()),
            (1, 0)
        );
    }
}

#[tokio::test]
async fn a_create_that_was_not_sent_or_temporarily_refused_is_sent_again() {
    for delivery in [Delivery::NotSent, Delivery::Refused] {
        let busy = temporary(ErrorKind::ProviderRateLimit, delivery)
            .with_retry_after(Duration::from_secs(9));
        let World { provider, invoker } = world(Script {
            creates: [Some(busy)].into(),
            ..Script::default()
        });
        invoker.batch().invoke(ASKED).await.unwrap();
        assert_eq!(provider.times("create"), [0, 9]);
        assert_eq!(provider.accepted(), 1);
    }
}

#[tokio::test]
async fn a_permanently_refused_create_is_an_error_at_once() {
    let refused = Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused);
    let World { provider, invoker } = world(Script {
        creates: [Some(refused)].into(),
        ..Script::default()
    });
    let error = invoker.batch().invoke(ASKED).await.unwrap_err();
    assert_eq!(
        (error.kind(), provider.times("create").len()),
        (ErrorKind::Billing, 1)
    );
}

#[tokio::test]
async fn a_create_whose_response_is_lost_is_found_and_not_sent_twice() {
    let lost = temporary(ErrorKind::ProviderInternal, Delivery::Unknown);
    let script = Script {
        accepted_unseen: [lost].into(),
        blind_looks: 3,
        ..Script::default()
    };
    let World { provider, invoker } = world(script);
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(outcomes.len(), 3);
    assert_eq!(provider.times("find"), [0, 5, 15, 30]);
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (1, 1)
    );
}

#[tokio::test]
async fn a_create_that_is_never_found_is_held_and_not_repeated() {
    let lost = temporary(ErrorKind::Connection, Delivery::Unknown);
    let World { provider, invoker } = world(Script {
        creates: [Some(lost)].into(),
        ..Script::default()
    });
    let error = invoker.batch().invoke(ASKED).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Doubt, Delivery::Unknown)
    );
    assert_eq!(
        provider.times("find"),
        [0, 5, 15, 30, 60, 120, 300, 600, 900]
    );
    assert_eq!(
        (provider.times("create").len(), provider.accepted()),
        (1, 0)
    );
}

#[tokio::test]
async fn missing_duplicate_foreign_and_malformed_rows_affect_no_other_request() {
    let World { provider, invoker } = world(Script {
        ..Script::default()
    });
    let handle = invoker
        .batch()
        .create([("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")])
        .await
        .unwrap();
    drop(provider);
    let rows = concat!(
        "\u{feff}{\"id\":\"b\",\"text\":\"first\"}\r\n",
        "\n",
        "{\"id\":\"c\",\"error\":\"expired\"}\n",
        "{\"id\":\"zzz\",\"text\":\"foreign\"}\n",
        "{\"id\":\"b\",\"text\":\"second\"}\n",
        "{\"id\":\"d\",\"text\n",
        "{\"id\":\"d\",\"error\":\"boom\"}\n",
        "{\"id\":\"d\",\"text\":\"the answer\"}",
    );
    let World { invoker, .. } = world(Script {
        rows: Some(rows.into()),
        ..Script::default()
    });
    // The provider gives no counts: a row is required for each request that was created.
    let error = invoker.batch().retrieve(&handle).await.unwrap_err();
    assert_eq!(error.kind(), lmbatch_core::ErrorKind::Timeout, "{error}");
    let invoker = invoker.on_doubt(lmbatch_engine::OnDoubt::Abandon);
    let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
    let statuses: Vec<_> = outcomes
        .iter()
        .map(|(_, outcome)| outcome.status().as_str())
        .collect();
    assert_eq!(statuses, ["missing", "succeeded", "expired", "succeeded"]);
    assert_eq!(outcomes["b"].as_result().unwrap().text(), "first");
    assert_eq!(outcomes["d"].as_result().unwrap().text(), "the answer");
}

/// Rows that a provider or a proxy put on one line, or behind marks, are each the outcome of their request.
#[tokio::test]
async fn rows_that_are_not_on_lines_of_their_own_are_read() {
    let rows = ["a", "b", "c"].map(|id| format!("{{\"id\":\"{id}\",\"text\":\"of {id}\"}}"));
    let [a, b, c] = &rows;
    for text in [
        format!("{a}{b}{c}"),
        format!("{a}{b}{c}\n"),
        format!("{a} {b}\n{c}\n"),
        format!("{a}\n\u{feff}{b}\n\u{feff}{c}\n"),
        format!("\u{1e}{a}\n\u{1e}{b}\n\u{1e}{c}\n"),
        format!("[{a},{b},{c}]"),
        format!("[\n{a},\n{b},\n{c}\n]\n"),
        format!("[ {a} ]\n[{b}]\n{c}\n"),
        format!("data: {a}\n\ndata: {b}\n\ndata: {c}\n\n"),
        format!("{a}{b}\n{c}{{\"id\":\"c\",\"text\":\"cu"),
    ] {
        let World { provider, invoker } = world(Script {
            ..Script::default()
        });
        let handle = invoker
            .batch()
            .create([("a", "1"), ("b", "2"), ("c", "3")])
            .await
            .unwrap();
        drop(provider);
        let World { invoker, .. } = world(Script {
            rows: Some(text.clone().into()),
            ..Script::default()
        });
        let invoker = invoker.on_doubt(lmbatch_engine::OnDoubt::Abandon);
        let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
        for id in ["a", "b", "c"] {
            let found = outcomes[id].as_result().map(|output| output.text());
            assert_eq!(found.unwrap(), format!("of {id}"), "{text}");
        }
    }
}

#[tokio::test]
async fn a_batch_that_failed_is_one_error_for_each_request() {
    let World { invoker, .. } = world(Script {
        end: Some(BatchStatus::Failed),
        ..Script::default()
    });
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| matches!(outcome, Outcome::Errored(_)))
    );
    assert_eq!(outcomes.len(), 3);
}

#[tokio::test]
async fn an_expired_or_cancelled_batch_still_yields_its_answers() {
    for end in [BatchStatus::Expired, BatchStatus::Cancelled] {
        let World { invoker, .. } = world(Script {
            end: Some(end),
            ..Script::default()
        });
        let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    }
}

#[tokio::test]
async fn bad_requests_are_all_named_and_nothing_is_sent() {
    let image = lmbatch_core::Attachment::from_path("no/such.png");
    let requests = [
        Request::new("a", "1"),
        Request::new("", "2"),
        Request::new("b", vec![lmbatch_core::MessageContent::from(image)]),
        Request::new("a", "3"),
        Request::new("c", Vec::<lmbatch_core::Message>::new()),
    ];
    let World { provider, invoker } = world(Script::default());
    let error = invoker.batch().invoke(requests).await.unwrap_err();
    let text = error.to_string();
    for part in [
        "4 requests are not valid",
        "number 2: the id is empty",
        "no/such.png cannot be read",
        "number 4: the id is the same as that of number 1",
        "number 5: there are no messages",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(provider.calls(), []);
}

#[tokio::test]
async fn w18_requests_beyond_a_batch_go_into_several_and_a_handle_is_of_one() {
    let World { provider, invoker } = world(Script {
        max_requests: Some(2),
        ..Script::default()
    });
    let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
    assert_eq!(texts(&outcomes).len(), 3);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(
        (provider.accepted(), provider.times("status").len()),
        (2, 2)
    );

    let World { provider, invoker } = world(Script {
        max_requests: Some(2),
        ..Script::default()
    });
    let error = invoker.batch().create(ASKED).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("3 requests need 2 batches of memory, and this call creates one"),
        "{error}"
    );
    let none: [(&str, &str); 0] = [];
    assert!(
        invoker
            .batch()
            .invoke(none)
            .await
            .unwrap_err()
            .to_string()
            .contains("there are no requests")
    );
    assert!(
        invoker
            .batch()
            .invoke(ASKED)
            .max_iterations(0)
            .await
            .is_err()
    );
    assert_eq!(provider.calls(), []);
}

#[tokio::test]
async fn a_handle_maps_results_to_the_callers_ids_in_another_process() {
    let World { invoker, provider } = world(Script::default());
    for asked in [ASKED, [("c", "three"), ("a", "one"), ("b", "two")]] {
        let handle = invoker
            .batch()
            .create(asked)
            .hyperparameters(Hyperparameters::default())
            .await
            .unwrap();
        let json = serde_json::to_string(&handle).unwrap();
        let outcomes = invoker
            .batch()
            .retrieve(&serde_json::from_str(&json).unwrap())
            .await
            .unwrap();
        assert_eq!(
            texts(&outcomes),
            asked.map(|(id, text)| (id, text.to_owned()))
        );
    }
    // The first create has an id that is not valid on the wire; the second uses the caller's own
    // ids.
    assert!(!String::from_utf8(provider.body(0)).unwrap().contains("a/ü"));
    assert!(
        String::from_utf8(provider.body(1))
            .unwrap()
            .contains("\"id\":\"a\"")
    );
}

#[tokio::test]
async fn w12_list_reads_every_page() {
    let World { invoker, .. } = world(Script::default());
    for _ in 0..5 {
        invoker.batch().create(ASKED).await.unwrap();
    }
    let ids: Vec<String> = invoker
        .batch()
        .list()
        .await
        .unwrap()
        .into_iter()
        .map(|b| b.id.to_string())
        .collect();
    assert_eq!(ids, ["b5", "b4", "b3", "b2", "b1"]);
}

#[test]
fn futures_can_be_sent_to_another_thread() {
    fn sendable<T: Send>(_: T) {}
    let World { invoker, .. } = world(Script::default());
    let batch = invoker.batch();
    sendable(batch.invoke(ASKED).into_future());
    sendable(batch.create(ASKED).into_future());
    sendable(batch.list());
    let id = BatchId::new("b");
    sendable(batch.status(&id));
    sendable(batch.cancel(&id));
}

#[tokio::test]
async fn a_broken_download_is_resumed_where_the_provider_supports_it() {
    let broken = || temporary(ErrorKind::Connection, Delivery::Unknown);
    // With ranges: half, half of the rest, and the rest, 1.0 in all; without: from the start each
    // time.
    for (ranges, reads, read) in [(true, 3, 1.0), (false, 3, 2.0)] {
        let World { provider, invoker } = world(Script {
            reads: [broken(), broken()].into(),
            ranges,
            ..Script::default()
        });
        let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
        assert_eq!(provider.times("read").len(), reads, "{ranges}");
        let World {
            provider: plain,
            invoker,
        } = world(Script::default());
        invoker.batch().invoke(ASKED).await.unwrap();
        let parts = provider.read_bytes() as f64 / plain.read_bytes() as f64;
        assert!((parts - read).abs() < 0.05, "{ranges}: {parts}");
    }
}
