//! Changes to what a provider says that must change nothing.

use serde_json::{Map, Value, json};

/// Adds a member that nobody knows to every object.
pub(crate) fn with_unknown_members(value: Value) -> Value {
    objects(value, &|object| {
        object.insert("contract_unknown".into(), json!({"news": [1, null, "x"]}));
    })
}

/// Turns the members of every object round.
pub(crate) fn turned_round(value: Value) -> Value {
    objects(value, &|object| {
        let members: Vec<_> = std::mem::take(object).into_iter().rev().collect();
        object.extend(members);
    })
}

/// Writes every number below as a string.
pub(crate) fn numbers_as_strings(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Array(list) => list.iter_mut().for_each(numbers_as_strings),
        Value::Object(object) => object.values_mut().for_each(numbers_as_strings),
        _ => {}
    }
}

/// Takes away what stands at a pointer.
pub(crate) fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer");
    if let Some(Value::Object(object)) = value.pointer_mut(parent) {
        object.shift_remove(name);
    }
}

fn objects(value: Value, change: &dyn Fn(&mut Map<String, Value>)) -> Value {
    match value {
        Value::Array(list) => list.into_iter().map(|one| objects(one, change)).collect(),
        Value::Object(object) => {
            let mut object: Map<String, Value> = object
                .into_iter()
                .map(|(name, one)| (name, objects(one, change)))
                .collect();
            change(&mut object);
            Value::Object(object)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_reach_every_object_and_nothing_else() {
        let value = json!({"a": [{"b": 1}], "c": "x"});
        let unknown = with_unknown_members(value.clone());
        assert!(unknown["contract_unknown"].is_object());
        assert!(unknown["a"][0]["contract_unknown"].is_object());
        assert_eq!(
            turned_round(value.clone()).to_string(),
            r#"{"c":"x","a":[{"b":1}]}"#
        );
        let mut changed = value;
        numbers_as_strings(&mut changed);
        assert_eq!(changed["a"][0]["b"], "1");
        remove(&mut changed, "/a");
        assert_eq!(changed, json!({"c": "x"}));
    }
}
