//! Decisions of a dry run, which are those of `run` by the record. Nothing is written or sent, and no key is needed.

use std::sync::{Arc, Mutex, PoisonError};

use lmbatch::engine::{Plan, RunConflict, SameRun};
use lmbatch::record::{RunRecord, ShardRecord, ShardState};
use lmbatch::{Changes, Engine, Event};

use super::before_paying::Sizes;
use super::kept::Kept;
use super::known::{known, refusal, warn_of_duplicate};
use super::run_checks::{check_repairs, first_requests, not_a_pilot, priced};
use super::run_settings::RunSettings;
use super::{deleted_answers, offline, run_context, state};
use crate::args::RunArgs;
use crate::exit::Failure;
use crate::progress::schema_note;
use crate::session::Session;
use crate::target::{self, Target};
use crate::{emulation, format, terminal};

/// Decision that `run` would take about its requests.
#[derive(Debug)]
pub(super) enum Decision {
    /// A run would begin.
    New,
    /// The recorded run has answered the requests.
    Answered { run: String },
    /// The recorded run would be continued; `uncreated` of its requests are in no batch yet.
    Continued { run: String, uncreated: u64 },
    /// The recorded run is a pilot, and `others` of the requests are not in it.
    Pilot { run: String, others: u64 },
    /// The recorded run would be brought up to date.
    Update { run: String, changes: Changes },
}

impl Decision {
    /// Returns the recorded run that the decision is about.
    pub(super) fn run(&self) -> Option<&str> {
        match self {
            Self::New => None,
            Self::Answered { run }
            | Self::Continued { run, .. }
            | Self::Pilot { run, .. }
            | Self::Update { run, .. } => Some(run),
        }
    }

    /// Returns the number of requests that would be sent, of a plan with this number.
    pub(super) fn requests(&self, all: u64) -> u64 {
        match self {
            Self::New => all,
            Self::Answered { .. } => 0,
            Self::Continued { uncreated, .. } => *uncreated,
            Self::Pilot { others, .. } => *others,
            Self::Update { changes, .. } => changes.changed + changes.new,
        }
    }

    /// Returns the last lines of a dry run of a plan with these sizes.
    pub(super) fn lines(&self, sizes: Sizes) -> Vec<String> {
        let requests = |count| format::count(count, "request", "requests");
        let sent = |count| match count {
            0 => "nothing would be sent".to_owned(),
            _ => format!("{} would be sent; nothing was sent", requests(count)),
        };
        match self {
            Self::New => vec![format!(
                "{} would be sent in {}, {} in all; nothing was sent",
                requests(sizes.requests),
                format::count(sizes.batches, "batch", "batches"),
                format::bytes(sizes.bytes)
            )],
            Self::Answered { run } => {
                vec![format!(
                    "already answered by run {run}: nothing would be sent"
                )]
            }
            Self::Continued { run, uncreated } => vec![format!(
                "run {run} of these requests has not ended, and would be resumed: {}",
                match uncreated {
                    0 => "each request is in a batch, and nothing would be sent".to_owned(),
                    _ => format!(
                        "{} in no batch yet would be sent; nothing was sent",
                        requests(*uncreated)
                    ),
                }
            )],
            Self::Pilot { run, others } => vec![format!(
                "run {run} is a pilot of these requests: once it has ended, {} more would be sent, unless a question is answered with no; nothing was sent",
                requests(*others)
            )],
            Self::Update { run, changes } => vec![
                format::changes(changes),
                format!(
                    "update of run {run}: {}",
                    sent(changes.changed + changes.new)
                ),
            ],
        }
    }
}

/// Engine of a dry run, which plans without a record, and the warnings of the engine.
pub(super) struct Examined {
    engine: Engine,
    warning: Arc<Mutex<Option<String>>>,
}

