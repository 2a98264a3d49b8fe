//! Outcomes as rows of a table: CSV, TSV, Parquet.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use csv_core::{Writer, WriterBuilder};
use lmbatch_core::{
    AnswerView, AnsweredRequest, CostRange, FailureView, ItemView, Json, OutcomeView, OutputView,
    Structured, TokenUsage,
};
use serde_json::value::RawValue;

use crate::cells::{CellWriter, DelimitedRow, Kind};
use crate::column_type::ColumnType;
use crate::packed::{PackedRow, write_columns};
use crate::provider_lines::line::item_name;

/// Columns before those of the schema.
const FIRST: [&str; 3] = ["status", "problem", "text"];

/// Columns after those of the schema.
const LAST: [(&str, Kind); 10] = [
    ("finish_reason", Kind::Text),
    ("input_tokens", Kind::Count),
    ("cached_input_tokens", Kind::Count),
    ("output_tokens", Kind::Count),
    ("thinking_tokens", Kind::Count),
    ("cost_usd", Kind::Dollars),
    ("cost_usd_at_most", Kind::Dollars),
    ("error_kind", Kind::Text),
    ("error_message", Kind::Text),
    ("batch", Kind::Text),
];

/// Column after all others in the table of an emulated run.
const EMULATED: &str = "emulated";

/// Table with one row for each outcome, in CSV as RFC 4180 describes it, with `\n` at the end of each row, or for
/// Parquet.
///
/// The columns are `id`, one for each kept member of the request's metadata, `status`, `problem`, `text`, one for each
/// top-level property of the schema, `finish_reason`, `input_tokens`, `cached_input_tokens`, `output_tokens`,
/// `thinking_tokens`, `cost_usd`, `cost_usd_at_most` (in place of `cost_usd` where a rate is not published), `error_kind`,
/// `error_message` and `batch`; for an emulated run also `emulated`, which is true. A kept member or a property whose
/// name is taken gets `_2`, `_3` and so on. A string is written as it is, `null` and an absent value as an empty field
/// of CSV and as null in Parquet, and any other value as JSON. Tool calls and other items of an answer are only in
/// output lines.
///
/// ```
/// use lmbatch_lines::OutcomeTable;
/// let table = OutcomeTable::new(b',', ["author".to_owned()], ["mood".to_owned(), "text".to_owned()]);
/// let mut header = Vec::new();
/// table.write_header(&mut header);
/// assert!(header.starts_with(b"id,author,status,problem,text,mood,text_2,finish_reason,"));
/// ```
#[derive(Clone)]
pub struct OutcomeTable {
    form: Form,
    kept: Vec<String>,
    properties: Vec<String>,
    columns: Vec<(String, Kind)>,
    is_emulated: bool,
}

/// Form of the rows.
#[derive(Clone)]
enum Form {
    Delimited(Box<Writer>),
    /// Rows that the writer of Parquet takes.
    Packed,
}

impl fmt::Debug for OutcomeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutcomeTable")
            .field("columns", &self.columns)
            .finish_non_exhaustive()
    }
}

impl OutcomeTable {
    /// Returns a table with this delimiter, a column for each of the `kept` members of the metadata, and one for each of
    /// the `properties` of the schema.
    pub fn new(
        delimiter: u8,
        kept: impl IntoIterator<Item = String>,
        properties: impl IntoIterator<Item = String>,
    ) -> Self {
        let writer = WriterBuilder::new().delimiter(delimiter).build();
        Self::of(
            Form::Delimited(Box::new(writer)),
            kept.into_iter().collect(),
            properties.into_iter().collect(),
        )
    }

    /// Returns a table for Parquet. The header and the rows are in a form of their own, which only `ParquetWriter`
    /// reads.
    ///
    /// ```
    /// let table = lmbatch_lines::OutcomeTable::parquet(["author".to_owned()], []);
    /// assert!(table.is_parquet());
    /// ```
    pub fn parquet(
        kept: impl IntoIterator<Item = String>,
        properties: impl IntoIterator<Item = String>,
    ) -> Self {
        Self::of(
            Form::Packed,
            kept.into_iter().collect(),
            properties.into_iter().collect(),
        )
    }

    fn of(form: Form, kept: Vec<String>, properties: Vec<String>) -> Self {
        let last = LAST.map(|(name, _)| name);
        let fixed = ["id"].into_iter().chain(FIRST).chain(last);
        let mut taken: Vec<String> = fixed.chain([EMULATED]).map(str::to_owned).collect();
        let mut free = |name: &String| {
            let mut free = name.clone();
            let mut number = 2;
            while taken.contains(&free) {
                free = format!("{name}_{number}");
                number += 1;
            }
            taken.push(free.clone());
            (free, Kind::Text)
        };
        let mut columns = vec![("id".to_owned(), Kind::Text)];
        columns.extend(kept.iter().map(&mut free));
        columns.extend(FIRST.map(|name| (name.to_owned(), Kind::Text)));
        columns.extend(properties.iter().map(&mut free));
        columns.extend(LAST.map(|(name, kind)| (name.to_owned(), kind)));
        Self {
            form,
            kept,
            properties,
            columns,
            is_emulated: false,
        }
    }

    /// Gives the kept columns, in their order, the types that the input declares for them. Only Parquet has types;
    /// columns without one are texts.
    ///
    /// ```
    /// use lmbatch_lines::{ColumnType, OutcomeTable};
    /// let table = OutcomeTable::parquet(["ticket".to_owned()], []);
    /// let table = table.with_kept_types([ColumnType::Int64]);
    /// assert!(table.is_parquet());
    /// ```
    pub fn with_kept_types(mut self, types: impl IntoIterator<Item = ColumnType>) -> Self {
        // The kept columns follow the id.
        let kept = self.columns.iter_mut().skip(1).take(self.kept.len());
        for ((_, kind), of_input) in kept.zip(types) {
            *kind = match of_input {
                ColumnType::Text => Kind::Text,
                of_input => Kind::Typed(of_input),
            };
        }
        self
    }

