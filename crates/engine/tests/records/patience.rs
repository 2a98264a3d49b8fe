//! Patience for late results counts from the end of the first reading: a download that takes longer than the patience
//! is read a second time before anything is given up.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Retry};
use lmbatch_engine::LMInvoker;
use lmbatch_testing::{Script, TestClock, TestRng};

use super::world::{ASKED, World, on_the_wire, outcomes_of};
use crate::slow::Slow;

const A: &[u8] = b"{\"id\":\"a\",\"text\":\"one\"}\n";
const B: &[u8] = b"{\"id\":\"b\",\"text\":\"two\"}\n";
const C: &[u8] = b"{\"id\":\"c\",\"text\":\"three\"}\n";

/// Time of a download, twice the patience.
const TAKES: Duration = Duration::from_secs(1800);

/// Returns a world in which each download takes [`TAKES`].
fn slow(script: Script) -> World {
    let clock = Arc::new(TestClock::default());
    let mut world = World::at_shared(clock.clone(), script);
    let provider = Slow {
        inner: world.provider.clone(),
        clock: clock.clone(),
        call: "read",
        takes: TAKES,
    };
    world.invoker = LMInvoker::new(provider, "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .record(world.ledger.clone(), world.spool.clone());
    world
}

#[tokio::test]
async fn a_slow_download_that_was_damaged_or_incomplete_is_read_again() {
    for (first, what) in [
        (vec![A, b"{\"id\":\"b\",\"text\":NaN}\n", C], "damaged"),
        (vec![A, C], "a row is missing"),
        (vec![A, B, b"{\"id\":\"c\",\"te"], "truncated"),
        (vec![b"<html>busy</html>"], "a web page"),
    ] {
        let world = slow(Script {
            first_rows: Some(on_the_wire(&first).await),
            ..Script::default()
        });
        let output = world.run(&ASKED).await.unwrap();
        let outcomes = outcomes_of(&output).await;
        assert_eq!(outcomes, ["a: one", "b: two", "c: three"], "{what}");
        assert_eq!(world.provider.times("read"), [0, 1805], "{what}");
        assert_eq!(world.provider.accepted(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_slow_download_that_stays_incomplete_is_read_twice_and_then_an_error() {
    let world = slow(Script {
        rows: Some(on_the_wire(&[A, C]).await),
        counts: Some(lmbatch_core::RequestCounts {
            total: Some(3),
            succeeded: 3,
            ..lmbatch_core::RequestCounts::default()
        }),
        ..Script::default()
    });
    for reads in [2, 4] {
        let error = world.run(&ASKED).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(world.provider.times("read").len(), reads);
    }
    assert_eq!(world.provider.accepted(), 1);
}

#[tokio::test]
async fn a_row_that_stays_damaged_is_sealed_after_two_readings() {
    // The list of the results is late: asking for it is no reading.
    for late_results in [0, 5] {
        let world = slow(Script {
            late_results,
            rows: Some(on_the_wire(&[A, b"{\"id\":\"b\",\"text\":NaN}\n", C]).await),
            ..Script::default()
        });
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        let outcomes = outcomes_of(&output).await;
        assert_eq!(outcomes, ["a: one", "b: errored", "c: three"]);
        assert_eq!(world.provider.times("read").len(), 2, "{late_results}");
        assert_eq!(world.provider.accepted(), 1);
    }
}

#[tokio::test]
async fn results_that_are_listed_late_and_damaged_once_are_read_again() {
    let world = World::new(Script {
        late_results: 5,
        first_rows: Some(on_the_wire(&[A, b"{\"id\":\"b\",\"text\":NaN}\n", C]).await),
        ..Script::default()
    });
    let output = world.run(&ASKED).await.unwrap();
    let outcomes = outcomes_of(&output).await;
    assert_eq!(outcomes, ["a: one", "b: two", "c: three"]);
}

#[tokio::test]
async fn a_slow_download_that_breaks_off_is_read_again() {
    let broken = || {
        Error::new(ErrorKind::Connection)
            .with_retry(Retry::Temporary)
            .with_message("reset")
    };
    // More failures than one reading makes attempts.
    let world = slow(Script {
        reads: std::iter::repeat_with(broken).take(8).collect(),
        ..Script::default()
    });
    let output = world.run(&ASKED).await.unwrap();
    let outcomes = outcomes_of(&output).await;
    assert_eq!(outcomes, ["a: one", "b: two", "c: three"]);
    assert_eq!(world.provider.accepted(), 1);
}
