//! Files named by an input: which ones are read, and what is sent of them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::{self, File};
use std::path::Path;
use std::process::{Output, Stdio};

use lmbatch_tests::{Emulating, said};
use serde_json::json;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
const MODELS: [(&str, &str); 3] = [
    ("openai", "openai/m"),
    ("anthropic", "anthropic/claude-sonnet-4-5"),
    ("google", "google/gemini-2.5-flash"),
];

fn input(folder: &Path, part: &serde_json::Value) {
    let line = json!({"id": "a", "contents": ["look", part]});
    fs::write(folder.join("in.jsonl"), format!("{line}\n")).unwrap();
}

fn validate(folder: &Path, model: &str, more: &[&str]) -> Output {
    let mut command = std::process::Command::new(lmbatch_tests::lmbatch());
    command
        .current_dir(folder)
        .args(["validate", "in.jsonl", "-m", model])
        .args(more);
    command.output().unwrap()
}

#[test]
fn a_file_outside_the_folder_of_the_input_is_never_sent() {
    let world = tempfile::tempdir().unwrap();
    let folder = world.path().join("in");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(world.path().join("secret"), "a key").unwrap();
    fs::write(folder.join(".env"), "a key").unwrap();
    fs::write(folder.join("note.txt"), "a note").unwrap();
    let secret = world.path().join("secret");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../secret", folder.join("link")).unwrap();
    for (_, model) in MODELS {
        for path in [
            "/proc/self/environ",
            "/dev/zero",
            "/etc/passwd",
            "../secret",
            "sub/../../secret",
            "link",
            ".env",
            "sub",
            secret.to_str().unwrap(),
        ] {
            for kind in ["document", "image"] {
                input(&folder, &json!({"type": kind, "path": path}));
                let refused = validate(&folder, model, &[]);
                assert_eq!(refused.status.code(), Some(2), "{path}: {}", said(&refused));
                assert!(said(&refused).contains(path), "{path}: {}", said(&refused));
            }
        }
        input(
            &folder,
            &json!({"type": "document", "path": "../secret", "mime_type": "text/plain"}),
        );
        let refused = validate(&folder, model, &[]);
        assert!(
            said(&refused).contains("--attachments DIR"),
            "{}",
            said(&refused)
        );
        if model.starts_with("openai") {
            continue;
        }
        // The same file may be sent if another folder is given.
        let elsewhere = validate(&folder, model, &["--attachments", ".."]);
        assert_eq!(
            elsewhere.status.code(),
            Some(2),
            "paths start there: {}",
            said(&elsewhere)
        );
        input(&folder, &json!({"type": "document", "path": "secret"}));
        let elsewhere = validate(&folder, model, &["--attachments", ".."]);
        assert_eq!(elsewhere.status.code(), Some(0), "{}", said(&elsewhere));
        input(&folder, &json!({"type": "document", "path": "note.txt"}));
        let own = validate(&folder, model, &[]);
        assert_eq!(own.status.code(), Some(0), "{}", said(&own));
    }
}

#[test]
fn a_file_larger_than_a_request_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    // A sparse file: its size exceeds the limit, and it takes no space on the disk.
    File::create(folder.path().join("a.pdf"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    input(folder.path(), &json!({"type": "document", "path": "a.pdf"}));
    for (_, model) in MODELS {
        let refused = validate(folder.path(), model, &[]);
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(
            said(&refused).contains("is 1099511627776 bytes"),
            "{}",
            said(&refused)
        );
    }
}

#[test]
fn the_media_type_is_detected_from_the_bytes() {
    for (provider, model) in MODELS {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        fs::write(folder.path().join("p.jpg"), PNG).unwrap();
        let jpeg = "/9j/4AAQSkZJRgABAQ==";
        let url = json!({"url": format!("data:image/jpg;base64,{jpeg}")});
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": url}]}]});
        let lines = [
            json!({"id": "a", "contents": ["x", {"type": "image", "path": "p.jpg"}]}),
            json!({"id": "b", "contents": ["x", {"type": "image", "data": jpeg, "mime_type": "image/jpg"}]}),
            json!({"custom_id": "c", "method": "POST", "url": "/v1/chat/completions", "body": body}),
        ];
        // OpenAI accepts a raw body unchanged.
        let lines = &lines[..if provider == "openai" { 2 } else { 3 }];
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        fs::write(folder.path().join("in.jsonl"), text.join("\n")).unwrap();
        let run = emulating.run_at(
            provider,
            folder.path(),
            &["run", "in.jsonl", "-m", model, "--poll-interval", "20ms"],
        );
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        let mut sent = String::new();
        for entry in fs::read_dir(folder.path().join(".lmbatch/spool")).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("body-") {
                sent.push_str(&fs::read_to_string(path).unwrap());
            }
        }
        assert_eq!(sent.matches("image/png").count(), 1, "{sent}");
        assert_eq!(
            sent.matches("image/jpeg").count(),
            lines.len() - 1,
            "{sent}"
        );
        assert!(!sent.contains("image/jpg"), "{sent}");
    }
}

