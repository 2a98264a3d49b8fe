//! Events as `tracing` writes them: one for each transition, with the run and the batch, and without content.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io;
use std::sync::{Arc, Mutex};

use lmbatch::{LMInvoker, TracingObserver};
use lmbatch_core::{BatchStatus, Error, ErrorKind, Retry};
use lmbatch_testing::{MemoryProvider, Script, TestClock, TestRng};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

/// Log that a test reads back.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Runs two requests, of which the provider fails the first poll, and returns the log with its events of this crate.
fn logged() -> (String, Vec<Value>) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let busy = Error::new(ErrorKind::ProviderOverloaded)
        .with_http_status(503)
        .with_retry(Retry::Temporary)
        .with_provider_message("canary");
    let clock = Arc::new(TestClock::default());
    let script = Script {
        statuses: [Err(busy), Ok(BatchStatus::InProgress)].into(),
        ..Script::default()
    };
    let provider = MemoryProvider::new(clock.clone(), script);
    let invoker = LMInvoker::new(provider, "m")
        .system("canary")
        .clock(clock)
        .rng(Arc::new(TestRng::new(7)))
        .observer(Arc::new(TracingObserver));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let guard = tracing::subscriber::set_default(subscriber);
    let asked = [("a", "canary one"), ("b", "canary two")];
    let outcomes = runtime.block_on(async { invoker.batch().invoke(asked).await });
    drop(guard);
    assert_eq!(outcomes.unwrap().len(), 2);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let own = lines.filter(|line: &Value| line["target"] == "lmbatch");
    let own = own.collect();
    (text, own)
}

#[test]
fn each_transition_is_one_event_with_its_run_and_batch() {
    let (_, events) = logged();
    let of = |event: &Value| {
        let fields = &event["fields"];
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (word(&event["level"]), word(&fields["message"]))
    };
    let transitions: Vec<_> = events
        .iter()
        .filter(|event| event["level"] != "DEBUG")
        .map(of)
        .collect();
    let expected = [
        ("INFO", "planned"),
        ("INFO", "created"),
        ("WARN", "retrying"),
        ("INFO", "ended"),
        ("INFO", "results read"),
    ];
    assert_eq!(
        transitions,
        expected.map(|(level, message)| (level.to_owned(), message.to_owned()))
    );
    let run = events[0]["fields"]["run"].as_str().unwrap();
    assert!(run.starts_with("r-"), "{run}");
    for event in &events {
        assert_eq!(event["fields"]["run"], run, "{event}");
    }
    let named = |message: &str| {
        let mut events = events.iter().map(|event| &event["fields"]);
        events.find(|fields| fields["message"] == message).unwrap()
    };
    assert_eq!(named("planned")["requests"], 2);
    let created = named("created");
    assert!(created["label"].as_str().unwrap().starts_with("lmbatch-"));
    assert_eq!(created["batch"], "b1");
    let retrying = named("retrying");
    assert_eq!(
        (&retrying["kind"], &retrying["http_status"]),
        (&"provider_overloaded".into(), &503.into())
    );
    assert!(retrying["wait_s"].as_f64().unwrap() > 0.0);
    assert_eq!(
        (&named("ended")["status"], &named("ended")["succeeded"]),
        (&"completed".into(), &2.into())
    );
    assert_eq!(named("results read")["rows"], 2);
}

#[test]
fn no_event_holds_content() {
    let (text, events) = logged();
    assert!(events.len() > 5, "{text}");
    assert!(!text.contains("canary"), "{text}");
}
