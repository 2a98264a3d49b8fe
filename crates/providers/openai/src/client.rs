//! OpenAI's endpoints as methods; each sends one request.

use std::collections::BTreeMap;

use lmbatch_core::{
    BatchId, BatchStatus, Cursor, Error, ErrorKind, Intent, ListOptions, Result, Shard,
};
use lmbatch_http::{
    HeaderName, HeaderValue, HttpClient, Response, batch_error, check_batch, file_error, is_about,
    list_error, segment,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::classify_error;
use crate::wire::{Batch, CreateBatch, ExpiresAfter, Files, List};

#[derive(Debug)]
pub(crate) struct OpenAiClient {
    pub(crate) http: HttpClient,
    pub(crate) expires: Option<u64>,
}

impl OpenAiClient {
    pub(crate) async fn model(&self, model: &str) -> Result<()> {
        let exchange = self
            .http
            .get(&format!("models/{}", segment(model)))
            .operation("check the model");
        exchange.send_ok(classify_error).await.map(drop)
    }

    pub(crate) async fn upload(&self, shard: &Shard) -> Result<String> {
        let seconds = self.expires.map(|seconds| seconds.to_string());
        let mut fields = vec![("purpose", "batch")];
        if let Some(seconds) = &seconds {
            fields.push(("expires_after[anchor]", "created_at"));
            fields.push(("expires_after[seconds]", seconds));
        }
        // "Invalid file format for Batch API. Must be .jsonl" (third-party live capture, 2026-09-02).
        let exchange = self.http.post("files").upload(shard, &fields);
        let exchange = exchange.operation("upload the input");
        exchange
            .send_ok(classify_error)
            .await?
            .created_id("id")
            .await
    }

    pub(crate) async fn create(&self, file: &str, intent: &Intent) -> Result<String> {
        let body = CreateBatch {
            input_file_id: file,
            endpoint: &intent.class.endpoint,
            completion_window: "24h",
            metadata: BTreeMap::from([("lmbatch", intent.label.as_str())]),
            output_expires_after: self.expires.map(|seconds| ExpiresAfter {
                anchor: "created_at",
                seconds,
            }),
        };
        let body = serde_json::to_vec(&body)
            .map_err(|error| Error::new(ErrorKind::Internal).with_source(error))?;
        let exchange = self
            .http
            .create("batches")
            .json_bytes(body)
            .operation("create the batch");
        exchange
            .send_ok(classify_error)
            .await?
            .created_id("id")
            .await
    }

    pub(crate) async fn batch(&self, batch: &BatchId) -> Result<Batch> {
        let exchange = self
            .http
            .get(&batch_path(batch))
            .operation("ask for the batch's status");
        let reply = exchange.send_ok(classify_error).await;
        let reply = reply.map_err(|error| batch_error(batch, error))?;
        let about = reply.unreadable("");
        let read = reply.json::<Batch>().await;
        let mut found = read.map_err(|error| error.with_batch(batch.clone()))?;
        let says_error = found.error.take().is_some_and(|error| error != "");
        if says_error && status(found.status.as_deref()) != BatchStatus::Failed {
            let error = about.with_message("it holds an error; a proxy may have sent it");
            return Err(error.with_batch(batch.clone()));
        }
        check_batch(batch, &found.id, has_status(&found), about)?;
        found.id = batch.as_str().to_owned();
        Ok(found)
    }

    pub(crate) async fn list(&self, options: &ListOptions) -> Result<List> {
        let mut exchange = self.http.get("batches").operation("list the batches");
        exchange = exchange.query(
            "limit",
            options.limit.unwrap_or(100).clamp(1, 100).to_string(),
        );
        if let Some(after) = &options.page {
            exchange = exchange.query("after", after.as_str());
        }
        exchange.send_json(classify_error).await.map_err(list_error)
    }

    pub(crate) async fn files(&self, page: Option<&Cursor>) -> Result<Files> {
        let mut exchange = self
            .http
            .get("files")
            .query("purpose", "batch")
            .query("limit", "1000")
            .operation("list the files");
        if let Some(after) = page {
            exchange = exchange.query("after", after.as_str());
        }
        exchange.send_json(classify_error).await.map_err(list_error)
    }

    pub(crate) async fn cancel(&self, batch: &BatchId) -> Result<Response> {
        let exchange = self
            .http
            .post(&format!("{}/cancel", batch_path(batch)))
            .operation("cancel the batch");
        exchange.send_ok(classify_error).await
    }

    pub(crate) async fn content(&self, file: &str, from: u64) -> Result<Response> {
        let mut exchange = self
            .http
            .get(&format!("files/{}/content", segment(file)))
            .operation("read the results");
        if from > 0 {
            let range = HeaderValue::from_str(&format!("bytes={from}-"))
                .map_err(|_| Error::new(ErrorKind::Internal))?;
            exchange = exchange.header(HeaderName::from_static("range"), range);
        }
        let reply = exchange
            .send_following_ok(classify_error)
            .await
            .map_err(file_error)?;
        // It is not documented that OpenAI serves ranges: a range is read only if it is the requested one.
        let range = reply
            .header("content-range")
            .is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        if from > 0 && !(reply.status() == 206 && range) {
            return Err(reply
                .error(ErrorKind::Unsupported)
                .with_message("reading results from the middle"));
        }
        Ok(reply)
    }

    pub(crate) async fn delete(&self, file: &str) -> Result<()> {
        let exchange = self
            .http
            .delete(&format!("files/{}", segment(file)))
            .operation("delete a file");
        // `{"id": "file-…", "object": "file", "deleted": true}` (API reference, 2026-11). A late create fails only
        // if this very file is deleted.
        let proves = |said: &Value| said["deleted"] == true && said["id"] == *file;
        exchange.send_delete(classify_error, proves).await
    }
}

/// Returns true if a document holds a batch status. Servers and proxies use `status` for other values too, so that
/// only a known word counts.
fn has_status(batch: &Batch) -> bool {
    !matches!(status(batch.status.as_deref()), BatchStatus::Unknown(_))
}

/// Returns true if the answer to a cancel is the batch, with which the API confirms it (API reference, 2026-11).
pub(crate) fn confirms(batch: &BatchId, said: &Value) -> bool {
    let said = Batch::deserialize(said);
    said.is_ok_and(|said| is_about(batch, &said.id, has_status(&said)))
}

fn batch_path(batch: &BatchId) -> String {
    format!("batches/{}", segment(batch.as_str()))
}

/// Parses the statuses of OpenAI and compatible servers, in any case and either spelling.
pub(crate) fn status(word: Option<&str>) -> BatchStatus {
    let Some(word) = word else {
        return BatchStatus::Unknown("(none)".to_owned());
    };
    match word.to_ascii_lowercase().as_str() {
        "validating" => BatchStatus::Validating,
        "queued" | "in_queue" | "pending" => BatchStatus::Queued,
        "in_progress" | "progress" | "running" => BatchStatus::InProgress,
        "finalizing" | "finalising" => BatchStatus::Finalizing,
        "cancelling" | "canceling" => BatchStatus::Cancelling,
        "completed" | "complete" => BatchStatus::Completed,
        "failed" => BatchStatus::Failed,
        "expired" => BatchStatus::Expired,
        "cancelled" | "canceled" => BatchStatus::Cancelled,
        _ => BatchStatus::Unknown(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_in_any_case_and_spelling() {
        for (word, expected) in [
            ("validating", BatchStatus::Validating),
            ("IN_PROGRESS", BatchStatus::InProgress),
            ("in_queue", BatchStatus::Queued),
            ("finalizing", BatchStatus::Finalizing),
            ("finalising", BatchStatus::Finalizing),
            ("cancelling", BatchStatus::Cancelling),
            ("canceling", BatchStatus::Cancelling),
            ("Completed", BatchStatus::Completed),
            ("failed", BatchStatus::Failed),
            ("expired", BatchStatus::Expired),
            ("cancelled", BatchStatus::Cancelled),
            ("canceled", BatchStatus::Cancelled),
            (
                "Paused_For_Tea",
                BatchStatus::Unknown("Paused_For_Tea".into()),
            ),
        ] {
            assert_eq!(status(Some(word)), expected);
        }
        assert!(!status(None).is_terminal());
    }
}
