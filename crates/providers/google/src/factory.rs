//! Google as a provider factory, for programs that choose providers at run time.

use std::sync::Arc;

use lmbatch_core::{BatchCodec, BatchProvider, Connection, ProviderFactory, Result};

use crate::{GoogleBuilder, GoogleCodec, GoogleConfig, Route};

/// Returns the factory of the Google provider.
///
/// ```
/// use lmbatch_core::ProviderFactory as _;
/// assert_eq!(lmbatch_google::factory().id(), "google");
/// ```
pub fn factory() -> impl ProviderFactory {
    Factory
}

#[derive(Debug)]
struct Factory;

impl ProviderFactory for Factory {
    fn id(&self) -> &'static str {
        "google"
    }
    fn key_variables(&self) -> &'static [&'static str] {
        &["GOOGLE_API_KEY", "GEMINI_API_KEY"]
    }
    fn routes(&self) -> &'static [&'static str] {
        &["file", "inline"]
    }
    fn docs(&self) -> &'static str {
        "https://ai.google.dev/gemini-api/docs/batch-api"
    }

    fn codec(&self, route: &str) -> Box<dyn BatchCodec> {
        Box::new(GoogleCodec::new(&GoogleConfig {
            route: by_name(route),
            ..GoogleConfig::default()
        }))
    }

    fn base_url(&self) -> Option<String> {
        Some(GoogleBuilder::from_env().config.base_url)
    }

    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>> {
        let mut builder = GoogleBuilder::from_env()
            .route(by_name(connection.route))
            .api_key(connection.key);
        if let Some(url) = connection.base_url {
            builder = builder.base_url(url);
        }
        Ok(Arc::new(builder.build()?))
    }
}

fn by_name(route: &str) -> Route {
    match route {
        "inline" => Route::Inline,
        _ => Route::File,
    }
}
