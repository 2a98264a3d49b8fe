//! Clauses about the content of requests. Each sends one request with one feature and a unique value: either the value
//! is in what the provider receives, or `class` or `encode` refuses the request. A feature that is silently dropped
//! costs the price of an answer to another question. Part of edition 2026-11.

use std::borrow::Cow;

use lmbatch_core::{
    Arguments, AttachmentKind, AttachmentView, ContentView, ErrorKind, FinishReason, FollowUp,
    GenerateView, Hyperparameters, ItemView, JsonBuf, MessageView, OutputView, RawView,
    RequestView, ResponseSchema, Role, SourceView, Text, Tool, ToolCallView, ToolChoice,
    ToolResultView,
};
use serde_json::{Value, json};

use crate::canary::{beside, json as body};
use crate::kit::{Kit, prompt};

/// Canary in a form that every provider accepts as the id of a tool call.
const CALL: &str = "canary1Id";
/// Second canary in a form that every provider accepts as the id of a tool call.
const OTHER_CALL: &str = "canary2Id";

fn say(text: &str) -> ContentView<'_> {
    ContentView::Text(Text::Plain(text))
}

fn turn<'a>(role: Role, contents: impl Into<Vec<ContentView<'a>>>) -> MessageView<'a> {
    MessageView {
        role,
        contents: contents.into(),
    }
}

/// Each request is sent under its own id: the provider pairs ids with requests, and answers come back by id.
pub async fn each_request_is_sent_under_its_own_id(kit: &Kit) {
    let texts = [prompt(0), prompt(1), prompt(2)];
    let requests = texts.iter().map(|text| kit.question(text));
    let requests: Vec<_> = requests.map(RequestView::Generate).collect();
    let arrived = kit.arrives(&requests).await.expect("plain questions");
    for (place, text) in texts.iter().enumerate() {
        let id = format!("r{place}");
        let sent = arrived.sent.iter().find(|sent| sent.id == id);
        let sent = sent.unwrap_or_else(|| panic!("no request has the id {id}"));
        assert!(
            sent.body.to_string().contains(text),
            "the request under {id} does not ask {text:?}"
        );
    }
}

/// The model is sent: in each request, or once for the batch where requests of different models may not share a batch.
pub async fn the_model_is_sent(kit: &Kit) {
    let models = [kit.wire.model(), "model-of-the-second-canary"];
    let ask = |model| {
        RequestView::Generate(GenerateView {
            model: Text::Plain(model),
            ..kit.question("Hello!")
        })
    };
    let arrived = kit.arrives(&[ask(models[0])]).await;
    let arrived = arrived.expect("a plain question");
    assert!(arrived.holds_anywhere(models[0]), "no model is named");
    if let Some(second) = kit.arrives(&[ask(models[1])]).await {
        assert!(
            second.holds_anywhere(models[1]),
            "the second model is not named"
        );
    }
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let classes = models.map(|model| adapter.codec().class(&ask(model)));
    let [Ok(first), Ok(second)] = classes else {
        return;
    };
    if first == second {
        let both = kit.arrives(&[ask(models[0]), ask(models[1])]).await;
        let both = both.expect("both are of one class");
        for (sent, model) in both.sent.iter().zip(models) {
            let text = sent.body.to_string();
            assert!(text.contains(model), "{}: {model} is not named", sent.id);
        }
    }
}

/// The system prompt is sent.
pub async fn the_system_prompt_is_sent(kit: &Kit) {
    let view = GenerateView {
        system: Some(Text::Plain("system-canary")),
        ..kit.question("Hello!")
    };
    kit.must_arrive("system", view, &["system-canary"]).await;
}

/// System messages are sent together with the system prompt, wherever they stand in the conversation.
pub async fn system_messages_of_the_conversation_are_sent(kit: &Kit) {
    let view = GenerateView {
        system: Some(Text::Plain("system-canary-1")),
        messages: vec![
            turn(Role::System, [say("system-canary-2")]),
            turn(Role::User, [say("Hello!")]),
            turn(Role::Assistant, [say("Hello.")]),
            turn(Role::System, [say("system-canary-3")]),
            turn(Role::User, [say("Well?")]),
        ],
        ..kit.question("")
    };
    let canaries = ["system-canary-1", "system-canary-2", "system-canary-3"];
    kit.must_arrive("a system message", view, &canaries).await;
}

