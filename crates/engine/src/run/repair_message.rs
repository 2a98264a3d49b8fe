//! Message to the model about an answer that does not fit its schema.

use lmbatch_core::schemas::NOT_SENT;
use lmbatch_core::{BatchClass, BatchCodec, JsonBuf, ResponseSchema, SchemaError, SchemaMode};

/// Returns the message to the model about an answer, with the schema where the model has not seen it.
pub(crate) fn message(error: &SchemaError, unsent: Option<&str>) -> String {
    let error = error.to_string();
    let error = error.trim_end_matches('.');
    let again = match unsent {
        Some(schema) => format!("Answer again with JSON that fits this JSON Schema: {schema}"),
        None => "Answer again with JSON that fits the schema.".to_owned(),
    };
    format!("The answer does not fit the schema: {error}. {again}")
}

/// Schema that was checked last, and whether its requests hold it: most requests of a run share one.
#[derive(Debug, Default)]
pub(crate) struct SentSchemas {
    last: Option<(BatchClass, String, bool)>,
}

impl SentSchemas {
    /// Reports whether requests of a class do not hold their schema, since the provider does not take it.
    pub(crate) fn is_unsent(
        &mut self,
        codec: &dyn BatchCodec,
        class: &BatchClass,
        schema: &str,
    ) -> bool {
        if let Some((of, text, is_unsent)) = &self.last
            && of == class
            && text == schema
        {
            return *is_unsent;
        }
        let is_unsent = is_unsent(codec, class, schema);
        self.last = Some((class.clone(), schema.to_owned(), is_unsent));
        is_unsent
    }
}

fn is_unsent(codec: &dyn BatchCodec, class: &BatchClass, schema: &str) -> bool {
    let Ok(text) = JsonBuf::from_text(schema) else {
        return true;
    };
    // A strict schema that is not taken was refused before anything was sent.
    let mut lenient = ResponseSchema::named("response", &text.to_value());
    lenient.mode = SchemaMode::Lenient;
    match codec.schema_notes(class, &lenient) {
        Ok(notes) => notes.iter().any(|note| note.starts_with(NOT_SENT)),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_place_and_the_reason() {
        for (path, reason, expected) in [
            (
                "/mood",
                "7 is not of type \"string\"",
                "The answer does not fit the schema: at /mood: 7 is not of type \"string\". Answer again with JSON that fits the schema.",
            ),
            (
                "",
                "the answer is not JSON.",
                "The answer does not fit the schema: the answer is not JSON. Answer again with JSON that fits the schema.",
            ),
        ] {
            assert_eq!(message(&SchemaError::new(path, reason), None), expected);
        }
    }

    #[test]
    fn the_message_shows_a_schema_that_was_not_sent() {
        let error = SchemaError::new("", "the answer is not JSON");
        assert_eq!(
            message(&error, Some(r#"{"type":"object"}"#)),
            r#"The answer does not fit the schema: the answer is not JSON. Answer again with JSON that fits this JSON Schema: {"type":"object"}"#
        );
    }
}
