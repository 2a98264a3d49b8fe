//! What the command says to type next works as it stands, in a shell: with its folders and names of files.

use std::env;
use std::process::{Command, Output};

use lmbatch_tests::{Emulating, lines, lmbatch, said, write_input};
use serde_json::json;

#[test]
fn what_is_said_to_type_next_can_be_typed() {
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
            // As it stands, but that a run is looked at once.
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
