//! Repairs, one scene each: what is sent, what counts, and what a process that dies leaves behind.

use std::sync::{Arc, Mutex};

use lmbatch_core::{AnswerView, Cost, ErrorKind, OutcomeView, Problem, RunRecord};
use lmbatch_engine::{CostLimit, Engine, Event, OnDoubt, RunOptions, RunResults};

use super::vendor::{Chances, Fate};
use super::world::{World, cost};
use crate::dying::fuse;

const SAID: &str = "The answer does not fit the schema: the answer is not JSON: ";

/// World whose answers never fit, with a provider that answers everything.
fn world() -> World {
    let mut world = World::new(1, Chances::default());
    world.structured = true;
    world
}

fn prompts(count: usize) -> Vec<String> {
    vec!["usage 10 5 20".to_owned(); count]
}

fn options(repairs: u32) -> RunOptions {
    RunOptions {
        repairs,
        ..RunOptions::default()
    }
}

/// Makes every answer from now on fit.
fn fit(world: &World) {
    world.vendor.set(Chances {
        fitting: 1.0,
        ..Chances::default()
    });
}

fn free(world: &World) -> Engine {
    world.process(&fuse(i64::MAX, false), 7)
}

async fn run(world: &World) -> RunRecord {
    world.run().await.unwrap()
}

/// Returns the problem of each outcome; `Empty` stands for an outcome without an answer.
fn problems(engine: &Engine, finished: &RunResults) -> Vec<Option<Problem>> {
    let mut outcomes = engine.outcomes(finished).unwrap();
    let mut found = Vec::new();
    while let Some(answered) = outcomes.next().unwrap() {
        found.push(match &answered.answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(_),
                ..
            } => answered.answer.problem(),
            _ => Some(Problem::Empty),
        });
    }
    found
}

/// Returns the texts that each batch holds, in the order of the creates.
fn sent(world: &World) -> Vec<Vec<String>> {
    let batches = (1..=world.vendor.batches()).map(|number| {
        let batch = lmbatch_core::BatchId::new(format!("b{number}"));
        let held = world.vendor.held(&[batch].into());
        let texts = held.iter().map(|held| held.row["text"].as_str().unwrap());
        texts.map(str::to_owned).collect()
    });
    batches.collect()
}

const INVALID: Option<Problem> = Some(Problem::InvalidStructured);

#[tokio::test]
async fn a_repair_holds_the_conversation_with_the_answer_and_the_reason() {
    let world = world();
    let engine = free(&world);
    let finished = world.start(&engine, &prompts(1), options(2)).await.unwrap();
    assert_eq!(problems(&engine, &finished), [INVALID]);
    let sent = sent(&world);
    let [first, second, third] = [0, 1, 2].map(|batch: usize| &sent[batch][0]);
    // The provider echoes what it is sent.
    assert_eq!(first, "usage 10 5 20");
    let repaired = |of: &str, text: &str| {
        let reason = text.strip_prefix(&format!("{of} {of} {SAID}"));
        reason.is_some_and(|rest| rest.ends_with("Answer again with JSON that fits the schema."))
    };
    assert!(repaired(first, second), "{second}");
    assert!(repaired(second, third), "{third}");
    let shards = world.shards().await;
    let repairs: Vec<_> = shards
        .iter()
        .map(|shard| (shard.attempt, shard.repair))
        .collect();
    assert_eq!(repairs, [(0, false), (1, true), (2, true)]);
}

#[tokio::test]
async fn only_answers_that_do_not_fit_are_repaired_and_the_fitting_answer_counts() {
    let world = world();
    let engine = free(&world);
    let finished = world.start(&engine, &prompts(5), options(0)).await.unwrap();
    assert_eq!(problems(&engine, &finished), [INVALID; 5]);
    assert_eq!(
        engine
            .repair(&run(&world).await, &[0, 2].into())
            .await
            .unwrap(),
        2
    );
    fit(&world);
    let finished = engine.resume(&run(&world).await, options(1)).await.unwrap();
    let expected = [None, INVALID, None, INVALID, INVALID];
    assert_eq!(problems(&engine, &finished), expected);
    assert_eq!(world.vendor.batches(), 4);
    // A fitting answer is not repaired, and the others were not chosen.
    let all = (0..5).collect();
    assert_eq!(engine.repair(&run(&world).await, &all).await.unwrap(), 3);
    let finished = engine.resume(&run(&world).await, options(9)).await.unwrap();
    assert_eq!(problems(&engine, &finished), [None; 5]);
}

#[tokio::test]
async fn a_repair_that_fails_leaves_the_earlier_answer_and_the_next_repair_continues_that_one() {
    for (failed, unreadable) in [(1.0, 0.0), (0.0, 1.0)] {
        let chances = Chances {
            failed,
            unreadable,
            ..Chances::default()
        };
        let world = world();
        let engine = free(&world);
        world.start(&engine, &prompts(1), options(0)).await.unwrap();
        engine
            .repair(&run(&world).await, &[0].into())
            .await
            .unwrap();
        world.vendor.set(chances);
        let finished = engine.resume(&run(&world).await, options(2)).await.unwrap();
        assert_eq!(problems(&engine, &finished), [INVALID], "{chances:?}");
        let sent = sent(&world);
        assert_eq!(sent.len(), 3, "{chances:?}");
        assert_eq!(sent[1], sent[2], "{chances:?}");
        // A failed repair is not an unanswered request.
        let once = RunOptions {
            max_attempts: Some(9),
            ..options(0)
        };
        engine
            .requeue(&run(&world).await, &[0].into())
            .await
            .unwrap();
        world.vendor.set(Chances::default());
        engine.resume(&run(&world).await, once).await.unwrap();
        assert_eq!(
            self::sent(&world)[3],
            ["usage 10 5 20"],
            "the original is sent"
        );
    }
}

