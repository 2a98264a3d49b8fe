//! One JSON document that may hold a list of results: cut, as it streams, into the rows of that list and
//! the small rest around it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Delivery, Error, ErrorKind, Result, Retry, RowStream};
use serde::de::DeserializeOwned;

use crate::reply::{NOT_JSON, not_json};

/// The most bytes of a document without its rows.
const MAX_REST: u64 = 4 << 20;

/// The most bytes between and beside the rows that are read: a list that says the same again, and spaces.
const MAX_SKIPPED: u64 = 2 << 30;

/// The most levels around a list of rows.
const MAX_DEPTH: usize = 128;

/// The most levels within a row. No parser reads so many; a document of nothing but brackets ends here.
const MAX_ROW_DEPTH: u64 = 1 << 16;

/// The most bytes of a member's name outside of rows.
const MAX_KEY: usize = 64 << 10;

/// Member names from the top of the document to a list of rows; `*` for every element of a list between.
pub type Path = &'static [&'static str];

/// The document without its rows: lists at `paths` are empty in it. Something else in its place is an error of
/// the given retry; a document that costs too much is permanent.
pub(crate) async fn rest<T: DeserializeOwned>(
    mut body: ByteStream,
    paths: &'static [Path],
    retry: Retry,
) -> Result<T> {
    let mut cutter = Cutter::new(paths);
    // No list is taken.
    cutter.taken = true;
    let (mut rest, mut rows) = (Vec::new(), BytesMut::new());
    while let Some(piece) = body.try_next().await? {
        cutter
            .cut(&piece, Some(&mut rest), &mut rows)
            .map_err(|error| match error.retry() {
                Retry::Temporary => error.with_retry(retry),
                _ => error,
            })?;
    }
    serde_json::from_slice(&rest)
        .map_err(|error| Error::malformed(not_json(&error)).with_retry(retry))
}

/// The rows of the first list that stands at one of `paths`, each on a line of its own. A document that
/// ends early is an error, never fewer rows, and so is anything that is no JSON object, such as a web page.
/// What is read of a document never costs more memory than a piece of it.
pub fn document_rows(body: ByteStream, paths: &'static [Path]) -> RowStream {
    let start = (body, Cutter::new(paths), VecDeque::<Bytes>::new());
    stream::try_unfold(start, |(mut body, mut cutter, mut ready)| async move {
        loop {
            if let Some(rows) = ready.pop_front() {
                return Ok(Some((Chunk::Bytes(rows), (body, cutter, ready))));
            }
            let Some(piece) = body.try_next().await? else {
                return if cutter.is_whole() {
                    Ok(None)
                } else {
                    Err(Error::new(ErrorKind::Connection)
                        .with_operation("read the results")
                        .with_message("the document ended early")
                        .with_retry(Retry::Temporary)
                        .with_delivery(Delivery::Unknown))
                };
            };
            let mut rows = BytesMut::with_capacity(piece.len());
            cutter
                .cut(&piece, None, &mut rows)
                .map_err(|error| error.with_operation("read the results"))?;
            if !rows.is_empty() {
                ready.push_back(rows.freeze());
            }
        }
    })
    .boxed()
}

/// Where a byte belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Around the lists.
    Rest,
    /// In the list that is taken.
    Rows,
    /// In a list that says the same again.
    Again,
}

/// An open bracket, and the member of it that is being read.
enum Level {
    Object { key: Vec<u8>, expects_key: bool },
    List,
}

/// Follows a document byte by byte, across any cut.
struct Cutter {
    paths: &'static [Path],
    /// Open brackets up to the list of rows. Within rows they are only counted.
    levels: Vec<Level>,
    row_depth: u64,
    in_string: bool,
    escaped: bool,
    in_key: bool,
    place: Place,
    row_begun: bool,
    taken: bool,
    begun: bool,
    rest: u64,
    skipped: u64,
}

