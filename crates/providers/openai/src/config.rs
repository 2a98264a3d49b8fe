//! Configuration of the provider.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Base URL of OpenAI's API, with the version.
///
/// ```
/// assert!(lmbatch_openai::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// OpenAI endpoint for requests that are not raw OpenAI bodies.
///
/// ```
/// assert_eq!(lmbatch_openai::Endpoint::default().path(), "/v1/responses");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// The endpoint `/v1/responses`.
    #[default]
    Responses,
    /// `/v1/chat/completions`: supports audio, stop sequences, a seed and penalties. Most
    /// OpenAI-compatible servers have only this endpoint.
    ChatCompletions,
}

impl Endpoint {
    /// Returns the endpoint's path, as each batch line names it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::ChatCompletions => "/v1/chat/completions",
        }
    }
}

/// Configuration of the provider, as stored in configuration files.
///
/// ```
/// use lmbatch_openai::{OpenAiBuilder, OpenAiConfig};
/// let mut config: OpenAiConfig = serde_json::from_str(r#"{"organization":"org-1"}"#)?;
/// config.api_key = Some("sk-x".to_owned().into());
/// OpenAiBuilder::from(config).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenAiConfig {
    /// API key; it is never serialized.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Base URL of the API.
    pub base_url: String,
    /// Organization to bill, for keys with several organizations.
    pub organization: Option<String>,
    /// Project to bill, for keys with several projects.
    pub project: Option<String>,
    /// Endpoint that answers requests.
    pub endpoint: Endpoint,
    /// Expiry of input and output files: one hour to 30 days, 7 days by default. A batch takes at most
    /// one day, so that six days remain to fetch its results, and prompts are not stored for a month.
    /// `None` omits the field, for servers that do not support it; OpenAI then keeps files for 30 days.
    pub file_expires_after: Option<Duration>,
}

impl Default for OpenAiConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            base_url: DEFAULT_BASE_URL.to_owned(),
            organization: None,
            project: None,
            endpoint: Endpoint::default(),
            file_expires_after: Some(Duration::from_secs(7 * 24 * 3600)),
        }
    }
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("base_url", &self.base_url)
            .field("endpoint", &self.endpoint)
            .field("file_expires_after", &self.file_expires_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_neither_printed_nor_written_out() {
        let config = OpenAiConfig {
            api_key: Some(SecretString::from("sk-canary")),
            ..OpenAiConfig::default()
        };
        let written = serde_json::to_string(&config).unwrap();
        assert!(!format!("{config:?}{written}").contains("canary"));
        let read: OpenAiConfig = serde_json::from_str(&written).unwrap();
        assert!(read.api_key.is_none());
        assert_eq!(read.base_url, DEFAULT_BASE_URL);
        assert_eq!(read.file_expires_after, Some(Duration::from_secs(604_800)));
    }
}
