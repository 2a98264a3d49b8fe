//! Reads of a run's files: a start reads nothing that grows with the run.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::sync::{Arc, Mutex};

use lmbatch_core::{
    BatchSnapshot, BatchStatus, Delivery, Error, ErrorKind, Ledger as _, Locations, PartRole,
    Proof, ResultPart, RunRecord, Segment, ShardKey, ShardRecord, ShardState, ShardTables, Spool,
    SpoolFile, SpoolWriter, StoredTable,
};
use lmbatch_engine::{FolderSpool, RunOptions};
use lmbatch_testing::{MemorySpool, Script};

use super::world::{World, numbered, read};

/// Spool that counts the bytes that are read from each file.
#[derive(Debug, Default)]
struct Counting {
    inner: MemorySpool,
    read: Arc<Mutex<BTreeMap<String, u64>>>,
}

#[derive(Debug)]
struct CountingFile {
    name: String,
    inner: Arc<dyn SpoolFile>,
    read: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Counting {
    /// Returns the kinds of the files that were read since the last call, such as `segment`.
    fn taken(&self) -> HashSet<String> {
        let read = std::mem::take(&mut *self.read.lock().unwrap());
        read.into_keys()
            .map(|name| {
                let what = name.split_once('.').map_or("", |(_, what)| what);
                what.split('-').next().unwrap().to_owned()
            })
            .collect()
    }
}

impl Spool for Counting {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        self.inner.create(name)
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        Ok(Arc::new(CountingFile {
            name: name.to_owned(),
            inner: self.inner.open(name)?,
            read: Arc::clone(&self.read),
        }))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        self.inner.scratch()
    }
}

impl SpoolFile for CountingFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.inner.read_at(buffer, offset)?;
        let mut all = self.read.lock().unwrap();
        *all.entry(self.name.clone()).or_default() += read as u64;
        Ok(read)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_at(bytes, offset)
    }
}

fn kinds<const N: usize>(kinds: [&str; N]) -> HashSet<String> {
    kinds.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn each_operation_reads_only_the_files_it_needs() {
    let spool = Arc::new(Counting::default());
    let script = Script {
        statuses: [BatchStatus::Completed, BatchStatus::Completed]
            .map(Ok)
            .into(),
        ..Script::default()
    };
    let world = World::new(spool.clone(), script).with_most(4);
    world.run(&numbered(8), 1).await.unwrap();
    let (engine, run) = (&world.engine, world.record().await);
    spool.taken();

    // Chosen requests are found through tables, and their rows are copied.
    engine.requeue(&run, &HashSet::from([1, 6])).await.unwrap();
    let copied = kinds(["locations", "rows", "echo", "body"]);
    assert_eq!(spool.taken(), copied);

    // One batch is open: no file of the sealed ones is read.
    let refused = world.shards().await;
    assert_eq!(refused.len(), 3);
    let resumed = engine.resume(
        &run,
        RunOptions {
            once: true,
            ..RunOptions::default()
        },
    );
    let finished = resumed.await.unwrap();
    // The files of the created batch, and then those from which outcomes are put together.
    let sent = kinds([
        "locations",
        "rows",
        "echo",
        "body",
        "segment",
        "posting",
        "created",
    ]);
    assert!(spool.taken().is_subset(&sent));
    read(engine, &finished).unwrap();
    spool.taken();

    // Segments are compared with their checksums before the first outcome is returned, while tables
    // of rows and echoes are read with the outcomes.
    let finished = engine.partial_results(&run).await.unwrap();
    assert_eq!(spool.taken(), kinds(["segment", "locations"]));
    let mut reader = engine.outcomes(&finished).unwrap();
    assert_eq!(spool.taken(), kinds([]));
    reader.next().unwrap().unwrap();
    assert_eq!(
        spool.taken(),
        kinds(["segment", "locations", "rows", "echo"])
    );
}

#[tokio::test]
async fn a_resumed_run_reads_nothing_of_its_sealed_batches_while_another_is_open() {
    let spool = Arc::new(Counting::default());
    let refused = || Some(Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused));
    let script = Script {
        creates: [None, None, refused(), refused()].into(),
        ..Script::default()
    };
    let world = World::new(spool.clone(), script).with_most(4);
    world.run(&numbered(12), 1).await.unwrap_err();
    let run = world.record().await;
    let sealed = |shard: &ShardRecord| matches!(shard.state, ShardState::Sealed { .. });
    let shards = world.shards().await;
    assert_eq!(shards.iter().filter(|shard| sealed(shard)).count(), 2);
    spool.taken();
    let error = world.engine.resume(&run, RunOptions::default()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Billing);
    let read = spool.read.lock().unwrap().clone();
    for name in read.keys() {
        let is_open = ["body-2", "rows-2", "echo-2", "posting-2"];
        let what = name.split_once('.').unwrap().1;
        assert!(is_open.contains(&what), "{read:?}");
    }
}

