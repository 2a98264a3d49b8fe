//! The `lmbatch` command: arguments, wording, exit codes. Everything else is the library's.

mod args;
mod commands;
mod exit;
mod input;
mod model;
mod next;
mod output;
mod progress;
mod providers;
mod settings;
mod summary;
mod terminal;
mod words;

#[doc(hidden)]
pub use input::read_lines;

use std::process::ExitCode;

use clap::FromArgMatches as _;
use lmbatch_core::ProviderFactory;

use crate::args::{Args, Command};
use crate::exit::{Exit, Failure};

/// The command, with the providers of others beside ours.
///
/// ```no_run
/// # mod acme { pub fn factory() -> impl lmbatch_core::ProviderFactory { lmbatch::openai::factory() } }
/// fn main() -> std::process::ExitCode {
///     lmbatch_cli::Cli::new().with(acme::factory()).main()
/// }
/// ```
#[derive(Debug, Default)]
pub struct Cli {
    others: Vec<Box<dyn ProviderFactory>>,
}

impl Cli {
    /// With the providers of lmbatch.
    pub fn new() -> Self {
        Self::default()
    }

    /// And with one more; one that bears the name of ours takes its place.
    pub fn with(mut self, factory: impl ProviderFactory) -> Self {
        self.others.push(Box::new(factory));
        self
    }

    /// Runs the command on this process's arguments.
    pub fn main(self) -> ExitCode {
        providers::add(self.others);
        main()
    }
}

fn main() -> ExitCode {
    let arg0 = std::env::args_os().next();
    let program = next::program(arg0.as_deref());
    let matches = args::command(program).get_matches();
    next::called(program, &matches);
    let args = Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Ok(filter) = std::env::var("LMBATCH_LOG") {
        let filter = tracing_subscriber::EnvFilter::new(filter);
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::error(&format!("the runtime could not be started: {error}"), None);
            return Exit::Failed.into();
        }
    };
    let json = match &args.command {
        Command::Run(run) => run.report.json,
        Command::Resume(resume) => resume.options.report.json,
        Command::Requeue(requeue) => requeue.resume.report.json,
        _ => false,
    };
    let ended = runtime.block_on(async {
        let ended = dispatch(args.command).await;
        commands::state::close().await;
        ended
    });
    let exit = ended.unwrap_or_else(|failure| report(&failure, json));
    // Work that is left over, such as a read that hangs, does not keep the process.
    runtime.shutdown_background();
    exit.into()
}

async fn dispatch(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Run(args) => Box::pin(commands::run::run(args)).await,
        Command::Create(args) => commands::create::create(args).await,
        Command::List(args) => commands::batch::list(args).await,
        Command::Cancel(args) => commands::batch::cancel(args).await,
        Command::Resume(args) => commands::resume::resume(args).await,
        Command::Doctor(args) => commands::doctor::doctor(args).await,
        Command::Adopt(args) => commands::adopt::adopt(args).await,
        Command::Init { folder } => commands::state::init(folder).await,
        Command::Requeue(args) => Box::pin(commands::requeue::requeue(args)).await,
        Command::Runs(args) => commands::runs::runs(args).await,
        Command::Show(args) => commands::runs::show(args).await,
        Command::Audit(args) => commands::runs::audit(args).await,
        Command::Purge(args) => commands::purge::purge(args).await,
        Command::Status(args) => commands::batch::status(args).await,
        Command::Retrieve(args) => commands::batch::retrieve(args).await,
        Command::Validate(args) => commands::validate::validate(args).await,
        Command::Providers => commands::show::providers(),
        Command::Schema { of } => commands::show::schema(of),
        Command::Emulate { addr } => commands::emulate::emulate(addr).await,
    }
}

fn report(failure: &Failure, json: bool) -> Exit {
    if json {
        let error = serde_json::json!({"format": 1, "error": {"message": failure.message, "kind": failure.kind, "batch": failure.batch}});
        terminal::out(&error.to_string());
    }
    terminal::error(&failure.message, failure.hint.as_deref());
    failure.exit
}
