//! Outcomes for library users: an ordered map, or a stream.

use std::collections::{HashMap, VecDeque};

use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use lmbatch_core::{
    AnswerCost, BatchSnapshot, Error, ErrorKind, LMOutput, Outcome, RequestId, Result, TokenUsage,
};

use crate::blocking::blocking;
use crate::client::convert::outcome;
use crate::context::Context;
use crate::cost::Costs;
use crate::results::finished::{CountMismatch, RunResults};
use crate::results::reader::OutcomeReader;

/// Number of outcomes that are read at once, outside of the async threads.
const PAGE: usize = 256;

/// Stream of request ids with their outcomes, for more outcomes than fit into memory.
///
/// ```no_run
/// # use lmbatch_engine as lmbatch;
/// # async fn example(mut outcomes: lmbatch::OutcomeStream) -> lmbatch_core::Result<()> {
/// use futures::TryStreamExt as _;
///
/// while let Some((id, outcome)) = outcomes.try_next().await? {
///     println!("{id}: {}", outcome.status());
/// }
/// # Ok(())
/// # }
/// ```
pub type OutcomeStream = BoxStream<'static, Result<(RequestId, Outcome)>>;

/// One outcome for each request, in the order of the requests.
///
/// ```no_run
/// # fn show(outcomes: &lmbatch_engine::Outcomes) {
/// for (id, outcome) in outcomes {
///     println!("{id}: {}", outcome.status());
/// }
/// println!("{} tokens", outcomes.usage().output_tokens);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Outcomes<T = LMOutput> {
    batches: Vec<BatchSnapshot>,
    entries: Vec<(RequestId, Outcome<T>)>,
    places: HashMap<RequestId, usize>,
    usage: TokenUsage,
    costs: Costs,
    outputs: Outputs<T>,
    mismatch: Option<CountMismatch>,
}

/// Answers from which the values were converted.
#[derive(Debug, Clone)]
enum Outputs<T> {
    /// The values are the answers.
    Values(fn(&T) -> &LMOutput),
    /// Untyped outcomes, in the order of the requests.
    Kept(Vec<Outcome>),
}

impl Outcomes {
    /// Reads all outcomes and converts them, off the async threads.
    pub(crate) async fn read<T: Send + 'static>(
        context: &Context,
        finished: RunResults,
        convert: fn(Self) -> Outcomes<T>,
    ) -> Result<Outcomes<T>> {
        let mut reader = context.outcomes(&finished)?;
        let batches: Vec<BatchSnapshot> = finished.batches().into_iter().cloned().collect();
        let id = batches.first().map(|batch| batch.id.clone());
        let mismatch = finished.count_mismatch();
        let about = move |error: Error| match &id {
            Some(id) => error.with_batch(id.clone()),
            None => error,
        };
        let work = move || {
            let (mut entries, mut costs) = (Vec::new(), Costs::default());
            while let Some((entry, cost)) = next_with_cost(&mut reader).map_err(&about)? {
                if matches!(entry.1, Outcome::Succeeded { .. }) {
                    costs.add(cost);
                }
                entries.push(entry);
            }
            Ok(convert(Self {
                mismatch,
                costs,
                ..Self::of_answers(batches, entries)
            }))
        };
        blocking(work).await?
    }

    fn of_answers(batches: Vec<BatchSnapshot>, entries: Vec<(RequestId, Outcome)>) -> Self {
        let answers = entries.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Succeeded { value, .. } => Some(value),
            _ => None,
        });
        let usage = answers.filter_map(|output| output.usage).sum();
        Self::new(
            batches,
            entries,
            (usage, Costs::default()),
            Outputs::Values(|output| output),
        )
    }

    /// Converts the outcomes, and keeps the answers from which the values are made.
    pub(crate) fn typed<T>(self, value: impl Fn(&Outcome) -> Outcome<T>) -> Outcomes<T> {
        let (mut entries, mut answers) = (Vec::new(), Vec::new());
        for (id, outcome) in self.entries {
            entries.push((id, value(&outcome)));
            answers.push(outcome);
        }
        let outputs = Outputs::Kept(answers);
        Outcomes {
            mismatch: self.mismatch,
            ..Outcomes::new(self.batches, entries, (self.usage, self.costs), outputs)
        }
    }
}

impl Outcomes {
    /// Returns outcomes that were stored.
    pub(crate) fn restored(
        batches: Vec<BatchSnapshot>,
        entries: Vec<(RequestId, Outcome)>,
        costs: Costs,
        mismatch: Option<CountMismatch>,
    ) -> Self {
        Self {
            costs,
            mismatch,
            ..Self::of_answers(batches, entries)
        }
    }
}

impl<T> Outcomes<T> {
    pub(crate) fn as_slice(&self) -> &[(RequestId, Outcome<T>)] {
        &self.entries
    }

    /// Returns the number of different ids.
    pub(crate) fn distinct(&self) -> usize {
        self.places.len()
    }

    /// Returns the answers from which typed values were made.
    pub(crate) fn kept(&self) -> &[Outcome] {
        match &self.outputs {
            Outputs::Values(_) => &[],
            Outputs::Kept(answers) => answers,
        }
    }

    fn new(
        batches: Vec<BatchSnapshot>,
        entries: Vec<(RequestId, Outcome<T>)>,
        (usage, costs): (TokenUsage, Costs),
        outputs: Outputs<T>,
    ) -> Self {
        let places = entries.iter().enumerate();
        let places = places.map(|(place, (id, _))| (id.clone(), place)).collect();
        Self {
            batches,
            entries,
            places,
            usage,
            costs,
            outputs,
            mismatch: None,
        }
    }

