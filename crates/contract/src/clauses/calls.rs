//! Clauses about list, cancel, discard, fence and reads from an offset. Where the provider lacks a call, the adapter
//! reports `Unsupported` and sends nothing.

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{
    BatchProvider, BatchStatus, Chunk, ErrorKind, ListOptions, RemoteObject, Retry, Staged,
};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, Says};
use crate::kit::Kit;
use crate::mangle::odd_values;
use crate::wire::{CallKind, ListPage};

/// Returns `declared`. Checks that the call failed as unsupported, and sent nothing, exactly where the capability is
/// not declared.
fn declared<T>(desk: &Desk, declared: bool, called: &lmbatch_core::Result<T>) -> bool {
    let unsupported = matches!(called, Err(error) if error.kind() == ErrorKind::Unsupported);
    assert_eq!(
        unsupported, !declared,
        "the call must agree with the declared capability"
    );
    assert!(declared || desk.seen().is_empty(), "no request may be sent");
    declared
}

/// Paging through a list returns every batch once, newest first, and stops after the last page. Where the provider has
/// no list, the adapter reports `Unsupported`.
pub async fn paging_through_a_list_returns_every_batch_once(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let first = adapter.list(&ListOptions::default()).await;
    if !declared(&desk, adapter.codec().capabilities().list, &first) {
        return;
    }
    desk.page(2);
    let count = 2 * desk.page_size() as u32 + 1;
    for number in 1..=count {
        desk.keep(kit.described(number, BatchStatus::Completed));
    }
    let before = desk.seen().len();
    let listed = kit.invoker(&desk).batch().list().await.expect("a list");
    let ids: Vec<_> = listed.into_iter().map(|batch| batch.id).collect();
    let expected: Vec<_> = (1..=count)
        .rev()
        .map(|number| kit.wire.batch_id(number))
        .collect();
    assert!(
        ids == expected,
        "every batch must appear once, newest first: {ids:?}"
    );
    let pages = desk.seen().len() - before;
    assert_eq!(
        pages, 3,
        "two full pages and one batch must take three pages"
    );
}

/// A list without batches is an empty page, which is also the last.
pub async fn a_list_without_batches_is_empty(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let listed = adapter.list(&ListOptions::default()).await;
    if declared(&desk, adapter.codec().capabilities().list, &listed) {
        let page = listed.expect("a list");
        assert!(page.items.is_empty() && page.next.is_none(), "{page:?}");
    }
}

/// One call to `list` fetches one page; paging is the engine's task.
pub async fn a_list_call_is_one_exchange(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    desk.page(1);
    for number in 1..=3 {
        desk.keep(kit.described(number, BatchStatus::Completed));
    }
    let listed = adapter.list(&ListOptions::default()).await;
    if declared(&desk, adapter.codec().capabilities().list, &listed) {
        let on_a_page = desk.page_size().min(3);
        assert_eq!(listed.expect("a list").items.len(), on_a_page);
        assert_eq!(desk.seen().len(), 1);
    }
}

/// A page whose cursor leads back to the page itself ends the list, so that paging does not run forever.
pub async fn a_page_that_links_to_itself_ends_the_list(kit: &Kit) {
    let desk = kit.desk().await;
    desk.keep(kit.described(1, BatchStatus::Completed));
    desk.lead_always_to("round-and-round");
    let adapter = kit.adapter(&desk);
    let listed = adapter.list(&ListOptions::default()).await;
    if declared(&desk, adapter.codec().capabilities().list, &listed) {
        let invoker = kit.invoker(&desk);
        let pages = invoker.batch().list().stream();
        let ids: Vec<_> = pages.take(10).try_collect().await.expect("a list");
        assert!(ids.len() < 4, "{} batches", ids.len());
    }
}

/// A page whose cursor cannot be read is an error. If it passed for the last page, it would hide the batch of a create
/// with a lost response, which would then be paid for twice.
pub async fn an_unreadable_page_cursor_is_an_error(kit: &Kit) {
    let paging = paging_members(kit);
    assert!(
        !paging.is_empty(),
        "a page with a successor must differ from the last page"
    );
    for name in paging {
        // Any other value may be a cursor, or mean that there is none.
        let odd = odd_values().into_iter();
        for odd in odd.filter(|odd| odd.is_array() || odd.is_object()) {
            let desk = kit.desk().await;
            desk.page(1);
            for number in 1..=2 {
                desk.keep(kit.described(number, BatchStatus::Completed));
            }
            let (of, value) = (name.clone(), odd.clone());
            desk.change(move |_, mut page| {
                page[&of] = value.clone();
                page
            });
            let adapter = kit.adapter(&desk);
            let listed = adapter.list(&ListOptions::default()).await;
            if declared(&desk, adapter.codec().capabilities().list, &listed) {
                let read = listed.map(|page| (page.items.len(), page.next));
                let error = read.expect_err("a page that cannot be read");
                assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{name}: {odd}");
            }
        }
    }
}

