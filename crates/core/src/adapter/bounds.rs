//! Upper bounds of the tokens of an encoded request, from its bytes and the members that limit its output.

use serde_json::{Map, Value};

/// Tokens that one image can have at most, beyond its bytes. The largest known number is 48,169: an image in
/// full detail for a small model (a provider's guide to images, 2026).
const IMAGE: u64 = 50_000;

/// Tokens that a provider adds for tools and schemas, beyond their bytes. The largest published number is 804,
/// for tools (a provider's guide to tool use, 2026).
const HIDDEN: u64 = 1_024;

/// Members that hold a schema or the values of one, which are text to the model. Names within them are the
/// caller's own.
const SCHEMAS: &[&str] = &[
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "input_schema",
    "schema",
    "json_schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "arguments",
    "args",
    "metadata",
];

/// Upper bounds of the tokens for which a provider can charge one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenBounds {
    /// Model that the request names; `None` where only the batch names it.
    pub model: Option<String>,
    /// Largest number of input tokens. `None` where the request uses content that is not in it, such as a file
    /// at the provider, or a kind of content of which bytes are no bound, such as a document.
    pub input: Option<u64>,
    /// `true` where input may be written to a cache at a price of its own.
    pub writes_cache: bool,
    /// Largest number of output tokens of one answer, reasoning included; `None` without a limit.
    pub output: Option<u64>,
    /// Number of answers that the request asks for, at least 1. Each can have `output` tokens.
    pub answers: u64,
}

impl TokenBounds {
    /// Creates the bounds of a text of `bytes` bytes, whose output has no limit: a token has at least one byte.
    pub fn of_text(bytes: usize) -> Self {
        Self {
            input: Some(bytes as u64),
            answers: 1,
            ..Self::default()
        }
    }
}

/// Names of members by which [`BoundRules::bounds`] bounds the tokens of an encoded request.
#[derive(Debug, Clone, Copy, Default)]
pub struct BoundRules {
    /// Member of the row that holds the body, such as `body`.
    pub body: &'static str,
    /// Paths in the body to the largest number of output tokens.
    pub output: &'static [&'static [&'static str]],
    /// Paths in the body to the number of answers.
    pub answers: &'static [&'static [&'static str]],
    /// Values of `type` that mark an image.
    pub images: &'static [&'static str],
    /// Beginnings of values of `type` that mark content without a bound, such as documents.
    pub unbounded_types: &'static [&'static str],
    /// Members of the body, such as a stored prompt, that add input or change the price of the request.
    pub unbounded: &'static [&'static str],
    /// Members of the body that add input where their value is an object, such as a stored prompt.
    pub unbounded_objects: &'static [&'static str],
    /// Members of the body that change the price, each with the values that do not.
    pub priced_values: &'static [(&'static str, &'static [&'static str])],
    /// Members at any place that name content outside of the request.
    pub unbounded_anywhere: &'static [&'static str],
    /// Values of `type` of tools that the caller runs; all others run at the provider, and add input.
    pub own_tools: &'static [&'static str],
    /// Members of tools that the caller runs, where tools have no `type`; empty where they have.
    pub own_tool_members: &'static [&'static str],
    /// Members that hold inline data with a member `mimeType` or `mime_type`, of which only images have a bound.
    pub inline_data: &'static [&'static str],
    /// Member at any place that asks for a cache write.
    pub cache: &'static str,
}

