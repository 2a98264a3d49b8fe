//! Classifies OpenAI's errors by structured code and HTTP status. Pure functions.

use std::borrow::Cow;

use lmbatch_core::{ErrorKind, JsonView, Outline, Retry, Text};
use lmbatch_http::{ApiError, kind_of};
use serde_json::Value;

use crate::chat::Dialect;
use crate::wire::{ErrorBody, ErrorObject};

/// Classifies an error by its code, then by its HTTP status; never by its message.
pub(crate) fn classify(status: u16, code: Option<&str>) -> (ErrorKind, Retry) {
    use ErrorKind as Kind;
    use Retry::{Permanent, Temporary};
    match code {
        // "Incorrect API key provided" (HTTP 401; third-party live capture, 2026-09-02).
        Some("invalid_api_key" | "no_organization") => (Kind::ProviderAuth, Permanent),
        // "You exceeded your current quota, please check your plan and billing details" (HTTP 429);
        // waiting does not help (OpenAI error guide, 2026).
        Some("insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active") => {
            (Kind::Billing, Permanent)
        }
        // "The model `x` does not exist or you do not have access to it" (HTTP 404, and line errors of a batch).
        Some("model_not_found") => (Kind::ModelNotFound, Permanent),
        // "This model's maximum context length is …" (HTTP 400).
        Some("context_length_exceeded") => (Kind::ContextOverflow, Permanent),
        // "Enqueued token limit reached for … Please try again once some in_progress batches have been
        // completed" (batch errors; third-party live capture, 2026-09-02).
        Some("token_limit_exceeded") => (Kind::Quota, Temporary),
        Some("rate_limit_exceeded" | "requests" | "tokens") => (Kind::ProviderRateLimit, Temporary),
        Some("server_error") => (Kind::ProviderInternal, Temporary),
        // "Your request was rejected as a result of our safety system", with any type or status
        // (OpenAI error guide, 2026).
        Some(
            "content_policy_violation" | "content_filter" | "moderation_blocked" | "invalid_prompt",
        ) => (Kind::ProviderInvalidArgs, Permanent),
        _ => kind_of(status),
    }
}

/// Classifies an error by the codes of a dialect, then by those of OpenAI and the HTTP status.
pub(crate) fn classify_as(
    status: u16,
    code: Option<&str>,
    dialect: &Dialect,
) -> (ErrorKind, Retry) {
    let mut own = dialect.errors.codes.iter();
    let known = code.and_then(|code| own.find(|(own, ..)| *own == code));
    known.map_or_else(
        || classify(status, code),
        |(_, kind, retry)| (*kind, *retry),
    )
}

/// Classifies an error response.
pub(crate) fn classify_error(status: u16, body: &[u8]) -> ApiError {
    classify_error_as(status, body, &Dialect::OPENAI)
}

/// Classifies an error response of a service with the given dialect.
pub(crate) fn classify_error_as(status: u16, body: &[u8], dialect: &Dialect) -> ApiError {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let mut outline = Outline::new();
    let said = outline.read(text).map(|body| said_as(body, dialect));
    let said = said.unwrap_or_default();
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let is_flat = dialect.errors.flat && value["code"].is_string() && value["error"].is_string();
    let is_detail = dialect.errors.detail && status == 422 && is_detail(&value["detail"]);
    ApiError {
        recognised: is_own(&value) || is_flat || is_detail,
        code: said.code.as_deref().map(str::to_owned),
        message: said.message.map(|message| message.decode().into_owned()),
        ..ApiError::new(classify_as(status, said.code.as_deref(), dialect))
    }
}

/// Returns true if a value is FastAPI's list of validation errors: `[{"loc": […], "msg": "…"}]`.
fn is_detail(detail: &Value) -> bool {
    let is_one = |one: &Value| one["loc"].is_array() && one["msg"].is_string();
    let list = detail.as_array();
    list.is_some_and(|list| !list.is_empty() && list.iter().all(is_one))
}

/// Returns true if a body is the error object of OpenAI or a compatible server: `error` is an object with a
/// text as its `message` and with a `type` or a `code`, of any value (OpenAI error guide, 2026; vLLM,
/// Groq, Together and LiteLLM send the same), or `object` is "error" and it holds the message itself (older
/// vLLM, Mistral). Any proxy may send a bare string, or `detail` or `message` alone.
fn is_own(body: &Value) -> bool {
    let says = |error: &Value| error["message"].is_string();
    let error = &body["error"];
    let nested = says(error) && (error.get("type").is_some() || error.get("code").is_some());
    nested || (body["object"] == "error" && says(body))
}

