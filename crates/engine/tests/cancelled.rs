//! The cancellation of a run takes effect within two seconds, also while an upload or a search is under way.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchStatus, Clock, Delivery, Error, ErrorKind, Request, Retry, RunFilter};
use lmbatch_engine::{BatchLimit, LMInvoker, MemoryLedger, Outcomes};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestRng};

use crate::paused::PausedClock;
use crate::slow::Slow;

/// Second at which another process records the cancellation.
const CANCELLED_AT: u64 = 601;

struct World {
    provider: Arc<MemoryProvider>,
    clock: Arc<dyn Clock>,
    invoker: LMInvoker,
}

/// Returns a world in which a kind of call takes a time, with batches of one request.
fn world(script: Script, call: &'static str, takes: u64) -> World {
    let clock: Arc<dyn Clock> = PausedClock::new();
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let slow = Slow {
        inner: provider.clone(),
        clock: clock.clone(),
        call,
        takes: Duration::from_secs(takes),
    };
    let (ledger, spool) = (
        Arc::new(MemoryLedger::default()),
        Arc::new(MemorySpool::default()),
    );
    let invoker = LMInvoker::new(slow, "m")
        .clock(clock.clone())
        .rng(Arc::new(TestRng::new(7)))
        .batch_limit(BatchLimit {
            max_requests: Some(1),
            ..BatchLimit::default()
        })
        .record(ledger, spool);
    World {
        provider,
        clock,
        invoker,
    }
}

/// Drives a run that another process cancels in the record at [`CANCELLED_AT`]. That process ends before it asks the
/// provider for anything.
async fn cancelled(world: &World, requests: usize) -> Outcomes {
    let cancel = async {
        world.clock.sleep(Duration::from_secs(CANCELLED_AT)).await;
        let ledger = world.invoker.engine().ledger();
        let mut runs = ledger.all_runs(RunFilter::default()).await.unwrap();
        runs[0].cancelled = true;
        ledger.change(&runs[0], &[]).await.unwrap();
    };
    let requests = (0..requests).map(|number| Request::new(format!("{number}"), "x"));
    let run = world.invoker.batch().invoke(requests).named("mine");
    let (outcomes, ()) = tokio::join!(run.into_future(), cancel);
    outcomes.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_ends_an_upload_within_two_seconds() {
    let script = Script {
        uploads: true,
        ..Script::default()
    };
    let world = world(script, "stage", 1800);
    let outcomes = cancelled(&world, 3).await;
    assert_eq!(outcomes.len(), 3);
    let took = world.clock.elapsed().as_secs();
    assert!((CANCELLED_AT..=CANCELLED_AT + 2).contains(&took), "{took}");
    assert_eq!(world.provider.accepted(), 0);
}

/// The search itself continues, since its batch may exist and cost money; nothing else waits for it.
#[tokio::test(start_paused = true)]
async fn a_cancellation_during_a_search_cancels_the_other_batches_within_two_seconds() {
    // Each search takes no time, or is under way at the cancellation.
    for takes in [0, 250] {
        let lost = Error::new(ErrorKind::Connection)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown);
        let script = Script {
            // The second create is accepted, its response is lost, and it is not listed before 900 s.
            accepted_unseen: [lost].into(),
            blind_looks: match takes {
                0 => 8,
                _ => 2,
            },
            statuses: (0..200).map(|_| Ok(BatchStatus::InProgress)).collect(),
            end: Some(BatchStatus::Cancelled),
            ..Script::default()
        };
        let world = world(script, "find", takes);
        let outcomes = cancelled(&world, 2).await;
        assert_eq!(outcomes.len(), 2);
        assert_eq!(world.provider.accepted(), 2, "{takes}");
        let cancels = world.provider.times("cancel");
        assert_eq!(cancels.len(), 2, "{takes}: {cancels:?}");
        let soon = CANCELLED_AT..=CANCELLED_AT + 2;
        assert!(soon.contains(&cancels[0]), "{takes}: {cancels:?}");
        let found = *world.provider.times("find").last().unwrap() + takes;
        assert!(
            (found..=found + 2).contains(&cancels[1]),
            "{takes}: {cancels:?} {found}"
        );
    }
}
