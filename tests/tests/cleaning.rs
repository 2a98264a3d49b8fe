//! Remains of a run, locally and at its provider: they are reported, found, and deleted on request.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch_tests::{Emulating, said};
use serde_json::{Value, json};

const MODELS: [(&str, &str); 3] = [
    ("openai", "openai/m"),
    ("anthropic", "anthropic/claude-sonnet-4-5"),
    ("google", "google/gemini-2.5-flash"),
];

struct World {
    emulating: Emulating,
    folder: tempfile::TempDir,
    provider: &'static str,
    model: &'static str,
}

impl World {
    fn new((provider, model): (&'static str, &'static str)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let line = |k: usize| json!({"id": k.to_string(), "prompt": "say it"});
        let lines: Vec<String> = (0..3).map(|k| line(k).to_string()).collect();
        fs::write(folder.path().join("in.jsonl"), lines.join("\n")).unwrap();
        Self {
            emulating: Emulating::start(),
            folder,
            provider,
            model,
        }
    }

    fn at(&self, args: &[&str]) -> Output {
        self.emulating
            .run_at(self.provider, self.folder.path(), args)
    }

    fn run(&self, more: &[&str]) -> Output {
        let args = [
            "run",
            "in.jsonl",
            "-m",
            self.model,
            "-o",
            "out.jsonl",
            "--poll-interval",
            "20ms",
        ];
        self.at(&[&args[..], more].concat())
    }

    /// Number of the one shard without a batch, counted from 0.
    fn missing(&self) -> usize {
        let json = |args: &[&str]| -> Value {
            let shown = self.at(args);
            serde_json::from_slice(&shown.stdout).unwrap()
        };
        let runs = json(&["runs", "--json"]);
        let shown = json(&["show", runs["run"].as_str().unwrap(), "--json"]);
        let batches = shown["batches"].as_array().unwrap();
        let missing = batches.iter().position(|batch| batch["batch"].is_null());
        missing.unwrap()
    }

    fn spooled(&self) -> usize {
        fs::read_dir(self.folder.path().join(".lmbatch/spool"))
            .unwrap()
            .count()
    }

    /// Number of deletions that the provider received.
    fn deletions(&self) -> u64 {
        let calls = &self.emulating.bill()["calls"];
        ["delete_file", "delete_batch", "delete"]
            .iter()
            .filter_map(|name| calls[name].as_u64())
            .sum()
    }
}

fn remote(world: &World, output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let schema = serde_json::from_slice(&world.at(&["schema", "summary"]).stdout).unwrap();
    jsonschema::validate(&schema, &summary).unwrap();
    summary["remote"].clone()
}

#[test]
fn the_summary_lists_what_stays_at_the_provider_and_until_when() {
    for model in MODELS {
        let uploads = u64::from(model.0 != "anthropic");
        for (cleanup, inputs, batches) in [("inputs", 0, 1), ("none", uploads, 1), ("all", 0, 0)] {
            let world = World::new(model);
            let run = world.run(&["--json", "--cleanup", cleanup]);
            assert_eq!(run.status.code(), Some(0), "{}", said(&run));
            let left = remote(&world, &run);
            assert_eq!(
                (&left["inputs"], &left["batches"]),
                (&json!(inputs), &json!(batches)),
                "{model:?} {cleanup}"
            );
            assert_eq!(left["until"].is_string(), batches + inputs > 0, "{left}");
            let row = format!("retained by {}", model.0);
            assert_eq!(
                said(&run).contains(&row),
                batches + inputs > 0,
                "{}",
                said(&run)
            );
            // A deleted file is not deleted again.
            let before = world.deletions();
            let again = world.run(&["--json", "--cleanup", cleanup]);
            assert!(
                said(&again).contains("already answered"),
                "{}",
                said(&again)
            );
            assert_eq!(
                (remote(&world, &again), world.deletions()),
                (left, before),
                "{model:?} {cleanup}"
            );
        }
    }
}

