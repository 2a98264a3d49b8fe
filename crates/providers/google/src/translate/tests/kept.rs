//! The content of each row is kept, or the row is reported as unreadable.

use lmbatch_core::Problem;
use serde_json::{Value, json};

use super::cases::{answered, outcome_of};

fn deep(levels: usize) -> String {
    format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels))
}

/// Kinds of the items, finish reason and problem.
fn kinds(found: &Value) -> (String, &str, Option<Problem>) {
    let items = found["items"].as_array().unwrap().iter();
    let kinds: Vec<&str> = items.map(|item| item["type"].as_str().unwrap()).collect();
    let problem = serde_json::from_value(found["problem"].clone()).unwrap();
    (
        kinds.join(" "),
        found["finish_reason"].as_str().unwrap(),
        problem,
    )
}

#[test]
fn a_part_that_holds_several_things_says_all_of_them() {
    let call = || json!({"name": "f", "args": {"x": 1}});
    let data = || json!({"mimeType": "image/png", "data": "QUJD"});
    let code = || json!({"language": "PYTHON", "code": "1"});
    for (parts, kinds) in [
        (
            json!([{"text": "Hi", "functionCall": call()}]),
            "text tool_call",
        ),
        (json!([{"text": "", "functionCall": call()}]), "tool_call"),
        (json!([{"text": "Hi", "inlineData": data()}]), "text image"),
        (
            json!([{"functionCall": call(), "inlineData": data()}]),
            "tool_call image",
        ),
        (
            json!([{"functionCall": call(), "function_call": call()}]),
            "tool_call",
        ),
        (
            json!([{"thought": true, "text": "hm", "functionCall": call()}]),
            "thinking tool_call",
        ),
        (
            json!([{"thought": true, "text": "hm", "thoughtSignature": "s", "functionCall": call()}]),
            "thinking tool_call",
        ),
        (
            json!([{"text": "Hi", "thoughtSignature": "s", "functionCall": call()}]),
            "thinking text tool_call",
        ),
        (
            json!([{"text": "Hello"}, {"thoughtSignature": "s", "executableCode": code()}]),
            "text thinking other",
        ),
        (
            json!([{"text": "Hi", "executableCode": code()}]),
            "text other",
        ),
        (json!([{"text": "Hi", "newThing": {"x": 1}}]), "text other"),
        (
            json!([{"text": "Hi", "videoMetadata": {"fps": 1}, "flag": 1}]),
            "text",
        ),
        (
            json!([{"text": "Hi"}, {"thoughtSignature": "s", "newThing": {"x": 1}}]),
            "text thinking other",
        ),
        (
            json!([{"text": "Hi"}, {"thoughtSignature": "s", "functionCall": {"args": {}}}]),
            "text thinking other",
        ),
        (
            json!([{"text": "Hi", "functionCall": {"args": {}}}]),
            "text other",
        ),
        (
            json!([{"text": "Hi", "inlineData": {"mimeType": "image/png"}}]),
            "text other",
        ),
        (
            json!([{"text": "Hi"}, {"thoughtSignature": "s"}]),
            "text thinking",
        ),
        (
            json!([{"text": "Hi"}, {"text": "", "thoughtSignature": "s"}]),
            "text thinking",
        ),
    ] {
        let found = answered(&json!([{"content": {"parts": parts}, "finishReason": "STOP"}]));
        let finish = if kinds.contains("tool_call") {
            "tool_use"
        } else {
            "stop"
        };
        assert_eq!(
            self::kinds(&found),
            (kinds.to_owned(), finish, None),
            "{parts}"
        );
    }
}

#[test]
fn unknown_content_is_not_empty() {
    let unrecognized = Some(Problem::Unrecognized);
    for (candidate, kinds) in [
        (
            json!({"content": {"text": "Hello"}, "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": {"role": "model", "output": ["a"]}, "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": [{"text": "Hello"}], "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": {"parts": [["Hello", true]]}, "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": {"parts": [["Hello"]]}, "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": {"parts": [{"newThing": 1}]}, "finishReason": "STOP"}),
            "other",
        ),
        (
            json!({"content": {"parts": [{"thoughtSignature": "s", "newThing": 1}]}}),
            "thinking other",
        ),
    ] {
        let found = answered(&json!([candidate]));
        let expected = (kinds.to_owned(), "stop", unrecognized);
        assert_eq!(self::kinds(&found), expected, "{candidate}");
    }
    for response in [
        json!({"candidates": [], "usageMetadata": {"promptTokenCount": 3}}),
        json!({"output": "Hello", "usageMetadata": {"promptTokenCount": 3}}),
    ] {
        let found = outcome_of(&json!({"key": "a", "response": response}).to_string());
        let expected = ("other".to_owned(), "stop", unrecognized);
        assert_eq!(self::kinds(&found), expected, "{response}");
    }
    let empty = answered(&json!([{"content": {"role": "model"}, "finishReason": "STOP"}]));
    assert_eq!(empty["problem"], "empty");
    let empty = answered(&json!([{"content": "", "finishReason": "STOP"}]));
    assert_eq!(empty["problem"], "empty");
}

