//! `lmbatch doctor`: finds batches and files created by lmbatch at a provider that no local run references.
//!
//! Exit code 1 means that an action is due for this record: a batch may hold billed answers that no run has, or runs
//! of this record have left files behind. Uploads of other records on the account are listed, and are no error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lmbatch::adapter::RemoteObject;
use lmbatch::engine::{
    LabelledBatch, OrphanSearch, Orphans, RecognisedBatches, SpooledFile, UnusedUpload,
    delete_unowned, unowned_files,
};
use lmbatch::{BatchSnapshot, Engine};

use super::selftest::found::SelftestBatches;
use super::{connect, state};
use crate::args::DoctorArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::table::{Cell, Column, Table, column};
use crate::{format, hints, model, terminal};

/// Maximum number of batches without a label whose first row is read, with two calls each.
const MAX_ROWS_READ: usize = 50;

/// Batches and files that no recorded run needs or references, at the provider and on this machine.
struct Findings {
    orphans: Orphans,
    /// Files on this machine that belong to no run.
    strays: Vec<SpooledFile>,
    /// Batches of self-tests, which are no orphans.
    tests: SelftestBatches,
}

impl Findings {
    fn new(mut orphans: Orphans, strays: Vec<SpooledFile>) -> Self {
        Self {
            tests: SelftestBatches::take(&mut orphans),
            orphans,
            strays,
        }
    }

    fn is_empty(&self) -> bool {
        self.orphans.is_empty() && self.strays.is_empty() && self.tests.is_empty()
    }

    /// Reports whether an action is due for this record.
    fn needs_action(&self) -> bool {
        self.orphans.needs_action() || !self.strays.is_empty() || self.tests.needs_action()
    }
}

pub(crate) async fn doctor(session: &Session, args: DoctorArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let mut found = findings(session, &engine, &args).await?;
    if args.clean {
        clean(session, &engine, &args, &mut found).await?;
    }
    report(&found, provider.id(), &args);
    Ok(if found.needs_action() {
        Exit::Failed
    } else {
        Exit::Usable
    })
}

async fn findings(
    session: &Session,
    engine: &Engine,
    args: &DoctorArgs,
) -> Result<Findings, Failure> {
    let search = OrphanSearch {
        min_upload_age: args.older_than,
        max_rows_read: MAX_ROWS_READ,
    };
    // Without a record every batch is unrecorded, and the files may be all that is left of the runs.
    if !state::is_there(&args.state)? {
        return Ok(Findings::new(engine.orphans(search).await?, Vec::new()));
    }
    let ledger = state::ledger(session, &args.state).await?;
    let recording = state::reading(engine.clone(), Arc::clone(&ledger), &args.state)?;
    let orphans = recording.orphans(search).await?;
    let spool = state::folder(&args.state)?.join("spool");
    let sent = lmbatch::durable::runs_with_creates(&spool)?;
    let strays = unowned_files(&*ledger, &spool, &sent).await?;
    Ok(Findings::new(orphans, strays))
}

/// Deletes files that nothing needs. Keeps an upload that is young or that a batch needs.
async fn clean(
    session: &Session,
    engine: &Engine,
    args: &DoctorArgs,
    found: &mut Findings,
) -> Result<(), Failure> {
    let mut gone = 0;
    for unused in std::mem::take(&mut found.orphans.unused) {
        engine
            .provider()
            .discard(&unused.upload.remote_object)
            .await?;
        gone += 1;
    }
    if !found.strays.is_empty() {
        let ledger = state::ledger(session, &args.state).await?;
        for file in std::mem::take(&mut found.strays) {
            if delete_unowned(&*ledger, &file).await? {
                gone += 1;
            } else {
                found.strays.push(file);
            }
        }
    }
    let files = format::count(gone, "file is", "files are");
    terminal::message(&format!("{files} deleted"));
    Ok(())
}

const BATCH: [Column; 5] = [
    column("batch").cut_start(14),
    column("label").cut_start(14),
    column("status"),
    column("requests"),
    column("created"),
];

fn table<'a>(batches: impl IntoIterator<Item = &'a BatchSnapshot>) -> Table {
    let mut table = Table::new(BATCH);
    for snapshot in batches {
        table.row([
            snapshot.id.as_str().into(),
            snapshot.label.as_ref().map(ToString::to_string).into(),
            Cell::state(snapshot.status.as_str()),
            snapshot.counts.total.into(),
            snapshot.created_at.into(),
        ]);
    }
    table
}

fn snapshots(batches: &[LabelledBatch]) -> impl Iterator<Item = &BatchSnapshot> {
    batches.iter().map(|one| &one.snapshot)
}