    /// Returns the batches of the outcomes in their final state. There are several if the requests do not fit into one
    /// batch of the provider, or if some were sent again.
    pub fn batches(&self) -> &[BatchSnapshot] {
        &self.batches
    }
    /// Returns the outcome of one request.
    pub fn get(&self, id: &str) -> Option<&Outcome<T>> {
        let place = self.places.get(id)?;
        Some(&self.entries[*place].1)
    }
    /// Returns the complete answer of the model to one request, with its text, refusal and token usage, even if
    /// [`invoke_as`](crate::BatchOperations::invoke_as) could not convert it. `None` if the model did not answer.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize)] struct Sum { number: i64 }
    /// # fn show(sums: &lmbatch_engine::Outcomes<Sum>) {
    /// if let (Err(error), Some(output)) = (sums["a"].as_result(), sums.output("a")) {
    ///     println!("{error}: {}", output.text());
    /// }
    /// # }
    /// ```
    pub fn output(&self, id: &str) -> Option<&LMOutput> {
        let place = *self.places.get(id)?;
        match &self.outputs {
            Outputs::Values(output) => match &self.entries[place].1 {
                Outcome::Succeeded { value, .. } => Some(output(value)),
                _ => None,
            },
            Outputs::Kept(answers) => match &answers[place] {
                Outcome::Succeeded { value, .. } => Some(value),
                _ => None,
            },
        }
    }
    /// Iterates over the requests with their outcomes, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, (RequestId, Outcome<T>)> {
        self.entries.iter()
    }
    /// Returns the number of outcomes.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
    /// Returns whether there are no outcomes.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    /// Returns the provider's counts and the number of rows of a [retrieved](crate::BatchOperations::retrieve) batch if
    /// the two disagree; `None` if they agree or the provider gives no counts. The observer receives a
    /// [warning](crate::Event::Warning) as well.
    pub fn count_mismatch(&self) -> Option<CountMismatch> {
        self.mismatch
    }
    /// Returns the cost of all answers together, without those that later answers replaced. Without a table of
    /// [prices](crate::LMInvoker::prices), the cost of every answer is unknown.
    pub fn costs(&self) -> Costs {
        self.costs
    }
    /// Returns the token usage of all answers together.
    pub fn usage(&self) -> TokenUsage {
        self.usage
    }
}

/// Collects outcomes without a batch, for tests of code that takes outcomes.
///
/// ```
/// use lmbatch_core::{LMOutput, Outcome};
/// use lmbatch_engine::Outcomes;
/// let outcomes = Outcomes::from_iter([
///     ("a", Outcome::from(LMOutput::from_text("4"))),
///     ("b", Outcome::Expired),
/// ]);
/// assert_eq!(outcomes["a"].as_result().unwrap().text(), "4");
/// ```
impl<I: Into<RequestId>> FromIterator<(I, Outcome)> for Outcomes {
    fn from_iter<E: IntoIterator<Item = (I, Outcome)>>(entries: E) -> Self {
        let entries = entries
            .into_iter()
            .map(|(id, outcome)| (id.into(), outcome));
        Self::of_answers(Vec::new(), entries.collect())
    }
}

impl<T> IntoIterator for Outcomes<T> {
    type Item = (RequestId, Outcome<T>);
    type IntoIter = std::vec::IntoIter<Self::Item>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Outcomes<T> {
    type Item = &'a (RequestId, Outcome<T>);
    type IntoIter = std::slice::Iter<'a, (RequestId, Outcome<T>)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

impl<T> std::ops::Index<&str> for Outcomes<T> {
    type Output = Outcome<T>;

    /// Returns the outcome of a request.
    ///
    /// # Panics
    /// If there is no such request; [`get`](Outcomes::get) returns `None` instead.
    fn index(&self, id: &str) -> &Outcome<T> {
        self.get(id)
            .unwrap_or_else(|| panic!("no request {id:?} in this batch ({:?})", ErrorKind::Missing))
    }
}

fn next(reader: &mut OutcomeReader) -> Result<Option<(RequestId, Outcome)>> {
    Ok(next_with_cost(reader)?.map(|(entry, _)| entry))
}

/// Outcome of a request with its id, and the cost of its answer.
type Priced = ((RequestId, Outcome), Option<AnswerCost>);

fn next_with_cost(reader: &mut OutcomeReader) -> Result<Option<Priced>> {
    let Some(answered) = reader.next()? else {
        return Ok(None);
    };
    let id = crate::plan::ids::request_id(answered.id.as_str().as_bytes());
    Ok(Some(((id, outcome(&answered)), answered.cost)))
}

/// Returns a stream of the recorded outcomes after the first `skipped`.
pub(crate) fn stream(
    context: &Context,
    finished: &RunResults,
    skipped: u64,
) -> Result<OutcomeStream> {
    let reader = context.outcomes(finished)?;
    let batch = finished.batches().first().map(|batch| batch.id.clone());
    let pages = stream::try_unfold(Some((reader, skipped)), |reader| async {
        let Some((mut reader, skipped)) = reader else {
            return Ok(None);
        };
        let work = move || {
            reader.skip(skipped)?;
            let mut page = VecDeque::with_capacity(PAGE);
            while page.len() < PAGE {
                match next(&mut reader)? {
                    Some(entry) => page.push_back(entry),
                    None => return Ok((page, None)),
                }
            }
            Ok::<_, Error>((page, Some((reader, 0))))
        };
        let (page, rest) = blocking(work).await??;
        Ok(Some((page, rest)))
    });
    let entries = pages.flat_map(|page| match page {
        Ok(page) => stream::iter(page.into_iter().map(Ok).collect::<Vec<_>>()),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    Ok(entries
        .map(move |entry| {
            entry.map_err(|error: Error| match &batch {
                Some(batch) => error.with_batch(batch.clone()),
                None => error,
            })
        })
        .boxed())
}
