//! Pilots that await their decision, as other commands name, repair, adopt and continue them.

use std::fs;

use lmbatch_tests::{errors, object, said};
use serde_json::json;

use crate::pilot::{World, assert_exit};

#[test]
fn commands_without_a_run_name_a_pilot_that_awaits_its_decision() {
    let world = World::new();
    assert_exit(
        &world.run(&["--pilot", "4", "--run", "mine", "--max-tokens", "20"]),
        4,
    );
    let id = world.only_run()["run"].as_str().unwrap().to_owned();
    let words = [
        &*format!("run {id} (mine): its pilot, the first 4 of 10 requests, has ended and awaits"),
        "lmbatch run in.jsonl -m openai/m -o out.jsonl --poll-interval 20ms --run mine --max-tokens 20",
    ];
    for (args, exit) in [
        (&["status"][..], 0),
        (&["status", "--watch"], 0),
        (&["resume"], 2),
        (&["resume", "--once"], 0),
        (&["resume", "--all"], 0),
        (&["resume", "--all", "--once"], 0),
    ] {
        let messages = world.at(args);
        assert_exit(&messages, exit);
        for words in words {
            assert!(
                said(&messages).contains(words),
                "{args:?}, {words}: {}",
                said(&messages)
            );
        }
        assert!(
            !said(&messages).contains("every run has ended"),
            "{args:?}: {}",
            said(&messages)
        );
    }
    let status = object(&world.at(&["status", "--json"]));
    assert_eq!(
        (&status["run"], &status["state"]),
        (&json!(id), &json!("pilot_ended"))
    );
    assert_eq!(world.billed(), (1, 4));
    assert_exit(&world.next(&said(&world.at(&["status"]))), 0);
    world.assert_whole();
    for args in [&["status"][..], &["resume", "--all"]] {
        let messages = world.at(args);
        assert!(
            said(&messages).contains("every run has ended"),
            "{args:?}: {}",
            said(&messages)
        );
    }
}

#[test]
fn the_printed_command_has_the_options_that_a_later_command_has_set() {
    let world = World::new();
    let piloted = world.run(&[
        "--pilot",
        "2",
        "--max-tokens",
        "20",
        "--max-cost",
        "0.05",
        "--accept",
        "refused",
    ]);
    assert_exit(&piloted, 4);
    let id = world.only_run()["run"].as_str().unwrap().to_owned();
    let raised = world.at(&["resume", &id, "--max-cost", "9", "--accept", "truncated"]);
    assert_exit(&raised, 4);
    let words = "--max-tokens 20 --max-cost 9.00 --accept truncated";
    for messages in [
        raised,
        world.at(&["status", &id]),
        world.at(&["resume", &id]),
    ] {
        assert!(said(&messages).contains(words), "{}", said(&messages));
    }
    assert_exit(&world.next(&said(&world.at(&["status", &id]))), 0);
    world.assert_whole();
    let shown = said(&world.at(&["show", &id]));
    assert!(shown.contains("cost limit $9.00"), "{shown}");
}

#[test]
fn a_limit_without_room_for_the_largest_cost_names_a_size_of_batches_that_fits() {
    let world = World::new();
    // A request may cost two dollars, and costs a few cents at most.
    let limited = ["--pilot", "2", "--max-tokens", "2000", "--max-cost", "5"];
    let piloted = world.run(&limited);
    assert_exit(&piloted, 4);
    let messages = errors(&piloted);
    let words = "the cost limit of $5.00 suffices for about $";
    assert!(
        messages.contains(words) && messages.contains("other 8 requests may cost up to $16"),
        "{messages}"
    );
    let size = messages.split("--max-batch-requests ").nth(1).unwrap();
    let size: u32 = size.split([' ', ',']).next().unwrap().parse().unwrap();
    assert!((1..=2).contains(&size), "{messages}");
    let smaller = ["--max-batch-requests", &size.to_string()];
    let again = world.run(&[&limited[..], &smaller].concat());
    assert_exit(&again, 4);
    assert!(!errors(&again).contains(words), "{}", errors(&again));
    let rest = ["--max-tokens", "2000", "--max-cost", "5"];
    assert_exit(&world.run(&[&rest[..], &smaller].concat()), 0);
    world.assert_whole();
    // A limit with room for everything, and one without a projection that fits, have no such note.
    for limit in ["30", "0.001"] {
        let world = World::new();
        let piloted = world.run(&["--pilot", "2", "--max-tokens", "20", "--max-cost", limit]);
        assert!(
            !errors(&piloted).contains("suffices for"),
            "{}",
            errors(&piloted)
        );
    }
}

