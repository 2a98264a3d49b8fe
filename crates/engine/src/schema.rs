//! Checks JSON Schemas for structured output before anything is sent: a schema that cannot be
//! compiled would leave every answer unchecked.

use std::collections::HashSet;

use lmbatch_core::{BatchClass, BatchCodec, Json, RequestError, ResponseSchema, Tool};

mod check;
mod contradiction;
mod tools;

use check::check;

/// Number of valid schemas that are remembered. Most inputs have one; some have one for each
/// request.
const REMEMBERED: usize = 256;

/// Maximum number of sentences on changed schemas that are kept for an input; the others are only
/// counted.
const MOST_NOTES: usize = 16;
pub(crate) use check::{Compiled, compile, misfit};

/// Checks that answers can be validated against a schema: it is an object of JSON Schema keywords,
/// refers to nothing outside of itself, admits at least one value, and compiles.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the position in the
/// schema and the reason, such as an unknown `type`, a `$ref` without a target, a `pattern` that
/// is no regular expression or an `enum` without values.
pub fn check_schema(schema: &ResponseSchema) -> Result<(), RequestError> {
    let refused = |why: String| {
        RequestError::invalid_input(format!("the schema for answers cannot be used: {why}"))
    };
    check(&schema.schema, "an answer").map_err(refused)
}

/// Schemas of an input, each checked once, and the changes with which they are sent.
#[derive(Default)]
pub(crate) struct Schemas {
    last: Option<(ResponseSchema, BatchClass)>,
    good: HashSet<Box<str>>,
    last_tools: Option<(Vec<Tool>, BatchClass)>,
    good_lists: HashSet<Box<str>>,
    notes: Vec<String>,
    more: u64,
}

impl Schemas {
    /// Checks a schema, unless it is known to be valid.
    pub(crate) fn check(&mut self, schema: &ResponseSchema) -> Result<(), RequestError> {
        if self.last.as_ref().is_some_and(|(last, _)| last == schema) {
            return Ok(());
        }
        once(&mut self.good, schema.schema.as_str(), |_| {
            check_schema(schema)
        })
    }

    /// Checks the parameters of tools, unless they are known to be valid.
    pub(crate) fn check_tools(
        &mut self,
        codec: &dyn BatchCodec,
        class: &BatchClass,
        tools: &[Tool],
    ) -> Result<(), RequestError> {
        let is_last = |(last, of): &(Vec<Tool>, BatchClass)| last == tools && of == class;
        if tools.is_empty() || self.last_tools.as_ref().is_some_and(is_last) {
            return Ok(());
        }
        for tool in tools {
            tools::check(&tool.name, &tool.parameters)?;
            codec.check_tool(class, tool)?;
        }
        self.last_tools = Some((tools.to_vec(), class.clone()));
        Ok(())
    }

    /// Checks the tools in a body of the caller's own, where the place of their schemas is known.
    pub(crate) fn check_body(&mut self, body: Json<'_>) -> Result<(), RequestError> {
        tools::each_in_body(body.as_str(), |list| {
            once(&mut self.good_lists, list, tools::check_list)
        })
    }

