//! Batches that are retrieved by a handle or by their id: the class that is passed along, and
//! counts that disagree with the rows.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex};

use lmbatch_core::{BatchId, BatchStatus, ErrorKind, RequestCounts};
use lmbatch_engine::{Event, LMInvoker, OnDoubt};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 3] = [("a", "one"), ("b", "two"), ("c", "three")];

/// Returns a provider, an invoker, and the list of the invoker's warnings.
fn world(script: Script) -> (Arc<MemoryProvider>, LMInvoker, Arc<Mutex<Vec<String>>>) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let messages = Arc::clone(&warnings);
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .observe(move |event: &Event<'_>| {
            if let Event::Warning { message } = event {
                messages.lock().unwrap().push((*message).to_owned());
            }
        });
    (provider, invoker, warnings)
}

#[tokio::test]
async fn results_are_requested_with_the_class_of_the_batch_where_it_is_known() {
    let (provider, invoker, _) = world(Script::default());
    let handle = invoker.batch().create(ASKED).await.unwrap();
    invoker.batch().retrieve(&handle).await.unwrap();
    invoker.batch().retrieve_rows(&handle.batch).await.unwrap();
    invoker.batch().invoke(ASKED).await.unwrap();
    let own = || Some(handle.class.clone());
    assert_eq!(provider.asked_classes(), [own(), None, own()]);
}

