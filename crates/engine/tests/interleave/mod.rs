//! Two drivers of one run, W and V, in every interleaving of the calls of a create.
//!
//! W stops before or after one of its calls; V runs to one of its own calls, or to its end; W runs
//! to its end; V runs to its end; a last driver F resumes the run until nothing changes. Every pair
//! of stops is one schedule. Then the bill of the account, the record and the outcomes are
//! compared.
//!
//! `LMBATCH_SCHEDULE='kind; fate; W point; V point'`, as a failing schedule is reported, replays one schedule
//! and prints every call of it:
//! `LMBATCH_SCHEDULE='…' cargo test -p lmbatch-engine --test engine interleave::replay -- --nocapture`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(clippy::print_stderr, reason = "reports of failing schedules")]

mod kinds;
mod record;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::{BoxFuture, Either, select};
use futures::{FutureExt as _, StreamExt as _, stream};
use lmbatch_core::{
    BatchId, ErrorKind, ItemView, Ledger as _, OutcomeView, Result, RunRecord, ShardRecord,
    ShardState,
};
use lmbatch_engine::{
    AnswerView, DoubtPolicy, Engine, MemoryLedger, OnDoubt, Plan, RunOptions, RunResults,
};
use lmbatch_testing::{Gate, Gated, MemoryAccount, MemorySpool, Point, TestClock, TestRng};

use self::kinds::{Broken, FATES, Fate, KINDS, Kind, LABELLED, MOST, ONE, kind};
use self::record::{Record, requests};

/// Returns the late acknowledgements of a run: batches whose create was answered after its driver had lost the
/// shard.
async fn late_acknowledgements(ledger: &Record, run: &RunRecord) -> BTreeSet<BatchId> {
    let mut batches = BTreeSet::new();
    for shard in ledger.shards(&run.id).await.unwrap() {
        let late = ledger.late_acknowledgements(&shard.key).await.unwrap();
        batches.extend(late.into_iter().map(|late| late.batch));
    }
    batches
}

/// Maximum number of drivers that resume a run until nothing changes.
const MOST_RESUMES: usize = 6;

/// End of a driver; a panic is the outer error.
type End = std::result::Result<Result<RunResults>, Box<dyn Any + Send>>;

/// Driver that is running.
struct Driver {
    name: &'static str,
    gate: Arc<Gate>,
    work: BoxFuture<'static, End>,
    end: Option<End>,
}

impl Driver {
    /// Runs to the stop of the gate, or to the end if the driver reaches no stop.
    async fn run_to_stop(&mut self) {
        if let Either::Left((end, _)) = select(&mut self.work, pin!(self.gate.stopped())).await {
            self.end = Some(end);
        }
    }

    /// Runs to the end.
    async fn run_to_end(&mut self) {
        self.gate.release();
        if self.end.is_none() {
            self.end = Some((&mut self.work).await);
        }
    }
}

