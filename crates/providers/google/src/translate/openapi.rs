//! JSON Schema into the part of OpenAPI that `responseSchema` takes (Schema reference, 2026).

use lmbatch_core::schemas::{
    FollowedReferences, SchemaChanges, SchemaRoot, SentSchema, describe, escaped,
};
use lmbatch_core::{RequestError, ResponseSchema};
use serde_json::{Map, Value, json};

use super::schema::choices;

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

/// Members that tell the model nothing.
const SILENT: [&str; 10] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$defs",
    "definitions",
    "discriminator",
    "additionalProperties",
    "$dynamicAnchor",
];

/// Formats that `responseSchema` knows (same reference).
const FORMATS: [&str; 6] = ["float", "double", "int32", "int64", "date-time", "enum"];

/// The schema as it is sent in `responseSchema`.
pub(super) fn translate(schema: &ResponseSchema) -> Result<SentSchema, RequestError> {
    let value = schema.schema.to_value();
    let tree = SchemaRoot::new(&value);
    if let Some(place) = tree.recursion(FollowedReferences::All)? {
        let why = format!(
            "google's responseSchema takes no schema that contains itself, as {place} does"
        );
        return SentSchema::refused(schema, &why);
    }
    let mut converter = Converter {
        tree: &tree,
        notes: SchemaChanges::default(),
        open: None,
    };
    let converted = converter.schema(&value, "#", 0)?;
    if let Some((place, member)) = converter.open {
        let why = format!(
            "google's responseSchema takes no schema of objects with free keys, such as {place} by its {member:?}; list its properties, or use an array of objects with a key and a value"
        );
        return SentSchema::refused(schema, &why);
    }
    Ok(SentSchema::new(schema, &converted, true, converter.notes))
}

struct Converter<'t, 'r> {
    tree: &'t SchemaRoot<'r>,
    notes: SchemaChanges,
    /// First object with free keys, and the member that makes it one.
    open: Option<(String, &'static str)>,
}

impl Converter<'_, '_> {
    fn schema(&mut self, schema: &Value, at: &str, depth: u32) -> Result<Value, RequestError> {
        let Some(members) = schema.as_object() else {
            // `true` takes anything.
            return Ok(json!({}));
        };
        let mut members = self.tree.flat(members, at, depth, true, &mut self.notes)?;
        choices(&mut members, at, &mut self.notes);
        self.closed(&members, at);
        let mut out = Map::new();
        let mut moved = Map::new();
        let kinds = kinds(&members);
        if kinds.len() > 1 && kinds.contains(&"null".to_owned()) {
            out.insert("nullable".to_owned(), json!(true));
        }
        // Types are upper-case, and null is a property of a type.
        let real: Vec<&String> = kinds.iter().filter(|kind| *kind != "null").collect();
        match real.as_slice() {
            [] if kinds.is_empty() => {}
            [] => drop(out.insert("type".to_owned(), json!("NULL"))),
            [kind] => drop(out.insert("type".to_owned(), json!(kind.to_ascii_uppercase()))),
            several => {
                let any = several
                    .iter()
                    .map(|kind| json!({"type": kind.to_ascii_uppercase()}));
                out.insert("anyOf".to_owned(), any.collect());
            }
        }
        for (key, value) in members {
            let place = format!("{at}/{}", escaped(&key));
            match (key.as_str(), value) {
                ("type", _) => {}
                ("properties", Value::Object(named)) => {
                    let mut converted = Map::new();
                    for (name, schema) in &named {
                        let place = format!("{place}/{}", escaped(name));
                        converted.insert(name.clone(), self.schema(schema, &place, depth + 1)?);
                    }
                    out.insert(key, Value::Object(converted));
                }
                ("items", value @ (Value::Object(_) | Value::Bool(true))) => {
                    out.insert(key, self.schema(&value, &place, depth + 1)?);
                }
                ("prefixItems" | "items", Value::Array(list)) => {
                    self.notes
                        .add("sent as items of any of them", "prefixItems", at);
                    let any = self.any(&list, &place, depth)?;
                    out.insert("items".to_owned(), any);
                }
                ("anyOf", Value::Array(list)) => {
                    self.alternatives(&list, &mut out, &place, depth)?
                }
                ("enum", Value::Array(values)) => {
                    if values.iter().any(Value::is_null) {
                        out.insert("nullable".to_owned(), json!(true));
                    }
                    let texts: Vec<Value> = values
                        .iter()
                        .filter(|value| !value.is_null())
                        .cloned()
                        .collect();
                    // Only texts can be enumerated (same reference).
                    if !texts.is_empty() && texts.iter().all(Value::is_string) {
                        out.insert("enum".to_owned(), Value::Array(texts));
                    } else {
                        moved.insert(key, Value::Array(values));
                    }
                }
                ("format", Value::String(name)) if FORMATS.contains(&name.as_str()) => {
                    out.insert(key, Value::String(name));
                }
                (name, value) if SAME.contains(&name) => {
                    out.insert(key, value);
                }
                (name, _) if SILENT.contains(&name) => {}
                (_, value) => {
                    moved.insert(key, value);
                }
            }
        }
        for key in moved.keys() {
            self.notes.add("moved to descriptions", key, at);
        }
        describe(&mut out, &moved);
        Ok(Value::Object(out))
    }

