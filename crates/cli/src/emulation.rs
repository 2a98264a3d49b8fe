//! Providers that answer on this machine, without a key or a bill.

use std::any::Any;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::{fmt, io};

use futures::future::BoxFuture;
use lmbatch::adapter::{BatchProvider, Connection};
use lmbatch::durable::StateFolder;
use lmbatch::engine::{delete_run, files_of_run};
use lmbatch::record::{RunFilter, RunRecord};
use lmbatch::{AccountId, Engine, Error, ErrorKind};
use lmbatch_emulator::{Emulator, EmulatorBuilder, Limits};

use crate::args::EmulatorArgs;
use crate::commands::run_settings::RunSettings;
use crate::exit::Failure;
use crate::providers::{Provider, Route};
use crate::terminal;

/// API key that every emulated provider accepts.
pub(crate) const KEY: &str = "emulated";

/// Account of emulated runs. The address of an emulator changes from command to command.
const ACCOUNT: &str = "emulated";

/// Sets the account of emulated runs on an engine that serves one.
pub(crate) fn recorded(engine: Engine, notes: &RunSettings) -> Engine {
    match notes.emulated {
        true => engine.with_account(AccountId::from(ACCOUNT)),
        false => engine,
    }
}

/// Refuses to continue an emulated run whose emulator has ended.
///
/// # Errors
/// Usage, for an emulated run that has not ended.
pub(crate) fn refuse_unfinished(run: &RunRecord) -> Result<(), Failure> {
    let is_emulated = RunSettings::read(run)?.emulated;
    match is_emulated && !run.finished {
        true => Err(lost(run)),
        false => Ok(()),
    }
}

/// Returns the failure for a run whose emulator has ended.
fn lost(run: &RunRecord) -> Failure {
    Failure::usage(format!(
        "the emulated run {} has not ended, and its emulator ended with the command that started it",
        run.id
    ))
    .of_run(&run.id)
    .hint("run that command again: it begins anew")
}

/// Deletes unfinished emulated runs whose emulator has ended: they can never be answered.
pub(crate) async fn forget_lost(engine: &Engine, folder: &StateFolder) -> Result<(), Failure> {
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let ledger = engine.ledger();
    for run in ledger.all_runs(unfinished).await? {
        let _claim = match ledger.claim(&run.id).await {
            // The command that emulates the run is still at work.
            Err(error) if error.kind() == ErrorKind::Conflict => continue,
            claim => claim?,
        };
        // It may have ended since it was listed.
        let Some(run) = ledger.run(&run.id).await?.filter(|run| !run.finished) else {
            continue;
        };
        delete_run(&**ledger, &run, &files_of_run(&folder.spool(), &run)?).await?;
        terminal::message(&format!(
            "deleted the emulated run {}, whose emulator has ended",
            run.id
        ));
    }
    Ok(())
}

/// A provider that answers on this machine until it is dropped.
pub struct Emulation {
    base_url: String,
    /// In a mutex so that the value can be shared; it is never locked.
    _guard: Mutex<Box<dyn Any + Send>>,
}

impl Emulation {
    /// Returns the emulation at a base URL. `guard` is kept for as long as the run needs the emulation, and dropped
    /// then.
    pub fn new(base_url: impl Into<String>, guard: impl Any + Send) -> Self {
        Self {
            base_url: base_url.into(),
            _guard: Mutex::new(Box::new(guard)),
        }
    }

    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the emulated provider.
    pub(crate) fn connect(
        &self,
        provider: &Provider,
        route: Route,
    ) -> Result<Arc<dyn BatchProvider>, Failure> {
        let connection = Connection {
            key: KEY.to_owned(),
            base_url: Some(self.base_url.clone()),
            route,
        };
        Ok(provider.connect(connection)?)
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

/// Returns the builder of every emulator that the command starts, so that a command behaves at the server of `emulate`
/// as it does with `--emulate`. Results can be read from an offset.
pub(crate) fn builder() -> EmulatorBuilder {
    Emulator::builder().limits(Limits {
        ranges: true,
        ..Limits::default()
    })
}

/// Starts the emulation of a provider for one of its routes.
pub(crate) async fn start(
    provider: &Provider,
    route: Route,
    options: &EmulatorArgs,
) -> Result<Emulation, Failure> {
    let failed =
        |error: io::Error| Failure::from(Error::local("the emulator cannot be started", error));
    if let Some(added) = added(provider) {
        return (added.run)(route).await.map_err(failed);
    }
    let base_url = base_url(provider).ok_or_else(|| {
        let id = provider.id();
        Failure::usage(format!("--emulate: the provider {id} cannot be emulated"))
    })?;
    let emulator = options.apply(builder())?.start().await;
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
