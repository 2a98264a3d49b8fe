//! Clauses about what a provider says of a batch.

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
    assert_eq!(
        snapshot.id, id,
        "a snapshot is of the batch that was asked for"
    );
    snapshot
}

/// Every word of the provider's documentation means what the wire says it means.
pub async fn every_status_word_is_understood(kit: &Kit) {
    let desk = kit.desk().await;
    for (number, (word, expected)) in kit.wire.words().into_iter().enumerate() {
        let batch = Described {
            status: BatchStatus::Unknown(word.to_owned()),
            ..kit.described(number as u32 + 1, expected.clone())
        };
        assert_eq!(ask(kit, &desk, batch).await.status, expected, "{word}");
    }
}

/// The ways in which a batch can stand are told apart, whether by a word or by what else the provider says.
pub async fn every_status_is_told_apart(kit: &Kit) {
    let desk = kit.desk().await;
    let statuses = kit.wire.statuses();
    for needed in [BatchStatus::InProgress, BatchStatus::Completed] {
        assert!(statuses.contains(&needed), "a provider can say {needed}");
    }
    for (number, expected) in statuses.into_iter().enumerate() {
        let batch = kit.described(number as u32 + 1, expected.clone());
        assert_eq!(ask(kit, &desk, batch).await.status, expected);
    }
}

/// A word that nobody knows is kept as it is, and is not the end: no results are given up for it.
pub async fn an_unknown_status_word_is_unknown_and_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let mut batch = kit.described(1, BatchStatus::InProgress);
    batch.status = BatchStatus::Unknown("NAPPING_for_tea".to_owned());
    let status = ask(kit, &desk, batch).await.status;
    assert_eq!(status, BatchStatus::Unknown("NAPPING_for_tea".to_owned()));
    assert!(!status.is_terminal());
}

/// A batch that failed as a whole is an answer, not an error: "could not ask" is another matter. With a
/// provider that fails no batch as a whole, neither is one in which every request failed.
pub async fn a_failed_batch_is_an_answer(kit: &Kit) {
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

/// How many requests there are, were answered, and failed. Where the provider does not say so, no counts are made up.
pub async fn counts_are_read(kit: &Kit) {
    let desk = kit.desk().await;
    let batch = kit.described(1, BatchStatus::Completed);
    let counts = ask(kit, &desk, batch).await.counts;
    if kit.wire.counts_at().is_empty() {
        return assert_eq!(counts, RequestCounts::default(), "nothing is made up");
    }
    let expected = RequestCounts {
        total: Some(3),
        succeeded: 2,
        errored: 1,
        ..RequestCounts::default()
    };
    assert_eq!(counts, expected);
}

/// Some servers leave the counts out; the status is no less readable for it.
pub async fn counts_may_be_absent(kit: &Kit) {
    counts_changed(kit, remove).await;
}

/// Counts may be null, as some servers write what they do not know.
pub async fn counts_may_be_null(kit: &Kit) {
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
        "nothing is known"
    );
}

/// Some write numbers as strings: they are numbers all the same. Where the provider has no counts, none are made up.
pub async fn counts_may_be_strings(kit: &Kit) {
    let desk = kit.desk().await;
    let counts = kit.wire.counts_at();
    if counts.is_empty() {
        let batch = kit.described(1, BatchStatus::InProgress);
        let counts = ask(kit, &desk, batch).await.counts;
        return assert_eq!(counts, RequestCounts::default(), "nothing is made up");
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

/// Members that nobody knows, in every object of a batch, change nothing.
pub async fn unknown_members_of_a_batch_change_nothing(kit: &Kit) {
    the_same_when_changed(kit, with_unknown_members).await;
}

/// Neither does the order of the members.
pub async fn the_order_of_members_changes_nothing(kit: &Kit) {
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

/// A member of another JSON type than documented (a list, an object, a boolean) is read as if it were not there: the
/// rest of the batch is no less readable for it, and nothing is made up from it.
pub async fn members_of_another_type_are_as_good_as_absent(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let batch = kit.described(1, BatchStatus::Completed);
    let plain = kit.wire.batch(&batch);
    let id = desk.keep(batch);
    let read = async |body: &Value| {
        desk.answer(CallKind::Status, Answer::after(Says::json(200, body)));
        adapter.status(&id).await.map_err(|error| error.kind())
    };
    assert!(read(&plain).await.is_ok(), "the status is read");
    for at in members(&plain) {
        let mut without = plain.clone();
        remove(&mut without, &at);
        let without = read(&without).await;
        let odd = odd_values().into_iter();
        // Texts may come as numbers, and numbers as texts; null has a clause of its own.
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

/// Nor do unknown members change anything in the answer to a create.
pub async fn unknown_members_of_a_created_batch_change_nothing(kit: &Kit) {
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

/// A 200 with a web page says nothing of the batch: an error, never a status, and one that may pass. A run that
/// waits for a day is not ended by one page of a proxy.
pub async fn a_status_that_is_a_web_page_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    desk.answer(
        CallKind::Status,
        Answer::after(Says::web_page(200, "page-canary")),
    );
    let id = desk.keep(kit.described(1, BatchStatus::Completed));
    let error = kit.adapter(&desk).status(&id).await.expect_err("no status");
    assert_eq!(error.kind(), ErrorKind::MalformedReply);
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
    assert!(!crate::kit::said(&error).contains("page-canary"));
}

/// A 200 whose body is an error says nothing of the batch either, nor does any other JSON that names neither a
/// batch nor a status. The results of such a batch are not known.
pub async fn a_status_that_is_an_error_in_disguise_is_an_error(kit: &Kit) {
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

/// A status that names another batch says nothing of the one that was asked for, and may pass: a cache or a proxy
/// may have sent it. Nor are results looked for where it says: they would be taken for those of this batch.
pub async fn a_status_of_another_batch_is_not_believed(kit: &Kit) {
    // Of two ids that begin alike each is another.
    for (number, status) in [(2, BatchStatus::InProgress), (11, BatchStatus::Completed)] {
        not_believed(kit, &kit.wire.batch(&kit.described(number, status))).await;
    }
}

/// Neither status nor results of a batch are read from an answer.
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
        let expected = (ErrorKind::MalformedReply, Retry::Temporary);
        assert_eq!(found, expected, "{body}: {error}");
        assert_eq!(error.batch(), Some(&id), "{body}: {error}");
    }
}

/// A status that breaks off can be asked for again.
pub async fn a_status_that_breaks_off_may_be_asked_for_again(kit: &Kit) {
    for fault in [Fault::Reset, Fault::Truncated] {
        let desk = kit.desk().await;
        desk.answer(CallKind::Status, Answer::lost(fault));
        let id = desk.keep(kit.described(1, BatchStatus::Completed));
        let error = kit.adapter(&desk).status(&id).await.expect_err("no status");
        assert_eq!(error.retry(), Retry::Temporary, "{fault:?}: {error}");
    }
}

/// One call to `status` is one exchange: the pace is the engine's.
pub async fn a_status_is_asked_for_once(kit: &Kit) {
    let desk = kit.desk().await;
    ask(kit, &desk, kit.described(1, BatchStatus::InProgress)).await;
    assert_eq!(desk.seen().len(), 1);
}
