//! Claims on runs: a link for each run that a process advances, which names a file that the process keeps
//! locked.
//!
//! A process with claims keeps one file open and locked in `locks/`, named after its process id. The
//! operating system releases that lock when the process ends for any reason. A claim on a run is a symbolic
//! link `RUN.lock` whose target is the name of that file. Links need no open file, so that a process can hold
//! any number of claims; and a link appears together with its content, or not at all.
//!
//! A link whose file is not locked was left by a process that has ended. It is removed only by a process that
//! locks that file, so that exactly one of several processes takes over the run.
//!
//! Earlier versions lock a regular file `RUN.lock` for each run. This version respects such a lock; earlier
//! versions fail on a link in its place, because they follow none.

use std::collections::hash_map::RandomState;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lmbatch_core::{Error, ErrorKind, Result, RunClaim};

use crate::owner;

/// Attempts to claim a run while other processes claim and release it.
const ATTEMPTS: usize = 1_000;

/// Attempts to lock the file of another process. A process that takes over claims holds that lock for
/// microseconds; only the owner of the file holds it longer.
const PROBES: usize = 20;

/// Ending of the name of a process's locked file.
const PROCESS: &str = ".process";

/// Claims in one state folder.
#[derive(Debug, Clone)]
pub(crate) struct Locks {
    folder: PathBuf,
    /// Locked file of this ledger, while it has claims.
    process: Arc<Mutex<Weak<Process>>>,
}

/// File that is locked while claims name it.
#[derive(Debug)]
struct Process {
    name: String,
    path: PathBuf,
    /// Open file that holds the lock.
    _file: File,
}

/// Claim that this process holds.
#[derive(Debug)]
struct Held {
    link: PathBuf,
    process: Arc<Process>,
}

/// Process that holds the claim of a run, and advances the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunHolder {
    /// Id of the process in the operating system; `None` where it is not known.
    pub process: Option<u32>,
}

/// State of a claim that another process may hold.
enum Claim {
    Free,
    /// The claim is held, by the process of this id where it is known.
    Held(Option<u32>),
}

