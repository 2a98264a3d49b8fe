//! Accounts of a run: every answer of every batch that it had, those that a later attempt replaced included.

use std::collections::{BTreeMap, HashSet};

use lmbatch_core::{
    BatchId, BatchStatus, Closed, ErrorKind, OutcomeView, RequestCounts, Result, RunRecord,
    Segment, ShardRecord, ShardState, TokenUsage,
};

use crate::context::Context;
use crate::results::collect::{Collected, Layers, Maker};
use crate::results::joiner::Joiner;
use crate::results::row_cutter::RowCutter;
use crate::results::scan::scan;
use crate::spool::spooled;
use crate::spool::tables::BUFFER;

/// The most models that are told apart in one batch; the tokens of others are counted under `""`.
const MODELS: usize = 64;

/// Number of answers and the tokens that they used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// Number of requests that were answered.
    pub count: u64,
    /// Tokens of these answers.
    pub usage: TokenUsage,
}

impl Answers {
    fn add(&mut self, usage: TokenUsage) {
        self.count += 1;
        self.usage += usage;
    }
}

/// Account of one batch of a run, from the ledger and from the rows that were fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchAccount {
    /// The batch; `None` where none was created.
    pub batch: Option<BatchId>,
    /// Number of the batch in the run, from 0.
    pub shard: u32,
    /// Attempt that the batch belongs to, from 0.
    pub attempt: u32,
    /// Status of the batch when it was fetched; in progress where it was not.
    pub status: BatchStatus,
    /// Number of requests that the batch holds.
    pub requests: u32,
    /// Model that was asked for, where a batch has only one.
    pub model: Option<Box<str>>,
    /// Requests by outcome, as the provider counts them.
    pub counts: RequestCounts,
    /// Number of rows that were fetched.
    pub rows: u64,
    /// Answers that were fetched, each request counted once. A row that holds no answer that can be read counts
    /// as an answer without tokens: it was paid for.
    pub answered: Answers,
    /// Answers of [`answered`](Self::answered) that are not in the output, since another answer to the
    /// request is, or since the request was removed from the input.
    pub superseded: Answers,
    /// Requests whose row says that they failed; those whose answer cannot be read are answers.
    pub errored: u64,
    /// Answers by the model that gave them; `""` where the row names none.
    pub models: BTreeMap<Box<str>, Answers>,
}

