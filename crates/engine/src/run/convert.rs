//! Converts a run in layout 1 to layout 2 before work on it begins.
//!
//! The new files are complete and synced before the record names them; in the same change the
//! record lists the old files that must be deleted. The files are deleted after that, and the list
//! last. A process that dies at any point leaves the run in one layout or in the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{Change, Error, ErrorKind, Result, RunRecord, ShardRecord, format_time};

use crate::blocking::blocking;
use crate::context::Context;
use crate::plan::Plan;
use crate::plan::former::{Converted, convert, is_former};
use crate::plan::restored;
use crate::spool::temporary::TemporarySpool;
use crate::spool::{Files, layout, spooled};

impl Context {
    /// Converts the files of a run to the present layout. The caller holds the claim of the run.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where a file of the run is deleted, missing or damaged, or where the spool cannot be written;
    /// [`ErrorKind::Conflict`] where another process advances the run.
    pub(crate) async fn in_present_layout(&self, run: &RunRecord) -> Result<()> {
        check_answers(run)?;
        let shards = self.ledger.shards(&run.id).await?;
        if is_former(&shards) {
            self.convert(run, &shards).await?;
        }
        self.remove_former(run).await
    }

    async fn convert(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        let run = self.recorded(run).await?;
        let files = Files::new(self.spool()?, run.nonce.as_str(), true);
        let (of, its) = (run.clone(), shards.to_vec());
        let work = move || convert(&of, &its, &files, &files);
        let converted = blocking(work).await??;
        let tables = converted.tables.into_iter();
        let changed = shards.iter().cloned().zip(tables).map(|(shard, tables)| {
            let tables = Some(tables);
            ShardRecord { tables, ..shard }
        });
        let changed: Vec<ShardRecord> = changed.collect();
        let checksums = with_former(&run, converted.checksums);
        loop {
            // A cancellation needs no claim and may change the record at any time.
            let now = self.recorded(&run).await?;
            let epoch = now.epoch;
            let next = RunRecord {
                checksums: checksums.clone(),
                ..now
            };
            let change = Change {
                shards: &changed,
                run: Some(&next),
                new_shards: &[],
            };
            match self.ledger.apply(&change).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    if self.recorded(&run).await?.epoch == epoch {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// Deletes the files of layout 1 that the record lists, and then the list.
    async fn remove_former(&self, run: &RunRecord) -> Result<()> {
        let run = self.recorded(run).await?;
        let former = former(&run);
        if former.is_empty() {
            return Ok(());
        }
        let files = Files::new(self.spool()?, run.nonce.as_str(), true);
        let names = former.clone();
        blocking(move || {
            let mut names = names.iter();
            names.try_for_each(|what| files.spool().remove(&files.name(what)).map_err(spooled))
        })
        .await??;
        let forget = |run: &mut RunRecord| {
            run.checksums.retain(|name, _| !former.contains(name));
            Ok(())
        };
        self.change(&run, &[], forget).await.map(drop)
    }

    /// Returns the current record of a run and its plan. The tables of a run in layout 1 are made
    /// in a temporary spool: the files of the run stay unchanged, since the caller may hold no
    /// claim.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the prompts and answers of the run were deleted, and where a file is missing or
    /// damaged.
    pub(crate) async fn restored(&self, run: &RunRecord) -> Result<(RunRecord, Plan)> {
        let mut run = self.recorded(run).await?;
        check_answers(&run)?;
        let mut shards = self.ledger.shards(&run.id).await?;
        let files = Arc::new(Files::new(self.spool()?, run.nonce.as_str(), true));
        let mut former = None;
        if is_former(&shards) {
            let (of, its, from) = (run.clone(), shards.clone(), Arc::clone(&files));
            match blocking(move || read_former(&of, &its, &from)).await? {
                Ok(read) => former = Some(read),
                Err(error) => {
                    // Another process may have converted the run in the meantime.
                    run = self.recorded(&run).await?;
                    shards = self.ledger.shards(&run.id).await?;
                    if is_former(&shards) {
                        return Err(error);
                    }
                }
            }
        }
        let plan = restored(&*self.provider, files, &run, &shards, former)?;
        Ok((run, plan))
    }
}

/// Returns an error for a run whose prompts and answers were deleted from this machine.
fn check_answers(run: &RunRecord) -> Result<()> {
    let Some(at) = run.answers_deleted_at else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::Local).with_message(format!(
        "the prompts and answers of the run {} were deleted from this machine at {}; its record is all that is left, and nothing was sent",
        run.id,
        format_time(at)
    )))
}

/// Makes the tables of the shards of a run in layout 1 in a temporary spool, for as long as they
/// are read.
fn read_former(
    run: &RunRecord,
    shards: &[ShardRecord],
    from: &Files,
) -> Result<(Converted, Arc<Files>)> {
    let spool = Arc::new(TemporarySpool::new().map_err(spooled)?);
    let tables = Files::new(spool, run.nonce.as_str(), false);
    let converted = convert(run, shards, from, &tables)?;
    Ok((converted, Arc::new(tables)))
}

/// Returns the checksums of the files of a run as a whole, and lists the old files among them.
fn with_former(run: &RunRecord, kept: BTreeMap<Box<str>, u32>) -> BTreeMap<Box<str>, u32> {
    let names = layout::former::names(run).into_iter();
    let mut checksums: BTreeMap<Box<str>, u32> = names
        .map(|name| {
            let known = run.checksums.get(&*name).copied();
            (name.into(), known.unwrap_or_default())
        })
        .collect();
    checksums.extend(kept);
    checksums
}

/// Returns the names of the files of layout 1 that must be deleted, from the record of a run in
/// layout 2.
fn former(run: &RunRecord) -> Vec<Box<str>> {
    let names = layout::former::names(run).into_iter();
    let named = names.filter(|name| run.checksums.contains_key(&**name));
    named.map(Into::into).collect()
}
