//! The folder of runs, and what the command keeps of a run in its record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lmbatch_core::{ErrorKind, Ledger, RunRecord};
use lmbatch_engine::{Engine, FolderSpool};
use lmbatch_ledger::{SqliteLedger, StateFolder};

use super::{offline, warning};
use crate::args::{ConnectionArgs, SettingsArgs, StateArgs};
use crate::exit::{Exit, Failure};
use crate::providers::{Provider, Route};
use crate::{model, next, terminal};

const LEDGER: &str = "ledger.db";

/// Longest wait for the record to be closed when the command ends.
const CLOSING: Duration = Duration::from_secs(5);

/// Ledgers that this command has opened, to be closed when it ends.
static OPENED: Mutex<Vec<SqliteLedger>> = Mutex::new(Vec::new());

/// The state folder that this command writes to.
static USED: OnceLock<PathBuf> = OnceLock::new();

/// A state folder, and how it was chosen.
struct Chosen {
    path: PathBuf,
    /// Found from the working directory, without the mark of `lmbatch init`.
    unmarked: bool,
}

/// Chooses the folder that was named, or else the nearest that `lmbatch init` made, or else the user's.
fn choose(args: &StateArgs) -> Result<Chosen, Failure> {
    let named = args.state_dir.as_ref();
    if let Some(named) = named.filter(|folder| !folder.as_os_str().is_empty()) {
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

/// Opens the folder to write, and says which it is.
pub(crate) fn open(args: &StateArgs, quiet: bool) -> Result<StateFolder, Failure> {
    let chosen = choose(args)?;
    let state = StateFolder::write(&chosen.path)?;
    USED.get_or_init(|| chosen.path.clone());
    if quiet {
        return Ok(state);
    }
    terminal::say(&format!(
        "state: {}",
        terminal::plain(&chosen.path.display().to_string())
    ));
    if chosen.unmarked {
        terminal::say(&format!(
            "note: it was made by an earlier version and is used from here; {} marks it as meant",
            next::command(["init"])
        ));
    }
    if state.was_readable() {
        terminal::say("note: other users could read it; its mode is 700 now");
    }
    Ok(state)
}

/// Returns the state folder that this command writes to, once it has opened one.
pub(crate) fn used() -> Option<&'static Path> {
    USED.get().map(PathBuf::as_path)
}

/// Notes a ledger, so that it is closed when the command ends. Says where opening it has changed its file, as
/// any command does, also one that only lists.
pub(crate) fn opened(ledger: SqliteLedger) -> Arc<SqliteLedger> {
    if ledger.was_upgraded() {
        terminal::say(
            "note: the record was one of an earlier version and is upgraded now; that version cannot use it any more",
        );
    }
    let mut all = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    all.push(ledger.clone());
    Arc::new(ledger)
}

/// Closes what the command has opened: the record is a file that is complete on its own then.
pub(crate) async fn close() {
    let all = std::mem::take(&mut *OPENED.lock().unwrap_or_else(PoisonError::into_inner));
    let closing = async {
        for ledger in all {
            // What was noted is on the disk already.
            let _ = ledger.close().await;
        }
    };
    let clock = super::clock();
    tokio::select! {
        () = closing => {}
        () = clock.sleep(CLOSING) => {}
    }
}

/// Opens the folder to write, with an engine that keeps its record there.
pub(crate) async fn durable(
    engine: Engine,
    args: &StateArgs,
    quiet: bool,
) -> Result<(StateFolder, Engine), Failure> {
    let state = open(args, quiet)?;
    let ledger = opened(state.ledger().await?);
    Ok((state.clone(), recording(engine, &state, ledger)))
}

/// Opens the folder to write, even one whose record is gone: for a run whose record is rebuilt.
pub(crate) async fn rebuilding(engine: Engine, args: &StateArgs) -> Result<Engine, Failure> {
    let state = open(args, false)?;
    let ledger = opened(state.rebuilt_ledger().await?);
    Ok(recording(engine, &state, ledger))
}

fn recording(engine: Engine, state: &StateFolder, ledger: Arc<SqliteLedger>) -> Engine {
    engine.with_record(ledger, Arc::new(FolderSpool::new(state.spool())))
}

/// Makes a state folder in a folder, for what is run there and below.
pub(crate) async fn init(folder: Option<PathBuf>) -> Result<Exit, Failure> {
    let parent = folder.unwrap_or_else(|| PathBuf::from("."));
    let parent = std::path::absolute(&parent).unwrap_or(parent);
    let state = StateFolder::init(&parent)?;
    opened(state.ledger().await?);
    terminal::out(&state.path().display().to_string());
    if state.was_readable() {
        terminal::say("note: other users could read it; its mode is 700 now");
    }
    Ok(Exit::Usable)
}

/// Whether the folder has a record.
pub(crate) fn is_there(args: &StateArgs) -> Result<bool, Failure> {
    Ok(folder(args)?.join(LEDGER).exists())
}

/// The runs of a folder.
pub(crate) async fn ledger(args: &StateArgs) -> Result<Arc<dyn Ledger>, Failure> {
    match ledger_if_any(args).await? {
        Some(ledger) => Ok(ledger),
        None => Err(Failure::usage(no_runs(args)?)),
    }
}

/// The answer of a command in a folder without runs.
pub(crate) fn no_runs(args: &StateArgs) -> Result<String, Failure> {
    Ok(format!("no runs yet in {}", folder(args)?.display()))
}

/// Reports whether a folder has neither a record nor what is left of one.
pub(crate) fn is_new(args: &StateArgs) -> Result<bool, Failure> {
    let spooled = std::fs::read_dir(folder(args)?.join("spool"));
    let is_empty = spooled.map_or(true, |mut files| files.next().is_none());
    Ok(is_empty && !is_there(args)?)
}

/// The runs of a folder, if it has a record.
pub(crate) async fn ledger_if_any(args: &StateArgs) -> Result<Option<Arc<SqliteLedger>>, Failure> {
    if is_new(args)? {
        return Ok(None);
    }
    let state = StateFolder::read(folder(args)?)?;
    Ok(Some(opened(state.ledger().await?)))
}

/// An engine that reads what is recorded, beside a process that may go on with it.
pub(crate) fn reading(
    engine: Engine,
    ledger: Arc<dyn Ledger>,
    args: &StateArgs,
) -> Result<Engine, Failure> {
    let spool = FolderSpool::new(folder(args)?.join("spool"));
    Ok(engine.with_record(ledger, Arc::new(spool)))
}

/// Returns the run of an id, of a name, or of the beginning of an id that no other run has.
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
        Failure::usage(format!("there is no run {wanted:?}")).hint(format!(
            "{} lists them; a batch is named with its provider: -p PROVIDER",
            next::on_runs(["runs"])
        ))
    })
}

