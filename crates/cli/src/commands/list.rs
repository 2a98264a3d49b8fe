//! `lmbatch list`: lists the batches of a provider, newest first.

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch::{BatchSnapshot, Engine};

use super::connect;
use crate::args::ListArgs;
use crate::exit::{Exit, Failure};
use crate::terminal::Table;
use crate::{format, model, terminal};

pub(crate) async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let provider = model::find(&args.provider)?;
    let engine = Engine::new(connect(provider, &args.connection, provider.routes()[0])?);
    let most = if args.limit == 0 {
        usize::MAX
    } else {
        args.limit
    };
    let listed = engine.list(Some(most.min(100) as u32)).take(most);
    let batches: Vec<BatchSnapshot> = listed.try_collect().await?;
    if args.json {
        for batch in &batches {
            terminal::json(batch);
        }
    } else if batches.is_empty() {
        terminal::message(&format!("{} lists no batches", provider.id()));
    } else {
        terminal::out(&rows(&batches));
    }
    Ok(Exit::Usable)
}

fn rows(batches: &[BatchSnapshot]) -> String {
    let mut table = Table::with_header(["batch", "status", "done", "created", "model", "label"]);
    for batch in batches {
        let counts = batch.counts;
        let done = counts.total.map_or_else(String::new, |total| {
            format!("{} of {total}", counts.finished())
        });
        table.row([
            batch.id.to_string(),
            batch.status.to_string(),
            done,
            batch.created_at.map(format::time).unwrap_or_default(),
            batch.model.clone().unwrap_or_default(),
            batch
                .label
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ]);
    }
    table.to_string()
}
