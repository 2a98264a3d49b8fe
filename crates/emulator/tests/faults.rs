//! Every kind of fault in every dialect, over plain HTTP, as any SDK uses it.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod plain_http;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmbatch_emulator::{
    Damage, Emulator, EmulatorBuilder, Fault, FaultKind, Late, Moment, Operation, Pace,
};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

/// A dialect on one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Api {
    OpenAi,
    Anthropic,
    GoogleFile,
    GoogleInline,
}

const ALL: [Api; 4] = [
    Api::OpenAi,
    Api::Anthropic,
    Api::GoogleFile,
    Api::GoogleInline,
];

/// A client of one dialect.
struct Sdk {
    api: Api,
    emulator: Emulator,
    client: Client,
}

async fn sdk_of(api: Api, builder: EmulatorBuilder) -> Sdk {
    Sdk {
        api,
        emulator: builder.start().await.unwrap(),
        client: plain_http::client(),
    }
}

async fn sdk(api: Api) -> Sdk {
    sdk_of(api, Emulator::builder().pace(Pace::INSTANT)).await
}

impl Sdk {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.emulator.addr())
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match self.api {
            Api::OpenAi => request.bearer_auth("k"),
            Api::Anthropic => request
                .header("x-api-key", "k")
                .header("anthropic-version", "2023-06-01"),
            Api::GoogleFile | Api::GoogleInline => request.header("x-goog-api-key", "k"),
        }
    }

    async fn get(&self, path: &str) -> reqwest::Result<Response> {
        self.with_key(self.client.get(self.url(path))).send().await
    }

    async fn post(&self, path: &str, body: &Value) -> reqwest::Result<Response> {
        let post = self.client.post(self.url(path)).json(body);
        self.with_key(post).send().await
    }

    /// Returns a request in the format of the dialect.
    fn request(&self, id: &str, prompt: &str) -> Value {
        let contents = json!([{"role": "user", "parts": [{"text": prompt}]}]);
        let messages = json!([{"role": "user", "content": prompt}]);
        match self.api {
            Api::OpenAi => {
                let body = json!({"model": "m", "input": prompt});
                json!({"custom_id": id, "method": "POST", "url": "/v1/responses", "body": body})
            }
            Api::Anthropic => {
                let params = json!({"model": "m", "max_tokens": 9, "messages": messages});
                json!({"custom_id": id, "params": params})
            }
            Api::GoogleFile => json!({"key": id, "request": {"contents": contents}}),
            Api::GoogleInline => {
                json!({"metadata": {"key": id}, "request": {"contents": contents}})
            }
        }
    }

    async fn upload(&self, text: String) -> String {
        if self.api == Api::OpenAi {
            let file = Part::text(text).file_name("in.jsonl");
            let form = Form::new().text("purpose", "batch").part("file", file);
            let post = self.client.post(self.url("/v1/files")).multipart(form);
            let answer = self.with_key(post).send().await.unwrap();
            return text_at(&answer.json().await.unwrap(), "/id");
        }
        let begin = self.client.post(self.url("/upload/v1beta/files"));
        let begin = begin
            .header("x-goog-upload-protocol", "resumable")
            .header("x-goog-upload-command", "start")
            .json(&json!({"file": {"displayName": "in"}}));
        let begun = self.with_key(begin).send().await.unwrap();
        let url = begun.headers()["x-goog-upload-url"].to_str().unwrap();
        let send = self.client.post(url).body(text);
        let send = send
            .header("x-goog-upload-command", "upload, finalize")
            .header("x-goog-upload-offset", "0");
        let answer = self.with_key(send).send().await.unwrap();
        text_at(&answer.json().await.unwrap(), "/file/name")
    }

    async fn send(&self, prompts: &[&str]) -> reqwest::Result<Response> {
        let requests: Vec<Value> = prompts
            .iter()
            .enumerate()
            .map(|(place, prompt)| self.request(&format!("q{place}"), prompt))
            .collect();
        let file = || requests.iter().map(|line| format!("{line}\n")).collect();
        let google = "/v1beta/models/m:batchGenerateContent";
        match self.api {
            Api::OpenAi => {
                let file = self.upload(file()).await;
                let body = json!({"input_file_id": file, "endpoint": "/v1/responses", "completion_window": "24h"});
                self.post("/v1/batches", &body).await
            }
            Api::Anthropic => {
                let body = json!({ "requests": requests });
                self.post("/v1/messages/batches", &body).await
            }
            Api::GoogleFile => {
                let input = json!({"fileName": self.upload(file()).await});
                let body = json!({"batch": {"displayName": "d", "inputConfig": input}});
                self.post(google, &body).await
            }
            Api::GoogleInline => {
                let input = json!({"requests": {"requests": requests}});
                let body = json!({"batch": {"displayName": "d", "inputConfig": input}});
                self.post(google, &body).await
            }
        }
    }

    async fn create(&self, prompts: &[&str]) -> String {
        let answer: Value = self.send(prompts).await.unwrap().json().await.unwrap();
        let member = if self.is_google() { "/name" } else { "/id" };
        text_at(&answer, member)
    }

    fn is_google(&self) -> bool {
        matches!(self.api, Api::GoogleFile | Api::GoogleInline)
    }

    fn batches(&self) -> &'static str {
        match self.api {
            Api::OpenAi => "/v1/batches",
            Api::Anthropic => "/v1/messages/batches",
            Api::GoogleFile | Api::GoogleInline => "/v1beta/batches",
        }
    }

    async fn status(&self, batch: &str) -> Value {
        let id = batch.trim_start_matches("batches/");
        let answer = self.get(&format!("{}/{id}", self.batches())).await.unwrap();
        answer.json().await.unwrap()
    }

    /// Returns the ids of the listed batches, in the order of the list.
    async fn list(&self) -> Vec<String> {
        let answer = self.get(self.batches()).await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let (items, member) = if self.is_google() {
            ("operations", "/name")
        } else {
            ("data", "/id")
        };
        let items = answer[items].as_array().cloned().unwrap_or_default();
        items.iter().map(|item| text_at(item, member)).collect()
    }

    /// Returns the location of the results, from the status.
    fn results_path(&self, status: &Value) -> Option<String> {
        let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
        match self.api {
            Api::OpenAi => text("/output_file_id").map(|id| format!("/v1/files/{id}/content")),
            Api::Anthropic => {
                let path = text("/results_url")?.split_once("/v1/")?.1;
                Some(format!("/v1/{path}"))
            }
            Api::GoogleFile => {
                let file = text("/response/responsesFile")?;
                Some(format!("/download/v1beta/{file}:download?alt=media"))
            }
            Api::GoogleInline => {
                status.pointer("/response/inlinedResponses")?;
                Some(format!("/v1beta/{}", status["name"].as_str()?))
            }
        }
    }

    /// Returns the operation that reads results.
    fn reading(&self) -> Operation {
        if self.api == Api::GoogleInline {
            Operation::Status
        } else {
            Operation::Content
        }
    }

    fn strike(&self, operation: Operation, kind: FaultKind) {
        self.emulator.add_fault(Fault::once(operation, kind));
    }
}

