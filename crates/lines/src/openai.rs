//! Bodies of OpenAI batch lines, for a provider other than OpenAI. A member without a translation is refused by name;
//! nothing is dropped.

use lmbatch_core::{
    Effort, GenerateOptions, Json, JsonBuf, RequestError, ResponseSchema, Text, ThinkingOptions,
    Tool, ToolChoice,
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::context::bad;
use crate::members::{Members, find, is_empty, is_word, members};
use crate::openai_parts as parts;
use crate::translated::{self, Translated};
use crate::values::{MOST_TOKENS, exact, list, one_limit, untranslated};

/// Returns the schema in a body, so that the answer is checked against it.
///
/// # Errors
/// A schema with a value that cannot be checked exactly, such as a number of thirty digits.
pub(crate) fn asked_schema(body: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let [text, response_format] = find(body, ["text", "response_format"]);
    let of_text = text.and_then(|text| find(text, ["format"])[0]);
    for format in [of_text, response_format].into_iter().flatten() {
        let [kind, schema, json_schema] = find(format, ["type", "schema", "json_schema"]);
        let within = json_schema.and_then(|inner| find(inner, ["schema"])[0]);
        if let Some(schema) = schema.or(within).filter(|_| is_word(kind, "json_schema")) {
            let schema = exact(schema, "the schema of the body")?;
            return Ok(Some(ResponseSchema::named("response", &schema)));
        }
    }
    Ok(None)
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
        return Err(bad(format!("body.{name} is missing")));
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
        // Defaults, whose absence means the same.
        "service_tier" => return Ok(is_word(Some(value), "auto")),
        "parallel_tool_calls" => return Ok(value.as_str() == "true"),
        "metadata" => return Ok(is_empty(value)),
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
            translated.system = Some(text.map_err(|_| bad("body.instructions is not a string"))?);
        }
        "max_output_tokens" => {
            options.hyperparameters.max_output_tokens = Some(typed(name, value)?)
        }
        "reasoning" => options.thinking = Some(reasoning(value)?),
        "text" => options.schema = text_format(value)?,
        "truncation" => return Ok(is_word(Some(value), "disabled")),
        "include" => return Ok(is_empty(value)),
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
            .filter(|texts: &Vec<String>| !texts.is_empty())
        }
        "seed" => parameters.seed = Some(typed(name, value)?),
        "presence_penalty" => parameters.presence_penalty = Some(typed(name, value)?),
        "frequency_penalty" => parameters.frequency_penalty = Some(typed(name, value)?),
        "reasoning_effort" => options.thinking = Some(effort(typed(name, value)?)),
        "response_format" => options.schema = response_format(value)?,
        "n" => return Ok(value.parse::<f64>().is_ok_and(|number| number == 1.0)),
        "logprobs" => return Ok(value.as_str() == "false"),
        "logit_bias" => return Ok(is_empty(value)),
        "modalities" => return Ok(lmbatch_core::compact(value.as_str()) == "[\"text\"]"),
        "verbosity" => return Ok(is_word(Some(value), "medium")),
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
    // Only OpenAI shows thinking as a summary.
    let mut reasoning = Members::of(value, "body.reasoning")?;
    let word = reasoning.text("effort")?.map(Text::decode);
    reasoning.end_exact()?;
    let level = word.map(|word| word.parse::<Effort>()).transpose();
    Ok(ThinkingOptions {
        effort: level.map_err(|error| bad(format!("body.reasoning.effort: {error}")))?,
        budget_tokens: None,
    })
}

fn text_format(value: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let mut text = Members::of(value, "body.text")?;
    let format = text.take("format");
    // The default verbosity.
    text.refuse(&["verbosity"], &["medium"])?;
    text.end_exact()?;
    let Some(format) = format else {
        return Ok(None);
    };
    let mut format = Members::of(format, "body.text.format")?;
    if is_schema(&mut format)? {
        return schema(format).map(Some);
    }
    format.end_exact()?;
    Ok(None)
}

fn response_format(value: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let at = "body.response_format";
    let mut format = Members::of(value, at)?;
    if !is_schema(&mut format)? {
        format.end_exact()?;
        return Ok(None);
    }
    let place = format!("{at}.json_schema");
    let inner = format.value("json_schema");
    format.end_exact()?;
    let inner = inner.ok_or_else(|| bad(format!("{place} is missing")))?;
    schema(Members::of(inner, &place)?).map(Some)
}

