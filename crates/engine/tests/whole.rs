//! Results that are not whole, and files that are damaged: what is read again, held, and never paid again.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use futures::{TryStreamExt as _, stream};
use lmbatch_core::{
    BatchId, BatchStatus, Delivery, Error, ErrorKind, Ledger as _, Outcome, Request, RequestCounts,
    RequestId, Retry, RunRecord, ShardState, Spool as _,
};
use lmbatch_engine::{
    Engine, Finished, LMInvoker, MemoryLedger, OnDoubt, Run, RunOptions, RunOutput,
};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestClock, TestRng};

struct World {
    provider: Arc<MemoryProvider>,
    ledger: Arc<MemoryLedger>,
    spool: Arc<MemorySpool>,
    invoker: LMInvoker,
}

impl World {
    fn new(script: Script) -> Self {
        let clock = Arc::new(TestClock::default());
        let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
        let ledger = Arc::new(MemoryLedger::default());
        let spool = Arc::new(MemorySpool::default());
        let invoker = LMInvoker::shared(provider.clone(), "m")
            .clock(clock)
            .rng(Arc::new(TestRng::new(7)))
            .record(ledger.clone(), spool.clone());
        Self {
            provider,
            ledger,
            spool,
            invoker,
        }
    }

    fn run(&self, asked: &[(&str, &str)]) -> Run<'_> {
        let requests = asked
            .iter()
            .map(|(id, prompt)| Ok::<_, std::io::Error>(Request::new(*id, *prompt)));
        let requests: Vec<_> = requests.collect();
        self.invoker
            .batch()
            .run("mine")
            .requests(stream::iter(requests))
    }

    async fn record(&self) -> RunRecord {
        self.ledger.runs().await.unwrap().remove(0)
    }

    fn engine(&self) -> &Engine {
        self.invoker.engine()
    }
}

async fn told(output: &RunOutput) -> Vec<String> {
    let outcomes: Vec<(RequestId, Outcome)> =
        output.outcomes().unwrap().try_collect().await.unwrap();
    outcomes
        .iter()
        .map(|(id, outcome)| one(id.as_str(), outcome))
        .collect()
}

fn one(id: &str, outcome: &Outcome) -> String {
    match outcome.value() {
        Ok(output) => format!("{id}: {}", output.text()),
        Err(_) => format!("{id}: {}", outcome.status()),
    }
}

/// What the record says, each as the id and the status.
fn read(engine: &Engine, finished: &Finished) -> Vec<String> {
    let mut reader = engine.outcomes(finished).unwrap();
    let mut said = Vec::new();
    while let Some(answered) = reader.next().unwrap() {
        said.push(format!(
            "{} {:?}",
            answered.id.as_str(),
            answered.answer.problem()
        ));
    }
    said
}

const ASKED: [(&str, &str); 3] = [("a", "one"), ("b", "two"), ("c", "three")];

#[tokio::test]
async fn requests_that_may_have_been_answered_never_go_out_again() {
    let counts = |total, succeeded, errored| {
        Some(RequestCounts {
            total,
            succeeded,
            errored,
            ..RequestCounts::default()
        })
    };
    for (end, counts) in [
        (BatchStatus::Completed, counts(Some(3), 3, 0)),
        (BatchStatus::Completed, counts(Some(3), 1, 1)),
        (BatchStatus::Completed, counts(None, 0, 0)),
        (BatchStatus::Completed, counts(Some(3), 0, 0)),
        (BatchStatus::Expired, counts(Some(3), 1, 0)),
        (BatchStatus::Cancelled, counts(Some(3), 1, 0)),
    ] {
        let what = format!("{end:?} {counts:?}");
        let world = World::new(Script {
            rows: Some(Vec::new()),
            end: Some(end),
            counts,
            ..Script::default()
        });
        let error = world.run(&ASKED).max_attempts(3).await.unwrap_err();
        let held = (error.kind(), error.retry(), error.batch());
        let batch = BatchId::new("b1");
        let expected = (ErrorKind::Timeout, Retry::Temporary, Some(&batch));
        assert_eq!(held, expected, "{what}");
        // Read at once and at the intervals of a search, over a quarter of an hour.
        assert_eq!(
            world.provider.times("read"),
            [0, 5, 15, 30, 60, 120, 300, 600, 900],
            "{what}"
        );
        let run = world.record().await;
        let again = world.engine().resume(&run, RunOptions::default()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::Timeout, "{what}");
        let giving_up = world.engine().clone().with_on_doubt(OnDoubt::Abandon);
        let options = RunOptions {
            max_attempts: Some(3),
            ..RunOptions::default()
        };
        let finished = giving_up.resume(&run, options).await.unwrap();
        let said = read(&giving_up, &finished);
        assert!(
            said.iter()
                .all(|said| said.ends_with("Some(Missing)") || said.ends_with("None")),
            "{said:?}"
        );
        assert_eq!(world.provider.accepted(), 1, "{what}");
    }
}

