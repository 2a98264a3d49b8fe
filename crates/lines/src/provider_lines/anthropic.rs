//! Lines of the results of Anthropic's Message Batches API.
//!
//! "result.type: succeeded, errored, canceled, expired" (SDK 2.12.0, 2026-11).

use lmbatch_core::{
    AnswerView, AnsweredRequest, ErrorKind, FailureView, FinishReason, ItemView, OutcomeView,
    OutputView, Retry, Text, ThinkingView, TokenUsage, ToolCallView,
};

use super::line::Line;

/// Types of errors (SDK 2.12.0, 2026-11).
const ERROR_TYPES: &[&str] = &[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
];

/// Message of a request without a row, which Anthropic's results have no type for.
const MISSING: &str = "the results of the batch have no row for this request";

pub(super) fn write(answered: &AnsweredRequest<'_>, line: &mut Line<'_>) {
    line.json("{\"custom_id\":");
    line.custom_id(answered.id);
    line.json(",\"result\":{\"type\":");
    match &answered.answer {
        AnswerView::Row { outcome, .. } => match outcome {
            OutcomeView::Succeeded(output) => message(output, line),
            OutcomeView::Errored(failure) => failed(failure, line),
            OutcomeView::Expired => line.json("\"expired\""),
            OutcomeView::Cancelled => line.json("\"canceled\""),
        },
        AnswerView::Missing => {
            let mut missing = FailureView::new(ErrorKind::Missing, Retry::Temporary);
            missing.message = Some(Text::Plain(MISSING));
            failed(&missing, line);
        }
        AnswerView::Malformed => failed(&FailureView::malformed(), line),
    }
    line.json("}}");
}

fn failed(failure: &FailureView<'_>, line: &mut Line<'_>) {
    line.json("\"errored\",\"error\":{\"type\":\"error\",\"error\":{\"type\":");
    let code = failure.code.as_deref();
    let own = ERROR_TYPES.iter().find(|one| code == Some(**one));
    let kind = own.copied().unwrap_or_else(|| error_type(failure));
    line.string(kind);
    line.json(",\"message\":");
    match failure.message {
        Some(message) => message.write_json(line.out),
        None => line.string(failure.kind.as_str()),
    }
    line.json("},\"request_id\":null}");
    if code.is_some() && own.is_none() {
        line.left_out.insert("error_code");
    }
    if failure.http_status.is_some() {
        line.left_out.insert("http_status");
    }
}

/// Returns the type of an error by its kind. "Anything but invalid_request_error can be sent again as it is" (batch
/// guide, 2026-08), so that any other permanent failure has that type.
fn error_type(failure: &FailureView<'_>) -> &'static str {
    match failure.kind {
        ErrorKind::ProviderAuth => "authentication_error",
        ErrorKind::Billing => "billing_error",
        ErrorKind::ModelNotFound => "not_found_error",
        ErrorKind::ProviderRateLimit | ErrorKind::Quota => "rate_limit_error",
        ErrorKind::Timeout => "timeout_error",
        ErrorKind::ProviderOverloaded => "overloaded_error",
        ErrorKind::ProviderInternal => "api_error",
        _ if failure.retryable => "api_error",
        _ => "invalid_request_error",
    }
}

fn message(output: &OutputView<'_>, line: &mut Line<'_>) {
    line.json("\"succeeded\",\"message\":{\"id\":");
    line.response_id(output.response_id, "msg_");
    line.json(",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    line.model(output.model);
    line.json(",\"content\":[");
    let at = line.out.len();
    for item in &output.items {
        block(item, at, line);
    }
    line.json("],\"stop_reason\":");
    let stop_reason = stop_reason(output, line);
    line.string(stop_reason);
    line.json(",\"stop_sequence\":null,\"stop_details\":");
    let refusals = || {
        output.items.iter().filter_map(|item| match item {
            ItemView::Refusal(text) => Some(*text),
            _ => None,
        })
    };
    match refusals().next() {
        Some(_) => {
            line.json("{\"type\":\"refusal\",\"category\":null,\"explanation\":");
            line.joined(refusals());
            line.json("}");
        }
        None => line.json("null"),
    }
    line.json(",\"usage\":");
    if output.usage.is_none() {
        line.left_out.insert("usage");
    }
    tokens(&output.usage.unwrap_or_default(), line);
    line.json("}");
}

// "stop_reason: end_turn, max_tokens, stop_sequence, tool_use, pause_turn, refusal,
// model_context_window_exceeded" (SDK 2.12.0, 2026-11).
fn stop_reason(output: &OutputView<'_>, line: &mut Line<'_>) -> &'static str {
    match output.finish_reason {
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolUse => "tool_use",
        FinishReason::Refusal | FinishReason::ContentFilter => "refusal",
        FinishReason::Paused => "pause_turn",
        _ => {
            line.left_out.insert("finish_reason");
            match output.problem {
                Some(_) => "max_tokens",
                None => "end_turn",
            }
        }
    }
}

/// Appends the blocks of an item to those that begin at `at`.
fn block(item: &ItemView<'_>, at: usize, line: &mut Line<'_>) {
    match item {
        ItemView::Text(text) => {
            line.begin(at, "{\"type\":\"text\",\"text\":");
            text.write_json(line.out);
            line.json(",\"citations\":null}");
        }
        ItemView::ToolCall(call) => tool_use(call, at, line),
        ItemView::Thinking(thinking) => self::thinking(thinking, at, line),
        // In `stop_details`.
        ItemView::Refusal(_) => {}
        other => line.leave_out(other),
    }
}

impl Line<'_> {
    /// Appends the beginning of a block, after a comma if the list that begins at `at` has others.
    fn begin(&mut self, at: usize, json: &str) {
        if self.out.len() > at {
            self.out.push(b',');
        }
        self.json(json);
    }
}

