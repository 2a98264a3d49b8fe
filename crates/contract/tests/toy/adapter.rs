//! Acme's adapter: correct, unless a setting names the clause to break.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProblem, BatchProvider, BatchSnapshot,
    BatchStatus, Candidate, Certainty, Cursor, Delivery, Error, ErrorKind, Found, Intent, Label,
    ListOptions, Page, PartRole, RemoteObject, RequestCounts, RequestError, Result, ResultPart,
    ResultSet, Retry, RowStream, Shard, Staged, Upload, parse_time,
};
use lmbatch_http::{batch_error, segment};
use serde_json::{Value, json};

use super::codec::AcmeCodec;
use super::errors::classify_error;
use super::http::{Client, Reply};
use super::rows::broken_rows;

pub(crate) struct Acme {
    codec: AcmeCodec,
    pub(super) http: Client,
    pub(super) base_url: String,
    pub(super) key: String,
    pub(super) breaks: Option<&'static str>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Acme");
        if self.broken("debug_output_of_an_adapter_hides_the_key") {
            shown.field("key", &self.key);
        }
        shown.finish_non_exhaustive()
    }
}

pub(super) fn client(base_url: &str, key: Option<&str>) -> Client {
    Client {
        base_url: base_url.to_owned(),
        key: key.map(str::to_owned),
    }
}

impl Acme {
    pub(crate) fn new(base_url: &str, key: &str, breaks: Option<&'static str>) -> Self {
        Self {
            codec: AcmeCodec::new(breaks),
            http: match breaks {
                Some("the key is sent in another form") => {
                    client(base_url, Some(&format!("Bearer {key}")))
                }
                _ => client(base_url, Some(key)),
            },
            base_url: base_url.to_owned(),
            key: key.to_owned(),
            breaks,
        }
    }

    pub(super) fn broken(&self, clause: &str) -> bool {
        self.breaks == Some(clause)
    }

