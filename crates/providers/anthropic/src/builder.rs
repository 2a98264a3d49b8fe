//! Builder that checks the configuration of the provider.

use lmbatch_core::{Error, ErrorKind, Result};
use lmbatch_http::{
    ClientOptions, HeaderMap, HeaderName, HeaderValue, HttpClient, HttpOptions, Identity,
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::AnthropicClient;
use crate::config::{AnthropicConfig, Auth, DEFAULT_BASE_URL};
use crate::provider::Anthropic;
use crate::translate::{AnthropicCodec, NEWEST};

impl Anthropic {
    /// Returns a builder with the default configuration.
    pub fn builder() -> AnthropicBuilder {
        AnthropicBuilder::default()
    }

    /// Reads the configuration from `ANTHROPIC_API_KEY` (or `ANTHROPIC_AUTH_TOKEN`) and `ANTHROPIC_BASE_URL`.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`](lmbatch_core::ErrorKind::ProviderAuth) if no key is set.
    pub fn from_env() -> Result<Self> {
        AnthropicBuilder::from_env().build()
    }
}

/// Builds an [`Anthropic`].
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// use lmbatch_anthropic::Anthropic;
/// let anthropic = Anthropic::builder().api_key("sk-\nx").build();
/// assert!(anthropic.is_err(), "a key of characters that no header can hold");
/// let anthropic = Anthropic::builder().api_key("sk-x").max_tokens(1000).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct AnthropicBuilder {
    pub(crate) config: AnthropicConfig,
    client: ClientOptions,
}

impl From<AnthropicConfig> for AnthropicBuilder {
    fn from(config: AnthropicConfig) -> Self {
        Self {
            config,
            client: ClientOptions::default(),
        }
    }
}

impl AnthropicBuilder {
    /// Reads the configuration from `ANTHROPIC_API_KEY` (else `ANTHROPIC_AUTH_TOKEN`, which is sent as a bearer
    /// token) and `ANTHROPIC_BASE_URL`, as Anthropic's own SDKs read them.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = set("ANTHROPIC_API_KEY").map(|key| (key, Auth::ApiKey));
        let key = key.or_else(|| Some((set("ANTHROPIC_AUTH_TOKEN")?, Auth::Bearer)));
        let (key, auth) = key.unzip();
        Self {
            config: AnthropicConfig {
                api_key: key.map(SecretString::from),
                auth: auth.unwrap_or_default(),
                base_url: set("ANTHROPIC_BASE_URL").unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
                ..AnthropicConfig::default()
            },
            client: ClientOptions::default(),
        }
    }

    /// Sets the API key.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.config.api_key = Some(key.into());
        self
    }
    /// Sets the header that carries the key.
    pub fn auth(mut self, auth: Auth) -> Self {
        self.config.auth = auth;
        self
    }
    /// Sets the base URL, such as `https://api.anthropic.com`.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.config.base_url = url.into();
        self
    }
    /// Sets the workspace to bill.
    pub fn workspace(mut self, id: impl Into<String>) -> Self {
        self.config.workspace = Some(id.into());
        self
    }
    /// Sets the API version of every batch, such as `2023-06-01`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.config.version = Some(version.into());
        self
    }
    /// Adds a beta feature to every batch.
    pub fn beta(mut self, beta: impl Into<String>) -> Self {
        self.config.betas.push(beta.into());
        self
    }
    /// Sets the limit of output tokens for requests that set none.
    pub fn max_tokens(mut self, tokens: u32) -> Self {
        self.config.max_tokens = tokens;
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
    /// [`ErrorKind::ProviderAuth`] without a key, [`ErrorKind::InvalidInput`] for an invalid value.
    pub fn build(self) -> Result<Anthropic> {
        let config = self.config;
        let key = config
            .api_key
            .as_ref()
            .map(|key| key.expose_secret().trim())
            .unwrap_or_default();
        if key.is_empty() {
            return Err(Error::new(ErrorKind::ProviderAuth)
                .with_message("there is no key; set ANTHROPIC_API_KEY"));
        };
        if config.max_tokens == 0 {
            return Err(Error::invalid_input("max_tokens must be at least 1"));
        }
        let options = HttpOptions::with_client_options("anthropic", &config.base_url, self.client)?;
        let scopes = [config.workspace.as_deref().unwrap_or_default()];
        let identity = Identity::new(&options.base_url, key, &scopes);
        let mut headers = HeaderMap::new();
        let version = config.version.as_deref().unwrap_or(NEWEST);
        for (name, value) in [
            ("anthropic-version", Some(version)),
            ("anthropic-workspace-id", config.workspace.as_deref()),
        ] {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), header(name, value)?);
            }
        }
        for beta in &config.betas {
            header("anthropic-beta", beta)?;
        }
        let credential = match config.auth {
            Auth::ApiKey => ("x-api-key", key.to_owned()),
            Auth::Bearer => ("authorization", format!("Bearer {key}")),
        };
        let credential = (
            HeaderName::from_static(credential.0),
            SecretString::from(credential.1),
        );
        let http = HttpClient::new(options, &[credential], headers)?;
        Ok(Anthropic {
            client: AnthropicClient { http },
            codec: AnthropicCodec::new(&config),
            identity,
        })
    }
}

