//! Answers and errors of public bug reports, each with others of its kind.

use super::*;

fn chat(body: &str) -> String {
    told(&good(body))
}

fn response(status: &str, output: &str) -> String {
    told(&good(&format!(
        r#"{{"status":"completed"{status},"output":[{output}]}}"#
    )))
}

fn choice(choice: &str) -> String {
    chat(&format!(r#"{{"choices":[{choice}]}}"#))
}

#[test]
fn answer_order_of_choices() {
    for (choices, expected) in [
        (
            r#"[{"index":1,"message":{"content":"B"}},{"index":0,"message":{"content":"A"}}]"#,
            r#"stop: text(A) other({"index":1,"message":{"content":"B"}})"#,
        ),
        (
            r#"[{"index":"1","message":{"content":"B"}},{"index":"0","message":{"content":"A"}}]"#,
            r#"stop: text(A) other({"index":"1","message":{"content":"B"}})"#,
        ),
        (
            r#"[{"index":2.0,"text":"C"},{"index":0.0,"text":"A"}]"#,
            r#"stop: text(A) other({"index":2.0,"text":"C"})"#,
        ),
        (
            r#"[{"message":{"content":"A"}},{"message":{"content":"B"}}]"#,
            r#"stop: text(A) other({"message":{"content":"B"}})"#,
        ),
        (
            r#"{"1":{"message":{"content":"B"}},"0":{"message":{"content":"A"}}}"#,
            r#"stop: text(A) other({"message":{"content":"B"}})"#,
        ),
        (
            r#"{"index":0,"finish_reason":"length","message":{"content":"A"}}"#,
            "length: text(A) !truncated",
        ),
    ] {
        assert_eq!(chat(&format!(r#"{{"choices":{choices}}}"#)), expected);
    }
}

#[test]
fn commentary_and_final_answer() {
    let message = |phase: &str, text: &str| {
        format!(
            r#"{{"type":"message"{phase},"content":[{{"type":"output_text","text":"{text}"}}]}}"#
        )
    };
    let (commentary, last) = (r#","phase":"commentary""#, r#","phase":"final_answer""#);
    for (output, expected) in [
        (
            [message(commentary, "Hm."), message(last, "x")].join(","),
            "stop: commentary(Hm.) text(x)",
        ),
        (
            [message(last, "x"), message(commentary, "Done.")].join(","),
            "stop: text(x) commentary(Done.)",
        ),
        (
            [message("", "a"), message("", "b")].join(","),
            "stop: text(a) text(b)",
        ),
        (
            [message(r#","phase":null"#, "a"), message(last, "b")].join(","),
            "stop: text(a) text(b)",
        ),
        (message(commentary, "Hm."), "stop: commentary(Hm.) !empty"),
        (
            [message(r#","phase":"musing""#, "Hm."), message(last, "x")].join(","),
            "stop: commentary(Hm.) text(x)",
        ),
    ] {
        assert_eq!(response("", &output), expected);
    }
}

#[test]
fn error_code_as_a_number() {
    for (error, expected) in [
        (
            r#"{"object":"error","message":"model not found","type":"NotFoundError","code":404}"#,
            "provider_invalid_args 404",
        ),
        (
            r#"{"message":"m","code":429}"#,
            "provider_rate_limit 429 again",
        ),
        (
            r#"{"message":"m","code":503.0}"#,
            "provider_overloaded 503.0 again",
        ),
        (
            r#"{"message":"m","code":"500"}"#,
            "provider_internal 500 again",
        ),
        (
            r#"{"message":"m","code":null,"status":400}"#,
            "provider_invalid_args -",
        ),
        (r#"{"message":"m","code":7}"#, "generation_failed 7"),
        (
            r#"{"message":"m","type":"BadRequestError"}"#,
            "provider_invalid_args -",
        ),
        (
            r#"{"message":"m","type":"server_error"}"#,
            "provider_internal - again",
        ),
        (r#"{"message":"m"}"#, "generation_failed -"),
        (r#""words""#, "generation_failed -"),
    ] {
        let row = format!(r#"{{"custom_id":"a","response":null,"error":{error}}}"#);
        assert_eq!(told(&row), expected, "{error}");
    }
}

#[test]
fn errors_of_imitators() {
    for (status, body, words, expected) in [
        (
            200,
            r#"{"error":{"message":"out of memory","type":"server_error","code":null}}"#,
            "out of memory",
            "provider_internal - again",
        ),
        (
            400,
            r#"{"object":"error","message":"context length","type":"BadRequestError","code":400}"#,
            "context length",
            "provider_invalid_args 400",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body"],"msg":"field required"}]}"#,
            "field required",
            "provider_invalid_args -",
        ),
        (
            422,
            r#"{"detail":"no such field"}"#,
            "no such field",
            "provider_invalid_args -",
        ),
        (
            500,
            r#"{"error":"busy"}"#,
            "busy",
            "provider_internal - again",
        ),
        (
            429,
            r#"{"message":"slow down"}"#,
            "slow down",
            "provider_rate_limit - again",
        ),
        (
            400,
            r#"{"error":{"error":{"message":"twice","code":"x"}}}"#,
            "twice",
            "provider_invalid_args x",
        ),
        (
            400,
            r#"{"errors":[{"message":"first"}]}"#,
            "first",
            "provider_invalid_args -",
        ),
        (
            200,
            r#"{"object":"error","message":"flat","code":400}"#,
            "flat",
            "provider_invalid_args 400",
        ),
        (200, r#"{"detail":"gone"}"#, "gone", "generation_failed -"),
    ] {
        let row = format!(
            r#"{{"custom_id":"a","response":{{"status_code":{status},"body":{body}}},"error":null}}"#
        );
        assert_eq!(told(&row), expected, "{body}");
        let OutcomeView::Errored(failure) = decode(row.as_bytes()).unwrap().outcome else {
            panic!("{body}")
        };
        let found = failure.message.map(|text| text.decode().into_owned());
        assert_eq!(found.as_deref(), Some(words), "{body}");
    }
}

#[test]
fn finish_reason_as_a_number() {
    for (reason, expected) in [
        ("1", "1: text(A)"),
        ("null", "stop: text(A)"),
        ("[]", "stop: text(A)"),
        ("true", "true: text(A)"),
        (r#""length""#, "length: text(A) !truncated"),
        ("{}", "stop: text(A)"),
    ] {
        let one = format!(r#"{{"index":0,"finish_reason":{reason},"message":{{"content":"A"}}}}"#);
        assert_eq!(choice(&one), expected, "{reason}");
    }
}

#[test]
fn legacy_function_call() {
    for (message, expected) in [
        (
            r#"{"content":null,"function_call":{"name":"f","arguments":"{\"x\":1}"}}"#,
            r#"tool_use: call(f,f,{"x":1})"#,
        ),
        (
            r#"{"content":null,"function_call":{"name":"f","arguments":{"x":1}}}"#,
            r#"tool_use: call(f,f,{"x":1})"#,
        ),
        (
            r#"{"function_call":{"name":"f"}}"#,
            "tool_use: call(f,f,{})",
        ),
        (
            r#"{"content":"hm","function_call":{"name":"f","arguments":""}}"#,
            "tool_use: text(hm) call(f,f,{})",
        ),
        (
            r#"{"content":"hm","function_call":null}"#,
            "tool_use: text(hm)",
        ),
        (
            r#"{"content":null,"function_call":"f"}"#,
            r#"tool_use: other("f") !unrecognized"#,
        ),
    ] {
        let one = format!(r#"{{"index":0,"finish_reason":"function_call","message":{message}}}"#);
        assert_eq!(choice(&one), expected, "{message}");
    }
}

#[test]
fn tool_arguments_as_an_object() {
    for (calls, expected) in [
        (
            r#"[{"id":"c1","type":"function","function":{"name":"f","arguments":{"x":1}}}]"#,
            r#"tool_use: call(c1,f,{"x":1})"#,
        ),
        (
            r#"[{"type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]"#,
            r#"tool_use: call(f,f,{"x":1})"#,
        ),
        (
            r#"[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"f"}}]"#,
            "tool_use: call(f,f,{}) call(f-2,f,{}) call(f-3,f,{})",
        ),
        (
            r#"[{"id":null,"function":{"name":"f","arguments":null}}]"#,
            "tool_use: call(f,f,{})",
        ),
        (
            r#"{"id":"c1","function":{"name":"f","arguments":[]}}"#,
            "tool_use: call(c1,f,[])",
        ),
        (
            r#"[{"id":"c1","function":{"arguments":"{}"}}]"#,
            r#"tool_use: other({"id":"c1","function":{"arguments":"{}"}}) !unrecognized"#,
        ),
    ] {
        let one = format!(r#"{{"finish_reason":"tool_calls","message":{{"tool_calls":{calls}}}}}"#);
        assert_eq!(choice(&one), expected, "{calls}");
    }
}

#[test]
fn empty_tool_arguments() {
    for (arguments, expected) in [
        (r#""""#, "{}"),
        (r#"" ""#, "{}"),
        (r#""\n""#, "{}"),
        ("null", "{}"),
        ("{}", "{}"),
        (r#""{}""#, "{}"),
    ] {
        let one = format!(
            r#"{{"finish_reason":"tool_calls","message":{{"tool_calls":[{{"id":"c","function":{{"name":"f","arguments":{arguments}}}}}]}}}}"#
        );
        assert_eq!(choice(&one), format!("tool_use: call(c,f,{expected})"));
        let item = format!(
            r#"{{"type":"function_call","call_id":"c","name":"f","arguments":{arguments}}}"#
        );
        assert_eq!(
            response("", &item),
            format!("tool_use: call(c,f,{expected})")
        );
    }
}

#[test]
fn an_answer_without_a_known_shape_is_unrecognized() {
    for (body, expected) in [
        (
            r#"{"choices":[{"message":{"content":{"odd":1}}}]}"#,
            r#"stop: other({"odd":1}) !unrecognized"#,
        ),
        (r#"{"choices":["A"]}"#, r#"stop: other("A") !unrecognized"#),
        (
            r#"{"choices":[{"delta":{"content":"A"}}]}"#,
            r#"stop: other({"delta":{"content":"A"}}) !unrecognized"#,
        ),
        (r#"{"choices":"A"}"#, r#"stop: other("A") !unrecognized"#),
        (
            r#"{"status":"completed","output":{"text":"A"}}"#,
            r#"stop: other({"text":"A"}) !unrecognized"#,
        ),
        (
            r#"{"output":[{"type":"hologram"}]}"#,
            r#"stop: other({"type":"hologram"}) !unrecognized"#,
        ),
        // Read all the same.
        (r#"{"choices":[{"message":"A"}]}"#, "stop: text(A)"),
        (
            r#"{"choices":[{"message":{"content":["A","B"]}}]}"#,
            "stop: text(A) text(B)",
        ),
        (
            r#"{"output":[{"type":"message","content":"A"}]}"#,
            "stop: text(A)",
        ),
        (r#"{"output":["A"]}"#, r#"stop: other("A") !unrecognized"#),
    ] {
        assert_eq!(chat(body), expected, "{body}");
    }
}

#[test]
fn an_incomplete_response_is_never_usable() {
    let text = r#"{"type":"message","content":[{"type":"output_text","text":"a"}]}"#;
    for (status, expected) in [
        (
            r#""incomplete","incomplete_details":null"#,
            "incomplete: text(a) !truncated",
        ),
        (
            r#""incomplete","incomplete_details":{}"#,
            "incomplete: text(a) !truncated",
        ),
        (
            r#""incomplete","incomplete_details":{"reason":"tired"}"#,
            "tired: text(a) !unrecognized",
        ),
        (
            r#""INCOMPLETE","incomplete_details":{"reason":"max_output_tokens"}"#,
            "length: text(a) !truncated",
        ),
        (r#""in_progress""#, "in_progress: text(a) !unrecognized"),
        (r#""queued""#, "queued: text(a) !unrecognized"),
        ("7", "7: text(a) !unrecognized"),
    ] {
        let body = format!(r#"{{"status":{status},"output":[{text}]}}"#);
        assert_eq!(chat(&body), expected, "{status}");
    }
}

#[test]
fn what_stands_beside_an_answer_reaches_its_items() {
    for (one, expected) in [
        (
            r#"{"message":{"content":"A"},"logprobs":{"content":[]}}"#,
            r#"stop: text(A) logprobs({"content":[]})"#,
        ),
        (
            r#"{"message":{"content":"A"},"content_filter_results":{"hate":{"filtered":false}}}"#,
            r#"stop: text(A) content_filter_results({"hate":{"filtered":false}})"#,
        ),
        (
            r#"{"message":{"content":"A"},"logprobs":null}"#,
            "stop: text(A)",
        ),
        (
            r#"{"message":{"content":"A","annotations":[{"type":"url_citation"}]}}"#,
            r#"stop: text(A) citation({"type":"url_citation"})"#,
        ),
        (
            r#"{"message":{"content":"A"},"content_filter_results":{}}"#,
            "stop: text(A)",
        ),
    ] {
        assert_eq!(choice(one), expected, "{one}");
    }
}

#[test]
fn usage_is_read_in_any_type_and_is_unknown_where_it_is_absent() {
    for (usage, expected) in [
        (r#"{"input_tokens":"3","output_tokens":"4"}"#, Some((3, 4))),
        (
            r#"{"prompt_tokens":3.0,"completion_tokens":4.0}"#,
            Some((3, 4)),
        ),
        (r#"{"prompt_tokens":3}"#, Some((3, 0))),
        ("null", None),
        ("{}", None),
        ("7", None),
        (r#"{"cost":1}"#, None),
    ] {
        let body = format!(r#"{{"choices":[{{"message":{{"content":"A"}}}}],"usage":{usage}}}"#);
        let row = good(&body);
        let OutcomeView::Succeeded(output) = decode(row.as_bytes()).unwrap().outcome else {
            panic!("{usage}")
        };
        let found = output
            .usage
            .map(|usage| (usage.input_tokens, usage.output_tokens));
        assert_eq!(found, expected, "{usage}");
    }
}

#[test]
fn row_with_nan() {
    for (row, expected) in [
        (
            r#"{"custom_id":"a","response":{"status_code":200,"body":{"p":NaN}}}"#,
            "malformed_answer -",
        ),
        (
            r#"{"id":"x","custom_id":"a","response":{"p":-Infinity}}"#,
            "malformed_answer -",
        ),
        (
            r#"{"response":{"p":NaN},"custom_id":"a"}"#,
            "malformed_answer -",
        ),
        (
            "{\"custom_id\":\"a\",\"response\":\"\u{1}\"}",
            "malformed_answer -",
        ),
        (
            r#"{"custom_id":"a","response":{"status_code":200"#,
            "malformed_answer -",
        ),
        (
            r#"{"custom_id":"a","response":{"x":'y'}}"#,
            "malformed_answer -",
        ),
        (r#"{"custom_id":"a"#, "RowError"),
        (r#"{"response":{"custom_id":"a","p":NaN}}"#, "RowError"),
    ] {
        assert_eq!(told(row), expected, "{row}");
    }
}

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
