//! Requests on a real socket: their delivery after a failure, and the origins to which a key is sent.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use lmbatch_core::{BatchClass, Delivery, ErrorKind, Frame, Label, Retry, Shard};
use lmbatch_http::{
    ApiError, HeaderMap, HeaderName, HeaderValue, HttpClient, HttpOptions, Multipart, SecretString,
    kind_of,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{header_exists, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "canary-key";

fn client(base: &str) -> HttpClient {
    let mut options = HttpOptions::new("acme", base).unwrap();
    options.read_timeout = Duration::from_millis(500);
    client_of(options)
}

fn client_of(options: HttpOptions) -> HttpClient {
    let key = (
        HeaderName::from_static("x-api-key"),
        SecretString::from(KEY),
    );
    HttpClient::new(options, &[key], HeaderMap::new()).unwrap()
}

fn classify_error(status: u16, body: &[u8]) -> ApiError {
    ApiError {
        // Stands for a provider whose errors are plain text.
        recognised: !body.is_empty() && !body.starts_with(b"<"),
        message: Some(String::from_utf8_lossy(body).into_owned()),
        ..ApiError::new(kind_of(status))
    }
}

/// Starts a server that reads the given number of bytes of each request, sends `answer`, and closes the connection.
async fn server(reads: usize, answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream, reads).await;
            // The client may have closed the connection.
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    base
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server of a test has no Clock"
)]
async fn read(stream: &mut TcpStream, most: usize) {
    let mut buffer = vec![0; most.min(64 << 10)];
    let mut seen = 0;
    while seen < most {
        let waiting = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut buffer));
        match waiting.await {
            Ok(Ok(read)) if read > 0 => seen += read,
            _ => return,
        }
    }
}

#[tokio::test]
async fn an_unanswered_create_is_not_sent_only_if_its_body_was_incomplete() {
    // The listener stays open, so that a connection to its port cannot come from that same port.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let unreachable = format!("http://{}/", held.local_addr().unwrap());
    let all = usize::MAX;
    // (base, what the server does, bytes of the body, expected delivery)
    for (base, what, bytes, expected) in [
        (unreachable, "refuses the connection", 10, Delivery::NotSent),
        (
            server(1000, b"").await,
            "hangs up in the middle of the body",
            64 << 20,
            Delivery::NotSent,
        ),
        (
            server(all, b"").await,
            "hangs up after the body",
            10,
            Delivery::Unknown,
        ),
        (
            server(all, b"HTTP/1.1 2").await,
            "cuts its status line",
            10,
            Delivery::Unknown,
        ),
        (
            server(all, b"nonsense\r\n\r\n").await,
            "speaks no HTTP",
            10,
            Delivery::Unknown,
        ),
    ] {
        // In pieces, as bodies are read from the spool: a piece that is never polled is never sent.
        let piece = || Ok(bytes::Bytes::from(vec![b'x'; bytes.min(64 << 10)]));
        let pieces = (0..bytes.div_ceil(64 << 10)).map(move |_| piece());
        let body = futures::stream::iter(pieces.collect::<Vec<_>>()).boxed();
        let json = HeaderValue::from_static("application/json");
        let exchange = client(&base)
            .create("create")
            .stream(json, bytes as u64, body);
        let sent = exchange.send().await;
        let error = sent.unwrap_err();
        assert_eq!(error.delivery(), expected, "{what}: {error}");
        assert_eq!(error.retry(), Retry::Temporary, "{what}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("acme") && !shown.contains(KEY), "{shown}");
    }
}

#[tokio::test]
async fn a_request_whose_body_fails_is_not_sent() {
    let base = server(usize::MAX, b"").await;
    let broken = futures::stream::iter([
        Ok(bytes::Bytes::from_static(b"half")),
        Err(lmbatch_core::Error::invalid_input("the disk is gone")),
    ]);
    let body = HeaderValue::from_static("application/json");
    let sent = client(&base)
        .create("create")
        .stream(body, 8, broken.boxed())
        .send()
        .await;
    assert_eq!(sent.unwrap_err().delivery(), Delivery::NotSent);
}

#[tokio::test]
async fn an_unreadable_success_has_unknown_delivery() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\nx-request-id: req_7\r\n\r\n{\"id\":\"b1";
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-request-id: req_7\r\n\r\n<html>";
    for (answer, kind) in [
        (cut.as_slice(), ErrorKind::Connection),
        (html.as_slice(), ErrorKind::MalformedResponse),
    ] {
        let base = server(usize::MAX, answer).await;
        let exchange = client(&base).create("create").json_bytes(b"{}".to_vec());
        let error = exchange
            .send_json::<serde_json::Value>(classify_error)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.delivery()),
            (kind, Delivery::Unknown),
            "{error}"
        );
        assert_eq!(
            (error.http_status(), error.request_id()),
            (Some(200), Some("req_7"))
        );
    }
}

