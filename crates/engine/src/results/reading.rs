//! Writes rows into the spool and records the location of each request's row. Works on files only,
//! and therefore runs off the async threads.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lmbatch_core::{
    BatchProvider, BatchSnapshot, Error, ErrorKind, Locations, Result, ResultPart, Retry,
    RowReader, Segment, Verdict,
};

use crate::results::delivered::{Delivered, SoFar};
use crate::results::finished::{CountMismatch, End, Index, RunResults};
use crate::results::id_map::IdMap;
use crate::results::locations::write_locations;
use crate::results::row_cutter::RowCutter;
use crate::results::scan::{is_truncated, scan};
use crate::results::tally::Tally;
use crate::spool::layout;
use crate::spool::location_table::LocationTable;
use crate::spool::tables::{BUFFER, Echo, RowLocation, Writer};
use crate::spool::{Files, spooled};

/// Number of values of [`Results`] that this process has made.
static SALT: AtomicU64 = AtomicU64::new(0);

/// Results of one batch that are read so far.
pub(crate) struct Results {
    provider: Arc<dyn BatchProvider>,
    files: Arc<Files>,
    max_row: usize,
    id_map: IdMap,
    /// Locations of the rows, by the position of each request in the batch.
    locations: LocationTable,
    delivered: Delivered,
    tally: Tally,
    segments: Vec<Segment>,
    /// Beginning of the names of this value's files.
    stem: String,
    /// Number in the name of the next segment's file. The record may name segments with lower
    /// numbers.
    name: u32,
    /// Locations that a later row has replaced: segment of that row, position in the batch, earlier
    /// location.
    taken: Vec<(u32, u32, RowLocation)>,
    rows: RowReader,
    /// True if answers are read for their verdicts, since an unreadable one must not replace an
    /// earlier answer.
    reads_answers: bool,
    /// True if a part ended within a row, so that rows after it may be missing.
    truncated: bool,
}

/// Part of the results that is being written into the spool.
pub(crate) struct Reading {
    what: String,
    part: ResultPart,
    number: u32,
    writer: Writer,
    row: RowCutter,
    before: Tally,
    keyless_before: u32,
    named_before: SoFar,
    truncated_before: bool,
    /// Part that follows, where results come in pages.
    pub(crate) next: Option<ResultPart>,
}

impl Reading {
    /// Returns the number of bytes written to the spool.
    pub(crate) fn written(&self) -> u64 {
        self.writer.written
    }
}

impl Results {
    /// Returns the empty results of the batch of a shard, or of a batch without a run.
    pub(crate) fn new(
        provider: Arc<dyn BatchProvider>,
        files: Arc<Files>,
        id_map: IdMap,
        shard: u32,
        max_row: usize,
    ) -> Self {
        // A dropped task or another process may still write to the files of another value.
        let salt = SALT.fetch_add(1, Ordering::Relaxed);
        Self {
            locations: LocationTable::new(files.spool()),
            provider,
            files,
            max_row,
            id_map,
            delivered: Delivered::default(),
            tally: Tally::default(),
            segments: Vec::new(),
            stem: layout::results(shard, std::process::id(), salt),
            name: 0,
            taken: Vec::new(),
            rows: RowReader::new(),
            reads_answers: false,
            truncated: false,
        }
    }

    /// Returns the results of a shard that may be a repair. The answers of a repair are read, and an
    /// unreadable one is a failure.
    pub(crate) fn of_repair(self, repair: bool) -> Self {
        Self {
            reads_answers: repair,
            ..self
        }
    }

    /// Numbers new segments after those that the record names.
    pub(crate) fn after(mut self, segments: &[Segment]) -> Self {
        let numbers = segments
            .iter()
            .map(|one| layout::segment_number(&one.name) + 1);
        self.name = numbers.max().unwrap_or(0);
        self
    }

    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// Returns whether rows that name no request count.
    pub(crate) fn takes_rows_without_id(&self) -> bool {
        self.id_map.takes_rows_without_id()
    }

    /// Returns the requests of the batch that rows have named.
    pub(crate) fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns whether a part ended within a row.
    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Returns the number of requests that no row names but that may have been answered
    /// nevertheless: a row without a readable id may belong to one of them, a truncated row may have
    /// been followed by theirs, and counts that are lower than the number of rows prove nothing.
    /// `requests` is the number of requests in the batch, where known.
    pub(crate) fn hidden(&self, snapshot: &BatchSnapshot, requests: Option<u64>) -> u64 {
        let requests = requests.or(snapshot.counts.total).unwrap_or(u64::MAX);
        let unnamed = requests.saturating_sub(self.delivered.count());
        let without_id = match self.takes_rows_without_id() {
            true => 0,
            false => self.tally.without_id,
        };
        let is_beyond = |found: CountMismatch| !found.is_short();
        let beyond = self.mismatch(snapshot).is_some_and(is_beyond);
        let cut = self.tally.cut.max(u64::from(self.truncated));
        let rows = self.tally.malformed + self.tally.foreign + cut + without_id + u64::from(beyond);
        rows.min(unnamed)
    }

