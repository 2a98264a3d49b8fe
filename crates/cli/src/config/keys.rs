//! Keys of `lmbatch.toml`: the options whose defaults they set, their values, and the limits on a file that is found
//! from the working directory.
//!
//! Such a file may have come with a cloned repository. It cannot say where an API key comes from or goes to, run a
//! command, raise a limit of cost, hide a cost, or delete answers earlier.

use std::ffi::OsString;
use std::path::{Component, Path};

use lmbatch::Cost;

use crate::byte_size::ByteSize;
use crate::retention_args::DeleteAfter;

/// Key of the file.
#[derive(Debug)]
pub(super) struct Key {
    /// Name of the key; that of a key in a table follows the table's name and a full stop.
    pub(super) name: &'static str,
    /// Ids of the options whose default the key sets.
    pub(super) options: &'static [&'static str],
    /// Commands that take the default; empty for every command that has one of the options.
    pub(super) commands: &'static [&'static str],
    pub(super) form: Form,
    pub(super) rule: Rule,
}

/// Form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Model,
    /// Path, relative to the folder of the file or, behind `~/`, to the home folder.
    Path,
    Dollars,
    /// Whole number from 1 to a maximum.
    Count(u64),
    Time,
    Size,
    After,
}

/// Rule for a file that is found from the working directory, beside the user's own file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The found file takes precedence.
    Found,
    /// The lower value counts, of this default where neither the user's file nor the command sets another.
    Lower(Option<&'static str>),
    /// The longer time counts, of this default where the user's file sets no other.
    Longer(&'static str),
    /// The found file may name a folder inside its own.
    Inside,
    /// Only the user's own file may set the key, for a reason.
    Own(&'static str),
}

const SENDING: &[&str] = &["run", "create", "adopt", "validate", "estimate"];
const WAITING: &[&str] = &["run", "resume", "requeue"];
const PLANNING: &[&str] = &["run", "adopt"];
const U32: u64 = u32::MAX as u64;

/// Every key of the file.
pub(super) static KEYS: [Key; 17] = [
    key("model", &["model"], SENDING, Form::Model, Rule::Found),
    key("state", &["state_dir"], &[], Form::Path, Rule::Inside),
    key(
        "max_cost",
        &["max_cost"],
        &["run"],
        Form::Dollars,
        Rule::Lower(None),
    ),
    key(
        "expect_output",
        &["expect_output"],
        &["run", "estimate"],
        Form::Count(U32),
        Rule::Own("a low expectation lets a run cost more than its limit"),
    ),
    key(
        "confirm_above",
        &["confirm_above"],
        &["run"],
        Form::Dollars,
        Rule::Lower(Some("10")),
    ),
    key(
        "prices",
        &["prices"],
        &[],
        Form::Path,
        Rule::Own("a table of low prices lets a run cost more than its limit"),
    ),
    key(
        "poll_interval",
        &["poll_interval"],
        WAITING,
        Form::Time,
        Rule::Found,
    ),
    key(
        "max_attempts",
        &["max_attempts"],
        &["run"],
        Form::Count(U32),
        Rule::Found,
    ),
    key(
        "max_batch_requests",
        &["max_batch_requests"],
        PLANNING,
        Form::Count(U32),
        Rule::Found,
    ),
    key(
        "max_batch_bytes",
        &["max_batch_bytes"],
        PLANNING,
        Form::Count(u64::MAX),
        Rule::Found,
    ),
    key(
        "max_batch_tokens",
        &["max_batch_tokens"],
        PLANNING,
        Form::Count(u64::MAX),
        Rule::Found,
    ),
    key(
        "limits.uploads",
        &["uploads_at_once"],
        WAITING,
        Form::Count(1000),
        Rule::Found,
    ),
    key(
        "limits.creates",
        &["creates_at_once"],
        WAITING,
        Form::Count(1000),
        Rule::Found,
    ),
    key(
        "limits.polls",
        &["polls_at_once"],
        WAITING,
        Form::Count(1000),
        Rule::Found,
    ),
    key(
        "limits.downloads",
        &["downloads_at_once"],
        WAITING,
        Form::Count(1000),
        Rule::Found,
    ),
    key(
        "retention.after",
        &["delete_answers_after"],
        WAITING,
        Form::After,
        Rule::Longer("30d"),
    ),
    key(
        "retention.warn_above",
        &["warn_above", "size_limit"],
        &["run", "resume", "requeue", "runs"],
        Form::Size,
        Rule::Found,
    ),
];

/// Names that no file may set, with the reason and the way to set them.
pub(super) const REFUSED: [(&str, &str, &str); 7] = [
    ("base_url", KEY_SENT, "--base-url sets it for one command"),
    (
        "providers",
        KEY_SENT,
        "--base-url and --key-env set it for one command",
    ),
    ("key_env", KEY_READ, "--key-env names it for one command"),
    ("key", KEY_READ, "set the provider's variable"),
    ("api_key", KEY_READ, "set the provider's variable"),
    (
        "on_finish",
        "it runs a shell command",
        "--on-finish sets it for one command",
    ),
    (
        "yes",
        "it answers the question before an expensive run",
        "-y answers it for one command",
    ),
];

const KEY_SENT: &str = "it decides to which host an API key is sent";
const KEY_READ: &str = "it decides which secret is sent to a provider";

const fn key(
    name: &'static str,
    options: &'static [&'static str],
    commands: &'static [&'static str],
    form: Form,
    rule: Rule,
) -> Key {
    Key {
        name,
        options,
        commands,
        form,
        rule,
    }
}

