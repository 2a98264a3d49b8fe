//! What can be set.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Where Anthropic is.
///
/// ```
/// assert!(lmbatch_anthropic::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";

/// The most tokens of an answer where the request does not say: Anthropic wants the number with every
/// request, and every model since 2024 takes this one.
///
/// ```
/// assert_eq!(lmbatch_anthropic::AnthropicConfig::default().max_tokens, lmbatch_anthropic::DEFAULT_MAX_TOKENS);
/// ```
pub const DEFAULT_MAX_TOKENS: u32 = 8192;

/// Which header carries the key. Anthropic takes both; its SDKs send the second since 2026-10-21.
///
/// ```
/// assert_eq!(lmbatch_anthropic::Auth::default(), lmbatch_anthropic::Auth::ApiKey);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `x-api-key`.
    #[default]
    ApiKey,
    /// `Authorization: Bearer`, as gateways want it.
    Bearer,
}

/// What can be set.
///
/// ```
/// use lmbatch_anthropic::{AnthropicBuilder, AnthropicConfig};
/// let mut config: AnthropicConfig = serde_json::from_str(r#"{"max_tokens": 1000}"#)?;
/// config.api_key = Some("sk-x".to_owned().into());
/// AnthropicBuilder::from(config).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct AnthropicConfig {
    /// The API key. Never written out.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Which header carries it.
    pub auth: Auth,
    /// Where the provider is.
    pub base_url: String,
    /// The workspace that is billed, where the key has several.
    pub workspace: Option<String>,
    /// The API version of every batch; `None` takes the one that each request needs.
    pub version: Option<String>,
    /// Beta features of every batch, such as `output-300k-2026-03-24`.
    pub betas: Vec<String>,
    /// The most tokens of an answer where the request does not say.
    pub max_tokens: u32,
}

impl Default for AnthropicConfig {
    fn default() -> Self {
        Self {
            api_key: None,
            auth: Auth::default(),
            base_url: DEFAULT_BASE_URL.to_owned(),
            workspace: None,
            version: None,
            betas: Vec::new(),
            max_tokens: DEFAULT_MAX_TOKENS,
        }
    }
}

impl fmt::Debug for AnthropicConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnthropicConfig")
            .field("base_url", &self.base_url)
            .field("auth", &self.auth)
            .field("version", &self.version)
            .field("betas", &self.betas)
            .field("max_tokens", &self.max_tokens)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_neither_printed_nor_written_out() {
        let config = AnthropicConfig {
            api_key: Some(SecretString::from("sk-canary")),
            ..AnthropicConfig::default()
        };
        let written = serde_json::to_string(&config).unwrap();
        assert!(!format!("{config:?}{written}").contains("canary"));
        let read: AnthropicConfig = serde_json::from_str(&written).unwrap();
        assert!(read.api_key.is_none());
        assert_eq!(read.base_url, DEFAULT_BASE_URL);
    }
}
