//! Arguments, options and help texts of the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use lmbatch::{Effort, Problem, SchemaMode};

pub(crate) use crate::connection_args::{ConnectionArgs, StateArgs};
use crate::cost_args::{ContinuingCostArgs, CostArgs};
pub(crate) use crate::doctor_args::DoctorArgs;
pub(crate) use crate::emulator_args::EmulatorArgs;
use crate::estimate_args::{EachModel, EstimateOptions};
use crate::examples;
use crate::exit::Failure;
pub(crate) use crate::limit_args::LimitArgs;
pub(crate) use crate::max_failed::MaxFailed;
use crate::output_format::Rows;
use crate::paying_args::PayingArgs;
use crate::pilot_args::PilotArgs;
use crate::repair_args::{ContinuingRepairArgs, RepairArgs};
use crate::retention_args::RetentionArgs;
use crate::step_args::StepArgs;
use crate::table_args::TableArgs;
use crate::text_arg::TextArg;
pub(crate) use crate::watching_args::{OnFinishArgs, RunsArgs, StatusArgs, WaitArgs};
use crate::whole_path::whole_path;

/// Batch inference for language models: exactly one outcome per request, at the batch price.
#[derive(Debug, Parser)]
#[command(name = "lmbatch", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Returns the definition of the command line, whose help names the program as it was called.
pub(crate) fn command(program: &str) -> clap::Command {
    let command = Args::command().after_help(EXAMPLES.replace("lmbatch", program));
    examples::add(command, program)
}

const EXAMPLES: &str = "Examples:
  Try it, without a key and without a bill:
    lmbatch run tickets.jsonl -m openai/gpt-5.4-mini --emulate
  Check every answer against a JSON Schema:
    lmbatch run tickets.jsonl -m openai/gpt-5.4-mini --schema answer.json
  Continue every run that has not ended, from cron:
    lmbatch resume --all --once --quiet
  Continue every run, and those that are begun later, until Ctrl-C:
    lmbatch resume --all --watch

Configuration:
  lmbatch.toml, in this folder or above it, and in the user's configuration folder, sets defaults of options;
  LMBATCH_CONFIG=FILE reads that file alone, and an empty LMBATCH_CONFIG none.

