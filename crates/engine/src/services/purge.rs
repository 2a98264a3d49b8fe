//! Purge: finding and deleting old runs, their files in the spool folder, and files that belong to no run.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lmbatch_core::{Error, ErrorKind, Ledger, Nonce, Result, RunFilter, RunRecord};

use crate::plan::ids::{former_run_id, run_id};
use crate::spool::layout;

/// File in the folder of a spool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpooledFile {
    /// Nonce of the run that the file belongs to: the file name up to the first full stop.
    pub nonce: String,
    /// Path of the file.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub bytes: u64,
}

impl SpooledFile {
    /// Returns whether the file holds prompts or answers of its run. The other files hold its ids and the
    /// record of its creates.
    pub fn holds_content(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_prefix(&*self.nonce);
        let name = name.and_then(|name| name.strip_prefix('.'));
        name.is_some_and(layout::holds_content)
    }

    /// Deletes the file. A file that does not exist any more is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] if the file cannot be deleted.
    pub fn delete(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            deleted => deleted.map_err(|error| {
                let message = format!(
                    "the file {} cannot be deleted (once it can, run the command again)",
                    self.path.display()
                );
                Error::local(message, error)
            }),
        }
    }
}

/// Returns every file in the folder of a spool; none if the folder does not exist.
///
/// # Errors
/// [`ErrorKind::Local`] if the folder cannot be read.
pub fn spooled_files(folder: &Path) -> Result<Vec<SpooledFile>> {
    let failed = |error| {
        let message = format!(
            "the folder {} cannot be read (give the user of this process access to it)",
            folder.display()
        );
        Error::local(message, error)
    };
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries.map_err(&failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(&failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push(SpooledFile {
            nonce: name.split('.').next().unwrap_or_default().to_owned(),
            path: entry.path(),
            bytes: entry.metadata().map_err(&failed)?.len(),
        });
    }
    Ok(files)
}

/// Returns the files of a run in the folder of a spool.
///
/// # Errors
/// [`ErrorKind::Local`] if the folder cannot be read.
pub fn files_of_run(folder: &Path, run: &RunRecord) -> Result<Vec<SpooledFile>> {
    let mut files = spooled_files(folder)?;
    files.retain(|file| file.nonce == run.nonce.as_str());
    Ok(files)
}

/// Returns the ended runs that started before a time, newest first.
///
/// # Errors
/// Those of the ledger.
pub async fn ended_before(
    ledger: &dyn Ledger,
    before: Option<SystemTime>,
) -> Result<Vec<RunRecord>> {
    let is_old = |run: &RunRecord| run.created_at.is_some_and(|at| Some(at) < before);
    let (mut filter, mut old) = (RunFilter::default(), Vec::new());
    loop {
        let page = ledger.runs(&filter).await?;
        let runs = page.items.into_iter();
        old.extend(runs.filter(|run| run.finished && is_old(run)));
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return Ok(old),
        }
    }
}

/// Deletes a run from the ledger, with its files. The caller must hold the claim of the run. An unfinished run loses
/// billed answers.
///
/// # Errors
/// [`ErrorKind::Local`] if a file cannot be deleted; the run stays recorded then.
pub async fn delete_run(ledger: &dyn Ledger, run: &RunRecord, files: &[SpooledFile]) -> Result<()> {
    for file in files {
        file.delete()?;
    }
    // The files are deleted first: without the record of the run they would never be found.
    ledger.delete(&run.id).await
}

/// Returns the files that belong to no run, left by a process that died before it recorded its run, and the
/// answers that a process left when it died while it deleted them.
///
/// Files of the nonces in `sent` are not returned: a create was sent, and the files are all that is left of a run
/// that the ledger has lost.
///
/// # Errors
/// Those of the ledger, and [`ErrorKind::Local`] if the folder cannot be read.
pub async fn unowned_files(
    ledger: &dyn Ledger,
    folder: &Path,
    sent: &BTreeSet<String>,
) -> Result<Vec<SpooledFile>> {
    let mut files = spooled_files(folder)?;
    let nonces: HashSet<&String> = files.iter().map(|file| &file.nonce).collect();
    let (mut unknown, mut without_answers) = (HashSet::new(), HashSet::new());
    for nonce in nonces {
        match recorded(ledger, nonce).await? {
            Some(run) if run.answers_deleted_at.is_some() => {
                without_answers.insert(nonce.clone());
            }
            None if !sent.contains(nonce) => {
                unknown.insert(nonce.clone());
            }
            _ => {}
        }
    }
    files.retain(|file| {
        let is_left = without_answers.contains(&file.nonce) && file.holds_content();
        is_left || unknown.contains(&file.nonce)
    });
    Ok(files)
}

