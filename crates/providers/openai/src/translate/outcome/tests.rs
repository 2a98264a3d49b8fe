use lmbatch_core::{
    BatchCodec as _, BatchId, ResultPart, ResultRow, RowReader, RowView, ScannedRow, Text, Verdict,
};

use super::*;
use crate::{Endpoint, OpenAiCodec};

const ROWS: &str = include_str!("../../../tests/fixtures/rows.jsonl");

mod beside;
mod cases;
mod kept;

/// A row that came back with HTTP 200.
fn good(body: &str) -> String {
    format!(
        r#"{{"id":"batch_req_1","custom_id":"a","response":{{"status_code":200,"request_id":"r","body":{body}}},"error":null}}"#
    )
}

fn part() -> ResultPart {
    ResultPart::mixed(&BatchId::new("b"), "f", "output")
}

/// A row that lives as long as the test.
fn read_whole(row: &[u8]) -> ResultRow<'_> {
    Box::leak(Box::new(RowReader::new())).read(row)
}

fn decode(row: &[u8]) -> Result<RowView<'_>, RowError> {
    OpenAiCodec::new(Endpoint::Responses).decode(&part(), read_whole(row))
}

fn scan(row: &[u8]) -> Result<ScannedRow<'_>, RowError> {
    OpenAiCodec::new(Endpoint::Responses).scan(&part(), read_whole(row))
}

/// Returns a short text for a row, for use in tables. Also checks that scanning and decoding agree.
fn outcome_of(row: &str) -> String {
    let row = row.as_bytes();
    let (decoded, scanned) = (decode(row), scan(row));
    let (row, scanned) = match (decoded, scanned) {
        (Ok(row), Ok(scanned)) => (row, scanned),
        (Err(one), Err(other)) if one == other => return format!("{one:?}"),
        (one, other) => panic!("decode says {one:?}, scan {other:?}"),
    };
    assert_eq!(row.id, scanned.id);
    let malformed =
        matches!(&row.outcome, OutcomeView::Errored(f) if f.kind == ErrorKind::MalformedAnswer);
    assert!(
        row.outcome.verdict() == scanned.verdict
            || (scanned.verdict == Verdict::Succeeded && malformed)
    );
    match row.outcome {
        OutcomeView::Succeeded(output) => {
            let items: Vec<String> = output.items.iter().map(shown).collect();
            let problem = output
                .problem
                .map(|problem| format!(" !{problem}"))
                .unwrap_or_default();
            format!(
                "{}: {}{problem}",
                output.finish_reason.as_str(),
                items.join(" ")
            )
        }
        OutcomeView::Errored(failure) => {
            let code = failure.code.as_deref().unwrap_or("-");
            let again = if failure.retryable { " again" } else { "" };
            format!("{} {code}{again}", failure.kind.as_str())
        }
        OutcomeView::Expired => "expired".to_owned(),
        OutcomeView::Cancelled => "cancelled".to_owned(),
    }
}

fn shown(item: &ItemView<'_>) -> String {
    let some = |text: Option<Text<'_>>| {
        text.map(|text| text.decode().into_owned())
            .unwrap_or_default()
    };
    match item {
        ItemView::Text(text) => format!("text({})", text.decode()),
        ItemView::Refusal(text) => format!("refusal({})", text.decode()),
        ItemView::ToolCall(call) => {
            let mut arguments = Vec::new();
            call.arguments.write_value(&mut arguments);
            format!(
                "call({},{},{})",
                call.id,
                call.name.decode(),
                String::from_utf8(arguments).unwrap()
            )
        }
        ItemView::Thinking(thinking) => format!(
            "thinking({},{},{})",
            some(thinking.text),
            some(thinking.id),
            some(thinking.data)
        ),
        ItemView::Commentary(text) => format!("commentary({})", text.decode()),
        ItemView::Detail { name, value } => format!("{name}({})", value.as_str()),
        ItemView::Attachment(attachment) => format!("{:?}", attachment.kind),
        ItemView::Citation(json) => format!("citation({})", json.as_str()),
        ItemView::Other(json) => format!("other({})", json.as_str()),
        _ => "?".to_owned(),
    }
}

