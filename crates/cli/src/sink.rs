//! Writing of output lines. A file appears under its name only when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::encoder::{BUFFER, Encoder, Packed, Packing};
use crate::output_format::Compression;
use crate::remote::Address;
use crate::target::{self, Target};
use crate::written::{self, Contents, Found, Written};

/// Files that an output may replace.
#[derive(Debug, Clone)]
pub(crate) enum Replace {
    /// No existing file.
    Never,
    /// Outputs of the run itself, as they were written.
    Own(Vec<Written>),
    /// Any existing file.
    Always,
}

/// Place of an output, decided before anything is sent.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) target: Target,
    pub(crate) replace: Replace,
    /// True if the output already exists as the run has written it: outcomes are only counted then.
    pub(crate) is_current: bool,
}

impl Place {
    /// Returns the place of a target. An existing file is replaced only with `force`.
    pub(crate) fn new(target: Target, force: bool) -> Self {
        let replace = if force {
            Replace::Always
        } else {
            Replace::Never
        };
        Self {
            target,
            replace,
            is_current: false,
        }
    }

    /// Opens the place for writing lines, or rows for Parquet.
    pub(crate) fn open(self, is_parquet: bool) -> io::Result<Sink> {
        let stream = |stream: BufWriter<Stream>| {
            let packing = Packing::of(Compression::None, is_parquet);
            Packed::new(stream, packing).map(|packed| Kind::Stream(Box::new(packed)))
        };
        let kind = match self.target {
            _ if self.is_current => Kind::Nowhere,
            Target::Standard => stream(BufWriter::new(Box::new(io::stdout())))?,
            Target::Stream(path) => {
                let file = File::options().write(true).open(path)?;
                stream(BufWriter::with_capacity(BUFFER, Box::new(file)))?
            }
            Target::File { path, .. } => {
                let file = target::temporary(target::folder(&path))?;
                let packing = Packing::of(Compression::of(&path), is_parquet);
                Kind::File {
                    writer: Box::new(Encoder::new(file, packing)?),
                    place: Named::File(path),
                    replace: self.replace,
                }
            }
            Target::Remote(address) => {
                let name = Path::new(address.file_name());
                let file = tempfile::Builder::new()
                    .prefix("lmbatch-")
                    .suffix(&format!("-{}", address.file_name()))
                    .tempfile()?;
                let packing = Packing::of(Compression::of(name), is_parquet);
                Kind::File {
                    writer: Box::new(Encoder::new(file, packing)?),
                    place: Named::Object(address),
                    replace: self.replace,
                }
            }
        };
        Ok(Sink { kind })
    }
}

/// Standard output, a FIFO or a device.
type Stream = Box<dyn io::Write + Send>;

/// Name that a complete output gets.
enum Named {
    File(PathBuf),
    Object(Address),
}

impl Named {
    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Object(address) => address.as_str().to_owned(),
        }
    }
}

enum Kind {
    Stream(Box<Packed<BufWriter<Stream>>>),
    File {
        writer: Box<Encoder>,
        place: Named,
        replace: Replace,
    },
    /// Nothing is written; outcomes are only counted.
    Nowhere,
}

/// Output that is being written.
pub(crate) struct Sink {
    kind: Kind,
}

impl Sink {
    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match &mut self.kind {
            Kind::Stream(stream) => stream.write_all(line),
            Kind::File { writer, .. } => writer.write_all(line),
            Kind::Nowhere => Ok(()),
        }
    }

    /// Reports whether lines go to a reader that may close its end.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.kind, Kind::Stream(_))
    }

    /// Writes and syncs everything. A file does not have its name yet.
    pub(crate) fn complete(self) -> io::Result<Complete> {
        match self.kind {
            Kind::Nowhere => Ok(Complete(None)),
            Kind::Stream(stream) => {
                stream.finish()?.flush()?;
                Ok(Complete(None))
            }
            Kind::File {
                writer,
                place,
                replace,
            } => {
                let (file, contents) = writer.complete()?;
                Ok(Complete(Some(Unnamed {
                    file,
                    place,
                    replace,
                    contents,
                })))
            }
        }
    }
}

/// Output whose lines are all written.
pub(crate) struct Complete(Option<Unnamed>);

struct Unnamed {
    file: NamedTempFile,
    place: Named,
    replace: Replace,
    contents: Contents,
}

impl Complete {
    /// Returns the size and digest of the output for the notes of a run; `None` if it is not a file.
    pub(crate) fn written(&self, version: String) -> Option<Written> {
        self.0.as_ref().map(|unnamed| Written {
            path: unnamed.place.shown(),
            bytes: unnamed.contents.bytes,
            sha256: unnamed.contents.sha256.clone(),
            version,
            at: None,
            unusable: None,
            is_incomplete: false,
        })
    }