/// Names of the members that differ between a page with a successor and the last page.
fn paging_members(kit: &Kit) -> Vec<String> {
    let batch = || kit.wire.batch(&kit.described(1, BatchStatus::Completed));
    let page = |next: Option<&str>, total| {
        kit.wire.list_page(ListPage {
            batches: vec![batch()],
            next: next.map(str::to_owned),
            number: 0,
            size: 1,
            total,
        })
    };
    let (last, goes_on) = (page(None, 1), page(Some("further-on"), 2));
    let members = goes_on.as_object().into_iter().flatten();
    let differ = members.filter(|(name, value)| last.get(name) != Some(value));
    differ.map(|(name, _)| name.clone()).collect()
}

/// A 404 for a list that does not carry the provider's own error is retryable. If it passed for "this server has no
/// list", a batch under lmbatch's label would be missed and created again.
pub async fn a_404_from_a_proxy_for_a_list_is_retryable(kit: &Kit) {
    let other = |body: &str| Says {
        status: 404,
        body: body.as_bytes().to_vec(),
        mime: "application/json",
        ..Says::default()
    };
    for says in [
        Says::web_page(404, "Not Found"),
        other(""),
        other(r#"{"detail":"Not Found"}"#),
        other(r#"{"message":"no Route matched with those values"}"#),
    ] {
        let desk = kit.desk().await;
        desk.answer(CallKind::List, Answer::after(says));
        let adapter = kit.adapter(&desk);
        let listed = adapter.list(&ListOptions::default()).await;
        if declared(&desk, adapter.codec().capabilities().list, &listed) {
            let error = listed.expect_err("a list of nothing");
            assert_eq!(error.retry(), Retry::Temporary, "{error}");
        }
    }
}

/// A list reports the same of a batch as the status call.
pub async fn a_list_agrees_with_the_status(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let batch = kit.described(1, BatchStatus::Completed);
    desk.keep(batch);
    let listed = adapter.list(&ListOptions::default()).await;
    if declared(&desk, adapter.codec().capabilities().list, &listed) {
        let status = adapter
            .status(&kit.wire.batch_id(1))
            .await
            .expect("a status");
        assert_eq!(listed.expect("a list").items, [status]);
    }
}

/// Unknown members of a list are ignored.
pub async fn unknown_members_of_a_list_are_ignored(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    desk.page(1);
    for number in 1..=2 {
        desk.keep(kit.described(number, BatchStatus::Completed));
    }
    let plain = adapter.list(&ListOptions::default()).await;
    if declared(&desk, adapter.codec().capabilities().list, &plain) {
        desk.change(|_, value| {
            crate::mangle::turned_round(crate::mangle::with_unknown_members(value))
        });
        let changed = adapter.list(&ListOptions::default()).await;
        assert_eq!(changed.expect("a list"), plain.expect("a list"));
    }
}

/// `cancel` sends one cancel request for the given batch. Where the provider has no cancel, the adapter reports
/// `Unsupported`.
pub async fn a_cancel_is_one_call(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::InProgress));
    let cancelled = adapter.cancel(&id).await;
    if declared(&desk, adapter.codec().capabilities().cancel, &cancelled) {
        cancelled.expect("a cancel");
        assert_eq!(desk.seen_of(CallKind::Cancel).len(), 1);
    }
}

/// Cancelling a batch twice is not an error.
pub async fn a_repeated_cancel_is_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::InProgress));
    let first = adapter.cancel(&id).await;
    if declared(&desk, adapter.codec().capabilities().cancel, &first) {
        first.expect("a cancel");
        desk.change_batch(&id, |batch| batch.status = BatchStatus::Cancelling);
        adapter.cancel(&id).await.expect("a second cancel");
    }
}

/// Cancelling a batch that has ended is not an error, whichever way the provider refuses it.
pub async fn a_cancel_of_an_ended_batch_is_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::Completed));
    let cancelled = adapter.cancel(&id).await;
    if declared(&desk, adapter.codec().capabilities().cancel, &cancelled) {
        cancelled.expect("a cancel of a batch that has ended");
    }
}

