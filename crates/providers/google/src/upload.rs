//! Resumable upload of an input file. Each step sends one request and returns the state that the next step needs, in
//! this process or another.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};

use lmbatch_core::{Error, ErrorKind, RemoteObject, Result, Retry, Shard, Staged};
use lmbatch_http::Response;

use crate::client::GoogleClient;
use crate::wire::{File, Uploaded};

/// State of an upload between its steps.
const FILE: &str = "file";
const SESSION: &str = "session";
const OFFSET: &str = "offset";
const STALE: &str = "stale";

/// Most times that the server may report another offset than expected.
const MOST_STALE: u32 = 8;

/// Performs the next step of an upload.
pub(crate) async fn step(
    client: &GoogleClient,
    shard: &Shard,
    prior: Option<Staged>,
) -> Result<Staged> {
    let prior = prior.unwrap_or_default();
    let get = |name: &str| prior.state.get(name).map(|value| &**value);
    let name = match prior.remote_objects.first() {
        Some(RemoteObject::File(name)) => name.to_string(),
        _ => fresh_name(shard),
    };
    match (get(FILE), get(SESSION), get(OFFSET)) {
        (Some(file), ..) => checked(shard, file, &client.file(file).await?),
        (None, None, _) => match client.begin_upload(shard, &name).await {
            Ok(session) => Ok(going(&name, stale(&prior), &[(SESSION, &session)])),
            // An earlier upload under this name came through: "ALREADY_EXISTS".
            Err(error) if error.http_status() == Some(409) => {
                Ok(going(&name, stale(&prior), &[(FILE, &name)]))
            }
            Err(error) => Err(error),
        },
        (None, Some(session), None) => {
            let reply = match client.query_upload(session).await {
                Err(error) if matches!(error.http_status(), Some(404 | 410)) => {
                    return again(&name, &prior, &[], error);
                }
                other => other?,
            };
            match (reply.header(STATUS), received(&reply)) {
                (Some("final"), _) => finished(shard, &name, reply).await,
                (_, Some(offset)) if offset <= shard.len() => {
                    let offset = offset.to_string();
                    Ok(going(
                        &name,
                        stale(&prior),
                        &[(SESSION, session), (OFFSET, &offset)],
                    ))
                }
                _ => Err(reply
                    .error(ErrorKind::MalformedResponse)
                    .with_message("it does not say how far the upload came")),
            }
        }
        (None, Some(session), Some(offset)) => {
            let from = offset.parse::<u64>().unwrap_or(0).min(shard.len());
            match client.upload(shard, session, from).await {
                Ok(reply) => finished(shard, &name, reply).await,
                // The upload stands elsewhere, since an earlier try came through in part.
                Err(error) if matches!(error.http_status(), Some(400 | 409 | 412 | 416)) => {
                    again(&name, &prior, &[(SESSION, session)], error)
                }
                // The upload session no longer exists.
                Err(error) if matches!(error.http_status(), Some(404 | 410)) => {
                    again(&name, &prior, &[], error)
                }
                Err(error) => Err(error),
            }
        }
    }
}

const STATUS: &str = "x-goog-upload-status";

fn received(reply: &Response) -> Option<u64> {
    reply.header("x-goog-upload-size-received")?.parse().ok()
}

/// "File names: lowercase letters, digits and dashes, at most 40" (Files API, 2026): our labels are that.
/// Each upload has a name of its own: a create that was lost, and whose input was deleted so that it fails,
/// must not find another one under the same name.
fn fresh_name(shard: &Shard) -> String {
    let salt = RandomState::new().hash_one(shard.label.as_str()) as u32;
    format!("files/{}-{salt:08x}", shard.label)
}

fn stale(prior: &Staged) -> u32 {
    let count = prior.state.get(STALE);
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Returns to an earlier step, a limited number of times.
fn again(name: &str, prior: &Staged, state: &[(&str, &str)], error: Error) -> Result<Staged> {
    let stale = stale(prior).saturating_add(1);
    if stale > MOST_STALE {
        return Err(error);
    }
    Ok(going(name, stale, state))
}

fn going(name: &str, stale: u32, state: &[(&str, &str)]) -> Staged {
    let mut kept: BTreeMap<Box<str>, Box<str>> = state
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect();
    if state.iter().any(|(key, _)| *key == SESSION) && stale == 0 {
        // A session that was just opened has nothing yet.
        kept.entry(OFFSET.into()).or_insert_with(|| "0".into());
    }
    if stale > 0 {
        kept.insert(STALE.into(), stale.to_string().into());
    }
    Staged {
        ready: false,
        remote_objects: vec![RemoteObject::File(name.into())],
        state: kept,
    }
}

async fn finished(shard: &Shard, name: &str, reply: Response) -> Result<Staged> {
    let uploaded: Uploaded = reply.json().await?;
    match uploaded.file {
        Some(file) => checked(shard, name, &file),
        // Finished before this call: the file itself says what came of it.
        None => Ok(going(name, 0, &[(FILE, name)])),
    }
}

/// The file, once it can be used and is as long as it should be.
fn checked(shard: &Shard, name: &str, file: &File) -> Result<Staged> {
    let name = file.name.as_deref().unwrap_or(name);
    let about = |kind| {
        Error::new(kind)
            .with_operation("upload the input")
            .with_provider("google".into())
    };
    match file.state.as_deref() {
        Some("PROCESSING") => {
            return Err(about(ErrorKind::ProviderOverloaded)
                .with_retry(Retry::Temporary)
                .with_message("the input file is still being processed"));
        }
        Some("FAILED") => {
            return Err(about(ErrorKind::ProviderInternal)
                .with_message("the provider could not process the input file"));
        }
        _ => {}
    }
    let bytes = file
        .size_bytes
        .as_deref()
        .and_then(|bytes| bytes.parse::<u64>().ok());
    if bytes.is_some_and(|bytes| bytes != shard.len()) {
        return Err(about(ErrorKind::Internal)
            .with_message("the uploaded file holds other bytes than the input"));
    }
    Ok(Staged::of_file(name))
}

/// The file that a batch is made from.
pub(crate) fn file_of(staged: &Staged) -> Result<&str> {
    let file = staged.file().filter(|_| staged.ready);
    file.ok_or_else(|| Error::new(ErrorKind::Internal).with_message("the batch was not staged"))
}
