//! State folders and claims: the folder that a command uses, and several commands in one folder.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

fn world(requests: usize) -> (Emulating, TempDir) {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().expect("a folder"));
    write_input(folder.path(), input(requests, "say it"));
    (emulating, folder)
}

fn input(requests: usize, prompt: &str) -> Vec<Value> {
    let line = |id| json!({"id": id, "prompt": format!("{prompt} {id}")});
    (0..requests).map(line).collect()
}

/// A command without a given state folder: its default is below `home`.
fn plain(emulating: &Emulating, home: &Path, folder: &Path, args: &[&str]) -> Command {
    let mut command = emulating.command_at("openai", folder);
    command
        .env_remove("LMBATCH_STATE_DIR")
        .env_remove("LMBATCH_LOG")
        .env("XDG_STATE_HOME", home.join("state"))
        .args(args);
    command
}

fn quiet(emulating: &Emulating, folder: &Path, args: &[&str]) -> Command {
    let mut command = emulating.command_at("openai", folder);
    command.env_remove("LMBATCH_LOG").args(args);
    command
}

fn at(emulating: &Emulating, folder: &Path, args: &[&str]) -> Output {
    quiet(emulating, folder, args)
        .output()
        .expect("the command")
}

const RUN: [&str; 5] = ["run", "in.jsonl", "-m", "openai/m", "-o"];

/// Starts a run that waits some seconds for its batch, and returns when the batch is created.
fn waiting(emulating: &Emulating, folder: &Path, args: &[&str]) -> Child {
    let before = emulating.bill()["creates"].clone();
    let mut command = quiet(emulating, folder, args);
    command
        .args(["--poll-interval", "3s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().expect("the command");
    while emulating.bill()["creates"] == before {
        pause();
    }
    // Until the record has the acknowledgement.
    while !said(&at(emulating, folder, &["runs", "--json"])).contains("\"run\"") {
        pause();
    }
    child
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn text(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("the command");
    (output.status.code(), said(&output))
}

fn run_id(emulating: &Emulating, folder: &Path) -> String {
    let runs = at(emulating, folder, &["runs", "--json"]);
    let first = said(&runs).lines().next().map(str::to_owned);
    let run: Value = serde_json::from_str(&first.expect("a run")).expect("JSON");
    run["run"].as_str().expect("an id").to_owned()
}

#[test]
fn the_same_command_from_another_folder_is_the_same_run() {
    let (emulating, home) = world(2);
    let input = home.path().join("in.jsonl");
    let output = home.path().join("out.jsonl");
    let [input, output] = [input.display().to_string(), output.display().to_string()];
    let args = ["run", &input, "-m", "openai/m", "-o", &output];
    for (name, says) in [("a", "echo"), ("b/c", "already answered")] {
        let folder = home.path().join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let run = plain(&emulating, home.path(), &folder, &args).output();
        let run = run.expect("the command");
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        assert!(
            says == "echo" || said(&run).contains(says),
            "{}",
            said(&run)
        );
        assert!(!folder.join(".lmbatch").exists());
    }
    assert_eq!(emulating.bill()["creates"], 1);
    assert!(home.path().join("state/lmbatch/ledger.db").is_file());
}

#[test]
fn a_run_reports_its_state_folder_first() {
    let (emulating, home) = world(1);
    let user = home.path().join("state/lmbatch").display().to_string();
    let work = home.path().join("work");
    fs::create_dir(&work).expect("a folder");
    fs::copy(home.path().join("in.jsonl"), work.join("in.jsonl")).expect("a copy");
    let run = |extra: &[&str]| {
        let args = [&RUN[..], &["-"], extra].concat();
        let run = plain(&emulating, home.path(), &work, &args).output();
        run.expect("the command")
    };
    let stderr = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let first = |output: &Output| stderr(output).lines().next().unwrap_or_default().to_owned();
    assert_eq!(first(&run(&[])), format!("state: {user}"));
    assert!(!stderr(&run(&["-q"])).contains("state:"));
    let json = run(&["--json", "-q"]);
    // Outcomes are on standard output, so the summary is not.
    let summary: Value = serde_json::from_str(stderr(&json).trim()).expect("a summary alone");
    assert_eq!(summary["state_dir"], user);
    // An explicitly created folder comes next, which also applies below it, and then a named one.
    let init = plain(&emulating, home.path(), home.path(), &["init"]).output();
    let made = home.path().join(".lmbatch").display().to_string();
    assert_eq!(said(&init.expect("the command")).trim(), made);
    assert_eq!(first(&run(&[])), format!("state: {made}"));
    assert_eq!(
        first(&run(&["--state-dir", "x"])),
        format!("state: {}", work.join("x").display())
    );
}

#[test]
fn an_earlier_version_of_the_record_is_used_with_a_note() {
    let (emulating, home) = world(1);
    let old = home.path().join(".lmbatch");
    let args = [&RUN[..], &["out.jsonl"]].concat();
    let run = emulating.run_at("openai", home.path(), &args);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let again = plain(&emulating, home.path(), home.path(), &args).output();
    let again = said(&again.expect("the command"));
    assert!(
        again.contains(&format!("state: {}", old.display())),
        "{again}"
    );
    assert!(again.contains("lmbatch init confirms its use"), "{again}");
    assert!(again.contains("already answered"), "{again}");
    assert_eq!(emulating.bill()["creates"], 1);
}

#[cfg(unix)]
#[test]
fn a_folder_of_another_user_is_refused_and_its_link_target_is_kept() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (emulating, home) = world(1);
    let precious = home.path().join("precious");
    fs::write(&precious, "precious").expect("a file");
    let state = home.path().join(".lmbatch");
    let args = [&RUN[..], &["out.jsonl"]].concat();
    for (mode, link, says) in [
        (0o777, "lock", "is writable by other users"),
        (0o700, "lock", "it is not followed"),
        (0o700, "state", "it is not followed"),
        (0o700, "locks", "it is not followed"),
        (0o700, "spool", "it is not followed"),
    ] {
        fs::create_dir(&state).expect("a folder");
        fs::write(state.join("ledger.db"), "").expect("a file");
        symlink(&precious, state.join(link)).expect("a link");
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).expect("a mode");
        let run = emulating.run_at("openai", home.path(), &args);
        let said = said(&run);
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains(says) && said.contains(".lmbatch"), "{said}");
        assert_eq!(fs::read_to_string(&precious).expect("the file"), "precious");
        assert_eq!(emulating.bill()["creates"], 0);
        fs::remove_dir_all(&state).expect("no folder");
    }
}

