//! Handles of a run's batches, read from the run's files on request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lmbatch_core::{
    AccountId, BatchClass, BatchHandle, BatchId, Error, HandleSource, IdRule, KeyHint, Nonce,
    ProviderId, RequestId, Result, ShardRecord, ShardTables,
};

use crate::plan::ids::request_id;
use crate::plan::planned::PlannedShard;
use crate::spool::tables::{Echo, Reader, Row};
use crate::spool::window::Window;
use crate::spool::{Files, spooled};

/// Number of entries of the table of rows that are read at once.
const AHEAD: usize = 4096;

/// Batches of a run, with the parts of their handles. Keeps the run's files from being deleted.
#[derive(Debug)]
pub(crate) struct RunHandles {
    pub(crate) files: Arc<Files>,
    /// Files of the tables of the shards.
    pub(crate) tables: Arc<Files>,
    pub(crate) provider: ProviderId,
    pub(crate) account: AccountId,
    pub(crate) key_hint: Option<KeyHint>,
    pub(crate) ids: IdRule,
    made: Mutex<Vec<Made>>,
}

/// Batch that exists, with the shard from which it was created.
#[derive(Debug, Clone, PartialEq)]
struct Made {
    batch: BatchId,
    class: BatchClass,
    shard: u32,
    count: u32,
    tables: ShardTables,
}

impl RunHandles {
    pub(crate) fn new(
        files: Arc<Files>,
        tables: Arc<Files>,
        provider: ProviderId,
        (account, key_hint): (AccountId, Option<KeyHint>),
        ids: IdRule,
    ) -> Arc<Self> {
        Arc::new(Self {
            files,
            tables,
            provider,
            account,
            key_hint,
            ids,
            made: Mutex::default(),
        })
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the batch that was created first.
    pub(crate) fn first(&self) -> Option<BatchId> {
        self.made().first().map(|made| made.batch.clone())
    }

    /// Attaches the batches created so far to the error of a call.
    pub(crate) fn attach(self: &Arc<Self>, error: Error) -> Error {
        let mut made = self.made().clone();
        if made.is_empty() {
            return error;
        }
        // Handles come in the order of the shards, whichever batch was created first.
        made.sort_by_key(|made| made.shard);
        let run = Arc::clone(self);
        error.with_handles(Arc::new(Batches { run, made }))
    }

    /// Reads the handles of some batches of the run. Each names every request of its batch, in the
    /// order of the batch.
    fn read(&self, made: &[Made]) -> Result<Vec<BatchHandle>> {
        let handles = made.iter().map(|made| {
            let ids = read_ids(&self.tables, &made.tables, made.count)?;
            Ok(self.handle(made, ids))
        });
        handles.collect()
    }

    /// Returns the handle of a recorded batch; `None` where the record names no batch, or no tables, as those of
    /// earlier versions.
    pub(crate) fn recorded(self: &Arc<Self>, record: &ShardRecord) -> Option<CreatedHandle> {
        let made = Made {
            batch: record.state.batch()?.clone(),
            class: record.class.clone(),
            shard: record.key.shard,
            count: record.count,
            tables: record.tables.clone()?,
        };
        Some(CreatedHandle {
            run: Arc::clone(self),
            made,
        })
    }

    fn handle(&self, made: &Made, ids: Vec<(u32, RequestId)>) -> BatchHandle {
        let rule = match &self.ids {
            IdRule::Verbatim => IdRule::Verbatim,
            IdRule::Ordinal(nonce) | IdRule::Part { nonce, .. } => {
                part(nonce, ids.iter().map(|(ordinal, _)| *ordinal))
            }
        };
        let mut handle = BatchHandle::new(
            self.provider.clone(),
            self.account.clone(),
            made.batch.clone(),
            made.class.clone(),
            ids.into_iter().map(|(_, id)| id),
        );
        (handle.key_hint, handle.ids) = (self.key_hint.clone(), rule);
        handle
    }
}

/// Reads the ids of the requests of a shard, each with its ordinal. Requests whose ids are not in
/// the spool are left out: an input that was changed by an earlier version of lmbatch had removed
/// them.
pub(crate) fn read_ids(
    files: &Files,
    tables: &ShardTables,
    count: u32,
) -> Result<Vec<(u32, RequestId)>> {
    let mut rows = Window::new(files.open_whole(&tables.rows)?, count, AHEAD);
    let mut echoes = Reader::new(files.open_whole(&tables.request_data)?);
    let mut echo = Echo::default();
    let mut ids = Vec::with_capacity(count as usize);
    for at in 0..count {
        let row = rows.get(at).map_err(spooled)?;
        let row = row.map(Row::from_bytes).unwrap_or_default();
        echoes.seek(row.echo);
        echo.read(&mut echoes).map_err(spooled)?;
        if !echo.id.is_empty() {
            ids.push((row.ordinal, request_id(&echo.id)));
        }
    }
    Ok(ids)
}

/// Returns the id rule of a batch that holds the requests with these ordinals.
fn part(nonce: &Nonce, ordinals: impl Iterator<Item = u32>) -> IdRule {
    let mut stretches: Vec<[u32; 2]> = Vec::new();
    for ordinal in ordinals {
        match stretches.last_mut() {
            Some([first, count]) if *first + *count == ordinal => *count += 1,
            _ => stretches.push([ordinal, 1]),
        }
    }
    let nonce = nonce.clone();
    match stretches[..] {
        [] | [[0, _]] => IdRule::Ordinal(nonce),
        _ => IdRule::Part { nonce, stretches },
    }
}

#[derive(Debug)]
struct Batches {
    run: Arc<RunHandles>,
    made: Vec<Made>,
}

impl HandleSource for Batches {
    fn handles(&self) -> Result<Vec<BatchHandle>> {
        self.run.read(&self.made)
    }
}

/// Shard, with what the handle of its batch needs.
#[derive(Debug, Clone)]
pub(crate) struct ShardHandle {
    run: Arc<RunHandles>,
    class: BatchClass,
    shard: u32,
    count: u32,
    tables: ShardTables,
}

impl ShardHandle {
    /// Returns the handle of a recorded shard. A batch that the record names is added to those of
    /// the run.
    pub(crate) fn new(run: &Arc<RunHandles>, planned: &PlannedShard, record: &ShardRecord) -> Self {
        let handle = Self {
            run: Arc::clone(run),
            class: record.class.clone(),
            shard: record.key.shard,
            count: record.count,
            tables: planned.tables.clone(),
        };
        if let Some(batch) = record.state.batch() {
            drop(handle.created(batch));
        }
        handle
    }

