//! Outcomes come in the order of the input, from any shards and attempts.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lmbatch_core::{ErrorKind, Rng as _};
use lmbatch_engine::{FolderSpool, RunOptions, RunState};
use lmbatch_testing::{Script, TestRng};

use super::world::{Item, World, item, numbered, read, scratch};

const MODELS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];

/// Returns `count` requests of several models in random order.
fn mixed(count: usize, rng: &TestRng) -> Vec<Item> {
    let model = |_| MODELS[(rng.next_u64() % 7) as usize];
    let one = |number: usize| {
        item(
            &format!("q{number}"),
            &format!("words {number}"),
            model(number),
        )
    };
    (0..count).map(one).collect()
}

fn expected(items: &[Item]) -> Vec<String> {
    let one = |(id, prompt, ..): &Item| format!("{id}: {prompt}");
    items.iter().map(one).collect()
}

#[tokio::test]
async fn outcomes_of_many_classes_and_attempts_come_in_the_order_of_the_input() {
    for seed in 0..4 {
        let rng = TestRng::new(seed);
        let folder = scratch();
        let spool = Arc::new(FolderSpool::new(folder.path()));
        let world = World::new(spool, Script::default()).with_most(5);
        let mut items = mixed(120, &rng);
        let finished = world.run(&items, 1).await.unwrap();
        let engine = &world.engine;
        assert_eq!(read(engine, &finished).unwrap(), expected(&items), "{seed}");
        for round in 0..3 {
            let chosen: HashSet<u32> = (0..items.len() as u32)
                .filter(|_| rng.next_u64().is_multiple_of(3))
                .collect();
            let run = world.record().await;
            if round == 1 {
                // Some requests leave, some change, some are new, and all change their positions.
                items.retain(|_| !rng.next_u64().is_multiple_of(5));
                for (at, one) in items.iter_mut().enumerate() {
                    if rng.next_u64().is_multiple_of(4) {
                        one.1 = format!("other words {at}");
                    }
                }
                for number in 0..20 {
                    items.push(item(&format!("new{number}"), "new words", "b"));
                }
                items.sort_by_cached_key(|_| rng.next_u64());
                let plan = world.plan(&items).await;
                engine.update(&run, &plan).await.unwrap();
            } else if !chosen.is_empty() {
                engine.requeue(&run, &chosen).await.unwrap();
            }
            let run = world.record().await;
            let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
            let what = format!("{seed}, {round}");
            assert_eq!(read(engine, &finished).unwrap(), expected(&items), "{what}");
            let finished = engine.recorded_results(&run).await.unwrap();
            assert_eq!(read(engine, &finished).unwrap(), expected(&items), "{what}");
            let accounts = engine.batch_totals(&run).await.unwrap();
            let answered: u64 = accounts.iter().map(|one| one.answered.count).sum();
            let superseded: u64 = accounts.iter().map(|one| one.superseded.count).sum();
            assert_eq!(answered - superseded, items.len() as u64, "{what}");
        }
    }
}

/// Requests that are sent again as another input has them keep the order of the run in their
/// shards.
#[tokio::test]
async fn requests_in_another_order_are_assigned_to_their_outcomes() {
    let folder = scratch();
    let spool = Arc::new(FolderSpool::new(folder.path()));
    let world = World::new(spool, Script::default()).with_most(4);
    let items = numbered(10);
    world.run(&items, 1).await.unwrap();
    let mut other: Vec<Item> = items.iter().rev().cloned().collect();
    for one in &mut other {
        one.1 = format!("again {}", one.1);
    }
    let plan = world.plan(&other).await;
    let run = world.record().await;
    let chosen = HashSet::from([1, 2, 3, 5, 6, 7, 8]);
    let sent = world.engine.requeue_as(&run, &chosen, &plan).await;
    assert_eq!(sent.unwrap(), 7);
    for shard in world.shards().await {
        assert!(!shard.tables.unwrap().unordered);
    }
    let finished = world.engine.resume(&run, RunOptions::default()).await;
    let said = read(&world.engine, &finished.unwrap()).unwrap();
    let expected: Vec<String> = (0..10)
        .map(|number| match chosen.contains(&number) {
            true => format!("q{number}: again {number}"),
            false => format!("q{number}: {number}"),
        })
        .collect();
    assert_eq!(said, expected);
}

