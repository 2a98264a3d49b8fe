//! Report about a pilot: counts, three answers, measured tokens and costs, and the projected cost of the other requests.

use lmbatch::adapter::{ItemView, OutcomeView};
use lmbatch::engine::{AnswerView, AnsweredRequest, Costs, OutcomeReader};
use lmbatch::{Cost, CostRange, OutcomeStatus, Problem};
use serde::Serialize;

use crate::counts::Counts;
use crate::exit::Failure;
use crate::format::number;
use crate::table::{Facts, cut_end};
use crate::{format, plain, wrapped};

/// Maximum number of characters that are shown of an answer.
const MOST: usize = 300;

/// Columns of the lines of an answer.
const COLUMNS: usize = 80;

/// Outcome that is shown as an example.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    position: u64,
    id: String,
    /// Status or problem of an outcome that is not usable.
    trouble: Option<String>,
    text: String,
}

/// Examples among outcomes that are read once, in their order.
#[derive(Debug)]
struct Examples {
    /// Positions of the first, the middle and the last outcome.
    positions: [u64; 3],
    kept: Vec<Example>,
    /// First outcome that is not usable.
    unusable: Option<Example>,
}

impl Examples {
    fn new(requests: u64) -> Self {
        Self {
            positions: [0, requests / 2, requests.saturating_sub(1)],
            kept: Vec::new(),
            unusable: None,
        }
    }

    fn see(&mut self, answered: &AnsweredRequest<'_>, position: u64, is_usable: bool) {
        let is_wanted = self.positions.contains(&position);
        if is_wanted {
            self.kept.push(Example::of(answered, position, is_usable));
        }
        if !is_usable && self.unusable.is_none() {
            self.unusable = Some(Example::of(answered, position, is_usable));
        }
    }

    /// Returns up to three examples in the order of the input: the first, the middle and the last outcome, of which the
    /// middle one gives way to an unusable outcome where the three are usable.
    fn finish(mut self) -> Vec<Example> {
        let is_any_unusable = self.kept.iter().any(|kept| kept.trouble.is_some());
        if let Some(unusable) = self.unusable.filter(|_| !is_any_unusable) {
            if self.kept.len() == 3 {
                self.kept.remove(1);
            }
            self.kept.push(unusable);
            self.kept.sort_by_key(|kept| kept.position);
        }
        self.kept
    }
}

impl Example {
    fn of(answered: &AnsweredRequest<'_>, position: u64, is_usable: bool) -> Self {
        let id = answered.id.as_str();
        let id = serde_json::from_str(id).unwrap_or_else(|_| id.to_owned());
        let status = answered.answer.status();
        let problem = answered.answer.problem();
        let trouble = problem.map_or(status.as_str(), |problem| problem.as_str());
        Self {
            position,
            id,
            trouble: (!is_usable).then(|| trouble.to_owned()),
            text: text_of(&answered.answer),
        }
    }

    /// Returns the lines that show the outcome.
    fn lines(&self) -> Vec<String> {
        let trouble = self.trouble.as_ref();
        let trouble = trouble.map_or(String::new(), |trouble| format!(" ({trouble})"));
        let mut lines = vec![format!("{}{trouble}:", plain::plain(&self.id))];
        let text = plain::plain(&self.text);
        let wrapped = wrapped::wrapped(&text, COLUMNS - 2).into_iter();
        lines.extend(wrapped.map(|line| format!("  {line}")));
        lines
    }
}

/// Returns the beginning of an answer, or of the reason why there is none, on one line.
fn text_of(answer: &AnswerView<'_>) -> String {
    let mut words = String::new();
    let mut add = |text: &str| {
        // A little more than is shown, so that a cut is seen.
        let left = (MOST + 1).saturating_sub(words.chars().count());
        words.extend(text.chars().take(left));
        words.push(' ');
    };
    match answer {
        AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            ..
        } => {
            for item in &output.items {
                match item {
                    ItemView::Text(text) | ItemView::Refusal(text) => add(&text.decode()),
                    ItemView::ToolCall(call) => {
                        add(&format!("calls the tool {}", call.name.decode()));
                    }
                    ItemView::Attachment(_) => add("an attachment"),
                    _ => {}
                }
            }
        }
        AnswerView::Row {
            outcome: OutcomeView::Errored(failure),
            ..
        } => {
            add(failure.code.as_deref().unwrap_or(failure.kind.as_str()));
            if let Some(message) = &failure.message {
                add(&message.decode());
            }
        }
        AnswerView::Malformed => add("the row holds no answer that can be read"),
        _ => {}
    }
    let text = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.is_empty() {
        true => "no text".to_owned(),
        false => cut_end(&text, MOST),
    }
}

