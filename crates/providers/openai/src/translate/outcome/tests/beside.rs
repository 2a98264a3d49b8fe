//! Answers beside errors are kept: they were paid for.

use super::cases::{chat, choice, response};
use super::*;

/// A row with a body under an HTTP status.
fn under(status: &str, body: &str) -> String {
    outcome_of(&format!(
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

/// Objects inside one another.
fn deep(depth: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth))
}

#[test]
fn an_unreadable_answer_is_not_retried() {
    let chat_of = |message: &str| format!(r#"{{"choices":[{{"message":{message}}}]}}"#);
    let call = |arguments: &str| {
        chat_of(&format!(
            r#"{{"content":"Hi","tool_calls":[{{"id":"c","function":{{"name":"f","arguments":{arguments}}}}}]}}"#
        ))
    };
    let output =
        |content: &str| format!(r#""output":[{{"type":"message","content":[{content}]}}]"#);
    let noted = |depth| {
        let text = r#""type":"output_text","text":"Hi""#;
        output(&format!(r#"{{{text},"annotations":[{}]}}"#, deep(depth)))
    };
    let unread = "malformed_answer -";
    for (body, expected) in [
        (call(&deep(97)), unread),
        (call(&deep(5000)), unread),
        (format!("{{{}}}", noted(97)), unread),
        (format!("[{}]", call("{}")), unread),
        (
            r#"{"data":[{"embedding":DEEP}]}"#.replace("DEEP", &deep(110)),
            unread,
        ),
        (r#"{"choices":[],"choices":[]}"#.to_owned(), unread),
        (serde_json::Value::String(call("{}")).to_string(), unread),
        (
            chat_of(r#"[{"type":"text","text":"Hello","refusal":""}]"#),
            "stop: text(Hello)",
        ),
        (
            chat_of(r#"{"content":[{"type":"text","text":"Hello","refusal":""}]}"#),
            "stop: text(Hello)",
        ),
        (
            chat_of(r#"{"content":[{"type":"text","text":"Hello","thinking":""}]}"#),
            "stop: text(Hello)",
        ),
        (
            chat_of(r#"{"content":[{"type":"text","text":"A","refusal":"No."}]}"#),
            "refusal: refusal(No.) text(A) !refused",
        ),
        (
            chat_of(r#"{"content":null,"images":[{"image_url":{"url":"data:"}}]}"#),
            "stop: other",
        ),
        (
            chat_of(r#"{"tool_calls":[{"id":"c","function":{"name":"f"},"custom":null}]}"#),
            "",
        ),
        (chat_of(r#"{"content":"A","content":""}"#), "stop: other"),
        (
            r#"{"choices":[{"message":{"content":""}},{"message":{"content":"B"}}]}"#.to_owned(),
            "stop: other",
        ),
        (
            r#"{"output":[{"type":"function_call","arguments":"{}"}]}"#.to_owned(),
            "stop: other",
        ),
        (
            r#"{"output":[{"type":"new_thing","words":"A"}]}"#.to_owned(),
            "stop: other",
        ),
    ] {
        for status in ["500", "429", "0"] {
            let found = under(status, &body);
            let shown = &body[..body.len().min(100)];
            assert!(found.starts_with(expected), "{status} {shown}: {found}");
            assert!(!found.ends_with("again"), "{status} {shown}: {found}");
        }
    }
    let failed = outcome_of(&good(&format!(
        r#"{{"status":"failed","error":{{"code":"server_error"}},{}}}"#,
        noted(97)
    )));
    assert_eq!(failed, unread);
    let beside = outcome_of(&good(&format!(
        r#"{{"error":{{"code":"server_error"}},{}}}"#,
        noted(97)
    )));
    assert_eq!(beside, unread);
    // The response itself, or an answer in its place.
    for response in [
        r#"{"status_code":500,"status_code":500,"body":{}}"#.to_owned(),
        call("{}"),
        format!(r#"{{"status_code":500,{}}}"#, noted(2)),
    ] {
        let row = format!(
            r#"{{"custom_id":"a","response":{response},"error":{{"code":"server_error"}}}}"#
        );
        assert_eq!(outcome_of(&row), unread, "{row}");
    }
}

#[test]
fn intermediate_items_are_not_an_answer() {
    for item in [
        r#"{"type":"web_search_call","id":"w","action":{"query":"q"}}"#,
        r#"{"type":"reasoning","content":[{"type":"reasoning_text","text":"Hm."}]}"#,
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"","annotations":[]}]}"#,
    ] {
        let body = format!(r#"{{"output":[{item}]}}"#);
        assert_eq!(under("503", &body), "provider_overloaded - again", "{item}");
    }
    for choice in [
        r#"{"index":0,"finish_reason":"error","message":{"role":"assistant","content":""}}"#,
        r#"{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}]}}"#,
        r#"{"error":{"message":"m"},"message":{"content":null}}"#,
    ] {
        let body = format!(r#"{{"choices":[{choice}]}}"#);
        assert_eq!(
            under("503", &body),
            "provider_overloaded - again",
            "{choice}"
        );
    }
}

/// A row without an answer, with an error beside its response.
#[test]
fn the_error_beside_a_response_without_an_answer_is_read() {
    let expired = r#"{"code":"batch_expired","message":"m"}"#;
    let quota = r#"{"code":"insufficient_quota","message":"m"}"#;
    let long = r#"{"code":"context_length_exceeded","message":"m"}"#;
    let server = r#"{"code":"server_error","message":"m"}"#;
    for (response, error, expected) in [
        (r#"{"status_code":0,"body":null}"#, expired, "expired"),
        (r#"{"status_code":500,"body":null}"#, expired, "expired"),
        (r#"{"status_code":500,"body":{}}"#, expired, "expired"),
        (r#"{"status_code":200,"body":{}}"#, expired, "expired"),
        (r#"{"status_code":0,"body":{}}"#, expired, "expired"),
        (
            r#"{"status_code":200,"body":{"choices":[]}}"#,
            expired,
            "expired",
        ),
        (
            r#"{"status_code":200,"body":{"error":{"message":"m"}}}"#,
            expired,
            "expired",
        ),
        (
            r#"{"status_code":200,"body":{"status":"cancelled","output":[]}}"#,
            r#"{"code":"batch_cancelled"}"#,
            "cancelled",
        ),
        (
            r#"{"status_code":500,"body":{}}"#,
            quota,
            "billing insufficient_quota",
        ),
        (
            r#"{"status_code":429,"body":null}"#,
            quota,
            "billing insufficient_quota",
        ),
        (
            r#"{"status_code":500,"body":"<html>"}"#,
            quota,
            "billing insufficient_quota",
        ),
        (
            r#"{"status_code":400,"body":{}}"#,
            long,
            "context_overflow context_length_exceeded",
        ),
        (
            r#"{"status_code":400,"body":{"error":{"message":"m"}}}"#,
            long,
            "context_overflow context_length_exceeded",
        ),
        (
            r#"{"status_code":0,"body":null}"#,
            server,
            "provider_internal server_error again",
        ),
        (
            r#"{"status_code":0,"body":null}"#,
            "null",
            "malformed_answer -",
        ),
        (
            r#"{"status_code":0,"body":{}}"#,
            "null",
            "malformed_answer -",
        ),
        (
            r#"{"status_code":0,"body":{"error":{"code":"context_length_exceeded"}}}"#,
            "null",
            "context_overflow context_length_exceeded",
        ),
        // The body speaks of the status.
        (
            r#"{"status_code":400,"body":{"error":{"code":"context_length_exceeded"}}}"#,
            server,
            "context_overflow context_length_exceeded",
        ),
        // What was answered stays.
        (
            r#"{"status_code":500,"body":{"choices":[{"message":{"content":"A"}}]}}"#,
            expired,
            "stop: text(A)",
        ),
        (
            r#"{"status_code":200,"body":{"choices":[{"message":{"content":"A"}}]}}"#,
            expired,
            "stop: text(A)",
        ),
    ] {
        let row = format!(r#"{{"custom_id":"a","response":{response},"error":{error}}}"#);
        assert_eq!(outcome_of(&row), expected, "{row}");
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
        outcome_of(&good(&format!(
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