#[test]
fn purge_deletes_locally_or_at_the_provider_and_has_a_dry_run() {
    for model in MODELS {
        let world = World::new(model);
        let run = world.run(&["--run", "mine", "--cleanup", "none"]);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let (spooled, deleted) = (world.spooled(), world.deletions());
        assert!(spooled > 0);
        let dry = world.at(&["purge", "mine", "--remote", "--local", "--dry-run"]);
        assert!(
            said(&dry).contains("results of 1 batch") && said(&dry).contains("--dry-run"),
            "{}",
            said(&dry)
        );
        assert_eq!((world.spooled(), world.deletions()), (spooled, deleted));
        let remote = world.at(&["purge", "mine", "--remote"]);
        assert!(said(&remote).contains("nothing"), "{}", said(&remote));
        assert!(world.deletions() > deleted);
        assert_eq!(
            world
                .at(&["retrieve", "mine", "-o", "again.jsonl"])
                .status
                .code(),
            Some(0)
        );
        assert!(said(&world.at(&["purge", "mine"])).contains("files deleted"));
        assert_eq!(world.spooled(), 0);
        assert_eq!(world.at(&["show", "mine"]).status.code(), Some(2));
    }
}

#[test]
fn purge_deletes_old_runs_and_keeps_recent_ones() {
    let world = World::new(MODELS[0]);
    for name in ["first", "second"] {
        assert_eq!(
            world.run(&["--run", name, "--force"]).status.code(),
            Some(0)
        );
    }
    let young = world.at(&["purge", "--older-than", "1h"]);
    assert!(
        said(&young).contains("no ended run started more than"),
        "{}",
        said(&young)
    );
    assert_eq!(said(&world.at(&["runs"])).matches("r-").count(), 2);
    let old = world.at(&["purge", "--older-than", "0s"]);
    assert_eq!(old.status.code(), Some(0), "{}", said(&old));
    assert_eq!((said(&old).matches("r-").count(), world.spooled()), (2, 0));
    for wrong in [&["purge"][..], &["purge", "first", "--older-than", "1h"]] {
        assert_eq!(world.at(wrong).status.code(), Some(2));
    }
}

