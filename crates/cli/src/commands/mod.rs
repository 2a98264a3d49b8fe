//! One file for each command, and files that several commands share.

pub(crate) mod adopt;
pub(crate) mod audit;
pub(crate) mod batch;
pub(crate) mod before_paying;
pub(crate) mod cancel;
pub(crate) mod clean;
pub(crate) mod continuing;
pub(crate) mod create;
pub(crate) mod deleted_answers;
pub(crate) mod doctor;
pub(crate) mod dry_decision;
pub(crate) mod dry_run;
pub(crate) mod emulate;
pub(crate) mod end;
pub(crate) mod estimate;
pub(crate) mod init;
pub(crate) mod kept;
pub(crate) mod known;
pub(crate) mod list;
pub(crate) mod many;
pub(crate) mod pilot;
pub(crate) mod pilot_ended;
pub(crate) mod pilot_facts;
pub(crate) mod planning;
pub(crate) mod providers;
pub(crate) mod purge;
pub(crate) mod purge_answers;
pub(crate) mod purge_choice;
pub(crate) mod recorded_batch;
pub(crate) mod requeue;
pub(crate) mod resume;
pub(crate) mod retrieve;
pub(crate) mod run;
mod run_checks;
pub(crate) mod run_context;
pub(crate) mod run_facts;
pub(crate) mod run_settings;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod selftest;
pub(crate) mod show;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod turns;
pub(crate) mod updating;
pub(crate) mod validate;
pub(crate) mod waiting;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lmbatch::adapter::{BatchProvider, Connection};
use lmbatch::engine::RunResults;
use lmbatch::{BatchId, Clock, Engine, Event};
use tokio::sync::oneshot;

use self::run_settings::RunSettings;
use crate::args::ConnectionArgs;
use crate::exit::Failure;
use crate::model::Model;
use crate::output_failure::{self, Step};
use crate::providers::{Provider, Route};
use crate::rendering::{self, OutcomeForm, Rendering};
use crate::signals::Handling;
use crate::sink::{Complete, Place, Sink};
use crate::summary::Summary;
use crate::target::Target;
use crate::{emulation, hints, plain, remote, terminal};

/// Connects to a provider with a key from the environment, never from the command line.
pub(crate) fn connect(
    provider: &Provider,
    args: &ConnectionArgs,
    route: Route,
) -> Result<Arc<dyn BatchProvider>, Failure> {
    connected(provider, args, route, key(provider, args)?)
}

/// Connects to the provider of a recorded run. An emulated run is reached while the process that started it still
/// emulates.
pub(crate) fn connect_to(notes: &RunSettings) -> Result<Arc<dyn BatchProvider>, Failure> {
    match notes.emulated {
        true => connected(
            notes.provider,
            &notes.connection,
            notes.route,
            emulation::KEY.to_owned(),
        ),
        false => connect(notes.provider, &notes.connection, notes.route),
    }
}

/// Returns a provider for reading a run's record. No request is sent, so that no key is needed.
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
        let failure = Failure::usage(format!("{} is not set", variables.join(" or ")));
        match emulation::exists(provider) {
            true => failure.hint("set it, or use --emulate to try without an API key (free)"),
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
    plain::hide(&key);
    let connection = Connection {
        key,
        base_url: args.base_url.clone(),
        route,
    };
    provider
        .connect(connection)
        .map_err(|error| match error.kind() {
            lmbatch::ErrorKind::InvalidInput => Failure::usage(error.to_string()),
            _ => error.into(),
        })
}

