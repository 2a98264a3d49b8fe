//! The kit that every clause starts from: the adapter, a provider to talk to, and a batch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use lmbatch_core::{
    BatchHandle, BatchId, BatchProvider, BatchStatus, ContentView, CreateToken, Error,
    GenerateView, Hyperparameters, IdRule, Intent, Label, MessageView, RequestCounts, RequestView,
    Result, Role, Shard, Staged, Text, WireId,
};
use lmbatch_engine::{Engine, LMInvoker, OnDoubt, Outcomes, PollingPolicy};
use lmbatch_testing::{TestClock, TestRng};

use crate::clock::today;
use crate::desk::Desk;
use crate::full_row::FullRow;
use crate::panics::Faults;
use crate::wire::{Described, Part, Row, Shape, Wire};

pub(crate) use crate::panics::KEY;

/// Text in every prompt of the kit, which must appear in no log.
pub(crate) const PROMPT: &str = "prompt-canary";

/// Maximum row size of the kit's engine, in bytes.
pub(crate) const MAX_ROW_BYTES: usize = 1 << 20;

/// A provider's wire under test.
pub struct Kit {
    pub(crate) wire: Arc<dyn Wire>,
    /// Faults outside the clause's own checks, which fail it as well.
    pub(crate) faults: Faults,
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").finish_non_exhaustive()
    }
}

/// Returns a distinct prompt for each position.
pub(crate) fn prompt(place: usize) -> String {
    format!("{PROMPT} number {place}: say it.")
}

impl Kit {
    /// Creates the kit for a wire.
    pub fn new(wire: impl Wire) -> Self {
        Self::of(Arc::new(wire))
    }

    pub(crate) fn of(wire: Arc<dyn Wire>) -> Self {
        Self {
            wire,
            faults: Faults::default(),
        }
    }

    pub(crate) async fn desk(&self) -> Desk {
        Desk::open(Arc::clone(&self.wire), self.faults.clone()).await
    }

    pub(crate) fn adapter(&self, desk: &Desk) -> Arc<dyn BatchProvider> {
        self.wire.adapter(&desk.url, KEY)
    }

    /// Creates an engine over the adapter, with a test clock that starts at [`today`].
    pub(crate) fn invoker(&self, desk: &Desk) -> LMInvoker {
        self.invoker_of(self.adapter(desk))
    }

    /// Creates an engine over another adapter, with a test clock that starts at [`today`].
    pub(crate) fn invoker_of(&self, adapter: Arc<dyn BatchProvider>) -> LMInvoker {
        let clock = TestClock::default();
        clock.advance(
            today()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
        );
        LMInvoker::shared(adapter, self.wire.model())
            .clock(Arc::new(clock))
            .rng(Arc::new(TestRng::new(1)))
    }

