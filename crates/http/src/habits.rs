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

impl Reply {
    /// What was made, by its id in `member`. No more of the answer is read, so that nothing else can spoil
    /// it; a yes without an id leaves it unknown what became of the call.
    pub async fn made(self, member: &str) -> Result<String, Error> {
        let about = self
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        let rules = self.share();
        let made: Value = self.json().await?;
        match made.get(member).and_then(Value::as_str) {
            // Ids are printed and kept.
            Some(id) if rules.secrets.are_in(id) => {
                Err(about.with_message(format!("its {member} holds the key")))
            }
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(about.with_message(format!("it holds no {member}"))),
        }
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

/// Reads a list whose member must be there: an answer without it is no empty list, and a batch that is
/// looked for there would be taken for one that does not exist.
///
/// # Errors
/// As its elements give them.
pub fn listed<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
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

/// An error of a call on a batch's own path: a 404 there is a missing batch, not a missing model. One that is
/// not the provider's own says nothing of the batch, and is temporary.
pub fn of_batch(batch: &BatchId, error: Error) -> Error {
    let error = error.with_batch(batch.clone());
    match error.http_status() {
        Some(404) => named(error, ErrorKind::BatchNotFound),
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

/// An error of a call whose path names neither a batch, a file nor a model, such as a list: a 404 there means
/// that the server has no such path. One that is not the provider's own is temporary: a proxy may have sent it,
/// and a list that is only out of reach for now must not pass for one that the server does not have.
pub fn of_list(error: Error) -> Error {
    match error.http_status() {
        Some(404) if is_gone(&error) => error
            .with_kind(kind_of(404).0)
            .with_message("the server has no such path; check the base URL"),
        Some(404) => error
            .with_kind(ErrorKind::MalformedReply)
            .with_message(
                "the answer is not the provider's own: a proxy may have sent it, or the server has no such path; check the base URL",
            )
            .with_retry(Retry::Temporary),
        _ => error,
    }
}

/// What came of a cancel. That the batch has ended is no error; a refusal alone does not prove that it has,
/// and one that goes on costs money: its status decides. So it does for a 2xx that is no JSON object, or one
/// with an `error`: a proxy's page cancels nothing.
///
/// # Errors
/// The refusal, or [`ErrorKind::MalformedReply`], temporary, for such a 2xx; in both cases with the batch.
pub async fn cancelled(
    provider: &impl BatchProvider,
    batch: &BatchId,
    asked: Result<Reply, Error>,
) -> Result<(), Error> {
    let error = match asked {
        Err(error) => error,
        Ok(reply) => match accepted(reply).await {
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

/// Whether a 2xx says that a call was accepted: with a JSON object that holds no `error`.
async fn accepted(reply: Reply) -> Result<(), Error> {
    let about = reply.error(ErrorKind::MalformedReply);
    let said = reply.json::<Value>().await;
    let said = said.map_err(|error| error.with_retry(Retry::Temporary))?;
    match said {
        Value::Object(said) if said.get("error").is_none_or(Value::is_null) => Ok(()),
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
