//! Acme's adapter: correct, unless it is told which clause to break.

use std::time::Duration;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use lmbatch_core::{
    AccountId, BatchCodec, BatchId, BatchProvider, BatchSnapshot, BatchStatus, Candidate,
    Certainty, Cursor, Delivery, Error, ErrorKind, Found, Intent, Label, ListOptions, Page,
    PartRole, Remnant, RequestCounts, Result, ResultPart, ResultSet, Retry, RowStream, Shard,
    Staged, parse_time,
};
use lmbatch_http::{Told, kind_of, of_batch, segment};
use serde_json::{Value, json};

use super::codec::AcmeCodec;
use super::http::{Client, Exchange, Reply};
use super::rows::broken_rows;

pub(crate) struct Acme {
    codec: AcmeCodec,
    http: Client,
    base_url: String,
    key: String,
    breaks: Option<&'static str>,
}

impl std::fmt::Debug for Acme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Acme");
        if self.broken("an_adapter_shows_no_key") {
            shown.field("key", &self.key);
        }
        shown.finish_non_exhaustive()
    }
}

fn client(base_url: &str, key: Option<&str>) -> Client {
    Client {
        base_url: base_url.to_owned(),
        key: key.map(str::to_owned),
    }
}

fn tell(status: u16, body: &[u8]) -> Told {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = body["error"]["words"].as_str().map(str::to_owned);
    Told {
        recognised: words.is_some(),
        message: words,
        ..Told::new(kind_of(status))
    }
}

impl Acme {
    pub(crate) fn new(base_url: &str, key: &str, breaks: Option<&'static str>) -> Self {
        Self {
            codec: AcmeCodec::new(breaks),
            http: client(base_url, Some(key)),
            base_url: base_url.to_owned(),
            key: key.to_owned(),
            breaks,
        }
    }

    fn broken(&self, clause: &str) -> bool {
        self.breaks == Some(clause)
    }

    /// Sends what is not a create; a broken adapter goes where it is led.
    async fn ask(&self, exchange: Exchange, path: &str) -> Result<Reply> {
        let (wanders, hears_badly) = (
            self.broken("a_redirect_of_other_calls_is_not_followed"),
            self.broken("a_retry_after_that_is_no_time_is_no_wish"),
        );
        if !wanders && !hears_badly {
            return self.told(exchange.ask(self.teller()).await);
        }
        let reply = exchange.send().await?;
        if hears_badly {
            let soon = reply.header("retry-after") == Some("soon");
            return reply.accept(tell).map_err(|error| match soon {
                true => error.with_retry_after(Duration::ZERO),
                false => error,
            });
        }
        match reply.header("location").map(str::to_owned) {
            Some(to) => client(&to, Some(&self.key)).get(path).ask(tell).await,
            None => reply.accept(tell),
        }
    }

    fn teller(&self) -> lmbatch_http::Tell {
        if self.broken("a_4xx_without_the_providers_own_error_may_have_been_delivered") {
            return |status, body| Told {
                recognised: true,
                ..tell(status, body)
            };
        }
        if self.broken("an_error_does_not_repeat_a_web_page") {
            // Where the words are a page, they are taken for the provider's code.
            return |status, body| Told {
                code: body
                    .starts_with(b"<")
                    .then(|| String::from_utf8_lossy(body).into_owned()),
                ..tell(status, body)
            };
        }
        tell
    }

    fn told(&self, reply: Result<Reply>) -> Result<Reply> {
        reply.map_err(|error| self.distort(error))
    }