    /// Adds the batch of the shard to those of the run.
    pub(crate) fn created(&self, batch: &BatchId) -> CreatedHandle {
        let made = Made {
            batch: batch.clone(),
            class: self.class.clone(),
            shard: self.shard,
            count: self.count,
            tables: self.tables.clone(),
        };
        let mut all = self.run.made();
        if !all.contains(&made) {
            all.push(made.clone());
        }
        drop(all);
        CreatedHandle {
            run: Arc::clone(&self.run),
            made,
        }
    }

    /// Removes a presumed batch that turned out to belong to another program.
    pub(crate) fn reject_presumed(&self, batch: &BatchId) {
        self.run.made().retain(|made| made.batch != *batch);
    }
}

/// Handle of a batch that was just created, read on request: it names every request of the batch.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::{Event, LMInvoker};
///
/// /// Keeps the handle of each batch before anything else happens.
/// fn keeping(invoker: LMInvoker, keep: impl Fn(String) + Send + Sync + 'static) -> LMInvoker {
///     invoker.observe(move |event| {
///         if let Event::Created { handle, .. } = event
///             && let Ok(handle) = handle.read()
///             && let Ok(json) = serde_json::to_string(&handle)
///         {
///             keep(json);
///         }
///     })
/// }
/// ```
#[derive(Debug, Clone)]
pub struct CreatedHandle {
    run: Arc<RunHandles>,
    made: Made,
}

impl CreatedHandle {
    /// Reads the handle. Time and memory grow with the size of the batch. A clone can be read on
    /// another thread, and keeps the run's temporary files until it is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the files of the run cannot be read.
    pub fn read(&self) -> Result<BatchHandle> {
        let mut handles = self.run.read(std::slice::from_ref(&self.made))?;
        // One handle was read for the one batch.
        Ok(handles.remove(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consecutive_ordinals_are_one_stretch() {
        let nonce = Nonce::draw(&crate::clock::SystemRng);
        let stretches = |ordinals: &[u32]| match part(&nonce, ordinals.iter().copied()) {
            IdRule::Part { stretches, .. } => stretches,
            _ => Vec::new(),
        };
        for (ordinals, expected) in [
            (&[][..], vec![]),
            (&[0, 1, 2], vec![]),
            (&[1, 2], vec![[1, 2]]),
            (&[0, 2, 3, 7], vec![[0, 1], [2, 2], [7, 1]]),
            (&[5, 4], vec![[5, 1], [4, 1]]),
        ] {
            assert_eq!(stretches(ordinals), expected, "{ordinals:?}");
        }
    }
}
