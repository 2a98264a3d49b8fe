//! Checks of a schema before anything is sent, and its compiled form.

use lmbatch_core::schemas::{FollowedReferences, SchemaRoot, resolve, subschemas};
use lmbatch_core::{JsonBuf, ResponseSchema, SchemaError};
use serde_json::{Map, Value};

use super::contradiction::contradiction;

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

/// Checks a schema and returns the reason why it cannot be used. `what` is what it describes.
pub(super) fn check(schema: &JsonBuf, what: &str) -> Result<(), String> {
    if schema.is_too_deep() {
        return Err("it is nested too deep".to_owned());
    }
    let value = schema.to_value();
    let Value::Object(members) = &value else {
        let kind = match &value {
            Value::Array(_) => "an array".to_owned(),
            Value::Bool(_) => format!("a boolean, which does not describe {what}"),
            Value::String(_) => "a string".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            _ => "null".to_owned(),
        };
        return Err(format!("it is {kind}, and not a JSON object"));
    };
    if let Some(place) = ResponseSchema::within(&value) {
        return Err(format!(
            "it is an envelope of a provider's API, which accepts any answer; give only the schema in it, at {place}, alone"
        ));
    }
    if let Some(unknown) = unknown_keyword(members) {
        return Err(format!(
            "none of its members constrains a value, and {unknown:?} is no keyword of JSON Schema"
        ));
    }
    parts(&value, &value, "#", true)?;
    // Endless recursion of references would exhaust the compiler.
    let recursion = SchemaRoot::new(&value).recursion(FollowedReferences::All);
    recursion.map_err(|error| {
        let why = error.message().unwrap_or_default();
        why.replacen("the schema for answers", "it", 1)
    })?;
    compile(&value).map(drop)
}

/// Checks each part of a schema: words that are no types or drafts, references out of the schema,
/// used or not, since no provider follows them, and parts that no value fits. `is_asserted` is
/// false within a part that a value must not fit, or need not.
fn parts(schema: &Value, root: &Value, at: &str, is_asserted: bool) -> Result<(), String> {
    let Some(members) = schema.as_object() else {
        return Ok(());
    };
    let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
    if let Some(word) = members.get("type").and_then(unknown_type) {
        let shown = short(word, LONGEST_WORD);
        return Err(format!(
            "at {at}/type: {shown:?} is no type of JSON Schema; the types are {}",
            TYPES.join(", ")
        ));
    }
    if let Some(Value::String(draft)) = members.get("$schema")
        && !is_draft(draft)
    {
        let shown = short(draft, LONGEST_REFERENCE);
        return Err(format!(
            "at {at}/$schema: {shown:?} is no known draft of JSON Schema; leave it out, or write https://json-schema.org/draft/2020-12/schema"
        ));
    }
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        let Some(Value::String(reference)) = members.get(keyword) else {
            continue;
        };
        if resolve(root, reference).is_some() {
            continue;
        }
        let shown = short(reference, LONGEST_REFERENCE);
        return Err(match reference.starts_with('#') {
            false => format!(
                "at {at}/{keyword}: {shown:?} refers outside of the schema; only references within it, which begin with #, are followed"
            ),
            true => {
                format!("at {at}/{keyword}: {shown:?} refers to a part that is not in the schema")
            }
        });
    }
    if is_asserted && let Some((keyword, why)) = contradiction(members) {
        return Err(format!("at {at}/{keyword}: {why}"));
    }
    for (place, inner) in subschemas(members) {
        let is_asserted = is_asserted && place != "/not" && place != "/if";
        parts(inner, root, &format!("{at}{place}"), is_asserted)?;
    }
    Ok(())
}

/// Returns whether an address names a draft of JSON Schema: 3 to 7, 2019-09 or 2020-12.
fn is_draft(written: &str) -> bool {
    let rest = written
        .strip_prefix("https://")
        .or_else(|| written.strip_prefix("http://"));
    let rest = rest.unwrap_or(written).trim_end_matches('#');
    let rest = rest.strip_prefix("json-schema.org/").unwrap_or_default();
    let rest = rest.strip_suffix("/schema").unwrap_or_default();
    let drafts = [
        "draft-04",
        "draft-06",
        "draft-07",
        "draft/2019-09",
        "draft/2020-12",
    ];
    drafts.contains(&rest)
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