impl BoundRules {
    /// Returns the bounds of an encoded request. A row that cannot be read has no bound of its input.
    pub fn bounds(&self, row: &[u8]) -> TokenBounds {
        let row = row.trim_ascii();
        let value: Option<Value> = serde_json::from_slice(row).ok();
        let body = value.as_ref().and_then(|value| value.get(self.body));
        let Some(Value::Object(body)) = body else {
            return TokenBounds {
                answers: 1,
                ..TokenBounds::default()
            };
        };
        let largest = |paths: &[&[&str]]| {
            let found = paths.iter().filter_map(|path| at(body, path));
            found.max()
        };
        let mut found = Found::new(self);
        found.tools(body);
        found.is_unbounded |= self.unbounded.iter().any(|name| {
            let member = body.get(*name);
            member.is_some_and(|member| !member.is_null())
        });
        let mut objects = self.unbounded_objects.iter();
        found.is_unbounded |= objects.any(|name| body.get(*name).is_some_and(Value::is_object));
        found.is_unbounded |= self.priced_values.iter().any(|(name, usual)| {
            let value = body.get(*name).filter(|value| !value.is_null());
            value.is_some_and(|value| value.as_str().is_none_or(|value| !usual.contains(&value)))
        });
        found.object(body, 0);
        let hidden = if found.has_schema { HIDDEN } else { 0 };
        let input = (row.len() as u64)
            .saturating_add(hidden)
            .saturating_add(found.images.saturating_mul(IMAGE));
        TokenBounds {
            model: body.get("model").and_then(Value::as_str).map(str::to_owned),
            input: (!found.is_unbounded).then_some(input),
            writes_cache: found.writes_cache,
            output: largest(self.output),
            answers: largest(self.answers).unwrap_or(1).max(1),
        }
    }
}

/// Returns the number at a path; `None` where there is none.
fn at(body: &Map<String, Value>, path: &[&str]) -> Option<u64> {
    let (last, folders) = path.split_last()?;
    let mut object = body;
    for name in folders {
        object = object.get(*name)?.as_object()?;
    }
    let value = object.get(*last)?;
    // A number that is no whole one is refused by the provider.
    value
        .as_u64()
        .or_else(|| value.as_f64().map(|number| number.ceil() as u64))
}

/// Content of a body that decides about its bound.
struct Found<'a> {
    rules: &'a BoundRules,
    images: u64,
    is_unbounded: bool,
    has_schema: bool,
    writes_cache: bool,
}

impl<'a> Found<'a> {
    fn new(rules: &'a BoundRules) -> Self {
        Self {
            rules,
            images: 0,
            is_unbounded: false,
            has_schema: false,
            writes_cache: false,
        }
    }

    /// Looks for tools that run at the provider.
    fn tools(&mut self, body: &Map<String, Value>) {
        let tools = body.get("tools").and_then(Value::as_array);
        for tool in tools.into_iter().flatten() {
            self.has_schema = true;
            let Value::Object(tool) = tool else {
                self.is_unbounded = true;
                continue;
            };
            let is_own = match self.rules.own_tool_members {
                [] => match tool.get("type") {
                    Some(kind) => kind
                        .as_str()
                        .is_some_and(|kind| self.rules.own_tools.contains(&kind)),
                    None => true,
                },
                own => tool.keys().all(|name| own.contains(&name.as_str())),
            };
            self.is_unbounded |= !is_own;
        }
    }

    fn object(&mut self, object: &Map<String, Value>, depth: u32) {
        let rules = self.rules;
        if let Some(kind) = object.get("type").and_then(Value::as_str) {
            self.images += u64::from(rules.images.contains(&kind));
            let mut unbounded = rules.unbounded_types.iter();
            // A document whose source is text is bounded by its bytes.
            let is_text = || {
                object.get("source").and_then(|source| source.get("type"))
                    == Some(&Value::from("text"))
            };
            self.is_unbounded |= unbounded.any(|prefix| kind.starts_with(prefix)) && !is_text();
        }
        for (name, value) in object {
            let name = name.as_str();
            if value.is_null() {
                continue;
            }
            self.writes_cache |= !rules.cache.is_empty() && name == rules.cache;
            self.is_unbounded |= rules.unbounded_anywhere.contains(&name);
            if rules.inline_data.contains(&name) {
                let kind = value.get("mimeType").or_else(|| value.get("mime_type"));
                let is_image = kind
                    .and_then(Value::as_str)
                    .is_some_and(|kind| kind.starts_with("image/"));
                self.images += u64::from(is_image);
                self.is_unbounded |= !is_image;
                continue;
            }
            // The input of a tool call is an object of the caller's own names; that of a request is a list.
            let is_call_input = name == "input" && value.is_object() && depth > 0;
            if SCHEMAS.contains(&name) || is_call_input {
                self.has_schema |= name != "metadata";
                continue;
            }
            self.value(value, depth + 1);
        }
    }

