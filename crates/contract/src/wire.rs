//! The trait that the author of an adapter writes: the provider's wire format.

use std::sync::Arc;
use std::time::SystemTime;

use lmbatch_core::{BatchId, BatchProvider, BatchStatus, RequestCounts};
use serde_json::Value;
use wiremock::{Request, ResponseTemplate};

use crate::full_row::FullRow;

/// The wire format of one provider.
///
/// An adapter translates from the provider's wire format to lmbatch's types; a wire translates the other way, from a
/// batch that the kit describes to the provider's JSON. Write the two independently, from the provider's
/// documentation, so that they check each other. No method is asynchronous or makes a decision: the kit plays the
/// provider (accepts, refuses, loses responses, repeats rows) and asks the wire only for the format.
pub trait Wire: Send + Sync + 'static {
    /// Returns the adapter under test, for a provider at `base_url` with the given key.
    fn adapter(&self, base_url: &str, key: &str) -> Arc<dyn BatchProvider>;

    /// Returns a model that the adapter accepts; `model-x` by default.
    fn model(&self) -> &'static str {
        "model-x"
    }

    /// Returns the header that carries the key: the name in lower case, and the value.
    fn credential(&self, key: &str) -> (&'static str, String);

    /// Returns a batch id in the form in which the provider would issue it; `batch-{number}` by default.
    fn batch_id(&self, number: u32) -> BatchId {
        BatchId::new(format!("batch-{number}"))
    }

    /// Returns the call that an HTTP request makes; `None` for one that the provider does not have.
    fn call(&self, request: &Request) -> Option<Call>;

    /// Returns the response to one step of an upload, for providers with uploads; 404 by default.
    fn staged(&self, request: &Request) -> ResponseTemplate {
        let _ = request;
        ResponseTemplate::new(404)
    }

    /// Returns the response to a single-call upload whose file the provider names `file`; [`staged`](Self::staged) by
    /// default.
    fn staged_as(&self, request: &Request, file: &str) -> ResponseTemplate {
        let _ = file;
        self.staged(request)
    }

    /// Returns the name of the input file of a create, as [`staged_as`](Self::staged_as) issued it; `None`, the
    /// default, for an inline create and for a wire that does not distinguish files. [`serve`](crate::serve) then uses
    /// everything uploaded since the last create.
    fn input(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// Returns the model's answer to a request of a provider that is [served](crate::serve); by default a text that
    /// names the request. Clauses do not call it.
    fn said(&self, request: &Sent) -> Row {
        Row::Succeeded(format!("emulated answer to {}", request.id))
    }

    /// Refuses a request that the real provider would refuse, such as an upload without its purpose, an invalid id or
    /// two models in one batch. A refused request fails the clause with the reason, in every edition. By default every
    /// request is accepted.
    ///
    /// # Errors
    /// A [`Why`] that states what the provider does not accept.
    fn takes(&self, request: &Request) -> Result<(), Why> {
        let _ = request;
        Ok(())
    }

    /// Returns the model requests that an HTTP request carries, in an upload or in a create.
    fn sent(&self, request: &Request) -> Vec<Sent>;

    /// Returns the body of the 200 that confirms a deletion, for providers that can delete; an empty object by
    /// default.
    fn deleted(&self, request: &Request) -> Value {
        let _ = request;
        Value::Object(serde_json::Map::new())
    }

    /// Returns lmbatch's label on a create, for providers that keep one; `None` by default.
    fn label(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// Returns the token that a create carries, for adapters that declare
    /// [`CreateProof::Token`](lmbatch_core::CreateProof::Token); `None` by default. A second create with the same
    /// token makes no batch.
    fn token(&self, create: &Request) -> Option<String> {
        let _ = create;
        None
    }

    /// Returns the response to an accepted create; [`batch`](Self::batch) by default.
    fn created(&self, batch: &Described) -> Value {
        self.batch(batch)
    }

    /// Returns a batch in the provider's JSON.
    fn batch(&self, batch: &Described) -> Value;

    /// Returns the JSON pointer to the request counts in a batch; the empty string, the default, for a provider
    /// without counts.
    fn counts(&self) -> &'static str {
        ""
    }

    /// Returns the JSON pointers to all request counts of a batch, for providers whose counts do not stand in one
    /// object; by default the pointer from [`counts`](Self::counts). Empty for a provider without counts, for whose
    /// batches the adapter must not invent any.
    fn counts_at(&self) -> Vec<&'static str> {
        let at = Some(self.counts()).filter(|at| !at.is_empty());
        at.into_iter().collect()
    }

    /// Returns whether a batch shows the location or the presence of its results; true by default. False for a
    /// provider whose results are read at a path that the batch does not show, such as `jobs/{id}/rows`. For such a
    /// provider, the presence of a part is unknown until it is read, and [`batch`](Self::batch) need not write
    /// [`Described::parts`].
    fn shows_results(&self) -> bool {
        true
    }

    /// Returns the statuses that the provider can distinguish, always including in progress and completed. Clauses
    /// about an absent one, such as [`Expired`](BatchStatus::Expired), do not apply.
    fn statuses(&self) -> Vec<BatchStatus>;

    /// Returns every status word of the provider, with its meaning in a batch without other signs.
    fn words(&self) -> Vec<(&'static str, BatchStatus)>;

    /// Returns a page of a list; `next` is the cursor of the next page.
    fn page(&self, batches: Vec<Value>, next: Option<&str>) -> Value;

    /// Returns a page of a list with its number and total, for providers with numbered pages; [`page`](Self::page) by
    /// default.
    fn list_page(&self, page: ListPage) -> Value {
        self.page(page.batches, page.next.as_deref())
    }

    /// Returns a page of the list of uploaded files, for [`Call::Files`]; `None`, the default, for a provider without
    /// such a list, whose adapter reports so.
    fn files(&self, files: &[DescribedFile], next: Option<&str>) -> Option<Value> {
        let _ = (files, next);
        None
    }

    /// Returns the body of the 200 that answers a probe of key and model, for [`Call::Probe`]; `None`, the default,
    /// for a provider without such a call, whose adapter then sends nothing.
    fn probed(&self) -> Option<Value> {
        None
    }

    /// Returns adapters of the same account with another configuration, such as another route, which can read the
    /// results of this adapter's batches; none by default.
    fn others(&self, base_url: &str, key: &str) -> Vec<Arc<dyn BatchProvider>> {
        let _ = (base_url, key);
        Vec::new()
    }

    /// Returns a row of the results with more content than a [`Row`]; `None`, the default, where the provider cannot
    /// express it. Clauses then check that the adapter refuses requests that need such an answer, and invents nothing.
    fn full_row(&self, id: &str, row: &FullRow) -> Option<Value> {
        let _ = (id, row);
        None
    }

    /// Returns a row of the results.
    fn row(&self, id: &str, row: &Row) -> Value;

    /// Returns the part of the results that a row belongs to, for providers that separate failures; [`Part::All`] by
    /// default.
    fn part(&self, row: &Row) -> Part {
        let _ = row;
        Part::All
    }

    /// Returns the form of the results, lines or a document; [`Shape::Lines`] by default.
    fn shape(&self) -> Shape {
        Shape::Lines
    }

    /// Returns the body of an error response with `words` as its message: the provider's own error object, as
    /// documented, for any HTTP status. A code in it must mean the same as the status, such as the code of an invalid
    /// key for 401; an undocumented status gets a code that decides nothing.
    fn refusal(&self, status: u16, words: &str) -> Value;

    /// Returns the body of an error response to one kind of call, for providers whose codes depend on the call, such
    /// as different codes for an unknown batch and an unknown model; [`refusal`](Self::refusal) by default.
    fn refusal_of(&self, call: CallKind, status: u16, words: &str) -> Value {
        let _ = call;
        self.refusal(status, words)
    }

    /// Returns the JSON pointers to members of [`refusal`](Self::refusal) that the provider may omit, or write as
    /// another JSON type: without them the body is still the provider's own error object. None by default.
    fn refusal_may_lack(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the HTTP status of the response to a cancel of a batch that has ended; 409 by default.
    fn cancel_of_ended(&self) -> u16 {
        409
    }
}

/// Reason why the provider refuses a request.
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
    /// A step of an upload, which is free.
    Stage,
    /// The call that can cost money.
    Create,
    /// The status of a batch.
    Status(BatchId),
    /// A page of batches, from a cursor on.
    List(Option<String>),
    /// A page of batches, by its number.
    ListPage {
        /// Number of pages before this one.
        number: u32,
        /// Maximum number of batches on the page, as the request sets it; `None` for the provider's default.
        size: Option<u32>,
    },
    /// A page of uploaded files, from a cursor on.
    Files(Option<String>),
    /// A free check of key and model.
    Probe,
    /// A cancel of a batch.
    Cancel(BatchId),
    /// The rows of a part of the results.
    Read(Part),
    /// The rows of a file, by its name from [`Described::file`], or from [`Part::file_of`] where the path contains
    /// only the batch id.
    ReadFile(String),
    /// A deletion of a file or batch.
    Discard,
}

impl Call {
    /// Returns the kind of the call.
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

/// The kind of a call, without its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// A step of an upload.
    Stage,
    /// The create of a batch.
    Create,
    /// The status of a batch.
    Status,
    /// A page of batches.
    List,
    /// A page of uploaded files.
    Files,
    /// A free check of key and model.
    Probe,
    /// A cancel of a batch.
    Cancel,
    /// The rows of a part of the results.
    Read,
    /// A deletion of a file or batch.
    Discard,
}

/// A model request as the provider reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// Wire id of the request.
    pub id: String,
    /// Body of the request, in the provider's format.
    pub body: Value,
}

