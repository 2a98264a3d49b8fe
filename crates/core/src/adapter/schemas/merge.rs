//! Merging of two schemas that must hold at the same time.

use serde_json::{Map, Value};

/// Members that only describe. Of two values, the one of the outer schema is kept.
const DESCRIBING: [&str; 13] = [
    "$schema",
    "$id",
    "$anchor",
    "$comment",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "propertyOrdering",
];

/// Adds the members of `from` to a schema that must hold at the same time. Returns the members of which only
/// one value could be kept: for these the merged schema accepts more than both together do.
///
/// ```
/// use lmbatch_core::schemas::merge;
/// use serde_json::json;
///
/// let object = |value: serde_json::Value| value.as_object().cloned().expect("an object");
/// let mut one = object(json!({"type": ["integer", "null"], "minimum": 1}));
/// let lost = merge(&mut one, object(json!({"type": "number", "minimum": 3, "maximum": 9})));
/// assert_eq!(one, object(json!({"type": "integer", "minimum": 3, "maximum": 9})));
/// assert!(lost.is_empty());
/// ```
pub fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) -> Vec<String> {
    let mut lost = Vec::new();
    for (key, value) in from {
        let Some(own) = into.get_mut(&key) else {
            into.insert(key, value);
            continue;
        };
        if *own == value || DESCRIBING.contains(&key.as_str()) {
            continue;
        }
        if !restrict(&key, own, value) {
            lost.push(key);
        }
    }
    lost
}

/// Restricts `own` to values that both accept; `false` where that cannot be expressed.
fn restrict(key: &str, own: &mut Value, other: Value) -> bool {
    let is_lower = key.starts_with("min") || key == "exclusiveMinimum";
    let is_upper = key.starts_with("max") || key == "exclusiveMaximum";
    match (key, own, other) {
        ("properties" | "$defs" | "definitions", Value::Object(own), Value::Object(other)) => {
            let mut is_whole = true;
            for (name, schema) in other {
                match own.get(&name) {
                    None => {
                        own.insert(name, schema);
                    }
                    Some(same) => is_whole &= *same == schema,
                }
            }
            is_whole
        }
        ("required", Value::Array(own), Value::Array(other)) => {
            for name in other {
                if !own.contains(&name) {
                    own.push(name);
                }
            }
            true
        }
        ("enum", Value::Array(own), Value::Array(other)) => {
            own.retain(|value| other.contains(value));
            !own.is_empty()
        }
        ("type", own, other) => match both(&kinds(own), &kinds(&other)).as_slice() {
            [] => false,
            [only] => {
                *own = Value::String(only.clone());
                true
            }
            several => {
                *own = several.to_vec().into();
                true
            }
        },
        // Properties of both schemas are accepted, which is more than both accept together, and never less.
        ("additionalProperties", own, other) if *own == false || other == false => {
            *own = Value::Bool(false);
            true
        }
        (_, own, other) if is_lower || is_upper => match (own.as_f64(), other.as_f64()) {
            (Some(a), Some(b)) => {
                if (is_lower && b > a) || (is_upper && b < a) {
                    *own = other;
                }
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn kinds(value: &Value) -> Vec<String> {
    let texts = |list: &[Value]| {
        let texts = list.iter().filter_map(Value::as_str);
        texts.map(str::to_owned).collect()
    };
    match value {
        Value::Array(list) => texts(list),
        one => texts(std::slice::from_ref(one)),
    }
}

fn both(one: &[String], other: &[String]) -> Vec<String> {
    let admits = |kinds: &[String], kind: &str| {
        kinds
            .iter()
            .any(|admitted| admitted == kind || (admitted == "number" && kind == "integer"))
    };
    let mut found: Vec<String> = Vec::new();
    for kind in one.iter().chain(other) {
        if admits(one, kind) && admits(other, kind) && !found.contains(kind) {
            found.push(kind.clone());
        }
    }
    found
}
