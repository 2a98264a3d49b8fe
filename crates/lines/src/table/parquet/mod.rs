//! Rows of Parquet files.

mod columns;
mod duration;
mod file;
mod json;

use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use arrow_schema::DataType;
use lmbatch_core::Error;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::ParquetMetaData;

use self::columns::{Column, Kind};
use self::file::Source;
use super::row::{Cell, Row};
use super::rows::{Found, Invalid, Needed, Rows, Written};
use crate::column_type::Declared;
use crate::context::bad;

/// Maximum number of rows that are decoded at once.
const BATCH_ROWS: u64 = 1024;

/// Size in bytes that the rows decoded at once have on average.
const BATCH_BYTES: u64 = 4 << 20;

/// Rows of a Parquet file. One page of each column that is read is in memory, and the rows of a batch.
pub(super) struct ParquetRows {
    source: Arc<Source>,
    metadata: ArrowReaderMetadata,
    columns: Vec<Column>,
    names: Vec<String>,
    /// Positions of the columns that are read, in order.
    read: Vec<usize>,
    batches: Option<ParquetRecordBatchReader>,
    /// Values of the current batch, of each column that is read.
    values: Vec<Values>,
    /// Row of the batch that is next.
    next: usize,
    /// Number of rows in the batch.
    rows: usize,
    count: u64,
    /// JSON of the cells that are not texts, of the current row.
    written: Vec<Vec<u8>>,
}

/// Values of a column in a batch.
enum Values {
    /// Texts, which are not yet known to be UTF-8.
    Texts(BinaryViewArray),
    Others(ArrayRef),
}

impl ParquetRows {
    /// Reads the index of a file.
    ///
    /// # Errors
    /// A file that is not Parquet or not complete, and columns without or with repeated names.
    pub(super) fn open(file: File) -> Result<Self, Error> {
        let source = Arc::new(Source::new(file)?);
        let (metadata, columns) = columns::read(&source)?;
        Ok(Self {
            source,
            metadata,
            names: columns.iter().map(|column| column.name.clone()).collect(),
            columns,
            read: Vec::new(),
            batches: None,
            values: Vec::new(),
            next: 0,
            rows: 0,
            count: 0,
            written: Vec::new(),
        })
    }

    /// Decodes rows until there is one, or returns `false` at the end.
    fn fill(&mut self) -> Result<bool, Error> {
        while self.next == self.rows {
            // After an error nothing more is read.
            let Some(mut batches) = self.batches.take() else {
                return Ok(false);
            };
            // The memory of the former batch is not needed any more.
            self.values.clear();
            let Some(batch) = file::guarded(|| batches.next().transpose())? else {
                return Ok(false);
            };
            self.batches = Some(batches);
            (self.next, self.rows) = (0, batch.num_rows());
            let values = batch
                .columns()
                .iter()
                .map(|values| match values.data_type() {
                    DataType::Utf8View => {
                        Values::Texts(values.as_string_view().clone().to_binary_view())
                    }
                    _ => Values::Others(Arc::clone(values)),
                });
            self.values.extend(values);
        }
        Ok(true)
    }
}

impl Rows for ParquetRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.names)
    }

    fn declared(&self) -> Option<Vec<Declared>> {
        Some(self.columns.iter().map(|column| column.declared).collect())
    }

    fn select(&mut self, needed: &Needed) -> Result<(), Error> {
        for (place, column) in self.columns.iter().enumerate() {
            match column.kind {
                Kind::Unreadable(what) if needed.names.contains(&column.name) => {
                    return Err(Error::invalid_input(format!(
                        "the column {:?} {what} and cannot be part of a request; name other columns, or convert it to text",
                        column.name
                    )));
                }
                Kind::Unreadable(_) => {}
                _ if needed.others || needed.names.contains(&column.name) => self.read.push(place),
                _ => {}
            }
        }
        let schema = self.metadata.parquet_schema();
        let mask = ProjectionMask::roots(schema, self.read.iter().copied());
        let rows = batch_rows(self.metadata.metadata(), &mask);
        let source = file::Shared(Arc::clone(&self.source));
        let metadata = self.metadata.clone();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(source, metadata);
        let reader = reader.with_projection(mask).with_batch_size(rows);
        self.batches = Some(file::guarded(|| reader.build())?);
        self.written.resize_with(self.read.len(), Vec::new);
        Ok(())
    }

    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error> {
        if !self.fill()? {
            return Ok(false);
        }
        let row = self.next;
        self.next += 1;
        self.count += 1;
        for written in &mut self.written {
            written.clear();
        }
        let (columns, read) = (&self.columns, &self.read);
        let mut cells = Vec::with_capacity(read.len());
        let mut failed = None;
        for ((place, values), written) in read.iter().zip(&self.values).zip(&mut self.written) {
            let column = &columns[*place];
            match cell(column.kind, values, row, written) {
                Ok(cell) => cells.push((column.name.as_str().into(), cell)),
                Err(why) => {
                    failed.get_or_insert_with(|| format!("the column {:?} {why}", column.name));
                }
            }
        }
        let row = Row {
            cells,
            number: self.count,
            ..Row::default()
        };
        let row = match failed {
            None => Ok(row),
            Some(why) => Err(Invalid {
                error: bad(why),
                written: Written::Cells(row.cells.iter().map(|(_, cell)| cell.text()).collect()),
            }),
        };
        show(Found {
            place: self.count,
            row,
        });
        Ok(true)
    }
}

/// Returns the cell of a row, whose JSON is written unless it is a text.
fn cell<'a>(
    kind: Kind,
    values: &'a Values,
    row: usize,
    written: &'a mut Vec<u8>,
) -> Result<Cell<'a>, &'static str> {
    let values = match values {
        Values::Texts(texts) if texts.is_null(row) => return Ok(Cell::Json("null")),
        Values::Texts(texts) => return json::text(texts.value(row)).map(Cell::Text),
        Values::Others(values) => values,
    };
    match kind {
        Kind::Uuid => json::write_uuid(values, row, written),
        Kind::Duration(unit) => duration::write(values, row, unit, written),
        _ => json::write(values, row, written)?,
    }
    json::text(written).map(Cell::Json)
}

/// Returns the number of rows to decode at once, so that those of the widest row group fit into memory.
fn batch_rows(metadata: &ParquetMetaData, mask: &ProjectionMask) -> usize {
    let groups = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().enumerate();
        let sizes = columns
            .filter(|(leaf, _)| mask.leaf_included(*leaf))
            .map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or(0));
        let bytes = sizes.fold(0, u64::saturating_add);
        bytes / u64::try_from(group.num_rows()).unwrap_or(0).max(1)
    });
    let widest = groups.max().unwrap_or(0).max(1);
    (BATCH_BYTES / widest).clamp(1, BATCH_ROWS) as usize
}
