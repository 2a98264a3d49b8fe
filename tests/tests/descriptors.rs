//! Hundreds of live batches in a process that may have 256 files open.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use futures::future::join_all;
use lmbatch::LMInvoker;
use lmbatch::openai::OpenAi;
use lmbatch_emulator::{Emulator, Pace};

/// Says to the test below where its emulator is: it is the child of another.
const CHILD: &str = "LMBATCH_TEST_CHILD_AT";

const RUNS: usize = 500;

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
            assert_eq!(outcome.value().unwrap().text(), echo);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_live_runs_need_few_files() {
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
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_many_runs", "--nocapture"])
        .env(CHILD, emulator.openai_base_url());
    let output = tokio::task::spawn_blocking(move || child.output());
    let output = output.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(emulator.bill().creates, RUNS as u64);
}
