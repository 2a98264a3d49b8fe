//! A run inside the test's process, with virtual time and a state folder, checked against the provider's bill.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{TryStreamExt as _, stream};
use lmbatch::durable::{FolderSpool, StateFolder};
use lmbatch::{BatchLimit, ErrorKind, Event, LMInvoker, OnDoubt, Outcome, Request, Result};
use lmbatch_core::{BatchProvider, Clock};
use lmbatch_emulator::{Emulator, EmulatorBuilder, Moment, Operation, Pace};
use lmbatch_engine::SystemClock;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::Subject;

/// Maximum virtual time of a run; after it, the run must hold.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// Number of sleeps after which a run counts as endless.
const ENDLESS: u32 = 20_000;

/// A clock that moves forward at each sleep, together with the provider's clock.
#[derive(Debug)]
struct VirtualClock {
    emulator: Arc<Emulator>,
    machine: SystemClock,
    slept: Mutex<Duration>,
    sleeps: AtomicU32,
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> SystemTime {
        self.machine.now() + *self.slept.lock().unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() + *self.slept.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        let sleeps = self.sleeps.fetch_add(1, Ordering::Relaxed);
        assert!(sleeps < ENDLESS, "a run that sleeps without end");
        *self.slept.lock().unwrap() += duration;
        self.emulator.advance(duration);
        tokio::task::yield_now().await;
    }

    // Only sleeps of the work move this clock; its bounds are checked separately.
    async fn reached(&self, at: Duration) {
        while self.elapsed() < at {
            tokio::task::yield_now().await;
        }
    }
}

/// Result of one process that advances a run.
#[derive(Debug)]
pub struct Ended {
    /// Outcomes by id in the order of the requests, or the error that stopped the run.
    pub result: Result<Vec<(String, Outcome)>>,
    /// Warnings of the run.
    pub warnings: Vec<String>,
}

impl Ended {
    /// Returns true if the run holds: it stopped for now, and can be resumed.
    pub fn is_held(&self) -> bool {
        let error = self.result.as_ref().err();
        error.is_some_and(|error| error.kind() == ErrorKind::Timeout)
    }

    /// Returns true if the run stopped because a create is in doubt.
    pub fn is_in_doubt(&self) -> bool {
        let error = self.result.as_ref().err();
        error.is_some_and(|error| error.kind() == ErrorKind::Doubt)
    }

    /// Describes the outcomes, or the error, in one line.
    pub fn words(&self) -> String {
        match &self.result {
            Ok(outcomes) => {
                let words = outcomes.iter().map(|(_, outcome)| outcome.status());
                let words: Vec<&str> = words.map(|status| status.as_str()).collect();
                format!("{words:?}, warnings {:?}", self.warnings)
            }
            Err(error) => format!("{:?}: {error}", error.kind()),
        }
    }
}

/// A run of one subject at an emulator of its own.
#[derive(Debug)]
pub struct Trial {
    /// Emulator that the run talks to.
    pub emulator: Arc<Emulator>,
    /// Provider and route of the run.
    pub subject: &'static Subject,
    /// Prompts, in the order of the requests. The id of the first is `q0`.
    pub prompts: Vec<String>,
    /// Maximum number of requests in one batch; no limit by default.
    pub most: Option<u32>,
    provider: Arc<dyn BatchProvider>,
    folder: TempDir,
}

impl Trial {
    /// Starts a trial of six requests at an emulator whose batches end at once.
    ///
    /// # Panics
    /// If there is no temporary folder or port.
    pub async fn start(subject: &'static Subject) -> Self {
        Self::at(subject, Emulator::builder()).await
    }

    /// Starts a trial of six requests at an emulator with options.
    ///
    /// # Panics
    /// If there is no temporary folder or port.
    pub async fn at(subject: &'static Subject, builder: EmulatorBuilder) -> Self {
        Self::within(subject, builder, scratch()).await
    }

    async fn within(subject: &'static Subject, builder: EmulatorBuilder, folder: TempDir) -> Self {
        let builder = builder.pace(Pace::INSTANT).seed(5);
        let emulator = Arc::new(builder.start().await.unwrap());
        Self {
            // Connected once, since reading the system's certificates takes longer than a run.
            provider: subject.connect(&emulator),
            emulator,
            subject,
            prompts: (0..6).map(|place| format!("prompt {place}")).collect(),
            most: None,
            folder,
        }
    }

    /// Starts a trial whose process was killed at a step: the first time that a call reaches a moment. Without a step,
    /// or if the step is never reached, the run has ended.
    ///
    /// # Panics
    /// If there is no temporary folder or port.
    pub async fn killed_at(subject: &'static Subject, step: Option<(Operation, Moment)>) -> Self {
        let (folder, copy) = (scratch(), scratch());
        let (from, to) = (folder.path().to_owned(), copy.path().to_owned());
        let (stop, copied) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (stops, is_copied) = (Arc::clone(&stop), Arc::clone(&copied));
        let builder = Emulator::builder().on_call(move |operation, moment| {
            if step == Some((operation, moment)) && !is_copied.swap(true, Ordering::SeqCst) {
                copy_folder(&from, &to);
                stops.notify_one();
            }
        });
        let trial = Self::within(subject, builder, folder).await;
        tokio::select! {
            biased;
            () = stop.notified() => {}
            _ = trial.go() => {}
        }
        if !copied.swap(true, Ordering::SeqCst) {
            copy_folder(trial.folder.path(), copy.path());
        }
        Self {
            folder: copy,
            ..trial
        }
    }

