use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ContentView, Effort, ErrorKind, FinishReason,
    GenerateView, Hyperparameters, ItemView, Json, MessageView, Outline, RawView, ResponseSchema,
    Retry, Role, RowContent, SchemaMode, SourceView, ThinkingOptions, Tool, ToolCallView,
    ToolChoice, ToolResultView,
};
use lmbatch_testing::conversations;
use serde_json::{Value, json};

use super::*;

mod thoughts;
mod tool_names;

/// Bodies of the conversations of the test doubles, as they were written before there were dialects.
const OPENAI_BODIES: &str = include_str!("openai_bodies.tsv");

type View = GenerateView<'static>;

fn hello() -> View {
    asking(vec![ContentView::Text("hi".into())])
}

fn asking(contents: Vec<ContentView<'static>>) -> View {
    let role = Role::User;
    GenerateView {
        model: "m".into(),
        system: None,
        messages: vec![MessageView { role, contents }],
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    }
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn set(name: &str, value: Value) -> View {
    let mut view = hello();
    let parameters = view.hyperparameters.to_mut();
    parameters.set(name, value).unwrap();
    view
}

fn choosing(choice: ToolChoice) -> View {
    let tool = Tool::new("add", &json!({"type": "object"}));
    GenerateView {
        tools: leak([tool]),
        tool_choice: Some(leak(choice)),
        ..hello()
    }
}

fn strict_tool(strict: bool) -> View {
    let mut tool = Tool::new("add", &json!({"type": "object"}));
    tool.strict = Some(strict);
    GenerateView {
        tools: leak([tool]),
        ..hello()
    }
}

fn thinking(effort: Option<Effort>, budget_tokens: Option<u32>) -> View {
    let thinking = ThinkingOptions {
        effort,
        budget_tokens,
    };
    GenerateView {
        thinking: Some(leak(thinking)),
        ..hello()
    }
}

fn shaped(mode: SchemaMode) -> View {
    let schema = json!({"type": "object", "properties": {"a": {"oneOf": [{"type": "string"}]}}, "required": ["a"], "additionalProperties": false});
    GenerateView {
        schema: Some(leak(ResponseSchema::new(&schema).with_mode(mode))),
        ..hello()
    }
}

fn file(kind: AttachmentKind, source: SourceView<'static>, media_type: &'static str) -> View {
    asking(vec![ContentView::Attachment(AttachmentView {
        kind,
        source,
        mime_type: (!media_type.is_empty()).then(|| media_type.into()),
        filename: None,
    })])
}

fn bytes(kind: AttachmentKind, media_type: &'static str) -> View {
    file(kind, SourceView::Bytes(Cow::Borrowed(b"abc")), media_type)
}

fn url(kind: AttachmentKind) -> View {
    file(kind, SourceView::Url("https://x.test/a".into()), "")
}

fn called() -> View {
    let mut view = hello();
    view.messages.push(MessageView {
        role: Role::Assistant,
        contents: vec![ContentView::ToolCall(ToolCallView {
            id: "call_1".into(),
            name: "add".into(),
            arguments: Arguments::Quoted("{}".into()),
        })],
    });
    view.messages.push(MessageView {
        role: Role::User,
        contents: vec![ContentView::ToolResult(ToolResultView {
            id: "call_1".into(),
            name: None,
            output: "2".into(),
            attachments: Vec::new(),
            is_error: false,
        })],
    });
    view
}

fn body(dialect: Dialect, view: View) -> Result<String, RequestError> {
    let mut out = Vec::new();
    Chat::new(dialect).body(&RequestView::Generate(view), &mut out)?;
    let text = String::from_utf8(out).unwrap();
    assert!(Json::new(&text).is_ok() && !text.contains('\n'), "{text}");
    Ok(text)
}

#[test]
fn bodies_of_openai_are_byte_for_byte_those_before_there_were_dialects() {
    let mut kept = OPENAI_BODIES.lines();
    for (name, view) in conversations("gpt-x") {
        let mut out = Vec::new();
        let request = RequestView::Generate(view);
        if Chat::new(Dialect::OPENAI).body(&request, &mut out).is_err() {
            continue;
        }
        let mut kept = kept.by_ref().map(|line| line.split_once('\t').unwrap());
        // Refused since: OpenAI refuses the result of no call.
        let (of, expected) = kept
            .find(|(of, _)| *of != "tool result of no call")
            .unwrap();
        assert_eq!(name, of);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{name}");
    }
    assert_eq!(kept.next(), None);
}

#[test]
fn each_difference_between_services_is_written_or_refused_by_name() {
    use AttachmentKind::{Audio, Document, Image, Video};
    const PLAIN: Dialect = Dialect::plain("acme");
    const NINE_THOUSAND: Option<u32> = Some(9000);
    let only = |extras| Dialect { extras, ..PLAIN };
    let budget = Dialect {
        thinking_budget: Some("thinking_budget"),
        ..PLAIN
    };
    let nameless = Dialect {
        tools: Some(Tools {
            named: false,
            required: None,
            ..Tools::OPENAI
        }),
        ..PLAIN
    };
    let strings = Dialect {
        contents: Contents::Strings,
        ..PLAIN
    };
    let two = || {
        asking(vec![
            ContentView::Text("a\"".into()),
            ContentView::Text("b".into()),
        ])
    };
    let no = Err::<&str, &str>;
    for (dialect, view, expected) in [
        // The model.
        (PLAIN, hello(), Ok(r#"{"model":"m","messages""#)),
        (Dialect::MISTRAL, hello(), Ok(r#"{"messages""#)),
        (Dialect::FIREWORKS, hello(), Ok(r#"{"messages""#)),
        // Texts.
        (
            PLAIN,
            two(),
            Ok(r#""content":[{"type":"text","text":"a\""},{"#),
        ),
        (strings, two(), Ok(r#""content":"a\"b""#)),
        // Parameters.
        (
            Dialect::OPENAI,
            set("max_output_tokens", json!(9)),
            Ok(r#""max_completion_tokens":9"#),
        ),
        (
            Dialect::GROQ,
            set("max_output_tokens", json!(9)),
            Ok(r#""max_completion_tokens":9"#),
        ),
        (
            Dialect::TOGETHER,
            set("max_output_tokens", json!(9)),
            Ok(r#""max_tokens":9"#),
        ),
        (
            Dialect::XAI,
            set("max_output_tokens", json!(9)),
            Ok(r#""max_tokens":9"#),
        ),
        (
            Dialect::MISTRAL,
            set("seed", json!(7)),
            Ok(r#""random_seed":7"#),
        ),
        (Dialect::TOGETHER, set("seed", json!(7)), Ok(r#""seed":7"#)),
        (PLAIN, set("seed", json!(7)), no("acme has no seed")),
        (
            Dialect::FIREWORKS,
            set("top_k", json!(5)),
            Ok(r#""top_k":5"#),
        ),
        (Dialect::XAI, set("top_k", json!(5)), no("xai has no top_k")),
        (
            Dialect::GROQ,
            set("presence_penalty", json!(0.5)),
            no("groq has no presence_penalty"),
        ),
        (
            Dialect::GROQ,
            set("frequency_penalty", json!(0.5)),
            no("groq has no frequency_penalty"),
        ),
        (PLAIN, set("stop", json!("x")), Ok(r#""stop":["x"]"#)),
        // Thinking.
        (
            Dialect::XAI,
            thinking(Some(Effort::Low), None),
            Ok(r#""reasoning_effort":"low""#),
        ),
        (
            Dialect::TOGETHER,
            thinking(Some(Effort::None), None),
            no("together has no thinking effort none; it has low, medium, high"),
        ),
        (
            Dialect::GROQ,
            thinking(Some(Effort::Max), None),
            no("groq has no thinking effort max"),
        ),
        (PLAIN, thinking(None, None), no("acme has no thinking")),
        (
            PLAIN,
            thinking(Some(Effort::Low), None),
            no("acme has no thinking"),
        ),
        (
            budget,
            thinking(None, NINE_THOUSAND),
            Ok(r#""thinking_budget":9000"#),
        ),
        (
            budget,
            thinking(Some(Effort::Low), None),
            no("acme has no thinking effort; set budget_tokens"),
        ),
        (
            Dialect::OPENAI,
            thinking(None, NINE_THOUSAND),
            no("openai has no thinking budget_tokens; set an effort"),
        ),
        // Tools.
        (
            Dialect::OPENAI,
            choosing(ToolChoice::Required),
            Ok(r#""tool_choice":"required""#),
        ),
        (
            Dialect::MISTRAL,
            choosing(ToolChoice::Required),
            Ok(r#""tool_choice":"any""#),
        ),
        (
            nameless,
            choosing(ToolChoice::Required),
            no("acme has no tool_choice for any of the tools"),
        ),
        (
            nameless,
            choosing(ToolChoice::Tool("add".into())),
            no("acme has no tool_choice for one tool"),
        ),
        (
            nameless,
            choosing(ToolChoice::None),
            Ok(r#""tool_choice":"none""#),
        ),
        (PLAIN, choosing(ToolChoice::Auto), no("acme has no tools")),
        (PLAIN, called(), no("acme has no tool calls or results")),
        (Dialect::GROQ, strict_tool(true), Ok(r#""strict":true"#)),
        (
            Dialect::TOGETHER,
            strict_tool(true),
            no("together has no strict tools"),
        ),
        (
            Dialect::TOGETHER,
            strict_tool(false),
            Ok(r#""parameters":{"type":"object"}}}"#),
        ),
        (Dialect::GROQ, called(), Ok(r#""tool_call_id":"call_1""#)),
        (
            Dialect::MISTRAL,
            called(),
            Ok(r#""tool_call_id":"call01000""#),
        ),
        // Schemas.
        (
            Dialect::OPENAI,
            shaped(SchemaMode::Strict),
            Ok(
                r#"{"a":{"anyOf":[{"type":"string"}]}},"required":["a"],"additionalProperties":false},"strict":true"#,
            ),
        ),
        (
            Dialect::MISTRAL,
            shaped(SchemaMode::Strict),
            Ok(
                r#"{"a":{"oneOf":[{"type":"string"}]}},"required":["a"],"additionalProperties":false},"strict":true"#,
            ),
        ),
        (
            Dialect::TOGETHER,
            shaped(SchemaMode::Strict),
            Ok(r#""additionalProperties":false}}}"#),
        ),
        (
            Dialect::FIREWORKS,
            shaped(SchemaMode::Strict),
            Ok(r#""response_format":{"type":"json_object","schema":{"type":"object""#),
        ),
        (
            PLAIN,
            shaped(SchemaMode::Strict),
            no("acme takes no schema"),
        ),
        (
            PLAIN,
            shaped(SchemaMode::Lenient),
            Ok(r#""content":"hi"}]}"#),
        ),
        // Attachments.
        (
            Dialect::GROQ,
            bytes(Image, "image/png"),
            Ok(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,YWJj"}}"#),
        ),
        (
            Dialect::MISTRAL,
            bytes(Image, "image/png"),
            Ok(r#"{"type":"image_url","image_url":"data:image/png;base64,YWJj"}"#),
        ),
        (
            Dialect::XAI,
            bytes(Image, "image/webp"),
            no("xai takes no image/webp, only images of image/png, image/jpeg"),
        ),
        (PLAIN, bytes(Image, "image/png"), no("acme takes no images")),
        (
            Dialect::GROQ,
            file(Image, SourceView::File("f".into()), ""),
            no("groq takes no images by file id, only as bytes or by URL"),
        ),
        (
            Dialect::OPENAI,
            bytes(Document, "application/pdf"),
            Ok(
                r#"{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,YWJj"}}"#,
            ),
        ),
        (
            Dialect::MISTRAL,
            url(Document),
            Ok(r#"{"type":"document_url","document_url":"https://x.test/a"}"#),
        ),
        (
            Dialect::XAI,
            url(Document),
            Ok(r#"{"type":"file","file":{"url":"https://x.test/a"}}"#),
        ),
        (
            Dialect::XAI,
            bytes(Document, "application/pdf"),
            no("xai takes no documents as bytes, only by URL"),
        ),
        (Dialect::GROQ, url(Document), no("groq takes no documents")),
        (
            Dialect::OPENAI,
            bytes(Audio, "audio/wav"),
            Ok(r#"{"type":"input_audio","input_audio":{"data":"YWJj","format":"wav"}}"#),
        ),
        (
            Dialect::MISTRAL,
            bytes(Audio, "audio/wav"),
            Ok(r#"{"type":"input_audio","input_audio":"YWJj"}"#),
        ),
        (
            Dialect::TOGETHER,
            url(Audio),
            Ok(r#"{"type":"audio_url","audio_url":{"url":"https://x.test/a"}}"#),
        ),
        (
            Dialect::TOGETHER,
            url(Video),
            Ok(r#"{"type":"video_url","video_url":{"url":"https://x.test/a"}}"#),
        ),
        (Dialect::MISTRAL, url(Video), no("mistral takes no video")),
        // The service's own parameters.
        (PLAIN, set("own", json!(1)), Ok(r#""own":1"#)),
        (
            Dialect::GROQ,
            set("n", json!(2)),
            no("groq has no parameter \"n\""),
        ),
        (
            Dialect::GROQ,
            set("service_tier", json!("flex")),
            Ok(r#""service_tier":"flex""#),
        ),
        (
            only(Extras::Only(&["own"])),
            set("own", json!(1)),
            Ok(r#""own":1"#),
        ),
        (
            only(Extras::Only(&["own"])),
            set("other", json!(1)),
            no("acme has no parameter \"other\""),
        ),
        (
            Dialect::MISTRAL,
            set("model", json!("x")),
            no("\"model\" cannot be set here"),
        ),
        (
            PLAIN,
            set("stream", json!(true)),
            no("\"stream\": a batch cannot stream"),
        ),
    ] {
        let shown = format!("{} {view:?}", dialect.service);
        match (body(dialect, view), expected) {
            (Ok(body), Ok(part)) => assert!(body.contains(part), "{shown}\n{body}"),
            (Err(error), Err(words)) => {
                let kinds = [ErrorKind::Unsupported, ErrorKind::InvalidInput];
                assert!(kinds.contains(&error.kind()), "{shown}");
                let message = error.message().unwrap();
                assert!(message.contains(words), "{shown}\n{message}");
            }
            (found, _) => panic!("{shown}\n{found:?}"),
        }
    }
}

#[test]
fn a_lenient_schema_is_omitted_with_a_note_for_services_without_schemas() {
    let chat = Chat::new(Dialect::plain("acme"));
    let lenient = shaped(SchemaMode::Lenient).schema.unwrap();
    let notes = chat.schema_notes(lenient).unwrap();
    assert!(
        notes[0].contains("the schema is not sent (acme takes no schema)"),
        "{notes:?}"
    );
    let strict = shaped(SchemaMode::Strict).schema.unwrap();
    chat.schema_notes(strict).unwrap_err();
}

/// Finish reason, items in short, and the output and thinking tokens.
fn answered(dialect: Dialect, body: &Value) -> (FinishReason, String, Option<[u64; 2]>) {
    let text = body.to_string();
    let mut outline = Outline::new();
    let OutcomeView::Succeeded(output) = dialect.answer(outline.read(&text).unwrap()) else {
        panic!("{body} is an answer");
    };
    let items = output.items.iter().map(|item| match item {
        ItemView::Text(text) => text.decode().into_owned(),
        ItemView::Thinking(thinking) => {
            format!("({})", thinking.text.unwrap_or("".into()).decode())
        }
        ItemView::ToolCall(call) => format!("{}()", call.name.decode()),
        other => format!("{other:?}"),
    });
    let items = items.collect::<Vec<_>>().join(" ");
    let usage = output
        .usage
        .map(|usage| [usage.output_tokens, usage.thinking_tokens]);
    (output.finish_reason, items, usage)
}

#[test]
fn answers_are_read_in_the_words_of_each_service() {
    use FinishReason::{Length, Stop, ToolUse};
    let choice = |message: Value, finish: &str| json!({"choices": [{"message": message, "finish_reason": finish}]});
    let said = |finish: &str| choice(json!({"content": "x"}), finish);
    let chunks = json!({"content": [
        {"type": "thinking", "thinking": [{"type": "text", "text": "why"}, "so"]},
        {"type": "text", "text": "x"},
    ]});
    let calls = json!({"content": "", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]});
    let mut counted = said("stop");
    counted["usage"] = json!({"prompt_tokens": 1, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}});
    for (dialect, body, expected) in [
        (Dialect::OPENAI, said("stop"), (Stop, "x", None)),
        (Dialect::TOGETHER, said("eos"), (Stop, "x", None)),
        (Dialect::OPENAI, said("eos"), (Stop, "x", None)),
        (Dialect::MISTRAL, said("model_length"), (Length, "x", None)),
        (
            Dialect::MISTRAL,
            choice(chunks, "stop"),
            (Stop, "(why) (so) x", None),
        ),
        (
            Dialect::MISTRAL,
            choice(calls.clone(), "tool_calls"),
            (ToolUse, "f()", None),
        ),
        (Dialect::GROQ, choice(calls, "stop"), (ToolUse, "f()", None)),
        (
            Dialect::GROQ,
            choice(json!({"content": "x", "reasoning": "why"}), "stop"),
            (Stop, "(why) x", None),
        ),
        (
            Dialect::XAI,
            choice(json!({"content": "x", "reasoning_content": "why"}), "stop"),
            (Stop, "(why) x", None),
        ),
        (Dialect::OPENAI, counted.clone(), (Stop, "x", Some([5, 3]))),
        (Dialect::XAI, counted, (Stop, "x", Some([8, 3]))),
    ] {
        let (finish, items, usage) = answered(dialect, &body);
        assert_eq!(
            (finish, items.as_str(), usage),
            expected,
            "{} {body}",
            dialect.service
        );
    }
}

#[test]
fn rows_are_opened_in_the_form_of_each_service() {
    let answer = json!({"choices": [{"message": {"content": "x"}}]});
    let wrapped = json!({"custom_id": "a", "response": {"status_code": 200, "body": answer}});
    let bare = json!({"custom_id": "a", "response": answer, "error": null});
    let failed = json!({"custom_id": "a", "response": {"status_code": 400, "body": {"object": "error", "message": "no", "type": "invalid_request", "code": "3280"}}});
    let busy = json!({"custom_id": "a", "response": {"status_code": 429, "body": {"object": "error", "message": "no", "code": "3505"}}});
    let alone = json!({"custom_id": "a", "error": {"code": "batch_client_error", "message": "no"}});
    for (dialect, row, expected) in [
        (Dialect::GROQ, wrapped, Ok(())),
        (Dialect::FIREWORKS, bare.clone(), Ok(())),
        (
            Dialect::FIREWORKS,
            alone.clone(),
            Err((ErrorKind::GenerationFailed, false)),
        ),
        (
            Dialect::GROQ,
            bare,
            Err((ErrorKind::MalformedAnswer, false)),
        ),
        (
            Dialect::TOGETHER,
            alone,
            Err((ErrorKind::GenerationFailed, false)),
        ),
        (
            Dialect::MISTRAL,
            failed,
            Err((ErrorKind::InvalidInput, false)),
        ),
        (
            Dialect::MISTRAL,
            busy,
            Err((ErrorKind::ProviderOverloaded, true)),
        ),
    ] {
        let text = row.to_string();
        let mut outline = Outline::new();
        let opened = dialect.open(outline.read(&text).unwrap()).unwrap();
        assert_eq!(opened.id.unwrap().decode(), "a");
        let found = match opened.content {
            RowContent::Answer(raw) => {
                assert_eq!(raw.parse::<Value>().unwrap(), answer);
                Ok(())
            }
            RowContent::Ended(OutcomeView::Errored(failure)) => {
                Err((failure.kind, failure.retryable))
            }
            RowContent::Ended(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{} {row}", dialect.service);
    }
}

#[test]
fn errors_are_recognised_in_the_form_of_each_service_and_in_no_other() {
    let own = r#"{"error":{"message":"m","type":"t","code":"x"}}"#;
    let flat = r#"{"code":"invalid-argument","error":"Incorrect API key"}"#;
    let detail = r#"{"detail":[{"loc":["body","model"],"msg":"field required","type":"missing"}]}"#;
    let bare = r#"{"detail":"Not Found"}"#;
    let coded = r#"{"object":"error","message":"m","type":"invalid_model","code":"1500"}"#;
    let args = (ErrorKind::ProviderInvalidArgs, Retry::Permanent);
    for (dialect, status, body, recognised, (kind, retry), code) in [
        (Dialect::GROQ, 400, own, true, args, Some("x")),
        (
            Dialect::XAI,
            400,
            flat,
            true,
            args,
            Some("invalid-argument"),
        ),
        (Dialect::GROQ, 400, flat, false, args, None),
        (Dialect::MISTRAL, 422, detail, true, args, None),
        (Dialect::MISTRAL, 400, detail, false, args, None),
        (Dialect::MISTRAL, 422, bare, false, args, None),
        (Dialect::GROQ, 422, detail, false, args, None),
        (
            Dialect::MISTRAL,
            400,
            coded,
            true,
            (ErrorKind::ModelNotFound, Retry::Permanent),
            Some("1500"),
        ),
        (Dialect::GROQ, 400, coded, true, args, Some("1500")),
        (Dialect::XAI, 400, "<html>", false, args, None),
    ] {
        let told = dialect.classify_error(status, body.as_bytes());
        let found = (told.recognised, told.kind, told.retry, told.code.as_deref());
        assert_eq!(
            found,
            (recognised, kind, retry, code),
            "{} {body}",
            dialect.service
        );
    }
}

#[test]
fn a_raw_body_goes_as_it_is_where_the_service_has_its_endpoint() {
    let raw = |text: &'static str| {
        RequestView::Raw(RawView {
            model: None,
            endpoint: "/v1/embeddings".into(),
            body: Json::new(text).unwrap(),
        })
    };
    let dialect = Dialect::plain("acme");
    let request = raw(r#"{ "model":"e", "input":["a"] }"#);
    assert_eq!(
        dialect.model_of(&request, &["/v1/embeddings"]).unwrap(),
        "e"
    );
    let mut out = Vec::new();
    Chat::new(dialect).body(&request, &mut out).unwrap();
    assert_eq!(out, br#"{ "model":"e", "input":["a"] }"#);
    for (request, endpoints) in [
        (&request, &[][..]),
        (&request, &["/v1/chat/completions"]),
        (&raw(r#"{"input":["a"]}"#), &["/v1/embeddings"]),
    ] {
        dialect.model_of(request, endpoints).unwrap_err();
    }
}
