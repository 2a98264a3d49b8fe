//! Calls as values: spawned and joined, with options of their own, watched, and bounded.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests, and a tick of the machine's own time"
)]

use std::any::Any;
use std::future::IntoFuture as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{
    BatchStatus, Effort, Error, ErrorKind, GenerateOptions, Hyperparameters, LMOutput, Outcome,
    Request, RequestCounts, Retry, ThinkingOptions,
};
use lmbatch_engine::{
    BadInput, Event, LMInvoker, MemoryLedger, Observer, Outcomes, Progress, RunSnapshot, RunState,
    TemporarySpool,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRequests, TestRng};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

fn world(script: Script) -> (Arc<MemoryProvider>, LMInvoker) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)));
    (provider, invoker)
}

fn recorded(invoker: LMInvoker) -> LMInvoker {
    let spool = Arc::new(TemporarySpool::new().unwrap());
    invoker.record(Arc::new(MemoryLedger::default()), spool)
}

fn running(polls: usize) -> Script {
    Script {
        statuses: (0..polls).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    }
}

fn texts(outcomes: &Outcomes) -> Vec<String> {
    let outcomes = outcomes.iter();
    let texts = outcomes.map(|(_, outcome)| outcome.as_result().map(LMOutput::text));
    texts.map(Result::unwrap).collect()
}

#[tokio::test]
async fn every_call_owns_what_it_needs_and_can_be_spawned() {
    let (_, invoker) = world(Script::default());
    let invoker = recorded(invoker);
    let (create, invoke, run) = {
        // The invoker and its operations end before the calls do.
        let invoker = invoker.clone();
        let batch = invoker.batch();
        let prompt = String::from("one");
        let asked = [("a", prompt.as_str())];
        (
            tokio::spawn(batch.create(asked).into_future()),
            tokio::spawn(batch.invoke(asked).into_future()),
            tokio::spawn(batch.run("r").requests([("a", "one")]).into_future()),
        )
    };
    let handle = create.await.unwrap().unwrap();
    assert_eq!(texts(&invoke.await.unwrap().unwrap()), ["one"]);
    assert_eq!(run.await.unwrap().unwrap().requests(), 1);
    let batch = invoker.batch();
    let mut calls = tokio::task::JoinSet::new();
    calls.spawn(batch.retrieve(&handle));
    calls.spawn(batch.retrieve_rows(&handle));
    calls.spawn(batch.wait(&handle).into_future());
    while let Some(outcomes) = calls.join_next().await {
        assert_eq!(texts(&outcomes.unwrap().unwrap()), ["one"]);
    }
    let statuses = join_all([batch.status(&handle), batch.status(&handle.batch)]).await;
    for status in statuses {
        assert_eq!(status.unwrap().status, BatchStatus::Completed);
    }
    tokio::spawn(batch.cancel(&handle)).await.unwrap().unwrap();
    let listed = tokio::spawn(batch.list().into_future()).await.unwrap();
    assert_eq!(listed.unwrap().len(), 3);
    assert_eq!(batch.list().limit(2).await.unwrap().len(), 2);
    assert_eq!(batch.list().limit(1).stream().count().await, 1);
}

#[tokio::test]
async fn a_run_takes_iterators_and_streams_of_requests_and_of_results() {
    let (_, invoker) = world(Script::default());
    let invoker = recorded(invoker);
    let requests = || (0..3).map(|n| Request::new(format!("q{n}"), "x"));
    let run = || invoker.batch().run("r");
    let results = || requests().map(Ok::<_, std::io::Error>);
    for run in [
        run().requests(requests()),
        run().requests(results()),
        run().requests(stream::iter(requests())),
        run().requests(stream::iter(results())),
        run(),
    ] {
        assert_eq!(run.await.unwrap().requests(), 3);
    }
    let broken = results().chain([Err(std::io::Error::other("torn"))]);
    let error = invoker.batch().run("s").requests(broken).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().unwrap().starts_with("request 4"), "{error}");
    // The thread that others wait for reads no iterator.
    let here = std::thread::current().id();
    let elsewhere = requests().inspect(move |_| assert_ne!(std::thread::current().id(), here));
    invoker.batch().run("t").requests(elsewhere).await.unwrap();
}

