//! What a run shows while it goes on: a live line on a terminal, a line on change in a pipe.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lmbatch_core::{BatchId, BatchSnapshot};
use lmbatch_engine::{Event, HandleParts, Observer};

use crate::terminal;

#[derive(Debug)]
enum Show {
    Live(ProgressBar),
    Lines(Mutex<String>),
    Nothing,
}

/// Listens to a run for people, and keeps what another process needs to go on.
#[derive(Debug)]
pub(crate) struct Progress {
    show: Show,
    handle: Mutex<Option<(HandleParts, PathBuf)>>,
    run: Mutex<Option<String>>,
    /// Whether each batch has ended, and how many of its requests are done.
    batches: Mutex<BTreeMap<BatchId, (bool, u64)>>,
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
            Show::Live(bar)
        } else {
            Show::Lines(Mutex::default())
        };
        Self {
            show,
            handle: Mutex::default(),
            run: Mutex::default(),
            batches: Mutex::default(),
        }
    }

    /// As soon as the batch exists, its handle is written to `path`.
    pub(crate) fn keep_handle(&self, parts: HandleParts, path: PathBuf) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some((parts, path));
    }

    /// The run that this is of, once it is recorded.
    pub(crate) fn keep_run(&self, run: &str) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.to_owned());
    }

    /// The run, if there is a record of it.
    pub(crate) fn run(&self) -> Option<String> {
        self.run
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How far all batches are, where there are several.
    fn of_several(&self, snapshot: &BatchSnapshot) -> Option<String> {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (snapshot.status.is_terminal(), snapshot.counts.finished());
        batches.insert(snapshot.id.clone(), now);
        if batches.len() < 2 {
            return None;
        }
        let ended = batches.values().filter(|(ended, _)| *ended).count();
        let done: u64 = batches.values().map(|(_, done)| done).sum();
        Some(format!(
            "{ended} of {} batches have ended · {done} requests are done",
            batches.len()
        ))
    }

    pub(crate) fn finish(&self) {
        if let Show::Live(bar) = &self.show {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, text: String) {
        match &self.show {
            Show::Live(bar) => bar.set_message(text),
            Show::Lines(last) => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if *last != text {
                    terminal::say(&text);
                    *last = text;
                }
            }
            Show::Nothing => {}
        }
    }

    fn warn(&self, text: &str) {
        match &self.show {
            Show::Live(bar) => bar.suspend(|| terminal::say(&format!("warning: {text}"))),
            Show::Lines(_) => terminal::say(&format!("warning: {text}")),
            Show::Nothing => {}
        }
    }

    fn created(&self, batch: &BatchId, found: bool) {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        batches.insert(batch.clone(), (false, 0));
        drop(batches);
        let kept = self
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((parts, path)) = kept
            && let Err(error) = write_handle(parts, batch, &path)
        {
            self.warn(&format!(
                "{} cannot be written: {error}; note the batch id {batch}",
                path.display()
            ));
        }
        self.tell(format!(
            "{} batch {batch}",
            if found { "found" } else { "created" }
        ));
    }
}

fn write_handle(
    parts: HandleParts,
    batch: &BatchId,
    path: &std::path::Path,
) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(std::path::Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".lmbatch-")
        .tempfile_in(folder)?;
    serde_json::to_writer(&mut file, &parts.with_batch(batch.clone()))?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

impl Observer for Progress {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Planned { requests, bytes } => self.tell(format!(
                "read {requests} requests, {} to send",
                size(*bytes)
            )),
            Event::Staging { bytes, .. } => self.tell(format!("sending {}", size(*bytes))),
            Event::Creating { .. } => self.tell("creating the batch".to_owned()),
            Event::Doubt { .. } => self.warn(
                "the answer to the create was lost; looking for the batch, and creating none",
            ),
            Event::Created { batch, found, .. } => self.created(batch, *found),
            Event::Polled { snapshot, .. } => {
                if let Some(text) = self.of_several(snapshot) {
                    return self.tell(text);
                }
                let counts = snapshot.counts;
                // A count of all is not the end: results are still being written.
                let progress = counts
                    .total
                    .map(|total| format!(" · {} of {total}", counts.finished()))
                    .unwrap_or_default();
                self.tell(format!(
                    "{}{progress}",
                    terminal::plain(snapshot.status.as_str())
                ));
            }
            Event::Retrying { error, wait } => {
                self.tell(format!("{error}; again in {:.1} s", wait.as_secs_f64()))
            }
            Event::Fetching { rows, bytes } if matches!(self.show, Show::Live(_)) => {
                self.tell(format!("reading results · {rows} rows, {}", size(*bytes)))
            }
            Event::Requeued { requests, attempt } => self.tell(format!(
                "{requests} requests were not answered and go out again (try {attempt})"
            )),
            Event::Following {
                held,
                ended,
                batches,
            } => self.tell(match batches {
                0 => format!("{held}; waiting for it"),
                _ => format!("{held}; waiting for it · {ended} of {batches} batches have ended"),
            }),
            Event::Fetched { rows } => self.tell(format!("read {rows} rows of results")),
            Event::Warning { message } => self.warn(&terminal::plain(message)),
            _ => {}
        }
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1000 => format!("{bytes} B"),
        1000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
