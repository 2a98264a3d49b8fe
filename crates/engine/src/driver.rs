//! The driver: calls steps when they are due. The only place that sleeps.

mod begin;
mod failures;
mod polls;
mod retrying;
mod shard_failure;
mod shards;

use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use lmbatch_core::{Error, ErrorKind, Result, RunRecord, ShardState};

use self::shard_failure::ShardFailure;
use crate::policy::RunOptions;
use crate::run::scope::Scope;
use crate::run::step::{Kind, Next, Step};
use crate::run::work::Work;
use crate::share::{AccountShare, DriverHandle, PageRead, Permit};

/// Time between two checks for a cancellation by another process. Together with the maximum age of a known
/// revision of the ledger, a cancellation is noticed within 2 s.
const CANCEL_CHECK: Duration = Duration::from_millis(1500);

/// Time that no process reaches; clocks can add it to their own.
const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

/// Longest time for which a driver advances shards one after another before other tasks of the runtime run. Steps that
/// never wait, such as those over records in memory, would otherwise hold the thread together.
const TURN: Duration = Duration::from_millis(4);

/// Longest time for which a create waits for free quota at the provider.
const LIMIT_WAIT: Duration = Duration::from_secs(300);

/// Drives the shards of one run until nothing is due.
///
/// # Errors
/// The most important error of a shard, after everything else has finished; [`ErrorKind::Conflict`]
/// at once; [`ErrorKind::Timeout`] where batches have not ended and the caller does not wait for them.
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

/// Result of one step of one shard.
struct Ran {
    at: usize,
    work: Work,
    step: Step,
    kind: Kind,
    next: Result<Next>,
    permit: Option<Permit>,
}

/// Event for which the driver waited.
enum Woken {
    Ran(Box<Ran>),
    Read(PageRead),
    /// Messages have arrived, or a permit or a turn may be free.
    Called,
    Time,
}