    /// What a broken adapter makes of an error.
    fn distort(&self, error: Error) -> Error {
        let temporary = error.retry() == Retry::Temporary;
        match (self.breaks.unwrap_or_default(), error.http_status()) {
            ("an_error_does_not_repeat_what_the_provider_wrote", _) => {
                let words = error.provider_message().unwrap_or_default().to_owned();
                error.with_message(words)
            }
            ("a_401_is_about_the_key_and_permanent", Some(401))
            | ("a_403_is_about_the_key_and_permanent", Some(403))
            | ("a_413_is_about_the_input_and_permanent", Some(413)) => {
                error.with_retry(Retry::Temporary)
            }
            ("a_4xx_with_the_providers_own_error_is_a_refusal", Some(422)) => {
                error.with_delivery(Delivery::Unknown)
            }
            ("a_408_may_have_been_delivered", Some(408))
            | ("a_409_may_have_been_delivered", Some(409)) => {
                error.with_delivery(Delivery::Refused)
            }
            ("a_429_is_a_rate_limit_and_temporary", Some(429))
            | ("a_500_is_temporary_and_may_have_been_delivered", Some(500))
            | ("a_502_with_a_web_page_is_temporary_and_may_have_been_delivered", Some(502))
                if temporary =>
            {
                error.with_retry(Retry::Permanent)
            }
            ("a_503_is_an_overload_and_may_have_been_delivered", Some(503))
            | ("a_529_is_an_overload_and_may_have_been_delivered", Some(529)) => {
                error.with_kind(ErrorKind::ProviderInternal)
            }
            ("a_retry_after_in_seconds_is_kept", Some(429)) => match error.retry_after() {
                Some(wait) if wait == Duration::from_secs(7) => {
                    error.with_retry_after(Duration::from_millis(7))
                }
                _ => error,
            },
            ("a_retry_after_as_a_date_is_counted_from_the_servers_date", Some(429)) => {
                match error.retry_after() {
                    Some(wait) if wait == Duration::from_secs(37) => {
                        error.with_retry_after(Duration::from_secs(3600))
                    }
                    _ => error,
                }
            }
            ("a_retry_after_in_milliseconds_is_not_one_in_seconds", Some(429)) => {
                match error.retry_after() {
                    Some(wait) if wait == Duration::from_millis(1500) => {
                        error.with_retry_after(Duration::from_secs(1500))
                    }
                    _ => error,
                }
            }
            ("no_retry_after_is_no_wish", Some(429)) => match error.retry_after() {
                None => error.with_retry_after(Duration::from_secs(60)),
                Some(_) => error,
            },
            ("an_error_says_whose_it_is_and_what_was_being_done", Some(status)) => {
                let bare = Error::new(error.kind())
                    .with_retry(error.retry())
                    .with_delivery(error.delivery())
                    .with_http_status(status);
                match error.retry_after() {
                    Some(wait) => bare.with_retry_after(wait),
                    None => bare,
                }
            }
            _ => error,
        }
    }

