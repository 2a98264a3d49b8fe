//! The driver: calls steps when they are due. The only place that sleeps.

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lmbatch_core::{
    BatchId, BatchSnapshot, CreateProof, Error, ErrorKind, Result, Retry, RunRecord, ShardState,
};

use crate::context::Context;
use crate::event::Event;
use crate::policy::{Decision, RunOptions, UNKNOWN_AT_FIRST};
use crate::results::finished::CountMismatch;
use crate::run::fetch::{Fetch, Fetched};
use crate::run::poll::{is_unreadable, unfinished, unreadable};
use crate::run::recover::not_found_yet;
use crate::run::scope::Scope;
use crate::run::step::{Kind, Next, Step};
use crate::run::work::Work;

/// The longest time until a cancellation from another process is seen.
const HEED: Duration = Duration::from_secs(2);

/// A time that no process sees; clocks can add it to theirs.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The longest time for which a create waits for room at the provider.
const ROOM: Duration = Duration::from_secs(300);

const KINDS: [Kind; 5] = [
    Kind::Upload,
    Kind::Create,
    Kind::Poll,
    Kind::Fetch,
    Kind::Local,
];

/// Drives the shards of one run until nothing is due.
///
/// # Errors
/// The first thing that no waiting cures, after everything else is finished; [`ErrorKind::Conflict`] at once;
/// [`ErrorKind::Timeout`] where batches go on and their caller does not wait.
pub(crate) async fn drive(
    scope: &Scope<'_>,
    run: &mut RunRecord,
    works: &mut Vec<Work>,
    options: &RunOptions,
) -> Result<()> {
    let mut driver = Driver::new(scope, std::mem::take(works), options);
    let ended = driver.run(run).await;
    *works = driver.slots.into_iter().flatten().collect();
    ended
}

/// What came of a step.
struct Ran {
    at: usize,
    work: Work,
    step: Step,
    next: Result<Next>,
}

struct Driver<'c> {
    scope: &'c Scope<'c>,
    options: RunOptions,
    start: Duration,
    /// The shards by number; absent while a step works on one.
    slots: Vec<Option<Work>>,
    /// When shards are due.
    due: BTreeSet<(Duration, usize)>,
    due_at: Vec<Option<Duration>>,
    /// Shards that are due and wait for a free place, by kind of step.
    ready: [VecDeque<usize>; 5],
    running: FuturesUnordered<BoxFuture<'c, Ran>>,
    busy: [usize; 5],
    /// Steps that are under way, by shard.
    under_way: Vec<Option<Step>>,
    /// Number of requests of each shard.
    counts: Vec<u32>,
    /// Shards for which nothing more is done in this process.
    stuck: Vec<bool>,
    /// Shards whose create could be confused with one that is in doubt.
    contested: Vec<usize>,
    /// Shards that wait until the provider has room.
    waiting: Vec<usize>,
    /// Until when the provider wants no calls.
    paused_until: Duration,
    cancelled: bool,
    heed_at: Duration,
    /// Whether a create of the run was taken, as far as is known: until then they go out one by one.
    answered: bool,
    /// The first thing that no waiting cures: nothing more is created, and what exists is fetched.
    failure: Option<Error>,
    /// What ends the run at once, as soon as no create is under way.
    fatal: Option<Error>,
}

impl<'c> Driver<'c> {
    fn new(scope: &'c Scope<'c>, works: Vec<Work>, options: &RunOptions) -> Self {
        let context = scope.context;
        let now = context.clock.elapsed();
        let count = works.len();
        let answered = works.iter().any(|work| work.record.state.batch().is_some());
        let counts = works.iter().map(|work| work.planned.shard.count).collect();
        let mut driver = Self {
            scope,
            options: *options,
            start: context.started(),
            slots: works.into_iter().map(Some).collect(),
            due: BTreeSet::new(),
            due_at: vec![None; count],
            ready: Default::default(),
            running: FuturesUnordered::new(),
            busy: [0; 5],
            under_way: vec![None; count],
            stuck: vec![false; count],
            counts,
            contested: Vec::new(),
            waiting: Vec::new(),
            paused_until: now,
            cancelled: false,
            heed_at: now,
            answered,
            failure: None,
            fatal: None,
        };
        for at in 0..count {
            let work = driver.slots[at].as_ref();
            let wait = work.map(|work| work.look_due(context));
            driver.schedule(at, now.saturating_add(wait.unwrap_or_default()));
        }
        driver
    }

