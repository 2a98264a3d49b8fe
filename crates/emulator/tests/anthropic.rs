//! The Anthropic dialect over plain HTTP, as any SDK uses it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod plain_http;

use std::time::Duration;

use lmbatch_emulator::{Emulator, Fault, FaultKind, Limits, Operation, Pace};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

struct Sdk {
    emulator: Emulator,
    client: Client,
}

const BATCHES: &str = "/v1/messages/batches";
const HOUR: Duration = Duration::from_secs(3600);
const SLOW: Pace = Pace {
    validating: Duration::ZERO,
    in_progress: HOUR,
    finalizing: Duration::ZERO,
};

async fn sdk(pace: Pace, limits: Limits) -> Sdk {
    let builder = Emulator::builder().pace(pace).limits(limits).seed(5);
    Sdk {
        emulator: builder.start().await.unwrap(),
        client: plain_http::client(),
    }
}

fn params(text: &str) -> Value {
    json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]})
}

fn requests(texts: &[&str]) -> Value {
    let list = texts.iter().enumerate();
    let list = list.map(|(k, text)| json!({"custom_id": format!("r{k}"), "params": params(text)}));
    json!({"requests": list.collect::<Vec<_>>()})
}

impl Sdk {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.anthropic_base_url())
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        let request = request
            .header("x-api-key", "k")
            .header("anthropic-version", "2026-10-21");
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(self.client.get(self.url(path))).await
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.send(self.client.post(self.url(path)).json(body)).await
    }

    async fn create(&self, texts: &[&str]) -> String {
        let made: Value = self
            .post(BATCHES, &requests(texts))
            .await
            .json()
            .await
            .unwrap();
        made["id"].as_str().unwrap().to_owned()
    }

    async fn rows(&self, batch: &str) -> Vec<Value> {
        let text = self
            .get(&format!("{BATCHES}/{batch}/results"))
            .await
            .text()
            .await
            .unwrap();
        let mut rows: Vec<Value> = text
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        rows.sort_by_key(|row| row["custom_id"].as_str().unwrap().to_owned());
        rows
    }
}

