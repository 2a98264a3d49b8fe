//! Requests of the adapter and its handling of each response, over wiremock.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, BatchStatus, Certainty, Chunk, CreateToken, Delivery,
    Error, ErrorKind, Frame, Intent, Label, ListOptions, PartRole, RemoteObject, ResultPart, Shard,
    Staged, Upload,
};
use lmbatch_openai::OpenAi;
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn openai(mock: &MockServer) -> OpenAi {
    OpenAi::builder()
        .api_key("k-canary")
        .base_url(format!("{}/v1", mock.uri()))
        .organization("org-1")
        .build()
        .unwrap()
}

fn shard() -> Shard {
    Shard {
        class: BatchClass {
            model: Some("m".into()),
            endpoint: "/v1/responses".into(),
            route: "file".into(),
            variant: BTreeMap::new(),
        },
        label: Label::new("lmbatch-n-0"),
        count: 2,
        frame: Frame::LINES,
        rows: Arc::new(Bytes::from("{}\n{}")),
    }
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
            remote_objects: vec![RemoteObject::File("file-1".into())],
            state: [("file_id".into(), "file-1".into())].into(),
        },
        token: CreateToken::new("t"),
        posted_at: None,
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

#[tokio::test]
async fn the_input_is_uploaded_once_as_jsonl_under_our_label() {
    let mock = MockServer::start().await;
    answer(&mock, "POST", "/v1/files", 200, json!({"id": "file-1"})).await;
    let openai = openai(&mock);
    let staged = openai.stage(&shard(), None).await.unwrap();
    assert_eq!(staged, intent().staged);
    assert_eq!(
        openai.stage(&shard(), Some(staged.clone())).await.unwrap(),
        staged
    );
    let seen = mock.received_requests().await.unwrap();
    assert_eq!(seen.len(), 1, "what is staged is not uploaded again");
    let text = String::from_utf8(seen[0].body.clone()).unwrap();
    for part in [
        "name=\"purpose\"\r\n\r\nbatch",
        "filename=\"lmbatch-n-0.jsonl\"",
        "{}\n{}\n",
        "604800",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert_eq!(seen[0].headers["authorization"], "Bearer k-canary");
    assert_eq!(seen[0].headers["openai-organization"], "org-1");
}

#[tokio::test]
async fn a_create_carries_file_endpoint_and_label() {
    let mock = MockServer::start().await;
    let body = json!({
        "input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h",
        "metadata": {"lmbatch": "lmbatch-n-0"},
        "output_expires_after": {"anchor": "created_at", "seconds": 604_800},
    });
    Mock::given(path("/v1/batches"))
        .and(body_json(body))
        .and(header("content-type", "application/json"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"id": "batch_1", "object": "batch"})),
        )
        .expect(1)
        .mount(&mock)
        .await;
    assert_eq!(
        openai(&mock).create(&shard(), &intent()).await.unwrap(),
        BatchId::new("batch_1")
    );
}

