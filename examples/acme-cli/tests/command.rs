//! The command as its author's users run it, against an Acme on this machine.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const KEY: &str = "acme-key-canary";

/// An Acme that answers everything at once, and keeps what it was sent.
#[derive(Default)]
struct Acme {
    files: Mutex<BTreeMap<String, String>>,
    batches: Mutex<Vec<Value>>,
}

impl Acme {
    async fn start() -> MockServer {
        let server = MockServer::start().await;
        let any = Mock::given(wiremock::matchers::any());
        any.respond_with(Self::default()).mount(&server).await;
        server
    }

    /// Keeps a file under the next name.
    fn keep(&self, text: String) -> String {
        let mut files = self.files.lock().unwrap();
        let name = format!("file-{}", files.len() + 1);
        files.insert(name.clone(), text);
        name
    }

    fn create(&self, body: &Value) -> Value {
        let input = body["file"].as_str();
        let lines: Vec<Value> = match input {
            Some(file) => self.files.lock().unwrap()[file]
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
            None => body["requests"].as_array().unwrap().clone(),
        };
        let rows: Vec<Value> = lines.iter().map(answer).collect();
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let output = input.map(|_| self.keep(text));
        let mut batches = self.batches.lock().unwrap();
        let batch = json!({
            "id": format!("batch-{}", batches.len() + 1), "state": "ended", "label": body["label"],
            "created": "2026-11-01T09:00:00Z", "counts": {"total": rows.len(), "answered": rows.len()},
            "output": output, "results": input.is_none().then_some(rows),
        });
        batches.insert(0, batch.clone());
        batch
    }
}

fn answer(line: &Value) -> Value {
    let asked = line["request"]["turns"][0]["text"].as_str().unwrap();
    match asked {
        "fail" => json!({"id": line["id"], "error": {"code": "too_long", "message": "no"}}),
        _ => json!({"id": line["id"], "answer": asked.to_uppercase(), "end": "full_stop"}),
    }
}

impl Respond for Acme {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let no = |status, code| {
            let body = json!({"error": {"code": code, "message": "no"}});
            ResponseTemplate::new(status).set_body_json(body)
        };
        if request
            .headers
            .get("x-acme-key")
            .is_none_or(|key| key != KEY)
        {
            return no(401, "bad_key");
        }
        let path: Vec<&str> = request.url.path().split('/').skip(1).collect();
        let yes = |body: Value| ResponseTemplate::new(200).set_body_json(body);
        match (request.method.as_str(), &path[..]) {
            ("POST", ["files"]) => {
                let text = String::from_utf8(request.body.clone()).unwrap();
                yes(json!({"id": self.keep(text)}))
            }
            ("GET", ["files", file, "content"]) => {
                ResponseTemplate::new(200).set_body_string(&self.files.lock().unwrap()[*file])
            }
            ("DELETE", ["files", _]) => yes(json!({})),
            ("POST", ["batches"]) => yes(self.create(&request.body_json().unwrap())),
            ("GET", ["batches"]) => yes(json!({"batches": *self.batches.lock().unwrap()})),
            ("GET", ["batches", id]) => {
                let batches = self.batches.lock().unwrap();
                let found = batches.iter().find(|batch| batch["id"] == *id);
                found.map_or_else(|| no(404, "not_found"), |batch| yes(batch.clone()))
            }
            _ => no(404, "not_found"),
        }
    }
}

/// The command in a folder of its own, with this key.
fn acme(folder: &Path, key: Option<&str>, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_acme-cli"));
    command.current_dir(folder).args(args);
    command.env_remove("ACME_API_KEY");
    command.env("LMBATCH_STATE_DIR", folder.join(".lmbatch"));
    command.envs(key.map(|key| ("ACME_API_KEY", key)));
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(error)
    )
}

/// Three requests, of which Acme fails one.
fn input(folder: &Path) {
    let lines = [("a", "one"), ("b", "fail"), ("c", "three")];
    let lines = lines.map(|(id, prompt)| format!("{}\n", json!({"id": id, "prompt": prompt})));
    fs::write(folder.join("in.jsonl"), lines.concat()).unwrap();
}

