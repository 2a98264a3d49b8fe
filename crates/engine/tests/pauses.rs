//! The runs of one account share permits, pauses and quota: a `Retry-After` of any call holds for every run, and no call
//! outside of a run goes beyond the limits.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lmbatch_core::{Clock, Delivery, Error, ErrorKind, Retry, RunFilter};
use lmbatch_engine::{LMInvoker, MemoryLedger, StepLimits};
use lmbatch_testing::{FleetRules, MemoryProvider, MemorySpool, Script, TestRng};

use crate::paused::PausedClock;
use crate::sweep::{World, rate_limit, requests, run, runs, world};

#[tokio::test(start_paused = true)]
async fn the_limits_of_steps_hold_for_all_runs_of_an_account() {
    let mut world = world(FleetRules {
        latency: Duration::from_secs(1),
        page: None,
        takes: Duration::from_secs(100),
        ..FleetRules::default()
    });
    let limits = StepLimits {
        creates: 3,
        polls: 5,
        fetches: 2,
        ..StepLimits::default()
    };
    world.invoker = world.invoker.clone().limits(limits);
    runs(&world, 20, 5).await;
    for (method, most) in [("create", 3), ("status", 5), ("results", 2), ("read", 2)] {
        assert_eq!(world.fleet.most_at_once(method), most, "{method}");
    }
    assert_eq!(world.fleet.accepted(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_create_pauses_every_run_of_the_account() {
    let world = world(FleetRules {
        latency: Duration::from_millis(100),
        ..FleetRules::default()
    });
    world.fleet.fail("create", [rate_limit(Some(30))]);
    runs(&world, 10, 3).await;
    let calls = world.fleet.calls();
    let begun: Vec<u64> = calls
        .iter()
        .map(|call| call.at)
        .filter(|at| *at < 60)
        .collect();
    let during = begun.iter().filter(|at| (1..30).contains(*at));
    assert_eq!(during.count(), 0, "{begun:?}");
    assert_eq!(world.fleet.accepted(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_download_pauses_every_run_of_the_account() {
    for method in ["results", "read"] {
        let world = world(FleetRules {
            latency: Duration::from_millis(100),
            takes: Duration::from_secs(100),
            ..FleetRules::default()
        });
        world.fleet.fail(method, [rate_limit(Some(30))]);
        runs(&world, 10, 3).await;
        let calls = world.fleet.calls();
        let is_download = |method| ["results", "read"].contains(&method);
        let first = calls.iter().find(|call| call.method == method).unwrap().at;
        let during = calls
            .iter()
            .filter(|call| is_download(call.method) && (first + 1..first + 30).contains(&call.at));
        let during: Vec<_> = during.collect();
        assert!(during.is_empty(), "{method} at {first}: {during:?}");
        assert_eq!(world.fleet.accepted(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_of_a_repeated_create_pauses_the_account() {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let lost = Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown);
    let provider = Arc::new(MemoryProvider::new(
        clock.clone(),
        Script {
            tokens: Some(None),
            creates: [Some(lost), Some(rate_limit(Some(30)))].into(),
            max_requests: Some(1),
            ..Script::default()
        },
    ));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .limits(StepLimits {
            creates: 1,
            ..StepLimits::default()
        });
    run(invoker, 5).await;
    let creates = provider.times("create");
    assert_eq!(creates[..2], [0, 0], "{creates:?}");
    assert!(creates[2..].iter().all(|at| *at >= 30), "{creates:?}");
    assert_eq!(provider.accepted(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_create_is_not_sent_earlier_than_a_long_retry_after_asks_for() {
    // Batches that end in the meantime make no difference.
    for takes in [600, 10_800] {
        let mut world = world(FleetRules {
            latency: Duration::from_millis(100),
            takes: Duration::from_secs(takes),
            ..FleetRules::default()
        });
        world.invoker = world.invoker.clone().limits(StepLimits {
            creates: 1,
            ..StepLimits::default()
        });
        let fault = async {
            world.clock.sleep(Duration::from_secs(2)).await;
            world.fleet.fail("create", [rate_limit(Some(7200))]);
        };
        tokio::join!(runs(&world, 1, 40), fault);
        let calls = world.fleet.calls();
        let creates = calls.iter().filter(|call| call.method == "create");
        let early = creates.filter(|call| (3..7202).contains(&call.at));
        assert_eq!(early.count(), 0, "{takes}");
        assert_eq!(world.fleet.accepted(), 40);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_without_a_batch_waits_for_the_quota_that_other_runs_of_the_account_hold() {
    let world = world(FleetRules {
        quota: Some(4),
        latency: Duration::from_millis(100),
        ..FleetRules::default()
    });
    runs(&world, 15, 1).await;
    assert_eq!(world.fleet.accepted(), 15);
    // Four at once for 600 s each: a create follows soon after an end was seen.
    let took = world.clock.elapsed().as_secs();
    assert!((2400..2900).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_run_fails_for_want_of_quota_where_no_batch_of_the_account_runs() {
    let world = world(FleetRules {
        quota: Some(0),
        ..FleetRules::default()
    });
    let (first, second) = (world.invoker.batch(), world.invoker.batch());
    let (first, second) = tokio::join!(
        first.invoke(requests(2)).into_future(),
        second.invoke(requests(2)).into_future()
    );
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
    }
    let took = world.clock.elapsed().as_secs();
    assert!(took < 1000, "{took}");
}

#[tokio::test(start_paused = true)]
async fn creates_go_one_at_a_time_until_one_is_accepted() {
    let refused = Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::NotSent);
    for error in [refused, rate_limit(None), rate_limit(Some(1))] {
        let world = world(FleetRules {
            latency: Duration::from_secs(1),
            ..FleetRules::default()
        });
        world
            .fleet
            .fail("create", [error.clone(), error.clone(), error.clone()]);
        runs(&world, 1, 10).await;
        let calls = world.fleet.calls();
        let creates = calls.iter().filter(|call| call.method == "create");
        let at: Vec<u64> = creates.map(|call| call.at).collect();
        let alone = at[..4].windows(2).all(|pair| pair[0] < pair[1]);
        assert!(alone, "{error}: {at:?}");
        assert_eq!(world.fleet.accepted(), 10);
    }
}

/// Returns an invoker with a record of its own.
fn recorded(world: &World) -> LMInvoker {
    let ledger = Arc::new(MemoryLedger::default());
    let spool = Arc::new(MemorySpool::default());
    world.invoker.clone().record(ledger, spool)
}

#[tokio::test(start_paused = true)]
async fn runs_that_end_together_search_for_second_batches_within_the_limits() {
    let mut world = world(FleetRules {
        latency: Duration::from_secs(1),
        page: None,
        ..FleetRules::default()
    });
    let limits = StepLimits {
        creates: 1,
        polls: 3,
        ..StepLimits::default()
    };
    world.invoker = recorded(&world).limits(limits);
    // Only a named run is recorded.
    let named = (0..50).map(|number| {
        let run = world.invoker.batch().invoke(requests(1));
        run.named(format!("{number}")).into_future()
    });
    for outcomes in join_all(named).await {
        assert_eq!(outcomes.unwrap().len(), 1);
    }
    // The list is read before each create, and at the end of each run.
    assert_eq!(world.fleet.count("list"), 100);
    let most = world.fleet.most_at_once("list");
    assert!(most <= 4, "{most} lists at once");
}

#[tokio::test(start_paused = true)]
async fn the_cancellation_of_a_run_keeps_to_limits_and_pauses_and_is_not_sequential() {
    let mut world = world(FleetRules {
        latency: Duration::from_secs(1),
        takes: Duration::from_secs(86_400),
        ..FleetRules::default()
    });
    world.invoker = recorded(&world);
    let batch = world.invoker.batch();
    let begun = batch.invoke(requests(40)).named("mine");
    let begun = begun.timeout(Duration::from_secs(60)).await;
    assert_eq!(begun.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(world.fleet.accepted(), 40);
    let engine = world.invoker.engine();
    let run = engine
        .ledger()
        .all_runs(RunFilter::default())
        .await
        .unwrap();
    world.fleet.fail("cancel", [rate_limit(Some(30))]);
    let start = world.clock.elapsed().as_secs();
    assert_eq!(engine.cancel_run(&run[0]).await.unwrap(), 40);
    assert_eq!(world.fleet.most_at_once("cancel"), 8);
    let calls = world.fleet.calls();
    let cancels = calls.iter().filter(|call| call.method == "cancel");
    let at: Vec<u64> = cancels.map(|call| call.at - start).collect();
    assert!(at.iter().all(|at| *at <= 1 || *at >= 30), "{at:?}");
    assert!(at.iter().all(|at| *at < 60), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn calls_outside_of_runs_share_limits_and_pauses() {
    let mut world = world(FleetRules {
        latency: Duration::from_secs(1),
        takes: Duration::from_secs(10),
        ..FleetRules::default()
    });
    world.invoker = world.invoker.clone().limits(StepLimits {
        creates: 3,
        polls: 2,
        fetches: 2,
        ..StepLimits::default()
    });
    let batch = world.invoker.batch();
    world.fleet.fail("create", [rate_limit(Some(30))]);
    let created = (0..10).map(|_| batch.create(requests(1)).into_future());
    let handles: Vec<_> = join_all(created)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let calls = world.fleet.calls();
    let creates = calls.iter().filter(|call| call.method == "create");
    let at: Vec<u64> = creates.map(|call| call.at).collect();
    assert!(at.iter().all(|at| *at <= 2 || *at >= 30), "{at:?}");
    assert_eq!(world.fleet.most_at_once("create"), 3);
    let start = world.clock.elapsed().as_secs();
    world.fleet.fail("status", [rate_limit(Some(40))]);
    let statuses = handles.iter().map(|handle| batch.status(handle));
    join_all(statuses)
        .await
        .into_iter()
        .for_each(|status| drop(status.unwrap()));
    let calls = world.fleet.calls();
    let statuses = calls.iter().filter(|call| call.method == "status");
    let at: Vec<u64> = statuses.map(|call| call.at - start).collect();
    assert!(at.iter().all(|at| *at <= 1 || *at >= 40), "{at:?}");
    let retrieved = handles.iter().map(|handle| batch.retrieve(handle));
    join_all(retrieved)
        .await
        .into_iter()
        .for_each(|outcomes| drop(outcomes.unwrap()));
    for (method, most) in [("status", 2), ("results", 2), ("read", 2)] {
        assert!(world.fleet.most_at_once(method) <= most, "{method}");
    }
}
