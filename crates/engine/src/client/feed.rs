//! Channel that passes the requests of a stream to the planner, which reads them on a thread that may block.

use std::future::Future;
use std::pin::pin;

use futures::future::{Either, select};
use futures::stream::{BoxStream, StreamExt as _};
use lmbatch_core::{Error, ErrorKind, Request, Result};
use tokio::sync::mpsc;

/// Maximum number of requests in one chunk.
const CHUNK: usize = 64;

/// Maximum number of chunks that wait for the planner.
const CHUNKS: usize = 4;

/// Returns a future that reads the stream, and the receiver for the planner's thread. Dropping the future ends the
/// thread, so that a stream that stays open holds no resources.
pub(crate) fn feed(
    requests: BoxStream<'static, Result<Request>>,
) -> (impl Future<Output = ()> + Send, Fed) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let feed = async move {
        let mut chunks = requests.ready_chunks(CHUNK);
        while let Some(chunk) = chunks.next().await {
            if sender.send(Piece::Chunk(chunk)).await.is_err() {
                return;
            }
        }
        // The planner may have stopped at an invalid request.
        let _ = sender.send(Piece::End).await;
    };
    let fed = Fed {
        receiver,
        chunk: Vec::new().into_iter(),
        ended: false,
    };
    (feed, fed)
}

/// Runs the work together with the feed that it reads from. The feed is dropped when the work ends.
pub(crate) async fn while_fed<T>(
    work: impl Future<Output = T>,
    feed: impl Future<Output = ()>,
) -> T {
    match select(pin!(work), pin!(feed)).await {
        Either::Left((done, _)) => done,
        Either::Right(((), work)) => work.await,
    }
}

enum Piece {
    Chunk(Vec<Result<Request>>),
    /// The stream has ended; it was not dropped before its end.
    End,
}

/// Receiver of the requests, which the planner reads.
pub(crate) struct Fed {
    receiver: mpsc::Receiver<Piece>,
    chunk: std::vec::IntoIter<Result<Request>>,
    ended: bool,
}

impl Iterator for Fed {
    type Item = Result<Request>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(request) = self.chunk.next() {
                return Some(request);
            }
            if self.ended {
                return None;
            }
            match self.receiver.blocking_recv() {
                Some(Piece::Chunk(chunk)) => self.chunk = chunk.into_iter(),
                Some(Piece::End) => self.ended = true,
                None => {
                    self.ended = true;
                    let error = Error::new(ErrorKind::Cancelled)
                        .with_message("the stream of requests was dropped before its end");
                    return Some(Err(error));
                }
            }
        }
    }
}