fn outcomes(folder: &Path) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(folder.join("out.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (text("id"), text("status"), text("text"))
    });
    lines.collect()
}

/// What was paid for.
async fn creates(server: &MockServer) -> usize {
    let asked = server.received_requests().await.unwrap().into_iter();
    asked
        .filter(|request| request.method == "POST" && request.url.path() == "/batches")
        .count()
}

#[test]
fn acme_is_among_the_providers_by_both_of_its_routes() {
    let folder = tempfile::tempdir().unwrap();
    let listed = acme(folder.path(), Some(KEY), &["providers"]);
    let text = said(&listed);
    assert!(listed.status.success(), "{text}");
    // A table that is wider than a pipe is printed as one block for each row.
    for route in ["file", "inline"] {
        let says = |block: &str, words: [&str; 2]| {
            let mut lines = block.lines().map(str::split_whitespace);
            lines.any(|line| line.take(2).eq(words))
        };
        let mut blocks = text.split("\n\n");
        let found =
            blocks.find(|block| says(block, ["provider", "acme"]) && says(block, ["route", route]));
        let block = found.unwrap_or_else(|| panic!("{route} is not in\n{text}"));
        assert!(says(block, ["key", "ACME_API_KEY"]), "{block}");
    }
    assert!(text.contains("openai") && !text.contains(KEY), "{text}");
}

#[test]
fn help_is_the_whole_commands() {
    let folder = tempfile::tempdir().unwrap();
    let help = acme(folder.path(), None, &["--help"]);
    let text = said(&help);
    assert!(help.status.success(), "{text}");
    for command in ["run", "resume", "retrieve", "providers"] {
        assert!(text.contains(&format!("\n  {command} ")), "{text}");
    }
    assert!(text.contains("\n  acme-cli run "), "{text}");
}

#[test]
fn a_missing_key_is_missed_by_its_name_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path());
    let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
    let failed = acme(folder.path(), None, &run);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(2), "{text}");
    assert!(text.contains("ACME_API_KEY is not set"), "{text}");
    assert!(!text.contains("--emulate"), "it is not emulated: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_said_to_be_wrong_by_its_name_and_not_shown() {
    let server = Acme::start().await;
    let folder = tempfile::tempdir().unwrap();
    input(folder.path());
    let url = server.uri();
    let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
    let run = [&run[..], &["--base-url", &url]].concat();
    let failed = acme(folder.path(), Some("wrong-canary"), &run);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("did not accept the key"), "{text}");
    assert!(text.contains("check ACME_API_KEY"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_one_outcome_by_either_route() {
    let server = Acme::start().await;
    for route in ["file", "inline"] {
        let folder = tempfile::tempdir().unwrap();
        input(folder.path());
        let url = server.uri();
        let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
        let how = ["--base-url", &url, "--route", route, "--poll-interval"];
        let run = [&run[..], &how, &["10ms"]].concat();
        let done = acme(folder.path(), Some(KEY), &run);
        let text = said(&done);
        // Finished, and one output is not usable.
        assert_eq!(done.status.code(), Some(3), "{route}: {text}");
        let told = outcomes(folder.path());
        let told: Vec<_> = told.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
        let expected = [
            ("a", "succeeded", "ONE"),
            ("b", "errored", ""),
            ("c", "succeeded", "THREE"),
        ];
        assert_eq!(told, expected, "{route}: {text}");
        assert_eq!(creates(&server).await, 1 + usize::from(route == "inline"));
        // The same again is answered already, and nothing is sent.
        let before = creates(&server).await;
        let again = acme(folder.path(), Some(KEY), &run);
        assert!(said(&again).contains("0 requests sent"), "{}", said(&again));
        assert_eq!(creates(&server).await, before, "{route}");
        // What is to be typed next is typed as this command is called.
        let ended = acme(folder.path(), Some(KEY), &["resume"]);
        let text = said(&ended);
        assert!(text.contains("acme-cli runs lists them"), "{text}");
    }
}
