//! Checks of responses and errors that all adapters share.

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
use crate::reply::{NOT_JSON, Response, because};

/// Message about a 200 answer that holds an error.
const HOLDS_ERROR: &str = "it holds an error; a proxy may have sent it";

impl Response {
    /// Returns the id of the created object, a non-empty string in `member`. Apart from the id, only the
    /// [member of errors](crate::HttpOptions::error_member) is checked, so that no other unexpected member makes
    /// the answer to a create unreadable.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedResponse`] of unknown delivery, so that a create is in doubt, for an answer without an id
    /// or with an error, where the id may be that of the request.
    pub async fn created_id(self, member: &str) -> Result<String, Error> {
        self.created_id_at(&[member]).await
    }

    /// Returns the id of the created object, as [`created_id`](Self::created_id) does, from a nested member:
    /// `&["job", "key"]` for `{"job": {"key": "…"}}`.
    ///
    /// # Errors
    /// Those of [`created_id`](Self::created_id).
    pub async fn created_id_at(self, path: &[&str]) -> Result<String, Error> {
        let about = self
            .error(ErrorKind::MalformedResponse)
            .with_delivery(Delivery::Unknown);
        let rules = self.share();
        let answer: Value = self.json().await?;
        if says_error(&answer, rules.error_member) {
            return Err(about.with_message(HOLDS_ERROR));
        }
        let mut steps = path.iter();
        let found = steps.try_fold(&answer, |value, name| value.get(name));
        let member = path.join(".");
        match found.and_then(Value::as_str) {
            // Ids are printed and recorded, so that they must hold no secret.
            Some(id) if rules.secrets.are_in(id) => {
                Err(about.with_message(format!("its {member} holds the key")))
            }
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(about.with_message(format!("it holds no {member}"))),
        }
    }

    /// Reads the body as [`json_without_rows`](Self::json_without_rows) does, and refuses one that holds the
    /// [member of errors](crate::HttpOptions::error_member): a batch or a list in the same answer as an error is not
    /// trusted.
    ///
    /// # Errors
    /// Those of [`json_without_rows`](Self::json_without_rows); [`ErrorKind::MalformedResponse`], temporary for the
    /// answer to a GET, for an answer that holds an error.
    pub async fn checked<T: DeserializeOwned>(self, paths: &'static [Path]) -> Result<T, Error> {
        let (held, unreadable) = (self.unreadable(HOLDS_ERROR), self.unreadable(NOT_JSON));
        let member = self.share().error_member;
        let answer: Value = self.json_without_rows(paths).await?;
        if says_error(&answer, member) {
            return Err(held);
        }
        serde_json::from_value(answer).map_err(|_| unreadable)
    }

    /// Reads the body as JSON without its rows: the lists at `paths`, which may be long, are replaced by empty ones.
    ///
    /// # Errors
    /// Those of [`json`](Self::json); permanent for a document that exceeds a limit on length, depth or names.
    pub async fn json_without_rows<T: DeserializeOwned>(
        self,
        paths: &'static [Path],
    ) -> Result<T, Error> {
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

/// Deserializes a list whose member is required, as a plain `Vec` without `#[serde(default)]` is. A missing or null
/// list must not count as an empty one: a search would conclude that an existing batch does not exist.
///
/// # Errors
/// Null, another type than a list, and the errors of its elements.
pub fn required_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Vec::deserialize(deserializer)
}

/// Returns true if the answer holds an error in `member`. Null and the empty string are no error.
pub(crate) fn says_error(answer: &Value, member: &str) -> bool {
    let error = answer.get(member);
    error.is_some_and(|error| !error.is_null() && error != "")
}

/// Returns the count called `name`: a whole number, or a float or a string that holds one, as some servers write.
pub fn count(counts: Option<&Value>, name: &str) -> Option<u64> {
    lenient::whole(counts?.get(name)?)
}

/// Returns the request counts of a provider that reports total, succeeded and errored requests under these names.
pub fn counts(counts: Option<&Value>, [total, succeeded, errored]: [&str; 3]) -> RequestCounts {
    RequestCounts {
        total: count(counts, total),
        succeeded: count(counts, succeeded).unwrap_or(0),
        errored: count(counts, errored).unwrap_or(0),
        ..RequestCounts::default()
    }
}

/// Returns true if the object that the path names does not exist: 404 or 410 with the provider's own error object.
/// A 404 or 410 from a proxy proves nothing.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error.http_status(), Some(404 | 410)) && error.delivery() == Delivery::Refused
}

