//! Shard in progress: its record, and what only this process knows about it. Losing the latter
//! costs at most a repeated free call.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{
    BatchId, BatchSnapshot, Certainty, Closed, Error, ErrorKind, Intent, LateAcknowledgement,
    Proof, Result, SearchPhase, Segment, ShardRecord, ShardState,
};

use crate::context::Context;
use crate::event::{Event, EventSubject};
use crate::plan::handles::{RunHandles, ShardHandle};
use crate::plan::planned::PlannedShard;
use crate::policy::OnDoubt;
use crate::run::fetch::Fetch;
use crate::run::poll::Poll;
use crate::run::scope::Scope;
use crate::run::step::{self, Facts, Next, Step};
use crate::spool::marks::Marks;

/// Shard in progress.
pub(crate) struct Work {
    pub(crate) planned: PlannedShard,
    /// Current record of the shard in the ledger.
    pub(crate) record: ShardRecord,
    /// File beside the ledger that records creates; `None` where the ledger is not durable.
    pub(crate) marks: Option<Marks>,
    /// True if that file may have an entry for the shard.
    pub(crate) marked: bool,
    /// True if that file was compared with the ledger.
    pub(crate) recalled: bool,
    pub(crate) handle: ShardHandle,
    /// True if this process has compared the body with its checksum.
    pub(crate) verified: bool,
    /// Number of failed exchanges in a row in the step that is due.
    pub(crate) failures: u32,
    /// Intent to be recorded before the create, once the newest batches were read.
    pub(crate) prepared: Option<Intent>,
    /// True if the upload of an earlier process is used, which may be deleted by now.
    pub(crate) reuses_upload: bool,
    /// Error of the create whose outcome is unknown.
    pub(crate) cause: Option<Error>,
    pub(crate) poll: Option<Poll>,
    /// Final status of the batch, as a page of the list shows it.
    pub(crate) listed: Option<Box<BatchSnapshot>>,
    pub(crate) fetch: Option<Box<Fetch>>,
    pub(crate) asked_to_cancel: bool,
    /// Acknowledgement that is not recorded yet, with the conflict that kept it from the shard.
    pub(crate) unrecorded: Option<Box<(LateAcknowledgement, Error)>>,
    /// Reason why the batch that was found last cannot be taken: another shard has it.
    pub(crate) taken: Option<Box<str>>,
    /// True if the batch had ended when this process began.
    pub(crate) ended_before: bool,
    /// True if damaged result files are read again. The ledger records the shard as sealed
    /// meanwhile.
    pub(crate) reread: bool,
    /// True if this process has sealed the results.
    pub(crate) sealed_here: bool,
    /// Segments that the ledger names while the results are read again.
    pub(crate) sealed_before: Vec<Segment>,
}

impl Work {
    /// Returns a shard in the state that the ledger has. A held search continues with one more search,
    /// since its caller has resumed the run.
    pub(crate) fn new(
        planned: PlannedShard,
        mut record: ShardRecord,
        handles: &Arc<RunHandles>,
        durable: bool,
    ) -> Self {
        if let Some(search) = &mut record.progress.search
            && search.phase == SearchPhase::Held
        {
            // The caller has resumed the run: a further create may be sent, as far as the policy allows.
            (search.phase, search.is_repeated) = (SearchPhase::Searching, false);
        }
        let state = &record.state;
        Self {
            marks: durable.then(|| Marks::new(&handles.files, record.key.shard)),
            marked: matches!(state, ShardState::Posting(_) | ShardState::Doubt(_)),
            recalled: false,
            handle: ShardHandle::new(handles, &planned, &record),
            verified: false,
            failures: 0,
            prepared: None,
            reuses_upload: matches!(state, ShardState::Staged(staged) if staged.ready),
            cause: None,
            poll: None,
            listed: None,
            fetch: None,
            asked_to_cancel: false,
            unrecorded: None,
            taken: None,
            ended_before: matches!(state, ShardState::Ended(_)),
            reread: false,
            sealed_here: false,
            sealed_before: Vec::new(),
            planned,
            record,
        }
    }

