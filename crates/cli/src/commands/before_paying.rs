//! Plan of a run, printed before anything is sent, and the question whether to send it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lmbatch::engine::{Plan, PlannedRequest};
use lmbatch::{Cost, CostRange};
use serde::Serialize;
use tokio::sync::oneshot;

use super::clock;
use super::run_settings::RunSettings;
use crate::estimator::{ASSUMED_OUTPUT, Estimate, Estimator};
use crate::exit::Failure;
use crate::paying_args::PayingArgs;
use crate::{format, terminal};

/// Time that a batch may take. A model that retires within it is reported.
const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Estimator of a plan, which is filled while the plan is made.
#[derive(Debug, Clone)]
pub(crate) struct Estimating(Arc<Mutex<Estimator>>);

impl Estimating {
    /// Returns an estimator with the prices of today.
    ///
    /// # Errors
    /// Usage, if the table of prices that the command names cannot be used.
    pub(crate) fn new(args: &PayingArgs, notes: &RunSettings) -> Result<Self, Failure> {
        let table = args.prices.table()?;
        let expected = notes.kept.cost().expect_output;
        let estimator = Estimator::new(table, notes.provider.id(), clock().now(), expected);
        Ok(Self(Arc::new(Mutex::new(estimator))))
    }

    /// Returns a callback that adds each request of a plan.
    pub(crate) fn adding(&self) -> impl FnMut(&PlannedRequest<'_>) + Send + 'static {
        let estimating = self.clone();
        move |request| estimating.lock().add(request)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Estimator> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sizes of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) requests: u64,
    pub(crate) batches: u64,
    pub(crate) bytes: u64,
}

impl Sizes {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            requests: plan.requests(),
            batches: u64::from(plan.batches()),
            bytes: plan.bytes(),
        }
    }

    /// Returns the sizes of an input without requests.
    pub(crate) fn none() -> Self {
        Self {
            requests: 0,
            batches: 0,
            bytes: 0,
        }
    }
}

/// Estimated price of a run, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct Price {
    /// Day of the table of prices.
    as_of: String,
    /// Estimated number of input tokens.
    input_tokens: u64,
    /// Assumed number of output tokens: the limits of the requests, or an assumption.
    output_tokens: u64,
    /// Number of requests without a limit of their output.
    unlimited: u64,
    input_usd: Option<CostRange>,
    output_usd: Option<CostRange>,
    total_usd: Option<CostRange>,
}

impl Price {
    pub(crate) fn of(estimator: &Estimator) -> Self {
        let estimate = estimator.estimate();
        Self {
            as_of: estimator.as_of().to_owned(),
            input_tokens: estimate.input_tokens,
            output_tokens: estimate.output_tokens,
            unlimited: estimate.unlimited,
            input_usd: estimate.input,
            output_usd: estimate.output,
            total_usd: estimate.total(),
        }
    }
}

/// Returns the name of the variable that holds the key, or the names of those that may.
pub(crate) fn key_variable(notes: &RunSettings) -> String {
    match &notes.connection.key_env {
        Some(name) => name.clone(),
        None => notes.provider.key_variables().join(" or "),
    }
}

/// Prints the plan of a run: a line each for requests, input, answers, price, endpoint and output, and for the state
/// folder where the command has not printed it.
pub(crate) fn print(
    estimator: &Estimator,
    notes: &RunSettings,
    sizes: Sizes,
    state: Option<&Path>,
    emulated: bool,
) {
    let estimate = estimator.estimate();
    let mut lines = Vec::new();
    if let Some(state) = state {
        lines.push(format!("state: {}", state.display()));
    }
    lines.push(format!(
        "requests: {} in {}, {}",
        format::number(sizes.requests),
        format::count(sizes.batches, "batch", "batches"),
        format::bytes(sizes.bytes)
    ));
    let cost = |cost: Option<CostRange>| cost.map_or("unknown".to_owned(), CostRange::rounded);
    lines.push(format!(
        "input: about {} tokens, one for 3 bytes: {}",
        format::number(estimate.input_tokens),
        cost(estimate.input)
    ));
    lines.push(format!(
        "answers: about {} tokens, {}: {}",
        format::number(estimate.output_tokens),
        output_basis(estimate),
        cost(estimate.output)
    ));
    let price = price(estimator, notes);
    lines.push(match emulated {
        true => format!("price: nothing is billed; at the provider, {price}"),
        false => format!("price: {price}"),
    });
    let endpoints: Vec<&str> = estimate.endpoints.iter().map(String::as_str).collect();
    let at = notes.connection.base_url.as_deref();
    let at = at.map_or(String::new(), |url| format!(" at {url}"));
    lines.push(match emulated {
        true => format!("endpoint: {} of an emulator", endpoints.join(", ")),
        false => format!(
            "endpoint: {}{at}, with the key in {}",
            endpoints.join(", "),
            key_variable(notes)
        ),
    });
    lines.push(format!("output: {}", notes.output.display()));
    for line in lines {
        terminal::message(&terminal::plain(&line));
    }
    if estimate.attached > 0 {
        terminal::message(&attached(estimate.attached));
    }
    for warning in retiring(estimator, notes.provider.id()) {
        terminal::warn(&warning);
    }
}

/// Prints the price of all requests, of which only some would be sent.
pub(crate) fn print_bound(estimator: &Estimator, notes: &RunSettings) {
    let price = price(estimator, notes);
    let line = format!("price of all requests, at most: {price}");
    terminal::message(&terminal::plain(&line));
}

