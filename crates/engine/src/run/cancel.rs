//! Cancellation of a run.

use lmbatch_core::{Certainty, Result, RunRecord, ShardState};

use crate::context::Context;
use crate::event::Event;

impl Context {
    pub(crate) async fn cancel_run(&self, run: &RunRecord) -> Result<u64> {
        // First that nothing more is created, then what is there. A process that goes on with the run sees
        // it, and cancels what it was creating meanwhile.
        let run = &self.of_this_account(run).await?;
        let cancel = |run: &mut RunRecord| {
            // Of one that has ended there is nothing to cancel.
            run.cancelled |= !run.finished;
            Ok(())
        };
        let run = self.change(run, &[], cancel).await?;
        let (mut count, mut failure) = (0, None);
        for shard in self.ledger.shards(&run.id).await? {
            if let ShardState::Created { batch, proof } = &shard.state {
                if proof.certainty == Certainty::Presumed {
                    let message =
                        format!("{batch} is not cancelled: it is not certain that it is ours");
                    self.tell(&Event::Warning { message: &message });
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
