//! State that outlives a process, and processes with a cost limit.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lmbatch_core::{
    BatchId, ContentView, Cost, Error, GenerateView, Hyperparameters, Ledger as _, MessageView,
    RequestView, ResponseSchema, Result, Role, RunFilter, RunRecord, ShardRecord, ShardState, Text,
};
use lmbatch_engine::{
    BatchLimit, CostLimit, Engine, IdView, LMInvoker, MemoryLedger, Plan, RequestEntry,
    RequestSource, RunOptions, RunResults, SourcedRequest,
};
use lmbatch_testing::{MemorySpool, TestClock, TestRng};

use super::vendor::{Chances, Fate, Table, Vendor};
use crate::dying::{Dying, Fuse, fuse};

/// Prompts of a run, in order.
struct Source {
    prompts: Vec<String>,
    model: &'static str,
    schema: Option<ResponseSchema>,
    next: usize,
}

impl RequestSource for Source {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool> {
        let Some(prompt) = self.prompts.get(self.next) else {
            return Ok(false);
        };
        self.next += 1;
        let id = self.next.to_string();
        let contents = vec![ContentView::Text(Text::Plain(prompt))];
        let view = GenerateView {
            model: self.model.into(),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents,
            }],
            tools: &[],
            tool_choice: None,
            schema: self.schema.as_ref(),
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters::default()),
        };
        let entry = RequestEntry {
            id: IdView::Text(Text::Plain(&id)),
            request: RequestView::Generate(view),
            metadata: None,
            schema: self.schema.as_ref(),
            folder: None,
        };
        visit(SourcedRequest {
            position: self.next as u64,
            entry: Ok(entry),
        });
        Ok(true)
    }
}

/// State that outlives a process.
pub(crate) struct World {
    pub(crate) vendor: Arc<Vendor>,
    pub(crate) ledger: Arc<MemoryLedger>,
    clock: Arc<TestClock>,
    spool: Arc<MemorySpool>,
    pub(crate) model: &'static str,
    /// True if an answer must be a JSON string.
    pub(crate) structured: bool,
    /// Maximum number of requests in a batch.
    pub(crate) per_batch: u32,
}

impl World {
    pub(crate) fn new(seed: u64, chances: Chances) -> Self {
        Self {
            vendor: Arc::new(Vendor::new(seed, chances)),
            ledger: Arc::default(),
            clock: Arc::default(),
            spool: Arc::default(),
            model: "m",
            structured: false,
            per_batch: 2,
        }
    }

    /// Returns a process that lives.
    pub(crate) fn living(&self, limit: CostLimit) -> Engine {
        self.process(&fuse(i64::MAX, false), 7)
            .with_cost_limit(limit, Arc::new(Table))
    }

    /// Returns an invoker of the same provider, without a record.
    pub(crate) fn invoker(&self) -> LMInvoker {
        LMInvoker::shared(self.vendor.clone(), self.model)
            .clock(self.clock.clone())
            .rng(Arc::new(TestRng::new(7)))
    }

    /// Returns a process that dies after as many calls as the fuse allows. It has no limit yet.
    pub(crate) fn process(&self, fuse: &Arc<Fuse>, seed: u64) -> Engine {
        fn dying<T>(fuse: &Arc<Fuse>, inner: &Arc<T>) -> Arc<Dying<T>> {
            Arc::new(Dying {
                fuse: Arc::clone(fuse),
                inner: Arc::clone(inner),
            })
        }
        Engine::new(dying(fuse, &self.vendor))
            .with_record(dying(fuse, &self.ledger), dying(fuse, &self.spool))
            .with_clock(self.clock.clone())
            .with_rng(Arc::new(TestRng::new(seed)))
            .with_batch_limit(BatchLimit {
                max_requests: Some(self.per_batch),
                ..BatchLimit::default()
            })
    }

    pub(crate) async fn plan(&self, engine: &Engine, prompts: &[String]) -> Result<Plan> {
        let source = Source {
            prompts: prompts.to_vec(),
            model: self.model,
            schema: self
                .structured
                .then(|| ResponseSchema::new(&serde_json::json!({"type": "string"}))),
            next: 0,
        };
        engine.plan(Box::new(source)).await.map_err(Error::from)
    }

    /// Begins a run and drives it.
    pub(crate) async fn start(
        &self,
        engine: &Engine,
        prompts: &[String],
        options: RunOptions,
    ) -> Result<RunResults> {
        let plan = self.plan(engine, prompts).await?;
        let run = engine.begin(&plan, None, BTreeMap::new()).await?;
        engine.start(run, plan, options).await
    }

    /// Returns the only run; `None` where none is recorded.
    pub(crate) async fn run(&self) -> Option<RunRecord> {
        let runs = self.ledger.all_runs(RunFilter::default()).await.unwrap();
        runs.into_iter().next()
    }

    pub(crate) async fn shards(&self) -> Vec<ShardRecord> {
        match self.run().await {
            Some(run) => self.ledger.shards(&run.id).await.unwrap(),
            None => Vec::new(),
        }
    }

    /// Returns the bill of the batches whose results are stored, without rows that cannot be read, and the number of
    /// these rows.
    pub(crate) async fn fetched(&self) -> (Cost, u64) {
        let shards = self.shards().await;
        let sealed = shards.iter().filter_map(|shard| match &shard.state {
            ShardState::Sealed { snapshot, .. } => Some(snapshot.id.clone()),
            _ => None,
        });
        let sealed: HashSet<BatchId> = sealed.collect();
        let held = self.vendor.held(&sealed);
        let is_unreadable = |fate: Fate| fate == Fate::Unreadable;
        let readable = held.iter().filter(|held| !is_unreadable(held.fate));
        let unreadable = held.iter().filter(|held| is_unreadable(held.fate));
        let bill = readable.map(|held| held.cost()).sum();
        (bill, unreadable.count() as u64)
    }
}

pub(crate) fn cost(text: &str) -> Cost {
    text.parse().unwrap()
}
