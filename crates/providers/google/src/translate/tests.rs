#![expect(clippy::needless_pass_by_value, reason = "cases are written as values")]

use lmbatch_core::{
    AttachmentKind, AttachmentView, BatchId, ContentView, GenerateView, PartRole, RowReader,
    SourceView, Text, Verdict,
};
use lmbatch_testing::{conversations, show_requests, show_rows};
use serde_json::{Value, json};

use super::*;

mod calls;
mod cases;
mod kept;

fn codec(route: Route) -> GoogleCodec {
    GoogleCodec::new(&GoogleConfig {
        route,
        ..GoogleConfig::default()
    })
}

fn part(shape: &str) -> ResultPart {
    ResultPart {
        batch: BatchId::new("batches/b"),
        name: "files/batch-b".into(),
        role: PartRole::Mixed,
        shape: shape.into(),
        bytes: None,
    }
}

#[test]
fn requests_in_files() {
    let requests = conversations("gemini-2.5-flash");
    insta::assert_snapshot!(show_requests(&codec(Route::File), requests));
}

#[test]
fn requests_inline() {
    let requests = conversations("gemini-3-flash");
    insta::assert_snapshot!(show_requests(&codec(Route::Inline), requests));
}

fn keyed(response: Value) -> String {
    json!({"response": response, "key": "a"}).to_string()
}

fn answered(parts: Value, reason: Value) -> String {
    keyed(json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": reason, "index": 0}],
        "usageMetadata": {"promptTokenCount": 13, "candidatesTokenCount": 1, "totalTokenCount": 14},
        "modelVersion": "gemini-2.5-flash", "responseId": "r",
    }))
}

fn errored(error: Value) -> String {
    json!({"key": "a", "error": error}).to_string()
}

#[test]
fn rows() {
    let hi = || json!([{"text": "hi"}]);
    let rows = vec![
        ("an answer in a file", answered(hi(), json!("STOP"))),
        (
            "an answer inline",
            json!({"response": {"candidates": [{"content": {"parts": hi()}, "finishReason": "STOP"}]}, "metadata": {"key": "a/ü", "x": 1}})
                .to_string(),
        ),
        (
            "all usage",
            keyed(json!({"candidates": [{"content": {"parts": hi()}}], "usageMetadata": {
                "promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 5, "thoughtsTokenCount": 43,
                "toolUsePromptTokenCount": 7, "totalTokenCount": 155, "serviceTier": "standard",
                "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 70}, {"modality": "AUDIO", "tokenCount": 30}],
            }})),
        ),
        (
            "every part",
            answered(
                json!([
                    {"text": "hm", "thought": true},
                    {"text": "so", "thoughtSignature": "c2ln"},
                    {"functionCall": {"id": "c1", "name": "weather", "args": {"city": "Köln"}}, "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "now"}},
                    {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"text": ""},
                    {"thoughtSignature": "ZW5k"},
                    "odd",
                ]),
                json!("STOP"),
            ),
        ),
        (
            "citations and another candidate",
            keyed(json!({"candidates": [
                {"content": {"parts": hi()}, "finishReason": "STOP", "citationMetadata": {"citationSources": [1]}, "groundingMetadata": {"x": 1}},
                {"content": {"parts": hi()}, "finishReason": "STOP"},
            ]})),
        ),
        ("too long", answered(hi(), json!("MAX_TOKENS"))),
        ("unsafe", answered(json!([]), json!("SAFETY"))),
        ("recited", answered(hi(), json!("RECITATION"))),
        ("to be continued", answered(hi(), json!("CONTINUATION"))),
        ("a bad call", answered(json!([]), json!("MALFORMED_FUNCTION_CALL"))),
        ("no content", keyed(json!({"candidates": [{"finishReason": "OTHER"}]}))),
        ("nothing said", answered(json!([]), json!("STOP"))),
        (
            "a blocked prompt",
            keyed(json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 5}})),
        ),
        ("invalid", errored(json!({"code": 3, "message": "m"}))),
        ("exhausted", errored(json!({"code": 8, "message": "m"}))),
        ("internal", errored(json!({"code": 13, "message": "m", "details": [1]}))),
        ("a code of http", errored(json!({"code": 429, "message": "m"}))),
        ("cancelled", errored(json!({"code": 1, "message": "m"}))),
        ("an error of another shape", errored(json!("m"))),
        ("a status", json!({"key": "a", "status": {"code": 14, "message": "m"}}).to_string()),
        ("neither", r#"{"key":"a"}"#.to_owned()),
        ("both null", r#"{"key":"a","response":null,"error":null}"#.to_owned()),
        ("an empty response", keyed(json!({}))),
        ("a response of another shape", keyed(json!([1]))),
        ("no key", json!({"response": {"candidates": [{"content": {"parts": hi()}}]}}).to_string()),
        ("a key that is no text", json!({"key": 7, "error": {"code": 13}}).to_string()),
        ("metadata without a key", json!({"metadata": {"custom_id": "0"}, "error": {"code": 13}}).to_string()),
        ("cut short", r#"{"key":"a","respo"#.to_owned()),
        ("no object", "[]".to_owned()),
    ];
    insta::assert_snapshot!(show_rows(&codec(Route::File), &part("file"), rows));
}

#[test]
fn a_row_that_is_not_text_cannot_be_read() {
    assert!(
        codec(Route::File)
            .scan(&part("file"), RowReader::new().read(b"{\"key\":\"\xff\"}"))
            .is_err()
    );
}

#[test]
fn scan_does_not_parse_the_answer() {
    let (codec, part) = (codec(Route::Inline), part("inline"));
    let row = keyed(json!({"candidates": []}));
    let mut rows = RowReader::new();
    let row = rows.read(row.as_bytes());
    assert_eq!(codec.scan(&part, row).unwrap().verdict, Verdict::Succeeded);
    let decoded = codec.decode(&part, row).unwrap();
    assert_eq!(decoded.outcome.verdict(), Verdict::Errored);
}

fn hello() -> GenerateView<'static> {
    conversations("models/gemini-2.5-flash").swap_remove(0).1
}

