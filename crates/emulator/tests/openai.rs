//! The OpenAI dialect over plain HTTP, as any SDK uses it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod plain_http;

use std::sync::Arc;
use std::time::Duration;

use lmbatch_emulator::{Emulator, Fault, FaultKind, Limits, Operation, Pace};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Sdk {
    emulator: Emulator,
    client: Client,
}

async fn sdk(limits: Limits) -> Sdk {
    let builder = Emulator::builder().pace(Pace::INSTANT).limits(limits);
    let client = plain_http::client_builder().redirect(reqwest::redirect::Policy::none());
    Sdk {
        emulator: builder.start().await.unwrap(),
        client: client.build().unwrap(),
    }
}

impl Sdk {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.openai_base_url())
    }

    async fn get(&self, path: &str) -> Response {
        self.client
            .get(self.url(path))
            .bearer_auth("k")
            .send()
            .await
            .unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        let post = self.client.post(self.url(path)).bearer_auth("k");
        post.json(body).send().await.unwrap()
    }

    async fn upload(&self, name: &str, text: &str) -> Value {
        let file = Part::text(text.to_owned()).file_name(name.to_owned());
        let form = Form::new().text("purpose", "batch").part("file", file);
        let post = self
            .client
            .post(self.url("/files"))
            .bearer_auth("k")
            .multipart(form);
        post.send().await.unwrap().json().await.unwrap()
    }

    async fn create(&self, file: &Value) -> Value {
        let body = json!({"input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h"});
        self.post("/batches", &body).await.json().await.unwrap()
    }

    async fn batch_of(&self, text: &str) -> String {
        let file = self.upload("in.jsonl", text).await;
        self.create(&file).await["id"].as_str().unwrap().to_owned()
    }
}

fn line(id: &str, prompt: &str) -> String {
    let body = json!({"model": "m", "input": prompt});
    json!({"custom_id": id, "method": "POST", "url": "/v1/responses", "body": body}).to_string()
        + "\n"
}

#[tokio::test]
async fn an_invalid_file_is_accepted_and_then_fails_with_the_invalid_line() {
    let good = line("a", "x");
    let other = good
        .replace("/v1/responses", "/v1/embeddings")
        .replace("\"a\"", "\"b\"");
    let model = good.replace("\"m\"", "\"n\"").replace("\"a\"", "\"b\"");
    for (text, code, number) in [
        (format!("{good}nonsense\n"), "invalid_json_line", json!(2)),
        (format!("{good}{good}"), "duplicate_custom_id", json!(2)),
        (format!("{good}{other}"), "invalid_url", json!(2)),
        (format!("{good}{model}"), "mismatched_model", json!(2)),
        ("\n".to_owned(), "empty_file", Value::Null),
        (line("a", "lmb:fail-line"), "invalid_request", json!(1)),
    ] {
        let sdk = sdk(Limits::default()).await;
        let id = sdk.batch_of(&text).await;
        let batch = sdk.json(&format!("/batches/{id}")).await;
        let error = &batch["errors"]["data"][0];
        assert_eq!(
            (&batch["status"], &error["line"]),
            (&json!("failed"), &number),
            "{batch}"
        );
        assert_eq!(error["code"], code);
        assert_eq!(batch["request_counts"]["total"], 0);
        assert_eq!(
            (
                sdk.emulator.bill().creates,
                sdk.emulator.bill().answered_requests
            ),
            (1, 0)
        );
    }
}

#[tokio::test]
async fn a_file_that_is_not_jsonl_is_refused_at_once() {
    let sdk = sdk(Limits::default()).await;
    let answer = sdk.upload("in.txt", "{}").await;
    assert!(
        answer["detail"]["message"]
            .as_str()
            .unwrap()
            .contains(".jsonl"),
        "{answer}"
    );
}

