//! Rows of the formats that hold tables: CSV, TSV and JSON Lines of any objects.

use std::borrow::Cow;

use lmbatch_core::{Error, RequestError};

use super::decoded::{Input, peeked, unreadable};
use super::delimited::Records;
use super::row::{Cell, Row, members};
use crate::column_type::Declared;
use crate::context::bad;
use crate::format;
use crate::lines::Lines;

/// Position of a row and its cells, or the reason why it has none, with the row as JSON.
pub(super) struct Found<'a> {
    /// Line on which the row begins, from 1.
    pub(super) place: u64,
    pub(super) row: Result<Row<'a>, Invalid<'a>>,
}

/// Row that cannot be read.
pub(super) struct Invalid<'a> {
    pub(super) error: RequestError,
    /// Cells or text of the row, as far as they are known.
    pub(super) written: Written<'a>,
}

/// Content of a row that cannot be read.
pub(super) enum Written<'a> {
    /// One line of text.
    Line(Cow<'a, str>),
    /// Cells of a row that has too few or too many.
    Cells(Vec<Cow<'a, str>>),
}

/// Columns whose cells are needed.
#[cfg_attr(
    not(feature = "parquet"),
    expect(dead_code, reason = "only Parquet reads columns one by one")
)]
pub(super) struct Needed {
    /// Columns that requests are made of, each of which exists.
    pub(super) names: Vec<String>,
    /// True if all other columns are wanted as well, as far as they can be read.
    pub(super) others: bool,
}

/// Source of rows. A further format implements this trait.
pub(super) trait Rows: Send {
    /// Returns the names of the columns, if they are known before the first row.
    fn columns(&self) -> Option<&[String]>;

    /// Returns the types of the columns, in their order, where the format declares them.
    fn declared(&self) -> Option<Vec<Declared>> {
        None
    }

    /// Receives the needed columns before the first row, for formats that read columns one by one.
    ///
    /// # Errors
    /// A needed column that cannot be read.
    fn select(&mut self, _needed: &Needed) -> Result<(), Error> {
        Ok(())
    }

    /// Passes the next row to `show`, or returns `false` at the end.
    ///
    /// # Errors
    /// An input that cannot be read any further.
    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error>;
}

/// Rows of CSV or TSV.
pub(super) struct DelimitedRows {
    records: Records,
    columns: Vec<String>,
    /// Line of a record that was read to count its columns, and is a row.
    first: Option<u64>,
    count: u64,
}

impl DelimitedRows {
    /// Reads the header of a table; without headers the columns are `c1`, `c2` and so on. Returns `None` for an empty
    /// input.
    ///
    /// # Errors
    /// A header with empty or repeated names, an input that is JSON, and an input that cannot be read.
    pub(super) fn open(
        input: Input,
        delimiter: u8,
        has_headers: bool,
    ) -> Result<Option<Self>, Error> {
        let (input, head) = peeked(input, 1).map_err(unreadable)?;
        if let [b'{' | b'['] = head.as_slice() {
            return Err(Error::invalid_input(
                "the input is not CSV: it begins like JSON; choose the format jsonl",
            ));
        }
        let mut records = Records::new(input, delimiter);
        let Some(line) = records.read().map_err(unreadable)? else {
            return Ok(None);
        };
        let columns: Vec<String> = if has_headers {
            header(&records)?
        } else {
            (1..=records.len())
                .map(|number| format!("c{number}"))
                .collect()
        };
        Ok(Some(Self {
            records,
            columns,
            first: (!has_headers).then_some(line),
            count: 0,
        }))
    }
}

/// Returns the names of a header, which must be unique and not empty.
fn header(records: &Records) -> Result<Vec<String>, Error> {
    let mut columns: Vec<String> = Vec::with_capacity(records.len());
    for (place, field) in records.fields().enumerate() {
        let number = place + 1;
        let name = std::str::from_utf8(field).map_err(|_| {
            let why = format::not_utf8(field);
            Error::invalid_input(format!("the header: column {number} {why}"))
        })?;
        let name = name.trim();
        if name.is_empty() {
            return Err(Error::invalid_input(format!(
                "the header: column {number} has no name; name it, or read the input without headers"
            )));
        }
        if let Some(first) = columns.iter().position(|known| known == name) {
            return Err(Error::invalid_input(format!(
                "the header: columns {} and {number} have the same name, {name:?}; rename one of them",
                first + 1
            )));
        }
        columns.push(name.to_owned());
    }
    Ok(columns)
}

