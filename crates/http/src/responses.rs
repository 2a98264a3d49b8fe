//! What every adapter makes of certain answers, in one place.

use lmbatch_core::{
    BatchId, BatchProvider, BatchStatus, Delivery, Error, ErrorKind, RequestCounts, Retry,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::body::Kind;
use crate::classify::kind_of;
use crate::document::{self, Path};
use crate::lenient;
use crate::reply::{NOT_JSON, Reply, because};

/// Message of an answer under HTTP 200 that says that the call failed.
const HOLDS_ERROR: &str = "it holds an error; a proxy may have sent it";

impl Reply {
    /// Returns the id of what was made, from `member`. No more of the answer is read but whether it holds the
    /// [member of errors](crate::HttpOptions::error_member), so that nothing else can spoil it.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedReply`] of unknown delivery, so that a create is in doubt, for an answer without an id
    /// or with an error: its id may be that of the exchange.
    pub async fn made(self, member: &str) -> Result<String, Error> {
        self.made_at(&[member]).await
    }

    /// Returns the id of what was made, as [`made`](Self::made) does, from the member that the names in `path` lead
    /// to: `&["job", "key"]` for `{"job": {"key": "…"}}`.
    ///
    /// # Errors
    /// Those of [`made`](Self::made).
    pub async fn made_at(self, path: &[&str]) -> Result<String, Error> {
        let about = self
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        let rules = self.share();
        let made: Value = self.json().await?;
        if says_error(&made, rules.error_member) {
            return Err(about.with_message(HOLDS_ERROR));
        }
        let mut steps = path.iter();
        let found = steps.try_fold(&made, |value, name| value.get(name));
        let member = path.join(".");
        match found.and_then(Value::as_str) {
            // Ids are printed and kept.
            Some(id) if rules.secrets.are_in(id) => {
                Err(about.with_message(format!("its {member} holds the key")))
            }
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(about.with_message(format!("it holds no {member}"))),
        }
    }

    /// Reads the body as [`rest`](Self::rest) does, and refuses one that holds the
    /// [member of errors](crate::HttpOptions::error_member): what is said of a batch or a list beside an error is not
    /// believed.
    ///
    /// # Errors
    /// Those of [`rest`](Self::rest); [`ErrorKind::MalformedReply`], temporary for the answer to a GET, for an answer
    /// that holds an error.
    pub async fn checked<T: DeserializeOwned>(self, paths: &'static [Path]) -> Result<T, Error> {
        let (held, unreadable) = (self.unreadable(HOLDS_ERROR), self.unreadable(NOT_JSON));
        let member = self.share().error_member;
        let said: Value = self.rest(paths).await?;
        if says_error(&said, member) {
            return Err(held);
        }
        serde_json::from_value(said).map_err(|_| unreadable)
    }

    /// The body as JSON without its rows: lists at `paths`, which may be long, are empty in it.
    ///
    /// # Errors
    /// As [`json`](Self::json) gives them; a document that costs more to read than any real one is permanent.
    pub async fn rest<T: DeserializeOwned>(self, paths: &'static [Path]) -> Result<T, Error> {
        let about = self.unreadable(NOT_JSON);
        let reads = about.retry();
        let kind = match paths.is_empty() {
            true => Kind::Answer,
            false => Kind::Document,
        };
        let body = self.body(kind).into_stream();
        let rest = document::rest(body, paths, reads).await;
        rest.map_err(|error| because(about, error))
    }
}

/// Reads a list whose member must be there: an answer without it, or with null in its place, is no empty list, and
/// a batch that is looked for there would be taken for one that does not exist. A plain `Vec` without
/// `#[serde(default)]` is read in the same way.
///
/// # Errors
/// As its elements give them.
pub fn listed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Vec::deserialize(deserializer)
}

/// Whether an answer says in `member` that the call failed. Null and the empty text say nothing.
pub(crate) fn says_error(said: &Value, member: &str) -> bool {
    let error = said.get(member);
    error.is_some_and(|error| !error.is_null() && error != "")
}

/// A count by its name: a whole number, or a float or a string that holds one, as some servers write it.
pub fn count(counts: Option<&Value>, name: &str) -> Option<u64> {
    lenient::whole(counts?.get(name)?)
}

