//! `lmbatch purge`: deletes runs, with their prompts and answers, from this machine, from the provider, or from both.

use std::sync::Arc;

use lmbatch::adapter::format_time;
use lmbatch::durable::{SqliteLedger, StateFolder};
use lmbatch::engine::{FolderSpool, RemainingData, delete_run, files_of_run};
use lmbatch::record::{Ledger, RunRecord};
use lmbatch::{Engine, ErrorKind};
use serde_json::{Value, json};

use super::purge_choice::{chosen, may_delete, not_ended};
use super::run_settings::RunSettings;
use super::{connect, purge_answers, state};
use crate::args::PurgeArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::table::{Table, column};
use crate::{format, terminal};

pub(crate) async fn purge(session: &Session, mut args: PurgeArgs) -> Result<Exit, Failure> {
    if let Some(run) = &args.run {
        args.state = state::holding(session, &args.state, run).await?;
    }
    let folder = state::open(session, &args.state, true)?;
    let ledger = session.opened(folder.ledger().await?);
    if args.answers {
        return purge_answers::purge(&args, &folder, &ledger).await;
    }
    let chosen = chosen(&args, &ledger).await?;
    let local = args.local || !args.remote;
    let mut table = Table::new([
        column("run"),
        column("started"),
        column("requests"),
        column("here"),
        column("at the provider").cut_end(20),
    ]);
    let mut exit = Exit::Usable;
    for run in &chosen {
        // Another process may advance the run, and another purge may have deleted it.
        let claim = match ledger.claim(&run.id).await {
            _ if args.dry_run => None,
            Ok(claim) => Some(claim),
            Err(error) if args.run.is_none() && error.kind() == ErrorKind::Conflict => {
                terminal::message(&format!("{error}; the run is kept"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        // Read again under the claim: the run may have been requeued since it was chosen.
        let Some(run) = &ledger.run(&run.id).await? else {
            continue;
        };
        if !may_delete(&args, run) {
            if args.run.is_some() {
                return Err(not_ended(run));
            }
            terminal::message(&format!("the run {} has not ended; it is kept", run.id));
            continue;
        }
        let files = files_of_run(&folder.spool(), run)?;
        let bytes: u64 = files.iter().map(|file| file.bytes).sum();
        let left = if args.remote {
            match remote(&args, run, &folder, &ledger).await {
                Ok(left) => Some(left),
                // The record is kept, since it names the data left at the provider. The other runs are purged.
                Err(failure) if args.run.is_none() => {
                    crate::report(&failure.of_run(&run.id), args.json);
                    terminal::message(&format!("the run {} is kept", run.id));
                    exit = Exit::Failed;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
        } else {
            None
        };
        if local && !args.dry_run {
            delete_run(&*ledger, run, &files).await?;
            // Live counts that stay behind hold no prompt and no answer.
            let _ = folder.live().remove(&run.id);
        }
        let count = files.len() as u64;
        if args.json {
            terminal::json(&json!({
                "format": 1, "run": run.id, "name": run.name, "requests": run.requests,
                "created_at": run.created_at.map(format_time), "dry_run": args.dry_run,
                "local": local, "files": count, "bytes": bytes,
                "remote": args.remote, "left": left.as_ref().map(left_json),
            }));
        } else {
            let here = match (local, args.dry_run) {
                (false, _) => "stays".to_owned(),
                (true, true) => format!(
                    "{}, {}",
                    format::count(count, "file", "files"),
                    format::bytes(bytes)
                ),
                (true, false) => format!("{} deleted", format::count(count, "file", "files")),
            };
            let there = match &left {
                Some(left) => format::left(left).unwrap_or_else(|| "nothing".to_owned()),
                None => "stays".to_owned(),
            };
            table.row([
                (&*run.id).into(),
                run.created_at.into(),
                run.requests.into(),
                here.into(),
                there.into(),
            ]);
        }
        drop(claim);
    }
    if chosen.is_empty() {
        terminal::message("no run is that old");
        return Ok(Exit::Usable);
    }
    if !table.is_empty() {
        table.print();
    }
    if args.dry_run {
        terminal::message("nothing was deleted: --dry-run");
    }
    Ok(exit)
}

/// Deletes the data of a run at its provider; returns the data that is left.
async fn remote(
    args: &PurgeArgs,
    run: &RunRecord,
    folder: &StateFolder,
    ledger: &Arc<SqliteLedger>,
) -> Result<RemainingData, Failure> {
    let notes = RunSettings::read(run)?;
    if notes.emulated {
        // The emulator's data ended with its process.
        return Ok(RemainingData::default());
    }
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let spool = Arc::new(FolderSpool::new(folder.spool()));
    let engine = Engine::new(provider).with_record(Arc::clone(ledger) as Arc<_>, spool);
    Ok(match args.dry_run {
        true => engine.remaining(run).await?,
        false => engine.clean(run, true).await?,
    })
}

/// Returns the inputs and batches that are left at the provider, for programs.
fn left_json(left: &RemainingData) -> Value {
    json!({
        "inputs": left.inputs, "batches": left.batches, "until": left.until.map(format_time),
    })
}