/// A copy made between two commands, without the files that databases keep next to theirs.
#[test]
fn a_copy_of_the_record_between_two_commands_is_complete() {
    for detach in [false, true] {
        let (emulating, home) = world(3);
        let mut args = [&RUN[..], &["out.jsonl"]].concat();
        if detach {
            args.push("--detach");
        }
        let run = at(&emulating, home.path(), &args);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let (from, to) = (home.path().join(".lmbatch"), home.path().join("copy"));
        fs::create_dir_all(to.join("spool")).expect("a folder");
        fs::copy(from.join("ledger.db"), to.join("ledger.db")).expect("a copy");
        for file in fs::read_dir(from.join("spool")).expect("a folder") {
            let file = file.expect("a file");
            fs::copy(file.path(), to.join("spool").join(file.file_name())).expect("a copy");
        }
        fs::remove_dir_all(from).expect("no folder");
        let again = ["run", "in.jsonl", "-m", "openai/m", "-o", "again.jsonl"];
        let again = [
            &again[..],
            &["--state-dir", "copy", "--poll-interval", "20ms"],
        ]
        .concat();
        let again = at(&emulating, home.path(), &again);
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        assert_eq!(lines(&home.path().join("again.jsonl")).len(), 3);
        assert_eq!(emulating.bill()["creates"], 1);
    }
}

