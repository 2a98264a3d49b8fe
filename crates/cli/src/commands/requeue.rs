//! `lmbatch requeue`: sends requests of a finished run again, unchanged or with other settings.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum as _;
use lmbatch::engine::{OutcomeKind, RequestFilter, RunOptions};
use lmbatch::record::RunRecord;
use lmbatch::{Engine, ErrorKind};

use super::continuing::{again_at, claimed, open, options, unfinished};
use super::dry_run::DryRun;
use super::run_context::place;
use super::run_settings::RunSettings;
use super::{deleted_answers, dry_run, planning, state};
use crate::args::{Only, RequeueArgs, SettingsArgs};
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{emulation, format, model, settings, target, terminal, text_file};

/// Outcomes whose requests are sent again by default.
const USUAL: [Only; 4] = [Only::Errored, Only::Expired, Only::Cancelled, Only::Missing];

pub(crate) async fn requeue(
    session: &Arc<Session>,
    mut args: RequeueArgs,
) -> Result<Exit, Failure> {
    args.resume.state = state::holding(session, &args.resume.state, &args.run).await?;
    if args.only.contains(&Only::Invalid) {
        terminal::message(
            "note: invalid is deprecated; it stands for invalid_structured, empty and unrecognized",
        );
    }
    if args.resume.repair.repairs.is_some() {
        check_repair(&mut args)?;
    }
    if args.dry_run {
        return report_dry_run(session, &args).await;
    }
    let ledger = state::ledger(session, &args.resume.state).await?;
    let run = state::find(&*ledger, &args.run).await?;
    emulation::refuse_unfinished(&run)?;
    let (mut context, engine, _state) = open(session, &run, &args.resume).await?;
    let options = options(&args.resume, &context.notes.kept, false);
    // Selected under the claim: two processes that select the same requests would pay twice.
    let at_once = RunOptions {
        once: true,
        ..options
    };
    let (engine, run) = match claimed(&mut context, &engine, &run.id, at_once).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(exit),
    };
    deleted_answers::check(&engine, &run).await?;
    let place = place(&context, &run, true)?;
    if let Some(ids) = &args.ids {
        target::distinct(&place.target, &[("the ids", ids)])?;
    }
    let (chosen, left_out) = selected(&args, &engine, &run).await?;
    report_paid(&args, &left_out);
    if chosen.is_empty() {
        context.progress.finish();
        if args.resume.report.json {
            terminal::json(&DryRun::new(&context.notes, Some(&*run.id), 0).of_nothing());
        }
        terminal::message(&format!("nothing to send again: {}", none_of(&args, &run)));
        return Ok(Exit::Usable);
    }
    let count = match revised(&args, &context.notes)? {
        Some(settings) => {
            let plan = planning::plan(&context.notes.input, &settings, &engine).await?;
            let count = engine.requeue_as(&run, &chosen, &plan).await;
            plan.discard();
            count?
        }
        None if args.resume.repair.repairs.is_some() => engine.repair(&run, &chosen).await?,
        None => engine.requeue(&run, &chosen).await?,
    };
    if count == 0 {
        context.progress.finish();
        if args.resume.report.json {
            terminal::json(&DryRun::new(&context.notes, Some(&*run.id), 0).of_nothing());
        }
        terminal::message("nothing to send again: no answer can be repaired");
        return Ok(Exit::Unusable);
    }
    terminal::message(&format!(
        "{} of run {} requeued",
        format::count(count, "request", "requests"),
        run.id
    ));
    let run = state::find(&*ledger, &run.id).await?;
    again_at(context, &engine, &run, options, place).await
}

/// Selects the answers that do not fit their schemas, for `--repair`.
///
/// # Errors
/// Usage where the arguments select other outcomes, or change the requests.
fn check_repair(args: &mut RequeueArgs) -> Result<(), Failure> {
    if args.resume.repair.repairs == Some(0) {
        args.resume.repair.repairs = None;
        return Ok(());
    }
    let has_others = args
        .only
        .iter()
        .any(|only| *only != Only::InvalidStructured);
    let is_changed = args.model.is_some() || args.max_tokens.is_some() || !args.set.is_empty();
    if has_others || is_changed {
        return Err(Failure::usage(
            "--repair continues the conversations of invalid_structured answers, and no others",
        )
        .hint("nothing was sent; leave out -m, --max-tokens, --set and other values of --only"));
    }
    args.only = vec![Only::InvalidStructured];
    Ok(())
}

