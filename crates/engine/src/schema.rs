//! Checks JSON Schemas for structured output before anything is sent: a schema that cannot be
//! compiled would leave every answer unchecked.

use std::collections::HashSet;

use lmbatch_core::schemas::{FollowedReferences, SchemaRoot, resolve, subschemas};
use lmbatch_core::{BatchClass, BatchCodec, RequestError, ResponseSchema, SchemaError};
use serde_json::{Map, Value};

/// Number of valid schemas that are remembered. Most inputs have one; some have one for each
/// request.
const REMEMBERED: usize = 256;

/// Maximum number of sentences on changed schemas that are kept for an input; the others are only
/// counted.
const MOST_NOTES: usize = 16;

/// Longest reference, in characters, that an error quotes from a schema.
const LONGEST_REFERENCE: usize = 200;

/// Longest word, in characters, that an error quotes from a schema.
const LONGEST_WORD: usize = 40;

/// Values of the keyword `type`.
const TYPES: [&str; 7] = [
    "array", "boolean", "integer", "null", "number", "object", "string",
];

/// Keywords that constrain a value.
const ASSERTIONS: [&str; 42] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "nullable",
];

/// Keywords that describe a value and accept any.
const ANNOTATIONS: [&str; 22] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$vocabulary",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "discriminator",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "propertyOrdering",
];

/// Checks that answers can be validated against a schema: it is an object of JSON Schema keywords,
/// refers to nothing outside of itself, and compiles.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the position in the
/// schema and the reason, such as an unknown `type`, a `$ref` without a target or a `pattern` that
/// is no regular expression.
pub fn check_schema(schema: &ResponseSchema) -> Result<(), RequestError> {
    if schema.schema.is_too_deep() {
        return Err(refused("it is nested too deep"));
    }
    let value = schema.schema.to_value();
    let Value::Object(members) = &value else {
        let kind = match &value {
            Value::Array(_) => "an array",
            Value::Bool(_) => "a boolean, which does not describe an answer",
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            _ => "null",
        };
        return Err(refused(&format!("it is {kind}, and not a JSON object")));
    };
    if let Some(place) = ResponseSchema::within(&value) {
        return Err(refused(&format!(
            "it is an envelope of a provider's API, which accepts any answer; give only the schema in it, at {place}, alone"
        )));
    }
    if let Some(unknown) = unknown_keyword(members) {
        return Err(refused(&format!(
            "none of its members constrains a value, and {unknown:?} is no keyword of JSON Schema"
        )));
    }
    references(&value, &value, "#")?;
    // Endless recursion of references would exhaust the compiler.
    SchemaRoot::new(&value).recursion(FollowedReferences::All)?;
    compile(&value).map(drop).map_err(|why| refused(&why))
}

/// Refuses references out of the schema, used or not: no provider follows them.
fn references(schema: &Value, root: &Value, at: &str) -> Result<(), RequestError> {
    let Some(members) = schema.as_object() else {
        return Ok(());
    };
    if let Some(word) = members.get("type").and_then(unknown_type) {
        let shown: String = word.chars().take(LONGEST_WORD).collect();
        return Err(refused(&format!(
            "at {at}/type: {shown:?} is no type of JSON Schema; the types are {}",
            TYPES.join(", ")
        )));
    }
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let Some(Value::String(reference)) = members.get(keyword) else {
            continue;
        };
        let shown: String = reference.chars().take(LONGEST_REFERENCE).collect();
        if !reference.starts_with('#') {
            return Err(refused(&format!(
                "at {at}/{keyword}: {shown:?} refers outside of the schema; only references within it, which begin with #, are followed"
            )));
        }
        if resolve(root, reference).is_none() {
            return Err(refused(&format!(
                "at {at}/{keyword}: {shown:?} refers to a part that is not in the schema"
            )));
        }
    }
    for (place, inner) in subschemas(members) {
        references(inner, root, &format!("{at}{place}"))?;
    }
    Ok(())
}

