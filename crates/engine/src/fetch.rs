//! Fetch: the results of a batch that has ended, read until they are whole.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use lmbatch_core::{
    BatchSnapshot, Certainty, Chunk, Error, ErrorKind, Result, ResultPart, Retry, Segment,
};

use crate::delivered::{Delivered, Promised, promised};
use crate::engine::{Engine, blocking};
use crate::event::Event;
use crate::finished::{Finished, Tally};
use crate::index::BUFFER;
use crate::joiner::Joiner;
use crate::policy::{Decision, OnDoubt};
use crate::results::{Mark, Reading, Results};
use crate::spool::Files;

/// Reads all results of one batch into the spool.
pub(crate) async fn fetch(
    engine: &Engine,
    files: Arc<Files>,
    joiner: Joiner,
    snapshot: BatchSnapshot,
    requests: Option<u64>,
) -> Result<Finished> {
    let mut harvest = Harvest::new(engine, joiner, files);
    let ended = Ended {
        snapshot: &snapshot,
        requests,
        attempt: 0,
        certainty: Certainty::Proved,
        patience: engine.doubt.patience(),
    };
    let fetched = harvest.batch(&ended, Delivered::default()).await?;
    let undelivered = match fetched {
        Fetched::Whole { undelivered, .. } => undelivered,
        Fetched::Strangers => 0,
    };
    let finish = move |results: &mut Results| results.finish(vec![snapshot], vec![undelivered]);
    let finished = harvest.with(finish).await??;
    harvest.tell_of(&finished);
    Ok(finished)
}

/// A batch that has ended, and what is known of it.
pub(crate) struct Ended<'b> {
    pub(crate) snapshot: &'b BatchSnapshot,
    /// Number of its requests, where known.
    pub(crate) requests: Option<u64>,
    /// Which attempt of its requests it is, from 0.
    pub(crate) attempt: u32,
    pub(crate) certainty: Certainty,
    /// How long results that are not whole are asked for again.
    pub(crate) patience: Duration,
}

/// What was read of a batch.
pub(crate) enum Fetched {
    /// Its results, as whole as they will be.
    Whole {
        segments: Vec<Segment>,
        /// Number of requests that ended by the provider's counts and that no row names.
        undelivered: u64,
    },
    /// Rows of someone else's batch: the one that was presumed is not the one that was created.
    Strangers,
}

/// Rows on their way from the provider into the spool.
pub(crate) struct Harvest<'a> {
    engine: &'a Engine,
    /// Absent only while a worker thread has it.
    results: Option<Box<Results>>,
    /// Whether what the provider does not deliver is given up. What a run seals so is never asked for again.
    gives_up: bool,
}

impl<'a> Harvest<'a> {
    pub(crate) fn new(engine: &'a Engine, joiner: Joiner, files: Arc<Files>) -> Self {
        let provider = Arc::clone(&engine.provider);
        let results = Results::new(provider, files, joiner, engine.max_row_bytes);
        Self {
            engine,
            results: Some(Box::new(results)),
            gives_up: engine.on_doubt == OnDoubt::Abandon,
        }
    }

    /// Works on the files of the results, off the async threads.
    pub(crate) async fn with<T: Send + 'static>(
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

    pub(crate) fn tally(&self) -> Result<Tally> {
        Ok(self.results.as_ref().ok_or_else(lost)?.tally())
    }

