//! Many runs in one process: `resume --all`, with and without `--watch`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use lmbatch_emulator::{Emulator, Pace};
use lmbatch_tests::{lines, lmbatch, said, write_input};
use serde_json::{Value, json};

/// Duration of batches, longer than a test: they end when the emulator's clock is advanced.
const PACE: Pace = Pace {
    in_progress: Duration::from_secs(3600),
    ..Pace::INSTANT
};

struct World {
    emulator: Emulator,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let emulator = Emulator::builder().pace(PACE).seed(7).start();
        let folder = tempfile::tempdir().unwrap();
        write_input(folder.path(), [json!({"id": "a", "prompt": "Hi"})]);
        Self {
            emulator: emulator.await.unwrap(),
            folder,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn output(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.jsonl"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(self.path())
            .envs(self.emulator.environment())
            .env("OTHER_KEY", "sk-other")
            .env("LMBATCH_STATE_DIR", self.path().join(".lmbatch"))
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn at(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Begins a named run, whose batch stays in progress and whose output file has the same name.
    fn begin(&self, name: &str, more: &[&str]) -> String {
        self.begin_to(name, &format!("{name}.jsonl"), more)
    }

    fn begin_to(&self, name: &str, output: &str, more: &[&str]) -> String {
        let run = [
            "run", "in.jsonl", "-m", "openai/m", "--detach", "--json", "--run", name, "-o", output,
        ];
        let begun = self.at(&[&run[..], more].concat());
        assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
        // On standard error if outcomes are on standard output.
        let messages = said(&begun);
        let begun = messages.lines().find(|line| line.starts_with('{')).unwrap();
        let begun: Value = serde_json::from_str(begun).unwrap();
        begun["run"].as_str().unwrap().to_owned()
    }

    /// Number of runs that a process advances.
    fn claims(&self, child: &Child) -> usize {
        let process = format!("{}-", child.id());
        let links = fs::read_dir(self.path().join(".lmbatch/locks"));
        let links = links.into_iter().flatten().flatten();
        let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
        let of_child = targets.filter(|target| target.to_string_lossy().starts_with(&process));
        of_child.count()
    }

    /// Lets every batch end.
    fn advance(&self) {
        self.emulator.advance(2 * PACE.in_progress);
    }

    fn creates(&self) -> u64 {
        self.emulator.bill().creates
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

/// Waits until a condition holds, for up to a minute.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so() {
            return;
        }
        pause();
    }
    panic!("it did not come: {what}");
}

fn send(name: &str, child: &Child) {
    let pid = child.id().to_string();
    let mut kill = Command::new("kill");
    let sent = kill.args([&format!("-{name}"), &pid]);
    assert!(sent.status().unwrap().success());
}

/// Returns the end of a process within two seconds.
fn end(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..100 {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        pause();
    }
    child.kill().unwrap();
    None
}

const ALL: [&str; 4] = ["resume", "--all", "--poll-interval", "50ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_runs_are_resumed_at_once_and_each_is_reported_in_one_line() {
    let world = World::new().await;
    let names = ["a", "b", "c", "d", "e"];
    let runs = names.map(|name| world.begin(name, &[]));
    let resumed = world.start(&[&ALL[..], &["--json"]].concat());
    until("claims", || world.claims(&resumed) == names.len());
    world.advance();
    let ended = resumed.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let messages = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(messages.contains("resuming 5 runs"), "{messages}");
    for (run, name) in runs.iter().zip(names) {
        let about: Vec<&str> = messages.lines().filter(|line| line.contains(run)).collect();
        let line = format!("run {run} ({name}): 1 request, 1 usable; ");
        assert!(
            about.len() == 1 && about[0].starts_with(&line),
            "{messages}"
        );
        assert_eq!(lines(&world.output(name)).len(), 1);
    }
    let objects: BTreeSet<String> = String::from_utf8_lossy(&ended.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|summary| summary["run"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(objects, runs.into());
    assert_eq!(world.creates(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_run_does_not_stop_the_others() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.begin(name, &[]);
    }
    let keyless = world.begin("keyless", &["--key-env", "OTHER_KEY"]);
    let broken = world.begin("broken", &[]);
    let spool = fs::read_dir(world.path().join(".lmbatch/spool")).unwrap();
    let echo = spool.map(|entry| entry.unwrap().path()).find(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(broken.trim_start_matches("r-")) && name.ends_with(".echo-0")
    });
    fs::remove_file(echo.unwrap()).unwrap();
    world.advance();
    let all = [&ALL[..], &["--json"]].concat();
    let ended = world
        .command(&all)
        .env_remove("OTHER_KEY")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    let objects: Vec<Value> = String::from_utf8_lossy(&ended.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects.len(), 4, "{}", said(&ended));
    for (run, kind) in [(&keyless, "usage"), (&broken, "local")] {
        let failed = objects.iter().find(|object| object["run"] == **run);
        let error = &failed.unwrap()["error"];
        assert_eq!(error["kind"], kind, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&**run), "{message}");
    }
    for name in ["a", "b"] {
        assert_eq!(lines(&world.output(name)).len(), 1);
    }
    // With its key, the run continues as if it had not been interrupted.
    let again = world.at(&["resume", &keyless, "--poll-interval", "50ms"]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
    assert_eq!(world.creates(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_stops_all_runs_and_leaves_them_resumable() {
    let world = World::new().await;
    let names: Vec<String> = (0..12).map(|number| format!("n{number}")).collect();
    for name in &names {
        world.begin(name, &[]);
    }
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut resumed = world.start(&ALL);
        let messages = BufReader::new(resumed.stderr.take().unwrap());
        until("claims", || world.claims(&resumed) == names.len());
        send(signal, &resumed);
        let ended = end(&mut resumed);
        assert_eq!(ended.and_then(|status| status.code()), Some(code));
        let messages: Vec<String> = messages.lines().map(Result::unwrap).collect();
        let stopped = format!("stopped by {signal}; 12 runs have not ended; to continue:");
        assert!(messages.contains(&stopped), "{messages:?}");
        let left = fs::read_dir(world.path().join(".lmbatch/locks")).unwrap();
        assert_eq!(left.count(), 0, "claims are left");
    }
    world.advance();
    let ended = world.at(&ALL);
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    for name in &names {
        assert_eq!(lines(&world.output(name)).len(), 1);
    }
    assert_eq!(world.creates(), 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watch_picks_up_later_runs_and_runs_of_a_dead_process() {
    let world = World::new().await;
    let mut watch = world.start(&[&ALL[..], &["--watch", "--json"]].concat());
    until("the record", || {
        world.path().join(".lmbatch/ledger.db").exists()
    });
    let late = world.begin("late", &[]);
    let mut mine = world.start(&[
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--run",
        "mine",
        "-o",
        "mine.jsonl",
    ]);
    until("two batches", || world.creates() == 2);
    until("a claim", || {
        world.claims(&watch) == 1 && world.claims(&mine) == 1
    });
    let shown: Value =
        serde_json::from_slice(&world.at(&["show", "mine", "--json"]).stdout).unwrap();
    mine.kill().unwrap();
    mine.wait().unwrap();
    world.advance();
    for name in ["late", "mine"] {
        until(name, || world.output(name).exists());
    }
    assert_eq!(watch.try_wait().unwrap(), None, "the watch continues");
    let mut out = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut reported = BTreeSet::new();
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
        reported.insert(line["run"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        reported,
        [late, shown["run"].as_str().unwrap().to_owned()].into()
    );
    send("TERM", &watch);
    let ended = end(&mut watch);
    assert_eq!(ended.and_then(|status| status.code()), Some(143));
    assert_eq!(world.creates(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_advanced_by_another_process_is_checked_again() {
    let world = World::new().await;
    let run = world.begin("mine", &[]);
    world.begin("other", &[]);
    let mut mine = world.start(&["resume", &run, "--poll-interval", "50ms"]);
    until("a claim", || world.claims(&mine) == 1);
    // A prefix of the id names the same run.
    for named in ["mine", &run, &run[..8]] {
        let busy = world.at(&["resume", named, "--once", "--json"]);
        assert_eq!(busy.status.code(), Some(7), "{}", said(&busy));
        let holder = format!("advanced by process {}", mine.id());
        assert!(said(&busy).contains(&holder), "{}", said(&busy));
        let purged = world.at(&["purge", named, "--force"]);
        assert_eq!(purged.status.code(), Some(7), "{}", said(&purged));
    }
    let once = world.at(&[&ALL[..], &["--once"]].concat());
    assert_eq!(once.status.code(), Some(7), "{}", said(&once));
    let all = world.start(&ALL);
    until("a claim", || world.claims(&all) == 1);
    mine.kill().unwrap();
    mine.wait().unwrap();
    world.advance();
    let ended = all.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    for name in ["mine", "other"] {
        assert_eq!(lines(&world.output(name)).len(), 1);
    }
    assert_eq!(world.creates(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeout_of_the_command_bounds_all_of_its_runs() {
    let world = World::new().await;
    for name in ["a", "b"] {
        world.begin(name, &[]);
    }
    for more in [&[][..], &["--watch"]] {
        let late = world.at(&[&ALL[..], &["--timeout", "2s"], more].concat());
        assert_eq!(late.status.code(), Some(4), "{}", said(&late));
        assert!(
            said(&late).contains("running: 0 of 1 request ended"),
            "{}",
            said(&late)
        );
    }
    let nothing = World::new().await;
    let ended = nothing.at(&ALL);
    assert_eq!(ended.status.code(), Some(0));
    assert!(
        said(&ended).contains("every run has ended"),
        "{}",
        said(&ended)
    );
    assert!(!nothing.path().join(".lmbatch").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_of_several_runs_on_standard_output_are_complete_lines() {
    let world = World::new().await;
    let request = |id| json!({"id": id, "prompt": "x".repeat(3_000)});
    write_input(world.path(), (0..200).map(request));
    for name in ["a", "b", "c"] {
        world.begin_to(name, "-", &[]);
    }
    world.advance();
    let ended = world.at(&[&ALL[..], &["--json"]].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
    let out = String::from_utf8_lossy(&ended.stdout).into_owned();
    let ids = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone());
    let ids: Vec<Value> = ids.collect();
    let one: Vec<Value> = (0..200).map(|id| json!(id)).collect();
    assert_eq!(ids, [one.clone(), one.clone(), one].concat());
}
