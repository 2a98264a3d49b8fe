//! Exit codes, and failures that carry one.

use std::process::ExitCode;

use lmbatch::engine::{BadInput, NO_OUTPUT_MAXIMUM, PlanError};
use lmbatch::{Delivery, Error, ErrorKind, Retry};
use serde_json::{Value, json};

use crate::plain;

/// Exit code of the command, and its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every request has a usable output.
    Usable = 0,
    /// Failed with an error.
    Failed = 1,
    /// The command or its input is not valid; nothing was sent.
    Usage = 2,
    /// Finished, and some outputs are not usable.
    Unusable = 3,
    /// Not finished; the run continues at the provider.
    Unfinished = 4,
    /// The cost limit leaves no room for the next batch; the run is not finished.
    CostLimit = 5,
    /// The status of a create is unknown.
    Held = 6,
    /// Another process holds the run or the state folder.
    Busy = 7,
    /// Stopped by HUP.
    Hangup = 129,
    /// Stopped by INT.
    Interrupted = 130,
    /// The reader of the output closed its end.
    Pipe = 141,
    /// Stopped by TERM.
    Terminated = 143,
}

impl Exit {
    /// Reports whether a signal or the reader of the output stopped the command.
    pub(crate) fn is_stopped(self) -> bool {
        matches!(
            self,
            Self::Pipe | Self::Hangup | Self::Interrupted | Self::Terminated
        )
    }

    /// Rank among the exit codes of several runs; the highest is the exit code of the command. A run that
    /// is still in progress is reported again by the next command, one that has ended is not.
    pub(crate) fn severity(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::Unfinished => 1,
            Self::Busy => 2,
            Self::Unusable => 3,
            Self::CostLimit => 4,
            Self::Held => 5,
            Self::Usage => 6,
            Self::Failed => 7,
            Self::Pipe | Self::Hangup | Self::Interrupted | Self::Terminated => 8,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Reason why the command ends without the result that was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Message of one line; empty if the command ends without printing an error.
    pub(crate) message: String,
    /// Further lines, such as one for each defect found.
    pub(crate) details: Vec<String>,
    pub(crate) hint: Option<String>,
    /// Kind in one word: an [`ErrorKind`], or `usage`, `unfinished`, `busy`, `audit`, `pipe`.
    pub(crate) kind: &'static str,
    pub(crate) about: Box<About>,
}

/// Known facts about a failure.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) run: Option<String>,
    pub(crate) batch: Option<String>,
    /// Message of the provider, safe to print.
    pub(crate) provider_message: Option<String>,
}

impl Failure {
    /// Returns a failure with an exit code, a kind and a message.
    pub(crate) fn new(exit: Exit, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            details: Vec::new(),
            hint: None,
            kind,
            about: Box::default(),
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    /// Returns a failure of this machine, not of the arguments.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, ErrorKind::Local.as_str(), message)
    }

    /// Returns the failure of a command whose output pipe was closed by its reader; nothing is printed.
    pub(crate) fn pipe() -> Self {
        Self::new(Exit::Pipe, "pipe", "")
    }

    /// Returns the failure of a command that has already reported its cause.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "stopped", "")
    }

    /// Sets the lines below the message.
    pub(crate) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Names the run that failed.
    pub(crate) fn of_run(mut self, run: &str) -> Self {
        self.about.run = Some(run.to_owned());
        self
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn plan(error: PlanError, input: &str) -> Self {
        match error {
            PlanError::Input(bad) => {
                let mut reasons = bad.first.iter().map(|one| &one.reason);
                let hint = if bad
                    .first
                    .iter()
                    .any(|one| one.reason.starts_with(lmbatch_lines::NOT_JSON_LINES))
                {
                    r#"nothing was sent; --input-format csv or tsv reads a table; convert it otherwise to one JSON object per line, such as {"id": "1", "prompt": "Hi"}; jq -c '.[]' converts an array"#
                } else if reasons.any(|reason| {
                    reason.contains("folder of attachments") || reason == lmbatch_lines::NO_FOLDER
                }) {
                    "nothing was sent; set another folder of attachments with --attachments DIR"
                } else {
                    "nothing was sent; fix the input and run the command again"
                };
                let mut hint = hint.to_owned();
                if bad.first.iter().any(|one| one.reason.contains(CHAT)) {
                    hint.push_str("; --route chat chooses the endpoint chat_completions");
                }
                let is_unknown = |reason: &str| reason.starts_with(lmbatch_lines::UNKNOWN_FIELD);
                if bad.first.iter().any(|one| is_unknown(&one.reason)) {
                    let fields = lmbatch_lines::LINE_FIELDS.join(", ");
                    hint.push_str(&format!("; the fields of a line are {fields}"));
                }
                Self {
                    details: lines(&bad),
                    ..Self::usage(bad_input(&bad, input))
                }
                .hint(hint)
            }
            PlanError::Failed(error) if error.kind() == ErrorKind::InvalidInput => {
                let has_no_prompt = error
                    .message()
                    .is_some_and(|message| message.starts_with(lmbatch_lines::NO_PROMPT));
                let hint = match has_no_prompt {
                    true => {
                        "nothing was sent; --prompt 'Summarise: {{ COLUMN }}' makes a prompt from columns, and --prompt-field COLUMN takes one as it is"
                    }
                    false => "nothing was sent",
                };
                Self::usage(format!("{input}: {error}")).hint(hint)
            }
            PlanError::Failed(error) => error.into(),
        }
    }

    /// Returns the failure as one JSON object.
    pub(crate) fn json(&self) -> Value {
        let mut error = json!({
            "kind": self.kind, "message": self.message, "batch": self.about.batch,
            "provider_message": self.about.provider_message, "hint": self.hint,
        });
        if !self.details.is_empty() {
            error["details"] = self.details.clone().into();
        }
        json!({"format": 1, "run": self.about.run, "error": error})
    }
}

