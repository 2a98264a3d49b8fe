//! Capabilities of a provider, and classes, limits and frames of batches.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{BatchId, Error};

/// Capabilities that an adapter declares for its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Method by which a create whose answer was lost is recognised.
    pub create: CreateProof,
    /// `true` where a create that is still under way can be made to fail.
    pub fence: bool,
    /// `true` where results can be requested from a byte offset. A server that nevertheless sends the whole
    /// file is reported as unsupported.
    pub ranges: bool,
    /// `true` where batches can be listed.
    pub list: bool,
    /// Number of batches, at least 1, that one page of [`list`](crate::BatchProvider::list) shows at most,
    /// where the list is newest first and its snapshots have the status, counts and times of the status call.
    /// Many batches are then polled through pages of the list. `None`, the default, where each batch is
    /// polled with a status call of its own.
    pub status_page: Option<u32>,
    /// `true` where batches can be cancelled.
    pub cancel: bool,
    /// `true` where files and batches can be deleted.
    pub discard: bool,
    /// Time during which a second create with the token of [`CreateProof::Token`] makes no second batch;
    /// `None` where there is no time limit. After that time, a create whose answer was lost is searched for
    /// and never repeated.
    pub token_lifetime: Option<Duration>,
    /// Rule for the request ids that the provider accepts.
    pub wire_ids: WireIdRule,
    /// Time for which the provider keeps results; `None` where it is not known.
    pub retention: Option<Duration>,
    /// Endpoints for which the provider's own request bodies are passed on byte for byte.
    pub raw_endpoints: &'static [&'static str],
}

impl Default for Capabilities {
    /// Returns the smallest set of capabilities: everything that an adapter does not declare counts as
    /// unsupported. A new capability therefore breaks no adapter.
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

/// Method by which a create whose answer was lost is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateProof {
    /// The provider accepts an idempotency token. A second create with the token makes no second batch: the
    /// provider answers with the first batch, or with
    /// [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Token,
    /// The provider keeps lmbatch's label and shows it in lists.
    Labelled,
    /// The batch is recognised only by its number of requests and its time of creation.
    CountAndTime,
}

/// Rule for the request ids that a provider accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WireIdRule {
    /// Largest number of characters in an id.
    pub max_chars: usize,
    /// `true` where only `[A-Za-z0-9_-]` is allowed.
    pub ascii_word: bool,
}

impl WireIdRule {
    /// Returns whether `id` can be sent unchanged.
    pub fn allows(&self, id: &str) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !id.is_empty()
            && id.chars().count() <= self.max_chars
            && (!self.ascii_word || id.chars().all(word))
    }
}

/// Properties that requests must share to be in one batch. The engine only compares classes for equality.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let class = lmbatch::BatchClass::new("/v1/responses", "file");
/// assert_eq!((class.model, &*class.route), (None, "file"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BatchClass {
    /// Model of the batch; `None` where one batch may use several.
    pub model: Option<Box<str>>,
    /// Endpoint for the requests, such as `/v1/responses`.
    pub endpoint: Box<str>,
    /// Route by which the requests are sent, such as `file` or `inline`.
    pub route: Box<str>,
    /// Further properties that the requests must share, by name.
    pub variant: BTreeMap<Box<str>, Box<str>>,
}

impl BatchClass {
    /// Creates a class for requests of any model.
    pub fn new(endpoint: &str, route: &str) -> Self {
        Self {
            model: None,
            endpoint: endpoint.into(),
            route: route.into(),
            variant: BTreeMap::new(),
        }
    }

    /// Creates the error for results that were requested under this class from a batch that shows another
    /// route or endpoint. `shown` is the route or the endpoint that the batch shows.
    pub fn other_route(&self, batch: &BatchId, shown: &str) -> Error {
        Error::invalid_input(format!(
            "the batch was created through {shown:?}, but its results were requested for endpoint {} and route {}; retrieve it with its own handle, or by its id alone",
            self.endpoint, self.route
        ))
        .with_batch(batch.clone())
    }
}

/// Limits of a batch of one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Smallest number of requests.
    pub min_requests: u32,
    /// Largest number of requests.
    pub max_requests: u32,
    /// Largest size of the whole body in bytes, prefix, separators and suffix included.
    pub max_bytes: u64,
    /// Largest size of one encoded request in bytes.
    pub max_request_bytes: u64,
    /// Largest number of tokens that may be queued at the same time; `None` where it is not known.
    pub enqueued_tokens: Option<u64>,
}

impl Limits {
    /// Creates limits for the number of requests and the size of the body in bytes. One request may use the
    /// whole size.
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

/// Bytes before, between and after the encoded requests in the body of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Bytes before the first request.
    pub prefix: Bytes,
    /// Bytes between two requests.
    pub separator: Bytes,
    /// Bytes after the last request.
    pub suffix: Bytes,
}

impl Frame {
    /// Frame of a body with one request per line, each line terminated.
    pub const LINES: Self = Self {
        prefix: Bytes::new(),
        separator: Bytes::from_static(b"\n"),
        suffix: Bytes::from_static(b"\n"),
    };

    /// Creates the frame of a JSON list, with a prefix up to its bracket and a suffix from its bracket on.
    pub fn list(prefix: impl Into<Bytes>, suffix: impl Into<Bytes>) -> Self {
        Self {
            prefix: prefix.into(),
            separator: Bytes::from_static(b","),
            suffix: suffix.into(),
        }
    }
}
