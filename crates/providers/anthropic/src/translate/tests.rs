#![expect(clippy::needless_pass_by_value, reason = "cases are written as values")]

use std::borrow::Cow;

use lmbatch_core::{
    BatchId, Hyperparameters, Json, MessageView, PartRole, RawView, Role, RowReader, Text, Verdict,
};
use lmbatch_testing::{conversations, show_requests, show_rows};
use serde_json::{Value, json};

use super::*;

mod beside;
mod calls;
mod cases;
mod kept;

fn codec() -> AnthropicCodec {
    AnthropicCodec::new(&AnthropicConfig::default())
}

fn part() -> ResultPart {
    ResultPart {
        batch: BatchId::new("b"),
        name: "/results".into(),
        role: PartRole::Mixed,
        shape: "row".into(),
        bytes: None,
    }
}

#[test]
fn requests_to_a_model_with_budgets() {
    insta::assert_snapshot!(show_requests(&codec(), conversations("claude-haiku-4-5")));
}

#[test]
fn requests_to_a_model_with_levels() {
    let differ = [
        "thinking: none",
        "thinking: low",
        "thinking: max",
        "thinking: 2,000 tokens",
        "temperature",
        "top p and top k",
        "the assistant's words last",
    ];
    let mut requests = conversations("claude-opus-4-7");
    requests.retain(|(name, _)| differ.contains(name));
    insta::assert_snapshot!(show_requests(&codec(), requests));
}

fn succeeded(message: Value) -> String {
    json!({"custom_id": "a", "result": {"type": "succeeded", "message": message}}).to_string()
}

fn answered(content: Value, stop: Value) -> String {
    succeeded(json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001",
        "content": content, "stop_reason": stop, "stop_details": null,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }))
}

fn errored(error: Value) -> String {
    json!({"custom_id": "a", "result": {"type": "errored", "error": {"type": "error", "error": error, "request_id": null}}})
        .to_string()
}