/// Appends a call, whose input is an object in this format. A call with any other arguments is left out: without them
/// it would be another call.
fn tool_use(call: &ToolCallView<'_>, at: usize, line: &mut Line<'_>) {
    let mut input = Vec::new();
    call.arguments.write_value(&mut input);
    if !input.starts_with(b"{") {
        line.left_out.insert("tool_call");
        return;
    }
    line.begin(at, "{\"type\":\"tool_use\",\"id\":");
    line.string(&call.id);
    line.json(",\"name\":");
    call.name.write_json(line.out);
    line.json(",\"input\":");
    line.out.extend_from_slice(&input);
    line.json("}");
}

/// Appends the text of thoughts and their encrypted form, each in a block of its own type.
fn thinking(thinking: &ThinkingView<'_>, at: usize, line: &mut Line<'_>) {
    if thinking.text.is_some() || thinking.data.is_none() {
        line.begin(at, "{\"type\":\"thinking\",\"thinking\":");
        thinking
            .text
            .unwrap_or(Text::Plain(""))
            .write_json(line.out);
        line.json(",\"signature\":");
        let signature = thinking.signature.unwrap_or(Text::Plain(""));
        signature.write_json(line.out);
        line.json("}");
    }
    if let Some(data) = thinking.data {
        line.begin(at, "{\"type\":\"redacted_thinking\",\"data\":");
        data.write_json(line.out);
        line.json("}");
    }
    if thinking.id.is_some() {
        line.left_out.insert("thinking_id");
    }
}

// "Total input is the sum of input_tokens, cache_creation_input_tokens and cache_read_input_tokens" (SDK 2.12.0).
fn tokens(usage: &TokenUsage, line: &mut Line<'_>) {
    let (cached, written) = (usage.cached_input_tokens, usage.cache_write_tokens);
    let fresh = usage.input_tokens.saturating_sub(cached);
    let fresh = fresh.saturating_sub(written);
    let for_an_hour = usage.cache_write_1h_tokens;
    for (key, count) in [
        ("{\"input_tokens\":", fresh),
        (",\"cache_creation_input_tokens\":", written),
        (",\"cache_read_input_tokens\":", cached),
        (
            ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":",
            written.saturating_sub(for_an_hour),
        ),
        (",\"ephemeral_1h_input_tokens\":", for_an_hour),
        ("},\"output_tokens\":", usage.output_tokens),
        (
            ",\"output_tokens_details\":{\"thinking_tokens\":",
            usage.thinking_tokens,
        ),
    ] {
        line.count(key, count);
    }
    line.json("}}");
    if usage.audio_input_tokens > 0 {
        line.left_out.insert("audio_input_tokens");
    }
}