/// A batch that the kit describes and the wire writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Id of the batch.
    pub id: BatchId,
    /// Status of the batch. [`BatchStatus::Unknown`] holds a word that is to be written unchanged.
    pub status: BatchStatus,
    /// Request counts by outcome. The total is always present.
    pub counts: RequestCounts,
    /// Label of lmbatch, as the create carried it.
    pub label: Option<String>,
    /// Time when the batch was created.
    pub created_at: SystemTime,
    /// Parts of the results that exist. An existing part may be empty.
    pub parts: Vec<Part>,
    /// Reasons for a failure of the whole batch, as messages for people.
    pub problems: Vec<String>,
}

/// An uploaded file that the kit describes and the wire writes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DescribedFile {
    /// Id by which the file is deleted.
    pub id: String,
    /// Label of the shard that the file was uploaded for; for an unrelated file, a name of its own.
    pub label: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of the upload.
    pub created_at: SystemTime,
}

/// A page of a list of batches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ListPage {
    /// Batches on the page, as the wire writes them.
    pub batches: Vec<Value>,
    /// Cursor of the next page; `None` on the last.
    pub next: Option<String>,
    /// Number of pages before this one.
    pub number: u32,
    /// Maximum number of batches on a page.
    pub size: u32,
    /// Number of batches on all pages.
    pub total: u64,
}

