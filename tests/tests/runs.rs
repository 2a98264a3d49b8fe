//! Runs of the library: requests from a stream, events, and outcomes that can be read again from any position.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use lmbatch::durable::{FolderSpool, StateFolder};
use lmbatch::{BatchLimit, ErrorKind, Event, LMInvoker, Outcome, Request, RetryPolicy, RunOutput};
use lmbatch_emulator::{Emulator, Fault, FaultKind, Operation, Pace};
use lmbatch_tests::{SUBJECTS, Subject};

/// An invoker with its record in a folder.
async fn recorded(subject: &Subject, emulator: &Emulator, folder: &Path) -> LMInvoker {
    let state = StateFolder::write(folder).unwrap();
    let spool = Arc::new(FolderSpool::new(state.spool()));
    let ledger = Arc::new(state.ledger().await.unwrap());
    subject.invoker(emulator).record(ledger, spool)
}

async fn emulator(pace: Pace) -> Emulator {
    Emulator::builder()
        .pace(pace)
        .seed(7)
        .start()
        .await
        .unwrap()
}

/// No call is retried.
fn once() -> RetryPolicy {
    RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    }
}

type Asked = Result<Request, std::io::Error>;

fn asked(prompts: impl IntoIterator<Item = (usize, &'static str)>) -> impl Stream<Item = Asked> {
    let requests: Vec<Asked> = prompts
        .into_iter()
        .map(|(id, prompt)| Ok(Request::new(format!("q{id}"), prompt)))
        .collect();
    stream::iter(requests)
}

fn thousand() -> impl Stream<Item = Asked> {
    asked((0..1_000).map(|place| (place, "say it")))
}

async fn read(output: &RunOutput, cursor: u64) -> Vec<(String, String)> {
    let outcomes = output.after(cursor).unwrap();
    let texts = outcomes.map_ok(|(id, outcome)| {
        let text = outcome.as_result().map(lmbatch::LMOutput::text);
        (id.as_str().to_owned(), text.unwrap_or_default())
    });
    texts.try_collect().await.unwrap()
}

#[tokio::test]
async fn requests_are_read_from_a_stream_and_outcomes_from_any_cursor() {
    for subject in SUBJECTS {
        let (emulator, folder) = (emulator(Pace::INSTANT).await, tempfile::tempdir().unwrap());
        let invoker = recorded(subject, &emulator, folder.path()).await;
        let output = invoker
            .batch()
            .run("mine")
            .requests(thousand())
            .await
            .unwrap();
        assert_eq!((output.requests(), output.batches().len()), (1_000, 1));
        let all = read(&output, 0).await;
        assert_eq!(all.len(), 1_000, "{}", subject.name);
        assert_eq!(all[999], ("q999".to_owned(), "echo: say it".to_owned()));
        for cursor in [1, 255, 256, 257, 999, 1_000, 5_000] {
            let rest = all.get(cursor as usize..).unwrap_or_default();
            assert_eq!(read(&output, cursor).await, rest, "from {cursor}");
        }
        // A caller with only the name reads the same outcomes, and nothing is sent.
        let again = invoker.batch().run("mine").await.unwrap();
        assert_eq!(again.id(), output.id());
        assert_eq!(read(&again, 0).await, all);
        assert_eq!(emulator.bill().creates, 1);
    }
}

#[tokio::test]
async fn an_interrupted_run_is_resumed_by_its_name_alone() {
    for subject in SUBJECTS {
        let slow = Pace {
            in_progress: Duration::from_secs(3_600),
            ..Pace::INSTANT
        };
        let (emulator, folder) = (emulator(slow).await, tempfile::tempdir().unwrap());
        let invoker = recorded(subject, &emulator, folder.path()).await;
        let run = invoker.batch().run("mine").requests(thousand());
        let run = run.timeout(Duration::from_secs(30));
        let cut = run.status_check_interval(Duration::from_secs(60)).await;
        assert_eq!(cut.unwrap_err().kind(), ErrorKind::Timeout);
        emulator.advance(Duration::from_secs(3_600));
        let output = invoker.batch().run("mine").await.unwrap();
        assert_eq!(read(&output, 0).await.len(), 1_000);
        assert_eq!(emulator.bill().creates, 1, "{}", subject.name);
    }
}

#[tokio::test]
async fn a_run_can_be_cancelled_while_another_task_waits_for_it() {
    for subject in SUBJECTS {
        let slow = Pace {
            in_progress: Duration::from_secs(3_600),
            ..Pace::INSTANT
        };
        let (emulator, folder) = (emulator(slow).await, tempfile::tempdir().unwrap());
        let waits = recorded(subject, &emulator, folder.path()).await;
        let cancels = recorded(subject, &emulator, folder.path()).await;
        let (created, exists) = tokio::sync::oneshot::channel();
        let created = Mutex::new(Some(created));
        let listen = move |event: &Event<'_>| {
            if let Event::Polled { .. } = event
                && let Some(created) = created.lock().unwrap().take()
            {
                created.send(()).unwrap();
            }
        };
        let run = waits.batch().run("mine").requests(thousand());
        let run = run.observe(listen);
        let run = run.status_check_interval(Duration::from_millis(1));
        let cancel = async {
            exists.await.unwrap();
            assert_eq!(cancels.batch().cancel_run("mine").await.unwrap(), 1);
        };
        let (output, ()) = tokio::join!(run, cancel);
        let outcomes = output.unwrap().outcomes().unwrap();
        let outcomes: Vec<_> = outcomes.try_collect().await.unwrap();
        assert_eq!(outcomes.len(), 1_000, "{}", subject.name);
        let kind = |outcome: &Outcome| outcome.as_result().err().map(|error| error.kind());
        let kinds: Vec<_> = outcomes.iter().map(|(_, outcome)| kind(outcome)).collect();
        // Some requests are answered by then; all others are cancelled.
        let cancelled = Some(ErrorKind::Cancelled);
        assert!(kinds.contains(&cancelled), "{}", subject.name);
        assert!(
            kinds
                .iter()
                .all(|kind| kind.is_none() || *kind == cancelled),
            "{kinds:?}"
        );
        assert_eq!(emulator.bill().creates, 1);
    }
}

