use serde_json::json;

use super::*;
use crate::SchemaMode;

fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn a_recursive_schema_is_reported_with_its_place() {
    let node = |next: Value, required: Value| json!({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": next}, "required": required}}});
    let to_node = json!({"$ref": "#/$defs/node"});
    for (schema, all, required) in [
        (node(to_node.clone(), json!([])), Some("#/$defs/node"), None),
        (
            node(to_node.clone(), json!(["next"])),
            Some("#/$defs/node"),
            Some("#/$defs/node"),
        ),
        (
            node(
                json!({"anyOf": [to_node, {"type": "null"}]}),
                json!(["next"]),
            ),
            Some("#/$defs/node"),
            Some("#/$defs/node"),
        ),
        (json!({"properties": {"a": {"$ref": "#"}}}), Some("#"), None),
        (json!({"items": {"$ref": "#"}}), Some("#"), Some("#")),
        (
            json!({"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "null"}}}),
            None,
            None,
        ),
        (
            json!({"enum": [{"$ref": "#"}], "default": {"$ref": "#"}}),
            None,
            None,
        ),
        (
            json!({"properties": {"$ref": {"type": "string"}}}),
            None,
            None,
        ),
    ] {
        let found = |through| SchemaRoot::new(&schema).recursion(through).unwrap();
        assert_eq!(found(FollowedReferences::All).as_deref(), all, "{schema}");
        assert_eq!(
            found(FollowedReferences::Required).as_deref(),
            required,
            "{schema}"
        );
    }
}

#[test]
fn references_resolve_to_pointers_and_anchors_of_their_document() {
    let root = json!({"$defs": {"a/b": {"$anchor": "here", "type": "null"}}, "properties": {"$anchor": {"const": "here"}}});
    for (reference, is_found) in [
        ("#", true),
        ("#/$defs/a~1b", true),
        ("#/%24defs/a~1b", true),
        ("#here", true),
        ("#there", false),
        ("#/$defs/b", false),
        ("#%f", false),
        ("https://schemas.test/a.json", false),
        ("a.json#/$defs/a~1b", false),
    ] {
        assert_eq!(resolve(&root, reference).is_some(), is_found, "{reference}");
    }
}

#[test]
fn parts_of_all_of_are_merged_and_losses_are_noted() {
    let root = json!({"$defs": {"a": {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}}});
    let tree = SchemaRoot::new(&root);
    for (schema, flat, lost) in [
        (
            json!({"$ref": "#/$defs/a"}),
            json!({"$ref": "#/$defs/a"}),
            None,
        ),
        (
            json!({"description": "d", "$ref": "#/$defs/a"}),
            json!({"description": "d", "type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}),
            None,
        ),
        (
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {}}, "required": ["x", "y"]}]}),
            json!({"type": "object", "properties": {"x": {"type": "null"}, "y": {}}, "required": ["x", "y"]}),
            None,
        ),
        (
            json!({"pattern": "^a", "allOf": [{"pattern": "b$"}]}),
            json!({"pattern": "^a"}),
            Some("#/pattern"),
        ),
        (
            json!({"type": "string", "allOf": [{"type": "null"}]}),
            json!({"type": "string"}),
            Some("#/type"),
        ),
        (
            json!({"properties": {"x": {"type": "string"}}, "allOf": [{"$ref": "#/$defs/a"}]}),
            json!({"properties": {"x": {"type": "string"}}, "type": "object", "required": ["x"]}),
            Some("#/properties"),
        ),
    ] {
        let mut notes = SchemaChanges::default();
        let found = tree
            .flat(&members(&schema), "#", 0, false, &mut notes)
            .unwrap();
        assert_eq!(Value::Object(found), flat, "{schema}");
        assert_eq!(notes.first_lost().map(|(_, at)| at), lost, "{schema}");
    }
}

#[test]
fn references_that_double_at_every_level_are_refused_and_not_followed() {
    let mut definitions = Map::new();
    for level in 0..40 {
        let next = json!({"allOf": [{"$ref": format!("#/$defs/d{}", level + 1)}, {"$ref": format!("#/$defs/d{}", level + 1)}]});
        definitions.insert(format!("d{level}"), next);
    }
    definitions.insert("d40".to_owned(), json!({"type": "null"}));
    let root = json!({"$ref": "#/$defs/d0", "$defs": definitions});
    let error = SchemaRoot::new(&root)
        .flat(&members(&root), "#", 0, true, &mut SchemaChanges::default())
        .unwrap_err();
    assert!(
        error
            .message()
            .unwrap()
            .contains("once its references are followed")
    );
}

#[test]
fn endless_chains_of_references_are_refused() {
    let mut chain = Map::new();
    for level in 0..5_000 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        chain.insert(format!("d{level}"), next);
    }
    chain.insert("d5000".to_owned(), json!({"type": "null"}));
    for root in [
        json!({"$ref": "#/$defs/d0", "$defs": chain}),
        json!({"$ref": "#", "title": "t"}),
        json!({"allOf": [{"$ref": "#"}]}),
    ] {
        let flat = SchemaRoot::new(&root).flat(
            &members(&root),
            "#",
            0,
            true,
            &mut SchemaChanges::default(),
        );
        assert!(
            flat.unwrap_err().message().unwrap().contains("deep"),
            "{root}"
        );
    }
    assert!(
        SchemaRoot::new(&json!({"$ref": "#/$defs/d0", "$defs": chain}))
            .recursion(FollowedReferences::All)
            .is_err()
    );
}

#[test]
fn a_schema_is_rewritten_once_for_many_requests() {
    let (cache, made) = (Cache::default(), Cell::new(0));
    let make = |schema: &ResponseSchema| {
        made.set(made.get() + 1);
        SentSchema::refused(schema, "no")
    };
    let strict = ResponseSchema::new(&json!({"type": "object"}));
    let lenient = strict.clone().with_mode(SchemaMode::Lenient);
    assert!(cache.sent(&strict, 0, make).is_err());
    for _ in 0..9 {
        assert!(cache.sent(&lenient, 0, make).unwrap().schema.is_none());
    }
    assert_eq!(made.get(), 2);
    cache.sent(&lenient, 1, make).unwrap();
    assert_eq!(made.get(), 3);
}
