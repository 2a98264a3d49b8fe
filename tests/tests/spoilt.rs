//! Results with damaged content. A batch is sealed only when the number of rows with its ids equals the number of
//! ended requests in its counts; until then its results are read again, and then the run holds. It is never paid
//! twice, and never ends as if the results were complete.

use lmbatch::{OnDoubt, Outcome};
use lmbatch_emulator::{Damage, Fault, FaultKind, Operation};
use lmbatch_tests::{Broken, Emulating, Ended, SUBJECTS, Subject, Trial, lines, said, write_input};

/// Calls of a run that read results, each as an operation and the number of its calls without a fault. Gemini's inline
/// rows are in the status responses, and the adapter decides which of them is read.
fn readings(subject: &Subject) -> Vec<(Operation, u32)> {
    if subject.name == "google inline" {
        (0..4).map(|skip| (Operation::Status, skip)).collect()
    } else {
        vec![(Operation::Content, 0)]
    }
}

fn strike(trial: &Trial, operation: Operation, skip: u32, times: u32, how: Damage) {
    trial.emulator.add_fault(Fault {
        skip,
        ..Fault::times(operation, times, FaultKind::damage(how))
    });
}

/// Returns a complaint about a run that should hold until its results can be read.
fn not_held(ended: &Ended) -> Option<String> {
    (!ended.is_held()).then(|| format!("not held: {}", ended.words()))
}

async fn once(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    for how in Damage::ALL {
        for (operation, skip) in readings(subject) {
            let trial = Trial::start(subject).await;
            strike(&trial, operation, skip, 1, *how);
            let mut ended = trial.go().await;
            // An unreadable status may end the process, and the next process resumes.
            if operation == Operation::Status && ended.result.is_err() {
                ended = trial.go().await;
            }
            let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
            broken.note(format!("{} {how:?} {skip}", subject.name), complaint);
        }
    }
    broken.end();
}

async fn always(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    let (operation, skip) = if subject.name == "google inline" {
        (Operation::Status, 2)
    } else {
        (Operation::Content, 0)
    };
    for how in Damage::ALL {
        let trial = Trial::start(subject).await;
        strike(&trial, operation, skip, u32::MAX, *how);
        for process in 1..=2 {
            let ended = trial.go().await;
            let complaint = trial.overpaid().or_else(|| not_held(&ended));
            let cell = format!("{} {how:?}, process {process}", subject.name);
            broken.note(cell, complaint);
        }
        trial.emulator.clear_faults();
        let ended = trial.go().await;
        let complaint = trial.overpaid().or_else(|| trial.not_whole(&ended));
        broken.note(format!("{} {how:?}, resumed", subject.name), complaint);
    }
    broken.end();
}

/// Abandoning is explicit, is reported, and costs nothing more.
async fn abandoned(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    for how in Damage::ALL {
        let trial = Trial::start(subject).await;
        strike(&trial, Operation::Content, 0, u32::MAX, *how);
        let ended = trial.go_in(trial.folder(), OnDoubt::Abandon).await;
        let complaint = trial.overpaid().or_else(|| match &ended.result {
            Err(_) => Some(ended.words()),
            Ok(_) if ended.warnings.is_empty() => Some(format!("silent: {}", ended.words())),
            Ok(outcomes) => trial.mixed_up(outcomes).or_else(|| {
                let usable = outcomes.iter().all(|(_, outcome)| outcome.is_usable());
                usable.then(|| "every request has an answer".to_owned())
            }),
        });
        broken.note(format!("{} {how:?}", subject.name), complaint);
    }
    broken.end();
}

macro_rules! on_each_route {
    ($($matrix:ident $place:literal $name:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            $matrix($place).await;
        })*
    };
}

on_each_route! {
    once 0 results_that_are_spoilt_once_are_read_again_on_openai_responses;
    once 1 results_that_are_spoilt_once_are_read_again_on_openai_chat;
    once 2 results_that_are_spoilt_once_are_read_again_on_anthropic;
    once 3 results_that_are_spoilt_once_are_read_again_on_google_by_file;
    once 4 results_that_are_spoilt_once_are_read_again_on_google_inline;
    always 0 results_that_stay_spoilt_hold_the_run_on_openai_responses;
    always 1 results_that_stay_spoilt_hold_the_run_on_openai_chat;
    always 2 results_that_stay_spoilt_hold_the_run_on_anthropic;
    always 3 results_that_stay_spoilt_hold_the_run_on_google_by_file;
    always 4 results_that_stay_spoilt_hold_the_run_on_google_inline;
    abandoned 0 spoilt_results_are_given_up_where_asked_and_said_on_openai;
    abandoned 2 spoilt_results_are_given_up_where_asked_and_said_on_anthropic;
    abandoned 3 spoilt_results_are_given_up_where_asked_and_said_on_google_by_file;
}

/// OpenAI's failed rows are in a file of their own, which may be damaged as well.
#[tokio::test]
async fn a_corrupt_error_file_is_read_again() {
    let mut broken = Broken::default();
    for how in Damage::ALL {
        for skip in [0, 1] {
            let mut trial = Trial::start(&SUBJECTS[0]).await;
            for place in [1, 3, 5] {
                trial.prompts[place] = format!("lmb:error-400 {place}");
            }
            strike(&trial, Operation::Content, skip, 1, *how);
            let ended = trial.go().await;
            let statuses = |outcomes: &[(String, Outcome)]| -> Vec<&str> {
                let all = outcomes.iter().map(|(_, outcome)| outcome.status());
                all.map(|status| status.as_str()).collect()
            };
            let wanted = ["succeeded", "errored"].repeat(3);
            let right = ended
                .result
                .as_ref()
                .is_ok_and(|all| statuses(all) == wanted && trial.mixed_up(all).is_none());
            let complaint = (!right).then(|| ended.words());
            broken.note(format!("{how:?} {skip}"), trial.overpaid().or(complaint));
        }
    }
    broken.end();
}

