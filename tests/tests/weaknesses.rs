//! The weaknesses of the system that lmbatch replaces, each by its number, so that none returns. Each test runs on
//! every provider that it concerns. Other weaknesses are tested elsewhere under their numbers: W19 in `command.rs`,
//! W9, W12 and W15 in `library.rs`, W17 next to each provider's table of errors. W14 (costs) and the rest of W11 (runs
//! that survive) are tested with durable runs.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lmbatch::openai::{Endpoint, OpenAiCodec};
use lmbatch::{
    DoubtPolicy, Effort, Error, ErrorKind, Hyperparameters, LMInvoker, OnDoubt, Request, Retry,
    Tool, ToolChoice,
};
use lmbatch_core::{
    BatchCodec as _, BatchId, BatchProvider as _, BatchStatus, Delivery, OutcomeView, PartRole,
    RemoteObject, ResultPart,
};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};
use lmbatch_tests::{SUBJECTS, Subject};
use serde_json::{Value, json};

async fn emulated(subject: &Subject, folder: &Path) -> (Emulator, LMInvoker) {
    let builder = Emulator::builder().pace(Pace::INSTANT).folder(folder);
    let emulator = builder.seed(3).start().await.unwrap();
    let invoker = subject.invoker(&emulator);
    (emulator, invoker)
}

/// An invoker that soon abandons paid requests without a row in the results.
fn abandoning(invoker: LMInvoker) -> LMInvoker {
    let invoker = invoker.on_doubt(OnDoubt::Abandon);
    invoker.doubt(DoubtPolicy::within(Duration::from_millis(100)))
}

/// The requests of the one batch in an emulator's folder, each in the provider's format.
fn sent(folder: &Path) -> Vec<Value> {
    let inputs = std::fs::read_dir(folder).unwrap().filter_map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path()).ok()?;
        let lines = text.lines().map(serde_json::from_str::<Value>);
        let lines: Vec<Value> = lines.collect::<Result<_, _>>().ok()?;
        let requests = lines.into_iter().map(|line| {
            let places = ["body", "params", "request"];
            places.iter().find_map(|place| line.get(place)).cloned()
        });
        requests.collect::<Option<Vec<Value>>>()
    });
    inputs
        .into_iter()
        .find(|requests| !requests.is_empty())
        .unwrap()
}

/// Returns a member in either spelling.
fn member<'v>(value: &'v Value, camel: &str, snake: &str) -> &'v Value {
    value
        .get(camel)
        .or(value.get(snake))
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn w1_google_receives_complete_requests_on_both_routes() {
    for subject in SUBJECTS
        .iter()
        .filter(|subject| subject.provider == "google")
    {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let tool = Tool::new("look", &json!({"type": "object", "properties": {}}));
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let invoker = invoker
            .system("be brief")
            .tools([tool])
            .tool_choice(ToolChoice::Auto)
            .response_schema(lmbatch::ResponseSchema::new(&schema))
            .effort(Effort::Low)
            .temperature(0.3)
            .max_output_tokens(7);
        invoker.batch().create([("a", "hi")]).await.unwrap();
        let request = &sent(folder.path())[0];
        let system = member(request, "systemInstruction", "system_instruction");
        assert_eq!(system["parts"][0]["text"], "be brief", "{}", subject.name);
        let tools = &request["tools"][0];
        let declared = member(tools, "functionDeclarations", "function_declarations");
        assert_eq!(declared[0]["name"], "look");
        assert!(member(request, "toolConfig", "tool_config").is_object());
        let config = member(request, "generationConfig", "generation_config");
        assert_eq!(config["temperature"], 0.3);
        assert_eq!(
            *member(config, "maxOutputTokens", "max_output_tokens"),
            json!(7)
        );
        assert!(member(config, "thinkingConfig", "thinking_config").is_object());
        assert!(member(config, "responseSchema", "response_json_schema").is_object());
    }
}

#[tokio::test]
async fn w2_w4_outcomes_have_the_callers_ids_in_any_order_of_results() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let asked: Vec<(String, String)> = (0..50)
            .map(|k| (format!("id {k}/ü"), format!("p{k}")))
            .collect();
        let outcomes = invoker.batch().invoke(asked.clone()).await.unwrap();
        for ((id, prompt), (found, outcome)) in asked.iter().zip(outcomes.iter()) {
            assert_eq!(
                (found.as_str(), outcome.as_result().unwrap().text()),
                (id.as_str(), format!("echo: {prompt}"))
            );
        }
    }
}