#[test]
fn purge_keeps_a_run_that_has_not_ended() {
    let world = World::new(MODELS[0]);
    let run = world.run(&["--run", "mine", "--detach"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let refused = world.at(&["purge", "mine"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("are billed") && said(&refused).contains("lmbatch cancel"),
        "{}",
        said(&refused)
    );
    let old = world.at(&["purge", "--older-than", "0s"]);
    assert!(
        said(&old).contains("no ended run started more than"),
        "{}",
        said(&old)
    );
    assert_eq!(
        world.at(&["purge", "mine", "--force"]).status.code(),
        Some(0)
    );
    assert_eq!(world.spooled(), 0);
}

fn stray(folder: &Path) {
    fs::write(
        folder.join(".lmbatch/spool/abcdefghijkl.body-0"),
        "a prompt",
    )
    .unwrap();
}

#[test]
fn doctor_finds_unused_files_and_deletes_them_on_request() {
    for model in MODELS {
        let world = World::new(model);
        let doctor = |more: &[&str]| world.at(&[&["doctor", "-p", model.0], more].concat());
        assert_eq!(world.run(&[]).status.code(), Some(0));
        let nothing = doctor(&[]);
        assert_eq!(nothing.status.code(), Some(0), "{}", said(&nothing));
        // A run that keeps its input, and a process that died before it recorded its run.
        assert_eq!(
            world
                .run(&["--new", "--force", "--cleanup", "none"])
                .status
                .code(),
            Some(0)
        );
        stray(world.folder.path());
        let found = doctor(&[]);
        assert_eq!(found.status.code(), Some(1), "{}", said(&found));
        let holds = model.0 != "anthropic";
        assert_eq!(
            said(&found).contains("uploaded less than 2 days ago"),
            holds,
            "{}",
            said(&found)
        );
        assert!(
            said(&found).contains("1 file in the state folder, 8 B"),
            "{}",
            said(&found)
        );
        // A recent file may belong to another machine.
        let young = doctor(&["--clean"]);
        assert_eq!(
            young.status.code(),
            Some(i32::from(holds)),
            "{}",
            said(&young)
        );
        assert_eq!(
            said(&young).contains("may be in use on another machine"),
            holds,
            "{}",
            said(&young)
        );
        let cleaned = doctor(&["--clean", "--older-than", "0s"]);
        assert_eq!(cleaned.status.code(), Some(0), "{}", said(&cleaned));
        assert_eq!(doctor(&[]).status.code(), Some(0));
        // The runs themselves are complete.
        let runs = said(&world.at(&["runs"]));
        for id in runs
            .split_whitespace()
            .filter(|word| word.starts_with("r-"))
        {
            let out = format!("{id}.jsonl");
            assert_eq!(
                world.at(&["retrieve", id, "-o", &out]).status.code(),
                Some(0)
            );
        }
    }
}

/// Uploads of another machine to the same account.
fn elsewhere(world: &World, more: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), "{\"prompt\": \"mine\"}\n").unwrap();
    let args = ["run", "in.jsonl", "-m", world.model, "--cleanup", "none"];
    let run = world
        .emulating
        .run_at(world.provider, folder.path(), &[&args[..], more].concat());
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    folder
}

fn listed(world: &World) -> Vec<Value> {
    let list = world.at(&["list", "-p", world.provider, "--json"]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Sets the response to the next list of batches.
fn lists(world: &World, batches: &Value) {
    let body = json!({"object": "list", "data": batches, "has_more": false}).to_string();
    let fault = json!({"operation": "list", "kind": {"status": {"code": 200, "body": body}}});
    world
        .emulating
        .post("/_emulator/faults", &fault.to_string());
}

#[test]
fn the_input_of_a_running_batch_is_never_deleted() {
    let world = World::new(MODELS[0]);
    let _other = elsewhere(&world, &[]);
    let theirs = listed(&world).remove(0);
    assert_eq!(world.run(&[]).status.code(), Some(0));
    let (label, file) = (&theirs["label"], &theirs["input_file"]);
    assert!(label.is_string() && file.is_string(), "{theirs}");
    let clean = ["doctor", "-p", "openai", "--clean", "--older-than", "0s"];
    let before = world.deletions();
    // Identified by its label, or by its file alone.
    for batch in [
        json!({"id": "batch_1", "status": "in_progress", "metadata": {"lmbatch": label}}),
        json!({"id": "batch_1", "status": "in_progress", "input_file_id": file}),
        json!({"id": "batch_1", "status": "pondering", "input_file_id": file}),
    ] {
        lists(&world, &json!([batch]));
        let doctor = world.at(&clean);
        assert!(
            said(&doctor).contains("1 upload is in use"),
            "{batch}: {}",
            said(&doctor)
        );
        assert_eq!(world.deletions(), before, "{batch}");
    }
    // Once the batch has ended, its input is no longer needed.
    let ended = json!({"id": "batch_1", "status": "completed", "input_file_id": file});
    lists(&world, &json!([ended]));
    let doctor = world.at(&clean);
    assert!(
        said(&doctor).contains("1 file is deleted"),
        "{}",
        said(&doctor)
    );
    assert_eq!(world.deletions(), before + 1);
}

#[test]
fn uploads_of_another_machine_are_not_an_error() {
    let world = World::new(MODELS[0]);
    let _other = elsewhere(&world, &[]);
    assert_eq!(world.run(&[]).status.code(), Some(0));
    let before = world.deletions();
    for more in [&[][..], &["--clean"]] {
        lists(&world, &json!([]));
        let doctor = world.at(&[&["doctor", "-p", "openai"], more].concat());
        assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
        assert!(
            said(&doctor)
                .contains("uploaded less than 2 days ago; may be in use on another machine"),
            "{}",
            said(&doctor)
        );
        assert_eq!(world.deletions(), before);
    }
    // A batch that is in no local record may hold paid answers.
    let doctor = world.at(&["doctor", "-p", "openai"]);
    assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
}

#[test]
fn doctor_deletes_nothing_without_a_record() {
    let world = World::new(MODELS[0]);
    assert_eq!(world.run(&[]).status.code(), Some(0));
    let spooled = world.spooled();
    fs::remove_file(world.folder.path().join(".lmbatch/ledger.db")).unwrap();
    let doctor = world.at(&["doctor", "-p", "openai", "--clean", "--older-than", "0s"]);
    assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
    assert_eq!(world.spooled(), spooled);
}

#[test]
fn a_record_is_not_rebuilt_from_a_different_input() {
    for model in [MODELS[0], MODELS[2]] {
        let world = World::new(model);
        assert_eq!(world.run(&["--detach"]).status.code(), Some(0));
        fs::remove_dir_all(world.folder.path().join(".lmbatch")).unwrap();
        let found = said(&world.at(&["doctor", "-p", model.0]));
        let label = found
            .split_whitespace()
            .find(|word| word.starts_with("lmbatch-"));
        let adopt = || {
            world.at(&[
                "adopt",
                label.unwrap(),
                "in.jsonl",
                "-m",
                model.1,
                "-o",
                "out.jsonl",
            ])
        };
        let input = world.folder.path().join("in.jsonl");
        let sent = fs::read_to_string(&input).unwrap();
        // The same number of requests with other texts, and a larger number of requests.
        for other in [
            sent.replace("say it", "say that"),
            format!("{sent}\n{{\"prompt\": \"more\"}}"),
        ] {
            fs::write(&input, other).unwrap();
            let refused = adopt();
            assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
            assert!(
                said(&refused).contains("this input makes"),
                "{}",
                said(&refused)
            );
            assert_eq!(said(&world.at(&["runs"])).matches("r-").count(), 0);
            assert_eq!(world.spooled(), 0);
        }
        fs::write(&input, sent).unwrap();
        let adopted = adopt();
        assert!(
            said(&adopted).contains("recovered 1 of 1 batch into run"),
            "{}",
            said(&adopted)
        );
        assert_eq!(world.emulating.bill()["creates"], 1);
    }
}

/// A create with a lost response that the list showed too late was accepted after all.
#[test]
fn doctor_finds_a_duplicate_batch_of_a_run() {
    let world = World::new(MODELS[0]);
    let post = |fault: Value| {
        let fault = fault.to_string();
        world.emulating.post("/_emulator/faults", &fault);
    };
    post(json!({"operation": "create", "kind": "reset_after"}));
    let nothing = json!({"object": "list", "data": [], "has_more": false}).to_string();
    // The watermark, nine searches, one more after the deletion of the input, and the next watermark.
    let blind = json!({"status": {"code": 200, "body": nothing}});
    post(json!({"operation": "list", "times": 12, "kind": blind}));
    // The input is reported as deleted, and can be read nevertheless.
    let gone = r#"{"error": {"message": "no such file", "type": "invalid_request_error"}}"#;
    let gone = json!({"status": {"code": 404, "body": gone}});
    post(json!({"operation": "delete", "kind": gone}));
    let run = world.run(&["--doubt-wait", "400ms", "--cleanup", "none"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    assert_eq!(world.emulating.bill()["creates"], 2);
    let found = world.at(&["doctor", "-p", "openai"]);
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(
        said(&found).contains("extra batches of recorded runs"),
        "{}",
        said(&found)
    );
    let listed = String::from_utf8_lossy(&found.stdout);
    assert_eq!(listed.matches("batch_").count(), 1, "{listed}");
}

#[test]
fn a_record_is_rebuilt_completely_or_not_at_all() {
    for model in [MODELS[0], MODELS[2]] {
        let world = World::new(model);
        let small = ["--max-batch-requests", "1", "--detach"];
        // One of the three is refused for long, so that it does not exist yet.
        let busy = json!({"operation": "create", "skip": 2, "times": 100, "kind": {"status": {
            "code": 429, "headers": [["retry-after", "3000"]],
            "body": r#"{"error": {"message": "later", "code": 429, "status": "RESOURCE_EXHAUSTED"}}"#,
        }}});
        world.emulating.post("/_emulator/faults", &busy.to_string());
        let begun = world.run(&small);
        assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
        let missing = world.missing();
        fs::remove_dir_all(world.folder.path().join(".lmbatch")).unwrap();
        let found = said(&world.at(&["doctor", "-p", model.0]));
        let mut words = found.split_whitespace();
        let label = words.find(|word| word.starts_with("lmbatch-")).unwrap();
        let adopt = |label: &str, more: &[&str]| {
            let args = ["adopt", label, "in.jsonl", "-m", model.1, "-o", "out.jsonl"];
            world.at(&[&args[..], more].concat())
        };
        let one = ["--max-batch-requests", "1"];
        for (label, more, why) in [
            (
                label,
                &one[..],
                &*format!("-{missing} exists or is listed yet"),
            ),
            (
                "lmbatch-bcdfghjkmnpq-0",
                &one[..],
                "-0 exists or is listed yet",
            ),
            // With fewer batches, the answers of the others would be lost.
            (label, &[], "but this input makes only 1"),
        ] {
            let refused = adopt(label, more);
            assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
            assert!(said(&refused).contains(why), "{}", said(&refused));
            assert_eq!(said(&world.at(&["runs"])).matches("r-").count(), 0);
            assert_eq!(world.spooled(), 0);
        }
        let adopted = adopt(label, &[&one[..], &["--create-missing"]].concat());
        assert_eq!(adopted.status.code(), Some(0), "{}", said(&adopted));
        assert!(
            said(&adopted).contains("recovered 2 of 3 batches into run"),
            "{}",
            said(&adopted)
        );
    }
    let world = World::new(MODELS[1]);
    let args = [
        "adopt",
        "lmbatch-bcdfghjkmnpq-0",
        "in.jsonl",
        "-m",
        MODELS[1].1,
    ];
    let refused = world.at(&args);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("carry no labels"),
        "{}",
        said(&refused)
    );
}