/// State that all drivers share.
struct World {
    kind: Kind,
    account: Arc<MemoryAccount>,
    clock: Arc<TestClock>,
    ledger: Arc<Record>,
    spool: Arc<MemorySpool>,
    run: RunRecord,
    /// Keeps the bodies in the spool.
    _plan: Plan,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let clock = Arc::new(TestClock::default());
        let account = Arc::new(MemoryAccount::new(clock.clone(), kind.rules));
        // A foreign batch with the same number of requests, which is older than the run.
        account.add_foreign(MOST);
        clock.advance(Duration::from_secs(10_000));
        let ledger = Arc::new(Record {
            inner: MemoryLedger::default(),
            broken: kind.rule_broken,
        });
        let spool = Arc::new(MemorySpool::default());
        let planner = Engine::new(Arc::new(account.connect("planner")))
            .with_ledger(ledger.clone())
            .with_spool(spool.clone())
            .with_clock(clock.clone())
            .with_rng(Arc::new(TestRng::new(1)));
        let source = requests(kind.requests);
        let plan = planner.plan(Box::new(source)).await.unwrap();
        let run = planner.begin(&plan, None, BTreeMap::new()).await.unwrap();
        Self {
            kind,
            account,
            clock,
            ledger,
            spool,
            run,
            _plan: plan,
        }
    }

    fn engine(&self, name: &str, gate: &Arc<Gate>) -> Engine {
        let provider = Gated::new(Arc::clone(gate), Arc::new(self.account.connect(name)));
        let ledger = Gated::new(Arc::clone(gate), Arc::clone(&self.ledger));
        let looks = [0, 30, 300].map(Duration::from_secs).to_vec();
        Engine::new(Arc::new(provider))
            .with_ledger(Arc::new(ledger))
            .with_spool(self.spool.clone())
            .with_clock(self.clock.clone())
            .with_rng(Arc::new(TestRng::new(2)))
            .with_doubt(DoubtPolicy { waits: looks })
            .with_on_doubt(self.kind.on_doubt)
    }

    fn driver(&self, name: &'static str, stop: Option<usize>) -> Driver {
        let gate = Arc::new(Gate::new(self.clock.clone(), stop));
        let (engine, run) = (self.engine(name, &gate), self.run.clone());
        let work = async move { engine.resume(&run, RunOptions::default()).await };
        Driver {
            name,
            gate,
            work: AssertUnwindSafe(work).catch_unwind().boxed(),
            end: None,
        }
    }

    async fn shards(&self) -> Vec<ShardRecord> {
        self.ledger.shards(&self.run.id).await.unwrap()
    }

    /// Resumes the run until it finishes or nothing changes, and returns the drivers that did so.
    async fn settle(&self) -> Vec<Driver> {
        let (mut drivers, mut before) = (Vec::new(), None);
        while drivers.len() < MOST_RESUMES {
            let mut last = self.driver("F", None);
            last.run_to_end().await;
            let finished = matches!(&last.end, Some(Ok(Ok(_))));
            drivers.push(last);
            let states = self.shards().await.into_iter().map(|shard| shard.state);
            let now: Option<Vec<ShardState>> = Some(states.collect());
            if finished || now == before {
                break;
            }
            before = now;
        }
        drivers
    }

    /// Compares the outcomes of a finished run with its requests: by the numbers of rows and, if
    /// `reads` is set, by every row, which takes long.
    fn check_outcomes(
        &self,
        finished: &RunResults,
        reads: bool,
    ) -> std::result::Result<(), String> {
        let requests = self.kind.requests as u64;
        let strange = [
            finished.duplicates(),
            finished.foreign(),
            finished.malformed(),
            finished.rows_without_id(),
            finished.undelivered(),
        ];
        let is_one_each = finished.requests() == requests && finished.rows() == requests;
        if !is_one_each || strange != [0; 5] || !finished.is_complete() {
            let rows = finished.rows();
            return Err(format!(
                "{rows} rows for {requests} requests, unexpected rows {strange:?}"
            ));
        }
        if !reads {
            return Ok(());
        }
        let engine = self.engine("reader", &Arc::new(Gate::new(self.clock.clone(), None)));
        let mut reader = engine.outcomes(finished).map_err(|e| e.to_string())?;
        let mut seen = 0;
        while let Some(answered) = reader.next().map_err(|e| e.to_string())? {
            seen += 1;
            let id = answered.id.as_str();
            let AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                ..
            } = &answered.answer
            else {
                return Err(format!("the outcome of {id} is {:?}", answered.answer));
            };
            let [ItemView::Text(text)] = output.items.as_slice() else {
                return Err(format!("the outcome of {id} is not one text"));
            };
            if id != format!("\"id/{seen}\"") || text.decode() != format!("words {seen}") {
                return Err(format!("the outcome {seen} is of {id}: {}", text.decode()));
            }
        }
        if seen != self.kind.requests {
            return Err(format!(
                "{seen} outcomes for {} requests",
                self.kind.requests
            ));
        }
        Ok(())
    }

    /// Compares the bill with the record.
    async fn check_bill(&self, drivers: &[Driver]) -> Vec<String> {
        let mut faults = Vec::new();
        let late = late_acknowledgements(&self.ledger, &self.run).await;
        let accepted = self.account.accepted();
        for shard in self.shards().await {
            let own = accepted.iter().filter(|one| one.label == shard.label);
            let own: Vec<&BatchId> = own.map(|one| &one.batch).collect();
            let is_allowed = self.kind.on_doubt == OnDoubt::Resubmit && shard.sent_twice;
            let most = if is_allowed { 2 } else { 1 };
            if own.len() > most {
                let twice = format!("{TWICE}: {own:?} for shard {}", shard.key.shard);
                faults.push(twice);
            }
            let owned = owned(&shard);
            let in_doubt = matches!(shard.state, ShardState::Doubt(_));
            for batch in own {
                let answered_to = |driver: &&Driver| driver.gate.answered().contains(batch);
                let is_shown = match drivers.iter().find(answered_to) {
                    Some(_) => false,
                    // No driver knows the id: the record can only say that there may be a batch.
                    None => in_doubt || is_allowed,
                };
                if owned != Some(batch) && !late.contains(batch) && !is_shown {
                    let by = drivers.iter().find(answered_to).map(|driver| driver.name);
                    faults.push(format!(
                        "{MISSING}: {batch}, answered to {}",
                        by.unwrap_or("no driver")
                    ));
                }
            }
        }
        faults
    }
}