impl Locks {
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            folder: state.join("locks"),
            process: Arc::default(),
        }
    }

    /// Claims a run for this process.
    pub(crate) fn claim(&self, run: &str) -> Result<RunClaim> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if run.is_empty() || !run.bytes().all(plain) {
            let message = format!("{run:?} is not a valid run id");
            return Err(Error::new(ErrorKind::Local).with_message(message));
        }
        let link = self.folder.join(format!("{run}.lock"));
        let claimed = owner::folder(&self.folder).and_then(|()| self.take(&link));
        match claimed {
            Ok(Ok(held)) => Ok(RunClaim::new(run, Arc::new(held))),
            Ok(Err(process)) => Err(held(run, process)),
            Err(error) => {
                let message = format!("the run {run} cannot be claimed by {}", link.display());
                Err(Error::local(message, error))
            }
        }
    }

    /// Returns the holder of a run's claim; `None` where no process that lives holds it. Changes nothing.
    pub(crate) fn holder(&self, run: &str) -> Option<RunHolder> {
        let link = self.folder.join(format!("{run}.lock"));
        let (path, process) = match named(&link).ok()? {
            Named::Nothing => return None,
            Named::File => (link, None),
            Named::Process(process) => (self.folder.join(&process), process_id(&process)),
        };
        let file = File::open(path).ok()?;
        // A lock that is shared for an instant looks to a process that claims the run like the lock of another
        // process that probes: it tries again.
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(RunHolder { process }),
            _ => None,
        }
    }

    /// Creates the link, unless another process holds the claim. Returns the id of that process, where it is
    /// known, in the inner error.
    fn take(&self, link: &Path) -> io::Result<std::result::Result<Held, Option<u32>>> {
        for _ in 0..ATTEMPTS {
            if let Claim::Held(process) = self.clear(link)? {
                return Ok(Err(process));
            }
            let process = self.process()?;
            match create_link(&process.name, link) {
                Ok(()) => {
                    return Ok(Ok(Held {
                        link: link.to_owned(),
                        process,
                    }));
                }
                // Another process created the link first.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    /// Removes the claim of a process that has ended, and returns the state of the claim.
    fn clear(&self, link: &Path) -> io::Result<Claim> {
        match named(link)? {
            Named::Nothing => Ok(Claim::Free),
            Named::File => self.clear_file(link),
            Named::Process(process) => self.clear_link(link, &process),
        }
    }

    /// Removes a link that names the file of a process, unless that file is locked.
    fn clear_link(&self, link: &Path, process: &str) -> io::Result<Claim> {
        let path = self.folder.join(process);
        for _ in 0..PROBES {
            let mut options = File::options();
            // Created where it does not exist: a link is removed only by a process that locks the file it
            // names.
            options.read(true).write(true).create(true).truncate(false);
            let file = owner::private(&mut options).open(&path)?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path)? => {}
                Ok(()) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {
                    std::thread::yield_now();
                    continue;
                }
            }
            if matches!(named(link)?, Named::Process(now) if now == process) {
                allow_missing(fs::remove_file(link))?;
            }
            // Other claims may still name this file: it is created again to clear each of them.
            allow_missing(fs::remove_file(&path))?;
            return Ok(Claim::Free);
        }
        Ok(Claim::Held(process_id(process)))
    }

    /// Removes the lock file of an earlier version, unless it is locked.
    fn clear_file(&self, path: &Path) -> io::Result<Claim> {
        let mut options = File::options();
        let opened = owner::private(options.read(true).write(true)).open(path);
        let mut file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Claim::Free),
            opened => opened?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // The holder may not have written its process id yet.
                let _ = file.read_to_string(&mut text);
                return Ok(Claim::Held(text.trim().parse().ok()));
            }
        }
        // The file may have been deleted since it was opened. Another process may then have created and
        // locked a new file with that name.
        if is_at(&file, path)? {
            allow_missing(fs::remove_file(path))?;
        }
        Ok(Claim::Free)
    }

    /// Returns the locked file of this ledger, and creates it for the first claim.
    fn process(&self) -> io::Result<Arc<Process>> {
        let mut shared = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = shared.upgrade() {
            return Ok(process);
        }
        self.sweep();
        let process = Arc::new(Process::new(&self.folder)?);
        *shared = Arc::downgrade(&process);
        Ok(process)
    }

    /// Removes the files of processes that have ended. A file that cannot be removed does no harm.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            if !name.to_str().is_some_and(is_process) {
                continue;
            }
            let (path, mut options) = (entry.path(), File::options());
            let opened = owner::private(options.read(true).write(true)).open(&path);
            if let Ok(file) = opened
                && file.try_lock().is_ok()
                && is_at(&file, &path).unwrap_or(false)
            {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

impl Process {
    fn new(folder: &Path) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            // The operating system reuses process ids: a claim of an earlier process with this id must not
            // match.
            let random = RandomState::new().build_hasher().finish();
            let name = format!("{}-{random:016x}{PROCESS}", std::process::id());
            let (path, mut options) = (folder.join(&name), File::options());
            options.read(true).write(true).create_new(true);
            let file = match owner::private(&mut options).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            match file.try_lock() {
                // Another process may have taken the file for an abandoned one, and removed it.
                Ok(()) if is_at(&file, &path)? => {}
                Ok(()) | Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => {
                    let _ = fs::remove_file(&path);
                    return Err(error);
                }
            }
            return Ok(Self {
                name,
                path,
                _file: file,
            });
        }
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Deleted while it is locked: a process that has just opened it sees that it is gone.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // While the file of this process is locked, no other process removes links that name it.
        if matches!(named(&self.link), Ok(Named::Process(process)) if process == self.process.name)
        {
            let _ = fs::remove_file(&self.link);
        }
    }
}

/// Content of the place of a claim.
enum Named {
    Nothing,
    /// A regular file, which earlier versions lock.
    File,
    /// A link to the file of a process, by the name of that file.
    Process(String),
}

/// Returns the content of the place of a claim. A link to anything but the file of a process is an error, and
/// is not followed.
fn named(link: &Path) -> io::Result<Named> {
    let target = match fs::read_link(link) {
        Ok(target) => target,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Named::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(Named::File),
        Err(error) => return Err(error),
    };
    match target.to_str() {
        Some(name) if is_process(name) => Ok(Named::Process(name.to_owned())),
        _ => Err(io::Error::other(
            "it is a link that lmbatch did not create, and is not followed; delete it",
        )),
    }
}

