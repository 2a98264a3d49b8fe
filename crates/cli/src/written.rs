//! Output files that a run has written, with size and SHA-256 in the run's notes: an output that was truncated,
//! edited or replaced since is not treated as the run's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

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
    /// Time of writing, in seconds since 1970; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<u64>,
    /// Number of outcomes that are not usable; `None` in records of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unusable: Option<u64>,
    /// True if the format could not represent a part of an outcome: the file is then no copy of all that was paid for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_incomplete: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl Written {
    /// Returns whether both are the same content in the same file.
    fn is_same(&self, other: &Self) -> bool {
        let facts = |one: &Self| {
            let (path, sha256, version) = (&one.path, &one.sha256, &one.version);
            (path.clone(), one.bytes, sha256.clone(), version.clone())
        };
        facts(self) == facts(other)
    }
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
    outputs.retain(|known| !known.is_same(&new));
    outputs.insert(0, new);
    outputs.truncate(MOST);
    let mut notes = run.notes.clone();
    if let Ok(text) = serde_json::to_string(&outputs) {
        notes.insert(NOTE.into(), text.into());
    }
    notes
}

/// Returns the current outputs of a run that were written at least this long ago and hold all of its outcomes, newest
/// first.
pub(crate) fn settled<'a>(
    outputs: &'a [Written],
    version: &str,
    age: Duration,
    now: SystemTime,
) -> Vec<&'a Written> {
    let is_old = |one: &&Written| {
        let at = one.at.map(Duration::from_secs);
        let at = at.and_then(|at| SystemTime::UNIX_EPOCH.checked_add(at));
        let end = at.and_then(|at| at.checked_add(age));
        end.is_some_and(|end| end <= now)
    };
    let current = outputs
        .iter()
        .filter(|one| one.version == version && !one.is_incomplete);
    current.filter(is_old).collect()
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
            at: None,
            unusable: None,
            is_incomplete: false,
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

    #[test]
    fn an_output_is_settled_when_it_is_current_and_was_written_long_ago() {
        let one = |version: &str, at: Option<u64>| Written {
            path: "p".to_owned(),
            bytes: 1,
            sha256: "x".to_owned(),
            version: version.to_owned(),
            at,
            unusable: None,
            is_incomplete: false,
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        for (output, age, wanted) in [
            (one("1-0", Some(900)), 100, true),
            (one("1-0", Some(900)), 101, false),
            (one("1-0", Some(900)), 0, true),
            (one("0-0", Some(900)), 100, false),
            // An earlier version did not record the time.
            (one("1-0", None), 0, false),
            // The clock was set back.
            (one("1-0", Some(2_000)), 0, false),
            (one("1-0", Some(u64::MAX)), 0, false),
            // The only copy of a part of the outcomes is in the record.
            (
                Written {
                    is_incomplete: true,
                    ..one("1-0", Some(900))
                },
                0,
                false,
            ),
        ] {
            let outputs = [output.clone()];
            let found = settled(&outputs, "1-0", Duration::from_secs(age), now);
            assert_eq!(!found.is_empty(), wanted, "{output:?} {age}");
        }
    }

    #[test]
    fn a_record_of_an_earlier_version_has_no_time() {
        let text = r#"{"path":"p","bytes":1,"sha256":"x","version":"0-0"}"#;
        let earlier: Written = serde_json::from_str(text).unwrap();
        assert_eq!((earlier.at, earlier.unusable), (None, None));
        assert_eq!(serde_json::to_string(&earlier).unwrap(), text);
    }
}
