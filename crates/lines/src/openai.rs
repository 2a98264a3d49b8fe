//! Bodies of OpenAI batch lines, for a provider other than OpenAI. A member without a translation is refused by name;
//! nothing is dropped.

use std::borrow::Cow;

use lmbatch_core::{
    Effort, GenerateOptions, Json, JsonBuf, RequestError, ResponseSchema, Text, ThinkingOptions,
    Tool, ToolChoice,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::bad;
use crate::members::members;
use crate::openai_parts as parts;
use crate::translated::{self, Translated, only};
use crate::values::{MOST_TOKENS, exact, one_limit};

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked<'a> {
    #[serde(borrow)]
    text: Option<AskedText<'a>>,
    #[serde(borrow)]
    response_format: Option<AskedFormat<'a>>,
}

#[derive(Deserialize)]
struct AskedText<'a> {
    #[serde(borrow)]
    format: Option<AskedFormat<'a>>,
}

#[derive(Deserialize)]
struct AskedFormat<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    schema: Option<Json<'a>>,
    #[serde(borrow)]
    json_schema: Option<AskedSchema<'a>>,
}

#[derive(Deserialize)]
struct AskedSchema<'a> {
    #[serde(borrow)]
    schema: Option<Json<'a>>,
}

/// Returns the schema in a body, so that the answer is checked against it.
///
/// # Errors
/// A schema with a value that cannot be checked exactly, such as a number of thirty digits.
pub(crate) fn asked_schema(body: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let asked: Asked<'_> = body.parse().unwrap_or_default();
    let of_text = asked.text.and_then(|text| text.format);
    let Some(format) = of_text.or(asked.response_format) else {
        return Ok(None);
    };
    let within = format.json_schema.and_then(|inner| inner.schema);
    match format.schema.or(within) {
        Some(schema) if format.r#type.as_deref() == Some("json_schema") => {
            let schema = exact(schema, "the schema of the body")?;
            Ok(Some(ResponseSchema::named("response", &schema)))
        }
        _ => Ok(None),
    }
}

/// Translates a body of `/v1/responses` or `/v1/chat/completions` for a provider that has neither. The model in the
/// body is ignored, since another provider has its own models.
pub(crate) fn translate<'a>(
    url: &str,
    body: Json<'a>,
    provider: &str,
) -> Result<Translated<'a>, RequestError> {
    let chat = match url {
        "/v1/responses" => false,
        "/v1/chat/completions" => true,
        _ => {
            return Err(RequestError::unsupported(format!(
                "url: a body of {url} cannot be translated for {provider}; one of /v1/responses or /v1/chat/completions can"
            )));
        }
    };
    if !body.as_str().trim_start().starts_with('{') {
        return Err(bad("body is not a JSON object"));
    }
    let members = members(body).map_err(|error| bad(format!("body: {error}")))?;
    let is_set = |name: &&&str| {
        members
            .get(**name)
            .is_some_and(|value| value.as_str() != "null")
    };
    one_limit("body", MOST_TOKENS.iter().filter(is_set))?;
    let mut translated = Translated::default();
    for (name, value) in &members {
        let value = *value;
        if value.as_str() == "null" {
            continue;
        }
        let known = if chat {
            chat_member(name, value, &mut translated)?
        } else {
            responses_member(name, value, &mut translated)?
        };
        if !(known || shared_member(name, value, &mut translated.options)?) {
            return Err(RequestError::unsupported(format!(
                "body.{name} cannot be translated for {provider}"
            )));
        }
    }
    if translated.messages.is_empty() {
        let name = if chat { "messages" } else { "input" };
        return Err(bad(format!("body.{name} must be there")));
    }
    Ok(translated)
}

fn typed<T: DeserializeOwned>(name: &str, value: Json<'_>) -> Result<T, RequestError> {
    translated::typed(value, &format!("body.{name}"))
}

