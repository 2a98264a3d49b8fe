//! Anthropic's error bodies.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

pub(super) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        ("content-type", "application/json"),
        ("request-id", "req_emulated"),
    ];
    (status, headers, body.to_string()).into_response()
}

pub(super) fn error(status: u16, kind: &str, message: &str) -> Response {
    json(
        status,
        &json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_emulated"}),
    )
}

pub(super) fn invalid(message: &str) -> Response {
    error(400, "invalid_request_error", message)
}

/// The HTML page of the proxy in front of the API.
pub(super) fn too_large() -> Response {
    let page = "<html><head><title>413 Request Entity Too Large</title></head><body></body></html>";
    (
        StatusCode::PAYLOAD_TOO_LARGE,
        [("content-type", "text/html")],
        page,
    )
        .into_response()
}

/// Accepts any key in either header, except one that begins with `bad`; the API version must be known.
pub(super) fn authorise(request: &Request) -> Result<(), Box<Response>> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let bearer = || header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match header("x-api-key").or_else(bearer) {
        Some(key) if !key.is_empty() && !key.starts_with("bad") => {}
        _ => {
            return Err(Box::new(error(
                401,
                "authentication_error",
                "invalid x-api-key",
            )));
        }
    }
    match header("anthropic-version") {
        Some(version) if VERSIONS.contains(&version) => Ok(()),
        Some(_) => Err(Box::new(invalid("anthropic-version: not a valid version"))),
        None => Err(Box::new(invalid("anthropic-version: header is required"))),
    }
}
