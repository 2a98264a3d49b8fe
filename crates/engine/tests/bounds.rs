//! Calls that end early, by their time limit or otherwise: their errors, and what they leave
//! behind.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::error::Error as _;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::slow::Slow;
use futures::future::{Either, select};
use futures::stream;
use lmbatch_core::{
    BatchId, BatchStatus, Clock, Delivery, Error, ErrorKind, Ledger as _, Request, Retry, RunFilter,
};
use lmbatch_engine::{
    BatchLimit, Event, LMInvoker, MemoryLedger, StepLimits, SystemClock, TemporarySpool,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

const ASKED: [(&str, &str); 2] = [("a/ü", "one"), ("b", "two")];

struct World {
    clock: Arc<TestClock>,
    provider: Arc<MemoryProvider>,
    invoker: LMInvoker,
}

impl World {
    fn new(script: Script) -> Self {
        Self::slow(script, "nothing")
    }

    /// Returns a world in which one kind of call takes 100 s.
    fn slow(script: Script, call: &'static str) -> Self {
        let clock = Arc::new(TestClock::default());
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let slow = Slow {
            inner: provider.clone(),
            clock: clock.clone(),
            call,
            takes: Duration::from_secs(100),
        };
        // Batches are created in the order of the input.
        let limits = StepLimits {
            uploads: 1,
            creates: 1,
            polls: 1,
            fetches: 1,
        };
        let invoker = LMInvoker::new(slow, "m")
            .clock(clock.clone())
            .rng(Arc::new(TestRng::new(7)))
            .limits(limits);
        Self {
            clock,
            provider,
            invoker,
        }
    }

    fn recorded(&self) -> (Arc<MemoryLedger>, LMInvoker) {
        let ledger = Arc::new(MemoryLedger::default());
        let spool = Arc::new(TemporarySpool::new().unwrap());
        let invoker = self.invoker.clone().record(ledger.clone(), spool);
        (ledger, invoker)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::ProviderInternal)
        .with_http_status(502)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

fn one_each() -> BatchLimit {
    BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    }
}

/// Each call that a run makes, whether its batch is known at the time limit, and whether a create
/// is under way then.
const CALLS: [(&str, bool, bool); 6] = [
    ("list", false, false),
    ("create", false, true),
    ("find", false, true),
    ("status", true, false),
    ("results", true, false),
    ("read", true, false),
];

fn script_for(call: &str) -> Script {
    Script {
        // Only a create whose response is lost is searched for.
        accepted_unseen: (call == "find").then(lost).into_iter().collect(),
        ..Script::default()
    }
}

#[tokio::test]
async fn a_timeout_limits_every_call_of_an_invoke_and_reports_what_is_known() {
    for (call, known, unknown) in CALLS {
        let world = World::slow(script_for(call), call);
        let invoke = world.invoker.batch().invoke(ASKED);
        let error = invoke.timeout(Duration::from_secs(50)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{call}: {error}");
        assert_eq!(world.clock.elapsed(), Duration::from_secs(50), "{call}");
        assert_eq!(
            error.batch().cloned(),
            known.then(|| BatchId::new("b1")),
            "{call}"
        );
        assert_eq!(error.handle().is_some(), known, "{call}");
        assert_eq!(error.label().is_some(), unknown, "{call}: {error}");
        let delivery = match unknown {
            true => Delivery::Unknown,
            false => Delivery::NotSent,
        };
        assert_eq!(error.delivery(), delivery, "{call}: {error}");
        if let Some(handle) = error.handle() {
            let outcomes = world.invoker.batch().retrieve(handle).await.unwrap();
            let texts: Vec<_> = outcomes
                .iter()
                .map(|(id, outcome)| (id.as_str(), outcome.as_result().unwrap().text()))
                .collect();
            assert_eq!(texts, [("a/ü", "one".to_owned()), ("b", "two".to_owned())]);
        }
        let accepted = usize::from(call != "list");
        assert_eq!(world.provider.accepted(), accepted, "{call}");
    }
}

#[tokio::test]
async fn a_timeout_limits_every_call_of_a_create_and_reports_what_is_known() {
    let limit = Duration::from_secs(50);
    for (call, _, unknown) in CALLS.into_iter().take(3) {
        let world = World::slow(script_for(call), call);
        let create = world.invoker.batch().create(ASKED);
        let error = create.timeout(limit).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{call}: {error}");
        assert_eq!(world.clock.elapsed(), limit, "{call}");
        assert_eq!(error.label().is_some(), unknown, "{call}: {error}");
        let delivery = match unknown {
            true => Delivery::Unknown,
            false => Delivery::NotSent,
        };
        assert_eq!(error.delivery(), delivery, "{call}: {error}");
        assert_eq!(error.batch(), None, "{call}");
    }
}

#[tokio::test]
async fn a_timeout_limits_a_prepared_create_which_is_then_found_and_not_repeated() {
    let limit = Duration::from_secs(50);
    let world = World::slow(Script::default(), "create");
    let batch = world.invoker.batch();
    let prepared = batch.create(ASKED).timeout(limit).prepare().await.unwrap();
    let kept = serde_json::to_string(&prepared.clone().sending()).unwrap();
    let create = batch.create(ASKED).timeout(limit);
    let error = create.find_or_create(prepared).await.unwrap_err();
    let found = (error.kind(), error.delivery(), error.label().is_some());
    assert_eq!(
        found,
        (ErrorKind::Timeout, Delivery::Unknown, true),
        "{error}"
    );
    let kept = serde_json::from_str(&kept).unwrap();
    let handle = batch.create(ASKED).find_or_create(kept).await.unwrap();
    assert_eq!(
        (handle.batch.as_str(), world.provider.accepted()),
        ("b1", 1)
    );
}

/// The time limit drops the future at any point, as a crash does.
#[tokio::test]
async fn a_named_run_that_timed_out_is_resumed_and_paid_for_once() {
    for (call, ..) in CALLS {
        let world = World::slow(script_for(call), call);
        let (_, invoker) = world.recorded();
        let asked = || invoker.batch().invoke(ASKED).named("mine");
        let mut errors = Vec::new();
        let outcomes = loop {
            let limit = match errors.len() {
                0 => Duration::from_secs(50),
                _ => Duration::from_secs(10_000),
            };
            match asked().timeout(limit).await {
                Ok(outcomes) => break outcomes,
                Err(error) => errors.push(error),
            }
            assert!(errors.len() < 3, "{call}: {errors:?}");
        };
        assert_eq!(errors.len(), 1, "{call}: {errors:?}");
        assert_eq!(errors[0].kind(), ErrorKind::Timeout);
        assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
        let creates = world.provider.times("create").len();
        assert_eq!((world.provider.accepted(), creates), (1, 1), "{call}");
    }
}

#[tokio::test]
async fn a_time_limit_of_zero_sends_nothing() {
    let world = World::new(Script::default());
    let invoke = world.invoker.batch().invoke(ASKED).timeout(Duration::ZERO);
    let error = invoke.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("nothing was sent"), "{error}");
    assert_eq!(world.provider.calls(), []);
}

#[tokio::test]
async fn a_timeout_of_polls_that_all_failed_has_the_last_failure_as_its_source() {
    let failing = || {
        let failed = Error::new(ErrorKind::ProviderInternal).with_http_status(500);
        Err(failed.with_retry(Retry::Temporary))
    };
    let statuses = || (0..20).map(|_| failing());
    for (statuses, caused) in [
        (statuses().collect(), true),
        // The last poll was answered.
        (
            statuses()
                .take(4)
                .chain([Ok(BatchStatus::InProgress)])
                .collect(),
            false,
        ),
    ] {
        for timed in [false, true] {
            let world = World::new(Script {
                statuses: Statuses::clone(&statuses),
                ..Script::default()
            });
            let mut invoke = world
                .invoker
                .batch()
                .invoke(ASKED)
                .status_check_interval(Duration::from_secs(100));
            invoke = match timed {
                true => invoke.timeout(Duration::from_secs(450)),
                false => invoke.max_iterations(5),
            };
            let error = invoke.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<Error>());
            let status = source.and_then(Error::http_status);
            assert_eq!(status, caused.then_some(500), "{timed}: {error}");
        }
    }
}

