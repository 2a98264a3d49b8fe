//! Configuration of the provider.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Base URL of the Gemini Developer API.
///
/// ```
/// assert!(lmbatch_google::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// Way in which requests are sent.
///
/// ```
/// assert_eq!(lmbatch_google::Route::default(), lmbatch_google::Route::File);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Requests in an uploaded file of up to 2 GB.
    #[default]
    File,
    /// Requests in the create call itself, less than 20 MB.
    Inline,
}

impl Route {
    /// Returns the route as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Inline => "inline",
        }
    }
}

/// Request field that carries the schema of structured output.
///
/// ```
/// assert_eq!(lmbatch_google::SchemaField::default(), lmbatch_google::SchemaField::ByRoute);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaField {
    /// Field that works on the route: the JSON Schema in files, the converted schema inline.
    #[default]
    ByRoute,
    /// `responseJsonSchema`, with the unchanged JSON Schema.
    JsonSchema,
    /// `responseSchema`, with the schema converted to the subset of OpenAPI that Google accepts.
    OpenApi,
}

/// Safety setting: the threshold at which Google blocks content of a category.
///
/// ```
/// let off = lmbatch_google::SafetySetting::new("HARM_CATEGORY_HARASSMENT", "OFF");
/// assert_eq!(off.threshold, "OFF");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetySetting {
    /// Harm category, such as `HARM_CATEGORY_HARASSMENT`.
    pub category: String,
    /// Blocking threshold, such as `BLOCK_ONLY_HIGH`.
    pub threshold: String,
}

impl SafetySetting {
    /// Creates a safety setting for a category.
    pub fn new(category: impl Into<String>, threshold: impl Into<String>) -> Self {
        Self {
            category: category.into(),
            threshold: threshold.into(),
        }
    }
}

/// Configuration of the provider, as stored in configuration files.
///
/// ```
/// use lmbatch_google::{GoogleBuilder, GoogleConfig};
/// let mut config: GoogleConfig = serde_json::from_str(r#"{"route": "inline"}"#)?;
/// config.api_key = Some("k".to_owned().into());
/// GoogleBuilder::from(config).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct GoogleConfig {
    /// API key; it is never serialized.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Base URL without the API version.
    pub base_url: String,
    /// API version: `v1beta`, or `v1`, which Google's SDKs use since 2026-11-06.
    pub api_version: String,
    /// Way in which requests are sent: as a file or inline.
    pub route: Route,
    /// Request field that carries a schema.
    pub schema_field: SchemaField,
    /// Safety settings for every request; Google's defaults apply to other categories.
    pub safety_settings: Vec<SafetySetting>,
}

impl Default for GoogleConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: DEFAULT_BASE_URL.to_owned(),
            api_version: "v1beta".to_owned(),
            route: Route::default(),
            schema_field: SchemaField::default(),
            safety_settings: Vec::new(),
        }
    }
}

impl fmt::Debug for GoogleConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoogleConfig")
            .field("base_url", &self.base_url)
            .field("api_version", &self.api_version)
            .field("route", &self.route)
            .field("schema_field", &self.schema_field)
            .field("safety_settings", &self.safety_settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_neither_printed_nor_written_out() {
        let config = GoogleConfig {
            api_key: Some(SecretString::from("sk-canary")),
            ..GoogleConfig::default()
        };
        let written = serde_json::to_string(&config).unwrap();
        assert!(!format!("{config:?}{written}").contains("canary"));
        let read: GoogleConfig = serde_json::from_str(&written).unwrap();
        assert!(read.api_key.is_none());
        assert_eq!(
            (&*read.base_url, read.route),
            (DEFAULT_BASE_URL, Route::File)
        );
    }
}
