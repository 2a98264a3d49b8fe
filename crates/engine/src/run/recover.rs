//! Search for the batch of a create whose outcome is unknown. Never creates, except under a token.

use std::time::{Duration, SystemTime};

use lmbatch_core::{
    BatchId, Candidate, Certainty, CreateProof, Delivery, Error, ErrorKind, Intent, Label, Proof,
    Result, Retry, Search, SearchPhase, ShardRecord, ShardState, format_time,
};

use crate::context::Context;
use crate::counted;
use crate::event::Event;
use crate::policy::OnDoubt;
use crate::run::scope::Scope;
use crate::run::search::SearchResult;
use crate::run::step::Next;
use crate::run::work::Work;
use crate::spool::marks::Marked;

const NOTHING: &str = "no batch of this create has appeared so far";

impl Work {
    /// Records that the outcome of a create is unknown. Nothing is created until the search has
    /// ended.
    pub(super) async fn doubt(
        &mut self,
        context: &Context,
        intent: Intent,
        search: Search,
    ) -> Result<Next> {
        let label = intent.label.clone();
        let mut next = self.record.clone().advanced(ShardState::Doubt(intent));
        next.progress.search = Some(search);
        self.put(context, next).await?;
        context.report(&Event::Doubt {
            subject: self.subject(),
            label: &label,
            max_search_time: context.doubt.total_wait(),
        });
        Ok(Next::In(context.look_after(0)))
    }

    /// Takes over a create that was sent by a process that ended.
    pub(super) async fn record_doubt(&mut self, context: &Context) -> Result<Next> {
        let ShardState::Posting(intent) = self.record.state.clone() else {
            return Ok(Next::NOW);
        };
        if let Some(batch) = self.recorded_beside(&intent).await?
            && let Some(next) = self.adopt_beside(context, batch).await?
        {
            return Ok(next);
        }
        self.doubt(context, intent, Search::default()).await
    }

    /// Returns the batch in the file beside the ledger: the process may have died before it
    /// recorded the batch in the ledger.
    async fn recorded_beside(&self, intent: &Intent) -> Result<Option<BatchId>> {
        if let Some(marks) = &self.marks
            && let Some(entry) = marks.read().await?
            && let Marked::Created(batch) = entry.content
            && self.is_of(entry.body)
            && !intent.foreign_batches.contains(&batch)
        {
            return Ok(Some(batch));
        }
        Ok(None)
    }

    async fn adopt_beside(&mut self, context: &Context, batch: BatchId) -> Result<Option<Next>> {
        let proof = Proof::proved("recorded in the mark file of the create");
        self.record_batch(context, batch, proof, true).await
    }

    /// Adopts a batch that was found.
    async fn take(&mut self, context: &Context, found: Candidate) -> Result<Option<Next>> {
        let proof = Proof {
            certainty: found.certainty,
            evidence: found.evidence,
        };
        self.record_batch(context, found.batch, proof, true).await
    }

