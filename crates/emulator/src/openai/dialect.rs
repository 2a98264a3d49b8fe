//! OpenAI's part of the life of a batch.

use serde_json::Value;

use crate::answers::Answers;
use crate::names::OPENAI;
use crate::state::{Batch, Dialect, Fate, Row, Settled, State, Tokens};

use super::{answer, lines};

/// The dialect of OpenAI batches.
pub(crate) const DIALECT: &dyn Dialect = &OpenAi;

#[derive(Debug)]
struct OpenAi;

impl Dialect for OpenAi {
    fn name(&self) -> &'static str {
        OPENAI
    }
    fn shows_empty_results(&self) -> bool {
        false
    }
    fn check(&self, state: &State, batch: &Batch) -> Option<Value> {
        lines::check(state, batch)
    }
    fn user_text(&self, line: &Value) -> String {
        answer::user_text(&line["body"])
    }
    fn row(
        &self,
        batch: &Batch,
        line: &Value,
        place: usize,
        fate: Fate,
        answers: &Answers,
        settled: &mut Settled,
    ) -> (Row, Tokens) {
        lines::row(batch, line, place, fate, answers, settled)
    }
    fn foreign(&self) -> &'static str {
        lines::FOREIGN
    }
}