type Statuses = std::collections::VecDeque<lmbatch_core::Result<BatchStatus>>;

#[tokio::test]
async fn every_error_after_a_create_carries_the_handles_of_all_batches() {
    for (end, max_iterations, reads) in [
        // The polls are used up.
        (vec![Ok(BatchStatus::InProgress); 2], Some(1), None),
        // The results cannot be read.
        (vec![], None, Some(ErrorKind::FileNotFound)),
        // A poll fails permanently.
        (vec![Ok(BatchStatus::InProgress)], None, None),
    ] {
        let mut statuses: Statuses = end.into();
        if max_iterations.is_none() && reads.is_none() {
            statuses.push_back(Err(Error::new(ErrorKind::ProviderAuth)));
        }
        let world = World::new(Script {
            statuses,
            reads: reads.map(Error::new).into_iter().collect(),
            ..Script::default()
        });
        let invoker = world.invoker.clone().batch_limit(BatchLimit {
            max_requests: Some(2),
            ..BatchLimit::default()
        });
        let asked = [("x", "1"), ("y", "2"), ("z/1", "3")];
        let mut invoke = invoker.batch().invoke(asked);
        if let Some(polls) = max_iterations {
            invoke = invoke.max_iterations(polls);
        }
        let error = invoke.await.unwrap_err();
        let handles = error.handles().unwrap();
        let ids: Vec<Vec<&str>> = handles
            .iter()
            .map(|handle| handle.requests.iter().map(|id| id.as_str()).collect())
            .collect();
        assert_eq!(ids, [vec!["x", "y"], vec!["z/1"]], "{error}");
        for handle in handles {
            let json = serde_json::to_string(handle).unwrap();
            let read = serde_json::from_str(&json).unwrap();
            let outcomes = invoker.batch().retrieve(&read).await.unwrap();
            let ids: Vec<_> = outcomes.iter().map(|(id, _)| id.clone()).collect();
            assert_eq!(ids, handle.requests);
            assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
        }
    }
}

