//! Params of Anthropic batch lines, for a provider other than Anthropic. A member without a translation is refused by
//! name; only hints for caching (`cache_control`), which change no answer, are dropped.

use std::borrow::Cow;

use lmbatch_core::{
    Effort, GenerateOptions, Json, JsonBuf, RequestError, ResponseSchema, Role, ThinkingOptions,
    Tool, ToolChoice,
};
use serde::Deserialize;
use serde_json::Value;

use crate::anthropic_parts as parts;
use crate::context::bad;
use crate::members::members;
use crate::translated::{Translated, only, prepend, texts_of, typed, untranslated};
use crate::values::exact;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked<'a> {
    #[serde(borrow)]
    output_config: Option<AskedConfig<'a>>,
    #[serde(borrow)]
    output_format: Option<AskedFormat<'a>>,
}

#[derive(Deserialize)]
struct AskedConfig<'a> {
    #[serde(borrow)]
    format: Option<AskedFormat<'a>>,
}

#[derive(Deserialize)]
struct AskedFormat<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    schema: Option<Json<'a>>,
}

/// Returns the schema in params, so that the answer is checked against it.
///
/// # Errors
/// A schema with a number that cannot be checked exactly.
pub(crate) fn asked_schema(params: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let asked: Asked<'_> = params.parse().unwrap_or_default();
    let format = asked.output_config.and_then(|config| config.format);
    match format.or(asked.output_format) {
        Some(AskedFormat {
            r#type: Some(kind),
            schema: Some(schema),
        }) if kind == "json_schema" => {
            let schema = exact(schema, "the schema of params")?;
            Ok(Some(ResponseSchema::named("response", &schema)))
        }
        _ => Ok(None),
    }
}

/// Thinking options, which params set in two members.
#[derive(Default)]
struct Thinking {
    mode: Option<Mode>,
    effort: Option<Effort>,
}

/// Value of the member `thinking`.
enum Mode {
    Off,
    Adaptive,
    Budget(u32),
}

impl Thinking {
    fn options(self) -> Result<Option<ThinkingOptions>, RequestError> {
        let (effort, budget_tokens) = match (self.mode, self.effort) {
            (None, None) => return Ok(None),
            (None | Some(Mode::Adaptive), Some(effort)) => (Some(effort), None),
            (Some(Mode::Off), None) => (Some(Effort::None), None),
            (Some(Mode::Budget(tokens)), None) => (None, Some(tokens)),
            (Some(Mode::Adaptive), None) => {
                return Err(RequestError::unsupported(
                    "params.thinking: adaptive can be translated only with output_config.effort",
                ));
            }
            (Some(Mode::Off | Mode::Budget(_)), Some(_)) => {
                return Err(RequestError::unsupported(
                    "params.output_config.effort can be translated only with adaptive thinking",
                ));
            }
        };
        Ok(Some(ThinkingOptions {
            effort,
            budget_tokens,
        }))
    }
}

/// Translates params for a provider without a Messages API. The model in params is ignored.
pub(crate) fn translate<'a>(
    params: Json<'a>,
    provider: &str,
) -> Result<Translated<'a>, RequestError> {
    if !params.as_str().trim_start().starts_with('{') {
        return Err(bad("params is not a JSON object"));
    }
    let members = members(params).map_err(|error| bad(format!("params: {error}")))?;
    let mut translated = Translated::default();
    let mut thinking = Thinking::default();
    let mut more_system = None;
    let set = members.iter().filter(|(_, value)| value.as_str() != "null");
    for (name, value) in set {
        let at = format!("params.{name}");
        let value = *value;
        let options = &mut translated.options;
        let parameters = &mut options.hyperparameters;
        let is_known = match &**name {
            "model" => true,
            "stream" => value.as_str() == "false",
            // A hint for caching the whole request is dropped, like those of its blocks.
            "cache_control" => true,
            "service_tier" => value.as_str() == "\"auto\"",
            "max_tokens" => set_to(&mut parameters.max_output_tokens, typed(value, &at)?),
            "temperature" => set_to(&mut parameters.temperature, typed(value, &at)?),
            "top_p" => set_to(&mut parameters.top_p, typed(value, &at)?),
            "top_k" => set_to(&mut parameters.top_k, typed(value, &at)?),
            "stop_sequences" => set_to(&mut parameters.stop, typed(value, &at)?),
            "tools" => set_to(&mut options.tools, tools(value)?),
            "tool_choice" => set_to(&mut options.tool_choice, tool_choice(value)?),
            "thinking" => set_to(&mut thinking.mode, mode(value)?),
            "output_config" => {
                output_config(value, options, &mut thinking)?;
                true
            }
            "output_format" => {
                options.schema = Some(format(&typed(value, &at)?, &at)?);
                true
            }
            "system" => {
                let mut texts = parts::system(value)?.into_iter();
                translated.system = texts.next();
                more_system = texts_of(Role::System, texts);
                true
            }
            "messages" => {
                translated.messages = parts::messages(value)?;
                true
            }
            _ => false,
        };
        if !is_known {
            return Err(RequestError::unsupported(format!(
                "{at} cannot be translated for {provider}"
            )));
        }
    }
    if translated.messages.is_empty() {
        return Err(bad("params.messages must be there"));
    }
    prepend(&mut translated.messages, more_system);
    translated.options.thinking = thinking.options()?;
    Ok(translated)
}

