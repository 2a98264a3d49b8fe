//! Clauses about how results travel: parts that are there or not, lines and what is between them, and
//! downloads that break off.

use futures::StreamExt as _;
use lmbatch_core::{BatchStatus, Chunk, ErrorKind, Retry};

use crate::desk::{Answer, Says};
use crate::kit::{Around, Kit, MAX_ROW_BYTES, Open};
use crate::relay::Fault;
use crate::wire::{CallKind, Part, Row, Shape};

const DONE: BatchStatus = BatchStatus::Completed;

/// Where there are answers and no failures, the answers are read: a provider that keeps failures apart
/// has no part for them then.
pub async fn answers_alone_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")],
    );
    assert_eq!(open.told().await, ["one", "two", "three"]);
}

/// Where there are failures and no answers, the failures are read. Some providers have no part for
/// answers then: that is not an empty batch.
pub async fn failures_alone_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(DONE, &[open.no(0, "x"), open.no(1, "x"), open.no(2, "x")]);
    assert_eq!(open.told().await, ["errored", "errored", "errored"]);
}

/// Where there are both, both are read, wherever they stand.
pub async fn answers_and_failures_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[open.no(0, "x"), open.yes(1, "two"), open.no(2, "x")],
    );
    assert_eq!(open.told().await, ["errored", "two", "errored"]);
}

/// Rows that do not come for requests that have ended are asked for again, and then an error to be tried
/// later: the requests are paid for. Once they are given up they are missing.
async fn short_results_are_held(open: &Open) {
    let error = open
        .retrieve()
        .await
        .expect_err("results that are not whole are not delivered");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
    assert_eq!(error.batch(), Some(&open.handle.batch));
    assert_eq!(open.given_up().await, ["missing", "missing", "missing"]);
}

/// A batch that has ended and shows no results at all is not delivered as one without answers. Where a batch never
/// shows them, rows that are not found are not: a 404 may mean that they are not there yet.
pub async fn a_batch_without_results_is_held(kit: &Kit) {
    let open = kit.open_three().await;
    open.end_with(DONE, Vec::new(), 3);
    if kit.wire.shows_results() {
        return short_results_are_held(&open).await;
    }
    let error = open.retrieve().await;
    let error = error.expect_err("rows that are not found are not delivered as none");
    let known = [
        ErrorKind::Timeout,
        ErrorKind::FileNotFound,
        ErrorKind::BatchNotFound,
    ];
    assert!(known.contains(&error.kind()), "{error}");
    assert_eq!(error.batch(), Some(&open.handle.batch));
}

/// Nor is one whose results are there and empty.
pub async fn empty_results_are_held(kit: &Kit) {
    let open = kit.open_three().await;
    let part = open.yes(0, "one").0;
    open.desk.put_rows(part, Vec::new());
    open.end_with(DONE, vec![part], 3);
    short_results_are_held(&open).await;
}

/// A completed batch of whose answers the place does not show yet is not complete: they are waited for. Where a batch
/// never shows it, a completed batch has a part, which is read.
pub async fn a_part_that_does_not_show_yet_is_waited_for(kit: &Kit) {
    let open = kit.open_three().await;
    open.end_with(DONE, Vec::new(), 3);
    let adapter = kit.adapter(&open.desk);
    if !kit.wire.shows_results() {
        let set = adapter.results(None, &open.handle.batch).await;
        return assert!(!set.expect("where the results are").parts.is_empty());
    }
    // An error says as much.
    if let Ok(set) = adapter.results(None, &open.handle.batch).await {
        assert!(!set.complete, "{set:?}");
    }
}

