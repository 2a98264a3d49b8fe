//! Text of a provider's answer that an error may contain, and the use of proxies.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lmbatch_core::{Delivery, ErrorKind, Retry};
use lmbatch_http::{
    ApiError, HeaderMap, HeaderName, HttpClient, HttpOptions, SecretString, kind_of,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "sk-canary-0123456789";

fn client(base: &str) -> HttpClient {
    let key = (
        HeaderName::from_static("authorization"),
        SecretString::from(format!("Bearer {KEY}")),
    );
    let options = HttpOptions::new("acme", base).unwrap();
    HttpClient::new(options, &[key], HeaderMap::new()).unwrap()
}

fn classify_error(status: u16, body: &[u8]) -> ApiError {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    ApiError {
        recognised: error["code"].is_string(),
        code: text("code"),
        message: text("message"),
        ..ApiError::new(kind_of(status))
    }
}

async fn says(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let mock = Mock::given(any()).respond_with(answer);
    mock.mount(&server).await;
    server
}

#[tokio::test]
async fn a_key_echoed_by_the_provider_is_removed_from_errors() {
    for echo in [
        KEY.to_owned(),
        format!("Bearer {KEY}"),
        format!("invalid key '{KEY}', or \"{KEY}\""),
        KEY.to_ascii_uppercase(),
        format!("{}\u{202e}{}", &KEY[..9], &KEY[9..]),
    ] {
        let plain = echo.is_ascii();
        let mut answer = ResponseTemplate::new(401)
            .set_body_json(json!({"code": echo, "message": format!("bad: {echo}")}));
        if plain {
            answer = answer.insert_header("x-request-id", echo.as_str());
        }
        let server = says(answer).await;
        let error = client(&server.uri())
            .post("x")
            .send_ok(classify_error)
            .await
            .unwrap_err();
        let message = error.provider_message().unwrap();
        let facts = [
            error.code().unwrap().to_owned(),
            error.request_id().unwrap_or_default().to_owned(),
            message.to_owned(),
            format!(
                "{error} {error:?} {error:#?} {:?}",
                error.to_request_error()
            ),
        ];
        for fact in facts {
            let fact = fact.to_ascii_lowercase();
            assert!(
                !fact.contains(KEY) && !fact.contains("0123456789"),
                "{fact}"
            );
        }
        assert!(error.code().is_some_and(|code| code.contains("***")));
        assert_eq!(
            error.delivery(),
            Delivery::Refused,
            "it is an error of its own"
        );
    }
}

#[tokio::test]
async fn an_id_next_to_an_error_is_not_accepted() {
    for (body, expected) in [
        (json!({"id": "b-1", "error": null}), Some("b-1")),
        (json!({"id": "b-1", "errors": []}), Some("b-1")),
        (json!({"id": "req-1", "error": {"code": "x"}}), None),
        (json!({"id": "req-1", "error": "internal"}), None),
        (json!({"id": 1}), None),
        (json!({"id": ""}), None),
        (json!([]), None),
    ] {
        let server = says(ResponseTemplate::new(200).set_body_json(&body)).await;
        let reply = client(&server.uri())
            .create("x")
            .send_ok(classify_error)
            .await;
        match (reply.unwrap().created_id("id").await, expected) {
            (Ok(id), Some(expected)) => assert_eq!(id, expected, "{body}"),
            (Err(error), None) => {
                assert_eq!(error.kind(), ErrorKind::MalformedResponse, "{body}");
                assert_eq!(error.delivery(), Delivery::Unknown, "{body}");
            }
            (made, _) => panic!("{body}: {made:?}"),
        }
    }
}

/// Creates a client of a service whose errors are in `problem`.
fn client_of_problems(base: &str) -> HttpClient {
    let mut options = HttpOptions::new("acme", base).unwrap();
    options.error_member = "problem";
    HttpClient::new(options, &[], HeaderMap::new()).unwrap()
}

#[tokio::test]
async fn a_nested_id_is_read_unless_the_answer_holds_an_error() {
    for (body, expected) in [
        (json!({"job": {"key": "b-1"}}), Some("b-1")),
        (json!({"job": {"key": "b-1"}, "problem": null}), Some("b-1")),
        (json!({"job": {"key": "b-1"}, "error": "x"}), Some("b-1")),
        (json!({"job": {"key": "b-1"}, "problem": {"code": 1}}), None),
        (json!({"job": {"key": "b-1"}, "problem": "x"}), None),
        (json!({"job": {"key": ""}}), None),
        (json!({"job": {"key": 7}}), None),
        (json!({"job": "b-1"}), None),
        (json!({"key": "b-1"}), None),
    ] {
        let server = says(ResponseTemplate::new(200).set_body_json(&body)).await;
        let reply = client_of_problems(&server.uri())
            .create("x")
            .send_ok(classify_error)
            .await;
        let made = reply.unwrap().created_id_at(&["job", "key"]).await;
        let made = made.map_err(|error| (error.kind(), error.delivery()));
        let in_doubt = Err((ErrorKind::MalformedResponse, Delivery::Unknown));
        let expected = expected.map_or(in_doubt, |id| Ok(id.to_owned()));
        assert_eq!(made, expected, "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_holds_an_error_is_rejected() {
    for (body, expected) in [
        (json!({"id": "b-1"}), Ok("b-1")),
        (json!({"id": "b-1", "problem": null}), Ok("b-1")),
        (json!({"id": "b-1", "problem": ""}), Ok("b-1")),
        (json!({"id": "b-1", "error": {"code": 1}}), Ok("b-1")),
        (json!({"id": "b-1", "problem": {"code": 1}}), Err(())),
        (json!({"id": "b-1", "problem": []}), Err(())),
        (json!({"name": "b-1"}), Err(())),
        (json!(["b-1"]), Err(())),
    ] {
        let server = says(ResponseTemplate::new(200).set_body_json(&body)).await;
        let reply = client_of_problems(&server.uri())
            .get("x")
            .send_ok(classify_error)
            .await;
        #[derive(serde::Deserialize)]
        struct Batch {
            id: String,
        }
        let read = reply.unwrap().checked::<Batch>(&[]).await;
        let read = read.map(|batch| batch.id).map_err(|error| {
            let found = (error.kind(), error.retry());
            assert_eq!(
                found,
                (ErrorKind::MalformedResponse, Retry::Temporary),
                "{body}"
            );
        });
        assert_eq!(read, expected.map(str::to_owned), "{body}");
    }
}

#[tokio::test]
async fn a_key_in_an_id_or_a_redirect_is_not_printed() {
    let made = ResponseTemplate::new(200).set_body_json(json!({"id": format!("batch_{KEY}")}));
    let server = says(made).await;
    let reply = client(&server.uri())
        .create("x")
        .send_ok(classify_error)
        .await
        .unwrap();
    let error = reply.created_id("id").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.delivery()),
        (ErrorKind::MalformedResponse, Delivery::Unknown)
    );
    assert!(!format!("{error} {error:?}").contains(KEY));

    let there = format!("https://{KEY}.test/");
    let moved = ResponseTemplate::new(302).insert_header("location", there.as_str());
    let server = says(moved).await;
    let error = client(&server.uri())
        .get("x")
        .send_following()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ForeignOrigin);
    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
}

