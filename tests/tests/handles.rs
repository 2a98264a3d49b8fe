//! Calls that end early on every provider: paid answers are retrieved later under the caller's ids.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmbatch::{
    BatchHandle, BatchLimit, Delivery, ErrorKind, Event, LMInvoker, Outcomes, Prepared, Problem,
    Retry,
};
use lmbatch_emulator::{Emulator, Fault, FaultKind, Operation, Pace};
use lmbatch_tests::{SUBJECTS, Subject};

/// Ids that every provider accepts, and ids that some do not.
const LEGAL: [(&str, &str); 3] = [
    ("ticket-1", "one"),
    ("ticket-2", "two"),
    ("ticket-3", "three"),
];
const ODD: [(&str, &str); 3] = [("ticket/1", "one"), ("ü 2", "two"), ("3", "three")];

const SLOW: Pace = Pace {
    validating: Duration::ZERO,
    in_progress: Duration::from_secs(3600),
    finalizing: Duration::ZERO,
};

async fn world(subject: &Subject) -> (Emulator, LMInvoker) {
    let emulator = Emulator::builder().pace(SLOW).seed(7).start().await;
    let emulator = emulator.unwrap();
    let invoker = subject.invoker(&emulator);
    (emulator, invoker)
}

fn answers(outcomes: &Outcomes) -> BTreeMap<String, String> {
    let answers = outcomes.iter();
    answers
        .map(|(id, outcome)| (id.to_string(), outcome.as_result().unwrap().text()))
        .collect()
}

fn expected(asked: &[(&str, &str)]) -> BTreeMap<String, String> {
    let expected = asked.iter();
    expected
        .map(|(id, prompt)| ((*id).to_owned(), format!("echo: {prompt}")))
        .collect()
}

/// Outcomes of all handles together, each handle read from JSON as in another process.
async fn retrieved(invoker: &LMInvoker, handles: &[BatchHandle]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for handle in handles {
        let json = serde_json::to_string(handle).unwrap();
        let handle = serde_json::from_str(&json).unwrap();
        let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
        all.extend(answers(&outcomes));
    }
    all
}

#[tokio::test]
async fn after_a_timeout_the_answers_are_retrieved_under_the_callers_ids() {
    for subject in SUBJECTS {
        for asked in [LEGAL, ODD] {
            let (emulator, invoker) = world(subject).await;
            let invoke = invoker.batch().invoke(asked);
            let invoke = invoke.status_check_interval(Duration::from_secs(60));
            let error = invoke.timeout(Duration::from_secs(20)).await.unwrap_err();
            assert_eq!(
                error.kind(),
                ErrorKind::Timeout,
                "{}: {error}",
                subject.name
            );
            let handle = error.handle().unwrap();
            assert_eq!(Some(&handle.batch), error.batch());
            let early = invoker.batch().retrieve(handle).await.unwrap_err();
            let not_ended = (ErrorKind::NotEnded, Retry::Temporary);
            assert_eq!((early.kind(), early.retry()), not_ended, "{early}");
            emulator.advance(Duration::from_secs(3600));
            let outcomes = invoker.batch().retrieve(handle).await.unwrap();
            assert_eq!(answers(&outcomes), expected(&asked), "{}", subject.name);
            // In the order of the requests.
            let ids: Vec<&str> = outcomes.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(ids, asked.map(|(id, _)| id), "{}", subject.name);
            assert_eq!(emulator.bill().creates, 1);
        }
    }
}

/// The label of a lost create proves it where the provider keeps labels, and the caller's ids can be sent.
#[tokio::test]
async fn rows_carry_the_callers_ids_where_the_provider_allows_them_and_keeps_labels() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject).await;
        let invoke = invoker.batch().invoke(LEGAL).max_iterations(1);
        let error = invoke.await.unwrap_err();
        emulator.advance(Duration::from_secs(3600));
        let rows = invoker.batch().retrieve_rows(error.batch().unwrap()).await;
        let are_callers = answers(&rows.unwrap()) == expected(&LEGAL);
        assert_eq!(
            are_callers,
            subject.provider != "anthropic",
            "{}",
            subject.name
        );
    }
}

#[tokio::test]
async fn every_batch_of_a_run_has_its_own_handle() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject).await;
        let invoker = invoker.batch_limit(BatchLimit {
            max_requests: Some(2),
            ..BatchLimit::default()
        });
        for asked in [LEGAL, ODD] {
            let before = emulator.bill().creates;
            let invoke = invoker.batch().invoke(asked);
            let error = invoke.max_iterations(1).await.unwrap_err();
            let handles = error.handles().unwrap();
            let counts: Vec<usize> = handles.iter().map(|one| one.requests.len()).collect();
            assert_eq!(counts, [2, 1], "{}: {error}", subject.name);
            emulator.advance(Duration::from_secs(3600));
            let all = retrieved(&invoker, handles).await;
            assert_eq!(all, expected(&asked), "{}", subject.name);
            assert_eq!(emulator.bill().creates, before + 2);
        }
    }
}

