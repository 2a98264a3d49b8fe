//! Tests of the configuration files together with the options.

use std::fs;

use super::*;
use crate::args::{self, Args, Command as Sub};
use clap::FromArgMatches as _;

/// Writes the files, and reads them as a command in `project/deep` does.
fn config(found: &str, own: &str) -> Config {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    fs::create_dir_all(at("project/deep")).unwrap();
    fs::create_dir_all(at("config/lmbatch")).unwrap();
    for (path, text) in [
        ("project/lmbatch.toml", found),
        ("config/lmbatch/lmbatch.toml", own),
    ] {
        if !text.is_empty() {
            fs::write(at(path), text).unwrap();
        }
    }
    Config::of(&Places {
        named: None,
        here: Some(at("project/deep")),
        own: Some(at("config")),
    })
    .unwrap()
}

fn matched(config: &Config, words: &[&str]) -> Result<ArgMatches, clap::Error> {
    let command = config.give_defaults(args::command("lmbatch"), false);
    command.try_get_matches_from(["lmbatch"].iter().chain(words))
}

fn run(config: &Config, words: &[&str]) -> args::RunArgs {
    let matches = matched(config, &[&["run", "in.jsonl"], words].concat()).unwrap();
    match Args::from_arg_matches(&matches).unwrap().command {
        Sub::Run(run) => *run,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_option_takes_precedence_over_both_files_and_the_nearest_over_the_users_own() {
    let found = "model = \"openai/found\"\npoll_interval = \"5s\"";
    let own = "model = \"openai/own\"\nmax_attempts = 7";
    for (found, own, words, model, attempts) in [
        ("", own, &[][..], "openai/own", Some(7)),
        (found, "", &[], "openai/found", None),
        (found, own, &[], "openai/found", Some(7)),
        (found, own, &["-m", "openai/said"], "openai/said", Some(7)),
        (
            found,
            own,
            &["--max-attempts", "2"],
            "openai/found",
            Some(2),
        ),
    ] {
        let run = run(&config(found, own), words);
        assert_eq!(run.settings.model, model, "{words:?}");
        assert_eq!(run.max_attempts, attempts, "{words:?}");
    }
    let run = run(&config(found, own), &[]);
    assert_eq!(run.poll_interval, Some(std::time::Duration::from_secs(5)));
}

#[test]
fn a_found_file_makes_lmbatch_more_careful_and_never_less() {
    let after = |days: u64| format!("[retention]\nafter = \"{days}d\"\n");
    for (found, own, cost, above, kept, notes) in [
        ("max_cost = 5", "", Some("5"), "10", "30d", 0),
        ("max_cost = 5", "max_cost = 2", Some("2"), "10", "30d", 1),
        ("max_cost = 1", "max_cost = 2", Some("1"), "10", "30d", 0),
        ("confirm_above = 1000", "", None, "10", "30d", 1),
        (
            "confirm_above = 1000",
            "confirm_above = 50",
            None,
            "50",
            "30d",
            1,
        ),
        (
            "confirm_above = 1",
            "confirm_above = 50",
            None,
            "1",
            "30d",
            0,
        ),
        ("", "confirm_above = 500", None, "500", "30d", 0),
        (&*after(1), "", None, "10", "30d", 1),
        (&*after(60), "", None, "10", "60d", 0),
        (&*after(3), &*after(2), None, "10", "3d", 0),
        ("", &*after(2), None, "10", "2d", 0),
    ] {
        let config = config(found, own);
        let run = run(&config, &["-m", "a/b"]);
        let cost = cost.map(|cost| cost.parse().unwrap());
        assert_eq!(run.cost.max_cost, cost, "{found} | {own}");
        assert_eq!(
            run.paying.confirm_above,
            above.parse().unwrap(),
            "{found} | {own}"
        );
        let kept = kept.parse().unwrap();
        assert_eq!(run.retention.delete_answers_after, kept, "{found} | {own}");
        assert_eq!(config.notes.len(), notes, "{found} | {own}");
    }
}

#[test]
fn settings_of_a_run_are_defaults_of_no_command_that_continues_one() {
    let config = config("", "model = \"openai/m\"\nmax_cost = 5\nmax_attempts = 9");
    for words in [&["resume", "r-1"][..], &["requeue", "r-1"]] {
        let matches = matched(&config, words).unwrap();
        let (_, matches) = matches.subcommand().unwrap();
        for id in ["max_cost", "max_attempts", "model"] {
            let source = matches
                .try_contains_id(id)
                .ok()
                .and_then(|_| matches.value_source(id));
            assert_eq!(source, None, "{words:?} {id}");
        }
    }
    // Options that exclude each other do so only where both are given.
    matched(&config, &["resume", "--all"]).unwrap();
}

#[test]
fn a_missing_model_is_explained_in_both_ways() {
    let none = Config::default();
    let error = matched(&none, &["run", "in.jsonl"]).unwrap_err();
    let text = explained(error).render().to_string();
    assert!(text.contains("--model <PROVIDER/MODEL>"), "{text}");
    assert!(text.contains("in lmbatch.toml"), "{text}");
    let error = matched(&none, &["run", "-m", "a/b"]).unwrap_err();
    let text = explained(error).render().to_string();
    assert!(!text.contains("lmbatch.toml"), "{text}");
    let own = config("", "model = \"openai/m\"");
    for words in [
        &["run", "in"][..],
        &["create", "in"],
        &["validate", "in"],
        &["estimate", "in"],
        &["adopt", "b", "in"],
    ] {
        matched(&own, words).unwrap();
    }
}

#[test]
fn a_command_says_which_values_come_from_which_file() {
    let config = config("model = \"openai/m\"\nmax_cost = 0.50", "max_cost = 0.10");
    let lines = |words: &[&str]| config.lines(&matched(&config, words).unwrap());
    let said = lines(&["run", "in"]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with("model: openai/m (") && said[0].ends_with("project/lmbatch.toml)"));
    assert!(said[1].starts_with("max_cost: 0.10 (") && said[1].ends_with("lmbatch/lmbatch.toml)"));
    assert!(said[2].starts_with("note: max_cost = 0.50 of ") && said[2].contains("is not used"));
    let said = lines(&["run", "in", "-m", "a/b", "--max-cost", "1"]);
    assert_eq!(said.len(), 1, "only the note: {said:?}");
    assert_eq!(lines(&["validate", "in"]).len(), 1);
    assert_eq!(lines(&["runs"]), [""; 0]);
}

#[test]
fn the_state_folder_of_the_users_own_file_yields_to_one_that_init_made() {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("config/lmbatch");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("lmbatch.toml"), "state = \"kept\"").unwrap();
    let project = root.path().join("project");
    fs::create_dir(&project).unwrap();
    let places = Places {
        named: None,
        here: Some(project.clone()),
        own: Some(root.path().join("config")),
    };
    let state = |config: &Config| {
        let matches = matched(config, &["runs"]).unwrap();
        let found = matches
            .subcommand()
            .unwrap()
            .1
            .get_one::<PathBuf>("state_dir");
        found.cloned()
    };
    let read = || Config::of(&places).unwrap();
    assert_eq!(state(&read()), Some(own.join("kept")));
    StateFolder::init(&project).unwrap();
    assert_eq!(state(&read()), None);
    // A file of the project takes precedence over both.
    fs::write(project.join("lmbatch.toml"), "state = \"mine\"").unwrap();
    assert_eq!(state(&read()), Some(project.join("mine")));
}

#[test]
fn only_commands_with_options_of_the_file_read_it() {
    let none = Config::default();
    for (words, wanted) in [
        (&["runs"][..], true),
        (&["validate", "in", "-m", "a/b"], true),
        (&["providers"], false),
        (&["schema", "input"], false),
        (&["init"], false),
    ] {
        assert_eq!(
            is_read_by(&matched(&none, words).unwrap()),
            wanted,
            "{words:?}"
        );
    }
}