/// Requests by what became of them, where a provider tells all of them, those answered and those failed, by
/// these names.
pub fn counts(counts: Option<&Value>, [total, succeeded, errored]: [&str; 3]) -> RequestCounts {
    RequestCounts {
        total: count(counts, total),
        succeeded: count(counts, succeeded).unwrap_or(0),
        errored: count(counts, errored).unwrap_or(0),
        ..RequestCounts::default()
    }
}

/// Whether an answer says that what the path names does not exist: 404 or 410 with the provider's own error
/// object. The same status from a proxy says nothing of the provider.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error.http_status(), Some(404 | 410)) && error.delivery() == Delivery::Refused
}

/// Reports whether an answer to a call on the path of `batch` is about that batch. `named` is the id that the answer
/// holds, empty where it holds none; `has_status` tells whether it holds the status of a batch. An answer with an id
/// must name `batch`, in full or without the collection that ids of some providers begin with (`7` for `batches/7`).
/// One without an id must hold a status at least, since some servers leave the id out; else it may be an error or
/// the answer of a proxy.
///
/// ```
/// use lmbatch_http::is_about;
/// let batch = "batches/7".into();
/// assert!(is_about(&batch, "batches/7", true) && is_about(&batch, "", true));
/// assert!(!is_about(&batch, "batches/8", true) && !is_about(&batch, "", false));
/// ```
pub fn is_about(batch: &BatchId, named: &str, has_status: bool) -> bool {
    let batch = batch.as_str();
    let ends_with = |long: &str, short: &str| {
        let collection = long.strip_suffix(short);
        collection.is_some_and(|collection| collection.is_empty() || collection.ends_with('/'))
    };
    match named {
        "" => has_status,
        named => ends_with(batch, named) || ends_with(named, batch),
    }
}

/// Checks the answer to a status call by [`is_about`]. A status of another batch must not be taken for that of
/// `batch`: results would be looked for where they are not. `about` is the error of the reply, as
/// [`Reply::unreadable`] gives it.
///
/// # Errors
/// [`ErrorKind::MalformedReply`], temporary, with the batch: a cache or a proxy may have sent the answer.
pub fn check_batch(
    batch: &BatchId,
    named: &str,
    has_status: bool,
    about: Error,
) -> Result<(), Error> {
    if is_about(batch, named, has_status) {
        return Ok(());
    }
    let message = match named {
        "" => "the answer names neither a batch nor its status; a proxy may have sent it",
        _ => "the answer is about another batch; a cache or a proxy may have sent it",
    };
    Err(about
        .with_kind(ErrorKind::MalformedReply)
        .with_message(message)
        .with_retry(Retry::Temporary)
        .with_batch(batch.clone()))
}

/// An error of a call on a batch's own path: a 404 or 410 there is a missing batch, not a missing model. One that is
/// not the provider's own says nothing of the batch, and is temporary.
pub fn of_batch(batch: &BatchId, error: Error) -> Error {
    let error = error.with_batch(batch.clone());
    match error.http_status() {
        Some(404 | 410) => named(error, ErrorKind::BatchNotFound),
        _ => error,
    }
}

/// An error of a call on a file's own path: a 404 or 410 there is a missing file. One that is not the
/// provider's own says nothing of the file, and is temporary.
pub fn of_file(error: Error) -> Error {
    match error.http_status() {
        Some(404 | 410) => named(error, ErrorKind::FileNotFound),
        _ => error,
    }
}

fn named(error: Error, kind: ErrorKind) -> Error {
    match is_gone(&error) {
        true => error.with_kind(kind),
        false => error
            .with_kind(ErrorKind::MalformedReply)
            .with_message("the answer is not the provider's own; a proxy may have sent it")
            .with_retry(Retry::Temporary),
    }
}

/// An error of a call whose path names neither a batch, a file nor a model, such as a list: a 404 or 410 there means
/// that the server has no such path. One that is not the provider's own is temporary: a proxy may have sent it,
/// and a list that is only out of reach for now must not pass for one that the server does not have.
pub fn of_list(error: Error) -> Error {
    match error.http_status() {
        Some(404 | 410) if is_gone(&error) => error
            .with_kind(kind_of(404).0)
            .with_message("the server has no such path; check the base URL"),
        Some(404 | 410) => error
            .with_kind(ErrorKind::MalformedReply)
            .with_message(
                "the answer is not the provider's own: a proxy may have sent it, or the server has no such path; check the base URL",
            )
            .with_retry(Retry::Temporary),
        _ => error,
    }
}

