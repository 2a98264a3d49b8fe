//! Parts of a schema that no value fits: every answer would be paid for and not fit.

use serde_json::{Map, Value};

/// Keywords of which the first must not be greater than the second.
const BOUNDS: [(&str, &str); 5] = [
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
];

/// Returns the keyword of a schema that no value can fit beside the others, and the reason.
pub(super) fn contradiction(members: &Map<String, Value>) -> Option<(&'static str, String)> {
    let listed = members.get("enum").and_then(Value::as_array);
    if listed.is_some_and(Vec::is_empty) {
        return Some((
            "enum",
            "it lists no value, so that no answer fits".to_owned(),
        ));
    }
    if let Some(types) = members.get("type") {
        let is_nullable = members.get("nullable") == Some(&Value::Bool(true));
        let fits = |value: &Value| is_of(value, types) || (is_nullable && value.is_null());
        if listed.is_some_and(|all| !all.iter().any(fits)) {
            return Some(("enum", format!("none of its values is of the type {types}")));
        }
        if members.get("const").is_some_and(|value| !fits(value)) {
            return Some(("const", format!("its value is not of the type {types}")));
        }
    }
    if let (Some(all), Some(value)) = (listed, members.get("const"))
        && !all.contains(value)
    {
        return Some(("const", "its value is not among those of enum".to_owned()));
    }
    for (least, most) in BOUNDS {
        let bound = |name: &str| members.get(name).and_then(Value::as_f64);
        if let (Some(low), Some(high)) = (bound(least), bound(most))
            && low > high
        {
            return Some((least, format!("it is greater than {most}")));
        }
    }
    let name = unlisted(members)?;
    Some((
        "required",
        format!("{name:?} is not among the properties, and additionalProperties is false"),
    ))
}

/// Returns a property that an object must have and must not have.
fn unlisted(members: &Map<String, Value>) -> Option<&str> {
    let is_closed = members.get("additionalProperties") == Some(&Value::Bool(false));
    let is_object = match members.get("type") {
        Some(types) => types == "object" || types.as_array().is_some_and(|all| *all == ["object"]),
        None => members.contains_key("properties"),
    };
    let object = |name: &str| members.get(name).and_then(Value::as_object);
    let has_patterns = object("patternProperties").is_some_and(|patterns| !patterns.is_empty());
    if !is_closed || !is_object || has_patterns {
        return None;
    }
    let properties = object("properties");
    let required = members.get("required")?.as_array()?;
    let mut names = required.iter().filter_map(Value::as_str);
    names.find(|name| !properties.is_some_and(|all| all.contains_key(*name)))
}

/// Returns whether a value is of a type, or of one of several.
fn is_of(value: &Value, types: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap_or_default() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        // A type that is unknown is refused elsewhere.
        _ => true,
    };
    match types {
        Value::Array(several) => several.iter().any(is),
        one => is(one),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_no_value_fits_is_found() {
        let closed = |required: Value| json!({"type": "object", "properties": {"a": {}}, "required": required, "additionalProperties": false});
        let mut patterned = closed(json!(["zz"]));
        patterned["patternProperties"] = json!({"^z": {}});
        let mut open = closed(json!(["zz"]));
        open["additionalProperties"] = json!(true);
        for (schema, expected) in [
            (closed(json!(["a"])), None),
            (closed(json!([])), None),
            (closed(json!(["a", "zz"])), Some(("required", "\"zz\""))),
            (patterned, None),
            (open, None),
            (
                json!({"type": "object", "required": ["a"], "additionalProperties": false}),
                Some(("required", "\"a\"")),
            ),
            (json!({"enum": []}), Some(("enum", "lists no value"))),
            (json!({"enum": [null]}), None),
            (
                json!({"type": "string", "enum": [1, 2]}),
                Some(("enum", "type \"string\"")),
            ),
            (json!({"type": "string", "enum": [1, "a"]}), None),
            (json!({"type": ["string", "null"], "enum": [null]}), None),
            (
                json!({"type": "string", "nullable": true, "enum": [null]}),
                None,
            ),
            (json!({"type": "integer", "enum": [1.0]}), None),
            (
                json!({"type": "integer", "const": 1.5}),
                Some(("const", "type")),
            ),
            (
                json!({"enum": ["a"], "const": "b"}),
                Some(("const", "among")),
            ),
            (
                json!({"minimum": 3, "maximum": 2}),
                Some(("minimum", "maximum")),
            ),
            (json!({"minItems": 2, "maxItems": 2}), None),
            (
                json!({"minLength": 9, "maxLength": 1}),
                Some(("minLength", "maxLength")),
            ),
        ] {
            let found = contradiction(schema.as_object().unwrap());
            match expected {
                None => assert_eq!(found, None, "{schema}"),
                Some((keyword, words)) => {
                    let (found, why) = found.unwrap();
                    assert_eq!(found, keyword, "{schema}");
                    assert!(why.contains(words), "{schema}: {why}");
                }
            }
        }
    }
}
