//! Billing of runs, and the reasons of providers' refusals.

use lmbatch_tests::{KEY, Scene, TO_FILE, object, said};
use serde_json::{Value, json};

const RUN: [&str; 10] = [
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
];

/// A refusal with the provider's own error object.
fn refusal() -> Value {
    json!({"error": {"message": "no", "type": "invalid_request_error", "code": "bad"}})
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}

fn world(prompts: &[&str]) -> Scene {
    let line = |prompt: &&str| json!({"id": prompt, "prompt": prompt});
    Scene::new(prompts.iter().map(line)).with_variable("LMBATCH_LOG", "trace")
}

fn json(world: &Scene, args: &[&str], code: i32) -> Value {
    let output = world.at(&[args, &["--json"]].concat());
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    object(&output)
}

/// Returns the number of creates that were requested, and the number of those that were accepted.
fn creates(world: &Scene) -> (Value, Value) {
    let bill = world.emulating.bill();
    (bill["calls"]["create"].clone(), bill["creates"].clone())
}

/// Makes the next create fail, or sets its response.
fn refuse_create(world: &Scene, code: u16, body: &Value) {
    let kind = json!({"status": {"code": code, "body": body.to_string()}});
    world.fault(&json!({"operation": "create", "times": 9, "kind": kind}));
}