/// Returns true if an answer to a call on the path of `batch` is about that batch. `named` is the id that the answer
/// holds, empty where it holds none; `has_status` is true if it holds the status of a batch. An answer with an id
/// must name `batch`, in full or without the collection that ids of some providers begin with (`7` for `batches/7`).
/// One without an id must at least hold a status, since some servers omit the id; otherwise it may be an error or
/// a proxy's answer.
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

/// Checks the answer to a status call by [`is_about`]. The status of another batch must not be used for
/// `batch`: results would be read from the wrong place. `about` is the error to return, as
/// [`Response::unreadable`] creates it.
///
/// # Errors
/// [`ErrorKind::MalformedResponse`], temporary, with the batch: a cache or a proxy may have sent the answer.
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
        .with_kind(ErrorKind::MalformedResponse)
        .with_message(message)
        .with_retry(Retry::Temporary)
        .with_batch(batch.clone()))
}

/// Converts an error of a call on a batch's own path: a 404 or 410 with the provider's own error object becomes
/// [`ErrorKind::BatchNotFound`]. Without it the batch may exist, and the error is a temporary
/// [`ErrorKind::MalformedResponse`].
pub fn batch_error(batch: &BatchId, error: Error) -> Error {
    let error = error.with_batch(batch.clone());
    match error.http_status() {
        Some(404 | 410) => named(error, ErrorKind::BatchNotFound),
        _ => error,
    }
}

/// Converts an error of a call on a file's own path: a 404 or 410 with the provider's own error object becomes
/// [`ErrorKind::FileNotFound`]. Without it the file may exist, and the error is a temporary
/// [`ErrorKind::MalformedResponse`].
pub fn file_error(error: Error) -> Error {
    match error.http_status() {
        Some(404 | 410) => named(error, ErrorKind::FileNotFound),
        _ => error,
    }
}

fn named(error: Error, kind: ErrorKind) -> Error {
    match is_gone(&error) {
        true => error.with_kind(kind),
        false => error
            .with_kind(ErrorKind::MalformedResponse)
            .with_message("the answer is not the provider's own; a proxy may have sent it")
            .with_retry(Retry::Temporary),
    }
}

/// Converts an error of a call whose path names no batch, file or model, such as a list: a 404 or 410 with the
/// provider's own error object means that the server has no such path. Without it the error is temporary, since a
/// proxy may have sent it and the list may exist.
pub fn list_error(error: Error) -> Error {
    match error.http_status() {
        Some(404 | 410) if is_gone(&error) => error
            .with_kind(kind_of(404).0)
            .with_message("the server has no such path; check the base URL"),
        Some(404 | 410) => error
            .with_kind(ErrorKind::MalformedResponse)
            .with_message(
                "the answer is not the provider's own: a proxy may have sent it, or the server has no such path; check the base URL",
            )
            .with_retry(Retry::Temporary),
        _ => error,
    }
}

/// Checks the answer to a cancel. A confirmation is a 2xx JSON object without the
/// [member of errors](crate::HttpOptions::error_member) for which `proves` returns true, such as by [`is_about`].
/// Any other 2xx may be a proxy's page: the call succeeds only if the batch's status is terminal or cancelling. After
/// a 400 or 409 it succeeds only if the status is terminal, since a batch that still runs costs money.
///
/// # Errors
/// The refusal; [`ErrorKind::MalformedResponse`], temporary, for an unconfirmed 2xx; or that of the status call after
/// a 400 or 409.
pub async fn cancelled(
    provider: &impl BatchProvider,
    batch: &BatchId,
    asked: Result<Response, Error>,
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
    Err(batch_error(batch, error))
}

/// Checks that a 2xx confirms a call: its body is a JSON object without an error for which `proves` returns true.
async fn accepted(
    reply: Response,
    proves: impl FnOnce(&Value) -> bool + Send,
) -> Result<(), Error> {
    let about = reply.error(ErrorKind::MalformedResponse);
    let member = reply.share().error_member;
    let answer = reply.json::<Value>().await;
    let answer = answer.map_err(|error| error.with_retry(Retry::Temporary))?;
    match &answer {
        Value::Object(_) if !says_error(&answer, member) && proves(&answer) => Ok(()),
        _ => Err(about
            .with_message("it does not say that the call was accepted; a proxy may have sent it")
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown)),
    }
}

/// Interprets a model probe.
///
/// # Errors
/// Errors of authentication, model and billing, a missing answer, and the statuses 408, 429, 500 and 502 to 599. Any
/// other error means that the server lacks the endpoint, and counts as success.
pub fn probe_result(probe: Result<(), Error>) -> Result<(), Error> {
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
                assert_eq!(error.kind(), ErrorKind::MalformedResponse);
                assert_eq!(error.retry(), Retry::Temporary);
                assert_eq!(error.batch(), Some(&BatchId::new(batch)));
            }
        }
    }
}
