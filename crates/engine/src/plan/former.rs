//! Converts runs in layout 1, which had one table of sent requests and one echo for a run, and a
//! further table for each attempt. The tables of the shards of layout 2 are made from these.
//!
//! | file | content |
//! |---|---|
//! | `sent`, `sent-<attempt>` | for each ordinal: shard u32, position in the shard u32, length u32, offset in the body u64 |
//! | `echo` | id, metadata and schema of each request of the input that the run began with |
//! | `echo-<table>` | as `echo`, in the order of the output, where the input was changed |

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::Arc;

use lmbatch_core::{Error, ErrorKind, Result, RunRecord, ShardRecord, ShardTables, StoredTable};

use crate::spool::order::read_order;
use crate::spool::tables::{Echo, Reader, Row, Writer};
use crate::spool::{Files, damaged, layout, spooled};

/// Size of an entry of a table of sent requests, in bytes.
const SENT: u64 = 20;

/// Bytes that are buffered of each table that is written.
const TABLE_BUFFER: usize = 64 << 10;

/// Tables of the shards of a run, made from those of layout 1.
#[derive(Debug)]
pub(crate) struct Converted {
    /// Tables by the number of the shard.
    pub(crate) tables: Vec<ShardTables>,
    /// CRC-32 checksums of the files that belong to the run as a whole.
    pub(crate) checksums: BTreeMap<Box<str>, u32>,
}

/// Returns whether a run is in layout 1. Its shards change to layout 2 together.
pub(crate) fn is_former(shards: &[ShardRecord]) -> bool {
    shards.iter().any(|shard| shard.tables.is_none())
}

/// Makes the tables of the shards of a run in layout 1, each complete and synced, and leaves
/// existing files unchanged. Reads files: not for an async thread.
///
/// Memory is constant for any number of requests, except for 8 bytes for each request that a
/// changed input has added.
///
/// # Errors
/// [`ErrorKind::Local`] where a file is missing or damaged.
pub(crate) fn convert(
    run: &RunRecord,
    shards: &[ShardRecord],
    from: &Files,
    to: &Files,
) -> Result<Converted> {
    for (name, checksum) in &run.checksums {
        from.verify(name, *checksum)?;
    }
    let mut added = Added::new(run, from)?;
    let mut conversion = Conversion {
        run,
        shards,
        to,
        open: HashMap::new(),
        done: shards.iter().map(|_| None).collect(),
    };
    let attempts = shards.iter().map(|shard| shard.attempt).max().unwrap_or(0);
    for attempt in 0..=attempts {
        if shards.iter().any(|shard| shard.attempt == attempt) {
            conversion.attempt(from, attempt, &mut added)?;
        }
    }
    let mut checksums = BTreeMap::new();
    if let Some(order) = run.order {
        let name = layout::order(order.table);
        let file = from.open(&name)?;
        let bytes = file.size().map_err(spooled)?;
        let checksum = crate::spool::tables::checksum_of(&*file, bytes).map_err(spooled)?;
        checksums.insert(name.into(), checksum);
        let (name, checksum) = copy_order_echo(run, from, to)?;
        checksums.insert(name.into(), checksum);
    }
    let tables: Option<Vec<ShardTables>> = conversion.done.into_iter().collect();
    Ok(Converted {
        tables: tables.ok_or_else(|| damaged(&from.name(&layout::former::sent(attempts))))?,
        checksums,
    })
}

/// Copies the echo in the order of the output under its name in layout 2.
fn copy_order_echo(run: &RunRecord, from: &Files, to: &Files) -> Result<(String, u32)> {
    let table = run.order.map_or(0, |order| order.table);
    let mut echoes = Reader::new(from.open(&layout::former::order_echo(table))?);
    let name = layout::order_echo(table);
    let mut writer = to.create(&name)?;
    let mut echo = Echo::default();
    for _ in 0..run.requests {
        echo.read(&mut echoes).map_err(spooled)?;
        echo.write(&mut writer).map_err(spooled)?;
    }
    writer.sync().map_err(spooled)?;
    Ok((name, writer.checksum()))
}

/// Echo of requests that a changed input has added: they are in the output, or in no file.
struct Added {
    echoes: Option<Reader>,
    /// Number of requests with which the run began.
    begun: u32,
    /// Offset of the echo of each request that was added later, by its ordinal minus `begun`.
    offsets: Vec<u64>,
}

/// Offset of a request without an echo in a file.
const NOWHERE: u64 = u64::MAX;

impl Added {
    fn new(run: &RunRecord, from: &Files) -> Result<Self> {
        let sent = from.open(&layout::former::sent(0))?;
        let mut added = Self {
            echoes: None,
            begun: (sent.size().map_err(spooled)? / SENT) as u32,
            offsets: Vec::new(),
        };
        let Some(order) = run.order else {
            return Ok(added);
        };
        let behind = order.ordinals.saturating_sub(added.begun);
        added.offsets = vec![NOWHERE; behind as usize];
        let file = from.open(&layout::former::order_echo(order.table))?;
        let mut reader = Reader::new(Arc::clone(&file));
        let (mut echo, mut offset) = (Echo::default(), 0);
        for ordinal in read_order(from, order, run.requests, &run.checksums)? {
            echo.read(&mut reader).map_err(spooled)?;
            let at = ordinal.checked_sub(added.begun);
            if let Some(known) = at.and_then(|at| added.offsets.get_mut(at as usize)) {
                *known = offset;
            }
            offset += echo.stored_bytes();
        }
        added.echoes = Some(Reader::new(file));
        Ok(added)
    }

