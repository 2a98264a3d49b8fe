//! Calls that go wrong on purpose.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Uploads a file.
    Upload,
    /// Lists files.
    Files,
    /// Reads a file's facts.
    File,
    /// Deletes a file.
    Delete,
    /// Reads a file.
    Content,
    /// Creates a batch.
    Create,
    /// Asks for a batch's status.
    Status,
    /// Lists batches.
    List,
    /// Cancels a batch.
    Cancel,
    /// Asks for a model, or for all.
    Model,
    /// Asks for one answer at once.
    Direct,
}

/// One fault: it strikes the next `times` calls of an operation, after `skip` that go well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls.
    pub operation: Operation,
    /// How many calls go well first.
    #[serde(default)]
    pub skip: u32,
    /// How many calls it strikes.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens.
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Strikes the next call.
    pub fn once(operation: Operation, kind: FaultKind) -> Self {
        Self {
            operation,
            skip: 0,
            times: 1,
            kind,
        }
    }
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Refused with a status; nothing is done.
    Status {
        /// The HTTP status.
        code: u16,
        /// The body.
        body: String,
        /// Headers, such as `retry-after`.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Done, and then answered with a status as if it had failed.
    StatusAfter {
        /// The HTTP status.
        code: u16,
        /// The body.
        body: String,
    },
    /// Sent elsewhere; nothing is done.
    Redirect {
        /// The HTTP status, such as 302 or 307.
        code: u16,
        /// Where to.
        location: String,
    },
    /// Accepted, and then the batch fails because its input cannot be reached, as happened at OpenAI
    /// for hours in August and September 2026.
    LostInput,
    /// The connection is closed; nothing is done.
    ResetBefore,
    /// Done, and then the connection is closed without an answer.
    ResetAfter,
    /// Done, and the answer is cut after so many bytes.
    Truncate {
        /// Bytes that arrive.
        bytes: usize,
    },
    /// Done, after a wait.
    Latency {
        /// The wait, in milliseconds of real time.
        milliseconds: u64,
    },
}

impl FaultKind {
    /// A status with an error body that each of the providers' adapters takes for its own, and no headers.
    pub fn status(code: u16) -> Self {
        let body = format!(
            r#"{{"type":"error","error":{{"message":"a fault on purpose","type":"server_error","param":null,"code":{code},"status":"ON_PURPOSE"}},"status":{code}}}"#
        );
        Self::Status {
            code,
            body,
            headers: Vec::new(),
        }
    }

    /// A status with a page for people in place of an error, as proxies send it.
    pub fn html(code: u16) -> Self {
        Self::Status {
            code,
            body: format!(
                "<html><head><title>{code}</title></head><body>a fault on purpose</body></html>"
            ),
            headers: Vec::new(),
        }
    }

    pub(crate) fn latency(&self) -> Option<Duration> {
        match self {
            Self::Latency { milliseconds } => Some(Duration::from_millis(*milliseconds)),
            _ => None,
        }
    }
}