/// Classifies the error of a batch that failed validation: its kind, and whether it may be created again.
pub(crate) fn classify_batch(code: Option<&str>, param: Option<&str>) -> (ErrorKind, Retry) {
    match (code, param) {
        // "Cannot find file …, or organization … does not have access to it": came for hours in August
        // and September 2026 for files that were there (one public report, 2026-09).
        (_, Some("file_id" | "input_file_id")) => (ErrorKind::FileNotFound, Retry::Temporary),
        // Everything else is about lines, and stays as it is: invalid_json_line, duplicate_custom_id,
        // missing_required_parameter, mismatched_model, invalid_url (third-party live capture, 2026-09-02).
        _ => match classify(400, code) {
            (ErrorKind::ProviderInvalidArgs, retry) => (ErrorKind::InvalidInput, retry),
            known => known,
        },
    }
}

/// Classifies the error of a single row, which has no HTTP status of its own: by its code, then the status that it
/// holds, then its type. Only errors listed here as temporary are retried; unknown ones are not.
pub(crate) fn classify_row(said: &Said<'_>, dialect: &Dialect) -> (ErrorKind, Retry) {
    let unknown = (ErrorKind::GenerationFailed, Retry::Permanent);
    let known = classify_as(0, said.code.as_deref(), dialect);
    if known != kind_of(0) {
        return known;
    }
    if let Some(status) = said.status {
        return kind_of(status);
    }
    // Types of vLLM, LiteLLM and OpenAI (vLLM 0.11 `protocol.py`, 2026-09; LiteLLM 1.79 `exceptions.py`,
    // 2026-10; OpenAI error guide, 2026).
    match said.kind.as_deref() {
        Some(
            "server_error" | "InternalServerError" | "internal_error" | "internal_server_error",
        ) => (ErrorKind::ProviderInternal, Retry::Temporary),
        Some("overloaded_error" | "ServiceUnavailableError" | "service_unavailable") => {
            (ErrorKind::ProviderOverloaded, Retry::Temporary)
        }
        Some("rate_limit_error" | "RateLimitError" | "rate_limit_exceeded") => {
            (ErrorKind::ProviderRateLimit, Retry::Temporary)
        }
        Some("invalid_request_error" | "BadRequestError" | "UnprocessableEntityError") => {
            (ErrorKind::ProviderInvalidArgs, Retry::Permanent)
        }
        Some("NotFoundError" | "not_found_error") => (ErrorKind::ModelNotFound, Retry::Permanent),
        Some("authentication_error" | "AuthenticationError" | "permission_error") => {
            (ErrorKind::ProviderAuth, Retry::Permanent)
        }
        _ => unknown,
    }
}

/// Code, type, status and message of an error in any shape: an object, a string, a list, or nothing
/// that can be read.
#[derive(Default)]
pub(crate) struct Said<'a> {
    /// A string, or a number as it is written.
    pub(crate) code: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Cow<'a, str>>,
    /// HTTP status that the error itself holds, also as its code.
    pub(crate) status: Option<u16>,
    pub(crate) message: Option<Text<'a>>,
}

impl Said<'_> {
    /// Returns whether it says nothing; an empty message is none.
    pub(crate) fn is_nothing(&self) -> bool {
        let message = self.message.filter(|message| !message.is_empty());
        self.code.is_none() && message.is_none() && self.kind.is_none()
    }

    /// The error with each fact that it lacks taken from another.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            code: self.code.or(other.code),
            kind: self.kind.or(other.kind),
            status: self.status.or(other.status),
            message: self.message.or(other.message),
        }
    }
}

/// Reads the error of a body, wherever it stands: `error`, the first of `errors`, `detail`, or the body
/// itself.
pub(crate) fn said_in_body(body: JsonView<'_>) -> Said<'_> {
    let Some(found) = body.read::<ErrorBody<'_>>() else {
        return said(body);
    };
    let mut places = [found.error, found.errors, found.detail].into_iter();
    let within = places.find_map(|place| {
        let said = said(place.raw()?);
        (!said.is_nothing()).then_some(said)
    });
    within.unwrap_or_else(|| of_object(body))
}

