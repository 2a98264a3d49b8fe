//! Gemini's part of the life of a batch.

use std::time::Duration;

use serde_json::Value;

use crate::answers::Answers;
use crate::names::GOOGLE;
use crate::state::{Batch, Dialect, Fate, Row, Settled, Tokens};

use super::{answer, lines};

/// The dialect of Gemini batches.
pub(crate) const DIALECT: &dyn Dialect = &Google;

#[derive(Debug)]
struct Google;

impl Dialect for Google {
    fn name(&self) -> &'static str {
        GOOGLE
    }
    fn window(&self) -> Duration {
        Duration::from_secs(48 * 3600)
    }
    // "EXPIRED: … there are no results" (Gemini batch guide, 2026-02-19).
    fn keeps_answers_of_expired(&self) -> bool {
        false
    }
    fn user_text(&self, line: &Value) -> String {
        answer::user_text(&line["request"])
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