/// Value in the file, without its type's details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// Whole number in decimal digits.
    Integer(String),
    /// Number with a fraction.
    Fraction(String),
    /// Value of another type, by the type's name.
    Other(&'static str),
}

impl Value<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Fraction(_) => "a float",
            Self::Other(name) => name,
        }
    }
}

impl Form {
    /// Returns the value of an option, as on the command line.
    ///
    /// # Errors
    /// A clause that follows the name of the key.
    pub(super) fn read(self, value: &Value<'_>, folder: &Path) -> Result<OsString, String> {
        let wrong = || format!("must be {}, and is {}", self.expected(), value.type_name());
        let text = match (self, value) {
            (Self::Count(_) | Self::Size, Value::Integer(number))
            | (Self::Dollars, Value::Integer(number) | Value::Fraction(number)) => number,
            (Self::Count(_), _) => return Err(wrong()),
            (_, Value::Text(text)) => *text,
            _ => return Err(wrong()),
        };
        let said = |error: String| format!("must be {}: {error}", self.expected());
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            let code = u32::from(control);
            return Err(format!("holds the control character U+{code:04X}"));
        }
        match self {
            Self::Model | Self::Path if text.is_empty() => return Err("is empty".to_owned()),
            Self::Model => {}
            Self::Path => return path(text, folder),
            Self::Dollars => drop(dollars(text).map_err(said)?),
            Self::Count(most) => {
                let number = text.parse::<u64>().ok();
                if number.is_none_or(|number| number == 0 || number > most) {
                    return Err(format!("must be from 1 to {most}, and is {text}"));
                }
            }
            Self::Time => {
                humantime::parse_duration(text).map_err(|error| said(error.to_string()))?;
            }
            Self::Size => drop(text.parse::<ByteSize>().map_err(said)?),
            Self::After => drop(text.parse::<DeleteAfter>().map_err(said)?),
        }
        Ok(text.into())
    }

    /// Describes the values that the key takes.
    fn expected(self) -> &'static str {
        match self {
            Self::Model => "a model such as \"openai/gpt-5.4-mini\"",
            Self::Path => "a path in quotes",
            Self::Dollars => "an amount in US dollars such as 5.00",
            Self::Count(_) => "a whole number",
            Self::Time => "a time such as \"30s\"",
            Self::Size => "a size such as \"10 GB\"",
            Self::After => "a time such as \"30d\", or \"never\"",
        }
    }
}

/// Returns a path of a file in a folder: `~` is the user's home folder, as in a shell, and a relative path begins in the
/// folder.
///
/// # Errors
/// A clause, for the home folder of another user, without a home folder, and where an earlier version has used a folder
/// that is named `~`.
fn path(text: &str, folder: &Path) -> Result<OsString, String> {
    let Some(rest) = text.strip_prefix('~') else {
        return Ok(folder.join(text).into_os_string());
    };
    let literal = folder.join(text);
    if literal.exists() {
        return Err(format!(
            "begins with ~, the home folder, and {} exists; name that one ./{text}, or write the path out",
            literal.display()
        ));
    }
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    match (
        rest.strip_prefix('/').or(rest.is_empty().then_some("")),
        home,
    ) {
        (None, _) => Err("begins with ~ and a name; write the path out".to_owned()),
        (_, None) => Err("begins with ~, and HOME names no folder; write the path out".to_owned()),
        (Some(rest), Some(home)) => Ok(home.join(rest.trim_start_matches('/')).into_os_string()),
    }
}

fn dollars(text: &str) -> Result<Cost, String> {
    text.parse::<Cost>().map_err(|error| error.to_string())
}

impl Rule {
    /// Returns whether a value of a found file is less careful than another one. Both were read by the form of the
    /// key.
    pub(super) fn is_less_careful(self, found: &str, other: &str) -> bool {
        match self {
            Self::Lower(_) => dollars(found).ok() > dollars(other).ok(),
            Self::Longer(_) => {
                let after = |text: &str| text.parse::<DeleteAfter>().ok();
                after(found) < after(other)
            }
            _ => false,
        }
    }

