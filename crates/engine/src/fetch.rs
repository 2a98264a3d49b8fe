//! Fetch: read every part of the results once, note where each request's row lies.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Chunk, Error, ErrorKind, IdRule, Nonce, RequestError,
    RequestId, Result, ResultPart, Segment,
};

use crate::engine::Engine;
use crate::event::Event;
use crate::index::{Echo, Place, Reader, Writer};
use crate::plan::Plan;
use crate::policy::Decision;
use crate::spool::Files;

/// How long results may be missing from a batch that has ended.
const LATE_RESULTS: Duration = Duration::from_secs(15 * 60);

/// A batch whose results are here.
#[derive(Debug)]
pub struct Finished {
    pub(crate) snapshot: BatchSnapshot,
    pub(crate) files: Arc<Files>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) requests: u32,
    tally: Tally,
}

/// Rows that do not count as anyone's outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    duplicates: u64,
    foreign: u64,
    malformed: u64,
    keyless: u64,
}

impl Finished {
    /// The batch.
    pub fn batch(&self) -> &BatchId {
        &self.snapshot.id
    }
    /// Its last snapshot.
    pub fn snapshot(&self) -> &BatchSnapshot {
        &self.snapshot
    }
    /// Requests, each with one outcome.
    pub fn requests(&self) -> u64 {
        u64::from(self.requests)
    }
    /// Rows read.
    pub fn rows(&self) -> u64 {
        self.tally.rows
    }
    /// Rows that name a request that another row names too.
    pub fn duplicates(&self) -> u64 {
        self.tally.duplicates
    }
    /// Rows that name none of our requests.
    pub fn foreign(&self) -> u64 {
        self.tally.foreign
    }
    /// Rows that could not be read.
    pub fn malformed(&self) -> u64 {
        self.tally.malformed
    }

    /// Rows that name no request at all.
    pub fn keyless(&self) -> u64 {
        self.tally.keyless
    }

    /// Whether rows came, and none of them is ours.
    pub(crate) fn is_a_strangers(&self) -> bool {
        self.tally.rows > 0 && self.tally.foreign + self.tally.keyless == self.tally.rows
    }

    /// What a batch that was refused as a whole means for one of its requests.
    pub(crate) fn refusal(&self, ordinal: u32) -> Option<RequestError> {
        if self.snapshot.status != lmbatch_core::BatchStatus::Failed {
            return None;
        }
        let line = u64::from(ordinal) + 1;
        let named = self
            .snapshot
            .problems
            .iter()
            .find(|problem| problem.line == Some(line));
        let whole = self
            .snapshot
            .problems
            .iter()
            .find(|problem| problem.line.is_none());
        if let Some(problem) = named.or(whole) {
            return Some(problem.error.clone());
        }
        let lines: Vec<String> = self
            .snapshot
            .problems
            .iter()
            .filter_map(|p| p.line)
            .map(|line| line.to_string())
            .collect();
        let message = if lines.is_empty() {
            "the provider refused the batch and did not say why".to_owned()
        } else {
            format!(
                "the provider refused the batch because of request number {}",
                lines.join(", ")
            )
        };
        Some(
            RequestError::new(ErrorKind::InvalidInput)
                .with_message(message)
                .retryable(!lines.is_empty()),
        )
    }
}

/// Leads ids on the wire back to requests.
pub(crate) enum Joiner {
    Ordinal {
        nonce: Nonce,
        count: u32,
    },
    Verbatim {
        ordinals: HashMap<Box<str>, u32>,
    },
    Discover {
        ordinals: HashMap<Box<str>, u32>,
        echo: Box<Writer>,
        /// Ids for rows that name no request, by their position; then come "1", "2", ….
        names: std::vec::IntoIter<RequestId>,
        keyless: u32,
    },
}

impl Joiner {
    pub(crate) fn of_plan(plan: &Plan) -> Result<Self> {
        Ok(match &plan.ids {
            IdRule::Ordinal(nonce) => Self::Ordinal {
                nonce: nonce.clone(),
                count: plan.shard.count,
            },
            IdRule::Verbatim => {
                let mut reader = Reader::new(plan.files.open("echo")?);
                let mut echo = Echo::default();
                let mut ordinals = HashMap::with_capacity(plan.shard.count as usize);
                for ordinal in 0..plan.shard.count {
                    echo.read(&mut reader)
                        .map_err(|e| Error::local("reading the spool", e))?;
                    ordinals.insert(crate::plan::request_id(&echo.id).as_str().into(), ordinal);
                }
                Self::Verbatim { ordinals }
            }
        })
    }

