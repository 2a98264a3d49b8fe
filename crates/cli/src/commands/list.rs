//! `lmbatch list`: lists the batches of a provider, newest first.

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch::{BatchSnapshot, Engine};

use super::connect;
use crate::args::ListArgs;
use crate::exit::{Exit, Failure};
use crate::table::{Cell, Column, Table, column};
use crate::{model, terminal};

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
        rows(&batches).print();
    }
    Ok(Exit::Usable)
}

const BATCH: [Column; 7] = [
    column("batch").cut_start(24),
    column("status"),
    column("requests"),
    column("done"),
    column("created"),
    column("model").cut_end(12).rank(1),
    column("label").cut_start(14).rank(2),
];

fn rows(batches: &[BatchSnapshot]) -> Table {
    let mut table = Table::new(BATCH);
    for batch in batches {
        let counts = batch.counts;
        table.row([
            batch.id.as_str().into(),
            Cell::state(batch.status.as_str()),
            counts.total.into(),
            counts.total.map(|_| counts.finished()).into(),
            batch.created_at.into(),
            batch.model.clone().into(),
            batch.label.as_ref().map(ToString::to_string).into(),
        ]);
    }
    table
}