    /// Returns the value that counts where no file sets one.
    pub(super) fn built_in(self) -> Option<&'static str> {
        match self {
            Self::Lower(value) => value,
            Self::Longer(value) => Some(value),
            _ => None,
        }
    }

    /// Checks a value that a found file sets.
    ///
    /// # Errors
    /// A clause that follows the name of the key.
    pub(super) fn check(self, value: &Value<'_>, folder: &Path) -> Result<(), String> {
        match (self, value) {
            (Self::Own(reason), _) => {
                Err(format!("can only be set in your own file, since {reason}"))
            }
            (Self::Inside, Value::Text(path)) if !is_inside(path, folder) => Err(
                "must name a folder inside the folder of this file; your own file may name any"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }
}

/// Returns whether a relative path stays in its folder, through links as well.
fn is_inside(path: &str, folder: &Path) -> bool {
    let mut parts = Path::new(path).components();
    // The home folder is another one.
    let stays = !path.starts_with('~')
        && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    // A path that does not exist yet has no links.
    let resolved = |found: &Path| found.canonicalize().ok().zip(folder.canonicalize().ok());
    let mut above = Path::new(path).ancestors();
    stays
        && above.all(|part| {
            resolved(&folder.join(part)).is_none_or(|(found, folder)| found.starts_with(folder))
        })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args;

    #[test]
    fn every_key_sets_the_default_of_an_option_that_exists() {
        let command = args::command("lmbatch");
        for key in &KEYS {
            let mut found = 0;
            for sub in command.get_subcommands() {
                let is_meant = key.commands.is_empty() || key.commands.contains(&sub.get_name());
                let ids: Vec<_> = sub
                    .get_arguments()
                    .map(|arg| arg.get_id().as_str())
                    .collect();
                let has = key.options.iter().any(|option| ids.contains(option));
                assert!(
                    !is_meant || has || key.commands.is_empty(),
                    "{} has no option of {}",
                    sub.get_name(),
                    key.name
                );
                found += usize::from(is_meant && has);
            }
            assert!(found > 0, "{}", key.name);
            for name in key.commands {
                assert!(command.find_subcommand(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn defaults_that_bound_a_found_file_are_those_of_the_options() {
        let command = args::command("lmbatch");
        let run = command.find_subcommand("run").unwrap();
        for key in &KEYS {
            let Some(built_in) = key.rule.built_in() else {
                continue;
            };
            let option = run
                .get_arguments()
                .find(|arg| key.options.contains(&arg.get_id().as_str()));
            assert_eq!(
                option.unwrap().get_default_values(),
                [built_in],
                "{}",
                key.name
            );
        }
    }

    #[test]
    fn the_more_careful_value_is_the_lower_cost_and_the_longer_time() {
        let (lower, longer) = (Rule::Lower(None), Rule::Longer("30d"));
        for (rule, found, other, is_less) in [
            (lower, "5.00", "4.99", true),
            (lower, "5", "5.00", false),
            (lower, "1", "5", false),
            (longer, "1d", "30d", true),
            (longer, "60d", "30d", false),
            (longer, "never", "30d", false),
            (longer, "30d", "never", true),
            (Rule::Found, "9", "1", false),
        ] {
            assert_eq!(
                rule.is_less_careful(found, other),
                is_less,
                "{found} {other}"
            );
        }
    }

    #[test]
    fn a_tilde_is_the_home_folder_unless_a_folder_of_this_name_was_used() {
        let folder = tempfile::tempdir().unwrap();
        let home = std::env::home_dir().expect("a home folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("~/used")).unwrap();
        for (text, expected) in [
            ("state", Ok(at("state"))),
            ("a~/b", Ok(at("a~/b"))),
            ("./~/used", Ok(at("./~/used"))),
            ("~/state", Ok(home.join("state"))),
            ("~//etc/state", Ok(home.join("etc/state"))),
            ("~/used", Err("; name that one ./~/used, or write")),
            ("~", Err("; name that one ./~, or write")),
            ("~me/state", Err("begins with ~ and a name")),
        ] {
            match (path(text, folder.path()), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(PathBuf::from(found), expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_folder_is_inside_only_without_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        for (path, wanted) in [
            ("state", true),
            ("./a/b", true),
            ("../state", false),
            ("a/../../b", false),
            ("/state", false),
            ("~/state", false),
            ("~", false),
            ("link", false),
            ("link/new", false),
        ] {
            assert_eq!(is_inside(path, folder.path()), wanted, "{path}");
        }
    }
}
