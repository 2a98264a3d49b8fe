//! The weaknesses of the system that this one replaces, each by its number, so that none comes back.
//! Others bear their number where they are tested: W3, W5, W19 in `command.rs`, W9, W12, W15 in
//! `library.rs`, W17 beside each provider's table of errors.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;
use std::time::Duration;

use lmbatch::openai::{Endpoint, OpenAi, OpenAiCodec};
use lmbatch::{
    Effort, Error, ErrorKind, Hyperparameters, LMInvoker, Request, Retry, Tool, ToolChoice,
};
use lmbatch_core::{
    BatchCodec as _, BatchId, BatchStatus, Delivery, OutcomeView, PartRole, ResultPart,
};
use lmbatch_emulator::{Emulator, Pace};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};
use serde_json::json;

async fn emulated(folder: &std::path::Path) -> (Emulator, LMInvoker) {
    let builder = Emulator::builder().pace(Pace::INSTANT).folder(folder);
    let emulator = builder.start().await.unwrap();
    let url = emulator.openai_base_url();
    let openai = OpenAi::builder()
        .api_key("k")
        .base_url(url)
        .build()
        .unwrap();
    (emulator, LMInvoker::new(openai, "m"))
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
fn w6_a_body_that_lacks_what_some_sdk_requires_is_still_an_answer() {
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
        let row = codec.decode(&part, row.as_bytes()).unwrap();
        let OutcomeView::Succeeded(output) = row.outcome else {
            panic!("{usage}: {:?}", row.outcome);
        };
        assert_eq!((output.items.len(), output.problem), (1, None), "{usage}");
    }
}

#[tokio::test]
async fn w7_what_a_row_says_does_not_depend_on_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, plain) = emulated(folder.path()).await;
    let tool = Tool::new("look", &json!({"type": "object", "properties": {}}));
    let asker = plain
        .clone()
        .tools([tool])
        .tool_choice(ToolChoice::Required)
        .effort(Effort::Low);
    let handle = asker.batch().create([("a", "lmb:think")]).await.unwrap();
    let outcomes = plain.batch().retrieve(&handle).await.unwrap();
    let output = outcomes["a"].value().unwrap();
    assert_eq!(
        (output.tool_calls().count(), output.thinking().count()),
        (1, 1)
    );
    drop(emulator);
}

#[tokio::test]
async fn w8_a_calls_hyperparameters_are_merged_over_the_defaults_and_a_requests_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, invoker) = emulated(folder.path()).await;
    let invoker = invoker.temperature(0.9).max_output_tokens(5);
    let with = |set: &[(&str, serde_json::Value)]| {
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
    let input = std::fs::read_dir(folder.path()).unwrap().find_map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path()).ok()?;
        text.contains("custom_id").then_some(text)
    });
    let bodies = input.unwrap();
    let bodies = bodies
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let seen: Vec<_> = bodies
        .map(|line| {
            let body = &line["body"];
            (
                body["temperature"].clone(),
                body["max_output_tokens"].clone(),
                body["top_p"].clone(),
            )
        })
        .collect();
    let null = serde_json::Value::Null;
    assert_eq!(
        seen,
        [
            (json!(0.1), json!(5), null),
            (json!(0.1), json!(5), json!(0.5))
        ]
    );
    drop(emulator);
}

#[tokio::test]
async fn w10_w20_a_day_is_waited_for_with_slowing_polls_and_one_create() {
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
async fn w10_patience_that_runs_out_leaves_the_batchs_id_behind() {
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
async fn w16_the_server_says_when_to_come_back() {
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
    // A poll that failed wishes for 3 s, one that said "in progress" for 10 s.
    assert_eq!(provider.times("status"), [6, 9, 19]);
}

#[tokio::test]
async fn w18_more_than_a_batch_takes_is_refused_by_its_limit_before_anything_is_sent() {
    let script = Script {
        max_requests: Some(2),
        ..Script::default()
    };
    let (provider, invoker) = in_memory(script);
    let error = invoker
        .batch()
        .invoke([("a", "1"), ("b", "2"), ("c", "3")])
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(
        error
            .to_string()
            .contains("3 requests are more than one batch of memory takes (2)")
    );
    assert!(provider.calls().is_empty());
}

#[tokio::test]
async fn w22_partial_success_is_in_every_outcome_and_not_to_be_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (emulator, invoker) = emulated(folder.path()).await;
    let asked = [
        ("good", "x"),
        ("cut", "lmb:truncate"),
        ("bad", "lmb:error-500"),
        ("gone", "lmb:missing"),
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
    assert_eq!(words, expected);
    drop(emulator);
}
