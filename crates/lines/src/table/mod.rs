//! Tables as sources of requests: CSV, TSV, Parquet, JSON Lines of any objects, and the files of a folder.

mod decoded;
mod delimited;
mod facts;
mod files;
mod options;
#[cfg(feature = "parquet")]
mod parquet;
mod quotes;
mod reading;
mod request;
mod row;
mod rows;
mod sampling;
mod skipped;
mod template;

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::{fmt, mem};

use lmbatch_core::{Error, Outline, RequestError, RequestSource, SourcedRequest};

pub use self::facts::TableFacts;
pub use self::options::{InputFormat, KeptColumns, Sample, TableOptions};
pub use self::request::NO_PROMPT;

use self::decoded::{Input, decoded};
use self::files::FileRows;
use self::reading::{Drawn, Reading};
use self::request::RequestWriter;
use self::rows::{DelimitedRows, ObjectRows, OwnRows, Rows};
use self::skipped::Skipped;
use crate::context::InputContext;
use crate::line;
use crate::source::InputLines;

/// Source of requests from the rows of a table. Compression with gzip or zstd is recognised by content. The input is
/// opened by the first call of `next`, and read row by row.
///
/// ```
/// use lmbatch_core::RequestSource;
/// use lmbatch_lines::{InputContext, InputFormat, TableInput, TableOptions};
///
/// let mut options = TableOptions::default();
/// options.format = InputFormat::Csv;
/// options.prompt = Some("Translate: {{ text }}".to_owned());
/// let input = &b"id,text\na,Guten Tag\nb,\"Hallo, Welt\"\n"[..];
/// let mut table = TableInput::new(input, options, InputContext::new("openai", "gpt-x"));
/// let mut are_good = Vec::new();
/// while table.next(&mut |sourced| are_good.push(sourced.entry.is_ok()))? {}
/// assert_eq!(are_good, [true, true]);
/// # Ok::<(), lmbatch_core::Error>(())
/// ```
pub struct TableInput {
    state: State,
    options: TableOptions,
    context: InputContext,
    outline: Outline,
    facts: Arc<TableFacts>,
    skipped: Option<Skipped>,
    unit: &'static str,
}

/// Progress of reading.
enum State {
    /// Not opened yet.
    Input(Input),
    /// Not opened yet: a file of Parquet.
    Parquet(File),
    /// Not searched yet: a folder and a pattern.
    Folder(PathBuf, String),
    /// Lines of lmbatch's own form, or of a provider.
    Lines(Box<InputLines>),
    Rows(Box<Reading>),
    /// Rows of a sample, in the order of the input.
    Sample(std::vec::IntoIter<Drawn>),
    Over,
}

impl TableInput {
    /// Returns the requests of a reader. JSON Lines without options about columns are lines as those of [`InputLines`].
    pub fn new(
        reader: impl BufRead + Send + 'static,
        options: TableOptions,
        context: InputContext,
    ) -> Self {
        Self::of(State::Input(Box::new(reader)), options, context, "line")
    }

