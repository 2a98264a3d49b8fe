//! Fetch: read every part of the results once, note where each request's row lies.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, Chunk, Error, ErrorKind, Result, ResultPart, Retry, Segment,
};

use crate::engine::Engine;
use crate::event::Event;
use crate::finished::{Finished, Tally};
use crate::index::{BUFFER, Place, Reader, Sent, Writer};
use crate::joiner::Joiner;
use crate::places::Places;
use crate::plan::Plan;
use crate::policy::{Decision, OnDoubt};
use crate::requeue::sent_table;
use crate::spool::Files;

/// The spool's word for where each outcome's row lies; another one while the run may go on elsewhere.
pub(crate) const INDEX: &str = "index";
pub(crate) const PARTIAL_INDEX: &str = "partial-index";

/// How long results may be missing from a batch that has ended.
const LATE_RESULTS: Duration = Duration::from_secs(15 * 60);

/// Reads all results of one batch into the spool.
pub(crate) async fn fetch(
    engine: &Engine,
    files: Files,
    joiner: Joiner,
    snapshot: BatchSnapshot,
) -> Result<Finished> {
    let mut harvest = Harvest::new(engine, joiner, &files);
    harvest.gives_up = true;
    harvest.batch(&files, &snapshot, 0).await?;
    harvest.finish(files.into(), vec![snapshot], INDEX)
}

/// Where the results are. A batch may have ended before all of them show; whoever `gives_up` takes those
/// that do after a while.
async fn parts(engine: &Engine, batch: &BatchId, gives_up: bool) -> Result<Vec<ResultPart>> {
    let start = engine.clock.elapsed();
    let mut asked = 0;
    loop {
        asked += 1;
        let set = engine.retrying(|| engine.provider.results(batch)).await?;
        if set.complete {
            return Ok(set.parts);
        }
        if engine.clock.elapsed() - start >= LATE_RESULTS {
            if gives_up {
                let message = "the batch has ended, and the provider does not show all of its results; reading those it shows";
                engine.tell(&Event::Warning { message });
                return Ok(set.parts);
            }
            return Err(Error::new(ErrorKind::Timeout)
                .with_operation("read the results")
                .with_retry(Retry::Temporary)
                .with_message("the batch has ended, and the provider does not show all of its results yet; what it does not show can be given up with `--on-doubt abandon`"));
        }
        engine.clock.sleep(engine.polling.wait(asked, None)).await;
    }
}

/// Rows on their way into the spool, and where each request's lies.
pub(crate) struct Harvest<'a> {
    engine: &'a Engine,
    pub(crate) joiner: Joiner,
    pub(crate) places: Places,
    pub(crate) tally: Tally,
    pub(crate) segments: Vec<Segment>,
    /// Which try of its requests each segment belongs to.
    attempts: Vec<u32>,
    /// Whether results that do not come in time are missing. What a run seals so is never asked for again.
    gives_up: bool,
    /// The number that the next segment's file is called by: those before may be in the record.
    name: u32,
    /// Places that the segment under way has taken from others.
    taken: Vec<(u32, Place)>,
}

impl<'a> Harvest<'a> {
    pub(crate) fn new(engine: &'a Engine, joiner: Joiner, files: &Files) -> Self {
        Self {
            engine,
            joiner,
            places: Places::new(files.spool()),
            tally: Tally::default(),
            segments: Vec::new(),
            attempts: Vec::new(),
            gives_up: engine.on_doubt == OnDoubt::Abandon,
            name: 0,
            taken: Vec::new(),
        }
    }

    /// The verdict of a request so far; 0 where no row names it.
    pub(crate) fn verdict(&mut self, ordinal: u32) -> Result<u8> {
        let place = self.places.get(ordinal).map_err(spooled)?;
        Ok(place.verdict())
    }

    /// Fetches every part of a batch that has ended, and syncs it.
    pub(crate) async fn batch(
        &mut self,
        files: &Files,
        snapshot: &BatchSnapshot,
        attempt: u32,
    ) -> Result<Vec<Segment>> {
        let from = self.segments.len();
        if snapshot.status.may_have_outcomes() {
            let about = |error: Error| error.with_batch(snapshot.id.clone());
            let parts = parts(self.engine, &snapshot.id, self.gives_up)
                .await
                .map_err(about)?;
            let mut parts = VecDeque::from(parts);
            while let Some(part) = parts.pop_front() {
                let about = |error: Error| error.with_batch(snapshot.id.clone());
                let next = self.part(files, part, attempt).await.map_err(about)?;
                parts.extend(next);
            }
        }
        Ok(self.segments[from..].to_vec())
    }

