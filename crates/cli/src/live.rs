//! State of runs as their record and their live counts show it, without a call to a provider and without a claim.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lmbatch::adapter::format_time;
use lmbatch::durable::{LiveCounts, RunHolder, SqliteLedger, StateFolder};
use lmbatch::engine::RunState;
use lmbatch::record::{Ledger as _, RunFilter, RunRecord, ShardRecord, ShardState};
use lmbatch::{AccountId, BatchStatus, RequestCounts};
use serde_json::{Value, json};

use crate::format;

/// Number of the newest runs of an account whose batches show how long a batch takes.
const HISTORY: u32 = 50;

/// Number of durations that suffice for a median.
const ENOUGH: usize = 100;

/// Progress of one run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Live {
    pub(crate) state: RunState,
    pub(crate) requests: u64,
    /// Number of requests that the provider counts as answered.
    pub(crate) answered: u64,
    /// Number of requests that have ended without an answer, in attempts so far.
    pub(crate) failed: u64,
    pub(crate) batches: u64,
    pub(crate) ended_batches: u64,
    /// Expected end of the batches that exist, from the usual duration; `None` if it is unknown.
    pub(crate) eta: Option<SystemTime>,
    /// Time at which the first of the open batches expires.
    pub(crate) expires_at: Option<SystemTime>,
    /// Time of the last poll.
    pub(crate) polled_at: Option<SystemTime>,
    /// Process that advances the run now.
    pub(crate) holder: Option<RunHolder>,
}

impl Live {
    /// Returns the progress of a run. `usual` is the usual duration of a batch of its account.
    pub(crate) fn of(
        run: &RunRecord,
        shards: &[ShardRecord],
        noted: Option<&LiveCounts>,
        usual: Option<Duration>,
        holder: Option<RunHolder>,
    ) -> Self {
        let requests = u64::from(run.requests);
        let (mut succeeded, mut open, mut ended_batches) = (0, 0, 0);
        let mut repairing = 0;
        let (mut eta, mut expires_at) = (None, None::<SystemTime>);
        let mut is_unknown = usual.is_none();
        for shard in shards {
            let counts = counts(shard, noted);
            // Each request of a repair was answered before.
            if !shard.repair {
                succeeded += counts.succeeded;
            }
            if shard.state.is_final() || matches!(shard.state, ShardState::Ended(_)) {
                ended_batches += 1;
                continue;
            }
            let open_here = u64::from(shard.count).saturating_sub(counts.finished());
            open += open_here;
            if shard.repair {
                repairing += open_here;
            }
            let batch = noted_batch(shard, noted);
            let expiry = batch.and_then(|batch| batch.expires_at);
            expires_at = [expires_at, expiry].into_iter().flatten().min();
            match (batch.and_then(|batch| batch.created_at), usual) {
                (Some(created), Some(usual)) => eta = eta.max(created.checked_add(usual)),
                _ => is_unknown = true,
            }
        }
        let state = RunState::of(run, shards);
        let is_open = matches!(state, RunState::Running | RunState::Cancelling);
        let open = open.min(requests);
        let answered = succeeded.saturating_sub(repairing);
        let answered = answered.min(requests - open);
        Self {
            state,
            requests,
            answered,
            failed: requests - open - answered,
            batches: shards.len() as u64,
            ended_batches,
            eta: eta.filter(|_| is_open && !is_unknown),
            expires_at: expires_at.filter(|_| is_open),
            polled_at: noted.map(|noted| noted.polled_at).filter(|_| is_open),
            holder,
        }
    }

    /// Reports whether the run has not ended.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, RunState::Running | RunState::Cancelling)
    }

    /// Returns the number of requests that have ended.
    pub(crate) fn done(&self) -> u64 {
        self.answered + self.failed
    }

    /// Returns the part of the requests that have ended, in percent, rounded down: 100 means all of them.
    pub(crate) fn percent(&self) -> u64 {
        percent(self.done(), self.requests)
    }

    /// Returns the expected end for people, such as `in 25 min`.
    pub(crate) fn eta(&self, now: SystemTime) -> String {
        match self.eta {
            _ if !self.is_open() => "-".to_owned(),
            Some(at) if at > now => format::relative(at, now),
            Some(_) => "overdue".to_owned(),
            None => "unknown".to_owned(),
        }
    }

    /// Returns the counts in one line, such as `437 of 5,000 (8%), 3 failed`.
    pub(crate) fn counts(&self) -> String {
        let failed = match self.failed {
            0 => String::new(),
            failed => format!(", {} failed", format::number(failed)),
        };
        format!(
            "{} of {} ({}%){failed}",
            format::number(self.done()),
            format::number(self.requests),
            self.percent()
        )
    }

    /// Formats the progress as JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "answered": self.answered, "failed": self.failed, "done": self.done(), "percent": self.percent(),
            "batches": self.batches, "ended_batches": self.ended_batches, "eta": self.eta.map(format_time),
            "expires_at": self.expires_at.map(format_time), "polled_at": self.polled_at.map(format_time),
            "is_driven": self.holder.is_some(), "process": self.holder.and_then(|holder| holder.process),
        })
    }
}

