//! `lmbatch validate`: checks an input offline, as `run` would.

use std::path::Path;
use std::sync::Arc;

use lmbatch::BatchLimit;
use lmbatch::engine::{Checked, PlannedRequest};
use lmbatch_lines::TableFacts;

use super::empty_input;
use super::planning::nothing_left;
use crate::args::{SettingsArgs, ValidateArgs};
use crate::exit::{Exit, Failure};
use crate::progress::schema_note;
use crate::{format, input, model, settings, terminal};

pub(crate) async fn validate(args: Box<ValidateArgs>) -> Result<Exit, Failure> {
    let checked = checked(&args.input, &args.settings, BatchLimit::default())?;
    if checked.requests == 0 {
        return Err(empty_input(&args.input).hint("run --allow-empty writes an empty output"));
    }
    let name = args.input.display();
    terminal::message(&format!(
        "{name}: {} valid, {} to send",
        format::count(checked.requests, "request is", "requests are"),
        format::bytes(checked.bytes)
    ));
    Ok(Exit::Usable)
}

/// Reads and encodes an input as a run would, and prints the changes that sending makes to its schemas. Needs no key.
pub(super) fn checked(
    path: &Path,
    settings: &SettingsArgs,
    limit: BatchLimit,
) -> Result<Checked, Failure> {
    let (checked, facts) = checked_each(path, settings, limit, &mut |_| {})?;
    input::report_nulls(&facts);
    if !checked.schema_notes.is_empty() {
        terminal::message(&schema_note(&checked.schema_notes));
    }
    if let Some(warning) = &checked.warning {
        terminal::warn(warning);
    }
    Ok(checked)
}

/// Reads and encodes an input as a run would, and passes each request to `visit`. Returns the facts about a table as
/// well. Prints only the number of rows that are left out, and needs no key.
pub(super) fn checked_each(
    path: &Path,
    settings: &SettingsArgs,
    limit: BatchLimit,
    visit: &mut dyn FnMut(&PlannedRequest<'_>),
) -> Result<(Checked, Arc<TableFacts>), Failure> {
    let model = model::parse(&settings.model)?;
    let route = model::route(model.provider, settings.route.as_deref())?;
    let codec = model.provider.codec(route);
    let options = settings::options(settings, &*codec, &model.name)?;
    let raw_endpoints = codec.capabilities().raw_endpoints;
    // Nothing is written, so that a signal may end the process.
    let stop = Arc::default();
    let source = input::open(path, settings, &model, options, raw_endpoints, &stop)?;
    let facts = source.facts();
    let checked = lmbatch::engine::check_each(&*codec, Box::new(source), limit, visit);
    input::report_skipped(&facts, settings);
    let checked = checked.map_err(|error| Failure::plan(error, &path.display().to_string()))?;
    if checked.requests == 0 && facts.skipped() > 0 {
        return Err(nothing_left(path));
    }
    Ok((checked, facts))
}
