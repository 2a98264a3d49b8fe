//! Shards, uploads and handles: what a batch is made from, and what refers to it once it exists.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, BatchClass, BatchId, BatchSnapshot, Cursor, Error, ErrorKind, FormatVersion, Frame,
    Intent, KeyHint, Label, Nonce, ProviderId, RequestId,
};

/// Stream of bytes in pieces of any size.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// Encoded requests of a shard, of known length. They can be read any number of times.
pub trait ShardBody: fmt::Debug + Send + Sync + 'static {
    /// Returns the length of all encoded requests in bytes.
    fn len(&self) -> u64;
    /// Returns whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads a range of the bytes.
    fn open(&self, range: Range<u64>) -> ByteStream;
}

impl ShardBody for Bytes {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn open(&self, range: Range<u64>) -> ByteStream {
        let part = self.slice(range.start as usize..range.end as usize);
        stream::iter([Ok(part)]).boxed()
    }
}

/// Requests of one class that are planned for one batch, before the batch exists.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Class that the requests share.
    pub class: BatchClass,
    /// lmbatch's label for the batch.
    pub label: Label,
    /// Number of requests in the shard.
    pub count: u32,
    /// Bytes before, between and after the requests.
    pub frame: Frame,
    /// Encoded requests, separated as the frame says.
    pub rows: Arc<dyn ShardBody>,
}

impl Shard {
    /// Returns the length of the whole body in bytes, prefix and suffix included.
    pub fn len(&self) -> u64 {
        self.frame.prefix.len() as u64 + self.rows.len() + self.frame.suffix.len() as u64
    }

    /// Returns whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads a range of the whole body, for uploads in pieces and uploads that are resumed.
    pub fn open(&self, range: Range<u64>) -> ByteStream {
        let rows_at = self.frame.prefix.len() as u64;
        let suffix_at = rows_at + self.rows.len();
        let cut = |from: u64, to: u64| {
            range.start.clamp(from, to) - from..range.end.clamp(from, to) - from
        };
        let fixed = |bytes: &Bytes, part: Range<u64>| {
            let piece =
                (!part.is_empty()).then(|| Ok(bytes.slice(part.start as usize..part.end as usize)));
            stream::iter(piece)
        };
        let middle = cut(rows_at, suffix_at);
        let rows = if middle.is_empty() {
            stream::empty().boxed()
        } else {
            self.rows.open(middle)
        };
        fixed(&self.frame.prefix, cut(0, rows_at))
            .chain(rows)
            .chain(fixed(&self.frame.suffix, cut(suffix_at, self.len())))
            .boxed()
    }
}

/// Uploads that an adapter has made for a batch. The state is recorded and survives restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// `true` where the batch can be created now.
    pub ready: bool,
    /// Uploads that must be discarded when the batch no longer needs them.
    pub remote_objects: Vec<RemoteObject>,
    /// Further values that the adapter needs in later calls, by name.
    pub state: BTreeMap<Box<str>, Box<str>>,
}

/// Key under which [`Staged::of_file`] stores the file id.
const FILE: &str = "file";

impl Staged {
    /// Creates the state of a batch that needs no upload.
    pub fn ready() -> Self {
        Self {
            ready: true,
            ..Self::default()
        }
    }

    /// Creates the state of a batch whose uploaded file is complete. The file is to be discarded later.
    pub fn of_file(file: impl Into<Box<str>>) -> Self {
        let file = file.into();
        Self {
            ready: true,
            remote_objects: vec![RemoteObject::File(file.clone())],
            state: [(FILE.into(), file)].into(),
        }
    }

    /// Returns the id of the file that [`of_file`](Self::of_file) stored.
    pub fn file(&self) -> Option<&str> {
        self.state.get(FILE).map(|file| &**file)
    }
}

/// File or batch that stays at a provider until it is discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteObject {
    /// The provider's id of a file.
    File(Box<str>),
    /// The provider's id of a batch.
    Batch(BatchId),
}

/// File that lmbatch uploaded and the provider still holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// File to [discard](crate::BatchProvider::discard).
    pub remote_object: RemoteObject,
    /// Label of the shard for which the file was uploaded.
    pub label: Label,
    /// Size of the file in bytes, where the provider reports it.
    pub bytes: Option<u64>,
    /// Time of the upload, where the provider reports it.
    pub created_at: Option<SystemTime>,
}

/// Certainty that a batch belongs to a shard, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The provider guarantees it by the idempotency token of the create.
    Token,
    /// The provider returned the batch in answer to the create, or the batch has the shard's label.
    Proved,
    /// The batch matches the shard, and no other batch does.
    Presumed,
    /// There is no evidence that the batch belongs to the shard.
    Unknown,
}

