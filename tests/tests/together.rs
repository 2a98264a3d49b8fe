//! Features that one run uses together: a table of Parquet as input and output, a pilot, repairs and a cost limit.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, Int64Array, StringArray};
use lmbatch_tests::{Scene, assert_says, object};

use crate::columnar::{batches, write};
use crate::pilot::TABLE;

const SCHEMA: &str = r#"{"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"], "additionalProperties": false}"#;

/// Number of rows, of which every eighth does not fit the schema at first: one of the pilot, and four others.
const ROWS: i64 = 40;
const PILOT: i64 = 5;

/// Reads dollars as pico-dollars.
fn picodollars(dollars: &str) -> i128 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    format!("{whole}{fraction:0<12}").parse().unwrap()
}

#[test]
fn a_pilot_with_repairs_and_a_cost_limit_reads_and_writes_parquet_and_its_costs_add_up() {
    let world = Scene::new([""; 0]).with_variable("LMBATCH_PRICES", "prices.json");
    world.write("prices.json", TABLE);
    world.write("schema.json", SCHEMA);
    let texts = (0..ROWS).map(|row| match row % 8 {
        2 => "lmb:schema-miss",
        _ => "fine",
    });
    let columns: [(&str, ArrayRef); 2] = [
        (
            "ticket",
            Arc::new(Int64Array::from_iter_values(100..100 + ROWS)),
        ),
        ("text", Arc::new(StringArray::from_iter_values(texts))),
    ];
    write(&world, "in.parquet", columns.into());
    let (pilot, options) = (
        PILOT.to_string(),
        ["--max-tokens", "100", "--max-cost", "9"],
    );
    let run = [
        &[
            "--id",
            "ticket",
            "--prompt",
            "{{ text }}",
            "--keep",
            "ticket",
        ][..],
        &["--schema", "schema.json", "--repair", "1"],
        &["--pilot", &pilot, "-y", "--json", "-o", "out.parquet"],
        &options,
    ]
    .concat();
    let ended = world.run_input("in.parquet", &run);
    assert_says(&ended, 0, &["repairing 1 answer ", "repairing 4 answers "]);
    let summary = object(&ended);
    assert_eq!(summary["pilot"]["requests"], PILOT, "{summary}");
    assert_eq!(summary["requests"], ROWS, "{summary}");
    assert_eq!(summary["billed"]["answers"], ROWS + 5, "{summary}");
    assert_eq!(summary["billed"]["superseded"], 5, "{summary}");
    assert_eq!(world.emulating.bill()["answered_requests"], ROWS + 5);
    let (mut ids, mut cost) = (BTreeSet::new(), 0);
    for batch in batches(&world, "out.parquet") {
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let tickets = column("ticket").as_primitive::<Int64Type>();
        let (texts, moods) = (
            column("id").as_string::<i32>(),
            column("mood").as_string::<i32>(),
        );
        let costs = column("cost_usd").as_primitive::<Decimal128Type>();
        for row in 0..batch.num_rows() {
            assert_eq!(texts.value(row), tickets.value(row).to_string());
            assert!(ids.insert(tickets.value(row)), "{row} is there twice");
            assert!(moods.is_valid(row) && costs.is_valid(row), "{row}");
            cost += costs.value(row);
        }
    }
    assert!(
        ids.into_iter().eq(100..100 + ROWS),
        "one row for each request"
    );
    let of_summary = |amount: &serde_json::Value| picodollars(amount["usd"].as_str().unwrap());
    let superseded = of_summary(&summary["cost"]["superseded"]);
    assert!(superseded > 0 && cost > 0, "{summary}");
    assert_eq!(cost + superseded, of_summary(&summary["cost"]), "{summary}");
    // The same command finds the run, and neither sends nor writes anything.
    let before = world.file("out.parquet");
    assert_says(&world.run_input("in.parquet", &run), 0, &[]);
    assert!(world.file("out.parquet") == before);
    assert_eq!(world.emulating.bill()["answered_requests"], ROWS + 5);
}
