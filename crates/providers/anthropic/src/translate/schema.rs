//! Schemas as Anthropic takes them. What it cannot hold the model to is moved to descriptions, as its own SDK
//! does; answers are still checked against the caller's own schema. What it cannot be told at all, such
//! as an object whose names are free, is refused: closed, such an object would be empty in every answer.

use lmbatch_core::schemas::{
    FollowedReferences, SchemaChanges, SchemaRoot, SentSchema, describe, escaped,
};
use lmbatch_core::{RequestError, ResponseSchema};
use serde_json::{Map, Value, json};

/// Members that are sent where they stand (structured outputs page, 2026-08; `transform_schema` of SDK 2.12.0).
const TAKEN: [&str; 9] = [
    "type",
    "const",
    "enum",
    "title",
    "description",
    "required",
    "format",
    "minItems",
    "$ref",
];

/// Members that tell the model nothing, and are left out without a word.
const SILENT: [&str; 8] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$anchor",
    "$dynamicAnchor",
    "propertyOrdering",
    "discriminator",
];

/// Formats of texts that are held to (SDK 2.12.0, `SupportedStringFormats`).
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
];

/// "24 optional parameters", "16 parameters with union types" (structured outputs page, 2026-08: else 400).
const MOST_OPTIONAL: usize = 24;
const MOST_UNIONS: usize = 16;

/// Types of values that are no object.
const PLAIN_TYPES: [&str; 4] = ["string", "number", "boolean", "null"];

/// The schema as it is sent.
pub(super) fn translate(schema: &ResponseSchema) -> Result<SentSchema, RequestError> {
    let value = schema.schema.to_value();
    let tree = SchemaRoot::new(&value);
    // "Recursive schemas" are not supported (same page).
    if let Some(place) = tree.recursion(FollowedReferences::All)? {
        let why = format!(
            "anthropic takes no schema that contains itself, as {place} does; write out as many levels as are needed"
        );
        return SentSchema::refused(schema, &why);
    }
    let mut writer = Writer {
        tree: &tree,
        lenient: !schema.mode.is_strict(),
        notes: SchemaChanges::default(),
        optional: 0,
        unions: 0,
    };
    let rewritten = writer.schema(&value, "#", 0)?;
    for (found, most, what) in [
        (writer.optional, MOST_OPTIONAL, "optional properties"),
        (
            writer.unions,
            MOST_UNIONS,
            "unions (anyOf, or several types)",
        ),
    ] {
        if found > most {
            let why =
                format!("anthropic takes {most} {what} in a schema, and this one has {found}");
            return SentSchema::refused(schema, &why);
        }
    }
    let notes = writer.notes;
    if let (Some((keyword, at)), true) = (notes.first_lost(), schema.mode.is_strict()) {
        let why = format!(
            "anthropic cannot be told both sides of the {keyword} at {at}; write them out as one schema"
        );
        return Err(RequestError::unsupported(why));
    }
    Ok(SentSchema::new(schema, &rewritten, true, notes))
}

struct Writer<'t, 'r> {
    tree: &'t SchemaRoot<'r>,
    lenient: bool,
    notes: SchemaChanges,
    optional: usize,
    unions: usize,
}

