//! Classifies Anthropic's errors by structured code, type and HTTP status. Pure functions.

use std::borrow::Cow;

use lmbatch_core::{ErrorKind, JsonView, Outline, Retry, Text};
use lmbatch_http::{ApiError, kind_of};
use serde_json::Value;

use crate::wire::{ErrorBody, ErrorDetails, ErrorObject};

/// Classifies an error by its code, then its type, then the HTTP status; never by its message.
pub(crate) fn classify(status: u16, kind: Option<&str>, code: Option<&str>) -> (ErrorKind, Retry) {
    use ErrorKind as Kind;
    use Retry::{Permanent, Temporary};
    match (code, kind) {
        // "details.error_code: enforced_spend_limit_reached": HTTP 429 without retry-after, never succeeds
        // until the first of next month (rate limits page, 2026-08).
        (Some("enforced_spend_limit_reached"), _) => (Kind::Billing, Permanent),
        // Codes of the create (SDK 2.12.0, 2026-11): the user has to act.
        (
            Some(
                "organization_on_hold" | "cmek_key_disabled" | "claude_code_key_creator_not_member",
            ),
            _,
        ) => (Kind::ProviderAuth, Permanent),
        // "authentication_error: There's an issue with your API key", "permission_error: Your API key does
        // not have permission to use the specified resource" (errors page, 2026-08).
        (_, Some("authentication_error" | "permission_error")) => (Kind::ProviderAuth, Permanent),
        // "billing_error: There's an issue with your billing or payment information" (HTTP 402; same page).
        (_, Some("billing_error")) => (Kind::Billing, Permanent),
        // "not_found_error: The requested resource was not found": a model, where no batch was asked for.
        (_, Some("not_found_error")) => (Kind::ModelNotFound, Permanent),
        // "request_too_large: Request exceeds the maximum allowed number of bytes" (HTTP 413; same page).
        (_, Some("request_too_large")) => (Kind::InvalidInput, Permanent),
        // "rate_limit_error: Your account has hit a rate limit" (HTTP 429; same page).
        (_, Some("rate_limit_error")) => (Kind::ProviderRateLimit, Temporary),
        // "overloaded_error: The API is temporarily overloaded" (HTTP 529; same page).
        (_, Some("overloaded_error")) => (Kind::ProviderOverloaded, Temporary),
        // "api_error: An unexpected error has occurred internal to Anthropic's systems" (HTTP 500; same page).
        (_, Some("api_error")) => (Kind::ProviderInternal, Temporary),
        // "timeout_error" (HTTP 504; SDK 2.12.0).
        (_, Some("timeout_error")) => (Kind::Timeout, Temporary),
        // "conflict_error" (HTTP 409; SDK 2.12.0 retries it).
        (_, Some("conflict_error")) => (Kind::ProviderInternal, Temporary),
        // "invalid_request_error: There was an issue with the format or content of your request" (HTTP 400).
        (_, Some("invalid_request_error")) => (Kind::ProviderInvalidArgs, Permanent),
        // A proxy's page, or an unknown type. A missing path is not a missing model.
        _ => kind_of(status),
    }
}

/// Classifies an error response.
pub(crate) fn classify_error(status: u16, body: &[u8]) -> ApiError {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let mut outline = Outline::new();
    let said = outline.read(text).map(said_in_body).unwrap_or_default();
    let known = classify(status, said.kind.as_deref(), said.code.as_deref());
    ApiError {
        recognised: is_own(text),
        code: said.code.or(said.kind).map(Cow::into_owned),
        message: said.message.map(|message| message.decode().into_owned()),
        ..ApiError::new(known)
    }
}

/// Returns true if a body is Anthropic's error object:
/// `{"type": "error", "error": {"type": "…", "message": "…"}, "request_id": "…"}` (errors page, 2026-08).
fn is_own(body: &str) -> bool {
    let Ok(body) = serde_json::from_str::<Value>(body) else {
        return false;
    };
    let error = &body["error"];
    body["type"] == "error" && error["type"].is_string() && error["message"].is_string()
}

/// Members of an error, as Anthropic sends them.
#[derive(Default)]
pub(crate) struct Said<'a> {
    /// The value of `error.type`.
    pub(crate) kind: Option<Cow<'a, str>>,
    /// The value of `error.details.error_code`.
    pub(crate) code: Option<Cow<'a, str>>,
    /// HTTP status that the error holds, also as its code or its type.
    pub(crate) status: Option<u16>,
    pub(crate) message: Option<Text<'a>>,
}

