//! `lmbatch status --watch` and `lmbatch wait`: follow runs through their record, without advancing them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use lmbatch::engine::{RunResults, RunState, is_refused};
use lmbatch::record::{Ledger as _, RunRecord, ShardRecord};
use lmbatch::{Clock, Engine};
use serde_json::Value;

use super::run_facts::{block, named, open_runs};
use super::run_settings::{RunSettings, Shown};
use super::runs::RunTable;
use super::show::{ended, hide_key, run_json};
use super::{clock, deleted_answers, end, pilot_facts, state, waiting};
use crate::args::{StatusArgs, WaitArgs};
use crate::counts::Counts;
use crate::exit::{Exit, Failure};
use crate::live::{Live, LiveReader};
use crate::rendering::Rendering;
use crate::session::Session;
use crate::terminal::{self, Look};
use crate::{format, hints};

/// Interval between two reads of the record.
const INTERVAL: Duration = Duration::from_secs(2);

/// Runs that are watched, and what was shown of them.
struct Watch {
    reader: LiveReader,
    /// Run to watch; `None` for every run that was unfinished at the beginning.
    wanted: Option<String>,
    /// Ids of the watched runs, once they are known.
    ids: Vec<Box<str>>,
    /// Last line of each run in a pipe.
    said: BTreeMap<Box<str>, String>,
    /// Number of lines on the screen.
    lines: usize,
    /// True if each change is printed as one JSON object.
    json: bool,
}

/// Shows the status of runs until they have ended: again and again on a terminal, a line at each change in a pipe.
pub(crate) async fn status(session: &Session, args: &StatusArgs) -> Result<Exit, Failure> {
    let clock = clock();
    let state = match &args.batch {
        Some(run) => state::holding(session, &args.state, run).await?,
        None => args.state.clone(),
    };
    let mut watch = Watch {
        reader: state::live(session, &state).await?,
        wanted: args.batch.clone(),
        ids: Vec::new(),
        said: BTreeMap::new(),
        lines: 0,
        json: args.json,
    };
    watch.begin().await?;
    if watch.ids.is_empty() {
        if !args.json {
            waiting::tell(watch.reader.ledger()).await?;
        }
        return Ok(Exit::Usable);
    }
    loop {
        if let Some(exit) = watch.check(&*clock).await? {
            return Ok(exit);
        }
        if terminal::has_lost_reader() {
            return Err(Failure::pipe());
        }
        clock.sleep(INTERVAL).await;
    }
}

impl Watch {
    /// Chooses the runs to watch.
    async fn begin(&mut self) -> Result<(), Failure> {
        self.ids = match &self.wanted {
            Some(wanted) => vec![state::find(self.reader.ledger(), wanted).await?.id],
            None => {
                let runs = self.reader.ledger().all_runs(open_runs()).await?;
                runs.into_iter().map(|run| run.id).collect()
            }
        };
        Ok(())
    }

    /// Shows the status once; returns the exit code if every run has ended.
    async fn check(&mut self, clock: &dyn Clock) -> Result<Option<Exit>, Failure> {
        let look = match self.json {
            true => Look::Pipe,
            false => terminal::look(),
        };
        let (mut table, mut blocks) = (RunTable::new(), Vec::new());
        let (mut is_open, mut exit) = (false, Exit::Usable);
        for id in self.ids.clone() {
            // A run that was purged meanwhile is not shown any more.
            let Some(run) = self.reader.ledger().run(&id).await? else {
                continue;
            };
            hide_key(&run);
            let (live, shards, _) = self.reader.read(&run).await?;
            is_open |= is_awaited(&live);
            if ended(&run, &shards) != Exit::Usable {
                exit = Exit::Failed;
            }
            match look {
                Look::Pipe => self.say(&run, &shards, &live, clock),
                Look::Terminal { .. } if self.wanted.is_some() => blocks.push(block(&run, &live)),
                Look::Terminal { .. } => table.add(&run, &Shown::of(&run), &live, None),
            }
        }
        if look != Look::Pipe {
            let text = match self.wanted {
                Some(_) => blocks.join("\n"),
                None => table.within(look),
            };
            self.lines = terminal::redraw(&text, self.lines);
        }
        Ok((!is_open).then_some(exit))
    }

    /// Prints the status of a run if it has changed.
    fn say(&mut self, run: &RunRecord, shards: &[ShardRecord], live: &Live, clock: &dyn Clock) {
        let line = format!("{} {}, {}", named(run), live.state, live.counts());
        if self.said.get(&run.id) == Some(&line) {
            return;
        }
        match self.json {
            true => terminal::json(&run_json(run, &Shown::of(run), shards, live)),
            false => terminal::out(&format!("{} {line}", format::time(clock.now()))),
        }
        self.said.insert(run.id.clone(), line);
    }
}

