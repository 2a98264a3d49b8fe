//! The command as users run it, against an emulator in another process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::process::Command;

use lmbatch_tests::{Emulating, KEY, lines, lmbatch, said, write_input};
use serde_json::{Value, json};

/// Kinds of requests with their outcomes: (line, status, problem).
fn kinds() -> Vec<(Value, &'static str, Option<&'static str>)> {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    let tool = json!([{"name": "look", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}}]);
    let png = json!({"type": "image", "mime_type": "image/png", "data": "iVBORw0KGgo="});
    vec![
        (json!({"prompt": "canary prompt"}), "succeeded", None),
        (
            json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}),
            "succeeded",
            None,
        ),
        (json!({"contents": ["what?", png]}), "succeeded", None),
        (
            json!({"prompt": "x", "tools": tool, "tool_choice": {"tool": "look"}}),
            "succeeded",
            None,
        ),
        (json!({"prompt": "x", "schema": schema}), "succeeded", None),
        (
            json!({"prompt": "lmb:schema-miss", "schema": schema}),
            "succeeded",
            Some("invalid_structured"),
        ),
        (
            json!({"prompt": "lmb:invalid-json", "schema": schema}),
            "succeeded",
            Some("invalid_structured"),
        ),
        (
            json!({"prompt": "lmb:truncate"}),
            "succeeded",
            Some("truncated"),
        ),
        (
            json!({"prompt": "lmb:refuse"}),
            "succeeded",
            Some("refused"),
        ),
        (
            json!({"prompt": "lmb:filter"}),
            "succeeded",
            Some("content_filter"),
        ),
        (json!({"prompt": "lmb:empty"}), "succeeded", Some("empty")),
        (json!({"prompt": "lmb:twice"}), "succeeded", None),
        (json!({"prompt": "lmb:foreign"}), "succeeded", None),
        (
            json!({"prompt": "lmb:unknown-item lmb:think"}),
            "succeeded",
            None,
        ),
        (json!({"prompt": "lmb:missing"}), "missing", None),
        (json!({"prompt": "lmb:cut"}), "errored", None),
        (json!({"prompt": "lmb:failed"}), "errored", None),
        (json!({"prompt": "lmb:error-400"}), "errored", None),
        (json!({"prompt": "lmb:error-429"}), "errored", None),
        (json!({"prompt": "lmb:error-500"}), "errored", None),
    ]
}

#[test]
fn a_thousand_mixed_requests_are_answered_under_their_ids_and_in_order() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let kinds = kinds();
    let requests: Vec<Value> = (0..1000)
        .map(|n| {
            let mut line = kinds[n % kinds.len()].0.clone();
            line["id"] = if n % 3 == 0 {
                json!(n)
            } else {
                json!(format!("ä/{n}\n\""))
            };
            line["metadata"] = json!({"n": n});
            line
        })
        .collect();
    write_input(folder.path(), &requests);
    let output = emulating.run(
        folder.path(),
        &[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "--poll-interval",
            "50ms",
            "--on-doubt",
            "abandon",
            "--doubt-wait",
            "1s",
            "--json",
        ],
    );
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let answers = lines(&folder.path().join("in.openai.m.jsonl"));
    assert_eq!(answers.len(), 1000);
    for (n, answer) in answers.iter().enumerate() {
        let (request, status, problem) = &kinds[n % kinds.len()];
        assert_eq!(answer["id"], requests[n]["id"]);
        assert_eq!(answer["metadata"], json!({"n": n}));
        assert_eq!(answer["status"], *status, "{request}: {answer}");
        assert_eq!(answer["problem"].as_str(), *problem, "{request}: {answer}");
        assert_eq!(
            answer.get("structured").is_some(),
            request.get("schema").is_some(),
            "{answer}"
        );
    }
    assert_eq!(answers[0]["text"], "echo: canary prompt");
    assert_eq!(answers[2]["text"], "echo: what? [image]");
    assert_eq!(answers[3]["tool_calls"][0]["name"], "look");
    assert_eq!(answers[4]["structured"], json!({"n": 1}));
    assert_eq!(answers[17]["error"]["http_status"], 400);
    assert_eq!(answers[18]["error"]["retryable"], true);
    // `--json` prints one object; a handle is kept only while it is needed.
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (
            &summary["format"],
            &summary["requests"],
            &summary["statuses"]["missing"]
        ),
        (&json!(1), &json!(1000), &json!(50))
    );
    assert!(!folder.path().join("in.openai.m.jsonl.handle.json").exists());
    // Neither the key nor a prompt is in a log at level trace.
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("exchange"), "the log is on");
    assert!(!said.contains(KEY) && !said.contains("canary prompt"));
}

