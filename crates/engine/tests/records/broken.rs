//! Rows that are not JSON but have a readable id: they belong to their request, and are never paid
//! for again.

use std::time::Duration;

use lmbatch_core::ErrorKind;
use lmbatch_engine::{AnswerView, RunOptions};
use lmbatch_testing::{Script, TestClock};

use super::world::{ASKED, World, on_the_wire, outcomes_of, read, wire_ids};

const BROKEN: &[(&[u8], &str, &str)] = &[
    (
        b"{\"id\":\"a\",\"text\":NaN}\n",
        "NaN",
        r#""{\"id\":\"a\",\"text\":NaN}""#,
    ),
    (
        b"{\"id\":\"a\",\"text\":\"\x01\"}\n",
        "a control character",
        r#""{\"id\":\"a\",\"text\":\"\u0001\"}""#,
    ),
    (
        b"{\"id\":\"a\",\"text\":\"\xff\"}\n",
        "no UTF-8",
        r#"{"base64":"eyJpZCI6ImEiLCJ0ZXh0Ijoi/yJ9"}"#,
    ),
    (
        b"{\"id\":\"a\",\"te\n",
        "cut within",
        r#""{\"id\":\"a\",\"te""#,
    ),
    (
        b"{\"text\":Infinity,\"id\":\"a\"}\n",
        "the id after it",
        r#""{\"text\":Infinity,\"id\":\"a\"}""#,
    ),
];

const OTHERS: &[u8] = b"{\"id\":\"b\",\"text\":\"two\"}\n{\"id\":\"c\",\"text\":\"three\"}\n";

#[tokio::test]
async fn a_row_that_stays_truncated_ends_as_a_malformed_answer_at_any_pace_of_the_clock() {
    let cut = b"{\"id\":\"a\",\"te\n".as_slice();
    let rows = on_the_wire(&[cut, OTHERS]).await;
    for each_look in (1..400).map(|step| Duration::from_millis(37 * step)) {
        let script = Script {
            rows: Some(rows.clone()),
            ..Script::default()
        };
        let world = World::at(TestClock::moving(each_look), script);
        let output = world.run(&ASKED).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: errored", "b: two", "c: three"],
            "{each_look:?}"
        );
    }
}

#[tokio::test]
async fn a_row_with_a_readable_id_is_a_malformed_answer_whose_bytes_are_kept() {
    for (row, what, raw) in BROKEN {
        let world = World::new(Script {
            rows: Some(on_the_wire(&[row, OTHERS]).await),
            ..Script::default()
        });
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: errored", "b: two", "c: three"],
            "{what}"
        );
        assert_eq!(world.provider.accepted(), 1, "{what}");
        // A row that was damaged in transfer is complete when it is read again.
        let reads = world.provider.times("read");
        match *what {
            // A truncated row is awaited as long as missing results are.
            "cut within" => assert!(reads.len() > 5 && reads[..2] == [0, 5], "{reads:?}"),
            _ => assert_eq!(reads, [0, 5], "{what}"),
        }
        let engine = world.engine();
        let finished = engine
            .resume(&world.record().await, RunOptions::default())
            .await
            .unwrap();
        let mut reader = engine.outcomes(&finished).unwrap();
        let first = reader.next().unwrap().unwrap();
        let AnswerView::Row {
            outcome: lmbatch_core::OutcomeView::Errored(failure),
            ..
        } = &first.answer
        else {
            panic!("{what}")
        };
        assert_eq!(failure.kind, ErrorKind::MalformedAnswer, "{what}");
        let mut shown = Vec::new();
        first.raw.unwrap().write_json(&mut shown);
        let shown = String::from_utf8(shown).unwrap();
        match shown.contains("base64") {
            true => assert!(raw.contains("base64"), "{what}: {shown}"),
            false => assert_eq!(shown.replace(&wire_ids().await[0], "a"), *raw, "{what}"),
        }
    }
}

#[tokio::test]
async fn a_row_that_was_damaged_in_transfer_is_read_again() {
    for (row, what, _) in BROKEN {
        let world = World::new(Script {
            first_rows: Some(on_the_wire(&[row, OTHERS]).await),
            ..Script::default()
        });
        let output = world.run(&ASKED).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: one", "b: two", "c: three"],
            "{what}"
        );
    }
}

/// A row without its line end may be complete at the provider: nothing of it is accepted.
#[tokio::test]
async fn a_truncated_last_row_is_read_again() {
    for cut in [
        &b"{\"id\":\"c\",\"text\":\"th"[..],
        b"{\"id\":\"c\"",
        b"{\"id\":\"c\",\"text\":NaN}",
    ] {
        let whole = b"{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":\"two\"}\n";
        let world = World::new(Script {
            first_rows: Some(on_the_wire(&[whole, cut]).await),
            ..Script::default()
        });
        let output = world.run(&ASKED).await.unwrap();
        assert_eq!(outcomes_of(&output).await, ["a: one", "b: two", "c: three"]);
        assert_eq!(world.provider.accepted(), 1);
    }
}

#[tokio::test]
async fn lone_surrogates_of_an_answer_are_replaced_and_counted() {
    for (text, expected, replaced) in [
        (r"A\ud83d B", "A\u{fffd} B", 1),
        (r"\ude00", "\u{fffd}", 1),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}", 1),
        (r"\ud83d\ude00", "\u{1f600}", 0),
        (r"\\ud83d", r"\ud83d", 0),
        (r"\ud83d\ud83d", "\u{fffd}\u{fffd}", 2),
    ] {
        let row = format!("{{\"id\":\"a\",\"text\":\"{text}\"}}\n");
        let world = World::new(Script {
            rows: Some(on_the_wire(&[row.as_bytes(), OTHERS]).await),
            ..Script::default()
        });
        world.run(&ASKED).await.unwrap();
        let engine = world.engine();
        let finished = engine
            .resume(&world.record().await, RunOptions::default())
            .await
            .unwrap();
        assert_eq!(read(engine, &finished)[0], format!("a: {expected}"));
        let mut reader = engine.outcomes(&finished).unwrap();
        let first = reader.next().unwrap().unwrap();
        assert_eq!(first.replaced, replaced, "{text}");
        let raw = on_the_wire(&[row.trim_end().as_bytes()]).await;
        assert_eq!(first.raw.unwrap().as_bytes(), raw);
        assert_eq!(world.provider.times("read"), [0], "it is JSON");
    }
}
