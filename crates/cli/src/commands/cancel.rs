//! `lmbatch cancel`: cancels one batch by its id, or every batch of a run.

use lmbatch::{Engine, ErrorKind};

use super::batch::{NamedBatch, named};
use super::run_settings::RunSettings;
use super::{connect_to, retrieve_command, state, warning};
use crate::args::{BatchArgs, CancelArgs};
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{emulation, format, hints, terminal};

pub(crate) async fn cancel(session: &Session, args: CancelArgs) -> Result<Exit, Failure> {
    if args.provider.is_none() && args.handle.is_none() {
        return of_run(session, &args).await;
    }
    let args = BatchArgs {
        batch: args.batch,
        provider: args.provider,
        handle: args.handle,
        connection: args.connection,
    };
    let NamedBatch {
        provider,
        engine,
        batch,
        ..
    } = named(session, &args)?;
    engine.cancel(&batch).await?;
    let status = engine.status(&batch).await?.status;
    terminal::message(&format!("batch {batch} at {} is {status}", provider.id()));
    if !status.is_terminal() {
        terminal::message("requests that are answered by then are billed; when it has ended:");
        let command = retrieve_command(&batch, provider, &args.connection, None);
        terminal::message(&format!("  {command}"));
    }
    Ok(Exit::Usable)
}

/// Cancels every batch of a run.
async fn of_run(session: &Session, args: &CancelArgs) -> Result<Exit, Failure> {
    let wanted = args.batch.as_deref().unwrap_or_default();
    let state = state::holding(session, &args.state, wanted).await?;
    let ledger = state::ledger(session, &state).await?;
    let run = state::find(&*ledger, wanted).await?;
    if run.finished {
        terminal::message(&match run.pilot_of {
            Some(_) => format!(
                "the pilot of run {} has ended; nothing else is sent unless a command asks for it",
                run.id
            ),
            None => format!("run {} has ended", run.id),
        });
        return Ok(Exit::Usable);
    }
    let notes = RunSettings::read(&run)?;
    let engine = emulation::recorded(warning(Engine::new(connect_to(&notes)?)), &notes);
    // A process that advances the run may keep running: it reads the cancellation from the record.
    let engine = state::reading(engine, ledger, &state)?;
    let count = engine.cancel_run(&run).await?;
    let batches = format::count(count, "batch is being", "batches are being");
    terminal::message(&match count {
        0 => "no batch was cancelled: none in progress is certain to belong to the run".to_owned(),
        _ => format!("{batches} cancelled; requests answered by then are billed"),
    });
    match engine.claim(&run.id).await {
        Ok(_) => {
            let command = hints::on_runs(["resume", &run.id]);
            terminal::message(&format!("to download completed results:\n  {command}"));
        }
        Err(error) if error.kind() == ErrorKind::Conflict => {
            terminal::message("the process that waits for the run downloads completed results");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Usable)
}
