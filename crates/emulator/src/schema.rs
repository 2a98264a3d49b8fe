//! Instances of JSON Schemas, always the same for a schema.

use serde_json::{Map, Value, json};

/// Example of each string format.
const FORMATS: [(&str, &str); 19] = [
    ("date", "2026-01-01"),
    ("date-time", "2026-01-01T00:00:00Z"),
    ("time", "00:00:00Z"),
    ("duration", "P1D"),
    ("email", "a@example.com"),
    ("idn-email", "a@example.com"),
    ("hostname", "example.com"),
    ("idn-hostname", "example.com"),
    ("ipv4", "192.0.2.1"),
    ("ipv6", "2001:db8::1"),
    ("uri", "https://example.com/"),
    ("iri", "https://example.com/"),
    ("uri-reference", "/a"),
    ("iri-reference", "/a"),
    ("uri-template", "/a"),
    ("uuid", "00000000-0000-4000-8000-000000000000"),
    ("json-pointer", "/a"),
    ("relative-json-pointer", "0"),
    ("regex", "a"),
];

/// Returns a value that conforms to the common keywords of `schema`. `depth` bounds recursion.
pub(crate) fn instance(schema: &Value, root: &Value, depth: usize) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    if let Some(target) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| root.pointer(path.strip_prefix('#')?))
    {
        return if depth == 0 {
            Value::Null
        } else {
            instance(target, root, depth - 1)
        };
    }
    for keyword in ["anyOf", "oneOf"] {
        if let Some(first) = schema.get(keyword).and_then(|all| all.get(0)) {
            return instance(first, root, depth);
        }
    }
    if let Some(all) = schema.get("allOf").and_then(Value::as_array) {
        let mut merged = Map::new();
        for part in all {
            if let Value::Object(members) = instance(part, root, depth) {
                merged.extend(members);
            }
        }
        return Value::Object(merged);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(Value::String(kind)) => Some(kind.as_str()),
        _ if schema.get("properties").is_some() => Some("object"),
        _ => None,
    };
    // Gemini's schemas write types in capitals.
    let kind = kind.map(str::to_ascii_lowercase);
    let kind = kind.as_deref();
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    match kind {
        Some("object") => object(schema, root, depth),
        Some("array") => {
            let least = schema
                .get("minItems")
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .max(1);
            let item = schema
                .get("items")
                .map_or(Value::Null, |items| instance(items, root, depth));
            Value::Array(vec![item; least as usize])
        }
        Some("integer") => json!(
            bound("minimum")
                .or(bound("exclusiveMinimum").map(|n| n + 1.0))
                .unwrap_or(1.0)
                .ceil() as i64
        ),
        Some("number") => json!(
            bound("minimum")
                .or(bound("exclusiveMinimum").map(|n| n + 0.5))
                .unwrap_or(1.5)
        ),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("string") => string(schema),
        _ => json!("echo"),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let mut members = Map::new();
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, property) in properties {
            if depth > 0 || required.contains(&name.as_str()) {
                members.insert(
                    name.clone(),
                    instance(property, root, depth.saturating_sub(1)),
                );
            }
        }
    }
    Value::Object(members)
}

fn string(schema: &Value) -> Value {
    let format = schema.get("format").and_then(Value::as_str);
    if let Some((_, text)) = FORMATS.iter().find(|(name, _)| Some(*name) == format) {
        return json!(text);
    }
    let length = |key: &str| schema.get(key).and_then(Value::as_u64).map(|n| n as usize);
    let mut text = "echo".to_owned();
    while text.len() < length("minLength").unwrap_or(0) {
        text.push('o');
    }
    text.truncate(length("maxLength").unwrap_or(usize::MAX));
    Value::String(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_conforms_to_its_schema() {
        for schema in [
            json!({"type":"object","properties":{"a":{"type":"string","minLength":9},"b":{"type":"array","items":{"type":"integer","minimum":3},"minItems":2},"c":{"enum":["x","y"]}},"required":["a","b","c"],"additionalProperties":false}),
            json!({"type":["null","string"]}),
            json!({"$ref":"#/$defs/n","$defs":{"n":{"type":"number","exclusiveMinimum":2}}}),
            json!({"allOf":[{"type":"object","properties":{"a":{"const":1}},"required":["a"]},{"type":"object","properties":{"b":{"type":"boolean"}},"required":["b"]}]}),
            json!({"anyOf":[{"type":"string","maxLength":2},{"type":"null"}]}),
        ] {
            let value = instance(&schema, &schema, 4);
            assert!(jsonschema::is_valid(&schema, &value), "{schema}: {value}");
        }
        for (format, _) in FORMATS {
            let schema = json!({"type": "string", "format": format});
            let checked = jsonschema::options()
                .should_validate_formats(true)
                .build(&schema);
            assert!(
                checked.unwrap().is_valid(&instance(&schema, &schema, 4)),
                "{format}"
            );
        }
        let capitals = json!({"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}});
        assert_eq!(instance(&capitals, &capitals, 4), json!({"a": 1}));
    }
}