/// Returns a part in percent, rounded down; 100 for a part of nothing.
pub(crate) fn percent(part: u64, of: u64) -> u64 {
    match of {
        0 => 100,
        of => (u128::from(part) * 100 / u128::from(of)) as u64,
    }
}

/// Returns the last polled status of a shard's batch, if the batch has not ended.
pub(crate) fn noted_batch<'a>(
    shard: &ShardRecord,
    noted: Option<&'a LiveCounts>,
) -> Option<&'a lmbatch::BatchSnapshot> {
    let ShardState::Created { batch, .. } = &shard.state else {
        return None;
    };
    noted?.batches.iter().find(|one| one.id == *batch)
}

/// Returns the counts of a shard: those of its ended batch, or those of the last poll.
pub(crate) fn counts(shard: &ShardRecord, noted: Option<&LiveCounts>) -> RequestCounts {
    match &shard.state {
        ShardState::Ended(snapshot) => snapshot.counts,
        ShardState::Sealed {
            snapshot, segments, ..
        } => {
            // A provider without counts has delivered rows.
            let is_counted = snapshot.counts.finished() > 0;
            match is_counted || snapshot.status == BatchStatus::Failed {
                true => snapshot.counts,
                false => RequestCounts {
                    succeeded: segments.iter().map(|segment| segment.rows).sum(),
                    ..snapshot.counts
                },
            }
        }
        _ => noted_batch(shard, noted).map_or_else(RequestCounts::default, |batch| batch.counts),
    }
}

/// Reader of the progress of runs in one state folder.
pub(crate) struct LiveReader {
    ledger: Arc<SqliteLedger>,
    folder: StateFolder,
    usual: HashMap<(String, AccountId), Option<Duration>>,
}

impl LiveReader {
    pub(crate) fn new(ledger: Arc<SqliteLedger>, folder: StateFolder) -> Self {
        Self {
            ledger,
            folder,
            usual: HashMap::new(),
        }
    }

    pub(crate) fn ledger(&self) -> &SqliteLedger {
        &self.ledger
    }

    /// Reads the progress of a run, its shards and its live counts.
    pub(crate) async fn read(
        &mut self,
        run: &RunRecord,
    ) -> lmbatch::Result<(Live, Vec<ShardRecord>, Option<LiveCounts>)> {
        let shards = self.ledger.shards(&run.id).await?;
        let state = RunState::of(run, &shards);
        let holder = self.folder.holder(&run.id);
        if !matches!(state, RunState::Running | RunState::Cancelling) {
            let live = Live::of(run, &shards, None, None, holder);
            return Ok((live, shards, None));
        }
        let noted = self.folder.live().read(&run.id);
        let usual = self.usual(run).await?;
        let live = Live::of(run, &shards, noted.as_ref(), usual, holder);
        Ok((live, shards, noted))
    }

    /// Returns the usual duration of a batch of a run's account; `None` without finished batches.
    async fn usual(&mut self, run: &RunRecord) -> lmbatch::Result<Option<Duration>> {
        let key = (run.provider.to_string(), run.account.clone());
        if let Some(known) = self.usual.get(&key) {
            return Ok(*known);
        }
        let usual = usual(&*self.ledger, run).await?;
        self.usual.insert(key, usual);
        Ok(usual)
    }
}

/// Returns the median duration of the completed batches of a run's account, from create to end, in its newest runs;
/// `None` without such a batch.
pub(crate) async fn usual(
    ledger: &dyn lmbatch::record::Ledger,
    run: &RunRecord,
) -> lmbatch::Result<Option<Duration>> {
    let filter = RunFilter {
        account: Some(run.account.clone()),
        limit: Some(HISTORY),
        ..RunFilter::default()
    };
    let mut durations = Vec::new();
    for other in ledger.runs(&filter).await?.items {
        if durations.len() >= ENOUGH {
            break;
        }
        if other.provider == run.provider {
            let shards = ledger.shards(&other.id).await?;
            durations.extend(shards.iter().filter_map(duration));
        }
    }
    Ok(median(durations))
}

/// Returns the time from the create of a shard's batch to its end, if the batch was completed.
fn duration(shard: &ShardRecord) -> Option<Duration> {
    let (ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. }) = &shard.state else {
        return None;
    };
    if snapshot.status != BatchStatus::Completed {
        return None;
    }
    let (created, ended) = (snapshot.created_at?, snapshot.ended_at?);
    ended.duration_since(created).ok()
}

