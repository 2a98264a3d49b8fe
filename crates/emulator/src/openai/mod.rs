//! OpenAI's dialect (OpenAPI document 2.3.0, 2026-08-21; third-party live captures, 2026-08 and 2026-09).

mod answer;
mod batches;
mod dialect;
mod direct;
mod errors;
mod files;
mod lines;

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State as Extract};
use axum::response::Response;
use axum::routing::{get, post};

use crate::exchange::call;
use crate::faults::Operation;
use crate::state::State;

type Shared = Extract<Arc<State>>;

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/v1/files", post(upload).get(list_files))
        .route("/v1/files/{id}", get(file).delete(delete_file))
        .route("/v1/files/{id}/content", get(content))
        .route("/v1/batches", post(create).get(list))
        .route("/v1/batches/{id}", get(status))
        .route("/v1/batches/{id}/cancel", post(cancel))
        .route("/v1/models", get(models))
        .route("/v1/models/{id}", get(model))
        .route("/v1/responses", post(direct_call))
        .route("/v1/chat/completions", post(direct_call))
        .layer(DefaultBodyLimit::disable())
}

async fn upload(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Upload, request, |request| {
        files::upload(&state, request)
    })
    .await
}

async fn list_files(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Files, request, |request| {
        ready(files::list(&state, &request))
    })
    .await
}

async fn file(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::File, request, |request| {
        ready(files::show(&state, &id, &request))
    })
    .await
}

async fn delete_file(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Delete, request, |request| {
        ready(files::delete(&state, &id, &request))
    })
    .await
}

async fn content(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Content, request, |request| {
        files::content(&state, id, request)
    })
    .await
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

async fn direct_call(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Direct, request, |request| {
        direct::answer_now(&state, request)
    })
    .await
}

async fn models(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Model, request, |request| {
        ready(known(None, &request))
    })
    .await
}

async fn model(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Model, request, |request| {
        ready(known(Some(&id), &request))
    })
    .await
}

/// Serves one model, or the list of models without an id.
fn known(id: Option<&str>, request: &Request) -> Response {
    if let Err(refusal) = errors::authorise(request) {
        return *refusal;
    }
    let object = |id: &str| serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "emulator"});
    match id {
        None => errors::json(
            200,
            &serde_json::json!({"object": "list", "data": [object("echo")]}),
        ),
        Some(id) if id.starts_with(lines::NO_SUCH_MODEL) => {
            let message = format!("The model '{id}' does not exist");
            errors::error(404, &message, Some("model"), Some("model_not_found"))
        }
        Some(id) => errors::json(200, &object(id)),
    }
}
