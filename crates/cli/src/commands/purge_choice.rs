//! Runs that a command purges.

use lmbatch::durable::SqliteLedger;
use lmbatch::engine::ended_before;
use lmbatch::record::RunRecord;

use super::{clock, state};
use crate::args::PurgeArgs;
use crate::exit::Failure;
use crate::{format, hints, terminal};

/// Returns the named run, or every old run that has ended: an unfinished run may have billed answers that are not
/// fetched yet.
pub(super) async fn chosen(
    args: &PurgeArgs,
    ledger: &SqliteLedger,
) -> Result<Vec<RunRecord>, Failure> {
    if let Some(wanted) = &args.run {
        let run = state::find(ledger, wanted).await?;
        return match may_delete(args, &run) {
            true => Ok(vec![run]),
            false => Err(not_ended(&run)),
        };
    }
    let age = args.older_than.unwrap_or_default();
    let before = clock().now().checked_sub(age);
    Ok(ended_before(ledger, before).await?)
}

/// Says that no run is old enough.
pub(super) fn none_is_old(args: &PurgeArgs) {
    let age = format::span(args.older_than.unwrap_or_default());
    terminal::message(&format!("no ended run started more than {age} ago"));
}

/// Reports whether a run may be deleted: it has ended, or is named with `--force`.
pub(super) fn may_delete(args: &PurgeArgs, run: &RunRecord) -> bool {
    run.finished && !awaits_decision(run) || args.force && args.run.is_some()
}

/// Reports whether a run is a pilot whose other requests may still be sent. Its answers are billed, count for the run,
/// and would be paid for again.
fn awaits_decision(run: &RunRecord) -> bool {
    run.pilot_of.is_some() && !run.cancelled
}

/// Returns the failure for a run that has not ended.
pub(super) fn not_ended(run: &RunRecord) -> Failure {
    // Emulated answers are not billed.
    let is_paid = !run.notes.contains_key("emulated");
    let cost = |text: &'static str| if is_paid { text } else { "" };
    if awaits_decision(run) && run.finished {
        return Failure::usage(format!(
            "the run {} is a pilot whose other requests are not sent{}",
            run.id,
            cost(": its answers are billed, and would be paid for again")
        ))
        .hint(format!(
            "end it ({}), or purge it anyway with --force",
            hints::on_runs(["cancel", &run.id])
        ));
    }
    Failure::usage(format!(
        "the run {} has not ended{}",
        run.id,
        cost(": answers of its batches are billed")
    ))
    .hint(format!(
        "cancel it and fetch its outcomes ({}; {}), or purge it anyway with --force",
        hints::on_runs(["cancel", &run.id]),
        hints::on_runs(["resume", &run.id])
    ))
}
