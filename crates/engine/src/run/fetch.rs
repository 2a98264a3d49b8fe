//! Fetch: the results of an ended batch, read until they are complete. Each step makes one
//! exchange.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use lmbatch_core::{
    BatchClass, BatchId, BatchSnapshot, Certainty, Chunk, Error, ErrorKind, Locations, Result,
    ResultPart, ResultSet, Retry, RowStream, Segment,
};

use crate::blocking::blocking;
use crate::context::Context;
use crate::counted;
use crate::event::Event;
use crate::policy::{Decision, OnDoubt};
use crate::results::delivered::{Promised, promised};
use crate::results::finished::{CountMismatch, End, RunResults};
use crate::results::id_map::IdMap;
use crate::results::reading::{Reading, Results};
use crate::results::tally::Tally;
use crate::run::poll::is_unreadable;
use crate::spool::Files;

/// Bytes of results that are written to the spool at once. As many are received in the meantime,
/// for each of the batches that are fetched at once.
const AT_ONCE: usize = 128 << 10;

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
    /// Results read so far; `None` only while a worker thread has them.
    results: Option<Box<Results>>,
    promised: Promised,
    /// True if results that the provider does not deliver are given up. Requests that a run seals
    /// in this way are never sent again by themselves.
    gives_up: bool,
    start: Duration,
    waits: VecDeque<Duration>,
    /// Number of times the provider was asked for the list of parts.
    pub(crate) asked: u32,
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

/// Part that is being transferred from the provider into the spool.
struct Open {
    part: ResultPart,
    reading: Reading,
    attempt: u32,
    can_resume: bool,
}

impl Fetch {
    pub(crate) fn new(context: &Context, ended: Ended, results: Results) -> Self {
        let now = context.clock.elapsed();
        Self {
            promised: promised(&ended.snapshot, ended.requests),
            ended,
            results: Some(Box::new(results)),
            gives_up: context.on_doubt == OnDoubt::Abandon,
            start: now,
            waits: context.doubt.waits().collect(),
            asked: 0,
            failures: 0,
            read_before: None,
            again_at: now,
            reading: None,
            given_up: false,
        }
    }

    fn batch(&self) -> &BatchId {
        &self.ended.snapshot.id
    }