#[test]
fn an_attachment_that_contradicts_its_media_type_is_refused_before_sending() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("id_rsa"),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    )
    .unwrap();
    fs::write(folder.path().join("noise"), b"\x01\xff\xfe\x00\x80\x81").unwrap();
    fs::write(folder.path().join("noise.txt"), b"\x01\xff\xfe\x00\x80\x81").unwrap();
    for (_, model) in MODELS {
        for (part, words) in [
            (
                json!({"type": "image", "path": "id_rsa"}),
                "its bytes are text",
            ),
            (
                json!({"type": "image", "path": "noise"}),
                "of no known format",
            ),
            (
                json!({"type": "image", "data": "AAAA", "mime_type": "image/png"}),
                "of no known format",
            ),
            (
                json!({"type": "document", "path": "noise"}),
                "neither a PDF nor UTF-8 text",
            ),
            (
                json!({"type": "document", "path": "noise.txt"}),
                "neither a PDF nor UTF-8 text",
            ),
            (
                json!({"type": "image", "data": "iVBORw0KGgo=", "mime_type": "image/photo"}),
                "image/photo",
            ),
            (
                json!({"type": "image", "url": "data:image/photo;base64,iVBORw0KGgo="}),
                "image/photo",
            ),
        ] {
            input(folder.path(), &part);
            let refused = validate(folder.path(), model, &[]);
            assert_eq!(refused.status.code(), Some(2), "{part}: {}", said(&refused));
            assert!(said(&refused).contains(words), "{part}: {}", said(&refused));
        }
    }
}

#[test]
fn an_attachment_with_another_media_type_than_declared_is_sent_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.png"), PNG).unwrap();
    for (_, model) in MODELS {
        for (part, messages) in [
            (json!({"type": "image", "path": "p.png"}), None),
            (
                json!({"type": "image", "path": "p.png", "mime_type": "image/png"}),
                None,
            ),
            (
                json!({"type": "image", "path": "p.png", "mime_type": "image/jpeg"}),
                Some(
                    "line 1: the attachment p.png is declared as image/jpeg, and its bytes are image/png",
                ),
            ),
            (
                json!({"type": "image", "url": "data:image/jpeg;base64,iVBORw0KGgo="}),
                Some("line 1: the image is declared as image/jpeg"),
            ),
            (
                json!({"type": "document", "data": "JVBERi0xLjQK", "mime_type": "text/plain"}),
                Some("its bytes are application/pdf; it is sent as application/pdf"),
            ),
        ] {
            input(folder.path(), &part);
            let checked = validate(folder.path(), model, &[]);
            assert_eq!(checked.status.code(), Some(0), "{part}: {}", said(&checked));
            let words = said(&checked);
            assert_eq!(
                words.contains("warning"),
                messages.is_some(),
                "{part}: {words}"
            );
            assert!(
                words.contains(messages.unwrap_or_default()),
                "{part}: {words}"
            );
        }
    }
}

