//! Translation of one request and of one row of results, without a network.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::borrow::Cow;

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_core::{
    BatchId, BatchProvider as _, ContentView, GenerateView, Hyperparameters, MessageView,
    RequestView, ResultPart, Role, RowReader, Text, Verdict, WireId,
};
use lmbatch_google::Google;

/// Repeated in each text, as JSON: words, escapes, and letters that are not ASCII.
const SENTENCE: &str = r#"The committee \"agreed\" on three points:\n- the café in Zürich stays open,\n- 漢字 are \u00e9qually fine, and\n- the path C:\\data is kept. "#;

/// Row of results around the text of its answer.
const BEFORE: &str =
    r#"{"key":"request-1","response":{"candidates":[{"content":{"role":"model","parts":[{"text":""#;
const AFTER: &str = r#""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":250,"candidatesTokenCount":250,"totalTokenCount":500,"promptTokensDetails":[{"modality":"TEXT","tokenCount":250}]},"modelVersion":"m-001","responseId":"r1"}}"#;

fn main() {
    divan::main();
}

fn provider() -> Google {
    Google::builder().api_key("k").build().unwrap()
}

/// Returns a JSON string of about one kilobyte.
fn prompt() -> String {
    format!("\"{}\"", SENTENCE.repeat(7))
}

/// Returns a row of about 1.5 KB.
fn row() -> String {
    format!("{BEFORE}{}{AFTER}", SENTENCE.repeat(7))
}

fn request(prompt: Text<'_>) -> RequestView<'_> {
    RequestView::Generate(GenerateView {
        model: Text::Plain("gemini-2.5-flash"),
        system: None,
        messages: vec![MessageView {
            role: Role::User,
            contents: vec![ContentView::Text(prompt)],
        }],
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters {
            max_output_tokens: Some(500),
            ..Hyperparameters::default()
        }),
    })
}

/// Encodes a request with its head, body and tail; counts the bytes that are written.
fn encode(bencher: Bencher<'_, '_>, prompt: Text<'_>) {
    let (provider, request) = (provider(), request(prompt));
    let codec = provider.codec();
    let class = codec.class(&request).unwrap();
    let id = WireId::verbatim("request-1");
    let mut out = Vec::new();
    codec.encode(&class, &id, &request, &mut out).unwrap();
    let size = BytesCount::new(out.len());
    bencher.counter(size).bench_local(|| {
        out.clear();
        codec.encode(&class, &id, &request, &mut out).unwrap();
        divan::black_box(&out);
    });
}

/// The prompt is JSON already, as in an input line.
#[divan::bench]
fn encode_json_text(bencher: Bencher<'_, '_>) {
    let prompt = prompt();
    encode(bencher, serde_json::from_str(&prompt).unwrap());
}

/// The prompt is a string of the program, which is escaped on the way.
#[divan::bench]
fn encode_plain_text(bencher: Bencher<'_, '_>) {
    let prompt: String = serde_json::from_str(&prompt()).unwrap();
    encode(bencher, Text::Plain(&prompt));
}

/// Finds the structure of a row, its id and its verdict.
#[divan::bench]
fn scan_row(bencher: Bencher<'_, '_>) {
    let (provider, row) = (provider(), row());
    let part = ResultPart::mixed(&BatchId::new("b"), "part", "file");
    let mut reader = RowReader::new();
    let size = BytesCount::new(row.len());
    bencher.counter(size).bench_local(|| {
        let row = reader.read(row.as_bytes());
        let scanned = provider.codec().scan(&part, row).unwrap();
        assert_eq!(scanned.verdict, Verdict::Succeeded);
    });
}

/// Finds the structure of a row and reads all of it, the answer included.
#[divan::bench]
fn decode_row(bencher: Bencher<'_, '_>) {
    let (provider, row) = (provider(), row());
    let part = ResultPart::mixed(&BatchId::new("b"), "part", "file");
    let mut reader = RowReader::new();
    let size = BytesCount::new(row.len());
    bencher.counter(size).bench_local(|| {
        let row = reader.read(row.as_bytes());
        let decoded = provider.codec().decode(&part, row).unwrap();
        assert_eq!(decoded.outcome.verdict(), Verdict::Succeeded);
        divan::black_box(decoded);
    });
}
