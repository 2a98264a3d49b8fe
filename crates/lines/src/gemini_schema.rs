//! Conversion of Google's `Schema`, a subset of OpenAPI, into JSON Schema (Schema reference of the Gemini API, 2026).

use lmbatch_core::{RequestError, schemas};
use serde_json::{Map, Value, json};

use crate::context::bad;
use crate::members::camel;
use crate::values::untranslated;

/// Members that mean the same in JSON Schema.
const SAME: [&str; 8] = [
    "title",
    "description",
    "format",
    "pattern",
    "default",
    "minimum",
    "maximum",
    "required",
];

/// Members whose value is a count, which Google also writes as a string.
const COUNTS: [&str; 6] = [
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
];

/// Rewrites a `Schema` as JSON Schema. Types may be written in either case, and names in either spelling.
///
/// # Errors
/// A member that Google's reference does not describe; the error names its place.
pub(crate) fn json_schema(schema: &Value, at: &str) -> Result<Value, RequestError> {
    let Some(members) = schema.as_object() else {
        return Err(bad(format!("{at} is not a JSON object")));
    };
    let mut out = Map::new();
    let mut is_nullable = false;
    let mut order = Vec::new();
    for (written, value) in members.iter().filter(|(_, value)| !value.is_null()) {
        let name = camel(written);
        let at = format!("{at}.{written}");
        let value = match (&*name, value) {
            ("type", Value::String(word)) => {
                let word = word.to_ascii_lowercase();
                if !schemas::TYPES.contains(&&*word) {
                    return Err(untranslated(&at));
                }
                Value::String(word)
            }
            ("nullable", Value::Bool(yes)) => {
                is_nullable = *yes;
                continue;
            }
            ("propertyOrdering", Value::Array(names)) => {
                let names = names.iter().map(Value::as_str);
                let names = names.collect::<Option<_>>();
                order = names.ok_or_else(|| bad(format!("{at} holds more than strings")))?;
                continue;
            }
            ("properties", Value::Object(named)) => {
                let each = named.iter().map(|(name, schema)| {
                    let schema = json_schema(schema, &format!("{at}.{name}"))?;
                    Ok((name.clone(), schema))
                });
                Value::Object(each.collect::<Result<_, RequestError>>()?)
            }
            ("items", schema) => json_schema(schema, &at)?,
            ("anyOf", Value::Array(list)) => {
                let each = list.iter().enumerate();
                let each =
                    each.map(|(place, schema)| json_schema(schema, &format!("{at}[{place}]")));
                each.collect::<Result<_, _>>()?
            }
            ("additionalProperties", Value::Bool(yes)) => json!(yes),
            ("additionalProperties", schema) => json_schema(schema, &at)?,
            ("enum", Value::Array(_)) => value.clone(),
            ("example", value) => {
                out.insert("examples".to_owned(), json!([value]));
                continue;
            }
            (name, Value::String(digits)) if COUNTS.contains(&name) => {
                let count: u64 = digits
                    .parse()
                    .map_err(|_| bad(format!("{at} is not a number")))?;
                json!(count)
            }
            (name, value) if SAME.contains(&name) || COUNTS.contains(&name) => value.clone(),
            _ => return Err(untranslated(&at)),
        };
        if out.insert(name, value).is_some() {
            return Err(bad(format!(
                "{at} stands in both spellings; keep one of them"
            )));
        }
    }
    if let Some(Value::Object(properties)) = out.get_mut("properties") {
        *properties = ordered(std::mem::take(properties), &order);
    }
    if is_nullable {
        admit_null(&mut out);
    }
    Ok(Value::Object(out))
}

/// Puts the named properties first, in their order.
fn ordered(mut properties: Map<String, Value>, order: &[&str]) -> Map<String, Value> {
    let mut ordered = Map::new();
    for name in order {
        if let Some(schema) = properties.shift_remove(*name) {
            ordered.insert((*name).to_owned(), schema);
        }
    }
    ordered.extend(properties);
    ordered
}

/// Makes a schema accept null as well.
fn admit_null(schema: &mut Map<String, Value>) {
    if let Some(kind) = schema.get_mut("type")
        && *kind != "null"
    {
        *kind = json!([kind, "null"]);
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.iter().any(Value::is_null)
    {
        values.push(Value::Null);
    }
    if let Some(Value::Array(list)) = schema.get_mut("anyOf") {
        list.push(json!({"type": "null"}));
    }
}