/// Every turn of a conversation is sent, in order.
pub async fn every_turn_is_sent_in_order(kit: &Kit) {
    let canaries = ["turn-1-canary", "turn-2-canary", "turn-3-canary"];
    let roles = [Role::User, Role::Assistant, Role::User];
    let turns = canaries.iter().zip(roles);
    let view = GenerateView {
        messages: turns.map(|(text, role)| turn(role, [say(text)])).collect(),
        ..kit.question("")
    };
    if let Some(arrived) = kit.arrives_alone(view).await {
        let places = canaries.map(|canary| arrived.place(canary));
        assert!(places.iter().all(Option::is_some), "a turn is left out");
        assert!(places.is_sorted(), "the turns are in another order");
    }
}

/// Every turn is sent with its role: a conversation in which the model spoke is encoded differently from one in which
/// the user spoke.
pub async fn every_turn_is_sent_with_its_role(kit: &Kit) {
    let talk = |second| GenerateView {
        messages: vec![
            turn(Role::User, [say("one")]),
            turn(second, [say("two")]),
            turn(Role::User, [say("three")]),
        ],
        ..kit.question("")
    };
    let spoken = kit.arrives_alone(talk(Role::Assistant)).await;
    let asked = kit.arrives_alone(talk(Role::User)).await;
    if let (Some(spoken), Some(asked)) = (spoken, asked) {
        assert_ne!(spoken.body(), asked.body(), "the role is left out");
    }
}

/// Every text of a turn is sent, in order.
pub async fn every_text_of_a_turn_is_sent(kit: &Kit) {
    let canaries = ["text-1-canary", "text-2-canary", "text-3-canary"];
    let view = GenerateView {
        messages: vec![turn(Role::User, canaries.map(say))],
        ..kit.question("")
    };
    if let Some(arrived) = kit.arrives_alone(view).await {
        let places = canaries.map(|canary| arrived.place(canary));
        assert!(places.iter().all(Option::is_some), "a text is left out");
        assert!(places.is_sorted(), "the texts are in another order");
    }
}

/// Images are sent, whether as bytes, URL or file id, in a user's message or in a tool result, and so is the text next
/// to them.
pub async fn images_are_sent(kit: &Kit) {
    let bytes = b"\x89PNG\r\n\x1a\nimage-canary-of-bytes";
    attached(kit, AttachmentKind::Image, bytes, "image/png").await;
}

/// Documents (PDF or text) are sent, whether as bytes, URL or file id, in a user's message or in a tool result.
pub async fn documents_are_sent(kit: &Kit) {
    let bytes = b"%PDF-1.7 document-canary-of-bytes";
    attached(kit, AttachmentKind::Document, bytes, "application/pdf").await;
    let bytes = b"document-canary,of,words";
    attached(kit, AttachmentKind::Document, bytes, "text/csv").await;
}

/// Audio and video are sent.
pub async fn audio_and_video_are_sent(kit: &Kit) {
    let bytes = b"RIFF\x24\0\0\0WAVEfmt sound-canary-of-bytes";
    attached(kit, AttachmentKind::Audio, bytes, "audio/wav").await;
    let bytes = b"\0\0\0\x18ftypmp42film-canary-of-bytes";
    attached(kit, AttachmentKind::Video, bytes, "video/mp4").await;
}

