//! How a provider says things: the one trait that the author of an adapter writes.

use std::sync::Arc;
use std::time::SystemTime;

use lmbatch_core::{BatchId, BatchProvider, BatchStatus, RequestCounts};
use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

use crate::full_row::FullRow;

/// How one provider says things on the wire.
///
/// The adapter translates from the wire to lmbatch's words; this translates the other way, from what the
/// kit has in mind to what the provider would write. The two are written independently, from the
/// provider's documentation, and have to agree. Nothing here is asynchronous, and nothing here decides:
/// the kit plays the provider (it accepts, refuses, loses answers, repeats rows), and asks only for words.
pub trait Wire: Send + Sync + 'static {
    /// The adapter, for a provider at `base_url` under `key`.
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider>;

    /// A model that the adapter takes.
    fn model(&self) -> &'static str {
        "model-x"
    }

    /// The header that carries the key, in lower case, and its value.
    fn credential(&self, key: &str) -> (&'static str, String);

    /// The batch's id as the provider would issue it.
    fn batch_id(&self, number: u32) -> BatchId {
        BatchId::new(format!("batch-{number}"))
    }

    /// Which call of the provider's a request is; `None` for one that the provider would not know.
    fn call(&self, request: &Request) -> Option<Call>;

    /// The answer to a step of an upload, for providers that have one.
    fn staged(&self, request: &Request) -> ResponseTemplate {
        let _ = request;
        ResponseTemplate::new(404)
    }

    /// Returns the answer to an upload of one call whose file the provider calls `file`;
    /// [`staged`](Self::staged) unless said otherwise.
    fn staged_as(&self, request: &Request, file: &str) -> ResponseTemplate {
        let _ = file;
        self.staged(request)
    }

    /// Returns the file that a create names as its input, in the words of [`staged_as`](Self::staged_as); `None`
    /// for an inline create, and for a wire that does not tell files apart. [`serve`](crate::serve) then takes
    /// what was uploaded since the last create.
    fn input(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// Returns what the model says to a request of a provider that is [served](crate::serve): a text that names the
    /// request, unless said otherwise. Clauses do not ask for it.
    fn said(&self, request: &Sent) -> Row {
        Row::Succeeded(format!("emulated answer to {}", request.id))
    }

    /// Refuses what the real provider refuses, such as an upload without its purpose, an id of the wrong form
    /// or two models in one batch. A request that is refused fails the clause, with the reason, in every
    /// edition. Everything is taken unless said otherwise.
    ///
    /// # Errors
    /// A [`Why`] that names what the provider does not take.
    fn takes(&self, request: &Request) -> Result<(), Why> {
        let _ = request;
        Ok(())
    }

    /// The requests for a model that this HTTP request carries, whether in an upload or in a create.
    fn sent(&self, request: &Request) -> Vec<Sent>;

    /// Body of the 200 that confirms a deletion, for providers that can delete: an empty object unless said
    /// otherwise.
    fn deleted(&self, request: &Request) -> Value {
        let _ = request;
        Value::Object(serde_json::Map::new())
    }

    /// Our mark on a create, for providers that keep one.
    fn label(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// Returns the token that a create carries, for adapters that declare
    /// [`CreateProof::Token`](lmbatch_core::CreateProof::Token): a second create under it makes no batch.
    fn token(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// The yes to a create.
    fn created(&self, batch: &Described) -> Value {
        self.batch(batch)
    }

    /// A batch as the provider shows it.
    fn batch(&self, batch: &Described) -> Value;

    /// Where the counts stand in a batch: a JSON pointer; the empty text, which is the default, for a provider
    /// without counts.
    fn counts(&self) -> &'static str {
        ""
    }

    /// Returns the JSON pointers of all counts of a batch, for providers whose counts do not stand in one
    /// object; the one of [`counts`](Self::counts) unless said otherwise. Empty for a provider without counts, of
    /// whose batches no counts may be made up.
    fn counts_at(&self) -> Vec<&'static str> {
        let at = Some(self.counts()).filter(|at| !at.is_empty());
        at.into_iter().collect()
    }

    /// Returns whether a batch shows where its results are, or whether they are there: true unless said otherwise.
    /// False for a provider whose results are read at a path that the batch does not show, such as
    /// `jobs/{id}/rows`. A part of a batch of such a provider shows no sign of itself before it is read, and
    /// [`batch`](Self::batch) need not write [`Described::parts`].
    fn shows_results(&self) -> bool {
        true
    }

    /// The statuses that the provider can tell apart. In progress and completed are always among them. One that is
    /// missing, such as [`Expired`](BatchStatus::Expired), is not asked about.
    fn statuses(&self) -> Vec<BatchStatus>;

    /// Every word that the provider has for a status, with what it means where nothing else speaks.
    fn words(&self) -> Vec<(&'static str, BatchStatus)>;

    /// A page of a list; `next` is where the next one begins.
    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value;

    /// Returns a page of a list of which more is known than its cursor, for providers that number their
    /// pages; [`page`](Self::page) unless said otherwise.
    fn list_page(&self, page: ListPage) -> Value {
        self.page(page.batches, page.next.as_deref())
    }

    /// Returns a page of the list of uploaded files, in the words of [`Call::Files`]; `None` for a provider
    /// that lists none, whose adapter then says so.
    fn files(&self, files: &[DescribedFile], next: Option<&str>) -> Option<Value> {
        let _ = (files, next);
        None
    }

    /// Returns the body of the 200 that answers a probe of key and model, in the words of [`Call::Probe`];
    /// `None` for a provider without such a call, whose adapter then sends nothing.
    fn probed(&self) -> Option<Value> {
        None
    }

    /// Returns adapters of the same account that are configured otherwise, such as for another route. They
    /// read the results of this one's batches. None unless said otherwise.
    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        let _ = (base_url, key);
        Vec::new()
    }

    /// Returns a row of the results that says more than a [`Row`] can; `None` where the provider has no word
    /// for what the row says. The clauses then hold the adapter to the other half: what cannot be answered
    /// cannot be asked for, and nothing is made up.
    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let _ = (id, row);
        None
    }

    /// A row of the results.
    fn row(&self, id: &str, row: &Row) -> Value;

    /// Where a row stands, for providers that keep failures apart.
    fn part(&self, row: &Row) -> Part {
        let _ = row;
        Part::All
    }

    /// Whether results are lines to be read, or stand in the batch itself.
    fn shape(&self) -> Shape {
        Shape::Lines
    }

    /// The body of an answer that says no, with words for a person to read: the provider's own error object, as
    /// it is documented, for any HTTP status. A code in it must mean what the status means, such as that of a wrong
    /// key for 401; a status that the provider does not document gets a code that decides nothing.
    fn refusal(&self, status: u16, words: &str) -> Value;

    /// Returns the body of a no to a call of one kind, for providers whose codes depend on the call: one code for a
    /// batch that does not exist and another for a model that does not; [`refusal`](Self::refusal) unless said
    /// otherwise.
    fn refusal_of(&self, call: CallKind, status: u16, words: &str) -> Value {
        let _ = call;
        self.refusal(status, words)
    }

    /// Returns the JSON pointers of members of [`refusal`](Self::refusal) that the provider may leave out, or write as
    /// another JSON type: without them the body is still its own error object. None unless said otherwise.
    fn refusal_may_lack(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// The HTTP status that a cancel of a batch that has ended is answered with.
    fn cancel_of_ended(&self) -> u16 {
        409
    }
}

/// Reason why a provider refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why(pub String);

impl<T: Into<String>> From<T> for Why {
    fn from(why: T) -> Self {
        Self(why.into())
    }
}

/// A call to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// Part of an upload; free.
    Stage,
    /// The call that can cost money.
    Create,
    /// Where a batch stands.
    Status(BatchId),
    /// A page of batches, from a place on.
    List(Option<String>),
    /// A page of batches by its number.
    ListPage {
        /// Pages before it.
        number: u32,
        /// Most batches on it, as the request asks; `None` where it leaves that to the provider.
        size: Option<u32>,
    },
    /// A page of uploaded files, from a place on.
    Files(Option<String>),
    /// A check of key and model that costs nothing.
    Probe,
    /// A request to cancel.
    Cancel(BatchId),
    /// The rows of a part.
    Read(Part),
    /// The rows of a file, by its name from [`Described::file`], or from [`Part::file_of`] where a path holds no more
    /// than the id of the batch.
    ReadFile(String),
    /// A deletion.
    Discard,
}