impl Cutter {
    fn new(paths: &'static [Path]) -> Self {
        Self {
            paths,
            levels: Vec::new(),
            row_depth: 0,
            in_string: false,
            escaped: false,
            in_key: false,
            place: Place::Rest,
            row_begun: false,
            taken: false,
            begun: false,
            rest: 0,
            skipped: 0,
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.levels.is_empty() && !self.in_string
    }

    fn cut(
        &mut self,
        piece: &[u8],
        mut rest: Option<&mut Vec<u8>>,
        rows: &mut BytesMut,
    ) -> Result<()> {
        let mut at = 0;
        while let Some(byte) = piece.get(at) {
            let run = self.run(&piece[at..])?;
            if run > 0 {
                self.take(&piece[at..at + run], rest.as_deref_mut(), rows);
                at += run;
                continue;
            }
            at += 1;
            let before = self.place;
            let inside = self.step(*byte)?;
            match (before, self.place) {
                (Place::Rest, Place::Rest) | (Place::Rest, _) | (_, Place::Rest) => {
                    if before == Place::Rows && self.row_begun {
                        rows.extend_from_slice(b"\n");
                        self.row_begun = false;
                    }
                    self.rest += 1;
                    if let Some(rest) = rest.as_deref_mut() {
                        rest.push(*byte);
                    }
                }
                (Place::Rows, _) => match inside {
                    Inside::Row => {
                        rows.extend_from_slice(&[*byte]);
                        self.row_begun = true;
                    }
                    Inside::Between => {
                        if self.row_begun {
                            rows.extend_from_slice(b"\n");
                        }
                        self.row_begun = false;
                        self.skipped += 1;
                    }
                    Inside::Space => self.skipped += 1,
                },
                (Place::Again, _) => self.skipped += 1,
            }
        }
        self.check()
    }

    /// Goes past bytes that belong to one place, and counts them; 0 where the next byte is looked at by itself.
    fn run(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.place {
            Place::Rest if self.in_string && !self.escaped && !self.in_key => {
                Ok(end_of_string(bytes))
            }
            Place::Rest => Ok(0),
            Place::Rows | Place::Again if self.row_depth > 0 => self.within_row(bytes),
            Place::Rows | Place::Again => Ok(0),
        }
    }

    /// Goes to the end of a row that has begun with a bracket, or to a space between its values.
    fn within_row(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                at += end_of_string(&bytes[at..]);
                match bytes.get(at) {
                    Some(b'"') => self.in_string = false,
                    Some(_) => self.escaped = true,
                    None => break,
                }
            } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                break;
            } else {
                self.step_inside(*byte)?;
            }
            at += 1;
            if self.row_depth == 0 {
                break;
            }
        }
        Ok(at)
    }

    /// Puts bytes where they belong.
    fn take(&mut self, run: &[u8], rest: Option<&mut Vec<u8>>, rows: &mut BytesMut) {
        match self.place {
            Place::Rest => {
                self.rest += run.len() as u64;
                if let Some(rest) = rest {
                    rest.extend_from_slice(run);
                }
            }
            Place::Rows => {
                rows.extend_from_slice(run);
                self.row_begun = true;
            }
            Place::Again => self.skipped += run.len() as u64,
        }
    }

    /// Reports a document that costs more than any real one.
    fn check(&self) -> Result<()> {
        if self.rest > MAX_REST {
            return Err(too_much(&format!("it is longer than {MAX_REST} bytes")));
        }
        if self.skipped > MAX_SKIPPED {
            return Err(too_much("it holds too much beside its rows"));
        }
        Ok(())
    }

    /// One byte on.
    fn step(&mut self, byte: u8) -> Result<Inside> {
        if self.in_string {
            self.string_byte(byte)?;
            return Ok(Inside::Row);
        }
        if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            return Ok(Inside::Space);
        }
        if self.levels.is_empty() && (self.begun || byte != b'{') {
            return Err(no_document());
        }
        self.begun = true;
        match self.place {
            Place::Rest => self.step_outside(byte)?,
            Place::Rows | Place::Again => return self.step_inside(byte),
        }
        Ok(Inside::Row)
    }

    /// One byte around the lists, outside of a string.
    fn step_outside(&mut self, byte: u8) -> Result<()> {
        match byte {
            b'"' => {
                self.in_string = true;
                if let Some(Level::Object {
                    key,
                    expects_key: true,
                }) = self.levels.last_mut()
                {
                    key.clear();
                    self.in_key = true;
                }
            }
            b'{' | b'[' if self.levels.len() >= MAX_DEPTH => {
                return Err(too_much(&format!(
                    "it is nested more than {MAX_DEPTH} levels deep"
                )));
            }
            b'{' => self.levels.push(Level::Object {
                key: Vec::new(),
                expects_key: true,
            }),
            b'[' => {
                let here = self.is_at_path();
                self.levels.push(Level::List);
                if here {
                    self.place = match self.taken {
                        true => Place::Again,
                        false => Place::Rows,
                    };
                    self.taken = true;
                }
            }
            b'}' | b']' => {
                let object = matches!(self.levels.pop(), Some(Level::Object { .. }));
                if object != (byte == b'}') {
                    return Err(no_document());
                }
            }
            b',' | b':' => {
                if let Some(Level::Object { expects_key, .. }) = self.levels.last_mut() {
                    *expects_key = byte == b',';
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// One byte of a list of rows, outside of a string. Rows may be of any kind: only their ends matter.
    fn step_inside(&mut self, byte: u8) -> Result<Inside> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.row_depth += 1;
                if self.row_depth > MAX_ROW_DEPTH {
                    return Err(too_much(&format!(
                        "a row is nested more than {MAX_ROW_DEPTH} levels deep"
                    )));
                }
            }
            b'}' | b']' if self.row_depth > 0 => self.row_depth -= 1,
            b']' => {
                self.place = Place::Rest;
                self.levels.pop();
            }
            b'}' => return Err(no_document()),
            b',' if self.row_depth == 0 => return Ok(Inside::Between),
            _ => {}
        }
        Ok(Inside::Row)
    }

    fn string_byte(&mut self, byte: u8) -> Result<()> {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if ends {
            self.in_string = false;
            self.in_key = false;
        } else if self.in_key
            && let Some(Level::Object { key, .. }) = self.levels.last_mut()
        {
            if key.len() >= MAX_KEY {
                return Err(too_much(&format!(
                    "the name of a member is longer than {MAX_KEY} bytes"
                )));
            }
            key.push(byte);
        }
        Ok(())
    }

    fn is_at_path(&self) -> bool {
        let keys = self.levels.iter().map(|level| match level {
            Level::Object { key, .. } => Some(key.as_slice()),
            Level::List => None,
        });
        self.paths.iter().any(|path| {
            path.len() == self.levels.len()
                && keys
                    .clone()
                    .zip(*path)
                    .all(|(key, name)| key.unwrap_or(b"*") == name.as_bytes())
        })
    }
}

