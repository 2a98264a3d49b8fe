//! Output: the requests in their order, with each row decoded once.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use lmbatch_core::{
    AnswerCost, AnswerView, AnsweredRequest, BatchProvider, BatchStatus, Error, ErrorKind,
    FailureView, Json, OutcomeView, OutputView, RawRow, RequestError, Result, ResultPart,
    RowReader, SpoolFile, Structured, Text,
};

use crate::context::Context;
use crate::cost::Pricer;
use crate::results::finished::{End, Index, RunResults};
use crate::results::merge::{Merge, Merged};
use crate::results::rows::StoredRows;
use crate::results::settle::priced_at;
use crate::results::structured::Checker;
use crate::spool::tables::{ENTRY, Echo, Reader, RowLocation};
use crate::spool::{Files, spooled};

/// Reader of outcomes, one for each request, in the order of the requests.
#[derive(Debug)]
pub struct OutcomeReader {
    provider: Arc<dyn BatchProvider>,
    cursor: Cursor,
    segments: Vec<(ResultPart, Arc<dyn SpoolFile>)>,
    /// Prices of the answers; `None` where costs are not computed.
    pricing: Option<Pricing>,
    ends: Vec<End>,
    checker: Checker,
    /// Position before which the reader ends.
    end: u32,
    requests: u32,
    next: u32,
    stored: StoredRows,
    rows: RowReader,
    record: Echo,
    current: Option<RequestError>,
    _files: Arc<crate::spool::Files>,
}

impl Context {
    /// Returns a reader of the outcomes, in the order of the requests.
    pub(crate) fn outcomes(&self, finished: &RunResults) -> Result<OutcomeReader> {
        let mut reader = OutcomeReader::new(Arc::clone(&self.provider), finished)?;
        let now = self.clock.now();
        let pricer = self.pricer();
        reader.pricing = pricer.map(|pricer| Pricing::new(pricer, &reader, now));
        Ok(reader)
    }
}

impl OutcomeReader {
    pub(crate) fn new(provider: Arc<dyn BatchProvider>, finished: &RunResults) -> Result<Self> {
        let files = &finished.files;
        let mut segments = Vec::new();
        for segment in &finished.segments {
            segments.push((segment.part.clone(), files.open_named(&segment.name)?));
        }
        Ok(Self {
            provider,
            cursor: Cursor::new(&finished.index),
            segments,
            pricing: None,
            ends: finished.ends.clone(),
            checker: Checker::default(),
            end: finished.requests,
            requests: finished.requests,
            next: 0,
            stored: StoredRows::default(),
            rows: RowReader::new(),
            record: Echo::default(),
            current: None,
            _files: Arc::clone(&finished.files),
        })
    }

