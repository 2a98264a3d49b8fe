//! State folder: choosing and opening it, and finding runs in its record.

use std::path::PathBuf;
use std::sync::Arc;

use lmbatch::durable::{SqliteLedger, StateFolder};
use lmbatch::engine::FolderSpool;
use lmbatch::record::{Ledger, RunRecord};
use lmbatch::{Engine, ErrorKind};

use super::run_settings::RunSettings;
use super::{offline, warning};
use crate::args::StateArgs;
use crate::cost_args::usual_table;
use crate::exit::{Exit, Failure};
use crate::live::LiveReader;
use crate::session::Session;
use crate::{hints, remote, terminal};

const LEDGER: &str = "ledger.db";

/// Folder, inside a state folder, with the record of emulated runs.
const EMULATED: &str = "emulated";

/// Chosen state folder.
struct Chosen {
    path: PathBuf,
    /// True if the folder was found from the working directory and lacks the mark of `lmbatch init`.
    unmarked: bool,
}

/// Chooses the folder that an argument names, or else the nearest one made by `lmbatch init`, or else the user's.
fn choose(args: &StateArgs) -> Result<Chosen, Failure> {
    let named = args.state_dir.as_ref();
    if let Some(named) = named.filter(|folder| !folder.as_os_str().is_empty()) {
        remote::local("--state-dir", named)?;
        let path = std::path::absolute(named).unwrap_or_else(|_| named.clone());
        return Ok(Chosen {
            path,
            unmarked: false,
        });
    }
    let here = std::env::current_dir().ok();
    if let Some(found) = here.and_then(|here| StateFolder::find(&here)) {
        return Ok(Chosen {
            path: found.path,
            unmarked: !found.marked,
        });
    }
    let path = StateFolder::default_path().map_err(|error| {
        Failure::from(error).hint("name a state folder with --state-dir or LMBATCH_STATE_DIR")
    })?;
    Ok(Chosen {
        path,
        unmarked: false,
    })
}

/// Returns the path of the state folder.
pub(crate) fn folder(args: &StateArgs) -> Result<PathBuf, Failure> {
    choose(args).map(|chosen| chosen.path)
}

/// Returns the arguments for the record of emulated runs, which lies inside that of paid ones.
pub(crate) fn emulated(args: &StateArgs) -> Result<StateArgs, Failure> {
    Ok(StateArgs {
        state_dir: Some(folder(args)?.join(EMULATED)),
    })
}

/// Returns the arguments for the record that knows a run: that of emulated runs if the run is there and not among the
/// paid ones.
pub(crate) async fn holding(
    session: &Session,
    args: &StateArgs,
    wanted: &str,
) -> Result<StateArgs, Failure> {
    let emulated = emulated(args)?;
    if is_new(&emulated)? || knows(session, args, wanted).await? {
        return Ok(args.clone());
    }
    Ok(match knows(session, &emulated, wanted).await? {
        true => emulated,
        false => args.clone(),
    })
}

/// Reports whether a record has a run, or several, with this id, name or beginning of an id.
async fn knows(session: &Session, args: &StateArgs, wanted: &str) -> Result<bool, Failure> {
    let Some(ledger) = ledger_if_any(session, args).await? else {
        return Ok(false);
    };
    if ledger.run(wanted).await?.is_some() || ledger.run_named(wanted).await?.is_some() {
        return Ok(true);
    }
    // An ambiguous beginning is an error, which the command reports.
    Ok(!matches!(ledger.find_run(wanted).await, Ok(None)))
}

/// Opens the folder for writing, and prints its path.
pub(crate) fn open(
    session: &Session,
    args: &StateArgs,
    quiet: bool,
) -> Result<StateFolder, Failure> {
    let chosen = choose(args)?;
    let state = StateFolder::write(&chosen.path)?;
    session.use_folder(&chosen.path);
    if quiet {
        return Ok(state);
    }
    terminal::message(&format!(
        "state: {}",
        terminal::plain(&chosen.path.display().to_string())
    ));
    if chosen.unmarked {
        terminal::message(&format!(
            "note: an earlier version created this state folder, which is used here; {} confirms its use",
            hints::command(["init"])
        ));
    }
    if state.was_readable() {
        terminal::message("note: other users could read it; its mode is 700 now");
    }
    Ok(state)
}

/// Opens the folder for writing, and returns an engine that keeps its record there.
pub(crate) async fn durable(
    session: &Session,
    engine: Engine,
    args: &StateArgs,
    quiet: bool,
) -> Result<(StateFolder, Engine), Failure> {
    let state = open(session, args, quiet)?;
    let ledger = session.opened_for_writing(state.ledger().await?);
    Ok((state.clone(), recording(engine, &state, ledger)))
}

