//! Checks of the lists of batches and of files.

use std::time::SystemTime;

use lmbatch::adapter::{Candidate, Certainty, CreateProof};
use lmbatch::{BatchId, BatchSnapshot, BatchStatus, ErrorKind, Label};

use super::super::names;
use super::super::plan::Batch;
use super::super::report::{Finding, seconds};
use super::super::tester::{Halt, Tester};

/// Number of batches on a page, as the adapters request by default.
const PAGE: u32 = 100;

/// Number of pages of files that are searched for an upload.
const FILE_PAGES: usize = 10;

const NO_LIST: &str = "the adapter lists no batches";

/// Measures the time until a list shows a batch, and compares what it shows with the status.
pub(super) async fn listed(
    tester: &mut Tester,
    batch: &Batch<'_>,
    snapshot: &BatchSnapshot,
) -> Result<(), Halt> {
    if !tester.provider.codec().capabilities().list {
        for name in [names::LISTED, names::AGREES, names::FOUND] {
            tester.skip(name, NO_LIST);
        }
        label(tester, batch, snapshot, None);
        return Ok(());
    }
    let found = appears(tester, batch).await?;
    label(tester, batch, snapshot, found.as_ref());
    if found.is_none() {
        tester.skip(names::AGREES, "the list does not show the batch");
        tester.skip(names::FOUND, "the list does not show the batch");
        return Ok(());
    }
    agrees(tester, batch).await?;
    identified(tester, batch).await
}

/// Polls the list until it shows the batch.
async fn appears(tester: &mut Tester, batch: &Batch<'_>) -> Result<Option<BatchSnapshot>, Halt> {
    let mut polls = 0;
    loop {
        let listed = tester.pages(&[&batch.id], PAGE).await?;
        let waited = tester.clock.elapsed().saturating_sub(batch.created);
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let finding = Finding::Differs(error.to_string());
                tester.note(names::LISTED, batch.created, finding);
                return Ok(None);
            }
        };
        if let Some(place) = listed.iter().position(|one| one.id == batch.id) {
            let found = format!(
                "{} after the create, at place {}",
                seconds(waited),
                place + 1
            );
            tester.note(names::LISTED, batch.created, Finding::Holds(found));
            return Ok(listed.into_iter().nth(place));
        }
        if waited >= tester.list_wait() {
            let found = format!("not listed {} after the create", seconds(waited));
            tester.note(names::LISTED, batch.created, Finding::Differs(found));
            return Ok(None);
        }
        polls += 1;
        tester.pause_list(polls).await?;
    }
}

/// Compares the label that was sent with those that the status and the list return, byte for byte.
fn label(
    tester: &mut Tester,
    batch: &Batch<'_>,
    snapshot: &BatchSnapshot,
    listed: Option<&BatchSnapshot>,
) {
    let proof = tester.provider.codec().capabilities().create;
    let sent = &batch.tiny.shard.label;
    let returned: Vec<(&str, Option<&Label>)> = [("status", Some(snapshot)), ("list", listed)]
        .into_iter()
        .filter_map(|(source, found)| Some((source, found?.label.as_ref())))
        .collect();
    if proof != CreateProof::Labelled && returned.iter().all(|(_, label)| label.is_none()) {
        tester.skip(names::LABEL, "the provider keeps no labels");
        return;
    }
    let holds = returned.iter().all(|(_, label)| *label == Some(sent));
    let words = returned.iter().map(|(source, label)| match label {
        Some(label) if *label == sent => format!("{source}: as sent"),
        Some(label) => format!("{source}: {label}"),
        None => format!("{source}: none"),
    });
    let found = words.collect::<Vec<_>>().join(", ");
    tester.note(
        names::LABEL,
        tester.clock.elapsed(),
        Finding::of(holds, found),
    );
}

/// Compares the batch of a list with a status call before and one after it.
async fn agrees(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    let start = tester.clock.elapsed();
    let before = tester.call(|| tester.provider.status(&batch.id)).await?;
    let listed = tester.pages(&[&batch.id], PAGE).await?;
    let after = tester.call(|| tester.provider.status(&batch.id)).await?;
    let finding = match (before, listed, after) {
        (Ok(before), Ok(listed), Ok(after)) => {
            let found = listed.iter().find(|one| one.id == batch.id);
            match found {
                Some(listed) => {
                    let apart = differences(&before, listed, &after);
                    let same = "status, number of requests, label and time".to_owned();
                    match apart.is_empty() {
                        true => Finding::Holds(same),
                        false => Finding::Differs(apart.join("; ")),
                    }
                }
                None => Finding::Differs("the batch is no longer listed".to_owned()),
            }
        }
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            Finding::Differs(error.to_string())
        }
    };
    tester.note(names::AGREES, start, finding);
    Ok(())
}