#[test]
fn a_frame_makes_the_whole_create_of_inline_requests() {
    let codec = codec(Route::Inline);
    let request = RequestView::Generate(hello());
    let class = codec.class(&request).unwrap();
    assert_eq!(class.model.as_deref(), Some("gemini-2.5-flash"));
    let frame = codec.frame(&class, &Label::new("lmbatch-n-0"));
    let mut body = frame.prefix.to_vec();
    codec
        .encode(&class, &WireId::verbatim("ü/1"), &request, &mut body)
        .unwrap();
    body.extend_from_slice(&frame.suffix);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body,
        json!({"batch": {"displayName": "lmbatch-n-0", "model": "models/gemini-2.5-flash", "inputConfig": {"requests": {"requests": [
            {"request": {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}, "metadata": {"key": "ü/1"}},
        ]}}}})
    );
}

fn body(config: &GoogleConfig, view: GenerateView<'_>) -> Result<Value, String> {
    let codec = GoogleCodec::new(config);
    let request = RequestView::Generate(view);
    let mut out = Vec::new();
    let encoded = codec
        .class(&request)
        .and_then(|class| codec.encode(&class, &WireId::verbatim("i"), &request, &mut out));
    encoded.map_err(|error| error.message().unwrap().to_owned())?;
    let mut line: Value = serde_json::from_slice(&out).unwrap();
    Ok(line["request"].take())
}

#[test]
fn schemas_go_in_the_field_that_was_chosen() {
    let schema = lmbatch_core::ResponseSchema::named("n", &json!({"type": "string"}));
    for (route, field, name, expected) in [
        (
            Route::File,
            SchemaField::ByRoute,
            "response_json_schema",
            "string",
        ),
        (
            Route::File,
            SchemaField::OpenApi,
            "response_schema",
            "STRING",
        ),
        (
            Route::Inline,
            SchemaField::ByRoute,
            "responseSchema",
            "STRING",
        ),
        (
            Route::Inline,
            SchemaField::JsonSchema,
            "responseJsonSchema",
            "string",
        ),
    ] {
        let config = GoogleConfig {
            route,
            schema_field: field,
            ..GoogleConfig::default()
        };
        let view = GenerateView {
            schema: Some(&schema),
            ..hello()
        };
        let body = body(&config, view).unwrap();
        let generation = body
            .get("generationConfig")
            .or(body.get("generation_config"))
            .unwrap();
        assert_eq!(generation[name]["type"], expected);
    }
}

#[test]
fn safety_settings_and_parameters_of_ones_own_are_sent_in_the_routes_spelling() {
    let config = GoogleConfig {
        safety_settings: vec![SafetySetting::new("HARM_CATEGORY_HARASSMENT", "OFF")],
        ..GoogleConfig::default()
    };
    let mut view = hello();
    let parameters = view.hyperparameters.to_mut();
    parameters.temperature = Some(0.5);
    for (path, value) in [
        ("generationConfig.responseModalities", json!(["TEXT"])),
        ("generation_config.temperature", json!(1)),
        ("labels.team", json!("red")),
    ] {
        parameters.set(path, value).unwrap();
    }
    assert_eq!(
        body(&config, view).unwrap(),
        json!({
            "contents": [{"role": "user", "parts": [{"text": "hello"}]}],
            "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
            "generation_config": {"temperature": 1, "response_modalities": ["TEXT"]},
            "labels": {"team": "red"},
        })
    );
}

#[test]
fn options_that_google_lacks_are_refused_by_name() {
    let usual = GoogleConfig::default();
    let with = |change: fn(&mut GenerateView<'_>)| {
        let mut view = hello();
        change(&mut view);
        body(&usual, view).unwrap_err()
    };
    for (words, refusal) in [
        (
            "at most 5 stop texts",
            with(|view| view.hyperparameters.to_mut().stop = Some(vec!["x".into(); 6])),
        ),
        (
            "32 bits",
            with(|view| view.hyperparameters.to_mut().seed = Some(1 << 40)),
        ),
        (
            "takes no application/msword",
            with(|view| {
                view.messages[0].contents = vec![ContentView::Attachment(AttachmentView {
                    kind: AttachmentKind::Document,
                    source: SourceView::Bytes(b"x".as_slice().into()),
                    mime_type: Some(Text::Plain("application/msword")),
                    filename: None,
                })];
            }),
        ),
        (
            "nothing that can be sent",
            with(|view| view.messages[0].contents.clear()),
        ),
        ("besides the system's", with(|view| view.messages.clear())),
        ("has no name", with(|view| view.model = "models/".into())),
        (
            "\"model\" cannot be set here",
            with(|view| {
                view.hyperparameters
                    .to_mut()
                    .extra
                    .insert("model".into(), json!("x"));
            }),
        ),
    ] {
        assert!(refusal.contains(words), "{refusal}");
    }
}
