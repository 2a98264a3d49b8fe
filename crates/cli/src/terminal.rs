//! The one place that prints. A closed pipe is nobody's error.

use std::io::{IsTerminal as _, Write as _};

/// A line for programs, on stdout.
pub(crate) fn out(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line for people, on stderr.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// An error, and what to do about it.
pub(crate) fn error(message: &str, hint: Option<&str>) {
    say(&format!("error: {message}"));
    if let Some(hint) = hint {
        say(&format!("hint: {hint}"));
    }
}

pub(crate) fn is_interactive() -> bool {
    std::io::stderr().is_terminal()
}

/// Text of a provider or of an input without what a terminal would act on.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
