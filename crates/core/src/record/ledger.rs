//! Traits for the durable record of runs (ledger) and for the bytes of their requests (spool).

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AccountId, BatchId, Error, ErrorKind, LateAcknowledgement, Page, Result, RunFilter, RunRecord,
    ShardKey, ShardRecord,
};

/// Exclusive right of a process to advance one run. Released when the last clone is dropped, or when the
/// process ends.
#[derive(Debug, Clone)]
pub struct RunClaim {
    run: Box<str>,
    _held: Option<Arc<dyn fmt::Debug + Send + Sync>>,
}

impl RunClaim {
    /// Returns a claim on `run` that lasts as long as `held` exists.
    pub fn new(run: &str, held: Arc<dyn fmt::Debug + Send + Sync>) -> Self {
        Self {
            run: run.into(),
            _held: Some(held),
        }
    }

    /// Returns a claim that excludes no other process, for a ledger that only one process can use.
    pub fn unshared(run: &str) -> Self {
        Self {
            run: run.into(),
            _held: None,
        }
    }

    /// Returns the id of the claimed run.
    pub fn run(&self) -> &str {
        &self.run
    }
}

/// Changes that a ledger applies in one transaction: all of them or none.
///
/// Each record carries the epoch at which the caller read it. The ledger stores the record with the next
/// epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Changed records of shards, of any runs.
    pub shards: &'a [ShardRecord],
    /// Changed record of a run.
    pub run: Option<&'a RunRecord>,
    /// Shards to add to [`run`](Self::run), stored with the epoch that they carry. Must be empty without a
    /// run.
    pub new_shards: &'a [ShardRecord],
}

impl Change<'_> {
    /// Checks that every new shard belongs to the run of the change. Ledgers call this before they apply a
    /// change.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], naming the first shard that belongs to another run.
    pub fn check(&self) -> Result<()> {
        let run = self.run.map(|run| &*run.id);
        let mut new = self.new_shards.iter();
        match new.find(|shard| Some(&*shard.key.run) != run) {
            None => Ok(()),
            Some(shard) => Err(Error::new(ErrorKind::Internal).with_message(format!(
                "{} cannot be added by a change for another run",
                shard.key
            ))),
        }
    }
}

