//! Test that a step makes at most one exchange with the provider, but for the pages of a search.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchStatus, Delivery, Error, ErrorKind, Retry};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRequests, TestRng};
use tokio::sync::watch;

use crate::context::Context;
use crate::run::job::Job;
use crate::run::scope::Scope;
use crate::run::step::{Next, Step};

fn lost() -> Error {
    Error::new(ErrorKind::Connection)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Unknown)
}

fn busy() -> Error {
    Error::new(ErrorKind::ProviderOverloaded)
        .with_retry(Retry::Temporary)
        .with_delivery(Delivery::Refused)
}

/// Drives one shard to its end, and returns the name and the number of exchanges of each of its steps.
async fn steps(script: Script, cancelled: bool) -> Vec<(String, usize)> {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let mut context = Context::new(provider.clone());
    (context.clock, context.rng) = (clock.clone(), Arc::new(TestRng::new(7)));
    let source = TestRequests::new([("a", "one"), ("b", "two")]);
    let plan = context.plan(Box::new(source)).await.unwrap();
    let run = context.begin(&plan, None, BTreeMap::new()).await.unwrap();
    let mut job = Job::new(&context, run, plan).await.unwrap();
    let scope = Scope {
        context: &context,
        plan: &job.plan,
        files: &job.plan.files,
        patience: context.doubt.total_wait(),
        run: Some(job.run.id.clone()),
        cancelled: watch::Sender::new(false),
        budget: None,
    };
    let work = &mut job.works[0];
    let mut steps = Vec::new();
    loop {
        // A cancellation comes once there is a batch.
        let is_cancelled = cancelled && work.record.state.batch().is_some();
        let step = work.next(&context, is_cancelled);
        if step == Step::Done {
            return steps;
        }
        let before = provider.calls().len();
        let next = work.perform(step, &scope).await.unwrap();
        steps.push((format!("{step:?}"), provider.calls().len() - before));
        let wait = match next {
            Next::In(wait) | Next::Pause(wait) | Next::PausePolls { own: wait, .. } => wait,
            Next::ForQuota(_) => Duration::from_secs(60),
            Next::Done => Duration::ZERO,
            other => panic!("{other:?} after {steps:?}"),
        };
        clock.advance(wait);
    }
}

#[tokio::test]
async fn a_step_makes_at_most_one_exchange_but_for_the_pages_of_a_search() {
    let mut seen = BTreeSet::new();
    for (script, cancelled) in [
        (
            Script {
                uploads: true,
                creates: [Some(busy()), None].into(),
                statuses: [Ok(BatchStatus::InProgress), Err(busy())].into(),
                late_results: 2,
                reads: [busy(), busy()].into(),
                ..Script::default()
            },
            false,
        ),
        (
            Script {
                uploads: true,
                ranges: true,
                reads: [busy()].into(),
                first_rows: Some(b"<html>busy</html>".to_vec()),
                ..Script::default()
            },
            false,
        ),
        (
            Script {
                creates: [Some(lost())].into(),
                fences: true,
                ..Script::default()
            },
            false,
        ),
        (
            Script {
                accepted_unseen: [lost()].into(),
                blind_looks: 2,
                ..Script::default()
            },
            false,
        ),
        (
            Script {
                tokens: Some(None),
                creates: [Some(lost()), Some(busy())].into(),
                ..Script::default()
            },
            false,
        ),
        (
            Script {
                statuses: [Ok(BatchStatus::InProgress)].into(),
                ..Script::default()
            },
            true,
        ),
    ] {
        for (step, exchanges) in steps(script, cancelled).await {
            // The searched list has one page.
            assert!(exchanges <= 1, "{step}: {exchanges} exchanges");
            seen.insert(step);
        }
    }
    let wanted = [
        "Cancel",
        "Fence",
        "Fetch",
        "Poll",
        "Post",
        "Repeat",
        "Search",
        "Stage",
        "Watermark",
    ];
    assert_eq!(seen, BTreeSet::from(wanted.map(str::to_owned)));
}
