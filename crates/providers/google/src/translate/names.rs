//! Names of fields. Google's JSON has them in camelCase; the parser of input files is strict, and only
//! snake_case is known to be accepted (comments of two clients, 2026-02 to 2026-08).

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Spelling of member names on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// camelCase, as the API documents them.
    Camel,
    /// snake_case, as in protocol buffers.
    Snake,
}

/// Members whose content is the caller's own and is not respelled.
const OWN: [&str; 8] = [
    "responseSchema",
    "responseJsonSchema",
    "parameters",
    "parametersJsonSchema",
    "args",
    "response",
    "labels",
    "partMetadata",
];

impl Names {
    /// Returns the spelling of a name on this route.
    pub(super) fn pick(self, camel: &'static str, snake: &'static str) -> &'static str {
        match self {
            Self::Camel => camel,
            Self::Snake => snake,
        }
    }

    /// Converts the caller's parameters to the spelling of this route.
    pub(super) fn respell(self, value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(|value| self.respell(value)).collect(),
            Value::Object(members) => {
                let respelt = members.iter().map(|(name, value)| {
                    let value = if OWN.contains(&&*to_camel(name)) {
                        value.clone()
                    } else {
                        self.respell(value)
                    };
                    (self.spell(name), value)
                });
                Value::Object(respelt.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    /// Converts one name to the spelling of this route.
    pub(super) fn spell(self, name: &str) -> String {
        match self {
            Self::Camel => to_camel(name).into_owned(),
            Self::Snake => to_snake(name),
        }
    }
}

fn to_camel(name: &str) -> Cow<'_, str> {
    if !name.contains('_') {
        return Cow::Borrowed(name);
    }
    let mut parts = name.split('_');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        out.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    Cow::Owned(out)
}

fn to_snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_respelt_but_not_the_callers_own() {
        let value = json!({
            "generation_config": {"responseModalities": ["TEXT"], "responseSchema": {"my_field": {"aB": 1}}},
            "safetySettings": [{"category": "x_y", "some_thing": 1}],
            "labels": {"a_b": "c"},
        });
        assert_eq!(
            Names::Camel.respell(&value),
            json!({
                "generationConfig": {"responseModalities": ["TEXT"], "responseSchema": {"my_field": {"aB": 1}}},
                "safetySettings": [{"category": "x_y", "someThing": 1}],
                "labels": {"a_b": "c"},
            })
        );
        assert_eq!(
            Names::Snake.respell(&value),
            json!({
                "generation_config": {"response_modalities": ["TEXT"], "response_schema": {"my_field": {"aB": 1}}},
                "safety_settings": [{"category": "x_y", "some_thing": 1}],
                "labels": {"a_b": "c"},
            })
        );
    }
}