    /// Path of the state folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns an invoker of the subject, without a record, on the virtual clock.
    pub fn invoker(&self) -> LMInvoker {
        let provider = Arc::clone(&self.provider);
        LMInvoker::shared(provider, self.subject.model).clock(Arc::new(VirtualClock {
            emulator: Arc::clone(&self.emulator),
            machine: SystemClock::new(),
            slept: Mutex::default(),
            sleeps: AtomicU32::new(0),
        }))
    }

    /// Begins or resumes the run, as a new process would.
    pub async fn go(&self) -> Ended {
        self.go_in(self.folder(), OnDoubt::Hold).await
    }

    /// Begins or resumes the run of a state folder, with a policy for doubtful creates.
    pub async fn go_in(&self, folder: &Path, on_doubt: OnDoubt) -> Ended {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let result = self.process(folder, on_doubt, Arc::clone(&warnings)).await;
        let warnings = std::mem::take(&mut *warnings.lock().unwrap());
        Ended { result, warnings }
    }

    async fn process(
        &self,
        folder: &Path,
        on_doubt: OnDoubt,
        warnings: Arc<Mutex<Vec<String>>>,
    ) -> Result<Vec<(String, Outcome)>> {
        let state = StateFolder::write(folder)?;
        let spool = Arc::new(FolderSpool::new(state.spool()));
        let ledger = Arc::new(state.ledger().await?);
        let limit = BatchLimit {
            max_requests: self.most,
            ..BatchLimit::default()
        };
        let invoker = self.invoker().on_doubt(on_doubt).batch_limit(limit);
        let invoker = invoker.record(ledger, spool);
        let prompts = self.prompts.clone().into_iter().enumerate();
        let requests: Vec<std::io::Result<Request>> = prompts
            .map(|(place, prompt)| Ok(Request::new(format!("q{place}"), prompt)))
            .collect();
        let listen = move |event: &Event<'_>| {
            if let Event::Warning { message, .. } = event {
                warnings.lock().unwrap().push((*message).to_owned());
            }
        };
        let run = invoker.batch().run("trial").max_attempts(3);
        let run = run.timeout(PATIENCE).observe(listen);
        let output = run.requests(stream::iter(requests)).await?;
        let outcomes = output.outcomes()?;
        let outcomes = outcomes.map_ok(|(id, outcome)| (id.as_str().to_owned(), outcome));
        outcomes.try_collect().await
    }

    /// Number of batches that the run needs. Where batches are identified by their request count, their counts differ
    /// as far as possible.
    pub fn batches(&self) -> u64 {
        let most = self.most.map_or(self.prompts.len(), |most| most as usize);
        let (mut left, mut batches) = (self.prompts.len(), 0);
        while left > 0 {
            let fewer = match self.subject.provider == "anthropic" {
                true => batches,
                false => 0,
            };
            left = left.saturating_sub(most.saturating_sub(fewer).max(1));
            batches += 1;
        }
        batches as u64
    }

    /// Returns a complaint about the outcomes: an answer under another id, or a request without exactly one outcome.
    pub fn mixed_up(&self, outcomes: &[(String, Outcome)]) -> Option<String> {
        if outcomes.len() != self.prompts.len() {
            return Some(format!("{} outcomes", outcomes.len()));
        }
        let pairs = outcomes.iter().zip(&self.prompts).enumerate();
        for (place, ((id, outcome), prompt)) in pairs {
            if *id != format!("q{place}") {
                return Some(format!("{id} at {place}"));
            }
            if let Outcome::Succeeded { value, .. } = outcome
                && value.text() != format!("echo: {prompt}")
            {
                return Some(format!("{id}: {:?}", value.text()));
            }
        }
        None
    }

    /// Returns a complaint about a run that should have ended with every answer.
    pub fn not_whole(&self, ended: &Ended) -> Option<String> {
        let Ok(outcomes) = &ended.result else {
            return Some(ended.words());
        };
        let usable = outcomes.iter().all(|(_, outcome)| outcome.is_usable());
        self.mixed_up(outcomes)
            .or_else(|| (!usable).then(|| ended.words()))
    }

    /// Returns a complaint about the bill: each batch is accepted once, and each request is answered at most once.
    pub fn overpaid(&self) -> Option<String> {
        let bill = self.emulator.bill();
        let twice =
            bill.creates > self.batches() || bill.answered_requests > self.prompts.len() as u64;
        twice.then(|| {
            let (creates, answered) = (bill.creates, bill.answered_requests);
            format!("PAID TWICE: {creates} batches, {answered} answers")
        })
    }
}

/// Creates a temporary folder in memory where the system has one, since runs sync their files often.
///
/// # Panics
/// If there is no temporary folder.
pub fn scratch() -> TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a state folder in its current state on the disk.
///
/// # Panics
/// If the folder cannot be copied.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target: PathBuf = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else if let Err(error) = std::fs::copy(&path, &target) {
            // A file of SQLite may disappear while the folder is read.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// Cells of a matrix that broke a promise.
#[derive(Debug, Default)]
pub struct Broken {
    cells: u32,
    broken: Vec<String>,
}

impl Broken {
    /// Records one cell, with its complaint if there is one.
    pub fn note(&mut self, cell: impl std::fmt::Display, complaint: Option<String>) {
        self.cells += 1;
        self.broken
            .extend(complaint.map(|complaint| format!("{cell}: {complaint}")));
    }

    /// Ends the matrix, and fails if any cell broke a promise.
    ///
    /// # Panics
    /// If a promise was broken, or no cell was tried.
    pub fn end(self) {
        assert!(self.cells > 0, "nothing was tried");
        assert!(
            self.broken.is_empty(),
            "{} of {} cells:\n{}",
            self.broken.len(),
            self.cells,
            self.broken.join("\n")
        );
    }
}
