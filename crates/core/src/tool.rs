//! What a model may call, and what its answer must look like.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::JsonBuf;

/// Something the model may call. The call comes back as an item of the answer; nothing is run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for, in the model's reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The JSON Schema of its arguments.
    pub parameters: JsonBuf,
    /// Whether the provider is to hold the model to the schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

impl Tool {
    /// A tool whose arguments follow a JSON Schema.
    pub fn new(name: impl Into<String>, parameters: &Value) -> Self {
        Self {
            name: name.into(),
            description: None,
            parameters: JsonBuf::from_value(parameters),
            strict: None,
        }
    }

    /// What it is for.
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must call one.
    Required,
    /// It must call this one.
    Tool(String),
}

/// What an answer must look like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResponseSchema {
    /// A name for it, of `[A-Za-z0-9_-]{1,64}`.
    pub name: String,
    /// The JSON Schema.
    pub schema: JsonBuf,
}

impl ResponseSchema {
    /// A JSON Schema; its title is its name where that is legal, else `response`.
    pub fn new(schema: &Value) -> Self {
        let legal = |name: &&str| {
            (1..=64).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        let title = schema.get("title").and_then(Value::as_str).filter(legal);
        Self {
            name: title.unwrap_or("response").to_owned(),
            schema: JsonBuf::from_value(schema),
        }
    }

    /// The schema of a type.
    pub fn of<T: JsonSchema>() -> Self {
        Self::new(schemars::schema_for!(T).as_value())
    }
}
