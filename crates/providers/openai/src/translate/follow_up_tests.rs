//! Continued conversations, as whole bodies.

use lmbatch_core::{ErrorKind, FinishReason, ItemView, OutputView};

use super::*;

const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";

/// Continues a body with the answer `{"a":7}`, in two pieces beside reasoning, and the message `No.`.
fn continued(endpoint: &str, body: &str) -> Result<String, RequestError> {
    let thought = ItemView::Commentary("Hm.".into());
    let items = vec![
        thought,
        ItemView::Text("{\"a\":".into()),
        ItemView::Text("7}".into()),
    ];
    let answer = OutputView::from_items(items, FinishReason::Stop);
    let class = BatchClass::new(endpoint, ROUTE);
    let mut out = Vec::new();
    let turns = FollowUp::new(&answer, "No.");
    codec(Endpoint::Responses).follow_up(&class, body, &turns, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn turns_are_added_to_bodies_of_both_endpoints_and_raw_ones() {
    for (endpoint, body, expected) in [
        (
            CHAT,
            r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"seed":7}"#,
            r#"{"model":"m","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"{\"a\":7}"},{"role":"user","content":"No."}],"seed":7}"#,
        ),
        (
            RESPONSES,
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]}],"top_p":0.50}"#,
            r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"Hi"}]},{"role":"assistant","content":"{\"a\":7}"},{"role":"user","content":[{"type":"input_text","text":"No."}]}],"top_p":0.50}"#,
        ),
        // As a caller's own body may have it.
        (
            RESPONSES,
            r#"{"input":"Hi\u0021", "model":"m"}"#,
            r#"{"input":[{"role":"user","content":"Hi\u0021"},{"role":"assistant","content":"{\"a\":7}"},{"role":"user","content":[{"type":"input_text","text":"No."}]}], "model":"m"}"#,
        ),
    ] {
        assert_eq!(continued(endpoint, body).unwrap(), expected, "{body}");
    }
}

#[test]
fn a_body_without_a_conversation_is_refused() {
    for (endpoint, body, kind) in [
        (CHAT, "{}", ErrorKind::InvalidInput),
        (CHAT, r#"{"messages":"Hi"}"#, ErrorKind::InvalidInput),
        (RESPONSES, r#"{"input":null}"#, ErrorKind::InvalidInput),
        (RESPONSES, r#"{"input":{}}"#, ErrorKind::InvalidInput),
        ("/v1/embeddings", "{}", ErrorKind::Unsupported),
        (
            "/v1/embeddings",
            r#"{"input":["Hi"]}"#,
            ErrorKind::Unsupported,
        ),
    ] {
        let refused = continued(endpoint, body).unwrap_err();
        assert_eq!(refused.kind(), kind, "{endpoint} {body}");
    }
}
