//! Status of a run in lines, for `status`, `show` and `status --watch`.

use std::time::SystemTime;

use lmbatch::record::{RunFilter, RunRecord};

use super::run_settings::Shown;
use super::{clock, pilot_facts};
use crate::live::Live;
use crate::table::{Facts, coloured};
use crate::{format, hints, plain, terminal};

/// Formats a run by its id and name, for a line about one of many runs.
pub(super) fn named(run: &RunRecord) -> String {
    match &run.name {
        Some(name) => format!("run {} ({name})", run.id),
        None => format!("run {}", run.id),
    }
}

/// Returns the filter of runs that have not ended.
pub(super) fn open_runs() -> RunFilter {
    RunFilter {
        unfinished: true,
        ..RunFilter::default()
    }
}

/// Formats the status of a run, with its state in colour on a terminal.
pub(super) fn block(run: &RunRecord, live: &Live) -> String {
    let state = coloured(live.state.as_str(), terminal::look());
    let shown = Shown::of(run);
    let mut table = facts(run, live);
    table.row("model", &shown.model_in_full());
    table.row("output", &shown.output.display().to_string());
    format!("{} {state}\n{table}", plain::plain(&named(run)))
}

/// Returns the progress of a run, one fact a line.
pub(super) fn facts(run: &RunRecord, live: &Live) -> Facts {
    let now = clock().now();
    let mut table = Facts::new();
    table.row("requests", &live.counts());
    if let Some(part) = pilot_facts::part(run) {
        table.row("pilot", &part);
    }
    table.row(
        "batches",
        &format!(
            "{} of {} ended",
            format::number(live.ended_batches),
            format::number(live.batches)
        ),
    );
    let started = run.created_at.map(|at| format::relative(at, now));
    table.row("started", started.as_deref().unwrap_or("unknown"));
    if !live.is_open() {
        return table;
    }
    table.row("eta", &live.eta(now));
    let relative = |at: Option<SystemTime>| at.map(|at| format::relative(at, now));
    let expires = relative(live.expires_at);
    table.row("expires", expires.as_deref().unwrap_or("unknown"));
    let polled = relative(live.polled_at);
    table.row("last poll", polled.as_deref().unwrap_or("none yet"));
    table.row("advanced by", &advanced_by(run, live));
    table
}

/// Returns the process that advances a run, or the command that continues it.
fn advanced_by(run: &RunRecord, live: &Live) -> String {
    match live.holder {
        Some(holder) => match holder.process {
            Some(id) => format!("process {id}"),
            None => "another process".to_owned(),
        },
        None => format!(
            "no process; to continue: {}",
            hints::on_runs(["resume", &run.id])
        ),
    }
}
