//! The driver: calls steps when they are due. The only place that sleeps.

mod polls;
mod shards;

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lmbatch_core::{
    BatchId, BatchSnapshot, Error, ErrorKind, Result, Retry, RunRecord, ShardState,
};

use crate::context::Context;
use crate::event::Event;
use crate::policy::{Decision, RunOptions, UNKNOWN_AT_FIRST};
use crate::results::finished::CountMismatch;
use crate::run::fetch::{Fetch, Fetched};
use crate::run::poll::{is_unreadable, unreadable};
use crate::run::scope::Scope;
use crate::run::step::{KINDS, Kind, Next, Step};
use crate::run::work::Work;
use crate::share::{PageRead, Place, Seat};

/// Time between two questions whether the run was cancelled by another process. With the age that an answer about
/// the revision may have, a cancellation is seen within 2 s.
const HEED: Duration = Duration::from_millis(1500);

/// A time that no process sees; clocks can add it to theirs.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The longest time for which a create waits for room at the provider.
const ROOM: Duration = Duration::from_secs(300);

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
    kind: Kind,
    next: Result<Next>,
    place: Option<Place>,
}

/// What a driver waited for.
enum Woken {
    Ran(Box<Ran>),
    Read(PageRead),
    /// Letters have come, or a place or a turn may be free.
    Called,
    Time,
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
    /// What this driver shares with the others of its account.
    seat: Seat,
    /// Most batches on a page of the list, where the list stands in for status calls.
    page_size: Option<u32>,
    /// Page of the list that is being read.
    page: Option<BoxFuture<'c, PageRead>>,
    /// Whether the next page waits for a free place.
    page_waits: bool,
    /// Shards that wait for what a walk of the list says of them.
    listed: BTreeSet<usize>,
    /// Shards whose batch is asked for by a status call of its own.
    alone: BTreeSet<usize>,
    cancelled: bool,
    heed_at: Duration,
    /// Revision of the record at the last time that it was asked whether the run is cancelled.
    seen_revision: Option<u64>,
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
            seat: context.share.join(),
            page_size: context.status_page(),
            page: None,
            page_waits: false,
            listed: BTreeSet::new(),
            alone: BTreeSet::new(),
            cancelled: false,
            heed_at: now,
            seen_revision: None,
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

    /// Sets when a shard is due, in place of an earlier time, and notes it for those who poll the same account.
    fn schedule(&mut self, at: usize, due: Duration) {
        self.postpone(at, due);
        self.watch(at, due);
    }

