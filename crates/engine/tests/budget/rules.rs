//! Rules of the limit, one scene each.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{Cost, ErrorKind, Ledger as _, ShardState};
use lmbatch_engine::{CostLimit, Costs, OnDoubt, RunOptions};

use super::vendor::{Chances, INPUT, OUTPUT, Table};
use super::world::{World, cost};
use crate::dying::fuse;

/// Prompts of requests that use 10 input and 5 output tokens, of at most 20.
fn prompts(count: usize) -> Vec<String> {
    vec!["usage 10 5 20".to_owned(); count]
}

/// Cost of one of these requests on the bill.
fn each() -> Cost {
    Cost::from_picodollars(10 * INPUT + 5 * OUTPUT)
}

/// Returns the largest cost of a batch of two of them: the bytes of a row, and 20 output tokens.
async fn bound() -> Cost {
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(cost("1000")));
    world
        .start(&engine, &prompts(2), RunOptions::default())
        .await
        .unwrap();
    let shards = world.shards().await;
    shards[0].cost.as_ref().unwrap().reserved
}

#[tokio::test]
async fn a_batch_reserves_its_bytes_and_its_largest_output_and_is_settled_by_usage() {
    let bound = bound().await;
    let least = Cost::from_picodollars(40 * OUTPUT + 60 * INPUT);
    assert!(bound > least && bound < least.saturating_mul(3), "{bound}");
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(cost("1000")));
    let finished = world
        .start(&engine, &prompts(5), RunOptions::default())
        .await
        .unwrap();
    let shards = world.shards().await;
    let settled = shards
        .iter()
        .map(|shard| shard.cost.as_ref().unwrap().settled.unwrap());
    assert_eq!(settled.sum::<Cost>(), each().saturating_mul(5));
    assert_eq!(world.vendor.bill(), each().saturating_mul(5));
    let mut outcomes = engine.outcomes(&finished).unwrap();
    let mut costs = Costs::default();
    while let Some(answered) = outcomes.next().unwrap() {
        assert_eq!(answered.cost.unwrap().charged.high, each());
        costs.add(answered.cost);
    }
    assert_eq!(costs.charged.high, each().saturating_mul(5));
    assert_eq!((costs.saved, costs.unknown), (each().saturating_mul(5), 0));
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_not_created_and_a_higher_limit_continues() {
    let bound = bound().await;
    // The first batch fits. After it has cost less, the second fits as well, and the third does not.
    let settled = each().saturating_mul(2);
    let max = bound.saturating_add(settled);
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(max));
    let error = world
        .start(&engine, &prompts(6), RunOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CostLimit, "{error}");
    let message = error.message().unwrap();
    assert!(message.contains(&format!("limit of {max}")), "{message}");
    assert_eq!(world.vendor.batches(), 2);
    let shards = world.shards().await;
    let sealed = shards
        .iter()
        .filter(|shard| matches!(shard.state, ShardState::Sealed { .. }));
    assert_eq!(
        sealed.count(),
        2,
        "the results of created batches are fetched"
    );
    // The same limit sends nothing more.
    let run = world.run().await.unwrap();
    let error = engine
        .resume(&run, RunOptions::default())
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), world.vendor.creates()),
        (ErrorKind::CostLimit, 2)
    );
    let engine = world.living(CostLimit::new(max.saturating_add(settled)));
    let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
    assert_eq!((finished.requests(), world.vendor.batches()), (6, 3));
}

#[tokio::test]
async fn a_limit_below_the_first_batch_sends_nothing() {
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(cost("0.000001")));
    let error = world
        .start(&engine, &prompts(2), RunOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CostLimit);
    assert_eq!(world.vendor.creates(), 0);
    let shards = world.shards().await;
    assert!(matches!(shards[0].state, ShardState::Staged(_)));
    assert_eq!(shards[0].cost, None);
}