/// Reports the requests that would be sent again; nothing is sent.
async fn report_dry_run(session: &Session, args: &RequeueArgs) -> Result<Exit, Failure> {
    let (run, notes, engine) = state::recorded(session, &args.run, &args.resume.state).await?;
    deleted_answers::check(&engine, &run).await?;
    let checked = match revised(args, &notes)? {
        Some(settings) => Some(dry_run::check_again(&notes.input, &settings)?),
        None => None,
    };
    let (chosen, left_out) = selected(args, &engine, &run).await?;
    report_paid(args, &left_out);
    let requests = chosen.len() as u64;
    if args.resume.report.json {
        let plan = DryRun::new(&notes, Some(&*run.id), requests);
        terminal::json(&match &checked {
            Some(checked) => plan.with_notes_of(checked),
            None => plan,
        });
    }
    let sent = format::count(requests, "request", "requests");
    terminal::message(&match requests {
        0 => format!("nothing would be sent again: {}", none_of(args, &run)),
        _ => format!("{sent} would be sent again; nothing was sent"),
    });
    Ok(Exit::Usable)
}

/// Returns the reason why no request of a run is sent again.
fn none_of(args: &RequeueArgs, run: &RunRecord) -> String {
    let named = |only: &Only| {
        only.to_possible_value()
            .map(|value| value.get_name().to_owned())
    };
    let names = |only: &[Only]| only.iter().filter_map(named).collect::<Vec<_>>().join(", ");
    match (args.only.as_slice(), &args.ids) {
        ([], None) => format!(
            "no outcome of run {} is {}; --only names problems of answers, such as truncated",
            run.id,
            names(&USUAL)
        ),
        ([], Some(ids)) => format!("{} names no request", ids.display()),
        (only, None) => format!("no outcome of run {} is {}", run.id, names(only)),
        (only, Some(ids)) => format!(
            "no outcome of run {} that {} names is {}",
            run.id,
            ids.display(),
            names(only)
        ),
    }
}

/// Returns the settings of the run with the changes of the command; `None` without changes.
fn revised(args: &RequeueArgs, notes: &RunSettings) -> Result<Option<SettingsArgs>, Failure> {
    if args.model.is_none() && args.max_tokens.is_none() && args.set.is_empty() {
        if args.attachments.is_some() {
            return Err(Failure::usage(
                "--attachments: without -m, --max-tokens and --set the requests are sent unchanged",
            ));
        }
        return Ok(None);
    }
    let Some(mut settings) = notes.settings.clone() else {
        return Err(Failure::usage(
            "the record does not hold the settings of the run",
        ));
    };
    if notes.input == Path::new("-") {
        return Err(Failure::usage(
            "the requests came from standard input, and cannot be read again",
        )
        .hint("without -m, --max-tokens and --set they are sent unchanged"));
    }
    if let Some(model) = &args.model {
        if model::parse(model)?.provider.id() != notes.provider.id() {
            return Err(Failure::usage(format!(
                "requeue cannot change the provider ({})",
                notes.provider.id()
            )));
        }
        settings.model.clone_from(model);
    }
    settings::revise(&mut settings, args.max_tokens, &args.set);
    if args.attachments.is_some() {
        settings.attachments.clone_from(&args.attachments);
    }
    Ok(Some(settings))
}

