//! A shard on its way: its record, and what this process knows beside it. Losing the latter costs a repeated
//! free call at most.

use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::{
    BatchId, BatchSnapshot, Certainty, Closed, Error, ErrorKind, Intent, LateAcknowledgement,
    Proof, Result, SearchPhase, Segment, ShardRecord, ShardState,
};

use crate::context::Context;
use crate::event::Event;
use crate::plan::handles::{RunHandles, ShardHandle};
use crate::plan::planned::PlannedShard;
use crate::policy::OnDoubt;
use crate::run::fetch::Fetch;
use crate::run::poll::Poll;
use crate::run::scope::Scope;
use crate::run::step::{self, Facts, Next, Step};
use crate::spool::marks::Marks;

/// A shard on its way.
pub(crate) struct Work {
    pub(crate) planned: PlannedShard,
    /// The shard as the ledger has it.
    pub(crate) record: ShardRecord,
    /// What is noted beside the ledger, where the ledger outlives the process.
    pub(crate) marks: Option<Marks>,
    /// Whether marks may be there.
    pub(crate) marked: bool,
    /// Whether the marks were compared with the ledger.
    pub(crate) recalled: bool,
    pub(crate) handle: ShardHandle,
    /// Whether its body was checked by this process.
    pub(crate) verified: bool,
    /// Exchanges of the step that is due that failed in a row.
    pub(crate) failures: u32,
    /// What will be noted before the create, once the newest batches were looked at.
    pub(crate) prepared: Option<Intent>,
    /// Whether what was uploaded for it by an earlier process is used, which may be gone.
    pub(crate) reuses_upload: bool,
    /// Error of the create whose fate is unknown.
    pub(crate) cause: Option<Error>,
    pub(crate) poll: Option<Poll>,
    /// How its batch has ended, as a page of the list shows.
    pub(crate) listed: Option<Box<BatchSnapshot>>,
    pub(crate) fetch: Option<Box<Fetch>>,
    pub(crate) asked_to_cancel: bool,
    /// Whether its batch had ended when this process began.
    pub(crate) ended_before: bool,
    /// Whether its sealed files are damaged, so that they are read again: the ledger still has it as sealed.
    pub(crate) reread: bool,
    /// Whether this process has sealed its results.
    pub(crate) sealed_here: bool,
    /// Segments that the ledger speaks of while it is read again.
    pub(crate) sealed_before: Vec<Segment>,
}

impl Work {
    /// Of a shard as the ledger has it. What was held is begun anew: its caller has asked for it.
    pub(crate) fn new(
        planned: PlannedShard,
        mut record: ShardRecord,
        handles: &Arc<RunHandles>,
        durable: bool,
    ) -> Self {
        if let Some(search) = &mut record.progress.search
            && search.phase == SearchPhase::Held
        {
            record.progress.search = None;
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
            ended_before: matches!(state, ShardState::Ended(_)),
            reread: false,
            sealed_here: false,
            sealed_before: Vec::new(),
            planned,
            record,
        }
    }

    /// The step that is due.
    pub(crate) fn next(&self, context: &Context, cancelled: bool) -> Step {
        let repeats = match &self.record.state {
            ShardState::Doubt(intent) => context.repeats(intent),
            _ => false,
        };
        let facts = Facts {
            marked: self.prepared.is_some(),
            repeats,
            cancelled,
            asked_to_cancel: self.asked_to_cancel,
        };
        step::next(&self.record, facts)
    }

    /// Makes one step. What is tried again says when; what no waiting cures is [`Next::Stuck`].
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where someone else has moved the shard on: nothing more is said to the provider.
    pub(crate) async fn perform(&mut self, step: Step, scope: &Scope<'_>) -> Result<Next> {
        let context = scope.context;
        let stepped = match step {
            Step::Stage => self.stage(context, scope).await,
            Step::Mark => self.mark(context, scope).await,
            Step::Post => self.post(context).await,
            Step::Suspect => self.suspect(context).await,
            Step::Look => self.look(context).await,
            Step::Repeat => self.repeat(context, scope).await,
            Step::Fence => self.fence(context).await,
            Step::CallOff => self.call_off(context).await,
            Step::Cancel => self.cancel(context).await,
            Step::Poll => self.poll(context).await,
            Step::Fetch => self.fetch(scope).await,
            Step::Done => Ok(Next::Done),
        };
        let error = match stepped {
            Ok(Next::Stuck(error)) => error,
            Ok(next) => return Ok(next),
            Err(error) if error.kind() == ErrorKind::Conflict => return Err(error),
            Err(error) => error,
        };
        let is_create = !matches!(
            self.record.state,
            ShardState::Created { .. } | ShardState::Ended(_) | ShardState::Sealed { .. }
        );
        if error.kind() == ErrorKind::Doubt && context.on_doubt == OnDoubt::Abandon && is_create {
            let message = error.to_string().into();
            self.close(context, Closed::Abandoned { message }).await?;
            return Ok(Next::Done);
        }
        Ok(Next::Stuck(error))
    }

    /// Moves the shard on in the ledger, and then here.
    pub(crate) async fn advance(&mut self, context: &Context, state: ShardState) -> Result<()> {
        let next = self.record.clone().advanced(state);
        self.put(context, next).await
    }