/// An answer of the first batch is not in the handle of the second.
#[tokio::test]
async fn the_handle_of_a_later_attempt_names_the_requests_that_were_sent_again() {
    let handles = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = handles.clone();
    let asked = [("x/1", "1"), ("y", "2"), ("z", "3")];
    // The first batch answers in the form of its body.
    let world = World::new(Script::default());
    world.invoker.batch().invoke(asked).await.unwrap();
    let body = world.provider.body(0);
    let first = body.split_inclusive(|byte| *byte == b'\n').next().unwrap();
    let world = World::new(Script {
        rows_of: Some((BatchId::new("b1"), first.to_vec())),
        end: Some(BatchStatus::Expired),
        ..Script::default()
    });
    let invoker = world.invoker.clone().observe(move |event: &Event<'_>| {
        if let Event::Created { batch, handle, .. } = event {
            let handle = handle.read().unwrap();
            assert_eq!(handle.batch, **batch);
            kept.lock().unwrap().push(handle);
        }
    });
    let outcomes = invoker.batch().invoke(asked).max_attempts(2).await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    let handles = handles.lock().unwrap().clone();
    assert_eq!(handles.len(), 2);
    let again = invoker.batch().retrieve(&handles[1]).await.unwrap();
    let texts: Vec<_> = again
        .iter()
        .map(|(id, outcome)| (id.as_str(), outcome.as_result().unwrap().text()))
        .collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(texts, [("y", text("2")), ("z", text("3"))]);
}

