//! Retention: deletion of the prompts and answers of a run from this machine. The record of the run stays, so that the
//! same requests are not paid for again.
//!
//! The record says first that the answers are deleted, and the files are deleted after that. A process that dies in
//! between leaves files, which the next call for the run deletes.

use std::time::SystemTime;

use lmbatch_core::{Error, ErrorKind, Ledger, Result, RunRecord};

use crate::services::purge::SpooledFile;

/// Number and size of the files that were deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeletedAnswers {
    /// Number of files.
    pub files: u64,
    /// Size of the files in bytes.
    pub bytes: u64,
}

/// Deletes those of the files of a run that hold its prompts and answers, and records the time `now` at which they were
/// deleted. The record, its ids, counts, costs and digests, and the entries of its creates stay. Files that an earlier
/// call has left are deleted as well.
///
/// The caller must hold the claim of the run, and must know that the outcomes are stored elsewhere: they are paid for.
///
/// ```no_run
/// # mod lmbatch {
/// #     pub use {lmbatch_core as record, lmbatch_core::{Clock, Result}, lmbatch_engine as engine};
/// # }
/// use std::path::Path;
/// use lmbatch::engine::{delete_answers, files_of_run};
/// use lmbatch::record::{Ledger, RunRecord};
///
/// # async fn example(ledger: &dyn Ledger, run: &RunRecord, clock: &dyn lmbatch::Clock) -> lmbatch::Result<()> {
/// let _claim = ledger.claim(&run.id).await?;
/// let files = files_of_run(Path::new("state/spool"), run)?;
/// let deleted = delete_answers(ledger, run, &files, clock.now()).await?;
/// println!("{} files, {} bytes", deleted.files, deleted.bytes);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`ErrorKind::InvalidInput`] where the run has not ended or is not recorded; nothing was deleted.
/// [`ErrorKind::Local`] where a file cannot be deleted; the next call deletes the rest.
pub async fn delete_answers(
    ledger: &dyn Ledger,
    run: &RunRecord,
    files: &[SpooledFile],
    now: SystemTime,
) -> Result<DeletedAnswers> {
    record_deletion(ledger, run, now).await?;
    let mut deleted = DeletedAnswers::default();
    let of_run = files.iter().filter(|file| file.nonce == run.nonce.as_str());
    for file in of_run.filter(|file| file.holds_content()) {
        file.delete()?;
        deleted.files += 1;
        deleted.bytes += file.bytes;
    }
    Ok(deleted)
}

/// Records that the answers of a run are deleted. Starts again where another process changed the record in between.
async fn record_deletion(ledger: &dyn Ledger, run: &RunRecord, now: SystemTime) -> Result<()> {
    loop {
        let known = ledger.run(&run.id).await?;
        let known = known.ok_or_else(|| refused(run, "is not recorded"))?;
        if !known.finished {
            return Err(refused(run, "has not ended; nothing was deleted"));
        }
        if known.answers_deleted_at.is_some() {
            return Ok(());
        }
        let next = RunRecord {
            answers_deleted_at: Some(now),
            ..known
        };
        match ledger.change(&next, &[]).await {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            other => return other.map(drop),
        }
    }
}

