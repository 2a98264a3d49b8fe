//! Parquet files as inputs.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    DurationMillisecondArray, Float32Array, Float64Array, Int8Array, Int64Array, NullArray,
    RecordBatch, StringArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};
use lmbatch_core::{RequestSource as _, SourcedRequest};
use lmbatch_lines::{KeptColumns, Sample, TableInput, TableOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

use super::{Shared, context, gzip, options, read, table, zstd};

/// Writes columns into a Parquet file.
fn written(
    columns: Vec<(&str, ArrayRef)>,
    change: impl FnOnce(WriterPropertiesBuilder) -> WriterPropertiesBuilder,
) -> Vec<u8> {
    let field =
        |(name, values): &(&str, ArrayRef)| Field::new(*name, values.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, values)| values).collect();
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap();
    let properties = change(WriterProperties::builder()).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn parquet(bytes: &[u8], change: impl FnOnce(&mut TableOptions)) -> TableInput {
    TableInput::parquet(file(bytes), options(change), context())
}

fn found(bytes: &[u8], change: impl FnOnce(&mut TableOptions)) -> Vec<String> {
    read(parquet(bytes, change)).unwrap()
}

fn refused(bytes: &[u8], change: impl FnOnce(&mut TableOptions)) -> String {
    let error = read(parquet(bytes, change)).unwrap_err();
    error.message().unwrap_or_default().to_owned()
}

#[test]
fn values_of_every_type_are_those_of_json() {
    let day = 86_400_000_000;
    let of_type: [(ArrayRef, &str, &str); 17] = [
        (texts(&["a \"b\"", ""]), "a \"b\"", ""),
        (
            Arc::new(Int64Array::from(vec![i64::MIN, i64::MAX])),
            "-9223372036854775808",
            "9223372036854775807",
        ),
        (
            Arc::new(UInt64Array::from(vec![u64::MAX, 0])),
            "18446744073709551615",
            "0",
        ),
        (
            Arc::new(Int8Array::from(vec![Some(-7), None])),
            "-7",
            "null",
        ),
        (
            Arc::new(Float64Array::from(vec![0.1, f64::NAN])),
            "0.1",
            "NaN",
        ),
        (
            Arc::new(Float32Array::from(vec![0.1, 1e20])),
            "0.1",
            "1e+20",
        ),
        (
            Arc::new(Float64Array::from(vec![3.0, f64::NEG_INFINITY])),
            "3.0",
            "-inf",
        ),
        (
            Arc::new(BooleanArray::from(vec![Some(true), None])),
            "true",
            "null",
        ),
        (Arc::new(NullArray::new(2)), "null", "null"),
        (
            Arc::new(Date32Array::from(vec![20_784, -1])),
            "2026-11-27",
            "1969-12-31",
        ),
        (
            Arc::new(Time32MillisecondArray::from(vec![34_200_000, 1])),
            "09:30:00",
            "00:00:00.001",
        ),
        (
            Arc::new(
                TimestampMicrosecondArray::from(vec![20_784 * day, 1]).with_timezone("+02:00"),
            ),
            "2026-11-27T00:00:00Z",
            "1970-01-01T00:00:00.000001Z",
        ),
        (
            Arc::new(DurationMillisecondArray::from(vec![Some(90_500), None])),
            "PT1M30.5S",
            "null",
        ),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![20_784 * day, 0])),
            "2026-11-27T00:00:00",
            "1970-01-01T00:00:00",
        ),
        (
            Arc::new(TimestampNanosecondArray::from(vec![1, -1]).with_timezone("UTC")),
            "1970-01-01T00:00:00.000000001Z",
            "1969-12-31T23:59:59.999999999Z",
        ),
        (
            Arc::new(
                Decimal128Array::from(vec![1250, -5])
                    .with_precision_and_scale(20, 2)
                    .unwrap(),
            ),
            "12.50",
            "-0.05",
        ),
        (
            Arc::new(DictionaryArray::<Int32Type>::from_iter(["red", "red"])),
            "red",
            "red",
        ),
    ];
    for (values, first, second) in of_type {
        let kind = values.data_type().clone();
        let bytes = written(vec![("v", values)], |properties| properties);
        let rows = found(&bytes, |options| {
            options.prompt = Some("<{{ v }}>".to_owned())
        });
        assert_eq!(
            rows,
            [format!("1 1: <{first}>"), format!("2 2: <{second}>")],
            "{kind}"
        );
        // The types are also those of the metadata, where a text stays a text.
        let kept = found(&bytes, |options| {
            options.prompt = Some("x".to_owned());
            options.keep = KeptColumns::All;
        });
        let cells: serde_json::Value =
            serde_json::from_str(&kept[0][kept[0].find('{').unwrap()..]).unwrap();
        let is_text = !matches!(
            kind,
            DataType::Int64
                | DataType::UInt64
                | DataType::Int8
                | DataType::Float64
                | DataType::Float32
                | DataType::Boolean
                | DataType::Null
        );
        assert_eq!(cells["v"].is_string(), is_text, "{kind}: {cells}");
    }
}

