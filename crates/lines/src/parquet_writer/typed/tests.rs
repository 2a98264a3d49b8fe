use std::fs::File;
use std::io::{Seek as _, Write as _};

use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float16Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    Time32MillisecondArray, Time64MicrosecondArray, Time64NanosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use lmbatch_core::{AnswerView, RequestSource as _};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::outcome_table::tests::answered;
use crate::parquet_writer::tests::{file, read, rows};
use crate::{InputContext, KeptColumns, OutcomeTable, TableInput, TableOptions};

/// Writes a column `v` into a Parquet file.
fn input(values: &ArrayRef) -> File {
    let batch =
        RecordBatch::try_from_iter_with_nullable([("v", Arc::clone(values), true)]).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let mut writer = ArrowWriter::try_new(file.try_clone().unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    file.flush().unwrap();
    file.rewind().unwrap();
    file
}

/// Returns the rows of an output that keeps the column `v`, and the names of values that it has as texts.
fn kept(values: &ArrayRef) -> (RecordBatch, Vec<&'static str>) {
    let options = TableOptions {
        prompt: Some("x".to_owned()),
        keep: KeptColumns::All,
        ..TableOptions::default()
    };
    let mut table = TableInput::parquet(input(values), options, InputContext::new("acme", "m"));
    let facts = table.facts();
    let mut metadata: Vec<String> = Vec::new();
    let mut visit = |sourced: lmbatch_core::SourcedRequest<'_>| {
        let entry = sourced.entry.unwrap();
        metadata.push(entry.metadata.unwrap().as_str().to_owned());
    };
    while table.next(&mut visit).unwrap() {}
    let outcomes: Vec<_> = metadata
        .iter()
        .map(|metadata| answered("1", Some(metadata), None, AnswerView::Missing))
        .collect();
    let table = OutcomeTable::parquet(facts.kept().to_vec(), []);
    let table = table.with_kept_types(facts.kept_types().iter().copied());
    let batch = read(file(&rows(&table, &outcomes))).remove(0);
    let as_text = facts.kept_as_text().iter().map(|(_, values)| *values);
    (batch, as_text.collect())
}

