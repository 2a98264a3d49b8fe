//! OpenAI as a provider factory, for programs that choose providers at run time.

use std::sync::Arc;

use lmbatch_core::{BatchCodec, BatchProvider, Connection, ProviderFactory, Result};

use crate::{Endpoint, OpenAiBuilder, OpenAiCodec};

/// Returns the factory of the OpenAI provider.
///
/// ```
/// use lmbatch_core::ProviderFactory as _;
/// assert_eq!(lmbatch_openai::factory().id(), "openai");
/// ```
pub fn factory() -> impl ProviderFactory {
    Factory
}

#[derive(Debug)]
struct Factory;

impl ProviderFactory for Factory {
    fn id(&self) -> &'static str {
        "openai"
    }
    fn key_variables(&self) -> &'static [&'static str] {
        &["OPENAI_API_KEY"]
    }
    fn routes(&self) -> &'static [&'static str] {
        &["responses", "chat"]
    }
    fn docs(&self) -> &'static str {
        "https://platform.openai.com/docs/guides/batch"
    }

    fn codec(&self, route: &str) -> Box<dyn BatchCodec> {
        Box::new(OpenAiCodec::new(endpoint(route)))
    }

    fn base_url(&self) -> Option<String> {
        Some(OpenAiBuilder::from_env().config.base_url)
    }

    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>> {
        let mut builder = OpenAiBuilder::from_env()
            .endpoint(endpoint(connection.route))
            .api_key(connection.key);
        if let Some(url) = connection.base_url {
            builder = builder.base_url(url);
        }
        Ok(Arc::new(builder.build()?))
    }
}

fn endpoint(route: &str) -> Endpoint {
    match route {
        "chat" => Endpoint::ChatCompletions,
        _ => Endpoint::Responses,
    }
}