#[test]
fn an_empty_attachment_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.png", "a.txt", "a.pdf", "a.csv", "a"] {
        File::create(folder.path().join(name)).unwrap();
    }
    for (_, model) in MODELS {
        for part in [
            json!({"type": "image", "path": "a.png"}),
            json!({"type": "document", "path": "a.txt"}),
            json!({"type": "document", "path": "a.pdf"}),
            json!({"type": "document", "path": "a.csv", "mime_type": "text/csv"}),
            json!({"type": "document", "path": "a"}),
            json!({"type": "image", "data": "", "mime_type": "image/png"}),
            json!({"type": "image", "url": "data:image/png;base64,"}),
        ] {
            input(folder.path(), &part);
            let refused = validate(folder.path(), model, &[]);
            assert_eq!(refused.status.code(), Some(2), "{part}: {}", said(&refused));
            assert!(said(&refused).contains("0 bytes"), "{}", said(&refused));
        }
    }
}

#[test]
fn a_byte_order_mark_in_a_file_of_the_caller_is_ignored() {
    const MARK: &str = "\u{feff}";
    let schema = r#"{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}"#;
    for (provider, model) in MODELS {
        let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
        let line = json!({"id": "a", "contents": ["x", {"type": "document", "path": "note.txt"}]});
        for (name, text) in [
            ("in.jsonl", format!("{line}\r\n")),
            ("schema.json", schema.to_owned()),
            ("system.txt", "be brief".to_owned()),
            ("note.txt", "a note of a few words".to_owned()),
        ] {
            fs::write(folder.path().join(name), format!("{MARK}{text}")).unwrap();
        }
        let args = [
            "run",
            "in.jsonl",
            "-m",
            model,
            "--schema",
            "schema.json",
            "--system",
            "@system.txt",
            "--poll-interval",
            "20ms",
        ];
        let run = emulating.run_at(provider, folder.path(), &args);
        assert_eq!(run.status.code(), Some(0), "{}", said(&run));
        for entry in fs::read_dir(folder.path().join(".lmbatch/spool")).unwrap() {
            let path = entry.unwrap().path();
            if path.to_string_lossy().contains("body-") {
                let sent = fs::read_to_string(path).unwrap();
                assert!(!sent.contains(MARK) && !sent.contains("77u/"), "{sent}");
                assert!(sent.contains("\"be brief\""), "{sent}");
            }
        }
    }
}

#[test]
fn the_attachments_folder_applies_to_standard_input_and_is_kept_by_the_run() {
    let (emulating, folder) = (Emulating::start(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("pictures")).unwrap();
    fs::write(folder.path().join("pictures/p.png"), PNG).unwrap();
    input(folder.path(), &json!({"type": "image", "path": "p.png"}));
    let with_stdin = |more: &[&str]| {
        let mut command = emulating.command_at("openai", folder.path());
        let stdin = File::open(folder.path().join("in.jsonl")).unwrap();
        command
            .args([
                "run",
                "-",
                "-m",
                "openai/m",
                "-o",
                "out.jsonl",
                "--poll-interval",
                "20ms",
            ])
            .args(more)
            .stdin(Stdio::from(stdin));
        command.output().unwrap()
    };
    let refused = with_stdin(&[]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(
        said(&refused).contains("--attachments"),
        "{}",
        said(&refused)
    );
    let run = with_stdin(&["--attachments", "pictures"]);
    assert_eq!(run.status.code(), Some(0), "{}", said(&run));
    let at = |args: &[&str]| emulating.run_at("openai", folder.path(), args);
    let named = at(&[
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--run",
        "mine",
        "--attachments",
        "pictures",
        "-o",
        "mine.jsonl",
        "--poll-interval",
        "20ms",
    ]);
    assert_eq!(named.status.code(), Some(0), "{}", said(&named));
    fs::write(folder.path().join("ids"), "a\n").unwrap();
    let again = [
        "requeue",
        "mine",
        "--ids",
        "ids",
        "--max-tokens",
        "50",
        "--poll-interval",
        "20ms",
    ];
    let requeued = at(&again);
    assert_eq!(requeued.status.code(), Some(0), "{}", said(&requeued));
    fs::rename(folder.path().join("pictures"), folder.path().join("photos")).unwrap();
    let gone = at(&again);
    assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
    let moved = at(&[&again[..], &["--attachments", "photos"]].concat());
    assert_eq!(moved.status.code(), Some(0), "{}", said(&moved));
}
