//! Servers that are too slow, send too much, or send an unrequested encoding.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{ByteStream, Delivery, Error, ErrorKind, Retry};
use lmbatch_http::{
    ApiError, HeaderMap, HeaderValue, HttpClient, HttpOptions, Path, document_rows, kind_of,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATHS: &[Path] = &[&["rows"]];
const JSON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";

/// Limits of parts of a second, and no silence.
fn options(base: &str) -> HttpOptions {
    HttpOptions {
        read_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_millis(300),
        min_speed: 4096,
        speed_window: Duration::from_millis(300),
        ..HttpOptions::new("acme", base).unwrap()
    }
}

fn client(options: HttpOptions) -> HttpClient {
    HttpClient::new(options, &[], HeaderMap::new()).unwrap()
}

fn classify_error(status: u16, body: &[u8]) -> ApiError {
    ApiError {
        recognised: body.starts_with(b"{\"error\""),
        ..ApiError::new(kind_of(status))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the server of a test has no Clock"
)]
async fn wait(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test of limits measures the time that passes"
)]
fn now() -> Instant {
    Instant::now()
}

/// Starts a server that reads the head of a request and then runs the given script.
async fn server<F>(does: impl Fn(TcpStream) -> F + Send + 'static) -> String
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            // The client may have closed the connection.
            tokio::spawn(does(stream));
        }
    });
    base
}

/// Sends `head`, and then `piece` every `millis` milliseconds without end.
async fn drips(head: &'static str, piece: &'static [u8], millis: u64) -> String {
    server(move |mut stream| async move {
        stream.write_all(head.as_bytes()).await?;
        loop {
            stream.write_all(piece).await?;
            wait(millis).await;
        }
    })
    .await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that hangs must end by itself"
)]
async fn error_of<T: std::fmt::Debug>(call: impl Future<Output = Result<T, Error>>) -> Error {
    let limit = Duration::from_secs(20);
    let ended = tokio::time::timeout(limit, call).await;
    ended.expect("the call ends").unwrap_err()
}

async fn drained(body: ByteStream) -> Result<u64, Error> {
    body.try_fold(0, |sum, piece| async move { Ok(sum + piece.len() as u64) })
        .await
}

fn timed_out(error: &Error, what: &str) {
    assert_eq!(error.kind(), ErrorKind::Timeout, "{what}: {error}");
    assert_eq!(error.retry(), Retry::Temporary, "{what}");
    assert_eq!(error.delivery(), Delivery::Unknown, "{what}");
}

#[tokio::test]
async fn an_answer_that_trickles_in_times_out() {
    let began = now();
    let base = drips(JSON, b"  ", 20).await;
    let get = || client(options(&base)).get("x");
    let json = error_of(get().send_json::<Value>(classify_error)).await;
    timed_out(&json, "json");
    let rest = async {
        get()
            .send_ok(classify_error)
            .await?
            .json_without_rows::<Value>(&[])
            .await
    };
    timed_out(&error_of(rest).await, "rest");
    let document = async {
        get()
            .send_ok(classify_error)
            .await?
            .json_without_rows::<Value>(PATHS)
            .await
    };
    timed_out(&error_of(document).await, "document");
    let download = async { drained(get().send_following().await?.stream()).await };
    timed_out(&error_of(download).await, "download");
    let rows = async {
        let rows = document_rows(get().send().await?.stream(), PATHS);
        rows.try_for_each(|_| std::future::ready(Ok(()))).await
    };
    timed_out(&error_of(rows).await, "rows");

    let refusal = "HTTP/1.1 400 Bad Request\r\ncontent-length: 100000\r\n\r\n{\"error\"";
    let base = drips(refusal, b"  ", 20).await;
    let error = error_of(
        client(options(&base))
            .post("create")
            .send_ok(classify_error),
    )
    .await;
    assert_eq!(
        (error.http_status(), error.delivery()),
        (Some(400), Delivery::Unknown),
        "an error that never ends is no refusal"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn headers_that_trickle_in_time_out() {
    for head in [
        "HTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: ",
        "HTTP/1.1 200 O",
    ] {
        let base = drips(head, b"a", 20).await;
        let mut options = options(&base);
        options.read_timeout = Duration::from_millis(300);
        timed_out(&error_of(client(options).get("x").send()).await, head);
    }
}

#[tokio::test]
async fn a_download_in_progress_may_exceed_the_time_limits() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
    let base = server(move |mut stream| async move {
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..50 {
            stream.write_all(&[b'x'; 4000]).await?;
            wait(20).await;
        }
        Ok(())
    })
    .await;
    let mut options = options(&base);
    options.read_timeout = Duration::from_millis(500);
    let reply = client(options).get("x").send().await.unwrap();
    assert_eq!(drained(reply.stream()).await.unwrap(), 200_000);
}

#[tokio::test]
async fn the_time_limit_of_a_document_grows_with_its_length() {
    let base = server(move |mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"id\":\"b\",\"rows\":[0";
        stream.write_all(head.as_bytes()).await?;
        let rows = ",1".repeat(64 << 10);
        for _ in 0..4 {
            stream.write_all(rows.as_bytes()).await?;
            wait(200).await;
        }
        stream.write_all(b"]}").await
    })
    .await;
    let reply = client(options(&base)).get("x").send().await.unwrap();
    let rest: Value = reply.json_without_rows(PATHS).await.unwrap();
    assert_eq!(rest, serde_json::json!({"id": "b", "rows": []}));
}

