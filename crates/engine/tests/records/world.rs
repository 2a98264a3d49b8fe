//! Shared parts of the tests of records.

use std::sync::Arc;

use futures::{TryStreamExt as _, stream};
use lmbatch_core::{
    ItemView, Ledger as _, Outcome, OutcomeView, Request, RequestId, RunFilter, RunRecord,
};
use lmbatch_engine::{
    AnswerView, Engine, LMInvoker, MemoryLedger, Run, RunOutput, RunResults, StepLimits,
};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestClock, TestRng};

/// Provider in memory, with a ledger over it.
pub(crate) struct World {
    pub(crate) provider: Arc<MemoryProvider>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) spool: Arc<MemorySpool>,
    pub(crate) invoker: LMInvoker,
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        Self::at(TestClock::default(), script)
    }

    pub(crate) fn at(clock: TestClock, script: Script) -> Self {
        Self::at_shared(Arc::new(clock), script)
    }

    pub(crate) fn at_shared(clock: Arc<TestClock>, script: Script) -> Self {
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let ledger = Arc::new(MemoryLedger::default());
        let spool = Arc::new(MemorySpool::default());
        let invoker = LMInvoker::shared(provider.clone(), "m")
            .clock(clock)
            .rng(Arc::new(TestRng::new(7)))
            // Batches are created in the order of the input.
            .limits(StepLimits {
                uploads: 1,
                creates: 1,
                polls: 1,
                fetches: 1,
            })
            .record(ledger.clone(), spool.clone());
        Self {
            provider,
            ledger,
            spool,
            invoker,
        }
    }

    pub(crate) fn run(&self, asked: &[(&str, &str)]) -> Run {
        let requests = asked
            .iter()
            .map(|(id, prompt)| Ok::<_, std::io::Error>(Request::new(*id, *prompt)));
        let requests: Vec<_> = requests.collect();
        self.invoker
            .batch()
            .run("mine")
            .requests(stream::iter(requests))
    }

    pub(crate) async fn record(&self) -> RunRecord {
        self.ledger
            .all_runs(RunFilter::default())
            .await
            .unwrap()
            .remove(0)
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.invoker.engine()
    }
}

/// Returns the outcomes of a run, each as its id and the text or the status.
pub(crate) async fn outcomes_of(output: &RunOutput) -> Vec<String> {
    let outcomes: Vec<(RequestId, Outcome)> =
        output.outcomes().unwrap().try_collect().await.unwrap();
    outcomes
        .iter()
        .map(|(id, outcome)| one(id.as_str(), outcome))
        .collect()
}

fn one(id: &str, outcome: &Outcome) -> String {
    match outcome.as_result() {
        Ok(output) => format!("{id}: {}", output.text()),
        Err(_) => format!("{id}: {}", outcome.status()),
    }
}

/// Returns the outcomes of a recorded run, each as its id and the text or the status.
pub(crate) fn read(engine: &Engine, finished: &RunResults) -> Vec<String> {
    let mut reader = engine.outcomes(finished).unwrap();
    let mut said = Vec::new();
    while let Some(answered) = reader.next().unwrap() {
        let what = match &answered.answer {
            AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } => output.items.iter().map(text).collect(),
            AnswerView::Row { outcome, .. } => format!("{:?}", outcome.verdict()).to_lowercase(),
            AnswerView::Missing => "missing".to_owned(),
            AnswerView::Malformed => "malformed".to_owned(),
        };
        said.push(format!(
            "{}: {what}",
            answered.id.as_str().trim_matches('"')
        ));
    }
    said
}

fn text(item: &ItemView<'_>) -> String {
    match item {
        ItemView::Text(text) => text.decode().into_owned(),
        other => format!("{other:?}"),
    }
}

/// Three requests, each as its id and its prompt.
pub(crate) const ASKED: [(&str, &str); 3] = [("a", "one"), ("b", "two"), ("c", "three")];

/// Returns the ids that the requests a, b and c have on the wire: the same in every world of these
/// requests.
pub(crate) async fn wire_ids() -> Vec<String> {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let body = String::from_utf8(world.provider.body(0)).unwrap();
    let id = |line: &str| line.split('"').nth(3).unwrap().to_owned();
    body.lines().map(id).collect()
}

/// Returns rows with the ids on the wire in place of a, b and c.
pub(crate) async fn on_the_wire(rows: &[&[u8]]) -> Vec<u8> {
    let mut rows = rows.concat();
    for (id, wire) in ["a", "b", "c"].iter().zip(wire_ids().await) {
        let from = format!("\"id\":\"{id}\"").into_bytes();
        while let Some(at) = rows.windows(from.len()).position(|window| window == from) {
            rows.splice(at + 6..at + 7, wire.bytes());
        }
    }
    rows
}
