//! The driver: calls steps when they are due. The only place that sleeps.

mod polls;
mod retrying;
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

use crate::event::Event;
use crate::policy::RunOptions;
use crate::run::scope::Scope;
use crate::run::step::{KINDS, Kind, Next, Step};
use crate::run::work::Work;
use crate::share::{DriverHandle, PageRead, Permit};

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
/// The first permanent error, after everything else has finished; [`ErrorKind::Conflict`] at once;
/// [`ErrorKind::Timeout`] where batches have not ended and the caller does not wait for them.
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
    /// True once the observer was told that a create waits for the cost limit.
    has_reported_budget: bool,
    /// First permanent error. Once it is set, nothing more is created, and the results of existing
    /// batches are fetched.
    failure: Option<Error>,
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

    /// Sets when a shard is due, in place of an earlier time, and announces it to the drivers that
    /// poll the same account.
    fn schedule(&mut self, at: usize, due: Duration) {
        self.postpone(at, due);
        self.watch(at, due);
    }

    /// Sets when this driver next looks at a shard.
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
                // The runtime then also looks at its timers and sockets.
                tokio::task::yield_now().await;
                self.turn = self.now();
            }
        }
        match self.failure.take() {
            Some(error) => Err(error),
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

    /// Moves due shards to the queues of those that wait for a free permit.
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

    /// Begins steps for which a permit is free.
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
        // Creates that are under way need a first poll as soon as they are answered.
        let coming = [Kind::Upload, Kind::Create].map(place);
        let coming = coming.map(|kind| self.ready[kind].len() + self.busy[kind]);
        self.shared.wait_for(wanted, limits, coming.iter().sum());
    }

    /// Begins steps of one kind. Returns whether there was a permit for all of them.
    fn begin_all(&mut self, kind: Kind, now: Duration) -> bool {
        let limit = self.scope.context.limits.of(kind);
        let (paused, polls_paused) = (self.shared.paused_until(), self.shared.polls_paused_until());
        let most = match kind {
            // A fault that affects every create shows at the first one.
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
            let permit = match kind {
                Kind::Local => None,
                _ => match self.shared.permit(kind, limit) {
                    Some(free) => Some(free),
                    None => return false,
                },
            };
            self.ready[place(kind)].pop_front();
            self.begin_one(at, kind, permit);
        }
        true
    }

    fn begin_one(&mut self, at: usize, kind: Kind, permit: Option<Permit>) {
        let context = self.scope.context;
        let Some(work) = &self.slots[at] else {
            return;
        };
        let step = work.next(context, self.cancelled);
        if kind_of(step, work) != kind {
            // The run was cancelled in the meantime.
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
                permit,
            }
        };
        self.running.push(ran.boxed());
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
        self.busy[place(kind)] -= 1;
        self.under_way[at] = None;
        self.waiting.retain(|waiting| *waiting != at);
        let is_unsent = matches!(next, Ok(Next::Held(_) | Next::ForBudget(_)) | Err(_));
        self.answered |= step == Step::Post && !is_unsent;
        let has_ended = step == Step::Poll && matches!(work.record.state, ShardState::Ended(_))
            || work.record.state.is_final();
        let is_settled = !matches!(
            work.record.state,
            ShardState::Posting(_) | ShardState::Doubt(_)
        );
        self.slots[at] = Some(work);
        let now = self.now();
        match next {
            Ok(Next::Done) => {}
            Ok(Next::In(wait)) if wait.is_zero() => self.continue_at_once(at, step),
            Ok(Next::In(wait)) => self.schedule(at, now.saturating_add(wait)),
            Ok(Next::Pause(wait)) => {
                self.shared.pause(now.saturating_add(wait));
                self.schedule(at, now.saturating_add(wait));
            }
            Ok(Next::PausePolls { own, polls }) => {
                self.shared.pause_polls(now.saturating_add(polls));
                self.schedule(at, now.saturating_add(own));
            }
            Ok(Next::ForQuota(error)) => {
                // Other batches free quota when they end.
                if self.has_running_batch() {
                    self.waiting.push(at);
                    self.schedule(at, now + LIMIT_WAIT);
                } else {
                    self.record_failure(at, error);
                }
            }
            Ok(Next::ForBudget(error)) => {
                // Other batches may cost less than was reserved for them.
                if self.may_free_budget(at) {
                    self.report_budget(&error);
                    self.waiting.push(at);
                    self.schedule(at, now + LIMIT_WAIT);
                } else {
                    self.record_failure(at, error);
                }
            }
            Ok(Next::Held(error)) => self.record_failure(at, error),
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

    /// Records a permanent failure of a shard. The other batches are still polled and fetched.
    fn record_failure(&mut self, at: usize, error: Error) {
        self.stuck[at] = true;
        if self.failure.is_none() && self.has_running_batch() {
            let message = format!(
                "{error}; no further batches are created, and the results of existing batches are fetched"
            );
            let context = self.scope.context;
            context.report(&Event::Warning { message: &message });
        }
        self.failure.get_or_insert(error);
        // Nothing more is created, so that nothing waits for room.
        let now = self.now();
        for at in std::mem::take(&mut self.waiting) {
            self.schedule(at, now);
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
        match work.perform(step, scope).await? {
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