/// Costs of the requests of a pilot, of which some have no answer.
#[derive(Debug, Clone, Copy, Default)]
struct Charges {
    costs: Costs,
    /// Sum and sum of squares of the upper bounds, in dollars.
    sums: (f64, f64),
}

impl Charges {
    fn add(&mut self, answered: &AnsweredRequest<'_>) {
        let is_answer = answered.answer.status() == OutcomeStatus::Succeeded;
        if !is_answer && !answered.answer.is_malformed() {
            return;
        }
        self.costs.add(answered.cost);
        let dollars = answered.cost.map_or(0.0, |cost| dollars(cost.charged.high));
        self.sums.0 += dollars;
        self.sums.1 += dollars * dollars;
    }

    /// Returns the standard error of the mean cost of a request, in dollars: by how much the mean of other requests of
    /// the kind is off, usually.
    fn standard_error(&self, requests: u64) -> f64 {
        if requests < 2 {
            return 0.0;
        }
        let count = requests as f64;
        let mean = self.sums.0 / count;
        let variance = (self.sums.1 - count * mean * mean) / (count - 1.0);
        (variance.max(0.0) / count).sqrt()
    }
}

fn dollars(cost: Cost) -> f64 {
    cost.picodollars() as f64 / 1e12
}

/// Returns an amount of dollars as a cost; zero where it is negative.
fn cost(dollars: f64) -> Cost {
    Cost::from_picodollars((dollars * 1e12).max(0.0) as u128)
}

/// Outcomes of a pilot, as they were read.
#[derive(Debug)]
pub(crate) struct Outcomes {
    pub(crate) counts: Counts,
    examples: Vec<Example>,
    charges: Charges,
    /// Largest number of output tokens of a request.
    most_output: u64,
}

/// Reads the outcomes of a pilot. Reads files: not for an async thread.
pub(crate) fn read(
    mut reader: OutcomeReader,
    requests: u64,
    accept: &[Problem],
) -> Result<Outcomes, Failure> {
    let mut examples = Examples::new(requests);
    let (mut counts, mut charges, mut most_output) = (Counts::default(), Charges::default(), 0);
    let mut position = 0;
    while let Some(answered) = reader.next()? {
        let usable = counts.usable;
        counts.count(&answered, accept);
        examples.see(&answered, position, counts.usable > usable);
        charges.add(&answered);
        most_output = most_output.max(answered.answer.usage().output_tokens);
        position += 1;
    }
    Ok(Outcomes {
        counts,
        examples: examples.finish(),
        charges,
        most_output,
    })
}

/// Decision about the requests after a pilot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decision {
    /// The other requests are not sent; a later command may send them.
    Awaited,
    /// The other requests are sent.
    Sent,
    /// The run was cancelled, so that nothing more is sent.
    Cancelled,
}

/// Facts about a pilot, for programs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Pilot {
    /// Number of requests of the pilot.
    pub(crate) requests: u64,
    /// Number of requests of the whole input.
    pub(crate) of: u64,
    pub(crate) usable: u64,
    usable_percent: f64,
    /// Mean number of input tokens of a request; `None` where the provider reports no tokens.
    input_tokens: Option<u64>,
    /// Mean number of output tokens of a request; `None` where the provider reports no tokens.
    output_tokens: Option<u64>,
    /// Largest number of output tokens of a request; `None` where the provider reports no tokens.
    pub(crate) most_output_tokens: Option<u64>,
    /// Mean cost of a request, replaced answers included; `None` where the cost of an answer is unknown.
    usd: Option<CostRange>,
    /// Projected cost of the other requests.
    pub(crate) rest_usd: Option<CostRange>,
    /// Cost of the pilot and projected cost of the other requests together.
    pub(crate) total_usd: Option<CostRange>,
    pub(crate) decision: Decision,
    /// Command that sends the other requests.
    pub(crate) next: Option<String>,
    /// Largest cost of the other requests; `None` without a cost limit.
    #[serde(skip)]
    rest_bound: Option<Cost>,
    /// Largest number of the other requests in a batch, by the options.
    #[serde(skip)]
    batch_requests: u64,
}

