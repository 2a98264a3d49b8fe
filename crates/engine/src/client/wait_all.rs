//! Waiting for many batches at once: one loop polls them all, by pages of the provider's list where there are many.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::{self, BoxStream, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use lmbatch_core::{BatchHandle, BatchId, BatchSnapshot, Error, ErrorKind, ListOptions, Result};

use crate::client::call::{Call, observer_methods, waiting_methods};
use crate::client::outcomes::Outcomes;
use crate::client::wait::Known;
use crate::clock::within;
use crate::context::Context;
use crate::pages::items;
use crate::policy::RunOptions;
use crate::run::poll::Poll;

/// Number of batches due at once from which their statuses are read from the provider's list.
const LIST_FROM: usize = 5;

/// Handle of a batch with its outcomes, or with the error of this batch alone.
type Ended = (BatchHandle, Result<Outcomes>);

/// Handle of a batch whose results were read, with its outcomes or the error of reading them.
type Fetched = (Arc<BatchHandle>, Result<Outcomes>);

/// Wait for many existing batches in one loop, which starts when its [stream](Self::stream) is polled.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(invoker: lmbatch::LMInvoker, handles: Vec<lmbatch_core::BatchHandle>) {
/// use futures::StreamExt as _;
///
/// let mut ended = invoker.batch().wait_all(handles).stream();
/// while let Some((handle, outcomes)) = ended.next().await {
///     match outcomes {
///         Ok(outcomes) => println!("{}: {} outcomes", handle.batch, outcomes.len()),
///         Err(error) => println!("{}: {error}", handle.batch),
///     }
/// }
/// # }
/// ```
#[must_use = "nothing is asked until its stream is polled"]
pub struct WaitAll {
    call: Call,
    handles: Vec<BatchHandle>,
}

impl fmt::Debug for WaitAll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitAll")
            .field("batches", &self.handles.len())
            .field("options", &self.call.run)
            .finish_non_exhaustive()
    }
}

impl WaitAll {
    pub(crate) fn new(call: Call, handles: Vec<BatchHandle>) -> Self {
        Self { call, handles }
    }

    observer_methods!();
    waiting_methods!();

    /// Starts the wait. The stream has one item for each handle, in the order in which the batches end: the outcomes of
    /// the batch, or its error, which does not end the wait for the others. `'static` and `Send`; dropping it cancels
    /// nothing at the provider.
    ///
    /// Where the provider lists its batches with their statuses, five or more batches that are due at once are polled by
    /// pages of that list. The results of as many batches are read at once as
    /// [`StepLimits::fetches`](crate::StepLimits::fetches) says.
    pub fn stream(self) -> BoxStream<'static, Ended> {
        let options = self.call.run;
        match self.call.context() {
            Ok(context) => {
                let waiting = Waiting::new(context, options, self.handles);
                stream::unfold(waiting, |mut waiting| async move {
                    let ended = waiting.next().await?;
                    Some((ended, waiting))
                })
                .boxed()
            }
            // No call can be made outside of a runtime, or without polls.
            Err(error) => {
                let failed = self.handles.into_iter();
                stream::iter(failed.map(move |handle| (handle, Err(error.clone())))).boxed()
            }
        }
    }
}

/// Batches that are polled at their times.
struct Round {
    polls: Vec<Poll>,
    ended: Vec<BatchId>,
    failed: Vec<(BatchId, Error)>,
}

struct Waiting {
    context: Context,
    options: RunOptions,
    start: Duration,
    /// Batches without an item on the stream so far. Several handles may name one batch.
    open: HashMap<BatchId, Vec<BatchHandle>>,
    polls: Vec<Poll>,
    round: Option<BoxFuture<'static, Round>>,
    ended: VecDeque<BatchHandle>,
    /// Batches whose results are being read.
    reading: Vec<Arc<BatchHandle>>,
    fetching: FuturesUnordered<BoxFuture<'static, Fetched>>,
    items: VecDeque<Ended>,
}

impl Waiting {
    fn new(context: Context, options: RunOptions, handles: Vec<BatchHandle>) -> Self {
        let mut open: HashMap<BatchId, Vec<BatchHandle>> = HashMap::new();
        let mut polls = Vec::new();
        for handle in handles {
            let of_batch = open.entry(handle.batch.clone()).or_default();
            if of_batch.is_empty() {
                polls.push(Poll::new(&context, handle.batch.clone()));
            }
            of_batch.push(handle);
        }
        Self {
            start: context.started(),
            context,
            options,
            open,
            polls,
            round: None,
            ended: VecDeque::new(),
            reading: Vec::new(),
            fetching: FuturesUnordered::new(),
            items: VecDeque::new(),
        }
    }

    async fn next(&mut self) -> Option<Ended> {
        let deadline = self.options.deadline;
        let deadline = deadline.and_then(|limit| self.start.checked_add(limit));
        loop {
            if let Some(item) = self.items.pop_front() {
                return Some(item);
            }
            if self.open.is_empty() && self.ended.is_empty() && self.fetching.is_empty() {
                return None;
            }
            let clock = Arc::clone(&self.context.clock);
            let is_late = match deadline {
                None => {
                    self.step().await;
                    false
                }
                Some(at) => within(&*clock, at, self.step()).await.is_none(),
            };
            if is_late {
                self.give_up();
            }
        }
    }

