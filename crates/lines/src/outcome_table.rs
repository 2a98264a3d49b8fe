//! Outcomes as rows of a table: CSV, TSV.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use csv_core::{Writer, WriterBuilder};
use lmbatch_core::{
    AnswerView, AnsweredRequest, CostRange, FailureView, ItemView, Json, OutcomeView, OutputView,
    Structured, TokenUsage,
};
use serde_json::value::RawValue;

/// Columns before those of the schema.
const FIRST: [&str; 3] = ["status", "problem", "text"];

/// Columns after those of the schema.
const LAST: [&str; 10] = [
    "finish_reason",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cost_usd",
    "cost_usd_at_most",
    "error_kind",
    "error_message",
    "batch",
];

/// Table with one row for each outcome, in CSV as RFC 4180 describes it, with `\n` at the end of each row.
///
/// The columns are `id`, one for each kept member of the request's metadata, `status`, `problem`, `text`, one for each
/// top-level property of the schema, `finish_reason`, `input_tokens`, `cached_input_tokens`, `output_tokens`,
/// `thinking_tokens`, `cost_usd`, `cost_usd_at_most` (in place of `cost_usd` where a rate is not published), `error_kind`,
/// `error_message` and `batch`. A kept member or a property whose name is taken gets
/// `_2`, `_3` and so on. A string is written as it is, `null` and an absent value as an empty field, and any other
/// value as JSON. Tool calls and other items of an answer are only in output lines.
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
    writer: Writer,
    kept: Vec<String>,
    properties: Vec<String>,
    header: Vec<String>,
}

impl fmt::Debug for OutcomeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutcomeTable")
            .field("header", &self.header)
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
        let kept: Vec<String> = kept.into_iter().collect();
        let properties: Vec<String> = properties.into_iter().collect();
        let fixed = || ["id"].into_iter().chain(FIRST).chain(LAST);
        let mut taken: Vec<String> = fixed().map(str::to_owned).collect();
        let mut free = |name: &String| {
            let mut free = name.clone();
            let mut number = 2;
            while taken.contains(&free) {
                free = format!("{name}_{number}");
                number += 1;
            }
            taken.push(free.clone());
            free
        };
        let mut header = vec!["id".to_owned()];
        header.extend(kept.iter().map(&mut free));
        header.extend(FIRST.map(str::to_owned));
        header.extend(properties.iter().map(&mut free));
        header.extend(LAST.map(str::to_owned));
        Self {
            writer: WriterBuilder::new().delimiter(delimiter).build(),
            kept,
            properties,
            header,
        }
    }

    /// Appends the row of column names.
    pub fn write_header(&self, out: &mut Vec<u8>) {
        let mut row = Row::new(&self.writer, out);
        for name in &self.header {
            row.text(name);
        }
        row.end();
    }

    /// Appends the row of an outcome.
    pub fn write_outcome(&self, answered: &AnsweredRequest<'_>, out: &mut Vec<u8>) {
        let mut row = Row::new(&self.writer, out);
        row.json(answered.id.as_str());
        row.members(&self.kept, answered.metadata.map(Json::as_str));
        let answer = &answered.answer;
        row.text(answer.status().as_str());
        row.text(answer.problem().map_or("", |problem| problem.as_str()));
        let (output, structured) = match answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                structured,
            } => (Some(output), Some(structured)),
            _ => (None, None),
        };
        row.text(&output.map_or(Cow::Borrowed(""), text_of));
        let value = match structured {
            Some(Structured::Value(value)) => Some(value.as_ref()),
            _ => None,
        };
        row.members(&self.properties, value);
        row.text(output.map_or("", |output| output.finish_reason.as_str()));
        row.usage(output.and_then(|output| output.usage.as_ref()));
        row.cost(answered.cost.map(|cost| cost.charged));
        row.failure(answer);
        row.text(answered.batch.map_or("", |batch| batch.as_str()));
        row.end();
    }
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

/// Row that is being written.
struct Row<'o> {
    writer: Writer,
    out: &'o mut Vec<u8>,
    is_begun: bool,
}

impl<'o> Row<'o> {
    fn new(writer: &Writer, out: &'o mut Vec<u8>) -> Self {
        Self {
            writer: writer.clone(),
            out,
            is_begun: false,
        }
    }

