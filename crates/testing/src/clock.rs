//! A clock and random numbers that a test controls.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lmbatch_core::{Clock, Rng};

/// A clock that moves only when a task sleeps. It starts at the Unix epoch.
///
/// Work that is [bounded](Clock::reached) by a time is cut off at that time, as with a real clock: a sleep beyond the
/// bound stops at the bound, and the task that waits for it runs first.
#[derive(Debug, Default)]
pub struct TestClock {
    state: Mutex<State>,
}

/// Number of times that a sleeper yields at a bound.
const YIELDS: u32 = 16;

#[derive(Debug, Default)]
struct State {
    elapsed: Duration,
    /// Bounds that tasks wait for: number, time and waker.
    bounds: Vec<(u64, Duration, Waker)>,
    next: u64,
    /// Time that passes at each reading of the clock.
    each_look: Duration,
}

impl State {
    /// Moves the clock forward to `at`, and wakes the tasks whose bounds are reached.
    fn move_to(&mut self, at: Duration) {
        self.elapsed = self.elapsed.max(at);
        let due = self.bounds.iter().filter(|(_, at, _)| *at <= self.elapsed);
        due.for_each(|(.., waker)| waker.wake_by_ref());
    }
}

impl TestClock {
    /// Creates a clock that also moves forward at each reading, as a real one does: code that reads it twice sees two
    /// times.
    pub fn moving(each_look: Duration) -> Self {
        let state = State {
            each_look,
            ..State::default()
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Moves the clock forward by `by`.
    pub fn advance(&self, by: Duration) {
        let mut state = self.lock();
        let at = state.elapsed + by;
        state.move_to(at);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.lock().elapsed
    }

    fn elapsed(&self) -> Duration {
        let mut state = self.lock();
        let at = state.elapsed + state.each_look;
        state.move_to(at);
        at
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        let mut went_first = HashSet::new();
        let first_bound = |went_first: &mut HashSet<u64>| {
            let state = self.lock();
            let bounds = state.bounds.iter().map(|(number, at, _)| (*number, *at));
            let bounds = bounds.filter(|(number, at)| *at < until && !went_first.contains(number));
            let first = &bounds.min_by_key(|(_, at)| *at)?;
            went_first.insert(first.0);
            Some(*first)
        };
        while let Some((number, at)) = first_bound(&mut went_first) {
            self.lock().move_to(at);
            // The task that polls the sleeper may poll it again before it polls the bound.
            let mut yields = 0;
            poll_fn(|context| {
                yields += 1;
                let is_there = self
                    .lock()
                    .bounds
                    .iter()
                    .any(|(known, ..)| *known == number);
                if yields > YIELDS || !is_there {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        self.lock().move_to(until);
    }

    async fn reached(&self, at: Duration) {
        let number = {
            let mut state = self.lock();
            state.next += 1;
            state.next
        };
        let _bound = Bound(self, number);
        poll_fn(|context| {
            let mut state = self.lock();
            if state.elapsed >= at {
                return Poll::Ready(());
            }
            state.bounds.retain(|(known, ..)| *known != number);
            state.bounds.push((number, at, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

/// A bound that a task waits for, until it is dropped.
struct Bound<'a>(&'a TestClock, u64);

impl Drop for Bound<'_> {
    fn drop(&mut self) {
        self.0
            .lock()
            .bounds
            .retain(|(number, ..)| *number != self.1);
    }
}

/// Random numbers that a seed determines.
#[derive(Debug)]
pub struct TestRng(AtomicU64);

impl TestRng {
    /// Creates the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Rng for TestRng {
    /// Returns the next number of SplitMix64.
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::executor::block_on;
    use futures::future::{Either, select};

    use super::*;

    #[test]
    fn sleeping_work_is_cut_off_at_its_bound_without_extra_time() {
        let seconds = Duration::from_secs;
        for (bound, sleeps, cut, slept) in [
            (10, vec![4, 5], false, 9),
            // Events that are due at the same time come first.
            (10, vec![4, 6], false, 10),
            (10, vec![4, 6, 1], true, 10),
            (10, vec![4, 60], true, 10),
            (0, vec![1], true, 0),
            (0, vec![], true, 0),
        ] {
            let clock = TestClock::default();
            let work = pin!(async {
                for sleep in sleeps {
                    clock.sleep(seconds(sleep)).await;
                }
            });
            let late = pin!(clock.reached(seconds(bound)));
            // The bound is registered before the work begins.
            let is_cut = matches!(block_on(select(late, work)), Either::Left(_));
            assert_eq!(is_cut, cut, "{bound}");
            assert_eq!(clock.elapsed(), seconds(slept), "{bound}");
        }
        let clock = TestClock::default();
        drop(clock.reached(seconds(5)));
        block_on(clock.sleep(seconds(9)));
        assert_eq!(clock.elapsed(), seconds(9));
    }
}
