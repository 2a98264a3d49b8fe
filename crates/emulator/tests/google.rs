//! The Gemini dialect over plain HTTP, as any SDK uses it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod plain_http;

use std::time::Duration;

use lmbatch_emulator::{Emulator, Limits, Pace};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

struct Sdk {
    emulator: Emulator,
    client: Client,
}

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

fn request(text: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": text}]}]})
}

fn inline(texts: &[&str]) -> Value {
    let list = texts.iter().enumerate();
    let list = list
        .map(|(k, text)| json!({"request": request(text), "metadata": {"key": format!("r{k}")}}));
    let config = json!({"requests": {"requests": list.collect::<Vec<_>>()}});
    json!({"batch": {"displayName": "label", "inputConfig": config}})
}

impl Sdk {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.google_base_url())
    }

    async fn send(&self, request: RequestBuilder) -> Response {
        request.header("x-goog-api-key", "k").send().await.unwrap()
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

    async fn create(&self, body: &Value) -> Response {
        self.post("/v1beta/models/gemini-x:batchGenerateContent", body)
            .await
    }

    /// Returns the path of the operation.
    async fn created(&self, body: &Value) -> String {
        let made: Value = self.create(body).await.json().await.unwrap();
        format!(
            "/v1beta/{}",
            made["name"].as_str().unwrap_or_else(|| panic!("{made}"))
        )
    }

    async fn begin(&self, name: Option<&str>) -> Response {
        let body = json!({"file": {"displayName": "d", "name": name}});
        let request = self
            .client
            .post(self.url("/upload/v1beta/files"))
            .json(&body);
        self.send(
            request
                .header("x-goog-upload-protocol", "resumable")
                .header("x-goog-upload-command", "start"),
        )
        .await
    }

    async fn piece(&self, url: &str, command: &str, offset: usize, text: &str) -> Response {
        let request = self.client.post(url).body(text.to_owned());
        self.send(
            request
                .header("x-goog-upload-command", command)
                .header("x-goog-upload-offset", offset),
        )
        .await
    }

    /// Returns the name of the created file.
    async fn upload(&self, text: &str) -> String {
        let begun = self.begin(None).await;
        let url = begun.headers()["x-goog-upload-url"].to_str().unwrap();
        let done: Value = self
            .piece(url, "upload, finalize", 0, text)
            .await
            .json()
            .await
            .unwrap();
        done["file"]["name"].as_str().unwrap().to_owned()
    }
}

fn by_file(file: &str) -> Value {
    json!({"batch": {"display_name": "label", "input_config": {"file_name": file}}})
}

#[tokio::test]
async fn an_operation_has_exactly_the_members_of_the_provider() {
    let sdk = sdk(SLOW, Limits::default()).await;
    let path = sdk
        .created(&inline(&["a", "lmb:error-500", "lmb:failed"]))
        .await;
    let running = sdk.json(&path).await;
    assert!(
        running.get("done").is_none() && running.get("response").is_none(),
        "{running}"
    );
    let metadata = &running["metadata"];
    assert_eq!(
        metadata["batchStats"],
        json!({"requestCount": "3", "pendingRequestCount": "3"})
    );
    assert_eq!(
        (
            &metadata["state"],
            &metadata["displayName"],
            &metadata["model"]
        ),
        (
            &json!("BATCH_STATE_RUNNING"),
            &json!("label"),
            &json!("models/gemini-x")
        )
    );
    sdk.emulator.advance(HOUR);
    let ended = sdk.json(&path).await;
    assert_eq!(
        (&ended["done"], &ended["metadata"]["state"]),
        (&json!(true), &json!("BATCH_STATE_SUCCEEDED"))
    );
    assert_eq!(
        ended["metadata"]["batchStats"],
        json!({"requestCount": "3", "successfulRequestCount": "1", "failedRequestCount": "2"})
    );
    // The results appear twice, each row with its key.
    let rows = &ended["response"]["inlinedResponses"]["inlinedResponses"];
    assert_eq!(
        rows,
        &ended["metadata"]["output"]["inlinedResponses"]["inlinedResponses"]
    );
    let keys: Vec<&Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["metadata"]["key"])
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.contains(&&json!("r0")) && keys.contains(&&json!("r1")));
}

