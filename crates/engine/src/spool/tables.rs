//! Tables about requests: their rows, the locations of their results, and their echoes.

use std::io::{self, Write};
use std::sync::Arc;

use lmbatch_core::{SpoolFile, SpoolWriter, Verdict};

/// Size in bytes of a location: outcome offset (7), verdict (1), outcome length (4), segment (4).
pub(crate) const ENTRY: usize = 16;

/// Number of bytes that are read or written at once. Each thread that works on files holds a few
/// such buffers.
pub(crate) const BUFFER: usize = 128 << 10;

/// Location of the outcome of one request. One is held for each request, so that its size matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowLocation {
    /// Verdict in the highest byte, offset in the others: no segment has 64 PiB.
    at: u64,
    pub(crate) length: u32,
    pub(crate) segment: u32,
}

impl RowLocation {
    /// Location of a request that no row names.
    pub(crate) const NONE: Self = Self {
        at: 0,
        length: 0,
        segment: 0,
    };

    pub(crate) fn new(segment: u32, offset: u64, length: u32, verdict: Verdict) -> Self {
        let at = (u64::from(verdict as u8) << 56) | offset;
        Self {
            at,
            length,
            segment,
        }
    }

    pub(crate) fn verdict(&self) -> u8 {
        (self.at >> 56) as u8
    }

    pub(crate) fn offset(&self) -> u64 {
        self.at & (u64::MAX >> 8)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.verdict() == 0
    }

    /// Returns whether a row replaces this one of the same request. An answer replaces anything
    /// else, and a later attempt an earlier one. Within one attempt, a final failure replaces a
    /// retryable one, since its answer may have been paid for; otherwise the first row stays.
    pub(crate) fn yields_to(&self, verdict: Verdict, later: bool) -> bool {
        const ANSWERED: u8 = Verdict::Succeeded as u8;
        const FAILED: u8 = Verdict::Errored as u8;
        let rank = |verdict: u8| match verdict {
            0 => 0,
            ANSWERED => 3,
            FAILED => 2,
            _ => 1,
        };
        let (own, other) = (rank(self.verdict()), rank(verdict as u8));
        other > own || later && (own < 3 || other == 3)
    }

    /// Returns whether the location of the same request in a later attempt replaces this one.
    pub(crate) fn gives_way(&self, to: Self) -> bool {
        let answered = Verdict::Succeeded as u8;
        self.is_none() || self.verdict() != answered || to.verdict() == answered
    }

    /// Returns the same location after `segments` other segments.
    pub(crate) fn moved(self, segments: u32) -> Self {
        Self {
            segment: self.segment + segments,
            ..self
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..].copy_from_slice(&self.segment.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; ENTRY]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            at: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            length: u32::from_le_bytes([i, j, k, l]),
            segment: u32::from_le_bytes([m, n, o, p]),
        }
    }
}

/// Position of a request of a shard: of its row in the body, and of its echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// Ordinal of the request in the run.
    pub(crate) ordinal: u32,
    /// Length of the row in bytes.
    pub(crate) length: u32,
    /// Offset of the row in the body.
    pub(crate) offset: u64,
    /// Offset of the request's entry in the echo file.
    pub(crate) echo: u64,
}

/// Size in bytes of a [`Row`] in its table: ordinal (4), length (4), offset in the body (8), offset
/// in the echo (8), all little-endian.
pub(crate) const ROW: usize = 24;

impl Row {
    pub(crate) fn to_bytes(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..4].copy_from_slice(&self.ordinal.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.offset.to_le_bytes());
        bytes[16..].copy_from_slice(&self.echo.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8; ROW]) -> Self {
        let (eights, _) = bytes.as_chunks::<8>();
        let eight = |at: usize| eights.get(at).copied().map_or(0, u64::from_le_bytes);
        let first = eight(0);
        Self {
            ordinal: first as u32,
            length: (first >> 32) as u32,
            offset: eight(1),
            echo: eight(2),
        }
    }
}

