//! Commands that are shown to be typed next: they work as they stand, in any shell of the POSIX family.

use std::borrow::Cow;
use std::env::consts::EXE_SUFFIX;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::OnceLock;

use clap::ArgMatches;
use clap::parser::ValueSource;

/// Program name and state folder of the call.
#[derive(Debug)]
struct Called {
    /// Name of the program: a command with other providers may have another.
    program: String,
    /// The folder of runs, if it was named among the arguments; what the environment says need not be said.
    state_dir: Option<String>,
}

/// Call of this process. It never changes, and errors are given their hints where no session is at hand.
static CALLED: OnceLock<Called> = OnceLock::new();

/// Notes how this process was called.
pub(crate) fn called(program: &str, matches: &ArgMatches) {
    let state_dir = matches.subcommand().and_then(|(_, matches)| {
        let found = matches.try_get_raw("state_dir").ok().flatten()?.next()?;
        (matches.value_source("state_dir") == Some(ValueSource::CommandLine))
            .then(|| found.to_string_lossy().into_owned())
    });
    let program = program.to_owned();
    CALLED.get_or_init(|| Called { program, state_dir });
}

/// The program's name as it was called.
pub(crate) fn program(arg0: Option<&OsStr>) -> &str {
    let name = arg0.and_then(|path| Path::new(path).file_name()?.to_str());
    let name = name.map(|name| name.strip_suffix(EXE_SUFFIX).unwrap_or(name));
    name.unwrap_or("lmbatch")
}

/// A command about batches or about nothing.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let program = CALLED.get().map_or("lmbatch", |called| &called.program);
    let words = [program].into_iter().chain(words).map(quoted);
    words.collect::<Vec<_>>().join(" ")
}

/// A command about runs, in the folder that this one goes to.
pub(crate) fn on_runs<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let state_dir = CALLED.get().and_then(|called| called.state_dir.as_deref());
    let folder = state_dir.map(|folder| ["--state-dir", folder]);
    command(words.into_iter().chain(folder.into_iter().flatten()))
}

/// A word as a shell reads it; one that no shell can read stays as it is. What a terminal would act on is
/// written as octal bytes.
fn quoted(word: &str) -> Cow<'_, str> {
    if word.chars().any(crate::plain::is_unsafe) {
        let mut text = "$'".to_owned();
        for byte in word.bytes() {
            match byte {
                b'\\' | b'\'' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => text.push_str(&format!("\\{byte:03o}")),
            }
        }
        return (text + "'").into();
    }
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_called_by_its_name_wherever_it_lies() {
        for (arg0, name) in [
            (Some("lmbatch"), "lmbatch"),
            (Some("/opt/tools/acme"), "acme"),
            (Some("./lmbatch-0.1.0"), "lmbatch-0.1.0"),
            (Some(".."), "lmbatch"),
            (None, "lmbatch"),
        ] {
            assert_eq!(program(arg0.map(OsStr::new)), name);
        }
    }

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        let words = ["retrieve", "b-1", "-o", "it's $HOME.jsonl"];
        assert_eq!(
            command(words),
            r#"lmbatch retrieve b-1 -o "it's "'$HOME.jsonl'"#
        );
        let unsafe_name = "a\u{202e}'\\\n";
        assert_eq!(
            command(["show", unsafe_name]),
            r"lmbatch show $'a\342\200\256\'\\\012'"
        );
    }
}