/// A refused cancel of a running batch is an error, since the batch still costs money.
pub async fn a_refused_cancel_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::InProgress));
    let status = kit.wire.cancel_of_ended();
    let refusal = Answer::refusal(status, &kit.wire.refusal(status, "no"));
    desk.answer(CallKind::Cancel, refusal);
    let cancelled = adapter.cancel(&id).await;
    if declared(&desk, adapter.codec().capabilities().cancel, &cancelled) {
        cancelled.expect_err("a cancel that is refused");
    }
}

/// A cancel with HTTP 200 that is not the provider's own confirmation for this batch (an HTML page, other JSON, an
/// error, another batch) is an error while the batch runs, since a running batch costs money.
pub async fn an_unconfirmed_cancel_is_an_error(kit: &Kit) {
    let other = |body: String| Says {
        status: 200,
        body: body.into_bytes(),
        mime: "application/json",
        ..Says::default()
    };
    let another = kit.wire.batch(&kit.described(2, BatchStatus::Cancelling));
    for says in [
        Says::web_page(200, "Please log in"),
        other(String::new()),
        other("[]".to_owned()),
        other("\"ok\"".to_owned()),
        other(kit.wire.refusal(500, "internal").to_string()),
        other(r#"{"message":"ok"}"#.to_owned()),
        other(another.to_string()),
    ] {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let id = desk.keep(kit.described(1, BatchStatus::InProgress));
        let said = String::from_utf8_lossy(&says.body).into_owned();
        let answer = Answer {
            refuses: true,
            ..Answer::after(says)
        };
        desk.answer(CallKind::Cancel, answer);
        let cancelled = adapter.cancel(&id).await;
        if declared(&desk, adapter.codec().capabilities().cancel, &cancelled) {
            let error = cancelled.expect_err(&said);
            assert_eq!(error.batch(), Some(&id), "{error}");
            assert_eq!(error.retry(), Retry::Temporary, "{said}: {error}");
            let cancels = desk.seen_of(CallKind::Cancel).len();
            assert_eq!(
                cancels, 1,
                "cancel must send one request: retries are the engine's task"
            );
        }
    }
}

/// Discarding a file or batch that no longer exists is not an error. Where the provider cannot delete, the adapter
/// reports `Unsupported` and sends nothing.
pub async fn discarding_deleted_objects_is_not_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let remote_objects = [
        RemoteObject::File("files/gone".into()),
        RemoteObject::Batch(kit.wire.batch_id(9)),
    ];
    let mut any = false;
    for remote_object in &remote_objects {
        let before = desk.seen().len();
        match adapter.discard(remote_object).await {
            Ok(()) => any = true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert_eq!(desk.seen().len(), before, "no request may be sent");
            }
        }
    }
    let declared = adapter.codec().capabilities().discard;
    assert_eq!(
        any, declared,
        "the call must agree with the declared capability"
    );
}

/// A fence deletes the input that a late create would need, and is not an error if the input no longer exists. Where
/// the provider cannot delete inputs, the adapter reports `Unsupported`.
pub async fn a_fence_deletes_the_input_or_is_unsupported(kit: &Kit) {
    for is_there in [true, false] {
        let desk = kit.desk().await;
        if is_there {
            desk.confirm_deletions();
        }
        let adapter = kit.adapter(&desk);
        let can = adapter.codec().capabilities().fence;
        let fenced = adapter.fence(&to_fence(kit, &*adapter).await).await;
        if declared(&desk, can, &fenced) {
            fenced.expect("a fence");
            assert_eq!(desk.seen_of(CallKind::Discard).len(), 1);
        }
    }
}

/// The staged input of a create, which a fence deletes where the provider can delete it.
pub(super) async fn to_fence(kit: &Kit, adapter: &dyn BatchProvider) -> Staged {
    if !adapter.codec().capabilities().fence {
        return Staged {
            ready: true,
            ..Staged::default()
        };
    }
    let shard = kit.shard(adapter, 1, "lmbatch-contract-0");
    let intent = kit.intent(adapter, &shard).await;
    intent.expect("the input is staged").staged
}