#[tokio::test]
async fn an_input_is_uploaded_in_pieces_and_results_are_named_twice() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let line = |key: &str| json!({"key": key, "request": request(key)}).to_string() + "\n";
    let text = line("a") + &line("b");
    let begun = sdk.begin(Some("files/mine")).await;
    let url = begun.headers()["x-goog-upload-url"]
        .to_str()
        .unwrap()
        .to_owned();
    let first = sdk.piece(&url, "upload", 0, &text[..10]).await;
    assert_eq!(
        (
            &first.headers()["x-goog-upload-status"],
            &first.headers()["x-goog-upload-size-received"]
        ),
        (&"active".parse().unwrap(), &"10".parse().unwrap())
    );
    assert_eq!(sdk.piece(&url, "upload", 3, "x").await.status(), 400);
    assert_eq!(
        sdk.piece(&url, "query", 0, "").await.headers()["x-goog-upload-size-received"],
        "10"
    );
    let last = sdk.piece(&url, "upload, finalize", 10, &text[10..]).await;
    assert_eq!(last.headers()["x-goog-upload-status"], "final");
    let file: Value = last.json().await.unwrap();
    assert_eq!(
        (&file["file"]["name"], &file["file"]["sizeBytes"]),
        (&json!("files/mine"), &json!(text.len().to_string()))
    );
    assert_eq!(sdk.begin(Some("files/mine")).await.status(), 409);

    let path = sdk.created(&by_file("files/mine")).await;
    let ended = sdk.json(&path).await;
    let results = ended["response"]["responsesFile"].as_str().unwrap();
    assert_eq!(ended["metadata"]["output"]["responsesFile"], results);
    let mut read = Vec::new();
    for place in [
        format!("/download/v1beta/{results}:download?alt=media"),
        format!("/v1beta/{results}:download?alt=media"),
    ] {
        read.push(sdk.get(&place).await.text().await.unwrap());
    }
    assert_eq!(read[0], read[1]);
    assert_eq!(read[0].lines().count(), 2);
    // An uploaded file cannot be read, and a deleted file looks like a file of another account.
    assert_eq!(
        sdk.get("/download/v1beta/files/mine:download?alt=media")
            .await
            .status(),
        400
    );
    assert_eq!(
        sdk.send(sdk.client.delete(sdk.url("/v1beta/files/mine")))
            .await
            .status(),
        200
    );
    assert_eq!(sdk.get("/v1beta/files/mine").await.status(), 403);
    assert_eq!(sdk.create(&by_file("files/mine")).await.status(), 403);
}

#[tokio::test]
async fn the_input_is_validated_strictly_at_once() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let good = json!({"key": "a", "request": request("x")});
    let mut extra = good.clone();
    extra["request"]["temperature"] = json!(1);
    for (text, words) in [
        (format!("{good}\nnonsense"), "Error on line 2"),
        (format!("{extra}\n"), "no such field: 'temperature'"),
        (
            json!({"key": "a", "request": {}}).to_string(),
            "contents is not specified",
        ),
        ("\n".to_owned(), "no requests"),
    ] {
        let file = sdk.upload(&text).await;
        let answer: Value = sdk.create(&by_file(&file)).await.json().await.unwrap();
        assert_eq!(answer["error"]["status"], "INVALID_ARGUMENT");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(words),
            "{answer}"
        );
    }
    assert_eq!(sdk.create(&inline(&[])).await.status(), 400);
    let nothing = json!({"batch": {"displayName": "x"}});
    assert_eq!(sdk.create(&nothing).await.status(), 400);
    assert_eq!(sdk.emulator.bill().creates, 0);
}

#[tokio::test]
async fn an_invalid_key_is_a_400_and_v1_is_served_like_v1beta() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let path = sdk.created(&inline(&["a"])).await.replace("v1beta", "v1");
    assert_eq!(sdk.get(&path).await.status(), 200);
    let by_query = sdk
        .client
        .get(sdk.url(&format!("{path}?key=k")))
        .send()
        .await
        .unwrap();
    assert_eq!(by_query.status(), 200);
    let bad = sdk
        .client
        .get(sdk.url("/v1beta/batches"))
        .header("x-goog-api-key", "bad");
    let bad: Value = bad.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (&bad["error"]["code"], &bad["error"]["details"][0]["reason"]),
        (&json!(400), &json!("API_KEY_INVALID"))
    );
}

#[tokio::test]
async fn a_succeeded_batch_can_lack_its_results_for_a_while() {
    let limits = Limits {
        late_results: HOUR,
        ..Limits::default()
    };
    let sdk = sdk(Pace::INSTANT, limits).await;
    let path = sdk.created(&inline(&["a"])).await;
    let early = sdk.json(&path).await;
    assert_eq!(early["metadata"]["state"], "BATCH_STATE_SUCCEEDED");
    assert!(early.get("response").is_none(), "{early}");
    sdk.emulator.advance(HOUR);
    assert!(sdk.json(&path).await["response"]["inlinedResponses"].is_object());
}

