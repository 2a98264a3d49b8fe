//! Clauses about rows that are easily paid for twice: an answer beside a failure, a failure without a known reason, a
//! row that is not JSON, and batches that ended before a row was written. Of edition 2026-11.

use lmbatch_core::{BatchStatus, Outcome};
use serde_json::Value;

use crate::full_row::FullRow;
use crate::kit::Kit;
use crate::wire::Shape;

const DONE: BatchStatus = BatchStatus::Completed;

/// A batch that was cancelled or that expired before a request was answered has no results, and says so: `complete`
/// without parts. Results are still to come only of a completed batch.
pub async fn a_batch_that_ended_without_answers_is_complete(kit: &Kit) {
    for status in [BatchStatus::Cancelled, BatchStatus::Expired] {
        if !kit.wire.statuses().contains(&status) {
            continue;
        }
        let open = kit.open_three().await;
        let mut parts = Vec::new();
        if !kit.wire.shows_results() {
            // What is there without a sign of it is there and empty.
            let part = open.yes(0, "one").0;
            open.desk.put_rows(part, Vec::new());
            parts.push(part);
        }
        open.end_with(status.clone(), parts, 0);
        let word = status.as_str();
        assert_eq!(open.told().await, [word, word, word]);
    }
}

/// A row that holds an answer beside a failure that may pass is the answer: it was paid for, and to ask again would be
/// paid for too.
pub async fn an_answer_beside_a_failure_is_the_answer(kit: &Kit) {
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
    assert_eq!(open.told().await, ["one", "two", "three"]);
}

/// A value whose members that are null or absent are those of another.
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

/// A failure for a reason that the documentation does not name is not asked again: it may fail, and cost, each time.
/// Where failures have no reasons ([`Wire::full_row`](crate::Wire::full_row) is `None`), a failure is a failure.
pub async fn an_unknown_failure_is_not_asked_again(kit: &Kit) {
    let open = kit.open_three().await;
    let unknown = open.full(0, &FullRow::Unknown("words-canary".to_owned()));
    let is_known = unknown.is_none();
    let row = unknown.unwrap_or_else(|| open.no(0, "words-canary"));
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    let outcome = open.outcomes().await["a"].clone();
    let Outcome::Errored(error) = outcome else {
        panic!("a failure is {}", outcome.status());
    };
    assert!(
        is_known || !error.is_retryable(),
        "it is asked again: {error}"
    );
}

/// A row that is not JSON behind its id, such as by a `NaN` or a raw control character, is that request's error and is
/// not asked again, since it was paid for. In a document such a row may make an error of the whole, and is no outcome.
pub async fn a_row_that_is_no_json_is_its_requests_error(kit: &Kit) {
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
            panic!("{spoilt:?} is {}", outcomes["a"].status());
        };
        assert!(!error.is_retryable(), "{spoilt:?} is asked again: {error}");
        let rest = ["b", "c"].map(|id| outcomes[id].as_result().map(|answer| answer.text()).ok());
        assert_eq!(rest, [Some("two".to_owned()), Some("three".to_owned())]);
    }
}
