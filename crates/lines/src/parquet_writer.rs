//! Writing of outcomes as Parquet.

mod typed;

use std::io::{self, Write};
use std::sync::Arc;
use std::{fmt, mem};

use arrow_array::builder::{BooleanBuilder, Decimal128Builder, StringBuilder, UInt64Builder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use self::typed::Typed;
use crate::cells::Kind;
use crate::packed::Packed;

/// Maximum number of rows that are encoded at once.
const BATCH_ROWS: usize = 1024;

/// Size in bytes of rows from which they are encoded.
const BATCH_BYTES: usize = 1 << 20;

/// Size in bytes of encoded rows from which they are written as a row group; they are in memory until then.
const GROUP_BYTES: usize = 8 << 20;

/// Compression level of zstd, its own default.
const ZSTD_LEVEL: i32 = 3;

/// Digits of an amount in dollars: all of 128 bits, and those of a pico-dollar after the point.
const DOLLARS: (u8, i8) = (38, 12);

/// Columns whose values seldom repeat.
const DISTINCT: [&str; 2] = ["id", "text"];

/// Writer of the rows of an [`OutcomeTable`](crate::OutcomeTable) for Parquet, compressed with zstd.
///
/// Counts of tokens are `UInt64`, costs `Decimal128(38, 12)` in US dollars, `emulated` is a boolean, kept columns have the
/// types of [`OutcomeTable::with_kept_types`](crate::OutcomeTable::with_kept_types), and all other columns are strings.
/// Each may be null. The rows of about 8 MiB are in memory, for any number of rows. The same
/// rows give the same bytes.
///
/// ```
/// use lmbatch_lines::{OutcomeTable, ParquetWriter};
///
/// let mut header = Vec::new();
/// OutcomeTable::parquet([], []).write_header(&mut header);
/// let mut writer = ParquetWriter::new(Vec::new());
/// writer.write(&header)?;
/// let file = writer.finish()?;
/// assert!(file.starts_with(b"PAR1") && file.ends_with(b"PAR1"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ParquetWriter<W: Write + Send>(State<W>);

/// Progress of writing.
enum State<W: Write + Send> {
    /// The header is not written yet.
    New {
        file: W,
        group_bytes: usize,
    },
    Rows(Box<Rows<W>>),
    /// An error has occurred.
    Broken,
}

/// Rows that are being written.
struct Rows<W: Write + Send> {
    writer: ArrowWriter<Inner<W>>,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Number of rows in `columns`.
    count: usize,
    /// Size of the rows in `columns`.
    bytes: usize,
    group_bytes: usize,
}

/// File that is taken back once it is complete.
struct Inner<W>(Option<W>);

impl<W: Write> Write for Inner<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => file.flush(),
            None => Ok(()),
        }
    }
}

/// Values of a column that are not encoded yet.
enum Column {
    Text(StringBuilder),
    Count(UInt64Builder),
    Dollars(Decimal128Builder),
    Flag(BooleanBuilder),
    Typed(Box<dyn Typed>),
}

impl<W: Write + Send> fmt::Debug for ParquetWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetWriter").finish_non_exhaustive()
    }
}

impl<W: Write + Send> ParquetWriter<W> {
    /// Returns a writer into `file`, which need not be seekable.
    pub fn new(file: W) -> Self {
        Self::with_groups(file, GROUP_BYTES)
    }

    fn with_groups(file: W, group_bytes: usize) -> Self {
        Self(State::New { file, group_bytes })
    }

    /// Writes whole rows of an [`OutcomeTable`](crate::OutcomeTable) for Parquet; its header is the first of them.
    ///
    /// # Errors
    /// Those of the file; [`io::ErrorKind::InvalidData`] for bytes of any other origin, and for a kept column with a value
    /// that is not of its type. The writer is unusable then.
    pub fn write(&mut self, rows: &[u8]) -> io::Result<()> {
        let mut packed = Packed::new(rows);
        let mut open = match mem::replace(&mut self.0, State::Broken) {
            unopened @ State::New { .. } if packed.is_empty() => {
                self.0 = unopened;
                return Ok(());
            }
            State::New { file, group_bytes } => {
                Box::new(Rows::open(file, group_bytes, &mut packed)?)
            }
            State::Rows(open) => open,
            State::Broken => return Err(io::Error::other("an earlier write has failed")),
        };
        while !packed.is_empty() {
            open.take(&mut packed)?;
        }
        self.0 = State::Rows(open);
        Ok(())
    }

    /// Writes the rest of the rows and the end of the file, and returns it.
    ///
    /// # Errors
    /// Those of the file; [`io::ErrorKind::InvalidData`] without a header.
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            State::Rows(mut open) => {
                open.encode()?;
                open.writer.finish().map_err(unwritable)?;
                // Unlike `into_inner`, this returns the error of the file as it is.
                open.writer.sync()?;
                open.writer.inner_mut().0.take().ok_or_else(unknown_rows)
            }
            State::New { .. } => Err(unknown_rows()),
            State::Broken => Err(io::Error::other("an earlier write has failed")),
        }
    }
}

