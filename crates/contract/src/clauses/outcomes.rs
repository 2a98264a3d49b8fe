//! Clauses about outcomes: each request has exactly one, for any form of the results.

use lmbatch_core::{
    BatchCodec, BatchStatus, ErrorKind, Outcome, PartRole, ResultPart, RowReader, Text,
};

use crate::kit::{Kit, Open};
use crate::mangle::{turned_round, with_unknown_members};
use crate::wire::{Part, Row, Shape};

const DONE: BatchStatus = BatchStatus::Completed;

/// Answers are returned byte for byte, with letters of any script, quotes, and characters that some parsers take for a
/// line end.
pub async fn answers_are_returned_byte_for_byte(kit: &Kit) {
    let open = kit.open_three().await;
    let texts = [
        "größe 日本語 🦀 \"quoted\" \\",
        "a\nb\r\nc\td",
        "e\u{2028}f\u{2029}g\u{85}h\u{1}",
    ];
    let rows: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(place, text)| open.yes(place, text))
        .collect();
    open.end(DONE, &rows);
    assert_eq!(open.texts().await, texts);
}

/// A failed row is an error of its own request, with the provider's message; other requests are not affected.
pub async fn an_errored_row_is_one_errored_outcome(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[
            open.yes(0, "one"),
            open.no(1, "the words"),
            open.yes(2, "three"),
        ],
    );
    let outcomes = open.outcomes().await;
    let Outcome::Errored(error) = &outcomes["b"] else {
        panic!("{:?}", outcomes["b"].status());
    };
    assert_eq!(error.message(), Some("the words"));
    assert!(outcomes["a"].as_result().is_ok() && outcomes["c"].as_result().is_ok());
}

/// Rows may arrive in any order; outcomes are returned in the order of the requests.
pub async fn rows_may_arrive_in_any_order(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[open.yes(2, "three"), open.yes(0, "one"), open.yes(1, "two")],
    );
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// A request that has two rows in the results has one outcome, from the first answer.
pub async fn a_repeated_row_counts_once(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[
            open.yes(0, "one"),
            open.yes(1, "two"),
            open.yes(0, "again"),
            open.yes(2, "three"),
        ],
    );
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// A request without a row is missing, and never gets the answer of another request.
pub async fn a_request_without_a_row_is_missing(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(DONE, &[open.yes(0, "one"), open.yes(2, "three")]);
    assert_eq!(open.given_up().await, ["one", "missing", "three"]);
}

