//! `lmbatch.toml`: which file is read, what it sets, and what it may not.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lmbatch_tests::{Scene, assert_says, object, said, write_input};
use serde_json::json;

/// A scene with a project that has an input, and with a folder of the user's configuration.
struct World(Scene);

impl World {
    fn new() -> Self {
        let world = Self(Scene::new([json!({"id": "a", "prompt": "fine"})]));
        for folder in ["project/deep", "config/lmbatch"] {
            fs::create_dir_all(world.at(folder)).unwrap();
        }
        write_input(&world.at("project"), [json!({"id": "a", "prompt": "fine"})]);
        write_input(
            &world.at("project/deep"),
            [json!({"id": "b", "prompt": "fine"})],
        );
        world
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        self.0.write(path, text);
    }

    fn command(&self, folder: &str, args: &[&str]) -> Command {
        let mut command = self.0.command("openai", args);
        command
            .current_dir(self.at(folder))
            .env_remove("LMBATCH_CONFIG")
            .env("XDG_CONFIG_HOME", self.at("config"))
            .env("LMBATCH_STATE_DIR", self.at("state"));
        command
    }

    fn run(&self, folder: &str, args: &[&str]) -> Output {
        self.command(folder, args).output().unwrap()
    }
}

#[test]
fn a_model_of_a_file_makes_the_option_superfluous_and_the_run_stays_the_same() {
    let world = World::new();
    let with_option = [
        "run",
        "in.jsonl",
        "-m",
        "openai/m",
        "--poll-interval",
        "20ms",
    ];
    let first = world.run("project", &with_option);
    assert_says(&first, 0, &[]);
    assert!(!said(&first).contains("lmbatch.toml"), "{}", said(&first));
    let creates = || world.0.emulating.bill()["calls"]["create"].clone();
    assert_eq!(creates(), 1);
    // Neither an option nor a file names a model.
    let none = world.run("project", &["run", "in.jsonl"]);
    assert_says(&none, 2, &["--model <PROVIDER/MODEL>", "in lmbatch.toml"]);
    // The value moves from the option to the file.
    world.write(
        "project/lmbatch.toml",
        "model = \"openai/m\"\npoll_interval = \"20ms\"\n",
    );
    let again = world.run("project", &["run", "in.jsonl"]);
    let parts = [
        "model: openai/m (lmbatch.toml)",
        "poll_interval: 20ms (lmbatch.toml)",
        "0 requests sent",
    ];
    assert_says(&again, 0, &parts);
    assert_eq!(creates(), 1, "nothing is paid for again");
    // From a folder below, and in a dry run.
    let deep = world.run("project/deep", &["run", "in.jsonl", "--dry-run"]);
    assert_says(&deep, 0, &[]);
    let line = said(&deep);
    let line = line.lines().find(|line| line.starts_with("model: "));
    let line = line.unwrap_or_default();
    assert!(line.ends_with("project/lmbatch.toml)"), "{line}");
    assert_eq!(creates(), 1);
}

#[test]
fn an_option_and_the_environment_take_precedence_over_a_file() {
    let world = World::new();
    world.write(
        "project/lmbatch.toml",
        "model = \"openai/m\"\nstate = \"st\"\n",
    );
    // The variable of the state folder.
    let listed = world.run("project", &["runs"]);
    assert!(said(&listed).contains("state"), "{}", said(&listed));
    assert!(!world.at("project/st").exists());
    let run = |args: &[&str]| {
        let args = [&["run", "in.jsonl", "--dry-run", "--json"], args].concat();
        let mut command = world.command("project", &args);
        command.env_remove("LMBATCH_STATE_DIR");
        let output = command.output().unwrap();
        assert_says(&output, 0, &[]);
        object(&output)
    };
    let plan = run(&[]);
    assert_eq!(plan["model"], "m");
    let folder = world.at("project/st");
    let canonical = folder.parent().unwrap().canonicalize().unwrap().join("st");
    let state = Path::new(plan["state_dir"].as_str().unwrap()).to_path_buf();
    assert!(state == folder || state == canonical, "{state:?}");
    let said_so = run(&["-m", "openai/other", "--state-dir", "elsewhere"]);
    assert_eq!(said_so["model"], "other");
    assert!(
        said_so["state_dir"]
            .as_str()
            .unwrap()
            .ends_with("/elsewhere")
    );
}

#[test]
fn the_environment_names_a_file_or_none() {
    let world = World::new();
    world.write("config/lmbatch/lmbatch.toml", "model = \"openai/own\"\n");
    world.write("project/lmbatch.toml", "model = \"openai/project\"\n");
    world.write("named.toml", "model = \"openai/named\"\n");
    let model = |config: Option<&str>, folder: &str| {
        let mut command = world.command(folder, &["run", "in.jsonl", "--dry-run"]);
        if let Some(config) = config {
            command.env("LMBATCH_CONFIG", config);
        }
        let text = said(&command.output().unwrap());
        let line = text.lines().find_map(|line| line.strip_prefix("model: "));
        line.map(|line| line.split(' ').next().unwrap().to_owned())
    };
    let named = world.at("named.toml");
    let named = named.to_str().unwrap();
    for (config, folder, wanted) in [
        (None, "project", Some("openai/project")),
        (None, "project/deep", Some("openai/project")),
        (None, ".", Some("openai/own")),
        (Some(named), "project", Some("openai/named")),
        (Some(""), "project", None),
    ] {
        assert_eq!(
            model(config, folder).as_deref(),
            wanted,
            "{config:?} {folder}"
        );
    }
    let mut gone = world.command("project", &["run", "in.jsonl"]);
    let gone = gone
        .env("LMBATCH_CONFIG", "/nowhere.toml")
        .output()
        .unwrap();
    assert_says(&gone, 2, &["/nowhere.toml cannot be read"]);
}