#[tokio::test]
async fn a_failed_create_reports_its_delivery_and_is_sent_once() {
    for (status, body, kind, delivery) in [
        (
            400,
            json!({"error": {"message": "m", "code": "x"}}),
            ErrorKind::ProviderInvalidArgs,
            Delivery::Refused,
        ),
        (
            401,
            json!({"error": {"message": "m", "code": "invalid_api_key"}}),
            ErrorKind::ProviderAuth,
            Delivery::Refused,
        ),
        (402, json!({}), ErrorKind::Billing, Delivery::Unknown),
        (
            400,
            json!({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}),
            ErrorKind::ProviderInvalidArgs,
            Delivery::Refused,
        ),
        (
            403,
            json!({"message": "Forbidden"}),
            ErrorKind::ProviderAuth,
            Delivery::Unknown,
        ),
        (
            404,
            json!({"error": {"message": "m", "code": "model_not_found"}}),
            ErrorKind::ModelNotFound,
            Delivery::Refused,
        ),
        (
            409,
            json!({}),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            429,
            json!({"error": {"message": "m", "code": "insufficient_quota"}}),
            ErrorKind::Billing,
            Delivery::Refused,
        ),
        (
            429,
            json!({}),
            ErrorKind::ProviderRateLimit,
            Delivery::Unknown,
        ),
        (
            500,
            json!("oops"),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            503,
            json!({}),
            ErrorKind::ProviderOverloaded,
            Delivery::Unknown,
        ),
        (
            200,
            json!({"object": "batch"}),
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
        answer(&mock, "POST", "/v1/batches", status, body).await;
        let error = openai(&mock).create(&shard(), &intent()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (kind, delivery),
            "{status}: {error}"
        );
        assert_eq!(error.http_status(), Some(status));
        assert_eq!(mock.received_requests().await.unwrap().len(), 1, "{status}");
        assert!(!format!("{error}{error:?}").contains("canary"));
    }
}

#[tokio::test]
async fn a_lost_create_is_found_by_label_or_file_on_the_whole_page_of_the_watermark() {
    let mock = MockServer::start().await;
    let batches = json!([
        {"id": "of-others", "metadata": {"lmbatch": "lmbatch-x-0"}, "input_file_id": "file-9"},
        {"id": "by-label", "metadata": {"lmbatch": "lmbatch-n-0"}},
        {"id": "by-file", "metadata": null, "input_file_id": "file-1"},
        {"id": "old"},
        {"id": "behind", "metadata": {"lmbatch": "lmbatch-n-0"}},
    ]);
    answer(
        &mock,
        "GET",
        "/v1/batches",
        200,
        json!({"data": batches, "has_more": true, "last_id": "behind"}),
    )
    .await;
    let found = openai(&mock).find(&intent(), None).await.unwrap();
    let names: Vec<&str> = found
        .candidates
        .iter()
        .map(|candidate| candidate.batch.as_str())
        .collect();
    // Batches of the same second come in any order: one behind the watermark may belong to this run.
    assert_eq!(names, ["by-label", "by-file", "behind"]);
    assert!(
        found
            .candidates
            .iter()
            .all(|candidate| candidate.certainty == Certainty::Proved)
    );
    assert!(found.reached_watermark);
}

#[tokio::test]
async fn results_are_the_files_that_are_there() {
    for (batch, expected) in [
        (
            json!({"id": "b", "status": "completed", "output_file_id": "o", "error_file_id": "e"}),
            vec!["o", "e"],
        ),
        (
            json!({"id": "b", "status": "expired", "output_file_id": null, "error_file_id": "e"}),
            vec!["e"],
        ),
        (
            json!({"id": "b", "status": "completed", "output_file_id": "", "error_file_id": null}),
            vec![],
        ),
    ] {
        let mock = MockServer::start().await;
        answer(&mock, "GET", "/v1/batches/b", 200, batch).await;
        let set = openai(&mock)
            .results(None, &BatchId::new("b"))
            .await
            .unwrap();
        let names: Vec<&str> = set.parts.iter().map(|part| &*part.name).collect();
        assert_eq!((names, set.complete), (expected, true));
    }
}

#[tokio::test]
async fn a_class_of_another_endpoint_is_an_error_only_where_no_row_could_be_read() {
    let class = |endpoint: &str| BatchClass::new(endpoint, "file");
    for (endpoint, shown, output, expected) in [
        ("/v1/responses", json!("/v1/responses"), json!(null), Ok(0)),
        ("/v1/responses", json!("responses"), json!(null), Ok(0)),
        (
            "/v1/responses",
            json!("https://x/v1/responses/"),
            json!(null),
            Ok(0),
        ),
        ("/v1/responses", json!(null), json!(null), Ok(0)),
        ("/v1/responses", json!({}), json!(null), Ok(0)),
        ("/v1/responses", json!("/v1/embeddings"), json!("o"), Ok(1)),
        (
            "/v1/responses",
            json!("/v1/embeddings"),
            json!(null),
            Err(ErrorKind::InvalidInput),
        ),
        (
            "/v1/embeddings",
            json!("/v1/chat/completions"),
            json!(""),
            Err(ErrorKind::InvalidInput),
        ),
    ] {
        let mock = MockServer::start().await;
        let batch =
            json!({"id": "b", "status": "completed", "endpoint": shown, "output_file_id": output});
        answer(&mock, "GET", "/v1/batches/b", 200, batch).await;
        let openai = openai(&mock);
        let id = BatchId::new("b");
        let found = openai.results(Some(&class(endpoint)), &id).await;
        let found = found.map(|set| set.parts.len());
        let found = found.map_err(|error| {
            assert_eq!(error.batch(), Some(&id));
            error.kind()
        });
        assert_eq!(found, expected, "{endpoint} {shown}");
        // Where only the id is known, the batch itself says where its results are.
        let by_id = openai.results(None, &id).await.unwrap();
        assert_eq!(by_id.parts.len(), usize::from(output == json!("o")));
    }
}

fn part() -> ResultPart {
    ResultPart {
        batch: BatchId::new("b"),
        name: "o/../x".into(),
        role: PartRole::Output,
        shape: "row".into(),
        bytes: None,
    }
}

#[tokio::test]
async fn a_part_is_read_from_the_middle_only_where_the_server_can() {
    let mock = MockServer::start().await;
    let whole = ResponseTemplate::new(200).set_body_string("0123456789");
    let rest = ResponseTemplate::new(206)
        .set_body_string("456789")
        .insert_header("content-range", "bytes 4-9/10");
    Mock::given(header("range", "bytes=4-"))
        .respond_with(rest)
        .mount(&mock)
        .await;
    Mock::given(path("/v1/files/o%2F..%2Fx/content"))
        .respond_with(whole)
        .mount(&mock)
        .await;
    let openai = openai(&mock);
    for (from, expected) in [
        (0, Ok("0123456789")),
        (4, Ok("456789")),
        (5, Err(ErrorKind::Unsupported)),
    ] {
        let read = match openai.read(&part(), from).await {
            Ok(mut rows) => {
                let mut text = String::new();
                while let Some(Ok(Chunk::Bytes(bytes))) = rows.next().await {
                    text.push_str(std::str::from_utf8(&bytes).unwrap());
                }
                Ok(text)
            }
            Err(error) => Err(error.kind()),
        };
        assert_eq!(read, expected.map(str::to_owned), "from {from}");
    }
}

#[tokio::test]
async fn the_next_page_is_requested_after_the_last_id() {
    let mock = MockServer::start().await;
    Mock::given(query_param("after", "b1"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"data": [], "has_more": true})),
        )
        .mount(&mock)
        .await;
    let first =
        json!({"data": [{"id": "b1", "status": "completed"}], "has_more": true, "last_id": "b1"});
    answer(&mock, "GET", "/v1/batches", 200, first).await;
    let openai = openai(&mock);
    let page = openai.list(&ListOptions::default()).await.unwrap();
    assert_eq!(
        (page.items.len(), page.items[0].status.clone()),
        (1, BatchStatus::Completed)
    );
    let options = ListOptions {
        limit: Some(500),
        page: page.next,
    };
    let last = openai.list(&options).await.unwrap();
    assert_eq!(
        (last.items.len(), last.next),
        (0, None),
        "an empty page is always the last"
    );
}

