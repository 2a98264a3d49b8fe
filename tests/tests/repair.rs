//! Repairs of answers that do not fit their schemas, against the bill of an emulator.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; one kills processes, and has a clock of its own"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lmbatch_emulator::{Emulator, Pace, Prompt};
use lmbatch_tests::{Emulating, KEY, lines, lmbatch, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

const SCHEMA: &str = r#"{"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"], "additionalProperties": false}"#;

/// Models of each dialect.
const MODELS: [&str; 3] = [
    "openai/m",
    "anthropic/claude-haiku-4-5",
    "google/gemini-2.5-flash",
];

/// Requests of which three do not fit at first.
fn input(folder: &Path) {
    let prompt = |number: u32| match number % 4 {
        1 => "lmb:schema-miss",
        _ => "fine",
    };
    let line = |number| json!({"id": number, "prompt": prompt(number)});
    write_input(folder, (0..10).map(line));
    fs::write(folder.join("schema.json"), SCHEMA).unwrap();
}

struct World {
    emulating: Emulating,
    home: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            emulating: Emulating::start(),
            home: tempfile::tempdir().unwrap(),
        };
        input(world.path());
        world
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn command(&self, provider: &str, args: &[&str]) -> Command {
        let mut command = self.emulating.command_at(provider, self.path());
        command.env_remove("LMBATCH_LOG").args(args);
        command
    }

    fn at(&self, args: &[&str]) -> Output {
        self.command("openai", args).output().unwrap()
    }

    fn json(&self, args: &[&str], code: i32) -> Value {
        let output = self.at(&[args, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn answered(&self) -> u64 {
        self.emulating.bill()["answered_requests"].as_u64().unwrap()
    }
}

fn run<'a>(model: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let run = [
        "run",
        "in.jsonl",
        "-m",
        model,
        "--schema",
        "schema.json",
        "-o",
        "out.jsonl",
        "--run",
        "mine",
        "--poll-interval",
        "20ms",
    ];
    [&run[..], more].concat()
}

#[test]
fn every_answer_fits_after_a_repair_and_the_bill_has_the_superseded_ones() {
    for model in MODELS {
        let world = World::new();
        let provider = model.split('/').next().unwrap();
        let args = run(model, &["--repair", "2", "--json"]);
        let repaired = world.command(provider, &args).output().unwrap();
        assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
        let messages = String::from_utf8_lossy(&repaired.stderr).into_owned();
        assert!(
            messages.contains("repairing 3 answers (attempt 2)"),
            "{messages}"
        );
        let summary: Value = serde_json::from_slice(&repaired.stdout).unwrap();
        assert_eq!(world.answered(), 13, "{model}");
        assert_eq!(summary["billed"]["answers"], 13, "{summary}");
        assert_eq!(summary["billed"]["superseded"], 3, "{summary}");
        let lines = lines(&world.path().join("out.jsonl"));
        assert_eq!(lines.len(), 10);
        for line in &lines {
            assert!(line["structured"]["mood"].is_string(), "{line}");
            assert_eq!(line["problem"], Value::Null, "{line}");
        }
        // The answers of repaired requests are those of the second batch.
        let first = &lines[0]["batch"];
        let repaired = lines.iter().filter(|line| line["batch"] != *first);
        assert_eq!(repaired.count(), 3);
        let audit = world.json(&["audit", "mine"], 0);
        assert_eq!(audit["billed"]["superseded"], 3, "{audit}");
        let shown = world.json(&["show", "mine"], 0);
        assert_eq!(shown["batches"][0]["repair"], false, "{shown}");
        assert_eq!(shown["batches"][1]["repair"], true, "{shown}");
        let text = said(&world.at(&["show", "mine"]));
        assert!(text.contains("2 (repair)"), "{text}");
        // The same command finds the finished run.
        let again = world.command(provider, &args).output().unwrap();
        assert_eq!(again.status.code(), Some(0), "{}", said(&again));
        assert_eq!(world.answered(), 13);
    }
}

#[test]
fn a_finished_run_is_repaired_by_a_requeue() {
    let world = World::new();
    let first = world.json(&run("openai/m", &[]), 3);
    assert_eq!(first["problems"]["invalid_structured"], 3, "{first}");
    for (args, words) in [
        (&["--only", "errored", "--repair", "1"][..], "no others"),
        (&["-m", "openai/n", "--repair", "1"], "no others"),
    ] {
        let refused = world.at(&[&["requeue", "mine"][..], args].concat());
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(said(&refused).contains(words), "{}", said(&refused));
    }
    let dry = world.at(&["requeue", "mine", "--repair", "1", "--dry-run"]);
    assert!(said(&dry).contains("3 requests would be sent again"));
    assert_eq!(world.answered(), 10);
    let repair = [
        "requeue",
        "mine",
        "--only",
        "invalid_structured",
        "--repair",
        "2",
        "--poll-interval",
        "20ms",
    ];
    let repaired = world.json(&repair, 0);
    assert_eq!(repaired["billed"]["answers"], 13, "{repaired}");
    assert_eq!(world.answered(), 13);
    let nothing = world.at(&repair);
    assert_eq!(nothing.status.code(), Some(0), "{}", said(&nothing));
    assert!(said(&nothing).contains("nothing to send again"));
}

/// Answers with the number of repairs so far, of which the second fits.
fn slowly(prompt: Prompt<'_>) -> Option<String> {
    let repairs = ["at /mood: 0", "at /mood: 1"];
    let repairs = repairs.iter().position(|said| prompt.text.contains(said));
    Some(match repairs {
        None => json!({"mood": 0}).to_string(),
        Some(0) => json!({"mood": 1}).to_string(),
        Some(_) => json!({"mood": "calm"}).to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn each_repair_continues_the_last_answer_and_the_number_of_repairs_is_kept() {
    let emulator = Emulator::builder().pace(Pace::INSTANT).answers(slowly);
    let emulator = emulator.start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("schema.json"), SCHEMA).unwrap();
    write_input(home.path(), [json!({"id": "a", "prompt": "Mood?"})]);
    let (folder, url) = (home.path().to_owned(), emulator.openai_base_url());
    let at = move |args: &[&str]| {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(&folder)
            .env("OPENAI_API_KEY", KEY)
            .env("OPENAI_BASE_URL", &url)
            .env("LMBATCH_STATE_DIR", folder.join(".lmbatch"))
            .args(args);
        command.output().unwrap()
    };
    let work = tokio::task::spawn_blocking(move || {
        let once = at(&run("openai/m", &["--repair", "1"]));
        assert_eq!(once.status.code(), Some(3), "{}", said(&once));
        let line = &lines(&home.path().join("out.jsonl"))[0];
        assert_eq!(line["schema_error"]["path"], "/mood", "{line}");
        assert_eq!(line["text"], r#"{"mood":1}"#, "the last answer counts");
        let more = [
            "requeue",
            "mine",
            "--repair",
            "1",
            "--poll-interval",
            "20ms",
        ];
        let more = at(&more);
        assert_eq!(more.status.code(), Some(0), "{}", said(&more));
        let line = &lines(&home.path().join("out.jsonl"))[0];
        assert_eq!(line["structured"]["mood"], "calm", "{line}");
    });
    work.await.unwrap();
}

/// Answers that fit once the model was shown a schema that refers to itself.
fn once_shown(prompt: Prompt<'_>) -> Option<String> {
    let is_shown =
        prompt.text.contains("fits this JSON Schema: {") && prompt.text.contains(r##""$ref":"#""##);
    Some(match is_shown {
        true => json!({"mood": "calm"}).to_string(),
        false => json!({"mood": 0}).to_string(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_shows_a_schema_that_was_not_sent_with_the_request() {
    let emulator = Emulator::builder().pace(Pace::INSTANT).answers(once_shown);
    let emulator = emulator.start().await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let mut schema: Value = serde_json::from_str(SCHEMA).unwrap();
    schema["properties"]["inner"] = json!({"$ref": "#"});
    fs::write(home.path().join("schema.json"), schema.to_string()).unwrap();
    write_input(home.path(), [json!({"id": "a", "prompt": "Mood?"})]);
    let url = emulator.anthropic_base_url();
    let work = tokio::task::spawn_blocking(move || {
        let lenient = ["--repair", "1", "--schema-mode", "lenient"];
        let repaired = Command::new(lmbatch())
            .current_dir(home.path())
            .env("ANTHROPIC_API_KEY", KEY)
            .env("ANTHROPIC_BASE_URL", &url)
            .env("LMBATCH_STATE_DIR", home.path().join(".lmbatch"))
            .args(run("anthropic/claude-haiku-4-5", &lenient))
            .output()
            .unwrap();
        assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
        let words = "the schema is not sent";
        assert!(said(&repaired).contains(words), "{}", said(&repaired));
        let line = &lines(&home.path().join("out.jsonl"))[0];
        assert_eq!(line["structured"]["mood"], "calm", "{line}");
    });
    work.await.unwrap();
}

#[test]
fn a_killed_process_continues_and_pays_nothing_twice() {
    for seed in 0..2_u64 {
        let world = World::new();
        // The end of a search for a create that was killed before it was sent is not waited for.
        let args = run("openai/m", &["--repair", "2", "--doubt-wait", "100ms"]);
        let mut kills = 0;
        let last = loop {
            let mut child = world.command("openai", &args);
            let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
            if kills < 9 {
                std::thread::sleep(Duration::from_millis(60 + 37 * (kills + seed)));
                if child.try_wait().unwrap().is_none() {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    kills += 1;
                    continue;
                }
            }
            break child.wait_with_output().unwrap();
        };
        assert_eq!(last.status.code(), Some(0), "{}", said(&last));
        assert!(kills > 0);
        assert_eq!(world.answered(), 13, "after {kills} kills");
        let lines = lines(&world.path().join("out.jsonl"));
        let fit = lines.iter().filter(|line| line["structured"].is_object());
        assert_eq!(fit.count(), 10);
    }
}

#[test]
fn a_repair_that_does_not_fit_the_cost_limit_is_not_created() {
    const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
        {"provider": "openai", "model": "m", "match": {"eq": ["m"], "prefix": ["m-"]},
         "realtime": [{"in": "0.000002", "out": "2000.000002"}], "batch": [{"in": "0.000001", "out": "1000.000001"}]}
    ]}"#;
    let world = World::new();
    fs::write(world.path().join("prices.json"), TABLE).unwrap();
    let at = |args: &[&str]| {
        let mut command = world.command("openai", args);
        command
            .env("LMBATCH_PRICES", "prices.json")
            .output()
            .unwrap()
    };
    let first = at(&run("openai/m", &["--max-tokens", "20"]));
    assert_eq!(first.status.code(), Some(3), "{}", said(&first));
    // An answer has at least four tokens, and a repair may have twenty: more than $0.10 in all.
    let repair = ["requeue", "mine", "--repair", "1", "--max-cost", "0.07"];
    let stopped = at(&[&repair[..], &["--poll-interval", "20ms"]].concat());
    assert_eq!(stopped.status.code(), Some(5), "{}", said(&stopped));
    assert_eq!(world.answered(), 10);
    let more = [
        "resume",
        "mine",
        "--max-cost",
        "1",
        "--poll-interval",
        "20ms",
    ];
    let resumed = at(&more);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    assert_eq!(world.answered(), 13);
}

#[test]
fn answers_with_another_problem_are_not_repaired() {
    let world = World::new();
    let prompts = [
        "lmb:truncate",
        "lmb:refuse",
        "lmb:filter",
        "lmb:empty",
        "lmb:error-400",
    ];
    let line = |prompt| json!({"id": prompt, "prompt": format!("{prompt} lmb:schema-miss")});
    write_input(world.path(), prompts.map(line));
    let summary = world.json(&run("openai/m", &["--repair", "3"]), 3);
    assert_eq!(summary["problems"]["invalid_structured"], Value::Null);
    assert_eq!(world.emulating.bill()["creates"], 1, "{summary}");
}

#[test]
fn repairs_that_a_finished_run_does_not_get_are_said_with_the_command_that_makes_them() {
    let world = World::new();
    let first = world.json(&run("openai/m", &[]), 3);
    let id = first["run"].as_str().unwrap();
    let words = [
        "--repair 2 was not applied: 3 earlier answers do not fit their schemas",
        &format!("lmbatch requeue {id} --repair 2"),
    ];
    for args in [
        run("openai/m", &["--repair", "2"]),
        vec!["resume", "mine", "--repair", "2"],
        // Nothing that was not applied is kept with the run.
        run("openai/m", &["--repair", "2"]),
    ] {
        let again = world.at(&args);
        assert_eq!(again.status.code(), Some(3), "{}", said(&again));
        for words in words {
            assert!(said(&again).contains(words), "{words}: {}", said(&again));
        }
    }
    assert_eq!(world.answered(), 10);
    let repair = [
        "requeue",
        "mine",
        "--repair",
        "2",
        "--poll-interval",
        "20ms",
    ];
    let repaired = world.at(&repair);
    assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
    // No answer is left that a repair would change.
    let again = world.at(&run("openai/m", &["--repair", "2"]));
    assert!(
        !said(&again).contains("was not applied"),
        "{}",
        said(&again)
    );
    assert_eq!(world.answered(), 13);
}

#[test]
fn repairs_without_any_schema_are_refused_before_anything_is_sent() {
    let world = World::new();
    let plain = |more: &[&str]| {
        let run = ["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"];
        world.at(&[&run[..], &["--poll-interval", "20ms"], more].concat())
    };
    for more in [&["--repair", "2"][..], &["--repair", "2", "--dry-run"]] {
        let refused = plain(more);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        let words = "no request has a schema";
        assert!(said(&refused).contains(words), "{}", said(&refused));
    }
    assert_eq!(world.answered(), 0);
    assert!(!said(&world.at(&["runs"])).contains("r-"));
    let detached = plain(&["--repair", "0", "--detach"]);
    assert_eq!(detached.status.code(), Some(0), "{}", said(&detached));
    // A command that continues the run has only its record.
    let resumed = world.at(&["resume", "--repair", "2", "--poll-interval", "20ms"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
    let words = "no answer is repaired, since no request of the run has a schema";
    assert_eq!(
        said(&resumed).matches(words).count(),
        1,
        "{}",
        said(&resumed)
    );
    // A line with a schema of its own is enough.
    let line = |number: u32, schema: Value| json!({"id": number, "prompt": "lmb:schema-miss", "schema": schema});
    let schema = serde_json::from_str::<Value>(SCHEMA).unwrap();
    write_input(world.path(), [line(0, Value::Null), line(1, schema)]);
    let repaired = plain(&["--repair", "1", "--new", "--force"]);
    assert_eq!(repaired.status.code(), Some(0), "{}", said(&repaired));
    assert_eq!(world.answered(), 13);
}

#[test]
fn accepted_answers_that_do_not_fit_are_repaired_first() {
    let world = World::new();
    let accept = ["--accept", "invalid_structured"];
    let summary = world.json(
        &run("openai/m", &[&accept[..], &["--repair", "1"]].concat()),
        0,
    );
    assert_eq!(
        summary["problems"]["invalid_structured"],
        Value::Null,
        "{summary}"
    );
    assert_eq!(world.answered(), 13);
}
