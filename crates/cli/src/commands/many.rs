//! `lmbatch resume --all`: advances every unfinished run concurrently, in one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lmbatch::durable::SqliteLedger;
use lmbatch::engine::FolderSpool;
use lmbatch::record::Ledger as _;
use lmbatch::{AccountId, Clock, Engine, Error, ErrorKind, PollingPolicy};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::continuing::{doubting, notes, options};
use super::end::{outcomes, stopped_short};
use super::run_context::{Patience, RunContext, place};
use super::run_settings::RunSettings;
use super::turns::{Outputs, Turns};
use super::{clock, connect, state, waiting};
use crate::args::ResumeArgs;
use crate::board::Board;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::providers::Route;
use crate::session::Session;
use crate::signals::Handling;
use crate::{format, hints, retention, terminal};

/// Interval between two searches for unfinished runs, and between two checks of runs that other processes advance.
const LOOK: Duration = Duration::from_secs(3);

/// Initial time until a failed run is tried again; it doubles each time.
const RETRY: Duration = Duration::from_secs(60);

/// Maximum time until a failed run is tried again.
const LONGEST_RETRY: Duration = Duration::from_secs(600);

/// Maximum wait, after a signal, for outputs that are being written to delete their temporary files.
const ENDING: Duration = Duration::from_secs(1);

/// Resumes every unfinished run; with `--watch`, also those that start later.
pub(crate) async fn all(session: &Arc<Session>, args: ResumeArgs) -> Result<Exit, Failure> {
    if !args.watch && state::is_new(&args.options.state)? {
        waiting::tell_none();
        return Ok(Exit::Usable);
    }
    let mut handling = Handling::new();
    let (stop, stopped) = watch::channel(false);
    let mut scheduler = Scheduler::new(session, args, stopped).await?;
    let worked = tokio::select! {
        worked = scheduler.work() => worked,
        (exit, name) = handling.stopped() => {
            stop.send_replace(true);
            let left = scheduler.end().await;
            scheduler.tasks.shutdown().await;
            scheduler.many.board.finish();
            let command = hints::on_runs(["resume", "--all"]);
            terminal::message(&match left {
                0 => format!("stopped by {name}"),
                left => format!(
                    "stopped by {name}; {} not ended; to continue:\n  {command}",
                    format::count(left, "run has", "runs have")
                ),
            });
            return Ok(exit);
        }
    };
    scheduler.many.board.finish();
    worked?;
    if scheduler.begun == 0 {
        waiting::tell(&scheduler.many.ledger).await?;
    }
    Ok(scheduler.worst)
}

/// Values that all runs of the command share.
struct Many {
    session: Arc<Session>,
    args: ResumeArgs,
    ledger: Arc<SqliteLedger>,
    spool: Arc<FolderSpool>,
    clock: Arc<dyn Clock>,
    start: Duration,
    board: Arc<Board>,
    outputs: Arc<Outputs>,
    accounts: Mutex<Vec<Account>>,
    stopped: watch::Receiver<bool>,
}

/// Connection of one or more runs, with its engine.
struct Account {
    connection: Connection,
    id: AccountId,
    engine: Engine,
    cleanings: Arc<Semaphore>,
}

/// Connection settings in the notes of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Connection {
    provider: &'static str,
    route: Route,
    base_url: Option<String>,
    key_env: Option<String>,
}

impl Many {
    /// Returns the engine of a run's account, and the semaphore that the account's runs share. Engines of one account
    /// are clones of one engine, so that its limits hold for all of its runs.
    fn account(&self, notes: &RunSettings) -> Result<(Engine, Arc<Semaphore>), Failure> {
        let connection = Connection {
            provider: notes.provider.id(),
            route: notes.route,
            base_url: notes.connection.base_url.clone(),
            key_env: notes.connection.key_env.clone(),
        };
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = accounts.iter().find(|known| known.connection == connection);
        if let Some(known) = known {
            return Ok((known.engine.clone(), Arc::clone(&known.cleanings)));
        }
        let provider = connect(notes.provider, &notes.connection, notes.route)?;
        let id = provider.account();
        let same =
            |known: &&Account| known.id == id && known.connection.provider == connection.provider;
        let (engine, cleanings) = match accounts.iter().find(same) {
            // The same account is used over another route or with another key.
            Some(known) => (
                known.engine.clone().with_provider(provider),
                Arc::clone(&known.cleanings),
            ),
            None => (self.engine(Engine::new(provider))?, Turns::of_account()),
        };
        accounts.push(Account {
            connection,
            id,
            engine: engine.clone(),
            cleanings: Arc::clone(&cleanings),
        });
        Ok((engine, cleanings))
    }