impl Rows for DelimitedRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.columns)
    }

    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error> {
        let place = match self.first.take() {
            Some(line) => line,
            None => match self.records.read().map_err(unreadable)? {
                Some(line) => line,
                None => return Ok(false),
            },
        };
        self.count += 1;
        let row = cells(&self.records, &self.columns).map(|cells| Row {
            cells,
            number: self.count,
            ..Row::default()
        });
        let row = row.map_err(|error| Invalid {
            error,
            written: Written::Cells(self.records.fields().map(String::from_utf8_lossy).collect()),
        });
        show(Found { place, row });
        Ok(true)
    }
}

fn cells<'a>(
    records: &'a Records,
    columns: &'a [String],
) -> Result<Vec<(Cow<'a, str>, Cell<'a>)>, RequestError> {
    let count = |count: usize| match count {
        1 => "1 cell".to_owned(),
        count => format!("{count} cells"),
    };
    if records.len() != columns.len() {
        return Err(bad(format!(
            "the row has {}, and the table has {} columns; quote cells that hold the delimiter, a quote or a line break",
            count(records.len()),
            columns.len()
        )));
    }
    let mut cells = Vec::with_capacity(columns.len());
    for (name, field) in columns.iter().zip(records.fields()) {
        let text = simdutf8::basic::from_utf8(field)
            .map_err(|_| bad(format!("the column {name:?} {}", format::not_utf8(field))))?;
        cells.push((Cow::Borrowed(name.as_str()), Cell::Text(text)));
    }
    Ok(cells)
}

/// Rows of JSON Lines: the members of each object are its columns.
pub(super) struct ObjectRows {
    lines: Lines,
}

impl ObjectRows {
    pub(super) fn new(input: Input) -> Self {
        Self {
            lines: Lines::new(input),
        }
    }
}

impl Rows for ObjectRows {
    fn columns(&self) -> Option<&[String]> {
        None
    }

    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error> {
        next_line(&mut self.lines, |place, text, bytes| {
            let row = text.and_then(members).map(|cells| Row {
                cells,
                number: place,
                ..Row::default()
            });
            let row = row.map_err(|error| invalid_line(error, bytes));
            show(Found { place, row });
        })
    }
}

/// Returns the text of a line, or the reason why it has none; `None` for a blank line.
fn line_text(number: u64, bytes: &[u8]) -> Option<Result<&str, RequestError>> {
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return None;
    }
    if number == 1
        && let Some(found) = format::other_than_json_lines(bytes)
    {
        return Some(Err(bad(found)));
    }
    let text = simdutf8::basic::from_utf8(bytes);
    Some(text.map_err(|_| bad(format!("the line {}", format::not_utf8(bytes)))))
}

/// Lines of lmbatch's own form or of a provider, which are requests already.
pub(super) struct OwnRows {
    lines: Lines,
}

impl OwnRows {
    pub(super) fn new(input: Input) -> Self {
        Self {
            lines: Lines::new(input),
        }
    }
}

impl Rows for OwnRows {
    fn columns(&self) -> Option<&[String]> {
        None
    }

    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error> {
        next_line(&mut self.lines, |place, text, bytes| {
            let row = text.map(|text| Row {
                number: place,
                own_form: Some(text),
                ..Row::default()
            });
            let row = row.map_err(|error| invalid_line(error, bytes));
            show(Found { place, row });
        })
    }
}

/// Passes the text of the next line that is not blank to `show`, or returns `false` at the end.
fn next_line(
    lines: &mut Lines,
    mut show: impl FnMut(u64, Result<&str, RequestError>, &[u8]),
) -> Result<bool, Error> {
    let mut is_read = false;
    while !is_read {
        let found = lines.next(|place, bytes| {
            if let Some(text) = line_text(place, bytes) {
                is_read = true;
                show(place, text, bytes);
            }
        });
        if !found.map_err(unreadable)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn invalid_line(error: RequestError, bytes: &[u8]) -> Invalid<'_> {
    Invalid {
        error,
        written: Written::Line(String::from_utf8_lossy(bytes.trim_ascii())),
    }
}
