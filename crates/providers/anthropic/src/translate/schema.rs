//! Schemas as Anthropic takes them. What it cannot hold the model to is left out of what is sent; the
//! answer is checked against the caller's own schema all the same.

use lmbatch_core::JsonBuf;
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

pub(super) fn write(schema: &JsonBuf, out: &mut Vec<u8>) {
    let mut value = schema.to_value();
    restrict(&mut value);
    // Writing a value to a Vec cannot fail.
    let _ = serde_json::to_writer(out, &value);
}

fn restrict(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(restrict),
        Value::Object(members) => restrict_object(members),
        _ => {}
    }
}

fn restrict_object(members: &mut Map<String, Value>) {
    members.retain(|key, value| {
        let many = key == "minItems" && value.as_u64().is_some_and(|least| least > 1);
        !many && !LEFT_OUT.contains(&key.as_str())
    });
    // "additionalProperties must be false on every object" (same page).
    let object = members.get("type").is_some_and(|kind| kind == "object");
    if object || members.contains_key("properties") {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (key, value) in members {
        match value {
            Value::Object(named) if NAMED.contains(&key.as_str()) => {
                named.values_mut().for_each(restrict);
            }
            value if !PLAIN.contains(&key.as_str()) => restrict(value),
            _ => {}
        }
    }
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
        restrict(&mut schema);
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
}