    /// Configures an engine from the arguments.
    fn engine(&self, engine: Engine) -> Result<Engine, Failure> {
        let prices = self.args.options.paying.prices.table()?;
        let ledger = Arc::clone(&self.ledger);
        let engine = engine
            .with_record(ledger, Arc::clone(&self.spool) as Arc<_>)
            .with_clock(Arc::clone(&self.clock))
            .with_prices(Arc::new(prices));
        let engine = doubting(engine, &self.args.options.doubt);
        Ok(match self.args.options.poll_interval {
            Some(interval) => engine.with_polling(PollingPolicy::every(interval)),
            None => engine,
        })
    }

    /// Advances a run as far as possible.
    async fn advance(self: Arc<Self>, id: Box<str>) -> Result<End, Failure> {
        let Some(run) = self.ledger.run(&id).await? else {
            return Ok(End::Gone);
        };
        let (engine, cleanings) = self.account(&RunSettings::read(&run)?)?;
        let progress = Progress::of_many(Arc::clone(&self.board), &id);
        let progress = Arc::new(progress.recording(&self.session));
        let engine = engine.with_observer(progress.clone());
        let engine = match engine.claim(&id).await {
            Err(error) if error.kind() == ErrorKind::Conflict => return Ok(End::Elsewhere(error)),
            engine => engine?,
        };
        // Read again under the claim: another process may have advanced the run.
        let Some(run) = self.ledger.run(&id).await? else {
            return Ok(End::Gone);
        };
        if run.finished && self.args.watch {
            return Ok(End::Gone);
        }
        self.board.begin(&id, u64::from(run.requests));
        let notes = notes(&run, &self.args.options)?;
        let engine = engine.with_batch_limit(notes.kept.limit().limit());
        let engine = notes.kept.cost().limiting(engine);
        let context = RunContext {
            session: Arc::clone(&self.session),
            notes,
            report: self.args.options.report.clone(),
            emulated: false,
            emulation: None,
            start: self.start,
            progress,
            patience: match self.args.once {
                true => Patience::Once,
                false => Patience::Wait,
            },
            only_reads: false,
            notes_of_record: true,
            moved_to: None,
            turns: Some(Turns::new(&self.outputs, &cleanings)),
            pilot: None,
            unapplied_repairs: None,
        };
        let place = place(&context, &run, false)?;
        let options = options(&self.args.options, &context.notes.kept, self.args.once);
        let options = context.remaining(&engine, options);
        let mut stopped = self.stopped.clone();
        let work = async {
            match run.finished {
                true => engine.results(&run, options).await,
                false => engine.resume(&run, options).await,
            }
        };
        let finished = tokio::select! {
            finished = work => finished,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(End::Stopped),
        };
        match finished {
            Ok(finished) => outcomes(&context, &engine, &finished, place).await,
            Err(error) => stopped_short(&context, &engine, error).await,
        }
        .map(End::Ended)
    }
}

/// End of the work on a run.
enum End {
    /// The command on the run has ended: outcomes were written, or the run is still in progress.
    Ended(Exit),
    /// Another process, which the error names, advances the run.
    Elsewhere(Error),
    /// The run was deleted, or another process has finished it.
    Gone,
    /// A signal stopped the work.
    Stopped,
}

/// Recorded run that is not being advanced.
#[derive(Debug, Default)]
struct Waiting {
    /// Time of the next try on the clock; `None` for no further try.
    due: Option<Duration>,
    /// Number of consecutive failures.
    failures: u32,
    /// Failure that was reported last.
    said: String,
    /// True while another process advances the run.
    elsewhere: bool,
}

/// Tasks of all runs.
struct Scheduler {
    many: Arc<Many>,
    tasks: JoinSet<Result<End, Failure>>,
    /// Runs that are being advanced, by their tasks.
    live: HashMap<Id, Box<str>>,
    waiting: HashMap<Box<str>, Waiting>,
    /// Time of the next search for new runs; `None` for no further search.
    look_at: Option<Duration>,
    /// Last failure to read the record.
    unlisted: Option<String>,
    /// Number of runs that were started.
    begun: u64,
    /// True once the state folder was looked at for old answers.
    has_looked: bool,
    worst: Exit,
}

