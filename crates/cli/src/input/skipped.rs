//! File of the invalid rows that `--skip-invalid` leaves out.

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::Path;

use crate::exit::Failure;
use crate::remote;

/// Beginning of a file that lmbatch wrote, and may overwrite.
const BEGINNING: &[u8] = b"{\"line\":";

/// File of invalid rows.
pub(super) struct SkippedFile(File);

impl SkippedFile {
    /// Creates the file. An earlier file of invalid rows is overwritten, and any other file is refused.
    pub(super) fn open(path: &Path, input: &Path) -> Result<Self, Failure> {
        remote::local("--skip-invalid", path)?;
        let refused =
            |why: String| Failure::usage(format!("--skip-invalid: {} {why}", path.display()));
        // The argument is a whole path by now.
        if path.ends_with("-") {
            return Err(
                refused("would be a file, and not standard output".to_owned())
                    .hint("choose another name, such as --skip-invalid invalid.jsonl"),
            );
        }
        let real = |path: &Path| fs::canonicalize(path).ok();
        if real(path).is_some_and(|file| Some(file) == real(input)) {
            return Err(refused("is the input".to_owned()));
        }
        let failed = |error: io::Error| refused(format!("cannot be written: {error}"));
        let mut head = Vec::new();
        if path.is_file() {
            let file = File::open(path).map_err(failed)?;
            file.take(BEGINNING.len() as u64)
                .read_to_end(&mut head)
                .map_err(failed)?;
        }
        if !(head.is_empty() || head == BEGINNING) {
            return Err(refused("exists, and holds no invalid rows".to_owned())
                .hint("choose another path with --skip-invalid"));
        }
        File::create(path).map(Self).map_err(failed)
    }
}

impl Write for SkippedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