/// Returns the members in which a listed batch differs from its states before and after. The batch may have advanced
/// in between.
fn differences(
    before: &BatchSnapshot,
    listed: &BatchSnapshot,
    after: &BatchSnapshot,
) -> Vec<String> {
    let mut apart = Vec::new();
    let rank = |snapshot: &BatchSnapshot| progress(&snapshot.status);
    let is_between = match (rank(before), rank(listed), rank(after)) {
        (Some(before), Some(listed), Some(after)) => (before..=after).contains(&listed),
        _ => [&before.status, &after.status].contains(&&listed.status),
    };
    if !is_between {
        let (list, status) = (&listed.status, &after.status);
        apart.push(format!("status: list {list}, status call {status}"));
    }
    let totals = [before.counts.total, after.counts.total];
    if !totals.contains(&listed.counts.total) {
        let (list, status) = (listed.counts.total, after.counts.total);
        apart.push(format!("requests: list {list:?}, status call {status:?}"));
    }
    if listed.label != after.label {
        apart.push("label".to_owned());
    }
    if listed.created_at != after.created_at {
        apart.push("time of creation".to_owned());
    }
    apart
}

/// Returns the place of a status in the life of a batch; `None` for an unknown one.
fn progress(status: &BatchStatus) -> Option<u8> {
    Some(match status {
        BatchStatus::Validating => 0,
        BatchStatus::Queued => 1,
        BatchStatus::InProgress => 2,
        BatchStatus::Finalizing | BatchStatus::Cancelling => 3,
        status if status.is_terminal() => 4,
        _ => return None,
    })
}

/// Searches for the batch as a run does after a lost create.
async fn identified(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    let start = tester.clock.elapsed();
    let is_it = |candidate: &Candidate| candidate.batch == batch.id;
    let found = tester.candidate(&batch.intent, is_it).await?;
    let finding = match found {
        Ok((Some(candidate), others)) => {
            let what = format!("{}: {}", candidate.certainty.as_str(), candidate.evidence);
            let is_alone = others == 0 || candidate.certainty == Certainty::Presumed;
            Finding::of(
                is_alone,
                match others {
                    0 => what,
                    others => format!("{what}; {others} other batches fit as well"),
                },
            )
        }
        Ok((None, others)) => Finding::Differs(format!("not found; {others} other batches fit")),
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            Finding::NotTested("the adapter searches for no batches".to_owned())
        }
        Err(error) => Finding::Differs(error.to_string()),
    };
    tester.note(names::FOUND, start, finding);
    Ok(())
}

/// Pages through the list, one batch a page, until both batches are seen.
pub(super) async fn ordered(
    tester: &mut Tester,
    first: &Batch<'_>,
    second: Option<&Batch<'_>>,
) -> Result<(), Halt> {
    if !tester.provider.codec().capabilities().list {
        tester.skip(names::ORDER, NO_LIST);
        tester.skip(names::PAGES, NO_LIST);
        return Ok(());
    }
    let start = tester.clock.elapsed();
    let wanted: Vec<&BatchId> = [Some(first), second]
        .into_iter()
        .flatten()
        .map(|batch| &batch.id)
        .collect();
    // The second batch may be listed late, as the first was.
    let mut polls = 0;
    let all = loop {
        let all = match tester.pages(&wanted, 1).await? {
            Ok(all) => all,
            Err(error) => {
                tester.note(names::PAGES, start, Finding::Differs(error.to_string()));
                tester.skip(names::ORDER, "the list cannot be read");
                return Ok(());
            }
        };
        let is_seen = |id: &&&BatchId| all.iter().any(|batch| batch.id == ***id);
        let waited = tester.clock.elapsed().saturating_sub(start);
        if wanted.iter().all(|id| is_seen(&id)) || waited >= tester.list_wait() {
            break all;
        }
        polls += 1;
        tester.pause_list(polls).await?;
    };
    let missing = wanted
        .iter()
        .filter(|id| !all.iter().any(|batch| batch.id == ***id))
        .count();
    if missing == wanted.len() {
        tester.skip(names::PAGES, "the list does not show the batches");
        tester.skip(names::ORDER, "the list does not show the batches");
        return Ok(());
    }
    let repeated = all
        .iter()
        .enumerate()
        .filter(|(at, batch)| all[..*at].iter().any(|before| before.id == batch.id))
        .count();
    let found = format!(
        "{} pages of one batch; {repeated} repeated, {missing} of {} missing",
        all.len(),
        wanted.len()
    );
    let holds = repeated == 0 && missing == 0;
    tester.note(names::PAGES, start, Finding::of(holds, found));
    order(tester, &all);
    Ok(())
}