#[test]
fn a_damaged_record_stops_the_command_before_it_pays_again() {
    let (emulating, home) = world(2);
    let args = [&RUN[..], &["out.jsonl"]].concat();
    assert_eq!(at(&emulating, home.path(), &args).status.code(), Some(0));
    let ledger = home.path().join(".lmbatch/ledger.db");
    let whole = fs::read(&ledger).expect("the record");
    let mut holed = whole.clone();
    let middle = holed.len() / 2;
    holed[middle - 512..].fill(0);
    for damaged in [
        Some(&holed[..]),
        Some(&whole[..whole.len() / 2]),
        Some(&[]),
        None,
    ] {
        match damaged {
            Some(bytes) => fs::write(&ledger, bytes).expect("the record"),
            None => fs::remove_file(&ledger).expect("no record"),
        }
        for args in [&args[..], &["runs"], &["resume"]] {
            let refused = at(&emulating, home.path(), args);
            let said = said(&refused);
            assert_eq!(refused.status.code(), Some(1), "{args:?}: {said}");
            assert!(said.contains("restore"), "{args:?}: {said}");
        }
    }
    assert_eq!(emulating.bill()["creates"], 1);
    fs::write(&ledger, whole).expect("the record");
    assert_eq!(at(&emulating, home.path(), &args).status.code(), Some(0));
    assert_eq!(emulating.bill()["creates"], 1);
}

#[test]
fn two_runs_can_wait_in_one_folder_while_other_commands_work() {
    let (emulating, home) = world(2);
    let other = home.path().join("other.jsonl");
    let text_of =
        |lines: Vec<Value>| -> String { lines.iter().map(|line| format!("{line}\n")).collect() };
    fs::write(&other, text_of(input(2, "other"))).expect("an input");
    let old = ["run", "old.jsonl", "-m", "openai/m", "-o", "old.out.jsonl"];
    fs::write(home.path().join("old.jsonl"), text_of(input(1, "old"))).expect("an input");
    let ended = [&old[..], &["--run", "old"]].concat();
    assert_eq!(at(&emulating, home.path(), &ended).status.code(), Some(0));
    let first = waiting(
        &emulating,
        home.path(),
        &[&RUN[..], &["out.jsonl", "--run", "one"]].concat(),
    );
    let second = [
        "run",
        "other.jsonl",
        "-m",
        "openai/m",
        "-o",
        "other.out.jsonl",
    ];
    let second = waiting(
        &emulating,
        home.path(),
        &[&second[..], &["--run", "two"]].concat(),
    );
    for (args, says) in [
        (&["runs"][..], "one"),
        (&["show", "two"], "its create was answered"),
        (&["purge", "old"], "files deleted"),
    ] {
        let beside = at(&emulating, home.path(), args);
        assert_eq!(beside.status.code(), Some(0), "{args:?}: {}", said(&beside));
        assert!(said(&beside).contains(says), "{args:?}: {}", said(&beside));
    }
    // Commands that conflict with the running process name it, and change nothing.
    for args in [
        &["purge", "one", "--force"][..],
        &["resume", "one", "--once"],
        &["requeue", "one"],
    ] {
        let busy = at(&emulating, home.path(), args);
        let said = said(&busy);
        assert_eq!(busy.status.code(), Some(7), "{args:?}: {said}");
        let named = format!("is advanced by process {}", first.id());
        assert!(said.contains(&named), "{args:?}: {said}");
    }
    for child in [first, second] {
        let (code, said) = text(child);
        assert_eq!(code, Some(0), "{said}");
    }
    assert_eq!(emulating.bill()["creates"], 3);
    assert_eq!(lines(&home.path().join("out.jsonl")).len(), 2);
    assert_eq!(lines(&home.path().join("other.out.jsonl")).len(), 2);
    let locks = fs::read_dir(home.path().join(".lmbatch/locks")).expect("the locks");
    assert_eq!(locks.count(), 0);
}