    fn value(&mut self, value: &Value, depth: u32) {
        match value {
            Value::Object(object) => self.object(object, depth),
            Value::Array(values) => values.iter().for_each(|value| self.value(value, depth)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: BoundRules = BoundRules {
        body: "body",
        output: &[&["max_tokens"], &["config", "maxTokens"]],
        answers: &[&["n"]],
        images: &["image"],
        unbounded_types: &["document", "web_"],
        unbounded: &["conversation"],
        unbounded_objects: &["prompt"],
        priced_values: &[("tier", &["auto"])],
        unbounded_anywhere: &["file_id"],
        own_tools: &["function"],
        own_tool_members: &[],
        inline_data: &["inlineData"],
        cache: "cache_control",
    };

    #[test]
    fn input_is_bounded_by_bytes_images_and_hidden_prompts() {
        let text = r#"{"id":"a","body":{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"Hi"}]}}"#;
        let bytes = text.len() as u64;
        let plain = TokenBounds {
            model: Some("m".into()),
            input: Some(bytes),
            writes_cache: false,
            output: Some(7),
            answers: 1,
        };
        assert_eq!(RULES.bounds(text.as_bytes()), plain);
        for (member, input, output, answers) in [
            (r#""n":3"#, Some(0), None, 3),
            (r#""n":0"#, Some(0), None, 1),
            (r#""config":{"maxTokens":9}"#, Some(0), Some(9), 1),
            (
                r#""max_tokens":3,"config":{"maxTokens":9}"#,
                Some(0),
                Some(9),
                1,
            ),
            (
                r#""content":[{"type":"image","url":"https://x"}]"#,
                Some(IMAGE),
                None,
                1,
            ),
            (
                r#""content":[{"type":"image"},{"type":"image"}]"#,
                Some(2 * IMAGE),
                None,
                1,
            ),
            (
                r#""parts":[{"inlineData":{"mimeType":"image/png","data":""}}]"#,
                Some(IMAGE),
                None,
                1,
            ),
            (
                r#""parts":[{"inlineData":{"mimeType":"audio/wav","data":""}}]"#,
                None,
                None,
                1,
            ),
            (
                r#""content":[{"type":"document","source":{"type":"base64"}}]"#,
                None,
                None,
                1,
            ),
            (
                r#""content":[{"type":"document","source":{"type":"text"}}]"#,
                Some(0),
                None,
                1,
            ),
            (r#""conversation":"c""#, None, None, 1),
            (r#""prompt":{"id":"p"}"#, None, None, 1),
            (r#""prompt":"text""#, Some(0), None, 1),
            (r#""tier":"priority""#, None, None, 1),
            (r#""tier":"auto""#, Some(0), None, 1),
            (r#""conversation":null"#, Some(0), None, 1),
            (
                r#""content":[{"type":"text","x":{"file_id":"f"}}]"#,
                None,
                None,
                1,
            ),
            (
                r#""tools":[{"type":"function","parameters":{"file_id":{"type":"web_"}}}]"#,
                Some(HIDDEN),
                None,
                1,
            ),
            (r#""tools":[{"type":"web_search_preview"}]"#, None, None, 1),
            (r#""tools":[{"name":"own"}]"#, Some(HIDDEN), None, 1),
            (r#""tools":["x"]"#, None, None, 1),
            (
                r#""content":[{"type":"call","input":{"file_id":"caller's own"}}]"#,
                Some(HIDDEN),
                None,
                1,
            ),
        ] {
            let row = format!(r#"{{"id":"a","body":{{{member}}}}}"#);
            let bounds = RULES.bounds(row.as_bytes());
            let input = input.map(|more| more + row.len() as u64);
            assert_eq!(
                (bounds.input, bounds.output, bounds.answers),
                (input, output, answers),
                "{row}"
            );
        }
        let cached = r#"{"body":{"system":[{"text":"a","cache_control":{"type":"ephemeral"}}]}}"#;
        assert!(RULES.bounds(cached.as_bytes()).writes_cache);
    }

    #[test]
    fn a_row_that_cannot_be_read_has_no_bound() {
        for row in ["", "{", "[]", r#"{"body":"x"}"#, r#"{"other":{}}"#] {
            let none = TokenBounds {
                answers: 1,
                ..TokenBounds::default()
            };
            assert_eq!(RULES.bounds(row.as_bytes()), none, "{row}");
        }
    }
}
