//! Tables as inputs of the command, from the flags to the output, against the emulator.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::ops::Deref;

use lmbatch_tests::{Scene, assert_says, lines, said};
use serde_json::{Value, json};

struct World(Scene);

impl Deref for World {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl World {
    fn new() -> Self {
        Self(Scene::new([""; 0]))
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        self.write(name, text);
    }

    /// Returns id, text and metadata of each line of an output.
    fn answers(&self, output: &str) -> Vec<Value> {
        let lines = lines(&self.path().join(output)).into_iter();
        lines
            .map(|line| json!([line["id"], line["text"], line["metadata"]]))
            .collect()
    }
}

const MODEL: &str = "openai/m";

#[test]
fn a_csv_and_a_template_become_requests_and_answers() {
    let world = World::new();
    world.put(
        "in.csv",
        "id,customer,text,note\r\nt-1,\"Müller, Anna\",\"two\nlines with \"\"quotes\"\"\",007\r\nt-2,李,plain,\r\n",
    );
    world.put("prompt.txt", "{{ customer }}: {{ text }}\n");
    let run = [
        "run",
        "in.csv",
        "-m",
        MODEL,
        "--emulate",
        "--prompt",
        "@prompt.txt",
        "--keep",
        "note,customer",
        "-o",
        "out.jsonl",
    ];
    assert_says(&world.at(&run), 0, &[]);
    assert_eq!(
        world.answers("out.jsonl"),
        [
            json!(["t-1", "echo: Müller, Anna: two\nlines with \"quotes\"", {"note": "007", "customer": "Müller, Anna"}]),
            json!(["t-2", "echo: 李: plain", {"note": "", "customer": "李"}]),
        ]
    );
}

#[test]
fn a_null_is_the_word_null_in_a_template_with_one_warning_and_no_prompt_of_its_own() {
    let world = World::new();
    world.put(
        "in.jsonl",
        "{\"id\":1,\"text\":null}\n{\"id\":2,\"text\":\"a\"}\n{\"id\":3,\"text\":null}\n",
    );
    world.put("in.csv", "id,text\n1,\n2,a\n");
    let run = |input: &str, more: &[&str]| {
        let run = ["run", input, "-m", MODEL, "--emulate", "--force", "--new"];
        world.at(&[&run[..], &["-o", "out.jsonl"], more].concat())
    };
    let texts = || -> Vec<Value> {
        let lines = lines(&world.path().join("out.jsonl")).into_iter();
        lines.map(|line| line["text"].clone()).collect()
    };
    let printed = ["--prompt", "<{{ text }}>"];
    let warned = run("in.jsonl", &printed);
    assert_says(&warned, 0, &["warning: 2 rows have no value where"]);
    assert_eq!(said(&warned).matches("no value where").count(), 1);
    assert_eq!(texts(), ["echo: <null>", "echo: <a>", "echo: <null>"]);
    let chosen = ["--prompt", "<{{ text if text is not none else '' }}>"];
    let silent = run("in.jsonl", &chosen);
    assert_says(&silent, 0, &[]);
    assert!(!said(&silent).contains("no value"), "{}", said(&silent));
    assert_eq!(texts(), ["echo: <>", "echo: <a>", "echo: <>"]);
    // An empty cell is the empty text.
    let empty = run("in.csv", &printed);
    assert!(!said(&empty).contains("no value"), "{}", said(&empty));
    assert_eq!(texts(), ["echo: <>", "echo: <a>"]);
    // A prompt that is null is an error of its row, which may be left out.
    let field = ["--prompt-field", "text"];
    let words = "the column \"text\", which holds the prompt, is null";
    assert_says(&run("in.jsonl", &field), 2, &[words, "line 1", "line 3"]);
    let skipping = [&field[..], &["--skip-invalid", "bad.jsonl"]].concat();
    assert_says(
        &run("in.jsonl", &skipping),
        0,
        &["2 invalid rows were left out"],
    );
    assert_eq!(texts(), ["echo: a"]);
    let estimate = ["estimate", "in.jsonl", "-m", MODEL, "-m", "openai/n"];
    let estimated = world.at(&[&estimate[..], &printed].concat());
    assert_eq!(said(&estimated).matches("no value where").count(), 1);
}

#[test]
fn a_table_without_a_prompt_is_refused_with_its_columns_and_the_flags() {
    let world = World::new();
    world.put("in.csv", "id,text\n1,a\n");
    for command in ["run", "validate"] {
        let refused = world.at(&[command, "in.csv", "-m", MODEL]);
        let parts = [
            "no column holds the prompt",
            "the columns are id, text",
            "--prompt '",
            "--prompt-field",
        ];
        assert_says(&refused, 2, &parts);
    }
    let misspelt = [
        "validate",
        "in.csv",
        "-m",
        MODEL,
        "--prompt",
        "Hi {{ txt }}",
    ];
    let parts = [
        "there is no column \"txt\"",
        "line 1, column 7",
        "did you mean \"text\"?",
    ];
    assert_says(&world.at(&misspelt), 2, &parts);
    assert_eq!(world.creates(), 0);
}

#[test]
fn requeue_with_another_model_reads_the_table_as_the_run_did() {
    let world = World::new();
    world.put("in.txt", "a;lmb:truncate one\nb;two\n");
    world.put("prompt.txt", "Say {{ c2 }}");
    let run = [
        "run",
        "in.txt",
        "-m",
        MODEL,
        "--run",
        "mine",
        "-o",
        "out.jsonl",
        "--poll-interval",
        "20ms",
        "--input-format",
        "csv",
        "--delimiter",
        ";",
        "--no-headers",
        "--id",
        "c1",
        "--prompt",
        "@prompt.txt",
        "--keep",
        "*",
    ];
    assert_says(&world.at(&run), 3, &[]);
    // The text of the template is kept with the run.
    world.put("prompt.txt", "{{ gone }}");
    let requeue = [
        "requeue",
        "mine",
        "--only",
        "truncated",
        "-m",
        "openai/n",
        "--poll-interval",
        "20ms",
    ];
    assert_says(&world.at(&requeue), 3, &["1 request of run"]);
    assert_eq!(world.creates(), 2);
    let answers = world.answers("out.jsonl");
    assert_eq!(
        answers[1],
        json!(["b", "echo: Say two", {"c1": "b", "c2": "two"}])
    );
}

#[test]
fn invalid_rows_are_left_out_and_counted() {
    let world = World::new();
    world.put("in.csv", "id,prompt,file\n1,a,\n2,b,gone.png\n3\n4,d,\n");
    let run = |more: &[&str]| {
        let run = [
            "run",
            "in.csv",
            "-m",
            MODEL,
            "--emulate",
            "--attach",
            "file",
            "-o",
            "out.jsonl",
            "--force",
        ];
        world.at(&[&run[..], more].concat())
    };
    assert_says(
        &run(&[]),
        2,
        &["2 lines are not valid", "line 3: the attachment gone.png"],
    );
    for _ in 0..2 {
        let skipped = run(&["--skip-invalid", "bad.jsonl"]);
        assert_says(&skipped, 0, &["2 invalid rows were left out"]);
    }
    let ids: Vec<_> = lines(&world.path().join("out.jsonl"))
        .into_iter()
        .map(|line| line["id"].clone())
        .collect();
    assert_eq!(ids, ["1", "4"]);
    let bad = lines(&world.path().join("bad.jsonl"));
    assert_eq!(
        (&bad[0]["line"], &bad[0]["row"]["id"]),
        (&json!(3), &json!("2"))
    );
    assert_eq!(
        (&bad[1]["line"], &bad[1]["row"]),
        (&json!(4), &json!(["3"]))
    );
    world.put("in.csv", "id,prompt,file\n1\n");
    assert_says(
        &run(&["--skip-invalid", "bad.jsonl"]),
        2,
        &["every row is invalid"],
    );
    world.put("notes.txt", "precious");
    assert_says(
        &run(&["--skip-invalid", "notes.txt"]),
        2,
        &["exists, and holds no invalid rows"],
    );
    assert_says(&run(&["--skip-invalid", "in.csv"]), 2, &["is the input"]);
}

#[test]
fn files_of_a_folder_and_samples_become_requests() {
    let world = World::new();
    world.put("docs/b.txt", "bee");
    world.put("docs/sub/a.txt", "ay");
    let run = [
        "run",
        "docs",
        "-m",
        MODEL,
        "--emulate",
        "--files",
        "**/*.txt",
        "--prompt",
        "{{ name }}: {{ text }}",
        "-o",
        "out.jsonl",
    ];
    assert_says(&world.at(&run), 0, &[]);
    assert_eq!(
        world.answers("out.jsonl"),
        [
            json!(["b.txt", "echo: b.txt: bee", null]),
            json!(["sub/a.txt", "echo: a.txt: ay", null]),
        ]
    );
    assert_says(
        &world.at(&["run", "docs", "-m", MODEL]),
        2,
        &["is a folder", "--files"],
    );
    let rows: String = (0..50)
        .map(|row| format!("{{\"prompt\":\"{row}\"}}\n"))
        .collect();
    world.put("in.jsonl", &rows);
    let validate = ["validate", "in.jsonl", "-m", MODEL, "--sample", "7"];
    assert_says(&world.at(&validate), 0, &["7 requests are valid", "seed 0"]);
    let validate = ["validate", "in.jsonl", "-m", MODEL, "--limit", "1"];
    assert_says(&world.at(&validate), 0, &["1 request is valid"]);
}

#[test]
fn each_row_may_name_a_model_of_the_provider() {
    let world = World::new();
    world.put("in.csv", "prompt,model\na,x\nb,\nc,openai/x\n");
    let run = [
        "run",
        "in.csv",
        "-m",
        MODEL,
        "--model-field",
        "model",
        "-o",
        "out.jsonl",
        "--poll-interval",
        "20ms",
    ];
    assert_says(&world.at(&run), 0, &["requests: 3 in 2 batches"]);
    assert_eq!(world.creates(), 2);
    let ids: Vec<_> = world
        .answers("out.jsonl")
        .iter()
        .map(|line| line[0].clone())
        .collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3)]);
}

