//! The provider: a table of contents.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchCodec, BatchId, BatchProblem, BatchProvider, BatchSnapshot, BatchStatus,
    Candidate, Certainty, Cursor, Error, ErrorKind, Found, Intent, Label, ListOptions, Page,
    PartRole, Remnant, RequestCounts, RequestError, Result, ResultPart, ResultSet, RowStream,
    Shard, Staged,
};
use serde_json::Value;

use crate::builder::OpenAiBuilder;
use crate::client::OpenAiClient;
use crate::translate::OpenAiCodec;
use crate::translate::outcome::usage;
use crate::wire::{Batch, BatchError};

/// How far clocks may differ when batches are compared by time.
const SKEW: Duration = Duration::from_secs(3600);

/// OpenAI's batch service, or one that imitates it.
#[derive(Debug)]
pub struct OpenAi {
    pub(crate) codec: OpenAiCodec,
    pub(crate) client: OpenAiClient,
    pub(crate) account: AccountId,
}

impl OpenAi {
    /// Everything that can be set.
    pub fn builder() -> OpenAiBuilder {
        OpenAiBuilder::default()
    }

    /// From `OPENAI_API_KEY`, `OPENAI_BASE_URL`, `OPENAI_ORG_ID` and `OPENAI_PROJECT_ID`.
    ///
    /// # Errors
    /// [`ErrorKind::ProviderAuth`] where no key is set.
    pub fn from_env() -> Result<Self> {
        OpenAiBuilder::from_env().build()
    }
}