#[tokio::test]
async fn a_truncated_download_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nrow\n";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nrow\n\r\n";
    for answer in [cut.as_slice(), chunked.as_slice()] {
        let base = server(usize::MAX, answer).await;
        let reply = client(&base).get("results").send_following().await.unwrap();
        let pieces: Vec<_> = reply.stream().collect().await;
        let error = pieces.last().unwrap().as_ref().unwrap_err();
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Connection, Retry::Temporary)
        );
    }
}

#[tokio::test]
async fn a_missing_answer_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    let error = client(&base).get("status").send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::Timeout, Delivery::Unknown)
    );
}

#[tokio::test]
async fn the_status_of_an_error_decides_delivery_and_retry() {
    for (status, header, kind, retry, delivery) in [
        (
            400,
            None,
            ErrorKind::ProviderInvalidArgs,
            Retry::Permanent,
            Delivery::Refused,
        ),
        (
            429,
            None,
            ErrorKind::ProviderRateLimit,
            Retry::Temporary,
            Delivery::Refused,
        ),
        (
            429,
            Some(("x-should-retry", "false")),
            ErrorKind::ProviderRateLimit,
            Retry::Permanent,
            Delivery::Refused,
        ),
        (
            500,
            Some(("x-should-retry", "true")),
            ErrorKind::ProviderInternal,
            Retry::Temporary,
            Delivery::Unknown,
        ),
        (
            529,
            None,
            ErrorKind::ProviderOverloaded,
            Retry::Temporary,
            Delivery::Unknown,
        ),
        (
            410,
            None,
            ErrorKind::ProviderInvalidArgs,
            Retry::Permanent,
            Delivery::Refused,
        ),
        (
            307,
            Some(("location", "http://elsewhere.test/")),
            ErrorKind::ForeignOrigin,
            Retry::Permanent,
            Delivery::Unknown,
        ),
    ] {
        let mock = MockServer::start().await;
        let mut answer = ResponseTemplate::new(status).set_body_string("a secret prompt");
        if let Some((name, value)) = header {
            answer = answer.insert_header(name, value);
        }
        Mock::given(method("POST"))
            .respond_with(answer)
            .expect(1)
            .mount(&mock)
            .await;
        let exchange = client(&mock.uri())
            .create("create")
            .json_bytes(b"{}".to_vec());
        let error = exchange
            .operation("create")
            .send_ok(classify_error)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), error.retry(), error.delivery()),
            (kind, retry, delivery),
            "{status}"
        );
        assert_eq!(error.provider_message(), Some("a secret prompt"));
        assert!(!format!("{error}{error:?}").contains("secret"));
    }
}