#[test]
fn w3_w5_every_row_is_read_when_all_requests_failed_or_expired() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    for (word, status) in [("lmb:error-400", "errored"), ("lmb:expire", "expired")] {
        write_input(
            folder.path(),
            &[
                json!({"id": "a", "prompt": word}),
                json!({"id": "b", "prompt": word}),
            ],
        );
        let output = emulating.run(
            folder.path(),
            &[
                "run",
                "in.jsonl",
                "-m",
                "openai/m",
                "--poll-interval",
                "50ms",
                "--new",
                "--force",
                "-o",
                "out.jsonl",
            ],
        );
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let statuses: Vec<Value> = lines(&folder.path().join("out.jsonl"))
            .into_iter()
            .map(|line| line["status"].clone())
            .collect();
        assert_eq!(statuses, [status, status]);
    }
}

#[test]
fn a_line_in_openai_format_is_sent_byte_for_byte() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let line = r#"{"custom_id":"c","method":"POST","url":"/v1/responses","body":{"model":"m",  "input":"hi","temperature":1.50}}"#;
    fs::write(folder.path().join("in.jsonl"), line).unwrap();
    let output = emulating.run(
        folder.path(),
        &[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "--poll-interval",
            "50ms",
            "-o",
            "out.jsonl",
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(
        lines(&folder.path().join("out.jsonl"))[0]["text"],
        "echo: hi"
    );
}

#[test]
fn invalid_input_is_reported_line_by_line_and_nothing_is_sent() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let mut bad: Vec<Value> = (0..30).map(|_| json!({"prompt": 7})).collect();
    bad.extend([
        json!({"id": "a", "prompt": "x"}),
        json!({"id": "a", "prompt": "y"}),
        json!({"id": "", "prompt": "z"}),
    ]);
    write_input(folder.path(), &bad);
    let output = emulating.run(folder.path(), &["run", "in.jsonl", "-m", "openai/m"]);
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(
        said.contains("in.jsonl: 32 lines are not valid; the first 20:")
            && said.contains("  line 1: "),
        "{said}"
    );
    assert!(!said.contains("exchange"), "nothing was sent: {said}");
    let validate = Command::new(lmbatch())
        .current_dir(folder.path())
        .args(["validate", "in.jsonl", "-m", "openai/m"])
        .output()
        .unwrap();
    assert_eq!(validate.status.code(), Some(2));
}

#[test]
fn impossible_commands_are_refused_with_distinct_exit_codes() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), &[json!({"prompt": "x"})]);
    fs::write(folder.path().join("there.jsonl"), "mine").unwrap();
    for (args, code, part) in [
        (
            vec!["run", "in.jsonl", "-m", "opnai/m"],
            2,
            "did you mean openai?",
        ),
        (vec!["run", "in.jsonl", "-m", "openai"], 2, "PROVIDER/MODEL"),
        (
            vec!["run", "gone.jsonl", "-m", "openai/m"],
            2,
            "gone.jsonl cannot be read",
        ),
        (
            vec!["run", "in.jsonl", "-m", "openai/m", "-o", "there.jsonl"],
            2,
            "already exists",
        ),
        (
            vec![
                "run",
                "in.jsonl",
                "-m",
                "openai/m",
                "--key-env",
                "LMB_NO_SUCH_KEY",
            ],
            2,
            "LMB_NO_SUCH_KEY is not set",
        ),
        (
            vec!["run", "in.jsonl", "-m", "openai/no-such-model"],
            1,
            "the model was not found",
        ),
        (
            vec!["run", "in.jsonl", "-m", "openai/m", "--set", "top_k=3"],
            2,
            "top_k",
        ),
        (
            vec!["run", "in.jsonl", "-m", "openai/m", "--timeout", "1s"],
            4,
            "running: 0 of 1 request ended (run r-",
        ),
        (
            vec!["status", "batch_x", "-p", "openai"],
            1,
            "the batch was not found",
        ),
    ] {
        let output = emulating.run(folder.path(), &args);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
        assert!(!said.contains(KEY), "{args:?}");
    }
    assert_eq!(
        fs::read_to_string(folder.path().join("there.jsonl")).unwrap(),
        "mine"
    );
}