async fn attached(kit: &Kit, kind: AttachmentKind, bytes: &[u8], mime: &str) {
    let mut base64 = Vec::new();
    SourceView::Bytes(Cow::Borrowed(bytes)).write_base64(&mut base64);
    let base64 = String::from_utf8(base64).expect("base64 is text");
    let text = String::from_utf8_lossy(bytes);
    // The last bytes, which are plain text throughout.
    let end = &text[text.len() - 12..];
    let data_url = format!("data:{mime};base64,{base64}");
    for (source, canary) in [
        (SourceView::Bytes(Cow::Borrowed(bytes)), end),
        (SourceView::Base64(Text::Plain(&base64)), end),
        (SourceView::Url(Text::Plain(&data_url)), end),
        (
            SourceView::Url(Text::Plain("https://example.com/url-canary.bin")),
            "https://example.com/url-canary.bin",
        ),
        (
            SourceView::File(Text::Plain("file-id-canary")),
            "file-id-canary",
        ),
    ] {
        let what = format!("{kind:?} by {source:?}");
        let attachment = AttachmentView {
            kind,
            source,
            mime_type: Some(Text::Plain(mime)),
            filename: Some(Text::Plain("name.bin")),
        };
        let mut messages = called(false, &[(CALL, "output-canary"), (OTHER_CALL, "rain")]);
        if let Some(ContentView::ToolResult(result)) = messages[2].contents.first_mut() {
            result.attachments.push(attachment.clone());
        }
        let tools = tools();
        let given = GenerateView {
            messages,
            tools: &tools,
            ..kit.question("")
        };
        let by_a_tool = format!("{what} from a tool");
        kit.must_arrive(&by_a_tool, given, &[canary, "output-canary"])
            .await;
        let said = [say("beside-canary"), ContentView::Attachment(attachment)];
        let view = GenerateView {
            messages: vec![turn(Role::User, said)],
            ..kit.question("")
        };
        kit.must_arrive(&what, view, &[canary, "beside-canary"])
            .await;
    }
}

fn tools() -> [Tool; 2] {
    let tool = |name: &str, property: &str| {
        let parameters = json!({
            "type": "object", "properties": {(property): {"type": "string"}},
            "required": [property], "additionalProperties": false,
        });
        Tool::new(name, &parameters).with_description(format!("{name}_description"))
    };
    [
        tool("tool_1_canary", "x_canary"),
        tool("tool_2_canary", "y_canary"),
    ]
}

/// Every tool is sent with its name, its description and the schema of its arguments.
pub async fn tools_are_sent(kit: &Kit) {
    let tools = tools();
    let view = GenerateView {
        tools: &tools,
        ..kit.question("Hello!")
    };
    let canaries = [
        "tool_1_canary",
        "tool_1_canary_description",
        "x_canary",
        "tool_2_canary",
        "tool_2_canary_description",
        "y_canary",
    ];
    kit.must_arrive("a tool", view, &canaries).await;
}

/// The tool choice is sent: none, automatic, any, or one tool by its name.
pub async fn the_tool_choice_is_sent(kit: &Kit) {
    let tools = tools();
    let choices = [
        ToolChoice::Tool("tool_1_canary".into()),
        ToolChoice::Tool("tool_2_canary".into()),
        ToolChoice::Required,
        ToolChoice::None,
        ToolChoice::Auto,
    ];
    let mut arrived = Vec::new();
    for choice in &choices {
        let view = GenerateView {
            tools: &tools,
            tool_choice: Some(choice),
            ..kit.question("Hello!")
        };
        if let Some(one) = kit.arrives_alone(view).await {
            let same = arrived.iter().find(|(_, body)| body == one.body());
            let same = same.map(|(other, _)| other);
            assert_eq!(same, None, "another tool choice is encoded like {choice:?}");
            arrived.push((choice, one.body().clone()));
        }
    }
}

