//! The catalogue of faults: each fault at each call of each provider, once and always, with its outcome. The test
//! compares its observations with the tables of docs/faults.md.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fmt::Write as _;
use std::sync::Arc;

use lmbatch::{Error, Outcomes};
use lmbatch_emulator::{Emulator, Fault, FaultKind, Operation, Pace};
use lmbatch_testing::TestClock;
use lmbatch_tests::{SUBJECTS, Subject};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

/// The calls of a run in their order, and a cancel during the run.
const CALLS: [(&str, Operation); 6] = [
    ("upload", Operation::Upload),
    ("list", Operation::List),
    ("create", Operation::Create),
    ("status", Operation::Status),
    ("download", Operation::Content),
    ("cancel", Operation::Cancel),
];

const PAGE: &str = "<html><head><title>Bad gateway</title></head></html>";

fn faults() -> Vec<(&'static str, FaultKind)> {
    let headed = |code: u16, headers: &[(&str, &str)]| match FaultKind::status(code) {
        FaultKind::Status { code, body, .. } => FaultKind::Status {
            code,
            body,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
        },
        other => other,
    };
    let after = |code: u16, body: &str| FaultKind::status_after(code, body);
    vec![
        ("400", FaultKind::status(400)),
        ("401", FaultKind::status(401)),
        ("402", FaultKind::status(402)),
        ("403", FaultKind::status(403)),
        ("404", FaultKind::status(404)),
        ("408", FaultKind::status(408)),
        ("409", FaultKind::status(409)),
        ("413", FaultKind::status(413)),
        ("422", FaultKind::status(422)),
        ("429", FaultKind::status(429)),
        (
            "429, `retry-after: 7`",
            headed(429, &[("retry-after", "7")]),
        ),
        (
            "429, `retry-after` with a date",
            headed(429, &[("retry-after", "Mon, 23 Nov 2026 10:00:09 GMT")]),
        ),
        (
            "429, `retry-after-ms: 700`",
            headed(429, &[("retry-after-ms", "700")]),
        ),
        (
            "429, `retry-after: inf`",
            headed(429, &[("retry-after", "inf")]),
        ),
        (
            "429, `retry-after: -3`",
            headed(429, &[("retry-after", "-3")]),
        ),
        (
            "429, `retry-after` of a day",
            headed(429, &[("retry-after", "86400")]),
        ),
        (
            "429, `x-should-retry: false`",
            headed(429, &[("x-should-retry", "false")]),
        ),
        ("500", FaultKind::status(500)),
        ("502 with an HTML page", FaultKind::html(502)),
        ("503", FaultKind::status(503)),
        ("504", FaultKind::status(504)),
        ("520 with an HTML page", FaultKind::html(520)),
        ("529", FaultKind::status(529)),
        ("200 with an HTML page", FaultKind::html(200)),
        ("200 with an error", FaultKind::status(200)),
        (
            "302 to another host",
            FaultKind::Redirect {
                code: 302,
                location: "http://127.0.0.1:9/".into(),
            },
        ),
        (
            "307 to another host",
            FaultKind::Redirect {
                code: 307,
                location: "http://127.0.0.1:9/".into(),
            },
        ),
        ("connection reset, before the call", FaultKind::ResetBefore),
        ("connection reset, after the call", FaultKind::ResetAfter),
        ("500, after the call", after(500, "")),
        ("502 with an HTML page, after the call", after(502, PAGE)),
        ("200 with an HTML page, after the call", after(200, PAGE)),
        (
            "response cut after 20 bytes, after the call",
            FaultKind::Truncate { bytes: 20 },
        ),
        (
            "response cut after 0 bytes, after the call",
            FaultKind::Truncate { bytes: 0 },
        ),
    ]
}

fn words(result: Result<Outcomes, Error>) -> String {
    match result {
        Ok(outcomes) if outcomes.iter().all(|(_, outcome)| outcome.is_usable()) => {
            "succeeds".into()
        }
        Ok(outcomes) => outcomes["a"].status().as_str().into(),
        Err(error) => error.kind().as_str().into(),
    }
}

