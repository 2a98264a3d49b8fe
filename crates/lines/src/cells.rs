//! Cells of a row in a table of outcomes.

use csv_core::Writer;
use lmbatch_core::Cost;

use crate::column_type::ColumnType;

/// Values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Count,
    /// Exact amount in US dollars.
    Dollars,
    Flag,
    /// Values of a type that the input declares, as texts.
    Typed(ColumnType),
}

/// Writer of the cells of a row, one after another.
pub(crate) trait CellWriter {
    /// Writes a cell without a value.
    fn absent(&mut self);

    fn text(&mut self, text: &str);

    fn count(&mut self, count: u64);

    fn dollars(&mut self, cost: Cost);

    fn flag(&mut self, flag: bool);

    /// Writes a text, or a cell without a value.
    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.absent(),
        }
    }
}

/// Row of CSV or TSV that is being written.
pub(crate) struct DelimitedRow<'o> {
    writer: Writer,
    out: &'o mut Vec<u8>,
    is_begun: bool,
}

impl<'o> DelimitedRow<'o> {
    pub(crate) fn new(writer: &Writer, out: &'o mut Vec<u8>) -> Self {
        Self {
            writer: writer.clone(),
            out,
            is_begun: false,
        }
    }

    /// Appends what a call of the writer yields, for which `space` bytes suffice.
    fn with(&mut self, space: usize, write: impl FnOnce(&mut Writer, &mut [u8]) -> usize) {
        let at = self.out.len();
        self.out.resize(at + space, 0);
        let written = write(&mut self.writer, &mut self.out[at..]);
        self.out.truncate(at + written);
    }

    pub(crate) fn end(mut self) {
        // A quote that ends the last field, and the terminator.
        self.with(3, |writer, out| writer.terminator(out).1);
    }
}

impl CellWriter for DelimitedRow<'_> {
    fn absent(&mut self) {
        self.text("");
    }

    fn text(&mut self, text: &str) {
        if self.is_begun {
            // A quote that ends the field before, and the delimiter.
            self.with(2, |writer, out| writer.delimiter(out).1);
        }
        self.is_begun = true;
        // Every byte may be a quote, which is doubled, and the field begins with one.
        let space = 2 * text.len() + 2;
        self.with(space, |writer, out| writer.field(text.as_bytes(), out).2);
    }

    fn count(&mut self, count: u64) {
        self.text(&count.to_string());
    }

    fn dollars(&mut self, cost: Cost) {
        let mut amount = Vec::new();
        cost.write_dollars(&mut amount);
        self.text(&String::from_utf8(amount).unwrap_or_default());
    }

    fn flag(&mut self, flag: bool) {
        self.text(if flag { "true" } else { "false" });
    }
}
