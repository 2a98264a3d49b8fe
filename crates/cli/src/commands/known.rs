//! Runs that the record knows, when a command would begin one: the same, an earlier one of its input, or one
//! whose output it would replace.

use std::path::{Path, PathBuf};

use lmbatch_core::{
    AccountMatch, ErrorKind, Result as CoreResult, RunFilter, RunRecord, ShardRecord, ShardState,
};
use lmbatch_engine::{Engine, Plan, RunOptions};

use super::end;
use super::state::{self, Notes};
use crate::args::{Cleanup, RunArgs};
use crate::exit::Failure;
use crate::target::{self, Target};
use crate::{next, terminal, words};

/// What the record knows of what was asked for.
pub(super) enum Known {
    /// It was not sent.
    Nothing {
        /// Earlier runs of its input, of which the provider refused every create: they are replaced by it.
        refused: Vec<RunRecord>,
        /// A run of the same requests and model that has them already: under another name, or cancelled.
        twin: Option<Box<RunRecord>>,
    },
    /// It was sent before.
    Same(Box<RunRecord>),
    /// It was sent otherwise before, and is to be brought up to date.
    Changed {
        run: Box<RunRecord>,
        refused: Vec<RunRecord>,
    },
}

/// The run that this is again: of the same name, or of the same input under the same account. One whose
/// input has changed is only advanced if that is asked for, since it costs money.
pub(super) async fn known(
    args: &RunArgs,
    notes: &Notes,
    engine: &Engine,
    plan: &Plan,
) -> Result<Known, Failure> {
    let of_digest = RunFilter {
        digest: Some(plan.digest().into()),
        ..RunFilter::default()
    };
    loop {
        let same = engine.ledger().all_runs(of_digest.clone()).await?;
        let found = among(args, notes, engine, plan, &same).await;
        // Another process may have begun the same run since: its output is then that of this run.
        let is_stale =
            found.is_err() && engine.ledger().all_runs(of_digest.clone()).await?.len() > same.len();
        if !is_stale {
            return found;
        }
    }
}