    /// Returns the requests of a Parquet file, which is sought in and therefore cannot be a stream. Columns that no
    /// request needs are not read. Numbers, booleans and nulls are those of JSON; lists and structs are JSON; dates, times
    /// and decimals are texts such as `2026-11-27`, `2026-11-27T09:30:00Z` and `12.50`. A column that is binary, or holds
    /// intervals, cannot be part of a request.
    ///
    /// Reading fails in a build without the feature `parquet`.
    ///
    /// ```no_run
    /// use lmbatch_lines::{InputContext, TableInput, TableOptions};
    ///
    /// let mut options = TableOptions::default();
    /// options.prompt = Some("Translate: {{ text }}".to_owned());
    /// let file = std::fs::File::open("reviews.parquet")?;
    /// let table = TableInput::parquet(file, options, InputContext::new("openai", "gpt-x"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn parquet(file: File, mut options: TableOptions, context: InputContext) -> Self {
        options.format = InputFormat::Parquet;
        Self::of(State::Parquet(file), options, context, "row")
    }

    /// Returns one request for each file of a folder that matches a pattern, sorted by path. `*` matches within a part
    /// of a path, and `**` any number of folders. The columns are `path`, `name` and, for text files, `text`; a binary
    /// file is an attachment. The id is the path, relative to the folder.
    pub fn files(
        folder: impl Into<PathBuf>,
        pattern: impl Into<String>,
        mut options: TableOptions,
        context: InputContext,
    ) -> Self {
        options.id.get_or_insert_with(|| "path".to_owned());
        let state = State::Folder(folder.into(), pattern.into());
        Self::of(state, options, context, "file")
    }

    fn of(state: State, options: TableOptions, context: InputContext, unit: &'static str) -> Self {
        Self {
            state,
            options,
            context,
            outline: Outline::new(),
            facts: Arc::default(),
            skipped: None,
            unit,
        }
    }

    /// Leaves out invalid rows and writes each to `file` as a line such as
    /// `{"line":3,"error":"the id is empty","row":{"id":"","text":"a"}}`.
    pub fn with_skipped(mut self, file: impl Write + Send + 'static) -> Self {
        self.skipped = Some(Skipped::new(Box::new(file)));
        self
    }

    /// Returns the facts about the table. They are complete once the input is read to its end.
    pub fn facts(&self) -> Arc<TableFacts> {
        Arc::clone(&self.facts)
    }

    /// Opens the input.
    fn open(&mut self) -> Result<(), Error> {
        let rows: Option<Box<dyn Rows>> = match mem::replace(&mut self.state, State::Over) {
            State::Input(input) => {
                let is_plain = self.skipped.is_none()
                    && self.options.limit.is_none()
                    && self.options.sample.is_none();
                match self.options.format {
                    InputFormat::JsonLines if !self.options.has_columns() && is_plain => {
                        let lines = InputLines::new(decoded(input)?, self.context.clone());
                        self.state = State::Lines(Box::new(lines));
                        return Ok(());
                    }
                    InputFormat::JsonLines if !self.options.has_columns() => {
                        Some(Box::new(OwnRows::new(decoded(input)?)))
                    }
                    InputFormat::JsonLines => Some(Box::new(ObjectRows::new(decoded(input)?))),
                    InputFormat::Csv => self.delimited(decoded(input)?, b',')?,
                    InputFormat::Tsv => self.delimited(decoded(input)?, b'\t')?,
                    InputFormat::Parquet => {
                        return Err(Error::invalid_input(
                            "Parquet is read from a file, not from a stream, since its index is at its end; save the input as a file",
                        ));
                    }
                }
            }
            State::Parquet(file) => Some(parquet_rows(file)?),
            State::Folder(folder, pattern) => Some(Box::new(FileRows::find(&folder, &pattern)?)),
            opened => {
                self.state = opened;
                return Ok(());
            }
        };
        let Some(mut rows) = rows else {
            return Ok(());
        };
        let mut writer = None;
        if self.options.has_columns() || self.unit == "file" {
            let default = if self.unit == "file" {
                "text"
            } else {
                "prompt"
            };
            let mut requests = RequestWriter::new(&self.options, default)?;
            if let Some(columns) = rows.columns() {
                requests.check(columns)?;
                let mut needed = requests.needs(columns);
                // The rows that are left out are written with all their cells.
                needed.others |= self.skipped.is_some();
                rows.select(&needed)?;
            }
            match (&self.options.keep, rows.columns()) {
                (KeptColumns::Named(names), _) => self.facts.keep(names.iter().map(String::as_str)),
                (KeptColumns::All, Some(columns)) => {
                    self.facts.keep(columns.iter().map(String::as_str));
                }
                _ => {}
            }
            if let (Some(columns), Some(declared)) = (rows.columns(), rows.declared()) {
                self.facts.declare(columns, &declared);
            }
            writer = Some(requests);
        }
        let reading = Reading::new(rows, writer, &self.options, self.skipped.is_some());
        self.state = match self.options.sample {
            Some(sample) => State::Sample(reading.sample(sample, &self.facts)?.into_iter()),
            None => State::Rows(Box::new(reading)),
        };
        Ok(())
    }

    fn delimited(&self, input: Input, delimiter: u8) -> Result<Option<Box<dyn Rows>>, Error> {
        let delimiter = self.options.delimiter.unwrap_or(delimiter);
        let rows = DelimitedRows::open(input, delimiter, self.options.has_headers)?;
        Ok(rows.map(|rows| Box::new(rows) as Box<dyn Rows>))
    }
}

impl fmt::Debug for TableInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableInput")
            .field("format", &self.options.format)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Opens the rows of a Parquet file.
#[cfg(feature = "parquet")]
fn parquet_rows(file: File) -> Result<Box<dyn Rows>, Error> {
    Ok(Box::new(parquet::ParquetRows::open(file)?))
}

/// Refuses Parquet, which this build does not read.
#[cfg(not(feature = "parquet"))]
fn parquet_rows(_: File) -> Result<Box<dyn Rows>, Error> {
    Err(Error::invalid_input(
        "the input is Parquet, and this program was built without the feature \"parquet\"; convert the file to CSV or JSON Lines",
    ))
}

/// Passes on the request of a row: a line of lmbatch's own form, or the reason why there is none.
fn pass_on(
    position: u64,
    text: Result<&str, RequestError>,
    context: &InputContext,
    outline: &mut Outline,
    visit: &mut dyn FnMut(SourcedRequest<'_>),
) {
    match text {
        Ok(text) => line::read(text, position, context, outline, visit),
        Err(error) => visit(SourcedRequest {
            position,
            entry: Err(error),
        }),
    }
}

impl RequestSource for TableInput {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        self.open()?;
        let (context, outline) = (&self.context, &mut self.outline);
        let has_one = match &mut self.state {
            State::Lines(lines) => return lines.next(visit),
            State::Rows(reading) => {
                let has_one = reading.next(&self.facts, |position, text| {
                    pass_on(position, text, context, outline, visit);
                })?;
                if has_one && reading.prints_null {
                    self.facts.count_with_nulls();
                }
                has_one
            }
            State::Sample(drawn) => match drawn.next() {
                Some(row) => {
                    if let Some(skipped) = &mut self.skipped {
                        skipped.original = row.original;
                    }
                    if row.prints_null {
                        self.facts.count_with_nulls();
                    }
                    match row.text {
                        Ok(text) => pass_on(row.place, Ok(&text), context, outline, visit),
                        Err(error) => pass_on(row.place, Err(error), context, outline, visit),
                    }
                    true
                }
                None => false,
            },
            State::Input(_) | State::Parquet(_) | State::Folder(..) | State::Over => false,
        };
        if let (Some(skipped), State::Rows(reading)) = (&mut self.skipped, &mut self.state) {
            mem::swap(&mut skipped.original, &mut reading.original);
        }
        if !has_one && let Some(skipped) = &mut self.skipped {
            skipped.flush()?;
        }
        Ok(has_one)
    }

    fn unit(&self) -> &'static str {
        self.unit
    }

    fn leave_out(&mut self, position: u64, error: &RequestError) -> Result<bool, Error> {
        let Some(skipped) = &mut self.skipped else {
            return Ok(false);
        };
        skipped.write(position, error)?;
        self.facts.count_skipped();
        Ok(true)
    }
}