impl<W: Write + Send> Rows<W> {
    fn open(file: W, group_bytes: usize, packed: &mut Packed<'_>) -> io::Result<Self> {
        let columns = packed.columns().ok_or_else(unknown_rows)?;
        let field = |(name, kind): &(String, Kind)| Field::new(name, data_type(*kind), true);
        let schema: SchemaRef =
            Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(unwritable)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_statistics_enabled(EnabledStatistics::Chunk);
        for name in DISTINCT {
            let path = ColumnPath::new(vec![name.to_owned()]);
            properties = properties.set_column_dictionary_enabled(path, false);
        }
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let writer =
            ArrowWriter::try_new_with_options(Inner(Some(file)), Arc::clone(&schema), options);
        Ok(Self {
            writer: writer.map_err(unwritable)?,
            schema,
            columns: columns.iter().map(|(_, kind)| Column::new(*kind)).collect(),
            count: 0,
            bytes: 0,
            group_bytes,
        })
    }

    /// Takes one row.
    fn take(&mut self, packed: &mut Packed<'_>) -> io::Result<()> {
        let before = packed.len();
        for (column, field) in self.columns.iter_mut().zip(self.schema.fields()) {
            let cell = packed.cell().ok_or_else(unknown_rows)?;
            let taken = column.take(cell);
            taken.ok_or_else(|| match column {
                Column::Typed(_) => unfit(field.name()),
                _ => unknown_rows(),
            })?;
        }
        self.count += 1;
        self.bytes += before - packed.len();
        match self.count >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            true => self.encode(),
            false => Ok(()),
        }
    }

    /// Encodes the rows so far, and writes a row group if it is large enough.
    fn encode(&mut self) -> io::Result<()> {
        let arrays = self.columns.iter_mut().map(Column::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        let batch = batch.map_err(|error| unwritable(error.into()))?;
        (self.count, self.bytes) = (0, 0);
        self.writer.write(&batch).map_err(unwritable)?;
        match self.writer.memory_size() >= self.group_bytes {
            true => self.writer.flush().map_err(unwritable),
            false => Ok(()),
        }
    }
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(StringBuilder::new()),
            Kind::Count => Self::Count(UInt64Builder::new()),
            Kind::Dollars => {
                Self::Dollars(Decimal128Builder::new().with_data_type(data_type(kind)))
            }
            Kind::Flag => Self::Flag(BooleanBuilder::new()),
            Kind::Typed(of_input) => Self::Typed(typed::column(of_input)),
        }
    }

    /// Takes a cell; `None` for one of another kind.
    fn take(&mut self, cell: Option<&[u8]>) -> Option<()> {
        match (self, cell) {
            (Self::Text(values), Some(text)) => {
                values.append_value(std::str::from_utf8(text).ok()?);
            }
            (Self::Count(values), Some(count)) => {
                values.append_value(u64::from_le_bytes(count.try_into().ok()?));
            }
            (Self::Dollars(values), Some(cost)) => {
                let picodollars = u128::from_le_bytes(cost.try_into().ok()?);
                values.append_value(i128::try_from(picodollars).ok()?);
            }
            (Self::Flag(values), Some(flag)) => values.append_value(flag == [1]),
            (Self::Typed(values), Some(text)) => values.take(std::str::from_utf8(text).ok()?)?,
            (Self::Typed(values), None) => values.take_null(),
            (Self::Text(values), None) => values.append_null(),
            (Self::Count(values), None) => values.append_null(),
            (Self::Dollars(values), None) => values.append_null(),
            (Self::Flag(values), None) => values.append_null(),
        }
        Some(())
    }

    /// Returns the values so far and begins anew.
    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(values.finish()),
            Self::Count(values) => Arc::new(values.finish()),
            Self::Dollars(values) => Arc::new(values.finish()),
            Self::Flag(values) => Arc::new(values.finish()),
            Self::Typed(values) => values.finish(),
        }
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Text => DataType::Utf8,
        Kind::Count => DataType::UInt64,
        Kind::Dollars => DataType::Decimal128(DOLLARS.0, DOLLARS.1),
        Kind::Flag => DataType::Boolean,
        Kind::Typed(of_input) => typed::data_type(of_input),
    }
}

/// Returns the error of the file, if it is the cause.
fn unwritable(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

/// Returns the error for a value that is not of the type of its column, which the input has declared.
fn unfit(column: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!(
            "the kept column {column:?} has a value that is not of the type that the input declares; write JSON Lines or CSV"
        ),
    )
}

fn unknown_rows() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the rows are not those of a table for Parquet",
    )
}

#[cfg(test)]
mod tests;
