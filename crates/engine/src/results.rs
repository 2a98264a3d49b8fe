//! Rows on their way into the spool, and where each request's row lies. Works on files only: it runs off the
//! async threads.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lmbatch_core::{
    BatchProvider, BatchSnapshot, Error, ErrorKind, Result, ResultPart, Retry, Segment, SpoolFile,
    Verdict, mend_surrogates,
};

use crate::delivered::{Delivered, SoFar};
use crate::finished::{Finished, Tally};
use crate::index::{BUFFER, Echo, Place, Reader, Sent, Writer};
use crate::joiner::Joiner;
use crate::places::Places;
use crate::plan::Plan;
use crate::requeue::sent_table;
use crate::row_cutter::RowCutter;
use crate::spool::Files;

/// Counts the values of [`Results`] of this process.
static SALT: AtomicU64 = AtomicU64::new(0);

/// Outcomes that are here so far.
pub(crate) struct Results {
    pub(crate) provider: Arc<dyn BatchProvider>,
    pub(crate) files: Arc<Files>,
    pub(crate) max_row_bytes: usize,
    pub(crate) joiner: Joiner,
    pub(crate) places: Places,
    delivered: Delivered,
    tally: Tally,
    pub(crate) segments: Vec<Segment>,
    /// Which attempt of its requests each segment belongs to.
    attempts: Vec<u32>,
    /// Number by which the next segment's file is called: those before may be in the record.
    name: u32,
    /// Makes the names of this value's files its own: a task that was dropped may still be writing to one.
    salt: u64,
    /// Places that rows of the batch under way have taken from others: segment, request, earlier place.
    taken: Vec<(u32, u32, Place)>,
}

/// State of [`Results`] before a batch, to which it can go back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    segments: usize,
    pub(crate) tally: Tally,
    keyless: u32,
}

/// A part on its way into the spool.
pub(crate) struct Reading {
    what: String,
    part: ResultPart,
    number: u32,
    writer: Writer,
    row: RowCutter,
    before: Tally,
    keyless_before: u32,
    named_before: SoFar,
    /// The part that follows, where results come in pages.
    pub(crate) next: Option<ResultPart>,
}

impl Reading {
    /// Bytes that lie in the spool.
    pub(crate) fn written(&self) -> u64 {
        self.writer.written
    }
}

fn spooled(error: io::Error) -> Error {
    Error::local("using the spool", error)
}

