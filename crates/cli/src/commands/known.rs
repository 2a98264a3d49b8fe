//! Recorded runs that concern a command which would start a run: an equal run, an earlier run of the same input, or
//! a run with the same output.

use std::path::{Path, PathBuf};

use lmbatch::engine::{
    AnswerCount, EndRefused, OnKnownRun, Plan, RunConflict, RunQuery, SameRun, check_run_name,
    is_refused,
};
use lmbatch::record::{RunFilter, RunRecord};
use lmbatch::{Engine, Error, ErrorKind, Result as CoreResult};

use super::run_settings::{RunSettings, absolute_path};
use crate::args::{Cleanup, RunArgs};
use crate::exit::Failure;
use crate::target::{self, Target};
use crate::{format, hints, remote, terminal};

/// Finds the recorded run of a command: of the same name, or of the same input under the same account. A run whose
/// input has changed is updated only on request, since that costs money.
pub(super) async fn known(
    args: &RunArgs,
    notes: &RunSettings,
    engine: &Engine,
    plan: &Plan,
) -> Result<SameRun, Failure> {
    let of_digest = RunFilter {
        digest: Some(plan.digest().into()),
        ..RunFilter::default()
    };
    loop {
        let before = engine.ledger().all_runs(of_digest.clone()).await?.len();
        let found = compared(args, notes, engine, plan).await;
        // Another process may have started the same run meanwhile, whose output is then the one of this command.
        let has_failed = matches!(found, Err(_) | Ok(SameRun::Conflict(_)));
        let is_stale =
            has_failed && engine.ledger().all_runs(of_digest.clone()).await?.len() > before;
        if !is_stale {
            return found;
        }
    }
}

/// Compares a command with the recorded runs by the engine's rule. Refuses the output of a new run if another run will
/// write it.
async fn compared(
    args: &RunArgs,
    notes: &RunSettings,
    engine: &Engine,
    plan: &Plan,
) -> Result<SameRun, Failure> {
    let (input, output) = (absolute_path(&notes.input), absolute_path(&notes.output));
    let of_call = notes.write();
    let query = RunQuery {
        name: args.name.as_deref(),
        digest: plan.digest(),
        files: Some((&input, &output)),
        notes: Some(&of_call),
        on_known: match (args.new, args.update) {
            (true, _) => OnKnownRun::SendAgain,
            (_, true) => OnKnownRun::Update,
            _ => OnKnownRun::Continue,
        },
    };
    let found = engine.same_run(&query).await?;
    if matches!(
        found,
        SameRun::New { .. } | SameRun::Conflict(RunConflict::NothingToUpdate)
    ) {
        if let Some(name) = &args.name {
            check_run_name(name).map_err(|error| named_wrongly(&error))?;
        }
        free_output(notes, engine).await?;
    }
    Ok(found)
}

/// Returns the failure for a name that no run may have.
fn named_wrongly(error: &Error) -> Failure {
    Failure::usage(format!(
        "--run: {}",
        error.message().unwrap_or("the name cannot be used")
    ))
}

