//! Requests of the adapter and its handling of each response, over wiremock.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt as _;
use lmbatch_anthropic::{Anthropic, Auth};
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, BatchStatus, Certainty, Chunk, CreateToken, Delivery,
    Error, ErrorKind, Frame, Intent, Label, ListOptions, PartRole, RemoteObject, ResultPart, Retry,
    Shard, Staged,
};
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, header, headers, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn anthropic(mock: &MockServer) -> Anthropic {
    let builder = Anthropic::builder()
        .api_key("k-canary")
        .workspace("wrkspc_1");
    builder.base_url(mock.uri()).build().unwrap()
}

fn shard() -> Shard {
    Shard {
        class: BatchClass {
            model: None,
            endpoint: "/v1/messages".into(),
            route: "inline".into(),
            variant: [
                ("version".into(), "2023-06-01".into()),
                ("betas".into(), "a-2026,b-2026".into()),
            ]
            .into(),
        },
        label: Label::new("lmbatch-n-0"),
        count: 2,
        frame: Frame {
            prefix: "{\"requests\":[".into(),
            separator: ",".into(),
            suffix: "]}".into(),
        },
        rows: Arc::new(Bytes::from("{\"custom_id\":\"a\"},{\"custom_id\":\"b\"}")),
    }
}

fn at(text: &str) -> SystemTime {
    lmbatch_core::parse_time(text).unwrap()
}

fn intent() -> Intent {
    let shard = shard();
    Intent {
        label: shard.label.clone(),
        class: shard.class.clone(),
        count: 2,
        bytes: shard.len(),
        staged: Staged {
            ready: true,
            ..Staged::default()
        },
        token: CreateToken::new("t"),
        posted_at: Some(at("2026-11-01T09:00:00Z")),
        watermark: Some(BatchId::new("old")),
        watermark_at: None,
        foreign_batches: Vec::new(),
    }
}

async fn answer(mock: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    Mock::given(method(verb))
        .and(path(at))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(mock)
        .await;
}

const BATCHES: &str = "/v1/messages/batches";

#[tokio::test]
async fn a_create_carries_the_requests_their_exact_length_and_the_headers_of_the_class() {
    let mock = MockServer::start().await;
    Mock::given(path(BATCHES))
        .and(body_json(
            json!({"requests": [{"custom_id": "a"}, {"custom_id": "b"}]}),
        ))
        .and(header("content-type", "application/json"))
        .and(header("content-length", shard().len().to_string().as_str()))
        .and(header("anthropic-version", "2023-06-01"))
        .and(headers("anthropic-beta", vec!["a-2026", "b-2026"]))
        .and(header("anthropic-workspace-id", "wrkspc_1"))
        .and(header("x-api-key", "k-canary"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"id": "msgbatch_1"})))
        .expect(1)
        .mount(&mock)
        .await;
    let anthropic = anthropic(&mock);
    let staged = anthropic.stage(&shard(), None).await.unwrap();
    assert!(
        staged.ready && staged.remote_objects.is_empty(),
        "nothing is uploaded"
    );
    let created = anthropic.create(&shard(), &intent()).await.unwrap();
    assert_eq!(created, BatchId::new("msgbatch_1"));
}

#[tokio::test]
async fn the_key_is_sent_in_either_header() {
    for (auth, name, value) in [
        (Auth::ApiKey, "x-api-key", "k-canary"),
        (Auth::Bearer, "authorization", "Bearer k-canary"),
    ] {
        let mock = MockServer::start().await;
        Mock::given(header(name, value))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({"data": []})))
            .mount(&mock)
            .await;
        let builder = Anthropic::builder().api_key("k-canary").auth(auth);
        let anthropic = builder.base_url(mock.uri()).build().unwrap();
        anthropic.list(&ListOptions::default()).await.unwrap();
        let seen = &mock.received_requests().await.unwrap()[0];
        let both = ["x-api-key", "authorization"]
            .iter()
            .filter(|name| seen.headers.contains_key(**name));
        assert_eq!(both.count(), 1);
        assert_eq!(seen.headers["anthropic-version"], "2026-10-21");
    }
}