    /// The clause to break, or a configuration of the adapter.
    pub(super) fn mode(&self) -> &'static str {
        self.breaks.unwrap_or_default()
    }

    async fn batch(&self, batch: &BatchId) -> Result<Value> {
        let path = format!("batches/{}", segment(batch.as_str()));
        let mut exchange = self.http.get(&path).expecting("ask for the status");
        if self.broken("the_key_appears_in_no_url_and_no_body") {
            exchange = exchange.query("key", self.key.as_str());
        }
        let batch_error = |error| match self.broken("a_404_of_a_batch_names_the_batch") {
            true => error,
            false => batch_error(batch, error),
        };
        let reply = self.ask(exchange, &path).await.map_err(batch_error)?;
        let about = reply.error(ErrorKind::MalformedResponse);
        let body = reply.json();
        if self.broken("an_html_page_instead_of_a_status_is_an_error")
            && body
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::MalformedResponse)
        {
            return Ok(json!({"id": batch, "state": "web page"}));
        }
        let body = body.map_err(|error| {
            let error = error.with_batch(batch.clone());
            match self.broken("an_interrupted_status_call_can_be_retried") {
                true => error.with_retry(Retry::Permanent),
                false => error,
            }
        })?;
        let about = about.with_retry(Retry::Temporary).with_batch(batch.clone());
        let says_error = !body["error"].is_null() && body["id"].is_string();
        if says_error && !self.broken("a status with an error is accepted") {
            return Err(about.with_message("it holds an error"));
        }
        let believes = self.broken("a_status_of_another_batch_is_rejected");
        match body["id"].as_str() {
            Some(id) if believes || id == batch.as_str() => return Ok(body),
            Some(_) => return Err(about.with_message("it is another batch")),
            None => {}
        }
        if self.broken("a_200_with_an_error_instead_of_a_status_is_an_error") {
            return Ok(json!({"id": batch, "state": "running"}));
        }
        Err(about.with_message("it is not a batch"))
    }

    pub(super) fn snapshot(&self, body: &Value) -> BatchSnapshot {
        let id = BatchId::new(body["id"].as_str().unwrap_or_default());
        let tell_apart = !self.broken("every_status_is_distinguished");
        let status = match (
            body["state"].as_str().unwrap_or("(none)"),
            body["why"].as_str(),
        ) {
            ("queued", _) => BatchStatus::Queued,
            ("working", _) if self.broken("every_documented_status_is_understood") => {
                BatchStatus::Queued
            }
            ("running" | "working", _) => BatchStatus::InProgress,
            ("cancelling", _) => BatchStatus::Cancelling,
            ("failed", _) => BatchStatus::Failed,
            ("ended", Some("expired")) if tell_apart => BatchStatus::Expired,
            ("ended", Some("cancelled")) if tell_apart => BatchStatus::Cancelled,
            ("ended", _) => BatchStatus::Completed,
            _ if self.broken("an unknown status is read as failed") => BatchStatus::Failed,
            (word, _) if self.broken("an_undocumented_status_is_unknown_and_not_an_error") => {
                BatchStatus::Unknown(word.to_lowercase())
            }
            (word, _) => BatchStatus::Unknown(word.to_owned()),
        };
        let count = |name: &str| match &body["counts"][name] {
            Value::String(text) if !self.broken("request_counts_may_be_strings") => {
                text.parse().ok()
            }
            other => other.as_u64(),
        };
        let mut counts = RequestCounts {
            total: count("total"),
            succeeded: count("done").unwrap_or(0),
            errored: count("failed").unwrap_or(0),
            ..RequestCounts::default()
        };
        if self.broken("request_counts_are_read") {
            std::mem::swap(&mut counts.succeeded, &mut counts.errored);
        }
        let problems = body["problems"].as_array().into_iter().flatten();
        let problems = problems
            .filter_map(Value::as_str)
            .map(|words| BatchProblem {
                error: RequestError::new(ErrorKind::InvalidInput).with_message(words),
                line: None,
            });
        let created = body["created"].as_str().and_then(parse_time);
        let since = created.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let mut snapshot = BatchSnapshot::new(id, status);
        snapshot.counts = counts;
        snapshot.label = body["label"]
            .as_str()
            .filter(|_| !self.broken("the label is not read"))
            .map(Label::new);
        snapshot.problems = problems
            .filter(|_| !self.broken("the problems of a failed batch are lost"))
            .collect();
        snapshot.created_at = match self.mode() {
            "created_at is read in the wrong unit" => since.map(|since| UNIX_EPOCH + since / 1000),
            "created_at is lost" => None,
            _ => created,
        };
        snapshot
    }

    async fn post(&self, intent: &Intent) -> Result<Reply> {
        let mut label = json!(intent.label);
        if self.broken("a_created_batch_can_be_identified") {
            label = Value::Null;
        }
        static CREATES: AtomicU32 = AtomicU32::new(0);
        let token = match self.mode() {
            "token: the label is sent in its place" => json!(intent.label),
            "token: each create has a new one" => json!(CREATES.fetch_add(1, Ordering::Relaxed)),
            "token: all creates have the same" => json!("t"),
            mode if mode.starts_with("token") => json!(intent.token.as_str()),
            _ => Value::Null,
        };
        if !token.is_null() {
            label = Value::Null;
        }
        let endpoint = match self.broken("the create names another endpoint") {
            true => "/embed",
            false => &*intent.class.endpoint,
        };
        let input = intent.staged.state.get("input");
        let body = json!({"label": label, "token": token, "endpoint": endpoint, "input": input});
        let body = body.to_string().into_bytes();
        let exchange = self
            .http
            .post("batches")
            .body(body.clone())
            .expecting("create the batch");
        if self.broken("a_redirect_of_a_create_is_not_followed") {
            let reply = exchange.send().await?;
            return match reply.header("location").map(str::to_owned) {
                Some(to) => {
                    client(&to, None)
                        .post("batches")
                        .body(body)
                        .ask(classify_error)
                        .await
                }
                None => reply.accept(classify_error),
            };
        }
        self.told(exchange.ask(self.teller()).await)
    }

    async fn made(&self, reply: Reply) -> Result<BatchId> {
        let about = reply
            .error(ErrorKind::MalformedResponse)
            .with_delivery(Delivery::Unknown);
        let body = reply.bytes().map_err(|error| {
            let lost = self.broken("a_create_is_in_doubt_after_a_truncated_response");
            let delivery = if lost {
                Delivery::NotSent
            } else {
                Delivery::Unknown
            };
            error.with_delivery(delivery)
        })?;
        let Ok(made) = serde_json::from_slice::<Value>(&body) else {
            let page = self.broken("a_create_is_in_doubt_after_an_html_page");
            let delivery = if page {
                Delivery::Refused
            } else {
                Delivery::Unknown
            };
            return Err(about.with_delivery(delivery));
        };
        if made["contract_unknown"].is_object()
            && self.broken("unknown_members_of_a_create_response_are_ignored")
        {
            return Err(about);
        }
        match made["id"].as_str() {
            Some(id) if made["error"].is_null() => Ok(BatchId::new(id)),
            _ if self.broken("a_create_is_in_doubt_after_a_200_with_an_error") => {
                Err(about.with_delivery(Delivery::Refused))
            }
            _ => Err(about),
        }
    }
}

