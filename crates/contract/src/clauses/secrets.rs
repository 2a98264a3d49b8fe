//! Clauses about confidential data: the key, prompts, and the provider's words appear only where they belong.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use lmbatch_core::{Account, BatchProvider, BatchStatus, ListOptions};
use tracing_subscriber::fmt::MakeWriter;

use crate::desk::{Answer, Desk, Says};
use crate::kit::{KEY, Kit, PROMPT, said};
use crate::wire::CallKind;

/// Makes one call of each kind; the calls may fail.
async fn conversation(kit: &Kit) -> Desk {
    let open = kit.open_three().await;
    let batch = &open.handle.batch;
    let operations = open.invoker.batch();
    drop(operations.status(batch).await);
    drop(operations.list().await);
    drop(operations.cancel(batch).await);
    open.end(
        BatchStatus::Completed,
        &[open.yes(0, "answer-canary"), open.no(1, "words-canary")],
    );
    drop(operations.retrieve(&open.handle).await);
    open.desk
}

/// Every call carries the key, in the header that the provider reads it from.
pub async fn every_call_carries_the_key(kit: &Kit) {
    let desk = conversation(kit).await;
    let (name, value) = kit.wire.credential(KEY);
    for (call, request) in desk.seen() {
        let header = request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        assert_eq!(header, Some(value.as_str()), "{call:?}");
    }
}

/// The key appears in no URL and in no body, since both end up in logs.
pub async fn the_key_appears_in_no_url_and_no_body(kit: &Kit) {
    for (call, request) in conversation(kit).await.seen() {
        assert!(!request.url.as_str().contains(KEY), "{call:?}");
        assert!(
            !String::from_utf8_lossy(&request.body).contains(KEY),
            "{call:?}"
        );
    }
}

/// Debug and display output of an adapter never shows the key.
pub async fn debug_output_of_an_adapter_hides_the_key(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shown = format!(
        "{adapter:?} {adapter:#?} {:?} {:?} {} {:?} {:?}",
        adapter.codec(),
        adapter.account(),
        adapter.account(),
        adapter.key_hint(),
        adapter.former_account()
    );
    assert!(!shown.contains(KEY));
}

/// The account id survives a key rotation and differs between origins; a key hint, if there is one, differs between
/// keys.
pub async fn the_account_id_survives_a_key_rotation(kit: &Kit) {
    let desk = kit.desk().await;
    let account = |url: &str, key: &str| Account::of(&*kit.wire.adapter(url, key));
    let first = account(&desk.url, KEY);
    assert_eq!(first, account(&desk.url, KEY));
    let rotated = account(&desk.url, "another-key");
    assert_eq!(first.id, rotated.id);
    assert!(first.key_hint.is_none() || first.key_hint != rotated.key_hint);
    assert_ne!(first.id, account("http://127.0.0.1:9", KEY).id);
}

/// An error contains neither the key nor the response body, which may quote the key or a prompt.
pub async fn an_error_does_not_quote_the_response_body(kit: &Kit) {
    for status in [400, 401, 404, 429, 500] {
        let desk = kit.desk().await;
        let words = format!("your key {KEY} and your {PROMPT}");
        let answer = Answer::refusal(status, &kit.wire.refusal(status, &words));
        for kind in [CallKind::Create, CallKind::Status, CallKind::List] {
            desk.answer(kind, answer.clone());
        }
        for error in errors(kit, &desk).await {
            let said = said(&error);
            assert!(
                !said.contains(KEY) && !said.contains(PROMPT),
                "HTTP {status}: {said}"
            );
        }
    }
}

/// The error for a proxy's HTML page does not quote the page.
pub async fn an_error_does_not_quote_an_html_page(kit: &Kit) {
    for status in [403, 502, 520] {
        let desk = kit.desk().await;
        let page = Says::web_page(status, "page-canary");
        for kind in [CallKind::Create, CallKind::Status, CallKind::List] {
            desk.answer(kind, Answer::after(page.clone()));
        }
        for error in errors(kit, &desk).await {
            assert!(!said(&error).contains("page-canary"), "HTTP {status}");
            assert_eq!(error.http_status(), Some(status));
        }
    }
}

async fn errors(kit: &Kit, desk: &Desk) -> Vec<lmbatch_core::Error> {
    let adapter: Arc<dyn BatchProvider> = kit.adapter(desk);
    let mut errors = vec![
        kit.create(desk)
            .await
            .1
            .expect_err("a create that is refused"),
        adapter
            .status(&kit.wire.batch_id(1))
            .await
            .expect_err("a status that is refused"),
    ];
    if adapter.codec().capabilities().list {
        let listed = adapter.list(&ListOptions::default()).await;
        errors.push(listed.expect_err("a list that is refused"));
    }
    errors
}

/// Logs at every level contain no key.
pub async fn logs_contain_no_key(kit: &Kit) {
    assert!(!logged(kit).await.contains(KEY));
}

/// Logs at every level contain no prompt, no answer, and none of the provider's messages about a request.
pub async fn logs_contain_no_prompt_and_no_answer(kit: &Kit) {
    let log = logged(kit).await;
    for canary in [PROMPT, "answer-canary", "words-canary"] {
        assert!(!log.contains(canary), "{canary} in {log}");
    }
}

async fn logged(kit: &Kit) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is captured");
    conversation(kit).await;
    drop(guard);
    let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("the log is captured"));
    text
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