#[tokio::test]
async fn requests_without_a_bound_and_models_without_a_price_are_refused_before_the_run_is_recorded()
 {
    let open = vec!["usage 10 5 20".to_owned(), "usage 10 5".to_owned()];
    for (model, prompts, reason) in [
        (
            "m",
            open.clone(),
            "request 2 sets no maximum number of output tokens",
        ),
        (
            "new",
            prompts(1),
            "request 1 has no known price: the table of 2026-11-26",
        ),
    ] {
        let mut world = World::new(1, Chances::default());
        world.model = model;
        let engine = world.living(CostLimit::new(cost("1")));
        let error = world
            .start(&engine, &prompts, RunOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.message().unwrap();
        assert!(
            message.contains(reason) && message.ends_with("nothing was sent"),
            "{message}"
        );
        assert!(world.run().await.is_none());
    }
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(cost("1")).with_expected_output(9));
    world
        .start(&engine, &open, RunOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_pilot_is_refused_for_a_request_without_a_bound_that_it_leaves_out() {
    let open = ["usage 10 5 20", "usage 10 5 20", "usage 10 5"].map(str::to_owned);
    let world = World::new(1, Chances::default());
    let engine = world.living(CostLimit::new(cost("1")));
    let plan = world.plan(&engine, &open).await.unwrap();
    let error = engine.pilot(&plan, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let message = error.message().unwrap();
    assert!(
        message.contains("request 3 sets no maximum number of output tokens")
            && message.ends_with("nothing was sent"),
        "{message}"
    );
    assert_eq!(world.vendor.creates(), 0);
}

#[tokio::test]
async fn the_limit_holds_for_a_pilot_and_the_rest_together() {
    let bound = bound().await;
    let pilot_cost = each().saturating_mul(2);
    // What the pilot has cost counts: the second batch fits beside it only if its largest cost does.
    for (max, created) in [
        (bound.saturating_add(pilot_cost), 2),
        (
            bound
                .saturating_add(pilot_cost)
                .saturating_sub(Cost::from_picodollars(1)),
            1,
        ),
    ] {
        let world = World::new(1, Chances::default());
        let engine = world.living(CostLimit::new(max));
        let plan = world.plan(&engine, &prompts(4)).await.unwrap();
        let pilot = engine.pilot(&plan, 2).await.unwrap();
        let begun = engine.begin(&pilot, None, BTreeMap::new()).await.unwrap();
        let options = RunOptions::default();
        engine.start(begun.clone(), pilot, options).await.unwrap();
        assert_eq!(world.vendor.bill(), pilot_cost);
        let (run, _) = engine.update(&begun, &plan).await.unwrap();
        let ended = engine.resume(&run, options).await;
        assert_eq!(ended.is_ok(), created == 2, "{max}");
        assert_eq!(world.vendor.batches(), created, "{max}");
        assert!(world.vendor.bill() <= max, "{max}");
    }
}

#[tokio::test]
async fn a_create_that_is_sent_twice_counts_twice_and_an_abandoned_one_at_its_bound() {
    let bound = bound().await;
    let lost = Chances {
        lost_response: 1.0,
        blind: 1.0,
        ..Chances::default()
    };
    for (on_doubt, max, batches, reserved) in [
        // Both creates fit, and both were accepted.
        (OnDoubt::Resubmit, bound.saturating_mul(2), 2, 2),
        // The second create does not fit beside the first, which may have been accepted.
        (OnDoubt::Resubmit, bound.saturating_add(each()), 1, 1),
        (OnDoubt::Abandon, bound, 1, 1),
    ] {
        let world = World::new(1, lost);
        let engine = world.living(CostLimit::new(max)).with_on_doubt(on_doubt);
        let _ = world
            .start(&engine, &prompts(2), RunOptions::default())
            .await;
        assert_eq!(world.vendor.batches(), batches, "{on_doubt:?}");
        let shards = world.shards().await;
        let most = shards[0].cost.as_ref().unwrap().upper_bound();
        assert_eq!(most, bound.saturating_mul(reserved), "{on_doubt:?}");
        // What is reserved stays reserved for later batches of the run.
        assert!(world.vendor.bill() <= max);
    }
}

#[tokio::test]
async fn answers_without_readable_usage_keep_their_reservation() {
    let unreadable = Chances {
        unreadable: 1.0,
        ..Chances::default()
    };
    let world = World::new(1, unreadable);
    let engine = world.living(CostLimit::new(cost("10")));
    world
        .start(&engine, &prompts(2), RunOptions::default())
        .await
        .unwrap();
    let shards = world.shards().await;
    let cost_of = shards[0].cost.as_ref().unwrap();
    assert_eq!(cost_of.settled, Some(cost_of.reserved));
    let failed = Chances {
        failed: 1.0,
        ..Chances::default()
    };
    let world = World::new(1, failed);
    let engine = world.living(CostLimit::new(cost("10")));
    world
        .start(&engine, &prompts(2), RunOptions::default())
        .await
        .unwrap();
    let shards = world.shards().await;
    assert_eq!(shards[0].cost.as_ref().unwrap().settled, Some(Cost::ZERO));
}

#[tokio::test]
async fn batches_that_were_created_without_a_limit_count_against_a_later_one() {
    let bound = bound().await;
    let world = World::new(1, Chances::default());
    let free = world.process(&fuse(i64::MAX, false), 7);
    world
        .start(&free, &prompts(4), RunOptions::default())
        .await
        .unwrap();
    assert!(
        world
            .shards()
            .await
            .iter()
            .all(|shard| shard.cost.is_none())
    );
    let run = world.run().await.unwrap();
    let spent = each().saturating_mul(4);
    let chosen = [0, 1].into();
    for (max, batches) in [
        (
            spent
                .saturating_add(bound)
                .saturating_sub(Cost::from_picodollars(1)),
            2,
        ),
        (spent.saturating_add(bound), 3),
    ] {
        let engine = world.living(CostLimit::new(max));
        if batches == 2 {
            engine.requeue(&run, &chosen).await.unwrap();
        }
        let run = world.run().await.unwrap();
        let resumed = engine.resume(&run, RunOptions::default()).await;
        assert_eq!(resumed.is_ok(), batches == 3);
        assert_eq!(world.vendor.batches(), batches);
    }
}

#[tokio::test]
async fn two_processes_that_reserve_at_once_do_not_both_get_the_last_of_the_limit() {
    let bound = bound().await;
    for first in 0..40 {
        let mut world = World::new(1, Chances::default());
        world.per_batch = 2;
        let max = bound.saturating_add(each());
        // The ledger of this test lends a run to both processes.
        let dying = fuse(first, true);
        let one = world
            .process(&dying, 7)
            .with_cost_limit(CostLimit::new(max), Arc::new(Table));
        let _ = world.start(&one, &prompts(4), RunOptions::default()).await;
        let Some(run) = world.run().await else {
            continue;
        };
        let (two, three) = (
            world.living(CostLimit::new(max)),
            world.living(CostLimit::new(max)),
        );
        let options = RunOptions {
            once: true,
            ..RunOptions::default()
        };
        let ended = futures::join!(two.resume(&run, options), three.resume(&run, options));
        let shards = world.ledger.shards(&run.id).await.unwrap();
        let most: Cost = shards
            .iter()
            .filter_map(|shard| shard.cost.as_ref())
            .map(|cost| cost.upper_bound())
            .sum();
        assert!(most <= max, "{first}: {most} of {max}: {ended:?}");
        assert!(world.vendor.bill() <= max, "{first}");
    }
}

#[tokio::test]
async fn a_create_takes_a_limit_of_its_own() {
    let world = World::new(1, Chances::default());
    let batch = world.invoker().batch();
    for (limit, refused, creates) in [("0.000001", true, 0), ("1000", false, 1)] {
        let create = batch.create([("a", "usage 10 5 20")]);
        let created = create.max_cost(cost(limit), Arc::new(Table)).await;
        let kind = created.err().map(|error| error.kind());
        assert_eq!(kind, refused.then_some(ErrorKind::CostLimit), "{limit}");
        assert_eq!(world.vendor.creates(), creates, "{limit}");
    }
}