    pub(crate) fn of_handle(handle: &BatchHandle, files: &Files) -> Result<Self> {
        let mut writer = files.create("echo")?;
        let mut echo = Echo::default();
        for request in &handle.requests {
            echo.clear();
            lmbatch_core::write_string(request.as_str(), &mut echo.id);
            echo.write(&mut writer)
                .map_err(|e| Error::local("writing the spool", e))?;
        }
        writer
            .flush()
            .map_err(|e| Error::local("writing the spool", e))?;
        let count = u32::try_from(handle.requests.len()).map_err(|_| {
            Error::invalid_input("the handle names more requests than a batch can hold")
        })?;
        Ok(match &handle.ids {
            IdRule::Ordinal(nonce) => Self::Ordinal {
                nonce: nonce.clone(),
                count,
            },
            IdRule::Verbatim => Self::Verbatim {
                ordinals: handle
                    .requests
                    .iter()
                    .map(|id| id.as_str().into())
                    .zip(0..)
                    .collect(),
            },
        })
    }

    pub(crate) fn of_rows(files: &Files, names: Vec<RequestId>) -> Result<Self> {
        Ok(Self::Discover {
            ordinals: HashMap::new(),
            echo: Box::new(files.create("echo")?),
            names: names.into_iter(),
            keyless: 0,
        })
    }

    /// The request of a row that names none: known by its position only, and only where nothing better is.
    fn keyless(&mut self) -> Result<Option<u32>> {
        let Self::Discover { names, keyless, .. } = self else {
            return Ok(None);
        };
        *keyless += 1;
        let name = names
            .next()
            .unwrap_or_else(|| RequestId::new(keyless.to_string()));
        self.ordinal(name.as_str())
    }

    fn ordinal(&mut self, id: &str) -> Result<Option<u32>> {
        match self {
            Self::Ordinal { nonce, count } => {
                Ok(lmbatch_core::WireId::parse_ordinal(nonce, id).filter(|o| o < count))
            }
            Self::Verbatim { ordinals } => Ok(ordinals.get(id).copied()),
            Self::Discover { ordinals, echo, .. } => {
                if let Some(ordinal) = ordinals.get(id) {
                    return Ok(Some(*ordinal));
                }
                let ordinal = u32::try_from(ordinals.len()).unwrap_or(u32::MAX);
                let mut record = Echo::default();
                lmbatch_core::write_string(id, &mut record.id);
                record
                    .write(&mut **echo)
                    .map_err(|e| Error::local("writing the spool", e))?;
                ordinals.insert(id.into(), ordinal);
                Ok(Some(ordinal))
            }
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::Ordinal { count, .. } => *count,
            Self::Verbatim { ordinals } | Self::Discover { ordinals, .. } => ordinals.len() as u32,
        }
    }
}

/// Reads all results of the batch into the spool.
pub(crate) async fn fetch(
    engine: &Engine,
    files: Arc<Files>,
    joiner: Joiner,
    snapshot: BatchSnapshot,
) -> Result<Finished> {
    let batch = snapshot.id.clone();
    let mut fetching = Fetch {
        engine,
        joiner,
        places: Vec::new(),
        tally: Tally::default(),
    };
    fetching
        .all(&files, snapshot)
        .await
        .map_err(|error| error.with_batch(batch))
}

/// Where the results are. A batch may have ended before all of them show.
async fn parts(engine: &Engine, batch: &BatchId) -> Result<Vec<ResultPart>> {
    let start = engine.clock.elapsed();
    let mut asked = 0;
    loop {
        asked += 1;
        let set = engine.retrying(|| engine.provider.results(batch)).await?;
        if set.complete {
            return Ok(set.parts);
        }
        if engine.clock.elapsed() - start >= LATE_RESULTS {
            let message = "the batch has ended, and the provider does not show all of its results; reading those it shows";
            engine.tell(&Event::Warning { message });
            return Ok(set.parts);
        }
        engine.clock.sleep(engine.polling.wait(asked, None)).await;
    }
}

struct Fetch<'a> {
    engine: &'a Engine,
    joiner: Joiner,
    places: Vec<Place>,
    tally: Tally,
}

