//! Tools that the provider cannot call, in lines of every form.

use super::*;

#[test]
fn a_tool_that_the_provider_cannot_call_is_refused_in_every_line() {
    let own = |tools: Value, choice: Value| json!({"id": "a", "prompt": "x", "hyperparameters": {"max_tokens": 9}, "tools": tools, "tool_choice": choice});
    let tool = |name: &str| json!([{"name": name, "parameters": {"type": "object"}}]);
    let mut inherited = responses(&json!("Hi"));
    inherited["body"]["tools"] = json!([{"type": "function", "name": "f"}]);
    inherited["body"]["tool_choice"] = json!({"type": "function", "name": "g"});
    for (model, line, why) in [
        (
            OPENAI,
            own(tool("ns.f-1"), json!("auto")),
            Some("the tool \"ns.f-1\": "),
        ),
        (
            ANTHROPIC,
            own(tool("имя"), json!("auto")),
            Some("the tool \"имя\": "),
        ),
        (
            GOOGLE,
            own(tool("1f"), json!("auto")),
            Some("the tool \"1f\": "),
        ),
        (GOOGLE, own(tool("ns.f-1"), json!("auto")), None),
        (OPENAI, own(tool(&"f".repeat(128)), json!("auto")), None),
        (
            OPENAI,
            own(tool(&"f".repeat(129)), json!("auto")),
            Some("the tool \"ffff"),
        ),
        (
            "chat@openai/m",
            own(tool(&"f".repeat(65)), json!("auto")),
            Some("the tool \"ffff"),
        ),
        (
            OPENAI,
            own(tool("f"), json!({"tool": "g"})),
            Some("tool_choice: there is no tool \"g\""),
        ),
        (
            OPENAI,
            own(json!([]), json!("required")),
            Some("tool_choice: there are no tools"),
        ),
        (
            OPENAI,
            own(json!(null), json!({"tool": "t"})),
            Some("tool_choice: there is no tool \"t\""),
        ),
        (
            GOOGLE,
            inherited,
            Some("tool_choice: there is no tool \"g\""),
        ),
    ] {
        let found = sent_with(&[], model, &line.to_string());
        match why {
            Some(why) => assert!(
                found.clone().is_err_and(|error| error.starts_with(why)),
                "{line}: {found:?}"
            ),
            None => assert!(found.is_ok(), "{line}: {found:?}"),
        }
    }
}
