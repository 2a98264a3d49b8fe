//! The providers that this command knows: one entry each.

use std::sync::Arc;

use lmbatch::anthropic::{AnthropicBuilder, AnthropicCodec, AnthropicConfig};
use lmbatch::google::{self, GoogleBuilder, GoogleCodec, GoogleConfig};
use lmbatch::openai::{Endpoint, OpenAiBuilder, OpenAiCodec};
use lmbatch_core::{BatchCodec, BatchProvider, Result};
use lmbatch_emulator::Emulator;

use crate::exit::Failure;

/// A provider as the command line knows it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) id: &'static str,
    /// Variables that hold its key; the first that is set is taken.
    pub(crate) key_variables: &'static [&'static str],
    /// The ways that requests can go, the usual one first.
    pub(crate) routes: &'static [&'static str],
    pub(crate) codec: fn(Route) -> Box<dyn BatchCodec>,
    pub(crate) connect: fn(Connection) -> Result<Arc<dyn BatchProvider>>,
    pub(crate) emulated: fn(&Emulator) -> String,
}

/// One of a provider's routes.
pub(crate) type Route = &'static str;

/// What a connection needs.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) key: String,
    pub(crate) base_url: Option<String>,
    pub(crate) route: Route,
}

impl Provider {
    /// The route of that name, or the usual one.
    pub(crate) fn route(&self, name: Option<&str>) -> Result<Route, Failure> {
        let Some(name) = name else {
            return Ok(self.routes[0]);
        };
        let found = self.routes.iter().find(|route| **route == name);
        found.copied().ok_or_else(|| {
            Failure::usage(format!(
                "--route: {} has no route {name:?}; it has {}",
                self.id,
                self.routes.join(", ")
            ))
        })
    }
}

/// All of them.
pub(crate) const ALL: &[Provider] = &[
    Provider {
        id: "openai",
        key_variables: &["OPENAI_API_KEY"],
        routes: &["responses", "chat"],
        codec: |route| Box::new(OpenAiCodec::new(endpoint(route))),
        connect: |connection| {
            let mut builder = OpenAiBuilder::from_env()
                .endpoint(endpoint(connection.route))
                .api_key(connection.key);
            if let Some(url) = connection.base_url {
                builder = builder.base_url(url);
            }
            Ok(Arc::new(builder.build()?))
        },
        emulated: Emulator::openai_base_url,
    },
    Provider {
        id: "anthropic",
        key_variables: &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"],
        routes: &["inline"],
        codec: |_| Box::new(AnthropicCodec::new(&AnthropicConfig::default())),
        connect: |connection| {
            let mut builder = AnthropicBuilder::from_env().api_key(connection.key);
            if let Some(url) = connection.base_url {
                builder = builder.base_url(url);
            }
            Ok(Arc::new(builder.build()?))
        },
        emulated: Emulator::anthropic_base_url,
    },
    Provider {
        id: "google",
        key_variables: &["GOOGLE_API_KEY", "GEMINI_API_KEY"],
        routes: &["file", "inline"],
        codec: |route| {
            Box::new(GoogleCodec::new(&GoogleConfig {
                route: file_or_inline(route),
                ..GoogleConfig::default()
            }))
        },
        connect: |connection| {
            let mut builder = GoogleBuilder::from_env()
                .route(file_or_inline(connection.route))
                .api_key(connection.key);
            if let Some(url) = connection.base_url {
                builder = builder.base_url(url);
            }
            Ok(Arc::new(builder.build()?))
        },
        emulated: Emulator::google_base_url,
    },
];

fn endpoint(route: Route) -> Endpoint {
    match route {
        "chat" => Endpoint::ChatCompletions,
        _ => Endpoint::Responses,
    }
}

fn file_or_inline(route: Route) -> google::Route {
    match route {
        "inline" => google::Route::Inline,
        _ => google::Route::File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_one_of_the_providers_own() {
        let google = ALL.iter().find(|provider| provider.id == "google").unwrap();
        assert_eq!(google.route(None).unwrap(), "file");
        assert_eq!(google.route(Some("inline")).unwrap(), "inline");
        assert_eq!(
            google.route(Some("chat")).unwrap_err().message,
            "--route: google has no route \"chat\"; it has file, inline"
        );
    }

    #[test]
    fn every_route_has_a_codec_that_bears_the_providers_name() {
        for provider in ALL {
            for route in provider.routes {
                assert_eq!((provider.codec)(route).id().as_str(), provider.id);
            }
        }
    }
}
