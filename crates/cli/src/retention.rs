//! Retention of prompts and answers in a state folder. Once a day, and where an argument asks for it, the answers of
//! runs whose output was written long ago and is there unchanged are deleted, and a large folder is reported.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use lmbatch::adapter::{format_time, parse_time};
use lmbatch::durable::SqliteLedger;
use lmbatch::engine::{DeletedAnswers, SpooledFile, delete_answers, ended_before, spooled_files};
use lmbatch::record::{Ledger as _, RunRecord};
use lmbatch::{Clock, ErrorKind};
use serde_json::{Value, json};

use crate::commands::clock;
use crate::commands::run_settings::RunSettings;
use crate::exit::Failure;
use crate::retention_args::{DeleteAfter, RetentionArgs};
use crate::session::Session;
use crate::written::{self, Found};
use crate::{format, hints, target, terminal};

/// Name of the file in the state folder with the time of the last look.
const NOTE: &str = "retention";

/// Time between two looks at a state folder.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest time that a daily look takes, apart from the run it is at. The look of the next day continues.
const LONGEST: Duration = Duration::from_secs(10);

/// Looks at the state folder that the command has written to, unless that was done within a day. A look that an
/// argument asks for is due at any time. A failure is a warning: the work of the command is done.
pub(crate) async fn look(session: &Session, args: &RetentionArgs, is_asked: bool) {
    let Some((folder, ledger)) = session.written() else {
        return;
    };
    let clock = clock();
    let now = clock.now();
    // Noted first: a look that fails must not be repeated by each command. Without a note there is no daily look.
    if !is_asked && !is_due(folder, now) {
        return;
    }
    if note(folder, now).is_err() && !is_asked {
        return;
    }
    let longest = (!is_asked).then_some(LONGEST);
    match looked(folder, ledger, args, longest, &*clock).await {
        Ok(deleted) => deleted.report(args.delete_answers_after),
        Err(failure) => terminal::warn(&format!(
            "old answers could not be deleted from this machine: {}",
            failure.message
        )),
    }
}

/// Returns whether the last look was at least a day ago, or at a later time than now, by a clock that was set back.
fn is_due(folder: &Path, now: SystemTime) -> bool {
    let last = || {
        let text = std::fs::read_to_string(folder.join(NOTE)).ok()?;
        let note: Value = serde_json::from_str(&text).ok()?;
        parse_time(note["looked_at"].as_str()?)
    };
    let since = last().and_then(|last| now.duration_since(last).ok());
    since.is_none_or(|since| since >= INTERVAL)
}

fn note(folder: &Path, now: SystemTime) -> std::io::Result<()> {
    let mut file = target::temporary(folder)?;
    let text = json!({"format": 1, "looked_at": format_time(now)});
    writeln!(file, "{text}")?;
    file.persist(folder.join(NOTE))
        .map(drop)
        .map_err(|error| error.error)
}

/// Answers that a look has deleted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Deleted {
    runs: u64,
    files: u64,
    bytes: u64,
}

impl Deleted {
    fn add(&mut self, deleted: DeletedAnswers) {
        self.runs += 1;
        self.files += deleted.files;
        self.bytes += deleted.bytes;
    }

    fn report(&self, after: DeleteAfter) {
        if self.runs == 0 {
            return;
        }
        let setting = "--delete-answers-after and retention.after in lmbatch.toml set the time, 30d by default, or never";
        let age = match after {
            DeleteAfter::Time(age) => format!(
                ", whose outputs were written more than {} ago and are unchanged",
                humantime::format_duration(age)
            ),
            DeleteAfter::Never => String::new(),
        };
        terminal::message(&format!(
            "deleted from this machine: prompts and answers of {} ({}, {}){age}; {setting}",
            format::count(self.runs, "run", "runs"),
            format::count(self.files, "file", "files"),
            format::bytes(self.bytes)
        ));
    }
}

async fn looked(
    folder: &Path,
    ledger: &SqliteLedger,
    args: &RetentionArgs,
    longest: Option<Duration>,
    clock: &dyn Clock,
) -> Result<Deleted, Failure> {
    let start = clock.elapsed();
    let files = spooled_files(&folder.join("spool"))?;
    warn(folder, &files, args);
    let mut of_runs: HashMap<String, Vec<SpooledFile>> = HashMap::new();
    for file in files.into_iter().filter(SpooledFile::holds_content) {
        of_runs.entry(file.nonce.clone()).or_default().push(file);
    }
    let mut deleted = Deleted::default();
    let now = clock.now();
    for run in ended_before(ledger, Some(now)).await? {
        if longest.is_some_and(|longest| clock.elapsed() - start > longest) {
            break;
        }
        let Some(files) = of_runs.get(run.nonce.as_str()) else {
            continue;
        };
        if may_be_deleted(&run, args.delete_answers_after, now)
            && let Some(done) = of_run(ledger, &run, files, args.delete_answers_after, now).await?
        {
            deleted.add(done);
        }
    }
    Ok(deleted)
}