fn median(mut durations: Vec<Duration>) -> Option<Duration> {
    durations.sort_unstable();
    durations.get(durations.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use lmbatch::adapter::Proof;
    use lmbatch::record::{Progress, ShardKey};
    use lmbatch::{BatchClass, BatchId, BatchSnapshot, Label};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn run(requests: u32, finished: bool) -> RunRecord {
        serde_json::from_value(json!({
            "id": "r-1", "name": null, "digest": "d", "provider": "openai", "account": "a", "ids": "verbatim",
            "nonce": "abcdefghijkl", "requests": requests, "attempt": 0, "finished": finished, "notes": {},
        }))
        .unwrap()
    }

    fn shard(number: u32, count: u32, state: ShardState) -> ShardRecord {
        ShardRecord {
            key: ShardKey {
                run: "r-1".into(),
                shard: number,
            },
            label: Label::new("l"),
            class: BatchClass::new("/x", "file"),
            count,
            bytes: 1,
            checksum: None,
            tables: None,
            attempt: 0,
            repair: false,
            epoch: 1,
            state,
            progress: Progress::default(),
            proof: None,
            doubted: None,
            remote_objects: Vec::new(),
            sent_twice: false,
            cost: None,
        }
    }

    fn created(id: &str) -> ShardState {
        ShardState::Created {
            batch: BatchId::new(id),
            proof: Proof::proved("its create was answered"),
        }
    }

    fn snapshot(id: &str, succeeded: u64, errored: u64) -> BatchSnapshot {
        {
            let mut snapshot = BatchSnapshot::new(BatchId::new(id), BatchStatus::InProgress);
            snapshot.counts = RequestCounts {
                total: Some(100),
                succeeded,
                errored,
                ..RequestCounts::default()
            };
            snapshot.created_at = Some(at(1_000));
            snapshot.expires_at = Some(at(90_000));
            snapshot
        }
    }

    fn sealed(snapshot: BatchSnapshot) -> ShardState {
        ShardState::Sealed {
            snapshot,
            segments: Vec::new(),
            locations: None,
            undelivered: 0,
        }
    }

    #[test]
    fn counts_of_open_batches_are_those_of_the_last_poll() {
        let run = run(300, false);
        let shards = [
            shard(0, 100, sealed(snapshot("a", 97, 3))),
            shard(1, 100, created("b")),
            shard(2, 100, created("c")),
        ];
        let noted = LiveCounts {
            batches: vec![snapshot("b", 40, 2)],
            polled_at: at(2_000),
        };
        let usual = Some(Duration::from_secs(1_500));
        let live = Live::of(&run, &shards, Some(&noted), usual, None);
        assert_eq!(
            (live.answered, live.failed, live.percent()),
            (137, 5, 47),
            "{live:?}"
        );
        assert_eq!(live.counts(), "142 of 300 (47%), 5 failed");
        // The third batch was not polled yet, so that its end is unknown.
        assert_eq!((live.eta, live.expires_at), (None, Some(at(90_000))));
        let live = Live::of(&run, &shards[..2], Some(&noted), usual, None);
        assert_eq!(live.eta, Some(at(2_500)));
        assert_eq!(live.eta(at(2_000)), "in 8 min");
        assert_eq!(live.eta(at(3_000)), "overdue");
        assert_eq!(live.polled_at, Some(at(2_000)));
        let live = Live::of(&run, &shards, None, None, None);
        assert_eq!((live.answered, live.failed), (97, 3));
        assert_eq!(live.eta(at(1)), "unknown");
    }

    #[test]
    fn requests_that_are_sent_again_are_open() {
        let again = ShardRecord {
            attempt: 1,
            ..shard(1, 3, created("b"))
        };
        let shards = [shard(0, 100, sealed(snapshot("a", 97, 3))), again];
        let live = Live::of(&run(100, false), &shards, None, None, None);
        assert_eq!((live.answered, live.failed), (97, 0));
        assert_eq!(live.counts(), "97 of 100 (97%)");
        // Three of the answered requests are repaired.
        let [first, again] = shards;
        let repair = ShardRecord {
            repair: true,
            ..again
        };
        let shards = [first.clone(), repair.clone()];
        let live = Live::of(&run(100, false), &shards, None, None, None);
        assert_eq!((live.answered, live.failed), (94, 3));
        let ended = ShardRecord {
            state: sealed(snapshot("b", 3, 0)),
            ..repair
        };
        let live = Live::of(&run(100, true), &[first, ended], None, None, None);
        assert_eq!((live.answered, live.failed), (97, 3));
    }

    #[test]
    fn a_run_that_has_ended_has_no_expected_end() {
        let shards = [shard(0, 100, sealed(snapshot("a", 97, 3)))];
        let live = Live::of(&run(100, true), &shards, None, Some(Duration::ZERO), None);
        assert_eq!(live.counts(), "100 of 100 (100%), 3 failed");
        assert_eq!((live.eta, live.expires_at), (None, None));
        assert_eq!(live.eta(at(1)), "-");
    }

    #[test]
    fn the_usual_duration_is_the_median() {
        let all =
            |seconds: &[u64]| median(seconds.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(all(&[]), None);
        assert_eq!(all(&[7]), Some(Duration::from_secs(7)));
        assert_eq!(all(&[900, 7, 30]), Some(Duration::from_secs(30)));
    }
}
