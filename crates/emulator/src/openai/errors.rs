//! OpenAI's error bodies.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

pub(super) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = [
        ("content-type", "application/json"),
        ("x-request-id", "req_emulated"),
    ];
    (status, headers, body.to_string()).into_response()
}

pub(super) fn error(
    status: u16,
    message: &str,
    param: Option<&str>,
    code: Option<&str>,
) -> Response {
    json(
        status,
        &json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}),
    )
}

pub(super) fn missing(param: &str) -> Response {
    error(
        400,
        &format!("Missing required parameter: '{param}'."),
        Some(param),
        Some("missing_required_parameter"),
    )
}

/// Accepts any bearer token, except one that begins with `bad`.
pub(super) fn authorise(request: &Request) -> Result<(), Box<Response>> {
    let header = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    match header.and_then(|header| header.strip_prefix("Bearer ")) {
        Some(key) if !key.is_empty() && !key.starts_with("bad") => Ok(()),
        _ => Err(Box::new(error(
            401,
            "Incorrect API key provided.",
            None,
            Some("invalid_api_key"),
        ))),
    }
}
