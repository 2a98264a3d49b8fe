//! What a batch is made of, before and after it exists.

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

/// Bytes in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// The encoded requests of a shard: of known length, and readable any number of times.
pub trait ShardBody: fmt::Debug + Send + Sync + 'static {
    /// Bytes in all.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Reads a part of them.
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

/// Requests of one class planned for one batch, before it exists.
#[derive(Debug, Clone)]
pub struct Shard {
    /// What they share.
    pub class: BatchClass,
    /// Our mark.
    pub label: Label,
    /// How many they are.
    pub count: u32,
    /// What stands around them.
    pub frame: Frame,
    /// The requests.
    pub rows: Arc<dyn ShardBody>,
}

impl Shard {
    /// Bytes of the whole body.
    pub fn len(&self) -> u64 {
        self.frame.prefix.len() as u64 + self.rows.len() + self.frame.suffix.len() as u64
    }

    /// Whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Reads a part of the whole body: uploads in pieces, and uploads that go on, need it.
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

/// What an adapter has uploaded for a batch: its own words, kept across restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// Whether the batch can be created now.
    pub ready: bool,
    /// What will have to be discarded one day.
    pub remnants: Vec<Remnant>,
    /// Anything else the adapter must remember.
    pub state: BTreeMap<Box<str>, Box<str>>,
}

/// What [`Staged::of_file`] calls the file.
const FILE: &str = "file";

impl Staged {
    /// All that a batch without an upload needs: nothing.
    pub fn ready() -> Self {
        Self {
            ready: true,
            ..Self::default()
        }
    }

    /// A file that was uploaded, and will have to be discarded.
    pub fn of_file(file: impl Into<Box<str>>) -> Self {
        let file = file.into();
        Self {
            ready: true,
            remnants: vec![Remnant::File(file.clone())],
            state: [(FILE.into(), file)].into(),
        }
    }

    /// The file of [`of_file`](Self::of_file).
    pub fn file(&self) -> Option<&str> {
        self.state.get(FILE).map(|file| &**file)
    }
}

/// Something that stays at a provider until it is discarded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remnant {
    /// A file.
    File(Box<str>),
    /// A batch.
    Batch(BatchId),
}

/// A file of ours that a provider holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// What to [discard](crate::BatchProvider::discard).
    pub remnant: Remnant,
    /// The mark of the shard that it was uploaded for.
    pub label: Label,
    /// Its bytes, where the provider says so.
    pub bytes: Option<u64>,
    /// When it was uploaded.
    pub created_at: Option<SystemTime>,
}

/// How we know that a batch is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The provider holds it to our token.
    Token,
    /// It answered our create, or carries our label.
    Proved,
    /// It fits, and nothing else does.
    Presumed,
    /// We do not.
    Unknown,
}

impl Certainty {
    /// The certainty as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Proved => "proved",
            Self::Presumed => "presumed",
            Self::Unknown => "unknown",
        }
    }
}

/// How we know that a batch is ours, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// How sure that is.
    pub certainty: Certainty,
    /// Why, in words.
    pub evidence: Box<str>,
}

impl Proof {
    /// What shows that a batch is ours beyond doubt.
    pub fn proved(evidence: &str) -> Self {
        Self {
            certainty: Certainty::Proved,
            evidence: evidence.into(),
        }
    }
}

/// A batch that may be the one an intent made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The batch.
    pub batch: BatchId,
    /// How sure that is.
    pub certainty: Certainty,
    /// Why, in words.
    pub evidence: Box<str>,
}

/// One page of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Batches that may be ours.
    pub candidates: Vec<Candidate>,
    /// Where to go on.
    pub next: Option<Cursor>,
    /// Whether the page shows a batch that existed before the create. The engine reads one page more.
    pub reached_watermark: bool,
}