/// A model turn with tool calls, and the turn with their results.
fn called<'a>(failed: bool, results: &[(&'a str, &'a str)]) -> Vec<MessageView<'a>> {
    let call = |id: &'static str, arguments: &'static str| {
        ContentView::ToolCall(ToolCallView {
            id: id.into(),
            name: Text::Plain("tool_1_canary"),
            arguments: Arguments::Value(body(arguments)),
        })
    };
    let results = results.iter().map(|(id, output)| {
        ContentView::ToolResult(ToolResultView {
            id: Text::Plain(id),
            name: Some(Text::Plain("tool_1_canary")),
            output: (*output).into(),
            attachments: Vec::new(),
            is_error: failed,
        })
    });
    vec![
        turn(Role::User, [say("Hello!")]),
        turn(
            Role::Assistant,
            [
                call(CALL, r#"{"x_canary":"argument-1-canary"}"#),
                call(OTHER_CALL, r#"{"x_canary":"argument-2-canary"}"#),
            ],
        ),
        turn(Role::User, results.collect::<Vec<_>>()),
    ]
}

/// Tool calls of earlier model turns are sent, each with its id, tool name and arguments.
pub async fn tool_calls_are_sent(kit: &Kit) {
    let tools = tools();
    let view = GenerateView {
        messages: called(false, &[(CALL, "sun"), (OTHER_CALL, "rain")]),
        tools: &tools[1..],
        ..kit.question("")
    };
    if let Some(arrived) = kit.arrives_alone(view).await {
        for (argument, id) in [
            ("argument-1-canary", CALL),
            ("argument-2-canary", OTHER_CALL),
        ] {
            let ids = beside(arrived.body(), argument, &[CALL, OTHER_CALL]);
            assert_eq!(ids, [id], "the call with {argument:?} must carry its id");
            let tools = beside(arrived.body(), argument, &["tool_1_canary"]);
            assert_eq!(tools, ["tool_1_canary"], "the call must name its tool");
        }
    }
}

/// Tool results are sent, each under the id of its call.
pub async fn tool_results_are_sent_with_their_call_ids(kit: &Kit) {
    let tools = tools();
    let results = [(OTHER_CALL, "output-2-canary"), (CALL, "output-1-canary")];
    let view = GenerateView {
        messages: called(false, &results),
        tools: &tools,
        ..kit.question("")
    };
    if let Some(arrived) = kit.arrives_alone(view).await {
        for (id, output) in results {
            assert!(arrived.holds(output), "{output:?} is left out");
            let ids = beside(arrived.body(), output, &[CALL, OTHER_CALL]);
            assert_eq!(
                ids,
                [id],
                "{output:?} must be sent as the result of its call"
            );
        }
    }
}

/// A failed tool result is sent as failed: it is encoded differently from a successful result with the same text.
pub async fn a_failed_tool_result_is_sent_as_failed(kit: &Kit) {
    let tools = tools();
    let view = |failed| GenerateView {
        messages: called(failed, &[(CALL, "output-canary"), (OTHER_CALL, "rain")]),
        tools: &tools,
        ..kit.question("")
    };
    if let Some(failed) = kit.arrives_alone(view(true)).await {
        assert!(
            failed.holds("output-canary"),
            "the text of the result is left out"
        );
        let succeeded = kit.arrives_alone(view(false)).await;
        let succeeded = succeeded.map(|arrived| arrived.body().clone());
        assert_ne!(
            succeeded.as_ref(),
            Some(failed.body()),
            "the failed result is sent as a success"
        );
    }
}

/// The schema of a structured answer is sent: its properties at any depth and their allowed values.
pub async fn the_schema_of_a_structured_answer_is_sent(kit: &Kit) {
    let schema = ResponseSchema {
        name: "schema_canary".to_owned(),
        schema: JsonBuf::from_value(&json!({
            "type": "object",
            "properties": {
                "outer_canary": {
                    "type": "object",
                    "properties": {"inner_canary": {"type": "string", "enum": ["value_canary"]}},
                    "required": ["inner_canary"],
                    "additionalProperties": false,
                },
            },
            "required": ["outer_canary"],
            "additionalProperties": false,
        })),
        mode: lmbatch_core::SchemaMode::Strict,
    };
    let view = GenerateView {
        schema: Some(&schema),
        ..kit.question("Hello!")
    };
    let canaries = ["outer_canary", "inner_canary", "value_canary"];
    kit.must_arrive("the schema", view, &canaries).await;
}

/// A raw body in the provider's own format is sent byte for byte, for every declared endpoint.
pub async fn a_raw_body_is_sent_byte_for_byte(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let codec = adapter.codec();
    // The adapter's own body, which the provider accepts, with one more member.
    let plain = RequestView::Generate(kit.question("Hello!"));
    let class = codec.class(&plain).expect("a plain question");
    let mut own = Vec::new();
    let written = codec.body(&class, &plain, &mut own);
    written.expect("a plain question");
    let own = String::from_utf8(own).expect("JSON is text");
    let own = own.strip_prefix('{').expect("a body is an object");
    let text = format!("{{\"z\":1.50,\"x\":\"raw-canary \\u00e4\\/\",\"a\":[1e2,null,{{}}],{own}");
    for endpoint in codec.capabilities().raw_endpoints {
        let raw = RequestView::Raw(RawView {
            model: Some(Text::Plain(kit.wire.model())),
            endpoint: Text::Plain(endpoint),
            body: body(&text),
        });
        let arrived = kit.arrives(&[raw]).await;
        let arrived = arrived.expect("a declared endpoint is taken");
        let bytes = text.as_bytes();
        let mut bodies = arrived.requests.iter();
        let whole = bodies.any(|(_, body)| body.windows(bytes.len()).any(|part| part == bytes));
        assert!(whole, "{endpoint}: the body was changed");
    }
}

/// An id of the maximum declared length is accepted by the provider.
pub async fn the_longest_declared_id_is_accepted(kit: &Kit) {
    let desk = kit.desk().await;
    let rule = kit.adapter(&desk).codec().capabilities().wire_ids;
    let long = "i".repeat(rule.max_chars.min(5_000));
    let open = kit.open(&[&long]).await;
    assert_eq!(
        open.wire_ids,
        [long],
        "an allowed id must be sent unchanged"
    );
}

/// A continued conversation is the longer conversation: an encoded body with an answer and a message added is the body
/// of the conversation with these two turns, with any other options of the request. An adapter that cannot continue
/// conversations refuses every body, the empty one included, as unsupported.
pub async fn a_continued_conversation_is_the_longer_conversation(kit: &Kit) {
    let (pieces, message) = (["{\"a\":", "\"\u{e4}\\n\"}"], "At /a: \"wrong\"\nAgain.");
    let answer = OutputView::from_items(
        pieces.map(|piece| ItemView::Text(piece.into())).to_vec(),
        FinishReason::Stop,
    );
    let said = pieces.concat();
    let schema = ResponseSchema::new(&json!({
        "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false,
    }));
    let short = GenerateView {
        messages: vec![
            turn(Role::User, [say("first")]),
            turn(Role::Assistant, [say("second")]),
            turn(Role::User, [say("third \"quoted\"]}")]),
        ],
        ..kit.question("")
    };
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let codec = adapter.codec();
    for view in [
        kit.question("Hello!"),
        short.clone(),
        GenerateView {
            system: Some("Be brief.".into()),
            ..short.clone()
        },
        GenerateView {
            schema: Some(&schema),
            hyperparameters: Cow::Owned(Hyperparameters {
                max_output_tokens: Some(64),
                ..Hyperparameters::default()
            }),
            ..short
        },
    ] {
        let mut longer = view.clone();
        longer.messages.push(turn(Role::Assistant, [say(&said)]));
        longer.messages.push(turn(Role::User, [say(message)]));
        let [view, longer] = [view, longer].map(RequestView::Generate);
        let (mut body, mut expected) = (Vec::new(), Vec::new());
        let Ok(class) = codec.class(&view) else {
            continue;
        };
        // An adapter may refuse the schema or an option.
        if codec.body(&class, &view, &mut body).is_err()
            || codec.body(&class, &longer, &mut expected).is_err()
        {
            continue;
        }
        let body = String::from_utf8(body).expect("JSON is text");
        let continued = |body: &str| {
            let mut out = b"before".to_vec();
            let turns = FollowUp::new(&answer, message);
            let done = codec.follow_up(&class, body, &turns, &mut out);
            let rest = out.strip_prefix(b"before").expect("the buffer is kept");
            (done.map_err(|error| error.kind()), rest.to_vec())
        };
        let (empty, rest) = continued("{}");
        assert!(
            empty.is_err() && rest.is_empty(),
            "an empty body: {empty:?}"
        );
        match continued(&body) {
            (Ok(()), found) => {
                assert_ne!(empty, Err(ErrorKind::Unsupported), "an empty body");
                let [found, expected] = [&found, &expected]
                    .map(|body| serde_json::from_slice::<Value>(body).expect("a body is JSON"));
                assert_eq!(found, expected, "the continued body");
            }
            (Err(kind), rest) => {
                assert_eq!(kind, ErrorKind::Unsupported);
                assert_eq!((empty, rest), (Err(kind), Vec::new()), "an empty body");
            }
        }
    }
}
