//! Changes to responses that adapters must ignore.

use serde_json::{Map, Value, json};

/// Adds an unknown member to every object.
pub(crate) fn with_unknown_members(value: Value) -> Value {
    objects(value, &|object| {
        object.insert("contract_unknown".into(), json!({"news": [1, null, "x"]}));
    })
}

/// Reverses the order of the members in every object.
pub(crate) fn turned_round(value: Value) -> Value {
    objects(value, &|object| {
        let members: Vec<_> = std::mem::take(object).into_iter().rev().collect();
        object.extend(members);
    })
}

/// Converts every number in a value to a string.
pub(crate) fn numbers_as_strings(value: &mut Value) {
    match value {
        Value::Number(number) => *value = Value::String(number.to_string()),
        Value::Array(list) => list.iter_mut().for_each(numbers_as_strings),
        Value::Object(object) => object.values_mut().for_each(numbers_as_strings),
        _ => {}
    }
}

/// Returns JSON values that a member documented as something else may hold: each JSON type, numbers that are neither a
/// count nor a time, and a meaningless word.
///
/// ```
/// assert!(lmbatch_contract::odd_values().iter().any(|odd| odd.is_object()));
/// ```
pub fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(7),
        json!(1.5),
        json!(i64::MAX),
        json!(-1),
        json!(true),
        json!("odd"),
        json!([]),
        json!(["a"]),
        json!({"a": 1}),
    ]
}

/// Returns the JSON pointers to all non-null members of objects in `value`, except inside lists.
pub(crate) fn members(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, member) in value.as_object().into_iter().flatten() {
        let name = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if !member.is_null() {
            let inner = members(member).into_iter();
            found.extend(inner.map(|inner| format!("{name}{inner}")));
            found.push(name);
        }
    }
    found
}

/// Removes the member at a JSON pointer.
pub(crate) fn remove(value: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').expect("a JSON pointer");
    if let Some(Value::Object(object)) = value.pointer_mut(parent) {
        object.shift_remove(&*name.replace("~1", "/").replace("~0", "~"));
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

    #[test]
    fn members_are_those_of_objects_that_hold_something() {
        let value = json!({"a": {"b": 1, "c": null}, "d": [{"e": 1}], "f/g": "x"});
        let mut found = members(&value);
        found.sort_unstable();
        assert_eq!(found, ["/a", "/a/b", "/d", "/f~1g"]);
        assert!(found.iter().all(|at| value.pointer(at).is_some()));
    }
}
