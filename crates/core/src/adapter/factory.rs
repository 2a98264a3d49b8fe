//! Factories of providers, for programs that choose a provider by name at run time.

use std::fmt;
use std::sync::Arc;

use crate::{BatchCodec, BatchProvider, Error, ErrorKind, Result};

/// Choice and connection of a provider by name: everything that a command needs to know about an adapter.
pub trait ProviderFactory: fmt::Debug + Send + Sync + 'static {
    /// Returns the word before the first slash of `PROVIDER/MODEL`, which equals the id of the codec.
    fn id(&self) -> &'static str;

    /// Returns the environment variables that may hold the key. The first that is set is used.
    fn key_variables(&self) -> &'static [&'static str];

    /// Returns the routes by which requests can be sent, such as `file` and `inline`; the default first.
    fn routes(&self) -> &'static [&'static str];

    /// Returns the URL of the provider's documentation of batches.
    fn docs(&self) -> &'static str;

    /// Creates the codec for one of the [routes](Self::routes). Needs no key.
    fn codec(&self, route: &str) -> Box<dyn BatchCodec>;

    /// Returns the base URL that [`connect`](Self::connect) uses where the connection names none: that of the
    /// environment, or else the provider's own. `None`, the default, where the adapter does not tell.
    fn base_url(&self) -> Option<String> {
        None
    }

    /// Connects to the provider. Settings that the connection leaves out come from the environment.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an invalid setting, such as a malformed base URL.
    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>>;

    #[expect(
        clippy::wrong_self_convention,
        reason = "the usual name of a constructor that reads the environment"
    )]
    /// Connects by the default route, with the key from the environment.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] where none of the [variables](Self::key_variables) is set.
    fn from_env(&self) -> Result<Arc<dyn BatchProvider>> {
        let names = self.key_variables();
        let set = |name: &&str| std::env::var(name).ok();
        let key = names
            .iter()
            .filter_map(set)
            .find(|key| !key.trim().is_empty());
        let key = key.ok_or_else(|| {
            let message = format!("there is no key; set {}", names.join(" or "));
            Error::new(ErrorKind::ProviderAuth).with_message(message)
        })?;
        self.connect(Connection {
            key,
            base_url: None,
            route: self.routes()[0],
        })
    }
}

/// Settings of a connection. The key is never printed.
#[derive(Clone)]
pub struct Connection {
    /// API key of the account.
    pub key: String,
    /// Base URL of the provider; where it is `None`, the one from the environment or the adapter's default.
    pub base_url: Option<String>,
    /// Route by which requests are sent, one of [`ProviderFactory::routes`].
    pub route: &'static str,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("base_url", &self.base_url)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_connection_does_not_show_the_key() {
        let connection = Connection {
            key: "sk-canary".to_owned(),
            base_url: None,
            route: "file",
        };
        assert!(!format!("{connection:?}").contains("canary"));
    }
}
