//! Reading of rows as lines of lmbatch's own form, all of them or a sample.

use std::borrow::Cow;

use lmbatch_core::{Error, RequestError, write_string};
use serde_json::value::RawValue;

use super::facts::TableFacts;
use super::options::{KeptColumns, Sample, TableOptions};
use super::request::RequestWriter;
use super::row::Row;
use super::rows::{Found, Invalid, Rows, Written};
use super::sampling::Random;
use crate::context::bad;

/// Rows that are read one after another; memory is reused.
pub(super) struct Reading {
    rows: Box<dyn Rows>,
    /// Writer of requests; `None` for lines that are requests already.
    requests: Option<RequestWriter>,
    keeps_all: bool,
    /// Number of rows that may still be read.
    left: u64,
    /// True if each row is also written to `original`.
    copies: bool,
    line: Vec<u8>,
    /// The current row as JSON.
    pub(super) original: Vec<u8>,
    /// True if a template prints a null value for the current row.
    pub(super) prints_null: bool,
}

/// Row of a sample.
pub(super) struct Drawn {
    pub(super) place: u64,
    pub(super) prints_null: bool,
    pub(super) text: Result<String, RequestError>,
    pub(super) original: Vec<u8>,
}

impl Reading {
    pub(super) fn new(
        rows: Box<dyn Rows>,
        requests: Option<RequestWriter>,
        options: &TableOptions,
        copies: bool,
    ) -> Self {
        Self {
            rows,
            requests,
            keeps_all: options.keep == KeptColumns::All,
            left: options.limit.unwrap_or(u64::MAX),
            copies,
            line: Vec::new(),
            original: Vec::new(),
            prints_null: false,
        }
    }

    /// Passes the request of the next row to `show`, or returns `false` at the end.
    pub(super) fn next(
        &mut self,
        facts: &TableFacts,
        show: impl FnOnce(u64, Result<&str, RequestError>),
    ) -> Result<bool, Error> {
        self.next_if(true, facts, show)
    }

    /// Reads the next row, and passes its request to `show` if it is wanted.
    fn next_if(
        &mut self,
        is_wanted: bool,
        facts: &TableFacts,
        show: impl FnOnce(u64, Result<&str, RequestError>),
    ) -> Result<bool, Error> {
        if self.left == 0 {
            return Ok(false);
        }
        self.line.clear();
        self.original.clear();
        self.prints_null = false;
        let (line, original, requests) = (&mut self.line, &mut self.original, &mut self.requests);
        let prints_null = &mut self.prints_null;
        let (copies, keeps_all) = (self.copies, self.keeps_all);
        let mut show = Some(show);
        let has_one = self.rows.next(&mut |found: Found<'_>| {
            let Some(show) = show.take().filter(|_| is_wanted) else {
                return;
            };
            if copies {
                write_original(&found.row, original);
            }
            let row = match found.row {
                Ok(row) => row,
                Err(invalid) => return show(found.place, Err(invalid.error)),
            };
            if keeps_all {
                facts.keep(row.columns());
            }
            let text = match (requests.as_mut(), row.own_form) {
                (Some(requests), _) => {
                    let text = text_of(requests, &row, line);
                    *prints_null = text.is_ok() && requests.has_printed_null();
                    text
                }
                (None, Some(text)) => Ok(text),
                (None, None) => Err(bad("the row is no request")),
            };
            show(found.place, text);
        })?;
        match has_one {
            true => self.left -= 1,
            false => {
                if let Some(requests) = &self.requests {
                    requests.check_seen()?;
                }
            }
        }
        Ok(has_one)
    }

    /// Reads all rows and returns a sample, in their order.
    pub(super) fn sample(
        mut self,
        sample: Sample,
        facts: &TableFacts,
    ) -> Result<Vec<Drawn>, Error> {
        if let Some(requests) = &mut self.requests {
            // A column that occurs in no drawn row may occur in others.
            requests.accept_unseen();
        }
        let mut random = Random::new(sample.seed);
        let mut drawn: Vec<(u64, Drawn)> = Vec::new();
        for index in 0.. {
            let place_in_sample = random.place(index, sample.count);
            let mut row = None;
            let has_one = self.next_if(place_in_sample.is_some(), facts, |place, text| {
                row = Some((place, text.map(str::to_owned)));
            });
            if !has_one? {
                break;
            }
            let (Some(at), Some((place, text))) = (place_in_sample, row) else {
                continue;
            };
            let row = Drawn {
                place,
                prints_null: self.prints_null,
                text,
                original: self.original.clone(),
            };
            match drawn.get_mut(at) {
                Some(replaced) => *replaced = (index, row),
                None => drawn.push((index, row)),
            }
        }
        drawn.sort_by_key(|(index, _)| *index);
        Ok(drawn.into_iter().map(|(_, row)| row).collect())
    }
}

/// Writes the request of a row and returns it as text.
fn text_of<'l>(
    requests: &mut RequestWriter,
    row: &Row<'_>,
    line: &'l mut Vec<u8>,
) -> Result<&'l str, RequestError> {
    requests.write(row, line)?;
    std::str::from_utf8(line).map_err(|_| bad("the row is not UTF-8"))
}

/// Writes a row as JSON: an object, a list of cells, or a string.
fn write_original(row: &Result<Row<'_>, Invalid<'_>>, out: &mut Vec<u8>) {
    let mut write_line = |text: &str| match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => out.extend_from_slice(text.as_bytes()),
        Err(_) => write_string(text, out),
    };
    match row {
        Ok(Row {
            own_form: Some(text),
            ..
        }) => write_line(text),
        Ok(row) => row.write_json(out),
        Err(invalid) => match &invalid.written {
            Written::Line(text) => write_line(text),
            Written::Cells(cells) => write_cells(cells, out),
        },
    }
}

fn write_cells(cells: &[Cow<'_, str>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, cell) in cells.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_string(cell, out);
    }
    out.push(b']');
}
