//! A run: shards become batches, batches are waited for, results are sealed. Each step is noted before
//! the next, so that any process can go on from any of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{
    BatchId, BatchProblem, BatchSnapshot, BatchStatus, Certainty, Error, ErrorKind, RequestError,
    Result, Retry, RunRecord, Segment, ShardRecord, ShardState,
};

use crate::create::Created;
use crate::delivered::Delivered;
use crate::engine::{Engine, RunOptions, blocking};
use crate::event::Event;
use crate::fetch::{Ended, Fetched, Harvest};
use crate::finished::Finished;
use crate::joiner::Joiner;
use crate::noted::Noted;
use crate::plan::{Plan, PlannedShard};
use crate::policy::OnDoubt;
use crate::poll::{Poll, unfinished};
use crate::results::{Results, segment_number};
use crate::spool::Files;

/// Stands for the batch of a shard that has none, and will have none.
pub(crate) const NO_BATCH: &str = "none";

/// A run under way.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) run: RunRecord,
    pub(crate) plan: Plan,
    pub(crate) works: Vec<Work>,
    pub(crate) harvest: Harvest<'a>,
    /// Whether its batches were asked to end, since its caller has had enough.
    heeded: bool,
    /// The first thing that no waiting cures: nothing more is created, and what exists is fetched.
    failure: Option<Error>,
    /// Sealed files whose checksums differ: their batches are read again from the provider.
    damaged: Vec<String>,
    /// How long results that are not whole are asked for again.
    patience: Duration,
    /// Batches that had ended before: their results were asked for by an earlier process.
    asked_before: HashSet<BatchId>,
}

/// How long results are asked for again that were asked for before, and are given up otherwise.
const LAST_PATIENCE: Duration = Duration::from_secs(30);

/// A shard on its way.
pub(crate) struct Work {
    pub(crate) planned: PlannedShard,
    pub(crate) noted: Noted,
    pub(crate) stage: Stage,
    /// Whether its body was checked by this process.
    verified: bool,
}

/// Where a shard stands.
pub(crate) enum Stage {
    /// To be created.
    Waiting,
    /// A create was sent by a process that died.
    Unsure(Box<lmbatch_core::Intent>),
    /// Its batch goes on.
    Going(Poll, Certainty),
    /// Its batch has ended.
    Ended(BatchSnapshot, Certainty),
    /// Its results are here, but for so many requests that ended by the provider's counts.
    Sealed(BatchSnapshot, u64),
    /// Nothing more is done for it in this process.
    Stuck,
}

impl Work {
    pub(crate) fn new(planned: PlannedShard, noted: Noted, stage: Stage) -> Self {
        Self {
            planned,
            noted,
            stage,
            verified: false,
        }
    }

    /// Checks its body once, however often the provider has no room for its create.
    pub(crate) async fn verify(&mut self, files: &Arc<Files>) -> Result<()> {
        if !self.verified {
            self.planned.verify(files).await?;
            self.verified = true;
        }
        Ok(())
    }

    fn is_to_be_created(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Unsure(_))
    }

    /// Its caller gives it up: its requests are errors, whatever became of its create.
    async fn abandon(&mut self, engine: &Engine, error: &Error) -> Result<()> {
        self.seal_without(engine, abandoned(error)).await
    }

    /// There is no batch, and will be none. It is noted, or whoever comes next would create it.
    async fn seal_without(&mut self, engine: &Engine, snapshot: BatchSnapshot) -> Result<()> {
        let state = ShardState::Sealed {
            snapshot: snapshot.clone(),
            segments: Vec::new(),
            undelivered: 0,
        };
        self.noted.advance(engine, state).await?;
        self.stage = Stage::Sealed(snapshot, 0);
        Ok(())
    }
}