#[tokio::test]
async fn a_slow_reader_is_not_mistaken_for_a_slow_server() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let base = server(move |mut stream| async move {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b'x'; 1_000_000]).await
    })
    .await;
    let mut options = options(&base);
    options.min_speed = 1 << 20;
    let reply = client(options).get("x").send().await.unwrap();
    let mut body = reply.stream();
    let mut bytes = 0;
    for slow in 0.. {
        let Some(piece) = body.try_next().await.unwrap() else {
            break;
        };
        bytes += piece.len();
        if slow < 3 {
            wait(400).await;
        }
    }
    assert_eq!(bytes, 1_000_000);
}

#[tokio::test]
async fn without_a_speed_window_only_silent_downloads_fail() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    for (bytes, expected) in [(4, None), (3, Some(ErrorKind::Timeout))] {
        let base = server(move |mut stream| async move {
            stream.write_all(head.as_bytes()).await?;
            for _ in 0..bytes {
                stream.write_all(b"x").await?;
                wait(150).await;
            }
            wait(5_000).await;
            Ok(())
        })
        .await;
        let options = HttpOptions {
            speed_window: Duration::ZERO,
            read_timeout: Duration::from_millis(600),
            ..options(&base)
        };
        let reply = client(options).get("x").send().await.unwrap();
        let read: Result<Vec<_>, Error> = reply.stream().try_collect().await;
        assert_eq!(
            read.err().map(|error| error.kind()),
            expected,
            "{bytes} bytes"
        );
    }
}

/// A body in pieces of 64 KiB, as bodies come from the disk.
fn upload(client: &HttpClient, pieces: u64) -> lmbatch_http::Exchange {
    let piece = bytes::Bytes::from(vec![b'x'; 64 << 10]);
    let body = futures::stream::iter((0..pieces).map(move |_| Ok(piece.clone())));
    let json = HeaderValue::from_static("application/json");
    client
        .create("create")
        .stream(json, pieces * (64 << 10), body.boxed())
}

#[tokio::test]
async fn a_stalled_or_slow_upload_fails_as_not_sent() {
    for (millis, bytes) in [(60_000, 1), (20, 2), (20, 8)] {
        let base = server(move |mut stream| async move {
            let mut buffer = vec![0; bytes];
            loop {
                wait(millis).await;
                stream.read_exact(&mut buffer).await?;
            }
        })
        .await;
        let mut options = options(&base);
        options.read_timeout = Duration::from_millis(500);
        let client = client(options);
        let error = error_of(upload(&client, 1024).send()).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert_eq!(error.retry(), Retry::Temporary);
        assert_eq!(error.delivery(), Delivery::NotSent, "{error}");
    }
}

#[tokio::test]
async fn an_upload_in_progress_may_exceed_the_time_limits() {
    let base = server(move |mut stream| async move {
        let mut left = 512 * (64 << 10);
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let some = buffer.len().min(left);
            left -= stream.read_exact(&mut buffer[..some]).await?;
            wait(60).await;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await
    })
    .await;
    let mut options = options(&base);
    options.read_timeout = Duration::from_secs(1);
    let began = now();
    let reply = upload(&client(options), 512).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn an_unrequested_encoding_is_an_error() {
    for header in [
        "content-encoding: gzip",
        "Content-Encoding: identity, br",
        "content-encoding: sk-\u{202e}-key",
    ] {
        let answer = move |status: u16| {
            let body = "{\"id\":\"b\",\"error\":{}}";
            let len = body.len();
            format!("HTTP/1.1 {status} X\r\n{header}\r\ncontent-length: {len}\r\n\r\n{body}")
        };
        let says = move |status| {
            server(
                move |mut stream| async move { stream.write_all(answer(status).as_bytes()).await },
            )
        };
        let base = says(200).await;
        let call = || client(options(&base)).create("create");
        let made = async { call().send_ok(classify_error).await?.created_id("id").await };
        let rows = async {
            drained(call().send_ok(classify_error).await?.stream())
                .await
                .map(drop)
        };
        let rest = async {
            call()
                .send_ok(classify_error)
                .await?
                .json_without_rows::<Value>(PATHS)
                .await
        };
        for error in [
            error_of(made).await,
            error_of(rows).await,
            error_of(rest).await,
        ] {
            assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{error}");
            assert_eq!(error.retry(), Retry::Temporary, "{error}");
            assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
            let said = error.to_string();
            assert!(
                said.contains("encoded as") && !said.contains('\u{202e}'),
                "{said}"
            );
        }
        let base = says(400).await;
        let error = error_of(
            client(options(&base))
                .create("create")
                .send_ok(classify_error),
        )
        .await;
        assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    }
}

#[tokio::test]
async fn requests_accept_only_identity_encoding() {
    let base = server(|mut stream| async move {
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: 2\r\n\r\n{}",
            )
            .await
    })
    .await;
    client(options(&base))
        .get("x")
        .send_json::<Value>(classify_error)
        .await
        .unwrap();
    let mock = wiremock::MockServer::start().await;
    drop(client(options(&mock.uri())).get("x").send().await.unwrap());
    let seen = mock.received_requests().await.unwrap();
    assert_eq!(seen[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_endless_list_in_a_document_fails_at_the_size_limit() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"rows\":[0";
    for piece in [
        &b",1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"[..],
        b",{\"",
        b"[[[[[[",
        b"      ",
    ] {
        let piece: &'static [u8] = piece.repeat((64 << 10) / piece.len()).leak();
        let base = drips(head, piece, 0).await;
        let mut options = options(&base);
        options.max_document_bytes = 1 << 20;
        options.response_timeout = Duration::from_secs(60);
        let reply = client(options).get("x").send().await.unwrap();
        let error = error_of(reply.json_without_rows::<Value>(PATHS)).await;
        assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{error}");
        assert_eq!(error.retry(), Retry::Permanent, "{error}");
    }
}
