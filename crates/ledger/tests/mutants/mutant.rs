//! Ledger in memory with one planted mistake.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchId, Change, Cursor, Error, ErrorKind, LateAcknowledgement, Ledger, Page,
    Result, RunFilter, RunRecord, ShardKey, ShardRecord, ShardState,
};
use lmbatch_engine::MemoryLedger;

/// Filter field that a mutant ignores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ignored {
    Unfinished,
    Name,
    Digest,
    Account,
    Output,
    Nonce,
    Batch,
    Prefix,
}

/// Planted mistake of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    ShardsOutOfOrder,
    BeginReplaces,
    FailedBeginStays,
    StrangeShardsAreDropped,
    OnlyStateIsKept,
    EpochStays,
    LastWriterOfAShardWins,
    LastWriterOfARunWins,
    ShardsFirst,
    RunFirst,
    ShardsOfOneRunOnly,
    FirstMoveCounts,
    NameChanges,
    GoneIsIgnored,
    ConflictIsNameless,
    ForgetIsOnce,
    ForgetKeepsTheName,
    ReopenedIsEmpty,
    BusyIsAnError,
    RevisionStands,
    LateConflicts,
    LateCountsAsTransition,
    LateOfAllShards,
    LateNewestFirst,
    LateIsReplaced,
    LateTwice,
    LateWithoutShardIsDropped,
    ForgetKeepsLate,
    CreatedIsUnknown,
    EndedIsUnknown,
    SealedIsUnknown,
    WatermarkIsKnown,
    LateIsUnknown,
    GivenUpIsKnown,
    KnownForgetsTheRest,
    AllIsKnown,
    AnyAccount,
    ExactAccount,
    OldestFirst,
    OrderOfClocks,
    Ignores(Ignored),
    OneFilterOnly,
    FilterIsStale,
    CursorIsAnOffset,
    CursorRepeats,
    CursorOnTheLastPage,
    LimitIsIgnored,
    AnyCursor,
    NotByLateBatch,
    LongestPrefix,
    AnyPrefix,
    FirstOfPrefix,
    PrefixIsAPattern,
}

#[derive(Debug)]
pub(crate) struct Mutant {
    inner: MemoryLedger,
    mistake: Mistake,
    /// Names that runs were given later.
    renamed: Mutex<HashMap<Box<str>, Option<Box<str>>>>,
    /// Names of deleted runs.
    names: Mutex<HashSet<Box<str>>>,
    /// Late acknowledgements in the order of arrival.
    late: Mutex<Vec<LateAcknowledgement>>,
    /// Batches that ever belonged to a shard.
    ever: Mutex<HashSet<BatchId>>,
    /// Records of runs as they began.
    begun: Mutex<HashMap<Box<str>, RunRecord>>,
    writes: AtomicU64,
}

fn conflict(message: &str) -> Error {
    Error::new(ErrorKind::Conflict).with_message(message.to_owned())
}

/// Returns whether `text` matches an SQL LIKE pattern, ignoring case.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('%') => {
            let rest = pattern.as_str();
            let mut ends = text.char_indices().map(|(at, _)| at);
            is_like("", rest) || ends.any(|at| is_like(&text[at..], rest))
        }
        Some(letter) => {
            let mut chars = text.chars();
            let fits = chars
                .next()
                .is_some_and(|one| letter == '_' || one.eq_ignore_ascii_case(&letter));
            fits && is_like(chars.as_str(), pattern.as_str())
        }
    }
}

impl Mutant {
    pub(crate) fn new(mistake: Mistake) -> Self {
        Self {
            inner: MemoryLedger::default(),
            mistake,
            renamed: Mutex::default(),
            names: Mutex::default(),
            late: Mutex::default(),
            ever: Mutex::default(),
            begun: Mutex::default(),
            writes: AtomicU64::new(0),
        }
    }

