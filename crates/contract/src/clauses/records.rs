//! Clauses about what the provider keeps: lists that are none, deletions that fail, times and labels of batches,
//! files, and batches that were made by another route. Of edition 2026-11.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, BatchStatus, Chunk, Cursor, ErrorKind, Label, ListOptions,
    PartRole, Remnant, Result, ResultPart, Retry, Staged,
};
use lmbatch_engine::Outcomes;
use serde_json::json;

use crate::clock::today;
use crate::desk::{Answer, Says};
use crate::kit::{Kit, generate};
use crate::relay::Fault;
use crate::wire::{Call, CallKind, Described, DescribedFile, ListPage, Part};

/// Answers with HTTP 200 that are no list: an error, the page of a proxy, other JSON.
fn no_lists(kit: &Kit) -> Vec<Says> {
    let mut all = vec![
        Says::json(200, &kit.wire.refusal(500, "internal")),
        Says::web_page(200, "Please log in"),
    ];
    all.extend(null_list(kit));
    let values = [
        json!({"message": "ok"}),
        json!([]),
        json!(null),
        json!("ok"),
        json!(42),
    ];
    all.extend(values.iter().map(|value| Says::json(200, value)));
    all
}

/// A page with null in the place of its batches, such as `{"jobs": null, "next": null}`.
fn null_list(kit: &Kit) -> Option<Says> {
    let batch = kit.described(1, BatchStatus::InProgress);
    let mut page = kit.wire.list_page(ListPage {
        batches: vec![kit.wire.batch(&batch)],
        next: None,
        number: 0,
        size: 100,
        total: 1,
    });
    let members = page.as_object_mut()?.values_mut();
    let lists: Vec<_> = members.filter(|member| member.is_array()).collect();
    (!lists.is_empty()).then_some(())?;
    lists.into_iter().for_each(|list| *list = json!(null));
    Some(Says::json(200, &page))
}

fn shown(says: &Says) -> String {
    String::from_utf8_lossy(&says.body).into_owned()
}

fn is_unsupported<T>(called: &Result<T>) -> bool {
    matches!(called, Err(error) if error.kind() == ErrorKind::Unsupported)
}

/// An answer that is an error, a web page or any JSON but a list, such as a page whose list is null, is an error that may pass, and no empty list: a
/// batch that a list hides is created again.
pub async fn a_list_that_is_none_is_an_error(kit: &Kit) {
    for says in no_lists(kit) {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let said = shown(&says);
        desk.answer(CallKind::List, Answer::after(says));
        let listed = adapter.list(&ListOptions::default()).await;
        if is_unsupported(&listed) {
            return assert!(!adapter.codec().capabilities().list && desk.seen().is_empty());
        }
        let error = listed.expect_err(&said);
        let found = (error.kind(), error.retry());
        assert_eq!(
            found,
            (ErrorKind::MalformedReply, Retry::Temporary),
            "{said}"
        );
    }
}

/// A search for a lost create that reads such an answer is an error as well. A provider that takes tokens needs no
/// search.
pub async fn a_search_through_no_list_is_an_error(kit: &Kit) {
    for says in no_lists(kit) {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
        let intent = kit.intent(&*adapter, &shard).await;
        let intent = intent.expect("the input is staged");
        let said = shown(&says);
        desk.answer(CallKind::List, Answer::after(says));
        let found = adapter.find(&intent, None).await;
        assert!(found.is_err(), "{said}: {found:?}");
    }
}

/// Through the engine a create whose answer is lost is not paid for twice where the list is none: nothing is found
/// out, so that nothing is deleted and nothing is created.
pub async fn a_lost_create_is_not_paid_for_twice_where_the_list_is_none(kit: &Kit) {
    // Lists that are read before the create are lists.
    let plain = kit.desk().await;
    let created = kit.invoker(&plain).batch().create([("a", "Hello!")]).await;
    created.expect("the create is accepted");
    let seen = plain.seen();
    let of =
        |wanted| move |call: &Option<Call>| call.as_ref().is_some_and(|call| call.kind() == wanted);
    let before = seen
        .iter()
        .take_while(|(call, _)| !of(CallKind::Create)(call));
    let before = before.filter(|(call, _)| of(CallKind::List)(call)).count();
    for says in no_lists(kit).into_iter().take(4) {
        let desk = kit.desk().await;
        let said = shown(&says);
        desk.answer(CallKind::Create, Answer::lost(Fault::Reset));
        let answer = Answer::after(says);
        desk.answer_after(CallKind::List, before as u32, u32::MAX, answer);
        let created = kit.invoker(&desk).batch().create([("a", "Hello!")]).await;
        // A provider that takes tokens is asked again under the same, which is the same batch.
        assert_eq!(desk.batches(), 1, "{said}: one batch is paid for");
        created.expect_err(&said);
        let fenced = desk.seen_of(CallKind::Discard).len();
        assert_eq!(fenced, 0, "{said}: what the create needs is deleted");
    }
}

