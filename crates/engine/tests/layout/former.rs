//! Runs that the last version with layout 1 left behind.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmbatch_core::{
    BatchProvider as _, ErrorKind, Ledger as _, RunRecord, ShardRecord, ShardState,
};
use lmbatch_engine::{FolderSpool, MemoryLedger, RunOptions};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};
use serde::Deserialize;

use super::world::{World, files, item, read, scratch};
use crate::dying::{Dying, fuse};

/// Folder, outcomes before and after the run is resumed, and number of batches created for the
/// latter.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    usize,
);

const ALL: &[&str] = &[
    "a: one {\"k\":1}",
    "b: two",
    "c: three",
    "d: four \"x\"",
    "e: five",
    "f: six",
    "g: seven",
];

const CASES: [Case; 3] = [
    ("attempts", ALL, ALL, 0),
    (
        "updated",
        &["d: vier {\"new\":true}", "a: eins 2"],
        &["d: vier {\"new\":true}", "a: eins 2"],
        0,
    ),
    ("open", &["a: one {\"k\":1}", "c: three"], ALL, 3),
];

#[derive(Deserialize)]
struct Recorded {
    run: RunRecord,
    shards: Vec<ShardRecord>,
}

/// Copy of a run of the last version with layout 1.
struct Former {
    folder: tempfile::TempDir,
    world: World,
    run: RunRecord,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/layout-1")
        .join(name)
}

impl Former {
    async fn new(name: &str) -> Self {
        Self::changed(name, |_| {}).await
    }

    /// Returns a copy of a run with a changed record.
    async fn changed(name: &str, change: impl Fn(&mut serde_json::Value)) -> Self {
        let folder = scratch();
        for (file, content) in files(&fixture(name).join("spool")) {
            fs::write(folder.path().join(file), content).unwrap();
        }
        let text = fs::read(fixture(name).join("record.json")).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        change(&mut json);
        let recorded: Recorded = serde_json::from_value(json).unwrap();
        let spool = Arc::new(FolderSpool::new(folder.path()));
        // The seed differs from that of the fixtures, so that a plan is another run.
        let world = World::seeded(spool, Script::default(), 11);
        world
            .ledger
            .begin(&recorded.run, &recorded.shards)
            .await
            .unwrap();
        Self {
            folder,
            world,
            run: recorded.run,
        }
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(self.folder.path())
    }

    /// Returns the names of the files, without the stem.
    fn names(&self) -> HashSet<String> {
        let names = self.files().into_keys();
        names
            .map(|name| name.split_once('.').unwrap().1.to_owned())
            .collect()
    }

