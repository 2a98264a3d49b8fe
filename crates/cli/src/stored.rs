//! Arguments as the record of a run holds them. The form in JSON is that of earlier versions and of later ones: it does
//! not change with the arguments of the command line.

use std::path::PathBuf;

use lmbatch::{Cost, Effort, SchemaMode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::args::{LimitArgs, SettingsArgs};
use crate::cost_args::CostArgs;
use crate::table_args::{Delimiter, FormatArg, SampleArg, TableArgs};
use crate::text_arg::TextArg;

/// Model, parameters and files of every request.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredSettings {
    model: String,
    system: Option<TextArg>,
    schema: Option<PathBuf>,
    #[serde(default)]
    schema_mode: SchemaMode,
    set: Vec<String>,
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    effort: Option<Effort>,
    route: Option<String>,
    #[serde(default)]
    attachments: Option<PathBuf>,
    #[serde(default)]
    table: StoredTable,
}

/// Columns, templates, files and samples of a table.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredTable {
    prompt: Option<TextArg>,
    prompt_field: Option<String>,
    id: Option<String>,
    keep: Vec<String>,
    attach: Option<String>,
    model_field: Option<String>,
    files: Option<String>,
    input_format: Option<StoredFormat>,
    delimiter: Option<u8>,
    no_headers: bool,
    limit: Option<u64>,
    sample: Option<StoredSample>,
    skip_invalid: Option<PathBuf>,
}

/// Format of an input.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StoredFormat {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
}

/// Random sample of rows.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct StoredSample {
    count: u64,
    seed: u64,
}

/// Limits on the size of a batch.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredLimit {
    max_batch_requests: Option<u32>,
    max_batch_bytes: Option<u64>,
    max_batch_tokens: Option<u64>,
}

/// Limit on the cost of a run.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StoredCost {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_cost: Option<Cost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_output: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pilot_output: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prices_as_of: Option<String>,
}

/// Converts between arguments and their form in a record, whose fields have the same names, in both directions. No field
/// can be forgotten in either.
macro_rules! stored {
    ($args:ident, $stored:ident: $($same:ident),* ; $($of:ident => $into:expr, $from:expr);*) => {
        impl From<$args> for $stored {
            fn from(args: $args) -> Self {
                let $args { $($same,)* $($of,)* } = args;
                Self { $($same,)* $($of: ($into)($of),)* }
            }
        }

        impl From<$stored> for $args {
            fn from(stored: $stored) -> Self {
                let $stored { $($same,)* $($of,)* } = stored;
                Self { $($same,)* $($of: ($from)($of),)* }
            }
        }
    };
}

stored!(SettingsArgs, StoredSettings:
    model, system, schema, schema_mode, set, max_tokens, temperature, top_p, effort, route, attachments;
    table => StoredTable::from, TableArgs::from
);

stored!(TableArgs, StoredTable:
    prompt, prompt_field, id, keep, attach, model_field, files, no_headers, limit, skip_invalid;
    input_format => stored_format, read_format;
    delimiter => stored_delimiter, read_delimiter;
    sample => stored_sample, read_sample
);

stored!(LimitArgs, StoredLimit: max_batch_requests, max_batch_bytes, max_batch_tokens;);

stored!(CostArgs, StoredCost: max_cost, expect_output, pilot_output, prices_as_of;);

fn stored_format(format: Option<FormatArg>) -> Option<StoredFormat> {
    format.map(StoredFormat::from)
}

fn read_format(format: Option<StoredFormat>) -> Option<FormatArg> {
    format.map(FormatArg::from)
}

fn stored_delimiter(delimiter: Option<Delimiter>) -> Option<u8> {
    delimiter.map(|Delimiter(byte)| byte)
}

fn read_delimiter(byte: Option<u8>) -> Option<Delimiter> {
    byte.map(Delimiter)
}

fn stored_sample(sample: Option<SampleArg>) -> Option<StoredSample> {
    sample.map(|SampleArg { count, seed }| StoredSample { count, seed })
}

fn read_sample(sample: Option<StoredSample>) -> Option<SampleArg> {
    sample.map(|StoredSample { count, seed }| SampleArg { count, seed })
}