#[tokio::test]
async fn counts_stay_in_processing_until_the_end_and_every_key_is_present() {
    let sdk = sdk(
        SLOW,
        Limits {
            retry_after: Some(Duration::from_secs(10)),
            ..Limits::default()
        },
    )
    .await;
    let batch = sdk.create(&["a", "lmb:error-400"]).await;
    let running = sdk.get(&format!("{BATCHES}/{batch}")).await;
    assert_eq!(running.headers()["retry-after"], "10");
    let running: Value = running.json().await.unwrap();
    let keys: Vec<&str> = running
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "id",
        "type",
        "processing_status",
        "request_counts",
        "ended_at",
        "created_at",
        "expires_at",
        "archived_at",
        "cancel_initiated_at",
        "results_url",
    ];
    assert_eq!(keys, expected);
    assert_eq!(running["processing_status"], "in_progress");
    assert_eq!(
        running["request_counts"],
        json!({"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0})
    );
    assert!(running["created_at"].as_str().unwrap().ends_with("+00:00"));
    sdk.emulator.advance(HOUR);
    let ended = sdk.get(&format!("{BATCHES}/{batch}")).await;
    assert!(!ended.headers().contains_key("retry-after"));
    let ended: Value = ended.json().await.unwrap();
    assert_eq!(ended["processing_status"], "ended");
    assert_eq!(
        ended["request_counts"],
        json!({"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 0})
    );
    let url = ended["results_url"].as_str().unwrap();
    assert_eq!(url, sdk.url(&format!("{BATCHES}/{batch}/results")));
}

#[tokio::test]
async fn the_envelope_is_validated_at_once_and_params_in_their_rows() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let twice =
        json!({"requests": [{"custom_id": "a", "params": {}}, {"custom_id": "a", "params": {}}]});
    for (body, words) in [
        (json!({"requests": []}), "at least one"),
        (
            json!({"requests": [{"custom_id": "a/b", "params": {}}]}),
            "custom_id",
        ),
        (json!({"requests": [{"custom_id": "a"}]}), "params"),
        (twice, "Duplicate"),
        (json!({"requests": [], "name": "x"}), "Extra inputs"),
    ] {
        let answer = sdk.post(BATCHES, &body).await;
        assert_eq!(answer.status(), 400);
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["error"]["type"], "invalid_request_error");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    let mut warm = params("x");
    warm["temperature"] = json!(1);
    let body = json!({"requests": [{"custom_id": "warm", "params": warm}, {"custom_id": "empty", "params": {}}]});
    let made: Value = sdk.post(BATCHES, &body).await.json().await.unwrap();
    let rows = sdk.rows(made["id"].as_str().unwrap()).await;
    for (row, words) in rows
        .iter()
        .zip(["max_tokens", "temperature: Extra inputs are not permitted"])
    {
        assert_eq!(row["result"]["type"], "errored");
        // Nested twice.
        let error = &row["result"]["error"]["error"];
        assert!(error["message"].as_str().unwrap().contains(words), "{row}");
    }
}

#[tokio::test]
async fn both_headers_carry_the_key_and_the_version_is_required() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let get = || sdk.client.get(sdk.url(BATCHES));
    let version = |request: RequestBuilder| request.header("anthropic-version", "2023-06-01");
    for (request, status) in [
        (version(get().header("x-api-key", "k")), 200),
        (version(get().bearer_auth("k")), 200),
        (version(get().header("x-api-key", "bad")), 401),
        (version(get()), 401),
        (
            get()
                .header("x-api-key", "k")
                .header("anthropic-version", "1999-01-01"),
            400,
        ),
    ] {
        assert_eq!(request.send().await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn a_cancelled_batch_keeps_its_answers() {
    let sdk = sdk(SLOW, Limits::default()).await;
    let batch = sdk.create(&["a", "b", "c", "d"]).await;
    let path = format!("{BATCHES}/{batch}");
    let cancelled: Value = sdk
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert!(cancelled["cancel_initiated_at"].is_string());
    assert_eq!(sdk.json(&path).await["processing_status"], "ended");
    let types: Vec<String> = sdk
        .rows(&batch)
        .await
        .iter()
        .map(|row| row["result"]["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        types.iter().filter(|kind| *kind == "succeeded").count(),
        2,
        "{types:?}"
    );
    assert_eq!(types.iter().filter(|kind| *kind == "canceled").count(), 2);
    let again = sdk.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(again.status(), 200, "a second cancel changes nothing");
    assert_eq!(sdk.emulator.bill().answered_requests, 2);
    let done = sdk.create(&["a"]).await;
    sdk.emulator.advance(HOUR);
    let late = sdk
        .post(&format!("{BATCHES}/{done}/cancel"), &json!({}))
        .await;
    assert_eq!(late.status(), 400);
}

#[tokio::test]
async fn a_batch_expires_after_a_day_and_its_results_after_29() {
    let day = HOUR * 24;
    let slow = Pace {
        in_progress: day * 3,
        ..SLOW
    };
    let sdk = sdk(slow, Limits::default()).await;
    let batch = sdk.create(&["a", "b"]).await;
    sdk.emulator.advance(day);
    let ended = sdk.json(&format!("{BATCHES}/{batch}")).await;
    assert_eq!(ended["processing_status"], "ended");
    assert!(
        ended["request_counts"]["expired"].as_u64().unwrap() > 0,
        "{ended}"
    );
    assert_eq!(sdk.rows(&batch).await.len(), 2);
    sdk.emulator.advance(day * 28);
    let gone = sdk.get(&format!("{BATCHES}/{batch}/results")).await;
    assert_eq!(gone.status(), 404);
    assert_eq!(sdk.get(&format!("{BATCHES}/{batch}")).await.status(), 200);
}

#[tokio::test]
async fn a_list_is_paged_in_both_directions() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(sdk.create(&["a"]).await);
    }
    ids.reverse();
    let first = sdk.json(&format!("{BATCHES}?limit=2")).await;
    assert_eq!(
        (&first["first_id"], &first["last_id"], &first["has_more"]),
        (&json!(ids[0]), &json!(ids[1]), &json!(true))
    );
    let next = sdk
        .json(&format!("{BATCHES}?limit=3&after_id={}", ids[1]))
        .await;
    assert_eq!(
        (next["data"].as_array().unwrap().len(), &next["has_more"]),
        (3, &json!(false))
    );
    let back = sdk
        .json(&format!("{BATCHES}?limit=1&before_id={}", ids[2]))
        .await;
    assert_eq!(
        (&back["data"][0]["id"], &back["has_more"]),
        (&json!(ids[1]), &json!(true))
    );
    assert_eq!(
        sdk.get(&format!("{BATCHES}?limit=1001")).await.status(),
        400
    );
}

#[tokio::test]
async fn only_ended_batches_can_be_deleted() {
    let sdk = sdk(SLOW, Limits::default()).await;
    let batch = sdk.create(&["a"]).await;
    let path = format!("{BATCHES}/{batch}");
    let delete = || sdk.send(sdk.client.delete(sdk.url(&path)));
    assert_eq!(delete().await.status(), 400);
    sdk.emulator.advance(HOUR);
    let deleted: Value = delete().await.json().await.unwrap();
    assert_eq!(
        deleted,
        json!({"id": batch, "type": "message_batch_deleted"})
    );
    assert_eq!(sdk.get(&path).await.status(), 404);
}

#[tokio::test]
async fn requests_over_the_queue_limit_are_refused_until_others_have_ended() {
    let limits = Limits {
        queued_requests: Some(3),
        ..Limits::default()
    };
    let sdk = sdk(SLOW, limits).await;
    sdk.create(&["a", "b"]).await;
    let full = sdk.post(BATCHES, &requests(&["c", "d"])).await;
    assert_eq!(full.status(), 429);
    assert_eq!(
        full.json::<Value>().await.unwrap()["error"]["type"],
        "rate_limit_error"
    );
    sdk.emulator.advance(HOUR);
    sdk.create(&["c", "d"]).await;
    assert_eq!(sdk.emulator.bill().creates, 2);
}

#[tokio::test]
async fn faults_can_hide_a_batch_and_return_html_pages() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let batch = sdk.create(&["a"]).await;
    let path = format!("{BATCHES}/{batch}");
    for kind in [
        FaultKind::status(404),
        FaultKind::status(529),
        FaultKind::html(413),
    ] {
        sdk.emulator.add_fault(Fault::once(Operation::Status, kind));
    }
    for expected in [404, 529, 413, 200] {
        assert_eq!(sdk.get(&path).await.status(), expected);
    }
}

#[tokio::test]
async fn the_order_of_rows_is_not_that_of_the_requests_and_aliases_are_resolved() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let texts: Vec<String> = (0..20).map(|k| k.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = sdk.create(&texts).await;
    let text = sdk
        .get(&format!("{BATCHES}/{batch}/results"))
        .await
        .text()
        .await
        .unwrap();
    let rows: Vec<Value> = text
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let ids: Vec<&str> = rows
        .iter()
        .map(|row| row["custom_id"].as_str().unwrap())
        .collect();
    let sent: Vec<String> = (0..20).map(|k| format!("r{k}")).collect();
    assert_ne!(ids, sent);
    assert_eq!(ids.len(), 20);
    let message = &rows[0]["result"]["message"];
    assert_eq!(
        (&message["model"], &message["usage"]["service_tier"]),
        (&json!("claude-haiku-4-5-20260101"), &json!("batch"))
    );
}

#[tokio::test]
async fn one_request_is_answered_in_real_time_and_models_are_listed() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let answer: Value = sdk
        .post("/v1/messages", &params("hi"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["content"][0]["text"], "echo: hi");
    assert_eq!(sdk.json("/v1/models/claude-x").await["id"], "claude-x");
    assert_eq!(sdk.get("/v1/models/no-such-model").await.status(), 404);
}
