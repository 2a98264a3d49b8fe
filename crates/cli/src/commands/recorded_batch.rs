//! A batch that the record knows: its rows get the ids of the input, also after the answers of its run were deleted.

use lmbatch::{BatchHandle, BatchId, Engine};

use super::state;
use crate::args::StateArgs;
use crate::exit::Failure;
use crate::session::Session;
use crate::terminal;

/// Batch of a recorded run.
#[derive(Debug)]
pub(super) struct RecordedBatch {
    /// Id of the run.
    pub(super) run: Box<str>,
    /// Handle of the batch; `None` where the record cannot name its requests.
    pub(super) handle: Option<BatchHandle>,
}

/// Returns the recorded batch with an id; `None` where the state folder has no record of it. A record that cannot be
/// read is a warning: the rows can be fetched without it.
pub(super) async fn find(
    session: &Session,
    engine: &Engine,
    args: &StateArgs,
    batch: &BatchId,
) -> Option<RecordedBatch> {
    match found(session, engine, args, batch).await {
        Ok(found) => found,
        Err(failure) => {
            terminal::warn(&format!(
                "the record cannot be read, so that the rows keep the ids that were sent: {}",
                failure.message
            ));
            None
        }
    }
}

async fn found(
    session: &Session,
    engine: &Engine,
    args: &StateArgs,
    batch: &BatchId,
) -> Result<Option<RecordedBatch>, Failure> {
    let Some(ledger) = state::ledger_if_any(session, args).await? else {
        return Ok(None);
    };
    let engine = state::reading(engine.clone(), ledger, args)?;
    let Some(run) = engine.ledger().run_of_batch(batch).await? else {
        return Ok(None);
    };
    if run.provider != *engine.provider().codec().id() {
        return Ok(None);
    }
    let handle = match engine.recorded_handle(batch).await {
        Ok(handle) => handle,
        Err(error) => {
            let failure = Failure::from(error).message;
            terminal::warn(&format!("the rows keep the ids that were sent: {failure}"));
            None
        }
    };
    let run = run.id;
    Ok(Some(RecordedBatch { run, handle }))
}