fn shared_member(
    name: &str,
    value: Json<'_>,
    options: &mut GenerateOptions,
) -> Result<bool, RequestError> {
    let parameters = &mut options.hyperparameters;
    match name {
        "model" => {}
        "stream" | "store" | "background" => return Ok(value.as_str() == "false"),
        "temperature" => parameters.temperature = Some(typed(name, value)?),
        "top_p" => parameters.top_p = Some(typed(name, value)?),
        "tools" => options.tools = Some(tools(value)?),
        "tool_choice" => options.tool_choice = Some(tool_choice(value)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn responses_member<'a>(
    name: &str,
    value: Json<'a>,
    translated: &mut Translated<'a>,
) -> Result<bool, RequestError> {
    let options = &mut translated.options;
    match name {
        "input" => translated.messages = parts::input(value)?,
        "instructions" => {
            let text = value.parse::<Text<'a>>();
            translated.system = Some(text.map_err(|_| bad("body.instructions must be a string"))?);
        }
        "max_output_tokens" => {
            options.hyperparameters.max_output_tokens = Some(typed(name, value)?)
        }
        "reasoning" => options.thinking = Some(reasoning(value)?),
        "text" => options.schema = text_format(value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn chat_member<'a>(
    name: &str,
    value: Json<'a>,
    translated: &mut Translated<'a>,
) -> Result<bool, RequestError> {
    let options = &mut translated.options;
    let parameters = &mut options.hyperparameters;
    match name {
        "messages" => translated.messages = parts::messages(value)?,
        "max_tokens" | "max_completion_tokens" => {
            parameters.max_output_tokens = Some(typed(name, value)?)
        }
        "stop" => {
            parameters.stop = Some(match value.parse::<String>() {
                Ok(one) => vec![one],
                Err(_) => typed(name, value)?,
            })
        }
        "seed" => parameters.seed = Some(typed(name, value)?),
        "presence_penalty" => parameters.presence_penalty = Some(typed(name, value)?),
        "frequency_penalty" => parameters.frequency_penalty = Some(typed(name, value)?),
        "reasoning_effort" => options.thinking = Some(effort(typed(name, value)?)),
        "response_format" => {
            let format: Value = typed(name, value)?;
            options.schema = schema(&format, &format["json_schema"], "body.response_format")?;
        }
        "n" => return Ok(value.as_str() == "1"),
        _ => return Ok(false),
    }
    Ok(true)
}

fn effort(effort: Effort) -> ThinkingOptions {
    ThinkingOptions {
        effort: Some(effort),
        budget_tokens: None,
    }
}

fn reasoning(value: Json<'_>) -> Result<ThinkingOptions, RequestError> {
    let reasoning: Value = typed("reasoning", value)?;
    // Only OpenAI shows thinking as a summary.
    only(&reasoning, "body.reasoning", &["effort"])?;
    let word = reasoning["effort"].as_str();
    let level = word.map(str::parse::<Effort>).transpose();
    Ok(ThinkingOptions {
        effort: level.map_err(|error| bad(format!("body.reasoning.effort: {error}")))?,
        budget_tokens: None,
    })
}

fn text_format(value: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let text: Value = typed("text", value)?;
    only(&text, "body.text", &["format"])?;
    schema(&text["format"], &text["format"], "body.text.format")
}

fn schema(format: &Value, inner: &Value, at: &str) -> Result<Option<ResponseSchema>, RequestError> {
    match format["type"].as_str() {
        None | Some("text") => Ok(None),
        Some("json_schema") if !inner["schema"].is_null() => {
            Ok(Some(match inner["name"].as_str() {
                Some(name) => ResponseSchema::named(name, &inner["schema"]),
                None => ResponseSchema::new(&inner["schema"]),
            }))
        }
        Some(other) => Err(RequestError::unsupported(format!(
            "{at}: {other} cannot be translated"
        ))),
    }
}

fn tools(value: Json<'_>) -> Result<Vec<Tool>, RequestError> {
    let tools: Vec<Value> = typed("tools", value)?;
    let tool = |(place, tool): (usize, &Value)| {
        let at = format!("body.tools[{place}]");
        if tool["type"] != "function" {
            return Err(RequestError::unsupported(format!(
                "{at}: only functions can be translated"
            )));
        }
        let inner = if tool["function"].is_object() {
            &tool["function"]
        } else {
            tool
        };
        only(
            inner,
            &at,
            &["type", "name", "description", "parameters", "strict"],
        )?;
        let name = inner["name"].as_str();
        Ok(Tool {
            name: name
                .ok_or_else(|| bad(format!("{at} has no name")))?
                .to_owned(),
            description: inner["description"].as_str().map(str::to_owned),
            parameters: match &inner["parameters"] {
                Value::Null => {
                    JsonBuf::from_value(&serde_json::json!({"type": "object", "properties": {}}))
                }
                parameters => JsonBuf::from_value(parameters),
            },
            strict: inner["strict"].as_bool(),
        })
    };
    tools.iter().enumerate().map(tool).collect()
}

fn tool_choice(value: Json<'_>) -> Result<ToolChoice, RequestError> {
    let choice: Value = typed("tool_choice", value)?;
    let named = choice["name"]
        .as_str()
        .or(choice["function"]["name"].as_str());
    match (choice.as_str(), named) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) => Ok(ToolChoice::Tool(name.to_owned())),
        _ => Err(RequestError::unsupported(
            "body.tool_choice cannot be translated",
        )),
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{ContentView, Role};

    use super::*;

    fn shape(url: &str, body: &str) -> Result<String, String> {
        let json = Json::new(body).map_err(|error| error.to_string())?;
        let translated = translate(url, json, "acme");
        let translated =
            translated.map_err(|error| error.message().unwrap_or_default().to_owned())?;
        let turns = translated.messages.iter().map(|message| {
            let contents = message.contents.iter().map(|content| match content {
                ContentView::Text(text) => text.decode().into_owned(),
                ContentView::Attachment(attachment) => format!("<{}>", attachment.kind.as_str()),
                ContentView::ToolCall(call) => format!("{}()", call.name.decode()),
                ContentView::ToolResult(result) => format!("={}", result.output),
                _ => "?".to_owned(),
            });
            format!(
                "{}: {}",
                message.role.as_str(),
                contents.collect::<Vec<_>>().join(" ")
            )
        });
        let turns: Vec<String> = turns.collect();
        let options = translated.options;
        let parameters = serde_json::to_string(&options.hyperparameters).unwrap();
        let system = translated.system.map(|text| text.decode().into_owned());
        Ok(format!(
            "{system:?} [{}] {parameters} tools {} schema {} effort {:?}",
            turns.join("; "),
            options.tools.map_or(0, |tools| tools.len()),
            options.schema.is_some(),
            options
                .thinking
                .and_then(|thinking| thinking.effort)
                .map(Effort::as_str),
        ))
    }

    #[test]
    fn a_body_of_either_endpoint_is_translated_completely() {
        let responses = r#"{"model":"x","instructions":"be brief","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"https://h.test/a.png"}]},{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":"42"}],"tools":[{"type":"function","name":"f","parameters":{}}],"reasoning":{"effort":"low"},"text":{"format":{"type":"json_schema","name":"n","schema":{}}},"max_output_tokens":9,"stream":false,"user":null}"#;
        assert_eq!(
            shape("/v1/responses", responses).unwrap(),
            "Some(\"be brief\") [user: a <image>; assistant: f(); user: =42] {\"max_output_tokens\":9} tools 1 schema true effort Some(\"low\")"
        );
        let chat = r#"{"model":"x","messages":[{"role":"developer","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"42"}],"stop":"END","n":1,"seed":3}"#;
        assert_eq!(
            shape("/v1/chat/completions", chat).unwrap(),
            "None [system: s; user: u; assistant: f(); user: =42] {\"stop\":[\"END\"],\"seed\":3} tools 0 schema false effort None"
        );
        assert_eq!(Role::System.as_str(), "system");
    }

    #[test]
    fn members_without_a_translation_are_refused_by_name() {
        for (url, body, expected) in [
            (
                "/v1/responses",
                r#"{"input":"x","previous_response_id":"r"}"#,
                "body.previous_response_id cannot be translated for acme",
            ),
            (
                "/v1/responses",
                r#"{"input":"x","stream":true}"#,
                "body.stream cannot be translated for acme",
            ),
            (
                "/v1/responses",
                r#"{"input":"x","text":{"verbosity":"low"}}"#,
                "body.text.verbosity cannot be translated",
            ),
            (
                "/v1/responses",
                r#"{"input":"x","tools":[{"type":"web_search"}]}"#,
                "body.tools[0]: only functions can be translated",
            ),
            (
                "/v1/responses",
                r#"{"input":[{"type":"reasoning","id":"r"}]}"#,
                "body.input must be there",
            ),
            (
                "/v1/responses",
                r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}"#,
                "body.input[0].content[0].file_id: a file at OpenAI cannot be reached by another provider",
            ),
            (
                "/v1/responses",
                r#"{"instructions":"x"}"#,
                "body.input must be there",
            ),
            ("/v1/responses", r#"[1]"#, "body is not a JSON object"),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"user","content":"x"}],"logprobs":true}"#,
                "body.logprobs cannot be translated for acme",
            ),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"user","content":"x"}],"n":2}"#,
                "body.n cannot be translated for acme",
            ),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}"#,
                "body.response_format: json_object cannot be translated",
            ),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"user","content":"x","weight":1}]}"#,
                "body.messages[0]: unknown field `weight`",
            ),
            (
                "/v1/chat/completions",
                r#"{"messages":[{"role":"user","content":"x"}],"temperature":"hot"}"#,
                "body.temperature: invalid type",
            ),
            (
                "/v1/embeddings",
                r#"{"input":"x"}"#,
                "url: a body of /v1/embeddings cannot be translated for acme",
            ),
        ] {
            let error = shape(url, body).unwrap_err();
            assert!(error.starts_with(expected), "{body}: {error}");
        }
    }
}
