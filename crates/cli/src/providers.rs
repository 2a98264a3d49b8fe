//! The providers that this command knows: one line each.

use std::sync::Arc;

use lmbatch::openai::{DEFAULT_BASE_URL, Endpoint, OpenAiBuilder, OpenAiCodec};
use lmbatch_core::{BatchCodec, BatchProvider, Result};

/// A provider as the command line knows it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) id: &'static str,
    pub(crate) key_variable: &'static str,
    pub(crate) default_base_url: &'static str,
    pub(crate) codec: fn(Route) -> Box<dyn BatchCodec>,
    pub(crate) connect: fn(Connection) -> Result<Arc<dyn BatchProvider>>,
}

/// Which of a provider's endpoints answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Route {
    /// The provider's newest.
    #[default]
    Responses,
    /// Chat completions.
    Chat,
}

/// What a connection needs.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    pub(crate) key: Option<String>,
    pub(crate) base_url: Option<String>,
    pub(crate) route: Route,
}

/// All of them.
pub(crate) const ALL: &[Provider] = &[Provider {
    id: "openai",
    key_variable: "OPENAI_API_KEY",
    default_base_url: DEFAULT_BASE_URL,
    codec: |route| Box::new(OpenAiCodec::new(endpoint(route))),
    connect: |connection| {
        let mut builder = OpenAiBuilder::from_env().endpoint(endpoint(connection.route));
        if let Some(key) = connection.key {
            builder = builder.api_key(key);
        }
        if let Some(url) = connection.base_url {
            builder = builder.base_url(url);
        }
        Ok(Arc::new(builder.build()?))
    },
}];

fn endpoint(route: Route) -> Endpoint {
    match route {
        Route::Responses => Endpoint::Responses,
        Route::Chat => Endpoint::ChatCompletions,
    }
}