fn header(name: &str, value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|_| Error::invalid_input(format!("{name} holds characters that a header cannot")))
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{AccountId, BatchProvider as _};

    use super::*;

    fn account(change: impl FnOnce(AnthropicBuilder) -> AnthropicBuilder) -> AccountId {
        change(Anthropic::builder().api_key("sk-canary"))
            .build()
            .unwrap()
            .account()
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        let key = || Anthropic::builder().api_key("sk-canary");
        for (builder, words) in [
            (Anthropic::builder(), "ANTHROPIC_API_KEY"),
            (Anthropic::builder().api_key("  "), "ANTHROPIC_API_KEY"),
            (key().base_url("http://api.test"), "https"),
            (key().base_url("nonsense"), "base URL"),
            (key().workspace("a\nb"), "anthropic-workspace-id"),
            (key().version("a\nb"), "anthropic-version"),
            (key().beta("a\nb"), "anthropic-beta"),
            (key().max_tokens(0), "max_tokens"),
        ] {
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn an_account_is_its_base_url_and_workspace_and_outlives_its_key() {
        let plain = account(|builder| builder);
        assert_eq!(
            plain,
            account(|builder| builder.base_url("https://api.anthropic.com/"))
        );
        assert_eq!(plain, account(|builder| builder.auth(Auth::Bearer)));
        assert_eq!(plain, account(|builder| builder.api_key("sk-other")));
        let others = [
            account(|builder| builder.base_url("https://api.test")),
            account(|builder| builder.workspace("w")),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(*other, plain);
            assert!(!others[..place].contains(other));
        }
    }

    /// Compares with ids in existing ledgers: with other ids every recorded run would belong to an unknown account.
    #[test]
    fn account_ids_match_those_of_recorded_runs() {
        let builder = Anthropic::builder()
            .api_key("sk-golden")
            .workspace("wrkspc-1");
        let built = builder.build().unwrap();
        assert_eq!(
            built.account().as_str(),
            "v2-d8dbe7df094c05867e6ba375a5bc8184"
        );
        let former = built.former_account().unwrap();
        assert_eq!(former.as_str(), "cf0949cbc081c8c527ff13dca4b5ad01");
        assert_eq!(built.key_hint().unwrap().as_str(), "54e2dd0796e5");
    }

    #[test]
    fn nothing_shows_the_key() {
        let builder = Anthropic::builder().api_key("sk-canary");
        assert!(!format!("{builder:?}").contains("canary"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("canary"));
    }

    #[test]
    fn client_options_reach_the_client() {
        let build = |options: ClientOptions| {
            let builder = Anthropic::builder().api_key("sk-canary");
            builder.client_options(options).build()
        };
        assert!(build(ClientOptions::new().header("x-gateway", "1")).is_ok());
        let error = build(ClientOptions::new().header("anthropic-version", "1")).unwrap_err();
        assert!(error.to_string().contains("anthropic-version"), "{error}");
        let error = build(ClientOptions::new().proxy("canary")).unwrap_err();
        assert!(error.to_string().contains("proxy"), "{error}");
    }
}
