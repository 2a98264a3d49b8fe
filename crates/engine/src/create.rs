//! Stage and create. Of every line here ask: if the process dies now, what is paid twice?

use std::pin::pin;

use futures::TryStreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Candidate, Certainty, CreateProof, CreateToken, Cursor,
    Delivery, Error, ErrorKind, Intent, ListOptions, Proof, Result, Retry, Shard, ShardState,
    Staged,
};

use crate::engine::Engine;
use crate::event::Event;
use crate::marks::Marked;
use crate::noted::Noted;
use crate::pages::pages;
use crate::plan::Plan;
use crate::policy::{Decision, OnDoubt};

/// A batch that is there, and how we know that it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) batch: BatchId,
    pub(crate) certainty: Certainty,
}

const ANSWERED: &str = "its create was answered";

impl Engine {
    /// Notes a plan of one shard, of which only the batch is wanted, and says whether a create was sent for
    /// it before.
    pub(crate) async fn begin_single(&self, plan: &Plan) -> Result<(Shard, Noted, bool)> {
        let shard = plan.single()?.clone();
        let run = plan.record(&*self.clock);
        if self.ledger.run(&run.id).await?.is_none() {
            let new = plan.shards[0].record(&run.id);
            // What a record speaks of outlives its last user.
            plan.files.keep(self.is_durable());
            self.ledger.begin(&run, &[new]).await?;
        }
        let records = self.ledger.shards(&run.id).await?;
        let record = records.first().ok_or_else(|| {
            Error::new(ErrorKind::Internal).with_message("the ledger keeps no shard")
        })?;
        let sent = !matches!(
            record.state,
            ShardState::Planned | ShardState::Staged(_) | ShardState::Refused
        );
        let noted = Noted::new(record, &plan.handles, self.is_durable());
        Ok((shard, noted, sent))
    }

    /// Everything that is free: what the create needs is at the provider, and noted.
    pub(crate) async fn prepare(&self, plan: &Plan) -> Result<Intent> {
        let (shard, mut noted, _) = self.begin_single(plan).await?;
        match self.intent(&shard, &mut noted).await? {
            Ahead::Create(intent) => Ok(*intent),
            Ahead::Exists(Created { batch, .. }) => {
                let message = format!("a batch of the label {} exists already", shard.label);
                Err(Error::new(ErrorKind::Conflict)
                    .with_message(message)
                    .with_batch(batch))
            }
        }
    }

    /// The batch of an intent: found, if an earlier create may have made it, else created.
    pub(crate) async fn find_or_create(
        &self,
        plan: &Plan,
        intent: &Intent,
        known: SentBefore,
    ) -> Result<Created> {
        let (shard, mut noted, sent) = self.begin_single(plan).await?;
        // Another copy of what was prepared may have been sent from here.
        if known != SentBefore::Maybe && !sent {
            // A look is free, and a copy that was sent without a note of it would be paid for twice.
            if known == SentBefore::SaidNo {
                match self.look(intent).await {
                    Ok(Seen::Proved(mut ours)) => {
                        if let Some(ours) = ours.pop() {
                            return self.take(ours, &mut noted).await;
                        }
                    }
                    Ok(Seen::Fitting(_) | Seen::Nothing) => {}
                    Err(error) if error.kind() == ErrorKind::Unsupported => {}
                    // A list that fails is not an empty list.
                    Err(error) => return Err(error),
                }
            }
            return self.create_prepared(&shard, intent, &mut noted).await;
        }
        match self.recover(&shard, intent, &mut noted).await? {
            Some(created) => Ok(created),
            None => self.create(&shard, &mut noted).await,
        }
    }

    /// Brings a shard's batch into being: one accepted create, or an error that says what is known.
    pub(crate) async fn create(&self, shard: &Shard, noted: &mut Noted) -> Result<Created> {
        if let Some(created) = self.recall(shard, noted).await? {
            return Ok(created);
        }
        let uploaded_before = noted.staged.is_some();
        let posted = match self.intent(shard, noted).await? {
            Ahead::Create(intent) => self.post(shard, *intent, noted).await,
            Ahead::Exists(created) => return Ok(created),
        };
        match posted {
            // What was uploaded then may be gone by now.
            Err(error) if uploaded_before && may_lack_its_input(&error) => {
                noted.staged = None;
                match self.intent(shard, noted).await? {
                    Ahead::Create(intent) => self.post(shard, *intent, noted).await,
                    Ahead::Exists(created) => Ok(created),
                }
            }
            posted => posted,
        }
    }