Exit codes:
  0    every request has a usable output
  1    error
  2    usage, input or key; this command sent nothing
  3    finished, and some outputs are unusable
  4    not finished; continue with resume, or confirm the pilot
  5    stopped by the cost limit; continue with resume --max-cost
  6    creation status unknown; decide with --on-doubt
  7    busy: another process holds the run
  141  the reader of the output closed its end
  129, 130, 143  stopped by HUP, INT, TERM; continue with resume";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all requests of a file, and write their outcomes.
    Run(Box<RunArgs>),
    /// Create one batch, print its id and exit; `status` and `retrieve` take that id.
    Create(Box<CreateArgs>),
    /// Show the status of runs, from the record, or of a batch at its provider.
    Status(StatusArgs),
    /// Wait until a run has ended; another process must be working on it. The exit code is that of the run.
    Wait(WaitArgs),
    /// Fetch the outcomes of a batch or a run that has ended.
    Retrieve(RetrieveArgs),
    /// List a provider's batches, newest first.
    List(ListArgs),
    /// Cancel a run or a batch; requests answered by then are billed, and their outcomes can be fetched.
    Cancel(CancelArgs),
    /// Resume runs from their last recorded state, without creating any batch twice.
    Resume(ResumeArgs),
    /// Send requests of an ended run again, by default unanswered ones; the last answer to a request counts.
    Requeue(RequeueArgs),
    /// Create a state folder, .lmbatch, for runs started in this folder and below it, in place of the user's.
    Init {
        /// Folder in which .lmbatch is created [default: the working directory].
        folder: Option<PathBuf>,
    },
    /// List the runs of the state folder, newest first.
    Runs(RunsArgs),
    /// Show a run and its batches.
    Show(ShowArgs),
    /// Check that a run has exactly one outcome per request, and list every billed answer.
    Audit(ShowArgs),
    /// Delete runs, with their prompts and answers, from this machine, from the provider, or from both.
    Purge(PurgeArgs),
    /// Find lmbatch batches and files at the provider that are not in the local record.
    Doctor(DoctorArgs),
    /// Test lmbatch's assumptions about a provider with a few live requests, and print a report.
    Selftest(Box<crate::selftest_args::SelftestArgs>),
    /// Rebuild the lost record of a run from its input and the label or the ids of its batches.
    Adopt(Box<AdoptArgs>),
    /// Check an input file offline, as `run` would; nothing is sent.
    Validate(Box<ValidateArgs>),
    /// Estimate what the requests of a file cost with one model or several, offline; nothing is sent.
    Estimate(Box<EstimateArgs>),
    /// List the providers and their capabilities.
    Providers,
    /// Print the JSON Schema of input lines, output lines, the summary, the plan of a dry run or an estimate.
    Schema {
        /// Format that the schema describes.
        of: SchemaOf,
    },
    /// Print a shell completion script.
    Completions {
        /// Shell for which the script is written.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of every command into a folder that exists.
    #[command(hide = true)]
    Man {
        /// Folder for the pages.
        folder: PathBuf,
    },
    /// Serve emulated provider APIs on this machine, for the SDKs of any language.
    Emulate {
        /// Address and port to listen on.
        #[arg(long, default_value = "127.0.0.1:8787")]
        addr: SocketAddr,
        #[command(flatten)]
        emulator: EmulatorArgs,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    Input,
    Output,
    Summary,
    DryRun,
    Estimate,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Requests: JSON Lines (see `lmbatch schema input`), or a table as CSV, TSV or JSON Lines, also compressed with gzip
    /// or zstd, or as Parquet; `-` is standard input, but not for Parquet. With --files a folder. A build with the feature
    /// `remote` also reads https://, s3://, gs:// and az:// URLs.
    pub(crate) input: PathBuf,
    /// Output file with one outcome per request, in input order; `-` is standard output. Pipes and devices are
    /// written to; a symbolic link is followed. A build with the feature `remote` also uploads to s3://, gs:// and az://
    /// URLs [default: INPUT.PROVIDER.MODEL.jsonl].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Check input, record and cost limit without a key, and report what would be sent; nothing is sent or recorded.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Answer with an emulator on this machine, without a key or a bill. Output lines carry "emulated": true. The
    /// run is recorded apart from paid ones, in the folder `emulated` of the state folder.
    #[arg(long)]
    pub(crate) emulate: bool,
    #[command(flatten)]
    pub(crate) emulator: EmulatorArgs,
    /// Time between two polls, such as 30s [default: from 2s growing to 60s].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) poll_interval: Option<Duration>,
    /// Longest time for the whole command, uploads and downloads included, such as 2h; the run continues at
    /// the provider.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Create the batches and exit; continue with `lmbatch resume`.
    #[arg(long, conflicts_with = "emulate")]
    pub(crate) detach: bool,
    /// Maximum number of times that a request is sent, if its failure is retryable or it expired
    /// [default: 3]. Kept with the run.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: Option<u32>,
    #[command(flatten)]
    pub(crate) repair: RepairArgs,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
    #[command(flatten)]
    pub(crate) doubt: DoubtArgs,
    /// Name of the run; a command with the name of an existing run continues that run.
    #[arg(long = "run", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Send every request in a new run, even if the same input was sent before.
    #[arg(long)]
    pub(crate) new: bool,
    /// Bring an earlier run up to date with its changed input: send new and changed requests only, and keep every
    /// other outcome.
    #[arg(long, conflicts_with = "new")]
    pub(crate) update: bool,
    /// Accept an input without requests: write an empty output, and send nothing.
    #[arg(long, conflicts_with = "update")]
    pub(crate) allow_empty: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Write each result row unchanged, as the provider sent it, as {"id", "raw"}.
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) paying: PayingArgs,
    #[command(flatten)]
    pub(crate) cost: CostArgs,
    #[command(flatten)]
    pub(crate) pilot: PilotArgs,
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// Format of an output.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct FormatArgs {
    /// Format of the output; openai and anthropic are the lines of those providers' result files, for outcomes of any
    /// provider [default: by its extension: .jsonl, .csv or .tsv, each also with .gz or .zst, or .parquet; JSON Lines for
    /// standard output and without an extension].
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) output_format: Option<Rows>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    /// The label of any batch of the run, such as lmbatch-abcdefghijkl-0, or the ids of all its batches,
    /// which must have ended; `lmbatch doctor` shows both.
    #[arg(required = true, num_args = 1.., value_name = "LABEL|BATCH")]
    pub(crate) batches: Vec<String>,
    /// Input file that was sent; the options must be those of the original command.
    pub(crate) input: PathBuf,
    /// Output file for the outcomes [default: INPUT.PROVIDER.MODEL.jsonl].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Create batches that are missing at the provider when the run is resumed; they are billed.
    #[arg(long)]
    pub(crate) create_missing: bool,
    /// The run was a pilot of the first N requests of the input, and the others were not sent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pilot: Option<u32>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cleanup {
    /// Delete nothing at the provider.
    None,
    /// Delete uploaded inputs.
    #[default]
    Inputs,
    /// Delete uploaded inputs and batches, where the provider supports deleting batches.
    All,
}