/// Echo of a request: the caller's data that is returned with the outcome.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    /// Caller's id as JSON.
    pub(crate) id: Vec<u8>,
    /// Caller's metadata as JSON, or empty.
    pub(crate) metadata: Vec<u8>,
    /// Schema for the validation of the answer, or empty.
    pub(crate) schema: Vec<u8>,
}

impl Echo {
    pub(crate) fn clear(&mut self) {
        self.id.clear();
        self.metadata.clear();
        self.schema.clear();
    }

    /// Returns the size of the echo in a file, in bytes.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let fields = [&self.id, &self.metadata, &self.schema];
        fields.iter().map(|field| 4 + field.len() as u64).sum()
    }

    /// Returns the fields in their order: id, metadata and schema.
    pub(crate) fn fields(&self) -> EchoFields<'_> {
        [&self.id, &self.metadata, &self.schema]
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write_echo(self.fields(), out)
    }

    pub(crate) fn read(&mut self, from: &mut Reader) -> io::Result<()> {
        for field in [&mut self.id, &mut self.metadata, &mut self.schema] {
            let mut length = [0; 4];
            from.read_exact(&mut length)?;
            from.read_into(field, u32::from_le_bytes(length) as usize)?;
        }
        Ok(())
    }
}

/// Borrowed fields of an [`Echo`].
pub(crate) type EchoFields<'a> = [&'a [u8]; 3];

/// Writes an echo, each field preceded by its length.
pub(crate) fn write_echo(fields: EchoFields<'_>, out: &mut impl Write) -> io::Result<()> {
    for field in fields {
        let length = u32::try_from(field.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_le_bytes())?;
        out.write_all(field)?;
    }
    Ok(())
}

/// Buffered writer of a spool file, with a checksum.
pub(crate) struct Writer {
    inner: Box<dyn SpoolWriter>,
    buffer: Vec<u8>,
    /// Size of the buffer in bytes.
    most: usize,
    /// Checksum of the bytes that were passed on. Updating it once per buffer is faster than for
    /// each small piece.
    checksum: crc32fast::Hasher,
    pub(crate) written: u64,
}

impl Writer {
    pub(crate) fn new(inner: Box<dyn SpoolWriter>) -> Self {
        Self::within(inner, BUFFER)
    }

    /// Returns a writer with a buffer of at most `most` bytes, which grows as needed.
    pub(crate) fn within(inner: Box<dyn SpoolWriter>, most: usize) -> Self {
        Self {
            inner,
            // Most files are small, and a run may write many at once, so that the buffer is not
            // allocated in advance.
            buffer: Vec::new(),
            most,
            checksum: crc32fast::Hasher::new(),
            written: 0,
        }
    }

    /// Returns the CRC-32 checksum of everything that was written.
    pub(crate) fn checksum(&self) -> u32 {
        let mut checksum = self.checksum.clone();
        checksum.update(&self.buffer);
        checksum.finalize()
    }

