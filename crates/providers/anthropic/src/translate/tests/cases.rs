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
            (&json!("unrecognized"), &json!("7"))
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
        (
            json!({"detail": [{"loc": ["body"], "msg": "m"}]}),
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"errors": [{"message": "m"}]}),
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"error_code": 429, "error_msg": "m"}),
            "provider_rate_limit",
            json!("429"),
            true,
        ),
        (
            json!({"type": "overloaded_error", "message": {"message": "m"}}),
            "provider_overloaded",
            json!("overloaded_error"),
            true,
        ),
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
fn errors_of_imitators() {
    for (row, words, kind, code, retryable) in [
        (
            json!({"error": {"type": "overloaded_error", "message": "boom"}}),
            "boom",
            "provider_overloaded",
            json!("overloaded_error"),
            true,
        ),
        (
            json!({"result": null, "error": "boom"}),
            "boom",
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"code": 400, "msg": "boom"}),
            "boom",
            "provider_invalid_args",
            json!("400"),
            false,
        ),
        (
            json!({"result": {"type": "errored", "code": 503, "msg": "boom"}}),
            "boom",
            "provider_overloaded",
            json!("503"),
            true,
        ),
        (
            json!({"result": {"type": "errored", "message": "boom"}}),
            "boom",
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"result": {"type": "succeeded", "message": {"code": 400, "msg": "boom"}}}),
            "boom",
            "provider_invalid_args",
            json!("400"),
            false,
        ),
        (
            json!({"result": {"type": "succeeded", "message": {"detail": "boom"}}}),
            "boom",
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"result": {"type": "errored", "error": 503}}),
            "",
            "provider_overloaded",
            json!("503"),
            true,
        ),
        (
            json!({"result": {"type": "errored", "error": {"odd": {"words": "boom"}}}}),
            "{\"odd\":{\"words\":\"boom\"}}",
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"result": {"type": "errored", "error": {"message": {"odd": "boom"}}}}),
            "{\"odd\":\"boom\"}",
            "generation_failed",
            json!(null),
            false,
        ),
        (
            json!({"result": {"type": "errored", "error": {"detail": [{"msg": "m"}, {"msg": "n"}]}}}),
            "[{\"msg\":\"m\"},{\"msg\":\"n\"}]",
            "generation_failed",
            json!(null),
            false,
        ),
    ] {
        let mut row = row;
        row["custom_id"] = json!("a");
        let found = &outcome_of(&row.to_string())["errored"];
        assert_eq!(found["kind"], kind, "{row}");
        assert_eq!(found["code"], code, "{row}");
        assert_eq!(found["retryable"], retryable, "{row}");
        assert_eq!(
            found["message"].as_str().unwrap_or_default(),
            words,
            "{row}"
        );
    }
}

#[test]
fn a_type_of_a_result_is_read_in_any_case() {
    for (word, expected) in [
        ("canceled", "cancelled"),
        ("CANCELED", "cancelled"),
        ("Cancelled", "cancelled"),
        ("expired", "expired"),
        ("Expired", "expired"),
    ] {
        let row = json!({"custom_id": "a", "result": {"type": word}});
        assert_eq!(outcome_of(&row.to_string()), json!(expected), "{word}");
    }
    let message = json!({"content": "A", "stop_reason": "end_turn"});
    let row = json!({"custom_id": "a", "result": {"type": "SUCCEEDED", "message": message}});
    assert_eq!(outcome_of(&row.to_string())["items"][0]["text"], "A");
}

#[test]
fn an_answer_without_content_says_why_it_ended() {
    for (reason, problem) in [
        (json!("refusal"), "refused"),
        (json!("max_tokens"), "truncated"),
        (json!("end_turn"), "empty"),
        (json!("content_filtered"), "content_filter"),
        (json!("odd"), "empty"),
    ] {
        for content in [json!(null), json!([]), json!("")] {
            let found = answered(&json!({"content": content, "stop_reason": reason}));
            assert_eq!(found["problem"], problem, "{reason} {content}");
        }
    }
    let found = answered(&json!({"content": null, "stop_reason": null}));
    assert_eq!(found["errored"]["kind"], "malformed_answer");
}

