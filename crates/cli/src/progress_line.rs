//! Status line of a run on a terminal: phase, bar, counts, failures, rate, expected end, run and batch.

use std::time::Duration;

use console::measure_text_width;

use crate::format::{self, number};
use crate::live::percent;
use crate::plain::plain;
use crate::table::cut_end;

/// Cells of the bar.
const BAR: usize = 16;

/// Phase of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The requests are read and encoded.
    #[default]
    Reading,
    /// The input of a batch of this many bytes is uploaded.
    Uploading(u64),
    /// A create was sent.
    Creating,
    /// The provider has the batches; their state in a word of the provider.
    Waiting(String),
    /// Every request is done, and the provider has not published the results yet.
    AwaitingResults,
    /// Rows and bytes of results were read.
    Downloading(u64, u64),
    /// The outcomes are written to the output.
    Writing,
    /// Another state, as text.
    Other(String),
}

impl Phase {
    fn text(&self) -> String {
        match self {
            Self::Reading => "reading the input".to_owned(),
            Self::Uploading(bytes) => format!("uploading {}", format::bytes(*bytes)),
            Self::Creating => "creating the batch".to_owned(),
            Self::Waiting(state) => format!("waiting: {}", plain(state).replace('_', " ")),
            Self::AwaitingResults => "waiting for the results".to_owned(),
            Self::Downloading(rows, bytes) => format!(
                "downloading {}, {}",
                format::count(*rows, "row", "rows"),
                format::bytes(*bytes)
            ),
            Self::Writing => "writing the output".to_owned(),
            Self::Other(text) => plain(text),
        }
    }
}

/// Facts of a status line.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line {
    pub(crate) phase: Phase,
    pub(crate) run: Option<String>,
    /// The batch, if there is only one.
    pub(crate) batch: Option<String>,
    /// Numbers of ended batches and of all batches.
    pub(crate) batches: (u64, u64),
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) failed: u64,
    /// Attempt that is under way, after the first of the command.
    pub(crate) attempt: Option<u32>,
    /// Requests per second since the first poll.
    pub(crate) rate: Option<f64>,
    /// Time until the expected end; zero if it has passed.
    pub(crate) left: Option<Duration>,
}

/// Part of a line; parts of the highest rank are left out first.
struct Part {
    rank: u8,
    text: String,
}

impl Line {
    /// Formats the line for a width in columns, `elapsed` after the start of the command.
    pub(crate) fn within(&self, columns: usize, elapsed: Duration) -> String {
        let mut parts = self.parts(elapsed);
        loop {
            let text: String = parts.iter().map(|part| part.text.as_str()).collect();
            if measure_text_width(&text) <= columns {
                return text;
            }
            let worst = (0..parts.len()).max_by_key(|at| parts[*at].rank);
            match worst {
                Some(at) if parts[at].rank > 0 => drop(parts.remove(at)),
                _ => return cut_end(&text, columns),
            }
        }
    }

    fn parts(&self, elapsed: Duration) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut add = |rank: u8, text: String| parts.push(Part { rank, text });
        add(0, self.phase.text());
        let is_counted = self.total > 0 && !matches!(self.phase, Phase::Other(_));
        if is_counted {
            add(3, format!(" {}", bar(self.done, self.total)));
            add(
                1,
                format!(
                    " {}/{} {}%",
                    number(self.done),
                    number(self.total),
                    percent(self.done, self.total)
                ),
            );
            if self.failed > 0 {
                add(1, format!(" · {} failed", number(self.failed)));
            }
            if let Some(attempt) = self.attempt {
                add(4, format!(" · attempt {attempt}"));
            }
            if let (_, several @ 2..) = self.batches {
                let ended = self.batches.0;
                add(
                    4,
                    format!(" · batches {}/{}", number(ended), number(several)),
                );
            }
            if let Some(rate) = self.rate {
                add(5, format!(" · {}", rate_text(rate)));
            }
            if matches!(self.phase, Phase::Waiting(_)) {
                let end = match self.left {
                    Some(Duration::ZERO) => "overdue".to_owned(),
                    Some(left) => format!("ETA {}", format::coarse(left)),
                    None => "ETA unknown".to_owned(),
                };
                add(2, format!(" · {end}"));
            }
        }
        if let Some(run) = &self.run {
            add(6, format!(" · {}", plain(run)));
        }
        if let Some(batch) = &self.batch {
            add(8, format!(" · {}", plain(batch)));
        }
        add(7, format!(" · {}", format::coarse(elapsed)));
        parts
    }
}

