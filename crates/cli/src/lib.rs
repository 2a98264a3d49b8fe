//! The `lmbatch` command: arguments, messages and exit codes. All other work is done by the library.

mod args;
mod batch_counts;
mod board;
mod byte_size;
mod commands;
mod config;
mod connection_args;
mod cost_args;
mod cost_summary;
mod counts;
mod doctor_args;
mod emulation;
mod emulator_args;
mod encoder;
mod estimate_args;
mod estimator;
mod examples;
mod exit;
mod failed;
mod format;
mod hints;
mod input;
mod limit_args;
mod limits;
mod live;
mod max_failed;
mod model;
mod on_finish;
mod output_failure;
mod output_format;
mod packaging;
mod paying_args;
mod pilot_args;
mod pilot_report;
mod plain;
mod pretty;
mod progress;
mod progress_line;
mod providers;
mod recorder;
mod remote;
mod rendering;
mod repair_args;
mod retention;
mod retention_args;
#[cfg(test)]
mod schema_support;
mod screen;
mod selftest_args;
mod session;
mod settings;
mod signals;
mod sink;
mod step_args;
mod stored;
mod summary;
mod table;
mod table_args;
mod target;
mod terminal;
mod text_arg;
mod text_file;
mod typed_columns;
mod watching_args;
mod whole_path;
mod wrapped;
mod written;

pub use emulation::Emulation;

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::FromArgMatches as _;
use lmbatch::adapter::ProviderFactory;

use crate::args::{Args, Command};
use crate::config::Config;
use crate::emulation::Start;
use crate::exit::{Exit, Failure};
use crate::retention_args::RetentionArgs;
use crate::session::Session;

/// The `lmbatch` command, extensible with further providers.
///
/// ```no_run
/// # mod acme { pub fn factory() -> impl lmbatch::adapter::ProviderFactory { lmbatch::openai::factory() } }
/// fn main() -> std::process::ExitCode {
///     lmbatch_cli::Cli::new().with(acme::factory()).main()
/// }
/// ```
#[derive(Debug, Default)]
pub struct Cli {
    others: Vec<Box<dyn ProviderFactory>>,
    emulations: Vec<Start>,
}

impl Cli {
    /// Returns the command with the providers of lmbatch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a provider. A provider with the id of a built-in one replaces it.
    pub fn with(mut self, factory: impl ProviderFactory) -> Self {
        self.others.push(Box::new(factory));
        self
    }