/// What came of a cancel. That the batch has ended is no error; a refusal alone does not prove that it has,
/// and one that goes on costs money: its status decides. So it does for a 2xx that is not the provider's own
/// confirmation, since a proxy's page cancels nothing: a JSON object without the
/// [member of errors](crate::HttpOptions::error_member) of which `proves` says that it confirms the cancel of `batch`, such as by [`is_about`].
///
/// # Errors
/// The refusal, or [`ErrorKind::MalformedReply`], temporary, for such a 2xx; in both cases with the batch.
pub async fn cancelled(
    provider: &impl BatchProvider,
    batch: &BatchId,
    asked: Result<Reply, Error>,
    proves: impl FnOnce(&Value) -> bool + Send,
) -> Result<(), Error> {
    let error = match asked {
        Err(error) => error,
        Ok(reply) => match accepted(reply, proves).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                let asked = provider.status(batch).await;
                let stops = |status: &BatchStatus| {
                    status.is_terminal() || *status == BatchStatus::Cancelling
                };
                if asked.is_ok_and(|snapshot| stops(&snapshot.status)) {
                    return Ok(());
                }
                return Err(error.with_batch(batch.clone()));
            }
        },
    };
    if matches!(error.http_status(), Some(400 | 409))
        && provider.status(batch).await?.status.is_terminal()
    {
        return Ok(());
    }
    Err(of_batch(batch, error))
}

/// Checks that a 2xx says that a call was accepted: with a JSON object that holds no error and that `proves` takes.
async fn accepted(reply: Reply, proves: impl FnOnce(&Value) -> bool + Send) -> Result<(), Error> {
    let about = reply.error(ErrorKind::MalformedReply);
    let member = reply.share().error_member;
    let said = reply.json::<Value>().await;
    let said = said.map_err(|error| error.with_retry(Retry::Temporary))?;
    match &said {
        Value::Object(_) if !says_error(&said, member) && proves(&said) => Ok(()),
        _ => Err(about
            .with_message("it does not say that the call was accepted; a proxy may have sent it")
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown)),
    }
}

/// What a probe of the model proves: what speaks of key, model or bill is believed, and so is a server
/// that fails; anything else comes from one that lacks the endpoint.
pub fn believed(probe: Result<(), Error>) -> Result<(), Error> {
    let Err(error) = probe else {
        return Ok(());
    };
    match (error.kind(), error.http_status()) {
        (ErrorKind::ProviderAuth | ErrorKind::ModelNotFound | ErrorKind::Billing, _) => Err(error),
        (_, None | Some(408 | 429 | 500 | 502..=599)) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_the_batch_that_it_names() {
        for (batch, named, has_status, expected) in [
            ("b-1", "b-1", false, true),
            ("b-1", "b-11", true, false),
            ("b-11", "b-1", true, false),
            ("b-1", "x-b-1", true, false),
            ("b-1", "B-1", true, false),
            ("b-1", "/", true, false),
            ("batches/7", "7", true, true),
            ("7", "batches/7", true, true),
            ("batches/7", "batches/77", true, false),
            ("batches/7", "batches/", true, false),
            ("batches/7", "files/7", true, false),
            ("b-1", "", true, true),
            ("b-1", "", false, false),
        ] {
            let found = is_about(&BatchId::new(batch), named, has_status);
            assert_eq!(found, expected, "{batch} and {named:?}");
            let about = Error::new(ErrorKind::Internal);
            let checked = check_batch(&BatchId::new(batch), named, has_status, about);
            assert_eq!(checked.is_ok(), expected, "{batch} and {named:?}");
            if let Err(error) = checked {
                assert_eq!(error.kind(), ErrorKind::MalformedReply);
                assert_eq!(error.retry(), Retry::Temporary);
                assert_eq!(error.batch(), Some(&BatchId::new(batch)));
            }
        }
    }
}