#[tokio::test]
async fn a_code_and_a_request_id_are_one_short_line() {
    let wild = "a\u{1b}]0;x\u{7}\u{1b}[31m\r\n\u{202e}b\u{2066}\u{200f}\u{61c}\u{9b}c";
    let body = json!({"code": format!("{wild}{}", "y".repeat(5000)), "message": "m"});
    let answer = ResponseTemplate::new(500)
        .insert_header("request-id", "z".repeat(5000).as_str())
        .set_body_json(body);
    let server = says(answer).await;
    let error = client(&server.uri())
        .get("x")
        .send_ok(classify_error)
        .await
        .unwrap_err();
    let code = error.code().unwrap();
    assert!(code.starts_with("a]0;x[31mbcy"), "{code:?}");
    assert_eq!(code.chars().count(), 200);
    assert_eq!(error.request_id().map(str::len), Some(200));
    assert!(error.to_string().len() < 700);
}

/// Set in the process that this test starts.
const CHILD: &str = "LMBATCH_HTTP_BEHIND_PROXY";

#[tokio::test]
async fn loopback_requests_bypass_the_proxy() {
    if std::env::var_os(CHILD).is_some() {
        let server = says(ResponseTemplate::new(200)).await;
        let port = server.address().port();
        for host in ["127.0.0.1", "localhost"] {
            let sent = client(&format!("http://{host}:{port}"))
                .get("x")
                .send()
                .await;
            assert_eq!(sent.unwrap().status(), 200);
        }
        assert_eq!(server.received_requests().await.unwrap().len(), 2);
        return;
    }
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while proxy.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "loopback_requests_bypass_the_proxy"])
        .env(CHILD, "1")
        .env_remove("NO_PROXY")
        .env_remove("no_proxy");
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, &url);
    }
    let ended = tokio::task::spawn_blocking(move || child.output().unwrap()).await;
    let ended = ended.unwrap();
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stdout)
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0, "the proxy was asked");
}