impl Pilot {
    /// Returns the facts about a pilot of `of` requests in all. `billed` is the cost of all its answers, replaced ones
    /// included, where requests were sent more than once; `is_priced` is false for answers that are not billed.
    pub(crate) fn of(
        outcomes: &Outcomes,
        of: u64,
        billed: Option<&Costs>,
        is_priced: bool,
    ) -> Self {
        let counts = &outcomes.counts;
        let requests = counts.requests.max(1);
        let rest = of.saturating_sub(counts.requests);
        let costs = billed.unwrap_or(&outcomes.charges.costs);
        // An unknown cost is not zero: a projection without it would be too low.
        let is_known = is_priced && costs.unknown == 0 && outcomes.charges.costs.unknown == 0;
        let charged = Some(costs.charged).filter(|_| is_known);
        let mean = charged.map(|charged| CostRange {
            low: cost(dollars(charged.low) / requests as f64),
            high: cost(dollars(charged.high) / requests as f64),
        });
        let error = 2.0 * outcomes.charges.standard_error(requests);
        let rest_usd = mean.map(|mean| CostRange {
            low: cost((dollars(mean.low) - error) * rest as f64),
            high: cost((dollars(mean.high) + error) * rest as f64),
        });
        let usage = counts.usage;
        let has_tokens = usage.input_tokens > 0 || usage.output_tokens > 0;
        let each = |tokens: u64| has_tokens.then(|| (tokens + requests / 2) / requests);
        Self {
            requests: counts.requests,
            of,
            usable: counts.usable,
            usable_percent: (counts.usable as f64 * 1_000.0 / requests as f64).floor() / 10.0,
            input_tokens: each(usage.input_tokens),
            output_tokens: each(usage.output_tokens),
            most_output_tokens: has_tokens.then_some(outcomes.most_output),
            usd: mean,
            rest_usd,
            total_usd: charged.zip(rest_usd).map(|(charged, rest)| charged + rest),
            decision: Decision::Awaited,
            next: None,
            rest_bound: None,
            batch_requests: rest,
        }
    }

    /// Sets the largest cost of the other requests, and the limit on the requests of a batch.
    pub(crate) fn reserving(&mut self, bound: Option<Cost>, batch: Option<u32>) {
        self.rest_bound = bound;
        self.batch_requests = batch.map_or(self.rest(), |most| self.rest().min(u64::from(most)));
    }

    /// Returns the number of requests after the pilot.
    pub(crate) fn rest(&self) -> u64 {
        self.of.saturating_sub(self.requests)
    }

    /// Returns the part of the pilot that is usable, such as `97.5%`, rounded down.
    pub(crate) fn share(&self) -> String {
        format!("{}%", self.usable_percent)
    }

    /// Returns the other requests with their number, such as `the other 9,900 requests`.
    pub(crate) fn others(&self) -> String {
        match self.rest() {
            1 => "the last request".to_owned(),
            rest => format!("the other {} requests", number(rest)),
        }
    }

    /// Returns the question whether to send the other requests.
    pub(crate) fn question(&self, is_priced: bool) -> String {
        let others = self.others();
        match self.rest_usd {
            _ if !is_priced => format!("Send {others}? [y/N]"),
            Some(cost) => format!("Send {others} for about {}? [y/N]", cost.rounded()),
            None => format!("Send {others}, at an unknown price? [y/N]"),
        }
    }

    /// Returns the note on a cost limit that the projected cost of all requests exceeds, or that has no room for the
    /// largest cost of the last batch.
    pub(crate) fn over(&self, limit: Option<Cost>) -> Option<String> {
        let (limit, total) = (limit?, self.total_usd?);
        if total.high > limit {
            return Some(format!(
                "the cost limit of {limit} may not suffice for about {}: batches that do not fit are not created",
                total.rounded()
            ));
        }
        let bound = self.rest_bound?;
        let most = self.most_in_batch(limit, total, bound)?;
        if self.batch_requests <= most {
            return None;
        }
        let mut note = format!(
            "the cost limit of {limit} suffices for about {}, but {} may cost up to {}, and a batch is created only if the largest cost of its requests fits",
            total.rounded(),
            self.others(),
            bound.rounded()
        );
        if most > 0 {
            note.push_str(&format!(
                ": the command that sends them needs smaller batches, by --max-batch-requests {most}, or a higher limit"
            ));
        }
        Some(note)
    }

    /// Returns the largest number of requests in a batch whose largest cost fits into a limit when all others are paid
    /// for, if the projection holds; `None` where any number fits.
    fn most_in_batch(&self, limit: Cost, total: CostRange, bound: Cost) -> Option<u64> {
        let projected = self.rest_usd?.high.picodollars();
        let excess = bound.picodollars().checked_sub(projected)?;
        let left = limit.picodollars().saturating_sub(total.high.picodollars());
        let most = left
            .saturating_mul(u128::from(self.rest()))
            .checked_div(excess)?;
        Some(u64::try_from(most).unwrap_or(u64::MAX))
    }

