//! Reading of one configuration file. Each error names the file and the line.

use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::find::Origin;
use super::keys::{KEYS, Key, REFUSED, Value};
use crate::exit::Failure;

/// Key that a file sets.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) key: &'static Key,
    /// Value as on the command line.
    pub(super) value: OsString,
    pub(super) origin: Origin,
    /// Path of the file, for messages.
    pub(super) file: String,
}

/// Error at a place of the file.
struct Fault {
    at: usize,
    message: String,
    hint: Option<String>,
}

/// Reads the text of a file.
///
/// # Errors
/// Usage, with the first line that is wrong: it is not TOML, its key is unknown or not for a file, or its value has
/// another type or range.
pub(super) fn read(path: &Path, text: &str, origin: Origin) -> Result<Vec<Setting>, Failure> {
    let file = path.display().to_string();
    let failed = |fault: Fault| {
        let line = text[..fault.at]
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count()
            + 1;
        let failure = Failure::usage(format!("{file}, line {line}: {}", fault.message));
        match fault.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    };
    let table = DeTable::parse(text).map_err(|error| {
        failed(Fault {
            at: error.span().unwrap_or_default().start.min(text.len()),
            message: error.message().trim().replace('\n', ", "),
            hint: None,
        })
    })?;
    let mut found = Vec::new();
    flatten("", table.get_ref(), &mut found);
    found.sort_by_key(|entry| entry.place.start);
    let folder = path.parent().unwrap_or(Path::new("."));
    let settings = found.into_iter().map(|entry| {
        let at = entry.place.start;
        let (key, value) = setting(&entry, folder, origin)
            .map_err(|(message, hint)| failed(Fault { at, message, hint }))?;
        Ok(Setting {
            key,
            value,
            origin,
            file: file.clone(),
        })
    });
    settings.collect()
}

/// Key of a file with its value, and the place of the key.
struct Entry<'a> {
    name: String,
    value: Value<'a>,
    place: Range<usize>,
}

/// Lists the keys of a table. Keys of a table inside it follow its name and a full stop.
fn flatten<'a>(within: &str, table: &'a DeTable<'_>, found: &mut Vec<Entry<'a>>) {
    for (key, value) in table {
        let name = match within {
            "" => key.get_ref().to_string(),
            table => format!("{table}.{}", key.get_ref()),
        };
        let value = match value.get_ref() {
            // Only tables that have known keys are looked into: of others, the name says what is wrong.
            DeValue::Table(table) if has_keys(&name) => {
                flatten(&name, table, found);
                continue;
            }
            DeValue::String(text) => Value::Text(text),
            DeValue::Integer(number) => Value::Integer(number.to_string()),
            DeValue::Float(number) => Value::Fraction(number.to_string()),
            DeValue::Boolean(_) => Value::Other("a boolean"),
            DeValue::Datetime(_) => Value::Other("a date"),
            DeValue::Array(_) => Value::Other("an array"),
            DeValue::Table(_) => Value::Other("a table"),
        };
        found.push(Entry {
            name,
            value,
            place: key.span(),
        });
    }
}

/// Returns whether a table of this name has known keys.
fn has_keys(name: &str) -> bool {
    let rest = |key: &Key| {
        key.name
            .strip_prefix(name)
            .map(|rest| rest.starts_with('.'))
    };
    KEYS.iter().any(|key| rest(key) == Some(true))
}

/// Returns the key of an entry and the value of its option.
///
/// # Errors
/// A message and a hint.
fn setting(
    entry: &Entry<'_>,
    folder: &Path,
    origin: Origin,
) -> Result<(&'static Key, OsString), (String, Option<String>)> {
    let name = entry.name.as_str();
    if let Some((_, reason, hint)) = REFUSED.iter().find(|(refused, ..)| *refused == name) {
        let message = format!("{name} cannot be set in a file, since {reason}");
        return Err((message, Some((*hint).to_owned())));
    }
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        let hint = match nearest(name) {
            Some(near) => format!("did you mean {near}?"),
            None => {
                let names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                format!("the keys are {}", names.join(", "))
            }
        };
        return Err((format!("unknown key {name}"), Some(hint)));
    };
    let about = |clause: String| (format!("{name} {clause}"), None);
    if origin == Origin::Found {
        key.rule.check(&entry.value, folder).map_err(about)?;
    }
    let value = key.form.read(&entry.value, folder).map_err(about)?;
    Ok((key, value))
}

