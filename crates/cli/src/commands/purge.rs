//! `lmbatch purge`: runs, with their prompts and answers, leave this machine, the provider, or both.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmbatch_core::{Error, ErrorKind, Ledger, Nonce, RunFilter, RunRecord, format_time};
use lmbatch_engine::{Engine, FolderSpool, Left, former_run_id, run_id};
use lmbatch_ledger::{SqliteLedger, StateFolder};
use serde_json::{Value, json};

use super::state::{self, Notes};
use super::{clock, connect};
use crate::args::PurgeArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Table;
use crate::{next, terminal, words};

pub(crate) async fn purge(args: PurgeArgs) -> Result<Exit, Failure> {
    let folder = state::open(&args.state, true)?;
    let ledger = state::opened(folder.ledger().await?);
    let chosen = chosen(&args, &ledger).await?;
    let local = args.local || !args.remote;
    let mut table = Table::with_header(["run", "started", "requests", "here", "at the provider"]);
    let mut exit = Exit::Usable;
    for run in &chosen {
        // Another process may advance it, and another purge may have deleted it.
        let claim = match ledger.claim(&run.id).await {
            _ if args.dry_run => None,
            Ok(claim) => Some(claim),
            Err(error) if args.run.is_none() && error.kind() == ErrorKind::Conflict => {
                terminal::say(&format!("{error}; it stays"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        // As it is now that no other process advances it: it may have been sent again since it was chosen.
        let Some(run) = &ledger.run(&run.id).await? else {
            continue;
        };
        if !may_go(&args, run) {
            if args.run.is_some() {
                return Err(not_ended(run));
            }
            terminal::say(&format!("the run {} has not ended; it stays", run.id));
            continue;
        }
        let files = files_of(&folder.spool(), run)?;
        let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let left = if args.remote {
            match remote(&args, run, &folder, &ledger).await {
                Ok(left) => Some(left),
                // The others go all the same; without its record nothing would tell what is left of this one.
                Err(failure) if args.run.is_none() => {
                    crate::report(&failure.of_run(&run.id), args.json);
                    terminal::say(&format!("the run {} stays", run.id));
                    exit = Exit::Failed;
                    continue;
                }
                Err(failure) => return Err(failure),
            }
        } else {
            None
        };
        if local && !args.dry_run {
            for (path, _) in &files {
                delete(path)?;
            }
            // Its files first: without its record no one would look for them.
            ledger.forget(&run.id).await?;
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
                    words::count(count, "file", "files"),
                    words::bytes(bytes)
                ),
                (true, false) => format!("{} deleted", words::count(count, "file", "files")),
            };
            let there = match &left {
                Some(left) => words::left(left).unwrap_or_else(|| "nothing".to_owned()),
                None => "stays".to_owned(),
            };
            table.row([
                run.id.to_string(),
                run.created_at.map(words::time).unwrap_or_default(),
                run.requests.to_string(),
                here,
                there,
            ]);
        }
        drop(claim);
    }
    if chosen.is_empty() {
        terminal::say("no run is that old");
        return Ok(Exit::Usable);
    }
    if !table.is_empty() {
        terminal::out(&table.to_string());
    }
    if args.dry_run {
        terminal::say("nothing was deleted: --dry-run");
    }
    Ok(exit)
}

/// The run that was named, or every old one that has ended. What is paid for and not fetched yet is not
/// forgotten by the way.
async fn chosen(args: &PurgeArgs, ledger: &SqliteLedger) -> Result<Vec<RunRecord>, Failure> {
    if let Some(wanted) = &args.run {
        let run = state::find(ledger, wanted).await?;
        return match may_go(args, &run) {
            true => Ok(vec![run]),
            false => Err(not_ended(&run)),
        };
    }
    let age = args.older_than.unwrap_or_default();
    let before = clock().now().checked_sub(age);
    let is_old = |run: &RunRecord| run.created_at.is_some_and(|at| Some(at) < before);
    let (mut filter, mut old) = (RunFilter::default(), Vec::new());
    loop {
        let page = ledger.runs(&filter).await?;
        let runs = page.items.into_iter();
        old.extend(runs.filter(|run| run.finished && is_old(run)));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return Ok(old),
        }
    }
}

/// Reports whether a run may be deleted: one that has ended, or one that is named with `--force`.
fn may_go(args: &PurgeArgs, run: &RunRecord) -> bool {
    run.finished || args.force && args.run.is_some()
}

/// The failure to delete a run that has not ended.
fn not_ended(run: &RunRecord) -> Failure {
    Failure::usage(format!(
        "the run {} has not ended: what its batches answer is paid for",
        run.id
    ))
    .hint(format!(
        "cancel it and fetch what there is ({}; {}), or purge it all the same with --force",
        next::on_runs(["cancel", &run.id]),
        next::on_runs(["resume", &run.id])
    ))
}

/// Deletes what a run left at its provider; returns what is left then.
async fn remote(
    args: &PurgeArgs,
    run: &RunRecord,
    folder: &StateFolder,
    ledger: &Arc<SqliteLedger>,
) -> Result<Left, Failure> {
    let notes = Notes::read(run)?;
    let provider = connect(notes.provider, &notes.connection, notes.route)?;
    let spool = Arc::new(FolderSpool::new(folder.spool()));
    let engine = Engine::new(provider).with_record(Arc::clone(ledger) as Arc<_>, spool);
    Ok(match args.dry_run {
        true => engine.remaining(run).await?,
        false => engine.clean(run, true).await?,
    })
}

/// What is left at the provider, for programs.
fn left_json(left: &Left) -> Value {
    json!({
        "inputs": left.inputs, "batches": left.batches, "until": left.until.map(format_time),
    })
}

/// The files of a run, with their bytes.
fn files_of(spool: &Path, run: &RunRecord) -> Result<Vec<(PathBuf, u64)>, Error> {
    let all = spooled(spool)?.into_iter();
    let ours = all.filter(|(stem, ..)| stem == run.nonce.as_str());
    Ok(ours.map(|(_, path, bytes)| (path, bytes)).collect())
}

/// Files that belong to no run, left by a process that died before it had noted one.
pub(crate) async fn strays(
    ledger: &dyn Ledger,
    spool: &Path,
) -> Result<Vec<(PathBuf, u64)>, Error> {
    // What a create was sent of is no stray: it is all that is left of a run that the record has lost.
    let marked = lmbatch_ledger::marked_runs(spool)?;
    let all = spooled(spool)?;
    let stems: HashSet<&String> = all.iter().map(|(stem, ..)| stem).collect();
    let mut unknown: HashSet<String> = HashSet::new();
    for stem in stems {
        if !marked.contains(stem) && recorded(ledger, stem).await?.is_none() {
            unknown.insert(stem.clone());
        }
    }
    let strays = all
        .into_iter()
        .filter(|(stem, ..)| unknown.contains(stem.as_str()));
    Ok(strays.map(|(_, path, bytes)| (path, bytes)).collect())
}

/// Returns the run of a nonce, if the text is one.
async fn recorded(ledger: &dyn Ledger, nonce: &str) -> Result<Option<RunRecord>, Error> {
    let filter = RunFilter {
        nonce: Nonce::parse(nonce),
        ..RunFilter::default()
    };
    match filter.nonce {
        Some(_) => ledger.newest_run(filter).await,
        None => Ok(None),
    }
}

/// Every file of the spool with the mark of its run and its bytes.
fn spooled(spool: &Path) -> Result<Vec<(String, PathBuf, u64)>, Error> {
    let failed = |error| Error::local(format!("looking at {}", spool.display()), error);
    let mut files = Vec::new();
    let entries = match fs::read_dir(spool) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(files),
        entries => entries.map_err(&failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.split('.').next().unwrap_or_default().to_owned();
        let bytes = entry.metadata().map_err(&failed)?.len();
        files.push((stem, entry.path(), bytes));
    }
    Ok(files)
}

/// Deletes a file of the spool that belongs to no run; returns whether it did. A process that reads an input
/// holds the claim of the run that it is about to begin.
pub(crate) async fn delete_stray(ledger: &dyn Ledger, path: &Path) -> Result<bool, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let nonce = name.split('.').next().unwrap_or_default();
    if nonce.len() == Nonce::LENGTH && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        // An earlier version claims the run by a shorter id.
        let mut claims = Vec::new();
        for run in [run_id(nonce), former_run_id(nonce)] {
            match ledger.claim(&run).await {
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(false),
                claim => claims.push(claim?),
            }
        }
        // It may have been recorded since it was found.
        if recorded(ledger, nonce).await?.is_some() {
            return Ok(false);
        }
        delete(path)?;
        return Ok(true);
    }
    delete(path)?;
    Ok(true)
}

pub(crate) fn delete(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|error| {
            let doing = format!(
                "deleting {} (once it can be deleted, run the command again)",
                path.display()
            );
            Error::local(doing, error)
        }),
    }
}
