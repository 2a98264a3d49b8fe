//! Ends of commands: in pipes, in schedulers, and under limits of the system.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; one says what it cannot try"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lmbatch_tests::{Emulating, lines, lmbatch, said, write_input};
use serde_json::{Value, json};

const RUN: [&str; 6] = [
    "run",
    "in.jsonl",
    "-m",
    "openai/m",
    "--poll-interval",
    "20ms",
];

struct World {
    emulating: Emulating,
    folder: tempfile::TempDir,
}

impl World {
    fn new(requests: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |number| json!({"id": number, "prompt": "x".repeat(200)});
        write_input(folder.path(), (0..requests).map(line));
        let emulating = Emulating::start();
        Self { emulating, folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.emulating.command_at("openai", self.path());
        command.env_remove("LMBATCH_LOG").args(args);
        command
    }

    fn at(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.at(&[&RUN[..], args].concat())
    }

    /// Makes each poll report that the batch is in progress.
    fn hold(&self, batch: &Value, done: u64, total: u64) {
        let body = json!({
            "id": batch, "object": "batch", "status": "in_progress", "endpoint": "/v1/responses",
            "input_file_id": "f", "completion_window": "24h", "created_at": 1,
            "request_counts": {"total": total, "completed": done, "failed": 0},
        });
        let kind = json!({"status": {"code": 200, "body": body.to_string()}});
        let fault = json!({"operation": "status", "times": 6, "kind": kind});
        self.emulating.post("/_emulator/faults", &fault.to_string());
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn one(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let world = World::new(2000);
    assert_eq!(world.run(&["--run", "mine"]).status.code(), Some(0));
    for args in [
        &[
            "run", "in.jsonl", "-m", "openai/m", "--run", "mine", "-o", "-",
        ][..],
        &["retrieve", "mine"],
        &["retrieve", "mine", "-o", "/dev/stdout"],
    ] {
        let mut child = world.command(args);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(141),
            "{args:?}: {}",
            errors(&output)
        );
        assert!(
            !errors(&output).contains("error"),
            "{args:?}: {}",
            errors(&output)
        );
    }
    // Text for people and objects for programs are cut off as well.
    for args in [
        &["runs"][..],
        &["show", "mine"],
        &["show", "mine", "--json"],
        &["audit", "mine"],
        &["status", "mine"],
        &["providers"],
    ] {
        let mut child = world.command(args);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141), "{args:?}");
        assert!(!errors(&output).contains("error"), "{args:?}");
    }
    if let Ok(full) = fs::File::create("/dev/full") {
        let output = world.command(&["runs"]).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
        assert!(errors(&output).contains("standard output cannot be written"));
    }
}

/// A descriptor that is closed at the start would be taken by the next file that is opened, and text would be printed
/// into the record.
#[test]
fn a_closed_descriptor_is_as_good_as_the_null_device() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let world = World::new(3);
        let shell = |args: &str| {
            let mut shell = world.emulating.shell("openai", world.path());
            let line = format!("exec {} {args} {closed}", lmbatch().display());
            shell.env("LMBATCH_LOG", "debug").args(["-c", &line]);
            shell
        };
        let run = "run in.jsonl -m openai/m --run mine -o out.jsonl --json --poll-interval";
        let mut child = shell(&format!("{run} 60s")).spawn().unwrap();
        // The batch exists, and the process waits for its next poll.
        let mut waits = 0;
        while world.emulating.bill()["creates"] != 1 && waits < 500 {
            waits += 1;
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
        #[cfg(target_os = "linux")]
        for descriptor in 0..3 {
            let path = format!("/proc/{}/fd/{descriptor}", child.id());
            let target = fs::read_link(path).unwrap();
            let target = target.display().to_string();
            assert!(
                !target.contains(".lmbatch"),
                "{closed}: {descriptor} is {target}"
            );
            let sign = ["<&-", ">&-", "2>&-"][descriptor];
            if closed.split(' ').any(|part| part == sign) {
                assert_eq!(target, "/dev/null", "{closed}: {descriptor}");
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let output = shell(&format!("{run} 20ms")).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{closed}: {}", said(&output));
        let ids: Vec<Value> = lines(&world.path().join("out.jsonl"))
            .iter()
            .map(|line| line["id"].clone())
            .collect();
        assert_eq!(ids, [json!(0), json!(1), json!(2)], "{closed}");
        for args in [
            "runs",
            "show mine",
            "audit mine",
            "status --json",
            "retrieve mine -o -",
        ] {
            let output = shell(args).output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(0),
                "{closed}: {args}: {}",
                said(&output)
            );
        }
        let audit = world.at(&["audit", "mine", "--json"]);
        assert_eq!(one(&audit.stdout)["ok"], true, "{closed}");
    }
}

