//! Configuration file `lmbatch.toml`: defaults of options. An option on the command line takes precedence, and then the
//! environment.
//!
//! Two files are read: the nearest one of the working directory and the folders above it, and the user's own. Where
//! both set a key the nearest one counts, unless that is less careful; see [`keys`]. `LMBATCH_CONFIG` names one file in
//! place of both.

mod find;
mod keys;
mod read;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use lmbatch::durable::StateFolder;

use self::find::{Origin, Places};
use self::keys::KEYS;
use self::read::Setting;
use crate::exit::Failure;
use crate::{terminal, text_file};

/// Id of the option that names the model.
const MODEL: &str = "model";

/// Settings of the configuration files.
#[derive(Debug, Default)]
pub(crate) struct Config {
    settings: Vec<Setting>,
    /// Values that do not count, one line each.
    notes: Vec<String>,
    /// Working directory, for the names of files in messages.
    here: Option<PathBuf>,
}

/// Reads the configuration of this process.
///
/// # Errors
/// Usage, with the file and the line that is wrong.
pub(crate) fn load() -> Result<Config, Failure> {
    Config::of(&Places::of_process())
}

impl Config {
    fn of(places: &Places) -> Result<Self, Failure> {
        let (mut found, mut own) = (Vec::new(), Vec::new());
        for (path, origin) in places.files()? {
            let settings = read::read(&path, &text(&path)?, origin)?;
            match origin {
                Origin::Found => found = settings,
                Origin::Own | Origin::Named => own = settings,
            }
        }
        let mut config = Self {
            here: places.here.clone(),
            ..Self::default()
        };
        for key in &KEYS {
            let take = |from: &mut Vec<Setting>| {
                let at = from.iter().position(|one| one.key.name == key.name);
                at.map(|at| from.swap_remove(at))
            };
            config.add(take(&mut found), take(&mut own));
        }
        config.leave_out_state(places.here.as_deref());
        Ok(config)
    }

    /// Adds a key that one file or both set.
    fn add(&mut self, found: Option<Setting>, own: Option<Setting>) {
        let Some(new) = found else {
            self.settings.extend(own);
            return;
        };
        let rule = new.key.rule;
        let bound = own.as_ref().map(|own| &*own.value);
        let bound = bound.or(rule.built_in().map(OsStr::new));
        let bound = bound.map(OsStr::to_string_lossy);
        let value = new.value.to_string_lossy();
        match bound {
            Some(bound) if rule.is_less_careful(&value, &bound) => {
                self.notes.push(format!(
                    "{} = {value} of {} is not used: {bound} is stricter and is used instead",
                    new.key.name,
                    self.shown(&new.file)
                ));
                self.settings.extend(own);
            }
            _ => self.settings.push(new),
        }
    }

    /// Leaves out the state folder of the user's own file where the working directory has one of its own.
    fn leave_out_state(&mut self, here: Option<&Path>) {
        let is_own = |one: &Setting| one.key.options == ["state_dir"] && one.origin == Origin::Own;
        if self.settings.iter().any(is_own) && here.and_then(StateFolder::find).is_some() {
            self.settings.retain(|one| !is_own(one));
        }
    }

    /// Returns the command with the settings as defaults of its options. Without a readable file, no command requires a
    /// model, so that the file is reported first.
    pub(crate) fn give_defaults(&self, mut command: Command, is_unread: bool) -> Command {
        let names = command
            .get_subcommands()
            .map(|sub| sub.get_name().to_owned());
        for name in names.collect::<Vec<_>>() {
            command = command.mut_subcommand(&name, |mut sub| {
                for one in &self.settings {
                    for option in of_command(&sub, one) {
                        sub = sub.mut_arg(option, |arg| {
                            arg.required(false).default_value(one.value.clone())
                        });
                    }
                }
                if is_unread && has_option(&sub, MODEL) {
                    sub = sub.mut_arg(MODEL, |arg| arg.required(false));
                }
                sub
            });
        }
        command
    }

