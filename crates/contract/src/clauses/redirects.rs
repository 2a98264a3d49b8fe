//! Clauses about redirects: neither the key nor a request is ever forwarded to another host.

use lmbatch_core::{BatchStatus, Delivery, ListOptions};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::desk::{Answer, Says};
use crate::kit::{KEY, Kit, PROMPT};
use crate::wire::{CallKind, Shape};

/// Another host, which accepts any request.
async fn elsewhere() -> MockServer {
    let server = MockServer::start().await;
    let yes = ResponseTemplate::new(200).set_body_json(serde_json::json!({"id": "x", "name": "x"}));
    Mock::given(any()).respond_with(yes).mount(&server).await;
    server
}

fn leads_to(server: &MockServer, status: u16) -> Answer {
    let says = Says {
        status,
        headers: vec![("location", format!("{}/x", server.uri()))],
        mime: "text/plain",
        ..Says::default()
    };
    Answer {
        refuses: true,
        ..Answer::after(says)
    }
}

async fn no_key_and_no_request(server: &MockServer) {
    for request in server.received_requests().await.unwrap_or_default() {
        let said = format!("{} {:?}", request.url, request.headers);
        assert!(!said.contains(KEY), "the key was forwarded");
        let body = String::from_utf8_lossy(&request.body).into_owned();
        assert!(!body.contains(PROMPT), "a request was forwarded");
        assert_eq!(
            request.method.as_str(),
            "GET",
            "a redirected request must be a GET"
        );
    }
}

/// A redirect of a create with any status is not followed; the delivery of the create is unknown.
pub async fn a_redirect_of_a_create_is_not_followed(kit: &Kit) {
    for status in [301, 302, 303, 307, 308] {
        let (desk, server) = (kit.desk().await, elsewhere().await);
        desk.answer(CallKind::Create, leads_to(&server, status));
        let (_, created) = kit.create(&desk).await;
        let error = created.expect_err("a redirect is not a batch");
        assert_eq!(error.delivery(), Delivery::Unknown, "HTTP {status}");
        no_key_and_no_request(&server).await;
        let seen = server.received_requests().await.unwrap_or_default();
        assert!(seen.is_empty(), "HTTP {status} was followed");
    }
}

/// A redirect of a status, a list or a cancel is not followed.
pub async fn a_redirect_of_other_calls_is_not_followed(kit: &Kit) {
    for status in [302, 307] {
        let (desk, server) = (kit.desk().await, elsewhere().await);
        for kind in [CallKind::Status, CallKind::List, CallKind::Cancel] {
            desk.answer(kind, leads_to(&server, status));
        }
        let id = desk.keep(kit.described(1, BatchStatus::InProgress));
        let adapter = kit.adapter(&desk);
        adapter
            .status(&id)
            .await
            .expect_err("a redirect is not a status");
        drop(adapter.list(&ListOptions::default()).await);
        drop(adapter.cancel(&id).await);
        let seen = server.received_requests().await.unwrap_or_default();
        assert!(seen.is_empty(), "HTTP {status} was followed");
    }
}

/// A redirect of a download to a host that is not allowed is an error. Where the host is allowed, the download sends
/// neither the key nor a request there.
pub async fn a_redirect_of_a_download_forwards_no_key_and_no_request(kit: &Kit) {
    let (open, server) = (kit.open_three().await, elsewhere().await);
    open.end(BatchStatus::Completed, &[open.yes(0, "one")]);
    let kind = match open.shape() {
        Shape::Lines => CallKind::Read,
        Shape::Document => CallKind::Status,
    };
    open.desk.answer(kind, leads_to(&server, 302));
    open.retrieve()
        .await
        .expect_err("another host was not allowed");
    no_key_and_no_request(&server).await;
}