    /// Resets everything and deletes the files that were written.
    pub(crate) fn undo(&mut self) {
        for segment in self.segments.drain(..) {
            self.files.remove(&segment.name);
        }
        self.locations = LocationTable::new(self.files.spool());
        self.taken.clear();
        self.tally = Tally::default();
        self.truncated = false;
        self.id_map.renumber(0);
        self.delivered.restore(Default::default());
    }

    /// Undoes what was recorded from the segments from `first` on.
    fn forget(&mut self, first: u32) -> Result<()> {
        for at in 0..self.locations.len() {
            let location = self.locations.get(at).map_err(spooled)?;
            if !location.is_none() && location.segment >= first {
                self.locations.set(at, RowLocation::NONE).map_err(spooled)?;
            }
        }
        while let Some((_, at, location)) = self.taken.pop_if(|(by, ..)| *by >= first) {
            self.locations.set(at, location).map_err(spooled)?;
        }
        Ok(())
    }

    /// Reads a sealed segment again and records the locations of its rows. Returns whether the file
    /// is what was sealed; the locations of a damaged file must not be kept.
    pub(crate) fn again(&mut self, segment: Segment) -> Result<bool> {
        let number = self.next_number()?;
        let file = match self.files.spool().open(&segment.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.segments.push(segment);
                return Ok(false);
            }
            Err(error) => return Err(spooled(error)),
        };
        let (mut buffer, mut at, mut row) = (vec![0; BUFFER], 0, RowCutter::default());
        let (max, mut checksum) = (self.max_row, crc32fast::Hasher::new());
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

    fn next_number(&self) -> Result<u32> {
        u32::try_from(self.segments.len()).map_err(|_| {
            Error::new(ErrorKind::Unsupported)
                .with_message("more than 4,294,967,296 parts of results")
        })
    }

    /// Begins to read a part.
    pub(crate) fn open(&mut self, part: ResultPart) -> Result<Reading> {
        let number = self.next_number()?;
        let what = layout::segment(&self.stem, self.name);
        self.name += 1;
        Ok(Reading {
            writer: self.files.create(&what)?,
            what,
            part,
            number,
            row: RowCutter::default(),
            before: self.tally,
            keyless_before: self.id_map.numbered(),
            named_before: self.delivered.so_far(),
            truncated_before: self.truncated,
            next: None,
        })
    }

    /// Adds received bytes of a part.
    pub(crate) fn take(&mut self, reading: &mut Reading, pieces: &[Bytes]) -> Result<()> {
        let Reading {
            writer,
            row,
            part,
            number,
            ..
        } = reading;
        let max = self.max_row;
        for piece in pieces {
            writer.write_all(piece).map_err(spooled)?;
            let note = |row: Option<&[u8]>, offset| self.note(part, *number, row, offset);
            row.cut(piece, max, note)?;
        }
        Ok(())
    }

    /// Seals a part that was read to its end.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedResponse`] where no line of it is a row of results. Then it came from an
    /// intermediary such as a proxy, and requests that it does not name would be taken for
    /// unanswered and paid for again.
    pub(crate) fn close(&mut self, mut reading: Reading) -> Result<Option<ResultPart>> {
        let Reading {
            row, part, number, ..
        } = &mut reading;
        row.end(|row, offset| self.note_last(part, *number, row, offset))?;
        if self
            .tally
            .is_without_ids(&reading.before, self.takes_rows_without_id())
        {
            self.drop_reading(reading)?;
            return Err(Error::malformed("no line of the reply is a row of results")
                .with_operation("read the results")
                .with_retry(Retry::Temporary));
        }
        reading.writer.sync().map_err(spooled)?;
        self.segments.push(Segment {
            name: self.files.name(&reading.what).into(),
            bytes: reading.writer.written,
            rows: self.tally.rows - reading.before.rows,
            checksum: Some(reading.writer.checksum()),
            part: reading.part,
        });
        Ok(reading.next)
    }

    /// Drops a part whose transfer broke off, together with everything that was recorded from it.
    pub(crate) fn drop_reading(&mut self, reading: Reading) -> Result<()> {
        self.forget(reading.number)?;
        self.tally = reading.before;
        self.id_map.renumber(reading.keyless_before);
        self.delivered.restore(reading.named_before);
        self.truncated = reading.truncated_before;
        self.files.remove(&self.files.name(&reading.what));
        Ok(())
    }