/// The same, where `same` are the runs of the same requests.
async fn among(
    args: &RunArgs,
    notes: &Notes,
    engine: &Engine,
    plan: &Plan,
    same: &[RunRecord],
) -> Result<Known, Failure> {
    // A key may have been rotated: then the run is found, and the provider says whose key it is.
    let is_other = |run: &RunRecord| engine.account_match(run) == AccountMatch::Other;
    let ledger = engine.ledger();
    let is_ours = |run: &RunRecord| !is_other(run) && !run.cancelled;
    let is_same = |run: &RunRecord| is_ours(run) && *run.digest == *plan.digest();
    let name = args.name.as_deref();
    // Of a refused run nothing is paid for, and `--new` asks to pay again.
    let mut twin = None;
    let is_twin =
        |run: &RunRecord| !is_other(run) && (run.cancelled || run.name.as_deref() != name);
    for run in same.iter().filter(|run| !args.new && is_twin(run)) {
        if twin.is_none() && may_have_answers(engine, run).await? {
            twin = Some(Box::new(run.clone()));
        }
    }
    if let Some(name) = &args.name {
        return match ledger.run_named(name).await? {
            Some(run) if args.new => Err(Failure::usage(format!(
                "there is a run {name:?} ({}); give the new one another name",
                run.id
            ))),
            Some(run) if run.cancelled => Err(Failure::usage(format!(
                "the run {name:?} ({}) was cancelled",
                run.id
            ))
            .hint(format!(
                "{} fetches what was answered; another name with --run sends all of it again",
                next::on_runs(["resume", &run.id])
            ))),
            Some(run) if is_same(&run) => Ok(Known::Same(run.into())),
            Some(run) if is_refused(engine, &run).await? => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account, and failed before a batch was created",
                run.id
            ))
            .hint(format!(
                "delete it, then run the command again: {}",
                next::on_runs(["purge", &run.id, "--force"])
            ))),
            Some(run) if args.update && is_ours(&run) => Ok(Known::Changed {
                run: run.into(),
                refused: Vec::new(),
            }),
            Some(run) => Err(Failure::usage(format!(
                "the run {name:?} ({}) is of another input, model or account",
                run.id
            ))
            .hint(
                "--update sends what is new or changed; another name with --run sends all of it",
            )),
            None => {
                free_output(args, notes, engine).await?;
                Ok(Known::Nothing {
                    refused: Vec::new(),
                    twin,
                })
            }
        };
    }
    let is_unnamed = |run: &RunRecord| run.name.is_none();
    if !args.new
        && let Some(run) = same.iter().find(|run| is_unnamed(run) && is_same(run))
    {
        return Ok(Known::Same(run.clone().into()));
    }
    // The same files under the same account are the same work, of a later day.
    let (input, output) = (state::whole(&notes.input), state::whole(&notes.output));
    let note = |run: &RunRecord, name: &str| run.notes.get(name).map(ToString::to_string);
    let is_earlier = |run: &RunRecord| {
        is_ours(run)
            && input != "-"
            && note(run, "input").as_ref() == Some(&input)
            && note(run, "output").as_ref() == Some(&output)
    };
    let (mut earlier, mut refused) = (None, Vec::new());
    let of_output = RunFilter {
        output: Some(output.as_str().into()),
        ..RunFilter::default()
    };
    let runs = ledger.all_runs(of_output).await?.into_iter();
    for run in runs.filter(|run| is_unnamed(run) && is_earlier(run)) {
        match is_refused(engine, &run).await? {
            true => refused.push(run),
            false => earlier = earlier.or(Some(run)),
        }
    }
    if args.new || earlier.is_none() {
        free_output(args, notes, engine).await?;
    }
    match earlier {
        _ if args.new => Ok(Known::Nothing { refused, twin }),
        Some(run) if args.update => Ok(Known::Changed {
            run: run.into(),
            refused,
        }),
        Some(run) => Err(Failure::usage(format!(
            "{} or its options have changed since run {}",
            args.input.display(),
            run.id
        ))
        .hint("--update sends only what is new or changed; --new sends all of it again")),
        None if args.update && refused.is_empty() => Err(Failure::usage(
            "there is no run of this input to update",
        )
        .hint(format!(
            "{} lists them; name one with --run",
            next::on_runs(["runs"])
        ))),
        None => Ok(Known::Nothing { refused, twin }),
    }
}

/// Warns that the same requests were sent before, under another name or in a run that was cancelled, and are
/// paid for again.
pub(super) async fn warn_of_twin(engine: &Engine, twin: Option<&RunRecord>) -> CoreResult<()> {
    let Some(run) = twin else {
        return Ok(());
    };
    let named = match &run.name {
        Some(name) => format!("run {} ({name:?})", run.id),
        None => format!("run {}, which has no name", run.id),
    };
    if !run.cancelled {
        terminal::warn(&format!(
            "the same requests were sent to the same model by {named}; under another name they are sent, and paid for, again"
        ));
        return Ok(());
    }
    let shards = engine.ledger().shards(&run.id).await?;
    let (answered, is_known) = answers(&shards);
    let answered = match is_known {
        true => words::number(answered),
        false => format!("at least {}", words::number(answered)),
    };
    let requeue = next::on_runs(["requeue", &run.id]);
    let reuse = match run.finished {
        true => requeue,
        false => format!("{}, then {requeue}", next::on_runs(["resume", &run.id])),
    };
    terminal::warn(&format!(
        "the same requests were sent to the same model by {named}, which was cancelled and has {answered} of {} answers; this command sends, and pays for, all of them again. To send only what was not answered, stop it and run: {reuse}",
        words::number(u64::from(run.requests))
    ));
    Ok(())
}

/// Answers that a run has by the provider's counts, and whether they are all of them: those of a batch that has
/// not been seen to end are not known.
fn answers(shards: &[ShardRecord]) -> (u64, bool) {
    let (mut answered, mut is_known) = (0, true);
    for shard in shards {
        match &shard.state {
            ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
                answered += snapshot.counts.succeeded;
            }
            ShardState::Created { .. } | ShardState::Posting(_) | ShardState::Doubt(_) => {
                is_known = false;
            }
            _ => {}
        }
    }
    (answered, is_known)
}