/// Compares the times of consecutive batches. Batches of one second may come in any order.
fn order(tester: &mut Tester, all: &[BatchSnapshot]) {
    let times = all.iter().filter_map(|batch| batch.created_at);
    let times: Vec<u64> = times
        .filter_map(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map(|since| since.as_secs())
        .collect();
    if times.len() < 2 {
        tester.skip(
            names::ORDER,
            "fewer than two batches with a time are listed",
        );
        return;
    }
    tester.note(names::ORDER, tester.clock.elapsed(), newest_first(&times));
}

/// Compares times, in seconds, that should not increase.
fn newest_first(times: &[u64]) -> Finding {
    let pairs = || times.windows(2);
    let rising = pairs().filter(|pair| pair[0] < pair[1]).count();
    let equal = pairs().filter(|pair| pair[0] == pair[1]).count();
    let found = format!(
        "of {} neighbours {rising} are oldest first, and {equal} have one time",
        pairs().count()
    );
    Finding::of(rising == 0, found)
}

/// Searches the list of files for the upload of a batch.
pub(super) async fn uploads(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    let Some(remote_object) = batch.intent.staged.remote_objects.first() else {
        tester.skip(names::UPLOADS, "the route uploads no file");
        return Ok(());
    };
    let (start, mut page) = (tester.clock.elapsed(), None);
    for _ in 0..FILE_PAGES {
        let uploads = tester
            .call(|| tester.provider.uploads(page.clone()))
            .await?;
        let uploads = match uploads {
            Ok(uploads) => uploads,
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                tester.skip(names::UPLOADS, "the adapter lists no files");
                return Ok(());
            }
            Err(error) => {
                tester.note(names::UPLOADS, start, Finding::Differs(error.to_string()));
                return Ok(());
            }
        };
        if let Some(found) = uploads
            .items
            .iter()
            .find(|upload| upload.remote_object == *remote_object)
        {
            let is_same = found.label == batch.tiny.shard.label;
            let bytes = found
                .bytes
                .map_or("unknown size".to_owned(), crate::format::bytes);
            tester.note(names::UPLOADS, start, Finding::of(is_same, bytes));
            return Ok(());
        }
        page = uploads.next;
        if page.is_none() {
            break;
        }
    }
    let finding = Finding::Differs("the file is not listed with a label of lmbatch".to_owned());
    tester.note(names::UPLOADS, start, finding);
    Ok(())
}

#[cfg(test)]
mod tests {
    use lmbatch::adapter::parse_time;

    use super::*;

    fn batch(status: BatchStatus) -> BatchSnapshot {
        let mut batch = BatchSnapshot::new(BatchId::new("b"), status);
        batch.counts.total = Some(3);
        batch.label = Some(Label::new("l"));
        batch
    }

    #[test]
    fn a_list_is_newest_first_and_batches_of_one_second_have_no_order() {
        for (times, holds) in [
            (&[9, 7, 7, 1][..], true),
            (&[7, 7], true),
            (&[7, 9], false),
            (&[9, 1, 7], false),
        ] {
            let is_held = matches!(newest_first(times), Finding::Holds(_));
            assert_eq!(is_held, holds, "{times:?}");
        }
    }

    #[test]
    fn a_listed_batch_may_advance_between_two_calls_and_nothing_else_may_change() {
        use BatchStatus::{Completed, Finalizing, InProgress, Unknown, Validating};
        let odd = || Unknown("paused".to_owned());
        for (before, listed, after, agree) in [
            (Validating, Validating, Validating, true),
            (Validating, InProgress, Finalizing, true),
            (InProgress, Validating, Completed, false),
            (Validating, Completed, InProgress, false),
            (odd(), odd(), Completed, true),
            (InProgress, odd(), Completed, false),
        ] {
            let [before, listed, after] = [before, listed, after].map(batch);
            let apart = differences(&before, &listed, &after);
            assert_eq!(apart.is_empty(), agree, "{apart:?}");
        }
        let changes: [fn(&mut BatchSnapshot); 3] = [
            |listed| listed.counts.total = Some(2),
            |listed| listed.label = None,
            |listed| listed.created_at = parse_time("2026-11-27T09:00:00Z"),
        ];
        for change in changes {
            let mut listed = batch(InProgress);
            change(&mut listed);
            let same = batch(InProgress);
            assert_eq!(differences(&same, &listed, &same).len(), 1);
        }
    }
}