/// Reports whether a run has not ended, or a process still writes its outcomes.
fn is_awaited(live: &Live) -> bool {
    live.is_open() || live.holder.is_some() && live.state != RunState::Failed
}

/// Waits until a run has ended, without advancing it.
pub(crate) async fn wait(session: &Session, mut args: WaitArgs) -> Result<Exit, Failure> {
    args.state = state::holding(session, &args.state, &args.run).await?;
    let clock = clock();
    let start = clock.elapsed();
    let mut reader = state::live(session, &args.state).await?;
    let id = state::find(reader.ledger(), &args.run).await?.id;
    let mut was_told = false;
    loop {
        let run = state::find(reader.ledger(), &id).await?;
        let (live, shards, _) = reader.read(&run).await?;
        if !is_awaited(&live) {
            return match is_refused(&shards) && !run.finished {
                true => Err(end::refused(&run)),
                false => {
                    let shown = run_json(&run, &Shown::of(&run), &shards, &live);
                    result(&args, &run, reader, shown).await
                }
            };
        }
        let spent = clock.elapsed().saturating_sub(start);
        let left = args.timeout.map(|limit| limit.saturating_sub(spent));
        if left == Some(Duration::ZERO) {
            if args.json {
                terminal::json(&run_json(&run, &Shown::of(&run), &shards, &live));
            }
            terminal::message(&format!("running: {} (run {id})", live.counts()));
            return Ok(Exit::Unfinished);
        }
        if live.holder.is_none() && !was_told {
            was_told = true;
            terminal::message(&format!(
                "no process advances run {id} now; to continue it: {}",
                hints::on_runs(["resume", &id])
            ));
        }
        clock
            .sleep(left.map_or(INTERVAL, |left| left.min(INTERVAL)))
            .await;
    }
}

/// Returns the exit code of a run that has ended, by its outcomes and the limits that are kept with it.
async fn result(
    args: &WaitArgs,
    run: &RunRecord,
    reader: LiveReader,
    mut shown: Value,
) -> Result<Exit, Failure> {
    drop(reader);
    let state_word = shown["state"]
        .as_str()
        .unwrap_or_default()
        .replace('_', " ");
    let mut print = |requests: u64, usable: u64| {
        if args.json {
            shown["usable"] = usable.into();
            terminal::json(&shown);
        }
        print_end(run, &state_word, requests, usable);
    };
    let session = Session::default();
    let (run, notes, engine) = state::recorded(&session, &run.id, &args.state).await?;
    if run.answers_deleted_at.is_some() {
        let (unusable, exit) = deleted_answers::ended(&run, &notes);
        let requests = u64::from(run.requests);
        print(requests, requests.saturating_sub(unusable));
        session.close(&*clock()).await;
        return Ok(exit);
    }
    let finished = engine.partial_results(&run).await?;
    let accept = notes.kept.accept().to_vec();
    let max_failed = notes.kept.max_failed();
    let counted = tokio::task::spawn_blocking(move || count(&engine, &finished, &notes, accept));
    let counts = counted.await.map_err(|_| crate::rendering::lost())??;
    session.close(&*clock()).await;
    let unusable = counts.requests - counts.usable;
    print(counts.requests, counts.usable);
    if let Some(part) = pilot_facts::part(&run).filter(|_| !run.cancelled) {
        terminal::message(&format!("run {} is a pilot: {part}", run.id));
        return Ok(Exit::Unfinished);
    }
    Ok(match max_failed.allows(unusable, counts.requests) {
        true => Exit::Usable,
        false => Exit::Unusable,
    })
}

fn print_end(run: &RunRecord, state: &str, requests: u64, usable: u64) {
    terminal::message(&format!(
        "{} is {state}: {}, {} usable",
        named(run),
        format::count(requests, "request", "requests"),
        format::number(usable)
    ));
}

/// Counts the outcomes of a run.
fn count(
    engine: &Engine,
    finished: &RunResults,
    notes: &RunSettings,
    accept: Vec<lmbatch::Problem>,
) -> Result<Counts, Failure> {
    let rendering = Rendering::new(finished, notes.form(), accept);
    let readers = vec![engine.outcomes(finished)?];
    rendering.lines(
        readers,
        &Arc::new(AtomicBool::new(false)),
        &mut |_: &[u8]| Ok(()),
    )
}
