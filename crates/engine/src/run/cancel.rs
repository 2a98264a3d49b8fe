//! Cancellation of a run and of its batches.

use lmbatch_core::{Certainty, Result, RunRecord, ShardState};

use crate::context::Context;
use crate::event::Event;

impl Context {
    pub(crate) async fn cancel_run(&self, run: &RunRecord) -> Result<u64> {
        // The record comes first, so that nothing more is created; then the existing batches. A
        // process that advances the run sees the record, and cancels what it is creating.
        let run = &self.of_this_account(run).await?;
        let cancel = |run: &mut RunRecord| {
            // A run that has ended has nothing to cancel.
            run.cancelled |= !run.finished;
            Ok(())
        };
        let run = self.change(run, &[], cancel).await?;
        let (mut count, mut failure) = (0, None);
        for shard in self.ledger.shards(&run.id).await? {
            if let ShardState::Created { batch, proof } = &shard.state {
                if proof.certainty == Certainty::Presumed {
                    let message = format!(
                        "{batch} is not cancelled: it is not certain that it belongs to this run"
                    );
                    self.report(&Event::Warning { message: &message });
                    continue;
                }
                match self.cancel(batch).await {
                    Ok(()) => count += 1,
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        failure.map_or(Ok(count), Err)
    }
}