/// The future is dropped, by a timeout around it or by an aborted task.
#[tokio::test]
async fn an_observer_receives_the_handles_of_a_dropped_call() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject).await;
        let handles = Arc::new(Mutex::new(Vec::new()));
        let (messages, mut created) = tokio::sync::mpsc::unbounded_channel();
        let kept = handles.clone();
        let observed = invoker.clone().observe(move |event: &Event<'_>| {
            if let Event::Created { handle, .. } = event {
                kept.lock().unwrap().push(handle.read().unwrap());
                messages.send(()).unwrap();
            }
        });
        let task = tokio::spawn(async move { observed.batch().invoke(ODD).await.map(drop) });
        created.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        emulator.advance(Duration::from_secs(3600));
        let handles = handles.lock().unwrap().clone();
        let all = retrieved(&invoker, &handles).await;
        assert_eq!(all, expected(&ODD), "{}", subject.name);
        assert_eq!(emulator.bill().creates, 1);
    }
}

/// Except where the results are part of the batch's status.
#[tokio::test]
async fn unreadable_results_are_retrieved_later() {
    let elsewhere = |subject: &&Subject| (subject.provider, subject.route) != ("google", "inline");
    for subject in SUBJECTS.iter().filter(elsewhere) {
        let emulator = Emulator::builder()
            .pace(Pace::INSTANT)
            .seed(7)
            .start()
            .await;
        let emulator = emulator.unwrap();
        let invoker = subject.invoker(&emulator);
        emulator.add_fault(Fault::once(Operation::Content, FaultKind::status(403)));
        let error = invoker.batch().invoke(ODD).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ProviderAuth, "{}", subject.name);
        let all = retrieved(&invoker, error.handles().unwrap()).await;
        assert_eq!(all, expected(&ODD), "{}", subject.name);
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
}

/// The response to the create takes longer than the timeout of the call.
#[tokio::test]
async fn a_timeout_during_a_create_reports_that_its_delivery_is_unknown() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject).await;
        let late = FaultKind::Latency {
            milliseconds: 30_000,
        };
        emulator.add_fault(Fault::once(Operation::Create, late));
        let clock = lmbatch_engine::SystemClock::new();
        let invoke = invoker
            .batch()
            .invoke(LEGAL)
            .timeout(Duration::from_secs(3));
        let error = invoke.await.unwrap_err();
        let took = lmbatch_core::Clock::elapsed(&clock);
        assert!(took < Duration::from_secs(10), "{}: {took:?}", subject.name);
        assert_eq!(
            (error.kind(), error.delivery()),
            (ErrorKind::Timeout, Delivery::Unknown),
            "{}: {error}",
            subject.name
        );
        assert!(error.label().is_some());
    }
}

#[tokio::test]
async fn a_prepared_batch_that_was_never_sent_is_created_at_once() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject).await;
        let prepared = invoker.batch().create(ODD).prepare().await.unwrap();
        let kept = serde_json::to_string(&prepared).unwrap();
        // A second process, without the state of the first.
        let worker = subject.invoker(&emulator);
        let prepared: Prepared = serde_json::from_str(&kept).unwrap();
        let clock = lmbatch_engine::SystemClock::new();
        let sending = prepared.sending();
        let sent = serde_json::to_string(&sending).unwrap();
        let handle = worker
            .batch()
            .create(ODD)
            .find_or_create(sending)
            .await
            .unwrap();
        assert!(lmbatch_core::Clock::elapsed(&clock) < Duration::from_secs(10));
        // A third process, after a crash of the second, which searches for the batch.
        let other = subject.invoker(&emulator);
        let sent: Prepared = serde_json::from_str(&sent).unwrap();
        let same = other
            .batch()
            .create(ODD)
            .find_or_create(sent)
            .await
            .unwrap();
        assert_eq!(same, handle, "{}", subject.name);
        emulator.advance(Duration::from_secs(3600));
        let all = retrieved(&invoker, &[same]).await;
        assert_eq!(all, expected(&ODD), "{}", subject.name);
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
}

#[tokio::test]
async fn an_invalid_typed_answer_keeps_its_problem_and_its_text() {
    #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Sum {
        number: i64,
    }
    for subject in SUBJECTS {
        let emulator = Emulator::builder()
            .pace(Pace::INSTANT)
            .seed(7)
            .start()
            .await;
        let emulator = emulator.unwrap();
        let invoker = subject.invoker(&emulator);
        let asked = [
            ("fits", "one"),
            ("misses", "lmb:schema-miss"),
            ("refuses", "lmb:refuse"),
        ];
        let sums = invoker.batch().invoke_as::<Sum>(asked).await.unwrap();
        // There the provider filters what the model would refuse elsewhere.
        let refused = match subject.provider {
            "google" => Problem::ContentFilter,
            _ => Problem::Refused,
        };
        assert!(
            sums["fits"].as_result().is_ok(),
            "{}: {sums:?}",
            subject.name
        );
        for (id, kind, problem, again) in [
            (
                "misses",
                ErrorKind::InvalidStructured,
                Problem::InvalidStructured,
                true,
            ),
            ("refuses", ErrorKind::GenerationFailed, refused, false),
        ] {
            let error = sums[id].as_result().unwrap_err();
            assert_eq!(
                (error.kind(), error.problem(), error.is_retryable()),
                (kind, Some(problem), again),
                "{}: {id}",
                subject.name
            );
            assert!(
                sums.output(id)
                    .unwrap()
                    .usage
                    .unwrap_or_default()
                    .output_tokens
                    > 0,
                "{id}"
            );
        }
        assert!(!sums.output("misses").unwrap().text().is_empty());
    }
}