/// A run with what is recorded of it: nobody is asked, and nothing is held up.
pub(crate) async fn recorded(
    wanted: &str,
    args: &StateArgs,
) -> Result<(RunRecord, Notes, Engine), Failure> {
    let ledger = ledger(args).await?;
    let run = find(&*ledger, wanted).await?;
    let notes = Notes::read(&run)?;
    let provider = offline(notes.provider, &notes.connection, notes.route)?;
    let engine = warning(Engine::new(provider));
    Ok((run, notes, reading(engine, ledger, args)?))
}

/// A path that means the same from any folder; `-` is no file.
pub(crate) fn whole(path: &Path) -> String {
    if path == Path::new("-") {
        return "-".to_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}

/// What is shown of a run, whether or not the program knows its provider.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) provider: String,
    /// Whether the program knows the provider.
    pub(crate) is_known: bool,
    pub(crate) model: String,
    pub(crate) output: PathBuf,
}

impl Shown {
    pub(crate) fn of(run: &RunRecord) -> Self {
        let note = |name: &str| run.notes.get(name).map(ToString::to_string);
        let provider = run.provider.as_str();
        Self {
            provider: provider.to_owned(),
            is_known: model::find(provider).is_ok(),
            model: note("model").unwrap_or_default(),
            output: note("output").unwrap_or_else(|| "-".to_owned()).into(),
        }
    }

    /// The model in full, with a mark where the program does not know its provider.
    pub(crate) fn model_in_full(&self) -> String {
        match self.is_known {
            true => format!("{}/{}", self.provider, self.model),
            false => format!("{}/{} (unknown provider)", self.provider, self.model),
        }
    }
}

/// What a run's record says of the command that began it.
#[derive(Debug, Clone)]
pub(crate) struct Notes {
    pub(crate) provider: &'static Provider,
    pub(crate) model: String,
    pub(crate) route: Route,
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// What every request has in common: with another input it can be sent again.
    pub(crate) settings: Option<SettingsArgs>,
    pub(crate) raw: bool,
    pub(crate) connection: ConnectionArgs,
}

impl Notes {
    pub(crate) fn write(&self) -> BTreeMap<Box<str>, Box<str>> {
        let mut notes = BTreeMap::new();
        let (input, output) = (whole(&self.input), whole(&self.output));
        let settings = self.settings.as_ref();
        let settings = settings.and_then(|settings| serde_json::to_string(settings).ok());
        for (name, value) in [
            ("provider", Some(self.provider.id())),
            ("model", Some(self.model.as_str())),
            ("route", Some(self.route)),
            ("input", Some(input.as_str())),
            ("output", Some(output.as_str())),
            ("settings", settings.as_deref()),
            ("raw", self.raw.then_some("yes")),
            ("base_url", self.connection.base_url.as_deref()),
            ("key_env", self.connection.key_env.as_deref()),
        ] {
            if let Some(value) = value {
                notes.insert(name.into(), value.into());
            }
        }
        notes
    }

    /// Reads the notes of a run.
    ///
    /// # Errors
    /// Usage, where the program does not know the run's provider or its route.
    pub(crate) fn read(run: &RunRecord) -> Result<Self, Failure> {
        let note = |name: &str| run.notes.get(name).map(ToString::to_string);
        let provider = model::find(run.provider.as_str()).map_err(|failure| {
            let hint = "continue it with the program that began it";
            Failure {
                message: format!("run {}: {}", run.id, failure.message),
                ..failure
            }
            .of_run(&run.id)
            .hint(hint)
        })?;
        Ok(Self {
            provider,
            model: note("model").unwrap_or_default(),
            route: model::route(provider, note("route").as_deref())?,
            input: note("input").unwrap_or_else(|| "-".to_owned()).into(),
            output: note("output").unwrap_or_else(|| "-".to_owned()).into(),
            settings: note("settings").and_then(|text| serde_json::from_str(&text).ok()),
            raw: note("raw").is_some(),
            connection: ConnectionArgs {
                base_url: note("base_url"),
                key_env: note("key_env"),
            },
        })
    }
}