#[test]
fn lists_structs_and_maps_are_json() {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), None]);
    tags.append_null();
    let mut scores = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    scores.keys().append_value("x y");
    scores.values().append_value(1);
    scores.append(true).unwrap();
    scores.append(true).unwrap();
    let person = StructArray::from(vec![
        (
            Arc::new(Field::new("name", DataType::Utf8, true)),
            Arc::new(StringArray::from(vec![Some("Zoë"), None])) as ArrayRef,
        ),
        (
            Arc::new(Field::new("age", DataType::Int64, false)),
            Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef,
        ),
    ]);
    let bytes = written(
        vec![
            ("tags", Arc::new(tags.finish())),
            ("scores", Arc::new(scores.finish())),
            ("person", Arc::new(person)),
        ],
        |properties| properties,
    );
    let template = "{{ tags }} {{ scores }} {{ person }} {{ person.age }}";
    let rows = found(&bytes, |options| options.prompt = Some(template.to_owned()));
    assert_eq!(
        rows,
        [
            r#"1 1: ["a",null] {"x y":1} {"name":"Zoë","age":7} 7"#,
            r#"2 2: null {} {"name":null,"age":8} 8"#,
        ]
    );
}

#[test]
fn every_compression_and_any_number_of_row_groups_give_the_same_rows() {
    let ids: Vec<String> = (0..2_500).map(|row| format!("r{row}")).collect();
    let prompts: Vec<&str> = (0..2_500)
        .map(|row| ["red", "green", "blue"][row % 3])
        .collect();
    let columns = || -> Vec<(&str, ArrayRef)> {
        vec![
            ("id", Arc::new(StringArray::from(ids.clone()))),
            ("prompt", texts(&prompts)),
        ]
    };
    let expected: Vec<String> = ids
        .iter()
        .zip(&prompts)
        .enumerate()
        .map(|(row, (id, prompt))| format!("{} {id}: {prompt}", row + 1))
        .collect();
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
    ] {
        for rows_in_group in [300, 5_000] {
            for has_dictionary in [true, false] {
                let bytes = written(columns(), |properties| {
                    properties
                        .set_compression(compression)
                        .set_dictionary_enabled(has_dictionary)
                        .set_max_row_group_row_count(Some(rows_in_group))
                });
                assert_eq!(found(&bytes, |_| {}), expected, "{compression:?}");
            }
        }
    }
    let bytes = written(columns(), |properties| properties);
    let drawn = found(&bytes, |options| {
        options.sample = Some(Sample { count: 3, seed: 1 })
    });
    assert_eq!(drawn.len(), 3);
    assert!(drawn.iter().all(|row| expected.contains(row)), "{drawn:?}");
    assert_eq!(
        found(&bytes, |options| options.limit = Some(2)),
        expected[..2]
    );
}

