//! Ledgers with one planted mistake each. Every mistake is found by a clause, and every clause finds a
//! mistake.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod mutant;

use std::collections::HashSet;
use std::sync::Arc;

use lmbatch_core::Ledger;
use lmbatch_testing::ledger::{Subject, clauses};
use mutant::{Ignored, Mistake, Mutant};

/// Each mistake, with a clause that must find it.
const FOUND_BY: &[(Mistake, &str)] = &[
    (
        Mistake::ShardsOutOfOrder,
        "a_run_is_read_back_with_its_shards_by_number",
    ),
    (Mistake::BeginReplaces, "an_id_and_a_name_belong_to_one_run"),
    (
        Mistake::RevisionStands,
        "a_revision_differs_once_a_run_was_changed_anywhere",
    ),
    (Mistake::FailedBeginStays, "a_failed_begin_leaves_nothing"),
    (
        Mistake::StrangeShardsAreDropped,
        "shards_of_another_run_are_refused",
    ),
    (
        Mistake::OnlyStateIsKept,
        "a_new_record_is_kept_as_given_at_the_next_epoch",
    ),
    (
        Mistake::EpochStays,
        "a_new_record_is_kept_as_given_at_the_next_epoch",
    ),
    (
        Mistake::LastWriterOfAShardWins,
        "the_second_writer_of_a_shard_gets_a_conflict",
    ),
    (
        Mistake::LastWriterOfARunWins,
        "the_second_writer_of_a_run_gets_a_conflict",
    ),
    (Mistake::ShardsFirst, "a_change_is_atomic"),
    (Mistake::RunFirst, "a_change_is_atomic"),
    (
        Mistake::ShardsOfOneRunOnly,
        "a_change_advances_shards_of_several_runs",
    ),
    (
        Mistake::FirstMoveCounts,
        "a_change_advances_a_shard_at_most_once",
    ),
    (
        Mistake::NameChanges,
        "a_run_keeps_its_name_and_its_position",
    ),
    (
        Mistake::GoneIsIgnored,
        "writing_a_deleted_record_is_a_conflict",
    ),
    (Mistake::ConflictIsNameless, "a_conflict_names_its_record"),
    (Mistake::ForgetIsOnce, "a_forgotten_run_leaves_nothing"),
    (
        Mistake::ForgetKeepsTheName,
        "a_forgotten_run_leaves_nothing",
    ),
    (Mistake::ReopenedIsEmpty, "records_survive_the_process"),
    (
        Mistake::BusyIsAnError,
        "two_processes_can_write_alternately",
    ),
    (
        Mistake::LateConflicts,
        "a_late_acknowledgement_causes_no_conflict",
    ),
    (
        Mistake::LateCountsAsTransition,
        "a_late_acknowledgement_causes_no_conflict",
    ),
    (
        Mistake::LateOfAllShards,
        "late_acknowledgements_of_a_shard_are_listed_oldest_first",
    ),
    (
        Mistake::LateNewestFirst,
        "late_acknowledgements_of_a_shard_are_listed_oldest_first",
    ),
    (Mistake::LateIsReplaced, "a_batch_is_acknowledged_once"),
    (Mistake::LateTwice, "a_batch_is_acknowledged_once"),
    (
        Mistake::LateWithoutShardIsDropped,
        "an_acknowledgement_without_a_shard_is_an_error",
    ),
    (
        Mistake::ForgetKeepsLate,
        "late_acknowledgements_are_deleted_with_their_run",
    ),
    (
        Mistake::CreatedIsUnknown,
        "a_batch_is_known_once_it_is_created",
    ),
    (
        Mistake::EndedIsUnknown,
        "a_batch_is_known_once_it_is_created",
    ),
    (
        Mistake::SealedIsUnknown,
        "a_batch_is_known_once_it_is_created",
    ),
    (
        Mistake::WatermarkIsKnown,
        "a_batch_is_known_once_it_is_created",
    ),
    (Mistake::LateIsUnknown, "a_batch_acknowledged_late_is_known"),
    (Mistake::GivenUpIsKnown, "an_abandoned_batch_is_not_known"),
    (
        Mistake::KnownForgetsTheRest,
        "only_requested_batches_are_returned_as_known",
    ),
    (
        Mistake::AllIsKnown,
        "only_requested_batches_are_returned_as_known",
    ),
    (
        Mistake::AnyAccount,
        "a_batch_of_another_account_is_not_known",
    ),
    (
        Mistake::ExactAccount,
        "a_batch_of_an_ambiguous_account_is_known",
    ),
    (
        Mistake::BatchIsShared,
        "a_batch_belongs_to_one_shard_of_its_account",
    ),
    (
        Mistake::BatchIsTakenEverywhere,
        "a_batch_belongs_to_one_shard_of_its_account",
    ),
    (
        Mistake::ConflictOfABatchIsNameless,
        "a_batch_belongs_to_one_shard_of_its_account",
    ),
    (
        Mistake::BatchIsSharedInARun,
        "one_change_gives_a_batch_to_one_shard",
    ),
    (
        Mistake::SharedBatchIsFrozen,
        "shards_that_share_a_batch_already_keep_it",
    ),
    (
        Mistake::PostingIsNotDoubtful,
        "doubtful_shards_are_found_by_their_number_of_requests",
    ),
    (
        Mistake::DoubtfulOfAnyCount,
        "doubtful_shards_are_found_by_their_number_of_requests",
    ),
    (
        Mistake::DoubtfulOfAnyAccount,
        "doubtful_shards_are_found_by_their_number_of_requests",
    ),
    (
        Mistake::DoubtfulOfFinishedRuns,
        "doubtful_shards_are_found_by_their_number_of_requests",
    ),
    (Mistake::OldestFirst, "runs_are_listed_newest_first"),
    (Mistake::OrderOfClocks, "runs_are_listed_newest_first"),
    (
        Mistake::Ignores(Ignored::Unfinished),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Name),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Digest),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Account),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Output),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Nonce),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Batch),
        "each_filter_selects_its_runs",
    ),
    (
        Mistake::Ignores(Ignored::Prefix),
        "each_filter_selects_its_runs",
    ),
    (Mistake::OneFilterOnly, "filters_are_combined"),
    (Mistake::FilterIsStale, "a_filter_uses_the_current_record"),
    (Mistake::CursorIsAnOffset, "pages_neither_repeat_nor_skip"),
    (Mistake::CursorRepeats, "pages_neither_repeat_nor_skip"),
    (Mistake::CursorOnTheLastPage, "the_last_page_has_no_cursor"),
    (
        Mistake::LimitIsIgnored,
        "a_page_has_the_requested_number_of_runs",
    ),
    (Mistake::AnyCursor, "a_foreign_cursor_is_refused"),
    (Mistake::NotByLateBatch, "a_run_is_found_by_its_batch"),
    (Mistake::LongestPrefix, "a_run_is_found_by_a_unique_prefix"),
    (Mistake::AnyPrefix, "a_run_is_found_by_a_unique_prefix"),
    (
        Mistake::FirstOfPrefix,
        "a_prefix_of_several_runs_is_an_error_that_names_them",
    ),
    (Mistake::PrefixIsAPattern, "a_prefix_is_taken_literally"),
];

