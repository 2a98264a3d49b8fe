//! Progress of many runs at once: one live line on a terminal, lines in a pipe.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lmbatch::engine::SystemClock;
use lmbatch::{Clock as _, Error};

use crate::format::{self, number};
use crate::live::percent;
use crate::screen;
use crate::terminal::{self, plain};

/// Number of requests of a run, and the number that were done at the last poll of its batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    done: u64,
}

/// Status line of all runs of the command.
#[derive(Debug)]
pub(crate) struct Board {
    bar: Option<ProgressBar>,
    /// True if the status is printed as lines.
    has_lines: bool,
    clock: SystemClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Runs that this process advances.
    live: BTreeMap<String, Counts>,
    ended: u64,
    failed: u64,
    /// Runs that other processes advance.
    elsewhere: u64,
    /// Failures of calls that were repeated, by what failed, and how often each came.
    failures: BTreeMap<String, u64>,
    /// Time of the last line in a pipe.
    said_at: Duration,
}

/// Time between two status lines in a pipe.
const QUIET: Duration = Duration::from_secs(300);

impl Board {
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = (!quiet && terminal::is_interactive()).then(|| {
            // `wide_msg` cuts a message to the width of the terminal.
            let style = ProgressStyle::with_template("{spinner} {wide_msg}");
            let bar = screen::spinner(style.ok());
            terminal::show_live(bar.clone());
            bar
        });
        Self {
            has_lines: bar.is_none() && !quiet,
            bar,
            clock: SystemClock::new(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and shows the new status line.
    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let Some(bar) = &self.bar {
            bar.set_message(state.line());
        }
        let now = self.clock.elapsed();
        if self.has_lines && now.saturating_sub(state.said_at) >= QUIET {
            state.said_at = now;
            let at = format::time(self.clock.now());
            terminal::message(&format!("{at} {}", state.line()));
        }
    }

    /// Notes that this process advances a run.
    pub(crate) fn begin(&self, run: &str, requests: u64) {
        self.update(|state| {
            let counts = Counts { requests, done: 0 };
            state.live.insert(run.to_owned(), counts);
        });
    }

    /// Notes that this process does not advance a run any more.
    pub(crate) fn release(&self, run: &str) {
        self.update(|state| {
            state.live.remove(run);
        });
    }

    /// Counts a run that has ended in this process, failed or not.
    pub(crate) fn end(&self, failed: bool) {
        self.update(|state| match failed {
            true => state.failed += 1,
            false => state.ended += 1,
        });
    }

    /// Sets the number of runs that other processes advance.
    pub(crate) fn elsewhere(&self, runs: u64) {
        self.update(|state| state.elsewhere = runs);
    }

    /// Sets the number of requests of a run that are done.
    pub(crate) fn count(&self, run: &str, done: u64) {
        self.update(|state| {
            if let Some(counts) = state.live.get_mut(run) {
                counts.done = done.min(counts.requests);
            }
        });
    }

    /// Reports that a call failed and is repeated. The same failure, of any run, is reported again when it has
    /// occurred 2, 4, 8 and so on times.
    pub(crate) fn retrying(&self, run: &str, error: &Error, wait: Duration) {
        let provider = error.provider().map_or("", |provider| provider.as_str());
        let what = format!("{provider} {}", error.kind().as_str().replace('_', " "));
        let count = {
            let mut state = self.state();
            let count = state.failures.entry(what.clone()).or_insert(0);
            *count += 1;
            *count
        };
        let text = match count {
            1 => format!(
                "run {run}: {}; {}",
                plain(&error.to_string()),
                format::soon(wait)
            ),
            count if count.is_power_of_two() => {
                format!(
                    "failed again, {} times so far: {}",
                    number(count),
                    what.trim()
                )
            }
            _ => return,
        };
        terminal::message(&text);
    }

    /// Removes the live line from the screen.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            terminal::end_live();
        }
    }
}

impl State {
    /// Returns the status line, such as `3 live, 1 failed · requests 5/7`.
    fn line(&self) -> String {
        let mut text = format!("{} live", number(self.live.len() as u64));
        for (count, what) in [
            (self.ended, "ended"),
            (self.failed, "failed"),
            (self.elsewhere, "elsewhere"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {} {what}", number(count)));
            }
        }
        let sum = |of: fn(&Counts) -> u64| self.live.values().map(of).sum::<u64>();
        let (done, all) = (sum(|counts| counts.done), sum(|counts| counts.requests));
        if all > 0 {
            text.push_str(&format!(
                " · requests {}/{} {}%",
                number(done),
                number(all),
                percent(done, all)
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_hundreds_of_runs_fits_into_eighty_columns() {
        let mut state = State {
            ended: 1_200,
            failed: 12,
            elsewhere: 5,
            ..State::default()
        };
        let counts = Counts {
            requests: 3_000,
            done: 999,
        };
        for run in 0..500 {
            state.live.insert(format!("r-{run}"), counts);
        }
        let line = state.line();
        assert_eq!(
            line,
            "500 live, 1,200 ended, 12 failed, 5 elsewhere · requests 499,500/1,500,000 33%"
        );
        assert!(line.chars().count() <= 78, "{line}");
    }

    #[test]
    fn a_released_run_is_not_counted() {
        let board = Board::new(true);
        board.begin("a", 5);
        board.begin("b", 2);
        board.count("a", 3);
        // The provider counts more requests than were sent.
        board.count("b", 9);
        assert_eq!(board.state().line(), "2 live · requests 5/7 71%");
        board.release("a");
        board.end(true);
        board.count("a", 4);
        assert_eq!(board.state().line(), "1 live, 1 failed · requests 2/2 100%");
    }
}
