//! Faults: calls that fail on purpose.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::damage::Damage;
use crate::late::Late;

/// An operation of a provider, by which faults and the bill name calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Uploads a file.
    Upload,
    /// Lists uploaded files.
    Files,
    /// Reads the metadata of a file.
    File,
    /// Deletes a file.
    Delete,
    /// Reads the content of a file.
    Content,
    /// Creates a batch.
    Create,
    /// Reads the status of a batch.
    Status,
    /// Lists created batches.
    List,
    /// Cancels a batch.
    Cancel,
    /// Reads one model or the list of models.
    Model,
    /// Answers one request in real time.
    Direct,
}

/// A fault: it strikes `times` calls of an operation, after `skip` calls without a fault.
///
/// As JSON, for `POST /_emulator/faults`:
///
/// ```json
/// {"operation": "create", "kind": "reset_after"}
/// {"operation": "content", "times": 2, "skip": 1, "kind": {"spoil": {"how": "half"}}}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Operation whose calls the fault strikes.
    pub operation: Operation,
    /// Number of calls without a fault before it strikes; 0 by default.
    #[serde(default)]
    pub skip: u32,
    /// Number of calls that the fault strikes; 1 by default. 4294967295 stands for all.
    #[serde(default = "once")]
    pub times: u32,
    /// Effect on each call.
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Creates a fault that strikes the next call.
    pub fn once(operation: Operation, kind: FaultKind) -> Self {
        Self::times(operation, 1, kind)
    }

    /// Creates a fault that strikes the next `times` calls.
    pub fn times(operation: Operation, times: u32, kind: FaultKind) -> Self {
        Self {
            operation,
            skip: 0,
            times,
            kind,
        }
    }

    /// Creates a fault that strikes every call until the faults are cleared.
    pub fn always(operation: Operation, kind: FaultKind) -> Self {
        Self::times(operation, u32::MAX, kind)
    }
}

/// Effect of a fault on a call. "Performs the call" means that the provider acts on it before its response is spoilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Refuses the call with a status, without performing it.
    Status {
        /// HTTP status of the response.
        code: u16,
        /// Body of the response; empty by default.
        #[serde(default)]
        body: String,
        /// Headers of the response, such as `retry-after`.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Performs the call, and then responds with a status as if it had failed.
    StatusAfter {
        /// HTTP status of the response.
        code: u16,
        /// Body of the response; empty by default.
        #[serde(default)]
        body: String,
        /// Headers of the response; `content-type` is derived from the body if absent.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Performs the call, and then responds with other bytes.
    Body {
        /// HTTP status of the response; 200 by default.
        #[serde(default = "ok")]
        status: u16,
        /// Headers of the response; `content-type` is derived from the bytes if absent.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// Bytes of the response; none by default. In JSON a string, or a list of numbers.
        #[serde(default, with = "payload")]
        bytes: Vec<u8>,
    },
    /// Redirects the call without performing it.
    Redirect {
        /// HTTP status of the response, such as 302 or 307.
        code: u16,
        /// URL in the `location` header.
        location: String,
    },
    /// Accepts a create, and then fails the batch because its input cannot be read, as happened at OpenAI for hours in
    /// August and September 2026.
    LostInput,
    /// Accepts a create, and omits the batch from the next lists of batches.
    Unlisted {
        /// Number of list calls that omit the batch; each page counts.
        reads: u32,
    },
    /// Lists batches of the same second in the order of their creation, instead of newest first.
    ReverseTies,
    /// Reads the call and closes the connection, without performing the call.
    ResetBefore,
    /// Performs the call, and then closes the connection without a response.
    ResetAfter,
    /// Performs the call, announces the complete length, and breaks off the response after some bytes.
    Truncate {
        /// Number of bytes that are sent.
        bytes: usize,
    },
    /// Performs the call, and spoils the body of its response in a way that its framing does not show.
    Damage {
        /// Kind of damage.
        how: Damage,
    },
    /// Performs the call; an ended batch in its response does not show its results yet. A response without such a
    /// batch does not count as struck.
    Late {
        /// Results that are not visible yet.
        #[serde(default)]
        what: Late,
        /// Shows an empty string (Gemini inline: an empty object) instead of null or an absent member.
        #[serde(default)]
        empty: bool,
    },
    /// Performs the call, and sets one member of its JSON response. In a list the member is set in each item. A
    /// response without the member's parent does not count as struck.
    Rewrite {
        /// Position of the member as a JSON pointer, such as `/created_at`.
        pointer: String,
        /// New value of the member.
        value: Value,
    },
    /// Performs the call after a delay.
    Latency {
        /// Delay in milliseconds of real time.
        milliseconds: u64,
    },
    /// Performs the call, and sends the body of its response slowly, in real time.
    SlowBody {
        /// Speed of the response; at least 1.
        bytes_per_second: u64,
    },
    /// Applies several faults to one call, in order. The first that refuses the call ends it.
    Several {
        /// Kinds of faults.
        kinds: Vec<Self>,
    },
}

fn ok() -> u16 {
    200
}

impl FaultKind {
    /// Creates a status with an error body that every provider's adapter takes for the provider's own, without
    /// headers.
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

    /// Creates a status with an HTML page instead of an error, as proxies send it.
    pub fn html(code: u16) -> Self {
        Self::Status {
            code,
            body: format!(
                "<html><head><title>{code}</title></head><body>a fault on purpose</body></html>"
            ),
            headers: Vec::new(),
        }
    }

    /// Creates a performed call that responds with a status and a body, without further headers.
    pub fn status_after(code: u16, body: impl Into<String>) -> Self {
        Self::StatusAfter {
            code,
            body: body.into(),
            headers: Vec::new(),
        }
    }

    /// Creates a response with a spoilt body.
    pub fn damage(how: Damage) -> Self {
        Self::Damage { how }
    }

    /// Creates results that an ended batch does not show yet: null, or an absent member.
    pub fn late(what: Late) -> Self {
        Self::Late { what, empty: false }
    }

    /// Creates a response in which one member is set to `value`.
    pub fn rewrite(pointer: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Rewrite {
            pointer: pointer.into(),
            value: value.into(),
        }
    }

    /// Returns the kinds to apply, with [`Several`](Self::Several) flattened.
    pub(crate) fn flat(self) -> Vec<Self> {
        match self {
            Self::Several { kinds } => kinds.into_iter().flat_map(Self::flat).collect(),
            kind => vec![kind],
        }
    }
}

/// Bytes in JSON: a string where they are UTF-8, otherwise a list of numbers.
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