    /// Appends what a call of the writer yields, for which `space` bytes suffice.
    fn with(&mut self, space: usize, write: impl FnOnce(&mut Writer, &mut [u8]) -> usize) {
        let at = self.out.len();
        self.out.resize(at + space, 0);
        let written = write(&mut self.writer, &mut self.out[at..]);
        self.out.truncate(at + written);
    }

    fn text(&mut self, text: &str) {
        if self.is_begun {
            // A quote that ends the field before, and the delimiter.
            self.with(2, |writer, out| writer.delimiter(out).1);
        }
        self.is_begun = true;
        // Every byte may be a quote, which is doubled, and the field begins with one.
        let space = 2 * text.len() + 2;
        self.with(space, |writer, out| writer.field(text.as_bytes(), out).2);
    }

    /// Appends a JSON value: the characters of a string, nothing for `null`, and else the JSON itself.
    fn json(&mut self, json: &str) {
        match json.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<Cow<'_, str>>(json) {
                Ok(text) => self.text(&text),
                Err(_) => self.text(json),
            },
            Some(b'n') => self.text(""),
            _ => self.text(json),
        }
    }

    /// Appends the named members of a JSON object; empty fields for those that it lacks.
    fn members(&mut self, names: &[String], object: Option<&str>) {
        if names.is_empty() {
            return;
        }
        let members: BTreeMap<Cow<'_, str>, &RawValue> = object
            .and_then(|object| serde_json::from_str(object).ok())
            .unwrap_or_default();
        for name in names {
            self.json(
                members
                    .get(name.as_str())
                    .map_or("null", |value| value.get()),
            );
        }
    }

    fn usage(&mut self, usage: Option<&TokenUsage>) {
        let counts = usage.map(|usage| {
            [
                usage.input_tokens,
                usage.cached_input_tokens,
                usage.output_tokens,
                usage.thinking_tokens,
            ]
        });
        for at in 0..4 {
            let count = counts.map(|counts| counts[at].to_string());
            self.text(&count.unwrap_or_default());
        }
    }

    fn cost(&mut self, cost: Option<CostRange>) {
        let mut amount = Vec::new();
        if let Some(cost) = cost {
            cost.high.write_dollars(&mut amount);
        }
        let amount = String::from_utf8(amount).unwrap_or_default();
        match cost.is_some_and(CostRange::is_exact) {
            true => [amount.as_str(), ""].map(|field| self.text(field)),
            false => ["", &amount].map(|field| self.text(field)),
        };
    }

    fn failure(&mut self, answer: &AnswerView<'_>) {
        let malformed = FailureView::malformed();
        let failure = match answer {
            AnswerView::Row {
                outcome: OutcomeView::Errored(failure),
                ..
            } => Some(failure),
            AnswerView::Malformed => Some(&malformed),
            _ => None,
        };
        self.text(failure.map_or("", |failure| failure.kind.as_str()));
        let message = failure.and_then(|failure| failure.message);
        let message = message.map(lmbatch_core::Text::decode);
        match answer.schema_error() {
            Some(error) if message.is_none() => self.text(&error.to_string()),
            _ => self.text(&message.unwrap_or_default()),
        }
    }

    fn end(mut self) {
        // A quote that ends the last field, and the terminator.
        self.with(3, |writer, out| writer.terminator(out).1);
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{
        AnswerCost, BatchId, Cost, ErrorKind, FinishReason, Retry, SchemaError, Text,
    };

    use super::*;

    fn answered<'a>(
        id: &'a str,
        metadata: Option<&'a str>,
        batch: Option<&'a BatchId>,
        answer: AnswerView<'a>,
    ) -> AnsweredRequest<'a> {
        AnsweredRequest {
            ordinal: 0,
            id: Json::new(id).unwrap(),
            metadata: metadata.map(|text| Json::new(text).unwrap()),
            batch,
            schema_asked: true,
            raw: None,
            replaced: 0,
            answer,
            cost: None,
        }
    }

    fn text<'a>(text: &'a str, structured: Structured<'a>) -> AnswerView<'a> {
        let mut output = OutputView::text(Text::from(text), FinishReason::Stop);
        output.usage = Some(TokenUsage {
            input_tokens: 12,
            cached_input_tokens: 2,
            output_tokens: 3,
            thinking_tokens: 1,
            ..TokenUsage::default()
        });
        AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            structured,
        }
    }

    #[test]
    fn every_outcome_is_a_row_with_its_kept_columns_and_its_properties() {
        let table = OutcomeTable::new(
            b',',
            ["author".to_owned(), "status".to_owned()],
            ["mood".to_owned(), "tags".to_owned()],
        );
        let batch = BatchId::new("b1");
        let mut failure = FailureView::new(ErrorKind::ProviderRateLimit, Retry::Permanent);
        failure.message = Some(Text::from("slow down"));
        let errored = AnswerView::Row {
            outcome: OutcomeView::Errored(failure),
            structured: Structured::Absent,
        };
        let value = r#"{"mood":"a \"b\"\nc","tags":["x",1],"more":1}"#;
        let mut outcomes = [
            answered(
                "\"t,1\"",
                Some(r#"{"author":"Zoë","status":null}"#),
                Some(&batch),
                text("plain", Structured::Value(value.into())),
            ),
            answered("7", None, Some(&batch), errored),
            answered("8", Some("[1]"), None, AnswerView::Missing),
            answered("9", None, Some(&batch), AnswerView::Malformed),
            answered(
                "10",
                Some(r#"{"status":true}"#),
                Some(&batch),
                text("", Structured::NotAsked),
            ),
        ];
        let costs = [(12_300_000_000, 12_300_000_000), (0, 1_000_000_000_000)];
        for (at, (low, high)) in [(0, costs[0]), (4, costs[1])] {
            outcomes[at].cost = Some(AnswerCost {
                charged: CostRange {
                    low: Cost::from_picodollars(low),
                    high: Cost::from_picodollars(high),
                },
                real_time: None,
            });
        }
        let mut out = Vec::new();
        table.write_header(&mut out);
        for outcome in &outcomes {
            table.write_outcome(outcome, &mut out);
        }
        let expected = "\
id,author,status_2,status,problem,text,mood,tags,finish_reason,input_tokens,cached_input_tokens,output_tokens,thinking_tokens,cost_usd,cost_usd_at_most,error_kind,error_message,batch
\"t,1\",Zoë,,succeeded,,plain,\"a \"\"b\"\"
c\",\"[\"\"x\"\",1]\",stop,12,2,3,1,0.0123,,,,b1
7,,,errored,,,,,,,,,,,,provider_rate_limit,slow down,b1
8,,,missing,,,,,,,,,,,,,,
9,,,errored,,,,,,,,,,,,malformed_answer,the row holds no answer that can be read,b1
10,,true,succeeded,empty,,,,stop,12,2,3,1,,1.00,,,b1
";
        let written = String::from_utf8(out).unwrap();
        assert_eq!(
            written.lines().collect::<Vec<_>>(),
            expected.lines().collect::<Vec<_>>()
        );
    }

    #[test]
    fn rows_are_read_back_as_they_were_written() {
        let texts = [
            "",
            "\"",
            "a\tb",
            "\r\n",
            ",",
            " x ",
            "\u{0}",
            "ünï",
            "\"\"\",\n",
        ];
        for delimiter in [b',', b'\t'] {
            let table = OutcomeTable::new(delimiter, [], []);
            let mut out = Vec::new();
            for each in texts {
                table.write_outcome(
                    &answered("\"a\"", None, None, text(each, Structured::NotAsked)),
                    &mut out,
                );
            }
            let mut reader = csv::ReaderBuilder::new()
                .delimiter(delimiter)
                .has_headers(false)
                .from_reader(&out[..]);
            let read: Vec<String> = reader
                .records()
                .map(|record| record.unwrap()[3].to_owned())
                .collect();
            assert_eq!(read, texts);
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_its_schema_says_why() {
        let error = SchemaError::new("/mood", "is missing");
        let reason = error.to_string();
        let answer = text("{}", Structured::Invalid(error));
        let mut out = Vec::new();
        OutcomeTable::new(b'\t', [], [])
            .write_outcome(&answered("1", None, None, answer), &mut out);
        let row = String::from_utf8(out).unwrap();
        assert!(row.starts_with("1\tsucceeded\tinvalid_structured\t{}\tstop\t"));
        assert!(row.contains(&reason), "{row}");
    }
}
