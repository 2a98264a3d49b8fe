//! What can be set.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where OpenAI is.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// Which of OpenAI's endpoints answers requests that are not in OpenAI's own words.
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
    /// How long OpenAI keeps input and output files: an hour to 30 days; `None` sends nothing, for
    /// servers that do not know the field.
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
            file_expires_after: Some(Duration::from_secs(30 * 24 * 3600)),
        }
    }
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("base_url", &self.base_url)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