impl Certainty {
    /// Returns the certainty as one lowercase word, as JSON holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Proved => "proved",
            Self::Presumed => "presumed",
            Self::Unknown => "unknown",
        }
    }
}

/// Certainty that a batch belongs to a shard, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Strength of the evidence.
    pub certainty: Certainty,
    /// Evidence as a short phrase, such as "its label".
    pub evidence: Box<str>,
}

impl Proof {
    /// Creates a proof with the certainty [`Proved`](Certainty::Proved).
    pub fn proved(evidence: &str) -> Self {
        Self {
            certainty: Certainty::Proved,
            evidence: evidence.into(),
        }
    }
}

/// Batch that an intent may have created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The provider's id of the batch.
    pub batch: BatchId,
    /// Certainty that the intent created the batch.
    pub certainty: Certainty,
    /// Evidence as a short phrase, such as "its label".
    pub evidence: Box<str>,
}

/// Result of searching one page of batches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Batches that the intent may have created.
    pub candidates: Vec<Candidate>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<Cursor>,
    /// `true` where the page contains a batch that existed before the create. The engine then reads one page
    /// more.
    pub reached_watermark: bool,
}

impl Found {
    /// Searches a page of a list, newest first, for batches with the label of an intent. Every batch of the
    /// page is examined, because a match may be listed behind the watermark.
    pub fn by_label(page: Page<BatchSnapshot>, intent: &Intent) -> Self {
        let is_older =
            |batch: &BatchSnapshot| intent.is_before(batch.id.as_str(), batch.created_at);
        let reached_watermark = page.items.iter().any(is_older);
        let has_label = |batch: &BatchSnapshot| batch.label.as_ref() == Some(&intent.label);
        let found = page.items.into_iter().filter(has_label);
        let candidates = found.map(|batch| Candidate {
            batch: batch.id,
            certainty: Certainty::Proved,
            evidence: "it has the label of the shard".into(),
        });
        Self {
            candidates: candidates.collect(),
            next: page.next,
            reached_watermark,
        }
    }
}

/// Selection of a page of batches. The fields are exhaustive, because an adapter must honour each of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// Largest number of batches on a page; the adapter's default where it is `None`.
    pub limit: Option<u32>,
    /// Cursor of the page; the first page where it is `None`.
    pub page: Option<Cursor>,
}

impl ListOptions {
    /// Returns the number of the page to request, from 0, for a provider that numbers its pages; see
    /// [`Page::numbered`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a cursor that is not a number, such as
    /// a cursor of another provider.
    pub fn page_number(&self) -> Result<u32, Error> {
        let Some(cursor) = &self.page else {
            return Ok(0);
        };
        cursor.as_str().parse().map_err(|_| {
            Error::new(ErrorKind::InvalidInput).with_message(
                "the cursor of the list is not a page number; list the batches from the first page",
            )
        })
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// Items on the page, in the order of the list.
    pub items: Vec<T>,
    /// Cursor of the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Creates a page of a provider that numbers its pages.
    ///
    /// `number` is the page's number from 0, as [`ListOptions::page_number`] returns it, even where the
    /// provider counts from 1. `size` is the largest number of items that was requested for a page. `total`
    /// is the number of items on all pages, where the provider reports it. Without a total, a full page leads
    /// to the next page. An empty page is the last.
    ///
    /// ```
    /// use lmbatch_core::{ListOptions, Page};
    /// let first = Page::numbered(vec!["a", "b"], 0, 2, Some(3));
    /// let options = ListOptions { limit: None, page: first.next };
    /// assert_eq!(options.page_number()?, 1);
    /// assert_eq!(Page::numbered(vec!["c"], 1, 2, Some(3)).next, None);
    /// # Ok::<(), lmbatch_core::Error>(())
    /// ```
    pub fn numbered(items: Vec<T>, number: u32, size: u32, total: Option<u64>) -> Self {
        let next = number.checked_add(1).filter(|_| !items.is_empty());
        let has_next = |next: &u32| match total {
            Some(total) => u64::from(*next) * u64::from(size) < total,
            None => items.len() as u64 >= u64::from(size),
        };
        let next = next.filter(has_next);
        Self {
            next: next.map(|next| Cursor::new(next.to_string())),
            items,
        }
    }
}

/// Reference to a batch with which any process can continue: poll it, fetch its results and assign them to
/// the caller's request ids. Stored as JSON.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let handle: lmbatch::BatchHandle = serde_json::from_str(
///     r#"{"provider":"acme","account":"v2-9f86d081","batch":"batch_123","class":{"endpoint":"/v1/chat",
///     "route":"file","variant":{}},"ids":"verbatim","requests":["ticket/1","ticket/2"]}"#,
/// )?;
/// assert_eq!(handle.requests.len(), 2);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```no_run
/// # use lmbatch_core as lmbatch;
/// # fn keep(handle: &lmbatch::BatchHandle) -> Result<(), Box<dyn std::error::Error>> {
/// std::fs::write("handle.json", serde_json::to_vec(handle)?)?;
/// let restored: lmbatch::BatchHandle = serde_json::from_slice(&std::fs::read("handle.json")?)?;
/// assert_eq!(restored.batch, handle.batch);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchHandle {
    /// Version of the JSON format; absent from handles of earlier versions.
    #[serde(default)]
    pub version: FormatVersion<1>,
    /// Provider that holds the batch.
    pub provider: ProviderId,
    /// Account under which the batch was created.
    pub account: AccountId,
    /// Short digest of the key that created the batch; `None` in handles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyHint>,
    /// The provider's id of the batch.
    pub batch: BatchId,
    /// Class that the requests of the batch share.
    pub class: BatchClass,
    /// Rule that maps ids on the wire to the caller's ids.
    pub ids: IdRule,
    /// The caller's ids, in the order of the requests in the batch.
    pub requests: Vec<RequestId>,
}