#[tokio::test]
async fn a_named_run_ends_with_its_pilot_and_continues_with_the_other_requests() {
    let (provider, invoker) = world(Script::default());
    let invoker = recorded(invoker);
    let ids = ["a", "b", "c", "d", "e"];
    let named = |name: &str| invoker.batch().run(name).requests(ids.map(|id| (id, id)));
    let all = || named("r");
    let pilot = |requests| (RunState::PilotEnded, Some(5), requests);
    let whole = (RunState::Finished, None, 5);
    for (run, expected, batches) in [
        (all().pilot(2), pilot(2), 1),
        // Nothing is sent again.
        (all().pilot(2), pilot(2), 1),
        (all().pilot(1), pilot(2), 1),
        (invoker.batch().run("r"), pilot(2), 1),
        (all().pilot(4), pilot(4), 2),
        (all(), whole, 3),
        (all().pilot(2), whole, 3),
        (all().update().pilot(2), whole, 3),
        (invoker.batch().run("r").pilot(2), whole, 3),
        // A pilot of all requests is none.
        (named("s").pilot(5), whole, 4),
    ] {
        let output = run.await.unwrap();
        let found = (output.state(), output.pilot_of(), output.requests());
        assert_eq!((found, provider.accepted()), (expected, batches));
        let outcomes = output.outcomes().unwrap();
        let found: Vec<_> = outcomes
            .map_ok(|(id, outcome)| (id.to_string(), outcome.into_result().unwrap().text()))
            .try_collect()
            .await
            .unwrap();
        let sent = ids.into_iter().take(output.requests() as usize);
        let sent: Vec<_> = sent.map(|id| (id.to_owned(), id.to_owned())).collect();
        assert_eq!(found, sent);
    }
    let other = invoker.batch().run("r").requests([("a", "x"), ("b", "y")]);
    for (run, words) in [
        (named("t").pilot(0), "at least 1 request"),
        (other.update().pilot(1), "cannot be reduced to a pilot"),
    ] {
        let error = run.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(provider.accepted(), 4);
}

#[tokio::test]
async fn outcomes_name_every_batch_with_its_final_state() {
    let (provider, invoker) = world(Script {
        max_requests: Some(2),
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    });
    let requests = (0..5).map(|n| Request::new(format!("q{n}"), "x"));
    let outcomes = invoker.batch().invoke(requests).await.unwrap();
    assert_eq!(provider.accepted(), 3);
    let mut batches: Vec<_> = outcomes.batches().iter().collect();
    batches.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
    let found = batches
        .iter()
        .map(|batch| (batch.id.as_str(), batch.counts.total));
    let found: Vec<_> = found.collect();
    let mut counts: Vec<_> = found.iter().map(|(_, count)| *count).collect();
    counts.sort_unstable();
    assert_eq!(counts, [Some(1), Some(2), Some(2)]);
    let ids: Vec<_> = found.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, ["b1", "b2", "b3"]);
    let mut states = batches.iter().map(|batch| &batch.status);
    assert!(states.all(|status| *status == BatchStatus::Completed));
}

#[tokio::test]
async fn options_of_a_call_are_merged_over_the_invokers() {
    let warm = Hyperparameters {
        temperature: Some(0.9),
        seed: Some(1),
        ..Hyperparameters::default()
    };
    let cool = Hyperparameters {
        temperature: Some(0.1),
        ..Hyperparameters::default()
    };
    let brief = GenerateOptions {
        system: Some("Be brief.".into()),
        ..GenerateOptions::default()
    };
    let (_, invoker) = world(Script::default());
    let invoker = invoker.hyperparameters(&warm).effort(Effort::Low);
    let batch = invoker.batch();
    let thinking = ThinkingOptions {
        budget_tokens: Some(7),
        ..ThinkingOptions::default()
    };
    let create = batch.create(ASKED).hyperparameters(&cool).options(&brief);
    let create = format!("{:?}", create.thinking(thinking));
    assert!(create.contains("budget_tokens: Some(7)"), "{create}");
    // What one setter has set, another one keeps.
    let options = GenerateOptions::default();
    let both = batch.invoke(ASKED).hyperparameters(cool).options(options);
    assert_eq!(
        texts(&both.system("Be kind.").await.unwrap()),
        ["one", "two"]
    );
}