struct Driver<'c> {
    scope: &'c Scope<'c>,
    options: RunOptions,
    start: Duration,
    /// Shards by number; `None` while a step works on the shard.
    slots: Vec<Option<Work>>,
    /// Times at which shards are due, with their numbers.
    due: BTreeSet<(Duration, usize)>,
    due_at: Vec<Option<Duration>>,
    /// Shards that are due and wait for a free permit, by kind of step.
    ready: [VecDeque<usize>; 5],
    running: FuturesUnordered<BoxFuture<'c, Ran>>,
    busy: [usize; 5],
    /// Steps that are running, by shard.
    under_way: Vec<Option<Step>>,
    /// Number of requests of each shard.
    counts: Vec<u32>,
    /// Shards for which this process does nothing more.
    stuck: Vec<bool>,
    /// Number of shards whose batch is running or whose create is under way.
    live: usize,
    /// Number of ended batches of the account, as of the last time that it was read.
    seen_ends: u64,
    /// Shards whose create could be confused with one that is in doubt.
    contested: Vec<usize>,
    /// Shards that wait until the provider has free quota.
    waiting: Vec<usize>,
    /// This driver's part in the state that all drivers of the account share.
    shared: DriverHandle,
    /// Maximum number of batches on a page of the list, where the list replaces status calls.
    page_size: Option<u32>,
    /// Read of a page of the list that is under way.
    page: Option<BoxFuture<'c, PageRead>>,
    /// True if the read of the next page waits for a free permit.
    page_waits: bool,
    /// Shards whose status is expected from a sweep of the list.
    listed: BTreeSet<usize>,
    /// Shards whose batch is polled by a status call of its own.
    alone: BTreeSet<usize>,
    cancelled: bool,
    /// Time since which other tasks of the runtime have not run.
    turn: Duration,
    check_cancel_at: Duration,
    /// Revision of the ledger at the last check for a cancellation.
    seen_revision: Option<u64>,
    /// True if a create of the run is known to have been accepted; until then creates are sent one
    /// at a time.
    answered: bool,
    /// True once the observer has a report that a create waits for the cost limit.
    has_reported_budget: bool,
    /// Most important error of a shard for which nothing more is done: the one that ends the run once
    /// everything else has finished.
    failure: Option<ShardFailure>,
    /// True once an error has shown that further creates would fail too. Nothing more is created, and
    /// the results of existing batches are fetched.
    creates_stopped: bool,
    /// Error that ends the run as soon as no create is under way.
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
            live: 0,
            seen_ends: 0,
            counts,
            contested: Vec::new(),
            waiting: Vec::new(),
            shared: context.share.join(),
            page_size: context.status_page(),
            page: None,
            page_waits: false,
            listed: BTreeSet::new(),
            alone: BTreeSet::new(),
            cancelled: false,
            turn: now,
            check_cancel_at: now,
            seen_revision: None,
            answered,
            has_reported_budget: false,
            failure: None,
            creates_stopped: false,
            fatal: None,
        };
        driver.seen_ends = driver.shared.account().ends();
        for at in 0..count {
            driver.count_live(at, false);
            let work = driver.slots[at].as_ref();
            let wait = work.map(|work| work.look_due(context));
            driver.schedule(at, now.saturating_add(wait.unwrap_or_default()));
        }
        driver
    }

    fn now(&self) -> Duration {
        self.scope.context.clock.elapsed()
    }

    /// Sets when a shard is due, in place of an earlier time, and announces it to the drivers that
    /// poll the same account.
    fn schedule(&mut self, at: usize, due: Duration) {
        self.postpone(at, due);
        self.watch(at, due);
    }

    /// Sets the time of the next step of a shard.
    fn postpone(&mut self, at: usize, due: Duration) {
        if let Some(before) = self.due_at[at].replace(due) {
            self.due.remove(&(before, at));
        }
        self.due.insert((due, at));
    }

    async fn run(&mut self, run: &mut RunRecord) -> Result<()> {
        loop {
            // An unreadable record ends the run, but only after the creates that are under way are
            // answered.
            if self.fatal.is_none()
                && let Err(error) = self.apply_cancellation(run).await
            {
                self.fatal = Some(error);
            }
            self.read_messages();
            self.read_ends();
            self.admit();
            self.begin();
            if let Some(error) = self.fatal.take() {
                // A create that is under way costs money: its response is awaited.
                if !self.is_creating() {
                    return Err(error);
                }
                // The record is not read any more; a due check would only interrupt the wait below.
                (self.fatal, self.check_cancel_at) = (Some(error), NEVER);
                self.leave_polls();
            }
            let is_idle = self.is_idle();
            if is_idle {
                if self.due.is_empty() {
                    break;
                }
                if let Some(error) = self.early_exit() {
                    return Err(error);
                }
            }
            match self.next().await {
                Woken::Ran(ran) => self.take(*ran),
                Woken::Read(read) => self.take_page(read),
                // A time limit of the whole run that is reached at the same moment takes effect
                // first.
                Woken::Time if !is_idle => yield_once().await,
                Woken::Called | Woken::Time => {}
            }
            if self.now().saturating_sub(self.turn) > TURN {
                // The runtime then also polls its timers and sockets.
                tokio::task::yield_now().await;
                self.turn = self.now();
            }
        }
        match self.failure.take() {
            Some(failure) => Err(failure.error),
            None => Ok(()),
        }
    }

    /// Returns whether no step is running and no shard waits for another driver.
    fn is_idle(&self) -> bool {
        self.running.is_empty()
            && self.listed.is_empty()
            && self.ready.iter().all(VecDeque::is_empty)
    }

    /// Waits for a step, a page, a message or a due time, whichever comes first.
    async fn next(&mut self) -> Woken {
        let now = self.now();
        let due = self.due.first().map_or(NEVER, |(due, _)| *due);
        let may_read = self.page.is_none() && !self.page_waits;
        let sweep_due = self.shared.sweep_due().filter(|_| may_read);
        let until = due
            .min(self.check_cancel_at)
            .min(sweep_due.unwrap_or(NEVER))
            .max(now);
        let clock = &self.scope.context.clock;
        // A test clock advances only by sleeps, and only while nothing is running.
        let is_still = self.running.is_empty() && self.page.is_none() && until < NEVER;
        let mut time = match is_still {
            true => clock.sleep(until.saturating_sub(now)),
            false => clock.reached(until),
        };
        let mut called = pin!(self.shared.woken());
        let (running, page) = (&mut self.running, &mut self.page);
        let mut has_waited = false;
        let woken = poll_fn(|task| {
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
            let reached = time.as_mut().poll(task).map(|()| Woken::Time);
            has_waited |= reached.is_pending();
            reached
        })
        .await;
        if has_waited {
            self.turn = self.now();
        }
        woken
    }

    /// Records the result of a step and schedules what follows.
    fn take(&mut self, ran: Ran) {
        let Ran {
            at,
            work,
            step,
            kind,
            next,
            permit: free,
        } = ran;
        drop(free);
        let was_live = self.is_live(at);
        self.busy[place(kind)] -= 1;
        self.under_way[at] = None;
        self.waiting.retain(|waiting| *waiting != at);
        self.answered |= work.record.state.batch().is_some();
        let has_ended = step == Step::Poll && matches!(work.record.state, ShardState::Ended(_))
            || work.record.state.is_final();
        let is_settled = !matches!(
            work.record.state,
            ShardState::Posting(_) | ShardState::Doubt(_)
        );
        self.slots[at] = Some(work);
        self.count_live(at, was_live);
        let now = self.now();
        if let Ok(next) = &next {
            record_pause(self.shared.account(), now, next);
        }
        match next {
            Ok(Next::Done) => {}
            Ok(Next::In(wait)) if wait.is_zero() => self.continue_at_once(at, step),
            Ok(Next::In(wait) | Next::Pause(wait) | Next::PausePolls { own: wait, .. }) => {
                self.schedule(at, now.saturating_add(wait));
            }
            Ok(Next::ForQuota(error)) => {
                let asked = error.retry_after().unwrap_or_default();
                // Other batches of the account free quota when they end.
                let others_free_quota = !self.options.once && self.shared.others_are_live();
                if self.has_running_batch() || others_free_quota {
                    self.await_ends(at, now.saturating_add(LIMIT_WAIT.max(asked)));
                } else {
                    self.record_failure(at, step, error);
                }
            }
            Ok(Next::ForBudget(error)) => {
                // Other batches may cost less than was reserved for them.
                if self.may_free_budget(at) {
                    self.report_budget(&error);
                    self.await_ends(at, now + LIMIT_WAIT);
                } else {
                    self.record_failure(at, step, error);
                }
            }
            Ok(Next::Held(error)) => self.record_failure(at, step, error),
            Err(error) => {
                self.fatal.get_or_insert(error);
            }
        }
        self.cancel_now(at);
        if has_ended {
            self.shared.batch_ended();
        }
        if is_settled {
            for at in std::mem::take(&mut self.contested) {
                self.schedule(at, now);
            }
        }
    }

    /// Makes a shard due when a batch of the account has ended, and at `due` at the latest.
    fn await_ends(&mut self, at: usize, due: Duration) {
        self.waiting.push(at);
        self.shared.await_ends(true);
        self.schedule(at, due);
    }

    /// Queues a shard that is due again at once before other shards that wait for the same kind of
    /// step.
    fn continue_at_once(&mut self, at: usize, after: Step) {
        let work = self.slots[at].as_ref();
        let step = work.map(|work| work.next(self.scope.context, self.cancelled));
        match step {
            // The poll may be answered together with others by a page of the list.
            Some(Step::Poll) if self.page_size.is_some() => self.schedule(at, self.now()),
            Some(step) if step.kind() == after.kind() => {
                self.ready[place(step.kind())].push_front(at);
            }
            _ => self.schedule(at, self.now()),
        }
    }
}

