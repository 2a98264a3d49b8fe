//! The library over every adapter and an emulator: payment and errors.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use lmbatch::{BatchStatus, DoubtPolicy, ErrorKind, LMInvoker, Outcome, Problem};
use lmbatch_emulator::{Emulator, Fault, FaultKind, Operation, Pace};
use lmbatch_tests::{SUBJECTS, Subject};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "lmb:truncate")];

async fn world(subject: &Subject, pace: Pace) -> (Emulator, LMInvoker) {
    let emulator = Emulator::builder().pace(pace).seed(7).start().await;
    let emulator = emulator.unwrap();
    let looks = vec![Duration::from_millis(1); 4];
    let invoker = subject
        .invoker(&emulator)
        .doubt(DoubtPolicy { waits: looks });
    (emulator, invoker)
}

#[tokio::test]
async fn invoke_returns_one_outcome_for_each_request() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject, Pace::INSTANT).await;
        let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
        assert_eq!(outcomes["a"].as_result().unwrap().text(), "echo: one");
        assert_eq!(outcomes["b"].problem(), Some(Problem::Truncated));
        let bill = emulator.bill();
        assert_eq!(
            (bill.creates, bill.answered_requests),
            (1, 2),
            "{}",
            subject.name
        );
    }
}

/// The official SDKs create three batches each from one call in this case.
#[tokio::test]
async fn a_create_with_a_lost_response_is_paid_for_once() {
    let lost = |code: u16| FaultKind::status_after(code, "<html>");
    let faults = [
        lost(500),
        lost(502),
        lost(503),
        lost(529),
        lost(408),
        lost(409),
        lost(200),
        FaultKind::ResetAfter,
        FaultKind::Truncate { bytes: 20 },
    ];
    for subject in SUBJECTS {
        for kind in &faults {
            let (emulator, invoker) = world(subject, Pace::INSTANT).await;
            // An unrelated batch of another size.
            invoker.batch().create([("x", "y")]).await.unwrap();
            emulator.add_fault(Fault::once(Operation::Create, kind.clone()));
            let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
            let found = (outcomes.len(), emulator.bill().creates);
            assert_eq!(found, (2, 2), "{}: {kind:?}", subject.name);
            assert_eq!(outcomes["a"].as_result().unwrap().text(), "echo: one");
        }
    }
}

/// A provider without labels: two batches of the same size that appear at the same time cannot be distinguished.
#[tokio::test]
async fn a_lost_create_with_a_lookalike_is_found_by_its_label_and_held_without_one() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject, Pace::INSTANT).await;
        let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
        // Created by another program: a batch known as unrelated is never taken for the lost one.
        let theirs = subject.invoker(&emulator);
        let twin = theirs.batch().create(ASKED).await.unwrap();
        emulator.add_fault(Fault::once(Operation::Create, FaultKind::ResetAfter));
        let found = invoker.batch().create(ASKED).find_or_create(prepared).await;
        match found {
            Ok(handle) => {
                assert_ne!(subject.provider, "anthropic");
                assert_ne!(handle.batch, twin.batch, "{}", subject.name);
            }
            Err(error) => {
                assert_eq!(subject.provider, "anthropic", "{}: {error}", subject.name);
                assert_eq!(error.kind(), ErrorKind::Doubt, "{error}");
                assert!(
                    error
                        .to_string()
                        .contains("several batches may be that of this create"),
                    "{error}"
                );
            }
        }
        assert_eq!(emulator.bill().creates, 2, "{}", subject.name);
    }
}

#[tokio::test]
async fn a_temporarily_refused_create_is_sent_again_and_paid_for_once() {
    for subject in SUBJECTS {
        let FaultKind::Status { code, body, .. } = FaultKind::status(429) else {
            panic!("a status");
        };
        let headers = vec![("retry-after-ms".to_owned(), "5".to_owned())];
        let busy = FaultKind::Status {
            code,
            body,
            headers,
        };
        let (emulator, invoker) = world(subject, Pace::INSTANT).await;
        emulator.add_fault(Fault::once(Operation::Create, busy));
        invoker.batch().invoke(ASKED).await.unwrap();
        let bill = emulator.bill();
        assert_eq!((bill.creates, bill.calls[&Operation::Create]), (1, 2));
    }
}

