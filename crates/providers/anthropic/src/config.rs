//! Configuration of the provider.

use std::fmt;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// Base URL of Anthropic's API.
///
/// ```
/// assert!(lmbatch_anthropic::DEFAULT_BASE_URL.starts_with("https://"));
/// ```
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";

/// Default limit of output tokens for requests that set none. Anthropic requires a limit in every request, and every
/// model since 2024 accepts this one.
///
/// ```
/// assert_eq!(lmbatch_anthropic::AnthropicConfig::default().max_tokens, lmbatch_anthropic::DEFAULT_MAX_TOKENS);
/// ```
pub const DEFAULT_MAX_TOKENS: u32 = 8192;

/// Header that carries the key. Anthropic accepts both; its SDKs send the second since 2026-10-21.
///
/// ```
/// assert_eq!(lmbatch_anthropic::Auth::default(), lmbatch_anthropic::Auth::ApiKey);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The key in the header `x-api-key`.
    #[default]
    ApiKey,
    /// The key in `Authorization: Bearer`, as gateways require.
    Bearer,
}

/// Configuration of the provider, as stored in configuration files.
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
    /// API key; it is never serialized.
    #[serde(skip)]
    pub api_key: Option<SecretString>,
    /// Header that carries the key.
    pub auth: Auth,
    /// Base URL of the API.
    pub base_url: String,
    /// Workspace to bill, for keys with several workspaces.
    pub workspace: Option<String>,
    /// API version of every batch; `None` uses the version that each request needs.
    pub version: Option<String>,
    /// Beta features of every batch, such as `output-300k-2026-03-24`.
    pub betas: Vec<String>,
    /// Limit of output tokens for requests that set none.
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
