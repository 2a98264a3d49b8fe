//! Requests from public reports of failures, with similar requests: the row that is sent to each provider, or the
//! reason of a refusal.

use super::*;

#[test]
fn tool_message_of_parts() {
    let tool = |content: Value| {
        chat(&json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": content},
        ]))
    };
    for (content, anthropic, google) in [
        (
            json!([{"type": "text", "text": "42"}]),
            "\"content\":\"42\"",
            "{\"output\":\"42\"}",
        ),
        (json!("42"), "\"content\":\"42\"", "{\"output\":\"42\"}"),
        (
            json!(["4", "2"]),
            r#""content":"4\n2""#,
            r#"{"output":"4\n2"}"#,
        ),
        (
            json!([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]),
            r#""content":"4\n2""#,
            r#"{"output":"4\n2"}"#,
        ),
        (
            json!([{"type": "text", "text": "{\"x\":1}"}]),
            r#""content":"{\"x\":1}""#,
            r#""response":{"x":1}"#,
        ),
        (json!([]), "\"content\":\"\"", "{\"output\":\"\"}"),
        (Value::Null, "\"content\":\"\"", "{\"output\":\"\"}"),
        (
            json!([{"type": "input_audio", "input_audio": {"data": FLAC, "format": "flac"}}]),
            "!input_audio cannot be translated",
            "!input_audio cannot be translated",
        ),
        (
            json!(42),
            "!neither a string nor a list",
            "!neither a string nor a list",
        ),
    ] {
        check(ANTHROPIC, &tool(content.clone()), &[anthropic]);
        check(GOOGLE, &tool(content.clone()), &[google]);
        if content.is_array() {
            let items = responses(&json!([
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": content},
            ]));
            check(ANTHROPIC, &items, &[anthropic]);
        }
    }
    let own = |output: Value| {
        json!({"id": "a", "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "id": "c1", "output": output}]},
        ]})
    };
    for (output, text) in [
        (json!("42"), "42"),
        (json!(["42"]), "42"),
        (json!([{"type": "text", "text": "42"}]), "42"),
        (json!(["4", "2"]), r"4\n2"),
        (
            json!([{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]),
            r"4\n2",
        ),
        (json!(["4", {"type": "text", "text": "2"}]), r"4\n2"),
        (json!(""), ""),
    ] {
        let sent = format!("\"output\":\"{text}\"");
        check(OPENAI, &own(output.clone()), &[&sent]);
        check(GOOGLE, &own(output), &[&format!("{{{sent}}}")]);
    }
    check(
        OPENAI,
        &own(json!([{"type": "image"}])),
        &["!an image has exactly one of"],
    );
    check(
        OPENAI,
        &own(json!({"x": 1})),
        &["!neither a string nor a list"],
    );
}

#[test]
fn empty_tool_arguments() {
    let called = |arguments: Value| {
        chat(&json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ]))
    };
    for (arguments, expected) in [
        (json!(""), "{}"),
        (json!("  \n"), "{}"),
        (Value::Null, "{}"),
        (json!({}), "{}"),
        (json!("{}"), "{}"),
        (json!("{\"x\": 1}"), "{\"x\": 1}"),
        (json!({"x": 1}), "{\"x\":1}"),
        (json!("{\"x\":"), "!no JSON object"),
        (json!("[1]"), "!no JSON object"),
        (json!(7), "!no JSON object"),
    ] {
        let within = |name: &str| match expected.starts_with('!') {
            true => expected.to_owned(),
            false => format!("\"{name}\":{expected}"),
        };
        check(ANTHROPIC, &called(arguments.clone()), &[&within("input")]);
        check(GOOGLE, &called(arguments.clone()), &[&within("args")]);
        if !expected.starts_with('!') {
            let own = json!({"id": "a", "messages": [
                {"role": "assistant", "content": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": arguments}]},
                {"role": "user", "content": [{"type": "tool_result", "id": "c1", "output": "42"}]},
            ]});
            let quoted = json!(expected).to_string();
            check(OPENAI, &own, &[&format!("\"arguments\":{quoted}")]);
        }
    }
}

