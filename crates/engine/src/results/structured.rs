//! Structured answers: extracted from the text, and validated against their schemas.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lmbatch_core::{ItemView, OutputView, SchemaError, Structured, compact};

use crate::schema::{Compiled, compile, misfit};

/// Number of compiled schemas that are kept; as many again of those used before are kept.
const KEPT: usize = 256;

/// Validator of answers. Each schema is compiled once, unless a run has hundreds of schemas.
#[derive(Default)]
pub(crate) struct Checker {
    last: Option<(Box<str>, CompiledSchema)>,
    recent: HashMap<Box<str>, CompiledSchema>,
    older: HashMap<Box<str>, CompiledSchema>,
    compiled: u64,
}

/// Compiled schema; `None` where it cannot be compiled.
type CompiledSchema = Option<Arc<Compiled>>;

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker")
            .field("compiled", &self.compiled)
            .finish_non_exhaustive()
    }
}

impl Checker {
    /// Returns the structured value of `output`, if it is JSON that matches `schema`; otherwise the
    /// position and the reason of the mismatch.
    pub(crate) fn check(&mut self, output: &OutputView<'_>, schema: &str) -> Structured<'static> {
        let mut text = String::new();
        for item in &output.items {
            if let ItemView::Text(piece) = item {
                text.push_str(&piece.decode());
            }
        }
        let invalid = |reason: String| Structured::Invalid(SchemaError::new("", reason));
        let text = text.trim();
        if text.is_empty() {
            return invalid("the answer has no text".to_owned());
        }
        let value: serde_json::Value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(error) => return invalid(format!("the answer is not JSON: {error}")),
        };
        let Some(compiled) = self.compiled(schema) else {
            // Such a schema is refused when requests are planned, but a record of an older version
            // may hold one. An answer that cannot be validated is not reported as valid.
            return invalid("the schema cannot be compiled".to_owned());
        };
        match misfit(&compiled, &value) {
            Some(error) => Structured::Invalid(error),
            None => Structured::Value(Cow::Owned(compact(text).into_owned())),
        }
    }

    fn compiled(&mut self, schema: &str) -> CompiledSchema {
        if let Some((last, known)) = &self.last
            && **last == *schema
        {
            return known.clone();
        }
        let known = match self.recent.get(schema) {
            Some(known) => known.clone(),
            None => {
                let known = match self.older.remove(schema) {
                    Some(known) => known,
                    None => {
                        self.compiled += 1;
                        let value = serde_json::from_str(schema).ok();
                        value.and_then(|value| compile(&value).ok()).map(Arc::new)
                    }
                };
                if self.recent.len() >= KEPT {
                    self.older = std::mem::take(&mut self.recent);
                }
                self.recent.insert(schema.into(), known.clone());
                known
            }
        };
        self.last = Some((schema.into(), known.clone()));
        known
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{FinishReason, Text};

    use super::*;

    fn output(text: &str) -> OutputView<'_> {
        OutputView {
            items: vec![ItemView::Text(Text::Plain(text))],
            finish_reason: FinishReason::Stop,
            usage: None,
            model: None,
            response_id: None,
            problem: None,
        }
    }

    fn check(text: &str, schema: &str) -> Option<String> {
        match Checker::default().check(&output(text), schema) {
            Structured::Value(value) => Some(value.into_owned()),
            Structured::Invalid(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_structured_answer_must_be_json_that_matches_its_schema() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"number"}},"required":["a"]}"#;
        for (text, expected) in [
            (r#"{"a":1.50}"#, Some(r#"{"a":1.50}"#)),
            (
                "{\n  \"a\": 1.50,\n \"b\": \"x \\\" y\"\n}\n",
                Some(r#"{"a":1.50,"b":"x \" y"}"#),
            ),
            (r#"{"a":"1"}"#, None),
            (r#"{"a":1"#, None),
            ("", None),
        ] {
            assert_eq!(check(text, schema).as_deref(), expected, "{text}");
        }
    }
    #[cfg(feature = "schema")]
    #[test]
    fn an_answer_to_a_schema_that_cannot_be_compiled_is_invalid() {
        assert_eq!(check(r#"{"a":1}"#, r#"{"type":"objet"}"#), None);
    }

    #[cfg(feature = "schema")]
    #[test]
    fn an_invalid_answer_has_the_position_and_the_reason() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer","minimum":1}},"on":{"type":"string","format":"date"}},"required":["a"],"additionalProperties":false}"#;
        for (text, path, words) in [
            (r#"{"a":[1,"2"]}"#, "/a/1", "integer"),
            (r#"{"a":[0]}"#, "/a/0", "minimum"),
            (r#"{"on":"2026-01-01"}"#, "", "\"a\" is a required property"),
            (r#"{"a":[],"b":1}"#, "", "b"),
            (r#"{"a":[],"on":"tomorrow"}"#, "/on", "date"),
            (r#"[1]"#, "", "object"),
            (r#"{"a":[1"#, "", "not JSON"),
            ("Sorry, no.", "", "not JSON"),
            ("", "", "no text"),
        ] {
            let Structured::Invalid(error) = Checker::default().check(&output(text), schema) else {
                panic!("{text} fits");
            };
            assert_eq!(error.path, path, "{text}: {error}");
            assert!(error.reason.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_schema_is_compiled_once_for_many_rows_and_a_few_hundred_are_kept() {
        let mut checker = Checker::default();
        let one = r#"{"type":"object"}"#;
        for _ in 0..1_000 {
            checker.check(&output("{}"), one);
        }
        assert_eq!(checker.compiled, 1);
        let many: Vec<String> = (0..KEPT)
            .map(|n| format!(r#"{{"maxProperties":{n}}}"#))
            .collect();
        for _ in 0..4 {
            for schema in &many {
                checker.check(&output("{}"), schema);
            }
        }
        assert_eq!(checker.compiled, 1 + KEPT as u64);
        assert!(checker.recent.len() + checker.older.len() <= 2 * KEPT);
    }
}
