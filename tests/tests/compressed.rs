//! Results compressed without a request for it, as some proxies send them: they are read again, the run stops with an
//! error that names the encoding, and nothing is sent again.

use lmbatch_emulator::{Damage, Fault, FaultKind, Operation};
use lmbatch_tests::{Broken, Ended, SUBJECTS, Subject, Trial};

/// Responses of a proxy: an encoding, and whether the bytes are really compressed.
fn answers() -> Vec<(&'static str, FaultKind)> {
    let encoded = |encoding: &str, bytes: &[u8]| FaultKind::Body {
        status: 200,
        headers: vec![("content-encoding".to_owned(), encoding.to_owned())],
        bytes: bytes.to_vec(),
    };
    vec![
        ("gzip", FaultKind::damage(Damage::Gzip)),
        ("gzip of nothing", encoded("gzip", b"")),
        ("deflate", encoded("deflate", b"\x78\x9c\x03\0\0\0\0\x01")),
        ("br", encoded("br", b"\x3b")),
        ("zstd", encoded("zstd", b"\x28\xb5\x2f\xfd\x20\0\x01\0\0")),
        ("x-gzip", encoded("x-gzip", b"\x1f\x8b")),
        ("two", encoded("identity, gzip", b"\x1f\x8b")),
        ("a new one", encoded("pack200-gzip", b"\x1f\x8b")),
    ]
}

/// The call that reads results, and the number of its calls without a fault.
fn reading(subject: &Subject) -> (Operation, u32) {
    match subject.name {
        "google inline" => (Operation::Status, 2),
        _ => (Operation::Content, 0),
    }
}

/// Returns a complaint if neither the run's error nor its cause names the encoding.
fn not_said(ended: &Ended) -> Option<String> {
    let mut causes: Vec<String> = Vec::new();
    let first = ended.result.as_ref().err();
    let mut next = first.map(|error| error as &dyn std::error::Error);
    while let Some(error) = next {
        causes.push(error.to_string());
        next = error.source();
    }
    let is_said = causes.iter().any(|cause| cause.contains("encoded as"));
    (!is_said).then(|| format!("not said: {causes:?}"))
}

#[tokio::test]
async fn compressed_results_stop_the_run_with_an_error_that_names_the_encoding() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        let (operation, skip) = reading(subject);
        for (what, kind) in answers() {
            for times in [1, u32::MAX] {
                let trial = Trial::start(subject).await;
                trial.emulator.add_fault(Fault {
                    skip,
                    ..Fault::times(operation, times, kind.clone())
                });
                let cell = format!("{} {what} {times} times", subject.name);
                let ended = trial.go().await;
                let complaint = match times {
                    1 if operation == Operation::Content => trial.not_whole(&ended),
                    1 => None,
                    _ => ended
                        .result
                        .is_ok()
                        .then(|| ended.words())
                        .or_else(|| not_said(&ended)),
                };
                broken.note(&cell, trial.overpaid().or(complaint));
                trial.emulator.clear_faults();
                let ended = trial.go().await;
                let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
                broken.note(format!("{cell}, resumed"), complaint);
            }
        }
    }
    broken.end();
}