    fn is(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    /// Returns the current record of the shard.
    async fn now(&self, key: &ShardKey) -> Option<ShardRecord> {
        let shards = self.inner.shards(&key.run).await.unwrap();
        shards.into_iter().find(|shard| shard.key == *key)
    }

    fn renamed(&self, mut run: RunRecord) -> RunRecord {
        if let Some(name) = self.renamed.lock().unwrap().get(&run.id) {
            run.name.clone_from(name);
        }
        run
    }

    async fn applied(&self, change: &Change<'_>) -> Result<()> {
        let inner = &self.inner;
        let mut shards = change.shards.to_vec();
        let mut run = change.run.cloned();
        let mut new_shards = change.new_shards.to_vec();
        match self.mistake {
            Mistake::StrangeShardsAreDropped => {
                let id = run.as_ref().map(|run| run.id.clone());
                new_shards.retain(|shard| Some(&shard.key.run) == id.as_ref());
            }
            Mistake::OnlyStateIsKept => {
                for shard in &mut shards {
                    if let Some(now) = self.now(&shard.key).await {
                        let epoch = shard.epoch;
                        *shard = now.advanced(shard.state.clone());
                        shard.epoch = epoch;
                    }
                }
            }
            Mistake::LastWriterOfAShardWins => {
                for shard in &mut shards {
                    if let Some(now) = self.now(&shard.key).await {
                        shard.epoch = now.epoch;
                    }
                }
            }
            Mistake::LastWriterOfARunWins => {
                if let Some(run) = &mut run
                    && let Some(now) = inner.run(&run.id).await?
                {
                    run.epoch = now.epoch;
                }
            }
            Mistake::ShardsFirst | Mistake::GoneIsIgnored => {
                for shard in &shards {
                    match inner.advance(shard).await {
                        Err(_)
                            if self.is(Mistake::GoneIsIgnored)
                                && self.now(&shard.key).await.is_none() => {}
                        done => {
                            done?;
                        }
                    }
                }
                shards.clear();
            }
            Mistake::RunFirst => {
                if let Some(run) = run.take() {
                    inner.change(&run, &new_shards).await?;
                    new_shards.clear();
                }
            }
            Mistake::ShardsOfOneRunOnly => {
                let first = shards.first().map(|shard| shard.key.run.clone());
                shards.retain(|shard| Some(&shard.key.run) == first.as_ref());
            }
            Mistake::FirstMoveCounts => {
                let mut seen = HashSet::new();
                shards.retain(|shard| seen.insert(shard.key.clone()));
            }
            _ => {}
        }
        let change = Change {
            shards: &shards,
            run: run.as_ref(),
            new_shards: &new_shards,
        };
        inner.apply(&change).await
    }
}

#[async_trait]
impl Ledger for Mutant {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let name = run.name.clone().unwrap_or_default();
        if self.is(Mistake::ForgetKeepsTheName) && self.names.lock().unwrap().contains(&name) {
            return Err(conflict(&run.id));
        }
        let mut shards = shards.to_vec();
        if self.is(Mistake::StrangeShardsAreDropped) {
            shards.retain(|shard| shard.key.run == run.id);
        }
        let begun = self.inner.begin(run, &shards).await;
        self.begun
            .lock()
            .unwrap()
            .entry(run.id.clone())
            .or_insert_with(|| run.clone());
        match begun {
            Err(_) if self.is(Mistake::BeginReplaces) => {
                self.inner.delete(&run.id).await?;
                if let Some(name) = &run.name
                    && let Some(other) = self.inner.run_named(name).await?
                {
                    self.inner.delete(&other.id).await?;
                }
                self.inner.begin(run, &shards).await
            }
            Err(error) if self.is(Mistake::FailedBeginStays) => {
                self.inner.begin(run, &[]).await.ok();
                Err(error)
            }
            Err(error) if self.is(Mistake::ConflictIsNameless) => Err(Error::new(error.kind())),
            begun => begun,
        }
    }

