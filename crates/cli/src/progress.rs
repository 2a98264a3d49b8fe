//! Progress of a run: a live line on a terminal, a line on change in a pipe.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use lmbatch::engine::{HandleParts, SystemClock};
use lmbatch::{BatchId, BatchSnapshot, Clock as _, Error, Event, Label, Observer};

use crate::batch_counts::BatchCounts;
use crate::board::Board;
use crate::format;
use crate::progress_line::{Line, Phase};
use crate::session::Session;
use crate::target::Target;
use crate::terminal::{self, plain};
use crate::{hints, screen};

/// Minimum time between two lines about the same phase in a pipe.
const QUIET: Duration = Duration::from_secs(300);

/// Number of batches up to which each batch has lines of its own in a pipe.
const FEW: usize = 10;

#[derive(Debug)]
enum Show {
    Live(ProgressBar),
    /// Times at which a phase was reported last, by the name of the phase.
    Lines(Mutex<HashMap<String, Duration>>),
    /// Shared status of many runs, for one of them.
    Together(Arc<Board>),
    Nothing,
}

/// Handle file to write once the batch exists.
#[derive(Debug)]
struct Handle {
    parts: HandleParts,
    path: PathBuf,
    /// True if an existing file is replaced.
    force: bool,
}

/// Observer of a run that shows its progress, and stores the handle that another process needs to continue it.
#[derive(Debug)]
pub(crate) struct Progress {
    show: Show,
    /// Session with the writer of live counts; `None` for a command that records none.
    session: Option<Arc<Session>>,
    clock: SystemClock,
    handle: Mutex<Option<Handle>>,
    run: Mutex<Option<String>>,
    batches: Mutex<BatchCounts>,
    /// Facts of the live line.
    line: Arc<Mutex<Facts>>,
    /// Number of occurrences of each failure of a repeated call.
    failures: Mutex<BTreeMap<String, u64>>,
    /// Set once results were missing although the provider's counts say that they have ended.
    awaits: AtomicBool,
}

/// Maximum number of distinct failures that are counted; further ones are each reported as new.
const MOST_FAILURES: usize = 256;

/// Facts of the live line, and what the expected end is computed from.
#[derive(Debug, Default)]
struct Facts {
    line: Line,
    /// Number of requests of the run, once it is known.
    requests: u64,
    /// Usual duration of a batch of the account.
    usual: Option<Duration>,
    /// Time at which the first batch was created.
    created_at: Option<SystemTime>,
    /// Time and number of done requests at the first poll.
    first: Option<(Duration, u64)>,
}

impl Facts {
    /// Returns the line as of now.
    fn at(&self, now: SystemTime) -> Line {
        let mut line = self.line.clone();
        line.left = line.left.or_else(|| {
            let end = self.created_at?.checked_add(self.usual?)?;
            Some(end.duration_since(now).unwrap_or_default())
        });
        line
    }

