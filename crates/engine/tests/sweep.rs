//! Batches of one account are polled together: by pages of the list where that is cheaper than a
//! status call for each, by all runs of the process at once, and without changing when and how
//! often a batch is polled.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::paused::PausedClock;
use lmbatch_core::{BatchId, Clock, Delivery, Error, ErrorKind, Request, Result, Retry};
use lmbatch_engine::{BatchLimit, Event, LMInvoker, MemoryLedger, StepLimits};
use lmbatch_testing::{FleetRules, Listing, MemoryFleet, MemorySpool, TestRng};
use tokio::task::JoinSet;

const MINUTE: Duration = Duration::from_secs(60);

/// Seconds at which each batch was polled.
type Polls = Arc<Mutex<BTreeMap<BatchId, Vec<u64>>>>;

pub(crate) struct World {
    pub(crate) fleet: Arc<MemoryFleet>,
    pub(crate) invoker: LMInvoker,
    pub(crate) clock: Arc<dyn Clock>,
    polls: Polls,
}

pub(crate) fn world(rules: FleetRules) -> World {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let most = rules.max_requests;
    let fleet = Arc::new(MemoryFleet::new(clock.clone(), rules));
    let polls = Polls::default();
    let (noted, time) = (Arc::clone(&polls), Arc::clone(&clock));
    let observe = move |event: &Event<'_>| {
        if let Event::Polled { snapshot, .. } = event {
            let mut polls = noted.lock().unwrap();
            let of_batch = polls.entry(snapshot.id.clone()).or_default();
            of_batch.push(time.elapsed().as_secs());
        }
    };
    let invoker = LMInvoker::shared(fleet.clone(), "m")
        .clock(clock.clone())
        .rng(Arc::new(TestRng::new(7)))
        .observe(observe)
        .batch_limit(BatchLimit {
            max_requests: Some(most),
            ..BatchLimit::default()
        });
    World {
        fleet,
        invoker,
        clock,
        polls,
    }
}

pub(crate) fn requests(count: usize) -> impl Iterator<Item = Request> {
    (0..count).map(|number| Request::new(format!("{number}"), "x"))
}

/// Drives one run to its end, with one poll of each batch a minute.
pub(crate) async fn run(invoker: LMInvoker, count: usize) {
    let batch = invoker.batch();
    let outcomes = batch.invoke(requests(count)).status_check_interval(MINUTE);
    let outcomes = outcomes.await.unwrap();
    assert_eq!(outcomes.len(), count);
    assert!(outcomes.iter().all(|(_, outcome)| outcome.is_usable()));
}

/// Drives several runs to their ends at once, each by a clone of one engine.
pub(crate) async fn runs(world: &World, runs: usize, batches: usize) {
    let mut all = JoinSet::new();
    for _ in 0..runs {
        all.spawn(run(world.invoker.clone(), batches));
    }
    while let Some(ended) = all.join_next().await {
        ended.unwrap();
    }
}

pub(crate) fn rate_limit(wait: Option<u64>) -> Error {
    let error = Error::new(ErrorKind::ProviderRateLimit)
        .with_http_status(429)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Refused);
    match wait {
        Some(wait) => error.with_retry_after(Duration::from_secs(wait)),
        None => error,
    }
}

fn internal() -> Error {
    Error::new(ErrorKind::ProviderInternal)
        .with_http_status(500)
        .with_retry(Retry::Temporary)
}