impl Fetch<'_> {
    async fn all(&mut self, files: &Arc<Files>, snapshot: BatchSnapshot) -> Result<Finished> {
        let mut segments = Vec::new();
        if snapshot.status.may_have_outcomes() {
            let mut parts = VecDeque::from(parts(self.engine, &snapshot.id).await?);
            while let Some(part) = parts.pop_front() {
                let number = segments.len() as u16;
                let (segment, next) = self.part(files, part, number).await?;
                segments.push(segment);
                parts.extend(next);
            }
        }
        if let Joiner::Discover { echo, .. } = &mut self.joiner {
            echo.flush()
                .map_err(|e| Error::local("writing the spool", e))?;
        }
        let requests = self.joiner.count();
        self.places.resize(requests as usize, Place::NONE);
        let mut index = files.create("index")?;
        for place in &self.places {
            index
                .write_all(&place.to_bytes())
                .map_err(|e| Error::local("writing the spool", e))?;
        }
        index
            .flush()
            .map_err(|e| Error::local("writing the spool", e))?;
        self.warn();
        self.engine.tell(&Event::Fetched {
            rows: self.tally.rows,
        });
        Ok(Finished {
            snapshot,
            files: Arc::clone(files),
            segments,
            requests,
            tally: self.tally,
        })
    }

    fn warn(&self) {
        for (count, what) in [
            (
                self.tally.duplicates,
                "name a request that another row names too",
            ),
            (self.tally.foreign, "name none of our requests"),
            (self.tally.malformed, "could not be read"),
            (
                self.tally.keyless,
                "name no request; without a handle they are numbered in the order in which they came, which may not be the order in which they were sent",
            ),
        ] {
            if count > 0 {
                self.engine.tell(&Event::Warning {
                    message: &format!("{count} rows of the results {what}"),
                });
            }
        }
    }

    /// Reads one part, from the start again if its stream breaks. Never creates anything.
    async fn part(
        &mut self,
        files: &Files,
        part: ResultPart,
        number: u16,
    ) -> Result<(Segment, Option<ResultPart>)> {
        let mut attempt = 1;
        loop {
            let (places, tally) = (self.places.clone(), self.tally);
            let error = match self.part_once(files, &part, number).await {
                Ok(read) => return Ok(read),
                Err(error) => error,
            };
            (self.places, self.tally) = (places, tally);
            match self
                .engine
                .retries
                .decide(attempt, &error, self.engine.rng.next_f64())
            {
                Decision::RetryAfter(wait) => self.engine.pause(&error, wait).await,
                _ => return Err(error),
            }
            attempt += 1;
        }
    }

    async fn part_once(
        &mut self,
        files: &Files,
        part: &ResultPart,
        number: u16,
    ) -> Result<(Segment, Option<ResultPart>)> {
        let what = format!("segment-{number}");
        let mut writer = files.create(&what)?;
        let mut rows = self.engine.provider.read(part, 0).await?;
        let mut next = None;
        let mut row = RowCutter {
            tail: Vec::new(),
            at: 0,
            too_long: false,
        };
        let before = self.tally.rows;
        while let Some(chunk) = rows.next().await {
            let bytes = match chunk? {
                Chunk::Bytes(bytes) => bytes,
                Chunk::Next(part) => {
                    next = Some(part);
                    continue;
                }
            };
            writer
                .write_all(&bytes)
                .map_err(|e| Error::local("writing the results", e))?;
            row.cut(&bytes, self.engine.max_row_bytes, |row, offset| {
                self.note(part, number, row, offset)
            })?;
            self.engine.tell(&Event::Fetching {
                rows: self.tally.rows,
                bytes: writer.written,
            });
        }
        row.end(|row, offset| self.note(part, number, row, offset))?;
        writer
            .sync()
            .map_err(|e| Error::local("writing the results", e))?;
        let segment = Segment {
            part: part.clone(),
            name: files.name(&what).into(),
            bytes: writer.written,
            rows: self.tally.rows - before,
        };
        Ok((segment, next))
    }

    /// Notes where a row lies. `None`: the row was too long to be looked at.
    fn note(
        &mut self,
        part: &ResultPart,
        segment: u16,
        row: Option<&[u8]>,
        offset: u64,
    ) -> Result<()> {
        if row.is_some_and(|row| row.trim_ascii().is_empty()) {
            return Ok(());
        }
        self.tally.rows += 1;
        let Some(row) = row else {
            self.tally.malformed += 1;
            return Ok(());
        };
        let provider = Arc::clone(&self.engine.provider);
        let Ok(scanned) = provider.codec().scan(part, row) else {
            self.tally.malformed += 1;
            return Ok(());
        };
        let ordinal = match scanned.id {
            Some(id) => self.joiner.ordinal(&id.decode())?,
            None => {
                self.tally.keyless += 1;
                self.joiner.keyless()?
            }
        };
        let Some(ordinal) = ordinal else {
            self.tally.foreign += u64::from(scanned.id.is_some());
            return Ok(());
        };
        let at = ordinal as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, Place::NONE);
        }
        if !self.places[at].is_none() {
            self.tally.duplicates += 1;
        }
        if self.places[at].yields_to(scanned.verdict) {
            let length = u32::try_from(row.len())
                .map_err(|_| Error::malformed("a row is longer than 4 GiB"))?;
            self.places[at] = Place {
                offset,
                length,
                segment,
                verdict: scanned.verdict as u8,
            };
        }
        Ok(())
    }
}