/// Returns the key whose name is most like another one; `None` where none is similar.
fn nearest(name: &str) -> Option<&'static str> {
    let likeness = |key: &Key| {
        let last = key.name.rsplit('.').next().unwrap_or_default();
        strsim::jaro_winkler(key.name, name).max(strsim::jaro_winkler(last, name))
    };
    let alike = KEYS.iter().map(|key| (likeness(key), key.name));
    let best = alike.max_by(|a, b| a.0.total_cmp(&b.0));
    best.filter(|(likeness, _)| *likeness > 0.8)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str, origin: Origin) -> Result<Vec<(&'static str, String)>, String> {
        match read(Path::new("/p/lmbatch.toml"), text, origin) {
            Ok(settings) => {
                let pair = |one: Setting| (one.key.name, one.value.to_string_lossy().into_owned());
                Ok(settings.into_iter().map(pair).collect())
            }
            Err(failure) => Err(format!(
                "{}|{}",
                failure.message,
                failure.hint.unwrap_or_default()
            )),
        }
    }

    #[test]
    fn each_value_is_that_of_an_option() {
        let text = r#"
model = "openai/gpt-5.4-mini" # the usual one
state = "st"
max_cost = 5.00
expect_output = 300
confirm_above = 2
prices = "/etc/prices.json"
poll_interval = "30s"
max_attempts = 1_0
max_batch_requests = 100
max_batch_bytes = 5000000000
max_batch_tokens = 2
[limits]
uploads = 1
creates = 2
polls = 3
downloads = 1000
[retention]
after = "never"
warn_above = "10 GB"
"#;
        let expected = [
            ("model", "openai/gpt-5.4-mini"),
            ("state", "/p/st"),
            ("max_cost", "5.00"),
            ("expect_output", "300"),
            ("confirm_above", "2"),
            ("prices", "/etc/prices.json"),
            ("poll_interval", "30s"),
            ("max_attempts", "10"),
            ("max_batch_requests", "100"),
            ("max_batch_bytes", "5000000000"),
            ("max_batch_tokens", "2"),
            ("limits.uploads", "1"),
            ("limits.creates", "2"),
            ("limits.polls", "3"),
            ("limits.downloads", "1000"),
            ("retention.after", "never"),
            ("retention.warn_above", "10 GB"),
        ];
        let expected = expected.map(|(key, value)| (key, value.to_owned()));
        assert_eq!(all(text, Origin::Own).unwrap(), expected);
        assert_eq!(all("", Origin::Found).unwrap(), []);
        let quoted = all(
            "max_cost = \"0.10\"\nretention.warn_above = 7",
            Origin::Found,
        );
        let quoted = quoted.unwrap();
        assert_eq!(quoted[0].1, "0.10");
        assert_eq!(quoted[1], ("retention.warn_above", "7".to_owned()));
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        for (text, wanted) in [
            (
                "\nmodle = \"a/b\"",
                "line 2: unknown key modle|did you mean model?",
            ),
            (
                "max-cost = 5",
                "line 1: unknown key max-cost|did you mean max_cost?",
            ),
            (
                "[retention]\n\nafer = \"1d\"",
                "line 3: unknown key retention.afer|did you mean retention.after?",
            ),
            (
                "warn_above = 1",
                "line 1: unknown key warn_above|did you mean retention.warn_above?",
            ),
            (
                "zzz = 1",
                "line 1: unknown key zzz|the keys are model, state, max_cost,",
            ),
            (
                "model = 5",
                "line 1: model must be a model such as \"openai/gpt-5.4-mini\", and is an integer|",
            ),
            ("model = \"\"", "line 1: model is empty|"),
            (
                "\nmodel = \"openai/m\\u0000\"",
                "line 2: model holds the control character U+0000|",
            ),
            (
                "state = \"a\\u0000b\"",
                "line 1: state holds the control character U+0000|",
            ),
            (
                "state = \"~me/b\"",
                "line 1: state begins with ~ and a name; write the path out|",
            ),
            (
                "state = [\"a\"]",
                "line 1: state must be a path in quotes, and is an array|",
            ),
            (
                "max_cost = \"free\"",
                "line 1: max_cost must be an amount in US dollars such as 5.00: ",
            ),
            (
                "max_cost = -1",
                "line 1: max_cost must be an amount in US dollars such as 5.00: ",
            ),
            (
                "max_cost = nan",
                "line 1: max_cost must be an amount in US dollars such as 5.00: ",
            ),
            (
                "max_attempts = 0",
                "line 1: max_attempts must be from 1 to 4294967295, and is 0|",
            ),
            (
                "max_attempts = \"3\"",
                "line 1: max_attempts must be a whole number, and is a string|",
            ),
            (
                "max_attempts = 1.5",
                "line 1: max_attempts must be a whole number, and is a float|",
            ),
            (
                "poll_interval = 30",
                "line 1: poll_interval must be a time such as \"30s\", and is an integer|",
            ),
            (
                "poll_interval = \"soon\"",
                "line 1: poll_interval must be a time such as \"30s\": ",
            ),
            ("retention = \"30d\"", "line 1: unknown key retention|"),
            (
                "retention.after = true",
                "line 1: retention.after must be a time such as \"30d\", or \"never\", and is a boolean|",
            ),
            (
                "retention.warn_above = \"big\"",
                "line 1: retention.warn_above must be a size such as \"10 GB\": ",
            ),
            ("model = \"a/b\"\nmodel = \"a/c\"", "line 2: duplicate key"),
            ("x = {", "line 1: "),
            // The first mistake of the file is named, of any key.
            ("zz = 1\naa = 2", "line 1: unknown key zz|"),
        ] {
            let error = all(text, Origin::Own).unwrap_err();
            let wanted = format!("/p/lmbatch.toml, {wanted}");
            assert!(error.starts_with(&wanted), "{text}\n{error}\n{wanted}");
        }
    }

    #[test]
    fn what_sends_a_key_elsewhere_runs_a_command_or_hides_a_cost_is_refused() {
        for (text, origin, wanted) in [
            (
                "base_url = \"http://evil\"",
                Origin::Own,
                "base_url cannot be set in a file, since it decides to which host an API key is sent",
            ),
            (
                "[providers.openai]\nbase_url = \"http://evil\"",
                Origin::Own,
                "providers cannot be set in a file",
            ),
            (
                "key_env = \"AWS_SECRET\"",
                Origin::Named,
                "key_env cannot be set in a file",
            ),
            (
                "on_finish = \"rm -rf .\"",
                Origin::Own,
                "on_finish cannot be set in a file, since it runs a shell command",
            ),
            ("yes = true", Origin::Own, "yes cannot be set in a file"),
            (
                "prices = \"p.json\"",
                Origin::Found,
                "prices can only be set in your own file",
            ),
            (
                "expect_output = 1",
                Origin::Found,
                "expect_output can only be set in your own file",
            ),
            (
                "state = \"../../.ssh\"",
                Origin::Found,
                "state must name a folder inside the folder of this file",
            ),
            (
                "state = \"/tmp/x\"",
                Origin::Found,
                "state must name a folder inside the folder of this file",
            ),
            (
                "state = \"~/x\"",
                Origin::Found,
                "state must name a folder inside the folder of this file",
            ),
        ] {
            let error = all(text, origin).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        for (text, origin) in [
            ("prices = \"p.json\"", Origin::Named),
            ("expect_output = 1", Origin::Own),
            ("state = \"/tmp/x\"", Origin::Own),
            ("state = \"x/y\"", Origin::Found),
        ] {
            assert_eq!(all(text, origin).unwrap().len(), 1, "{text}");
        }
    }
}
