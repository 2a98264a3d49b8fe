//! What every adapter makes of certain answers, in one place.

use lmbatch_core::{BatchId, BatchProvider, Delivery, Error, ErrorKind, RequestCounts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::document::{self, Path};
use crate::lenient;
use crate::reply::Reply;

impl Reply {
    /// What was made, by its id in `member`. No more of the answer is read, so that nothing else can spoil
    /// it; a yes without an id leaves it unknown what became of the call.
    pub async fn made(self, member: &str) -> Result<String, Error> {
        let about = self
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        let made: Value = self.json().await?;
        match made.get(member).and_then(Value::as_str) {
            Some(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(about.with_message(format!("it holds no {member}"))),
        }
    }

    /// The body as JSON without its rows: lists at `paths`, which may be long, are empty in it.
    pub async fn rest<T: DeserializeOwned>(self, paths: &'static [Path]) -> Result<T, Error> {
        let about = self
            .error(ErrorKind::MalformedReply)
            .with_delivery(Delivery::Unknown);
        document::rest(self.stream(), paths).await.map_err(|error| {
            about
                .with_kind(error.kind())
                .with_retry(error.retry())
                .with_source(error)
        })
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

/// An error of a call on a batch's own path: a 404 there is a missing batch, not a missing model.
pub fn of_batch(batch: &BatchId, error: Error) -> Error {
    let error = error.with_batch(batch.clone());
    if error.http_status() == Some(404) {
        error.with_kind(ErrorKind::BatchNotFound)
    } else {
        error
    }
}

/// An error of a call on a file's own path: what is gone there is the file.
pub fn of_file(error: Error) -> Error {
    match error.http_status() {
        Some(404 | 410) => error.with_kind(ErrorKind::FileNotFound),
        _ => error,
    }
}

/// What came of a cancel. That the batch has ended is no error; a refusal alone does not prove that it has,
/// and one that goes on costs money: its status decides.
pub async fn cancelled(
    provider: &impl BatchProvider,
    batch: &BatchId,
    asked: Result<Reply, Error>,
) -> Result<(), Error> {
    let Err(error) = asked else {
        return Ok(());
    };
    if matches!(error.http_status(), Some(400 | 409))
        && provider.status(batch).await?.status.is_terminal()
    {
        return Ok(());
    }
    Err(of_batch(batch, error))
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
