//! Outcomes as the lines of an output. If two processors are available and the output is not small, two threads
//! take turns to decode and render blocks of requests, while the caller writes the lines in their order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use lmbatch::engine::{AnsweredRequest, OutcomeReader, RunResults};
use lmbatch::{ErrorKind, Problem};

use crate::counts::Counts;
use crate::exit::{Exit, Failure};
use lmbatch_lines::{LineOrigin, OutcomeTable, ProviderLines};

/// Maximum number of rendering threads.
const THREADS: usize = 2;

/// Size in bytes of one piece of lines; a longer line is a piece of its own.
const PIECE: usize = 64 << 10;

/// Maximum number of pieces of one thread that wait to be written.
const WAITING: usize = 4;

/// Target size of a block in bytes of results: a thread renders that much while the lines of another are written.
const BLOCK: u64 = 192 << 10;

/// Maximum number of requests in a block.
const MOST: u64 = 256;

/// Average size of a result in bytes from which only one thread renders, since each thread holds several lines.
const LARGE: u64 = 512 << 10;

/// Form of the outcomes in an output.
#[derive(Debug)]
pub(crate) enum OutcomeForm {
    /// One JSON object per line.
    Lines(LineOrigin),
    /// Rows of a table with a header.
    Table(Box<OutcomeTable>),
    /// Lines of a provider's result files.
    Provider(ProviderLines),
}

impl OutcomeForm {
    /// Returns the bytes before the first outcome.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut header = Vec::new();
        if let Self::Table(table) = self {
            table.write_header(&mut header);
        }
        header
    }

    /// Reports whether the bytes are rows for Parquet.
    pub(crate) fn is_parquet(&self) -> bool {
        matches!(self, Self::Table(table) if table.is_parquet())
    }

    /// Appends an outcome, and counts what the form cannot represent.
    fn write(&self, answered: &AnsweredRequest<'_>, out: &mut Vec<u8>, counts: &mut Counts) {
        match self {
            Self::Lines(origin) => lmbatch_lines::write_outcome(answered, origin, out),
            Self::Table(table) => counts.leave_out(table.write_outcome(answered, out)),
            Self::Provider(lines) => counts.leave_out(lines.write_outcome(answered, out)),
        }
    }
}

/// Outcomes to render, with the options for their lines.
pub(crate) struct Rendering {
    form: OutcomeForm,
    /// Problems that leave an answer usable.
    pub(crate) accept: Vec<Problem>,
    requests: u64,
    /// Number of requests in a block.
    block: u64,
    /// True if the average result has at least [`LARGE`] bytes.
    is_large: bool,
}

/// Rendered lines that wait to be written.
struct Piece {
    lines: Vec<u8>,
    /// True if the block ends with these lines.
    ends_block: bool,
}

/// Channels of the writer to one rendering thread.
struct Channel {
    pieces: Receiver<Piece>,
    /// Returns written buffers to the thread.
    used: SyncSender<Vec<u8>>,
}

/// Channels of one rendering thread to the writer.
struct Renderer {
    pieces: SyncSender<Piece>,
    used: Receiver<Vec<u8>>,
}

impl Rendering {
    pub(crate) fn new(finished: &RunResults, form: OutcomeForm, accept: Vec<Problem>) -> Self {
        let requests = finished.requests();
        let block = BLOCK.saturating_mul(requests) / finished.stored_bytes().max(1);
        Self {
            form,
            accept,
            requests,
            block: block.clamp(1, MOST),
            is_large: finished.stored_bytes() / requests.max(1) >= LARGE,
        }
    }

    /// Returns the number of readers that [`lines`](Self::lines) needs.
    pub(crate) fn readers(&self) -> usize {
        let is_small = self.requests < 2 * THREADS as u64 * self.block;
        let processors = thread::available_parallelism();
        match processors.map_or(1, |count| count.get().min(THREADS)) {
            several if !is_small && !self.is_large => several,
            _ => 1,
        }
    }

    /// Returns the bytes before the first outcome.
    pub(crate) fn header(&self) -> Vec<u8> {
        self.form.header()
    }

