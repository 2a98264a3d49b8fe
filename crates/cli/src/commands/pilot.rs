//! Pilot of a run: its first requests are sent, their outcomes are shown, and the others are sent if the user agrees.
//!
//! The record of the run says that it is a pilot until the others are added, in one change with their batches. No
//! process needs to remember the decision: a command that is repeated shows the pilot again, and asks again.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lmbatch::Engine;
use lmbatch::engine::{Plan, PlannedRequest, RunOptions, RunResults};
use lmbatch::record::{RunClaim, RunRecord};

use super::before_paying::{self, Estimating, Scope};
use super::continuing::{again_at, claimed};
use super::end::driven;
use super::pilot_ended::Report;
use super::pilot_facts::{NEXT, command, own_words};
use super::run_context::{self, Patience, RunContext};
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::pilot_report::Decision;
use crate::progress::Progress;
use crate::signals::Handling;
use crate::{format, terminal, written};

/// First requests of a plan, which are sent before the others.
#[derive(Debug)]
pub(super) struct First {
    pub(super) plan: Plan,
    pub(super) estimating: Estimating,
}

/// Plans the first requests, if the options ask for them and the input has more.
pub(super) async fn first(
    args: &RunArgs,
    engine: &Engine,
    plan: &Plan,
    estimating: Option<Estimating>,
) -> Result<Option<First>, Failure> {
    let (Some(requests), Some(estimating)) = (args.pilot.pilot, estimating) else {
        return Ok(None);
    };
    if u64::from(requests) >= plan.requests() {
        terminal::message(&format!(
            "no pilot: the input has {}, and --pilot asks for {}",
            format::count(plan.requests(), "request", "requests"),
            format::number(u64::from(requests))
        ));
        return Ok(None);
    }
    let plan = engine.pilot(plan, requests).await?;
    Ok(Some(First { plan, estimating }))
}

/// Returns a callback that adds each request of a plan to an estimate, and the first ones to that of the pilot.
pub(super) fn adding(
    all: &Estimating,
    first: Option<&Estimating>,
    requests: Option<u32>,
) -> impl FnMut(&PlannedRequest<'_>) + Send + 'static {
    let mut add = all.adding();
    let mut add_first = first.map(Estimating::adding);
    let mut left = requests.unwrap_or(0);
    move |request| {
        add(request);
        if let Some(add) = &mut add_first
            && left > 0
        {
            left -= 1;
            add(request);
        }
    }
}

impl First {
    /// Prints what is sent first.
    pub(super) fn print(&self, emulated: bool) {
        let total = self.estimating.lock().estimate().total();
        let price = match total {
            _ if emulated => String::new(),
            Some(total) => format!(", about {}", total.rounded()),
            None => ", at an unknown price".to_owned(),
        };
        terminal::message(&format!(
            "pilot: the first {} in {}{price}",
            format::count(self.plan.requests(), "request", "requests"),
            format::count(u64::from(self.plan.batches()), "batch", "batches"),
        ));
    }
}

/// Run with a pilot that a `run` command advances.
pub(super) struct Piloted<'a> {
    pub(super) context: RunContext,
    pub(super) engine: Engine,
    pub(super) args: &'a RunArgs,
    /// Plan of all requests.
    pub(super) plan: Plan,
    pub(super) estimating: &'a Estimating,
    pub(super) options: RunOptions,
}