/// Returns the failure of a command that conflicts with a recorded run.
pub(super) async fn refusal(
    args: &RunArgs,
    engine: &Engine,
    plan: &Plan,
    conflict: RunConflict,
) -> Failure {
    let named = |run: &RunRecord| {
        format!(
            "the run {:?} ({})",
            run.name.as_deref().unwrap_or_default(),
            run.id
        )
    };
    match conflict {
        RunConflict::NameTaken(run) => Failure::usage(format!(
            "there is a run {:?} ({}); give the new one another name",
            run.name.as_deref().unwrap_or_default(),
            run.id
        )),
        RunConflict::Cancelled(run) => Failure::usage(format!("{} was cancelled", named(&run)))
            .hint(format!(
                "{} fetches what was answered; another name with --run sends all of it again",
                hints::on_runs(["resume", &run.id])
            )),
        RunConflict::OtherAccount {
            run,
            is_refused: true,
        }
        | RunConflict::OtherRequests {
            run,
            is_refused: true,
        } => Failure::usage(format!(
            "{} was started with a different input, model, options or account, and failed before a batch was created",
            named(&run)
        ))
        .hint(format!(
            "delete it, then run the command again: {}",
            hints::on_runs(["purge", &run.id, "--force"])
        )),
        RunConflict::OtherAccount { run, .. } | RunConflict::OtherRequests { run, .. } => {
            Failure::usage(format!(
                "{} was started with a different input, model, options or account",
                named(&run)
            ))
            .with_details(choices(args, engine, plan, &run).await)
            .hint(match run.answers_deleted_at {
                Some(_) => DELETED,
                None => "nothing was sent; --update sends what is new or changed, another name with --run sends all of it",
            })
        }
        RunConflict::ChangedInput(run) => Failure::usage(format!(
            "{} or its options have changed since run {}",
            args.input.display(),
            run.id
        ))
        .with_details(choices(args, engine, plan, &run).await)
        .hint(match run.pilot_of {
            _ if run.answers_deleted_at.is_some() => DELETED,
            Some(_) => {
                "nothing was sent; --update sends only what is new or changed, and with --pilot only of the first requests; --run NAME and --new begin anew, and send all of it"
            }
            None => "nothing was sent; --update sends only what is new or changed, --run NAME and --new send all of it",
        }),
        RunConflict::NothingToUpdate => Failure::usage("there is no run of this input to update")
            .hint(format!(
                "{} lists the runs; choose one with --run",
                hints::on_runs(["runs"])
            )),
    }
}

/// Hint for a run that cannot be brought up to date.
const DELETED: &str = "nothing was sent; the prompts and answers of that run were deleted from this machine, so that it cannot be brought up to date: --run NAME with another name and --new send all of it";

/// Returns what an update of a run would send, and the options to choose from, a line each.
async fn choices(args: &RunArgs, engine: &Engine, plan: &Plan, run: &RunRecord) -> Vec<String> {
    if run.answers_deleted_at.is_some() {
        return Vec::new();
    }
    // A run whose files cannot be read can still be replaced by a new one.
    let Ok(changes) = engine.changes(run, plan).await else {
        return Vec::new();
    };
    let sent = match changes.changed + changes.new {
        0 => "sends nothing".to_owned(),
        sent => format!("sends {}", format::count(sent, "request", "requests")),
    };
    let all = format::count(plan.requests(), "request", "requests");
    let mut lines = vec![
        format!("requests: {}", format::changes(&changes)),
        format!("--update: {sent}, and keeps the answers to the others"),
    ];
    if args.name.is_none() {
        let name = args.input.file_stem().unwrap_or_default();
        let name = hints::quoted(&name.to_string_lossy()).into_owned();
        lines.extend([
            format!("--run {name}-$(date +%F): sends {all}, once a day"),
            format!("--new: sends {all}, each time"),
        ]);
    }
    lines
}

/// Warns that the same requests were sent before, under another name or in a cancelled run, and are paid for again; or
/// that an earlier version of the input was sent under a name.
pub(super) async fn warn_of_duplicate(
    engine: &Engine,
    plan: &Plan,
    duplicate: Option<&RunRecord>,
) -> CoreResult<()> {
    let Some(run) = duplicate else {
        return Ok(());
    };
    let named = match &run.name {
        Some(name) => format!("run {} ({name:?})", run.id),
        None => format!("run {} without a name", run.id),
    };
    if *run.digest != *plan.digest() {
        let name = run.name.as_deref().unwrap_or_default();
        terminal::warn(&format!(
            "another version of this input was sent to the same model by {named}; requests that are in both are sent, and paid for, again. With --run {} --update only what is new or changed is sent",
            hints::quoted(name)
        ));
        return Ok(());
    }
    if !run.cancelled {
        terminal::warn(&format!(
            "the same requests were sent to the same model by {named}; under another name they are sent, and paid for, again"
        ));
        return Ok(());
    }
    let shards = engine.ledger().shards(&run.id).await?;
    let count = AnswerCount::of(&shards);
    let answered = match count.may_be_more {
        false => format::number(count.answered),
        true => format!("at least {}", format::number(count.answered)),
    };
    let requeue = hints::on_runs(["requeue", &run.id]);
    let reuse = match run.finished {
        true => requeue,
        false => format!("{}, then {requeue}", hints::on_runs(["resume", &run.id])),
    };
    terminal::warn(&format!(
        "the same requests were sent to the same model by {named}, which was cancelled and has {answered} of {} answers; this command sends, and pays for, all of them again. To send only what was not answered, stop it and run: {reuse}",
        format::number(u64::from(run.requests))
    ));
    Ok(())
}