impl BatchHandle {
    /// Creates the handle of a batch whose requests travel under the caller's ids. Calls that create a batch
    /// return its handle; this is for tests, and for batches that were created by other means.
    ///
    /// ```
    /// use lmbatch_core::{AccountId, BatchClass, BatchHandle, BatchId, ProviderId};
    ///
    /// let (provider, account) = (ProviderId::new("acme"), AccountId::new("v2-1"));
    /// let class = BatchClass::new("/v1/answers", "file");
    /// let handle = BatchHandle::new(provider, account, BatchId::new("b1"), class, ["a", "b"]);
    /// assert_eq!(handle.requests.len(), 2);
    /// ```
    pub fn new<I: Into<RequestId>>(
        provider: ProviderId,
        account: AccountId,
        batch: BatchId,
        class: BatchClass,
        requests: impl IntoIterator<Item = I>,
    ) -> Self {
        Self {
            version: FormatVersion,
            provider,
            account,
            key_hint: None,
            batch,
            class,
            ids: IdRule::Verbatim,
            requests: requests.into_iter().map(Into::into).collect(),
        }
    }
}

/// Lets a call take a batch by its handle.
impl AsRef<BatchId> for BatchHandle {
    fn as_ref(&self) -> &BatchId {
        &self.batch
    }
}

/// Rule that maps ids on the wire to the caller's request ids.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{IdRule, Nonce};
/// let nonce = Nonce::parse("r7k2m9x4c1q3").unwrap();
/// assert_eq!(serde_json::to_string(&IdRule::Verbatim)?, r#""verbatim""#);
/// assert_eq!(serde_json::to_string(&IdRule::Ordinal(nonce))?, r#"{"ordinal":"r7k2m9x4c1q3"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdRule {
    /// Ids on the wire are the caller's ids.
    Verbatim,
    /// Ids on the wire are made by lmbatch from the nonce and the position of the request in the batch, from
    /// 0.
    Ordinal(Nonce),
    /// Ids on the wire are made by lmbatch from the nonce and the position of the request in a run, from 0.
    /// The batch holds a part of the run.
    Part {
        /// Nonce that all ids begin with.
        nonce: Nonce,
        /// Ranges of consecutive positions, each as `[first, count]`, in the order of the requests.
        stretches: Vec<[u32; 2]>,
    },
}

#[cfg(test)]
mod tests {
    use crate::{CreateToken, WireIdRule};
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_range_of_a_shard_equals_the_range_of_its_whole_body() {
        let shard = Shard {
            class: BatchClass {
                model: None,
                endpoint: "/x".into(),
                route: "inline".into(),
                variant: BTreeMap::new(),
            },
            label: Label::new("l"),
            count: 2,
            frame: Frame {
                prefix: "[".into(),
                separator: ",".into(),
                suffix: "]}".into(),
            },
            rows: Arc::new(Bytes::from("11,22")),
        };
        let whole = "[11,22]}";
        assert_eq!(shard.len(), 8);
        for from in 0..=8_usize {
            for to in from..=8 {
                let pieces = block_on(shard.open(from as u64..to as u64).collect::<Vec<_>>());
                let read: Vec<u8> = pieces
                    .into_iter()
                    .flat_map(|piece| piece.unwrap())
                    .collect();
                assert_eq!(read, whole.as_bytes()[from..to]);
            }
        }
    }

