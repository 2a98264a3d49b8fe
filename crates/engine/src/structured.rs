//! Structured answers: taken out of the text, and checked against their schema.

use std::borrow::Cow;

use lmbatch_core::{ItemView, Json, OutputView, compact};

use crate::answer::Structured;
#[cfg(feature = "schema")]
use crate::schema::{Compiled, compile};

/// Checks answers, keeping the last schema compiled: a run mostly has one.
#[derive(Default)]
pub(crate) struct Checker {
    #[cfg(feature = "schema")]
    last: Option<(Box<str>, Option<Compiled>)>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").finish_non_exhaustive()
    }
}

impl Checker {
    /// The structured value of `output`, if it is JSON and fits `schema`.
    pub(crate) fn check(&mut self, output: &OutputView<'_>, schema: &str) -> Structured<'static> {
        let mut text = String::new();
        for item in &output.items {
            if let ItemView::Text(piece) = item {
                text.push_str(&piece.decode());
            }
        }
        let compact = compact(text.trim());
        if Json::new(&compact).is_err() || !self.fits(schema, &compact) {
            return Structured::Absent;
        }
        Structured::Value(Cow::Owned(compact.into_owned()))
    }

    #[cfg(feature = "schema")]
    fn fits(&mut self, schema: &str, value: &str) -> bool {
        if self.last.as_ref().is_none_or(|(last, _)| **last != *schema) {
            let compiled = serde_json::from_str(schema)
                .ok()
                .and_then(|schema| compile(&schema).ok());
            self.last = Some((schema.into(), compiled));
        }
        let Some((_, Some(validator))) = &self.last else {
            // Refused when requests are planned; a record of an older version may hold one. An answer that
            // cannot be checked is not passed off as one that fits.
            return false;
        };
        serde_json::from_str(value).is_ok_and(|value| validator.is_valid(&value))
    }

    #[cfg(not(feature = "schema"))]
    fn fits(&mut self, _: &str, _: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{FinishReason, Text};

    use super::*;

    fn check(text: &str, schema: &str) -> Option<String> {
        let output = OutputView {
            items: vec![ItemView::Text(Text::Plain(text))],
            finish_reason: FinishReason::Stop,
            usage: None,
            model: None,
            response_id: None,
            problem: None,
        };
        match Checker::default().check(&output, schema) {
            Structured::Value(value) => Some(value.into_owned()),
            Structured::Absent => None,
            Structured::NotAsked => panic!("it was asked"),
        }
    }

    #[test]
    fn a_structured_answer_must_be_json_that_fits() {
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
    fn an_answer_that_cannot_be_checked_does_not_fit() {
        assert_eq!(check(r#"{"a":1}"#, r#"{"type":"objet"}"#), None);
    }
}