#[test]
fn error_code_as_a_number() {
    for (error, kind, code, retryable) in [
        (
            json!({"code": 404, "message": "m"}),
            "provider_invalid_args",
            "404",
            false,
        ),
        (
            json!({"code": 429, "message": "m"}),
            "provider_rate_limit",
            "429",
            true,
        ),
        (
            json!({"code": 503.0, "message": "m"}),
            "provider_overloaded",
            "503.0",
            true,
        ),
        (
            json!({"code": "500", "message": "m"}),
            "provider_internal",
            "500",
            true,
        ),
        (
            json!({"code": 529, "type": "gremlins"}),
            "provider_overloaded",
            "529",
            true,
        ),
        (
            json!({"code": 7, "message": "m"}),
            "generation_failed",
            "7",
            false,
        ),
        (
            json!({"type": 400, "message": "m"}),
            "provider_invalid_args",
            "400",
            false,
        ),
    ] {
        let row = json!({"custom_id": "a", "result": {"type": "errored", "error": error}});
        let found = &outcome_of(&row.to_string())["errored"];
        assert_eq!(
            (&found["kind"], &found["code"]),
            (&json!(kind), &json!(code)),
            "{row}"
        );
        assert_eq!(found["retryable"], retryable, "{row}");
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
        (json!(7), "7", json!("unrecognized")),
        (json!("2.0"), "2.0", json!("unrecognized")),
        (json!(null), "stop", json!(null)),
        (json!("length"), "length", json!("truncated")),
        (
            json!("content_filter"),
            "content_filter",
            json!("content_filter"),
        ),
        (
            json!("content_filtered"),
            "content_filter",
            json!("content_filter"),
        ),
        (
            json!("guardrail_intervened"),
            "content_filter",
            json!("content_filter"),
        ),
        (json!("StopReason.MAX_TOKENS"), "length", json!("truncated")),
        (json!(["max_tokens"]), "length", json!("truncated")),
        (json!("overloaded"), "overloaded", json!("unrecognized")),
        (json!("paused"), "paused", json!("truncated")),
        (json!([]), "stop", json!(null)),
        (json!({}), "stop", json!(null)),
        (json!("end_turn"), "stop", json!(null)),
        (json!("max_tokens"), "length", json!("truncated")),
        (json!("MAX_TOKENS"), "length", json!("truncated")),
        (json!("refusal"), "refusal", json!("refused")),
        (json!("a_new_reason"), "a_new_reason", json!("unrecognized")),
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

/// The reply to a real-time call is a bare body, which is read as the one of a row.
#[test]
fn the_reply_to_a_real_time_call_is_read_by_the_same_answer() {
    for body in [
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "A"}], "stop_reason": "end_turn", "usage": {"input_tokens": 3, "output_tokens": 4}}),
        json!({"id": "msg_1", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"x": 1}}], "stop_reason": "tool_use"}),
        json!({"id": "msg_1", "content": [{"type": "text", "text": "A"}], "stop_reason": "max_tokens"}),
        json!({"id": "msg_1", "content": [], "stop_reason": "refusal"}),
    ] {
        let (codec, part) = (codec(), part());
        let text = body.to_string();
        let mut outline = lmbatch_core::Outline::new();
        let bare = outcome_value(&codec.answer(outline.read(&text).unwrap()));
        let row =
            json!({"custom_id": "a", "result": {"type": "succeeded", "message": body}}).to_string();
        let mut rows = RowReader::new();
        let of_row = codec
            .decode(&part, rows.read(row.as_bytes()))
            .unwrap()
            .outcome;
        assert!(bare["items"].is_array(), "{bare}");
        assert_eq!(bare, outcome_value(&of_row), "{body}");
    }
}