#[tokio::test]
async fn progress_is_a_stream_of_snapshots_that_ends_with_the_outcomes() {
    let (_, invoker) = world(running(2));
    let heard = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&heard);
    let invoker = invoker.observe(move |event| {
        if let Event::Created { .. } = event {
            *counted.lock().unwrap() += 1;
        }
    });
    let progress = invoker.batch().invoke(ASKED).progress();
    let items: Vec<Progress<Outcomes>> = progress.try_collect().await.unwrap();
    let (last, before) = items.split_last().unwrap();
    let Progress::Finished(outcomes) = last else {
        panic!("the last item is the result: {last:?}");
    };
    assert_eq!(texts(outcomes), ["one", "two"]);
    let snapshots: Vec<&RunSnapshot> = before
        .iter()
        .map(|item| match item {
            Progress::Snapshot(snapshot) => snapshot,
            Progress::Finished(_) => panic!("a result before the last item"),
        })
        .collect();
    let (first, latest) = (snapshots[0], snapshots.last().unwrap());
    assert_eq!((first.requests, first.attempt), (2, 1));
    assert_eq!(latest.batches, 1);
    assert!(
        snapshots
            .windows(2)
            .all(|pair| pair[0].batches <= pair[1].batches && pair[0].rows <= pair[1].rows)
    );
    // The invoker's observer receives the events as well.
    assert_eq!(*heard.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_failed_call_ends_its_progress_with_the_error() {
    let (_, invoker) = world(running(9));
    let progress = invoker.batch().invoke(ASKED).max_iterations(1).progress();
    let mut items: Vec<Result<Progress<Outcomes>, Error>> = progress.collect().await;
    let error = items.pop().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.handle().is_some());
    assert!(items.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_named_run_whose_progress_is_dropped_is_resumed_and_paid_once() {
    let (provider, invoker) = world(running(1));
    let invoker = recorded(invoker);
    let run = || invoker.batch().run("r").requests(ASKED);
    let mut progress = run().progress();
    while let Some(item) = progress.try_next().await.unwrap() {
        if let Progress::Snapshot(snapshot) = item
            && snapshot.batches > 0
        {
            break;
        }
    }
    drop(progress);
    assert_eq!(run().await.unwrap().requests(), 2);
    assert_eq!(provider.accepted(), 1);
}

#[tokio::test]
async fn a_batch_is_waited_for_by_its_handle() {
    let (provider, invoker) = world(running(3));
    let batch = invoker.batch();
    let handle = batch.create(ASKED).await.unwrap();
    let wait = batch
        .wait(&handle)
        .status_check_interval(Duration::from_secs(30));
    assert_eq!(texts(&wait.await.unwrap()), ["one", "two"]);
    let polls = provider.times("status");
    assert_eq!(polls[..4], [0, 30, 60, 90]);
}

#[tokio::test]
async fn a_wait_that_ends_early_returns_the_handle() {
    let (_, invoker) = world(running(99));
    let batch = invoker.batch();
    let handle = batch.create(ASKED).await.unwrap();
    for wait in [
        batch.wait(&handle).max_iterations(2),
        batch.wait(&handle).timeout(Duration::from_secs(60)),
    ] {
        let error = wait.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(error.batch(), Some(&handle.batch));
        assert_eq!(error.handle(), Some(&handle));
    }
}

#[tokio::test]
async fn an_observer_of_a_call_takes_the_place_of_the_invokers() {
    #[derive(Default)]
    struct Count(Mutex<u32>);
    impl Observer for Count {
        fn observe(&self, event: &Event<'_>) {
            if let Event::Created { .. } = event {
                *self.0.lock().unwrap() += 1;
            }
        }
    }
    let (of_invoker, of_call) = (Arc::new(Count::default()), Arc::new(Count::default()));
    let (_, invoker) = world(Script::default());
    let invoker = invoker.observer(of_invoker.clone());
    let create = invoker.batch().create(ASKED).observer(of_call.clone());
    create.await.unwrap();
    invoker.batch().create(ASKED).await.unwrap();
    assert_eq!(*of_call.0.lock().unwrap(), 1);
    assert_eq!(*of_invoker.0.lock().unwrap(), 1);
}

#[test]
fn a_call_outside_of_a_runtime_is_an_error_and_no_panic() {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock, Script::default()));
    let invoker = LMInvoker::shared(provider.clone(), "m");
    let batch = invoker.batch();
    let error = futures::executor::block_on(batch.invoke(ASKED).into_future()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.message().unwrap().contains("Tokio runtime"),
        "{error}"
    );
    let run = batch.run("r").requests(ASKED).into_future();
    assert!(futures::executor::block_on(run).is_err());
    assert!(futures::executor::block_on(batch.list().into_future()).is_err());
    assert!(provider.calls().is_empty());
}

