//! Access to one batch by its id or its handle, for the commands that name a batch.

use std::path::Path;
use std::sync::Arc;

use lmbatch::{BatchHandle, BatchId, Engine};

use super::{connect, warning};
use crate::args::BatchArgs;
use crate::cost_args::usual_table;
use crate::exit::Failure;
use crate::providers::Provider;
use crate::session::Session;
use crate::{model, text_file};

/// Batch that a command names.
pub(super) struct NamedBatch {
    pub(super) provider: &'static Provider,
    pub(super) engine: Engine,
    pub(super) batch: BatchId,
    /// Handle of the batch, if the command names its file.
    pub(super) handle: Option<BatchHandle>,
}

/// Connects to the provider of a batch.
///
/// # Errors
/// Usage, for a handle that cannot be read, or that is of another batch than the one that the arguments name.
pub(super) fn named(session: &Session, args: &BatchArgs) -> Result<NamedBatch, Failure> {
    let handle = args.handle.as_deref().map(read).transpose()?;
    let id = handle.as_ref().map(|handle| handle.provider.to_string());
    let Some(name) = args.provider.clone().or(id) else {
        return Err(Failure::usage(
            "the provider of the batch is missing; name it with -p",
        ));
    };
    let provider = model::find(&name)?;
    let batch = match (&args.batch, &handle) {
        (Some(batch), _) => BatchId::new(batch.as_str()),
        (None, Some(handle)) => handle.batch.clone(),
        (None, None) => return Err(Failure::usage("name a batch, or its handle with --handle")),
    };
    if let (Some(path), Some(handle)) = (&args.handle, &handle) {
        if handle.provider.as_str() != provider.id() {
            return Err(bad(path, &format!("is of a batch at {}", handle.provider))
                .hint(format!("-p {} names the batch there", handle.provider)));
        }
        if handle.batch != batch {
            return Err(bad(path, &format!("is of batch {}", handle.batch)));
        }
    }
    let provider_of_batch = connect(provider, &args.connection, provider.routes()[0])?;
    let engine =
        warning(Engine::new(provider_of_batch)).with_prices(Arc::new(usual_table(session)?));
    Ok(NamedBatch {
        provider,
        engine,
        batch,
        handle,
    })
}

fn read(path: &Path) -> Result<BatchHandle, Failure> {
    let text = text_file::of_option("--handle", path)?;
    serde_json::from_str(&text).map_err(|error| bad(path, &format!("is not a handle: {error}")))
}

fn bad(path: &Path, why: &str) -> Failure {
    Failure::usage(format!("--handle: {} {why}", path.display()))
}