#[test]
fn another_process_resumes_the_run() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(
        folder.path(),
        &[
            json!({"id": "b/ü", "prompt": "1"}),
            json!({"id": "a", "prompt": "lmb:error-400"}),
        ],
    );
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    let asked = ["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"];
    let run = at(&[&asked[..], &["--timeout", "1s"]].concat());
    assert_eq!(run.status.code(), Some(4), "{}", said(&run));
    assert!(
        said(&run).contains("to continue: lmbatch resume r-"),
        "{}",
        said(&run)
    );
    let mut code = Some(4);
    for _ in 0..200 {
        code = at(&["resume", "--once"]).status.code();
        if code != Some(4) {
            break;
        }
    }
    assert_eq!(code, Some(3));
    let answers = lines(&folder.path().join("out.jsonl"));
    let pairs: Vec<_> = answers
        .iter()
        .map(|line| {
            (
                line["id"].as_str().unwrap(),
                line["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(pairs, [("b/ü", "succeeded"), ("a", "errored")]);
    // The same command never pays again, with or without its output.
    for gone in [false, true] {
        if gone {
            fs::remove_file(folder.path().join("out.jsonl")).unwrap();
        }
        let again = at(&asked);
        assert_eq!(again.status.code(), Some(3), "{}", said(&again));
        assert!(
            said(&again).contains("already answered by run r-"),
            "{}",
            said(&again)
        );
    }
    assert_eq!(lines(&folder.path().join("out.jsonl")), answers);
    let bill = emulating.bill();
    assert_eq!(bill["creates"], 1, "{bill}");

    let id = said(&at(&["runs"]));
    let id = id
        .split_whitespace()
        .find(|word| word.starts_with("r-"))
        .unwrap()
        .to_owned();
    assert!(said(&at(&["show", &id])).contains("fetched"));
    assert_eq!(at(&["audit", &id]).status.code(), Some(0));
    assert_eq!(at(&["purge", &id]).status.code(), Some(0));
    assert_eq!(
        fs::read_dir(folder.path().join(".lmbatch/spool"))
            .unwrap()
            .count(),
        0
    );
    assert_eq!(at(&["show", &id]).status.code(), Some(2));
}

#[test]
fn a_refused_input_leaves_no_prompts_behind() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(
        folder.path(),
        &[json!({"prompt": "good"}), json!({"promt": "bad"})],
    );
    let run = emulating.run_at(
        "openai",
        folder.path(),
        &["run", "in.jsonl", "-m", "openai/m"],
    );
    assert_eq!(run.status.code(), Some(2), "{}", said(&run));
    let spool = fs::read_dir(folder.path().join(".lmbatch/spool")).unwrap();
    assert_eq!(spool.count(), 0);
}

#[test]
fn a_lost_record_is_rebuilt_from_the_labels_of_its_batches() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let input: Vec<Value> = (0..5)
        .map(|k| json!({"id": format!("r/{k}"), "prompt": format!("p{k}")}))
        .collect();
    write_input(folder.path(), &input);
    for (provider, model) in [
        ("openai", "openai/m"),
        ("google", "google/gemini-2.5-flash"),
    ] {
        let at = |args: &[&str]| emulating.run_at(provider, folder.path(), args);
        let small = [
            "in.jsonl",
            "-m",
            model,
            "--max-batch-requests",
            "2",
            "-o",
            "out.jsonl",
        ];
        let run = at(&[&["run", "--detach"], &small[..]].concat());
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let paid = emulating.bill()["creates"].clone();
        fs::remove_dir_all(folder.path().join(".lmbatch")).unwrap();
        let doctor = at(&["doctor", "-p", provider]);
        assert_eq!(doctor.status.code(), Some(1), "{}", said(&doctor));
        let text = said(&doctor);
        let label = text
            .split_whitespace()
            .find(|word| word.starts_with("lmbatch-"))
            .unwrap();
        let adopted = at(&[&["adopt", label], &small[..]].concat());
        assert!(
            said(&adopted).contains("recovered 3 of 3 batches into run"),
            "{}",
            said(&adopted)
        );
        let resumed = at(&["resume", "--poll-interval", "20ms"]);
        assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
        let answers = lines(&folder.path().join("out.jsonl"));
        let texts: Vec<&str> = answers
            .iter()
            .map(|line| line["text"].as_str().unwrap())
            .collect();
        assert_eq!(
            texts,
            ["echo: p0", "echo: p1", "echo: p2", "echo: p3", "echo: p4"]
        );
        assert_eq!(emulating.bill()["creates"], paid, "nothing was sent again");
        assert_eq!(at(&["doctor", "-p", provider]).status.code(), Some(0));
        fs::remove_file(folder.path().join("out.jsonl")).unwrap();
        fs::remove_dir_all(folder.path().join(".lmbatch")).unwrap();
    }
}

#[test]
fn requeued_requests_of_an_ended_run_replace_their_answers() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let prompts = ["fine", "lmb:error-400", "lmb:truncate"];
    let input: Vec<Value> = prompts
        .iter()
        .map(|prompt| json!({"id": prompt, "prompt": prompt}))
        .collect();
    write_input(folder.path(), &input);
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    let run = at(&[
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--run",
        "mine",
        "--poll-interval",
        "20ms",
    ]);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    // Inputs do not stay at the provider once the output is written.
    let bill = emulating.bill();
    assert_eq!(
        (&bill["creates"], &bill["deletes"]),
        (&json!(1), &json!(1)),
        "{bill}"
    );
    let dry = at(&["requeue", "mine", "--dry-run"]);
    assert!(
        said(&dry).contains("1 request would be sent again"),
        "{}",
        said(&dry)
    );
    let again = at(&[
        "requeue",
        "mine",
        "--only",
        "truncated,errored",
        "--poll-interval",
        "20ms",
        "--max-attempts",
        "1",
    ]);
    assert_eq!(again.status.code(), Some(3), "{}", said(&again));
    let answers = lines(&folder.path().join("out.jsonl"));
    let bill = emulating.bill();
    let batches: Vec<&str> = bill["batches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| batch["id"].as_str().unwrap())
        .collect();
    let from: Vec<&str> = answers
        .iter()
        .map(|line| line["batch"].as_str().unwrap())
        .collect();
    assert_eq!(from, [batches[0], batches[1], batches[1]], "{bill}");
    assert_eq!(answers[1]["status"], "errored");
    assert_eq!(at(&["audit", "mine"]).status.code(), Some(0));
}

#[test]
fn unanswered_requests_are_sent_again_a_few_times() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let prompts = ["fine", "lmb:error-500", "lmb:unanswered", "lmb:error-400"];
    let input: Vec<Value> = prompts
        .iter()
        .map(|prompt| json!({"id": prompt, "prompt": prompt}))
        .collect();
    write_input(folder.path(), &input);
    let args = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--poll-interval",
        "20ms",
        "--json",
    ];
    let run = emulating.run_at("openai", folder.path(), &args);
    assert_eq!(run.status.code(), Some(3), "{}", said(&run));
    let words: Vec<Value> = lines(&folder.path().join("out.jsonl"))
        .iter()
        .map(|line| line["status"].clone())
        .collect();
    assert_eq!(words, ["succeeded", "errored", "missing", "errored"]);
    let bill = emulating.bill();
    let sizes = bill["batches"].as_array().unwrap().len();
    // Three attempts in all; succeeded and permanently failed requests are sent once.
    assert_eq!(
        (sizes, &bill["answered_requests"]),
        (3, &json!(1)),
        "{bill}"
    );
}

