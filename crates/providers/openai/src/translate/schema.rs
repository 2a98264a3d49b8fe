//! Schemas as OpenAI takes them, and services that imitate it. Its strict mode holds the model to a part of JSON
//! Schema; constructs that this subset can express are rewritten, and a schema that cannot is sent as it is, not
//! strict. Answers are still checked against the caller's own schema.

use lmbatch_core::schemas::{SchemaChanges, SchemaRoot, SentSchema, describe, escaped};
use lmbatch_core::{RequestError, ResponseSchema};
use serde_json::{Map, Value, json};

/// Members that strict mode takes ("Supported schemas", structured outputs guide, 2026-02).
const TAKEN: [&str; 20] = [
    "type",
    "enum",
    "const",
    "anyOf",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "pattern",
    "format",
    "title",
    "description",
    "$ref",
];

/// Members that neither limit a value nor tell the model anything, sent as they are.
const HARMLESS: [&str; 2] = ["$schema", "$id"];

/// Members that tell the model something, and that strict mode refuses where they stand ("'default' is not
/// permitted", instructor 1074, 2024-10).
const TOLD: [&str; 9] = [
    "default",
    "examples",
    "example",
    "minLength",
    "maxLength",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
];

/// Members that limit a value in a manner that strict mode has no word for (same guide: "allOf, not,
/// dependentRequired, dependentSchemas, if, then, else").
const LIMITING: [&str; 18] = [
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "unevaluatedItems",
    "additionalItems",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "$dynamicRef",
];

/// Formats that strict mode takes (same guide).
const FORMATS: [&str; 9] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
];

/// "Up to 10 levels of nesting", "5,000 object properties", "1,000 enum values" (same guide).
const DEEPEST: u32 = 10;
const MOST_PROPERTIES: usize = 5_000;
const MOST_CHOICES: usize = 1_000;

/// Returns the schema as it is sent to a service with OpenAI's strict mode.
pub(super) fn translate(
    schema: &ResponseSchema,
    service: &str,
) -> Result<SentSchema, RequestError> {
    let value = schema.schema.to_value();
    let tree = SchemaRoot::new(&value);
    let mut notes = SchemaChanges::default();
    let Value::Object(members) = &value else {
        return SentSchema::refused(schema, &format!("{service} takes a schema of objects only"));
    };
    let root = tree.flat(members, "#", 0, true, &mut notes)?;
    let root = match of_objects(root, &mut notes) {
        Ok(root) => root,
        // "schema must be a JSON Schema of 'type: "object"', got 'type: "array"'" (HTTP 400 for every row).
        Err(kind) => {
            return SentSchema::refused(
                schema,
                &format!(
                    "{service} takes a schema whose root (#) is an object, and this one is {kind}: put it under a property of an object"
                ),
            );
        }
    };
    let mut strict = Strict {
        tree: &tree,
        notes,
        reasons: SchemaChanges::default(),
        properties: 0,
        choices: 0,
    };
    let rewritten = strict.object(root.clone(), "#", 0, 1)?;
    let Strict {
        notes,
        mut reasons,
        properties,
        choices,
        ..
    } = strict;
    if properties > MOST_PROPERTIES {
        reasons.add("more than strict mode takes", "properties", "#");
    }
    if choices > MOST_CHOICES {
        reasons.add("more than strict mode takes", "values of enum", "#");
    }
    if reasons.is_empty() && notes.first_lost().is_none() {
        return Ok(SentSchema::new(schema, &rewritten, true, notes));
    }
    // As it came, but for a root that is no object on its face.
    let own_root = members.get("type").is_some_and(|kind| kind == "object");
    let mut sent = if own_root {
        SentSchema::new(schema, &value, false, SchemaChanges::default())
    } else {
        SentSchema::new(
            schema,
            &Value::Object(root),
            false,
            SchemaChanges::default(),
        )
    };
    let mut why = reasons.finish();
    let mut lost = SchemaChanges::default();
    if let Some((keyword, at)) = notes.first_lost() {
        lost.add("cannot be merged", keyword, at);
    }
    why.extend(lost.finish());
    sent.notes = vec![format!(
        "sent without strict, so that {service} does not hold the model to it: {}",
        why.join(", ")
    )];
    Ok(sent)
}

/// The root as an object, or what it is instead.
fn of_objects(
    mut root: Map<String, Value>,
    notes: &mut SchemaChanges,
) -> Result<Map<String, Value>, String> {
    match root.get("type") {
        Some(Value::String(kind)) if kind == "object" => return Ok(root),
        Some(Value::Array(kinds)) if *kinds == [json!("object")] => {}
        None if root.contains_key("properties") => {
            notes.add("added", "type", "#");
        }
        Some(kind) => return Err(format!("of the type {kind}")),
        None => {
            let choice = ["anyOf", "oneOf", "enum", "const"].into_iter();
            let mut choice = choice.filter(|name| root.contains_key(*name));
            return Err(choice.next().map_or_else(
                || "of any type".to_owned(),
                |name| format!("a choice ({name})"),
            ));
        }
    }
    root.insert("type".to_owned(), json!("object"));
    Ok(root)
}