    /// Returns the next request with its outcome; `None` after the last. Requests without an
    /// outcome yet, in a run that has not ended, are left out.
    #[expect(
        clippy::should_implement_trait,
        reason = "the item borrows from the reader, which an Iterator cannot express"
    )]
    pub fn next(&mut self) -> Result<Option<AnsweredRequest<'_>>> {
        let (ordinal, location, shard, at) = loop {
            let Some((ordinal, location, shard, at)) = self.advance()? else {
                return Ok(None);
            };
            let end = self.ends.get(shard).ok_or_else(lost)?;
            if !location.is_none() || end.status.is_terminal() {
                break (ordinal, location, shard, at);
            }
        };
        let end = &self.ends[shard];
        self.current = end.refusal(at);
        let found = match location.is_none() {
            true => None,
            false => {
                let (part, file) = self
                    .segments
                    .get(location.segment as usize)
                    .ok_or_else(lost)?;
                Some((part, self.stored.get(file, location).map_err(spooled)?))
            }
        };
        let (part, stored) = found.map_or((None, &[][..]), |(part, row)| (Some(part), row));
        let asked = !self.record.schema.is_empty();
        let raw = part.is_some().then(|| RawRow::new(stored));
        let row = self.rows.read(stored);
        let replaced = row.replaced();
        let answer = match (part, &self.current) {
            (Some(part), _) => match self.provider.codec().decode(part, row) {
                Ok(row) => {
                    let structured = match (&row.outcome, std::str::from_utf8(&self.record.schema))
                    {
                        (OutcomeView::Succeeded(output), Ok(schema)) if asked => {
                            self.checker.check(output, schema)
                        }
                        _ if asked => Structured::Absent,
                        _ => Structured::NotRequested,
                    };
                    AnswerView::Row {
                        outcome: row.outcome,
                        structured,
                    }
                }
                Err(_) => AnswerView::Malformed,
            },
            // The counts say that more was answered than was delivered: this request may be among
            // those.
            (None, None) if end.undelivered > 0 => AnswerView::Missing,
            (None, refused) => rowless(&end.status, refused.as_ref(), asked),
        };
        let cost = match (&self.pricing, &answer) {
            (
                Some(pricing),
                AnswerView::Row {
                    outcome: OutcomeView::Succeeded(output),
                    ..
                },
            ) => pricing.answer(output, location.segment),
            _ => None,
        };
        let id = json(&self.record.id)?;
        let metadata = if self.record.metadata.is_empty() {
            None
        } else {
            Some(json(&self.record.metadata)?)
        };
        Ok(Some(AnsweredRequest {
            ordinal,
            id,
            metadata,
            batch: match part {
                Some(part) => Some(&part.batch),
                None => end.snapshot.as_ref().map(|snapshot| &snapshot.id),
            },
            schema_requested: asked,
            raw,
            replaced,
            answer,
            cost,
        }))
    }
}

impl OutcomeReader {
    /// Skips the next `count` requests, as if they had been read.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        let left = u64::from(self.end - self.next);
        for _ in 0..count.min(left) {
            self.cursor.skip(self.next, &mut self.record)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Limits reading to the requests at `positions` in the order of the output, from 0. Requests
    /// that were read or skipped are not read again. A further call may select later positions, so
    /// that several readers of the same outcomes can take turns.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a table of the spool is missing or damaged.
    pub fn limit_to(&mut self, positions: Range<u64>) -> Result<()> {
        let most = u64::from(self.requests);
        self.end = positions.end.min(most) as u32;
        self.end = self.end.max(self.next);
        self.skip(positions.start.saturating_sub(self.next.into()))
    }

    /// Advances by one request and returns its position, the location of its row, and the shard and
    /// the position in which it was sent last.
    fn advance(&mut self) -> Result<Option<(u32, RowLocation, usize, u32)>> {
        if self.next == self.end {
            return Ok(None);
        }
        let ordinal = self.next;
        self.next += 1;
        let (location, shard, at) = self.cursor.next(ordinal, &mut self.record)?;
        Ok(Some((ordinal, location, shard as usize, at)))
    }
}

/// Prices of the answers of an output.
#[derive(Debug)]
struct Pricing {
    pricer: Pricer,
    /// For each segment, the time for which prices are looked up and the requested model.
    segments: Vec<(SystemTime, Option<Box<str>>)>,
}

impl Pricing {
    fn new(pricer: Pricer, reader: &OutcomeReader, now: SystemTime) -> Self {
        let of = |part: &ResultPart| {
            let is_of = |end: &&End| {
                let snapshot = end.snapshot.as_ref();
                snapshot.is_some_and(|snapshot| snapshot.id == part.batch)
            };
            let end = reader.ends.iter().find(is_of);
            let snapshot = end.and_then(|end| end.snapshot.as_ref());
            let at = snapshot.map_or(now, |snapshot| priced_at(snapshot, now));
            (at, end.and_then(|end| end.model.clone()))
        };
        let segments = reader.segments.iter();
        Self {
            segments: segments.map(|(part, _)| of(part)).collect(),
            pricer,
        }
    }

