//! Reads the body of an answer within the time and size limits of its kind.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use lmbatch_core::{ByteStream, Delivery, Error, ErrorKind, ProviderId, Result, Retry};
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

use crate::limits::{Pace, Rules, timed_out};

/// Kind of a body, which decides how long reading it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Results of any length; only silence and speed are limited.
    Transfer,
    /// JSON or an error, complete within `response_timeout`.
    Answer,
    /// JSON that may hold results, up to `max_document_bytes`; the time limit grows with its length.
    Document,
}

/// A body that is being read.
pub(crate) struct Body {
    pieces: BoxStream<'static, reqwest::Result<Bytes>>,
    kind: Kind,
    operation: &'static str,
    provider: ProviderId,
    rules: Arc<Rules>,
    /// Time at which the answer began, on the clock of `rules`.
    began: Duration,
    pace: Pace,
    read: u64,
    announced: Option<u64>,
    /// Encoding that was not requested.
    encoding: Option<String>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl Body {
    pub(crate) fn new(
        response: Response,
        kind: Kind,
        (operation, provider): (&'static str, ProviderId),
        (rules, began): (Arc<Rules>, Duration),
    ) -> Self {
        let headers = response.headers();
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
        Self {
            encoding: encoding(headers).map(|encoding| rules.secrets.fact(&encoding)),
            announced,
            pieces: response.bytes_stream().boxed(),
            kind,
            operation,
            provider,
            rules,
            began,
            pace: Pace::default(),
            read: 0,
        }
    }

    /// Returns the next bytes; `None` at the end. A body that ends before its announced length is an error.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedResponse`] for an encoded or too long body, [`ErrorKind::Timeout`] for a too slow one,
    /// [`ErrorKind::Connection`] for one that is incomplete.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        if let Some(encoding) = &self.encoding {
            let message = format!("it is encoded as {encoding}, which was not requested");
            return Err(self.temporary(ErrorKind::MalformedResponse, message));
        }
        let rules = Arc::clone(&self.rules);
        let limits = &rules.limits;
        let moves = self.kind == Kind::Transfer;
        loop {
            let mut patience = self.pace.patience(limits, moves);
            if let Some(limit) = self.total_limit() {
                let left = limit.saturating_sub(rules.clock.elapsed().saturating_sub(self.began));
                if left.is_zero() {
                    let message = format!("the answer was not complete after {limit:?}");
                    return Err(timed_out(self.operation, &self.provider, message));
                }
                patience = patience.min(left);
            }
            let start = rules.clock.elapsed();
            let Some(piece) = rules.within(patience, self.pieces.next()).await else {
                let why = self.pace.stood(limits, patience, moves);
                match why {
                    Some(why) => return Err(timed_out(self.operation, &self.provider, why)),
                    None => continue,
                }
            };
            let waited = rules.clock.elapsed().saturating_sub(start);
            return match piece {
                Some(Ok(piece)) => self.took(piece, patience, waited).map(Some),
                Some(Err(error)) => Err(self
                    .temporary(ErrorKind::Connection, "the answer broke off")
                    .with_source(error.without_url())),
                None => self.ended(),
            };
        }
    }

    /// Returns the longest time from the beginning of the body to its end.
    fn total_limit(&self) -> Option<Duration> {
        match self.kind {
            Kind::Transfer => None,
            Kind::Answer => Some(self.rules.limits.answer),
            Kind::Document => Some(self.rules.limits.document(self.read)),
        }
    }

    fn took(&mut self, piece: Bytes, patience: Duration, waited: Duration) -> Result<Bytes> {
        let limits = &self.rules.limits;
        self.read = self.read.saturating_add(piece.len() as u64);
        self.pace.moved(patience, waited, piece.len() as u64);
        if self.kind == Kind::Document && self.read > limits.document_bytes {
            let message = format!("it is longer than {} bytes", limits.document_bytes);
            return Err(Error::malformed(message)
                .with_operation(self.operation)
                .with_provider(self.provider.clone()));
        }
        Ok(piece)
    }

    fn ended(&self) -> Result<Option<Bytes>> {
        match self.announced.filter(|bytes| *bytes != self.read) {
            None => Ok(None),
            Some(bytes) => {
                let message = format!("the answer ended after {} of {bytes} bytes", self.read);
                Err(self.temporary(ErrorKind::Connection, message))
            }
        }
    }

    fn temporary(&self, kind: ErrorKind, message: impl Into<Box<str>>) -> Error {
        Error::new(kind)
            .with_operation(self.operation)
            .with_provider(self.provider.clone())
            .with_message(message)
            .with_retry(Retry::Temporary)
            .with_delivery(Delivery::Unknown)
    }

    /// Returns the body as a stream, which ends with the first error.
    pub(crate) fn into_stream(self) -> ByteStream {
        stream::try_unfold(self, |mut body| async move {
            Ok(body.next().await?.map(|piece| (piece, body)))
        })
        .boxed()
    }
}

/// Returns the first encoding other than `identity`. Requests accept only `identity`, and this crate decodes none.
fn encoding(headers: &HeaderMap) -> Option<String> {
    let content = headers.get_all(CONTENT_ENCODING).iter();
    let transfer = headers.get_all(TRANSFER_ENCODING).iter();
    let values = content
        .map(|value| (value, "identity"))
        .chain(transfer.map(|value| (value, "chunked")));
    for (value, plain) in values {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        for word in value.split(',').map(str::trim) {
            let is_plain = ["", "identity", plain]
                .iter()
                .any(|plain| word.eq_ignore_ascii_case(plain));
            if !is_plain {
                return Some(word.to_owned());
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn encodings_other_than_identity_are_found() {
        for (pairs, expected) in [
            (&[][..], None),
            (&[(CONTENT_ENCODING, "identity")], None),
            (&[(CONTENT_ENCODING, "Identity, identity")], None),
            (&[(CONTENT_ENCODING, "")], None),
            (&[(TRANSFER_ENCODING, "chunked")], None),
            (&[(CONTENT_ENCODING, "gzip")], Some("gzip")),
            (&[(CONTENT_ENCODING, "identity, br")], Some("br")),
            (&[(CONTENT_ENCODING, "chunked")], Some("chunked")),
            (&[(TRANSFER_ENCODING, "gzip, chunked")], Some("gzip")),
            (
                &[(CONTENT_ENCODING, "identity"), (CONTENT_ENCODING, "zstd")],
                Some("zstd"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(encoding(&headers).as_deref(), expected, "{pairs:?}");
        }
    }
}
