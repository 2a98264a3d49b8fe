//! Creates with lost responses, and lists that lag, have another order, or show times that differ from the local
//! clock: every such batch is found, and none is paid for twice.

use std::time::Duration;

use lmbatch_emulator::{Emulator, Fault, FaultKind, Limits, Operation};
use lmbatch_tests::{Broken, Ended, SUBJECTS, Subject, Trial};

const DAY: i64 = 24 * 3600;

/// Returns a complaint about a run with a lost create. Without labels, several batches of one size cannot be
/// distinguished, and the run is held.
fn not_found(trial: &Trial, ended: &Ended, alone: bool) -> Option<String> {
    let held = trial.subject.provider == "anthropic" && !alone && ended.is_in_doubt();
    trial.overpaid().or_else(|| {
        let complaint = trial.not_whole(ended);
        complaint.filter(|_| !held)
    })
}

/// Earlier batches of other sizes.
async fn older(trial: &Trial) {
    for count in [1, 2, 3] {
        let asked = (0..count).map(|k| (format!("old {k}"), "x"));
        let created = trial.invoker().batch().create(asked).await;
        assert!(created.is_ok(), "{created:?}");
    }
}

/// Returns a complaint like [`not_found`], for a bill that includes the earlier batches.
fn beside_older(trial: &Trial, ended: &Ended) -> Option<String> {
    let bill = trial.emulator.bill();
    let wanted = trial.batches() + 3;
    if bill.creates > wanted {
        return Some(format!("PAID TWICE: {} of {wanted} batches", bill.creates));
    }
    trial.not_whole(ended)
}

fn lost(reads: u32) -> FaultKind {
    FaultKind::Several {
        kinds: vec![FaultKind::Unlisted { reads }, FaultKind::ResetAfter],
    }
}

#[tokio::test]
async fn a_lost_create_is_found_in_a_list_that_lags_less_than_the_search() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for reads in 0..6 {
            let trial = Trial::start(subject).await;
            let fault = Fault::once(Operation::Create, lost(reads));
            trial.emulator.add_fault(fault);
            let ended = trial.go().await;
            let complaint = not_found(&trial, &ended, true);
            broken.note(format!("{}, {reads} lists", subject.name), complaint);
        }
        for seconds in [1, 10, 60, 600] {
            let limits = Limits {
                list_lag: Duration::from_secs(seconds),
                ..Limits::default()
            };
            let trial = Trial::at(subject, Emulator::builder().limits(limits)).await;
            let fault = Fault::once(Operation::Create, FaultKind::ResetAfter);
            trial.emulator.add_fault(fault);
            let ended = trial.go().await;
            let complaint = not_found(&trial, &ended, true);
            broken.note(format!("{}, {seconds} s behind", subject.name), complaint);
        }
    }
    broken.end();
}

/// Four batches at once, one with a lost create, and a list that reverses the batches of one second.
async fn tied(subject: &'static Subject, which: u32, reads: u32, offset: i64) -> Option<String> {
    let builder = Emulator::builder().clock_offset(offset);
    let mut trial = Trial::at(subject, builder).await;
    trial.prompts = (0..8).map(|place| format!("prompt {place}")).collect();
    trial.most = Some(2);
    let ties = Fault::always(Operation::List, FaultKind::ReverseTies);
    trial.emulator.add_fault(ties);
    trial.emulator.add_fault(Fault {
        skip: which,
        ..Fault::once(Operation::Create, lost(reads))
    });
    let ended = trial.go().await;
    not_found(&trial, &ended, false)
}

#[tokio::test]
async fn a_lost_create_among_batches_of_one_second_is_found_in_either_order() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for which in 0..4 {
            for reads in [0, 1] {
                let complaint = tied(subject, which, reads, 0).await;
                let cell = format!("{}, create {which}, {reads} lists", subject.name);
                broken.note(cell, complaint);
            }
        }
    }
    broken.end();
}

#[tokio::test]
async fn a_lost_create_is_found_with_a_wrong_local_clock() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for days in [-30, -3, -1, 1, 3, 30] {
            let offset = days * DAY;
            let cell = format!("{}, provider {days} d ahead", subject.name);
            for reads in [0, 2] {
                let builder = Emulator::builder().clock_offset(offset);
                let trial = Trial::at(subject, builder).await;
                older(&trial).await;
                let fault = Fault::once(Operation::Create, lost(reads));
                trial.emulator.add_fault(fault);
                let ended = trial.go().await;
                let complaint = beside_older(&trial, &ended);
                broken.note(format!("{cell}, {reads} lists"), complaint);
            }
            let complaint = tied(subject, 2, 0, offset).await;
            broken.note(format!("{cell}, tied"), complaint);
        }
    }
    broken.end();
}

/// A clock that is corrected during the create.
#[tokio::test]
async fn a_lost_create_is_found_by_a_later_process_with_a_changed_clock() {
    let mut broken = Broken::default();
    for subject in SUBJECTS {
        for days in [-30, -3, 3, 30] {
            let trial = Trial::start(subject).await;
            let fault = Fault::once(Operation::Create, FaultKind::ResetAfter);
            trial.emulator.add_fault(fault);
            // The first process ends before it searches.
            let down = Fault {
                skip: 1,
                ..Fault::times(Operation::List, 40, FaultKind::status(503))
            };
            trial.emulator.add_fault(down);
            let first = trial.go().await;
            trial.emulator.clear_faults();
            trial.emulator.shift_clock(days * DAY);
            let ended = trial.go().await;
            let complaint = not_found(&trial, &ended, true);
            let first = first.words();
            broken.note(
                format!("{}, {days} d, after {first}", subject.name),
                complaint,
            );
        }
    }
    broken.end();
}
