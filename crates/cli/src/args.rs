//! What the command line says.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use lmbatch_core::{Effort, Problem, SchemaMode};
use lmbatch_engine::BatchLimit;
use serde::{Deserialize, Serialize};

pub(crate) use crate::max_failed::MaxFailed;

/// Batch inference for language models: exactly one outcome per request, at the batch price.
#[derive(Debug, Parser)]
#[command(name = "lmbatch", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command line of a program: another's is called otherwise.
pub(crate) fn command(program: &str) -> clap::Command {
    Args::command().after_help(EXAMPLES.replace("lmbatch", program))
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

Exit codes:
  0    every request has a usable output
  1    error
  2    usage or input; nothing was sent
  3    finished, and some outputs are unusable
  4    not finished; continue with resume
  5    busy: another process holds the run
  6    submission status unknown
  141  the reader of the output closed its end
  129, 130, 143  stopped by HUP, INT, TERM; continue with resume";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all requests of a file, and write their outcomes.
    Run(Box<RunArgs>),
    /// Create a batch and exit; status and retrieve continue from its id.
    Create(Box<CreateArgs>),
    /// Show the status of a batch or a run.
    Status(StatusArgs),
    /// Fetch the outcomes of a batch or a run that has ended.
    Retrieve(RetrieveArgs),
    /// List a provider's batches, newest first.
    List(ListArgs),
    /// Cancel a run or a batch; what is answered by then is paid for and can be fetched.
    Cancel(CancelArgs),
    /// Resume runs from their last recorded state, without submitting anything twice.
    Resume(ResumeArgs),
    /// Send requests of a run that has ended again; what is answered last counts.
    Requeue(RequeueArgs),
    /// Make a state folder, .lmbatch, for what is run in this folder and below, in place of the user's.
    Init {
        /// The folder to make it in [default: the working directory].
        folder: Option<PathBuf>,
    },
    /// List the runs.
    Runs(RunsArgs),
    /// Show a run and its batches.
    Show(ShowArgs),
    /// Prove that a run has one outcome per request, and list every answer that is billed.
    Audit(ShowArgs),
    /// Delete runs, with their prompts and answers, from this machine, the provider, or both.
    Purge(PurgeArgs),
    /// Find lmbatch batches and files at the provider that are not in the local record.
    Doctor(DoctorArgs),
    /// Rebuild the record of a run that was lost from its input, and the label or the ids of its batches.
    Adopt(Box<AdoptArgs>),
    /// Check a file as run would, offline, and send nothing.
    Validate(Box<ValidateArgs>),
    /// List the providers, and what each can do.
    Providers,
    /// Print a JSON Schema: of input lines, output lines, the summary or the plan of a dry run.
    Schema {
        /// Of what.
        of: SchemaOf,
    },
    /// Print a script that completes this command's arguments in a shell.
    Completions {
        /// Shell that reads the script.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of every command into a folder that exists.
    #[command(hide = true)]
    Man {
        /// Folder for the pages.
        folder: PathBuf,
    },
    /// Serve the providers' APIs on this machine, for any language's SDK.
    Emulate {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8787")]
        addr: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SchemaOf {
    Input,
    Output,
    Summary,
    DryRun,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Requests, one JSON object a line; `-` is standard input. See `lmbatch schema input`.
    pub(crate) input: PathBuf,
    /// Outcomes, one line a request in input order; `-` is standard output. Pipes and devices are written
    /// to; a symbolic link is followed [default: INPUT.PROVIDER.MODEL.jsonl].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Check everything that needs no key, say what would be sent, and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Answer on this machine, without a key or a bill. Lines carry "emulated": true. The run is not recorded:
    /// the same command again is a new run, and its output exists unless --force is given.
    #[arg(long)]
    pub(crate) emulate: bool,
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
    /// Maximum number of times that a request is sent which was not answered and may be [default: 3]. Kept with
    /// the run.
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    #[command(flatten)]
    pub(crate) limit: LimitArgs,
    #[command(flatten)]
    pub(crate) doubt: DoubtArgs,
    /// A name for the run: the same name is the same run.
    #[arg(long = "run", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Send everything again, though the same input was sent before.
    #[arg(long)]
    pub(crate) new: bool,
    /// The input has changed since: send what is new or changed, and keep every other outcome.
    #[arg(long, conflicts_with_all = ["new", "emulate"])]
    pub(crate) update: bool,
    /// Take an input without requests: write an empty output, and send nothing.
    #[arg(long, conflicts_with = "update")]
    pub(crate) allow_empty: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Write each provider row as it came, as {"id", "raw"}.
    #[arg(long)]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// How large batches may be.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize, clap::Args)]
pub(crate) struct LimitArgs {
    /// The most requests of one batch, below what the provider takes.
    #[arg(long, value_name = "N")]
    pub(crate) max_batch_requests: Option<u32>,
    /// The most bytes of one batch, below what the provider takes.
    #[arg(long, value_name = "N")]
    pub(crate) max_batch_bytes: Option<u64>,
    /// The most tokens of one batch, estimated from its bytes with a margin: for limits on tokens that
    /// wait at once.
    #[arg(long, value_name = "N")]
    pub(crate) max_batch_tokens: Option<u64>,
}

impl LimitArgs {
    pub(crate) fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn or(&self, other: &Self) -> Self {
        Self {
            max_batch_requests: self.max_batch_requests.or(other.max_batch_requests),
            max_batch_bytes: self.max_batch_bytes.or(other.max_batch_bytes),
            max_batch_tokens: self.max_batch_tokens.or(other.max_batch_tokens),
        }
    }

    pub(crate) fn limit(&self) -> BatchLimit {
        BatchLimit {
            max_requests: self.max_batch_requests,
            max_bytes: self.max_batch_bytes,
            max_tokens: self.max_batch_tokens,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Whose batches.
    #[arg(short, long)]
    pub(crate) provider: String,
    /// Delete the files that no batch needs, here and at the provider; batches are left alone.
    #[arg(long)]
    pub(crate) clean: bool,
    /// Delete only uploads of this age or older: a younger one may be in use on another machine.
    #[arg(long, value_name = "DUR", default_value = "2d", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Duration,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArgs {
    /// The label of any batch of the run, such as lmbatch-abcdefghijkl-0, or the ids of all its batches,
    /// which must have ended; `lmbatch doctor` shows both.
    #[arg(required = true, num_args = 1.., value_name = "LABEL|BATCH")]
    pub(crate) batches: Vec<String>,
    /// The input that was sent, with the same options.
    pub(crate) input: PathBuf,
    /// Where outcomes go [default: INPUT.PROVIDER.MODEL.jsonl].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Have batches that are not at the provider created when the run goes on: they are paid for.
    #[arg(long)]
    pub(crate) create_missing: bool,
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
    /// Delete nothing.
    None,
    /// Delete uploaded inputs.
    #[default]
    Inputs,
    /// Delete batches as well, where the provider can.
    All,
}

/// Outcomes that are sent again, by their status or by the problem of an answer, as the output has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Only {
    Errored,
    Expired,
    Cancelled,
    Missing,
    Truncated,
    Refused,
    ContentFilter,
    InvalidStructured,
    Empty,
    Unrecognized,
    /// Name of an earlier version for `invalid_structured`, `empty` and `unrecognized`.
    #[value(hide = true)]
    Invalid,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RequeueArgs {
    /// Id or name of the run, or the beginning of an id, from 4 characters.
    pub(crate) run: String,
    /// Only outcomes of these statuses or problems [default: errored, expired, cancelled and missing].
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Only>,
    /// Only the ids in this file, one a line.
    #[arg(long, value_name = "FILE")]
    pub(crate) ids: Option<PathBuf>,
    /// To another model of the provider.
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: Option<String>,
    /// With another limit to the tokens of an answer.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// With another parameter, as in `run`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Another folder of attachments than the run's, where the input is read again: with -m, --max-tokens
    /// or --set.
    #[arg(long, value_name = "DIR", value_parser = whole_path())]
    pub(crate) attachments: Option<PathBuf>,
    /// Say how many would be sent again, and send nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) resume: ResumeOptions,
}

/// What is done about a create whose answer was lost.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DoubtArgs {
    /// How long to look for a batch whose create's answer was lost, and to read results again that are not
    /// whole [default: 15min].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) doubt_wait: Option<Duration>,
    /// What to do if it does not appear: hold; resubmit, which may pay twice; or abandon its requests.
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

/// Where runs are recorded.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StateArgs {
    /// The folder of runs [default: the nearest .lmbatch that `lmbatch init` made, here or above, else the user's own].
    #[arg(long, value_name = "FOLDER", env = "LMBATCH_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What is done with outcomes, and said of them.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ReportArgs {
    /// Overwrite an output file that exists.
    #[arg(long)]
    pub(crate) force: bool,
    /// Count outputs with these problems as usable. Kept with a run.
    #[arg(long, value_name = "PROBLEM", value_delimiter = ',', value_parser = problems())]
    pub(crate) accept: Vec<Problem>,
    /// What is deleted at the provider once the output is safe [default: inputs]. Kept with a run.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) cleanup: Option<Cleanup>,
    /// Exit 0 if at most this many outputs are unusable: a number, or a percentage such as 3% [default: 0]. Kept
    /// with a run.
    #[arg(long, value_name = "N")]
    pub(crate) max_failed: Option<MaxFailed>,
    /// Print the summary as one JSON object on stdout; on stderr where outcomes go to stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print errors only.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// Id or name of the run, or the beginning of an id, from 4 characters; the one that has not ended, if
    /// there is only one.
    pub(crate) run: Option<String>,
    /// Every run that has not ended, all at once; the worst exit code counts (1, 2, 6, 3, 5, 4, 0).
    #[arg(long, conflicts_with_all = ["run", "output"])]
    pub(crate) all: bool,
    /// With --all: go on looking for runs that have not ended, until INT or TERM. A run that fails is tried
    /// again after a minute, and then less often.
    #[arg(long, requires = "all", conflicts_with = "once")]
    pub(crate) watch: bool,
    /// Create what can be created, ask once, fetch what has ended, and exit: 0, 3, or 4 if the run is still
    /// in progress. For cron and schedulers.
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) options: ResumeOptions,
}

/// How a run is continued.
#[derive(Debug, clap::Args)]
pub(crate) struct ResumeOptions {
    /// Where outcomes go, now and when the run is continued again [default: the output of the run].
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
    /// Time between two polls, such as 30s [default: from 2s growing to 60s].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) poll_interval: Option<Duration>,
    /// Longest time for the whole command, uploads and downloads included, such as 2h; the run continues at
    /// the provider.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Maximum number of times that a request is sent which was not answered and may be [default: as the run
    /// was begun, or 3].
    #[arg(long, value_name = "N")]
    pub(crate) max_attempts: Option<u32>,
    #[command(flatten)]
    pub(crate) doubt: DoubtArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneRunArgs {
    /// Id or name of the run, or the beginning of an id, from 4 characters.
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
pub(crate) struct RunsArgs {
    /// The most runs, newest first; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Every run.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Print one JSON object a run.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArgs {
    /// Id or name of the run, or the beginning of an id, from 4 characters.
    #[arg(required_unless_present = "older_than")]
    pub(crate) run: Option<String>,
    /// Every run that has ended and began so long ago, such as 30d.
    #[arg(long, value_name = "DUR", conflicts_with = "run", value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Delete its inputs and results at the provider.
    #[arg(long)]
    pub(crate) remote: bool,
    /// Delete its record, prompts and answers here; what is done where neither is said.
    #[arg(long)]
    pub(crate) local: bool,
    /// Even a run that has not ended: what its batches answer is paid for, and lost.
    #[arg(long)]
    pub(crate) force: bool,
    /// Say what would be deleted, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print one JSON object a run.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CancelArgs {
    /// A run, by id, name or the beginning of an id; with -p, a batch.
    pub(crate) batch: String,
    /// Whose batch it is; a run knows it.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ValidateArgs {
    /// Requests, one JSON object a line; `-` is standard input.
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Requests, one JSON object a line; `-` is standard input. See `lmbatch schema input`.
    pub(crate) input: PathBuf,
    /// Where the handle goes, with which `retrieve` gives each request its own id and its one outcome
    /// [default: INPUT.PROVIDER.MODEL.jsonl.handle.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) handle: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// Overwrite a handle file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Whose batches.
    #[arg(short, long)]
    pub(crate) provider: String,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
    /// The most batches; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Print one JSON object a batch.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What every request has in common.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub(crate) struct SettingsArgs {
    /// The model.
    #[arg(short, long, value_name = "PROVIDER/MODEL")]
    pub(crate) model: String,
    /// A system message for every request; @FILE reads it from a file.
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) system: Option<String>,
    /// A JSON Schema for every answer; each is checked.
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,
    /// Treatment of a schema that the provider does not take, such as a map at Anthropic: strict refuses it
    /// before anything is sent; lenient sends as much of it as the provider takes, if need be none. A schema
    /// that OpenAI takes without holding the model to it is sent in both modes, and a line says so. Answers
    /// are checked on this machine against the whole schema in both modes.
    #[arg(long, value_name = "MODE", default_value_t)]
    #[serde(default)]
    pub(crate) schema_mode: SchemaMode,
    /// A parameter of every request; VALUE is JSON if it parses, else a string. Dots separate nested keys.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Maximum output tokens of an answer.
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<u32>,
    /// Sampling temperature, such as 0.7; higher is more random.
    #[arg(long, value_name = "X")]
    pub(crate) temperature: Option<f64>,
    /// Reasoning effort: none, minimal, low, medium, high, xhigh or max.
    #[arg(long, value_name = "LEVEL")]
    pub(crate) effort: Option<Effort>,
    /// Endpoint or upload method, one of those that `providers` lists for the provider, such as responses or chat
    /// (openai), file or inline (google) [default: the first].
    #[arg(long, value_name = "ROUTE")]
    pub(crate) route: Option<String>,
    /// The folder of attachments: their paths start there, and none may leave it [default: the input's
    /// folder].
    #[arg(long, value_name = "DIR", value_parser = whole_path())]
    #[serde(default)]
    pub(crate) attachments: Option<PathBuf>,
}

/// The problem of a succeeded outcome, by its name in the output.
fn problems() -> impl TypedValueParser<Value = Problem> {
    let names = Problem::ALL.iter().map(|problem| problem.as_str());
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Problem>())
}

/// A path that means the same from any folder: a run keeps it.
fn whole_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute::<PathBuf>)
}

impl SettingsArgs {
    /// Files that are read for every request.
    pub(crate) fn reads(&self) -> Vec<(&'static str, &Path)> {
        let system = self
            .system
            .as_deref()
            .and_then(|text| text.strip_prefix('@'));
        let system = system.map(|path| ("the system message", Path::new(path)));
        let schema = self.schema.as_deref().map(|path| ("the schema", path));
        system.into_iter().chain(schema).collect()
    }
}

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConnectionArgs {
    /// Base URL of the provider's API [default: the provider's own].
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The variable that holds the key [default: the provider's own].
    #[arg(long, value_name = "NAME")]
    pub(crate) key_env: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BatchArgs {
    /// A run, by id, name or the beginning of an id; with -p, a batch.
    pub(crate) batch: String,
    /// Whose batch it is; a run knows it.
    #[arg(short, long)]
    pub(crate) provider: Option<String>,
    #[command(flatten)]
    pub(crate) connection: ConnectionArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) batch: BatchArgs,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RetrieveArgs {
    #[command(flatten)]
    pub(crate) batch: BatchArgs,
    /// What `create` wrote: gives each request its own id and its one outcome. A run knows them.
    #[arg(long, value_name = "FILE")]
    pub(crate) handle: Option<PathBuf>,
    /// Of a run that goes on: the outcomes that are there. Nothing is asked or sent.
    #[arg(long)]
    pub(crate) partial: bool,
    /// How long to read results of a batch again that are not whole [default: 15min].
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    pub(crate) doubt_wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Where outcomes go; `-` is standard output.
    #[arg(short, long, default_value = "-")]
    pub(crate) output: PathBuf,
    /// Overwrite an output file that exists.
    #[arg(long)]
    pub(crate) force: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
