//! Fetch: the results of an ended batch, read until they are complete. Each step makes one
//! exchange.

use std::collections::VecDeque;
use std::time::Duration;

use lmbatch_core::{
    BatchClass, BatchId, BatchSnapshot, Certainty, Error, ErrorKind, Locations, Result, ResultPart,
    ResultSet, Retry, Segment,
};

use crate::context::Context;
use crate::counted;
use crate::policy::OnDoubt;
use crate::results::delivered::{Promised, promised};
use crate::results::finished::CountMismatch;
use crate::results::reading::Results;
use crate::run::poll::is_unreadable;
use crate::run::transfer::{Open, Part, Transfer, lost};

/// Batch that has ended, with what is known of it.
pub(crate) struct Ended {
    pub(crate) snapshot: BatchSnapshot,
    /// Class of the batch, where known.
    pub(crate) class: Option<BatchClass>,
    /// Number of requests in the batch, where known.
    pub(crate) requests: Option<u64>,
    pub(crate) certainty: Certainty,
    /// Time for which incomplete results are read again.
    pub(crate) patience: Duration,
}

/// Result of one step of a fetch.
pub(crate) enum Fetched {
    /// The next step is due after a time.
    Again(Duration),
    /// Results of the batch, as complete as they will be.
    Whole {
        segments: Vec<Segment>,
        locations: Option<Locations>,
        /// Number of requests that ended according to the provider's counts but that no row names.
        undelivered: u64,
        /// The provider's counts, where they disagree with the rows.
        mismatch: Option<CountMismatch>,
    },
    /// Rows of a batch of another program: the presumed batch is not the one that was created.
    Foreign,
}

/// Fetch of one batch, between its steps. Losing this value costs no more than another reading.
///
/// Results are complete when every part is read and as many requests are named as have ended
/// according to the provider's counts. Until then they are read again, at the intervals of the
/// search for a lost create.
pub(crate) struct Fetch {
    ended: Ended,
    transfer: Transfer,
    promised: Promised,
    /// True if results that the provider does not deliver are given up. Requests that a run seals
    /// in this way are never sent again by themselves.
    gives_up: bool,
    /// Time from which the patience counts.
    start: Duration,
    waits: VecDeque<Duration>,
    /// Number of times the provider was asked for the list of parts.
    asked: u32,
    /// Number of readings that have ended.
    readings: u32,
    /// Number of these that read every part.
    whole_readings: u32,
    /// Number of exchanges that failed in a row.
    failures: u32,
    /// Parts that were read last.
    read_before: Option<Vec<ResultPart>>,
    /// Time at which parts that were read are read again.
    again_at: Duration,
    reading: Option<Parts>,
    /// True if a part of the results was given up.
    given_up: bool,
}

/// Parts of the results that are being read.
struct Parts {
    rest: VecDeque<ResultPart>,
    open: Option<Open>,
    /// True if the provider says that no further parts will follow.
    complete: bool,
}

impl Fetch {
    pub(crate) fn new(context: &Context, ended: Ended, results: Results) -> Self {
        let now = context.clock.elapsed();
        Self {
            promised: promised(&ended.snapshot, ended.requests),
            transfer: Transfer::new(
                ended.snapshot.id.clone(),
                ended.requests.or(ended.snapshot.counts.total),
                results,
            ),
            ended,
            gives_up: context.on_doubt == OnDoubt::Abandon,
            start: now,
            waits: context.doubt.waits().collect(),
            asked: 0,
            readings: 0,
            whole_readings: 0,
            failures: 0,
            read_before: None,
            again_at: now,
            reading: None,
            given_up: false,
        }
    }

    /// Returns the results once they are complete.
    pub(super) fn into_results(self) -> Result<Box<Results>> {
        self.transfer.into_results()
    }

    fn batch(&self) -> &BatchId {
        &self.ended.snapshot.id
    }

    /// Returns the time for which incomplete results are still requested. The transfer of the first
    /// reading may take longer than that, and does not count.
    fn left(&self, context: &Context) -> Duration {
        if self.readings == 0 && self.reading.is_some() {
            return self.ended.patience;
        }
        let waited = context.clock.elapsed().saturating_sub(self.start);
        self.ended.patience.saturating_sub(waited)
    }

    /// Ends a reading of the results. Patience counts from the end of the first reading, and anew from
    /// the end of the first one that read every part: a damaged or missing row then has the whole
    /// time for at least one more reading. Returns the time that is left.
    fn end_reading(&mut self, context: &Context, left: Duration, is_whole: bool) -> Duration {
        self.readings += 1;
        self.whole_readings += u32::from(is_whole);
        if self.readings == 1 || is_whole && self.whole_readings == 1 {
            self.start = context.clock.elapsed();
            return self.ended.patience;
        }
        left
    }

