//! Files of a folder as rows: one request for each file.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use lmbatch_core::{Error, RequestError};

use super::row::{Cell, Row};
use super::rows::{Found, Invalid, Rows, Written};
use crate::context::bad;

/// Largest text file in bytes.
const LARGEST: u64 = 256 << 20;

/// Files whose paths match a pattern, sorted by path.
pub(super) struct FileRows {
    folder: PathBuf,
    /// Paths relative to the folder.
    paths: std::vec::IntoIter<String>,
    count: u64,
    columns: Vec<String>,
}

impl FileRows {
    /// Finds the files of a folder. `*` matches within a part of a path, and `**` any number of folders; hidden files
    /// are left out.
    ///
    /// # Errors
    /// An invalid pattern, a pattern that leads out of the folder, and a folder that cannot be read.
    pub(super) fn find(folder: &Path, pattern: &str) -> Result<Self, Error> {
        let leaves = Path::new(pattern).components().any(|part| {
            !matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        if leaves {
            return Err(Error::invalid_input(format!(
                "the pattern {pattern:?} leads out of the folder; choose another folder as the input"
            )));
        }
        let base = Pattern::escape(&folder.to_string_lossy());
        let whole = match base.as_str() {
            "" => pattern.to_owned(),
            base => format!("{}/{pattern}", base.trim_end_matches('/')),
        };
        let options = MatchOptions {
            case_sensitive: true,
            require_literal_separator: true,
            require_literal_leading_dot: true,
        };
        let found = glob::glob_with(&whole, options).map_err(|error| {
            Error::invalid_input(format!("the pattern {pattern:?} is not valid: {error}"))
        })?;
        let mut paths = Vec::new();
        for path in found {
            let path = path.map_err(|error| {
                let message = format!("the folder {} cannot be read", error.path().display());
                Error::local(message, error.into())
            })?;
            if !path.is_file() {
                continue;
            }
            let below = path.strip_prefix(folder).unwrap_or(&path);
            let Some(below) = below.to_str() else {
                return Err(Error::invalid_input(format!(
                    "the name of {} is not UTF-8; rename the file",
                    below.display()
                )));
            };
            paths.push(below.to_owned());
        }
        paths.sort();
        Ok(Self {
            folder: folder.to_owned(),
            paths: paths.into_iter(),
            count: 0,
            columns: ["path", "name", "text"].map(str::to_owned).into(),
        })
    }
}

/// Content of a file.
enum Content {
    Text(String),
    Binary,
}

/// Reads a file inside of the folder.
fn content(folder: &Path, path: &str) -> Result<Content, RequestError> {
    let unreadable = |error: std::io::Error| bad(format!("{path} cannot be read: {error}"));
    let root = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let root = fs::canonicalize(root).map_err(unreadable)?;
    let whole = fs::canonicalize(root.join(path)).map_err(unreadable)?;
    if !whole.starts_with(&root) {
        return Err(bad(format!("{path} leads out of the folder by a link")));
    }
    let mut file = fs::File::open(&whole).map_err(unreadable)?;
    let mut bytes = Vec::new();
    (&mut file)
        .take(8 << 10)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let is_known = lmbatch_core::media_type_of(&bytes)
        .is_some_and(|media_type| !media_type.starts_with("text/"));
    if is_known || bytes.contains(&0) {
        return Ok(Content::Binary);
    }
    file.take(LARGEST)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST {
        return Err(bad(format!("{path} has more than {} MiB", LARGEST >> 20)));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(String::from_utf8(bytes).map_or(Content::Binary, Content::Text))
}

impl Rows for FileRows {
    fn columns(&self) -> Option<&[String]> {
        Some(&self.columns)
    }

    fn next(&mut self, show: &mut dyn FnMut(Found<'_>)) -> Result<bool, Error> {
        let Some(path) = self.paths.next() else {
            return Ok(false);
        };
        self.count += 1;
        let place = self.count;
        let text;
        let row = match content(&self.folder, &path) {
            Ok(content) => {
                let name = path.rsplit('/').next().unwrap_or(&path);
                let mut row = Row {
                    cells: vec![
                        ("path".into(), Cell::Text(&path)),
                        ("name".into(), Cell::Text(name)),
                    ],
                    number: place,
                    ..Row::default()
                };
                match content {
                    Content::Text(read) => {
                        text = read;
                        row.cells.push(("text".into(), Cell::Text(&text)));
                    }
                    Content::Binary => row.attachment = Some(&path),
                }
                Ok(row)
            }
            Err(error) => Err(Invalid {
                error,
                written: Written::Line(path.as_str().into()),
            }),
        };
        show(Found { place, row });
        Ok(true)
    }
}