#[tokio::test]
async fn a_batch_expires_after_two_days_without_results() {
    let sdk = sdk(
        Pace {
            in_progress: HOUR * 100,
            ..SLOW
        },
        Limits::default(),
    )
    .await;
    let path = sdk.created(&inline(&["a"])).await;
    sdk.emulator.advance(HOUR * 48);
    let ended = sdk.json(&path).await;
    assert_eq!(ended["metadata"]["state"], "BATCH_STATE_EXPIRED");
    assert!(
        ended.get("response").is_none() && ended["error"]["code"].is_number(),
        "{ended}"
    );
    assert_eq!(sdk.emulator.bill().answered_requests, 0);
}

#[tokio::test]
async fn batches_are_listed_by_pages_cancelled_and_deleted() {
    let sdk = sdk(SLOW, Limits::default()).await;
    assert_eq!(sdk.json("/v1beta/batches").await, json!({}));
    let mut paths = Vec::new();
    for _ in 0..3 {
        paths.push(sdk.created(&inline(&["a", "b"])).await);
    }
    let first = sdk.json("/v1beta/batches?pageSize=2").await;
    assert_eq!(first["operations"].as_array().unwrap().len(), 2);
    let token = first["nextPageToken"].as_str().unwrap();
    let last = sdk
        .json(&format!("/v1beta/batches?pageSize=2&pageToken={token}"))
        .await;
    assert_eq!(
        (
            last["operations"].as_array().unwrap().len(),
            last.get("nextPageToken")
        ),
        (1, None)
    );
    let cancelled = sdk.post(&format!("{}:cancel", paths[0]), &json!({})).await;
    assert_eq!(cancelled.json::<Value>().await.unwrap(), json!({}));
    assert_eq!(
        sdk.json(&paths[0]).await["metadata"]["state"],
        "BATCH_STATE_CANCELLED"
    );
    assert_eq!(
        sdk.post(&format!("{}:cancel", paths[0]), &json!({}))
            .await
            .status(),
        200
    );
    assert_eq!(
        sdk.send(sdk.client.delete(sdk.url(&paths[0])))
            .await
            .status(),
        200
    );
    assert_eq!(sdk.get(&paths[0]).await.status(), 404);
}

#[tokio::test]
async fn batches_over_the_limit_are_refused_until_others_have_ended() {
    let limits = Limits {
        concurrent_batches: Some(1),
        ..Limits::default()
    };
    let sdk = sdk(SLOW, limits).await;
    sdk.created(&inline(&["a"])).await;
    let full: Value = sdk.create(&inline(&["b"])).await.json().await.unwrap();
    assert_eq!(
        (&full["error"]["code"], &full["error"]["status"]),
        (&json!(429), &json!("RESOURCE_EXHAUSTED"))
    );
    sdk.emulator.advance(HOUR);
    sdk.created(&inline(&["b"])).await;
    assert_eq!(sdk.emulator.bill().creates, 2);
}

#[tokio::test]
async fn one_request_is_answered_in_real_time_and_models_are_listed() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let answer: Value = sdk
        .post("/v1beta/models/gemini-x:generateContent", &request("hi"))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        answer["candidates"][0]["content"]["parts"][0]["text"],
        "echo: hi"
    );
    assert_eq!(
        sdk.json("/v1beta/models/gemini-x").await["name"],
        "models/gemini-x"
    );
    assert_eq!(sdk.get("/v1beta/models/no-such-model").await.status(), 404);
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "bytes on their way to a socket are waited for"
)]
async fn two_calls_of_one_upload_never_mix_their_bytes() {
    let sdk = sdk(Pace::INSTANT, Limits::default()).await;
    let text = json!({"key": "a", "request": request("a")}).to_string() + "\n";
    let begun = sdk.begin(Some("files/mine")).await;
    let url = begun.headers()["x-goog-upload-url"].to_str().unwrap();
    // The first half of a call whose process was killed is received; the other half is still on its way.
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut dead = tokio::net::TcpStream::connect(host).await.unwrap();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nhost: {host}\r\nx-goog-upload-command: upload, finalize\r\n\
         x-goog-upload-offset: 0\r\ncontent-length: {}\r\n\r\n{}",
        text.len(),
        &text[..10]
    );
    dead.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rest = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        dead.write_all(&text.as_bytes()[10..]).await.unwrap();
        let mut reply = [0; 15];
        dead.read_exact(&mut reply).await.unwrap();
        assert_eq!(&reply, b"HTTP/1.1 200 OK");
    };
    let again = sdk.piece(url, "upload, finalize", 0, &text);
    let (again, ()) = tokio::join!(again, rest);
    assert_eq!(again.status(), 404);
    let path = sdk.created(&by_file("files/mine")).await;
    sdk.json(&path).await;
    assert_eq!(sdk.emulator.bill().answered_requests, 1);
}
