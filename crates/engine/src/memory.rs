//! Ledger in memory, for runs that end with their process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchId, Change, Cursor, Error, ErrorKind, LateAcknowledgement, Ledger, Page,
    Result, RunFilter, RunRecord, ShardKey, ShardRecord,
};

/// Ledger in memory, which is lost when its process ends.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Runs by their sequence numbers, which only grow.
    runs: BTreeMap<u64, KeptRun>,
    /// Sequence numbers of runs by their ids.
    ids: HashMap<Box<str>, u64>,
    /// Sequence number of the run that was begun last.
    last: u64,
    /// Number of changes and deletions of runs.
    revision: u64,
    /// Shards that have a batch in their states, by batch. Several shards share a batch only across accounts,
    /// or where runs began with it.
    holders: HashMap<BatchId, Vec<ShardKey>>,
}

#[derive(Debug)]
struct KeptRun {
    run: RunRecord,
    shards: BTreeMap<u32, ShardRecord>,
    late: Vec<LateAcknowledgement>,
}

impl Kept {
    fn run(&self, id: &str) -> Option<&KeptRun> {
        self.runs.get(self.ids.get(id)?)
    }

    fn run_mut(&mut self, id: &str) -> Option<&mut KeptRun> {
        self.runs.get_mut(self.ids.get(id)?)
    }

    /// Checks that every record of a change can be applied.
    fn check(&self, change: &Change<'_>) -> Result<()> {
        change.check()?;
        if let Some(run) = change.run {
            let found = self.run(&run.id);
            if found.is_none_or(|found| found.run.epoch != run.epoch) {
                return Err(conflict(format!("run {}", run.id)));
            }
        }
        let mut seen = HashSet::new();
        for shard in change.shards {
            let found = self.run(&shard.key.run);
            let found = found.and_then(|found| found.shards.get(&shard.key.shard));
            if found.is_none_or(|found| found.epoch != shard.epoch) || !seen.insert(&shard.key) {
                return Err(conflict(shard.key.to_string()));
            }
        }
        for shard in change.new_shards {
            let found = self.run(&shard.key.run);
            let found = found.and_then(|found| found.shards.get(&shard.key.shard));
            if found.is_some() || !seen.insert(&shard.key) {
                return Err(conflict(shard.key.to_string()));
            }
        }
        self.check_batches(change)
    }

    /// Checks that no shard presumes a batch that another shard of its account has after the change.
    fn check_batches(&self, change: &Change<'_>) -> Result<()> {
        let changed = || change.shards.iter().chain(change.new_shards);
        for shard in changed() {
            let found = self.run(&shard.key.run);
            let before = found.and_then(|found| found.shards.get(&shard.key.shard));
            let before = before.and_then(|before| before.state.batch());
            let (Some(batch), Some(run)) = (shard.presumed_batch(), found) else {
                continue;
            };
            if before == Some(batch) {
                continue;
            }
            let held = self.holders.get(batch).into_iter().flatten();
            let held = held.filter(|key| changed().all(|changed| changed.key != **key));
            let taken = changed().filter(|one| one.state.batch() == Some(batch));
            let mut others = held.chain(taken.map(|one| &one.key));
            let is_other = |key: &&ShardKey| {
                let other = self.run(&key.run);
                **key != shard.key
                    && other.is_some_and(|other| other.run.account.may_equal(&run.run.account))
            };
            if let Some(other) = others.find(is_other) {
                let message = format!("{} has the batch {batch} of {}", other, shard.key);
                return Err(conflict(message).with_batch(batch.clone()));
            }
        }
        Ok(())
    }

    /// Stores the record of a shard.
    fn keep(&mut self, record: ShardRecord) {
        let key = record.key.clone();
        let after = record.state.batch().cloned();
        let Some(found) = self.run_mut(&key.run) else {
            return;
        };
        let before = found.shards.insert(key.shard, record);
        let before = before.and_then(|before| before.state.batch().cloned());
        if before != after {
            if let Some(before) = before {
                self.let_go(&before, |holder| *holder == key);
            }
            if let Some(after) = after {
                self.holders.entry(after).or_default().push(key);
            }
        }
    }

    /// Removes holders of a batch.
    fn let_go(&mut self, batch: &BatchId, is_gone: impl Fn(&ShardKey) -> bool) {
        if let Some(holders) = self.holders.get_mut(batch) {
            holders.retain(|holder| !is_gone(holder));
            if holders.is_empty() {
                self.holders.remove(batch);
            }
        }
    }
}

impl KeptRun {
    fn has(&self, batch: &BatchId) -> bool {
        let mut shards = self.shards.values();
        shards.any(|shard| shard.state.batch() == Some(batch))
            || self.late.iter().any(|late| late.batch == *batch)
    }

