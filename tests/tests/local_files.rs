//! Files that options name, and inputs that are not text.

use std::fs;

use lmbatch_tests::{Scene, assert_says};
use serde_json::json;

fn world() -> Scene {
    Scene::new([json!({"id": "a", "prompt": "Hi"})])
}

#[test]
fn an_option_that_takes_a_local_file_says_so_when_it_is_given_a_url() {
    let world = world();
    let url = "s3://bucket/file?sig=canary";
    let text = format!("@{url}");
    let run = ["run", "in.jsonl", "-m", "openai/m"];
    let emulated = [&run[..], &["--emulate"]].concat();
    for (command, option, value) in [
        (&run[..], "--schema", url),
        (&run, "--prompt", &text),
        (&run, "--system", &text),
        (&run, "--prices", url),
        (&run, "--attachments", url),
        (&run, "--skip-invalid", url),
        (&run, "--state-dir", url),
        (&run, "--files", url),
        (&emulated, "--answers", url),
        (&["create", "in.jsonl", "-m", "openai/m"], "--handle", url),
        (&["retrieve", "batch_1", "-p", "openai"], "--handle", url),
    ] {
        let refused = world.at(&[command, &[option, value]].concat());
        let words = "s3://bucket/file is a URL, and this option takes a path on this machine";
        assert_says(&refused, 2, &[&format!("{option}: {words}")]);
        let messages = String::from_utf8_lossy(&refused.stderr);
        assert!(!messages.contains("canary"), "{messages}");
    }
    let folder = [
        "run",
        "s3://bucket/folder/",
        "-m",
        "openai/m",
        "--files",
        "*.txt",
    ];
    assert_says(
        &world.at(&folder),
        2,
        &["--files: s3://bucket/folder/ is a URL"],
    );
    let input = ["init", "s3://bucket/folder"];
    assert_says(
        &world.at(&input),
        2,
        &["FOLDER: s3://bucket/folder is a URL"],
    );
    assert_eq!(world.creates(), 0);
    assert!(!world.path().join("s3:").exists());
}

/// 41 lines of CSV, compressed with brotli.
const BROTLI_CSV: &str = "1bda06a09d077663cb5de78fa019b6a1064e388fb814c2e88317999c1bce581e062068ecafb6397ade2e74df8cdccba21e9e15a4a49b5253faea05dd180b4be968308bfe19f3f09af735b96f09bcf687a0e76d2bbdff226098428dc59a6acf5c639bc2596a612dc7b600bbaa7ec49046ad1f7aae66cc0ceaebd39c479b9c5ad6b4e6da367d764becf155b347a4613c63caac7994b0c91b4be659d7b4cdad5d0df7f496d813b2674cdb74c69c85cda8603963cdc876e46277bd07";

#[test]
fn a_file_that_is_not_text_is_named_by_its_format_wherever_it_is_given() {
    let world = world();
    let byte = |at: usize| u8::from_str_radix(&BROTLI_CSV[at..at + 2], 16).unwrap_or_default();
    let brotli: Vec<u8> = (0..BROTLI_CSV.len()).step_by(2).map(byte).collect();
    for (bytes, words) in [
        (&b"\xfd7zXZ\0\0\x04"[..], "compressed with xz"),
        (b"BZh91AY&SY", "compressed with bzip2"),
        (b"PK\x03\x04\x14\0", "a ZIP file"),
        (b"\x04\x22\x4d\x18\x64\x40", "compressed with LZ4"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "a 7z archive"),
        (b"\xff\x06\0\0sNaPpY", "compressed with Snappy"),
        (
            &brotli,
            "it is not text (invalid UTF-8 at byte 2 of line 1); if the file is compressed with brotli, decompress it first",
        ),
    ] {
        // No text has these bytes at any place.
        let written = [bytes, b"\xff\xff"].concat();
        for name in ["data", "data.csv"] {
            let written = fs::write(world.path().join(name), &written);
            assert!(written.is_ok(), "{written:?}");
            for more in [&[][..], &["--limit", "1"]] {
                let run = [&["run", name, "-m", "openai/m"][..], more].concat();
                let refused = world.at(&run);
                assert_says(&refused, 2, &[words, "nothing was sent"]);
            }
        }
        for option in ["--schema", "--prices"] {
            assert_says(&world.run(&[option, "data"]), 2, &[option, words]);
        }
        assert_says(&world.run(&["--system", "@data"]), 2, &["--system", words]);
    }
    assert_eq!(world.creates(), 0);
}
