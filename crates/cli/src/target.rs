//! Output paths: the kind of file that a path names, and whether it may be written. Checked before anything is sent.

use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failure};
use crate::output_failure::{self, Step};
use crate::remote::{self, Address};
use crate::terminal;

/// Target of outcomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output of the process.
    Standard,
    /// A pipe, a FIFO or a character device: opened and written, never replaced.
    Stream(PathBuf),
    /// A regular file, or a free name. Symbolic links in the path are resolved.
    File {
        /// Path whose last component is not a symbolic link.
        path: PathBuf,
        /// True if a file of this name exists.
        exists: bool,
    },
    /// An object of a store.
    Remote(Address),
}

/// Paths that name standard output.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

impl Target {
    /// Returns the target that a path names.
    ///
    /// # Errors
    /// Usage, for a directory, a block device, a socket, a broken symbolic link, and a name in a folder that does not
    /// exist.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self::Standard);
        }
        if let Some(address) = remote::output(path)? {
            return Ok(Self::Remote(address));
        }
        let shown = path.display();
        let unusable =
            |error: io::Error| Failure::usage(format!("output {shown} cannot be used: {error}"));
        let found = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::free(path),
            found => found.map_err(unusable)?,
        };
        if !found.is_symlink() {
            return Self::existing(path, found.file_type(), path.to_path_buf());
        }
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let to = fs::read_link(path).unwrap_or_default();
                Err(Failure::usage(format!(
                    "output {shown} is a symbolic link to {}, which does not exist",
                    to.display()
                ))
                .hint("remove the link, or choose another path with -o"))
            }
            Err(error) => Err(unusable(error)),
            Ok(facts) => {
                // The target of a link in /proc may have no path of its own, so that a stream keeps the link's path.
                let resolved = match facts.is_file() {
                    true => fs::canonicalize(path).map_err(unusable)?,
                    false => path.to_path_buf(),
                };
                Self::existing(path, facts.file_type(), resolved)
            }
        }
    }

    fn existing(path: &Path, kind: FileType, resolved: PathBuf) -> Result<Self, Failure> {
        let refused = |what: &str| {
            Failure::usage(format!("output {} is {what}", path.display()))
                .hint("choose another path with -o")
        };
        if kind.is_file() {
            return Ok(Self::File {
                path: resolved,
                exists: true,
            });
        }
        if kind.is_fifo() || kind.is_char_device() {
            return Ok(Self::Stream(resolved));
        }
        Err(refused(if kind.is_dir() {
            "a directory"
        } else if kind.is_block_device() {
            "a block device"
        } else {
            "neither a file nor a pipe"
        }))
    }

    /// Returns the target of a name under which no file exists.
    fn free(path: &Path) -> Result<Self, Failure> {
        let ends_with_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if path.file_name().is_none() || ends_with_slash {
            return Err(Failure::usage(format!(
                "output {:?} does not name a file",
                path.display().to_string()
            )));
        }
        let folder = folder(path);
        if !folder.is_dir() {
            return Err(
                Failure::usage(format!("there is no folder {}", folder.display()))
                    .hint("create it, or choose another path with -o"),
            );
        }
        Ok(Self::File {
            path: path.to_path_buf(),
            exists: false,
        })
    }

    /// Tests whether the target can be written, without leaving anything behind, while a failure still costs nothing.
    pub(crate) fn probe(&self) -> Result<(), Failure> {
        let tried = match self {
            Self::Standard => Ok(()),
            Self::Remote(address) => return address.probe(),
            Self::File { path, .. } => temporary(folder(path)).map(drop),
            // Opening and closing a FIFO would end its reader.
            Self::Stream(path) => match fs::metadata(path) {
                Ok(facts) if facts.file_type().is_char_device() => {
                    File::options().write(true).open(path).map(drop)
                }
                other => other.map(drop),
            },
        };
        tried.map_err(|error| {
            let failure = output_failure::failure(Step::Write, &self.shown(), &error);
            Failure {
                exit: Exit::Usage,
                kind: "usage",
                ..failure
            }
        })
    }

    /// Keeps everything but outcomes off standard output, if that is the target.
    pub(crate) fn keep_stdout(&self) {
        if *self == Self::Standard {
            terminal::keep_stdout_for_outcomes();
        }
    }

    /// Returns the path for messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Standard => "-".to_owned(),
            Self::Stream(path) | Self::File { path, .. } => path.display().to_string(),
            Self::Remote(address) => address.as_str().to_owned(),
        }
    }

    /// Returns the metadata of the file behind the target, if it exists.
    fn facts(&self) -> Option<Metadata> {
        match self {
            Self::Standard => standard(io::stdout()),
            Self::Remote(_) => None,
            Self::Stream(path) | Self::File { path, .. } => fs::metadata(path).ok(),
        }
    }
}

/// Reports whether a path names standard output.
pub(crate) fn is_standard(path: &Path) -> bool {
    STANDARD.iter().any(|standard| path == Path::new(standard))
}

