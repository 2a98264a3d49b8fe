//! Answers and errors of public bug reports, each with others of its kind.

use std::borrow::Cow;

use lmbatch_core::{
    Hyperparameters, MessageView, RequestView, Role, RowReader, ToolChoice, WireId,
};
use lmbatch_testing::outcome_value;
use serde_json::Value;

use super::*;

/// The outcome of a row, with what matters here: items, finish reason and problem, or the error.
pub(super) fn outcome_of(row: &str) -> Value {
    let (codec, part) = (codec(Route::File), part("file"));
    let mut rows = RowReader::new();
    let row = rows.read(row.as_bytes());
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

pub(super) fn answered(candidates: &Value) -> Value {
    outcome_of(&json!({"key": "a", "response": {"candidates": candidates}}).to_string())
}

fn said(text: &str, finish_reason: &str, problem: Option<&str>) -> Value {
    json!({"items": [{"type": "text", "text": text}], "finish_reason": finish_reason, "problem": problem})
}

#[test]
fn finish_reason_as_a_number() {
    for (reason, finish, problem) in [
        (json!(1), "stop", None),
        (json!(0), "stop", None),
        (json!(2), "length", Some("truncated")),
        (json!(3), "content_filter", Some("content_filter")),
        (json!("MAX_TOKENS"), "length", Some("truncated")),
        (json!("max_tokens"), "length", Some("truncated")),
        (json!("Stop"), "stop", None),
        (json!(99), "99", None),
        (json!([]), "stop", None),
        (json!(null), "stop", None),
    ] {
        let candidates = json!([{"content": {"parts": [{"text": "A"}]}, "finishReason": reason}]);
        assert_eq!(
            answered(&candidates),
            said("A", finish, problem),
            "{reason}"
        );
    }
}

#[test]
fn same_tool_called_twice() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let with_id = |id: Value| json!({"functionCall": {"id": id, "name": "f"}});
    for (parts, ids) in [
        (vec![call("f"), call("f")], vec!["f", "f-2"]),
        (
            vec![call("f"), call("f"), call("f")],
            vec!["f", "f-2", "f-3"],
        ),
        (vec![call("f"), call("g"), call("f")], vec!["f", "g", "f-2"]),
        (
            vec![call("f-2"), call("f"), call("f")],
            vec!["f-2", "f", "f-3"],
        ),
        (
            vec![with_id(json!("x")), with_id(json!(null))],
            vec!["x", "f"],
        ),
        (vec![with_id(json!("f")), call("f")], vec!["f", "f-2"]),
        (
            vec![with_id(json!("")), with_id(json!(7))],
            vec!["f", "f-2"],
        ),
    ] {
        let found = answered(&json!([{"content": {"parts": parts}, "finishReason": "STOP"}]));
        assert_eq!(found["finish_reason"], "tool_use");
        let calls = found["items"].as_array().unwrap().iter();
        let found: Vec<&str> = calls.map(|call| call["id"].as_str().unwrap()).collect();
        assert_eq!(found, ids);
    }
}

#[test]
fn answer_order_of_candidates() {
    let candidate =
        |index: Value, text: &str| json!({"index": index, "content": {"parts": [{"text": text}]}});
    for (candidates, text) in [
        (
            json!([candidate(json!(1), "B"), candidate(json!(0), "A")]),
            "A",
        ),
        (
            json!([candidate(json!("1"), "B"), candidate(json!("0"), "A")]),
            "A",
        ),
        (
            json!([candidate(json!(null), "A"), candidate(json!(null), "B")]),
            "A",
        ),
        (
            json!([candidate(json!(0), "A"), candidate(json!(1), "B")]),
            "A",
        ),
        (candidate(json!(0), "A"), "A"),
    ] {
        assert_eq!(
            answered(&candidates)["items"][0]["text"],
            text,
            "{candidates}"
        );
    }
}

