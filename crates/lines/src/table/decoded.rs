//! Bytes of an input: compression is recognised by content and removed, and formats that are not tables are refused.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;
use lmbatch_core::Error;
use zstd::stream::read::Decoder;

use crate::format;

/// Reader of an input.
pub(super) type Input = Box<dyn BufRead + Send>;

/// Size of the buffer of decompressed bytes.
const BUFFER: usize = 64 << 10;

/// Number of bytes from which a format is recognised, or that an input is binary.
const HEAD: usize = 1 << 10;

/// Largest window of zstd that is accepted, as a power of two: 128 MiB, as the tool `zstd -d` accepts.
const WINDOW_LOG: u32 = 27;

/// Byte order mark that some editors put before text.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the decompressed bytes of an input, without a byte order mark.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for a format that is not text or that is
/// compressed in another way; those of the reader.
pub(super) fn decoded(input: Input) -> Result<Input, Error> {
    let (input, head) = peeked(input, HEAD).map_err(unreadable)?;
    let plain: Input = match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(input))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = Decoder::with_buffer(input).map_err(unreadable)?;
            decoder.window_log_max(WINDOW_LOG).map_err(unreadable)?;
            Box::new(BufReader::with_capacity(BUFFER, decoder))
        }
        head => {
            refuse(head)?;
            return without_mark(input, head);
        }
    };
    let (plain, head) = peeked(plain, HEAD).map_err(unreadable)?;
    if matches!(
        head.as_slice(),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..]
    ) {
        return Err(Error::invalid_input(
            "the input is compressed twice; decompress it once",
        ));
    }
    refuse(&head)?;
    without_mark(plain, &head)
}

/// Refuses bytes that begin another format than text.
fn refuse(head: &[u8]) -> Result<(), Error> {
    match format::other_than_plain(head) {
        Some(found) => Err(Error::invalid_input(format!(
            "the input cannot be read: {found}"
        ))),
        None => Ok(()),
    }
}

fn without_mark(mut input: Input, head: &[u8]) -> Result<Input, Error> {
    if head.starts_with(MARK) {
        input.read_exact(&mut [0; MARK.len()]).map_err(unreadable)?;
    }
    Ok(input)
}

/// Returns the first bytes of a reader, at most `count`, and a reader that still begins with them.
pub(super) fn peeked(mut input: Input, count: usize) -> io::Result<(Input, Vec<u8>)> {
    let buffer = loop {
        match input.fill_buf() {
            Ok(buffer) => break buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    if buffer.len() >= count {
        let head = buffer[..count].to_vec();
        return Ok((input, head));
    }
    // A pipe may pass on single bytes.
    let mut head = Vec::with_capacity(count);
    (&mut input).take(count as u64).read_to_end(&mut head)?;
    let again = Cursor::new(head.clone()).chain(input);
    Ok((Box::new(again), head))
}

/// Reason for which the rest of a table cannot be divided into rows. The input is wrong, not this machine.
#[derive(Debug)]
struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Returns the error of a malformed table.
pub(super) fn malformed(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Malformed(why))
}

/// Returns the error of an input that cannot be read or decompressed.
pub(super) fn unreadable(error: io::Error) -> Error {
    let source = error.get_ref();
    if let Some(malformed) = source.and_then(|source| source.downcast_ref::<Malformed>()) {
        return Error::invalid_input(malformed.0.as_str());
    }
    Error::local("the input cannot be read", error)
}