/// Outcomes to send again, by the status or the problem that the output names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Only {
    /// Errors that say that they are retryable, and expired requests.
    Retryable,
    Errored,
    MalformedAnswer,
    Doubt,
    Expired,
    Cancelled,
    Missing,
    Truncated,
    Refused,
    ContentFilter,
    InvalidStructured,
    InvalidArguments,
    Empty,
    Unrecognized,
    /// Deprecated name for `invalid_structured`, `empty` and `unrecognized` together.
    #[value(hide = true)]
    Invalid,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RequeueArgs {
    /// Id or name of the run, or at least the first 4 characters of its id.
    pub(crate) run: String,
    /// Send only requests whose outcome has one of these statuses or problems, separated by commas, or repeated;
    /// `retryable` stands for errors that say that they are, and for expired requests. With --repair the default is
    /// invalid_structured [default: errored, expired, cancelled and missing]. Requests whose answer was or may have been
    /// billed are sent again only if named here: `malformed_answer`, `doubt`, and `missing` where the provider counts
    /// undelivered answers.
    #[arg(long, value_name = "STATUS|PROBLEM", value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Only>,
    /// Send only requests whose ids are in this file, one per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) ids: Option<PathBuf>,
    /// Use another model of the run's provider.
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// Use another maximum number of output tokens per answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// Add or change a parameter of every request, as in `run`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Use another folder of attachments; only with -m, --max-tokens or --set, which read the input again.
    #[arg(long, value_name = "DIR", value_parser = whole_path())]
    pub(crate) attachments: Option<PathBuf>,
    /// Report how many requests would be sent again; nothing is sent.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) resume: ResumeOptions,
}

/// Treatment of a create whose response was lost.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DoubtArgs {
    /// Longest time to search for a batch after the response to its create was lost, and to read incomplete results
    /// again. If the provider lists new batches later than that, a request may be paid for twice [default: 15min].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) doubt_wait: Option<Duration>,
    /// Action if no batch is found after the response to its create was lost. hold: stop the run; resubmit: create
    /// again, may pay twice; abandon: report its requests as errors, and requests without a result row as missing.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub(crate) on_doubt: OnDoubtArg,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum OnDoubtArg {
    #[default]
    Hold,
    Resubmit,
    Abandon,
}