const TWICE: &str = "paid twice";
const MISSING: &str = "not in the record";

/// Returns the batch that the state of a shard names.
fn owned(shard: &ShardRecord) -> Option<&BatchId> {
    match &shard.state {
        ShardState::Created { batch, .. } => Some(batch),
        ShardState::Ended(snapshot) | ShardState::Sealed { snapshot, .. } => Some(&snapshot.id),
        _ => None,
    }
}

/// Schedule: the points at which W and V stop.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    fate: Fate,
    w: Option<usize>,
    v: Option<usize>,
}

/// Result of a schedule.
#[derive(Debug, Default, PartialEq, Eq)]
struct Played {
    w_points: Vec<Point>,
    v_points: Vec<Point>,
    is_finished: bool,
    faults: Vec<String>,
    transcript: String,
}

async fn play(kind: Kind, schedule: Schedule) -> Played {
    let world = World::new(kind).await;
    match schedule.fate {
        Fate::Answered => {}
        Fate::LostAccepted => world.account.lose_answer("W", true),
        Fate::LostNotAccepted => world.account.lose_answer("W", false),
    }
    let (mut w, mut v) = (world.driver("W", schedule.w), world.driver("V", schedule.v));
    w.run_to_stop().await;
    if kind.neighbour {
        world.account.add_foreign(MOST);
    }
    v.run_to_stop().await;
    w.run_to_end().await;
    v.run_to_end().await;
    let mut drivers = vec![w, v];
    drivers.extend(world.settle().await);
    let (mut faults, mut transcript) = (Vec::new(), String::new());
    if drivers.len() == 2 + MOST_RESUMES {
        faults.push("F does not reach an end".to_owned());
    }
    let is_finished = drivers
        .iter()
        .any(|driver| matches!(driver.end, Some(Ok(Ok(_)))));
    if kind.must_finish(schedule.fate) && !is_finished {
        faults.push("the run is held".to_owned());
    }
    for driver in &drivers {
        let (ended, fault) = match &driver.end {
            None => ("not started".to_owned(), None),
            Some(Err(_)) => ("panicked".to_owned(), Some("it panicked".to_owned())),
            Some(Ok(Ok(finished))) => {
                let read = world.check_outcomes(finished, schedule.v.is_none());
                let lost = driver.gate.has_lost_a_shard();
                let lost = lost.then(|| "it finished although it lost a shard".to_owned());
                ("finished".to_owned(), read.err().or(lost))
            }
            Some(Ok(Err(error))) => {
                let wanted = match driver.gate.has_lost_a_shard() {
                    true => ErrorKind::Conflict,
                    false => ErrorKind::Doubt,
                };
                let is_wrong = error.kind() != wanted;
                let wrong =
                    is_wrong.then(|| format!("it failed with an unexpected error: {error}"));
                (format!("failed: {error}"), wrong)
            }
        };
        let _ = writeln!(transcript, "{} {ended}", driver.name);
        for point in driver.gate.points() {
            let at = point.at.as_secs();
            let _ = writeln!(transcript, "  {at} s: {} {point}", driver.name);
        }
        faults.extend(fault.map(|fault| format!("{}: {fault}", driver.name)));
    }
    faults.extend(world.check_bill(&drivers).await);
    for shard in world.shards().await {
        let (number, batch) = (shard.key.shard, owned(&shard));
        let epoch = shard.epoch;
        let _ = writeln!(transcript, "shard {number} at epoch {epoch} has {batch:?}");
    }
    for one in world.account.accepted() {
        let _ = writeln!(transcript, "accepted {}, label {}", one.batch, one.label);
    }
    Played {
        w_points: drivers[0].gate.points(),
        v_points: drivers[1].gate.points(),
        is_finished,
        faults,
        transcript,
    }
}

