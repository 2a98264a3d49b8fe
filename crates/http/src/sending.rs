//! Sends a request and waits for its answer; a request that makes no progress fails.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use lmbatch_core::{ByteStream, Delivery, Error, ErrorKind, ProviderId, Retry};
use reqwest::{RequestBuilder, Response};

use crate::limits::{Rules, timed_out, too_slow};

/// Counts the bytes of a request's body that the HTTP client has taken for sending.
#[derive(Debug)]
pub(crate) struct Meter {
    total: u64,
    taken: AtomicU64,
    /// Time of the last piece, in milliseconds on the clock of the rules.
    last: AtomicU64,
    given_up: AtomicBool,
}

impl Meter {
    pub(crate) fn new(total: u64) -> Arc<Self> {
        Arc::new(Self {
            total,
            taken: AtomicU64::new(0),
            last: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
        })
    }

    /// Returns true if the whole body was taken for sending. Otherwise the provider cannot have acted on it.
    fn is_complete(&self) -> bool {
        self.taken.load(Ordering::SeqCst) >= self.total
    }

    /// Returns the body with its bytes counted. After the request has failed no more of it is sent. Each piece is
    /// counted before that check: either the request counts as complete, or the piece is not sent.
    pub(crate) fn count(self: &Arc<Self>, rules: &Arc<Rules>, body: ByteStream) -> ByteStream {
        let (meter, rules) = (Arc::clone(self), Arc::clone(rules));
        body.and_then(move |piece| {
            meter.taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
            meter
                .last
                .store(millis(rules.clock.elapsed()), Ordering::SeqCst);
            let given_up = meter.given_up.load(Ordering::SeqCst);
            std::future::ready(match given_up {
                true => Err(Error::new(ErrorKind::Timeout)),
                false => Ok(piece),
            })
        })
        .boxed()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Sends a request and returns when its answer begins.
///
/// # Errors
/// [`ErrorKind::Timeout`] after `read_timeout` in which no byte of the body was taken and no answer began, or
/// for a body that is taken more slowly than the least speed; otherwise errors of the connection. The error's delivery
/// tells if the provider may have acted. [`ErrorKind::Unsupported`] outside of a Tokio runtime with timers and I/O.
pub(crate) async fn answer_to(
    request: RequestBuilder,
    meter: &Meter,
    rules: &Rules,
    (operation, provider): (&'static str, &ProviderId),
) -> Result<Response, Error> {
    lmbatch_runtime::check().map_err(|error| {
        error
            .with_operation(operation)
            .with_provider(provider.clone())
    })?;
    let (limits, window) = (&rules.limits, rules.limits.upload_window());
    let mut sending = pin!(request.send());
    let (mut window_began, mut taken_before) = (rules.clock.elapsed(), 0);
    meter.last.store(millis(window_began), Ordering::SeqCst);
    let why = loop {
        let last = Duration::from_millis(meter.last.load(Ordering::SeqCst));
        let silent_at = last.saturating_add(limits.silence);
        let mut due = silent_at;
        if let Some(window) = window.filter(|_| !meter.is_complete()) {
            due = due.min(window_began.saturating_add(window));
        }
        let now = rules.clock.elapsed();
        // One more millisecond, since the time of the last piece is rounded down to milliseconds.
        let wait = due
            .saturating_sub(now)
            .saturating_add(Duration::from_millis(1));
        if let Some(sent) = rules.within(wait, &mut sending).await {
            let complete = meter.is_complete();
            return sent
                .map_err(|error| failed(operation, provider, complete, error.without_url()));
        }
        let now = rules.clock.elapsed();
        let last = Duration::from_millis(meter.last.load(Ordering::SeqCst));
        if now >= last.saturating_add(limits.silence) {
            let waited = limits.silence;
            break match meter.is_complete() {
                true => format!("no answer began within {waited:?}"),
                false => format!("nothing was taken for {waited:?}"),
            };
        }
        if let Some(window) = window.filter(|_| !meter.is_complete())
            && now >= window_began.saturating_add(window)
        {
            let taken = meter.taken.load(Ordering::SeqCst);
            if taken - taken_before < limits.least_bytes(window) {
                break too_slow("were taken", limits, window);
            }
            (window_began, taken_before) = (now, taken);
        }
    };
    meter.given_up.store(true, Ordering::SeqCst);
    Err(timed_out(operation, provider, why).with_delivery(delivery(meter.is_complete())))
}

fn delivery(complete: bool) -> Delivery {
    match complete {
        true => Delivery::Unknown,
        false => Delivery::NotSent,
    }
}

/// Creates the error of a request without an answer. If the body was never complete, the provider cannot have acted on
/// it.
fn failed(
    operation: &'static str,
    provider: &ProviderId,
    complete: bool,
    error: reqwest::Error,
) -> Error {
    let sent = complete && !error.is_connect() && !error.is_builder();
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Connection
    };
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(one) = cause {
        text = one.to_string();
        cause = one.source();
    }
    // A retry does not make a certificate valid.
    let retry = if text.contains("certificate") {
        Retry::Permanent
    } else {
        Retry::Temporary
    };
    Error::new(kind)
        .with_operation(operation)
        .with_provider(provider.clone())
        .with_message(text)
        .with_retry(retry)
        .with_delivery(delivery(sent))
        .with_source(error)
}
