//! What can be set.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where OpenAI is.
///
/// ```
/// assert!(lmbatch_openai::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// Which of OpenAI's endpoints answers requests that are not in OpenAI's own words.
///
/// ```
/// assert_eq!(lmbatch_openai::Endpoint::default().path(), "/v1/responses");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/v1/responses`.
    #[default]
    Responses,
    /// `/v1/chat/completions`: takes audio, stop texts, a seed and penalties; servers that imitate
    /// OpenAI mostly have only this one.
    ChatCompletions,
}

impl Endpoint {
    /// The endpoint's path, as each line names it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Responses => "/v1/responses",
            Self::ChatCompletions => "/v1/chat/completions",
        }
    }
}

/// What can be set.
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
    /// The API key. Never written out.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Where the provider is.
    pub base_url: String,
    /// The organization that is billed, where the key has several.
    pub organization: Option<String>,
    /// The project that is billed, where the key has several.
    pub project: Option<String>,
    /// Which endpoint answers.
    pub endpoint: Endpoint,
    /// How long OpenAI keeps input and output files: an hour to 30 days, 7 days unless said
    /// otherwise. A batch takes at most one, which leaves six to fetch what was paid for, and files
    /// full of prompts do not lie about for a month. `None` sends nothing, for servers that do not
    /// know the field; OpenAI then keeps them for 30 days.
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
