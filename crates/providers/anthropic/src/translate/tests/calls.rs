//! Calls of tools in answers, and what else a model makes: shapes of public bug reports, each with others of its kind.

use serde_json::Value;

use super::cases::answered;
use super::*;

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
fn a_call_whose_arguments_stand_elsewhere_is_not_executed_without_them() {
    for call in [
        json!({"type": "tool_use", "id": "c", "name": "f", "arguments": {"x": 1}}),
        json!({"type": "tool_use", "id": "c", "name": "f", "input": {}, "partial_json": "{\"x\":"}),
        json!({"type": "tool_use", "id": "c", "name": "f", "input": null, "parameters": {"x": 1}}),
        json!({"type": "tool_use", "id": "c", "name": "f", "input": "", "args": "x=1"}),
        json!({"type": "tool_use", "id": "c", "name": "f", "input": [], "odd": {"x": 1}}),
        json!({"type": "tool_use", "id": "c", "name": "", "input": {"x": 1}}),
    ] {
        for content in [json!([call]), json!([{"type": "text", "text": "A"}, call])] {
            let found = answered(&json!({"content": content, "stop_reason": "tool_use"}));
            assert_eq!(found["problem"], "unrecognized", "{call}");
            let last = found["items"].as_array().unwrap().last().unwrap();
            assert_eq!(*last, json!({"type": "other", "value": call}));
        }
    }
    let call = json!({"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": {"type": "direct"}});
    let found = answered(&json!({"content": [call], "stop_reason": "tool_use"}));
    assert_eq!(found["problem"], json!(null));
}

#[test]
fn same_tool_called_twice() {
    let call =
        |id: Value, name: &str| json!({"type": "tool_use", "id": id, "name": name, "input": {}});
    for (calls, ids) in [
        (
            vec![call(json!(null), "f"), call(json!(null), "f")],
            vec!["f", "f-2"],
        ),
        (
            vec![
                call(json!(""), "f"),
                call(json!(7), "f"),
                call(json!([]), "f"),
            ],
            vec!["f", "f-2", "f-3"],
        ),
        (
            vec![
                call(json!(null), "f"),
                call(json!(null), "g"),
                call(json!(null), "f"),
            ],
            vec!["f", "g", "f-2"],
        ),
        (
            vec![
                call(json!("f-2"), "f"),
                call(json!(null), "f"),
                call(json!(null), "f"),
            ],
            vec!["f-2", "f", "f-3"],
        ),
        (
            vec![call(json!("x"), "f"), call(json!(null), "f")],
            vec!["x", "f"],
        ),
        (
            vec![call(json!("f"), "f"), call(json!(null), "f")],
            vec!["f", "f-2"],
        ),
    ] {
        let found = answered(&json!({"content": calls, "stop_reason": "tool_use"}));
        let found = found["items"].as_array().unwrap().iter();
        let found: Vec<&str> = found.filter_map(|call| call["id"].as_str()).collect();
        assert_eq!(found, ids);
    }
}

#[test]
fn empty_tool_arguments() {
    for (input, expected) in [
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
        let call = json!({"type": "tool_use", "id": "c", "name": "f", "input": input});
        let found = answered(&json!({"content": [call], "stop_reason": "tool_use"}));
        assert_eq!(found["items"][0]["arguments"], expected, "{input}");
        let problem = match expected.is_object() {
            true => json!(null),
            false => json!("invalid_arguments"),
        };
        assert_eq!(found["problem"], problem, "{input}");
    }
}

#[test]
fn a_block_without_content_is_no_answer() {
    for (block, is_answer) in [
        (
            json!({"type": "container_upload", "file_id": "file_1"}),
            true,
        ),
        (json!({"type": "container_upload", "file_id": ""}), false),
        (json!({"type": "container_upload", "file_id": null}), false),
        (
            json!({"type": "code_execution_tool_result", "content": {"type": "code_execution_result"}}),
            true,
        ),
        (
            json!({"type": "code_execution_tool_result", "content": null}),
            false,
        ),
        (
            json!({"type": "bash_code_execution_tool_result", "content": {"type": "bash_code_execution_tool_result_error"}}),
            false,
        ),
    ] {
        let found = answered(&json!({"content": [block], "stop_reason": "end_turn"}));
        let problem = match is_answer {
            true => json!(null),
            false => json!("unrecognized"),
        };
        assert_eq!(found["problem"], problem, "{block}");
    }
}
