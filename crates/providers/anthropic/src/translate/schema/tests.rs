use lmbatch_core::SchemaMode;
use lmbatch_testing::schema_table;

use super::*;

fn sent(schema: &Value) -> Result<Value, String> {
    match translate(&ResponseSchema::new(schema)) {
        Ok(sent) => Ok(sent.schema.unwrap().to_value()),
        Err(error) => Err(error.message().unwrap_or_default().to_owned()),
    }
}

fn lenient(schema: &Value) -> SentSchema {
    let schema = ResponseSchema::new(schema).with_mode(SchemaMode::Lenient);
    translate(&schema).unwrap()
}

#[test]
fn the_table_of_schemas_in_the_documentation_is_what_is_sent() {
    let table = schema_table(translate, |name| match name {
        "recursion" | "required recursion" | "enum of objects" | "limits of a list" => "page",
        "map"
        | "open object"
        | "names by pattern"
        | "object without properties"
        | "object that is not closed" => "page: `additionalProperties: false` on every object",
        "list as the root" | "text as the root" | "choice as the root" => "no limit documented",
        "tuple" => "the SDK has no word for it",
        _ => "SDK 2.12.0, `transform_schema`",
    });
    let documented = include_str!("../../../docs.md");
    assert!(
        documented.contains(&table),
        "docs.md lacks this table:\n{table}"
    );
}

#[test]
fn objects_are_closed_and_limits_become_descriptions() {
    let schema = json!({
        "$schema": "s", "type": "object", "required": ["minimum", "list"],
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "maximum": 9, "description": "d"},
            "list": {"type": "array", "minItems": 2, "maxItems": 5, "items": {"properties": {"x": {"type": "string", "minLength": 1}}}},
            "one": {"type": "array", "minItems": 1, "items": {"enum": ["minimum"]}},
        },
    });
    assert_eq!(
        sent(&schema).unwrap(),
        json!({
            "type": "object", "required": ["minimum", "list"], "additionalProperties": false,
            "properties": {
                "minimum": {"type": "integer", "description": "d\n\n{minimum: 1, maximum: 9}"},
                "list": {
                    "type": "array", "description": "{minItems: 2, maxItems: 5}",
                    "items": {
                        "properties": {"x": {"type": "string", "description": "{minLength: 1}"}},
                        "type": "object", "additionalProperties": false,
                    },
                },
                "one": {"type": "array", "minItems": 1, "items": {"enum": ["minimum"]}},
            },
        })
    );
}

#[test]
fn an_object_with_free_keys_is_refused_with_its_place() {
    let text = json!({"type": "string"});
    let within =
        |schema: Value| json!({"type": "object", "properties": {"m": schema}, "required": ["m"]});
    for (schema, place) in [
        (
            within(json!({"type": "object", "additionalProperties": text})),
            "#/properties/m",
        ),
        (
            within(json!({"type": "object", "additionalProperties": true})),
            "#/properties/m",
        ),
        (
            within(json!({"type": "object", "additionalProperties": {}})),
            "#/properties/m",
        ),
        (within(json!({"type": "object"})), "#/properties/m"),
        (
            within(json!({"type": ["object", "null"]})),
            "#/properties/m",
        ),
        (
            within(json!({"type": "object", "properties": {}})),
            "#/properties/m",
        ),
        (
            within(json!({"type": "object", "patternProperties": {"^x": text}})),
            "#/properties/m",
        ),
        (
            within(
                json!({"type": "object", "properties": {"a": text}, "additionalProperties": text}),
            ),
            "#/properties/m",
        ),
        (
            within(
                json!({"type": "object", "properties": {"a": text}, "unevaluatedProperties": text}),
            ),
            "#/properties/m",
        ),
        (
            within(json!({"type": "object", "properties": {"a": text}, "required": ["a", "b"]})),
            "#/properties/m",
        ),
        (
            within(
                json!({"anyOf": [{"type": "null"}, {"type": "object", "additionalProperties": text}]}),
            ),
            "#/properties/m/anyOf/1",
        ),
        (
            within(
                json!({"oneOf": [{"type": "null"}, {"type": "object", "additionalProperties": text}]}),
            ),
            "#/properties/m/anyOf/1",
        ),
        (
            within(json!({"allOf": [{"type": "object"}, {"additionalProperties": text}]})),
            "#/properties/m",
        ),
        (
            within(
                json!({"type": "array", "items": {"type": "object", "additionalProperties": text}}),
            ),
            "#/properties/m/items",
        ),
        (
            within(
                json!({"type": "array", "prefixItems": [{"type": "object", "additionalProperties": text}]}),
            ),
            "#/properties/m/items",
        ),
        (
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "additionalProperties": text}}}),
            "#/$defs/A",
        ),
        (
            json!({"type": "object", "properties": {"a/b": {"type": "object"}}}),
            "#/properties/a~1b",
        ),
        (json!({"additionalProperties": text}), "#"),
    ] {
        let message = sent(&schema).unwrap_err();
        assert!(
            message.contains(&format!("such as {place} by")),
            "{schema}: {message}"
        );
        let lenient = lenient(&schema);
        assert!(
            lenient.notes.iter().any(|note| note.contains("free keys")),
            "{schema}: {:?}",
            lenient.notes
        );
    }
}

