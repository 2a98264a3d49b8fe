//! Self-tests of emulated providers: every check holds, and each fault of an emulator makes exactly one check differ.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lmbatch_emulator::{
    Damage, Emulator, EmulatorBuilder, Fault, FaultKind, Limits, Operation, Pace,
};
use lmbatch_tests::{Emulating, KEY, SUBJECTS, Subject, lmbatch, said};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// An emulator in this process, and a folder for the command.
struct World {
    /// Runs the emulator.
    _runtime: Runtime,
    emulator: Emulator,
    home: TempDir,
}

impl World {
    fn new(builder: EmulatorBuilder) -> Self {
        let runtime = Runtime::new().unwrap();
        let emulator = runtime.block_on(builder.start()).unwrap();
        Self {
            _runtime: runtime,
            emulator,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns an emulator whose results can be read from an offset.
    fn with_ranges(faults: &[Fault]) -> Self {
        let limits = Limits {
            ranges: true,
            ..Limits::default()
        };
        let builder = Emulator::builder().limits(limits);
        Self::new(faults.iter().cloned().fold(builder, EmulatorBuilder::fault))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = offline(self.home.path(), args);
        command.envs(self.emulator.environment());
        for provider in ["OPENAI", "ANTHROPIC", "GEMINI"] {
            command.env(format!("{provider}_API_KEY"), KEY);
        }
        command
    }

    fn at(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a self-test with brisk polls, and returns its end and its report.
    fn tested(&self, more: &[&str]) -> (Output, Value) {
        let brisk = ["selftest", "--json", "--poll-interval", "20ms"];
        let output = self.at(&[&brisk[..], more].concat());
        let report = report(&output);
        (output, report)
    }
}

fn offline(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(lmbatch());
    command
        .current_dir(home)
        .env_clear()
        .env("LMBATCH_STATE_DIR", home.join("state"))
        .args(args);
    command
}

/// Returns the report, the first line of standard output.
fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

/// Returns the names of the checks with a result.
fn checks<'r>(report: &'r Value, result: &str) -> Vec<&'r str> {
    let checks = report["checks"].as_array().unwrap().iter();
    let found = checks.filter(|check| check["result"] == result);
    found
        .map(|check| check["check"].as_str().unwrap())
        .collect()
}

const TOKEN: &str = "a repeated create with the same token is the same batch";
const RANGE: &str = "reading from an offset returns the rest";
const LABEL: &str = "the label of a batch is read";
const UPLOADS: &str = "uploads are listed with their label";
const FENCE: &str = "a create after its fence is not answered";

/// Returns the checks that a provider and a route have no capability for.
fn impossible(subject: &Subject) -> Vec<&'static str> {
    match (subject.provider, subject.route) {
        ("openai", _) => vec![TOKEN],
        ("anthropic", _) => vec![LABEL, UPLOADS, TOKEN, FENCE, RANGE],
        (_, "inline") => vec![UPLOADS, TOKEN, FENCE, RANGE],
        _ => vec![TOKEN, RANGE],
    }
}

#[test]
fn every_check_holds_for_every_emulated_provider_on_every_route() {
    let home = tempfile::tempdir().unwrap();
    for subject in SUBJECTS {
        let args = [
            "selftest",
            "-p",
            subject.provider,
            "--route",
            subject.route,
            "--emulate",
            "--json",
            "--poll-interval",
            "20ms",
        ];
        let output = offline(home.path(), &args).output().unwrap();
        let report = report(&output);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {said}", subject.name);
        assert_eq!(checks(&report, "differs"), [""; 0], "{said}");
        assert_eq!(checks(&report, "not_tested"), impossible(subject), "{said}");
        assert_eq!(report["emulated"], true);
    }
}

/// The command of an issue: a provider alone, against its API and under the default limit.
#[test]
fn a_self_test_by_provider_alone_pays_little_deletes_its_files_and_shows_no_key() {
    for subject in SUBJECTS {
        let world = World::with_ranges(&[]);
        let route = ["-p", subject.provider, "--route", subject.route];
        let (output, report) = world.tested(&[&route[..], &["--max-cost", "0.05"]].concat());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {said}", subject.name);
        assert_eq!(checks(&report, "differs"), [""; 0], "{said}");
        assert!(!said.contains(KEY), "{said}");
        let bill = world.emulator.bill();
        assert!(bill.creates <= 3 && bill.answered_requests <= 5, "{bill:?}");
        let charged = &report["cost"]["charged_usd"]["high"];
        let charged: lmbatch::Cost = charged.as_str().unwrap().parse().unwrap();
        assert!(charged > lmbatch::Cost::ZERO && charged < "0.001".parse().unwrap());
        assert_eq!(report["cost"]["unknown"], false, "{report}");
        for made in report["made"].as_array().unwrap() {
            let is_deleted = made["end"] == "deleted";
            let is_batch = made["object"].as_str().unwrap().starts_with("batch ");
            // OpenAI deletes no batches.
            assert!(
                is_deleted || (is_batch && subject.provider == "openai"),
                "{made}"
            );
        }
        let doctor = world.at(&["doctor", "-p", subject.provider]);
        let found = lmbatch_tests::said(&doctor);
        assert_eq!(doctor.status.code(), Some(0), "{}: {found}", subject.name);
    }
}