fn report(findings: &Findings, provider: &str, args: &DoctorArgs) {
    let found = &findings.orphans;
    if !found.unknown.is_empty() {
        table(snapshots(&found.unknown)).print();
        terminal::message(
            "not recorded in this state folder; the record of a run can be rebuilt from its input:",
        );
        let mut runs: BTreeMap<&str, Vec<&BatchSnapshot>> = BTreeMap::new();
        for one in &found.unknown {
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
    if findings.tests.needs_action() {
        table(findings.tests.running()).print();
    }
    findings.tests.print_hints(provider);
    let duplicates = snapshots(&found.duplicates).chain(&found.unlabelled_duplicates);
    if !found.duplicates.is_empty() || !found.unlabelled_duplicates.is_empty() {
        table(duplicates).print();
        terminal::message(
            "extra batches of recorded runs: their creates succeeded although the responses were lost, and they are",
        );
        terminal::message("billed too. Read their outcomes, or cancel their remaining requests:");
        let retrieve = hints::command(["retrieve", "BATCH", "-p", provider, "-o", "OUTPUT"]);
        terminal::message(&format!("  {retrieve}"));
        let cancel = hints::command(["cancel", "BATCH", "-p", provider]);
        terminal::message(&format!("  {cancel}"));
    }
    if !found.unused.is_empty() {
        files(&found.unused).print();
        terminal::message(
            "no batch and no run of this state folder needs these inputs; delete them with --clean",
        );
    }
    if !found.recent.is_empty() {
        files(&found.recent).print();
        let age = format::span(args.older_than);
        terminal::message(&format!(
            "uploaded less than {age} ago; may be in use on another machine (see --older-than)"
        ));
    }
    if found.in_use > 0 {
        terminal::message(&format!(
            "{} of batches or runs that have not ended",
            format::count(
                found.in_use,
                "upload is in use, being",
                "uploads are in use, being"
            )
        ));
    }
    if !findings.strays.is_empty() {
        let bytes: u64 = findings.strays.iter().map(|file| file.bytes).sum();
        terminal::message(&format!(
            "{} in the state folder, {}, belong to no run; delete them with --clean",
            format::count(findings.strays.len() as u64, "file", "files"),
            format::bytes(bytes)
        ));
    }
    let unseen = found.recognised.unread + found.recognised.running;
    if findings.is_empty() && unseen == 0 {
        terminal::message(&match found.lists_no_files {
            true => format!(
                "every batch of lmbatch that {provider} lists is recorded here; {provider} lists no files"
            ),
            false => {
                format!("every batch and file of lmbatch that {provider} lists is recorded here")
            }
        });
    }
}

/// Prints the command that rebuilds the record of a run.
fn adopt(named: &[&str], provider: &str) {
    let model = format!("{provider}/MODEL");
    let words = ["adopt"].into_iter().chain(named.iter().copied());
    let command = hints::on_runs(words.chain(["INPUT", "-m", &model]));
    terminal::message(&format!("  {command}"));
}

/// Prints the models to name, as far as the provider reports them. The provider may report a dated version of the
/// requested model.
fn say_models(models: &BTreeSet<&str>) {
    let models: Vec<&str> = models.iter().copied().collect();
    let named = match models.is_empty() {
        true => String::new(),
        false => format!("; the provider names {}", models.join(", ")),
    };
    terminal::message(&format!(
        "INPUT and MODEL are those of the command that started the run{named}"
    ));
}

/// Prints the batches that the ids of their rows prove to be of lmbatch, and the number of batches not read.
fn recognised(recognised: &RecognisedBatches, provider: &str) {
    let mut runs: BTreeMap<&str, Vec<&BatchSnapshot>> = BTreeMap::new();
    for (nonce, snapshot) in &recognised.found {
        runs.entry(nonce.as_str()).or_default().push(snapshot);
    }
    for batches in runs.values() {
        table(batches.iter().copied()).print();
        let ids: Vec<&str> = batches.iter().map(|batch| batch.id.as_str()).collect();
        terminal::message(
            "not recorded in this state folder; the ids of the rows belong to one run of lmbatch, whose record can be rebuilt from its input:",
        );
        let ids: Vec<&str> = ids.into_iter().rev().collect();
        adopt(&ids, provider);
        let models = batches.iter().filter_map(|batch| batch.model.as_deref());
        say_models(&models.collect());
    }
    if recognised.running > 0 {
        terminal::message(&format!(
            "{provider} keeps no labels, so that a batch is recognised by its results: {} not ended, and may be of lmbatch; run the command again later",
            format::count(
                recognised.running,
                "batch that is not recorded has",
                "batches that are not recorded have"
            )
        ));
    }
    if recognised.unread > 0 {
        terminal::message(&format!(
            "{} not looked at: the command reads the newest {MAX_ROWS_READ} unrecorded batches whose results are readable",
            format::count(recognised.unread, "ended batch was", "ended batches were")
        ));
    }
}

const UPLOAD: [Column; 4] = [
    column("file").cut_start(14),
    column("label").cut_start(14),
    column("size"),
    column("uploaded"),
];

fn files(uploads: &[UnusedUpload]) -> Table {
    let mut table = Table::new(UPLOAD);
    for UnusedUpload { upload, .. } in uploads {
        let (RemoteObject::File(name), bytes) = (&upload.remote_object, upload.bytes) else {
            continue;
        };
        table.row([
            name.to_string().into(),
            upload.label.to_string().into(),
            bytes.map_or(Cell::Empty, Cell::Bytes),
            upload.created_at.into(),
        ]);
    }
    table
}
