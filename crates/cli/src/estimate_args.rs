//! Options of an estimate, which compares models.

use clap::{ArgAction, ArgMatches, Command, Error, FromArgMatches};

use crate::paying_args::PricesArgs;

/// Settings of requests for one model or several: the settings of a run, of which `-m` may be repeated.
#[derive(Debug, Clone)]
pub(crate) struct EachModel<S> {
    /// Models as they are named: `PROVIDER/MODEL`.
    pub(crate) models: Vec<String>,
    /// Settings for the first model.
    pub(crate) settings: S,
}

/// Id of the argument that names a model.
const MODEL: &str = "model";

impl<S: clap::Args> clap::Args for EachModel<S> {
    fn augment_args(command: Command) -> Command {
        S::augment_args(command).mut_arg(MODEL, |arg| {
            arg.action(ArgAction::Append)
                .help("Model to estimate, such as openai/gpt-5.4-mini; may be repeated [default: `model` of lmbatch.toml]")
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: FromArgMatches> FromArgMatches for EachModel<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let models = matches.get_many::<String>(MODEL);
        Ok(Self {
            models: models.into_iter().flatten().cloned().collect(),
            settings: S::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Prices and output of an estimate.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EstimateOptions {
    /// Number of output tokens to count for each request, thinking included [default: the request's limit, or 1000].
    #[arg(long, value_name = "N")]
    pub(crate) expect_output: Option<u32>,
    #[command(flatten)]
    pub(crate) prices: PricesArgs,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}