    /// Waits for the next round of polls or for the next results.
    async fn step(&mut self) {
        while self.fetching.len() < self.context.limits.fetches.max(1)
            && let Some(handle) = self.ended.pop_front()
        {
            let handle = Arc::new(handle);
            self.reading.push(Arc::clone(&handle));
            self.fetching
                .push(fetch(self.context.clone(), handle).boxed());
        }
        if self.round.is_none() && !self.polls.is_empty() {
            let polls = std::mem::take(&mut self.polls);
            let round = round(self.context.clone(), polls, self.start, self.options);
            self.round = Some(round.boxed());
        }
        match first(&mut self.round, &mut self.fetching).await {
            Either::Left(done) => {
                self.round = None;
                self.polls = done.polls;
                for batch in done.ended {
                    self.ended
                        .extend(self.open.remove(&batch).unwrap_or_default());
                }
                for (batch, error) in done.failed {
                    for handle in self.open.remove(&batch).unwrap_or_default() {
                        self.items.push_back(failed(handle, error.clone()));
                    }
                }
            }
            Either::Right((handle, outcomes)) => {
                self.reading
                    .retain(|reading| !Arc::ptr_eq(reading, &handle));
                let handle = Arc::unwrap_or_clone(handle);
                self.items.push_back(match outcomes {
                    Ok(outcomes) => (handle, Ok(outcomes)),
                    Err(error) => failed(handle, error),
                });
            }
        }
    }

    /// Ends the wait for every batch at the deadline.
    fn give_up(&mut self) {
        let seconds = self.options.deadline.unwrap_or_default().as_secs_f64();
        let open = self.open.drain().flat_map(|(_, handles)| handles);
        let ended = std::mem::take(&mut self.ended);
        // The futures that read results hold these handles too.
        self.fetching = FuturesUnordered::new();
        let reading = std::mem::take(&mut self.reading).into_iter();
        let reading = reading.map(Arc::unwrap_or_clone);
        for handle in open.chain(ended).chain(reading) {
            let message = format!(
                "the batch had not ended, or its outcomes were not read, within {seconds} s"
            );
            let error = Error::new(ErrorKind::Timeout).with_message(message);
            self.items.push_back(failed(handle, error));
        }
        (self.polls, self.round) = (Vec::new(), None);
    }
}

/// Waits for a round of polls or for the results of a batch, whichever comes first.
async fn first(
    round: &mut Option<BoxFuture<'static, Round>>,
    fetching: &mut FuturesUnordered<BoxFuture<'static, Fetched>>,
) -> Either<Round, Fetched> {
    let polled = async {
        match round {
            Some(round) => round.await,
            None => pending().await,
        }
    };
    let fetched = async {
        match fetching.next().await {
            Some(fetched) => fetched,
            None => pending().await,
        }
    };
    match select(pin!(polled), pin!(fetched)).await {
        Either::Left((polled, _)) => Either::Left(polled),
        Either::Right((fetched, _)) => Either::Right(fetched),
    }
}

fn failed(handle: BatchHandle, error: Error) -> Ended {
    let error = error
        .with_batch(handle.batch.clone())
        .with_handles(Arc::new(Known(handle.clone())));
    (handle, Err(error))
}

async fn fetch(context: Context, handle: Arc<BatchHandle>) -> Fetched {
    let read = async {
        let finished = context.retrieve(&handle).await?;
        Outcomes::read(&context, finished, std::convert::identity).await
    };
    let outcomes = read.await;
    (handle, outcomes)
}

/// Waits until a batch is due, and polls all batches that are.
async fn round(context: Context, polls: Vec<Poll>, start: Duration, options: RunOptions) -> Round {
    let first = polls.iter().map(|poll| poll.next).min().unwrap_or_default();
    context
        .sleep_outside_steps(first.saturating_sub(context.clock.elapsed()))
        .await;
    let now = context.clock.elapsed();
    let (due, polls): (Vec<_>, Vec<_>) = polls.into_iter().partition(|poll| poll.next <= now);
    let mut done = Round {
        polls,
        ended: Vec::new(),
        failed: Vec::new(),
    };
    let listed = listed(&context, &due).await;
    let asked = due.into_iter().map(|mut poll| {
        let (context, snapshot) = (&context, listed.get(&poll.batch).cloned());
        async move {
            let status = match snapshot {
                Some(snapshot) => poll.take(context, Ok(snapshot), now),
                None => poll.ask(context).await,
            };
            (poll, status)
        }
    });
    let polls = context.limits.polls.max(1);
    let mut asked = stream::iter(asked).buffer_unordered(polls);
    while let Some((poll, status)) = asked.next().await {
        match (status, poll.impatience(start, &options)) {
            (Ok(Some(_)), _) => done.ended.push(poll.batch),
            (Err(error), _) | (Ok(None), Some(error)) => done.failed.push((poll.batch, error)),
            (Ok(None), None) => done.polls.push(poll),
        }
    }
    done
}

/// Returns the statuses of batches from the provider's list, for many batches that are due at once. Those that are not
/// on its newest pages, and all where the list cannot be read, are polled one by one.
async fn listed(context: &Context, due: &[Poll]) -> HashMap<BatchId, BatchSnapshot> {
    let mut found = HashMap::new();
    let Some(page) = context.status_page().filter(|_| due.len() >= LIST_FROM) else {
        return found;
    };
    let wanted: HashSet<_> = due.iter().map(|poll| &poll.batch).collect();
    // As many pages as the batches fill, and one for those of other programs.
    let size = page as usize;
    let most = size * (due.len().div_ceil(size) + 1);
    // A page that cannot be read is not asked for again: the statuses are.
    let provider = &context.provider;
    let ask = |page_cursor| async move {
        let options = ListOptions {
            limit: Some(page),
            page: page_cursor,
        };
        provider.list(&options).await
    };
    let mut batches = pin!(items(ask).take(most));
    while found.len() < due.len()
        && let Some(Ok(snapshot)) = batches.next().await
    {
        if wanted.contains(&snapshot.id) {
            found.insert(snapshot.id.clone(), snapshot);
        }
    }
    found
}