    /// Asserts that the files of a converted run are complete, and that those of layout 1 are
    /// deleted.
    async fn assert_converted(&self, what: &str) {
        let (names, run) = (self.names(), self.world.record().await);
        let former = ["echo", "sent", "sent-1", "sent-2", "sent-3"];
        for name in former {
            assert!(!names.contains(name), "{what}: {name} is still there");
        }
        let mut kept: Vec<&str> = run.checksums.keys().map(|name| &**name).collect();
        kept.sort_unstable();
        let expected: &[&str] = match run.order {
            Some(_) => &["order-2", "order-echo-2"],
            None => &[],
        };
        assert_eq!(kept, expected, "{what}");
        for shard in self.world.shards().await {
            let tables = shard.tables.unwrap();
            assert_eq!(tables.rows.bytes, u64::from(shard.count) * 24, "{what}");
            for table in [&tables.rows, &tables.request_data] {
                let name = table.name.split_once('.').unwrap().1;
                assert!(names.contains(name), "{what}: {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_run_in_layout_1_is_read_without_changes() {
    for (name, expected, ..) in CASES {
        let former = Former::new(name).await;
        let (before, engine) = (former.files(), &former.world.engine);
        let record = former.world.shards().await;
        let finished = engine.partial_results(&former.run).await.unwrap();
        assert_eq!(read(engine, &finished).unwrap(), expected, "{name}");
        let accounts = engine.batch_totals(&former.run).await.unwrap();
        let answered: u64 = accounts.iter().map(|one| one.answered.count).sum();
        let superseded: u64 = accounts.iter().map(|one| one.superseded.count).sum();
        let counts = match name {
            "attempts" => (7, 0),
            // Of seven answers two are in the output.
            "updated" => (7, 5),
            _ => (2, 0),
        };
        assert_eq!((answered, superseded), counts, "{name}");
        if former.run.finished {
            let finished = engine.recorded_results(&former.run).await.unwrap();
            assert_eq!(read(engine, &finished).unwrap(), expected, "{name}");
        }
        assert_eq!(former.files(), before, "{name}");
        assert_eq!(former.world.shards().await, record, "{name}");
        assert_eq!(former.world.record().await, former.run, "{name}");
    }
}

#[tokio::test]
async fn a_run_in_layout_1_is_converted_once_when_it_is_resumed() {
    for (name, _, expected, created) in CASES {
        let former = Former::new(name).await;
        let engine = &former.world.engine;
        let mut seen = None;
        for _ in 0..2 {
            let finished = engine.resume(&former.run, RunOptions::default()).await;
            assert_eq!(
                read(engine, &finished.unwrap()).unwrap(),
                expected,
                "{name}"
            );
            former.assert_converted(name).await;
            let files = former.files();
            assert_eq!(*seen.get_or_insert(files.clone()), files, "{name}");
        }
        assert_eq!(former.world.provider.accepted(), created, "{name}");
        let finished = engine.recorded_results(&former.run).await.unwrap();
        assert_eq!(read(engine, &finished).unwrap(), expected, "{name}");
        assert!(engine.batch_totals(&former.run).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn a_run_in_layout_1_can_be_requeued_and_updated() {
    for name in ["attempts", "updated"] {
        let former = Former::new(name).await;
        let (engine, provider) = (&former.world.engine, &former.world.provider);
        let again = engine.requeue(&former.run, &HashSet::from([1, 0])).await;
        assert_eq!(again.unwrap(), 2, "{name}");
        former.assert_converted(name).await;
        let finished = engine.resume(&former.run, RunOptions::default()).await;
        let finished = finished.unwrap();
        let all = read(engine, &finished).unwrap();
        let expected = CASES.iter().find(|case| case.0 == name).unwrap().2;
        // The requests are answered again, from the batch in which they were sent last.
        assert_eq!(all, expected, "{name}");
        let sent: String = (0..provider.accepted())
            .map(|batch| String::from_utf8(provider.body(batch)).unwrap())
            .collect();
        assert_eq!(sent.lines().count(), 2, "{name}: {sent}");
        let items = [item("a", "new words", "m"), item("z", "more", "n")];
        let plan = former.world.plan(&items).await;
        let (run, changes) = engine.update(&former.run, &plan).await.unwrap();
        assert_eq!((changes.changed, changes.new), (1, 1), "{name}");
        let finished = engine.resume(&run, RunOptions::default()).await.unwrap();
        assert_eq!(
            read(engine, &finished).unwrap(),
            ["a: new words", "z: more"],
            "{name}"
        );
    }
}

/// Records of still earlier versions have neither checksums of files nor location tables.
#[tokio::test]
async fn a_run_without_checksums_and_location_tables_is_converted() {
    for (name, before, after, _) in CASES {
        let former = Former::changed(name, |record| {
            record["run"]["checksums"] = serde_json::json!({});
            for shard in record["shards"].as_array_mut().unwrap() {
                if let Some(sealed) = shard["state"].get_mut("sealed") {
                    sealed.as_object_mut().unwrap().remove("locations");
                }
            }
        })
        .await;
        let engine = &former.world.engine;
        let finished = engine.partial_results(&former.run).await.unwrap();
        assert_eq!(read(engine, &finished).unwrap(), before, "{name}");
        let finished = engine.resume(&former.run, RunOptions::default()).await;
        assert_eq!(read(engine, &finished.unwrap()).unwrap(), after, "{name}");
        former.assert_converted(name).await;
        let sealed = former.world.shards().await;
        let has_table = |shard: &ShardRecord| {
            matches!(
                shard.state,
                ShardState::Sealed {
                    locations: Some(_),
                    ..
                }
            )
        };
        assert!(sealed.iter().all(has_table), "{name}");
    }
}

#[tokio::test]
async fn a_damaged_file_of_layout_1_is_named_and_nothing_is_deleted_or_sent() {
    for (name, what) in [
        ("open", "sent"),
        ("open", "echo"),
        ("updated", "sent-3"),
        ("updated", "order-2"),
        ("updated", "echo-2"),
    ] {
        let former = Former::new(name).await;
        let path = former.folder.path().join(format!("lysp8v84rftq.{what}"));
        let mut bytes = fs::read(&path).unwrap();
        bytes[3] ^= 1;
        fs::write(&path, bytes).unwrap();
        let engine = &former.world.engine;
        let before = former.files();
        for error in [
            engine
                .resume(&former.run, RunOptions::default())
                .await
                .err(),
            engine.partial_results(&former.run).await.err(),
        ] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Local, "{name} {what}: {error}");
            assert!(error.to_string().contains(what), "{name} {what}: {error}");
        }
        assert_eq!(former.files(), before, "{name} {what}");
        assert_eq!(former.world.provider.accepted(), 0);
    }
}

/// Lets a process die at each call of a conversion, before and after the call takes effect. The
/// next process resumes the run.
async fn die_at_every_call((name, before, after, created): Case) {
    let mut deaths = 0;
    for takes_effect in [false, true] {
        for calls in 0.. {
            let what = format!("{name}, {calls} calls, {takes_effect}");
            let former = Former::new(name).await;
            let fuse = fuse(calls, takes_effect);
            let first = died(&former, &fuse).await;
            if !fuse.is_blown() {
                assert!(first.is_ok(), "{what}");
                break;
            }
            deaths += 1;
            let engine = &former.world.engine;
            // Readers see the whole run, in either layout.
            let finished = engine.partial_results(&former.run).await.unwrap();
            let seen = read(engine, &finished).unwrap();
            let is_seen = |one: &&str| seen.iter().any(|is| is == one);
            assert!(before.iter().all(is_seen), "{what}: {seen:?}");
            let engine = former.world.engine.clone();
            let engine = engine.with_on_doubt(lmbatch_engine::OnDoubt::Resubmit);
            let resumed = engine.resume(&former.run, RunOptions::default()).await;
            let finished = resumed.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(read(&engine, &finished).unwrap(), after, "{what}");
            former.assert_converted(&what).await;
            assert_eq!(former.world.provider.accepted(), created, "{what}");
        }
    }
    assert!(deaths > 20, "{name}: {deaths}");
}

#[tokio::test]
async fn a_conversion_survives_a_death_at_any_call_of_a_run_with_attempts() {
    die_at_every_call(CASES[0]).await;
}

#[tokio::test]
async fn a_conversion_survives_a_death_at_any_call_of_a_run_with_changed_input() {
    die_at_every_call(CASES[1]).await;
}

#[tokio::test]
async fn a_conversion_survives_a_death_at_any_call_of_an_open_run() {
    die_at_every_call(CASES[2]).await;
}

/// Runs the first process, which dies at some call to the ledger, the spool or the provider.
async fn died(former: &Former, fuse: &Arc<crate::dying::Fuse>) -> lmbatch_core::Result<()> {
    let provider: Dying<MemoryProvider> = Dying {
        fuse: Arc::clone(fuse),
        inner: Arc::clone(&former.world.provider),
    };
    let ledger: Dying<MemoryLedger> = Dying {
        fuse: Arc::clone(fuse),
        inner: Arc::clone(&former.world.ledger),
    };
    let spool = Dying {
        fuse: Arc::clone(fuse),
        inner: Arc::new(FolderSpool::new(former.folder.path())),
    };
    assert_eq!(provider.account(), former.world.provider.account());
    let engine = lmbatch_engine::Engine::new(Arc::new(provider))
        .with_record(Arc::new(ledger), Arc::new(spool))
        .with_clock(Arc::new(TestClock::default()))
        .with_rng(Arc::new(TestRng::new(9)));
    let resumed = engine.resume(&former.run, RunOptions::default()).await;
    resumed.map(drop)
}
