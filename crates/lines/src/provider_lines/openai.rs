//! Lines of the output and error files of OpenAI's Batch API.
//!
//! "BatchRequestOutput: id, custom_id, response: {status_code, request_id, body}, error: {code, message}" (OpenAI's
//! OpenAPI document 2.3.0, 2026-08-21). A request that was answered with an HTTP error has its status and its error
//! in `response`; `error` is for requests that were not run.

use lmbatch_core::{
    AnswerView, AnsweredRequest, Arguments, FailureView, FinishReason, ItemView, OutcomeView,
    OutputView, TokenUsage, ToolCallView,
};

use super::line::Line;

// "This request could not be executed before the completion window expired." (the same document)
const EXPIRED: (&str, &str) = (
    "batch_expired",
    "This request could not be executed before the completion window expired.",
);

// Third-party live capture, 2026-09-02.
const CANCELLED: (&str, &str) = (
    "batch_cancelled",
    "This request was not executed because the batch was cancelled.",
);

/// OpenAI's files have no line for such a request.
const MISSING: (&str, &str) = (
    "missing",
    "The results of the batch have no row for this request.",
);

pub(super) fn write(answered: &AnsweredRequest<'_>, line: &mut Line<'_>) {
    line.count("{\"id\":\"batch_req_", line.ordinal.into());
    line.json("\",\"custom_id\":");
    line.custom_id(answered.id);
    line.json(",\"response\":");
    match &answered.answer {
        AnswerView::Row { outcome, .. } => match outcome {
            OutcomeView::Succeeded(output) => {
                line.json("{\"status_code\":200,\"request_id\":\"\",\"body\":");
                completion(output, line);
                line.json("},\"error\":null}");
            }
            OutcomeView::Errored(failure) => failed(failure, line),
            OutcomeView::Expired => not_run(EXPIRED, line),
            OutcomeView::Cancelled => not_run(CANCELLED, line),
        },
        AnswerView::Missing => not_run(MISSING, line),
        AnswerView::Malformed => failed(&FailureView::malformed(), line),
    }
}

fn not_run((code, message): (&str, &str), line: &mut Line<'_>) {
    line.json("null,\"error\":{\"code\":");
    line.string(code);
    line.json(",\"message\":");
    line.string(message);
    line.json("}}");
}

fn failed(failure: &FailureView<'_>, line: &mut Line<'_>) {
    let kind = failure.kind.as_str();
    let Some(status) = failure.http_status.filter(|status| *status >= 400) else {
        line.json("null,\"error\":{\"code\":");
        line.string(failure.code.as_deref().unwrap_or(kind));
        line.json(",\"message\":");
        message(failure, line);
        line.json("}}");
        return;
    };
    line.count("{\"status_code\":", status.into());
    line.json(",\"request_id\":\"\",\"body\":{\"error\":{\"message\":");
    message(failure, line);
    line.json(match status {
        500.. => ",\"type\":\"server_error\"",
        _ => ",\"type\":\"invalid_request_error\"",
    });
    line.json(",\"param\":null,\"code\":");
    match &failure.code {
        Some(code) => line.string(code),
        None => line.json("null"),
    }
    line.json("}}},\"error\":null}");
}

/// Appends the message of a failure, or else its kind.
fn message(failure: &FailureView<'_>, line: &mut Line<'_>) {
    match failure.message {
        Some(message) => message.write_json(line.out),
        None => line.string(failure.kind.as_str()),
    }
}

/// Appends the body of an answer.
fn completion(output: &OutputView<'_>, line: &mut Line<'_>) {
    line.json("{\"id\":");
    line.response_id(output.response_id, "chatcmpl-");
    // The time of an answer is not recorded.
    line.json(",\"object\":\"chat.completion\",\"created\":0,\"model\":");
    line.model(output.model);
    line.json(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    let texts = || {
        output.items.iter().filter_map(|item| match item {
            ItemView::Text(text) => Some(*text),
            _ => None,
        })
    };
    let refusals = || {
        output.items.iter().filter_map(|item| match item {
            ItemView::Refusal(text) => Some(*text),
            _ => None,
        })
    };
    match texts().next() {
        Some(_) => line.joined(texts()),
        None => line.json("null"),
    }
    line.json(",\"refusal\":");
    match refusals().next() {
        Some(_) => line.joined(refusals()),
        None => line.json("null"),
    }
    let mut has_calls = false;
    for item in &output.items {
        match item {
            ItemView::ToolCall(call) => {
                line.json(if has_calls { "," } else { ",\"tool_calls\":[" });
                has_calls = true;
                tool_call(call, line);
            }
            ItemView::Text(_) | ItemView::Refusal(_) => {}
            other => line.leave_out(other),
        }
    }
    if has_calls {
        line.json("]");
    }
    line.json("},\"logprobs\":null,\"finish_reason\":");
    let finish_reason = finish_reason(output, refusals().next().is_some(), has_calls, line);
    line.string(finish_reason);
    line.json("}],\"usage\":");
    match &output.usage {
        Some(usage) => tokens(usage, line),
        None => line.json("null"),
    }
    line.json("}");
}

// "finish_reason: stop, length, tool_calls, content_filter, function_call" (the same document). A refusal is in the
// message, beside `stop`; one without a text can only be said by `content_filter`.
fn finish_reason(
    output: &OutputView<'_>,
    has_refusal: bool,
    has_calls: bool,
    line: &mut Line<'_>,
) -> &'static str {
    match output.finish_reason {
        FinishReason::Refusal if has_refusal => "stop",
        FinishReason::Stop => "stop",
        FinishReason::Length | FinishReason::Paused => "length",
        FinishReason::ToolUse => "tool_calls",
        FinishReason::ContentFilter | FinishReason::Refusal => "content_filter",
        _ => {
            line.left_out.insert("finish_reason");
            match (output.problem, has_calls) {
                (Some(_), _) => "length",
                (None, true) => "tool_calls",
                (None, false) => "stop",
            }
        }
    }
}

fn tool_call(call: &ToolCallView<'_>, line: &mut Line<'_>) {
    line.json("{\"id\":");
    line.string(&call.id);
    if let Arguments::Free(text) = call.arguments {
        line.json(",\"type\":\"custom\",\"custom\":{\"name\":");
        call.name.write_json(line.out);
        line.json(",\"input\":");
        text.write_json(line.out);
    } else {
        line.json(",\"type\":\"function\",\"function\":{\"name\":");
        call.name.write_json(line.out);
        line.json(",\"arguments\":");
        call.arguments.write_quoted(line.out);
    }
    line.json("}}");
}

fn tokens(usage: &TokenUsage, line: &mut Line<'_>) {
    let total = usage.input_tokens.saturating_add(usage.output_tokens);
    for (key, count) in [
        ("{\"prompt_tokens\":", usage.input_tokens),
        (",\"completion_tokens\":", usage.output_tokens),
        (",\"total_tokens\":", total),
        (
            ",\"prompt_tokens_details\":{\"cached_tokens\":",
            usage.cached_input_tokens,
        ),
        (",\"cache_write_tokens\":", usage.cache_write_tokens),
        (",\"audio_tokens\":", usage.audio_input_tokens),
        (
            "},\"completion_tokens_details\":{\"reasoning_tokens\":",
            usage.thinking_tokens,
        ),
    ] {
        line.count(key, count);
    }
    line.json("}}");
    if usage.cache_write_1h_tokens > 0 {
        line.left_out.insert("cache_write_1h_tokens");
    }
}
