//! Exit codes, and failures that carry one.

use std::process::ExitCode;

use lmbatch_core::{Error, ErrorKind, ProviderId};
use lmbatch_engine::{BadInput, PlanError};

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Every request has a usable output.
    Usable = 0,
    /// An error.
    Failed = 1,
    /// The command or its input is not valid; nothing was sent.
    Usage = 2,
    /// Finished, and some outputs are not usable.
    Unusable = 3,
    /// Not finished; the batch goes on and can be retrieved.
    Unfinished = 4,
    /// A create is in doubt.
    Held = 6,
    /// Stopped by HUP.
    Hangup = 129,
    /// Stopped by INT.
    Interrupted = 130,
    /// Stopped by TERM.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the command ends without what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) batch: Option<String>,
}

impl Failure {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
            hint: None,
            kind: None,
            batch: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn plan(error: PlanError, input: &str) -> Self {
        match error {
            PlanError::Input(bad) => {
                let elsewhere = bad
                    .first
                    .iter()
                    .any(|one| one.reason.contains("folder of attachments"));
                let hint = if elsewhere {
                    "nothing was sent; --attachments DIR names another folder of attachments"
                } else {
                    "nothing was sent; fix the input and run the command again"
                };
                Self::usage(bad_input(&bad, input)).hint(hint)
            }
            PlanError::Failed(error) if error.kind() == ErrorKind::InvalidInput => {
                Self::usage(format!("{input}: {error}")).hint("nothing was sent")
            }
            PlanError::Failed(error) => error.into(),
        }
    }
}

/// What the system says of a file is half of what helps: no space, too many open files, no permission.
fn why(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(system) if error.kind() == ErrorKind::Local => format!("{error}: {system}"),
        _ => error.to_string(),
    }
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
    text.push(':');
    for one in &bad.first {
        text.push_str(&format!(
            "\n  line {}: {}",
            one.place,
            crate::terminal::plain(&one.reason)
        ));
    }
    text
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match error.kind() {
            // The time of the run is over, and not that of an exchange.
            ErrorKind::Timeout if error.batch().is_some() || error.provider().is_none() => {
                Exit::Unfinished
            }
            ErrorKind::Doubt => Exit::Held,
            // Ours, not the provider's: it is said before anything is sent.
            ErrorKind::InvalidInput if error.http_status().is_none() && error.batch().is_none() => {
                Exit::Usage
            }
            _ => Exit::Failed,
        };
        let hint = match error.kind() {
            ErrorKind::ProviderAuth => return Self::key(&error, exit),
            ErrorKind::Connection => Some("check --base-url, HTTPS_PROXY and SSL_CERT_FILE"),
            ErrorKind::ModelNotFound => Some("check the model's name after the first /"),
            ErrorKind::OtherAccount => Some(
                "set the key with which it was made, or send everything again under this one with --new",
            ),
            ErrorKind::Billing => Some("check the account's billing; what was created goes on"),
            _ => None,
        };
        Self::of(&error, exit, hint.map(str::to_owned))
    }
}

impl Failure {
    fn of(error: &Error, exit: Exit, hint: Option<String>) -> Self {
        Self {
            exit,
            message: why(error),
            hint,
            kind: Some(error.kind().as_str()),
            batch: error.batch().map(ToString::to_string),
        }
    }

    /// A key that was not accepted, by the variables that may hold it.
    fn key(error: &Error, exit: Exit) -> Self {
        let of = |provider: &ProviderId| crate::model::find(provider.as_str()).ok();
        let provider = error.provider().and_then(of);
        let names = provider.map_or(&["the key"][..], |provider| provider.key_variables());
        let hint = format!("check {}", names.join(" or "));
        Self::of(error, exit, Some(hint))
    }
}
