//! An in-memory provider: it takes rows, returns echoed rows, and keeps a bill.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus,
    Candidate, Capabilities, Certainty, Chunk, Clock, ContentView, CreateProof, Cursor, Delivery,
    Error, ErrorKind, FailureView, FinishReason, FollowUp, Found, Intent, ItemView, JsonView,
    Label, Limits, ListOptions, OpenedRow, OutcomeView, OutputView, Page, PartRole, ProviderId,
    RemoteObject, RequestCounts, RequestError, RequestView, Result, ResultPart, ResultSet,
    RowContent, RowError, RowReader, RowStream, Shard, Staged, Text, TokenBounds, TokenUsage,
    WireId, WireIdRule, read_row,
};

/// Instructions for a provider. Lists are consumed call by call; an empty list means the normal behaviour.
#[derive(Debug, Default)]
pub struct Script {
    /// Result of each create: `None` accepts it, an error refuses it.
    pub creates: VecDeque<Option<Error>>,
    /// Errors of creates that are accepted nevertheless.
    pub accepted_unseen: VecDeque<Error>,
    /// Result of each status call before the batch has ended.
    pub statuses: VecDeque<Result<BatchStatus>>,
    /// Delay until the next poll that the server asks for, call by call.
    pub wishes: VecDeque<Option<Duration>>,
    /// Final status of batches; completed by default.
    pub end: Option<BatchStatus>,
    /// Errors of reading the results, call by call.
    pub reads: VecDeque<Error>,
    /// True if results can be read from an offset.
    pub ranges: bool,
    /// Certainty of the batches that a search finds; proved by default.
    pub certainty: Option<Certainty>,
    /// Number of unrelated batches that a search returns as candidates.
    pub lookalikes: u32,
    /// Makes a second create with the same token return the first batch, forever or for a time; `None` ignores tokens.
    pub tokens: Option<Option<Duration>>,
    /// Makes a second create with the same token fail as already existing, with the batch's id if true; `None` returns
    /// the first batch.
    pub exists: Option<bool>,
    /// True if a search identifies a batch by its request count alone.
    pub by_count: bool,
    /// Number of searches that return nothing, since the list lags.
    pub blind_looks: u32,
    /// Number of lists that are empty, since they lag.
    pub blind_lists: u32,
    /// True if the pages of a search form a cycle.
    pub circles: bool,
    /// Number of times that an ended batch shows no results yet.
    pub late_results: u32,
    /// Rows to return instead of the echoed ones.
    pub rows: Option<Vec<u8>>,
    /// Batch in the first status response, with the status expired, whichever batch was requested.
    pub first_status_of: Option<BatchId>,
    /// Rows of the first read; later reads are not affected.
    pub first_rows: Option<Vec<u8>>,
    /// Rows of one batch to return instead of the echoed ones.
    pub rows_of: Option<(BatchId, Vec<u8>)>,
    /// Counts of an ended batch to report instead of the true ones.
    pub counts: Option<RequestCounts>,
    /// True if inputs are uploaded, and uploads and batches can be deleted.
    pub uploads: bool,
    /// Maximum number of requests in a batch.
    pub max_requests: Option<u32>,
    /// Minimum number of requests in a batch; 1 by default.
    pub min_requests: Option<u32>,
    /// True if the provider keeps no labels, so that a lost create is identified only by its request count and time.
    pub unlabelled: bool,
    /// True if the provider can fence a create.
    pub fences: bool,
}

/// A recorded call to a provider or an account, with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the method.
    pub method: &'static str,
    /// Time in seconds since the clock started.
    pub at: u64,
}

#[derive(Debug, Default)]
struct State {
    script: Script,
    calls: Vec<Call>,
    batches: Vec<(BatchId, Label, Vec<u8>)>,
    /// Number of bytes of results that were read.
    read: u64,
    deleted: Vec<RemoteObject>,
    /// Class of each batch.
    classes: BTreeMap<String, BatchClass>,
    /// Classes with which results were requested, in order.
    asked: Vec<Option<BatchClass>>,
    /// Batches by the token of their create.
    tokens: BTreeMap<String, BatchId>,
}

