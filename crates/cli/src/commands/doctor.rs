//! `lmbatch doctor`: batches and files of lmbatch at a provider that no record knows.
//!
//! Exit 1 says that there is something to do for this record: a batch that may hold answers that are paid for
//! and that no run has, or what runs of this record left over. What others upload to the same account is
//! shown, and is no error of this record.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use lmbatch_core::{
    BatchId, BatchSnapshot, BatchStatus, Label, Nonce, Remnant, RunRecord, ShardRecord, ShardState,
    Upload,
};
use lmbatch_engine::{Engine, Labelled, Recognised};

use super::state;
use super::{clock, connect, purge};
use crate::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Table;
use crate::{model, next, terminal, words};

/// Most batches without a label whose first row is read: two calls each.
const LOOKED_AT: usize = 50;

/// What no record speaks of.
#[derive(Default)]
struct Findings {
    /// Of runs that no record knows.
    orphans: Vec<Labelled>,
    /// Beside the batches of runs that are known: paid for, and in no output.
    twins: Vec<Labelled>,
    /// Batches without a label, as far as they were looked at.
    recognised: Recognised,
    /// Batches of runs that are known, by the ids of their rows.
    unlabelled_twins: Vec<BatchSnapshot>,
    /// Uploads that no batch needs and that are old enough.
    unused: Vec<Found>,
    /// Uploads that no listed batch needs, and that are young.
    young: Vec<Found>,
    /// Uploads of batches that have not ended.
    in_use: u64,
    /// Files of this machine, with their bytes.
    strays: Vec<(PathBuf, u64)>,
    /// Whether the provider does not list files.
    lists_no_files: bool,
}

/// An upload, and whether it is of a run of this record.
struct Found {
    upload: Upload,
    is_recorded: bool,
}

impl Findings {
    fn is_empty(&self) -> bool {
        self.orphans.is_empty()
            && self.twins.is_empty()
            && self.recognised.found.is_empty()
            && self.unlabelled_twins.is_empty()
            && self.unused.is_empty()
            && self.young.is_empty()
            && self.strays.is_empty()
    }

    /// Whether there is something to do for this record.
    fn is_to_be_settled(&self) -> bool {
        let may_hold_answers = |one: &Labelled| one.snapshot.status != BatchStatus::Failed;
        let recorded = |found: &Found| found.is_recorded;
        self.orphans.iter().any(may_hold_answers)
            || !self.twins.is_empty()
            || !self.recognised.found.is_empty()
            || !self.unlabelled_twins.is_empty()
            || self.unused.iter().chain(&self.young).any(recorded)
            || !self.strays.is_empty()
    }

    /// Sorts uploads by whether, and when, they may be deleted.
    fn sort(
        &mut self,
        uploads: Vec<Upload>,
        is_needed: impl Fn(&Upload) -> bool,
        is_recorded: impl Fn(&Upload) -> bool,
        args: &DoctorArgs,
    ) {
        let before = clock().now().checked_sub(args.older_than);
        for upload in uploads {
            if is_needed(&upload) {
                self.in_use += 1;
                continue;
            }
            let found = Found {
                is_recorded: is_recorded(&upload),
                upload,
            };
            if is_young(&found.upload, before, args) {
                self.young.push(found);
            } else {
                self.unused.push(found);
            }
        }
    }
}

fn is_young(upload: &Upload, before: Option<SystemTime>, args: &DoctorArgs) -> bool {
    match upload.created_at {
        Some(_) => upload.created_at > before,
        // Of an age that no one tells, it may be as young as can be.
        None => !args.older_than.is_zero(),
    }
}

pub(crate) async fn doctor(args: DoctorArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let mut found = findings(&engine, &args).await?;
    if args.clean {
        clean(&engine, &args, &mut found).await?;
    }
    report(&found, provider.id(), &args);
    Ok(if found.is_to_be_settled() {
        Exit::Failed
    } else {
        Exit::Usable
    })
}

