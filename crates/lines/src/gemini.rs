//! Requests of Gemini batch lines, for a provider other than Google. A member without a translation is refused by name;
//! nothing is dropped. Names are accepted in both spellings, `systemInstruction` and `system_instruction`, as Google's
//! parser accepts them.

use lmbatch_core::{
    Effort, GenerateOptions, Json, JsonBuf, RequestError, ResponseSchema, Role, Text,
    ThinkingOptions, Tool, ToolChoice,
};
use serde_json::json;

use crate::context::bad;
use crate::gemini_parts as parts;
use crate::gemini_schema::json_schema;
use crate::members::Members;
use crate::translated::{Translated, prepend, texts_of, typed};
use crate::values::{exact, list, untranslated};

/// Members of a request that are translated.
const REQUEST: [&str; 7] = [
    "model",
    "contents",
    "systemInstruction",
    "tools",
    "toolConfig",
    "generationConfig",
    "safetySettings",
];

/// Members of `generationConfig` that are translated.
const CONFIG: [&str; 16] = [
    "temperature",
    "topP",
    "topK",
    "candidateCount",
    "maxOutputTokens",
    "stopSequences",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "responseModalities",
    "responseLogprobs",
    "thinkingConfig",
    "_responseJsonSchema",
];

/// Returns the schema in a request, so that the answer is checked against it.
///
/// # Errors
/// A schema with a number that cannot be checked exactly.
pub(crate) fn asked_schema(request: Json<'_>) -> Result<Option<ResponseSchema>, RequestError> {
    let Ok(mut request) = Members::spelled(request, "request", &REQUEST) else {
        return Ok(None);
    };
    let Some(config) = request.take("generationConfig") else {
        return Ok(None);
    };
    let Ok(mut config) = Members::spelled(config, "request.generationConfig", &CONFIG) else {
        return Ok(None);
    };
    let at = "the schema of the request";
    let json_schema_of = config
        .take("responseJsonSchema")
        .or(config.take("_responseJsonSchema"));
    let schema = match (json_schema_of, config.take("responseSchema")) {
        (Some(schema), _) => Some(exact(schema, at)?),
        // A schema that Google's reference does not describe is sent unchanged, and its answer is not checked.
        (None, Some(schema)) => json_schema(&exact(schema, at)?, at).ok(),
        (None, None) => None,
    };
    Ok(schema.map(|schema| ResponseSchema::named("response", &schema)))
}

/// Translates a request for a provider other than Google. The model in the request is ignored.
pub(crate) fn translate<'a>(
    request: Json<'a>,
    provider: &str,
) -> Result<Translated<'a>, RequestError> {
    let mut request = Members::spelled(request, "request", &REQUEST)?;
    let mut translated = Translated::default();
    request.ignore(&["model"]);
    // A request without settings has the default ones.
    if request.take("safetySettings").is_some() {
        return Err(RequestError::unsupported(format!(
            "request.safetySettings cannot be translated for {provider}"
        )));
    }
    if let Some(contents) = request.take("contents") {
        translated.messages = parts::messages(contents)?;
    }
    if translated.messages.is_empty() {
        return Err(bad("request.contents is missing"));
    }
    if let Some(instruction) = request.take("systemInstruction") {
        let mut system = parts::system(instruction)?.into_iter();
        translated.system = system.next();
        prepend(&mut translated.messages, texts_of(Role::System, system));
    }
    let options = &mut translated.options;
    if let Some(value) = request.take("tools") {
        options.tools = Some(tools(value)?);
    }
    if let Some(value) = request.take("toolConfig") {
        tool_config(value, options)?;
    }
    if let Some(value) = request.take("generationConfig") {
        generation_config(value, options)?;
    }
    if let Some(name) = request.left_over() {
        return Err(RequestError::unsupported(format!(
            "request.{name} cannot be translated for {provider}"
        )));
    }
    Ok(translated)
}

