//! Checks of the batch that is completed: its counts, its rows, and its results read again and from the middle.

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch::adapter::{BatchProvider, Chunk, ResultPart};
use lmbatch::{BatchSnapshot, BatchStatus, Error, ErrorKind};

use super::super::names;
use super::super::plan::Batch;
use super::super::report::{Finding, seconds};
use super::super::tester::{Halt, Tester};
use super::rows::{Part, Rows};

/// Checks about the results of the batch.
const OF_RESULTS: [&str; 7] = [
    names::COUNTS,
    names::ROWS,
    names::USAGE,
    names::BOUND,
    names::FINISH,
    names::RANGE,
    names::TWICE,
];

/// Waits for the end of the batch, and checks everything about its results.
pub(super) async fn completed(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    let ended = tester.wait(&batch.id, |_| false).await?;
    let (snapshot, has_ended) = match ended {
        Ok(ended) => ended,
        Err(error) => {
            tester.note(
                names::ENDED,
                batch.created,
                Finding::Differs(error.to_string()),
            );
            return Ok(());
        }
    };
    let waited = seconds(tester.clock.elapsed().saturating_sub(batch.created));
    if !has_ended {
        let reason = format!("still {} {waited} after the create", snapshot.status);
        for name in [names::ENDED, names::CANCEL_ENDED]
            .iter()
            .chain(&OF_RESULTS)
        {
            tester.skip(name, &reason);
        }
        return Ok(());
    }
    let mut found = format!("{} at most {waited} after the create", snapshot.status);
    for problem in &snapshot.problems {
        found.push_str(&format!("; {}", problem.error));
    }
    let is_completed = snapshot.status == BatchStatus::Completed;
    tester.note(
        names::ENDED,
        batch.created,
        Finding::of(is_completed, found),
    );
    cancel_ended(tester, batch).await?;
    if !is_completed {
        for name in OF_RESULTS {
            tester.skip(name, "the batch is not completed");
        }
        return Ok(());
    }
    let start = tester.clock.elapsed();
    match results_of(tester, batch).await? {
        Ok(parts) => {
            rows(tester, batch, &snapshot, &parts, start);
            again(tester, &parts).await?;
            range(tester, &parts).await
        }
        Err(error) => {
            tester.note(names::ROWS, start, Finding::Differs(error.to_string()));
            for name in OF_RESULTS.into_iter().filter(|name| *name != names::ROWS) {
                tester.skip(name, "the results cannot be read");
            }
            Ok(())
        }
    }
}

async fn cancel_ended(tester: &mut Tester, batch: &Batch<'_>) -> Result<(), Halt> {
    if !tester.provider.codec().capabilities().cancel {
        tester.skip(names::CANCEL_ENDED, "the adapter cancels no batches");
        return Ok(());
    }
    let start = tester.clock.elapsed();
    let cancelled = tester.call(|| tester.provider.cancel(&batch.id)).await?;
    let after = tester.call(|| tester.provider.status(&batch.id)).await?;
    let finding = match (cancelled, after) {
        (Ok(()), Ok(after)) => {
            let found = format!("the batch stays {}", after.status);
            Finding::of(after.status.is_terminal(), found)
        }
        (Err(error), _) | (_, Err(error)) => Finding::Differs(error.to_string()),
    };
    tester.note(names::CANCEL_ENDED, start, finding);
    Ok(())
}

/// Compares counts, rows, tokens and ends with the requests.
fn rows(
    tester: &mut Tester,
    batch: &Batch<'_>,
    snapshot: &BatchSnapshot,
    parts: &[Part],
    start: Duration,
) {
    let rows = Rows::read(tester.provider.codec(), parts, batch.tiny);
    let now = tester.clock.now();
    tester.budget.settle(batch.tiny, &rows.used(), now);
    let counts = snapshot.counts;
    let at = tester.clock.elapsed();
    let count = u64::from(batch.tiny.shard.count);
    match counts.total {
        Some(total) => {
            let found = format!(
                "{total} in all, {} succeeded, {} errored",
                counts.succeeded, counts.errored
            );
            let is_same = total == count && counts.finished() == count;
            tester.note(names::COUNTS, at, Finding::of(is_same, found));
        }
        None => tester.skip(names::COUNTS, "the provider reports no counts"),
    }
    let found = format!("{}; {}", rows.summary(), rows.order());
    let holds = rows.is_whole() && rows.answered() == count;
    tester.note(names::ROWS, start, Finding::of(holds, found));
    if rows.answered() == 0 {
        for name in [names::USAGE, names::BOUND, names::FINISH] {
            tester.skip(name, "no request is answered");
        }
        return;
    }
    let mut found = rows.tokens();
    if let Some(usage) = snapshot.usage {
        let (input, output) = (usage.input_tokens, usage.output_tokens);
        found.push_str(&format!("; the batch: {input} in, {output} out"));
    }
    tester.note(names::USAGE, at, Finding::of(rows.has_usage(), found));
    match rows.shares(batch.tiny) {
        Some((input, output)) => {
            let found = format!("at most {input}% of the input and {output}% of the output");
            let holds = input <= 100 && output <= 100;
            tester.note(names::BOUND, at, Finding::of(holds, found));
        }
        None => tester.skip(
            names::BOUND,
            "the adapter has no bound, or an answer no usage",
        ),
    }
    let (found, is_known) = rows.finishes();
    tester.note(names::FINISH, at, Finding::of(is_known, found));
}