/// Treatment of outcomes, and reports about them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReportArgs {
    /// Overwrite an existing output file.
    #[arg(long)]
    pub(crate) force: bool,
    /// Count outputs with these problems as usable; separated by commas, or repeated. Kept with the run.
    #[arg(long, value_name = "PROBLEM", value_delimiter = ',', value_parser = problems())]
    pub(crate) accept: Vec<Problem>,
    /// Data to delete at the provider once the output is written [default: inputs]. Kept with the run.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) cleanup: Option<Cleanup>,
    /// Exit 0 if at most this many outputs are unusable: a number, or a percentage such as 3% [default: 0]. Kept
    /// with the run.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) max_failed: Option<MaxFailed>,
    /// Print the summary as one JSON object on stdout, or on stderr if the outcomes are written to stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print errors only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) on_finish: OnFinishArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// Id or name of the run, or at least the first 4 characters of its id [default: the only unfinished run].
    pub(crate) run: Option<String>,
    /// Resume all unfinished runs concurrently. The exit code is the worst of theirs, in the order 1, 2, 6, 5, 3, 7,
    /// 4, 0.
    #[arg(long, conflicts_with_all = ["run", "output", "max_cost"])]
    pub(crate) all: bool,
    /// With --all: keep looking for unfinished runs until INT or TERM. A run that fails is tried again after a
    /// minute, and then at growing intervals of up to ten minutes.
    #[arg(long, requires = "all", conflicts_with = "once")]
    pub(crate) watch: bool,
    /// Create batches that are due, poll each batch once, fetch ended batches, and exit: with 0 or 3, or with 4
    /// if the run is still running. For cron and schedulers.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) options: ResumeOptions,
}

/// Options for continuing a run.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeOptions {
    /// Output file, for this command and for later ones that continue the run [default: the run's own].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Time between two polls, such as 30s [default: from 2s growing to 60s].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) poll_interval: Option<Duration>,
    /// Longest time for the whole command, uploads and downloads included, such as 2h; the run continues at
    /// the provider.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Maximum number of times that a request is sent, if its failure is retryable or it expired
    /// [default: the run's own setting, or 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: Option<u32>,
    #[command(flatten)]
    pub(crate) repair: ContinuingRepairArgs,
    #[command(flatten)]
    pub(crate) paying: ContinuingCostArgs,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
    #[command(flatten)]
    pub(crate) doubt: DoubtArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) retention: RetentionArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneRunArgs {
    /// Id or name of the run, or at least the first 4 characters of its id.
    pub(crate) run: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) run: OneRunArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("runs").required(true).args(["run", "older_than"]))]
pub(crate) struct PurgeArgs {
    /// Id or name of the run, or at least the first 4 characters of its id.
    pub(crate) run: Option<String>,
    /// Delete every ended run that started at least this long ago, such as 30d.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Delete the inputs and results of the runs at the provider.
    #[arg(long)]
    pub(crate) remote: bool,
    /// Delete the records, prompts and answers on this machine; the default without --remote.
    #[arg(long)]
    pub(crate) local: bool,
    /// Delete only the prompts and answers on this machine, of runs whose output file is there unchanged. Their records
    /// stay, so that the same requests are not sent again.
    #[arg(long, conflicts_with_all = ["remote", "local", "force"])]
    pub(crate) answers: bool,
    /// Delete even an unfinished run; answers of its batches are billed, and lost.
    #[arg(long)]
    pub(crate) force: bool,
    /// Report what would be deleted; nothing is deleted.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object per run.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// Id or name of the run, or at least the first 4 characters of its id; with -p, the id of a batch.
    #[arg(value_name = "RUN|BATCH", required_unless_present = "handle")]
    pub(crate) batch: Option<String>,
    /// Provider of the batch; not needed for a run.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Handle file of the batch, which `create` wrote, in place of the batch and its provider.
    #[arg(long, value_name = "FILE")]
    pub(crate) handle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Requests, as for `run`; `-` is standard input.
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct EstimateArgs {
    /// Requests, in any form that `lmbatch run` reads; `-` is standard input.
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) each: EachModel<SettingsArgs>,
    #[command(flatten)]
    pub(crate) options: EstimateOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Requests, as for `run`; `-` is standard input. See `lmbatch schema input`.
    pub(crate) input: PathBuf,
    /// File for the batch handle, from which `retrieve` gives each request its own id and exactly one outcome
    /// [default: INPUT.PROVIDER.MODEL.jsonl.handle.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) handle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Overwrite an existing handle file.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Provider whose batches are listed, such as openai.
    #[arg(short, long)]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Maximum number of batches to list, newest first; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print one JSON object per batch.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Model, parameters and files that apply to every request.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Model that answers the requests, such as openai/gpt-5.4-mini [default: `model` of lmbatch.toml].
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: String,
    /// System message for every request; @FILE reads it from a file. For a table it is a template, as --prompt is.
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) system: Option<TextArg>,
    /// File with the JSON Schema of the answers; every answer is checked against it.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Treatment of a schema that the provider does not support: strict refuses it, lenient sends the supported part.
    /// Every answer is checked on this machine against the whole schema.
    #[arg(long, value_name = "MODE", default_value_t)]
    pub(crate) schema_mode: SchemaMode,
    /// Parameter of every request. VALUE is read as JSON if it parses, else as a string; dots separate nested keys.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Maximum number of output tokens per answer.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// Sampling temperature, such as 0.7; higher is more random.
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Nucleus sampling (top-p), from 0 to 1.
    #[arg(long, value_name = "X")]
    pub(crate) top_p: Option<f64>,
    /// Reasoning effort: none, minimal, low, medium, high, xhigh or max.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) effort: Option<Effort>,
    /// Endpoint or upload method, one of those that `providers` lists for the provider, such as responses or chat
    /// (openai), file or inline (google) [default: the first].
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// Folder of the attachments. Their paths are relative to it and must stay inside it [default: the input's
    /// folder].
    #[arg(long, value_name = "DIR", value_parser = whole_path())]
    pub(crate) attachments: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) table: TableArgs,
}