impl State {
    /// Returns the rows of the results of a batch.
    fn rows(&self, batch: &BatchId) -> Vec<u8> {
        let rows_of = self.script.rows_of.as_ref();
        let rows_of = rows_of.filter(|(of, _)| of == batch);
        match rows_of.map(|(_, rows)| rows).or(self.script.rows.as_ref()) {
            Some(rows) => rows.clone(),
            None => {
                let found = self.batches.iter().find(|(id, ..)| id == batch);
                found.map(|(.., body)| body.clone()).unwrap_or_default()
            }
        }
    }

    /// Returns the request counts of a batch: requests with a row have ended.
    fn counts(&self, batch: &BatchId) -> RequestCounts {
        if let Some(counts) = self.script.counts {
            return counts;
        }
        let found = self.batches.iter().find(|(id, ..)| id == batch);
        let Some((.., body)) = found else {
            return RequestCounts::default();
        };
        let ids = |text: &[u8]| -> BTreeSet<String> {
            let mut reader = RowReader::new();
            let rows = text.split(|byte| *byte == b'\n');
            let ids = rows.filter_map(|row| {
                let row: Row<'_> = read_row(reader.read(row).value()?).ok()?;
                Some(row.id.text()?.decode().into_owned())
            });
            ids.collect()
        };
        let (asked, answered) = (ids(body), ids(&self.rows(batch)));
        RequestCounts {
            total: Some(asked.len() as u64),
            succeeded: asked.intersection(&answered).count() as u64,
            ..RequestCounts::default()
        }
    }
}

/// A provider in memory, which follows a [`Script`] and echoes prompts.
#[derive(Debug)]
pub struct MemoryProvider {
    codec: MemoryCodec,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

impl MemoryProvider {
    /// Creates a provider that follows a script.
    pub fn new(clock: Arc<dyn Clock>, script: Script) -> Self {
        let max_requests = script.max_requests.unwrap_or(1000);
        let min_requests = script.min_requests.unwrap_or(1);
        let mut codec = MemoryCodec::new(
            Capabilities {
                fence: script.fences,
                create: match script.tokens {
                    Some(_) => CreateProof::Token,
                    None if script.unlabelled => CreateProof::CountAndTime,
                    None => CreateProof::Labelled,
                },
                token_lifetime: script.tokens.flatten(),
                ..capabilities()
            },
            max_requests,
        );
        codec.min_requests = min_requests;
        Self {
            codec,
            clock,
            state: Mutex::new(State {
                script,
                ..State::default()
            }),
        }
    }

    /// Accepts every create from now on.
    pub fn accept_all(&self) {
        self.state().script.creates.clear();
    }

    /// Returns the recorded calls, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Returns the seconds at which a method was called.
    pub fn times(&self, method: &str) -> Vec<u64> {
        self.calls()
            .into_iter()
            .filter(|call| call.method == method)
            .map(|call| call.at)
            .collect()
    }

    /// Returns the number of bytes of results that were read.
    pub fn read_bytes(&self) -> u64 {
        self.state().read
    }

    /// Returns the classes with which results were requested, in order; `None` where the caller knew none.
    pub fn asked_classes(&self) -> Vec<Option<BatchClass>> {
        self.state().asked.clone()
    }

    /// Returns the deleted files and batches, in order.
    pub fn deleted(&self) -> Vec<RemoteObject> {
        self.state().deleted.clone()
    }

    /// Returns the number of accepted batches, which a provider would charge for.
    pub fn accepted(&self) -> usize {
        self.state().batches.len()
    }