#[tokio::test]
async fn events_are_reported_as_they_happen() {
    let (emulator, folder) = (emulator(Pace::INSTANT).await, tempfile::tempdir().unwrap());
    let invoker = recorded(&SUBJECTS[0], &emulator, folder.path()).await;
    let messages = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&messages);
    let listen = move |event: &Event<'_>| {
        let word = match event {
            Event::Planned { requests, .. } => format!("{requests} planned"),
            Event::Creating { .. } => "creating".to_owned(),
            Event::Created { found, .. } => format!("created, found: {found}"),
            Event::Polled { snapshot, .. } => format!("{}", snapshot.status),
            Event::Fetched { rows } => format!("{rows} rows"),
            _ => return,
        };
        note.lock().unwrap().push(word);
    };
    let run = invoker.batch().run("mine").requests(asked([(1, "one")]));
    run.observe(listen).await.unwrap();
    let wanted = [
        "1 planned",
        "creating",
        "created, found: false",
        "completed",
        "1 rows",
    ];
    assert_eq!(*messages.lock().unwrap(), wanted);
}

#[tokio::test]
async fn an_interrupted_stream_sends_nothing_and_leaves_nothing() {
    let (emulator, folder) = (emulator(Pace::INSTANT).await, tempfile::tempdir().unwrap());
    let invoker = recorded(&SUBJECTS[0], &emulator, folder.path()).await;
    let broken = asked([(1, "one"), (2, "two")]);
    let broken = broken.chain(stream::iter([Err(std::io::Error::other(
        "the disk is gone",
    ))]));
    let error = invoker
        .batch()
        .run("mine")
        .requests(broken)
        .await
        .unwrap_err();
    assert_eq!(
        (
            error.kind(),
            error.to_string().contains("request 3 could not be read")
        ),
        (ErrorKind::InvalidInput, true),
        "{error}"
    );
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the disk is gone");
    let left = std::fs::read_dir(folder.path().join("spool")).unwrap();
    assert_eq!((left.count(), emulator.bill().creates), (0, 0));
    let unknown = invoker.batch().run("mine").await.unwrap_err();
    let words = "there is no run \"mine\", and no requests to begin it with";
    assert!(unknown.to_string().contains(words), "{unknown}");
}

