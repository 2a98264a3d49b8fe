//! Rows of results, joined with the requests of a batch.

use lmbatch::adapter::{BatchCodec, OutcomeView, ResultPart, RowReader};
use lmbatch::{FinishReason, TokenUsage};

use super::super::batch::TinyBatch;
use super::super::budget::Used;

/// Part of the results, with its bytes.
pub(super) type Part = (ResultPart, Vec<u8>);

/// Answer to one request.
#[derive(Debug)]
struct Answer {
    /// Position of the request in the batch, from 0.
    request: usize,
    used: Used,
    finish: FinishReason,
}

/// Rows of a batch by their requests.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Positions of the requests of all rows, in the order of the rows.
    order: Vec<usize>,
    answers: Vec<Answer>,
    /// Errors of requests, as short phrases.
    errors: Vec<String>,
    cancelled: u64,
    expired: u64,
    /// Number of rows whose id is not one of the batch.
    foreign: u64,
    /// Number of rows that cannot be read.
    unreadable: u64,
    requests: usize,
}

impl Rows {
    /// Reads every row of the parts.
    pub(super) fn read(codec: &dyn BatchCodec, parts: &[Part], batch: &TinyBatch) -> Self {
        let mut rows = Self {
            requests: batch.ids.len(),
            ..Self::default()
        };
        let mut reader = RowReader::new();
        for (part, bytes) in parts {
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            for line in lines.filter(|line| !line.is_empty()) {
                match codec.decode(part, reader.read(line)) {
                    Ok(row) => {
                        let id = row.id.map(|id| id.decode().into_owned());
                        let found = id.and_then(|id| batch.ids.iter().position(|own| *own == id));
                        rows.add(found, &row.outcome);
                    }
                    Err(_) => rows.unreadable += 1,
                }
            }
        }
        rows
    }

    fn add(&mut self, request: Option<usize>, outcome: &OutcomeView<'_>) {
        let Some(request) = request else {
            self.foreign += 1;
            return;
        };
        self.order.push(request);
        match outcome {
            OutcomeView::Succeeded(output) => self.answers.push(Answer {
                request,
                used: Used {
                    usage: output.usage,
                    model: output.model.map(|model| model.decode().into_owned()),
                },
                finish: output.finish_reason.clone(),
            }),
            OutcomeView::Errored(failure) => {
                let status = failure.http_status;
                let status = status.map_or(String::new(), |status| format!(" (HTTP {status})"));
                self.errors.push(format!("{}{status}", failure.kind));
            }
            OutcomeView::Expired => self.expired += 1,
            OutcomeView::Cancelled => self.cancelled += 1,
        }
    }

    /// Returns the number of answered requests.
    pub(super) fn answered(&self) -> u64 {
        self.answers.len() as u64
    }

    /// Reports whether every row can be read and belongs to a request that has no other row.
    pub(super) fn is_clean(&self) -> bool {
        self.foreign == 0 && self.unreadable == 0 && self.repeated() == 0
    }

    /// Reports whether every request has exactly one row.
    pub(super) fn is_whole(&self) -> bool {
        self.is_clean() && self.order.len() == self.requests
    }

    fn repeated(&self) -> usize {
        let mut seen = self.order.clone();
        seen.sort_unstable();
        seen.dedup();
        self.order.len() - seen.len()
    }

    /// Reports whether every answer says how many tokens it used.
    pub(super) fn has_usage(&self) -> bool {
        let is_counted = |usage: &TokenUsage| usage.input_tokens > 0 && usage.output_tokens > 0;
        let mut answers = self.answers.iter();
        answers.all(|answer| answer.used.usage.as_ref().is_some_and(is_counted))
    }

    /// Returns the tokens of every answer.
    pub(super) fn used(&self) -> Vec<Used> {
        let answers = self.answers.iter();
        answers.map(|answer| answer.used.clone()).collect()
    }

