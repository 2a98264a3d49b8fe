//! Requests of the adapter and its handling of each response, over wiremock.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use lmbatch_core::{
    BatchClass, BatchId, BatchProvider, BatchStatus, Certainty, Chunk, CreateToken, Delivery,
    Error, ErrorKind, Frame, Intent, Label, ListOptions, PartRole, RemoteObject, ResultPart, Retry,
    Shard, Staged, Upload,
};
use lmbatch_google::{Google, Route};
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, body_string, header, headers, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn google(mock: &MockServer) -> Google {
    let builder = Google::builder().api_key("k-canary");
    builder.base_url(mock.uri()).build().unwrap()
}

fn shard(route: &str) -> Shard {
    let inline = route == "inline";
    Shard {
        class: BatchClass {
            model: Some("gemini-x".into()),
            endpoint: "batchGenerateContent".into(),
            route: route.into(),
            variant: BTreeMap::new(),
        },
        label: Label::new("lmbatch-n-0"),
        count: 2,
        frame: if inline {
            Frame {
                prefix: "[".into(),
                separator: ",".into(),
                suffix: "]".into(),
            }
        } else {
            Frame::LINES
        },
        rows: Arc::new(Bytes::from(if inline { "{},{}" } else { "{}\n{}" })),
    }
}

const FILE: &str = "files/lmbatch-n-0";
/// Bytes of the input: two lines.
const SIZE: u64 = 6;

fn ready() -> Staged {
    Staged {
        ready: true,
        remote_objects: vec![RemoteObject::File(FILE.into())],
        state: [("file".into(), FILE.into())].into(),
    }
}