    /// Sends what was prepared, perhaps long ago.
    async fn create_prepared(
        &self,
        shard: &Shard,
        intent: &Intent,
        noted: &mut Noted,
    ) -> Result<Created> {
        match self.post(shard, intent.clone(), noted).await {
            // What was uploaded then may be gone by now.
            Err(error) if may_lack_its_input(&error) => self.create(shard, noted).await,
            posted => posted,
        }
    }

    /// What is noted beside the ledger of a shard of which the ledger says that no create is under way: the
    /// ledger has rolled back, or is a copy of an older one.
    pub(crate) async fn recall(&self, shard: &Shard, noted: &mut Noted) -> Result<Option<Created>> {
        let Some(marks) = noted.marks.as_ref().filter(|_| !noted.marked) else {
            return Ok(None);
        };
        let Some((checksum, marked)) = marks.read().await? else {
            return Ok(None);
        };
        noted.marked = true;
        let message = format!(
            "the ledger has lost that a create of {} was sent; its batch is looked for before another is created",
            shard.label
        );
        self.tell(&Event::Warning { message: &message });
        if !noted.is_of(checksum) {
            let intent = self.intent_of(shard, Staged::default());
            let looked = "other requests were sent under its label before the ledger was replaced";
            return Err(held(&intent, None, looked));
        }
        let intent = match marked {
            Marked::Created(batch) => {
                let proof = Proof::proved("it is noted beside the ledger");
                return self.acknowledge(batch, proof, true, noted).await.map(Some);
            }
            Marked::Posting(Some(intent)) => *intent,
            // All that is left of it is the label.
            Marked::Posting(None) => Intent {
                watermark: None,
                watermark_at: None,
                posted_at: None,
                ..self.intent_of(shard, noted.staged.clone().unwrap_or_default())
            },
        };
        if (intent.count, intent.bytes) != (shard.count, shard.len()) {
            let looked = format!(
                "{} requests of {} bytes were sent under its label, where the ledger has {} of {}",
                intent.count,
                intent.bytes,
                shard.count,
                shard.len()
            );
            return Err(held(&intent, None, &looked));
        }
        self.recover(shard, &intent, noted).await
    }

    fn intent_of(&self, shard: &Shard, staged: Staged) -> Intent {
        Intent {
            label: shard.label.clone(),
            class: shard.class.clone(),
            count: shard.count,
            bytes: shard.len(),
            staged,
            token: CreateToken::new(shard.label.as_str()),
            posted_at: Some(self.clock.now()),
            watermark: None,
            watermark_at: None,
            strangers: Vec::new(),
        }
    }

    async fn intent(&self, shard: &Shard, noted: &mut Noted) -> Result<Ahead> {
        let staged = self.stage(shard, noted.staged.take()).await?;
        noted
            .advance(self, ShardState::Staged(staged.clone()))
            .await?;
        let newest = self.newest().await?;
        let known = noted.doubted.iter().flat_map(|intent| &intent.strangers);
        let known: Vec<&BatchId> = known.collect();
        let is_ours = |batch: &&BatchSnapshot| {
            batch.label.as_ref() == Some(&shard.label)
                && batch.status != BatchStatus::Failed
                && !known.contains(&&batch.id)
        };
        // Newest first: the last is the oldest.
        let mut ours = newest.iter().filter(is_ours);
        if let Some(oldest) = ours.next_back() {
            let holds = oldest.counts.total.unwrap_or(u64::from(shard.count));
            if holds != u64::from(shard.count) {
                let intent = self.intent_of(shard, staged);
                let looked = format!(
                    "{} carries its label and holds {holds} requests, not {}",
                    oldest.id, shard.count
                );
                return Err(held(&intent, None, &looked));
            }
            let message = format!(
                "{} carries the label of this shard already and is taken: its record is a copy, or was restored",
                oldest.id
            );
            self.tell(&Event::Warning { message: &message });
            let proof = Proof::proved("it carried our label before a create was sent");
            let created = self.acknowledge(oldest.id.clone(), proof, true, noted);
            return created.await.map(Ahead::Exists);
        }
        let mark = newest.first();
        Ok(Ahead::Create(Box::new(Intent {
            watermark: mark.map(|batch| batch.id.clone()),
            watermark_at: mark.and_then(|batch| batch.created_at),
            ..self.intent_of(shard, staged)
        })))
    }

