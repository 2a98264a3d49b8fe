//! Anthropic as a provider factory, for programs that choose providers at run time.

use std::sync::Arc;

use lmbatch_core::{BatchCodec, BatchProvider, Connection, ProviderFactory, Result};

use crate::{AnthropicBuilder, AnthropicCodec, AnthropicConfig};

/// Returns the factory of the Anthropic provider.
///
/// ```
/// use lmbatch_core::ProviderFactory as _;
/// assert_eq!(lmbatch_anthropic::factory().id(), "anthropic");
/// ```
pub fn factory() -> impl ProviderFactory {
    Factory
}

#[derive(Debug)]
struct Factory;

impl ProviderFactory for Factory {
    fn id(&self) -> &'static str {
        "anthropic"
    }
    fn key_variables(&self) -> &'static [&'static str] {
        &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
    }
    fn routes(&self) -> &'static [&'static str] {
        &["inline"]
    }
    fn docs(&self) -> &'static str {
        "https://platform.claude.com/docs/en/build-with-claude/batch-processing"
    }

    fn codec(&self, _: &str) -> Box<dyn BatchCodec> {
        Box::new(AnthropicCodec::new(&AnthropicConfig::default()))
    }

    fn base_url(&self) -> Option<String> {
        Some(AnthropicBuilder::from_env().config.base_url)
    }

    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>> {
        let mut builder = AnthropicBuilder::from_env().api_key(connection.key);
        if let Some(url) = connection.base_url {
            builder = builder.base_url(url);
        }
        Ok(Arc::new(builder.build()?))
    }
}