    fn fits(&self, filter: &RunFilter) -> bool {
        let run = &self.run;
        let name = filter.name.as_deref();
        let digest = filter.digest.as_deref();
        let account = filter.account.as_ref();
        let output = filter.output.as_deref();
        let noted = run.notes.get("output").map(|text| &**text);
        let nonce = filter.nonce.as_ref();
        let prefix = filter.id_prefix.as_deref();
        !(filter.unfinished && run.finished)
            && name.is_none_or(|name| run.name.as_deref() == Some(name))
            && digest.is_none_or(|digest| *run.digest == *digest)
            && account.is_none_or(|account| run.account == *account)
            && output.is_none_or(|output| noted == Some(output))
            && nonce.is_none_or(|nonce| run.nonce == *nonce)
            && prefix.is_none_or(|prefix| run.id.starts_with(prefix))
            && filter.batch.as_ref().is_none_or(|batch| self.has(batch))
    }
}

impl MemoryLedger {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict).with_message(message)
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let as_change = Change {
            run: Some(run),
            new_shards: shards,
            ..Change::default()
        };
        as_change.check()?;
        let mut kept = self.kept();
        let is_taken = |one: &&KeptRun| run.name.is_some() && one.run.name == run.name;
        let taken = kept.run(&run.id);
        if let Some(taken) = taken.or_else(|| kept.runs.values().find(is_taken)) {
            return Err(conflict(format!("run {} already exists", taken.run.id)));
        }
        let mut new = HashSet::new();
        if let Some(twice) = shards.iter().find(|shard| !new.insert(shard.key.shard)) {
            return Err(conflict(twice.key.to_string()));
        }
        kept.last += 1;
        let sequence = kept.last;
        kept.ids.insert(run.id.clone(), sequence);
        let new = KeptRun {
            run: run.clone(),
            shards: BTreeMap::new(),
            late: Vec::new(),
        };
        kept.runs.insert(sequence, new);
        shards.iter().for_each(|shard| kept.keep(shard.clone()));
        Ok(())
    }

    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        let mut kept = self.kept();
        kept.check(change)?;
        kept.revision += u64::from(change.run.is_some());
        if let Some(run) = change.run
            && let Some(found) = kept.run_mut(&run.id)
        {
            found.run = RunRecord {
                name: found.run.name.take(),
                epoch: run.epoch + 1,
                ..run.clone()
            };
        }
        for shard in change.shards {
            kept.keep(ShardRecord {
                epoch: shard.epoch + 1,
                ..shard.clone()
            });
        }
        for shard in change.new_shards {
            kept.keep(shard.clone());
        }
        Ok(())
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        Ok(self.kept().run(id).map(|found| found.run.clone()))
    }

    async fn revision(&self) -> Result<Option<u64>> {
        Ok(Some(self.kept().revision))
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        let before = filter.before()?.unwrap_or(u64::MAX);
        let kept = self.kept();
        let older = kept.runs.range(..before).rev();
        let mut fitting = older.filter(|(_, one)| one.fits(filter));
        let (mut items, mut last) = (Vec::new(), 0);
        for (sequence, one) in fitting.by_ref().take(filter.page_size()) {
            items.push(one.run.clone());
            last = *sequence;
        }
        let next = fitting.next().map(|_| Cursor::new(last.to_string()));
        Ok(Page { items, next })
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let kept = self.kept();
        let shards = kept.run(run).map(|found| found.shards.values().cloned());
        Ok(shards.into_iter().flatten().collect())
    }

    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        let asked: HashSet<&BatchId> = batches.iter().collect();
        let kept = self.kept();
        let mut runs = kept.runs.values().collect::<Vec<_>>();
        runs.retain(|one| one.run.account.may_equal(account));
        let created = runs.iter().flat_map(|one| one.shards.values());
        let created = created.filter_map(|shard| shard.state.batch());
        let late = runs.iter().flat_map(|one| &one.late);
        let known = created.chain(late.map(|late| &late.batch));
        Ok(known
            .filter(|batch| asked.contains(batch))
            .cloned()
            .collect())
    }

    async fn doubtful(&self, account: &AccountId, requests: u32) -> Result<Vec<ShardRecord>> {
        let kept = self.kept();
        let runs = kept.runs.values();
        let runs = runs.filter(|one| !one.run.finished && one.run.account.may_equal(account));
        let shards = runs.flat_map(|one| one.shards.values());
        let doubtful = shards.filter(|shard| shard.is_doubtful(requests));
        Ok(doubtful.cloned().collect())
    }

    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        let mut kept = self.kept();
        let found = kept.run_mut(&late.key.run);
        let found = found.filter(|found| found.shards.contains_key(&late.key.shard));
        let found = found.ok_or_else(|| late.without_shard())?;
        let is_it = |one: &LateAcknowledgement| one.key == late.key && one.batch == late.batch;
        if !found.late.iter().any(is_it) {
            found.late.push(late.clone());
        }
        Ok(())
    }

    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        let kept = self.kept();
        let late = kept.run(&key.run).into_iter().flat_map(|found| &found.late);
        Ok(late.filter(|late| late.key == *key).cloned().collect())
    }

    async fn delete(&self, run: &str) -> Result<()> {
        let mut kept = self.kept();
        kept.revision += 1;
        if let Some(sequence) = kept.ids.remove(run)
            && let Some(gone) = kept.runs.remove(&sequence)
        {
            for batch in gone.shards.values().filter_map(|shard| shard.state.batch()) {
                kept.let_go(batch, |holder| *holder.run == *run);
            }
        }
        Ok(())
    }
}
