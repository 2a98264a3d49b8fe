//! Clauses about the transport of results: parts that are present or absent, line ends and separators, and interrupted
//! downloads.

use futures::StreamExt as _;
use lmbatch_core::{BatchStatus, Chunk, ErrorKind, Retry};

use crate::desk::{Answer, Says};
use crate::kit::{Around, Kit, MAX_ROW_BYTES, Open};
use crate::relay::Fault;
use crate::wire::{CallKind, Part, Row, Shape};

const DONE: BatchStatus = BatchStatus::Completed;

/// Results with only answers are read: a provider that separates failures has no part for them in that case.
pub async fn results_with_only_answers_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")],
    );
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// Results with only failures are read. Some providers have no part for answers in that case, which does not mean an
/// empty batch.
pub async fn results_with_only_failures_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(DONE, &[open.no(0, "x"), open.no(1, "x"), open.no(2, "x")]);
    assert_eq!(open.texts().await, ["errored", "errored", "errored"]);
}

/// Results with answers and failures are read, whether they are in one part or in two.
pub async fn results_with_answers_and_failures_are_read(kit: &Kit) {
    let open = kit.open_three().await;
    open.end(
        DONE,
        &[open.no(0, "x"), open.yes(1, "two"), open.no(2, "x")],
    );
    assert_eq!(open.texts().await, ["errored", "two", "errored"]);
}

/// Checks that results with absent rows are fetched again and then fail with an error that is retryable, since the
/// requests were paid for. Once the caller abandons them, they are missing.
async fn short_results_are_held(open: &Open) {
    let error = open
        .retrieve()
        .await
        .expect_err("incomplete results are not delivered");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
    assert_eq!(error.batch(), Some(&open.handle.batch));
    assert_eq!(open.given_up().await, ["missing", "missing", "missing"]);
}