/// Lets other tasks of the runtime run once.
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

/// Records the pause of the account that the result of a step asks for.
fn record_pause(account: &AccountShare, now: Duration, next: &Next) {
    let until = |wait: Duration| now.saturating_add(wait);
    match next {
        Next::Pause(wait) => account.pause(until(*wait)),
        Next::PausePolls { polls, .. } => account.pause_polls(until(*polls)),
        // No create of the account is sent earlier than the provider asks for, even if a batch has
        // ended by then.
        Next::ForQuota(error) => {
            if let Some(asked) = error.retry_after() {
                account.pause_creates(until(asked));
            }
        }
        _ => {}
    }
}

fn place(kind: Kind) -> usize {
    kind as usize
}

/// Returns the kind of a step of a shard. Recording the end of a batch that a page of the list
/// shows needs no exchange.
fn kind_of(step: Step, work: &Work) -> Kind {
    match step == Step::Poll && work.listed.is_some() {
        true => Kind::Local,
        false => step.kind(),
    }
}

/// Advances one shard until `is_there` holds for it.
///
/// # Errors
/// Permanent errors of the steps, and [`ErrorKind::Internal`] where the shard ends before
/// `is_there` holds.
pub(crate) async fn until(
    scope: &Scope<'_>,
    work: &mut Work,
    is_there: impl Fn(&Work) -> bool + Send,
) -> Result<()> {
    let context = scope.context;
    context.clock.sleep(work.look_due(context)).await;
    while !is_there(work) {
        let step = work.next(context, false);
        let permit = context.permit(step.kind()).await;
        let next = work.perform(step, scope).await;
        drop(permit);
        let next = next?;
        record_pause(&context.share, context.clock.elapsed(), &next);
        match next {
            Next::In(wait) | Next::Pause(wait) | Next::PausePolls { own: wait, .. } => {
                context.clock.sleep(wait).await;
            }
            Next::ForQuota(error) | Next::ForBudget(error) | Next::Held(error) => {
                return Err(error);
            }
            Next::Done => {
                return Err(Error::new(ErrorKind::Internal)
                    .with_message("the shard ended before its batch existed"));
            }
        }
    }
    Ok(())
}
