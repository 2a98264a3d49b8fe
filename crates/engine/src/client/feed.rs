//! Requests of a stream on their way to the planner, which reads them on a thread that may wait.

use std::future::Future;
use std::pin::pin;

use futures::future::{Either, select};
use futures::stream::{BoxStream, StreamExt as _};
use lmbatch_core::{Error, ErrorKind, Request, Result};
use tokio::sync::mpsc;

/// Requests that are handed over at once.
const CHUNK: usize = 64;

/// Chunks that wait for the planner.
const CHUNKS: usize = 4;

/// A stream that is read where it can be dropped, and the far end of it for the planner's thread. Dropping the
/// feed ends the thread: a stream that stays open holds nothing.
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
        // The planner may have stopped at a bad request.
        let _ = sender.send(Piece::End).await;
    };
    let fed = Fed {
        receiver,
        chunk: Vec::new().into_iter(),
        ended: false,
    };
    (feed, fed)
}

/// Does the work, which reads what is fed to it. The feed ends with the work.
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
    /// The stream has ended; it was not given up.
    End,
}

/// Requests as the planner reads them.
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
                        .with_message("the requests were given up before their end");
                    return Some(Err(error));
                }
            }
        }
    }
}
