//! Params of Anthropic batch lines, for a provider other than Anthropic. A member without a translation is refused by
//! name; only hints for caching (`cache_control`), which change no answer, are dropped.

use lmbatch_core::{
    Effort, GenerateOptions, Json, JsonBuf, RequestError, ResponseSchema, Role, Text,
    ThinkingOptions, Tool, ToolChoice,
};

use crate::anthropic_parts as parts;
use crate::context::bad;
use crate::members::{Members, find, is_empty, is_word, members};
use crate::translated::{Translated, prepend, texts_of, typed};
use crate::values::{exact, list, untranslated};

/// Returns the schema in params, so that the answer is checked against it.
///
/// # Errors
/// A schema with a number that cannot be checked exactly.
pub(crate) fn asked_schema(params: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let [config, output_format] = find(params, ["output_config", "output_format"]);
    let of_config = config.and_then(|config| find(config, ["format"])[0]);
    for format in [of_config, output_format].into_iter().flatten() {
        let [kind, schema] = find(format, ["type", "schema"]);
        if let Some(schema) = schema.filter(|_| is_word(kind, "json_schema")) {
            let schema = exact(schema, "the schema of params")?;
            return Ok(Some(ResponseSchema::named("response", &schema)));
        }
    }
    Ok(None)
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
            "service_tier" => is_word(Some(value), "auto"),
            "max_tokens" => set_to(&mut parameters.max_output_tokens, typed(value, &at)?),
            "temperature" => set_to(&mut parameters.temperature, typed(value, &at)?),
            "top_p" => set_to(&mut parameters.top_p, typed(value, &at)?),
            "top_k" => set_to(&mut parameters.top_k, typed(value, &at)?),
            "stop_sequences" => {
                let texts: Vec<String> = typed(value, &at)?;
                parameters.stop = Some(texts).filter(|texts| !texts.is_empty());
                true
            }
            "mcp_servers" => is_empty(value),
            "tools" => set_to(&mut options.tools, tools(value)?),
            "tool_choice" => set_to(&mut options.tool_choice, tool_choice(value)?),
            "thinking" => set_to(&mut thinking.mode, mode(value)?),
            "output_config" => {
                output_config(value, options, &mut thinking)?;
                true
            }
            "output_format" => {
                set_format(value, &at, options)?;
                true
            }
            "system" => {
                let mut texts = parts::system(value)?.into_iter();
                translated.system = texts.next();
                more_system = texts_of(Role::System, texts);
                true
            }
            "messages" => {
                translated.messages = parts::messages(value, provider)?;
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
        return Err(bad("params.messages is missing"));
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
    let mut thinking = Members::of(value, at)?;
    let kind = thinking.need("type")?.decode();
    let mode = match &*kind {
        "disabled" => Mode::Off,
        "adaptive" => Mode::Adaptive,
        "enabled" => {
            let place = format!("{at}.budget_tokens");
            let budget = thinking.value("budget_tokens");
            let budget = budget.ok_or_else(|| bad(format!("{place} is missing")))?;
            Mode::Budget(typed(budget, &place)?)
        }
        other => return Err(untranslated(&format!("{at}: {other}"))),
    };
    thinking.end_exact()?;
    Ok(mode)
}

fn output_config(
    value: Json<'_>,
    options: &mut GenerateOptions,
    thinking: &mut Thinking,
) -> Result<(), RequestError> {
    let at = "params.output_config";
    let mut config = Members::of(value, at)?;
    if let Some(value) = config.value("format") {
        set_format(value, &format!("{at}.format"), options)?;
    }
    if let Some(word) = config.text("effort")? {
        let effort = word.decode().parse::<Effort>();
        thinking.effort = Some(effort.map_err(|error| bad(format!("{at}.effort: {error}")))?);
    }
    config.end_exact()
}

fn set_format(
    value: Json<'_>,
    at: &str,
    options: &mut GenerateOptions,
) -> Result<(), RequestError> {
    if options.schema.is_some() {
        return Err(bad(
            "params has both output_format and output_config.format; keep one of them",
        ));
    }
    let mut format = Members::of(value, at)?;
    let kind = format.need("type")?.decode();
    if kind != "json_schema" {
        return Err(untranslated(&format!("{at}: {kind}")));
    }
    let schema = format.schema("schema")?;
    let schema = schema.ok_or_else(|| bad(format!("{at}.schema is missing")))?;
    format.end_exact()?;
    options.schema = Some(ResponseSchema::new(&schema));
    Ok(())
}

fn tools(value: Json<'_>) -> Result<Vec<Tool>, RequestError> {
    let tools = list(value, "params.tools")?.into_iter().enumerate();
    tools
        .map(|(place, json)| tool(Members::of(json, &format!("params.tools[{place}]"))?))
        .collect()
}

fn tool(mut tool: Members<'_>) -> Result<Tool, RequestError> {
    let kind = tool.text("type")?.map(Text::decode);
    if kind.is_some_and(|kind| kind != "custom") {
        return Err(RequestError::unsupported(format!(
            "{}: only tools of the caller's own can be translated",
            tool.at
        )));
    }
    tool.ignore(&["cache_control"]);
    let name = tool.need("name")?.decode().into_owned();
    let description = tool.text("description")?;
    let parameters = tool.schema("input_schema")?;
    let parameters =
        parameters.ok_or_else(|| bad(format!("{}.input_schema is missing", tool.at)))?;
    let strict = tool.flag("strict")?;
    tool.end_exact()?;
    Ok(Tool {
        name,
        description: description.map(|text| text.decode().into_owned()),
        parameters: JsonBuf::from_value(&parameters),
        strict,
    })
}

fn tool_choice(value: Json<'_>) -> Result<ToolChoice, RequestError> {
    let at = "params.tool_choice";
    let mut choice = Members::of(value, at)?;
    let kind = choice.need("type")?.decode();
    if choice.flag("disable_parallel_tool_use")? == Some(true) {
        return Err(untranslated(&format!("{at}.disable_parallel_tool_use")));
    }
    let found = match &*kind {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "any" => ToolChoice::Required,
        "tool" => ToolChoice::Tool(choice.need("name")?.decode().into_owned()),
        other => return Err(untranslated(&format!("{at}: {other}"))),
    };
    choice.end_exact()?;
    Ok(found)
}
