//! Updates: a recorded run is brought up to date with a changed input.

use lmbatch::engine::{Plan, RunOptions};
use lmbatch::record::RunRecord;
use lmbatch::{Changes, Engine};

use super::run_context::{self, RunContext};
use super::{continuing, deleted_answers};
use crate::exit::{Exit, Failure};
use crate::sink::Place;
use crate::{format, terminal, written};

/// Brings a run up to date with its input: only what is new or changed is sent.
pub(super) async fn update(
    mut context: RunContext,
    engine: &Engine,
    run: &RunRecord,
    plan: Plan,
    options: RunOptions,
) -> Result<Exit, Failure> {
    let is_pilot = run.pilot_of.is_some();
    let updated = updated(&mut context, engine, run, &plan, options).await;
    plan.discard();
    let (engine, run, changes, place) = match updated? {
        Ok(updated) => updated,
        Err(exit) => return Ok(exit),
    };
    let mut notes = context.notes.write();
    written::carry(&run, &mut notes);
    let run = engine.annotate(&run, notes).await?;
    let changes = format::changes(&changes);
    terminal::message(&match is_pilot {
        true => format!(
            "after the pilot: {changes}; outcomes of unchanged requests are kept, and attempts are counted for the whole run"
        ),
        false => changes,
    });
    continuing::again_at(context, &engine, &run, options, place).await
}

/// Claims a run and brings its record up to date with a plan. Returns the exit code if the command is stopped
/// meanwhile.
async fn updated(
    context: &mut RunContext,
    engine: &Engine,
    run: &RunRecord,
    plan: &Plan,
    options: RunOptions,
) -> Result<Result<(Engine, RunRecord, Changes, Place), Exit>, Failure> {
    let (engine, run) = match continuing::claimed(context, engine, &run.id, options).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(Err(exit)),
    };
    deleted_answers::check(&engine, &run).await?;
    let place = run_context::place(context, &run, true)?;
    let (run, changes) = engine.update(&run, plan).await?;
    Ok(Ok((engine, run, changes, place)))
}
