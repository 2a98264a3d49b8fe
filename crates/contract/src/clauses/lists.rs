//! Clauses about pages of a list that replace status calls: many batches are polled with a few pages, and a terminal
//! status on a page ends the wait for its batch. Part of edition 2026-11.

use lmbatch_core::{
    BatchId, BatchProvider, BatchSnapshot, BatchStatus, Cursor, ListOptions, RequestCounts,
};

use crate::desk::Desk;
use crate::kit::Kit;

/// Status word that no provider uses.
const UNKNOWN: &str = "NAPPING_for_tea";

/// Maximum number of pages that a clause reads of one list.
const MOST_PAGES: usize = 50;

/// A list reports each batch as the status call does: its status in every documented word and in an unknown one, its
/// times, and its counts where the list has any. An adapter whose lists say less, or something else, does not declare
/// [`status_page`](lmbatch_core::Capabilities::status_page).
pub async fn a_status_page_agrees_with_every_status(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let Some(size) = status_page(&*adapter) else {
        return;
    };
    desk.page(3);
    keep_one_of_each(kit, &desk);
    let listed = every_page(&*adapter, size).await;
    assert_eq!(
        listed.len(),
        desk.batches(),
        "the list must show every batch"
    );
    agree(&*adapter, &listed).await;
}

/// A list is as current as a status call: a change at the provider since the last page was read is on the next one. An
/// adapter that caches pages, or whose lists lag behind, does not declare
/// [`status_page`](lmbatch_core::Capabilities::status_page).
pub async fn a_status_page_is_as_current_as_a_status(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let Some(size) = status_page(&*adapter) else {
        return;
    };
    let ids: Vec<BatchId> = (1..=3)
        .map(|number| desk.keep(kit.described(number, BatchStatus::InProgress)))
        .collect();
    agree(&*adapter, &every_page(&*adapter, size).await).await;
    for (number, id) in ids.iter().enumerate() {
        let ended = kit.described(number as u32 + 1, BatchStatus::Completed);
        desk.change_batch(id, |batch| *batch = ended);
        let listed = every_page(&*adapter, size).await;
        let shown = listed.iter().find(|batch| batch.id == *id);
        let status = shown.map(|batch| &batch.status);
        assert_eq!(status, Some(&BatchStatus::Completed), "{id}: the list lags");
        agree(&*adapter, &listed).await;
    }
}

/// Number of batches on a page that replaces status calls. Checks that an adapter that declares it can list batches.
fn status_page(adapter: &dyn BatchProvider) -> Option<u32> {
    let capabilities = adapter.codec().capabilities();
    let size = capabilities.status_page?;
    assert!(
        capabilities.list,
        "an adapter with status pages must list batches"
    );
    assert!(size > 0, "a page must hold at least one batch");
    Some(size)
}

/// Adds batches with every status and every documented word, and one with an unknown word.
fn keep_one_of_each(kit: &Kit, desk: &Desk) {
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    for status in kit.wire.statuses() {
        let mut batch = kit.described(next(), status.clone());
        if status == BatchStatus::Failed {
            batch.problems.push("line 2 is no JSON".to_owned());
        }
        desk.keep(batch);
    }
    for (word, meaning) in kit.wire.words() {
        let mut batch = kit.described(next(), meaning);
        batch.status = BatchStatus::Unknown(word.to_owned());
        desk.keep(batch);
    }
    let mut batch = kit.described(next(), BatchStatus::InProgress);
    batch.status = BatchStatus::Unknown(UNKNOWN.to_owned());
    desk.keep(batch);
}

/// The batches of all pages, fetched with the given page size.
async fn every_page(adapter: &dyn BatchProvider, size: u32) -> Vec<BatchSnapshot> {
    let (mut listed, mut at) = (Vec::new(), None::<Cursor>);
    for _ in 0..MOST_PAGES {
        let options = ListOptions {
            limit: Some(size),
            page: at,
        };
        let page = adapter.list(&options).await;
        let page = page.unwrap_or_else(|error| panic!("a page of {size} is listed: {error}"));
        listed.extend(page.items);
        at = page.next;
        if at.is_none() {
            return listed;
        }
    }
    panic!("the list does not end after {MOST_PAGES} pages");
}

async fn agree(adapter: &dyn BatchProvider, listed: &[BatchSnapshot]) {
    for shown in listed {
        let status = adapter.status(&shown.id).await.expect("a status");
        let id = &shown.id;
        assert_eq!(shown.status, status.status, "the status of {id}");
        let times = |of: &BatchSnapshot| (of.created_at, of.expires_at, of.ended_at);
        assert_eq!(times(shown), times(&status), "the times of {id}");
        if shown.counts != RequestCounts::default() {
            assert_eq!(shown.counts, status.counts, "the counts of {id}");
        }
    }
}
