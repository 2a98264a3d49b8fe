//! Acme's errors, and the way broken adapters read them.

use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Result, Retry};
use lmbatch_http::{ApiError, kind_of};
use serde_json::Value;

use super::adapter::{Acme, client};
use super::http::{Exchange, Reply};

pub(super) fn classify_error(status: u16, body: &[u8]) -> ApiError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = body["error"]["words"].as_str().map(str::to_owned);
    ApiError {
        recognised: words.is_some() && body["error"]["status"].is_u64(),
        message: words,
        ..ApiError::new(kind_of(status))
    }
}

impl Acme {
    /// Sends a call other than a create; a broken adapter follows redirects.
    pub(super) async fn ask(&self, exchange: Exchange, path: &str) -> Result<Reply> {
        let (wanders, hears_badly) = (
            self.broken("a_redirect_of_other_calls_is_not_followed"),
            self.broken("an_invalid_retry_after_is_ignored"),
        );
        if !wanders && !hears_badly {
            return self.told(exchange.ask(self.teller()).await);
        }
        let reply = exchange.send().await?;
        if hears_badly {
            let soon = reply.header("retry-after") == Some("soon");
            return reply.accept(classify_error).map_err(|error| match soon {
                true => error.with_retry_after(Duration::ZERO),
                false => error,
            });
        }
        match reply.header("location").map(str::to_owned) {
            Some(to) => {
                client(&to, Some(&self.key))
                    .get(path)
                    .ask(classify_error)
                    .await
            }
            None => reply.accept(classify_error),
        }
    }

    pub(super) fn teller(&self) -> lmbatch_http::ErrorClassifier {
        if self.broken("a_4xx_without_the_providers_own_error_may_have_been_delivered") {
            return |status, body| ApiError {
                recognised: true,
                ..classify_error(status, body)
            };
        }
        if self.broken("any error object is taken for the provider's own") {
            return |status, body| ApiError {
                recognised: serde_json::from_slice(body)
                    .is_ok_and(|body: Value| body["error"].is_object()),
                ..classify_error(status, body)
            };
        }
        if self.broken("an_error_does_not_quote_an_html_page") {
            // A broken adapter takes an HTML page for the provider's error code.
            return |status, body| ApiError {
                code: body
                    .starts_with(b"<")
                    .then(|| String::from_utf8_lossy(body).into_owned()),
                ..classify_error(status, body)
            };
        }
        classify_error
    }

    pub(super) fn told(&self, reply: Result<Reply>) -> Result<Reply> {
        reply.map_err(|error| self.distort(error))
    }

    /// Returns the error as a broken adapter reports it.
    pub(super) fn distort(&self, error: Error) -> Error {
        let temporary = error.retry() == Retry::Temporary;
        match (self.breaks.unwrap_or_default(), error.http_status()) {
            ("an_error_does_not_quote_the_response_body", _) => {
                let words = error.provider_message().unwrap_or_default().to_owned();
                error.with_message(words)
            }
            ("a_401_is_a_permanent_authentication_error", Some(401))
            | ("a_403_is_a_permanent_permission_error", Some(403))
            | ("a_413_is_a_permanent_input_error", Some(413)) => error.with_retry(Retry::Temporary),
            ("a_4xx_with_the_providers_own_error_is_a_refusal", Some(422)) => {
                error.with_delivery(Delivery::Unknown)
            }
            ("a_408_may_have_been_delivered", Some(408))
            | ("a_409_may_have_been_delivered", Some(409)) => {
                error.with_delivery(Delivery::Refused)
            }
            ("a_429_is_a_temporary_rate_limit", Some(429))
            | ("a_500_is_temporary_and_may_have_been_delivered", Some(500))
            | ("a_502_with_an_html_page_is_temporary_and_may_have_been_delivered", Some(502))
                if temporary =>
            {
                error.with_retry(Retry::Permanent)
            }
            ("a_503_is_an_overload_and_may_have_been_delivered", Some(503))
            | ("a_529_is_an_overload_and_may_have_been_delivered", Some(529)) => {
                error.with_kind(ErrorKind::ProviderInternal)
            }
            ("retry_after_in_seconds_is_returned", Some(429)) => match error.retry_after() {
                Some(wait) if wait == Duration::from_secs(7) => {
                    error.with_retry_after(Duration::from_millis(7))
                }
                _ => error,
            },
            ("retry_after_as_a_date_is_relative_to_the_date_of_the_server", Some(429)) => {
                match error.retry_after() {
                    Some(wait) if wait == Duration::from_secs(37) => {
                        error.with_retry_after(Duration::from_secs(3600))
                    }
                    _ => error,
                }
            }
            ("retry_after_in_milliseconds_is_not_read_as_seconds", Some(429)) => {
                match error.retry_after() {
                    Some(wait) if wait == Duration::from_millis(1500) => {
                        error.with_retry_after(Duration::from_secs(1500))
                    }
                    _ => error,
                }
            }
            ("without_retry_after_no_delay_is_returned", Some(429)) => match error.retry_after() {
                None => error.with_retry_after(Duration::from_secs(60)),
                Some(_) => error,
            },
            ("an_error_names_the_provider_and_the_operation", Some(status)) => {
                let bare = Error::new(error.kind())
                    .with_retry(error.retry())
                    .with_delivery(error.delivery())
                    .with_http_status(status);
                match error.retry_after() {
                    Some(wait) => bare.with_retry_after(wait),
                    None => bare,
                }
            }
            _ => error,
        }
    }
}