/// Ways in which a deletion fails.
fn failures(kit: &Kit) -> Vec<(String, Answer)> {
    // Not 403: there are providers that answer it for what is gone.
    let mut all: Vec<_> = [401, 429, 500, 503]
        .map(|status| {
            let body = kit.wire.refusal(status, "no");
            (format!("HTTP {status}"), Answer::refusal(status, &body))
        })
        .into();
    all.push(("a lost answer".to_owned(), Answer::lost(Fault::Reset)));
    all
}

/// A fence that fails is an error: the next create would be made beside one that is still accepted.
pub async fn a_fence_that_fails_is_an_error(kit: &Kit) {
    for (failure, answer) in failures(kit) {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let shard = kit.shard(&*adapter, 1, "lmbatch-contract-0");
        let staged: Staged = match adapter.codec().capabilities().fence {
            true => {
                kit.intent(&*adapter, &shard)
                    .await
                    .expect("it is staged")
                    .staged
            }
            false => Staged::ready(),
        };
        desk.confirm_deletions();
        desk.answer(CallKind::Discard, answer);
        let fenced = adapter.fence(&staged).await;
        assert!(fenced.is_err(), "{failure} is a fence");
    }
}

/// A deletion that fails is an error: what is left behind would never be deleted.
pub async fn a_deletion_that_fails_is_an_error(kit: &Kit) {
    for (failure, answer) in failures(kit) {
        let remnants = [
            Remnant::File("files/ours".into()),
            Remnant::Batch(kit.wire.batch_id(9)),
        ];
        for remnant in remnants {
            let desk = kit.desk().await;
            desk.confirm_deletions();
            desk.answer(CallKind::Discard, answer.clone());
            let discarded = kit.adapter(&desk).discard(&remnant).await;
            assert!(discarded.is_err(), "{failure} deletes {remnant:?}");
        }
    }
}

/// Whether the wire's batches differ by what a change does to them: what the provider does not say is not read.
fn is_said(kit: &Kit, batch: &Described, change: impl FnOnce(&mut Described)) -> bool {
    let mut changed = batch.clone();
    change(&mut changed);
    kit.wire.batch(batch) != kit.wire.batch(&changed)
}

/// The time at which a batch was made is read as the provider gives it, to the second, in the status and in the list.
pub async fn the_time_of_a_batch_is_read(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let mut batch = kit.described(1, BatchStatus::Completed);
    batch.created_at = today() - Duration::from_secs(12_345);
    let said = is_said(kit, &batch, |batch| batch.created_at = today());
    let expected = said.then_some(batch.created_at);
    let id = desk.keep(batch);
    let status = adapter.status(&id).await.expect("a status");
    assert_eq!(status.created_at, expected, "when it was made");
    if adapter.codec().capabilities().list {
        let listed = adapter.list(&ListOptions::default()).await;
        let listed = listed.expect("a list");
        assert_eq!(listed.items[0].created_at, expected, "when it was made");
    }
}

/// The label of a batch is read where the provider keeps one, and is not made up where it does not.
pub async fn the_label_of_a_batch_is_read(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let batch = Described {
        label: Some("lmbatch-labelcanary1-7".to_owned()),
        ..kit.described(1, BatchStatus::InProgress)
    };
    let said = is_said(kit, &batch, |batch| batch.label = None);
    let id = desk.keep(batch);
    let status = adapter.status(&id).await.expect("a status");
    let expected = said.then(|| Label::new("lmbatch-labelcanary1-7"));
    assert_eq!(status.label, expected);
}

