//! Every provider on every route, over an emulator.

use std::sync::Arc;

use lmbatch::anthropic::Anthropic;
use lmbatch::google::{Google, Route};
use lmbatch::openai::{Endpoint, OpenAi};
use lmbatch::{LMInvoker, Result};
use lmbatch_core::BatchProvider;
use lmbatch_emulator::Emulator;

/// A provider on a route.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Name in messages of tests.
    pub name: &'static str,
    /// Name of the provider in the command.
    pub provider: &'static str,
    /// Name of the route in the command.
    pub route: &'static str,
    /// A model of the provider.
    pub model: &'static str,
    connect: fn(&Emulator, &str) -> Result<Arc<dyn BatchProvider>>,
}

impl Subject {
    /// Creates an adapter that talks to the emulator.
    ///
    /// # Panics
    /// If the adapter cannot be created.
    pub fn connect(&self, emulator: &Emulator) -> Arc<dyn BatchProvider> {
        self.connect_as(emulator, "k-canary")
    }

    /// Creates an adapter with the given key.
    ///
    /// # Panics
    /// If the adapter cannot be created.
    pub fn connect_as(&self, emulator: &Emulator, key: &str) -> Arc<dyn BatchProvider> {
        (self.connect)(emulator, key).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Creates an invoker of the subject's model.
    ///
    /// # Panics
    /// If the adapter cannot be created.
    pub fn invoker(&self, emulator: &Emulator) -> LMInvoker {
        LMInvoker::shared(self.connect(emulator), self.model)
    }

    /// Returns provider, route and model as arguments of the command.
    pub fn arguments(&self) -> Vec<String> {
        let model = format!("{}/{}", self.provider, self.model);
        vec!["-m".into(), model, "--route".into(), self.route.into()]
    }
}

/// All subjects, in the order of their indexes.
pub const SUBJECTS: &[Subject] = &[
    Subject {
        name: "openai responses",
        provider: "openai",
        route: "responses",
        model: "gpt-5-mini",
        connect: |emulator, key| openai(emulator, key, Endpoint::Responses),
    },
    Subject {
        name: "openai chat",
        provider: "openai",
        route: "chat",
        model: "gpt-5-mini",
        connect: |emulator, key| openai(emulator, key, Endpoint::ChatCompletions),
    },
    Subject {
        name: "anthropic",
        provider: "anthropic",
        route: "inline",
        model: "claude-haiku-4-5",
        connect: |emulator, key| {
            let url = emulator.anthropic_base_url();
            Ok(Arc::new(
                Anthropic::builder().api_key(key).base_url(url).build()?,
            ))
        },
    },
    Subject {
        name: "google by file",
        provider: "google",
        route: "file",
        model: "gemini-2.5-flash",
        connect: |emulator, key| google(emulator, key, Route::File),
    },
    Subject {
        name: "google inline",
        provider: "google",
        route: "inline",
        model: "gemini-2.5-flash",
        connect: |emulator, key| google(emulator, key, Route::Inline),
    },
];

fn openai(emulator: &Emulator, key: &str, endpoint: Endpoint) -> Result<Arc<dyn BatchProvider>> {
    let builder = OpenAi::builder().api_key(key).endpoint(endpoint);
    Ok(Arc::new(
        builder.base_url(emulator.openai_base_url()).build()?,
    ))
}

fn google(emulator: &Emulator, key: &str, route: Route) -> Result<Arc<dyn BatchProvider>> {
    let builder = Google::builder().api_key(key).route(route);
    Ok(Arc::new(
        builder.base_url(emulator.google_base_url()).build()?,
    ))
}
