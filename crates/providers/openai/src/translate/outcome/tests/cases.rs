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
        // What is 0 may be left out.
        (
            r#"[{"index":1,"message":{"content":"B"}},{"message":{"content":"A"}}]"#,
            r#"stop: text(A) other({"index":1,"message":{"content":"B"}})"#,
        ),
        (
            r#"[{"index":2,"text":"C"},{"index":null,"text":"A"},{"index":1,"text":"B"}]"#,
            r#"stop: text(A) other({"index":1,"text":"B"}) other({"index":2,"text":"C"})"#,
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
        (
            200,
            r#"{"code":400,"msg":"boom"}"#,
            "boom",
            "provider_invalid_args 400",
        ),
        (
            200,
            r#"{"code":"503","msg":"boom"}"#,
            "boom",
            "provider_overloaded 503 again",
        ),
        (
            200,
            r#"{"status":"error","msg":"boom"}"#,
            "boom",
            "generation_failed -",
        ),
        (
            200,
            r#"{"error_code":336000,"error_msg":"boom"}"#,
            "boom",
            "generation_failed 336000",
        ),
        (
            200,
            r#"{"errors":{"message":["boom"]}}"#,
            "boom",
            "generation_failed -",
        ),
        (
            400,
            r#"{"error":{"message":{"odd":"boom"},"code":"x"}}"#,
            r#"{"odd":"boom"}"#,
            "provider_invalid_args x",
        ),
        (
            422,
            r#"{"detail":[{"msg":"first"},{"msg":"second"}]}"#,
            r#"[{"msg":"first"},{"msg":"second"}]"#,
            "provider_invalid_args -",
        ),
        (
            400,
            r#"{"error":{"odd":"boom"}}"#,
            r#"{"odd":"boom"}"#,
            "provider_invalid_args -",
        ),
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
        ("1", "1: text(A) !unrecognized"),
        ("2.0", "2.0: text(A) !unrecognized"),
        ("null", "stop: text(A)"),
        ("[]", "stop: text(A)"),
        (r#""""#, "stop: text(A)"),
        ("true", "true: text(A) !unrecognized"),
        (r#""length""#, "length: text(A) !truncated"),
        (r#""LENGTH""#, "length: text(A) !truncated"),
        (r#""max_tokens""#, "length: text(A) !truncated"),
        (r#"["length"]"#, "length: text(A) !truncated"),
        (r#"{"type":"length"}"#, "length: text(A) !truncated"),
        (r#"{"odd":1}"#, r#"{"odd":1}: text(A) !unrecognized"#),
        (r#""Eos""#, "stop: text(A)"),
        ("{}", "stop: text(A)"),
    ] {
        let one = format!(r#"{{"index":0,"finish_reason":{reason},"message":{{"content":"A"}}}}"#);
        assert_eq!(choice(&one), expected, "{reason}");
    }
    // The status of a response.
    let text = r#"{"type":"message","content":[{"type":"output_text","text":"A"}]}"#;
    for (status, expected) in [
        ("1", "1: text(A) !unrecognized"),
        ("null", "stop: text(A)"),
        ("[]", "stop: text(A)"),
        (r#""COMPLETED""#, "stop: text(A)"),
        (r#""length""#, "length: text(A) !truncated"),
        (
            r#""content_filter""#,
            "content_filter: text(A) !content_filter",
        ),
        ("true", "true: text(A) !unrecognized"),
    ] {
        let body = format!(r#"{{"status":{status},"output":[{text}]}}"#);
        assert_eq!(chat(&body), expected, "{status}");
    }
}

#[test]
fn an_end_that_is_not_known_to_be_complete_is_never_usable() {
    for (reason, expected) in [
        ("insufficient_system_resource", "unrecognized"),
        ("network_error", "unrecognized"),
        ("cancelled", "unrecognized"),
        ("overloaded", "unrecognized"),
        ("a_new_reason", "unrecognized"),
        ("timeout", "truncated"),
        ("time_limit", "truncated"),
        ("incomplete", "truncated"),
        ("max_completion_tokens", "truncated"),
        ("model_length", "truncated"),
        ("FinishReason.MAX_TOKENS", "truncated"),
        ("safety", "content_filter"),
        ("RECITATION", "content_filter"),
        ("sensitive", "content_filter"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "refused"),
    ] {
        let one = format!(r#"{{"finish_reason":"{reason}","message":{{"content":"A"}}}}"#);
        let found = choice(&one);
        let problem = found.split_once(": text(A) !").map(|(_, problem)| problem);
        assert_eq!(problem, Some(expected), "{reason}: {found}");
    }
}

#[test]
fn the_error_of_a_choice_is_kept() {
    for (choices, expected) in [
        (
            r#"[{"error":{"code":502,"message":"bad upstream"},"message":{"content":""},"finish_reason":"error"}]"#,
            "provider_internal 502 again",
        ),
        (
            r#"[{"error":{"code":400,"message":"m"},"message":null}]"#,
            "provider_invalid_args 400",
        ),
        (
            r#"[{"error":"boom","finish_reason":"error"}]"#,
            "generation_failed -",
        ),
        (
            r#"{"error":{"message":"m","type":"server_error"},"message":{"content":null}}"#,
            "provider_internal - again",
        ),
        (
            r#"[{"error":{"code":502},"message":{"content":"","reasoning":"Hm."}}]"#,
            "provider_internal 502 again",
        ),
        (
            r#"[{"error":{"code":502},"message":{"content":"A"},"finish_reason":"error"}]"#,
            r#"error: text(A) error({"code":502}) !unrecognized"#,
        ),
        (
            r#"[{"error":{},"message":{"content":""}}]"#,
            "stop:  !empty",
        ),
    ] {
        assert_eq!(
            chat(&format!(r#"{{"choices":{choices}}}"#)),
            expected,
            "{choices}"
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
        (
            r#""incomplete","incomplete_details":{"reason":"MAX_OUTPUT_TOKENS"}"#,
            "length: text(a) !truncated",
        ),
        (
            r#""incomplete","incomplete_details":{"reason":"Content_Filter"}"#,
            "content_filter: text(a) !content_filter",
        ),
        (
            r#""incomplete","incomplete_details":{"reason":"stop"}"#,
            "incomplete: text(a) !truncated",
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
        (
            r#"{"message":{"content":"A","reasoning_details":[{"type":"reasoning.text"}]}}"#,
            r#"stop: text(A) reasoning_details([{"type":"reasoning.text"}])"#,
        ),
        (
            r#"{"message":{"content":"A","thinking_blocks":[{"signature":"s"}]}}"#,
            r#"stop: text(A) thinking_blocks([{"signature":"s"}])"#,
        ),
        (
            r#"{"message":{"content":"A","executed_tools":[{"name":"search"}]}}"#,
            r#"stop: text(A) executed_tools([{"name":"search"}])"#,
        ),
        (
            r#"{"message":{"content":"","executed_tools":[{"name":"search"}]}}"#,
            r#"stop: executed_tools([{"name":"search"}]) !empty"#,
        ),
    ] {
        assert_eq!(choice(one), expected, "{one}");
    }
    for (beside, expected) in [
        (
            r#""citations":["https://a.test"]"#,
            r#"citation("https://a.test")"#,
        ),
        (
            r#""search_results":[{"url":"u"}]"#,
            r#"search_results([{"url":"u"}])"#,
        ),
        (
            r#""prompt_filter_results":[{"prompt_index":0}]"#,
            r#"prompt_filter_results([{"prompt_index":0}])"#,
        ),
        (r#""error":{"code":502}"#, r#"error({"code":502})"#),
    ] {
        let body = format!(r#"{{"choices":[{{"message":{{"content":"A"}}}}],{beside}}}"#);
        assert_eq!(chat(&body), format!("stop: text(A) {expected}"));
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

/// The reply to a real-time call is a bare body, which is read as the one of a row.
#[test]
fn the_reply_to_a_real_time_call_is_read_by_the_same_answer() {
    for body in [
        r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"A"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#,
        r#"{"id":"chatcmpl-1","choices":[{"message":{"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"A"},"finish_reason":"length"}]}"#,
        r#"{"id":"resp_1","object":"response","status":"completed","model":"m","output":[{"type":"message","content":[{"type":"output_text","text":"A"}]}],"usage":{"input_tokens":3,"output_tokens":4}}"#,
        r#"{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#,
    ] {
        let mut outline = Outline::new();
        let codec = OpenAiCodec::new(Endpoint::Responses);
        let bare = codec.answer(outline.read(body).unwrap());
        let row = good(body);
        let of_row = decode(row.as_bytes()).unwrap().outcome;
        let shown = |outcome: &OutcomeView<'_>| match outcome {
            OutcomeView::Succeeded(output) => {
                let items: Vec<String> = output.items.iter().map(shown).collect();
                let id = output.response_id.map(|id| id.decode().into_owned());
                Some((
                    items,
                    output.finish_reason.clone(),
                    output.problem,
                    output.usage,
                    id,
                ))
            }
            _ => None,
        };
        assert!(shown(&bare).is_some(), "{body}");
        assert_eq!(shown(&bare), shown(&of_row), "{body}");
    }
}