impl Found {
    /// Returns what a page of a list, newest first, shows of the search for a label. The whole page is looked
    /// at: a batch may be listed behind the watermark.
    pub fn by_label(page: Page<BatchSnapshot>, intent: &Intent) -> Self {
        let is_older =
            |batch: &BatchSnapshot| intent.is_before(batch.id.as_str(), batch.created_at);
        let reached_watermark = page.items.iter().any(is_older);
        let is_ours = |batch: &BatchSnapshot| batch.label.as_ref() == Some(&intent.label);
        let ours = page.items.into_iter().filter(is_ours);
        let candidates = ours.map(|batch| Candidate {
            batch: batch.id,
            certainty: Certainty::Proved,
            evidence: "it carries our label".into(),
        });
        Self {
            candidates: candidates.collect(),
            next: page.next,
            reached_watermark,
        }
    }
}

/// Which batches to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListOptions {
    /// The most on one page.
    pub limit: Option<u32>,
    /// Where to go on.
    pub page: Option<Cursor>,
}

impl ListOptions {
    /// Returns the number of the page to ask for, from 0, of a provider that numbers its pages: see
    /// [`Page::numbered`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a cursor that is no number, such as one of
    /// another provider.
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

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where to go on; `None` on the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Returns the page of a provider that numbers its pages. `number` counts from 0 and is that of
    /// [`ListOptions::page_number`], whatever the provider itself counts from; `size` is the most items that were
    /// asked for on a page, and `total` the number of items on all pages, where the provider tells it. Without a
    /// total a full page leads to the next one. An empty page is the last.
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
        let leads_on = |next: &u32| match total {
            Some(total) => u64::from(*next) * u64::from(size) < total,
            None => items.len() as u64 >= u64::from(size),
        };
        let next = next.filter(leads_on);
        Self {
            next: next.map(|next| Cursor::new(next.to_string())),
            items,
        }
    }
}

/// What another process needs to go on with a batch.
///
/// ```no_run
/// # fn keep(handle: &lmbatch_core::BatchHandle) -> Result<(), Box<dyn std::error::Error>> {
/// std::fs::write("handle.json", serde_json::to_vec(handle)?)?;
/// let restored: lmbatch_core::BatchHandle = serde_json::from_slice(&std::fs::read("handle.json")?)?;
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
    /// Whose it is.
    pub provider: ProviderId,
    /// Account under which it was created.
    pub account: AccountId,
    /// Digest of the key that created it; `None` in handles of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_hint: Option<KeyHint>,
    /// The batch.
    pub batch: BatchId,
    /// What its requests share.
    pub class: BatchClass,
    /// How ids on the wire lead back to the caller's.
    pub ids: IdRule,
    /// The caller's ids, in the order of the requests.
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

/// How ids on the wire lead back to the caller's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdRule {
    /// They are the caller's.
    Verbatim,
    /// They are ours, and carry the request's place.
    Ordinal(Nonce),
    /// They are ours, and carry the request's place in a run of which the batch holds a part.
    Part {
        /// Common part of the ids.
        nonce: Nonce,
        /// Stretches of consecutive places, each as `[first, count]`, in the order of the requests.
        stretches: Vec<[u32; 2]>,
    },
}

#[cfg(test)]
mod tests {
    use crate::{CreateToken, WireIdRule};
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn any_range_of_a_shard_is_the_same_range_of_its_whole_body() {
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
    fn a_search_by_label_takes_ours_and_ends_at_the_watermark() {
        let intent = Intent {
            label: Label::new("ours"),
            class: BatchClass::new("/x", "file"),
            count: 1,
            bytes: 1,
            staged: Staged::of_file("f"),
            token: CreateToken::new("t"),
            posted_at: None,
            strangers: Vec::new(),
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
            batch("2", Some("ours")),
            batch("1", Some("theirs")),
            batch("0", None),
        ];
        let found = Found::by_label(page(items), &intent);
        assert_eq!(found.candidates.len(), 1);
        assert_eq!(found.candidates[0].batch, BatchId::new("2"));
        assert!(!found.reached_watermark && found.next.is_some());
        let last = Found::by_label(page(vec![batch("old", None)]), &intent);
        assert!(last.reached_watermark && last.candidates.is_empty());
        let behind = vec![batch("old", None), batch("2", Some("ours"))];
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
    fn a_staged_file_is_remembered_and_discarded() {
        let staged = Staged::of_file("f");
        assert_eq!((staged.file(), staged.ready), (Some("f"), true));
        assert_eq!(staged.remnants, [Remnant::File("f".into())]);
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
            // Full to the last item: the page after it is empty, and the last.
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
