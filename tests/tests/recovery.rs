//! A lost record is rebuilt from the provider's batches: by the ids of rows where there are no labels.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::Output;

use lmbatch_tests::{Emulating, copy_folder, lines, said, write_input};
use serde_json::{Value, json};

const ANTHROPIC: (&str, &str) = ("anthropic", "anthropic/claude-sonnet-4-5");
const MODELS: [(&str, &str); 3] = [
    ("openai", "openai/m"),
    ANTHROPIC,
    ("google", "google/gemini-2.5-flash"),
];

/// A run of nine requests in three batches, all of which have ended.
struct World {
    emulating: Emulating,
    folder: tempfile::TempDir,
    provider: &'static str,
    model: &'static str,
}

impl World {
    fn new((provider, model): (&'static str, &'static str)) -> Self {
        let world = Self {
            emulating: Emulating::start(),
            folder: tempfile::tempdir().unwrap(),
            provider,
            model,
        };
        world.write("p", 9);
        world
    }

    fn write(&self, word: &str, count: usize) {
        let line = |k: usize| json!({"id": format!("r/{k}"), "prompt": format!("{word}{k}")});
        let lines: Vec<Value> = (0..count).map(line).collect();
        write_input(self.folder.path(), &lines);
    }

    fn at(&self, args: &[&str]) -> Output {
        self.emulating
            .run_at(self.provider, self.folder.path(), args)
    }

    fn input(&self) -> [&'static str; 7] {
        [
            "in.jsonl",
            "-m",
            self.model,
            "--max-batch-requests",
            "4",
            "-o",
            "out.jsonl",
        ]
    }

    /// Ids of the run's batches, by number.
    fn run(&self) -> Vec<String> {
        let shards = self.shards().into_iter();
        shards.filter_map(|(batch, _)| batch).collect()
    }

    /// Batches of a run in the order of the input, each with its requests; existing batches have ended.
    fn shards(&self) -> Vec<(Option<String>, u64)> {
        let run = self.at(&[&["run", "--detach"], &self.input()[..]].concat());
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        self.ended();
        let json = |args: &[&str]| -> Value {
            let shown = self.at(args);
            serde_json::from_slice(&shown.stdout).unwrap()
        };
        let runs = json(&["runs", "--json"]);
        let shown = json(&["show", runs["run"].as_str().unwrap(), "--json"]);
        let batches = shown["batches"].as_array().unwrap().iter();
        let shard = |batch: &Value| {
            let id = batch["batch"].as_str().map(str::to_owned);
            (id, batch["requests"].as_u64().unwrap())
        };
        batches.map(shard).collect()
    }

    /// All listed batches, oldest first, once they have ended.
    fn ended(&self) -> Vec<String> {
        for _ in 0..200 {
            let list = self.at(&["list", "-p", self.provider, "--json"]);
            let text = String::from_utf8_lossy(&list.stdout).into_owned();
            let batches: Vec<Value> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            if batches.iter().all(|batch| batch["status"] == "completed") {
                let id = |batch: &Value| batch["id"].as_str().unwrap().to_owned();
                return batches.iter().rev().map(id).collect();
            }
        }
        panic!("the batches do not end");
    }

    fn forget(&self) {
        fs::remove_dir_all(self.folder.path().join(".lmbatch")).unwrap();
    }

    fn adopt(&self, batches: &[String], more: &[&str]) -> Output {
        let mut args = vec!["adopt"];
        args.extend(batches.iter().map(String::as_str));
        args.extend(self.input());
        args.extend(more);
        self.at(&args)
    }

    /// Checks that nothing is recorded and no file is left.
    fn assert_nothing_is_recorded(&self) {
        let runs = said(&self.at(&["runs"]));
        assert!(!runs.contains("r-"), "{runs}");
        let spool = fs::read_dir(self.folder.path().join(".lmbatch/spool"));
        assert_eq!(spool.map_or(0, Iterator::count), 0);
    }
}

