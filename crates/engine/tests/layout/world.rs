//! Shared parts of the tests of layouts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lmbatch_core::{
    ItemView, Ledger as _, OutcomeView, Result, RunFilter, RunRecord, ShardRecord, Spool,
};
use lmbatch_engine::{
    AnswerView, BatchLimit, Engine, MemoryLedger, Plan, RunOptions, RunResults, StepLimits,
};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRequest, TestRequests, TestRng};

/// Request: id, prompt, model, metadata.
pub(crate) type Item = (String, String, &'static str, Option<&'static str>);

pub(crate) fn item(id: &str, prompt: &str, model: &'static str) -> Item {
    (id.to_owned(), prompt.to_owned(), model, None)
}

fn request((id, prompt, model, metadata): Item) -> TestRequest {
    TestRequest {
        id,
        prompt,
        model,
        metadata,
    }
}

/// Returns `count` requests of one model, each with its number as its prompt.
pub(crate) fn numbered(count: usize) -> Vec<Item> {
    let number = |number: usize| item(&format!("q{number}"), &number.to_string(), "m");
    (0..count).map(number).collect()
}

/// Provider in memory, and an engine with a ledger over any spool.
pub(crate) struct World {
    pub(crate) provider: Arc<MemoryProvider>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) engine: Engine,
}

impl World {
    pub(crate) fn new(spool: Arc<dyn Spool>, script: Script) -> Self {
        Self::seeded(spool, script, 7)
    }

    /// Returns a world whose nonces are drawn from a seed.
    pub(crate) fn seeded(spool: Arc<dyn Spool>, script: Script, seed: u64) -> Self {
        let clock = Arc::new(TestClock::default());
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let ledger = Arc::new(MemoryLedger::default());
        let engine = Engine::new(provider.clone())
            .with_record(ledger.clone(), spool)
            .with_clock(clock)
            .with_rng(Arc::new(TestRng::new(seed)))
            .with_limits(StepLimits {
                uploads: 1,
                creates: 1,
                polls: 1,
                fetches: 1,
            });
        Self {
            provider,
            ledger,
            engine,
        }
    }

    pub(crate) fn with_most(mut self, requests: u32) -> Self {
        self.engine = self.engine.with_batch_limit(BatchLimit {
            max_requests: Some(requests),
            ..BatchLimit::default()
        });
        self
    }

    pub(crate) async fn plan(&self, items: &[Item]) -> Plan {
        let items = items.to_vec();
        let source = TestRequests::new(items.into_iter().map(request));
        self.engine.plan(Box::new(source)).await.unwrap()
    }

    /// Runs requests to their end.
    pub(crate) async fn run(&self, items: &[Item], attempts: u32) -> Result<RunResults> {
        let plan = self.plan(items).await;
        let begun = self.engine.begin(&plan, Some("mine"), BTreeMap::new());
        let run = begun.await.unwrap();
        let options = RunOptions {
            max_attempts: Some(attempts),
            ..RunOptions::default()
        };
        self.engine.start(run, plan, options).await
    }

    pub(crate) async fn record(&self) -> RunRecord {
        let all = self.ledger.all_runs(RunFilter::default()).await.unwrap();
        all.into_iter().next().unwrap()
    }

    pub(crate) async fn shards(&self) -> Vec<ShardRecord> {
        let run = self.record().await;
        self.ledger.shards(&run.id).await.unwrap()
    }
}

/// Returns the outcomes of a run, each as its id, the text or the status, and the metadata.
pub(crate) fn read(engine: &Engine, finished: &RunResults) -> Result<Vec<String>> {
    let mut reader = engine.outcomes(finished)?;
    let mut said = Vec::new();
    while let Some(answered) = reader.next()? {
        let what = match &answered.answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } => output.items.iter().map(text).collect(),
            AnswerView::Row { outcome, .. } => format!("{:?}", outcome.verdict()).to_lowercase(),
            AnswerView::Missing => "missing".to_owned(),
            AnswerView::Malformed => "malformed".to_owned(),
        };
        let id = answered.id.as_str().trim_matches('"');
        let metadata = answered.metadata.map(|metadata| metadata.as_str());
        said.push(match metadata {
            Some(metadata) => format!("{id}: {what} {metadata}"),
            None => format!("{id}: {what}"),
        });
    }
    Ok(said)
}

fn text(item: &ItemView<'_>) -> String {
    match item {
        ItemView::Text(text) => text.decode().into_owned(),
        other => format!("{other:?}"),
    }
}

/// Returns a temporary folder in memory where the machine has one, since runs sync their files
/// often.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// Returns every file of a folder with its content.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(read).collect()
}
