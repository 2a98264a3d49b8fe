//! `lmbatch purge --answers`: deletes the prompts and answers of runs whose output is there unchanged, and keeps their
//! records.

use std::time::Duration;

use lmbatch::durable::{SqliteLedger, StateFolder};
use lmbatch::engine::{SpooledFile, delete_answers, files_of_run};
use lmbatch::record::{Ledger as _, RunRecord};
use lmbatch::{Clock, ErrorKind};
use serde_json::json;

use super::clock;
use super::purge_choice::chosen;
use super::run_settings::RunSettings;
use crate::args::PurgeArgs;
use crate::exit::{Exit, Failure};
use crate::retention::stored_in;
use crate::table::{Table, column};
use crate::{format, terminal};

pub(super) async fn purge(
    args: &PurgeArgs,
    folder: &StateFolder,
    ledger: &SqliteLedger,
) -> Result<Exit, Failure> {
    let clock = clock();
    let runs = chosen(args, ledger).await?;
    let mut table = Table::new([
        column("run"),
        column("started"),
        column("requests"),
        column("here"),
        column("output").cut_start(40),
    ]);
    for run in &runs {
        // Another process may advance the run.
        let _claim = match ledger.claim(&run.id).await {
            _ if args.dry_run => None,
            Ok(claim) => Some(claim),
            Err(error) if args.run.is_none() && error.kind() == ErrorKind::Conflict => {
                terminal::message(&format!("{error}; its answers are kept"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        // Read again under the claim: the run may have been requeued since it was chosen.
        let Some(run) = ledger.run(&run.id).await? else {
            continue;
        };
        let output = match safe(&run, &*clock).await? {
            Ok(output) => output,
            Err(reason) if args.run.is_some() => {
                return Err(Failure::usage(reason).of_run(&run.id).hint(
                    "nothing was deleted; purge without --answers deletes the run with its record",
                ));
            }
            Err(reason) => {
                terminal::message(&format!("{reason}; they are kept"));
                continue;
            }
        };
        let mut files = files_of_run(&folder.spool(), &run)?;
        files.retain(SpooledFile::holds_content);
        let (count, bytes) = (
            files.len() as u64,
            files.iter().map(|file| file.bytes).sum(),
        );
        if !args.dry_run {
            delete_answers(ledger, &run, &files, clock.now()).await?;
        }
        if args.json {
            terminal::json(&json!({
                "format": 1, "run": run.id, "name": run.name, "requests": run.requests,
                "created_at": run.created_at.map(lmbatch::adapter::format_time), "dry_run": args.dry_run,
                "local": false, "answers": true, "files": count, "bytes": bytes, "remote": false, "output": output,
            }));
            continue;
        }
        let files = format::count(count, "file", "files");
        let here = match args.dry_run {
            true => format!("{files}, {}", format::bytes(bytes)),
            false => format!("{files} deleted"),
        };
        table.row([
            (&*run.id).into(),
            run.created_at.into(),
            run.requests.into(),
            here.into(),
            output.into(),
        ]);
    }
    if runs.is_empty() {
        terminal::message("no run is that old");
    }
    if !table.is_empty() {
        table.print();
    }
    if args.dry_run {
        terminal::message("nothing was deleted: --dry-run");
    }
    Ok(Exit::Usable)
}

/// Returns the path of the output that holds the answers of a run, or the reason why its answers are kept.
async fn safe(run: &RunRecord, clock: &dyn Clock) -> Result<Result<String, String>, Failure> {
    let kept = |why: &str| Ok(Err(format!("the answers of run {} {why}", run.id)));
    if !run.finished {
        return kept("are not complete");
    }
    let notes = RunSettings::read(run)?;
    if run.answers_deleted_at.is_some() {
        return Ok(Ok(notes.output.display().to_string()));
    }
    match stored_in(run, &notes, Duration::ZERO, clock.now()).await? {
        Some(output) => Ok(Ok(output)),
        None => kept(
            "are in no output file that is there as it was written and holds all parts of them",
        ),
    }
}
