//! JSON Schemas of answers, checked before anything is sent: one that cannot be compiled would leave every
//! answer unchecked.

use std::collections::HashSet;

use lmbatch_core::{RequestError, ResponseSchema};
use serde_json::{Map, Value};

/// Schemas that are remembered as good. Most inputs have one; some have one for each request.
const REMEMBERED: usize = 256;

/// Longest reason, in characters, that an error quotes from the compiler.
const LONGEST_REASON: usize = 400;

/// Keywords that say something about a value.
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

/// Keywords that describe, and fit any value.
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

/// Checks that answers can be checked against a schema: it is an object of JSON Schema keywords, and
/// compiles.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the place in the schema and the
/// reason, such as an unknown `type`, a `$ref` that leads nowhere or a `pattern` that is no regular
/// expression.
pub fn check_schema(schema: &ResponseSchema) -> Result<(), RequestError> {
    let value = schema.schema.to_value();
    let Value::Object(members) = &value else {
        return Err(refused("it is not a JSON object"));
    };
    if ResponseSchema::is_envelope(&value) {
        return Err(refused(
            "it is an envelope of `name`, `strict` and `schema`; give the member `schema` alone",
        ));
    }
    if let Some(unknown) = says_nothing(members) {
        return Err(refused(&format!(
            "none of its members limits a value, and {unknown:?} is no keyword of JSON Schema"
        )));
    }
    compile(&value).map(drop).map_err(|why| refused(&why))
}

fn refused(why: &str) -> RequestError {
    RequestError::invalid_input(format!("the schema for answers cannot be used: {why}"))
}

/// A member that is no keyword, of a schema that any value fits.
fn says_nothing(members: &Map<String, Value>) -> Option<&str> {
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
pub(crate) type Compiled = jsonschema::Validator;
#[cfg(not(feature = "schema"))]
pub(crate) type Compiled = ();

/// The validator of a schema, or the place and the reason why there is none.
#[cfg(feature = "schema")]
pub(crate) fn compile(schema: &Value) -> Result<Compiled, String> {
    jsonschema::validator_for(schema).map_err(|error| {
        let reason: String = error.to_string().chars().take(LONGEST_REASON).collect();
        match error.instance_path().as_str() {
            "" => reason,
            place => format!("at {place}: {reason}"),
        }
    })
}

#[cfg(not(feature = "schema"))]
pub(crate) fn compile(_: &Value) -> Result<Compiled, String> {
    Ok(())
}

/// Schemas of an input, each checked once.
#[derive(Default)]
pub(crate) struct Schemas {
    good: HashSet<Box<str>>,
}

impl Schemas {
    pub(crate) fn check(&mut self, schema: &ResponseSchema) -> Result<(), RequestError> {
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
    fn a_schema_that_checks_nothing_is_refused_with_its_place() {
        let of = |money: Value| json!({"type": "object", "required": ["total"], "properties": {"total": money}});
        for (schema, words) in [
            (of(json!({"type": "nubmer"})), "/properties/total/type"),
            (of(json!({"$ref": "#/$defs/Money"})), "Money"),
            (
                of(json!({"$ref": "https://schemas.test/money.json"})),
                "schemas.test",
            ),
            (
                of(json!({"type": "string", "pattern": "(?<=x)y("})),
                "pattern",
            ),
            (of(json!({"minimum": "three"})), "/properties/total/minimum"),
            (of(json!([])), "/properties/total"),
            (json!({"type": "object", "required": "total"}), "/required"),
            (json!(true), "not a JSON object"),
            (json!([{"type": "object"}]), "not a JSON object"),
            (json!("object"), "not a JSON object"),
            (
                json!({"name": "x", "strict": true, "schema": of(json!({}))}),
                "envelope",
            ),
            (
                json!({"type": "json_schema", "json_schema": {"name": "x", "schema": of(json!({}))}}),
                "envelope",
            ),
            (
                json!({"name": "f", "parameters": of(json!({}))}),
                "no keyword",
            ),
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
    fn an_ordinary_schema_is_accepted() {
        for schema in [
            json!({}),
            json!({"title": "Anything", "description": "at all"}),
            json!({"type": "object", "properties": {"schema": {"type": "string"}, "name": {"type": "string"}}}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": ["object", "null"]}),
            json!({"type": "string", "pattern": "(?<=x)y", "format": "date"}),
            json!({"anyOf": [{"type": "object"}, {"type": "null"}]}),
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
