//! Providers that answer on this machine, without a key or a bill.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::sync::OnceLock;

use futures::future::BoxFuture;
use lmbatch_core::Error;
use lmbatch_emulator::Emulator;

use crate::args::EmulatorArgs;
use crate::exit::Failure;
use crate::providers::{Provider, Route};

/// A provider that answers on this machine until it is dropped.
pub struct Emulation {
    base_url: String,
    _guard: Box<dyn Any + Send>,
}

impl Emulation {
    /// Returns the emulation at a base URL. `guard` is kept for as long as the run needs the emulation, and dropped
    /// then.
    pub fn new(base_url: impl Into<String>, guard: impl Any + Send) -> Self {
        Self {
            base_url: base_url.into(),
            _guard: Box::new(guard),
        }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }
}

impl fmt::Debug for Emulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulation")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

type Run = dyn Fn(Route) -> BoxFuture<'static, io::Result<Emulation>> + Send + Sync;

/// Function that starts the emulation of one provider.
pub(crate) struct Start {
    provider: &'static str,
    run: Box<Run>,
}

impl Start {
    pub(crate) fn new<S, F>(provider: &'static str, start: S) -> Self
    where
        S: Fn(Route) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Emulation>> + Send + 'static,
    {
        Self {
            provider,
            run: Box::new(move |route| Box::pin(start(route))),
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Start").field(&self.provider).finish()
    }
}

/// Emulations that the program adds; like its providers, they never change.
static ADDED: OnceLock<Vec<Start>> = OnceLock::new();

/// Adds emulations. Must be called before the first one is used.
pub(crate) fn add(starts: Vec<Start>) {
    ADDED.get_or_init(|| starts);
}

fn added(provider: &Provider) -> Option<&'static Start> {
    let mut starts = ADDED.get()?.iter();
    starts.find(|start| start.provider == provider.id())
}

/// Reports whether a provider can be emulated.
pub(crate) fn exists(provider: &Provider) -> bool {
    added(provider).is_some() || base_url(provider).is_some()
}

/// Starts the emulation of a provider for one of its routes.
pub(crate) async fn start(
    provider: &Provider,
    route: Route,
    options: &EmulatorArgs,
) -> Result<Emulation, Failure> {
    let failed = |error: io::Error| Failure::from(Error::local("starting the emulator", error));
    if let Some(added) = added(provider) {
        return (added.run)(route).await.map_err(failed);
    }
    let base_url = base_url(provider).ok_or_else(|| {
        let id = provider.id();
        Failure::usage(format!("--emulate: the provider {id} cannot be emulated"))
    })?;
    let emulator = options.apply(Emulator::builder())?.start().await;
    let emulator = emulator.map_err(failed)?;
    Ok(Emulation::new(base_url(&emulator), emulator))
}

fn base_url(provider: &Provider) -> Option<fn(&Emulator) -> String> {
    match provider.id() {
        "openai" => Some(Emulator::openai_base_url),
        "anthropic" => Some(Emulator::anthropic_base_url),
        "google" => Some(Emulator::google_base_url),
        _ => None,
    }
}