/// Opens the folder for writing even if its record is lost, to rebuild the record of a run.
pub(crate) async fn rebuilding(
    session: &Session,
    engine: Engine,
    args: &StateArgs,
) -> Result<Engine, Failure> {
    let state = open(session, args, false)?;
    let ledger = session.opened(state.rebuilt_ledger().await?);
    Ok(recording(engine, &state, ledger))
}

fn recording(engine: Engine, state: &StateFolder, ledger: Arc<SqliteLedger>) -> Engine {
    engine.with_record(ledger, Arc::new(FolderSpool::new(state.spool())))
}

/// Reports whether the folder has a record.
pub(crate) fn is_there(args: &StateArgs) -> Result<bool, Failure> {
    Ok(folder(args)?.join(LEDGER).exists())
}

/// The runs of a folder.
pub(crate) async fn ledger(
    session: &Session,
    args: &StateArgs,
) -> Result<Arc<dyn Ledger>, Failure> {
    match ledger_if_any(session, args).await? {
        Some(ledger) => Ok(ledger),
        None => Err(Failure::usage(no_runs(args)?)),
    }
}

/// Returns the message of a command in a folder without runs.
pub(crate) fn no_runs(args: &StateArgs) -> Result<String, Failure> {
    Ok(format!("no runs yet in {}", folder(args)?.display()))
}

/// Reports whether a folder has neither a record nor remains of one.
pub(crate) fn is_new(args: &StateArgs) -> Result<bool, Failure> {
    let spooled = std::fs::read_dir(folder(args)?.join("spool"));
    let is_empty = spooled.map_or(true, |mut files| files.next().is_none());
    Ok(is_empty && !is_there(args)?)
}

/// The runs of a folder, if it has a record.
pub(crate) async fn ledger_if_any(
    session: &Session,
    args: &StateArgs,
) -> Result<Option<Arc<SqliteLedger>>, Failure> {
    if is_new(args)? {
        return Ok(None);
    }
    let state = StateFolder::read(folder(args)?)?;
    Ok(Some(session.opened(state.ledger().await?)))
}

/// Returns a reader of the progress of runs.
pub(crate) async fn live(session: &Session, args: &StateArgs) -> Result<LiveReader, Failure> {
    match live_if_any(session, args).await? {
        Some(reader) => Ok(reader),
        None => Err(Failure::usage(no_runs(args)?)),
    }
}

/// Returns a reader of the progress of runs, if the folder has a record.
pub(crate) async fn live_if_any(
    session: &Session,
    args: &StateArgs,
) -> Result<Option<LiveReader>, Failure> {
    let ledger = ledger_if_any(session, args).await?;
    Ok(match ledger {
        Some(ledger) => Some(LiveReader::new(ledger, StateFolder::read(folder(args)?)?)),
        None => None,
    })
}

/// Returns an engine that reads the record while another process may advance its runs.
pub(crate) fn reading(
    engine: Engine,
    ledger: Arc<dyn Ledger>,
    args: &StateArgs,
) -> Result<Engine, Failure> {
    let spool = FolderSpool::new(folder(args)?.join("spool"));
    Ok(engine.with_record(ledger, Arc::new(spool)))
}

/// Returns the run with an id, a name, or a unique beginning of an id.
pub(crate) async fn find(ledger: &dyn Ledger, wanted: &str) -> Result<RunRecord, Failure> {
    if let Some(run) = ledger.run(wanted).await? {
        return Ok(run);
    }
    if let Some(run) = ledger.run_named(wanted).await? {
        return Ok(run);
    }
    let found = ledger.find_run(wanted).await.map_err(|error| {
        let is_ambiguous = error.kind() == ErrorKind::InvalidInput;
        let mut failure = Failure::from(error);
        if is_ambiguous {
            failure.exit = Exit::Usage;
        }
        failure
    })?;
    found.ok_or_else(|| {
        Failure::usage(format!("there is no run {wanted:?}"))
            .hint(format!("{} lists them", hints::on_runs(["runs"])))
    })
}

/// Returns the recorded state of a run, without contacting the provider or claiming the run.
pub(crate) async fn recorded(
    session: &Session,
    wanted: &str,
    args: &StateArgs,
) -> Result<(RunRecord, RunSettings, Engine), Failure> {
    let ledger = ledger(session, args).await?;
    let run = find(&*ledger, wanted).await?;
    let notes = RunSettings::read(&run)?;
    let provider = offline(notes.provider, &notes.connection, notes.route)?;
    let engine = warning(Engine::new(provider)).with_prices(Arc::new(usual_table(session)?));
    Ok((run, notes, reading(engine, ledger, args)?))
}