#[tokio::test]
async fn missing_objects_are_reported_by_their_kind() {
    let mock = MockServer::start().await;
    let missing = json!({"error": {"message": "m", "type": "invalid_request_error", "code": null}});
    let missing = ResponseTemplate::new(404).set_body_json(missing);
    Mock::given(any()).respond_with(missing).mount(&mock).await;
    let (openai, batch) = (openai(&mock), BatchId::new("b"));
    let kind = |error: Error| (error.kind(), error.batch().is_some());
    assert_eq!(
        kind(openai.status(&batch).await.unwrap_err()),
        (ErrorKind::BatchNotFound, true)
    );
    assert_eq!(
        kind(openai.cancel(&batch).await.unwrap_err()),
        (ErrorKind::BatchNotFound, true)
    );
    let read = openai.read(&part(), 0).await;
    assert_eq!(kind(read.err().unwrap()), (ErrorKind::FileNotFound, false));
    // Gone is what a deletion wants.
    openai
        .discard(&RemoteObject::File("f".into()))
        .await
        .unwrap();
    openai.fence(&intent().staged).await.unwrap();
    let batch = openai
        .discard(&RemoteObject::Batch(batch))
        .await
        .unwrap_err();
    assert_eq!(batch.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_probe_reports_only_errors_of_key_or_model() {
    for (status, body, ok) in [
        (200, json!({"id": "m"}), true),
        (401, json!({"error": {"code": "invalid_api_key"}}), false),
        (404, json!({"error": {"code": "model_not_found"}}), false),
        (404, json!({"detail": "Not Found"}), true),
        (405, json!({}), true),
        (501, json!({}), true),
        (503, json!({}), false),
    ] {
        let mock = MockServer::start().await;
        answer(&mock, "GET", "/v1/models/org%2Fm", status, body).await;
        assert_eq!(openai(&mock).probe("org/m").await.is_ok(), ok, "{status}");
    }
}

#[tokio::test]
async fn files_that_carry_our_labels_are_listed_page_by_page() {
    let mock = MockServer::start().await;
    let file = |id: &str, name: &str| json!({"id": id, "filename": name, "bytes": 7, "created_at": 1_793_523_600, "purpose": "batch", "x": 1});
    let page = |data: Value, more: bool| {
        ResponseTemplate::new(200).set_body_json(
            json!({"object": "list", "data": data, "has_more": more, "last_id": "f9"}),
        )
    };
    let files = Mock::given(method("GET"))
        .and(path("/v1/files"))
        .and(query_param("purpose", "batch"));
    let second = page(json!([file("f3", "lmbatch-abcdefghijkl-1.jsonl")]), false);
    files
        .and(query_param("after", "f9"))
        .respond_with(second)
        .mount(&mock)
        .await;
    let first = page(
        json!([
            file("f1", "lmbatch-abcdefghijkl-0.jsonl"),
            file("f2", "mine.jsonl")
        ]),
        true,
    );
    Mock::given(method("GET"))
        .and(path("/v1/files"))
        .respond_with(first)
        .mount(&mock)
        .await;
    let openai = openai(&mock);
    let first = openai.uploads(None).await.unwrap();
    let created_at = lmbatch_core::parse_time("2026-11-01T09:00:00Z");
    let wanted = Upload {
        remote_object: RemoteObject::File("f1".into()),
        label: Label::new("lmbatch-abcdefghijkl-0"),
        bytes: Some(7),
        created_at,
    };
    assert_eq!(first.items, [wanted]);
    let second = openai.uploads(first.next).await.unwrap();
    let labels: Vec<&str> = second
        .items
        .iter()
        .map(|file| file.label.as_str())
        .collect();
    assert_eq!(
        (labels.as_slice(), second.next),
        (&["lmbatch-abcdefghijkl-1"][..], None)
    );
}
