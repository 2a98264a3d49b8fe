//! Accounts of a run: every answer of every batch, including those that a later attempt replaced.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use lmbatch_core::{
    AnswerCost, AnswerView, BatchId, BatchStatus, Closed, ErrorKind, FailureView, OutcomeView,
    RequestCounts, Result, RowReader, RunRecord, Segment, ShardRecord, ShardState, TokenUsage,
};

use crate::context::Context;
use crate::cost::{Costs, Pricer};
use crate::results::bits::Bits;
use crate::results::collect::{Collected, Maker, Stored};
use crate::results::id_map::IdMap;
use crate::results::locations::open_locations;
use crate::results::row_cutter::cut_segment;
use crate::results::scan::scan;
use crate::results::settle::priced_at;
use crate::spool::location_table::LocationTable;
use crate::spool::spooled;

/// Maximum number of models that are counted separately in one batch; the tokens of others are
/// counted under `""`.
const MODELS: usize = 64;

/// Number of answers and the tokens that they used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answers {
    /// Number of requests that were answered.
    pub count: u64,
    /// Token usage of these answers.
    pub usage: TokenUsage,
    /// Cost of these answers, by the engine's table of prices; without a table, every cost is
    /// unknown.
    pub costs: Costs,
}

impl Answers {
    fn add(&mut self, usage: TokenUsage, cost: Option<AnswerCost>) {
        self.count += 1;
        self.usage += usage;
        self.costs.add(cost);
    }
}

/// Account of one batch of a run, from the ledger and from the fetched rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchTotals {
    /// Id of the batch; `None` if none was created.
    pub batch: Option<BatchId>,
    /// Number of the batch in the run, from 0.
    pub shard: u32,
    /// Number of the attempt in which the batch was created, from 0.
    pub attempt: u32,
    /// True if the requests of the batch continue the conversations of answers that did not fit their
    /// schemas.
    pub repair: bool,
    /// Status of the batch when its results were fetched; in progress if they were not fetched.
    pub status: BatchStatus,
    /// Number of requests that the batch holds.
    pub requests: u32,
    /// Requested model, if the batch has only one.
    pub model: Option<Box<str>>,
    /// Number of requests by outcome, according to the provider.
    pub counts: RequestCounts,
    /// Number of rows that were fetched.
    pub rows: u64,
    /// Answers that were fetched, each request counted once. A row with an unreadable answer counts
    /// as an answer without tokens, since it was billed.
    pub answered: Answers,
    /// Answers of [`answered`](Self::answered) that are not in the output, because another answer
    /// to the request is, or because the request was removed from the input.
    pub superseded: Answers,
    /// Number of requests whose row reports a failure, without unreadable answers.
    pub errored: u64,
    /// Answers by the model that gave them; `""` if the row names no model.
    pub models: BTreeMap<Box<str>, Answers>,
}

impl BatchTotals {
    /// Returns the number of requests that the provider counts as answered but whose row was never
    /// delivered. They may be billed.
    pub fn undelivered(&self) -> u64 {
        let requests = u64::from(self.requests);
        let counts = RequestCounts {
            total: Some(self.counts.total.unwrap_or(requests).min(requests)),
            ..self.counts
        };
        undelivered(&counts, self.answered.count, self.errored)
    }
}

/// Returns the number of requests that a provider counts as answered beyond the rows that were
/// fetched. Some providers count a request as answered whose row says that it failed, and some
/// count more requests than exist.
pub fn undelivered(counts: &RequestCounts, answered: u64, errored: u64) -> u64 {
    let errored_beyond = errored.saturating_sub(counts.errored);
    let delivered = answered.saturating_add(errored_beyond);
    let counted = counts.succeeded.min(counts.total.unwrap_or(u64::MAX));
    counted.saturating_sub(delivered)
}

/// Numbers of a run that has ended: requests, outcomes, rows, tokens and batches.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RunAudit {
    /// Number of requests according to the ledger.
    pub requests: u64,
    /// Number of outcomes that are read back; equals `requests` in a sound run.
    pub outcomes: u64,
    /// Number of batches that were created.
    pub batches: u64,
    /// Number of result rows that were fetched.
    pub rows: u64,
    /// Number of rows that name a request again.
    pub duplicates: u64,
    /// Number of rows whose id belongs to no request of the run.
    pub foreign: u64,
    /// Number of rows that cannot be read.
    pub malformed: u64,
    /// Token usage of the answers in the output.
    pub usage: TokenUsage,
    /// Account of each batch, in the order of the batches.
    pub batch_totals: Vec<BatchTotals>,
}