#[test]
fn parameters_are_checked_before_anything_is_sent() {
    let world = World::new();
    world.put("in.jsonl", "{\"id\":1,\"prompt\":\"a\"}\n");
    for (args, expected) in [
        (
            ["--set", "temprature=1"],
            "--set temprature: there is no such parameter; did you mean temperature?",
        ),
        (["--max-tokens", "0"], "0 is not in 1..=4294967295"),
        (
            ["--temperature", "9"],
            "--temperature: 9 is not in the range from 0 to 2",
        ),
        (
            ["--top-p", "2"],
            "--top-p: 2 is not in the range from 0 to 1",
        ),
        (["--set", "top_p=2"], "--set top_p: 2 is not in the range"),
    ] {
        let refused = world.at(&[&["validate", "in.jsonl", "-m", MODEL][..], &args].concat());
        assert_says(&refused, 2, &[expected]);
    }
    world.put(
        "in.jsonl",
        "{\"id\":1,\"prompt\":\"a\",\"hyperparameters\":{\"maxTokens\":5}}\n",
    );
    let refused = world.at(&["validate", "in.jsonl", "-m", MODEL]);
    assert_says(
        &refused,
        2,
        &[
            "line 1: hyperparameters.maxTokens",
            "did you mean max_tokens?",
        ],
    );
    world.put(
        "in.jsonl",
        "{\"id\":1,\"prompt\":\"a\",\"hyperparameters\":{\"extra\":{\"user\":\"u\"}}}\n",
    );
    assert_says(&world.at(&["validate", "in.jsonl", "-m", MODEL]), 0, &[]);
}

