//! Line formats of lmbatch: one JSON object per line, a request in the input and an outcome in the output.
//!
//! [`InputLines`] reads requests out of JSON Lines and is a [`RequestSource`](lmbatch_core::RequestSource). A line has
//! one of four forms:
//!
//! | form | example |
//! |---|---|
//! | lmbatch's own | `{"id": "a", "prompt": "Hi"}` |
//! | OpenAI batch | `{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": "Hi"}}` |
//! | Anthropic batch | `{"custom_id": "a", "params": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}}` |
//! | Gemini batch | `{"key": "a", "request": {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}}` |
//!
//! A batch line is sent byte for byte to its own provider, and translated for any other. A member without a translation
//! is refused by name; nothing is dropped.
//!
//! [`TableInput`] reads CSV, TSV, JSON Lines of any objects and the files of a folder; templates over their columns are
//! the prompts. Compression with gzip or zstd is recognised by content. With the feature `parquet` it reads Parquet, and
//! `ParquetWriter` writes outcomes as Parquet.
//!
//! [`write_outcome`] writes the output line of an outcome:
//!
//! ```json
//! {"id":"a","status":"succeeded","text":"Hello!","finish_reason":"stop","provider":"openai","batch":"batch_1"}
//! {"id":"b","status":"errored","provider":"openai","batch":"batch_1","error":{"kind":"provider_rate_limit","retryable":true}}
//! ```
//!
//! [`OutcomeTable`] writes it as a row of a table, and [`ProviderLines`] as a line of a provider's result files.
//!
//! [`INPUT_SCHEMA`] and [`OUTPUT_SCHEMA`] are the JSON Schemas of input and output lines.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod anthropic;
mod anthropic_parts;
mod batch_line;
mod cells;
mod column_type;
mod content;
mod context;
mod foreign;
mod format;
mod gemini;
mod gemini_parts;
mod gemini_schema;
mod line;
mod lines;
mod members;
mod openai;
mod openai_parts;
mod ordinary;
mod outcome_table;
mod output;
mod packed;
mod parameters;
#[cfg(feature = "parquet")]
mod parquet_writer;
mod provider_lines;
mod source;
mod spelling;
mod strict;
mod table;
mod translated;
mod values;

pub use column_type::{ColumnType, TimeUnit};
pub use context::InputContext;
pub use format::{NOT_JSON_LINES, not_text};
pub use line::{LINE_FIELDS, NO_FOLDER, UNKNOWN_FIELD};
pub use outcome_table::OutcomeTable;
pub use output::{LineOrigin, write_failure, write_item, write_outcome};
pub use parameters::{check_parameter_name, check_parameter_ranges};
#[cfg(feature = "parquet")]
pub use parquet_writer::ParquetWriter;
pub use provider_lines::{ProviderFormat, ProviderLines};
pub use source::InputLines;
pub use table::{
    InputFormat, KeptColumns, NO_PROMPT, Sample, TableFacts, TableInput, TableOptions,
};

/// JSON Schema (draft 2020-12) of an input line, as text.
pub const INPUT_SCHEMA: &str = include_str!("../schemas/input.json");

/// JSON Schema (draft 2020-12) of an output line, as text.
pub const OUTPUT_SCHEMA: &str = include_str!("../schemas/output.json");
