//! `lmbatch doctor` and `lmbatch adopt`: batches and files that carry our label and that no record knows.

use std::collections::HashSet;
use std::path::PathBuf;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{
    BatchStatus, CreateProof, ErrorKind, Label, Nonce, Remnant, ShardState, Upload,
};
use lmbatch_engine::{Engine, Labelled};

use super::state::{self, Notes};
use super::{clock, connect, default_output, purge};
use crate::args::{AdoptArgs, DoctorArgs};
use crate::exit::{Exit, Failure};
use crate::{input, model, next, output, providers, settings, terminal, words};

/// What no record speaks of.
#[derive(Default)]
struct Findings {
    /// Of runs that no record knows.
    orphans: Vec<Labelled>,
    /// Beside the batches of runs that are known: paid for, and in no output.
    twins: Vec<Labelled>,
    uploads: Vec<Upload>,
    /// Files of this machine, with their bytes.
    strays: Vec<(PathBuf, u64)>,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.orphans.is_empty()
            && self.twins.is_empty()
            && self.uploads.is_empty()
            && self.strays.is_empty()
    }
}

pub(crate) async fn doctor(args: DoctorArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let mut found = findings(&engine, &args).await?;
    let kept = found.uploads.len();
    if args.clean {
        clean(&engine, &args, &mut found).await?;
    }
    if engine.provider().codec().capabilities().create == CreateProof::CountAndTime {
        terminal::say(&format!(
            "batches of {} carry no labels: ours cannot be told from others there",
            provider.id()
        ));
    } else if found.is_empty() && kept == 0 {
        terminal::say(&format!(
            "every batch and file of ours that {} lists is in a record here",
            provider.id()
        ));
    }
    if found.is_empty() {
        return Ok(Exit::Usable);
    }
    report(&found, provider.id(), args.clean);
    Ok(Exit::Failed)
}

async fn findings(engine: &Engine, args: &DoctorArgs) -> Result<Findings, Failure> {
    // First what is there: what is made meanwhile is in the record then.
    let (labelled, uploads) = (engine.labelled().await?, engine.uploaded().await?);
    // A batch that goes on needs its input, whoever's it is.
    let going = labelled
        .iter()
        .filter(|one| !one.snapshot.status.is_terminal());
    let going: HashSet<Box<str>> = going.map(|one| one.nonce.clone()).collect();
    // Without a record every batch is unknown to it, and what files there are may be all that is left. One
    // that cannot be read says nothing about either.
    if !state::is_there(&args.state)? {
        let needed = |upload: &Upload| going.contains(nonce(upload));
        return Ok(Findings {
            orphans: labelled,
            uploads: uploads.into_iter().filter(|file| !needed(file)).collect(),
            ..Findings::default()
        });
    }
    let ledger = state::ledger(&args.state).await?;
    let runs = ledger.runs().await?;
    let run_of = |nonce: &str| runs.iter().find(|run| run.nonce.as_str() == nonce);
    // What may be in doubt is found by whoever goes on with its run.
    let mut doubted = HashSet::new();
    for run in &runs {
        let shards = ledger.shards(&run.id).await?.into_iter();
        let open =
            |state: &ShardState| matches!(state, ShardState::Posting(_) | ShardState::Doubt(_));
        doubted.extend(
            shards
                .filter(|shard| open(&shard.state))
                .map(|shard| shard.label),
        );
    }
    let known = state::reading(engine.clone(), ledger, &args.state)?;
    let known = known.recorded_batches().await?;
    let mut found = Findings::default();
    for one in labelled {
        let label = one.snapshot.label.as_ref();
        if run_of(&one.nonce).is_none() {
            found.orphans.push(one);
        } else if !known.contains(&one.snapshot.id)
            && !label.is_some_and(|label| doubted.contains(label))
            // A create that was made to fail: no one pays for it.
            && one.snapshot.status != BatchStatus::Failed
        {
            found.twins.push(one);
        }
    }
    let needed = |upload: &Upload| {
        going.contains(nonce(upload)) || run_of(nonce(upload)).is_some_and(|run| !run.finished)
    };
    found.uploads = uploads.into_iter().filter(|file| !needed(file)).collect();
    let spool = state::folder(&args.state)?.join("spool");
    found.strays = purge::strays(&spool, &runs)?;
    Ok(found)
}

fn nonce(upload: &Upload) -> &str {
    upload.label.parts().map_or("", |(nonce, _)| nonce)
}

/// Deletes files that have been found, and leaves what was not deleted.
async fn clean(engine: &Engine, args: &DoctorArgs, found: &mut Findings) -> Result<(), Failure> {
    let before = clock().now().checked_sub(args.older_than);
    let (mut young, mut gone) = (Vec::new(), 0);
    for upload in std::mem::take(&mut found.uploads) {
        // Of an age that no one tells, it may be as young as can be.
        let young_enough = match upload.created_at {
            Some(_) => upload.created_at > before,
            None => !args.older_than.is_zero(),
        };
        if young_enough {
            young.push(upload);
            continue;
        }
        engine.provider().discard(&upload.remnant).await?;
        gone += 1;
    }
    found.uploads = young;
    if !found.strays.is_empty() {
        let ledger = state::ledger(&args.state).await?;
        for (path, bytes) in std::mem::take(&mut found.strays) {
            if purge::delete_stray(&*ledger, &path).await? {
                gone += 1;
            } else {
                found.strays.push((path, bytes));
            }
        }
    }
    terminal::say(&format!("{gone} files are deleted"));
    Ok(())
}