impl From<FormatArg> for StoredFormat {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Csv => Self::Csv,
            FormatArg::Tsv => Self::Tsv,
            FormatArg::Jsonl => Self::Jsonl,
            FormatArg::Parquet => Self::Parquet,
        }
    }
}

impl From<StoredFormat> for FormatArg {
    fn from(format: StoredFormat) -> Self {
        match format {
            StoredFormat::Csv => Self::Csv,
            StoredFormat::Tsv => Self::Tsv,
            StoredFormat::Jsonl => Self::Jsonl,
            StoredFormat::Parquet => Self::Parquet,
        }
    }
}

/// Form of arguments in a record, for fields of what is stored.
pub(crate) trait Stored: Clone + From<Self::Form> {
    /// Type with the form in JSON.
    type Form: From<Self> + Serialize + DeserializeOwned;
}

impl Stored for SettingsArgs {
    type Form = StoredSettings;
}

impl Stored for LimitArgs {
    type Form = StoredLimit;
}

impl Stored for CostArgs {
    type Form = StoredCost;
}

/// Writes arguments in the form that they have in a record.
pub(crate) fn serialize<A: Stored, S: Serializer>(args: &A, to: S) -> Result<S::Ok, S::Error> {
    A::Form::from(args.clone()).serialize(to)
}

/// Reads arguments in the form that they have in a record.
pub(crate) fn deserialize<'de, A: Stored, D: Deserializer<'de>>(from: D) -> Result<A, D::Error> {
    A::Form::deserialize(from).map(A::from)
}

/// Returns arguments as a note of a record.
pub(crate) fn written<A: Stored>(args: &A) -> Option<String> {
    serde_json::to_string(&A::Form::from(args.clone())).ok()
}

/// Returns the arguments in a note of a record.
pub(crate) fn read<A: Stored>(note: &str) -> Option<A> {
    serde_json::from_str::<A::Form>(note).ok().map(A::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes of runs that version 0.1.0 has recorded.
    const SETTINGS: [&str; 2] = [
        r#"{"model":"openai/m","system":{"given":"@s.txt","text":"S"},"schema":"a.json","schema_mode":"lenient","set":["a=1"],"max_tokens":5,"temperature":0.5,"top_p":0.9,"effort":"low","route":"chat","attachments":"files","table":{"prompt":{"given":"Hi {{ name }}"},"prompt_field":null,"id":"k","keep":["a"],"attach":null,"model_field":null,"files":null,"input_format":"tsv","delimiter":59,"no_headers":true,"limit":7,"sample":{"count":3,"seed":1},"skip_invalid":"bad.jsonl"}}"#,
        r#"{"model":"openai/m","system":null,"schema":null,"schema_mode":"strict","set":[],"max_tokens":null,"temperature":null,"top_p":null,"effort":null,"route":null,"attachments":null,"table":{"prompt":null,"prompt_field":null,"id":null,"keep":[],"attach":null,"model_field":null,"files":null,"input_format":null,"delimiter":null,"no_headers":false,"limit":null,"sample":null,"skip_invalid":null}}"#,
    ];

    #[test]
    fn notes_of_today_are_read_and_written_unchanged() {
        for note in SETTINGS {
            let args: SettingsArgs = read(note).unwrap();
            assert_eq!(written(&args).unwrap(), note);
        }
        let limit = r#"{"max_batch_requests":1,"max_batch_bytes":2,"max_batch_tokens":null}"#;
        let args: LimitArgs = read(limit).unwrap();
        assert_eq!(written(&args).unwrap(), limit);
        let cost = r#"{"max_cost":"2.50","expect_output":9,"pilot_output":70,"prices_as_of":"2026-12-01"}"#;
        for cost in [cost, r#"{"max_cost":"2.50"}"#, "{}"] {
            let args: CostArgs = read(cost).unwrap();
            assert_eq!(written(&args).unwrap(), cost);
        }
    }

    #[test]
    fn notes_of_earlier_versions_lack_fields() {
        let note = r#"{"model":"openai/m","system":"Be brief.","schema":null,"set":[],"max_tokens":null,"temperature":null,"effort":null,"route":null}"#;
        let args: SettingsArgs = read(note).unwrap();
        assert_eq!(args.table, TableArgs::default());
        assert_eq!(args.system.unwrap().text("--system").unwrap(), "Be brief.");
    }
}