    /// Fetches a batch that has ended, and syncs it.
    ///
    /// Results are whole when every part is there and as many requests are named as have ended by the
    /// provider's counts. Until then they are read again, at the intervals at which a lost create is looked
    /// for.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`], to be tried again later, where they do not become whole in time: nothing of the
    /// batch is kept, and nothing may be sent again.
    pub(crate) async fn batch(
        &mut self,
        ended: &Ended<'_>,
        delivered: Delivered,
    ) -> Result<Fetched> {
        let batch = &ended.snapshot.id;
        let about = |error: Error| error.with_batch(batch.clone());
        let mark = self.with(move |results| results.begin(delivered)).await?;
        if !ended.snapshot.status.may_have_outcomes() {
            return Ok(Fetched::Whole {
                segments: Vec::new(),
                undelivered: 0,
            });
        }
        let promised = promised(ended.snapshot, ended.requests);
        let start = self.engine.clock.elapsed();
        let mut waits = self.engine.doubt.waits();
        let mut read_before = None;
        // When parts that were read are read again.
        let mut again_at = start;
        for asked in 1.. {
            let left = ended
                .patience
                .saturating_sub(self.engine.clock.elapsed() - start);
            let gives_up = left.is_zero() && self.gives_up;
            let set = self
                .engine
                .retrying(|| self.engine.provider.results(batch))
                .await
                .map_err(about)?;
            let mut short = incomplete(batch, &promised, None, 0);
            let is_new = read_before.as_ref() != Some(&set.parts);
            let is_due = is_new || self.engine.clock.elapsed() >= again_at;
            if set.complete || gives_up || !set.parts.is_empty() && is_due {
                read_before = Some(set.parts.clone());
                match self.parts(set.parts, ended.attempt, gives_up).await {
                    Ok(()) => {
                        let read = self
                            .with(move |results| Read::since(results, &mark, &promised))
                            .await?;
                        let strangers = ended.certainty == Certainty::Presumed
                            && read.tally.is_a_strangers(&mark.tally);
                        if strangers && (asked > 1 || left.is_zero()) {
                            self.with(move |results| results.undo(&mark)).await??;
                            return Ok(Fetched::Strangers);
                        }
                        let is_whole = read.short == 0 && (set.complete || promised.named > 0);
                        // What broke on its way is whole when it is read again.
                        let is_final = asked > 1 || left.is_zero();
                        let cut = read.tally.cut - mark.tally.cut;
                        let broken = read.tally.broken - mark.tally.broken + cut;
                        let is_sound = broken == 0 || cut == 0 && is_final || left.is_zero();
                        if !strangers && is_whole && is_sound || gives_up {
                            return Ok(Fetched::Whole {
                                segments: read.segments,
                                undelivered: read.short,
                            });
                        }
                        short = incomplete(batch, &promised, Some(read.short), broken);
                    }
                    // Some providers call results gone that are not there yet.
                    Err(error) if is_for_now(&error) && left.is_zero() && is_gone(&error) => {
                        self.with(move |results| results.undo(&mark)).await??;
                        return Err(about(error));
                    }
                    Err(error) if is_for_now(&error) => short = short.with_source(error),
                    Err(error) => {
                        self.with(move |results| results.undo(&mark)).await??;
                        return Err(about(error));
                    }
                }
                self.with(move |results| results.undo(&mark)).await??;
                let now = self.engine.clock.elapsed();
                again_at = now + waits.next().unwrap_or(left).min(left);
            }
            if left.is_zero() && !gives_up {
                return Err(short);
            }
            // Asking where the results are is cheap; reading them again is not.
            let wait = match set.complete {
                false => self.engine.polling.wait(asked, None),
                true => again_at.saturating_sub(self.engine.clock.elapsed()),
            };
            self.engine.pause(&short, wait.min(left)).await;
        }
        Err(lost())
    }

