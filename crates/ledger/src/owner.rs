//! Ownership of state folders: a folder belongs to the user of the process, and only that user may write to
//! it.
//!
//! The record in a folder decides what is paid for and where outcomes are written. The record of another user
//! is therefore never used (compare git's `safe.directory`).

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use lmbatch_core::{Error, ErrorKind, Result};

/// Files in a state folder that must be regular files and not links.
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

/// Opens a file for this user alone, without following a symbolic link at the end of the path.
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

/// Creates a folder that only this user can read, and the folders above it, where they do not exist.
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

/// Makes sure that only this user has access to a state folder. Returns whether its mode was changed because
/// other users could read it.
///
/// # Errors
/// [`ErrorKind::Local`] where another user owns the folder or something in it, or may write to it, or where
/// one of its files is a link.
pub(crate) fn secure(folder: &Path) -> Result<bool> {
    let tightened = restrict(folder)?;
    for (names, is_folder) in [(&FILES[..], false), (&FOLDERS[..], true)] {
        for name in names {
            check_entry(&folder.join(name), is_folder)?;
        }
    }
    Ok(tightened)
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::Local).with_message(message)
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> Error {
    let message = format!("{} of the state folder cannot be read", path.display());
    move |error| Error::local(message.as_str(), error)
}

#[cfg(unix)]
fn restrict(folder: &Path) -> Result<bool> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let found = fs::metadata(folder).map_err(unreadable(folder))?;
    if !found.is_dir() {
        return Err(refused(format!(
            "the state folder {} is not a folder",
            folder.display()
        )));
    }
    check_owner(folder, found.uid(), "the state folder")?;
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
    // The folder contains prompts and answers.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(|error| {
        let message = format!(
            "other users can read the state folder {path}, and that cannot be changed; run: chmod 700 {path}",
            path = folder.display()
        );
        Error::local(message, error)
    })?;
    Ok(true)
}

/// Returns an error for a file or folder that another user owns. It applies to root as well: root must not
/// act on the record of another user.
#[cfg(unix)]
fn check_owner(path: &Path, owner: u32, what: &str) -> Result<()> {
    let user = nix::unistd::geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    Err(refused(format!(
        "{what} {} belongs to user {owner}, but this process runs as user {user}, and the record of another user is not used; give a state folder of this user, or run as its owner",
        path.display()
    )))
}

#[cfg(unix)]
fn check_entry(path: &Path, is_folder: bool) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(path)(error)),
    };
    if found.is_dir() != is_folder || !(found.is_dir() || found.is_file()) {
        let kind = if is_folder { "folder" } else { "file" };
        return Err(refused(format!(
            "{} is a link or something else that is not a {kind}: it is not followed; remove it, or give another state folder",
            path.display()
        )));
    }
    check_owner(path, found.uid(), "in the state folder,")
}

#[cfg(not(unix))]
fn restrict(folder: &Path) -> Result<bool> {
    fs::metadata(folder)
        .map_err(unreadable(folder))
        .map(|_| false)
}

#[cfg(not(unix))]
fn check_entry(_: &Path, _: bool) -> Result<()> {
    Ok(())
}

/// Returns whether this user owns a folder, and the device of the folder.
#[cfg(unix)]
pub(crate) fn place(folder: &Path) -> Option<(bool, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::metadata(folder).ok()?;
    let is_owner = found.uid() == nix::unistd::geteuid().as_raw();
    Some((is_owner, found.dev()))
}

/// Returns placeholders, because the system has neither owners nor devices in this form.
#[cfg(not(unix))]
pub(crate) fn place(folder: &Path) -> Option<(bool, u64)> {
    fs::metadata(folder).ok().map(|_| (true, 0))
}