#[test]
fn what_only_looks_like_an_open_object_is_sent() {
    for (schema, expected) in [
        (
            json!({"type": ["object", "null"], "properties": {"a": {"type": "null"}}}),
            json!({"type": ["object", "null"], "properties": {"a": {"type": "null"}}, "additionalProperties": false}),
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"type": "object", "additionalProperties": false}),
        ),
        (
            json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}}),
            json!({"type": "object", "properties": {"additionalProperties": {"type": "string"}}, "additionalProperties": false}),
        ),
        (
            json!({"enum": ["object", 1, null]}),
            json!({"enum": ["object", 1, null]}),
        ),
        (
            json!({"type": "object", "anyOf": [{"properties": {"a": {"type": "null"}}}, {"properties": {"b": {"type": "null"}}}]}),
            json!({"anyOf": [
                {"properties": {"a": {"type": "null"}}, "type": "object", "additionalProperties": false},
                {"properties": {"b": {"type": "null"}}, "type": "object", "additionalProperties": false},
            ]}),
        ),
        (
            json!({"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}, {"properties": {"b": {"type": "null"}}}]}),
            json!({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "additionalProperties": false}),
        ),
        (
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "string"}}, "additionalProperties": false}),
        ),
    ] {
        assert_eq!(sent(&schema).unwrap(), expected, "{schema}");
    }
}

#[test]
fn a_schema_that_contains_itself_is_refused_wherever_it_does() {
    let node = |next: Value| json!({"type": "object", "properties": {"next": next}});
    for schema in [
        node(json!({"$ref": "#"})),
        node(json!({"anyOf": [{"$ref": "#"}, {"type": "null"}]})),
        json!({"type": "array", "items": {"$ref": "#"}}),
        json!({"$ref": "#/$defs/n", "$defs": {"n": node(json!({"$ref": "#/$defs/n"}))}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": node(json!({"$ref": "#/$defs/b"})), "b": node(json!({"type": "array", "items": {"$ref": "#/$defs/a"}}))}}),
        json!({"type": "object", "properties": {"a": {"allOf": [{"$ref": "#"}]}}}),
    ] {
        let message = sent(&schema).unwrap_err();
        assert!(message.contains("contains itself"), "{schema}: {message}");
        let lenient = lenient(&schema);
        assert!(lenient.schema.is_none() && lenient.notes[0].contains("not sent"));
    }
}

#[test]
fn more_choices_than_anthropic_takes_are_refused_with_their_number() {
    let many = |count: usize, schema: Value| {
        let all: Map<String, Value> = (0..count)
            .map(|n| (n.to_string(), schema.clone()))
            .collect();
        json!({"type": "object", "properties": all})
    };
    let required = |count: usize, schema: Value| {
        let mut all = many(count, schema);
        all["required"] = (0..count).map(|n| n.to_string()).collect();
        all
    };
    let union = json!({"type": ["string", "null"]});
    for (schema, words) in [
        (many(24, json!({"type": "null"})), None),
        (
            many(25, json!({"type": "null"})),
            Some("24 optional properties"),
        ),
        (required(25, json!({"type": "null"})), None),
        (required(16, union.clone()), None),
        (required(17, union), Some("16 unions")),
        (
            required(17, json!({"oneOf": [{"type": "null"}, {"type": "string"}]})),
            Some("16 unions"),
        ),
    ] {
        let found = sent(&schema).err();
        assert_eq!(found.is_some(), words.is_some(), "{found:?}");
        assert!(
            found
                .unwrap_or_default()
                .contains(words.unwrap_or_default())
        );
    }
}