    /// Returns the path of a file for messages; `None` for an object and for an output that is no file.
    pub(crate) fn shown(&self) -> Option<String> {
        match &self.0.as_ref()?.place {
            Named::File(path) => Some(path.display().to_string()),
            Named::Object(_) => None,
        }
    }

    /// Gives a file its name, or uploads it. A file that appeared under the name meanwhile is checked again.
    pub(crate) fn appear(self) -> io::Result<()> {
        let Some(Unnamed {
            file,
            place,
            replace,
            contents,
        }) = self.0
        else {
            return Ok(());
        };
        let path = match place {
            Named::File(path) => path,
            Named::Object(address) => return upload(&address, file, &contents, &replace),
        };
        if may_replace(&path, &replace)? {
            // The new file takes over the permissions of the replaced one.
            if let Ok(facts) = fs::metadata(&path) {
                file.as_file().set_permissions(facts.permissions())?;
            }
            file.persist(&path).map_err(|error| error.error)?;
        } else {
            file.persist_noclobber(&path).map_err(|error| error.error)?;
        }
        File::open(target::folder(&path))?.sync_all()
    }
}

/// Reports whether the path is a regular file that may be replaced.
fn may_replace(path: &Path, replace: &Replace) -> io::Result<bool> {
    let facts = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        facts => facts?,
    };
    Ok(facts.is_file()
        && match replace {
            Replace::Never => false,
            Replace::Always => true,
            Replace::Own(outputs) => written::compare(path, outputs, "")? != Found::Other,
        })
}

/// Uploads a complete output, unless an object is there that must stay. If that fails, the file is kept under a name
/// that the error has.
fn upload(
    address: &Address,
    file: NamedTempFile,
    contents: &Contents,
    replace: &Replace,
) -> io::Result<()> {
    let stored = address.stored().map_err(|failure| failure.message);
    let uploaded = stored.and_then(|stored| match (replace, stored) {
        (Replace::Never, Some(_)) => Err("the object exists".to_owned()),
        (Replace::Own(outputs), Some(stored))
            if written::find_stored(&stored, outputs, "") == Found::Other =>
        {
            Err("the object exists".to_owned())
        }
        _ => address.upload(file.path(), contents.bytes, &contents.sha256),
    });
    let Err(why) = uploaded else {
        return Ok(());
    };
    let rest = match file.keep() {
        Ok((_, kept)) => format!("the output is complete in {}", kept.display()),
        Err(error) => format!("the local file could not be kept: {error}"),
    };
    let shown = address.as_str();
    Err(io::Error::other(format!(
        "{shown} was not uploaded: {why}; {rest}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, replace: Replace, meanwhile: impl FnOnce()) -> io::Result<Written> {
        let place = Place {
            target: Target::File {
                path: path.to_path_buf(),
                exists: false,
            },
            replace,
            is_current: false,
        };
        let mut sink = place.open(false)?;
        sink.write(b"new\n")?;
        let complete = sink.complete()?;
        let written = complete.written("1-0".to_owned());
        meanwhile();
        complete.appear()?;
        Ok(written.expect("a file"))
    }

    #[test]
    fn a_file_that_appears_while_the_output_is_written_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let read = || fs::read_to_string(&path).unwrap();
        let first = write(&path, Replace::Never, || {}).unwrap();
        assert_eq!((read().as_str(), first.bytes), ("new\n", 4));
        // The run's own unchanged output is replaced; an edited one is not.
        let own = || Replace::Own(vec![first.clone()]);
        write(&path, own(), || {}).unwrap();
        write(&path, own(), || fs::write(&path, "mine").unwrap()).unwrap_err();
        assert_eq!(read(), "mine");
        write(&path, Replace::Never, || {}).unwrap_err();
        assert_eq!(read(), "mine");
        write(&path, Replace::Always, || {}).unwrap();
        assert_eq!(read(), "new\n");
        // A link or a folder is never an output of the run.
        for make in [
            |path: &Path| std::os::unix::fs::symlink("/dev/null", path).unwrap(),
            |path: &Path| fs::create_dir(path).unwrap(),
        ] {
            fs::remove_file(&path).unwrap();
            write(&path, Replace::Always, || make(&path)).unwrap_err();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            assert!(kind.is_symlink() || kind.is_dir());
            if kind.is_dir() {
                fs::remove_dir(&path).unwrap();
                fs::write(&path, "x").unwrap();
            }
        }
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file is left");
    }
}