    /// Makes one exchange with the provider.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`], as a temporary error, where the results do not become complete in
    /// time: nothing of the batch is kept, and nothing may be sent again.
    pub(crate) async fn step(&mut self, context: &Context) -> Result<Fetched> {
        if !self.ended.snapshot.status.may_have_outcomes() {
            let counted = self.ended.snapshot.counts.succeeded;
            let mismatch = (counted > 0).then_some(CountMismatch { counted, read: 0 });
            self.report_mismatch(context, mismatch);
            return Ok(Fetched::Whole {
                segments: Vec::new(),
                locations: None,
                undelivered: 0,
                mismatch,
            });
        }
        // The clock is read once: a step that decides by one time and waits by a later one would
        // give up early.
        let left = self.left(context);
        let stepped = match self.reading.is_some() {
            false => self.ask(context, left).await,
            true => self.read(context, left).await,
        };
        match stepped {
            Ok(fetched) => Ok(fetched),
            Err(error) => {
                self.transfer.undo().await?;
                Err(error.with_batch(self.batch().clone()))
            }
        }
    }

    /// Asks the provider for the parts of the results.
    async fn ask(&mut self, context: &Context, left: Duration) -> Result<Fetched> {
        let gives_up = left.is_zero() && self.gives_up;
        let class = self.ended.class.as_ref();
        let set = match context.provider.results(class, self.batch()).await {
            Ok(set) => set,
            // Where the status of the batch holds the results, an unreadable response means
            // unreadable results.
            Err(error) if is_unreadable(&error) && gives_up => {
                let message = format!(
                    "the results of batch {} are given up: {error}",
                    self.batch()
                );
                context.warn(context.subject().of_batch(self.batch()), &message);
                self.given_up = true;
                ResultSet::default()
            }
            Err(error) => {
                self.failures += 1;
                let is_unreadable = is_unreadable(&error);
                return match context.again(self.failures, error) {
                    Ok(wait) if !is_unreadable => Ok(Fetched::Again(wait)),
                    Ok(wait) if !left.is_zero() => Ok(Fetched::Again(wait.min(left))),
                    Ok(_) => Err(incomplete(self.batch(), &self.promised, None, 0)),
                    Err(error) if is_unreadable => {
                        let short = incomplete(self.batch(), &self.promised, None, 0);
                        self.asked += 1;
                        self.wait(context, left, short.with_source(error), false)
                    }
                    Err(error) => Err(error),
                };
            }
        };
        self.failures = 0;
        self.asked += 1;
        let is_new = self.read_before.as_ref() != Some(&set.parts);
        let is_due = is_new || context.clock.elapsed() >= self.again_at;
        if set.complete || gives_up || !set.parts.is_empty() && is_due {
            self.read_before = Some(set.parts.clone());
            self.reading = Some(Parts {
                rest: set.parts.into(),
                open: None,
                complete: set.complete,
            });
            return match self.reading.as_ref().is_some_and(|one| one.rest.is_empty()) {
                true => self.judge(context, left).await,
                false => Ok(Fetched::Again(Duration::ZERO)),
            };
        }
        let short = incomplete(self.batch(), &self.promised, None, 0);
        self.wait(context, left, short, set.complete)
    }

    /// Waits for results that are not complete, or returns the error once time is up.
    fn wait(
        &mut self,
        context: &Context,
        left: Duration,
        short: Error,
        complete: bool,
    ) -> Result<Fetched> {
        if left.is_zero() && !self.gives_up {
            return Err(short);
        }
        // Listing the parts is cheap; reading them again is not.
        let wait = match complete {
            false => context.polling.wait(self.asked, None),
            true => self.again_at.saturating_sub(context.clock.elapsed()),
        };
        let wait = wait.min(left);
        context.tell_retry(context.subject().of_batch(self.batch()), &short, wait);
        Ok(Fetched::Again(wait))
    }

    /// Reads one part, from where it broke off. Judges the results after the last part.
    async fn read(&mut self, context: &Context, left: Duration) -> Result<Fetched> {
        let Some(mut parts) = self.reading.take() else {
            return Err(lost());
        };
        let open = match parts.open.take() {
            Some(open) => Some(open),
            None => match parts.rest.pop_front() {
                Some(part) => Some(self.transfer.open(part).await?),
                None => None,
            },
        };
        let Some(open) = open else {
            self.reading = Some(parts);
            let left = self.end_reading(context, left, true);
            return self.judge(context, left).await;
        };
        let gives_up = left.is_zero() && self.gives_up;
        let complete = parts.complete;
        let is_for_now = |error: &Error| is_for_now(error, context.retries.max_retry_after);
        let fetched = match self.transfer.part(context, open).await? {
            Part::Whole(next) => {
                parts.rest.extend(next);
                Duration::ZERO
            }
            Part::Again(open, wait) => {
                parts.open = Some(*open);
                wait
            }
            Part::Failed(error) if gives_up && is_for_now(&error) => {
                let message = format!("a part of the results is given up: {error}");
                context.warn(context.subject().of_batch(self.batch()), &message);
                self.given_up = true;
                Duration::ZERO
            }
            // Some providers say that results are deleted when they are not there yet.
            Part::Failed(error) if is_for_now(&error) => {
                let left = self.end_reading(context, left, false);
                if left.is_zero() && is_gone(&error) {
                    return Err(error);
                }
                let short = incomplete(self.batch(), &self.promised, None, 0);
                // A source is not printed, and an answer in the place of results has a cause of its own.
                let short = match error.kind() {
                    ErrorKind::MalformedResponse => short.with_message(format!(
                        "the results cannot be read: {error}; no request is sent again, and a later attempt reads the results again"
                    )),
                    _ => short,
                };
                let short = short.with_source(error);
                return self.again(context, left, short, complete).await;
            }
            Part::Failed(error) => return Err(error),
        };
        self.reading = Some(parts);
        Ok(Fetched::Again(fetched))
    }

