//! Random runs over a provider that loses responses, fails requests and kills processes: the bill never exceeds the
//! limit, and the cost that is printed is the bill.

use std::collections::HashSet;
use std::sync::Arc;

use lmbatch_core::{Cost, ErrorKind, Rng as _};
use lmbatch_engine::{CostLimit, OnDoubt, RunOptions};
use lmbatch_testing::TestRng;

use super::vendor::{Chances, Table};
use super::world::{World, cost};
use crate::dying::fuse;

/// Number of runs, each with its own seed.
const RUNS: u64 = 500;

/// Largest number of processes that work on one run.
const LIVES: u64 = 8;

/// Numbers that show that the simulation reaches what it is about.
#[derive(Debug, Default)]
struct Seen {
    stopped: u32,
    finished: u32,
    deaths: u32,
    duplicate_batches: usize,
    requeued: u64,
    /// Number of requests of created repairs.
    repaired: u64,
    unreadable: u64,
    /// Highest bill of all runs.
    most: Cost,
}

/// Random choices of one run.
struct Dice(TestRng);

impl Dice {
    fn below(&self, most: u64) -> u64 {
        (self.0.next_f64() * most as f64) as u64
    }

    fn is(&self, chance: f64) -> bool {
        self.0.next_f64() < chance
    }

    fn chances(&self) -> Chances {
        let some = |most: f64| match self.is(0.5) {
            true => self.0.next_f64() * most,
            false => 0.0,
        };
        Chances {
            lost_response: some(0.4),
            lost_create: some(0.3),
            refused: some(0.3),
            blind: match self.is(0.3) {
                true => 1.0,
                false => some(0.9),
            },
            failed: some(0.5),
            unreadable: some(0.2),
            fitting: some(1.0),
        }
    }

    fn prompts(&self) -> Vec<String> {
        let count = 4 + self.below(40);
        let prompts = (0..count).map(|_| {
            let most = 1 + self.below(40);
            let output = match self.is(0.7) {
                true => most,
                false => self.below(most + 1),
            };
            format!("usage {} {output} {most}", 1 + self.below(40))
        });
        prompts.collect()
    }
}

async fn simulate(seed: u64, seen: &mut Seen) {
    let max = cost("1.00");
    let dice = Dice(TestRng::new(seed));
    let mut world = World::new(seed + 1_000, dice.chances());
    world.per_batch = 1 + dice.below(6) as u32;
    world.structured = dice.is(0.5);
    let prompts = dice.prompts();
    let max_attempts = Some(1 + dice.below(3) as u32);
    // Without a schema, repairs are refused.
    let repairs = dice.below(3) as u32 * u32::from(world.structured);
    let options = RunOptions {
        max_attempts,
        repairs,
        ..RunOptions::default()
    };
    for life in 0..LIVES {
        let is_last = life + 1 == LIVES;
        let calls = match is_last || dice.is(0.3) {
            true => i64::MAX,
            false => dice.below(150) as i64,
        };
        let fuse = fuse(calls, dice.is(0.5));
        let on_doubt = match dice.below(3) {
            0 => OnDoubt::Hold,
            1 => OnDoubt::Resubmit,
            _ if is_last => OnDoubt::Abandon,
            _ => OnDoubt::Resubmit,
        };
        let engine = world
            .process(&fuse, seed + life)
            .with_on_doubt(on_doubt)
            .with_cost_limit(CostLimit::new(max), Arc::new(Table));
        let worked = match world.run().await {
            None => world.start(&engine, &prompts, options).await.map(drop),
            // A run that has ended is asked again for some of its requests.
            Some(run) if run.finished && !is_last => {
                let requests = u64::from(run.requests);
                let count = 1 + dice.below(4);
                let chosen: HashSet<u32> =
                    (0..count).map(|_| dice.below(requests) as u32).collect();
                let requeued = match dice.is(0.5) {
                    true => engine.requeue(&run, &chosen).await,
                    false => engine.repair(&run, &chosen).await,
                };
                seen.requeued += requeued.as_ref().copied().unwrap_or_default();
                requeued.map(drop)
            }
            Some(run) => engine.resume(&run, options).await.map(drop),
        };
        let bill = world.vendor.bill();
        assert!(
            bill <= max,
            "seed {seed}, process {life}: the bill is {bill}"
        );
        seen.most = seen.most.max(bill);
        seen.deaths += u32::from(fuse.is_blown());
        if let Err(error) = worked
            && !fuse.is_blown()
        {
            let expected = [
                ErrorKind::CostLimit,
                ErrorKind::Doubt,
                ErrorKind::ProviderOverloaded,
            ];
            assert!(expected.contains(&error.kind()), "seed {seed}: {error}");
            seen.stopped += u32::from(error.kind() == ErrorKind::CostLimit);
        }
        if dice.is(0.2) {
            world.vendor.set(dice.chances());
        }
    }
    let Some(run) = world.run().await else {
        return;
    };
    seen.finished += u32::from(run.finished);
    seen.duplicate_batches += world.vendor.duplicate_batches();
    // The costs that are printed are those of the bill.
    let engine = world.living(CostLimit::new(max));
    let accounts = engine.batch_totals(&run).await.unwrap();
    let (fetched, unreadable) = world.fetched().await;
    let costs = accounts.iter().map(|account| account.answered.costs);
    let printed: Cost = costs.clone().map(|costs| costs.charged.high).sum();
    let estimated: Cost = costs.clone().map(|costs| costs.charged.low).sum();
    assert_eq!((printed, estimated), (fetched, fetched), "seed {seed}");
    assert_eq!(
        costs.map(|costs| costs.unknown).sum::<u64>(),
        unreadable,
        "seed {seed}"
    );
    seen.unreadable += unreadable;
    // What the record says is at least the bill.
    let shards = world.shards().await;
    let repairs = shards.iter().filter(|shard| shard.repair);
    let created = repairs.filter(|shard| shard.state.batch().is_some());
    seen.repaired += created.map(|shard| u64::from(shard.count)).sum::<u64>();
    let most: Cost = shards
        .iter()
        .filter_map(|shard| shard.cost.as_ref())
        .map(|cost| cost.upper_bound())
        .sum();
    let bill = world.vendor.bill();
    assert!(bill <= most && most <= max, "seed {seed}: {bill}, {most}");
}

#[tokio::test]
async fn five_hundred_random_runs_never_exceed_a_dollar_and_print_what_the_bill_says() {
    let mut seen = Seen::default();
    for seed in 0..RUNS {
        simulate(seed, &mut seen).await;
    }
    // Each kind of trouble happens often, and the limit is nearly used up.
    assert!(seen.stopped > 100, "{seen:?}");
    assert!(seen.finished > 50, "{seen:?}");
    assert!(seen.deaths > 400, "{seen:?}");
    assert!(seen.duplicate_batches >= 10, "{seen:?}");
    assert!(seen.requeued > 50, "{seen:?}");
    assert!(seen.repaired > 100, "{seen:?}");
    assert!(seen.unreadable > 100, "{seen:?}");
    assert!(seen.most > cost("0.90"), "{seen:?}");
}