#[test]
fn rows() {
    let hi = || json!([{"type": "text", "text": "hi"}]);
    let rows = vec![
        ("an answer", answered(hi(), json!("end_turn"))),
        (
            "all usage",
            succeeded(
                json!({"id": "m", "model": "c", "content": hi(), "stop_reason": "stop_sequence", "usage": {
                    "input_tokens": 20, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 100, "output_tokens": 9,
                    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
                    "output_tokens_details": {"thinking_tokens": 4}, "service_tier": "batch", "inference_geo": "not_available",
                }}),
            ),
        ),
        (
            "no usage",
            succeeded(
                json!({"content": hi(), "usage": {"input_tokens": null, "cache_read_input_tokens": null}}),
            ),
        ),
        (
            "every block",
            answered(
                json!([
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                    {"type": "text", "text": "see", "citations": [{"type": "page_location", "cited_text": "x"}]},
                    {"type": "text", "text": ""},
                    {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}, "caller": {}},
                    {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
                    {"type": "crystal_ball", "vision": "fog"},
                    "odd",
                ]),
                json!("tool_use"),
            ),
        ),
        ("too long", answered(hi(), json!("max_tokens"))),
        (
            "window full",
            answered(hi(), json!("model_context_window_exceeded")),
        ),
        ("paused", answered(hi(), json!("pause_turn"))),
        ("a new reason", answered(hi(), json!("bored"))),
        ("nothing said", answered(json!([]), json!("end_turn"))),
        (
            "refused",
            succeeded(
                json!({"content": [], "stop_reason": "refusal", "stop_details": {
                    "type": "refusal", "category": "bio", "explanation": "no",
                }}),
            ),
        ),
        (
            "invalid",
            errored(json!({"type": "invalid_request_error", "message": "max_tokens: too many"})),
        ),
        (
            "no such model",
            errored(json!({"type": "not_found_error", "message": "model: x"})),
        ),
        (
            "overloaded",
            errored(json!({"type": "overloaded_error", "message": "m"})),
        ),
        (
            "failed",
            errored(json!({"type": "api_error", "message": "m"})),
        ),
        (
            "an error of a new type",
            errored(json!({"type": "gremlins", "message": "m"})),
        ),
        ("an error without words", errored(Value::Null)),
        (
            "canceled",
            r#"{"custom_id":"a","result":{"type":"canceled"}}"#.to_owned(),
        ),
        (
            "expired",
            r#"{"custom_id":"a","result":{"type":"expired"}}"#.to_owned(),
        ),
        (
            "a result of a new type",
            r#"{"custom_id":"a","result":{"type":"lost"}}"#.to_owned(),
        ),
        ("no result", r#"{"custom_id":"a"}"#.to_owned()),
        (
            "a result of another shape",
            r#"{"custom_id":"a","result":[1]}"#.to_owned(),
        ),
        (
            "an answer of another shape",
            succeeded(json!({"content": "hi"})),
        ),
        ("no id", r#"{"result":{"type":"expired"}}"#.to_owned()),
        (
            "cut short",
            r#"{"custom_id":"a","result":{"type":"succ"#.to_owned(),
        ),
        ("no object", "[]".to_owned()),
    ];
    insta::assert_snapshot!(show_rows(&codec(), &part(), rows));
}

#[test]
fn a_row_that_is_not_text_cannot_be_read() {
    let mut rows = RowReader::new();
    let row = rows.read(b"{\"custom_id\":\"\xff\"}");
    assert!(codec().scan(&part(), row).is_err());
}

#[test]
fn scan_does_not_parse_the_answer() {
    let row = r#"{"custom_id":"a","result":{"type":"succeeded","message":{"x":1}}}"#;
    let codec = codec();
    let mut rows = RowReader::new();
    let row = rows.read(row.as_bytes());
    assert_eq!(
        codec.scan(&part(), row).unwrap().verdict,
        Verdict::Succeeded
    );
    assert_eq!(
        codec.decode(&part(), row).unwrap().outcome.verdict(),
        Verdict::Errored
    );
}

fn class(config: &AnthropicConfig, change: fn(&mut GenerateView<'_>)) -> BatchClass {
    let (_, mut view) = conversations("claude-haiku-4-5").swap_remove(0);
    change(&mut view);
    AnthropicCodec::new(config)
        .class(&RequestView::Generate(view))
        .unwrap()
}

#[test]
fn requests_share_a_batch_where_they_need_the_same_headers() {
    let usual = AnthropicConfig::default();
    let plain = class(&usual, |_| {});
    assert_eq!(
        plain,
        class(&usual, |view| view.model = "claude-opus-4-7".into())
    );
    let warm = class(&usual, |view| {
        view.hyperparameters.to_mut().temperature = Some(0.0)
    });
    assert_eq!(
        (&*plain.variant[VERSION], &*warm.variant[VERSION]),
        (NEWEST, WITH_SAMPLING)
    );
    let extra = class(&usual, |view| {
        view.hyperparameters
            .to_mut()
            .extra
            .insert("top_k".into(), json!(1));
    });
    assert_eq!(extra, warm);
    let fixed = AnthropicConfig {
        version: Some("2099-01-01".into()),
        betas: vec!["b".into(), "a".into(), "b".into()],
        ..usual
    };
    let pinned = class(&fixed, |view| {
        view.hyperparameters.to_mut().temperature = Some(0.0)
    });
    assert_eq!(
        (&*pinned.variant[VERSION], &*pinned.variant[BETAS]),
        ("2099-01-01", "a,b")
    );
}

#[test]
fn bodies_in_anthropics_own_words_pass_byte_for_byte() {
    let raw = |endpoint, body| {
        RequestView::Raw(RawView {
            model: None,
            endpoint: Text::Plain(endpoint),
            body: Json::new(body).unwrap(),
        })
    };
    let body = r#"{"model": "claude-x", "temperature": 1.0, "messages":[] }"#;
    let class = codec().class(&raw(ENDPOINT, body)).unwrap();
    assert_eq!(&*class.variant[VERSION], WITH_SAMPLING);
    let mut out = Vec::new();
    codec()
        .encode(
            &class,
            &WireId::verbatim("i"),
            &raw(ENDPOINT, body),
            &mut out,
        )
        .unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(r#"{{"custom_id":"i","params":{body}}}"#)
    );
    for (endpoint, body, words) in [
        ("/v1/complete", body, "no batches for the url"),
        (ENDPOINT, "[]", "not a JSON object"),
        (ENDPOINT, "{}", "names no model"),
        (ENDPOINT, r#"{"model":"m","stream":true}"#, "cannot stream"),
    ] {
        let error = codec().class(&raw(endpoint, body)).unwrap_err();
        assert!(error.message().unwrap().contains(words), "{error:?}");
    }
}

#[test]
fn max_tokens_includes_the_thinking_tokens() {
    let (_, view) = conversations("claude-haiku-4-5").swap_remove(0);
    let options = lmbatch_core::ThinkingOptions {
        budget_tokens: Some(5000),
        ..Default::default()
    };
    let tokens = |most: Option<u32>| {
        let view = GenerateView {
            thinking: Some(&options),
            hyperparameters: Cow::Owned(Hyperparameters {
                max_output_tokens: most,
                ..Hyperparameters::default()
            }),
            ..view.clone()
        };
        let mut out = Vec::new();
        request::write(&view, None, 8192, &mut out)?;
        let body: Value = serde_json::from_slice(&out).unwrap();
        Ok::<_, RequestError>(body["max_tokens"].as_u64().unwrap())
    };
    assert_eq!(tokens(None).unwrap(), 13_192);
    assert_eq!(tokens(Some(5001)).unwrap(), 5001);
    assert!(
        tokens(Some(5000))
            .unwrap_err()
            .message()
            .unwrap()
            .contains("more than the 5000 tokens")
    );
}

#[test]
fn misplaced_content_is_refused() {
    let system = |contents| {
        let (_, mut view) = conversations("m").swap_remove(0);
        view.messages.insert(
            0,
            MessageView {
                role: Role::System,
                contents,
            },
        );
        view
    };
    let image = conversations("m")
        .into_iter()
        .find(|(name, _)| *name == "image by bytes")
        .unwrap();
    let image = image.1.messages[0].contents[1].clone();
    let mut out = Vec::new();
    for (view, words) in [
        (system(vec![image.clone()]), "text only"),
        (
            {
                let mut view = system(vec![]);
                view.messages[0] = MessageView {
                    role: Role::Assistant,
                    contents: vec![image],
                };
                view
            },
            "user messages only",
        ),
        (
            {
                let mut view = system(vec![]);
                view.messages.truncate(1);
                view
            },
            "besides the system's",
        ),
        (
            {
                let mut view = system(vec![]);
                view.messages[1].contents = vec![ContentView::Text("".into())];
                view
            },
            "nothing that can be sent",
        ),
    ] {
        let error = request::write(&view, None, 1, &mut out).unwrap_err();
        assert!(error.message().unwrap().contains(words), "{error:?}");
    }
}