#[test]
fn a_wrong_file_stops_every_command_that_reads_it_and_no_other() {
    let world = World::new();
    world.write("project/lmbatch.toml", "\nmodle = \"openai/m\"\n");
    for (args, code) in [
        (&["run", "in.jsonl"][..], 2),
        (&["run", "in.jsonl", "-m", "openai/m"], 2),
        (&["runs"], 2),
        (&["validate", "in.jsonl"], 2),
        (&["providers"], 0),
        (&["schema", "input"], 0),
        (&["--help"], 0),
        (&["run", "--help"], 0),
    ] {
        let output = world.run("project", args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            said(&output)
        );
        let text = said(&output);
        let is_named = text.contains("project/lmbatch.toml, line 2: unknown key modle");
        assert_eq!(is_named, code == 2, "{args:?}: {text}");
        assert_eq!(text.contains("did you mean model?"), code == 2, "{text}");
    }
    let json = world.run("project", &["run", "in.jsonl", "--json"]);
    assert_eq!(object(&json)["error"]["kind"], "usage");
    assert_eq!(world.0.emulating.bill()["calls"]["create"], json!(null));
}

#[test]
fn a_file_of_a_cloned_repository_sends_no_key_elsewhere_and_runs_nothing() {
    let world = World::new();
    for (text, reason) in [
        (
            "model = \"openai/m\"\nbase_url = \"http://127.0.0.1:9/v1\"\n",
            "line 2: base_url cannot be set in a file, since it decides to which host an API key is sent",
        ),
        (
            "model = \"openai/m\"\n[providers.openai]\nbase_url = \"http://127.0.0.1:9/v1\"\n",
            "line 2: providers cannot be set in a file",
        ),
        (
            "key_env = \"SECRET\"\n",
            "line 1: key_env cannot be set in a file",
        ),
        (
            "on_finish = \"touch pwned\"\n",
            "line 1: on_finish cannot be set in a file, since it runs a shell command",
        ),
        (
            "prices = \"cheap.json\"\n",
            "line 1: prices can only be set in your own file",
        ),
        (
            "state = \"../../elsewhere\"\n",
            "line 1: state must name a folder inside",
        ),
    ] {
        world.write("project/lmbatch.toml", text);
        let output = world.run("project", &["run", "in.jsonl", "-m", "openai/m"]);
        assert_says(&output, 2, &[reason]);
    }
    assert_eq!(world.0.emulating.bill()["calls"]["create"], json!(null));
    assert!(!world.at("project/pwned").exists());
    // Values that would make lmbatch less careful do not count, and are named.
    world.write(
        "config/lmbatch/lmbatch.toml",
        "max_cost = 0.5\nexpect_output = 10\n",
    );
    world.write(
        "project/lmbatch.toml",
        "model = \"openai/gpt-5.4-mini\"\nmax_cost = 900\n[retention]\nafter = \"0s\"\n",
    );
    let output = world.run("project", &["run", "in.jsonl", "--poll-interval", "20ms"]);
    let parts = [
        "max_cost: 0.5 (",
        "note: max_cost = 900 of lmbatch.toml is not used: 0.5 is stricter and is used instead",
        "note: retention.after = 0s of lmbatch.toml is not used: 30d is stricter and is used instead",
    ];
    assert_says(&output, 0, &parts);
    assert!(
        !said(&output).contains("deleted from this machine"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_file_that_is_no_text_is_a_usage_error_with_its_line() {
    let world = World::new();
    for (bytes, reason) in [
        (
            &b"model = \"openai/m\"\n# caf\xe9\n"[..],
            "project/lmbatch.toml, line 2: the text is not UTF-8",
        ),
        (
            b"\xff\xfem\0o\0d\0e\0l\0",
            "project/lmbatch.toml, line 1: the text is not UTF-8",
        ),
        (
            b"\n\nmodel = \"openai/m\0\"\n",
            "project/lmbatch.toml, line 3: the text holds a NUL byte",
        ),
        (
            b"model = \"openai/m\"\nstate = \"a\\u0000b\"\n",
            "project/lmbatch.toml, line 2: state holds the control character U+0000",
        ),
    ] {
        fs::write(world.at("project/lmbatch.toml"), bytes).unwrap();
        for args in [&["run", "in.jsonl", "-m", "openai/m"][..], &["runs"]] {
            assert_says(&world.run("project", args), 2, &[reason]);
        }
    }
    assert_eq!(world.0.creates(), 0);
}

#[test]
fn a_tilde_in_a_path_of_a_file_is_the_home_folder() {
    let world = World::new();
    world.write("config/lmbatch/lmbatch.toml", "state = \"~/kept\"\n");
    let planned = |folder: &str| {
        let args = ["run", "in.jsonl", "-m", "openai/m", "--dry-run", "--json"];
        let mut command = world.command(folder, &args);
        command
            .env_remove("LMBATCH_STATE_DIR")
            .env("HOME", world.0.path());
        command.output().unwrap()
    };
    let state = object(&planned("project"))["state_dir"].clone();
    assert_eq!(state.as_str().map(Path::new), Some(&*world.at("kept")));
    // A folder that an earlier version has made there may have runs, which must be found.
    fs::create_dir_all(world.at("config/lmbatch/~/kept")).unwrap();
    let refused = planned("project");
    assert_says(&refused, 2, &["line 1: state begins with ~", "./~/kept"]);
    // A file of a cloned repository does not reach the home folder.
    fs::remove_dir_all(world.at("config/lmbatch/~")).unwrap();
    world.write("project/lmbatch.toml", "state = \"~/.ssh\"\n");
    let inside = ["line 1: state must name a folder inside"];
    assert_says(&planned("project"), 2, &inside);
}