impl BatchAccount {
    /// Returns the number of requests that the provider counts as answered and whose row was never
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

/// Returns the number of requests that a provider counts as answered beyond the rows that were fetched. Some
/// providers count a request as answered whose row then says that it failed, and some count more requests than
/// there are.
pub fn undelivered(counts: &RequestCounts, answered: u64, errored: u64) -> u64 {
    let errored_beyond = errored.saturating_sub(counts.errored);
    let delivered = answered.saturating_add(errored_beyond);
    let counted = counts.succeeded.min(counts.total.unwrap_or(u64::MAX));
    counted.saturating_sub(delivered)
}

impl Context {
    pub(crate) async fn accounts(&self, run: &RunRecord) -> Result<Vec<BatchAccount>> {
        let mut job = self.job(run).await?;
        let wanted = job.plan.wanted()?;
        let shards = self.ledger.shards(&run.id).await?;
        let mut collected = job.collect().await?;
        let work = move |layers: &Layers, maker: &Maker| {
            let mut sources = Sources {
                joiner: maker.joiner.share()?,
                collected: &mut collected,
                layers,
                maker,
            };
            let mut accounts = Vec::with_capacity(shards.len());
            for shard in shards {
                let mut account = account(&shard);
                if let ShardState::Sealed { segments, .. } = &shard.state {
                    let mut count = Count::new(&mut account, wanted.as_ref());
                    for segment in segments {
                        count.segment(&mut sources, segment)?;
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

fn account(shard: &ShardRecord) -> BatchAccount {
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
    BatchAccount {
        batch: batch.cloned(),
        shard: shard.key.shard,
        attempt: shard.attempt,
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

/// What rows are compared with.
struct Sources<'a> {
    joiner: Joiner,
    collected: &'a mut Collected,
    layers: &'a Layers,
    maker: &'a Maker,
}

/// One batch as its rows are read.
struct Count<'a> {
    account: &'a mut BatchAccount,
    wanted: Option<&'a HashSet<u32>>,
    /// Requests that have an answer in this batch: a request that is answered twice is billed once.
    answered: Bits,
    errored: Bits,
    /// Requests with a row that holds no answer that can be read, and whether the output holds another outcome.
    /// They count once all rows are read: one of those may hold the answer.
    malformed: Vec<(u32, bool)>,
}

impl<'a> Count<'a> {
    fn new(account: &'a mut BatchAccount, wanted: Option<&'a HashSet<u32>>) -> Self {
        Self {
            account,
            wanted,
            answered: Bits::default(),
            errored: Bits::default(),
            malformed: Vec::new(),
        }
    }

    /// Counts the answers that cannot be read of requests without another answer.
    fn end(mut self) {
        // Of several rows of one request, the one in the output is asked first.
        self.malformed.sort_unstable();
        for (ordinal, is_superseded) in std::mem::take(&mut self.malformed) {
            if !self.answered.set(ordinal) {
                continue;
            }
            let unknown = TokenUsage::default();
            self.account.answered.add(unknown);
            if is_superseded {
                self.account.superseded.add(unknown);
            }
            let models = &mut self.account.models;
            models.entry("".into()).or_default().add(unknown);
        }
    }

    fn segment(&mut self, sources: &mut Sources<'_>, segment: &Segment) -> Result<()> {
        let named = |known: &Segment| known.name == segment.name;
        let number = sources.collected.segments.iter().position(named);
        // What the run does not read is nobody's outcome.
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.unwrap_or(u32::MAX);
        let unreadable = spooled;
        let file = sources.layers.files.open_named(&segment.name)?;
        let max = sources.maker.max_row_bytes;
        let (mut buffer, mut at, mut rows) = (vec![0; BUFFER], 0, RowCutter::default());
        let mut note =
            |row: Option<&[u8]>, offset: u64| self.row(sources, segment, number, row, offset);
        while at < segment.bytes {
            let read = file.read_at(&mut buffer, at).map_err(unreadable)?;
            let read = read.min((segment.bytes - at) as usize);
            if read == 0 {
                return Err(unreadable(std::io::ErrorKind::UnexpectedEof.into()));
            }
            rows.cut(&buffer[..read], max, &mut note)?;
            at += read as u64;
        }
        rows.end(&mut note)
    }

    fn row(
        &mut self,
        sources: &mut Sources<'_>,
        segment: &Segment,
        number: u32,
        row: Option<&[u8]>,
        offset: u64,
    ) -> Result<()> {
        if row.is_some_and(|row| row.trim_ascii().is_empty()) {
            return Ok(());
        }
        self.account.rows += 1;
        let Some(row) = row else {
            return Ok(());
        };
        let codec = sources.maker.provider.codec();
        let mut scratch = Vec::new();
        let Some((row, scanned)) = scan(codec, &segment.part, row, &mut scratch) else {
            return Ok(());
        };
        let ordinal = match scanned.id {
            Some(id) => sources.joiner.ordinal(&id.decode())?,
            None => None,
        };
        let Some(ordinal) = ordinal else {
            return Ok(());
        };
        let Ok(decoded) = codec.decode(&segment.part, row) else {
            return Ok(());
        };
        let place = sources.collected.places.get(ordinal);
        let place = place.map_err(spooled)?;
        let is_outcome = (place.segment, place.offset()) == (number, offset) && !place.is_none();
        let is_wanted = self.wanted.is_none_or(|wanted| wanted.contains(&ordinal));
        let is_superseded = !is_outcome || !is_wanted;
        let output = match decoded.outcome {
            OutcomeView::Succeeded(output) => output,
            OutcomeView::Errored(failure) if failure.kind == ErrorKind::MalformedAnswer => {
                self.malformed.push((ordinal, is_superseded));
                return Ok(());
            }
            OutcomeView::Errored(_) => {
                self.account.errored += u64::from(self.errored.set(ordinal));
                return Ok(());
            }
            _ => return Ok(()),
        };
        if !self.answered.set(ordinal) {
            return Ok(());
        }
        self.account.answered.add(output.usage.unwrap_or_default());
        if is_superseded {
            self.account
                .superseded
                .add(output.usage.unwrap_or_default());
        }
        let model = output.model.map(|model| model.decode().into_owned());
        let model: Box<str> = model.unwrap_or_default().into();
        let models = &mut self.account.models;
        let is_known = models.len() < MODELS || models.contains_key(&model);
        let model = if is_known { model } else { "".into() };
        models
            .entry(model)
            .or_default()
            .add(output.usage.unwrap_or_default());
        Ok(())
    }
}

/// A bit for each request, as far as the highest that is set.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Sets a bit; `false` where it is set already.
    fn set(&mut self, at: u32) -> bool {
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_the_provider_counts_and_never_delivers_are_counted() {
        for (succeeded, counted_errored, answered, errored, wanted) in [
            (10, 0, 10, 0, 0),
            (10, 0, 7, 0, 3),
            // A row that says "failed" is what became of a request that was counted as answered.
            (10, 0, 9, 1, 0),
            (9, 1, 8, 1, 1),
            (9, 1, 9, 0, 0),
            // A provider that gives no counts says nothing.
            (0, 0, 5, 5, 0),
            // There are no more than ten.
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
    fn a_bit_is_new_once() {
        let mut bits = Bits::default();
        for at in [0, 63, 64, 1_000_000] {
            assert!(bits.set(at) && !bits.set(at), "{at}");
        }
        assert!(bits.set(1));
    }
}
