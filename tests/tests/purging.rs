//! Deletions of `purge` while other commands work on the same runs, and what it counts.

use std::path::Path;
use std::process::{Command, Stdio};

use lmbatch_tests::{Emulating, Scene, assert_says, lines, object, pause, said, write_input};
use serde_json::{Value, json};

fn command(emulating: &Emulating, folder: &Path, args: &[&str]) -> Command {
    let mut command = emulating.command_at("openai", folder);
    command.env_remove("LMBATCH_LOG").args(args);
    command
}

#[test]
fn a_run_that_is_requeued_during_a_purge_is_kept() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| command(&emulating, folder.path(), args).output().unwrap();
    write_input(
        folder.path(),
        [
            json!({"id": "a", "prompt": "fine"}),
            json!({"id": "b", "prompt": "lmb:truncate"}),
        ],
    );
    for name in ["older", "newer"] {
        let output = format!("{name}.jsonl");
        let ended = at(&[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-o",
            &output,
            "--run",
            name,
            "--cleanup",
            "none",
            "--poll-interval",
            "20ms",
        ]);
        assert_eq!(ended.status.code(), Some(3), "{}", said(&ended));
    }
    // The first deletion takes a while: the upload of the newer run.
    let slow = json!({"operation": "delete", "kind": {"latency": {"milliseconds": 8000}}});
    emulating.post("/_emulator/faults", &slow.to_string());
    let purge = ["purge", "--older-than", "0s", "--remote", "--local"];
    let purge = command(&emulating, folder.path(), &purge)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while emulating.bill()["calls"]["delete"] == Value::Null {
        pause();
    }
    // Meanwhile the other run is requeued, and stays while its batch is running.
    let requeue = [
        "requeue",
        "older",
        "--only",
        "truncated",
        "--timeout",
        "2s",
        "--poll-interval",
        "60s",
    ];
    let sent = at(&requeue);
    assert_eq!(sent.status.code(), Some(4), "{}", said(&sent));
    let purged = purge.wait_with_output().unwrap();
    assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
    let stays = "has not ended; it is kept";
    assert!(said(&purged).contains(stays), "{}", said(&purged));
    let runs = said(&at(&["runs"]));
    assert!(
        runs.contains("older") && !runs.contains("newer"),
        "it is recorded still: {runs}"
    );
    let resumed = at(&["resume", "older", "--poll-interval", "20ms"]);
    assert_eq!(resumed.status.code(), Some(3), "{}", said(&resumed));
    assert_eq!(lines(&folder.path().join("older.jsonl")).len(), 2);
    let audit = at(&["audit", "older"]);
    assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
}

#[test]
fn a_run_that_has_not_ended_is_purged_only_by_name_and_with_force() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let at = |args: &[&str]| command(&emulating, folder.path(), args).output().unwrap();
    write_input(folder.path(), [json!({"id": "a", "prompt": "fine"})]);
    let left = at(&[
        "run", "in.jsonl", "-m", "openai/m", "--run", "mine", "--detach",
    ]);
    assert_eq!(left.status.code(), Some(0), "{}", said(&left));
    for (args, code, stays) in [
        (&["purge", "mine"][..], 2, true),
        (&["purge", "--older-than", "0s"], 0, true),
        (&["purge", "--older-than", "0s", "--force"], 0, true),
        (&["purge", "mine", "--force", "--dry-run"], 0, true),
        (&["purge", "mine", "--force"], 0, false),
    ] {
        let purged = at(args);
        assert_eq!(
            purged.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&purged)
        );
        let runs = said(&at(&["runs"]));
        assert_eq!(runs.contains("mine"), stays, "{args:?}: {runs}");
    }
}

