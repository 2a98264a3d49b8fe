//! Progress of a run: a live line on a terminal, a line on change in a pipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lmbatch::engine::HandleParts;
use lmbatch::{BatchId, BatchSnapshot, Error, Event, Label, Observer};

use crate::board::Board;
use crate::format::{self, number};
use crate::hints;
use crate::terminal::{self, plain};

#[derive(Debug)]
enum Show {
    Live(ProgressBar),
    Lines(Mutex<String>),
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
    handle: Mutex<Option<Handle>>,
    run: Mutex<Option<String>>,
    batches: Mutex<BTreeMap<BatchId, Counted>>,
    /// Number of occurrences of each failure of a repeated call.
    failures: Mutex<BTreeMap<String, u64>>,
    /// Set once results were missing although the provider's counts say that they have ended.
    awaits: AtomicBool,
}

/// Maximum number of distinct failures that are counted; further ones are each reported as new.
const MOST_FAILURES: usize = 256;

/// State of a batch at its last poll.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    has_ended: bool,
    done: u64,
    total: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let show = if quiet {
            Show::Nothing
        } else if terminal::is_interactive() {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} · {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            terminal::show_live(bar.clone());
            Show::Live(bar)
        } else {
            Show::Lines(Mutex::default())
        };
        Self::shown(show)
    }

    /// Returns the progress of one of many runs, whose status `board` shows together.
    pub(crate) fn of_many(board: Arc<Board>, run: &str) -> Self {
        let progress = Self::shown(Show::Together(board));
        progress.keep_run(run);
        progress
    }

    fn shown(show: Show) -> Self {
        Self {
            show,
            handle: Mutex::default(),
            run: Mutex::default(),
            batches: Mutex::default(),
            failures: Mutex::default(),
            awaits: AtomicBool::new(false),
        }
    }

    /// Requests that the handle of the batch is written to `path` as soon as the batch exists.
    pub(crate) fn keep_handle(&self, parts: HandleParts, path: PathBuf, force: bool) {
        *locked(&self.handle) = Some(Handle { parts, path, force });
    }

    /// Sets the observed run, once it is recorded.
    pub(crate) fn keep_run(&self, run: &str) {
        *locked(&self.run) = Some(run.to_owned());
    }

    /// Returns the id of the run, if it is recorded.
    pub(crate) fn run(&self) -> Option<String> {
        locked(&self.run).clone()
    }

    /// Returns the number of requests of a batch that were done at its last poll.
    pub(crate) fn done(&self, batch: &BatchId) -> u64 {
        let batches = locked(&self.batches);
        batches.get(batch).map_or(0, |counted| counted.done)
    }

    /// Formats the progress of all batches; `None` for a single batch.
    fn of_several(&self, snapshot: &BatchSnapshot) -> Option<String> {
        let mut batches = locked(&self.batches);
        let counts = snapshot.counts;
        let counted = Counted {
            has_ended: snapshot.status.is_terminal(),
            done: counts.finished(),
            total: counts.total.unwrap_or_default().max(counts.finished()),
        };
        batches.insert(snapshot.id.clone(), counted);
        let done: u64 = batches.values().map(|batch| batch.done).sum();
        if let (Show::Together(board), Some(run)) = (&self.show, self.run()) {
            board.count(&run, done);
        }
        if batches.len() < 2 {
            return None;
        }
        let ended = batches.values().filter(|batch| batch.has_ended).count();
        let total: u64 = batches.values().map(|batch| batch.total).sum();
        Some(format!(
            "batches {ended}/{} · requests {}/{}",
            batches.len(),
            number(done),
            number(total)
        ))
    }

    pub(crate) fn finish(&self) {
        if let Show::Live(bar) = &self.show {
            bar.finish_and_clear();
            terminal::end_live();
        }
    }

    fn tell(&self, text: &str) {
        let text = plain(text);
        match &self.show {
            Show::Live(bar) => bar.set_message(text),
            Show::Lines(last) => {
                let mut last = locked(last);
                if *last != text {
                    terminal::message(&text);
                    *last = text;
                }
            }
            Show::Together(_) | Show::Nothing => {}
        }
    }

    fn warn(&self, text: &str) {
        match (&self.show, self.run()) {
            (Show::Nothing, _) => {}
            (Show::Together(_), Some(run)) => terminal::warn(&format!("run {run}: {text}")),
            _ => terminal::warn(text),
        }
    }

    /// Reports that the response to a create was lost, how long its batch is searched for, and how to continue.
    fn searching(&self, label: &Label, patience: Duration) {
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
            format::wait(patience)
        ));
        if let Show::Live(bar) = &self.show {
            bar.set_message(format!("searching for {batch}"));
        }
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
            1 => self.tell(&format!("{text}; {again}")),
            count if is_live => self.tell(&format!("{text} ({count} times); {again}")),
            count if count.is_power_of_two() => {
                self.tell(&format!(
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
        locked(&self.batches).entry(batch.clone()).or_default();
        let kept = locked(&self.handle).take();
        if let Some(Handle { parts, path, force }) = kept
            && let Err(error) = write_handle(parts, batch, &path, force)
        {
            self.warn(&format!(
                "{} cannot be written: {error}; note the batch id {batch}",
                path.display()
            ));
        }
        self.tell(&format!(
            "{} batch {batch}",
            if found { "found" } else { "created" }
        ));
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
            Event::Planned { requests, bytes } => self.tell(&format!(
                "read {}, {} to send",
                format::count(*requests, "request", "requests"),
                size(*bytes)
            )),
            Event::SchemaChanged { notes } if !matches!(self.show, Show::Nothing) => {
                terminal::message(&schema_note(notes));
            }
            Event::Staging { bytes, .. } => self.tell(&format!("sending {}", size(*bytes))),
            Event::Creating { .. } => self.tell("creating the batch"),
            Event::Doubt { label, patience } => self.searching(label, *patience),
            Event::Created { batch, found, .. } => self.created(batch, *found),
            Event::Polled { snapshot, .. } => {
                if let Some(text) = self.of_several(snapshot) {
                    return self.tell(&text);
                }
                let counts = snapshot.counts;
                // A batch whose requests are all done may still be writing its results.
                let progress = counts
                    .total
                    .map(|total| format!(" · {} of {total}", counts.finished()))
                    .unwrap_or_default();
                self.tell(&format!("{}{progress}", snapshot.status));
            }
            Event::Retrying { error, wait } => self.retrying(error, *wait),
            Event::Fetching { rows, bytes } if matches!(self.show, Show::Live(_)) => {
                let rows = format::count(*rows, "row", "rows");
                self.tell(&format!("reading results · {rows}, {}", size(*bytes)));
            }
            Event::Requeued { requests, attempt } => self.tell(&format!(
                "retrying {} (attempt {attempt})",
                format::count(*requests, "request", "requests"),
            )),
            Event::Following {
                held,
                ended,
                batches,
            } => self.tell(&match batches {
                0 => format!("{held}; waiting for it"),
                _ => format!("{held}; waiting for it · batches {ended}/{batches}"),
            }),
            Event::Fetched { rows } => {
                let rows = format::count(*rows, "row", "rows");
                self.tell(&format!("read {rows} of results"));
            }
            Event::Warning { message } => self.warn(message),
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

fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
