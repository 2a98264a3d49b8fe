//! Creates with ambiguous responses: every form of them, on every provider, with zero, one or two other batches of the
//! same size, and with and without lagging lists.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use lmbatch::{DoubtPolicy, ErrorKind};
use lmbatch_emulator::{Emulator, Fault, FaultKind, Limits, Operation, Pace};
use lmbatch_tests::{SUBJECTS, Subject};

const ASKED: [(&str, &str); 2] = [("a", "one"), ("b", "two")];

/// Accepted creates with responses that do not say so.
fn shapes() -> Vec<FaultKind> {
    let after = |code: u16, body: &str| FaultKind::status_after(code, body);
    let page = "<html><body>Bad gateway</body></html>";
    let mut shapes: Vec<FaultKind> = [
        408, 409, 425, 499, 500, 502, 503, 504, 520, 521, 524, 525, 529,
    ]
    .map(|code| after(code, page))
    .into();
    shapes.extend([
        after(200, page),
        after(200, "{}"),
        after(200, "[]"),
        after(201, ""),
        after(302, ""),
        FaultKind::ResetAfter,
        FaultKind::Truncate { bytes: 0 },
        FaultKind::Truncate { bytes: 1 },
        FaultKind::Truncate { bytes: 25 },
    ]);
    shapes
}

async fn lost(subject: &Subject, shape: &FaultKind, others: u64, lag: Duration) {
    let limits = Limits {
        list_lag: lag,
        ..Limits::default()
    };
    let emulator = Emulator::builder().pace(Pace::INSTANT).limits(limits);
    let emulator = emulator.start().await.unwrap();
    let looks = [0, 2, 4, 8, 16].map(Duration::from_millis).to_vec();
    let invoker = subject
        .invoker(&emulator)
        .doubt(DoubtPolicy { waits: looks });
    let prepared = invoker.batch().create(ASKED).prepare().await.unwrap();
    for _ in 0..others {
        subject
            .invoker(&emulator)
            .batch()
            .create(ASKED)
            .await
            .unwrap();
    }
    emulator.add_fault(Fault::once(Operation::Create, shape.clone()));
    let found = invoker.batch().create(ASKED).find_or_create(prepared).await;
    let at = format!(
        "{}: {shape:?}, {others} other batches, a list {lag:?} behind",
        subject.name
    );
    let paid = emulator.bill().creates;
    assert_eq!(paid, others + 1, "{at}: {found:?}");
    match found {
        Ok(handle) => {
            let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
            assert_eq!(
                outcomes["a"].as_result().unwrap().text(),
                "echo: one",
                "{at}"
            );
        }
        // Every doubt is reported, and only where no labels exist.
        Err(error) => {
            assert_eq!(
                (error.kind(), subject.provider),
                (ErrorKind::Doubt, "anthropic"),
                "{at}: {error}"
            );
            assert!(others > 0, "{at}: {error}");
        }
    }
}

/// Runs every form on the provider and route with the given index.
async fn paid_once(place: usize) {
    for shape in shapes() {
        for others in [0, 1, 2] {
            for lag in [Duration::ZERO, Duration::from_millis(6)] {
                lost(&SUBJECTS[place], &shape, others, lag).await;
            }
        }
    }
}

#[tokio::test]
async fn a_create_with_an_ambiguous_response_is_paid_for_once_on_openai() {
    paid_once(0).await;
}

#[tokio::test]
async fn a_create_with_an_ambiguous_response_is_paid_for_once_on_anthropic() {
    paid_once(2).await;
}

#[tokio::test]
async fn a_create_with_an_ambiguous_response_is_paid_for_once_on_google_by_file() {
    paid_once(3).await;
}

#[tokio::test]
async fn a_create_with_an_ambiguous_response_is_paid_for_once_on_google_inline() {
    paid_once(4).await;
}