    /// Describes a batch of three requests with the given status. All requests of an ended batch have an outcome.
    pub(crate) fn described(&self, number: u32, status: BatchStatus) -> Described {
        let mut counts = RequestCounts {
            total: Some(3),
            ..RequestCounts::default()
        };
        match status {
            BatchStatus::Completed => (counts.succeeded, counts.errored) = (2, 1),
            BatchStatus::Expired => (counts.succeeded, counts.expired) = (1, 2),
            BatchStatus::Cancelled => (counts.succeeded, counts.cancelled) = (1, 2),
            _ => {}
        }
        Described {
            id: self.wire.batch_id(number),
            status,
            counts,
            label: Some(format!("lmbatch-contract-{number}")),
            created_at: today(),
            parts: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Encodes a shard of `count` requests with the given label.
    pub(crate) fn shard(&self, adapter: &dyn BatchProvider, count: usize, label: &str) -> Shard {
        let codec = adapter.codec();
        let class = codec
            .class(&generate(self.wire.model(), &prompt(0)))
            .expect("a plain question is of a class");
        let label = Label::new(label);
        let frame = codec.frame(&class, &label);
        let mut rows = Vec::new();
        for place in 0..count {
            if place > 0 {
                rows.extend_from_slice(&frame.separator);
            }
            let id = WireId::verbatim(&format!("r{place}"));
            codec
                .encode(
                    &class,
                    &id,
                    &generate(self.wire.model(), &prompt(place)),
                    &mut rows,
                )
                .expect("a plain question can be sent");
        }
        Shard {
            class,
            label,
            count: count as u32,
            frame,
            rows: Arc::new(Bytes::from(rows)),
        }
    }

    /// Stages a shard and returns the intent of its create.
    pub(crate) async fn intent(
        &self,
        adapter: &dyn BatchProvider,
        shard: &Shard,
    ) -> Result<Intent> {
        let mut staged: Option<Staged> = None;
        for _ in 0..10 {
            let step = adapter.stage(shard, staged.take()).await?;
            if step.ready {
                return Ok(Intent {
                    label: shard.label.clone(),
                    class: shard.class.clone(),
                    count: shard.count,
                    bytes: shard.len(),
                    staged: step,
                    token: CreateToken::new(shard.label.as_str()),
                    posted_at: Some(today()),
                    watermark: None,
                    watermark_at: None,
                    foreign_batches: Vec::new(),
                });
            }
            staged = Some(step);
        }
        panic!("the input is not staged after ten steps");
    }

    /// Stages and creates a batch of two requests through the adapter itself.
    pub(crate) async fn create(&self, desk: &Desk) -> (Intent, Result<BatchId>) {
        let adapter = self.adapter(desk);
        let shard = self.shard(&*adapter, 2, "lmbatch-contract-0");
        let intent = self
            .intent(&*adapter, &shard)
            .await
            .expect("the input is staged");
        let created = adapter.create(&shard, &intent).await;
        (intent, created)
    }

    /// Creates a batch of requests with the given ids through the engine.
    pub(crate) async fn open(&self, ids: &[&str]) -> Open {
        let desk = self.desk().await;
        let invoker = self.invoker(&desk);
        let requests = ids.iter().enumerate();
        let requests = requests.map(|(place, id)| (*id, prompt(place)));
        let created = invoker.batch().create(requests).await;
        let handle = created.unwrap_or_else(|error| panic!("the create failed: {error}"));
        let mut wire_ids = vec![String::new(); ids.len()];
        for sent in desk.sent() {
            let text = sent.body.to_string();
            let place = (0..ids.len()).find(|place| text.contains(&prompt(*place)));
            let place = place.unwrap_or_else(|| panic!("a request without its prompt: {text}"));
            wire_ids[place] = sent.id;
        }
        Open {
            wire: Arc::clone(&self.wire),
            desk,
            invoker,
            handle,
            wire_ids,
        }
    }

    /// Creates a batch of three plain requests through the engine.
    pub(crate) async fn open_three(&self) -> Open {
        self.open(&["a", "b", "c"]).await
    }
}

/// Returns a plain question as a request view.
pub(crate) fn generate<'a>(model: &'a str, text: &'a str) -> RequestView<'a> {
    RequestView::Generate(GenerateView {
        model: Text::Plain(model),
        system: None,
        messages: vec![MessageView {
            role: Role::User,
            contents: vec![ContentView::Text(Text::Plain(text))],
        }],
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    })
}

/// A created batch with its provider and engine.
pub(crate) struct Open {
    wire: Arc<dyn Wire>,
    pub(crate) desk: Desk,
    pub(crate) invoker: LMInvoker,
    pub(crate) handle: BatchHandle,
    /// Wire ids, in the order of the requests.
    pub(crate) wire_ids: Vec<String>,
}

/// Text before, between and after the rows of a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around {
    pub(crate) before: &'static str,
    pub(crate) between: &'static str,
    pub(crate) after: &'static str,
}

impl Around {
    pub(crate) fn usual(shape: Shape) -> Self {
        match shape {
            Shape::Lines => Self {
                before: "",
                between: "\n",
                after: "\n",
            },
            Shape::Document => Self {
                before: "",
                between: ",",
                after: "",
            },
        }
    }
}

impl Open {
    pub(crate) fn shape(&self) -> Shape {
        self.wire.shape()
    }

    /// Returns the row of the request at `place`, as the provider writes it.
    pub(crate) fn row(&self, place: usize, row: &Row) -> (Part, Vec<u8>) {
        self.row_of(&self.wire_ids[place], row)
    }

    pub(crate) fn row_of(&self, id: &str, row: &Row) -> (Part, Vec<u8>) {
        let text = self.wire.row(id, row).to_string().into_bytes();
        (self.wire.part(row), text)
    }

    /// Returns a row with more content than a text; `None` if the provider cannot express it.
    pub(crate) fn full(&self, place: usize, row: &FullRow) -> Option<(Part, Vec<u8>)> {
        let value = self.wire.full_row(&self.wire_ids[place], row)?;
        let kind = match row {
            FullRow::Answer(_) => Row::Succeeded(String::new()),
            FullRow::Rejected(words) | FullRow::Unknown(words) => Row::Errored(words.clone()),
        };
        Some((self.wire.part(&kind), value.to_string().into_bytes()))
    }

    /// Returns a row with an answer.
    pub(crate) fn yes(&self, place: usize, text: &str) -> (Part, Vec<u8>) {
        self.row(place, &Row::Succeeded(text.to_owned()))
    }

