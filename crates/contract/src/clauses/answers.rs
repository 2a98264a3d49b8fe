//! Clauses about the content of an answer besides its text. Where the provider cannot express it
//! ([`Wire::full_row`](crate::Wire::full_row) is `None`), the adapter invents nothing and refuses requests that need
//! it. Part of edition 2026-11.

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

/// Returns the outcome of one request whose row holds `answer`; `None` if the wire cannot write such a row.
async fn said(kit: &Kit, answer: FullAnswer) -> Option<Outcome> {
    of_row(kit, &FullRow::Answer(answer)).await
}

async fn of_row(kit: &Kit, row: &FullRow) -> Option<Outcome> {
    let open = kit.open_three().await;
    let row = open.full(0, row)?;
    Some(first(&open, row).await)
}

/// Returns the outcome of the first of three requests; the other two get plain answers.
async fn first(open: &Open, row: (crate::wire::Part, Vec<u8>)) -> Outcome {
    open.end(DONE, &[row, open.yes(1, "two"), open.yes(2, "three")]);
    open.outcomes().await["a"].clone()
}

/// Returns the output and problem of a plain answer, to check that nothing in it is invented.
async fn plain(kit: &Kit) -> (LMOutput, Option<Problem>) {
    let open = kit.open_three().await;
    let row = open.yes(0, "one");
    succeeded(first(&open, row).await)
}

fn succeeded(outcome: Outcome) -> (LMOutput, Option<Problem>) {
    match outcome {
        Outcome::Succeeded { value, problem } => (value, problem),
        other => panic!("an answer became {}", other.status()),
    }
}

/// A complete answer is one text with the finish reason "complete" and has no problem.
pub async fn a_complete_answer_has_no_problem(kit: &Kit) {
    let (output, problem) = plain(kit).await;
    assert_eq!(output.text(), "one");
    assert_eq!(problem, None, "a complete answer must have no problem");
    assert_eq!(output.finish_reason, FinishReason::Stop);
    assert_eq!(output.items.len(), 1, "{:?}", output.items);
}

fn usage(output: &LMOutput) -> TokenUsage {
    output.usage.unwrap_or_default()
}

/// The token usage of an answer is returned: input tokens and output tokens, each as its own number.
pub async fn usage_is_returned(kit: &Kit) {
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

/// The model of an answer is returned under the name that the provider gives it.
pub async fn the_model_of_an_answer_is_returned(kit: &Kit) {
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
        None => assert_eq!(plain(kit).await.0.model, None, "the model is invented"),
    }
}

/// The provider's id of an answer is returned. It differs from the id of the request.
pub async fn the_id_of_an_answer_is_returned(kit: &Kit) {
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
        None => assert_eq!(plain(kit).await.0.response_id, None, "the id is invented"),
    }
}

/// An answer in several pieces is returned complete and in order. A provider whose answers are always one text is
/// exempt.
pub async fn every_piece_of_an_answer_is_returned(kit: &Kit) {
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

/// A tool call is returned with its id, tool name and arguments, and does not count as an empty answer. An adapter for
/// a provider without tool calls refuses requests with tools.
pub async fn a_tool_call_is_returned(kit: &Kit) {
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
        return assert!(!kit.can_ask(view).await, "tools are accepted");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!(problem, None, "a tool call must count as an answer");
    assert_eq!(output.finish_reason, FinishReason::ToolUse);
    let calls: Vec<_> = output.tool_calls().collect();
    let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
    assert_eq!(
        ids,
        ["canary1Id", "canary2Id"],
        "every call must have its id"
    );
    for call in calls {
        assert_eq!(call.name, "weather");
        let found: Value = call.arguments().expect("JSON");
        assert_eq!(found, arguments, "the arguments must be returned");
    }
}

/// Thoughts of the model are returned as thinking items and are not part of the text. An adapter for a provider that
/// returns no thoughts refuses thinking options.
pub async fn thoughts_are_not_part_of_the_text(kit: &Kit) {
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
        return assert!(!kit.can_ask(view).await, "thinking is accepted");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!((output.text().as_str(), problem), ("one", None));
    let thoughts: Vec<_> = output.thinking().map(|one| one.text.as_str()).collect();
    assert_eq!(thoughts, ["thought-canary"]);
}

/// An answer that reached the token limit is reported as truncated. An adapter for a provider without such a finish
/// reason refuses a token limit.
pub async fn an_answer_at_the_token_limit_is_truncated(kit: &Kit) {
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
        return assert!(!kit.can_ask(view).await, "a token limit is accepted");
    };
    let (output, problem) = succeeded(outcome);
    assert_eq!(
        output.text(),
        "one, tw",
        "the partial answer must be returned"
    );
    assert_eq!(problem, Some(Problem::Truncated));
    assert_eq!(output.finish_reason, FinishReason::Length);
}