impl Scheduler {
    async fn new(
        session: &Arc<Session>,
        args: ResumeArgs,
        stopped: watch::Receiver<bool>,
    ) -> Result<Self, Failure> {
        let clock = clock();
        let quiet = args.options.report.quiet;
        let folder = state::open(session, &args.options.state, quiet)?;
        let ledger = session.opened_for_writing(folder.ledger().await?);
        let many = Arc::new(Many {
            session: Arc::clone(session),
            ledger,
            spool: Arc::new(FolderSpool::new(folder.spool())),
            start: clock.elapsed(),
            board: Arc::new(Board::new(quiet)),
            outputs: Outputs::new(),
            accounts: Mutex::default(),
            stopped,
            clock,
            args,
        });
        Ok(Self {
            look_at: Some(many.start),
            many,
            tasks: JoinSet::new(),
            live: HashMap::new(),
            waiting: HashMap::new(),
            unlisted: None,
            begun: 0,
            has_looked: false,
            worst: Exit::Usable,
        })
    }

    fn now(&self) -> Duration {
        self.many.clock.elapsed()
    }

    /// Reports whether the timeout of the command has expired.
    fn is_late(&self) -> bool {
        let spent = self.now().saturating_sub(self.many.start);
        let limit = self.many.args.options.timeout;
        limit.is_some_and(|limit| spent >= limit)
    }

    /// Advances runs until nothing is due any more; with `--watch`, until the timeout of the command expires.
    async fn work(&mut self) -> Result<(), Failure> {
        let clock = Arc::clone(&self.many.clock);
        loop {
            self.look().await?;
            if self.many.args.watch {
                // The command may never end.
                let args = &self.many.args.options.retention;
                // An argument asks for the first look and for the one at the end; the others are daily.
                let is_asked = args.is_said && !std::mem::replace(&mut self.has_looked, true);
                Box::pin(retention::look(&self.many.session, args, is_asked)).await;
            }
            self.begin_due();
            let due = self.waiting.values().filter_map(|waiting| waiting.due);
            let due = due.chain(self.look_at).min();
            let due = due.map(|due| match self.many.args.options.timeout {
                Some(limit) => due.min(self.many.start.saturating_add(limit)),
                None => due,
            });
            let wait = due.map(|due| due.saturating_sub(self.now()));
            tokio::select! {
                Some(ended) = self.tasks.join_next_with_id() => self.take(ended),
                () = clock.sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                else => return Ok(()),
            }
            if self.is_late() {
                self.leave();
            }
        }
    }