impl<'a> Job<'a> {
    /// A run as the ledger knows it; what was sealed is read again.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a file that cannot be had again is damaged.
    pub(crate) async fn new(engine: &'a Engine, run: RunRecord, plan: Plan) -> Result<Job<'a>> {
        let (files, checksums) = (Arc::clone(&plan.files), run.checksums.clone());
        let handles = Arc::clone(&plan.handles);
        let joiner = blocking(move || {
            let mut checks = checksums.iter();
            checks.try_for_each(|(what, checksum)| files.verify(what, *checksum))?;
            Joiner::of_run(&handles)
        })
        .await??;
        let mut harvest = Harvest::new(engine, joiner, Arc::clone(&plan.files));
        let records = engine.ledger.shards(&run.id).await?;
        let mut works = Vec::with_capacity(records.len());
        let mut asked_before = HashSet::new();
        let mut sealed = Vec::new();
        for (planned, record) in plan.shards.iter().zip(records) {
            let proof = record.proof.as_ref();
            let certainty = proof.map_or(Certainty::Proved, |proof| proof.certainty);
            let stage = match record.state.clone() {
                ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                    Stage::Unsure(Box::new(intent))
                }
                ShardState::Created { batch, proof } => {
                    Stage::Going(Poll::new(engine, batch), proof.certainty)
                }
                ShardState::Ended(snapshot) => {
                    asked_before.insert(snapshot.id.clone());
                    Stage::Ended(snapshot, certainty)
                }
                ShardState::Sealed {
                    snapshot,
                    segments,
                    undelivered,
                } => {
                    sealed.push(SealedShard {
                        at: works.len(),
                        delivered: plan.delivered(planned)?,
                        attempt: record.attempt,
                        segments,
                    });
                    Stage::Sealed(snapshot, undelivered)
                }
                // Planned, staged, or refused by a provider that may have changed its mind.
                _ => Stage::Waiting,
            };
            let noted = Noted::new(&record, &plan.handles, engine.is_durable());
            works.push(Work::new(planned.clone(), noted, stage));
        }
        let spoilt = harvest
            .with(move |results| read_again(results, sealed))
            .await??;
        let mut damaged = Vec::new();
        for (at, names) in spoilt {
            let work = &mut works[at];
            // It was sealed, so that its rows were ours.
            if let Stage::Sealed(snapshot, _) = &work.stage {
                work.stage = Stage::Ended(snapshot.clone(), Certainty::Proved);
            }
            damaged.extend(names);
        }
        Ok(Self {
            engine,
            run,
            plan,
            works,
            harvest,
            heeded: false,
            failure: None,
            damaged,
            patience: engine.doubt.patience(),
            asked_before,
        })
    }