#[test]
fn the_same_command_follows_the_waiting_process_and_writes_its_own_output() {
    let (emulating, home) = world(2);
    let first = waiting(
        &emulating,
        home.path(),
        &[&RUN[..], &["out.jsonl"]].concat(),
    );
    // Both commands wait for the process, one for the process's output and one for its own.
    let named = format!(
        "is advanced by process {}; waiting for it · batches 0/1",
        first.id()
    );
    let follow = |output: &'static str| {
        let mut command = quiet(&emulating, home.path(), &[&RUN[..], &[output]].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        (output, command.spawn().expect("the command"))
    };
    for (output, follows) in ["out.jsonl", "own.jsonl"].map(follow) {
        let (code, said) = text(follows);
        assert_eq!(code, Some(0), "{output}: {said}");
        assert!(said.contains(&named), "{output}: {said}");
        assert!(said.contains("already answered"), "{output}: {said}");
        assert_eq!(lines(&home.path().join(output)).len(), 2);
    }
    let (code, said) = text(first);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(emulating.bill()["creates"], 1);
}

#[test]
fn a_following_command_takes_over_from_a_dead_process_and_respects_its_timeout() {
    let (emulating, home) = world(2);
    let run = [&RUN[..], &["out.jsonl"]].concat();
    let mut first = waiting(&emulating, home.path(), &run);
    let late = at(
        &emulating,
        home.path(),
        &[&run[..], &["--timeout", "100ms"]].concat(),
    );
    assert_eq!(late.status.code(), Some(4), "{}", said(&late));
    let detached = at(&emulating, home.path(), &[&run[..], &["--detach"]].concat());
    assert_eq!(detached.status.code(), Some(0), "{}", said(&detached));
    let mut follows = quiet(&emulating, home.path(), &run);
    follows.args(["--poll-interval", "20ms"]);
    let follows = follows
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut follows = follows.expect("the command");
    // Only a waiting command can take over.
    let messages = BufReader::new(follows.stderr.take().expect("its words"));
    let mut messages = messages.lines().map_while(Result::ok);
    let waits = messages.find(|line| line.contains("waiting for it"));
    assert!(waits.is_some());
    first.kill().expect("its end");
    first.wait().expect("its end");
    let rest: Vec<String> = messages.collect();
    let (code, _) = text(follows);
    assert_eq!(code, Some(0), "{rest:?}");
    assert!(
        rest.iter().any(|line| line.contains("resuming run")),
        "{rest:?}"
    );
    assert_eq!(lines(&home.path().join("out.jsonl")).len(), 2);
    assert_eq!(emulating.bill()["creates"], 1);
}

#[test]
fn only_one_of_many_identical_simultaneous_commands_begins_the_run() {
    for name in [&[][..], &["--run", "mine"]] {
        let (emulating, home) = world(5);
        let args = [&RUN[..], &["out.jsonl", "--poll-interval", "50ms"], name].concat();
        let all: Vec<Child> = (0..5)
            .map(|_| {
                let mut command = quiet(&emulating, home.path(), &args);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                command.spawn().expect("the command")
            })
            .collect();
        for child in all {
            let (code, said) = text(child);
            assert_eq!(code, Some(0), "{said}");
        }
        assert_eq!(emulating.bill()["creates"], 1, "{name:?}");
        assert_eq!(lines(&home.path().join("out.jsonl")).len(), 5);
        let runs = said(&at(&emulating, home.path(), &["runs", "--json"]));
        assert_eq!(runs.lines().count(), 1, "{runs}");
        assert!(!run_id(&emulating, home.path()).is_empty());
        // The inputs that the other commands had read are deleted.
        let files = fs::read_dir(home.path().join(".lmbatch/spool")).expect("the spool");
        let stems = files.map(|file| {
            let name = file.expect("a file").file_name();
            name.to_string_lossy().split('.').next().map(str::to_owned)
        });
        let stems: std::collections::HashSet<_> = stems.collect();
        assert_eq!(stems.len(), 1, "{stems:?}");
    }
}

