//! `lmbatch doctor` and `lmbatch adopt`: batches and files that carry our label and that no record knows.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{
    BatchSnapshot, ErrorKind, Label, ListOptions, Nonce, Proof, Remnant, ShardRecord, ShardState,
    Staged, Upload,
};
use lmbatch_engine::Engine;
use lmbatch_ledger::StateFolder;

use super::state::{self, Notes};
use super::{clock, connect, default_output, purge};
use crate::args::{AdoptArgs, DoctorArgs};
use crate::exit::{Exit, Failure};
use crate::{input, model, output, providers, settings, terminal, words};

/// Every batch of the provider that carries one of our labels.
async fn labelled(engine: &Engine) -> Result<Vec<(String, u32, BatchSnapshot)>, Failure> {
    let mut found = Vec::new();
    let mut options = ListOptions::default();
    loop {
        let page = engine.list(&options).await?;
        for snapshot in page.items {
            let parts = snapshot.label.as_ref().and_then(Label::parts);
            if let Some((nonce, number)) = parts {
                found.push((nonce.to_owned(), number, snapshot));
            }
        }
        // A cursor that leads to itself would lead on for ever.
        let next = page.next.filter(|next| options.page.as_ref() != Some(next));
        if next.is_none() {
            return Ok(found);
        }
        options.page = next;
    }
}

/// Every file of ours at the provider; none where it keeps none, or does not list them.
async fn uploaded(engine: &Engine) -> Result<Vec<Upload>, Failure> {
    let (mut found, mut at) = (Vec::new(), None);
    loop {
        let page = match engine.provider().uploads(at.clone()).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(found),
            page => page?,
        };
        found.extend(page.items);
        let next = page.next.filter(|next| at.as_ref() != Some(next));
        if next.is_none() {
            return Ok(found);
        }
        at = next;
    }
}

/// What no record speaks of.
struct Findings {
    batches: Vec<BatchSnapshot>,
    uploads: Vec<Upload>,
    /// Files of this machine, with their bytes.
    strays: Vec<(PathBuf, u64)>,
}

pub(crate) async fn doctor(args: DoctorArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    // No one else may begin a run while files are judged.
    let folder = state::folder(&args.state);
    let _alone = if args.clean {
        Some(StateFolder::write(&folder)?)
    } else {
        None
    };
    let mut found = findings(&engine, &args).await?;
    let kept = found.uploads.len();
    if args.clean {
        clean(&engine, &args, &mut found).await?;
    }
    if found.batches.is_empty() && found.uploads.is_empty() && found.strays.is_empty() {
        if kept == 0 {
            terminal::say(&format!(
                "every batch and file of ours that {} lists is in a record here",
                provider.id()
            ));
        }
        return Ok(Exit::Usable);
    }
    report(&found, args.clean);
    Ok(Exit::Failed)
}

async fn findings(engine: &Engine, args: &DoctorArgs) -> Result<Findings, Failure> {
    // Without a record every batch is unknown to it, and what files there are may be all that is left. One
    // that cannot be read says nothing about either.
    let (runs, strays) = if state::is_there(&args.state) {
        let runs = state::ledger(&args.state).await?.runs().await?;
        let spool = StateFolder::read(state::folder(&args.state)).spool();
        let strays = purge::strays(&spool, &runs)?;
        (runs, strays)
    } else {
        (Vec::new(), Vec::new())
    };
    let run_of = |nonce: &str| runs.iter().find(|run| run.nonce.as_str() == nonce);
    let batches = labelled(engine).await?.into_iter();
    let batches: Vec<BatchSnapshot> = batches
        .filter(|(nonce, ..)| run_of(nonce).is_none())
        .map(|(.., snapshot)| snapshot)
        .collect();
    // A batch that goes on needs its input, whoever's it is.
    let going: HashSet<&str> = batches
        .iter()
        .filter(|snapshot| !snapshot.status.is_terminal())
        .filter_map(|snapshot| snapshot.label.as_ref()?.parts())
        .map(|(nonce, _)| nonce)
        .collect();
    let uploads = uploaded(engine).await?.into_iter();
    let uploads = uploads.filter(|upload| {
        let nonce = upload.label.parts().map_or("", |(nonce, _)| nonce);
        !going.contains(nonce) && run_of(nonce).is_none_or(|run| run.finished)
    });
    let uploads = uploads.collect();
    Ok(Findings {
        batches,
        uploads,
        strays,
    })
}