#[test]
fn a_lost_record_is_rebuilt_from_the_ids_of_the_rows() {
    for model in MODELS {
        let world = World::new(model);
        let batches = world.run();
        assert_eq!(batches.len(), 3);
        world.forget();
        let paid = world.emulating.bill()["creates"].clone();
        let doctor = world.at(&["doctor", "-p", model.0]);
        assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
        if model == ANTHROPIC {
            let command = format!("lmbatch adopt {} INPUT", world.ended().join(" "));
            assert!(said(&doctor).contains(&command), "{}", said(&doctor));
        }
        let retrieved = world.at(&["retrieve", &batches[0], "-p", model.0]);
        let command = format!("lmbatch adopt {} INPUT", batches[0]);
        assert!(said(&retrieved).contains(&command), "{}", said(&retrieved));
        // The batches may be given in any order.
        let shuffled: Vec<String> = [2, 0, 1].map(|at: usize| batches[at].clone()).to_vec();
        let adopted = world.adopt(&shuffled, &[]);
        assert_eq!(adopted.status.code(), Some(0), "{}", said(&adopted));
        for words in [
            "recovered 3 of 3 batches into run",
            "not proved: that its text",
        ] {
            assert!(said(&adopted).contains(words), "{}", said(&adopted));
        }
        let resumed = world.at(&["resume", "--poll-interval", "20ms"]);
        assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
        let answers = lines(&world.folder.path().join("out.jsonl"));
        let found: Vec<(&str, &str)> = answers
            .iter()
            .map(|line| (line["id"].as_str().unwrap(), line["text"].as_str().unwrap()))
            .collect();
        let expected: Vec<(String, String)> = (0..9)
            .map(|k| (format!("r/{k}"), format!("echo: p{k}")))
            .collect();
        let expected: Vec<(&str, &str)> = expected.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(found, expected);
        assert_eq!(
            world.emulating.bill()["creates"],
            paid,
            "nothing was sent again"
        );
        assert_eq!(world.at(&["doctor", "-p", model.0]).status.code(), Some(0));
        // Batches in the record are not adopted again.
        fs::remove_file(world.folder.path().join("out.jsonl")).unwrap();
        let again = world.adopt(&batches, &[]);
        assert_eq!(again.status.code(), Some(2), "{}", said(&again));
        assert!(
            said(&again).contains("the record here knows"),
            "{}",
            said(&again)
        );
    }
}

#[test]
fn a_restored_record_without_a_create_stops_at_a_provider_without_labels() {
    let world = World::new(ANTHROPIC);
    let kind = json!({"status": {"code": 401, "body": "{}"}});
    let fault = json!({"operation": "list", "times": 1, "kind": kind});
    world
        .emulating
        .post("/_emulator/faults", &fault.to_string());
    let begun = world.at(&["run", "in.jsonl", "-m", world.model, "-o", "out.jsonl"]);
    assert_eq!(begun.status.code(), Some(1), "{}", said(&begun));
    let [state, copy] = [".lmbatch", "copy"].map(|name| world.folder.path().join(name));
    copy_folder(&state, &copy);
    let resume = ["resume", "--poll-interval", "20ms"];
    let resumed = world.at(&resume);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    fs::remove_file(world.folder.path().join("out.jsonl")).unwrap();
    world.forget();
    copy_folder(&copy, &state);
    let [batch] = <[String; 1]>::try_from(world.ended()).unwrap();
    for _ in 0..2 {
        let held = world.at(&resume);
        assert_eq!(held.status.code(), Some(6), "{}", said(&held));
        for words in [
            &batch,
            "no record knows",
            "nothing was sent; if the batches are",
        ] {
            assert!(said(&held).contains(words), "{words}: {}", said(&held));
        }
    }
    assert_eq!(world.emulating.bill()["creates"], 1);
    // What the hint says: the batch is taken back, and paid for once.
    let runs = said(&world.at(&["runs", "--json"]));
    let run = serde_json::from_str::<Value>(&runs).unwrap()["run"].clone();
    let purged = world.at(&["purge", run.as_str().unwrap(), "--force"]);
    assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
    let adopt = [
        "adopt",
        &batch,
        "in.jsonl",
        "-m",
        world.model,
        "-o",
        "out.jsonl",
    ];
    let adopted = world.at(&adopt);
    assert_eq!(adopted.status.code(), Some(0), "{}", said(&adopted));
    let resumed = world.at(&resume);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(lines(&world.folder.path().join("out.jsonl")).len(), 9);
    assert_eq!(world.emulating.bill()["creates"], 1);
}

#[test]
fn batches_that_do_not_match_the_input_are_refused_and_nothing_is_recorded() {
    let world = World::new(ANTHROPIC);
    let batches = world.run();
    world.forget();
    let all = || batches.clone();
    let refused = |output: &Output, words: &str| {
        assert_eq!(output.status.code(), Some(2), "{}", said(output));
        assert!(said(output).contains(words), "{words}: {}", said(output));
        world.assert_nothing_is_recorded();
    };
    refused(
        &world.adopt(&batches[..2], &[]),
        "batch 3 of 3 of the run, with 2 requests",
    );
    refused(
        &world.adopt(&[all(), vec![batches[0].clone()]].concat(), &[]),
        "holds the same requests as",
    );
    let mut args = vec!["adopt"];
    args.extend(batches.iter().map(String::as_str));
    args.extend([
        "in.jsonl",
        "-m",
        world.model,
        "--max-batch-requests",
        "3",
        "-o",
        "out.jsonl",
    ]);
    refused(&world.at(&args), "of several batches of this input");
    // A smaller and a larger number of requests than were sent.
    world.write("p", 7);
    refused(&world.adopt(&all(), &[]), "but this input has only 7");
    world.write("p", 12);
    refused(&world.adopt(&all(), &[]), "is not among the named batches");
    world.write("p", 9);
    let mut args = vec!["adopt"];
    args.extend(batches.iter().map(String::as_str));
    args.extend([
        "in.jsonl",
        "-m",
        "anthropic/claude-haiku-4-5",
        "--max-batch-requests",
        "4",
        "-o",
        "out.jsonl",
    ]);
    refused(&world.at(&args), "this input asks for claude-haiku-4-5");
    // Another run of the same size, whose record is lost as well.
    world.write("q", 9);
    let others = world.run();
    world.forget();
    let mixed = [&batches[..2], &others[2..]].concat();
    refused(&world.adopt(&mixed, &[]), "carry no id of the run");
    let unknown = world.adopt(&["msgbatch_unknown".to_owned()], &[]);
    assert_eq!(unknown.status.code(), Some(1), "{}", said(&unknown));
    world.assert_nothing_is_recorded();
    // Existing batches are not created and paid for again.
    let missing = world.adopt(&others[..2], &["--create-missing"]);
    refused(&missing, "is not named but carries the ids of the run");
}