/// Returns the maximum anonymous memory of a process in MiB, sampled while it runs. The pages of the program's file,
/// which a debug build has many of, do not count.
fn peak(child: &mut std::process::Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&path).unwrap_or_default();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0));
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    most / 1024
}

/// Runs this many requests of a kilobyte, and returns the maximum memory of the command in MiB.
fn peak_of(requests: usize) -> u64 {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let words = "word ".repeat(200);
    let text: String = (0..requests)
        .map(|n| format!("{{\"id\":{n},\"prompt\":\"{n} {words}\"}}\n"))
        .collect();
    fs::write(folder.path().join("in.jsonl"), text).unwrap();
    let args = "run in.jsonl -m openai/m --poll-interval 200ms -o out.jsonl --quiet --json";
    let args: Vec<&str> = args.split(' ').collect();
    let mut child = emulating
        .command(folder.path(), &args)
        .env_remove("LMBATCH_LOG")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let peak = peak(&mut child);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&summary["requests"], &summary["usable"]),
        (&json!(requests), &json!(requests))
    );
    let out = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    let last = out.lines().last().unwrap();
    let id = requests - 1;
    let start = format!("{{\"id\":{id},\"status\":\"succeeded\",\"text\":\"echo: {id} word");
    assert!(last.starts_with(&start), "{last:.90}");
    peak
}

#[test]
fn w19_fifty_thousand_requests_of_a_kilobyte_need_constant_memory() {
    // The larger run sends 50 MB and receives 60 MB. The relocated pages of a debug build are in both figures.
    let (small, large) = (peak_of(10_000), peak_of(50_000));
    assert!(
        small > 0 && large <= small + 4 && large < 20,
        "{small} MiB, then {large} MiB"
    );
}

#[test]
fn a_signal_stops_the_run_and_prints_how_to_continue() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), &[json!({"id": "a", "prompt": "x"})]);
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let out = format!("{name}.jsonl");
        let mut child = emulating
            .command_at("openai", folder.path())
            .args([
                "run",
                "in.jsonl",
                "-m",
                "openai/m",
                "-o",
                &out,
                "--poll-interval",
                "1h",
                "--new",
            ])
            .env_remove("LMBATCH_LOG")
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("validating") {
            let read = std::io::BufRead::read_line(&mut said, &mut seen).unwrap();
            assert!(read > 0, "it ended by itself: {seen}");
        }
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &pid])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
        std::io::Read::read_to_string(&mut said, &mut seen).unwrap();
        assert!(seen.contains("lmbatch resume r-"), "{seen}");
    }
    assert_eq!(emulating.bill()["creates"], 3);
}