/// A fence answered by a proxy (404 or 200 with an HTML page, 404 with an empty body or other JSON) is an error: the
/// input may still exist, and a late create would be accepted in addition to the next one.
pub async fn a_fence_answered_by_a_proxy_is_an_error(kit: &Kit) {
    let other = |body: &str| Says {
        status: 404,
        body: body.as_bytes().to_vec(),
        mime: "application/json",
        ..Says::default()
    };
    for says in [
        Says::web_page(404, "Not Found"),
        Says::web_page(200, "Please log in"),
        other(""),
        other(r#"{"message":"no Route matched with those values"}"#),
    ] {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let can = adapter.codec().capabilities().fence;
        let staged = to_fence(kit, &*adapter).await;
        let said = format!("HTTP {} with {:?}", says.status, says.body);
        desk.answer(CallKind::Discard, Answer::after(says));
        let fenced = adapter.fence(&staged).await;
        if declared(&desk, can, &fenced) {
            assert!(fenced.is_err(), "{said} is accepted as a fence");
        }
    }
}

/// A fence answered with HTTP 200 by anything but the provider's own confirmation is an error: an empty body, other
/// JSON, `"deleted": false` or the name of another input. The input may still exist, and a late create would be
/// accepted in addition to the next one.
pub async fn a_fence_without_confirmation_is_an_error(kit: &Kit) {
    for body in [
        "",
        " ",
        "null",
        "true",
        "[]",
        "[{}]",
        "\"deleted\"",
        r#"{"message":"ok"}"#,
    ] {
        let desk = kit.desk().await;
        let says = Says {
            status: 200,
            body: body.as_bytes().to_vec(),
            mime: "application/json",
            ..Says::default()
        };
        desk.answer(CallKind::Discard, Answer::after(says));
        let is_own =
            |own: &Value| serde_json::from_str::<Value>(body).is_ok_and(|said| said == *own);
        no_fence(kit, &desk, body, is_own).await;
    }
    for (what, change) in UNCONFIRMED {
        let desk = kit.desk().await;
        desk.confirm_deletions();
        desk.change(move |kind, value| match kind {
            CallKind::Discard => change(value),
            _ => value,
        });
        no_fence(kit, &desk, what, |own| change(own.clone()) == *own).await;
    }
}

/// Change that a proxy or a faulty server makes to a response.
type Spoil = fn(Value) -> Value;

/// Changes to a confirmation. One that leaves the provider's confirmation as it was proves nothing.
const UNCONFIRMED: [(&str, Spoil); 4] = [
    ("an empty object", |_| json!({})),
    (
        "an error",
        |_| json!({"error": {"code": 500, "message": "no"}}),
    ),
    ("a confirmation with negated booleans", |value| {
        each_member(value, |member| match member {
            Value::Bool(said) => Value::Bool(!said),
            other => other,
        })
    }),
    ("a confirmation with other strings", |value| {
        each_member(value, |member| match member {
            Value::String(said) => Value::String(format!("{said}-of-another")),
            other => other,
        })
    }),
];

fn each_member(value: Value, change: fn(Value) -> Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter();
            let changed = members.map(|(name, member)| (name, change(member)));
            Value::Object(changed.collect())
        }
        other => other,
    }
}

/// Calls `fence`, which must fail unless the response is the provider's own confirmation after all.
async fn no_fence(kit: &Kit, desk: &Desk, said: &str, is_own: impl Fn(&Value) -> bool) {
    let adapter = kit.adapter(desk);
    let can = adapter.codec().capabilities().fence;
    let staged = to_fence(kit, &*adapter).await;
    let fenced = adapter.fence(&staged).await;
    if !declared(desk, can, &fenced) {
        return;
    }
    let asked = desk.seen_of(CallKind::Discard);
    assert_eq!(asked.len(), 1, "a deletion must be one call");
    if is_own(&kit.wire.deleted(&asked[0])) {
        return;
    }
    let error = fenced.expect_err(said);
    assert_eq!(error.retry(), Retry::Temporary, "{said:?}: {error}");
}

/// Reading from an offset returns exactly the rest or is unsupported. It never starts again at the beginning, whose
/// rows would be taken for others. Where the capability is not declared, nothing is sent.
pub async fn reading_from_an_offset_returns_the_rest_or_is_unsupported(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    open.end(BatchStatus::Completed, &rows);
    let adapter = kit.adapter(&open.desk);
    let set = adapter.results(None, &open.handle.batch).await;
    let part = set.expect("parts").parts.remove(0);
    let before = open.desk.seen().len();
    // A provider that ignores the offset and always returns everything cannot be read from an offset.
    let read = adapter.read(&part, 5).await;
    let error = read.err().expect("the whole is not the rest");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    if !adapter.codec().capabilities().ranges {
        return assert_eq!(open.desk.seen().len(), before, "no request may be sent");
    }
    open.desk.give_ranges();
    let mut text = Vec::new();
    let mut stream = adapter.read(&part, 5).await.expect("the rest");
    while let Some(chunk) = stream.next().await {
        if let Chunk::Bytes(bytes) = chunk.expect("a piece") {
            text.extend_from_slice(&bytes);
        }
    }
    let whole = [&rows[0].1[..], b"\n", &rows[1].1, b"\n", &rows[2].1, b"\n"].concat();
    assert_eq!(text, whole[5..]);
}
