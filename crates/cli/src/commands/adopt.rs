//! `lmbatch adopt`: rebuilds the lost record of a run from its input and from its batches at the provider, which are
//! recognised by their label or by the ids of their rows.

use std::collections::BTreeMap;

use lmbatch::engine::Plan;
use lmbatch::record::RunRecord;
use lmbatch::{BatchId, Engine, ErrorKind, Label, Nonce};

use super::kept::Kept;
use super::pilot_facts::{NEXT, own_words};
use super::run_settings::RunSettings;
use super::{connect, default_output, known, state, warning};
use crate::args::{AdoptArgs, ReportArgs};
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::typed_columns::TypedColumns;
use crate::{format, hints, input, model, output_format, settings, target, terminal};

/// Label or batches that the arguments name.
enum Named {
    /// Label of a run, whose batches are found in the provider's list.
    Label(Nonce),
    /// Ids of all batches of a run.
    Batches(Vec<BatchId>),
}

impl Named {
    fn of(words: &[String]) -> Result<Self, Failure> {
        let labels: Vec<Option<Nonce>> = words
            .iter()
            .map(|word| {
                let label = Label::new(word.as_str());
                label.parts().and_then(|(nonce, _)| Nonce::parse(nonce))
            })
            .collect();
        match labels.as_slice() {
            [Some(nonce)] => Ok(Self::Label(nonce.clone())),
            labels if labels.iter().all(Option::is_none) => {
                let ids = words.iter().map(|word| BatchId::new(word.as_str()));
                Ok(Self::Batches(ids.collect()))
            }
            _ => Err(Failure::usage(
                "name either one label, which stands for the whole run, or the ids of batches",
            )),
        }
    }

    /// Returns the nonce of the run, for batches from the rows of the first.
    async fn nonce(&self, engine: &Engine) -> Result<Nonce, Failure> {
        let batches = match self {
            Self::Label(nonce) => return Ok(nonce.clone()),
            Self::Batches(batches) => batches,
        };
        let known = engine.known_batches(batches).await?;
        if let Some(batch) = batches.iter().find(|batch| known.contains(*batch)) {
            let message = format!("the record here knows {batch}");
            return Err(match engine.ledger().run_of_batch(batch).await? {
                Some(run) => Failure::usage(format!("{message}, of run {}", run.id)).hint(format!(
                    "{} shows that run; {} writes the rows of the batch with the ids of its input",
                    hints::on_runs(["show", &run.id]),
                    hints::on_runs([
                        "retrieve",
                        batch.as_str(),
                        "-p",
                        run.provider.as_str(),
                        "-o",
                        "OUTPUT"
                    ])
                )),
                None => Failure::usage(message)
                    .hint(format!("{} lists its runs", hints::on_runs(["runs"]))),
            });
        }
        let Some(first) = batches.first() else {
            return Err(Failure::usage("name a batch"));
        };
        let nonce = engine.origin(first).await.map_err(|error| {
            if error.kind() == ErrorKind::BatchNotFound {
                return Failure::from(error).hint("a label looks like lmbatch-abcdefghijkl-0");
            }
            error.into()
        })?;
        nonce.ok_or_else(|| {
            Failure::usage(format!(
                "the results of {first} hold no ids of lmbatch: the batch was created by another program or with a handle, or none of its requests was answered"
            ))
        })
    }
}