    /// Takes the sums of all batches at a poll.
    fn count(&mut self, now: Duration, batches: &BatchCounts) {
        let sums = batches.sums();
        let line = &mut self.line;
        line.failed = sums.failed;
        // Batches that were created in an earlier attempt are not polled: their requests are not counted here.
        line.total = match sums.total {
            0 => self.requests,
            total => total,
        };
        line.done = sums.done.min(line.total);
        line.batches = (batches.ended() as u64, batches.len() as u64);
        line.batch = batches.only().map(ToString::to_string);
        line.attempt = batches.attempt();
        let (first_at, first_done) = *self.first.get_or_insert((now, line.done));
        let (spent, more) = (
            now.saturating_sub(first_at).as_secs_f64(),
            line.done.saturating_sub(first_done),
        );
        (line.rate, line.left) = (None, None);
        if more > 0 && spent >= 1.0 && line.done < line.total {
            let rate = more as f64 / spent;
            line.rate = Some(rate);
            let seconds = (line.total - line.done) as f64 / rate;
            line.left = Duration::try_from_secs_f64(seconds).ok();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the style of the live line, which is formatted anew at each draw: time passes between two events.
fn style(line: &Arc<Mutex<Facts>>, clock: &SystemClock) -> Option<ProgressStyle> {
    let (line, clock) = (Arc::clone(line), clock.clone());
    let draw = move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
        let line = locked(&line).at(clock.now());
        let text = line.within(screen::columns(), clock.elapsed());
        // Writing to a text cannot fail.
        let _ = out.write_str(&text);
    };
    let style = ProgressStyle::with_template("{spinner} {status}").ok()?;
    Some(style.with_key("status", draw))
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let (line, clock) = (Arc::default(), SystemClock::new());
        let show = if quiet {
            Show::Nothing
        } else if terminal::is_interactive() {
            let bar = screen::spinner(style(&line, &clock));
            terminal::show_live(bar.clone());
            Show::Live(bar)
        } else {
            Show::Lines(Mutex::default())
        };
        Self::shown(show, line, clock)
    }

    /// Returns the progress of one of many runs, whose status `board` shows together.
    pub(crate) fn of_many(board: Arc<Board>, run: &str) -> Self {
        let progress = Self::shown(Show::Together(board), Arc::default(), SystemClock::new());
        progress.keep_run(run);
        progress
    }

    /// Returns the progress with live counts that the session writes for other processes.
    pub(crate) fn recording(mut self, session: &Arc<Session>) -> Self {
        self.session = Some(Arc::clone(session));
        self
    }

    fn shown(show: Show, line: Arc<Mutex<Facts>>, clock: SystemClock) -> Self {
        Self {
            show,
            session: None,
            clock,
            handle: Mutex::default(),
            run: Mutex::default(),
            batches: Mutex::default(),
            line,
            failures: Mutex::default(),
            awaits: AtomicBool::new(false),
        }
    }

    /// Reports whether a live line is shown.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.show, Show::Live(_))
    }

    /// Sets the number of requests of the run, and the usual duration of a batch.
    pub(crate) fn expect(&self, requests: u64, usual: Option<Duration>) {
        let mut line = locked(&self.line);
        (line.requests, line.usual) = (requests, usual);
    }

    /// Reports that the outcomes are written. A live line would be mixed with outcomes on the same terminal.
    pub(crate) fn writing(&self, target: &Target) {
        match target {
            Target::File { .. } | Target::Remote(_) => self.phase(Phase::Writing),
            _ => self.finish(),
        }
    }

    /// Requests that the handle of the batch is written to `path` as soon as the batch exists.
    pub(crate) fn keep_handle(&self, parts: HandleParts, path: PathBuf, force: bool) {
        *locked(&self.handle) = Some(Handle { parts, path, force });
    }

    /// Sets the observed run, once it is recorded.
    pub(crate) fn keep_run(&self, run: &str) {
        *locked(&self.run) = Some(run.to_owned());
        locked(&self.line).line.run = Some(run.to_owned());
    }

    /// Returns the id of the run, if it is recorded.
    pub(crate) fn run(&self) -> Option<String> {
        locked(&self.run).clone()
    }

    /// Returns the number of requests of a batch that were done at its last poll.
    pub(crate) fn done(&self, batch: &BatchId) -> u64 {
        locked(&self.batches).done(batch)
    }

    /// Takes the status of a batch that was polled.
    fn polled(&self, snapshot: &BatchSnapshot) {
        let run = self.run();
        let recorder = self.session.as_ref().and_then(|session| session.recorder());
        if let (Some(recorder), Some(run)) = (recorder, &run) {
            recorder.polled(run, snapshot);
        }
        let mut batches = locked(&self.batches);
        batches.polled(snapshot);
        let done = batches.sums().done;
        match (&self.show, &run) {
            (Show::Together(board), Some(run)) => board.count(run, done),
            (Show::Live(_), _) => {
                let mut facts = locked(&self.line);
                facts.created_at = facts.created_at.or(snapshot.created_at);
                facts.count(self.clock.elapsed(), &batches);
                let is_done = facts.line.total > 0 && facts.line.done == facts.line.total;
                facts.line.phase = match is_done {
                    true => Phase::AwaitingResults,
                    false => Phase::Waiting(snapshot.status.to_string()),
                };
            }
            (Show::Lines(_), _) => {
                let (phase, text) = batches.line(snapshot, FEW);
                drop(batches);
                self.line(&phase, &text);
            }
            _ => {}
        }
    }

