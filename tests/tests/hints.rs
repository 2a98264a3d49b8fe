//! Hints printed with an error, and failures that must not be passed over.

use std::fs;
use std::process::Output;

use lmbatch_tests::{Scene, assert_says, said};
use serde_json::{Value, json};

fn ask(ids: &[&str]) -> impl Iterator<Item = Value> {
    let line = |id: &&str| json!({"id": id, "prompt": format!("say {id}")});
    ids.iter().map(line).collect::<Vec<_>>().into_iter()
}

fn world() -> Scene {
    Scene::new(ask(&["a", "b"]))
}

#[test]
fn an_unwritable_handle_is_reported_with_its_flag() {
    let world = world();
    fs::write(world.path().join("there"), "x").unwrap();
    fs::create_dir(world.path().join("folder")).unwrap();
    for (handle, words) in [
        ("there", "handle file there already exists"),
        ("folder", "--handle: folder is a directory"),
        ("in.jsonl", "handle file in.jsonl already exists"),
    ] {
        let created = world.at(&["create", "in.jsonl", "-m", "openai/m", "--handle", handle]);
        assert_says(&created, 2, &[words, "choose another path with --handle"]);
        assert!(!said(&created).contains(" -o"), "{}", said(&created));
    }
    let over = [
        "create", "in.jsonl", "-m", "openai/m", "--handle", "in.jsonl", "--force",
    ];
    assert_says(
        &world.at(&over),
        2,
        &["the handle is the same file as the input", "--handle"],
    );
    assert_eq!(world.creates(), 0);
}

#[test]
fn an_unreadable_output_fails_the_audit() {
    let world = world();
    assert_says(&world.run(&["--run", "mine", "-o", "out.jsonl"]), 0, &[]);
    assert_says(
        &world.at(&["audit", "mine"]),
        0,
        &["output lines", "unchanged"],
    );
    let output = world.path().join("out.jsonl");
    fs::remove_file(&output).unwrap();
    assert_says(&world.at(&["audit", "mine"]), 0, &["OK"]);
    fs::create_dir(&output).unwrap();
    assert_says(
        &world.at(&["audit", "mine"]),
        1,
        &["out.jsonl is a directory"],
    );
}

#[test]
fn a_cancel_mentions_a_waiting_process_only_if_there_is_one() {
    let world = world();
    assert_says(&world.run(&["--run", "mine", "--detach"]), 0, &[]);
    let shown = world.at(&["show", "mine", "--json"]);
    let run: Value = serde_json::from_slice(&shown.stdout).unwrap();
    let lock = format!(".lmbatch/locks/{}.lock", run["run"].as_str().unwrap());
    fs::create_dir(world.path().join(lock)).unwrap();
    let cancelled = world.at(&["cancel", "mine"]);
    assert_says(&cancelled, 1, &["cannot be claimed"]);
    assert!(
        !said(&cancelled).contains("process that waits"),
        "{}",
        said(&cancelled)
    );
}

#[test]
fn an_adopted_run_reports_its_certainty_and_keeps_the_exit_code() {
    let world = world();
    let detached = world.run(&["--detach"]);
    assert_says(&detached, 0, &[]);
    let bill = world.emulating.bill();
    let label = bill["batches"][0]["metadata"]["lmbatch"].as_str().unwrap();
    fs::remove_dir_all(world.path().join(".lmbatch")).unwrap();
    let adopt = ["adopt", label, "in.jsonl", "-m", "openai/m"];
    let kind = json!({"status": {"code": 401, "body": "{}"}});
    let fault = json!({"operation": "list", "times": 1, "kind": kind});
    world
        .emulating
        .post("/_emulator/faults", &fault.to_string());
    assert_says(
        &world.at(&adopt),
        1,
        &["check OPENAI_API_KEY", "a batch is read by its id"],
    );
    world.ask(ask(&["a"]));
    assert_says(&world.at(&adopt), 2, &["this input makes"]);
    world.ask(ask(&["a", "b"]));
    let words = [
        "recovered 1 of 1 batch into run",
        "carry the labels of the run",
        "not proved: that its text",
    ];
    assert_says(&world.at(&adopt), 0, &words);
}

#[test]
fn a_lost_create_reports_at_once_how_long_the_search_takes() {
    let world = world();
    let fault = json!({"operation": "create", "times": 1, "kind": "reset_after"});
    world
        .emulating
        .post("/_emulator/faults", &fault.to_string());
    let run = world.run(&["--doubt-wait", "15min"]);
    let words = [
        "the provider did not confirm the create of batch 1: searching for it for up to 15 min",
        "Ctrl-C ends the wait; to repeat the search: lmbatch resume r-",
        "found batch",
    ];
    assert_says(&run, 0, &words);
    assert_eq!(world.creates(), 1);
}

#[test]
fn the_same_requests_under_another_name_cause_one_warning() {
    let world = world();
    let warning = |output: &Output| {
        said(output)
            .matches("are sent, and paid for, again")
            .count()
    };
    assert_eq!(warning(&world.run(&["-o", "1"])), 0);
    let named = world.run(&["--run", "mine", "-o", "2"]);
    assert_says(&named, 0, &["without a name"]);
    assert_eq!(warning(&named), 1, "{}", said(&named));
    // No warning for a known run, a requeue, other requests or another model.
    assert_eq!(warning(&world.run(&["--run", "mine", "-o", "2"])), 0);
    assert_eq!(warning(&world.run(&["--new", "-o", "3"])), 0);
    let other = [
        "run", "in.jsonl", "-m", "openai/n", "--run", "other", "-o", "4",
    ];
    let poll = ["--poll-interval", "20ms"];
    assert_eq!(warning(&world.at(&[&other[..], &poll].concat())), 0);
    world.ask(ask(&["a"]));
    assert_eq!(warning(&world.run(&["--run", "fewer", "-o", "5"])), 0);
    let again = world.run(&["--run", "few", "-o", "6"]);
    assert_says(&again, 0, &["(\"fewer\")"]);
    assert_eq!(world.creates(), 6);
}