impl Call {
    /// The call without what it is about.
    pub fn kind(&self) -> CallKind {
        match self {
            Self::Stage => CallKind::Stage,
            Self::Create => CallKind::Create,
            Self::Status(_) => CallKind::Status,
            Self::List(_) | Self::ListPage { .. } => CallKind::List,
            Self::Files(_) => CallKind::Files,
            Self::Probe => CallKind::Probe,
            Self::Cancel(_) => CallKind::Cancel,
            Self::Read(_) | Self::ReadFile(_) => CallKind::Read,
            Self::Discard => CallKind::Discard,
        }
    }
}

/// A call without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// Part of an upload.
    Stage,
    /// The create.
    Create,
    /// The status of a batch.
    Status,
    /// A page of batches.
    List,
    /// A page of uploaded files.
    Files,
    /// A check of key and model.
    Probe,
    /// A request to cancel.
    Cancel,
    /// The rows of a part.
    Read,
    /// A deletion.
    Discard,
}

/// A request for a model, as the provider reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Its id on the wire.
    pub id: String,
    /// What it asks for.
    pub body: Value,
}

/// A batch that the kit has in mind.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its id.
    pub id: BatchId,
    /// Where it stands. [`BatchStatus::Unknown`] holds a word that is to be written as it is.
    pub status: BatchStatus,
    /// Its requests by what became of them. The total is always there.
    pub counts: RequestCounts,
    /// Our mark, as the create carried it.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: SystemTime,
    /// The parts of its results that there are. A part may be there and be empty.
    pub parts: Vec<Part>,
    /// Reasons, for a person to read, why it failed as a whole.
    pub problems: Vec<String>,
}