#[tokio::test]
async fn a_request_without_a_row_is_sent_again_only_if_the_counts_show_no_answer() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        // The provider reports that it did not answer: the request is sent again, alone. The second batch is
        // completed, although its counts show no ended request: zero counts count as absent, so that it is held, and
        // paid for once in any case.
        let mut trial = Trial::start(subject).await;
        trial.prompts[2] = "lmb:unanswered".to_owned();
        for process in 1..=2 {
            let ended = trial.go().await;
            let (bill, name) = (trial.emulator.bill(), subject.name);
            let seen = (bill.creates, bill.answered_requests);
            let complaint = (seen != (2, 5)).then(|| format!("{seen:?}: {}", ended.words()));
            let complaint = complaint.or_else(|| not_held(&ended));
            broken.note(format!("{name}: unanswered, process {process}"), complaint);
        }
        let name = subject.name;

        // The provider reports an answer: the run waits for its row, and never pays for it again.
        let mut trial = Trial::start(subject).await;
        trial.prompts[2] = "lmb:missing".to_owned();
        for process in 1..=2 {
            let ended = trial.go().await;
            let complaint = trial.overpaid().or_else(|| not_held(&ended));
            broken.note(format!("{name}: missing, process {process}"), complaint);
        }
        let ended = trial.go_in(trial.folder(), OnDoubt::Abandon).await;
        let complaint = trial.overpaid().or_else(|| {
            let given_up = ended.result.as_ref().is_ok_and(|outcomes| {
                outcomes[2].1.status().as_str() == "missing" && trial.mixed_up(outcomes).is_none()
            });
            (!given_up || ended.warnings.is_empty()).then(|| ended.words())
        });
        broken.note(format!("{name}: missing, given up"), complaint);
    }
    broken.end();
}

/// The exit code reports that the command is not done, and the next command resumes.
#[test]
fn the_command_ends_with_4_while_results_are_corrupt_and_then_with_0() {
    let run = |subject: &Subject| {
        let emulating = Emulating::start();
        let folder = tempfile::tempdir().unwrap();
        let line = |k| format!(r#"{{"id": "q{k}", "prompt": "prompt {k}"}}"#);
        write_input(folder.path(), (0..6).map(line));
        // Gemini's inline rows are part of the batch.
        let (operation, skip) = match subject.name {
            "google inline" => ("status", 2),
            _ => ("content", 0),
        };
        let fault = format!(
            r#"{{"operation": "{operation}", "skip": {skip}, "times": 4294967295, "kind": {{"spoil": {{"how": "half"}}}}}}"#
        );
        emulating.post("/_emulator/faults", &fault);
        let model = format!("{}/{}", subject.provider, subject.model);
        let command = |arguments: &[&str]| {
            let mut command = emulating.command_at(subject.provider, folder.path());
            command.env_remove("LMBATCH_LOG").args(arguments);
            command.args(["-o", "out.jsonl", "--poll-interval", "20ms", "--timeout"]);
            command
        };
        let mut arguments = vec!["run", "in.jsonl", "-m", &model];
        if subject.name == "google inline" {
            arguments.extend(["--route", "inline"]);
        }
        for _ in 0..2 {
            let ended = command(&arguments).arg("2s").output().unwrap();
            assert_eq!(ended.status.code(), Some(4), "{model}: {}", said(&ended));
        }
        // Without a timeout for the whole command, the time limit for incomplete results ends the wait.
        for _ in 0..2 {
            let mut command = command(&arguments);
            let ended = command.args(["60s", "--doubt-wait", "300ms"]).output();
            let ended = ended.unwrap();
            assert_eq!(ended.status.code(), Some(4), "{model}: {}", said(&ended));
        }
        emulating.clear_faults();
        let ended = command(&arguments).arg("60s").output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{model}: {}", said(&ended));
        let outcomes = lines(&folder.path().join("out.jsonl"));
        for (k, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome["id"], format!("q{k}"));
            assert_eq!(outcome["text"], format!("echo: prompt {k}"));
        }
        assert_eq!(outcomes.len(), 6);
        assert_eq!(emulating.bill()["creates"], 1, "{model}");
    };
    std::thread::scope(|scope| {
        let runs = [0, 2, 3, 4].map(|place| scope.spawn(move || run(&SUBJECTS[place])));
        for run in runs {
            run.join().unwrap();
        }
    });
}

/// Results that arrive slowly, but in time, are complete.
#[tokio::test]
async fn slow_results_are_read_completely() {
    for subject in SUBJECTS {
        let trial = Trial::start(subject).await;
        let drip = FaultKind::SlowBody {
            bytes_per_second: 20_000,
        };
        let (operation, _) = readings(subject)[0];
        trial.emulator.add_fault(Fault::always(operation, drip));
        let ended = trial.go().await;
        assert_eq!(trial.not_whole(&ended), None, "{}", subject.name);
        assert_eq!(trial.overpaid(), None, "{}", subject.name);
    }
}

/// The matrix detects a broken promise: a run that accepts rows of another batch fails it.
#[tokio::test]
async fn the_checks_of_the_matrix_detect_a_broken_promise() {
    let mut trial = Trial::start(&SUBJECTS[0]).await;
    let ended = trial.go().await;
    assert_eq!((trial.not_whole(&ended), trial.overpaid()), (None, None));
    trial.prompts[3] = "another".to_owned();
    assert!(trial.not_whole(&ended).is_some());
    trial.prompts.pop();
    assert!(trial.overpaid().is_some(), "five are asked, six are billed");
}