const SHARDS: u32 = 40;
const EACH: u32 = 100_000;

/// Makes a run of four million sealed requests, whose files are sparse, and of one running batch.
async fn large(folder: &std::path::Path) -> (World, RunRecord) {
    let script = Script {
        statuses: [Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    };
    let world = World::new(Arc::new(FolderSpool::new(folder)), script);
    let plan = world.plan(&numbered(1)).await;
    let begun = world.engine.begin(&plan, None, BTreeMap::new()).await;
    let (run, shard) = (begun.unwrap(), world.shards().await.remove(0));
    let stem = run.nonce.as_str().to_owned();
    let hole = |what: String, bytes: u64| -> StoredTable {
        let name = format!("{stem}.{what}");
        File::create(folder.join(&name))
            .unwrap()
            .set_len(bytes)
            .unwrap();
        StoredTable {
            name: name.into(),
            bytes,
            checksum: 7,
        }
    };
    let shards = (0..=SHARDS).map(|number| {
        let batch = format!("b{number}");
        let state = match number == SHARDS {
            true => ShardState::Created {
                batch: batch.as_str().into(),
                proof: Proof::proved("id returned by the create"),
            },
            false => {
                let segment = hole(format!("segment-{number}-1-0-0"), u64::from(EACH) * 1500);
                let locations = hole(format!("locations-{number}-1-0"), u64::from(EACH) * 16 + 56);
                ShardState::Sealed {
                    snapshot: BatchSnapshot::new(batch.as_str().into(), BatchStatus::Completed),
                    segments: vec![Segment {
                        part: ResultPart {
                            batch: batch.as_str().into(),
                            name: "all".into(),
                            role: PartRole::Mixed,
                            shape: "memory".into(),
                            bytes: None,
                        },
                        name: segment.name,
                        bytes: segment.bytes,
                        rows: u64::from(EACH),
                        checksum: Some(7),
                    }],
                    locations: Some(Locations {
                        name: locations.name,
                        checksum: 7,
                    }),
                    undelivered: 0,
                }
            }
        };
        let bytes = u64::from(EACH) * 800;
        hole(format!("body-{number}"), bytes);
        ShardRecord {
            key: ShardKey {
                run: run.id.clone(),
                shard: number,
            },
            count: EACH,
            bytes,
            tables: Some(ShardTables {
                rows: hole(format!("rows-{number}"), u64::from(EACH) * 24),
                request_data: hole(format!("echo-{number}"), u64::from(EACH) * 30),
                first: number * EACH,
                last: (number + 1) * EACH - 1,
                unordered: false,
            }),
            state,
            ..shard.clone()
        }
    });
    let shards: Vec<ShardRecord> = shards.collect();
    let run = RunRecord {
        requests: (SHARDS + 1) * EACH,
        ..run
    };
    world.ledger.delete(&run.id).await.unwrap();
    world.ledger.begin(&run, &shards).await.unwrap();
    (world, run)
}

#[tokio::test]
async fn a_run_of_four_million_sealed_requests_starts_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let (world, run) = large(folder.path()).await;
    assert!(fs::read_dir(folder.path()).unwrap().count() > 160);
    #[expect(clippy::disallowed_methods, reason = "a bound on the start")]
    let start = std::time::Instant::now();
    let once = RunOptions {
        once: true,
        ..RunOptions::default()
    };
    let error = world.engine.resume(&run, once).await.unwrap_err();
    let took = start.elapsed();
    // The status of the running batch was requested.
    assert_eq!(error.kind(), ErrorKind::NotEnded, "{error}");
    assert_eq!(world.provider.times("status").len(), 1);
    assert!(took.as_secs_f64() < 1.0, "{took:?}");
}
