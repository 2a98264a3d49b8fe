//! Access to one batch by its id, for the commands that name a batch.

use lmbatch::{BatchId, Engine};
use std::sync::Arc;

use super::{connect, warning};
use crate::args::BatchArgs;
use crate::cost_args::usual_table;
use crate::exit::Failure;
use crate::model;
use crate::providers::Provider;
use crate::session::Session;

/// Connects to the provider of a batch.
pub(super) fn engine(
    session: &Session,
    args: &BatchArgs,
) -> Result<(&'static Provider, Engine, BatchId), Failure> {
    let Some(name) = &args.provider else {
        return Err(Failure::usage(
            "the provider of the batch is missing; name it with -p",
        ));
    };
    let provider = model::find(name)?;
    let provider_of_batch = connect(provider, &args.connection, provider.routes()[0])?;
    let engine =
        warning(Engine::new(provider_of_batch)).with_prices(Arc::new(usual_table(session)?));
    Ok((provider, engine, BatchId::new(args.batch.as_str())))
}
