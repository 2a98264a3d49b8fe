//! One file a command, or a few that belong together.

pub(crate) mod adopt;
pub(crate) mod batch;
pub(crate) mod create;
pub(crate) mod doctor;
pub(crate) mod emulate;
pub(crate) mod purge;
pub(crate) mod requeue;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod show;
pub(crate) mod state;
pub(crate) mod validate;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmbatch_core::{BatchId, BatchProvider, Clock, Connection};
use lmbatch_engine::{Engine, Finished};

use crate::args::ConnectionArgs;
use crate::exit::Failure;
use crate::model::Model;
use crate::next;
use crate::output::{self, Origin, Sink};
use crate::providers::{self, Provider, Route};
use crate::summary::Summary;

/// Connects with the key of the environment; never one of the command line.
pub(crate) fn connect(
    provider: &Provider,
    args: &ConnectionArgs,
    route: Route,
) -> Result<Arc<dyn BatchProvider>, Failure> {
    connected(provider, args, route, key(provider, args)?)
}

/// The provider of what is read from a record alone: nobody is asked, so that no key is needed.
pub(crate) fn offline(
    provider: &Provider,
    args: &ConnectionArgs,
    route: Route,
) -> Result<Arc<dyn BatchProvider>, Failure> {
    let key = key(provider, args).unwrap_or_else(|_| "none".to_owned());
    connected(provider, args, route, key)
}

fn key(provider: &Provider, args: &ConnectionArgs) -> Result<String, Failure> {
    let own = provider.key_variables();
    let variables = args.key_env.as_deref().map(|name| vec![name]);
    let variables = variables.unwrap_or_else(|| own.to_vec());
    let key = variables
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|key| !key.trim().is_empty());
    key.ok_or_else(|| {
        let failure = Failure::usage(format!(
            "{} is not set; it holds the key of {}",
            variables.join(" or "),
            provider.id()
        ));
        match providers::is_emulated(provider) {
            true => failure.hint("set it, or try the run without a key and a bill: --emulate"),
            false => failure.hint("set it"),
        }
    })
}

fn connected(
    provider: &Provider,
    args: &ConnectionArgs,
    route: Route,
    key: String,
) -> Result<Arc<dyn BatchProvider>, Failure> {
    let connection = Connection {
        key,
        base_url: args.base_url.clone(),
        route,
    };
    provider
        .connect(connection)
        .map_err(|error| match error.kind() {
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

/// What fetches the outcomes of a batch that goes on without us, with its handle into an output.
pub(crate) fn retrieve_command(
    batch: &BatchId,
    provider: &Provider,
    args: &ConnectionArgs,
    to: Option<(&Path, &Path)>,
) -> String {
    let to = to.map(|(handle, output)| [handle, output].map(|path| path.display().to_string()));
    let mut words = vec!["retrieve", batch.as_str(), "-p", provider.id()];
    for (flag, value) in [("--base-url", &args.base_url), ("--key-env", &args.key_env)] {
        if let Some(value) = value {
            words.extend([flag, value]);
        }
    }
    if let Some([handle, output]) = &to {
        words.extend(["--handle", handle, "-o", output]);
    }
    next::command(words)
}

/// Where the handle of an output's batch lies until the output is whole.
pub(crate) fn handle_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".handle.json");
    name.into()
}

/// `INPUT.PROVIDER.MODEL.jsonl`, in the input's folder; emulated outputs say so.
pub(crate) fn default_output(input: &Path, model: &Model, emulate: bool) -> PathBuf {
    let stem = match input.file_stem() {
        Some(stem) if input != Path::new("-") => stem.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    };
    let clean: String = model
        .name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || ".-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let ending = if emulate { ".emulated.jsonl" } else { ".jsonl" };
    input.with_file_name(format!("{stem}.{}.{clean}{ending}", model.provider.id()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn an_output_is_named_after_input_provider_and_model() {
        let model = model::parse("openai/org/gpt:x").unwrap();
        for (input, emulate, expected) in [
            ("a/tickets.jsonl", false, "a/tickets.openai.org-gpt-x.jsonl"),
            (
                "tickets.jsonl",
                true,
                "tickets.openai.org-gpt-x.emulated.jsonl",
            ),
            ("-", false, "stdin.openai.org-gpt-x.jsonl"),
        ] {
            assert_eq!(
                default_output(Path::new(input), &model, emulate),
                Path::new(expected)
            );
        }
    }
}
