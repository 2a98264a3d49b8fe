use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ContentView, Effort, EmbedView, ErrorKind,
    GenerateView, Hyperparameters, Json, MessageView, RawView, ResponseSchema, Role, SourceView,
    Text, ThinkingOptions, ThinkingView, Tool, ToolCallView, ToolChoice, ToolResultView,
};
use lmbatch_testing::{conversations, show_requests};
use serde_json::{Value, json};

use super::*;

const RESPONSES: Endpoint = Endpoint::Responses;
const CHAT: Endpoint = Endpoint::ChatCompletions;

fn view<'a>(messages: Vec<MessageView<'a>>) -> GenerateView<'a> {
    GenerateView {
        model: "gpt-x".into(),
        system: None,
        messages,
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    }
}

fn turn<'a>(role: Role, contents: impl Into<Vec<ContentView<'a>>>) -> MessageView<'a> {
    MessageView {
        role,
        contents: contents.into(),
    }
}

fn user<'a>(contents: impl Into<Vec<ContentView<'a>>>) -> MessageView<'a> {
    turn(Role::User, contents)
}

fn text(text: &str) -> ContentView<'_> {
    ContentView::Text(text.into())
}

fn file<'a>(kind: AttachmentKind, source: SourceView<'a>, mime_type: &'a str) -> ContentView<'a> {
    let mime_type = Some(mime_type)
        .filter(|mime| !mime.is_empty())
        .map(Text::from);
    ContentView::Attachment(AttachmentView {
        kind,
        source,
        mime_type,
        filename: None,
    })
}

fn bytes<'a>(bytes: &'a [u8]) -> SourceView<'a> {
    SourceView::Bytes(Cow::Borrowed(bytes))
}