/// Returns the numbers of the points at which a driver is stopped: those up to the last record of a
/// created batch. A stop before a call is the stop after the call before it, unless the driver
/// slept in between.
fn stops(points: &[Point]) -> Vec<usize> {
    let is_created = |point: &Point| point.call.ends_with("to created");
    let last = points.iter().rposition(is_created);
    let last = last.map_or(points.len(), |last| last + 1);
    let is_stop = |at: &usize| {
        let point = &points[*at];
        let is_same = *at > 0 && points[*at - 1].at == point.at;
        let is_read = ["status", "results", "read"].contains(&&*point.call);
        !is_read && (point.after || !is_same)
    };
    (0..last).filter(is_stop).collect()
}

/// Number of schedules of a kind, and of those that fail, by the fate of the create of W.
#[derive(Debug, Default)]
struct Tally {
    schedules: usize,
    failing: [usize; FATES.len()],
    paid_twice: usize,
    held: usize,
    /// Faults other than a batch that is missing from the record.
    others: Vec<String>,
    first: Vec<String>,
}

impl Tally {
    fn add(&mut self, kind: Kind, schedule: Schedule, played: &Played) {
        self.schedules += 1;
        self.held += usize::from(!played.is_finished);
        if played.faults.is_empty() {
            return;
        }
        self.failing[schedule.fate as usize] += 1;
        let (mut missing, mut twice) = (0, false);
        for fault in &played.faults {
            missing += usize::from(fault.starts_with(MISSING));
            twice |= fault.starts_with(TWICE);
        }
        self.paid_twice += usize::from(twice);
        let at = |points: &[Point], stop: Option<usize>| match stop.and_then(|at| points.get(at)) {
            Some(point) => format!("stops {point}"),
            None => "runs to its end".to_owned(),
        };
        let number = |stop: Option<usize>| stop.map_or("end".to_owned(), |at| at.to_string());
        let report = format!(
            "LMBATCH_SCHEDULE='{}; {}; {}; {}': W {}, V {}, {:?}",
            kind.name,
            schedule.fate.as_str(),
            number(schedule.w),
            number(schedule.v),
            at(&played.w_points, schedule.w),
            at(&played.v_points, schedule.v),
            played.faults
        );
        if missing < played.faults.len() {
            self.others.push(report.clone());
        }
        if self.first.len() < 3 {
            self.first.push(report);
        }
    }
}

/// Number of schedules that are played at once.
const UNDER_WAY: usize = 8;