    fn now(&self) -> Duration {
        self.scope.context.clock.elapsed()
    }

    /// Sets when a shard is due, in place of an earlier time.
    fn schedule(&mut self, at: usize, due: Duration) {
        if let Some(before) = self.due_at[at].replace(due) {
            self.due.remove(&(before, at));
        }
        self.due.insert((due, at));
    }

    async fn run(&mut self, run: &mut RunRecord) -> Result<()> {
        loop {
            // What cannot be read ends the run, but not before the creates that are under way are answered.
            if self.fatal.is_none()
                && let Err(error) = self.heed(run).await
            {
                self.fatal = Some(error);
            }
            self.admit();
            self.begin();
            if let Some(error) = self.fatal.take() {
                // The answer to a create that is under way is worth waiting for.
                if !self.is_creating() {
                    return Err(error);
                }
                // Nothing is asked of the record any more: its time would only wake the wait below.
                (self.fatal, self.heed_at) = (Some(error), NEVER);
            }
            if self.running.is_empty() {
                let Some(&(due, _)) = self.due.first() else {
                    break;
                };
                if let Some(error) = self.leaves() {
                    return Err(error);
                }
                let until = due.min(self.heed_at).max(self.now());
                let wait = until.saturating_sub(self.now());
                self.scope.context.clock.sleep(wait).await;
                continue;
            }
            let until = match self.due.first() {
                Some((due, _)) => (*due).min(self.heed_at),
                None => self.heed_at,
            };
            let clock = &self.scope.context.clock;
            let ran = match select(self.running.next(), clock.reached(until)).await {
                Either::Left((ran, _)) => ran,
                Either::Right(_) => None,
            };
            match ran {
                Some(ran) => self.take(ran),
                // A bound on the whole run that is reached at the same time goes first.
                None => yield_once().await,
            }
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Moves what is due to those that wait for a free place.
    fn admit(&mut self) {
        let now = self.now();
        while let Some(&(due, at)) = self.due.first() {
            if due > now {
                break;
            }
            self.due.pop_first();
            self.due_at[at] = None;
            let Some(work) = &self.slots[at] else {
                continue;
            };
            let step = work.next(self.scope.context, self.cancelled);
            if step != Step::Done {
                self.ready[place(step.kind())].push_back(at);
            }
        }
    }

    /// Begins steps for which there is a free place.
    fn begin(&mut self) {
        if self.fatal.is_some() {
            return;
        }
        let now = self.now();
        let limits = self.scope.context.limits;
        for kind in KINDS {
            let most = match kind {
                // What is wrong with all creates shows at the first.
                Kind::Create if !self.answered => 1,
                _ => limits.of(kind),
            };
            while self.busy[place(kind)] < most {
                let Some(at) = self.ready[place(kind)].pop_front() else {
                    break;
                };
                if kind != Kind::Local && self.paused_until > now {
                    self.schedule(at, self.paused_until);
                    continue;
                }
                self.begin_one(at, kind);
            }
        }
    }

    fn begin_one(&mut self, at: usize, kind: Kind) {
        let context = self.scope.context;
        let Some(work) = &self.slots[at] else {
            return;
        };
        let step = work.next(context, self.cancelled);
        if step.kind() != kind {
            // Something was cancelled meanwhile.
            self.schedule(at, self.now());
            return;
        }
        if step.leads_to_a_create() {
            if self.failure.is_some() {
                return;
            }
            if self.is_contested(at) {
                self.contested.push(at);
                return;
            }
        }
        let Some(mut work) = self.slots[at].take() else {
            return;
        };
        self.busy[place(kind)] += 1;
        self.under_way[at] = Some(step);
        let scope = self.scope;
        let ran = async move {
            let next = work.perform(step, scope).await;
            Ran {
                at,
                work,
                step,
                next,
            }
        };
        self.running.push(ran.boxed());
    }

    /// Whether the create of a shard could be confused with one whose fate is open: where batches are known by
    /// their number of requests only, that of a shard of the same number.
    fn is_contested(&self, at: usize) -> bool {
        let context = self.scope.context;
        if context.provider.codec().capabilities().create != CreateProof::CountAndTime {
            return false;
        }
        let is_open = |other: usize| match &self.slots[other] {
            Some(work) => matches!(
                work.record.state,
                ShardState::Posting(_) | ShardState::Doubt(_)
            ),
            None => !matches!(
                self.under_way[other],
                Some(Step::Stage | Step::Poll | Step::Fetch | Step::Cancel)
            ),
        };
        let count = self.counts[at];
        let others = (0..self.slots.len()).filter(|other| *other != at);
        let mut same = others.filter(|other| self.counts[*other] == count);
        same.any(is_open)
    }

    fn is_creating(&self) -> bool {
        let creating = |step: &Option<Step>| matches!(step, Some(Step::Post | Step::Repeat));
        self.under_way.iter().any(creating)
    }

    /// Whether a batch goes on, which makes room when it ends.
    fn is_going(&self) -> bool {
        let slots = self.slots.iter().zip(&self.under_way).zip(&self.stuck);
        slots.into_iter().any(|((slot, step), stuck)| match slot {
            Some(work) => !stuck && matches!(work.record.state, ShardState::Created { .. }),
            None => matches!(step, Some(Step::Poll | Step::Cancel | Step::Post)),
        })
    }

    /// Takes what came of a step.
    fn take(&mut self, ran: Ran) {
        let Ran {
            at,
            work,
            step,
            next,
        } = ran;
        self.busy[place(step.kind())] -= 1;
        self.under_way[at] = None;
        self.waiting.retain(|waiting| *waiting != at);
        self.answered |= step == Step::Post && !matches!(next, Ok(Next::Stuck(_)) | Err(_));
        let has_ended = step == Step::Poll && matches!(work.record.state, ShardState::Ended(_));
        let is_settled = !matches!(
            work.record.state,
            ShardState::Posting(_) | ShardState::Doubt(_)
        );
        self.slots[at] = Some(work);
        let now = self.now();
        match next {
            Ok(Next::Done) => {}
            Ok(Next::In(wait)) if wait.is_zero() => self.go_on(at, step),
            Ok(Next::In(wait)) => self.schedule(at, now.saturating_add(wait)),
            Ok(Next::Pause(wait)) => {
                self.paused_until = self.paused_until.max(now.saturating_add(wait));
                self.schedule(at, now.saturating_add(wait));
            }
            Ok(Next::ForQuota(error)) => {
                // Others make room when they end.
                if self.is_going() {
                    self.waiting.push(at);
                    self.schedule(at, now + ROOM);
                } else {
                    self.stick(at, error);
                }
            }
            Ok(Next::Stuck(error)) => self.stick(at, error),
            Err(error) => {
                self.fatal.get_or_insert(error);
            }
        }
        self.cancel_now(at);
        if has_ended {
            for at in std::mem::take(&mut self.waiting) {
                if self.due_at[at].is_some() {
                    self.schedule(at, now);
                }
            }
        }
        if is_settled {
            for at in std::mem::take(&mut self.contested) {
                self.schedule(at, now);
            }
        }
    }

    /// A shard that goes on at once does so before others of the same kind of step.
    fn go_on(&mut self, at: usize, after: Step) {
        let work = self.slots[at].as_ref();
        let step = work.map(|work| work.next(self.scope.context, self.cancelled));
        match step {
            Some(step) if step.kind() == after.kind() => {
                self.ready[place(step.kind())].push_front(at);
            }
            _ => self.schedule(at, self.now()),
        }
    }

    /// What no waiting cures keeps no other batch from being waited for and fetched.
    fn stick(&mut self, at: usize, error: Error) {
        self.stuck[at] = true;
        if self.failure.is_none() && self.is_going() {
            let message = format!("{error}; nothing more is created, and what exists is fetched");
            let context = self.scope.context;
            context.tell(&Event::Warning { message: &message });
        }
        self.failure.get_or_insert(error);
    }

    /// Sees whether the run was cancelled, from here or from another process: what exists is cancelled then,
    /// and what does not exist is not created.
    async fn heed(&mut self, run: &mut RunRecord) -> Result<()> {
        let now = self.now();
        if self.cancelled || now < self.heed_at && !self.scope.is_cancelled() {
            return Ok(());
        }
        // Only a record that outlives the process is shared with another one.
        self.heed_at = match self.scope.context.is_durable() {
            true => now + HEED,
            false => NEVER,
        };
        let before = run.cancelled;
        run.cancelled = self.heeded().await?;
        if !run.cancelled {
            return Ok(());
        }
        (self.cancelled, self.heed_at) = (true, NEVER);
        let context = self.scope.context;
        if !before {
            let message = "the run was cancelled meanwhile; what was answered is fetched";
            context.tell(&Event::Warning { message });
        }
        for at in 0..self.slots.len() {
            let Some(work) = &self.slots[at] else {
                continue;
            };
            if work.is_presumed()
                && let ShardState::Created { batch, .. } = &work.record.state
            {
                let message =
                    format!("{batch} is not cancelled: it is not certain that it is ours");
                context.tell(&Event::Warning { message: &message });
            }
            self.cancel_now(at);
        }
        Ok(())
    }

    /// Asks the record whether the run is cancelled, while the steps under way go on: one of them may hold what the
    /// record needs to answer, such as its only connection.
    async fn heeded(&mut self) -> Result<bool> {
        let scope = self.scope;
        let mut asked = pin!(scope.heed_now());
        loop {
            if self.running.is_empty() {
                return asked.await;
            }
            let ran = match select(asked.as_mut(), self.running.next()).await {
                Either::Left((cancelled, _)) => return cancelled,
                Either::Right((ran, _)) => ran,
            };
            if let Some(ran) = ran {
                self.take(ran);
            }
        }
    }

    /// Once the run is cancelled, what can be cancelled waits for no poll.
    fn cancel_now(&mut self, at: usize) {
        let work = self.slots[at].as_ref().filter(|_| self.cancelled);
        let step = work.map(|work| work.next(self.scope.context, true));
        if !self.stuck[at]
            && self.due_at[at].is_some()
            && matches!(step, Some(Step::CallOff | Step::Cancel))
        {
            self.schedule(at, self.now());
        }
    }

    /// What is said to a caller who does not wait for batches that go on; first what no waiting cures.
    fn leaves(&mut self) -> Option<Error> {
        let options = &self.options;
        if !options.once && options.max_polls.is_none() && options.deadline.is_none() {
            return None;
        }
        let (mut going, mut searched) = (Vec::new(), None);
        for &(_, at) in &self.due {
            let work = self.slots[at].as_ref()?;
            match &work.record.state {
                ShardState::Created { .. } => {
                    going.push(work.poll.as_ref().filter(|poll| poll.polls > 0)?);
                }
                ShardState::Doubt(intent) if self.options.once && work.has_looked() => {
                    searched = searched.or(Some(intent));
                }
                // Its create waits for the end of another batch: the next process makes it.
                _ if self.waiting.contains(&at) => {}
                _ => return None,
            }
        }
        let error = match self.options.once {
            true => match (going.first(), searched) {
                (_, Some(intent)) => Some(not_found_yet(intent)),
                (Some(poll), None) => Some(unfinished(&poll.batch, "it goes on")),
                (None, None) => None,
            },
            false => going
                .iter()
                .find_map(|poll| poll.impatience(self.start, &self.options)),
        }?;
        Some(self.failure.take().unwrap_or(error))
    }
}

/// Lets others go on that wait for the same.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|task| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        task.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn place(kind: Kind) -> usize {
    kind as usize
}

/// Takes one shard on until `is_there`.
///
/// # Errors
/// What no waiting cures.
pub(crate) async fn until(
    scope: &Scope<'_>,
    work: &mut Work,
    is_there: impl Fn(&Work) -> bool + Send,
) -> Result<()> {
    let context = scope.context;
    context.clock.sleep(work.look_due(context)).await;
    while !is_there(work) {
        let step = work.next(context, false);
        match work.perform(step, scope).await? {
            Next::In(wait) | Next::Pause(wait) => context.clock.sleep(wait).await,
            Next::ForQuota(error) | Next::Stuck(error) => return Err(error),
            Next::Done => {
                return Err(Error::new(ErrorKind::Internal)
                    .with_message("the shard ended before its batch was there"));
            }
        }
    }
    Ok(())
}

impl Context {
    /// Reads the results of a batch until they are whole; gives the number of requests that ended by the
    /// provider's counts and that no row names, and how those counts disagree with the rows.
    pub(crate) async fn fetched(&self, fetch: &mut Fetch) -> Result<(u64, Option<CountMismatch>)> {
        loop {
            match fetch.step(self).await? {
                Fetched::Again(wait) => self.clock.sleep(wait).await,
                Fetched::Whole {
                    undelivered,
                    mismatch,
                    ..
                } => return Ok((undelivered, mismatch)),
                Fetched::Strangers => return Ok((0, None)),
            }
        }
    }

