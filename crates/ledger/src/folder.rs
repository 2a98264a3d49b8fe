//! State folders: how they are found, opened and checked, and the files in them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};
use lmbatch_core::{Error, ErrorKind, Result};

use crate::live::LiveFolder;
use crate::lock::{Locks, RunHolder};
use crate::{SqliteLedger, owner};

/// Name of a state folder that is found from the working directory.
const NAME: &str = ".lmbatch";

/// Name of the file that marks a state folder as created on purpose.
const MARKER: &str = "state";

/// State folder: the record of runs (`ledger.db`), the claims of processes (`locks/`), the bytes of runs
/// (`spool/`) and their live counts (`live/`). Only its user can read it.
///
/// Any number of processes may use a folder at the same time. A run is advanced by the process that claims
/// it. The claim lasts as long as the run is advanced, and does not depend on this value.
#[derive(Debug, Clone)]
pub struct StateFolder {
    folder: PathBuf,
    tightened: bool,
    /// `true` where the folder was opened to begin runs in it.
    writes: bool,
}

/// State folder that was found from the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundFolder {
    /// Path of the folder.
    pub path: PathBuf,
    /// `true` where the folder was created by [`StateFolder::init`]. A folder without that mark contains a
    /// record of an earlier version.
    pub marked: bool,
}

impl StateFolder {
    /// Opens a folder for writing, and creates it where it does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the folder cannot be created, belongs to another user, is writable by other
    /// users, or is on a network file system.
    pub fn write(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let creating = |error| {
            Error::local(
                format!(
                    "the state folder {} cannot be created (give another path, or move away what stands there)",
                    folder.display()
                ),
                error,
            )
        };
        owner::folder(&folder).map_err(creating)?;
        let tightened = owner::secure(&folder)?;
        owner::folder(&folder.join("spool")).map_err(creating)?;
        // The folder contains prompts and answers: committing it by mistake would publish them.
        write_new(&folder.join(".gitignore"), "*\n").map_err(creating)?;
        if let Some(kind) = network(&folder) {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the state folder {} is on a network file system ({kind}), whose locks and writes are not reliable enough to prevent double payment; use a folder on a local disk",
                folder.display()
            )));
        }
        Ok(Self {
            folder,
            tightened,
            writes: true,
        })
    }

    /// Opens an existing folder for reading its record.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the folder does not exist, belongs to another user, or is writable by other
    /// users.
    pub fn read(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let tightened = owner::secure(&folder)?;
        Ok(Self {
            folder,
            tightened,
            writes: false,
        })
    }

    /// Creates a state folder named `.lmbatch` in `parent`, and marks it so that [`find`](Self::find) finds
    /// it from `parent` and the folders below. An existing folder is marked, and keeps its record.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub fn init(parent: &Path) -> Result<Self> {
        let state = Self::write(parent.join(NAME))?;
        let marker = state.folder.join(MARKER);
        write_new(&marker, "1\n").map_err(|error| {
            let message = format!("the file {} cannot be written", marker.display());
            Error::local(message, error)
        })?;
        Ok(state)
    }

    /// Finds the nearest `.lmbatch` in `from` and the folders above it that was created by
    /// [`init`](Self::init) or contains a record of an earlier version. The search stops at a folder of
    /// another user and at the boundary of a file system. Opening the folder may still fail, for the reasons
    /// listed at [`write`](Self::write).
    pub fn find(from: &Path) -> Option<FoundFolder> {
        for folder in own_folders(from) {
            let path = folder.join(NAME);
            let is = |path: &Path, kind: fn(&fs::FileType) -> bool| {
                fs::symlink_metadata(path).is_ok_and(|found| kind(&found.file_type()))
            };
            if !is(&path, fs::FileType::is_dir) {
                continue;
            }
            let marked = is(&path.join(MARKER), fs::FileType::is_file);
            if marked || is(&path.join(LEDGER), fs::FileType::is_file) {
                return Some(FoundFolder { path, marked });
            }
        }
        None
    }

    /// Returns the path of the user's state folder: `$XDG_STATE_HOME/lmbatch` or `~/.local/state/lmbatch`; on
    /// macOS `~/Library/Application Support/lmbatch`; on Windows `lmbatch` in the local application data.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the user has no home folder.
    pub fn default_path() -> Result<PathBuf> {
        let folders = choose_native_strategy().map_err(|error| {
            Error::new(ErrorKind::Local)
                .with_message(
                    "the user has no home folder for the record of runs; give the path of a state folder",
                )
                .with_source(error)
        })?;
        let parent = match folders.state_dir() {
            Some(state) => state,
            None if cfg!(windows) => folders.cache_dir(),
            None => folders.data_dir(),
        };
        Ok(parent.join("lmbatch"))
    }

    /// Returns the path of the state folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the folder with the bytes of runs.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Returns the files with the live counts of runs.
    pub fn live(&self) -> LiveFolder {
        LiveFolder::new(&self.folder)
    }

    /// Returns the process that advances a run; `None` where no process does. The claim is neither taken nor
    /// waited for.
    pub fn holder(&self, run: &str) -> Option<RunHolder> {
        Locks::new(&self.folder).holder(run)
    }

    /// Returns whether other users could read the folder before it was opened.
    pub fn was_readable(&self) -> bool {
        self.tightened
    }

    /// Opens the record, and creates it in a new folder. A folder that was opened for reading may be read-only.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the record cannot be read, is damaged, was written by a newer lmbatch, or
    /// is missing although the folder contains bytes of runs. For a folder opened for writing, also where the
    /// record does not contain a run for which a create was sent.
    pub async fn ledger(&self) -> Result<SqliteLedger> {
        let path = self.folder.join(LEDGER);
        let is_there = fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        if !is_there && self.holds_runs()? {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "{} is missing or empty, but the spool folder next to it contains requests of runs, so it is not known which batches were created and paid for; restore the state folder from a backup, or move it away and adopt the batches that the provider lists",
                path.display()
            )));
        }
        if !self.writes && is_read_only(&path) {
            return SqliteLedger::open_read_only(&path).await;
        }
        let ledger = SqliteLedger::open(&path).await?;
        if self.writes {
            self.check_creates(&ledger).await?;
        }
        Ok(ledger)
    }

    /// Checks the record against the files next to it. A record that was replaced by an older one lacks the
    /// runs that began later, and their requests would be sent and paid for again.
    async fn check_creates(&self, ledger: &SqliteLedger) -> Result<()> {
        let marked = runs_with_creates(&self.spool())?;
        if marked.is_empty() {
            return Ok(());
        }
        let Some(unknown) = ledger.first_unknown(&marked).await? else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Local).with_message(format!(
            "the record in {} does not contain a run whose batches were created (label lmbatch-{unknown}-0): the record is older than the files next to it; restore the newer record, or rebuild the run from that label and its input; to abandon the run, delete the files whose names begin with {unknown} in {}",
            self.folder.display(),
            self.spool().display()
        )))
    }

    /// Opens the record, and creates it where it is missing, without regard to the other content of the
    /// folder. For a record that is being rebuilt.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the record cannot be read, is damaged, or was written by a newer lmbatch.
    pub async fn rebuilt_ledger(&self) -> Result<SqliteLedger> {
        SqliteLedger::open(&self.folder.join(LEDGER)).await
    }

    fn holds_runs(&self) -> Result<bool> {
        match fs::read_dir(self.spool()) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(unreadable(&self.spool())(error)),
        }
    }
}

