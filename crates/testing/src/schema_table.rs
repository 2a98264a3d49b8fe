//! The table of supported schemas in an adapter's documentation, generated from the adapter itself.

use lmbatch_core::schemas::SentSchema;
use lmbatch_core::{RequestError, ResponseSchema, SchemaMode};
use serde_json::{Value, json};

/// Schemas of one property each, by the keyword that they demonstrate.
fn of_properties() -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let object = |members: Value| {
        let mut schema = json!({"type": "object", "properties": {"x": text()}});
        for (key, value) in members.as_object().into_iter().flatten() {
            schema[key.as_str()] = value.clone();
        }
        schema
    };
    vec![
        (
            "closed object",
            object(json!({"required": ["x"], "additionalProperties": false})),
        ),
        (
            "object that is not closed",
            object(json!({"required": ["x"]})),
        ),
        (
            "optional property",
            object(json!({"additionalProperties": false})),
        ),
        (
            "map",
            json!({"type": "object", "additionalProperties": text()}),
        ),
        (
            "open object",
            object(json!({"required": ["x"], "additionalProperties": true})),
        ),
        (
            "names by pattern",
            json!({"type": "object", "patternProperties": {"^x": text()}}),
        ),
        ("object without properties", json!({"type": "object"})),
        ("any value", json!({})),
        ("two types", json!({"type": ["string", "null"]})),
        ("anyOf", json!({"anyOf": [text(), {"type": "null"}]})),
        ("oneOf", json!({"oneOf": [text(), {"type": "integer"}]})),
        ("allOf", json!({"allOf": [text(), {"maxLength": 9}]})),
        ("$ref", json!({"$ref": "#/$defs/d"})),
        (
            "$ref beside a description",
            json!({"$ref": "#/$defs/d", "description": "Why."}),
        ),
        (
            "title and default",
            json!({"type": "string", "title": "T", "default": "x"}),
        ),
        (
            "limits of a number",
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
        ),
        (
            "limits of a text",
            json!({"type": "string", "minLength": 1, "pattern": "^a"}),
        ),
        ("format", json!({"type": "string", "format": "date"})),
        (
            "format of one's own",
            json!({"type": "string", "format": "phone"}),
        ),
        (
            "limits of a list",
            json!({"type": "array", "items": text(), "minItems": 2, "maxItems": 3}),
        ),
        (
            "tuple",
            json!({"type": "array", "prefixItems": [text(), {"type": "integer"}]}),
        ),
        ("enum of numbers", json!({"enum": [1, 2]})),
        (
            "enum of objects",
            json!({"type": "array", "items": text(), "enum": [["x"]]}),
        ),
        ("const", json!({"const": "x"})),
        ("not", json!({"type": "string", "not": {"const": "x"}})),
        (
            "if",
            json!({"type": "string", "if": {"minLength": 3}, "then": {"pattern": "^a"}}),
        ),
    ]
}

/// Complete schemas, by the feature that they demonstrate.
fn of_roots() -> Vec<(&'static str, Value)> {
    let node = |required: Value| json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": required, "additionalProperties": false});
    vec![
        (
            "list as the root",
            json!({"type": "array", "items": {"type": "string"}}),
        ),
        ("text as the root", json!({"type": "string"})),
        (
            "choice as the root",
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ),
        ("recursion", node(json!([]))),
        ("required recursion", node(json!(["next"]))),
    ]
}

/// Returns a Markdown table of the schemas that an adapter sends for sample schemas of every kind. `source` returns
/// the documentation source of a row by its name.
pub fn schema_table(
    translate: impl Fn(&ResponseSchema) -> Result<SentSchema, RequestError>,
    source: impl Fn(&str) -> &'static str,
) -> String {
    let mut table = "| | schema | what is sent | source |\n|---|---|---|---|\n".to_owned();
    let mut row = |name: &str, shown: &Value, whole: &Value, part: &str| {
        let schema = ResponseSchema::new(whole);
        let sent = match translate(&schema) {
            Ok(sent) => said(&sent, shown, part),
            Err(error) => {
                let lenient = translate(&schema.with_mode(SchemaMode::Lenient));
                let lenient =
                    lenient.map_or_else(|_| "refused".to_owned(), |sent| said(&sent, shown, part));
                let why = error.message().unwrap_or_default();
                let why = why.split([';', ':']).next().unwrap_or_default();
                format!("**refused**: {why}. Lenient: {lenient}")
            }
        };
        table.push_str(&format!(
            "| {name} | `{shown}` | {sent} | {} |\n",
            source(name)
        ));
    };
    for (name, shown) in of_properties() {
        let whole = json!({
            "type": "object", "properties": {"a": shown}, "required": ["a"], "additionalProperties": false,
            "$defs": {"d": {"type": "string"}},
        });
        row(name, &shown, &whole, "/properties/a");
    }
    for (name, shown) in of_roots() {
        row(name, &shown, &shown, "");
    }
    table
}

fn said(sent: &SentSchema, shown: &Value, part: &str) -> String {
    let Some(schema) = &sent.schema else {
        return "no schema; the answer is checked here".to_owned();
    };
    let value = schema.to_value();
    let part = value.pointer(part).unwrap_or(&Value::Null);
    let how = if sent.strict { "" } else { ", not strict" };
    if part == shown {
        format!("as it is{how}")
    } else {
        format!("`{part}`{how}")
    }
}