    /// Adds the column `emulated` at the end, which tells the table of an emulated run from that of a paid one.
    pub fn with_emulated(mut self) -> Self {
        self.is_emulated = true;
        self.columns.push((EMULATED.to_owned(), Kind::Flag));
        self
    }

    /// Reports whether the rows are for Parquet.
    pub fn is_parquet(&self) -> bool {
        matches!(self.form, Form::Packed)
    }

    /// Appends the row of column names.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Delimited(writer) => {
                let mut row = DelimitedRow::new(writer, out);
                for (name, _) in &self.columns {
                    row.text(name);
                }
                row.end();
            }
            Form::Packed => write_columns(&self.columns, out),
        }
    }

    /// Appends the row of an outcome.
    ///
    /// Returns the names of the items of the answer that no column holds, such as `tool_call` or `thinking`.
    pub fn write_outcome(
        &self,
        answered: &AnsweredRequest<'_>,
        out: &mut Vec<u8>,
    ) -> BTreeSet<&'static str> {
        match &self.form {
            Form::Delimited(writer) => {
                let mut row = DelimitedRow::new(writer, out);
                self.write_cells(answered, &mut row);
                row.end();
            }
            Form::Packed => self.write_cells(answered, &mut PackedRow::new(out)),
        }
        left_out(&answered.answer)
    }

    fn write_cells(&self, answered: &AnsweredRequest<'_>, row: &mut impl CellWriter) {
        json(answered.id.as_str(), row);
        members(&self.kept, answered.metadata.map(Json::as_str), row);
        let answer = &answered.answer;
        row.text(answer.status().as_str());
        row.optional(answer.problem().map(|problem| problem.as_str()));
        let (output, structured) = match answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                structured,
            } => (Some(output), Some(structured)),
            _ => (None, None),
        };
        row.optional(output.map(text_of).as_deref());
        let value = match structured {
            Some(Structured::Value(value)) => Some(value.as_ref()),
            _ => None,
        };
        members(&self.properties, value, row);
        row.optional(output.map(|output| output.finish_reason.as_str()));
        usage(output.and_then(|output| output.usage.as_ref()), row);
        cost(answered.cost.map(|cost| cost.charged), row);
        failure(answer, row);
        row.optional(answered.batch.map(|batch| batch.as_str()));
        if self.is_emulated {
            row.flag(true);
        }
    }
}

/// Returns the names of the items that no column holds. Data about an answer, such as safety ratings, is not an item of
/// its own.
fn left_out(answer: &AnswerView<'_>) -> BTreeSet<&'static str> {
    let AnswerView::Row {
        outcome: OutcomeView::Succeeded(output),
        ..
    } = answer
    else {
        return BTreeSet::new();
    };
    let is_held =
        |item: &&ItemView<'_>| !matches!(item, ItemView::Text(_) | ItemView::Detail { .. });
    output.items.iter().filter(is_held).map(item_name).collect()
}

/// Returns the text of an answer.
fn text_of<'a>(output: &OutputView<'a>) -> Cow<'a, str> {
    let mut texts = output.items.iter().filter_map(|item| match item {
        ItemView::Text(text) => Some(text.decode()),
        _ => None,
    });
    let Some(mut all) = texts.next() else {
        return Cow::Borrowed("");
    };
    for text in texts {
        all.to_mut().push_str(&text);
    }
    all
}

/// Writes a JSON value: the characters of a string, nothing for `null`, and else the JSON itself.
fn json(json: &str, row: &mut impl CellWriter) {
    match json.as_bytes().first() {
        Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => row.text(&text),
            Err(_) => row.text(json),
        },
        Some(b'n') => row.absent(),
        _ => row.text(json),
    }
}

/// Writes the named members of a JSON object; absent cells for those that it lacks.
fn members(names: &[String], object: Option<&str>, row: &mut impl CellWriter) {
    if names.is_empty() {
        return;
    }
    let members: BTreeMap<Cow<'_, str>, &RawValue> = object
        .and_then(|object| serde_json::from_str(object).ok())
        .unwrap_or_default();
    for name in names {
        let value = members.get(name.as_str());
        json(value.map_or("null", |value| value.get()), row);
    }
}

fn usage(usage: Option<&TokenUsage>, row: &mut impl CellWriter) {
    let Some(usage) = usage else {
        return (0..4).for_each(|_| row.absent());
    };
    for count in [
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.output_tokens,
        usage.thinking_tokens,
    ] {
        row.count(count);
    }
}

fn cost(cost: Option<CostRange>, row: &mut impl CellWriter) {
    match cost {
        None => (0..2).for_each(|_| row.absent()),
        Some(cost) if cost.is_exact() => {
            row.dollars(cost.high);
            row.absent();
        }
        Some(cost) => {
            row.absent();
            row.dollars(cost.high);
        }
    }
}

fn failure(answer: &AnswerView<'_>, row: &mut impl CellWriter) {
    let malformed = FailureView::malformed();
    let failure = match answer {
        AnswerView::Row {
            outcome: OutcomeView::Errored(failure),
            ..
        } => Some(failure),
        AnswerView::Malformed => Some(&malformed),
        _ => None,
    };
    row.optional(failure.map(|failure| failure.kind.as_str()));
    let message = failure.and_then(|failure| failure.message);
    let message = message.map(lmbatch_core::Text::decode);
    match answer.schema_error() {
        Some(error) if message.is_none() => row.text(&error.to_string()),
        _ => row.optional(message.as_deref()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
