//! All printing of the command. Text from outside lmbatch cannot act on the terminal, and no key is shown.
//!
//! Standard output and standard error belong to the process: the state of both is process-wide, and is kept in this
//! file alone.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use comfy_table::presets::NOTHING;
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde::Serialize;

use crate::exit::Failure;
pub(crate) use crate::plain::plain;
use crate::plain::{self, plain_lines};

/// Set by `--quiet`: only errors are printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Set once a write to standard output has failed for a reason other than a closed pipe.
static LOST: AtomicBool = AtomicBool::new(false);

/// Set if standard output receives outcomes: nothing else is printed to it then.
static HOLDS_OUTCOMES: AtomicBool = AtomicBool::new(false);

/// Progress line on the screen.
static LIVE: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Prints only errors from now on.
pub(crate) fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Keeps everything but outcomes off standard output from now on.
pub(crate) fn keep_stdout_for_outcomes() {
    HOLDS_OUTCOMES.store(true, Ordering::Relaxed);
}

/// Reports whether requested output could not be written to standard output.
pub(crate) fn has_lost_output() -> bool {
    LOST.load(Ordering::Relaxed)
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
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
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

/// Reports whether a progress line can be shown on standard error.
pub(crate) fn is_interactive() -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb
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

/// Content of an empty cell in a table with a header, so that every line has as many words as columns.
const EMPTY: &str = "-";

/// Table without ruled lines, with cells of one line each. In a pipe its columns are at least two spaces apart, and
/// its width is unlimited. A table that is wider than the terminal is printed as a block of lines per row, so that
/// no cell is cut or wrapped.
#[derive(Debug, Default)]
pub(crate) struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table without a header.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns a table with column names.
    pub(crate) fn with_header<const N: usize>(names: [&str; N]) -> Self {
        Self {
            names: names.map(str::to_owned).into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| plain(cell.as_ref()));
        self.rows.push(cells.collect());
    }

    /// Reports whether the table has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Formats the table in columns, or as a block of lines per row if it is wider than the terminal.
    fn within(&self, columns: Option<usize>) -> String {
        let across = self.across();
        let is_wide = |line: &str| columns.is_some_and(|most| line.chars().count() > most);
        if self.names.is_empty() || !across.lines().any(is_wide) {
            return across;
        }
        let blocks = self.rows.iter().map(|row| {
            let named = self.names.iter().zip(row);
            let said = named.filter(|(_, cell)| !cell.is_empty());
            let lines: Vec<_> = said
                .map(|(name, cell)| vec![name.clone(), cell.clone()])
                .collect();
            styled(&[], &lines)
        });
        blocks.collect::<Vec<_>>().join("\n\n")
    }

    /// Formats the table in columns.
    fn across(&self) -> String {
        if self.names.is_empty() {
            return styled(&[], &self.rows);
        }
        let filled = |cell: &String| match cell.is_empty() {
            true => EMPTY.to_owned(),
            false => cell.clone(),
        };
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(filled).collect())
            .collect();
        styled(&self.names, &rows)
    }
}

/// Formats cells in columns.
fn styled(names: &[String], rows: &[Vec<String>]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(NOTHING);
    if !names.is_empty() {
        table.set_header(names);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    // Trailing spaces of the last column would only make lines wider.
    let text = table.to_string();
    let lines = text.lines().map(str::trim_end);
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the width of the terminal at standard output, or the value of `COLUMNS`; `None` without a terminal.
fn columns() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let set = std::env::var("COLUMNS").ok();
    let set = set.and_then(|columns| columns.trim().parse().ok());
    let wide = || comfy_table::Table::new().width().map(usize::from);
    let columns = set.filter(|columns| *columns > 0).or_else(wide);
    Some(columns.unwrap_or(80).max(20))
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.within(columns()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_wide_is_printed_row_by_row_without_broken_cells() {
        let mut table = Table::with_header(["run", "name", "output"]);
        let path = "/a/path/that/is/as/long/as/paths/are/out.jsonl";
        table.row(["r-1", "mine", path]);
        table.row(["r-2", "", "out\n2"]);
        let across = table.within(Some(80));
        assert_eq!(across.lines().count(), 3, "{across}");
        let blocks = table.within(Some(56));
        assert!(
            blocks.lines().all(|line| line.chars().count() <= 56),
            "{blocks}"
        );
        assert_eq!(blocks.lines().count(), 6, "{blocks}");
        assert!(blocks.contains(path), "{blocks}");
        assert_eq!(blocks.matches("name").count(), 1, "{blocks}");
    }

    #[test]
    fn a_wide_table_in_a_pipe_has_one_line_per_row() {
        let mut table = Table::with_header(["run", "name", "output"]);
        table.row(["r-1", "", &"long/".repeat(100)]);
        table.row(["r-22", "mine", "out.jsonl"]);
        let text = table.within(None);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["run", "name", "output"]);
        assert_eq!(lines[1], ["r-1", "-", &*"long/".repeat(100)]);
        assert_eq!(lines[2], ["r-22", "mine", "out.jsonl"]);
        assert!(text.lines().all(|line| !line.starts_with(' ')), "{text}");
    }
}