impl Writer<'_, '_> {
    fn schema(&mut self, schema: &Value, at: &str, depth: u32) -> Result<Value, RequestError> {
        let Value::Object(members) = schema else {
            return match schema {
                // `false` admits nothing, and is checked here.
                Value::Bool(false) => {
                    self.notes.add("checked here only", "false", at);
                    Ok(json!({"type": "null"}))
                }
                _ => self.anything(Map::new(), at),
            };
        };
        let mut members = self.tree.flat(members, at, depth, false, &mut self.notes)?;
        if members.contains_key("$ref") {
            return self.reference(members, at, depth);
        }
        self.one_of(&mut members, at);
        let mut moved = Map::new();
        let is_choice = members.contains_key("anyOf");
        if is_choice && members.contains_key("properties") {
            // Beside properties a choice could only repeat them, each branch closed.
            moved.extend(members.remove_entry("anyOf"));
        }
        infer(&mut members);
        if members.contains_key("anyOf") {
            // Each branch has a type of its own; a closed object around them would fit none.
            let is_of_branches = is_of_objects(&members);
            members.retain(|key, _| {
                !(is_of_branches && (key == "type" || key == "additionalProperties"))
            });
        } else if is_of_objects(&members) {
            self.close(&mut members, at)?;
        }
        self.tuple(&mut members, at);
        let mut out = Map::new();
        for (key, value) in members {
            let place = format!("{at}/{}", escaped(&key));
            match (key.as_str(), value) {
                ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                    out.insert(key, self.named(&named, &place, depth)?);
                }
                ("anyOf", Value::Array(list)) => {
                    let mut rewritten = Vec::new();
                    for (number, schema) in list.iter().enumerate() {
                        rewritten.push(self.schema(
                            schema,
                            &format!("{place}/{number}"),
                            depth + 1,
                        )?);
                    }
                    self.unions += 1;
                    out.insert(key, Value::Array(rewritten));
                }
                ("items", value @ (Value::Object(_) | Value::Bool(_))) => {
                    out.insert(key, self.schema(&value, &place, depth + 1)?);
                }
                ("additionalProperties", value) => {
                    out.insert(key, value);
                }
                (name, value) if is_taken(name, &value) => {
                    self.unions += usize::from(name == "type" && value.is_array());
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
        let typing = ["type", "enum", "const", "anyOf"];
        if !typing.iter().any(|name| out.contains_key(*name)) {
            describe(&mut out, &moved);
            return self.anything(out, at);
        }
        describe(&mut out, &moved);
        Ok(Value::Object(out))
    }

    fn named(
        &mut self,
        named: &Map<String, Value>,
        at: &str,
        depth: u32,
    ) -> Result<Value, RequestError> {
        let mut rewritten = Map::new();
        for (name, schema) in named {
            let place = format!("{at}/{}", escaped(name));
            rewritten.insert(name.clone(), self.schema(schema, &place, depth + 1)?);
        }
        Ok(Value::Object(rewritten))
    }

    /// A reference stands alone, but for the definitions of a root.
    fn reference(
        &mut self,
        members: Map<String, Value>,
        at: &str,
        depth: u32,
    ) -> Result<Value, RequestError> {
        let mut out = Map::new();
        for (key, value) in members {
            match (key.as_str(), value) {
                ("$ref", value) => {
                    out.insert(key, value);
                }
                ("$defs" | "definitions", Value::Object(named)) => {
                    let named = self.named(&named, &format!("{at}/{}", escaped(&key)), depth)?;
                    out.insert(key, named);
                }
                _ => {}
            }
        }
        Ok(Value::Object(out))
    }

    fn one_of(&mut self, members: &mut Map<String, Value>, at: &str) {
        if members.contains_key("anyOf") {
            return;
        }
        if let Some(choices) = members.remove("oneOf") {
            self.notes.add("sent as anyOf", "oneOf", at);
            members.insert("anyOf".to_owned(), choices);
        }
    }

    /// "additionalProperties must be false on every object" (structured outputs page, 2026-08).
    fn close(&mut self, members: &mut Map<String, Value>, at: &str) -> Result<(), RequestError> {
        if let Some(member) = open_member(members) {
            if !self.lenient {
                return Err(RequestError::unsupported(format!(
                    "anthropic takes no schema of objects with free keys, such as {at} by its {member:?}; list its properties, or use an array of objects with a key and a value"
                )));
            }
            self.notes.add(
                "closed: free keys stay away from every answer",
                "object",
                at,
            );
            if member != "type" && member != "required" {
                members.remove(member);
            }
        }
        if members.get("additionalProperties") != Some(&Value::Bool(false)) {
            self.notes.add("set to false", "additionalProperties", at);
        }
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
        let required = members.get("required").and_then(Value::as_array);
        let is_required =
            |name: &String| required.is_some_and(|all| all.iter().any(|one| one == name));
        if let Some(Value::Object(properties)) = members.get("properties") {
            self.optional += properties.keys().filter(|name| !is_required(name)).count();
        }
        Ok(())
    }

    /// A list whose items differ by place becomes a list of any of them.
    fn tuple(&mut self, members: &mut Map<String, Value>, at: &str) {
        let prefix = match (members.get("prefixItems"), members.get("items")) {
            (Some(Value::Array(list)), _) | (None, Some(Value::Array(list))) => list.clone(),
            _ => return,
        };
        members.remove("prefixItems");
        let mut each: Vec<Value> = Vec::new();
        for schema in prefix.into_iter().chain(members.remove("items")) {
            if (schema.is_object() || schema == true) && !each.contains(&schema) {
                each.push(schema);
            }
        }
        self.notes
            .add("sent as items of any of them", "prefixItems", at);
        let items = match <[Value; 1]>::try_from(each) {
            Ok([only]) => only,
            Err(several) => json!({"anyOf": several}),
        };
        members.insert("items".to_owned(), items);
    }

    /// Any value at all: an object among them would have free keys. The SDK refuses such a schema as well.
    fn anything(&mut self, mut out: Map<String, Value>, at: &str) -> Result<Value, RequestError> {
        if !self.lenient {
            return Err(RequestError::unsupported(format!(
                "anthropic takes no schema that admits any value, such as {at}; give it a type"
            )));
        }
        self.notes.add(
            "limited to strings, numbers, booleans and null",
            "any value",
            at,
        );
        self.unions += 1;
        let types = PLAIN_TYPES.map(|kind| json!({"type": kind}));
        out.insert("anyOf".to_owned(), json!(types));
        Ok(Value::Object(out))
    }
}

/// Returns true if a member is sent with its value.
fn is_taken(name: &str, value: &Value) -> bool {
    let is_plain = |value: &Value| !value.is_object() && !value.is_array();
    match name {
        // "Complex types within enums" are not supported (structured outputs page, 2026-08).
        "const" => is_plain(value),
        "enum" => value.as_array().is_some_and(|all| all.iter().all(is_plain)),
        "format" => value.as_str().is_some_and(|name| FORMATS.contains(&name)),
        // "minItems only 0 or 1" (same page).
        "minItems" => value
            .as_f64()
            .is_some_and(|least| least == 0.0 || least == 1.0),
        _ => TAKEN.contains(&name),
    }
}

/// Gives a type to a schema that implies one.
fn infer(members: &mut Map<String, Value>) {
    let typing = ["type", "enum", "const", "anyOf"];
    if typing.iter().any(|name| members.contains_key(*name)) {
        return;
    }
    let is_of = |names: &[&str]| names.iter().any(|name| members.contains_key(*name));
    let kind = if is_of(&["properties", "additionalProperties", "patternProperties"]) {
        "object"
    } else if is_of(&["items", "prefixItems"]) {
        "array"
    } else {
        return;
    };
    members.insert("type".to_owned(), json!(kind));
}

/// Returns true if a schema allows objects, alone or among other types.
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
    let properties = listed("properties");
    let required = members.get("required").and_then(Value::as_array);
    let is_listed = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        properties.is_some_and(|all| all.contains_key(name))
    };
    if required.is_some_and(|all| !all.iter().all(is_listed)) {
        return Some("required");
    }
    let closed = members.get("additionalProperties").is_some();
    let combined = ["enum", "const"];
    let unlisted = listed("properties").is_none_or(Map::is_empty)
        && !combined.iter().any(|name| members.contains_key(*name));
    (unlisted && !closed).then_some("type")
}

#[cfg(test)]
mod tests;