/// Reads every part of the results a second time.
async fn again(tester: &mut Tester, parts: &[Part]) -> Result<(), Halt> {
    let start = tester.clock.elapsed();
    let mut different = Vec::new();
    for (part, bytes) in parts {
        match read(tester, part, 0).await? {
            Ok((second, _)) if second == *bytes => {}
            Ok((second, _)) => {
                different.push(format!("{} and then {} bytes", bytes.len(), second.len()));
            }
            Err(error) => different.push(error.to_string()),
        }
    }
    let bytes: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
    let finding = match different.is_empty() {
        true => Finding::Holds(format!("{bytes} equal bytes")),
        false => Finding::Differs(different.join("; ")),
    };
    tester.note(names::TWICE, start, finding);
    Ok(())
}

/// Reads the largest part of the results from its middle, as a run does after a download that broke.
async fn range(tester: &mut Tester, parts: &[Part]) -> Result<(), Halt> {
    if !tester.provider.codec().capabilities().ranges {
        tester.skip(names::RANGE, "the adapter reads results as a whole");
        return Ok(());
    }
    let largest = parts.iter().max_by_key(|(_, bytes)| bytes.len());
    let Some((part, bytes)) = largest.filter(|(_, bytes)| bytes.len() > 1) else {
        tester.skip(names::RANGE, "the results are empty");
        return Ok(());
    };
    let (start, from) = (tester.clock.elapsed(), bytes.len() / 2);
    let finding = match read(tester, part, from as u64).await? {
        Ok((rest, _)) => {
            let found = format!("{} bytes from byte {from} of {}", rest.len(), bytes.len());
            Finding::of(rest == bytes[from..], found)
        }
        Err(error) => Finding::Differs(format!("from byte {from} of {}: {error}", bytes.len())),
    };
    tester.note(names::RANGE, start, finding);
    Ok(())
}

/// Reads all results of a batch that has ended, once the provider shows them.
pub(super) async fn results_of(
    tester: &Tester,
    batch: &Batch<'_>,
) -> Result<lmbatch::Result<Vec<Part>>, Halt> {
    let class = Some(&batch.tiny.shard.class);
    let (start, mut polls) = (tester.clock.elapsed(), 0);
    let parts = loop {
        let set = tester
            .call(|| tester.provider.results(class, &batch.id))
            .await?;
        match set {
            Ok(set) if set.complete => break set.parts,
            Ok(_) if tester.clock.elapsed().saturating_sub(start) < tester.list_wait() => {}
            Ok(_) => {
                let error = Error::new(ErrorKind::Timeout)
                    .with_message("the batch has ended, and its results are not shown");
                return Ok(Err(error));
            }
            Err(error) => return Ok(Err(error)),
        }
        polls += 1;
        tester.pause_list(polls).await?;
    };
    let (mut queue, mut read_parts) = (VecDeque::from(parts), Vec::new());
    while let Some(part) = queue.pop_front() {
        match read(tester, &part, 0).await? {
            Ok((bytes, next)) => {
                queue.extend(next);
                read_parts.push((part, bytes));
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(read_parts))
}

type Bytes = (Vec<u8>, Vec<ResultPart>);

/// Reads a part from an offset to its end, with the parts that follow it.
async fn read(
    tester: &Tester,
    part: &ResultPart,
    from: u64,
) -> Result<lmbatch::Result<Bytes>, Halt> {
    tester.call(|| whole(&*tester.provider, part, from)).await
}

async fn whole(
    provider: &dyn BatchProvider,
    part: &ResultPart,
    from: u64,
) -> lmbatch::Result<Bytes> {
    let (mut bytes, mut next) = (Vec::new(), Vec::new());
    let mut stream = provider.read(part, from).await?;
    while let Some(chunk) = stream.next().await {
        match chunk? {
            Chunk::Bytes(piece) => bytes.extend_from_slice(&piece),
            Chunk::Next(part) => next.push(part),
        }
    }
    Ok((bytes, next))
}
