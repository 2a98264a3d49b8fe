//! Copies of a state folder, taken at every step of a run: the copy and the original are both resumed, and the batch
//! is paid for once, or the second payment is reported.
//!
//! Two limits: without labels, a copy from before the create cannot be sure of the batch that the original has created
//! since, and stops; and two copies that create at the same instant cannot know of each other.

use lmbatch::OnDoubt;
use lmbatch_emulator::{Moment, Operation};
use lmbatch_tests::{Broken, Ended, SUBJECTS, Trial, copy_folder, scratch};

/// Steps at which a process is killed, by its call; the last step is that of a run that ended.
const STEPS: [(&str, Option<(Operation, Moment)>); 10] = [
    ("begun", Some((Operation::Upload, Moment::Received))),
    ("uploaded", Some((Operation::Upload, Moment::Performed))),
    ("staged", Some((Operation::List, Moment::Received))),
    ("listed", Some((Operation::List, Moment::Performed))),
    ("posting", Some((Operation::Create, Moment::Received))),
    ("accepted", Some((Operation::Create, Moment::Performed))),
    ("created", Some((Operation::Status, Moment::Received))),
    ("ended", Some((Operation::Content, Moment::Received))),
    ("read", Some((Operation::Content, Moment::Performed))),
    ("sealed", None),
];

/// Returns whether a copy taken at a step holds evidence of the create.
fn is_marked(step: &str) -> bool {
    !matches!(step, "begun" | "uploaded" | "staged" | "listed")
}

/// Returns a complaint about one of two processes that resume copies of one run.
fn complaint(trial: &Trial, ended: &Ended) -> Option<String> {
    let may_hold = trial.subject.provider == "anthropic" || trial.subject.name == "google inline";
    let held = may_hold && ended.is_in_doubt();
    trial
        .overpaid()
        .or_else(|| trial.not_whole(ended).filter(|_| !held))
}

#[tokio::test]
async fn copies_of_a_state_folder_pay_once_in_turn() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for (name, step) in STEPS {
            let trial = Trial::killed_at(subject, step).await;
            let twin = scratch();
            copy_folder(trial.folder(), twin.path());
            for (who, folder) in [
                ("original", trial.folder()),
                ("copy", twin.path()),
                ("original again", trial.folder()),
            ] {
                let ended = trial.go_in(folder, OnDoubt::Hold).await;
                let cell = format!("{} {name}, {who}", subject.name);
                broken.note(cell, complaint(&trial, &ended));
            }
        }
    }
    broken.end();
}

#[tokio::test]
async fn copies_of_a_state_folder_pay_once_at_the_same_time_or_say_so() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for (name, step) in STEPS {
            let trial = Trial::killed_at(subject, step).await;
            let twin = scratch();
            copy_folder(trial.folder(), twin.path());
            let one = trial.go_in(trial.folder(), OnDoubt::Hold);
            let (one, other) = tokio::join!(one, trial.go_in(twin.path(), OnDoubt::Hold));
            if !is_marked(name) && trial.overpaid().is_some() {
                let mut warnings = one.warnings.iter().chain(&other.warnings);
                let said = warnings.any(|warning| warning.contains("carries the same label"));
                let silent = || "PAID TWICE, and neither says so".to_owned();
                let labelled = subject.provider != "anthropic";
                let cell = format!("{} {name}", subject.name);
                broken.note(cell, (labelled && !said).then(silent));
                continue;
            }
            for (who, ended) in [("original", one), ("copy", other)] {
                let cell = format!("{} {name}, {who}", subject.name);
                broken.note(cell, complaint(&trial, &ended));
            }
        }
    }
    broken.end();
}

#[tokio::test]
async fn a_copy_from_before_the_first_create_stops_where_batches_have_no_labels() {
    let mut broken = Broken::default();
    let policies = [OnDoubt::Hold, OnDoubt::Abandon, OnDoubt::Resubmit];
    for subject in SUBJECTS {
        if subject.provider != "anthropic" {
            continue;
        }
        for policy in policies {
            let step = Some((Operation::List, Moment::Performed));
            let trial = Trial::killed_at(subject, step).await;
            let twin = scratch();
            copy_folder(trial.folder(), twin.path());
            let original = trial.go().await;
            assert!(original.result.is_ok(), "{}", original.words());
            let copy = trial.go_in(twin.path(), policy).await;
            let words = copy.words();
            let is_told = words.contains("no record knows");
            let complaint = match policy {
                OnDoubt::Hold => (!copy.is_in_doubt() || !is_told).then_some(words),
                OnDoubt::Abandon => (copy.result.is_err() || !is_told).then_some(words),
                // The caller has chosen to pay again, after a warning.
                OnDoubt::Resubmit => {
                    let is_sent = trial.overpaid().is_some();
                    broken.note(subject.name, (!is_sent || !is_told).then_some(words));
                    continue;
                }
            };
            broken.note(subject.name, complaint.or_else(|| trial.overpaid()));
        }
    }
    broken.end();
}

#[tokio::test]
async fn a_batch_of_another_run_with_as_many_requests_does_not_stop_a_resumed_run() {
    for subject in SUBJECTS {
        if subject.provider != "anthropic" {
            continue;
        }
        let step = Some((Operation::List, Moment::Performed));
        let trial = Trial::killed_at(subject, step).await;
        // A run of another state folder at the same account.
        let other = trial.go_in(scratch().path(), OnDoubt::Hold).await;
        assert!(other.result.is_ok(), "{}", other.words());
        let resumed = trial.go().await;
        assert!(resumed.result.is_ok(), "{}", resumed.words());
        assert_eq!(trial.emulator.bill().creates, 2, "{}", subject.name);
    }
}
