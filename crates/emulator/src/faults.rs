//! Faults: calls that go wrong on purpose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::late::Late;
use crate::spoil::Spoil;

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
///
/// As JSON, for `POST /_emulator/faults`:
///
/// ```json
/// {"operation": "create", "kind": "reset_after"}
/// {"operation": "content", "times": 2, "skip": 1, "kind": {"spoil": {"how": "half"}}}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Operation whose calls it strikes.
    pub operation: Operation,
    /// Number of calls that go well first; 0 by default.
    #[serde(default)]
    pub skip: u32,
    /// Number of calls that it strikes; 1 by default. 4294967295 stands for all.
    #[serde(default = "once")]
    pub times: u32,
    /// Effect on each call.
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Strikes the next call.
    pub fn once(operation: Operation, kind: FaultKind) -> Self {
        Self::times(operation, 1, kind)
    }

    /// Strikes the next `times` calls.
    pub fn times(operation: Operation, times: u32, kind: FaultKind) -> Self {
        Self {
            operation,
            skip: 0,
            times,
            kind,
        }
    }

    /// Strikes every call, until the faults are cleared.
    pub fn always(operation: Operation, kind: FaultKind) -> Self {
        Self::times(operation, u32::MAX, kind)
    }
}

/// Effect of a fault on a call. "Done" means that the provider acts on the call before its answer is spoilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Refuses the call with a status; nothing is done.
    Status {
        /// HTTP status of the answer.
        code: u16,
        /// Body of the answer; empty by default.
        #[serde(default)]
        body: String,
        /// Headers of the answer, such as `retry-after`.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Does the call, and then answers with a status as if it had failed.
    StatusAfter {
        /// HTTP status of the answer.
        code: u16,
        /// Body of the answer; empty by default.
        #[serde(default)]
        body: String,
        /// Headers of the answer; `content-type` is guessed from the body unless it is among them.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Does the call, and then answers with other bytes.
    Body {
        /// HTTP status of the answer, 200 by default.
        #[serde(default = "ok")]
        status: u16,
        /// Headers of the answer; `content-type` is guessed from the bytes unless it is among them.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Bytes of the answer, none by default. In JSON a string, or a list of numbers.
        #[serde(default, with = "payload")]
        bytes: Vec<u8>,
    },
    /// Redirects the call; nothing is done.
    Redirect {
        /// HTTP status of the answer, such as 302 or 307.
        code: u16,
        /// URL in the `location` header.
        location: String,
    },
    /// Accepts a create, and then fails the batch because its input cannot be reached, as happened at
    /// OpenAI for hours in August and September 2026.
    LostInput,
    /// Accepts a create, and leaves the batch out of the next lists of batches.
    Unlisted {
        /// Number of list calls that do not show the batch; each page counts.
        reads: u32,
    },
    /// Answers a list of batches with the batches of one second in the order of their creation, instead of
    /// newest first.
    ReverseTies,
    /// Reads the call and closes the connection; nothing is done.
    ResetBefore,
    /// Does the call, and then closes the connection without an answer.
    ResetAfter,
    /// Does the call, announces the whole length, and breaks off the answer after some bytes.
    Truncate {
        /// Number of bytes that arrive.
        bytes: usize,
    },
    /// Does the call, and spoils the body of its answer in a way that its framing does not show.
    Spoil {
        /// Kind of damage.
        how: Spoil,
    },
    /// Does the call; an ended batch in its answer does not show yet where its results are. An answer
    /// without such a batch does not count as struck.
    Late {
        /// Results that are late.
        #[serde(default)]
        what: Late,
        /// Shows an empty string (Gemini inline: an empty object) in place of null or no member.
        #[serde(default)]
        empty: bool,
    },
    /// Does the call, and sets one member of its JSON answer. In a list the member is set in each item. An
    /// answer without the member's parent does not count as struck.
    Rewrite {
        /// Position of the member as a JSON pointer, such as `/created_at`.
        pointer: String,
        /// New value of the member.
        value: Value,
    },
    /// Does the call after a wait.
    Latency {
        /// Wait in milliseconds of real time.
        milliseconds: u64,
    },
    /// Does the call, and sends the body of its answer slowly, in real time.
    Drip {
        /// Speed of the answer; at least 1.
        bytes_per_second: u64,
    },
    /// Applies several kinds to one call, in their order. The first that refuses the call ends it.
    Several {
        /// Kinds of faults.
        kinds: Vec<Self>,
    },
}

fn ok() -> u16 {
    200
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

    /// A status with an HTML page in place of an error, as proxies send it.
    pub fn html(code: u16) -> Self {
        Self::Status {
            code,
            body: format!(
                "<html><head><title>{code}</title></head><body>a fault on purpose</body></html>"
            ),
            headers: Vec::new(),
        }
    }

    /// A call that is done, and then answered with a status and a body, without further headers.
    pub fn status_after(code: u16, body: impl Into<String>) -> Self {
        Self::StatusAfter {
            code,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// An answer whose body is spoilt.
    pub fn spoil(how: Spoil) -> Self {
        Self::Spoil { how }
    }

    /// Results that an ended batch does not show yet: null, or no member.
    pub fn late(what: Late) -> Self {
        Self::Late { what, empty: false }
    }

    /// A member of the answer that is set to a value.
    pub fn rewrite(pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Rewrite {
            pointer: pointer.into(),
            value: value.into(),
        }
    }

    /// The kinds that are applied, with [`Several`](Self::Several) taken apart.
    pub(crate) fn flat(self) -> Vec<Self> {
        match self {
            Self::Several { kinds } => kinds.into_iter().flat_map(Self::flat).collect(),
            kind => vec![kind],
        }
    }
}

/// Bytes in JSON: a string where they are UTF-8, else a list of numbers.
mod payload {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_json::Value;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => bytes.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(text.into_bytes()),
            other => serde_json::from_value(other).map_err(D::Error::custom),
        }
    }
}