pub(crate) async fn adopt(session: &Session, mut args: Box<AdoptArgs>) -> Result<Exit, Failure> {
    args.settings.keep_texts()?;
    let model = model::parse(&args.settings.model)?;
    let route = model::route(model.provider, args.settings.route.as_deref())?;
    let codec = model.provider.codec(route);
    let options = settings::options(&args.settings, &*codec, &model.name)?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, false));
    target::check(&path, false)?;
    let named = Named::of(&args.batches)?;
    let provider = connect(model.provider, &args.connection, route)?;
    let engine = warning(Engine::new(provider)).with_batch_limit(args.limit.limit());
    let engine = state::rebuilding(session, engine, &args.state).await?;
    let wanted = named.nonce(&engine).await?;
    if let Some(run) = engine.run_of_nonce(&wanted).await? {
        return Err(
            Failure::usage(format!("the record here knows this run, {}", run.id)).hint(format!(
                "to continue: {}; any other batch is read by its id",
                hints::on_runs(["resume", &run.id])
            )),
        );
    }
    if let Some(other) = known::writer(&engine, &path, None).await? {
        return Err(known::taken(&path, &other));
    }
    let format = output_format::rows(&path, None)?;
    let properties = output_format::properties(options.schema.as_ref());
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let source = input::open(
        &args.input,
        &args.settings,
        &model,
        options,
        raw_endpoints,
        &std::sync::Arc::default(),
    )?;
    let facts = source.facts();
    let plan = match args.pilot {
        Some(_) => engine.plan(Box::new(source)).await,
        None => {
            engine
                .plan_with_nonce(Box::new(source), wanted.clone())
                .await
        }
    };
    input::report_skipped(&facts, &args.settings);
    input::report_nulls(&facts);
    let mut plan = plan.map_err(|error| Failure::plan(error, &args.input.display().to_string()))?;
    if let Some(requests) = args.pilot {
        let pilot = engine.pilot_with_nonce(&plan, requests, wanted).await;
        plan.discard();
        plan = pilot.map_err(|error| refused(error, model.provider.id(), true))?;
    }
    let notes = RunSettings {
        provider: model.provider,
        model: model.name.clone(),
        route,
        input: args.input.clone(),
        output: path,
        settings: Some(args.settings.clone()),
        emulated: false,
        keep: TypedColumns::of(&facts),
        raw: false,
        format,
        properties,
        connection: args.connection.clone(),
        kept: Kept::said(None, &ReportArgs::default(), args.limit.clone()),
    };
    notes.keep.warn(format);
    let mut noted = notes.write();
    if args.pilot.is_some()
        && let Ok(words) = serde_json::to_string(&next_words(&args))
    {
        noted.insert(NEXT.into(), words.into());
    }
    let (provider, name) = (model.provider.id(), Some(notes.model.as_str()));
    let adopted = taken(&engine, &named, &plan, (name, noted), args.create_missing).await;
    let batches = plan.batches();
    let (run, taken) = match adopted {
        Ok(adopted) => adopted,
        Err(error) => {
            plan.discard();
            return Err(refused(error, provider, args.pilot.is_some()));
        }
    };
    terminal::message(&format!(
        "{taken} of {} taken into run {}; to continue:\n  {}",
        format::count(u64::from(batches), "batch", "batches"),
        run.id,
        hints::on_runs(["resume", &run.id])
    ));
    let input = args.input.display();
    let held = match args.pilot {
        Some(_) => format!("the pilot of {input}"),
        None => input.to_string(),
    };
    match named {
        Named::Batches(_) => terminal::message(&format!(
            "proved: the batches belong to one run, and hold as many requests as {held}, under the same numbers"
        )),
        Named::Label(_) => terminal::message(&format!(
            "proved: the batches carry the labels of the run, and hold as many requests as {held}, where the provider counts them"
        )),
    }
    terminal::message(
        "not proved: that its text, order and options equal those that were sent; no provider shows them",
    );
    if args.pilot.is_some() {
        terminal::message(
            "resume fetches the answers of the pilot, sends nothing else, and prints the command that sends the other requests",
        );
    }
    if taken < batches {
        terminal::message(
            "the other batches do not exist at the provider; resume creates them, and they are billed",
        );
    }
    Ok(Exit::Usable)
}

async fn taken(
    engine: &Engine,
    named: &Named,
    plan: &Plan,
    (model, notes): (Option<&str>, BTreeMap<Box<str>, Box<str>>),
    creates_missing: bool,
) -> lmbatch::Result<(RunRecord, u32)> {
    match named {
        Named::Label(_) => engine.adopt(plan, notes, creates_missing).await,
        Named::Batches(batches) => {
            engine
                .adopt_batches(plan, batches, model, notes, creates_missing)
                .await
        }
    }
}

/// Returns the words of the command that sends the requests after the pilot that this command adopts.
fn next_words(args: &AdoptArgs) -> Vec<String> {
    let mut batches = args.batches.clone();
    let words = own_words().into_iter().filter(|word| {
        // The input may have the name of a batch, and stands after all of them.
        match batches.iter().position(|batch| batch == word) {
            Some(at) => {
                batches.remove(at);
                false
            }
            None => word != "--create-missing",
        }
    });
    let words = words.enumerate().map(|(at, word)| match at {
        0 => "run".to_owned(),
        _ => word,
    });
    words.collect()
}

fn refused(error: lmbatch::Error, provider: &str, is_pilot: bool) -> Failure {
    let is_mismatch = error.kind() == ErrorKind::InvalidInput;
    let mut failure = Failure::from(error);
    if is_mismatch {
        // The arguments do not fit each other, and nothing was sent.
        failure.exit = Exit::Usage;
    }
    let mut first = failure.hint.take().map(|hint| format!("{hint}; "));
    if is_mismatch && !is_pilot {
        first.get_or_insert_default().push_str(
            "nothing was sent; if only the pilot of the run was sent, --pilot N names its number of requests; ",
        );
    }
    failure.hint(format!(
        "{}a batch is read by its id: {}",
        first.unwrap_or_default(),
        hints::command(["retrieve", "BATCH", "-p", provider, "-o", "OUTPUT"])
    ))
}
