//! Checks of a cancel: the batch ends, a second cancel is accepted, and what was answered is returned.

use super::super::batch::TinyBatch;
use super::super::names;
use super::super::plan::Batch;
use super::super::report::{Finding, seconds};
use super::super::tester::{Created, Halt, Tester};
use super::results::results_of;
use super::rows::Rows;

/// Creates a batch and cancels it at once, twice. Returns the batch, unless there is none or the cancel failed.
pub(super) async fn cancelled<'p>(
    tester: &mut Tester,
    tiny: Option<&'p TinyBatch>,
) -> Result<Option<Batch<'p>>, Halt> {
    let Some(tiny) = tiny else {
        return Ok(skip(tester, "the adapter cancels no batches"));
    };
    let staged = match tester.stage(tiny).await? {
        Ok(staged) => staged,
        Err(error) => return Ok(skip(tester, &format!("the upload failed: {error}"))),
    };
    let intent = tester.intent(tiny, staged).await?;
    let id = match tester.create(tiny, &intent).await? {
        Created::Batch(id) | Created::Found(id) => id,
        Created::Refused(error) => {
            return Ok(skip(tester, &format!("the create was refused: {error}")));
        }
    };
    let created = tester.clock.elapsed();
    if let Err(error) = tester.call(|| tester.provider.cancel(&id)).await? {
        tester.note(names::CANCEL, created, Finding::Differs(error.to_string()));
        for name in [names::AGAIN, names::CANCELLED_ROWS] {
            tester.skip(name, "the cancel failed");
        }
        return Ok(None);
    }
    let again = tester.clock.elapsed();
    let finding = match tester.call(|| tester.provider.cancel(&id)).await? {
        Ok(()) => Finding::Holds(String::new()),
        Err(error) => Finding::Differs(error.to_string()),
    };
    tester.note(names::AGAIN, again, finding);
    Ok(Some(Batch {
        tiny,
        id,
        intent,
        created,
    }))
}

fn skip<T>(tester: &mut Tester, reason: &str) -> Option<T> {
    for name in [names::CANCEL, names::AGAIN, names::CANCELLED_ROWS] {
        tester.skip(name, reason);
    }
    None
}

/// Waits for the end of the cancelled batch, and reads its results.
pub(super) async fn ended(tester: &mut Tester, batch: Option<&Batch<'_>>) -> Result<(), Halt> {
    let Some(batch) = batch else {
        return Ok(());
    };
    let (snapshot, has_ended) = match tester.wait(&batch.id, |_| false).await? {
        Ok(ended) => ended,
        Err(error) => {
            tester.note(
                names::CANCEL,
                batch.created,
                Finding::Differs(error.to_string()),
            );
            tester.skip(names::CANCELLED_ROWS, "the status cannot be read");
            return Ok(());
        }
    };
    let waited = seconds(tester.clock.elapsed().saturating_sub(batch.created));
    let status = &snapshot.status;
    if !has_ended {
        let reason = format!("still {status} {waited} after the cancel");
        tester.skip(names::CANCEL, &reason);
        tester.skip(names::CANCELLED_ROWS, &reason);
        return Ok(());
    }
    let is_answered = status.may_have_outcomes();
    let found = format!("{status} at most {waited} after the cancel");
    tester.note(
        names::CANCEL,
        batch.created,
        Finding::of(is_answered, found),
    );
    let start = tester.clock.elapsed();
    let finding = match results_of(tester, batch).await? {
        Err(error) => Finding::Differs(error.to_string()),
        Ok(parts) => {
            let rows = Rows::read(tester.provider.codec(), &parts, batch.tiny);
            let now = tester.clock.now();
            tester.budget.settle(batch.tiny, &rows.used(), now);
            let expected = snapshot.counts.total.map(|_| snapshot.counts.succeeded);
            let is_complete = expected.is_none_or(|count| count == rows.answered());
            Finding::of(is_complete && rows.is_clean(), rows.summary())
        }
    };
    tester.note(names::CANCELLED_ROWS, start, finding);
    Ok(())
}
