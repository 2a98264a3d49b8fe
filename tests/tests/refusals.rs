//! Accepted creates with the response of a proxy that looks like a refusal: only the provider's own error object is a
//! refusal, under any status. After any other response the run searches for the batch.

use lmbatch_emulator::{Fault, FaultKind, Operation};
use lmbatch_tests::{Broken, SUBJECTS, Subject, Trial};

const STATUSES: [u16; 27] = [
    400, 401, 402, 403, 404, 405, 408, 409, 411, 413, 414, 415, 422, 425, 429, 431, 451, 499, 500,
    501, 502, 503, 504, 520, 524, 526, 529,
];

/// Bodies that no supported provider sends as an error.
fn bodies(subject: &Subject) -> Vec<&'static str> {
    // The provider's own error, truncated in the middle.
    let cut = match subject.provider {
        "openai" => r#"{"error":{"message":"Invalid value","type":"invalid_requ"#,
        "anthropic" => r#"{"type":"error","error":{"type":"invalid_request_error","mess"#,
        _ => r#"{"error":{"code":400,"message":"Invalid JSON","status":"INVALID_"#,
    };
    vec![
        "<html><head><title>Denied</title></head><body>Denied</body></html>",
        "",
        r#"{"message":"Forbidden","code":"AccessDenied"}"#,
        r#"{"detail":"Not Found"}"#,
        "{}",
        cut,
    ]
}

/// Half of the statuses and bodies, like the squares of one colour on a chessboard: the provider's other route gets
/// the other half. Anthropic has one route, which gets all.
fn takes(place: usize, status: usize, body: usize) -> bool {
    SUBJECTS[place].provider == "anthropic" || (status + body + place).is_multiple_of(2)
}

async fn paid_once(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    for (status, code) in STATUSES.into_iter().enumerate() {
        for (number, body) in bodies(subject).into_iter().enumerate() {
            if !takes(place, status, number) {
                continue;
            }
            let trial = Trial::start(subject).await;
            let kind = FaultKind::StatusAfter {
                code,
                body: body.to_owned(),
                headers: vec![("server".to_owned(), "proxy".to_owned())],
            };
            trial
                .emulator
                .add_fault(Fault::once(Operation::Create, kind));
            let mut ended = trial.go().await;
            let first = ended.words();
            // The same command resumes a run that did not end, as its hint says.
            if ended.result.is_err() {
                ended = trial.go().await;
            }
            let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
            broken.note(
                format!("{} {code} {body:.20}, first {first}", subject.name),
                complaint,
            );
        }
    }
    broken.end();
}

macro_rules! on_each_route {
    ($($place:literal $name:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            paid_once($place).await;
        })*
    };
}

on_each_route! {
    0 an_accepted_create_that_a_proxy_answers_is_paid_once_on_openai_responses;
    1 an_accepted_create_that_a_proxy_answers_is_paid_once_on_openai_chat;
    2 an_accepted_create_that_a_proxy_answers_is_paid_once_on_anthropic;
    3 an_accepted_create_that_a_proxy_answers_is_paid_once_on_google_by_file;
    4 an_accepted_create_that_a_proxy_answers_is_paid_once_on_google_inline;
}

/// A refusal with the provider's own error stays a refusal: nothing was accepted, and the same request is sent again
/// where that may help.
#[tokio::test]
async fn a_refusal_with_the_providers_own_error_is_accepted() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        let body = match subject.provider {
            "openai" => {
                r#"{"error":{"message":"m","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#
            }
            "anthropic" => r#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#,
            _ => r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
        };
        let trial = Trial::start(subject).await;
        let kind = FaultKind::Status {
            code: 429,
            body: body.to_owned(),
            headers: Vec::new(),
        };
        trial
            .emulator
            .add_fault(Fault::times(Operation::Create, 2, kind));
        let ended = trial.go().await;
        let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
        broken.note(subject.name, complaint);
        let tried = trial.emulator.bill().calls[&Operation::Create];
        let asked = format!("{tried} creates asked for");
        broken.note(subject.name, (tried != 3).then_some(asked));
    }
    broken.end();
}