#[tokio::test]
async fn w2_a_batch_without_keys_is_read_by_position_on_request_with_a_warning() {
    let google = SUBJECTS
        .iter()
        .filter(|subject| subject.provider == "google");
    for subject in google {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let handle = invoker
            .batch()
            .create([("a", "lmb:no-key 1"), ("b", "2")])
            .await
            .unwrap();
        let rows = invoker.batch().retrieve_rows(&handle.batch).await.unwrap();
        let ids: Vec<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids.len(), 2);
        assert!(
            ids.contains(&"row-without-id-1") && ids.contains(&"b"),
            "{ids:?}"
        );
        let named = invoker
            .batch()
            .retrieve_rows_as(&handle.batch, ["mine"])
            .await
            .unwrap();
        assert_eq!(
            named["mine"].as_result().unwrap().text(),
            "echo: lmb:no-key 1"
        );
        // With the handle, no position is guessed.
        let invoker = abandoning(invoker);
        let outcomes = invoker.batch().retrieve(&handle).await.unwrap();
        assert_eq!(outcomes["a"].status().as_str(), "missing");
        assert_eq!(outcomes["b"].as_result().unwrap().text(), "echo: 2");
    }
}

#[tokio::test]
async fn w3_failed_expired_and_cancelled_requests_all_have_outcomes() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let all_bad = invoker
            .batch()
            .invoke([("a", "lmb:error-400"), ("b", "lmb:error-500")])
            .await
            .unwrap();
        for (id, retryable) in [("a", false), ("b", true)] {
            let error = all_bad[id].as_result().unwrap_err();
            assert_eq!(error.is_retryable(), retryable, "{}: {error}", subject.name);
            assert!(error.message().is_some(), "the provider's words: {error:?}");
        }
        let slow = Pace {
            in_progress: Duration::from_secs(1_000_000),
            ..Pace::INSTANT
        };
        let emulator = Emulator::builder().pace(slow).start().await.unwrap();
        let invoker = subject.invoker(&emulator);
        let cancelled = invoker
            .batch()
            .create([("a", "1"), ("b", "2")])
            .await
            .unwrap();
        invoker.batch().cancel(&cancelled.batch).await.unwrap();
        let expired = invoker
            .batch()
            .create([("a", "1"), ("b", "2")])
            .await
            .unwrap();
        let outcomes = invoker.batch().retrieve(&cancelled).await.unwrap();
        let words: Vec<&str> = outcomes
            .iter()
            .map(|(_, outcome)| outcome.status().as_str())
            .collect();
        assert_eq!(words, ["succeeded", "cancelled"], "{}", subject.name);
        emulator.advance(Duration::from_secs(48 * 3600));
        let outcomes = invoker.batch().retrieve(&expired).await.unwrap();
        let words: Vec<&str> = outcomes
            .iter()
            .map(|(_, outcome)| outcome.status().as_str())
            .collect();
        // Google keeps no results of an expired batch.
        let expected = if subject.provider == "google" {
            ["expired", "expired"]
        } else {
            ["succeeded", "expired"]
        };
        assert_eq!(words, expected, "{}", subject.name);
    }
}

#[tokio::test]
async fn w5_one_invalid_row_does_not_affect_others() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": false});
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let invoker = invoker.response_schema(lmbatch::ResponseSchema::new(&schema));
        let asked = [
            ("good", "x", "succeeded", None),
            (
                "failed",
                "lmb:failed",
                if subject.name == "openai chat" {
                    "succeeded"
                } else {
                    "errored"
                },
                None,
            ),
            (
                "no json",
                "lmb:invalid-json",
                "succeeded",
                Some("invalid_structured"),
            ),
            (
                "misfit",
                "lmb:schema-miss",
                "succeeded",
                Some("invalid_structured"),
            ),
            (
                "cut",
                "lmb:cut",
                // Gemini's rows end with their id.
                match subject.provider {
                    "google" => "missing",
                    _ => "errored",
                },
                None,
            ),
            ("fine", "y", "succeeded", None),
        ];
        // A truncated row is paid for, and counts as missing only once it is abandoned.
        let invoker = abandoning(invoker);
        let outcomes = invoker
            .batch()
            .invoke(asked.map(|(id, prompt, ..)| (id, prompt)))
            .await
            .unwrap();
        for (id, _, status, problem) in asked {
            let outcome = &outcomes[id];
            let found = outcome.problem().map(|problem| problem.as_str());
            // A row that is cut inside the operation cuts the rows around it as well; it is fetched again.
            assert_eq!(
                (outcome.status().as_str(), found),
                (status, problem),
                "{}: {id}: {outcome:?}",
                subject.name
            );
        }
    }
}

