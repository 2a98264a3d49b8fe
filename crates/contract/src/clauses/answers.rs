//! Clauses about what an answer says besides its text. Where the provider has no word for it
//! ([`Wire::full_row`](crate::Wire::full_row) is `None`), nothing is made up, and what cannot be answered cannot
//! be asked for. Of edition 2026-11.

use std::borrow::Cow;

use lmbatch_core::{
    BatchStatus, FinishReason, GenerateView, Hyperparameters, LMOutput, Outcome, OutputItem,
    Problem, ThinkingOptions, TokenUsage, Tool,
};
use serde_json::{Value, json};

use crate::canary::texts;
use crate::full_row::{End, FullAnswer, FullRow, Piece, Tokens};
use crate::kit::{Kit, Open};
use crate::mangle::odd_values;

const DONE: BatchStatus = BatchStatus::Completed;

fn text(text: &str) -> Vec<Piece> {
    vec![Piece::Text(text.to_owned())]
}

/// The outcome of one request whose row says this; `None` where the provider has no words for it.
async fn said(kit: &Kit, answer: FullAnswer) -> Option<Outcome> {
    of_row(kit, &FullRow::Answer(answer)).await
}

async fn of_row(kit: &Kit, row: &FullRow) -> Option<Outcome> {
    let open = kit.open_three().await;
    let row = open.full(0, row)?;
    Some(first(&open, row).await)
}

/// The outcome of the first of three requests; the others are answered plainly.
async fn first(open: &Open, row: (crate::wire::Part, Vec<u8>)) -> Outcome {
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    open.outcomes().await["a"].clone()
}

/// What a plain answer comes to, from which it is seen that nothing is made up.
async fn plain(kit: &Kit) -> (LMOutput, Option<Problem>) {
    let open = kit.open_three().await;
    let row = open.yes(0, "one");
    succeeded(first(&open, row).await)
}

fn succeeded(outcome: Outcome) -> (LMOutput, Option<Problem>) {
    match outcome {
        Outcome::Succeeded { value, problem } => (value, problem),
        other => panic!("an answer is {}", other.status()),
    }
}

/// A whole answer is a text that ended by itself, without a problem.
pub async fn a_whole_answer_has_no_problem(kit: &Kit) {
    let (output, problem) = plain(kit).await;
    assert_eq!(output.text(), "one");
    assert_eq!(problem, None, "nothing is wrong with it");
    assert_eq!(output.finish_reason, FinishReason::Stop);
    assert_eq!(output.items.len(), 1, "{:?}", output.items);
}

fn usage(output: &LMOutput) -> TokenUsage {
    output.usage.unwrap_or_default()
}

/// The tokens of an answer come back: what was read and what was written, each as its own number.
pub async fn usage_comes_back(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one"),
        usage: Some(Tokens {
            input: 1931,
            output: 37,
        }),
        ..FullAnswer::default()
    };
    let (outcome, expected) = match said(kit, answer).await {
        Some(outcome) => (succeeded(outcome).0, (1931, 37)),
        None => (plain(kit).await.0, (0, 0)),
    };
    let usage = usage(&outcome);
    assert_eq!((usage.input_tokens, usage.output_tokens), expected);
}

/// The model that answered comes back as the provider names it.
pub async fn the_model_that_answered_comes_back(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one"),
        model: Some("model-canary".to_owned()),
        ..FullAnswer::default()
    };
    match said(kit, answer).await {
        Some(outcome) => {
            let (output, _) = succeeded(outcome);
            assert_eq!(output.model.as_deref(), Some("model-canary"));
        }
        None => assert_eq!(plain(kit).await.0.model, None, "it is made up"),
    }
}

/// The provider's id of an answer comes back, which is not that of the request.
pub async fn the_id_of_an_answer_comes_back(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one"),
        id: Some("answer-id-canary".to_owned()),
        ..FullAnswer::default()
    };
    match said(kit, answer).await {
        Some(outcome) => {
            let (output, _) = succeeded(outcome);
            assert_eq!(output.response_id.as_deref(), Some("answer-id-canary"));
        }
        None => assert_eq!(plain(kit).await.0.response_id, None, "it is made up"),
    }
}

