//! End of a pilot: its report, and what is said where the other requests are not sent.

use lmbatch::engine::{Costs, RunResults};
use lmbatch::record::RunRecord;
use lmbatch::{Engine, Result as CoreResult};

use super::clean::clean;
use super::kept::Kept;
use super::pilot_facts::next;
use super::run_context::RunContext;
use super::run_facts::named;
use crate::exit::{Exit, Failure};
use crate::pilot_report::{self, Decision, Outcomes, Pilot};
use crate::summary::Summary;
use crate::{format, hints, rendering, terminal};

/// Pilot that has ended, with its outcomes.
#[derive(Debug)]
pub(super) struct Report {
    summary: Summary,
    outcomes: Outcomes,
    pub(super) pilot: Pilot,
    pub(super) is_priced: bool,
}

impl Report {
    pub(super) async fn of(
        context: &RunContext,
        engine: &Engine,
        finished: &RunResults,
        run: &RunRecord,
    ) -> Result<Self, Failure> {
        let (notes, batches) = (&context.notes, finished.batches());
        let reader = engine.outcomes(finished)?;
        let (accept, requests) = (notes.kept.accept().to_vec(), finished.requests());
        let read =
            tokio::task::spawn_blocking(move || pilot_report::read(reader, requests, &accept));
        let mut outcomes = read.await.map_err(|_| rendering::lost())??;
        let totals = match run.attempt > 0 || run.order.is_some() {
            true => Some(engine.batch_totals(run).await?),
            false => None,
        };
        let billed = totals.as_ref().map(|totals| {
            let mut billed = Costs::default();
            totals
                .iter()
                .for_each(|batch| billed += batch.answered.costs);
            billed
        });
        // Emulated answers are not billed, but count towards a limit on the cost as if they were.
        let is_limited = notes.kept.cost().max_cost.is_some();
        let is_priced = engine.prices().is_some() && (!context.emulated || is_limited);
        let of = u64::from(run.pilot_of.unwrap_or(run.requests));
        let pilot = Pilot::of(&outcomes, of, billed.as_ref(), is_priced);
        let mut summary = Summary::new(
            notes.provider.id(),
            &notes.model,
            &batches,
            &notes.output.display().to_string(),
            context.emulated,
            Some(&run.id),
        )
        .with_state(context.session.folder());
        summary.add(std::mem::take(&mut outcomes.counts));
        summary.bill(totals.as_deref(), &batches);
        summary.price(totals.as_deref(), engine);
        summary.finish(engine.clock().elapsed().saturating_sub(context.start));
        Ok(Self {
            summary,
            outcomes,
            pilot,
            is_priced,
        })
    }

    /// Records the length of the longest answer, which a limit on the cost then expects of the other requests, and
    /// returns the options and the record of the run with it. The caller holds the claim of the run.
    pub(super) async fn measure(
        &self,
        kept: Kept,
        engine: &Engine,
        run: &RunRecord,
    ) -> CoreResult<(Kept, RunRecord)> {
        let most = self.pilot.most_output_tokens.filter(|most| *most > 0);
        let most = most.map(|most| u32::try_from(most).unwrap_or(u32::MAX));
        let cost = kept.cost().clone().expecting_of_pilot(most);
        let kept = kept.with_cost(cost);
        let run = match kept.note(run) {
            Some(notes) => engine.annotate(run, notes).await?,
            None => run.clone(),
        };
        Ok((kept, run))
    }

    pub(super) fn print(&self, context: &RunContext, run: &RunRecord) {
        if context.turns.is_some() {
            return terminal::message(&format!(
                "{}: the pilot of {} of {} requests has ended, {} usable",
                named(run),
                format::number(self.pilot.requests),
                format::number(self.pilot.of),
                format::number(self.pilot.usable)
            ));
        }
        let summary = &self.summary;
        let mut notes = summary.troubles();
        notes.extend(summary.unusable());
        let facts = summary.outcome_facts();
        let lines = self
            .pilot
            .lines(facts, notes, &self.outcomes, &run.id, self.is_priced);
        for line in lines {
            terminal::message(&line);
        }
        let limit = context.notes.kept.cost().max_cost;
        if let Some(note) = self.pilot.over(limit) {
            terminal::warn(&note);
        }
    }

    /// Prints where the answers are, and how to send the other requests.
    pub(super) fn hints(&self, run: &RunRecord) {
        let retrieve = hints::on_runs(["retrieve", &run.id]);
        terminal::message(&format!("to read the answers of the pilot:\n  {retrieve}"));
        match &self.pilot.next {
            Some(next) => {
                let is_stream = run.notes.get("input").is_some_and(|input| **input == *"-");
                let input = match is_stream {
                    true => ", with the same input on standard input",
                    false => "",
                };
                let others = self.pilot.others();
                terminal::required(&match terminal::is_quiet() {
                    true => format!(
                        "the pilot of {} has ended, {} of {} usable; to send {others}{input}:\n  {next}",
                        named(run),
                        format::number(self.pilot.usable),
                        format::number(self.pilot.requests),
                    ),
                    false => format!("to send {others}{input}:\n  {next}"),
                });
            }
            None if run.cancelled => {}
            None => terminal::required(&format!(
                "to send all requests, continue {} with its input",
                named(run)
            )),
        }
    }

    /// Ends the command without sending the other requests.
    pub(super) async fn stop(
        mut self,
        context: &RunContext,
        engine: &Engine,
        run: &RunRecord,
    ) -> Result<Exit, Failure> {
        if run.cancelled {
            (self.pilot.decision, self.pilot.next) = (Decision::Cancelled, None);
        }
        let invalid = self.summary.invalid_structured();
        if let Some(line) = context.unrepaired(&run.id, invalid) {
            terminal::message(&format!("warning: {line}"));
        }
        self.hints(run);
        if let Some(left) = clean(context, engine).await {
            self.summary.leave(&left);
        }
        self.summary.pilot = Some(self.pilot);
        if context.report.json {
            terminal::json(&self.summary);
        }
        Ok(match run.cancelled {
            true => self.summary.exit(context.notes.kept.max_failed()),
            false => Exit::Unfinished,
        })
    }
}

/// Ends a command that has advanced a pilot to its end and that does not have the other requests: it reports the pilot,
/// and the command that sends them.
pub(super) async fn ended(
    context: &RunContext,
    engine: &Engine,
    finished: &RunResults,
    run: &RunRecord,
) -> Result<Exit, Failure> {
    let mut report = Report::of(context, engine, finished, run).await?;
    let kept = context.notes.kept.clone();
    let (_, run) = report.measure(kept, engine, run).await?;
    report.pilot.next = next(&run);
    if context.moved_to.is_some() {
        terminal::warn(
            "a pilot writes no output; give -o to the command that sends the other requests",
        );
    }
    context.progress.finish();
    report.print(context, &run);
    report.stop(context, engine, &run).await
}
