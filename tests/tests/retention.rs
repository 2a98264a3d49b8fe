//! Deletion of old prompts and answers from the state folder, and the commands on a run that has lost them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lmbatch_tests::{Emulating, said, write_input};
use serde_json::{Value, json};

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

struct World {
    emulating: Emulating,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            emulating: Emulating::start(),
            folder: tempfile::tempdir().unwrap(),
        };
        world.input("in", "fine");
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes an input of two requests, of which one has an unusable answer.
    fn input(&self, name: &str, prompt: &str) {
        write_input(
            self.folder.path(),
            [
                json!({"id": "a", "prompt": prompt}),
                json!({"id": "b", "prompt": format!("{prompt} lmb:truncate")}),
            ],
        );
        if name != "in" {
            fs::rename(self.at("in.jsonl"), self.at(&format!("{name}.jsonl"))).unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.emulating.command_at("openai", self.folder.path());
        command.env_remove("LMBATCH_LOG").args(args);
        command
    }

    fn ends(&self, args: &[&str], code: i32) -> Output {
        let output = self.command(args).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        output
    }

    /// Runs an input to its end, and returns what was said.
    fn run(&self, input: &str, args: &[&str]) -> String {
        let (file, output) = (format!("{input}.jsonl"), format!("{input}.out.jsonl"));
        let usual = [
            "run",
            &file,
            "-m",
            "openai/m",
            "-o",
            &output,
            "--run",
            input,
            "--poll-interval",
            "20ms",
        ];
        said(&self.ends(&[&usual, args].concat(), 3))
    }

    /// Number of files of prompts and answers in the state folder.
    fn stored(&self) -> usize {
        let names = fs::read_dir(self.at(".lmbatch/spool")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_answer = |name: &String| {
            let kinds = [".body-", ".segment-", ".locations-"];
            kinds.iter().any(|kind| name.contains(kind))
        };
        names.filter(is_answer).count()
    }

    /// Has the next command look at the state folder, as it does once a day.
    fn next_day(&self) {
        fs::remove_file(self.at(".lmbatch/retention")).unwrap();
    }

    /// Runs an input in another folder, or finds its run again. The command deletes everything that may be deleted.
    fn sweep(&self) {
        self.next_day();
        let elsewhere = self.at("elsewhere");
        fs::create_dir_all(&elsewhere).unwrap();
        write_input(&elsewhere, [json!({"id": "c", "prompt": "sweep"})]);
        let sweep = [
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "--run",
            "other",
            "--poll-interval",
            "20ms",
            "--delete-answers-after",
            "0s",
        ];
        let swept = self.command(&sweep).current_dir(&elsewhere).output();
        let swept = swept.unwrap();
        assert_eq!(swept.status.code(), Some(0), "{}", said(&swept));
    }

    fn show(&self, run: &str) -> Value {
        let shown = self.ends(&["show", run, "--json"], 0);
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    fn creates(&self) -> Value {
        self.emulating.bill()["calls"]["create"].clone()
    }
}

#[test]
fn a_run_without_its_answers_is_still_the_same_run_and_sends_nothing() {
    let world = World::new();
    let said_first = world.run("in", &["--delete-answers-after", "0s"]);
    let deletion = "deleted from this machine: prompts and answers of 1 run (";
    assert!(said_first.contains(deletion), "{said_first}");
    assert!(
        said_first.contains("30d by default, or never"),
        "{said_first}"
    );
    assert_eq!(world.stored(), 0);
    assert_eq!(world.creates(), 1);
    let at = world.show("in")["answers_deleted_at"].clone();
    assert!(at.is_string(), "{at}");
    // The same command: the output is there, and its exit code is that of the first time.
    let again = world.run("in", &[]);
    for part in [
        "0 requests sent",
        "in.out.jsonl is complete and unchanged",
        "were deleted from",
    ] {
        assert!(again.contains(part), "{part}: {again}");
    }
    let usual = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "in.out.jsonl",
        "--run",
        "in",
    ];
    let as_json = world.ends(&[&usual[..], &["--json", "--max-failed", "1"]].concat(), 0);
    let object: Value = serde_json::from_slice(&as_json.stdout).unwrap();
    assert_eq!(object["state"], "finished");
    assert_eq!(
        (&object["requests"], &object["unusable"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(object["answers_deleted_at"], at);
    assert_eq!(
        said(&world.ends(&["wait", "in"], 3))
            .matches("1 usable")
            .count(),
        1
    );
    // What needs the answers says since when they are gone, and where they may be.
    for args in [
        &["retrieve", "in", "-o", "again.jsonl"][..],
        &["audit", "in"],
        &["requeue", "in", "--only", "truncated"],
        &["requeue", "in", "--only", "truncated", "--dry-run"],
    ] {
        let text = said(&world.ends(args, 1));
        for part in [
            "were deleted from this machine on 20",
            "in.out.jsonl",
            "retrieve batch_",
        ] {
            assert!(text.contains(part), "{args:?}: {part}: {text}");
        }
    }
    assert!(!world.at("again.jsonl").exists());
    // An input that has changed cannot keep what is gone.
    world.input("in", "changed");
    let update = [&usual[..], &["--update"]].concat();
    assert!(said(&world.ends(&update, 1)).contains("were deleted from this machine"));
    world.input("in", "fine");
    // Without its output nothing is left, and nothing is sent either.
    fs::remove_file(world.at("in.out.jsonl")).unwrap();
    let gone = said(&world.ends(&usual, 1));
    for part in ["0 requests sent", "were deleted from this machine", "--new"] {
        assert!(gone.contains(part), "{part}: {gone}");
    }
    assert!(!world.at("in.out.jsonl").exists());
    assert_eq!(world.creates(), 1);
}

#[test]
fn answers_are_kept_unless_their_output_is_there_unchanged() {
    let text = |world: &World| fs::read_to_string(world.at("in.out.jsonl")).unwrap();
    let write = |world: &World, text: &str| fs::write(world.at("in.out.jsonl"), text).unwrap();
    type Change<'a> = &'a dyn Fn(&World);
    let nothing: Change<'_> = &|_| {};
    let longer: Change<'_> = &|world| write(world, &(text(world) + "\n"));
    let edited: Change<'_> = &|world| write(world, &text(world).replacen('a', "e", 1));
    let removed: Change<'_> = &|world| fs::remove_file(world.at("in.out.jsonl")).unwrap();
    for (what, change, kept) in [
        ("nothing", nothing, false),
        ("longer", longer, true),
        ("edited", edited, true),
        ("removed", removed, true),
    ] {
        let world = World::new();
        world.run("in", &[]);
        let before = world.stored();
        assert!(before >= 3, "{before}");
        change(&world);
        world.sweep();
        assert_eq!(world.stored(), if kept { before } else { 0 }, "{what}");
        assert_eq!(
            world.show("in")["answers_deleted_at"].is_null(),
            kept,
            "{what}"
        );
    }
}

#[test]
fn runs_that_have_not_ended_or_wrote_to_a_pipe_or_are_held_are_kept() {
    let world = World::new();
    let usual = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--poll-interval",
        "20ms",
    ];
    world.ends(&[&usual[..], &["-o", "-", "--run", "piped"]].concat(), 3);
    let of_pipe = world.stored();
    world.sweep();
    assert_eq!(
        world.stored(),
        of_pipe,
        "nothing holds the answers but the record"
    );
    world.input("open", "not yet");
    let detached = [
        "run",
        "open.jsonl",
        "-m",
        "openai/m",
        "--run",
        "open",
        "--detach",
    ];
    world.ends(&detached, 0);
    let with_open = world.stored();
    assert!(with_open > of_pipe);
    world.sweep();
    assert_eq!(world.stored(), with_open);
    world.ends(&["resume", "open", "--poll-interval", "20ms"], 3);
    // Another process holds the run meanwhile: it deletes its batch, which takes a while.
    let slow = json!({"operation": "delete", "kind": {"latency": {"milliseconds": 4000}}});
    world.emulating.post("/_emulator/faults", &slow.to_string());
    let mut holding = world
        .command(&["purge", "open", "--remote"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deletes = world.emulating.bill()["calls"]["delete"].clone();
    while world.emulating.bill()["calls"]["delete"] == deletes {
        pause();
    }
    world.sweep();
    assert!(world.show("open")["answers_deleted_at"].is_null());
    world.emulating.clear_faults();
    holding.wait().unwrap();
    world.sweep();
    assert!(world.show("open")["answers_deleted_at"].is_string());
}

#[test]
fn a_state_folder_is_looked_at_once_a_day() {
    let world = World::new();
    world.run("in", &[]);
    let stored = world.stored();
    world.input("other", "second");
    let second = world.run(
        "other",
        &["--delete-answers-after", "0s", "--warn-above", "1"],
    );
    assert!(!second.contains("deleted from"), "{second}");
    assert!(!second.contains("warning"), "{second}");
    assert!(world.stored() > stored);
    world.next_day();
    let third = world.run(
        "other",
        &["--delete-answers-after", "0s", "--warn-above", "1"],
    );
    assert!(third.contains("prompts and answers of 2 runs ("), "{third}");
    assert!(third.contains("warning: the state folder has "), "{third}");
    assert!(third.contains("lmbatch runs --size"), "{third}");
    assert_eq!(world.stored(), 0);
    // By the default, and with never, nothing that is young goes.
    for args in [&[][..], &["--delete-answers-after", "never"]] {
        world.next_day();
        world.input("young", &format!("{args:?}"));
        world.run("young", &[args, &["--new", "--force"]].concat());
        assert!(world.stored() > 0, "{args:?}");
        world.ends(&["purge", "young"], 0);
    }
}

#[test]
fn what_a_process_left_that_died_while_it_deleted_is_removed_later() {
    let world = World::new();
    world.run("in", &["--delete-answers-after", "0s"]);
    let spool = world.at(".lmbatch/spool");
    let names = fs::read_dir(&spool).unwrap();
    let name = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = name.filter(|name| name.contains(".echo-")).min().unwrap();
    let left = spool.join(name.replace("echo-0", "segment-0-1-0-0"));
    fs::write(&left, "an answer").unwrap();
    let doctor = ["doctor", "-p", "openai", "--clean"];
    world.ends(&doctor, 0);
    assert!(!left.exists());
    assert!(spool.join(&name).exists(), "the ids stay");
    fs::write(&left, "an answer").unwrap();
    // A command that keeps answers for ever finishes a deletion that was begun.
    world.next_day();
    world.input("other", "later");
    let said = world.run("other", &["--delete-answers-after", "never"]);
    assert!(
        said.contains("prompts and answers of 1 run (1 file, 9 B)"),
        "{said}"
    );
    assert!(!left.exists());
}

#[test]
fn purge_deletes_answers_alone_where_their_output_is_there() {
    let world = World::new();
    world.run("in", &[]);
    world.input("other", "second");
    world.run("other", &[]);
    fs::write(world.at("other.out.jsonl"), "mine").unwrap();
    let stored = world.stored();
    let dry = said(&world.ends(&["purge", "in", "--answers", "--dry-run"], 0));
    assert!(dry.contains("nothing was deleted"), "{dry}");
    assert_eq!(world.stored(), stored);
    for wrong in ["--remote", "--local", "--force"] {
        world.ends(&["purge", "in", "--answers", wrong], 2);
    }
    let refused = said(&world.ends(&["purge", "other", "--answers"], 2));
    assert!(
        refused.contains("in no output file that is there as it was written"),
        "{refused}"
    );
    assert_eq!(world.stored(), stored);
    let old = world.ends(&["purge", "--older-than", "0s", "--answers", "--json"], 0);
    assert!(said(&old).contains("they are kept"), "{}", said(&old));
    let object: Value = serde_json::from_slice(&old.stdout).unwrap();
    assert_eq!(
        (&object["name"], &object["answers"]),
        (&json!("in"), &json!(true))
    );
    assert_eq!(world.stored(), stored / 2);
    assert!(world.show("in")["answers_deleted_at"].is_string());
    assert!(world.show("other")["answers_deleted_at"].is_null());
    // Record and files still go together.
    world.ends(&["purge", "in"], 0);
    world.ends(&["show", "in"], 2);
}

#[test]
fn emulated_answers_go_after_a_day_and_within_it_by_the_setting() {
    let world = World::new();
    let emulated = |args: &[&str], code| {
        let usual = ["run", "in.jsonl", "-m", "openai/m", "--emulate"];
        said(&world.ends(&[&usual[..], args].concat(), code))
    };
    let young = emulated(&[], 3);
    assert!(!young.contains("deleted from"), "{young}");
    fs::remove_file(world.at(".lmbatch/emulated/retention")).unwrap();
    let old = emulated(&["--delete-answers-after", "0s"], 3);
    assert!(old.contains("prompts and answers of 1 run ("), "{old}");
    let again = emulated(&[], 3);
    assert!(again.contains("is complete and unchanged"), "{again}");
}