    /// Returns the step that is due.
    pub(crate) fn next(&self, context: &Context, cancelled: bool) -> Step {
        if self.unrecorded.is_some() {
            return Step::RecordLate;
        }
        let repeats = match &self.record.state {
            ShardState::Doubt(intent) => context.repeats(intent),
            _ => false,
        };
        let facts = Facts {
            has_watermark: self.prepared.is_some(),
            repeats,
            cancelled,
            asked_to_cancel: self.asked_to_cancel,
        };
        step::next(&self.record, facts)
    }

    /// Makes one step. Returns when a temporary failure is tried again, and [`Next::Held`] for a
    /// permanent one.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where another process has advanced the shard; the provider is not
    /// called any more.
    pub(crate) async fn perform(&mut self, step: Step, scope: &Scope<'_>) -> Result<Next> {
        let context = scope.context;
        let stepped = match step {
            Step::Stage => self.stage(context, scope).await,
            Step::Watermark => self.watermark(context, scope).await,
            Step::Post => self.post(context, scope).await,
            Step::RecordDoubt => self.record_doubt(context).await,
            Step::Search => self.search(context).await,
            Step::RecordLate => self.record_late(context).await,
            Step::Repeat => self.repeat(context, scope).await,
            Step::Fence => self.fence(context).await,
            Step::CancelUncreated => self.close_cancelled(context).await,
            Step::Cancel => self.cancel(context).await,
            Step::Poll => self.poll(context).await,
            Step::Fetch => self.fetch(scope).await,
            Step::Done => Ok(Next::Done),
        };
        if let Some(budget) = &scope.budget {
            budget.note(&self.record).await;
        }
        let error = match stepped {
            Ok(Next::Held(error)) => error,
            Ok(next) => return Ok(next),
            Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
            Err(error) => error,
        };
        let is_create = !matches!(
            self.record.state,
            ShardState::Created { .. } | ShardState::Ended(_) | ShardState::Sealed { .. }
        );
        // Nothing of a cancelled run is held: its requests end, as those of an abandoned create.
        let gives_up = context.on_doubt == OnDoubt::Abandon || scope.is_cancelled();
        if error.kind() == ErrorKind::Doubt && gives_up && is_create {
            return self.abandon(context, &error).await;
        }
        Ok(Next::Held(error))
    }

    /// Advances the shard to a state, in the ledger first.
    pub(crate) async fn advance(&mut self, context: &Context, state: ShardState) -> Result<()> {
        let next = self.record.clone().advanced(state);
        self.put(context, next).await
    }

    /// Replaces the record of the shard, in the ledger first.
    pub(crate) async fn put(&mut self, context: &Context, next: ShardRecord) -> Result<()> {
        let epoch = context.ledger.advance(&next).await?;
        self.record = ShardRecord { epoch, ..next };
        // No create is under way in these states. The entry beside the ledger is removed only now: a
        // process that has lost the shard must not remove the entry of the one that holds it. An
        // entry that stays, since this process dies, is older than the record and is ignored.
        let state = &self.record.state;
        let is_settled = matches!(state, ShardState::Staged(_) | ShardState::Refused);
        if let (true, true, Some(marks)) = (self.marked, is_settled, &self.marks) {
            match marks.clear(epoch).await {
                Ok(()) => self.marked = false,
                Err(error) => {
                    let message = error.to_string();
                    context.warn(self.subject(), &message);
                }
            }
        }
        Ok(())
    }

    /// Closes the shard without a batch. This is recorded, since the next process would create the
    /// batch otherwise.
    pub(crate) async fn close(&mut self, context: &Context, closed: Closed) -> Result<()> {
        self.advance(context, ShardState::Closed(closed)).await
    }

    /// Compares the body of the shard with its checksum before it is first sent, so that exactly
    /// the planned requests are sent.
    pub(crate) async fn verify(&mut self, scope: &Scope<'_>) -> Result<()> {
        if !self.verified {
            self.planned.verify(scope.files).await?;
            self.verified = true;
        }
        Ok(())
    }

    /// Returns when a failed free call is repeated.
    pub(crate) fn again(&mut self, context: &Context, error: Error) -> Next {
        self.failures += 1;
        let retry_after = error.retry_after();
        match context.again(self.failures, error) {
            Ok(wait) if retry_after.is_some() => Next::Pause(wait),
            Ok(wait) => Next::In(wait),
            Err(error) => {
                self.failures = 0;
                Next::Held(error)
            }
        }
    }

