//! Batches that end before their results are visible. The run waits for the results, and nothing is sent again.

use lmbatch::Outcome;
use lmbatch_emulator::{Fault, FaultKind, Late, Operation};
use lmbatch_tests::{Broken, Emulating, Ended, SUBJECTS, Subject, Trial, lines, said, write_input};
use serde_json::{Value, json};

/// A trial in which every other request fails, so that OpenAI has two files.
async fn half_failed(subject: &'static Subject) -> Trial {
    let mut trial = Trial::start(subject).await;
    for place in [1, 3, 5] {
        trial.prompts[place] = format!("lmb:error-400 {place}");
    }
    trial
}

/// Returns a complaint about a run in which every other request should have failed.
fn not_right(trial: &Trial, ended: &Ended) -> Option<String> {
    let Ok(outcomes) = &ended.result else {
        return Some(ended.words());
    };
    let statuses = outcomes.iter().map(|(_, outcome)| match outcome {
        Outcome::Succeeded { .. } => "succeeded",
        Outcome::Errored(_) => "errored",
        _ => "lost",
    });
    let statuses: Vec<&str> = statuses.collect();
    let right = statuses == ["succeeded", "errored"].repeat(3);
    trial
        .mixed_up(outcomes)
        .or_else(|| (!right).then(|| ended.words()))
}

#[tokio::test]
async fn late_results_are_waited_for() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for what in [Late::Output, Late::Errors, Late::Both] {
            for empty in [false, true] {
                for reads in [1, 2, 3, 8] {
                    let trial = half_failed(subject).await;
                    let kind = FaultKind::Late { what, empty };
                    let fault = Fault::times(Operation::Status, reads, kind);
                    trial.emulator.add_fault(fault);
                    let ended = trial.go().await;
                    let cell = format!("{} {what:?}, empty {empty}, {reads}", subject.name);
                    let complaint = trial.overpaid().or_else(|| not_right(&trial, &ended));
                    broken.note(cell, complaint);
                }
            }
        }
    }
    broken.end();
}

/// OpenAI's two files may appear one after the other, in either order.
#[tokio::test]
async fn result_files_that_appear_one_after_the_other_are_both_waited_for() {
    let mut broken = Broken::default();
    for order in [[Late::Output, Late::Errors], [Late::Errors, Late::Output]] {
        for reads in [1, 2, 5] {
            let trial = half_failed(&SUBJECTS[0]).await;
            for what in order {
                let fault = Fault::times(Operation::Status, reads, FaultKind::late(what));
                trial.emulator.add_fault(fault);
            }
            let ended = trial.go().await;
            let complaint = trial.overpaid().or_else(|| not_right(&trial, &ended));
            broken.note(format!("{order:?}, {reads} each"), complaint);
        }
    }
    broken.end();
}

#[tokio::test]
async fn results_that_stay_hidden_hold_the_run_until_they_appear() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for what in [Late::Output, Late::Errors, Late::Both] {
            // The other providers keep all rows together, as the output.
            if what == Late::Errors && subject.provider != "openai" {
                continue;
            }
            for empty in [false, true] {
                let trial = half_failed(subject).await;
                let late = FaultKind::Late { what, empty };
                trial
                    .emulator
                    .add_fault(Fault::always(Operation::Status, late));
                let cell = format!("{} {what:?}, empty {empty}", subject.name);
                for _ in 0..2 {
                    let ended = trial.go().await;
                    // Anthropic's results are at a path that is known without the batch.
                    let fetched =
                        subject.provider == "anthropic" && not_right(&trial, &ended).is_none();
                    let held = ended.is_held() || fetched;
                    let complaint = (!held).then(|| format!("not held: {}", ended.words()));
                    broken.note(&cell, trial.overpaid().or(complaint));
                }
                trial.emulator.clear_faults();
                let ended = trial.go().await;
                let complaint = trial.overpaid().or_else(|| not_right(&trial, &ended));
                broken.note(format!("{cell}, resumed"), complaint);
            }
        }
    }
    broken.end();
}

