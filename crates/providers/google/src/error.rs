//! Classifies Google's errors by structured reason, status and HTTP status. Pure functions.

use lmbatch_core::{ErrorKind, Retry};
use lmbatch_http::{ApiError, kind_of, retry_delay};
use serde_json::Value;

use crate::wire::{ErrorBody, ErrorObject};

/// Classifies an error by its reasons, then its status word, then the HTTP status; never by its message.
pub(crate) fn classify(
    http: u16,
    status: Option<&str>,
    reason: Option<&str>,
    details: &[Value],
) -> (ErrorKind, Retry) {
    use ErrorKind as Kind;
    use Retry::{Permanent, Temporary};
    match (reason, status) {
        // The request is too long; the status word, if any, is INVALID_ARGUMENT.
        _ if http == 413 => (Kind::InvalidInput, Permanent),
        // A bad key is HTTP 400 INVALID_ARGUMENT with this reason, not 401 (recorded traffic, 2026-08-19).
        (
            Some(
                "API_KEY_INVALID"
                | "API_KEY_SERVICE_BLOCKED"
                | "API_KEY_HTTP_REFERRER_BLOCKED"
                | "API_KEY_IP_ADDRESS_BLOCKED"
                | "SERVICE_DISABLED",
            ),
            _,
        ) => (Kind::ProviderAuth, Permanent),
        // "BILLING_DISABLED: The request is calling a method of a project with billing disabled"
        // (google.api.ErrorReason, 2026).
        (Some("BILLING_DISABLED"), _) => (Kind::Billing, Permanent),
        // "RESOURCE_EXHAUSTED" (HTTP 429): a quota without a wait is one of enqueued tokens or of
        // concurrent batches, which other work frees; one with a wait is a rate (error guide, 2026).
        (_, Some("RESOURCE_EXHAUSTED")) => {
            let is_quota = kinds(details).any(|kind| kind.ends_with("QuotaFailure"));
            if is_quota && delay(details).is_none() {
                (Kind::Quota, Temporary)
            } else {
                (Kind::ProviderRateLimit, Temporary)
            }
        }
        // "NOT_FOUND: models/x is not found for API version v1beta" (HTTP 404): a model, where neither
        // batch nor file was asked for.
        (_, Some("NOT_FOUND")) => (Kind::ModelNotFound, Permanent),
        (_, Some("UNAUTHENTICATED" | "PERMISSION_DENIED")) => (Kind::ProviderAuth, Permanent),
        // "FAILED_PRECONDITION: The free tier is not available in your country" (HTTP 400; same guide).
        (_, Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE")) => {
            (Kind::ProviderInvalidArgs, Permanent)
        }
        (_, Some("UNAVAILABLE")) => (Kind::ProviderOverloaded, Temporary),
        (_, Some("DEADLINE_EXCEEDED")) => (Kind::Timeout, Temporary),
        (_, Some("INTERNAL" | "UNKNOWN" | "ABORTED" | "CANCELLED")) => {
            (Kind::ProviderInternal, Temporary)
        }
        // A proxy's page, or an unknown status word.
        _ => kind_of(http),
    }
}

/// A code of a row or of a failed batch: gRPC's below 100, HTTP's from there (`google.rpc.Code`, 2026).
pub(crate) fn classify_code(code: Option<u16>) -> (ErrorKind, Retry) {
    let status = match code {
        Some(1) => "CANCELLED",
        Some(3) => "INVALID_ARGUMENT",
        Some(4) => "DEADLINE_EXCEEDED",
        Some(5) => "NOT_FOUND",
        Some(7) => "PERMISSION_DENIED",
        Some(8) => "RESOURCE_EXHAUSTED",
        Some(9) => "FAILED_PRECONDITION",
        Some(11) => "OUT_OF_RANGE",
        Some(12) => return (ErrorKind::ProviderInvalidArgs, Retry::Permanent),
        Some(14) => "UNAVAILABLE",
        Some(16) => "UNAUTHENTICATED",
        Some(http @ 100..) => return kind_of(http),
        _ => "INTERNAL",
    };
    classify(500, Some(status), None, &[])
}