#[async_trait]
impl BatchProvider for OpenAi {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }

    fn account(&self) -> AccountId {
        self.account.clone()
    }

    async fn probe(&self, model: &str) -> Result<()> {
        match self.client.model(model).await {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ProviderAuth | ErrorKind::ModelNotFound | ErrorKind::Billing
                ) =>
            {
                Err(error)
            }
            // No answer is an error; any other answer comes from a server that lacks the endpoint.
            Err(error) if error.http_status().is_none() => Err(error),
            _ => Ok(()),
        }
    }

    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        if let Some(staged) = prior.filter(|staged| staged.ready) {
            return Ok(staged);
        }
        let file = self.client.upload(shard).await?;
        Ok(Staged {
            ready: true,
            remnants: vec![Remnant::File(file.as_str().into())],
            state: [("file_id".into(), file.into())].into(),
        })
    }

    async fn create(&self, _: &Shard, intent: &Intent) -> Result<BatchId> {
        let batch = self.client.create(file_of(&intent.staged)?, intent).await?;
        Ok(BatchId::new(batch.id))
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let list = self.client.list(&ListOptions { limit: None, page }).await?;
        let file = file_of(&intent.staged)?;
        let mut found = Found::default();
        for batch in &list.data {
            let old = intent
                .posted_at
                .zip(time(batch.created_at.as_ref()))
                .is_some_and(|(posted, created)| created + SKEW < posted);
            if old
                || intent
                    .watermark
                    .as_ref()
                    .is_some_and(|mark| mark.as_str() == batch.id)
            {
                found.reached_watermark = true;
                break;
            }
            let evidence = if label(batch).as_ref() == Some(&intent.label) {
                "its metadata carries our label"
            } else if batch.input_file_id.as_deref() == Some(file) {
                "it was made from our input file"
            } else {
                continue;
            };
            found.candidates.push(Candidate {
                batch: BatchId::new(batch.id.as_str()),
                certainty: Certainty::Proved,
                evidence: evidence.into(),
            });
        }
        found.next = next(list.has_more, list.last_id, &list.data);
        Ok(found)
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        self.client.delete(file_of(staged)?).await
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        Ok(snapshot(self.client.batch(batch).await?))
    }

    async fn results(&self, batch: &BatchId) -> Result<ResultSet> {
        let found = self.client.batch(batch).await?;
        let complete = status(found.status.as_deref()).is_terminal();
        // Each id is null where its file would be empty; some servers say "" instead.
        let parts = [
            (found.output_file_id, PartRole::Output),
            (found.error_file_id, PartRole::Errors),
        ];
        let parts = parts.into_iter().filter_map(|(file, role)| {
            let name = file.filter(|file| !file.is_empty())?.into();
            Some(ResultPart {
                batch: batch.clone(),
                name,
                role,
                shape: "row".into(),
                bytes: None,
            })
        });
        Ok(ResultSet {
            parts: parts.collect(),
            complete,
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        Ok(lmbatch_http::rows(
            self.client.content(&part.name, from).await?.stream(),
        ))
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let list = self.client.list(options).await?;
        let next = next(list.has_more, list.last_id, &list.data);
        Ok(Page {
            items: list.data.into_iter().map(snapshot).collect(),
            next,
        })
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let Err(error) = self.client.cancel(batch).await else {
            return Ok(());
        };
        // What a cancel of an ended batch answers is not documented: the status decides.
        if matches!(error.http_status(), Some(400 | 409))
            && self.status(batch).await?.status.is_terminal()
        {
            return Ok(());
        }
        Err(error)
    }

    async fn discard(&self, remnant: &Remnant) -> Result<()> {
        match remnant {
            Remnant::File(file) => self.client.delete(file).await,
            Remnant::Batch(_) => Err(Error::unsupported("deleting a batch at openai")),
        }
    }
}

fn file_of(staged: &Staged) -> Result<&str> {
    let file = staged.state.get("file_id").map(|file| &**file);
    file.ok_or_else(|| Error::new(ErrorKind::Internal).with_message("the batch was not staged"))
}

fn next(has_more: bool, last_id: Option<String>, data: &[Batch]) -> Option<Cursor> {
    let last = last_id.or_else(|| data.last().map(|batch| batch.id.clone()));
    last.filter(|_| has_more).map(Cursor::new)
}

fn label(batch: &Batch) -> Option<Label> {
    batch
        .metadata
        .as_ref()?
        .get("lmbatch")?
        .as_str()
        .map(Label::new)
}

/// OpenAI's words, and those of servers that imitate it, in any case and either spelling.
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

fn snapshot(batch: Batch) -> BatchSnapshot {
    let status = status(batch.status.as_deref());
    let counts = batch
        .request_counts
        .as_ref()
        .map_or_else(RequestCounts::default, |counts| RequestCounts {
            total: (counts.total > 0).then_some(counts.total),
            succeeded: counts.completed,
            errored: counts.failed,
            ..RequestCounts::default()
        });
    let ended = [
        &batch.completed_at,
        &batch.failed_at,
        &batch.expired_at,
        &batch.cancelled_at,
    ];
    BatchSnapshot {
        label: label(&batch),
        counts,
        model: batch.model,
        created_at: time(batch.created_at.as_ref()),
        expires_at: time(batch.expires_at.as_ref()),
        ended_at: ended.into_iter().find_map(|at| time(at.as_ref())),
        usage: batch.usage.as_ref().map(usage),
        problems: batch
            .errors
            .and_then(|errors| errors.data)
            .into_iter()
            .flatten()
            .map(problem)
            .collect(),
        ..BatchSnapshot::new(BatchId::new(batch.id), status)
    }
}

/// Seconds since the epoch, as a number or, with some servers, as a string.
fn time(value: Option<&Value>) -> Option<SystemTime> {
    let seconds = match value? {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn problem(error: BatchError) -> BatchProblem {
    let code = error.code.as_deref().unwrap_or_default();
    let (kind, retryable) = match (code, error.param.as_deref()) {
        // The batch never ran; it can be sent again when others have ended.
        ("token_limit_exceeded", _) => (ErrorKind::Quota, true),
        ("model_not_found", _) => (ErrorKind::ModelNotFound, false),
        // "Cannot find file …, or organization … does not have access to it": came for hours in August
        // and September 2026 for files that were there (one public report).
        (_, Some("file_id")) => (ErrorKind::FileNotFound, true),
        _ => (ErrorKind::ProviderInvalidArgs, false),
    };
    let mut request = RequestError::new(kind).retryable(retryable);
    if let Some(code) = error.code {
        request = request.with_code(code);
    }
    if let Some(message) = error.message {
        request = request.with_message(message);
    }
    BatchProblem {
        error: request,
        line: error.line,
    }
}