#[tokio::test]
async fn redirects_carry_the_key_only_to_the_base_urls_origin() {
    let (own, foreign) = (MockServer::start().await, MockServer::start().await);
    let to = |url: String| ResponseTemplate::new(302).insert_header("location", url.as_str());
    let here = format!("{}/moved", own.uri());
    let there = format!("{}/blob", foreign.uri());
    for (at, target) in [("/here", here), ("/there", there)] {
        Mock::given(path(at))
            .respond_with(to(target))
            .mount(&own)
            .await;
    }
    Mock::given(path("/moved"))
        .and(header_exists("x-api-key"))
        .respond_with(ResponseTemplate::new(200).set_body_string("rows"))
        .mount(&own)
        .await;
    Mock::given(path("/blob"))
        .respond_with(ResponseTemplate::new(200).set_body_string("rows"))
        .mount(&foreign)
        .await;
    let stranger = client(&own.uri());
    let reply = stranger.get("here").send_following().await.unwrap();
    assert_eq!(reply.bytes(100).await.unwrap(), "rows");
    let error = stranger.get("there").send_following().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignOrigin);
    assert!(foreign.received_requests().await.unwrap().is_empty());

    let mut options = HttpOptions::new("acme", &own.uri()).unwrap();
    options.allowed_origins.push(foreign.uri().parse().unwrap());
    client_of(options)
        .get("there")
        .send_following()
        .await
        .unwrap();
    let seen = foreign.received_requests().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert!(
        !format!("{:?}", seen[0].headers).contains(KEY),
        "a key went to another origin"
    );
}

#[tokio::test]
async fn a_path_on_another_origin_is_not_called() {
    let (own, foreign) = (MockServer::start().await, MockServer::start().await);
    let error = client(&own.uri())
        .get(&format!("{}/steal", foreign.uri()))
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignOrigin);
    assert!(foreign.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_form_has_its_exact_content_length() {
    let mock = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&mock)
        .await;
    let form = Multipart {
        fields: vec![("purpose".to_owned(), "batch".to_owned())],
        file_field: "blob",
        file_name: "a\"b.jsonl".to_owned(),
        content_type: "application/jsonl",
        len: 3,
        body: futures::stream::iter([Ok(bytes::Bytes::from_static(b"{}\n"))]).boxed(),
    };
    client(&mock.uri())
        .post("files")
        .multipart(form)
        .send_ok(classify_error)
        .await
        .unwrap();
    let seen = &mock.received_requests().await.unwrap()[0];
    assert_eq!(
        seen.headers["content-length"].to_str().unwrap(),
        seen.body.len().to_string()
    );
    let text = String::from_utf8(seen.body.clone()).unwrap();
    assert!(
        text.contains("name=\"blob\"; filename=\"a%22b.jsonl\"")
            && text.contains("\r\n\r\n{}\n\r\n--"),
        "{text}"
    );
}

#[tokio::test]
async fn a_deletion_counts_only_if_the_provider_confirms_it() {
    let server = MockServer::start().await;
    for (at, status, body) in [
        ("/gone", 404, "no such file"),
        ("/removed", 410, "no such file"),
        ("/there", 200, ""),
        ("/said", 200, "{\"deleted\":true}"),
        ("/kept", 200, "{\"deleted\":false}"),
        ("/other", 200, "{\"ok\":true}"),
        ("/bare", 200, "{}"),
        ("/list", 200, "[{\"deleted\":true}]"),
        ("/cut", 200, "{\"deleted\":true"),
        ("/login", 200, "<html>"),
        ("/failed", 200, "{\"error\":{}}"),
        ("/beside", 200, "{\"deleted\":true,\"error\":{\"code\":1}}"),
        ("/held", 409, "it is in use"),
        ("/empty", 404, ""),
        ("/page", 404, "<html>"),
    ] {
        let answer = ResponseTemplate::new(status).set_body_string(body);
        let mock = Mock::given(method("DELETE")).and(path(at));
        mock.respond_with(answer).mount(&server).await;
    }
    let client = client(&server.uri());
    let proves = |said: &serde_json::Value| said["deleted"] == true;
    for gone in ["gone", "removed", "said"] {
        client
            .delete(gone)
            .send_delete(classify_error, proves)
            .await
            .unwrap();
    }
    for (held, status) in [
        ("held", 409),
        ("empty", 404),
        ("page", 404),
        ("login", 200),
        ("failed", 200),
        ("beside", 200),
        // A proxy may answer with an empty body.
        ("there", 200),
        ("kept", 200),
        ("other", 200),
        ("bare", 200),
        ("list", 200),
        ("cut", 200),
    ] {
        let error = client
            .delete(held)
            .send_delete(classify_error, proves)
            .await
            .unwrap_err();
        assert_eq!(error.http_status(), Some(status), "{held}");
        if status == 200 {
            let found = (error.kind(), error.retry());
            let expected = (ErrorKind::MalformedResponse, Retry::Temporary);
            assert_eq!(found, expected, "{held}");
        }
    }
}

