//! What can be set.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where the Gemini Developer API is.
///
/// ```
/// assert!(lmbatch_google::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// How requests travel.
///
/// ```
/// assert_eq!(lmbatch_google::Route::default(), lmbatch_google::Route::File);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// In an uploaded file of up to 2 GB.
    #[default]
    File,
    /// In the create itself, under 20 MB.
    Inline,
}

impl Route {
    /// The route as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Inline => "inline",
        }
    }
}

/// Which field carries the schema of structured answers.
///
/// ```
/// assert_eq!(lmbatch_google::SchemaField::default(), lmbatch_google::SchemaField::ByRoute);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaField {
    /// The one that works on the route: the JSON Schema in files, the converted one inline.
    #[default]
    ByRoute,
    /// `responseJsonSchema`, the JSON Schema as it is.
    JsonSchema,
    /// `responseSchema`, converted to the part of OpenAPI that Google takes.
    OpenApi,
}

/// What Google is to block of its own accord.
///
/// ```
/// let off = lmbatch_google::SafetySetting::new("HARM_CATEGORY_HARASSMENT", "OFF");
/// assert_eq!(off.threshold, "OFF");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SafetySetting {
    /// Such as `HARM_CATEGORY_HARASSMENT`.
    pub category: String,
    /// Such as `BLOCK_ONLY_HIGH`.
    pub threshold: String,
}

impl SafetySetting {
    /// A threshold for a category.
    pub fn new(category: impl Into<String>, threshold: impl Into<String>) -> Self {
        Self {
            category: category.into(),
            threshold: threshold.into(),
        }
    }
}

/// What can be set.
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
    /// The API key. Never written out.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Where the provider is, without the version.
    pub base_url: String,
    /// The API's version: `v1beta`, or `v1`, which Google's SDKs take since 2026-11-06.
    pub api_version: String,
    /// How requests travel.
    pub route: Route,
    /// Which field carries a schema.
    pub schema_field: SchemaField,
    /// What Google is to block of its own accord; its own defaults where nothing is said.
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