#[test]
fn an_absent_batch_is_created_on_request_unless_another_may_be_it() {
    let world = World::new(ANTHROPIC);
    // One of the three is refused for long, so that it does not exist yet.
    let later = r#"{"type": "error", "error": {"type": "rate_limit_error", "message": "later"}}"#;
    let busy = json!({"operation": "create", "skip": 2, "times": 100, "kind": {"status": {
        "code": 429, "headers": [["retry-after", "3000"]], "body": later,
    }}});
    world.emulating.post("/_emulator/faults", &busy.to_string());
    let shards = world.shards();
    let missing = shards.iter().find(|(batch, _)| batch.is_none()).unwrap().1;
    let batches: Vec<String> = shards.into_iter().filter_map(|(batch, _)| batch).collect();
    assert_eq!(batches.len(), 2);
    world.forget();
    // A running batch of the same size may be the absent one.
    let running = json!({"id": "msgbatch_x", "processing_status": "in_progress", "request_counts": {"processing": missing}});
    let body = json!({"data": [running], "has_more": false}).to_string();
    let list = json!({"operation": "list", "kind": {"status": {"code": 200, "body": body}}});
    world.emulating.post("/_emulator/faults", &list.to_string());
    let refused = world.adopt(&batches, &["--create-missing"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("has not ended and may belong to the run"),
        "{}",
        said(&refused)
    );
    world.assert_nothing_is_recorded();
    let adopted = world.adopt(&batches, &["--create-missing"]);
    assert_eq!(adopted.status.code(), Some(0), "{}", said(&adopted));
    assert!(
        said(&adopted).contains("recovered 2 of 3 batches into run"),
        "{}",
        said(&adopted)
    );
}

#[test]
fn a_batch_that_has_not_ended_is_adopted_later() {
    let world = World::new(ANTHROPIC);
    let batches = world.run();
    world.forget();
    let body = json!({"id": batches[0], "processing_status": "in_progress", "request_counts": {"processing": 4}});
    let running =
        json!({"operation": "status", "kind": {"status": {"code": 200, "body": body.to_string()}}});
    world
        .emulating
        .post("/_emulator/faults", &running.to_string());
    let early = world.adopt(&batches, &[]);
    assert_eq!(early.status.code(), Some(4), "{}", said(&early));
    assert!(
        said(&early).contains("adopt it when it has ended"),
        "{}",
        said(&early)
    );
    world.assert_nothing_is_recorded();
    let later = world.adopt(&batches, &[]);
    assert_eq!(later.status.code(), Some(0), "{}", said(&later));
}

#[test]
fn doctor_recognises_batches_of_other_programs_and_reports_its_limits() {
    let world = World::new(ANTHROPIC);
    // The batch of a handle has ids of lmbatch; a batch with the caller's own ids does not.
    assert_eq!(world.run().len(), 3);
    assert_eq!(
        world.at(&["doctor", "-p", "anthropic"]).status.code(),
        Some(0)
    );
    let batch = |id: &str, status: &str| json!({"id": id, "processing_status": status, "request_counts": {"processing": 1}});
    let body = json!({"data": [batch("msgbatch_a", "in_progress"), batch("msgbatch_b", "ended")], "has_more": false});
    let list =
        json!({"operation": "list", "kind": {"status": {"code": 200, "body": body.to_string()}}});
    world.emulating.post("/_emulator/faults", &list.to_string());
    let doctor = world.at(&["doctor", "-p", "anthropic"]);
    // Without a sign that they belong to lmbatch.
    assert_eq!(doctor.status.code(), Some(0), "{}", said(&doctor));
    for words in [
        "1 batch that is not recorded has not ended",
        "1 ended batch was not checked",
    ] {
        assert!(said(&doctor).contains(words), "{}", said(&doctor));
    }
}
