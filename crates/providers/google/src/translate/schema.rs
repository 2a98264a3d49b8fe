//! JSON Schema into the part of OpenAPI that `responseSchema` takes (Schema reference, 2026). What it
//! cannot say is left out; the answer is checked against the caller's own schema all the same.

use lmbatch_core::{JsonBuf, RequestError};
use serde_json::{Map, Value, json};

/// Members that mean the same on both sides.
const SAME: [&str; 16] = [
    "title",
    "description",
    "required",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minProperties",
    "maxProperties",
    "pattern",
    "default",
    "example",
    "propertyOrdering",
    "nullable",
];

/// Schemas may stand in one another, not without end.
const DEEPEST: usize = 40;

pub(super) fn convert(schema: &JsonBuf) -> Result<Value, RequestError> {
    let root = schema.to_value();
    Converter { root: &root }.schema(&root, 0)
}

struct Converter<'r> {
    root: &'r Value,
}

fn refused(why: &str) -> RequestError {
    RequestError::unsupported(format!("google: the schema {why}"))
}

impl Converter<'_> {
    fn schema(&self, schema: &Value, depth: usize) -> Result<Value, RequestError> {
        if depth > DEEPEST {
            return Err(refused("refers to itself, or is too deep"));
        }
        let Some(members) = schema.as_object() else {
            // `true` takes anything.
            return Ok(json!({}));
        };
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            let found = reference
                .strip_prefix('#')
                .and_then(|pointer| self.root.pointer(pointer));
            let found = found.ok_or_else(|| refused("refers to what is not in it"))?;
            return self.schema(found, depth + 1);
        }
        let mut out = Map::new();
        for name in SAME {
            if let Some(value) = members.get(name) {
                out.insert(name.to_owned(), value.clone());
            }
        }
        self.kind(members, &mut out);
        choices(members, &mut out);
        if let Some(properties) = members.get("properties").and_then(Value::as_object) {
            let mut converted = Map::new();
            for (name, value) in properties {
                converted.insert(name.clone(), self.schema(value, depth + 1)?);
            }
            out.entry("type").or_insert_with(|| json!("OBJECT"));
            out.insert("properties".to_owned(), Value::Object(converted));
        }
        if let Some(items) = members.get("items") {
            out.insert("items".to_owned(), self.schema(items, depth + 1)?);
        }
        self.alternatives(members, &mut out, depth)?;
        Ok(Value::Object(out))
    }

    /// Types are upper-case, and null is a property of a type.
    fn kind(&self, members: &Map<String, Value>, out: &mut Map<String, Value>) {
        let kinds: Vec<&str> = match members.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        if kinds.len() > 1 && kinds.contains(&"null") {
            out.insert("nullable".to_owned(), json!(true));
        }
        let real: Vec<&str> = kinds
            .iter()
            .copied()
            .filter(|kind| *kind != "null")
            .collect();
        match real.as_slice() {
            [] if kinds.is_empty() => {}
            [] => {
                out.insert("type".to_owned(), json!("NULL"));
            }
            [kind] => {
                out.insert("type".to_owned(), json!(kind.to_ascii_uppercase()));
            }
            several => {
                let any: Vec<Value> = several
                    .iter()
                    .map(|kind| json!({"type": kind.to_ascii_uppercase()}))
                    .collect();
                out.insert("anyOf".to_owned(), Value::Array(any));
            }
        }
        if let Some(format) = members.get("format").and_then(Value::as_str)
            && ["float", "double", "int32", "int64", "date-time", "enum"].contains(&format)
        {
            out.insert("format".to_owned(), json!(format));
        }
    }

    fn alternatives(
        &self,
        members: &Map<String, Value>,
        out: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), RequestError> {
        for name in ["anyOf", "oneOf"] {
            let Some(list) = members.get(name).and_then(Value::as_array) else {
                continue;
            };
            let is_null = |schema: &&Value| schema["type"] == "null";
            if list.iter().any(|schema| is_null(&schema)) {
                out.insert("nullable".to_owned(), json!(true));
            }
            let mut converted = Vec::new();
            for schema in list.iter().filter(|schema| !is_null(schema)) {
                converted.push(self.schema(schema, depth + 1)?);
            }
            match <[Value; 1]>::try_from(converted) {
                // One of one is that one.
                Ok([Value::Object(only)]) => out.extend(only),
                Ok(other) => {
                    out.insert("anyOf".to_owned(), Value::Array(other.into()));
                }
                Err(several) => {
                    out.insert("anyOf".to_owned(), Value::Array(several));
                }
            }
        }
        if let Some(list) = members.get("allOf").and_then(Value::as_array) {
            for schema in list {
                if let Value::Object(part) = self.schema(schema, depth + 1)? {
                    out.extend(part);
                }
            }
        }
        Ok(())
    }
}

