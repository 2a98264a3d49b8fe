//! A shard as the ledger has it, moved on one transition at a time.

use std::sync::Arc;

use lmbatch_core::{BatchId, Certainty, Intent, Result, ShardRecord, ShardState, Staged};

use crate::engine::Engine;
use crate::event::Event;
use crate::handles::{RunHandles, ShardHandle};
use crate::marks::Marks;

/// A shard's place in the ledger.
#[derive(Debug, Clone)]
pub(crate) struct Noted {
    /// The record as the ledger has it.
    record: ShardRecord,
    /// What an earlier try put at the provider, if no create has used it since.
    pub(crate) staged: Option<Staged>,
    /// The create whose batch is not certain.
    pub(crate) doubted: Option<Intent>,
    /// What is noted beside the ledger, where the ledger outlives the process.
    pub(crate) marks: Option<Marks>,
    /// CRC-32 of the body, which the marks bear.
    pub(crate) checksum: Option<u32>,
    /// Whether marks may be there.
    pub(crate) marked: bool,
    pub(crate) handle: ShardHandle,
    /// Whether the fate of a create is unknown now.
    pub(crate) in_doubt: bool,
    pub(crate) sent_twice: bool,
}

impl Noted {
    /// `durable` says whether the run outlives the process.
    pub(crate) fn new(record: &ShardRecord, run: &Arc<RunHandles>, durable: bool) -> Self {
        let state = &record.state;
        Self {
            marks: durable.then(|| Marks::new(&run.files, record.key.shard)),
            checksum: record.checksum,
            marked: matches!(state, ShardState::Posting(_) | ShardState::Doubt(_)),
            handle: ShardHandle::new(run, record),
            in_doubt: matches!(state, ShardState::Doubt(_)),
            sent_twice: record.sent_twice,
            record: record.clone(),
            staged: staged_in(&record.state),
            doubted: record.doubted.clone(),
        }
    }

    pub(crate) async fn advance(&mut self, engine: &Engine, state: ShardState) -> Result<()> {
        let staged = staged_in(&state);
        if let ShardState::Posting(intent) | ShardState::Doubt(intent) = &state {
            self.doubted = Some(intent.clone());
        }
        self.sent_twice |= self.in_doubt && matches!(state, ShardState::Staged(_));
        self.in_doubt = matches!(state, ShardState::Doubt(_));
        // No create is under way in these states. The marks go first: without them the ledger still knows
        // that one was sent, and with them it would be looked for once it does not.
        let is_settled = matches!(state, ShardState::Staged(_) | ShardState::Refused);
        if let (true, true, Some(marks)) = (self.marked, is_settled, &self.marks) {
            marks.clear().await?;
            self.marked = false;
        }
        let mut record = self.record.clone().advanced(state);
        record.epoch = engine.ledger.advance(&record).await?;
        self.record = record;
        self.staged = staged;
        Ok(())
    }

    /// What the batch was taken for turns out to be someone else's: the create is in doubt again, and will
    /// not be taken for that batch again. `None`: it is not known any more.
    pub(crate) async fn doubt_again(
        &mut self,
        engine: &Engine,
        stranger: &BatchId,
    ) -> Result<Option<Intent>> {
        let Some(mut intent) = self.doubted.clone() else {
            return Ok(None);
        };
        intent.strangers.push(stranger.clone());
        self.marked = true;
        self.handle.disowned(stranger);
        self.advance(engine, ShardState::Doubt(intent.clone()))
            .await?;
        Ok(Some(intent))
    }
}

impl Noted {
    /// Whether a create was sent again after one whose fate stayed unknown.
    pub(crate) fn is_sent_twice(&self) -> bool {
        self.sent_twice
    }

    /// Whether a mark speaks of this shard's body, by the checksum of what was sent; it does where one of the
    /// two has none.
    pub(crate) fn is_of(&self, sent: Option<u32>) -> bool {
        let both = sent.zip(self.checksum);
        both.is_none_or(|(sent, own)| sent == own)
    }

    /// Notes that a create is about to be sent: in the ledger, then beside it.
    pub(crate) async fn posting(&mut self, engine: &Engine, intent: &Intent) -> Result<()> {
        self.advance(engine, ShardState::Posting(intent.clone()))
            .await?;
        let Some(marks) = &self.marks else {
            return Ok(());
        };
        self.marked = true;
        if let Err(error) = marks.posting(intent, self.checksum).await {
            // Nothing was sent. Should this fail as well, the create is looked for by the next start.
            let staged = ShardState::Staged(intent.staged.clone());
            self.advance(engine, staged).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Notes the batch beside the ledger: a ledger that rolls back behind it leads back to it.
    pub(crate) async fn created(&self, engine: &Engine, batch: &BatchId, certainty: Certainty) {
        let is_certain = matches!(certainty, Certainty::Token | Certainty::Proved);
        if let (true, Some(marks)) = (is_certain, &self.marks)
            && let Err(error) = marks.created(batch, self.checksum).await
        {
            // The ledger is about to note it too.
            let message = error.to_string();
            engine.tell(&Event::Warning { message: &message });
        }
    }
}

fn staged_in(state: &ShardState) -> Option<Staged> {
    match state {
        ShardState::Staged(staged) if staged.ready => Some(staged.clone()),
        _ => None,
    }
}
