//! Ownership: a state folder belongs to the user of the process, and only that user may write to it.
//!
//! The record in a folder decides what is paid for and where outcomes are written, so the record of
//! another user is never used (as with git's `safe.directory`).

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use lmbatch_core::{Error, ErrorKind, Result};

/// Files and folders in a state folder that must be what they are called, and no links.
const FILES: [&str; 7] = [
    ".gitignore",
    "lock",
    "state",
    "ledger.db",
    "ledger.db-journal",
    "ledger.db-wal",
    "ledger.db-shm",
];
const FOLDERS: [&str; 2] = ["spool", "locks"];

/// Opens for this user alone, and follows no symbolic link at the end of the path.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options
            .mode(0o600)
            .custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    }
    options
}

/// Makes a folder that only this user can look into, with those above it, where it is missing.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Makes sure that a state folder is this user's alone. Returns whether its mode had to be tightened: other
/// users could read it until now.
///
/// # Errors
/// [`ErrorKind::Local`] where another user owns it or something in it, may write to it, or a link stands in
/// place of one of its files.
pub(crate) fn secure(folder: &Path) -> Result<bool> {
    let tightened = this_users(folder)?;
    for (names, is_folder) in [(&FILES[..], false), (&FOLDERS[..], true)] {
        for name in names {
            inside(&folder.join(name), is_folder)?;
        }
    }
    Ok(tightened)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Local).with_message(message)
}

fn looking(path: &Path) -> impl Fn(io::Error) -> Error {
    let doing = format!("looking at {} of the state folder", path.display());
    move |error| Error::local(doing.as_str(), error)
}

#[cfg(unix)]
fn this_users(folder: &Path) -> Result<bool> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let found = fs::metadata(folder).map_err(looking(folder))?;
    if !found.is_dir() {
        return Err(refused(format!(
            "the state folder {} is not a folder",
            folder.display()
        )));
    }
    foreign(folder, found.uid(), "the state folder")?;
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        return Err(refused(format!(
            "the state folder {path} is writable by other users (mode {mode:o}), who may have changed its record; if you trust what is in it, run: chmod 700 {path}",
            path = folder.display()
        )));
    }
    if mode & 0o055 == 0 {
        return Ok(false);
    }
    // Prompts and answers lie in it.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| {
        let doing = format!("making the state folder {} private", folder.display());
        Error::local(doing, error)
    })?;
    Ok(true)
}

/// The error of something that another user owns. It holds for root as well: what root would run on the word
/// of another user's record is that user's doing.
#[cfg(unix)]
fn foreign(path: &Path, owner: u32, what: &str) -> Result<()> {
    let user = nix::unistd::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    Err(refused(format!(
        "{what} {} belongs to user {owner}, and this process runs as user {user}: the record of another user is not used; name a state folder of this user, or run as its owner",
        path.display()
    )))
}

#[cfg(unix)]
fn inside(path: &Path, is_folder: bool) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(looking(path)(error)),
    };
    if found.is_dir() != is_folder || !(found.is_dir() || found.is_file()) {
        let kind = if is_folder { "folder" } else { "file" };
        return Err(refused(format!(
            "{} is a link or something else that is not a {kind}: it is not followed; remove it, or name another state folder",
            path.display()
        )));
    }
    foreign(path, found.uid(), "in the state folder,")
}

#[cfg(not(unix))]
fn this_users(folder: &Path) -> Result<bool> {
    fs::metadata(folder).map_err(looking(folder)).map(|_| false)
}

#[cfg(not(unix))]
fn inside(_: &Path, _: bool) -> Result<()> {
    Ok(())
}

/// Owner and device of a folder, where the system has them.
#[cfg(unix)]
pub(crate) fn place(folder: &Path) -> Option<(bool, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(folder).ok()?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw();
    Some((ours, found.dev()))
}

/// Owner and device of a folder, where the system has them.
#[cfg(not(unix))]
pub(crate) fn place(folder: &Path) -> Option<(bool, u64)> {
    fs::metadata(folder).ok().map(|_| (true, 0))
}