#[tokio::test]
async fn batches_over_the_token_limit_fail_until_others_have_ended() {
    let limits = Limits {
        enqueued_tokens: Some(40),
        ..Limits::default()
    };
    let slow = Pace {
        in_progress: Duration::from_secs(3600),
        ..Pace::INSTANT
    };
    let builder = Emulator::builder().pace(slow).limits(limits);
    let sdk = Sdk {
        emulator: builder.start().await.unwrap(),
        client: plain_http::client(),
    };
    let (first, second) = (
        sdk.batch_of(&line("a", "x")).await,
        sdk.batch_of(&line("b", "x")).await,
    );
    assert_eq!(
        sdk.json(&format!("/batches/{first}")).await["status"],
        "in_progress"
    );
    let failed = sdk.json(&format!("/batches/{second}")).await;
    assert_eq!(failed["errors"]["data"][0]["code"], "token_limit_exceeded");
    sdk.emulator.advance(Duration::from_secs(3601));
    assert_eq!(
        sdk.json(&format!("/batches/{first}")).await["status"],
        "completed"
    );
    let third = sdk.batch_of(&line("c", "x")).await;
    assert_eq!(
        sdk.json(&format!("/batches/{third}")).await["status"],
        "in_progress"
    );
}

#[tokio::test]
async fn creates_are_limited_per_hour() {
    let sdk = sdk(Limits {
        creates_per_hour: 1,
        ..Limits::default()
    })
    .await;
    let file = sdk.upload("in.jsonl", &line("a", "x")).await;
    assert!(sdk.create(&file).await["id"].is_string());
    assert_eq!(
        sdk.create(&file).await["error"]["code"],
        "rate_limit_exceeded"
    );
    sdk.emulator.advance(Duration::from_secs(3601));
    assert!(sdk.create(&file).await["id"].is_string());
    assert_eq!(sdk.emulator.bill().creates, 2);
}

#[tokio::test]
async fn results_are_read_from_an_offset_only_if_enabled() {
    for (ranges, status) in [(false, 200), (true, 206)] {
        let sdk = sdk(Limits {
            ranges,
            ..Limits::default()
        })
        .await;
        let id = sdk.batch_of(&line("a", "x")).await;
        let file = sdk.json(&format!("/batches/{id}")).await["output_file_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let whole = sdk
            .get(&format!("/files/{file}/content"))
            .await
            .text()
            .await
            .unwrap();
        let url = sdk.url(&format!("/files/{file}/content"));
        let part = sdk
            .client
            .get(url)
            .bearer_auth("k")
            .header("range", "bytes=10-")
            .send()
            .await
            .unwrap();
        assert_eq!(part.status(), status);
        let text = part.text().await.unwrap();
        assert_eq!(text, if ranges { &whole[10..] } else { &whole });
    }
}

#[tokio::test]
async fn files_expire_and_stay_deleted() {
    let sdk = sdk(Limits::default()).await;
    let id = sdk.batch_of(&line("a", "x")).await;
    let batch = sdk.json(&format!("/batches/{id}")).await;
    let path = format!("/files/{}", batch["output_file_id"].as_str().unwrap());
    assert_eq!(sdk.get(&path).await.status(), 200);
    let deleted = sdk
        .client
        .delete(sdk.url(&path))
        .bearer_auth("k")
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), 200);
    sdk.json(&format!("/batches/{id}")).await;
    assert_eq!(sdk.get(&path).await.status(), 404);
    let other = sdk.batch_of(&line("b", "x")).await;
    let batch = sdk.json(&format!("/batches/{other}")).await;
    let path = format!("/files/{}", batch["output_file_id"].as_str().unwrap());
    sdk.emulator.advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(sdk.get(&path).await.status(), 404);
}

#[tokio::test]
async fn a_batch_that_takes_longer_than_a_day_expires_and_keeps_its_answers() {
    let slow = Pace {
        in_progress: Duration::from_secs(48 * 3600),
        ..Pace::INSTANT
    };
    let emulator = Emulator::builder().pace(slow).start().await.unwrap();
    let sdk = Sdk {
        emulator,
        client: plain_http::client(),
    };
    let id = sdk.batch_of(&(line("a", "x") + &line("b", "y"))).await;
    sdk.emulator.advance(Duration::from_secs(24 * 3600 + 1));
    let batch = sdk.json(&format!("/batches/{id}")).await;
    assert_eq!(batch["status"], "expired");
    assert!(batch["output_file_id"].is_string() && batch["error_file_id"].is_string());
    assert_eq!(sdk.emulator.bill().answered_requests, 1);
}

