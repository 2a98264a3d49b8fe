use lmbatch_core::SchemaMode;
use lmbatch_testing::schema_table;

use super::*;

fn convert(schema: &Value) -> Result<Value, String> {
    match translate(&ResponseSchema::new(schema)) {
        Ok(sent) => Ok(sent.schema.unwrap().to_value()),
        Err(error) => Err(error.message().unwrap_or_default().to_owned()),
    }
}

#[test]
fn the_table_of_schemas_in_the_documentation_is_what_is_sent() {
    let table = schema_table(translate, |name| match name {
        "map" | "open object" | "names by pattern" | "object without properties" => {
            "no `additionalProperties`; HTTP 400 (browser-use 3786, 2025-12)"
        }
        "enum of numbers" | "enum of objects" => "\"of Type.STRING\"",
        _ => "Schema reference, 2026",
    });
    let documented = include_str!("../../../docs.md");
    assert!(
        documented.contains(&table),
        "docs.md lacks this table:\n{table}"
    );
}

#[test]
fn a_schema_is_converted() {
    for (schema, expected) in [
        (
            json!({"type": "object", "$schema": "s", "additionalProperties": false, "properties": {"a": {"type": "integer", "minimum": 1}}, "required": ["a"]}),
            json!({"type": "OBJECT", "properties": {"a": {"type": "INTEGER", "minimum": 1}}, "required": ["a"]}),
        ),
        (
            json!({"type": ["string", "null"], "format": "uuid"}),
            json!({"nullable": true, "type": "STRING", "description": "{format: \"uuid\"}"}),
        ),
        (
            json!({"type": ["string", "integer"]}),
            json!({"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}),
        ),
        (
            json!({"anyOf": [{"type": "number"}, {"type": "null"}]}),
            json!({"nullable": true, "type": "NUMBER"}),
        ),
        (
            json!({"description": "outer", "anyOf": [{"type": "number", "description": "inner"}, {"type": "null"}]}),
            json!({"description": "outer", "nullable": true, "type": "NUMBER"}),
        ),
        (
            json!({"oneOf": [{"type": "number"}, {"const": "x"}]}),
            json!({"anyOf": [{"type": "NUMBER"}, {"type": "STRING", "enum": ["x"]}]}),
        ),
        (
            json!({"$defs": {"d": {"enum": ["a", "b"]}}, "type": "array", "items": {"$ref": "#/$defs/d"}}),
            json!({"type": "ARRAY", "items": {"type": "STRING", "enum": ["a", "b"]}}),
        ),
        (
            json!({"enum": [1, 2]}),
            json!({"type": "INTEGER", "description": "{enum: [1,2]}"}),
        ),
        (
            json!({"enum": ["a", null]}),
            json!({"type": "STRING", "nullable": true, "enum": ["a"]}),
        ),
        (
            json!({"allOf": [{"type": "string"}, {"minLength": 2}]}),
            json!({"type": "STRING", "minLength": 2}),
        ),
        (json!({"type": "null"}), json!({"type": "NULL"})),
        (
            json!({"properties": {"x": true}}),
            json!({"type": "OBJECT", "properties": {"x": {}}}),
        ),
        (
            json!({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false}),
            json!({"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}, "description": "{items: false}"}),
        ),
    ] {
        assert_eq!(convert(&schema).unwrap(), expected, "{schema}");
    }
}

#[test]
fn unsupported_schemas_are_refused_with_their_location() {
    let text = json!({"type": "string"});
    let within = |schema: Value| json!({"type": "object", "properties": {"m": schema}});
    for (schema, words) in [
        (json!({"$ref": "#"}), "contains itself"),
        (
            json!({"properties": {"next": {"$ref": "#"}}}),
            "contains itself",
        ),
        (
            within(json!({"type": "object", "additionalProperties": text})),
            "such as #/properties/m by its \"additionalProperties\"",
        ),
        (
            within(
                json!({"type": "object", "properties": {"a": text}, "additionalProperties": true}),
            ),
            "such as #/properties/m by",
        ),
        (
            within(json!({"type": "object", "patternProperties": {"^x": text}})),
            "such as #/properties/m by its \"patternProperties\"",
        ),
        (
            within(json!({"type": ["object", "null"]})),
            "such as #/properties/m by its \"type\"",
        ),
        (
            within(json!({"type": "array", "items": {"type": "object"}})),
            "such as #/properties/m/items by",
        ),
        (
            json!({"type": "object", "properties": {"m": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"type": "object"}}}),
            "such as #/properties/m by",
        ),
    ] {
        let message = convert(&schema).unwrap_err();
        assert!(message.contains(words), "{schema}: {message}");
        let lenient = ResponseSchema::new(&schema).with_mode(SchemaMode::Lenient);
        assert!(translate(&lenient).unwrap().schema.is_none());
    }
}
