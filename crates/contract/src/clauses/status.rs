//! Clauses about the status of a batch.

use lmbatch_core::{BatchSnapshot, BatchStatus, ErrorKind, RequestCounts, Retry};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Says};
use crate::kit::Kit;
use crate::mangle::{
    members, numbers_as_strings, odd_values, remove, turned_round, with_unknown_members,
};
use crate::relay::Fault;
use crate::wire::{CallKind, Described};

async fn ask(kit: &Kit, desk: &Desk, batch: Described) -> BatchSnapshot {
    let id = desk.keep(batch);
    let adapter = kit.adapter(desk);
    let snapshot = adapter.status(&id).await;
    let snapshot = snapshot.unwrap_or_else(|error| panic!("the status failed: {error}"));
    assert_eq!(snapshot.id, id, "a snapshot must be of the requested batch");
    snapshot
}

/// Every status word of the provider's documentation has the meaning that the wire gives it.
pub async fn every_documented_status_is_understood(kit: &Kit) {
    let desk = kit.desk().await;
    for (number, (word, expected)) in kit.wire.words().into_iter().enumerate() {
        let batch = Described {
            status: BatchStatus::Unknown(word.to_owned()),
            ..kit.described(number as u32 + 1, expected.clone())
        };
        assert_eq!(ask(kit, &desk, batch).await.status, expected, "{word}");
    }
}

/// Every status that the provider can report is distinguished, by its word or by other members of the batch.
pub async fn every_status_is_distinguished(kit: &Kit) {
    let desk = kit.desk().await;
    let statuses = kit.wire.statuses();
    for needed in [BatchStatus::InProgress, BatchStatus::Completed] {
        assert!(
            statuses.contains(&needed),
            "the statuses of the wire must include {needed}"
        );
    }
    for (number, expected) in statuses.into_iter().enumerate() {
        let batch = kit.described(number as u32 + 1, expected.clone());
        assert_eq!(ask(kit, &desk, batch).await.status, expected);
    }
}

/// An undocumented status word is kept as `Unknown` and is not terminal: no results are given up for it.
pub async fn an_undocumented_status_is_unknown_and_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let mut batch = kit.described(1, BatchStatus::InProgress);
    batch.status = BatchStatus::Unknown("NAPPING_for_tea".to_owned());
    let status = ask(kit, &desk, batch).await.status;
    assert_eq!(status, BatchStatus::Unknown("NAPPING_for_tea".to_owned()));
    assert!(!status.is_terminal());
}

/// A batch that failed as a whole is a status, not an error of the call. Where the provider fails no batch as a whole,
/// a batch in which every request failed is not reported as failed.
pub async fn a_failed_batch_is_a_status_and_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let fails = kit.wire.statuses().contains(&BatchStatus::Failed);
    let mut batch = kit.described(1, BatchStatus::Failed);
    if !fails {
        batch.status = BatchStatus::Completed;
        batch.counts.errored = 3;
    }
    let snapshot = ask(kit, &desk, batch).await;
    assert!(snapshot.status.is_terminal());
    assert_eq!(snapshot.status == BatchStatus::Failed, fails);
}

/// Request counts are read: total, answered and failed. Where the provider reports no counts, none are invented.
pub async fn request_counts_are_read(kit: &Kit) {
    let desk = kit.desk().await;
    let batch = kit.described(1, BatchStatus::Completed);
    let counts = ask(kit, &desk, batch).await.counts;
    if kit.wire.counts_at().is_empty() {
        return assert_eq!(
            counts,
            RequestCounts::default(),
            "no counts may be invented"
        );
    }
    let expected = RequestCounts {
        total: Some(3),
        succeeded: 2,
        errored: 1,
        ..RequestCounts::default()
    };
    assert_eq!(counts, expected);
}

/// Absent request counts do not make the status unreadable.
pub async fn request_counts_may_be_absent(kit: &Kit) {
    counts_changed(kit, remove).await;
}

/// Request counts may be null, which some servers write for unknown.
pub async fn request_counts_may_be_null(kit: &Kit) {
    counts_changed(kit, |value, at| {
        *value.pointer_mut(at).expect("the counts") = Value::Null;
    })
    .await;
}

async fn counts_changed(kit: &Kit, change: fn(&mut Value, &str)) {
    let desk = kit.desk().await;
    let counts = kit.wire.counts_at();
    desk.change(move |_, mut value| {
        counts.iter().for_each(|at| change(&mut value, at));
        value
    });
    let batch = kit.described(1, BatchStatus::InProgress);
    let snapshot = ask(kit, &desk, batch).await;
    assert_eq!(snapshot.status, BatchStatus::InProgress);
    assert_eq!(
        snapshot.counts,
        RequestCounts::default(),
        "the counts must be unknown"
    );
}

/// Request counts may be strings that hold numbers. Where the provider reports no counts, none are invented.
pub async fn request_counts_may_be_strings(kit: &Kit) {
    let desk = kit.desk().await;
    let counts = kit.wire.counts_at();
    if counts.is_empty() {
        let batch = kit.described(1, BatchStatus::InProgress);
        let counts = ask(kit, &desk, batch).await.counts;
        return assert_eq!(
            counts,
            RequestCounts::default(),
            "no counts may be invented"
        );
    }
    desk.change(move |_, mut value| {
        for at in &counts {
            numbers_as_strings(value.pointer_mut(at).expect("the counts"));
        }
        value
    });
    let batch = kit.described(1, BatchStatus::Completed);
    let counts = ask(kit, &desk, batch).await.counts;
    assert_eq!(
        (counts.total, counts.succeeded, counts.errored),
        (Some(3), 2, 1)
    );
}

