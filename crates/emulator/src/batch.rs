//! The life of a batch, common to all dialects: it is accepted, checked and answered, and ends.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::time::Duration;

use axum::extract::Request;
use serde_json::Value;

use crate::answers::Answers;
use crate::exchange::ReversedTies;
use crate::magic;
use crate::results::RowWriter;
use crate::state::{Batch, Counts, Fate, Phase, Row, Settled, State};

/// Records an accepted create, which is charged from then on.
pub(crate) fn accept(state: &State, batch: Batch) -> Batch {
    let mut inner = state.lock();
    inner.bill.accept(&batch);
    inner.batches.push(batch.clone());
    batch
}

/// Returns the batch in its current phase, after all work that is due.
pub(crate) fn current(state: &State, provider: &str, id: &str) -> Option<(Batch, Phase)> {
    let mut batch = state.batch(provider, id)?;
    if let Some(settled) = &batch.settled {
        let phase = settled.phase;
        return Some((batch, phase));
    }
    let phase = due(state, &batch);
    if matches!(phase, Phase::Validating | Phase::Cancelling) {
        return Some((batch, phase));
    }
    // An invalid input fails the batch as soon as it has been checked.
    if !batch.checked {
        if let Some(error) = batch.dialect.check(state, &batch) {
            let failed = Settled {
                phase: Phase::Failed,
                error: Some(error),
                ..Settled::default()
            };
            return Some(end(state, batch, failed));
        }
        batch.checked = true;
        state.change(provider, id, |stored| stored.checked = true);
    }
    if matches!(phase, Phase::InProgress | Phase::Finalizing) {
        return Some((batch, phase));
    }
    let _turn = state.settling();
    // A concurrent call may have ended the batch.
    if let Some(settled) = state.batch(provider, id)?.settled {
        let phase = settled.phase;
        batch.settled = Some(settled);
        return Some((batch, phase));
    }
    let settled = answer(state, &batch, phase).unwrap_or_else(|_| Settled {
        phase: Phase::Failed,
        error: Some(serde_json::json!({"code": "server_error", "message": "The results could not be written."})),
        ..Settled::default()
    });
    Some(end(state, batch, settled))
}

fn due(state: &State, batch: &Batch) -> Phase {
    let (now, pace) = (state.time.now(), state.pace);
    let age = now.saturating_sub(batch.created);
    match batch.cancelled {
        Some(at) if now.saturating_sub(at) < pace.finalizing => return Phase::Cancelling,
        Some(_) => return Phase::Cancelled,
        None => {}
    }
    if age >= batch.dialect.window() && pace.total() > batch.dialect.window() {
        Phase::Expired
    } else if age < pace.validating {
        Phase::Validating
    } else if age < pace.validating + pace.in_progress {
        Phase::InProgress
    } else if age < pace.total() {
        Phase::Finalizing
    } else {
        Phase::Completed
    }
}

fn end(state: &State, mut batch: Batch, mut settled: Settled) -> (Batch, Phase) {
    settled.at = state.time.now();
    let phase = settled.phase;
    let mut inner = state.lock();
    let Some(stored) = inner.find(batch.dialect.name(), &batch.id) else {
        return (batch, phase);
    };
    if let Some(earlier) = &stored.settled {
        let phase = earlier.phase;
        return (stored.clone(), phase);
    }
    stored.settled = Some(settled.clone());
    inner.bill.answered(&batch.id, settled.counts.succeeded);
    batch.settled = Some(settled);
    (batch, phase)
}

/// Cancels a batch. Returns the batch and whether it was still running.
pub(crate) fn cancel(state: &State, provider: &str, id: &str) -> Option<(Batch, bool)> {
    let (batch, phase) = current(state, provider, id)?;
    let running = matches!(
        phase,
        Phase::Validating | Phase::InProgress | Phase::Finalizing
    );
    if running {
        let now = state.time.now();
        state.change(provider, id, |stored| stored.cancelled = Some(now));
    }
    Some((
        batch,
        running || matches!(phase, Phase::Cancelling | Phase::Cancelled),
    ))
}

/// Answers every request and writes the results.
fn answer(state: &State, batch: &Batch, ending: Phase) -> io::Result<Settled> {
    let mut settled = Settled {
        phase: ending,
        ..Settled::default()
    };
    let mut output = RowWriter::new(state, &batch.id, "output")?;
    let mut errors = RowWriter::new(state, &batch.id, "errors")?;
    let input = File::open(state.path(&batch.input))?;
    let lines = BufReader::with_capacity(256 << 10, input).split(b'\n');
    for (place, line) in lines.enumerate() {
        let Ok(line) = serde_json::from_slice::<Value>(&line?) else {
            continue;
        };
        settled.total += 1;
        for row in rows(batch, &line, place, ending, &state.answers, &mut settled) {
            let file = if row.is_error {
                &mut errors
            } else {
                &mut output
            };
            file.push(&row.bytes)?;
        }
    }
    let lost = !batch.dialect.keeps_answers_of_expired() && settled.phase == Phase::Expired;
    if lost {
        settled.counts = Counts {
            expired: settled.total,
            ..Counts::default()
        };
    }
    let empty = batch.dialect.shows_empty_results();
    settled.output = output.finish(state, empty)?.filter(|_| !lost);
    settled.errors = errors.finish(state, false)?.filter(|_| !lost);
    Ok(settled)
}

