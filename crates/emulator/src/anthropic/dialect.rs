//! Anthropic's part of the life of a batch.

use serde_json::Value;

use crate::answers::Answers;
use crate::names::ANTHROPIC;
use crate::state::{Batch, Dialect, Fate, Row, Settled, Tokens};

use super::{answer, lines};

/// The dialect of Anthropic batches.
pub(crate) const DIALECT: &dyn Dialect = &Anthropic;

#[derive(Debug)]
struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        ANTHROPIC
    }
    fn user_text(&self, line: &Value) -> String {
        answer::user_text(&line["params"])
    }
    fn row(
        &self,
        _: &Batch,
        line: &Value,
        place: usize,
        fate: Fate,
        answers: &Answers,
        settled: &mut Settled,
    ) -> (Row, Tokens) {
        lines::row(line, place, fate, answers, settled)
    }
    fn foreign(&self) -> &'static str {
        lines::FOREIGN
    }
}
