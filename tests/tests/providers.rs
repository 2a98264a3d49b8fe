//! Every provider on every route: every kind of content, under every kind of id, through library and command, in one
//! process and in two.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use lmbatch_tests::{Emulating, Mixed, SUBJECTS, Subject, lines, mixed};
use serde_json::Value;

const COUNT: usize = 1000;

fn check_lines(subject: &Subject, asked: &[Mixed], found: &[Value]) {
    assert_eq!(found.len(), asked.len(), "{}", subject.name);
    for (asked, line) in asked.iter().zip(found) {
        let at = format!("{}: {line}", subject.name);
        assert_eq!(line["id"], asked.id.as_str(), "{at}");
        let problem = line.get("problem").and_then(Value::as_str);
        let found = (line["status"].as_str().unwrap_or_default(), problem);
        assert_eq!(found, (asked.status, asked.problem), "{at}");
        if found.0 == "succeeded" {
            let text = line["text"].as_str().unwrap_or_default();
            assert!(text.contains(&asked.text), "{at}");
        }
    }
}

fn write(folder: &std::path::Path, asked: &[Mixed]) {
    let text: String = asked
        .iter()
        .map(|mixed| format!("{}\n", mixed.line))
        .collect();
    std::fs::write(folder.join("in.jsonl"), text).unwrap();
}

#[test]
fn a_thousand_requests_of_every_kind_have_the_expected_outcomes_in_the_command() {
    let emulating = Emulating::start();
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let asked = mixed(subject, COUNT);
        write(folder.path(), &asked);
        let mut arguments = vec![
            "run",
            "in.jsonl",
            "-o",
            "out.jsonl",
            "--poll-interval",
            "50ms",
        ];
        let model = subject.arguments();
        arguments.extend(model.iter().map(String::as_str));
        let done = emulating.run_at(subject.provider, folder.path(), &arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(3), "{}: {said}", subject.name);
        assert!(!said.contains("canary"));
        check_lines(subject, &asked, &lines(&folder.path().join("out.jsonl")));
    }
}

#[test]
fn a_second_process_of_the_command_continues_with_the_handle() {
    let emulating = Emulating::start();
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let asked = mixed(subject, 100);
        write(folder.path(), &asked);
        let at = |arguments: &[&str]| emulating.run_at(subject.provider, folder.path(), arguments);
        let mut arguments = vec!["create", "in.jsonl", "--handle", "h.json"];
        let model = subject.arguments();
        arguments.extend(model.iter().map(String::as_str));
        let created = at(&arguments);
        let said = String::from_utf8_lossy(&created.stderr).into_owned();
        assert_eq!(created.status.code(), Some(0), "{}: {said}", subject.name);
        let batch = String::from_utf8(created.stdout).unwrap().trim().to_owned();
        assert!(said.contains(&format!("lmbatch retrieve {batch} -p {}", subject.provider)));

        let listed = String::from_utf8(at(&["list", "-p", subject.provider]).stdout).unwrap();
        assert!(listed.contains(&batch), "{listed}");
        let status = || {
            at(&["status", &batch, "-p", subject.provider])
                .status
                .code()
        };
        for _ in 0..200 {
            if status() == Some(0) {
                break;
            }
        }
        let arguments = [
            "retrieve",
            &batch,
            "-p",
            subject.provider,
            "--handle",
            "h.json",
            "-o",
            "out.jsonl",
        ];
        let done = at(&arguments);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        // Rows with unknown ids may belong to the requests without a row, so the results are incomplete.
        assert_eq!(done.status.code(), Some(4), "{}: {said}", subject.name);
        check_lines(subject, &asked, &lines(&folder.path().join("out.jsonl")));
        let cancelled = at(&["cancel", &batch, "-p", subject.provider]);
        assert_eq!(
            cancelled.status.code(),
            Some(0),
            "cancelling what has ended does nothing"
        );
    }
}

#[test]
fn an_unsupported_request_is_refused_offline_with_provider_and_reason() {
    let folder = tempfile::tempdir().unwrap();
    for (model, line, words) in [
        (
            "openai/gpt-5-mini",
            r#"{"id":"a","contents":[{"type":"video","data":"AAAA","mime_type":"video/mp4"}]}"#,
            "openai takes no video",
        ),
        (
            "anthropic/claude-haiku-4-5",
            r#"{"id":"a","contents":[{"type":"audio","data":"AAAA","mime_type":"audio/wav"}]}"#,
            "anthropic takes no audio",
        ),
        (
            "anthropic/claude-opus-4-7",
            r#"{"id":"a","prompt":"x","hyperparameters":{"temperature":1}}"#,
            "claude-opus-4-7 takes no temperature",
        ),
        (
            "google/gemini-3-flash",
            r#"{"id":"a","prompt":"x","thinking":{"budget_tokens":5}}"#,
            "gemini-3-flash has no thinking budget_tokens",
        ),
    ] {
        std::fs::write(folder.path().join("in.jsonl"), format!("{line}\n")).unwrap();
        let output = std::process::Command::new(lmbatch_tests::lmbatch())
            .args(["validate", "in.jsonl", "-m", model])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("line 1") && said.contains(words), "{said}");
    }
}

#[test]
fn an_invalid_key_or_model_is_refused_before_anything_is_created() {
    let emulating = Emulating::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.jsonl"), "{\"prompt\":\"x\"}\n").unwrap();
    for subject in SUBJECTS {
        let missing = format!("{}/no-such-model", subject.provider);
        let good = format!("{}/{}", subject.provider, subject.model);
        for (model, key, words) in [
            (&good, "BAD_KEY", "did not accept the key"),
            (&missing, "GOOD_KEY", "the model was not found"),
        ] {
            let mut command = emulating.command_at(subject.provider, folder.path());
            command.args(["run", "in.jsonl", "-m", model, "--key-env", key]);
            let output = command
                .env("BAD_KEY", "bad-canary")
                .env("GOOD_KEY", "good")
                .output()
                .unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{}: {said}", subject.name);
            assert!(
                said.contains(words) && !said.contains("canary"),
                "{}: {said}",
                subject.name
            );
            assert!(!said.contains("creating"), "{said}");
        }
    }
}
