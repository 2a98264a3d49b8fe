//! Builder that checks the configuration of the provider.

use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Result};
use lmbatch_http::{
    ClientOptions, HeaderMap, HeaderName, HeaderValue, HttpClient, HttpOptions, Identity,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::OpenAiClient;
use crate::config::{DEFAULT_BASE_URL, Endpoint, OpenAiConfig};
use crate::provider::OpenAi;
use crate::translate::OpenAiCodec;

impl OpenAi {
    /// Returns a builder with the default configuration.
    pub fn builder() -> OpenAiBuilder {
        OpenAiBuilder::default()
    }

    /// Reads the configuration from `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`](lmbatch_core::ErrorKind::ProviderAuth) if no key is set.
    pub fn from_env() -> Result<Self> {
        OpenAiBuilder::from_env().build()
    }
}

/// Builds an [`OpenAi`].
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// use lmbatch_openai::{Endpoint, OpenAi};
/// let openai = OpenAi::builder().api_key("sk-\nx").endpoint(Endpoint::ChatCompletions).build();
/// assert!(openai.is_err(), "a key of characters that no header can hold");
/// let openai = OpenAi::builder().api_key("sk-x").project("proj-1").build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct OpenAiBuilder {
    pub(crate) config: OpenAiConfig,
    client: ClientOptions,
}

impl From<OpenAiConfig> for OpenAiBuilder {
    fn from(config: OpenAiConfig) -> Self {
        Self {
            config,
            client: ClientOptions::default(),
        }
    }
}

impl OpenAiBuilder {
    /// Reads the configuration from `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`, as
    /// OpenAI's own SDKs read them.
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
            client: ClientOptions::default(),
        }
    }

    /// Sets the API key.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.config.api_key = Some(key.into());
        self
    }
    /// Sets the base URL, such as `https://api.openai.com/v1`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.config.base_url = url.into();
        self
    }
    /// Sets the organization to bill.
    pub fn organization(mut self, id: impl Into<String>) -> Self {
        self.config.organization = Some(id.into());
        self
    }
    /// Sets the project to bill.
    pub fn project(mut self, id: impl Into<String>) -> Self {
        self.config.project = Some(id.into());
        self
    }
    /// Sets the endpoint that answers requests.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.config.endpoint = endpoint;
        self
    }
    /// Sets how long OpenAI keeps files: one hour to 30 days.
    pub fn file_expires_after(mut self, expires: Option<Duration>) -> Self {
        self.config.file_expires_after = expires;
        self
    }

    /// Sets timeouts, additional headers, root certificates and the proxy of the HTTP client.
    pub fn client_options(mut self, options: ClientOptions) -> Self {
        self.client = options;
        self
    }

    /// Builds the provider after checking the configuration.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] without a key, [`ErrorKind::InvalidInput`] for an invalid base URL or
    /// file expiry.
    pub fn build(self) -> Result<OpenAi> {
        let config = self.config;
        let key = config
            .api_key
            .as_ref()
            .map(|key| key.expose_secret().trim())
            .unwrap_or_default();
        if key.is_empty() {
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
        let options = HttpOptions::with_client_options("openai", &config.base_url, self.client)?;
        let scopes = [
            config.organization.as_deref().unwrap_or_default(),
            config.project.as_deref().unwrap_or_default(),
        ];
        let identity = Identity::new(&options.base_url, key, &scopes);
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
        let bearer = SecretString::from(format!("Bearer {key}"));
        let http = HttpClient::new(
            options,
            &[(HeaderName::from_static("authorization"), bearer)],
            headers,
        )?;
        Ok(OpenAi {
            codec: OpenAiCodec::new(config.endpoint).keeping(config.file_expires_after),
            client: OpenAiClient {
                http,
                expires: config.file_expires_after.map(|time| time.as_secs()),
            },
            identity,
        })
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{AccountId, BatchProvider as _};

    use super::*;

    fn account(change: impl FnOnce(OpenAiBuilder) -> OpenAiBuilder) -> AccountId {
        change(OpenAi::builder().api_key("sk-canary"))
            .build()
            .unwrap()
            .account()
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        let key = || OpenAi::builder().api_key("sk-canary");
        for (builder, words) in [
            (OpenAi::builder(), "OPENAI_API_KEY"),
            (OpenAi::builder().api_key("  "), "OPENAI_API_KEY"),
            (key().base_url("http://api.test/v1"), "https"),
            (key().base_url("nonsense"), "base URL"),
            (key().organization("a\nb"), "openai-organization"),
            (
                key().file_expires_after(Some(Duration::from_secs(60))),
                "file_expires_after",
            ),
            (
                key().file_expires_after(Some(Duration::from_secs(2_592_001))),
                "file_expires_after",
            ),
        ] {
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn an_account_is_its_base_url_organization_and_project_and_outlives_its_key() {
        let plain = account(|builder| builder);
        assert!(plain.is_keyless());
        assert_eq!(plain, account(|builder| builder.api_key("sk-other")));
        assert_eq!(
            plain,
            account(|builder| builder.base_url("https://api.openai.com/v1/"))
        );
        let others = [
            account(|builder| builder.base_url("https://api.test/v1")),
            account(|builder| builder.base_url("https://api.openai.com/v2")),
            account(|builder| builder.organization("o")),
            account(|builder| builder.project("o")),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(*other, plain);
            assert!(!others[..place].contains(other));
        }
    }

    /// Compares with ids in existing ledgers: with other ids every recorded run would belong to an unknown account.
    #[test]
    fn account_ids_match_those_of_recorded_runs() {
        let builder = OpenAi::builder()
            .api_key("sk-golden")
            .organization("org-1")
            .project("proj-1");
        let built = builder.build().unwrap();
        assert_eq!(
            built.account().as_str(),
            "v2-6256e77ea745c9455c7aabcbf5c4cef3"
        );
        let former = built.former_account().unwrap();
        assert_eq!(former.as_str(), "9b1eb389b9711c725f608f53116122c5");
        assert_eq!(built.key_hint().unwrap().as_str(), "54e2dd0796e5");
    }

    #[test]
    fn nothing_shows_the_key() {
        let builder = OpenAi::builder().api_key("sk-canary");
        assert!(!format!("{builder:?}").contains("canary"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("canary"));
    }

    #[test]
    fn client_options_reach_the_client() {
        let build = |options: ClientOptions| {
            let builder = OpenAi::builder().api_key("sk-canary").project("p");
            builder.client_options(options).build()
        };
        assert!(build(ClientOptions::new().header("x-gateway", "1")).is_ok());
        let error = build(ClientOptions::new().header("openai-project", "1")).unwrap_err();
        assert!(error.to_string().contains("openai-project"), "{error}");
        let error = build(ClientOptions::new().proxy("canary")).unwrap_err();
        assert!(error.to_string().contains("proxy"), "{error}");
    }
}
