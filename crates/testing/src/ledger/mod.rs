//! Clauses that every ledger keeps, as tests: the one in memory, the one on SQLite, and third-party ledgers.
//!
//! ```no_run
//! use lmbatch_testing::ledger::{Subject, clauses};
//! # async fn hold(make: impl AsyncFn() -> Subject) {
//! for clause in clauses() {
//!     if let Err(why) = clause.hold(make().await).await {
//!         panic!("{clause}: {why}");
//!     }
//! }
//! # }
//! ```

mod changes;
mod late;
mod listing;
mod records;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use lmbatch_core::Ledger;

pub use records::{created, intent, run, shard, snapshot};

type Reopen = Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Ledger>> + Send + Sync>;

/// An empty ledger under test, and a way to open it as another process would.
pub struct Subject {
    ledger: Arc<dyn Ledger>,
    reopen: Option<Reopen>,
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("ledger", &self.ledger)
            .field("is_durable", &self.reopen.is_some())
            .finish()
    }
}

impl Subject {
    /// Takes an empty ledger that ends with its process.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            reopen: None,
        }
    }

    /// Sets a function that opens the ledger again, as another process does while the first one has it open. Clauses
    /// about durability run only if it is set.
    pub fn with_reopen(
        mut self,
        reopen: impl Fn() -> BoxFuture<'static, Arc<dyn Ledger>> + Send + Sync + 'static,
    ) -> Self {
        self.reopen = Some(Box::new(reopen));
        self
    }

    /// Returns the ledger as another process sees it; the ledger itself if it is in memory.
    async fn elsewhere(&self) -> Arc<dyn Ledger> {
        match &self.reopen {
            Some(reopen) => reopen().await,
            None => Arc::clone(&self.ledger),
        }
    }
}

/// A promise that every ledger keeps.
#[derive(Clone, Copy)]
pub struct Clause {
    /// Name of the clause: a sentence in snake case.
    pub name: &'static str,
    run: fn(Subject) -> BoxFuture<'static, ()>,
}

impl fmt::Debug for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name.replace('_', " "))
    }
}

impl Clause {
    /// Runs the clause against an empty ledger.
    ///
    /// # Errors
    /// The message of the assertion that failed.
    pub async fn hold(&self, subject: Subject) -> Result<(), String> {
        let kept = AssertUnwindSafe((self.run)(subject)).catch_unwind().await;
        kept.map_err(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            text.unwrap_or_else(|| "the clause panicked".to_owned())
        })
    }
}

macro_rules! table {
    ($($topic:ident: $($name:ident),+;)+) => {
        const CLAUSES: &[Clause] = &[$($(Clause {
            name: stringify!($name),
            run: |subject| Box::pin($topic::$name(subject)),
        }),+),+];
    };
}

table! {
    changes:
        a_run_is_read_back_with_its_shards_by_number,
        an_id_and_a_name_belong_to_one_run,
        a_revision_differs_once_a_run_was_changed_anywhere,
        a_failed_begin_leaves_nothing,
        shards_of_another_run_are_refused,
        a_new_record_is_kept_as_given_at_the_next_epoch,
        the_second_writer_of_a_shard_gets_a_conflict,
        the_second_writer_of_a_run_gets_a_conflict,
        a_change_is_atomic,
        a_change_advances_shards_of_several_runs,
        a_change_advances_a_shard_at_most_once,
        a_run_keeps_its_name_and_its_position,
        writing_a_deleted_record_is_a_conflict,
        a_conflict_names_its_record,
        a_forgotten_run_leaves_nothing,
        records_survive_the_process,
        two_processes_can_write_alternately;
    late:
        a_late_acknowledgement_causes_no_conflict,
        late_acknowledgements_of_a_shard_are_listed_oldest_first,
        a_batch_is_acknowledged_once,
        an_acknowledgement_without_a_shard_is_an_error,
        late_acknowledgements_are_deleted_with_their_run,
        a_batch_is_known_once_it_is_created,
        a_batch_acknowledged_late_is_known,
        an_abandoned_batch_is_not_known,
        only_requested_batches_are_returned_as_known,
        a_batch_of_another_account_is_not_known,
        a_batch_of_an_ambiguous_account_is_known,
        a_batch_belongs_to_one_shard_of_its_account,
        one_change_gives_a_batch_to_one_shard,
        shards_that_share_a_batch_already_keep_it,
        doubtful_shards_are_found_by_their_number_of_requests;
    listing:
        runs_are_listed_newest_first,
        each_filter_selects_its_runs,
        filters_are_combined,
        a_filter_uses_the_current_record,
        pages_neither_repeat_nor_skip,
        the_last_page_has_no_cursor,
        a_page_has_the_requested_number_of_runs,
        a_foreign_cursor_is_refused,
        a_run_is_found_by_its_batch,
        a_run_is_found_by_a_unique_prefix,
        a_prefix_of_several_runs_is_an_error_that_names_them,
        a_prefix_is_taken_literally;
}

/// Returns all clauses, by topic.
pub fn clauses() -> &'static [Clause] {
    CLAUSES
}