#[test]
fn ids_and_prompts_come_from_columns_and_no_rows_are_no_requests() {
    let columns = |count: usize| -> Vec<(&str, ArrayRef)> {
        vec![
            (
                "key",
                Arc::new(Int64Array::from(vec![Some(7), None, Some(9)]).slice(0, count)),
            ),
            (
                "prompt",
                Arc::new(StringArray::from(vec![Some("hi"), Some("x"), None]).slice(0, count)),
            ),
        ]
    };
    let bytes = written(columns(3), |properties| properties);
    let by_key = |options: &mut TableOptions| options.id = Some("key".to_owned());
    assert_eq!(
        found(&bytes, by_key),
        [
            "1 7: hi",
            "2 the column \"key\", which holds the id, is empty",
            "3 the column \"prompt\", which holds the prompt, is null",
        ]
    );
    let none = written(columns(0), |properties| properties);
    assert_eq!(found(&none, by_key), [""; 0]);
    let unknown = refused(&bytes, |options| {
        options.prompt = Some("{{ promt }}".to_owned())
    });
    assert_eq!(
        unknown,
        "there is no column \"promt\", which the prompt reads at line 1, column 4; the columns are key, prompt; did you mean \"prompt\"?"
    );
}

#[test]
fn a_file_that_is_not_whole_parquet_is_refused_by_its_state() {
    let bytes = written(vec![("prompt", texts(&["hi"]))], |properties| properties);
    let cut = &bytes[..bytes.len() - 1];
    let mut encrypted = bytes.clone();
    encrypted[bytes.len() - 4..].copy_from_slice(b"PARE");
    for (bytes, expected) in [
        (
            cut,
            "the input begins like Parquet and does not end like it; it may be incomplete",
        ),
        (&encrypted, "the input is encrypted Parquet; decrypt it"),
        (
            b"id,prompt\n1,hello\n",
            "the input is not Parquet, as its name or the given format says",
        ),
        (
            b"",
            "the input is not Parquet, as its name or the given format says",
        ),
        (
            &gzip(&bytes),
            "the input is compressed as a whole; decompress it, since Parquet is compressed inside",
        ),
        (
            &zstd(&bytes),
            "the input is compressed as a whole; decompress it, since Parquet is compressed inside",
        ),
        (b"PAR1PAR1PAR1", "the Parquet file cannot be read: "),
    ] {
        let found = refused(bytes, |_| {});
        assert!(found.starts_with(expected), "{found}");
    }
    let streamed = |options: TableOptions| {
        let error = read(table(bytes.clone(), options)).unwrap_err();
        error.message().unwrap_or_default().to_owned()
    };
    assert_eq!(
        streamed(options(
            |options| options.format = lmbatch_lines::InputFormat::Parquet
        )),
        "Parquet is read from a file, not from a stream, since its index is at its end; save the input as a file"
    );
    assert!(streamed(options(|_| {})).contains("it is Parquet"));
}

#[test]
fn a_damaged_file_is_an_error_or_other_rows_and_never_a_panic() {
    let ids: Vec<String> = (0..40).map(|row| format!("r{row}")).collect();
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..40 {
        lists.append_value((0..row % 3).map(|_| Some("x")));
    }
    let bytes = written(
        vec![
            ("id", Arc::new(StringArray::from(ids))),
            ("prompt", texts(&["some text"; 40])),
            ("number", Arc::new(Int64Array::from_iter_values(0..40))),
            ("list", Arc::new(lists.finish())),
        ],
        |properties| properties.set_compression(Compression::UNCOMPRESSED),
    );
    let all = |options: &mut TableOptions| options.keep = KeptColumns::All;
    let (mut errors, mut whole) = (0, 0);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= [0x01, 0x80, 0xff][at % 3];
        match read(parquet(&damaged, all)) {
            Ok(_) => whole += 1,
            Err(_) => errors += 1,
        }
    }
    assert!(
        errors > bytes.len() / 2 && whole > 0,
        "{errors} and {whole}"
    );
}

#[test]
fn names_of_columns_are_unique_and_not_empty() {
    for (names, expected) in [
        (
            ["prompt", "prompt"],
            "columns 1 and 2 of the Parquet file have the same name, \"prompt\"; rename one of them",
        ),
        (
            ["prompt", ""],
            "column 2 of the Parquet file has no name; name it",
        ),
    ] {
        let columns = names.map(|name| (name, texts(&["a"]))).into();
        let bytes = written(columns, |properties| properties);
        assert_eq!(refused(&bytes, |_| {}), expected);
    }
}

