//! Calls of tools in answers, and what else a model makes: shapes of public bug reports, each with others of its kind.

use serde_json::Value;

use super::cases::{answered, outcome_of};
use super::*;

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
fn a_part_without_content_is_no_answer() {
    for (part, is_answer) in [
        (
            json!({"inlineData": {"mimeType": "image/png", "data": "iVBO"}}),
            true,
        ),
        (
            json!({"inlineData": {"mimeType": "image/png", "data": ""}}),
            false,
        ),
        (json!({"inlineData": {"mimeType": "image/png"}}), false),
        (json!({"fileData": {"fileUri": "https://f.test/1"}}), true),
        (
            json!({"fileData": {"mimeType": "image/png", "fileUri": ""}}),
            false,
        ),
        (json!({"executableCode": {"code": "1"}}), true),
        (json!({"executableCode": {}}), false),
        (json!({"functionCall": {"name": "", "args": {}}}), false),
    ] {
        let found = answered(&json!([{"content": {"parts": [part]}, "finishReason": "STOP"}]));
        let problem = match is_answer {
            true => json!(null),
            false => json!("unrecognized"),
        };
        assert_eq!(found["problem"], problem, "{part}");
        assert_eq!(found["items"].as_array().map(Vec::len), Some(1), "{part}");
    }
}

#[test]
fn a_call_whose_arguments_stand_elsewhere_is_not_executed_without_them() {
    for call in [
        json!({"name": "f", "arguments": {"x": 1}}),
        json!({"name": "f", "args": {}, "parameters": {"x": 1}}),
        json!({"name": "f", "args": null, "odd": {"x": 1}}),
        json!({"name": "f", "args": "", "input": "x=1"}),
        json!({"name": "f", "partialArgs": [{"jsonPath": "$.x", "numberValue": 1}], "willContinue": true}),
        json!({"name": "f", "args": {"x": 1}, "willContinue": true}),
    ] {
        let part = json!({"functionCall": call});
        for parts in [json!([part]), json!([{"text": "A"}, part])] {
            let found = answered(&json!([{"content": {"parts": parts}, "finishReason": "STOP"}]));
            assert_eq!(found["problem"], "unrecognized", "{call}");
            let last = found["items"].as_array().unwrap().last().unwrap();
            assert_eq!(*last, json!({"type": "other", "value": part}));
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