/// Deletes one of the [stray files](unowned_files), and returns whether the file was deleted. A process that reads an input
/// holds the claim of the run that it will start, so that its files are kept.
///
/// # Errors
/// Those of the ledger, and [`ErrorKind::Local`] if the file cannot be deleted.
pub async fn delete_unowned(ledger: &dyn Ledger, file: &SpooledFile) -> Result<bool> {
    let nonce = &*file.nonce;
    // The claims are held until the file is deleted.
    let mut claims = Vec::new();
    if nonce.len() == Nonce::LENGTH && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        // An earlier version claims the run by a shorter id.
        for run in [run_id(nonce), former_run_id(nonce)] {
            match ledger.claim(&run).await {
                Err(error) if error.kind() == ErrorKind::Conflict => return Ok(false),
                claim => claims.push(claim?),
            }
        }
        // The run may have been recorded since the file was found.
        if let Some(run) = recorded(ledger, nonce).await?
            && (run.answers_deleted_at.is_none() || !file.holds_content())
        {
            return Ok(false);
        }
    }
    file.delete()?;
    Ok(true)
}

/// Returns the run of a nonce; `None` if the text is not a nonce.
async fn recorded(ledger: &dyn Ledger, nonce: &str) -> Result<Option<RunRecord>> {
    let filter = RunFilter {
        nonce: Nonce::parse(nonce),
        ..RunFilter::default()
    };
    match filter.nonce {
        Some(_) => ledger.newest_run(filter).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::MemoryLedger;
    use crate::services::fixture::recorded_run;

    #[tokio::test]
    async fn only_files_of_no_run_are_strays() {
        let (folder, ledger) = (tempfile::tempdir().unwrap(), MemoryLedger::default());
        let run = recorded_run(None);
        ledger.begin(&run, &[]).await.unwrap();
        let path = |name: &str| folder.path().join(name);
        let lost = "lostlostlost";
        for name in [
            &*format!("{}.body-0", run.nonce.as_str()),
            "strayofadead.body-0",
            "note",
            &*format!("{lost}.posting-0"),
            &*format!("{lost}.body-0"),
        ] {
            fs::write(path(name), "12345").unwrap();
        }
        let sent = BTreeSet::from([lost.to_owned()]);
        let mut strays = unowned_files(&ledger, folder.path(), &sent).await.unwrap();
        strays.sort_by(|a, b| a.path.cmp(&b.path));
        let found: Vec<_> = strays.iter().map(|file| &*file.path).collect();
        assert_eq!(found, [path("note"), path("strayofadead.body-0")]);
        assert_eq!(strays[0].bytes, 5);
        for file in &strays {
            assert!(delete_unowned(&ledger, file).await.unwrap());
            assert!(!file.path.exists());
        }
        // The run was recorded after its file had been found.
        let files = files_of_run(folder.path(), &run).unwrap();
        assert!(!delete_unowned(&ledger, &files[0]).await.unwrap());
        delete_run(&ledger, &run, &files).await.unwrap();
        assert!(ledger.run(&run.id).await.unwrap().is_none());
        assert!(files_of_run(folder.path(), &run).unwrap().is_empty());
        assert!(path(&format!("{lost}.body-0")).exists());
    }

    #[tokio::test]
    async fn runs_that_have_not_ended_are_never_old_enough() {
        let ledger = MemoryLedger::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (id, finished, began) in [
            ("r-1", true, Some(10)),
            ("r-2", false, Some(10)),
            ("r-3", true, Some(30)),
            ("r-4", true, None),
        ] {
            let run = RunRecord {
                id: id.into(),
                finished,
                created_at: began.map(at),
                ..recorded_run(None)
            };
            ledger.begin(&run, &[]).await.unwrap();
        }
        let old = ended_before(&ledger, Some(at(20))).await.unwrap();
        let old: Vec<_> = old.iter().map(|run| &*run.id).collect();
        assert_eq!(old, ["r-1"]);
    }
}
