//! `lmbatch doctor` and `lmbatch adopt`: batches that carry our label and that no record knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use lmbatch_core::{BatchSnapshot, Certainty, ListOptions, Nonce, ShardState, format_time};
use lmbatch_engine::Engine;

use super::state::{self, Notes};
use super::{connect, default_output};
use crate::args::{AdoptArgs, DoctorArgs};
use crate::exit::{Exit, Failure};
use crate::{input, model, output, providers, settings, terminal};

/// Run and number of one of our labels.
fn ours(label: &str) -> Option<(&str, u32)> {
    let (nonce, number) = label.strip_prefix("lmbatch-")?.split_once('-')?;
    let known = nonce.len() == Nonce::LENGTH;
    Some((nonce, number.parse().ok()?)).filter(|_| known)
}

/// Every batch of the provider that carries one of our labels.
async fn labelled(engine: &Engine) -> Result<Vec<(String, u32, BatchSnapshot)>, Failure> {
    let mut found = Vec::new();
    let mut options = ListOptions::default();
    loop {
        let page = engine.list(&options).await?;
        for snapshot in page.items {
            let label = snapshot.label.as_ref().map(ToString::to_string);
            if let Some((nonce, number)) = label.as_deref().and_then(ours) {
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

pub(crate) async fn doctor(args: DoctorArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let runs = match state::ledger(&args.state).await {
        Ok(ledger) => ledger.runs().await?,
        // Without a record every batch is unknown to it.
        Err(_) => Vec::new(),
    };
    let known = |nonce: &str| runs.iter().any(|run| run.nonce.as_str() == nonce);
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["batch", "label", "status", "requests", "created"]);
    let mut orphans = 0;
    for (nonce, _, snapshot) in labelled(&engine).await? {
        if known(&nonce) {
            continue;
        }
        orphans += 1;
        let label = snapshot.label.as_ref().map(ToString::to_string);
        let total = snapshot.counts.total.map(|total| total.to_string());
        table.add_row([
            terminal::plain(snapshot.id.as_str()),
            terminal::plain(&label.unwrap_or_default()),
            snapshot.status.to_string(),
            total.unwrap_or_default(),
            snapshot.created_at.map(format_time).unwrap_or_default(),
        ]);
    }
    if orphans == 0 {
        terminal::say(&format!(
            "every batch of ours that {} lists is in a record here",
            provider.id()
        ));
        return Ok(Exit::Usable);
    }
    terminal::out(&table.to_string());
    terminal::say("no record here knows these; with their input they can be taken back:");
    terminal::say("  lmbatch adopt LABEL INPUT -m PROVIDER/MODEL");
    Ok(Exit::Failed)
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
    let (nonce, _) = ours(&args.label).ok_or_else(bad)?;
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
        let total = snapshot.counts.total;
        if total.is_some_and(|total| total != u64::from(shard.count)) {
            ledger.forget(&run.id).await?;
            return Err(Failure::usage(format!(
                "batch {} holds {} requests, and this input makes {}: it is not the input that was sent",
                snapshot.id,
                total.unwrap_or_default(),
                shard.count
            )));
        }
        let state = ShardState::Created {
            batch: snapshot.id.clone(),
            certainty: Certainty::Proved,
        };
        ledger.advance(&shard.key, shard.epoch, state).await?;
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