fn table(batches: &[Labelled]) -> String {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["batch", "label", "status", "requests", "created"]);
    for Labelled { snapshot, .. } in batches {
        let label = snapshot.label.as_ref().map(ToString::to_string);
        let total = snapshot.counts.total.map(|total| total.to_string());
        table.add_row([
            terminal::plain(snapshot.id.as_str()),
            terminal::plain(&label.unwrap_or_default()),
            snapshot.status.to_string(),
            total.unwrap_or_default(),
            snapshot.created_at.map(words::time).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn report(found: &Findings, provider: &str, cleaned: bool) {
    if !found.orphans.is_empty() {
        terminal::out(&table(&found.orphans));
        terminal::say("no record here knows these; with their input they can be taken back:");
        let adopt = next::on_runs(["adopt", "LABEL", "INPUT", "-m", "PROVIDER/MODEL"]);
        terminal::say(&format!("  {adopt}"));
    }
    if !found.twins.is_empty() {
        terminal::out(&table(&found.twins));
        terminal::say(
            "these are of runs that are known, and stand beside their batches: created after all, when their",
        );
        terminal::say(
            "answers were lost, and paid for as well. What they have answered can be read, or the rest cancelled:",
        );
        let retrieve = next::command(["retrieve", "BATCH", "-p", provider, "-o", "OUTPUT"]);
        terminal::say(&format!("  {retrieve}"));
        let cancel = next::command(["cancel", "BATCH", "-p", provider]);
        terminal::say(&format!("  {cancel}"));
    }
    if !found.uploads.is_empty() {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["file", "label", "size", "uploaded"]);
        for upload in &found.uploads {
            let (Remnant::File(name), bytes) = (&upload.remnant, upload.bytes) else {
                continue;
            };
            table.add_row([
                terminal::plain(name),
                terminal::plain(upload.label.as_str()),
                bytes.map(words::bytes).unwrap_or_default(),
                upload.created_at.map(words::time).unwrap_or_default(),
            ]);
        }
        terminal::out(&table.to_string());
        terminal::say(if cleaned {
            "these are young: another machine may be about to use them (see --older-than)"
        } else {
            "no run needs these inputs any more; delete them with --clean"
        });
    }
    if !found.strays.is_empty() {
        let bytes: u64 = found.strays.iter().map(|(_, bytes)| bytes).sum();
        terminal::say(&format!(
            "{} in the state folder, {}, belong to no run; delete them with --clean",
            words::count(found.strays.len() as u64, "file", "files"),
            words::bytes(bytes)
        ));
    }
}

pub(crate) async fn adopt(args: Box<AdoptArgs>) -> Result<Exit, Failure> {
    let model = model::parse(&args.settings.model)?;
    let options = settings::options(&args.settings)?;
    let route = providers::route(model.provider, args.settings.route.as_deref())?;
    let path = args.output.clone();
    let path = path.unwrap_or_else(|| default_output(&args.input, &model, false));
    output::check(&path, false)?;
    let bad = || {
        Failure::usage(format!(
            "{:?} is not a label such as lmbatch-abcdefghijkl-0",
            args.label
        ))
    };
    let label = Label::new(args.label.as_str());
    let (nonce, _) = label.parts().ok_or_else(bad)?;
    let wanted: Nonce = serde_json::from_value(nonce.into()).map_err(|_| bad())?;
    let provider = connect(model.provider, &args.connection, route)?;
    let engine = Engine::new(provider).with_batch_limit(args.limit.limit());
    let engine = state::rebuilding(engine, &args.state).await?;
    if engine
        .ledger()
        .runs()
        .await?
        .iter()
        .any(|run| run.nonce == wanted)
    {
        return Err(Failure::usage("the record here knows this run")
            .hint(format!("{} lists it", next::on_runs(["runs"]))));
    }
    let raw_endpoints = engine.provider().codec().capabilities().raw_endpoints;
    let source = input::open(&args.input, &model, options, raw_endpoints)?;
    let plan = engine.plan_again(Box::new(source), wanted).await;
    let plan = plan.map_err(|error| Failure::plan(error, &args.input.display().to_string()))?;
    let notes = Notes {
        provider: model.provider,
        model: model.name.clone(),
        route,
        input: args.input.clone(),
        output: path,
        settings: Some(args.settings.clone()),
        raw: false,
        connection: args.connection.clone(),
    };
    let batches = plan.batches();
    let adopted = engine.adopt(&plan, notes.write(), args.create_missing);
    let (run, taken) = match adopted.await {
        Ok(adopted) => adopted,
        Err(error) => {
            plan.discard();
            let exit = match error.kind() {
                ErrorKind::InvalidInput => Exit::Usage,
                _ => Exit::Failed,
            };
            let failure = Failure {
                exit,
                ..error.into()
            };
            return Err(failure.hint(format!(
                "a batch is read by its id: {}",
                next::command([
                    "retrieve",
                    "BATCH",
                    "-p",
                    model.provider.id(),
                    "-o",
                    "OUTPUT"
                ])
            )));
        }
    };
    terminal::say(&format!(
        "{taken} of {batches} batches are taken into run {}; go on with:\n  {}",
        run.id,
        next::on_runs(["resume", &run.id])
    ));
    if taken < batches {
        terminal::say(
            "the others do not exist at the provider: resume creates them, and they are paid for",
        );
    }
    Ok(Exit::Usable)
}
