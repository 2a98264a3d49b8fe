//! Runs whose pilot has ended and awaits a decision: every request that they hold is answered, and others of their
//! input are not sent.

use lmbatch::Result as CoreResult;
use lmbatch::durable::SqliteLedger;
use lmbatch::engine::RunState;
use lmbatch::record::{Ledger as _, RunFilter, RunRecord};

use super::pilot_facts::{next, part};
use super::run_facts::named;
use crate::exit::Failure;
use crate::{format, hints, terminal};

/// Message where no run is to be continued.
const NONE: &str = "every run has ended";

/// Returns the runs whose pilot awaits a decision, newest first.
pub(super) async fn pilots(ledger: &SqliteLedger) -> CoreResult<Vec<RunRecord>> {
    let mut waiting = Vec::new();
    for run in ledger.all_runs(RunFilter::default()).await? {
        if run.finished
            && run.pilot_of.is_some()
            && RunState::of(&run, &ledger.shards(&run.id).await?) == RunState::PilotEnded
        {
            waiting.push(run);
        }
    }
    Ok(waiting)
}

/// Returns the lines about a pilot that awaits a decision, with the command that sends the other requests.
pub(super) fn line(run: &RunRecord) -> String {
    let of = part(run).unwrap_or_default();
    let next = next(run).unwrap_or_else(|| hints::on_runs(["resume", &run.id]));
    format!(
        "{}: its pilot, {of}, has ended and awaits a decision; to send the other requests:\n  {next}",
        terminal::plain(&named(run))
    )
}

/// Prints that every run has ended, or else the pilots that await a decision.
pub(super) async fn tell(ledger: &SqliteLedger) -> CoreResult<()> {
    let waiting = pilots(ledger).await?;
    if waiting.is_empty() {
        terminal::message(NONE);
    }
    for run in &waiting {
        terminal::message(&line(run));
    }
    Ok(())
}

/// Prints that every run has ended, where no run is recorded.
pub(super) fn tell_none() {
    terminal::message(NONE);
}

/// Returns the failure of a command that finds no run to continue.
pub(super) async fn failure(ledger: &SqliteLedger) -> CoreResult<Failure> {
    let waiting = pilots(ledger).await?;
    let listed = format!("{} lists them", hints::on_runs(["runs"]));
    Ok(match waiting.len() as u64 {
        0 => Failure::usage(NONE).hint(listed),
        count => Failure::usage(format!(
            "no run is in progress; {} a decision",
            format::count(count, "pilot awaits", "pilots await")
        ))
        .with_details(
            waiting
                .iter()
                .flat_map(|run| {
                    let lines = line(run);
                    lines.lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .collect(),
        )
        .hint(listed),
    })
}