    /// Returns the body of a batch as the create sent it.
    pub fn body(&self, batch: usize) -> Vec<u8> {
        self.state().batches[batch].2.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn called(&self, method: &'static str) -> MutexGuard<'_, State> {
        let at = self.clock.elapsed().as_secs();
        let mut state = self.state();
        state.calls.push(Call { method, at });
        state
    }
}

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        create: CreateProof::Labelled,
        fence: false,
        ranges: false,
        list: true,
        status_page: None,
        cancel: true,
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

#[async_trait]
impl BatchProvider for MemoryProvider {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }

    fn account(&self) -> AccountId {
        AccountId::new("memory")
    }

    async fn stage(&self, shard: &Shard, _: Option<Staged>) -> Result<Staged> {
        if !self.state().script.uploads {
            return Ok(Staged {
                ready: true,
                ..Staged::default()
            });
        }
        drop(self.called("stage"));
        Ok(Staged {
            ready: true,
            remote_objects: vec![RemoteObject::File(shard.label.as_str().into())],
            ..Staged::default()
        })
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        if !self.state().script.uploads {
            return Err(Error::unsupported("deleting"));
        }
        self.called("discard").deleted.push(remote_object.clone());
        Ok(())
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        let pieces: Vec<Bytes> = shard.open(0..shard.len()).try_collect().await?;
        let mut state = self.called("create");
        if let Some(Some(error)) = state.script.creates.pop_front() {
            return Err(error);
        }
        if state.script.tokens.is_some() {
            let token = intent.token.as_str().to_owned();
            let next = BatchId::new(format!("b{}", state.batches.len() + 1));
            let held = state
                .tokens
                .entry(token)
                .or_insert_with(|| next.clone())
                .clone();
            if held != next {
                return match state.script.exists {
                    None => Ok(held),
                    Some(named) => {
                        let error =
                            Error::new(ErrorKind::AlreadyExists).with_delivery(Delivery::Refused);
                        Err(if named { error.with_batch(held) } else { error })
                    }
                };
            }
        }
        let id = BatchId::new(format!("b{}", state.batches.len() + 1));
        let class = shard.class.clone();
        state.classes.insert(id.as_str().to_owned(), class);
        state
            .batches
            .push((id.clone(), shard.label.clone(), pieces.concat()));
        match state.script.accepted_unseen.pop_front() {
            Some(error) => Err(error),
            None => Ok(id),
        }
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let mut state = self.called("find");
        if state.script.circles {
            let other = page.is_none_or(|page| page.as_str() == "there");
            return Ok(Found {
                next: Some(Cursor::new(if other { "back" } else { "there" })),
                ..Found::default()
            });
        }
        if state.script.blind_looks > 0 {
            state.script.blind_looks -= 1;
            return Ok(Found {
                reached_watermark: true,
                ..Found::default()
            });
        }
        let matching = state.batches.iter().rev().filter(|(_, label, rows)| {
            let count = rows.iter().filter(|byte| **byte == b'\n').count();
            *label == intent.label || (state.script.by_count && count == intent.count as usize)
        });
        let strangers = (0..state.script.lookalikes).map(|k| BatchId::new(format!("stranger{k}")));
        let candidates = strangers
            .chain(matching.map(|(batch, ..)| batch.clone()))
            .map(|batch| Candidate {
                batch,
                certainty: state.script.certainty.unwrap_or(Certainty::Proved),
                evidence: "label".into(),
            })
            .collect();
        Ok(Found {
            candidates,
            next: None,
            reached_watermark: true,
        })
    }

    async fn fence(&self, _: &Staged) -> Result<()> {
        drop(self.called("fence"));
        Ok(())
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let mut state = self.called("status");
        if let Some(other) = state.script.first_status_of.take() {
            let counts = RequestCounts {
                total: Some(3),
                ..RequestCounts::default()
            };
            let mut snapshot = BatchSnapshot::new(other, BatchStatus::Expired);
            snapshot.counts = counts;
            return Ok(snapshot);
        }
        let wish = state.script.wishes.pop_front().flatten();
        let end = state.script.end.clone().unwrap_or(BatchStatus::Completed);
        let status = state.script.statuses.pop_front().unwrap_or(Ok(end))?;
        let counts = match status.may_have_outcomes() {
            true => state.counts(batch),
            false => RequestCounts::default(),
        };
        let mut snapshot = BatchSnapshot::new(batch.clone(), status);
        snapshot.poll_after = wish;
        snapshot.counts = counts;
        Ok(snapshot)
    }

    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let mut state = self.called("results");
        state.asked.push(class.cloned());
        let own = state.classes.get(batch.as_str());
        if let (Some(class), Some(own)) = (class, own)
            && class.route != own.route
        {
            return Err(class.other_route(batch, &own.route));
        }
        if state.script.late_results > 0 {
            state.script.late_results -= 1;
            return Ok(ResultSet::default());
        }
        drop(state);
        let part = ResultPart {
            batch: batch.clone(),
            name: "all".into(),
            role: PartRole::Mixed,
            shape: "memory".into(),
            bytes: None,
        };
        Ok(ResultSet {
            parts: vec![part],
            complete: true,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 && !self.state().script.ranges {
            return Err(Error::unsupported("reading results from the middle"));
        }
        let mut state = self.called("read");
        let first = state.script.first_rows.take();
        let rows = first.unwrap_or_else(|| state.rows(&part.batch));
        let rows = rows[(from as usize).min(rows.len())..].to_vec();
        state.read += match state.script.reads.is_empty() {
            true => rows.len(),
            false => rows.len() / 2,
        } as u64;
        let chunks: Vec<_> = match state.script.reads.pop_front() {
            Some(error) => vec![
                Ok(Chunk::Bytes(Bytes::copy_from_slice(
                    &rows[..rows.len() / 2],
                ))),
                Err(error),
            ],
            None => vec![Ok(Chunk::Bytes(Bytes::from(rows)))],
        };
        Ok(stream::iter(chunks).boxed())
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let mut state = self.called("list");
        if state.script.blind_lists > 0 {
            state.script.blind_lists -= 1;
            return Ok(Page {
                items: Vec::new(),
                next: None,
            });
        }
        let limit = options.limit.unwrap_or(2) as usize;
        let from = options
            .page
            .as_ref()
            .and_then(|page| page.as_str().parse().ok())
            .unwrap_or(0);
        let newest = state.batches.iter().rev().skip(from).take(limit);
        let items: Vec<_> = newest
            .map(|(id, label, _)| {
                let mut snapshot = BatchSnapshot::new(id.clone(), BatchStatus::Completed);
                // A provider without labels lists none.
                snapshot.label = Some(label.clone()).filter(|_| !state.script.by_count);
                snapshot
            })
            .collect();
        let next = (from + items.len() < state.batches.len())
            .then(|| Cursor::new((from + items.len()).to_string()));
        Ok(Page { items, next })
    }

    async fn cancel(&self, _: &BatchId) -> Result<()> {
        drop(self.called("cancel"));
        Ok(())
    }
}

/// A codec of rows `{"id":…,"text":…}`, with `"error"` instead of the text for a failure.
#[derive(Debug)]
pub(crate) struct MemoryCodec {
    id: ProviderId,
    capabilities: Capabilities,
    max_requests: u32,
    min_requests: u32,
}

impl MemoryCodec {
    /// Creates a codec of batches with at most `max_requests` requests.
    pub(crate) fn new(capabilities: Capabilities, max_requests: u32) -> Self {
        Self {
            id: ProviderId::new("memory"),
            capabilities,
            max_requests,
            min_requests: 1,
        }
    }
}

lmbatch_core::members! {
    struct Row {
        id: "id",
        text: "text",
        error: "error",
    }
}

impl BatchCodec for MemoryCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        let RequestView::Generate(generate) = request else {
            return Err(RequestError::unsupported("only generate requests"));
        };
        Ok(BatchClass {
            model: Some(generate.model.decode().into()),
            endpoint: "memory".into(),
            route: "inline".into(),
            variant: BTreeMap::new(),
        })
    }

    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        let RequestView::Generate(generate) = request else {
            return false;
        };
        class.model.as_deref() == Some(&*generate.model.decode())
            && *class.endpoint == *"memory"
            && *class.route == *"inline"
            && class.variant.is_empty()
    }

