//! Table of the schemas that each provider supports, in the page of the book, compared with what the codecs send.

use std::borrow::Cow;

use lmbatch::adapter::{BatchCodec, ContentView, GenerateView, MessageView, RequestView};
use lmbatch::{ErrorKind, Hyperparameters, ResponseSchema, Role};
use serde_json::{Value, json};

use crate::providers;

/// Name of a property that occurs in no request without a schema.
const CANARY: &str = "canary";

/// Schemas of the one property, by what they show.
fn of_properties() -> Vec<(&'static str, Value)> {
    let text = || json!({"type": "string"});
    let closed = |properties: Value, required: Value| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    let mut deep = text();
    for _ in 0..11 {
        deep = closed(json!({"x": deep}), json!(["x"]));
    }
    vec![
        (
            "object that is closed, every property required",
            closed(json!({"x": text()}), json!(["x"])),
        ),
        ("optional property", closed(json!({"x": text()}), json!([]))),
        (
            "open object",
            json!({"type": "object", "properties": {"x": text()}, "required": ["x"]}),
        ),
        (
            "map (`additionalProperties` with a schema)",
            json!({"type": "object", "additionalProperties": text()}),
        ),
        ("any value (`{}`)", json!({})),
        (
            "`[\"string\", \"null\"]`",
            json!({"type": ["string", "null"]}),
        ),
        ("`anyOf`", json!({"anyOf": [text(), {"type": "null"}]})),
        ("`oneOf`", json!({"oneOf": [text(), {"type": "integer"}]})),
        ("`allOf`", json!({"allOf": [text(), {"maxLength": 9}]})),
        ("`not`", json!({"type": "string", "not": {"const": "x"}})),
        ("`$ref` to `$defs`", json!({"$ref": "#/$defs/d"})),
        ("`enum`, `const`", json!({"enum": ["x", "y"]})),
        (
            "`minimum`, `maximum`",
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
        ),
        (
            "`minLength`, `maxLength`",
            json!({"type": "string", "minLength": 1, "maxLength": 9}),
        ),
        ("`pattern`", json!({"type": "string", "pattern": "^a"})),
        (
            "`format: date`",
            json!({"type": "string", "format": "date"}),
        ),
        (
            "`minItems`, `maxItems`",
            json!({"type": "array", "items": text(), "minItems": 2, "maxItems": 3}),
        ),
        (
            "tuple (`prefixItems`)",
            json!({"type": "array", "prefixItems": [text(), {"type": "integer"}]}),
        ),
        ("objects nested 12 deep", deep),
    ]
}

/// Complete schemas, by what they show.
fn of_roots() -> Vec<(&'static str, Value)> {
    let closed = json!({
        "type": "object", "properties": {CANARY: {"$ref": "#"}}, "required": [CANARY], "additionalProperties": false,
    });
    let mut optional = closed.clone();
    optional["required"] = json!([]);
    vec![
        ("recursion, required", closed),
        ("recursion, optional", optional),
        (
            "array as the root",
            json!({"type": "array", "items": {"type": "string"}}),
        ),
        (
            "`anyOf` as the root",
            json!({"anyOf": [{"type": "object", "properties": {CANARY: {"type": "string"}}}, {"type": "object"}]}),
        ),
    ]
}

fn schemas() -> Vec<(&'static str, Value)> {
    let whole = |(name, part)| {
        let whole = json!({
            "type": "object", "properties": {CANARY: part}, "required": [CANARY], "additionalProperties": false,
            "$defs": {"d": {"type": "string"}},
        });
        (name, whole)
    };
    let of_properties = of_properties().into_iter().map(whole);
    of_properties.chain(of_roots()).collect()
}

fn request(schema: Option<&ResponseSchema>) -> RequestView<'_> {
    RequestView::Generate(GenerateView {
        model: "m".into(),
        system: None,
        messages: vec![MessageView {
            role: Role::User,
            contents: vec![ContentView::Text("Hi".into())],
        }],
        tools: &[],
        tool_choice: None,
        schema,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    })
}

fn body(codec: &dyn BatchCodec, schema: Option<&ResponseSchema>) -> Value {
    let request = request(schema);
    let class = codec.class(&request).unwrap();
    let mut body = Vec::new();
    codec.body(&class, &request, &mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Returns the path to the object with the canary as a property.
fn place(value: &Value, path: &str) -> Option<String> {
    if value.pointer(&format!("/properties/{CANARY}")).is_some() {
        return Some(path.to_owned());
    }
    let members = value.as_object()?.iter();
    let mut found = members.filter_map(|(name, value)| {
        let dot = if path.is_empty() { "" } else { "." };
        place(value, &format!("{path}{dot}{name}"))
    });
    found.next()
}

/// Returns the part of a request that gives the schema to the provider.
fn means(codec: &dyn BatchCodec) -> String {
    let schema = ResponseSchema::new(&schemas()[0].1);
    let (with, without) = (body(codec, Some(&schema)), body(codec, None));
    match place(&with, "") {
        Some(place) => format!("`{place}`"),
        None if with != without => "JSON mode".to_owned(),
        None => "nothing".to_owned(),
    }
}

/// Returns what happens to a schema.
fn treatment(codec: &dyn BatchCodec, schema: &Value) -> &'static str {
    let schema = ResponseSchema::new(schema);
    let class = codec.class(&request(Some(&schema))).unwrap();
    match codec.schema_notes(&class, &schema) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            "**refused**"
        }
        Ok(notes) if notes.is_empty() => "yes",
        Ok(notes)
            if notes
                .iter()
                .any(|note| note.starts_with("sent without strict")) =>
        {
            "not strict"
        }
        Ok(_) => "rewritten",
    }
}

/// Returns the columns: each provider, and its routes apart where they differ.
fn columns(rows: &[(&'static str, Value)]) -> Vec<(String, Vec<String>)> {
    let mut columns = Vec::new();
    for provider in providers::all() {
        let routes = provider.routes().iter().map(|route| {
            let codec = provider.codec(route);
            let mut cells = vec![means(&*codec)];
            let each = rows.iter().map(|(_, schema)| treatment(&*codec, schema));
            cells.extend(each.map(str::to_owned));
            (*route, cells)
        });
        let routes: Vec<(&str, Vec<String>)> = routes.collect();
        let is_same = routes.iter().all(|(_, cells)| *cells == routes[0].1);
        match is_same {
            true => columns.push((provider.id().to_owned(), routes[0].1.clone())),
            false => columns.extend(
                routes
                    .into_iter()
                    .map(|(route, cells)| (format!("{} {route}", provider.id()), cells)),
            ),
        }
    }
    columns
}

#[test]
fn the_table_of_schemas_in_the_book_is_what_the_codecs_do() {
    let rows = schemas();
    let columns = columns(&rows);
    let line = |first: &str, cells: Vec<&str>| format!("| {first} | {} |\n", cells.join(" | "));
    let mut table = line("", columns.iter().map(|(name, _)| name.as_str()).collect());
    table.push_str(&line("---", vec!["---"; columns.len()]).replace(' ', ""));
    let names = std::iter::once("sent in").chain(rows.iter().map(|(name, _)| *name));
    for (at, name) in names.enumerate() {
        let cells = columns.iter().map(|(_, cells)| cells[at].as_str());
        table.push_str(&line(name, cells.collect()));
    }
    let page = include_str!("../../../docs/guide/structured-extraction.md");
    assert!(page.contains(&table), "the page lacks this table:\n{table}");
}