    /// The snapshot of a batch that is known to exist: some of the provider's machines may not know it yet.
    pub(crate) async fn known(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut asked = 0;
        loop {
            asked += 1;
            match self.readable(batch).await {
                Err(error)
                    if error.kind() == ErrorKind::BatchNotFound
                        && self.clock.elapsed() - start < UNKNOWN_AT_FIRST =>
                {
                    self.pause(&error, self.polling.wait(asked, None)).await;
                }
                other => return other,
            }
        }
    }

    /// Returns the status of a batch whose results are wanted. An answer that cannot be read is waited for as long
    /// as results are.
    pub(crate) async fn readable(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let start = self.clock.elapsed();
        let mut waits = self.doubt.waits();
        loop {
            let left = || {
                let spent = self.clock.elapsed() - start;
                self.doubt.patience().saturating_sub(spent)
            };
            let asked = self
                .retrying_within(left(), || self.provider.status(batch))
                .await;
            let error = match asked {
                Err(error) if is_unreadable(&error) => error,
                other => return other.map_err(|error| error.with_batch(batch.clone())),
            };
            let left = left();
            if left.is_zero() {
                return Err(unreadable(batch, error));
            }
            let wait = waits.next().unwrap_or(left).min(left);
            self.pause(&error, wait).await;
        }
    }