/// Cuts a stream of bytes into rows, on LF only: U+2028 and friends are content.
struct RowCutter {
    tail: Vec<u8>,
    at: u64,
    too_long: bool,
}

impl RowCutter {
    fn cut(
        &mut self,
        mut bytes: &[u8],
        max: usize,
        mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let piece = &bytes[..end];
            let length = (self.tail.len() + end) as u64;
            if self.too_long || length > max as u64 {
                note(None, self.at)?;
            } else if self.tail.is_empty() {
                self.row(piece, &mut note)?;
            } else {
                self.tail.extend_from_slice(piece);
                let tail = std::mem::take(&mut self.tail);
                self.row(&tail, &mut note)?;
                self.tail = tail;
            }
            // `at` counts what a row that is too long has let go as well.
            self.at += length + 1;
            self.tail.clear();
            self.too_long = false;
            bytes = &bytes[end + 1..];
        }
        if self.too_long || self.tail.len() + bytes.len() > max {
            self.at += (self.tail.len() + bytes.len()) as u64;
            self.tail.clear();
            self.too_long = true;
        } else {
            self.tail.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>) -> Result<()> {
        if self.too_long {
            return note(None, self.at);
        }
        let tail = std::mem::take(&mut self.tail);
        self.row(&tail, &mut note)
    }

    fn row(
        &self,
        row: &[u8],
        note: &mut impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
        match row.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if self.at == 0 => note(Some(rest), 3),
            _ => note(Some(row), self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (row, offset) of each row, however the bytes are cut.
    fn rows(bytes: &[u8], step: usize, max: usize) -> Vec<(Option<String>, u64)> {
        let mut found = Vec::new();
        let mut cutter = RowCutter {
            tail: Vec::new(),
            at: 0,
            too_long: false,
        };
        let mut note = |row: Option<&[u8]>, at| {
            found.push((row.map(|row| String::from_utf8_lossy(row).into_owned()), at));
            Ok(())
        };
        for piece in bytes.chunks(step) {
            cutter.cut(piece, max, &mut note).unwrap();
        }
        cutter.end(&mut note).unwrap();
        found
    }

    #[test]
    fn rows_are_cut_on_lf_only_wherever_the_pieces_end() {
        let text = "\u{feff}a\u{2028}b\r\n\ncc\nd";
        for step in 1..=text.len() {
            let expected = vec![
                (Some("a\u{2028}b\r".to_owned()), 3),
                (Some(String::new()), 10),
                (Some("cc".to_owned()), 11),
                (Some("d".to_owned()), 14),
            ];
            assert_eq!(
                rows(text.as_bytes(), step, 100),
                expected,
                "pieces of {step}"
            );
        }
    }

    #[test]
    fn a_row_that_is_too_long_spoils_only_itself() {
        for step in 1..=20 {
            let found = rows(b"abc\nabcdefgh\nabcd\n", step, 4);
            let lengths: Vec<Option<usize>> = found
                .iter()
                .map(|(row, _)| row.as_ref().map(String::len))
                .collect();
            assert_eq!(
                lengths,
                [Some(3), None, Some(4), Some(0)],
                "pieces of {step}"
            );
            assert_eq!(found[2].1, 13, "pieces of {step}");
        }
    }
}