    /// Prints the settings that a command takes from a file, if it sends requests or estimates them.
    pub(crate) fn announce(&self, matches: &ArgMatches) {
        for line in self.lines(matches) {
            terminal::message(&terminal::plain(&line));
        }
    }

    fn lines(&self, matches: &ArgMatches) -> Vec<String> {
        let Some((name, matches)) = matches.subcommand() else {
            return Vec::new();
        };
        if !matches!(name, "run" | "create" | "adopt" | "validate" | "estimate") {
            return Vec::new();
        }
        let is_used = |one: &&Setting| {
            let is_meant = one.key.commands.is_empty() || one.key.commands.contains(&name);
            // The state folder has a line of its own.
            let mut options = one.key.options.iter().filter(|id| **id != "state_dir");
            is_meant && options.any(|id| is_default(matches, id))
        };
        let used = self.settings.iter().filter(is_used).map(|one| {
            let value = one.value.to_string_lossy();
            format!("{}: {value} ({})", one.key.name, self.shown(&one.file))
        });
        let notes = self.notes.iter().map(|note| format!("note: {note}"));
        used.chain(notes.filter(|_| name == "run")).collect()
    }

    /// Returns the table of prices that the user's own file names.
    pub(crate) fn prices(&self) -> Option<PathBuf> {
        let mut settings = self.settings.iter();
        let prices = settings.find(|one| one.key.options == ["prices"]);
        prices.map(|one| PathBuf::from(&one.value))
    }

    /// Shortens the path of a file in the working directory.
    fn shown(&self, file: &str) -> String {
        let here = self.here.as_deref();
        let short = here.and_then(|here| Path::new(file).strip_prefix(here).ok());
        short.map_or_else(|| file.to_owned(), |short| short.display().to_string())
    }
}

/// Returns the text of a file.
///
/// # Errors
/// Usage, with the file, and with the line that is no text.
fn text(path: &Path) -> Result<String, Failure> {
    let another = || {
        let variable = find::VARIABLE;
        format!("{variable}=FILE names another file; without a value it reads none")
    };
    let shown = path.display();
    let no_text = |line: usize, why: &str| {
        Failure::usage(format!("{shown}, line {line}: {why}"))
            .hint(format!("save the file as text in UTF-8; {}", another()))
    };
    let bytes = fs::read(path).map_err(|error| {
        Failure::usage(format!("{shown} cannot be read: {error}")).hint(another())
    })?;
    let text = text_file::text(bytes);
    let text = text.map_err(|wrong| no_text(wrong.line, "the text is not UTF-8"))?;
    match text.find('\0') {
        Some(at) => Err(no_text(
            text_file::line_of(text.as_bytes(), at),
            "the text holds a NUL byte",
        )),
        None => Ok(text),
    }
}

/// Returns the options of a command whose default a setting is.
fn of_command(command: &Command, one: &Setting) -> Vec<&'static str> {
    let is_meant = one.key.commands.is_empty() || one.key.commands.contains(&command.get_name());
    let options = one.key.options.iter().copied();
    options
        .filter(|option| is_meant && has_option(command, option))
        .collect()
}

fn has_option(command: &Command, id: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_id() == id)
}

/// Returns whether an option has its default: neither an argument nor the environment sets it.
fn is_default(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok()
        && matches.value_source(id) == Some(ValueSource::DefaultValue)
}

/// Returns whether a command has options that a file may set.
pub(crate) fn is_read_by(matches: &ArgMatches) -> bool {
    let Some((_, matches)) = matches.subcommand() else {
        return false;
    };
    let mut options = KEYS.iter().flat_map(|key| key.options);
    options.any(|id| matches.try_contains_id(id).is_ok())
}

/// Adds the second way to name a model to the error of a command that has none.
pub(crate) fn explained(mut error: clap::Error) -> clap::Error {
    let is_about_model = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(missing)) => {
            missing.iter().any(|one| one.starts_with("--model"))
        }
        _ => false,
    };
    if error.kind() == ErrorKind::MissingRequiredArgument && is_about_model {
        let tip = "name a model with -m, or as model = \"PROVIDER/MODEL\" in lmbatch.toml";
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

#[cfg(test)]
mod tests;
