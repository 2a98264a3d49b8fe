//! The Gemini API's endpoints as methods; each sends one request.

use lmbatch_core::{
    BatchId, Cursor, Delivery, Error, ErrorKind, Intent, ListOptions, Result, Shard,
};
use lmbatch_http::{
    HeaderName, HeaderValue, HttpClient, Response, batch_error, check_batch, file_error, is_about,
    list_error, segment,
};
use serde_json::Value;

use crate::error::classify_error;
use crate::translate::model_path;
use crate::wire::{
    Create, CreateBatch, File, Files, InputConfig, LISTED_RESULTS, List, Operation, RESULTS,
};

#[derive(Debug)]
pub(crate) struct GoogleClient {
    pub(crate) http: HttpClient,
    pub(crate) version: String,
}

impl GoogleClient {
    fn path(&self, rest: &str) -> String {
        format!("{}/{rest}", self.version)
    }

    pub(crate) async fn model(&self, model: &str) -> Result<()> {
        let exchange = self
            .http
            .get(&self.path(&resource(&model_path(model))))
            .operation("check the model");
        exchange.send_ok(classify_error).await.map(drop)
    }

    /// A batch whose requests are in a file that was uploaded, or in the shard itself.
    pub(crate) async fn create(
        &self,
        shard: &Shard,
        intent: &Intent,
        file: Option<&str>,
    ) -> Result<BatchId> {
        let model = model_path(intent.class.model.as_deref().unwrap_or_default());
        let exchange = self
            .http
            .create(&self.path(&format!("{}:batchGenerateContent", resource(&model))))
            .operation("create the batch");
        let exchange = match file {
            Some(file_name) => {
                let body = Create {
                    batch: CreateBatch {
                        display_name: intent.label.as_str(),
                        model: &model,
                        input_config: InputConfig { file_name },
                    },
                };
                let body = serde_json::to_vec(&body)
                    .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
                exchange.json_bytes(body)
            }
            None => exchange.shard("application/json", shard),
        };
        let name = exchange
            .send_ok(classify_error)
            .await?
            .created_id("name")
            .await?;
        Ok(BatchId::new(name))
    }

    /// The batch, with nothing of its results but where they are.
    pub(crate) async fn batch(&self, batch: &BatchId) -> Result<Operation> {
        let reply = self.operation(batch, "ask for the batch's status").await?;
        let about = reply.unreadable("");
        let read = reply.json_without_rows::<Operation>(RESULTS).await;
        let mut found = read.map_err(|error| error.with_batch(batch.clone()))?;
        let metadata = found.metadata.as_ref();
        let has_status = metadata.is_some_and(|metadata| metadata.state.is_some());
        check_batch(batch, &found.name, has_status, about)?;
        found.name = batch.as_str().to_owned();
        Ok(found)
    }

    /// The same as it comes: its results may be long.
    pub(crate) async fn operation(
        &self,
        batch: &BatchId,
        operation: &'static str,
    ) -> Result<Response> {
        let exchange = self.http.get(&self.batch_path(batch)).operation(operation);
        exchange
            .send_ok(classify_error)
            .await
            .map_err(|error| batch_error(batch, error))
    }

    pub(crate) async fn list(&self, options: &ListOptions) -> Result<List> {
        let size = options.limit.unwrap_or(100).clamp(1, 1000);
        let mut exchange = self
            .http
            .get(&self.path("batches"))
            .operation("list the batches")
            .query("pageSize", size.to_string());
        if let Some(page) = &options.page {
            exchange = exchange.query("pageToken", page.as_str());
        }
        let reply = exchange.send_ok(classify_error).await.map_err(list_error)?;
        let about = reply.unreadable("it holds an error");
        match reply.json_without_rows::<List>(LISTED_RESULTS).await {
            // A list that failed is not an empty list, which has no members at all.
            Ok(list) if list.error.is_some() => Err(about),
            Ok(list) if !list.is_list => Err(about.with_message("it is no list of batches")),
            other => other,
        }
    }

    pub(crate) async fn files(&self, page: Option<&Cursor>) -> Result<Files> {
        let mut exchange = self
            .http
            .get(&self.path("files"))
            .operation("list the files")
            .query("pageSize", "100");
        if let Some(page) = page {
            exchange = exchange.query("pageToken", page.as_str());
        }
        let reply = exchange.send_ok(classify_error).await.map_err(list_error)?;
        let about = reply.unreadable("it holds an error");
        match reply.json_without_rows::<Files>(&[]).await {
            Ok(files) if files.error.is_some() => Err(about),
            Ok(files) if !files.is_list => Err(about.with_message("it is no list of files")),
            other => other,
        }
    }

    pub(crate) async fn cancel(&self, batch: &BatchId) -> Result<Response> {
        let exchange = self
            .http
            .post(&format!("{}:cancel", self.batch_path(batch)))
            .operation("cancel the batch");
        exchange.send_ok(classify_error).await
    }

    pub(crate) async fn delete_batch(&self, batch: &BatchId) -> Result<()> {
        let exchange = self
            .http
            .delete(&self.batch_path(batch))
            .operation("delete the batch");
        let gone = exchange.send_delete(classify_error, is_empty_object).await;
        gone.map_err(|error| batch_error(batch, error))
    }