/// Durable record of runs and shards.
///
/// Changes are compare-and-set: of two writers who read the same record, one gets
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), and nothing of its change is applied. Any number of
/// tasks, processes and machines may use one ledger at the same time.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Records a new run and its shards in one transaction, with the epochs that they carry.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where another run has the same id or name, or a
    /// shard is given twice. Nothing is recorded then.
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()>;

    /// Applies a change durably: all of it or nothing. The epoch of each changed record grows by one. Ids and
    /// the name of a run cannot be changed.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), naming the run or the shard, where a record has
    /// another epoch or does not exist any more, or where a new shard exists already. The same error with the
    /// batch, [`Error::batch`], where a shard [presumes](ShardRecord::presumed_batch) a batch that another shard
    /// has in its state, in a run whose account [may equal](AccountId::may_equal) the same: one batch of a provider
    /// belongs to one shard. Shards that share a batch since an earlier version keep it.
    async fn apply(&self, change: &Change<'_>) -> Result<()>;

    /// Replaces the record of a shard that still has the epoch of `shard`, durably, and returns the new
    /// epoch. [`ShardRecord::advanced`] makes the record of a transition.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    async fn advance(&self, shard: &ShardRecord) -> Result<u64> {
        let change = Change {
            shards: std::slice::from_ref(shard),
            ..Change::default()
        };
        self.apply(&change).await?;
        Ok(shard.epoch + 1)
    }

    /// Replaces the record of a run that still has the epoch of `run`, adds shards to it in the same
    /// transaction, and returns the new epoch.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply).
    async fn change(&self, run: &RunRecord, new_shards: &[ShardRecord]) -> Result<u64> {
        let change = Change {
            run: Some(run),
            new_shards,
            ..Change::default()
        };
        self.apply(&change).await?;
        Ok(run.epoch + 1)
    }

    /// Returns the run with an id; `None` where there is none.
    async fn run(&self, id: &str) -> Result<Option<RunRecord>>;

    /// Returns a number that differs from the one before when a run may have been changed or deleted since, by
    /// this value or by another process. It costs less than to read a run. The default, `None`, is for ledgers
    /// that cannot tell.
    async fn revision(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Returns a page of the runs that a filter selects, newest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the cursor is not from a page of
    /// runs.
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>>;

    /// Returns the newest run that a filter selects; `None` where it selects none.
    async fn newest_run(&self, filter: RunFilter) -> Result<Option<RunRecord>> {
        let filter = RunFilter {
            limit: Some(1),
            ..filter
        };
        Ok(self.runs(&filter).await?.items.pop())
    }

    /// Returns every run that a filter selects, newest first. All of them are held in memory: a caller that
    /// can work page by page calls [`runs`](Self::runs).
    async fn all_runs(&self, filter: RunFilter) -> Result<Vec<RunRecord>> {
        let mut filter = filter;
        let mut all = Vec::new();
        loop {
            let page = self.runs(&filter).await?;
            all.extend(page.items);
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    /// Returns the run with a name; `None` where there is none.
    async fn run_named(&self, name: &str) -> Result<Option<RunRecord>> {
        self.newest_run(RunFilter {
            name: Some(name.into()),
            ..RunFilter::default()
        })
        .await
    }

    /// Returns the newest run with a shard that has the batch, in its state or in a late acknowledgement.
    async fn run_of_batch(&self, batch: &BatchId) -> Result<Option<RunRecord>> {
        self.newest_run(RunFilter {
            batch: Some(batch.clone()),
            ..RunFilter::default()
        })
        .await
    }

    /// Returns the run with an id; otherwise the one run whose id begins with `prefix`, where `prefix` has at
    /// least [`RunRecord::MIN_PREFIX`] characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming up to five runs, where several ids
    /// begin with `prefix`.
    async fn find_run(&self, prefix: &str) -> Result<Option<RunRecord>> {
        /// Largest number of runs that an error names.
        const NAMED: usize = 5;
        if let Some(run) = self.run(prefix).await? {
            return Ok(Some(run));
        }
        if prefix.chars().count() < RunRecord::MIN_PREFIX {
            return Ok(None);
        }
        let filter = RunFilter {
            id_prefix: Some(prefix.into()),
            limit: Some(NAMED as u32),
            ..RunFilter::default()
        };
        let found = self.runs(&filter).await?;
        if found.items.len() < 2 {
            return Ok(found.items.into_iter().next());
        }
        let named: Vec<&str> = found.items.iter().map(|run| &*run.id).collect();
        let more = found.next.map_or("", |_| ", …");
        Err(Error::invalid_input(format!(
            "several runs have ids that begin with {prefix}: {}{more}; give more characters",
            named.join(", ")
        )))
    }

    /// Returns the shards of a run, ordered by number; empty where there is no such run.
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>>;

    /// Returns those of the given batches that belong to a shard in the ledger, by its state or by a late
    /// acknowledgement. Only runs count whose account [may equal](AccountId::may_equal) `account`, because another
    /// account may have a batch with an equal id.
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>>;

    /// Returns the shards with `requests` requests whose create is [under way](crate::ShardState::Posting) or [in
    /// doubt](crate::ShardState::Doubt), in runs whose account [may equal](AccountId::may_equal) `account`. Where a
    /// provider keeps no labels, a batch with as many requests may be that of any of them. The default reads
    /// every unfinished run.
    async fn doubtful(&self, account: &AccountId, requests: u32) -> Result<Vec<ShardRecord>> {
        let filter = RunFilter {
            unfinished: true,
            ..RunFilter::default()
        };
        let mut doubtful = Vec::new();
        for run in self.all_runs(filter).await? {
            if run.account.may_equal(account) {
                let shards = self.shards(&run.id).await?.into_iter();
                doubtful.extend(shards.filter(|shard| shard.is_doubtful(requests)));
            }
        }
        Ok(doubtful)
    }

    /// Records evidence of a batch of a shard, durably and apart from the shard's record. It conflicts with
    /// no change of the shard, and no epoch grows. Acknowledging a batch that is already recorded for the
    /// shard changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming the batch, where the shard is not
    /// in the ledger any more. Only the caller knows of the batch then.
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()>;

    /// Returns the late acknowledgements of a shard, oldest first.
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>>;

    /// Deletes a run with its shards and their late acknowledgements. No error where there is no such run.
    async fn delete(&self, run: &str) -> Result<()>;

    /// Claims a run, recorded or not, so that no other process advances it. Reading and cancelling need no
    /// claim. By default the claim excludes no other process; a ledger that several processes share must
    /// implement it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), naming the process that holds the claim.
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        Ok(RunClaim::unshared(run))
    }

    /// Releases open files and connections, so that the ledger's file is complete on its own. Later calls may
    /// fail.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// Storage for the bytes of runs: request bodies, indexes and results, each a named file.
pub trait Spool: fmt::Debug + Send + Sync + 'static {
    /// Creates a file for writing, and replaces one with the same name.
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>>;

    /// Opens an existing file for reading and overwriting parts of it.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>>;

    /// Deletes a file. No error where there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Creates a temporary file without a name, for reading and writing. It is deleted with its last user,
    /// even when the process is killed.
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>>;
}

/// File that is being written. Writes are not buffered: the caller should buffer them.
pub trait SpoolWriter: io::Write + Send + Sync {
    /// Flushes everything that was written to durable storage, so that it survives a power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// Stored file of a spool.
pub trait SpoolFile: fmt::Debug + Send + Sync + 'static {
    /// Returns the size of the file in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `buffer.len()` bytes at `offset`. Returns fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}
