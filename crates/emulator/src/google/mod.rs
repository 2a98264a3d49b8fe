//! Gemini's dialect: batches by file or inline (`/v1` and `/v1beta`; recorded traffic of 2026-08-19,
//! google-genai 3.4.0 of 2026-11).

mod answer;
mod batches;
mod dialect;
mod errors;
mod files;
mod inline;
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
type Two = Path<(String, String)>;

pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/upload/{version}/files", post(begin))
        .route("/upload/session/{id}", post(upload))
        .route("/{version}/files", get(list_files))
        .route("/{version}/files/{id}", get(file).delete(delete_file))
        .route("/download/{version}/files/{id}", get(content))
        .route("/{version}/batches", get(list))
        .route(
            "/{version}/batches/{id}",
            get(status).delete(delete).post(cancel),
        )
        .route("/{version}/models/{call}", get(model).post(model_call))
        .layer(DefaultBodyLimit::disable())
}

async fn begin(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Upload, request, |request| {
        files::begin(&state, request)
    })
    .await
}

async fn upload(Extract(state): Shared, Path(id): Path<String>, request: Request) -> Response {
    call(&state, Operation::Upload, request, |request| {
        files::upload(&state, id, request)
    })
    .await
}

async fn list_files(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::Files, request, |request| {
        ready(files::list(&state, &request))
    })
    .await
}

/// Serves `files/x` and, on the same route, `files/x:download`.
async fn file(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    if id.ends_with(":download") {
        return download(&state, &id, request).await;
    }
    call(&state, Operation::File, request, |request| {
        ready(files::show(&state, &id, &request))
    })
    .await
}

async fn content(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    download(&state, &id, request).await
}

async fn download(state: &Arc<State>, id: &str, request: Request) -> Response {
    let id = id.trim_end_matches(":download").to_owned();
    call(state, Operation::Content, request, |request| {
        files::content(state, id, request)
    })
    .await
}

async fn delete_file(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    call(&state, Operation::Delete, request, |request| {
        ready(files::delete(&state, &id, &request))
    })
    .await
}

async fn list(Extract(state): Shared, request: Request) -> Response {
    call(&state, Operation::List, request, |request| {
        ready(batches::list(&state, &request))
    })
    .await
}

async fn status(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    call(&state, Operation::Status, request, |request| {
        ready(batches::status(&state, &id, &request))
    })
    .await
}

async fn delete(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    call(&state, Operation::Delete, request, |request| {
        ready(batches::delete(&state, &id, &request))
    })
    .await
}

async fn cancel(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    let Some(id) = id.strip_suffix(":cancel").map(str::to_owned) else {
        return errors::not_found("no such method");
    };
    call(&state, Operation::Cancel, request, |request| {
        ready(batches::cancel(&state, &id, &request))
    })
    .await
}

async fn model(Extract(state): Shared, Path((_, id)): Two, request: Request) -> Response {
    call(&state, Operation::Model, request, |request| async move {
        if let Err(refusal) = errors::authorise(&request) {
            return *refusal;
        }
        if id.starts_with(lines::NO_SUCH_MODEL) {
            return errors::not_found(&format!("models/{id} is not found for API version v1beta"));
        }
        errors::json(
            200,
            &serde_json::json!({"name": format!("models/{id}"), "displayName": id}),
        )
    })
    .await
}

async fn model_call(Extract(state): Shared, Path((_, name)): Two, request: Request) -> Response {
    match name.split_once(':') {
        Some((model, "batchGenerateContent")) => {
            let model = model.to_owned();
            call(&state, Operation::Create, request, |request| {
                batches::create(&state, model, request)
            })
            .await
        }
        Some((model, "generateContent")) => {
            let model = model.to_owned();
            call(&state, Operation::Direct, request, |request| {
                batches::answer_now(&state, model, request)
            })
            .await
        }
        _ => errors::not_found("no such method"),
    }
}
