//! Pilots: the first requests of a run, the decision about the others, and the bill of an emulator in another process.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs::File;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lmbatch_tests::{
    Scene, TO_FILE, assert_fits, errors, lines, lmbatch, object, on_terminal, said,
};
use serde_json::{Value, json};

/// A dollar for a million input tokens in batch, and 1,000 dollars for a million output tokens.
pub(crate) const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
    {"provider": "openai", "model": "m", "match": {"eq": ["m"], "prefix": ["m-"]},
     "realtime": [{"in": "2", "out": "2000"}], "batch": [{"in": "1", "out": "1000"}]}
]}"#;

/// Number of requests of an input.
const ALL: usize = 10;

/// A scene with an input of ten requests and with prices.
pub(crate) struct World(Scene);

impl Deref for World {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::asking(|number| format!("word {number}"))
    }

    pub(crate) fn asking(prompt: impl Fn(usize) -> String) -> Self {
        let scene = Scene::new([""; 0]).with_variable("LMBATCH_PRICES", "prices.json");
        scene.write("prices.json", TABLE);
        let world = Self(scene);
        world.write(prompt);
        world
    }

    pub(crate) fn write(&self, prompt: impl Fn(usize) -> String) {
        let line = |number: usize| json!({"id": format!("q-{number}"), "prompt": prompt(number)});
        self.ask((0..ALL).map(line));
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.path().join("out.jsonl")
    }

    fn command(&self, args: &[&str]) -> Command {
        self.0.command("openai", args)
    }

    fn run_command(&self, more: &[&str]) -> Command {
        self.command(&[&TO_FILE[..], more].concat())
    }

    pub(crate) fn run(&self, more: &[&str]) -> Output {
        self.run_command(more).output().unwrap()
    }

    /// Returns the numbers of accepted batches and of answered requests.
    pub(crate) fn billed(&self) -> (u64, u64) {
        let bill = self.emulating.bill();
        let number = |name: &str| bill[name].as_u64().unwrap();
        (number("creates"), number("answered_requests"))
    }

    /// Runs the command that a pilot has printed for the other requests.
    pub(crate) fn next(&self, printed: &str) -> Output {
        let command = printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("lmbatch run "));
        let command = command.unwrap_or_else(|| panic!("no command: {printed}"));
        let mut shell = self.emulating.shell("openai", self.path());
        shell
            .env_remove("LMBATCH_LOG")
            .env("LMBATCH_PRICES", "prices.json")
            .args(["-c", &format!("'{}' run {command}", lmbatch().display())]);
        shell.output().unwrap()
    }

    /// Returns the only run, as `runs` shows it.
    pub(crate) fn only_run(&self) -> Value {
        let listed = self.at(&["runs", "--json"]);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        let runs: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(runs.len(), 1, "{text}");
        runs[0].clone()
    }

    /// Asserts that the output holds every request once, in order, and that each was paid for once.
    pub(crate) fn assert_whole(&self) {
        let ids: Vec<Value> = lines(&self.output())
            .iter()
            .map(|line| line["id"].clone())
            .collect();
        let expected: Vec<Value> = (0..ALL)
            .map(|number| json!(format!("q-{number}")))
            .collect();
        assert_eq!(ids, expected);
        assert_eq!(self.billed().1, ALL as u64);
        let run = self.only_run();
        let audit = self.at(&["audit", run["run"].as_str().unwrap()]);
        assert_eq!(audit.status.code(), Some(0), "{}", said(&audit));
    }
}

pub(crate) fn assert_exit(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
}

