//! Transfer of the results of a batch from the provider into the spool, part by part.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::{Either, select};
use lmbatch_core::{BatchId, Chunk, Error, ErrorKind, Result, ResultPart, Retry, RowStream};

use crate::blocking::blocking;
use crate::context::Context;
use crate::event::Event;
use crate::policy::Decision;
use crate::results::reading::{Reading, Results};

/// Bytes of results that are written to the spool at once. As many are received in the meantime,
/// for each of the batches that are fetched at once.
const AT_ONCE: usize = 128 << 10;

/// Results of a batch, as far as they are transferred.
pub(super) struct Transfer {
    /// Results read so far; `None` only while a worker thread has them.
    results: Option<Box<Results>>,
    batch: BatchId,
    /// Number of requests of the batch; `None` where neither the record nor the provider has it.
    requests: Option<u64>,
}

/// Part that is being transferred from the provider into the spool.
pub(super) struct Open {
    part: ResultPart,
    reading: Reading,
    attempt: u32,
    can_resume: bool,
}

/// Result of one exchange about a part.
pub(super) enum Part {
    /// The part was read to its end, and may lead to another.
    Whole(Option<ResultPart>),
    /// The transfer broke off, and is resumed after a time.
    Again(Box<Open>, Duration),
    Failed(Error),
}

impl Transfer {
    pub(super) fn new(batch: BatchId, requests: Option<u64>, results: Results) -> Self {
        Self {
            results: Some(Box::new(results)),
            batch,
            requests,
        }
    }

    /// Returns the results after the last part.
    pub(super) fn into_results(self) -> Result<Box<Results>> {
        self.results.ok_or_else(lost)
    }

    /// Drops what was read, where no worker thread has failed with it.
    pub(super) async fn undo(&mut self) -> Result<()> {
        match self.results.is_some() {
            true => self.with(|results| results.undo()).await,
            false => Ok(()),
        }
    }

    /// Opens a part in the spool.
    pub(super) async fn open(&mut self, part: ResultPart) -> Result<Open> {
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
    pub(super) async fn part(&mut self, context: &Context, mut open: Open) -> Result<Part> {
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
        context.pause_account(&error);
        if open.can_resume && reading.written() > from {
            open.attempt = 1;
        }
        // A permanent error of a resumed read does not matter: the whole part is read instead.
        let from_the_middle = from > 0 && error.retry() != Retry::Temporary;
        let random = context.rng.next_f64();
        let wait = match context.retries.decide(open.attempt, &error, random) {
            Decision::RetryAfter(wait) => {
                context.tell_retry(context.subject().of_batch(&self.batch), &error, wait);
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

    /// Returns the largest number of bytes that the results may have: a row of the largest size for each request, and one
    /// more for what is no row. Endless results would fill the disk. `None` where the number of requests is unknown.
    fn max_bytes(&self, context: &Context) -> Option<u64> {
        let row = context.max_row_bytes as u64;
        Some(self.requests?.saturating_add(1).saturating_mul(row))
    }

    async fn take(
        &mut self,
        context: &Context,
        mut reading: Reading,
        pieces: Vec<Bytes>,
    ) -> Result<(Result<()>, Reading)> {
        if let Some(most) = self.max_bytes(context) {
            let before = self.results.as_ref().map_or(0, |results| results.bytes());
            let pieces: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
            if before + reading.written() + pieces > most {
                return Ok((Err(too_long(most)), reading));
            }
        }
        let (taken, rows, reading) = self
            .with(move |results| {
                let taken = results.take(&mut reading, &pieces);
                (taken, results.tally().rows, reading)
            })
            .await?;
        context.report(&Event::Fetching {
            subject: context.subject().of_batch(&self.batch),
            rows,
            bytes: reading.written(),
        });
        Ok((taken, reading))
    }

    /// Works on the files of the results, off the async threads.
    pub(super) async fn with<T: Send + 'static>(
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

pub(super) fn lost() -> Error {
    Error::new(ErrorKind::Internal).with_message("a worker thread failed while it read results")
}

fn too_long(most: u64) -> Error {
    Error::malformed(format!(
        "the results are longer than {most} bytes, the most that the requests of the batch can have; the rest is not read"
    ))
    .with_operation("read the results")
}