/// A batch without successes has no output file, and one without failures has no error file: the run does not wait for
/// either.
#[tokio::test]
async fn a_file_that_the_counts_do_not_require_is_not_waited_for() {
    for subject in SUBJECTS {
        for word in ["", "lmb:error-400 "] {
            let mut trial = Trial::start(subject).await;
            for prompt in &mut trial.prompts {
                *prompt = format!("{word}{prompt}");
            }
            let ended = trial.go().await;
            assert_eq!(trial.overpaid(), None, "{}", subject.name);
            let outcomes = ended.result.unwrap();
            assert_eq!(trial.mixed_up(&outcomes), None, "{}", subject.name);
            let usable = outcomes.iter().filter(|(_, outcome)| outcome.is_usable());
            let wanted = if word.is_empty() { 6 } else { 0 };
            assert_eq!(usable.count(), wanted, "{}: {word}", subject.name);
            assert!(ended.warnings.is_empty(), "{:?}", ended.warnings);
        }
    }
}

/// An ended batch may have any value as the location of its results. The run waits for them for a limited time; at
/// Anthropic it reads them from the known path. Nothing is sent again.
#[tokio::test]
async fn results_url_null() {
    let mut broken = Broken::default();
    let odd = [
        json!(null),
        json!(""),
        json!(" "),
        json!(7),
        json!({}),
        json!([]),
        json!(false),
    ];
    let urls = [
        json!("https://elsewhere.test/v1/messages/batches/b/results"),
        json!("//elsewhere.test/results"),
        json!("/v1/messages/batches/another/results"),
        json!("results"),
        json!("file:///etc/passwd"),
    ];
    for (place, pointer) in [
        (0, "/output_file_id"),
        (1, "/output_file_id"),
        (2, "/results_url"),
        (3, "/response/responsesFile"),
        (4, "/response/inlinedResponses"),
    ] {
        let subject = &SUBJECTS[place];
        let is_known = subject.provider == "anthropic";
        let values: Vec<&Value> = match is_known {
            true => odd.iter().chain(&urls).collect(),
            false => odd.iter().collect(),
        };
        for value in values {
            let trial = Trial::start(subject).await;
            let kinds = match pointer.strip_prefix("/response") {
                // Google shows the location twice.
                Some(member) => vec![
                    FaultKind::rewrite(pointer, value.clone()),
                    FaultKind::rewrite(format!("/metadata/output{member}"), value.clone()),
                ],
                None => vec![FaultKind::rewrite(pointer, value.clone())],
            };
            let kind = FaultKind::Several { kinds };
            trial
                .emulator
                .add_fault(Fault::always(Operation::Status, kind));
            let cell = format!("{} {pointer} {value}", subject.name);
            let ended = trial.go().await;
            let complaint = match is_known {
                true if ended.result.is_err() => None,
                true => trial.not_whole(&ended),
                // An unreadable status may also be an error.
                false => ended.result.is_ok().then(|| ended.words()),
            };
            broken.note(&cell, trial.overpaid().or(complaint));
            trial.emulator.clear_faults();
            let ended = trial.go().await;
            let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
            broken.note(format!("{cell}, resumed"), complaint);
        }
    }
    broken.end();
}

/// The command ends in time with code 4 while there are no results, and with 0 once there are.
#[test]
fn the_command_waits_only_so_long_for_results_without_a_location() {
    for (subject, pointer) in [
        (&SUBJECTS[0], "/output_file_id"),
        (&SUBJECTS[2], "/results_url"),
        (&SUBJECTS[3], "/response/responsesFile"),
    ] {
        let emulating = Emulating::start();
        let folder = tempfile::tempdir().unwrap();
        write_input(folder.path(), [r#"{"id": "q", "prompt": "hello"}"#]);
        // Google shows the location twice.
        let kinds = [pointer, "/metadata/output/responsesFile"]
            .map(|pointer| json!({"rewrite": {"pointer": pointer, "value": null}}));
        let kind = json!({"several": {"kinds": kinds}});
        let fault = json!({"operation": "status", "times": u32::MAX, "kind": kind});
        emulating.post("/_emulator/faults", &fault.to_string());
        let model = format!("{}/{}", subject.provider, subject.model);
        let run = |timeout: &str| {
            let args = ["run", "in.jsonl", "-m", &model, "-o", "out.jsonl"];
            let more = ["--poll-interval", "20ms", "--timeout", timeout];
            let args = [&args[..], &more].concat();
            emulating.run_at(subject.provider, folder.path(), &args)
        };
        let ended = run("2s");
        assert_eq!(ended.status.code(), Some(4), "{model}: {}", said(&ended));
        emulating.clear_faults();
        let ended = run("60s");
        assert_eq!(ended.status.code(), Some(0), "{model}: {}", said(&ended));
        let found = lines(&folder.path().join("out.jsonl"));
        assert_eq!(found[0]["text"], "echo: hello", "{model}");
        assert_eq!(emulating.bill()["creates"], 1, "{model}");
    }
}
