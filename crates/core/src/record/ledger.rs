//! The ledger and the spool: traits for the durable record of runs and for the bytes of their requests.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use crate::{
    AccountId, BatchId, Error, ErrorKind, LateAcknowledgement, Page, Result, RunFilter, RunRecord,
    ShardKey, ShardRecord,
};

/// The exclusive right to advance one run. It is given up when the last clone is dropped, or when the
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

    /// Returns a claim that excludes no other process, for ledgers that only one process can see.
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

/// Changes that a ledger applies in one transaction, all of them or none.
///
/// Each record bears the epoch at which the caller read it; the ledger keeps it with the next epoch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// New records of shards, of any runs.
    pub shards: &'a [ShardRecord],
    /// New record of a run.
    pub run: Option<&'a RunRecord>,
    /// Shards to add to that run, kept as they are given. Without a run there may be none.
    pub new_shards: &'a [ShardRecord],
}

impl Change<'_> {
    /// Checks that every new shard belongs to the run of the change. Ledgers call it first.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], naming the shard that does not.
    pub fn check(&self) -> Result<()> {
        let run = self.run.map(|run| &*run.id);
        let mut new = self.new_shards.iter();
        match new.find(|shard| Some(&*shard.key.run) != run) {
            None => Ok(()),
            Some(shard) => Err(Error::new(ErrorKind::Internal).with_message(format!(
                "{} cannot be added by a change that is not of its run",
                shard.key
            ))),
        }
    }
}

/// The durable record of runs and batches.
///
/// Changes are compare-and-set: of two writers who read the same record one gets
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), and nothing of its change is applied. Any number of
/// tasks, processes and machines may use one ledger at once.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// Records a new run and its shards at once, as they are given.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where another run has its id or its name, or a
    /// shard is given twice; nothing is recorded then.
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()>;

    /// Applies a change durably, all of it or nothing. The epoch of each changed record grows by one; ids and
    /// the name of a run stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), naming the run or the shard, where a record is
    /// not at the epoch given any more or is gone, or where a new shard exists already.
    async fn apply(&self, change: &Change<'_>) -> Result<()>;

    /// Replaces the record of a shard that is at the epoch of `shard`, durably, and returns the new epoch.
    /// The new record of a transition comes from [`ShardRecord::advanced`].
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

    /// Replaces the record of a run that is at the epoch of `run`, adds shards to it at once, and returns the
    /// new epoch.
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

    /// Returns the run of an id.
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
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the cursor is not one of a page of
    /// runs.
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>>;

    /// Returns the newest run that a filter selects.
    async fn newest_run(&self, filter: RunFilter) -> Result<Option<RunRecord>> {
        let filter = RunFilter {
            limit: Some(1),
            ..filter
        };
        Ok(self.runs(&filter).await?.items.pop())
    }

    /// Returns every run that a filter selects, newest first. They are held in memory together: a caller that
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

    /// Returns the run of a name.
    async fn run_named(&self, name: &str) -> Result<Option<RunRecord>> {
        self.newest_run(RunFilter {
            name: Some(name.into()),
            ..RunFilter::default()
        })
        .await
    }

    /// Returns the newest run of which a shard has the batch, in its state or in a late acknowledgement.
    async fn run_of_batch(&self, batch: &BatchId) -> Result<Option<RunRecord>> {
        self.newest_run(RunFilter {
            batch: Some(batch.clone()),
            ..RunFilter::default()
        })
        .await
    }

    /// Returns the run of an id, or else the one run whose id begins with `prefix`, if that has at least
    /// [`RunRecord::MIN_PREFIX`] characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming candidates, where several ids
    /// begin with it.
    async fn find_run(&self, prefix: &str) -> Result<Option<RunRecord>> {
        /// Most candidates that an error names.
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

    /// Returns the shards of a run, by number; none where there is no such run.
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>>;

    /// Returns those of the batches that the ledger knows as some shard's, by its state or by a late
    /// acknowledgement. Runs count whose account [may be](AccountId::may_be) `account`: a batch of another
    /// account may have an equal id.
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>>;

    /// Records evidence of a batch beside a shard, durably. It conflicts with no change of the shard, and no
    /// epoch grows. An acknowledgement of a batch that is recorded for the shard already changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), naming the batch, where the shard is not
    /// in the ledger any more: the batch is known to the caller alone then.
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()>;

    /// Returns the late acknowledgements of a shard, oldest first.
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>>;

    /// Deletes a run with its shards and their late acknowledgements. No error if it is gone.
    async fn forget(&self, run: &str) -> Result<()>;

    /// Claims a run, whether or not it is recorded yet, so that no other process advances it. Readers and a
    /// cancellation need no claim. A ledger that several processes share implements it.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict), naming the process that holds the claim.
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        Ok(RunClaim::unshared(run))
    }

    /// Releases what the ledger holds open, so that its file is complete on its own. Later calls may fail.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A place for the bytes of runs: bodies, index, results.
pub trait Spool: fmt::Debug + Send + Sync + 'static {
    /// Begins a file, in place of one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>>;

    /// Opens a file to read and patch it.
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>>;

    /// Deletes a file; no error if it is gone.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// A new file without a name, to read and patch: it goes with its last user, even one that is killed.
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>>;
}

/// A file being written. Buffer what you write.
pub trait SpoolWriter: io::Write + Send + Sync {
    /// Makes what was written last through a power loss.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file that is there.
pub trait SpoolFile: fmt::Debug + Send + Sync + 'static {
    /// Its bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}