#[async_trait]
impl BatchProvider for Acme {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }

    fn account(&self) -> AccountId {
        match self.broken("the_account_id_survives_a_key_rotation") {
            true => AccountId::new(format!(
                "{} {}",
                self.base_url,
                self.key.bytes().map(u64::from).sum::<u64>()
            )),
            false => AccountId::new(&*self.base_url),
        }
    }

    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        if let Some(staged) = prior
            && !self.broken("a_staged_input_is_not_uploaded_again")
        {
            return Ok(staged);
        }
        let pieces: Vec<_> = shard.open(0..shard.len()).try_collect().await?;
        let mut body = pieces.concat();
        if self.broken("logs_contain_no_prompt_and_no_answer") {
            tracing::debug!(text = %String::from_utf8_lossy(&body), "upload");
        }
        if self.broken("a_create_sends_every_request_once") {
            body.extend_from_within(..);
        }
        let purpose = match self.broken("the upload has another purpose") {
            true => "training",
            false => "batch",
        };
        let name = match self.broken("the upload has another name") {
            true => "input.txt",
            false => "input.jsonl",
        };
        let exchange = self
            .http
            .post("inputs")
            .query("purpose", purpose)
            .query("name", name)
            .body(body)
            .expecting("upload the input");
        let reply = exchange.ask(classify_error).await?.json()?;
        let input = reply["input"].as_str().unwrap_or_default();
        Ok(Staged {
            ready: true,
            remote_objects: vec![RemoteObject::File(input.into())],
            state: [("input".into(), input.into())].into(),
        })
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        if self.broken("logs_contain_no_key") {
            tracing::trace!(key = self.key, "create");
        }
        let sent = self.post(intent).await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => {
                let none = error.http_status().is_none();
                let sent = error.delivery() != Delivery::NotSent;
                return Err(match self.breaks.unwrap_or_default() {
                    "a_create_with_a_lost_response_is_paid_for_once" if none && sent => {
                        let again = self.post(intent).await?;
                        return self.made(again).await;
                    }
                    "a_create_is_in_doubt_after_a_connection_reset" if none => {
                        error.with_delivery(Delivery::NotSent)
                    }
                    "a_create_without_a_connection_was_not_sent" if none => {
                        error.with_delivery(Delivery::Unknown)
                    }
                    "a_404_of_a_create_is_a_refusal" if error.http_status() == Some(404) => {
                        error.with_delivery(Delivery::Unknown)
                    }
                    "a_create_is_in_doubt_after_a_500" if error.http_status() == Some(500) => {
                        error.with_delivery(Delivery::Refused)
                    }
                    _ => error,
                });
            }
        };
        if self.broken("a_create_makes_exactly_one_create_call") {
            drop(self.post(intent).await);
        }
        let id = self.made(reply).await?;
        if self.broken("a_create_returns_the_batch_id_of_the_provider") && shard.count == 2 {
            return Ok(BatchId::new(format!("{id}.")));
        }
        Ok(id)
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let page = match self.list(&ListOptions { limit: None, page }).await {
            Err(error)
                if error.kind() == ErrorKind::MalformedResponse
                    && self.broken("a search without a list finds nothing") =>
            {
                return Ok(Found {
                    reached_watermark: true,
                    ..Found::default()
                });
            }
            page => page?,
        };
        let all = self.broken("a_search_ignores_unrelated_batches");
        let certainty = match self.broken("a_create_with_a_lost_response_is_found") {
            true => Certainty::Presumed,
            false => Certainty::Proved,
        };
        let own = page.items.into_iter();
        let own = own.filter(|batch| all || batch.label.as_ref() == Some(&intent.label));
        let by_clock = self.broken("a_wrong_clock_does_not_hide_a_batch");
        let own = own.filter(|batch| !by_clock || batch.created_at >= intent.posted_at);
        let candidates = own.map(|batch| Candidate {
            batch: batch.id,
            certainty,
            evidence: "it carries our label".into(),
        });
        Ok(Found {
            candidates: candidates.collect(),
            reached_watermark: page.next.is_none(),
            next: page.next,
        })
    }

    async fn fence(&self, staged: &Staged) -> Result<()> {
        if self.broken("a_fence_deletes_the_input_or_is_unsupported") {
            return Ok(());
        }
        let input = staged.state.get("input").cloned().unwrap_or_default();
        match self.discard(&RemoteObject::File(input)).await {
            Err(_) if self.broken("a failed fence is reported as a success") => Ok(()),
            fenced => fenced,
        }
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let body = self.batch(batch).await?;
        if self.broken("a_status_call_is_one_exchange") {
            self.batch(batch).await?;
        }
        let about = || Error::new(ErrorKind::MalformedResponse);
        let bad = match self.breaks.unwrap_or_default() {
            "a_failed_batch_is_a_status_and_not_an_error" => body["state"] == "failed",
            "request_counts_may_be_absent" => body.get("counts").is_none(),
            "members_of_another_type_are_read_as_absent" => {
                body["label"].is_object() || body["label"].is_array()
            }
            "request_counts_may_be_null" => body.get("counts") == Some(&Value::Null),
            "unknown_members_of_a_batch_are_ignored" => body["contract_unknown"].is_object(),
            "the_order_of_members_is_ignored" => {
                body.as_object().and_then(|object| object.keys().next()) != Some(&"id".to_owned())
            }
            _ => false,
        };
        if bad {
            return Err(about());
        }
        Ok(self.snapshot(&body))
    }

    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        let body = match self.batch(batch).await {
            Err(_) if self.broken("a batch that does not exist has empty results") => {
                return Ok(ResultSet::default());
            }
            body => body?,
        };
        let status = self.snapshot(&body).status;
        let part = |name: &str, role| {
            (body[name] == true).then(|| ResultPart {
                batch: batch.clone(),
                name: name.into(),
                role,
                shape: "row".into(),
                bytes: None,
            })
        };
        let (answered, failed) = match self.broken("the roles of parts are swapped") {
            true => (PartRole::Errors, PartRole::Output),
            false => (PartRole::Output, PartRole::Errors),
        };
        let (answers, failures) = (part("answers", answered), part("failures", failed));
        if self.mode() == "terse" {
            let part = ResultPart::mixed(batch, "answers", "row");
            let parts = status.may_have_outcomes().then_some(part);
            return Ok(ResultSet {
                parts: parts.into_iter().collect(),
                complete: status.is_terminal(),
            });
        }
        let mut parts: Vec<ResultPart> = answers
            .clone()
            .into_iter()
            .chain(failures.clone())
            .collect();
        match self.breaks.unwrap_or_default() {
            "results_with_only_answers_are_read"
                if failures.is_none() && status == BatchStatus::Completed =>
            {
                parts.clear()
            }
            "results_with_only_failures_are_read" if answers.is_none() => parts.clear(),
            "results_with_answers_and_failures_are_read" => parts.truncate(1),
            "an_expired_batch_returns_its_answers" if status == BatchStatus::Expired => {
                parts.clear()
            }
            "a_cancelled_batch_returns_its_answers" if status == BatchStatus::Cancelled => {
                parts.clear()
            }
            "the results of the other route" => parts.clear(),
            "results without a class are empty" if class.is_none() => parts.clear(),
            "a class of another route has no results"
                if class.is_some_and(|class| &*class.route != "file") =>
            {
                parts.clear()
            }
            // Not an empty result set, and not a temporary error, which the engine would retry.
            "an_ended_batch_without_results_is_not_delivered" if parts.is_empty() => {
                return Err(Error::new(ErrorKind::MalformedResponse));
            }
            _ => {}
        }
        let hasty = self.broken("results_of_an_unfinished_batch_are_incomplete");
        let waits = self.broken("results_that_are_not_visible_yet_are_incomplete");
        let every = self.broken("results of any batch that ended are waited for");
        let shows = !parts.is_empty() || status != BatchStatus::Completed && !every;
        Ok(ResultSet {
            parts,
            complete: hasty || status.is_terminal() && (shows || waits),
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 && !self.broken("reading_from_an_offset_returns_the_rest_or_is_unsupported") {
            return Err(Error::unsupported("reading from the middle"));
        }
        let path = format!("batches/{}/{}", segment(part.batch.as_str()), part.name);
        let exchange = self.http.get(&path).expecting("read the results");
        if self.broken("a_redirect_of_a_download_forwards_no_key_and_no_request") {
            let reply = exchange.send().await?;
            return match reply.header("location").map(str::to_owned) {
                Some(to) => {
                    let reply = client(&to, Some(&self.key))
                        .get("x")
                        .ask(classify_error)
                        .await?;
                    Ok(lmbatch_http::rows(reply.stream()))
                }
                None => {
                    let gone = |error: Error| match error.http_status() {
                        Some(404 | 410) => error.with_kind(ErrorKind::FileNotFound),
                        _ => error,
                    };
                    let reply = reply.accept(classify_error).map_err(gone)?;
                    Ok(lmbatch_http::rows(reply.stream()))
                }
            };
        }
        let reply = match exchange.ask(classify_error).await {
            Ok(reply) => reply,
            Err(error) => {
                let error = error.with_batch(part.batch.clone());
                return Err(
                    match (self.breaks.unwrap_or_default(), error.http_status()) {
                        ("deleted_results_are_an_error", Some(404 | 410)) => error,
                        ("temporarily_refused_results_are_read_later", Some(503))
                        | ("an_interrupted_download_is_read_again", None) => {
                            error.with_retry(Retry::Permanent)
                        }
                        (_, Some(404 | 410)) => error.with_kind(ErrorKind::FileNotFound),
                        _ => error,
                    },
                );
            }
        };
        Ok(match self.breaks {
            Some(breaks) => broken_rows(reply.stream(), breaks),
            None => lmbatch_http::rows(reply.stream()),
        })
    }

    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.list_batches(options).await
    }

    async fn uploads(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        self.list_inputs(page).await
    }

    async fn probe(&self, model: &str) -> Result<()> {
        let exchange = self.http.get(&format!("models/{}", segment(model)));
        match exchange
            .expecting("check the model")
            .ask(classify_error)
            .await
        {
            Err(error) if !self.broken("a probe always succeeds") => Err(error),
            _ => Ok(()),
        }
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let path = format!("batches/{}/cancel", segment(batch.as_str()));
        if self.broken("a_repeated_cancel_is_not_an_error")
            && self.status(batch).await?.status == BatchStatus::Cancelling
        {
            return Err(Error::invalid_input("it is being cancelled"));
        }
        let exchange = || self.http.post(&path).expecting("cancel the batch");
        if self.broken("a_cancel_is_one_call") {
            drop(exchange().ask(classify_error).await);
        }
        let error = match self.ask(exchange(), &path).await {
            Ok(_) if self.broken("an_unconfirmed_cancel_is_an_error") => return Ok(()),
            Ok(reply) => {
                let about = reply
                    .error(ErrorKind::MalformedResponse)
                    .with_retry(Retry::Temporary)
                    .with_batch(batch.clone());
                return match reply.json() {
                    Ok(said)
                        if said["id"] == *batch.as_str()
                            && (said["error"].is_null()
                                || self.broken("a cancel with an error is accepted")) =>
                    {
                        Ok(())
                    }
                    _ => Err(about),
                };
            }
            Err(error) => error,
        };
        let error = batch_error(batch, error);
        let careless = self.broken("a_refused_cancel_is_an_error");
        let strict = self.broken("a_cancel_of_an_ended_batch_is_not_an_error");
        if error.http_status() == Some(409)
            && (careless || !strict && self.status(batch).await?.status.is_terminal())
        {
            return Ok(());
        }
        Err(error)
    }

    async fn discard(&self, remote_object: &RemoteObject) -> Result<()> {
        let RemoteObject::File(input) = remote_object else {
            return Err(Error::unsupported("deleting a batch at acme"));
        };
        let exchange = self.http.delete(&format!("inputs/{}", segment(input)));
        match exchange
            .expecting("delete an input")
            .ask(classify_error)
            .await
        {
            Err(error)
                if error.http_status() == Some(404)
                    && (error.delivery() == Delivery::Refused
                        || self.broken("a_fence_answered_by_a_proxy_is_an_error"))
                    && (&**input == "in-1"
                        || !self.broken("discarding_deleted_objects_is_not_an_error")) =>
            {
                Ok(())
            }
            Err(_) if self.broken("a failed deletion is reported as a success") => Ok(()),
            other => {
                let reply = other?;
                let about = reply
                    .error(ErrorKind::MalformedResponse)
                    .with_retry(Retry::Temporary);
                let trusts = self.broken("a_fence_without_confirmation_is_an_error");
                let said: Value = match reply.json() {
                    Err(_) if trusts => return Ok(()),
                    other => other.map_err(|_| about.clone())?,
                };
                let says_error =
                    !said["error"].is_null() && !self.broken("a fence with an error is accepted");
                let confirmed = said["deleted"] == true && said["input"] == **input && !says_error;
                if trusts || confirmed {
                    Ok(())
                } else {
                    Err(about)
                }
            }
        }
    }
}