#[tokio::test]
async fn a_404_or_410_names_what_is_missing_only_if_the_provider_says_so_itself() {
    for status in [404, 410] {
        what_is_missing(status).await;
    }
}

async fn what_is_missing(status: u16) {
    let server = MockServer::start().await;
    for (at, body) in [
        ("/own", "no such thing"),
        ("/page", "<html>"),
        ("/empty", ""),
    ] {
        let answer = ResponseTemplate::new(status).set_body_string(body);
        let mock = Mock::given(path(at));
        mock.respond_with(answer).mount(&server).await;
    }
    let client = client(&server.uri());
    let batch = lmbatch_core::BatchId::new("b");
    for (at, batches, files, lists, retry) in [
        (
            "own",
            ErrorKind::BatchNotFound,
            ErrorKind::FileNotFound,
            ErrorKind::ProviderInvalidArgs,
            Retry::Permanent,
        ),
        (
            "page",
            ErrorKind::MalformedResponse,
            ErrorKind::MalformedResponse,
            ErrorKind::MalformedResponse,
            Retry::Temporary,
        ),
        (
            "empty",
            ErrorKind::MalformedResponse,
            ErrorKind::MalformedResponse,
            ErrorKind::MalformedResponse,
            Retry::Temporary,
        ),
    ] {
        let error = client.get(at).send_ok(classify_error).await.unwrap_err();
        let error = lmbatch_http::batch_error(&batch, error);
        assert_eq!(
            (error.kind(), error.retry()),
            (batches, retry),
            "{status} {at}"
        );
        assert_eq!(error.batch(), Some(&batch));
        let error = client.get(at).send_ok(classify_error).await.unwrap_err();
        let error = lmbatch_http::file_error(error);
        assert_eq!(
            (error.kind(), error.retry()),
            (files, retry),
            "{status} {at}"
        );
        let error = client.get(at).send_ok(classify_error).await.unwrap_err();
        let error = lmbatch_http::list_error(error.with_kind(ErrorKind::ModelNotFound));
        assert_eq!(
            (error.kind(), error.retry()),
            (lists, retry),
            "{status} {at}"
        );
    }
}

#[tokio::test]
async fn a_shard_is_sent_whole_and_absent_parameters_are_omitted() {
    let server = MockServer::start().await;
    let any = Mock::given(wiremock::matchers::any());
    let answer = ResponseTemplate::new(200);
    any.respond_with(answer).mount(&server).await;
    let shard = Shard {
        class: BatchClass::new("/x", "inline"),
        label: Label::new("l"),
        count: 2,
        frame: Frame::list("[", "]"),
        rows: Arc::new(bytes::Bytes::from("1,2")),
    };
    let exchange = client(&server.uri()).post("x");
    let exchange = exchange
        .query_some("a", Some(7))
        .query_some("b", None::<u8>);
    let exchange = exchange.shard("application/json", &shard);
    exchange.send_ok(classify_error).await.unwrap();
    let seen = &server.received_requests().await.unwrap()[0];
    assert_eq!(
        (&*seen.body, seen.url.query()),
        (&b"[1,2]"[..], Some("a=7"))
    );
    assert_eq!(seen.headers["content-length"], "5");
}

