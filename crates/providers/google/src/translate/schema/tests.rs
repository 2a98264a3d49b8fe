use lmbatch_core::SchemaMode;
use lmbatch_testing::schema_table;

use super::*;

#[test]
fn the_table_of_schemas_in_the_documentation_is_what_is_sent() {
    let table = schema_table(translate, |name| match name {
        "recursion" | "required recursion" => "reference: \"only within non-required properties\"",
        "$ref beside a description" => "reference: \"no other properties\" beside `$ref`",
        "oneOf" => "reference: \"interpreted the same as anyOf\"",
        _ => "reference of `responseJsonSchema`",
    });
    let documented = include_str!("../../../docs.md");
    assert!(
        documented.contains(&table),
        "docs.md lacks this table:\n{table}"
    );
}

#[test]
fn a_schema_may_contain_itself_where_that_may_be_left_out() {
    let node = |required: Value| json!({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}, "required": required}}});
    for (schema, is_taken) in [
        (node(json!([])), true),
        (node(json!(["next"])), false),
        (json!({"type": "array", "items": {"$ref": "#"}}), false),
        (
            json!({"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#"}}}}),
            true,
        ),
        (
            json!({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["a"]}),
            false,
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"$ref": "#"}}, "required": ["b"]}}}),
            true,
        ),
    ] {
        let strict = ResponseSchema::new(&schema);
        assert_eq!(translate(&strict).is_ok(), is_taken, "{schema}");
        let sent = translate(&strict.with_mode(SchemaMode::Lenient)).unwrap();
        assert_eq!(sent.schema.is_some(), is_taken, "{schema}");
    }
}

#[test]
fn a_map_is_sent_as_it_is() {
    let schema = json!({"type": "object", "properties": {"m": {"type": "object", "additionalProperties": {"type": "string"}}}, "required": ["m"]});
    let sent = translate(&ResponseSchema::new(&schema)).unwrap();
    assert_eq!(sent.schema.unwrap().to_value(), schema);
    assert!(sent.notes.is_empty());
}
