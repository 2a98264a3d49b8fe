//! Runs that are not recorded leave nothing on the disk, and keep few files open, for any number of
//! runs and however their process ends.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use lmbatch_core::{BatchStatus, Clock as _};
use lmbatch_engine::{LMInvoker, SystemClock};
use lmbatch_testing::{MemoryProvider, Script};

/// Environment variable that marks the process as the child of a test.
const CHILD: &str = "LMBATCH_TEST_CHILD";

fn running(clock: Arc<SystemClock>) -> Arc<MemoryProvider> {
    let script = Script {
        statuses: (0..10_000).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    };
    Arc::new(MemoryProvider::new(clock, script))
}

fn asked(length: usize) -> Vec<(String, String)> {
    let one = |n| (format!("q{n}"), "canary ".repeat(length / 7));
    (0..20).map(one).collect()
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn hundreds_of_live_runs_have_no_more_files_open_than_one() {
    // First with prompts that stay in memory, then with prompts that do not.
    for (length, runs) in [(100, 400), (20_000, 100)] {
        let clock = Arc::new(SystemClock::new());
        let provider = running(clock.clone());
        let invoker = LMInvoker::shared(provider.clone(), "m");
        let before = open_files();
        let invokes = (0..runs).map(|_| {
            let batch = invoker.batch().invoke(asked(length));
            batch.into_future()
        });
        let all = join_all(invokes);
        let seen = async {
            loop {
                clock.sleep(Duration::from_millis(20)).await;
                if provider.accepted() >= runs && provider.times("status").len() >= runs {
                    return open_files();
                }
            }
        };
        let Either::Right((open, _)) = select(std::pin::pin!(all), std::pin::pin!(seen)).await
        else {
            panic!("the runs ended");
        };
        assert_eq!(provider.accepted(), runs);
        assert!(open <= before + 8, "{open} files are open, {before} before");
    }
}

/// The child of the test below: a run whose prompts do not fit into memory, until it is killed.
#[tokio::test]
async fn child_with_prompts() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let clock = Arc::new(SystemClock::new());
    let provider = running(clock);
    let invoker = LMInvoker::shared(provider, "m").observe(|event: &lmbatch_engine::Event<'_>| {
        if let lmbatch_engine::Event::Polled { .. } = event {
            use std::io::Write as _;
            // Written past the test harness, which captures prints.
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(b"\nthe run has a batch\n").unwrap();
            stdout.flush().unwrap();
        }
    });
    let never = invoker.batch().invoke(asked(100_000)).await;
    panic!("{never:?}");
}

#[test]
fn a_run_that_is_killed_leaves_nothing_in_the_folder_of_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "temporary::child_with_prompts", "--nocapture"])
        .env(CHILD, "1")
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line == "the run has a batch"), "it ended");
    let spilled = fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    let spilled = spilled.filter_map(|file| fs::read_link(file.unwrap().path()).ok());
    let spilled = spilled
        .filter(|path| path.starts_with(folder.path()))
        .count();
    assert_eq!(spilled, 1, "the prompts are in one file");
    child.kill().unwrap();
    child.wait().unwrap();
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}
