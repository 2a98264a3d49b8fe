//! The folder that holds the record: where it is, and where the parts of it lie.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use etcetera::base_strategy::{BaseStrategy as _, choose_native_strategy};
use lmbatch_core::{Error, ErrorKind, Result};

use crate::{SqliteLedger, owner};

/// Name of a state folder that is found from the working directory.
const NAME: &str = ".lmbatch";

/// Name of the file that marks a state folder as made on purpose.
const MARKER: &str = "state";

/// A folder of runs: `ledger.db`, `locks/` and `spool/`. Only its user can look into it.
///
/// Any number of processes may use a folder at once: a run is advanced by the process that claims it, and the
/// claim lasts as long as the run is advanced, not as long as this value.
#[derive(Debug, Clone)]
pub struct StateFolder {
    folder: PathBuf,
    tightened: bool,
    /// Whether runs are begun in it.
    writes: bool,
}

/// A state folder that was found from the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFolder {
    /// Path of the folder.
    pub path: PathBuf,
    /// Whether it was made on purpose, by [`StateFolder::init`]. A folder without that mark holds a record of
    /// an earlier version.
    pub marked: bool,
}

impl StateFolder {
    /// Opens a folder to write to it, and makes it where it is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be made, belongs to another user, is writable by other users, or
    /// lies on a network file system.
    pub fn write(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let making = |error| {
            Error::local(
                format!("making the state folder {}", folder.display()),
                error,
            )
        };
        owner::folder(&folder).map_err(making)?;
        let tightened = owner::secure(&folder)?;
        owner::folder(&folder.join("spool")).map_err(making)?;
        // Prompts and answers lie in it: a folder that is committed by mistake would publish them.
        write_new(&folder.join(".gitignore"), "*\n").map_err(making)?;
        if let Some(kind) = network(&folder) {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the state folder {} lies on a network file system ({kind}), whose locks and syncs cannot be trusted with what is paid for; name one on a local disk",
                folder.display()
            )));
        }
        Ok(Self {
            folder,
            tightened,
            writes: true,
        })
    }

    /// Opens a folder that exists, to read its record.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it does not exist, belongs to another user, or is writable by other users.
    pub fn read(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        let tightened = owner::secure(&folder)?;
        Ok(Self {
            folder,
            tightened,
            writes: false,
        })
    }

    /// Makes a state folder named `.lmbatch` in `parent`, and marks it so that [`find`](Self::find) finds it
    /// from `parent` and the folders below. One that exists is marked, and keeps its record.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub fn init(parent: &Path) -> Result<Self> {
        let state = Self::write(parent.join(NAME))?;
        let marker = state.folder.join(MARKER);
        write_new(&marker, "1\n")
            .map_err(|error| Error::local("marking the state folder", error))?;
        Ok(state)
    }

    /// Finds the nearest `.lmbatch` in `from` and the folders above it that was made by
    /// [`init`](Self::init), or that holds a record of an earlier version. The search stops at a folder of
    /// another user and at the boundary of a file system. Opening the folder may still fail, for the reasons
    /// that [`write`](Self::write) gives.
    pub fn find(from: &Path) -> Option<FoundFolder> {
        let (_, device) = owner::place(from)?;
        for folder in from.ancestors() {
            if owner::place(folder) != Some((true, device)) {
                return None;
            }
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

    /// Returns the state folder of the user: `$XDG_STATE_HOME/lmbatch` or `~/.local/state/lmbatch`, on macOS
    /// `~/Library/Application Support/lmbatch`, on Windows `lmbatch` in the local application data.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where the user has no home folder.
    pub fn default_path() -> Result<PathBuf> {
        let folders = choose_native_strategy().map_err(|error| {
            Error::new(ErrorKind::Local)
                .with_message(
                    "the user has no home folder for the record of runs; name a state folder",
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

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Returns the folder that holds the bytes of its runs.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Returns whether other users could read the folder until it was opened now.
    pub fn was_readable(&self) -> bool {
        self.tightened
    }

    /// Opens the record, and makes it in a new folder.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be read, is damaged, was written by a newer lmbatch, or is missing
    /// although the folder holds bytes of runs; where it is opened to write, also where it knows nothing of
    /// a run of which a create was sent.
    pub async fn ledger(&self) -> Result<SqliteLedger> {
        let path = self.folder.join(LEDGER);
        let is_there = fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        if !is_there && self.holds_runs()? {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "{} is missing or empty, although the folder beside it holds the requests of runs: what they have created and paid for is not known any more; restore the state folder from a copy, or move it away and adopt the batches that the provider lists",
                path.display()
            )));
        }
        let ledger = SqliteLedger::open(&path).await?;
        if self.writes {
            self.knows_every_create(&ledger).await?;
        }
        Ok(ledger)
    }

    /// Compares the record with what lies beside it: a record that was replaced by an older one does not know
    /// the runs begun since, and would have their requests sent and paid for again.
    async fn knows_every_create(&self, ledger: &SqliteLedger) -> Result<()> {
        let marked = marked_runs(&self.spool())?;
        if marked.is_empty() {
            return Ok(());
        }
        let Some(unknown) = ledger.first_unknown(&marked).await? else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Local).with_message(format!(
            "the record in {} knows nothing of a run whose batches were created (label lmbatch-{unknown}-0): it is older than the files beside it. Restore the newer record, or rebuild the run from that label and its input; to give the run up, delete the files that begin with {unknown} in {}",
            self.folder.display(),
            self.spool().display()
        )))
    }

    /// Opens the record, and makes it where it is missing, whatever else the folder holds: for a record that
    /// is rebuilt.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be read, is damaged, or was written by a newer lmbatch.
    pub async fn rebuilt_ledger(&self) -> Result<SqliteLedger> {
        SqliteLedger::open(&self.folder.join(LEDGER)).await
    }

    fn holds_runs(&self) -> Result<bool> {
        match fs::read_dir(self.spool()) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(looking(&self.spool())(error)),
        }
    }
}

const LEDGER: &str = "ledger.db";

/// Returns what the labels of runs have in common of which a create was sent, by the marks in a spool folder.
///
/// # Errors
/// [`ErrorKind::Local`] where the folder cannot be read.
pub fn marked_runs(spool: &Path) -> Result<BTreeSet<String>> {
    let failed = looking(spool);
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

/// The error of a folder of the record that cannot be read.
fn looking(folder: &Path) -> impl Fn(std::io::Error) -> Error {
    let doing = format!(
        "looking at {}, which must be a folder of this user",
        folder.display()
    );
    move |error| Error::local(doing.as_str(), error)
}

/// Writes a file where there is none.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    match owner::private(&mut options).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The name of the network file system that the folder lies on, if it does: a lock that some of its users do
/// not see lets two pay for one batch.
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

/// By the kernel's numbers (`linux/magic.h` and the file systems' own headers).
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
    fn a_network_file_system_is_known_by_its_number() {
        assert_eq!(network_kind(0x6969), Some("NFS"));
        assert_eq!(network_kind(0xFE53_4D42), Some("SMB2"));
        // ext4, tmpfs, btrfs, overlay
        for local in [0xEF53, 0x0102_1994, 0x9123_683E, 0x794C_7630] {
            assert_eq!(network_kind(local), None);
        }
        assert_eq!(network(&std::env::temp_dir()), None);
    }
}
