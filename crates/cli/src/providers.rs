//! Factories of the providers that this command includes.

use std::sync::OnceLock;

use lmbatch::adapter::ProviderFactory;

/// Factory of a provider.
pub(crate) type Provider = dyn ProviderFactory;

/// Name of one of a provider's routes.
pub(crate) type Route = &'static str;

/// Providers of the program. They are linked into it and never change, so that records of runs may borrow them.
static ALL: OnceLock<Vec<Box<Provider>>> = OnceLock::new();

/// Returns the providers of lmbatch.
fn built_in() -> Vec<Box<Provider>> {
    vec![
        Box::new(lmbatch::openai::factory()),
        Box::new(lmbatch::anthropic::factory()),
        Box::new(lmbatch::google::factory()),
    ]
}

/// Adds providers of other crates. Must be called before the first one is used; a provider with the id of a built-in
/// one replaces it.
pub(crate) fn add(others: Vec<Box<Provider>>) {
    ALL.get_or_init(|| {
        let mut all = built_in();
        all.retain(|one| others.iter().all(|other| other.id() != one.id()));
        all.extend(others);
        all
    });
}

/// Returns every provider of the program.
pub(crate) fn all() -> &'static [Box<Provider>] {
    ALL.get_or_init(built_in)
}

/// Keeps the keys in the environment out of everything that is printed. A command that only reads a record needs
/// this too, since a provider may have repeated a key in a message that the record holds.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_of_every_route_has_the_providers_name() {
        for provider in all() {
            for route in provider.routes() {
                assert_eq!(provider.codec(route).id().as_str(), provider.id());
            }
        }
    }
}