#[test]
fn an_answer_without_a_known_shape_is_unrecognized() {
    for content in [
        json!({"parts": [{"hologram": 1}]}),
        json!(7),
        json!({"parts": 7}),
        json!([1]),
    ] {
        let found = answered(&json!([{"content": content, "finishReason": "STOP"}]));
        assert_eq!(found["problem"], "unrecognized", "{content}");
    }
    for content in [
        json!("A"),
        json!({"parts": {"text": "A"}}),
        json!({"parts": [{"text": "A"}]}),
    ] {
        let found = answered(&json!([{"content": content, "finishReason": "STOP"}]));
        assert_eq!(found, said("A", "stop", None), "{content}");
    }
    let code = json!({"parts": [{"executableCode": {"code": "1"}}]});
    let found = answered(&json!([{"content": code, "finishReason": "STOP"}]));
    assert_eq!(
        found["problem"],
        json!(null),
        "the provider's own tools are known"
    );
}

#[test]
fn members_next_to_an_answer_become_items() {
    let content = json!({"parts": [{"text": "A"}]});
    for (name, value) in [
        ("finishMessage", json!("why")),
        ("safetyRatings", json!([{"category": "X"}])),
        ("logprobsResult", json!({"topCandidates": []})),
        ("urlContextMetadata", json!({"urlMetadata": [1]})),
    ] {
        let found = answered(&json!([{"content": content, name: value}]));
        let detail = json!({"type": "detail", "name": name, "value": value});
        assert_eq!(
            found["items"],
            json!([{"type": "text", "text": "A"}, detail])
        );
    }
    let blocked = json!({"key": "a", "response": {"promptFeedback": {"blockReason": "SAFETY"}}});
    let found = outcome_of(&blocked.to_string());
    assert_eq!(found["items"][0]["value"]["blockReason"], "SAFETY");
    assert_eq!(found["problem"], "content_filter");
}