fn text_at(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found
        .unwrap_or_else(|| panic!("{pointer}: {value}"))
        .to_owned()
}

/// Returns all members that name results.
fn places(status: &Value) -> Vec<&Value> {
    let pointers = [
        "/output_file_id",
        "/error_file_id",
        "/results_url",
        "/response",
        "/metadata/output",
    ];
    let found = pointers
        .iter()
        .filter_map(|pointer| status.pointer(pointer));
    found.filter(|value| !value.is_null()).collect()
}

#[tokio::test]
async fn results_appear_after_the_number_of_reads_in_a_fault() {
    for api in ALL {
        let pace = Pace {
            in_progress: Duration::from_secs(60),
            ..Pace::INSTANT
        };
        let sdk = sdk_of(api, Emulator::builder().pace(pace)).await;
        let batch = sdk.create(&["1", "lmb:error-400"]).await;
        let late = FaultKind::late(Late::Both);
        sdk.emulator
            .add_fault(Fault::times(Operation::Status, 2, late));
        // A running batch has no results to hide, and uses up no fault.
        assert!(places(&sdk.status(&batch).await).is_empty(), "{api:?}");
        sdk.emulator.advance(Duration::from_secs(60));
        for _ in 0..2 {
            let status = sdk.status(&batch).await;
            assert!(places(&status).is_empty(), "{api:?}: {status}");
            assert!(sdk.results_path(&status).is_none());
        }
        let status = sdk.status(&batch).await;
        // OpenAI has two files, and Gemini shows the location twice.
        let wanted = if api == Api::Anthropic { 1 } else { 2 };
        assert_eq!(places(&status).len(), wanted, "{api:?}: {status}");
    }
}