/// An uploaded file that the kit has in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedFile {
    /// Id that deletes it.
    pub id: String,
    /// Label of the shard that it was uploaded for; for a file of others their own name.
    pub label: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of its upload.
    pub created_at: SystemTime,
}

/// A page of a list of batches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListPage {
    /// Batches on it, as the wire writes them.
    pub batches: Vec<Value>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
    /// Pages before it.
    pub number: u32,
    /// Most batches on a page.
    pub size: u32,
    /// Batches on all pages.
    pub total: u64,
}

impl Described {
    /// Whether a part of the results is there.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// When it was made, such as `2026-11-01T09:00:00Z`.
    pub fn created(&self) -> String {
        lmbatch_core::format_time(self.created_at)
    }

    /// Requests that are still to be answered.
    pub fn processing(&self) -> u64 {
        self.counts
            .total
            .unwrap_or(0)
            .saturating_sub(self.counts.finished())
    }

    /// Stands for the list of rows in a batch that holds its results itself: `"results": batch.rows()`.
    pub fn rows(&self) -> Value {
        Value::Array(vec![Value::from(format!("{ROWS}{}", self.id))])
    }

    /// Returns the name of the file that holds a part of this batch's results, such as `output-batch-1`; `None`
    /// where there is no such part. [`Call::ReadFile`] reads it.
    pub fn file(&self, part: Part) -> Option<String> {
        self.has(part).then(|| part.file_of(&self.id))
    }
}

impl Part {
    const ALL: [Self; 3] = [Self::All, Self::Output, Self::Errors];

    fn word(self) -> &'static str {
        match self {
            Self::All => "results",
            Self::Output => "output",
            Self::Errors => "errors",
        }
    }

    /// Returns the name of the file that holds this part of the results of `batch`, such as `output-batch-1`, as
    /// [`Described::file`] gives it. A wire whose rows stand at `jobs/{id}/rows` reads them by
    /// `Call::ReadFile(Part::All.file_of(&id))`.
    pub fn file_of(self, batch: &BatchId) -> String {
        format!("{}-{batch}", self.word())
    }

    /// The part and the batch that a name of [`Described::file`] stands for.
    pub(crate) fn of_file(name: &str) -> Option<(Self, BatchId)> {
        let (word, id) = name.split_once('-')?;
        let part = Self::ALL.into_iter().find(|part| part.word() == word)?;
        Some((part, BatchId::new(id)))
    }
}

/// What [`Described::rows`] puts in place of the rows, before the id of the batch.
pub(crate) const ROWS: &str = "the rows come here: ";

/// What a row of results says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The model answered with this text.
    Succeeded(String),
    /// The provider failed, with these words. Asking again may help.
    Errored(String),
}

/// A part of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Answers and failures in one.
    All,
    /// Answers only.
    Output,
    /// Failures only.
    Errors,
}

/// How results travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As lines of JSON, which a call of their own reads.
    Lines,
    /// As a list in the batch itself: a document.
    Document,
}