#[tokio::test]
async fn repairs_are_made_beyond_the_maximum_of_attempts() {
    let world = world();
    let engine = free(&world);
    let options = RunOptions {
        max_attempts: Some(1),
        ..options(3)
    };
    world.start(&engine, &prompts(1), options).await.unwrap();
    assert_eq!(world.vendor.batches(), 4);
    // A later requeue by the caller counts both from zero.
    engine
        .requeue(&run(&world).await, &[0].into())
        .await
        .unwrap();
    engine.resume(&run(&world).await, options).await.unwrap();
    assert_eq!(world.vendor.batches(), 8);
    let repairs: Vec<bool> = world
        .shards()
        .await
        .iter()
        .map(|shard| shard.repair)
        .collect();
    assert_eq!(repairs, [false, true, true, true, false, true, true, true]);
}

#[tokio::test]
async fn a_process_that_dies_at_any_call_repairs_nothing_twice() {
    let mut deaths = 0;
    for after in [false, true] {
        for calls in 0.. {
            let world = world();
            let dying = fuse(calls, after);
            let engine = world.process(&dying, 7);
            let worked = world.start(&engine, &prompts(3), options(2)).await;
            let survived = worked.is_ok();
            drop(engine);
            // The list of this provider does not lag, so that a create without a batch was not accepted.
            let engine = free(&world).with_on_doubt(OnDoubt::Resubmit);
            let Some(run) = world.run().await else {
                continue;
            };
            let finished = match run.finished {
                true => engine.recorded_results(&run).await,
                false => engine.resume(&run, options(2)).await,
            };
            assert_eq!(problems(&engine, &finished.unwrap()), [INVALID; 3]);
            let sent: Vec<String> = sent(&world).concat();
            assert_eq!(sent.len(), 9, "after {calls} calls: {sent:?}");
            let longest = sent.iter().filter(|text| text.matches(SAID).count() > 3);
            assert_eq!(longest.count(), 0, "no third repair");
            deaths += u32::from(!survived);
            if survived {
                break;
            }
        }
    }
    assert!(deaths > 60, "{deaths}");
}

#[tokio::test]
async fn an_answer_that_makes_its_request_too_long_is_left_with_a_warning() {
    let mut world = world();
    world.per_batch = 4;
    let long = format!("usage 10 5 20 {}", "x".repeat(600_000));
    let prompts = [prompts(1), vec![long; 2]].concat();
    let messages = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&messages);
    let engine = free(&world).with_observer(Arc::new(move |event: &Event<'_>| {
        if let Event::Warning { message } = event {
            heard.lock().unwrap().push((*message).to_owned());
        }
    }));
    let finished = world.start(&engine, &prompts, options(2)).await.unwrap();
    assert_eq!(problems(&engine, &finished), [INVALID; 3]);
    let counts: Vec<usize> = sent(&world).iter().map(Vec::len).collect();
    assert_eq!(counts, [3, 1, 1]);
    let messages = messages.lock().unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let words = "2 answers that do not fit their schemas are left as they are: with its answer the request is 12";
    assert!(messages[0].starts_with(words), "{messages:?}");
}

#[tokio::test]
async fn a_repair_reserves_by_its_own_bytes_and_stops_at_the_limit() {
    let world = world();
    let limited = |max: &str| world.living(CostLimit::new(cost(max)));
    let engine = limited("1000");
    world.start(&engine, &prompts(2), options(1)).await.unwrap();
    let shards = world.shards().await;
    let [first, repair] = [0, 1].map(|shard: usize| shards[shard].cost.clone().unwrap());
    assert!(repair.reserved > first.reserved, "{repair:?}");
    // The answers of both are paid for, and the superseded ones are included.
    let accounts = engine.batch_totals(&run(&world).await).await.unwrap();
    let paid: Cost = accounts
        .iter()
        .map(|account| account.answered.costs.charged.high)
        .sum();
    assert_eq!(paid, world.vendor.bill());
    let superseded: Vec<u64> = accounts
        .iter()
        .map(|account| account.superseded.count)
        .collect();
    assert_eq!(superseded, [2, 0]);
    // A limit that holds the first batch and its settled cost, but not the repair.
    let short = self::world();
    let max = first.reserved.saturating_add(first.settled.unwrap());
    let engine = short.living(CostLimit::new(max));
    let stopped = short.start(&engine, &prompts(2), options(1)).await;
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::CostLimit);
    assert_eq!(short.vendor.batches(), 1);
    let engine = short.living(CostLimit::new(cost("1000")));
    engine.resume(&run(&short).await, options(1)).await.unwrap();
    assert_eq!(short.vendor.batches(), 2);
    let fates = short.vendor.held(&["b2".into()].into());
    assert!(fates.iter().all(|held| held.fate == Fate::Answered));
}

#[tokio::test]
async fn an_update_after_a_repair_sends_nothing_again() {
    let world = world();
    let engine = free(&world);
    world.start(&engine, &prompts(2), options(1)).await.unwrap();
    let plan = world.plan(&engine, &prompts(2)).await.unwrap();
    let (_, changes) = engine.update(&run(&world).await, &plan).await.unwrap();
    assert_eq!((changes.unchanged, changes.changed), (2, 0));
    plan.discard();
}
