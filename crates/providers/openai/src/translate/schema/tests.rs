#![expect(clippy::needless_pass_by_value, reason = "cases are written as values")]

use lmbatch_core::SchemaMode;
use lmbatch_testing::schema_table;

use super::*;

fn sent(schema: &Value) -> SentSchema {
    translate(&ResponseSchema::new(schema), "openai").unwrap()
}

/// A closed object whose one property is required.
fn of(schema: Value) -> Value {
    json!({"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": false})
}

#[test]
fn the_table_of_schemas_in_the_documentation_is_what_is_sent() {
    let table = schema_table(
        |schema| translate(schema, "openai"),
        |name| match name {
            "list as the root" | "text as the root" | "choice as the root" | "any value" => {
                "guide; HTTP 400 (OpenLore 52, 2026-04)"
            }
            "oneOf" => "openai-agents 474, 2025-04",
            "title and default" => "instructor 1074, 2024-10",
            "$ref beside a description" | "allOf" => "SDK 3.57.0, `_pydantic.py`",
            "limits of a text" | "format" | "format of one's own" => {
                "guide; `minLength` not listed"
            }
            _ => "guide",
        },
    );
    let documented = include_str!("../../../docs.md");
    assert!(
        documented.contains(&table),
        "docs.md lacks this table:\n{table}"
    );
}

#[test]
fn a_schema_is_strict_only_where_it_closes_every_object() {
    for (schema, expected) in [
        (json!({"type": "object"}), false),
        (of(json!({"type": "string"})), true),
        (of(json!({})), false),
        (of(json!(true)), false),
        (
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]}),
            false,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": false}),
            false,
        ),
        (
            of(
                json!({"type": "array", "items": {"type": "object", "properties": {"a": {"type": "null"}}}}),
            ),
            false,
        ),
        (of(json!({"type": "array"})), false),
        (
            of(json!({"anyOf": [{"type": "string"}, {"type": "object"}]})),
            false,
        ),
        (
            of(json!({"anyOf": [{"type": "string"}], "oneOf": [{"type": "null"}]})),
            false,
        ),
        (
            of(json!({"type": "object", "additionalProperties": {"type": "string"}})),
            false,
        ),
        (
            of(json!({"type": "string", "patternProperties": {}})),
            false,
        ),
        (
            of(
                json!({"type": ["object", "null"], "properties": {}, "required": [], "additionalProperties": false}),
            ),
            true,
        ),
        (
            of(json!({"enum": ["required", {"additionalProperties": true}]})),
            true,
        ),
    ] {
        assert_eq!(sent(&schema).strict, expected, "{schema}");
    }
}

#[test]
fn what_is_not_strict_goes_as_it_came_and_says_why() {
    let schema = json!({"type": "object", "properties": {"paid at": {"type": "string", "default": "never"}, "b": {}}, "additionalProperties": false});
    let found = sent(&schema);
    assert_eq!(found.schema.map(|schema| schema.to_value()), Some(schema));
    assert_eq!(
        found.notes,
        [
            "sent without strict, so that openai does not hold the model to it: property not required (#/properties/paid at and 1 more), any value not limited to a type (#/properties/b)"
        ]
    );
    // Deeper, or of more properties, than strict mode takes.
    let mut deep = of(json!({"type": "null"}));
    for _ in 0..12 {
        deep = of(deep);
    }
    let wide: Map<String, Value> = (0..5_001)
        .map(|n| (n.to_string(), json!({"type": "null"})))
        .collect();
    let names: Vec<&String> = wide.keys().collect();
    let wide = json!({"type": "object", "required": names, "additionalProperties": false, "properties": wide});
    let choices: Vec<u32> = (0..1_001).collect();
    for schema in [deep, wide, of(json!({"enum": choices}))] {
        assert!(!sent(&schema).strict);
    }
}

#[test]
fn a_root_that_is_no_object_is_refused_unless_leniency_is_asked_for() {
    for schema in [
        json!({"type": "array", "items": {"type": "string"}}),
        json!({"type": "string"}),
        json!({"type": ["object", "null"], "properties": {}}),
        json!({"anyOf": [{"type": "object"}, {"type": "null"}]}),
        json!({"oneOf": [{"type": "object"}]}),
        json!({"enum": ["a"]}),
        json!({}),
        json!({"$ref": "#/$defs/list", "$defs": {"list": {"type": "array"}}}),
        json!(true),
    ] {
        let schema = ResponseSchema::new(&schema);
        let error = translate(&schema, "openai").unwrap_err();
        assert!(error.message().unwrap().contains("object"), "{error:?}");
        let lenient = translate(&schema.with_mode(SchemaMode::Lenient), "openai").unwrap();
        assert!(lenient.schema.is_none());
        assert!(
            lenient.notes[0].contains("not sent")
                && lenient.notes[0].contains("checked on this machine")
        );
    }
}

#[test]
fn a_root_that_is_an_object_by_reference_is_one_on_its_face() {
    let node = json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"], "additionalProperties": false});
    let found = sent(&json!({"$ref": "#/$defs/node", "$defs": {"node": node}}));
    let value = found.schema.unwrap().to_value();
    assert!(found.strict);
    assert_eq!(
        (&value["type"], &value["$defs"]["node"]),
        (&json!("object"), &node)
    );
    assert_eq!(value.get("$ref"), None);
    // Recursion is taken; what stands beside such a reference is not.
    let beside = sent(
        &json!({"type": "object", "properties": {"next": {"$ref": "#", "description": "d"}}, "required": ["next"], "additionalProperties": false}),
    );
    assert_eq!(
        beside.schema.unwrap().to_value()["properties"]["next"],
        json!({"$ref": "#"})
    );
    assert!(beside.notes[0].contains("recursive"), "{:?}", beside.notes);
}

#[test]
fn a_schema_that_needs_no_change_is_sent_byte_for_byte() {
    let text = r#"{"type":"object","properties":{"a":{"type":"number","maximum":1.50e3}},"required":["a"],"additionalProperties":false}"#;
    let schema = ResponseSchema {
        schema: lmbatch_core::JsonBuf::from_text(text).unwrap(),
        ..ResponseSchema::new(&json!({}))
    };
    let found = translate(&schema, "openai").unwrap();
    assert_eq!(found.schema.unwrap().as_str(), text);
    assert!(found.strict && found.notes.is_empty());
}