    /// Makes a call that can be repeated freely until it succeeds or patience runs out.
    pub(crate) async fn retrying<T, F>(&self, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.retrying_within(Duration::MAX, call).await
    }

    /// Makes a call as [`retrying`](Self::retrying) does. Answers that cannot be read are asked for again within
    /// `time` only.
    pub(crate) async fn retrying_within<T, F>(
        &self,
        time: Duration,
        call: impl Fn() -> F + Send,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let start = self.clock.elapsed();
        let mut failures = 0;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            failures += 1;
            let left = match is_unreadable(&error) {
                true => time.saturating_sub(self.clock.elapsed() - start),
                false => Duration::MAX,
            };
            if left.is_zero() {
                return Err(error);
            }
            let wait = self.again(failures, error)?;
            self.clock.sleep(wait.min(left)).await;
        }
    }

    /// When a free call is made again that has failed so often.
    ///
    /// # Errors
    /// Its error, where it is not made again.
    pub(crate) fn again(&self, failures: u32, error: Error) -> Result<Duration> {
        match self.retries.decide(failures, &error, self.rng.next_f64()) {
            Decision::RetryAfter(wait) => {
                self.tell(&Event::Retrying {
                    error: &error,
                    wait,
                });
                Ok(wait)
            }
            _ if failures > 1 => Err(error.with_retry(Retry::Exhausted)),
            _ => Err(error),
        }
    }

    /// Waits for something else than a step, such as another process.
    pub(crate) async fn wait(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    async fn pause(&self, error: &Error, wait: Duration) {
        self.tell(&Event::Retrying { error, wait });
        self.clock.sleep(wait).await;
    }
}
