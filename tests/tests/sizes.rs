//! Batches of the maximum number of requests, and of the maximum size, that providers accept.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;

use lmbatch_emulator::{Emulator, Pace};
use lmbatch_tests::{Emulating, SUBJECTS, Subject, lines, said, write_input};

fn subject(name: &str) -> &'static Subject {
    SUBJECTS
        .iter()
        .find(|subject| subject.name == name)
        .unwrap()
}

async fn answered(name: &str, count: usize, prompt: &str) {
    let builder = Emulator::builder().pace(Pace::INSTANT).seed(1);
    let emulator = builder.start().await.unwrap();
    let invoker = subject(name).invoker(&emulator);
    let requests = (0..count).map(|place| (format!("row/{place}"), format!("{place} {prompt}")));
    let outcomes = invoker.batch().invoke(requests).await.unwrap();
    assert_eq!(outcomes.len(), count);
    for (place, (id, outcome)) in outcomes.iter().enumerate() {
        assert_eq!(id.as_str(), format!("row/{place}"));
        let text = outcome.as_result().unwrap().text();
        assert!(text.starts_with(&format!("echo: {place} ")), "{place}");
    }
    let bill = emulator.bill();
    assert_eq!((bill.creates, bill.answered_requests), (1, count as u64));
}

#[tokio::test]
async fn twenty_thousand_requests_on_google_by_file() {
    answered("google by file", 20_000, "x").await;
}

#[tokio::test]
async fn nineteen_megabytes_on_google_inline() {
    // 19.0 MB in all, below the limit of 20 MB for an inline create.
    answered("google inline", 1_900, &"x".repeat(9_900)).await;
}

#[tokio::test]
async fn fifty_thousand_requests_on_anthropic() {
    answered("anthropic", 50_000, "x").await;
}

#[cfg(unix)]
#[test]
fn more_batches_than_files_may_be_open() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let ask = |place| serde_json::json!({"id": place, "prompt": format!("{place}")});
    write_input(folder.path(), (0..300).map(ask));
    let whole = emulating.command(folder.path(), &["run"]);
    let mut few = Command::new("sh");
    few.current_dir(folder.path())
        .envs(
            whole
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .args(["-c", "ulimit -n 100 && exec \"$@\"", "sh"])
        .arg(whole.get_program())
        .args([
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "--max-batch-requests",
            "2",
        ])
        .args(whole.get_args().skip(1))
        .args(["-o", "out.jsonl"]);
    let run = few.output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let out = lines(&folder.path().join("out.jsonl"));
    assert_eq!(out.len(), 300);
    assert_eq!(emulating.bill()["creates"], 150);
}
