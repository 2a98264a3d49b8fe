//! Settings of the command that started a run, stored in the run's record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use lmbatch::engine::{INPUT_FILE, REQUEST_SETTINGS};
use lmbatch::record::RunRecord;
use lmbatch_lines::{LineOrigin, ProviderLines};

use super::kept::Kept;
use crate::args::{ConnectionArgs, SettingsArgs};
use crate::exit::Failure;
use crate::model;
use crate::output_format::Rows;
use crate::providers::{Provider, Route};
use crate::remote::url;
use crate::rendering::OutcomeForm;
use crate::stored;
use crate::typed_columns::TypedColumns;

/// Returns an absolute path, which is valid in any folder; `-` and URLs stay unchanged.
pub(crate) fn absolute_path(path: &Path) -> String {
    if path == Path::new("-") || url(path).is_some() {
        return path.display().to_string();
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}

/// Returns the canonical path of an input file, which is the same through links and from any folder; `None` for
/// standard input.
fn canonical_path(input: &Path) -> Option<String> {
    let found = (input != Path::new("-")).then(|| std::fs::canonicalize(input))?;
    found.ok().map(|path| path.display().to_string())
}

/// Displayed facts of a run, which are available even if the program does not know its provider.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) provider: String,
    /// True if the program knows the provider.
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

    /// Returns `PROVIDER/MODEL`, with a remark if the program does not know the provider.
    pub(crate) fn model_in_full(&self) -> String {
        match self.is_known {
            true => format!("{}/{}", self.provider, self.model),
            false => format!("{}/{} (unknown provider)", self.provider, self.model),
        }
    }
}

/// Settings of the command that started a run, stored in the notes of its record.
#[derive(Debug, Clone)]
pub(crate) struct RunSettings {
    pub(crate) provider: &'static Provider,
    pub(crate) model: String,
    pub(crate) route: Route,
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    /// Settings that apply to every request; an update with a changed input needs them.
    pub(crate) settings: Option<SettingsArgs>,
    /// Columns that the metadata of each request holds, in order.
    pub(crate) keep: TypedColumns,
    pub(crate) raw: bool,
    /// Rows of the output.
    pub(crate) format: Rows,
    /// Top-level properties of the schema of the whole run, which are columns of a table.
    pub(crate) properties: Vec<String>,
    /// True if an emulator on this machine answers.
    pub(crate) emulated: bool,
    pub(crate) connection: ConnectionArgs,
    /// Options that are stored with the run.
    pub(crate) kept: Kept,
}

impl RunSettings {
    /// Returns the form of the outcomes in the run's output.
    pub(crate) fn form(&self) -> OutcomeForm {
        if let Some(format) = self.format.of_provider() {
            return OutcomeForm::Provider(ProviderLines::new(format, &*self.model));
        }
        let table = self
            .format
            .table(&self.keep.names, &self.properties, self.emulated);
        match table {
            Some(table) => OutcomeForm::Table(Box::new(self.keep.typed(table))),
            None => OutcomeForm::Lines(LineOrigin {
                provider: self.provider.id().to_owned(),
                emulated: self.emulated,
                raw: self.raw,
            }),
        }
    }

    pub(crate) fn write(&self) -> BTreeMap<Box<str>, Box<str>> {
        let mut notes = BTreeMap::new();
        let (input, output) = (absolute_path(&self.input), absolute_path(&self.output));
        let input_file = canonical_path(&self.input);
        let settings = self.settings.as_ref();
        let settings = settings.and_then(stored::written);
        let of_requests = self.settings.as_ref().map(SettingsArgs::of_requests);
        let of_requests = of_requests.and_then(|settings| stored::written(&settings));
        let properties = Some(&self.properties).filter(|names| !names.is_empty());
        let properties = properties.and_then(|names| serde_json::to_string(names).ok());
        for (name, value) in [
            ("provider", Some(self.provider.id())),
            ("model", Some(self.model.as_str())),
            ("route", Some(self.route)),
            ("input", Some(input.as_str())),
            (INPUT_FILE, input_file.as_deref()),
            ("output", Some(output.as_str())),
            ("settings", settings.as_deref()),
            (REQUEST_SETTINGS, of_requests.as_deref()),
            ("raw", self.raw.then_some("yes")),
            ("format", Some(self.format.as_str())),
            ("properties", properties.as_deref()),
            ("emulated", self.emulated.then_some("yes")),
            ("base_url", self.connection.base_url.as_deref()),
            ("key_env", self.connection.key_env.as_deref()),
        ] {
            if let Some(value) = value {
                notes.insert(name.into(), value.into());
            }
        }
        for (name, value) in self.keep.notes() {
            notes.insert(name.into(), value.into());
        }
        self.kept.write(&mut notes);
        notes
    }

    /// Reads the notes of a run.
    ///
    /// # Errors
    /// Usage, if the program does not know the run's provider or its route.
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
            settings: note("settings").and_then(|text| stored::read(&text)),
            keep: TypedColumns::read(run),
            raw: note("raw").is_some(),
            format: note("format")
                .and_then(|name| Rows::from_str(&name, false).ok())
                .unwrap_or_default(),
            properties: note("properties")
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            emulated: note("emulated").is_some(),
            connection: ConnectionArgs {
                base_url: note("base_url"),
                key_env: note("key_env"),
            },
            kept: Kept::read(run),
        })
    }
}
