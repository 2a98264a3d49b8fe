//! Origin of a batch from the ids of its rows. If a provider keeps no labels, or the label is lost,
//! the results of an ended batch still hold the ids that lmbatch gave to its requests.

use futures::StreamExt as _;
use lmbatch_core::{
    BatchId, BatchSnapshot, Chunk, Error, ErrorKind, Nonce, OutcomeView, Result, ResultPart, Retry,
    RowReader, WireId,
};

use crate::context::Context;
use crate::results::pieces::pieces;
use crate::run::step::Kind;

/// Maximum number of rows that are read before a batch counts as one of another program.
const MAX_ROWS: u32 = 8;

/// Summary of all rows of an ended batch.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// One bit for each request of the run that a row names.
    named: Vec<u64>,
    /// Number of requests that rows name.
    pub(crate) count: u64,
    /// Number of rows that name a request for a second time.
    pub(crate) again: u64,
    /// Number of rows whose id does not belong to the run.
    pub(crate) foreign: u64,
    /// Highest ordinal in a row that the input does not have.
    pub(crate) beyond: Option<u32>,
    /// Model of the first answer that names one.
    pub(crate) model: Option<String>,
}

impl Survey {
    pub(crate) fn names(&self, ordinal: u32) -> bool {
        let word = self.named.get(ordinal as usize / 64);
        word.is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    /// Adds the request of a row. Returns whether this is the first row of the request.
    fn name(&mut self, ordinal: u32) -> bool {
        let at = ordinal as usize / 64;
        if self.named.len() <= at {
            self.named.resize(at + 1, 0);
        }
        let bit = 1 << (ordinal % 64);
        let first = self.named[at] & bit == 0;
        self.named[at] |= bit;
        first
    }
}

impl Context {
    pub(crate) async fn origin(&self, batch: &BatchId) -> Result<Option<Nonce>> {
        let snapshot = self.status(batch).await?;
        if !snapshot.status.is_terminal() {
            return Err(Error::new(ErrorKind::NotEnded)
                .with_retry(Retry::Temporary)
                .with_message(format!(
                    "the batch is {}, and only the rows of its results show to which run it belongs; adopt it when it has ended, and do not send its input again until then",
                    snapshot.status
                ))
                .with_batch(batch.clone()));
        }
        self.origin_of(&snapshot).await
    }

    /// Returns the nonce of the run of a batch whose status is known.
    pub(crate) async fn origin_of(&self, snapshot: &BatchSnapshot) -> Result<Option<Nonce>> {
        if !snapshot.status.may_have_outcomes() {
            return Ok(None);
        }
        let look = || async {
            let (mut rows, mut found, mut reader) = (0, None, RowReader::new());
            let visit = |part: &ResultPart, row: &[u8]| {
                rows += 1;
                let scanned = self.provider.codec().scan(part, reader.read(row));
                let id = scanned.ok().and_then(|scanned| scanned.id);
                found = id.and_then(|id| WireId::parts(&id.decode()).map(|(nonce, _)| nonce));
                found.is_none() && rows < MAX_ROWS
            };
            self.each_row(&snapshot.id, visit).await?;
            Ok(found)
        };
        let found: Result<Option<Nonce>> = self.retrying_as(Kind::Fetch, look).await;
        found.map_err(|error| error.with_batch(snapshot.id.clone()))
    }

    /// Reads every row of an ended batch and compares its id with those of a run of `requests`
    /// requests.
    pub(crate) async fn survey(
        &self,
        batch: &BatchId,
        nonce: &Nonce,
        requests: u32,
    ) -> Result<Survey> {
        let codec = self.provider.codec();
        let look = || async {
            let (mut survey, mut reader) = (Survey::default(), RowReader::new());
            let visit = |part: &ResultPart, row: &[u8]| {
                let row = reader.read(row);
                let scanned = codec.scan(part, row).ok();
                let id = scanned.and_then(|scanned| scanned.id);
                match id.and_then(|id| WireId::parse_ordinal(nonce, &id.decode())) {
                    None => survey.foreign += 1,
                    Some(ordinal) if ordinal >= requests => {
                        survey.beyond = survey.beyond.max(Some(ordinal));
                    }
                    Some(ordinal) if survey.name(ordinal) => survey.count += 1,
                    Some(_) => survey.again += 1,
                }
                if survey.model.is_none()
                    && let Ok(row) = codec.decode(part, row)
                    && let OutcomeView::Succeeded(output) = row.outcome
                {
                    survey.model = output.model.map(|model| model.decode().into_owned());
                }
                true
            };
            self.each_row(batch, visit).await?;
            Ok(survey)
        };
        let survey: Result<Survey> = self.retrying_as(Kind::Fetch, look).await;
        survey.map_err(|error| error.with_batch(batch.clone()))
    }

