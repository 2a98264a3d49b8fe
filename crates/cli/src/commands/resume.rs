//! `lmbatch resume`: continues one unfinished run.

use std::sync::Arc;

use lmbatch::record::{Ledger as _, RunFilter, RunRecord};

use super::continuing::{again, open, options};
use super::run_context::Patience;
use super::{state, waiting};
use crate::args::ResumeArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{emulation, hints};

pub(crate) async fn resume(session: &Arc<Session>, mut args: ResumeArgs) -> Result<Exit, Failure> {
    if let Some(run) = &args.run {
        args.options.state = state::holding(session, &args.options.state, run).await?;
    }
    match chosen(session, &args).await? {
        Some(run) => Box::pin(one(session, &args, &run)).await,
        None => Ok(Exit::Usable),
    }
}

async fn one(session: &Arc<Session>, args: &ResumeArgs, run: &RunRecord) -> Result<Exit, Failure> {
    emulation::refuse_unfinished(run)?;
    let (mut context, engine, _state) = open(session, run, &args.options).await?;
    if args.once {
        context.patience = Patience::Once;
    }
    let options = options(&args.options, &context.notes.kept, args.once);
    Box::pin(again(context, &engine, run, options)).await
}

/// Returns the run to resume; `None` with `--once` if every run has ended.
async fn chosen(session: &Session, args: &ResumeArgs) -> Result<Option<RunRecord>, Failure> {
    let ledger = state::ledger_if_any(session, &args.options.state).await?;
    let Some(ledger) = ledger else {
        // A scheduler may call the command before the first run exists.
        return match args.run.is_none() && args.once {
            true => {
                waiting::tell_none();
                Ok(None)
            }
            false => Err(Failure::usage(state::no_runs(&args.options.state)?)),
        };
    };
    if let Some(wanted) = &args.run {
        return state::find(&*ledger, wanted).await.map(Some);
    }
    let unfinished = RunFilter {
        unfinished: true,
        ..RunFilter::default()
    };
    let mut open = ledger.all_runs(unfinished).await?;
    let listed = || format!("{} lists them", hints::on_runs(["runs"]));
    match open.len() {
        0 if args.once => {
            waiting::tell(&ledger).await?;
            Ok(None)
        }
        0 => Err(waiting::failure(&ledger).await?),
        1 => Ok(open.pop()),
        several => Err(Failure::usage(format!(
            "{several} runs have not ended; name one, or resume them with --all"
        ))
        .hint(listed())),
    }
}
