//! Answers and errors of public bug reports, each with others of its kind.

use lmbatch_core::RowReader;
use lmbatch_testing::outcome_value;
use serde_json::Value;

use super::*;

/// The outcome of a row, with what matters here: items, finish reason and problem, or the error.
pub(super) fn outcome_of(row: &str) -> Value {
    let codec = codec();
    let mut rows = RowReader::new();
    let row = rows.read(row.as_bytes());
    let part = part();
    let decoded = codec.decode(&part, row).unwrap();
    let scanned = codec.scan(&part, row).unwrap();
    assert_eq!(decoded.id, scanned.id);
    let mut told = outcome_value(&decoded.outcome);
    if let Some(members) = told.as_object_mut() {
        members.retain(|name, _| {
            ["items", "finish_reason", "problem", "errored"].contains(&name.as_str())
        });
    }
    told
}

pub(super) fn answered(message: &Value) -> Value {
    let result = json!({"type": "succeeded", "message": message});
    outcome_of(&json!({"custom_id": "a", "result": result}).to_string())
}

#[test]
fn an_answer_without_a_known_shape_is_unrecognized() {
    for content in [
        json!([{"type": "hologram"}]),
        json!([7]),
        json!(7),
        json!({"odd": 1}),
    ] {
        let found = answered(&json!({"content": content, "stop_reason": "end_turn"}));
        assert_eq!(found["problem"], "unrecognized", "{content}");
    }
    for content in [
        json!("A"),
        json!({"type": "text", "text": "A"}),
        json!([{"type": "text", "text": "A"}]),
    ] {
        let found = answered(&json!({"content": content, "stop_reason": 7}));
        assert_eq!(
            found["items"],
            json!([{"type": "text", "text": "A"}]),
            "{content}"
        );
        assert_eq!(
            (&found["problem"], &found["finish_reason"]),
            (&json!(null), &json!("7"))
        );
    }
    let made = json!([{"type": "code_execution_tool_result", "content": {"type": "code_execution_result"}}]);
    let found = answered(&json!({"content": made}));
    assert_eq!(
        found["problem"],
        json!(null),
        "what the provider's own tools made is an answer"
    );
}

#[test]
fn calls_without_ids_or_arguments_are_calls() {
    let call = |members: Value| {
        let mut call = json!({"type": "tool_use", "name": "f"});
        call.as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        call
    };
    for (blocks, ids) in [
        (vec![call(json!({"id": "x", "input": {}}))], vec!["x"]),
        (vec![call(json!({})), call(json!({}))], vec!["f", "f-2"]),
        (
            vec![call(json!({"id": null})), call(json!({"id": "f-2"}))],
            vec!["f", "f-2"],
        ),
        (vec![call(json!({"input": null}))], vec!["f"]),
        (vec![call(json!({"input": ""}))], vec!["f"]),
        (vec![call(json!({"id": "", "input": "{}"}))], vec!["f"]),
    ] {
        let found = answered(&json!({"content": blocks, "stop_reason": "tool_use"}));
        let calls = found["items"].as_array().unwrap().iter();
        let found: Vec<&str> = calls
            .map(|call| {
                assert_eq!(call["arguments"], json!({}));
                call["id"].as_str().unwrap()
            })
            .collect();
        assert_eq!(found, ids);
    }
}

#[test]
fn errors_of_every_shape_keep_their_code_and_words() {
    for (error, kind, code, retryable) in [
        (
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}),
            "provider_overloaded",
            json!("overloaded_error"),
            true,
        ),
        (
            json!({"type": "api_error", "message": "m"}),
            "provider_internal",
            json!("api_error"),
            true,
        ),
        (
            json!({"type": "invalid_request_error", "message": "m"}),
            "provider_invalid_args",
            json!("invalid_request_error"),
            false,
        ),
        (
            json!({"code": 529, "message": "m"}),
            "provider_overloaded",
            json!("529"),
            true,
        ),
        (
            json!({"code": "400", "message": "m"}),
            "provider_invalid_args",
            json!("400"),
            false,
        ),
        (
            json!({"type": "gremlins", "message": "m"}),
            "generation_failed",
            json!("gremlins"),
            false,
        ),
        (
            json!({"detail": "m"}),
            "generation_failed",
            json!(null),
            false,
        ),
        (json!("m"), "generation_failed", json!(null), false),
    ] {
        for result in [
            json!({"type": "errored", "error": error}),
            json!({"type": "failed", "error": error}),
            json!({"type": "succeeded", "message": {"error": error}}),
        ] {
            let row = json!({"custom_id": "a", "result": result});
            let found = &outcome_of(&row.to_string())["errored"];
            assert_eq!(found["kind"], kind, "{row}");
            assert_eq!(found["code"], code, "{row}");
            assert_eq!(found["retryable"], retryable, "{row}");
            assert_eq!(found["message"], "m", "{row}");
        }
    }
}

#[test]
fn row_with_nan() {
    for row in [
        r#"{"custom_id":"a","result":{"p":NaN}}"#,
        r#"{"result":{"p":NaN},"custom_id":"a"}"#,
        r#"{"custom_id":"a","result":{"p":-Infinity}}"#,
        "{\"custom_id\":\"a\",\"result\":\"\u{1}\"}",
        r#"{"custom_id":"a","result":{"type":"succ"#,
    ] {
        assert_eq!(
            outcome_of(row)["errored"]["kind"],
            "malformed_answer",
            "{row}"
        );
    }
}

#[test]
fn finish_reason_as_a_number() {
    for (reason, finish, problem) in [
        (json!(7), "7", json!(null)),
        (json!(null), "stop", json!(null)),
        (json!([]), "stop", json!(null)),
        (json!({}), "stop", json!(null)),
        (json!("end_turn"), "stop", json!(null)),
        (json!("max_tokens"), "length", json!("truncated")),
        (json!("MAX_TOKENS"), "length", json!("truncated")),
        (json!("refusal"), "refusal", json!("refused")),
        (json!("a_new_reason"), "a_new_reason", json!(null)),
    ] {
        let content = json!([{"type": "text", "text": "A"}]);
        let found = answered(&json!({"content": content, "stop_reason": reason}));
        assert_eq!(
            found["items"],
            json!([{"type": "text", "text": "A"}]),
            "{reason}"
        );
        assert_eq!(found["finish_reason"], finish, "{reason}");
        assert_eq!(found["problem"], problem, "{reason}");
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
        let row = format!(
            r#"{{"custom_id":"a","result":{{"type":"succeeded","message":{{"content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn"}}}}}}"#
        );
        let wanted = json!({"items": [{"type": "text", "text": expected}], "finish_reason": "stop", "problem": null});
        assert_eq!(outcome_of(&row), wanted, "{text}");
    }
    // Wherever it stands, the answer is read.
    for (block, item) in [
        (
            r#"{"type":"tool_use","id":"c","name":"f","input":{"x":"\ud83d"}}"#,
            "tool_call",
        ),
        (
            r#"{"type":"thinking","thinking":"\ud83d","signature":"s"}"#,
            "thinking",
        ),
        (
            r#"{"type":"server_tool_use","id":"x","name":"web_search","input":{"q":"\ud83d"}}"#,
            "other",
        ),
    ] {
        let row = format!(
            r#"{{"custom_id":"a","result":{{"type":"succeeded","message":{{"content":[{block},{{"type":"text","text":"A"}}],"stop_reason":"end_turn"}}}}}}"#
        );
        let found = outcome_of(&row);
        assert_eq!(found["items"][0]["type"], item, "{block}: {found}");
        assert_eq!(found["items"][1]["text"], "A", "{block}: {found}");
    }
}