#[test]
fn standard_output_holds_only_outcomes() {
    let world = World::new(3);
    let output = world.run(&["-o", "-", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(out.lines().count(), 3, "{out}");
    let text = errors(&output);
    let summary = text.lines().find(|line| line.starts_with('{')).unwrap();
    assert_eq!(one(summary.as_bytes())["requests"], 3);
}

#[test]
fn a_run_left_in_progress_is_reported_as_json() {
    let world = World::new(3);
    let output = world.run(&["--detach", "--json", "-q", "--max-batch-requests", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(errors(&output), "");
    let left = one(&output.stdout);
    let run = left["run"].as_str().unwrap();
    assert_eq!(
        (&left["state"], &left["requests"]),
        (&json!("running"), &json!(3))
    );
    assert_eq!(left["batches"].as_array().unwrap().len(), 2);
    assert_eq!(left["next"], format!("lmbatch resume {run}"));
    let state = world.path().join(".lmbatch").display().to_string();
    assert_eq!(left["state_dir"], state);
    // After the run has ended, an object of the same kind is a summary without a state.
    let resume = ["resume", "--json", "-q", "--poll-interval", "20ms"];
    let ended = one(&world.at(&resume).stdout);
    assert_eq!(
        (&ended["state_dir"], &ended["run"]),
        (&json!(state), &left["run"])
    );
    assert_eq!(ended["state"], Value::Null);
    // The path is valid in any folder, from each command.
    let output = world.path().join("in.openai.m.jsonl");
    let output = output.display().to_string();
    assert_eq!(
        (&left["output"], &ended["output"]),
        (&json!(output), &json!(output))
    );
}

#[test]
fn a_run_in_progress_is_not_an_error_and_quiet_prints_nothing() {
    let world = World::new(5);
    let left = one(&world.run(&["--detach", "--json"]).stdout);
    let run = left["run"].as_str().unwrap();
    world.hold(&left["batches"][0], 2, 5);
    let once = world.at(&["resume", "--once"]);
    assert_eq!(once.status.code(), Some(4), "{}", errors(&once));
    let line = format!("running: 2 of 5 requests ended (run {run})");
    assert!(errors(&once).contains(&line), "{}", errors(&once));
    assert!(!errors(&once).contains("error"), "{}", errors(&once));
    let quiet = world.at(&["resume", "--once", "-q"]);
    assert_eq!((quiet.status.code(), said(&quiet).as_str()), (Some(4), ""));
    let json = world.at(&["resume", "--once", "-q", "--json"]);
    let shown = one(&json.stdout);
    assert_eq!((json.status.code(), errors(&json).as_str()), (Some(4), ""));
    assert_eq!((&shown["done"], &shown["run"]), (&json!(2), &json!(run)));
    // The rest of the run, without any output.
    assert_eq!(
        world
            .at(&["resume", "-q", "--poll-interval", "20ms"])
            .status
            .code(),
        Some(0)
    );
    for args in [
        &["run", "in.jsonl", "-m", "openai/m", "-q"][..],
        &[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-q",
            "-o",
            "b.jsonl",
            "--new",
            "--max-batch-requests",
            "2",
            "--poll-interval",
            "20ms",
        ],
        &["resume", "--once", "-q"],
        &["resume", run, "-q"],
    ] {
        let output = world.at(args);
        assert_eq!(
            (output.status.code(), said(&output).as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
    let note = world.at(&["resume", "--once"]);
    assert_eq!(note.status.code(), Some(0));
    assert!(
        errors(&note).contains("every run has ended"),
        "{}",
        errors(&note)
    );
}

#[test]
fn all_open_runs_are_resumed_and_the_worst_outcome_sets_the_exit_code() {
    let world = World::new(2);
    for name in ["a", "b"] {
        let run = world.run(&["--detach", "--run", name, "-o", &format!("{name}.jsonl")]);
        assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    }
    write_input(world.path(), [json!({"prompt": "lmb:error-400"})]);
    let bad = world.run(&["--detach", "--run", "bad", "-o", "bad.jsonl"]);
    assert_eq!(bad.status.code(), Some(0), "{}", errors(&bad));
    let several = world.at(&["resume", "--once"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(
        errors(&several).contains("3 runs have not ended"),
        "{}",
        errors(&several)
    );
    let all = ["resume", "--all", "--poll-interval", "20ms", "--json"];
    let ended = world.at(&all);
    assert_eq!(ended.status.code(), Some(3), "{}", errors(&ended));
    assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 3);
    for name in ["a", "b"] {
        assert_eq!(lines(&world.path().join(format!("{name}.jsonl"))).len(), 2);
    }
    let nothing = world.at(&["resume", "--all", "--once", "-q"]);
    assert_eq!(
        (nothing.status.code(), said(&nothing).as_str()),
        (Some(0), "")
    );
}

#[test]
fn a_run_advanced_by_another_process_is_busy() {
    let world = World::new(1);
    let begun = world.run(&["--detach", "--run", "mine", "--json"]);
    assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
    let run = one(&begun.stdout)["run"].as_str().unwrap().to_owned();
    let locks = world.path().join(".lmbatch/locks");
    std::fs::create_dir_all(&locks).unwrap();
    let mut options = std::fs::File::options();
    let held = options.write(true).create(true).truncate(false);
    let held = held.open(locks.join(format!("{run}.lock"))).unwrap();
    held.try_lock().unwrap();
    for args in [
        &["resume", "mine", "--once", "--json"][..],
        &["requeue", "mine", "--only", "errored", "--json"],
    ] {
        let output = world.at(args);
        assert_eq!(output.status.code(), Some(7), "{}", said(&output));
        assert_eq!(one(&output.stdout)["error"]["kind"], "busy");
    }
    drop(held);
    let help = said(&world.at(&["--help"]));
    assert!(help.contains("7    busy: another process"), "{help}");
}

#[test]
fn an_input_without_requests_is_allowed_on_request() {
    let world = World::new(0);
    let refused = world.run(&["--json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(one(&refused.stdout)["error"]["kind"], "usage");
    for _ in 0..2 {
        let empty = world.run(&["--allow-empty", "--json"]);
        assert_eq!(empty.status.code(), Some(0), "{}", errors(&empty));
        assert_eq!(one(&empty.stdout)["requests"], 0);
        let written = fs::read(world.path().join("in.openai.m.jsonl")).unwrap();
        assert!(written.is_empty());
    }
    // An existing output is protected as always, and invalid lines do not count as an empty input.
    fs::write(world.path().join("in.openai.m.jsonl"), "mine").unwrap();
    assert_eq!(world.run(&["--allow-empty"]).status.code(), Some(2));
    fs::write(world.path().join("in.jsonl"), "{}\n").unwrap();
    assert_eq!(
        world.run(&["--allow-empty", "-o", "c"]).status.code(),
        Some(2)
    );
    assert!(!world.path().join("c").exists());
    assert_eq!(world.emulating.bill()["creates"], 0);
}

#[test]
fn every_failure_has_a_kind_in_json() {
    let world = World::new(1);
    for args in [
        &["run", "gone.jsonl", "-m", "openai/m", "--json"][..],
        &["run", "in.jsonl", "-m", "unknown/m", "--json"],
        &["run", "--json"],
        &["resume", "nothing", "--json"],
        &["show", "nothing", "--json"],
        &["status", "batch_x", "-p", "openai", "--json"],
        &["audit", "nothing", "--json"],
        &["list", "-p", "unknown", "--json"],
    ] {
        let output = world.at(args);
        assert_ne!(output.status.code(), Some(0));
        let error = one(&output.stdout);
        assert!(error["error"]["kind"].is_string(), "{args:?}: {error}");
        assert!(errors(&output).contains("error: "), "{args:?}");
    }
}

/// The command in a shell that first sets a limit.
fn limited(world: &World, limit: &str, args: &str) -> Output {
    let mut shell = world.emulating.shell("openai", world.path());
    shell.env_remove("LMBATCH_LOG");
    let line = format!("{limit} {} {args}", lmbatch().display());
    shell.args(["-c", &line]).output().unwrap()
}

#[test]
fn a_file_size_limit_is_an_error() {
    let world = World::new(4000);
    let limit = "ulimit -f 1000;";
    let run = "run in.jsonl -m openai/m --poll-interval 20ms -q";
    let output = limited(&world, limit, run);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("File too large"),
        "{}",
        said(&output)
    );
    let emulate = limited(
        &world,
        limit,
        "run in.jsonl -m openai/m -o e.jsonl --emulate -q",
    );
    assert_eq!(emulate.status.code(), Some(1), "{}", said(&emulate));
    // Without the limit the same command succeeds.
    let whole = limited(&world, "", run);
    assert_eq!(whole.status.code(), Some(0), "{}", said(&whole));
    assert_eq!(world.emulating.bill()["creates"], 1);
}

#[test]
fn a_thread_limit_is_an_error() {
    let world = World::new(1);
    let limit = "exec setpriv --reuid=65533 --clear-groups prlimit --nproc=1:1";
    let probe = limited(&world, limit, "--version");
    if !probe.status.success() {
        println!("no limit of processes can be set here: {}", said(&probe));
        return;
    }
    let output = limited(&world, limit, "providers");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: no thread can be started"), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}
