//! `lmbatch requeue`: requests of a run that has ended go out again, as they were or otherwise.

use std::collections::HashSet;
use std::path::Path;

use clap::ValueEnum as _;
use lmbatch_core::{OutcomeStatus, Problem, RunRecord};
use lmbatch_engine::{Answered, Engine, RunOptions};

use super::dry_run::DryRun;
use super::end::place;
use super::resume::{again_at, claimed, open, options, unfinished};
use super::state::{self, Notes};
use super::{dry_run, planning};
use crate::args::{Only, RequeueArgs, SettingsArgs};
use crate::exit::{Exit, Failure};
use crate::{model, output, target, terminal, words};

/// Outcomes that are sent again unless others are named.
const USUAL: [Only; 4] = [Only::Errored, Only::Expired, Only::Cancelled, Only::Missing];

pub(crate) async fn requeue(args: RequeueArgs) -> Result<Exit, Failure> {
    if args.only.contains(&Only::Invalid) {
        terminal::say(
            "note: invalid is an old name; it stands for invalid_structured, empty and unrecognized",
        );
    }
    if args.dry_run {
        return would(&args).await;
    }
    let ledger = state::ledger(&args.resume.state).await?;
    let run = state::find(&*ledger, &args.run).await?;
    let (mut going, engine, _state) = open(&run, &args.resume).await?;
    let options = options(&args.resume, &going.notes.kept, false);
    // Chosen under the claim: two processes that choose the same requests would pay twice.
    let at_once = RunOptions {
        once: true,
        ..options
    };
    let (engine, run) = match claimed(&mut going, &engine, &run.id, at_once).await? {
        Ok(claimed) => claimed,
        Err(exit) => return Ok(exit),
    };
    let place = place(&going, &run, true)?;
    if let Some(ids) = &args.ids {
        target::distinct(&place.target, &[("the ids", ids)])?;
    }
    let chosen = unusable(&args, &engine, &run).await?;
    if chosen.is_empty() {
        going.progress.finish();
        if args.resume.report.json {
            terminal::json(&DryRun::new(&going.notes, Some(&*run.id), 0).of_nothing());
        }
        terminal::say(&format!("nothing to send again: {}", none_of(&args, &run)));
        return Ok(Exit::Usable);
    }
    let count = match revised(&args, &going.notes)? {
        Some(settings) => {
            let plan = planning::plan(&going.notes.input, &settings, &engine).await?;
            let count = engine.requeue_as(&run, &chosen, &plan).await;
            plan.discard();
            count?
        }
        None => engine.requeue(&run, &chosen).await?,
    };
    terminal::say(&format!(
        "{} of run {} resubmitted",
        words::count(count, "request", "requests"),
        run.id
    ));
    let run = state::find(&*ledger, &run.id).await?;
    again_at(going, &engine, &run, options, place).await
}

/// Says what would be sent again, and sends nothing.
async fn would(args: &RequeueArgs) -> Result<Exit, Failure> {
    let (run, notes, engine) = state::recorded(&args.run, &args.resume.state).await?;
    let checked = match revised(args, &notes)? {
        Some(settings) => Some(dry_run::check_again(&notes.input, &settings)?),
        None => None,
    };
    let chosen = unusable(args, &engine, &run).await?;
    let requests = chosen.len() as u64;
    if args.resume.report.json {
        let plan = DryRun::new(&notes, Some(&*run.id), requests);
        terminal::json(&match &checked {
            Some(checked) => plan.with_notes_of(checked),
            None => plan,
        });
    }
    let sent = words::count(requests, "request", "requests");
    terminal::say(&match requests {
        0 => format!("nothing would be sent again: {}", none_of(args, &run)),
        _ => format!("{sent} would be sent again; nothing was sent"),
    });
    Ok(Exit::Usable)
}

/// Why no outcome of a run is wanted again.
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

