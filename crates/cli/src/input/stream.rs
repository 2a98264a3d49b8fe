//! Inputs that may send nothing for a long time: standard input, FIFOs and terminals.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Size of one read in bytes.
const PIECE: usize = 256 << 10;

/// Number of pieces that are read ahead.
const AHEAD: usize = 2;

/// Interval between two checks for a stop while the input sends nothing.
const LOOK: Duration = Duration::from_millis(20);

/// Input that is read by its own thread, so that waiting for it can be stopped. The thread ends with the
/// input, with the next piece after its reader was dropped, or with the process.
pub(super) struct Stream {
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: Vec<u8>,
    /// Number of consumed bytes of the current piece.
    at: usize,
    is_stopped: Arc<AtomicBool>,
}

impl Stream {
    /// Starts to read. Once `is_stopped` is set, reading fails.
    ///
    /// # Errors
    /// The system's error if no thread can be started.
    pub(super) fn new(
        input: impl Read + Send + 'static,
        is_stopped: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(AHEAD);
        std::thread::Builder::new().spawn(move || pump(input, &sender))?;
        Ok(Self {
            pieces,
            piece: Vec::new(),
            at: 0,
            is_stopped,
        })
    }
}

/// Sends pieces of an input until it ends or the receiver was dropped.
fn pump(mut input: impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut piece = vec![0; PIECE];
        let piece = match input.read(&mut piece) {
            Ok(0) => return,
            Ok(read) => {
                piece.truncate(read);
                Ok(piece)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_over = piece.is_err();
        if sender.send(piece).is_err() || is_over {
            return;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.fill_buf()?;
        let read = piece.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.piece.len() {
            if self.is_stopped.load(Ordering::Relaxed) {
                return Err(io::Error::other("it was stopped"));
            }
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => (self.piece, self.at) = (piece?, 0),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(&self.piece[self.at..])
    }

    fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.piece.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(input: impl Read + Send + 'static) -> (Stream, Arc<AtomicBool>) {
        let is_stopped = Arc::default();
        let stream = Stream::new(input, Arc::clone(&is_stopped)).unwrap();
        (stream, is_stopped)
    }

    #[test]
    fn an_input_is_read_unchanged_to_its_end() {
        let bytes: Vec<u8> = (0..3 * PIECE + 17).map(|at| (at % 251) as u8).collect();
        let (mut stream, _) = stream(io::Cursor::new(bytes.clone()));
        let mut read = Vec::new();
        stream.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn an_input_that_sends_nothing_can_be_stopped() {
        let (silent, _writer) = io::pipe().unwrap();
        let (mut stream, is_stopped) = stream(silent);
        is_stopped.store(true, Ordering::Relaxed);
        assert!(stream.read_until(b'\n', &mut Vec::new()).is_err());
    }

    #[test]
    fn an_error_ends_the_input() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let (mut stream, _) = stream((&b"a line\n"[..]).chain(Broken));
        let mut line = Vec::new();
        assert_eq!(stream.read_until(b'\n', &mut line).unwrap(), 7);
        let error = stream.read_until(b'\n', &mut line).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
