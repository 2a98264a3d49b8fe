//! Events: their subjects, and observers that panic.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};

use futures::TryStreamExt as _;
use lmbatch_core::{BatchStatus, Error, ErrorKind, LMOutput, Retry};
use lmbatch_engine::{Event, LMInvoker, Outcomes, Progress};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

fn world(script: Script) -> (Arc<MemoryProvider>, LMInvoker) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    (provider, invoker)
}

fn texts(outcomes: &Outcomes) -> Vec<String> {
    let outcomes = outcomes.iter();
    let texts = outcomes.map(|(_, outcome)| outcome.as_result().map(LMOutput::text));
    texts.map(Result::unwrap).collect()
}

/// One event as its name, the run, and whether it names a batch or a label.
type Seen = (String, Option<String>, bool);

fn recorder(events: &Arc<Mutex<Vec<Seen>>>) -> impl Fn(&Event<'_>) + Send + Sync + 'static {
    let events = Arc::clone(events);
    move |event| {
        let subject = event.subject();
        let name = format!("{event:?}");
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        let names_batch = subject.batch.is_some() || subject.label.is_some();
        let run = subject.run.map(str::to_owned);
        events.lock().unwrap().push((name, run, names_batch));
    }
}

#[tokio::test]
async fn an_observer_of_many_runs_can_tell_them_apart() {
    let failed = || Err(Error::new(ErrorKind::Connection).with_retry(Retry::Temporary));
    let (_, invoker) = world(Script {
        statuses: [failed(), Ok(BatchStatus::Unknown("napping".to_owned()))].into(),
        ..Script::default()
    });
    let events = Arc::default();
    let invoker = invoker.observe(recorder(&events));
    let batch = invoker.batch();
    let (one, two) = futures::join!(
        batch.invoke(ASKED).into_future(),
        batch.invoke(ASKED).into_future()
    );
    one.unwrap();
    two.unwrap();
    let events = events.lock().unwrap();
    let runs: BTreeSet<_> = events.iter().map(|(_, run, _)| run).collect();
    assert_eq!(runs.len(), 2, "{events:?}");
    assert!(!runs.contains(&None), "{events:?}");
    for named in [
        "Staging", "Creating", "Created", "Polled", "Fetching", "Fetched", "Retrying", "Warning",
    ] {
        let mut of_name = events.iter().filter(|(name, ..)| name == named).peekable();
        assert!(of_name.peek().is_some(), "{named}: {events:?}");
        assert!(
            of_name.all(|(_, _, names_batch)| *names_batch),
            "{named}: {events:?}"
        );
    }
}

#[tokio::test]
async fn an_observer_that_panics_ends_no_run_and_is_not_called_again() {
    for at in ["Planned", "Creating", "Created", "Fetched"] {
        let (provider, invoker) = world(Script::default());
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let invoker = invoker.observe(move |event| {
            let name = format!("{event:?}");
            seen.lock().unwrap().push(name.clone());
            assert!(!name.starts_with(&format!("{at} ")), "{at}");
        });
        for _ in 0..2 {
            let outcomes = invoker.batch().invoke(ASKED).await.unwrap();
            assert_eq!(texts(&outcomes), ["one", "two"]);
        }
        assert_eq!(provider.accepted(), 2);
        let calls = calls.lock().unwrap();
        let is_last = |name: &String| name.starts_with(&format!("{at} "));
        assert_eq!(
            calls.iter().position(is_last),
            Some(calls.len() - 1),
            "{calls:?}"
        );
    }
}

#[tokio::test]
async fn progress_continues_after_its_outer_observer_has_panicked() {
    let (_, invoker) = world(Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let invoke = invoker
        .batch()
        .invoke(ASKED)
        .observe(|_| panic!("an observer"));
    let items: Vec<_> = invoke.progress().try_collect().await.unwrap();
    assert!(items.len() > 1, "{items:?}");
    assert!(matches!(items.last(), Some(Progress::Finished(_))));
}