#[tokio::test(start_paused = true)]
async fn many_batches_are_polled_by_pages_of_the_list_in_one_run_and_in_fifty() {
    for (count, batches) in [(1, 1000), (50, 20)] {
        let world = world(FleetRules::default());
        runs(&world, count, batches).await;
        // One poll when the batches are created and one a minute, until they end after ten: ten
        // pages each.
        let (lists, statuses) = (world.fleet.count("walk"), world.fleet.count("status"));
        assert!((110..=130).contains(&lists), "{count} runs: {lists} pages");
        assert_eq!(statuses, 0, "{count} runs");
        let polls = world.polls.lock().unwrap();
        assert_eq!(polls.len(), 1000);
        for (batch, polls) in &*polls {
            assert_eq!(polls.len(), 11, "{batch}: {polls:?}");
            let waits = polls.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(
                waits.clone().all(|wait| (59..=68).contains(&wait)),
                "{batch}: {polls:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn batches_that_are_created_one_by_one_share_sweeps() {
    let world = world(FleetRules {
        latency: Duration::from_millis(200),
        takes: Duration::from_secs(3600),
        ..FleetRules::default()
    });
    runs(&world, 5, 200).await;
    // Polled one by one, a thousand batches would need more than 60,000 calls in an hour.
    let calls = world.fleet.count("walk") + world.fleet.count("status");
    assert!(calls < 8000, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_few_batches_among_many_foreign_ones_are_polled_by_status_calls() {
    for foreign_first in [true, false] {
        let world = world(FleetRules::default());
        if foreign_first {
            world.fleet.add_foreign(500);
        }
        let later = async {
            world.clock.sleep(Duration::from_secs(30)).await;
            if !foreign_first {
                world.fleet.add_foreign(500);
            }
        };
        tokio::join!(runs(&world, 1, 3), later);
        assert_eq!(world.fleet.count("walk"), 0);
        assert_eq!(world.fleet.count("status"), 3 * 11);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_costs_more_than_status_calls_is_given_up() {
    let world = world(FleetRules::default());
    let later = async {
        world.clock.sleep(Duration::from_secs(30)).await;
        // From now on the batches are on page 51.
        world.fleet.add_foreign(5000);
    };
    tokio::join!(runs(&world, 1, 20), later);
    assert_eq!(world.polls.lock().unwrap().len(), 20);
    // Twenty pages without a batch cost as much as twenty status calls, and are not read again at
    // each poll.
    let lists = world.fleet.count("walk");
    assert!((20..=50).contains(&lists), "{lists} pages");
    let statuses = world.fleet.count("status");
    assert!((180..=220).contains(&statuses), "{statuses} status calls");
}

#[tokio::test(start_paused = true)]
async fn batches_that_a_list_hides_or_shows_incompletely_are_polled_by_status_calls() {
    for (listing, polled) in [
        (Listing::Hidden, 11),
        (Listing::UnknownWord, 11),
        // Only the end of a batch needs counts.
        (Listing::WithoutCounts, 1),
    ] {
        let world = world(FleetRules::default());
        for batch in ["b3", "b77"] {
            world.fleet.list_otherwise(batch, listing);
        }
        runs(&world, 2, 50).await;
        let asked = world.fleet.asked();
        let ids: BTreeSet<&str> = asked.iter().map(BatchId::as_str).collect();
        assert_eq!(ids, BTreeSet::from(["b3", "b77"]), "{listing:?}");
        assert!(
            asked.len() >= 2 * polled && asked.len() <= 22,
            "{listing:?}: {}",
            asked.len()
        );
        let polls = world.polls.lock().unwrap();
        for (batch, polls) in &*polls {
            assert_eq!(polls.len(), 11, "{listing:?} {batch}: {polls:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_fails_no_run() {
    let malformed = Error::malformed("no list").with_retry(Retry::Temporary);
    let refused = Error::new(ErrorKind::ProviderAuth).with_http_status(401);
    for (error, times, most_lists) in [
        (internal(), 1000, 3 * 2),
        (rate_limit(None), 1000, 3 * 2),
        (rate_limit(Some(5)), 1000, 3 * 2),
        (rate_limit(Some(7200)), 1000, 2),
        (malformed, 1000, 3 * 2),
        (refused.with_retry(Retry::Permanent), 1000, 2),
        (Error::unsupported("listing batches"), 1000, 1),
        // The failure is temporary.
        (internal(), 2, 40),
        (rate_limit(Some(5)), 2, 40),
    ] {
        let world = world(FleetRules::default());
        world.fleet.fail("walk", (0..times).map(|_| error.clone()));
        runs(&world, 3, 40).await;
        let (lists, statuses) = (world.fleet.count("walk"), world.fleet.count("status"));
        assert!((1..=most_lists).contains(&lists), "{error}: {lists} pages");
        match times {
            2 => assert_eq!(statuses, 0, "{error}"),
            _ => assert!((1200..=1320).contains(&statuses), "{error}: {statuses}"),
        }
        let polls = world.polls.lock().unwrap();
        assert!(polls.values().all(|polls| polls.len() >= 10), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporarily_refused_list_pauses_the_polls_of_every_run() {
    let world = world(FleetRules::default());
    let fault = async {
        world.clock.sleep(Duration::from_secs(90)).await;
        world.fleet.fail("walk", [rate_limit(Some(40))]);
        world.fleet.fail("status", [rate_limit(Some(40))]);
    };
    tokio::join!(runs(&world, 3, 40), fault);
    let calls = world.fleet.calls();
    let polls = calls
        .iter()
        .filter(|call| ["walk", "status"].contains(&call.method));
    let at: Vec<u64> = polls
        .map(|call| call.at)
        .filter(|at| (115..180).contains(at))
        .collect();
    let (first, later) = at.split_first().unwrap();
    assert!(later.iter().all(|at| *at >= first + 40), "{at:?}");
    assert!(!later.is_empty(), "the polls continue after the pause");
}

#[tokio::test(start_paused = true)]
async fn a_temporarily_refused_status_pauses_the_polls_of_every_run() {
    let world = world(FleetRules {
        page: None,
        ..FleetRules::default()
    });
    let fault = async {
        world.clock.sleep(Duration::from_secs(90)).await;
        world.fleet.fail("status", [rate_limit(Some(40))]);
    };
    tokio::join!(runs(&world, 3, 4), fault);
    let calls = world.fleet.calls().into_iter();
    let at = calls
        .filter(|call| call.method == "status")
        .map(|call| call.at);
    let at: Vec<u64> = at.filter(|at| (115..200).contains(at)).collect();
    // Calls that run at the same time as the refused one are completed.
    let end = at[0] + 40;
    let early = at.iter().filter(|at| **at < end).count();
    assert!(early <= StepLimits::default().polls, "{at:?}");
    assert!(at.len() > early, "the polls continue after the pause");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_polled_exactly_as_often_as_its_caller_allows() {
    for (page, batches) in [(Some(100), 300), (None, 300), (Some(100), 3)] {
        let world = world(FleetRules {
            takes: Duration::from_secs(86_400),
            page,
            ..FleetRules::default()
        });
        let batch = world.invoker.batch();
        let run = batch
            .invoke(requests(batches))
            .status_check_interval(MINUTE);
        let error = run.max_iterations(3).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        let polls = world.polls.lock().unwrap();
        assert_eq!(polls.len(), batches);
        for (batch, polls) in &*polls {
            assert_eq!(polls.len(), 3, "{batch}: {polls:?}");
        }
        let took = world.clock.elapsed().as_secs();
        assert!((120..=136).contains(&took), "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_run_keeps_its_own_interval_and_the_servers_interval_wins() {
    let world = world(FleetRules::default());
    let other = |interval: u64| {
        let invoker = world.invoker.clone();
        async move {
            let batch = invoker.batch();
            let run = batch.invoke(requests(100));
            run.status_check_interval(Duration::from_secs(interval))
                .await
                .unwrap();
        }
    };
    tokio::join!(other(10), other(100));
    let mut counts: Vec<usize> = {
        let polls = world.polls.lock().unwrap();
        polls.values().map(Vec::len).collect()
    };
    counts.sort_unstable();
    // At 0, 100, …, 600 s, and at 0, 10, …, 600 s: a poll is never early, and at most an eighth of
    // its interval late.
    assert_eq!(counts.len(), 200);
    assert!(
        counts[..100].iter().all(|polls| (6..=7).contains(polls)),
        "{counts:?}"
    );
    assert!(
        counts[100..].iter().all(|polls| (54..=61).contains(polls)),
        "{counts:?}"
    );
    let world = self::world(FleetRules {
        poll_after: Some(Duration::from_secs(200)),
        ..FleetRules::default()
    });
    runs(&world, 2, 100).await;
    let polls = world.polls.lock().unwrap();
    assert!(polls.values().all(|polls| polls.len() == 4), "{polls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_is_noticed_within_two_seconds() {
    for page in [Some(100), None] {
        let world = world(FleetRules {
            takes: Duration::from_secs(86_400),
            page,
            ..FleetRules::default()
        });
        let ledger = Arc::new(MemoryLedger::default());
        let invoker = world.invoker.clone();
        let invoker = invoker.record(ledger, Arc::new(MemorySpool::default()));
        let cancel = async {
            world.clock.sleep(Duration::from_secs(601)).await;
            let engine = invoker.engine();
            let runs = engine
                .ledger()
                .runs(&lmbatch_core::RunFilter::default())
                .await
                .unwrap();
            // Another process records that the run is cancelled, and ends before it cancels a
            // batch.
            let mut run = runs.items[0].clone();
            run.cancelled = true;
            engine.ledger().change(&run, &[]).await.unwrap();
        };
        let batch = invoker.batch();
        let run = batch.invoke(requests(100)).named("mine");
        let run = run.status_check_interval(MINUTE).into_future();
        let (outcomes, ()) = tokio::join!(run, cancel);
        assert_eq!(outcomes.unwrap().len(), 100);
        let calls = world.fleet.calls();
        let cancels: Vec<u64> = calls
            .iter()
            .filter(|call| call.method == "cancel")
            .map(|call| call.at)
            .collect();
        assert_eq!(cancels.len(), 100);
        assert!(
            cancels.iter().all(|at| (601..=603).contains(at)),
            "{cancels:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_is_taken_over_when_its_run_ends() {
    let world = world(FleetRules {
        latency: Duration::from_secs(1),
        ..FleetRules::default()
    });
    let short = async {
        let batch = world.invoker.batch();
        let run = batch.invoke(requests(200)).status_check_interval(MINUTE);
        // The time limit is reached in the middle of a sweep, whichever run makes it.
        run.timeout(Duration::from_millis(182_500)).await.map(drop)
    };
    let (ended, ()) = tokio::join!(short, runs(&world, 2, 200));
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Timeout);
    let statuses = world.fleet.count("status");
    assert!(statuses < 600, "{statuses} status calls");
}

#[tokio::test(start_paused = true)]
async fn runs_are_resumed_by_tasks_of_their_own() -> Result<()> {
    let world = world(FleetRules {
        takes: Duration::from_secs(300),
        ..FleetRules::default()
    });
    let ledger = Arc::new(MemoryLedger::default());
    let spool = Arc::new(MemorySpool::default());
    let invoker = world.invoker.clone().record(ledger, spool);
    for number in 0..10 {
        let batch = invoker.batch();
        let run = batch.invoke(requests(30)).named(format!("{number}"));
        let error = run.timeout(Duration::from_secs(3)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
    }
    let before = (world.fleet.count("walk"), world.fleet.count("status"));
    let engine = invoker.engine();
    let filter = lmbatch_core::RunFilter::default();
    let mut all = JoinSet::new();
    for run in engine.ledger().runs(&filter).await?.items {
        let engine = engine.clone();
        all.spawn(async move {
            let finished = engine.resume(&run, lmbatch_engine::RunOptions::default());
            finished.await.map(|finished| finished.requests())
        });
    }
    let mut requests = 0;
    while let Some(ended) = all.join_next().await {
        requests += ended.unwrap()?;
    }
    assert_eq!((requests, world.fleet.accepted()), (300, 300));
    assert_eq!(
        world.fleet.count("status"),
        before.1,
        "300 batches are polled by the list"
    );
    assert!(world.fleet.count("walk") > before.0);
    Ok(())
}
