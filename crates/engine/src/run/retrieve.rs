//! Results of a batch without a run.

use std::sync::Arc;

use lmbatch_core::{
    BatchHandle, BatchId, BatchSnapshot, Error, ErrorKind, Nonce, RequestId, Result, Retry,
};

use crate::blocking::blocking;
use crate::context::Context;
use crate::policy::RunOptions;
use crate::results::finished::RunResults;
use crate::results::id_map::IdMap;
use crate::run::account::under_another_key;
use crate::run::poll::Poll;
use crate::spool::Files;
use crate::trouble::Trouble;

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
        context.trouble = Trouble::default();
        let start = context.started();
        let mut poll = Poll::new(&context, handle.batch.clone());
        while poll.ask(&context).await?.is_none() {
            if let Some(error) = poll.impatience(start, options) {
                return Err(match context.trouble.last() {
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