#[tokio::test]
async fn a_handle_of_another_route_is_an_error_and_not_a_batch_without_answers() {
    let (_, invoker, _) = world(Script::default());
    let handle = invoker.batch().create(ASKED).await.unwrap();
    let mut other = handle.clone();
    other.class.route = "other".into();
    let error = invoker.batch().retrieve(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(error.batch(), Some(&handle.batch));
    let rows = invoker.batch().retrieve_rows(&handle.batch).await;
    assert_eq!(rows.unwrap().len(), 3);
}

fn counts(total: u64, succeeded: u64, errored: u64) -> Option<RequestCounts> {
    Some(RequestCounts {
        total: Some(total),
        succeeded,
        errored,
        ..RequestCounts::default()
    })
}

/// Returns rows that answer the requests with these ids.
fn rows(names: &[&str]) -> Option<Vec<u8>> {
    let row = |name: &&str| format!("{{\"id\":\"{name}\",\"text\":\"x\"}}\n");
    Some(names.iter().map(row).collect::<String>().into_bytes())
}

#[tokio::test]
async fn counts_that_disagree_with_the_rows_are_reported_with_and_without_a_handle() {
    for (script, expected) in [
        (counts(3, 3, 0), None),
        (counts(3, 2, 1), None),
        // The server does not maintain counts.
        (counts(3, 0, 0), None),
        // More rows than the counts say.
        (counts(3, 2, 0), Some((2, 3, false))),
        (counts(3, 0, 1), Some((1, 3, false))),
    ] {
        let (_, invoker, warnings) = world(Script {
            counts: script,
            ..Script::default()
        });
        let handle = invoker.batch().create(ASKED).await.unwrap();
        let by_handle = invoker.batch().retrieve(&handle).await.unwrap();
        let by_id = invoker.batch().retrieve_rows(&handle.batch).await.unwrap();
        for outcomes in [by_handle, by_id] {
            assert_eq!(outcomes.len(), 3);
            let found = outcomes.count_mismatch();
            let found = found.map(|found| (found.counted, found.read, found.is_short()));
            assert_eq!(found, expected, "{script:?}");
        }
        let messages = warnings.lock().unwrap().clone();
        let wanted = expected.map_or(0, |_| 2);
        assert_eq!(messages.len(), wanted, "{messages:?}");
        if let Some((counted, read, _)) = expected {
            let requests = if counted == 1 { "request" } else { "requests" };
            let numbers = format!(
                "counts {counted} {requests} as answered or failed, but the rows of the results name {read}"
            );
            assert!(
                messages.iter().all(|message| message.contains(&numbers)),
                "{messages:?}"
            );
        }
        // A run reports it as well.
        invoker.batch().invoke(ASKED).await.unwrap();
        assert_eq!(
            warnings.lock().unwrap().len(),
            wanted + expected.map_or(0, |_| 1)
        );
    }
}

#[tokio::test]
async fn missing_rows_are_an_error_and_reported_once_they_are_given_up() {
    let script = || Script {
        counts: counts(3, 3, 0),
        rows: rows(&["a", "b"]),
        ..Script::default()
    };
    let (_, invoker, _) = world(script());
    let batch = BatchId::new("b1");
    let error = invoker.batch().retrieve_rows(&batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let (_, invoker, warnings) = world(script());
    let invoker = invoker.on_doubt(OnDoubt::Abandon);
    let outcomes = invoker.batch().retrieve_rows(&batch).await.unwrap();
    let found = outcomes.count_mismatch().unwrap();
    assert_eq!((found.counted, found.read, found.is_short()), (3, 2, true));
    let messages = warnings.lock().unwrap().join("\n");
    assert!(
        messages.contains("have no row in the results: 1;"),
        "{messages}"
    );
}

#[tokio::test]
async fn a_batch_that_failed_as_a_whole_has_no_count_mismatch() {
    let (_, invoker, warnings) = world(Script {
        end: Some(BatchStatus::Failed),
        ..Script::default()
    });
    let handle = invoker.batch().create(ASKED).await.unwrap();
    let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
    assert_eq!(outcomes.count_mismatch(), None);
    assert!(warnings.lock().unwrap().is_empty());
}

/// Two ids that differ only in a lone surrogate would become one id.
#[tokio::test]
async fn rows_whose_ids_hold_lone_surrogates_stay_apart() {
    let row = |id: &str, text: &str| format!("{{\"id\":\"{id}\",\"text\":\"{text}\"}}\n");
    let ids = [r"\ud800", r"\ud801", "\u{fffd}", r"x\udc00", r"\u0061"];
    let rows: String = ids
        .iter()
        .zip(["A", "B", "C", "D", "E"])
        .map(|(id, text)| row(id, text))
        .collect();
    let (_, invoker, _) = world(Script {
        counts: Some(RequestCounts::default()),
        rows: Some(rows.into_bytes()),
        ..Script::default()
    });
    let outcomes = invoker
        .batch()
        .retrieve_rows(BatchId::new("b1"))
        .await
        .unwrap();
    let found: Vec<(&str, String)> = outcomes
        .iter()
        .map(|(id, outcome)| {
            (
                id.as_str(),
                outcome
                    .as_result()
                    .map(|output| output.text())
                    .unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        ("row-without-id-1", "A"),
        ("row-without-id-2", "B"),
        ("\u{fffd}", "C"),
        ("row-without-id-3", "D"),
        ("a", "E"),
    ];
    assert_eq!(found, expected.map(|(id, text)| (id, text.to_owned())));
}

/// Without counts, only the end of the results shows that rows are missing.
#[tokio::test]
async fn truncated_results_without_counts_are_an_error_and_reported_once_they_are_given_up() {
    let script = || Script {
        counts: Some(RequestCounts::default()),
        rows: Some(b"{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"te".to_vec()),
        ..Script::default()
    };
    let batch = BatchId::new("b1");
    let (_, invoker, _) = world(script());
    let error = invoker.batch().retrieve_rows(&batch).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let (_, invoker, warnings) = world(script());
    let invoker = invoker.on_doubt(OnDoubt::Abandon);
    let outcomes = invoker.batch().retrieve_rows(&batch).await.unwrap();
    assert_eq!(outcomes.len(), 2);
    let messages = warnings.lock().unwrap().join("\n");
    assert!(
        messages.contains("have no row in the results: 1;"),
        "{messages}"
    );
}
