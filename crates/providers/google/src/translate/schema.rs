//! Schemas as Google takes them: JSON Schema in `responseJsonSchema`, of which a part is held to, or the part
//! of OpenAPI that `responseSchema` takes ([`openapi`](super::openapi)). What cannot be said is moved to
//! descriptions; answers are still checked against the caller's own schema.

use lmbatch_core::schemas::{
    FollowedReferences, SchemaChanges, SchemaRoot, SentSchema, describe, escaped,
};
use lmbatch_core::{RequestError, ResponseSchema};
use serde_json::{Map, Value, json};

/// "Specifically, only the following properties are supported" (reference of `responseJsonSchema`, 2026).
const TAKEN: [&str; 20] = [
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
];

/// Members that tell the model nothing.
const SILENT: [&str; 4] = ["$schema", "$comment", "discriminator", "definitions"];

/// The schema as it is sent in `responseJsonSchema`.
pub(super) fn translate(schema: &ResponseSchema) -> Result<SentSchema, RequestError> {
    let value = schema.schema.to_value();
    let tree = SchemaRoot::new(&value);
    // "Cyclic references […] may only be used within non-required properties" (same reference).
    if let Some(place) = tree.recursion(FollowedReferences::Required)? {
        return SentSchema::refused(
            schema,
            &format!(
                "google takes a schema that contains itself, as {place} does, within properties only that are not required"
            ),
        );
    }
    let mut writer = Writer {
        tree: &tree,
        notes: SchemaChanges::default(),
    };
    let rewritten = writer.schema(&value, "#", 0)?;
    Ok(SentSchema::new(schema, &rewritten, true, writer.notes))
}

struct Writer<'t, 'r> {
    tree: &'t SchemaRoot<'r>,
    notes: SchemaChanges,
}

impl Writer<'_, '_> {
    fn schema(&mut self, schema: &Value, at: &str, depth: u32) -> Result<Value, RequestError> {
        let Value::Object(members) = schema else {
            return Ok(schema.clone());
        };
        let mut members = self.tree.flat(members, at, depth, false, &mut self.notes)?;
        choices(&mut members, at, &mut self.notes);
        let mut moved = Map::new();
        let mut out = Map::new();
        for (key, value) in members {
            let place = format!("{at}/{}", escaped(&key));
            match (key.as_str(), value) {
                ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                    let mut rewritten = Map::new();
                    for (name, schema) in &named {
                        let place = format!("{place}/{}", escaped(name));
                        rewritten.insert(name.clone(), self.schema(schema, &place, depth + 1)?);
                    }
                    out.insert(key, Value::Object(rewritten));
                }
                ("anyOf" | "prefixItems", Value::Array(list)) => {
                    let mut rewritten = Vec::new();
                    for (number, schema) in list.iter().enumerate() {
                        rewritten.push(self.schema(
                            schema,
                            &format!("{place}/{number}"),
                            depth + 1,
                        )?);
                    }
                    out.insert(key, Value::Array(rewritten));
                }
                ("items" | "additionalProperties", value @ Value::Object(_)) => {
                    out.insert(key, self.schema(&value, &place, depth + 1)?);
                }
                // "enum (for strings and numbers)" (same reference).
                ("enum", Value::Array(values)) if !values.iter().all(is_text_or_number) => {
                    moved.insert(key, Value::Array(values));
                }
                (name, value) if TAKEN.contains(&name) => {
                    out.insert(key, value);
                }
                (name, value) if SILENT.contains(&name) => {
                    out.insert(key, value);
                }
                (_, value) => {
                    moved.insert(key, value);
                }
            }
        }
        // "If $ref is set on a sub-schema, no other properties […] may be set" (same reference).
        if !out.contains_key("$ref") {
            for key in moved.keys() {
                self.notes.add("moved to descriptions", key, at);
            }
            describe(&mut out, &moved);
        }
        Ok(Value::Object(out))
    }
}

pub(super) fn is_text_or_number(value: &Value) -> bool {
    value.is_string() || value.is_number()
}

/// Says a choice in the words that Google has: `oneOf` is "interpreted the same as anyOf", `const` is an
/// `enum` of one, and null is a type.
pub(super) fn choices(members: &mut Map<String, Value>, at: &str, notes: &mut SchemaChanges) {
    if !members.contains_key("anyOf")
        && let Some(list) = members.remove("oneOf")
    {
        notes.add("sent as anyOf", "oneOf", at);
        members.insert("anyOf".to_owned(), list);
    }
    if members.get("const").is_some_and(is_text_or_number)
        && !members.contains_key("enum")
        && let Some(only) = members.remove("const")
    {
        notes.add("sent as enum", "const", at);
        members.insert("enum".to_owned(), json!([only]));
    }
}

#[cfg(test)]
mod tests;