    /// Reads every part, and those that they lead to.
    async fn parts(&mut self, parts: Vec<ResultPart>, attempt: u32, gives_up: bool) -> Result<()> {
        let mut parts = std::collections::VecDeque::from(parts);
        while let Some(part) = parts.pop_front() {
            match self.part(part, attempt).await {
                Ok(next) => parts.extend(next),
                Err(error) if gives_up && is_for_now(&error) => {
                    let message = format!("a part of the results is given up: {error}");
                    self.engine.tell(&Event::Warning { message: &message });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads one part. A stream that breaks is read on from there or, where the provider cannot do that, from
    /// the start again. Never creates anything.
    async fn part(&mut self, part: ResultPart, of_attempt: u32) -> Result<Option<ResultPart>> {
        let (mut attempt, mut can_go_on) = (1, true);
        let mut reading = self.open(part.clone(), of_attempt).await?;
        loop {
            let from = reading.written();
            let (read, came) = self.read_on(&part, reading).await?;
            reading = came;
            let error = match read {
                Ok(()) => return self.with(move |results| results.close(reading)).await?,
                Err(error) => error,
            };
            if can_go_on && reading.written() > from {
                attempt = 1;
            }
            // Whatever is wrong with reading from the middle: the whole is read instead.
            let from_the_middle = from > 0 && error.retry() != Retry::Temporary;
            let chance = self.engine.rng.next_f64();
            match self.engine.retries.decide(attempt, &error, chance) {
                Decision::RetryAfter(wait) => self.engine.pause(&error, wait).await,
                _ if from_the_middle => can_go_on = false,
                _ => {
                    self.with(move |results| results.drop_reading(reading))
                        .await??;
                    return Err(error);
                }
            }
            if !can_go_on {
                self.with(move |results| results.drop_reading(reading))
                    .await??;
                reading = self.open(part.clone(), of_attempt).await?;
            }
            attempt += 1;
        }
    }

    async fn open(&mut self, part: ResultPart, attempt: u32) -> Result<Reading> {
        self.with(move |results| results.open(part, attempt))
            .await?
    }

    /// Reads a part from where it lies in the spool to its end; how that went, and the part as it is now.
    async fn read_on(
        &mut self,
        part: &ResultPart,
        mut reading: Reading,
    ) -> Result<(Result<()>, Reading)> {
        let mut rows = match self.engine.provider.read(part, reading.written()).await {
            Ok(rows) => rows,
            Err(error) => return Ok((Err(error), reading)),
        };
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        loop {
            let chunk = rows.next().await;
            let broke = match chunk {
                Some(Ok(Chunk::Bytes(piece))) => {
                    bytes += piece.len();
                    pieces.push(piece);
                    if bytes < BUFFER {
                        continue;
                    }
                    None
                }
                Some(Ok(Chunk::Next(part))) => {
                    reading.next = Some(part);
                    continue;
                }
                Some(Err(error)) => Some(Err(error)),
                None => Some(Ok(())),
            };
            bytes = 0;
            let (taken, came) = self.take(reading, std::mem::take(&mut pieces)).await?;
            reading = came;
            match (taken, broke) {
                (Err(error), _) => return Ok((Err(error), reading)),
                (Ok(()), Some(end)) => return Ok((end, reading)),
                (Ok(()), None) => {}
            }
        }
    }

    async fn take(
        &mut self,
        mut reading: Reading,
        pieces: Vec<Bytes>,
    ) -> Result<(Result<()>, Reading)> {
        let (taken, reading) = self
            .with(move |results| {
                let taken = results.take(&mut reading, &pieces);
                (taken, reading)
            })
            .await?;
        self.engine.tell(&Event::Fetching {
            rows: self.tally()?.rows,
            bytes: reading.written(),
        });
        Ok((taken, reading))
    }

    /// Tells what was read, and what of it counts as nobody's outcome.
    pub(crate) fn tell_of(&self, finished: &Finished) {
        let tally = finished.tally;
        for (count, what) in [
            (
                tally.duplicates,
                "name a request that another row names too (the first one counts)",
            ),
            (tally.foreign, "name no request of this batch (ignored)"),
            (tally.malformed, "could not be read"),
            (
                tally.broken + tally.cut,
                "are not JSON, and whose id is legible (their requests end as malformed_answer and are not sent again)",
            ),
            (
                tally.keyless,
                "name no request (without a handle they are numbered in the order in which they came, which may not be the order in which they were sent)",
            ),
        ] {
            if count > 0 {
                self.engine.tell(&Event::Warning {
                    message: &format!("result rows that {what}: {count}"),
                });
            }
        }
        let undelivered: u64 = finished.undelivered.iter().sum();
        if undelivered > 0 {
            let message = format!(
                "requests that ended by the provider's counts, and that no row names: {undelivered}; they may have been paid for, and are not sent again"
            );
            self.engine.tell(&Event::Warning { message: &message });
        }
        self.engine.tell(&Event::Fetched { rows: tally.rows });
    }
}

/// What one reading of a batch gave.
struct Read {
    /// Number of requests that have ended by the provider's counts and that no row accounts for.
    short: u64,
    tally: Tally,
    segments: Vec<Segment>,
}

impl Read {
    fn since(results: &mut Results, mark: &Mark, promised: &Promised) -> Self {
        Self {
            short: results.delivered().short_of(promised),
            tally: results.tally(),
            segments: results.since(mark),
        }
    }
}

/// Whether reading again later may give the results.
fn is_for_now(error: &Error) -> bool {
    error.retry() == Retry::Temporary || error.kind() == ErrorKind::MalformedReply
}

fn is_gone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::FileNotFound | ErrorKind::BatchNotFound
    )
}

/// Results that are not whole. They are paid for: nothing of the batch is sent again on its account.
fn incomplete(
    batch: &lmbatch_core::BatchId,
    promised: &Promised,
    short: Option<u64>,
    broken: u64,
) -> Error {
    let shown = match short {
        Some(short) if short > 0 => format!(
            "the results lack {short} of the requests of the batch that have ended ({} in all)",
            promised.named
        ),
        Some(_) if broken > 0 => format!("rows of the results that are not JSON: {broken}"),
        _ => {
            "the batch has ended, and the provider does not show all of its results yet".to_owned()
        }
    };
    Error::new(ErrorKind::Timeout)
        .with_operation("read the results")
        .with_retry(Retry::Temporary)
        .with_batch(batch.clone())
        .with_message(format!(
            "{shown}; nothing is sent again, and a later attempt reads them again"
        ))
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal).with_message("a worker thread failed while it read results")
}