async fn findings(engine: &Engine, args: &DoctorArgs) -> Result<Findings, Failure> {
    // First what is there: what is made meanwhile is in the record then.
    let mut inventory = engine.inventory().await?;
    let uploads = engine.uploaded().await?;
    let lists_no_files = uploads.is_none();
    let uploads = uploads.unwrap_or_default();
    let labelled = std::mem::take(&mut inventory.labelled);
    let unlabelled = std::mem::take(&mut inventory.unlabelled);
    let mut found = Findings {
        lists_no_files,
        ..Findings::default()
    };
    // Without a record every batch is unknown to it, and what files there are may be all that is left. One
    // that cannot be read says nothing about either.
    if !state::is_there(&args.state)? {
        found.orphans = labelled;
        found.recognised = engine
            .recognise(unlabelled, &HashSet::new(), LOOKED_AT)
            .await;
        found.sort(uploads, |upload| inventory.needs(upload), |_| false, args);
        return Ok(found);
    }
    let ledger = state::ledger(&args.state).await?;
    let recording = state::reading(engine.clone(), Arc::clone(&ledger), &args.state)?;
    let listed = labelled.iter().map(|one| &one.snapshot).chain(&unlabelled);
    let listed: Vec<BatchId> = listed.map(|snapshot| snapshot.id.clone()).collect();
    let known = recording.known_batches(&listed).await?;
    let mut runs = Runs::default();
    for one in labelled {
        let label = one.snapshot.label.as_ref();
        match runs.look(&recording, &one.nonce).await? {
            None => found.orphans.push(one),
            Some(run) => {
                if !known.contains(&one.snapshot.id)
                    // What may be in doubt is found when its run is resumed.
                    && !label.is_some_and(|label| run.doubted.contains(label))
                    // A create that was made to fail is not paid for.
                    && one.snapshot.status != BatchStatus::Failed
                {
                    found.twins.push(one);
                }
            }
        }
    }
    found.recognised = engine.recognise(unlabelled, &known, LOOKED_AT).await;
    for (nonce, snapshot) in std::mem::take(&mut found.recognised.found) {
        match runs.look(&recording, nonce.as_str()).await? {
            None => found.recognised.found.push((nonce, snapshot)),
            Some(run) if run.doubted.is_empty() => found.unlabelled_twins.push(snapshot),
            Some(_) => {}
        }
    }
    for upload in &uploads {
        runs.look(&recording, nonce(upload)).await?;
    }
    found.sort(
        uploads,
        |upload| {
            let run = runs.get(nonce(upload));
            inventory.needs(upload) || run.is_some_and(|found| !found.run.finished)
        },
        |upload| runs.get(nonce(upload)).is_some(),
        args,
    );
    let spool = state::folder(&args.state)?.join("spool");
    found.strays = purge::strays(&*ledger, &spool).await?;
    Ok(found)
}

/// A run of the record, with the labels of its creates that are in doubt.
struct Recorded {
    run: RunRecord,
    doubted: HashSet<Label>,
}

/// Runs of the record by their nonces, as far as they were looked up.
#[derive(Default)]
struct Runs(HashMap<Box<str>, Option<Recorded>>);

impl Runs {
    /// Returns the run of a nonce, from the record the first time.
    async fn look(&mut self, engine: &Engine, nonce: &str) -> Result<Option<&Recorded>, Failure> {
        if !self.0.contains_key(nonce) {
            let run = match Nonce::parse(nonce) {
                Some(nonce) => engine.run_of_nonce(&nonce).await?,
                None => None,
            };
            let recorded = match run {
                Some(run) => {
                    let shards = engine.ledger().shards(&run.id).await?.into_iter();
                    let is_doubted = |shard: &ShardRecord| {
                        matches!(shard.state, ShardState::Posting(_) | ShardState::Doubt(_))
                    };
                    let doubted = shards.filter(is_doubted).map(|shard| shard.label);
                    let doubted = doubted.collect();
                    Some(Recorded { run, doubted })
                }
                None => None,
            };
            self.0.insert(nonce.into(), recorded);
        }
        Ok(self.get(nonce))
    }

    fn get(&self, nonce: &str) -> Option<&Recorded> {
        self.0.get(nonce)?.as_ref()
    }
}

fn nonce(upload: &Upload) -> &str {
    upload.label.parts().map_or("", |(nonce, _)| nonce)
}

/// Deletes files that nothing needs. An upload that is young, or that a batch needs, is left alone.
async fn clean(engine: &Engine, args: &DoctorArgs, found: &mut Findings) -> Result<(), Failure> {
    let mut gone = 0;
    for unused in std::mem::take(&mut found.unused) {
        engine.provider().discard(&unused.upload.remnant).await?;
        gone += 1;
    }
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
    let files = words::count(gone, "file is", "files are");
    terminal::say(&format!("{files} deleted"));
    Ok(())
}