const LEDGER: &str = "ledger.db";

/// Returns whether the system refuses to write an existing file.
fn is_read_only(path: &Path) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let opened = fs::OpenOptions::new().append(true).open(path);
    opened.is_err_and(|error| matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem))
}

/// Returns `from` and the folders above it, nearest first, up to the first that belongs to another user or is on
/// another file system. Settings that are found in these folders were put there by the user of this process, or with
/// the user's permission.
///
/// ```
/// # mod lmbatch { pub use lmbatch_ledger as durable; }
/// use lmbatch::durable::own_folders;
///
/// let here = std::env::current_dir()?;
/// assert!(own_folders(&here).iter().all(|folder| here.starts_with(folder)));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn own_folders(from: &Path) -> Vec<PathBuf> {
    let Some((_, device)) = owner::place(from) else {
        return Vec::new();
    };
    let folders = from.ancestors();
    let own = folders.take_while(|folder| owner::place(folder) == Some((true, device)));
    own.map(Path::to_path_buf).collect()
}

/// Returns the nonces of the runs for which a create was sent, as marked by files in a spool folder. Labels
/// of a run are `lmbatch-<nonce>-<shard number>`.
///
/// # Errors
/// [`ErrorKind::Local`] where the folder cannot be read.
pub fn runs_with_creates(spool: &Path) -> Result<BTreeSet<String>> {
    let failed = unreadable(spool);
    let mut marked = BTreeSet::new();
    let entries = match fs::read_dir(spool) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(marked),
        entries => entries.map_err(&failed)?,
    };
    for entry in entries {
        let name = entry.map_err(&failed)?.file_name();
        let name = name.to_string_lossy();
        if let Some((nonce, what)) = name.split_once('.')
            && (what.starts_with("posting-") || what.starts_with("created-"))
        {
            marked.insert(nonce.to_owned());
        }
    }
    Ok(marked)
}

/// Returns a function that makes the error for a folder that cannot be read.
fn unreadable(folder: &Path) -> impl Fn(std::io::Error) -> Error {
    let message = format!(
        "{} cannot be read (it must be a folder of this user)",
        folder.display()
    );
    move |error| Error::local(message.as_str(), error)
}

/// Writes a file, unless it exists.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    match owner::private(&mut options).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the name of the network file system on which the folder is; `None` for a local one. Some hosts may
/// not see a lock on such a file system, so that two of them could pay for one batch.
fn network(folder: &Path) -> Option<&'static str> {
    #[cfg(target_os = "linux")]
    {
        let found = nix::sys::statfs::statfs(folder).ok()?.filesystem_type().0;
        network_kind(found as u32)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        None
    }
}

/// Returns the name of a network file system by the kernel's number for it (`linux/magic.h`, and the headers
/// of the file systems).
#[cfg(target_os = "linux")]
fn network_kind(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x5346_414F => "AFS",
        0x7375_7245 => "Coda",
        0x00C3_6400 => "Ceph",
        0x0102_1997 => "9P",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn network_file_systems_are_recognised_by_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0xFE53_4D42), Some("SMB2"));
        // ext4, tmpfs, btrfs, overlay
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x794C_7630] {
            assert_eq!(network_kind(local), None);
        }
        assert_eq!(network(&std::env::temp_dir()), None);
    }
}
