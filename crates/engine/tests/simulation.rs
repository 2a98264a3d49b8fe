//! Runs of many batches against a provider whose every answer is random, on a clock that never
//! waits. A seed that fails will fail again. `LMBATCH_SEEDS` sets the number of seeds.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use futures::executor::block_on;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{BatchStatus, Delivery, Error, ErrorKind, Outcome, Result, Retry, Rng as _};
use lmbatch_engine::LMInvoker;
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};

fn seeds() -> u64 {
    let asked = std::env::var("LMBATCH_SEEDS").ok();
    asked.and_then(|seeds| seeds.parse().ok()).unwrap_or(2000)
}

struct Chance(TestRng);

impl Chance {
    fn below(&self, most: u64) -> u64 {
        self.0.next_u64() % most
    }

    fn is(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn error(&self, delivery: Delivery) -> Error {
        let kinds = [
            ErrorKind::ProviderInternal,
            ErrorKind::ProviderOverloaded,
            ErrorKind::ProviderRateLimit,
            ErrorKind::Connection,
            ErrorKind::Timeout,
        ];
        let error = Error::new(kinds[self.below(5) as usize])
            .with_retry(Retry::Temporary)
            .with_delivery(delivery);
        match self.below(3) {
            0 => error.with_retry_after(Duration::from_secs(self.below(90))),
            _ => error,
        }
    }

    fn status(&self) -> Result<BatchStatus> {
        match self.below(12) {
            0 => Err(self.error(Delivery::Unknown)),
            1 => Ok(BatchStatus::Unknown("napping".to_owned())),
            2 => Ok(BatchStatus::Validating),
            3 => Ok(BatchStatus::Finalizing),
            _ => Ok(BatchStatus::InProgress),
        }
    }

    /// Returns the faults of the provider, and whether a create is lost.
    fn script(&self) -> (Script, bool) {
        let lost = self.is(30);
        let refused = || Some(self.error(Delivery::Refused));
        let script = Script {
            creates: (0..self.below(3)).map(|_| refused()).collect(),
            accepted_unseen: (0..u64::from(lost))
                .map(|_| self.error(Delivery::Unknown))
                .collect(),
            blind_looks: self.below(6) as u32,
            statuses: (0..self.below(60))
                .map(|_| self.status())
                .collect::<VecDeque<_>>(),
            wishes: (0..self.below(60))
                .map(|_| self.is(20).then(|| Duration::from_secs(self.below(600))))
                .collect(),
            reads: (0..self.below(3))
                .map(|_| self.error(Delivery::Unknown))
                .collect(),
            late_results: self.below(4) as u32,
            max_requests: Some(1 + self.below(4) as u32),
            ..Script::default()
        };
        (script, lost)
    }
}

/// Runs one seed. Without a runtime all work is done in one thread, so that a seed always gives the
/// same run.
fn run(seed: u64) -> (Vec<String>, usize, u64) {
    block_on(run_one(seed))
}

async fn run_one(seed: u64) -> (Vec<String>, usize, u64) {
    let chance = Chance(TestRng::new(seed));
    let (script, _) = chance.script();
    let most = script.max_requests.unwrap() as usize;
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock.clone())
        .rng(Arc::new(TestRng::new(seed)));
    let count = 1 + chance.below(9) as usize;
    let asked: Vec<(String, String)> = (0..count)
        .map(|k| (format!("id {k}"), format!("words {k}")))
        .collect();
    let outcomes = invoker.batch().invoke(asked.clone()).await;
    let outcomes = outcomes.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let trace: Vec<String> = provider
        .calls()
        .iter()
        .map(|call| format!("{call:?}"))
        .collect();
    assert_eq!(outcomes.len(), count, "seed {seed}");
    for ((id, words), (found, outcome)) in asked.iter().zip(outcomes.iter()) {
        let Outcome::Succeeded { value, .. } = outcome else {
            panic!("seed {seed}: {outcome:?}");
        };
        assert_eq!(
            (found.as_str(), value.text().as_str()),
            (id.as_str(), words.as_str()),
            "seed {seed}"
        );
    }
    assert_eq!(
        provider.accepted(),
        count.div_ceil(most),
        "seed {seed}: paid twice, or never"
    );
    use lmbatch_core::Clock as _;
    (trace, provider.accepted(), clock.elapsed().as_secs())
}

#[test]
fn for_any_provider_answers_each_request_has_one_outcome_and_is_paid_for_once() {
    let (mut batches, mut seconds) = (0, 0);
    for seed in 1..=seeds() {
        let (_, accepted, elapsed) = run(seed);
        batches += accepted;
        seconds += elapsed;
    }
    assert!(batches as u64 > seeds(), "{batches}");
    // Days of waiting take seconds of work.
    assert!(seconds > seeds() * 60, "{seconds}");
}

#[test]
fn a_seed_always_gives_the_same_calls_at_the_same_times() {
    for seed in [1, 99, 777] {
        assert_eq!(run(seed), run(seed));
    }
}
