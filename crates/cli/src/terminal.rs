//! All printing of the command. Text from outside lmbatch cannot act on the terminal, and no key is shown.
//!
//! Standard output and standard error belong to the process: the state of both is process-wide, and is kept in this
//! file alone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressDrawTarget};
use lmbatch::Clock as _;
use lmbatch::engine::SystemClock;
use serde::Serialize;

use crate::exit::Failure;
pub(crate) use crate::plain::plain;
use crate::plain::{self, plain_lines};

/// Set by `--quiet`: only errors are printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Set once a write to standard output has failed for a reason other than a closed pipe.
static LOST: AtomicBool = AtomicBool::new(false);

/// Set once a write to standard output has found its pipe closed.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Set if standard output receives outcomes: nothing else is printed to it then.
static HOLDS_OUTCOMES: AtomicBool = AtomicBool::new(false);

/// Progress line on the screen.
static LIVE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints only errors from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Reports whether only errors are printed.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Keeps everything but outcomes off standard output from now on.
pub(crate) fn keep_stdout_for_outcomes() {
    HOLDS_OUTCOMES.store(true, Ordering::Relaxed);
}

/// Reports whether requested output could not be written to standard output.
pub(crate) fn has_lost_output() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Reports whether the reader of standard output has closed its end.
pub(crate) fn has_lost_reader() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Shows a progress line; messages are printed above it.
pub(crate) fn show_live(bar: ProgressBar) {
    *LIVE.lock().unwrap_or_else(PoisonError::into_inner) = Some(bar);
}

/// Removes the progress line, if there is one.
pub(crate) fn end_live() {
    let bar = LIVE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Hides the progress line while `write` runs.
fn apart(write: impl FnOnce()) {
    let bar = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

fn stdout(text: &str) {
    apart(|| {
        let mut out = io::stdout().lock();
        let written = writeln!(out, "{text}").and_then(|()| out.flush());
        match written {
            // The reader has closed the pipe, as `head` does.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                CLOSED.store(true, Ordering::Relaxed);
            }
            Err(error) if !LOST.swap(true, Ordering::Relaxed) => {
                stderr_here(&format!(
                    "error: standard output cannot be written: {error}"
                ));
            }
            _ => {}
        }
    });
}

fn stderr(text: &str) {
    apart(|| stderr_here(text));
}

fn stderr_here(text: &str) {
    // A failure to write to standard error cannot be reported anywhere.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints lines for people and programs on standard output.
pub(crate) fn out(text: &str) {
    stdout(&plain_lines(text));
}

/// Prints lines on standard output whose parts from outside lmbatch were made safe before.
pub(crate) fn clean(text: &str) {
    stdout(text);
}

/// Replaces the last lines on standard output, a terminal, by other ones; returns the number of lines that it now
/// shows. Lines that the screen has no room for are left out.
pub(crate) fn redraw(text: &str, lines: usize) -> usize {
    let rows = console::Term::stdout()
        .size_checked()
        .map(|(rows, _)| usize::from(rows));
    let most = rows.unwrap_or(24).saturating_sub(1).max(1);
    let shown: Vec<&str> = text.lines().take(most).collect();
    let back = match lines {
        0 => String::new(),
        lines => format!("\u{1b}[{lines}A\u{1b}[J"),
    };
    stdout(&format!("{back}{}", shown.join("\n")));
    shown.len()
}

/// Prints one JSON object as one line on standard output, or on standard error if standard output receives
/// outcomes.
pub(crate) fn json(value: &impl Serialize) {
    // Maps with text keys, numbers and lists always serialise.
    let line = plain::json(serde_json::to_value(value).unwrap_or_default());
    if HOLDS_OUTCOMES.load(Ordering::Relaxed) {
        stderr(&line);
    } else {
        stdout(&line);
    }
}

/// Prints lines for people on standard error, unless `--quiet` is set.
pub(crate) fn message(text: &str) {
    if !QUIET.load(Ordering::Relaxed) {
        stderr(&plain_lines(text));
    }
}

/// Prints lines that a person must see on standard error, also with `--quiet`: why a command ended without an error
/// before its work was done, and the command that continues.
pub(crate) fn required(text: &str) {
    stderr(&plain_lines(text));
}

/// Prints a warning on standard error, unless `--quiet` is set.
pub(crate) fn warn(text: &str) {
    message(&format!("warning: {}", plain(text)));
}

/// Prints an error with its details, the provider's message and the hint.
pub(crate) fn error(failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    let mut lines = vec![format!("error: {}", plain(&failure.message))];
    lines.extend(
        failure
            .details
            .iter()
            .map(|line| format!("  {}", plain(line))),
    );
    if let Some(said) = &failure.about.provider_message {
        lines.push(format!("provider said: {said}"));
    }
    if let Some(hint) = &failure.hint {
        lines.push(format!("hint: {}", plain(hint)));
    }
    stderr(&lines.join("\n"));
}

/// Reports whether a progress line can be shown on standard error: it is a terminal that can move its cursor, and not
/// the log of a build (`CI`).
pub(crate) fn is_interactive() -> bool {
    let of_build =
        std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    io::stderr().is_terminal() && !is_dumb() && !of_build
}

/// Reports whether a question can be asked: standard input and standard error are terminals.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks a question on the terminal and returns the line that is typed; an empty text at the end of input. Blocks until
/// then. The progress line is hidden meanwhile, and other messages can be printed.
///
/// # Errors
/// Any error of the terminal.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let bar = LIVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut err = io::stderr().lock();
    if let Some(bar) = &bar {
        bar.set_draw_target(ProgressDrawTarget::hidden());
        // Removes the progress line, on which the cursor is.
        write!(err, "\r\u{1b}[2K")?;
    }
    write!(err, "{} ", plain(question))?;
    err.flush()?;
    drop(err);
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if let Some(bar) = &bar {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    }
    read.map(|_| answer)
}

/// Writer of log lines to standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log;

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = plain_lines(&String::from_utf8_lossy(bytes));
        apart(|| {
            // A log that cannot be written must not fail the run.
            let _ = io::stderr().lock().write_all(text.as_bytes());
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Place where a table is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Terminal of a width in columns, with or without colour.
    Terminal {
        columns: usize,
        colour: bool,
        now: SystemTime,
    },
    /// Pipe or file.
    Pipe,
}

/// Returns the place where tables are shown: the terminal at standard output, or a pipe.
pub(crate) fn look() -> Look {
    let Some(columns) = columns() else {
        return Look::Pipe;
    };
    Look::Terminal {
        columns,
        colour: is_coloured(),
        now: SystemClock::new().now(),
    }
}

/// Reports whether standard output is a terminal that may show colours (`NO_COLOR`, `TERM`).
fn is_coloured() -> bool {
    let is_set = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !is_set && !is_dumb()
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Returns the width of the terminal at standard output, or the value of `COLUMNS`; `None` without a terminal.
fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let set = std::env::var("COLUMNS").ok();
    let set = set.and_then(|columns| columns.trim().parse().ok());
    let wide = || {
        console::Term::stdout()
            .size_checked()
            .map(|(_, columns)| usize::from(columns))
    };
    let columns = set.filter(|columns| *columns > 0).or_else(wide);
    Some(columns.unwrap_or(80).max(20))
}

/// Returns the width of the terminal at standard error; `None` without a terminal.
pub(crate) fn error_columns() -> Option<usize> {
    let size = console::Term::stderr().size_checked();
    let columns = size.map(|(_, columns)| usize::from(columns));
    columns.filter(|columns| *columns > 0 && io::stderr().is_terminal())
}