    /// Decides whether the results that were read are complete.
    async fn judge(&mut self, context: &Context, left: Duration) -> Result<Fetched> {
        let complete = self.reading.take().is_none_or(|parts| parts.complete);
        let gives_up = left.is_zero() && self.gives_up;
        let promised = self.promised;
        let (snapshot, requests) = (self.ended.snapshot.clone(), self.ended.requests);
        let (short, hidden, truncated, tally, mismatch) = self
            .transfer
            .with(move |results| {
                let short = results.delivered().short_of(&promised);
                let hidden = results.hidden(&snapshot, requests);
                let mismatch = results.mismatch(&snapshot);
                let truncated = results.is_truncated();
                (short, hidden, truncated, results.tally(), mismatch)
            })
            .await?;
        // A row that was damaged in transfer is complete when it is read again.
        let is_final = self.whole_readings > 1 || left.is_zero();
        let is_foreign = self.ended.certainty == Certainty::Presumed && tally.is_foreign();
        if is_foreign && is_final {
            self.transfer.undo().await?;
            return Ok(Fetched::Foreign);
        }
        let is_whole = short == 0 && (complete || promised.named > 0) && !truncated;
        let broken = (tally.broken + tally.cut).max(u64::from(truncated));
        let is_legible = broken == 0 && hidden == 0;
        let is_sound = is_legible || tally.cut == 0 && is_final || left.is_zero();
        if !is_foreign && is_whole && is_sound || gives_up {
            let (segments, locations) = self
                .transfer
                .with(|results| {
                    let locations = match results.segments().is_empty() {
                        true => None,
                        false => Some(results.locate()?),
                    };
                    Ok::<_, Error>((results.segments().to_vec(), locations))
                })
                .await??;
            self.report_mismatch(context, mismatch);
            let lacks = u64::from(truncated || self.given_up);
            return Ok(Fetched::Whole {
                segments,
                locations,
                undelivered: short.max(hidden).max(lacks),
                mismatch,
            });
        }
        let short = incomplete(self.batch(), &self.promised, Some(short), broken);
        self.again(context, left, short, complete).await
    }

    /// Warns of counts that disagree with the rows of the batch.
    fn report_mismatch(&self, context: &Context, mismatch: Option<CountMismatch>) {
        let Some(CountMismatch { counted, read }) = mismatch else {
            return;
        };
        let message = format!(
            "batch {}: the provider counts {} as answered or failed, but the rows of the results name {read}",
            self.batch(),
            counted::requests(counted)
        );
        context.warn(context.subject().of_batch(self.batch()), &message);
    }

    /// Drops incomplete results, and waits until they are read again.
    async fn again(
        &mut self,
        context: &Context,
        left: Duration,
        short: Error,
        complete: bool,
    ) -> Result<Fetched> {
        self.transfer.undo().await?;
        let wait = self.waits.pop_front().unwrap_or(left).min(left);
        self.again_at = context.clock.elapsed().saturating_add(wait);
        self.wait(context, left, short, complete)
    }
}

/// Returns whether reading again within the patience may give the results. A retry-after that is longer than the
/// longest one that is honoured fails the fetch.
fn is_for_now(error: &Error, max_retry_after: Duration) -> bool {
    (error.retry() == Retry::Temporary || error.kind() == ErrorKind::MalformedResponse)
        && error
            .retry_after()
            .is_none_or(|asked| asked <= max_retry_after)
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::FileNotFound | ErrorKind::BatchNotFound
    )
}

/// Returns the error of incomplete results. They are paid for, so that no request of the batch is
/// sent again because of it.
fn incomplete(batch: &BatchId, promised: &Promised, short: Option<u64>, broken: u64) -> Error {
    let shown = match short {
        Some(short) if short > 0 => format!(
            "the results lack {short} of the {} of the batch that have ended",
            counted::requests(promised.named)
        ),
        Some(_) if broken == 1 => "1 result row is not valid JSON".to_owned(),
        Some(_) if broken > 1 => format!("{broken} result rows are not valid JSON"),
        _ if promised.named == 0 => {
            "the batch has ended without an answer according to its counts, and the provider has not confirmed that its results are complete".to_owned()
        }
        _ => {
            "the batch has ended, but the provider does not show all of its results yet".to_owned()
        }
    };
    Error::new(ErrorKind::Timeout)
        .with_operation("read the results")
        .with_retry(Retry::Temporary)
        .with_batch(batch.clone())
        .with_message(format!(
            "{shown}; no request is sent again, and a later attempt reads the results again"
        ))
}
