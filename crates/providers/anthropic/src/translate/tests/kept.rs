//! The content of each row is kept, or the row is reported as unreadable.

use serde_json::json;

use super::cases::{answered, outcome_of};

fn deep(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

#[test]
fn an_answer_that_is_nested_too_deep_is_malformed_and_not_empty() {
    let row = |content: &str, rest: &str| {
        outcome_of(&format!(
            r#"{{"custom_id":"a","result":{{"type":"succeeded","message":{{"content":{content}{rest}}}}}}}"#
        ))
    };
    let text = r#"[{"type":"text","text":"Hello"}]"#;
    let deep = deep(110);
    let tool = format!(
        r#"[{{"type":"text","text":"Hello"}},{{"type":"tool_use","id":"t","name":"f","input":{deep}}}]"#
    );
    for found in [
        row(&tool, ""),
        row(text, &format!(r#","stop_details":{deep}"#)),
    ] {
        assert_eq!(found["errored"]["kind"], "malformed_answer");
    }
    let found = row(text, &format!(r#","x":{deep}"#));
    assert_eq!(found["items"], json!([{"type": "text", "text": "Hello"}]));
}

#[test]
fn a_list_is_no_object() {
    for content in [json!([["text", "Hello"]]), json!([[]]), json!(["Hello"])] {
        let found = answered(&json!({"content": content}));
        assert_eq!(found["problem"], "unrecognized", "{content}");
    }
    for result in [
        json!(["succeeded", {"content": [{"type": "text", "text": "Hello"}]}]),
        json!({"type": "succeeded", "message": ["m", "model", "Hello"]}),
    ] {
        let found = outcome_of(&json!({"custom_id": "a", "result": result}).to_string());
        assert_eq!(found["errored"]["kind"], "malformed_answer", "{result}");
    }
}

#[test]
fn a_message_that_only_asked_the_providers_own_tools_is_no_answer() {
    for (blocks, problem) in [
        (
            json!([{"type": "server_tool_use", "id": "x", "name": "web_search"}]),
            json!("unrecognized"),
        ),
        (
            json!([{"type": "web_search_tool_result", "content": {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}}]),
            json!("unrecognized"),
        ),
        (
            json!([{"type": "code_execution_tool_result", "content": {"type": "code_execution_tool_result_error"}}]),
            json!("unrecognized"),
        ),
        (
            json!([{"type": "server_tool_use", "id": "x"}, {"type": "text", "text": "A"}]),
            json!(null),
        ),
    ] {
        let found = answered(&json!({"content": blocks, "stop_reason": "end_turn"}));
        assert_eq!(found["problem"], problem, "{blocks}");
    }
    for (reason, problem) in [
        ("error", json!("unrecognized")),
        ("compaction", json!(null)),
    ] {
        let content = json!([{"type": "text", "text": "A"}]);
        let found = answered(&json!({"content": content, "stop_reason": reason}));
        assert_eq!(found["problem"], problem, "{reason}");
    }
}

#[test]
fn the_status_of_an_error_is_kept() {
    for (error, kind, status, retryable) in [
        (
            json!({"status": 429, "message": "m"}),
            "provider_rate_limit",
            json!(429),
            true,
        ),
        (
            json!({"status_code": "503", "message": "m"}),
            "provider_overloaded",
            json!(503),
            true,
        ),
        (
            json!({"http_status": 400, "type": "foo", "message": "m"}),
            "provider_invalid_args",
            json!(400),
            false,
        ),
        (
            json!({"code": 529, "message": "m"}),
            "provider_overloaded",
            json!(529),
            true,
        ),
        (
            json!([{"type": "api_error", "message": "m"}]),
            "provider_internal",
            json!(null),
            true,
        ),
        (
            json!({"type": "invalid_request_error", "status": 500, "message": "m"}),
            "provider_invalid_args",
            json!(500),
            false,
        ),
    ] {
        let result = json!({"type": "errored", "error": error});
        let found = outcome_of(&json!({"custom_id": "a", "result": result}).to_string());
        let found = &found["errored"];
        assert_eq!(found["kind"], kind, "{error}");
        assert_eq!(found["http_status"], status, "{error}");
        assert_eq!(found["retryable"], retryable, "{error}");
        assert_eq!(found["message"], "m", "{error}");
    }
}

#[test]
fn counts_that_cannot_be_read_are_unknown_and_not_zero() {
    for (usage, expected) in [
        (r#"{"input_tokens":1,"output_tokens":2}"#, Some((1, 2))),
        (
            r#"{"input_tokens":1,"output_tokens":2,"c":1e999}"#,
            Some((1, 2)),
        ),
        (
            r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":null}"#,
            Some((1, 2)),
        ),
        (r#"{"output_tokens":2}"#, Some((0, 2))),
        (r#"{"input_tokens":1,"output_tokens":1e999}"#, None),
        (r#"{"input_tokens":1,"output_tokens":2.5}"#, None),
        (r#"{"input_tokens":-2,"output_tokens":2}"#, None),
        (
            r#"{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":-1}"#,
            None,
        ),
        (r#"{"service_tier":"batch"}"#, None),
    ] {
        let row = format!(
            r#"{{"custom_id":"a","result":{{"type":"succeeded","message":{{"content":"A","usage":{usage}}}}}}}"#
        );
        let (codec, part) = (super::codec(), super::part());
        let mut rows = lmbatch_core::RowReader::new();
        let read = rows.read(row.as_bytes());
        let decoded = lmbatch_core::BatchCodec::decode(&codec, &part, read).unwrap();
        let lmbatch_core::OutcomeView::Succeeded(output) = decoded.outcome else {
            panic!("{row}");
        };
        let found = output
            .usage
            .map(|usage| (usage.input_tokens, usage.output_tokens));
        assert_eq!(found, expected, "{usage}");
    }
}