#[tokio::test]
async fn w9_failed_polls_and_downloads_never_create_again() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject, Pace::INSTANT).await;
        for operation in [Operation::Status, Operation::Content, Operation::Upload] {
            emulator.add_fault(Fault::once(operation, FaultKind::status(500)));
        }
        emulator.add_fault(Fault::once(
            Operation::Content,
            FaultKind::Truncate { bytes: 50 },
        ));
        let outcomes = invoker
            .batch()
            .invoke(ASKED)
            .status_check_interval(Duration::from_millis(10))
            .await
            .unwrap();
        assert!(outcomes["a"].is_usable());
        assert_eq!(emulator.bill().creates, 1);
    }
}

#[tokio::test]
async fn w15_w17_every_operation_reports_its_error_in_one_line() {
    for subject in SUBJECTS {
        let (emulator, invoker) = world(subject, Pace::INSTANT).await;
        for (code, kind) in [
            (401, ErrorKind::ProviderAuth),
            (402, ErrorKind::Billing),
            (403, ErrorKind::ProviderAuth),
            (422, ErrorKind::ProviderInvalidArgs),
        ] {
            emulator.add_fault(Fault::once(Operation::List, FaultKind::status(code)));
            let error = invoker.batch().list().await.unwrap_err();
            assert_eq!(
                (error.kind(), error.http_status()),
                (kind, Some(code)),
                "{error}"
            );
            assert!(!format!("{error}{error:?}{invoker:?}").contains("canary"));
        }
        let missing = lmbatch::BatchId::from("batch_none");
        for error in [
            invoker.batch().status(&missing).await.unwrap_err(),
            invoker.batch().cancel(&missing).await.unwrap_err(),
        ] {
            assert_eq!(
                (error.kind(), error.batch()),
                (ErrorKind::BatchNotFound, Some(&missing))
            );
        }
    }
}

#[tokio::test]
async fn w12_list_reads_every_page_and_cancel_keeps_paid_answers() {
    for subject in SUBJECTS {
        let pace = Pace {
            validating: Duration::ZERO,
            in_progress: Duration::from_secs(3600),
            finalizing: Duration::ZERO,
        };
        let (emulator, invoker) = world(subject, pace).await;
        let handle = invoker
            .batch()
            .create([("a", "1"), ("b", "2")])
            .await
            .unwrap();
        for _ in 0..104 {
            invoker.batch().create(ASKED).await.unwrap();
        }
        assert_eq!(invoker.batch().list().await.unwrap().len(), 105);
        assert_eq!(
            invoker.batch().status(&handle.batch).await.unwrap().status,
            BatchStatus::InProgress
        );
        invoker.batch().cancel(&handle.batch).await.unwrap();
        invoker.batch().cancel(&handle.batch).await.unwrap();
        let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
        assert!(outcomes["a"].is_usable());
        assert!(matches!(outcomes["b"], Outcome::Cancelled));
        assert_eq!(emulator.bill().answered_requests, 1);
    }
}

#[tokio::test]
async fn a_batch_that_fails_at_one_line_is_an_error_of_each_request() {
    let (_emulator, invoker) = world(&SUBJECTS[0], Pace::INSTANT).await;
    let outcomes = invoker
        .batch()
        .invoke([("a", "1"), ("b", "lmb:fail-line")])
        .await
        .unwrap();
    let retryable = |id: &str| outcomes[id].as_result().unwrap_err().is_retryable();
    assert_eq!((retryable("a"), retryable("b")), (true, false));
}

#[tokio::test]
async fn a_named_run_is_paid_for_once_across_repeated_calls() {
    use std::sync::Arc;

    use lmbatch::durable::{FolderSpool, StateFolder};
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let slow = Pace {
            in_progress: Duration::from_secs(3600),
            ..Pace::INSTANT
        };
        let (emulator, invoker) = world(subject, slow).await;
        let state = StateFolder::write(folder.path()).unwrap();
        let spool = Arc::new(FolderSpool::new(state.spool()));
        let ledger = Arc::new(state.ledger().await.unwrap());
        let invoker = invoker.record(ledger, spool);
        let asked = || invoker.batch().invoke(ASKED).named("nightly");
        let cut = asked().max_iterations(1).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::Timeout, "{}: {cut}", subject.name);
        emulator.advance(Duration::from_secs(3600));
        for _ in 0..2 {
            let outcomes = asked().await.unwrap();
            assert_eq!(outcomes["a"].as_result().unwrap().text(), "echo: one");
        }
        let other = invoker
            .batch()
            .invoke([("x", "y")])
            .named("nightly")
            .await
            .unwrap_err();
        assert!(other.to_string().contains("of other requests"), "{other}");
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
}