fn intent(route: &str) -> Intent {
    let shard = shard(route);
    Intent {
        label: shard.label.clone(),
        class: shard.class.clone(),
        count: 2,
        bytes: shard.len(),
        staged: if route == "inline" {
            Staged {
                ready: true,
                ..Staged::default()
            }
        } else {
            ready()
        },
        token: CreateToken::new("t"),
        posted_at: lmbatch_core::parse_time("2026-11-10T09:00:00Z"),
        watermark: None,
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

fn uploaded(size: u64) -> Value {
    json!({"file": {"name": FILE, "sizeBytes": size.to_string(), "state": "ACTIVE"}})
}

async fn begins(mock: &MockServer) {
    let url = format!("{}/upload/session/1?x=2", mock.uri());
    let reply = ResponseTemplate::new(200).insert_header("x-goog-upload-url", url.as_str());
    Mock::given(path("/upload/v1beta/files"))
        .and(header("x-goog-upload-command", "start"))
        .respond_with(reply)
        .mount(mock)
        .await;
}

/// Every step until the input is there, as the engine takes them.
async fn stage(google: &Google) -> Result<Staged, Error> {
    let mut prior = Some(Staged {
        remote_objects: vec![RemoteObject::File(FILE.into())],
        ..Staged::default()
    });
    for _ in 0..20 {
        let staged = google.stage(&shard("file"), prior).await?;
        if staged.ready {
            return Ok(staged);
        }
        assert_eq!(staged.remote_objects, [RemoteObject::File(FILE.into())]);
        // What is kept is enough for another process.
        let kept = serde_json::to_string(&staged).unwrap();
        prior = Some(serde_json::from_str(&kept).unwrap());
    }
    panic!("the upload never ends")
}

#[tokio::test]
async fn the_input_is_uploaded_in_two_requests_under_a_chosen_name() {
    let mock = MockServer::start().await;
    begins(&mock).await;
    Mock::given(path("/upload/session/1"))
        .and(query_param("x", "2"))
        .and(headers("x-goog-upload-command", vec!["upload", "finalize"]))
        .and(header("x-goog-upload-offset", "0"))
        .and(body_string("{}\n{}\n"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("x-goog-upload-status", "final")
                .set_body_json(uploaded(SIZE)),
        )
        .mount(&mock)
        .await;
    let google = google(&mock);
    let staged = stage(&google).await.unwrap();
    assert_eq!(staged, ready());
    assert_eq!(
        google
            .stage(&shard("file"), Some(staged.clone()))
            .await
            .unwrap(),
        staged
    );
    let seen = mock.received_requests().await.unwrap();
    assert_eq!(seen.len(), 2, "what is staged is not uploaded again");
    let begun: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(
        begun,
        json!({"file": {"name": FILE, "displayName": "lmbatch-n-0"}})
    );
    assert_eq!(seen[0].headers["x-goog-upload-header-content-length"], "6");
    assert_eq!(seen[0].headers["x-goog-api-key"], "k-canary");
}

#[tokio::test]
async fn an_interrupted_upload_resumes_at_the_servers_offset() {
    let mock = MockServer::start().await;
    begins(&mock).await;
    let at = |offset: &'static str| {
        Mock::given(path("/upload/session/1")).and(header("x-goog-upload-offset", offset))
    };
    // The first try is taken for stale, since an earlier one came through in part.
    at("0")
        .respond_with(ResponseTemplate::new(400))
        .mount(&mock)
        .await;
    Mock::given(header("x-goog-upload-command", "query"))
        .respond_with(
            ResponseTemplate::new(200)
                .insert_header("x-goog-upload-status", "active")
                .insert_header("x-goog-upload-size-received", "4"),
        )
        .mount(&mock)
        .await;
    at("4")
        .and(body_string("}\n"))
        .respond_with(ResponseTemplate::new(200).set_body_json(uploaded(SIZE)))
        .mount(&mock)
        .await;
    assert_eq!(stage(&google(&mock)).await.unwrap(), ready());
}

#[tokio::test]
async fn a_completed_upload_is_found_by_name_and_its_size_is_checked() {
    for (size, state, expected) in [
        ("6", "ACTIVE", Ok(())),
        ("5", "ACTIVE", Err((ErrorKind::Internal, Retry::Permanent))),
        (
            "6",
            "PROCESSING",
            Err((ErrorKind::ProviderOverloaded, Retry::Temporary)),
        ),
        (
            "6",
            "FAILED",
            Err((ErrorKind::ProviderInternal, Retry::Permanent)),
        ),
    ] {
        let mock = MockServer::start().await;
        let exists = json!({"error": {"code": 409, "status": "ALREADY_EXISTS", "message": "m"}});
        answer(&mock, "POST", "/upload/v1beta/files", 409, exists).await;
        let file = json!({"name": FILE, "sizeBytes": size, "state": state});
        answer(&mock, "GET", &format!("/v1beta/{FILE}"), 200, file).await;
        let found = stage(&google(&mock))
            .await
            .map(|staged| assert_eq!(staged, ready()));
        let found = found.map_err(|error| (error.kind(), error.retry()));
        assert_eq!(found, expected, "{size} {state}");
    }
}

#[tokio::test]
async fn a_lost_upload_session_is_reopened_a_limited_number_of_times() {
    let mock = MockServer::start().await;
    begins(&mock).await;
    let error = stage(&google(&mock)).await.unwrap_err();
    assert_eq!(error.http_status(), Some(404));
    let seen = mock.received_requests().await.unwrap();
    assert!(seen.len() < 40, "{}", seen.len());
}

#[tokio::test]
async fn an_upload_is_never_sent_to_another_origin() {
    let mock = MockServer::start().await;
    let reply =
        ResponseTemplate::new(200).insert_header("x-goog-upload-url", "https://elsewhere.test/up");
    Mock::given(path("/upload/v1beta/files"))
        .respond_with(reply)
        .mount(&mock)
        .await;
    let error = stage(&google(&mock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignOrigin);
}

#[tokio::test]
async fn a_create_carries_file_or_requests_under_our_label() {
    let mock = MockServer::start().await;
    let by_file = json!({"batch": {"displayName": "lmbatch-n-0", "model": "models/gemini-x", "inputConfig": {"fileName": FILE}}});
    for (body, name) in [(by_file, "batches/1"), (json!([{}, {}]), "batches/2")] {
        Mock::given(path("/v1beta/models/gemini-x:batchGenerateContent"))
            .and(body_json(body))
            .and(header("content-type", "application/json"))
            .respond_with(
                ResponseTemplate::new(200).set_body_json(json!({"name": name, "metadata": {}})),
            )
            .expect(1)
            .mount(&mock)
            .await;
    }
    let google = google(&mock);
    for (route, name) in [("file", "batches/1"), ("inline", "batches/2")] {
        let created = google.create(&shard(route), &intent(route)).await.unwrap();
        assert_eq!(created, BatchId::new(name));
    }
    let inline = google.stage(&shard("inline"), None).await.unwrap();
    assert!(inline.ready && inline.remote_objects.is_empty());
}

#[tokio::test]
async fn a_failed_create_reports_its_delivery_and_is_sent_once() {
    let error = |status: &str| json!({"error": {"code": 1, "message": "m", "status": status}});
    let mut key = error("INVALID_ARGUMENT");
    key["error"]["details"] = json!([{"reason": "API_KEY_INVALID"}]);
    for (status, body, kind, delivery) in [
        (
            400,
            error("INVALID_ARGUMENT"),
            ErrorKind::ProviderInvalidArgs,
            Delivery::Refused,
        ),
        (400, key, ErrorKind::ProviderAuth, Delivery::Refused),
        (
            403,
            error("PERMISSION_DENIED"),
            ErrorKind::ProviderAuth,
            Delivery::Refused,
        ),
        (
            404,
            error("NOT_FOUND"),
            ErrorKind::ModelNotFound,
            Delivery::Refused,
        ),
        (408, json!({}), ErrorKind::Timeout, Delivery::Unknown),
        (
            413,
            json!("<html>"),
            ErrorKind::InvalidInput,
            Delivery::Unknown,
        ),
        (
            413,
            error("INVALID_ARGUMENT"),
            ErrorKind::InvalidInput,
            Delivery::Refused,
        ),
        (
            403,
            json!({"error": {"code": 403, "message": "Forbidden"}}),
            ErrorKind::ProviderAuth,
            Delivery::Unknown,
        ),
        (
            429,
            error("RESOURCE_EXHAUSTED"),
            ErrorKind::ProviderRateLimit,
            Delivery::Refused,
        ),
        (
            499,
            error("CANCELLED"),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            500,
            error("INTERNAL"),
            ErrorKind::ProviderInternal,
            Delivery::Unknown,
        ),
        (
            503,
            error("UNAVAILABLE"),
            ErrorKind::ProviderOverloaded,
            Delivery::Unknown,
        ),
        (
            504,
            error("DEADLINE_EXCEEDED"),
            ErrorKind::Timeout,
            Delivery::Unknown,
        ),
        (
            200,
            json!({"done": true}),
            ErrorKind::MalformedResponse,
            Delivery::Unknown,
        ),
        (
            200,
            json!({"name": ""}),
            ErrorKind::MalformedResponse,
            Delivery::Unknown,
        ),
    ] {
        let mock = MockServer::start().await;
        answer(
            &mock,
            "POST",
            "/v1beta/models/gemini-x:batchGenerateContent",
            status,
            body,
        )
        .await;
        let error = google(&mock)
            .create(&shard("file"), &intent("file"))
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

fn listed(id: &str, label: &str, file: Option<&str>, created: &str) -> Value {
    json!({"name": format!("batches/{id}"), "metadata": {
        "displayName": label, "createTime": created, "inputConfig": {"fileName": file}, "state": "BATCH_STATE_RUNNING",
        "output": {"inlinedResponses": {"inlinedResponses": [{"response": {}}]}},
    }})
}

#[tokio::test]
async fn a_lost_create_is_found_by_label_or_file() {
    let mock = MockServer::start().await;
    let now = "2026-11-10T09:00:01Z";
    let operations = json!([
        listed("of-others", "lmbatch-x-0", Some("files/x"), now),
        listed("by-label", "lmbatch-n-0", None, now),
        listed("by-file", "", Some(FILE), now),
        {"name": "batches/bare"},
    ]);
    answer(
        &mock,
        "GET",
        "/v1beta/batches",
        200,
        json!({"operations": operations, "nextPageToken": "2"}),
    )
    .await;
    let found = google(&mock).find(&intent("file"), None).await.unwrap();
    let names: Vec<_> = found
        .candidates
        .iter()
        .map(|one| (one.batch.as_str(), one.certainty))
        .collect();
    assert_eq!(
        names,
        [
            ("batches/by-label", Certainty::Proved),
            ("batches/by-file", Certainty::Proved)
        ]
    );
    assert!(!found.reached_watermark && found.next.is_some());
}

/// A create that was lost finds nothing under its name once its input was deleted.
#[tokio::test]
async fn every_upload_has_a_name_of_its_own() {
    let mock = MockServer::start().await;
    begins(&mock).await;
    let mut names = BTreeSet::new();
    for _ in 0..5 {
        let staged = google(&mock).stage(&shard("file"), None).await.unwrap();
        let [RemoteObject::File(name)] = &*staged.remote_objects else {
            panic!("{staged:?}");
        };
        let (name, salt) = name.rsplit_once('-').unwrap();
        assert_eq!((name, salt.len()), (FILE, 8));
        names.insert(salt.to_owned());
    }
    assert_eq!(names.len(), 5);
}

#[tokio::test]
async fn a_search_ends_at_a_page_that_is_older_than_any_clock_is_wrong() {
    let mock = MockServer::start().await;
    answer(
        &mock,
        "GET",
        "/v1beta/batches",
        200,
        json!({"operations": [listed("b", "other", None, "2026-11-08T08:59:59Z")], "nextPageToken": "2"}),
    )
    .await;
    let mut intent = intent("file");
    intent.watermark_at = lmbatch_core::parse_time("2026-11-10T09:00:00Z");
    let found = google(&mock).find(&intent, None).await.unwrap();
    assert!(found.reached_watermark && found.candidates.is_empty());
}

#[tokio::test]
async fn results_are_where_the_operation_says_once_it_says_so() {
    let inline = json!({"inlinedResponses": {"inlinedResponses": [{"response": {"a": [1]}}]}});
    let file = json!({"responsesFile": "files/batch-b"});
    for (state, response, output, expected, complete) in [
        (
            "SUCCEEDED",
            file.clone(),
            Value::Null,
            Some(("files/batch-b", "file")),
            true,
        ),
        (
            "SUCCEEDED",
            Value::Null,
            file,
            Some(("files/batch-b", "file")),
            true,
        ),
        (
            "SUCCEEDED",
            inline.clone(),
            inline.clone(),
            Some(("inline", "inline")),
            true,
        ),
        (
            "CANCELLED",
            Value::Null,
            inline,
            Some(("inline", "inline")),
            true,
        ),
        ("SUCCEEDED", Value::Null, Value::Null, None, false),
        ("EXPIRED", Value::Null, Value::Null, None, true),
        ("RUNNING", Value::Null, Value::Null, None, false),
    ] {
        let mock = MockServer::start().await;
        let body = json!({"name": "batches/b", "response": response, "metadata": {"state": format!("BATCH_STATE_{state}"), "output": output}});
        answer(&mock, "GET", "/v1beta/batches/b", 200, body).await;
        let set = google(&mock)
            .results(None, &BatchId::new("batches/b"))
            .await
            .unwrap();
        let found = set.parts.first().map(|part| (&*part.name, &*part.shape));
        assert_eq!((found, set.complete), (expected, complete), "{state}");
    }
}

fn part(name: &str, shape: &str) -> ResultPart {
    ResultPart {
        batch: BatchId::new("batches/b"),
        name: name.into(),
        role: PartRole::Mixed,
        shape: shape.into(),
        bytes: None,
    }
}

async fn read(google: &Google, part: &ResultPart) -> String {
    let mut rows = google.read(part, 0).await.unwrap();
    let mut text = String::new();
    while let Some(Ok(Chunk::Bytes(bytes))) = rows.next().await {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

#[tokio::test]
async fn rows_are_read_from_the_file_or_out_of_the_operation_and_only_once() {
    let mock = MockServer::start().await;
    let results = json!([{"metadata": {"key": "a"}}, {"metadata": {"key": "b"}}]);
    let output = json!({"inlinedResponses": {"inlinedResponses": results}});
    let body = json!({"name": "batches/b", "metadata": {"output": output}, "done": true, "response": output});
    answer(&mock, "GET", "/v1beta/batches/b", 200, body).await;
    Mock::given(path("/download/v1beta/files/batch-b:download"))
        .and(query_param("alt", "media"))
        .respond_with(ResponseTemplate::new(200).set_body_string("{}\n"))
        .mount(&mock)
        .await;
    let google = google(&mock);
    assert_eq!(read(&google, &part("files/batch-b", "file")).await, "{}\n");
    let inline = read(&google, &part("inline", "inline")).await;
    assert_eq!(
        inline,
        "{\"metadata\":{\"key\":\"a\"}}\n{\"metadata\":{\"key\":\"b\"}}\n"
    );
    let middle = google
        .read(&part("files/batch-b", "file"), 3)
        .await
        .err()
        .unwrap();
    assert_eq!(middle.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn the_next_page_is_requested_by_its_token() {
    let mock = MockServer::start().await;
    Mock::given(query_param("pageToken", "t"))
        .and(query_param("pageSize", "1000"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"nextPageToken": "t"})))
        .mount(&mock)
        .await;
    let first = json!({"operations": [{"name": "batches/b", "metadata": {"state": "BATCH_STATE_SUCCEEDED"}}], "nextPageToken": "t"});
    answer(&mock, "GET", "/v1beta/batches", 200, first).await;
    let google = google(&mock);
    let page = google.list(&ListOptions::default()).await.unwrap();
    assert_eq!(
        (page.items.len(), page.items[0].status.clone()),
        (1, BatchStatus::Completed)
    );
    let options = ListOptions {
        limit: Some(5000),
        page: page.next,
    };
    let last = google.list(&options).await.unwrap();
    assert_eq!(
        (last.items.len(), last.next),
        (0, None),
        "an empty page is always the last"
    );
}

#[tokio::test]
async fn missing_objects_are_reported_by_their_kind() {
    let mock = MockServer::start().await;
    let denied = json!({"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "m"}});
    for verb in ["GET", "DELETE"] {
        answer(&mock, verb, "/v1beta/files/f", 403, denied.clone()).await;
    }
    answer(
        &mock,
        "GET",
        "/download/v1beta/files/f:download",
        403,
        denied,
    )
    .await;
    let missing = json!({"error": {"code": 404, "status": "NOT_FOUND", "message": "m"}});
    let missing = ResponseTemplate::new(404).set_body_json(missing);
    Mock::given(any()).respond_with(missing).mount(&mock).await;
    let (google, batch) = (google(&mock), BatchId::new("batches/b"));
    let kind = |error: Error| (error.kind(), error.batch().is_some());
    let gone = (ErrorKind::BatchNotFound, true);
    assert_eq!(kind(google.status(&batch).await.unwrap_err()), gone);
    assert_eq!(kind(google.cancel(&batch).await.unwrap_err()), gone);
    let read = google.read(&part("files/f", "file"), 0).await;
    assert_eq!(kind(read.err().unwrap()), (ErrorKind::FileNotFound, true));
    // Gone is what a deletion wants.
    google
        .discard(&RemoteObject::File("files/f".into()))
        .await
        .unwrap();
    google.discard(&RemoteObject::Batch(batch)).await.unwrap();
    google.fence(&ready()).await.unwrap();
    let inline = google.fence(&Staged::default()).await.unwrap_err();
    assert_eq!(inline.kind(), ErrorKind::Unsupported);
    // A value that names no model is reported as no model.
    let files = google.uploads(None).await.unwrap_err();
    let list = google.list(&ListOptions::default()).await.unwrap_err();
    for error in [files, list] {
        assert_eq!(error.kind(), ErrorKind::ProviderInvalidArgs, "{error}");
    }
}

#[tokio::test]
async fn ids_stay_below_the_paths_they_belong_to() {
    let mock = MockServer::start().await;
    let builder = Google::builder()
        .api_key("k")
        .route(Route::Inline)
        .api_version("v1");
    let google = builder.base_url(mock.uri()).build().unwrap();
    // Whether such things exist is beside the point.
    let _ = google.status(&BatchId::new("../files/x")).await;
    let _ = google
        .discard(&RemoteObject::File("files/../batches".into()))
        .await;
    let seen = mock.received_requests().await.unwrap();
    let paths: Vec<&str> = seen.iter().map(|request| request.url.path()).collect();
    assert_eq!(
        paths,
        ["/v1/batches/..%2Ffiles%2Fx", "/v1/files/%252E%252E/batches"]
    );
}

#[tokio::test]
async fn a_probe_reports_only_errors_of_key_or_model() {
    let key = json!({"error": {"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}});
    for (status, body, ok) in [
        (200, json!({"name": "models/m"}), true),
        (400, key, false),
        (404, json!({"error": {"status": "NOT_FOUND"}}), false),
        (404, json!("not found"), true),
        (405, json!({}), true),
        (503, json!({}), false),
    ] {
        let mock = MockServer::start().await;
        answer(&mock, "GET", "/v1beta/models/m", status, body).await;
        assert_eq!(google(&mock).probe("m").await.is_ok(), ok, "{status}");
    }
}

#[tokio::test]
async fn files_that_carry_our_labels_are_listed_page_by_page() {
    let mock = MockServer::start().await;
    let file = |name: &str, label: &str| json!({"name": name, "displayName": label, "sizeBytes": "7", "createTime": "2026-11-01T09:00:00Z", "x": 1});
    let page = |files: Value| ResponseTemplate::new(200).set_body_json(files);
    let second = json!({"files": [file("files/3", "lmbatch-abcdefghijkl-1")]});
    let files = Mock::given(method("GET")).and(path("/v1beta/files"));
    files
        .and(query_param("pageToken", "p2"))
        .respond_with(page(second))
        .mount(&mock)
        .await;
    let first = json!({"files": [file("files/1", "lmbatch-abcdefghijkl-0"), file("files/2", "mine")], "nextPageToken": "p2"});
    let files = Mock::given(method("GET")).and(path("/v1beta/files"));
    files.respond_with(page(first)).mount(&mock).await;
    let google = google(&mock);
    let first = google.uploads(None).await.unwrap();
    let wanted = Upload {
        remote_object: RemoteObject::File("files/1".into()),
        label: Label::new("lmbatch-abcdefghijkl-0"),
        bytes: Some(7),
        created_at: lmbatch_core::parse_time("2026-11-01T09:00:00Z"),
    };
    assert_eq!(first.items, [wanted]);
    let second = google.uploads(first.next).await.unwrap();
    let labels: Vec<&str> = second
        .items
        .iter()
        .map(|file| file.label.as_str())
        .collect();
    assert_eq!(
        (labels.as_slice(), second.next),
        (&["lmbatch-abcdefghijkl-1"][..], None)
    );
    // An account without files answers with an empty object, and one that failed is not empty.
    for (body, is_empty) in [(json!({}), true), (json!({"error": {"code": 500}}), false)] {
        mock.reset().await;
        let files = Mock::given(method("GET")).and(path("/v1beta/files"));
        files.respond_with(page(body)).mount(&mock).await;
        let listed = google.uploads(None).await;
        assert_eq!(
            listed.map(|page| page.items.is_empty()).unwrap_or(false),
            is_empty
        );
    }
}
