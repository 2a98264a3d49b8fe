//! What an HTTP status means where the body says nothing better.

use lmbatch_core::{Delivery, ErrorKind, Retry};

/// What became of a request that was answered so. No header and no body changes it.
pub fn delivery_of(status: u16) -> Delivery {
    match status {
        400..=405 | 411 | 413..=415 | 422 | 429 | 431 => Delivery::Refused,
        _ => Delivery::Unknown,
    }
}

/// The kind of error, and whether the same call may succeed later.
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
        _ => (ErrorKind::MalformedReply, Retry::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_refusal_is_a_refusal() {
        for status in [
            400, 401, 402, 403, 404, 405, 411, 413, 414, 415, 422, 429, 431,
        ] {
            assert_eq!(delivery_of(status), Delivery::Refused, "{status}");
        }
        for status in [
            200, 302, 307, 408, 409, 425, 499, 500, 502, 503, 504, 520, 529,
        ] {
            assert_eq!(delivery_of(status), Delivery::Unknown, "{status}");
        }
    }

    #[test]
    fn a_status_has_a_kind() {
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