#[test]
fn a_run_can_be_resumed_to_another_output() {
    let world = world();
    assert_says(&world.run(&["--run", "one", "--detach"]), 0, &[]);
    // The output of an unfinished run is not taken, even with --force.
    let two = ["--run", "two", "--detach", "--force"];
    assert_says(&world.run(&two), 2, &["which has not ended"]);
    let two = ["--run", "two", "--detach", "-o", "taken.jsonl"];
    assert_says(&world.run(&two), 0, &[]);
    fs::write(world.path().join("taken.jsonl"), "mine").unwrap();
    let resume = |more: &[&str]| {
        let resume = ["resume", "--poll-interval", "20ms"];
        world.at(&[&resume[..], more].concat())
    };
    assert_says(&resume(&["one"]), 0, &[]);
    assert_says(
        &resume(&["two"]),
        2,
        &["already exists", "another path with -o"],
    );
    assert_says(&resume(&["--all", "-o", "two.jsonl"]), 2, &["--all"]);
    assert_says(&resume(&["two", "-o", "two.jsonl"]), 0, &["two.jsonl"]);
    for run in ["one", "two"] {
        assert_says(&world.at(&["audit", run]), 0, &["unchanged"]);
        assert_says(&resume(&[run]), 0, &["already answered", "unchanged"]);
    }
    assert_eq!(world.creates(), 2);
}

#[test]
fn unknown_ids_are_reported_and_nothing_is_sent() {
    let world = world();
    assert_says(&world.run(&["--run", "mine"]), 0, &[]);
    let ids = |text: &str| fs::write(world.path().join("ids"), text).unwrap();
    for dry in [&[][..], &["--dry-run"]] {
        let requeue = || world.at(&[&["requeue", "mine", "--ids", "ids"], dry].concat());
        ids("a\nx\n");
        assert_says(&requeue(), 2, &["1 id is not of the run", "\"x\""]);
        ids("a\n7\n6\n5\n4\n3\n2\n");
        let refused = requeue();
        assert_says(
            &refused,
            2,
            &[
                "6 ids are not of the run",
                "\"2\", \"3\", \"4\", \"5\", \"6\", …",
            ],
        );
        assert!(!said(&refused).contains("\"7\""), "{}", said(&refused));
    }
    assert_eq!(world.creates(), 1);
    ids("a\n\n");
    let dry = ["requeue", "mine", "--ids", "ids", "--dry-run"];
    assert_says(&world.at(&dry), 0, &["1 request would be sent again"]);
}

#[test]
fn an_input_in_another_format_is_reported_with_a_hint() {
    let world = world();
    fs::write(world.path().join("in.txt"), "id,prompt\n1,Hi\n").unwrap();
    for command in ["run", "validate"] {
        let refused = world.at(&[command, "in.txt", "-m", "openai/m"]);
        assert_says(
            &refused,
            2,
            &[
                "line 1: the input is not JSON Lines: it looks like CSV",
                "convert it",
                "--input-format csv",
            ],
        );
    }
    fs::write(
        world.path().join("twice"),
        "\n{\"id\":1,\"prompt\":\"a\"}\n\n{\"id\":1,\"prompt\":\"b\"}",
    )
    .unwrap();
    let refused = world.at(&["validate", "twice", "-m", "openai/m"]);
    assert_says(
        &refused,
        2,
        &["line 4: the id is the same as that of line 2"],
    );
}

#[test]
fn an_output_on_standard_output_holds_only_outcomes() {
    let world = world();
    let detached = world.run(&["-o", "-", "--json", "--detach"]);
    assert_eq!(String::from_utf8_lossy(&detached.stdout), "");
    assert_says(&detached, 0, &["\"state\":\"running\""]);
    let late = world.run(&["-o", "-", "--json", "--timeout", "0s"]);
    assert_eq!(String::from_utf8_lossy(&late.stdout), "");
    let ended = world.run(&["-o", "-", "--json"]);
    assert_eq!(String::from_utf8_lossy(&ended.stdout).lines().count(), 2);
    assert_says(&ended, 0, &["\"usable\":2", "read 2 rows of results"]);
    let one = world.at(&["validate", "in.jsonl", "-m", "openai/m"]);
    assert_says(&one, 0, &["2 requests are valid"]);
}

#[test]
fn a_wrong_address_ends_the_run_and_the_next_command_begins_anew() {
    let world = world();
    let address = format!("{}/nowhere", world.emulating.base_url);
    let words = [
        "the server has no such path (HTTP 404), and its answer is not that of openai",
        "check the base URL: --base-url",
        "no batch was created; fix the cause and run the command again",
    ];
    assert_says(&world.run(&["--base-url", &address]), 1, &words);
    let runs = world.at(&["runs", "--json"]);
    assert_says(&runs, 0, &["\"state\":\"failed\""]);
    assert_eq!(world.creates(), 0);
    let again = world.run(&[]);
    assert_says(&again, 0, &[]);
    assert!(!said(&again).contains("resuming"), "{}", said(&again));
    assert_eq!(world.creates(), 1);
}