    /// Returns whether an entry beside the ledger is about the body of this shard, by the checksum
    /// of what was sent. Without both checksums the answer is `true`.
    pub(crate) fn is_of(&self, sent: Option<u32>) -> bool {
        let both = sent.zip(self.record.checksum);
        both.is_none_or(|(sent, own)| sent == own)
    }

    /// Returns the subject of events about the shard.
    pub(crate) fn subject(&self) -> EventSubject<'_> {
        EventSubject {
            run: Some(&self.record.key.run),
            label: Some(&self.planned.shard.label),
            batch: self.record.state.batch(),
        }
    }

    /// Records a batch as that of the shard.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] also where another shard has the batch.
    pub(crate) async fn acknowledge(
        &mut self,
        context: &Context,
        batch: BatchId,
        proof: Proof,
        found: bool,
    ) -> Result<Next> {
        let recorded = self.record_batch(context, batch.clone(), proof, found);
        if let Some(next) = recorded.await? {
            return Ok(next);
        }
        let message = self.taken.take().unwrap_or_default();
        Err(Error::new(ErrorKind::Conflict)
            .with_batch(batch)
            .with_message(message))
    }

    /// Records a batch as that of the shard. `None` where the batch is only presumed and another shard
    /// has it: `taken` says so then, and the record is unchanged.
    pub(crate) async fn record_batch(
        &mut self,
        context: &Context,
        batch: BatchId,
        proof: Proof,
        found: bool,
    ) -> Result<Option<Next>> {
        self.taken = None;
        // The event comes first, so that the observer knows the id even if the ledger fails.
        let handle = self.handle.created(&batch);
        context.report(&Event::Created {
            subject: self.subject().of_batch(&batch),
            batch: &batch,
            found,
            handle: &handle,
        });
        let is_token = proof.certainty == Certainty::Token;
        let is_certain = matches!(proof.certainty, Certainty::Token | Certainty::Proved);
        // A ledger that is rolled back later can find the batch there.
        if let (true, Some(marks)) = (is_certain, &self.marks)
            && let Err(error) = marks
                .created(&batch, self.record.checksum, self.record.epoch)
                .await
        {
            // A failure is only reported, since the ledger is about to record the batch too.
            let message = error.to_string();
            context.warn(self.subject(), &message);
        }
        let state = ShardState::Created {
            batch: batch.clone(),
            proof,
        };
        (self.prepared, self.cause, self.failures) = (None, None, 0);
        let evidence = match &state {
            ShardState::Created { proof, .. } => proof.evidence.clone(),
            _ => Default::default(),
        };
        let mut next = self.record.clone().advanced(state);
        if found && self.may_lack_input(context) {
            // The batch may fail for want of its input. Then the search continues.
            let search = self.record.progress.search.as_ref();
            let (fenced, intent) = match &self.record.state {
                ShardState::Posting(intent) | ShardState::Doubt(intent) => {
                    (search.is_some_and(|search| search.fenced), intent.clone())
                }
                // No create of this upload was sent: an earlier create made the batch.
                _ => {
                    let shard = &self.planned.shard;
                    let intent = context.intent_of(shard, Default::default());
                    let posted_at = None;
                    (
                        true,
                        Intent {
                            posted_at,
                            ..intent
                        },
                    )
                }
            };
            (next.progress.fenced, next.doubted) = (fenced, Some(intent));
        }
        let Err(error) = self.put(context, next).await else {
            return Ok(Some(Next::NOW));
        };
        // The ledger names the batch where another shard has it.
        let is_taken = error.kind() == ErrorKind::Conflict && error.batch().is_some();
        if is_taken {
            self.handle.reject_presumed(&batch);
            let why = error.message().unwrap_or_default();
            self.taken = Some(format!("{batch} is recorded for another shard: {why}").into());
        }
        let error = error.with_batch(batch.clone());
        // The response to a create is evidence for the process that holds the shard now, or that
        // searches for its batch.
        let is_answer = !found || is_token;
        if error.kind() == ErrorKind::Conflict && is_answer {
            let late = LateAcknowledgement {
                key: self.record.key.clone(),
                batch,
                evidence,
                at: Some(context.clock.now()),
            };
            self.unrecorded = Some(Box::new((late, error)));
            return self.record_late(context).await.map(Some);
        }
        match is_taken {
            true => Ok(None),
            false => Err(error),
        }
    }

    /// Asks the provider to cancel the batch. The answers of the batch are fetched, however it
    /// ends.
    async fn cancel(&mut self, context: &Context) -> Result<Next> {
        if let Some(batch) = self.record.state.batch().cloned()
            && let Err(error) = context.provider.cancel(&batch).await
        {
            match self.again(context, error.with_batch(batch)) {
                Next::Held(error) => {
                    let message = format!("the batch was not cancelled: {error}");
                    context.warn(self.subject(), &message);
                }
                next => return Ok(next),
            }
        }
        (self.asked_to_cancel, self.failures) = (true, 0);
        Ok(Next::NOW)
    }

    /// Returns the shard to doubt after its presumed batch turned out to belong to another program,
    /// and excludes that batch from later searches.
    pub(crate) async fn reject_presumed(
        &mut self,
        context: &Context,
        foreign: &BatchId,
        error: Error,
    ) -> Result<Next> {
        let message = error.to_string();
        context.warn(self.subject(), &message);
        let Some(mut intent) = self.record.doubted.clone() else {
            return Ok(Next::Held(error));
        };
        intent.foreign_batches.push(foreign.clone());
        self.marked = true;
        self.handle.reject_presumed(foreign);
        (self.poll, self.fetch) = (None, None);
        self.doubt(context, intent, Default::default()).await
    }

    /// Requests the status of the batch once.
    pub(super) async fn poll(&mut self, context: &Context) -> Result<Next> {
        let Some(batch) = self.record.state.batch().cloned() else {
            return Ok(Next::NOW);
        };
        let listed = self.listed.take();
        if let Some(snapshot) = listed.filter(|snapshot| snapshot.id == batch) {
            return self.ended(context, *snapshot).await;
        }
        let poll = self.poll_of(context, &batch);
        match poll.ask(context).await {
            Ok(None) => {
                let own = poll.next.saturating_sub(context.clock.elapsed());
                Ok(match poll.retry_after {
                    Some(polls) => Next::PausePolls { own, polls },
                    None => Next::In(own),
                })
            }
            Ok(Some(snapshot)) => self.ended(context, snapshot).await,
            Err(error) => self.gone(context, &batch, error).await,
        }
    }

    fn poll_of(&mut self, context: &Context, batch: &BatchId) -> &mut Poll {
        let new = || Poll::new(context, batch.clone());
        self.poll.get_or_insert_with(new)
    }

    async fn ended(&mut self, context: &Context, snapshot: BatchSnapshot) -> Result<Next> {
        self.poll = None;
        if self.record.doubted.is_some()
            && self.may_lack_input(context)
            && self.lacked_input(&snapshot)
        {
            return self.reject_failed(context, &snapshot).await;
        }
        self.advance(context, ShardState::Ended(snapshot)).await?;
        Ok(Next::NOW)
    }

    /// Takes what a page of the list shows of the batch as the answer to the poll that is due.
    /// Returns when the next poll is due; `None` where the batch has ended, which the step that is
    /// due records.
    pub(crate) fn take_listed(
        &mut self,
        context: &Context,
        snapshot: BatchSnapshot,
        since: Duration,
    ) -> Option<Duration> {
        let poll = self.poll_of(context, &snapshot.id);
        match poll.take(context, Ok(snapshot), since) {
            Ok(Some(snapshot)) => {
                self.listed = Some(Box::new(snapshot));
                None
            }
            _ => Some(poll.next),
        }
    }

    /// Handles an error of the batch. A presumed batch that does not exist did not belong to the
    /// shard; any other error is permanent.
    pub(super) async fn gone(
        &mut self,
        context: &Context,
        batch: &BatchId,
        error: Error,
    ) -> Result<Next> {
        let is_gone = matches!(
            error.kind(),
            ErrorKind::BatchNotFound | ErrorKind::FileNotFound
        );
        match self.certainty() == Certainty::Presumed && is_gone {
            true => self.reject_presumed(context, batch, error).await,
            false => Ok(Next::Held(error)),
        }
    }

    /// Returns how certain it is that the batch belongs to the shard.
    pub(super) fn certainty(&self) -> Certainty {
        // The rows belonged to the shard when they were sealed.
        if self.reread {
            return Certainty::Proved;
        }
        let proof = self.record.proof.as_ref();
        proof.map_or(Certainty::Proved, |proof| proof.certainty)
    }
}