impl Context {
    pub(crate) async fn audit(&self, run: &RunRecord) -> Result<Option<RunAudit>> {
        let finished = self.partial_results(run).await?;
        if !finished.is_complete() {
            return Ok(None);
        }
        let mut reader = self.outcomes(&finished)?;
        let (mut outcomes, mut usage) = (0, TokenUsage::default());
        while let Some(answered) = reader.next()? {
            outcomes += 1;
            if let AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } = &answered.answer
            {
                usage += output.usage.unwrap_or_default();
            }
        }
        Ok(Some(RunAudit {
            requests: u64::from(run.requests),
            outcomes,
            batches: finished.batches().len() as u64,
            rows: finished.rows(),
            duplicates: finished.duplicates(),
            foreign: finished.foreign(),
            malformed: finished.malformed(),
            usage,
            batch_totals: self.batch_totals(run).await?,
        }))
    }

    pub(crate) async fn batch_totals(&self, run: &RunRecord) -> Result<Vec<BatchTotals>> {
        let mut job = self.job(run).await?;
        let shards = job.records();
        let wanted = job.plan.wanted()?;
        let collected = job.collect().await?;
        let (pricer, now) = (self.pricer(), self.clock.now());
        let work = move |stored: &Stored, maker: &Maker| {
            let outcomes = outcomes(&collected, wanted.as_ref())?;
            let mut accounts = Vec::with_capacity(shards.len());
            let of_shard = stored
                .shards
                .iter()
                .zip(&collected.layers.all)
                .zip(&outcomes);
            for (shard, ((sealed, layer), outcomes)) in shards.iter().zip(of_shard) {
                let mut account = account(shard);
                if let Some(locations) = &layer.locations {
                    let mut sources = Sources {
                        id_map: maker.id_map(stored, &sealed.planned)?,
                        locations: open_locations(&stored.files, locations)?,
                        outcomes,
                        stored,
                        maker,
                        pricer: pricer.as_ref(),
                        requested: shard.class.model.as_deref(),
                        at: match &shard.state {
                            ShardState::Sealed { snapshot, .. } => priced_at(snapshot, now),
                            _ => now,
                        },
                    };
                    let mut count = Count::new(&mut account);
                    for (number, segment) in (0..).zip(&sealed.segments) {
                        count.segment(&mut sources, segment, number)?;
                    }
                    count.end();
                }
                accounts.push(account);
            }
            Ok(accounts)
        };
        job.with_files(work).await
    }
}

fn account(shard: &ShardRecord) -> BatchTotals {
    let (batch, status, counts) = match &shard.state {
        ShardState::Created { batch, .. } => (
            Some(batch),
            BatchStatus::InProgress,
            RequestCounts::default(),
        ),
        ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => {
            (Some(&snapshot.id), snapshot.status.clone(), snapshot.counts)
        }
        ShardState::Refused | ShardState::Closed(Closed::Abandoned { .. }) => {
            (None, BatchStatus::Failed, RequestCounts::default())
        }
        ShardState::Closed(_) => (None, BatchStatus::Cancelled, RequestCounts::default()),
        _ => (None, BatchStatus::InProgress, RequestCounts::default()),
    };
    BatchTotals {
        batch: batch.cloned(),
        shard: shard.key.shard,
        attempt: shard.attempt,
        repair: shard.repair,
        status,
        requests: shard.count,
        model: shard.class.model.clone(),
        counts,
        rows: 0,
        answered: Answers::default(),
        superseded: Answers::default(),
        errored: 0,
        models: BTreeMap::new(),
    }
}

/// Returns, for each shard, the requests whose outcome in the output comes from that shard: one bit
/// for each request, by position.
fn outcomes(collected: &Collected, wanted: Option<&HashSet<u32>>) -> Result<Vec<Bits>> {
    let mut outcomes: Vec<Bits> = Vec::new();
    outcomes.resize_with(collected.layers.all.len(), Bits::default);
    let mut merge = collected.merge();
    while let Some(merged) = merge.next()? {
        let is_wanted = wanted.is_none_or(|wanted| wanted.contains(&merged.ordinal));
        if let (true, Some((layer, at))) = (is_wanted, merged.outcome_of) {
            outcomes[layer].set(at);
        }
    }
    Ok(outcomes)
}

/// Data with which the rows of a batch are compared.
struct Sources<'a> {
    id_map: IdMap,
    /// Locations of the rows of the batch.
    locations: LocationTable,
    /// Requests whose outcome in the output comes from this batch.
    outcomes: &'a Bits,
    stored: &'a Stored,
    maker: &'a Maker,
    pricer: Option<&'a Pricer>,
    /// Requested model, if the batch has only one.
    requested: Option<&'a str>,
    /// Time for which prices are looked up.
    at: SystemTime,
}

/// Counts of one batch while its rows are read.
struct Count<'a> {
    account: &'a mut BatchTotals,
    /// Requests with an answer in this batch, by position. A request that is answered twice is
    /// billed once.
    answered: Bits,
    errored: Bits,
    /// Requests with an unreadable answer, and whether the output holds another outcome. They are
    /// counted after all rows are read, since a later row may hold a readable answer.
    malformed: Vec<(u32, bool)>,
    rows: RowReader,
}

