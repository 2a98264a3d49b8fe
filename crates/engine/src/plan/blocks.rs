//! Blocks of encoded requests, which are read and encoded on one thread, and digested and written
//! on another.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use lmbatch_core::{BatchClass, Error, ErrorKind, Result};
use sha2::{Digest as _, Sha256};

use crate::plan::shards::{ShardWriter, WrittenShard};

/// Size in bytes at which a block is full.
const BLOCK: usize = 128 << 10;

/// Size in bytes, such as of a block that holds a video, from which a block is written before the
/// next is filled, so that only one of them is in memory.
const LARGE: usize = 4 << 20;

/// Maximum number of full blocks that wait to be written.
const WAITING: usize = 2;

/// Encoded requests in the order of the input.
#[derive(Default)]
pub(crate) struct Block {
    /// For each request its row, then the fields of its echo.
    bytes: Vec<u8>,
    requests: Vec<Encoded>,
    /// Classes that first occur in this block.
    classes: Vec<BatchClass>,
}

/// Position and sizes of one request in a block.
pub(crate) struct Encoded {
    pub(crate) ordinal: u32,
    /// Number of the class, in the order in which classes first occurred.
    pub(crate) class: usize,
    /// Length of the row in bytes.
    pub(crate) row: usize,
    /// Position of the id in the row where lmbatch assigned it: such an id is left out of the
    /// digest.
    pub(crate) id: Option<Range<usize>>,
    /// Lengths in bytes of the fields of the echo.
    pub(crate) echo: [usize; 3],
}

impl Block {
    /// Returns the buffer to which a row and the fields of its echo are appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds a request whose bytes were appended.
    pub(crate) fn push(&mut self, request: Encoded) {
        self.requests.push(request);
    }

    /// Adds a class before its first request.
    pub(crate) fn push_class(&mut self, class: BatchClass) {
        self.classes.push(class);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK
    }

    /// Empties the block and keeps the memory that an ordinary block needs.
    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * BLOCK);
        self.requests.clear();
        self.classes.clear();
    }
}

/// Digests encoded requests and writes them into shards.
pub(crate) struct BlockWriter<'a> {
    shards: ShardWriter<'a>,
    digest: Sha256,
    /// Classes in the order in which they first occurred, each with its JSON.
    classes: Vec<(BatchClass, Vec<u8>)>,
}

impl<'a> BlockWriter<'a> {
    pub(crate) fn new(shards: ShardWriter<'a>) -> Self {
        Self {
            shards,
            digest: Sha256::new(),
            classes: Vec::new(),
        }
    }

    fn write(&mut self, block: &mut Block) -> Result<()> {
        for class in block.classes.drain(..) {
            let json = serde_json::to_vec(&class).unwrap_or_default();
            self.classes.push((class, json));
        }
        let mut rest = block.bytes.as_slice();
        for request in &block.requests {
            let mut take = |bytes| {
                let (taken, after) = rest.split_at(bytes);
                rest = after;
                taken
            };
            let (row, echo) = (take(request.row), request.echo.map(&mut take));
            let (class, json) = &self.classes[request.class];
            // The id is left out, so that a second reading of the same input has the same digest.
            let (before, after) = match &request.id {
                Some(id) => (&row[..id.start], &row[id.end..]),
                None => (row, &[][..]),
            };
            self.digest.update(json);
            self.digest.update((row.len() as u64).to_le_bytes());
            self.digest.update(before);
            self.digest.update(after);
            for field in echo {
                self.digest.update((field.len() as u64).to_le_bytes());
                self.digest.update(field);
            }
            self.shards.put(class, row, request.ordinal, echo)?;
        }
        Ok(())
    }

    /// Closes the shards and returns them, each complete and synced, with the digest of all requests.
    pub(crate) fn finish(self) -> Result<(Vec<WrittenShard>, Box<str>)> {
        let shards = self.shards.finish()?;
        let bytes = self.digest.finalize();
        let digest: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((shards, digest.into()))
    }
}

/// Hands blocks to their writer, which gets a thread of its own with the first full block: a small
/// input needs none, and neither does a machine with one core.
pub(crate) struct Blocks<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// The writer, until it gets a thread of its own.
    here: Option<BlockWriter<'env>>,
    there: Option<There<'scope, 'env>>,
    /// True if the writer may get a thread.
    may_start: bool,
}

/// Writer on a thread of its own.
struct There<'scope, 'env> {
    full: SyncSender<Block>,
    /// Written blocks, to be filled again.
    empty: Receiver<Block>,
    /// Number of blocks that have not come back.
    away: usize,
    thread: ScopedJoinHandle<'scope, Result<BlockWriter<'env>>>,
}

impl<'scope, 'env> Blocks<'scope, 'env> {
    pub(crate) fn new(scope: &'scope Scope<'scope, 'env>, writer: BlockWriter<'env>) -> Self {
        let cores = std::thread::available_parallelism();
        Self {
            scope,
            here: Some(writer),
            there: None,
            may_start: cores.is_ok_and(|cores| cores.get() > 1),
        }
    }

