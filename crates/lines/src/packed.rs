//! Rows between the threads that render outcomes and the writer of Parquet: each cell as its length and its bytes.

use lmbatch_core::Cost;

use crate::cells::{CellWriter, Kind};

/// Length of a cell without a value.
const ABSENT: u64 = u64::MAX;

/// Row that is being written.
pub(crate) struct PackedRow<'o>(&'o mut Vec<u8>);

impl<'o> PackedRow<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>) -> Self {
        Self(out)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0
            .extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}

impl CellWriter for PackedRow<'_> {
    fn absent(&mut self) {
        self.0.extend_from_slice(&ABSENT.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn count(&mut self, count: u64) {
        self.bytes(&count.to_le_bytes());
    }

    fn dollars(&mut self, cost: Cost) {
        self.bytes(&cost.picodollars().to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.bytes(&[u8::from(flag)]);
    }
}

/// Letters of the kinds of columns.
const KINDS: [(u8, Kind); 4] = [
    (b't', Kind::Text),
    (b'c', Kind::Count),
    (b'd', Kind::Dollars),
    (b'f', Kind::Flag),
];

/// Letter of columns whose type the input declares.
const TYPED: u8 = b'i';

/// Appends the columns of a table: their number, and for each the letter of its kind, the type that the input declares,
/// if it does, and its name.
pub(crate) fn write_columns(columns: &[(String, Kind)], out: &mut Vec<u8>) {
    out.extend_from_slice(&(columns.len() as u64).to_le_bytes());
    for (name, kind) in columns {
        if let Kind::Typed(of_input) = kind {
            out.push(TYPED);
            PackedRow::new(out).text(&serde_json::to_string(of_input).unwrap_or_default());
        } else {
            let letter = KINDS.iter().find(|(_, known)| known == kind);
            out.extend(letter.map(|(letter, _)| letter));
        }
        PackedRow::new(out).text(name);
    }
}

/// Rows that are read back.
#[cfg(feature = "parquet")]
pub(crate) struct Packed<'a>(&'a [u8]);

#[cfg(feature = "parquet")]
impl<'a> Packed<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// Reads the columns; `None` for bytes that end too early.
    pub(crate) fn columns(&mut self) -> Option<Vec<(String, Kind)>> {
        let count = self.number()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let kind = match self.take(1)?[0] {
                TYPED => Kind::Typed(serde_json::from_slice(self.cell()??).ok()?),
                letter => KINDS.iter().find(|(known, _)| *known == letter)?.1,
            };
            let name = std::str::from_utf8(self.cell()??).ok()?;
            columns.push((name.to_owned(), kind));
        }
        Some(columns)
    }

    /// Reads the next cell, which may have no value; `None` for bytes that end too early.
    pub(crate) fn cell(&mut self) -> Option<Option<&'a [u8]>> {
        match self.number()? {
            ABSENT => Some(None),
            length => Some(Some(self.take(usize::try_from(length).ok()?)?)),
        }
    }
}