    /// Adds an emulation of a provider, which answers a run on this machine without a key or a bill. `start` receives
    /// the route of the run and starts the emulation, for example with `lmbatch_contract::serve`. An emulation of a
    /// built-in provider replaces the one of lmbatch.
    ///
    /// ```no_run
    /// # mod acme {
    /// #     pub fn factory() -> impl lmbatch::adapter::ProviderFactory { lmbatch::openai::factory() }
    /// #     pub async fn serve(_: &str) -> std::io::Result<std::net::TcpListener> { std::net::TcpListener::bind("127.0.0.1:0") }
    /// # }
    /// use lmbatch_cli::{Cli, Emulation};
    ///
    /// fn main() -> std::process::ExitCode {
    ///     let cli = Cli::new().with(acme::factory());
    ///     let cli = cli.emulating("acme", |route| async move {
    ///         let server = acme::serve(route).await?;
    ///         Ok(Emulation::new(format!("http://{}", server.local_addr()?), server))
    ///     });
    ///     cli.main()
    /// }
    /// ```
    pub fn emulating<S, F>(mut self, provider: &'static str, start: S) -> Self
    where
        S: Fn(&'static str) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Emulation>> + Send + 'static,
    {
        self.emulations.push(Start::new(provider, start));
        self
    }

    /// Runs the command with the arguments of this process.
    pub fn main(self) -> ExitCode {
        emulation::add(self.emulations);
        providers::add(self.others);
        main()
    }
}

fn main() -> ExitCode {
    limits::raise_open_files();
    providers::hide_keys();
    let arg0 = std::env::args_os().next();
    let program = hints::program(arg0.as_deref());
    let (config, unread) = match config::load() {
        Ok(config) => (config, None),
        Err(failure) => (Config::default(), Some(failure)),
    };
    let command = config.give_defaults(args::command(program), unread.is_some());
    let matches = match command.try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return misused(&config::explained(error)),
    };
    hints::called(program, &matches);
    if let Some(failure) = unread.filter(|_| config::is_read_by(&matches)) {
        return unconfigured(&failure);
    }
    let mut args = match Args::from_arg_matches(&matches) {
        Ok(args) => args,
        Err(error) => return misused(&error),
    };
    if let Some(retention) = args.command.retention() {
        retention.note_sources(&matches);
    }
    if let Ok(filter) = std::env::var("LMBATCH_LOG") {
        log(&filter);
    }
    if args.command.is_quiet() {
        terminal::be_quiet();
    }
    config.announce(&matches);
    let json = args.command.wants_json();
    if args.command.output().is_some_and(target::is_standard) {
        terminal::keep_stdout_for_outcomes();
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error, json).into(),
    };
    let exit = runtime.block_on(async {
        signals::survive_file_size_limit();
        tokio::spawn(signals::end_process());
        let session = Arc::new(Session::new(config.prices()));
        let retention = args.command.retention().cloned();
        let ended = Box::pin(dispatch(&session, args.command)).await;
        if let (Some(retention), Ok(exit)) = (retention, &ended)
            && !exit.is_stopped()
        {
            Box::pin(retention::check(&session, &retention, retention.is_said)).await;
        }
        session.close(&*commands::clock()).await;
        terminal::end_live();
        ended.unwrap_or_else(|failure| report(&failure, json))
    });
    // An abandoned plan needs time to remove its files. Other unfinished work, such as a blocked read, must not
    // keep the process alive for longer.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    match exit {
        Exit::Usable if terminal::has_lost_output() => Exit::Failed.into(),
        Exit::Usable if terminal::has_lost_reader() => Exit::Pipe.into(),
        exit => exit.into(),
    }
}

/// Prints help, the version, or the error in the arguments.
fn misused(error: &clap::Error) -> ExitCode {
    if error.exit_code() == 0 || !error.use_stderr() {
        error.exit();
    }
    let text = error.render().to_string();
    let words: Vec<_> = std::env::args_os()
        .take_while(|word| word != "--")
        .collect();
    if words.iter().any(|word| word == "--json") {
        if writes_stdout(&words) {
            terminal::keep_stdout_for_outcomes();
        }
        terminal::json(&usage(&text).json());
    }
    terminal::message(text.trim_end());
    Exit::Usage.into()
}

/// Reports a configuration file that cannot be used.
fn unconfigured(failure: &Failure) -> ExitCode {
    let words: Vec<_> = std::env::args_os()
        .take_while(|word| word != "--")
        .collect();
    if writes_stdout(&words) {
        terminal::keep_stdout_for_outcomes();
    }
    report(failure, words.iter().any(|word| word == "--json")).into()
}

/// Reports whether arguments that could not be parsed write outcomes to standard output.
fn writes_stdout(words: &[OsString]) -> bool {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let apart = words
        .windows(2)
        .filter(|pair| matches!(pair[0], "-o" | "--output"))
        .map(|pair| pair[1]);
    let joined = words.iter().filter_map(|word| {
        let long = word.strip_prefix("--output=");
        long.or_else(|| word.strip_prefix("-o"))
    });
    let mut outputs = apart.chain(joined);
    outputs.any(|path| target::is_standard(Path::new(path)))
}