fn set_to<T>(place: &mut Option<T>, value: T) -> bool {
    *place = Some(value);
    true
}

fn mode(value: Json<'_>) -> Result<Mode, RequestError> {
    let at = "params.thinking";
    let thinking: Value = typed(value, at)?;
    only(&thinking, at, &["type", "budget_tokens"])?;
    let budget = thinking["budget_tokens"].as_u64();
    match (thinking["type"].as_str(), budget) {
        (Some("disabled"), None) => Ok(Mode::Off),
        (Some("adaptive"), None) => Ok(Mode::Adaptive),
        (Some("enabled"), Some(tokens)) => {
            let tokens = u32::try_from(tokens);
            tokens.map(Mode::Budget).map_err(|_| {
                bad("params.thinking.budget_tokens exceeds the maximum of 4,294,967,295")
            })
        }
        (Some("enabled"), None) => Err(bad("params.thinking.budget_tokens must be there")),
        _ => Err(untranslated(at)),
    }
}

fn output_config(
    value: Json<'_>,
    options: &mut GenerateOptions,
    thinking: &mut Thinking,
) -> Result<(), RequestError> {
    let at = "params.output_config";
    let config: Value = typed(value, at)?;
    only(&config, at, &["format", "effort"])?;
    if !config["format"].is_null() {
        options.schema = Some(format(&config["format"], &format!("{at}.format"))?);
    }
    if !config["effort"].is_null() {
        let word = config["effort"].as_str().unwrap_or_default();
        let effort = word.parse::<Effort>();
        thinking.effort = Some(effort.map_err(|error| bad(format!("{at}.effort: {error}")))?);
    }
    Ok(())
}

fn format(format: &Value, at: &str) -> Result<ResponseSchema, RequestError> {
    only(format, at, &["type", "schema"])?;
    match format["type"].as_str() {
        Some("json_schema") if !format["schema"].is_null() => {
            Ok(ResponseSchema::new(&format["schema"]))
        }
        _ => Err(untranslated(at)),
    }
}

fn tools(value: Json<'_>) -> Result<Vec<Tool>, RequestError> {
    const KNOWN: [&str; 6] = [
        "type",
        "name",
        "description",
        "input_schema",
        "strict",
        "cache_control",
    ];
    let tools: Vec<Value> = typed(value, "params.tools")?;
    let tool = |(place, tool): (usize, &Value)| {
        let at = format!("params.tools[{place}]");
        if !matches!(tool["type"].as_str(), None | Some("custom")) {
            return Err(RequestError::unsupported(format!(
                "{at}: only tools of the caller's own can be translated"
            )));
        }
        only(tool, &at, &KNOWN)?;
        let name = tool["name"].as_str();
        if tool["input_schema"].is_null() {
            return Err(bad(format!("{at}.input_schema must be there")));
        }
        Ok(Tool {
            name: name
                .ok_or_else(|| bad(format!("{at} has no name")))?
                .to_owned(),
            description: tool["description"].as_str().map(str::to_owned),
            parameters: JsonBuf::from_value(&tool["input_schema"]),
            strict: tool["strict"].as_bool(),
        })
    };
    tools.iter().enumerate().map(tool).collect()
}

fn tool_choice(value: Json<'_>) -> Result<ToolChoice, RequestError> {
    let at = "params.tool_choice";
    let choice: Value = typed(value, at)?;
    only(&choice, at, &["type", "name", "disable_parallel_tool_use"])?;
    if choice["disable_parallel_tool_use"] == true {
        return Err(untranslated(&format!("{at}.disable_parallel_tool_use")));
    }
    match (choice["type"].as_str(), choice["name"].as_str()) {
        (Some("auto"), None) => Ok(ToolChoice::Auto),
        (Some("none"), None) => Ok(ToolChoice::None),
        (Some("any"), None) => Ok(ToolChoice::Required),
        (Some("tool"), Some(name)) => Ok(ToolChoice::Tool(name.to_owned())),
        _ => Err(untranslated(at)),
    }
}
