//! Commands that would pay twice, or whose options would not apply, are refused before anything is sent.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use lmbatch_tests::{Emulating, said, write_input};
use serde_json::json;

/// Runs a command at the emulated OpenAI, and checks its exit code and a part of its message.
fn check(emulating: &Emulating, folder: &Path, args: &[&str], code: i32, part: &str) {
    let output = emulating.run_at("openai", folder, args);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    assert!(text.contains(part), "{args:?}: {text}");
}

fn batches(emulating: &Emulating) -> usize {
    emulating.bill()["batches"].as_array().unwrap().len()
}

const QUICK: [&str; 6] = [
    "run",
    "in.jsonl",
    "-m",
    "openai/m",
    "--poll-interval",
    "20ms",
];

#[test]
fn options_that_would_not_apply_to_a_batch_line_are_refused() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let raw = json!({
        "custom_id": "a", "method": "POST", "url": "/v1/responses",
        "body": {"model": "m", "input": "hi"},
    });
    std::fs::write(folder.path().join("s.json"), r#"{"type":"object"}"#).unwrap();
    write_input(folder.path(), [&json!({"id": "b", "prompt": "x"}), &raw]);
    for (option, value, named) in [
        ("--max-tokens", "7", "max_tokens"),
        ("--system", "Be brief.", "system"),
        ("--effort", "low", "effort"),
        ("--set", "zip=1", "zip"),
        ("--schema", "s.json", "schema"),
    ] {
        for last in ["--quiet", "--dry-run"] {
            let args = [&QUICK[..], &[option, value, last]].concat();
            let part = format!(
                "line 2: this is an OpenAI batch line, which is sent as it is, so that {named} "
            );
            check(&emulating, folder.path(), &args, 2, &part);
        }
    }
    assert_eq!(batches(&emulating), 0);
    write_input(folder.path(), [&raw]);
    check(
        &emulating,
        folder.path(),
        &[&QUICK[..], &["--run", "mine"]].concat(),
        0,
        "",
    );
    std::fs::write(folder.path().join("ids"), "a\n").unwrap();
    for more in [
        &["--max-tokens", "4000"][..],
        &["--set", "zip=1"],
        &["--set", "zip=1", "--dry-run"],
    ] {
        let args = [&["requeue", "mine", "--ids", "ids"][..], more].concat();
        check(
            &emulating,
            folder.path(),
            &args,
            2,
            "this is an OpenAI batch line",
        );
    }
    assert_eq!(batches(&emulating), 1);
}

#[test]
fn a_grown_input_with_another_output_is_refused_and_can_be_updated() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let line = |id: &str| json!({"id": id, "prompt": "x"});
    write_input(folder.path(), [line("a")]);
    std::os::unix::fs::symlink("in.jsonl", folder.path().join("link.jsonl")).unwrap();
    let at = |input: &str, more: &[&str], code, part: &str| {
        let args = [&["run", input], &QUICK[2..], more].concat();
        check(&emulating, folder.path(), &args, code, part);
    };
    at("in.jsonl", &["-o", "one.jsonl"], 0, "");
    at("link.jsonl", &["-o", "two.jsonl"], 0, "already");
    write_input(folder.path(), [line("a"), line("b")]);
    for input in ["in.jsonl", "link.jsonl", "./in.jsonl"] {
        for part in [
            "have changed since run",
            "requests: 1 unchanged, 0 changed, 1 new, 0 gone",
            "--update: sends 1 request, and keeps the answers to the others",
            "--new: sends 2 requests, each time",
        ] {
            at(input, &["-o", "three.jsonl"], 2, part);
        }
    }
    assert_eq!(batches(&emulating), 1);
    at(
        "link.jsonl",
        &["-o", "three.jsonl", "--update"],
        0,
        "1 unchanged, 0 changed, 1 new, 0 gone",
    );
    // Other options on the same input are another run.
    at(
        "in.jsonl",
        &["-o", "four.jsonl", "--max-tokens", "9"],
        0,
        "",
    );
    assert_eq!(batches(&emulating), 3);
}