/// Converts an error text of the argument parser into a failure: its first paragraph is the message, its tips and
/// the usage of the command are the hint.
fn usage(text: &str) -> Failure {
    let mut paragraphs = text.trim_end().split("\n\n");
    let lines = |paragraph: &str| {
        paragraph
            .lines()
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let first = paragraphs.next().unwrap_or_default();
    let (head, rest) = first.split_once('\n').unwrap_or((first, ""));
    let head = head.strip_prefix("error: ").unwrap_or(head);
    let rest: Vec<&str> = rest.lines().map(str::trim).collect();
    let message = match rest.is_empty() {
        true => head.to_owned(),
        false => format!("{head} {}", rest.join(", ")),
    };
    let mut hints: Vec<String> = paragraphs
        .filter(|paragraph| !paragraph.starts_with("For more information"))
        .map(lines)
        .map(|hint| match hint.strip_prefix("Usage: ") {
            Some(usage) => format!("usage: {usage}"),
            None => hint.strip_prefix("tip: ").unwrap_or(&hint).to_owned(),
        })
        .collect();
    if hints.is_empty() {
        hints.push("--help explains the arguments".to_owned());
    }
    Failure::usage(message).hint(hints.join("; "))
}

/// Writes the log that `LMBATCH_LOG` selects to standard error. Libraries that lmbatch uses stay silent unless they
/// are named, as in `debug,hyper=debug`.
fn log(filter: &str) {
    const LIBRARIES: &str = "rustls=warn,h2=warn,hyper=warn,hyper_util=warn,object_store=warn,reqwest=warn,sqlx=warn,tower=warn";
    let filter = tracing_subscriber::EnvFilter::new(format!("{LIBRARIES},{filter}"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| terminal::Log)
        .init();
}

/// Starts the runtime. Fails if the system refuses to start threads (`ulimit -u`).
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    /// Number of worker threads of the runtime.
    const WORKERS: usize = 2;
    /// Maximum number of threads for the engine's file work. Each keeps 1 to 4 MiB in the allocator: with a thread for
    /// each step of each batch, memory would grow with the number of batches. Work that waits for anything but a
    /// file must not run there: outputs, which may be pipes, have their own threads.
    const FILE_THREADS: usize = 3;
    /// Number of threads that the command needs at the same time: workers, files, the ledger.
    const THREADS: usize = WORKERS + 2;
    let refused = |error: std::io::Error| {
        Failure::failed(format!("no thread can be started: {error}"))
            .hint("raise the limit of processes (ulimit -u)")
    };
    // Building a runtime panics if a thread cannot be started, so threads are tried first.
    let barrier = std::sync::Arc::new(std::sync::Mutex::new(()));
    let tried = {
        let _held = barrier.lock();
        let start = |_| {
            let barrier = std::sync::Arc::clone(&barrier);
            std::thread::Builder::new().spawn(move || drop(barrier.lock()))
        };
        (0..THREADS).map(start).collect::<Vec<_>>()
    };
    for thread in tried {
        // A thread that only waits does not panic.
        let _ = thread.map_err(refused)?.join();
    }
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(FILE_THREADS)
        .enable_all()
        .build()
        .map_err(refused)
}

async fn dispatch(session: &Arc<Session>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => Box::pin(commands::run::run(session, args)).await,
        Command::Create(args) => commands::create::create(args).await,
        Command::List(args) => commands::list::list(args).await,
        Command::Cancel(args) => commands::cancel::cancel(session, args).await,
        Command::Resume(args) if args.all => Box::pin(commands::many::all(session, args)).await,
        Command::Resume(args) => Box::pin(commands::resume::resume(session, args)).await,
        Command::Doctor(args) => commands::doctor::doctor(session, args).await,
        Command::Selftest(args) => Box::pin(commands::selftest::selftest(*args)).await,
        Command::Adopt(args) => commands::adopt::adopt(session, args).await,
        Command::Init { folder } => commands::init::init(session, folder).await,
        Command::Requeue(args) => Box::pin(commands::requeue::requeue(session, args)).await,
        Command::Runs(args) => commands::runs::runs(session, args).await,
        Command::Show(args) => commands::show::show(session, args).await,
        Command::Audit(args) => commands::audit::audit(session, args).await,
        Command::Purge(args) => commands::purge::purge(session, args).await,
        Command::Status(args) if args.watch => commands::watch::status(session, &args).await,
        Command::Status(args) => commands::status::status(session, args).await,
        Command::Wait(args) => commands::watch::wait(session, args).await,
        Command::Retrieve(args) => commands::retrieve::retrieve(session, args).await,
        Command::Estimate(args) => commands::estimate::estimate(&args),
        Command::Validate(args) => commands::validate::validate(args).await,
        Command::Providers => commands::providers::providers(),
        Command::Schema { of } => commands::schema::schema(of),
        Command::Completions { shell } => packaging::completions(shell),
        Command::Man { folder } => packaging::man(&folder),
        Command::Emulate { addr, emulator } => commands::emulate::emulate(addr, &emulator).await,
    }
}

