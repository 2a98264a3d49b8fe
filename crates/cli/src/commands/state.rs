//! The folder of runs, and what the command keeps of a run in its record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmbatch_core::{Ledger, RunRecord};
use lmbatch_engine::{Engine, FolderSpool};
use lmbatch_ledger::StateFolder;

use super::offline;
use crate::args::{ConnectionArgs, SettingsArgs, StateArgs};
use crate::exit::Failure;
use crate::providers::{self, Provider, Route};
use crate::{model, next};

const NAME: &str = ".lmbatch";
const LEDGER: &str = "ledger.db";

/// The folder that was named, or the nearest that is there, or the one to be made here.
pub(crate) fn folder(args: &StateArgs) -> PathBuf {
    if let Some(folder) = &args.state_dir {
        return folder.clone();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(NAME));
    let mut found = found.filter(|folder| folder.is_dir());
    found.next().unwrap_or_else(|| here.join(NAME))
}

/// The folder to write to, with an engine that keeps its record there.
pub(crate) async fn durable(
    engine: Engine,
    args: &StateArgs,
) -> Result<(StateFolder, Engine), Failure> {
    let state = StateFolder::write(folder(args))?;
    let ledger = Arc::new(state.ledger().await?);
    let spool = Arc::new(FolderSpool::new(state.spool()));
    let engine = engine.with_record(ledger, spool);
    Ok((state, engine))
}

/// Whether the folder has runs.
pub(crate) fn is_there(args: &StateArgs) -> bool {
    folder(args).join(LEDGER).exists()
}

/// The runs of a folder that may not be there yet.
pub(crate) async fn ledger(args: &StateArgs) -> Result<Arc<dyn Ledger>, Failure> {
    let folder = folder(args);
    if !is_there(args) {
        return Err(Failure::usage(format!(
            "there are no runs in {}",
            folder.display()
        )));
    }
    Ok(Arc::new(StateFolder::read(folder).ledger().await?))
}

/// An engine that reads what is recorded, beside a process that may go on with it.
pub(crate) fn reading(engine: Engine, ledger: Arc<dyn Ledger>, args: &StateArgs) -> Engine {
    let spool = FolderSpool::new(StateFolder::read(folder(args)).spool());
    engine.with_record(ledger, Arc::new(spool))
}

/// The run of an id or a name.
pub(crate) async fn find(ledger: &dyn Ledger, wanted: &str) -> Result<RunRecord, Failure> {
    let mut runs = ledger.runs().await?.into_iter();
    let found = runs.find(|run| &*run.id == wanted || run.name.as_deref() == Some(wanted));
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
    let engine = Engine::new(offline(notes.provider, &notes.connection, notes.route)?);
    Ok((run, notes, reading(engine, ledger, args)))
}

/// A path that means the same from any folder; `-` is no file.
pub(crate) fn whole(path: &Path) -> String {
    if path == Path::new("-") {
        return "-".to_owned();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
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

    pub(crate) fn read(run: &RunRecord) -> Result<Self, Failure> {
        let note = |name: &str| run.notes.get(name).map(ToString::to_string);
        let provider = model::find(run.provider.as_str())?;
        Ok(Self {
            provider,
            model: note("model").unwrap_or_default(),
            route: providers::route(provider, note("route").as_deref())?,
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
