//! Commands that the command suggests work in a shell as printed, with their folders and file names.

use std::env;
use std::process::{Command, Output};

use lmbatch_tests::{Emulating, lines, lmbatch, said, write_input};
use serde_json::json;

#[test]
fn suggested_commands_run_as_printed() {
    let emulating = Emulating::start();
    let output = "my $HOME.jsonl";
    let run = ["run", "-o", output, "--state-dir", "it's here"];
    for (first, output) in [
        (&[&run[..], &["--timeout", "1s"]].concat()[..], output),
        (
            &["create", "--handle", "a handle.json"],
            "in.openai.m.jsonl",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        write_input(folder.path(), [json!({"id": "a", "prompt": "1"})]);
        let common = ["in.jsonl", "-m", "openai/m"];
        let begun = emulating.run_at("openai", folder.path(), &[first, &common].concat());
        let begun = said(&begun);
        let shown = begun
            .lines()
            .find_map(|line| Some(&line[line.find("lmbatch re")?..]))
            .unwrap_or_else(|| panic!("{begun}"));
        let typed = || -> Output {
            let home = lmbatch();
            let home = home.parent().expect("the folder of the program").to_owned();
            let paths = env::var_os("PATH").unwrap_or_default();
            let paths = [home].into_iter().chain(env::split_paths(&paths));
            // As printed, except that it polls only once.
            let once = shown.contains("lmbatch resume").then_some(" --once");
            let mut shell: Command = emulating.shell("openai", folder.path());
            shell.env("PATH", env::join_paths(paths).expect("paths"));
            shell.args(["-c", &format!("{shown}{}", once.unwrap_or_default())]);
            shell.output().expect("a shell")
        };
        let ends = std::iter::repeat_with(typed).take(200);
        let end = ends.into_iter().find(|end| end.status.code() != Some(4));
        let end = end.expect("an end");
        assert_eq!(end.status.code(), Some(0), "{shown}: {}", said(&end));
        let outcomes = lines(&folder.path().join(output));
        assert_eq!(outcomes.len(), 1, "{shown}");
        assert_eq!(outcomes[0]["id"], "a", "{shown}");
    }
}

/// Options of the command that began a run apply to commands that continue it, unless these override them.
#[test]
fn commands_that_continue_a_run_keep_its_options() {
    for (said_again, creates, inputs) in [
        (&[][..], 2, 2),
        (&["--max-attempts", "2", "--cleanup", "inputs"], 3, 0),
    ] {
        let emulating = Emulating::start();
        let folder = tempfile::tempdir().expect("a folder");
        let line = |prompt: &str| json!({"id": prompt, "prompt": prompt});
        write_input(folder.path(), ["fine", "lmb:error-500"].map(line));
        let run = |words: &[&str]| emulating.run_at("openai", folder.path(), words);
        let begun = run(&[
            "run",
            "in.jsonl",
            "-m",
            "openai/m",
            "-o",
            "out.jsonl",
            "--run",
            "mine",
            "--detach",
            "--max-attempts",
            "1",
            "--cleanup",
            "none",
            "--max-failed",
            "1",
            "--max-batch-requests",
            "1",
        ]);
        assert_eq!(begun.status.code(), Some(0), "{}", said(&begun));
        let resume = ["resume", "mine", "--json", "--poll-interval", "20ms"];
        let ended = run(&[&resume[..], said_again].concat());
        assert_eq!(ended.status.code(), Some(0), "{}", said(&ended));
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let summary: serde_json::Value = serde_json::from_str(&text).expect("a summary");
        assert_eq!(summary["usable"], 1, "{summary}");
        let left = &summary["remote"]["inputs"];
        assert_eq!(left.as_u64().unwrap_or_default(), inputs, "{summary}");
        assert_eq!(emulating.bill()["creates"], creates, "{said_again:?}");
    }
}