/// Returns whether the answers of a run are old enough, or partly deleted, by its record alone.
fn may_be_deleted(run: &RunRecord, after: DeleteAfter, now: SystemTime) -> bool {
    // A process died while it deleted them.
    run.answers_deleted_at.is_some()
        || RunSettings::read(run).is_ok_and(|notes| {
            after.age(notes.emulated).is_some_and(|age| {
                let (outputs, version) = (written::recorded(run), written::version(run, &notes));
                !written::settled(&outputs, &version, age, now).is_empty()
            })
        })
}

/// Deletes the answers of a run under its claim, unless its output is gone or was changed. Returns `None` for a run
/// whose answers are kept.
async fn of_run(
    ledger: &SqliteLedger,
    run: &RunRecord,
    files: &[SpooledFile],
    after: DeleteAfter,
    now: SystemTime,
) -> Result<Option<DeletedAnswers>, Failure> {
    let _claim = match ledger.claim(&run.id).await {
        Err(error) if error.kind() == ErrorKind::Conflict => return Ok(None),
        claim => claim?,
    };
    // Read again under the claim: the run may have been requeued since.
    let Some(run) = ledger.run(&run.id).await? else {
        return Ok(None);
    };
    if !run.finished || !may_be_deleted(&run, after, now) {
        return Ok(None);
    }
    if run.answers_deleted_at.is_none() {
        let notes = RunSettings::read(&run)?;
        let age = after.age(notes.emulated).unwrap_or_default();
        if stored_in(&run, &notes, age, now).await?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(delete_answers(ledger, &run, files, now).await?))
}

/// Returns the path of an output that holds the outcomes of a run as they were written at least this long ago; `None`
/// where every such file is gone or was changed. The files are read, since a size says little.
pub(crate) async fn stored_in(
    run: &RunRecord,
    notes: &RunSettings,
    age: Duration,
    now: SystemTime,
) -> Result<Option<String>, Failure> {
    let (outputs, version) = (written::recorded(run), written::version(run, notes));
    let settled: Vec<String> = {
        let settled = written::settled(&outputs, &version, age, now).into_iter();
        settled.map(|one| one.path.clone()).collect()
    };
    let compared = tokio::task::spawn_blocking(move || {
        let is_current = |path: &String| {
            // A file that cannot be read is not safe.
            let found = written::compare(Path::new(path), &outputs, &version);
            found.is_ok_and(|found| found == Found::Current)
        };
        settled.into_iter().find(is_current)
    });
    compared
        .await
        .map_err(|error| Failure::failed(format!("the output could not be read: {error}")))
}

/// Returns the size of a state folder in bytes: the files of its runs, and the record.
pub(crate) fn size(folder: &Path, spooled: impl Iterator<Item = u64>) -> u64 {
    let record = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let record = record.filter_map(|entry| entry.metadata().ok());
    let record = record.filter(std::fs::Metadata::is_file);
    spooled.chain(record.map(|found| found.len())).sum()
}

/// Warns of a large state folder.
fn warn(folder: &Path, files: &[SpooledFile], args: &RetentionArgs) {
    warn_of_size(
        size(folder, files.iter().map(|file| file.bytes)),
        args.warn_above.0,
    );
}

/// Warns of a state folder that is larger than a limit, with the next commands.
pub(crate) fn warn_of_size(bytes: u64, limit: u64) {
    if bytes > limit {
        terminal::warn(&format!(
            "the state folder has {}, more than {}; {} lists the runs with their sizes; to delete answers of runs that began 30 days ago and whose outputs are there: {}",
            format::bytes(bytes),
            format::bytes(limit),
            hints::on_runs(["runs", "--size"]),
            hints::on_runs(["purge", "--older-than", "30d", "--answers"])
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_at_once_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3_600);
        assert!(is_due(folder, at(100)), "there is no note");
        note(folder, at(100)).unwrap();
        for (hours, due) in [(100, false), (123, false), (124, true), (99, true)] {
            assert_eq!(is_due(folder, at(hours)), due, "{hours}");
        }
        for text in ["", "{}", "{\"looked_at\": \"soon\"}", "x"] {
            std::fs::write(folder.join(NOTE), text).unwrap();
            assert!(is_due(folder, at(100)), "{text}");
        }
        note(folder, at(200)).unwrap();
        assert!(!is_due(folder, at(201)), "the note is replaced");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
    }

    #[test]
    fn the_size_of_a_state_folder_is_that_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ledger.db"), "12345").unwrap();
        std::fs::create_dir(folder.path().join("spool")).unwrap();
        assert_eq!(size(folder.path(), [7, 8].into_iter()), 20);
    }
}
