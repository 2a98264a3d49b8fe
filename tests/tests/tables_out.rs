//! Outputs as tables, compressed or not.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::io::Read as _;

use lmbatch_tests::{Scene, assert_says, said};
use serde_json::json;

const SCHEMA: &str = r#"{"type":"object","properties":{"mood":{"type":"string"},"score":{"type":"integer"}},"required":["mood","score"],"additionalProperties":false}"#;

fn world() -> Scene {
    let prompts = [
        "a \"quote\", and\na line",
        "ü",
        "lmb:error-400",
        "lmb:schema-miss",
    ];
    let lines = prompts.iter().enumerate();
    let world =
        Scene::new(lines.map(|(at, prompt)| json!({"id": format!("r{at}"), "prompt": prompt})));
    world.write("schema.json", SCHEMA);
    world
}

/// Returns the records of a table, its header first.
fn records(bytes: &[u8], delimiter: u8) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(bytes);
    let fields = |record: csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|record| fields(record.unwrap()))
        .collect()
}

#[test]
fn a_run_writes_a_table_with_a_column_for_each_property_of_the_schema() {
    let world = world();
    let run = ["--schema", "schema.json", "-o", "out.csv"];
    assert_says(&world.run(&run), 3, &[]);
    let table = records(&world.file("out.csv"), b',');
    let header = &table[0];
    assert_eq!(
        header.join(","),
        "id,status,problem,text,mood,score,finish_reason,input_tokens,cached_input_tokens,output_tokens,thinking_tokens,cost_usd,cost_usd_at_most,error_kind,error_message,batch"
    );
    let column = |name: &str| {
        let at = header.iter().position(|column| column == name).unwrap();
        table[1..]
            .iter()
            .map(|row| row[at].as_str())
            .collect::<Vec<_>>()
    };
    assert_eq!(column("id"), ["r0", "r1", "r2", "r3"]);
    assert_eq!(
        column("status"),
        ["succeeded", "succeeded", "errored", "succeeded"]
    );
    assert_eq!(column("problem"), ["", "", "", "invalid_structured"]);
    assert!(column("score")[0].parse::<i64>().is_ok());
    assert_eq!(column("score")[2..], ["", ""]);
    assert_eq!(column("error_kind")[2], "provider_invalid_args");
    // The run keeps its format: the same command finds the output as it wrote it.
    assert_says(&world.run(&run), 3, &["complete and unchanged"]);
    let runs = world.at(&["runs", "--json"]);
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
    let id = runs["run"].as_str().unwrap();
    assert_says(&world.at(&["audit", id]), 0, &[]);
    for name in ["out.tsv", "out.csv.gz", "out.csv.zst"] {
        assert_says(&world.at(&["retrieve", id, "-o", name]), 3, &[]);
    }
    assert_eq!(records(&world.file("out.tsv"), b'\t'), table);
    let gz = world.file("out.csv.gz");
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&gz[..])
        .read_to_end(&mut text)
        .unwrap();
    assert!(text == world.file("out.csv"));
    let zst = zstd::decode_all(&world.file("out.csv.zst")[..]).unwrap();
    assert!(zst == text);
    let piped = world.at(&["retrieve", id, "--output-format", "csv"]);
    assert!(piped.stdout == text, "{}", said(&piped));
    assert_eq!(world.creates(), 1);
}

#[test]
fn a_requeued_run_keeps_the_format_of_its_output() {
    let world = world();
    assert_says(
        &world.run(&["-o", "out.csv.gz", "--max-attempts", "1"]),
        3,
        &[],
    );
    let first = world.file("out.csv.gz");
    let runs = world.at(&["runs", "--json"]);
    let runs: serde_json::Value = serde_json::from_slice(&runs.stdout).unwrap();
    let id = runs["run"].as_str().unwrap();
    let requeued = world.at(&["requeue", id, "--poll-interval", "20ms"]);
    assert_says(&requeued, 3, &["1 request of run"]);
    let second = world.file("out.csv.gz");
    assert!(
        first != second,
        "the batch of the row that was sent again differs"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&second[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(records(text.as_bytes(), b',').len(), 5);
}

#[test]
fn an_output_whose_format_is_unknown_is_refused_before_anything_is_sent() {
    let world = world();
    for (more, words) in [
        (&["-o", "out.json"][..], &["name it .jsonl"][..]),
        (
            &["-o", "out.xlsx"],
            &[".jsonl, .csv, .tsv", "--output-format"],
        ),
        (&["-o", "out.csv", "--raw"], &["--raw writes JSON Lines"]),
    ] {
        assert_says(&world.run(more), 2, words);
    }
    assert_eq!(world.creates(), 0);
    assert_says(
        &world.run(&["-o", "out.txt", "--output-format", "tsv"]),
        3,
        &[],
    );
    assert!(world.file("out.txt").starts_with(b"id\tstatus\t"));
}

/// Schema of a pydantic model, as `model_json_schema()` prints it.
const PYDANTIC: &str = r#"{"properties":{"mood":{"enum":["happy","neutral","angry"],"title":"Mood","type":"string"},"urgent":{"title":"Urgent","type":"boolean"}},"required":["mood","urgent"],"title":"Ticket","type":"object","additionalProperties":false}"#;

#[test]
fn ten_thousand_rows_of_a_table_are_joined_back_by_id_in_one_command() {
    const ROWS: usize = 10_000;
    let world = world();
    let mut input = csv::Writer::from_path(world.path().join("tickets.csv")).unwrap();
    input.write_record(["ticket", "author", "text"]).unwrap();
    let text = |row: usize| format!("row \"{row}\", late\nü {}", "x".repeat(row % 50));
    for row in 0..ROWS {
        let id = format!("T-{row:05}");
        input
            .write_record([&id, &format!("author {row}"), &text(row)])
            .unwrap();
    }
    input.flush().unwrap();
    fs::write(world.path().join("ticket.json"), PYDANTIC).unwrap();
    let prompt = "Mood and urgency of {{ author }}: {{ text }}";
    let command = [
        "run",
        "tickets.csv",
        "-m",
        "openai/m",
        "--id",
        "ticket",
        "--prompt",
        prompt,
        "--keep",
        "author",
        "--schema",
        "ticket.json",
        "-o",
        "moods.csv",
        "--poll-interval",
        "20ms",
        "-q",
    ];
    assert_says(&world.at(&command), 0, &[]);
    let table = records(&world.file("moods.csv"), b',');
    assert_eq!(table.len(), ROWS + 1);
    let at = |name: &str| table[0].iter().position(|column| column == name).unwrap();
    let [id, author, status, mood, urgent] = ["id", "author", "status", "mood", "urgent"].map(at);
    for (row, record) in table[1..].iter().enumerate() {
        assert_eq!(record[id], format!("T-{row:05}"));
        assert_eq!(record[author], format!("author {row}"));
        assert_eq!(record[status], "succeeded");
        assert!(["happy", "neutral", "angry"].contains(&record[mood].as_str()));
        assert!(["true", "false"].contains(&record[urgent].as_str()));
    }
    assert_eq!(world.creates(), 1);
}