/// Reads the error of a body, also where it is nested once more or stands in the body itself.
pub(crate) fn said_in_body(body: JsonView<'_>) -> Said<'_> {
    let mut error = body;
    // `result.error.error` of a row; a proxy adds one.
    for _ in 0..3 {
        let inner = error.read::<ErrorBody<'_>>();
        match inner.and_then(|body| body.error.raw()) {
            Some(inner) => error = inner,
            None => break,
        }
    }
    said(error)
}

fn said(error: JsonView<'_>) -> Said<'_> {
    if !error.is_object() {
        if let Some(first) = error.values().next() {
            return said_in_body(first);
        }
        return Said {
            message: error.text(),
            ..Said::default()
        };
    }
    let object = error.read::<ErrorObject<'_>>().unwrap_or_default();
    let details = object.details.read::<ErrorDetails<'_>>();
    let code = details.and_then(|details| details.error_code.scalar_text());
    let statuses = [object.status, object.code, object.r#type].into_iter();
    let mut statuses = statuses.filter_map(lmbatch_http::whole_member);
    let status = statuses.find(|status| (400..600).contains(status));
    Said {
        status: status.and_then(|status| status.try_into().ok()),
        // The word around an error is no type of one.
        kind: object.r#type.scalar_text().filter(|kind| kind != "error"),
        code: code.or(object.code.scalar_text()),
        message: object.message.text().or(object.detail.text()),
    }
}

/// Classifies the error of a single row, which has no HTTP status. Only types and codes that are known to be
/// temporary are retried: "anything but invalid_request_error can be sent again as it is" (batch guide,
/// 2026-08) speaks of Anthropic's own types, which are all known.
pub(crate) fn classify_row(said: &Said<'_>) -> (ErrorKind, Retry) {
    let known = classify(0, said.kind.as_deref(), said.code.as_deref());
    if known != kind_of(0) {
        return known;
    }
    match said.status {
        Some(status) => kind_of(status),
        None => (ErrorKind::GenerationFailed, Retry::Permanent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_kind() {
        use ErrorKind as Kind;
        use Retry::{Permanent, Temporary};
        let spend = Some("enforced_spend_limit_reached");
        for (status, kind, code, expected) in [
            (
                400,
                Some("invalid_request_error"),
                None,
                (Kind::ProviderInvalidArgs, Permanent),
            ),
            (
                401,
                Some("authentication_error"),
                None,
                (Kind::ProviderAuth, Permanent),
            ),
            (402, Some("billing_error"), None, (Kind::Billing, Permanent)),
            (402, None, None, (Kind::Billing, Permanent)),
            (
                403,
                Some("permission_error"),
                None,
                (Kind::ProviderAuth, Permanent),
            ),
            (
                403,
                None,
                Some("organization_on_hold"),
                (Kind::ProviderAuth, Permanent),
            ),
            (
                404,
                Some("not_found_error"),
                None,
                (Kind::ModelNotFound, Permanent),
            ),
            (404, None, None, (Kind::ProviderInvalidArgs, Permanent)),
            (408, None, None, (Kind::Timeout, Temporary)),
            (
                409,
                Some("conflict_error"),
                None,
                (Kind::ProviderInternal, Temporary),
            ),
            (
                413,
                Some("request_too_large"),
                None,
                (Kind::InvalidInput, Permanent),
            ),
            (413, None, None, (Kind::InvalidInput, Permanent)),
            (
                429,
                Some("rate_limit_error"),
                None,
                (Kind::ProviderRateLimit, Temporary),
            ),
            (
                429,
                Some("rate_limit_error"),
                spend,
                (Kind::Billing, Permanent),
            ),
            (
                500,
                Some("api_error"),
                None,
                (Kind::ProviderInternal, Temporary),
            ),
            (502, None, None, (Kind::ProviderInternal, Temporary)),
            (504, Some("timeout_error"), None, (Kind::Timeout, Temporary)),
            (
                529,
                Some("overloaded_error"),
                None,
                (Kind::ProviderOverloaded, Temporary),
            ),
            (529, None, None, (Kind::ProviderOverloaded, Temporary)),
        ] {
            assert_eq!(
                classify(status, kind, code),
                expected,
                "{status} {kind:?} {code:?}"
            );
        }
    }

    #[test]
    fn w17_prose_never_decides() {
        let body = br#"{"type":"error","error":{"type":"api_error","message":"model not found: rate limit, api key"}}"#;
        assert_eq!(classify_error(500, body).kind, ErrorKind::ProviderInternal);
    }

    #[test]
    fn an_error_is_read_in_any_shape() {
        for (body, code, message) in [
            (
                r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#,
                Some("t"),
                Some("m"),
            ),
            (
                r#"{"error":{"type":"t","message":"m","details":{"error_code":"c"}}}"#,
                Some("c"),
                Some("m"),
            ),
            (
                r#"{"error":{"type":"t","message":"m","details":[]}}"#,
                Some("t"),
                Some("m"),
            ),
            (r#"{"error":"m"}"#, None, Some("m")),
            (r#"{"error":null}"#, None, None),
            ("<html>", None, None),
        ] {
            let told = classify_error(500, body.as_bytes());
            assert_eq!(
                (told.code.as_deref(), told.message.as_deref()),
                (code, message),
                "{body}"
            );
        }
    }

    #[test]
    fn only_an_error_object_of_the_api_is_recognised() {
        for (body, expected) in [
            (
                r#"{"type":"error","error":{"type":"t","message":"m"},"request_id":"r"}"#,
                true,
            ),
            (
                r#"{"type":"error","error":{"type":"t","message":"m"}}"#,
                true,
            ),
            (r#"{"error":{"type":"t","message":"m"}}"#, false),
            (r#"{"type":"error","error":{"type":"t"}}"#, false),
            (r#"{"type":"error","error":{"message":"m"}}"#, false),
            (
                r#"{"type":"error","error":{"type":null,"message":"m"}}"#,
                false,
            ),
            (r#"{"type":"error","error":"m"}"#, false),
            (r#"{"type":"error","message":"m"}"#, false),
            (r#"{"message":"Forbidden"}"#, false),
            (
                r#"{"type":"error","error":{"type":"t","message":"m"}"#,
                false,
            ),
            (
                r#"[{"type":"error","error":{"type":"t","message":"m"}}]"#,
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