#[test]
fn errors_of_every_shape_keep_their_code_and_words() {
    for (error, kind, code, retryable) in [
        (
            json!({"code": 3, "message": "m"}),
            "provider_invalid_args",
            json!("3"),
            false,
        ),
        (
            json!({"code": "14", "message": "m"}),
            "provider_overloaded",
            json!("14"),
            true,
        ),
        (
            json!({"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}),
            "provider_invalid_args",
            json!("400"),
            false,
        ),
        (
            json!({"status": "UNAVAILABLE", "message": "m"}),
            "provider_overloaded",
            json!("UNAVAILABLE"),
            true,
        ),
        (
            json!({"error": {"code": 8, "message": "m"}}),
            "provider_rate_limit",
            json!("8"),
            true,
        ),
        (
            json!({"code": 77, "message": "m"}),
            "generation_failed",
            json!("77"),
            false,
        ),
        (
            json!({"code": "odd", "message": "m"}),
            "generation_failed",
            json!("odd"),
            false,
        ),
        (
            json!({"message": "m"}),
            "generation_failed",
            json!(null),
            false,
        ),
        (json!("m"), "generation_failed", json!(null), false),
    ] {
        for row in [
            json!({"key": "a", "error": error}),
            json!({"key": "a", "status": error}),
            json!({"key": "a", "response": {"error": error}}),
        ] {
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
        r#"{"key":"a","response":{"p":NaN}}"#,
        r#"{"response":{"p":NaN},"key":"a"}"#,
        r#"{"metadata":{"key":"a"},"response":{"p":-Infinity}}"#,
        "{\"key\":\"a\",\"response\":\"\u{1}\"}",
        r#"{"key":"a","response":{"candidates":["#,
    ] {
        assert_eq!(
            outcome_of(row)["errored"]["kind"],
            "malformed_answer",
            "{row}"
        );
    }
}

#[test]
fn an_answer_next_to_an_error_is_kept() {
    let answer = json!({"candidates": [{"content": {"parts": [{"text": "A"}]}}]});
    for beside in [
        json!({"error": {"code": 503, "message": "m"}}),
        json!({"error": {}}),
        json!({"status": {"code": 0}}),
        json!({"status": "OK"}),
        json!({"error": null, "status": {"code": 14}}),
    ] {
        let mut row = json!({"key": "a", "response": answer});
        row.as_object_mut()
            .unwrap()
            .extend(beside.as_object().unwrap().clone());
        assert_eq!(
            outcome_of(&row.to_string()),
            said("A", "stop", None),
            "{row}"
        );
    }
    let blocked = json!({"candidates": [{"finishReason": "SAFETY"}]});
    let row = json!({"key": "a", "response": blocked, "error": {"code": 14, "message": "m"}});
    assert_eq!(outcome_of(&row.to_string())["problem"], "content_filter");
    // Nothing was answered: the error is what there is.
    for candidates in [
        json!(null),
        json!([]),
        json!([null]),
        json!([7]),
        json!("A"),
        json!([{}]),
        json!([{"content": null}]),
        json!([{"content": {"parts": []}, "finishReason": "STOP"}]),
        json!([{"content": {"parts": [{"text": ""}]}}]),
        json!([{"content": {"parts": [{"text": "Hm.", "thought": true}]}}]),
    ] {
        let response = json!({"candidates": candidates});
        for (code, retryable) in [(14, true), (3, false)] {
            let error = json!({"code": code, "message": "m"});
            let row = json!({"key": "a", "response": response, "error": error});
            let found = outcome_of(&row.to_string());
            assert_eq!(found["errored"]["retryable"], retryable, "{row}");
        }
    }
    for candidates in [json!(null), json!([]), json!([null]), json!("A")] {
        let error = json!({"code": 14, "message": "m"});
        let response = json!({"candidates": candidates, "error": error});
        let row = json!({"key": "a", "response": response});
        assert_eq!(
            outcome_of(&row.to_string())["errored"]["retryable"],
            true,
            "{row}"
        );
    }
}

#[test]
fn an_unreadable_answer_is_not_retried() {
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let grounded = |depth| {
        format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"A"}}]}},"groundingMetadata":{}}}],"usageMetadata":{{"promptTokenCount":1}}}}"#,
            deep(depth)
        )
    };
    let parts = |parts: &str| format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}}}}]}}"#);
    for (response, kind) in [
        (grounded(101), Some("malformed_answer")),
        (grounded(5000), Some("malformed_answer")),
        (
            format!(r#"{{"candidates":[],{}"#, &grounded(1)[1..]),
            Some("malformed_answer"),
        ),
        (parts(r#"{"functionCall":{"args":{"x":"A"}}}"#), None),
        (parts(r#"{"hologram":{"words":"A"}}"#), None),
        (parts(r#"{"text":"A","text":""}"#), None),
    ] {
        let inner = response.replacen('{', r#"{"error":{"code":14},"#, 1);
        for row in [
            format!(r#"{{"key":"a","error":{{"code":13,"message":"m"}},"response":{response}}}"#),
            format!(r#"{{"key":"a","status":{{"code":14}},"response":{response}}}"#),
            format!(r#"{{"key":"a","response":{inner}}}"#),
        ] {
            let found = outcome_of(&row);
            let shown = &row[..row.len().min(160)];
            match kind {
                Some(kind) => assert_eq!(found["errored"]["kind"], kind, "{shown}"),
                None => assert_eq!(found["problem"], "unrecognized", "{shown}"),
            }
        }
    }
}

#[test]
fn tool_arguments_that_are_no_object_are_a_problem_and_are_kept() {
    for (args, kept, problem) in [
        (json!({"x": 1}), json!({"x": 1}), json!(null)),
        (json!(null), json!({}), json!(null)),
        (json!("{}"), json!({}), json!(null)),
        (
            json!("{\"x\":"),
            json!("{\"x\":"),
            json!("invalid_arguments"),
        ),
        (json!("x=1"), json!("x=1"), json!("invalid_arguments")),
        (json!(7), json!(7), json!("invalid_arguments")),
        (json!([1]), json!([1]), json!("invalid_arguments")),
    ] {
        let call = json!({"functionCall": {"id": "c", "name": "f", "args": args}});
        let candidate = json!({"content": {"parts": [call]}, "finishReason": "STOP"});
        let response = json!({"candidates": [candidate]});
        for row in [
            json!({"key": "a", "response": response}),
            json!({"metadata": {"key": "a"}, "response": response}),
        ] {
            let found = outcome_of(&row.to_string());
            assert_eq!(found["problem"], problem, "{args}");
            assert_eq!(found["items"][0]["arguments"], kept, "{args}");
        }
    }
}

/// Google has no `strict` of one tool: the calls of all are validated where one is strict.
#[test]
fn a_strict_tool_has_calls_validated() {
    let tool = |strict: Option<bool>| lmbatch_core::Tool {
        strict,
        ..lmbatch_core::Tool::new("f", &json!({"type": "object", "properties": {}}))
    };
    let (strict, loose, plain) = (tool(Some(true)), tool(Some(false)), tool(None));
    let named = ToolChoice::Tool("f".into());
    for (tools, choice, mode) in [
        (vec![strict.clone()], None, json!("VALIDATED")),
        (
            vec![strict.clone()],
            Some(&ToolChoice::Auto),
            json!("VALIDATED"),
        ),
        (
            vec![loose.clone(), strict.clone()],
            None,
            json!("VALIDATED"),
        ),
        (
            vec![strict.clone()],
            Some(&ToolChoice::Required),
            json!("ANY"),
        ),
        (vec![strict.clone()], Some(&named), json!("ANY")),
        (vec![strict], Some(&ToolChoice::None), json!("NONE")),
        (vec![loose.clone()], None, json!(null)),
        (vec![plain.clone()], None, json!(null)),
        (vec![plain, loose], Some(&ToolChoice::Auto), json!("AUTO")),
    ] {
        for (route, pointer) in [
            (
                Route::File,
                "/request/tool_config/function_calling_config/mode",
            ),
            (
                Route::Inline,
                "/request/toolConfig/functionCallingConfig/mode",
            ),
        ] {
            let view = GenerateView {
                model: Text::Plain("gemini-2.5-flash"),
                system: None,
                messages: vec![MessageView {
                    role: Role::User,
                    contents: vec![ContentView::Text(Text::Plain("x"))],
                }],
                tools: &tools,
                tool_choice: choice,
                schema: None,
                thinking: None,
                hyperparameters: Cow::Owned(Hyperparameters::default()),
            };
            let (codec, request) = (codec(route), RequestView::Generate(view));
            let class = codec.class(&request).unwrap();
            let mut out = Vec::new();
            codec
                .encode(&class, &WireId::verbatim("id"), &request, &mut out)
                .unwrap();
            let sent: Value = serde_json::from_slice(&out).unwrap();
            let found = sent.pointer(pointer).unwrap_or(&Value::Null);
            assert_eq!(*found, mode, "{choice:?} {sent}");
            assert!(!sent.to_string().contains("strict"), "{sent}");
        }
    }
}

#[test]
fn empty_tool_arguments() {
    for (args, expected) in [
        (json!(""), json!({})),
        (json!(" \n"), json!({})),
        (json!(null), json!({})),
        (json!({}), json!({})),
        (json!("{}"), json!({})),
        (json!({"x": 1}), json!({"x": 1})),
        (json!("{\"x\": 1}"), json!({"x": 1})),
        (json!("{\"x\":"), json!("{\"x\":")),
        (json!([1]), json!([1])),
    ] {
        let part = json!({"functionCall": {"name": "f", "args": args}});
        let found = answered(&json!([{"content": {"parts": [part]}, "finishReason": "STOP"}]));
        assert_eq!(found["items"][0]["arguments"], expected, "{args}");
        assert_eq!(found["finish_reason"], "tool_use", "{args}");
        let problem = match expected.is_object() {
            true => json!(null),
            false => json!("invalid_arguments"),
        };
        assert_eq!(found["problem"], problem, "{args}");
    }
    let absent = json!({"functionCall": {"name": "f"}});
    let found = answered(&json!([{"content": {"parts": [absent]}, "finishReason": "STOP"}]));
    assert_eq!(found["items"][0]["arguments"], json!({}));
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
            r#"{{"key":"a","response":{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}]}},"finishReason":"STOP"}}]}}}}"#
        );
        assert_eq!(outcome_of(&row), said(expected, "stop", None), "{text}");
    }
    // Wherever it stands, the answer is read.
    for (part, item) in [
        (
            r#"{"functionCall":{"name":"f","args":{"x":"\ud83d"}}}"#,
            "tool_call",
        ),
        (r#"{"text":"\ud83d","thought":true}"#, "thinking"),
        (r#"{"executableCode":{"code":"\ud83d"}}"#, "other"),
    ] {
        let row = format!(
            r#"{{"key":"a","response":{{"candidates":[{{"content":{{"parts":[{part},{{"text":"A"}}]}},"finishReason":"STOP"}}]}}}}"#
        );
        let found = outcome_of(&row);
        assert_eq!(found["items"][0]["type"], item, "{part}: {found}");
        assert_eq!(found["items"][1]["text"], "A", "{part}: {found}");
    }
}