#[test]
fn a_kept_column_has_the_type_and_the_values_of_the_input() {
    let half = <Float16Type as ArrowPrimitiveType>::Native::from_f32;
    let wide = |text: &str| <Decimal256Type as ArrowPrimitiveType>::Native::from_string(text);
    let day = 86_400_000_000_000;
    let columns: [ArrayRef; 26] = [
        Arc::new(StringArray::from(vec![Some("a \"b\""), None, Some("")])),
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        Arc::new(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)])),
        Arc::new(Int16Array::from(vec![i16::MIN, i16::MAX])),
        Arc::new(Int32Array::from(vec![i32::MIN, i32::MAX])),
        Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
        Arc::new(UInt8Array::from(vec![u8::MAX])),
        Arc::new(UInt16Array::from(vec![u16::MAX])),
        Arc::new(UInt32Array::from(vec![u32::MAX])),
        Arc::new(UInt64Array::from(vec![Some(u64::MAX), None])),
        Arc::new(Float16Array::from(vec![
            half(0.1),
            half(65_504.0),
            half(f32::NAN),
        ])),
        Arc::new(Float32Array::from(vec![
            0.1,
            f32::MAX,
            f32::MIN_POSITIVE,
            f32::INFINITY,
        ])),
        Arc::new(Float64Array::from(vec![
            0.1,
            f64::MAX,
            5e-324,
            -0.0,
            f64::NEG_INFINITY,
        ])),
        Arc::new(
            Decimal128Array::from(vec![Some(1250), None, Some(-5), Some(0)])
                .with_precision_and_scale(20, 2)
                .unwrap(),
        ),
        Arc::new(
            Decimal128Array::from(vec![10_i128.pow(38) - 1, 1 - 10_i128.pow(38)])
                .with_precision_and_scale(38, 38)
                .unwrap(),
        ),
        Arc::new(
            Decimal128Array::from(vec![7])
                .with_precision_and_scale(9, 0)
                .unwrap(),
        ),
        Arc::new(
            Decimal256Array::from(vec![wide(&"9".repeat(60)), wide("-1")])
                .with_precision_and_scale(60, 10)
                .unwrap(),
        ),
        // The years -221, 1969, 2000, 2026 and 10183.
        Arc::new(Date32Array::from(vec![
            -800_000, -1, 11_016, 20_784, 3_000_000,
        ])),
        Arc::new(Time32MillisecondArray::from(vec![
            0, 34_200_001, 86_399_999,
        ])),
        Arc::new(Time64MicrosecondArray::from(vec![1, 86_399_999_999])),
        Arc::new(Time64NanosecondArray::from(vec![1, 86_399_999_999_999])),
        Arc::new(TimestampMillisecondArray::from(vec![
            -1,
            0,
            1_795_770_000_123,
        ])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), None]).with_timezone("UTC")),
        Arc::new(TimestampNanosecondArray::from(vec![
            20_784 * day + 1,
            i64::MIN,
        ])),
        Arc::new(TimestampNanosecondArray::from(vec![i64::MAX]).with_timezone("UTC")),
        // The last second of the year 9999, which is a frequent stand-in for "never".
        Arc::new(TimestampMillisecondArray::from(vec![253_402_300_799_999]).with_timezone("UTC")),
    ];
    for values in columns {
        let (batch, as_text) = kept(&values);
        assert_eq!(&format!("{:?}", batch.column(1)), &format!("{values:?}"));
        assert_eq!(as_text, [""; 0]);
    }
    let nulls: ArrayRef = Arc::new(arrow_array::NullArray::new(2));
    let (batch, as_text) = kept(&nulls);
    assert_eq!(batch.column(1).null_count(), 2);
    assert_eq!(as_text, ["nulls only"]);
}

#[test]
fn a_value_of_another_type_is_an_error_that_names_its_column() {
    for (of_input, value) in [
        (ColumnType::Int64, r#""x""#),
        (ColumnType::Int8, "128"),
        (ColumnType::Boolean, "1"),
        (ColumnType::Date, r#""2026-13-01""#),
        (
            ColumnType::Time {
                unit: TimeUnit::Milliseconds,
            },
            r#""09:30""#,
        ),
        (
            ColumnType::Timestamp {
                unit: TimeUnit::Nanoseconds,
                utc: true,
            },
            r#""9999-12-31T00:00:00Z""#,
        ),
        (
            ColumnType::Decimal {
                precision: 9,
                scale: 2,
            },
            r#""1.5""#,
        ),
        (
            ColumnType::Decimal {
                precision: 9,
                scale: 2,
            },
            r#""one.50""#,
        ),
    ] {
        let table = OutcomeTable::parquet(["n".to_owned()], []).with_kept_types([of_input]);
        let metadata = format!(r#"{{"n":{value}}}"#);
        let outcome = answered("1", Some(&metadata), None, AnswerView::Missing);
        let mut writer = crate::ParquetWriter::new(Vec::new());
        let error = writer.write(&rows(&table, &[outcome])).unwrap_err();
        let expected = "the kept column \"n\" has a value that is not of the type";
        assert!(error.to_string().starts_with(expected), "{value}: {error}");
    }
    // Without types, and in a table of CSV, every value is a text.
    for table in [
        OutcomeTable::parquet(["n".to_owned()], []),
        OutcomeTable::new(b',', ["n".to_owned()], []).with_kept_types([ColumnType::Int64]),
    ] {
        let outcome = answered("1", Some(r#"{"n":"x"}"#), None, AnswerView::Missing);
        let rows = rows(&table, &[outcome]);
        match table.is_parquet() {
            true => assert_eq!(read(file(&rows)).remove(0).num_rows(), 1),
            false => assert!(rows.ends_with(b"\n1,x,missing,,,,,,,,,,,,\n")),
        }
    }
}