#[tokio::test]
async fn a_failed_create_reports_its_delivery_and_is_sent_once() {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "m"}});
    for (status, body, kind, delivery) in [
        (
            400,
            error("invalid_request_error"),
            ErrorKind::ProviderInvalidArgs,
            Delivery::Refused,
        ),
        (
            401,
            error("authentication_error"),
            ErrorKind::ProviderAuth,
            Delivery::Refused,
        ),
        (
            402,
            error("billing_error"),
            ErrorKind::Billing,
            Delivery::Refused,
        ),
        (
            403,
            error("permission_error"),
            ErrorKind::ProviderAuth,
            Delivery::Refused,
        ),
        (408, json!({}), ErrorKind::Timeout, Delivery::Unknown),
        (
            409,
            error("conflict_error"),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            413,
            json!("<html>"),
            ErrorKind::InvalidInput,
            Delivery::Unknown,
        ),
        (
            413,
            error("request_too_large"),
            ErrorKind::InvalidInput,
            Delivery::Refused,
        ),
        (
            400,
            json!({"error": {"type": "invalid_request_error", "message": "m"}}),
            ErrorKind::ProviderInvalidArgs,
            Delivery::Unknown,
        ),
        (
            429,
            error("rate_limit_error"),
            ErrorKind::ProviderRateLimit,
            Delivery::Refused,
        ),
        (
            500,
            error("api_error"),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            529,
            error("overloaded_error"),
            ErrorKind::ProviderOverloaded,
            Delivery::Unknown,
        ),
        (
            200,
            json!({"type": "message_batch"}),
            ErrorKind::MalformedResponse,
            Delivery::Unknown,
        ),
        (
            200,
            json!({"id": ""}),
            ErrorKind::MalformedResponse,
            Delivery::Unknown,
        ),
    ] {
        let mock = MockServer::start().await;
        answer(&mock, "POST", BATCHES, status, body).await;
        let error = anthropic(&mock)
            .create(&shard(), &intent())
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (kind, delivery),
            "{status}: {error}"
        );
        assert_eq!(mock.received_requests().await.unwrap().len(), 1, "{status}");
        assert!(!format!("{error}{error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_lost_create_is_presumed_by_number_and_time_back_to_the_watermark() {
    let mock = MockServer::start().await;
    let batch = |id: &str, created: &str, processing: u64, succeeded: u64| json!({"id": id, "created_at": created, "request_counts": {"processing": processing, "succeeded": succeeded}});
    let batches = json!([
        batch("more", "2026-11-01T09:02:00Z", 3, 0),
        batch("fits", "2026-11-01T09:01:00+00:00", 2, 0),
        batch("fits-and-ended", "2026-11-01T08:58:00Z", 0, 2),
        batch("old", "2026-11-01T08:57:00Z", 2, 0),
        batch("older", "2026-11-01T08:57:00Z", 2, 0),
    ]);
    answer(
        &mock,
        "GET",
        BATCHES,
        200,
        json!({"data": batches, "has_more": true, "last_id": "older"}),
    )
    .await;
    let anthropic = anthropic(&mock);
    let found = anthropic.find(&intent(), None).await.unwrap();
    let names: Vec<_> = found
        .candidates
        .iter()
        .map(|one| (one.batch.as_str(), one.certainty))
        .collect();
    assert_eq!(
        names,
        [
            ("fits", Certainty::Presumed),
            ("fits-and-ended", Certainty::Presumed)
        ]
    );
    assert!(found.reached_watermark);

    // Though our clock is a day ahead, what was made since then is seen.
    let fast = Intent {
        posted_at: Some(at("2026-11-02T09:04:00Z")),
        ..intent()
    };
    let found = anthropic.find(&fast, None).await.unwrap();
    assert_eq!(found.candidates.len(), 2);

    // Batches of the watermark's second may be listed behind it.
    let tied = Intent {
        watermark_at: Some(at("2026-11-01T08:57:00Z")),
        ..intent()
    };
    let found = anthropic.find(&tied, None).await.unwrap();
    let last = found.candidates.last().map(|one| one.batch.as_str());
    assert_eq!((found.candidates.len(), last), (3, Some("older")));

    // Should the watermark be gone, what is much older ends the search.
    let late = Intent {
        watermark: Some(BatchId::new("gone")),
        watermark_at: Some(at("2026-11-03T09:03:00Z")),
        ..intent()
    };
    let found = anthropic.find(&late, None).await.unwrap();
    assert!(found.reached_watermark);
}

#[tokio::test]
async fn retry_after_of_an_unfinished_batch_sets_the_next_poll() {
    for (wish, seconds) in [("10", 10), ("0", 1), ("0.001", 1), ("99999999", 24 * 3600)] {
        let mock = MockServer::start().await;
        let counts = json!({"processing": 2});
        let body = json!({"id": "b", "processing_status": "in_progress", "request_counts": counts});
        let reply = ResponseTemplate::new(200)
            .set_body_json(body)
            .insert_header("retry-after", wish);
        Mock::given(path(format!("{BATCHES}/b")))
            .respond_with(reply)
            .mount(&mock)
            .await;
        let snapshot = anthropic(&mock).status(&BatchId::new("b")).await.unwrap();
        assert_eq!(
            (snapshot.status, snapshot.poll_after),
            (BatchStatus::InProgress, Some(Duration::from_secs(seconds)))
        );
    }
}

#[tokio::test]
async fn results_are_read_only_from_the_base_urls_origin() {
    let mock = MockServer::start().await;
    let own = format!("{}{BATCHES}/b/results?x=1", mock.uri());
    for (url, expected) in [
        (json!(own), Some("/v1/messages/batches/b/results?x=1")),
        (
            json!("https://elsewhere.test/secrets"),
            Some("v1/messages/batches/b/results"),
        ),
        (Value::Null, None),
    ] {
        let mock = MockServer::start().await;
        let url = url.as_str().map_or(Value::Null, |url| {
            json!(url.replace(own.split("/v1").next().unwrap(), &mock.uri()))
        });
        answer(
            &mock,
            "GET",
            &format!("{BATCHES}/b"),
            200,
            json!({"id": "b", "processing_status": "ended", "results_url": url}),
        )
        .await;
        let set = anthropic(&mock)
            .results(None, &BatchId::new("b"))
            .await
            .unwrap();
        let names: Vec<&str> = set.parts.iter().map(|part| &*part.name).collect();
        assert_eq!(
            (names, set.complete),
            (expected.into_iter().collect(), expected.is_some())
        );
    }
}

#[tokio::test]
async fn archived_results_are_reported_as_unavailable() {
    let mock = MockServer::start().await;
    let body = json!({"id": "b", "processing_status": "ended", "archived_at": "2026-11-30T09:00:00Z", "results_url": null});
    answer(&mock, "GET", &format!("{BATCHES}/b"), 200, body).await;
    let error = anthropic(&mock)
        .results(None, &BatchId::new("b"))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::FileNotFound, Retry::Permanent)
    );
    assert!(error.to_string().contains("29 days"), "{error}");
}