    /// Reads the echo of a request that was added.
    fn read(&mut self, ordinal: u32, echo: &mut Echo) -> Result<()> {
        echo.clear();
        let at = ordinal.saturating_sub(self.begun) as usize;
        match (self.offsets.get(at), &mut self.echoes) {
            (Some(offset), Some(echoes)) if *offset != NOWHERE => {
                echoes.seek(*offset);
                echo.read(echoes).map_err(spooled)
            }
            _ => Ok(()),
        }
    }
}

/// Position at which layout 1 records that a request was sent.
struct Sent {
    shard: u32,
    position: u32,
    length: u32,
    offset: u64,
}

impl Sent {
    fn read(from: &mut Reader) -> std::io::Result<Self> {
        let mut bytes = [0; SENT as usize];
        from.read_exact(&mut bytes)?;
        let (fours, _) = bytes.as_chunks::<4>();
        let four = |at: usize| fours.get(at).copied().map_or(0, u32::from_le_bytes);
        Ok(Self {
            shard: four(0),
            position: four(1),
            length: four(2),
            offset: u64::from(four(3)) | u64::from(four(4)) << 32,
        })
    }
}

struct Conversion<'a> {
    run: &'a RunRecord,
    shards: &'a [ShardRecord],
    to: &'a Files,
    open: HashMap<u32, Open>,
    done: Vec<Option<ShardTables>>,
}

/// Tables of a shard that are not complete yet.
struct Open {
    rows: Writer,
    echo: Writer,
    /// Number of rows that are written, for the positions from 0.
    written: u32,
    /// Rows for later positions, where ordinals do not ascend in the order of the body.
    later: Vec<(u32, Row)>,
    first: u32,
    last: u32,
}

impl Conversion<'_> {
    /// Makes the tables of the shards of one attempt, whose requests come in the order of the
    /// input.
    fn attempt(&mut self, from: &Files, attempt: u32, added: &mut Added) -> Result<()> {
        let name = layout::former::sent(attempt);
        let table = from.open(&name)?;
        let ordinals = (table.size().map_err(spooled)? / SENT) as u32;
        let mut table = Reader::new(table);
        let mut echoes = Reader::new(from.open(layout::former::ECHO)?);
        let mut echo = Echo::default();
        for ordinal in 0..ordinals {
            let sent = Sent::read(&mut table).map_err(spooled)?;
            let is_begun = ordinal < added.begun;
            if is_begun {
                echo.read(&mut echoes).map_err(spooled)?;
            }
            let of = self.shards.get(sent.shard as usize);
            let of = of.ok_or_else(|| damaged(&from.name(&name)))?;
            // The request was sent in another attempt, or not sent again.
            if of.attempt != attempt {
                continue;
            }
            if !is_begun {
                added.read(ordinal, &mut echo)?;
            }
            self.put(of, ordinal, &sent, &echo)?;
        }
        match self.open.is_empty() {
            true => Ok(()),
            false => Err(damaged(&from.name(&name))),
        }
    }

    fn put(&mut self, of: &ShardRecord, ordinal: u32, sent: &Sent, echo: &Echo) -> Result<()> {
        let number = of.key.shard;
        let open = match self.open.entry(number) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let rows = layout::rows(number);
                let echo = echo_name(self.run, number);
                entry.insert(Open {
                    rows: self.to.create_within(&rows, TABLE_BUFFER)?,
                    echo: self.to.create_within(&echo, TABLE_BUFFER)?,
                    written: 0,
                    later: Vec::new(),
                    first: ordinal,
                    last: ordinal,
                })
            }
        };
        let row = Row {
            ordinal,
            length: sent.length,
            offset: sent.offset,
            echo: open.echo.written,
        };
        echo.write(&mut open.echo).map_err(spooled)?;
        open.last = ordinal;
        if open.later.is_empty() && sent.position == open.written {
            open.rows.write_all(&row.to_bytes()).map_err(spooled)?;
            open.written += 1;
        } else {
            open.later.push((sent.position, row));
        }
        if open.written as usize + open.later.len() == of.count as usize
            && let Some(open) = self.open.remove(&number)
        {
            let tables = self.close(open, number)?;
            if let Some(done) = self.done.get_mut(number as usize) {
                *done = Some(tables);
            }
        }
        Ok(())
    }

    fn close(&self, mut open: Open, number: u32) -> Result<ShardTables> {
        let unordered = !open.later.is_empty();
        open.later.sort_unstable_by_key(|(position, _)| *position);
        for (position, row) in open.later {
            if position != open.written {
                return Err(Error::new(ErrorKind::Local).with_message(format!(
                    "the tables of {} do not say where request {position} of shard {number} is",
                    self.run.id
                )));
            }
            open.rows.write_all(&row.to_bytes()).map_err(spooled)?;
            open.written += 1;
        }
        open.rows.sync().map_err(spooled)?;
        open.echo.sync().map_err(spooled)?;
        let stored = |what: &str, writer: &Writer| StoredTable {
            name: self.to.name(what).into(),
            bytes: writer.written,
            checksum: writer.checksum(),
        };
        Ok(ShardTables {
            rows: stored(&layout::rows(number), &open.rows),
            request_data: stored(&echo_name(self.run, number), &open.echo),
            first: open.first,
            last: open.last,
            unordered,
        })
    }
}

/// Returns a name for the echo of a shard that no file of the run in layout 1 has.
fn echo_name(run: &RunRecord, shard: u32) -> String {
    match run.order {
        Some(_) => layout::converted_echo(shard),
        None => layout::echo(shard),
    }
}
