//! Files that requests name by a path: which files may be opened, and how.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Opens a regular file. With a `folder` the path starts there, and the file, after symbolic links
/// are resolved, must be inside of the folder and have no hidden part in its path (a name that
/// begins with a dot).
///
/// # Errors
/// Fragments of a sentence about the path, such as "is not a regular file".
pub(crate) fn open(path: &Path, folder: Option<&Path>) -> io::Result<File> {
    let unreadable = |error: io::Error| io::Error::other(format!("cannot be read: {error}"));
    let file = match folder {
        None => options().open(path).map_err(unreadable)?,
        Some(folder) => {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            let root = fs::canonicalize(folder).map_err(unreadable)?;
            let within = within(&root, path)?;
            beneath(&root, &within).map_err(unreadable)?
        }
    };
    let facts = file.metadata().map_err(unreadable)?;
    if !facts.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    if folder.is_some() && is_virtual(&file) {
        return Err(io::Error::other("is not a file on a disk"));
    }
    Ok(file)
}

/// Returns the parts of a path below the folder, after symbolic links are resolved.
fn within(root: &Path, path: &Path) -> io::Result<Vec<OsString>> {
    let outside = || {
        io::Error::other(format!(
            "is outside of {}, the folder of attachments; only files in it are sent",
            root.display()
        ))
    };
    // A path whose parts lead out of the folder is refused whether or not the file exists.
    if leaves(root, path) {
        return Err(outside());
    }
    let resolved = fs::canonicalize(root.join(path))
        .map_err(|error| io::Error::other(format!("cannot be read: {error}")))?;
    let below = resolved.strip_prefix(root).map_err(|_| outside())?;
    let mut parts = Vec::new();
    for part in below.components() {
        let Component::Normal(name) = part else {
            return Err(outside());
        };
        if name.as_encoded_bytes().starts_with(b".") {
            return Err(io::Error::other(format!(
                "is hidden ({} begins with a dot); hidden files are not sent",
                name.to_string_lossy()
            )));
        }
        parts.push(name.to_owned());
    }
    if parts.is_empty() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(parts)
}

/// Returns whether the parts of a path lead out of the folder, without looking at the disk.
fn leaves(root: &Path, path: &Path) -> bool {
    if path.is_absolute() {
        // An absolute path may lead into the folder under another name: resolving links decides.
        return false;
    }
    let mut at = PathBuf::from(root);
    for part in path.components() {
        match part {
            Component::ParentDir => {
                at.pop();
                if !at.starts_with(root) {
                    return true;
                }
            }
            Component::Normal(name) => at.push(name),
            _ => {}
        }
    }
    false
}

#[cfg(unix)]
fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    // Opening a pipe without a writer would block.
    options
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits());
    options
}

#[cfg(not(unix))]
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    options
}

/// Opens a file part by part without following any link, since a resolved part may have been
/// replaced by a link.
#[cfg(unix)]
fn beneath(root: &Path, parts: &[OsString]) -> io::Result<File> {
    use nix::fcntl::{OFlag, open, openat};
    use nix::sys::stat::Mode;
    let always = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut at = open(root, always | OFlag::O_DIRECTORY, Mode::empty())?;
    for (place, part) in parts.iter().enumerate() {
        let last = place + 1 == parts.len();
        let kind = if last {
            OFlag::empty()
        } else {
            OFlag::O_DIRECTORY
        };
        at = openat(&at, Path::new(part), always | kind, Mode::empty())?;
    }
    Ok(File::from(at))
}

#[cfg(not(unix))]
fn beneath(root: &Path, parts: &[OsString]) -> io::Result<File> {
    let mut path = root.to_path_buf();
    path.extend(parts);
    options().open(path)
}

/// Returns whether the system generates a file while it is read, such as the environment of a
/// process.
#[cfg(target_os = "linux")]
fn is_virtual(file: &File) -> bool {
    use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};
    let kind = fstatfs(file).map(|facts| facts.filesystem_type());
    kind.is_ok_and(|kind| [PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&kind))
}