    /// Searches the record for unfinished runs.
    async fn look(&mut self) -> Result<(), Failure> {
        if self.look_at.is_none_or(|at| at > self.now()) {
            return Ok(());
        }
        let watches = self.many.args.watch;
        let ids = match self.many.ledger.unfinished_runs().await {
            Ok(ids) => ids,
            Err(error) if watches => {
                // The failure may be temporary, such as a disk that does not respond.
                let said = Some(error.to_string());
                if self.unlisted != said {
                    terminal::error(&error.into());
                    self.unlisted = said;
                }
                self.look_at = Some(self.now() + LOOK);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.unlisted = None;
        self.look_at = watches.then(|| self.now() + LOOK);
        if watches {
            // Forget runs that another process has finished or deleted.
            self.waiting.retain(|id, _| ids.contains(id));
        }
        let mut new = Vec::new();
        for id in ids {
            let is_live = self.live.values().any(|live| *live == id);
            if !is_live && !self.waiting.contains_key(&id) {
                new.push(id);
            }
        }
        if let several @ 1.. = new.len() as u64 {
            terminal::message(&format!(
                "resuming {}",
                format::count(several, "run", "runs")
            ));
        }
        let due = Some(self.now());
        for id in new {
            let waiting = Waiting {
                due,
                ..Waiting::default()
            };
            self.waiting.insert(id, waiting);
        }
        self.count_elsewhere();
        Ok(())
    }

    /// Starts or retries the runs that are due.
    fn begin_due(&mut self) {
        let now = self.now();
        let mut due = Vec::new();
        for (id, waiting) in &mut self.waiting {
            if waiting.due.is_some_and(|at| at <= now) {
                waiting.due = None;
                due.push(id.clone());
            }
        }
        for id in due {
            self.begun += 1;
            let work = Box::pin(Arc::clone(&self.many).advance(id.clone()));
            let task = self.tasks.spawn(work);
            self.live.insert(task.id(), id);
        }
    }

    /// Handles the end of the work on a run.
    fn take(&mut self, ended: Result<(Id, Result<End, Failure>), JoinError>) {
        let (task, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                let internal = Error::new(ErrorKind::Internal)
                    .with_message("the work on a run ended early")
                    .with_source(std::io::Error::other(error.to_string()));
                (error.id(), Err(internal.into()))
            }
        };
        let Some(id) = self.live.remove(&task) else {
            return;
        };
        let args = &self.many.args;
        self.many.board.release(&id);
        match ended {
            Ok(End::Gone | End::Stopped) => {
                self.waiting.remove(&id);
            }
            Ok(End::Ended(exit)) => {
                self.waiting.remove(&id);
                self.many.board.end(false);
                self.count(exit);
            }
            Ok(End::Elsewhere(error)) if args.once => self.fail(&id, error.into()),
            Ok(End::Elsewhere(_)) => {
                let due = Some(self.now() + LOOK);
                let waiting = self.waiting.entry(id).or_default();
                (waiting.due, waiting.elsewhere) = (due, true);
            }
            Err(failure) => self.fail(&id, failure),
        }
        self.count_elsewhere();
    }

    /// Reports a run that has failed; the others continue.
    fn fail(&mut self, id: &str, failure: Failure) {
        self.count(failure.exit);
        let said = failure.message.clone();
        let watches = self.many.args.watch;
        let waiting = match watches {
            true => self.waiting.entry(id.into()).or_default(),
            false => &mut self.waiting.remove(id).unwrap_or_default(),
        };
        if waiting.said != said {
            let failure = of_run(failure, id);
            crate::report(&failure, self.many.args.options.report.json);
        }
        if watches {
            if waiting.failures == 0 {
                self.many.board.end(true);
            }
            let wait = RETRY.saturating_mul(1 << waiting.failures.min(8));
            waiting.failures += 1;
            waiting.due = Some(self.many.clock.elapsed() + wait.min(LONGEST_RETRY));
            (waiting.said, waiting.elsewhere) = (said, false);
        } else {
            self.many.board.end(true);
        }
    }

    fn count(&mut self, exit: Exit) {
        if exit.severity() > self.worst.severity() {
            self.worst = exit;
        }
    }

    fn count_elsewhere(&self) {
        let elsewhere = self.waiting.values().filter(|waiting| waiting.elsewhere);
        self.many.board.elsewhere(elsewhere.count() as u64);
    }

    /// Starts no further runs after the timeout of the command. Runs that are being advanced end by the same timeout.
    fn leave(&mut self) {
        self.look_at = None;
        for (id, waiting) in std::mem::take(&mut self.waiting) {
            let is_live = self.live.values().any(|live| *live == id);
            if !is_live && waiting.elsewhere {
                let message = format!("run {id}: another process advances it");
                let failure = Failure::new(Exit::Unfinished, "unfinished", message).of_run(&id);
                crate::report(&failure, self.many.args.options.report.json);
                self.count(Exit::Unfinished);
            }
        }
    }

    /// Waits for tasks that end themselves on a signal. Returns the number of unfinished runs.
    async fn end(&mut self) -> u64 {
        let clock = Arc::clone(&self.many.clock);
        let late = clock.sleep(ENDING);
        tokio::pin!(late);
        let waiting = self.waiting.values();
        let mut left = waiting.filter(|waiting| waiting.due.is_some()).count() as u64;
        loop {
            tokio::select! {
                ended = self.tasks.join_next_with_id() => match ended {
                    Some(Ok((_, Ok(End::Stopped)))) => left += 1,
                    Some(ended) => self.take(ended),
                    None => return left,
                },
                () = &mut late => return left + self.tasks.len() as u64,
            }
        }
    }
}

/// Adds the id of the run to the message of a failure.
fn of_run(failure: Failure, id: &str) -> Failure {
    let message = match failure.message.contains(id) {
        true => failure.message.clone(),
        false => format!("run {id}: {}", failure.message),
    };
    Failure { message, ..failure }.of_run(id)
}