impl Described {
    /// Returns whether a part of the results exists.
    pub fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Returns the creation time in RFC 3339, such as `2026-11-01T09:00:00Z`.
    pub fn created(&self) -> String {
        lmbatch_core::format_time(self.created_at)
    }

    /// Returns the number of requests without an outcome yet.
    pub fn processing(&self) -> u64 {
        self.counts
            .total
            .unwrap_or(0)
            .saturating_sub(self.counts.finished())
    }

    /// Returns a placeholder for the list of rows, for a batch that contains its own results. Write it as the value of
    /// the member with the rows.
    pub fn rows(&self) -> Value {
        Value::Array(vec![Value::from(format!("{ROWS}{}", self.id))])
    }

    /// Returns the name of the file that holds a part of the batch's results, such as `output-batch-1`; `None` where
    /// the part does not exist. [`Call::ReadFile`] reads it.
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
    /// [`Described::file`] does. A wire whose rows stand at `jobs/{id}/rows` reads them with
    /// `Call::ReadFile(Part::All.file_of(&id))`.
    pub fn file_of(self, batch: &BatchId) -> String {
        format!("{}-{batch}", self.word())
    }

    /// Returns the part and the batch that a name from [`Described::file`] stands for.
    pub(crate) fn of_file(name: &str) -> Option<(Self, BatchId)> {
        let (word, id) = name.split_once('-')?;
        let part = Self::ALL.into_iter().find(|part| part.word() == word)?;
        Some((part, BatchId::new(id)))
    }
}

/// Text of the placeholder of [`Described::rows`], before the batch id.
pub(crate) const ROWS: &str = "the rows come here: ";

/// The content of a row of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// The model answered with this text.
    Succeeded(String),
    /// The provider failed, with this message. A retry may help.
    Errored(String),
}

/// A part of the results of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Answers and failures together.
    All,
    /// Answers without failures.
    Output,
    /// Failures without answers.
    Errors,
}

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Lines of JSON, read with a call of their own.
    Lines,
    /// A JSON list inside the batch itself.
    Document,
}