    fn answer(&self, output: &OutputView<'_>, segment: u32) -> Option<AnswerCost> {
        let (at, model) = self.segments.get(segment as usize)?;
        self.pricer.answer(output, model.as_deref(), *at)
    }
}

/// Requests of an output, one after the other.
#[derive(Debug)]
enum Cursor {
    Batch {
        locations: Reader,
        echo: Reader,
    },
    Run(Box<Merge>),
    Ordered {
        locations: Reader,
        echo: Reader,
        _tables: Arc<Files>,
    },
}

impl Cursor {
    fn new(index: &Index) -> Self {
        let reader = |file: &Arc<dyn SpoolFile>| Reader::new(Arc::clone(file));
        match index {
            Index::Batch { locations, echo } => Self::Batch {
                locations: reader(locations),
                echo: reader(echo),
            },
            Index::Run(layers) => Self::Run(Box::new(Merge::new(Arc::clone(layers)))),
            Index::Ordered {
                locations,
                echo,
                tables,
            } => Self::Ordered {
                locations: reader(locations),
                echo: reader(echo),
                _tables: Arc::clone(tables),
            },
        }
    }

    /// Skips the request at a position, which must be the next.
    fn skip(&mut self, position: u32, record: &mut Echo) -> Result<()> {
        match self {
            // The echo is found by its offset, so that it need not be read.
            Self::Run(merge) => merged(merge, position).map(|_| ()),
            _ => self.next(position, record).map(|_| ()),
        }
    }

    /// Reads the request at a position, which must be the next. Returns the location of its row,
    /// the shard in which it was sent last, and its position there.
    fn next(&mut self, position: u32, record: &mut Echo) -> Result<(RowLocation, u32, u32)> {
        match self {
            Self::Batch { locations, echo } => {
                let mut entry = [0; ENTRY];
                locations.read_exact(&mut entry).map_err(spooled)?;
                record.read(echo).map_err(spooled)?;
                Ok((RowLocation::from_bytes(&entry), 0, position))
            }
            Self::Run(merge) => {
                let merged = merged(merge, position)?;
                merge.echo(record)?;
                Ok((merged.outcome, merged.shard, merged.at))
            }
            Self::Ordered {
                locations, echo, ..
            } => {
                let (mut entry, mut four) = ([0; ENTRY], [0; 4]);
                locations.read_exact(&mut entry).map_err(spooled)?;
                let mut number = || {
                    locations.read_exact(&mut four).map_err(spooled)?;
                    Ok::<_, Error>(u32::from_le_bytes(four))
                };
                let (shard, at) = (number()?, number()?);
                record.read(echo).map_err(spooled)?;
                Ok((RowLocation::from_bytes(&entry), shard, at))
            }
        }
    }
}

/// Returns the request at a position of a run whose output has the order of its input.
fn merged(merge: &mut Merge, position: u32) -> Result<Merged> {
    let merged = merge.next()?.filter(|merged| merged.ordinal == position);
    merged.ok_or_else(lost)
}

/// Returns the outcome of a request that no row names, from the end of its batch. Some providers
/// write no rows for requests that an expired or cancelled batch did not process, and some keep no
/// rows of such a batch at all.
fn rowless<'a>(
    ended: &BatchStatus,
    refused: Option<&'a RequestError>,
    asked: bool,
) -> AnswerView<'a> {
    let outcome = match (refused, ended) {
        (Some(error), _) => OutcomeView::Errored(failure(error)),
        (None, BatchStatus::Expired) => OutcomeView::Expired,
        (None, BatchStatus::Cancelled) => OutcomeView::Cancelled,
        _ => return AnswerView::Missing,
    };
    let structured = if asked {
        Structured::Absent
    } else {
        Structured::NotRequested
    };
    AnswerView::Row {
        outcome,
        structured,
    }
}

fn failure(error: &RequestError) -> FailureView<'_> {
    FailureView {
        kind: error.kind(),
        code: error.code().map(Into::into),
        http_status: error.http_status(),
        message: error.message().map(Text::Plain),
        retryable: error.is_retryable(),
    }
}

fn json(bytes: &[u8]) -> Result<Json<'_>> {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Json::new(text).ok())
        .ok_or_else(lost)
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal)
        .with_message("the spool does not hold the data that was written to it")
}