    /// Returns a row with a failure.
    pub(crate) fn no(&self, place: usize, words: &str) -> (Part, Vec<u8>) {
        self.row(place, &Row::Errored(words.to_owned()))
    }

    /// Ends the batch with the given status and rows.
    pub(crate) fn end(&self, status: BatchStatus, rows: &[(Part, Vec<u8>)]) {
        self.end_around(status, rows, Around::usual(self.shape()));
    }

    pub(crate) fn end_around(&self, status: BatchStatus, rows: &[(Part, Vec<u8>)], around: Around) {
        let mut parts: BTreeMap<Part, Vec<&[u8]>> = BTreeMap::new();
        for (part, row) in rows {
            parts.entry(*part).or_default().push(row);
        }
        for (part, rows) in &parts {
            let mut text = around.before.as_bytes().to_vec();
            text.extend_from_slice(&rows.join(around.between.as_bytes()));
            text.extend_from_slice(around.after.as_bytes());
            self.desk.put_rows(*part, text);
        }
        let failed = parts.get(&Part::Errors).map_or(0, Vec::len) as u64;
        self.end_with(status, parts.into_keys().collect(), rows.len() as u64);
        self.desk.change_batch(&self.handle.batch, |batch| {
            let counts = &mut batch.counts;
            let failed = failed.min(counts.succeeded);
            (counts.succeeded, counts.errored) = (counts.succeeded - failed, failed);
        });
    }

    /// Ends the batch with the given status; the rows of its parts are already stored.
    pub(crate) fn end_with(&self, status: BatchStatus, parts: Vec<Part>, answered: u64) {
        self.desk.change_batch(&self.handle.batch, |batch| {
            let total = batch.counts.total.unwrap_or(0);
            let (answered, rest) = (answered.min(total), total.saturating_sub(answered));
            batch.counts.succeeded = answered;
            match status {
                BatchStatus::Expired => batch.counts.expired = rest,
                BatchStatus::Cancelled => batch.counts.cancelled = rest,
                _ => batch.counts.succeeded = total,
            }
            batch.status = status;
            batch.parts = parts;
        });
    }

    pub(crate) async fn retrieve(&self) -> Result<Outcomes> {
        self.invoker.batch().retrieve(&self.handle).await
    }

    /// Returns the outcomes of a retrieve that must succeed.
    pub(crate) async fn outcomes(&self) -> Outcomes {
        let outcomes = self.retrieve().await;
        let outcomes = outcomes.unwrap_or_else(|error| panic!("the retrieve failed: {error}"));
        assert_eq!(
            outcomes.len(),
            self.handle.requests.len(),
            "every request must have exactly one outcome"
        );
        outcomes
    }

    /// Returns each outcome as the text of its answer or as its status word.
    pub(crate) async fn texts(&self) -> Vec<String> {
        one_each(&self.outcomes().await)
    }

    /// Returns each outcome like [`texts`](Self::texts), with doubtful requests abandoned.
    pub(crate) async fn given_up(&self) -> Vec<String> {
        let invoker = self.invoker.clone().on_doubt(OnDoubt::Abandon);
        let outcomes = invoker.batch().retrieve(&self.handle).await;
        one_each(&outcomes.unwrap_or_else(|error| panic!("the retrieve failed: {error}")))
    }

    /// Returns an engine for the same batch that reads rows of at most [`MAX_ROW_BYTES`].
    pub(crate) fn strict(&self) -> Engine {
        let engine = self.invoker.engine().clone();
        engine
            .with_on_doubt(OnDoubt::Abandon)
            .with_max_row_bytes(MAX_ROW_BYTES)
            .with_polling(PollingPolicy::every(Duration::from_secs(1)))
    }

    /// Returns the handle with the wire ids as request ids.
    pub(crate) fn by_wire_ids(&self) -> BatchHandle {
        let mut handle = self.handle.clone();
        handle.ids = IdRule::Verbatim;
        handle.requests = self.wire_ids.iter().map(|id| id.as_str().into()).collect();
        handle
    }
}

fn one_each(outcomes: &Outcomes) -> Vec<String> {
    let texts = outcomes
        .iter()
        .map(|(_, outcome)| match outcome.as_result() {
            Ok(output) => output.text(),
            Err(_) => outcome.status().as_str().to_owned(),
        });
    texts.collect()
}

/// Returns every display and debug text of an error and its sources.
pub(crate) fn said(error: &Error) -> String {
    let mut said = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(one) = source {
        said.push_str(&format!(" {one} {one:?}"));
        source = one.source();
    }
    said
}
