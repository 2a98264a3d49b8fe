//! Output files, compressed or not or Parquet, with the size and the digest of their bytes.

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

/// Packing of the bytes of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    As(Compression),
    /// Rows for Parquet become Parquet.
    Parquet,
}

impl Packing {
    pub(crate) fn of(compression: Compression, is_parquet: bool) -> Self {
        match is_parquet {
            true => Self::Parquet,
            false => Self::As(compression),
        }
    }
}

/// Writer that packs what it is given.
pub(crate) enum Packed<W: Write + Send> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
    #[cfg(feature = "parquet")]
    Parquet(lmbatch_lines::ParquetWriter<W>),
}

impl<W: Write + Send> Packed<W> {
    pub(crate) fn new(file: W, packing: Packing) -> io::Result<Self> {
        Ok(match packing {
            Packing::As(Compression::None) => Self::Plain(file),
            Packing::As(Compression::Gzip) => {
                Self::Gzip(GzEncoder::new(file, flate2::Compression::default()))
            }
            Packing::As(Compression::Zstd) => Self::Zstd(zstd::Encoder::new(file, ZSTD_LEVEL)?),
            #[cfg(feature = "parquet")]
            Packing::Parquet => Self::Parquet(lmbatch_lines::ParquetWriter::new(file)),
            #[cfg(not(feature = "parquet"))]
            Packing::Parquet => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this program was built without the feature \"parquet\"",
                ));
            }
        })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.write(bytes),
        }
    }

    /// Writes the rest and returns the writer below.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
            #[cfg(feature = "parquet")]
            Self::Parquet(writer) => writer.finish(),
        }
    }
}

/// Output file that is being written. The same outcomes give the same bytes: gzip's header has no time and no name.
pub(crate) struct Encoder(Packed<Hashed>);

impl Encoder {
    pub(crate) fn new(file: NamedTempFile, packing: Packing) -> io::Result<Self> {
        let hashed = Hashed {
            file: BufWriter::with_capacity(BUFFER, file),
            hash: Sha256::new(),
            bytes: 0,
        };
        Packed::new(hashed, packing).map(Self)
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Writes and syncs everything. Returns the file, with the size and digest of its bytes.
    pub(crate) fn complete(self) -> io::Result<(NamedTempFile, Contents)> {
        let hashed = self.0.finish()?;
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
            let mut encoder = Encoder::new(file, Packing::As(compression)).unwrap();
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
