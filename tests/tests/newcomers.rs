//! Responses of the command to mistakes, to an empty folder and to programs: each names the cause once, and the next
//! step.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Output;

use lmbatch::durable::StateFolder;
use lmbatch_core::{Ledger as _, Nonce, RunRecord};
use lmbatch_tests::{Emulating, lines, said, write_input};
use serde_json::{Value, json};
use tempfile::TempDir;

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
        world.ask(&["a", "b", "c"]);
        world
    }

    fn ask(&self, prompts: &[&str]) {
        let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
        write_input(self.path(), prompts.iter().map(line));
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn at(&self, args: &[&str]) -> Output {
        let mut command = self.emulating.command_at("openai", self.path());
        command.env_remove("LMBATCH_LOG").args(args);
        command.output().unwrap()
    }

    fn run(&self, more: &[&str]) -> Output {
        self.run_of("openai/m", more)
    }

    fn run_of(&self, model: &str, more: &[&str]) -> Output {
        let run = ["run", "in.jsonl", "-m", model, "--poll-interval", "20ms"];
        self.at(&[&run[..], more].concat())
    }

    fn creates(&self) -> u64 {
        self.emulating.bill()["creates"].as_u64().unwrap()
    }

    fn fault(&self, fault: &Value) {
        self.emulating.post("/_emulator/faults", &fault.to_string());
    }
}

fn assert_says(output: &Output, code: i32, words: &[&str]) {
    let messages = said(output);
    assert_eq!(output.status.code(), Some(code), "{messages}");
    for words in words {
        assert!(messages.contains(words), "{words:?}: {messages}");
    }
}

/// Returns the one JSON object on standard output.
fn one(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{}", said(output));
    serde_json::from_str(&text).unwrap()
}

fn fits(schema: &Value, value: &Value) {
    let schema = jsonschema::validator_for(schema).unwrap();
    let errors: Vec<String> = schema
        .iter_errors(value)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{value}: {errors:?}");
}

#[test]
fn an_invalid_option_is_reported_once_and_not_for_each_line() {
    let world = World::new();
    let map = r#"{"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}}"#;
    for (name, text) in [
        (
            "typo.json",
            r#"{"type": "object", "properties": {"a": {"type": "nubmer"}}}"#,
        ),
        ("words.json", "no JSON"),
        ("empty.json", ""),
        (
            "list.json",
            r#"{"type": "array", "items": {"type": "string"}}"#,
        ),
        ("map.json", map),
        (
            "many.json",
            &format!(
                r#"{{"type": "object", "required": {{"a": [{}1]}}}}"#,
                "1,".repeat(1000)
            ),
        ),
    ] {
        fs::write(world.path().join(name), text).unwrap();
    }
    fs::create_dir(world.path().join("folder")).unwrap();
    let haiku = "anthropic/claude-haiku-4-5";
    for (model, option, value, words) in [
        (
            "openai/m",
            "--schema",
            "typo.json",
            "--schema: typo.json: at #/properties/a/type: \"nubmer\" is no type of JSON Schema; the types are array",
        ),
        (
            "openai/m",
            "--schema",
            "words.json",
            "--schema: words.json is not JSON: ",
        ),
        (
            "openai/m",
            "--schema",
            "empty.json",
            "--schema: empty.json is not JSON: ",
        ),
        (
            "openai/m",
            "--schema",
            "folder",
            "--schema: folder cannot be read",
        ),
        (
            "openai/m",
            "--schema",
            "none.json",
            "--schema: none.json cannot be read",
        ),
        (
            "openai/m",
            "--schema",
            "many.json",
            "--schema: many.json: at #/required",
        ),
        (
            "openai/m",
            "--schema",
            "list.json",
            "--schema: list.json: openai takes a schema whose root",
        ),
        (haiku, "--schema", "map.json", "--schema-mode lenient"),
        (
            "anthropic/claude-opus-4-7",
            "--temperature",
            "0.5",
            "--temperature, --top-p, --max-tokens or --set: ",
        ),
    ] {
        for command in [
            &["validate"][..],
            &["run", "--dry-run"],
            &["run"],
            &["create"],
        ] {
            let args = [command, &["in.jsonl", "-m", model, option, value]].concat();
            let mut command = world.emulating.command_at("openai", world.path());
            // Options are checked before the command asks for a key.
            command
                .env_remove("OPENAI_API_KEY")
                .env_remove("ANTHROPIC_API_KEY");
            command.env_remove("LMBATCH_LOG").args(&args);
            let refused = command.output().unwrap();
            assert_says(&refused, 2, &[words]);
            let messages = said(&refused);
            assert!(
                !messages.contains("line 1:") && !messages.contains("in.jsonl:"),
                "{args:?}: {messages}"
            );
            let longest = messages.lines().map(|line| line.chars().count()).max();
            assert!(longest < Some(300), "{args:?}: {messages}");
        }
    }
    assert_eq!(world.creates(), 0);
    // Keywords that the provider accepts without enforcing them are sent, with a note.
    let dry = world.run(&["--schema", "map.json", "--dry-run"]);
    assert_says(&dry, 0, &["schema: sent without strict"]);
}