/// An answer without text is reported as empty.
pub async fn an_answer_without_text_is_empty(kit: &Kit) {
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

/// A refusal of the model is reported as refused, with the model's explanation if there is one, and is not returned as
/// plain text.
pub async fn a_refusal_of_the_model_is_reported(kit: &Kit) {
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
    assert_eq!(output.text(), "", "a refusal must not be returned as text");
    let words = output.refusal();
    assert!(words.is_none_or(|words| words.contains("refusal-canary")));
}

/// Further answers to one request are kept, separately from the first.
pub async fn further_answers_are_kept_separately(kit: &Kit) {
    let answer = FullAnswer {
        pieces: text("one"),
        others: vec!["other-canary".to_owned()],
        ..FullAnswer::default()
    };
    let Some(outcome) = said(kit, answer).await else {
        return assert_eq!(
            plain(kit).await.0.items.len(),
            1,
            "a further answer is invented"
        );
    };
    let (output, _) = succeeded(outcome);
    assert_eq!(output.text(), "one", "the first answer must be the text");
    let kept = output.items.iter().any(|item| match item {
        OutputItem::Other(value) => value.to_string().contains("other-canary"),
        _ => false,
    });
    assert!(kept, "an answer that was paid for is lost");
}

/// An answer that cannot be read is an error of its request or is returned as raw JSON. It is never reported as empty,
/// as another outcome or as retryable, since it was paid for.
pub async fn an_unreadable_answer_is_not_empty(kit: &Kit) {
    let open = kit.open_three().await;
    let (part, row) = open.yes(0, "text-canary");
    let row: Value = serde_json::from_slice(&row).expect("a row is JSON");
    for at in path_to(&row, "text-canary") {
        let was = row.pointer(&at).expect("a member");
        if texts(was).contains(&open.wire_ids[0]) {
            continue;
        }
        for odd in odd_values() {
            // An absent or empty value holds no answer and may be reported as empty. A string is always a text.
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
                    assert!(!error.is_retryable(), "{said} is retryable: {error}");
                }
                Outcome::Succeeded { value, problem } => {
                    let kept = value
                        .items
                        .iter()
                        .any(|item| matches!(item, OutputItem::Other(_) | OutputItem::Citation(_)));
                    let texts = problem.is_some_and(|problem| problem != Problem::Empty);
                    // Strings where parts are expected are accepted as texts.
                    let text = value.text();
                    let read = !text.is_empty() && odd.to_string().contains(&text);
                    assert!(
                        kept || texts || read,
                        "{said} has the problem {problem:?}: {:?}",
                        value.items
                    );
                }
                other => panic!("{said} became {}", other.status()),
            }
        }
    }
}

/// JSON pointers to a text and to each of its ancestors, innermost first, without the document itself.
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

/// A request that the provider rejects for its content is not retryable: it would be rejected each time, and some
/// providers charge for that. Providers that cannot express such a rejection are exempt.
pub async fn a_permanent_failure_is_not_retryable(kit: &Kit) {
    let rejected = FullRow::Rejected("words-canary".to_owned());
    let Some(outcome) = of_row(kit, &rejected).await else {
        let open = kit.open_three().await;
        let row = open.no(0, "words-canary");
        let outcome = first(&open, row).await;
        let error = outcome.as_result().expect_err("a failure");
        return assert!(error.is_retryable(), "{error}");
    };
    let Outcome::Errored(error) = outcome else {
        panic!("a failure became {}", outcome.status());
    };
    assert!(
        !error.is_retryable(),
        "a permanent failure is retryable: {error}"
    );
    assert_eq!(error.message(), Some("words-canary"));
}
