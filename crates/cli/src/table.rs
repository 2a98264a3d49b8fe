//! Tables: as wide as the terminal at most, and tab-separated values in a pipe.
//!
//! On a terminal a table fits into its width: long cells are cut with `…`, then columns of least use are left out.
//! Numbers have thousands separators, and times are relative. In a pipe every column is there, uncut: the first line
//! holds the names, numbers are digits, times are exact (RFC 3339), and a missing value is empty.

use std::borrow::Cow;
use std::fmt;
use std::time::SystemTime;

use console::measure_text_width;

use crate::format;
use crate::plain::plain;
use crate::terminal::{self, Look};

/// Spaces between two columns.
const GAP: usize = 2;

/// Sign for the missing part of a cell.
const CUT: char = '…';

/// Value in a table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// Text without a rule of its own.
    Text(String),
    /// State of a run or a batch, which has a colour on a terminal.
    State(String),
    Number(u64),
    /// Size in bytes.
    Bytes(u64),
    /// Part of a whole in percent.
    Percent(u64),
    Time(SystemTime),
    Empty,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        match text.is_empty() {
            true => Self::Empty,
            false => Self::Text(plain(text)),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl From<Cow<'_, str>> for Cell {
    fn from(text: Cow<'_, str>) -> Self {
        (&*text).into()
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<SystemTime> for Cell {
    fn from(at: SystemTime) -> Self {
        Self::Time(at)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// Returns the cell of a state.
    pub(crate) fn state(word: &str) -> Self {
        Self::State(plain(word))
    }

    /// Returns the text for people.
    pub(crate) fn shown(&self, now: SystemTime) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::State(word) => word.replace('_', " "),
            Self::Number(number) => format::number(*number),
            Self::Bytes(bytes) => format::bytes(*bytes),
            Self::Percent(percent) => format!("{percent}%"),
            Self::Time(at) => format::relative(*at, now),
            Self::Empty => "-".to_owned(),
        }
    }

    /// Returns the text for programs.
    fn exact(&self) -> String {
        match self {
            Self::Text(text) | Self::State(text) => text.clone(),
            Self::Number(number) | Self::Bytes(number) | Self::Percent(number) => {
                number.to_string()
            }
            Self::Time(at) => format::time(*at),
            Self::Empty => String::new(),
        }
    }
}

/// Part of a cell that may be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Never,
    /// The end, down to a width.
    End(usize),
    /// The beginning, down to a width: of a path, whose end tells more.
    Start(usize),
    /// The middle, down to a width: of a name, whose end may be a day.
    Middle(usize),
}

/// Column of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    name: &'static str,
    cut: Cut,
    /// Order in which columns are left out, from the highest; 0 for a column that stays.
    leave_out: u8,
}

/// Returns a column that is neither cut nor left out.
pub(crate) const fn column(name: &'static str) -> Column {
    Column {
        name,
        cut: Cut::Never,
        leave_out: 0,
    }
}

impl Column {
    /// Allows that cells lose their end, down to a width.
    pub(crate) const fn cut_end(mut self, least: usize) -> Self {
        self.cut = Cut::End(least);
        self
    }

    /// Allows that cells lose their beginning, down to a width.
    pub(crate) const fn cut_start(mut self, least: usize) -> Self {
        self.cut = Cut::Start(least);
        self
    }

    /// Allows that cells lose their middle, down to a width.
    pub(crate) const fn cut_middle(mut self, least: usize) -> Self {
        self.cut = Cut::Middle(least);
        self
    }

    /// Allows that the column is left out on a narrow terminal, before those with a lower rank.
    pub(crate) const fn rank(mut self, rank: u8) -> Self {
        self.leave_out = rank;
        self
    }

    fn least(&self, natural: usize) -> usize {
        match self.cut {
            Cut::Never => natural,
            Cut::End(least) | Cut::Start(least) | Cut::Middle(least) => {
                natural.min(least.max(self.name.len()))
            }
        }
    }

    /// Returns a text cut to a width.
    fn fit(&self, text: &str, width: usize) -> String {
        if measure_text_width(text) <= width {
            return text.to_owned();
        }
        match self.cut {
            Cut::Start(_) => cut_start(text, width),
            Cut::Middle(_) => cut_middle(text, width),
            _ => cut_end(text, width),
        }
    }
}

/// Returns the beginning of a text that fits into a width, with `…` in place of the rest.
pub(crate) fn cut_end(text: &str, width: usize) -> String {
    if measure_text_width(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if measure_text_width(&kept) + 1 > width {
            kept.pop();
            break;
        }
    }
    let mut kept = kept.trim_end().to_owned();
    kept.push(CUT);
    kept
}