/// Returns a word of a `type` that is no type of JSON Schema.
fn unknown_type(types: &Value) -> Option<&str> {
    let words = match types {
        Value::Array(several) => several.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut words = words.iter().filter_map(Value::as_str);
    words.find(|word| !TYPES.contains(word))
}

fn refused(why: &str) -> RequestError {
    RequestError::invalid_input(format!("the schema for answers cannot be used: {why}"))
}

/// Returns a member that is no keyword, if the schema accepts any value.
fn unknown_keyword(members: &Map<String, Value>) -> Option<&str> {
    let known = |list: &[&str], key: &String| list.contains(&key.as_str());
    if members.keys().any(|key| known(&ASSERTIONS, key)) {
        return None;
    }
    let mut unknown = members.keys();
    unknown
        .find(|key| !known(&ANNOTATIONS, key) && !key.starts_with("x-"))
        .map(String::as_str)
}

#[cfg(feature = "schema")]
pub(crate) type Compiled = lmbatch_schema::Validator;
#[cfg(not(feature = "schema"))]
pub(crate) type Compiled = ();

/// Returns the validator of a schema, or the position and the reason why it does not compile. Known
/// formats are checked; unknown ones accept anything.
#[cfg(feature = "schema")]
pub(crate) fn compile(schema: &Value) -> Result<Compiled, String> {
    Compiled::compile(schema)
}

#[cfg(not(feature = "schema"))]
pub(crate) fn compile(_: &Value) -> Result<Compiled, String> {
    Ok(())
}

/// Returns the first position at which a value does not match the schema.
#[cfg(feature = "schema")]
pub(crate) fn misfit(compiled: &Compiled, value: &Value) -> Option<SchemaError> {
    compiled.mismatch(value)
}

#[cfg(not(feature = "schema"))]
pub(crate) fn misfit(_: &Compiled, _: &Value) -> Option<SchemaError> {
    None
}

/// Schemas of an input, each checked once, and the changes with which they are sent.
#[derive(Default)]
pub(crate) struct Schemas {
    last: Option<(ResponseSchema, BatchClass)>,
    good: HashSet<Box<str>>,
    notes: Vec<String>,
    more: u64,
}

impl Schemas {
    /// Checks a schema, unless it is known to be valid.
    pub(crate) fn check(&mut self, schema: &ResponseSchema) -> Result<(), RequestError> {
        if self.last.as_ref().is_some_and(|(last, _)| last == schema) {
            return Ok(());
        }
        let text = schema.schema.as_str();
        if self.good.contains(text) {
            return Ok(());
        }
        check_schema(schema)?;
        if self.good.len() >= REMEMBERED {
            self.good.clear();
        }
        self.good.insert(text.into());
        Ok(())
    }

    /// Keeps the changes that the provider's adapter makes to a schema when it is sent.
    pub(crate) fn note(
        &mut self,
        codec: &dyn BatchCodec,
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<(), RequestError> {
        let is_last = |(last, of): &(ResponseSchema, BatchClass)| last == schema && of == class;
        if self.last.as_ref().is_some_and(is_last) {
            return Ok(());
        }
        for note in codec.schema_notes(class, schema)? {
            if self.notes.contains(&note) {
                continue;
            }
            if self.notes.len() < MOST_NOTES {
                self.notes.push(note);
            } else {
                self.more += 1;
            }
        }
        self.last = Some((schema.clone(), class.clone()));
        Ok(())
    }

    /// Returns the changes, one sentence each.
    pub(crate) fn into_notes(mut self) -> Vec<String> {
        if self.more > 0 {
            self.notes.push(format!("and {} more", self.more));
        }
        self.notes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(schema: &Value) -> Option<String> {
        let error = check_schema(&ResponseSchema::new(schema)).err()?;
        Some(error.message().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_schema_that_constrains_nothing_is_refused_with_the_position_of_its_fault() {
        let of = |money: Value| json!({"type": "object", "required": ["total"], "properties": {"total": money}});
        for (schema, words) in [
            (of(json!({"type": "nubmer"})), "/properties/total/type"),
            (
                of(json!({"$ref": "#/$defs/Money"})),
                "#/properties/total/$ref: \"#/$defs/Money\" refers to a part",
            ),
            (
                of(json!({"$ref": "https://schemas.test/money.json"})),
                "#/properties/total/$ref: \"https://schemas.test/money.json\" refers outside",
            ),
            (of(json!({"$ref": "file:///etc/passwd"})), "refers outside"),
            (
                of(json!({"$ref": "https://json-schema.org/draft/2020-12/schema"})),
                "refers outside",
            ),
            (
                of(json!({"$ref": "money.json#/$defs/Money"})),
                "refers outside",
            ),
            (
                json!({"type": "object", "$defs": {"unused": {"items": {"$ref": "other.json"}}}}),
                "#/$defs/unused/items/$ref",
            ),
            (
                of(json!({"$dynamicRef": "https://schemas.test/#node"})),
                "$dynamicRef",
            ),
            (
                of(json!({"type": "string", "pattern": "(?<=x)y("})),
                "pattern",
            ),
            (of(json!({"minimum": "three"})), "/properties/total/minimum"),
            (
                of(json!({"type": ["null", "nubmer"]})),
                "at #/properties/total/type: \"nubmer\" is no type of JSON Schema; the types are array",
            ),
            (of(json!([])), "/properties/total"),
            (json!({"type": "object", "required": "total"}), "/required"),
            (json!(true), "not a JSON object"),
            (json!([{"type": "object"}]), "not a JSON object"),
            (json!("object"), "not a JSON object"),
            (
                json!({"a": {"type": "string"}, "b": {"type": "number"}}),
                "no keyword",
            ),
            (json!({"name": "Ada", "age": 36}), "no keyword"),
            (
                json!({"properites": {"a": {"type": "string"}}}),
                "properites",
            ),
        ] {
            let found = refusal(&schema).unwrap_or_default();
            assert!(found.contains(words), "{schema}: {found}");
        }
    }

    #[test]
    fn an_envelope_of_an_api_is_refused_with_the_position_of_the_schema() {
        let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let named = json!({"name": "x", "strict": true, "schema": inner});
        let nested = json!({"type": "json_schema", "json_schema": named});
        let flat = json!({"type": "json_schema", "name": "x", "schema": inner});
        for (envelope, place) in [
            (named, "at /schema,"),
            (nested.clone(), "at /json_schema/schema,"),
            (flat.clone(), "at /schema,"),
            (
                json!({"response_format": nested}),
                "at /response_format/json_schema/schema,",
            ),
            (json!({"text": {"format": flat}}), "at /text/format/schema,"),
            (json!({"format": flat}), "at /format/schema,"),
            (
                json!({"output_config": {"format": {"type": "json_schema", "schema": inner}}}),
                "at /output_config/format/schema,",
            ),
            (
                json!({"responseMimeType": "application/json", "responseSchema": inner}),
                "at /responseSchema,",
            ),
            (
                json!({"generationConfig": {"responseJsonSchema": inner}}),
                "at /generationConfig/responseJsonSchema,",
            ),
            (
                json!({"name": "t", "description": "d", "input_schema": inner}),
                "at /input_schema,",
            ),
            (
                json!({"type": "function", "function": {"name": "f", "parameters": inner}}),
                "at /function/parameters,",
            ),
            (
                json!({"model": "m", "body": {"response_format": nested}}),
                "at /body/response_format/json_schema/schema,",
            ),
            (
                json!({"type": "object", "name": "x", "strict": true, "schema": inner}),
                "at /schema,",
            ),
        ] {
            let found = refusal(&envelope).unwrap_or_default();
            assert!(
                found.contains("envelope") && found.contains(place),
                "{envelope}: {found}"
            );
        }
    }

    #[test]
    fn an_ordinary_schema_is_accepted() {
        for schema in [
            json!({}),
            json!({"title": "Anything", "description": "at all"}),
            json!({"type": "object", "properties": {"schema": {"type": "string"}, "name": {"type": "string"}}}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": ["object", "null"]}),
            json!({"type": "string", "pattern": "(?<=x)y", "format": "date"}),
            json!({"anyOf": [{"type": "object"}, {"type": "null"}]}),
            json!({"type": "object", "properties": {"schema": {"type": "object"}, "strict": {"type": "boolean"}}, "title": "named"}),
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#here"}}, "$defs": {"a": {"$anchor": "here"}}}),
            json!({"enum": [{"$ref": "https://schemas.test"}, {"schema": {}}]}),
            json!({"type": "object", "properties": {"$ref": {"type": "string"}}, "default": {"$ref": "x"}}),
            json!({"type": "string", "format": "of-our-own"}),
        ] {
            assert_eq!(refusal(&schema), None, "{schema}");
        }
        let mut schemas = Schemas::default();
        for number in 0..2 * REMEMBERED {
            let schema = json!({"type": "object", "maxProperties": number});
            schemas.check(&ResponseSchema::new(&schema)).unwrap();
        }
        assert!(schemas.good.len() <= REMEMBERED);
    }
}
