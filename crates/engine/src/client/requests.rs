//! Requests that a caller passes to a run: an iterator or a stream, of requests or of results.

use futures::{Stream, StreamExt as _, stream::BoxStream};
use lmbatch_core::{Error, Request, Result};

/// Requests that are read one at a time.
///
/// ```
/// # use lmbatch_engine as lmbatch;
/// use lmbatch::{IntoRequests, Requests};
/// let requests: Requests = [("a", "Hello!"), ("b", "Good evening!")].into_requests();
/// ```
pub struct Requests(pub(crate) Source);

pub(crate) enum Source {
    Iterator(Box<dyn Iterator<Item = Result<Request>> + Send>),
    Stream(BoxStream<'static, Result<Request>>),
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::Iterator(_) => "Requests::Iterator",
            Source::Stream(_) => "Requests::Stream",
        })
    }
}

/// Forms of requests that [`IntoRequests`] takes. The compiler chooses among them.
#[expect(
    missing_debug_implementations,
    reason = "markers without a value are never printed"
)]
pub mod form {
    /// An iterator of requests.
    pub enum Iterator {}
    /// An iterator of results, of which the first error ends the run before anything is sent.
    pub enum TryIterator {}
    /// A stream of requests.
    pub enum Stream {}
    /// A stream of results, of which the first error ends the run before anything is sent.
    pub enum TryStream {}
}

/// Conversion of an iterator or a stream into requests.
///
/// Items are requests, pairs of an id and an input, or results of either. Requests are read once, one at a time, and
/// never held in memory together. An iterator is read on a thread that may block.
///
/// ```
/// # mod lmbatch { pub use lmbatch_core::Request; pub use lmbatch_engine::{BatchOperations, Run}; }
/// use lmbatch::Request;
/// use lmbatch::{BatchOperations, Run};
///
/// fn runs(batch: &BatchOperations) -> [Run; 4] {
///     let requests = (0..9).map(|n| Request::new(format!("q{n}"), "Hello!"));
///     [
///         batch.run("pairs").requests([("a", "Hello!")]),
///         batch.run("iterator").requests(requests.clone()),
///         batch.run("stream").requests(futures::stream::iter(requests.clone())),
///         batch.run("lines of a file").requests(requests.map(Ok::<_, std::io::Error>)),
///     ]
/// }
/// ```
pub trait IntoRequests<Form> {
    /// Converts the value.
    fn into_requests(self) -> Requests;
}

impl<I, R> IntoRequests<form::Iterator> for I
where
    I: IntoIterator<Item = R>,
    I::IntoIter: Send + 'static,
    R: Into<Request>,
{
    fn into_requests(self) -> Requests {
        let requests = self.into_iter().map(|request| Ok(request.into()));
        Requests(Source::Iterator(Box::new(requests)))
    }
}

impl<I, R, E> IntoRequests<form::TryIterator> for I
where
    I: IntoIterator<Item = Result<R, E>>,
    I::IntoIter: Send + 'static,
    R: Into<Request>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn into_requests(self) -> Requests {
        let requests = self.into_iter().enumerate();
        let requests = requests.map(|(at, request)| read(at, request));
        Requests(Source::Iterator(Box::new(requests)))
    }
}

impl<S, R> IntoRequests<form::Stream> for S
where
    S: Stream<Item = R> + Send + 'static,
    R: Into<Request>,
{
    fn into_requests(self) -> Requests {
        Requests(Source::Stream(
            self.map(|request| Ok(request.into())).boxed(),
        ))
    }
}

impl<S, R, E> IntoRequests<form::TryStream> for S
where
    S: Stream<Item = Result<R, E>> + Send + 'static,
    R: Into<Request>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn into_requests(self) -> Requests {
        let requests = self.enumerate().map(|(at, request)| read(at, request));
        Requests(Source::Stream(requests.boxed()))
    }
}

fn read<R: Into<Request>, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    at: usize,
    request: Result<R, E>,
) -> Result<Request> {
    request.map(Into::into).map_err(|error| {
        Error::invalid_input(format!(
            "request {} could not be read; nothing was sent",
            at + 1
        ))
        .with_source(error)
    })
}
