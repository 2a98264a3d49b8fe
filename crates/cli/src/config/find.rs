//! Places of `lmbatch.toml`.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lmbatch::durable::own_folders;

use crate::exit::Failure;

/// Name of the configuration file.
const NAME: &str = "lmbatch.toml";

/// Variable that names the file, in place of every other; empty to read none.
pub(super) const VARIABLE: &str = "LMBATCH_CONFIG";

/// Places of configuration files.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    /// Value of [`VARIABLE`].
    pub(super) named: Option<OsString>,
    /// Working directory of the process.
    pub(super) here: Option<PathBuf>,
    /// Folder of the user's configuration, of all programs.
    pub(super) own: Option<PathBuf>,
}

/// Origin of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The environment names the file.
    Named,
    /// The file is in the user's configuration folder.
    Own,
    /// The file was found from the working directory. It may have come with a cloned repository.
    Found,
}

impl Places {
    /// Returns the places of this process.
    pub(super) fn of_process() -> Self {
        let folder = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from);
            value.filter(|path| path.is_absolute())
        };
        let home = || Some(folder("HOME")?.join(".config"));
        Self {
            named: std::env::var_os(VARIABLE),
            here: std::env::current_dir().ok(),
            own: folder("XDG_CONFIG_HOME").or_else(home),
        }
    }

    /// Returns the files to read: the one that the environment names, or else the nearest one of the working directory
    /// and the folders above it, and the user's own.
    ///
    /// # Errors
    /// Usage, for a file that another user put into a folder of this user.
    pub(super) fn files(&self) -> Result<Vec<(PathBuf, Origin)>, Failure> {
        if let Some(named) = &self.named {
            let named = Some(named).filter(|named| !named.is_empty());
            let path = named.map(|named| std::path::absolute(named).unwrap_or(named.into()));
            return Ok(path.map(|path| (path, Origin::Named)).into_iter().collect());
        }
        let own = self.own.as_ref().map(|own| own.join("lmbatch").join(NAME));
        let own = own.filter(|path| is_there(path));
        let folders = self.here.as_deref().map(own_folders).unwrap_or_default();
        let mut found = folders.into_iter().map(|folder| folder.join(NAME));
        let found = found.find(|path| is_there(path));
        let found = found.filter(|path| !is_same(path, own.as_deref()));
        for path in found.iter().chain(&own) {
            check_form(path)?;
        }
        if let Some(path) = &found {
            check_owner(path)?;
        }
        let found = found.map(|path| (path, Origin::Found));
        let own = own.map(|path| (path, Origin::Own));
        Ok(found.into_iter().chain(own).collect())
    }
}

/// Returns whether two paths name one file.
fn is_same(path: &Path, other: Option<&Path>) -> bool {
    other.is_some_and(|other| fs::canonicalize(path).ok() == fs::canonicalize(other).ok())
}

/// Returns whether something has the name, also a link to nothing.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Refuses a folder, a pipe, a device or a link to nothing: a limit that such a file was meant to set would not hold.
fn check_form(path: &Path) -> Result<(), Failure> {
    match path.is_file() {
        true => Ok(()),
        false => Err(
            Failure::usage(format!("{} is not a file that can be read", path.display())).hint(
                format!(
                    "remove it, or name another with {VARIABLE}=FILE; an empty {VARIABLE} reads none"
                ),
            ),
        ),
    }
}

/// Refuses a file whose owner is not the owner of its folder, which is the user of this process.
fn check_owner(path: &Path) -> Result<(), Failure> {
    let owner = |path: &Path| fs::metadata(path).ok().map(|found| found.uid());
    let folder = path.parent().and_then(owner);
    match owner(path) == folder {
        true => Ok(()),
        false => Err(
            Failure::usage(format!("{} belongs to another user", path.display())).hint(format!(
                "{VARIABLE}=FILE names a file to read in its place; an empty {VARIABLE} reads none"
            )),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_and_the_users_own_are_read_unless_one_is_named() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        for folder in ["a/b/c", "own/lmbatch", "empty"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in [
            "a/lmbatch.toml",
            "a/b/lmbatch.toml",
            "own/lmbatch/lmbatch.toml",
        ] {
            fs::write(at(file), "").unwrap();
        }
        let (named, found, own) = (Origin::Named, Origin::Found, Origin::Own);
        for (name, here, config, files) in [
            (None, "a/b/c", None, &[("a/b/lmbatch.toml", found)][..]),
            (None, "a", None, &[("a/lmbatch.toml", found)]),
            (None, "empty", None, &[]),
            (
                None,
                "empty",
                Some("own"),
                &[("own/lmbatch/lmbatch.toml", own)],
            ),
            (
                None,
                "a",
                Some("own"),
                &[("a/lmbatch.toml", found), ("own/lmbatch/lmbatch.toml", own)],
            ),
            // In its own folder the user's file is found from the working directory as well.
            (
                None,
                "own/lmbatch",
                Some("own"),
                &[("own/lmbatch/lmbatch.toml", own)],
            ),
            (Some(""), "a", Some("own"), &[]),
            (
                Some("a/lmbatch.toml"),
                "a/b",
                Some("own"),
                &[("a/lmbatch.toml", named)],
            ),
            (Some("none"), "a", None, &[("none", named)]),
        ] {
            let places = Places {
                named: name.map(|name| match name {
                    "" => OsString::new(),
                    name => at(name).into(),
                }),
                here: Some(at(here)),
                own: config.map(at),
            };
            let wanted: Vec<_> = files
                .iter()
                .map(|(path, origin)| (at(path), *origin))
                .collect();
            assert_eq!(
                places.files().unwrap(),
                wanted,
                "{name:?} {here} {config:?}"
            );
        }
    }

    #[test]
    fn a_name_without_a_readable_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        for form in ["folder", "link"] {
            let here = root.path().join(form);
            fs::create_dir(&here).unwrap();
            let path = here.join(NAME);
            match form {
                "folder" => fs::create_dir(&path).unwrap(),
                _ => std::os::unix::fs::symlink("nowhere", &path).unwrap(),
            }
            let places = Places {
                here: Some(here),
                ..Places::default()
            };
            let failure = places.files().unwrap_err();
            assert!(failure.message.contains("is not a file"), "{form}");
        }
    }
}