    /// Returns the tokens of every answer as a phrase.
    pub(super) fn tokens(&self) -> String {
        let each = self.answers.iter().map(|answer| match &answer.used.usage {
            Some(usage) => format!("{} in, {} out", usage.input_tokens, usage.output_tokens),
            None => "none".to_owned(),
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Compares the tokens of every answer with the bounds of its request. Returns the largest shares of the bounds
    /// in percent, of input and of output; `None` where there is nothing to compare.
    pub(super) fn shares(&self, batch: &TinyBatch) -> Option<(u64, u64)> {
        let mut largest = None;
        for answer in &self.answers {
            let bounds = &batch.bounds[answer.request];
            let usage = answer.used.usage.as_ref()?;
            let output = bounds.output?.saturating_mul(bounds.answers);
            let share = |used: u64, most: u64| used.saturating_mul(100).div_ceil(most.max(1));
            let (input, output) = (
                share(usage.input_tokens, bounds.input?),
                share(usage.output_tokens, output),
            );
            let (before_input, before_output) = largest.unwrap_or((0, 0));
            largest = Some((input.max(before_input), output.max(before_output)));
        }
        largest
    }

    /// Returns the reasons why the answers ended, and whether each is a known one.
    pub(super) fn finishes(&self) -> (String, bool) {
        let reasons = self.answers.iter().map(|answer| answer.finish.as_str());
        let reasons: Vec<&str> = reasons.collect();
        let mut answers = self.answers.iter();
        let is_known = answers.all(|answer| !matches!(answer.finish, FinishReason::Other(_)));
        (reasons.join(", "), is_known)
    }

    /// Returns what the rows hold, as a phrase.
    pub(super) fn summary(&self) -> String {
        let mut words = Vec::new();
        for (count, word) in [
            (self.answered(), "succeeded"),
            (self.errors.len() as u64, "errored"),
            (self.cancelled, "cancelled"),
            (self.expired, "expired"),
            (self.foreign, "of unknown requests"),
            (self.unreadable, "unreadable"),
            (self.repeated() as u64, "repeated"),
        ] {
            if count > 0 {
                words.push(format!("{count} {word}"));
            }
        }
        let mut text = match words.is_empty() {
            true => "no rows".to_owned(),
            false => words.join(", "),
        };
        if !self.errors.is_empty() {
            text.push_str(&format!(" ({})", self.errors.join(", ")));
        }
        if !self.answers.is_empty() {
            text.push_str(&format!("; tokens: {}", self.tokens()));
        }
        text
    }

    /// Returns the order of the rows as a phrase.
    pub(super) fn order(&self) -> &'static str {
        match self.order.is_sorted() {
            true => "in the order of the requests",
            false => "in another order than the requests",
        }
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::adapter::{FailureView, OutputView, TokenBounds};
    use lmbatch::engine::SystemRng;
    use lmbatch::{ErrorKind, Retry};

    use super::super::super::batch::Writer;
    use super::super::super::label::nonce;
    use super::*;

    fn rows(outcomes: &[(Option<usize>, OutcomeView<'_>)]) -> Rows {
        let mut rows = Rows {
            requests: 2,
            ..Rows::default()
        };
        for (request, outcome) in outcomes {
            rows.add(*request, outcome);
        }
        rows
    }

    fn answer(usage: Option<(u64, u64)>, finish: FinishReason) -> OutcomeView<'static> {
        let mut output = OutputView::text("ok".into(), finish);
        output.usage = usage.map(|(input_tokens, output_tokens)| TokenUsage {
            input_tokens,
            output_tokens,
            ..TokenUsage::default()
        });
        OutcomeView::Succeeded(output)
    }

    #[test]
    fn each_request_has_one_row_with_its_usage_and_a_known_end() {
        let good = || answer(Some((5, 2)), FinishReason::Stop);
        let failed =
            || OutcomeView::Errored(FailureView::new(ErrorKind::InvalidInput, Retry::Permanent));
        for (outcomes, is_whole, has_usage, is_known) in [
            (vec![(Some(1), good()), (Some(0), good())], true, true, true),
            (vec![(Some(0), good())], false, true, true),
            (
                vec![(Some(0), good()), (Some(0), good())],
                false,
                true,
                true,
            ),
            (
                vec![(Some(0), good()), (Some(1), good()), (None, good())],
                false,
                true,
                true,
            ),
            (
                vec![(Some(0), good()), (Some(1), failed())],
                true,
                true,
                true,
            ),
            (
                vec![
                    (Some(0), answer(None, FinishReason::Stop)),
                    (Some(1), good()),
                ],
                true,
                false,
                true,
            ),
            (
                vec![
                    (Some(0), answer(Some((0, 2)), FinishReason::Stop)),
                    (Some(1), good()),
                ],
                true,
                false,
                true,
            ),
            (
                vec![
                    (Some(0), answer(Some((1, 0)), FinishReason::Stop)),
                    (Some(1), good()),
                ],
                true,
                false,
                true,
            ),
            (
                vec![
                    (
                        Some(0),
                        answer(Some((1, 1)), FinishReason::Other("new".into())),
                    ),
                    (Some(1), good()),
                ],
                true,
                true,
                false,
            ),
        ] {
            let rows = rows(&outcomes);
            let found = (rows.is_whole(), rows.has_usage(), rows.finishes().1);
            assert_eq!(found, (is_whole, has_usage, is_known), "{}", rows.summary());
        }
    }

    #[test]
    fn the_largest_share_of_a_bound_counts_and_an_absent_one_is_no_share() {
        let nonce = nonce(&SystemRng);
        let provider = crate::model::find("openai").unwrap();
        let codec = provider.codec(provider.routes()[0]);
        let writer = Writer {
            codec: &*codec,
            model: "m",
            max_tokens: 16,
            nonce: &nonce,
        };
        let mut batch = writer.batch(0, 2).unwrap();
        let mut bounds = TokenBounds::of_text(200);
        bounds.output = Some(16);
        batch.bounds = vec![bounds.clone(), bounds];
        for (input, output, shares) in [
            (10, 4, (5, 25)),
            (200, 16, (100, 100)),
            (201, 17, (101, 107)),
        ] {
            let rows = rows(&[
                (Some(0), answer(Some((1, 1)), FinishReason::Stop)),
                (Some(1), answer(Some((input, output)), FinishReason::Length)),
            ]);
            assert_eq!(rows.shares(&batch), Some(shares), "{input} {output}");
        }
        assert_eq!(
            rows(&[(Some(0), answer(None, FinishReason::Stop))]).shares(&batch),
            None
        );
    }
}