fn rows(
    batch: &Batch,
    line: &Value,
    place: usize,
    ending: Phase,
    answers: &Answers,
    settled: &mut Settled,
) -> Vec<Row> {
    let text = batch.dialect.user_text(line);
    if text.contains(magic::UNANSWERED) {
        return Vec::new();
    }
    let fate = fate(&text, place, ending);
    match fate {
        Fate::Answered => settled.counts.succeeded += 1,
        Fate::Error { .. } => settled.counts.errored += 1,
        Fate::Cancelled => settled.counts.cancelled += 1,
        Fate::Expired => {
            settled.phase = if settled.phase == Phase::Completed {
                Phase::Expired
            } else {
                settled.phase
            };
            settled.counts.expired += 1;
        }
    }
    let (row, tokens) = batch
        .dialect
        .row(batch, line, place, fate, answers, settled);
    settled.input_tokens += tokens.input;
    settled.output_tokens += tokens.output;
    if text.contains(magic::MISSING) {
        return Vec::new();
    }
    if text.contains(magic::CUT) {
        let half = row.bytes.len() / 2;
        return vec![Row {
            bytes: row.bytes[..half].to_vec(),
            ..row
        }];
    }
    let mut all = Vec::new();
    if text.contains(magic::TWICE) {
        all.push(Row {
            bytes: row.bytes.clone(),
            ..row
        });
    }
    if text.contains(magic::FOREIGN) {
        let bytes = batch.dialect.foreign();
        all.push(Row {
            bytes: bytes.as_bytes().to_vec(),
            is_error: false,
        });
    }
    all.push(row);
    all
}

fn fate(text: &str, place: usize, ending: Phase) -> Fate {
    // A cancel, or the end of the window, takes effect before every other request is answered.
    match ending {
        Phase::Cancelled if place % 2 == 1 => return Fate::Cancelled,
        Phase::Expired if place % 2 == 1 => return Fate::Expired,
        _ => {}
    }
    if text.contains(magic::EXPIRE) {
        return Fate::Expired;
    }
    let errors = [
        (magic::ERROR_400, 400),
        (magic::ERROR_429, 429),
        (magic::ERROR_500, 500),
    ];
    match errors.iter().find(|(word, _)| text.contains(word)) {
        Some((_, status)) => Fate::Error { status: *status },
        None => Fate::Answered,
    }
}

/// Returns the ids of a dialect's batches, newest first.
pub(crate) fn all(state: &State, provider: &str) -> Vec<String> {
    let inner = state.lock();
    let own = inner
        .batches
        .iter()
        .rev()
        .filter(|batch| batch.dialect.name() == provider);
    own.map(|batch| batch.id.clone()).collect()
}

/// Returns the ids of a dialect's batches as a list shows them: the newest may be absent.
pub(crate) fn listed(state: &State, provider: &str, request: &Request) -> Vec<String> {
    let shown = state.time.now().saturating_sub(state.limits.list_lag);
    let reversed = request.extensions().get::<ReversedTies>().is_some();
    let mut inner = state.lock();
    let mut listed = Vec::new();
    for batch in &mut inner.batches {
        if batch.dialect.name() != provider || batch.created > shown {
            continue;
        }
        match batch.unlisted.checked_sub(1) {
            Some(left) => batch.unlisted = left,
            None => listed.push((batch.created.as_secs(), batch.id.clone())),
        }
    }
    if reversed {
        // Newest first; batches of one second stay in the order of their creation.
        listed.sort_by_key(|(second, _)| Reverse(*second));
    } else {
        listed.reverse();
    }
    listed.into_iter().map(|(_, id)| id).collect()
}

/// Returns the number of running batches of a dialect and the number of their requests.
pub(crate) fn going_on(state: &State, provider: &str) -> (u64, u64) {
    let (mut batches, mut requests) = (0, 0);
    for id in all(state, provider) {
        let found = current(state, provider, &id);
        if let Some((batch, _)) = found.filter(|(batch, _)| batch.settled.is_none()) {
            batches += 1;
            requests += batch.requests;
        }
    }
    (batches, requests)
}

/// Returns whether one more create would exceed `most` creates in the current hour.
pub(crate) fn too_many_creates(state: &State, provider: &str, most: usize) -> bool {
    let since = state.time.now().saturating_sub(Duration::from_secs(3600));
    let inner = state.lock();
    let recent = inner
        .batches
        .iter()
        .filter(|batch| batch.dialect.name() == provider && batch.created > since);
    recent.count() >= most
}