#[test]
fn a_run_that_another_process_advances_is_never_purged() {
    let scene = Scene::new([json!({"id": "a", "prompt": "fine"})]);
    let run = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--run",
        "mine",
    ];
    // Between two polls the process only waits.
    let mut running = scene
        .command(
            "openai",
            &[&run[..], &["--poll-interval", "10min"]].concat(),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while scene.creates() == 0 {
        pause();
    }
    let held = "is advanced by process";
    for (args, code, words) in [
        (&["purge", "mine", "--force"][..], 7, held),
        (&["purge", "mine", "--force", "--remote"], 7, held),
        (&["purge", "mine", "--force", "--json"], 7, "\"busy\""),
        (&["purge", "mine"], 2, "has not ended"),
        (&["purge", "mine", "--answers"], 2, "has not ended"),
        (&["purge", "--older-than", "0s"], 0, ""),
        (&["purge", "--older-than", "0s", "--answers"], 0, ""),
    ] {
        assert_says(&scene.at(args), code, &[words]);
    }
    assert_eq!(scene.emulating.bill()["calls"]["delete"], Value::Null);
    running.kill().unwrap();
    running.wait().unwrap();
    let resumed = scene.at(&["resume", "mine", "--poll-interval", "20ms"]);
    assert_says(&resumed, 0, &[]);
    assert_eq!(lines(&scene.path().join("out.jsonl")).len(), 1);
    assert_eq!(scene.creates(), 1);
}

#[test]
fn purge_and_the_list_of_runs_agree_on_the_bytes_of_a_run() {
    let scene = Scene::new((0..9).map(|k| json!({"id": k.to_string(), "prompt": "fine"})));
    let apart = [
        "--max-batch-requests",
        "4",
        "--run",
        "mine",
        "-o",
        "out.jsonl",
    ];
    assert_says(&scene.run(&apart), 0, &[]);
    scene.ask([json!({"id": "a", "prompt": "other"})]);
    assert_says(&scene.run(&["--run", "other", "-o", "other.jsonl"]), 0, &[]);
    // Files of a run in the spool, by its nonce, and their bytes.
    let on_disk = |run: &str| {
        let nonce = run.trim_start_matches("r-");
        let files = std::fs::read_dir(scene.path().join(".lmbatch/spool")).unwrap();
        let files = files.map(|file| file.unwrap());
        let of_run = files.filter(|file| file.file_name().to_string_lossy().starts_with(nonce));
        of_run.fold((0_u64, 0_u64), |(files, bytes), file| {
            (files + 1, bytes + file.metadata().unwrap().len())
        })
    };
    let listed = || {
        let runs = scene.at(&["runs", "--size", "--json"]);
        let runs = String::from_utf8(runs.stdout).unwrap();
        let runs = runs
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let mine: Vec<Value> = runs.filter(|run| run["name"] == "mine").collect();
        assert_eq!(mine.len(), 1, "{mine:?}");
        mine[0].clone()
    };
    let purged = |args: &[&str]| {
        let object = object(&scene.at(&[&["purge", "mine", "--json"], args].concat()));
        let number = |name: &str| object[name].as_u64().unwrap();
        (number("files"), number("bytes"))
    };
    let run = listed()["run"].as_str().unwrap().to_owned();
    let whole = on_disk(&run);
    assert!(
        whole.0 > 9,
        "three batches have several files each: {whole:?}"
    );
    assert_eq!(listed()["bytes"], whole.1);
    assert_eq!(purged(&["--dry-run"]), whole);
    let answers = purged(&["--answers", "--dry-run"]);
    assert!(answers.0 < whole.0 && answers.1 < whole.1, "{answers:?}");
    assert_eq!(on_disk(&run), whole, "a dry run deletes nothing");
    assert_eq!(purged(&["--answers"]), answers);
    let rest = (whole.0 - answers.0, whole.1 - answers.1);
    assert_eq!(on_disk(&run), rest);
    assert_eq!(listed()["bytes"], rest.1);
    assert_eq!(purged(&[]), rest);
    assert_eq!(on_disk(&run), (0, 0));
}
