//! Deletion of old prompts and answers from the state folder, and the commands on a run that has lost them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lmbatch_tests::{Scene, assert_says, lines, object, pause, said, write_input};
use serde_json::{Value, json};

/// A scene with runs, each of an input of two requests, of which one has an unusable answer.
struct World(Scene);

fn asked(prompt: &str) -> [Value; 2] {
    [
        json!({"id": "a", "prompt": prompt}),
        json!({"id": "b", "prompt": format!("{prompt} lmb:truncate")}),
    ]
}

impl World {
    fn new() -> Self {
        Self(Scene::new(asked("fine")))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    /// Writes the input of a run.
    fn input(&self, name: &str, prompt: &str) {
        let lines = asked(prompt).map(|line| format!("{line}\n"));
        self.0.write(&format!("{name}.jsonl"), &lines.concat());
    }

    fn command(&self, args: &[&str]) -> Command {
        self.0.command("openai", args)
    }

    #[track_caller]
    fn ends(&self, args: &[&str], code: i32) -> Output {
        let output = self.0.at(args);
        assert_says(&output, code, &[]);
        output
    }

    /// Runs an input to its end, and returns what was said.
    #[track_caller]
    fn run(&self, input: &str, args: &[&str]) -> String {
        let usual = usual(input);
        let usual: Vec<&str> = usual.iter().map(String::as_str).collect();
        said(&self.ends(&[&usual[..], args].concat(), 3))
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
        assert_says(&swept.unwrap(), 0, &[]);
    }

    fn show(&self, run: &str) -> Value {
        object(&self.ends(&["show", run, "--json"], 0))
    }

    fn creates(&self) -> u64 {
        self.0.creates()
    }

    /// Checks an object against the schema that the command prints.
    #[track_caller]
    fn assert_fits(&self, of: &str, value: &Value) {
        let schema = object(&self.0.at(&["schema", of]));
        let schema = jsonschema::validator_for(&schema).unwrap();
        let found = schema.iter_errors(value);
        let found: Vec<String> = found.map(|error| error.to_string()).collect();
        assert!(found.is_empty(), "{found:?} in {value}");
    }
}

/// Returns the command that runs an input.
fn usual(input: &str) -> [String; 10] {
    let (file, output) = (format!("{input}.jsonl"), format!("{input}.out.jsonl"));
    let words = [
        "run", &file, "-m", "openai/m", "-o", &output, "--run", input,
    ];
    let brisk = ["--poll-interval", "20ms"];
    let mut words = words.into_iter().chain(brisk).map(str::to_owned);
    std::array::from_fn(|_| words.next().unwrap())
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
    let object = object(&as_json);
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
    let changed = said(&world.ends(&usual, 2));
    assert!(
        changed.contains("cannot be brought up to date"),
        "{changed}"
    );
    assert!(!changed.contains("--update"), "{changed}");
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
fn answers_are_kept_where_the_format_of_the_output_cannot_represent_all_of_them() {
    for (prompt, output, more, part, kept) in [
        (
            "lmb:tool",
            "out.csv",
            &[][..],
            "tool_call of 1 outcome",
            true,
        ),
        ("fine", "out.csv", &[], "", false),
        ("lmb:tool", "out.jsonl", &[], "", false),
        (
            "fine",
            "out.jsonl",
            &["--output-format", "anthropic"],
            "the format of the output cannot represent metadata of 1 outcome",
            true,
        ),
    ] {
        let tools = json!([{"name": "look", "parameters": {"type": "object", "properties": {}}}]);
        let (id, metadata) = ("a", json!({"page": 7}));
        let request = json!({"id": id, "prompt": prompt, "tools": tools, "metadata": metadata});
        let scene = Scene::new([request]);
        let usual = ["-o", output, "--run", "mine", "--accept", "truncated"];
        let args = [&usual[..], more, &["--delete-answers-after", "0s"]].concat();
        assert_says(&scene.run(&args), 0, &[part]);
        let deleted = object(&scene.at(&["show", "mine", "--json"]))["answers_deleted_at"].clone();
        assert_eq!(deleted.is_null(), kept, "{prompt}, {output}: {deleted}");
        let purged = scene.at(&["purge", "mine", "--answers"]);
        assert_eq!(
            purged.status.code(),
            Some(if kept { 2 } else { 0 }),
            "{}",
            said(&purged)
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
    world.0.fault(&slow);
    let mut holding = world
        .command(&["purge", "open", "--remote"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deletes = world.0.emulating.bill()["calls"]["delete"].clone();
    while world.0.emulating.bill()["calls"]["delete"] == deletes {
        pause();
    }
    world.sweep();
    assert!(world.show("open")["answers_deleted_at"].is_null());
    world.0.emulating.clear_faults();
    holding.wait().unwrap();
    world.sweep();
    assert!(world.show("open")["answers_deleted_at"].is_string());
}

#[test]
fn a_state_folder_is_checked_once_a_day() {
    let world = World::new();
    world.run("in", &[]);
    let stored = world.stored();
    // A setting of the environment is applied once a day.
    let by_setting = |input: &str| {
        let usual = usual(input);
        let usual: Vec<&str> = usual.iter().map(String::as_str).collect();
        let mut command = world.command(&usual);
        command
            .env("LMBATCH_DELETE_ANSWERS_AFTER", "0s")
            .env("LMBATCH_WARN_ABOVE", "1");
        let output = command.output().unwrap();
        assert_says(&output, 3, &[]);
        said(&output)
    };
    world.input("other", "second");
    let second = by_setting("other");
    assert!(!second.contains("deleted from"), "{second}");
    assert!(!second.contains("warning"), "{second}");
    assert!(world.stored() > stored);
    world.next_day();
    let third = by_setting("other");
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
fn an_option_is_applied_in_its_own_call_whenever_the_last_look_was() {
    let world = World::new();
    // The first look of the day.
    world.run("in", &[]);
    let stored = world.stored();
    assert!(world.at(".lmbatch/retention").exists());
    let warned = world.run("in", &["--warn-above", "1"]);
    assert!(
        warned.contains("warning: the state folder has "),
        "{warned}"
    );
    assert_eq!(world.stored(), stored);
    let longer = world.run("in", &["--delete-answers-after", "1h"]);
    assert!(!longer.contains("deleted from"), "{longer}");
    world.input("other", "second");
    let second = world.run("other", &["--delete-answers-after", "0s"]);
    assert!(
        second.contains("prompts and answers of 2 runs ("),
        "{second}"
    );
    assert_eq!(world.stored(), 0);
    // Also of the other commands that have the option, and of a watching one once it ends.
    let commands: [&[&str]; 3] = [
        &["resume", "third"],
        &["requeue", "third", "--only", "truncated"],
        &["resume", "--all", "--watch", "--timeout", "2s"],
    ];
    for command in commands {
        world.input("third", &format!("{command:?}"));
        world.run("third", &["--new", "--force"]);
        assert!(world.stored() > 0, "{command:?}");
        let brisk = ["--delete-answers-after", "0s", "--poll-interval", "20ms"];
        let ended = world.0.at(&[command, &brisk].concat());
        assert_eq!(world.stored(), 0, "{command:?}: {}", said(&ended));
        world.ends(&["purge", "third"], 0);
    }
}

#[test]
fn what_programs_read_of_a_run_without_its_answers_fits_the_schemas() {
    let world = World::new();
    let usual = usual("in");
    let usual: Vec<&str> = usual.iter().map(String::as_str).collect();
    let before = object(&world.ends(&[&usual[..], &["--json"]].concat(), 3));
    world.assert_fits("summary", &before);
    world.ends(&["purge", "in", "--answers"], 0);
    let before = before.as_object().unwrap();
    for args in [&usual[..], &["resume", "in"]] {
        let after = object(&world.ends(&[args, &["--json"]].concat(), 3));
        world.assert_fits("summary", &after);
        // What both forms have is the same.
        for name in [
            "run", "requests", "usable", "provider", "model", "batch", "batches", "emulated",
        ] {
            assert_eq!(after[name], before[name], "{args:?}: {name}");
        }
    }
    // The hook of a finished run reads the same object.
    let hook = ["--on-finish", "printf %s \"$LMBATCH_SUMMARY\" > hook.json"];
    world.ends(&[&usual[..], &hook].concat(), 3);
    let hook: Value = serde_json::from_slice(&world.0.file("hook.json")).unwrap();
    world.assert_fits("summary", &hook);
    let dry = object(&world.ends(&[&usual[..], &["--dry-run", "--json"]].concat(), 0));
    world.assert_fits("dry-run", &dry);
    fs::remove_file(world.at("in.out.jsonl")).unwrap();
    for args in [
        &usual[..],
        &["resume", "in"],
        &["requeue", "in", "--only", "truncated"],
        &["audit", "in"],
    ] {
        let failed = object(&world.ends(&[args, &["--json"]].concat(), 1));
        assert_eq!(failed["error"]["kind"], "answers_deleted", "{args:?}");
        assert_eq!(failed["run"], before["run"], "{args:?}");
    }
}

#[test]
fn the_commands_that_fetch_deleted_answers_again_work_as_they_are_printed() {
    let world = World::new();
    let base_url = world.0.emulating.base_url.clone();
    let apart = ["--max-batch-requests", "1", "--base-url", &base_url];
    world.run("in", &apart);
    world.run("in", &["--delete-answers-after", "0s"]);
    assert_eq!(world.stored(), 0);
    fs::remove_file(world.at("in.out.jsonl")).unwrap();
    let refused = said(&world.ends(&["audit", "in"], 1));
    let printed = refused.lines().map(str::trim);
    let printed: Vec<&str> = printed
        .filter(|line| line.starts_with("lmbatch retrieve "))
        .collect();
    assert_eq!(printed.len(), 2, "a command for each batch: {refused}");
    let folder = lmbatch_tests::lmbatch();
    let path = format!("{}:/usr/bin:/bin", folder.parent().unwrap().display());
    let mut ids = Vec::new();
    for (at, line) in printed.iter().enumerate() {
        assert!(line.contains(&base_url), "{line}");
        // Without the address in the environment: the command names it.
        let mut shell = world.0.emulating.shell("openai", world.0.path());
        shell
            .env_remove("LMBATCH_LOG")
            .env_remove("OPENAI_BASE_URL")
            .env("PATH", &path)
            .args(["-c", line]);
        let fetched = shell.output().unwrap();
        // The request of the second batch has an unusable answer.
        assert_says(&fetched, [0, 3][at], &["by its record"]);
        assert!(!said(&fetched).contains("adopt"), "{}", said(&fetched));
        let file = world.at(&format!("retrieved-{}-in.out.jsonl", at + 1));
        let rows = lines(&file).into_iter();
        ids.extend(rows.map(|row| row["id"].clone()));
    }
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(world.creates(), 2, "nothing is sent again");
    // A batch that the record knows is not adopted.
    let batch = world.show("in")["batches"][0]["batch"].clone();
    let adopt = [
        "adopt",
        batch.as_str().unwrap(),
        "in.jsonl",
        "-m",
        "openai/m",
    ];
    let refused = said(&world.ends(&adopt, 2));
    assert!(
        refused.contains("writes the rows of the batch with the ids of its input"),
        "{refused}"
    );
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
    let object = object(&old);
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