/// Prints how many failed requests are left out since they were paid for, or may have been, and how to include them.
fn report_paid(args: &RequeueArgs, left_out: &BTreeMap<OutcomeKind, u64>) {
    let is_default = args.only.is_empty();
    let has_errors = is_default || args.only.contains(&Only::Errored);
    for (kind, is_said, one, several) in [
        (
            OutcomeKind::MalformedAnswer,
            has_errors,
            "request whose answer cannot be read was paid for; --only malformed_answer sends it again, and pays again",
            "requests whose answers cannot be read were paid for; --only malformed_answer sends them again, and pays again",
        ),
        (
            OutcomeKind::Doubt,
            has_errors,
            "request of a create whose result is unknown may have been paid for; --only doubt sends it again, and may pay twice",
            "requests of creates whose results are unknown may have been paid for; --only doubt sends them again, and may pay twice",
        ),
        (
            OutcomeKind::Missing,
            is_default,
            "missing request may have been paid for, since the provider counts answers that it has not delivered; --only missing sends it again, and may pay twice",
            "missing requests may have been paid for, since the provider counts answers that it has not delivered; --only missing sends them again, and may pay twice",
        ),
    ] {
        if let Some(count) = left_out.get(&kind).filter(|_| is_said) {
            terminal::message(&format!(
                "left out: {}",
                format::count(*count, one, several)
            ));
        }
    }
}

/// Selects the requests to send again, by their positions in the output. Returns also the number of requests of each
/// kind that are left out.
async fn selected(
    args: &RequeueArgs,
    engine: &Engine,
    run: &RunRecord,
) -> Result<(HashSet<u32>, BTreeMap<OutcomeKind, u64>), Failure> {
    let ids = match &args.ids {
        Some(path) => {
            let text = text_file::list_of_option("--ids", path)?;
            let lines = text.lines().filter(|line| !line.is_empty());
            Some(lines.map(str::to_owned).collect())
        }
        None => None,
    };
    let kinds = match (args.only.as_slice(), &ids) {
        ([], None) => {
            let undelivered = engine.partial_results(run).await?.undelivered();
            let is_unpaid = |kind: &OutcomeKind| undelivered == 0 || *kind != OutcomeKind::Missing;
            Some(
                OutcomeKind::UNANSWERED
                    .into_iter()
                    .filter(is_unpaid)
                    .collect(),
            )
        }
        ([], Some(_)) => None,
        (only, _) => Some(only.iter().flat_map(|only| only.kinds()).copied().collect()),
    };
    let selected = engine.select(run, &RequestFilter { kinds, ids }).await;
    let selected = selected.map_err(|error| match error.kind() {
        ErrorKind::NotEnded => unfinished(run),
        _ => error.into(),
    })?;
    match selected.unknown_ids.is_empty() {
        true => Ok((selected.ordinals, selected.left_out)),
        false => Err(not_of(run, &selected.unknown_ids)),
    }
}

/// Returns the failure for ids that no request of the run has.
fn not_of(run: &RunRecord, unknown: &[String]) -> Failure {
    /// Maximum number of ids that the message names.
    const MOST: usize = 5;
    let count = format::count(unknown.len() as u64, "id is", "ids are");
    let named = unknown.iter().take(MOST).map(|id| format!("{id:?}"));
    let ids = named.collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > MOST { ", …" } else { "" };
    Failure::usage(format!(
        "--ids: {count} not of the run {}: {ids}{more}",
        run.id
    ))
    .of_run(&run.id)
    .hint("nothing was sent; the file holds one id a line, as the output has it without quotes")
}

impl Only {
    /// Returns the kinds of outcomes that the argument selects.
    fn kinds(self) -> &'static [OutcomeKind] {
        match self {
            Self::Retryable => &OutcomeKind::RETRYABLE,
            Self::Errored => &[OutcomeKind::Errored, OutcomeKind::ErroredRetryable],
            Self::MalformedAnswer => &[OutcomeKind::MalformedAnswer],
            Self::Doubt => &[OutcomeKind::Doubt],
            Self::Expired => &[OutcomeKind::Expired],
            Self::Cancelled => &[OutcomeKind::Cancelled],
            Self::Missing => &[OutcomeKind::Missing],
            Self::Truncated => &[OutcomeKind::Truncated],
            Self::Refused => &[OutcomeKind::Refused],
            Self::ContentFilter => &[OutcomeKind::ContentFilter],
            Self::InvalidStructured => &[OutcomeKind::InvalidStructured],
            Self::InvalidArguments => &[OutcomeKind::InvalidArguments],
            Self::Empty => &[OutcomeKind::Empty],
            Self::Unrecognized => &[OutcomeKind::Unrecognized],
            Self::Invalid => &[
                OutcomeKind::InvalidStructured,
                OutcomeKind::Empty,
                OutcomeKind::Unrecognized,
            ],
        }
    }
}
