//! Tools that a model may call, and schemas that its answer must fit.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{JsonBuf, SchemaMode};

/// Tool that the model may call. The call comes back as an item of the answer; lmbatch does not run it.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::Tool;
/// let parameters = serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
/// let weather = Tool::new("weather", &parameters).with_description("The weather in a city.");
/// assert_eq!(weather.name, "weather");
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Name of the tool.
    pub name: String,
    /// Description of the tool, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of the tool's arguments.
    pub parameters: JsonBuf,
    /// Request to the provider to enforce the schema; the provider's default where it is `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl Tool {
    /// Creates a tool whose arguments follow a JSON Schema.
    pub fn new(name: impl Into<String>, parameters: &Value) -> Self {
        Self {
            name: name.into(),
            description: None,
            parameters: JsonBuf::from_value(parameters),
            strict: None,
        }
    }

    /// Creates a tool whose arguments are those of a Rust type. The tool has the name of the type, or `tool` where that
    /// is no legal name, and the doc comment of the type as its description.
    ///
    /// ```
    /// # use lmbatch_core as lmbatch;
    /// use lmbatch::Tool;
    ///
    /// /// The weather in a city.
    /// #[derive(schemars::JsonSchema)]
    /// struct Weather { city: String }
    ///
    /// let tool = Tool::of::<Weather>().with_name("weather");
    /// assert_eq!(tool.description.as_deref(), Some("The weather in a city."));
    /// ```
    pub fn of<T: JsonSchema>() -> Self {
        let schema = schemars::schema_for!(T);
        let schema = schema.as_value();
        let text = |member: &str| schema.get(member).and_then(Value::as_str);
        let name = text("title").filter(|title| is_legal(title));
        Self {
            description: text("description").map(str::to_owned),
            ..Self::new(name.unwrap_or("tool"), schema)
        }
    }

    /// Sets the name of the tool, which is not checked.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Asks the provider to enforce the schema of the arguments, or not to.
    pub fn with_strict(mut self, strict: bool) -> Self {
        self.strict = Some(strict);
        self
    }

    /// Sets the description of the tool, for the model.
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

impl fmt::Debug for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Choice of the model among its tools.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// # let tool = lmbatch::ToolChoice::Required;
/// use lmbatch::ToolChoice;
/// let this_one = ToolChoice::Tool("weather".into());
/// assert_ne!(this_one, ToolChoice::Auto);
/// assert_eq!(serde_json::to_string(&this_one)?, r#"{"tool":"weather"}"#);
/// assert_eq!(serde_json::to_string(&ToolChoice::Auto)?, r#""auto""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// The model may call a tool, or answer without one.
    Auto,
    /// The model must not call a tool.
    None,
    /// The model must call a tool, of its own choice.
    Required,
    /// The model must call the tool of this name.
    Tool(String),
}

/// Schema that a structured answer must fit.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::ResponseSchema;
///
/// #[derive(schemars::JsonSchema)]
/// struct Answer { number: i64 }
///
/// assert_eq!(ResponseSchema::of::<Answer>().name, "Answer");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponseSchema {
    /// Name of the schema, of the form `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// JSON Schema of the answer.
    pub schema: JsonBuf,
    /// Treatment where the provider supports only a part of the schema; strict by default.
    #[serde(default, skip_serializing_if = "SchemaMode::is_strict")]
    pub mode: SchemaMode,
}

impl ResponseSchema {
    /// Creates a response schema from a JSON Schema. The title of the schema is its name where it is legal,
    /// and otherwise `response`.
    pub fn new(schema: &Value) -> Self {
        let title = schema.get("title").and_then(Value::as_str);
        let title = title.filter(|title| is_legal(title));
        Self::named(title.unwrap_or("response"), schema)
    }

    /// Creates a response schema with a name, which is not checked.
    pub fn named(name: impl Into<String>, schema: &Value) -> Self {
        Self {
            name: name.into(),
            schema: JsonBuf::from_value(schema),
            mode: SchemaMode::default(),
        }
    }

    /// Sets the treatment where the provider supports only a part of the schema.
    pub fn with_mode(mut self, mode: SchemaMode) -> Self {
        self.mode = mode;
        self
    }