fn refused(run: &RunRecord, why: &str) -> Error {
    Error::invalid_input(format!("the run {} {why}", run.id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::memory::MemoryLedger;
    use crate::services::fixture::recorded_run;
    use crate::services::purge::{delete_unowned, files_of_run, unowned_files};
    use crate::spool::layout::SAMPLES;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn path(folder: &Path, run: &RunRecord, name: &str) -> std::path::PathBuf {
        folder.join(format!("{}.{name}", run.nonce.as_str()))
    }

    fn left(folder: &Path, run: &RunRecord) -> Vec<&'static str> {
        let names = SAMPLES.iter().map(|(name, _)| *name);
        names
            .filter(|name| path(folder, run, name).exists())
            .collect()
    }

    async fn world(finished: bool) -> (tempfile::TempDir, MemoryLedger, RunRecord) {
        let (folder, ledger) = (tempfile::tempdir().unwrap(), MemoryLedger::default());
        let run = RunRecord {
            finished,
            ..recorded_run(None)
        };
        ledger.begin(&run, &[]).await.unwrap();
        for (name, _) in SAMPLES {
            fs::write(path(folder.path(), &run, name), "12345").unwrap();
        }
        (folder, ledger, run)
    }

    #[tokio::test]
    async fn prompts_and_answers_go_and_the_record_stays() {
        let (folder, ledger, run) = world(true).await;
        let files = files_of_run(folder.path(), &run).unwrap();
        let deleted = delete_answers(&ledger, &run, &files, at(7)).await.unwrap();
        assert_eq!((deleted.files, deleted.bytes), (5, 25));
        let stay = SAMPLES.iter().filter(|(_, is_answer)| !is_answer);
        let stay: Vec<_> = stay.map(|(name, _)| *name).collect();
        assert_eq!(left(folder.path(), &run), stay);
        let known = ledger.run(&run.id).await.unwrap().unwrap();
        let expected = RunRecord {
            answers_deleted_at: Some(at(7)),
            epoch: known.epoch,
            ..run.clone()
        };
        assert_eq!(known, expected);
        // The time of the first deletion stays.
        let again = delete_answers(&ledger, &run, &[], at(9)).await.unwrap();
        assert_eq!(again, DeletedAnswers::default());
        let known = ledger.run(&run.id).await.unwrap().unwrap();
        assert_eq!(known.answers_deleted_at, Some(at(7)));
    }

    #[tokio::test]
    async fn a_run_that_has_not_ended_keeps_its_files() {
        let (folder, ledger, run) = world(false).await;
        let files = files_of_run(folder.path(), &run).unwrap();
        let refused = delete_answers(&ledger, &run, &files, at(7)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(left(folder.path(), &run).len(), SAMPLES.len());
        // It was finished when its files were listed, and was requeued since.
        let stale = RunRecord {
            finished: true,
            ..run.clone()
        };
        delete_answers(&ledger, &stale, &files, at(7))
            .await
            .unwrap_err();
        assert_eq!(left(folder.path(), &run).len(), SAMPLES.len());
        let known = ledger.run(&run.id).await.unwrap().unwrap();
        assert_eq!(known.answers_deleted_at, None);
    }

    #[tokio::test]
    async fn files_of_other_runs_are_never_deleted() {
        let (folder, ledger, run) = world(true).await;
        let mut files = files_of_run(folder.path(), &run).unwrap();
        for file in &mut files {
            file.nonce = "bbbbbbbbbbbb".to_owned();
        }
        let deleted = delete_answers(&ledger, &run, &files, at(7)).await.unwrap();
        assert_eq!(deleted.files, 0);
        assert_eq!(left(folder.path(), &run).len(), SAMPLES.len());
    }

    /// A process dies at the deletion of each file in turn: a folder stands in the way.
    #[tokio::test]
    async fn what_a_death_leaves_is_deleted_by_the_next_call_or_as_stray_files() {
        for (stops_at, _) in SAMPLES.iter().filter(|(_, is_answer)| *is_answer) {
            for strays in [false, true] {
                let (folder, ledger, run) = world(true).await;
                let blocked = path(folder.path(), &run, stops_at);
                let files = files_of_run(folder.path(), &run).unwrap();
                fs::remove_file(&blocked).unwrap();
                fs::create_dir(&blocked).unwrap();
                let died = delete_answers(&ledger, &run, &files, at(7)).await;
                assert_eq!(died.unwrap_err().kind(), ErrorKind::Local, "{stops_at}");
                // The record says so before the first file is gone.
                let known = ledger.run(&run.id).await.unwrap().unwrap();
                assert_eq!(known.answers_deleted_at, Some(at(7)));
                fs::remove_dir(&blocked).unwrap();
                fs::write(&blocked, "12345").unwrap();
                if strays {
                    let sent = BTreeSet::new();
                    let found = unowned_files(&ledger, folder.path(), &sent).await;
                    for file in found.unwrap() {
                        assert!(delete_unowned(&ledger, &file).await.unwrap());
                    }
                } else {
                    let files = files_of_run(folder.path(), &run).unwrap();
                    delete_answers(&ledger, &known, &files, at(9))
                        .await
                        .unwrap();
                }
                let stay = SAMPLES.iter().filter(|(_, is_answer)| !is_answer);
                let stay: Vec<_> = stay.map(|(name, _)| *name).collect();
                assert_eq!(left(folder.path(), &run), stay, "{stops_at} {strays}");
            }
        }
    }
}
