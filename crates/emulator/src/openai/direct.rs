//! Real-time answers, without a batch.

use axum::extract::Request;
use axum::response::Response;
use serde_json::Value;

use super::answer;
use super::errors::{authorise, error, json};
use crate::state::State;
use crate::{magic, model};

/// Maximum size of one request in bytes.
const MAX_BYTES: usize = 32 << 20;

pub(super) async fn answer_now(state: &State, request: Request) -> Response {
    if let Err(refusal) = authorise(&request) {
        return *refusal;
    }
    let endpoint = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), MAX_BYTES)
        .await
        .unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return error(
            400,
            "We could not parse the JSON body of your request.",
            None,
            None,
        );
    };
    let asked = answer::asked(&body);
    for (word, status, code) in [
        (magic::ERROR_400, 400, "invalid_value"),
        (magic::ERROR_429, 429, "rate_limit_exceeded"),
        (magic::ERROR_500, 500, "server_error"),
    ] {
        if asked.text.contains(word) {
            return error(status, "A request that fails on purpose.", None, Some(code));
        }
    }
    json(
        200,
        &answer::render(&endpoint, &body, 0, &model::answer(&asked, &state.answers)),
    )
}