#[test]
fn every_answer_is_billed_under_its_model_even_after_a_replacement() {
    let world = world(&["fine", "lmb:truncate", "lmb:error-400"]);
    let first = json(&world, &RUN, 3);
    assert_eq!(first["billed"]["answers"], 2);
    assert_eq!(first["billed"]["usage"], first["usage"]);
    let requeue = [
        "requeue",
        "mine",
        "--only",
        "truncated",
        "-m",
        "openai/larger",
        "--max-attempts",
        "1",
        "--poll-interval",
        "20ms",
    ];
    let again = json(&world, &requeue, 3);
    let audit = json(&world, &["audit", "mine"], 0);
    let bill = world.emulating.bill();
    for shown in [&again, &audit] {
        let billed = &shown["billed"];
        assert_eq!(
            billed["answers"], bill["answered_requests"],
            "{shown} {bill}"
        );
        assert_eq!(
            (&billed["superseded"], &billed["undelivered"]),
            (&json!(1), &json!(0))
        );
        let tokens = |of: &Value| of["output_tokens"].as_u64().unwrap();
        assert!(
            tokens(&billed["usage"]) > tokens(&shown["usage"]),
            "{shown}"
        );
    }
    let batches = audit["batches"].as_array().unwrap();
    let counts: Vec<_> = batches
        .iter()
        .map(|batch| (&batch["attempt"], &batch["answers"], &batch["superseded"]))
        .collect();
    let (one, two, none) = (json!(1), json!(2), json!(0));
    assert_eq!(counts, [(&one, &two, &one), (&two, &one, &none)]);
    let models: Vec<&String> = audit["models"].as_object().unwrap().keys().collect();
    assert_eq!(models.len(), 2, "{models:?}");
    let sum: u64 = batches
        .iter()
        .map(|batch| batch["usage"]["output_tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(sum, audit["billed"]["usage"]["output_tokens"]);
    let text = said(&world.at(&["audit", "mine"]));
    assert!(text.contains("larger-2026-01-01"), "{text}");
    // An update counts the answers that it replaced as well.
    let update = json(
        &world,
        &[&RUN[..], &["--update", "--system", "be brief"]].concat(),
        3,
    );
    let bill = world.emulating.bill();
    assert_eq!(
        update["billed"]["answers"], bill["answered_requests"],
        "{update}"
    );
}

#[test]
fn an_answer_that_cannot_be_read_is_billed_and_only_a_requeue_sends_it_again() {
    let world = world(&["fine", "lmb:cut"]);
    // A truncated row is first read again.
    let wait = ["--doubt-wait", "200ms"];
    let first = world.at(&[&RUN[..], &wait].concat());
    let messages = said(&first);
    assert_eq!(first.status.code(), Some(3), "{messages}");
    assert!(
        messages.contains("is sent again only on request"),
        "{messages}"
    );
    assert_eq!(creates(&world), (json!(1), json!(1)));
    let numbers = |audit: &Value| {
        let billed = &audit["billed"];
        ["answers", "superseded", "undelivered"].map(|name| billed[name].as_u64().unwrap())
    };
    let audit = json(&world, &["audit", "mine"], 0);
    assert_eq!(numbers(&audit), [2, 0, 0], "{audit}");
    assert_eq!(audit["batches"][0]["errored"], 0, "{audit}");
    // Without its name it is left out, and said.
    for only in [&[][..], &["--only", "errored"]] {
        let left_out = world.at(&[&["requeue", "mine"], only, &wait].concat());
        let messages = said(&left_out);
        assert_eq!(left_out.status.code(), Some(0), "{messages}");
        let words =
            "left out: 1 request whose answer cannot be read was paid for; --only malformed_answer";
        assert!(messages.contains(words), "{messages}");
        assert!(messages.contains("nothing to send again"), "{messages}");
    }
    assert_eq!(creates(&world), (json!(1), json!(1)));
    // The request may be sent again on request; its first answer stays billed.
    let requeue = [
        "requeue",
        "mine",
        "--only",
        "malformed_answer",
        "--max-attempts",
        "1",
        "--poll-interval",
        "20ms",
    ];
    let again = json(&world, &[&requeue[..], &wait].concat(), 3);
    assert_eq!(numbers(&again), [3, 1, 0], "{again}");
    let audit = json(&world, &["audit", "mine"], 0);
    assert_eq!(numbers(&audit), [3, 1, 0], "{audit}");
    assert_eq!(world.emulating.bill()["answered_requests"], 3);
}

#[test]
fn an_answer_takes_precedence_over_an_earlier_row_of_the_same_request() {
    let world = world(&["fine", "lmb:twice"]);
    let run = world.at(&RUN);
    let messages = said(&run);
    assert_eq!(run.status.code(), Some(0), "{messages}");
    assert!(
        messages.contains("the first answer counts; without an answer, the first final failure, otherwise the first row"),
        "{messages}"
    );
    let audit = json(&world, &["audit", "mine"], 0);
    assert_eq!(audit["billed"]["answers"], 2, "{audit}");
}

#[test]
fn counted_answers_that_were_never_delivered_are_reported() {
    let world = world(&["fine", "lmb:missing"]);
    let run = world.at(&[
        &RUN[..],
        &[
            "--max-attempts",
            "1",
            "--on-doubt",
            "abandon",
            "--doubt-wait",
            "1s",
        ],
    ]
    .concat());
    let warning =
        "1 request is counted as answered by the provider, but no result row holds an answer";
    assert!(said(&run).contains(warning), "{}", said(&run));
    let audit = world.at(&["audit", "mine"]);
    assert!(said(&audit).contains(warning), "{}", said(&audit));
    let audit = json(&world, &["audit", "mine"], 0);
    assert_eq!(audit["billed"]["undelivered"], 1, "{audit}");
    assert_eq!(audit["batches"][0]["undelivered"], 1, "{audit}");
    // It may have been paid for, and is sent again only where it is named.
    for (only, words) in [
        (
            &[][..],
            "left out: 1 missing request may have been paid for",
        ),
        (&["--only", "missing"], "1 request would be sent again"),
    ] {
        let dry = world.at(&[&["requeue", "mine", "--dry-run"], only].concat());
        let messages = said(&dry);
        assert!(messages.contains(words), "{messages}");
        assert_eq!(messages.contains("left out"), only.is_empty(), "{messages}");
    }
}

#[test]
fn a_failed_batch_reports_its_reason() {
    let world = world(&["fine", "lmb:fail-line"]);
    let run = world.at(&[&RUN[..], &["--max-attempts", "1"]].concat());
    let text = said(&run);
    assert!(text.contains("failed:\n  request "), "{text}");
    assert!(text.contains("provider said: "), "{text}");
    let summary = json(&world, &RUN, 3);
    let reason = &summary["failures"][0]["reasons"][0];
    assert!(reason["provider_message"].is_string(), "{summary}");
    assert_eq!(json(&world, &["runs"], 0)["state"], "failed");
    let show = world.at(&["show", "mine"]);
    assert_eq!(show.status.code(), Some(1), "{}", said(&show));
    assert!(said(&show).contains("provider said: "), "{}", said(&show));
}

#[test]
fn a_refused_create_fails_the_run_with_the_message_of_the_provider() {
    let world = world(&["fine"]);
    let words = format!("requests.3.max_tokens: 99999 > 64000\nkey {KEY} \u{1b}[31m\u{202e}");
    let long = format!("{words} {}", "x".repeat(1000));
    let body = json!({"error": {"message": long, "type": "invalid_request_error", "code": "bad"}});
    refuse_create(&world, 400, &body);
    let failed = world.at(&RUN);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    let line = text
        .lines()
        .find(|line| line.starts_with("provider said: "));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    assert!(
        line.contains("requests.3.max_tokens: 99999 > 64000 key ***"),
        "{line}"
    );
    assert!(line.ends_with('…') && line.chars().count() < 330, "{line}");
    assert!(
        text.contains("fix the cause and run the command again"),
        "{text}"
    );
    assert!(!text.contains(KEY), "{text}");
    assert_eq!(json(&world, &["runs"], 0)["state"], "failed");
    let show = world.at(&["show", "mine"]);
    assert_eq!(show.status.code(), Some(1), "{}", said(&show));
    assert!(
        said(&show).contains("provider said: requests.3"),
        "{}",
        said(&show)
    );
    let shown = json(&world, &["show", "mine"], 1);
    let noted = shown["failure"]["provider_message"].as_str().unwrap();
    assert!(noted.starts_with("requests.3.max_tokens"), "{shown}");
    let other = [
        "run", "in.jsonl", "-m", "openai/m", "-o", "b.jsonl", "--new",
    ];
    let error = json(&world, &other, 1);
    let words = error["error"]["provider_message"].as_str().unwrap();
    assert!(words.starts_with("requests.3.max_tokens"), "{error}");
    assert_eq!(error["error"]["kind"], "provider_invalid_args", "{error}");
    assert!(error["run"].is_string(), "{error}");
    // As the hint says: other options delete the named run first, and the same command resumes it.
    world.emulating.clear_faults();
    let tried = creates(&world).0;
    let changed = [&RUN[..], &["--max-tokens", "9"]].concat();
    for update in [&[][..], &["--update"]] {
        let refused = json(&world, &[&changed[..], update].concat(), 2);
        let hint = refused["error"]["hint"].as_str().unwrap();
        let purge = format!("lmbatch purge {} --force", shown["run"].as_str().unwrap());
        assert!(hint.ends_with(&purge), "{hint}");
        assert!(text.contains(&purge), "{text}");
    }
    assert_eq!(creates(&world), (tried, json!(0)));
    let purged = world.at(&["purge", shown["run"].as_str().unwrap(), "--force"]);
    assert_eq!(purged.status.code(), Some(0), "{}", said(&purged));
    json(&world, &changed, 0);
    assert_eq!(creates(&world).1, 1);
}

#[test]
fn the_same_command_resumes_a_refused_run_once_the_cause_is_fixed() {
    for named in [true, false] {
        let world = world(&["fine"]);
        refuse_create(&world, 400, &refusal());
        let args = if named { &RUN[..] } else { &TO_FILE };
        assert_eq!(world.at(args).status.code(), Some(1));
        world.emulating.clear_faults();
        json(&world, args, 0);
        assert_eq!(creates(&world), (json!(2), json!(1)));
        assert_eq!(json(&world, &["runs"], 0)["state"], "finished");
    }
}

#[test]
fn the_command_with_other_options_replaces_a_refused_run() {
    for extra in [&[][..], &["--update"], &["--new"]] {
        let world = world(&["fine"]);
        refuse_create(&world, 400, &refusal());
        let failed = world.at(&[&TO_FILE[..], &["--max-tokens", "99999"]].concat());
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        let hint = "fix the cause and run the command again";
        assert!(said(&failed).contains(hint), "{}", said(&failed));
        world.emulating.clear_faults();
        let fixed = world.at(&[&TO_FILE[..], &["--max-tokens", "9"], extra].concat());
        assert_eq!(fixed.status.code(), Some(0), "{}", said(&fixed));
        let replaced = "failed before a batch was created, and is cancelled";
        assert!(said(&fixed).contains(replaced), "{}", said(&fixed));
        assert_eq!(creates(&world), (json!(2), json!(1)), "{extra:?}");
        // The earlier run has ended: it is never sent again, and its upload is deleted.
        let resumed = world.at(&["resume", "--all", "--poll-interval", "20ms"]);
        assert!(
            said(&resumed).contains("every run has ended"),
            "{}",
            said(&resumed)
        );
        assert_eq!(creates(&world), (json!(2), json!(1)), "{extra:?}");
        let runs = said(&world.at(&["runs"]));
        assert!(
            runs.contains("cancelled") && runs.contains("finished"),
            "{runs}"
        );
        let again = world.at(&[&TO_FILE[..], &["--max-tokens", "9"]].concat());
        assert!(
            said(&again).contains("already answered"),
            "{}",
            said(&again)
        );
    }
}

#[test]
fn a_refused_run_is_not_replaced_while_another_process_advances_it() {
    // Another process creates its batch nevertheless, slowly: before and during the create.
    for operation in ["list", "create"] {
        let world = world(&["fine"]);
        refuse_create(&world, 400, &refusal());
        let failed = world.at(&[&TO_FILE[..], &["--max-tokens", "99999"]].concat());
        assert_eq!(failed.status.code(), Some(1), "{}", said(&failed));
        world.emulating.clear_faults();
        let slow = json!({"operation": operation, "kind": {"latency": {"milliseconds": 5000}}});
        world.emulating.post("/_emulator/faults", &slow.to_string());
        let calls = || world.emulating.bill()["calls"][operation].clone();
        let before = calls();
        let mut resume = world.emulating.command_at("openai", world.path());
        let resume = resume
            .args(["resume", "--poll-interval", "20ms"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        while calls() == before {
            pause();
        }
        let changed = [&TO_FILE[..], &["--max-tokens", "9"]].concat();
        let beside = world.at(&changed);
        assert!(
            [Some(2), Some(7)].contains(&beside.status.code()),
            "{}",
            said(&beside)
        );
        let resumed = resume.wait_with_output().unwrap();
        assert_eq!(resumed.status.code(), Some(0), "{}", said(&resumed));
        let late = world.at(&changed);
        assert_eq!(late.status.code(), Some(2), "{}", said(&late));
        assert_eq!(creates(&world), (json!(2), json!(1)));
    }
}