/// Deletes files that have been found, and leaves what was not deleted.
async fn clean(engine: &Engine, args: &DoctorArgs, found: &mut Findings) -> Result<(), Failure> {
    let before = clock().now().checked_sub(args.older_than);
    let (mut young, mut gone) = (Vec::new(), 0);
    for upload in std::mem::take(&mut found.uploads) {
        if upload.created_at.is_some() && upload.created_at > before {
            young.push(upload);
            continue;
        }
        engine.provider().discard(&upload.remnant).await?;
        gone += 1;
    }
    found.uploads = young;
    for (path, _) in std::mem::take(&mut found.strays) {
        purge::delete(&path)?;
        gone += 1;
    }
    terminal::say(&format!("{gone} files are deleted"));
    Ok(())
}

fn report(found: &Findings, cleaned: bool) {
    if !found.batches.is_empty() {
        let mut table = Table::new();
        table
            .load_style(NOTHING)
            .set_header(["batch", "label", "status", "requests", "created"]);
        for snapshot in &found.batches {
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
        terminal::out(&table.to_string());
        terminal::say("no record here knows these; with their input they can be taken back:");
        terminal::say("  lmbatch adopt LABEL INPUT -m PROVIDER/MODEL");
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
    let (_state, engine) = state::durable(engine, &args.state).await?;
    if engine
        .ledger()
        .runs()
        .await?
        .iter()
        .any(|run| run.nonce == wanted)
    {
        return Err(Failure::usage("the record here knows this run").hint("lmbatch runs lists it"));
    }
    let mut found: BTreeMap<u32, BatchSnapshot> = BTreeMap::new();
    for (of, number, snapshot) in labelled(&engine).await? {
        if of == nonce {
            found.insert(number, snapshot);
        }
    }
    let uploads = uploaded(&engine).await?;
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
    let run = engine.begin(&plan, None, notes.write()).await?;
    let mut taken = 0;
    let ledger = Arc::clone(engine.ledger());
    for shard in ledger.shards(&run.id).await? {
        let Some(snapshot) = found.get(&shard.key.shard) else {
            continue;
        };
        // What was uploaded for it is deleted with the rest, once its outcomes are here.
        let inputs = uploads.iter().filter(|file| file.label == shard.label);
        if let Some(odd) = differs(&engine, &shard, snapshot, inputs.clone()) {
            ledger.forget(&run.id).await?;
            plan.discard();
            return Err(Failure::usage(format!(
                "batch {} {odd}: it is not the input that was sent, or not with these options",
                snapshot.id
            )));
        }
        let staged = ShardState::Staged(Staged {
            ready: true,
            remnants: inputs.map(|file| file.remnant.clone()).collect(),
            ..Staged::default()
        });
        let epoch = ledger.advance(&shard.key, shard.epoch, staged).await?;
        let state = ShardState::Created {
            batch: snapshot.id.clone(),
            proof: Proof::proved("it carries the label of the run"),
        };
        ledger.advance(&shard.key, epoch, state).await?;
        taken += 1;
    }
    terminal::say(&format!(
        "{taken} of {batches} batches are taken into run {}; go on with:\n  lmbatch resume {}",
        run.id, run.id
    ));
    if taken < batches {
        terminal::say("the others do not exist at the provider: resume creates them");
    }
    Ok(Exit::Usable)
}

/// How a batch differs from the one that this input makes, where it can be seen.
fn differs<'a>(
    engine: &Engine,
    shard: &ShardRecord,
    snapshot: &BatchSnapshot,
    inputs: impl Iterator<Item = &'a Upload>,
) -> Option<String> {
    let makes = u64::from(shard.count);
    if let Some(total) = snapshot.counts.total.filter(|total| *total != makes) {
        return Some(format!(
            "holds {total} requests, and this input makes {makes}"
        ));
    }
    let frame = engine.provider().codec().frame(&shard.class, &shard.label);
    let makes = (frame.prefix.len() + frame.suffix.len()) as u64 + shard.bytes;
    let sizes = inputs.filter_map(|input| input.bytes);
    let other = sizes.into_iter().find(|bytes| *bytes != makes)?;
    Some(format!(
        "was made of {other} bytes, and this input makes {makes}"
    ))
}
