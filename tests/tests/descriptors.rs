//! Hundreds of live batches in a process that may open at most 256 files.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use lmbatch::LMInvoker;
use lmbatch::durable::{FolderSpool, StateFolder};
use lmbatch::openai::OpenAi;
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_engine::Engine;
use lmbatch_testing::TestRequests;
use lmbatch_tests::{lines, lmbatch, said};

/// Variable with the address of the emulator, for the test below, which runs in a child process.
const CHILD: &str = "LMBATCH_TEST_CHILD_AT";

const RUNS: usize = 500;

/// Number of requests in each run of a state folder.
const PER_RUN: usize = 5;

/// Maximum number of files and sockets that the process may open.
const LIMIT: &str = "ulimit -n 256 && exec \"$0\" \"$@\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_with_many_runs() {
    let Ok(url) = std::env::var(CHILD) else {
        return;
    };
    let provider = OpenAi::builder()
        .api_key("k")
        .base_url(url)
        .build()
        .unwrap();
    let invoker = LMInvoker::new(provider, "gpt-5-mini");
    let invokes = (0..RUNS).map(|run| {
        let requests = (0..20).map(move |n| (format!("{run}-{n}"), format!("{run} {n}")));
        invoker
            .batch()
            .invoke(requests)
            .status_check_interval(Duration::from_secs(3))
            .into_future()
    });
    for (run, outcomes) in join_all(invokes).await.into_iter().enumerate() {
        let outcomes = outcomes.unwrap_or_else(|error| panic!("run {run}: {error:?}"));
        assert_eq!(outcomes.len(), 20);
        for (id, outcome) in &outcomes {
            let echo = format!("echo: {}", id.as_str().replace('-', " "));
            assert_eq!(outcome.as_result().unwrap().text(), echo);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_live_runs_need_few_open_files() {
    let pace = Pace {
        in_progress: Duration::from_secs(4),
        ..Pace::INSTANT
    };
    let emulator = Emulator::builder()
        .pace(pace)
        .seed(7)
        .start()
        .await
        .unwrap();
    let mut child = Command::new("sh");
    child
        .args(["-c", LIMIT])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "descriptors::child_with_many_runs",
            "--nocapture",
        ])
        .env(CHILD, emulator.openai_base_url());
    let output = tokio::task::spawn_blocking(move || child.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(emulator.bill().creates, RUNS as u64);
}

/// Begins runs in a state folder, as the command does; each run has an output file of its own.
async fn begin(folder: &Path, url: &str) {
    let state = StateFolder::write(folder.join("state")).unwrap();
    let provider = OpenAi::builder()
        .api_key("k")
        .base_url(url)
        .build()
        .unwrap();
    let engine = Engine::new(Arc::new(provider)).with_record(
        Arc::new(state.ledger().await.unwrap()),
        Arc::new(FolderSpool::new(state.spool())),
    );
    for run in 0..RUNS {
        let output = folder.join(format!("{run}.jsonl"));
        let notes: BTreeMap<Box<str>, Box<str>> = [
            ("provider", "openai"),
            ("model", "gpt-5-mini"),
            ("base_url", url),
            ("input", "-"),
            ("output", &output.to_string_lossy()),
        ]
        .map(|(name, note)| (name.into(), note.into()))
        .into();
        let requests =
            (1..=PER_RUN).map(move |number| (number.to_string(), format!("{run} {number}")));
        let source = TestRequests::new(requests).model("gpt-5-mini");
        let plan = engine.plan(Box::new(source)).await.unwrap();
        engine.begin(&plan, None, notes).await.unwrap();
    }
}

/// Number of files and sockets that a process has open.
fn open_in(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_runs_of_a_state_folder_are_resumed_with_few_open_files() {
    let pace = Pace {
        in_progress: Duration::from_secs(3600),
        ..Pace::INSTANT
    };
    let emulator = Emulator::builder().pace(pace).seed(7).start();
    let emulator = emulator.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    begin(folder.path(), &emulator.openai_base_url()).await;
    let mut child = Command::new("sh");
    child
        .args(["-c", LIMIT])
        .arg(lmbatch())
        .args(["resume", "--all", "--json", "--poll-interval", "2s"])
        .current_dir(folder.path())
        .env("OPENAI_API_KEY", "k")
        .env("LMBATCH_STATE_DIR", folder.path().join("state"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let id = child.id();
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output());
    // All runs wait for their batches without an open file.
    while emulator.bill().creates < RUNS as u64 && !ended.is_finished() {
        pause().await;
    }
    let mut fewest = usize::MAX;
    for _ in 0..50 {
        fewest = fewest.min(open_in(id));
        pause().await;
    }
    emulator.advance(2 * pace.in_progress);
    let ended = ended.await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    for run in 0..RUNS {
        let outcomes = lines(&folder.path().join(format!("{run}.jsonl")));
        assert_eq!(outcomes.len(), PER_RUN, "run {run}");
        for (number, outcome) in (1..).zip(&outcomes) {
            assert_eq!(outcome["text"], format!("echo: {run} {number}"));
        }
    }
    assert_eq!(emulator.bill().creates, RUNS as u64);
    assert!(fewest < 100, "{fewest} files are open");
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
