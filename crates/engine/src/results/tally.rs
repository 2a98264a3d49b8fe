//! Counts of the rows of results, by what became of them.

/// Rows that do not count as anyone's outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) duplicates: u64,
    pub(crate) foreign: u64,
    pub(crate) malformed: u64,
    /// Rows that are not JSON, and whose id is legible.
    pub(crate) broken: u64,
    /// Of rows whose id is legible, those that were cut off.
    pub(crate) cut: u64,
    pub(crate) keyless: u64,
}

impl Tally {
    /// Bytes of a tally in a file.
    pub(crate) const BYTES: usize = 7 * 8;

    pub(crate) fn counts(&self) -> [u64; 7] {
        [
            self.rows,
            self.duplicates,
            self.foreign,
            self.malformed,
            self.broken,
            self.cut,
            self.keyless,
        ]
    }

    pub(crate) fn of_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (counts, _) = bytes.as_chunks::<8>();
        let count = |at: usize| counts.get(at).copied().map_or(0, u64::from_le_bytes);
        Self {
            rows: count(0),
            duplicates: count(1),
            foreign: count(2),
            malformed: count(3),
            broken: count(4),
            cut: count(5),
            keyless: count(6),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.duplicates += other.duplicates;
        self.foreign += other.foreign;
        self.malformed += other.malformed;
        self.broken += other.broken;
        self.cut += other.cut;
        self.keyless += other.keyless;
    }

    /// Whether rows came since `before`, and none of them says what it answers.
    pub(crate) fn is_spoilt(&self, before: &Self, takes_keyless: bool) -> bool {
        let rows = self.rows - before.rows;
        let keyless = if takes_keyless {
            0
        } else {
            self.keyless - before.keyless
        };
        rows > 0 && self.malformed - before.malformed + keyless == rows
    }

    /// Whether the rows are someone else's, and none is ours.
    pub(crate) fn is_a_strangers(&self) -> bool {
        let foreign = self.foreign + self.keyless;
        foreign > 0 && foreign + self.malformed == self.rows
    }
}