/// A batch that failed as a whole says why, in the provider's words, where the provider does; one that did not fail
/// has no problems.
pub async fn the_problems_of_a_failed_batch_are_read(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let fails = kit.wire.statuses().contains(&BatchStatus::Failed);
    let status = match fails {
        true => BatchStatus::Failed,
        false => BatchStatus::Completed,
    };
    let batch = Described {
        problems: vec!["problem-canary".to_owned()],
        ..kit.described(1, status)
    };
    let said = fails && is_said(kit, &batch, |batch| batch.problems.clear());
    let id = desk.keep(batch);
    let snapshot = adapter.status(&id).await.expect("a status");
    let words = |at: usize| snapshot.problems.get(at)?.error.message();
    let expected = said.then_some("problem-canary");
    assert_eq!(words(0), expected, "{:?}", snapshot.problems);
    let well = desk.keep(kit.described(2, BatchStatus::Completed));
    let snapshot = adapter.status(&well).await.expect("a status");
    assert!(snapshot.problems.is_empty(), "{:?}", snapshot.problems);
}

/// Every part of the results says what it holds: answers, errors, or both.
pub async fn parts_say_what_they_hold(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        open.no(1, "words"),
        open.yes(2, "three"),
    ];
    open.end(BatchStatus::Completed, &rows);
    let set = kit
        .adapter(&open.desk)
        .results(None, &open.handle.batch)
        .await;
    let parts = set.expect("where the results are").parts;
    let mut roles: Vec<PartRole> = parts.iter().map(|part| part.role).collect();
    let expected = match rows[0].0 {
        Part::All => vec![PartRole::Mixed],
        Part::Output | Part::Errors => vec![PartRole::Output, PartRole::Errors],
    };
    roles.sort_unstable_by_key(|role| expected.iter().position(|one| one == role));
    assert_eq!(roles, expected);
    for part in parts {
        let before = open.desk.seen_of(CallKind::Read).len();
        drop(
            kit.adapter(&open.desk)
                .read(&part, 0)
                .await
                .expect("the part is read"),
        );
        let seen = open.desk.seen().into_iter();
        let mut reads = seen.filter_map(|(call, _)| match call {
            Some(Call::Read(part)) => Some(part),
            Some(Call::ReadFile(name)) => Part::of_file(&name).map(|(part, _)| part),
            _ => None,
        });
        let read = reads.nth(before);
        let fits = match part.role {
            PartRole::Output => read == Some(Part::Output),
            PartRole::Errors => read == Some(Part::Errors),
            PartRole::Mixed => read.is_none_or(|read| read == Part::All),
        };
        assert!(fits, "{:?} reads {read:?}", part.role);
    }
}

/// The results of a batch are read whole by another adapter of the account, also one that is configured for another
/// route, with the class of the batch and by its id alone. Under a class of another route they are whole or an error,
/// never fewer.
pub async fn results_are_read_by_an_adapter_of_another_route(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    open.end(BatchStatus::Completed, &rows);
    let mut others = kit.wire.others(&open.desk.url, crate::kit::KEY);
    others.push(kit.adapter(&open.desk));
    let of = |adapter: &Arc<dyn BatchProvider>| {
        let question = generate(kit.wire.model(), "words");
        adapter.codec().class(&question).expect("a class")
    };
    let mut classes: Vec<BatchClass> = others.iter().map(of).collect();
    classes.push(BatchClass {
        route: "contract-other".into(),
        ..open.handle.class.clone()
    });
    for (place, other) in others.into_iter().enumerate() {
        for class in &classes {
            let Ok(set) = other.results(Some(class), &open.handle.batch).await else {
                assert_ne!(class, &open.handle.class, "adapter {place}");
                continue;
            };
            let read = rows_of(&*other, set.parts).await;
            assert_eq!(read, 3, "adapter {place}, class {class:?}");
        }
        let invoker = kit.invoker_of(other);
        let found = invoker.batch().retrieve_rows(&open.handle.batch).await;
        let found = found.unwrap_or_else(|error| panic!("adapter {place}, by the id: {error}"));
        let texts = |outcomes: &Outcomes| -> Vec<String> {
            let texts = outcomes.iter().map(|(_, outcome)| outcome.as_result());
            texts
                .map(|value| value.map_or_else(|_| String::new(), |one| one.text()))
                .collect()
        };
        let mut by_id = texts(&found);
        by_id.sort_unstable();
        assert_eq!(by_id, ["one", "three", "two"], "adapter {place}, by the id");
        let outcomes = invoker.batch().retrieve(&open.handle).await;
        let outcomes = outcomes.unwrap_or_else(|error| panic!("adapter {place}: {error}"));
        let by_handle = texts(&outcomes);
        assert_eq!(by_handle, ["one", "two", "three"], "adapter {place}");
    }
}

