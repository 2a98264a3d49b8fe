//! Anthropic's dialect: message batches (API versions 2023-06-01 and 2026-10-21; recorded traffic of
//! 2026-08-19, SDK 2.12.0 of 2026-11).

mod answer;
mod batches;
mod dialect;
mod errors;
mod lines;

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Extract};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use crate::exchange::call;
use crate::faults::Operation;
use crate::state::State;

type Shared = Extract<Arc<State>>;

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/messages/batches", post(create).get(list))
        .route("/v1/messages/batches/{id}", get(status).delete(delete))
        .route("/v1/messages/batches/{id}/cancel", post(cancel))
        .route("/v1/messages/batches/{id}/results", get(results))
        .route("/v1/messages", post(direct))
        .route("/v1/models/{id}", get(model))
        .layer(DefaultBodyLimit::disable())
}

async fn create(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Create, request, |request| {
        batches::create(&state, request)
    })
    .await
}

async fn list(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::List, request, |request| {
        ready(batches::list(&state, &request))
    })
    .await
}

async fn status(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Status, request, |request| {
        ready(batches::status(&state, &id, &request))
    })
    .await
}

async fn cancel(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Cancel, request, |request| {
        ready(batches::cancel(&state, &id, &request))
    })
    .await
}

async fn delete(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Delete, request, |request| {
        ready(batches::delete(&state, &id, &request))
    })
    .await
}

async fn results(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Content, request, |request| {
        batches::results(&state, id, request)
    })
    .await
}

async fn direct(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Direct, request, |request| {
        batches::answer_now(&state, request)
    })
    .await
}

async fn model(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Model, request, |request| async move {
        if let Err(refusal) = errors::authorise(&request) {
            return *refusal;
        }
        if id.starts_with(lines::NO_SUCH_MODEL) {
            return errors::error(404, "not_found_error", &format!("model: {id}"));
        }
        errors::json(200, &json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"}))
    })
    .await
}