fn generation_config(value: Json<'_>, options: &mut GenerateOptions) -> Result<(), RequestError> {
    let at = "request.generationConfig";
    let mut config = Members::spelled(value, at, &CONFIG)?;
    let place = |name: &str| format!("{at}.{name}");
    macro_rules! set {
        ($($field:ident: $name:literal),*) => {
            $(if let Some(value) = config.value($name) {
                options.hyperparameters.$field = Some(typed(value, &place($name))?);
            })*
        };
    }
    set!(
        temperature: "temperature",
        top_p: "topP",
        max_output_tokens: "maxOutputTokens",
        seed: "seed",
        presence_penalty: "presencePenalty",
        frequency_penalty: "frequencyPenalty"
    );
    if let Some(value) = config.take("stopSequences") {
        options.hyperparameters.stop = Some(typed(value, &place("stopSequences"))?);
    }
    if let Some(value) = config.value("topK") {
        options.hyperparameters.top_k = Some(whole(value, &place("topK"))?);
    }
    if let Some(value) = config.value("candidateCount")
        && !value.parse::<f64>().is_ok_and(|number| number == 1.0)
    {
        return Err(untranslated(&place("candidateCount")));
    }
    if config.flag("responseLogprobs")? == Some(true) {
        return Err(untranslated(&place("responseLogprobs")));
    }
    if let Some(value) = config.take("responseModalities")
        && lmbatch_core::compact(value.as_str()) != "[\"TEXT\"]"
    {
        return Err(untranslated(&place("responseModalities")));
    }
    let json_schema_of = match (
        config.value("responseJsonSchema"),
        config.value("_responseJsonSchema"),
    ) {
        (Some(_), Some(_)) => {
            return Err(bad(format!(
                "{at} has both responseJsonSchema and _responseJsonSchema; keep one of them"
            )));
        }
        (one, other) => one.or(other),
    };
    let schema = match (json_schema_of, config.value("responseSchema")) {
        (Some(_), Some(_)) => {
            return Err(bad(format!(
                "{at} has both responseSchema and responseJsonSchema; keep one of them"
            )));
        }
        (Some(schema), None) => Some(exact(schema, &place("responseJsonSchema"))?),
        (None, Some(schema)) => {
            let place = place("responseSchema");
            Some(json_schema(&exact(schema, &place)?, &place)?)
        }
        (None, None) => None,
    };
    let mime = config.text("responseMimeType")?;
    let mime = mime.map(Text::decode);
    match (mime.as_deref(), schema) {
        (None | Some("text/plain"), None) => {}
        (None | Some("application/json"), Some(schema)) => {
            options.schema = Some(ResponseSchema::new(&schema));
        }
        _ => return Err(untranslated(&place("responseMimeType"))),
    }
    if let Some(value) = config.take("thinkingConfig") {
        options.thinking = thinking(value)?;
    }
    config.end_exact()
}

/// Reads a whole number, which Google also accepts as `40.0`.
fn whole(value: Json<'_>, at: &str) -> Result<u32, RequestError> {
    let number: f64 = typed(value, at)?;
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    match is_whole {
        true => Ok(number as u32),
        false => Err(bad(format!("{at} is not a whole number"))),
    }
}

fn thinking(value: Json<'_>) -> Result<Option<ThinkingOptions>, RequestError> {
    let at = "request.generationConfig.thinkingConfig";
    let known = ["includeThoughts", "thinkingBudget", "thinkingLevel"];
    let mut config = Members::spelled(value, at, &known)?;
    if config.flag("includeThoughts")? == Some(true) {
        return Err(untranslated(&format!("{at}.includeThoughts")));
    }
    let budget = config.value("thinkingBudget");
    let level = config.text("thinkingLevel")?.map(Text::decode);
    config.end_exact()?;
    let place = format!("{at}.thinkingBudget");
    let budget: Option<i64> = budget.map(|value| typed(value, &place)).transpose()?;
    let (effort, budget_tokens) = match (budget, level.as_deref()) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => {
            return Err(bad(format!(
                "{at} has both thinkingBudget and thinkingLevel; keep one of them"
            )));
        }
        (Some(0), None) => (Some(Effort::None), None),
        // A budget of -1 leaves the choice to Gemini.
        (Some(tokens), None) => {
            let tokens = u32::try_from(tokens).map_err(|_| untranslated(&place))?;
            (None, Some(tokens))
        }
        (None, Some(level)) => {
            let level = level.to_ascii_lowercase().parse::<Effort>();
            let effort = level.map_err(|_| untranslated(&format!("{at}.thinkingLevel")))?;
            (Some(effort), None)
        }
    };
    Ok(Some(ThinkingOptions {
        effort,
        budget_tokens,
    }))
}