#[test]
fn a_run_survives_a_key_rotation() {
    let (emulating, home) = world(2);
    let run = [&RUN[..], &["out.jsonl"]].concat();
    let keyed = |key: &str, args: &[&str]| {
        let mut command = quiet(&emulating, home.path(), args);
        let output = command.env("OPENAI_API_KEY", key).output();
        output.expect("the command")
    };
    let detached = keyed("sk-first", &[&run[..], &["--detach"]].concat());
    assert_eq!(detached.status.code(), Some(0), "{}", said(&detached));
    // A key of another account does not see the batch.
    let gone = json!({"operation": "status", "times": 1, "kind": {"status": {
        "code": 404, "headers": [],
        "body": r#"{"error": {"message": "No batch found", "type": "invalid_request_error", "code": null}}"#,
    }}});
    emulating.post("/_emulator/faults", &gone.to_string());
    let refused = keyed("sk-other", &["resume"]);
    let messages = said(&refused);
    assert_eq!(refused.status.code(), Some(1), "{messages}");
    assert!(
        messages.contains("belongs to another account"),
        "{messages}"
    );
    assert!(!messages.contains("input is not valid"), "{messages}");
    // The same command with a rotated key finds the run, and resumes it.
    let rotated = keyed(
        "sk-second",
        &[&run[..], &["--poll-interval", "20ms"]].concat(),
    );
    let messages = said(&rotated);
    assert_eq!(rotated.status.code(), Some(0), "{messages}");
    assert!(messages.contains("recorded with another key"), "{messages}");
    let again = keyed("sk-third", &run);
    assert!(
        said(&again).contains("already answered"),
        "{}",
        said(&again)
    );
    assert_eq!(emulating.bill()["creates"], 1);
    assert_eq!(lines(&home.path().join("out.jsonl")).len(), 2);
    let id = run_id(&emulating, home.path());
    let requeued = keyed("sk-third", &["requeue", &id, "--dry-run"]);
    assert_eq!(requeued.status.code(), Some(0), "{}", said(&requeued));
}

#[test]
fn a_run_can_be_named_by_a_prefix_of_its_id() {
    let (emulating, home) = world(2);
    let run = [&RUN[..], &["out.jsonl"]].concat();
    for args in [&run[..], &[&run[..], &["--new", "--force"]].concat()] {
        let ran = at(&emulating, home.path(), args);
        assert_eq!(ran.status.code(), Some(0), "{}", said(&ran));
    }
    let id = run_id(&emulating, home.path());
    assert_eq!(id.len(), "r-".len() + 12);
    // Six characters distinguish two runs, except in one of a thousand million cases.
    let shown = at(&emulating, home.path(), &["show", &id[..8], "--json"]);
    let messages = said(&shown);
    assert_eq!(shown.status.code(), Some(0), "{messages}");
    assert!(messages.contains(&format!("\"{id}\"")), "{messages}");
    for unknown in [&id[..3], &id[2..], &format!("{id}x")] {
        let shown = at(&emulating, home.path(), &["show", unknown]);
        let messages = said(&shown);
        assert_eq!(shown.status.code(), Some(2), "{messages}");
        assert!(messages.contains("there is no run"), "{messages}");
    }
    let purged = at(&emulating, home.path(), &["purge", &id[..10], "--local"]);
    assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
    assert_ne!(run_id(&emulating, home.path()), id);
}

#[test]
fn an_update_waits_for_the_other_process_and_uses_its_final_state() {
    // The wait counts towards the timeout of the whole command.
    for (more, code) in [
        (&["--poll-interval", "20ms"][..], 0),
        (&["--timeout", "4s", "--poll-interval", "3s"], 4),
    ] {
        let (emulating, home) = world(2);
        let run = [&RUN[..], &["out.jsonl"]].concat();
        let first = waiting(&emulating, home.path(), &run);
        write_input(home.path(), input(3, "say it"));
        let update = [&run[..], &["--update"], more].concat();
        let updated = at(&emulating, home.path(), &update);
        let messages = said(&updated);
        assert_eq!(updated.status.code(), Some(code), "{messages}");
        let (ended, first) = text(first);
        assert_eq!(ended, Some(0), "{first}");
        if code == 0 {
            assert!(
                messages.contains("2 unchanged, 0 changed, 1 new"),
                "{messages}"
            );
            assert_eq!(lines(&home.path().join("out.jsonl")).len(), 3);
            assert_eq!(emulating.bill()["creates"], 2);
        }
    }
}
