//! Calls of tools in answers, and what else a model makes: shapes of public bug reports, each with others of its kind.

use super::cases::{choice, response};

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
            r#"tool_use: unread("f") !unrecognized"#,
        ),
        (
            r#"{"content":"A","function_call":{"name":"","arguments":"{}"}}"#,
            r#"tool_use: text(A) unread({"name":"","arguments":"{}"}) !unrecognized"#,
        ),
        (
            r#"{"content":"A","function_call":{"name":"f","parameters":{"x":1}}}"#,
            r#"tool_use: text(A) unread({"name":"f","parameters":{"x":1}}) !unrecognized"#,
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
            r#"tool_use: unread({"id":"c1","function":{"arguments":"{}"}}) !unrecognized"#,
        ),
        (
            r#"[{"id":"c1","function":{"name":"","arguments":"{}"}}]"#,
            r#"tool_use: unread({"id":"c1","function":{"name":"","arguments":"{}"}}) !unrecognized"#,
        ),
    ] {
        let one = format!(r#"{{"finish_reason":"tool_calls","message":{{"tool_calls":{calls}}}}}"#);
        assert_eq!(choice(&one), expected, "{calls}");
    }
    for (call, expected) in [
        (
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":{"x":1}}"#,
            r#"tool_use: call(c1,f,{"x":1})"#,
        ),
        (
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"x\":1}"}"#,
            r#"tool_use: call(c1,f,{"x":1})"#,
        ),
        (
            r#"{"type":"function_call","name":"f","arguments":{"x":1}}"#,
            r#"tool_use: call(f,f,{"x":1})"#,
        ),
        (
            r#"{"type":"function_call","call_id":null,"id":"i","name":"f","arguments":null}"#,
            "tool_use: call(i,f,{})",
        ),
        (
            r#"{"type":"function_call","call_id":"c1","name":"f","arguments":[1]}"#,
            "tool_use: call(c1,f,[1]) !invalid_arguments",
        ),
        (
            r#"{"type":"function_call","call_id":"c1","arguments":{"x":1}}"#,
            r#"stop: unread({"type":"function_call","call_id":"c1","arguments":{"x":1}}) !unrecognized"#,
        ),
    ] {
        assert_eq!(response("", call), expected, "{call}");
    }
}

#[test]
fn a_call_whose_arguments_stand_elsewhere_is_not_executed_without_them() {
    for function in [
        r#"{"name":"f","parameters":{"x":1}}"#,
        r#"{"name":"f","arguments":"","args":{"x":1}}"#,
        r#"{"name":"f","arguments":"{}","params":"{\"x\":1}"}"#,
        r#"{"name":"f","arguments":null,"odd":{"x":1}}"#,
        r#"{"name":"f","arguments":{},"input":{"x":1}}"#,
        r#"{"name":"f","arguments":{},"partial_json":"{\"x\":"}"#,
    ] {
        let call = format!(r#"{{"id":"c","function":{function}}}"#);
        let one = format!(
            r#"{{"finish_reason":"tool_calls","message":{{"content":"A","tool_calls":[{call}]}}}}"#
        );
        let expected = format!("tool_use: text(A) unread({call}) !unrecognized");
        assert_eq!(choice(&one), expected);
        let item = function.replacen('{', r#"{"type":"function_call","call_id":"c","#, 1);
        let expected = format!("stop: unread({item}) !unrecognized");
        assert_eq!(response("", &item), expected);
    }
    let beside = r#"{"id":"c","function":{"name":"f"},"arguments":{"x":1}}"#;
    let one = format!(r#"{{"message":{{"tool_calls":[{beside}]}}}}"#);
    assert_eq!(
        choice(&one),
        format!("stop: unread({beside}) !unrecognized")
    );
}

#[test]
fn same_tool_called_twice() {
    let named = |name: &str| format!(r#"{{"function":{{"name":"{name}","arguments":"{{}}"}}}}"#);
    let with_id =
        |id: &str| format!(r#"{{"id":{id},"function":{{"name":"f","arguments":"{{}}"}}}}"#);
    for (calls, ids) in [
        (vec![named("f"), named("f")], "f f-2"),
        (vec![named("f"), named("f"), named("f")], "f f-2 f-3"),
        (vec![named("f"), named("g"), named("f")], "f g f-2"),
        (vec![named("f-2"), named("f"), named("f")], "f-2 f f-3"),
        (vec![with_id(r#""x""#), with_id("null")], "x f"),
        (vec![with_id(r#""f""#), with_id(r#""""#)], "f f-2"),
        (vec![with_id("7"), with_id("[]")], "f f-2"),
    ] {
        let chat = format!(r#"{{"message":{{"tool_calls":[{}]}}}}"#, calls.join(","));
        let items: Vec<String> = calls
            .iter()
            .map(|call| {
                let call = call.replace(r#""id""#, r#""call_id""#);
                let call = call.replace(r#""function":{"#, r#""type":"function_call","#);
                call.replace("}}", "}")
            })
            .collect();
        for shown in [choice(&chat), response("", &items.join(","))] {
            let found = shown.split("call(").skip(1);
            let found: Vec<&str> = found.filter_map(|call| call.split(',').next()).collect();
            assert_eq!(found.join(" "), ids, "{shown}");
        }
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
fn an_item_without_content_is_no_answer() {
    for (item, is_answer) in [
        (
            r#"{"type":"image_generation_call","status":"completed","result":"iVBO"}"#,
            true,
        ),
        (
            r#"{"type":"image_generation_call","status":"failed","result":null}"#,
            false,
        ),
        (
            r#"{"type":"image_generation_call","status":"FAILED","result":"iVBO"}"#,
            false,
        ),
        (
            r#"{"type":"image_generation_call","status":"completed","result":""}"#,
            false,
        ),
        (
            r#"{"type":"image_generation_call","revised_prompt":"a cat"}"#,
            false,
        ),
        (
            r#"{"type":"custom_tool_call","call_id":"c","name":"f","input":"x"}"#,
            true,
        ),
        (
            r#"{"type":"custom_tool_call","call_id":"c","name":"","input":"x"}"#,
            false,
        ),
        (
            r#"{"type":"computer_call","call_id":"c","action":{"type":"click"}}"#,
            true,
        ),
        (
            r#"{"type":"computer_call","call_id":"c","action":null}"#,
            false,
        ),
        (
            r#"{"type":"shell_call","call_id":"c","action":{"commands":["ls"]}}"#,
            true,
        ),
        (
            r#"{"type":"apply_patch_call","call_id":"c","operation":{"type":"x"}}"#,
            true,
        ),
        (r#"{"type":"mcp_approval_request","id":"m"}"#, false),
    ] {
        let problem = if is_answer { "" } else { " !unrecognized" };
        let expected = format!("stop: other({item}){problem}");
        assert_eq!(response("", item), expected);
    }
    for (message, expected) in [
        (
            r#"{"audio":{"data":"UklG","transcript":"A"}}"#,
            "stop: text(A) Audio",
        ),
        (r#"{"audio":{"data":"","transcript":"A"}}"#, "stop: text(A)"),
        (
            r#"{"audio":{"id":"x","data":""}}"#,
            r#"stop: other({"id":"x","data":""}) !unrecognized"#,
        ),
        (
            r#"{"audio":{"id":"x","data":null,"transcript":""}}"#,
            r#"stop: other({"id":"x","data":null,"transcript":""}) !unrecognized"#,
        ),
        (r#"{"audio":{},"content":""}"#, "stop:  !empty"),
    ] {
        assert_eq!(choice(&format!(r#"{{"message":{message}}}"#)), expected);
    }
}