fn tools(value: Json<'_>) -> Result<Vec<Tool>, RequestError> {
    let mut tools = Vec::new();
    for (place, json) in list(value, "request.tools")?.into_iter().enumerate() {
        let at = format!("request.tools[{place}]");
        let mut entry = Members::spelled(json, &at, &["functionDeclarations"])?;
        let declarations = entry.take("functionDeclarations");
        if let Some(name) = entry.left_over() {
            return Err(RequestError::unsupported(format!(
                "{at}.{name}: only functions can be translated"
            )));
        }
        let Some(declarations) = declarations else {
            continue;
        };
        let at = format!("{at}.functionDeclarations");
        let declarations = list(declarations, &at)?;
        for (place, json) in declarations.into_iter().enumerate() {
            tools.push(tool(json, &format!("{at}[{place}]"))?);
        }
    }
    Ok(tools)
}

fn tool(json: Json<'_>, at: &str) -> Result<Tool, RequestError> {
    let known = ["name", "description", "parameters", "parametersJsonSchema"];
    let mut tool = Members::spelled(json, at, &known)?;
    let name = tool.need("name")?.decode().into_owned();
    let description = tool.text("description")?;
    let parameters = match (
        tool.schema("parametersJsonSchema")?,
        tool.schema("parameters")?,
    ) {
        (Some(_), Some(_)) => {
            return Err(bad(format!(
                "{at} has both parameters and parametersJsonSchema; keep one of them"
            )));
        }
        (Some(schema), None) => schema,
        (None, Some(schema)) => json_schema(&schema, &format!("{at}.parameters"))?,
        (None, None) => json!({"type": "object", "properties": {}}),
    };
    tool.end_exact()?;
    Ok(Tool {
        name,
        description: description.map(|text| text.decode().into_owned()),
        parameters: JsonBuf::from_value(&parameters),
        strict: None,
    })
}

/// Reads the mode of tool calls. `VALIDATED` enforces the schemas of calls: every tool becomes strict.
fn tool_config(value: Json<'_>, options: &mut GenerateOptions) -> Result<(), RequestError> {
    let at = "request.toolConfig";
    let mut config = Members::spelled(value, at, &["functionCallingConfig"])?;
    let calling = config.take("functionCallingConfig");
    config.end_exact()?;
    let Some(calling) = calling else {
        return Ok(());
    };
    let at = format!("{at}.functionCallingConfig");
    let mut calling = Members::spelled(calling, &at, &["mode", "allowedFunctionNames"])?;
    let allowed: Vec<String> = match calling.take("allowedFunctionNames") {
        Some(value) => typed(value, &format!("{at}.allowedFunctionNames"))?,
        None => Vec::new(),
    };
    let mode = calling.text("mode")?.map(Text::decode);
    calling.end_exact()?;
    let choice = match (mode.as_deref(), allowed.as_slice()) {
        (None | Some("AUTO" | "MODE_UNSPECIFIED"), []) => ToolChoice::Auto,
        (Some("NONE"), []) => ToolChoice::None,
        (Some("ANY"), []) => ToolChoice::Required,
        (Some("ANY"), [name]) => ToolChoice::Tool(name.clone()),
        (Some("VALIDATED"), []) => {
            for tool in options.tools.iter_mut().flatten() {
                tool.strict = Some(true);
            }
            ToolChoice::Auto
        }
        (_, [_, ..]) => return Err(untranslated(&format!("{at}.allowedFunctionNames"))),
        _ => return Err(untranslated(&format!("{at}.mode"))),
    };
    options.tool_choice = Some(choice);
    Ok(())
}