    #[test]
    fn a_search_by_label_finds_the_labelled_batch_and_reports_the_watermark() {
        let intent = Intent {
            label: Label::new("searched"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            staged: Staged::of_file("f"),
            token: CreateToken::new("t"),
            posted_at: None,
            foreign_batches: Vec::new(),
            watermark: Some(BatchId::new("old")),
            watermark_at: None,
        };
        let batch = |id: &str, label: Option<&str>| BatchSnapshot {
            label: label.map(Label::new),
            ..BatchSnapshot::new(BatchId::new(id), crate::BatchStatus::InProgress)
        };
        let page = |items| Page {
            items,
            next: Some(Cursor::new("n")),
        };
        let items = vec![
            batch("2", Some("searched")),
            batch("1", Some("other")),
            batch("0", None),
        ];
        let found = Found::by_label(page(items), &intent);
        assert_eq!(found.candidates.len(), 1);
        assert_eq!(found.candidates[0].batch, BatchId::new("2"));
        assert!(!found.reached_watermark && found.next.is_some());
        let last = Found::by_label(page(vec![batch("old", None)]), &intent);
        assert!(last.reached_watermark && last.candidates.is_empty());
        let behind = vec![batch("old", None), batch("2", Some("searched"))];
        let found = Found::by_label(page(behind), &intent);
        assert!(found.reached_watermark);
        assert_eq!(found.candidates.len(), 1, "listed behind the watermark");
    }

    #[test]
    fn a_handle_without_a_version_is_read_and_one_of_a_newer_version_is_refused() {
        let class = BatchClass::new("/x", "file");
        let (provider, account) = (ProviderId::new("p"), AccountId::new("a"));
        let handle = BatchHandle::new(provider, account, BatchId::new("b"), class, ["1"]);
        let mut json = serde_json::to_value(&handle).unwrap();
        assert_eq!(json["version"], 1);
        json["version"] = 2.into();
        let refused = serde_json::from_value::<BatchHandle>(json.clone()).unwrap_err();
        assert!(refused.to_string().contains("newer lmbatch"), "{refused}");
        json.as_object_mut().unwrap().remove("version");
        assert_eq!(serde_json::from_value::<BatchHandle>(json).unwrap(), handle);
    }

    #[test]
    fn a_staged_file_is_stored_and_listed_for_discarding() {
        let staged = Staged::of_file("f");
        assert_eq!((staged.file(), staged.ready), (Some("f"), true));
        assert_eq!(staged.remote_objects, [RemoteObject::File("f".into())]);
        assert_eq!(Staged::ready().file(), None);
    }

    #[test]
    fn numbered_pages_end_with_the_total_or_a_page_that_is_not_full() {
        let options = |page: Option<&str>| ListOptions {
            limit: None,
            page: page.map(Cursor::new),
        };
        for (count, number, size, total, next) in [
            (2, 0, 2, Some(5), Some("1")),
            (2, 1, 2, Some(5), Some("2")),
            (1, 2, 2, Some(5), None),
            (2, 1, 2, Some(4), None),
            (2, 0, 2, None, Some("1")),
            (1, 1, 2, None, None),
            // The last item fills a page: the next page is empty, and is the last.
            (0, 2, 2, None, None),
            (0, 0, 2, Some(5), None),
            (2, u32::MAX, 2, None, None),
        ] {
            let page = Page::numbered(vec![(); count], number, size, total);
            let cursor = page.next.as_ref().map(Cursor::as_str);
            assert_eq!(cursor, next, "page {number} of {total:?}");
            if let Some(next) = next {
                assert_eq!(options(Some(next)).page_number().unwrap(), number + 1);
            }
        }
        assert_eq!(options(None).page_number().unwrap(), 0);
        let foreign = options(Some("batch_1")).page_number().unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn a_wire_id_rule_counts_characters() {
        let word = WireIdRule {
            max_chars: 3,
            ascii_word: true,
        };
        let any = WireIdRule {
            max_chars: 3,
            ascii_word: false,
        };
        for (id, as_word, as_any) in [
            ("", false, false),
            ("a_-", true, true),
            ("a/b", false, true),
            ("äöü", false, true),
            ("abcd", false, false),
        ] {
            assert_eq!((word.allows(id), any.allows(id)), (as_word, as_any), "{id}");
        }
    }
}