#[tokio::test]
async fn one_file_can_be_late_and_a_location_can_be_empty() {
    let sdk = sdk(Api::OpenAi).await;
    let batch = sdk.create(&["1", "lmb:error-400"]).await;
    for (what, output, errors) in [(Late::Output, false, true), (Late::Errors, true, false)] {
        sdk.strike(Operation::Status, FaultKind::late(what));
        let status = sdk.status(&batch).await;
        assert_eq!(status["status"], "completed");
        assert_eq!(status["output_file_id"].is_string(), output, "{status}");
        assert_eq!(status["error_file_id"].is_string(), errors, "{status}");
    }
    for (api, pointer, nothing) in [
        (Api::OpenAi, "/output_file_id", json!("")),
        (Api::Anthropic, "/results_url", json!("")),
        (Api::GoogleFile, "/response/responsesFile", json!("")),
        (Api::GoogleInline, "/response/inlinedResponses", json!({})),
    ] {
        let sdk = self::sdk(api).await;
        let batch = sdk.create(&["1"]).await;
        let what = Late::Output;
        sdk.strike(Operation::Status, FaultKind::Late { what, empty: true });
        let status = sdk.status(&batch).await;
        assert_eq!(status.pointer(pointer), Some(&nothing), "{status}");
    }
}

/// Returns whether a damaged body matches its kind, next to the correct body.
fn is_spoilt(how: Damage, right: &[u8], body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let page = text.trim_start_matches('\u{feff}').starts_with("<html>");
    let members = || serde_json::from_slice::<Value>(body).unwrap();
    let ids = |body: &[u8]| String::from_utf8_lossy(body).matches("\"q").count();
    match how {
        Damage::Empty => body.is_empty(),
        Damage::Blank => body == b"\n",
        Damage::Half | Damage::HalfChunked => body == &right[..right.len() / 2],
        Damage::HalfThenPage => text.ends_with("</html>\n") && body.starts_with(&right[..9]),
        Damage::OtherRows => ids(body) == 0 && text.contains("\"other-q1\""),
        Damage::DroppedRow => ids(body) * 3 == ids(right) * 2,
        Damage::PlainText => !page && text.contains(' '),
        Damage::Page => page && !text.starts_with('\u{feff}'),
        Damage::PageAfterMark => page && text.starts_with('\u{feff}'),
        Damage::Detail => members()["detail"].is_string(),
        Damage::Message => members()["message"].is_string(),
        Damage::Code => members()["code"].is_number(),
        Damage::Error => members()["error"]["message"].is_string(),
        Damage::TypedError => members()["type"] == "error",
        Damage::Null => members().is_null(),
        Damage::List => members() == json!([]),
        Damage::Gzip => body.starts_with(&[0x1f, 0x8b]),
    }
}

#[tokio::test]
async fn spoilt_results_have_valid_framing() {
    for api in ALL {
        let sdk = sdk(api).await;
        let batch = sdk.create(&["1", "2", "3"]).await;
        let status = sdk.status(&batch).await;
        let path = sdk.results_path(&status).unwrap();
        let right = sdk.get(&path).await.unwrap().bytes().await.unwrap();
        for how in Damage::ALL {
            sdk.strike(sdk.reading(), FaultKind::damage(*how));
            let answer = sdk.get(&path).await.unwrap();
            assert_eq!(answer.status(), 200);
            let encoding = answer.headers().get("content-encoding").cloned();
            let chunked = answer.headers().get("content-length").is_none();
            let body = answer.bytes().await.unwrap();
            assert!(is_spoilt(*how, &right, &body), "{api:?}: {how:?}: {body:?}");
            assert_eq!(encoding.is_some(), *how == Damage::Gzip);
            assert_eq!(chunked, *how == Damage::HalfChunked, "{api:?}: {how:?}");
            let again = sdk.get(&path).await.unwrap().bytes().await.unwrap();
            assert_eq!(again, right, "{api:?}: the fault strikes once");
        }
    }
}