/// Reports whether a run has answers, or batches that may have some.
async fn may_have_answers(engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    let shards = engine.ledger().shards(&run.id).await?;
    Ok(match run.cancelled {
        true => answers(&shards) != (0, true),
        false => !end::is_refused(&shards),
    })
}

/// Reports whether the provider refused to create any batch of a run, so that nothing of it can be answered.
async fn is_refused(engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    Ok(end::is_refused(&engine.ledger().shards(&run.id).await?))
}

/// Cancels and ends runs of which no batch was created, before the same input is sent with other options:
/// as long as they are open, `resume --all` would send, and pay for, both. Returns false where one of them
/// is not refused any more.
///
/// # Errors
/// [`ErrorKind::Conflict`] where another process advances one of them, [`ErrorKind::OtherAccount`] where the
/// current key may be of another account.
pub(super) async fn superseded(
    args: &RunArgs,
    engine: &Engine,
    refused: &[RunRecord],
) -> Result<bool, Failure> {
    for run in refused {
        match supersede(args, engine, run).await {
            Ok(true) => terminal::say(&format!(
                "the run {} failed before a batch was created, and is cancelled: its input is sent anew",
                run.id
            )),
            Ok(false) => return Ok(false),
            // Under this key it can be neither cancelled nor resumed.
            Err(error) if args.new && error.kind() == ErrorKind::OtherAccount => {
                terminal::warn(&format!("the run {} stays open: {error}", run.id));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

async fn supersede(args: &RunArgs, engine: &Engine, run: &RunRecord) -> CoreResult<bool> {
    // Another process may be creating its batch after all.
    let engine = engine.claim(&run.id).await?;
    let Some(run) = engine.ledger().run(&run.id).await? else {
        return Ok(true);
    };
    if !is_refused(&engine, &run).await? {
        return Ok(false);
    }
    engine.cancel_run(&run).await?;
    // Nothing is created for a cancelled run: its requests are recorded as cancelled, and it has ended.
    let options = RunOptions {
        once: true,
        ..RunOptions::default()
    };
    engine.resume(&run, options).await?;
    if args.report.cleanup.unwrap_or_default() != Cleanup::None
        && let Err(error) = engine.clean(&run, false).await
    {
        terminal::warn(&format!(
            "not everything of run {} could be deleted at the provider: {error}",
            run.id
        ));
    }
    Ok(true)
}

/// Refuses an output that another run is going to write: only one of the two could, at its end.
async fn free_output(args: &RunArgs, notes: &Notes, engine: &Engine) -> Result<(), Failure> {
    if args.report.force {
        return Ok(());
    }
    let Some(run) = writer(engine, &notes.output, None).await? else {
        return Ok(());
    };
    Err(taken(&notes.output, &run))
}

/// The run other than `except` that is going to write its outcomes to a path, if there is one. Streams take
/// those of several.
pub(super) async fn writer(
    engine: &Engine,
    output: &Path,
    except: Option<&str>,
) -> Result<Option<RunRecord>, Failure> {
    let Target::File { path, .. } = Target::of(output)? else {
        return Ok(None);
    };
    let path = settled(&path);
    // Noted paths may name the file by another name of its folder: a filter by the text does not find them.
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let runs = engine.ledger().all_runs(unfinished).await?.into_iter();
    for run in runs.filter(|run| except != Some(&*run.id)) {
        let noted = run.notes.get("output");
        if noted.is_some_and(|noted| settled(Path::new(&**noted)) == path)
            && !is_refused(engine, &run).await?
        {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// The refusal of an output that another run is going to write.
pub(super) fn taken(output: &Path, run: &RunRecord) -> Failure {
    Failure::usage(format!(
        "output file {} is that of run {}, which has not ended",
        output.display(),
        run.id
    ))
    .hint(match run.cancelled {
        true => format!(
            "fetch its answers first: {}; or choose another path with -o",
            next::on_runs(["resume", &run.id])
        ),
        false => "choose another path with -o".to_owned(),
    })
}

/// A path of which the folder has one name only.
fn settled(path: &Path) -> PathBuf {
    let folder = std::fs::canonicalize(target::folder(path));
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_path_buf(),
    }
}