fn bar(done: u64, total: u64) -> String {
    let full = (u128::from(done) * BAR as u128 / u128::from(total.max(1))) as usize;
    let full = full.min(BAR);
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

/// Formats a rate in requests per second, or per minute if it is below one.
fn rate_text(rate: f64) -> String {
    match rate {
        rate if rate >= 10.0 => format!("{}/s", number(rate.round() as u64)),
        rate if rate >= 1.0 => format!("{rate:.1}/s"),
        rate => format!("{}/min", (rate * 60.0).round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(phase: Phase) -> Line {
        Line {
            phase,
            run: Some("r-b7h0xn".to_owned()),
            batch: Some("batch_68b7f0c2a1".to_owned()),
            batches: (0, 1),
            done: 437,
            total: 5_000,
            failed: 3,
            attempt: None,
            rate: Some(12.4),
            left: Some(Duration::from_secs(1_500)),
        }
    }

    #[test]
    fn a_status_line_fits_eighty_and_a_hundred_and_twenty_columns() {
        let elapsed = Duration::from_secs(130);
        let waiting = line(Phase::Waiting("in_progress".to_owned()));
        assert_eq!(
            waiting.within(118, elapsed),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · 12/s · ETA 25 min · r-b7h0xn · 2 min"
        );
        assert_eq!(
            waiting.within(78, elapsed),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · ETA 25 min"
        );
        assert_eq!(
            waiting.within(130, elapsed),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · 12/s · ETA 25 min · r-b7h0xn · batch_68b7f0c2a1 · 2 min"
        );
        assert_eq!(
            waiting.within(40, elapsed),
            "waiting: in progress 437/5,000 8%"
        );
        assert_eq!(waiting.within(10, elapsed), "waiting:…");
        let late = Line {
            left: Some(Duration::ZERO),
            ..waiting
        };
        assert_eq!(
            late.within(78, elapsed),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · 12/s · overdue"
        );
    }

    #[test]
    fn an_attempt_after_the_first_is_named() {
        let retried = Line {
            attempt: Some(2),
            ..line(Phase::Waiting("in_progress".to_owned()))
        };
        assert_eq!(
            retried.within(118, Duration::from_secs(130)),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · attempt 2 · 12/s · ETA 25 min · r-b7h0xn · 2 min"
        );
    }

    #[test]
    fn each_phase_is_named() {
        for (phase, text) in [
            (Phase::Reading, "reading the input"),
            (Phase::Uploading(17_200_000), "uploading 17.2 MB"),
            (Phase::Creating, "creating the batch"),
            (Phase::AwaitingResults, "waiting for the results"),
            (
                Phase::Downloading(3_000, 2_100_000),
                "downloading 3,000 rows, 2.1 MB",
            ),
            (Phase::Writing, "writing the output"),
        ] {
            let line = Line {
                phase,
                ..Line::default()
            };
            let expected = format!("{text} · 5 s");
            assert_eq!(line.within(80, Duration::from_secs(5)), expected);
        }
    }

    #[test]
    fn several_batches_are_counted() {
        let several = Line {
            batch: None,
            batches: (3, 12),
            rate: Some(0.5),
            left: None,
            ..line(Phase::Waiting("in_progress".to_owned()))
        };
        assert_eq!(
            several.within(118, Duration::from_secs(7_300)),
            "waiting: in progress █░░░░░░░░░░░░░░░ 437/5,000 8% · 3 failed · batches 3/12 · 30/min · ETA unknown · r-b7h0xn · 2 h"
        );
    }
}