fn table<'a>(batches: impl IntoIterator<Item = &'a BatchSnapshot>) -> String {
    let mut table = Table::with_header(["batch", "label", "status", "requests", "created"]);
    for snapshot in batches {
        let label = snapshot.label.as_ref().map(ToString::to_string);
        let total = snapshot.counts.total.map(|total| total.to_string());
        table.row([
            snapshot.id.to_string(),
            label.unwrap_or_default(),
            snapshot.status.to_string(),
            total.unwrap_or_default(),
            snapshot.created_at.map(words::time).unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn snapshots(batches: &[Labelled]) -> impl Iterator<Item = &BatchSnapshot> {
    batches.iter().map(|one| &one.snapshot)
}

fn report(found: &Findings, provider: &str, args: &DoctorArgs) {
    if !found.orphans.is_empty() {
        terminal::out(&table(snapshots(&found.orphans)));
        terminal::say(
            "not recorded in this state directory; with its input the record of a run can be rebuilt:",
        );
        let mut runs: BTreeMap<&str, Vec<&BatchSnapshot>> = BTreeMap::new();
        for one in &found.orphans {
            runs.entry(&one.nonce).or_default().push(&one.snapshot);
        }
        let mut models = BTreeSet::new();
        for batches in runs.values() {
            models.extend(batches.iter().filter_map(|batch| batch.model.as_deref()));
            let label = batches.iter().find_map(|batch| batch.label.as_ref());
            let label = label.map_or_else(|| "LABEL".to_owned(), ToString::to_string);
            adopt(&[&label], provider);
        }
        say_models(&models);
    }
    recognised(&found.recognised, provider);
    let twins = snapshots(&found.twins).chain(&found.unlabelled_twins);
    if !found.twins.is_empty() || !found.unlabelled_twins.is_empty() {
        terminal::out(&table(twins));
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
    if !found.unused.is_empty() {
        terminal::out(&files(&found.unused));
        terminal::say(
            "no batch and no run of this state directory needs these inputs; delete them with --clean",
        );
    }
    if !found.young.is_empty() {
        terminal::out(&files(&found.young));
        let age = words::span(args.older_than);
        terminal::say(&format!(
            "uploaded less than {age} ago; may be in use on another machine (see --older-than)"
        ));
    }
    if found.in_use > 0 {
        terminal::say(&format!(
            "{} of batches or runs that have not ended",
            words::count(
                found.in_use,
                "upload is in use, being",
                "uploads are in use, being"
            )
        ));
    }
    if !found.strays.is_empty() {
        let bytes: u64 = found.strays.iter().map(|(_, bytes)| bytes).sum();
        terminal::say(&format!(
            "{} in the state folder, {}, belong to no run; delete them with --clean",
            words::count(found.strays.len() as u64, "file", "files"),
            words::bytes(bytes)
        ));
    }
    let unseen = found.recognised.unread + found.recognised.running;
    if found.is_empty() && unseen == 0 {
        terminal::say(&match found.lists_no_files {
            true => format!(
                "every batch of lmbatch that {provider} lists is in a record here; {provider} lists no files"
            ),
            false => {
                format!("every batch and file of lmbatch that {provider} lists is in a record here")
            }
        });
    }
}

/// Shows the command that rebuilds the record of a run.
fn adopt(named: &[&str], provider: &str) {
    let model = format!("{provider}/MODEL");
    let words = ["adopt"].into_iter().chain(named.iter().copied());
    let command = next::on_runs(words.chain(["INPUT", "-m", &model]));
    terminal::say(&format!("  {command}"));
}

/// Says which model to name, as far as the provider tells. It may name a dated version of the one that was asked.
fn say_models(models: &BTreeSet<&str>) {
    let models: Vec<&str> = models.iter().copied().collect();
    let named = match models.is_empty() {
        true => String::new(),
        false => format!("; the provider names {}", models.join(", ")),
    };
    terminal::say(&format!(
        "INPUT and MODEL are those of the command that began the run{named}"
    ));
}

/// Batches that the ids of their rows prove to be of lmbatch, and what was not looked at.
fn recognised(recognised: &Recognised, provider: &str) {
    let mut runs: BTreeMap<&str, Vec<&BatchSnapshot>> = BTreeMap::new();
    for (nonce, snapshot) in &recognised.found {
        runs.entry(nonce.as_str()).or_default().push(snapshot);
    }
    for batches in runs.values() {
        terminal::out(&table(batches.iter().copied()));
        let ids: Vec<&str> = batches.iter().map(|batch| batch.id.as_str()).collect();
        terminal::say(
            "not recorded in this state directory; the ids of the rows are of one run of lmbatch, whose record can be rebuilt with its input:",
        );
        let ids: Vec<&str> = ids.into_iter().rev().collect();
        adopt(&ids, provider);
        let models = batches.iter().filter_map(|batch| batch.model.as_deref());
        say_models(&models.collect());
    }
    if recognised.running > 0 {
        terminal::say(&format!(
            "{provider} keeps no labels, and a batch is known by its results: {} not ended, and may be of lmbatch; look again later",
            words::count(
                recognised.running,
                "batch that is not recorded has",
                "batches that are not recorded have"
            )
        ));
    }
    if recognised.unread > 0 {
        terminal::say(&format!(
            "{} not looked at: of those that are not recorded the newest {LOOKED_AT} are, as far as their results can be read",
            words::count(recognised.unread, "ended batch was", "ended batches were")
        ));
    }
}

fn files(uploads: &[Found]) -> String {
    let mut table = Table::with_header(["file", "label", "size", "uploaded"]);
    for Found { upload, .. } in uploads {
        let (Remnant::File(name), bytes) = (&upload.remnant, upload.bytes) else {
            continue;
        };
        table.row([
            name.to_string(),
            upload.label.to_string(),
            bytes.map(words::bytes).unwrap_or_default(),
            upload.created_at.map(words::time).unwrap_or_default(),
        ]);
    }
    table.to_string()
}
