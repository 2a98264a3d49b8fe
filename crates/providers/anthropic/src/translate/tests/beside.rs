//! Answers beside errors are kept: they were paid for.

use serde_json::{Value, json};

use super::cases::{answered, outcome_of};

/// A row of a type with an error beside a message.
fn beside(word: &str, message: &Value, kind: &str) -> Value {
    let error = json!({"type": "error", "error": {"type": kind, "message": "m"}});
    let result = json!({"type": word, "message": message, "error": error});
    outcome_of(&json!({"custom_id": "a", "result": result}).to_string())
}

#[test]
fn an_answer_next_to_an_error_is_kept() {
    for (message, finish, problem) in [
        (
            json!({"content": [{"type": "text", "text": "A"}], "stop_reason": "end_turn"}),
            "stop",
            json!(null),
        ),
        (json!({"content": "A"}), "stop", json!(null)),
        (
            json!({"content": [{"type": "text", "text": "A"}], "stop_reason": "max_tokens"}),
            "length",
            json!("truncated"),
        ),
        (
            json!({"content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}], "stop_reason": "tool_use"}),
            "tool_use",
            json!(null),
        ),
        (
            json!({"content": [], "stop_reason": "refusal"}),
            "refusal",
            json!("refused"),
        ),
        (
            json!({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "A"}]}),
            "stop",
            json!(null),
        ),
        (
            json!({"content": [{"type": "container_upload", "file_id": "f"}]}),
            "stop",
            json!(null),
        ),
    ] {
        for word in ["errored", "expired", "canceled", "odd", "succeeded"] {
            let found = beside(word, &message, "api_error");
            assert_eq!(found["finish_reason"], finish, "{word} {message}");
            assert_eq!(found["problem"], problem, "{word} {message}");
        }
    }
}

#[test]
fn an_unreadable_answer_is_not_retried() {
    let deep = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let call = |depth| {
        format!(
            r#"{{"content":[{{"type":"text","text":"A"}},{{"type":"tool_use","id":"t","name":"f","input":{}}}]}}"#,
            deep(depth)
        )
    };
    for (message, kind) in [
        (call(100), Some("malformed_answer")),
        (call(5000), Some("malformed_answer")),
        (
            r#"{"content":[{"type":"text","text":"A"}],"content":[]}"#.to_owned(),
            Some("malformed_answer"),
        ),
        (
            r#"{"content":[{"type":"tool_use","input":{"x":"A"}}]}"#.to_owned(),
            None,
        ),
        (
            r#"{"content":[{"type":"hologram","words":"A"}]}"#.to_owned(),
            None,
        ),
    ] {
        for (word, error) in [
            ("errored", r#"{"error":{"type":"api_error"}}"#),
            ("succeeded", r#"{"type":"api_error"}"#),
            ("expired", "null"),
        ] {
            let message = match word {
                "succeeded" => message.replacen('{', &format!(r#"{{"error":{error},"#), 1),
                _ => message.clone(),
            };
            let row = format!(
                r#"{{"custom_id":"a","result":{{"type":"{word}","message":{message},"error":{error}}}}}"#
            );
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
fn an_error_beside_nothing_that_was_answered_stays_an_error() {
    for message in [
        json!(null),
        json!("A"),
        json!(7),
        json!({}),
        json!([]),
        json!({"content": null}),
        json!({"content": []}),
        json!({"content": ""}),
        json!({"content": 7}),
        json!({"content": [null]}),
        json!({"content": [{"type": "text", "text": ""}]}),
        json!({"content": [{"type": "thinking", "thinking": "Hm."}]}),
        json!({"content": [{"type": "hologram"}]}),
        json!({"content": [{"type": "server_tool_use", "id": "s"}]}),
    ] {
        for (kind, retryable) in [("api_error", true), ("invalid_request_error", false)] {
            let found = beside("errored", &message, kind);
            assert_eq!(found["errored"]["code"], kind, "{message}");
            assert_eq!(found["errored"]["retryable"], retryable, "{message}");
        }
    }
    // The same where the row says that it succeeded.
    for content in [
        json!([]),
        json!(""),
        json!([{"type": "thinking", "thinking": "Hm."}]),
    ] {
        let found = beside("succeeded", &json!({"content": content}), "api_error");
        assert_eq!(found["errored"]["code"], "api_error", "{content}");
        assert_eq!(found["errored"]["retryable"], true, "{content}");
    }
    // The same in a message that is called an answer.
    for content in [json!(null), json!([]), json!(""), json!(7), json!(["A"])] {
        let error = json!({"type": "api_error", "message": "m"});
        let found = answered(&json!({"content": content, "error": error}));
        assert_eq!(found["errored"]["retryable"], true, "{content}");
    }
}

#[test]
fn tool_arguments_that_are_no_object_are_a_problem_and_are_kept() {
    for (input, kept, problem) in [
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
        let block = json!({"type": "tool_use", "id": "c", "name": "f", "input": input});
        let found = answered(&json!({"content": [block], "stop_reason": "tool_use"}));
        assert_eq!(found["problem"], problem, "{input}");
        assert_eq!(found["items"][0]["arguments"], kept, "{input}");
    }
}