struct Strict<'t, 'r> {
    tree: &'t SchemaRoot<'r>,
    notes: SchemaChanges,
    reasons: SchemaChanges,
    properties: usize,
    choices: usize,
}

impl Strict<'_, '_> {
    fn schema(
        &mut self,
        schema: &Value,
        at: &str,
        depth: u32,
        level: u32,
    ) -> Result<Value, RequestError> {
        let Value::Object(members) = schema else {
            self.reasons.add("not limited to a type", "any value", at);
            return Ok(schema.clone());
        };
        let members = self.tree.flat(members, at, depth, false, &mut self.notes)?;
        self.object(members, at, depth, level)
    }

    fn object(
        &mut self,
        mut members: Map<String, Value>,
        at: &str,
        depth: u32,
        level: u32,
    ) -> Result<Value, RequestError> {
        if level > DEEPEST {
            let why = "deeper than strict mode takes";
            self.reasons.add(why, "properties", at);
        }
        if let Some(choices) = members.remove("oneOf") {
            if members.contains_key("anyOf") {
                self.reasons.add("beside each other", "anyOf and oneOf", at);
            } else {
                self.notes.add("sent as anyOf", "oneOf", at);
                members.insert("anyOf".to_owned(), choices);
            }
        }
        self.shape(&members, at);
        let mut moved = Map::new();
        let mut out = Map::new();
        for (key, value) in members {
            let place = format!("{at}/{}", escaped(&key));
            match key.as_str() {
                "properties" | "$defs" | "definitions" => {
                    let inner = if key == "properties" {
                        level + 1
                    } else {
                        level
                    };
                    let Value::Object(named) = value else {
                        continue;
                    };
                    let mut rewritten = Map::new();
                    for (name, schema) in &named {
                        let place = format!("{place}/{}", escaped(name));
                        rewritten
                            .insert(name.clone(), self.schema(schema, &place, depth + 1, inner)?);
                    }
                    out.insert(key, Value::Object(rewritten));
                }
                "anyOf" => {
                    let Value::Array(list) = value else { continue };
                    let mut rewritten = Vec::new();
                    for (number, schema) in list.iter().enumerate() {
                        let place = format!("{place}/{number}");
                        rewritten.push(self.schema(schema, &place, depth + 1, level)?);
                    }
                    out.insert(key, Value::Array(rewritten));
                }
                "items" => {
                    let items = self.schema(&value, &place, depth + 1, level)?;
                    out.insert(key, items);
                }
                "format" if !value.as_str().is_some_and(|name| FORMATS.contains(&name)) => {
                    moved.insert(key, value);
                }
                name if TAKEN.contains(&name) || HARMLESS.contains(&name) => {
                    out.insert(key, value);
                }
                name if TOLD.contains(&name) => {
                    moved.insert(key, value);
                }
                name if LIMITING.contains(&name) => {
                    self.reasons.add("cannot be said", name, at);
                    out.insert(key, value);
                }
                name => self.notes.add("left out", name, at),
            }
        }
        for key in moved.keys() {
            self.notes.add("moved to descriptions", key, at);
        }
        describe(&mut out, &moved);
        Ok(Value::Object(out))
    }

    /// Applies the requirements of strict mode to a schema: closed objects with every property required, and a type.
    fn shape(&mut self, members: &Map<String, Value>, at: &str) {
        let is = |wanted: &str| match members.get("type") {
            Some(Value::String(kind)) => kind == wanted,
            Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == wanted),
            _ => false,
        };
        let properties = members.get("properties").and_then(Value::as_object);
        if is("object") || properties.is_some() {
            if members.get("additionalProperties") != Some(&Value::Bool(false)) {
                self.reasons
                    .add("not closed by additionalProperties: false", "object", at);
            }
            let required = members.get("required").and_then(Value::as_array);
            for name in properties.into_iter().flat_map(Map::keys) {
                self.properties += 1;
                if !required.is_some_and(|all| all.iter().any(|one| one == name)) {
                    let place = format!("{at}/properties/{}", escaped(name));
                    self.reasons.add("not required", "property", &place);
                }
            }
        }
        if is("array") && !members.contains_key("items") {
            self.reasons.add("without items", "array", at);
        }
        if let Some(Value::Array(values)) = members.get("enum") {
            self.choices += values.len();
        }
        let typing = ["type", "enum", "const", "anyOf", "$ref"];
        if !typing.iter().any(|name| members.contains_key(*name)) {
            self.reasons.add("not limited to a type", "any value", at);
        }
    }
}

#[cfg(test)]
mod tests;