/// Returns the note on estimates of requests with attachments.
pub(crate) fn attached(requests: u64) -> String {
    format!(
        "note: {} attachments, whose bytes are counted as if they were text: the estimates of input are far too high",
        match requests {
            1 => "1 request has".to_owned(),
            several => format!("{} requests have", format::number(several)),
        }
    )
}

/// Returns a warning for each model that retires before a batch that is sent now may have ended.
pub(crate) fn retiring(estimator: &Estimator, provider: &str) -> Vec<String> {
    let retiring = estimator.retiring(WINDOW).into_iter();
    let warnings = retiring.map(|(model, day, has_retired)| {
        let as_of = estimator.as_of();
        match has_retired {
            true => format!("{provider}/{model} was retired on {day} by the table of {as_of}"),
            false => format!(
                "{provider}/{model} retires on {day} by the table of {as_of}, before a batch has ended that takes 24 hours"
            ),
        }
    });
    warnings.collect()
}

/// Formats the price, such as `about $2.63 at the batch prices of 2026-11-26`.
fn price(estimator: &Estimator, notes: &RunSettings) -> String {
    let as_of = estimator.as_of();
    match estimator.estimate().total() {
        Some(total) => format!("about {} at the batch prices of {as_of}", total.rounded()),
        None => format!(
            "unknown; the table of {as_of} has no batch price of {}/{}",
            notes.provider.id(),
            notes.model
        ),
    }
}

/// Returns the number of output tokens that is counted for each request.
pub(crate) fn output_basis(estimate: &Estimate) -> String {
    let assumed = format::number(u64::from(ASSUMED_OUTPUT));
    match (estimate.expected, estimate.unlimited) {
        (Some(tokens), _) => format!("at {} each", format::number(u64::from(tokens))),
        (None, 0) => "at the limit of each request".to_owned(),
        (None, _) => format!("at {assumed} for an answer without a limit"),
    }
}

/// Requests of a plan that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All requests of the plan.
    All,
    /// New and changed requests of an update, whose number is not known yet.
    Changed,
}

/// Asks before a run that may be expensive is sent. Never asks unless both standard input and standard error are
/// terminals.
///
/// # Errors
/// Usage, if the answer is not yes; nothing was sent.
pub(crate) async fn confirm(
    args: &PayingArgs,
    estimating: &Estimating,
    input: &Path,
    scope: Scope,
) -> Result<(), Failure> {
    let total = estimating.lock().estimate().total();
    let Some(question) = question(total, args.confirm_above, scope) else {
        return Ok(());
    };
    // Requests from standard input have used up the place of an answer.
    if args.yes || input == Path::new("-") || !terminal::can_ask() {
        return Ok(());
    }
    match is_confirmed(question).await? {
        true => Ok(()),
        false => Err(Failure::usage("not confirmed; nothing was sent").hint(
            "-y answers yes, and --confirm-above sets the cost above which the command asks",
        )),
    }
}

/// Asks a question on the terminal, and reports whether the answer is yes.
///
/// # Errors
/// Failed, if no thread can be started.
pub(super) async fn is_confirmed(question: String) -> Result<bool, Failure> {
    let (done, answer) = oneshot::channel();
    // A thread of its own, since a read of the terminal cannot be cancelled.
    let thread = std::thread::Builder::new().name("question".to_owned());
    let started = thread.spawn(move || {
        // The receiver is dropped if a signal ends the command meanwhile.
        let _ = done.send(terminal::ask(&question));
    });
    started.map_err(|error| Failure::failed(format!("no thread can be started: {error}")))?;
    Ok(matches!(answer.await, Ok(Ok(answer)) if is_yes(&answer)))
}

/// Returns the question to ask; `None` where the cost is known and not above the amount.
fn question(total: Option<CostRange>, above: Cost, scope: Scope) -> Option<String> {
    let about = match scope {
        Scope::All => "about",
        Scope::Changed => "at most about",
    };
    match total {
        Some(total) if total.high <= above => None,
        Some(total) => Some(format!(
            "Send requests for {about} {}? [y/N]",
            total.rounded()
        )),
        None => Some("Send requests whose price is unknown? [y/N]".to_owned()),
    }
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_asked_above_the_amount_and_for_an_unknown_price() {
        let cost = |text: &str| text.parse::<Cost>().unwrap();
        let range = |low, high| {
            Some(CostRange {
                low: cost(low),
                high: cost(high),
            })
        };
        for (total, above, asked) in [
            (range("10", "10"), "10", None),
            (range("9", "10.01"), "10", Some("$9.00 to $10.01")),
            (range("11", "11"), "10", Some("$11.00")),
            (range("0.01", "0.01"), "0", Some("$0.01")),
            (range("0", "0"), "0", None),
            (None, "1000", Some("unknown")),
        ] {
            let question = question(total, cost(above), Scope::All);
            assert_eq!(question.is_some(), asked.is_some(), "{question:?}");
            assert!(question.unwrap_or_default().contains(asked.unwrap_or("")));
        }
        let changed = question(range("11", "11"), cost("10"), Scope::Changed);
        assert_eq!(
            changed.as_deref(),
            Some("Send requests for at most about $11.00? [y/N]")
        );
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in [
            ("y\n", true),
            (" YES \n", true),
            ("", false),
            ("\n", false),
            ("n\n", false),
            ("yep\n", false),
        ] {
            assert_eq!(is_yes(answer), yes, "{answer:?}");
        }
    }
}