/// The settings of the run with what the command changes of them, if it changes any.
fn revised(args: &RequeueArgs, notes: &Notes) -> Result<Option<SettingsArgs>, Failure> {
    if args.model.is_none() && args.max_tokens.is_none() && args.set.is_empty() {
        if args.attachments.is_some() {
            return Err(Failure::usage(
                "--attachments: without -m, --max-tokens and --set the requests go out as they were",
            ));
        }
        return Ok(None);
    }
    let Some(mut settings) = notes.settings.clone() else {
        return Err(Failure::usage(
            "the record does not say how the run was made",
        ));
    };
    if notes.input == Path::new("-") {
        return Err(Failure::usage(
            "the requests came from standard input, and cannot be read again",
        )
        .hint("without -m, --max-tokens and --set they go out as they were"));
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
    settings.max_tokens = args.max_tokens.or(settings.max_tokens);
    settings.set.extend(args.set.iter().cloned());
    if args.attachments.is_some() {
        settings.attachments.clone_from(&args.attachments);
    }
    Ok(Some(settings))
}

/// The places of the requests that are to go out again.
async fn unusable(
    args: &RequeueArgs,
    engine: &Engine,
    run: &RunRecord,
) -> Result<HashSet<u32>, Failure> {
    let ids: Option<HashSet<String>> = match &args.ids {
        Some(path) => {
            let text = crate::text_file::read(path).map_err(|error| {
                Failure::usage(format!("--ids: {} cannot be read: {error}", path.display()))
            })?;
            let lines = text.lines().filter(|line| !line.is_empty());
            Some(lines.map(str::to_owned).collect())
        }
        None => None,
    };
    let only = match (args.only.as_slice(), &ids) {
        ([], None) => Some(&USUAL[..]),
        ([], Some(_)) => None,
        (only, _) => Some(only),
    };
    let finished = engine.partial_results(run).await?;
    if !finished.is_whole() {
        return Err(unfinished(run));
    }
    let mut reader = engine.outcomes(&finished)?;
    let mut chosen = HashSet::new();
    let mut unknown = ids.clone().unwrap_or_default();
    while let Some(answered) = reader.next()? {
        let kind = kind(&answered);
        let json = answered.id.as_str();
        let text = serde_json::from_str::<String>(json);
        let id = text.as_deref().unwrap_or(json);
        unknown.remove(id);
        let named = ids.as_ref().is_none_or(|ids| ids.contains(id));
        if named && only.is_none_or(|only| kind.is_some_and(|kind| is_one_of(kind, only))) {
            chosen.insert(answered.ordinal);
        }
    }
    match unknown.is_empty() {
        true => Ok(chosen),
        false => Err(not_of(run, &unknown)),
    }
}

/// The failure of ids that no request of the run has.
fn not_of(run: &RunRecord, unknown: &HashSet<String>) -> Failure {
    /// The most ids that are named.
    const MOST: usize = 5;
    let count = words::count(unknown.len() as u64, "id is", "ids are");
    let mut ids: Vec<String> = unknown.iter().map(|id| format!("{id:?}")).collect();
    ids.sort_unstable();
    let more = if ids.len() > MOST { ", …" } else { "" };
    ids.truncate(MOST);
    let ids = ids.join(", ");
    Failure::usage(format!(
        "--ids: {count} not of the run {}: {ids}{more}",
        run.id
    ))
    .of_run(&run.id)
    .hint("nothing was sent; the file holds one id a line, as the output has it without quotes")
}

/// Reports whether outcomes of a kind are wanted.
fn is_one_of(kind: Only, wanted: &[Only]) -> bool {
    let is_old = matches!(
        kind,
        Only::InvalidStructured | Only::Empty | Only::Unrecognized
    );
    wanted.contains(&kind) || is_old && wanted.contains(&Only::Invalid)
}

/// Why an outcome may be wanted again.
fn kind(answered: &Answered<'_>) -> Option<Only> {
    match (output::status(&answered.answer), answered.answer.problem()) {
        (OutcomeStatus::Errored, _) => Some(Only::Errored),
        (OutcomeStatus::Expired, _) => Some(Only::Expired),
        (OutcomeStatus::Cancelled, _) => Some(Only::Cancelled),
        (OutcomeStatus::Missing, _) => Some(Only::Missing),
        (_, Some(Problem::Truncated)) => Some(Only::Truncated),
        (_, Some(Problem::Refused)) => Some(Only::Refused),
        (_, Some(Problem::ContentFilter)) => Some(Only::ContentFilter),
        (_, Some(Problem::InvalidStructured)) => Some(Only::InvalidStructured),
        (_, Some(Problem::Empty)) => Some(Only::Empty),
        (_, Some(_)) => Some(Only::Unrecognized),
        (_, None) => None,
    }
}
