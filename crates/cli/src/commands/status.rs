//! `lmbatch status`: prints the state of one batch from its provider, or of a run from its record.

use std::time::SystemTime;

use lmbatch::BatchSnapshot;
use lmbatch::adapter::format_time;

use super::batch::engine;
use super::show;
use crate::args::{OneRunArgs, ShowArgs, StatusArgs};
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::terminal::Table;
use crate::{plain, terminal};

pub(crate) async fn status(session: &Session, args: StatusArgs) -> Result<Exit, Failure> {
    if args.batch.provider.is_none() {
        let run = args.batch.batch;
        let state = args.state;
        let (run, json) = (OneRunArgs { run, state }, args.json);
        return show::show(session, ShowArgs { run, json }).await;
    }
    let (_, engine, batch) = engine(&args.batch)?;
    let snapshot = engine.status(&batch).await?;
    if args.json {
        terminal::json(&snapshot);
    } else {
        terminal::out(&table(&snapshot));
    }
    Ok(if snapshot.status.is_terminal() {
        Exit::Usable
    } else {
        Exit::Unfinished
    })
}

/// Formats a batch as a table with one fact per line; facts that the provider does not give are left out.
fn table(snapshot: &BatchSnapshot) -> String {
    let mut table = Table::new();
    let counts = snapshot.counts;
    let count = |number: u64| (number > 0).then(|| number.to_string());
    let time = |at: Option<SystemTime>| at.map(format_time);
    let usage = snapshot
        .usage
        .map(|usage| format!("{} in, {} out", usage.input_tokens, usage.output_tokens));
    for (name, value) in [
        ("batch", Some(snapshot.id.to_string())),
        ("status", Some(snapshot.status.to_string())),
        ("requests", counts.total.map(|total| total.to_string())),
        ("succeeded", count(counts.succeeded)),
        ("errored", count(counts.errored)),
        ("expired", count(counts.expired)),
        ("cancelled", count(counts.cancelled)),
        ("model", snapshot.model.clone()),
        ("label", snapshot.label.as_ref().map(ToString::to_string)),
        ("created", time(snapshot.created_at)),
        ("expires", time(snapshot.expires_at)),
        ("ended", time(snapshot.ended_at)),
        ("tokens", usage),
    ] {
        if let Some(value) = value {
            table.row([name, &value]);
        }
    }
    for problem in &snapshot.problems {
        let line = problem.line.map(|line| format!(" at request {line}"));
        let why = format!("{}{}", problem.error, line.unwrap_or_default());
        table.row(["problem", &why]);
        if let Some(said) = problem.error.message().and_then(plain::provider_text) {
            table.row(["provider said", &said]);
        }
    }
    table.to_string()
}