    pub(crate) fn finish(&self) {
        if let Show::Live(bar) = &self.show {
            bar.finish_and_clear();
            terminal::end_live();
        }
    }

    /// Shows a phase in the live line.
    fn phase(&self, phase: Phase) {
        if self.is_live() {
            locked(&self.line).line.phase = phase;
        }
    }

    /// Prints a line in a pipe: the first of its phase, and one in five minutes of the others.
    fn line(&self, phase: &str, text: &str) {
        let Show::Lines(said) = &self.show else {
            return;
        };
        let now = self.clock.elapsed();
        let mut said = locked(said);
        let is_due = said
            .get(phase)
            .is_none_or(|at| now.saturating_sub(*at) >= QUIET);
        if is_due {
            terminal::message(&format!(
                "{} {}",
                format::time(self.clock.now()),
                plain(text)
            ));
            // Words of a provider end no phase, and could fill the memory.
            if said.len() >= MOST_FAILURES {
                said.clear();
            }
            said.insert(phase.to_owned(), now);
        }
    }

    /// Shows a state as text: in the live line, or as a line in a pipe.
    fn print(&self, text: &str) {
        self.phase(Phase::Other(text.to_owned()));
        self.line(text, text);
    }

    fn warn(&self, text: &str) {
        match (&self.show, self.run()) {
            (Show::Nothing, _) => {}
            (Show::Together(_), Some(run)) => terminal::warn(&format!("run {run}: {text}")),
            _ => terminal::warn(text),
        }
    }

    /// Reports that the response to a create was lost, how long its batch is searched for, and how to continue.
    fn searching(&self, label: &Label, max_search_time: Duration) {
        let batch = match label.parts() {
            Some((_, number)) => format!("batch {}", number + 1),
            None => "the batch".to_owned(),
        };
        let next = match self.run() {
            Some(run) => format!(
                "; Ctrl-C ends the wait; to repeat the search: {}",
                hints::on_runs(["resume", &run])
            ),
            None => String::new(),
        };
        self.warn(&format!(
            "the provider did not confirm the create of {batch}: searching for it for up to {}; until then the create is not repeated{next}",
            format::wait(max_search_time)
        ));
        self.phase(Phase::Other(format!("searching for {batch}")));
    }

    /// Reports that a call failed. The same failure is reported again when it has occurred 2, 4, 8 and so on times,
    /// since a provider that is down fails the same call for hours.
    fn retrying(&self, error: &Error, wait: Duration) {
        if crate::exit::is_awaited(error) {
            self.awaits.store(true, Ordering::Relaxed);
        }
        if let (Show::Together(board), Some(run)) = (&self.show, self.run()) {
            return board.retrying(&run, error, wait);
        }
        let again = format::soon(wait);
        let text = error.to_string();
        let count = {
            let mut failures = locked(&self.failures);
            if failures.len() >= MOST_FAILURES {
                failures.clear();
            }
            let count = failures.entry(text.clone()).or_insert(0);
            *count += 1;
            *count
        };
        let is_live = matches!(self.show, Show::Live(_));
        match count {
            1 => self.print(&format!("{text}; {again}")),
            count if is_live => self.print(&format!("{text} ({count} times); {again}")),
            count if count.is_power_of_two() => {
                self.print(&format!(
                    "failed again, {count} times so far: {}; {again}",
                    short(error)
                ));
            }
            _ => {}
        }
    }

    /// Reports whether results were missing although the provider's counts say that they have ended.
    pub(crate) fn awaits_results(&self) -> bool {
        self.awaits.load(Ordering::Relaxed)
    }