    /// Returns the report for people: the facts of the pilot's outcomes, with rows about the whole run, then the notes and
    /// examples of outcomes.
    pub(crate) fn lines(
        &self,
        facts: Facts,
        notes: Vec<String>,
        outcomes: &Outcomes,
        run: &str,
        is_priced: bool,
    ) -> Vec<String> {
        let mut lines = vec![format!(
            "pilot of run {run}: {} of {} requests",
            number(self.requests),
            number(self.of)
        )];
        let mut table = facts;
        table.row("usable share", &self.share());
        let mut each = match (
            self.input_tokens,
            self.output_tokens,
            self.most_output_tokens,
        ) {
            (Some(input), Some(output), Some(most)) => format!(
                "{} in, {} out, at most {}",
                format::count(input, "token", "tokens"),
                number(output),
                number(most)
            ),
            _ => "tokens not reported by the provider".to_owned(),
        };
        if is_priced {
            let shown = |cost: Option<CostRange>| match cost {
                Some(cost) => format!("about {}", cost.rounded()),
                None => "unknown".to_owned(),
            };
            let cost = self
                .usd
                .map_or("cost unknown".to_owned(), CostRange::rounded);
            each.push_str(&format!("; {cost}"));
            table.row("per request", &each);
            table.row(
                &format!("other {}", number(self.rest())),
                &shown(self.rest_usd),
            );
            table.row(&format!("all {}", number(self.of)), &shown(self.total_usd));
        } else {
            table.row("per request", &each);
        }
        lines.push(table.to_string());
        lines.extend(notes);
        lines.push(format!(
            "{} of the pilot:",
            format::count(outcomes.examples.len() as u64, "outcome", "outcomes")
        ));
        lines.extend(outcomes.examples.iter().flat_map(Example::lines));
        lines
    }
}

#[cfg(test)]
mod tests {
    use lmbatch::adapter::{Json, OutputView, Text};
    use lmbatch::engine::{AnswerCost, Structured};
    use lmbatch::{FinishReason, TokenUsage};

    use super::*;

    const CENT: u128 = 10_000_000_000;