    /// Returns the time for which incomplete results are still requested.
    fn left(&self, context: &Context) -> Duration {
        let waited = context.clock.elapsed() - self.start;
        self.ended.patience.saturating_sub(waited)
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
                if self.results.is_some() {
                    self.with(|results| results.undo()).await?;
                }
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
                context.report(&Event::Warning { message: &message });
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
        context.report(&Event::Retrying {
            error: &short,
            wait,
        });
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
                Some(part) => Some(self.open(part).await?),
                None => None,
            },
        };
        let Some(open) = open else {
            self.reading = Some(parts);
            return self.judge(context, left).await;
        };
        let gives_up = left.is_zero() && self.gives_up;
        let complete = parts.complete;
        let fetched = match self.part(context, open).await? {
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
                context.report(&Event::Warning { message: &message });
                self.given_up = true;
                Duration::ZERO
            }
            // Some providers say that results are deleted when they are not there yet.
            Part::Failed(error) if is_for_now(&error) => {
                if left.is_zero() && is_gone(&error) {
                    return Err(error);
                }
                let short = incomplete(self.batch(), &self.promised, None, 0).with_source(error);
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
            .with(move |results| {
                let short = results.delivered().short_of(&promised);
                let hidden = results.hidden(&snapshot, requests);
                let mismatch = results.mismatch(&snapshot);
                let truncated = results.is_truncated();
                (short, hidden, truncated, results.tally(), mismatch)
            })
            .await?;
        // A row that was damaged in transfer is complete when it is read again.
        let is_final = self.asked > 1 || left.is_zero();
        let is_foreign = self.ended.certainty == Certainty::Presumed && tally.is_foreign();
        if is_foreign && is_final {
            self.with(|results| results.undo()).await?;
            return Ok(Fetched::Foreign);
        }
        let is_whole = short == 0 && (complete || promised.named > 0) && !truncated;
        let broken = (tally.broken + tally.cut).max(u64::from(truncated));
        let is_legible = broken == 0 && hidden == 0;
        let is_sound = is_legible || tally.cut == 0 && is_final || left.is_zero();
        if !is_foreign && is_whole && is_sound || gives_up {
            let (segments, locations) = self
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
        context.report(&Event::Warning { message: &message });
    }

    /// Drops incomplete results, and waits until they are read again.
    async fn again(
        &mut self,
        context: &Context,
        left: Duration,
        short: Error,
        complete: bool,
    ) -> Result<Fetched> {
        self.with(|results| results.undo()).await?;
        let wait = self.waits.pop_front().unwrap_or(left).min(left);
        self.again_at = context.clock.elapsed().saturating_add(wait);
        self.wait(context, left, short, complete)
    }

    async fn open(&mut self, part: ResultPart) -> Result<Open> {
        let of = part.clone();
        let reading = self.with(move |results| results.open(of)).await??;
        Ok(Open {
            part,
            reading,
            attempt: 1,
            can_resume: true,
        })
    }

    /// Reads one part. A transfer that breaks off is resumed from there or, where the provider
    /// cannot do that, repeated from the start. Never creates anything.
    async fn part(&mut self, context: &Context, mut open: Open) -> Result<Part> {
        let from = open.reading.written();
        let (read, reading) = self.read_on(context, &open.part, open.reading).await?;
        let error = match read {
            Ok(()) => {
                return Ok(
                    match self.with(move |results| results.close(reading)).await? {
                        Ok(next) => Part::Whole(next),
                        Err(error) => Part::Failed(error),
                    },
                );
            }
            Err(error) => error,
        };
        if open.can_resume && reading.written() > from {
            open.attempt = 1;
        }
        // A permanent error of a resumed read does not matter: the whole part is read instead.
        let from_the_middle = from > 0 && error.retry() != Retry::Temporary;
        let random = context.rng.next_f64();
        let wait = match context.retries.decide(open.attempt, &error, random) {
            Decision::RetryAfter(wait) => {
                context.report(&Event::Retrying {
                    error: &error,
                    wait,
                });
                wait
            }
            _ if from_the_middle => {
                open.can_resume = false;
                Duration::ZERO
            }
            _ => {
                self.with(move |results| results.drop_reading(reading))
                    .await??;
                return Ok(Part::Failed(error));
            }
        };
        open.reading = match open.can_resume {
            true => reading,
            false => {
                self.with(move |results| results.drop_reading(reading))
                    .await??;
                self.open(open.part.clone()).await?.reading
            }
        };
        open.attempt += 1;
        Ok(Part::Again(Box::new(open), wait))
    }

    /// Reads a part from the bytes in the spool to its end. Returns the result, and the part as it
    /// is then. While received bytes are written to the spool, the next ones are received.
    async fn read_on(
        &mut self,
        context: &Context,
        part: &ResultPart,
        reading: Reading,
    ) -> Result<(Result<()>, Reading)> {
        let mut rows = match context.provider.read(part, reading.written()).await {
            Ok(rows) => rows,
            Err(error) => return Ok((Err(error), reading)),
        };
        let (mut reading, mut received) = (reading, receive(&mut rows).await);
        loop {
            let is_ahead = received.bytes < 2 * AT_ONCE;
            let Received {
                pieces, next, end, ..
            } = received;
            if next.is_some() {
                reading.next = next;
            }
            let take = self.take(context, reading, pieces);
            if let Some(end) = end {
                let (taken, reading) = take.await?;
                return Ok((taken.and(end), reading));
            }
            let (took, came) = match is_ahead {
                // The connection already buffers as much again.
                false => (take.await, None),
                true => {
                    let (taking, receiving) = (pin!(take), pin!(receive(&mut rows)));
                    match select(taking, receiving).await {
                        // After a failed write nothing more is received.
                        Either::Left((took, receiving)) => match &took {
                            Ok((Ok(()), _)) => (took, Some(receiving.await)),
                            _ => (took, None),
                        },
                        Either::Right((came, taking)) => (taking.await, Some(came)),
                    }
                }
            };
            reading = match took? {
                (Ok(()), reading) => reading,
                failed => return Ok(failed),
            };
            received = match came {
                Some(came) => came,
                None => receive(&mut rows).await,
            };
        }
    }

    async fn take(
        &mut self,
        context: &Context,
        mut reading: Reading,
        pieces: Vec<Bytes>,
    ) -> Result<(Result<()>, Reading)> {
        let (taken, rows, reading) = self
            .with(move |results| {
                let taken = results.take(&mut reading, &pieces);
                (taken, results.tally().rows, reading)
            })
            .await?;
        context.report(&Event::Fetching {
            rows,
            bytes: reading.written(),
        });
        Ok((taken, reading))
    }

    /// Works on the files of the results, off the async threads.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Results) -> T + Send + 'static,
    ) -> Result<T> {
        let mut results = self.results.take().ok_or_else(lost)?;
        let (results, done) = blocking(move || {
            let done = work(&mut results);
            (results, done)
        })
        .await?;
        self.results = Some(results);
        Ok(done)
    }
}