    async fn stage(&self, shard: &Shard, mut prior: Option<Staged>) -> Result<Staged> {
        if let Some(staged) = prior.take_if(|staged| staged.ready) {
            return Ok(staged);
        }
        self.tell(&Event::Staging {
            label: &shard.label,
            bytes: shard.len(),
        });
        loop {
            let staged = self
                .retrying(|| self.provider.stage(shard, prior.clone()))
                .await?;
            if staged.ready {
                return Ok(staged);
            }
            if prior.is_some() {
                self.clock.sleep(self.polling.wait(1, None)).await;
            }
            prior = Some(staged);
        }
    }

    /// The newest batches before the create, one page of them: a search need not look further back, and one
    /// of the shard's own label must not be created again.
    async fn newest(&self) -> Result<Vec<BatchSnapshot>> {
        let capabilities = self.provider.codec().capabilities();
        if !capabilities.list {
            return Ok(Vec::new());
        }
        let options = ListOptions {
            // Without labels only the newest one tells anything.
            limit: (capabilities.create == CreateProof::CountAndTime).then_some(1),
            page: None,
        };
        match self.retrying(|| self.provider.list(&options)).await {
            Ok(page) => Ok(page.items),
            Err(error)
                if error.kind() == ErrorKind::Unsupported || error.http_status() == Some(404) =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn post(&self, shard: &Shard, mut intent: Intent, noted: &mut Noted) -> Result<Created> {
        let (mut attempt, mut again) = (1, false);
        loop {
            noted.posting(self, &intent).await?;
            self.tell(&Event::Creating {
                label: &shard.label,
            });
            let error = match self.provider.create(shard, &intent).await {
                Ok(batch) => {
                    let proof = Proof::proved(ANSWERED);
                    return self.acknowledge(batch, proof, false, noted).await;
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::AlreadyExists {
                return self.existing(&intent, noted, error).await;
            }
            match self
                .retries
                .decide_create(attempt, &error, self.rng.next_f64())
            {
                Decision::RetryAfter(wait) => {
                    // There is no batch: the next process, or call, need not search for one.
                    let staged = ShardState::Staged(intent.staged.clone());
                    noted.advance(self, staged).await?;
                    self.pause(&error, wait).await;
                }
                Decision::Find => match self
                    .settle(shard, &intent, noted, Some(error), again)
                    .await?
                {
                    Some(created) => return Ok(created),
                    None => {
                        again = true;
                        match self.intent(shard, noted).await? {
                            Ahead::Create(anew) => intent = *anew,
                            Ahead::Exists(created) => return Ok(created),
                        }
                    }
                },
                // For now: what was uploaded is kept for later.
                Decision::Stop if error.retry() == Retry::Temporary => {
                    let staged = ShardState::Staged(intent.staged);
                    noted.advance(self, staged).await?;
                    return Err(error);
                }
                Decision::Stop => {
                    noted.advance(self, ShardState::Refused).await?;
                    return Err(error);
                }
            }
            attempt += 1;
        }
    }

    /// What a crash during a create left: the batch, if there is one; `None` where there cannot be one
    /// any more.
    pub(crate) async fn recover(
        &self,
        shard: &Shard,
        intent: &Intent,
        noted: &mut Noted,
    ) -> Result<Option<Created>> {
        // The process may have died between the two notes of the batch.
        if let Some(marks) = &noted.marks
            && let Some((checksum, Marked::Created(batch))) = marks.read().await?
            && noted.is_of(checksum)
            && !intent.strangers.contains(&batch)
        {
            let proof = Proof::proved("it is noted beside the ledger");
            return self.acknowledge(batch, proof, true, noted).await.map(Some);
        }
        self.settle(shard, intent, noted, None, false).await
    }

    /// Looks for a create whose fate is unknown; where it can be made to fail, makes it, and looks again.
    /// `None`: there is no batch, or its caller would rather pay twice. That is said once: whatever takes
    /// creates and loses every answer would be paid for ever.
    async fn settle(
        &self,
        shard: &Shard,
        intent: &Intent,
        noted: &mut Noted,
        cause: Option<Error>,
        again: bool,
    ) -> Result<Option<Created>> {
        noted
            .advance(self, ShardState::Doubt(intent.clone()))
            .await?;
        self.tell(&Event::Doubt {
            label: &intent.label,
            patience: self.doubt.patience(),
        });
        if self.repeats(intent) {
            return self.repeat(shard, intent, noted, cause).await.map(Some);
        }
        match self.search(intent, noted).await? {
            Searched::Found(created) => return Ok(Some(created)),
            Searched::Unclear(saw) => return Err(held(intent, cause, &saw)),
            Searched::Nothing => {}
        }
        if again {
            return Err(held(intent, cause, NOTHING));
        }
        if !self.provider.codec().capabilities().fence
            || self
                .retrying(|| self.provider.fence(&intent.staged))
                .await
                .is_err()
        {
            return match self.on_doubt {
                OnDoubt::Hold | OnDoubt::Abandon => Err(held(intent, cause, NOTHING)),
                OnDoubt::Resubmit => Ok(None),
            };
        }
        match self.look(intent).await {
            Ok(Seen::Nothing) => Ok(None),
            Ok(Seen::Proved(mut ours)) => match ours.pop() {
                Some(ours) => self.take(ours, noted).await.map(Some),
                None => Ok(None),
            },
            Ok(Seen::Fitting(several)) => Err(held(intent, cause, &names(&several))),
            Err(_) => Err(held(intent, cause, NOTHING)),
        }
    }

    /// Looks once for the batch of a create, and returns whether one is certain to be it.
    pub(crate) async fn is_found(&self, intent: &Intent) -> Result<bool> {
        match self.look(intent).await {
            Ok(seen) => Ok(matches!(seen, Seen::Proved(ours) if !ours.is_empty())),
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A batch that was found.
    async fn take(&self, found: Candidate, noted: &mut Noted) -> Result<Created> {
        let proof = Proof {
            certainty: found.certainty,
            evidence: found.evidence,
        };
        self.acknowledge(found.batch, proof, true, noted).await
    }

    pub(crate) async fn acknowledge(
        &self,
        batch: BatchId,
        proof: Proof,
        found: bool,
        noted: &mut Noted,
    ) -> Result<Created> {
        // Told before it is noted: whoever listens knows the id even if the ledger fails.
        let handle = noted.handle.created(&batch);
        self.tell(&Event::Created {
            batch: &batch,
            found,
            handle: &handle,
        });
        let certainty = proof.certainty;
        noted.created(self, &batch, certainty).await;
        let state = ShardState::Created {
            batch: batch.clone(),
            proof,
        };
        noted
            .advance(self, state)
            .await
            .map_err(|error| error.with_batch(batch.clone()))?;
        Ok(Created { batch, certainty })
    }

    /// Looks for a create whose fate is unknown, at growing intervals. Never creates.
    pub(crate) async fn search(&self, intent: &Intent, noted: &mut Noted) -> Result<Searched> {
        let mut unclear = None;
        let mut presumed: Option<BatchId> = None;
        for wait in &self.doubt.looks {
            self.clock.sleep(*wait).await;
            let found = match self.look(intent).await {
                Ok(found) => found,
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(Searched::Unclear(
                        "this provider cannot be searched".to_owned(),
                    ));
                }
                Err(_) => {
                    unclear = Some("the provider could not be searched".to_owned());
                    presumed = None;
                    continue;
                }
            };
            match found {
                Seen::Proved(mut ours) => {
                    if ours.len() > 1 {
                        let message = format!(
                            "several batches are ours, and each is paid for: {}",
                            names(&ours)
                        );
                        self.tell(&Event::Warning { message: &message });
                    }
                    // Newest first: the last is the oldest.
                    if let Some(ours) = ours.pop() {
                        return self.take(ours, noted).await.map(Searched::Found);
                    }
                }
                // One that fits, twice in a row, and nothing else does: its results will prove it.
                Seen::Fitting(batches) => match batches.as_slice() {
                    [one] if presumed.as_ref() == Some(&one.batch) => {
                        return self.take(one.clone(), noted).await.map(Searched::Found);
                    }
                    [one] => {
                        unclear = Some(format!("one batch may be ours: {}", one.batch));
                        presumed = Some(one.batch.clone());
                    }
                    several => {
                        presumed = None;
                        unclear = Some(format!("several batches may be ours: {}", names(several)));
                    }
                },
                Seen::Nothing => {
                    (presumed, unclear) = (None, None);
                }
            }
        }
        Ok(unclear.map_or(Searched::Nothing, Searched::Unclear))
    }

    /// One look: every page that may hold the batch. A list that fails is not an empty list.
    async fn look(&self, intent: &Intent) -> Result<Seen> {
        let taken = self.recorded_batches().await?;
        let (mut proved, mut fitting, mut whole) = (Vec::new(), Vec::new(), true);
        let ask = |page: Option<Cursor>| async move {
            self.retrying(|| self.provider.find(intent, page.clone()))
                .await
        };
        let mut pages = pin!(pages(ask));
        let mut past_watermark = false;
        while let Some(found) = pages.try_next().await? {
            whole = past_watermark || found.next.is_none();
            let candidates = found.candidates.into_iter();
            let candidates = candidates.filter(|one| !intent.strangers.contains(&one.batch));
            for candidate in candidates {
                match candidate.certainty {
                    Certainty::Token | Certainty::Proved => proved.push(candidate),
                    // A batch that is known as another's is not this one, however well it fits.
                    Certainty::Presumed if taken.contains(&candidate.batch) => {}
                    Certainty::Presumed => fitting.push(candidate),
                    Certainty::Unknown => {}
                }
            }
            // Batches of one second come in any order: one page more.
            if past_watermark {
                break;
            }
            past_watermark = found.reached_watermark;
        }
        match (proved.is_empty(), fitting.is_empty()) {
            (false, _) => Ok(Seen::Proved(proved)),
            _ if !whole => Err(Error::malformed("the list of batches leads in a circle")),
            (true, false) => Ok(Seen::Fitting(fitting)),
            (true, true) => Ok(Seen::Nothing),
        }
    }
}

/// Whether a create may have been refused because what it was to be made of is not there. Some providers
/// do not tell that from what is someone else's.
fn may_lack_its_input(error: &Error) -> bool {
    error.delivery() == Delivery::Refused
        && (error.kind() == ErrorKind::FileNotFound
            || matches!(error.http_status(), Some(403 | 404)))
}

/// What the provider's newest batches say before a create is sent.
enum Ahead {
    /// No batch carries the shard's label.
    Create(Box<Intent>),
    /// One does.
    Exists(Created),
}

/// Whether the create of what was prepared was sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SentBefore {
    /// It was prepared in this process.
    No,
    /// Its data says that it was not.
    SaidNo,
    /// It may have been.
    Maybe,
}

/// What became of a search.
pub(crate) enum Searched {
    /// The batch.
    Found(Created),
    /// Every look was complete, and saw nothing.
    Nothing,
    /// In words, why it is not known.
    Unclear(String),
}

const NOTHING: &str = "no batch of ours has appeared so far";

/// What one look saw, newest first.
enum Seen {
    /// Batches that are ours.
    Proved(Vec<Candidate>),
    /// Batches that may be.
    Fitting(Vec<Candidate>),
    /// Neither.
    Nothing,
}

fn names(batches: &[Candidate]) -> String {
    let names = batches.iter().map(|candidate| candidate.batch.as_str());
    let names: Vec<&str> = names.collect();
    names.join(", ")
}

pub(crate) fn held(intent: &Intent, cause: Option<Error>, looked: &str) -> Error {
    let error = Error::new(ErrorKind::Doubt)
        .with_operation("create the batch")
        .with_delivery(Delivery::Unknown)
        .with_retry(Retry::Permanent)
        .with_label(intent.label.clone())
        .with_message(format!(
            "its answer was lost, and {looked}; it may still be accepted and billed. \
             Look for the label {} (requests: {}) at the provider before you send them again",
            intent.label, intent.count
        ));
    match cause {
        Some(cause) => error.with_facts_of(&cause).with_source(cause),
        None => error,
    }
}