#[tokio::test]
async fn an_unreadable_input_fails_its_batch_as_in_the_incident_of_august() {
    let sdk = sdk(Limits::default()).await;
    sdk.emulator
        .add_fault(Fault::once(Operation::Create, FaultKind::LostInput));
    let id = sdk.batch_of(&line("a", "x")).await;
    let batch = sdk.json(&format!("/batches/{id}")).await;
    assert_eq!(batch["errors"]["data"][0]["param"], "file_id", "{batch}");
}

#[tokio::test]
async fn faults_strike_once_and_include_pages_and_redirects() {
    let sdk = sdk(Limits::default()).await;
    let elsewhere = FaultKind::Redirect {
        code: 307,
        location: "http://elsewhere.test/".to_owned(),
    };
    for kind in [FaultKind::html(502), elsewhere] {
        sdk.emulator.add_fault(Fault::once(Operation::List, kind));
    }
    let page = sdk.get("/batches").await;
    assert_eq!(
        (
            page.status().as_u16(),
            page.text().await.unwrap().starts_with("<html>")
        ),
        (502, true)
    );
    let moved = sdk.get("/batches").await;
    assert_eq!(
        (
            moved.status().as_u16(),
            moved.headers()["location"].to_str().unwrap()
        ),
        (307, "http://elsewhere.test/")
    );
    assert_eq!(sdk.get("/batches").await.status(), 200);
    assert_eq!(sdk.emulator.bill().calls[&Operation::List], 3);
    let calls = sdk.emulator.calls();
    assert_eq!((calls.len(), calls[0].path.as_str()), (3, "/v1/batches"));
}

#[tokio::test]
async fn one_request_is_answered_in_real_time_and_models_are_listed() {
    let sdk = sdk(Limits::default()).await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let answer: Value = sdk
        .post("/chat/completions", &body)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "echo: hi");
    let body = json!({"model": "m", "input": "lmb:error-429"});
    assert_eq!(sdk.post("/responses", &body).await.status(), 429);
    assert_eq!(sdk.json("/models").await["data"][0]["id"], "echo");
    assert_eq!(sdk.get("/models/no-such-model").await.status(), 404);
}

#[tokio::test]
async fn a_response_repeats_the_request_options_as_sdks_require() {
    let sdk = sdk(Limits::default()).await;
    let tool = json!({"type": "function", "name": "now", "parameters": {"type": "object"}, "strict": false});
    for (more, tools, choice) in [
        (json!({}), json!([]), json!("auto")),
        (
            json!({"tools": [tool], "tool_choice": "none"}),
            json!([tool]),
            json!("none"),
        ),
    ] {
        let mut body = json!({"model": "m", "input": "hi"});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer: Value = sdk.post("/responses", &body).await.json().await.unwrap();
        assert_eq!(
            (&answer["tools"], &answer["tool_choice"]),
            (&tools, &choice)
        );
        assert_eq!(answer["parallel_tool_calls"], true);
    }
}

#[tokio::test]
async fn a_client_that_is_still_sending_receives_a_refusal() {
    const BODY: usize = 4 << 20;
    let sdk = sdk(Limits::default()).await;
    let mut wire = tokio::net::TcpStream::connect(sdk.emulator.addr())
        .await
        .unwrap();
    // Twice on one connection, which stays open, since nothing of the first body remains in it.
    for _ in 0..2 {
        let head = format!(
            "POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer bad\r\ncontent-length: {BODY}\r\n\r\n"
        );
        wire.write_all(head.as_bytes()).await.unwrap();
        wire.write_all(&vec![b'x'; BODY]).await.unwrap();
        let mut answer = [0; 12];
        wire.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}}") {
            assert_ne!(wire.read_buf(&mut rest).await.unwrap(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn simultaneous_status_calls_answer_a_batch_once() {
    let sdk = Arc::new(sdk(Limits::default()).await);
    let file = sdk
        .upload("in.jsonl", &(line("a", "x") + &line("b", "lmb:error-400")))
        .await;
    for _ in 0..200 {
        let id = sdk.create(&file).await["id"].as_str().unwrap().to_owned();
        let asked = (0..8).map(|_| {
            let (sdk, path) = (Arc::clone(&sdk), format!("/batches/{id}"));
            tokio::spawn(async move { sdk.json(&path).await })
        });
        for batch in futures::future::join_all(asked).await {
            let batch = batch.unwrap();
            assert_eq!(batch["status"], "completed", "{batch}");
        }
    }
}