    /// Sets when this driver looks at a shard again.
    fn postpone(&mut self, at: usize, due: Duration) {
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
            self.read_letters();
            self.admit();
            self.begin();
            if let Some(error) = self.fatal.take() {
                // The answer to a create that is under way is worth waiting for.
                if !self.is_creating() {
                    return Err(error);
                }
                // Nothing is asked of the record any more: its time would only wake the wait below.
                (self.fatal, self.heed_at) = (Some(error), NEVER);
                self.leave_polls();
            }
            let is_idle = self.is_idle();
            if is_idle {
                if self.due.is_empty() {
                    break;
                }
                if let Some(error) = self.leaves() {
                    return Err(error);
                }
            }
            match self.next().await {
                Woken::Ran(ran) => self.take(*ran),
                Woken::Read(read) => self.take_page(read),
                // A bound on the whole run that is reached at the same time goes first.
                Woken::Time if !is_idle => yield_once().await,
                Woken::Called | Woken::Time => {}
            }
        }
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether nothing is under way, and nothing waits for what other drivers do.
    fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.listed.is_empty()
            && self.ready.iter().all(VecDeque::is_empty)
    }

    /// Waits for a step, a page, a call or a time, whichever comes first.
    async fn next(&mut self) -> Woken {
        let now = self.now();
        let due = self.due.first().map_or(NEVER, |(due, _)| *due);
        let may_read = self.page.is_none() && !self.page_waits;
        let walk_due = self.seat.walk_due().filter(|_| may_read);
        let until = due
            .min(self.heed_at)
            .min(walk_due.unwrap_or(NEVER))
            .max(now);
        let clock = &self.scope.context.clock;
        // A clock of tests goes on only by sleeps, and only where nothing is under way.
        let is_still = self.running.is_empty() && self.page.is_none() && until < NEVER;
        let mut time = match is_still {
            true => clock.sleep(until.saturating_sub(now)),
            false => clock.reached(until),
        };
        let mut called = pin!(self.seat.woken());
        let (running, page) = (&mut self.running, &mut self.page);
        poll_fn(|task| {
            if let Poll::Ready(Some(ran)) = running.poll_next_unpin(task) {
                return Poll::Ready(Woken::Ran(Box::new(ran)));
            }
            if let Some(reading) = page
                && let Poll::Ready(read) = reading.poll_unpin(task)
            {
                *page = None;
                return Poll::Ready(Woken::Read(read));
            }
            if called.as_mut().poll(task).is_ready() {
                return Poll::Ready(Woken::Called);
            }
            time.as_mut().poll(task).map(|()| Woken::Time)
        })
        .await
    }

    /// Moves what is due to those that wait for a free place.
    fn admit(&mut self) {
        let now = self.now();
        let mut polls = Vec::new();
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
            if step == Step::Poll && self.may_be_listed(at) {
                polls.push(at);
            } else if step != Step::Done {
                let kind = kind_of(step, work);
                self.ready[place(kind)].push_back(at);
            }
        }
        if !polls.is_empty() {
            self.admit_polls(&polls, now);
        }
    }

    /// Begins steps for which there is a free place.
    fn begin(&mut self) {
        let mut wanted = [false; 5];
        let limits = self.scope.context.limits;
        if self.fatal.is_none() {
            let now = self.now();
            self.page_waits = !self.begin_page(now);
            wanted[place(Kind::Poll)] = self.page_waits;
            for kind in KINDS {
                wanted[place(kind)] |= !self.begin_all(kind, now);
            }
        }
        // Creates that are under way are polled for the first time as soon as they are answered.
        let coming = [Kind::Upload, Kind::Create].map(place);
        let coming = coming.map(|kind| self.ready[kind].len() + self.busy[kind]);
        self.seat.wait_for(wanted, limits, coming.iter().sum());
    }

    /// Begins steps of a kind. Returns whether there was a place for all of them.
    fn begin_all(&mut self, kind: Kind, now: Duration) -> bool {
        let limit = self.scope.context.limits.of(kind);
        let (paused, polls_paused) = (self.seat.paused_until(), self.seat.polls_paused_until());
        let most = match kind {
            // What is wrong with all creates shows at the first.
            Kind::Create if !self.answered => 1,
            _ => usize::MAX,
        };
        while self.busy[place(kind)] < most {
            let Some(&at) = self.ready[place(kind)].front() else {
                break;
            };
            let until = match kind {
                Kind::Local => now,
                Kind::Poll if self.is_poll(at) => polls_paused,
                _ => paused,
            };
            if until > now {
                self.ready[place(kind)].pop_front();
                self.postpone(at, until);
                continue;
            }
            let place_of_step = match kind {
                Kind::Local => None,
                _ => match self.seat.place(kind, limit) {
                    Some(free) => Some(free),
                    None => return false,
                },
            };
            self.ready[place(kind)].pop_front();
            self.begin_one(at, kind, place_of_step);
        }
        true
    }

    fn begin_one(&mut self, at: usize, kind: Kind, place_of_step: Option<Place>) {
        let context = self.scope.context;
        let Some(work) = &self.slots[at] else {
            return;
        };
        let step = work.next(context, self.cancelled);
        if kind_of(step, work) != kind {
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
        self.unwatch(at);
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
                kind,
                next,
                place: place_of_step,
            }
        };
        self.running.push(ran.boxed());
    }

    /// Takes what came of a step.
    fn take(&mut self, ran: Ran) {
        let Ran {
            at,
            work,
            step,
            kind,
            next,
            place: free,
        } = ran;
        drop(free);
        self.busy[place(kind)] -= 1;
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
                self.seat.pause(now.saturating_add(wait));
                self.schedule(at, now.saturating_add(wait));
            }
            Ok(Next::PausePolls { own, polls }) => {
                self.seat.pause_polls(now.saturating_add(polls));
                self.schedule(at, now.saturating_add(own));
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
            // A poll may be answered together with others.
            Some(Step::Poll) if self.page_size.is_some() => self.schedule(at, self.now()),
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

/// The kind of a step of a shard: the end of a batch that a page of the list shows is recorded without an exchange.
fn kind_of(step: Step, work: &Work) -> Kind {
    match step == Step::Poll && work.listed.is_some() {
        true => Kind::Local,
        false => step.kind(),
    }
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
            Next::In(wait) | Next::Pause(wait) | Next::PausePolls { own: wait, .. } => {
                context.clock.sleep(wait).await;
            }
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
