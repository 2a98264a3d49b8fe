//! Checks of a create, and of the status right after it.

use std::time::{Duration, SystemTime};

use lmbatch::{BatchSnapshot, Error, ErrorKind, Retry};

use super::super::batch::TinyBatch;
use super::super::names;
use super::super::plan::Batch;
use super::super::report::{Finding, seconds};
use super::super::tester::{Created, Halt, Tester};

/// Largest plausible difference between the clocks of the provider and of this machine.
const CLOCKS: Duration = Duration::from_secs(3600);

/// Checks the key and the model by the call of the adapter that costs nothing.
pub(super) async fn accepted(tester: &mut Tester, model: &str) -> Result<(), Halt> {
    let start = tester.clock.elapsed();
    match tester.call(|| tester.provider.probe(model)).await? {
        Ok(()) => {
            tester.note(names::ACCEPTED, start, Finding::Holds(String::new()));
            Ok(())
        }
        Err(error) => Err(failed(tester, names::ACCEPTED, start, error)),
    }
}

/// Notes an error without which the self-test cannot continue.
fn failed(tester: &mut Tester, name: &'static str, start: Duration, error: Error) -> Halt {
    tester.note(name, start, Finding::Differs(error.to_string()));
    error.into()
}

/// Uploads and creates the batch that is completed later.
pub(super) async fn created<'p>(
    tester: &mut Tester,
    tiny: &'p TinyBatch,
) -> Result<Batch<'p>, Halt> {
    let start = tester.clock.elapsed();
    let staged = match tester.stage(tiny).await? {
        Ok(staged) => staged,
        Err(error) => return Err(failed(tester, names::CREATED, start, error)),
    };
    let intent = tester.intent(tiny, staged).await?;
    let posted = tester.clock.elapsed();
    let (id, finding) = match tester.create(tiny, &intent).await? {
        Created::Batch(id) => {
            let took = seconds(tester.clock.elapsed().saturating_sub(posted));
            let count = tiny.shard.count;
            (
                id,
                Finding::Holds(format!("{count} requests; answered after {took}")),
            )
        }
        Created::Found(id) => {
            let lost = "the response was lost, and the batch was found by a search";
            (id, Finding::Differs(lost.to_owned()))
        }
        Created::Refused(error) => return Err(failed(tester, names::CREATED, start, error)),
    };
    tester.note(names::CREATED, start, finding);
    Ok(Batch {
        tiny,
        id,
        intent,
        created: tester.clock.elapsed(),
    })
}

/// Reads the status of a batch that was just created. A provider may not know the batch for a while.
pub(super) async fn readable(
    tester: &mut Tester,
    batch: &Batch<'_>,
) -> Result<BatchSnapshot, Halt> {
    let mut polls = 0;
    loop {
        let status = tester.once(tester.provider.status(&batch.id)).await?;
        let waited = tester.clock.elapsed().saturating_sub(batch.created);
        match status {
            Ok(snapshot) => {
                let when = match polls {
                    0 => "at once".to_owned(),
                    _ => format!("after {}", seconds(waited)),
                };
                let found = format!("{when}: {}", snapshot.status);
                let is_same = snapshot.id == batch.id;
                tester.note(names::READABLE, batch.created, Finding::of(is_same, found));
                return Ok(snapshot);
            }
            Err(error) if is_passing(&error) && waited < tester.list_wait() => {
                polls += 1;
                tester.pause_list(polls).await?;
            }
            Err(error) => return Err(failed(tester, names::READABLE, batch.created, error)),
        }
    }
}

fn is_passing(error: &Error) -> bool {
    error.kind() == ErrorKind::BatchNotFound || error.retry() == Retry::Temporary
}

/// Compares the time of creation with the clock of this machine.
pub(super) fn time(tester: &mut Tester, batch: &Batch<'_>, snapshot: &BatchSnapshot) {
    let Some(created) = snapshot.created_at else {
        tester.skip(names::TIME, "the provider reports no time of creation");
        return;
    };
    let posted = batch.intent.posted_at.unwrap_or(SystemTime::UNIX_EPOCH);
    let (word, apart) = match created.duration_since(posted) {
        Ok(ahead) => ("after", ahead),
        Err(behind) => ("before", behind.duration()),
    };
    let found = format!(
        "{} {word} the create was sent, by the clock here",
        seconds(apart)
    );
    tester.note(
        names::TIME,
        tester.clock.elapsed(),
        Finding::of(apart < CLOCKS, found),
    );
}
