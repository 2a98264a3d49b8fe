//! Output: the requests in their order, each row decoded once.

use std::ops::Range;
use std::sync::Arc;

use lmbatch_core::{
    AnswerView, Answered, BatchProvider, BatchStatus, Error, ErrorKind, FailureView, Json,
    OutcomeView, RawRow, RequestError, Result, ResultPart, RowReader, SpoolFile, Structured, Text,
};

use crate::context::Context;
use crate::results::finished::{End, Finished, Index};
use crate::results::merge::{Merge, Merged};
use crate::results::rows::StoredRows;
use crate::results::structured::Checker;
use crate::spool::tables::{ENTRY, Echo, Place, Reader};
use crate::spool::{Files, spooled};

/// Reads outcomes back, one for each request, in the order of the requests.
#[derive(Debug)]
pub struct OutcomeReader {
    provider: Arc<dyn BatchProvider>,
    walk: Walk,
    segments: Vec<(ResultPart, Arc<dyn SpoolFile>)>,
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
    /// Reads outcomes back in the order of the requests.
    pub(crate) fn outcomes(&self, finished: &Finished) -> Result<OutcomeReader> {
        OutcomeReader::new(Arc::clone(&self.provider), finished)
    }
}

impl OutcomeReader {
    pub(crate) fn new(provider: Arc<dyn BatchProvider>, finished: &Finished) -> Result<Self> {
        let files = &finished.files;
        let mut segments = Vec::new();
        for segment in &finished.segments {
            segments.push((segment.part.clone(), files.open_named(&segment.name)?));
        }
        Ok(Self {
            provider,
            walk: Walk::new(&finished.index),
            segments,
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

    /// The next request with its outcome; `None` after the last. Of a run that goes on, requests that
    /// have no outcome yet are left out.
    #[expect(
        clippy::should_implement_trait,
        reason = "what it gives borrows from the reader, which an Iterator cannot say"
    )]
    pub fn next(&mut self) -> Result<Option<Answered<'_>>> {
        let (ordinal, place, shard, at) = loop {
            let Some((ordinal, place, shard, at)) = self.advance()? else {
                return Ok(None);
            };
            let end = self.ends.get(shard).ok_or_else(lost)?;
            if !place.is_none() || end.status.is_terminal() {
                break (ordinal, place, shard, at);
            }
        };
        let end = &self.ends[shard];
        self.current = end.refusal(at);
        let found = match place.is_none() {
            true => None,
            false => {
                let (part, file) = self.segments.get(place.segment as usize).ok_or_else(lost)?;
                Some((part, self.stored.get(file, place).map_err(spooled)?))
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
                        _ => Structured::NotAsked,
                    };
                    AnswerView::Row {
                        outcome: row.outcome,
                        structured,
                    }
                }
                Err(_) => AnswerView::Malformed,
            },
            // Where counts say that more was answered than was delivered, this may be one of those.
            (None, None) if end.undelivered > 0 => AnswerView::Missing,
            (None, refused) => rowless(&end.status, refused.as_ref(), asked),
        };
        let id = json(&self.record.id)?;
        let metadata = if self.record.metadata.is_empty() {
            None
        } else {
            Some(json(&self.record.metadata)?)
        };
        Ok(Some(Answered {
            ordinal,
            id,
            metadata,
            batch: end.snapshot.as_ref().map(|snapshot| &snapshot.id),
            schema_asked: asked,
            raw,
            replaced,
            answer,
        }))
    }
}

impl OutcomeReader {
    /// Goes on after the first `count` requests, as a reader that has read them would.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        let left = u64::from(self.end - self.next);
        for _ in 0..count.min(left) {
            self.walk.skip(self.next, &mut self.record)?;
            self.next += 1;
        }
        Ok(())
    }

    /// Reads only some of the requests: those at `positions` in the order of the output, from 0. Requests that were
    /// read or skipped are not read again. Another call goes on to later positions, so that several readers of the
    /// same outcomes can take turns.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a table of the spool is missing or damaged.
    pub fn within(&mut self, positions: Range<u64>) -> Result<()> {
        let most = u64::from(self.requests);
        self.end = positions.end.min(most) as u32;
        self.end = self.end.max(self.next);
        self.skip(positions.start.saturating_sub(self.next.into()))
    }

    /// One request on: its number, where its row lies, and the shard and place in which it went out last.
    fn advance(&mut self) -> Result<Option<(u32, Place, usize, u32)>> {
        if self.next == self.end {
            return Ok(None);
        }
        let ordinal = self.next;
        self.next += 1;
        let (place, shard, at) = self.walk.next(ordinal, &mut self.record)?;
        Ok(Some((ordinal, place, shard as usize, at)))
    }
}

/// The requests of an output, one after the other.
#[derive(Debug)]
enum Walk {
    Batch {
        places: Reader,
        echo: Reader,
    },
    Run(Box<Merge>),
    Ordered {
        places: Reader,
        echo: Reader,
        _tables: Arc<Files>,
    },
}

impl Walk {
    fn new(index: &Index) -> Self {
        let reader = |file: &Arc<dyn SpoolFile>| Reader::new(Arc::clone(file));
        match index {
            Index::Batch { places, echo } => Self::Batch {
                places: reader(places),
                echo: reader(echo),
            },
            Index::Run(layers) => Self::Run(Box::new(Merge::new(Arc::clone(layers)))),
            Index::Ordered {
                places,
                echo,
                tables,
            } => Self::Ordered {
                places: reader(places),
                echo: reader(echo),
                _tables: Arc::clone(tables),
            },
        }
    }

    /// Goes past the request of a position, which is the next.
    fn skip(&mut self, position: u32, record: &mut Echo) -> Result<()> {
        match self {
            // The echo is found by its offset.
            Self::Run(merge) => merged(merge, position).map(|_| ()),
            _ => self.next(position, record).map(|_| ()),
        }
    }

    /// Goes to the request of a position, which is the next: the place of its row, the shard that it was sent in
    /// last, and its place there.
    fn next(&mut self, position: u32, record: &mut Echo) -> Result<(Place, u32, u32)> {
        match self {
            Self::Batch { places, echo } => {
                let mut entry = [0; ENTRY];
                places.read_exact(&mut entry).map_err(spooled)?;
                record.read(echo).map_err(spooled)?;
                Ok((Place::from_bytes(&entry), 0, position))
            }
            Self::Run(merge) => {
                let merged = merged(merge, position)?;
                merge.echo(record)?;
                Ok((merged.outcome, merged.shard, merged.at))
            }
            Self::Ordered { places, echo, .. } => {
                let (mut entry, mut four) = ([0; ENTRY], [0; 4]);
                places.read_exact(&mut entry).map_err(spooled)?;
                let mut number = || {
                    places.read_exact(&mut four).map_err(spooled)?;
                    Ok::<_, Error>(u32::from_le_bytes(four))
                };
                let (shard, at) = (number()?, number()?);
                record.read(echo).map_err(spooled)?;
                Ok((Place::from_bytes(&entry), shard, at))
            }
        }
    }
}

/// The request of a position of a run whose output has the order of its input.
fn merged(merge: &mut Merge, position: u32) -> Result<Merged> {
    let merged = merge.next()?.filter(|merged| merged.ordinal == position);
    merged.ok_or_else(lost)
}

/// What became of a request that no row names: the batch's end may say it. Some providers write no rows
/// for what an expired or cancelled batch did not come to, and some keep none of its rows at all.
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
        Structured::NotAsked
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
    Error::new(ErrorKind::Internal).with_message("the spool does not hold what was written to it")
}