    /// Passes the rows of an ended batch to `visit` until it returns `false`. Nothing is stored.
    async fn each_row(
        &self,
        batch: &BatchId,
        mut visit: impl FnMut(&ResultPart, &[u8]) -> bool + Send,
    ) -> Result<()> {
        // The class of the batch is unknown before its rows are read.
        let set = self.provider.results(None, batch).await?;
        if !set.complete {
            return Err(Error::new(ErrorKind::Timeout)
                .with_retry(Retry::Temporary)
                .with_message(
                    "the batch has ended, but the provider does not show its results yet",
                ));
        }
        let mut parts = std::collections::VecDeque::from(set.parts);
        while let Some(part) = parts.pop_front() {
            let mut stream = self.provider.read(&part, 0).await?;
            let mut row = Vec::new();
            let mut take = |line: &[u8]| {
                let mut rows = pieces(line).into_iter();
                rows.all(|row| {
                    let row = line[row].trim_ascii();
                    row.is_empty() || visit(&part, row)
                })
            };
            while let Some(chunk) = stream.next().await {
                let bytes = match chunk? {
                    Chunk::Bytes(bytes) => bytes,
                    Chunk::Next(next) => {
                        parts.push_back(next);
                        continue;
                    }
                };
                let mut rest = &bytes[..];
                while let Some(end) = memchr::memchr(b'\n', rest) {
                    row.extend_from_slice(&rest[..end]);
                    if !take(&row) {
                        return Ok(());
                    }
                    row.clear();
                    rest = &rest[end + 1..];
                }
                row.extend_from_slice(rest);
                if row.len() > self.max_row_bytes {
                    return Err(Error::malformed(format!(
                        "a row of the results is longer than {} bytes",
                        self.max_row_bytes
                    )));
                }
            }
            if !take(&row) {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Returns whether two names may denote one model: one is a prefix of the other, or they differ only
/// in numbers and in names of releases.
pub(crate) fn is_one_model(is: &str, wanted: &str) -> bool {
    // Providers add the version of a model, and some the collection that contains it.
    let name = |name: &str| {
        let name = name.rsplit('/').next().unwrap_or_default();
        name.to_ascii_lowercase()
    };
    let (is, wanted) = (name(is), name(wanted));
    let words = |name: &str| {
        let parts = name.split(|c: char| !c.is_ascii_alphabetic());
        let kept = parts.filter(|part| !["", "latest", "preview", "exp", "v"].contains(part));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    is.starts_with(&wanted) || wanted.starts_with(&is) || words(&is) == words(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_has_several_names() {
        for (is, wanted, same) in [
            ("m-2026-01-01", "m", true),
            ("acme-haiku-4-5-20251001", "acme-haiku-4-5", true),
            ("acme-sonnet-4-20250514", "acme-sonnet-4-0", true),
            ("x-5-haiku-20241022", "x-5-haiku-latest", true),
            ("models/g-2.5-flash", "g-2.5-flash", true),
            ("acme-sonnet-4-5", "acme-haiku-4-5", false),
            ("gpt-5-mini-2025", "gpt-5-nano", false),
        ] {
            assert_eq!(is_one_model(is, wanted), same, "{is} {wanted}");
        }
    }

    #[test]
    fn a_survey_counts_each_request_once() {
        let mut survey = Survey::default();
        for (ordinal, first) in [(0, true), (63, true), (64, true), (0, false), (1000, true)] {
            assert_eq!(survey.name(ordinal), first, "{ordinal}");
        }
        assert!(survey.names(63) && survey.names(1000));
        assert!(!survey.names(1) && !survey.names(u32::MAX));
    }
}
