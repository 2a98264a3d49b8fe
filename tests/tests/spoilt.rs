//! Results that are not what they claim to be. A batch is sealed only when the rows that name its requests
//! are as many as its counts say have ended; until then its results are read again, and then the run holds.
//! It is never paid twice, and never ends as if nothing had been wrong.

use lmbatch::{OnDoubt, Outcome};
use lmbatch_emulator::{Fault, FaultKind, Operation, Spoil};
use lmbatch_tests::{Broken, Emulating, Ended, SUBJECTS, Subject, Trial, lines, said, write_input};

/// Calls of a run that read results, each as an operation and the calls of it that go well before. Gemini's
/// inline rows are in the status answers: which of them is the reading one is the adapter's business.
fn readings(subject: &Subject) -> Vec<(Operation, u32)> {
    if subject.name == "google inline" {
        (0..4).map(|skip| (Operation::Status, skip)).collect()
    } else {
        vec![(Operation::Content, 0)]
    }
}

fn strike(trial: &Trial, operation: Operation, skip: u32, times: u32, how: Spoil) {
    trial.emulator.add_fault(Fault {
        skip,
        ..Fault::times(operation, times, FaultKind::spoil(how))
    });
}

/// Says what is wrong with a run that should hold until its results can be read.
fn not_held(ended: &Ended) -> Option<String> {
    (!ended.is_held()).then(|| format!("not held: {}", ended.words()))
}

async fn once(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    for how in Spoil::ALL {
        for (operation, skip) in readings(subject) {
            let trial = Trial::start(subject).await;
            strike(&trial, operation, skip, 1, *how);
            let mut ended = trial.go().await;
            // A status that cannot be read may end the process, and the next one goes on.
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
    for how in Spoil::ALL {
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

/// Giving up is asked for, said, and costs nothing more.
async fn abandoned(place: usize) {
    let (subject, mut broken) = (&SUBJECTS[place], Broken::default());
    for how in Spoil::ALL {
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

/// OpenAI's failed rows lie in a file of their own, which may be spoilt as well.
#[tokio::test]
async fn a_spoilt_error_file_is_read_again() {
    let mut broken = Broken::default();
    for how in Spoil::ALL {
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
async fn a_missing_row_is_sent_again_only_where_the_counts_say_that_it_was_not_answered() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        // The provider says that it did not answer: the request goes out again, alone. The second batch is
        // completed, though by its counts nothing of it has ended: counts of zero are no counts, so that it is
        // held, and paid for once whatever it answered.
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

        // It says that it did: its row is waited for, and never paid for again.
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

/// The command says by its exit code that it is not done, and goes on where it stood.
#[test]
fn the_command_ends_with_4_while_results_are_spoilt_and_with_0_once_they_are_not() {
    let run = |subject: &Subject| {
        let emulating = Emulating::start();
        let folder = tempfile::tempdir().unwrap();
        let line = |k| format!(r#"{{"id": "q{k}", "prompt": "prompt {k}"}}"#);
        write_input(folder.path(), (0..6).map(line));
        // Gemini's inline rows lie in the answers about the batch.
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
        // Without a time for the whole command, the time for results that are not whole bounds the wait.
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

/// Results that come in time, though slowly, are whole.
#[tokio::test]
async fn results_that_come_slowly_are_whole() {
    for subject in SUBJECTS {
        let trial = Trial::start(subject).await;
        let drip = FaultKind::Drip {
            bytes_per_second: 20_000,
        };
        let (operation, _) = readings(subject)[0];
        trial.emulator.add_fault(Fault::always(operation, drip));
        let ended = trial.go().await;
        assert_eq!(trial.not_whole(&ended), None, "{}", subject.name);
        assert_eq!(trial.overpaid(), None, "{}", subject.name);
    }
}

/// The matrix knows a promise that is broken: a run that reads a stranger's rows does not count as whole.
#[tokio::test]
async fn the_checks_of_the_matrix_can_fail() {
    let mut trial = Trial::start(&SUBJECTS[0]).await;
    let ended = trial.go().await;
    assert_eq!((trial.not_whole(&ended), trial.overpaid()), (None, None));
    trial.prompts[3] = "another".to_owned();
    assert!(trial.not_whole(&ended).is_some());
    trial.prompts.pop();
    assert!(trial.overpaid().is_some(), "five are asked, six are billed");
}
