//! Conversion of command-line options into options of requests.

use std::borrow::Cow;

use lmbatch::adapter::{BatchCodec, ContentView, GenerateView, MessageView, RequestView, Text};
use lmbatch::engine::check_schema;
use lmbatch::{
    GenerateOptions, Hyperparameters, RequestError, ResponseSchema, Role, ThinkingOptions,
};
use lmbatch_lines::{check_parameter_name, check_parameter_ranges};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::args::SettingsArgs;
use crate::exit::{CHAT, Failure};
use crate::{terminal, text_file};

/// Returns the options that every request has in common, after checking that the provider accepts them, so that an
/// invalid option is not reported as an error of an input line.
///
/// # Errors
/// Usage, with the option, the file and the place in it, for a value that cannot be read or that the provider
/// does not accept.
pub(crate) fn options(
    args: &SettingsArgs,
    codec: &dyn BatchCodec,
    model: &str,
) -> Result<GenerateOptions, Failure> {
    let options = read(args)?;
    let none = GenerateOptions::default();
    if tried(codec, model, &none).is_err() {
        // The provider refuses even a plain request, so that only the input lines show whether the options are valid.
        return Ok(options);
    }
    if let Some(path) = &args.schema {
        let alone = GenerateOptions {
            schema: options.schema.clone(),
            schema_mode: options.schema_mode,
            ..none.clone()
        };
        tried(codec, model, &alone).map_err(|error| {
            Failure::usage(format!("--schema: {}: {}", path.display(), reason(&error))).hint(
                "nothing was sent; --schema-mode lenient sends the part of the schema that the provider accepts",
            )
        })?;
    }
    let thinking = GenerateOptions {
        thinking: options.thinking,
        ..none.clone()
    };
    let hyperparameters = GenerateOptions {
        hyperparameters: options.hyperparameters.clone(),
        ..none
    };
    for (name, some) in [
        ("--effort", &thinking),
        (
            "--temperature, --top-p, --max-tokens or --set",
            &hyperparameters,
        ),
        ("the options", &options),
    ] {
        tried(codec, model, some).map_err(|error| {
            let reason = reason(&error);
            let hint = match reason.contains(CHAT) {
                true => "nothing was sent; --route chat chooses the endpoint chat_completions",
                false => "nothing was sent",
            };
            Failure::usage(format!("{name}: {reason}")).hint(hint)
        })?;
    }
    Ok(options)
}

/// Encodes a request of one word with the options.
fn tried(
    codec: &dyn BatchCodec,
    model: &str,
    options: &GenerateOptions,
) -> Result<(), RequestError> {
    let word = MessageView {
        role: Role::User,
        contents: vec![ContentView::Text(Text::Plain("x"))],
    };
    let request = RequestView::Generate(GenerateView {
        model: Text::Plain(model),
        system: options.system.as_deref().map(Text::Plain),
        messages: vec![word],
        tools: &[],
        tool_choice: None,
        schema: options.schema.as_ref(),
        thinking: options.thinking.as_ref(),
        hyperparameters: Cow::Borrowed(&options.hyperparameters),
    });
    let class = codec.class(&request)?;
    if let Some(schema) = &options.schema {
        codec.schema_notes(&class, schema)?;
    }
    codec.body(&class, &request, &mut Vec::new())
}

/// Returns the reason of an error, safe to print, without the words that repeat the option's name.
fn reason(error: &RequestError) -> String {
    let message = error
        .message()
        .map_or_else(|| error.to_string(), str::to_owned);
    let short = message.strip_prefix("the schema for answers cannot be used: ");
    terminal::plain(short.unwrap_or(&message))
}

/// Reports whether a key of `--set` names the maximum number of output tokens.
fn is_max_tokens(key: &str) -> bool {
    matches!(
        key,
        "max_tokens" | "max_output_tokens" | "max_completion_tokens"
    )
}

/// Replaces settings of a recorded run by those of a later command, of which each takes precedence however it is
/// given.
pub(crate) fn revise(settings: &mut SettingsArgs, max_tokens: Option<u32>, set: &[String]) {
    let key = |pair: &str| pair.split_once('=').map_or("", |(key, _)| key).to_owned();
    if max_tokens.is_some() {
        settings.set.retain(|pair| !is_max_tokens(&key(pair)));
    }
    if set.iter().any(|pair| is_max_tokens(&key(pair))) {
        settings.max_tokens = None;
    }
    if set.iter().any(|pair| key(pair) == "temperature") {
        settings.temperature = None;
    }
    if set.iter().any(|pair| key(pair) == "top_p") {
        settings.top_p = None;
    }
    settings.max_tokens = max_tokens.or(settings.max_tokens);
    settings.set.extend(set.iter().cloned());
}

/// Reads the options from the command line.
fn read(args: &SettingsArgs) -> Result<GenerateOptions, Failure> {
    let mut hyperparameters = Hyperparameters {
        max_output_tokens: args.max_tokens,
        temperature: args.temperature,
        top_p: args.top_p,
        ..Hyperparameters::default()
    };
    for pair in &args.set {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(Failure::usage(format!("--set {pair:?} is not KEY=VALUE")));
        };
        check_parameter_name(key).map_err(|error| Failure::usage(format!("--set {error}")))?;
        let option = match key {
            _ if args.max_tokens.is_some() && is_max_tokens(key) => Some("--max-tokens"),
            "temperature" if args.temperature.is_some() => Some("--temperature"),
            "top_p" if args.top_p.is_some() => Some("--top-p"),
            _ => None,
        };
        if let Some(option) = option {
            return Err(Failure::usage(format!(
                "{option} and --set {key} set one parameter; keep one of them"
            )));
        }
        let value = match serde_json::from_str::<&RawValue>(value) {
            Ok(_) => lmbatch::adapter::exact_value(value)
                .map_err(|error| Failure::usage(format!("--set {key}: {error}")))?,
            Err(_) => Value::String(value.to_owned()),
        };
        hyperparameters
            .set(key, value)
            .map_err(|error| Failure::usage(format!("--set {error}")))?;
    }
    check_parameter_ranges(&hyperparameters).map_err(|error| {
        let name = error.split(':').next().unwrap_or_default();
        let is_set = args
            .set
            .iter()
            .any(|pair| pair.split('=').next() == Some(name));
        let flag = if is_set { "--set " } else { "--" };
        let name_of_flag = if is_set {
            name.to_owned()
        } else {
            name.replace('_', "-")
        };
        let reason = error.strip_prefix(name).unwrap_or(&error);
        Failure::usage(format!("{flag}{name_of_flag}{reason}")).hint("nothing was sent")
    })?;
    let system = args.system.as_ref().map(|text| text.text("--system"));
    let system = system.transpose()?.map(Cow::into_owned);
    let schema = match &args.schema {
        Some(path) => {
            let bad = |why: String| Failure::usage(format!("--schema: {} {why}", path.display()));
            let text = text_file::of_option("--schema", path)?;
            serde_json::from_str::<&RawValue>(&text)
                .map_err(|error| bad(format!("is not JSON: {error}")))?;
            let value = lmbatch::adapter::exact_value(&text)
                .map_err(|error| bad(format!("cannot be used: {error}")))?;
            let schema = ResponseSchema::new(&value).with_mode(args.schema_mode);
            check_schema(&schema).map_err(|error| {
                Failure::usage(format!("--schema: {}: {}", path.display(), reason(&error)))
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