/// Returns whether a name has the form of a process's file.
fn is_process(name: &str) -> bool {
    let parts = name
        .strip_suffix(PROCESS)
        .and_then(|name| name.split_once('-'));
    parts.is_some_and(|(id, random)| {
        !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_digit())
            && random.len() == 16
            && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Returns the process id in the name of a process's file.
fn process_id(name: &str) -> Option<u32> {
    name.split_once('-')?.0.parse().ok()
}

/// Returns the error for a run that another process, or another task of this process, advances.
fn held(run: &str, process: Option<u32>) -> Error {
    let holder = match process {
        Some(id) => format!("process {id}"),
        None => "another process".to_owned(),
    };
    Error::new(ErrorKind::Conflict).with_message(format!("the run {run} is advanced by {holder}"))
}

/// Treats a missing file as removed.
fn allow_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Creates the link of a claim. Fails where a file with that name exists.
#[cfg(unix)]
fn create_link(process: &str, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(process, link)
}

/// Fails, because claims need symbolic links.
#[cfg(not(unix))]
fn create_link(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Returns whether `path` still names the open file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns whether `path` exists. An open file cannot be replaced on systems other than Unix.
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
        // The claim is taken for the same ledger, and for another ledger of this process.
        for locks in [locks.clone(), Locks::new(folder.path())] {
            let error = locks.claim("r-1").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict);
            let named = format!("the run r-1 is advanced by process {}", std::process::id());
            assert!(error.to_string().contains(&named), "{error}");
        }
        // Another run of the same folder is free.
        let other = locks.claim("r-2").unwrap();
        drop(first);
        locks.claim("r-1").unwrap();
        drop(other);
        // Released claims leave no files behind.
        assert_eq!(fs::read_dir(&locks.folder).unwrap().count(), 0);
    }

    #[test]
    fn the_holder_of_a_claim_is_reported_without_a_claim() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Locks::new(folder.path()), Locks::new(folder.path()));
        assert_eq!(other.holder("r-1"), None);
        let claim = one.claim("r-1").unwrap();
        let process = Some(std::process::id());
        assert_eq!(other.holder("r-1"), Some(RunHolder { process }));
        assert_eq!(other.holder("r-2"), None);
        drop(claim);
        assert_eq!(other.holder("r-1"), None);
        assert!(other.claim("r-1").is_ok());
    }

    #[test]
    fn a_clone_of_a_claim_keeps_the_run_claimed() {
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
    fn a_claim_outlives_the_ledger_that_took_it() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        let claim = locks.claim("r-1").unwrap();
        drop(locks);
        let locks = Locks::new(folder.path());
        assert!(locks.claim("r-1").is_err());
        drop(claim);
        locks.claim("r-1").unwrap();
    }

    #[test]
    fn a_link_that_lmbatch_did_not_create_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let locks = Locks::new(folder.path());
        fs::create_dir(&locks.folder).unwrap();
        let new = folder.path().join("new");
        for target in [
            precious.clone(),
            new.clone(),
            "1.process".into(),
            "../1-0123456789abcdef.process".into(),
            "x-0123456789abcdef.process".into(),
        ] {
            let link = locks.folder.join("r-1.lock");
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let error = locks.claim("r-1").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Local, "{target:?}");
            fs::remove_file(link).unwrap();
        }
        // A link in place of a process's file is not followed either.
        let process = "1-0123456789abcdef.process";
        std::os::unix::fs::symlink(process, locks.folder.join("r-1.lock")).unwrap();
        std::os::unix::fs::symlink(&new, locks.folder.join(process)).unwrap();
        assert_eq!(locks.claim("r-1").unwrap_err().kind(), ErrorKind::Local);
        assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
        assert!(!new.exists());
    }

    #[test]
    fn a_run_id_that_is_a_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let locks = Locks::new(folder.path());
        for name in ["", "../r-1", "a/b", "a.b", "r 1"] {
            assert!(locks.claim(name).is_err(), "{name}");
        }
    }

    /// Increments a counter that is not atomic, so that a lost increment shows two holders of the claim.
    fn count_under_claim(claim: impl Fn(&Locks) -> Option<RunClaim> + Sync) {
        let folder = tempfile::tempdir().unwrap();
        let counter = folder.path().join("counter");
        fs::write(&counter, "0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let locks = Locks::new(folder.path());
                    let mut done = 0;
                    while done < 50 {
                        let Some(_held) = claim(&locks) else {
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

    #[test]
    fn a_claim_has_one_holder_at_a_time() {
        count_under_claim(|locks| locks.claim("r-1").ok());
    }

    #[test]
    fn an_abandoned_claim_is_taken_over_by_one_holder() {
        count_under_claim(|locks| {
            let claim = locks.claim("r-1").ok()?;
            // The state after a crash: the link exists, and its file is not locked.
            let dead = format!(
                "1-{:016x}{PROCESS}",
                RandomState::new().build_hasher().finish()
            );
            let link = locks.folder.join("r-1.lock");
            drop(claim);
            let _ = create_link(&dead, &link);
            locks.claim("r-1").ok()
        });
    }

    #[test]
    fn a_lock_file_of_an_earlier_version_is_replaced_by_one_holder() {
        count_under_claim(|locks| {
            let claim = locks.claim("r-1").ok()?;
            drop(claim);
            let mut options = File::options();
            options.write(true).create_new(true);
            let _ = owner::private(&mut options).open(locks.folder.join("r-1.lock"));
            locks.claim("r-1").ok()
        });
    }
}