/// Plays every schedule of a kind.
#[expect(
    clippy::disallowed_methods,
    reason = "time that the test takes, for its report"
)]
async fn play_all(kind: Kind, fates: &[Fate]) -> Tally {
    let (start, mut tally) = (Instant::now(), Tally::default());
    for &fate in fates {
        let plays = |schedule: Schedule| async move { (schedule, play(kind, schedule).await) };
        let (w, v) = (None, None);
        let alone = play(kind, Schedule { fate, w, v }).await;
        let stops_of_w = stops(&alone.w_points).into_iter();
        let firsts = stops_of_w.map(|w| {
            plays(Schedule {
                fate,
                w: Some(w),
                v,
            })
        });
        // Drivers wait for worker threads, so that several schedules run at once.
        let firsts: Vec<_> = stream::iter(firsts).buffered(UNDER_WAY).collect().await;
        let mut schedules = Vec::new();
        for (first, played) in &firsts {
            tally.add(kind, *first, played);
            let stops_of_v = stops(&played.v_points).into_iter();
            schedules.extend(stops_of_v.map(|v| Schedule {
                v: Some(v),
                ..*first
            }));
        }
        let mut others = stream::iter(schedules.into_iter().map(plays)).buffered(UNDER_WAY);
        while let Some((schedule, played)) = others.next().await {
            tally.add(kind, schedule, &played);
        }
    }
    let took = start.elapsed().as_secs_f64();
    eprintln!(
        "{}: {} schedules in {took:.1} s, failing {:?}, paid twice {}, held {}",
        kind.name, tally.schedules, tally.failing, tally.paid_twice, tally.held
    );
    tally.first.iter().for_each(|first| eprintln!("  {first}"));
    tally
}

/// Plays the kinds whose names begin with `kinds`.
async fn check(kinds: &str) {
    let mut wrong = Vec::new();
    let of_name = KINDS
        .iter()
        .filter(|(kind, _)| kind.name.starts_with(kinds));
    for (kind, expected) in of_name {
        let tally = play_all(*kind, &FATES).await;
        assert!(tally.schedules > 300, "{}: {}", kind.name, tally.schedules);
        if tally.failing != *expected || !tally.others.is_empty() {
            wrong.push((kind.name, *expected, tally));
        }
    }
    assert!(
        wrong.is_empty(),
        "not as many failing schedules as expected: {wrong:#?}"
    );
}

#[tokio::test]
async fn two_drivers_at_a_labelled_provider_pay_once_and_show_every_batch() {
    check("labelled, ").await;
}

#[tokio::test]
async fn two_drivers_at_a_fenced_provider_pay_once_and_show_every_batch() {
    check("fenced, ").await;
}

#[tokio::test]
async fn two_drivers_at_an_unlabelled_provider_pay_once_and_show_every_batch() {
    check("unlabelled, ").await;
}

#[tokio::test]
async fn two_drivers_at_a_provider_with_tokens_pay_once_and_show_every_batch() {
    check("token, ").await;
}

#[tokio::test]
async fn a_broken_rule_of_the_create_protocol_pays_twice_in_some_schedule() {
    let mut unchecked = kind("fenced, uploads not checked", LABELLED, ONE).fenced();
    unchecked.rules.checks_uploads = false;
    let labelled = kind("labelled, rule broken", LABELLED, ONE);
    for broken in [
        labelled.broken(Broken::EpochIgnored),
        labelled.broken(Broken::PostingNotRecorded),
        unchecked,
    ] {
        let tally = play_all(broken, &[Fate::Answered]).await;
        assert!(tally.paid_twice > 0, "{broken:?}");
    }
}

#[tokio::test]
async fn replay_of_a_schedule_gives_the_same_calls_and_record() {
    let asked = std::env::var("LMBATCH_SCHEDULE").ok();
    let text = asked
        .as_deref()
        .unwrap_or("fenced, one shard; answered; 20; 30");
    let parts: Vec<&str> = text.split(';').map(str::trim).collect();
    let [name, fate, w, v] = parts.as_slice() else {
        panic!("a schedule is 'kind; fate; W point; V point', not {text:?}");
    };
    let kind = KINDS.iter().find(|(kind, _)| kind.name == *name);
    let fate = FATES.into_iter().find(|known| known.as_str() == *fate);
    let (Some((kind, _)), Some(fate)) = (kind, fate) else {
        panic!("no such kind or fate: {text:?}");
    };
    let schedule = Schedule {
        fate,
        w: w.parse().ok(),
        v: v.parse().ok(),
    };
    let played = play(*kind, schedule).await;
    if asked.is_some() {
        eprintln!("{}faults: {:#?}", played.transcript, played.faults);
    }
    assert_eq!(played, play(*kind, schedule).await);
}
