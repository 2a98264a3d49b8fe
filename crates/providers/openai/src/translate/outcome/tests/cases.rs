//! Answers and errors of public bug reports, each with others of its kind.

use super::*;

pub(super) fn chat(body: &str) -> String {
    outcome_of(&good(body))
}

pub(super) fn response(status: &str, output: &str) -> String {
    outcome_of(&good(&format!(
        r#"{{"status":"completed"{status},"output":[{output}]}}"#
    )))
}

pub(super) fn choice(choice: &str) -> String {
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
        assert_eq!(outcome_of(&row), expected, "{error}");
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
        assert_eq!(outcome_of(&row), expected, "{body}");
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
        (r#""LENGTH""#, "length: text(A) !truncated"),
        (r#""max_tokens""#, "length: text(A) !truncated"),
        (r#""Eos""#, "Eos: text(A)"),
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
            r#"[{"id":"c1","type":"custom","custom":{"name":"f","input":"x"}}]"#,
            r#"tool_use: call(c1,f,"x")"#,
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
        // These are still read.
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
fn members_next_to_an_answer_become_items() {
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
        assert_eq!(outcome_of(row), expected, "{row}");
    }
}

#[test]
fn lone_surrogate_answer() {
    for (text, expected) in [
        (r"A\ud83d B", "A\u{fffd} B"),
        (r"\ude00", "\u{fffd}"),
        (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
        (r"\uD83D\uDE00", "\u{1f600}"),
        (r"\\ud83d", r"\ud83d"),
        (r"\ud83d\n", "\u{fffd}\n"),
    ] {
        let expected = format!("stop: text({expected})");
        let one = format!(r#"{{"finish_reason":"stop","message":{{"content":"{text}"}}}}"#);
        assert_eq!(choice(&one), expected, "{text}");
        let item =
            format!(r#"{{"type":"message","content":[{{"type":"output_text","text":"{text}"}}]}}"#);
        assert_eq!(response("", &item), expected, "{text}");
    }
    // Wherever it stands, the answer is read.
    for (message, expected) in [
        (
            r#"{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"x\":\"A\"}"}}],"content":"\ud83d"}"#,
            "tool_use: text(\u{fffd}) call(c,f,{\"x\":\"A\"})",
        ),
        (
            r#"{"content":"A","reasoning_content":"\ud83d"}"#,
            "tool_use: thinking(\u{fffd},,) text(A)",
        ),
    ] {
        let one = format!(r#"{{"finish_reason":"tool_calls","message":{message}}}"#);
        assert_eq!(choice(&one), expected, "{message}");
    }
    // Arguments are JSON in a text, with escapes of its own.
    for (arguments, expected) in [
        (r#""{\"x\":\"\\ud83d\"}""#, "{\"x\":\"\\ufffd\"}"),
        (
            r#""{\"x\":\"\\ud83d\\ude00\"}""#,
            "{\"x\":\"\\ud83d\\ude00\"}",
        ),
        (r#""{\"x\":\"\ud83d\"}""#, "{\"x\":\"\u{fffd}\"}"),
        (r#"{"x":"\ud83d"}"#, "{\"x\":\"\\ufffd\"}"),
    ] {
        let one = format!(
            r#"{{"finish_reason":"tool_calls","message":{{"tool_calls":[{{"id":"c","function":{{"name":"f","arguments":{arguments}}}}}]}}}}"#
        );
        assert_eq!(choice(&one), format!("tool_use: call(c,f,{expected})"));
    }
    let refused = r#"{"finish_reason":"stop","message":{"refusal":"\ud83d no","content":null}}"#;
    assert_eq!(choice(refused), "refusal: refusal(\u{fffd} no) !refused");
}
