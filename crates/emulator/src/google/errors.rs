//! Google's error bodies.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::exchange::parameter;

pub(super) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        [("content-type", "application/json; charset=UTF-8")],
        body.to_string(),
    )
        .into_response()
}

pub(super) fn error(code: u16, status: &str, message: &str) -> Response {
    json(
        code,
        &json!({"error": {"code": code, "message": message, "status": status}}),
    )
}

pub(super) fn invalid(message: &str) -> Response {
    error(400, "INVALID_ARGUMENT", message)
}

/// An exhausted quota that only the end of other batches frees, without `RetryInfo`.
pub(super) fn exhausted(message: &str) -> Response {
    let details =
        json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []}]);
    let error = json!({"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details});
    json(429, &json!({"error": error}))
}

pub(super) fn not_found(message: &str) -> Response {
    error(404, "NOT_FOUND", message)
}

/// Accepts any key in the header or the query, except one that begins with `bad`, which is a 400.
pub(super) fn authorise(request: &Request) -> Result<(), Box<Response>> {
    let header = request
        .headers()
        .get("x-goog-api-key")
        .and_then(|value| value.to_str().ok());
    match header.or_else(|| parameter(request, "key")) {
        Some(key) if !key.is_empty() && !key.starts_with("bad") => Ok(()),
        Some(_) => {
            let details = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
            }]);
            let message = "API key not valid. Please pass a valid API key.";
            let body = json!({"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}});
            Err(Box::new(json(400, &body)))
        }
        None => Err(Box::new(error(
            403,
            "PERMISSION_DENIED",
            "Method doesn't allow unregistered callers.",
        ))),
    }
}
