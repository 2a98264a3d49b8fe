//! The providers that this command knows, by their factories.

use std::sync::OnceLock;

use lmbatch_core::ProviderFactory;

use crate::exit::Failure;

/// A provider as the command line knows it.
pub(crate) type Provider = dyn ProviderFactory;

/// One of a provider's routes.
pub(crate) type Route = &'static str;

static ALL: OnceLock<Vec<Box<Provider>>> = OnceLock::new();

/// Ours.
fn ours() -> Vec<Box<Provider>> {
    vec![
        Box::new(lmbatch::openai::factory()),
        Box::new(lmbatch::anthropic::factory()),
        Box::new(lmbatch::google::factory()),
    ]
}

/// Adds those of others, before the first is asked for; one that bears the name of ours replaces it.
pub(crate) fn add(others: Vec<Box<Provider>>) {
    ALL.get_or_init(|| {
        let mut all = ours();
        all.retain(|one| others.iter().all(|other| other.id() != one.id()));
        all.extend(others);
        all
    });
}

/// All of them.
pub(crate) fn all() -> &'static [Box<Provider>] {
    ALL.get_or_init(ours)
}

/// Keeps the keys of the environment out of everything that is printed: also where the command reads a
/// record only, a provider may have repeated a key in what the record holds.
pub(crate) fn hide_keys() {
    let variables = all().iter().flat_map(|provider| provider.key_variables());
    for variable in variables {
        hide_key(variable);
    }
}

/// Keeps the key of one variable out of everything that is printed.
pub(crate) fn hide_key(variable: &str) {
    if let Ok(key) = std::env::var(variable) {
        crate::plain::hide(&key);
    }
}

/// The route of that name, or the usual one.
pub(crate) fn route(provider: &Provider, name: Option<&str>) -> Result<Route, Failure> {
    let routes = provider.routes();
    let Some(name) = name else {
        return Ok(routes[0]);
    };
    let found = routes.iter().find(|route| **route == name);
    found.copied().ok_or_else(|| {
        Failure::usage(format!(
            "--route: {} has no route {name:?}; it has {}",
            provider.id(),
            routes.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_of_the_providers_own() {
        let google = crate::model::find("google").unwrap();
        assert_eq!(route(google, None).unwrap(), "file");
        assert_eq!(route(google, Some("inline")).unwrap(), "inline");
        assert_eq!(
            route(google, Some("chat")).unwrap_err().message,
            "--route: google has no route \"chat\"; it has file, inline"
        );
    }

    #[test]
    fn every_route_has_a_codec_that_bears_the_providers_name() {
        for provider in all() {
            for route in provider.routes() {
                assert_eq!(provider.codec(route).id().as_str(), provider.id());
            }
        }
    }
}