/// A run of many classes writes three files of each class at once.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_plan_of_many_classes_has_few_files_open() {
    const CLASSES: usize = 150;
    let models: Vec<&'static str> = (0..CLASSES)
        .map(|number| &*Box::leak(format!("m{number}").into_boxed_str()))
        .collect();
    let one = |number: usize| item(&format!("q{number}"), "words", models[number % CLASSES]);
    let items: Vec<Item> = (0..3 * CLASSES).map(one).collect();
    let folder = scratch();
    let spool = Arc::new(FolderSpool::new(folder.path()));
    let world = World::new(spool, Script::default());
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let plan = world.plan(&items).await;
    assert_eq!(plan.batches() as usize, CLASSES);
    assert!(open() <= before + 40, "{before} and {}", open());
    drop(plan);
    let finished = world.run(&items, 1).await.unwrap();
    assert_eq!(read(&world.engine, &finished).unwrap(), expected(&items));
    assert!(open() <= before + 40, "{before} and {}", open());
}

#[tokio::test]
async fn a_pilot_of_several_classes_is_completed_in_the_order_of_the_input() {
    let rng = TestRng::new(3);
    let folder = scratch();
    let spool = Arc::new(FolderSpool::new(folder.path()));
    let world = World::new(spool, Script::default()).with_most(5);
    let items = mixed(60, &rng);
    let (engine, plan) = (&world.engine, world.plan(&items).await);
    let pilot = engine.pilot(&plan, 17).await.unwrap();
    assert_eq!((pilot.requests(), pilot.digest()), (17, plan.digest()));
    let begun = engine.begin(&pilot, Some("mine"), BTreeMap::new()).await;
    let begun = begun.unwrap();
    let options = RunOptions::default();
    let finished = engine.start(begun, pilot, options).await.unwrap();
    assert_eq!(read(engine, &finished).unwrap(), expected(&items[..17]));
    let (run, shards) = (world.record().await, world.shards().await);
    assert_eq!((run.requests, run.pilot_of), (17, Some(60)));
    assert_eq!(RunState::of(&run, &shards), RunState::PilotEnded);
    // A larger pilot keeps the answers of the smaller one.
    let pilot = engine.pilot(&plan, 30).await.unwrap();
    let (run, changes) = engine.update(&run, &pilot).await.unwrap();
    pilot.discard();
    assert_eq!((changes.unchanged, changes.new), (17, 13));
    let finished = engine.resume(&run, options).await.unwrap();
    assert_eq!(read(engine, &finished).unwrap(), expected(&items[..30]));
    let (run, changes) = engine.update(&run, &plan).await.unwrap();
    assert_eq!((changes.unchanged, changes.new, changes.gone), (30, 30, 0));
    assert_eq!((run.requests, run.pilot_of), (60, None));
    let finished = engine.resume(&run, options).await.unwrap();
    assert_eq!(read(engine, &finished).unwrap(), expected(&items));
    let (run, shards) = (world.record().await, world.shards().await);
    assert_eq!(RunState::of(&run, &shards), RunState::Finished);
    let sent: u32 = shards.iter().map(|shard| shard.count).sum();
    assert_eq!(sent, 60, "each request is sent once");
    // A run of all requests does not lose any of them to a pilot.
    let pilot = engine.pilot(&plan, 17).await.unwrap();
    let error = engine.update(&run, &pilot).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    for requests in [0, 60, 61] {
        let error = engine.pilot(&plan, requests).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{requests}");
    }
}
