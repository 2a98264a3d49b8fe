//! Clauses about rows that are easily paid for twice: an answer with a failure, a failure without a known reason, a
//! row that is not JSON, and batches that ended before any row was written. Part of edition 2026-11.

use lmbatch_core::{BatchStatus, Outcome};
use serde_json::Value;

use crate::full_row::FullRow;
use crate::kit::Kit;
use crate::wire::Shape;

const DONE: BatchStatus = BatchStatus::Completed;

/// A batch that was cancelled or expired before any request was answered has no results and says so: `complete`
/// without parts. Only a completed batch may have results that are still to come.
pub async fn a_batch_that_ended_without_answers_is_complete(kit: &Kit) {
    for status in [BatchStatus::Cancelled, BatchStatus::Expired] {
        if !kit.wire.statuses().contains(&status) {
            continue;
        }
        let open = kit.open_three().await;
        let mut parts = Vec::new();
        if !kit.wire.shows_results() {
            // A part that a batch never shows exists and is empty.
            let part = open.yes(0, "one").0;
            open.desk.put_rows(part, Vec::new());
            parts.push(part);
        }
        open.end_with(status.clone(), parts, 0);
        let word = status.as_str();
        assert_eq!(open.texts().await, [word, word, word]);
    }
}

/// A row with both an answer and a temporary failure is the answer: it was paid for, and a retry would be paid for
/// again.
pub async fn an_answer_takes_precedence_over_a_failure(kit: &Kit) {
    let open = kit.open_three().await;
    let (part, row) = open.yes(0, "one");
    let (_, failure) = open.no(0, "words");
    let [row, failure] =
        [row, failure].map(|row| serde_json::from_slice::<Value>(&row).expect("a row is JSON"));
    let both = filled(row, &failure).to_string().into_bytes();
    open.end(
        DONE,
        &[(part, both), open.yes(1, "two"), open.yes(2, "three")],
    );
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// Replaces null and absent members of `value` by those of `from`.
fn filled(value: Value, from: &Value) -> Value {
    match (value, from) {
        (Value::Null, from) => from.clone(),
        (Value::Object(mut members), Value::Object(others)) => {
            for (name, other) in others {
                let member = members.entry(name.as_str()).or_insert(Value::Null);
                *member = filled(member.take(), other);
            }
            Value::Object(members)
        }
        (value, _) => value,
    }
}

/// A failure for an undocumented reason is not retryable: it may fail, and cost money, each time. Where failures carry
/// no reason ([`Wire::full_row`](crate::Wire::full_row) is `None`), the clause does not apply.
pub async fn an_unknown_failure_is_not_retryable(kit: &Kit) {
    let open = kit.open_three().await;
    let unknown = open.full(0, &FullRow::Unknown("words-canary".to_owned()));
    let is_known = unknown.is_none();
    let row = unknown.unwrap_or_else(|| open.no(0, "words-canary"));
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    let outcome = open.outcomes().await["a"].clone();
    let Outcome::Errored(error) = outcome else {
        panic!("a failure became {}", outcome.status());
    };
    assert!(
        is_known || !error.is_retryable(),
        "the failure is retryable: {error}"
    );
}

/// A row that stops being JSON after its id, such as with a `NaN` or a raw control character, is an error of its
/// request and not retryable, since it was paid for. In a document such a row may fail the whole document, and yields
/// no outcome.
pub async fn a_row_that_is_not_json_is_an_error_of_its_request(kit: &Kit) {
    for spoilt in ["NaN", "\"text-\u{1}canary\""] {
        let open = kit.open_three().await;
        let (part, row) = open.yes(0, "text-canary");
        let text = String::from_utf8(row).expect("a row is text");
        let broken = text.replace("\"text-canary\"", spoilt);
        assert_ne!(broken, text, "a row holds the text of its answer");
        let row = (part, broken.into_bytes());
        open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
        let outcomes = match open.retrieve().await {
            Err(_) if open.shape() == Shape::Document => continue,
            outcomes => outcomes.unwrap_or_else(|error| panic!("{spoilt:?}: {error}")),
        };
        let Outcome::Errored(error) = &outcomes["a"] else {
            panic!("{spoilt:?} became {}", outcomes["a"].status());
        };
        assert!(!error.is_retryable(), "{spoilt:?} is retryable: {error}");
        let rest = ["b", "c"].map(|id| outcomes[id].as_result().map(|answer| answer.text()).ok());
        assert_eq!(rest, [Some("two".to_owned()), Some("three".to_owned())]);
    }
}
