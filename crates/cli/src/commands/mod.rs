//! One file a command, or a few that belong together.

pub(crate) mod batch;
pub(crate) mod emulate;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod validate;

use std::sync::Arc;

use lmbatch_core::{BatchProvider, Clock};
use lmbatch_engine::{Engine, Finished};

use crate::args::ConnectionArgs;
use crate::exit::Failure;
use crate::output::{self, Origin, Sink};
use crate::providers::{Connection, Provider, Route};
use crate::summary::Summary;

/// Connects with the key of the environment; never one of the command line.
pub(crate) fn connect(
    provider: &Provider,
    args: &ConnectionArgs,
    route: Route,
) -> Result<Arc<dyn BatchProvider>, Failure> {
    let variable = args.key_env.as_deref().unwrap_or(provider.key_variable);
    let key = std::env::var(variable)
        .ok()
        .filter(|key| !key.trim().is_empty());
    if key.is_none() {
        return Err(Failure::usage(format!(
            "{variable} is not set; it holds the key of {}",
            provider.id
        ))
        .hint("set it, or try the run without a key and a bill: --emulate"));
    }
    let connection = Connection {
        key,
        base_url: args.base_url.clone(),
        route,
    };
    (provider.connect)(connection).map_err(|error| match error.kind() {
        lmbatch_core::ErrorKind::InvalidInput => Failure::usage(error.to_string()),
        _ => error.into(),
    })
}

/// Writes every outcome, and counts it.
pub(crate) async fn write(
    engine: &Engine,
    finished: &Finished,
    origin: Origin,
    mut sink: Sink,
    mut summary: Summary,
    accept: Vec<lmbatch_core::Problem>,
) -> Result<Summary, Failure> {
    let mut reader = engine.outcomes(finished)?;
    let work = move || {
        let mut line = Vec::new();
        let written = |error| lmbatch_core::Error::local("writing the output", error);
        while let Some(answered) = reader.next()? {
            line.clear();
            output::line(&answered, &origin, &mut line);
            sink.write(&line).map_err(written)?;
            summary.count(&answered, &accept);
        }
        sink.finish().map_err(written)?;
        Ok::<_, lmbatch_core::Error>(summary)
    };
    let result = tokio::task::spawn_blocking(work).await;
    let result = result.map_err(|_| Failure {
        exit: crate::exit::Exit::Failed,
        ..Failure::usage("a worker thread failed")
    })?;
    result.map_err(|error| error.with_batch(finished.batch().clone()).into())
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(lmbatch_engine::SystemClock::new())
}