#[tokio::test]
async fn w11_w13_w14_a_handle_suffices_usage_is_summed_and_files_can_be_deleted() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (emulator, invoker) = emulated(subject, folder.path()).await;
        let handle = invoker
            .batch()
            .create([("a", "one"), ("b", "two")])
            .await
            .unwrap();
        let kept = serde_json::to_string(&handle).unwrap();
        let restored = serde_json::from_str(&kept).unwrap();
        let outcomes = invoker.batch().retrieve(&restored).await.unwrap();
        let usage = outcomes.usage();
        assert!(
            usage.input_tokens > 0 && usage.output_tokens > 0,
            "{usage:?}"
        );
        let provider = invoker.engine().provider();
        let batch = RemoteObject::Batch(handle.batch.clone());
        let deleted = provider.discard(&batch).await;
        if subject.provider == "openai" {
            assert_eq!(deleted.unwrap_err().kind(), ErrorKind::Unsupported);
        } else {
            deleted.unwrap();
            assert_eq!(emulator.bill().deletes, 1, "{}", subject.name);
            let gone = provider.status(&handle.batch).await.unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::BatchNotFound);
        }
    }
}

/// A provider in memory, on a clock that never waits.
fn in_memory(script: Script) -> (Arc<MemoryProvider>, LMInvoker) {
    let clock = Arc::new(TestClock::default());
    let provider = Arc::new(MemoryProvider::new(clock.clone(), script));
    let invoker = LMInvoker::shared(provider.clone(), "m")
        .clock(clock)
        .rng(Arc::new(TestRng::new(1)));
    (provider, invoker)
}

#[test]
fn w6_a_body_without_members_that_an_sdk_requires_is_still_an_answer() {
    let codec = OpenAiCodec::new(Endpoint::Responses);
    let part = ResultPart {
        batch: BatchId::new("b"),
        name: "f".into(),
        role: PartRole::Output,
        shape: "row".into(),
        bytes: None,
    };
    let message =
        json!([{"type": "message", "content": [{"type": "output_text", "text": "kept"}]}]);
    for usage in [
        json!({"input_tokens": 3, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 0}}),
        json!({"input_tokens": 3}),
        json!(null),
        json!("many"),
    ] {
        let body = json!({"output": message, "usage": usage});
        let row =
            json!({"custom_id": "a", "response": {"status_code": 200, "body": body}}).to_string();
        let mut rows = lmbatch_core::RowReader::new();
        let row = codec.decode(&part, rows.read(row.as_bytes())).unwrap();
        let OutcomeView::Succeeded(output) = row.outcome else {
            panic!("{usage}: {:?}", row.outcome);
        };
        assert_eq!((output.items.len(), output.problem), (1, None), "{usage}");
    }
}

#[tokio::test]
async fn w7_every_reader_decodes_a_row_alike() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, plain) = emulated(subject, folder.path()).await;
        let tool = Tool::new("look", &json!({"type": "object", "properties": {}}));
        let asker = plain
            .clone()
            .tools([tool])
            .tool_choice(ToolChoice::Required)
            .effort(Effort::Low);
        let handle = asker.batch().create([("a", "lmb:think")]).await.unwrap();
        let outcomes = plain.batch().retrieve(&handle).await.unwrap();
        let output = outcomes["a"].as_result().unwrap();
        assert_eq!(output.tool_calls().count(), 1, "{}", subject.name);
        // Chat completions return no thoughts.
        let thoughts = output
            .thinking()
            .filter(|thinking| !thinking.text.is_empty());
        assert_eq!(thoughts.count(), usize::from(subject.name != "openai chat"));
    }
}