/// An observer has the handle before the run is dropped.
#[tokio::test]
async fn the_observer_of_a_dropped_run_has_its_handle() {
    let (sender, created) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let clock = Arc::new(SystemClock::new());
    let script = Script {
        statuses: (0..9).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    };
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider, "m").observe(move |event: &Event<'_>| {
        if let Event::Created { handle, .. } = event {
            sender.lock().unwrap().send((*handle).clone()).unwrap();
        }
    });
    let invoke = std::pin::pin!(invoker.batch().invoke(ASKED).into_future());
    let soon = clock.sleep(Duration::from_millis(300));
    assert!(matches!(select(invoke, soon).await, Either::Right(_)));
    // The run is dropped, but the files of its handle are kept.
    let handle = created.recv().unwrap().read().unwrap();
    let ids: Vec<&str> = handle.requests.iter().map(|id| id.as_str()).collect();
    assert_eq!(ids, ["a/ü", "b"]);
}

#[tokio::test]
async fn a_doubt_error_carries_the_label_the_provider_and_the_response() {
    let world = World::new(Script {
        creates: [Some(lost())].into(),
        ..Script::default()
    });
    for error in [world.invoker.batch().invoke(ASKED).await.unwrap_err(), {
        let world = World::new(Script {
            creates: [Some(lost())].into(),
            ..Script::default()
        });
        world.invoker.batch().create(ASKED).await.unwrap_err()
    }] {
        assert_eq!(error.kind(), ErrorKind::Doubt);
        assert!(error.label().is_some_and(|label| label.parts().is_some()));
        assert_eq!(error.http_status(), Some(502));
        assert_eq!(error.provider().map(|id| id.as_str()), Some("memory"));
        assert!(error.handle().is_none());
    }
}

#[tokio::test]
async fn retrieving_a_running_batch_is_a_temporary_error() {
    let world = World::new(Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        wishes: [Some(Duration::from_secs(7))].into(),
        ..Script::default()
    });
    let handle = world.invoker.batch().create(ASKED).await.unwrap();
    let early = world.invoker.batch().retrieve(&handle).await.unwrap_err();
    assert_eq!(early.retry(), Retry::Temporary, "{early}");
    assert_eq!(early.retry_after(), Some(Duration::from_secs(7)));
    assert!(world.invoker.batch().retrieve(&handle).await.is_ok());
}

#[tokio::test]
async fn an_attempt_is_counted_from_one() {
    let attempts = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = attempts.clone();
    let world = World::new(Script {
        rows: Some(Vec::new()),
        end: Some(BatchStatus::Expired),
        ..Script::default()
    });
    let invoker = world.invoker.clone().observe(move |event: &Event<'_>| {
        if let Event::Requeued { attempt, .. } = event {
            kept.lock().unwrap().push(*attempt);
        }
    });
    invoker.batch().invoke(ASKED).max_attempts(3).await.unwrap();
    assert_eq!(*attempts.lock().unwrap(), [2, 3]);
}

/// Of two tasks with one record one wins; the other gets an error that explains it.
#[tokio::test]
async fn the_task_that_loses_a_run_gets_a_conflict_that_names_the_other() {
    let world = World::new(Script::default());
    let (ledger, invoker) = world.recorded();
    let invoker = invoker.observe({
        let ledger = ledger.clone();
        move |event: &Event<'_>| {
            // Another task is one step ahead whenever a create is about to be sent.
            if let Event::Creating { .. } = event {
                futures::executor::block_on(async {
                    let run = ledger
                        .all_runs(RunFilter::default())
                        .await
                        .unwrap()
                        .remove(0);
                    let shard = ledger.shards(&run.id).await.unwrap().remove(0);
                    ledger.advance(&shard).await.unwrap();
                });
            }
        }
    });
    let error = invoker
        .batch()
        .invoke(ASKED)
        .named("mine")
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::Conflict, Retry::Temporary)
    );
    let said = error.to_string();
    assert!(
        said.contains("the run \"mine\" is being advanced by another"),
        "{said}"
    );
    // The error carries the batch that the losing task had created.
    assert_eq!(error.handles().unwrap().len(), 1);
}