/// Reads the error of a body in the form of a dialect: flat errors have their code beside the words,
/// `{"code": "…", "error": "…"}`.
pub(crate) fn said_as<'a>(body: JsonView<'a>, dialect: &Dialect) -> Said<'a> {
    let mut said = said_in_body(body);
    let flat_code = || {
        let found = body.read::<ErrorBody<'_>>()?;
        let object = body.read::<ErrorObject<'a>>()?;
        found.error.text().and(object.code.text())
    };
    if dialect.errors.flat
        && let Some(code) = flat_code()
    {
        said.code = Some(code.decode());
    }
    said
}

/// Reads an error itself.
pub(crate) fn said(error: JsonView<'_>) -> Said<'_> {
    if error.is_object() {
        let said = of_object(error);
        // Some nest it once more.
        let within = error.read::<ErrorBody<'_>>();
        return match within.and_then(|within| within.error.raw()) {
            Some(inner) if said.message.is_none() => self::said(inner),
            _ => said,
        };
    }
    if error.is_list() {
        return error.values().next().map(said).unwrap_or_default();
    }
    Said {
        message: error.text(),
        ..Said::default()
    }
}

fn of_object(error: JsonView<'_>) -> Said<'_> {
    let object = error.read::<ErrorObject<'_>>().unwrap_or_default();
    let code = object.code.scalar_text().filter(|code| !code.is_empty());
    let kind = object.r#type.scalar_text();
    let words = [
        object.status_code.scalar_text(),
        object.status.scalar_text(),
        code.clone(),
    ];
    let mut statuses = words.into_iter().flatten();
    Said {
        status: statuses.find_map(|word| {
            let status = lmbatch_http::whole(&Value::from(&*word))?;
            let status = u16::try_from(status).ok()?;
            (400..600).contains(&status).then_some(status)
        }),
        // The type is the code's kind, not a code; only for quotas it is all there is.
        code: code.or_else(|| kind.clone().filter(|kind| kind == "insufficient_quota")),
        kind,
        message: object.message.text().or(object.msg.text()),
    }
}

/// The same of a value.
pub(crate) fn said_in_value(error: &Value) -> (Option<&str>, Option<&str>) {
    let member = |name: &str| error.get(name).and_then(Value::as_str);
    (member("code"), member("message").or(error.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_takes_precedence_over_the_status() {
        for (status, code, kind, retry) in [
            (
                401,
                Some("invalid_api_key"),
                ErrorKind::ProviderAuth,
                Retry::Permanent,
            ),
            (
                429,
                Some("insufficient_quota"),
                ErrorKind::Billing,
                Retry::Permanent,
            ),
            (
                400,
                Some("billing_hard_limit_reached"),
                ErrorKind::Billing,
                Retry::Permanent,
            ),
            (
                429,
                Some("rate_limit_exceeded"),
                ErrorKind::ProviderRateLimit,
                Retry::Temporary,
            ),
            (
                404,
                Some("model_not_found"),
                ErrorKind::ModelNotFound,
                Retry::Permanent,
            ),
            (
                400,
                Some("context_length_exceeded"),
                ErrorKind::ContextOverflow,
                Retry::Permanent,
            ),
            (
                400,
                Some("token_limit_exceeded"),
                ErrorKind::Quota,
                Retry::Temporary,
            ),
            (
                200,
                Some("server_error"),
                ErrorKind::ProviderInternal,
                Retry::Temporary,
            ),
            (
                400,
                Some("unknown"),
                ErrorKind::ProviderInvalidArgs,
                Retry::Permanent,
            ),
            (402, None, ErrorKind::Billing, Retry::Permanent),
            (503, None, ErrorKind::ProviderOverloaded, Retry::Temporary),
        ] {
            assert_eq!(classify(status, code), (kind, retry), "{status} {code:?}");
        }
    }

    #[test]
    fn the_error_of_a_failed_batch_decides_its_retry() {
        for (code, param, kind, retry) in [
            (
                Some("token_limit_exceeded"),
                None,
                ErrorKind::Quota,
                Retry::Temporary,
            ),
            (
                Some("invalid_request"),
                Some("file_id"),
                ErrorKind::FileNotFound,
                Retry::Temporary,
            ),
            (
                Some("model_not_found"),
                Some("body.model"),
                ErrorKind::ModelNotFound,
                Retry::Permanent,
            ),
            (
                Some("billing_hard_limit_reached"),
                None,
                ErrorKind::Billing,
                Retry::Permanent,
            ),
            (
                Some("invalid_json_line"),
                None,
                ErrorKind::InvalidInput,
                Retry::Permanent,
            ),
            (
                Some("invalid_request"),
                Some("body.model"),
                ErrorKind::InvalidInput,
                Retry::Permanent,
            ),
            (None, None, ErrorKind::InvalidInput, Retry::Permanent),
        ] {
            assert_eq!(classify_batch(code, param), (kind, retry), "{code:?}");
        }
    }

    #[test]
    fn w17_prose_never_decides() {
        // A 503 that speaks of exceeding, a 400 that speaks of limits: the status says what they are.
        for (status, kind) in [
            (503, ErrorKind::ProviderOverloaded),
            (400, ErrorKind::ProviderInvalidArgs),
        ] {
            let mut outline = Outline::new();
            let body = outline.read(
                r#"{"error":{"message":"request exceeded limit, missing api key","type":null,"code":null}}"#,
            );
            let said = said_in_body(body.unwrap());
            assert_eq!(classify(status, said.code.as_deref()).0, kind);
        }
    }

    #[test]
    fn an_error_is_read_in_any_shape() {
        for (body, code, message) in [
            (
                r#"{"error":{"message":"m","code":"c","type":"t"}}"#,
                Some("c"),
                Some("m"),
            ),
            (
                r#"{"error":{"message":"m","code":null,"type":"t"}}"#,
                None,
                Some("m"),
            ),
            (
                r#"{"error":{"message":"m","code":400}}"#,
                Some("400"),
                Some("m"),
            ),
            (r#"{"error":"m"}"#, None, Some("m")),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","param":null,"code":400}"#,
                Some("400"),
                Some("m"),
            ),
            (r#"{"object":"batch","message":"m"}"#, None, Some("m")),
            (r#"{"error":null}"#, None, None),
            ("<html>", None, None),
        ] {
            let mut outline = Outline::new();
            let said = outline.read(body).map(said_in_body).unwrap_or_default();
            assert_eq!(said.code.as_deref(), code, "{body}");
            assert_eq!(
                said.message.map(|m| m.decode().into_owned()).as_deref(),
                message,
                "{body}"
            );
        }
    }

    #[test]
    fn only_an_error_object_of_the_api_is_recognised() {
        for (body, expected) in [
            (
                r#"{"error":{"message":"m","type":"t","param":null,"code":null}}"#,
                true,
            ),
            (r#"{"error":{"message":"m","type":null,"code":null}}"#, true),
            (r#"{"error":{"message":"m","code":400}}"#, true),
            (r#"{"id":"r","error":{"message":"m","type":"t"}}"#, true),
            (
                r#"{"object":"error","message":"m","type":"t","param":null,"code":400}"#,
                true,
            ),
            (r#"{"error":{"message":"m"}}"#, false),
            (r#"{"error":{"message":null,"type":"t"}}"#, false),
            (r#"{"error":{"type":"t","code":"c"}}"#, false),
            (r#"{"error":{}}"#, false),
            (r#"{"error":"Forbidden","message":"m","code":403}"#, false),
            (r#"{"error":null,"message":"m"}"#, false),
            (r#"{"error":[{"message":"m","code":1}]}"#, false),
            (r#"{"object":"error"}"#, false),
            (r#"{"object":"batch","message":"m"}"#, false),
            (r#"{"message":"Forbidden"}"#, false),
            (r#"{"detail":"Not Found"}"#, false),
            (r#"[{"error":{"message":"m","type":"t"}}]"#, false),
            (r#"{"error":{"message":"m","type":"t"}"#, false),
            (r#"{"error":{"message":"m","type":"t"}}<html>"#, false),
            ("null", false),
            ("[]", false),
            ("\"no\"", false),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(
                classify_error(400, body.as_bytes()).recognised,
                expected,
                "{body}"
            );
        }
        assert!(!classify_error(400, b"\xff{}").recognised);
    }
}