#[test]
fn outcomes_for_a_test_are_collected_from_pairs() {
    let outcomes = Outcomes::from_iter([
        ("a", Outcome::from(LMOutput::from_text("4"))),
        ("b", Outcome::Expired),
    ]);
    assert_eq!(outcomes.output("a").unwrap().text(), "4");
    assert!(outcomes["b"].as_result().is_err());
    let copy = outcomes.clone();
    assert_eq!((copy.len(), outcomes.len()), (2, 2));
}

/// Returns the processor time that this thread has used. Time in which the machine runs other threads does not count.
fn thread_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    Duration::new(time.tv_sec() as u64, time.tv_nsec() as u32)
}

/// Number of requests of a call whose ticks are measured.
const REQUESTS: usize = 20_000;

/// Call whose ticks are measured, with its result. The result is dropped after the measure.
type Measured = BoxFuture<'static, Box<dyn Any>>;

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Words {
    words: String,
}

/// Returns requests whose prompts, and echoed answers, are JSON objects.
fn many(length: usize) -> impl Iterator<Item = Request> + Send {
    let words = "x".repeat(length);
    let prompt = format!(r#"{{"words":"{words}"}}"#);
    (0..REQUESTS).map(move |n| Request::new(format!("q{n}"), prompt.as_str()))
}

fn named_run(invoker: &LMInvoker) -> Measured {
    let run = invoker.batch().run("r").requests(many(500));
    let run = run.status_check_interval(Duration::from_millis(5));
    let read = async move { run.await?.outcomes()?.try_collect::<Vec<_>>().await };
    read.map(|read| {
        let read = read.unwrap();
        assert_eq!(read.len(), REQUESTS);
        Box::new(read) as _
    })
    .boxed()
}

fn typed_invoke(invoker: &LMInvoker) -> Measured {
    let invoke = invoker.batch().invoke_as::<Words>(many(100));
    let invoke = invoke.status_check_interval(Duration::from_millis(5));
    let outcomes = invoke.into_future().map(|outcomes| {
        let outcomes = outcomes.unwrap();
        assert_eq!(outcomes["q7"].as_result().unwrap().words, "x".repeat(100));
        Box::new(outcomes) as _
    });
    outcomes.boxed()
}

fn create_and_retrieve(invoker: &LMInvoker) -> Measured {
    let batch = invoker.batch();
    let create = batch.create(many(50));
    async move {
        let handle = create.await.unwrap();
        let outcomes = batch.retrieve(&handle).await.unwrap();
        assert_eq!(outcomes.len(), REQUESTS);
        Box::new((handle, outcomes)) as _
    }
    .boxed()
}

/// Updates a run, compares it with another input, sends requests again as that input has them, and adds everything up.
fn updated_run(invoker: &LMInvoker) -> Measured {
    let (batch, engine) = (invoker.batch(), invoker.engine().clone());
    let all = || {
        batch
            .run("r")
            .status_check_interval(Duration::from_millis(5))
    };
    let first = all().requests(many(500));
    let second = all().requests(many(500).skip(1).chain([Request::new("new", "x")]));
    let second = second.update();
    let other = (0..REQUESTS).map(|n| (format!("q{n}"), "y".repeat(500)));
    let other = TestRequests::new(other.collect::<Vec<_>>());
    async move {
        first.await.unwrap();
        let updated = second.await.unwrap();
        assert_eq!(updated.changes().unwrap().new, 1);
        let run = engine.ledger().run(updated.id()).await.unwrap().unwrap();
        let audit = engine.audit(&run).await.unwrap().unwrap();
        assert_eq!(audit.outcomes, REQUESTS as u64);
        let plan = engine.plan(Box::new(other)).await.unwrap();
        let changes = engine.changes(&run, &plan).await.unwrap();
        assert_eq!(changes.changed, REQUESTS as u64 - 1);
        engine.check_update(&run, &plan).await.unwrap();
        let chosen = (0..1000).collect();
        assert_eq!(engine.requeue_as(&run, &chosen, &plan).await.unwrap(), 1000);
        Box::new((updated, plan)) as _
    }
    .boxed()
}

/// Returns the most processor time between two ticks of 2 ms while a call runs on a runtime of one thread.
fn longest_gap(
    call: fn(&LMInvoker) -> Measured,
    requests_in_a_batch: u32,
    provider_counts: bool,
) -> Duration {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = Arc::new(lmbatch_engine::SystemClock::new());
        let count = u64::from(requests_in_a_batch);
        let script = Script {
            max_requests: Some(requests_in_a_batch),
            // To count, the provider in memory reads all rows of a batch on the runtime's thread.
            counts: (!provider_counts).then(|| RequestCounts {
                total: Some(count),
                succeeded: count,
                ..RequestCounts::default()
            }),
            ..Script::default()
        };
        let provider = Arc::new(MemoryProvider::new(clock, script));
        // The call takes its requests before it starts.
        let call = call(&recorded(LMInvoker::shared(provider, "m")));
        let longest = Arc::new(Mutex::new(Duration::ZERO));
        let known = Arc::clone(&longest);
        let ticks = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            let mut last = thread_time();
            loop {
                tick.tick().await;
                let now = thread_time();
                let mut longest = known.lock().unwrap();
                *longest = (*longest).max(now - last);
                last = now;
            }
        });
        tokio::task::yield_now().await;
        let result = call.await;
        tokio::time::sleep(Duration::from_millis(4)).await;
        ticks.abort();
        drop(result);
        *longest.lock().unwrap()
    })
}

