//! A run under way: its shards are driven until nothing is due, and unanswered requests are sent
//! again.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{Error, ErrorKind, Result, RunRecord, ShardRecord, ShardState};
use tokio::sync::watch;

use crate::blocking::blocking;
use crate::context::Context;
use crate::driver;
use crate::event::Event;
use crate::plan::Plan;
use crate::policy::RunOptions;
use crate::results::collect::{Collected, Maker, SealedShard, Stored, damaged};
use crate::results::finished::{End, RunResults};
use crate::run::scope::Scope;
use crate::run::work::Work;

/// Run that is being driven.
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Context,
    pub(crate) run: RunRecord,
    pub(crate) plan: Plan,
    pub(crate) works: Vec<Work>,
    maker: Maker,
    /// Time for which incomplete results are read again.
    patience: Duration,
    /// Number of answers of which the observer knows that they are not repaired.
    pub(crate) unrepaired: u64,
}

impl<'a> Job<'a> {
    /// Returns a run in the state that the ledger has. Reads no file: each file is compared with
    /// its checksum when it is first read.
    pub(crate) async fn new(context: &'a Context, run: RunRecord, plan: Plan) -> Result<Job<'a>> {
        let records = context.ledger.shards(&run.id).await?;
        let durable = context.is_durable();
        let works = plan.shards.iter().zip(records);
        let works = works
            .map(|(planned, record)| Work::new(planned.clone(), record, &plan.handles, durable));
        Ok(Self {
            context,
            run,
            works: works.collect(),
            maker: Maker {
                provider: Arc::clone(&context.provider),
                ids: plan.ids.clone(),
                max_row_bytes: context.max_row_bytes,
            },
            patience: context.doubt.total_wait(),
            unrepaired: 0,
            plan,
        })
    }

    /// Refuses a run with a batch whose results are not sealed: requests that are sent again now
    /// might be answered twice.
    pub(crate) fn must_have_ended(&self) -> Result<()> {
        if self.works.iter().all(|work| work.record.state.is_final()) {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "the run {} has not ended; resume it first",
            self.run.id
        )))
    }

    /// Returns the shards with their sealed results.
    fn stored(&self) -> Stored {
        let works = self.works.iter();
        let shards = works.map(|work| SealedShard::of(&work.planned, &work.record));
        Stored {
            files: Arc::clone(&self.plan.files),
            tables: Arc::clone(&self.plan.tables),
            shards: shards.collect(),
        }
    }

    /// Compares the sealed files of the run with their checksums. Returns the damaged ones by the
    /// number of their shard.
    pub(crate) async fn damaged(&self) -> Result<Vec<(u32, Vec<String>)>> {
        // Files that this process has sealed were read and synced a moment ago.
        let earlier = self.works.iter().filter(|work| !work.sealed_here);
        let sealed = earlier.map(|work| SealedShard::of(&work.planned, &work.record));
        let (files, sealed) = (Arc::clone(&self.plan.files), sealed.collect::<Vec<_>>());
        blocking(move || damaged(&files, &sealed)).await?
    }

    /// Drives every shard as far as possible.
    pub(crate) async fn drive(mut self, options: RunOptions) -> Result<RunResults> {
        if options.once {
            self.patience = Duration::ZERO;
        }
        loop {
            self.drive_shards(&options).await?;
            if self.reset_damaged().await? {
                continue;
            }
            let attempts = options.max_attempts.unwrap_or(1);
            if !self.run.cancelled && self.requeue(attempts).await? {
                continue;
            }
            if !self.run.cancelled && self.repair(options.repairs).await? {
                continue;
            }
            return self.finish().await;
        }
    }

    /// Drives the shards until nothing is due.
    async fn drive_shards(&mut self, options: &RunOptions) -> Result<()> {
        let scope = Scope {
            context: self.context,
            plan: &self.plan,
            files: &self.plan.files,
            patience: self.patience,
            run: Some(self.run.id.clone()),
            cancelled: watch::Sender::new(false),
            budget: self.context.budget(),
        };
        driver::drive(&scope, &mut self.run, &mut self.works, options).await
    }

    /// Resets shards whose result files are damaged, so that the results are read again from the
    /// provider. Returns whether there are any.
    async fn reset_damaged(&mut self) -> Result<bool> {
        let damaged = self.damaged().await?;
        for (number, names) in &damaged {
            for name in names {
                let message = format!(
                    "the results file {name} is damaged; its results are read again from the provider"
                );
                self.context.report(&Event::Warning { message: &message });
            }
            if let Some(work) = self.works.get_mut(*number as usize) {
                work.read_again();
            }
        }
        Ok(!damaged.is_empty())
    }

    /// Returns the sealed outcomes of a run that has ended. The provider is not called.
    pub(crate) async fn recorded_results(self) -> Result<RunResults> {
        if let Some(name) = self
            .damaged()
            .await?
            .iter()
            .find_map(|(_, names)| names.first())
        {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the spool file {name} is damaged: its checksum differs from the recorded one; when the run is resumed, its results are read again from the provider"
            )));
        }
        if !self.works.iter().all(|work| work.record.state.is_final()) {
            return Err(Error::new(ErrorKind::InvalidInput)
                .with_message(format!("the run {} has not ended", self.run.id)));
        }
        self.outcomes().await
    }

    /// Returns the outcomes that are sealed so far. The provider is not called.
    pub(crate) async fn partial_results(mut self) -> Result<RunResults> {
        for (number, names) in self.damaged().await? {
            for name in names {
                let message = format!(
                    "the spool file {name} is damaged, and its outcomes are left out; when the run is resumed, they are read again from the provider"
                );
                self.context.report(&Event::Warning { message: &message });
            }
            if let Some(work) = self.works.get_mut(number as usize) {
                work.read_again();
            }
        }
        self.outcomes().await
    }

    async fn outcomes(mut self) -> Result<RunResults> {
        let ends = self.works.iter();
        let ends: Vec<End> = ends
            .map(|work| {
                let model = work.record.class.model.clone();
                End::of_state(&work.record.state).with_model(model)
            })
            .collect();
        let collected = self.collect().await?;
        let (context, plan) = (self.context, self.plan);
        let finished = blocking(move || collected.finish(&plan, ends)).await??;
        context.report_rows(&finished, false);
        Ok(finished)
    }

    /// Merges the results of the shards.
    pub(crate) async fn collect(&mut self) -> Result<Collected> {
        let collected = self.with_files(Collected::new).await?;
        self.keep_locations(&collected).await;
        Ok(collected)
    }

    /// Works on the files of the run, off the async threads.
    pub(crate) async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stored, &Maker) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (stored, maker) = (self.stored(), self.maker.clone());
        blocking(move || work(&stored, &maker)).await?
    }

    /// Records location tables that were made again, so that the next start need not make them.
    async fn keep_locations(&mut self, collected: &Collected) {
        for (number, made) in &collected.made {
            let Some(work) = self.works.get_mut(*number as usize) else {
                continue;
            };
            let mut next: ShardRecord = work.record.clone();
            if let ShardState::Sealed { locations, .. } = &mut next.state {
                *locations = Some(made.clone());
            }
            // Where the record cannot be changed, the next start makes the table again.
            if let Ok(epoch) = self.context.ledger.advance(&next).await {
                work.record = ShardRecord { epoch, ..next };
            }
        }
    }

    async fn finish(mut self) -> Result<RunResults> {
        // Second batches are searched for before the run is recorded as finished: afterwards no
        // process searches for them.
        let known = self.ended_batches();
        let duplicate_batches = self.context.find_duplicate_batches(known).await;
        self.note(self.run.attempt, true, &[]).await?;
        let finished = self.outcomes().await?;
        Ok(RunResults {
            duplicate_batches,
            ..finished
        })
    }

    /// Records the progress of the run with its new shards. What other processes changed in the
    /// record stays.
    pub(crate) async fn note(
        &mut self,
        attempt: u32,
        finished: bool,
        new: &[ShardRecord],
    ) -> Result<()> {
        let own = self.run.clone();
        let change = |run: &mut RunRecord| {
            if run.attempt != own.attempt {
                let message = format!("the run {}", run.id);
                return Err(Error::new(ErrorKind::Conflict).with_message(message));
            }
            *run = RunRecord {
                attempt,
                finished,
                cancelled: run.cancelled,
                cleaned: run.cleaned,
                answers_deleted_at: run.answers_deleted_at,
                notes: run.notes.clone(),
                epoch: run.epoch,
                ..own.clone()
            };
            Ok(())
        };
        self.run = self.context.change(&self.run, new, change).await?;
        Ok(())
    }
}
