//! Shards of requests that are sent again, and of those of a changed input.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use lmbatch_core::{BatchStatus, Delivery, Error, ErrorKind};
use lmbatch_engine::{Event, RunOptions};
use lmbatch_testing::{MemorySpool, Script};

use super::world::{Item, World, numbered, read};

/// Returns a script of a provider that keeps no labels and answers nothing.
fn unlabelled() -> Script {
    Script {
        unlabelled: true,
        by_count: true,
        end: Some(BatchStatus::Expired),
        rows: Some(Vec::new()),
        ..Script::default()
    }
}

fn world(script: Script, most: u32) -> World {
    World::new(Arc::new(MemorySpool::default()), script).with_most(most)
}

/// Returns the request counts of the shards of each attempt.
async fn sizes(world: &World) -> BTreeMap<u32, Vec<u32>> {
    let mut sizes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for shard in world.shards().await {
        sizes.entry(shard.attempt).or_default().push(shard.count);
    }
    sizes
}

fn assert_distinct(sizes: &[u32], what: &str) {
    let distinct: HashSet<u32> = sizes.iter().copied().collect();
    assert_eq!(distinct.len(), sizes.len(), "{what}: {sizes:?}");
}

fn changed(items: &[Item]) -> Vec<Item> {
    let mut items = items.to_vec();
    for one in &mut items {
        one.1.push('!');
    }
    items
}

#[tokio::test]
async fn shards_differ_in_their_request_counts_where_batches_are_recognised_by_them() {
    type Verb = &'static str;
    const VERBS: [Verb; 4] = ["attempts", "requeue", "requeue as", "update"];
    for verb in VERBS {
        let world = world(unlabelled(), 5);
        let items = numbered(12);
        let attempts = if verb == "attempts" { 3 } else { 1 };
        world.run(&items, attempts).await.unwrap();
        let (engine, run) = (&world.engine, world.record().await);
        let all: HashSet<u32> = (0..12).collect();
        match verb {
            "requeue" => {
                engine.requeue(&run, &all).await.unwrap();
            }
            "requeue as" => {
                let plan = world.plan(&changed(&items)).await;
                engine.requeue_as(&run, &all, &plan).await.unwrap();
            }
            "update" => {
                let plan = world.plan(&changed(&items)).await;
                engine.update(&run, &plan).await.unwrap();
            }
            _ => {}
        }
        let sizes = sizes(&world).await;
        assert_eq!(sizes.len() as u32, attempts.max(2), "{verb}");
        for sizes in sizes.values() {
            assert_eq!(sizes.iter().sum::<u32>(), 12, "{verb}");
            assert_distinct(sizes, verb);
        }
    }
}

/// The batch of a shard without one so far may still appear.
#[tokio::test]
async fn a_changed_input_avoids_the_request_counts_of_shards_without_a_known_batch() {
    let refused = Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused);
    let script = Script {
        creates: [Some(refused)].into(),
        ..unlabelled()
    };
    let world = world(script, 5);
    let items = numbered(9);
    world.run(&items, 1).await.unwrap_err();
    let run = world.record().await;
    let plan = world.plan(&changed(&items)[..5]).await;
    world.engine.update(&run, &plan).await.unwrap();
    let all: Vec<u32> = sizes(&world).await.into_values().flatten().collect();
    assert_eq!(all, [5, 4, 3, 2]);
}

#[tokio::test]
async fn shards_that_are_sent_again_have_the_minimum_number_of_requests() {
    let script = || Script {
        min_requests: Some(3),
        ..Script::default()
    };
    let first = world(script(), 5);
    let items = numbered(8);
    first.run(&items, 1).await.unwrap();
    let (engine, run) = (&first.engine, first.record().await);
    for count in [1, 2, 6, 7] {
        let chosen: HashSet<u32> = (0..count).collect();
        let error = engine.requeue(&run, &chosen).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{count}: {error}");
        let plan = first.plan(&changed(&items)).await;
        let error = engine.requeue_as(&run, &chosen, &plan).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{count}: {error}");
    }
    let mut one_new = items.clone();
    one_new[3].1.push('!');
    let plan = first.plan(&one_new).await;
    let error = engine.update(&run, &plan).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(first.record().await.attempt, 0);
    assert_eq!(first.provider.accepted(), 2);
    let chosen = HashSet::from([0, 2, 4, 6]);
    assert_eq!(engine.requeue(&run, &chosen).await.unwrap(), 4);

    // If an automatic requeue is not possible, the outcomes stay and the caller is warned.
    let rows = first.provider.body(0);
    let lines: Vec<&[u8]> = rows.split_inclusive(|byte| *byte == b'\n').collect();
    let short = world(
        Script {
            rows_of: Some(("b1".into(), lines[..3].concat())),
            ..script()
        },
        5,
    );
    let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
    let messages = Arc::clone(&warnings);
    let listen = move |event: &Event<'_>| {
        if let Event::Warning { message } = event {
            messages.lock().unwrap().push((*message).to_owned());
        }
    };
    let short = World {
        engine: short.engine.clone().with_observer(Arc::new(listen)),
        ..short
    };
    let finished = short.run(&items, 3).await.unwrap();
    let said = read(&short.engine, &finished).unwrap();
    assert_eq!(said[2..5], ["q2: 2", "q3: missing", "q4: missing"]);
    assert_eq!(short.provider.accepted(), 2);
    let warnings = warnings.lock().unwrap().join("\n");
    assert!(warnings.contains("are not sent again"), "{warnings}");
    let run = short.record().await;
    let again = short.engine.resume(&run, RunOptions::default()).await;
    assert_eq!(read(&short.engine, &again.unwrap()).unwrap(), said);
}