#[tokio::test]
async fn results_that_come_short_once_are_read_again() {
    for (rows, what) in [
        (&b""[..], "empty"),
        (b"\n", "a blank line"),
        (b"<html>busy</html>", "a web page"),
        (b"plain words", "words"),
        (b"{\"detail\":\"busy\"}", "an error"),
        (b"null\n[]\n", "JSON that is no row"),
        (
            b"{\"id\":\"stranger\",\"text\":\"x\"}\n",
            "rows of another batch",
        ),
    ] {
        let world = World::new(Script {
            first_rows: Some(rows.to_vec()),
            ..Script::default()
        });
        let output = world.run(&ASKED).max_attempts(3).await.unwrap();
        assert_eq!(
            told(&output).await,
            ["a: one", "b: two", "c: three"],
            "{what}"
        );
        assert_eq!(world.provider.accepted(), 1, "{what}");
        assert_eq!(world.provider.times("read"), [0, 5], "{what}");
    }
}

/// Ids on the wire are unique in a run: rows of one batch that are given as another's answer nothing there.
#[tokio::test]
async fn rows_of_another_batch_of_the_run_do_not_make_a_batch_whole() {
    let world = World::new(Script {
        max_requests: Some(2),
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap();
    let other = world.provider.body(0);
    let world = World::new(Script {
        max_requests: Some(2),
        rows_of: Some((BatchId::new("b2"), other)),
        counts: Some(RequestCounts {
            total: Some(2),
            succeeded: 2,
            ..RequestCounts::default()
        }),
        ..Script::default()
    });
    let error = world.run(&ASKED).await.unwrap_err();
    assert_eq!(error.batch(), Some(&BatchId::new("b2")), "{error}");
    assert_eq!(world.provider.accepted(), 2);
}

#[tokio::test]
async fn a_damaged_file_of_results_is_read_again_and_nothing_is_paid_again() {
    let world = World::new(Script::default());
    world.run(&ASKED).await.unwrap();
    let run = world.record().await;
    for at in [0, 7, 100] {
        let shard = world.ledger.shards(&run.id).await.unwrap().remove(0);
        let ShardState::Sealed { segments, .. } = &shard.state else {
            panic!("{shard:?}");
        };
        let (name, damage) = (&segments[0].name, at);
        let file = world.spool.open(name).unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, damage).unwrap();
        file.write_at(&[byte[0] ^ 4], damage).unwrap();
        let error = world.engine().sealed(&run).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local, "{error}");
        assert!(error.to_string().contains(&**name), "{error}");
        let options = RunOptions::default();
        let finished = world.engine().answered(&run, options).await.unwrap();
        let said = read(world.engine(), &finished);
        assert_eq!(said.len(), 3);
        assert!(said.iter().all(|said| said.ends_with("None")), "{said:?}");
        assert_eq!(world.provider.accepted(), 1);
    }
}

#[tokio::test]
async fn a_damaged_file_that_cannot_be_had_again_is_named_and_nothing_is_sent() {
    for what in ["echo", "sent", "body-0"] {
        let world = World::new(Script {
            creates: [Some(
                Error::new(ErrorKind::Billing).with_delivery(Delivery::Refused),
            )]
            .into(),
            ..Script::default()
        });
        world.run(&ASKED).await.unwrap_err();
        let run = world.record().await;
        let name = format!("{}.{what}", run.nonce.as_str());
        let file = world.spool.open(&name).unwrap();
        file.write_at(b"\x01", 3).unwrap();
        let resumed = world.engine().resume(&run, RunOptions::default()).await;
        let error = resumed.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local, "{error}");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(world.provider.accepted(), 0);
    }
}
