//! One JSON document that may hold a list of results: cut, as it streams, into the rows of that list and
//! the small rest around it.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{ByteStream, Chunk, Delivery, Error, ErrorKind, Result, Retry, RowStream};
use serde::de::DeserializeOwned;

/// The most bytes of a document without its rows.
const MAX_REST: usize = 4 << 20;

/// Member names from the top of the document to a list of rows; `*` for every element of a list between.
pub type Path = &'static [&'static str];

/// The document without its rows: lists at `paths` are empty in it.
pub(crate) async fn rest<T: DeserializeOwned>(
    mut body: ByteStream,
    paths: &'static [Path],
) -> Result<T> {
    let mut cutter = Cutter::new(paths);
    let (mut rest, mut rows) = (Vec::new(), BytesMut::new());
    while let Some(piece) = body.try_next().await? {
        cutter.cut(&piece, Some(&mut rest), &mut rows);
        rows.clear();
        if rest.len() > MAX_REST {
            return Err(Error::malformed(format!(
                "it is longer than {MAX_REST} bytes"
            )));
        }
    }
    // The parser's words may quote the body: its position is enough.
    serde_json::from_slice(&rest).map_err(|error| {
        Error::malformed(format!(
            "not the JSON that was expected (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}

/// The rows of the first list that stands at one of `paths`, each on a line of its own. A document that
/// ends early is an error, never fewer rows.
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
            cutter.cut(&piece, None, &mut rows);
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
    levels: Vec<Level>,
    in_string: bool,
    escaped: bool,
    in_key: bool,
    place: Place,
    /// How many levels are open where a list of rows is.
    list_at: usize,
    row_begun: bool,
    taken: bool,
    begun: bool,
}

impl Cutter {
    fn new(paths: &'static [Path]) -> Self {
        Self {
            paths,
            levels: Vec::new(),
            in_string: false,
            escaped: false,
            in_key: false,
            place: Place::Rest,
            list_at: 0,
            row_begun: false,
            taken: false,
            begun: false,
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.levels.is_empty() && !self.in_string
    }

    fn cut(&mut self, piece: &[u8], mut rest: Option<&mut Vec<u8>>, rows: &mut BytesMut) {
        for byte in piece {
            let before = self.place;
            let inside = self.step(*byte);
            match (before, self.place) {
                (Place::Rest, Place::Rest) | (Place::Rest, _) | (_, Place::Rest) => {
                    if before == Place::Rows && self.row_begun {
                        rows.extend_from_slice(b"\n");
                        self.row_begun = false;
                    }
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
                    }
                    Inside::Space => {}
                },
                (Place::Again, _) => {}
            }
        }
    }

    /// One byte on.
    fn step(&mut self, byte: u8) -> Inside {
        self.begun = true;
        if self.in_string {
            self.string_byte(byte);
            return Inside::Row;
        }
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
            b'{' => self.levels.push(Level::Object {
                key: Vec::new(),
                expects_key: true,
            }),
            b'[' => {
                let here = self.place == Place::Rest && self.is_at_path();
                self.levels.push(Level::List);
                if here {
                    self.place = if self.taken {
                        Place::Again
                    } else {
                        Place::Rows
                    };
                    self.list_at = self.levels.len();
                    self.taken = true;
                }
            }
            b'}' | b']' => {
                if self.place != Place::Rest && self.levels.len() == self.list_at {
                    self.place = Place::Rest;
                }
                self.levels.pop();
            }
            b',' => {
                if let Some(Level::Object { expects_key, .. }) = self.levels.last_mut() {
                    *expects_key = true;
                }
                if self.place != Place::Rest && self.levels.len() == self.list_at {
                    return Inside::Between;
                }
            }
            b':' => {
                if let Some(Level::Object { expects_key, .. }) = self.levels.last_mut() {
                    *expects_key = false;
                }
            }
            b' ' | b'\n' | b'\r' | b'\t' => return Inside::Space,
            _ => {}
        }
        Inside::Row
    }

    fn string_byte(&mut self, byte: u8) {
        let ends = byte == b'"' && !self.escaped;
        self.escaped = byte == b'\\' && !self.escaped;
        if ends {
            self.in_string = false;
            self.in_key = false;
        } else if self.in_key
            && let Some(Level::Object { key, .. }) = self.levels.last_mut()
        {
            key.push(byte);
        }
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
            let rest: Value = block_on(rest(pieces(text, step), PATHS)).unwrap();
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
        let nonsense = block_on(rest::<Value>(pieces("<html>", 2), PATHS));
        assert_eq!(nonsense.unwrap_err().kind(), ErrorKind::MalformedReply);
    }
}
