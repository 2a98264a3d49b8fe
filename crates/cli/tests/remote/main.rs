//! Inputs and outputs at URLs, over a store on this machine.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod moto;
mod store;

use std::fs;
use std::io::Read as _;
use std::ops::Deref;
use std::process::{Command, Output};

use lmbatch_tests::{assert_says, said};
use tempfile::TempDir;

use crate::store::Store;

/// Keys that no message may hold.
const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIACANARYCANARY0000"),
    (
        "AWS_SECRET_ACCESS_KEY",
        "canary/secret/of/forty/characters/000000",
    ),
    ("AWS_SESSION_TOKEN", "canary-session-token-0123456789"),
];

/// A folder for commands whose S3 is a store on this machine.
struct World {
    endpoint: String,
    home: TempDir,
}

/// A folder, and the store that its commands use.
struct WithStore {
    world: World,
    store: Store,
}

impl Deref for WithStore {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl WithStore {
    fn new() -> Self {
        let store = Store::start();
        store.put("/data/in.csv", "id,prompt\na,Hi\nb,\"x, y\"\n");
        let world = World::at_store(format!("http://{}", store.address));
        Self { world, store }
    }
}

impl World {
    fn at_store(endpoint: String) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("tmp")).unwrap();
        Self { endpoint, home }
    }

    fn at(&self, args: &[&str]) -> Output {
        let home = self.home.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_lmbatch"));
        command
            .args(args)
            .current_dir(home)
            .env_clear()
            .envs(KEYS)
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("LMBATCH_STATE_DIR", home.join("state"))
            .env("TMPDIR", home.join("tmp"));
        let output = command.output().unwrap();
        let all = said(&output);
        for (name, key) in KEYS {
            assert!(!all.contains(key), "{name} is in: {all}");
        }
        output
    }

    fn run(&self, input: &str, more: &[&str]) -> Output {
        let run = ["run", input, "-m", "openai/gpt-5.4-mini", "--emulate"];
        self.at(&[&run[..], &["--pace", "instant"], more].concat())
    }

    /// Returns the names of the files in the folder of temporary files.
    fn temporary(&self) -> Vec<String> {
        let entries = fs::read_dir(self.home.path().join("tmp")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

fn unzipped(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(bytes);
    decoder.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_run_reads_an_object_and_writes_one_and_repeating_it_sends_nothing() {
    let world = WithStore::new();
    let (input, output) = ("s3://data/in.csv", "s3://data/out/a.jsonl.gz");
    assert_says(
        &world.run(input, &["-o", output]),
        0,
        &["downloading", "uploading"],
    );
    let object = world.store.object("/data/out/a.jsonl.gz").unwrap();
    let lines = unzipped(&object.bytes);
    assert_eq!(lines.lines().count(), 2, "{lines}");
    assert!(lines.contains("echo: x, y"));
    assert_eq!(world.temporary(), [""; 0]);
    assert_eq!(world.store.open_uploads(), 0);
    world.store.calls();
    let again = world.run(input, &["-o", output]);
    assert_says(&again, 0, &["0 requests sent", "is complete and unchanged"]);
    let calls = world.store.calls();
    assert!(
        calls.iter().all(|call| !call.starts_with("PUT")),
        "{calls:?}"
    );
    // Another object in its place is not overwritten.
    world.store.put("/data/out/a.jsonl.gz", "mine");
    assert_says(&world.run(input, &["-o", output]), 2, &["already exists"]);
    assert_eq!(
        world.store.object("/data/out/a.jsonl.gz").unwrap().bytes,
        b"mine"
    );
    assert_says(
        &world.run(input, &["-o", output, "--force"]),
        0,
        &["uploading"],
    );
    let replaced = world.store.object("/data/out/a.jsonl.gz").unwrap();
    assert!(replaced.bytes == object.bytes);
}

#[test]
fn an_object_that_has_changed_is_not_sent_again_without_being_asked() {
    let world = WithStore::new();
    let args = ["-o", "s3://data/out.jsonl"];
    assert_says(&world.run("s3://data/in.csv", &args), 0, &[]);
    world
        .store
        .put("/data/in.csv", "id,prompt\na,Hi\nb,changed\n");
    let changed = world.run("s3://data/in.csv", &args);
    assert_says(
        &changed,
        2,
        &["s3://data/in.csv or its options have changed"],
    );
    let updated = world.run("s3://data/in.csv", &[&args[..], &["--update"]].concat());
    assert_says(&updated, 0, &["1 unchanged, 1 changed"]);
    let lines = world.store.object("/data/out.jsonl").unwrap().bytes;
    assert!(String::from_utf8(lines).unwrap().contains("echo: changed"));
}

#[test]
fn an_input_of_a_web_server_has_its_output_in_the_working_directory() {
    let world = WithStore::new();
    world
        .store
        .put("/data/in%20put.jsonl", "{\"id\":\"a\",\"prompt\":\"Hi\"}\n");
    let url = format!("http://{}/data/in%20put.jsonl", world.store.address);
    assert_says(&world.run(&url, &[]), 0, &[]);
    let written = world.home.path();
    let written = written.join("in%20put.openai.gpt-5.4-mini.emulated.jsonl");
    assert!(fs::read_to_string(written).unwrap().contains("echo: Hi"));
}

#[test]
fn a_large_output_is_uploaded_in_parts_and_appears_whole() {
    let world = WithStore::new();
    let text = "many words ".repeat(400);
    let rows = (0..2_500).map(|id| format!("{{\"id\":{id},\"prompt\":\"{text}\"}}\n"));
    world.store.put("/data/in.jsonl", rows.collect::<String>());
    let args = ["-o", "s3://data/out.jsonl", "-q"];
    assert_says(&world.run("s3://data/in.jsonl", &args), 0, &[]);
    let object = world.store.object("/data/out.jsonl").unwrap();
    let lines = String::from_utf8(object.bytes).unwrap();
    assert!(lines.len() > 8 << 20, "{} B", lines.len());
    assert_eq!(lines.lines().count(), 2_500);
    let calls = world.store.calls();
    assert!(!calls.iter().any(|call| call == "PUT /data/out.jsonl"));
    let parts = calls
        .iter()
        .filter(|call| *call == "PUT /data/out.jsonl?upload");
    assert!(parts.count() > 1, "{calls:?}");
    assert_says(&world.run("s3://data/in.jsonl", &args), 0, &[]);
    assert_eq!(world.store.open_uploads(), 0);
}

#[test]
fn an_output_that_cannot_be_uploaded_is_kept_and_named() {
    let world = WithStore::new();
    let args = ["-o", "s3://data/out.jsonl"];
    world.store.refuse("PUT /data/out.jsonl", 403);
    let refused = world.run("s3://data/in.csv", &args);
    let words = [
        "s3://data/out.jsonl was not uploaded: the store denies access",
        "the output is complete in ",
        "lmbatch retrieve ",
    ];
    assert_says(&refused, 1, &words);
    assert!(world.store.object("/data/out.jsonl").is_none());
    let kept = world.temporary();
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}")
    };
    assert!(kept.ends_with("-out.jsonl"), "{kept}");
    let lines = fs::read_to_string(world.home.path().join("tmp").join(kept)).unwrap();
    assert_eq!(lines.lines().count(), 2);
    // Once the store accepts it, the same command uploads the outcomes, and sends nothing.
    world.store.refuse("none", 403);
    assert_says(
        &world.run("s3://data/in.csv", &args),
        0,
        &["0 requests sent"],
    );
    let object = world.store.object("/data/out.jsonl").unwrap();
    assert_eq!(String::from_utf8(object.bytes).unwrap(), lines);
}

#[test]
fn a_url_that_cannot_be_used_ends_the_command_before_anything_is_sent() {
    let world = WithStore::new();
    world.store.put("/data/there.jsonl", "mine");
    let refusing = |call: &str| world.store.refuse(call, 403);
    let input = "s3://data/in.csv";
    for (refused, input, more, words) in [
        (
            "",
            "s3://data/none.csv",
            &["-o", "o.jsonl"][..],
            "there is no such object",
        ),
        ("", "s3://data", &["-o", "o.jsonl"], "names no object"),
        (
            "GET /data/in.csv",
            input,
            &["-o", "o.jsonl"],
            "denies access",
        ),
        (
            "",
            input,
            &["-o", "s3://data/there.jsonl"],
            "already exists",
        ),
        (
            "POST /data/o.jsonl?upload",
            input,
            &["-o", "s3://data/o.jsonl"],
            "output s3://data/o.jsonl cannot be written: the store denies access",
        ),
        (
            "",
            input,
            &["-o", input],
            "the output is the same file as the input",
        ),
        (
            "",
            input,
            &["-o", "s3://data/o.xlsx"],
            ".xlsx is not a format",
        ),
        (
            "",
            input,
            &["-o", "https://h/o.jsonl"],
            "outputs go to s3://",
        ),
        (
            "",
            "ftp://h/in.csv",
            &["-o", "o.jsonl"],
            "ftp:// is not s3://",
        ),
    ] {
        refusing(refused);
        let force: &[&str] = if words.contains("same file") {
            &["--force"]
        } else {
            &[]
        };
        assert_says(&world.run(input, &[more, force].concat()), 2, &[words]);
    }
    let runs = world.at(&["runs", "--emulated", "--json"]);
    assert_eq!(
        String::from_utf8(runs.stdout).unwrap(),
        "",
        "no run was begun"
    );
}