impl<'a> Count<'a> {
    fn new(account: &'a mut BatchTotals) -> Self {
        Self {
            account,
            answered: Bits::default(),
            errored: Bits::default(),
            malformed: Vec::new(),
            rows: RowReader::new(),
        }
    }

    /// Counts the unreadable answers of requests without another answer.
    fn end(mut self) {
        // Of several rows of one request, the one in the output sorts first.
        self.malformed.sort_unstable();
        for (ordinal, is_superseded) in std::mem::take(&mut self.malformed) {
            if !self.answered.set(ordinal) {
                continue;
            }
            let unknown = TokenUsage::default();
            self.account.answered.add(unknown, None);
            if is_superseded {
                self.account.superseded.add(unknown, None);
            }
            let models = &mut self.account.models;
            models.entry("".into()).or_default().add(unknown, None);
        }
    }

    fn segment(&mut self, sources: &mut Sources<'_>, segment: &Segment, number: u32) -> Result<()> {
        let (files, max) = (&sources.stored.files, sources.maker.max_row_bytes);
        cut_segment(files, segment, max, |row, offset| {
            self.row(sources, segment, number, row, offset)
        })
    }

    fn row(
        &mut self,
        sources: &mut Sources<'_>,
        segment: &Segment,
        number: u32,
        row: Option<&[u8]>,
        offset: u64,
    ) -> Result<()> {
        self.account.rows += 1;
        let Some(row) = row else {
            return Ok(());
        };
        let codec = sources.maker.provider.codec();
        let Some((row, scanned)) = scan(codec, &segment.part, row, &mut self.rows) else {
            return Ok(());
        };
        let at = match scanned.id {
            Some(id) => sources.id_map.ordinal(&id.decode())?,
            None => None,
        };
        // A row that names a request of another batch is not an answer of this batch.
        let Some(at) = at else {
            return Ok(());
        };
        let decoded = codec.decode(&segment.part, row);
        let location = sources.locations.get(at);
        let location = location.map_err(spooled)?;
        let is_outcome =
            (location.segment, location.offset()) == (number, offset) && !location.is_none();
        let is_superseded = !is_outcome || !sources.outcomes.get(at);
        // An unreadable row counts as a malformed answer, as in the outcomes.
        let outcome = match decoded {
            Ok(row) => row.outcome,
            Err(_) => OutcomeView::Errored(FailureView::malformed()),
        };
        let output = match outcome {
            OutcomeView::Succeeded(output) => output,
            OutcomeView::Errored(failure) if failure.kind == ErrorKind::MalformedAnswer => {
                self.malformed.push((at, is_superseded));
                return Ok(());
            }
            OutcomeView::Errored(_) => {
                self.account.errored += u64::from(self.errored.set(at));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if !self.answered.set(at) {
            return Ok(());
        }
        let usage = output.usage.unwrap_or_default();
        let pricer = sources.pricer;
        let cost = pricer.and_then(|pricer| pricer.answer(&output, sources.requested, sources.at));
        self.account.answered.add(usage, cost);
        if is_superseded {
            self.account.superseded.add(usage, cost);
        }
        let model = output.model.map(|model| model.decode().into_owned());
        let model: Box<str> = model.unwrap_or_default().into();
        let models = &mut self.account.models;
        let is_known = models.len() < MODELS || models.contains_key(&model);
        let model = if is_known { model } else { "".into() };
        models.entry(model).or_default().add(usage, cost);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_the_provider_counts_but_never_delivers_are_counted() {
        for (succeeded, counted_errored, answered, errored, wanted) in [
            (10, 0, 10, 0, 0),
            (10, 0, 7, 0, 3),
            // A failure row may stand for a request that was counted as answered.
            (10, 0, 9, 1, 0),
            (9, 1, 8, 1, 1),
            (9, 1, 9, 0, 0),
            // The provider gives no counts.
            (0, 0, 5, 5, 0),
            // The batch has only ten requests.
            (15, 0, 10, 0, 0),
            (15, 0, 8, 0, 2),
            (u64::MAX, 3, 8, 2, 2),
        ] {
            let counts = RequestCounts {
                total: Some(10),
                succeeded,
                errored: counted_errored,
                ..RequestCounts::default()
            };
            assert_eq!(undelivered(&counts, answered, errored), wanted);
        }
    }

    #[test]
    fn a_bit_can_be_set_once() {
        let mut bits = Bits::default();
        for at in [0, 63, 64, 1_000_000] {
            assert!(!bits.get(at) && bits.set(at), "{at}");
            assert!(bits.get(at) && !bits.set(at), "{at}");
        }
        assert!(bits.set(1));
    }
}