    /// Renders every outcome, and passes the lines on in their order. Each of `readers` reads the same outcomes.
    ///
    /// # Errors
    /// The first error of `write` or of a reader; earlier lines were passed on. Ends without an error once `stop` is
    /// set.
    pub(crate) fn lines(
        &self,
        mut readers: Vec<OutcomeReader>,
        stop: &AtomicBool,
        write: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Counts, Failure> {
        if readers.len() > 1 {
            match self.in_turns(readers, stop, write) {
                Ok(done) => return done,
                // No thread could be started; the limit of processes may be reached.
                Err(left) => readers = left,
            }
        }
        let Some(mut reader) = readers.pop() else {
            return Err(lost());
        };
        let (mut counts, mut lines) = (Counts::default(), Vec::with_capacity(PIECE));
        let (all, mut written) = (0..self.requests, Ok(()));
        let rendered = self.render(&mut reader, all, stop, &mut counts, &mut lines, |lines| {
            written = write(lines);
            lines.clear();
            written.is_ok()
        });
        written?;
        write(&lines)?;
        rendered?;
        Ok(counts)
    }

    /// Renders with one thread per reader; returns the readers if a thread cannot be started.
    fn in_turns(
        &self,
        readers: Vec<OutcomeReader>,
        stop: &AtomicBool,
        write: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Result<Counts, Failure>, Vec<OutcomeReader>> {
        let threads = readers.len() as u64;
        thread::scope(|scope| {
            let (mut channels, mut starts, mut workers) = (Vec::new(), Vec::new(), Vec::new());
            for number in 0..threads {
                let (channel, renderer) = channel();
                let (start, started) = sync_channel::<OutcomeReader>(1);
                let work = move || match started.recv() {
                    Ok(reader) => self.share(reader, number, threads, stop, &renderer),
                    Err(_) => Ok(Counts::default()),
                };
                let Ok(worker) = thread::Builder::new().spawn_scoped(scope, work) else {
                    return Err(readers);
                };
                channels.push(channel);
                starts.push(start);
                workers.push(worker);
            }
            for (start, reader) in starts.iter().zip(readers) {
                // A thread that has ended is noticed through its channel.
                let _ = start.send(reader);
            }
            let written = self.written(&channels, write);
            // Threads that still render end when their channel is dropped.
            drop(channels);
            let mut ends = Vec::new();
            for worker in workers {
                ends.push(worker.join().unwrap_or_else(|_| Err(lost())));
            }
            Ok(match written {
                Ok(None) => ends
                    .into_iter()
                    .try_fold(Counts::default(), |mut all, end| {
                        all.merge(end?);
                        Ok(all)
                    }),
                Ok(Some(broken)) => match ends.swap_remove(broken) {
                    Err(failure) => Err(failure),
                    Ok(_) => Err(lost()),
                },
                Err(failure) => Err(failure),
            })
        })
    }

    /// Writes the pieces of all channels in the order of the output. Returns the number of the channel that ended
    /// early, if any.
    fn written(
        &self,
        channels: &[Channel],
        write: &mut impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Option<usize>, Failure> {
        for block in 0..self.requests.div_ceil(self.block) {
            let number = (block % channels.len() as u64) as usize;
            let channel = &channels[number];
            loop {
                let Ok(Piece { lines, ends_block }) = channel.pieces.recv() else {
                    return Ok(Some(number));
                };
                write(&lines)?;
                // The memory of a very long line is freed.
                if lines.capacity() <= 4 * PIECE {
                    let _ = channel.used.try_send(lines);
                }
                if ends_block {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Renders the blocks of one thread.
    fn share(
        &self,
        mut reader: OutcomeReader,
        number: u64,
        threads: u64,
        stop: &AtomicBool,
        renderer: &Renderer,
    ) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        let mut lines = Vec::with_capacity(PIECE);
        let blocks = self.requests.div_ceil(self.block);
        for block in (number..blocks).step_by(threads as usize) {
            let from = block * self.block;
            let positions = from..(from + self.block).min(self.requests);
            let (counts, reader) = (&mut counts, &mut reader);
            let rendered = self.render(reader, positions, stop, counts, &mut lines, |lines| {
                renderer.pass_on(lines, false)
            });
            // Lines that were rendered before an error are written before the error is reported.
            let is_whole = matches!(rendered, Ok(true));
            let is_wanted = renderer.pass_on(&mut lines, is_whole);
            if !rendered? || !is_wanted {
                break;
            }
        }
        Ok(counts)
    }

    /// Renders the requests at the given positions, and passes the lines on in pieces. Returns `false` if no more lines
    /// are wanted.
    fn render(
        &self,
        reader: &mut OutcomeReader,
        positions: Range<u64>,
        stop: &AtomicBool,
        counts: &mut Counts,
        lines: &mut Vec<u8>,
        mut pass_on: impl FnMut(&mut Vec<u8>) -> bool,
    ) -> Result<bool, Failure> {
        reader.limit_to(positions)?;
        while let Some(answered) = reader.next()? {
            if stop.load(Ordering::Relaxed) {
                return Err(Failure::pipe());
            }
            self.form.write(&answered, lines, counts);
            counts.count(&answered, &self.accept);
            if lines.len() >= PIECE && !pass_on(lines) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Renderer {
    /// Passes lines on, and replaces them by an empty buffer. Returns `false` if the writer has ended.
    fn pass_on(&self, lines: &mut Vec<u8>, ends_block: bool) -> bool {
        let mut empty = self.used.try_recv().unwrap_or_default();
        empty.clear();
        let lines = std::mem::replace(lines, empty);
        self.pieces.send(Piece { lines, ends_block }).is_ok()
    }
}

fn channel() -> (Channel, Renderer) {
    let (send_pieces, pieces) = sync_channel(WAITING);
    let (send_used, used) = sync_channel(WAITING + 1);
    let channel = Channel {
        pieces,
        used: send_used,
    };
    let renderer = Renderer {
        pieces: send_pieces,
        used,
    };
    (channel, renderer)
}

/// Returns the failure for a thread that has panicked.
pub(crate) fn lost() -> Failure {
    let kind = ErrorKind::Internal.as_str();
    Failure::new(Exit::Failed, kind, "a worker thread failed")
}

#[cfg(test)]
mod tests;
