//! Schemas of the parameters of tools.

use lmbatch_core::schemas::resolve;
use lmbatch_core::{JsonBuf, RequestError};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::check::check as check_schema;

/// Longest name of a tool, in characters, that an error quotes.
const LONGEST_NAME: usize = 80;

/// Checks the parameters of a tool: a schema as for an answer, whose root is an object.
pub(super) fn check(name: &str, parameters: &JsonBuf) -> Result<(), RequestError> {
    let refused = |why: String| {
        let name: String = name.chars().take(LONGEST_NAME).collect();
        RequestError::invalid_input(format!(
            "the parameters of the tool {name:?} cannot be used: {why}"
        ))
    };
    check_schema(parameters, "arguments").map_err(refused)?;
    let value = parameters.to_value();
    let Some(root) = value.as_object() else {
        return Ok(());
    };
    match root_type(root, &value) {
        None => Ok(()),
        Some(kind) => Err(refused(format!(
            "at #/type: arguments are an object, and this is {kind}"
        ))),
    }
}

/// Returns what a root is in place of an object; `None` for an object.
fn root_type(root: &Map<String, Value>, document: &Value) -> Option<String> {
    let mut members = root;
    // A root may be a reference, which may lead to another.
    for _ in 0..8 {
        let target = members.get("$ref").and_then(Value::as_str);
        match target.and_then(|target| resolve(document, target)?.as_object()) {
            Some(target) => members = target,
            None => break,
        }
    }
    match members.get("type") {
        Some(Value::Array(kinds)) if *kinds == ["object"] => None,
        Some(kind) => (kind != "object").then(|| format!("of the type {kind}")),
        None => {
            let others = ["enum", "const", "items", "prefixItems"];
            let found = others.into_iter().find(|name| members.contains_key(*name));
            let found = found.filter(|_| !members.contains_key("properties"));
            found.map(|name| format!("described by {name:?}"))
        }
    }
}

/// Members of a body with tools, in the form of each known API.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    tools: Option<&'a RawValue>,
    #[serde(borrow, default)]
    functions: Option<&'a RawValue>,
}

/// Passes each list of tools in a body of the caller's own to `check`.
pub(super) fn each_in_body(
    body: &str,
    check: impl FnMut(&str) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    let is_named = |name: &str| memchr::memmem::find(body.as_bytes(), name.as_bytes()).is_some();
    if !is_named("\"tools\"") && !is_named("\"functions\"") {
        return Ok(());
    }
    let Ok(body) = serde_json::from_str::<Body<'_>>(body) else {
        return Ok(());
    };
    let lists = [body.tools, body.functions].into_iter().flatten();
    lists.map(RawValue::get).try_for_each(check)
}

/// Checks the tools of a list whose parameters are JSON Schema at a known place: `function.parameters`,
/// `parameters` and `input_schema`, and `parametersJsonSchema` of Google. Google's `parameters` are OpenAPI.
pub(super) fn check_list(tools: &str) -> Result<(), RequestError> {
    let Ok(Value::Array(tools)) = serde_json::from_str(tools) else {
        return Ok(());
    };
    for tool in &tools {
        let declared = tool
            .get("functionDeclarations")
            .or_else(|| tool.get("function_declarations"));
        let declared = declared.and_then(Value::as_array);
        for function in declared.into_iter().flatten() {
            check_member(
                function,
                &["parametersJsonSchema", "parameters_json_schema"],
            )?;
        }
        let is_google = declared.is_some();
        let function = tool.get("function").unwrap_or(tool);
        // A tool of the provider's own, such as a search, has a type and no schema.
        if !is_google && function.get("name").is_some_and(Value::is_string) {
            check_member(function, &["parameters", "input_schema"])?;
        }
    }
    Ok(())
}

fn check_member(function: &Value, names: &[&str]) -> Result<(), RequestError> {
    let name = function.get("name").and_then(Value::as_str);
    for member in names {
        // Null is the same as absent: a tool without parameters.
        if let Some(schema) = function.get(*member).filter(|schema| !schema.is_null()) {
            check(name.unwrap_or_default(), &JsonBuf::from_value(schema))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(found: Result<(), RequestError>) -> Option<String> {
        let error = found.err()?;
        Some(error.message().unwrap_or_default().to_owned())
    }

    /// Parameters, and a part of the error; `None` where they are accepted.
    fn samples() -> Vec<(Value, Option<&'static str>)> {
        vec![
            (json!({"type": "object", "properties": {}}), None),
            (json!({"type": "object"}), None),
            (json!({}), None),
            (json!({"properties": {"a": {"type": "string"}}}), None),
            (
                json!({"type": "object", "additionalProperties": {"type": "string"}}),
                None,
            ),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}),
                None,
            ),
            (
                json!({"type": "strnig"}),
                Some("#/type: \"strnig\" is no type"),
            ),
            (
                json!({"type": "array", "items": {}}),
                Some("#/type: arguments are an object, and this is of the type \"array\""),
            ),
            (
                json!({"type": ["object", "null"]}),
                Some("arguments are an object"),
            ),
            (json!({"enum": ["a"]}), Some("described by \"enum\"")),
            (
                json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}),
                Some("of the type \"string\""),
            ),
            (
                json!(true),
                Some("a boolean, which does not describe arguments"),
            ),
            (json!([]), Some("an array")),
            (
                json!({"$ref": "http://x/y"}),
                Some("#/$ref: \"http://x/y\" refers outside"),
            ),
            (
                json!({"type": "object", "properties": {"a": {"type": "nubmer"}}}),
                Some("#/properties/a/type"),
            ),
            (
                json!({"type": "object", "required": ["b"], "properties": {}, "additionalProperties": false}),
                Some("#/required"),
            ),
        ]
    }

    #[test]
    fn the_parameters_of_a_tool_are_a_schema_of_an_object() {
        let mut samples = samples();
        samples.push((Value::Null, Some("it is null, and not a JSON object")));
        for (parameters, expected) in samples {
            let found = refusal(check("f", &JsonBuf::from_value(&parameters)));
            match expected {
                None => assert_eq!(found, None, "{parameters}"),
                Some(words) => {
                    let found = found.unwrap_or_default();
                    assert!(found.contains(words), "{parameters}: {found}");
                    assert!(found.contains("the tool \"f\""), "{found}");
                }
            }
        }
    }

    #[test]
    fn the_tools_of_a_body_of_the_callers_own_are_checked_at_their_known_places() {
        for (parameters, expected) in samples() {
            for body in [
                json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}),
                json!({"tools": [{"type": "function", "name": "f", "parameters": parameters}]}),
                json!({"functions": [{"name": "f", "parameters": parameters}]}),
                json!({"tools": [{"name": "f", "input_schema": parameters}]}),
                json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": parameters}]}]}),
            ] {
                let found = refusal(each_in_body(&body.to_string(), check_list));
                match expected {
                    None => assert_eq!(found, None, "{body}"),
                    Some(words) => assert!(found.unwrap_or_default().contains(words), "{body}"),
                }
            }
        }
        for body in [
            json!({"messages": [{"content": "\"tools\""}]}),
            json!({"tools": [{"type": "web_search"}]}),
            json!({"tools": [{"name": "f", "input_schema": null}]}),
            json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}]}),
            json!({"tools": {"odd": true}}),
        ] {
            assert_eq!(
                refusal(each_in_body(&body.to_string(), check_list)),
                None,
                "{body}"
            );
        }
    }
}