    /// Records the last row, which has no line end. A row that is not complete was truncated in
    /// transfer, and rows after it may be missing.
    fn note_last(
        &mut self,
        part: &ResultPart,
        segment: u32,
        row: Option<&[u8]>,
        offset: u64,
    ) -> Result<()> {
        self.truncated |= row.is_some_and(is_truncated);
        self.note(part, segment, row, offset)
    }

    /// Records the location of a row. `None` stands for a row that was too long to be read.
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
        let Some((row, scanned)) = scan(self.provider.codec(), part, row, &mut self.rows) else {
            self.tally.malformed += 1;
            return Ok(());
        };
        let mut verdict = scanned.verdict;
        if self.reads_answers && verdict == Verdict::Succeeded {
            let read = self.provider.codec().decode(part, row);
            verdict = read.map_or(Verdict::Errored, |read| read.outcome.verdict());
        }
        let row = row.as_bytes();
        let at = match scanned.id {
            Some(id) => self.id_map.ordinal(&id.decode())?,
            None => {
                self.tally.without_id += 1;
                self.id_map.without_id()?
            }
        };
        let Some(at) = at else {
            self.tally.foreign += u64::from(scanned.id.is_some());
            return Ok(());
        };
        self.delivered.note(at, verdict);
        if verdict == Verdict::Errored {
            match read_row_error(row) {
                Some(true) => self.tally.cut += 1,
                Some(false) => self.tally.broken += 1,
                None => {}
            }
        }
        let known = self.locations.get(at).map_err(spooled)?;
        self.tally.duplicates += u64::from(!known.is_none());
        if known.yields_to(verdict, false) {
            if !known.is_none() && known.segment != segment {
                self.taken.push((segment, at, known));
            }
            let length = u32::try_from(row.len())
                .map_err(|_| Error::malformed("a row is longer than 4 GiB"))?;
            let location = RowLocation::new(segment, offset, length, verdict);
            self.locations.set(at, location).map_err(spooled)?;
        }
        Ok(())
    }

    /// Writes the location table that the record will name.
    pub(crate) fn locate(&mut self) -> Result<Locations> {
        let what = layout::locations(&self.stem);
        write_locations(&self.files, &what, &mut self.locations, self.tally)
    }

    /// Returns the disagreement between the provider's counts and the rows.
    pub(crate) fn mismatch(&self, snapshot: &BatchSnapshot) -> Option<CountMismatch> {
        let without_id = match self.takes_rows_without_id() {
            true => 0,
            false => self.tally.without_id,
        };
        let others = self.tally.foreign + without_id;
        self.delivered.mismatch(snapshot, others)
    }

    /// Returns the results of a batch without a run, once its parts are read.
    pub(crate) fn finish(
        mut self,
        end: End,
        mismatch: Option<CountMismatch>,
    ) -> Result<RunResults> {
        let mut requests = self.id_map.count();
        let (index, mut writer) = self.files.scratch()?;
        let mut has_row = Vec::new();
        if let IdMap::Discover { .. } = self.id_map {
            for at in 0..requests {
                has_row.push(!self.locations.get(at).map_err(spooled)?.is_none());
            }
        }
        let discovered = self.id_map.discovered(|at| has_row[at as usize])?;
        if let Some(discovered) = discovered {
            let mut echoes = self.files.create(layout::BATCH_ECHO)?;
            let mut echo = Echo::default();
            requests = 0;
            for (at, id) in discovered {
                echo.clear();
                lmbatch_core::write_string(&id, &mut echo.id);
                echo.write(&mut echoes).map_err(spooled)?;
                let location = self.locations.get(at).map_err(spooled)?;
                writer.write_all(&location.to_bytes()).map_err(spooled)?;
                requests += 1;
            }
            echoes.flush().map_err(spooled)?;
        } else {
            for at in 0..requests {
                let location = self.locations.get(at).map_err(spooled)?;
                writer.write_all(&location.to_bytes()).map_err(spooled)?;
            }
        }
        writer.flush().map_err(spooled)?;
        Ok(RunResults {
            ends: vec![end],
            duplicate_batches: Vec::new(),
            index: Index::Batch {
                locations: index,
                echo: self.files.open(layout::BATCH_ECHO)?,
            },
            files: self.files,
            segments: self.segments,
            requests,
            tally: self.tally,
            mismatch,
        })
    }
}

/// Returns whether a row that is not JSON was truncated; `None` for a row that is JSON.
fn read_row_error(row: &[u8]) -> Option<bool> {
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(row).err();
    match error {
        Some(error) => Some(error.is_eof()),
        None => simdutf8::basic::from_utf8(row).is_err().then_some(false),
    }
}