    /// Keeps the changes that the provider's adapter makes to a schema when it is sent.
    pub(crate) fn note(
        &mut self,
        codec: &dyn BatchCodec,
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<(), RequestError> {
        let is_last = |(last, of): &(ResponseSchema, BatchClass)| last == schema && of == class;
        if self.last.as_ref().is_some_and(is_last) {
            return Ok(());
        }
        for note in codec.schema_notes(class, schema)? {
            if self.notes.contains(&note) {
                continue;
            }
            if self.notes.len() < MOST_NOTES {
                self.notes.push(note);
            } else {
                self.more += 1;
            }
        }
        self.last = Some((schema.clone(), class.clone()));
        Ok(())
    }

    /// Returns the changes, one sentence each.
    pub(crate) fn into_notes(mut self) -> Vec<String> {
        if self.more > 0 {
            self.notes.push(format!("and {} more", self.more));
        }
        self.notes
    }
}

/// Runs the check of a text, unless the text is known to be valid.
fn once(
    good: &mut HashSet<Box<str>>,
    text: &str,
    check: impl FnOnce(&str) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    if good.contains(text) {
        return Ok(());
    }
    check(text)?;
    if good.len() >= REMEMBERED {
        good.clear();
    }
    good.insert(text.into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refusal(schema: &Value) -> Option<String> {
        let error = check_schema(&ResponseSchema::new(schema)).err()?;
        Some(error.message().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_schema_that_constrains_nothing_is_refused_with_the_position_of_its_fault() {
        let of = |money: Value| json!({"type": "object", "required": ["total"], "properties": {"total": money}});
        for (schema, words) in [
            (of(json!({"type": "nubmer"})), "/properties/total/type"),
            (
                of(json!({"$ref": "#/$defs/Money"})),
                "#/properties/total/$ref: \"#/$defs/Money\" refers to a part",
            ),
            (
                of(json!({"$ref": "https://schemas.test/money.json"})),
                "#/properties/total/$ref: \"https://schemas.test/money.json\" refers outside",
            ),
            (of(json!({"$ref": "file:///etc/passwd"})), "refers outside"),
            (
                of(json!({"$ref": "https://json-schema.org/draft/2020-12/schema"})),
                "refers outside",
            ),
            (
                of(json!({"$ref": "money.json#/$defs/Money"})),
                "refers outside",
            ),
            (
                json!({"type": "object", "$defs": {"unused": {"items": {"$ref": "other.json"}}}}),
                "#/$defs/unused/items/$ref",
            ),
            (
                of(json!({"$dynamicRef": "https://schemas.test/#node"})),
                "$dynamicRef",
            ),
            (
                of(json!({"type": "string", "pattern": "(?<=x)y("})),
                "pattern",
            ),
            (of(json!({"minimum": "three"})), "/properties/total/minimum"),
            (
                of(json!({"type": ["null", "nubmer"]})),
                "at #/properties/total/type: \"nubmer\" is no type of JSON Schema; the types are array",
            ),
            (of(json!([])), "/properties/total"),
            (json!({"type": "object", "required": "total"}), "/required"),
            (json!(true), "not a JSON object"),
            (json!([{"type": "object"}]), "not a JSON object"),
            (json!("object"), "not a JSON object"),
            (
                json!({"a": {"type": "string"}, "b": {"type": "number"}}),
                "no keyword",
            ),
            (json!({"name": "Ada", "age": 36}), "no keyword"),
            (
                json!({"properites": {"a": {"type": "string"}}}),
                "properites",
            ),
        ] {
            let found = refusal(&schema).unwrap_or_default();
            assert!(found.contains(words), "{schema}: {found}");
        }
    }

    #[test]
    fn an_envelope_of_an_api_is_refused_with_the_position_of_the_schema() {
        let inner = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let named = json!({"name": "x", "strict": true, "schema": inner});
        let nested = json!({"type": "json_schema", "json_schema": named});
        let flat = json!({"type": "json_schema", "name": "x", "schema": inner});
        for (envelope, place) in [
            (named, "at /schema,"),
            (nested.clone(), "at /json_schema/schema,"),
            (flat.clone(), "at /schema,"),
            (
                json!({"response_format": nested}),
                "at /response_format/json_schema/schema,",
            ),
            (json!({"text": {"format": flat}}), "at /text/format/schema,"),
            (json!({"format": flat}), "at /format/schema,"),
            (
                json!({"output_config": {"format": {"type": "json_schema", "schema": inner}}}),
                "at /output_config/format/schema,",
            ),
            (
                json!({"responseMimeType": "application/json", "responseSchema": inner}),
                "at /responseSchema,",
            ),
            (
                json!({"generationConfig": {"responseJsonSchema": inner}}),
                "at /generationConfig/responseJsonSchema,",
            ),
            (
                json!({"name": "t", "description": "d", "input_schema": inner}),
                "at /input_schema,",
            ),
            (
                json!({"type": "function", "function": {"name": "f", "parameters": inner}}),
                "at /function/parameters,",
            ),
            (
                json!({"model": "m", "body": {"response_format": nested}}),
                "at /body/response_format/json_schema/schema,",
            ),
            (
                json!({"type": "object", "name": "x", "strict": true, "schema": inner}),
                "at /schema,",
            ),
        ] {
            let found = refusal(&envelope).unwrap_or_default();
            assert!(
                found.contains("envelope") && found.contains(place),
                "{envelope}: {found}"
            );
        }
    }

    #[test]
    fn an_ordinary_schema_is_accepted() {
        for schema in [
            json!({}),
            json!({"title": "Anything", "description": "at all"}),
            json!({"type": "object", "properties": {"schema": {"type": "string"}, "name": {"type": "string"}}}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$ref": "#/$defs/A", "$defs": {"A": {"type": "object"}}}),
            json!({"$schema": "http://json-schema.org/draft-07/schema#", "type": ["object", "null"]}),
            json!({"type": "string", "pattern": "(?<=x)y", "format": "date"}),
            json!({"anyOf": [{"type": "object"}, {"type": "null"}]}),
            json!({"type": "object", "properties": {"schema": {"type": "object"}, "strict": {"type": "boolean"}}, "title": "named"}),
            json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
            json!({"type": "object", "properties": {"a": {"$ref": "#here"}}, "$defs": {"a": {"$anchor": "here"}}}),
            json!({"enum": [{"$ref": "https://schemas.test"}, {"schema": {}}]}),
            json!({"type": "object", "properties": {"$ref": {"type": "string"}}, "default": {"$ref": "x"}}),
            json!({"type": "string", "format": "of-our-own"}),
            json!({"$id": "https://x.test/s.json", "type": "object", "properties": {"a": {"$ref": "https://x.test/s.json#/$defs/a"}}, "$defs": {"a": {"type": "string"}}}),
            json!({"type": "object", "properties": {"a": {"not": {"enum": []}}}}),
            json!({"type": "object", "properties": {"a": {"type": ["string", "null"], "enum": [null, "x"]}}}),
        ] {
            assert_eq!(refusal(&schema), None, "{schema}");
        }
        let mut schemas = Schemas::default();
        for number in 0..2 * REMEMBERED {
            let schema = json!({"type": "object", "maxProperties": number});
            schemas.check(&ResponseSchema::new(&schema)).unwrap();
        }
        assert!(schemas.good.len() <= REMEMBERED);
    }
}