/// Returns the end of a text that fits into a width, with `…` in place of the rest.
fn cut_start(text: &str, width: usize) -> String {
    let mut kept: Vec<char> = Vec::new();
    let mut used = 1;
    for c in text.chars().rev() {
        used += measure_text_width(c.encode_utf8(&mut [0; 4]));
        if used > width {
            break;
        }
        kept.push(c);
    }
    std::iter::once(CUT).chain(kept.into_iter().rev()).collect()
}

/// Returns the first quarter of a text and its end, which fit into a width, with `…` in place of the rest.
fn cut_middle(text: &str, width: usize) -> String {
    let mut kept = cut_end(text, width / 4 + 1);
    // Its last sign stands for the rest.
    kept.pop();
    let rest = width.saturating_sub(measure_text_width(&kept));
    kept + &cut_start(text, rest)
}

/// Rows of cells under named columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [Column; N]) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    /// Reports whether the table has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints the table on standard output.
    pub(crate) fn print(&self) {
        terminal::clean(&self.within(terminal::look()));
    }

    /// Formats the table for a place.
    pub(crate) fn within(&self, look: Look) -> String {
        match look {
            Look::Pipe => self.separated(),
            Look::Terminal {
                columns,
                colour,
                now,
            } => self.aligned(columns, colour, now),
        }
    }

    /// Formats the table as tab-separated values with a header.
    fn separated(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        let mut lines = vec![names.join("\t")];
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(Cell::exact).collect();
            lines.push(cells.join("\t"));
        }
        lines.join("\n")
    }

    /// Formats the table in columns that fit into a width.
    fn aligned(&self, most: usize, colour: bool, now: SystemTime) -> String {
        let shown: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| cell.shown(now)).collect())
            .collect();
        let widths = self.widths(&shown, most);
        let is_right = |at: usize| {
            let cells = self.rows.iter().map(|row| &row[at]);
            let mut cells = cells.filter(|cell| **cell != Cell::Empty).peekable();
            let has_any = cells.peek().is_some();
            has_any
                && cells
                    .all(|cell| matches!(cell, Cell::Number(_) | Cell::Bytes(_) | Cell::Percent(_)))
        };
        let last = widths.iter().rposition(Option::is_some);
        let line = |text: &dyn Fn(usize) -> (String, Option<console::Style>)| {
            let mut line = String::new();
            for (at, width) in widths.iter().enumerate() {
                let Some(width) = *width else { continue };
                let (text, style) = text(at);
                let text = self.columns[at].fit(&text, width);
                let blank = " ".repeat(width.saturating_sub(measure_text_width(&text)));
                let text = match style {
                    Some(style) => style.apply_to(text).to_string(),
                    None => text,
                };
                match is_right(at) {
                    true => line.extend([&*blank, &*text]),
                    false => line.extend([&*text, &*blank]),
                }
                if Some(at) != last {
                    line.push_str(&" ".repeat(GAP));
                }
            }
            line.trim_end().to_owned()
        };
        let bold = || colour.then(|| console::Style::new().force_styling(true).bold());
        let mut lines = vec![line(&|at| (self.columns[at].name.to_owned(), bold()))];
        for (row, cells) in self.rows.iter().zip(&shown) {
            lines.push(line(&|at| {
                let style = match &row[at] {
                    Cell::State(word) if colour => style_of(word),
                    _ => None,
                };
                (cells[at].clone(), style)
            }));
        }
        lines.join("\n")
    }

    /// Returns the width of each column; `None` for one that is left out.
    fn widths(&self, shown: &[Vec<String>], most: usize) -> Vec<Option<usize>> {
        let natural: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let cells = shown.iter().map(|row| measure_text_width(&row[at]));
                cells
                    .max()
                    .unwrap_or(0)
                    .max(measure_text_width(column.name))
            })
            .collect();
        let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
        let total = |widths: &[Option<usize>]| {
            let kept = widths.iter().flatten();
            kept.clone().sum::<usize>() + GAP * kept.count().saturating_sub(1)
        };
        // Columns without a value tell nothing.
        if total(&widths) > most && !self.rows.is_empty() {
            for (at, width) in widths.iter_mut().enumerate() {
                if self.rows.iter().all(|row| row[at] == Cell::Empty) {
                    *width = None;
                }
            }
        }
        // Columns are left out until the shortest form of the others fits.
        loop {
            let least: Vec<Option<usize>> = widths
                .iter()
                .enumerate()
                .map(|(at, width)| width.map(|width| self.columns[at].least(width)))
                .collect();
            if total(&least) <= most {
                break;
            }
            let kept = (0..widths.len()).filter(|at| widths[*at].is_some());
            let worst = kept
                .filter(|at| self.columns[*at].leave_out > 0)
                .max_by_key(|at| self.columns[*at].leave_out);
            match worst {
                Some(at) => widths[at] = None,
                None => break,
            }
        }
        // The widest column that may be cut is cut first.
        while total(&widths) > most {
            let widest = (0..widths.len())
                .filter(|at| {
                    widths[*at].is_some_and(|width| width > self.columns[*at].least(natural[*at]))
                })
                .max_by_key(|at| widths[*at]);
            let Some(width) = widest.and_then(|at| widths[at].as_mut()) else {
                break;
            };
            *width -= 1;
        }
        widths
    }
}