#[test]
fn a_piped_pilot_ends_with_4_and_the_printed_command_sends_the_rest() {
    let world = World::new();
    let piloted = world.run(&["--pilot", "4", "--max-tokens", "20"]);
    assert_exit(&piloted, 4);
    let messages = errors(&piloted);
    for words in [
        "pilot: the first 4 requests in 1 batch, about $",
        "4 of 10 requests",
        "usable share  100%",
        "per request",
        "other 6",
        "all 10",
        "q-0:",
        "q-2:",
        "q-3:",
        "to send the other 6 requests:",
    ] {
        assert!(messages.contains(words), "{words}: {messages}");
    }
    assert!(
        messages.lines().all(|line| line.chars().count() <= 160),
        "{messages}"
    );
    assert_eq!(world.billed(), (1, 4));
    assert!(!world.output().exists(), "a part would look like the whole");
    let run = world.only_run();
    assert_eq!(
        (&run["state"], &run["requests"], &run["pilot_of"]),
        (&json!("pilot_ended"), &json!(4), &json!(10))
    );
    let id = run["run"].as_str().unwrap();
    // The answers can be read, and every command says what the run is.
    let read = world.at(&["retrieve", id, "-o", "pilot.jsonl"]);
    assert_exit(&read, 0);
    assert_eq!(lines(&world.path().join("pilot.jsonl")).len(), 4);
    for (args, exit) in [
        (&["status", id][..], 0),
        (&["show", id], 0),
        (&["retrieve", id], 0),
        (&["wait", id], 4),
        (&["resume", id], 4),
    ] {
        let shown = world.at(args);
        assert_exit(&shown, exit);
        let text = said(&shown);
        let is_named =
            text.contains("the first 4 of 10 requests") || text.contains("4 of 10 requests");
        assert!(is_named, "{args:?}: {text}");
    }
    let ended = world.at(&["cancel", id]);
    assert!(
        said(&ended).contains("the pilot of run"),
        "{}",
        said(&ended)
    );
    // The same command shows the pilot again, and pays nothing.
    let again = world.run(&["--pilot", "4", "--max-tokens", "20"]);
    assert_exit(&again, 4);
    assert!(
        errors(&again).contains("0 requests sent"),
        "{}",
        said(&again)
    );
    assert_eq!(world.billed(), (1, 4));
    let rest = world.next(&messages);
    assert_exit(&rest, 0);
    assert!(
        errors(&rest).contains("4 unchanged, 0 changed, 6 new, 0 gone"),
        "{}",
        said(&rest)
    );
    world.assert_whole();
    assert_eq!(world.only_run()["pilot_of"], Value::Null);
    for more in [
        &["--pilot", "4", "--max-tokens", "20"][..],
        &["--max-tokens", "20"],
    ] {
        let done = world.run(more);
        assert_exit(&done, 0);
        assert!(
            errors(&done).contains("already answered"),
            "{}",
            said(&done)
        );
    }
    assert_eq!(world.billed(), (2, 10));
}

#[test]
fn the_share_of_usable_outputs_decides_without_a_question() {
    for (least, exit, creates) in [("75", 3, 2), ("75.1", 4, 1), ("0", 3, 2), ("100%", 4, 1)] {
        let world = World::asking(|number| match number {
            1 => "lmb:truncate".to_owned(),
            _ => format!("word {number}"),
        });
        let run = world.run(&["--pilot", "4", "--pilot-min-ok", least, "--json", "-y"]);
        assert_exit(&run, exit);
        assert_eq!(world.billed().0, creates, "{least}");
        let summary = object(&run);
        assert_fits(&object(&world.at(&["schema", "summary"])), &summary);
        let pilot = &summary["pilot"];
        assert_eq!(
            (
                &pilot["requests"],
                &pilot["of"],
                &pilot["usable"],
                &pilot["usable_percent"]
            ),
            (&json!(4), &json!(10), &json!(3), &json!(75.0))
        );
        let is_sent = creates == 2;
        assert_eq!(pilot["decision"], if is_sent { "sent" } else { "awaited" });
        assert_eq!(pilot["next"].is_null(), is_sent, "{pilot}");
        assert_eq!(summary["requests"], if is_sent { 10 } else { 4 });
        let messages = errors(&run);
        match is_sent {
            true => world.assert_whole(),
            false => {
                assert!(
                    messages.contains("75% of the pilot is usable, less than"),
                    "{messages}"
                );
                // The truncated answer is among the examples.
                assert!(messages.contains("q-1 (truncated):"), "{messages}");
            }
        }
    }
    // A problem that is accepted is usable.
    let world = World::asking(|_| "lmb:truncate".to_owned());
    let accepted = [
        "--pilot",
        "4",
        "--pilot-min-ok",
        "100",
        "--accept",
        "truncated",
    ];
    assert_exit(&world.run(&accepted), 0);
    world.assert_whole();
    for bad in ["101", "-1", "many"] {
        assert_exit(
            &world.run(&["--pilot", "4", &format!("--pilot-min-ok={bad}")]),
            2,
        );
    }
    assert_exit(&world.run(&["--pilot-min-ok", "5"]), 2);
    assert_exit(&world.run(&["--pilot", "0"]), 2);
}