/// Returns the error's message with the reason from the operating system, such as a full disk or a missing permission.
fn message_of(error: &Error) -> String {
    match (
        error.kind(),
        error.message(),
        std::error::Error::source(error),
    ) {
        (ErrorKind::Local, Some(doing), Some(system)) => format!("{doing}: {system}"),
        (ErrorKind::Local, Some(message), None) => message.to_owned(),
        (ErrorKind::CostLimit, Some(message), _) => message.to_owned(),
        (ErrorKind::Timeout | ErrorKind::NotEnded, Some(message), _) if is_awaited(error) => {
            match error.batch() {
                Some(batch) => format!("{message} (batch {batch})"),
                None => message.to_owned(),
            }
        }
        _ if is_wrong_address(error) => {
            let status = error.http_status().unwrap_or_default();
            let provider = error
                .provider()
                .map_or("the provider", |provider| provider.as_str());
            format!(
                "the server has no such path (HTTP {status}), and its answer is not that of {provider}"
            )
        }
        _ => error.to_string(),
    }
}

/// Reports whether an error means that a batch or run has not ended yet, as opposed to an expired timeout.
pub(crate) fn is_awaited(error: &Error) -> bool {
    let is_incomplete = error.kind() == ErrorKind::Timeout
        && error.http_status().is_none()
        && error.retry() == Retry::Temporary;
    error.kind() == ErrorKind::NotEnded || is_incomplete
}

/// Words of the OpenAI adapter for what only its other endpoint takes.
pub(crate) const CHAT: &str = "set the endpoint to chat_completions";

/// Reports whether a server that is not the provider's answered, since it has no such path.
pub(crate) fn is_wrong_address(error: &Error) -> bool {
    matches!(error.http_status(), Some(404 | 405))
        && error.kind() == ErrorKind::ProviderInvalidArgs
        && error.delivery() != Delivery::Refused
}

/// Reports whether an error says that a cost limit needs a maximum number of output tokens.
fn lacks_maximum(error: &Error) -> bool {
    let message = error.message();
    message.is_some_and(|message| message.contains(NO_OUTPUT_MAXIMUM))
}

/// Returns the provider's message in an error, or in the error that caused it.
fn said(error: &Error) -> Option<String> {
    let own = error.provider_message();
    let cause = || {
        let source = std::error::Error::source(error)?;
        source.downcast_ref::<Error>()?.provider_message()
    };
    own.or_else(cause).and_then(plain::provider_text)
}

fn bad_input(bad: &BadInput, input: &str) -> String {
    let lines = if bad.count == 1 {
        "line is"
    } else {
        "lines are"
    };
    let mut text = format!("{input}: {} {lines} not valid", bad.count);
    if bad.count > bad.first.len() as u64 {
        text.push_str(&format!("; the first {}", bad.first.len()));
    }
    text + ":"
}