fn subject(mistake: Mistake) -> Subject {
    let ledger = Arc::new(Mutant::new(mistake));
    let other = Arc::clone(&ledger);
    Subject::new(ledger).with_reopen(move || {
        let reopened: Arc<dyn Ledger> = match mistake {
            Mistake::ReopenedIsEmpty => Arc::new(Mutant::new(Mistake::None)),
            _ => other.clone(),
        };
        Box::pin(async move { reopened })
    })
}

#[tokio::test]
async fn a_ledger_without_a_mistake_keeps_every_clause() {
    for clause in clauses() {
        let kept = clause.hold(subject(Mistake::None)).await;
        assert_eq!(kept, Ok(()), "{clause}");
    }
}

#[tokio::test]
async fn every_planted_mistake_is_found_by_its_clause() {
    let mut missed = Vec::new();
    for (mistake, name) in FOUND_BY {
        let mut named = clauses().iter().filter(|clause| clause.name == *name);
        let clause = named.next().expect("a clause of that name");
        if clause.hold(subject(*mistake)).await.is_ok() {
            missed.push(format!("{mistake:?} by {name}"));
        }
    }
    assert_eq!(missed, [""; 0]);
}

#[test]
fn every_clause_finds_a_planted_mistake() {
    let proved: HashSet<&str> = FOUND_BY.iter().map(|(_, name)| *name).collect();
    let all: HashSet<&str> = clauses().iter().map(|clause| clause.name).collect();
    assert_eq!(proved, all);
}
