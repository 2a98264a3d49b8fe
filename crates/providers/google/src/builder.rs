//! Builder that checks the configuration of the provider.

use lmbatch_core::{Error, ErrorKind, Result};
use lmbatch_http::{ClientOptions, HeaderMap, HeaderName, HttpClient, HttpOptions, Identity};
use secrecy::{ExposeSecret as _, SecretString};

use crate::client::GoogleClient;
use crate::config::{DEFAULT_BASE_URL, GoogleConfig, Route, SafetySetting, SchemaField};
use crate::provider::Google;
use crate::translate::GoogleCodec;

impl Google {
    /// Returns a builder with the default configuration.
    pub fn builder() -> GoogleBuilder {
        GoogleBuilder::default()
    }

    /// Reads the configuration from `GOOGLE_API_KEY` (or `GEMINI_API_KEY`) and `GOOGLE_GEMINI_BASE_URL`.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`](lmbatch_core::ErrorKind::ProviderAuth) if no key is set.
    pub fn from_env() -> Result<Self> {
        GoogleBuilder::from_env().build()
    }
}

/// Builds a [`Google`].
///
/// ```
/// # fn main() -> Result<(), lmbatch_core::Error> {
/// use lmbatch_google::{Google, Route};
/// let google = Google::builder().api_key("k\nx").build();
/// assert!(google.is_err(), "a key of characters that no header can hold");
/// let google = Google::builder().api_key("k").route(Route::Inline).build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct GoogleBuilder {
    pub(crate) config: GoogleConfig,
    client: ClientOptions,
}

impl From<GoogleConfig> for GoogleBuilder {
    fn from(config: GoogleConfig) -> Self {
        Self {
            config,
            client: ClientOptions::default(),
        }
    }
}

impl GoogleBuilder {
    /// Reads the configuration from `GOOGLE_API_KEY` (else `GEMINI_API_KEY`) and `GOOGLE_GEMINI_BASE_URL`, as
    /// Google's own SDKs read them.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let key = set("GOOGLE_API_KEY").or_else(|| set("GEMINI_API_KEY"));
        Self {
            config: GoogleConfig {
                api_key: key.map(SecretString::from),
                base_url: set("GOOGLE_GEMINI_BASE_URL")
                    .unwrap_or_else(|| DEFAULT_BASE_URL.to_owned()),
                ..GoogleConfig::default()
            },
            client: ClientOptions::default(),
        }
    }

    /// Sets the API key.
    pub fn api_key(mut self, key: impl Into<SecretString>) -> Self {
        self.config.api_key = Some(key.into());
        self
    }
    /// Sets the base URL without the API version.
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.config.base_url = url.into();
        self
    }
    /// Sets the API version, such as `v1beta`.
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.config.api_version = version.into();
        self
    }
    /// Sets the way in which requests are sent: as a file or inline.
    pub fn route(mut self, route: Route) -> Self {
        self.config.route = route;
        self
    }
    /// Sets the request field that carries a schema.
    pub fn schema_field(mut self, field: SchemaField) -> Self {
        self.config.schema_field = field;
        self
    }
    /// Adds a safety setting for one category.
    pub fn safety_setting(mut self, setting: SafetySetting) -> Self {
        self.config.safety_settings.push(setting);
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
    pub fn build(self) -> Result<Google> {
        let config = self.config;
        let key = config
            .api_key
            .as_ref()
            .map(|key| key.expose_secret().trim())
            .unwrap_or_default();
        if key.is_empty() {
            return Err(Error::new(ErrorKind::ProviderAuth)
                .with_message("there is no key; set GEMINI_API_KEY"));
        };
        let word = |c: char| c.is_ascii_alphanumeric();
        if config.api_version.is_empty() || !config.api_version.chars().all(word) {
            return Err(Error::invalid_input(
                "api_version must be a word such as v1beta",
            ));
        }
        let options = HttpOptions::with_client_options("google", &config.base_url, self.client)?;
        let identity = Identity::new(&options.base_url, key, &[]);
        let credential = (
            HeaderName::from_static("x-goog-api-key"),
            SecretString::from(key),
        );
        let http = HttpClient::new(options, &[credential], HeaderMap::new())?;
        Ok(Google {
            client: GoogleClient {
                http,
                version: config.api_version.clone(),
            },
            codec: GoogleCodec::new(&config),
            identity,
        })
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{AccountId, BatchProvider as _};

    use super::*;

    fn account(change: impl FnOnce(GoogleBuilder) -> GoogleBuilder) -> AccountId {
        change(Google::builder().api_key("sk-canary"))
            .build()
            .unwrap()
            .account()
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        let key = || Google::builder().api_key("sk-canary");
        for (builder, words) in [
            (Google::builder(), "GEMINI_API_KEY"),
            (Google::builder().api_key("  "), "GEMINI_API_KEY"),
            (key().base_url("http://api.test"), "https"),
            (key().base_url("nonsense"), "base URL"),
            (key().api_version("v1/../x"), "api_version"),
        ] {
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn an_account_is_its_base_url_and_outlives_its_key() {
        let plain = account(|builder| builder);
        assert_eq!(plain, account(|builder| builder.route(Route::Inline)));
        assert_eq!(plain, account(|builder| builder.api_version("v1")));
        assert_eq!(plain, account(|builder| builder.api_key("sk-other")));
        assert_ne!(
            plain,
            account(|builder| builder.base_url("https://api.test"))
        );
    }

    /// Compares with ids in existing ledgers: with other ids every recorded run would belong to an unknown account.
    #[test]
    fn account_ids_match_those_of_recorded_runs() {
        let builder = Google::builder().api_key("sk-golden");
        let built = builder.build().unwrap();
        assert_eq!(
            built.account().as_str(),
            "v2-387ad3aa2f08a685cb8d631c70c7d35c"
        );
        let former = built.former_account().unwrap();
        assert_eq!(former.as_str(), "05f849b15bccf3efd7f17ef2a11f1fa1");
        assert_eq!(built.key_hint().unwrap().as_str(), "54e2dd0796e5");
    }

    #[test]
    fn nothing_shows_the_key() {
        let builder = Google::builder().api_key("sk-canary");
        assert!(!format!("{builder:?}").contains("canary"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("canary"));
    }

    #[test]
    fn client_options_reach_the_client() {
        let build = |options: ClientOptions| {
            let builder = Google::builder().api_key("sk-canary");
            builder.client_options(options).build()
        };
        assert!(build(ClientOptions::new().header("x-gateway", "1")).is_ok());
        let error = build(ClientOptions::new().header("x-goog-api-key", "1")).unwrap_err();
        assert!(error.to_string().contains("x-goog-api-key"), "{error}");
        let error = build(ClientOptions::new().proxy("canary")).unwrap_err();
        assert!(error.to_string().contains("proxy"), "{error}");
    }
}