#[test]
fn every_dry_run_prints_one_object_that_matches_its_schema() {
    let world = World::new();
    world.ask(&["a", "lmb:truncate", "lmb:error-400"]);
    let schema: Value = serde_json::from_slice(&world.at(&["schema", "dry-run"]).stdout).unwrap();
    let dry = one(&world.run(&["--dry-run", "--json", "--max-batch-requests", "2"]));
    fits(&schema, &dry);
    assert_eq!(
        (&dry["requests"], &dry["batches"]),
        (&json!(3), &json!(2)),
        "{dry}"
    );
    assert_eq!((&dry["run"], &dry["dry_run"]), (&Value::Null, &json!(true)));
    assert_eq!(world.creates(), 0);
    assert_says(
        &world.run(&["--run", "mine", "--max-attempts", "1"]),
        3,
        &[],
    );
    for (only, requests) in [
        (&[][..], 1),
        (&["--only", "truncated,errored"], 2),
        (&["--only", "invalid_structured"], 0),
        (&["-m", "openai/n"], 1),
    ] {
        let dry = one(&world.at(&[&["requeue", "mine", "--dry-run", "--json"], only].concat()));
        fits(&schema, &dry);
        assert_eq!(dry["requests"], requests, "{only:?}");
        assert!(dry["run"].as_str().unwrap().starts_with("r-"), "{dry}");
    }
    let nothing = one(&world.at(&["requeue", "mine", "--only", "missing", "--json"]));
    fits(&schema, &nothing);
    assert_eq!(
        (&nothing["requests"], &nothing["dry_run"]),
        (&json!(0), &json!(false))
    );
    // If outcomes are on standard output, the object is not.
    let apart = world.run(&["--dry-run", "--json", "-o", "-"]);
    assert_eq!(String::from_utf8_lossy(&apart.stdout), "");
    assert_says(&apart, 0, &["\"dry_run\":true"]);
    assert_eq!(world.creates(), 1);
}

