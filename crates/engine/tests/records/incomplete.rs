//! Results that end within a row, or hold rows without a readable id: what they may have answered is
//! not paid for again.

use lmbatch_core::{ErrorKind, RequestCounts};
use lmbatch_engine::OnDoubt;
use lmbatch_testing::Script;

use super::world::{ASKED, World, on_the_wire, outcomes_of};

const A: &[u8] = b"{\"id\":\"a\",\"text\":\"one\"}\n";
const B: &[u8] = b"{\"id\":\"b\",\"text\":\"two\"}\n";
const C: &[u8] = b"{\"id\":\"c\",\"text\":\"three\"}\n";

/// Returns counts of a provider for a batch of three whose results are truncated.
fn counted() -> [RequestCounts; 5] {
    let counts = |total, succeeded| RequestCounts {
        total,
        succeeded,
        ..RequestCounts::default()
    };
    [
        counts(None, 0),
        counts(Some(3), 0),
        counts(Some(3), 1),
        counts(Some(3), 2),
        counts(Some(3), 3),
    ]
}

/// Ends of the results within the row of b, each with the outcome of b if no further bytes come.
const ENDS: [(&[u8], &str); 4] = [
    (b"{\"id\":\"b\",\"text\":\"tw", "b: errored"),
    (b"{\"id\":\"b\"", "b: errored"),
    (b"{\"id\":\"b\",\"text\":{\"x\":NaN}", "b: errored"),
    (b"{\"id\":\"b", "b: missing"),
];

#[tokio::test]
async fn results_that_end_within_a_row_are_read_again_for_any_counts() {
    for counts in counted() {
        for (end, _) in ENDS {
            let world = World::new(Script {
                first_rows: Some(on_the_wire(&[A, end]).await),
                counts: Some(counts),
                ..Script::default()
            });
            let output = world.run(&ASKED).max_attempts(3).await.unwrap();
            let shown = format!("{counts:?} {}", String::from_utf8_lossy(end));
            assert_eq!(
                outcomes_of(&output).await,
                ["a: one", "b: two", "c: three"],
                "{shown}"
            );
            assert_eq!(world.provider.accepted(), 1, "{shown}");
        }
    }
}

#[tokio::test]
async fn results_that_stay_truncated_are_an_error_and_never_paid_for_again() {
    for counts in counted() {
        for (end, of_b) in ENDS {
            let script = || async {
                World::new(Script {
                    rows: Some(on_the_wire(&[A, end]).await),
                    counts: Some(counts),
                    ..Script::default()
                })
            };
            let shown = format!("{counts:?} {}", String::from_utf8_lossy(end));
            let world = script().await;
            let held = world.run(&ASKED).max_attempts(3).await.unwrap_err();
            assert_eq!(held.kind(), ErrorKind::Timeout, "{shown}: {held}");
            assert_eq!(world.provider.accepted(), 1, "{shown}");
            let mut world = script().await;
            world.invoker = world.invoker.on_doubt(OnDoubt::Abandon);
            let output = world.run(&ASKED).max_attempts(3).await.unwrap();
            let outcomes = outcomes_of(&output).await;
            assert_eq!(outcomes, ["a: one", of_b, "c: missing"], "{shown}");
            assert_eq!(world.provider.accepted(), 1, "{shown}");
        }
    }
}

#[tokio::test]
async fn a_row_without_a_readable_id_may_answer_a_request_without_a_row() {
    for row in [
        &b"{\"text\":\"one\"}\n"[..],
        b"{\"id\":null,\"text\":\"one\"}\n",
        b"{\"id\":7,\"text\":\"one\"}\n",
        b"{\"text\":NaN}\n",
        b"{\"id\":\"\\ud800\",\"text\":\"one\"}\n",
        b"{\"id\":\" A \",\"text\":\"one\"}\n",
    ] {
        let shown = String::from_utf8_lossy(row).into_owned();
        let script = |rows, first_rows| Script {
            rows,
            first_rows,
            counts: Some(RequestCounts {
                total: Some(3),
                succeeded: 2,
                ..RequestCounts::default()
            }),
            ..Script::default()
        };
        let rows = on_the_wire(&[row, B, C]).await;
        let world = World::new(script(None, Some(rows.clone())));
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: one", "b: two", "c: three"],
            "{shown}"
        );
        let world = World::new(script(Some(rows), None));
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: missing", "b: two", "c: three"],
            "{shown}"
        );
        assert_eq!(world.provider.accepted(), 1, "{shown}");
        assert_eq!(world.provider.times("read").len(), 2, "{shown}");
    }
}

/// Fewer counted answers than rows do not prove that the request without a row was not answered.
#[tokio::test]
async fn counts_below_the_rows_cause_no_requeue() {
    let world = World::new(Script {
        rows: Some(on_the_wire(&[A, B]).await),
        counts: Some(RequestCounts {
            total: Some(3),
            succeeded: 1,
            ..RequestCounts::default()
        }),
        ..Script::default()
    });
    let output = world.run(&ASKED).max_attempts(3).await.unwrap();
    assert_eq!(
        outcomes_of(&output).await,
        ["a: one", "b: two", "c: missing"]
    );
    assert_eq!(world.provider.accepted(), 1);
}

/// A request that the counts do not count as answered, with complete rows of the others, is sent
/// again.
#[tokio::test]
async fn a_request_that_the_counts_show_as_unanswered_is_sent_again() {
    let rows = on_the_wire(&[A, B]).await;
    let world = World::new(Script {
        rows_of: Some(("b1".into(), rows)),
        counts: Some(RequestCounts {
            total: Some(3),
            succeeded: 2,
            ..RequestCounts::default()
        }),
        ..Script::default()
    });
    world.run(&ASKED).max_attempts(2).await.ok();
    assert_eq!(world.provider.accepted(), 2);
}

#[tokio::test]
async fn an_unreadable_answer_outranks_a_retryable_error() {
    let paid: &[u8] = b"{\"id\":\"a\",\"text\":NaN}\n";
    for other in [
        &b"{\"id\":\"a\",\"error\":\"server_error\"}\n"[..],
        b"{\"id\":\"a\",\"error\":\"expired\"}\n",
    ] {
        for rows in [
            [other, paid, B, C],
            [paid, other, B, C],
            [B, C, other, paid],
        ] {
            let world = World::new(Script {
                rows: Some(on_the_wire(&rows).await),
                ..Script::default()
            });
            let output = world.run(&ASKED).max_attempts(3).await.unwrap();
            assert_eq!(
                outcomes_of(&output).await,
                ["a: errored", "b: two", "c: three"]
            );
            assert_eq!(world.provider.accepted(), 1);
        }
    }
}

/// The row says that the request expired, but the counts say that it was answered: it is sent again
/// only on request.
#[tokio::test]
async fn an_expired_request_that_is_counted_as_answered_is_not_sent_again() {
    let rows = on_the_wire(&[b"{\"id\":\"a\",\"error\":\"expired\"}\n", B, C]).await;
    for (succeeded, batches) in [(3, 1), (2, 2)] {
        let mut world = World::new(Script {
            rows_of: Some(("b1".into(), rows.clone())),
            counts: Some(RequestCounts {
                total: Some(3),
                succeeded,
                ..RequestCounts::default()
            }),
            ..Script::default()
        });
        world.invoker = world.invoker.on_doubt(OnDoubt::Abandon);
        world.run(&ASKED).max_attempts(2).await.unwrap();
        assert_eq!(world.provider.accepted(), batches, "{succeeded}");
    }
}