/// Classifies the error of a single row by its status word or number. Only errors that are known to be temporary are
/// retried.
pub(crate) fn classify_row(number: Option<u16>, word: Option<&str>) -> (ErrorKind, Retry) {
    let of_word = classify(0, word, None, &[]);
    if of_word != kind_of(0) {
        return of_word;
    }
    if let Some(number) = number {
        return match number {
            // OK, ALREADY_EXISTS, DATA_LOSS, and numbers that the table does not have.
            0 | 6 | 15 | 17..100 => (ErrorKind::GenerationFailed, Retry::Permanent),
            _ => classify_code(Some(number)),
        };
    }
    (ErrorKind::GenerationFailed, Retry::Permanent)
}

/// Classifies an error response.
pub(crate) fn classify_error(http: u16, body: &[u8]) -> ApiError {
    let error = read(body).unwrap_or_default();
    let details = error.details.unwrap_or_default();
    let reason = details
        .iter()
        .find_map(|detail| detail.get("reason")?.as_str());
    let known = classify(http, error.status.as_deref(), reason, &details);
    ApiError {
        recognised: is_own(body),
        code: reason.map(str::to_owned).or(error.status),
        message: error.message,
        retry_after: delay(&details).and_then(retry_delay),
        ..ApiError::new(known)
    }
}

/// Returns true if a body is Google's error object, bare or in a list of one:
/// `{"error": {"code": 400, "message": "…", "status": "INVALID_ARGUMENT"}}` (API error model, 2026). One without
/// the status word comes from before the API.
fn is_own(body: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return false;
    };
    let error = match body.as_array().map(Vec::as_slice) {
        Some([one]) => &one["error"],
        Some(_) => return false,
        None => &body["error"],
    };
    let texts = ["message", "status"];
    error["code"].is_u64() && texts.iter().all(|name| error[name].is_string())
}

/// An error, bare or in a list of one.
fn read(body: &[u8]) -> Option<ErrorObject> {
    // The list first: what reads an object would take one for its members in order.
    if let Ok(list) = serde_json::from_slice::<Vec<ErrorBody>>(body) {
        return list.into_iter().next()?.error;
    }
    serde_json::from_slice::<ErrorBody>(body).ok()?.error
}

fn kinds(details: &[Value]) -> impl Iterator<Item = &str> {
    details
        .iter()
        .filter_map(|detail| detail.get("@type")?.as_str())
}