    /// Reads again what was fetched before: the index is made of it, not kept.
    pub(crate) fn again(&mut self, files: &Files, segment: Segment, attempt: u32) -> Result<()> {
        let number = self.next_segment(attempt)?;
        self.name = self.name.max(segment_number(&segment.name) + 1);
        let file = files.open_named(&segment.name)?;
        let unreadable = |error| Error::local("reading the spool", error);
        if file.size().map_err(unreadable)? < segment.bytes {
            return Err(Error::local(
                "reading the spool",
                std::io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        let (mut buffer, mut at, mut row) = (vec![0; BUFFER], 0, RowCutter::default());
        while at < segment.bytes {
            let read = file.read_at(&mut buffer, at).map_err(unreadable)?;
            let read = read.min((segment.bytes - at) as usize);
            if read == 0 {
                break;
            }
            row.cut(&buffer[..read], self.engine.max_row_bytes, |row, offset| {
                self.note(&segment.part, number, row, offset)
            })?;
            at += read as u64;
        }
        row.end(|row, offset| self.note(&segment.part, number, row, offset))?;
        self.segments.push(segment);
        Ok(())
    }

    /// The number of the segment that comes next.
    fn next_segment(&mut self, attempt: u32) -> Result<u32> {
        let number = u32::try_from(self.segments.len()).map_err(|_| {
            Error::new(ErrorKind::Unsupported)
                .with_message("more than 4,294,967,296 parts of results")
        })?;
        self.attempts.truncate(self.segments.len());
        self.attempts.push(attempt);
        self.taken.clear();
        Ok(number)
    }

    /// Every request has its place now.
    pub(crate) fn finish(
        &mut self,
        files: Arc<Files>,
        snapshots: Vec<BatchSnapshot>,
        name: &str,
    ) -> Result<Finished> {
        if let Joiner::Discover { echo, .. } = &mut self.joiner {
            echo.flush().map_err(spooled)?;
        }
        let requests = self.joiner.count();
        let mut index = files.create(name)?;
        for ordinal in 0..requests {
            let place = self.places.get(ordinal).map_err(spooled)?;
            index.write_all(&place.to_bytes()).map_err(spooled)?;
        }
        index.flush().map_err(spooled)?;
        Ok(self.finished(files, snapshots, requests, name))
    }

    /// The same of a run, whose output may hold only some of its requests.
    pub(crate) fn finish_run(
        &mut self,
        plan: Plan,
        snapshots: Vec<BatchSnapshot>,
        attempt: u32,
        name: &str,
    ) -> Result<Finished> {
        let (echo, sent, requests) = (plan.echo(), sent_table(attempt), plan.requests);
        let order = plan.order()?;
        let ordinals = plan.ordinals();
        let files = plan.files;
        let Some(order) = order else {
            let finished = self.finish(files, snapshots, name)?;
            return Ok(Finished {
                sent: Some(sent),
                ..finished
            });
        };
        let mut table = Reader::new(files.open(&sent)?);
        let sents = (0..ordinals).map(|_| Sent::read(&mut table).map_err(spooled));
        let sents: Vec<Sent> = sents.collect::<Result<_>>()?;
        let mut index = files.create(name)?;
        let lie = format!("{name}-sent");
        let mut lies = files.create(&lie)?;
        for ordinal in order {
            let place = self.places.get(ordinal).map_err(spooled)?;
            index.write_all(&place.to_bytes()).map_err(spooled)?;
            sents[ordinal as usize].write(&mut lies).map_err(spooled)?;
        }
        index.flush().map_err(spooled)?;
        lies.flush().map_err(spooled)?;
        Ok(Finished {
            sent: Some(lie),
            echo,
            ..self.finished(files, snapshots, requests, name)
        })
    }

    fn finished(
        &mut self,
        files: Arc<Files>,
        snapshots: Vec<BatchSnapshot>,
        requests: u32,
        name: &str,
    ) -> Finished {
        self.warn();
        self.engine.tell(&Event::Fetched {
            rows: self.tally.rows,
        });
        Finished {
            snapshots,
            files,
            segments: std::mem::take(&mut self.segments),
            requests,
            index: name.to_owned(),
            echo: "echo".to_owned(),
            sent: None,
            tally: self.tally,
        }
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
                "name no request (without a handle they are numbered in the order in which they came, which may not be the order in which they were sent)",
            ),
        ] {
            if count > 0 {
                self.engine.tell(&Event::Warning {
                    message: &format!("rows of the results that {what}: {count}"),
                });
            }
        }
    }

    /// Reads one part. If its stream breaks it is read on from there, or, where the provider cannot do
    /// that, from the start again. Never creates anything.
    async fn part(
        &mut self,
        files: &Files,
        part: ResultPart,
        of_attempt: u32,
    ) -> Result<Option<ResultPart>> {
        let number = self.next_segment(of_attempt)?;
        let tally = self.tally;
        let name = self.name;
        self.name += 1;
        let mut reading = Reading::new(files, name)?;
        let (mut attempt, mut can_go_on) = (1, true);
        loop {
            let from = reading.writer.written;
            let read = self.read_on(&part, number, &mut reading).await;
            let spoilt = self.tally.is_spoilt(&tally, self.joiner.takes_keyless());
            let error = match read {
                Ok(()) if spoilt && (reading.is_a_page || attempt == 1) => {
                    can_go_on = false;
                    not_results()
                }
                Ok(()) => {
                    let segment = reading.segment(files, part, self.tally.rows - tally.rows);
                    self.segments.push(segment);
                    return Ok(reading.next);
                }
                Err(error) => error,
            };
            if can_go_on && reading.writer.written > from {
                attempt = 1;
            }
            // Whatever is wrong with going on from the middle: the whole is read instead.
            let from_the_middle = from > 0 && error.retry() != Retry::Temporary;
            let chance = self.engine.rng.next_f64();
            match self.engine.retries.decide(attempt, &error, chance) {
                Decision::RetryAfter(wait) => self.engine.pause(&error, wait).await,
                _ if from_the_middle => can_go_on = false,
                _ => {
                    self.forget(number)?;
                    self.tally = tally;
                    return Err(error);
                }
            }
            if !can_go_on {
                self.forget(number)?;
                self.tally = tally;
                reading = Reading::new(files, name)?;
            }
            attempt += 1;
        }
    }

    /// Undoes what a segment that broke off has noted.
    fn forget(&mut self, segment: u32) -> Result<()> {
        for ordinal in 0..self.places.len() {
            let place = self.places.get(ordinal).map_err(spooled)?;
            if !place.is_none() && place.segment == segment {
                self.places.set(ordinal, Place::NONE).map_err(spooled)?;
            }
        }
        for (ordinal, place) in self.taken.drain(..).rev() {
            self.places.set(ordinal, place).map_err(spooled)?;
        }
        Ok(())
    }

    async fn read_on(
        &mut self,
        part: &ResultPart,
        number: u32,
        reading: &mut Reading,
    ) -> Result<()> {
        let written = |error| Error::local("writing the results", error);
        let from = reading.writer.written;
        let mut rows = self.engine.provider.read(part, from).await?;
        while let Some(chunk) = rows.next().await {
            let bytes = match chunk? {
                Chunk::Bytes(bytes) => bytes,
                Chunk::Next(part) => {
                    reading.next = Some(part);
                    continue;
                }
            };
            if reading.writer.written == 0 {
                reading.is_a_page = is_a_page(&bytes);
            }
            reading.writer.write_all(&bytes).map_err(written)?;
            let max = self.engine.max_row_bytes;
            let note = |row: Option<&[u8]>, offset| self.note(part, number, row, offset);
            reading.row.cut(&bytes, max, note)?;
            self.engine.tell(&Event::Fetching {
                rows: self.tally.rows,
                bytes: reading.writer.written,
            });
        }
        reading
            .row
            .end(|row, offset| self.note(part, number, row, offset))?;
        reading.writer.sync().map_err(written)
    }

    /// Notes where a row lies. `None`: the row was too long to be looked at.
    fn note(
        &mut self,
        part: &ResultPart,
        segment: u32,
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
        let known = self.places.get(ordinal).map_err(spooled)?;
        let attempt = |segment: u32| self.attempts[segment as usize];
        let later = !known.is_none() && attempt(segment) > attempt(known.segment);
        if !known.is_none() && !later {
            self.tally.duplicates += 1;
        }
        if known.yields_to(scanned.verdict, later) {
            if !known.is_none() && known.segment != segment {
                self.taken.push((ordinal, known));
            }
            let length = u32::try_from(row.len())
                .map_err(|_| Error::malformed("a row is longer than 4 GiB"))?;
            let place = Place::new(segment, offset, length, scanned.verdict);
            self.places.set(ordinal, place).map_err(spooled)?;
        }
        Ok(())
    }
}

fn spooled(error: std::io::Error) -> Error {
    Error::local("using the spool", error)
}

/// Segments are numbered in the order in which they were fetched.
pub(crate) fn segment_number(name: &str) -> u32 {
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

fn is_a_page(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    let object = start.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    start.starts_with(b"<") || object.is_some_and(|start| start.starts_with(b"\"error\""))
}

/// Something else came with a yes: the page of a proxy, an error. Nothing is sealed of it, since requests
/// that it does not name would be taken for unanswered and paid for again.
fn not_results() -> Error {
    Error::malformed("none of it is a row of results").with_retry(Retry::Temporary)
}

/// A part on its way into the spool.
struct Reading {
    what: String,
    writer: Writer,
    row: RowCutter,
    next: Option<ResultPart>,
    /// Whether it begins as a page for people does, or an error.
    is_a_page: bool,
}

impl Reading {
    fn new(files: &Files, name: u32) -> Result<Self> {
        let what = format!("segment-{name}");
        Ok(Self {
            writer: files.create(&what)?,
            what,
            row: RowCutter::default(),
            next: None,
            is_a_page: false,
        })
    }

    fn segment(&self, files: &Files, part: ResultPart, rows: u64) -> Segment {
        Segment {
            part,
            name: files.name(&self.what).into(),
            bytes: self.writer.written,
            rows,
        }
    }
}

/// Cuts a stream of bytes into rows, on LF only: U+2028 and friends are content.
#[derive(Default)]
pub(crate) struct RowCutter {
    tail: Vec<u8>,
    at: u64,
    too_long: bool,
}

impl RowCutter {
    pub(crate) fn cut(
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

    pub(crate) fn end(
        &mut self,
        mut note: impl FnMut(Option<&[u8]>, u64) -> Result<()>,
    ) -> Result<()> {
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