    /// Makes one search.
    pub(super) async fn search(&mut self, context: &Context) -> Result<Next> {
        let ShardState::Doubt(intent) = self.record.state.clone() else {
            return Ok(Next::NOW);
        };
        self.taken = None;
        let mut search = self.record.progress.search.clone().unwrap_or_default();
        if (search.searches == 0 || !std::mem::replace(&mut self.recalled, true))
            && let Some(batch) = self.recorded_beside(&intent).await?
            && let Some(next) = self.adopt_beside(context, batch).await?
        {
            return Ok(next);
        }
        if let Some(next) = self.take_late(context, &intent.foreign_batches).await? {
            return Ok(next);
        }
        let is_last = search.phase == SearchPhase::Fenced;
        let before = search.presumed.clone();
        let found = match context.search(&intent, Some(&self.record.key)).await {
            Ok(found) if self.may_lack_input(context) => self.with_input(context, found).await,
            found => found,
        };
        match found {
            Ok(SearchResult::Proved(mut batches)) => {
                if batches.len() > 1 {
                    let message = format!(
                        "the create made several batches, and each is paid for: {}",
                        names(&batches)
                    );
                    context.warn(self.subject(), &message);
                }
                // Batches come newest first: the last is the oldest.
                if let Some(oldest) = batches.pop()
                    && let Some(next) = self.take(context, oldest).await?
                {
                    return Ok(next);
                }
            }
            // Another create with as many requests has no batch yet, and may have made this one.
            Ok(SearchResult::Contested(several)) => {
                search.presumed = None;
                let saw = format!(
                    "another create with as many requests is under way or in doubt, so that the batches that match may be of either: {}",
                    names(&several)
                );
                if is_last {
                    return self.hold(context, search, &saw).await;
                }
                search.unclear = Some(saw.into());
            }
            Ok(SearchResult::Fitting(several)) if is_last => {
                return self.hold(context, search, &names(&several)).await;
            }
            // One batch matches, twice in a row, and no other does: its results will prove it.
            Ok(SearchResult::Fitting(batches)) => match batches.as_slice() {
                [one] if search.presumed.as_ref() == Some(&one.batch) => {
                    if let Some(next) = self.take(context, one.clone()).await? {
                        return Ok(next);
                    }
                }
                [one] => {
                    search.unclear =
                        Some(format!("one batch may be that of this create: {}", one.batch).into());
                    search.presumed = Some(one.batch.clone());
                }
                several => {
                    search.presumed = None;
                    let several = names(several);
                    search.unclear = Some(
                        format!("several batches may be that of this create: {several}").into(),
                    );
                }
            },
            Ok(SearchResult::Nothing) => (search.presumed, search.unclear) = (None, None),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let saw = "this provider has no list of batches to search";
                return self.hold(context, search, saw).await;
            }
            Err(error) => match self.again(context, error) {
                Next::Held(_) if is_last => return self.hold(context, search, NOTHING).await,
                Next::Held(_) => {
                    search.unclear = Some("the list of batches could not be read".into());
                    search.presumed = None;
                }
                next => return Ok(next),
            },
        }
        self.failures = 0;
        search.searches += 1;
        search.searched_at = Some(context.clock.now());
        if let Some(saw) = self.taken.take() {
            (search.presumed, search.unclear) = (None, Some(saw));
        }
        if is_last {
            if let Some(saw) = search.unclear.clone() {
                return self.hold(context, search, &saw).await;
            }
            search.phase = SearchPhase::Absent;
            return self.searched(context, search).await;
        }
        let waits = &context.doubt.waits;
        let searches = search.searches as usize;
        // A held search continues with one more search, and with another where the first one shows a
        // batch for the first time.
        let is_new = searches > waits.len() && before.is_none() && search.presumed.is_some();
        let wait = waits.get(if is_new { 1 } else { searches }).copied();
        if is_new || wait.is_some() {
            self.searched(context, search).await?;
            return Ok(Next::In(wait.unwrap_or_default()));
        }
        self.conclude(context, search).await
    }

    /// Records the progress of the search.
    async fn searched(&mut self, context: &Context, search: Search) -> Result<Next> {
        let mut next: ShardRecord = self.record.clone();
        next.progress.search = Some(search);
        self.put(context, next).await?;
        Ok(Next::NOW)
    }

    /// Decides what happens after the last search.
    async fn conclude(&mut self, context: &Context, mut search: Search) -> Result<Next> {
        if let Some(saw) = search.unclear.clone() {
            return self.hold(context, search, &saw).await;
        }
        if search.reported_existing {
            let saw = "the provider says that the batch exists but does not list it";
            return self.hold(context, search, saw).await;
        }
        if search.is_repeated {
            return self.hold(context, search, NOTHING).await;
        }
        if context.provider.codec().capabilities().fence {
            // Recorded first: the input may be deleted although the call fails.
            (search.phase, search.fenced) = (SearchPhase::Fencing, true);
            return self.searched(context, search).await;
        }
        self.conclude_unfenced(context, search).await
    }

    /// Makes a late create fail by deleting the input it needs.
    pub(super) async fn fence(&mut self, context: &Context) -> Result<Next> {
        let ShardState::Doubt(intent) = &self.record.state else {
            return Ok(Next::NOW);
        };
        let fenced = context.provider.fence(&intent.staged).await;
        let mut search = self.record.progress.search.clone().unwrap_or_default();
        match fenced {
            Ok(()) => {
                self.failures = 0;
                search.phase = SearchPhase::Fenced;
                self.searched(context, search).await
            }
            Err(error) => match self.again(context, error) {
                Next::Held(_) => self.conclude_unfenced(context, search).await,
                next => Ok(next),
            },
        }
    }

    /// Decides about a create whose batch was not found and cannot be prevented from appearing: the
    /// caller's choice applies.
    async fn conclude_unfenced(&mut self, context: &Context, mut search: Search) -> Result<Next> {
        match context.on_doubt {
            OnDoubt::Hold | OnDoubt::Abandon => self.hold(context, search, NOTHING).await,
            OnDoubt::Resubmit => {
                search.phase = SearchPhase::Absent;
                self.searched(context, search).await
            }
        }
    }

    /// Stops until an operator decides.
    async fn hold(&mut self, context: &Context, mut search: Search, saw: &str) -> Result<Next> {
        let ShardState::Doubt(intent) = self.record.state.clone() else {
            return Ok(Next::NOW);
        };
        if let Some(next) = self.take_late(context, &intent.foreign_batches).await? {
            return Ok(next);
        }
        search.phase = SearchPhase::Held;
        self.searched(context, search).await?;
        Ok(Next::Held(held(context, &intent, self.cause.take(), saw)))
    }

    /// Sends the create again under its token: whichever of the creates was accepted, there is one
    /// batch.
    pub(super) async fn repeat(&mut self, context: &Context, scope: &Scope<'_>) -> Result<Next> {
        let ShardState::Doubt(intent) = self.record.state.clone() else {
            return Ok(Next::NOW);
        };
        let mut search = self.record.progress.search.clone().unwrap_or_default();
        if search.searches == 0
            && let Some(batch) = self.recorded_beside(&intent).await?
            && let Some(next) = self.adopt_beside(context, batch).await?
        {
            return Ok(next);
        }
        // The body is sent again, and must be what was planned.
        self.verify(scope).await?;
        let error = match context.provider.create(&self.planned.shard, &intent).await {
            Ok(batch) => return self.acknowledge(context, batch, by_token(), true).await,
            Err(error) => error,
        };
        if error.kind() == ErrorKind::AlreadyExists {
            return self.existing(context, intent, error).await;
        }
        context.pause_account(&error);
        // A create that is refused now may have been accepted before.
        let is_final = error.retry() == Retry::Permanent && error.delivery() != Delivery::Unknown;
        self.cause = Some(error);
        search.searches += 1;
        search.searched_at = Some(context.clock.now());
        match context.doubt.waits.get(search.searches as usize) {
            Some(wait) if !is_final => {
                let wait = *wait;
                self.searched(context, search).await?;
                Ok(Next::In(wait))
            }
            _ => {
                // When the run is resumed, the create is repeated for the whole time again.
                search.searches = 0;
                let saw = "the repeated creates were not answered either";
                self.hold(context, search, saw).await
            }
        }
    }

    /// Returns whether this process or an earlier one has searched for the batch.
    pub(crate) fn has_looked(&self) -> bool {
        let search = self.record.progress.search.as_ref();
        search.is_some_and(|search| search.searches > 0)
    }

    /// Returns the time until the next search that earlier processes have not made is due.
    pub(crate) fn look_due(&self, context: &Context) -> Duration {
        let search = match (&self.record.state, &self.record.progress.search) {
            (ShardState::Doubt(_), Some(search)) if search.phase == SearchPhase::Searching => {
                search
            }
            (ShardState::Doubt(_), None) => return context.look_after(0),
            _ => return Duration::ZERO,
        };
        let wait = context.look_after(search.searches);
        let since = search
            .searched_at
            .map(|at| context.clock.now().duration_since(at));
        match since {
            Some(Ok(since)) => wait.saturating_sub(since),
            // A clock that was set back gives no information.
            _ => wait,
        }
    }
}