/// Returns three answers, one for each request.
fn whole(open: &Open) -> [(Part, Vec<u8>); 3] {
    [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")]
}

/// Returns the number of calls of the kind [`read_by`] that a retrieve makes until it has read the results of a batch
/// that has ended. The last of them reads the results, so that an answer put there is really read. Lines are read by
/// a call of their own; a document is asked for by its status before, and it is counted how often.
async fn calls_until_read(kit: &Kit) -> u32 {
    let open = kit.open_three().await;
    if open.shape() == Shape::Lines {
        return 1;
    }
    open.end(DONE, &whole(&open));
    assert_eq!(open.told().await, ["one", "two", "three"]);
    open.desk.seen_of(read_by(open.shape())).len() as u32
}

/// A first answer to the results that is empty, cut between two rows or full of someone else's rows spoils
/// nothing: it is read again.
pub async fn spoilt_results_are_read_again(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    for spoil in [Spoil::Empty, Spoil::Half, Spoil::Foreign] {
        let open = kit.open_three().await;
        let spoilt = match spoil {
            Spoil::Empty => Vec::new(),
            Spoil::Half => whole(&open)[..1].to_vec(),
            Spoil::Foreign => vec![open.row_of("stranger-1", &Row::Succeeded("x".to_owned()))],
        };
        let all = whole(&open);
        open.end(DONE, &all);
        let part = all[0].0;
        let rows = open.desk.rows_of(part);
        open.end(DONE, &spoilt);
        if spoilt.is_empty() {
            open.desk.put_rows(part, Vec::new());
        }
        open.end_with(DONE, vec![part], 3);
        open.desk.put_rows_after(part, reads, rows);
        assert_eq!(open.told().await, ["one", "two", "three"], "{spoil:?}");
        let read = open.desk.seen_of(read_by(open.shape())).len();
        assert!(
            read > reads as usize,
            "the spoilt results were not read: {spoil:?}"
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Spoil {
    Empty,
    Half,
    Foreign,
}

/// Before a batch has ended its results are not said to be complete.
pub async fn results_of_an_unfinished_batch_are_not_complete(kit: &Kit) {
    let open = kit.open_three().await;
    let adapter = kit.adapter(&open.desk);
    // An error says as much.
    if let Ok(set) = adapter.results(None, &open.handle.batch).await {
        assert!(!set.complete, "{set:?}");
    }
}

async fn around(kit: &Kit, lines: Around, document: Around) {
    let open = kit.open_three().await;
    let around = match open.shape() {
        Shape::Lines => lines,
        Shape::Document => document,
    };
    let part = open.yes(0, "one").0;
    let rows = [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    assert!(rows.iter().all(|row| row.0 == part));
    open.end_around(DONE, &rows, around);
    assert_eq!(open.told().await, ["one", "two", "three"]);
}

/// Blank lines between rows, and white space between the rows of a document, mean nothing.
pub async fn blank_lines_mean_nothing(kit: &Kit) {
    let lines = Around {
        before: "\n \n",
        between: "\n\n  \n",
        after: "\n\n",
    };
    let document = Around {
        before: " \n",
        between: " \n, \n\n ",
        after: "\n ",
    };
    around(kit, lines, document).await;
}

/// Lines may end in CR LF.
pub async fn lines_may_end_in_cr_lf(kit: &Kit) {
    let lines = Around {
        before: "",
        between: "\r\n",
        after: "\r\n",
    };
    let document = Around {
        before: "\r\n",
        between: ",\r\n",
        after: "\r\n",
    };
    around(kit, lines, document).await;
}

/// A byte order mark before the first row means nothing. A document cannot have one: its rows may begin
/// with white space.
pub async fn a_byte_order_mark_means_nothing(kit: &Kit) {
    let lines = Around {
        before: "\u{feff}",
        between: "\n",
        after: "\n",
    };
    let document = Around {
        before: "\t",
        between: ",\t",
        after: "\t",
    };
    around(kit, lines, document).await;
}

/// The last row may lack its end of line.
pub async fn the_last_line_may_lack_its_end(kit: &Kit) {
    let lines = Around {
        before: "",
        between: "\n",
        after: "",
    };
    around(kit, lines, Around::usual(Shape::Document)).await;
}

/// U+2028, U+2029 and U+0085 within a row, as they are, are not the end of a line.
pub async fn separators_within_a_row_do_not_end_it(kit: &Kit) {
    let open = kit.open_three().await;
    let text = "a\u{2028}b\u{2029}c\u{85}d";
    let row = open.yes(0, text);
    let raw = String::from_utf8_lossy(&row.1).into_owned();
    assert!(raw.contains(text), "the wire writes them as they are");
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    assert_eq!(open.told().await, [text, "two", "three"]);
}

/// A row whose bytes are `bytes` in all.
fn row_of(open: &Open, place: usize, bytes: usize) -> (Part, Vec<u8>) {
    let (_, empty) = open.yes(place, "");
    let row = open.yes(place, &"x".repeat(bytes - empty.len()));
    assert_eq!(row.1.len(), bytes);
    row
}

/// Retrieves with an engine that reads rows of a mebibyte at most: rows read, those that were not, and the
/// outcome of each request.
async fn strictly(open: &Open) -> (u64, Vec<String>) {
    let engine = open.strict();
    let finished = engine.retrieve(&open.by_wire_ids()).await;
    let finished = finished.unwrap_or_else(|error| panic!("the retrieve failed: {error}"));
    let mut reader = engine.outcomes(&finished).expect("outcomes");
    let mut told = Vec::new();
    while let Some(answered) = reader.next().expect("an outcome") {
        told.push(match answered.answer {
            lmbatch_engine::AnswerView::Row { outcome, .. } => match outcome {
                lmbatch_core::OutcomeView::Succeeded(_) => "succeeded".to_owned(),
                _ => "errored".to_owned(),
            },
            _ => "missing".to_owned(),
        });
    }
    (finished.malformed(), told)
}

/// A row of exactly the most bytes that the engine reads, here a mebibyte, is delivered whole.
pub async fn a_row_of_the_most_bytes_is_delivered(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        row_of(&open, 1, MAX_ROW_BYTES),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    let told = strictly(&open).await;
    assert_eq!(told.1, ["succeeded", "succeeded", "succeeded"]);
}

/// One byte more spoils that row, and no other: the stream goes on.
pub async fn a_row_of_one_byte_more_spoils_only_itself(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        row_of(&open, 1, MAX_ROW_BYTES + 1),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    let (malformed, told) = strictly(&open).await;
    assert_eq!(
        (malformed, &*told[0], &*told[2]),
        (1, "succeeded", "succeeded")
    );
    assert_ne!(told[1], "succeeded");
}

/// Rows that end in the middle of the last one, though the download is complete, spoil that row only. A
/// document that ends early is an error, never fewer rows.
pub async fn results_that_end_early_lose_no_other_row(kit: &Kit) {
    let open = kit.open_three().await;
    let mut rows = vec![open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    let half = rows[2].1.len() / 2;
    rows[2].1.truncate(half);
    let usual = Around::usual(open.shape());
    open.end_around(DONE, &rows, Around { after: "", ..usual });
    match open.shape() {
        Shape::Lines => {
            let told = open.given_up().await;
            assert_eq!(told[..2], ["one", "two"]);
            // Where the id is legible, it is a malformed answer.
            assert!(["missing", "errored"].contains(&&*told[2]), "{told:?}");
        }
        Shape::Document => {
            open.retrieve()
                .await
                .expect_err("a document that ends early is an error");
        }
    }
}

/// A download that breaks off can be begun again, and its rows are counted once.
pub async fn a_download_that_breaks_off_is_read_again(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    for fault in [Fault::Reset, Fault::Truncated] {
        let open = kit.open_three().await;
        open.end(DONE, &whole(&open));
        let (kind, lost) = (read_by(open.shape()), Answer::lost(fault));
        open.desk.answer_after(kind, reads - 1, 2, lost);
        assert_eq!(open.told().await, ["one", "two", "three"], "{fault:?}");
    }
}

fn read_by(shape: Shape) -> CallKind {
    match shape {
        Shape::Lines => CallKind::Read,
        Shape::Document => CallKind::Status,
    }
}

/// Results that are refused for now are asked for again; what the provider says instead is never a row.
pub async fn results_that_are_refused_for_now_are_read_later(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    let open = kit.open_three().await;
    open.end(DONE, &whole(&open));
    let refusal = Answer::refusal(503, &kit.wire.refusal(503, "busy"));
    let kind = read_by(open.shape());
    open.desk.answer_after(kind, reads - 1, 2, refusal);
    assert_eq!(open.told().await, ["one", "two", "three"]);
}

/// Results that are gone are an error that says so, and nobody's outcome: what was paid for is lost at the
/// provider, which is not the same as missing. In a document they go with their batch.
pub async fn results_that_are_gone_are_an_error(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    for (status, before) in [(404, 0), (404, reads - 1), (410, reads - 1)] {
        let open = kit.open_three().await;
        open.end(DONE, &whole(&open));
        let gone = Answer::refusal(status, &kit.wire.refusal(status, "gone"));
        let kind = read_by(open.shape());
        open.desk.answer_after(kind, before, u32::MAX, gone);
        let error = open
            .retrieve()
            .await
            .expect_err("results that are gone are an error");
        let expected = match open.shape() {
            Shape::Lines => ErrorKind::FileNotFound,
            Shape::Document => ErrorKind::BatchNotFound,
        };
        assert_eq!(error.kind(), expected, "HTTP {status}: {error}");
        assert_eq!(error.batch(), Some(&open.handle.batch));
    }
}

/// A web page in place of the results holds no rows: nothing of it is delivered, now or later.
pub async fn a_web_page_in_place_of_results_is_nobodys_outcome(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    let open = kit.open_three().await;
    let rows = [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    open.end(DONE, &rows);
    let page = Answer::after(Says::web_page(200, "page"));
    let kind = read_by(open.shape());
    open.desk.answer_after(kind, reads - 1, u32::MAX, page);
    let error = open
        .retrieve()
        .await
        .expect_err("a web page is not results");
    let expected = [ErrorKind::Timeout, ErrorKind::MalformedReply];
    assert!(expected.contains(&error.kind()), "{error}");
    open.desk.answer_as_usual();
    assert_eq!(open.told().await, ["one", "two", "three"]);
}

/// A part that is read gives rows as the provider wrote them, each on a line.
pub async fn a_part_is_read_as_lines(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        open.row(1, &Row::Succeeded("two".to_owned())),
    ];
    open.end(DONE, &rows);
    let adapter = kit.adapter(&open.desk);
    let set = adapter
        .results(None, &open.handle.batch)
        .await
        .expect("parts");
    assert!(set.complete);
    let mut text = Vec::new();
    for part in &set.parts {
        let mut stream = adapter.read(part, 0).await.expect("a stream");
        while let Some(chunk) = stream.next().await {
            match chunk.expect("a piece") {
                Chunk::Bytes(bytes) => text.extend_from_slice(&bytes),
                Chunk::Next(_) => {}
            }
        }
    }
    let text = String::from_utf8(text).expect("UTF-8");
    let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    assert_eq!(lines, [&rows[0].1[..], &rows[1].1[..]]);
}