    fn answered(text: &'static str, reason: FinishReason) -> AnsweredRequest<'static> {
        let mut output = OutputView::text(Text::Plain(text), reason);
        output.usage = Some(TokenUsage {
            input_tokens: 10,
            output_tokens: 5,
            ..TokenUsage::default()
        });
        AnsweredRequest {
            ordinal: 0,
            id: Json::new("\"a\"").unwrap(),
            metadata: None,
            batch: None,
            schema_requested: false,
            raw: None,
            replaced: 0,
            answer: AnswerView::Row {
                outcome: OutcomeView::Succeeded(output),
                structured: Structured::NotRequested,
            },
            cost: None,
        }
    }

    /// Returns the outcomes of answers with these costs in cents; `None` for one of unknown cost.
    fn outcomes(cents: &[Option<u128>]) -> Outcomes {
        let (mut counts, mut charges) = (Counts::default(), Charges::default());
        for cents in cents {
            let mut one = answered("x", FinishReason::Stop);
            one.cost = cents.map(|cents| AnswerCost {
                charged: CostRange::exact(Cost::from_picodollars(cents * CENT)),
                real_time: None,
            });
            counts.count(&one, &[]);
            charges.add(&one);
        }
        Outcomes {
            counts,
            examples: Vec::new(),
            charges,
            most_output: 5,
        }
    }

    #[test]
    fn the_projection_is_a_range_around_the_mean_and_unknown_with_an_unknown_cost() {
        for (cents, of, rest, total) in [
            // The same cost each time.
            (&[Some(2), Some(2)][..], 102, Some("$2.00"), Some("$2.04")),
            // Mean 2, standard error 1: 98 × (2 − 2 to 2 + 2) cents.
            (
                &[Some(1), Some(3)],
                100,
                Some("$0.00 to $3.92"),
                Some("$0.04 to $3.96"),
            ),
            (&[Some(4)], 3, Some("$0.08"), Some("$0.12")),
            (&[Some(4), None], 3, None, None),
            (&[None], 3, None, None),
        ] {
            let pilot = Pilot::of(&outcomes(cents), of, None, true);
            let shown = |cost: Option<CostRange>| cost.map(CostRange::rounded);
            assert_eq!(shown(pilot.rest_usd).as_deref(), rest, "{cents:?}");
            assert_eq!(shown(pilot.total_usd).as_deref(), total, "{cents:?}");
        }
        let free = Pilot::of(&outcomes(&[Some(1)]), 2, None, false);
        assert_eq!((free.usd, free.rest_usd), (None, None));
        assert_eq!(free.question(false), "Send the last request? [y/N]");
    }

    #[test]
    fn replaced_answers_are_in_the_mean() {
        let mut billed = Costs::default();
        billed.add(Some(AnswerCost {
            charged: CostRange::exact(Cost::from_picodollars(6 * CENT)),
            real_time: None,
        }));
        let pilot = Pilot::of(&outcomes(&[Some(2), Some(2)]), 4, Some(&billed), true);
        assert_eq!(pilot.usd.unwrap().rounded(), "$0.03");
        assert_eq!(
            pilot.question(true),
            "Send the other 2 requests for about $0.06? [y/N]"
        );
        let limit = |cents: u128| Some(Cost::from_picodollars(cents * CENT));
        assert_eq!(pilot.over(limit(12)), None);
        assert!(
            pilot
                .over(limit(11))
                .unwrap()
                .contains("$0.11 may not suffice")
        );
    }

    #[test]
    fn a_limit_without_room_for_the_largest_cost_of_a_batch_is_said_with_a_size_that_fits() {
        // Two requests of 2 cents, and eight others that are projected at 16 cents.
        let mut pilot = Pilot::of(&outcomes(&[Some(2), Some(2)]), 10, None, true);
        let cents = |cents: u128| Some(Cost::from_picodollars(cents * CENT));
        for (bound, batch, limit, said) in [
            (None, None, 20, None),
            // As the projection, and less.
            (cents(16), None, 20, None),
            (cents(10), None, 20, None),
            // Ten cents for a request, of which eight are in excess of the projection.
            (cents(80), None, 84, None),
            (cents(80), None, 83, Some("by --max-batch-requests 7, or")),
            (cents(80), Some(7), 83, None),
            (
                cents(80),
                Some(8),
                83,
                Some("by --max-batch-requests 7, or"),
            ),
            (
                cents(80),
                Some(9),
                28,
                Some("by --max-batch-requests 1, or"),
            ),
            (
                cents(80),
                Some(1),
                27,
                Some("largest cost of its requests fits"),
            ),
            (cents(80), None, 19, Some("may not suffice for about $0.20")),
        ] {
            pilot.reserving(bound, batch);
            let found = pilot.over(cents(limit));
            let is_said = found
                .as_ref()
                .is_some_and(|found| found.contains(said.unwrap_or("")));
            assert_eq!(
                is_said,
                said.is_some(),
                "{bound:?}, {batch:?}, {limit}: {found:?}"
            );
        }
        pilot.reserving(cents(80), None);
        assert_eq!(pilot.over(None), None);
        let none_fits = pilot.over(cents(20)).unwrap();
        assert!(!none_fits.contains("--max-batch-requests"), "{none_fits}");
    }

    #[test]
    fn first_middle_and_last_are_shown_and_an_unusable_outcome_before_the_middle_one() {
        use FinishReason::{Length, Stop};
        for (reasons, shown) in [
            (&[Stop][..], &[0][..]),
            (&[Stop, Stop], &[0, 1]),
            (&[Stop, Stop, Stop, Stop, Stop, Stop, Stop], &[0, 3, 6]),
            (&[Stop, Stop, Length, Stop, Length, Stop, Stop], &[0, 2, 6]),
            (&[Length, Stop, Length, Stop, Stop], &[0, 2, 4]),
        ] {
            let mut examples = Examples::new(reasons.len() as u64);
            for (position, reason) in reasons.iter().enumerate() {
                let one = answered("x", reason.clone());
                examples.see(&one, position as u64, *reason == Stop);
            }
            let found: Vec<u64> = examples.finish().iter().map(|kept| kept.position).collect();
            assert_eq!(found, shown, "{reasons:?}");
        }
    }

    #[test]
    fn an_example_is_cut_and_wrapped_and_cannot_act_on_the_terminal() {
        let long: &'static str = Box::leak("word ".repeat(100).into_boxed_str());
        let lines = Example::of(&answered(long, FinishReason::Length), 0, false).lines();
        assert_eq!(lines[0], "a (truncated):");
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
        let text = lines[1..].join("");
        assert!(text.ends_with('…') && text.len() < 330, "{text}");
        let lines = Example::of(&answered("a\n\u{1b}[2Jb", FinishReason::Stop), 0, true).lines();
        assert_eq!(lines[0], "a:");
        assert!(
            !lines[1].contains('\u{1b}') && lines[1].starts_with("  a "),
            "{lines:?}"
        );
        let lines = Example::of(&answered("", FinishReason::Stop), 0, false).lines();
        assert_eq!(lines, ["a (empty):", "  no text"]);
    }
}