/// A batch that has ended without any results is not delivered as a batch without answers. Where a batch never shows
/// its results, a 404 for the rows is treated alike, since they may not be visible yet.
pub async fn an_ended_batch_without_results_is_not_delivered(kit: &Kit) {
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

/// A batch that has ended with an empty list of results is not delivered as a batch without answers.
pub async fn an_ended_batch_with_empty_results_is_not_delivered(kit: &Kit) {
    let open = kit.open_three().await;
    let part = open.yes(0, "one").0;
    open.desk.put_rows(part, Vec::new());
    open.end_with(DONE, vec![part], 3);
    short_results_are_held(&open).await;
}

/// Results of a completed batch that are not visible yet are incomplete, so that the engine waits for them. Where a
/// batch never shows the location of its results, a completed batch has a part, which is read.
pub async fn results_that_are_not_visible_yet_are_incomplete(kit: &Kit) {
    let open = kit.open_three().await;
    open.end_with(DONE, Vec::new(), 3);
    let adapter = kit.adapter(&open.desk);
    if !kit.wire.shows_results() {
        let set = adapter.results(None, &open.handle.batch).await;
        return assert!(!set.expect("the set of results").parts.is_empty());
    }
    // An error is as good as an incomplete result.
    if let Ok(set) = adapter.results(None, &open.handle.batch).await {
        assert!(!set.complete, "{set:?}");
    }
}

/// Returns three answers, one for each request.
fn whole(open: &Open) -> [(Part, Vec<u8>); 3] {
    [open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")]
}

/// Returns the number of calls of the kind [`read_by`] that a retrieve makes until it has read the results of an ended
/// batch. The last of these calls reads the results, so that a fault placed there is really read. Lines have a call of
/// their own; a document is also fetched for its status before, so the calls are counted.
async fn calls_until_read(kit: &Kit) -> u32 {
    let open = kit.open_three().await;
    if open.shape() == Shape::Lines {
        return 1;
    }
    open.end(DONE, &whole(&open));
    assert_eq!(open.texts().await, ["one", "two", "three"]);
    open.desk.seen_of(read_by(open.shape())).len() as u32
}

/// A first response to the results that is empty, cut between two rows or full of unrelated rows does no harm: the
/// results are read again.
pub async fn corrupt_results_are_read_again(kit: &Kit) {
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
        assert_eq!(open.texts().await, ["one", "two", "three"], "{spoil:?}");
        let read = open.desk.seen_of(read_by(open.shape())).len();
        assert!(
            read > reads as usize,
            "the corrupt results were not read: {spoil:?}"
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Spoil {
    Empty,
    Half,
    Foreign,
}

/// Results of a batch that has not ended are not reported as complete.
pub async fn results_of_an_unfinished_batch_are_incomplete(kit: &Kit) {
    let open = kit.open_three().await;
    let adapter = kit.adapter(&open.desk);
    // An error is as good as an incomplete result.
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
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// Blank lines between rows, and white space between the rows of a document, are ignored.
pub async fn blank_lines_are_ignored(kit: &Kit) {
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

/// A byte order mark before the first row is ignored. A document cannot have one; white space before its first row is
/// ignored instead.
pub async fn a_byte_order_mark_is_ignored(kit: &Kit) {
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

/// The last row may lack its line feed.
pub async fn the_last_line_may_lack_a_line_feed(kit: &Kit) {
    let lines = Around {
        before: "",
        between: "\n",
        after: "",
    };
    around(kit, lines, Around::usual(Shape::Document)).await;
}

/// U+2028, U+2029 and U+0085, unescaped inside a row, do not end the row.
pub async fn unicode_line_separators_do_not_end_a_row(kit: &Kit) {
    let open = kit.open_three().await;
    let text = "a\u{2028}b\u{2029}c\u{85}d";
    let row = open.yes(0, text);
    let raw = String::from_utf8_lossy(&row.1).into_owned();
    assert!(raw.contains(text), "the wire writes them as they are");
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    assert_eq!(open.texts().await, [text, "two", "three"]);
}

/// A row with a total size of `bytes`.
fn row_of(open: &Open, place: usize, bytes: usize) -> (Part, Vec<u8>) {
    let (_, empty) = open.yes(place, "");
    let row = open.yes(place, &"x".repeat(bytes - empty.len()));
    assert_eq!(row.1.len(), bytes);
    row
}

/// Retrieves with an engine that reads rows of at most 1 MiB. Returns the number of malformed rows and the outcome of
/// each request.
async fn strictly(open: &Open) -> (u64, Vec<String>) {
    let engine = open.strict();
    let finished = engine.retrieve(&open.by_wire_ids()).await;
    let finished = finished.unwrap_or_else(|error| panic!("the retrieve failed: {error}"));
    let mut reader = engine.outcomes(&finished).expect("outcomes");
    let mut texts = Vec::new();
    while let Some(answered) = reader.next().expect("an outcome") {
        texts.push(match answered.answer {
            lmbatch_engine::AnswerView::Row { outcome, .. } => match outcome {
                lmbatch_core::OutcomeView::Succeeded(_) => "succeeded".to_owned(),
                _ => "errored".to_owned(),
            },
            _ => "missing".to_owned(),
        });
    }
    (finished.malformed(), texts)
}

/// A row of exactly the maximum size, here 1 MiB, is delivered complete.
pub async fn a_row_of_the_maximum_size_is_delivered(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        row_of(&open, 1, MAX_ROW_BYTES),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    let texts = strictly(&open).await;
    assert_eq!(texts.1, ["succeeded", "succeeded", "succeeded"]);
}

/// A row of one byte more than the maximum size fails alone: the rows after it are read.
pub async fn an_oversized_row_does_not_affect_other_rows(kit: &Kit) {
    let open = kit.open_three().await;
    let rows = [
        open.yes(0, "one"),
        row_of(&open, 1, MAX_ROW_BYTES + 1),
        open.yes(2, "three"),
    ];
    open.end(DONE, &rows);
    let (malformed, texts) = strictly(&open).await;
    assert_eq!(
        (malformed, &*texts[0], &*texts[2]),
        (1, "succeeded", "succeeded")
    );
    assert_ne!(texts[1], "succeeded");
}

/// Lines that end in the middle of the last row, although the download is complete, lose only that row. A truncated
/// document is an error, never fewer rows.
pub async fn truncated_results_lose_only_the_last_row(kit: &Kit) {
    let open = kit.open_three().await;
    let mut rows = vec![open.yes(0, "one"), open.yes(1, "two"), open.yes(2, "three")];
    let half = rows[2].1.len() / 2;
    rows[2].1.truncate(half);
    let usual = Around::usual(open.shape());
    open.end_around(DONE, &rows, Around { after: "", ..usual });
    match open.shape() {
        Shape::Lines => {
            let texts = open.given_up().await;
            assert_eq!(texts[..2], ["one", "two"]);
            // Where the id can be read, the row is a malformed answer.
            assert!(["missing", "errored"].contains(&&*texts[2]), "{texts:?}");
        }
        Shape::Document => {
            open.retrieve()
                .await
                .expect_err("a document that ends early is an error");
        }
    }
}

/// An interrupted download is read again, and its rows are counted once.
pub async fn an_interrupted_download_is_read_again(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    for fault in [Fault::Reset, Fault::Truncated] {
        let open = kit.open_three().await;
        open.end(DONE, &whole(&open));
        let (kind, lost) = (read_by(open.shape()), Answer::lost(fault));
        open.desk.answer_after(kind, reads - 1, 2, lost);
        assert_eq!(open.texts().await, ["one", "two", "three"], "{fault:?}");
    }
}

fn read_by(shape: Shape) -> CallKind {
    match shape {
        Shape::Lines => CallKind::Read,
        Shape::Document => CallKind::Status,
    }
}

/// Results that are temporarily refused are fetched again; the error response never becomes a row.
pub async fn temporarily_refused_results_are_read_later(kit: &Kit) {
    let reads = calls_until_read(kit).await;
    let open = kit.open_three().await;
    open.end(DONE, &whole(&open));
    let refusal = Answer::refusal(503, &kit.wire.refusal(503, "busy"));
    let kind = read_by(open.shape());
    open.desk.answer_after(kind, reads - 1, 2, refusal);
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// Deleted results are an error of their own and no outcome: an answer that was paid for is lost at the provider,
/// which differs from missing. In a document the results are deleted with their batch.
pub async fn deleted_results_are_an_error(kit: &Kit) {
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

/// An HTML page instead of results holds no rows: nothing of it is delivered, now or later.
pub async fn an_html_page_instead_of_results_is_no_outcome(kit: &Kit) {
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
    let expected = [ErrorKind::Timeout, ErrorKind::MalformedResponse];
    assert!(expected.contains(&error.kind()), "{error}");
    open.desk.answer_as_usual();
    assert_eq!(open.texts().await, ["one", "two", "three"]);
}

/// A part of the results is read as the provider's rows, each on one line.
pub async fn a_results_part_is_read_as_lines(kit: &Kit) {
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