/// Rows with unknown ids are ignored.
pub async fn rows_with_unknown_ids_are_ignored(kit: &Kit) {
    let open = kit.open_three().await;
    let stranger = open.row_of("stranger", &Row::Succeeded("unrelated".to_owned()));
    let rows = [
        stranger,
        open.yes(0, "one"),
        open.yes(1, "two"),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// A row that cannot be read affects one outcome at most: the rows around it are read.
pub async fn a_malformed_row_does_not_affect_other_rows(kit: &Kit) {
    // A document with a row that is not JSON is not JSON itself.
    let strange: &[&str] = &[
        "42",
        "null",
        "\"not a row\"",
        "[]",
        "{}",
        "{\"x\":[1,null]}",
    ];
    let broken: &[&str] = &[
        "{",
        "not JSON",
        "{\"a\":\"b",
        "\u{fffd}",
        "{\"a\":1}}",
        "\u{0}",
    ];
    let open = kit.open_three().await;
    let more = match open.shape() {
        Shape::Lines => broken,
        Shape::Document => &[],
    };
    let good = open.yes(0, "one");
    let mut rows = vec![good.clone()];
    rows.extend(
        strange
            .iter()
            .chain(more)
            .map(|row| (good.0, row.as_bytes().to_vec())),
    );
    rows.push(open.yes(2, "three"));
    open.end(DONE, &rows);
    assert_eq!(open.given_up().await, ["one", "missing", "three"]);
}

/// A row whose id can be read and whose answer cannot is an error of its request, never an empty answer.
pub async fn a_row_with_only_an_id_is_an_error(kit: &Kit) {
    let open = kit.open_three().await;
    let (part, row) = open.yes(0, "one");
    let id = open.wire_ids[0].as_str();
    let bare = bare(serde_json::from_slice(&row).expect("a row is JSON"), id);
    let rows = [
        (part, bare.to_string().into_bytes()),
        open.yes(1, "two"),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    let texts = open.given_up().await;
    assert!(
        ["errored", "missing"].contains(&texts[0].as_str()),
        "{texts:?}"
    );
    assert_eq!(texts[1..], ["two", "three"]);
}

/// Returns the row with its id kept and every other member set to null.
fn bare(row: serde_json::Value, id: &str) -> serde_json::Value {
    use serde_json::Value;
    fn holds(value: &Value, id: &str) -> bool {
        match value {
            Value::String(text) => text == id,
            Value::Object(object) => object.values().any(|one| holds(one, id)),
            _ => false,
        }
    }
    match row {
        Value::Object(object) => object
            .into_iter()
            .map(|(name, one)| {
                let kept = if holds(&one, id) { one } else { Value::Null };
                (name, kept)
            })
            .collect(),
        other => other,
    }
}

/// Unknown members in any object of a row, and the order of members, are ignored.
pub async fn unknown_members_of_a_row_are_ignored(kit: &Kit) {
    let open = kit.open_three().await;
    let change = |(part, row): (Part, Vec<u8>)| {
        let row = serde_json::from_slice(&row).expect("a row is JSON");
        let row = turned_round(with_unknown_members(row));
        (part, row.to_string().into_bytes())
    };
    open.end(
        DONE,
        &[
            change(open.yes(0, "one")),
            change(open.no(1, "words")),
            change(open.yes(2, "three")),
        ],
    );
    assert_eq!(open.texts().await, ["one", "errored", "three"]);
}

/// Returns whether the provider lacks a status. Checks that it then has no word for it either.
fn lacks(kit: &Kit, status: &BatchStatus) -> bool {
    let lacks = !kit.wire.statuses().contains(status);
    let mut words = kit.wire.words().into_iter();
    assert!(
        !lacks || words.all(|(_, meant)| meant != *status),
        "a word means {status}, which the statuses lack"
    );
    lacks
}

/// Requests answered before a batch expired were paid for, and their answers are returned; the others are expired.
/// Providers without this status are exempt.
pub async fn an_expired_batch_returns_its_answers(kit: &Kit) {
    if lacks(kit, &BatchStatus::Expired) {
        return;
    }
    let open = kit.open_three().await;
    open.end(BatchStatus::Expired, &[open.yes(1, "two")]);
    assert_eq!(open.texts().await, ["expired", "two", "expired"]);
}

/// Requests answered before a batch was cancelled were paid for, and their answers are returned; the others are
/// cancelled. Providers without this status are exempt.
pub async fn a_cancelled_batch_returns_its_answers(kit: &Kit) {
    if lacks(kit, &BatchStatus::Cancelled) {
        return;
    }
    let open = kit.open_three().await;
    open.end(BatchStatus::Cancelled, &[open.yes(1, "two")]);
    assert_eq!(open.texts().await, ["cancelled", "two", "cancelled"]);
}

/// `scan` and `decode` agree on every row: both can read it, with the same id, or neither can. The only difference
/// allowed is a row that `scan` takes for succeeded and `decode` for an error.
pub async fn scan_and_decode_agree(kit: &Kit) {
    let open = kit.open_three().await;
    let adapter = kit.adapter(&open.desk);
    let mut rows = vec![open.yes(0, "one").1, open.no(1, "words").1];
    let whole = rows[0].clone();
    rows.extend((0..whole.len()).step_by(7).map(|end| whole[..end].to_vec()));
    rows.extend(["{}", "null", "42", "[]", "\u{0}"].map(|row| row.as_bytes().to_vec()));
    for (place, row) in rows.iter().enumerate() {
        agree(adapter.codec(), &open, row, place < 2);
    }
}

fn agree(codec: &dyn BatchCodec, open: &Open, row: &[u8], readable: bool) {
    let shape = match open.shape() {
        Shape::Lines => "row",
        Shape::Document => "inline",
    };
    let part = ResultPart {
        batch: open.handle.batch.clone(),
        name: "part".into(),
        role: PartRole::Mixed,
        shape: shape.into(),
        bytes: None,
    };
    let text = String::from_utf8_lossy(row);
    let mut rows = RowReader::new();
    let row = rows.read(row);
    let Ok(scanned) = codec.scan(&part, row) else {
        return assert!(!readable, "a valid row must be readable: {text}");
    };
    let decoded = codec.decode(&part, row);
    let decoded = decoded.unwrap_or_else(|_| panic!("scan could read it: {text}"));
    let decode = |id: Option<Text<'_>>| id.map(|id| id.decode().into_owned());
    assert_eq!(decode(scanned.id), decode(decoded.id), "{text}");
    let verdict = decoded.outcome.verdict();
    let fell = scanned.verdict == lmbatch_core::Verdict::Succeeded;
    assert!(verdict == scanned.verdict || fell, "{text}: {verdict:?}");
}

/// The error of a row states whether a retry may help; a failure of the provider is retryable.
pub async fn a_failure_of_the_provider_is_retryable(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[
            open.yes(0, "one"),
            open.no(1, "words"),
            open.yes(2, "three"),
        ],
    );
    let outcomes = open.outcomes().await;
    let error = outcomes["b"].as_result().expect_err("an errored row");
    assert!(error.is_retryable(), "{error}");
    assert_ne!(error.kind(), ErrorKind::Missing);
}