pub(super) fn by_token() -> Proof {
    Proof {
        certainty: Certainty::Token,
        evidence: "a create under its token returned it".into(),
    }
}

fn names(batches: &[Candidate]) -> String {
    let names = batches.iter().map(|candidate| candidate.batch.as_str());
    let names: Vec<&str> = names.collect();
    names.join(", ")
}

/// Returns the error of a search for which the caller does not wait.
pub(crate) fn not_found_yet(intent: &Intent) -> Error {
    Error::new(ErrorKind::Timeout)
        .with_operation("search for the batch")
        .with_delivery(Delivery::Unknown)
        .with_retry(Retry::Temporary)
        .with_label(intent.label.clone())
        .with_message(
            "the response to a create was lost, and its batch has not been found so far; the search continues when the run is resumed, and nothing is sent again before",
        )
}

/// Returns the error of a create whose response was lost and whose batch was not found: a decision
/// is needed.
pub(crate) fn held(
    context: &Context,
    intent: &Intent,
    cause: Option<Error>,
    looked: &str,
) -> Error {
    let answer = match cause.as_ref().and_then(Error::http_status) {
        Some(status) => {
            format!(
                "the response was HTTP {status}, which does not tell whether the create was accepted"
            )
        }
        None => "the response to the create was lost".to_owned(),
    };
    let error = Error::new(ErrorKind::Doubt)
        .with_operation("create the batch")
        .with_delivery(Delivery::Unknown)
        .with_retry(Retry::Permanent)
        .with_label(intent.label.clone())
        .with_message(format!(
            "{answer}, and {looked}; the batch may still be accepted and billed. {}",
            context.search_advice(&intent.label, Some(intent.count), intent.posted_at)
        ));
    match cause {
        Some(cause) => error.with_facts_of(&cause).with_source(cause),
        None => error,
    }
}

impl Context {
    /// Returns what to search for at the provider before requests are sent again whose create may
    /// have been accepted: a label, where the provider keeps labels.
    pub(crate) fn search_advice(
        &self,
        label: &Label,
        requests: Option<u32>,
        at: Option<SystemTime>,
    ) -> String {
        let codec = self.provider.codec();
        if codec.capabilities().create != CreateProof::CountAndTime {
            let requests =
                requests.map_or_else(String::new, |count| format!(" (requests: {count})"));
            return format!(
                "Search for the label {label}{requests} at the provider before you send the requests again"
            );
        }
        let requests = requests.map_or_else(String::new, |count| {
            format!(" of {}", counted::requests(count))
        });
        let at = at.map_or_else(String::new, |at| {
            let text = format_time(at);
            let seconds = text.split(['.', 'Z']).next().unwrap_or(&text);
            format!(" that was created at about {seconds}Z")
        });
        format!(
            "{} keeps no labels: before you send the requests again, search there for a batch{requests}{at}",
            codec.id()
        )
    }
}