/// Only texts can be enumerated.
fn choices(members: &Map<String, Value>, out: &mut Map<String, Value>) {
    let list = match (members.get("enum"), members.get("const")) {
        (Some(Value::Array(list)), _) => list.clone(),
        (_, Some(only)) => vec![only.clone()],
        _ => return,
    };
    if list.iter().any(Value::is_null) {
        out.insert("nullable".to_owned(), json!(true));
    }
    let texts: Vec<Value> = list.into_iter().filter(|value| !value.is_null()).collect();
    if !texts.is_empty() && texts.iter().all(Value::is_string) {
        out.entry("type").or_insert_with(|| json!("STRING"));
        out.insert("enum".to_owned(), Value::Array(texts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_converted() {
        for (schema, expected) in [
            (
                json!({"type": "object", "$schema": "s", "additionalProperties": false, "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}),
                json!({"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "minimum": 1}}, "required": ["a"]}),
            ),
            (
                json!({"type": ["string", "null"], "format": "uuid"}),
                json!({"type": "STRING", "nullable": true}),
            ),
            (
                json!({"type": ["string", "integer"]}),
                json!({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
            ),
            (
                json!({"anyOf": [{"type": "number"}, {"type": "null"}]}),
                json!({"nullable": true, "type": "NUMBER"}),
            ),
            (
                json!({"oneOf": [{"type": "number"}, {"const": "x"}]}),
                json!({"anyOf": [{"type": "NUMBER"}, {"type": "STRING", "enum": ["x"]}]}),
            ),
            (
                json!({"$defs": {"d": {"enum": ["a", "b"]}}, "type": "array", "items": {"$ref": "#/$defs/d"}}),
                json!({"type": "ARRAY", "items": {"type": "STRING", "enum": ["a", "b"]}}),
            ),
            (json!({"enum": [1, 2]}), json!({})),
            (
                json!({"enum": ["a", null]}),
                json!({"nullable": true, "type": "STRING", "enum": ["a"]}),
            ),
            (
                json!({"allOf": [{"type": "string"}, {"minLength": 2}]}),
                json!({"type": "STRING", "minLength": 2}),
            ),
            (json!({"type": "null"}), json!({"type": "NULL"})),
            (
                json!({"properties": {"x": true}}),
                json!({"type": "OBJECT", "properties": {"x": {}}}),
            ),
        ] {
            assert_eq!(
                convert(&JsonBuf::from_value(&schema)).unwrap(),
                expected,
                "{schema}"
            );
        }
    }

    #[test]
    fn what_has_no_end_is_refused() {
        for (schema, words) in [
            (json!({"$ref": "#"}), "refers to itself"),
            (
                json!({"properties": {"next": {"$ref": "#"}}}),
                "refers to itself",
            ),
            (json!({"$ref": "#/$defs/x"}), "not in it"),
        ] {
            let error = convert(&JsonBuf::from_value(&schema)).unwrap_err();
            assert!(error.message().unwrap().contains(words), "{error:?}");
        }
    }
}