#[test]
fn an_input_that_is_wrong_ends_with_code_two_and_what_to_write() {
    let world = World::new();
    let quotes = "id,prompt\na,\"never closed\nb,x\n";
    let empty = "id,prompt\na,x\nb,\nc, \n";
    let fields = "{\"promt\":\"x\"}\n{\"id\":1,\"promt\":\"y\"}\n";
    let image = "{\"contents\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"u\"}}]}\n";
    for (name, text, model, words) in [
        (
            "in.csv",
            quotes,
            "openai/m",
            &["the quote of a field that begins on line 2 is never closed"][..],
        ),
        (
            "in.csv",
            empty,
            "openai/m",
            &[
                "2 lines are not valid",
                "line 3: the prompt is empty",
                "line 4: ",
            ],
        ),
        (
            "in.csv",
            empty,
            "google/gemini-2.5-flash",
            &["line 3: the prompt is empty"],
        ),
        (
            "in.csv",
            empty,
            "anthropic/claude-haiku-4-5",
            &["line 3: the prompt is empty"],
        ),
        (
            "in.jsonl",
            fields,
            "openai/m",
            &[
                "line 1: unknown field \"promt\", at column 8; did you mean \"prompt\"?",
                "the fields of a line are id, model, prompt, ",
            ],
        ),
        (
            "in.jsonl",
            image,
            "openai/m",
            &["write {\"type\": \"image\", \"url\": \"https://…\"}"],
        ),
    ] {
        world.put(name, text);
        let provider = model.split('/').next().unwrap();
        let refused = world.of(provider, &["run", name, "-m", model, "-o", "out.jsonl"]);
        assert_says(&refused, 2, words);
        let listed = said(&refused).matches("tool_choice").count();
        assert!(listed < 2, "{}", said(&refused));
    }
    assert_eq!(world.creates(), 0);
    world.put("in.csv", empty);
    let skipped = world.run_input(
        "in.csv",
        &["--skip-invalid", "bad.jsonl", "-o", "out.jsonl"],
    );
    assert_says(&skipped, 0, &["2"]);
    assert_eq!(world.answers("out.jsonl").len(), 1);
    assert_eq!(lines(&world.path().join("bad.jsonl")).len(), 2);
    let standard = world.run_input("in.csv", &["--skip-invalid", "-", "-o", "out.jsonl"]);
    assert_says(&standard, 2, &["would be a file, and not standard output"]);
}