#[cfg(not(target_os = "linux"))]
fn is_virtual(_: &File) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn read(path: &Path, folder: Option<&Path>) -> Result<String, String> {
        let mut text = String::new();
        let mut file = open(path, folder).map_err(|error| error.to_string())?;
        file.read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn only_regular_files_in_the_folder_are_opened() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path().join("in");
        fs::create_dir_all(root.join("sub/.git")).unwrap();
        let other = world.path().join("in-other");
        fs::create_dir(&other).unwrap();
        for (file, text) in [
            (root.join("a.txt"), "a"),
            (root.join("sub/b.txt"), "b"),
            (root.join("sub/.git/config"), "key"),
            (root.join(".env"), "key"),
            (other.join("c.txt"), "c"),
            (world.path().join("secret"), "key"),
        ] {
            fs::write(file, text).unwrap();
        }
        let inside = |path: &str| read(Path::new(path), Some(&root));
        let absolute = root.join("a.txt");
        let outside = "is outside of";
        for (path, expected) in [
            ("a.txt", Ok("a")),
            ("./sub/../a.txt", Ok("a")),
            ("sub/b.txt", Ok("b")),
            (absolute.to_str().unwrap(), Ok("a")),
            ("../secret", Err(outside)),
            ("../in/a.txt", Err(outside)),
            ("sub/../../secret", Err(outside)),
            ("../no-such-file", Err(outside)),
            ("/etc/passwd", Err(outside)),
            ("/proc/self/environ", Err(outside)),
            ("/dev/zero", Err(outside)),
            (other.join("c.txt").to_str().unwrap(), Err(outside)),
            ("no-such-file", Err("cannot be read")),
            ("sub", Err("is not a regular file")),
            (".", Err("is not a regular file")),
            ("", Err("is not a regular file")),
            (".env", Err("is hidden")),
            ("sub/.git/config", Err("is hidden")),
        ] {
            let found = inside(path);
            match expected {
                Ok(text) => assert_eq!(found.as_deref(), Ok(text), "{path}"),
                Err(words) => assert!(
                    found.clone().is_err_and(|why| why.contains(words)),
                    "{path}: {found:?}"
                ),
            }
        }
        // The paths of a program itself may lead anywhere.
        assert_eq!(
            read(&world.path().join("secret"), None).as_deref(),
            Ok("key")
        );
        assert!(read(&root, None).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_within_the_folder_only_and_pipes_do_not_block() {
        use std::os::unix::fs::symlink;
        let world = tempfile::tempdir().unwrap();
        let root = world.path().join("in");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(world.path().join("secret"), "key").unwrap();
        fs::write(root.join("a.txt"), "a").unwrap();
        symlink("../a.txt", root.join("sub/good")).unwrap();
        symlink("../secret", root.join("bad")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("/dev/zero", root.join("zero")).unwrap();
        symlink("/proc/self/environ", root.join("environ")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        nix::unistd::mkfifo(&root.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let linked = world.path().join("linked");
        symlink(&root, &linked).unwrap();
        // The folder itself may be reached by a link.
        for folder in [&root, &linked] {
            let inside = |path: &str| read(Path::new(path), Some(folder));
            assert_eq!(inside("a.txt").as_deref(), Ok("a"));
            assert_eq!(inside("sub/good").as_deref(), Ok("a"));
            for path in ["bad", "up/secret", "zero", "environ", "loop", "pipe"] {
                let found = inside(path);
                assert!(found.is_err(), "{path}: {found:?}");
            }
        }
        assert!(read(&root.join("pipe"), None).is_err());
        assert!(read(Path::new("/dev/zero"), None).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_replaces_a_resolved_part_is_not_followed() {
        use std::os::unix::fs::symlink;
        let world = tempfile::tempdir().unwrap();
        let root = world.path().join("in");
        fs::create_dir_all(root.join("sub")).unwrap();
        let secrets = world.path().join("secrets");
        fs::create_dir(&secrets).unwrap();
        fs::write(secrets.join("a"), "key").unwrap();
        fs::write(root.join("sub/a"), "a").unwrap();
        let root = fs::canonicalize(&root).unwrap();
        let parts = within(&root, Path::new("sub/a")).unwrap();
        assert!(beneath(&root, &parts).is_ok());
        fs::remove_file(root.join("sub/a")).unwrap();
        symlink(secrets.join("a"), root.join("sub/a")).unwrap();
        assert!(beneath(&root, &parts).is_err());
        fs::remove_dir_all(root.join("sub")).unwrap();
        symlink(&secrets, root.join("sub")).unwrap();
        assert!(beneath(&root, &parts).is_err());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn virtual_files_are_not_read_even_from_their_own_folder() {
        let found = read(Path::new("environ"), Some(Path::new("/proc/self")));
        assert!(found.is_err_and(|why| why.contains("not a file on a disk")));
    }
}
