//! Counts of the rows of results, by kind.

/// Number of rows, and of those that are no outcome or are damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) duplicates: u64,
    pub(crate) foreign: u64,
    pub(crate) malformed: u64,
    /// Rows with a readable id that are not JSON.
    pub(crate) broken: u64,
    /// Rows with a readable id that were truncated.
    pub(crate) cut: u64,
    pub(crate) without_id: u64,
}

impl Tally {
    /// Size of a tally in a file, in bytes.
    pub(crate) const BYTES: usize = 7 * 8;

    pub(crate) fn counts(&self) -> [u64; 7] {
        [
            self.rows,
            self.duplicates,
            self.foreign,
            self.malformed,
            self.broken,
            self.cut,
            self.without_id,
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
            without_id: count(6),
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.duplicates += other.duplicates;
        self.foreign += other.foreign;
        self.malformed += other.malformed;
        self.broken += other.broken;
        self.cut += other.cut;
        self.without_id += other.without_id;
    }

    /// Returns whether rows came since `before`, and none of them names a request.
    pub(crate) fn is_without_ids(&self, before: &Self, takes_rows_without_id: bool) -> bool {
        let rows = self.rows - before.rows;
        let without_id = if takes_rows_without_id {
            0
        } else {
            self.without_id - before.without_id
        };
        rows > 0 && self.malformed - before.malformed + without_id == rows
    }

    /// Returns whether the rows belong to a batch of another program: some name other requests, and
    /// none names one of this batch.
    pub(crate) fn is_foreign(&self) -> bool {
        let foreign = self.foreign + self.without_id;
        foreign > 0 && foreign + self.malformed == self.rows
    }
}