    fn created(&self, batch: &BatchId, found: bool) {
        locked(&self.batches).created(batch);
        let kept = locked(&self.handle).take();
        if let Some(Handle { parts, path, force }) = kept
            && let Err(error) = write_handle(parts, batch, &path, force)
        {
            self.warn(&format!(
                "{} cannot be written: {error}; note the batch id {batch}",
                path.display()
            ));
        }
        let mut line = locked(&self.line);
        line.created_at.get_or_insert(self.clock.now());
        drop(line);
        self.phase(Phase::Waiting("created".to_owned()));
        let is_one_of_few = locked(&self.batches).len() <= FEW;
        let text = format!("{} batch {batch}", if found { "found" } else { "created" });
        let phase = if is_one_of_few || found {
            &text
        } else {
            "created"
        };
        self.line(phase, &text);
    }
}

fn write_handle(
    parts: HandleParts,
    batch: &BatchId,
    path: &Path,
    force: bool,
) -> std::io::Result<()> {
    let mut file = crate::target::temporary(crate::target::folder(path))?;
    serde_json::to_writer(&mut file, &parts.with_batch(batch.clone()))?;
    file.as_file().sync_all()?;
    if force {
        file.persist(path).map_err(|error| error.error)?;
        return Ok(());
    }
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // The batch exists, so that its handle is kept under the temporary name.
        Err(error) => {
            let (_, kept) = error.file.keep().map_err(|error| error.error)?;
            let message = format!("{}; the handle is in {}", error.error, kept.display());
            Err(std::io::Error::other(message))
        }
    }
}

impl Observer for Progress {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Planned {
                requests, bytes, ..
            } => {
                let mut line = locked(&self.line);
                line.requests = line.requests.max(*requests);
                drop(line);
                self.print(&format!(
                    "read {}, {} to send",
                    format::count(*requests, "request", "requests"),
                    format::bytes(*bytes)
                ));
            }
            Event::SchemaChanged { notes, .. } if !matches!(self.show, Show::Nothing) => {
                terminal::message(&schema_note(notes));
            }
            Event::Staging { bytes, .. } => {
                self.phase(Phase::Uploading(*bytes));
                self.line("uploading", &format!("uploading {}", format::bytes(*bytes)));
            }
            Event::Creating { .. } => {
                self.phase(Phase::Creating);
                self.line("creating", "creating the batch");
            }
            Event::Doubt {
                label,
                max_search_time,
                ..
            } => self.searching(label, *max_search_time),
            Event::Created { batch, found, .. } => self.created(batch, *found),
            Event::Polled { snapshot, .. } => self.polled(snapshot),
            Event::Retrying { error, wait, .. } => self.retrying(error, *wait),
            Event::Fetching { rows, bytes, .. } => self.phase(Phase::Downloading(*rows, *bytes)),
            Event::Requeued {
                requests, attempt, ..
            } => {
                locked(&self.batches).retry(*requests, *attempt);
                self.print(&format!(
                    "sending {} (attempt {attempt})",
                    format::count(*requests, "request", "requests"),
                ));
            }
            Event::Repairing {
                requests, attempt, ..
            } => {
                locked(&self.batches).repair(*requests, *attempt);
                self.print(&format!(
                    "repairing {} (attempt {attempt})",
                    format::count(*requests, "answer", "answers"),
                ));
            }
            Event::Following {
                held,
                ended,
                batches,
                ..
            } => self.print(&match batches {
                0 => format!("{held}; waiting for it"),
                _ => format!("{held}; waiting for it · batches {ended}/{batches}"),
            }),
            Event::Fetched { rows, .. } => {
                let rows = format::count(*rows, "row", "rows");
                let is_one_of_few = locked(&self.batches).len() <= FEW;
                let text = format!("read {rows} of results");
                self.line(if is_one_of_few { &text } else { "read" }, &text);
            }
            Event::Warning { message, .. } => self.warn(message),
            _ => {}
        }
    }
}

/// Formats a failure that was reported before in a few words.
fn short(error: &Error) -> String {
    let kind = error.kind().as_str().replace('_', " ");
    match error.batch() {
        Some(batch) => format!("{kind} (batch {batch})"),
        None => kind,
    }
}

/// Returns one line about the changes that sending makes to schemas.
pub(crate) fn schema_note(notes: &[String]) -> String {
    plain(&format!("schema: {}", notes.join("; ")))
}