fn lines(bad: &BadInput) -> Vec<String> {
    let first = bad.first.iter();
    first
        .map(|one| format!("line {}: {}", one.position, one.reason))
        .collect()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            // The timeout of the run expired, not that of one HTTP exchange.
            ErrorKind::Timeout if error.batch().is_some() || error.provider().is_none() => {
                Exit::Unfinished
            }
            ErrorKind::NotEnded => Exit::Unfinished,
            ErrorKind::Doubt => Exit::Held,
            ErrorKind::CostLimit => Exit::CostLimit,
            // Another process holds the run or the state folder.
            ErrorKind::Conflict => Exit::Busy,
            // The error was found on this machine before anything was sent.
            ErrorKind::InvalidInput if error.http_status().is_none() && error.batch().is_none() => {
                Exit::Usage
            }
            _ => Exit::Failed,
        };
        let hint = match error.kind() {
            ErrorKind::ProviderAuth => return Self::key(&error, exit),
            ErrorKind::Connection => Some("check --base-url, HTTPS_PROXY and SSL_CERT_FILE"),
            _ if is_wrong_address(&error) => Some(
                "check the base URL: --base-url, or the provider's variable, such as OPENAI_BASE_URL",
            ),
            ErrorKind::ModelNotFound => Some("check the model's name after the first /"),
            ErrorKind::OtherAccount => Some(
                "set the key of the account that was used, or send everything again under this key with --new",
            ),
            ErrorKind::Billing => Some("check the account's billing; existing batches continue"),
            ErrorKind::InvalidInput if lacks_maximum(&error) => {
                Some("--max-tokens N, --expect-output N or --pilot N")
            }
            _ if exit == Exit::Busy => {
                Some("wait for the other process to end, then run the command again")
            }
            _ => None,
        };
        Self::of(&error, exit, hint.map(str::to_owned))
    }
}

impl Failure {
    fn of(error: &Error, exit: Exit, hint: Option<String>) -> Self {
        let kind = match exit {
            Exit::Busy => "busy",
            Exit::Unfinished if is_awaited(error) => "unfinished",
            _ => error.kind().as_str(),
        };
        Self {
            hint,
            about: Box::new(About {
                run: None,
                batch: error.batch().map(ToString::to_string),
                provider_message: said(error),
            }),
            ..Self::new(exit, kind, plain::plain(&message_of(error)))
        }
    }

    /// Returns the failure of a rejected API key, with a hint that names the variables that may hold it.
    fn key(error: &Error, exit: Exit) -> Self {
        let mut all = crate::providers::all().iter();
        let provider =
            all.find(|known| error.provider().is_some_and(|of| of.as_str() == known.id()));
        let names = provider.map_or(&["the key"][..], |provider| provider.key_variables());
        let hint = format!("check {}", names.join(" or "));
        Self::of(error, exit, Some(hint))
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::BatchId;

    use super::*;

    #[test]
    fn a_failure_has_the_exit_code_and_the_kind_of_its_error() {
        let error = Error::new;
        for (error, exit, kind) in [
            // The timeout of the run expired, or that of one HTTP exchange.
            (error(ErrorKind::Timeout), Exit::Unfinished, "timeout"),
            (
                error(ErrorKind::Timeout).with_provider("openai".into()),
                Exit::Failed,
                "timeout",
            ),
            (
                error(ErrorKind::Timeout).with_batch(BatchId::new("b")),
                Exit::Unfinished,
                "timeout",
            ),
            // The batch has not ended, or its results are not complete, and no timeout of the command expired.
            (
                error(ErrorKind::NotEnded).with_batch(BatchId::new("b")),
                Exit::Unfinished,
                "unfinished",
            ),
            (
                error(ErrorKind::Timeout)
                    .with_batch(BatchId::new("b"))
                    .with_retry(Retry::Temporary),
                Exit::Unfinished,
                "unfinished",
            ),
            (error(ErrorKind::Doubt), Exit::Held, "doubt"),
            (error(ErrorKind::CostLimit), Exit::CostLimit, "cost_limit"),
            (error(ErrorKind::Conflict), Exit::Busy, "busy"),
            (
                error(ErrorKind::Local).with_message("the folder is in use by process 7"),
                Exit::Failed,
                "local",
            ),
            (error(ErrorKind::Local), Exit::Failed, "local"),
            (error(ErrorKind::InvalidInput), Exit::Usage, "invalid_input"),
            (
                error(ErrorKind::InvalidInput).with_http_status(400),
                Exit::Failed,
                "invalid_input",
            ),
        ] {
            let failure = Failure::from(error);
            assert_eq!((failure.exit, failure.kind), (exit, kind));
            assert_eq!(failure.json()["error"]["kind"], kind);
        }
    }

    #[test]
    fn the_providers_message_is_found_in_the_cause_of_a_lost_create() {
        let cause = Error::new(ErrorKind::ProviderInternal).with_provider_message("out\nof order");
        let held = Error::new(ErrorKind::Doubt).with_source(cause);
        let failure = Failure::from(held);
        assert_eq!(
            failure.about.provider_message.as_deref(),
            Some("out of order")
        );
        assert!(!failure.message.contains("out"), "{}", failure.message);
    }

    #[test]
    fn the_worst_exit_code_of_several_runs_is_returned() {
        let order = [
            Exit::Usable,
            Exit::Unfinished,
            Exit::Busy,
            Exit::Unusable,
            Exit::CostLimit,
            Exit::Held,
            Exit::Usage,
            Exit::Failed,
            Exit::Interrupted,
        ];
        assert!(
            order
                .windows(2)
                .all(|pair| pair[0].severity() < pair[1].severity())
        );
    }
}