/// Parses the problem of a succeeded outcome by its name in the output.
fn problems() -> impl TypedValueParser<Value = Problem> {
    let names = Problem::ALL.iter().map(|problem| problem.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Problem>())
}

/// Parses a temperature: a finite number, 0 or more.
fn temperature(text: &str) -> Result<f64, String> {
    let parsed = text.parse().ok();
    parsed
        .filter(|value: &f64| value.is_finite() && *value >= 0.0)
        .ok_or_else(|| "not a finite number of 0 or more, such as 0.7".to_owned())
}

impl SettingsArgs {
    /// Returns the settings that shape what is sent, without those that choose rows, columns and ids.
    pub(crate) fn of_requests(&self) -> Self {
        let mut settings = self.clone();
        settings.table = settings.table.of_requests();
        settings
    }

    /// Returns the files whose contents are part of every request, each with its role.
    pub(crate) fn reads(&self) -> Vec<(&'static str, &Path)> {
        let system = self.system.as_ref().and_then(TextArg::file);
        let prompt = self.table.prompt.as_ref().and_then(TextArg::file);
        let files = [
            ("the system message", system),
            ("the prompt", prompt),
            ("the schema", self.schema.as_deref()),
            (
                "the file of invalid rows",
                self.table.skip_invalid.as_deref(),
            ),
        ];
        let named = files.into_iter();
        named
            .filter_map(|(role, path)| Some((role, path?)))
            .collect()
    }

    /// Reads the files of texts, so that the texts are kept with the run.
    pub(crate) fn keep_texts(&mut self) -> Result<(), Failure> {
        for (flag, text) in [
            ("--system", &mut self.system),
            ("--prompt", &mut self.table.prompt),
        ] {
            if let Some(text) = text {
                text.keep_text(flag)?;
            }
        }
        Ok(())
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct BatchArgs {
    /// Id or name of the run, or at least the first 4 characters of its id; with -p, the id of a batch. Not needed with
    /// --handle.
    #[arg(value_name = "RUN|BATCH", required_unless_present = "handle")]
    pub(crate) batch: Option<String>,
    /// Provider of the batch; not needed for a run, and with --handle.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    /// Handle file that `create` wrote; gives each request its own id and exactly one outcome. Not needed for a run, and
    /// for a batch of a run that is recorded in the state folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) handle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetrieveArgs {
    #[command(flatten)]
    pub(crate) batch: BatchArgs,
    /// Write each result row unchanged, as the provider sent it, as {"id", "raw"}.
    #[arg(long)]
    pub(crate) raw: bool,
    /// Write the outcomes so far of an unfinished run, from its record; the provider is not contacted.
    #[arg(long)]
    pub(crate) partial: bool,
    /// Longest time to read the results of a batch again while they are incomplete [default: 15min].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) doubt_wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Output file for the outcomes; `-` is standard output.
    #[arg(short, long, default_value = "-")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
    /// Overwrite an existing output file.
    #[arg(long)]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests;
