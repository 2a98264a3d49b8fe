//! Tables of a run as a whole: the order of its output, and where its requests lie.

use lmbatch_core::{Order, Result};

use crate::spool::layout::{order_table, sent_table};
use crate::spool::tables::{Reader, Sent};
use crate::spool::{Files, spooled};

/// The ordinal of each of the requests of an order.
pub(crate) fn read_order(files: &Files, order: Order, requests: u32) -> Result<Vec<u32>> {
    let mut table = Reader::new(files.open(&order_table(order.table))?);
    let ordinals = (0..requests).map(|_| {
        let mut bytes = [0; 4];
        table.read_exact(&mut bytes).map_err(spooled)?;
        Ok(u32::from_le_bytes(bytes))
    });
    ordinals.collect()
}

/// Notes where requests are now, beside the table of the attempt before, which the ledger may still speak of.
/// Gives its CRC-32.
pub(crate) fn note_sent(files: &Files, places: &[Sent], attempt: u32) -> Result<u32> {
    let mut table = files.create(&sent_table(attempt))?;
    for place in places {
        place.write(&mut table).map_err(spooled)?;
    }
    table.sync().map_err(spooled)?;
    Ok(table.checksum())
}
