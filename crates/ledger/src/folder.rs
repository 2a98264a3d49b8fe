//! The folder that holds the record: who may write to it, and where things lie.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use lmbatch_core::{Error, ErrorKind, Result};

use crate::SqliteLedger;

/// A folder of runs: `ledger.db`, `lock`, and `spool/`. Only this user can look into it.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    _lock: Option<File>,
}

impl StateFolder {
    /// Opens the folder to write, and makes it where it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be made, or another process writes to it; the error names that
    /// process.
    pub fn write(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        make(&folder).map_err(|e| Error::local("making the state folder", e))?;
        if let Some(kind) = network(&folder) {
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the state folder {} lies on a network file system ({kind}), whose locks and syncs cannot be trusted with what is paid for; name one on a local disk",
                folder.display()
            )));
        }
        let lock = lock(&folder)?;
        Ok(Self {
            folder,
            _lock: Some(lock),
        })
    }

    /// Opens a folder that is there, to look at it only.
    pub fn read(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            _lock: None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Where the bytes of its runs lie.
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// Its record.
    ///
    /// # Errors
    /// [`ErrorKind::Local`] where it cannot be read, or was written by a newer lmbatch.
    pub async fn ledger(&self) -> Result<SqliteLedger> {
        SqliteLedger::open(&self.folder.join("ledger.db")).await
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder.join("spool"))?;
    // Prompts and answers lie here: a folder that is committed by mistake would publish them.
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        fs::write(ignore, "*\n")?;
    }
    Ok(())
}

/// The name of the network file system that the folder lies on, if it does: SQLite's write-ahead log needs
/// memory that all its users share, and a lock that some of them do not see lets two pay for one batch.
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

/// The one writer. The lock goes with the process, however it ends.
fn lock(folder: &Path) -> Result<File> {
    let failed = |e| Error::local("locking the state folder", e);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(folder.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps; that there is someone is enough.
            let _ = file.read_to_string(&mut holder);
            return Err(Error::new(ErrorKind::Local).with_message(format!(
                "the state folder {} is in use by process {}; wait for it, or name another folder",
                folder.display(),
                holder.trim()
            )));
        }
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    writeln!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_writer_and_whoever_comes_second_is_told_who() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let first = StateFolder::write(&path).unwrap();
        let error = StateFolder::write(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Local);
        let me = format!("in use by process {}", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        drop(first);
        StateFolder::write(&path).unwrap();
    }

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

    #[cfg(unix)]
    #[test]
    fn only_this_user_can_look_into_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::write(folder.path().join("state")).unwrap();
        for folder in [state.path().to_path_buf(), state.spool()] {
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let lock = fs::metadata(state.path().join("lock")).unwrap();
        assert_eq!(lock.permissions().mode() & 0o777, 0o600);
    }
}
