//! Results of a batch without a run.

use std::sync::Arc;

use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Certainty, Error, ErrorKind, Nonce, RequestId, Result,
    Retry, ShardRecord,
};

use crate::blocking::blocking;
use crate::context::Context;
use crate::last_failure::LastFailure;
use crate::plan::handles::RunHandles;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::results::id_map::IdMap;
use crate::run::account::under_another_key;
use crate::run::poll::Poll;
use crate::spool::Files;

impl Context {
    pub(crate) async fn retrieve(&self, handle: &BatchHandle) -> Result<RunResults> {
        let snapshot = match self.key_changed(handle)? {
            false => self.known(&handle.batch).await?,
            true => self
                .readable(&handle.batch)
                .await
                .map_err(under_another_key)?,
        };
        let snapshot = self.ended(snapshot)?;
        let (files, handle) = (self.files()?, handle.clone());
        let requests = Some(handle.requests.len() as u64);
        let class = Some(handle.class.clone());
        let work = move || IdMap::of_handle(&handle, &files).map(|id_map| (files, id_map));
        let (files, id_map) = blocking(work).await??;
        self.fetch(files, id_map, snapshot, requests, class).await
    }

    /// Waits until the batch of a handle has ended, and reads its results.
    pub(crate) async fn wait_for(
        &self,
        handle: &BatchHandle,
        options: &RunOptions,
    ) -> Result<RunResults> {
        let mut context = self.clone();
        context.last_failure = LastFailure::default();
        let start = context.started();
        let mut poll = Poll::new(&context, handle.batch.clone());
        while poll.ask(&context).await?.is_none() {
            if let Some(error) = poll.impatience(start, options) {
                return Err(match context.last_failure.last() {
                    Some(last) => error.with_source(last),
                    None => error,
                });
            }
            let next = poll.next.saturating_sub(context.clock.elapsed());
            context.wait(next).await;
        }
        context.retrieve(handle).await
    }

    pub(crate) async fn retrieve_rows(
        &self,
        batch: &BatchId,
        names: Vec<RequestId>,
    ) -> Result<RunResults> {
        let snapshot = self.ended(self.readable(batch).await?)?;
        let files = self.files()?;
        let id_map = IdMap::of_rows(names);
        self.fetch(files, id_map, snapshot, None, None).await
    }

    /// Returns the handle of a batch from the record of its run. The tables of ids are read, which a deletion of the
    /// answers keeps.
    pub(crate) async fn recorded_handle(&self, batch: &BatchId) -> Result<Option<BatchHandle>> {
        let Some(run) = self.ledger.run_of_batch(batch).await? else {
            return Ok(None);
        };
        if run.provider != *self.provider.codec().id() {
            return Ok(None);
        }
        let files = Arc::new(Files::new(self.spool()?, run.nonce.as_str(), true));
        let account = (run.account.clone(), run.key_hint.clone());
        let tables = Arc::clone(&files);
        let handles = RunHandles::new(files, tables, run.provider, account, run.ids);
        let is_presumed = |shard: &ShardRecord| {
            let proof = shard.proof.as_ref();
            proof.is_some_and(|proof| proof.certainty == Certainty::Presumed)
        };
        let shards = self.ledger.shards(&run.id).await?;
        let mut shards = shards.iter();
        let shard = shards.find(|shard| shard.state.batch() == Some(batch));
        let shard = shard.filter(|shard| !is_presumed(shard));
        match shard.and_then(|shard| handles.recorded(shard)) {
            Some(handle) => blocking(move || handle.read()).await?.map(Some),
            None => Ok(None),
        }
    }

    fn files(&self) -> Result<Arc<Files>> {
        let stem = Nonce::draw(&*self.rng);
        Ok(Arc::new(Files::new(self.spool()?, stem.as_str(), false)))
    }

    fn ended(&self, snapshot: BatchSnapshot) -> Result<BatchSnapshot> {
        if snapshot.status.is_terminal() {
            return Ok(snapshot);
        }
        let message = format!(
            "the batch is {}; its results can be read when it has ended",
            snapshot.status
        );
        // The error is temporary: the batch will end, and the same call succeeds then.
        let error = Error::new(ErrorKind::Timeout)
            .with_message(message)
            .with_retry(Retry::Temporary)
            .with_batch(snapshot.id);
        Err(match snapshot.poll_after {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        })
    }
}