/// Returns the retry delay, which Google sends in the body: `RetryInfo{retryDelay: "31s"}`.
fn delay(details: &[Value]) -> Option<&str> {
    details
        .iter()
        .find_map(|detail| detail.get("retryDelay")?.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn classified(http: u16, status: &str, details: &Value) -> ApiError {
        let body =
            json!({"error": {"code": http, "message": "m", "status": status, "details": details}});
        classify_error(http, body.to_string().as_bytes())
    }

    #[test]
    fn every_error_has_its_kind() {
        use ErrorKind as Kind;
        use Retry::{Permanent, Temporary};
        let reason = |reason: &str| json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]);
        let quota =
            json!([{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []}]);
        for (http, status, details, expected) in [
            (
                400,
                "INVALID_ARGUMENT",
                json!([]),
                (Kind::ProviderInvalidArgs, Permanent),
            ),
            (
                400,
                "INVALID_ARGUMENT",
                reason("API_KEY_INVALID"),
                (Kind::ProviderAuth, Permanent),
            ),
            (
                400,
                "FAILED_PRECONDITION",
                json!([]),
                (Kind::ProviderInvalidArgs, Permanent),
            ),
            (
                401,
                "UNAUTHENTICATED",
                json!([]),
                (Kind::ProviderAuth, Permanent),
            ),
            (
                403,
                "PERMISSION_DENIED",
                json!([]),
                (Kind::ProviderAuth, Permanent),
            ),
            (
                403,
                "PERMISSION_DENIED",
                reason("BILLING_DISABLED"),
                (Kind::Billing, Permanent),
            ),
            (
                404,
                "NOT_FOUND",
                json!([]),
                (Kind::ModelNotFound, Permanent),
            ),
            (
                429,
                "RESOURCE_EXHAUSTED",
                json!([]),
                (Kind::ProviderRateLimit, Temporary),
            ),
            (429, "RESOURCE_EXHAUSTED", quota, (Kind::Quota, Temporary)),
            (
                499,
                "CANCELLED",
                json!([]),
                (Kind::ProviderInternal, Temporary),
            ),
            (
                500,
                "INTERNAL",
                json!([]),
                (Kind::ProviderInternal, Temporary),
            ),
            (
                503,
                "UNAVAILABLE",
                json!([]),
                (Kind::ProviderOverloaded, Temporary),
            ),
            (
                504,
                "DEADLINE_EXCEEDED",
                json!([]),
                (Kind::Timeout, Temporary),
            ),
            (402, "NEW_WORD", json!([]), (Kind::Billing, Permanent)),
            (413, "NEW_WORD", json!([]), (Kind::InvalidInput, Permanent)),
        ] {
            let found = classified(http, status, &details);
            assert_eq!((found.kind, found.retry), expected, "{http} {status}");
        }
    }

    #[test]
    fn the_retry_delay_is_read_from_the_body() {
        let details = json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s"},
        ]);
        let told = classified(429, "RESOURCE_EXHAUSTED", &details);
        assert_eq!(told.kind, ErrorKind::ProviderRateLimit);
        assert_eq!(told.retry_after, Some(Duration::from_secs(31)));
    }

    #[test]
    fn row_codes_are_grpc_or_http_codes() {
        for (code, kind, retry) in [
            (Some(3), ErrorKind::ProviderInvalidArgs, Retry::Permanent),
            (Some(4), ErrorKind::Timeout, Retry::Temporary),
            (Some(5), ErrorKind::ModelNotFound, Retry::Permanent),
            (Some(7), ErrorKind::ProviderAuth, Retry::Permanent),
            (Some(8), ErrorKind::ProviderRateLimit, Retry::Temporary),
            (Some(12), ErrorKind::ProviderInvalidArgs, Retry::Permanent),
            (Some(13), ErrorKind::ProviderInternal, Retry::Temporary),
            (Some(14), ErrorKind::ProviderOverloaded, Retry::Temporary),
            (Some(16), ErrorKind::ProviderAuth, Retry::Permanent),
            (Some(400), ErrorKind::ProviderInvalidArgs, Retry::Permanent),
            (Some(503), ErrorKind::ProviderOverloaded, Retry::Temporary),
            (None, ErrorKind::ProviderInternal, Retry::Temporary),
        ] {
            assert_eq!(classify_code(code), (kind, retry), "{code:?}");
        }
    }

    #[test]
    fn an_error_is_read_in_any_shape_and_w17_prose_never_decides() {
        for (body, kind, code) in [
            (
                r#"[{"error":{"status":"UNAVAILABLE","message":"API key"}}]"#,
                ErrorKind::ProviderOverloaded,
                Some("UNAVAILABLE"),
            ),
            (
                r#"{"error":{"message":"quota, API key, not found"}}"#,
                ErrorKind::ProviderInternal,
                None,
            ),
            (r#"{"error":null}"#, ErrorKind::ProviderInternal, None),
            (r#"{"error":"m"}"#, ErrorKind::ProviderInternal, None),
            ("<html>", ErrorKind::ProviderInternal, None),
        ] {
            let told = classify_error(500, body.as_bytes());
            assert_eq!((told.kind, told.code.as_deref()), (kind, code), "{body}");
        }
    }

    #[test]
    fn only_an_error_object_of_the_api_is_recognised() {
        for (body, expected) in [
            (r#"{"error":{"code":400,"message":"m","status":"S"}}"#, true),
            (
                r#"[{"error":{"code":400,"message":"m","status":"S","details":[]}}]"#,
                true,
            ),
            (r#"{"error":{"code":400,"message":"m"}}"#, false),
            (
                r#"{"error":{"code":400,"message":"m","status":null}}"#,
                false,
            ),
            (
                r#"{"error":{"code":"400","message":"m","status":"S"}}"#,
                false,
            ),
            (r#"{"error":{"message":"m","status":"S"}}"#, false),
            (r#"{"error":{"code":400,"status":"S"}}"#, false),
            (r#"{"code":400,"message":"m","status":"S"}"#, false),
            (r#"{"error":"m"}"#, false),
            (r#"{"error":{"code":400,"message":"m","status":"S"}"#, false),
            (r#"[]"#, false),
            (
                r#"[{"error":{"code":400,"message":"m","status":"S"}},{}]"#,
                false,
            ),
            ("null", false),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(
                classify_error(400, body.as_bytes()).recognised,
                expected,
                "{body}"
            );
        }
    }
}