    async fn apply(&self, change: &Change<'_>) -> Result<()> {
        if self.is(Mistake::BusyIsAnError) && self.writes.fetch_add(1, Ordering::Relaxed) > 20 {
            return Err(Error::new(ErrorKind::Local));
        }
        let applied = match self.applied(change).await {
            Err(error) if self.is(Mistake::ConflictIsNameless) => Err(Error::new(error.kind())),
            applied => applied,
        };
        if applied.is_ok() {
            let batches = change.shards.iter().filter_map(|shard| shard.state.batch());
            self.ever.lock().unwrap().extend(batches.cloned());
            if let Some(run) = change.run {
                let mut renamed = self.renamed.lock().unwrap();
                renamed.insert(run.id.clone(), run.name.clone());
            }
        }
        applied
    }

    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        let run = self.inner.run(id).await?;
        Ok(match self.mistake {
            Mistake::NameChanges => run.map(|run| self.renamed(run)),
            _ => run,
        })
    }

    async fn revision(&self) -> Result<Option<u64>> {
        match self.mistake {
            Mistake::RevisionStands => Ok(Some(1)),
            _ => self.inner.revision().await,
        }
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Page<RunRecord>> {
        let mut asked = filter.clone();
        let all = || self.inner.all_runs(RunFilter::default());
        let page = |items| Ok(Page { items, next: None });
        match self.mistake {
            Mistake::Ignores(Ignored::Unfinished) => asked.unfinished = false,
            Mistake::Ignores(Ignored::Name) => asked.name = None,
            Mistake::Ignores(Ignored::Digest) => asked.digest = None,
            Mistake::Ignores(Ignored::Account) => asked.account = None,
            Mistake::Ignores(Ignored::Output) => asked.output = None,
            Mistake::Ignores(Ignored::Nonce) => asked.nonce = None,
            Mistake::Ignores(Ignored::Batch) => asked.batch = None,
            Mistake::Ignores(Ignored::Prefix) => asked.id_prefix = None,
            Mistake::OneFilterOnly if asked.digest.is_some() => {
                (asked.unfinished, asked.name, asked.account, asked.batch) =
                    (false, None, None, None);
            }
            Mistake::OldestFirst => {
                let mut page = self.inner.runs(filter).await?;
                page.items.reverse();
                return Ok(page);
            }
            Mistake::OrderOfClocks => {
                let mut page = self.inner.runs(filter).await?;
                page.items
                    .sort_by_key(|run| std::cmp::Reverse(run.created_at));
                return Ok(page);
            }
            Mistake::FilterIsStale if filter.digest.is_some() => {
                let begun = self.begun.lock().unwrap();
                let fits = |run: &&RunRecord| Some(&run.digest) == filter.digest.as_ref();
                return page(begun.values().filter(fits).cloned().collect());
            }
            Mistake::CursorIsAnOffset => {
                let skipped: usize = match &filter.after {
                    Some(cursor) => cursor.as_str().parse().unwrap_or(0),
                    None => 0,
                };
                let all = all().await?;
                let end = (skipped + filter.page_size()).min(all.len());
                let next = (end < all.len()).then(|| Cursor::new(end.to_string()));
                let items = all.get(skipped.min(end)..end).unwrap_or_default().to_vec();
                return Ok(Page { items, next });
            }
            Mistake::CursorRepeats => {
                if let Some(before) = filter.before()? {
                    asked.after = Some(Cursor::new((before + 1).to_string()));
                }
            }
            Mistake::CursorOnTheLastPage => {
                let mut page = self.inner.runs(filter).await?;
                if page.next.is_none() && page.items.len() == filter.page_size() {
                    page.next = Some(Cursor::new("0"));
                }
                return Ok(page);
            }
            Mistake::LimitIsIgnored => asked.limit = None,
            Mistake::AnyCursor if asked.before().is_err() => asked.after = None,
            Mistake::NotByLateBatch => {
                if let Some(batch) = &filter.batch {
                    let mut found = Vec::new();
                    for run in all().await? {
                        let shards = self.inner.shards(&run.id).await?;
                        if shards
                            .iter()
                            .any(|shard| shard.state.batch() == Some(batch))
                        {
                            found.push(run);
                        }
                    }
                    return page(found);
                }
            }
            Mistake::PrefixIsAPattern => {
                if let Some(prefix) = &filter.id_prefix {
                    let pattern = format!("{prefix}%");
                    let mut found = all().await?;
                    found.retain(|run| is_like(&run.id, &pattern));
                    return page(found);
                }
            }
            _ => {}
        }
        self.inner.runs(&asked).await
    }

    async fn find_run(&self, prefix: &str) -> Result<Option<RunRecord>> {
        let mut all = self.inner.all_runs(RunFilter::default()).await?;
        match self.mistake {
            Mistake::LongestPrefix => all.sort_by_key(|run| std::cmp::Reverse(run.id.len())),
            Mistake::FirstOfPrefix => {
                if let Some(run) = self.inner.run(prefix).await? {
                    return Ok(Some(run));
                }
            }
            Mistake::AnyPrefix => {
                if let Ok(Some(run)) = self.inner.find_run(prefix).await {
                    return Ok(Some(run));
                }
            }
            Mistake::PrefixIsAPattern => {
                // The provided method of the trait runs over this ledger's own pages.
                let filter = RunFilter {
                    id_prefix: Some(prefix.into()),
                    ..RunFilter::default()
                };
                let mut found = self.runs(&filter).await?.items;
                found.truncate(if found.len() == 1 { 1 } else { 0 });
                return Ok(found.pop());
            }
            _ => return self.inner.find_run(prefix).await,
        }
        let is_short = prefix.len() < RunRecord::MIN_PREFIX && !self.is(Mistake::AnyPrefix);
        let found = all.into_iter().find(|run| run.id.starts_with(prefix));
        Ok(found.filter(|_| !is_short))
    }

    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        let mut shards = self.inner.shards(run).await?;
        match self.mistake {
            Mistake::ShardsOutOfOrder => shards.reverse(),
            Mistake::EpochStays => {
                for shard in &mut shards {
                    shard.epoch = shard.epoch.saturating_sub(1);
                }
            }
            _ => {}
        }
        Ok(shards)
    }

    async fn known(&self, account: &AccountId, batches: &[BatchId]) -> Result<HashSet<BatchId>> {
        let mut known = self.inner.known(account, batches).await?;
        let (mut states, mut exact) = (Vec::new(), HashSet::new());
        for run in self.inner.all_runs(RunFilter::default()).await? {
            for shard in self.inner.shards(&run.id).await? {
                if run.account == *account {
                    exact.extend(shard.state.batch().cloned());
                }
                states.push(shard.state);
            }
        }
        let unknown = |known: &mut HashSet<BatchId>, hides: fn(&ShardState) -> bool| {
            let hidden = states.iter().filter(|state| hides(state));
            let hidden: HashSet<&BatchId> = hidden.filter_map(ShardState::batch).collect();
            known.retain(|batch| !hidden.contains(batch));
        };
        match self.mistake {
            Mistake::CreatedIsUnknown => {
                unknown(&mut known, |state| {
                    matches!(state, ShardState::Created { .. })
                });
            }
            Mistake::EndedIsUnknown => {
                unknown(&mut known, |state| matches!(state, ShardState::Ended(_)));
            }
            Mistake::SealedIsUnknown => {
                unknown(&mut known, |state| {
                    matches!(state, ShardState::Sealed { .. })
                });
            }
            Mistake::WatermarkIsKnown => {
                for state in &states {
                    if let ShardState::Posting(intent) | ShardState::Doubt(intent) = state {
                        known.extend(intent.watermark.clone());
                    }
                }
            }
            Mistake::LateIsUnknown => {
                let created: HashSet<&BatchId> =
                    states.iter().filter_map(ShardState::batch).collect();
                known.retain(|batch| created.contains(batch));
            }
            Mistake::GivenUpIsKnown => {
                let ever = self.ever.lock().unwrap();
                known.extend(
                    batches
                        .iter()
                        .filter(|batch| ever.contains(*batch))
                        .cloned(),
                );
            }
            Mistake::KnownForgetsTheRest if batches.len() > 1_000 => {
                known.retain(|batch| batches[..100].contains(batch));
            }
            Mistake::AllIsKnown => known.extend(exact),
            Mistake::AnyAccount => {
                for run in self.inner.all_runs(RunFilter::default()).await? {
                    known.extend(self.inner.known(&run.account, batches).await?);
                }
            }
            Mistake::ExactAccount => known.retain(|batch| exact.contains(batch)),
            _ => {}
        }
        Ok(known)
    }

    async fn acknowledge_late(&self, late: &LateAcknowledgement) -> Result<()> {
        let now = self.now(&late.key).await;
        let epoch = now.as_ref().map_or(0, |shard| shard.epoch);
        match (self.mistake, now) {
            (Mistake::LateConflicts, Some(_)) if epoch > 0 => {
                return Err(conflict("the shard has moved on"));
            }
            (Mistake::LateCountsAsTransition, Some(shard)) => {
                self.inner.advance(&shard).await?;
            }
            (Mistake::LateWithoutShardIsDropped, None) => return Ok(()),
            _ => {}
        }
        self.inner.acknowledge_late(late).await?;
        self.late.lock().unwrap().push(late.clone());
        Ok(())
    }

    async fn late_acknowledgements(&self, key: &ShardKey) -> Result<Vec<LateAcknowledgement>> {
        let mut found = self.inner.late_acknowledgements(key).await?;
        let all = self.late.lock().unwrap().clone();
        let mine = || all.iter().filter(|late| late.key == *key).cloned();
        match self.mistake {
            Mistake::LateOfAllShards => {
                found = all
                    .iter()
                    .filter(|late| late.key.run == key.run)
                    .cloned()
                    .collect();
            }
            Mistake::LateNewestFirst => found.reverse(),
            Mistake::LateIsReplaced => found = mine().next_back().into_iter().collect(),
            Mistake::LateTwice | Mistake::ForgetKeepsLate => found = mine().collect(),
            _ => {}
        }
        Ok(found)
    }

    async fn delete(&self, run: &str) -> Result<()> {
        match self.inner.run(run).await? {
            None if self.is(Mistake::ForgetIsOnce) => return Err(Error::new(ErrorKind::Local)),
            Some(RunRecord {
                name: Some(name), ..
            }) => {
                self.names.lock().unwrap().insert(name);
            }
            _ => {}
        }
        self.inner.delete(run).await
    }
}
