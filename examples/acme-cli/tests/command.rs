//! The command as its author's users run it, against an Acme on this machine.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

const KEY: &str = "acme-key-canary";

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

/// Three requests, of which Acme fails at one.
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

#[test]
fn acme_is_among_the_providers_by_both_of_its_routes() {
    let folder = tempfile::tempdir().unwrap();
    let listed = acme(folder.path(), Some(KEY), &["providers"]);
    let text = said(&listed);
    assert!(listed.status.success(), "{text}");
    // In a pipe each row is one line.
    for route in ["file", "inline"] {
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut lines = text.lines().map(words);
        let found = lines.find(|line| line.starts_with(&["acme".to_owned(), route.to_owned()]));
        let line = found.unwrap_or_else(|| panic!("{route} is not in\n{text}"));
        assert!(line.contains(&"ACME_API_KEY".to_owned()), "{line:?}");
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
    assert!(text.contains("acme-cli run "), "{text}");
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
    assert!(text.contains("--emulate"), "it can be emulated: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_said_to_be_wrong_by_its_name_and_not_shown() {
    let server = acme_wire::serve("file").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    input(folder.path());
    let url = server.url();
    let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
    let run = [&run[..], &["--base-url", &url]].concat();
    let failed = acme(folder.path(), Some("bad-canary"), &run);
    let text = said(&failed);
    assert_eq!(failed.status.code(), Some(1), "{text}");
    assert!(text.contains("did not accept the key"), "{text}");
    assert!(text.contains("check ACME_API_KEY"), "{text}");
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_has_one_outcome_by_either_route() {
    for route in ["file", "inline"] {
        let server = acme_wire::serve(route).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        input(folder.path());
        let url = server.url();
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
        // The one that the model failed at was asked again, twice.
        assert_eq!(server.creates(), 3, "{route}: {text}");
        // The same again is answered already, and nothing is sent.
        let again = acme(folder.path(), Some(KEY), &run);
        assert!(said(&again).contains("0 requests sent"), "{}", said(&again));
        assert_eq!(server.creates(), 3, "{route}");
        // What is to be typed next is typed as this command is called.
        let ended = acme(folder.path(), Some(KEY), &["resume"]);
        let text = said(&ended);
        assert!(text.contains("acme-cli runs lists them"), "{text}");
    }
}

#[test]
fn an_emulated_run_needs_no_key_and_has_one_outcome_a_request_by_either_route() {
    for route in ["file", "inline"] {
        let folder = tempfile::tempdir().unwrap();
        input(folder.path());
        let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
        let run = [&run[..], &["--emulate", "--route", route]].concat();
        let done = acme(folder.path(), None, &run);
        let text = said(&done);
        assert_eq!(done.status.code(), Some(3), "{route}: {text}");
        let told = outcomes(folder.path());
        let told: Vec<_> = told.iter().map(|(a, b, c)| (&**a, &**b, &**c)).collect();
        let expected = [
            ("a", "succeeded", "ONE"),
            ("b", "errored", ""),
            ("c", "succeeded", "THREE"),
        ];
        assert_eq!(told, expected, "{route}: {text}");
        let output = fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
        assert!(
            output
                .lines()
                .all(|line| line.contains(r#""emulated":true"#))
        );
    }
}

#[test]
fn what_acme_has_no_word_for_is_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path());
    let run = ["run", "in.jsonl", "-m", "acme/m", "-o", "out.jsonl"];
    let run = [&run[..], &["--emulate", "--set", "top_k=5"]].concat();
    let refused = acme(folder.path(), None, &run);
    let text = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("acme has no top_k"), "{text}");
}

#[test]
fn our_own_providers_are_emulated_as_before() {
    let folder = tempfile::tempdir().unwrap();
    input(folder.path());
    let run = ["run", "in.jsonl", "-m", "openai/m", "-o", "out.jsonl"];
    let done = acme(folder.path(), None, &[&run[..], &["--emulate"]].concat());
    assert!(done.status.success(), "{}", said(&done));
    assert_eq!(outcomes(folder.path()).len(), 3);
}
