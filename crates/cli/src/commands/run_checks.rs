//! Checks of `run` that a dry run makes as well.

use std::sync::Arc;

use lmbatch::engine::Plan;
use lmbatch::record::RunRecord;
use lmbatch::{Engine, ErrorKind};

use super::run_settings::RunSettings;
use crate::args::RunArgs;
use crate::estimator::ASSUMED_OUTPUT;
use crate::exit::Failure;

/// Returns an engine with the prices and the limit on the cost of a command, and notes the limit.
pub(super) fn priced(
    args: &RunArgs,
    mut engine: Engine,
    notes: &mut RunSettings,
    has_pilot: bool,
) -> Result<Engine, Failure> {
    // Emulated answers are not billed.
    if !args.emulate || args.cost.max_cost.is_some() {
        engine = engine.with_prices(Arc::new(args.paying.prices.table()?));
    }
    // Until a pilot has shown how long answers are, their length is assumed where nothing limits it.
    let assumed = has_pilot.then_some(ASSUMED_OUTPUT);
    let cost = args.cost.clone().priced_by(&engine);
    let cost = cost.expecting_of_pilot(assumed);
    engine = cost.limiting(engine);
    notes.kept = std::mem::take(&mut notes.kept).with_cost(cost);
    Ok(engine)
}

/// Checks that answers to the requests of a plan can be repaired, if the options ask for repairs.
pub(super) fn check_repairs(engine: &Engine, plan: &Plan, repairs: u32) -> Result<(), Failure> {
    if repairs == 0 {
        return Ok(());
    }
    engine
        .check_repairs(plan)
        .map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => without_schema(),
            _ => Failure::usage(error.to_string()).hint("leave out --repair"),
        })
}

/// Returns the number of requests of a pilot, if the options ask for one and the input has more.
pub(super) fn first_requests(args: &RunArgs, all: u64) -> Option<u64> {
    let first = args.pilot.pilot.map(u64::from);
    first.filter(|first| *first < all)
}

/// Returns the failure for an update, with a pilot, of a run whose requests were all sent.
pub(super) fn not_a_pilot(run: &RunRecord) -> Failure {
    let message = format!(
        "all requests of run {} were sent before, so that its update has no pilot",
        run.id
    );
    let hint = "leave out --pilot to send what is new or changed, or begin another run with --new";
    Failure::usage(message).of_run(&run.id).hint(hint)
}

/// Returns the failure for repairs of answers that no schema is checked for.
pub(super) fn without_schema() -> Failure {
    Failure::usage(
        "--repair sends back answers that do not fit their schemas, and no request has a schema",
    )
    .hint("nothing was sent; --schema FILE checks every answer, or leave out --repair")
}