fn report(failure: &Failure, json: bool) -> Exit {
    if json && !failure.message.is_empty() {
        terminal::json(&failure.json());
    }
    terminal::error(failure);
    failure.exit
}

impl Command {
    /// Reports whether only errors are to be printed.
    fn is_quiet(&self) -> bool {
        match self {
            Self::Run(run) => run.report.quiet,
            Self::Resume(resume) => resume.options.report.quiet,
            Self::Requeue(requeue) => requeue.resume.report.quiet,
            _ => false,
        }
    }

    /// Returns the retention of a command that may delete old answers once it has ended.
    fn retention(&mut self) -> Option<&mut RetentionArgs> {
        match self {
            Self::Run(run) => Some(&mut run.retention),
            Self::Resume(resume) => Some(&mut resume.options.retention),
            Self::Requeue(requeue) => Some(&mut requeue.resume.retention),
            _ => None,
        }
    }

    /// Returns the output path of a command that may report its failure as a JSON object.
    fn output(&self) -> Option<&Path> {
        match self {
            Self::Run(run) => run.output.as_deref(),
            Self::Resume(resume) => resume.options.output.as_deref(),
            Self::Requeue(requeue) => requeue.resume.output.as_deref(),
            _ => None,
        }
    }

    /// Reports whether the command prints JSON, for programs.
    fn wants_json(&self) -> bool {
        match self {
            Self::Run(run) => run.report.json,
            Self::Resume(resume) => resume.options.report.json,
            Self::Requeue(requeue) => requeue.resume.report.json,
            Self::Status(status) => status.json,
            Self::Wait(wait) => wait.json,
            Self::List(list) => list.json,
            Self::Selftest(selftest) => selftest.json,
            Self::Runs(runs) => runs.json,
            Self::Purge(purge) => purge.json,
            Self::Show(show) | Self::Audit(show) => show.json,
            Self::Estimate(estimate) => estimate.options.json,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_in_json_names_the_argument_and_a_hint() {
        for (words, message, hint) in [
            (
                &["lmbatch", "run", "--json"][..],
                "the following required arguments were not provided: --model <PROVIDER/MODEL>, <INPUT>",
                "usage: lmbatch run --model <PROVIDER/MODEL> --json <INPUT>",
            ),
            (
                &["lmbatch", "run", "in", "--mdoel", "x"],
                "unexpected argument '--mdoel' found",
                "a similar argument exists: '--model'; usage: lmbatch run --model <PROVIDER/MODEL> <INPUT>",
            ),
            (
                &["lmbatch", "requeue", "r", "--only", "truncatd"],
                "invalid value 'truncatd' for '--only <STATUS|PROBLEM>' [possible values: retryable, errored, malformed_answer, doubt, expired, cancelled, missing, truncated, refused, content_filter, invalid_structured, invalid_arguments, empty, unrecognized]",
                "a similar value exists: 'truncated'",
            ),
            (
                &["lmbatch", "run", "in", "-m", "a/b", "--max-attempts", "x"],
                "invalid value 'x' for '--max-attempts <N>': invalid digit found in string",
                "--help explains the arguments",
            ),
        ] {
            let error = args::command("lmbatch").try_get_matches_from(words);
            let failure = usage(&error.unwrap_err().render().to_string()).json();
            assert_eq!(failure["error"]["message"], message, "{words:?}");
            assert_eq!(failure["error"]["hint"], hint, "{words:?}");
        }
    }

    #[test]
    fn outcomes_on_standard_output_are_recognised_in_any_spelling() {
        for (words, wanted) in [
            (&["-o", "-"][..], true),
            (&["-o-"], true),
            (&["--output=-"], true),
            (&["--output", "/dev/stdout"], true),
            (&["-o", "out"], false),
            (&["-"], false),
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(writes_stdout(&words), wanted, "{words:?}");
        }
    }
}