    /// Returns the JSON pointer to the schema inside a document that wraps one, as providers' APIs do, such
    /// as `{"name", "strict", "schema"}`; `None` where the document is itself a schema. As a schema, a
    /// wrapper would accept any value.
    ///
    /// ```
    /// use lmbatch_core::ResponseSchema;
    /// use serde_json::json;
    ///
    /// let sent = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}});
    /// assert_eq!(ResponseSchema::within(&sent).as_deref(), Some("/json_schema/schema"));
    /// assert_eq!(ResponseSchema::within(&json!({"type": "object"})), None);
    /// ```
    pub fn within(document: &Value) -> Option<String> {
        let mut place = String::new();
        let mut at = document;
        while let Some((member, inner)) = unwrap_schema(at) {
            place.push('/');
            place.push_str(member);
            at = inner;
        }
        (!place.is_empty()).then_some(place)
    }

    /// Creates the response schema of a Rust type.
    pub fn of<T: JsonSchema>() -> Self {
        Self::new(schemars::schema_for!(T).as_value())
    }
}

/// Member names under which the providers' APIs place a schema, directly or in a nested object.
const WRAPPER_MEMBERS: [&str; 18] = [
    "schema",
    "json_schema",
    "jsonSchema",
    "format",
    "text",
    "response_format",
    "output_config",
    "output_format",
    "generationConfig",
    "generation_config",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "input_schema",
    "parameters",
    "function",
    "body",
];

/// Member names that only a schema has.
const SCHEMA_MEMBERS: [&str; 11] = [
    "$ref",
    "properties",
    "required",
    "items",
    "prefixItems",
    "anyOf",
    "oneOf",
    "allOf",
    "enum",
    "const",
    "additionalProperties",
];

/// Returns the inner object of a document that wraps a schema, with the member that holds it.
fn unwrap_schema(document: &Value) -> Option<(&'static str, &Value)> {
    let members = document.as_object()?;
    let is_schema = members
        .keys()
        .any(|key| SCHEMA_MEMBERS.contains(&key.as_str()));
    let is_named =
        members.get("name").is_some_and(Value::is_string) || members.contains_key("strict");
    let is_typed = match members.get("type") {
        Some(Value::String(kind)) => crate::schemas::TYPES.contains(&kind.as_str()),
        other => other.is_some(),
    };
    if is_schema || (is_typed && !is_named) {
        return None;
    }
    let mut enclosing = WRAPPER_MEMBERS.into_iter();
    enclosing.find_map(|member| {
        let inner = members.get(member)?;
        inner.is_object().then_some((member, inner))
    })
}

fn is_legal(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_named_by_its_title_where_that_is_legal() {
        let long = "x".repeat(65);
        for (title, expected) in [
            (json!("Weather_1-a"), "Weather_1-a"),
            (json!("two words"), "response"),
            (json!(""), "response"),
            (json!(long), "response"),
            (json!(7), "response"),
            (Value::Null, "response"),
        ] {
            let schema = json!({"title": title});
            assert_eq!(ResponseSchema::new(&schema).name, expected, "{title}");
        }
        assert_eq!(ResponseSchema::new(&json!({})).name, "response");
        assert_eq!(
            ResponseSchema::named("mine", &json!({"title": "T"})).name,
            "mine"
        );
    }

    #[test]
    fn a_tool_round_trips_as_json_and_its_debug_shows_no_content() {
        let tool =
            Tool::new("weather", &json!({"about": "canary"})).with_description("canary\nline");
        let json = serde_json::to_string(&tool).unwrap();
        assert_eq!(serde_json::from_str::<Tool>(&json).unwrap(), tool);
        assert!(!tool.parameters.as_str().contains('\n'));
        let debug = format!("{tool:?}");
        assert!(
            debug.contains("weather") && !debug.contains("canary"),
            "{debug}"
        );
    }

    #[test]
    fn a_tool_of_a_type_has_its_name_its_doc_comment_and_its_schema() {
        /// The weather in a city.
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is used")]
        struct Weather {
            city: String,
        }
        let tool = Tool::of::<Weather>();
        assert_eq!(tool.name, "Weather");
        assert_eq!(tool.description.as_deref(), Some("The weather in a city."));
        assert_eq!(tool.parameters, ResponseSchema::of::<Weather>().schema);
        let unnamed = Tool::of::<Vec<Weather>>();
        assert_eq!(
            (&*unnamed.name, unnamed.description),
            ("Array_of_Weather", None)
        );
        assert_eq!(
            Tool::of::<std::collections::HashMap<String, (u8,)>>().strict,
            None
        );
    }
}