#[tokio::test]
async fn a_batch_is_listed_after_the_number_of_lists_in_a_fault() {
    for api in ALL {
        let sdk = sdk(api).await;
        let old = sdk.create(&["1"]).await;
        sdk.strike(Operation::Create, FaultKind::Unlisted { reads: 2 });
        let new = sdk.create(&["2"]).await;
        for _ in 0..2 {
            assert_eq!(sdk.list().await, [old.as_str()], "{api:?}");
        }
        assert_eq!(sdk.list().await, [new.as_str(), old.as_str()], "{api:?}");
    }
}

#[tokio::test]
async fn a_fault_reverses_the_order_of_batches_of_one_second() {
    for api in ALL {
        let sdk = sdk(api).await;
        // Three batches within one second, which may take several tries.
        let mut newest = Vec::new();
        for _ in 0..20 {
            sdk.emulator.advance(Duration::from_secs(5));
            let second = sdk.emulator.bill().creates;
            let date = |answer: &Response| answer.headers()["date"].clone();
            let first = sdk.send(&["1"]).await.unwrap();
            let mut dates = vec![date(&first)];
            for _ in 0..2 {
                dates.push(date(&sdk.send(&["1"]).await.unwrap()));
            }
            assert_eq!(sdk.emulator.bill().creates, second + 3);
            if dates.iter().all(|date| *date == dates[0]) {
                newest = sdk.list().await;
                break;
            }
        }
        assert!(newest.len() >= 3, "{api:?}: no second was long enough");
        sdk.strike(Operation::List, FaultKind::ReverseTies);
        let reversed = sdk.list().await;
        let turned: Vec<&String> = newest[..3].iter().rev().collect();
        assert_eq!(reversed[..3].iter().collect::<Vec<_>>(), turned, "{api:?}");
        assert_eq!(sdk.list().await, newest, "{api:?}");
    }
}

#[tokio::test]
async fn an_accepted_create_can_have_any_response() {
    for api in ALL {
        let sdk = sdk(api).await;
        let header = || vec![("x-proxy".to_owned(), "p".to_owned())];
        for (kind, code, body) in [
            (
                FaultKind::StatusAfter {
                    code: 403,
                    body: "<html>".into(),
                    headers: header(),
                },
                403,
                "<html>",
            ),
            (
                FaultKind::Body {
                    status: 431,
                    headers: header(),
                    bytes: Vec::new(),
                },
                431,
                "",
            ),
        ] {
            let before = sdk.emulator.bill().creates;
            sdk.strike(Operation::Create, kind);
            let answer = sdk.send(&["1"]).await.unwrap();
            assert_eq!(answer.status().as_u16(), code);
            assert_eq!(answer.headers()["x-proxy"], "p");
            assert_eq!(answer.headers()["content-type"], "text/html");
            assert_eq!(answer.text().await.unwrap(), body);
            assert_eq!(sdk.emulator.bill().creates, before + 1, "{api:?}");
        }
    }
}

#[tokio::test]
async fn any_response_can_be_slow() {
    for api in ALL {
        let sdk = sdk(api).await;
        let batch = sdk.create(&["1"]).await;
        let right = sdk.status(&batch).await;
        let bytes = right.to_string().len() as u64;
        let kind = FaultKind::SlowBody {
            bytes_per_second: bytes * 5,
        };
        sdk.strike(Operation::Status, kind);
        let (sent, id) = (Mutex::new(0), batch.trim_start_matches("batches/"));
        let mut answer = sdk.get(&format!("{}/{id}", sdk.batches())).await.unwrap();
        assert_eq!(answer.content_length(), Some(bytes));
        let mut pieces = 0;
        while let Some(piece) = answer.chunk().await.unwrap() {
            pieces += 1;
            *sent.lock().unwrap() += piece.len() as u64;
        }
        assert!(pieces > 1, "{api:?}: {pieces}");
        assert_eq!(*sent.lock().unwrap(), bytes, "{api:?}");
    }
}