fn line(endpoint: Endpoint, id: &str, request: &RequestView<'_>) -> Result<String, RequestError> {
    let codec = codec(endpoint);
    let class = codec.class(request)?;
    let mut out = Vec::new();
    codec.encode(&class, &WireId::verbatim(id), request, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn body(endpoint: Endpoint, view: GenerateView<'_>) -> Result<Value, RequestError> {
    let line = line(endpoint, "id", &RequestView::Generate(view))?;
    assert!(!line.contains('\n'));
    let mut value: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["url"], endpoint.path());
    Ok(value["body"].take())
}

fn refusal(endpoint: Endpoint, view: GenerateView<'_>) -> String {
    let error = body(endpoint, view).unwrap_err();
    assert!(matches!(
        error.kind(),
        ErrorKind::Unsupported | ErrorKind::InvalidInput
    ));
    error.message().unwrap().to_owned()
}

#[test]
fn requests_for_responses() {
    insta::assert_snapshot!(show_requests(&codec(RESPONSES), conversations("gpt-x")));
}

#[test]
fn requests_for_chat_completions() {
    insta::assert_snapshot!(show_requests(&codec(CHAT), conversations("gpt-x")));
}

#[test]
fn a_line_is_written_byte_for_byte() {
    let request = RequestView::Generate(view(vec![user([text("say \"hi\"\n")])]));
    assert_eq!(
        line(RESPONSES, "ü \"1\"/", &request).unwrap(),
        r#"{"custom_id":"ü \"1\"/","method":"POST","url":"/v1/responses","body":{"model":"gpt-x","input":[{"role":"user","content":[{"type":"input_text","text":"say \"hi\"\n"}]}]}}"#
    );
    assert_eq!(
        line(CHAT, "1", &request).unwrap(),
        r#"{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-x","messages":[{"role":"user","content":"say \"hi\"\n"}]}}"#
    );
}

#[test]
fn every_content_of_a_user_is_written_for_responses() {
    use AttachmentKind::{Document, Image};
    let contents = vec![
        text("look"),
        file(Image, bytes(b"abc"), "image/jpeg"),
        file(Image, SourceView::Base64("iVBORw0KGgo=".into()), ""),
        file(Image, SourceView::Url("https://x.test/a.png".into()), ""),
        file(Image, SourceView::File("file-1".into()), ""),
        file(Document, bytes(b"abc"), "application/pdf"),
        file(Document, bytes(b"abc"), "text/plain"),
        file(Document, SourceView::Url("https://x.test/a.pdf".into()), ""),
        file(
            Document,
            SourceView::Url("data:application/pdf;base64,QUJD".into()),
            "",
        ),
        file(Document, SourceView::File("file-2".into()), ""),
    ];
    assert_eq!(
        body(RESPONSES, view(vec![user(contents)])).unwrap(),
        json!({"model": "gpt-x", "input": [{"role": "user", "content": [
            {"type": "input_text", "text": "look"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/jpeg;base64,YWJj"},
            {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0KGgo="},
            {"type": "input_image", "detail": "auto", "image_url": "https://x.test/a.png"},
            {"type": "input_image", "detail": "auto", "file_id": "file-1"},
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,YWJj"},
            {"type": "input_file", "filename": "document.txt", "file_data": "data:text/plain;base64,YWJj"},
            {"type": "input_file", "file_url": "https://x.test/a.pdf"},
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,QUJD"},
            {"type": "input_file", "file_id": "file-2"},
        ]}]})
    );
}

#[test]
fn every_content_of_a_user_is_written_for_chat() {
    use AttachmentKind::{Audio, Document, Image};
    let contents = vec![
        text("look"),
        file(Image, bytes(b"abc"), "image/jpeg"),
        file(Image, SourceView::Url("https://x.test/a.png".into()), ""),
        file(Document, bytes(b"abc"), "application/pdf"),
        file(
            Document,
            SourceView::Url("data:application/pdf;base64,QUJD".into()),
            "",
        ),
        file(Document, SourceView::File("file-2".into()), ""),
        file(Audio, bytes(b"abc"), "audio/x-wav"),
        file(Audio, SourceView::Base64("QUJD".into()), "audio/mpeg"),
    ];
    assert_eq!(
        body(CHAT, view(vec![user(contents)])).unwrap(),
        json!({"model": "gpt-x", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,YWJj"}},
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,YWJj"}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
            {"type": "file", "file": {"file_id": "file-2"}},
            {"type": "input_audio", "input_audio": {"data": "YWJj", "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        ]}]})
    );
}

fn conversation<'a>() -> Vec<MessageView<'a>> {
    let thought = ThinkingView {
        text: Some("why".into()),
        id: Some("rs_1".into()),
        data: Some("sealed".into()),
        signature: None,
    };
    let more = ThinkingView {
        text: Some("because".into()),
        data: None,
        ..thought
    };
    let plain = ThinkingView {
        text: Some("hm".into()),
        ..ThinkingView::default()
    };
    let call = |id: &'a str, arguments| ToolCallView {
        id: id.into(),
        name: "add".into(),
        arguments,
    };
    vec![
        turn(Role::System, [text("be brief")]),
        user([text("1+1?")]),
        turn(
            Role::Assistant,
            [
                ContentView::Thinking(plain),
                ContentView::Thinking(thought),
                ContentView::Thinking(more),
                text("let me see"),
                ContentView::ToolCall(call(
                    "c1",
                    Arguments::Value(Json::new(r#"{"a":1}"#).unwrap()),
                )),
                ContentView::ToolCall(call("c2", Arguments::Quoted(r#"{"a":"#.into()))),
            ],
        ),
        user([
            ContentView::ToolResult(ToolResultView {
                id: "c1".into(),
                name: None,
                output: "2".into(),
                attachments: Vec::new(),
                is_error: false,
            }),
            ContentView::ToolResult(ToolResultView {
                id: "c2".into(),
                name: None,
                output: "no".into(),
                attachments: Vec::new(),
                is_error: true,
            }),
            text("so?"),
        ]),
        turn(Role::System, [text("now rhyme")]),
    ]
}

#[test]
fn a_conversation_with_tools_is_written_for_responses() {
    let mut request = view(conversation());
    request.system = Some("you add".into());
    assert_eq!(
        body(RESPONSES, request).unwrap(),
        json!({"model": "gpt-x", "instructions": "you add\n\nbe brief", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "1+1?"}]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "sealed", "summary": [
                {"type": "summary_text", "text": "why"}, {"type": "summary_text", "text": "because"},
            ]},
            {"role": "assistant", "content": "let me see"},
            {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}"},
            {"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{\"a\":"},
            {"type": "function_call_output", "call_id": "c1", "output": "2"},
            {"type": "function_call_output", "call_id": "c2", "output": "{\"error\":\"no\"}"},
            {"role": "user", "content": [{"type": "input_text", "text": "so?"}]},
            {"role": "system", "content": [{"type": "input_text", "text": "now rhyme"}]},
        ]})
    );
}

#[test]
fn history_fits_servers_that_check_it_strictly() {
    let thought = |id: Option<&'static str>, data: Option<&'static str>| {
        ContentView::Thinking(ThinkingView {
            text: Some("why".into()),
            id: id.map(Into::into),
            data: data.map(Into::into),
            signature: None,
        })
    };
    let said = turn(
        Role::Assistant,
        [
            thought(None, Some("of another provider")),
            thought(None, None),
            text("one"),
            text("two"),
        ],
    );
    assert_eq!(
        body(RESPONSES, view(vec![user(vec![text("count")]), said])).unwrap()["input"],
        json!([
            {"role": "user", "content": [{"type": "input_text", "text": "count"}]},
            {"role": "assistant", "content": "one"},
            {"role": "assistant", "content": "two"},
        ])
    );
}

#[test]
fn a_conversation_with_tools_is_written_for_chat() {
    let mut request = view(conversation());
    request.system = Some("you add".into());
    assert_eq!(
        body(CHAT, request).unwrap(),
        json!({"model": "gpt-x", "messages": [
            {"role": "system", "content": "you add"},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": [{"type": "text", "text": "let me see"}], "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}},
                {"id": "c2", "type": "function", "function": {"name": "add", "arguments": "{\"a\":"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "2"},
            {"role": "tool", "tool_call_id": "c2", "content": "{\"error\":\"no\"}"},
            {"role": "user", "content": [{"type": "text", "text": "so?"}]},
            {"role": "system", "content": "now rhyme"},
        ]})
    );
}

#[test]
fn options_are_written_in_each_endpoints_words() {
    let tools = [Tool::new("add", &json!({"type": "object"})).with_description("adds")];
    let schema = ResponseSchema::new(&json!({
        "title": "sum", "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false,
    }));
    let thinking = ThinkingOptions {
        effort: Some(Effort::Low),
        budget_tokens: None,
    };
    let choice = ToolChoice::Tool("add".into());
    let full = |hyperparameters: Hyperparameters| GenerateView {
        tools: &tools,
        tool_choice: Some(&choice),
        schema: Some(&schema),
        thinking: Some(&thinking),
        hyperparameters: Cow::Owned(hyperparameters),
        ..view(vec![user([text("x")])])
    };
    let common = Hyperparameters {
        max_output_tokens: Some(9),
        temperature: Some(0.5),
        top_p: Some(0.9),
        ..Hyperparameters::default()
    };
    assert_eq!(
        body(RESPONSES, full(common.clone())).unwrap(),
        json!({
            "model": "gpt-x", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}],
            "tools": [{"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}, "strict": false}],
            "tool_choice": {"type": "function", "name": "add"},
            "text": {"format": {"type": "json_schema", "name": "sum", "schema": schema.schema.to_value(), "strict": true}},
            "reasoning": {"effort": "low", "summary": "auto"},
            "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.9,
        })
    );
    let more = Hyperparameters {
        stop: Some(vec!["END".into()]),
        seed: Some(7),
        presence_penalty: Some(0.25),
        frequency_penalty: Some(-0.5),
        ..common
    };
    assert_eq!(
        body(CHAT, full(more)).unwrap(),
        json!({
            "model": "gpt-x", "messages": [{"role": "user", "content": "x"}],
            "tools": [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": "add"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema.schema.to_value(), "strict": true}},
            "reasoning_effort": "low",
            "max_completion_tokens": 9, "temperature": 0.5, "top_p": 0.9,
            "stop": ["END"], "seed": 7, "presence_penalty": 0.25, "frequency_penalty": -0.5,
        })
    );
}

#[test]
fn thinking_and_tool_choice_are_written() {
    for (effort, expected) in [
        (None, json!({"summary": "auto"})),
        (Some(Effort::None), json!({"effort": "none"})),
        (
            Some(Effort::XHigh),
            json!({"effort": "xhigh", "summary": "auto"}),
        ),
    ] {
        let thinking = ThinkingOptions {
            effort,
            budget_tokens: None,
        };
        let request = GenerateView {
            thinking: Some(&thinking),
            ..view(vec![user([text("x")])])
        };
        assert_eq!(body(RESPONSES, request).unwrap()["reasoning"], expected);
    }
    for (choice, word) in [
        (ToolChoice::Auto, "auto"),
        (ToolChoice::None, "none"),
        (ToolChoice::Required, "required"),
    ] {
        for endpoint in [RESPONSES, CHAT] {
            let request = GenerateView {
                tools: &[Tool::new("add", &json!({"type": "object"}))],
                tool_choice: Some(&choice),
                ..view(vec![user([text("x")])])
            };
            assert_eq!(body(endpoint, request).unwrap()["tool_choice"], word);
        }
    }
}

#[test]
fn unsupported_options_of_an_endpoint_are_refused_by_name() {
    use AttachmentKind::{Audio, Document, Image, Video};
    let with = |change: fn(&mut Hyperparameters)| {
        let mut request = view(vec![user([text("x")])]);
        change(request.hyperparameters.to_mut());
        request
    };
    let holding = |content| view(vec![user([content])]);
    let budget = ThinkingOptions {
        effort: None,
        budget_tokens: Some(9),
    };
    let budget = GenerateView {
        thinking: Some(&budget),
        ..view(vec![user([text("x")])])
    };
    for (endpoint, request, words) in [
        (
            RESPONSES,
            with(|p| p.stop = Some(vec!["x".into()])),
            "no stop: set the endpoint to chat_completions",
        ),
        (
            RESPONSES,
            with(|p| p.seed = Some(1)),
            "no seed: set the endpoint",
        ),
        (
            RESPONSES,
            with(|p| p.presence_penalty = Some(1.0)),
            "presence_penalty",
        ),
        (
            RESPONSES,
            with(|p| p.frequency_penalty = Some(1.0)),
            "frequency_penalty",
        ),
        (
            RESPONSES,
            with(|p| p.top_k = Some(1)),
            "no top_k: openai has none",
        ),
        (CHAT, with(|p| p.top_k = Some(1)), "top_k"),
        (
            CHAT,
            with(|p| drop(p.extra.insert("model".into(), json!("gpt-y")))),
            "\"model\"",
        ),
        (
            CHAT,
            with(|p| drop(p.extra.insert("stream".into(), json!(true)))),
            "\"stream\"",
        ),
        (RESPONSES, budget.clone(), "budget_tokens"),
        (CHAT, budget, "budget_tokens"),
        (
            RESPONSES,
            view(vec![turn(Role::System, [text("x")])]),
            "add a user message",
        ),
        (
            RESPONSES,
            holding(file(Audio, bytes(b"x"), "audio/wav")),
            "set the endpoint to chat_completions",
        ),
        (
            RESPONSES,
            holding(file(Video, bytes(b"x"), "video/mp4")),
            "no video",
        ),
        (
            CHAT,
            holding(file(Video, bytes(b"x"), "video/mp4")),
            "no video",
        ),
        (
            CHAT,
            holding(file(Audio, bytes(b"x"), "audio/ogg")),
            "no audio of the type audio/ogg",
        ),
        (
            CHAT,
            holding(file(Audio, SourceView::Url("https://x.test/a".into()), "")),
            "audio by URL, only as bytes",
        ),
        (
            CHAT,
            holding(file(Image, SourceView::File("file-1".into()), "")),
            "by file id",
        ),
        (
            CHAT,
            holding(file(
                Document,
                SourceView::Url("https://x.test/a".into()),
                "",
            )),
            "set the endpoint to responses",
        ),
        (
            CHAT,
            holding(file(
                Image,
                SourceView::Path(Cow::Borrowed("a".as_ref())),
                "",
            )),
            "has not been read",
        ),
        (
            RESPONSES,
            holding(file(Image, bytes(b"\0\x01\x02"), "")),
            "declare its media type",
        ),
        (
            RESPONSES,
            holding(file(Document, bytes(b""), "text/plain")),
            "0 bytes",
        ),
        (
            RESPONSES,
            holding(file(Document, bytes(b"PK"), "application/epub+zip")),
            "no application/epub+zip",
        ),
        (
            CHAT,
            holding(file(Document, bytes(b"a,b"), "text/csv")),
            "no text/csv",
        ),
        (
            RESPONSES,
            view(vec![turn(Role::Assistant, [file(Image, bytes(b"x"), "")])]),
            "user messages only",
        ),
    ] {
        let message = refusal(endpoint, request);
        assert!(message.contains(words), "{message:?} should say {words:?}");
    }
}

#[test]
fn extra_members_are_merged_last() {
    let mut request = view(vec![user([text("x")])]);
    let schema = ResponseSchema::new(&json!({"type": "object"}));
    request.schema = Some(&schema);
    let parameters = request.hyperparameters.to_mut();
    parameters.temperature = Some(0.5);
    for (key, value) in [
        ("text", json!({"verbosity": "low"})),
        ("temperature", json!(1)),
        ("stream", json!(false)),
        ("store", json!(false)),
    ] {
        parameters.extra.insert(key.into(), value);
    }
    let body = body(RESPONSES, request).unwrap();
    assert_eq!(
        (&body["text"]["verbosity"], &body["text"]["format"]["name"]),
        (&json!("low"), &json!("response"))
    );
    assert_eq!(
        (&body["temperature"], &body["store"], &body["model"]),
        (&json!(1), &json!(false), &json!("gpt-x"))
    );
}

fn raw<'a>(endpoint: &'a str, body: &'a str) -> RequestView<'a> {
    RequestView::Raw(RawView {
        model: None,
        endpoint: endpoint.into(),
        body: Json::new(body).unwrap(),
    })
}

#[test]
fn a_raw_body_is_passed_on_byte_for_byte() {
    let request = raw(
        "/v1/embeddings",
        r#"{ "model":"e", "input":["a",1.50], "stream":false }"#,
    );
    assert_eq!(
        line(RESPONSES, "1", &request).unwrap(),
        r#"{"custom_id":"1","method":"POST","url":"/v1/embeddings","body":{ "model":"e", "input":["a",1.50], "stream":false }}"#
    );
    let class = codec(RESPONSES).class(&request).unwrap();
    assert_eq!(
        (class.model.as_deref(), &*class.endpoint, &*class.route),
        (Some("e"), "/v1/embeddings", "file")
    );
}

#[test]
fn a_raw_body_that_would_fail_its_batch_is_refused() {
    for (endpoint, body, words) in [
        (
            "/v1/images/generations",
            r#"{"model":"m"}"#,
            "\"/v1/images/generations\"",
        ),
        ("/v1/responses", r#"{"model":"m","stream":true}"#, "stream"),
        ("/v1/responses", r#"{"input":"x"}"#, "no model"),
        ("/v1/responses", r#"{"model":7}"#, "not a JSON object"),
        ("/v1/responses", r#"[null,"m"]"#, "not a JSON object"),
    ] {
        let error = codec(CHAT).class(&raw(endpoint, body)).unwrap_err();
        assert!(
            error.message().unwrap().contains(words),
            "{:?}",
            error.message()
        );
    }
    let embed = RequestView::Embed(EmbedView {
        model: "m".into(),
        inputs: vec!["x".into()],
    });
    assert_eq!(
        codec(CHAT).class(&embed).unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn what_is_declared_is_what_the_documentation_says() {
    let codec = codec(RESPONSES);
    let class = codec
        .class(&RequestView::Generate(view(vec![user([text("x")])])))
        .unwrap();
    let limits = codec.limits(&class);
    assert_eq!(
        (limits.max_requests, limits.max_bytes),
        (50_000, 200_000_000)
    );
    let long = "ü /".repeat(85);
    assert!(
        codec.capabilities().wire_ids.allows(&long)
            && !codec.capabilities().wire_ids.allows(&long.repeat(2))
    );
    assert_eq!(
        codec.capabilities().retention,
        Some(Duration::from_secs(2_592_000))
    );
    assert_eq!(
        codec
            .keeping(Some(Duration::from_secs(3600)))
            .capabilities
            .retention,
        Some(Duration::from_secs(3600))
    );
}