#[tokio::test]
async fn the_rest_of_a_document_is_read_without_its_rows_or_is_malformed() {
    let server = MockServer::start().await;
    for (at, body) in [
        ("/whole", r#"{"id":"b","rows":[{"x":1}]}"#),
        ("/page", "<html>"),
    ] {
        let answer = ResponseTemplate::new(200).set_body_string(body);
        let mock = Mock::given(path(at));
        mock.respond_with(answer).mount(&server).await;
    }
    let client = client(&server.uri());
    let whole = client.get("whole").send_ok(classify_error).await.unwrap();
    let rest: serde_json::Value = whole.json_without_rows(&[&["rows"]]).await.unwrap();
    assert_eq!(rest, serde_json::json!({"id": "b", "rows": []}));
    const NO_ROWS: &[lmbatch_http::Path] = &[];
    const ROWS: &[lmbatch_http::Path] = &[&["rows"]];
    for paths in [NO_ROWS, ROWS] {
        let page = client.get("page").send_ok(classify_error).await.unwrap();
        let error = page
            .json_without_rows::<serde_json::Value>(paths)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MalformedResponse);
        assert_eq!(error.http_status(), Some(200));
    }
}

#[tokio::test]
async fn an_unreadable_answer_is_temporary_for_a_get_and_permanent_for_a_post() {
    const PATHS: &[lmbatch_http::Path] = &[&["rows"]];
    let server = MockServer::start().await;
    for (at, body) in [
        ("/page", "<html>"),
        ("/empty", ""),
        ("/list", "[1]"),
        ("/word", "\"ok\""),
        ("/cut", "{\"rows\":"),
        ("/other", "{\"rows\":7}"),
    ] {
        let answer = ResponseTemplate::new(200).set_body_string(body);
        let mock = Mock::given(path(at));
        mock.respond_with(answer).mount(&server).await;
    }
    #[derive(Debug, serde::Deserialize)]
    struct Answer {
        #[expect(dead_code, reason = "only whether it can be read matters")]
        rows: Vec<u8>,
    }
    let client = client(&server.uri());
    for at in ["page", "empty", "list", "word", "cut", "other"] {
        for (exchange, retry) in [
            (client.get(at), Retry::Temporary),
            (client.post(at), Retry::Permanent),
        ] {
            let reply = exchange.send_ok(classify_error).await.unwrap();
            let error = reply.json::<Answer>().await.unwrap_err();
            let found = (error.kind(), error.retry(), error.delivery());
            let expected = (ErrorKind::MalformedResponse, retry, Delivery::Unknown);
            assert_eq!(found, expected, "{at}: {error}");
        }
        for paths in [&[][..], PATHS] {
            let reply = client.get(at).send_ok(classify_error).await.unwrap();
            let error = reply.json_without_rows::<Answer>(paths).await.unwrap_err();
            let found = (error.kind(), error.retry(), error.delivery());
            let expected = (
                ErrorKind::MalformedResponse,
                Retry::Temporary,
                Delivery::Unknown,
            );
            assert_eq!(found, expected, "{at}: {error}");
        }
        let reply = client.get(at).send_following().await.unwrap();
        let error = reply.json::<Answer>().await.unwrap_err();
        assert_eq!(error.retry(), Retry::Temporary, "{at}: {error}");
    }
}

#[test]
fn an_account_id_depends_on_the_base_url_but_not_on_the_key() {
    let with = |base: &str, key: &str| {
        let options = HttpOptions::new("acme", base).unwrap();
        let key = (
            HeaderName::from_static("x-api-key"),
            SecretString::from(key),
        );
        let client = HttpClient::new(options, &[key], HeaderMap::new()).unwrap();
        client.account()
    };
    let own = with("https://api.test/v1", "k");
    assert_eq!(own, with("https://api.test/v1/", "k"));
    assert_eq!(own, with("https://api.test/v1", "other"));
    let url = lmbatch_http::base_url("https://api.test/v1").unwrap();
    assert_eq!(own, lmbatch_http::Identity::new(&url, "k", &[]).account);
    assert_ne!(own, with("https://api.test/v2", "k"));
    assert_ne!(own, with("https://eu.api.test/v1", "k"));
}

#[test]
fn counts_are_read_under_a_providers_names() {
    let counts = serde_json::json!({"all": "3", "yes": 2});
    let read = lmbatch_http::counts(Some(&counts), ["all", "yes", "no"]);
    assert_eq!((read.total, read.succeeded, read.errored), (Some(3), 2, 0));
    assert_eq!(lmbatch_http::counts(None, ["a", "b", "c"]).total, None);
}
