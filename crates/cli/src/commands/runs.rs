//! `lmbatch runs`: lists the runs of a state folder, newest first.

use lmbatch::engine::RunState;
use lmbatch::record::{Ledger as _, RunFilter};

use super::run_settings::Shown;
use super::show::{hide_key, run_json};
use super::state;
use crate::args::RunsArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::terminal::Table;
use crate::{format, hints, terminal};

pub(crate) async fn runs(session: &Session, mut args: RunsArgs) -> Result<Exit, Failure> {
    if args.emulated {
        args.state = state::emulated(&args.state)?;
    }
    let Some(ledger) = state::ledger_if_any(session, &args.state).await? else {
        return none_yet(&args);
    };
    let mut table = Table::with_header([
        "run", "name", "state", "requests", "model", "started", "output",
    ]);
    let mut left = match args.limit {
        0 => usize::MAX,
        _ if args.all => usize::MAX,
        limit => limit,
    };
    let (mut filter, mut listed) = (RunFilter::default(), 0);
    let has_more = loop {
        filter.limit = Some(u32::try_from(left).unwrap_or(u32::MAX).min(PAGE));
        let page = ledger.runs(&filter).await?;
        left -= page.items.len().min(left);
        listed += page.items.len() as u64;
        for run in &page.items {
            hide_key(run);
            let (shown, shards) = (Shown::of(run), ledger.shards(&run.id).await?);
            if args.json {
                terminal::json(&run_json(run, &shown, &shards));
                continue;
            }
            table.row([
                run.id.to_string(),
                run.name.as_deref().unwrap_or_default().to_owned(),
                RunState::of(run, &shards).to_string(),
                run.requests.to_string(),
                shown.model_in_full(),
                run.created_at.map(format::time).unwrap_or_default(),
                shown.output.display().to_string(),
            ]);
        }
        match page.next {
            Some(next) if left > 0 => filter.after = Some(next),
            rest => break rest.is_some(),
        }
    };
    if listed == 0 {
        return none_yet(&args);
    }
    if !args.json {
        terminal::out(&table.to_string());
    }
    if has_more {
        let more = ledger.count_runs().await?.saturating_sub(listed).max(1);
        terminal::message(&format!(
            "{} not listed; {} lists every run",
            format::count(more, "older run is", "older runs are"),
            hints::on_runs(["runs", "--all"])
        ));
    }
    Ok(Exit::Usable)
}

/// Maximum number of runs that are read at once.
const PAGE: u32 = 100;

fn none_yet(args: &RunsArgs) -> Result<Exit, Failure> {
    if !args.json {
        terminal::message(&state::no_runs(&args.state)?);
    }
    Ok(Exit::Usable)
}
