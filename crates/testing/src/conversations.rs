//! One conversation for each feature of a request, to show how every adapter encodes it.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ContentView, Effort, GenerateView, Hyperparameters,
    JsonBuf, MessageView, ResponseSchema, Role, SourceView, Text, ThinkingOptions, ThinkingView,
    Tool, ToolCallView, ToolChoice, ToolResultView,
};
use serde_json::json;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const PDF: &[u8] = b"%PDF-1.7 x";

/// Returns one conversation for each feature of a request, by name.
pub fn conversations(model: &'static str) -> Vec<(&'static str, GenerateView<'static>)> {
    let new = |messages: Vec<MessageView<'static>>| GenerateView {
        model: Text::Plain(model),
        system: None,
        messages,
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    };
    let hello = || new(vec![user([text("hello")])]);
    let with = |contents: Vec<ContentView<'static>>| new(vec![user(contents)]);
    let tuned = |change: fn(&mut Hyperparameters)| {
        let mut view = hello();
        change(view.hyperparameters.to_mut());
        view
    };
    let thinking = |effort, budget_tokens| GenerateView {
        thinking: Some(leak(ThinkingOptions {
            effort,
            budget_tokens,
        })),
        ..hello()
    };
    let choosing = |choice| GenerateView {
        tools: tools(),
        tool_choice: Some(leak(choice)),
        ..hello()
    };
    let mut all = vec![
        ("text", hello()),
        (
            "unicode and escapes",
            with(vec![text("zwölf \"Boxkämpfer\"\n\t\u{1F600}\u{2028}")]),
        ),
        (
            "several texts",
            with(vec![text("one"), text(""), text("two")]),
        ),
        (
            "system first",
            GenerateView {
                system: Some("be brief".into()),
                ..hello()
            },
        ),
        (
            "system anywhere",
            GenerateView {
                system: Some("be brief".into()),
                ..new(vec![
                    turn(Role::System, [text("be kind")]),
                    user([text("hello")]),
                    turn(Role::Assistant, [text("hi")]),
                    turn(Role::System, [text("be quick")]),
                    user([text("well?")]),
                ])
            },
        ),
        (
            "several turns",
            new(vec![
                user([text("a")]),
                turn(Role::Assistant, [text("b")]),
                user([text("c")]),
            ]),
        ),
        (
            "the assistant's words last",
            new(vec![
                user([text("count")]),
                turn(Role::Assistant, [text("one, ")]),
            ]),
        ),
        (
            "tools",
            GenerateView {
                tools: tools(),
                ..hello()
            },
        ),
        ("tools if it likes", choosing(ToolChoice::Auto)),
        ("no tool", choosing(ToolChoice::None)),
        ("any tool", choosing(ToolChoice::Required)),
        ("this tool", choosing(ToolChoice::Tool("weather".into()))),
        (
            "tool results",
            GenerateView {
                tools: tools(),
                ..new(vec![
                    user([text("weather?")]),
                    turn(
                        Role::Assistant,
                        [
                            text("let me see"),
                            call("call_1", bonn()),
                            call(
                                "call_2",
                                Arguments::Quoted(Text::Plain(r#"{"city":"Köln"}"#)),
                            ),
                        ],
                    ),
                    user([
                        text("there:"),
                        result("call_1", Some("weather"), "sunny", false),
                        result("call_2", Some("weather"), "no such city", true),
                    ]),
                ])
            },
        ),
        (
            "tool result without its name",
            GenerateView {
                tools: tools(),
                ..new(vec![
                    user([text("weather?")]),
                    turn(Role::Assistant, [call("call_1", bonn())]),
                    user([result("call_1", None, "{\"sky\":\"blue\"}", false)]),
                ])
            },
        ),
        (
            "tool result of no call",
            new(vec![user([result("call_9", None, "sunny", false)])]),
        ),
        (
            "structured output",
            GenerateView {
                schema: Some(leak(ResponseSchema::named(
                    "weather",
                    &json!({"type": "object", "properties": {
                        "city": {"type": "string", "minLength": 1},
                        "degrees": {"type": ["number", "null"], "minimum": -90},
                        "winds": {"type": "array", "items": {"$ref": "#/$defs/wind"}, "maxItems": 3},
                    }, "required": ["city"], "$defs": {"wind": {"enum": ["north", "south"]}}}),
                ))),
                ..hello()
            },
        ),
        ("thinking: none", thinking(Some(Effort::None), None)),
        ("thinking: low", thinking(Some(Effort::Low), None)),
        ("thinking: max", thinking(Some(Effort::Max), None)),
        ("thinking: 2,000 tokens", thinking(None, Some(2000))),
        (
            "thoughts sent back",
            new(vec![
                user([text("why?")]),
                turn(
                    Role::Assistant,
                    [
                        ContentView::Thinking(ThinkingView {
                            text: Some("because".into()),
                            id: Some("rs_1".into()),
                            signature: Some("c2ln".into()),
                            data: Some("ZGF0YQ==".into()),
                        }),
                        ContentView::Thinking(ThinkingView {
                            text: Some("unsealed".into()),
                            ..ThinkingView::default()
                        }),
                        text("so"),
                    ],
                ),
                user([text("continue")]),
            ]),
        ),
        ("most tokens", tuned(|p| p.max_output_tokens = Some(99))),
        ("temperature", tuned(|p| p.temperature = Some(0.5))),
        (
            "top p and top k",
            tuned(|p| {
                p.top_p = Some(0.9);
                p.top_k = Some(40);
            }),
        ),
        (
            "stop texts",
            tuned(|p| p.stop = Some(vec!["END".into(), "\n".into()])),
        ),
        ("seed", tuned(|p| p.seed = Some(7))),
        (
            "penalties",
            tuned(|p| {
                p.presence_penalty = Some(0.1);
                p.frequency_penalty = Some(-0.2);
            }),
        ),
        (
            "parameters of its own",
            tuned(|p| {
                p.extra.insert("x_new".into(), json!({"a": [1]}));
            }),
        ),
    ];
    for (name, content) in attachments() {
        all.push((name, with(vec![text("look:"), content])));
    }
    all
}

fn attachments() -> Vec<(&'static str, ContentView<'static>)> {
    use AttachmentKind::{Audio, Document, Image, Video};
    let url = |url| SourceView::Url(Text::Plain(url));
    let id = |id| SourceView::File(Text::Plain(id));
    let bytes = |bytes: &'static [u8]| SourceView::Bytes(Cow::Borrowed(bytes));
    vec![
        ("image by bytes", file(Image, bytes(PNG), "image/png")),
        (
            "image by base64",
            file(Image, SourceView::Base64("QUJD".into()), "image/webp"),
        ),
        (
            "image by url",
            file(Image, url("https://example.com/a.png"), "image/png"),
        ),
        (
            "image by data url",
            file(Image, url("data:image/gif;base64,QUJD"), ""),
        ),
        ("image by file id", file(Image, id("file-1"), "image/png")),
        (
            "image of an odd type",
            file(Image, bytes(b"II*"), "image/tiff"),
        ),
        (
            "pdf by bytes",
            file(Document, bytes(PDF), "application/pdf"),
        ),
        (
            "pdf by url",
            file(
                Document,
                url("https://example.com/a.pdf"),
                "application/pdf",
            ),
        ),
        (
            "pdf by file id",
            file(Document, id("file-2"), "application/pdf"),
        ),
        (
            "text document",
            file(Document, bytes("naïve".as_bytes()), "text/csv"),
        ),
        ("audio by bytes", file(Audio, bytes(b"RIFF"), "audio/wav")),
        (
            "audio by url",
            file(Audio, url("https://example.com/a.mp3"), "audio/mpeg"),
        ),
        ("video by bytes", file(Video, bytes(b"ftyp"), "video/mp4")),
        ("video by file id", file(Video, id("file-3"), "video/mp4")),
    ]
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn tools() -> &'static [Tool] {
    let city =
        json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let weather = Tool::new("weather", &city).with_description("The weather in a city.");
    let strict = Tool {
        strict: Some(true),
        ..Tool::new(
            "now",
            &json!({"type": "object", "properties": {}, "additionalProperties": false}),
        )
    };
    leak(vec![weather, strict])
}

fn turn(role: Role, contents: impl Into<Vec<ContentView<'static>>>) -> MessageView<'static> {
    MessageView {
        role,
        contents: contents.into(),
    }
}

fn user(contents: impl Into<Vec<ContentView<'static>>>) -> MessageView<'static> {
    turn(Role::User, contents)
}

fn text(text: &'static str) -> ContentView<'static> {
    ContentView::Text(Text::Plain(text))
}

fn call(id: &'static str, arguments: Arguments<'static>) -> ContentView<'static> {
    ContentView::ToolCall(ToolCallView {
        id: id.into(),
        name: Text::Plain("weather"),
        arguments,
    })
}

fn bonn() -> Arguments<'static> {
    Arguments::Value(leak(JsonBuf::from_value(&json!({"city": "Bonn", "days": 3}))).as_json())
}

fn result(
    id: &'static str,
    name: Option<&'static str>,
    output: &'static str,
    is_error: bool,
) -> ContentView<'static> {
    ContentView::ToolResult(ToolResultView {
        id: Text::Plain(id),
        name: name.map(Text::Plain),
        output: Cow::Borrowed(output),
        attachments: Vec::new(),
        is_error,
    })
}

fn file(
    kind: AttachmentKind,
    source: SourceView<'static>,
    mime_type: &'static str,
) -> ContentView<'static> {
    ContentView::Attachment(AttachmentView {
        kind,
        source,
        mime_type: Some(mime_type)
            .filter(|mime| !mime.is_empty())
            .map(Text::Plain),
        filename: None,
    })
}
