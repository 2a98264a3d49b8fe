//! Output files that a run has written, with size and SHA-256 in the run's notes: an output that was truncated,
//! edited or replaced since is not treated as the run's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use lmbatch::record::RunRecord;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::commands::run_settings::RunSettings;
use crate::output_format::Rows;
use crate::remote::Stored;

/// Name of the note in the run's record.
const NOTE: &str = "outputs";

/// Maximum number of outputs in the notes of a run; a run that is requeued often keeps the last ones.
const MOST: usize = 16;

/// Output file at the time when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Version of the outcomes that the file holds, see [`version`].
    pub(crate) version: String,
}

/// Size and digest of a file, for comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

/// File found at the path of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Current output of the run.
    Current,
    /// Earlier output of the run, before requests were sent again or the input was updated.
    Earlier,
    /// A file that the run has not written.
    Other,
}

/// Returns the version of a run's outcomes, which changes with each attempt and each update.
pub(crate) fn version(run: &RunRecord, notes: &RunSettings) -> String {
    let order = run.order.map_or(0, |order| order.table);
    let raw = if notes.raw { "-raw" } else { "" };
    let format = match notes.format {
        Rows::Jsonl => String::new(),
        other => format!("-{}", other.as_str()),
    };
    format!("{}-{order}{raw}{format}", run.attempt)
}

/// Returns the outputs that a run has written, newest first.
pub(crate) fn recorded(run: &RunRecord) -> Vec<Written> {
    let note = run.notes.get(NOTE);
    let read = note.and_then(|note| serde_json::from_str(note).ok());
    read.unwrap_or_default()
}

/// Returns the notes of a run with one more output.
pub(crate) fn noted(run: &RunRecord, new: Written) -> BTreeMap<Box<str>, Box<str>> {
    let mut outputs = recorded(run);
    outputs.retain(|known| *known != new);
    outputs.insert(0, new);
    outputs.truncate(MOST);
    let mut notes = run.notes.clone();
    if let Ok(text) = serde_json::to_string(&outputs) {
        notes.insert(NOTE.into(), text.into());
    }
    notes
}

/// Copies the outputs of a run into notes that replace the run's own.
pub(crate) fn carry(run: &RunRecord, notes: &mut BTreeMap<Box<str>, Box<str>>) {
    if let Some(note) = run.notes.get(NOTE) {
        notes.insert(NOTE.into(), note.clone());
    }
}

/// Compares a file with the outputs that a run has written.
pub(crate) fn compare(path: &Path, outputs: &[Written], version: &str) -> io::Result<Found> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if outputs.iter().all(|one| one.bytes != bytes) {
        return Ok(Found::Other);
    }
    Ok(find(&contents(file)?, outputs, version))
}

/// Compares size and digest of an output with the outputs that a run has written.
fn find(contents: &Contents, outputs: &[Written], version: &str) -> Found {
    let is_same = |one: &&Written| one.bytes == contents.bytes && one.sha256 == contents.sha256;
    let same: Vec<&Written> = outputs.iter().filter(is_same).collect();
    if same.is_empty() {
        Found::Other
    } else if same.iter().any(|one| one.version == version) {
        Found::Current
    } else {
        Found::Earlier
    }
}

/// Compares an object of a store with the outputs that a run has written.
pub(crate) fn find_stored(stored: &Stored, outputs: &[Written], version: &str) -> Found {
    let Some(sha256) = stored.sha256.clone() else {
        return Found::Other;
    };
    let contents = Contents {
        bytes: stored.bytes,
        sha256,
    };
    find(&contents, outputs, version)
}

fn contents(mut file: File) -> io::Result<Contents> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Contents {
        bytes,
        sha256: hex(hash),
    })
}

/// Formats a digest in hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    let digest = hash.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_runs_own_only_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let written = |text: &str, version: &str| Written {
            path: "elsewhere".to_owned(),
            bytes: text.len() as u64,
            sha256: hex(Sha256::new_with_prefix(text)),
            version: version.to_owned(),
        };
        let outputs = [written("new\n", "1-0"), written("old\n", "0-0")];
        for (text, found) in [
            ("new\n", Found::Current),
            ("old\n", Found::Earlier),
            ("new", Found::Other),
            ("neW\n", Found::Other),
            ("", Found::Other),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(compare(&path, &outputs, "1-0").unwrap(), found, "{text:?}");
        }
    }
}