/// Received bytes of a part, to be written at once.
struct Received {
    pieces: Vec<Bytes>,
    /// Total size of the pieces in bytes.
    bytes: usize,
    /// Part that follows, where the provider has named it.
    next: Option<ResultPart>,
    /// Result of the transfer, once it has ended.
    end: Option<Result<()>>,
}

/// Receives enough bytes of a part for one write to the spool, or the rest of the part.
async fn receive(rows: &mut RowStream) -> Received {
    let mut received = Received {
        pieces: Vec::new(),
        bytes: 0,
        next: None,
        end: None,
    };
    while received.bytes < AT_ONCE {
        match rows.next().await {
            Some(Ok(Chunk::Bytes(piece))) => {
                received.bytes += piece.len();
                received.pieces.push(piece);
            }
            Some(Ok(Chunk::Next(part))) => received.next = Some(part),
            Some(Err(error)) => {
                received.end = Some(Err(error));
                break;
            }
            None => {
                received.end = Some(Ok(()));
                break;
            }
        }
    }
    received
}

/// Result of one exchange about a part.
enum Part {
    /// The part was read to its end, and may lead to another.
    Whole(Option<ResultPart>),
    /// The transfer broke off, and is resumed after a time.
    Again(Box<Open>, Duration),
    Failed(Error),
}

impl Context {
    /// Reads all results of a batch without a run into the spool.
    pub(crate) async fn fetch(
        &self,
        files: Arc<Files>,
        id_map: IdMap,
        snapshot: BatchSnapshot,
        requests: Option<u64>,
        class: Option<BatchClass>,
    ) -> Result<RunResults> {
        let provider = Arc::clone(&self.provider);
        let model = class.as_ref().and_then(|class| class.model.clone());
        let results = Results::new(provider, files, id_map, 0, self.max_row_bytes);
        let ended = Ended {
            snapshot: snapshot.clone(),
            class,
            requests,
            certainty: Certainty::Proved,
            patience: self.doubt.total_wait(),
        };
        let mut fetch = Fetch::new(self, ended, results);
        let (undelivered, mismatch) = self.fetched(&mut fetch).await?;
        let results = fetch.results.take().ok_or_else(lost)?;
        let takes_rows_without_id = results.takes_rows_without_id();
        let batch = snapshot.id.clone();
        let about = move |error: Error| error.with_batch(batch);
        let end = End::of_batch(snapshot, undelivered).with_model(model);
        let finish = blocking(move || results.finish(end, mismatch));
        let finished = finish.await?.map_err(about)?;
        self.report_rows(&finished, takes_rows_without_id);
        Ok(finished)
    }

    /// Reports the rows that were read, and those that are no outcome.
    pub(crate) fn report_rows(&self, finished: &RunResults, takes_rows_without_id: bool) {
        let tally: Tally = finished.tally;
        for (count, what) in [
            (
                tally.duplicates,
                "name the same request as another row (the first answer counts; without an answer, the first final failure, otherwise the first row)",
            ),
            (tally.foreign, "name no request of this batch (ignored)"),
            (tally.malformed, "cannot be read"),
            (
                tally.broken + tally.cut,
                "are not JSON but have a readable id (a request without another row ends as malformed_answer; it was paid for, and is sent again only on request)",
            ),
            (
                tally.without_id,
                match takes_rows_without_id {
                    true => {
                        "name no request (they get ids in the order of the rows, which may differ from the order in which the requests were sent)"
                    }
                    false => "name no request (ignored)",
                },
            ),
        ] {
            if count > 0 {
                self.report(&Event::Warning {
                    message: &format!("result rows that {what}: {count}"),
                });
            }
        }
        let undelivered = finished.undelivered();
        if undelivered > 0 {
            let message = format!(
                "requests that may have been answered but have no row in the results: {undelivered}; they may have been paid for, and are sent again only on request"
            );
            self.report(&Event::Warning { message: &message });
        }
        self.report(&Event::Fetched { rows: tally.rows });
    }
}

/// Returns whether reading again later may give the results.
fn is_for_now(error: &Error) -> bool {
    error.retry() == Retry::Temporary || error.kind() == ErrorKind::MalformedResponse
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

fn lost() -> Error {
    Error::new(ErrorKind::Internal).with_message("a worker thread failed while it read results")
}