#[test]
fn a_terminal_is_asked_after_the_pilot() {
    let world = World::new();
    let question = "Send the other 6 requests for about $";
    for (more, answer, is_asked, exit, billed) in [
        (&[][..], "n\n", true, 4, (1, 4)),
        (&[], "\n", true, 4, (1, 4)),
        (
            &["--pilot-min-ok", "50", "--max-cost", "0.00001"],
            "",
            false,
            5,
            (1, 4),
        ),
        (&["--max-cost", "1"], "", false, 0, (2, 10)),
    ] {
        let args = [&["--pilot", "4", "--max-tokens", "20"], more].concat();
        let (code, text) = on_terminal(&mut world.run_command(&args), answer);
        assert_eq!(code, Some(exit), "{more:?}: {text}");
        assert_eq!(text.contains(question), is_asked, "{more:?}: {text}");
        assert_eq!(world.billed(), billed, "{more:?}: {text}");
    }
    world.assert_whole();
    for (more, answer, is_asked) in [(&[][..], "y\n", true), (&["-y"], "", false)] {
        let world = World::new();
        let args = [&["--pilot", "4"], more].concat();
        let (code, text) = on_terminal(&mut world.run_command(&args), answer);
        assert_eq!(code, Some(0), "{more:?}: {text}");
        assert_eq!(text.contains(question), is_asked, "{more:?}: {text}");
        world.assert_whole();
    }
}

#[test]
fn a_pilot_from_standard_input_is_given_its_input_again() {
    let world = World::new();
    let give = |world: &World, more: &[&str]| {
        let run = TO_FILE.map(|word| if word == "in.jsonl" { "-" } else { word });
        let mut command = world.command(&[&run[..], more].concat());
        command.stdin(File::open(world.path().join("in.jsonl")).unwrap());
        command.output().unwrap()
    };
    let piloted = give(&world, &["--pilot", "3"]);
    assert_exit(&piloted, 4);
    let words = "to send the other 7 requests, with the same input on standard input:";
    assert!(errors(&piloted).contains(words), "{}", said(&piloted));
    assert!(errors(&piloted).contains("lmbatch run - -m openai/m"));
    assert_exit(&give(&world, &[]), 0);
    world.assert_whole();
    // One command reads the input once, for the pilot and for the rest.
    let world = World::new();
    assert_exit(&give(&world, &["--pilot", "3", "-y"]), 0);
    world.assert_whole();
}

#[test]
fn a_pilot_of_all_requests_is_none() {
    let world = World::new();
    for requests in ["10", "11"] {
        let run = world.run(&["--pilot", requests, "--new", "--force"]);
        assert_exit(&run, 0);
        let words = format!("no pilot: the input has 10 requests, and --pilot asks for {requests}");
        assert!(errors(&run).contains(&words), "{}", said(&run));
    }
    assert_eq!(world.billed(), (2, 20));
    let limited = world.run(&["--pilot", "10", "--new", "--force", "--max-cost", "9"]);
    assert_exit(&limited, 2);
    assert!(
        errors(&limited).contains("sets no maximum number of output tokens"),
        "{}",
        said(&limited)
    );
}

