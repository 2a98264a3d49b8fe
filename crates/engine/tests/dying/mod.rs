//! Decorators with which a process dies at any of its calls to ledger, spool and provider.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Change, Cursor,
    Error, ErrorKind, Found, Intent, LateAcknowledgement, Ledger, ListOptions, Page, Result,
    ResultPart, ResultSet, RowStream, RunFilter, RunRecord, Shard, ShardKey, ShardRecord, Spool,
    SpoolFile, SpoolWriter, Staged,
};
use lmbatch_engine::MemoryLedger;

/// Number of calls before the process dies.
#[derive(Debug)]
pub(crate) struct Fuse {
    pub(crate) left: AtomicI64,
    /// True if the last call still takes effect.
    pub(crate) after: bool,
    /// True if the process survives a failed call, as with a disk that is full for a moment.
    pub(crate) lives: bool,
}

impl Fuse {
    pub(crate) fn is_blown(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
    /// Returns whether the call takes effect, and whether its caller gets the result.
    fn burn(&self) -> (bool, bool) {
        match self.left.fetch_sub(1, Ordering::SeqCst) {
            1.. => (true, true),
            0 => (self.after, false),
            _ => (self.lives, self.lives),
        }
    }

    async fn run<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let (acts, answers) = self.burn();
        let died = || Error::new(ErrorKind::Internal).with_message("the process died");
        if !acts {
            return Err(died());
        }
        let answer = call.await;
        if answers { answer } else { Err(died()) }
    }

    fn io<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (acts, answers) = self.burn();
        if !acts {
            return Err(io::Error::other("the process died"));
        }
        let answer = call()?;
        if answers {
            Ok(answer)
        } else {
            Err(io::Error::other("the process died"))
        }
    }
}

#[derive(Debug)]
pub(crate) struct Dying<T: ?Sized> {
    pub(crate) fuse: Arc<Fuse>,
    pub(crate) inner: Arc<T>,
}

#[async_trait]
impl Ledger for Dying<MemoryLedger> {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.fuse.run(self.inner.begin(run, shards)).await
    }
    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        self.fuse.run(self.inner.apply(change)).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.fuse.run(self.inner.run(id)).await
    }
    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        self.fuse.run(self.inner.runs(filter)).await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.fuse.run(self.inner.shards(run)).await
    }
    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        self.fuse.run(self.inner.known(account, batches)).await
    }
    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        self.fuse.run(self.inner.acknowledge_late(late)).await
    }
    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        self.fuse.run(self.inner.late_acknowledgements(key)).await
    }
    async fn delete(&self, run: &str) -> Result<()> {
        self.fuse.run(self.inner.delete(run)).await
    }
}

#[async_trait]
impl<P: BatchProvider> BatchProvider for Dying<P> {
    fn codec(&self) -> &dyn BatchCodec {
        self.inner.codec()
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.fuse.run(self.inner.stage(shard, prior)).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.fuse.run(self.inner.create(shard, intent)).await
    }
    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        self.fuse.run(self.inner.find(intent, page)).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.fuse.run(self.inner.status(batch)).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.fuse.run(self.inner.results(class, batch)).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.fuse.run(self.inner.read(part, from)).await
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.fuse.run(self.inner.list(options)).await
    }
}

impl<S: Spool> Spool for Dying<S> {
    fn create(&self, name: &str) -> io::Result<Box<dyn SpoolWriter>> {
        let inner = self.fuse.io(|| self.inner.create(name))?;
        Ok(Box::new(DyingWriter {
            fuse: Arc::clone(&self.fuse),
            inner,
        }))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SpoolFile>> {
        self.fuse.io(|| self.inner.open(name))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.fuse.io(|| self.inner.remove(name))
    }
    fn scratch(&self) -> io::Result<Arc<dyn SpoolFile>> {
        self.fuse.io(|| self.inner.scratch())
    }
}

struct DyingWriter {
    fuse: Arc<Fuse>,
    inner: Box<dyn SpoolWriter>,
}

impl io::Write for DyingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fuse.io(|| self.inner.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl SpoolWriter for DyingWriter {
    fn sync(&mut self) -> io::Result<()> {
        self.fuse.io(|| self.inner.sync())
    }
}

/// Returns a fuse of `calls` calls, for a process that does not survive.
pub(crate) fn fuse(calls: i64, after: bool) -> Arc<Fuse> {
    Arc::new(Fuse {
        left: AtomicI64::new(calls),
        after,
        lives: false,
    })
}