#[tokio::test]
async fn w8_hyperparameters_of_the_request_override_the_call_and_the_defaults() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let invoker = invoker.temperature(0.9).max_output_tokens(5);
        let with = |set: &[(&str, Value)]| {
            let mut parameters = Hyperparameters::default();
            for (key, value) in set {
                parameters.set(key, value.clone()).unwrap();
            }
            parameters
        };
        let own = Request::new("b", "y").with_hyperparameters(with(&[("top_p", json!(0.5))]));
        let call = invoker.batch().create([Request::new("a", "x"), own]);
        call.hyperparameters(with(&[("temperature", json!(0.1))]))
            .await
            .unwrap();
        let seen: Vec<Value> = sent(folder.path())
            .iter()
            .map(|request| {
                let config = request
                    .get("generationConfig")
                    .or(request.get("generation_config"));
                let config = config.unwrap_or(request);
                let most = [
                    "max_output_tokens",
                    "max_completion_tokens",
                    "max_tokens",
                    "maxOutputTokens",
                ];
                let most = most.iter().find_map(|name| config.get(name));
                json!([config["temperature"], most, member(config, "topP", "top_p")])
            })
            .collect();
        assert_eq!(
            seen,
            [json!([0.1, 5, null]), json!([0.1, 5, 0.5])],
            "{}",
            subject.name
        );
    }
}

#[tokio::test]
async fn w10_w20_a_day_long_batch_is_polled_with_growing_intervals_and_created_once() {
    let script = Script {
        statuses: (0..1440).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    };
    let (provider, invoker) = in_memory(script);
    invoker.batch().invoke([("a", "x")]).await.unwrap();
    let polls = provider.times("status");
    assert_eq!(polls[..6], [0, 2, 5, 9, 16, 26]);
    assert_eq!((polls.len(), provider.accepted()), (1441, 1));
    let day = 23 * 3600..25 * 3600;
    assert!(day.contains(polls.last().unwrap()), "{:?}", polls.last());
}

#[tokio::test]
async fn w10_a_timeout_reports_the_batch_id() {
    let script = Script {
        statuses: (0..9).map(|_| Ok(BatchStatus::InProgress)).collect(),
        ..Script::default()
    };
    let (provider, invoker) = in_memory(script);
    let error = invoker
        .batch()
        .invoke([("a", "x")])
        .max_iterations(3)
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.batch()),
        (ErrorKind::Timeout, Some(&BatchId::new("b1")))
    );
    assert_eq!(
        (provider.times("status").len(), provider.accepted()),
        (3, 1)
    );
    assert!(provider.times("cancel").is_empty());
}

#[tokio::test]
async fn w16_retry_after_of_the_server_is_honoured() {
    let busy = || {
        Error::new(ErrorKind::ProviderRateLimit)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Refused)
            .with_retry_after(Duration::from_secs(3))
    };
    let script = Script {
        creates: [Some(busy()), Some(busy()), None].into(),
        statuses: [Err(busy()), Ok(BatchStatus::InProgress)].into(),
        wishes: [None, Some(Duration::from_secs(10))].into(),
        ..Script::default()
    };
    let (provider, invoker) = in_memory(script);
    invoker.batch().invoke([("a", "x")]).await.unwrap();
    assert_eq!(provider.times("create"), [0, 3, 6]);
    // A failed poll asks for 3 s, one with the status "in progress" for 10 s.
    assert_eq!(provider.times("status"), [6, 9, 19]);
}

#[tokio::test]
async fn w18_requests_over_the_batch_limit_are_split_into_several_batches() {
    let script = Script {
        max_requests: Some(2),
        ..Script::default()
    };
    let (provider, invoker) = in_memory(script);
    let asked = [("a", "1"), ("b", "2"), ("c", "3")];
    let outcomes = invoker.batch().invoke(asked).await.unwrap();
    let texts = outcomes
        .iter()
        .map(|(_, outcome)| outcome.as_result().unwrap().text());
    assert_eq!(texts.collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(provider.accepted(), 2);
}

#[tokio::test]
async fn w22_partial_success_is_visible_in_every_outcome() {
    for subject in SUBJECTS {
        let folder = tempfile::tempdir().unwrap();
        let (_emulator, invoker) = emulated(subject, folder.path()).await;
        let asked = [
            ("good", "x"),
            ("cut", "lmb:truncate"),
            ("bad", "lmb:error-500"),
            ("gone", "lmb:unanswered"),
        ];
        let outcomes = invoker.batch().invoke(asked).await.unwrap();
        let words: Vec<_> = outcomes
            .iter()
            .map(|(id, outcome)| (id.as_str(), outcome.status().as_str(), outcome.is_usable()))
            .collect();
        let expected = [
            ("good", "succeeded", true),
            ("cut", "succeeded", false),
            ("bad", "errored", false),
            ("gone", "missing", false),
        ];
        assert_eq!(words, expected, "{}", subject.name);
    }
}
