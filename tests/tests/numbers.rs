//! Invalid times of a provider: in milliseconds, negative, beyond any calendar, or no number. They are ignored without
//! harm: the run is complete and paid for once, and its record can be read.

use lmbatch_emulator::{Fault, FaultKind, Operation};
use lmbatch_tests::{Broken, SUBJECTS, Subject, Trial};
use serde_json::{Value, json};

fn members(subject: &Subject) -> &'static [&'static str] {
    match subject.provider {
        "openai" => &["/created_at", "/expires_at", "/completed_at"],
        "anthropic" => &["/created_at", "/expires_at", "/ended_at"],
        _ => &["/metadata/createTime", "/metadata/endTime"],
    }
}

fn odd() -> Vec<Value> {
    vec![
        json!(1_764_133_200_000_u64),
        json!("1764133200000"),
        json!(0),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MAX - 172_800),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(253_402_300_800_u64),
        json!(1e300),
        json!("9223372036854775807"),
        json!("9999-12-31T23:59:59.999999999Z"),
        json!("99999-01-01T00:00:00Z"),
        json!("0000-01-01T00:00:00Z"),
        json!("-292277022657-01-27T08:29:52Z"),
        json!(""),
        json!(null),
        json!({}),
    ]
}

/// OpenAI, Anthropic and Google: all routes of a provider share one form of status.
const PLACES: [usize; 3] = [0, 2, 3];

async fn messages(subject: &'static Subject, lost: bool, broken: &mut Broken) {
    for member in members(subject) {
        for value in odd() {
            let trial = Trial::start(subject).await;
            let rewrite = FaultKind::rewrite(*member, value.clone());
            for operation in [Operation::Create, Operation::Status, Operation::List] {
                let kind = match operation {
                    Operation::Create if lost => FaultKind::ResetAfter,
                    _ => rewrite.clone(),
                };
                trial.emulator.add_fault(Fault::once(operation, kind));
                let kind = rewrite.clone();
                trial.emulator.add_fault(Fault::always(operation, kind));
            }
            let cell = format!("{} {member} {value}, lost {lost}", subject.name);
            // The second process reads the record of the first.
            for _ in 0..2 {
                let ended = trial.go().await;
                let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
                broken.note(&cell, complaint);
            }
        }
    }
}

#[tokio::test]
async fn invalid_creation_times_are_ignored() {
    let mut broken = Broken::default();
    for place in PLACES {
        messages(&SUBJECTS[place], false, &mut broken).await;
    }
    broken.end();
}

#[tokio::test]
async fn invalid_creation_times_do_not_hide_a_lost_create() {
    let mut broken = Broken::default();
    for place in PLACES {
        messages(&SUBJECTS[place], true, &mut broken).await;
    }
    broken.end();
}
