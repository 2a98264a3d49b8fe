//! Servers that are too slow, send too much, or send what was not asked for.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{ByteStream, Delivery, Error, ErrorKind, Retry};
use lmbatch_http::{
    HeaderMap, HeaderValue, HttpClient, HttpOptions, Path, Told, document_rows, kind_of,
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
        answer_timeout: Duration::from_millis(300),
        least_speed: 4096,
        speed_window: Duration::from_millis(300),
        ..HttpOptions::new("acme", base).unwrap()
    }
}

fn client(options: HttpOptions) -> HttpClient {
    HttpClient::new(options, &[], HeaderMap::new()).unwrap()
}

fn tell(status: u16, body: &[u8]) -> Told {
    Told {
        recognised: body.starts_with(b"{\"error\""),
        ..Told::new(kind_of(status))
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

/// A server that reads the head of a request and then does as it is told.
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
            // A client that has gone does not read.
            tokio::spawn(does(stream));
        }
    });
    base
}

/// Says `head`, and then `piece` each `millis`, for ever.
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
async fn two_bytes_at_a_time_hold_no_answer_of_any_kind() {
    let began = now();
    let base = drips(JSON, b"  ", 20).await;
    let get = || client(options(&base)).get("x");
    let json = error_of(get().ask_json::<Value>(tell)).await;
    timed_out(&json, "json");
    let rest = async { get().ask(tell).await?.rest::<Value>(&[]).await };
    timed_out(&error_of(rest).await, "rest");
    let document = async { get().ask(tell).await?.rest::<Value>(PATHS).await };
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
    let error = error_of(client(options(&base)).post("create").ask(tell)).await;
    assert_eq!(
        (error.http_status(), error.delivery()),
        (Some(400), Delivery::Unknown),
        "an error that never ends is no refusal"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn headers_that_drip_hold_no_call() {
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
async fn a_download_that_keeps_moving_may_take_longer_than_any_limit() {
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
async fn a_document_of_many_rows_gets_the_time_that_they_take() {
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
    let rest: Value = reply.rest(PATHS).await.unwrap();
    assert_eq!(rest, serde_json::json!({"id": "b", "rows": []}));
}

#[tokio::test]
async fn a_reader_that_takes_its_time_is_not_taken_for_a_slow_server() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n";
    let base = server(move |mut stream| async move {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&vec![b'x'; 1_000_000]).await
    })
    .await;
    let mut options = options(&base);
    options.least_speed = 1 << 20;
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
async fn without_a_speed_window_a_slow_download_is_read_and_a_silent_one_is_given_up() {
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
async fn an_upload_that_is_not_taken_or_hardly_is_given_up_and_was_not_sent() {
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
async fn an_upload_that_keeps_moving_may_take_longer_than_any_limit() {
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
async fn an_encoding_that_was_not_asked_for_is_refused() {
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
        let made = async { call().ask(tell).await?.made("id").await };
        let rows = async { drained(call().ask(tell).await?.stream()).await.map(drop) };
        let rest = async { call().ask(tell).await?.rest::<Value>(PATHS).await };
        for error in [
            error_of(made).await,
            error_of(rows).await,
            error_of(rest).await,
        ] {
            assert_eq!(error.kind(), ErrorKind::MalformedReply, "{error}");
            assert_eq!(error.retry(), Retry::Temporary, "{error}");
            assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
            let said = error.to_string();
            assert!(
                said.contains("encoded as") && !said.contains('\u{202e}'),
                "{said}"
            );
        }
        let base = says(400).await;
        let error = error_of(client(options(&base)).create("create").ask(tell)).await;
        assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    }
}

#[tokio::test]
async fn no_encoding_is_asked_for() {
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
        .ask_json::<Value>(tell)
        .await
        .unwrap();
    let mock = wiremock::MockServer::start().await;
    drop(client(options(&mock.uri())).get("x").send().await.unwrap());
    let seen = mock.received_requests().await.unwrap();
    assert_eq!(seen[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn an_endless_list_in_a_document_ends_at_its_cap() {
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
        options.answer_timeout = Duration::from_secs(60);
        let reply = client(options).get("x").send().await.unwrap();
        let error = error_of(reply.rest::<Value>(PATHS)).await;
        assert_eq!(error.kind(), ErrorKind::MalformedReply, "{error}");
        assert_eq!(error.retry(), Retry::Permanent, "{error}");
    }
}