/// Cancels and ends runs without a batch before the same input is sent with other options: while they are open,
/// `resume --all` would send, and pay for, both. Returns false if a batch of one of them may exist by now.
///
/// # Errors
/// [`ErrorKind::Conflict`] if another process advances one of the runs, [`ErrorKind::OtherAccount`] if the current key
/// may belong to another account.
pub(super) async fn end_superseded(
    args: &RunArgs,
    engine: &Engine,
    refused: &[RunRecord],
) -> Result<bool, Failure> {
    for run in refused {
        match supersede(args, engine, run).await {
            Ok(true) => terminal::message(&format!(
                "the run {} failed before a batch was created, and is cancelled; its input is sent in a new run",
                run.id
            )),
            Ok(false) => return Ok(false),
            // A run of another account can be neither cancelled nor resumed with this key.
            Err(error) if args.new && error.kind() == ErrorKind::OtherAccount => {
                terminal::warn(&format!("the run {} stays open: {error}", run.id));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

async fn supersede(args: &RunArgs, engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    // Another process may be creating a batch of the run.
    let engine = engine.claim(&run.id).await?;
    let run = match engine.end_refused(&run.id).await? {
        EndRefused::Ended(run) => run,
        EndRefused::Gone => return Ok(true),
        EndRefused::HasBatches => return Ok(false),
    };
    if args.report.cleanup.unwrap_or_default() != Cleanup::None
        && let Err(error) = engine.clean(&run, false).await
    {
        terminal::warn(&format!(
            "some data of run {} could not be deleted at the provider: {error}",
            run.id
        ));
    }
    Ok(true)
}

/// Refuses an output that another unfinished run will write, since only one of the two runs could write it.
/// That holds with `--force` as well: the answers of the unfinished run are paid for.
async fn free_output(notes: &RunSettings, engine: &Engine) -> Result<(), Failure> {
    let Some(run) = writer(engine, &notes.output, None).await? else {
        return Ok(());
    };
    Err(taken(&notes.output, &run))
}

/// Returns the unfinished run, other than `except`, that will write its outcomes to a path. Streams can receive the
/// outcomes of several runs.
pub(super) async fn writer(
    engine: &Engine,
    output: &Path,
    except: Option<&str>,
) -> Result<Option<RunRecord>, Failure> {
    let path = match Target::of(output)? {
        Target::File { path, .. } => canonical(&path),
        Target::Remote(address) => PathBuf::from(address.as_str()),
        _ => return Ok(None),
    };
    // A recorded path may name the folder differently, so that a filter by the text would not find it.
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let runs = engine.ledger().all_runs(unfinished).await?.into_iter();
    for run in runs.filter(|run| except != Some(&*run.id)) {
        let noted = run.notes.get("output");
        if noted.is_some_and(|noted| canonical(Path::new(&**noted)) == path)
            && !is_refused(&engine.ledger().shards(&run.id).await?)
        {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// Returns the failure for an output that another run will write.
pub(super) fn taken(output: &Path, run: &RunRecord) -> Failure {
    Failure::usage(format!(
        "output file {} is that of run {}, which has not ended",
        output.display(),
        run.id
    ))
    .hint(match run.cancelled {
        true => format!(
            "fetch its answers first: {}; or choose another path with -o",
            hints::on_runs(["resume", &run.id])
        ),
        false => "choose another path with -o".to_owned(),
    })
}

/// Returns a path with a canonical folder.
fn canonical(path: &Path) -> PathBuf {
    if remote::url(path).is_some() {
        return path.to_path_buf();
    }
    let folder = std::fs::canonicalize(target::folder(path));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}
