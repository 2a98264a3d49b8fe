//! Answers that a program gives in place of the emulated model.

mod plain_http;

use lmbatch_emulator::{Emulator, Prompt};
use serde_json::{Value, json};

/// Answers that ask for the mood; the emulated model answers everything else.
fn mood(prompt: Prompt<'_>) -> Option<String> {
    assert!(!prompt.is_structured);
    prompt.text.starts_with("Mood").then(|| "happy".to_owned())
}

#[tokio::test]
async fn every_dialect_gives_the_answers_of_the_program() {
    let emulator = Emulator::builder().answers(mood).start().await.unwrap();
    let turn = |text: &str| json!([{"role": "user", "content": text}]);
    for (prompt, answer) in [
        ("Mood of: thanks", "happy"),
        ("Hi", "echo: Hi"),
        ("Mood lmb:empty", ""),
    ] {
        let calls = [
            (
                format!("{}/chat/completions", emulator.openai_base_url()),
                json!({"model": "m", "messages": turn(prompt)}),
                "/choices/0/message/content",
            ),
            (
                format!("{}/v1/messages", emulator.anthropic_base_url()),
                json!({"model": "m", "max_tokens": 9, "messages": turn(prompt)}),
                "/content/0/text",
            ),
            (
                format!(
                    "{}/v1beta/models/m:generateContent",
                    emulator.google_base_url()
                ),
                json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
                "/candidates/0/content/parts/0/text",
            ),
        ];
        for (url, body, place) in calls {
            let call = plain_http::client().post(&url).json(&body);
            let call = match url.contains("v1beta") {
                true => call.header("x-goog-api-key", "k"),
                false => call.bearer_auth("k"),
            };
            let call = match url.ends_with("/messages") {
                true => call
                    .header("x-api-key", "k")
                    .header("anthropic-version", "2026-10-21"),
                false => call,
            };
            let response: Value = call.send().await.unwrap().json().await.unwrap();
            let text = response.pointer(place).and_then(Value::as_str);
            assert_eq!(text.unwrap_or_default(), answer, "{url}: {response}");
        }
    }
}