#[test]
fn a_quiet_pilot_says_how_to_continue() {
    let world = World::asking(|number| match number {
        1 => "lmb:truncate".to_owned(),
        _ => format!("word {number}"),
    });
    let piloted = world.run(&["--pilot", "4", "-q"]);
    assert_exit(&piloted, 4);
    let id = world.only_run()["run"].as_str().unwrap().to_owned();
    let messages = errors(&piloted);
    let words =
        format!("the pilot of run {id} has ended, 3 of 4 usable; to send the other 6 requests:");
    assert!(messages.starts_with(&words), "{messages}");
    assert_eq!(messages.lines().count(), 2, "{messages}");
    let bad = world.run(&["--pilot", "4", "-q", "--pilot-min-ok", "90"]);
    assert_exit(&bad, 4);
    assert!(
        errors(&bad).contains("75% of the pilot is usable, less than 90%"),
        "{}",
        said(&bad)
    );
    // A scheduler that repeats the command hears of it once.
    let every = world.at(&["resume", "--all", "--once", "-q"]);
    assert_exit(&every, 0);
    assert_eq!(said(&every), "");
    let done = world.next(&messages);
    assert_exit(&done, 3);
    assert_eq!(said(&done), "");
    world.assert_whole();
}

#[test]
fn repairs_that_are_asked_for_after_the_pilot_are_said_not_to_apply_to_it() {
    let world = World::asking(|number| match number % 5 {
        1 => "lmb:schema-miss".to_owned(),
        _ => format!("word {number}"),
    });
    let schema = r#"{"type": "object", "properties": {"mood": {"type": "string"}}, "required": ["mood"], "additionalProperties": false}"#;
    fs::write(world.path().join("schema.json"), schema).unwrap();
    let schema = ["--schema", "schema.json"];
    assert_exit(&world.run(&[&schema[..], &["--pilot", "4"]].concat()), 4);
    let repair = [&schema[..], &["--repair", "1"]].concat();
    let words = "--repair 1 was not applied: 1 answer from before does not fit its schema";
    let again = world.run(&[&repair[..], &["--pilot", "4"]].concat());
    assert_exit(&again, 4);
    assert!(errors(&again).contains(words), "{}", said(&again));
    let all = world.run(&repair);
    assert_exit(&all, 3);
    assert!(errors(&all).contains(words), "{}", said(&all));
    // Four of the pilot, six others, and a repair of one of them.
    assert_eq!(world.billed().1, 11);
    let id = world.only_run()["run"].as_str().unwrap().to_owned();
    let repaired = world.at(&["requeue", &id, "--repair", "1", "--poll-interval", "20ms"]);
    assert_exit(&repaired, 0);
    assert_eq!(world.billed().1, 12);
}

#[test]
fn an_adopted_pilot_keeps_its_answers_and_sends_nothing_before_the_decision() {
    for by_label in [true, false] {
        let world = World::new();
        let options = ["--pilot", "4", "--cleanup", "none", "--max-tokens", "20"];
        assert_exit(&world.run(&options), 4);
        let id = world.only_run()["run"].as_str().unwrap().to_owned();
        let shown = object(&world.at(&["show", &id, "--json"]));
        let name = if by_label { "label" } else { "batch" };
        let batch = shown["batches"][0][name].as_str().unwrap().to_owned();
        fs::remove_dir_all(world.path().join(".lmbatch")).unwrap();
        let adopt = |more: &[&str]| {
            let args = [
                "adopt",
                &batch,
                "in.jsonl",
                "-m",
                "openai/m",
                "-o",
                "out.jsonl",
            ];
            world.at(&[&args[..], &["--max-tokens", "20"], more].concat())
        };
        for more in [
            &[][..],
            &["--create-missing"],
            &["--pilot", "3"],
            &["--pilot", "10"],
        ] {
            let refused = adopt(more);
            assert_exit(&refused, 2);
            let is_hinted = errors(&refused).contains("--pilot N");
            assert_eq!(
                is_hinted,
                !more.contains(&"--pilot"),
                "{more:?}: {}",
                said(&refused)
            );
        }
        let adopted = adopt(&["--pilot", "4"]);
        assert_exit(&adopted, 0);
        assert!(
            errors(&adopted).contains("1 of 1 batch taken"),
            "{}",
            said(&adopted)
        );
        let run = world.only_run();
        assert_eq!(
            (&run["requests"], &run["pilot_of"]),
            (&json!(4), &json!(10))
        );
        assert_eq!(run["run"], json!(id));
        let resumed = world.at(&["resume", &id, "--poll-interval", "20ms"]);
        assert_exit(&resumed, 4);
        assert_eq!(world.billed(), (1, 4));
        let words = "lmbatch run in.jsonl -m openai/m -o out.jsonl --max-tokens 20";
        assert!(errors(&resumed).contains(words), "{}", said(&resumed));
        assert_exit(&world.next(&errors(&resumed)), 0);
        assert_eq!(world.billed().0, 2);
        world.assert_whole();
    }
}