/// Returns the target that a path names, and refuses to replace a file without `force`.
pub(crate) fn check(path: &Path, force: bool) -> Result<Target, Failure> {
    let target = Target::of(path)?;
    match &target {
        Target::File { exists: true, .. } if !force => Err(exists(path)),
        Target::Remote(address) if !force && address.stored()?.is_some() => Err(exists(path)),
        _ => target.probe().map(|()| target),
    }
}

/// Returns the failure for an output file that exists.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::usage(format!("output file {} already exists", path.display()))
        .hint("choose another path with -o, or overwrite it with --force")
}

/// Refuses an output that is one of the files that the command reads, even under another name.
pub(crate) fn distinct(target: &Target, read: &[(&str, &Path)]) -> Result<(), Failure> {
    distinct_as(target, "output", "-o", read)
}

/// Refuses a target as [`distinct`] does; the failure names its role and its flag.
pub(crate) fn distinct_as(
    target: &Target,
    role: &str,
    flag: &str,
    read: &[(&str, &Path)],
) -> Result<(), Failure> {
    let same = |what: &str, path: &Path| {
        Failure::usage(format!(
            "the {role} is the same file as {what} {}",
            path.display()
        ))
        .hint(format!("choose another path with {flag}"))
    };
    if let Target::Remote(address) = target {
        let is_same = |path: &Path| remote::input(path).ok().flatten().as_ref() == Some(address);
        let found = read.iter().find(|(_, path)| is_same(path));
        return found.map_or(Ok(()), |(what, path)| Err(same(what, path)));
    }
    let Some(output) = target.facts() else {
        return Ok(());
    };
    // Reading and writing the same terminal or /dev/null is harmless.
    if !output.is_file() && !output.file_type().is_fifo() {
        return Ok(());
    }
    for (what, path) in read {
        let facts = match path.to_str() {
            Some("-") => standard(io::stdin()),
            _ => fs::metadata(path).ok(),
        };
        let is_same = |facts: Metadata| (facts.dev(), facts.ino()) == (output.dev(), output.ino());
        if facts.is_some_and(is_same) {
            return Err(same(what, path));
        }
    }
    Ok(())
}

/// Returns the metadata of a standard stream.
fn standard(stream: impl AsFd) -> Option<Metadata> {
    let owned = stream.as_fd().try_clone_to_owned().ok()?;
    File::from(owned).metadata().ok()
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Creates a temporary file, which later gets its name.
pub(crate) fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(".lmbatch-")
        .suffix(".tmp")
        .tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_path_is_refused_unless_it_is_a_file_a_free_name_or_a_stream() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x").unwrap();
        fs::create_dir(at("dir")).unwrap();
        symlink("file", at("link")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("dir", at("dir-link")).unwrap();
        symlink("/dev/null", at("null-link")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        let file = |name: &str, exists| Target::File {
            path: fs::canonicalize(folder.path()).unwrap().join(name),
            exists,
        };
        let canonical = fs::canonicalize(folder.path()).unwrap();
        for (name, wanted) in [
            ("file", Ok(file("file", true))),
            ("link", Ok(file("file", true))),
            ("free", Ok(file("free", false))),
            ("null-link", Ok(Target::Stream(canonical.join("null-link")))),
            ("dir", Err("is a directory")),
            ("dir-link", Err("is a directory")),
            (
                "dangling",
                Err("is a symbolic link to gone, which does not exist"),
            ),
            ("loop", Err("cannot be used")),
            ("socket", Err("neither a file nor a pipe")),
            ("free/", Err("does not name a file")),
            ("file/", Err("cannot be used")),
            ("no/free", Err("there is no folder")),
        ] {
            let found = Target::of(&canonical.join(name));
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found, wanted, "{name}"),
                (Err(found), Err(wanted)) => {
                    assert!(found.message.contains(wanted), "{name}: {}", found.message);
                }
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
        for (path, wanted) in [
            ("-", Target::Standard),
            ("/dev/stdout", Target::Standard),
            ("/dev/null", Target::Stream("/dev/null".into())),
        ] {
            assert_eq!(Target::of(Path::new(path)).unwrap(), wanted);
        }
        assert!(Target::of(Path::new("")).is_err());
    }

    #[test]
    fn an_output_is_never_a_file_that_is_read_even_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("in"), "x").unwrap();
        fs::hard_link(at("in"), at("hard")).unwrap();
        symlink("in", at("soft")).unwrap();
        fs::write(at("other"), "x").unwrap();
        let (gone, input) = (at("gone"), at("in"));
        for (output, is_same) in [
            ("in", true),
            ("hard", true),
            ("soft", true),
            ("other", false),
        ] {
            let target = Target::of(&at(output)).unwrap();
            let read = [
                ("the schema", gone.as_path()),
                ("the input", input.as_path()),
            ];
            assert_eq!(distinct(&target, &read).is_err(), is_same, "{output}");
        }
    }
}
