//! Settings of the client that a caller chooses: what is sent, to whom, and what is refused.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use lmbatch_core::{ErrorKind, Result};
use lmbatch_http::{
    ApiError, ClientOptions, HeaderMap, HeaderName, HeaderValue, HttpClient, HttpOptions,
    SecretString, kind_of,
};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// Value of a header for a gateway.
const GATEWAY_KEY: &str = "canary-gateway-key";

fn build(base: &str, client: ClientOptions) -> Result<HttpClient> {
    let options = HttpOptions::with_client_options("acme", base, client)?;
    let key = (
        HeaderName::from_static("x-acme-key"),
        SecretString::from("canary-key"),
    );
    let version = (
        HeaderName::from_static("acme-version"),
        HeaderValue::from_static("1"),
    );
    HttpClient::new(options, &[key], HeaderMap::from_iter([version]))
}

async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(response)
        .mount(&server)
        .await;
    server
}

async fn received(server: &MockServer) -> Request {
    let mut received = server.received_requests().await.unwrap();
    assert_eq!(received.len(), 1);
    received.remove(0)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn headers_and_the_suffix_of_the_user_agent_are_sent_beside_the_key() {
    let server = answering(ResponseTemplate::new(200)).await;
    let options = ClientOptions::new()
        .header("X-Gateway", GATEWAY_KEY)
        .user_agent_suffix("reviews/1.4");
    let client = build(&server.uri(), options).unwrap();
    client.get("models").send().await.unwrap();
    let request = received(&server).await;
    assert_eq!(header(&request, "x-gateway"), Some(GATEWAY_KEY));
    assert_eq!(header(&request, "x-acme-key"), Some("canary-key"));
    let agent = header(&request, "user-agent").unwrap();
    assert!(
        agent.starts_with("lmbatch/") && agent.ends_with(" reviews/1.4"),
        "{agent}"
    );
}

#[tokio::test]
async fn headers_are_sent_to_no_other_origin() {
    let other = answering(ResponseTemplate::new(200)).await;
    let redirect = ResponseTemplate::new(302).insert_header("location", other.uri().as_str());
    let own = answering(redirect).await;
    let options = ClientOptions::new().header("x-gateway", GATEWAY_KEY);
    let mut options = HttpOptions::with_client_options("acme", &own.uri(), options).unwrap();
    options.allowed_origins = vec![other.uri().parse().unwrap()];
    let client = HttpClient::new(options, &[], HeaderMap::new()).unwrap();
    client.get("file").send_following().await.unwrap();
    assert_eq!(
        header(&received(&own).await, "x-gateway"),
        Some(GATEWAY_KEY)
    );
    assert_eq!(header(&received(&other).await, "x-gateway"), None);
}

#[tokio::test]
async fn a_header_value_that_a_server_sends_back_is_not_shown() {
    let server = answering(ResponseTemplate::new(401).set_body_string(GATEWAY_KEY)).await;
    let options = ClientOptions::new().header("x-gateway", GATEWAY_KEY);
    let client = build(&server.uri(), options).unwrap();
    let classify = |status: u16, body: &[u8]| ApiError {
        recognised: true,
        code: Some(String::from_utf8_lossy(body).into_owned()),
        ..ApiError::new(kind_of(status))
    };
    let error = client.get("x").send_ok(classify).await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("canary"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_response_that_does_not_begin_in_time_is_a_timeout() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let server = answering(late).await;
    let options = ClientOptions::new().response_timeout(Duration::from_millis(100));
    let client = build(&server.uri(), options).unwrap();
    let error = client.get("x").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
}

#[test]
fn timeouts_replace_the_defaults() {
    let read = |client| {
        let options = HttpOptions::with_client_options("acme", "https://a.test", client).unwrap();
        (
            options.connect_timeout,
            options.read_timeout,
            options.response_timeout,
        )
    };
    let seconds = Duration::from_secs;
    assert_eq!(
        read(ClientOptions::new()),
        (seconds(10), seconds(120), seconds(120))
    );
    let client = ClientOptions::new()
        .connect_timeout(seconds(3))
        .response_timeout(seconds(300));
    assert_eq!(read(client), (seconds(3), seconds(300), seconds(300)));
}

#[tokio::test]
async fn a_proxy_receives_the_calls_to_other_machines_only() {
    let proxy = answering(ResponseTemplate::new(200)).await;
    let url = proxy.uri().replace("http://", "http://user:pass@");
    let options = || ClientOptions::new().allow_http(true).proxy(url.as_str());
    let client = build("http://gateway.test/v1", options()).unwrap();
    client.get("models").send().await.unwrap();
    let request = received(&proxy).await;
    assert_eq!(header(&request, "host"), Some("gateway.test"));
    assert_eq!(request.url.path(), "/v1/models");
    // "user:pass" in base64.
    assert_eq!(
        header(&request, "proxy-authorization"),
        Some("Basic dXNlcjpwYXNz")
    );

    let local = answering(ResponseTemplate::new(200)).await;
    let client = build(&local.uri(), options()).unwrap();
    client.get("models").send().await.unwrap();
    received(&local).await;
    assert_eq!(proxy.received_requests().await.unwrap().len(), 1);
}

#[test]
fn settings_that_cannot_be_used_are_refused_by_name() {
    let new = ClientOptions::new;
    for (options, words) in [
        (new().connect_timeout(Duration::ZERO), "connect_timeout"),
        (new().response_timeout(Duration::ZERO), "response_timeout"),
        (new().header("Authorization", "canary"), "\"Authorization\""),
        (new().header("x-acme-key", "canary"), "\"x-acme-key\""),
        (new().header("acme-version", "canary"), "\"acme-version\""),
        (new().header("host", "canary"), "\"host\""),
        (new().header("two words", "canary"), "\"two words\""),
        (new().header("x-a", "canary\nx: y"), "\"x-a\""),
        (new().root_certificates("canary"), "certificates in PEM"),
        (
            new().root_certificates(
                "-----BEGIN CERTIFICATE-----\ncanary==\n-----END CERTIFICATE-----\n",
            ),
            "certificates in PEM",
        ),
        (new().proxy("canary"), "the proxy"),
        (new().proxy("socks5://canary:1"), "the proxy"),
        (new().user_agent_suffix("a\nb"), "the user agent"),
    ] {
        let error = build("https://api.test", options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
    }
    let error = build("http://gateway.test", new()).unwrap_err();
    assert!(error.to_string().contains("https"), "{error}");
}

#[test]
fn nothing_shows_the_values_of_headers_or_the_password_of_a_proxy() {
    let options = ClientOptions::new()
        .header("x-gateway", GATEWAY_KEY)
        .proxy("http://user:canary@proxy.test")
        .root_certificates("canary");
    let whole = HttpOptions::with_client_options("acme", "https://a.test", options.clone());
    let shown = format!("{options:?} {:?}", whole.unwrap());
    assert!(
        shown.contains("x-gateway") && !shown.contains("canary"),
        "{shown}"
    );
}