/// Columns of a data set with images.
fn with_images() -> Vec<u8> {
    let image = StructArray::from(vec![(
        Arc::new(Field::new("bytes", DataType::Binary, true)),
        Arc::new(BinaryArray::from(vec![&b"\x89PNG"[..], b""])) as ArrayRef,
    )]);
    written(
        vec![
            ("image", Arc::new(image)),
            ("a b", texts(&["x", "y"])),
            ("id", texts(&["1", ""])),
        ],
        |properties| properties,
    )
}

#[test]
fn a_binary_column_is_refused_only_where_it_is_needed() {
    let bytes = with_images();
    let rows = found(&bytes, |options| {
        options.prompt = Some("{{ row['a b'] }}".to_owned())
    });
    assert_eq!(rows[0], "1 1: x");
    let refusal = "the column \"image\" is binary and cannot be part of a request; name other columns, or convert it to text";
    for keep in [
        KeptColumns::All,
        KeptColumns::Named(vec!["image".to_owned()]),
    ] {
        let found = refused(&bytes, |options| {
            options.prompt_field = Some("a b".to_owned());
            options.keep = keep;
        });
        assert_eq!(found, refusal);
    }
    let unread = found(&bytes, |options| {
        options.prompt = Some("{{ row.image }}".to_owned())
    });
    assert!(unread[0].contains("undefined value"), "{unread:?}");
}

#[test]
fn a_row_that_is_left_out_is_written_with_the_columns_that_can_be_read() {
    let skipped = Shared::default();
    let table = parquet(&with_images(), |options| {
        options.prompt_field = Some("id".to_owned())
    });
    let rows = read(table.with_skipped(skipped.clone())).unwrap();
    assert_eq!(rows, ["1 1: 1"]);
    let written = String::from_utf8(skipped.0.lock().unwrap().clone()).unwrap();
    assert_eq!(
        written,
        "{\"line\":2,\"error\":\"the column \\\"id\\\", which holds the id, is empty\",\"row\":{\"a b\":\"y\",\"id\":\"\"}}\n"
    );
}

/// Reads a file to its end, and returns the number of requests and the peak of memory in bytes.
fn peak(bytes: &[u8], template: &str) -> (u32, u64) {
    let file = file(bytes);
    let mut count = 0;
    let info = allocation_counter::measure(|| {
        let options = options(|options| options.prompt = Some(template.to_owned()));
        let mut table = TableInput::parquet(file, options, context());
        let mut visit = |sourced: SourcedRequest<'_>| count += u32::from(sourced.entry.is_ok());
        while table.next(&mut visit).unwrap() {}
    });
    (count, info.bytes_max)
}

#[test]
fn memory_is_independent_of_the_number_of_rows_and_of_columns_that_are_not_needed() {
    let file = |count: usize, width: usize, wide: usize| {
        let rows = 0..count;
        let text = |row: usize, width: usize| format!("{row} {}", "x".repeat(width));
        let column = |width: usize| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(
                rows.clone().map(|row| text(row, width)),
            ))
        };
        written(
            vec![("text", column(width)), ("unread", column(wide))],
            |properties| {
                properties
                    .set_dictionary_enabled(false)
                    .set_max_row_group_row_count(Some(8_000))
            },
        )
    };
    // Rows that are decoded at once may lie in two row groups.
    let few = peak(&file(24_000, 50, 10), "{{ text }}");
    let many = peak(&file(64_000, 50, 10), "{{ text }}");
    assert_eq!((few.0, many.0), (24_000, 64_000));
    assert!(many.1 <= few.1 + (64 << 10), "{few:?} and {many:?}");
    let beside = peak(&file(1_000, 50, 20_000), "{{ text }}");
    assert!(beside.1 < 2 << 20, "{beside:?}");
    // A row group of 30 MB.
    let wide = peak(&file(1_500, 20_000, 1), "{{ text }}");
    assert_eq!(wide.0, 1_500);
    assert!(wide.1 < 10 << 20, "{wide:?}");
}
