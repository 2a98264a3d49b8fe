//! Clauses about the provider's records: responses that are not lists, failed deletions, times and labels of batches,
//! files, and batches of another route. Part of edition 2026-11.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, BatchStatus, Chunk, Cursor, ErrorKind, Label, ListOptions,
    PartRole, RemoteObject, Result, ResultPart, Retry, Staged,
};
use lmbatch_engine::Outcomes;
use serde_json::json;

use crate::clock::today;
use crate::desk::{Answer, Says};
use crate::kit::{Kit, generate};
use crate::relay::Fault;
use crate::wire::{Call, CallKind, Described, DescribedFile, ListPage, Part};

/// Responses with HTTP 200 that are not lists: an error, an HTML page of a proxy, other JSON.
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

/// A page with null instead of its batches, such as `{"jobs": null, "next": null}`.
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

/// A 200 without a list (an error, an HTML page, other JSON, or a page whose list is null) is a temporary error and
/// not an empty list: batches that seem absent are created again.
pub async fn a_200_without_a_list_is_an_error(kit: &Kit) {
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
            (ErrorKind::MalformedResponse, Retry::Temporary),
            "{said}"
        );
    }
}

/// A search for a lost create that reads a 200 without a list is an error as well. An adapter that declares tokens
/// needs no search.
pub async fn a_search_without_a_list_is_an_error(kit: &Kit) {
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

/// A create with a lost response is paid for once through the engine even if the response to the list is not a list:
/// the search is inconclusive, so that nothing is deleted and nothing is created.
pub async fn a_create_with_a_lost_response_is_paid_for_once_without_a_list(kit: &Kit) {
    // Lists that are read before the create are valid.
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
        // A provider that takes tokens gets the same create again, which is the same batch.
        assert_eq!(desk.batches(), 1, "{said}: exactly one batch must exist");
        created.expect_err(&said);
        let fenced = desk.seen_of(CallKind::Discard).len();
        assert_eq!(fenced, 0, "{said}: the input of the create was deleted");
    }
}

/// Ways in which a deletion fails.
fn failures(kit: &Kit) -> Vec<(String, Answer)> {
    // Without 403, since some providers answer it for a deleted file.
    let mut all: Vec<_> = [401, 429, 500, 503]
        .map(|status| {
            let body = kit.wire.refusal(status, "no");
            (format!("HTTP {status}"), Answer::refusal(status, &body))
        })
        .into();
    all.push(("a lost answer".to_owned(), Answer::lost(Fault::Reset)));
    all
}

/// A failed fence is an error: the next create would be made while the earlier one can still be accepted.
pub async fn a_failed_fence_is_an_error(kit: &Kit) {
    for (failure, answer) in failures(kit) {
        let desk = kit.desk().await;
        let adapter = kit.adapter(&desk);
        let shard = kit.shard(&*adapter, 1, "lmbatch-contract-0");
        let staged: Staged = match adapter.codec().capabilities().fence {
            true => {
                kit.intent(&*adapter, &shard)
                    .await
                    .expect("the input is staged")
                    .staged
            }
            false => Staged::ready(),
        };
        desk.confirm_deletions();
        desk.answer(CallKind::Discard, answer);
        let fenced = adapter.fence(&staged).await;
        assert!(fenced.is_err(), "{failure} is accepted as a fence");
    }
}

/// A failed deletion is an error: the file or batch would stay at the provider.
pub async fn a_failed_deletion_is_an_error(kit: &Kit) {
    for (failure, answer) in failures(kit) {
        let remote_objects = [
            RemoteObject::File("files/own".into()),
            RemoteObject::Batch(kit.wire.batch_id(9)),
        ];
        for remote_object in remote_objects {
            let desk = kit.desk().await;
            desk.confirm_deletions();
            desk.answer(CallKind::Discard, answer.clone());
            let discarded = kit.adapter(&desk).discard(&remote_object).await;
            assert!(
                discarded.is_err(),
                "{failure} is accepted as the deletion of {remote_object:?}"
            );
        }
    }
}

/// Returns whether a change is visible in the batch as the wire writes it. Clauses do not ask for values that the
/// provider does not report.
fn is_said(kit: &Kit, batch: &Described, change: impl FnOnce(&mut Described)) -> bool {
    let mut changed = batch.clone();
    change(&mut changed);
    kit.wire.batch(batch) != kit.wire.batch(&changed)
}

/// The creation time of a batch is read to the second, from the status and from the list.
pub async fn the_creation_time_of_a_batch_is_read(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let mut batch = kit.described(1, BatchStatus::Completed);
    batch.created_at = today() - Duration::from_secs(12_345);
    let said = is_said(kit, &batch, |batch| batch.created_at = today());
    let expected = said.then_some(batch.created_at);
    let id = desk.keep(batch);
    let status = adapter.status(&id).await.expect("a status");
    assert_eq!(status.created_at, expected, "the creation time");
    if adapter.codec().capabilities().list {
        let listed = adapter.list(&ListOptions::default()).await;
        let listed = listed.expect("a list");
        assert_eq!(listed.items[0].created_at, expected, "the creation time");
    }
}

/// The label of a batch is read where the provider keeps labels, and is not invented where it does not.
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

/// A batch that failed as a whole reports the reasons in the provider's words, where the provider gives any; other
/// batches have no problems.
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

/// Every part of the results declares its role: answers, errors, or both.
pub async fn results_parts_declare_their_role(kit: &Kit) {
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

/// Another adapter of the account reads the results of a batch completely, even if it is configured for another route:
/// with the class of the batch, and by the batch id alone. With a class of another route it returns all results or an
/// error, never fewer.
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

/// Uploaded files with lmbatch's labels are listed from every page, and unrelated files are not; a response without a
/// list is an error. Where the provider has no list of files, the adapter reports `Unsupported` and sends nothing.
pub async fn uploads_are_listed_or_unsupported(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    if kit.wire.files(&[], None).is_none() {
        let listed = adapter.uploads(None).await;
        assert!(is_unsupported(&listed), "{listed:?}");
        return assert!(desk.seen().is_empty(), "no request may be sent");
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
        .map(|one| (one.remote_object, one.label))
        .collect();
    let labelled = [(3, labels[3]), (2, labels[2]), (0, labels[0])];
    let expected = labelled.map(|(number, label)| {
        (
            RemoteObject::File(format!("files/{number}").into()),
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

/// A probe fails where the key or the model is refused, and where the response is inconclusive; it makes one call,
/// which creates nothing. Where the provider has no such call, the adapter succeeds and sends nothing.
pub async fn a_refused_probe_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let model = kit.wire.model();
    adapter.probe(model).await.expect("key and model are good");
    if kit.wire.probed().is_none() {
        return assert!(desk.seen().is_empty(), "no request may be sent");
    }
    assert_eq!(desk.seen_of(CallKind::Probe).len(), 1);
    assert_eq!(desk.seen().len(), 1, "the probe must make one call");
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
        .expect_err("the response is inconclusive");
}

/// A batch that does not exist is reported as not found, with its id, by `status` and by `results`.
pub async fn a_batch_that_does_not_exist_has_no_results(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let gone: BatchId = kit.wire.batch_id(9);
    let results = adapter.results(None, &gone).await;
    let error = results.expect_err("a batch that is gone");
    assert_eq!(error.kind(), ErrorKind::BatchNotFound, "{error}");
    assert_eq!(error.batch(), Some(&gone));
}