/// An answer in several pieces comes back whole and in order. A provider whose answers are one text has no other.
pub async fn every_piece_of_an_answer_comes_back(kit: &Kit) {
    let pieces = ["one, ", "two, ", "three"].map(|one| Piece::Text(one.to_owned()));
    let answer = FullAnswer {
        pieces: pieces.to_vec(),
        ..FullAnswer::default()
    };
    let (output, expected) = match said(kit, answer).await {
        Some(outcome) => (succeeded(outcome).0, "one, two, three"),
        None => (plain(kit).await.0, "one"),
    };
    assert_eq!(output.text(), expected);
}

/// A call to a tool comes back with its id, its tool and its arguments, and is no empty answer. A provider that
/// has no word for it takes no tools.
pub async fn a_tool_call_comes_back(kit: &Kit) {
    let arguments = json!({"city": "Köln \"an\" Rhein", "days": [3, null]});
    let call = |id: &str| Piece::ToolCall {
        id: id.to_owned(),
        name: "weather".to_owned(),
        arguments: arguments.clone(),
    };
    let answer = FullAnswer {
        pieces: vec![call("canary1Id"), call("canary2Id")],
        end: End::ToolUse,
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        let tools = [Tool::new("weather", &json!({"type": "object"}))];
        let view = GenerateView {
            tools: &tools,
            ..kit.question("Hello!")
        };
        return assert!(!kit.can_ask(view).await, "a tool can be asked for");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!(problem, None, "a call is an answer");
    assert_eq!(output.finish_reason, FinishReason::ToolUse);
    let calls: Vec<_> = output.tool_calls().collect();
    let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(ids, ["canary1Id", "canary2Id"], "every call with its id");
    for call in calls {
        assert_eq!(call.name, "weather");
        let found: Value = call.arguments().expect("JSON");
        assert_eq!(found, arguments, "the arguments come back");
    }
}

/// What the model thought comes back as a thought, and is no part of the text. A provider that has no word for it
/// takes no options of thinking.
pub async fn a_thought_is_no_part_of_the_text(kit: &Kit) {
    let answer = FullAnswer {
        pieces: vec![
            Piece::Thinking("thought-canary".to_owned()),
            Piece::Text("one".to_owned()),
        ],
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        let budget = ThinkingOptions {
            effort: None,
            budget_tokens: Some(2_000),
        };
        let view = GenerateView {
            thinking: Some(&budget),
            ..kit.question("Hello!")
        };
        return assert!(!kit.can_ask(view).await, "thinking can be asked for");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!((output.text().as_str(), problem), ("one", None));
    let thoughts: Vec<_> = output.thinking().map(|one| one.text.as_str()).collect();
    assert_eq!(thoughts, ["thought-canary"]);
}

/// An answer that reached the most tokens is truncated. A provider that has no word for it takes no such limit.
pub async fn an_answer_that_was_cut_off_is_truncated(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one, tw"),
        end: End::CutOff,
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        let limit = Hyperparameters {
            max_output_tokens: Some(7),
            ..Hyperparameters::default()
        };
        let view = GenerateView {
            hyperparameters: Cow::Owned(limit),
            ..kit.question("Hello!")
        };
        return assert!(!kit.can_ask(view).await, "a limit can be asked for");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!(output.text(), "one, tw", "what was paid for comes back");
    assert_eq!(problem, Some(Problem::Truncated));
    assert_eq!(output.finish_reason, FinishReason::Length);
}

/// An answer without words is empty, and is told so.
pub async fn an_answer_without_words_is_empty(kit: &Kit) {
    let open = kit.open_three().await;
    let answer = FullAnswer {
        pieces: text(""),
        ..FullAnswer::default()
    };
    let full = open.full(0, &FullRow::Answer(answer));
    let row = full.unwrap_or_else(|| open.yes(0, ""));
    let (output, problem) = succeeded(first(&open, row).await);
    assert_eq!(output.text(), "");
    assert_eq!(problem, Some(Problem::Empty));
}

/// A refusal of the model is told as one, with its words where there are any, and is no plain text.
pub async fn a_refusal_is_told(kit: &Kit) {
    let answer = FullAnswer {
        pieces: vec![Piece::Refusal("refusal-canary".to_owned())],
        end: End::Refused,
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        let (output, problem) = plain(kit).await;
        return assert!(output.refusal().is_none() && problem.is_none());
    };
    let (output, problem) = succeeded(outcome);
    let refused = matches!(problem, Some(Problem::Refused | Problem::ContentFilter));
    assert!(refused, "{problem:?}");
    assert_eq!(output.text(), "", "it is no text");
    let words = output.refusal();
    assert!(words.is_none_or(|words| words.contains("refusal-canary")));
}

/// Further answers to one request are kept, and are no part of the first.
pub async fn further_answers_are_kept_apart(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one"),
        others: vec!["other-canary".to_owned()],
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        return assert_eq!(plain(kit).await.0.items.len(), 1, "one is made up");
    };
    let (output, _) = succeeded(outcome);
    assert_eq!(output.text(), "one", "the first answer is the answer");
    let kept = output.items.iter().any(|item| match item {
        OutputItem::Other(value) => value.to_string().contains("other-canary"),
        _ => false,
    });
    assert!(kept, "an answer that was paid for is lost");
}

/// An answer that cannot be read is that request's error, or kept as it came: never an empty answer, another outcome
/// or a reason to ask again, since it was paid for.
pub async fn an_answer_of_another_type_is_not_empty(kit: &Kit) {
    let open = kit.open_three().await;
    let (part, row) = open.yes(0, "text-canary");
    let row: Value = serde_json::from_slice(&row).expect("a row is JSON");
    for at in path_to(&row, "text-canary") {
        let was = row.pointer(&at).expect("a member");
        if texts(was).contains(&open.wire_ids[0]) {
            continue;
        }
        for odd in odd_values() {
            // What is absent or empty says nothing, and says so; a text is any text.
            let empty = odd.is_null() || odd == json!([]) || odd == json!({});
            if empty || std::mem::discriminant(&odd) == std::mem::discriminant(was) {
                continue;
            }
            let mut changed = row.clone();
            *changed.pointer_mut(&at).expect("a member") = odd.clone();
            let changed = changed.to_string().into_bytes();
            let said = format!("{at}: {odd}");
            match first(&open, (part, changed)).await {
                Outcome::Errored(error) => {
                    assert!(!error.is_retryable(), "{said} is asked again: {error}");
                }
                Outcome::Succeeded { value, problem } => {
                    let kept = value
                        .items
                        .iter()
                        .any(|item| matches!(item, OutputItem::Other(_) | OutputItem::Citation(_)));
                    let told = problem.is_some_and(|problem| problem != Problem::Empty);
                    // Texts in the place of parts are texts.
                    let text = value.text();
                    let read = !text.is_empty() && odd.to_string().contains(&text);
                    assert!(
                        kept || told || read,
                        "{said} is {problem:?}: {:?}",
                        value.items
                    );
                }
                other => panic!("{said} is {}", other.status()),
            }
        }
    }
}

/// The pointers that lead to a text, from the whole text upwards, without that of the whole.
fn path_to(value: &Value, text: &str) -> Vec<String> {
    fn find(value: &Value, text: &str, at: &str) -> Option<String> {
        let mut members: Box<dyn Iterator<Item = (String, &Value)>> = match value {
            Value::String(found) => return (found == text).then(|| at.to_owned()),
            Value::Array(list) => {
                let list = list.iter().enumerate();
                Box::new(list.map(|(place, one)| (place.to_string(), one)))
            }
            Value::Object(object) => Box::new(object.iter().map(|(name, one)| (name.clone(), one))),
            _ => return None,
        };
        members.find_map(|(name, one)| find(one, text, &format!("{at}/{name}")))
    }
    let whole = find(value, text, "").expect("a row holds its text");
    let ends = whole.match_indices('/').map(|(end, _)| end).skip(1);
    let mut all: Vec<String> = ends.map(|end| whole[..end].to_owned()).collect();
    all.push(whole);
    all
}

/// A request that the provider refuses for what it asks is not asked again: it would be refused, and at some
/// providers paid for, each time. A provider that has no word for it says so of no row.
pub async fn a_permanent_failure_is_not_asked_again(kit: &Kit) {
    let rejected = FullRow::Rejected("words-canary".to_owned());
    let Some(outcome) = of_row(kit, &rejected).await else {
        let open = kit.open_three().await;
        let row = open.no(0, "words-canary");
        let outcome = first(&open, row).await;
        let error = outcome.as_result().expect_err("a failure");
        return assert!(error.is_retryable(), "{error}");
    };
    let Outcome::Errored(error) = outcome else {
        panic!("a failure is {}", outcome.status());
    };
    assert!(!error.is_retryable(), "it is asked again: {error}");
    assert_eq!(error.message(), Some("words-canary"));
}
