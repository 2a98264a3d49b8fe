//! Options of the command line into options of requests.

use std::path::Path;

use lmbatch_core::{GenerateOptions, Hyperparameters, ResponseSchema, ThinkingOptions};
use lmbatch_engine::check_schema;
use serde_json::Value;

use crate::args::SettingsArgs;
use crate::exit::Failure;
use crate::{terminal, text_file};

pub(crate) fn options(args: &SettingsArgs) -> Result<GenerateOptions, Failure> {
    let mut hyperparameters = Hyperparameters {
        max_output_tokens: args.max_tokens,
        temperature: args.temperature,
        ..Hyperparameters::default()
    };
    for pair in &args.set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("--set {pair:?} is not KEY=VALUE")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        hyperparameters
            .set(key, value)
            .map_err(|error| Failure::usage(format!("--set {error}")))?;
    }
    let system = match &args.system {
        Some(text) => Some(match text.strip_prefix('@') {
            Some(path) => text_file::read(Path::new(path)).map_err(|error| {
                Failure::usage(format!("--system: {path} cannot be read: {error}"))
            })?,
            None => text.clone(),
        }),
        None => None,
    };
    let schema = match &args.schema {
        Some(path) => {
            let bad = |why: String| Failure::usage(format!("--schema: {} {why}", path.display()));
            let text =
                text_file::read(path).map_err(|error| bad(format!("cannot be read: {error}")))?;
            let value: Value = serde_json::from_str(&text)
                .map_err(|error| bad(format!("is not JSON: {error}")))?;
            let schema = ResponseSchema::new(&value).with_mode(args.schema_mode);
            check_schema(&schema).map_err(|error| {
                let why = terminal::plain(error.message().unwrap_or_default());
                Failure::usage(format!("--schema: {}: {why}", path.display()))
            })?;
            Some(schema)
        }
        None => None,
    };
    Ok(GenerateOptions {
        system,
        schema,
        schema_mode: Some(args.schema_mode),
        thinking: args.effort.map(|effort| ThinkingOptions {
            effort: Some(effort),
            ..ThinkingOptions::default()
        }),
        hyperparameters,
        ..GenerateOptions::default()
    })
}
