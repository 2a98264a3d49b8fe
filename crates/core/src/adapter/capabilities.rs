//! What a provider can do, and what a batch of one class may hold.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BatchId, Error};

/// What a provider truthfully declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// How a create whose answer was lost can be found again.
    pub create: CreateProof,
    /// Whether a late create can be made to fail.
    pub fence: bool,
    /// Whether results can be asked for from the middle. Whether they come is then seen: a server that
    /// gives the whole instead is unsupported.
    pub ranges: bool,
    /// Whether batches can be listed.
    pub list: bool,
    /// Number of batches, at least 1, that one page of [`list`](crate::BatchProvider::list) shows at most, where the
    /// list is newest first and its snapshots have the status, counts and times of the status call. Many batches are
    /// then polled by pages of the list. `None`, the default, where each batch is polled by a status call of its own.
    pub status_page: Option<u32>,
    /// Whether batches can be cancelled.
    pub cancel: bool,
    /// Whether files and batches can be deleted.
    pub discard: bool,
    /// How long a token of [`CreateProof::Token`] keeps a second create from making a second batch; `None`
    /// where it does so for ever. Later, a create whose answer was lost is looked for and never repeated.
    pub token_lifetime: Option<Duration>,
    /// Which ids the provider takes.
    pub wire_ids: WireIdRule,
    /// How long results are kept.
    pub retention: Option<Duration>,
    /// Endpoints whose bodies it takes byte for byte.
    pub raw_endpoints: &'static [&'static str],
}

impl Default for Capabilities {
    /// The least that there is: what an adapter does not say, it cannot do. What is added here one day
    /// breaks none.
    fn default() -> Self {
        Self {
            create: CreateProof::CountAndTime,
            fence: false,
            ranges: false,
            list: false,
            status_page: None,
            cancel: false,
            discard: false,
            token_lifetime: None,
            wire_ids: WireIdRule {
                max_chars: 64,
                ascii_word: true,
            },
            retention: None,
            raw_endpoints: &[],
        }
    }
}

/// How a create whose answer was lost can be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateProof {
    /// The provider takes a token, and a second create under it is the first: it answers with the same batch,
    /// or with [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Token,
    /// The provider keeps our label and lists it.
    Labelled,
    /// Only by the number of requests and the time.
    CountAndTime,
}

/// Which ids a provider takes for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireIdRule {
    /// The most characters.
    pub max_chars: usize,
    /// Only `[A-Za-z0-9_-]`.
    pub ascii_word: bool,
}

impl WireIdRule {
    /// Whether `id` can be sent as it is.
    pub fn allows(&self, id: &str) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !id.is_empty()
            && id.chars().count() <= self.max_chars
            && (!self.ascii_word || id.chars().all(word))
    }
}

/// What requests must share to share a batch. The engine looks at equality only.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchClass {
    /// The model, where a batch has only one.
    pub model: Option<Box<str>>,
    /// What the requests are for, such as `/v1/responses`.
    pub endpoint: Box<str>,
    /// How they travel, such as `file` or `inline`.
    pub route: Box<str>,
    /// Anything else they must share.
    pub variant: BTreeMap<Box<str>, Box<str>>,
}

impl BatchClass {
    /// A class of any models, by a route.
    pub fn new(endpoint: &str, route: &str) -> Self {
        Self {
            model: None,
            endpoint: endpoint.into(),
            route: route.into(),
            variant: BTreeMap::new(),
        }
    }

    /// Makes the error of a batch that was asked for under this class and that shows another route or endpoint.
    /// `shown` is the route or the endpoint that the batch shows.
    pub fn other_route(&self, batch: &BatchId, shown: &str) -> Error {
        Error::invalid_input(format!(
            "the batch was created by {shown:?}, and its results were asked for by {} through {}; retrieve it with the handle of its own create, or by its id alone",
            self.endpoint, self.route
        ))
        .with_batch(batch.clone())
    }
}

/// What a batch of one class may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The fewest requests.
    pub min_requests: u32,
    /// The most requests.
    pub max_requests: u32,
    /// The most bytes, what stands around the requests included.
    pub max_bytes: u64,
    /// The most bytes of one request.
    pub max_request_bytes: u64,
    /// The most tokens that may wait at once, where known.
    pub enqueued_tokens: Option<u64>,
}

impl Limits {
    /// So many requests, in so many bytes; one alone may have them all.
    pub fn new(max_requests: u32, max_bytes: u64) -> Self {
        Self {
            min_requests: 1,
            max_requests,
            max_bytes,
            max_request_bytes: max_bytes,
            enqueued_tokens: None,
        }
    }
}

/// What stands around encoded requests in a shard's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Before the first.
    pub prefix: Bytes,
    /// Between two.
    pub separator: Bytes,
    /// After the last.
    pub suffix: Bytes,
}

impl Frame {
    /// One request a line, each line ended.
    pub const LINES: Self = Self {
        prefix: Bytes::new(),
        separator: Bytes::from_static(b"\n"),
        suffix: Bytes::from_static(b"\n"),
    };

    /// Elements of a JSON list, within what stands before and after them.
    pub fn list(prefix: impl Into<Bytes>, suffix: impl Into<Bytes>) -> Self {
        Self {
            prefix: prefix.into(),
            separator: Bytes::from_static(b","),
            suffix: suffix.into(),
        }
    }
}