impl Results {
    pub(crate) fn new(
        provider: Arc<dyn BatchProvider>,
        files: Arc<Files>,
        joiner: Joiner,
        max_row_bytes: usize,
    ) -> Self {
        Self {
            places: Places::new(files.spool()),
            provider,
            files,
            max_row_bytes,
            joiner,
            delivered: Delivered::default(),
            tally: Tally::default(),
            segments: Vec::new(),
            attempts: Vec::new(),
            name: 0,
            salt: SALT.fetch_add(1, Ordering::Relaxed),
            taken: Vec::new(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether rows that name no request count.
    pub(crate) fn takes_keyless(&self) -> bool {
        self.joiner.takes_keyless()
    }

    /// The verdict of the last attempt of a request; 0 where no row of that attempt names it. An answer of an
    /// earlier attempt stays one.
    pub(crate) fn verdict(&mut self, ordinal: u32, attempt: u32) -> Result<u8> {
        let place = self.places.get(ordinal).map_err(spooled)?;
        let verdict = place.verdict();
        let is_last = place.is_none()
            || verdict == Verdict::Succeeded as u8
            || self.attempts.get(place.segment as usize) == Some(&attempt);
        Ok(if is_last { verdict } else { 0 })
    }

    /// Begins a batch, to which rows are counted from now on.
    pub(crate) fn begin(&mut self, delivered: Delivered) -> Mark {
        self.delivered = delivered;
        self.taken.clear();
        Mark {
            segments: self.segments.len(),
            tally: self.tally,
            keyless: self.joiner.numbered(),
        }
    }

    /// Requests of the batch under way that rows have named.
    pub(crate) fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// Segments of the batch that began at `mark`.
    pub(crate) fn since(&self, mark: &Mark) -> Vec<Segment> {
        self.segments[mark.segments..].to_vec()
    }

    /// Forgets everything since a batch began, and deletes the files that were read since.
    pub(crate) fn undo(&mut self, mark: &Mark) -> Result<()> {
        self.restore(mark)?;
        for segment in self.segments.drain(mark.segments..) {
            self.files.remove(&segment.name);
        }
        Ok(())
    }

    /// The same for segments that the record speaks of: their files stay.
    pub(crate) fn set_aside(&mut self, mark: &Mark) -> Result<()> {
        self.restore(mark)?;
        self.segments.truncate(mark.segments);
        Ok(())
    }

    fn restore(&mut self, mark: &Mark) -> Result<()> {
        self.forget(mark.segments as u32)?;
        self.tally = mark.tally;
        self.joiner.renumber(mark.keyless);
        self.delivered.restore(Default::default());
        Ok(())
    }

    /// Takes back what the segments from `first` on have noted.
    fn forget(&mut self, first: u32) -> Result<()> {
        for ordinal in 0..self.places.len() {
            let place = self.places.get(ordinal).map_err(spooled)?;
            if !place.is_none() && place.segment >= first {
                self.places.set(ordinal, Place::NONE).map_err(spooled)?;
            }
        }
        while let Some((_, ordinal, place)) = self.taken.pop_if(|(by, ..)| *by >= first) {
            self.places.set(ordinal, place).map_err(spooled)?;
        }
        Ok(())
    }

    /// Reads a sealed segment again: the index is made of it, not kept. Whether the file is what was sealed;
    /// of a damaged one nothing is to be kept.
    pub(crate) fn again(&mut self, segment: Segment, attempt: u32) -> Result<bool> {
        let number = self.next_number(attempt)?;
        self.name = self.name.max(segment_number(&segment.name) + 1);
        let file = match self.files.spool().open(&segment.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.segments.push(segment);
                return Ok(false);
            }
            Err(error) => return Err(spooled(error)),
        };
        let (mut buffer, mut at, mut row) = (vec![0; BUFFER], 0, RowCutter::default());
        let (max, mut checksum) = (self.max_row_bytes, crc32fast::Hasher::new());
        while at < segment.bytes {
            let most = (segment.bytes - at).min(BUFFER as u64) as usize;
            let read = file.read_at(&mut buffer[..most], at).map_err(spooled)?;
            if read == 0 {
                break;
            }
            checksum.update(&buffer[..read]);
            row.cut(&buffer[..read], max, |row, offset| {
                self.note(&segment.part, number, row, offset)
            })?;
            at += read as u64;
        }
        row.end(|row, offset| self.note_last(&segment.part, number, row, offset))?;
        let noted = segment.checksum;
        let whole = at == segment.bytes;
        self.segments.push(segment);
        Ok(whole && noted.is_none_or(|noted| noted == checksum.finalize()))
    }

    fn next_number(&mut self, attempt: u32) -> Result<u32> {
        let number = u32::try_from(self.segments.len()).map_err(|_| {
            Error::new(ErrorKind::Unsupported)
                .with_message("more than 4,294,967,296 parts of results")
        })?;
        self.attempts.truncate(self.segments.len());
        self.attempts.push(attempt);
        Ok(number)
    }

    /// Begins to read a part.
    pub(crate) fn open(&mut self, part: ResultPart, attempt: u32) -> Result<Reading> {
        let number = self.next_number(attempt)?;
        let what = format!("segment-{}-{}", self.salt, self.name);
        self.name += 1;
        Ok(Reading {
            writer: self.files.create(&what)?,
            what,
            part,
            number,
            row: RowCutter::default(),
            before: self.tally,
            keyless_before: self.joiner.numbered(),
            named_before: self.delivered.so_far(),
            next: None,
        })
    }

    /// Takes what came of a part.
    pub(crate) fn take(&mut self, reading: &mut Reading, pieces: &[Bytes]) -> Result<()> {
        let Reading {
            writer,
            row,
            part,
            number,
            ..
        } = reading;
        let max = self.max_row_bytes;
        for piece in pieces {
            writer
                .write_all(piece)
                .map_err(|error| Error::local("writing the results", error))?;
            let note = |row: Option<&[u8]>, offset| self.note(part, *number, row, offset);
            row.cut(piece, max, note)?;
        }
        Ok(())
    }

    /// Seals a part that was read to its end.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedReply`] where none of it is a row of results: it came from something that stands
    /// between, and requests that it does not name would be taken for unanswered and paid for again.
    pub(crate) fn close(&mut self, mut reading: Reading) -> Result<Option<ResultPart>> {
        let Reading {
            row, part, number, ..
        } = &mut reading;
        row.end(|row, offset| self.note_last(part, *number, row, offset))?;
        if self.tally.is_spoilt(&reading.before, self.takes_keyless()) {
            self.drop_reading(reading)?;
            return Err(Error::malformed("none of it is a row of results")
                .with_operation("read the results")
                .with_retry(Retry::Temporary));
        }
        reading
            .writer
            .sync()
            .map_err(|error| Error::local("writing the results", error))?;
        self.segments.push(Segment {
            name: self.files.name(&reading.what).into(),
            bytes: reading.writer.written,
            rows: self.tally.rows - reading.before.rows,
            checksum: Some(reading.writer.checksum()),
            part: reading.part,
        });
        Ok(reading.next)
    }

    /// Lets go of a part that broke off, and of what it has noted.
    pub(crate) fn drop_reading(&mut self, reading: Reading) -> Result<()> {
        self.forget(reading.number)?;
        self.tally = reading.before;
        self.joiner.renumber(reading.keyless_before);
        self.delivered.restore(reading.named_before);
        self.files.remove(&self.files.name(&reading.what));
        Ok(())
    }

    /// Notes where the last row lies, which has no line end. One that is not whole JSON was cut off on its
    /// way: its request has no outcome yet.
    fn note_last(
        &mut self,
        part: &ResultPart,
        segment: u32,
        row: Option<&[u8]>,
        offset: u64,
    ) -> Result<()> {
        let is_cut = row.is_some_and(|row| !row.trim_ascii().is_empty() && !is_json(row));
        if is_cut {
            self.tally.rows += 1;
            self.tally.malformed += 1;
            return Ok(());
        }
        self.note(part, segment, row, offset)
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
        let provider = Arc::clone(&self.provider);
        let mut scratch = Vec::new();
        let (row, _) = mend_surrogates(row, &mut scratch);
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
        let ours = match ordinal {
            Some(ordinal) => {
                let noted = self.delivered.note(ordinal, scanned.verdict);
                noted.map_err(spooled)?
            }
            None => false,
        };
        let Some(ordinal) = ordinal.filter(|_| ours) else {
            self.tally.foreign += u64::from(scanned.id.is_some());
            return Ok(());
        };
        if scanned.verdict == Verdict::Errored {
            match read_row_error(row) {
                Some(true) => self.tally.cut += 1,
                Some(false) => self.tally.broken += 1,
                None => {}
            }
        }
        let known = self.places.get(ordinal).map_err(spooled)?;
        let attempt = |segment: u32| self.attempts[segment as usize];
        let later = !known.is_none() && attempt(segment) > attempt(known.segment);
        if !known.is_none() && !later {
            self.tally.duplicates += 1;
        }
        if known.yields_to(scanned.verdict, later) {
            if !known.is_none() && known.segment != segment {
                self.taken.push((segment, ordinal, known));
            }
            let length = u32::try_from(row.len())
                .map_err(|_| Error::malformed("a row is longer than 4 GiB"))?;
            let place = Place::new(segment, offset, length, scanned.verdict);
            self.places.set(ordinal, place).map_err(spooled)?;
        }
        Ok(())
    }

    /// Every request has its place now.
    pub(crate) fn finish(
        &mut self,
        snapshots: Vec<BatchSnapshot>,
        undelivered: Vec<u64>,
    ) -> Result<Finished> {
        let mut requests = self.joiner.count();
        let (file, mut index) = self.files.scratch()?;
        let mut has_row = Vec::with_capacity(match self.joiner {
            Joiner::Discover { .. } => requests as usize,
            _ => 0,
        });
        if let Joiner::Discover { .. } = self.joiner {
            for ordinal in 0..requests {
                let place = self.places.get(ordinal).map_err(spooled)?;
                has_row.push(!place.is_none());
            }
        }
        let discovered = self
            .joiner
            .discovered(|ordinal| has_row[ordinal as usize])?;
        if let Some(discovered) = discovered {
            let mut echoes = self.files.create("echo")?;
            let mut echo = Echo::default();
            requests = 0;
            for (ordinal, id) in discovered {
                echo.clear();
                lmbatch_core::write_string(&id, &mut echo.id);
                echo.write(&mut echoes).map_err(spooled)?;
                let place = self.places.get(ordinal).map_err(spooled)?;
                index.write_all(&place.to_bytes()).map_err(spooled)?;
                requests += 1;
            }
            echoes.flush().map_err(spooled)?;
        } else {
            for ordinal in 0..requests {
                let place = self.places.get(ordinal).map_err(spooled)?;
                index.write_all(&place.to_bytes()).map_err(spooled)?;
            }
        }
        index.flush().map_err(spooled)?;
        self.finished(snapshots, undelivered, requests, file, "echo")
    }

    /// The same of a run, whose output may hold only some of its requests.
    pub(crate) fn finish_run(
        &mut self,
        plan: &Plan,
        snapshots: Vec<BatchSnapshot>,
        undelivered: Vec<u64>,
        attempt: u32,
    ) -> Result<Finished> {
        let sent = self.files.open(&sent_table(attempt))?;
        let Some(order) = plan.order()? else {
            let finished = self.finish(snapshots, undelivered)?;
            return Ok(Finished {
                sent: Some(sent),
                ..finished
            });
        };
        let mut table = Reader::new(sent);
        let sents = (0..plan.ordinals()).map(|_| Sent::read(&mut table).map_err(spooled));
        let sents: Vec<Sent> = sents.collect::<Result<_>>()?;
        let (file, mut index) = self.files.scratch()?;
        let (sent_file, mut lies) = self.files.scratch()?;
        for ordinal in order {
            let place = self.places.get(ordinal).map_err(spooled)?;
            index.write_all(&place.to_bytes()).map_err(spooled)?;
            sents[ordinal as usize].write(&mut lies).map_err(spooled)?;
        }
        index.flush().map_err(spooled)?;
        lies.flush().map_err(spooled)?;
        Ok(Finished {
            sent: Some(sent_file),
            ..self.finished(snapshots, undelivered, plan.requests, file, &plan.echo())?
        })
    }

    fn finished(
        &mut self,
        snapshots: Vec<BatchSnapshot>,
        undelivered: Vec<u64>,
        requests: u32,
        index: Arc<dyn SpoolFile>,
        echo: &str,
    ) -> Result<Finished> {
        Ok(Finished {
            snapshots,
            undelivered,
            twins: Vec::new(),
            files: Arc::clone(&self.files),
            segments: std::mem::take(&mut self.segments),
            requests,
            index,
            echo: self.files.open(echo)?,
            sent: None,
            tally: self.tally,
            mismatch: None,
        })
    }
}

/// Segments are numbered in the order in which they were fetched.
pub(crate) fn segment_number(name: &str) -> u32 {
    let digits = name.rsplit('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

fn is_json(row: &[u8]) -> bool {
    read_row_error(row).is_none()
}

/// Whether a row that is not JSON was cut off; `None` for one that is JSON.
fn read_row_error(row: &[u8]) -> Option<bool> {
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(row).err();
    match error {
        Some(error) => Some(error.is_eof()),
        None => simdutf8::basic::from_utf8(row).is_err().then_some(false),
    }
}
