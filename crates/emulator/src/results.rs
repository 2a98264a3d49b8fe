//! Rows of results on disk, in an order that the seed determines.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use crate::state::{ResultFile, State};

/// Writer of the rows of one result file.
pub(crate) struct RowWriter {
    name: String,
    scratch: PathBuf,
    writer: BufWriter<File>,
    rows: Vec<(u64, usize)>,
    at: u64,
}

impl RowWriter {
    pub(crate) fn new(state: &State, batch: &str, what: &str) -> io::Result<Self> {
        let name = format!("{}.{what}", batch.replace('/', "-"));
        let scratch = state.path(&format!("{name}.scratch"));
        Ok(Self {
            name,
            writer: BufWriter::with_capacity(256 << 10, File::create(&scratch)?),
            scratch,
            rows: Vec::new(),
            at: 0,
        })
    }

    /// Writes one row, given without its line feed.
    pub(crate) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        self.writer.write_all(row)?;
        self.writer.write_all(b"\n")?;
        self.rows.push((self.at, row.len() + 1));
        self.at += row.len() as u64 + 1;
        Ok(())
    }

    /// Writes the rows in the order that the seed determines. Without rows a file is written only if `empty` is true.
    pub(crate) fn finish(mut self, state: &State, empty: bool) -> io::Result<Option<ResultFile>> {
        self.writer.flush()?;
        if self.rows.is_empty() && !empty {
            std::fs::remove_file(&self.scratch)?;
            return Ok(None);
        }
        shuffle(&mut self.rows, state.seed);
        let mut from = File::open(&self.scratch)?;
        let mut to = BufWriter::with_capacity(256 << 10, File::create(state.path(&self.name))?);
        let mut buffer = Vec::new();
        for (offset, length) in &self.rows {
            buffer.resize(*length, 0);
            from.seek(SeekFrom::Start(*offset))?;
            from.read_exact(&mut buffer)?;
            to.write_all(&buffer)?;
        }
        to.flush()?;
        std::fs::remove_file(&self.scratch)?;
        Ok(Some(ResultFile {
            name: self.name,
            bytes: self.at,
        }))
    }
}

/// Shuffles with Fisher-Yates over SplitMix64.
fn shuffle<T>(rows: &mut [T], mut seed: u64) {
    for place in (1..rows.len()).rev() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        rows.swap(place, ((z ^ (z >> 31)) % (place as u64 + 1)) as usize);
    }
}