/// Takes the type of a format; true for a schema, and false for plain text.
fn is_schema(format: &mut Members<'_>) -> Result<bool, RequestError> {
    match &*format.need("type")?.decode() {
        "text" => Ok(false),
        "json_schema" => Ok(true),
        other => Err(untranslated(&format!("{}: {other}", format.at))),
    }
}

/// Reads a named schema. Every other provider enforces a schema, whether it is `strict` or not.
fn schema(mut named: Members<'_>) -> Result<ResponseSchema, RequestError> {
    let name = named.text("name")?.map(Text::decode);
    named.flag("strict")?;
    let schema = named.schema("schema")?;
    let schema = schema.ok_or_else(|| bad(format!("{}.schema is missing", named.at)))?;
    named.end_exact()?;
    Ok(match name {
        Some(name) => ResponseSchema::named(name, &schema),
        None => ResponseSchema::new(&schema),
    })
}

fn tools(value: Json<'_>) -> Result<Vec<Tool>, RequestError> {
    let tools = list(value, "body.tools")?.into_iter().enumerate();
    tools
        .map(|(place, json)| tool(Members::of(json, &format!("body.tools[{place}]"))?))
        .collect()
}

fn tool(mut tool: Members<'_>) -> Result<Tool, RequestError> {
    let kind = tool.need("type")?.decode();
    if kind != "function" {
        return Err(RequestError::unsupported(format!(
            "{}: only functions can be translated",
            tool.at
        )));
    }
    // In `/v1/chat/completions` the function is an object of its own.
    if let Some(function) = tool.value("function") {
        let at = format!("{}.function", tool.at);
        tool.end_exact()?;
        tool = Members::of(function, &at)?;
    }
    let name = tool.need("name")?.decode().into_owned();
    let description = tool.text("description")?;
    let parameters = tool.schema("parameters")?;
    let strict = tool.flag("strict")?;
    tool.end_exact()?;
    let parameters = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    Ok(Tool {
        name,
        description: description.map(|text| text.decode().into_owned()),
        parameters: JsonBuf::from_value(&parameters),
        strict,
    })
}

fn tool_choice(value: Json<'_>) -> Result<ToolChoice, RequestError> {
    let at = "body.tool_choice";
    if let Ok(word) = value.parse::<Text<'_>>() {
        return match &*word.decode() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(untranslated(at)),
        };
    }
    let mut choice = Members::of(value, at)?;
    let kind = choice.need("type")?.decode();
    if kind != "function" {
        return Err(untranslated(&format!("{at}: {kind}")));
    }
    if let Some(function) = choice.value("function") {
        choice.end_exact()?;
        choice = Members::of(function, &format!("{at}.function"))?;
    }
    let name = choice.need("name")?.decode().into_owned();
    choice.end_exact()?;
    Ok(ToolChoice::Tool(name))
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
    fn a_neighbour_of_a_wrong_type_hides_no_schema() {
        type Reader = fn(Json<'_>) -> Result<Option<ResponseSchema>, RequestError>;
        let readers: [(Reader, &str); 4] = [
            (
                asked_schema,
                r#"{"response_format":7,"text":{"format":{"type":"json_schema","schema":{}}}}"#,
            ),
            (
                asked_schema,
                r#"{"text":7,"response_format":{"type":"json_schema","json_schema":{"schema":{}}}}"#,
            ),
            (
                crate::anthropic::asked_schema,
                r#"{"output_format":3,"output_config":{"format":{"type":"json_schema","schema":{}}}}"#,
            ),
            (
                crate::gemini::asked_schema,
                r#"{"generationConfig":{"_responseJsonSchema":{"type":"object"}}}"#,
            ),
        ];
        for (read, body) in readers {
            let schema = read(Json::new(body).unwrap());
            assert!(schema.is_ok_and(|schema| schema.is_some()), "{body}");
        }
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
                "body.input is missing",
            ),
            (
                "/v1/responses",
                r#"{"input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}"#,
                "body.input[0].content[0].file_id: a file at OpenAI cannot be reached by another provider",
            ),
            (
                "/v1/responses",
                r#"{"instructions":"x"}"#,
                "body.input is missing",
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
                "body.messages[0].weight cannot be translated",
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
