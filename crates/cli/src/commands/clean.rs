//! Clean-up at the provider after an output was written.

use lmbatch::Engine;
use lmbatch::engine::RemainingData;

use super::run_context::RunContext;
use crate::args::Cleanup;
use crate::terminal;

/// Deletes data at the provider that is not needed after the output was written. Returns the data left there, if
/// the run is recorded.
pub(super) async fn clean(context: &RunContext, engine: &Engine) -> Option<RemainingData> {
    let id = context.progress.run().filter(|_| !context.only_reads)?;
    let _turn = match &context.turns {
        Some(turns) => Some(turns.cleaning().await),
        None => None,
    };
    let cleaned = async {
        let Some(run) = engine.ledger().run(&id).await? else {
            return Ok(None);
        };
        let left = match context.notes.kept.cleanup() {
            Cleanup::None => engine.remaining(&run).await,
            Cleanup::Inputs => engine.clean(&run, false).await,
            Cleanup::All => engine.clean(&run, true).await,
        };
        left.map(Some)
    };
    match cleaned.await {
        Ok(left) => left,
        // The outcomes are written; the provider deletes the remaining data after its retention time.
        Err(error) => {
            terminal::warn(&format!(
                "some data could not be deleted at the provider: {error}"
            ));
            None
        }
    }
}
