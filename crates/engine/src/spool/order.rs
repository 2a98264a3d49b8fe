//! Order of the output of a run whose input was changed.

use std::collections::BTreeMap;

use lmbatch_core::{Order, Result};

use crate::spool::tables::Reader;
use crate::spool::{Files, layout, spooled};

/// Returns the ordinal of each request of an output, by position. The file is first compared with
/// its checksum, where the record has one.
pub(crate) fn read_order(
    files: &Files,
    order: Order,
    requests: u32,
    checksums: &BTreeMap<Box<str>, u32>,
) -> Result<Vec<u32>> {
    let name = layout::order(order.table);
    if let Some(checksum) = checksums.get(&*name) {
        files.verify(&name, *checksum)?;
    }
    let mut table = Reader::new(files.open(&name)?);
    let ordinals = (0..requests).map(|_| {
        let mut bytes = [0; 4];
        table.read_exact(&mut bytes).map_err(spooled)?;
        Ok(u32::from_le_bytes(bytes))
    });
    ordinals.collect()
}
