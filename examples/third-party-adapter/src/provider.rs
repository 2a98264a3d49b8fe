//! Acme's calls. One exchange a method: nothing here tries again, waits or turns pages.

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus, Cursor,
    Error, Found, Intent, Label, ListOptions, Page, RemoteObject, RequestCounts, Result,
    ResultPart, ResultSet, RowStream, Shard, Staged, parse_provider_time,
};
use lmbatch_http::{
    HttpClient, Path, Response, batch_error, check_batch, file_error, list_error, segment,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::translate::{AcmeCodec, FILE, INLINE, classify_error};

/// Paths of inline results, which may be long, in a batch and in a list of batches.
const RESULTS: &[Path] = &[&["results"]];
const LISTED_RESULTS: &[Path] = &[&["batches", "*", "results"]];

/// A batch as Acme shows it. Absent, null and another type are the same; unknown members mean nothing.
#[derive(Deserialize)]
struct Batch {
    id: BatchId,
    state: String,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    label: Option<String>,
    /// Seconds since 1970.
    created: Option<Value>,
    counts: Option<Value>,
    /// The files with the answers and with the failures, by the file route. Each is absent while it is empty.
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    output: Option<String>,
    #[serde(default, deserialize_with = "lmbatch_http::text")]
    errors: Option<String>,
    /// Results of a batch by the inline route.
    results: Option<Value>,
}

/// Page of batches. `batches` is required: an answer without it is not an empty list.
#[derive(Deserialize)]
struct List {
    batches: Vec<Batch>,
    next: Option<Cursor>,
}

#[derive(Debug)]
pub(crate) struct Acme {
    pub(crate) codec: AcmeCodec,
    pub(crate) http: HttpClient,
}

impl Acme {
    async fn batch(&self, batch: &BatchId, operation: &'static str) -> Result<Response> {
        let path = format!("batches/{}", segment(batch.as_str()));
        let exchange = self.http.get(&path).operation(operation);
        (exchange.send_ok(classify_error).await).map_err(|error| batch_error(batch, error))
    }

    /// Asks for a batch without its results. A cache or a proxy may answer with another one.
    async fn shown(&self, batch: &BatchId, operation: &'static str) -> Result<Batch> {
        let reply = self.batch(batch, operation).await?;
        let about = reply.unreadable("");
        let read = reply.checked::<Batch>(RESULTS).await;
        let found = read.map_err(|error| error.with_batch(batch.clone()))?;
        check_batch(batch, found.id.as_str(), true, about)?;
        Ok(found)
    }
}

#[async_trait]
impl BatchProvider for Acme {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }
    fn account(&self) -> AccountId {
        self.http.account()
    }

    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        if &*shard.class.route == INLINE {
            return Ok(Staged::ready());
        }
        if let Some(staged) = prior {
            return Ok(staged);
        }
        let form = self
            .http
            .post("files")
            .upload(shard, &[("purpose", "batch")]);
        let reply = form
            .operation("upload the input")
            .send_ok(classify_error)
            .await?;
        Ok(Staged::of_file(reply.created_id("id").await?))
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        // Sent on a new connection, and never twice.
        let exchange = self.http.create("batches");
        let (label, model) = (&intent.label, &intent.class.model);
        let exchange = match intent.staged.file() {
            Some(file) => exchange.json(&json!({"label": label, "model": model, "file": file})),
            // The frame holds the model.
            None => exchange.shard("application/json", shard),
        };
        let reply = exchange
            .operation("create the batch")
            .send_ok(classify_error)
            .await?;
        Ok(BatchId::new(reply.created_id("id").await?))
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let page = self.list(&ListOptions { limit: None, page }).await?;
        Ok(Found::by_label(page, intent))
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        match staged.file() {
            Some(file) => self.discard(&RemoteObject::File(file.into())).await,
            None => Err(Error::unsupported("fencing an inline create at acme")),
        }
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let found = self.shown(batch, "ask for the batch's status").await?;
        Ok(snapshot(found))
    }

    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        // Acme's batch shows where its results are, for either route.
        let found = self.shown(batch, "ask where the results are").await?;
        let counts = counts(found.counts.as_ref());
        let inline = found.results.is_some();
        // A file that the counts speak of is still to come.
        let shows = inline
            || (found.output.is_some() || counts.succeeded == 0)
                && (found.errors.is_some() || counts.errored == 0);
        let (output, errors) = (found.output, found.errors);
        let parts = [
            output.map(|file| ResultPart::output(batch, &file, FILE)),
            errors.map(|file| ResultPart::errors(batch, &file, FILE)),
            inline.then(|| ResultPart::mixed(batch, INLINE, INLINE)),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let complete = match status(found.state) {
            BatchStatus::Completed => shows && !parts.is_empty(),
            other => shows && other.is_terminal(),
        };
        Ok(ResultSet { parts, complete })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 {
            return Err(Error::unsupported("reading results from the middle"));
        }
        if &*part.shape == INLINE {
            let reply = self.batch(&part.batch, "read the results").await?;
            return Ok(lmbatch_http::document_rows(reply.stream(), RESULTS));
        }
        let path = format!("files/{}/content", segment(&part.name));
        let exchange = self.http.get(&path).operation("read the results");
        let reply = exchange.send_following_ok(classify_error).await;
        let reply = reply.map_err(|error| file_error(error).with_batch(part.batch.clone()))?;
        Ok(lmbatch_http::rows(reply.stream()))
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let exchange = self.http.get("batches").operation("list the batches");
        let exchange = exchange.query_some("limit", options.limit);
        let exchange = exchange.query_some("from", options.page.as_ref());
        let reply = exchange.send_ok(classify_error).await.map_err(list_error)?;
        let list: List = reply.checked(LISTED_RESULTS).await?;
        Ok(Page {
            items: list.batches.into_iter().map(snapshot).collect(),
            next: list.next,
        })
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let path = format!("batches/{}/cancel", segment(batch.as_str()));
        let exchange = self.http.post(&path).operation("cancel the batch");
        // Acme answers with the batch.
        let proves = |said: &Value| said["id"] == *batch.as_str();
        lmbatch_http::cancelled(self, batch, exchange.send_ok(classify_error).await, proves).await
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        let RemoteObject::File(file) = remote_object else {
            return Err(Error::unsupported("deleting a batch at acme"));
        };
        let exchange = self.http.delete(&format!("files/{}", segment(file)));
        let proves = |said: &Value| said["deleted"] == true && said["id"] == **file;
        let exchange = exchange.operation("delete a file");
        exchange.send_delete(classify_error, proves).await
    }
}

/// A word that we do not know is kept as it is, and is not an end.
fn status(word: String) -> BatchStatus {
    match word.as_str() {
        "running" => BatchStatus::InProgress,
        "cancelling" => BatchStatus::Cancelling,
        "ended" => BatchStatus::Completed,
        "failed" => BatchStatus::Failed,
        "expired" => BatchStatus::Expired,
        "cancelled" => BatchStatus::Cancelled,
        _ => BatchStatus::Unknown(word),
    }
}

fn counts(counts: Option<&Value>) -> RequestCounts {
    lmbatch_http::counts(counts, ["total", "answered", "failed"])
}

fn snapshot(batch: Batch) -> BatchSnapshot {
    let mut snapshot = BatchSnapshot::new(batch.id, status(batch.state));
    snapshot.counts = counts(batch.counts.as_ref());
    snapshot.label = batch.label.map(Label::new);
    snapshot.created_at = batch.created.as_ref().and_then(parse_provider_time);
    snapshot
}