#[tokio::test]
async fn a_member_of_a_response_can_be_any_number() {
    for (api, pointer) in [
        (Api::OpenAi, "/created_at"),
        (Api::Anthropic, "/created_at"),
        (Api::GoogleFile, "/metadata/createTime"),
    ] {
        let sdk = sdk(api).await;
        for value in [
            json!(1_764_133_200_000_u64),
            json!(-1),
            json!(i64::MAX),
            json!(""),
        ] {
            let kind = FaultKind::rewrite(pointer, value.clone());
            sdk.strike(Operation::Create, kind.clone());
            let created: Value = sdk.send(&["1"]).await.unwrap().json().await.unwrap();
            assert_eq!(created.pointer(pointer), Some(&value), "{api:?}");
            sdk.strike(Operation::List, kind);
            let list = sdk.get(sdk.batches()).await.unwrap();
            let list: Value = list.json().await.unwrap();
            let items = list.get("data").or(list.get("operations")).unwrap();
            for item in items.as_array().unwrap() {
                assert_eq!(item.pointer(pointer), Some(&value), "{api:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_response_carries_the_time_of_the_emulator() {
    let day = 24 * 3600;
    let seconds = async |offset: i64| {
        let sdk = sdk_of(Api::OpenAi, Emulator::builder().clock_offset(offset)).await;
        let listed = sdk.get("/v1/batches").await.unwrap();
        let billed = sdk.get("/_emulator/bill").await.unwrap();
        let refused = sdk.client.get(sdk.url("/v1/batches")).send().await.unwrap();
        assert_eq!(refused.status(), 401);
        let dates = [listed, billed, refused].map(|answer| {
            let date = answer.headers()["date"].to_str().unwrap().to_owned();
            let date = httpdate::parse_http_date(&date).unwrap();
            let since = date.duration_since(std::time::UNIX_EPOCH).unwrap();
            since.as_secs() as i64
        });
        assert!(dates[2] - dates[0] < 60, "{dates:?}");
        dates[0]
    };
    let now = seconds(0).await;
    for offset in [-400 * day, -1, 3 * day, 30_000 * day] {
        let apart = seconds(offset).await - now - offset;
        assert!((0..60).contains(&apart), "{offset}: {apart}");
    }
    // Dates end with the year 9999, and begin with 1970.
    assert_eq!(seconds(i64::MAX).await, 253_402_300_799);
    assert_eq!(seconds(i64::MIN).await, 0);
    // The times of batches use the same clock, which can be shifted while it runs.
    let sdk = sdk(Api::OpenAi).await;
    let created = async || {
        let answer: Value = sdk.send(&["1"]).await.unwrap().json().await.unwrap();
        answer["created_at"].as_i64().unwrap()
    };
    let now = created().await;
    sdk.emulator.shift_clock(-3 * day);
    let apart = now - created().await;
    assert!((3 * day - 60..=3 * day).contains(&apart), "{apart}");
    sdk.post(&format!("/_emulator/shift/{}", 2 * day), &json!({}))
        .await
        .unwrap();
    let apart = created().await - now;
    assert!((2 * day..2 * day + 60).contains(&apart), "{apart}");
}

#[tokio::test]
async fn counts_include_answered_requests_without_rows() {
    for api in ALL {
        let sdk = sdk(api).await;
        let prompts = ["1", "lmb:missing", "lmb:error-400", "lmb:unanswered"];
        let batch = sdk.create(&prompts).await;
        let status = sdk.status(&batch).await;
        let (counts, wanted) = match api {
            Api::OpenAi => (
                &status["request_counts"],
                json!({"total": 4, "completed": 2, "failed": 1}),
            ),
            Api::Anthropic => (
                &status["request_counts"],
                json!({"processing": 0, "succeeded": 2, "errored": 1, "canceled": 0, "expired": 0}),
            ),
            Api::GoogleFile | Api::GoogleInline => (
                &status["metadata"]["batchStats"],
                json!({"requestCount": "4", "successfulRequestCount": "2", "failedRequestCount": "1"}),
            ),
        };
        assert_eq!(*counts, wanted, "{api:?}");
        assert_eq!(sdk.emulator.bill().answered_requests, 2, "{api:?}");
        let path = sdk.results_path(&status).unwrap();
        let text = sdk.get(&path).await.unwrap().text().await.unwrap();
        let named = ["q0", "q1", "q2", "q3"].map(|id| text.contains(&format!("\"{id}\"")));
        // OpenAI's failed row is in the other file.
        assert_eq!(named, [true, false, api != Api::OpenAi, false], "{api:?}");
    }
}

#[tokio::test]
async fn several_kinds_strike_one_call_and_are_cleared() {
    for api in ALL {
        let sdk = sdk(api).await;
        let kinds = vec![FaultKind::Unlisted { reads: 1 }, FaultKind::ResetAfter];
        let both = Fault::always(Operation::Create, FaultKind::Several { kinds });
        sdk.emulator.add_fault(both);
        for _ in 0..2 {
            assert!(sdk.send(&["1"]).await.is_err(), "{api:?}");
        }
        assert!(sdk.list().await.is_empty(), "{api:?}");
        assert_eq!(sdk.list().await.len(), 2, "{api:?}");
        let clear = sdk.client.delete(sdk.url("/_emulator/faults"));
        assert_eq!(clear.send().await.unwrap().status(), 200);
        sdk.create(&["1"]).await;
        assert_eq!(sdk.emulator.bill().creates, 3, "{api:?}");
    }
}

#[tokio::test]
async fn a_hook_runs_before_and_after_a_call_is_performed() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let builder = Emulator::builder().pace(Pace::INSTANT);
    let refused = Fault::once(Operation::Create, FaultKind::status(500));
    let builder = builder.fault(refused).on_call(move |operation, moment| {
        note.lock().unwrap().push((operation, moment));
    });
    let sdk = sdk_of(Api::Anthropic, builder).await;
    sdk.send(&["1"]).await.unwrap();
    sdk.send(&["1"]).await.unwrap();
    let wanted = [Moment::Received, Moment::Received, Moment::Performed];
    assert_eq!(
        *seen.lock().unwrap(),
        wanted.map(|moment| (Operation::Create, moment))
    );
}

#[tokio::test]
async fn every_fault_example_of_the_guide_parses() {
    let guide = include_str!("../../../docs/guide/emulator.md");
    let sdk = sdk(Api::OpenAi).await;
    let mut kinds = Vec::new();
    for example in guide
        .split('`')
        .filter(|text| text.starts_with("{\"operation\""))
    {
        let fault: Value = serde_json::from_str(example).unwrap();
        let answer = sdk.post("/_emulator/faults", &fault).await.unwrap();
        assert_eq!(answer.status(), 200, "{example}");
        let known: Fault = serde_json::from_value(fault.clone()).unwrap();
        let written = serde_json::to_value(&known).unwrap();
        assert_eq!(written["operation"], fault["operation"]);
        kinds.push(match &written["kind"] {
            Value::String(kind) => kind.clone(),
            kind => kind.as_object().unwrap().keys().next().unwrap().clone(),
        });
    }
    for kind in [
        "status",
        "status_after",
        "body",
        "redirect",
        "lost_input",
        "unlisted",
        "reverse_ties",
        "reset_before",
        "reset_after",
        "truncate",
        "spoil",
        "late",
        "rewrite",
        "latency",
        "drip",
        "several",
    ] {
        assert!(kinds.iter().any(|known| known == kind), "{kind}");
    }
    for how in Damage::ALL {
        let word = serde_json::to_string(how).unwrap();
        assert!(guide.contains(word.trim_matches('"')), "{word}");
    }
}