#[test]
fn other_columns_or_rows_of_a_sent_input_are_refused_and_can_be_updated() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let table = "id,text,num\n1,a,7\n2,b,8\n3,c,9\n";
    std::fs::write(folder.path().join("in.csv"), table).unwrap();
    let run = ["run", "in.csv", "--prompt", "{{ text }}"];
    let at = |more: &[&str], code, part: &str| {
        let args = [&run[..], &QUICK[2..], more].concat();
        check(&emulating, folder.path(), &args, code, part);
    };
    at(&["-o", "one.csv", "--limit", "2"], 0, "");
    for (more, part) in [
        (&["--keep", "num"][..], "2 unchanged, 0 changed, 1 new"),
        (&["--limit", "2", "--keep", "num"], "sends nothing"),
        (&["--id", "num"], "0 unchanged, 0 changed, 3 new, 2 gone"),
        (&["--pilot", "1", "--keep", "num"], "1 new"),
    ] {
        at(&[more, &["-o", "two.csv"]].concat(), 2, part);
    }
    let before = batches(&emulating);
    let update = ["--limit", "2", "--keep", "num", "-o", "two.csv", "--update"];
    at(&update, 0, "2 unchanged, 0 changed, 0 new");
    assert_eq!(batches(&emulating), before);
    let kept = std::fs::read_to_string(folder.path().join("two.csv")).unwrap();
    assert!(kept.starts_with("id,num,"), "{kept}");
}

#[test]
fn a_grown_input_without_the_name_of_its_run_is_sent_with_a_warning() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    let line = |id: &str| json!({"id": id, "prompt": "x"});
    let at = |more: &[&str], part: &str| {
        let args = [&QUICK[..], more].concat();
        check(&emulating, folder.path(), &args, 0, part);
    };
    write_input(folder.path(), [line("a")]);
    at(&["-o", "one.jsonl", "--run", "mine"], "");
    write_input(folder.path(), [line("a"), line("b")]);
    let warning = "another version of this input was sent to the same model by run r-";
    at(&["-o", "two.jsonl"], warning);
    at(
        &["-o", "one.jsonl", "--run", "mine", "--update"],
        "1 unchanged, 0 changed, 1 new, 0 gone",
    );
}

#[test]
fn wrong_names_limits_and_numbers_are_refused_before_anything_is_sent() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), [json!({"id": "a", "prompt": "x"})]);
    for (more, part) in [
        (&["--run", ""][..], "is empty"),
        (&["--run", " x\ny"], "control character"),
        (&["--run", "r-npphdfnh3qdp"], "the form of the id of a run"),
        (&["--max-attempts", "0"], "1.."),
        (&["--max-batch-requests", "0"], "1.."),
        (&["--max-batch-bytes", "0"], "1.."),
        (&["--max-batch-tokens", "0"], "1.."),
        (&["--max-tokens", "0"], "1.."),
        (&["--temperature", "nan"], "finite number"),
        (&["--temperature", "inf"], "finite number"),
        (&["--temperature", "-1"], "finite number"),
        (&["--max-failed", "-1"], "not a number or a percentage"),
        (
            &["--max-tokens", "7", "--set", "max_tokens=5"],
            "set one parameter",
        ),
        (
            &["--temperature", "1", "--set", "temperature=0"],
            "set one parameter",
        ),
        (
            &["--top-p", "0.5", "--set", "top_p=0.3"],
            "set one parameter",
        ),
        (
            &["--emulate", "--base-url", "http://127.0.0.1:1"],
            "exclude each other",
        ),
    ] {
        check(
            &emulating,
            folder.path(),
            &[&QUICK[..], more].concat(),
            2,
            part,
        );
    }
    assert_eq!(batches(&emulating), 0);
}

#[test]
fn force_does_not_take_the_output_of_an_unfinished_run() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    write_input(folder.path(), [json!({"id": "a", "prompt": "x"})]);
    check(
        &emulating,
        folder.path(),
        &[&QUICK[..], &["--detach", "-o", "out.jsonl"]].concat(),
        0,
        "",
    );
    std::fs::write(
        folder.path().join("other.jsonl"),
        "{\"id\":\"b\",\"prompt\":\"y\"}\n",
    )
    .unwrap();
    let other = [
        "run",
        "other.jsonl",
        "-m",
        "openai/m",
        "-o",
        "out.jsonl",
        "--force",
    ];
    check(&emulating, folder.path(), &other, 2, "which has not ended");
    assert_eq!(batches(&emulating), 1);
}
