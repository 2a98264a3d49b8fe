//! Anthropic's endpoints as methods; each sends one request.

use lmbatch_core::{BatchId, Error, Intent, ListOptions, Result, Retry, Shard};
use lmbatch_http::{
    HeaderName, HeaderValue, HttpClient, Response, batch_error, check_batch, file_error, is_about,
    list_error, segment,
};
use serde::Deserialize as _;
use serde_json::Value;

use crate::error::classify_error;
use crate::translate::{BETAS, VERSION};
use crate::wire::{Batch, List};

#[derive(Debug)]
pub(crate) struct AnthropicClient {
    pub(crate) http: HttpClient,
}

impl AnthropicClient {
    pub(crate) async fn model(&self, model: &str) -> Result<()> {
        let exchange = self
            .http
            .get(&format!("v1/models/{}", segment(model)))
            .operation("check the model");
        exchange.send_ok(classify_error).await.map(drop)
    }

    pub(crate) async fn create(&self, shard: &Shard, intent: &Intent) -> Result<String> {
        let mut exchange = self
            .http
            .create("v1/messages/batches")
            .shard("application/json", shard)
            .operation("create the batch");
        for (variant, name) in [(VERSION, "anthropic-version"), (BETAS, "anthropic-beta")] {
            if let Some(value) = intent.class.variant.get(variant) {
                let value = HeaderValue::from_str(value).map_err(|_| {
                    Error::invalid_input(format!("{name} holds characters that a header cannot"))
                })?;
                exchange = exchange.header(HeaderName::from_static(name), value);
            }
        }
        exchange
            .send_ok(classify_error)
            .await?
            .created_id("id")
            .await
    }

    /// Returns the batch with the server's `Retry-After` for the next poll.
    pub(crate) async fn batch(&self, batch: &BatchId) -> Result<Batch> {
        let exchange = self
            .http
            .get(&batch_path(batch))
            .operation("ask for the batch's status");
        let reply = exchange
            .send_ok(classify_error)
            .await
            .map_err(|error| batch_error(batch, error))?;
        // "Retry-After: 10" on the 200 of a batch that has not ended (recorded traffic, 2026-08-19).
        let poll_after = reply.retry_after();
        let about = reply.unreadable("");
        let read = reply.checked::<Batch>(&[]).await;
        let mut found = read.map_err(|error| error.with_batch(batch.clone()))?;
        check_batch(batch, &found.id, found.processing_status.is_some(), about)?;
        found.poll_after = poll_after;
        found.id = batch.as_str().to_owned();
        Ok(found)
    }

    pub(crate) async fn list(&self, options: &ListOptions) -> Result<List> {
        let limit = options.limit.unwrap_or(100).clamp(1, 1000);
        let mut exchange = self
            .http
            .get("v1/messages/batches")
            .operation("list the batches")
            .query("limit", limit.to_string());
        if let Some(after) = &options.page {
            exchange = exchange.query("after_id", after.as_str());
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

    /// Returns the path of the results: that of the batch's `results_url` if it is on the base URL's origin, otherwise
    /// the documented path. Key and results stay on that origin.
    pub(crate) fn results_path(&self, batch: &BatchId, url: &str) -> String {
        let own = self.http.path_on_origin(url);
        own.unwrap_or_else(|| format!("{}/results", batch_path(batch)))
    }

    pub(crate) async fn content(&self, batch: &BatchId, at: &str) -> Result<Response> {
        let exchange = self.http.get(at).operation("read the results");
        exchange
            .send_following_ok(classify_error)
            .await
            .map_err(|error| {
                let error = file_error(error).with_batch(batch.clone());
                match error.http_status() {
                    // The results of an ended batch answered 404 for a while (SDK issue 1432, 2026-04-21).
                    Some(404) => error.with_retry(Retry::Temporary),
                    _ => error,
                }
            })
    }

    pub(crate) async fn delete(&self, batch: &BatchId) -> Result<()> {
        let exchange = self
            .http
            .delete(&batch_path(batch))
            .operation("delete the batch");
        // `{"id": "msgbatch_…", "type": "message_batch_deleted"}` (API reference, 2026-08).
        let proves =
            |said: &Value| said["type"] == "message_batch_deleted" && said["id"] == *batch.as_str();
        let gone = exchange.send_delete(classify_error, proves).await;
        gone.map_err(|error| batch_error(batch, error))
    }
}

/// Returns true if the answer to a cancel is the batch, with which the API confirms it (API reference, 2026-08).
pub(crate) fn confirms(batch: &BatchId, said: &Value) -> bool {
    let said = Batch::deserialize(said);
    said.is_ok_and(|said| is_about(batch, &said.id, said.processing_status.is_some()))
}

fn batch_path(batch: &BatchId) -> String {
    format!("v1/messages/batches/{}", segment(batch.as_str()))
}