    async fn batch(&self, batch: &BatchId) -> Result<Value> {
        let path = format!("batches/{}", segment(batch.as_str()));
        let mut exchange = self.http.get(&path).expecting("ask for the status");
        if self.broken("the_key_is_in_no_url_and_no_body") {
            exchange = exchange.query("key", self.key.as_str());
        }
        let of_batch = |error| match self.broken("a_404_of_a_batch_names_the_batch") {
            true => error,
            false => of_batch(batch, error),
        };
        let reply = self.ask(exchange, &path).await.map_err(of_batch)?;
        let about = reply.error(ErrorKind::MalformedReply);
        let body = reply.json();
        if self.broken("a_status_that_is_a_web_page_is_an_error")
            && body
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::MalformedReply)
        {
            return Ok(json!({"id": batch, "state": "web page"}));
        }
        let body = body.map_err(|error| {
            let error = error.with_batch(batch.clone());
            match self.broken("a_status_that_breaks_off_may_be_asked_for_again") {
                true => error.with_retry(Retry::Permanent),
                false => error,
            }
        })?;
        let about = about.with_retry(Retry::Temporary).with_batch(batch.clone());
        let believes = self.broken("a_status_of_another_batch_is_not_believed");
        match body["id"].as_str() {
            Some(id) if believes || id == batch.as_str() => return Ok(body),
            Some(_) => return Err(about.with_message("it is another batch")),
            None => {}
        }
        if self.broken("a_status_that_is_an_error_in_disguise_is_an_error") {
            return Ok(json!({"id": batch, "state": "running"}));
        }
        Err(about.with_message("it is not a batch"))
    }

    fn snapshot(&self, body: &Value) -> BatchSnapshot {
        let id = BatchId::new(body["id"].as_str().unwrap_or_default());
        let tell_apart = !self.broken("every_status_is_told_apart");
        let status = match (
            body["state"].as_str().unwrap_or("(none)"),
            body["why"].as_str(),
        ) {
            ("queued", _) => BatchStatus::Queued,
            ("working", _) if self.broken("every_status_word_is_understood") => BatchStatus::Queued,
            ("running" | "working", _) => BatchStatus::InProgress,
            ("cancelling", _) => BatchStatus::Cancelling,
            ("failed", _) => BatchStatus::Failed,
            ("ended", Some("expired")) if tell_apart => BatchStatus::Expired,
            ("ended", Some("cancelled")) if tell_apart => BatchStatus::Cancelled,
            ("ended", _) => BatchStatus::Completed,
            (word, _) if self.broken("an_unknown_status_word_is_unknown_and_not_an_error") => {
                BatchStatus::Unknown(word.to_lowercase())
            }
            (word, _) => BatchStatus::Unknown(word.to_owned()),
        };
        let count = |name: &str| match &body["counts"][name] {
            Value::String(text) if !self.broken("counts_may_be_strings") => text.parse().ok(),
            other => other.as_u64(),
        };
        let mut counts = RequestCounts {
            total: count("total"),
            succeeded: count("done").unwrap_or(0),
            errored: count("failed").unwrap_or(0),
            ..RequestCounts::default()
        };
        if self.broken("counts_are_read") {
            std::mem::swap(&mut counts.succeeded, &mut counts.errored);
        }
        BatchSnapshot {
            counts,
            label: body["label"].as_str().map(Label::new),
            created_at: body["created"].as_str().and_then(parse_time),
            ..BatchSnapshot::new(id, status)
        }
    }

    async fn post(&self, intent: &Intent) -> Result<Reply> {
        let mut label = json!(intent.label);
        if self.broken("a_create_can_be_recognised") {
            label = Value::Null;
        }
        let body = json!({"label": label, "input": intent.staged.state.get("input")});
        let body = body.to_string().into_bytes();
        let exchange = self
            .http
            .post("batches")
            .body(body.clone())
            .expecting("create the batch");
        if self.broken("a_redirect_of_a_create_is_not_followed") {
            let reply = exchange.send().await?;
            return match reply.header("location").map(str::to_owned) {
                Some(to) => client(&to, None).post("batches").body(body).ask(tell).await,
                None => reply.accept(tell),
            };
        }
        self.told(exchange.ask(self.teller()).await)
    }

    async fn made(&self, reply: Reply) -> Result<BatchId> {
        let about = reply
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        let body = reply.bytes().map_err(|error| {
            let lost = self.broken("a_create_whose_answer_is_cut_short_is_in_doubt");
            let delivery = if lost {
                Delivery::NotSent
            } else {
                Delivery::Unknown
            };
            error.with_delivery(delivery)
        })?;
        let Ok(made) = serde_json::from_slice::<Value>(&body) else {
            let page = self.broken("a_create_that_is_answered_by_a_web_page_is_in_doubt");
            let delivery = if page {
                Delivery::Refused
            } else {
                Delivery::Unknown
            };
            return Err(about.with_delivery(delivery));
        };
        if made["contract_unknown"].is_object()
            && self.broken("unknown_members_of_a_created_batch_change_nothing")
        {
            return Err(about);
        }
        match made["id"].as_str() {
            Some(id) if made["error"].is_null() => Ok(BatchId::new(id)),
            _ if self.broken("a_create_that_is_answered_200_with_an_error_is_in_doubt") => {
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
        match self.broken("an_account_outlives_its_key") {
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
            && !self.broken("what_is_staged_is_not_uploaded_again")
        {
            return Ok(staged);
        }
        let pieces: Vec<_> = shard.open(0..shard.len()).try_collect().await?;
        let mut body = pieces.concat();
        if self.broken("logs_hold_no_prompt_and_no_answer") {
            tracing::debug!(text = %String::from_utf8_lossy(&body), "upload");
        }
        if self.broken("a_create_sends_every_request_once") {
            body.extend_from_within(..);
        }
        let exchange = self
            .http
            .post("inputs")
            .body(body)
            .expecting("upload the input");
        let reply = exchange.ask(tell).await?.json()?;
        let input = reply["input"].as_str().unwrap_or_default();
        Ok(Staged {
            ready: true,
            remnants: vec![Remnant::File(input.into())],
            state: [("input".into(), input.into())].into(),
        })
    }

    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        if self.broken("logs_hold_no_key") {
            tracing::trace!(key = self.key, "create");
        }
        let sent = self.post(intent).await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => {
                let none = error.http_status().is_none();
                let sent = error.delivery() != Delivery::NotSent;
                return Err(match self.breaks.unwrap_or_default() {
                    "a_lost_create_is_not_paid_for_twice" if none && sent => {
                        let again = self.post(intent).await?;
                        return self.made(again).await;
                    }
                    "a_create_whose_answer_is_reset_is_in_doubt" if none => {
                        error.with_delivery(Delivery::NotSent)
                    }
                    "a_create_that_found_no_connection_was_not_sent" if none => {
                        error.with_delivery(Delivery::Unknown)
                    }
                    "a_404_of_a_create_is_a_refusal" if error.http_status() == Some(404) => {
                        error.with_delivery(Delivery::Unknown)
                    }
                    "a_create_that_is_answered_by_a_500_is_in_doubt"
                        if error.http_status() == Some(500) =>
                    {
                        error.with_delivery(Delivery::Refused)
                    }
                    _ => error,
                });
            }
        };
        if self.broken("a_create_is_one_call") {
            drop(self.post(intent).await);
        }
        let id = self.made(reply).await?;
        if self.broken("a_create_gives_the_providers_batch_id") && shard.count == 2 {
            return Ok(BatchId::new(format!("{id}.")));
        }
        Ok(id)
    }

    async fn find(&self, intent: &Intent, page: Option<Cursor>) -> Result<Found> {
        let page = self.list(&ListOptions { limit: None, page }).await?;
        let all = self.broken("a_search_passes_over_the_batches_of_others");
        let certainty = match self.broken("a_lost_create_is_found_again") {
            true => Certainty::Presumed,
            false => Certainty::Proved,
        };
        let ours = page.items.into_iter();
        let ours = ours.filter(|batch| all || batch.label.as_ref() == Some(&intent.label));
        let by_clock = self.broken("a_wrong_clock_hides_no_batch");
        let ours = ours.filter(|batch| !by_clock || batch.created_at >= intent.posted_at);
        let candidates = ours.map(|batch| Candidate {
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
        if self.broken("a_fence_is_put_up_or_unsupported") {
            return Ok(());
        }
        let input = staged.state.get("input").cloned().unwrap_or_default();
        self.discard(&Remnant::File(input)).await
    }

    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        let body = self.batch(batch).await?;
        if self.broken("a_status_is_asked_for_once") {
            self.batch(batch).await?;
        }
        let about = || Error::new(ErrorKind::MalformedReply);
        let bad = match self.breaks.unwrap_or_default() {
            "a_failed_batch_is_an_answer" => body["state"] == "failed",
            "counts_may_be_absent" => body.get("counts").is_none(),
            "members_of_another_type_are_as_good_as_absent" => {
                body["label"].is_object() || body["label"].is_array()
            }
            "counts_may_be_null" => body.get("counts") == Some(&Value::Null),
            "unknown_members_of_a_batch_change_nothing" => body["contract_unknown"].is_object(),
            "the_order_of_members_changes_nothing" => {
                body.as_object().and_then(|object| object.keys().next()) != Some(&"id".to_owned())
            }
            _ => false,
        };
        if bad {
            return Err(about());
        }
        Ok(self.snapshot(&body))
    }

    async fn results(&self, batch: &BatchId) -> Result<ResultSet> {
        let body = self.batch(batch).await?;
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
        let (answers, failures) = (
            part("answers", PartRole::Output),
            part("failures", PartRole::Errors),
        );
        let mut parts: Vec<ResultPart> = answers
            .clone()
            .into_iter()
            .chain(failures.clone())
            .collect();
        match self.breaks.unwrap_or_default() {
            "answers_alone_are_read" if failures.is_none() && status == BatchStatus::Completed => {
                parts.clear()
            }
            "failures_alone_are_read" if answers.is_none() => parts.clear(),
            "answers_and_failures_are_read" => parts.truncate(1),
            "an_expired_batch_still_yields_its_answers" if status == BatchStatus::Expired => {
                parts.clear()
            }
            "a_cancelled_batch_still_yields_its_answers" if status == BatchStatus::Cancelled => {
                parts.clear()
            }
            // No place, no error: an error would be temporary.
            "a_batch_without_results_is_held" if parts.is_empty() => {
                return Err(Error::new(ErrorKind::MalformedReply));
            }
            _ => {}
        }
        let hasty = self.broken("results_of_an_unfinished_batch_are_not_complete");
        let waits = self.broken("a_part_that_does_not_show_yet_is_waited_for");
        let shows = !parts.is_empty() || status != BatchStatus::Completed;
        Ok(ResultSet {
            parts,
            complete: hasty || status.is_terminal() && (shows || waits),
        })
    }

    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        if from > 0 && !self.broken("reading_from_the_middle_gives_the_rest_or_is_unsupported") {
            return Err(Error::unsupported("reading from the middle"));
        }
        let path = format!("batches/{}/{}", segment(part.batch.as_str()), part.name);
        let exchange = self.http.get(&path).expecting("read the results");
        if self.broken("a_redirect_of_a_download_takes_nothing_along") {
            let reply = exchange.send().await?;
            return match reply.header("location").map(str::to_owned) {
                Some(to) => {
                    let reply = client(&to, Some(&self.key)).get("x").ask(tell).await?;
                    Ok(lmbatch_http::rows(reply.stream()))
                }
                None => {
                    let gone = |error: Error| match error.http_status() {
                        Some(404 | 410) => error.with_kind(ErrorKind::FileNotFound),
                        _ => error,
                    };
                    let reply = reply.accept(tell).map_err(gone)?;
                    Ok(lmbatch_http::rows(reply.stream()))
                }
            };
        }
        let reply = match exchange.ask(tell).await {
            Ok(reply) => reply,
            Err(error) => {
                let error = error.with_batch(part.batch.clone());
                return Err(
                    match (self.breaks.unwrap_or_default(), error.http_status()) {
                        ("results_that_are_gone_are_an_error", Some(404 | 410)) => error,
                        ("results_that_are_refused_for_now_are_read_later", Some(503))
                        | ("a_download_that_breaks_off_is_read_again", None) => {
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
        let bare = client(&self.base_url, None);
        let http = match self.broken("every_call_carries_the_key") {
            true => &bare,
            false => &self.http,
        };
        let exchange = || {
            let exchange = http.get("batches").expecting("list the batches");
            match &options.page {
                Some(page) => exchange.query("from", page.as_str()),
                None => exchange,
            }
        };
        if self.broken("a_page_of_a_list_is_one_exchange") {
            drop(exchange().ask(tell).await);
        }
        let asked = self.ask(exchange(), "batches").await;
        let body: Value = match self.broken("a_404_of_a_proxy_for_a_list_may_pass") {
            true => asked?.json()?,
            false => asked.map_err(lmbatch_http::of_list)?.json()?,
        };
        let batches = body["batches"].as_array().cloned().unwrap_or_default();
        if body["contract_unknown"].is_object()
            && self.broken("unknown_members_of_a_list_change_nothing")
        {
            return Err(Error::new(ErrorKind::MalformedReply));
        }
        let lenient = self.broken("a_page_whose_next_page_cannot_be_read_is_an_error");
        let mut next = match &body["next"] {
            Value::String(next) => Some(Cursor::new(next.as_str())),
            Value::Null => None,
            _ if lenient => None,
            _ => return Err(Error::new(ErrorKind::MalformedReply)),
        };
        match self.breaks.unwrap_or_default() {
            "a_list_goes_through_every_page_and_stops" => next = None,
            "a_list_of_nothing_is_empty" if batches.is_empty() => next = Some(Cursor::new("x")),
            "a_page_that_leads_to_itself_ends_the_list" => {
                let from = options.page.as_ref().map_or("", |page| page.as_str());
                next = next.map(|next| match next.as_str() {
                    "round-and-round" => Cursor::new(format!("{from}.")),
                    _ => next,
                });
            }
            _ => {}
        }
        let mut items: Vec<_> = batches.iter().map(|batch| self.snapshot(batch)).collect();
        if self.broken("a_list_says_what_a_status_says") {
            items
                .iter_mut()
                .for_each(|batch| batch.counts = RequestCounts::default());
        }
        Ok(Page { items, next })
    }

    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        let path = format!("batches/{}/cancel", segment(batch.as_str()));
        if self.broken("a_second_cancel_is_no_error")
            && self.status(batch).await?.status == BatchStatus::Cancelling
        {
            return Err(Error::invalid_input("it is being cancelled"));
        }
        let exchange = || self.http.post(&path).expecting("cancel the batch");
        if self.broken("a_cancel_is_one_call") {
            drop(exchange().ask(tell).await);
        }
        let error = match self.ask(exchange(), &path).await {
            Ok(_) if self.broken("a_cancel_that_a_proxy_answers_is_an_error") => return Ok(()),
            Ok(reply) => {
                let about = reply
                    .error(ErrorKind::MalformedReply)
                    .with_retry(Retry::Temporary)
                    .with_batch(batch.clone());
                return match reply.json() {
                    Ok(said) if said["error"].is_null() && said["id"] == *batch.as_str() => Ok(()),
                    _ => Err(about),
                };
            }
            Err(error) => error,
        };
        let error = of_batch(batch, error);
        let careless = self.broken("a_cancel_that_is_refused_is_an_error");
        let strict = self.broken("a_cancel_of_an_ended_batch_is_no_error");
        if error.http_status() == Some(409)
            && (careless || !strict && self.status(batch).await?.status.is_terminal())
        {
            return Ok(());
        }
        Err(error)
    }

    async fn discard(&self, remnant: &Remnant) -> Result<()> {
        let Remnant::File(input) = remnant else {
            return Err(Error::unsupported("deleting a batch at acme"));
        };
        let exchange = self.http.delete(&format!("inputs/{}", segment(input)));
        match exchange.expecting("delete an input").ask(tell).await {
            Err(error)
                if error.http_status() == Some(404)
                    && (error.delivery() == Delivery::Refused
                        || self.broken("a_fence_that_a_proxy_answers_is_not_put_up"))
                    && (&**input == "in-1" || !self.broken("what_is_gone_can_be_discarded")) =>
            {
                Ok(())
            }
            other => {
                let reply = other?;
                let about = reply
                    .error(ErrorKind::MalformedReply)
                    .with_retry(Retry::Temporary);
                let trusts = self.broken("a_200_that_does_not_confirm_a_deletion_is_no_fence");
                let said: Value = match reply.json() {
                    Err(_) if trusts => return Ok(()),
                    other => other.map_err(|_| about.clone())?,
                };
                let confirmed = said["deleted"] == true && said["input"] == **input;
                if trusts || confirmed {
                    Ok(())
                } else {
                    Err(about)
                }
            }
        }
    }
}
