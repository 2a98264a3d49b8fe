//! Schemas as Anthropic takes them. What it cannot hold the model to is left out of what is sent; the
//! answer is checked against the caller's own schema all the same. An object whose names are free is
//! refused: closed, it would be empty in every answer.

use lmbatch_core::{JsonBuf, RequestError};
use serde_json::{Map, Value};

/// "No numeric or string-length constraints, minItems only 0 or 1" (structured outputs page, 2026-08).
const LEFT_OUT: [&str; 12] = [
    "$schema",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Members whose members are schemas under names of the caller's.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];

/// Members whose value is not a schema.
const PLAIN: [&str; 4] = ["enum", "const", "default", "examples"];

pub(super) fn write(schema: &JsonBuf, out: &mut Vec<u8>) -> Result<(), RequestError> {
    let mut value = schema.to_value();
    restrict(&mut value, "#")?;
    // Writing a value to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &value);
    Ok(())
}

fn restrict(schema: &mut Value, at: &str) -> Result<(), RequestError> {
    match schema {
        Value::Array(list) => {
            let mut places = list.iter_mut().enumerate();
            places.try_for_each(|(place, schema)| restrict(schema, &format!("{at}/{place}")))
        }
        Value::Object(members) => restrict_object(members, at),
        _ => Ok(()),
    }
}

/// Whether a schema is of objects, perhaps beside other types.
fn is_of_objects(members: &Map<String, Value>) -> bool {
    let named = match members.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => false,
    };
    named || members.contains_key("properties")
}

/// The member by which an object takes names that the schema does not list.
fn open_member(members: &Map<String, Value>) -> Option<&'static str> {
    let has = |name: &str| members.get(name).is_some_and(|value| *value != false);
    for name in ["additionalProperties", "unevaluatedProperties"] {
        if has(name) {
            return Some(name);
        }
    }
    let listed = |name: &str| members.get(name).and_then(Value::as_object);
    if listed("patternProperties").is_some_and(|patterns| !patterns.is_empty()) {
        return Some("patternProperties");
    }
    let closed = members.get("additionalProperties").is_some();
    let combined = ["$ref", "allOf", "anyOf", "oneOf", "enum", "const"];
    let unlisted = listed("properties").is_none_or(Map::is_empty)
        && !combined.iter().any(|name| members.contains_key(*name));
    (unlisted && !closed && is_of_objects(members)).then_some("type")
}

fn restrict_object(members: &mut Map<String, Value>, at: &str) -> Result<(), RequestError> {
    if let Some(member) = open_member(members) {
        return Err(RequestError::unsupported(format!(
            "anthropic takes no schema of objects with free keys, such as {at} by its {member:?}; list its properties, or use an array of objects with a key and a value"
        )));
    }
    members.retain(|key, value| {
        let many = key == "minItems" && value.as_u64().is_some_and(|least| least > 1);
        !many && !LEFT_OUT.contains(&key.as_str())
    });
    // "additionalProperties must be false on every object" (same page).
    if is_of_objects(members) {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (key, value) in members {
        let at = format!("{at}/{}", escaped(key));
        match value {
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                let mut named = named.iter_mut();
                named.try_for_each(|(name, schema)| {
                    restrict(schema, &format!("{at}/{}", escaped(name)))
                })?;
            }
            value if !PLAIN.contains(&key.as_str()) => restrict(value, &at)?,
            _ => {}
        }
    }
    Ok(())
}

/// A name as a part of a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_closed_and_limits_left_out_but_names_stay() {
        let mut schema = json!({
            "$schema": "s", "type": "object", "required": ["minimum", "list"],
            "properties": {
                "minimum": {"type": "integer", "minimum": 1, "maximum": 9},
                "list": {"type": "array", "minItems": 2, "maxItems": 5, "items": {"properties": {"x": {"minLength": 1}}}},
                "one": {"type": "array", "minItems": 1, "items": {"enum": [{"minimum": 1}]}},
            },
        });
        restrict(&mut schema, "#").unwrap();
        assert_eq!(
            schema,
            json!({
                "type": "object", "required": ["minimum", "list"], "additionalProperties": false,
                "properties": {
                    "minimum": {"type": "integer"},
                    "list": {"type": "array", "items": {"properties": {"x": {}}, "additionalProperties": false}},
                    "one": {"type": "array", "minItems": 1, "items": {"enum": [{"minimum": 1}]}},
                },
            })
        );
    }
    #[test]
    fn an_object_with_free_keys_is_refused_with_its_place() {
        let text = json!({"type": "string"});
        let within = |schema: Value| json!({"type": "object", "properties": {"m": schema}, "required": ["m"]});
        for (mut schema, place) in [
            (
                within(json!({"type": "object", "additionalProperties": text})),
                "#/properties/m",
            ),
            (
                within(json!({"type": "object", "additionalProperties": true})),
                "#/properties/m",
            ),
            (
                within(json!({"type": "object", "additionalProperties": {}})),
                "#/properties/m",
            ),
            (within(json!({"type": "object"})), "#/properties/m"),
            (
                within(json!({"type": ["object", "null"]})),
                "#/properties/m",
            ),
            (
                within(json!({"type": "object", "properties": {}})),
                "#/properties/m",
            ),
            (
                within(json!({"type": "object", "patternProperties": {"^x": text}})),
                "#/properties/m",
            ),
            (
                within(
                    json!({"type": "object", "properties": {"a": text}, "additionalProperties": text}),
                ),
                "#/properties/m",
            ),
            (
                within(
                    json!({"anyOf": [{"type": "null"}, {"type": "object", "additionalProperties": text}]}),
                ),
                "#/properties/m/anyOf/1",
            ),
            (
                within(
                    json!({"type": "array", "items": {"type": "object", "additionalProperties": text}}),
                ),
                "#/properties/m/items",
            ),
            (
                json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "additionalProperties": text}}}),
                "#/$defs/A",
            ),
            (
                json!({"type": "object", "properties": {"a/b": {"type": "object"}}}),
                "#/properties/a~1b",
            ),
            (json!({"additionalProperties": text}), "#"),
        ] {
            let error = restrict(&mut schema, "#").unwrap_err();
            let message = error.message().unwrap_or_default().to_owned();
            assert!(
                message.contains(&format!("such as {place} by")),
                "{schema}: {message}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_an_open_object_is_sent() {
        for (mut schema, sent) in [
            (
                json!({"type": ["object", "null"], "properties": {"a": {}}}),
                json!({"type": ["object", "null"], "properties": {"a": {}}, "additionalProperties": false}),
            ),
            (
                json!({"type": "object", "additionalProperties": false}),
                json!({"type": "object", "additionalProperties": false}),
            ),
            (
                json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}}),
                json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}, "additionalProperties": false}),
            ),
            (
                json!({"enum": [{"type": "object"}]}),
                json!({"enum": [{"type": "object"}]}),
            ),
        ] {
            restrict(&mut schema, "#").unwrap();
            assert_eq!(schema, sent);
        }
    }
}
