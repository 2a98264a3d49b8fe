//! Lines with one value changed: each is a request or an error, and never a panic.

use super::dialects::{EVERYWHERE, requests};
use super::*;

/// Collects the JSON pointers of every value within a document.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(list) => {
            for (place, inner) in list.iter().enumerate() {
                places(inner, &format!("{at}/{place}"), found);
            }
        }
        Value::Object(members) => {
            for (name, inner) in members {
                places(inner, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Returns a document without the value at a place.
fn without(document: &Value, place: &str) -> Value {
    let mut document = document.clone();
    let (parent, name) = place.rsplit_once('/').unwrap_or_default();
    match document.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.remove(name)),
        Some(Value::Array(list)) => drop(list.remove(name.parse().unwrap())),
        _ => {}
    }
    document
}

#[test]
fn no_line_with_a_changed_value_panics() {
    let others = [
        json!(null),
        json!([]),
        json!({}),
        json!(-1),
        json!(1e30),
        json!("x"),
        json!([["x"]]),
        json!({"type": "text", "text": 7}),
    ];
    let mut models = EVERYWHERE.iter().cycle();
    let mut refused = 0;
    for (name, lines) in requests() {
        for line in lines {
            let mut found = Vec::new();
            places(&line, "", &mut found);
            for place in found {
                let changed = others.iter().map(|other| {
                    let mut changed = line.clone();
                    *changed.pointer_mut(&place).unwrap() = other.clone();
                    changed
                });
                for changed in changed.chain([without(&line, &place)]) {
                    let model = models.next().unwrap();
                    refused += u32::from(translated(model, &changed).is_err());
                }
            }
        }
        assert!(refused > 0, "{name}");
    }
}

#[test]
fn no_truncated_line_panics() {
    for (_, lines) in requests() {
        for line in lines {
            let text = line.to_string();
            let cuts = (1..text.len()).filter(|cut| text.is_char_boundary(*cut));
            for cut in cuts {
                sent_with(&[], "openai/m", &text[..cut]).unwrap_err();
            }
        }
    }
}