#[test]
fn each_problem_has_one_name_and_is_shown_with_its_answers() {
    let world = World::new();
    world.ask(&[
        "fine",
        "lmb:truncate",
        "lmb:refuse",
        "lmb:filter",
        "lmb:empty",
        "lmb:error-400",
    ]);
    let run = world.run(&["--run", "mine", "--max-attempts", "1", "-o", "out.jsonl"]);
    assert_says(&run, 3, &[]);
    let messages = said(&run);
    let succeeded = messages
        .lines()
        .find(|line| line.trim_start().starts_with("succeeded"));
    let words: Vec<&str> = succeeded.unwrap_or_default().split_whitespace().collect();
    assert_eq!(
        words[..4],
        ["succeeded", "5,", "with", "problems:"],
        "{messages}"
    );
    let is_row = |name: &str| {
        messages
            .lines()
            .any(|line| line.trim_start().starts_with(name))
    };
    assert!(is_row("errored") && is_row("usable"), "{messages}");
    let outcomes = lines(&world.path().join("out.jsonl"));
    let mut names: Vec<&str> = outcomes
        .iter()
        .filter_map(|line| line["problem"].as_str())
        .collect();
    names.push("invalid_structured");
    for name in &names {
        assert!(
            *name == "invalid_structured" || !is_row(name),
            "{name}: {messages}"
        );
        let count = outcomes
            .iter()
            .filter(|line| line["problem"] == *name)
            .count();
        let dry = one(&world.at(&["requeue", "mine", "--only", name, "--dry-run", "--json"]));
        assert_eq!(dry["requests"], count, "{name}");
        let help = String::from_utf8_lossy(&world.at(&["run", "--help"]).stdout).into_owned();
        assert!(help.contains(name), "{name}: {help}");
        assert_says(
            &world.run(&["--run", "mine", "--accept", name, "-o", "/dev/null"]),
            3,
            &["0 requests sent"],
        );
    }
    assert_eq!(names.len(), 5, "{names:?}");
    let old = world.at(&["requeue", "mine", "--only", "invalid", "--dry-run"]);
    assert_says(
        &old,
        0,
        &[
            "note: invalid is deprecated",
            "1 request would be sent again",
        ],
    );
    assert_says(
        &world.run(&["--accept", "invalid"]),
        2,
        &[
            "truncated, refused, content_filter, invalid_structured, empty, invalid_arguments, unrecognized",
        ],
    );
    for args in [&[][..], &["--dry-run"]] {
        let none = world.at(&[&["requeue", "mine", "--only", "missing"], args].concat());
        assert_says(&none, 0, &["no outcome of run r-", "is missing"]);
        assert!(!said(&none).contains("0 request"), "{}", said(&none));
    }
    assert_eq!(world.creates(), 1);
}

#[test]
fn two_runs_never_share_an_unwritten_output() {
    let world = World::new();
    assert_says(&world.run(&["--run", "one", "--detach"]), 0, &[]);
    let elsewhere = world.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for more in [
        &["--run", "two", "--detach"][..],
        &["--new", "--detach"],
        &["--run", "two"],
        &["--run", "two", "-o", "elsewhere/../in.openai.m.jsonl"],
    ] {
        assert_says(
            &world.run(more),
            2,
            &["is that of run r-", "another path with -o"],
        );
    }
    let more = ["--run", "two", "--detach", "-o", "two.jsonl"];
    assert_says(&world.run(&more), 0, &[]);
    assert_says(
        &world.at(&["resume", "one", "-o", "two.jsonl"]),
        2,
        &["is that of run r-"],
    );
    // Streams can take the outcomes of several runs.
    for name in ["three", "four"] {
        let more = ["--run", name, "--detach", "-o", "/dev/null"];
        assert_says(&world.run(&more), 0, &[]);
    }
    assert_says(
        &world.at(&["resume", "--all", "--poll-interval", "20ms"]),
        0,
        &[],
    );
    for output in ["in.openai.m.jsonl", "two.jsonl"] {
        assert_eq!(lines(&world.path().join(output)).len(), 3, "{output}");
    }
    assert_eq!(world.creates(), 4);
}

#[test]
fn a_folder_without_runs_is_not_an_error() {
    let world = World::new();
    let is_friendly = || {
        assert_says(&world.at(&["runs"]), 0, &["no runs yet in ", ".lmbatch"]);
        let listed = world.at(&["runs", "--json"]);
        assert_says(&listed, 0, &[]);
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
        let args = ["resume", "--all", "--once", "--quiet"];
        let resumed = world.at(&args);
        assert_says(&resumed, 0, &[]);
        assert_eq!(said(&resumed), "");
    };
    is_friendly();
    assert_says(&world.at(&["show", "r-abcdef"]), 2, &["no runs yet in "]);
    assert_says(&world.run(&["--run", "mine"]), 0, &[]);
    assert_says(&world.at(&["purge", "mine"]), 0, &[]);
    is_friendly();
    let purged = world.at(&["purge", "--older-than", "0s"]);
    assert_says(&purged, 0, &["no run is that old"]);
    assert_eq!(String::from_utf8_lossy(&purged.stdout), "");
}