    /// Hands over a full block and leaves an empty one in its place.
    ///
    /// # Errors
    /// Those of the writer; once the writer has ended on its thread, [`finish`](Self::finish)
    /// returns the reason.
    pub(crate) fn hand_over(&mut self, block: &mut Block) -> Result<()> {
        if std::mem::take(&mut self.may_start) {
            self.start();
        }
        if let Some(there) = &mut self.there {
            return there.hand_over(block);
        }
        let written = self.here.as_mut().map(|writer| writer.write(block));
        block.clear();
        written.unwrap_or_else(|| Err(ended()))
    }

    /// Moves the writer to a thread; it stays where it is if the system cannot start one.
    fn start(&mut self) {
        let (full, blocks) = sync_channel::<Block>(WAITING);
        let (back, empty) = channel();
        let (give, given) = sync_channel::<BlockWriter<'env>>(1);
        let work = move || {
            let mut writer = given.recv().map_err(|_| ended())?;
            for mut block in blocks {
                writer.write(&mut block)?;
                block.clear();
                // After the end of the input no more blocks are needed.
                let _ = back.send(block);
            }
            Ok(writer)
        };
        let thread = std::thread::Builder::new().spawn_scoped(self.scope, work);
        if let (Ok(thread), Some(writer)) = (thread, self.here.take()) {
            // The receiver on the thread waits for the writer.
            let _ = give.send(writer);
            self.there = Some(There {
                full,
                empty,
                away: 0,
                thread,
            });
        }
    }

    /// Writes the last block and returns the writer.
    ///
    /// # Errors
    /// The first error of the writer, for any block.
    pub(crate) fn finish(self, mut block: Block) -> Result<BlockWriter<'env>> {
        if let Some(There { full, thread, .. }) = self.there {
            // A writer that has ended returns its error below.
            let _ = full.send(block);
            drop(full);
            let ended = thread.join();
            return ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        let mut writer = self.here.ok_or_else(ended)?;
        writer.write(&mut block)?;
        Ok(writer)
    }
}

impl There<'_, '_> {
    fn hand_over(&mut self, block: &mut Block) -> Result<()> {
        let is_large = block.bytes.len() >= LARGE;
        self.full.send(std::mem::take(block)).map_err(|_| ended())?;
        self.away += 1;
        while is_large && self.away > 0 {
            *block = self.empty.recv().map_err(|_| ended())?;
            self.away -= 1;
        }
        if let Ok(empty) = self.empty.try_recv() {
            *block = empty;
            self.away -= 1;
        }
        Ok(())
    }
}

/// Returns the error of a writer that accepts no more blocks; [`Blocks::finish`] returns the
/// reason.
fn ended() -> Error {
    Error::new(ErrorKind::Internal).with_message("the writer of the requests has ended")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lmbatch_core::{BatchProvider as _, Nonce};
    use lmbatch_testing::{MemoryProvider, Script, TestClock};

    use super::*;
    use crate::policy::BatchLimit;
    use crate::spool::Files;
    use crate::spool::nowhere::Nowhere;

    /// Returns digest, number, bytes and checksums of the shards of rows with these lengths.
    fn written(rows: &[usize], may_start: bool) -> String {
        let provider = MemoryProvider::new(Arc::new(TestClock::default()), Script::default());
        let nonce = Nonce::parse("r7k2m9x4c1q3").unwrap();
        let files = Files::new(Arc::new(Nowhere), nonce.as_str(), false);
        let limit = BatchLimit::default();
        let shards = ShardWriter::new(provider.codec(), limit, &nonce, &files, 0, []);
        let writer = std::thread::scope(|scope| {
            let mut blocks = Blocks::new(scope, BlockWriter::new(shards));
            blocks.may_start = may_start;
            let mut block = Block::default();
            block.push_class(BatchClass::new("memory", "inline"));
            for (ordinal, bytes) in (0..).zip(rows) {
                let out = block.bytes();
                out.resize(out.len() + bytes, b'a' + ordinal as u8);
                out.extend_from_slice(b"12{}");
                block.push(Encoded {
                    ordinal,
                    class: 0,
                    row: *bytes,
                    id: Some(1..3),
                    echo: [2, 2, 0],
                });
                if block.is_full() {
                    blocks.hand_over(&mut block).unwrap();
                    assert!(block.bytes.is_empty() && block.bytes.capacity() <= LARGE);
                }
            }
            assert_eq!(blocks.there.is_some(), may_start);
            blocks.finish(block).unwrap()
        });
        let (shards, digest) = writer.finish().unwrap();
        format!("{digest} {shards:?}")
    }

    #[test]
    fn a_thread_of_its_own_does_not_change_what_is_written() {
        let rows = [
            10,
            2 * BLOCK,
            3,
            LARGE + 1,
            BLOCK / 2,
            BLOCK / 2,
            BLOCK,
            BLOCK,
            2 * LARGE,
            7,
        ];
        assert_eq!(written(&rows, true), written(&rows, false));
    }
}