/// Returns a state with its colour, where colours are shown.
pub(crate) fn coloured(state: &str, look: Look) -> String {
    let shown = plain(state).replace('_', " ");
    match (look, style_of(state)) {
        (Look::Terminal { colour: true, .. }, Some(style)) => style.apply_to(shown).to_string(),
        _ => shown,
    }
}

/// Returns the colour of a state.
fn style_of(state: &str) -> Option<console::Style> {
    let style = console::Style::new().force_styling(true);
    Some(match state {
        "finished" | "fetched" | "completed" | "ended" | "succeeded" => style.green(),
        "running" | "in_progress" | "validating" | "queued" | "finalizing" | "uploaded" => {
            style.cyan()
        }
        "failed" | "refused" | "errored" | "abandoned" => style.red(),
        "in_doubt" | "cancelling" | "expired" | "missing" => style.yellow(),
        _ => return None,
    })
}

/// Named values, one a line.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    rows: Vec<(String, String)>,
}

impl Facts {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    pub(crate) fn row(&mut self, name: &str, value: &str) {
        self.rows.push((plain(name), plain(value)));
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.rows.iter().map(|(name, _)| measure_text_width(name));
        let widest = names.max().unwrap_or(0);
        let lines = self.rows.iter().map(|(name, value)| {
            let blank = " ".repeat(widest - measure_text_width(name) + GAP);
            format!("{name}{blank}{value}").trim_end().to_owned()
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn table() -> Table {
        let mut table = Table::new([
            column("run"),
            column("name").cut_end(8).rank(1),
            column("state"),
            column("done"),
            column("size"),
            column("started"),
            column("output").cut_start(16).rank(2),
        ]);
        table.row([
            "r-1".into(),
            "a name that is rather long".into(),
            Cell::state("in_doubt"),
            123_456_u64.into(),
            Cell::Bytes(1_550),
            at(1_000_000).into(),
            "/a/path/that/is/as/long/as/paths/are/out.jsonl".into(),
        ]);
        table.row([
            "r-22".into(),
            "".into(),
            Cell::state("finished"),
            7_u64.into(),
            Cell::Empty,
            at(1_003_400).into(),
            "out\n2".into(),
        ]);
        table
    }

    fn terminal(columns: usize) -> Look {
        Look::Terminal {
            columns,
            colour: false,
            now: at(1_003_600),
        }
    }

    #[test]
    fn a_table_fits_the_width_of_the_terminal() {
        let wide = "\
run   name                        state        done    size  started    output
r-1   a name that is rather long  in doubt  123,456  1.6 kB  1 h ago    /a/path/that/is/as/long/as/paths/are/out.jsonl
r-22  -                           finished        7       -  3 min ago  out\u{fffd}2";
        assert_eq!(table().within(terminal(120)), wide);
        let shown = table().within(terminal(80));
        assert!(
            shown.lines().all(|line| measure_text_width(line) <= 80),
            "{shown}"
        );
        assert_eq!(shown.lines().count(), 3, "{shown}");
        let narrower = "\
run   name      state        done    size  started
r-1   a name…   in doubt  123,456  1.6 kB  1 h ago
r-22  -         finished        7       -  3 min ago";
        assert_eq!(table().within(terminal(52)), narrower);
    }

    #[test]
    fn a_table_in_a_pipe_is_tab_separated_and_exact() {
        let text = "run\tname\tstate\tdone\tsize\tstarted\toutput
r-1\ta name that is rather long\tin_doubt\t123456\t1550\t1970-01-12T13:46:40Z\t/a/path/that/is/as/long/as/paths/are/out.jsonl
r-22\t\tfinished\t7\t\t1970-01-12T14:43:20Z\tout\u{fffd}2";
        assert_eq!(table().within(Look::Pipe), text);
    }

    #[test]
    fn states_have_colours_that_take_no_room() {
        let look = Look::Terminal {
            columns: 120,
            colour: true,
            now: at(1_003_600),
        };
        let coloured = table().within(look);
        assert!(
            coloured.contains("\u{1b}[32mfinished\u{1b}[0m"),
            "{coloured:?}"
        );
        let plain = console::strip_ansi_codes(&coloured).into_owned();
        assert_eq!(plain, table().within(terminal(120)));
    }

    #[test]
    fn cut_texts_keep_the_part_that_tells_more() {
        assert_eq!(cut_end("abcdef", 4), "abc…");
        assert_eq!(cut_start("abcdef", 4), "…def");
        assert_eq!(cut_end("日本語", 5), "日本…");
        assert_eq!(cut_start("日本語", 5), "…本語");
        assert_eq!(cut_end("abc", 3), "abc");
    }
}