/// Number of rows in parts of results.
async fn rows_of(adapter: &dyn BatchProvider, parts: Vec<ResultPart>) -> usize {
    let mut parts = VecDeque::from(parts);
    let mut text = Vec::new();
    while let Some(part) = parts.pop_front() {
        let mut stream = adapter.read(&part, 0).await.expect("the part is read");
        while let Some(chunk) = stream.next().await {
            match chunk.expect("a piece") {
                Chunk::Bytes(bytes) => text.extend_from_slice(&bytes),
                Chunk::Next(next) => parts.push_back(next),
            }
        }
        text.push(b'\n');
    }
    let rows = text.split(|byte| *byte == b'\n');
    rows.filter(|row| !row.trim_ascii().is_empty()).count()
}

/// A file in the list of files.
fn file(number: u32, label: &str) -> DescribedFile {
    DescribedFile {
        id: format!("files/{number}"),
        label: label.to_owned(),
        bytes: 1_000 + u64::from(number),
        created_at: today(),
    }
}

/// Uploaded files under labels of lmbatch are listed, on every page, and those of others are not; an answer that is
/// no list is an error. A provider without such a list says so.
pub async fn uploads_are_listed_or_unsupported(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    if kit.wire.files(&[], None).is_none() {
        let listed = adapter.uploads(None).await;
        assert!(is_unsupported(&listed), "{listed:?}");
        return assert!(desk.seen().is_empty(), "nothing is sent");
    }
    desk.page(2);
    let labels = [
        "lmbatch-abcdefghijkl-1",
        "theirs",
        "lmbatch-abcdefghijkl-2",
        "lmbatch-abcdefghijkl-3",
    ];
    for (number, label) in labels.into_iter().enumerate() {
        desk.keep_file(file(number as u32, label));
    }
    let mut found = Vec::new();
    let mut page: Option<Cursor> = None;
    for _ in 0..10 {
        let listed = adapter.uploads(page).await.expect("a list of files");
        found.extend(listed.items);
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    let found: Vec<_> = found
        .into_iter()
        .map(|one| (one.remnant, one.label))
        .collect();
    let ours = [(3, labels[3]), (2, labels[2]), (0, labels[0])];
    let expected = ours.map(|(number, label)| {
        (
            Remnant::File(format!("files/{number}").into()),
            Label::new(label),
        )
    });
    assert_eq!(found, expected);
    for says in no_lists(kit) {
        let said = shown(&says);
        desk.answer(CallKind::Files, Answer::after(says));
        let listed = adapter.uploads(None).await;
        assert!(listed.is_err(), "{said}: {listed:?}");
    }
}

/// A probe fails where key or model is refused, and where nothing was found out; it is a call that creates nothing.
/// An adapter for a provider without such a call says yes and sends nothing.
pub async fn a_probe_that_is_refused_fails(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let model = kit.wire.model();
    adapter.probe(model).await.expect("key and model are good");
    if kit.wire.probed().is_none() {
        return assert!(desk.seen().is_empty(), "nothing is sent");
    }
    assert_eq!(desk.seen_of(CallKind::Probe).len(), 1);
    assert_eq!(desk.seen().len(), 1, "one call is made");
    for (status, kind) in [
        (401, Some(ErrorKind::ProviderAuth)),
        (403, Some(ErrorKind::ProviderAuth)),
        (503, None),
    ] {
        let refusal = Answer::refusal(status, &kit.wire.refusal(status, "no"));
        desk.answer(CallKind::Probe, refusal);
        let error = adapter.probe(model).await;
        let error = error.expect_err("a probe that is refused");
        assert!(
            kind.is_none_or(|kind| error.kind() == kind),
            "HTTP {status}: {error}"
        );
    }
    desk.answer(CallKind::Probe, Answer::lost(Fault::Reset));
    adapter
        .probe(model)
        .await
        .expect_err("nothing is found out");
}

/// A batch that the provider does not know is told so by its own error, with its id, from a status as from its
/// results.
pub async fn a_batch_that_is_gone_has_no_results(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let gone: BatchId = kit.wire.batch_id(9);
    let results = adapter.results(None, &gone).await;
    let error = results.expect_err("a batch that is gone");
    assert_eq!(error.kind(), ErrorKind::BatchNotFound, "{error}");
    assert_eq!(error.batch(), Some(&gone));
}