#[test]
fn every_shape_of_a_row_is_read() {
    let expected = [
        "stop: text(Hello)",
        "stop: text(Hello)",
        "provider_invalid_args invalid_value",
        "provider_rate_limit rate_limit_exceeded again",
        "billing insufficient_quota",
        "provider_internal - again",
        "expired",
        "cancelled",
        "generation_failed server_error again",
        "generation_failed invalid_prompt",
        "length: thinking(,rs_1,) !truncated",
    ];
    let rows: Vec<String> = ROWS.lines().map(outcome_of).collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_row_without_an_answer_holds_its_error() {
    for (row, expected) in [
        ("", "RowError"),
        ("{\"custom_id\":\"a\",\"respo", "malformed_answer -"),
        ("null", "RowError"),
        (
            // The engine replaces the unpaired surrogate of the id.
            r#"{"custom_id":"\ud800","response":null}"#,
            "malformed_answer -",
        ),
        (r#"{"custom_id":7,"response":null}"#, "RowError"),
        (
            r#"{"response":null,"error":{"code":"batch_expired"}}"#,
            "expired",
        ),
        (
            r#"{"custom_id":null,"response":{"status_code":200,"body":{}}}"#,
            "malformed_answer -",
        ),
        (r#"{"custom_id":"a"}"#, "malformed_answer -"),
        (
            r#"{"custom_id":"a","response":null,"error":null}"#,
            "malformed_answer -",
        ),
        (
            r#"{"custom_id":"a","response":"strange"}"#,
            "malformed_answer -",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":"200","body":{}}}"#,
            "malformed_answer -",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":500,"body":null}}"#,
            "provider_internal - again",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":408,"body":"<html>"}}"#,
            "timeout - again",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":409,"body":{"error":"busy"}}}"#,
            "provider_internal - again",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":404,"body":{"error":{"code":404,"message":"m"}}}}"#,
            "provider_invalid_args 404",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":404,"body":{"error":{"code":"model_not_found","message":"m"}}}}"#,
            "model_not_found model_not_found",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":400,"body":{"error":{"code":"context_length_exceeded"}}}}"#,
            "context_overflow context_length_exceeded",
        ),
        (
            r#"{"custom_id":"a","response":null,"error":{"code":"strange","message":"m"}}"#,
            "generation_failed strange",
        ),
        (
            r#"{"custom_id":"a","response":null,"error":"strange"}"#,
            "generation_failed -",
        ),
        (
            r#"{"custom_id":"a","response":null,"error":{"code":"batch_canceled"}}"#,
            "cancelled",
        ),
    ] {
        assert_eq!(outcome_of(row), expected, "{row}");
    }
    assert_eq!(scan(b"{\"custom_id\":\"\xff\"}").map(|_| ()), Err(RowError));
    assert_eq!(
        decode(b"{\"custom_id\":\"\xff\"}").map(|_| ()),
        Err(RowError)
    );
}

#[test]
fn every_item_of_a_response_is_read() {
    for (body, expected) in [
        (
            r#"{"status":"completed","output":[
                {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"why"},{"type":"summary_text","text":"so"}],"encrypted_content":"xx"},
                {"type":"message","content":[{"type":"output_text","text":"a","annotations":[{"type":"url_citation","url":"u"}]},{"type":"output_text","text":"b"}]}]}"#,
            r#"stop: thinking(why,rs_1,xx) thinking(so,rs_1,) text(a) citation({"type":"url_citation","url":"u"}) text(b)"#,
        ),
        (
            r#"{"status":"completed","output":[{"type":"function_call","id":"fc_1","call_id":"call_1","name":"add","arguments":"{\"a\":1}"}]}"#,
            r#"tool_use: call(call_1,add,{"a":1})"#,
        ),
        (
            r#"{"status":"completed","output":[{"type":"function_call","id":"fc_1","call_id":"call_1","name":"add","arguments":"{\"a\":"}]}"#,
            r#"tool_use: call(call_1,add,"{\"a\":") !invalid_arguments"#,
        ),
        (
            r#"{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"no"}]}]}"#,
            "refusal: refusal(no) !refused",
        ),
        (
            r#"{"status":"completed","output":[{"type":"web_search_call","id":"ws"},{"type":"message","content":[{"type":"hologram"}]}]}"#,
            r#"stop: other({"type":"web_search_call","id":"ws"}) other({"type":"hologram"}) !unrecognized"#,
        ),
        (
            r#"{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}"#,
            "content_filter: text(a) !content_filter",
        ),
        (
            r#"{"status":"incomplete","incomplete_details":null,"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}"#,
            "incomplete: text(a) !truncated",
        ),
        (r#"{"status":"completed","output":[]}"#, "stop:  !empty"),
        (
            r#"{"output":[{"type":"message","content":[{"type":"output_text","text":""}]}]}"#,
            "stop:  !empty",
        ),
        (
            r#"{"status":"Failed","error":null,"output":[]}"#,
            "generation_failed -",
        ),
        (
            r#"{"status":"cancelled","output":[]}"#,
            "generation_failed -",
        ),
        (
            r#"{"status":"in_progress","output":[]}"#,
            "in_progress:  !unrecognized",
        ),
        (r#"{"status":7,"output":[]}"#, "7:  !unrecognized"),
        (
            r#"{"status":"completed","output":"x"}"#,
            r#"stop: other("x") !unrecognized"#,
        ),
        ("{}", "malformed_answer -"),
        ("[]", "malformed_answer -"),
        (r#""ok""#, "malformed_answer -"),
        ("null", "malformed_answer -"),
    ] {
        assert_eq!(
            outcome_of(&good(&body.replace('\n', ""))),
            expected,
            "{body}"
        );
    }
}

#[test]
fn every_message_of_a_chat_is_read() {
    let chat = |choice: &str| {
        good(&format!(
            r#"{{"object":"chat.completion","choices":[{choice}]}}"#
        ))
    };
    for (choice, expected) in [
        (
            r#"{"finish_reason":"stop","message":{"role":"assistant","content":"a","refusal":null}}"#,
            "stop: text(a)",
        ),
        (
            r#"{"finish_reason":"length","message":{"content":""}}"#,
            "length:  !truncated",
        ),
        (
            r#"{"finish_reason":"content_filter","message":{"content":null}}"#,
            "content_filter:  !content_filter",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":null,"refusal":"no"}}"#,
            "refusal: refusal(no) !refused",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":"a","refusal":""}}"#,
            "stop: text(a)",
        ),
        (
            r#"{"finish_reason":"tool_calls","message":{"content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]}}"#,
            "tool_use: call(c,f,{})",
        ),
        (
            r#"{"finish_reason":"tool_calls","message":{"tool_calls":[{"id":"c","type":"custom","custom":{"name":"f","input":"x"}}]}}"#,
            r#"tool_use: call(c,f,"x")"#,
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":"a","reasoning_content":"hm"}}"#,
            "stop: thinking(hm,,) text(a)",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":"a","reasoning":"hm"}}"#,
            "stop: thinking(hm,,) text(a)",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":"a","reasoning":{"effort":1}}}"#,
            "stop: text(a)",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":[{"type":"text","text":"a"}]}}"#,
            "stop: text(a)",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":null,"audio":{"id":"x","data":"AAAA","transcript":"hi"}}}"#,
            "stop: text(hi) Audio",
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":null,"audio":{"id":"x"}}}"#,
            r#"stop: other({"id":"x"}) !unrecognized"#,
        ),
        (
            r#"{"finish_reason":"stop","message":{"content":"a"}},{"index":1,"message":{"content":"b"}}"#,
            r#"stop: text(a) other({"index":1,"message":{"content":"b"}})"#,
        ),
        (
            r#"{"finish_reason":"weary","message":{"content":"a"}}"#,
            "weary: text(a)",
        ),
        (r#"{"finish_reason":"stop","text":"a"}"#, "stop: text(a)"),
        ("", "stop:  !empty"),
    ] {
        assert_eq!(outcome_of(&chat(choice)), expected, "{choice}");
    }
}

#[test]
fn embeddings_and_moderations_are_kept_unchanged() {
    for (body, expected) in [
        (
            r#"{"object":"list","data":[{"embedding":[0.10]}],"model":"e"}"#,
            r#"stop: other([{"embedding":[0.10]}])"#,
        ),
        (
            r#"{"id":"modr-1","results":[{"flagged":false}]}"#,
            r#"stop: other([{"flagged":false}])"#,
        ),
    ] {
        assert_eq!(outcome_of(&good(body)), expected);
    }
}

fn usage_of(usage: &str) -> Option<TokenUsage> {
    let row = good(&format!(
        r#"{{"status":"completed","output":[{{"type":"message","content":[{{"type":"output_text","text":"a"}}]}}],"usage":{usage}}}"#
    ));
    let row = decode(row.as_bytes()).unwrap();
    let OutcomeView::Succeeded(output) = row.outcome else {
        panic!("{row:?}")
    };
    assert_eq!(output.problem, None);
    output.usage
}

#[test]
fn w6_an_answer_succeeds_without_complete_usage() {
    let count = |input_tokens, cached_input_tokens, output_tokens, thinking_tokens| {
        Some(TokenUsage {
            input_tokens,
            cached_input_tokens,
            output_tokens,
            thinking_tokens,
            ..TokenUsage::default()
        })
    };
    for (usage, expected) in [
        ("null", None),
        ("{}", None),
        (r#""many""#, None),
        (r#"{"input_tokens":5,"output_tokens":7}"#, count(5, 0, 7, 0)),
        (
            r#"{"input_tokens":5,"input_tokens_details":null,"output_tokens_details":{}}"#,
            count(5, 0, 0, 0),
        ),
        (
            r#"{"input_tokens":5,"input_tokens_details":{"cached_tokens":3},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":2}}"#,
            count(5, 3, 7, 2),
        ),
        (
            r#"{"prompt_tokens":5,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens":7,"completion_tokens_details":{"reasoning_tokens":2}}"#,
            count(5, 3, 7, 2),
        ),
        (
            r#"{"input_tokens":5,"prompt_tokens":5,"output_tokens":7,"completion_tokens":7}"#,
            count(5, 0, 7, 0),
        ),
        (
            r#"{"prompt_tokens":5,"prompt_tokens_details":{"audio_tokens":4},"completion_tokens":7}"#,
            count(5, 0, 7, 0).map(|usage| TokenUsage {
                audio_input_tokens: 4,
                ..usage
            }),
        ),
        (r#"{"output_tokens":"7"}"#, count(0, 0, 7, 0)),
        (r#"{"input_tokens":-1,"output_tokens":"7"}"#, None),
    ] {
        assert_eq!(usage_of(usage), expected, "{usage}");
    }
}

#[test]
fn w5_a_bad_row_spoils_no_other() {
    let good = good(
        r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}"#,
    );
    let failed = r#"{"custom_id":"b","response":{"status_code":200,"body":{"status":"failed","error":{"code":"server_error","message":"model died"}}}}"#;
    let file = [good.as_str(), failed, "{\"custom_id\":\"c\",\"resp", &good].join("\n");
    let told: Vec<String> = file.lines().map(outcome_of).collect();
    assert_eq!(
        told,
        [
            "stop: text(a)",
            "generation_failed server_error again",
            "malformed_answer -",
            "stop: text(a)"
        ]
    );
}

#[test]
fn a_failure_holds_the_providers_message() {
    let row = ROWS.lines().nth(2).unwrap();
    let row = decode(row.as_bytes()).unwrap();
    let OutcomeView::Errored(failure) = &row.outcome else {
        panic!("{row:?}")
    };
    assert_eq!(
        (failure.http_status, failure.message),
        (Some(400), Some("Invalid value: 'x'.".into()))
    );
    assert!(!format!("{row:?}").contains("Invalid value"));
}