#[test]
fn a_cost_limit_expects_the_longest_answer_of_the_pilot() {
    let world = World::new();
    // Without a maximum, a request of the pilot reserves 1,000 tokens: a dollar.
    let low = world.run(&["--pilot", "2", "--max-cost", "0.5"]);
    assert_exit(&low, 5);
    assert_eq!(world.billed(), (0, 0));
    let piloted = world.run(&["--pilot", "2", "--max-cost", "2.5", "--json"]);
    assert_exit(&piloted, 4);
    let most = object(&piloted)["pilot"]["most_output_tokens"]
        .as_u64()
        .unwrap();
    assert!((1..1_000).contains(&most), "{most}");
    let run = world.only_run();
    let id = run["run"].as_str().unwrap();
    let rest = world.run(&["--pilot", "2", "--max-cost", "2.5", "-y"]);
    assert_exit(&rest, 0);
    world.assert_whole();
    let shown = object(&world.at(&["show", id, "--json"]));
    let reserved: f64 = shown["batches"][1]["cost"]["reserved_usd"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    // Eight requests of at most that many tokens, at a tenth of a cent each, and next to nothing for input.
    let expected = 8.0 * most as f64 / 1_000.0;
    assert!(
        reserved >= expected && reserved < expected + 0.01,
        "{reserved} {expected}"
    );
}

#[test]
fn a_limit_below_the_projected_cost_is_a_warning_and_holds() {
    let world = World::new();
    let piloted = world.run(&[
        "--pilot",
        "2",
        "--max-tokens",
        "4",
        "--max-cost",
        "0.02",
        "-y",
    ]);
    assert_exit(&piloted, 5);
    assert_eq!(world.billed(), (1, 2));
    let messages = errors(&piloted);
    assert!(
        messages.contains("warning: the cost limit of $0.02 may not suffice for about $"),
        "{messages}"
    );
    let run = world.only_run();
    let id = run["run"].as_str().unwrap();
    assert_exit(
        &world.at(&["resume", id, "--max-cost", "9", "--poll-interval", "20ms"]),
        0,
    );
    world.assert_whole();
}

#[test]
fn a_process_that_is_killed_in_or_after_the_pilot_loses_and_repeats_nothing() {
    let world = World::new();
    // The emulator keeps the first batch waiting.
    let slow = json!({"operation": "status", "times": 100_000, "kind": {"status": {
        "code": 503, "headers": [], "body": "{}",
    }}});
    world.emulating.post("/_emulator/faults", &slow.to_string());
    let mut child = world
        .run_command(&["--pilot", "4", "-y"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..500 {
        if world.billed().0 == 1 {
            break;
        }
        pause(20);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    world.emulating.clear_faults();
    let run = world.only_run();
    assert_eq!(
        (&run["state"], &run["pilot_of"]),
        (&json!("running"), &json!(10))
    );
    // `resume` finishes the pilot only.
    let id = run["run"].as_str().unwrap();
    let resumed = world.at(&["resume", id, "--poll-interval", "20ms"]);
    assert_exit(&resumed, 4);
    assert!(
        errors(&resumed).contains("to send the other 6 requests:"),
        "{}",
        said(&resumed)
    );
    assert_eq!(world.billed(), (1, 4));
    assert!(!world.output().exists());
    assert_exit(&world.next(&errors(&resumed)), 0);
    world.assert_whole();
    assert_eq!(world.billed().0, 2);
}

#[test]
fn detached_pilots_are_continued_by_the_same_command() {
    let world = World::new();
    let detached = world.run(&["--pilot", "4", "--detach", "--json"]);
    assert_exit(&detached, 0);
    assert_eq!(object(&detached)["requests"], 4);
    assert_eq!(world.billed().0, 1);
    assert_exit(&world.run(&["--pilot", "4"]), 4);
    assert_eq!(world.billed(), (1, 4));
    // The other requests are asked for while the pilot is still running.
    let world = World::new();
    assert_exit(&world.run(&["--pilot", "4", "--detach"]), 0);
    let all = world.run(&[]);
    assert_exit(&all, 0);
    world.assert_whole();
    assert_eq!(world.billed().0, 2);
}

#[test]
fn a_changed_input_is_piloted_again_only_on_request() {
    let world = World::new();
    assert_exit(&world.run(&["--pilot", "4"]), 4);
    world.write(|number| match number {
        1 => "another word".to_owned(),
        _ => format!("word {number}"),
    });
    for more in [&["--pilot", "4"][..], &[]] {
        let refused = world.run(more);
        assert_exit(&refused, 2);
        assert!(errors(&refused).contains("--update"), "{}", said(&refused));
    }
    assert_eq!(world.billed(), (1, 4));
    let updated = world.run(&["--update", "--pilot", "4"]);
    assert_exit(&updated, 4);
    assert!(
        errors(&updated).contains("pilot: 3 unchanged, 1 changed, 0 new, 0 gone"),
        "{}",
        said(&updated)
    );
    assert_eq!(world.billed(), (2, 5));
    // A larger pilot sends what the smaller one lacks.
    assert_exit(&world.run(&["--pilot", "6"]), 4);
    assert_eq!(world.billed(), (3, 7));
    assert_exit(&world.run(&["--pilot", "5"]), 4);
    assert_eq!(world.billed(), (3, 7));
    assert_exit(&world.next(&errors(&updated)), 0);
    assert_eq!(world.billed(), (4, 11));
    assert_eq!(lines(&world.output()).len(), ALL);
    // A run of all requests has no pilot any more.
    world.write(|number| format!("other word {number}"));
    let refused = world.run(&["--update", "--pilot", "4"]);
    assert_exit(&refused, 2);
    assert!(
        errors(&refused).contains("has no pilot"),
        "{}",
        said(&refused)
    );
    assert_eq!(world.billed(), (4, 11));
}

#[test]
fn failed_requests_of_a_pilot_can_be_requeued_before_the_decision() {
    let world = World::asking(|number| match number {
        0 => "lmb:truncate".to_owned(),
        _ => format!("word {number}"),
    });
    assert_exit(&world.run(&["--pilot", "3"]), 4);
    let run = world.only_run();
    let id = run["run"].as_str().unwrap();
    let requeued = world.at(&[
        "requeue",
        id,
        "--only",
        "truncated",
        "--poll-interval",
        "20ms",
    ]);
    assert_exit(&requeued, 4);
    assert!(
        errors(&requeued).contains("3 of 10 requests"),
        "{}",
        said(&requeued)
    );
    assert_eq!(world.billed(), (2, 4));
    assert!(!world.output().exists());
    assert_exit(&world.run(&["--pilot", "3", "-y"]), 3);
    assert_eq!(world.billed(), (3, 11));
    assert_eq!(lines(&world.output()).len(), ALL);
}

#[test]
fn a_pilot_that_awaits_its_decision_is_not_purged_and_not_paid_for_again() {
    let world = World::new();
    let pilot = world.run(&["--pilot", "2"]);
    assert_exit(&pilot, 4);
    let run = world.only_run();
    let id = run["run"].as_str().unwrap();
    let old = world.at(&["purge", "--older-than", "0s"]);
    assert_exit(&old, 0);
    let named = world.at(&["purge", id]);
    assert_exit(&named, 2);
    assert!(errors(&named).contains("is a pilot"), "{}", errors(&named));
    assert_exit(&world.run(&["-y"]), 0);
    world.assert_whole();
}

#[test]
fn an_emulated_pilot_asks_nothing_about_money() {
    let world = World::new();
    let piloted = world.run(&["--pilot", "4", "--emulate", "--pace", "instant"]);
    assert_exit(&piloted, 4);
    let messages = errors(&piloted);
    assert!(
        messages.contains("to send the other 6 requests:") && !messages.contains("other 6  "),
        "{messages}"
    );
    assert_exit(&world.next(&messages), 0);
    assert_eq!(lines(&world.output()).len(), ALL);
    assert_eq!(world.billed(), (0, 0));
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a real program")]
fn pause(milliseconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(milliseconds));
}