    /// Replaces the record of the shard.
    pub(crate) async fn put(&mut self, context: &Context, next: ShardRecord) -> Result<()> {
        // No create is under way in these states. The marks go first: without them the ledger still knows
        // that one was sent, and with them it would be looked for once it does not.
        let is_settled = matches!(next.state, ShardState::Staged(_) | ShardState::Refused);
        if let (true, true, Some(marks)) = (self.marked, is_settled, &self.marks) {
            marks.clear().await?;
            self.marked = false;
        }
        let epoch = context.ledger.advance(&next).await?;
        self.record = ShardRecord { epoch, ..next };
        Ok(())
    }

    /// There is no batch, and will be none. It is noted, or whoever comes next would create it.
    pub(crate) async fn close(&mut self, context: &Context, closed: Closed) -> Result<()> {
        self.advance(context, ShardState::Closed(closed)).await
    }

    /// Checks its body once, however often it is sent: what is sent is what was planned.
    pub(crate) async fn verify(&mut self, scope: &Scope<'_>) -> Result<()> {
        if !self.verified {
            self.planned.verify(scope.files).await?;
            self.verified = true;
        }
        Ok(())
    }

    /// When a free call is made again that has failed.
    pub(crate) fn again(&mut self, context: &Context, error: Error) -> Next {
        self.failures += 1;
        let wish = error.retry_after();
        match context.again(self.failures, error) {
            Ok(wait) if wish.is_some() => Next::Pause(wait),
            Ok(wait) => Next::In(wait),
            Err(error) => {
                self.failures = 0;
                Next::Stuck(error)
            }
        }
    }

    /// Whether a mark speaks of this shard's body, by the checksum of what was sent; it does where one of the
    /// two has none.
    pub(crate) fn is_of(&self, sent: Option<u32>) -> bool {
        let both = sent.zip(self.record.checksum);
        both.is_none_or(|(sent, own)| sent == own)
    }

    /// Takes a batch as the shard's.
    pub(crate) async fn acknowledge(
        &mut self,
        context: &Context,
        batch: BatchId,
        proof: Proof,
        found: bool,
    ) -> Result<Next> {
        // Told before it is noted: whoever listens knows the id even if the ledger fails.
        let handle = self.handle.created(&batch);
        context.tell(&Event::Created {
            batch: &batch,
            found,
            handle: &handle,
        });
        let is_token = proof.certainty == Certainty::Token;
        let is_certain = matches!(proof.certainty, Certainty::Token | Certainty::Proved);
        // A ledger that rolls back behind it leads back to it.
        if let (true, Some(marks)) = (is_certain, &self.marks)
            && let Err(error) = marks.created(&batch, self.record.checksum).await
        {
            // The ledger is about to note it too.
            let message = error.to_string();
            context.tell(&Event::Warning { message: &message });
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
        let Err(error) = self.advance(context, state).await else {
            return Ok(Next::NOW);
        };
        // The answer to a create is evidence for whoever has the shard now.
        let is_answer = !found || is_token;
        if error.kind() == ErrorKind::Conflict && is_answer {
            let late = LateAcknowledgement {
                key: self.record.key.clone(),
                batch: batch.clone(),
                evidence,
                at: Some(context.clock.now()),
            };
            context.ledger.acknowledge_late(&late).await?;
        }
        Err(error.with_batch(batch))
    }

    /// Asks the provider to cancel the batch. What it answers is fetched, however it ends.
    async fn cancel(&mut self, context: &Context) -> Result<Next> {
        if let Some(batch) = self.record.state.batch().cloned()
            && let Err(error) = context.provider.cancel(&batch).await
        {
            match self.again(context, error.with_batch(batch)) {
                Next::Stuck(error) => {
                    let message = format!("it was not cancelled: {error}");
                    context.tell(&Event::Warning { message: &message });
                }
                next => return Ok(next),
            }
        }
        (self.asked_to_cancel, self.failures) = (true, 0);
        Ok(Next::NOW)
    }

    /// Closes a shard that has no batch; a ledger that has rolled back may not know of its batch.
    async fn call_off(&mut self, context: &Context) -> Result<Next> {
        if let Some(next) = self.recall(context).await? {
            return Ok(next);
        }
        self.close(context, Closed::Cancelled).await?;
        Ok(Next::Done)
    }

    /// What its batch was taken for turns out to be someone else's: the create is in doubt again, and will not
    /// be taken for that batch again.
    pub(crate) async fn disown(
        &mut self,
        context: &Context,
        stranger: &BatchId,
        error: Error,
    ) -> Result<Next> {
        let message = error.to_string();
        context.tell(&Event::Warning { message: &message });
        let Some(mut intent) = self.record.doubted.clone() else {
            return Ok(Next::Stuck(error));
        };
        intent.strangers.push(stranger.clone());
        self.marked = true;
        self.handle.disowned(stranger);
        (self.poll, self.fetch) = (None, None);
        self.doubt(context, intent, Default::default()).await
    }

    /// Asks once where the batch stands.
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
                Ok(match poll.wish {
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
        self.advance(context, ShardState::Ended(snapshot)).await?;
        Ok(Next::NOW)
    }

    /// Takes what a page of the list shows of its batch, as the answer to the poll that is due. Returns when the
    /// next poll is due; `None` where the batch has ended, which the step that is due records.
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

    /// A batch that is not there was not ours, if we only presumed it; anything else is the end of it.
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
            true => self.disown(context, batch, error).await,
            false => Ok(Next::Stuck(error)),
        }
    }

    /// How the batch is known to be the shard's.
    pub(super) fn certainty(&self) -> Certainty {
        // Its rows were ours when they were sealed.
        if self.reread {
            return Certainty::Proved;
        }
        let proof = self.record.proof.as_ref();
        proof.map_or(Certainty::Proved, |proof| proof.certainty)
    }
}