/// A document that costs more than any real one. It is the same when it is read again.
fn too_much(why: &str) -> Error {
    Error::malformed(why)
}

/// Something else in place of the document, such as a web page: the next answer may be the document.
fn no_document() -> Error {
    Error::malformed(NOT_JSON).with_retry(Retry::Temporary)
}

/// Number of bytes before the end of a string or an escape in it.
fn end_of_string(bytes: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// What a byte of a list is.
enum Inside {
    Row,
    Between,
    Space,
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::{Value, json};

    use super::*;

    const PATHS: &[Path] = &[
        &["response", "rows", "rows"],
        &["metadata", "output", "rows"],
    ];

    fn pieces(text: &str, step: usize) -> ByteStream {
        let pieces: Vec<_> = text
            .as_bytes()
            .chunks(step)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        stream::iter(pieces).boxed()
    }

    fn rows(text: &str, step: usize) -> Result<String> {
        let chunks: Vec<Chunk> = block_on(document_rows(pieces(text, step), PATHS).try_collect())?;
        let bytes = chunks.into_iter().map(|chunk| match chunk {
            Chunk::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Chunk::Next(_) => panic!("there is no next part"),
        });
        Ok(bytes.collect())
    }

    #[test]
    fn rows_come_out_as_lines_and_the_rest_stays_small_however_it_is_cut() {
        let text = r#" {"name":"b","metadata":{"rows":[1],"output":{"rows":[ {"a":[1,{"b":"],\n\"}"}]} , {"c":
            2}, 3 ]},"state":"x"},"response":{"rows":{"rows":[{"a":1}]}},"done":true}
        "#;
        for step in 1..=text.len() {
            assert_eq!(
                rows(text, step).unwrap(),
                "{\"a\":[1,{\"b\":\"],\\n\\\"}\"}]}\n{\"c\":2}\n3\n",
                "pieces of {step}"
            );
            let rest: Value = block_on(rest(pieces(text, step), PATHS, Retry::Permanent)).unwrap();
            let expected = json!({
                "name": "b", "metadata": {"rows": [1], "output": {"rows": []}, "state": "x"},
                "response": {"rows": {"rows": []}}, "done": true,
            });
            assert_eq!(rest, expected, "pieces of {step}");
        }
    }

    #[test]
    fn a_document_that_ends_early_is_an_error_at_every_cut() {
        let text = r#"{"response":{"rows":{"rows":[{"a":"x"},{"b":2}]}}}"#;
        for end in 0..text.len() {
            let error = rows(&text[..end], 7).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Connection, "cut at {end}");
        }
        assert_eq!(rows(text, 7).unwrap(), "{\"a\":\"x\"}\n{\"b\":2}\n");
    }

    #[test]
    fn a_document_without_the_list_has_no_rows() {
        for text in [
            "{}",
            r#"{"response":{"rows":{"rows":[]}}}"#,
            r#"{"error":{"rows":[1]}}"#,
        ] {
            assert_eq!(rows(text, 3).unwrap(), "", "{text}");
        }
        let nonsense = block_on(rest::<Value>(pieces("<html>", 2), PATHS, Retry::Temporary));
        assert_eq!(nonsense.unwrap_err().kind(), ErrorKind::MalformedReply);
    }

    #[test]
    fn what_is_no_document_is_an_error_and_never_no_rows() {
        for text in [
            "<!DOCTYPE html><html>",
            "null",
            "[]",
            "\"x\"",
            "{}{}",
            "{}\n<html>",
            "{\"response\":{\"rows\":{\"rows\":[1}}}",
            "{\"a\":1]",
            "\u{feff}{}",
        ] {
            for step in [1, 3, 100] {
                let error = rows(text, step).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::MalformedReply, "{text}: {error}");
                assert_eq!(error.retry(), Retry::Temporary, "{text}");
            }
        }
        for text in ["", " \n"] {
            assert_eq!(rows(text, 1).unwrap_err().kind(), ErrorKind::Connection);
        }
    }

    /// `before`, then `unit` for ever.
    fn endless(before: &'static str, unit: &'static str) -> ByteStream {
        let piece = Bytes::from(unit.repeat((64 << 10) / unit.len()));
        let before = stream::iter([Ok(Bytes::from(before))]);
        before
            .chain(stream::repeat_with(move || Ok(piece.clone())))
            .boxed()
    }

    const IN_ROWS: &str = r#"{"response":{"rows":{"rows":["#;

    #[test]
    fn an_endless_document_ends_in_an_error_that_asking_again_does_not_cure() {
        for (before, unit) in [
            ("", "{\"a\":"),
            ("{\"a\":", "["),
            ("{\"a\":\"", "x"),
            ("{\"", "x"),
            ("{\"a\":[", "1,"),
            (IN_ROWS, "["),
            (IN_ROWS, "{\"a\":"),
        ] {
            let read = document_rows(endless(before, unit), PATHS);
            let read = block_on(read.try_for_each(|_| std::future::ready(Ok(()))));
            let polled = block_on(rest::<Value>(
                endless(before, unit),
                PATHS,
                Retry::Temporary,
            ));
            for error in [read.unwrap_err(), polled.unwrap_err()] {
                assert_eq!(error.kind(), ErrorKind::MalformedReply, "{before} {unit}");
                assert_eq!(error.retry(), Retry::Permanent, "{before} {unit}: {error}");
            }
        }
    }

    #[test]
    fn a_deep_row_and_a_row_with_a_long_name_are_rows_like_others_and_are_not_kept() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let long = format!("{{\"{}\":1}}", "x".repeat(1 << 20));
        let text = format!("{IN_ROWS}1,{deep},{long},2]}}}}}}");
        let expected = format!("1\n{deep}\n{long}\n2\n");
        assert_eq!(rows(&text, 4096).unwrap(), expected);
        let mut cutter = Cutter::new(PATHS);
        let mut out = BytesMut::new();
        cutter.cut(text.as_bytes(), None, &mut out).unwrap();
        let kept = cutter.levels.iter().map(|level| match level {
            Level::Object { key, .. } => key.capacity(),
            Level::List => 0,
        });
        assert!(cutter.levels.capacity() < 64 && kept.sum::<usize>() < 1024);
    }
}
