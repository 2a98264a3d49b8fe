//! Lines of every dialect, and the requests that are sent for them to every provider.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Cursor;

use lmbatch_core::{
    BatchCodec, ProviderFactory, RequestError, RequestSource as _, SourcedRequest, WireId,
};
use lmbatch_lines::{InputContext, InputLines};
use serde_json::{Value, json};

mod dialects;
mod media;
mod mutations;
mod refusals;
mod reports;
mod tools;

const ANTHROPIC: &str = "anthropic/claude-haiku-4-5";
const GOOGLE: &str = "google/gemini-2.5-flash";
const OPENAI: &str = "openai/m";

/// Returns the row that is sent for a line, or the reason of its refusal. A route may precede the model:
/// `chat@openai/m`.
fn sent(name: &str, line: &Value) -> Result<String, String> {
    let (provider, _) = provider_of(name);
    let (route, _) = name.split_once('@').unwrap_or((provider.routes()[0], ""));
    let endpoints = provider.codec(route).capabilities().raw_endpoints;
    sent_with(endpoints, name, &line.to_string())
}

/// Returns the row that is sent for a line that is translated for every provider, or the reason of its refusal.
fn translated(name: &str, line: &Value) -> Result<String, String> {
    sent_with(&[], name, &line.to_string())
}

/// Returns provider and model of `ROUTE@PROVIDER/MODEL`.
fn provider_of(name: &str) -> (Box<dyn ProviderFactory>, &str) {
    let (_, name) = name.split_once('@').unwrap_or(("", name));
    let (id, model) = name.split_once('/').unwrap();
    let provider = providers().into_iter().find(|one| one.id() == id);
    (provider.unwrap(), model)
}

fn sent_with(endpoints: &'static [&'static str], name: &str, line: &str) -> Result<String, String> {
    let (provider, model) = provider_of(name);
    let (route, _) = name.split_once('@').unwrap_or((provider.routes()[0], ""));
    let codec = provider.codec(route);
    let context = InputContext::new(provider.id(), model).with_raw_endpoints(endpoints);
    let mut found = Err("no request".to_owned());
    let mut visit = |sourced: SourcedRequest<'_>| {
        let encoded = sourced
            .entry
            .and_then(|entry| encoded(&*codec, &entry.request));
        found = encoded.map_err(|error| error.message().unwrap_or_default().to_owned());
    };
    let mut lines = InputLines::new(Cursor::new(line.to_owned()), context);
    while lines.next(&mut visit).unwrap() {}
    found
}

fn providers() -> [Box<dyn ProviderFactory>; 3] {
    [
        Box::new(lmbatch_openai::factory()),
        Box::new(lmbatch_anthropic::factory()),
        Box::new(lmbatch_google::factory()),
    ]
}

fn encoded(
    codec: &dyn BatchCodec,
    request: &lmbatch_core::RequestView<'_>,
) -> Result<String, RequestError> {
    let class = codec.class(request)?;
    let mut out = Vec::new();
    codec.encode(&class, &WireId::verbatim("id"), request, &mut out)?;
    let text = String::from_utf8(out).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(!text.contains('\n') && value.is_object());
    Ok(text)
}

/// Returns a batch line of `/v1/chat/completions`.
fn chat(messages: &Value) -> Value {
    json!({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": messages}})
}

/// Returns a batch line of `/v1/responses`.
fn responses(input: &Value) -> Value {
    json!({"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m", "input": input}})
}

fn own(part: &Value) -> Value {
    json!({"id": "a", "contents": ["x", part]})
}

/// Checks that each text of `expected` occurs in the sent row or, for a text with a leading `!`, in the reason of the
/// refusal.
fn check(model: &str, line: &Value, expected: &[&str]) {
    let found = sent(model, line);
    for text in expected {
        let fits = match text.strip_prefix('!') {
            Some(words) => found.as_ref().is_err_and(|why| why.contains(words)),
            None => found.as_ref().is_ok_and(|sent| sent.contains(text)),
        };
        assert!(fits, "{model}: {line}\nis {found:?}\nnot {text}");
    }
}

const JPEG: &str = "/9j/4AAQSkZJRgABAQ==";
const PNG: &str = "iVBORw0KGgoAAAANSUhEUg==";
const HEIC: &str = "AAAAGGZ0eXBoZWljAAAAAG1pZjFoZWlj";
const FLAC: &str = "ZkxhQwAAACIQABAAAAA=";
const PDF: &str = "JVBERi0xLjQK";