#[test]
fn a_call_with_many_requests_holds_up_no_other_task() {
    let named: fn(&LMInvoker) -> Measured = named_run;
    for (name, call, requests_in_a_batch, provider_counts, most) in [
        ("a named run", named, 200, false, 20),
        (
            "a provider that works between two steps",
            named,
            50,
            true,
            50,
        ),
        ("a typed invoke", typed_invoke, 200, false, 20),
        ("an update", updated_run, 2000, false, 20),
        ("a create", create_and_retrieve, REQUESTS as u32, false, 20),
    ] {
        // A busy machine stops a thread now and then: the middle one of three runs tells.
        let mut gaps = [(); 3].map(|()| longest_gap(call, requests_in_a_batch, provider_counts));
        gaps.sort();
        assert!(gaps[1] < Duration::from_millis(most), "{name}: {gaps:?}");
    }
}

#[tokio::test]
async fn a_batch_that_has_not_ended_is_an_error_of_its_own_kind() {
    let (_, invoker) = world(running(9));
    let handle = invoker.batch().create(ASKED).await.unwrap();
    let early = invoker.batch().retrieve(&handle).await.unwrap_err();
    assert_eq!(
        (early.kind(), early.retry(), early.batch()),
        (ErrorKind::NotEnded, Retry::Temporary, Some(&handle.batch))
    );
    // The limit of a call that waits is another matter.
    let cut = invoker.batch().wait(&handle).max_iterations(1).await;
    assert_eq!(cut.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn the_source_of_an_input_error_names_each_bad_request() {
    let (provider, invoker) = world(Script::default());
    let image = lmbatch_core::Attachment::from_path("no/such.png");
    let asked = [
        Request::new("a", "one"),
        Request::new("b", vec![lmbatch_core::MessageContent::from(image)]),
        Request::new("a", "three"),
    ];
    let error = invoker.batch().invoke(asked).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let bad: &BadInput = source.downcast_ref().unwrap();
    assert_eq!(
        (bad.count, bad.to_string().as_str()),
        (2, "2 requests are not valid")
    );
    let [unreadable, duplicate] = &bad.first[..] else {
        panic!("{bad:?}");
    };
    assert_eq!(
        (unreadable.position, unreadable.id.as_deref()),
        (2, Some("b"))
    );
    // Its id is that of another request.
    assert_eq!((duplicate.position, duplicate.id.as_deref()), (3, None));
    // The one sentence of the error names both.
    for bad in [unreadable, duplicate] {
        assert!(error.to_string().contains(&bad.to_string()), "{error}");
    }
    assert_eq!(provider.accepted(), 0);
}