    /// Refuses a run of which a batch is not sealed: what is sent again now might be answered twice.
    pub(crate) fn must_have_ended(&self) -> Result<()> {
        let is_sealed = |work: &Work| matches!(work.stage, Stage::Sealed(..));
        if self.works.iter().all(is_sealed) {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "the run {} has not ended; resume it first",
            self.run.id
        )))
    }

    /// Whether sealed results are damaged, so that they have to be read again from the provider.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Takes every shard as far as it goes.
    pub(crate) async fn drive(mut self, options: RunOptions) -> Result<Finished> {
        let start = self.engine.started();
        if options.once {
            self.patience = Duration::ZERO;
        }
        for name in std::mem::take(&mut self.damaged) {
            let message =
                format!("the file {name} is damaged; its results are read again from the provider");
            self.engine.tell(&Event::Warning { message: &message });
        }
        loop {
            self.create_all().await?;
            self.heed().await?;
            self.poll_all().await?;
            self.fetch_all().await?;
            let next = self.works.iter().filter_map(|work| match &work.stage {
                Stage::Going(poll, _) => Some(poll.next),
                _ => None,
            });
            let Some(next) = next.min() else {
                if self.failure.is_none() && self.waits() {
                    // Something was refused for now, and nothing is left that could make room.
                    continue;
                }
                if let Some(error) = self.failure.take() {
                    return Err(error);
                }
                if !self.run.cancelled && self.requeue(options.max_attempts.unwrap_or(1)).await? {
                    continue;
                }
                return self.finish().await;
            };
            if options.once {
                return Err(self.stopped(|job| job.unfinished("it goes on")));
            }
            let impatience = self.works.iter().find_map(|work| match &work.stage {
                Stage::Going(poll, _) => poll.impatience(start, &options),
                _ => None,
            });
            if let Some(error) = impatience {
                return Err(self.stopped(|_| error));
            }
            let now = self.engine.clock.elapsed();
            self.engine.clock.sleep(next.saturating_sub(now)).await;
        }
    }

    /// What is sealed already, if that is all of it. Asks no one.
    pub(crate) async fn sealed(self) -> Result<Finished> {
        if let Some(name) = self.damaged.first() {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the file {name} of the spool is damaged: its checksum is not the one in the record; when the run is resumed its results are read again from the provider"
            )));
        }
        let mut snapshots = Vec::with_capacity(self.works.len());
        for work in &self.works {
            match &work.stage {
                Stage::Sealed(snapshot, undelivered) => {
                    snapshots.push((snapshot.clone(), *undelivered));
                }
                _ => {
                    return Err(Error::new(ErrorKind::InvalidInput)
                        .with_message(format!("the run {} has not ended", self.run.id)));
                }
            }
        }
        self.outcomes(snapshots).await
    }

    /// What is sealed so far. Asks no one.
    pub(crate) async fn partial(self) -> Result<Finished> {
        for name in &self.damaged {
            let message = format!(
                "the file {name} of the spool is damaged, and its outcomes are left out; when the run is resumed they are read again from the provider"
            );
            self.engine.tell(&Event::Warning { message: &message });
        }
        let snapshots = self.works.iter().map(|work| match &work.stage {
            Stage::Sealed(snapshot, undelivered) => (snapshot.clone(), *undelivered),
            Stage::Ended(BatchSnapshot { id: batch, .. }, _)
            | Stage::Going(Poll { batch, .. }, _) => (going(batch.clone()), 0),
            _ => (going(BatchId::new(NO_BATCH)), 0),
        });
        let snapshots = snapshots.collect();
        self.outcomes(snapshots).await
    }

    async fn outcomes(mut self, batches: Vec<(BatchSnapshot, u64)>) -> Result<Finished> {
        let (snapshots, undelivered) = batches.into_iter().unzip();
        let (plan, attempt) = (self.plan, self.run.attempt);
        let finished = self
            .harvest
            .with(move |results| results.finish_run(&plan, snapshots, undelivered, attempt))
            .await??;
        self.harvest.tell_of(&finished);
        Ok(finished)
    }

    fn waits(&self) -> bool {
        self.works.iter().any(Work::is_to_be_created)
    }

    fn is_going(&self) -> bool {
        self.works
            .iter()
            .any(|work| matches!(work.stage, Stage::Going(..)))
    }

    /// What is said to whoever leaves while batches go on: first what no waiting cures.
    fn stopped(&mut self, otherwise: impl FnOnce(&Self) -> Error) -> Error {
        let failure = self.failure.take();
        failure.unwrap_or_else(|| otherwise(self))
    }

    fn unfinished(&self, message: &str) -> Error {
        let batch = self.works.iter().find_map(|work| match &work.stage {
            Stage::Going(poll, _) => Some(poll.batch.clone()),
            _ => None,
        });
        unfinished(&batch.unwrap_or_else(|| BatchId::new("")), message)
    }

    /// Creates every batch that the provider takes now, one after the other: first those that may be
    /// there, since a batch that is made before they are found could be taken for them.
    async fn create_all(&mut self) -> Result<()> {
        let mut order: Vec<usize> = (0..self.works.len()).collect();
        order.sort_by_key(|at| !matches!(self.works[*at].stage, Stage::Unsure(_)));
        for at in order {
            if self.failure.is_some() {
                return Ok(());
            }
            if !self.works[at].is_to_be_created() {
                continue;
            }
            let cancelled = self.heed().await?;
            if cancelled && matches!(self.works[at].stage, Stage::Waiting) {
                self.call_off(at).await?;
                continue;
            }
            let work = &mut self.works[at];
            let created = match std::mem::replace(&mut work.stage, Stage::Waiting) {
                Stage::Waiting => match work.verify(&self.plan.files).await {
                    Ok(()) => {
                        self.engine
                            .create(&work.planned.shard, &mut work.noted)
                            .await
                    }
                    Err(error) => Err(error),
                },
                Stage::Unsure(intent) => {
                    let recovered = work.recover(self.engine, &self.plan.files, &intent).await;
                    match recovered {
                        Ok(Some(created)) => Ok(created),
                        Ok(None) if cancelled => {
                            self.call_off(at).await?;
                            continue;
                        }
                        Ok(None) => match work.verify(&self.plan.files).await {
                            Ok(()) => {
                                let shard = &work.planned.shard;
                                self.engine.create(shard, &mut work.noted).await
                            }
                            Err(error) => Err(error),
                        },
                        Err(error) => Err(error),
                    }
                }
                other => {
                    work.stage = other;
                    continue;
                }
            };
            match created {
                Ok(Created { batch, certainty }) => {
                    work.stage = Stage::Going(Poll::new(self.engine, batch), certainty);
                    if cancelled {
                        self.call_off(at).await?;
                    }
                }
                // Enqueued tokens, batches at once, creates an hour: others make room when they end.
                Err(error) if is_for_now(&error) && self.is_going() => return Ok(()),
                Err(error)
                    if error.kind() == ErrorKind::Doubt
                        && self.engine.on_doubt == OnDoubt::Abandon =>
                {
                    self.works[at].abandon(self.engine, &error).await?;
                }
                Err(error) => self.stick(at, error),
            }
        }
        Ok(())
    }

    /// What no waiting cures keeps no other batch from being waited for and fetched.
    fn stick(&mut self, at: usize, error: Error) {
        self.works[at].stage = Stage::Stuck;
        if self.failure.is_none() && self.is_going() {
            let message = format!("{error}; nothing more is created, and what exists is fetched");
            self.engine.tell(&Event::Warning { message: &message });
        }
        self.failure.get_or_insert(error);
    }

    /// Asks for every batch that is due.
    async fn poll_all(&mut self) -> Result<()> {
        for at in 0..self.works.len() {
            let work = &mut self.works[at];
            let Stage::Going(poll, certainty) = &mut work.stage else {
                continue;
            };
            if poll.next > self.engine.clock.elapsed() {
                continue;
            }
            let certainty = *certainty;
            match poll.ask(self.engine).await {
                Ok(None) => {}
                Ok(Some(snapshot)) => {
                    let state = ShardState::Ended(snapshot.clone());
                    work.noted.advance(self.engine, state).await?;
                    work.stage = Stage::Ended(snapshot, certainty);
                }
                Err(error) => {
                    let batch = poll.batch.clone();
                    self.fail(at, certainty, &batch, error).await?;
                }
            }
        }
        Ok(())
    }

    /// A batch that is not there was not ours, if we only presumed it; anything else is the end of it.
    async fn fail(
        &mut self,
        at: usize,
        certainty: Certainty,
        batch: &BatchId,
        error: Error,
    ) -> Result<()> {
        let is_gone = matches!(
            error.kind(),
            ErrorKind::BatchNotFound | ErrorKind::FileNotFound
        );
        if certainty == Certainty::Presumed && is_gone {
            return self.disown(at, batch, error).await;
        }
        self.stick(at, error);
        Ok(())
    }

    /// A batch that was presumed is someone else's: what it was taken for is looked for again.
    async fn disown(&mut self, at: usize, batch: &BatchId, error: Error) -> Result<()> {
        let message = error.to_string();
        self.engine.tell(&Event::Warning { message: &message });
        let work = &mut self.works[at];
        match work.noted.doubt_again(self.engine, batch).await? {
            Some(intent) => work.stage = Stage::Unsure(Box::new(intent)),
            None => self.stick(at, error),
        }
        Ok(())
    }

    /// Fetches every batch that has ended, and seals it.
    async fn fetch_all(&mut self) -> Result<()> {
        for at in 0..self.works.len() {
            let work = &mut self.works[at];
            let Stage::Ended(snapshot, certainty) = &work.stage else {
                continue;
            };
            let (snapshot, certainty) = (snapshot.clone(), *certainty);
            let gives_up = self.engine.on_doubt == OnDoubt::Abandon;
            let is_last = gives_up && self.asked_before.contains(&snapshot.id);
            let class = work.planned.shard.class.clone();
            let ended = Ended {
                snapshot: &snapshot,
                class: Some(&class),
                requests: Some(u64::from(work.planned.shard.count)),
                attempt: work.planned.attempt,
                certainty,
                patience: match is_last {
                    true => self.patience.min(LAST_PATIENCE),
                    false => self.patience,
                },
            };
            let delivered = self.plan.delivered(&work.planned)?;
            let (segments, undelivered) = match self.harvest.batch(&ended, delivered).await {
                Ok(Fetched::Whole {
                    segments,
                    undelivered,
                    ..
                }) => (segments, undelivered),
                Ok(Fetched::Strangers) => {
                    let label = work.planned.shard.label.clone();
                    let error = a_strangers(&snapshot.id).with_label(label);
                    self.disown(at, &snapshot.id, error).await?;
                    continue;
                }
                Err(error) => {
                    self.fail(at, certainty, &snapshot.id, error).await?;
                    continue;
                }
            };
            let state = ShardState::Sealed {
                snapshot: snapshot.clone(),
                segments,
                undelivered,
            };
            work.noted.advance(self.engine, state).await?;
            work.stage = Stage::Sealed(snapshot, undelivered);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Finished> {
        // Before the run is noted as finished: from then on no process looks for them.
        let known = self.known_batches();
        let twins = self.engine.find_twins(known).await;
        self.note(self.run.attempt, true, &[]).await?;
        let finished = self.sealed().await?;
        Ok(Finished { twins, ..finished })
    }

    /// Notes where the run is, with what is new of it; what others may change of it meanwhile stays.
    pub(crate) async fn note(
        &mut self,
        attempt: u32,
        finished: bool,
        new: &[ShardRecord],
    ) -> Result<()> {
        let ours = self.run.clone();
        let change = |run: &mut RunRecord| {
            if run.attempt != ours.attempt {
                let message = format!("the run {}", run.id);
                return Err(Error::new(ErrorKind::Conflict).with_message(message));
            }
            *run = RunRecord {
                attempt,
                finished,
                cancelled: run.cancelled,
                cleaned: run.cleaned,
                notes: run.notes.clone(),
                epoch: run.epoch,
                ..ours.clone()
            };
            Ok(())
        };
        self.run = self.engine.change(&self.run, new, change).await?;
        Ok(())
    }

    /// Whether its caller has had enough of it by now, from here or from another process: what exists is
    /// cancelled then, and what does not exist is not created.
    async fn heed(&mut self) -> Result<bool> {
        if !self.heeded {
            let before = self.run.cancelled;
            self.run.cancelled = self.engine.recorded(&self.run).await?.cancelled;
            if self.run.cancelled {
                self.heeded = true;
                if !before {
                    let message = "the run was cancelled meanwhile; what was answered is fetched";
                    self.engine.tell(&Event::Warning { message });
                }
                for at in 0..self.works.len() {
                    self.call_off(at).await?;
                }
            }
        }
        Ok(self.heeded)
    }

    /// Cancels the batch of a shard; one that has none gets none.
    async fn call_off(&mut self, at: usize) -> Result<()> {
        let work = &mut self.works[at];
        if matches!(work.stage, Stage::Waiting) {
            // A ledger that has rolled back may not know of its batch.
            let recalled = self.engine.recall(&work.planned.shard, &mut work.noted);
            match recalled.await {
                Ok(None) => return work.seal_without(self.engine, never()).await,
                Ok(Some(Created { batch, certainty })) => {
                    work.stage = Stage::Going(Poll::new(self.engine, batch), certainty);
                }
                Err(error) => {
                    self.stick(at, error);
                    return Ok(());
                }
            }
        }
        let work = &mut self.works[at];
        match &work.stage {
            // It may be someone else's.
            Stage::Going(poll, Certainty::Presumed) => {
                let message = format!(
                    "{} is not cancelled: it is not certain that it is ours",
                    poll.batch
                );
                self.engine.tell(&Event::Warning { message: &message });
            }
            Stage::Going(poll, _) => {
                // What it answers is fetched, however it ends.
                if let Err(error) = self.engine.cancel(&poll.batch).await {
                    let message = format!("it was not cancelled: {error}");
                    self.engine.tell(&Event::Warning { message: &message });
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Results of a shard that were sealed.
struct SealedShard {
    at: usize,
    delivered: Delivered,
    attempt: u32,
    segments: Vec<Segment>,
}

/// Reads sealed results again: earlier attempts first, and within one in the order in which they were fetched,
/// since later ones win. Gives the shards of which a file is damaged, with the names of those files.
fn read_again(
    results: &mut Results,
    mut sealed: Vec<SealedShard>,
) -> Result<Vec<(usize, Vec<String>)>> {
    let first = |shard: &SealedShard| {
        let numbers = shard.segments.iter();
        numbers.map(|segment| segment_number(&segment.name)).min()
    };
    sealed.sort_by_key(|shard| (shard.attempt, first(shard)));
    let mut spoilt = Vec::new();
    for shard in sealed {
        let mark = results.begin(shard.delivered);
        let mut names = Vec::new();
        for segment in shard.segments {
            let name = segment.name.to_string();
            if !results.again(segment, shard.attempt)? {
                names.push(name);
            }
        }
        if !names.is_empty() {
            results.set_aside(&mark)?;
            spoilt.push((shard.at, names));
        }
    }
    Ok(spoilt)
}

/// What stands for the batch of a shard that was cancelled before it had one.
fn never() -> BatchSnapshot {
    BatchSnapshot::new(BatchId::new(NO_BATCH), BatchStatus::Cancelled)
}

/// A batch that has no results here yet.
fn going(batch: BatchId) -> BatchSnapshot {
    BatchSnapshot::new(batch, BatchStatus::InProgress)
}

/// What stands for the batch of a create that was given up.
fn abandoned(error: &Error) -> BatchSnapshot {
    let message = format!("abandoned: {error}");
    let mut snapshot = BatchSnapshot::new(BatchId::new(NO_BATCH), BatchStatus::Failed);
    snapshot.problems.push(BatchProblem {
        error: RequestError::new(ErrorKind::Doubt).with_message(message),
        line: None,
    });
    snapshot
}

/// Whether waiting cures it.
fn is_for_now(error: &Error) -> bool {
    error.retry() != Retry::Permanent
        && matches!(
            error.kind(),
            ErrorKind::Quota | ErrorKind::ProviderRateLimit | ErrorKind::ProviderOverloaded
        )
}

fn a_strangers(batch: &BatchId) -> Error {
    Error::new(ErrorKind::Doubt)
        .with_operation("create the batch")
        .with_batch(batch.clone())
        .with_message("its answer was lost, and the batch that fitted holds none of our requests; ours may still be accepted and billed")
}