    /// Passes on the buffered bytes.
    fn drain(&mut self) -> io::Result<()> {
        self.inner.write_all(&self.buffer)?;
        self.checksum.update(&self.buffer);
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.inner.sync()
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > self.most {
            self.drain()?;
        }
        if bytes.len() >= self.most {
            self.inner.write_all(bytes)?;
            self.checksum.update(bytes);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.drain()?;
        self.inner.flush()
    }
}

/// Returns the CRC-32 checksum of the first `bytes` bytes of a spool file. A shorter file is an
/// error.
pub(crate) fn checksum_of(file: &dyn SpoolFile, bytes: u64) -> io::Result<u32> {
    let (mut buffer, mut at) = (vec![0; BUFFER], 0);
    let mut checksum = crc32fast::Hasher::new();
    while at < bytes {
        let most = (bytes - at).min(BUFFER as u64) as usize;
        let read = file.read_at(&mut buffer[..most], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        checksum.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(checksum.finalize())
}

/// Buffered reader of a spool file, from front to back.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Arc<dyn SpoolFile>,
    /// Offset behind the bytes in the buffer.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    /// Number of bytes that are read at once.
    most: usize,
}

impl Reader {
    pub(crate) fn new(file: Arc<dyn SpoolFile>) -> Self {
        Self::ahead(file, BUFFER)
    }

    /// Returns a reader that reads `most` bytes at once.
    pub(crate) fn ahead(file: Arc<dyn SpoolFile>, most: usize) -> Self {
        Self {
            file,
            offset: 0,
            buffer: Vec::new(),
            at: 0,
            most,
        }
    }

    /// Moves to an offset. Bytes in the buffer are not read again.
    pub(crate) fn seek(&mut self, to: u64) {
        let from = self.offset - self.buffer.len() as u64;
        match to.checked_sub(from) {
            Some(within) if to <= self.offset => self.at = within as usize,
            _ => {
                self.buffer.clear();
                (self.offset, self.at) = (to, 0);
            }
        }
    }

    pub(crate) fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < out.len() {
            let piece = self.some(out.len() - filled)?;
            out[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        Ok(())
    }

    /// Replaces the content of `out` by the next `bytes` bytes.
    pub(crate) fn read_into(&mut self, out: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
        out.clear();
        while out.len() < bytes {
            let piece = self.some(bytes - out.len())?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    /// Returns at least one and at most `most` of the next bytes.
    fn some(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.at == self.buffer.len() {
            self.buffer.resize(self.most, 0);
            let read = self.file.read_at(&mut self.buffer, self.offset)?;
            self.buffer.truncate(read);
            self.offset += read as u64;
            self.at = 0;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let from = self.at;
        self.at += most.min(self.buffer.len() - from);
        Ok(&self.buffer[from..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_read_as_it_was_written() {
        let location = RowLocation::new(70_000, 1 << 40, 77, Verdict::Errored);
        assert_eq!(location.offset(), 1 << 40);
        assert_eq!(location.verdict(), Verdict::Errored as u8);
        assert_eq!(RowLocation::from_bytes(&location.to_bytes()), location);
        assert!(RowLocation::from_bytes(&[0; ENTRY]).is_none());
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = Row {
            ordinal: u32::MAX - 1,
            length: 77,
            offset: 1 << 40,
            echo: (1 << 41) + 3,
        };
        assert_eq!(Row::from_bytes(&row.to_bytes()), row);
        assert_eq!(row.to_bytes()[4..8], [77, 0, 0, 0]);
    }

    #[test]
    fn a_reader_can_move_to_any_offset() {
        use lmbatch_core::Spool as _;
        let spool = crate::spool::temporary::TemporarySpool::new().unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        let mut writer = Writer::within(spool.create("a").unwrap(), 10);
        writer.write_all(&bytes).unwrap();
        writer.flush().unwrap();
        let mut reader = Reader::ahead(spool.open("a").unwrap(), 16);
        for to in [0, 3, 5, 16, 2, 200, 215, 216, 217, 0, 255] {
            reader.seek(to);
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            assert_eq!(u64::from(byte[0]), to);
        }
    }

    #[test]
    fn an_answer_replaces_an_error_and_the_first_answer_stays() {
        let errored = RowLocation::new(0, 0, 0, Verdict::Errored);
        let succeeded = RowLocation::new(0, 0, 0, Verdict::Succeeded);
        assert!(RowLocation::NONE.yields_to(Verdict::Expired, false));
        assert!(errored.yields_to(Verdict::Succeeded, false));
        assert!(!errored.yields_to(Verdict::Errored, false));
        let open = [
            Verdict::ErroredRetryable,
            Verdict::Expired,
            Verdict::Cancelled,
        ];
        for verdict in open {
            let location = RowLocation::new(0, 0, 0, verdict);
            assert!(location.yields_to(Verdict::Errored, false));
            assert!(location.yields_to(Verdict::Succeeded, false));
            assert!(!errored.yields_to(verdict, false));
            assert!(!succeeded.yields_to(verdict, false));
            assert!(open.iter().all(|other| !location.yields_to(*other, false)));
        }
        assert!(errored.yields_to(Verdict::Errored, true));
        assert!(succeeded.yields_to(Verdict::Succeeded, true));
        assert!(!succeeded.yields_to(Verdict::Succeeded, false));
        assert!(!succeeded.yields_to(Verdict::Errored, true));
    }
}
