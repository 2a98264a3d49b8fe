//! Locks: one file for each run, locked as long as a process advances the run.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmbatch_core::{Error, ErrorKind, Result, RunClaim};

use crate::owner;

/// Attempts to lock a file that other processes delete meanwhile.
const ATTEMPTS: usize = 1_000;

/// The lock files of a state folder.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    folder: PathBuf,
}

/// A lock that is held. The operating system releases it when the process ends, however that happens.
#[derive(Debug)]
struct Held {
    path: PathBuf,
    file: File,
}

impl Locks {
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            folder: state.join("locks"),
        }
    }

    /// Locks the file of `run`.
    pub(crate) fn claim(&self, run: &str) -> Result<RunClaim> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if run.is_empty() || !run.bytes().all(plain) {
            let message = format!("{run:?} is not the id of a run");
            return Err(Error::new(ErrorKind::Local).with_message(message));
        }
        let failed = |error| Error::local(format!("locking the run {run}"), error);
        owner::folder(&self.folder).map_err(failed)?;
        let path = self.folder.join(format!("{run}.lock"));
        for _ in 0..ATTEMPTS {
            let mut options = File::options();
            options.read(true).write(true).create(true).truncate(false);
            let file = owner::private(&mut options).open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => return Err(held(run, file)),
            }
            // The file may have been deleted by its last holder since it was opened: then another process may
            // have made, and locked, a new one of its name.
            if !is_at(&file, &path).map_err(failed)? {
                continue;
            }
            let mut held = Held { path, file };
            held.sign().map_err(failed)?;
            return Ok(RunClaim::new(run, Arc::new(held)));
        }
        Err(failed(io::ErrorKind::TimedOut.into()))
    }
}

impl Held {
    /// Writes the id of this process, for other processes to name it.
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Deleted while it is locked: a process that has opened it meanwhile sees that it is gone, and opens it
        // again.
        let _ = fs::remove_file(&self.path);
    }
}

/// Error of a run that another process, or another task of this one, advances.
fn held(run: &str, mut file: File) -> Error {
    let mut holder = String::new();
    // The holder may not have signed yet.
    let _ = file.read_to_string(&mut holder);
    let holder = match holder.trim() {
        pid if !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("process {pid}")
        }
        _ => "another process".to_owned(),
    };
    Error::new(ErrorKind::Conflict).with_message(format!("the run {run} is advanced by {holder}"))
}

/// Returns whether `path` still leads to the file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file that is open cannot be replaced on other systems.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    Ok(path.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_claimed_once_and_the_holder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        let first = locks.claim("r-1").unwrap();
        let error = locks.claim("r-1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let me = format!("the run r-1 is advanced by process {}", std::process::id());
        assert!(error.to_string().contains(&me), "{error}");
        // Another run of the same folder is free.
        let other = locks.claim("r-2").unwrap();
        drop(first);
        locks.claim("r-1").unwrap();
        drop(other);
        // Nothing is left of what was released.
        assert_eq!(fs::read_dir(&locks.folder).unwrap().count(), 0);
    }

    #[test]
    fn a_clone_of_a_claim_keeps_the_run_locked() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        let first = locks.claim("r-1").unwrap();
        let second = first.clone();
        drop(first);
        assert!(locks.claim("r-1").is_err());
        drop(second);
        locks.claim("r-1").unwrap();
    }

    #[test]
    fn a_lock_file_that_a_dead_process_left_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        fs::create_dir(&locks.folder).unwrap();
        fs::write(locks.folder.join("r-1.lock"), "1\n").unwrap();
        let claim = locks.claim("r-1").unwrap();
        let error = locks.claim("r-1").unwrap_err();
        assert!(error.to_string().contains(&std::process::id().to_string()));
        drop(claim);
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_in_place_of_a_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let locks = Locks::new(folder.path());
        fs::create_dir(&locks.folder).unwrap();
        for target in [precious.clone(), folder.path().join("new")] {
            let link = locks.folder.join("r-1.lock");
            std::os::unix::fs::symlink(&target, &link).unwrap();
            assert_eq!(locks.claim("r-1").unwrap_err().kind(), ErrorKind::Local);
            fs::remove_file(link).unwrap();
        }
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        for name in ["", "../r-1", "a/b", "a.b", "r 1"] {
            assert!(locks.claim(name).is_err(), "{name}");
        }
    }

    /// Many threads take and release one lock; a counter that is not atomic shows whether two ever hold it.
    #[test]
    fn two_never_hold_a_lock_that_is_deleted_on_release() {
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("counter");
        fs::write(&counter, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let locks = Locks::new(folder.path());
                    let mut done = 0;
                    while done < 50 {
                        let Ok(_held) = locks.claim("r-1") else {
                            std::thread::yield_now();
                            continue;
                        };
                        let count: u32 = fs::read_to_string(&counter).unwrap().parse().unwrap();
                        fs::write(&counter, (count + 1).to_string()).unwrap();
                        done += 1;
                    }
                });
            }
        });
        assert_eq!(fs::read_to_string(&counter).unwrap(), "200");
    }
}
