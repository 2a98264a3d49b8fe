//! Checks of calls that must not succeed, or not twice: an unknown batch, a second create, a create after its fence.

use lmbatch::adapter::CreateProof;
use lmbatch::engine::SystemRng;
use lmbatch::{BatchId, BatchStatus, Error, ErrorKind, Retry, Rng};

use super::super::batch::TinyBatch;
use super::super::names;
use super::super::plan::Batch;
use super::super::report::Finding;
use super::super::tester::{Created, Halt, Tester};

/// Asks for the status of a batch that does not exist, under an id of the provider's form.
pub(super) async fn unknown(tester: &mut Tester, known: &BatchId) -> Result<(), Halt> {
    let start = tester.clock.elapsed();
    let other = BatchId::new(other_id(known.as_str(), &SystemRng));
    let finding = match tester.once(tester.provider.status(&other)).await? {
        Err(error) => {
            let is_not_found = error.kind() == ErrorKind::BatchNotFound;
            Finding::of(is_not_found, words(&error))
        }
        Ok(snapshot) => Finding::Differs(format!("it has the status {}", snapshot.status)),
    };
    tester.note(names::UNKNOWN, start, finding);
    Ok(())
}

/// Reports whether a create was refused although its input exists, such as for a rate limit.
fn is_for_another_reason(error: &Error) -> bool {
    error.retry() == Retry::Temporary
        || matches!(error.kind(), ErrorKind::Quota | ErrorKind::Billing)
}

/// Returns kind, HTTP status and code of an error, without the ids in its message.
fn words(error: &Error) -> String {
    let mut words = vec![error.kind().to_string()];
    words.extend(error.http_status().map(|status| format!("HTTP {status}")));
    words.extend(error.code().map(|code| format!("code {code}")));
    words.join(", ")
}

/// Returns an id like another one, with random characters in place of its last eight letters and digits.
fn other_id(id: &str, rng: &dyn Rng) -> String {
    let mut left = 8;
    let changed = id.chars().rev().map(|c| {
        let (first, count) = match c {
            '0'..='9' => (b'0', 10),
            'a'..='f' => (b'a', 6),
            'g'..='z' => (b'g', 20),
            'A'..='Z' => (b'A', 26),
            _ => return c,
        };
        if left == 0 {
            return c;
        }
        left -= 1;
        let draw = |add: u64| char::from(first + ((rng.next_u64() + add) % count) as u8);
        let drawn = draw(0);
        if drawn == c && left == 7 {
            return char::from(first + ((c as u8 - first) + 1) % count as u8);
        }
        drawn
    });
    let reversed: Vec<char> = changed.collect();
    reversed.into_iter().rev().collect()
}

/// Repeats the create of a batch with its token.
pub(super) async fn token(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    if tester.provider.codec().capabilities().create != CreateProof::Token {
        tester.skip(names::TOKEN, "the provider has no idempotency token");
        return Ok(());
    }
    let start = tester.clock.elapsed();
    let finding = match tester.create(batch.tiny, &batch.intent).await? {
        Created::Batch(id) | Created::Found(id) if id == batch.id => {
            let now = tester.clock.now();
            tester.budget.release(batch.tiny, now);
            Finding::Holds("the same id".to_owned())
        }
        Created::Batch(id) | Created::Found(id) => {
            // It is billed in addition: what has not been answered by now is not.
            let _ = tester.provider.cancel(&id).await;
            Finding::Differs(format!("another batch, {id}, which is billed as well"))
        }
        Created::Refused(error) if error.kind() == ErrorKind::AlreadyExists => {
            Finding::Holds(error.to_string())
        }
        Created::Refused(error) => Finding::Differs(error.to_string()),
    };
    tester.note(names::TOKEN, start, finding);
    Ok(())
}

/// Deletes the input of a batch, and then creates the batch: the provider must not answer it.
pub(super) async fn fence(tester: &mut Tester, tiny: Option<&TinyBatch>) -> Result<(), Halt> {
    let Some(tiny) = tiny else {
        tester.skip(names::FENCE, "the route has no fence");
        return Ok(());
    };
    let start = tester.clock.elapsed();
    let finding = fenced(tester, tiny).await?;
    tester.note(names::FENCE, start, finding);
    Ok(())
}

async fn fenced(tester: &mut Tester, tiny: &TinyBatch) -> Result<Finding, Halt> {
    let staged = match tester.stage(tiny).await? {
        Ok(staged) => staged,
        Err(error) => return Ok(Finding::NotTested(format!("the upload failed: {error}"))),
    };
    if let Err(error) = tester.call(|| tester.provider.fence(&staged)).await? {
        return Ok(Finding::Differs(format!("the fence failed: {error}")));
    }
    let intent = tester.intent(tiny, staged).await?;
    let id = match tester.create(tiny, &intent).await? {
        Created::Refused(error) => {
            let found = format!("the create is refused: {}", words(&error));
            return Ok(match is_for_another_reason(&error) {
                true => Finding::NotTested(found),
                false => Finding::Holds(found),
            });
        }
        Created::Batch(id) | Created::Found(id) => id,
    };
    let has_begun =
        |status: &BatchStatus| !matches!(status, BatchStatus::Validating | BatchStatus::Queued);
    let ended = tester
        .wait(&id, |snapshot| has_begun(&snapshot.status))
        .await?;
    let status = match ended {
        Ok((snapshot, _)) => snapshot.status,
        Err(error) => return Ok(Finding::Differs(error.to_string())),
    };
    if status == BatchStatus::Failed {
        let now = tester.clock.now();
        tester.budget.settle(tiny, &[], now);
        return Ok(Finding::Holds(
            "the create is accepted, and its batch fails".to_owned(),
        ));
    }
    if !has_begun(&status) {
        return Ok(Finding::NotTested(format!("its batch is still {status}")));
    }
    // Requests that are not answered by now are not billed.
    let _ = tester.provider.cancel(&id).await;
    Ok(Finding::Differs(format!(
        "the create is accepted, and its batch is {status}"
    )))
}

#[cfg(test)]
mod tests {
    use lmbatch_testing::TestRng;

    use super::*;

    #[test]
    fn an_unknown_id_has_the_form_of_a_known_one() {
        let rng = TestRng::new(7);
        for (id, kept) in [
            ("batch_00000000000000000001", "batch_000000000000"),
            ("batches/b1", "/"),
            (
                "msgbatch_01HkcTjaV5uDC8jWR4ZsDV8d",
                "msgbatch_01HkcTjaV5uDC8jW",
            ),
            ("7", ""),
        ] {
            let other = other_id(id, &rng);
            assert_ne!(other, id);
            assert_eq!(other.len(), id.len());
            assert!(other.contains(kept), "{other}");
        }
    }
}
