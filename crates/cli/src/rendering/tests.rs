use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch::Engine;
use lmbatch::adapter::{BatchProvider as _, ResultPart};
use lmbatch::engine::{FolderSpool, MemoryLedger, RunOptions};
use lmbatch::record::Spool;
use lmbatch_testing::{
    MemoryProvider, MemorySpool, Script, TestClock, TestRequest, TestRequests, TestRng,
};

use super::*;

/// Returns a request that is answered by echo. Requests have different lengths.
fn numbered(number: u64) -> TestRequest {
    // One in a thousand is longer than a piece.
    let repeated = if number % 1_000 == 7 {
        20_000
    } else {
        number % 50
    };
    let prompt = format!("{number} ").repeat(repeated as usize + 1);
    TestRequest {
        metadata: Some(r#"{"a":1}"#),
        ..TestRequest::from((format!("q{number}"), prompt))
    }
}

struct World {
    provider: Arc<MemoryProvider>,
    engine: Engine,
    finished: RunResults,
}

impl World {
    async fn new(spool: Arc<dyn Spool>, count: u64) -> Self {
        let clock = Arc::new(TestClock::default());
        let provider = Arc::new(MemoryProvider::new(clock.clone(), Script::default()));
        let engine = Engine::new(provider.clone())
            .with_record(Arc::new(MemoryLedger::default()), spool)
            .with_clock(clock)
            .with_rng(Arc::new(TestRng::new(7)));
        let source = TestRequests::new((0..count).map(numbered));
        let plan = engine.plan(Box::new(source)).await.unwrap();
        let run = engine.begin(&plan, None, BTreeMap::new()).await.unwrap();
        let run = engine.start(run, plan, RunOptions::default());
        let finished = run.await.unwrap();
        Self {
            provider,
            engine,
            finished,
        }
    }

    fn rendering(&self) -> Rendering {
        let origin = LineOrigin {
            provider: "memory".to_owned(),
            emulated: false,
            raw: false,
        };
        Rendering::new(&self.finished, OutcomeForm::Lines(origin), Vec::new())
    }

    /// Renders with a number of readers; returns the lines and the result.
    fn lines(&self, readers: usize) -> (Vec<u8>, Result<Counts, Failure>) {
        let readers = (0..readers).map(|_| self.engine.outcomes(&self.finished).unwrap());
        let mut written = Vec::new();
        let counts = self.rendering().lines(
            readers.collect(),
            &AtomicBool::new(false),
            &mut |lines: &[u8]| {
                written.extend_from_slice(lines);
                Ok(())
            },
        );
        (written, counts)
    }
}

#[tokio::test]
async fn several_threads_write_the_same_lines_as_one() {
    for count in [1, 255, 256, 257, 3_000] {
        let world = World::new(Arc::new(MemorySpool::default()), count).await;
        let (alone, counts) = world.lines(1);
        let counts = format!("{:?}", counts.unwrap());
        assert_eq!(
            alone.iter().filter(|byte| **byte == b'\n').count() as u64,
            count
        );
        for readers in 2..=3 {
            let (lines, others) = world.lines(readers);
            assert!(lines == alone, "{count} outcomes on {readers} threads");
            assert_eq!(format!("{:?}", others.unwrap()), counts);
        }
    }
}

#[tokio::test]
async fn an_error_ends_the_output_and_all_threads() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(FolderSpool::new(folder.path())), 3_000).await;
    let (whole, _) = world.lines(1);
    // A write fails, early and late.
    for most in [0, 1, 5] {
        for readers in [1, 2] {
            let readers = (0..readers).map(|_| world.engine.outcomes(&world.finished).unwrap());
            let mut writes = 0;
            let broken = world.rendering().lines(
                readers.collect(),
                &AtomicBool::new(false),
                &mut |_: &[u8]| {
                    writes += 1;
                    match writes > most {
                        true => Err(Failure::failed("full")),
                        false => Ok(()),
                    }
                },
            );
            assert_eq!(broken.unwrap_err().message, "full");
            assert_eq!(writes, most + 1);
        }
    }
    // The command is stopped by a signal.
    let readers = [world.engine.outcomes(&world.finished).unwrap()];
    let stopped = AtomicBool::new(true);
    let stopped = world
        .rendering()
        .lines(readers.into(), &stopped, &mut |_| Ok(()));
    assert_eq!(stopped.unwrap_err().exit, Exit::Pipe);
    // The stored results are truncated.
    let files = std::fs::read_dir(folder.path()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    let is_results = |path: &std::path::PathBuf| {
        let name = path.display().to_string();
        name.contains("segment-") && path.metadata().unwrap().len() > 100_000
    };
    let results: Vec<_> = files.filter(is_results).collect();
    assert!(!results.is_empty());
    for path in results {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }
    let (alone, cut) = world.lines(1);
    let message = cut.unwrap_err().message;
    assert!(!alone.is_empty() && whole.starts_with(&alone));
    for _ in 0..10 {
        let (lines, cut) = world.lines(2);
        assert!(lines == alone);
        assert_eq!(cut.unwrap_err().message, message);
    }
}

#[tokio::test]
async fn reading_and_rendering_an_outcome_takes_no_memory_of_its_own() {
    let world = World::new(Arc::new(MemorySpool::default()), 4_000).await;
    let mut reader = world.engine.outcomes(&world.finished).unwrap();
    let part = ResultPart::mixed(&"b".into(), "p", "");
    let rendering = world.rendering();
    let (mut counts, mut lines) = (Counts::default(), Vec::with_capacity(1 << 20));
    let (mut all, mut decoding) = (0, 0);
    let mut outlines = lmbatch::adapter::RowReader::new();
    for number in 0..4_000 {
        let mut rendered = || {
            let answered = reader.next().unwrap().unwrap();
            lines.clear();
            rendering.form.write(&answered, &mut lines, &mut counts);
            counts.count(&answered, &rendering.accept);
            answered.raw.map(|raw| raw.as_bytes().to_vec())
        };
        let mut row = None;
        let taken = allocation_counter::measure(|| row = rendered());
        let row = row.unwrap();
        let decoded = allocation_counter::measure(|| {
            let decoded = world.provider.codec().decode(&part, outlines.read(&row));
            assert!(decoded.is_ok());
        });
        // The buffers grow to their sizes first.
        if number >= 2_000 {
            // One is the copy of the row for this test.
            all += taken.count_total - 1;
            decoding += decoded.count_total;
        }
    }
    assert!(decoding > 0, "nothing is counted");
    let own = all.saturating_sub(decoding);
    assert!(
        own <= 20,
        "{own} for 2,000 outcomes beside {decoding} of the codec"
    );
}