/// Records a run of a provider that only another program knows.
fn foreign(folder: &Path, of: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let state = StateFolder::write(folder.join(".lmbatch")).unwrap();
        let ledger = state.ledger().await.unwrap();
        let known = ledger.run(of).await.unwrap().unwrap();
        let nonce = Nonce::parse("abcdefghijkl").unwrap();
        let run = RunRecord {
            id: "r-abcdef".into(),
            name: None,
            digest: "other".into(),
            provider: "acme".into(),
            nonce,
            ..known
        };
        ledger.begin(&run, &[]).await.unwrap();
        ledger.close().await.unwrap();
        run.id.to_string()
    })
}

#[test]
fn a_run_of_an_unknown_provider_is_listed_with_the_others() {
    let world = World::new();
    assert_says(&world.run(&["--run", "mine"]), 0, &[]);
    let mine = one(&world.at(&["show", "mine", "--json"]));
    let id = foreign(world.path(), mine["run"].as_str().unwrap());
    assert_says(
        &world.at(&["runs"]),
        0,
        &["mine", &id, "acme/m (unknown provider)", "openai/m"],
    );
    let listed = world.at(&["runs", "--json"]);
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let known: Vec<(Value, Value)> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|run: Value| (run["provider"].clone(), run["known_provider"].clone()))
        .collect();
    assert!(known.contains(&(json!("acme"), json!(false))), "{text}");
    assert!(known.contains(&(json!("openai"), json!(true))), "{text}");
    assert_says(&world.at(&["show", &id]), 0, &["unknown provider"]);
    for args in [&["resume", &*id][..], &["audit", &id], &["retrieve", &id]] {
        assert_says(
            &world.at(args),
            2,
            &[
                &id,
                "unknown provider \"acme\"",
                "the program that began it",
            ],
        );
    }
    // Its files at the provider cannot be deleted, so the run is kept and the others are deleted.
    let purge = ["purge", "--older-than", "0s", "--remote", "--local"];
    assert_says(
        &world.at(&purge),
        1,
        &["unknown provider \"acme\"", "r-abcdef is kept"],
    );
    let left = String::from_utf8_lossy(&world.at(&["runs"]).stdout).into_owned();
    assert!(left.contains(&id) && !left.contains("mine"), "{left}");
    assert_says(&world.at(&["purge", &id]), 0, &["deleted"]);
    assert_says(&world.at(&["runs"]), 0, &["no runs yet"]);
}

#[test]
fn absent_rows_are_reported_once_with_the_next_step() {
    let world = World::new();
    world.ask(&["a", "lmb:missing"]);
    let run = world.run(&["--run", "mine", "--doubt-wait", "2s", "-o", "out.jsonl"]);
    let way = "lmbatch resume r-";
    assert_says(&run, 4, &[way, "--on-doubt abandon", "missing"]);
    let messages = said(&run);
    assert!(
        !messages.contains("in 0.0 s") && !messages.contains("in 0 s"),
        "{messages}"
    );
    let failures = messages
        .lines()
        .filter(|line| line.contains("the results lack"))
        .count();
    assert!(
        failures <= 2,
        "one while it is tried, one at the end: {messages}"
    );
    let mut lines: Vec<&str> = messages.lines().collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), count, "a line is repeated: {messages}");
    let once = world.at(&["resume", "mine", "--once"]);
    assert_says(&once, 4, &["--on-doubt abandon"]);
    let given_up = world.at(&[
        "resume",
        "mine",
        "--on-doubt",
        "abandon",
        "--doubt-wait",
        "0s",
    ]);
    assert_says(&given_up, 3, &["missing"]);
    assert_eq!(world.creates(), 1);
}