/// Outcome of a fault that strikes a call the given number of times, and whether the call was made at all.
async fn seen(
    subject: &Subject,
    kind: &FaultKind,
    operation: Operation,
    times: u32,
) -> Option<String> {
    let emulator = Emulator::builder()
        .pace(Pace::INSTANT)
        .start()
        .await
        .unwrap();
    let invoker = subject
        .invoker(&emulator)
        .clock(Arc::new(TestClock::default()));
    let fault = Fault {
        operation,
        skip: 0,
        times,
        kind: kind.clone(),
    };
    let batch = invoker.batch();
    let (word, paid) = if operation == Operation::Cancel {
        let handle = batch.create(ASKED).await.unwrap();
        emulator.add_fault(fault);
        let word = match batch.cancel(&handle.batch).await {
            Ok(()) => "succeeds".to_owned(),
            Err(error) => error.kind().as_str().to_owned(),
        };
        (word, 1)
    } else {
        emulator.add_fault(fault);
        let result = batch.invoke(ASKED).await;
        let paid = u64::from(result.is_ok() || emulator.bill().creates > 0);
        (words(result), paid)
    };
    let bill = emulator.bill();
    assert_eq!(
        bill.creates, paid,
        "{}: {kind:?} at {operation:?}: paid twice",
        subject.name
    );
    bill.calls.contains_key(&operation).then_some(word)
}

async fn table(subject: &Subject) -> String {
    let mut table = format!("## {}\n\n| fault |", subject.name);
    for (name, _) in CALLS {
        write!(table, " {name} |").unwrap();
    }
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for (name, kind) in faults() {
        write!(table, "| {name} |").unwrap();
        for (_, operation) in CALLS {
            let once = seen(subject, &kind, operation, 1).await;
            let always = seen(subject, &kind, operation, u32::MAX).await;
            let cell = match (once, always) {
                (Some(once), Some(always)) if once == always => once,
                (Some(once), Some(always)) => format!("{once} / {always}"),
                _ => "–".to_owned(),
            };
            write!(table, " {cell} |").unwrap();
        }
        table.push('\n');
    }
    table
}

const HEAD: &str = "# Faults and their outcomes

Each cell is the outcome of `invoke`, or of a cancel during the run, when one call has the fault of its row: *succeeds* if every request has its answer, and the kind of the error otherwise. A cell with two outcomes has the form *once / always*: the first for a fault of one call, the second for a fault of every call. \"after the call\" means that the provider acted before its response was lost. In every cell at most one batch is accepted, which the test asserts.

`tests/tests/faults.rs` compares these tables with its observations of the emulator. It fails if they differ; with `LMBATCH_UPDATE=1` and one thread it writes them anew. For a create in doubt, lmbatch searches by the label, or by the request count and the time, and never repeats the create while it may still be accepted; see [decision 2](decisions/0002-durable-runs.md).

";

/// Compares the tables of some providers with those in docs/faults.md, or writes them there.
async fn compare(place: usize) {
    let subject = &SUBJECTS[place];
    let seen = table(subject).await;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let text = if text.is_empty() {
        HEAD.to_owned()
    } else {
        text
    };
    let head = format!("## {}\n", subject.name);
    let (before, rest) = text.split_once(&head).unwrap_or((&text, ""));
    let (found, after) = rest
        .find("\n## ")
        .map_or((rest, ""), |at| rest.split_at(at));
    let whole = format!("{}\n\n{}\n{after}", before.trim_end(), seen.trim_end());
    if std::env::var_os("LMBATCH_UPDATE").is_some() {
        std::fs::write(path, whole).unwrap();
        return;
    }
    assert!(before.starts_with(HEAD.trim_end()));
    assert_eq!(format!("{head}{found}").trim_end(), seen.trim_end());
}

#[tokio::test]
async fn the_catalogue_of_faults_holds_for_openai() {
    compare(0).await;
}

#[tokio::test]
async fn the_catalogue_of_faults_holds_for_anthropic() {
    compare(2).await;
}

#[tokio::test]
async fn the_catalogue_of_faults_holds_for_google() {
    compare(3).await;
}