    fn any(&mut self, list: &[Value], at: &str, depth: u32) -> Result<Value, RequestError> {
        let mut each = Vec::new();
        for (number, schema) in list.iter().enumerate() {
            let schema = self.schema(schema, &format!("{at}/{number}"), depth + 1)?;
            if !each.contains(&schema) {
                each.push(schema);
            }
        }
        Ok(match <[Value; 1]>::try_from(each) {
            Ok([only]) => only,
            Err(several) => json!({"anyOf": several}),
        })
    }

    fn alternatives(
        &mut self,
        list: &[Value],
        out: &mut Map<String, Value>,
        at: &str,
        depth: u32,
    ) -> Result<(), RequestError> {
        let is_null = |schema: &Value| schema["type"] == "null";
        if list.iter().any(is_null) {
            out.insert("nullable".to_owned(), json!(true));
        }
        let mut converted = Vec::new();
        for (number, schema) in list
            .iter()
            .enumerate()
            .filter(|(_, schema)| !is_null(schema))
        {
            converted.push(self.schema(schema, &format!("{at}/{number}"), depth + 1)?);
        }
        match <[Value; 1]>::try_from(converted) {
            // One of one is that one; what describes it from outside is kept.
            Ok([Value::Object(only)]) => {
                for (key, value) in only {
                    out.entry(key).or_insert(value);
                }
            }
            Ok([other]) => drop(out.insert("anyOf".to_owned(), json!([other]))),
            Err(several) => drop(out.insert("anyOf".to_owned(), Value::Array(several))),
        }
        Ok(())
    }

    /// Notes an object with free keys: `responseSchema` has no `additionalProperties`, and "properties: should
    /// be non-empty for OBJECT type" (HTTP 400, browser-use 3786, 2025-12).
    fn closed(&mut self, members: &Map<String, Value>, at: &str) {
        let is_open = |name: &str| members.get(name).is_some_and(|value| *value != false);
        let properties = members.get("properties").and_then(Value::as_object);
        let is_object =
            members.contains_key("properties") || kinds(members).contains(&"object".to_owned());
        let choice = members.contains_key("anyOf");
        let member = if is_open("additionalProperties") {
            "additionalProperties"
        } else if members.contains_key("patternProperties") {
            "patternProperties"
        } else if is_object && !choice && properties.is_none_or(Map::is_empty) {
            "type"
        } else {
            return;
        };
        self.open.get_or_insert_with(|| (at.to_owned(), member));
    }
}

/// Types of a schema, those that it implies included.
fn kinds(members: &Map<String, Value>) -> Vec<String> {
    match members.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ if members.contains_key("properties") => vec!["object".to_owned()],
        _ if members.contains_key("items") || members.contains_key("prefixItems") => {
            vec!["array".to_owned()]
        }
        _ => of_values(members.get("enum")),
    }
}

/// The type of all values of a choice, where they have one.
fn of_values(values: Option<&Value>) -> Vec<String> {
    let Some(Value::Array(values)) = values else {
        return Vec::new();
    };
    let mut values = values.iter().filter(|value| !value.is_null()).peekable();
    if values.peek().is_none() {
        return Vec::new();
    }
    let all: Vec<&Value> = values.collect();
    let kind = if all.iter().all(|value| value.is_string()) {
        "string"
    } else if all.iter().all(|value| value.is_i64() || value.is_u64()) {
        "integer"
    } else if all.iter().all(|value| value.is_number()) {
        "number"
    } else if all.iter().all(|value| value.is_boolean()) {
        "boolean"
    } else {
        return Vec::new();
    };
    vec![kind.to_owned()]
}

#[cfg(test)]
mod tests;
