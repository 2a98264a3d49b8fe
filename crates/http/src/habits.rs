//! What every adapter makes of certain answers, in one place.

use lmbatch_core::{BatchId, Delivery, Error, ErrorKind};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

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

/// A count by its name: a number, or a string that holds one, as some servers write it.
pub fn count(counts: Option<&Value>, name: &str) -> Option<u64> {
    match counts?.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
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