impl Examined {
    /// Returns an engine that needs no key.
    pub(super) fn new(args: &RunArgs, notes: &RunSettings) -> Result<Self, Failure> {
        let provider = offline(notes.provider, &args.connection, notes.route)?;
        let warning: Arc<Mutex<Option<String>>> = Arc::default();
        let noted = Arc::clone(&warning);
        let observer = move |event: &Event<'_>| match event {
            Event::Warning { message, .. } => {
                terminal::warn(message);
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.get_or_insert_with(|| (*message).to_owned());
            }
            Event::SchemaChanged { notes, .. } => terminal::message(&schema_note(notes)),
            _ => {}
        };
        let engine = Engine::new(provider)
            .with_observer(Arc::new(observer))
            .with_batch_limit(args.limit.limit());
        Ok(Self {
            engine: emulation::recorded(engine, notes),
            warning,
        })
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns the first warning of planning.
    pub(super) fn told(&self) -> Option<String> {
        let warning = self.warning.lock();
        warning.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Takes the decisions of `run` about a plan, in the order of `run`.
///
/// # Errors
/// The refusals of `run`, with its exit codes.
pub(super) async fn decided(
    session: &Session,
    args: &RunArgs,
    notes: &mut RunSettings,
    examined: &Examined,
    plan: &Plan,
) -> Result<Decision, Failure> {
    check_repairs(&examined.engine, plan, notes.kept.repairs())?;
    let first = first_requests(args, plan.requests());
    let engine = priced(args, examined.engine.clone(), notes, first.is_some())?;
    if first.is_some() {
        // Planning the pilot checks every request.
        engine.check_costs(plan).await?;
    }
    let record = match args.emulate {
        true => state::emulated(&args.state)?,
        false => args.state.clone(),
    };
    let engine = match state::ledger_if_any(session, &record).await? {
        Some(ledger) => state::reading(engine, ledger, &record)?,
        None => engine,
    };
    let found = match known(args, notes, &engine, plan).await? {
        // An emulated run without its emulator is deleted when the next one begins.
        found if args.emulate && is_unfinished(&found) => SameRun::New {
            superseded: Vec::new(),
            duplicate: None,
        },
        found => found,
    };
    match found {
        SameRun::New {
            superseded,
            duplicate,
        } => {
            // The address of a store is not asked: a dry run needs no network.
            if !matches!(Target::of(&notes.output)?, Target::Remote(_)) {
                target::check(&notes.output, args.report.force)?;
            }
            engine.check_costs(plan).await?;
            for run in superseded {
                terminal::message(&format!(
                    "the run {} failed before a batch was created, and would be cancelled",
                    run.id
                ));
            }
            if !args.emulate {
                warn_of_duplicate(&engine, plan, duplicate.as_deref()).await?;
            }
            Ok(Decision::New)
        }
        SameRun::Same(run) => {
            let engine = keeping(notes, engine, &run);
            let is_current = is_current(args, notes, &run, false)?;
            same(&engine, &run, is_current).await
        }
        SameRun::Pilot(run) => {
            let engine = keeping(notes, engine, &run);
            is_current(args, notes, &run, true)?;
            let others = plan.requests().saturating_sub(u64::from(run.requests));
            engine.check_update(&run, plan).await?;
            Ok(Decision::Pilot {
                run: run.id.to_string(),
                others,
            })
        }
        SameRun::Changed { run, .. } => {
            if first.is_some() && run.pilot_of.is_none() {
                return Err(not_a_pilot(&run));
            }
            let engine = keeping(notes, engine, &run);
            deleted_answers::check(&engine, &run).await?;
            is_current(args, notes, &run, true)?;
            let changes = engine.check_update(&run, plan).await?;
            Ok(Decision::Update {
                run: run.id.to_string(),
                changes,
            })
        }
        SameRun::Conflict(conflict) => Err(refusal(args, &engine, plan, conflict).await),
    }
}

/// Returns the decision about a recorded run of the same requests.
async fn same(engine: &Engine, run: &RunRecord, is_current: bool) -> Result<Decision, Failure> {
    let id = run.id.to_string();
    if run.finished {
        if !is_current {
            deleted_answers::check(engine, run).await?;
        }
        return Ok(Decision::Answered { run: id });
    }
    engine.check_resume(run).await?;
    let shards = engine.ledger().shards(&run.id).await?;
    let uncreated = shards.iter().filter(|shard| is_uncreated(shard));
    Ok(Decision::Continued {
        run: id,
        uncreated: uncreated.map(|shard| u64::from(shard.count)).sum(),
    })
}

/// Reports whether the batch of a shard was not asked for yet.
fn is_uncreated(shard: &ShardRecord) -> bool {
    matches!(
        shard.state,
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
    )
}

/// Takes options that the command does not set from a recorded run, as `run` does.
fn keeping(notes: &mut RunSettings, engine: Engine, run: &RunRecord) -> Engine {
    let said = std::mem::take(&mut notes.kept);
    notes.kept = said.or(Kept::read(run));
    notes
        .kept
        .cost()
        .limiting(engine)
        .with_batch_limit(notes.kept.limit().limit())
}

/// Reports whether the output is there as the run has written it, and refuses an output of something else.
fn is_current(
    args: &RunArgs,
    notes: &RunSettings,
    run: &RunRecord,
    will_change: bool,
) -> Result<bool, Failure> {
    if let Target::Remote(_) = Target::of(&notes.output)? {
        return Ok(false);
    }
    let place = run_context::place_of(notes, args.report.force, run, will_change)?;
    Ok(place.is_current)
}

/// Reports whether the recorded run that was found has not ended.
fn is_unfinished(found: &SameRun) -> bool {
    match found {
        SameRun::Same(run) | SameRun::Pilot(run) | SameRun::Changed { run, .. } => !run.finished,
        SameRun::Conflict(
            RunConflict::NameTaken(run)
            | RunConflict::Cancelled(run)
            | RunConflict::OtherAccount { run, .. }
            | RunConflict::OtherRequests { run, .. }
            | RunConflict::ChangedInput(run),
        ) => !run.finished,
        SameRun::New { .. } | SameRun::Conflict(RunConflict::NothingToUpdate) => false,
    }
}
