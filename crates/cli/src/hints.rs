//! Commands that hints suggest. They can be pasted unchanged into any POSIX shell.

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
    /// Name of the program; a command built with other providers may have a name of its own.
    program: String,
    /// State folder, if an argument names it; one named by the environment need not be repeated.
    state_dir: Option<String>,
}

/// Call of this process. It never changes, and hints are added to errors where no session is available.
static CALLED: OnceLock<Called> = OnceLock::new();

/// Records the program name and the state folder with which this process was called.
pub(crate) fn called(program: &str, matches: &ArgMatches) {
    let state_dir = matches.subcommand().and_then(|(_, matches)| {
        let found = matches.try_get_raw("state_dir").ok().flatten()?.next()?;
        (matches.value_source("state_dir") == Some(ValueSource::CommandLine))
            .then(|| found.to_string_lossy().into_owned())
    });
    let program = program.to_owned();
    CALLED.get_or_init(|| Called { program, state_dir });
}

/// Returns the program's name from its first argument.
pub(crate) fn program(arg0: Option<&OsStr>) -> &str {
    let name = arg0.and_then(|path| Path::new(path).file_name()?.to_str());
    let name = name.map(|name| name.strip_suffix(EXE_SUFFIX).unwrap_or(name));
    name.unwrap_or("lmbatch")
}

/// Formats a command that needs no state folder.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let program = CALLED.get().map_or("lmbatch", |called| &called.program);
    let words = [program].into_iter().chain(words).map(quoted);
    words.collect::<Vec<_>>().join(" ")
}

/// Formats a command about runs, with the state folder of this process.
pub(crate) fn on_runs<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let state_dir = CALLED.get().and_then(|called| called.state_dir.as_deref());
    let folder = state_dir.map(|folder| ["--state-dir", folder]);
    command(words.into_iter().chain(folder.into_iter().flatten()))
}

/// Quotes a word for a shell; a word that cannot be quoted stays unchanged. Characters that a terminal would act on
/// are written as octal bytes.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
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
    // A comma has no meaning to a shell outside of braces.
    let without = word.replace(',', "");
    if !without.is_empty() && shlex::try_quote(&without).is_ok_and(|quoted| quoted == without) {
        return Cow::Borrowed(word);
    }
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_name_is_independent_of_its_folder() {
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
    fn words_are_quoted_if_a_shell_needs_it() {
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
