//! Checks what was set, once.

use std::time::Duration;

use lmbatch_core::{AccountId, Error, ErrorKind, Result};
use lmbatch_http::{HeaderMap, HeaderName, HeaderValue, HttpClient, HttpOptions};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::client::OpenAiClient;
use crate::config::{DEFAULT_BASE_URL, Endpoint, OpenAiConfig};
use crate::provider::OpenAi;
use crate::translate::OpenAiCodec;

/// Builds an [`OpenAi`].
#[derive(Debug, Clone, Default)]
pub struct OpenAiBuilder {
    config: OpenAiConfig,
}

impl From<OpenAiConfig> for OpenAiBuilder {
    fn from(config: OpenAiConfig) -> Self {
        Self { config }
    }
}

impl OpenAiBuilder {
    /// From `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`, as OpenAI's
    /// own SDKs read them.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            config: OpenAiConfig {
                api_key: set("OPENAI_API_KEY").map(SecretString::from),
                base_url: set("OPENAI_BASE_URL").unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
                organization: set("OPENAI_ORG_ID"),
                project: set("OPENAI_PROJECT_ID"),
                ..OpenAiConfig::default()
            },
        }
    }

    /// The API key.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.config.api_key = Some(key.into());
        self
    }
    /// Where the provider is, such as `https://api.openai.com/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.config.base_url = url.into();
        self
    }
    /// The organization that is billed.
    pub fn organization(mut self, id: impl Into<String>) -> Self {
        self.config.organization = Some(id.into());
        self
    }
    /// The project that is billed.
    pub fn project(mut self, id: impl Into<String>) -> Self {
        self.config.project = Some(id.into());
        self
    }
    /// Which endpoint answers.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.config.endpoint = endpoint;
        self
    }
    /// How long files are kept at OpenAI: an hour to 30 days.
    pub fn file_expires_after(mut self, expires: Option<Duration>) -> Self {
        self.config.file_expires_after = expires;
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] without a key, [`ErrorKind::InvalidInput`] for a base URL or a
    /// time that cannot be.
    pub fn build(self) -> Result<OpenAi> {
        let config = self.config;
        let Some(key) = config
            .api_key
            .filter(|key| !key.expose_secret().trim().is_empty())
        else {
            return Err(Error::new(ErrorKind::ProviderAuth)
                .with_message("there is no key; set OPENAI_API_KEY"));
        };
        if config
            .file_expires_after
            .is_some_and(|time| !(3600..=2_592_000).contains(&time.as_secs()))
        {
            return Err(Error::invalid_input(
                "file_expires_after must be between an hour and 30 days",
            ));
        }
        let options = HttpOptions::new(&config.base_url)?;
        let mut digest = Sha256::new();
        for part in [
            options.base_url.as_str(),
            key.expose_secret(),
            config.organization.as_deref().unwrap_or_default(),
            config.project.as_deref().unwrap_or_default(),
        ] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
        let account: String = digest
            .finalize()
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("openai-organization", &config.organization),
            ("openai-project", &config.project),
        ] {
            if let Some(value) = value {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    Error::invalid_input(format!("{name} holds characters that a header cannot"))
                })?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let bearer = SecretString::from(format!("Bearer {}", key.expose_secret().trim()));
        let http = HttpClient::new(
            options,
            &[(HeaderName::from_static("authorization"), bearer)],
            headers,
        )?;
        Ok(OpenAi {
            codec: OpenAiCodec::new(config.endpoint),
            client: OpenAiClient {
                http,
                expires: config.file_expires_after.map(|time| time.as_secs()),
            },
            account: AccountId::new(account),
        })
    }
}
