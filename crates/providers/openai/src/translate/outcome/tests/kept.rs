//! The content of each row is kept, or the row is reported as unreadable.

use super::cases::{chat, choice, response};
use super::*;

fn deep(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

#[test]
fn an_answer_that_is_nested_too_deep_is_malformed_and_not_empty() {
    let logprobs = |levels| {
        let deep = deep(levels);
        choice(&format!(
            r#"{{"message":{{"content":"Hi"}},"finish_reason":"length","logprobs":{deep}}}"#
        ))
    };
    assert!(logprobs(90).starts_with("length: text(Hi) logprobs("));
    for levels in [100, 110, 200] {
        assert_eq!(logprobs(levels), "malformed_answer -", "{levels}");
    }
    let deep = deep(110);
    for body in [
        format!(r#"{{"choices":{{"0":{{"message":{{"content":"Hi"}},"logprobs":{deep}}}}}}}"#),
        format!(r#"{{"choices":{{"message":{{"content":"Hi"}},"logprobs":{deep}}}}}"#),
        format!(r#"{{"output":[{{"type":"message","content":"Hi","x":{deep}}}]}}"#),
        format!(r#"{{"data":[{{"embedding":[0.5],"x":{deep}}}]}}"#),
    ] {
        assert_eq!(chat(&body), "malformed_answer -", "{body:.60}");
    }
    let found = chat(&format!(
        r#"{{"x":{deep},"choices":[{{"message":{{"content":"Hi"}}}}]}}"#
    ));
    assert_eq!(found, "stop: text(Hi)");
}

#[test]
fn unknown_content_is_not_empty() {
    for message in [
        r#"{"output":"Hi"}"#,
        r#"{"role":"assistant","content":null,"video":{"id":"v"}}"#,
        r#"{"content":"","text":"Hi"}"#,
    ] {
        let whole = format!(r#"{{"message":{message}}}"#);
        assert_eq!(
            choice(&whole),
            format!("stop: other({whole}) !unrecognized")
        );
    }
    assert_eq!(
        choice(r#"{"message":{"content":null,"images":[{"x":1}]}}"#),
        r#"stop: other({"x":1}) !unrecognized"#
    );
    assert_eq!(
        choice(r#"{"message":{"content":"Hi","images":[{"x":1}]}}"#),
        r#"stop: text(Hi) other({"x":1})"#
    );
    assert_eq!(
        choice(r#"{"message":{"content":null,"reasoning_details":[{"x":1}]}}"#),
        "stop:  !empty"
    );
    assert_eq!(
        response("", r#"{"type":"message","output":"Hi"}"#),
        r#"stop: other({"type":"message","output":"Hi"}) !unrecognized"#
    );
}

#[test]
fn an_empty_list_of_one_endpoint_does_not_hide_the_answer_of_the_other() {
    assert_eq!(
        chat(r#"{"output":[],"choices":[{"message":{"content":"Hi"}}]}"#),
        "stop: text(Hi)"
    );
    assert_eq!(
        chat(r#"{"output":[{"type":"message","content":"A"}],"choices":[]}"#),
        "stop: text(A)"
    );
    assert_eq!(
        chat(r#"{"output":[{"type":"message","content":"A"}],"choices":[{"text":"B"}]}"#),
        r#"stop: text(A) other([{"text":"B"}])"#
    );
    assert_eq!(chat(r#"{"output":[]}"#), "stop:  !empty");
}

#[test]
fn a_part_that_holds_several_things_says_all_of_them() {
    for (part, expected) in [
        (r#"{"text":"Hello","refusal":""}"#, "stop: text(Hello)"),
        (r#"{"text":"Hello","refusal":null}"#, "stop: text(Hello)"),
        (r#"{"text":"Hello","thinking":""}"#, "stop: text(Hello)"),
        (
            r#"{"text":"Hello","thinking":"hmm"}"#,
            "stop: thinking(hmm,,) text(Hello)",
        ),
        (
            r#"{"text":"","thinking":["hmm"]}"#,
            "stop: thinking(hmm,,) !empty",
        ),
        (
            r#"{"text":"Hello","refusal":"No."}"#,
            "refusal: refusal(No.) text(Hello) !refused",
        ),
        (r#"{"type":"refusal","refusal":""}"#, "stop:  !empty"),
        (
            r#"["Hello","World"]"#,
            r#"stop: other(["Hello","World"]) !unrecognized"#,
        ),
        (r#"["Hello"]"#, r#"stop: other(["Hello"]) !unrecognized"#),
        (r#"[]"#, "stop: other([]) !unrecognized"),
        (r#"{"text":7}"#, r#"stop: other({"text":7}) !unrecognized"#),
    ] {
        let content = format!(r#"{{"message":{{"content":[{part}]}}}}"#);
        assert_eq!(choice(&content), expected, "{part}");
        let item = format!(r#"{{"type":"message","content":[{part}]}}"#);
        assert_eq!(response("", &item), expected, "{part}");
    }
}

#[test]
fn a_list_is_no_object() {
    for (body, expected) in [
        (
            r#"{"choices":[["a",0]]}"#,
            r#"stop: other(["a",0]) !unrecognized"#,
        ),
        (
            r#"{"output":[["message"]]}"#,
            r#"stop: other(["message"]) !unrecognized"#,
        ),
        (r#"["id","model"]"#, "malformed_answer -"),
    ] {
        assert_eq!(chat(body), expected, "{body}");
    }
    assert_eq!(outcome_of(r#"["a",{"status_code":200}]"#), "RowError");
    let row = r#"{"custom_id":"a","response":[200,{"choices":[{"text":"A"}]}]}"#;
    assert_eq!(outcome_of(row), "malformed_answer -");
}

#[test]
fn only_the_word_commentary_makes_a_message_commentary() {
    for (phase, expected) in [
        (r#""final""#, "stop: text(A)"),
        (r#""final_answer""#, "stop: text(A)"),
        ("1", "stop: text(A)"),
        ("null", "stop: text(A)"),
        (r#""a_new_word""#, "stop: text(A)"),
        (r#""commentary""#, "stop: commentary(A) !empty"),
    ] {
        let item = format!(r#"{{"type":"message","phase":{phase},"content":"A"}}"#);
        assert_eq!(response("", &item), expected, "{phase}");
    }
}

#[test]
fn an_error_of_the_row_beside_nothing_that_was_answered_counts() {
    let row = |body: &str, error: &str| {
        outcome_of(&format!(
            r#"{{"custom_id":"a","response":{{"status_code":200,"body":{body}}},"error":{error}}}"#
        ))
    };
    let error = r#"{"code":"server_error","message":"m"}"#;
    for body in [
        r#"{"choices":[]}"#,
        r#"{"output":[]}"#,
        r#"{"choices":[{"message":{"content":""}}]}"#,
        r#"{"choices":[{"message":{"reasoning":"hm"},"finish_reason":"length"}]}"#,
        "{}",
    ] {
        assert_eq!(
            row(body, error),
            "provider_internal server_error again",
            "{body}"
        );
    }
    let answer = r#"{"choices":[{"message":{"content":"A"}}]}"#;
    assert_eq!(row(answer, error), "stop: text(A)");
    for nothing in [
        "null",
        "{}",
        r#""""#,
        "[]",
        "false",
        r#"{"code":null,"message":""}"#,
    ] {
        assert_eq!(
            row(r#"{"choices":[]}"#, nothing),
            "stop:  !empty",
            "{nothing}"
        );
    }
}

#[test]
fn a_call_is_read_under_either_name() {
    let call = |members: &str| {
        choice(&format!(
            r#"{{"message":{{"tool_calls":[{{"id":"c",{members}}}]}},"finish_reason":"tool_calls"}}"#
        ))
    };
    for (members, expected) in [
        (
            r#""function":{"name":"f","arguments":"{}"},"custom":null"#,
            "tool_use: call(c,f,{})",
        ),
        (
            r#""function":null,"custom":{"name":"g","input":"x"}"#,
            r#"tool_use: call(c,g,"x")"#,
        ),
        (
            r#""custom":{},"function":{"name":"f"}"#,
            "tool_use: call(c,f,{})",
        ),
        (
            r#""function":["f","{}"]"#,
            r#"tool_use: other({"id":"c","function":["f","{}"]}) !unrecognized"#,
        ),
    ] {
        assert_eq!(call(members), expected, "{members}");
    }
}

#[test]
fn a_failed_finish_reason_is_a_problem() {
    for (reason, expected) in [
        ("error", "error: text(A) !unrecognized"),
        ("a_new_word", "a_new_word: text(A)"),
    ] {
        let found = choice(&format!(
            r#"{{"message":{{"content":"A"}},"finish_reason":"{reason}"}}"#
        ));
        assert_eq!(found, expected);
    }
}

#[test]
fn counts_that_cannot_be_read_are_unknown_and_not_zero() {
    for (usage, expected) in [
        (r#"{"input_tokens":1,"output_tokens":2}"#, Some((1, 2))),
        (
            r#"{"prompt_tokens":1,"completion_tokens":2,"c":1e999}"#,
            Some((1, 2)),
        ),
        (
            r#"{"prompt_tokens":"1","completion_tokens":2.0,"prompt_tokens_details":null}"#,
            Some((1, 2)),
        ),
        (r#"{"completion_tokens":2}"#, Some((0, 2))),
        (r#"{"prompt_tokens":1,"completion_tokens":1e999}"#, None),
        (r#"{"prompt_tokens":1,"completion_tokens":-2}"#, None),
        (r#"{"prompt_tokens":1,"completion_tokens":2.5}"#, None),
        (
            r#"{"prompt_tokens":100000000000000000000,"completion_tokens":2}"#,
            None,
        ),
        (
            r#"{"prompt_tokens":1,"completion_tokens":2,"completion_tokens_details":{"reasoning_tokens":2.5}}"#,
            None,
        ),
        (r#"{"total_tokens":9}"#, None),
    ] {
        let body = format!(r#"{{"choices":[{{"text":"A"}}],"usage":{usage}}}"#);
        let row = good(&body);
        let OutcomeView::Succeeded(output) = decode(row.as_bytes()).unwrap().outcome else {
            panic!("{row}");
        };
        let found = output
            .usage
            .map(|usage| (usage.input_tokens, usage.output_tokens));
        assert_eq!(found, expected, "{usage}");
    }
}

#[test]
fn a_content_policy_code_is_permanent_for_every_type() {
    for code in [
        "content_policy_violation",
        "content_filter",
        "moderation_blocked",
    ] {
        let error = format!(r#"{{"code":"{code}","type":"server_error","message":"m"}}"#);
        let row = format!(r#"{{"custom_id":"a","response":null,"error":{error}}}"#);
        assert_eq!(outcome_of(&row), format!("provider_invalid_args {code}"));
        let row = format!(
            r#"{{"custom_id":"a","response":{{"status_code":500,"body":{{"error":{error}}}}}}}"#
        );
        assert_eq!(outcome_of(&row), format!("provider_invalid_args {code}"));
    }
}