impl Piloted<'_> {
    /// Begins the pilot, and sends the other requests if the decision is to send them.
    pub(super) async fn begin(self, first: Plan, begin: RunClaim) -> Result<Exit, Failure> {
        let (context, options) = (&self.context, self.options);
        let engine = self.engine.with_claim_of(&first);
        let name = self.args.name.as_deref();
        let run = engine.begin(&first, name, self.notes()).await?;
        drop(begin);
        context.progress.keep_run(&run.id);
        let id = run.id.clone();
        let work = engine.start(run, first, context.remaining(&engine, options));
        match driven(context, &engine, work).await? {
            Ok(finished) => Box::pin(self.decide(engine, &id, finished)).await,
            Err(exit) => Ok(exit),
        }
    }

    /// Continues a recorded pilot. With more or other first requests than it has, these are sent as well.
    pub(super) async fn again(
        mut self,
        run: &RunRecord,
        first: Option<First>,
        is_changed: bool,
    ) -> Result<Exit, Failure> {
        let is_asked = self.args.pilot.pilot.is_some();
        if !run.finished && first.is_none() && !self.needs_measure() {
            // All requests are asked for: none of them waits for the others.
            if !self.context.emulated {
                let (paying, input) = (&self.args.paying, &self.args.input);
                before_paying::confirm(paying, self.estimating, input, Scope::Changed).await?;
            }
            return self.send(run).await;
        }
        let (engine, run) =
            match claimed(&mut self.context, &self.engine, &run.id, self.options).await? {
                Ok(claimed) => claimed,
                Err(exit) => return Ok(exit),
            };
        let place = run_context::place(&self.context, &run, true)?;
        if run.pilot_of.is_none() {
            // Another process has sent the other requests since.
            return again_at(self.context, &engine, &run, self.options, place).await;
        }
        let run = match &first {
            Some(first) if is_changed || first.plan.requests() > u64::from(run.requests) => {
                let (run, changes) = engine.update(&run, &first.plan).await?;
                let mut notes = self.notes();
                written::carry(&run, &mut notes);
                terminal::message(&format!("pilot: {}", format::changes(&changes)));
                engine.annotate(&run, notes).await?
            }
            _ => run,
        };
        drop(first);
        self.context.progress.keep_run(&run.id);
        let options = self.context.remaining(&engine, self.options);
        if run.finished {
            self.context.unapplied_repairs = self.context.notes.kept.more_repairs(&run);
            terminal::message(&format!(
                "the pilot of run {} has ended: 0 requests sent",
                run.id
            ));
            let finished = engine.results(&run, options).await?;
            return Box::pin(self.decide(engine, &run.id, finished)).await;
        }
        terminal::message(&format!("resuming the pilot of run {}", run.id));
        let work = engine.resume(&run, options);
        match driven(&self.context, &engine, work).await? {
            Ok(finished) => Box::pin(self.decide(engine, &run.id, finished)).await,
            Err(Exit::Usable) if !is_asked && self.context.patience == Patience::Detach => {
                terminal::message(
                    "the cost limit needs the answers of the pilot: once it has ended, run the command again to send the other requests",
                );
                Ok(Exit::Unfinished)
            }
            Err(exit) => Ok(exit),
        }
    }

    /// Reports whether the limit on the cost needs the lengths of the pilot's answers.
    fn needs_measure(&self) -> bool {
        let cost = self.context.notes.kept.cost();
        cost.max_cost.is_some() && cost.expect_output.is_none()
    }

    /// Returns the notes of the run, with the command that sends the other requests.
    fn notes(&self) -> BTreeMap<Box<str>, Box<str>> {
        let mut notes = self.context.notes.write();
        if let Ok(text) = serde_json::to_string(&own_words()) {
            notes.insert(NEXT.into(), text.into());
        }
        notes
    }

    /// Reports a pilot that has ended, and sends the other requests if the decision is to send them. The claim is
    /// released before a question, since other processes would wait for it.
    async fn decide(
        mut self,
        engine: Engine,
        run: &str,
        finished: RunResults,
    ) -> Result<Exit, Failure> {
        let run = super::state::find(&**engine.ledger(), run).await?;
        let mut report = Report::of(&self.context, &engine, &finished, &run).await?;
        let kept = std::mem::take(&mut self.context.notes.kept);
        let (kept, run) = report.measure(kept, &engine, &run).await?;
        self.context.notes.kept = kept;
        drop((engine, finished));
        self.context.progress.finish();
        report.pilot.next = Some(command(&own_words()));
        let engine = self.context.notes.kept.cost().limiting(self.engine.clone());
        // Where the cost of a request has no bound, the command that sends it fails.
        let bound = engine.largest_cost(&self.plan, run.requests).await;
        let batch = self.context.notes.kept.limit().max_batch_requests;
        report.pilot.reserving(bound.unwrap_or_default(), batch);
        report.print(&self.context, &run);
        if run.cancelled {
            return report.stop(&self.context, &self.engine, &run).await;
        }
        match self.decision(&report).await? {
            Ok(Decision::Sent) => {}
            Ok(_) => return report.stop(&self.context, &self.engine, &run).await,
            Err((exit, name)) => {
                terminal::message(&format!("stopped by {name}"));
                report.hints(&run);
                return Ok(exit);
            }
        }
        (report.pilot.decision, report.pilot.next) = (Decision::Sent, None);
        self.context.pilot = Some(report.pilot);
        self.send(&run).await
    }

    /// Decides about the other requests: by the share of usable outputs, by `-y`, or by a question. Returns the signal
    /// that ends the command meanwhile.
    async fn decision(
        &self,
        report: &Report,
    ) -> Result<Result<Decision, (Exit, &'static str)>, Failure> {
        let (pilot, args) = (&report.pilot, &self.args.pilot);
        if let Some(least) = args.pilot_min_ok {
            if least.is_reached(pilot.usable, pilot.requests) {
                return Ok(Ok(Decision::Sent));
            }
            terminal::required(&format!(
                "{} of the pilot is usable, less than {least}: {} not sent",
                pilot.share(),
                match pilot.rest() {
                    1 => "the last request is".to_owned(),
                    _ => format!("{} are", pilot.others()),
                }
            ));
            return Ok(Ok(Decision::Awaited));
        }
        let above = self.args.paying.confirm_above;
        let is_cheap = pilot.rest_usd.is_some_and(|cost| cost.high <= above);
        let is_free = self.context.emulated || is_cheap;
        if self.args.paying.yes || args.pilot.is_none() && is_free {
            return Ok(Ok(Decision::Sent));
        }
        // Requests from standard input have used up the place of an answer.
        if self.args.input == Path::new("-") || !terminal::can_ask() {
            return Ok(Ok(match args.pilot {
                Some(_) => Decision::Awaited,
                None => Decision::Sent,
            }));
        }
        let mut handling = Handling::new();
        let question = pilot.question(report.is_priced);
        tokio::select! {
            is_yes = before_paying::is_confirmed(question) => Ok(Ok(match is_yes? {
                true => Decision::Sent,
                false => Decision::Awaited,
            })),
            signal = handling.stopped() => Ok(Err(signal)),
        }
    }

    /// Adds the other requests to the run, and advances it to its end.
    async fn send(mut self, run: &RunRecord) -> Result<Exit, Failure> {
        let report = &self.context.report;
        let progress = Progress::new(report.quiet).recording(&self.context.session);
        self.context.progress = Arc::new(progress);
        // The limit may have a new expectation, from the answers of the pilot.
        let cost = self.context.notes.kept.cost();
        let is_unlimited = self.estimating.lock().estimate().unlimited > 0;
        if let Some(warning) = cost.estimated_by_pilot().filter(|_| is_unlimited) {
            terminal::warn(&warning);
        }
        let engine = cost.limiting(self.engine);
        let engine = engine.with_observer(self.context.progress.clone());
        let updated = super::updating::update(self.context, &engine, run, self.plan, self.options);
        Box::pin(updated).await
    }
}