#[tokio::test]
async fn changed_requests_are_refused_without_an_update() {
    let (emulator, folder) = (emulator(Pace::INSTANT).await, tempfile::tempdir().unwrap());
    let invoker = recorded(&SUBJECTS[0], &emulator, folder.path()).await;
    let first = || asked([(1, "one"), (2, "two"), (3, "three")]);
    let second = || asked([(3, "three"), (2, "2"), (4, "four")]);
    let run = || invoker.batch().run("mine");
    assert_eq!(run().requests(first()).await.unwrap().changes(), None);
    let refused = run().requests(second()).await.unwrap_err();
    assert!(
        refused.to_string().contains("of other requests"),
        "{refused}"
    );
    assert_eq!(emulator.bill().answered_requests, 3);
    let output = run().requests(second()).update().await.unwrap();
    let changes = output.changes().unwrap();
    assert_eq!(
        [
            changes.unchanged,
            changes.changed,
            changes.new,
            changes.gone
        ],
        [1; 4]
    );
    let messages = [
        ("q3", "echo: three"),
        ("q2", "echo: 2"),
        ("q4", "echo: four"),
    ];
    let messages = messages.map(|(id, text)| (id.to_owned(), text.to_owned()));
    assert_eq!(read(&output, 0).await, messages);
    assert_eq!(emulator.bill().answered_requests, 5);
}

#[tokio::test]
async fn a_run_without_a_record_is_refused() {
    let emulator = emulator(Pace::INSTANT).await;
    let invoker = SUBJECTS[0].invoker(&emulator);
    let error = invoker
        .batch()
        .run("mine")
        .requests(thousand())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("needs a record"), "{error}");
    assert_eq!(emulator.bill().creates, 0);
}

#[tokio::test]
async fn an_uploaded_input_waits_until_the_provider_has_room_for_its_batch() {
    for subject in SUBJECTS {
        let pace = Pace {
            // Longer than the second create takes on a busy machine: the first batch makes room for it.
            in_progress: Duration::from_secs(1),
            ..Pace::INSTANT
        };
        let (emulator, folder) = (emulator(pace).await, tempfile::tempdir().unwrap());
        emulator.add_fault(Fault {
            skip: 1,
            ..Fault::once(Operation::Create, FaultKind::status(429))
        });
        let invoker = recorded(subject, &emulator, folder.path()).await;
        let invoker = invoker.retries(once()).batch_limit(BatchLimit {
            max_requests: Some(3),
            ..BatchLimit::default()
        });
        let run = invoker.batch().run("mine");
        let run = run.requests(asked((0..6).map(|id| (id, "say it"))));
        let output = run.status_check_interval(Duration::from_millis(20)).await;
        let output = output.unwrap();
        assert_eq!(read(&output, 0).await.len(), 6);
        let bill = emulator.bill();
        let tried = |operation| bill.calls.get(&operation).copied().unwrap_or(0);
        let batches = output.batches().len() as u64;
        assert_eq!(
            (bill.creates, tried(Operation::Create)),
            (batches, batches + 1)
        );
        assert!(
            [0, batches].contains(&bill.uploads),
            "{}: {bill:?}",
            subject.name
        );
    }
}

#[tokio::test]
async fn a_deleted_upload_is_uploaded_again() {
    for subject in SUBJECTS {
        let (emulator, folder) = (emulator(Pace::INSTANT).await, tempfile::tempdir().unwrap());
        let mut full = Fault::once(Operation::Create, FaultKind::status(429));
        full.times = 2;
        emulator.add_fault(full);
        let invoker = recorded(subject, &emulator, folder.path()).await;
        let invoker = invoker.retries(once());
        let run = || invoker.batch().run("mine").requests(asked([(1, "one")]));
        for _ in 0..2 {
            let refused = run().await.unwrap_err();
            assert_eq!(
                refused.kind(),
                ErrorKind::ProviderRateLimit,
                "{}",
                subject.name
            );
        }
        emulator.add_fault(Fault::once(Operation::Create, FaultKind::status(404)));
        assert_eq!(
            read(&run().await.unwrap(), 0).await.len(),
            1,
            "{}",
            subject.name
        );
        let bill = emulator.bill();
        let tried = |operation| bill.calls.get(&operation).copied().unwrap_or(0);
        // Two temporary refusals, one because of a missing file, and one acceptance.
        assert_eq!((bill.creates, tried(Operation::Create)), (1, 4));
        assert_ne!(tried(Operation::Upload), 1, "{}: {bill:?}", subject.name);
    }
}