#[test]
fn assistant_message_with_nulls() {
    let replayed = |message: Value| {
        chat(
            &json!([{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "Hi"}]),
        )
    };
    let nulls = json!({"role": "assistant", "content": "A", "refusal": null, "annotations": [], "audio": null, "function_call": null, "tool_calls": null});
    for (message, expected) in [
        (nulls, "\"A\""),
        (
            json!({"role": "assistant", "content": "A", "tool_calls": [], "name": null, "weight": null}),
            "\"A\"",
        ),
        (
            json!({"role": "assistant", "content": null, "refusal": "No."}),
            "!.refusal cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "refusal": ""}),
            "\"A\"",
        ),
        (
            json!({"role": "assistant", "content": "A", "reasoning_content": "", "provider_specific_fields": {}}),
            "\"A\"",
        ),
        (
            json!({"role": "assistant", "content": "A", "reasoning_content": "hm"}),
            "!.reasoning_content cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "reasoning": "hm"}),
            "!.reasoning cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "annotations": [{"type": "url_citation"}]}),
            "!.annotations cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "text", "text": "A", "annotations": [1]}]}),
            "!.annotations cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}),
            "!refusal cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "phase": "commentary"}),
            "!.phase cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "status": "incomplete"}),
            "!.status cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "text", "text": "A", "annotations": [], "refusal": null}]}),
            "\"A\"",
        ),
        (
            json!({"role": "assistant", "content": "A", "id": "msg_1", "status": "completed", "phase": "final_answer"}),
            "\"A\"",
        ),
        (
            json!({"role": "assistant", "content": "A", "audio": {"id": "audio_1"}}),
            "!.audio cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": "A", "weight": 1}),
            "!.weight cannot be translated",
        ),
        (
            json!({"role": "assistant", "content": null, "refusal": null}),
            "!has no content",
        ),
    ] {
        check(ANTHROPIC, &replayed(message.clone()), &[expected]);
        check(GOOGLE, &replayed(message), &[expected]);
    }
    let legacy = chat(&json!([
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"x\":1}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"x\":2}"}},
        {"role": "function", "name": "f", "content": "2"},
    ]));
    check(
        ANTHROPIC,
        &legacy,
        &[
            r#""id":"f","name":"f","input":{"x":1}"#,
            r#""tool_use_id":"f","content":"1""#,
            r#""id":"f-2","name":"f","input":{"x":2}"#,
            r#""tool_use_id":"f-2","content":"2""#,
        ],
    );
    check(
        GOOGLE,
        &legacy,
        &[r#""id":"f-2","name":"f","response":{"output":"2"}"#],
    );
}

#[test]
fn reasoning_items_are_replayed_without_their_encrypted_content() {
    let items = |reasoning: Value| {
        responses(&json!([
            {"role": "user", "content": "Hi"},
            reasoning,
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "f", "arguments": "{}", "status": "completed"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
            {"type": "function_call_output", "call_id": "c2", "output": "2"},
        ]))
    };
    for reasoning in [
        json!({"type": "reasoning", "id": "rs_1", "summary": []}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbA==", "status": null}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "content": null}),
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}),
        json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]}),
    ] {
        let line = items(reasoning.clone());
        check(
            ANTHROPIC,
            &line,
            &[
                r#"{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"1"},{"type":"tool_result","tool_use_id":"c2","content":"2"}]}"#,
            ],
        );
        check(
            GOOGLE,
            &line,
            &[
                r#"{"role":"model","parts":[{"function_call":{"id":"c1","name":"f","args":{}}},{"function_call":{"id":"c2","name":"f","args":{}}}]}"#,
            ],
        );
        assert!(!sent(ANTHROPIC, &line).unwrap().contains("c2VhbA"));
        let text = responses(
            &json!([{"role": "user", "content": "Hi"}, reasoning, {"type": "message", "role": "assistant", "id": "m", "status": "completed", "content": [{"type": "output_text", "text": "A", "annotations": [], "logprobs": []}]}, {"role": "user", "content": "Ho"}]),
        );
        check(ANTHROPIC, &text, &["\"A\""]);
        check(GOOGLE, &text, &["\"A\""]);
    }
}

#[test]
fn ids_that_a_provider_refuses_are_replaced_in_call_and_result() {
    let long = "x".repeat(80);
    for (id, anthropic, chat_id) in [
        ("c1", "c1", "c1"),
        ("functions.f:0", "functions_f_0", "functions.f:0"),
        ("call|fc_1", "call_fc_1", "call|fc_1"),
        ("ü", "_", "ü"),
        ("", "call", "call"),
        (&long, &long[..64], &long[..64]),
    ] {
        let line = chat(&json!([
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": id, "content": "42"},
        ]));
        check(
            ANTHROPIC,
            &line,
            &[
                &format!("\"type\":\"tool_use\",\"id\":\"{anthropic}\""),
                &format!("\"tool_use_id\":\"{anthropic}\""),
            ],
        );
        let own = json!({"id": "a", "messages": [
            {"role": "assistant", "content": [{"type": "tool_call", "id": id, "name": "f", "arguments": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "id": id, "output": "42"}]},
        ]});
        check(
            OPENAI,
            &own,
            &[
                &format!("\"call_id\":\"{chat_id}\",\"name\""),
                &format!("\"call_id\":\"{chat_id}\",\"output\""),
            ],
        );
    }
}