/// Writes and counts every outcome. The returned file is complete but does not have its name yet.
pub(crate) async fn write(
    engine: &Engine,
    finished: &RunResults,
    form: OutcomeForm,
    place: Place,
    mut summary: Summary,
    accept: Vec<lmbatch::Problem>,
) -> Result<(Summary, Complete), Failure> {
    if place.target == Target::Standard && !place.is_current {
        terminal::keep_stdout_for_outcomes();
    }
    let mut handling = Handling::new();
    let is_parquet = form.is_parquet();
    let rendering = Rendering::new(finished, form, accept);
    let readers = (0..rendering.readers()).map(|_| engine.outcomes(finished));
    let readers = readers.collect::<Result<Vec<_>, _>>()?;
    let is_file = matches!(place.target, Target::File { .. } | Target::Remote(_));
    let (path, stop) = (place.target.shown(), Arc::new(AtomicBool::new(false)));
    let is_stopped = Arc::clone(&stop);
    let work = move || {
        // Opening a FIFO blocks until it has a reader.
        let opened = place.open(is_parquet);
        let mut sink =
            opened.map_err(|error| output_failure::failure(Step::Create, &path, &error))?;
        let mut write = |lines: &[u8]| {
            let written = sink.write(lines);
            written.map_err(|error| unwritten(sink.is_stream(), &path, &error))
        };
        write(&rendering.header())?;
        summary.add(rendering.lines(readers, &is_stopped, &mut write)?);
        let is_stream = sink.is_stream();
        let complete = Sink::complete(sink);
        let complete = complete.map_err(|error| unwritten(is_stream, &path, &error))?;
        Ok::<_, Failure>((summary, complete))
    };
    let (done, mut written) = oneshot::channel();
    // A pipe may block until it is read, so that an output does not use the threads for files.
    let thread = std::thread::Builder::new().name("output".to_owned());
    let started = thread.spawn(move || {
        // The receiver is dropped if the command has stopped.
        let _ = done.send(work());
    });
    started.map_err(|error| Failure::failed(format!("no thread can be started: {error}")))?;
    let written = tokio::select! {
        written = &mut written => written,
        (exit, name) = handling.stopped() => {
            stop.store(true, Ordering::Relaxed);
            if is_file {
                // The thread deletes its temporary file.
                let _ = written.await;
            }
            return Err(Failure::new(exit, "stopped", format!("stopped by {name} while the output was written")));
        }
    };
    written.map_err(|_| rendering::lost())?
}

/// Returns the failure of an output that could not be written. A pipe closed by its reader is not an error.
fn unwritten(is_stream: bool, path: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe if is_stream => Failure::pipe(),
        _ => output_failure::failure(Step::Write, path, error),
    }
}

/// Gives a complete output file its name, or uploads it.
pub(crate) fn appear(complete: Complete) -> Result<(), Failure> {
    let path = complete.shown();
    complete.appear().map_err(|error| match path {
        Some(path) => output_failure::failure(Step::Appear, &path, &error),
        // The error of an upload names the object, and the file that holds the output.
        None => Failure::failed(error.to_string()),
    })
}

/// Returns an engine that prints its warnings.
pub(crate) fn warning(engine: Engine) -> Engine {
    engine.with_observer(Arc::new(|event: &Event<'_>| {
        if let Event::Warning { message, .. } = event {
            terminal::warn(message);
        }
    }))
}

/// Returns the failure for an input without requests.
pub(crate) fn empty_input(input: &Path) -> Failure {
    Failure::usage(format!("{}: there are no requests", input.display()))
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(lmbatch::engine::SystemClock::new())
}

/// Returns the command that fetches the outcomes of a batch later, with its handle into an output.
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
    hints::command(words)
}

/// Returns the path of a batch's handle, which is kept until the output is complete.
pub(crate) fn handle_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".handle.json");
    name.into()
}

/// Returns the default output, `INPUT.PROVIDER.MODEL.jsonl` in the input's folder, or in the working directory for an
/// input at a URL; `.emulated.jsonl` marks emulated outputs.
pub(crate) fn default_output(input: &Path, model: &Model, emulate: bool) -> PathBuf {
    let input = match remote::url(input) {
        Some(_) => Path::new(input.file_name().unwrap_or_default()),
        None => input,
    };
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
            (
                "s3://bucket/a/tickets.csv",
                false,
                "tickets.openai.org-gpt-x.jsonl",
            ),
        ] {
            assert_eq!(
                default_output(Path::new(input), &model, emulate),
                Path::new(expected)
            );
        }
    }
}
