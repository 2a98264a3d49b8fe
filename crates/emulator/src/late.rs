//! Members of JSON responses that are hidden or set: results that become visible late, and unusual numbers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Results that an ended batch does not show yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// The successful rows: OpenAI's `output_file_id`, Anthropic's `results_url`, Gemini's `responsesFile` or
    /// `inlinedResponses`.
    Output,
    /// The failed rows: OpenAI's `error_file_id`. The other providers keep all rows together.
    Errors,
    /// All results of the batch.
    #[default]
    Both,
}

/// Returns the items of a list response, or the response itself.
fn items(answer: &mut Value) -> Vec<&mut Value> {
    let name = ["data", "operations", "files"]
        .into_iter()
        .find(|name| answer.get(name).is_some_and(Value::is_array));
    match name.and_then(|name| answer.get_mut(name)) {
        Some(Value::Array(items)) => items.iter_mut().collect(),
        _ => Vec::new(),
    }
}

impl Late {
    /// Hides results in a response; false if none of its batches shows any.
    pub(crate) fn hide(self, answer: &mut Value, empty: bool) -> bool {
        if answer.get("data").or(answer.get("operations")).is_none() {
            return self.hide_in(answer, empty);
        }
        let items = items(answer).into_iter();
        {
            let hidden = items.filter_map(|item| self.hide_in(item, empty).then_some(()));
            hidden.count() > 0
        }
    }

    fn hide_in(self, batch: &mut Value, empty: bool) -> bool {
        let mut hidden = false;
        let nothing = if empty { json!("") } else { Value::Null };
        let (output, errors) = (self != Self::Errors, self != Self::Output);
        for (name, wanted) in [
            ("output_file_id", output),
            ("error_file_id", errors),
            ("results_url", output),
        ] {
            if let Some(member) = batch.get_mut(name)
                && wanted
                && !member.is_null()
            {
                *member = nothing.clone();
                hidden = true;
            }
        }
        for (parent, name) in [("/metadata", "output"), ("", "response")] {
            let members = batch.pointer_mut(parent).and_then(Value::as_object_mut);
            let Some(members) = members.filter(|_| output) else {
                continue;
            };
            let Some(place) = members.get_mut(name).filter(|place| {
                place.get("responsesFile").is_some() || place.get("inlinedResponses").is_some()
            }) else {
                continue;
            };
            hidden = true;
            if !empty {
                members.remove(name);
            } else if place.get("responsesFile").is_some() {
                place["responsesFile"] = json!("");
            } else {
                place["inlinedResponses"] = json!({});
            }
        }
        hidden
    }
}

/// Sets the member at a JSON pointer, in each item of a list; false if the member's parent is absent.
pub(crate) fn rewrite(answer: &mut Value, pointer: &str, value: &Value) -> bool {
    let first = pointer.split('/').nth(1).unwrap_or_default();
    if answer.get(first).is_none() {
        let items = items(answer);
        if !items.is_empty() {
            let set = items.into_iter().map(|item| set(item, pointer, value));
            return set.filter(|set| *set).count() > 0;
        }
    }
    set(answer, pointer, value)
}

fn set(value: &mut Value, pointer: &str, new: &Value) -> bool {
    if let Some(member) = value.pointer_mut(pointer) {
        *member = new.clone();
        return true;
    }
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        return false;
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            let name = name.replace("~1", "/").replace("~0", "~");
            members.insert(name, new.clone());
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_set_in_the_answer_or_in_each_item_of_its_list() {
        let mut batch = json!({"id": "b", "created_at": 1, "counts": {"total": 2}});
        assert!(rewrite(&mut batch, "/created_at", &json!(-5)));
        assert!(rewrite(&mut batch, "/counts/a~1b", &json!(0)));
        assert_eq!(
            batch,
            json!({"id": "b", "created_at": -5, "counts": {"total": 2, "a/b": 0}})
        );
        assert!(!rewrite(&mut batch, "/none/x", &json!(0)));
        let mut list = json!({"data": [{"created_at": 1}, {}], "has_more": true});
        assert!(rewrite(&mut list, "/created_at", &json!(i64::MAX)));
        assert!(rewrite(&mut list, "/has_more", &json!(false)));
        let set = json!({"created_at": i64::MAX});
        assert_eq!(list, json!({"data": [set, set], "has_more": false}));
    }
}
