//! Splits a streamed JSON document that may hold a list of results into the rows of that list and the document around
//! it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Delivery, Error, ErrorKind, Result, Retry, RowStream};
use serde::de::DeserializeOwned;

use crate::reply::{NOT_JSON, not_json};

/// Longest document without its rows, in bytes: 4 MiB.
const MAX_REST: u64 = 4 << 20;

/// Most bytes that are skipped, 2 GiB: repeated lists of the same results, and white space between rows.
const MAX_SKIPPED: u64 = 2 << 30;

/// Most nested levels around a list of rows.
const MAX_DEPTH: usize = 128;

/// Most nested levels within a row, more than any parser accepts; it stops a document that holds only brackets.
const MAX_ROW_DEPTH: u64 = 1 << 16;

/// Longest member name outside of rows, in bytes: 64 KiB.
const MAX_KEY: usize = 64 << 10;

/// Member names from the top of the document to a list of rows, such as `&["response", "rows"]`; `*` stands for every
/// element of a list.
pub type Path = &'static [&'static str];

/// Reads the document without its rows: the lists at `paths` are empty. Anything but a JSON object is an error with
/// the given retry; a document that exceeds a limit is a permanent error.
pub(crate) async fn rest<T: DeserializeOwned>(
    mut body: ByteStream,
    paths: &'static [Path],
    retry: Retry,
) -> Result<T> {
    let mut cutter = Cutter::new(paths);
    // No list is read as rows.
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

/// Returns the rows of the first list at one of `paths`, one per line. An incomplete document is an error, never a
/// shorter list, and so is anything that is not a JSON object, such as an HTML page. Memory use is limited to one
/// piece of the body.
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

/// Part of the document that a byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Around the lists.
    Rest,
    /// In the list whose rows are returned.
    Rows,
    /// In a repeated list, which is skipped.
    Again,
}

/// An open bracket, and the current member within it.
enum Level {
    Object { key: Vec<u8>, expects_key: bool },
    List,
}

/// Incremental parser of a document, which may be split into pieces at any byte.
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

    /// Skips bytes of one part of the document and returns their number; 0 if the next byte must be examined alone.
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

    /// Advances to the end of a row that began with a bracket, or to white space between its values.
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

    /// Appends bytes to the part that they belong to.
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

    /// Returns an error for a document that exceeds a limit.
    fn check(&self) -> Result<()> {
        if self.rest > MAX_REST {
            return Err(too_much(&format!("it is longer than {MAX_REST} bytes")));
        }
        if self.skipped > MAX_SKIPPED {
            return Err(too_much("it holds too much beside its rows"));
        }
        Ok(())
    }

    /// Advances by one byte.
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

    /// Processes one byte around the lists, outside of a string.
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

    /// Processes one byte of a list of rows, outside of a string. Rows may be any JSON value; only their ends matter.
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

/// Creates the permanent error about a document that exceeds a limit: a retry would read the same document.
fn too_much(why: &str) -> Error {
    Error::malformed(why)
}

/// Creates the error about an answer that is not the document, such as an HTML page; a retry may read the document.
fn no_document() -> Error {
    Error::malformed(NOT_JSON).with_retry(Retry::Temporary)
}

/// Returns the number of bytes before the end of a string or the next escape in it.
fn end_of_string(bytes: &[u8]) -> usize {
    memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
}

/// Classes of the bytes of a list.
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
    fn rows_become_lines_and_the_rest_stays_small_at_every_split() {
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
    fn an_incomplete_document_is_an_error_at_every_split() {
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
        assert_eq!(nonsense.unwrap_err().kind(), ErrorKind::MalformedResponse);
    }

    #[test]
    fn anything_but_an_object_is_an_error_and_not_an_empty_list() {
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
                assert_eq!(
                    error.kind(),
                    ErrorKind::MalformedResponse,
                    "{text}: {error}"
                );
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
    fn an_endless_document_is_a_permanent_error() {
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
                assert_eq!(
                    error.kind(),
                    ErrorKind::MalformedResponse,
                    "{before} {unit}"
                );
                assert_eq!(error.retry(), Retry::Permanent, "{before} {unit}: {error}");
            }
        }
    }

    #[test]
    fn deep_rows_and_rows_with_long_names_are_streamed_without_buffering() {
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
