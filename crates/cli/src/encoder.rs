//! Output files, compressed or not, with the size and the digest of their bytes.

use std::io::{self, BufWriter, Write};

use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::output_format::Compression;
use crate::written::{self, Contents};

/// Size of one write in bytes. Lines arrive in pieces of about this size, which need not be copied.
pub(crate) const BUFFER: usize = 64 << 10;

/// Compression level of zstd, its own default.
const ZSTD_LEVEL: i32 = 3;

/// File that hashes what is written to it.
struct Hashed {
    file: BufWriter<NamedTempFile>,
    hash: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Output file that is being written. The same outcomes give the same bytes: gzip's header has no time and no name.
pub(crate) struct Encoder(Kind);

enum Kind {
    Plain(Hashed),
    Gzip(GzEncoder<Hashed>),
    Zstd(zstd::Encoder<'static, Hashed>),
}

impl Encoder {
    pub(crate) fn new(file: NamedTempFile, compression: Compression) -> io::Result<Self> {
        let hashed = Hashed {
            file: BufWriter::with_capacity(BUFFER, file),
            hash: Sha256::new(),
            bytes: 0,
        };
        Ok(Self(match compression {
            Compression::None => Kind::Plain(hashed),
            Compression::Gzip => Kind::Gzip(GzEncoder::new(hashed, flate2::Compression::default())),
            Compression::Zstd => Kind::Zstd(zstd::Encoder::new(hashed, ZSTD_LEVEL)?),
        }))
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Plain(hashed) => hashed.write_all(bytes),
            Kind::Gzip(encoder) => encoder.write_all(bytes),
            Kind::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    /// Writes and syncs everything. Returns the file, with the size and digest of its bytes.
    pub(crate) fn complete(self) -> io::Result<(NamedTempFile, Contents)> {
        let hashed = match self.0 {
            Kind::Plain(hashed) => hashed,
            Kind::Gzip(encoder) => encoder.finish()?,
            Kind::Zstd(encoder) => encoder.finish()?,
        };
        let file = hashed
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        let contents = Contents {
            bytes: hashed.bytes,
            sha256: written::hex(hashed.hash),
        };
        Ok((file, contents))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_compressed_file_has_the_digest_of_its_bytes_and_is_the_same_each_time() {
        let text = "one line\n".repeat(20_000);
        let write = |compression| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let mut encoder = Encoder::new(file, compression).unwrap();
            for line in text.as_bytes().chunks(70_000) {
                encoder.write_all(line).unwrap();
            }
            let (file, contents) = encoder.complete().unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!(contents.bytes, bytes.len() as u64);
            assert_eq!(
                contents.sha256,
                written::hex(Sha256::new_with_prefix(&bytes))
            );
            (file, bytes)
        };
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let (file, bytes) = write(compression);
            assert_eq!(write(compression).1, bytes, "{compression:?}");
            let opened = File::open(file.path()).unwrap();
            let mut read = String::new();
            match compression {
                Compression::None => (&opened).read_to_string(&mut read).unwrap(),
                Compression::Gzip => flate2::read::GzDecoder::new(&opened)
                    .read_to_string(&mut read)
                    .unwrap(),
                Compression::Zstd => zstd::Decoder::new(&opened)
                    .unwrap()
                    .read_to_string(&mut read)
                    .unwrap(),
            };
            assert!(read == text, "{compression:?}");
        }
    }
}
