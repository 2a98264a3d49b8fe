use arrow_array::Array as _;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, UInt64Type};
use bytes::Bytes;
use lmbatch_core::{AnswerCost, AnswerView, AnsweredRequest, BatchId, Cost, CostRange, Structured};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::OutcomeTable;
use crate::outcome_table::tests::{answered, text};

/// Returns the header and the rows of outcomes.
pub(super) fn rows(table: &OutcomeTable, outcomes: &[AnsweredRequest<'_>]) -> Vec<u8> {
    let mut rows = Vec::new();
    table.write_header(&mut rows);
    for outcome in outcomes {
        table.write_outcome(outcome, &mut rows);
    }
    rows
}

pub(super) fn file(rows: &[u8]) -> Vec<u8> {
    let mut writer = ParquetWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap()
}

pub(super) fn read(file: Vec<u8>) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

fn costs(low: u128, high: u128) -> Option<AnswerCost> {
    Some(AnswerCost {
        charged: CostRange {
            low: Cost::from_picodollars(low),
            high: Cost::from_picodollars(high),
        },
        real_time: None,
    })
}

#[test]
fn columns_are_typed_and_absent_values_are_null() {
    let table = OutcomeTable::parquet(
        ["author".to_owned()],
        ["mood".to_owned(), "tags".to_owned()],
    )
    .with_emulated();
    let batch = BatchId::new("b1");
    let value = r#"{"mood":"","tags":["x",1]}"#;
    let structured = Structured::Value(value.into());
    let metadata = Some(r#"{"author":"Zoë"}"#);
    let mut outcomes = [
        answered("7", metadata, Some(&batch), text("", structured)),
        answered("\"ü\"", None, None, AnswerView::Missing),
        answered("1", None, None, text("a", Structured::NotRequested)),
    ];
    outcomes[0].cost = costs(1, 1);
    outcomes[2].cost = costs(0, u128::from(u64::MAX));
    let batches = read(file(&rows(&table, &outcomes)));
    let [batch] = batches.as_slice() else {
        panic!("{batches:?}")
    };
    let texts = |name: &str| -> Vec<Option<String>> {
        let column = batch.column_by_name(name).unwrap().as_string::<i32>();
        column.iter().map(|text| text.map(str::to_owned)).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(texts("id"), [some("7"), some("ü"), some("1")]);
    assert_eq!(texts("author"), [some("Zoë"), None, None]);
    assert_eq!(texts("problem"), [some("empty"), None, None]);
    assert_eq!(texts("text"), [some(""), None, some("a")]);
    assert_eq!(texts("mood"), [some(""), None, None]);
    assert_eq!(texts("tags"), [some(r#"["x",1]"#), None, None]);
    assert_eq!(texts("batch"), [some("b1"), None, None]);
    let tokens = batch.column_by_name("input_tokens").unwrap();
    let tokens: Vec<_> = tokens.as_primitive::<UInt64Type>().iter().collect();
    assert_eq!(tokens, [Some(12), None, Some(12)]);
    for (name, expected) in [
        ("cost_usd", [Some("0.000000000001"), None, None]),
        (
            "cost_usd_at_most",
            [None, None, Some("18446744.073709551615")],
        ),
    ] {
        let column = batch.column_by_name(name).unwrap();
        let column = column.as_primitive::<Decimal128Type>();
        let amount = |row: usize| column.is_valid(row).then(|| column.value_as_string(row));
        assert_eq!(
            [0, 1, 2].map(amount),
            expected.map(|text| text.map(str::to_owned))
        );
    }
    let schema = batch.schema();
    let last = schema.fields().last().unwrap();
    assert_eq!(
        (last.name().as_str(), last.data_type()),
        ("emulated", &DataType::Boolean)
    );
    assert_eq!(batch.columns().last().unwrap().as_boolean().true_count(), 3);
}

#[test]
fn row_groups_are_bounded_and_the_bytes_depend_on_the_rows_alone() {
    let table = OutcomeTable::parquet([], []);
    let mut rows = Vec::new();
    table.write_header(&mut rows);
    let mut ends = vec![rows.len()];
    let mut seed = 1_u64;
    for row in 0..2_400 {
        // Text that cannot be compressed to less than half.
        let noise: String = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:x}", seed >> 32)
        })
        .take(600)
        .collect();
        let id = row.to_string();
        let answer = text(&noise, Structured::NotRequested);
        table.write_outcome(&answered(&id, None, None, answer), &mut rows);
        ends.push(rows.len());
    }
    // Writes the first rows, some at a time; returns the checksum of the file and the peak of memory.
    let parts = |count: usize, step: usize| {
        let ends = &ends[..=count];
        let mut written = Vec::new();
        let info = allocation_counter::measure(|| {
            let mut writer = ParquetWriter::with_groups(Counted::default(), 1 << 20);
            let mut start = 0;
            for end in ends.iter().step_by(step).chain(ends.last()) {
                writer.write(&rows[start..*end]).unwrap();
                start = *end;
            }
            written = writer.finish().unwrap().hashes;
        });
        (written, info.bytes_max)
    };
    let (whole, peak) = parts(2_400, 1);
    assert_eq!(whole, parts(2_400, 97).0);
    let few = parts(1_200, 97).1;
    assert!(peak <= few + (256 << 10), "{few} and {peak}");
    let mut writer = ParquetWriter::with_groups(Vec::new(), 1 << 20);
    writer.write(&rows).unwrap();
    let file = writer.finish().unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap();
    let groups = reader.metadata().row_groups();
    assert!((3..20).contains(&groups.len()), "{}", groups.len());
    assert_eq!(
        groups.iter().map(|group| group.num_rows()).sum::<i64>(),
        2_400
    );
}

/// Writer that keeps a checksum of the bytes alone.
#[derive(Default)]
struct Counted {
    hashes: Vec<u64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.hashes.is_empty() {
            self.hashes = vec![0, 0];
        }
        for byte in bytes {
            self.hashes[0] = self.hashes[0].wrapping_mul(31).wrapping_add((*byte).into());
        }
        self.hashes[1] += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reader's end that is closed after some bytes.
struct Closed(usize);

impl Write for Closed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => self.0 = left,
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_error_of_the_file_is_returned_as_it_is_and_no_rows_are_an_error() {
    let table = OutcomeTable::parquet([], []);
    let rows = rows(&table, &[answered("1", None, None, AnswerView::Missing)]);
    let whole = file(&rows).len();
    for room in [0, 4, 100, whole - 1] {
        let mut writer = ParquetWriter::new(Closed(room));
        let ended = writer.write(&rows).and_then(|()| writer.finish());
        let error = ended.err().map(|error| error.kind());
        assert_eq!(error, Some(io::ErrorKind::BrokenPipe), "{room}");
    }
    let mut writer = ParquetWriter::new(Vec::new());
    writer.write(b"").unwrap();
    let error = writer.finish().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    for cut in [3, 20, rows.len() - 1] {
        let mut writer = ParquetWriter::new(Vec::new());
        let error = writer.write(&rows[..cut]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{cut}");
        writer.write(&rows).unwrap_err();
        writer.finish().unwrap_err();
    }
}