#[test]
fn the_report_in_markdown_is_dated_and_lists_every_check() {
    let world = World::with_ranges(&[]);
    let args = ["selftest", "-p", "openai", "--poll-interval", "20ms"];
    let output = world.at(&args);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let rows = text.lines().filter(|line| line.starts_with("- holds: "));
    assert_eq!(rows.count(), 26, "{text}");
    let long = text.lines().filter(|line| line.chars().count() > 80);
    assert_eq!(long.collect::<Vec<_>>(), [""; 0], "{text}");
    // The address of the environment, without a key.
    let api = format!("- API: {}\n", world.emulator.openai_base_url());
    assert!(text.contains(&api), "{api:?} is not in: {text}");
    let text = text.replace("\n  ", " ");
    for words in [
        "# Self-test of openai",
        "- date: 20",
        "- lmbatch: ",
        "- endpoint: /v1/responses, route responses",
        "the cheapest of the prices of 20",
        "- result: 26 hold, 0 differ, 1 not tested",
        "; the limit was $0.05",
        "## Made at the provider",
        "docs.md",
    ] {
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
    let messages = String::from_utf8(output.stderr).unwrap();
    // Each batch is named before and after its create.
    for label in ["-0", "-1", "-2"] {
        assert!(
            messages.contains(&format!("{label} for at most $")),
            "{messages}"
        );
    }
    assert_eq!(
        messages.matches("created batch batch_").count(),
        3,
        "{messages}"
    );
}

#[test]
fn the_server_of_the_command_passes_as_its_built_in_emulator_does() {
    let emulating = Emulating::start();
    let home = tempfile::tempdir().unwrap();
    for subject in SUBJECTS {
        let brisk = ["selftest", "--json", "--poll-interval", "20ms"];
        let route = ["-p", subject.provider, "--route", subject.route];
        let mut command = emulating.command_at(subject.provider, home.path());
        let output = command
            .env_remove("LMBATCH_LOG")
            .args(brisk)
            .args(route)
            .output()
            .unwrap();
        let report = report(&output);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{}: {said}", subject.name);
        assert_eq!(checks(&report, "differs"), [""; 0], "{said}");
        assert_eq!(checks(&report, "not_tested"), impossible(subject), "{said}");
        let url = report["base_url"].as_str().unwrap();
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    }
}

fn always(operation: Operation, pointer: &str, value: impl Into<Value>) -> Fault {
    Fault::always(operation, FaultKind::rewrite(pointer, value))
}

/// Returns a rewrite of batches wherever they are shown.
fn everywhere(pointer: &str, value: &Value) -> Vec<Fault> {
    [Operation::Status, Operation::List]
        .map(|operation| always(operation, pointer, value.clone()))
        .to_vec()
}

/// Returns a fault that strikes `times` calls after `skip` others.
fn later(operation: Operation, skip: u32, times: u32, kind: FaultKind) -> Vec<Fault> {
    vec![Fault {
        operation,
        skip,
        times,
        kind,
    }]
}

/// Returns a rewrite of the first inline answer of Gemini, which is shown twice.
fn inline(member: &str, value: &Value) -> Vec<Fault> {
    let places = [
        "/response/inlinedResponses/inlinedResponses/0/response",
        "/metadata/output/inlinedResponses/inlinedResponses/0/response",
    ];
    let kinds = places.map(|place| FaultKind::rewrite(format!("{place}{member}"), value.clone()));
    let kinds = kinds.to_vec();
    vec![Fault::always(
        Operation::Status,
        FaultKind::Several { kinds },
    )]
}

fn refused() -> FaultKind {
    FaultKind::status(403)
}

/// The file of the third batch, which is deleted before its create.
const FENCED: &str =
    r#"{"id": "file-000000000000000000000005", "object": "file", "deleted": true}"#;

#[test]
fn each_fault_makes_exactly_its_check_differ() {
    use Operation::{Cancel, Content, Create, Delete, Files, List, Model, Status};
    let openai: &[&str] = &["-p", "openai"];
    let by_file: &[&str] = &["-p", "google", "--route", "file"];
    let by_inline: &[&str] = &["-p", "google", "--route", "inline"];
    let spoil = FaultKind::damage;
    let deleted = FaultKind::Status {
        code: 200,
        body: FENCED.to_owned(),
        headers: Vec::new(),
    };
    let cases = [
        (
            "the key and the model are accepted",
            openai,
            later(Model, 0, 1, FaultKind::status(401)),
        ),
        (
            "a create returns the batch id of the provider",
            openai,
            later(Create, 0, 1, FaultKind::ResetAfter),
        ),
        (
            "a created batch can be read",
            openai,
            later(Status, 0, 1, refused()),
        ),
        (
            "the creation time of a batch is read",
            openai,
            everywhere("/created_at", &json!(5)),
        ),
        (LABEL, openai, everywhere("/metadata", &Value::Null)),
        (
            LABEL,
            openai,
            everywhere("/metadata/lmbatch", &json!("lmbatch-other")),
        ),
        (
            "a list agrees with the status",
            openai,
            vec![always(List, "/status", "expired")],
        ),
        (
            "paging through a list returns every batch once",
            openai,
            vec![always(List, "/has_more", false)],
        ),
        (
            UPLOADS,
            openai,
            vec![always(Files, "/filename", "other.jsonl")],
        ),
        (
            "a 404 of a batch names the batch",
            openai,
            later(Status, 3, 1, FaultKind::status(400)),
        ),
        (FENCE, openai, later(Delete, 0, 1, deleted)),
        (
            "a cancel ends a batch",
            openai,
            later(Cancel, 0, 1, refused()),
        ),
        (
            "a repeated cancel is not an error",
            openai,
            later(Cancel, 1, 1, refused()),
        ),
        (
            "a cancelled batch returns its answers",
            openai,
            later(Content, 0, 1, spoil(Damage::OtherRows)),
        ),
        (
            "a cancel of an ended batch is not an error",
            openai,
            later(Cancel, 2, 1, refused()),
        ),
        (
            "a batch is completed",
            openai,
            later(Create, 0, 1, FaultKind::LostInput),
        ),
        (
            "request counts are read",
            openai,
            everywhere("/request_counts/total", &json!(7)),
        ),
        (
            "each request has one row under its own id",
            by_file,
            later(Content, 1, 2, spoil(Damage::DroppedRow)),
        ),
        (
            "results can be read twice",
            by_file,
            later(Content, 2, 1, spoil(Damage::DroppedRow)),
        ),
        (
            "usage is returned",
            by_inline,
            inline("/usageMetadata", &Value::Null),
        ),
        (
            "usage is within the bound of the cost limit",
            by_inline,
            inline("/usageMetadata/promptTokenCount", &json!(100_000)),
        ),
        (
            "an answer says why it ended",
            by_inline,
            inline("/candidates/0/finishReason", &json!("NEW_REASON")),
        ),
        (
            "discarding deleted objects is not an error",
            openai,
            later(Delete, 7, 1, refused()),
        ),
    ];
    // Most of the time is spent waiting for batches.
    std::thread::scope(|scope| {
        for some in cases.chunks(6) {
            scope.spawn(move || {
                for (check, subject, faults) in some {
                    differs(check, subject, faults);
                }
            });
        }
    });
}

/// Checks that an emulator with faults makes one check differ, and no other.
fn differs(check: &str, subject: &[&str], faults: &[Fault]) {
    let world = World::with_ranges(faults);
    let (output, report) = world.tested(&[subject, &["--timeout", "5s"]].concat());
    let said = said(&output);
    assert_eq!(checks(&report, "differs"), [check], "{said}");
    assert_eq!(output.status.code(), Some(1), "{check}: {said}");
    assert!(world.emulator.bill().creates <= 3, "{check}");
}

#[test]
fn a_list_that_lags_and_results_without_ranges_differ() {
    let limits = |ranges, list_lag| Limits {
        ranges,
        list_lag,
        ..Limits::default()
    };
    for (check, limits) in [
        (
            "a list shows a created batch",
            limits(true, Duration::from_secs(3600)),
        ),
        (RANGE, limits(false, Duration::ZERO)),
    ] {
        let world = World::new(Emulator::builder().limits(limits));
        let (output, report) = world.tested(&["-p", "openai", "--timeout", "2s"]);
        assert_eq!(checks(&report, "differs"), [check], "{}", said(&output));
        assert_eq!(output.status.code(), Some(1));
    }
    // A short lag is measured.
    let world = World::new(Emulator::builder().limits(limits(true, Duration::from_millis(700))));
    let (output, report) = world.tested(&["-p", "openai"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let checks = report["checks"].as_array().unwrap();
    let mut checks = checks.iter();
    let lag = checks.find(|check| check["check"] == "a list shows a created batch");
    assert!(lag.unwrap()["seconds"].as_f64().unwrap() >= 0.6, "{lag:?}");
}

#[test]
fn nothing_is_sent_beyond_the_limit_or_at_an_unknown_price() {
    let world = World::with_ranges(&[]);
    for (args, code, words) in [
        (
            &["-p", "openai", "--max-cost", "0.0000001"][..],
            5,
            "nothing was sent; raise --max-cost",
        ),
        (
            &["-m", "openai/no-price-of-this"],
            2,
            "test without a limit with --no-max-cost",
        ),
        (
            &["-p", "openai", "--pace", "fast"],
            2,
            "--pace needs --emulate",
        ),
        (&["-p", "openai", "-m", "google/m"], 2, "leave out -p"),
        (&[], 2, "--provider <PROVIDER>"),
    ] {
        let output = world.at(&[&["selftest"], args].concat());
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(world.emulator.calls().len(), 0, "{said}");
    }
    let (output, report) = world.tested(&["-m", "openai/no-price-of-this", "--no-max-cost"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(report["cost"]["unknown"], true);
    assert_eq!(report["model"], "no-price-of-this");
}

#[test]
fn keep_leaves_everything_and_names_it() {
    let world = World::with_ranges(&[]);
    let (output, report) = world.tested(&["-p", "google", "--keep"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let made = report["made"].as_array().unwrap();
    assert!(
        made.iter().all(|one| one["end"] == "left: kept"),
        "{made:?}"
    );
    assert_eq!(world.emulator.bill().deletes, 1, "the fence");
}

/// Starts a self-test whose batches take minutes, and waits for its words on standard error.
fn started(world: &World, provider: &str, words: &str) -> (std::process::Child, String) {
    let mut command = world.command(&["selftest", "-p", provider, "--poll-interval", "20ms"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut messages = String::new();
    loop {
        let line = lines.next().map(Result::unwrap);
        let line = line.unwrap_or_else(|| panic!("it ended early: {messages}"));
        messages.push_str(&line);
        messages.push('\n');
        if line.contains(words) {
            break;
        }
    }
    // The rest is read, so that the command can print.
    std::thread::spawn(move || lines.for_each(drop));
    (child, messages)
}

#[test]
fn an_interrupted_self_test_cancels_its_batches_and_reports() {
    let world = World::new(Emulator::builder().pace(Pace::REAL));
    let (child, _) = started(&world, "openai", "waiting for the end of batch");
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("the self-test was stopped"), "{text}");
    let listed = world.at(&["list", "-p", "openai", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in listed.lines() {
        let batch: Value = serde_json::from_str(line).unwrap();
        // The batch without its input fails.
        let status = batch["status"].as_str().unwrap();
        assert!(["cancelled", "failed"].contains(&status), "{listed}");
    }
    let bill = world.emulator.bill();
    assert!(bill.deletes >= bill.uploads, "{bill:?}");
}

#[test]
fn the_batches_of_a_killed_self_test_are_found_by_doctor() {
    for (provider, is_labelled) in [("openai", true), ("google", true), ("anthropic", false)] {
        let world = World::new(Emulator::builder().pace(Pace::REAL));
        let (mut child, messages) = started(&world, provider, "created batch ");
        child.kill().unwrap();
        child.wait().unwrap();
        let batch = messages.trim().rsplit(' ').next().unwrap();
        let doctor = world.at(&["doctor", "-p", provider]);
        let found = said(&doctor);
        if is_labelled {
            assert_eq!(doctor.status.code(), Some(1), "{found}");
            let cancel = format!("lmbatch cancel {batch} -p {provider}");
            assert!(found.contains(&cancel), "{found}");
        } else {
            assert!(found.contains("may be of lmbatch"), "{found}");
        }
        world.emulator.advance(Duration::from_secs(3600));
        let doctor = world.at(&["doctor", "-p", provider]);
        let found = said(&doctor);
        assert_eq!(doctor.status.code(), Some(0), "{provider}: {found}");
        assert!(found.contains("of self-tests; nothing is due"), "{found}");
    }
}
