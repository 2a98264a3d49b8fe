//! Parquet as an input and as an output.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray,
};
use lmbatch_tests::{Scene, assert_says, lines, lmbatch, object, said};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"type":"object","properties":{"mood":{"type":"string","enum":["happy","angry"]},"urgent":{"type":"boolean"}},"required":["mood","urgent"],"additionalProperties":false}"#;

fn world() -> Scene {
    let world = Scene::new([""; 0]);
    world.write("ticket.json", SCHEMA);
    world
}

/// Writes columns into a file of Parquet.
pub(crate) fn write(world: &Scene, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = File::create(world.path().join(name)).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Writes tickets with ids that are numbers.
fn write_tickets(world: &Scene, name: &str, count: i64) {
    let texts = (0..count).map(|row| format!("row \"{row}\", late\nü"));
    let columns: [(&str, ArrayRef); 3] = [
        ("ticket", Arc::new(Int64Array::from_iter_values(0..count))),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
        ("note", Arc::new(StringArray::new_null(count as usize))),
    ];
    write(world, name, columns.into());
}

/// Returns the rows of a file of Parquet.
pub(crate) fn batches(world: &Scene, name: &str) -> Vec<RecordBatch> {
    let file = File::open(world.path().join(name)).unwrap();
    let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    batches.build().unwrap().map(Result::unwrap).collect()
}

/// Returns the columns of texts in a file of Parquet.
fn texts(world: &Scene, name: &str) -> BTreeMap<String, Vec<Option<String>>> {
    let mut columns: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for batch in batches(world, name) {
        for (field, values) in batch.schema().fields().iter().zip(batch.columns()) {
            if let Some(values) = values.as_string_opt::<i32>() {
                let column = columns.entry(field.name().clone()).or_default();
                column.extend(values.iter().map(|text| text.map(str::to_owned)));
            }
        }
    }
    columns
}

#[test]
fn rows_of_csv_are_joined_by_id_with_an_output_of_parquet_that_is_an_input_again() {
    const ROWS: usize = 3_000;
    let world = world();
    let mut input = csv::Writer::from_path(world.path().join("tickets.csv")).unwrap();
    input.write_record(["ticket", "author", "text"]).unwrap();
    let author = |row: usize| format!("author \"{row}\"\nü");
    let asked: BTreeMap<String, String> = (0..ROWS)
        .map(|row| (format!("T-{row:05}"), author(row)))
        .collect();
    for (id, author) in &asked {
        input.write_record([id.as_str(), author, "late"]).unwrap();
    }
    input.flush().unwrap();
    let columns = ["--id", "ticket", "--keep", "author", "-q"];
    let asking = [
        "--prompt",
        "Mood of {{ author }}: {{ text }}",
        "--schema",
        "ticket.json",
    ];
    let run = [&columns[..], &asking, &["-o", "moods.parquet"]].concat();
    assert_says(&world.run_input("tickets.csv", &run), 0, &[]);
    let table = texts(&world, "moods.parquet");
    assert_eq!(table["id"].len(), ROWS);
    let answered = table["id"].iter().zip(&table["author"]).zip(&table["mood"]);
    for ((id, author), mood) in answered {
        assert_eq!(author.as_ref(), asked.get(id.as_ref().unwrap()));
        assert!(["happy", "angry"].contains(&mood.as_deref().unwrap()));
    }
    assert!(
        table["urgent"]
            .iter()
            .flatten()
            .all(|urgent| urgent == "true" || urgent == "false")
    );
    assert!(table["error_kind"].iter().all(Option::is_none));
    // The run keeps its format, and writes the same bytes each time.
    assert_says(&world.run_input("tickets.csv", &run), 0, &[]);
    let runs = world.at(&["runs", "--json"]);
    let text = String::from_utf8(runs.stdout).unwrap();
    let of_table = text
        .lines()
        .find(|line| line.contains("moods.parquet"))
        .unwrap();
    let of_table: Value = serde_json::from_str(of_table).unwrap();
    let id = of_table["run"].as_str().unwrap();
    assert_says(&world.at(&["audit", id]), 0, &[]);
    let piped = world.at(&["retrieve", id, "--output-format", "parquet"]);
    assert!(piped.stdout == world.file("moods.parquet"));
    // The answers are the input of another run.
    let next = [
        "--prompt",
        "{{ author }} is {{ mood }}",
        "--keep",
        "mood",
        "-o",
        "next.parquet",
        "-q",
    ];
    assert_says(&world.run_input("moods.parquet", &next), 0, &[]);
    let next = texts(&world, "next.parquet");
    assert_eq!((&next["id"], &next["mood"]), (&table["id"], &table["mood"]));
    let first = next["text"][0].as_deref().unwrap();
    let mood = table["mood"][0].as_deref().unwrap();
    assert_eq!(first, format!("echo: {} is {mood}", author(0)));
    assert_eq!(world.creates(), 2);
}

#[test]
fn parquet_is_recognised_by_its_content_wherever_a_table_is_read() {
    let world = world();
    write_tickets(&world, "part-0", 20);
    let columns = [
        "--id",
        "ticket",
        "--prompt",
        "{{ ticket }}: {{ text }} {{ note }}",
    ];
    let at = |command: &str, more: &[&str]| {
        let line = [command, "part-0", "-m", "openai/gpt-5.4-mini"];
        world.at(&[&line[..], &columns, more].concat())
    };
    assert_says(&at("validate", &[]), 0, &["20 requests are valid"]);
    assert_says(&at("estimate", &[]), 0, &["20"]);
    let shown = at("run", &["--dry-run", "--show", "1"]);
    assert_says(&shown, 0, &["row \\\"0\\\"", "null"]);
    assert_eq!(world.creates(), 0);
    assert_says(
        &at("run", &["-o", "out.jsonl", "--poll-interval", "20ms"]),
        0,
        &[],
    );
    let lines = lines(&world.path().join("out.jsonl"));
    assert_eq!(lines.len(), 20);
    assert_eq!(lines[19]["id"], 19);
    assert_eq!(lines[7]["text"], "echo: 7: row \"7\", late\nü null");
}

#[test]
fn kept_columns_have_the_types_of_the_input_and_others_are_named_before_anything_is_sent() {
    let world = world();
    let day = Date32Array::from(vec![Some(20_784), None, Some(-1)]);
    let at = TimestampMicrosecondArray::from(vec![1, 2, 3]).with_timezone("UTC");
    let price = Decimal128Array::from(vec![1250, -5, 0]);
    let mut tags = ListBuilder::new(StringBuilder::new());
    (0..3).for_each(|_| tags.append_value([Some("a")]));
    let columns: [(&str, ArrayRef); 8] = [
        ("prompt", Arc::new(StringArray::from(vec!["a", "b", "c"]))),
        (
            "count",
            Arc::new(Int32Array::from(vec![Some(7), None, Some(i32::MIN)])),
        ),
        (
            "score",
            Arc::new(Float64Array::from(vec![0.1, f64::NAN, -2.0])),
        ),
        (
            "is_new",
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ),
        ("day", Arc::new(day)),
        ("at", Arc::new(at)),
        (
            "price",
            Arc::new(price.with_precision_and_scale(9, 2).unwrap()),
        ),
        ("tags", Arc::new(tags.finish())),
    ];
    write(&world, "in.parquet", columns.to_vec());
    let words = "warning: kept columns that the output has as text: tags (lists)";
    let typed = world.run_input("in.parquet", &["--keep", "*", "-o", "out.parquet"]);
    assert_says(&typed, 0, &[words]);
    let messages = said(&typed);
    assert!(
        messages.find(words) < messages.find("created"),
        "{messages}"
    );
    let batch = batches(&world, "out.parquet").remove(0);
    for (name, values) in &columns[1..7] {
        let column = batch.column_by_name(name).unwrap();
        assert_eq!(&format!("{column:?}"), &format!("{values:?}"), "{name}");
    }
    let tags = batch.column_by_name("tags").unwrap();
    assert_eq!(tags.as_string::<i32>().value(0), r#"["a"]"#);
    // Lines have the values of JSON, and a table that is written from the record has the types.
    let id = object(&world.at(&["runs", "--json"]));
    let id = id["run"].as_str().unwrap();
    for name in ["out.jsonl", "again.parquet"] {
        assert_says(&world.at(&["retrieve", id, "-o", name]), 0, &[]);
    }
    assert!(world.file("again.parquet") == world.file("out.parquet"));
    let metadata = &lines(&world.path().join("out.jsonl"))[0]["metadata"];
    for (name, expected) in [
        ("count", json!(7)),
        ("score", json!(0.1)),
        ("is_new", json!(true)),
        ("day", json!("2026-11-27")),
        ("price", json!("12.50")),
        ("tags", json!(["a"])),
    ] {
        assert_eq!(metadata[name], expected, "{metadata}");
    }
}

#[test]
fn what_cannot_be_read_or_written_as_parquet_is_refused_before_anything_is_sent() {
    let world = world();
    write_tickets(&world, "in.parquet", 3);
    let whole = world.file("in.parquet");
    fs::write(world.path().join("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    world.write("text.parquet", "id,prompt\n1,hi\n");
    let prompt = ["--prompt", "{{ text }}"];
    for (input, more, words) in [
        ("cut.parquet", &[][..], &["may be incomplete"][..]),
        ("text.parquet", &[], &["the input is not Parquet"]),
        ("in.parquet", &["--delimiter", ";"], &["read as Parquet"]),
        ("in.parquet", &["--input-format", "csv"], &["it is Parquet"]),
        (
            "in.parquet",
            &["-o", "out.parquet.gz"],
            &["compressed inside", "name it .parquet"],
        ),
        (
            "in.parquet",
            &["-o", "out.parquet", "--raw"],
            &["--raw writes JSON Lines"],
        ),
        (
            "in.parquet",
            &["--keep", "nope"],
            &["the columns are ticket, text, note"],
        ),
    ] {
        let refused = world.run_input(input, &[&prompt[..], more].concat());
        assert_says(&refused, 2, words);
    }
    let piped = ["run", "-", "-m", "openai/m", "-o", "out.jsonl"];
    let mut command = world.command("openai", &piped);
    command.args(prompt).args(["--input-format", "parquet"]);
    let piped = command
        .stdin(
            File::open(world.path().join("in.parquet"))
                .map(Stdio::from)
                .unwrap(),
        )
        .output()
        .unwrap();
    assert_says(
        &piped,
        2,
        &["Parquet is read from a file, not from a stream"],
    );
    assert_eq!(world.creates(), 0);
    let left = fs::read_dir(world.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with("out")),
        "{left:?}"
    );
}

#[test]
fn the_table_of_an_emulated_run_can_be_told_from_that_of_a_paid_one() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("in.csv"), "prompt\na\nb\n").unwrap();
    let at = |args: &[&str]| {
        let mut command = Command::new(lmbatch());
        command
            .current_dir(home.path())
            .env_clear()
            .env("LMBATCH_STATE_DIR", home.path().join("state"))
            .args(args);
        command.output().unwrap()
    };
    let run = ["run", "in.csv", "-m", "openai/m", "--emulate", "-q", "-o"];
    for name in ["out.csv", "out.parquet"] {
        assert_says(&at(&[&run[..], &[name]].concat()), 0, &[]);
    }
    let table = fs::read_to_string(home.path().join("out.csv")).unwrap();
    let rows: Vec<&str> = table.lines().collect();
    assert!(rows[0].ends_with(",batch,emulated"), "{rows:?}");
    assert!(
        rows[1..].iter().all(|row| row.ends_with(",true")),
        "{rows:?}"
    );
    let file = File::open(home.path().join("out.parquet")).unwrap();
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert_eq!(
        batch
            .column_by_name("emulated")
            .unwrap()
            .as_boolean()
            .true_count(),
        2
    );
    // A run is continued in the form of its record.
    let listed = at(&["runs", "--emulated", "--json"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let run: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    let again = at(&["retrieve", run["run"].as_str().unwrap(), "-o", "again.tsv"]);
    assert_says(&again, 0, &[]);
    let again = fs::read_to_string(home.path().join("again.tsv")).unwrap();
    assert!(
        again
            .lines()
            .all(|row| row.ends_with("\temulated") || row.ends_with("\ttrue"))
    );
}
