//! A provider as programs choose it that know none by name.

use std::fmt;
use std::sync::Arc;

use crate::{BatchCodec, BatchProvider, Error, ErrorKind, Result};

/// How a provider is chosen and connected: what a command line needs of an adapter.
pub trait ProviderFactory: fmt::Debug + Send + Sync + 'static {
    /// The word before the first slash of `PROVIDER/MODEL`; the same as its codec's id.
    fn id(&self) -> &'static str;

    /// The variables of the environment that hold its key; the first that is set is taken.
    fn key_variables(&self) -> &'static [&'static str];

    /// The ways that requests can go, the usual one first.
    fn routes(&self) -> &'static [&'static str];

    /// Where its own documentation of batches is.
    fn docs(&self) -> &'static str;

    /// How it says things on one of its routes. Needs no key.
    fn codec(&self, route: &str) -> Box<dyn BatchCodec>;

    /// Connects. What the connection leaves open is as the environment says.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a value that cannot be, such as a base URL.
    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>>;

    #[expect(
        clippy::wrong_self_convention,
        reason = "the field's word for what is made of the environment"
    )]
    /// Connects by its usual route with the key of the environment.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] where none of its variables is set.
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

/// What a connection is made of. Its key is never shown.
#[derive(Clone)]
pub struct Connection {
    /// The key.
    pub key: String,
    /// Where the provider is, if not where the environment or its adapter says.
    pub base_url: Option<String>,
    /// One of its routes.
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
    fn a_connection_does_not_show_its_key() {
        let connection = Connection {
            key: "sk-canary".to_owned(),
            base_url: None,
            route: "file",
        };
        assert!(!format!("{connection:?}").contains("canary"));
    }
}