fn part() -> ResultPart {
    ResultPart {
        batch: BatchId::new("b"),
        name: "/v1/messages/batches/b/results".into(),
        role: PartRole::Mixed,
        shape: "row".into(),
        bytes: None,
    }
}

#[tokio::test]
async fn results_are_streamed_and_a_404_on_them_passes() {
    let mock = MockServer::start().await;
    let missing = json!({"type": "error", "error": {"type": "not_found_error", "message": "m"}});
    let missing = ResponseTemplate::new(404).set_body_json(missing);
    let missing = Mock::given(any()).respond_with(missing);
    missing.up_to_n_times(1).mount(&mock).await;
    let anthropic = anthropic(&mock);
    let error = anthropic.read(&part(), 0).await.err().unwrap();
    assert_eq!(
        (error.kind(), error.retry()),
        (ErrorKind::FileNotFound, Retry::Temporary)
    );
    let reply = ResponseTemplate::new(200).set_body_raw("{}\n{}\n", "application/x-jsonl");
    Mock::given(path(&*part().name))
        .respond_with(reply)
        .mount(&mock)
        .await;
    let mut rows = anthropic.read(&part(), 0).await.unwrap();
    let mut text = String::new();
    while let Some(Ok(Chunk::Bytes(bytes))) = rows.next().await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(text, "{}\n{}\n");
    let middle = anthropic.read(&part(), 3).await.err().unwrap();
    assert_eq!(middle.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn the_next_page_is_requested_after_the_last_id() {
    let mock = MockServer::start().await;
    let reply = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    Mock::given(query_param("after_id", "b1"))
        .and(query_param("limit", "1000"))
        .respond_with(reply(json!({"data": [], "has_more": true})))
        .mount(&mock)
        .await;
    let first = json!({"data": [{"id": "b1", "processing_status": "ended"}], "has_more": true, "last_id": "b1"});
    answer(&mock, "GET", BATCHES, 200, first).await;
    let anthropic = anthropic(&mock);
    let page = anthropic.list(&ListOptions::default()).await.unwrap();
    assert_eq!(
        (page.items.len(), page.items[0].status.clone()),
        (1, BatchStatus::Completed)
    );
    let options = ListOptions {
        limit: Some(5000),
        page: page.next,
    };
    let last = anthropic.list(&options).await.unwrap();
    assert_eq!(
        (last.items.len(), last.next),
        (0, None),
        "an empty page is always the last"
    );
}

#[tokio::test]
async fn missing_objects_are_reported_by_their_kind() {
    let mock = MockServer::start().await;
    let missing = json!({"type": "error", "error": {"type": "not_found_error", "message": "m"}});
    let missing = ResponseTemplate::new(404).set_body_json(missing);
    Mock::given(any()).respond_with(missing).mount(&mock).await;
    let (anthropic, batch) = (anthropic(&mock), BatchId::new("b/../x"));
    let kind = |error: Error| (error.kind(), error.batch().is_some());
    let gone = (ErrorKind::BatchNotFound, true);
    assert_eq!(kind(anthropic.status(&batch).await.unwrap_err()), gone);
    assert_eq!(kind(anthropic.cancel(&batch).await.unwrap_err()), gone);
    assert_eq!(
        kind(anthropic.results(None, &batch).await.unwrap_err()),
        gone
    );
    // Gone is what a deletion wants.
    anthropic
        .discard(&RemoteObject::Batch(batch))
        .await
        .unwrap();
    let file = anthropic
        .discard(&RemoteObject::File("f".into()))
        .await
        .unwrap_err();
    let fence = anthropic.fence(&Staged::default()).await.unwrap_err();
    let list = anthropic.list(&ListOptions::default()).await.unwrap_err();
    assert_eq!(
        list.kind(),
        ErrorKind::ProviderInvalidArgs,
        "no model: {list}"
    );
    assert_eq!(
        (file.kind(), fence.kind()),
        (ErrorKind::Unsupported, ErrorKind::Unsupported)
    );
    let seen = mock.received_requests().await.unwrap();
    assert!(seen.iter().all(|request| {
        let path = request.url.path();
        path == BATCHES || path.starts_with("/v1/messages/batches/b%2F..%2Fx")
    }));
}

#[tokio::test]
async fn a_probe_reports_only_errors_of_key_or_model() {
    let error = |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "m"}});
    for (status, body, ok) in [
        (200, json!({"id": "m"}), true),
        (401, error("authentication_error"), false),
        (404, error("not_found_error"), false),
        (404, json!({"detail": "Not Found"}), true),
        (405, json!({}), true),
        (503, json!({}), false),
    ] {
        let mock = MockServer::start().await;
        answer(&mock, "GET", "/v1/models/m", status, body).await;
        assert_eq!(anthropic(&mock).probe("m").await.is_ok(), ok, "{status}");
    }
}