/// Unknown members in any object of a batch are ignored.
pub async fn unknown_members_of_a_batch_are_ignored(kit: &Kit) {
    the_same_when_changed(kit, with_unknown_members).await;
}

/// The order of the members of a batch is ignored.
pub async fn the_order_of_members_is_ignored(kit: &Kit) {
    the_same_when_changed(kit, turned_round).await;
}

async fn the_same_when_changed(kit: &Kit, change: fn(Value) -> Value) {
    for status in kit.wire.statuses() {
        let (desk, changed) = (kit.desk().await, kit.desk().await);
        changed.change(move |_, value| change(value));
        let batch = kit.described(1, status);
        let plain = ask(kit, &desk, batch.clone()).await;
        assert_eq!(ask(kit, &changed, batch).await, plain);
    }
}

/// A member of another JSON type than documented (a list, an object, a boolean) is read as absent: the rest of the
/// batch stays readable, and nothing is invented from it.
pub async fn members_of_another_type_are_read_as_absent(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let batch = kit.described(1, BatchStatus::Completed);
    let plain = kit.wire.batch(&batch);
    let id = desk.keep(batch);
    let read = async |body: &Value| {
        desk.answer(CallKind::Status, Answer::after(Says::json(200, body)));
        adapter.status(&id).await.map_err(|error| error.kind())
    };
    assert!(read(&plain).await.is_ok(), "the status must be readable");
    for at in members(&plain) {
        let mut without = plain.clone();
        remove(&mut without, &at);
        let without = read(&without).await;
        let odd = odd_values().into_iter();
        // A number may stand for a string and a string for a number; null has a clause of its own.
        let odd = odd.filter(|odd| odd.is_array() || odd.is_object() || odd.is_boolean());
        for odd in odd {
            let mut body = plain.clone();
            let member = body.pointer_mut(&at).expect("a member of the batch");
            if std::mem::discriminant(member) == std::mem::discriminant(&odd) {
                continue;
            }
            *member = odd.clone();
            assert_eq!(read(&body).await, without, "{at}: {odd}");
        }
    }
}

/// Unknown members of the response to a create are ignored.
pub async fn unknown_members_of_a_create_response_are_ignored(kit: &Kit) {
    let desk = kit.desk().await;
    desk.change(|kind, value| match kind {
        CallKind::Create => turned_round(with_unknown_members(value)),
        _ => value,
    });
    let (_, created) = kit.create(&desk).await;
    assert_eq!(
        created.expect("the create is accepted"),
        kit.wire.batch_id(1)
    );
}

/// An HTML page with HTTP 200 instead of a status is a temporary error and never a status: one page of a proxy does
/// not end a run that waits for a day.
pub async fn an_html_page_instead_of_a_status_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    desk.answer(
        CallKind::Status,
        Answer::after(Says::web_page(200, "page-canary")),
    );
    let id = desk.keep(kit.described(1, BatchStatus::Completed));
    let error = kit.adapter(&desk).status(&id).await.expect_err("no status");
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
    assert!(!crate::kit::said(&error).contains("page-canary"));
}

/// A 200 with an error, or with JSON that names neither a batch nor a status, is an error instead of a status. The
/// results of such a batch are unknown.
pub async fn a_200_with_an_error_instead_of_a_status_is_an_error(kit: &Kit) {
    for body in [
        kit.wire.refusal(500, "internal"),
        json!({"message": "ok"}),
        json!({}),
        json!([]),
        json!(null),
        json!("ok"),
    ] {
        not_believed(kit, &body).await;
    }
}

/// A status that names another batch is rejected with a temporary error, since a cache or a proxy may have sent it. No
/// results are read from it: they would be taken for those of the requested batch.
pub async fn a_status_of_another_batch_is_rejected(kit: &Kit) {
    // Ids with a common beginning are different ids.
    for (number, status) in [(2, BatchStatus::InProgress), (11, BatchStatus::Completed)] {
        not_believed(kit, &kit.wire.batch(&kit.described(number, status))).await;
    }
}

/// Checks that neither a status nor results of the batch are read from a response.
pub(super) async fn not_believed(kit: &Kit, body: &Value) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::InProgress));
    desk.answer(CallKind::Status, Answer::after(Says::json(200, body)));
    let status = adapter.status(&id).await.map(|found| found.status);
    let results = adapter.results(None, &id).await.map(drop);
    for error in [
        status.expect_err("no status"),
        results.expect_err("no results"),
    ] {
        let found = (error.kind(), error.retry());
        let expected = (ErrorKind::MalformedResponse, Retry::Temporary);
        assert_eq!(found, expected, "{body}: {error}");
        assert_eq!(error.batch(), Some(&id), "{body}: {error}");
    }
}

/// A status call whose connection is interrupted can be retried.
pub async fn an_interrupted_status_call_can_be_retried(kit: &Kit) {
    for fault in [Fault::Reset, Fault::Truncated] {
        let desk = kit.desk().await;
        desk.answer(CallKind::Status, Answer::lost(fault));
        let id = desk.keep(kit.described(1, BatchStatus::Completed));
        let error = kit.adapter(&desk).status(&id).await.expect_err("no status");
        assert_eq!(error.retry(), Retry::Temporary, "{fault:?}: {error}");
    }
}

/// One call to `status` is one exchange; the polling interval is the engine's task.
pub async fn a_status_call_is_one_exchange(kit: &Kit) {
    let desk = kit.desk().await;
    ask(kit, &desk, kit.described(1, BatchStatus::InProgress)).await;
    assert_eq!(desk.seen().len(), 1);
}