    pub(crate) async fn content(&self, batch: &BatchId, file: &str) -> Result<Response> {
        let path = format!("download/{}:download", self.path(&resource(file)));
        let exchange = self
            .http
            .get(&path)
            .query("alt", "media")
            .operation("read the results");
        exchange
            .send_following_ok(classify_error)
            .await
            .map_err(|error| gone(error).with_batch(batch.clone()))
    }

    pub(crate) async fn file(&self, file: &str) -> Result<File> {
        let exchange = self
            .http
            .get(&self.path(&resource(file)))
            .operation("ask for the input file");
        exchange.send_json(classify_error).await.map_err(gone)
    }

    pub(crate) async fn delete_file(&self, file: &str) -> Result<()> {
        let exchange = self
            .http
            .delete(&self.path(&resource(file)))
            .operation("delete a file");
        match exchange.send_ok(classify_error).await.map_err(gone) {
            Err(error) if error.kind() == ErrorKind::FileNotFound => Ok(()),
            other => other?.deleted(is_empty_object).await,
        }
    }

    /// Starts a resumable upload under the given file name; returns the URL of its session.
    pub(crate) async fn begin_upload(&self, shard: &Shard, file: &str) -> Result<String> {
        let body = serde_json::json!({"file": {"name": file, "displayName": shard.label.as_str()}});
        let len = HeaderValue::from(shard.len());
        let reply = self
            .http
            .post(&format!("upload/{}", self.path("files")))
            .json(&body)
            .header(UPLOAD_PROTOCOL, HeaderValue::from_static("resumable"))
            .header(UPLOAD_COMMAND, HeaderValue::from_static("start"))
            .header(UPLOAD_LENGTH, len)
            .header(UPLOAD_TYPE, HeaderValue::from_static("application/jsonl"))
            .operation("begin the upload of the input")
            .send_ok(classify_error)
            .await
            .map_err(list_error)?;
        let about = reply.error(ErrorKind::MalformedResponse);
        let Some(url) = reply.header("x-goog-upload-url") else {
            return Err(about.with_message("it does not say where to upload to"));
        };
        // The session's URL is used on our origin only: the requests go nowhere else.
        self.http.path_on_origin(url).ok_or_else(|| {
            about
                .with_kind(ErrorKind::ForeignOrigin)
                .with_message("an upload to another origin")
        })
    }

    /// Uploads the input from a byte offset to its end.
    pub(crate) async fn upload(&self, shard: &Shard, session: &str, from: u64) -> Result<Response> {
        let exchange = self
            .http
            .post(session)
            .stream(
                HeaderValue::from_static("application/jsonl"),
                shard.len() - from,
                shard.open(from..shard.len()),
            )
            .header(UPLOAD_OFFSET, HeaderValue::from(from))
            .header(UPLOAD_COMMAND, HeaderValue::from_static("upload, finalize"))
            .operation("upload the input");
        exchange.send_ok(classify_error).await.map_err(file_error)
    }

    /// Returns the state and offset of an upload.
    pub(crate) async fn query_upload(&self, session: &str) -> Result<Response> {
        let exchange = self
            .http
            .post(session)
            .header(UPLOAD_COMMAND, HeaderValue::from_static("query"))
            .operation("ask how far the upload came");
        exchange.send_ok(classify_error).await.map_err(file_error)
    }

    fn batch_path(&self, batch: &BatchId) -> String {
        let id = batch.as_str();
        let id = id.strip_prefix("batches/").unwrap_or(id);
        self.path(&format!("batches/{}", segment(id)))
    }
}

const UPLOAD_PROTOCOL: HeaderName = HeaderName::from_static("x-goog-upload-protocol");
const UPLOAD_COMMAND: HeaderName = HeaderName::from_static("x-goog-upload-command");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("x-goog-upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("x-goog-upload-header-content-length");
const UPLOAD_TYPE: HeaderName = HeaderName::from_static("x-goog-upload-header-content-type");

/// Returns true if a body is `google.protobuf.Empty`, with which the API confirms the deletion of a file or a batch
/// (Files API and batch reference, 2026).
fn is_empty_object(said: &Value) -> bool {
    said.as_object().is_some_and(serde_json::Map::is_empty)
}

/// Returns true if the answer to a cancel confirms it: `google.protobuf.Empty` (batch reference, 2026), or the batch
/// by its name.
pub(crate) fn confirms(batch: &BatchId, said: &Value) -> bool {
    let name = said["name"].as_str();
    is_empty_object(said) || name.is_some_and(|name| is_about(batch, name, false))
}

/// A name such as `files/x`, each part of which stays one segment.
fn resource(name: &str) -> String {
    name.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Converts a 403 on a file: Google sends it both for a missing file and for one of another project (recorded,
/// 2026-08-19).
fn gone(error: Error) -> Error {
    let own = error.delivery() == Delivery::Refused;
    match (error.http_status(), error.code()) {
        (Some(403), Some("PERMISSION_DENIED")) if own => error.with_kind(ErrorKind::FileNotFound),
        _ => file_error(error),
    }
}