/// The test ends only if no thread waits for the stream, which would keep the runtime alive.
#[test]
fn a_run_that_is_dropped_while_its_stream_is_open_keeps_no_thread() {
    for timed in [false, true] {
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let clock = Arc::new(SystemClock::new());
                let provider = MemoryProvider::new(clock.clone(), Script::default());
                let spool = Arc::new(TemporarySpool::new().unwrap());
                let ledger = Arc::new(MemoryLedger::default());
                let invoker = LMInvoker::new(provider, "m").record(ledger.clone(), spool);
                let first = Ok::<_, std::io::Error>(Request::new("a", "1"));
                let open = futures::StreamExt::chain(stream::iter([first]), stream::pending());
                let mut run = invoker.batch().run("open").requests(open);
                if timed {
                    run = run.timeout(Duration::from_millis(50));
                    let error = run.await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
                } else {
                    let soon = clock.sleep(Duration::from_millis(50));
                    let run = std::pin::pin!(run.into_future());
                    assert!(matches!(select(run, soon).await, Either::Right(_)));
                }
                assert!(
                    ledger
                        .all_runs(RunFilter::default())
                        .await
                        .unwrap()
                        .is_empty()
                );
            });
            // Waits for all threads that do blocking work.
            drop(runtime);
            done.send(()).unwrap();
        });
        let ended = ended.recv_timeout(Duration::from_secs(20));
        assert!(ended.is_ok(), "a thread is still running");
    }
}

#[tokio::test]
async fn a_stream_of_any_length_is_read_to_its_end() {
    for count in [0, 1, 63, 64, 65, 1_000] {
        let world = World::new(Script::default());
        let (_, invoker) = world.recorded();
        let requests = (0..count).map(|n| Request::new(format!("q{n}"), format!("{n}")));
        let requests = stream::iter(requests.map(Ok::<_, std::io::Error>));
        let run = invoker.batch().run("all").requests(requests).await;
        match run {
            Ok(run) => assert_eq!(run.requests(), count),
            Err(error) => assert_eq!((error.kind(), count), (ErrorKind::InvalidInput, 0)),
        }
    }
    let world = World::new(Script::default());
    let (_, invoker) = world.recorded();
    let requests = (0..300).map(|n| match n {
        200 => Err(std::io::Error::other("broken")),
        n => Ok(Request::new(format!("q{n}"), "1")),
    });
    let broken = invoker.batch().run("all").requests(stream::iter(requests));
    let error = broken.await.unwrap_err();
    assert!(error.to_string().contains("request 201"), "{error}");
    assert_eq!(world.provider.accepted(), 0);
}

/// Each request has its own batch, so that a deadline falls between creates.
#[tokio::test]
async fn a_time_limit_between_two_creates_reports_both() {
    let world = World::slow(Script::default(), "create");
    let (_, invoker) = world.recorded();
    let invoker = invoker.batch_limit(one_each());
    let asked = || invoker.batch().invoke(ASKED).named("mine");
    let error = asked().timeout(Duration::from_secs(150)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.handles().unwrap().len(), 1, "{error}");
    // The second create was on its way.
    assert_eq!(error.delivery(), Delivery::Unknown);
    let label = error.label().unwrap().parts().unwrap().1;
    assert_eq!((label, world.provider.accepted()), (1, 2));
    let outcomes = asked().await.unwrap();
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
    assert_eq!(world.provider.accepted(), 2);
}

/// The server's retry-after is longer than the call may take.
#[tokio::test]
async fn a_temporarily_refused_create_is_not_in_doubt_at_the_time_limit() {
    let busy = || {
        let busy = Error::new(ErrorKind::ProviderRateLimit).with_delivery(Delivery::Refused);
        let busy = busy.with_retry(Retry::Temporary);
        Some(busy.with_retry_after(Duration::from_secs(60)))
    };
    let world = World::new(Script {
        creates: [busy()].into(),
        ..Script::default()
    });
    let (_, invoker) = world.recorded();
    let asked = || invoker.batch().invoke(ASKED).named("mine");
    let error = asked().timeout(Duration::from_secs(9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
    assert!(error.handles().unwrap().is_empty());
    // The source explains why it took so long.
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<Error>());
    assert_eq!(source.map(Error::kind), Some(ErrorKind::ProviderRateLimit));
    asked().await.unwrap();
    assert!(world.provider.times("find").is_empty());
    assert_eq!(world.provider.accepted(), 1);
}
