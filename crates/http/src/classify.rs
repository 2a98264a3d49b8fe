//! Error kind and delivery by HTTP status.

use lmbatch_core::{Delivery, ErrorKind, Retry};

/// Returns the delivery of a request that was answered with this HTTP status. [`Delivery::Refused`] requires both a
/// status that refuses and a body that is the provider's own error object (`recognised`): a proxy may answer
/// with any status after the provider has accepted the request.
pub fn delivery_of(status: u16, recognised: bool) -> Delivery {
    match status {
        400..=405 | 410 | 411 | 413..=415 | 422 | 429 | 431 if recognised => Delivery::Refused,
        _ => Delivery::Unknown,
    }
}

/// Returns the error kind of an HTTP status, and whether a repeated call may succeed.
pub fn kind_of(status: u16) -> (ErrorKind, Retry) {
    match status {
        401 | 403 => (ErrorKind::ProviderAuth, Retry::Permanent),
        402 => (ErrorKind::Billing, Retry::Permanent),
        408 => (ErrorKind::Timeout, Retry::Temporary),
        409 | 425 => (ErrorKind::ProviderInternal, Retry::Temporary),
        413 => (ErrorKind::InvalidInput, Retry::Permanent),
        429 => (ErrorKind::ProviderRateLimit, Retry::Temporary),
        503 | 529 => (ErrorKind::ProviderOverloaded, Retry::Temporary),
        500..=599 => (ErrorKind::ProviderInternal, Retry::Temporary),
        300..=399 => (ErrorKind::ForeignOrigin, Retry::Permanent),
        400..=499 => (ErrorKind::ProviderInvalidArgs, Retry::Permanent),
        _ => (ErrorKind::MalformedResponse, Retry::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_providers_own_error_under_a_refusing_status_is_a_refusal() {
        for status in [
            400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 422, 429, 431,
        ] {
            assert_eq!(delivery_of(status, true), Delivery::Refused, "{status}");
            assert_eq!(delivery_of(status, false), Delivery::Unknown, "{status}");
        }
        for status in [
            200, 302, 307, 408, 409, 425, 499, 500, 502, 503, 504, 520, 529,
        ] {
            assert_eq!(delivery_of(status, true), Delivery::Unknown, "{status}");
        }
    }

    #[test]
    fn each_status_has_a_kind_and_a_retry() {
        for (status, kind, retry) in [
            (400, ErrorKind::ProviderInvalidArgs, Retry::Permanent),
            (401, ErrorKind::ProviderAuth, Retry::Permanent),
            (402, ErrorKind::Billing, Retry::Permanent),
            (408, ErrorKind::Timeout, Retry::Temporary),
            (413, ErrorKind::InvalidInput, Retry::Permanent),
            (429, ErrorKind::ProviderRateLimit, Retry::Temporary),
            (500, ErrorKind::ProviderInternal, Retry::Temporary),
            (502, ErrorKind::ProviderInternal, Retry::Temporary),
            (503, ErrorKind::ProviderOverloaded, Retry::Temporary),
            (529, ErrorKind::ProviderOverloaded, Retry::Temporary),
            (302, ErrorKind::ForeignOrigin, Retry::Permanent),
        ] {
            assert_eq!(kind_of(status), (kind, retry), "{status}");
        }
    }
}