#[test]
fn a_create_in_doubt_ends_with_every_next_step() {
    let world = World::new();
    let kinds = json!([{"unlisted": {"reads": 1000}}, "reset_after"]);
    world.fault(&json!({"operation": "create", "kind": {"several": {"kinds": kinds}}}));
    let haiku = "anthropic/claude-haiku-4-5";
    let held = world.run_of(haiku, &["--run", "mine", "--doubt-wait", "300ms"]);
    let ways = ["--on-doubt resubmit", "--on-doubt abandon", "pays twice"];
    assert_says(&held, 6, &ways);
    let args = [
        "resume",
        "mine",
        "--on-doubt",
        "abandon",
        "--doubt-wait",
        "100ms",
    ];
    assert_says(&world.at(&args), 3, &["errored"]);
    assert_eq!(world.creates(), 1);
    let show = world.at(&["show", "mine"]);
    assert_says(&show, 1, &[" failed, ", "abandoned: "]);
    let shown = one(&world.at(&["show", "mine", "--json"]));
    assert_eq!(shown["batches"][0]["state"], "abandoned", "{shown}");
    assert_eq!(shown["batches"][0]["batch"], Value::Null, "{shown}");
    // The lost batch may exist: its requests are sent again only where they are named.
    for (only, words) in [
        (
            &[][..],
            "left out: 3 requests of creates whose results are unknown may have been paid for",
        ),
        (
            &["--only", "errored"],
            "--only doubt sends them again, and may pay twice",
        ),
        (&["--only", "doubt"], "3 requests would be sent again"),
    ] {
        let dry = world.at(&[&["requeue", "mine", "--dry-run"], only].concat());
        assert_says(&dry, 0, &[words]);
    }
}

#[test]
fn every_command_refuses_an_input_without_requests() {
    let world = World::new();
    write_input(world.path(), ["", "  "]);
    for args in [
        &["run", "in.jsonl", "-m", "openai/m"][..],
        &["run", "in.jsonl", "-m", "openai/m", "--dry-run"],
        &["validate", "in.jsonl", "-m", "openai/m"],
        &["create", "in.jsonl", "-m", "openai/m"],
    ] {
        let refused = world.at(args);
        assert_says(&refused, 2, &["in.jsonl: there are no requests"]);
        assert_eq!(String::from_utf8_lossy(&refused.stdout), "", "{args:?}");
    }
    let allowed = world.run(&["--allow-empty", "--dry-run"]);
    assert_says(&allowed, 0, &["0 requests would be sent"]);
    assert_eq!(world.creates(), 0);
}

#[test]
fn tables_in_a_pipe_have_one_line_for_each_row() {
    let world = World::new();
    assert_says(&world.run(&["--run", "mine", "-o", "out.jsonl"]), 0, &[]);
    for (args, rows) in [
        (&["runs"][..], 1),
        (&["providers"], 5),
        (&["list", "-p", "openai"], 1),
        (&["purge", "mine", "--dry-run"], 1),
    ] {
        let mut command = world.emulating.command_at("openai", world.path());
        command.env_remove("LMBATCH_LOG").env("COLUMNS", "30");
        let shown = command.args(args).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(text.lines().count(), rows + 1, "{args:?}: {text}");
        let is_plain = |line: &str| !line.starts_with(' ') && !line.ends_with(' ');
        assert!(text.lines().all(is_plain), "{args:?}: {text}");
    }
    // Every row of a table has a value, which may be empty, in every column.
    let runs = String::from_utf8_lossy(&world.at(&["runs"]).stdout).into_owned();
    let cells = runs.lines().map(|line| line.split('\t').count());
    assert_eq!(cells.collect::<Vec<_>>(), [11, 11], "{runs}");
}

#[test]
fn the_request_id_of_the_emulator_is_shown_unchanged() {
    let world = World::new();
    let run = ["run", "in.jsonl", "-m", "openai/no-such-model", "--emulate"];
    let refused = world.at(&run);
    assert_says(&refused, 1, &["request id req_"]);
    assert!(!said(&refused).contains("***"), "{}", said(&refused));
}

#[test]
fn an_unrecorded_batch_is_reported_with_a_command_that_names_it() {
    let world = World::new();
    assert_says(&world.run(&["--detach"]), 0, &[]);
    let bill = world.emulating.bill();
    let label = bill["batches"][0]["metadata"]["lmbatch"].as_str().unwrap();
    fs::remove_dir_all(world.path().join(".lmbatch")).unwrap();
    let doctor = world.at(&["doctor", "-p", "openai"]);
    let adopt = format!("lmbatch adopt {label} INPUT -m openai/MODEL");
    assert_says(&doctor, 1, &[&adopt, "MODEL are those of the command"]);
    let adopt = adopt.replace("INPUT", "in.jsonl").replace("MODEL", "m");
    let words: Vec<&str> = adopt.split(' ').skip(1).collect();
    assert_says(&world.at(&words), 0, &["1 of 1 batch taken"]);
}