#[test]
fn an_answer_that_is_nested_too_deep_is_malformed_and_not_empty() {
    let row = |candidates: &str, rest: &str| {
        outcome_of(&format!(
            r#"{{"key":"a","response":{{"candidates":{candidates}{rest}}}}}"#
        ))
    };
    let ground = |levels| {
        let deep = deep(levels);
        row(
            &format!(
                r#"[{{"content":{{"parts":[{{"text":"Hello"}}]}},"groundingMetadata":{deep}}}]"#
            ),
            "",
        )
    };
    let args = |levels| {
        let deep = deep(levels);
        row(
            &format!(
                r#"[{{"content":{{"parts":[{{"text":"Hello"}},{{"functionCall":{{"name":"f","args":{deep}}}}}]}}}}]"#
            ),
            r#","usageMetadata":{"promptTokenCount":3}"#,
        )
    };
    let feedback = |levels| {
        let deep = deep(levels);
        row(
            r#"[{"content":{"parts":[{"text":"Hello"}]}}]"#,
            &format!(r#","promptFeedback":{deep}"#),
        )
    };
    for levels in [97, 101, 110, 200] {
        assert_eq!(
            args(levels)["errored"]["kind"],
            "malformed_answer",
            "{levels}"
        );
    }
    for levels in [101, 200] {
        assert_eq!(
            ground(levels)["errored"]["kind"],
            "malformed_answer",
            "{levels}"
        );
        assert_eq!(
            feedback(levels)["errored"]["kind"],
            "malformed_answer",
            "{levels}"
        );
    }
    assert_eq!(
        kinds(&args(90)),
        ("text tool_call".to_owned(), "tool_use", None)
    );
    assert_eq!(
        kinds(&ground(90)),
        ("text citation".to_owned(), "stop", None)
    );
    // Members that are not read may be nested to any depth.
    let deep = deep(200);
    let found = row(
        r#"[{"content":{"parts":[{"text":"Hello"}]}}]"#,
        &format!(r#","x":{deep}"#),
    );
    assert_eq!(kinds(&found), ("text".to_owned(), "stop", None));
}

#[test]
fn both_spellings_of_a_member_are_one() {
    let content = || json!({"parts": [{"text": "Hello"}]});
    for (candidate, finish) in [
        (
            json!({"content": content(), "finishReason": "STOP", "finish_reason": "STOP"}),
            "stop",
        ),
        (
            json!({"content": content(), "finishReason": "MAX_TOKENS", "finish_reason": "STOP"}),
            "length",
        ),
        (
            json!({"content": content(), "finishReason": null, "finish_reason": "MAX_TOKENS"}),
            "length",
        ),
    ] {
        let found = answered(&json!([candidate]));
        assert_eq!(
            found["items"],
            json!([{"type": "text", "text": "Hello"}]),
            "{candidate}"
        );
        assert_eq!(found["finish_reason"], finish, "{candidate}");
    }
    let response = json!({
        "candidates": [{"content": content()}],
        "usageMetadata": {"promptTokenCount": 1}, "usage_metadata": {"promptTokenCount": 3},
        "promptFeedback": null, "prompt_feedback": null,
    });
    let found = outcome_of(&json!({"key": "a", "response": response}).to_string());
    assert_eq!(kinds(&found), ("text".to_owned(), "stop", None));
}

#[test]
fn a_failed_finish_reason_is_a_problem() {
    for (reason, problem) in [
        (json!("OTHER"), Some(Problem::Unrecognized)),
        (
            json!("MALFORMED_FUNCTION_CALL"),
            Some(Problem::Unrecognized),
        ),
        (json!("UNEXPECTED_TOOL_CALL"), Some(Problem::Unrecognized)),
        (json!("error"), Some(Problem::Unrecognized)),
        (json!(5), Some(Problem::Unrecognized)),
        (json!(10), Some(Problem::Unrecognized)),
        (json!("STOP"), None),
        (json!("A_NEW_WORD"), None),
    ] {
        let content = json!({"parts": [{"text": "Hello"}]});
        let found = answered(&json!([{"content": content, "finishReason": reason}]));
        assert_eq!(kinds(&found).2, problem, "{reason}");
    }
    let blocked = |feedback: Value, parts: Value| {
        let candidate = json!({"content": {"parts": parts}, "finishReason": "STOP"});
        let response = json!({"promptFeedback": feedback, "candidates": [candidate]});
        outcome_of(&json!({"key": "a", "response": response}).to_string())["problem"].clone()
    };
    let safety = || json!({"blockReason": "SAFETY"});
    assert_eq!(blocked(safety(), json!([])), "content_filter");
    assert_eq!(blocked(safety(), json!([{"text": "A"}])), json!(null));
    let unspecified = json!({"blockReason": "BLOCK_REASON_UNSPECIFIED"});
    assert_eq!(blocked(unspecified, json!([])), "empty");
}

#[test]
fn counts_that_cannot_be_read_are_unknown_and_not_zero() {
    for (usage, expected) in [
        (
            r#"{"promptTokenCount":1,"candidatesTokenCount":2}"#,
            Some((1, 2)),
        ),
        (
            r#"{"promptTokenCount":1,"candidatesTokenCount":2,"c":1e999}"#,
            Some((1, 2)),
        ),
        (r#"{"promptTokenCount":1}"#, Some((1, 0))),
        (
            r#"{"promptTokenCount":"1","candidatesTokenCount":2.0,"thoughtsTokenCount":3}"#,
            Some((1, 5)),
        ),
        (
            r#"{"promptTokenCount":1,"candidatesTokenCount":1e999}"#,
            None,
        ),
        (r#"{"promptTokenCount":1,"candidatesTokenCount":-2}"#, None),
        (r#"{"promptTokenCount":1,"candidatesTokenCount":2.5}"#, None),
        (
            r#"{"promptTokenCount":100000000000000000000,"candidatesTokenCount":2}"#,
            None,
        ),
        (
            r#"{"promptTokenCount":1,"candidatesTokenCount":2,"thoughtsTokenCount":"many"}"#,
            None,
        ),
        (r#"{"totalTokenCount":9}"#, None),
        ("{}", None),
    ] {
        let row = format!(
            r#"{{"key":"a","response":{{"candidates":[{{"content":{{"parts":[{{"text":"A"}}]}}}}],"usageMetadata":{usage}}}}}"#
        );
        let (codec, part) = (super::codec(super::Route::File), super::part("file"));
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

#[test]
fn an_error_of_a_row_is_read_by_its_word_and_in_every_shape() {
    for (error, kind, retryable) in [
        (
            json!({"code": 13.0, "message": "m"}),
            "provider_internal",
            true,
        ),
        (
            json!({"code": "13", "message": "m"}),
            "provider_internal",
            true,
        ),
        (
            json!([{"code": 13, "message": "m"}]),
            "provider_internal",
            true,
        ),
        (
            json!({"error": [{"code": 13, "message": "m"}]}),
            "provider_internal",
            true,
        ),
        (
            json!({"code": 500, "message": "m", "status": "INVALID_ARGUMENT"}),
            "provider_invalid_args",
            false,
        ),
        (
            json!({"code": 400, "message": "m", "status": "UNAVAILABLE"}),
            "provider_overloaded",
            true,
        ),
        (
            json!({"code": 3, "message": "m", "status": "A_NEW_WORD"}),
            "provider_invalid_args",
            false,
        ),
    ] {
        let found = outcome_of(&json!({"key": "a", "error": error}).to_string());
        assert_eq!(found["errored"]["kind"], kind, "{error}");
        assert_eq!(found["errored"]["retryable"], retryable, "{error}");
        assert_eq!(found["errored"]["message"], "m", "{error}");
    }
}

#[test]
fn a_status_that_says_that_all_is_well_is_no_error() {
    let response = json!({"candidates": [{"content": {"parts": [{"thought": true, "text": "hm"}]}, "finishReason": "MAX_TOKENS"}]});
    for status in [
        json!("OK"),
        json!(""),
        json!(0),
        json!({}),
        json!({"code": 0}),
        json!({"code": 0, "message": ""}),
        json!("JOB_STATE_SUCCEEDED"),
        json!(null),
    ] {
        let row = json!({"key": "a", "status": status, "response": response});
        assert_eq!(
            outcome_of(&row.to_string())["problem"],
            "truncated",
            "{status}"
        );
    }
    for status in [
        json!("UNAVAILABLE"),
        json!({"code": 14}),
        json!({"code": 0, "message": "m"}),
    ] {
        let row = json!({"key": "a", "status": status, "response": response});
        assert!(
            outcome_of(&row.to_string()).get("errored").is_some(),
            "{status}"
        );
    }
}