    fn limits(&self, _: &BatchClass) -> Limits {
        Limits {
            min_requests: self.min_requests,
            max_requests: self.max_requests,
            max_bytes: 1 << 30,
            max_request_bytes: 1 << 20,
            enqueued_tokens: None,
        }
    }

    fn body(
        &self,
        _: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let RequestView::Generate(generate) = request else {
            return Err(RequestError::unsupported("only generate requests"));
        };
        out.push(b'"');
        for message in &generate.messages {
            for content in &message.contents {
                match content {
                    ContentView::Text(text) => text.write_json_inner(out),
                    _ => return Err(RequestError::unsupported("memory takes text only")),
                }
            }
        }
        out.push(b'"');
        Ok(())
    }

    fn follow_up(
        &self,
        _: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let text = body.strip_suffix('"');
        let text = text.ok_or_else(|| RequestError::invalid_input("the body is not a text"))?;
        out.extend_from_slice(text.as_bytes());
        for turn in [&*turns.text(), turns.message] {
            out.push(b' ');
            Text::Plain(turn).write_json_inner(out);
        }
        out.push(b'"');
        Ok(())
    }

    fn head(&self, _: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"id\":");
        Text::Plain(id.as_str()).write_json(out);
        out.extend_from_slice(b",\"text\":");
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        let row: Row<'a> = read_row(row)?;
        let error = row.error.id()?.map(Text::decode);
        let content = match (error, row.text.raw()) {
            (Some(word), _) if word == "expired" => RowContent::Ended(OutcomeView::Expired),
            (Some(word), text) => RowContent::Ended(OutcomeView::Errored(FailureView {
                kind: ErrorKind::ProviderInternal,
                code: Some(word),
                http_status: Some(500),
                message: text.and_then(JsonView::text),
                retryable: true,
            })),
            (None, Some(text)) => RowContent::Answer(text),
            (None, None) => RowContent::Ended(OutcomeView::Errored(FailureView::malformed())),
        };
        Ok(OpenedRow {
            id: row.id.id()?,
            content,
        })
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        let Some(text) = answer.text() else {
            return OutcomeView::Errored(FailureView::malformed());
        };
        OutcomeView::Succeeded(OutputView {
            items: vec![ItemView::Text(text)],
            finish_reason: FinishReason::Stop,
            usage: Some(usage(&text.decode()).0),
            model: None,
            response_id: None,
            problem: None,
        })
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["id"]]
    }

    fn token_bounds(&self, _: &BatchClass, row: &[u8]) -> TokenBounds {
        let mut bounds = TokenBounds::of_text(row.len());
        let mut reader = RowReader::new();
        let row: Option<Row<'_>> = reader.read(row).value().and_then(|row| read_row(row).ok());
        let text = row.and_then(|row| row.text.text());
        bounds.output = text.and_then(|text| usage(&text.decode()).1);
        bounds
    }
}

/// Returns the token usage of the answer to a prompt, and the largest number of output tokens that the prompt allows:
/// those of a prompt `usage IN OUT MAX`, or one token each without a limit. An answer may hold the words as a JSON
/// string.
fn usage(text: &str) -> (TokenUsage, Option<u64>) {
    let text = text.strip_prefix('"').unwrap_or(text);
    let mut numbers = text.strip_prefix("usage ").unwrap_or_default().split(' ');
    let mut number = || numbers.next().and_then(|number| number.parse().ok());
    let usage = TokenUsage {
        input_tokens: number().unwrap_or(1),
        output_tokens: number().unwrap_or(1),
        ..TokenUsage::default()
    };
    (usage, number())
}
