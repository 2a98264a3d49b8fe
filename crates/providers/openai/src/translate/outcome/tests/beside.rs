//! Answers beside errors are kept: they were paid for.

use super::cases::{chat, choice, response};
use super::*;

/// A row with a body under an HTTP status.
fn under(status: &str, body: &str) -> String {
    told(&format!(
        r#"{{"custom_id":"a","response":{{"status_code":{status},"body":{body}}},"error":null}}"#
    ))
}

#[test]
fn an_answer_under_an_error_status_is_kept() {
    for (status, body, expected) in [
        (
            "503",
            r#"{"choices":[{"message":{"content":"A"},"finish_reason":"stop"}]}"#,
            "stop: text(A)",
        ),
        (
            "\"500\"",
            r#"{"choices":[{"text":"A","finish_reason":"stop"}]}"#,
            "stop: text(A)",
        ),
        (
            "429",
            r#"{"error":{"message":"m"},"choices":[{"message":{"content":"A"},"finish_reason":"length"}]}"#,
            "length: text(A) !truncated",
        ),
        (
            "400",
            r#"{"choices":[{"message":{"refusal":"No."},"finish_reason":"stop"}]}"#,
            "refusal: refusal(No.) !refused",
        ),
        (
            "502",
            r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
            "tool_use: call(c,f,{})",
        ),
        (
            "503",
            r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#,
            "content_filter:  !content_filter",
        ),
        (
            "503",
            r#"{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"A"}]}]}"#,
            "stop: text(A)",
        ),
        (
            "503",
            r#"{"object":"list","data":[{"embedding":[0.5]}]}"#,
            r#"stop: other([{"embedding":[0.5]}])"#,
        ),
        (
            "503",
            r#"{"results":[{"flagged":false}]}"#,
            r#"stop: other([{"flagged":false}])"#,
        ),
    ] {
        assert_eq!(under(status, body), expected, "{status} {body}");
    }
}

#[test]
fn an_error_status_without_an_answer_stays_an_error_and_retries_as_its_table_says() {
    for body in [
        "null",
        "{}",
        r#""A""#,
        r#"{"error":{"message":"m"}}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":[null]}"#,
        r#"{"choices":["A"]}"#,
        r#"{"choices":7}"#,
        r#"{"choices":[{}]}"#,
        r#"{"choices":[{"message":null}]}"#,
        r#"{"choices":[{"message":{"content":""}}]}"#,
        r#"{"choices":[{"message":{"content":null,"reasoning":"Hm."}}]}"#,
        r#"{"output":null}"#,
        r#"{"output":[]}"#,
        r#"{"output":"A"}"#,
        r#"{"output":[{"type":"message","content":[]}]}"#,
        r#"{"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"Hm."}]}]}"#,
        r#"{"data":[]}"#,
        r#"{"data":{"x":1}}"#,
        r#"{"data":[7]}"#,
        r#"{"results":"odd"}"#,
    ] {
        assert_eq!(under("503", body), "provider_overloaded - again", "{body}");
        assert_eq!(under("400", body), "provider_invalid_args -", "{body}");
    }
}

#[test]
fn a_response_that_failed_after_it_answered_is_kept_and_is_not_usable() {
    let error = r#""error":{"code":"server_error","message":"m"}"#;
    let failed = |output: &str| {
        told(&good(&format!(
            r#"{{"status":"failed",{error},"output":{output}}}"#
        )))
    };
    for (output, expected) in [
        (
            r#"[{"type":"message","content":[{"type":"output_text","text":"A"}]}]"#,
            "failed: text(A) !unrecognized",
        ),
        (
            r#"[{"type":"reasoning","summary":[]},{"type":"message","content":"A"}]"#,
            "failed: thinking() text(A) !unrecognized",
        ),
        (
            r#"[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#,
            "failed: call(c,f,{}) !unrecognized",
        ),
        ("[]", "generation_failed server_error again"),
        ("null", "generation_failed server_error again"),
        ("7", "generation_failed server_error again"),
        (r#""A""#, "generation_failed server_error again"),
        (
            r#"[{"type":"message","content":[]}]"#,
            "generation_failed server_error again",
        ),
        (
            r#"[{"type":"message","content":[{"type":"output_text","text":""}]}]"#,
            "generation_failed server_error again",
        ),
        (
            r#"[{"type":"reasoning","summary":[{"type":"summary_text","text":"Hm."}]}]"#,
            "generation_failed server_error again",
        ),
    ] {
        let found = failed(output);
        match expected.contains("thinking") {
            true => assert!(
                found.starts_with("failed: ") && found.contains("text(A)"),
                "{found}"
            ),
            false => assert_eq!(found, expected, "{output}"),
        }
    }
}

#[test]
fn an_empty_answer_beside_an_error_under_200_is_the_error() {
    for answer in [
        r#""choices":[]"#,
        r#""choices":null"#,
        r#""choices":"odd""#,
        r#""choices":["A"]"#,
        r#""output":[]"#,
        r#""output":7"#,
        r#""data":[]"#,
        r#""results":[null]"#,
    ] {
        let body = format!(r#"{{"error":{{"type":"server_error","message":"m"}},{answer}}}"#);
        assert_eq!(chat(&body), "provider_internal - again", "{body}");
    }
    let kept = r#"{"error":{"type":"server_error"},"choices":[{"message":{"content":"A"}}]}"#;
    assert_eq!(chat(kept), "stop: text(A)");
}

#[test]
fn tool_arguments_that_are_no_object_are_a_problem_and_are_kept() {
    for (arguments, kept, problem) in [
        (r#""{\"x\":1}""#, r#"{"x":1}"#, ""),
        (r#""""#, "{}", ""),
        ("null", "{}", ""),
        (r#""{\"x\":""#, r#""{\"x\":""#, " !invalid_arguments"),
        (r#""x=1""#, r#""x=1""#, " !invalid_arguments"),
        (r#""{'x': 1}""#, r#""{'x': 1}""#, " !invalid_arguments"),
        ("7", "7", " !invalid_arguments"),
        ("[1]", "[1]", " !invalid_arguments"),
    ] {
        let call = format!(r#"{{"id":"c","function":{{"name":"f","arguments":{arguments}}}}}"#);
        let choice_of = |word: &str| {
            choice(&format!(
                r#"{{"finish_reason":"{word}","message":{{"tool_calls":[{call}]}}}}"#
            ))
        };
        assert_eq!(
            choice_of("tool_calls"),
            format!("tool_use: call(c,f,{kept}){problem}")
        );
        // An answer that was cut off has that problem.
        assert_eq!(
            choice_of("length"),
            format!("length: call(c,f,{kept}) !truncated")
        );
        let item = format!(
            r#"{{"type":"function_call","call_id":"c","name":"f","arguments":{arguments}}}"#
        );
        assert_eq!(
            response("", &item),
            format!("tool_use: call(c,f,{kept}){problem}")
        );
    }
}
