//! Clauses about error responses: their kind, whether waiting helps, and whether the create may have been accepted
//! despite the error.

use std::time::Duration;

use lmbatch_core::{Delivery, Error, ErrorKind, Retry};

use crate::desk::{Answer, Says};
use crate::kit::Kit;
use crate::relay::Fault;
use crate::wire::CallKind;

type Expected = (ErrorKind, Retry);

async fn status_error(kit: &Kit, answer: Answer) -> Error {
    let desk = kit.desk().await;
    desk.answer(CallKind::Status, answer);
    let asked = kit.adapter(&desk).status(&kit.wire.batch_id(1)).await;
    let error = asked.expect_err("a no is an error");
    assert_eq!(
        desk.seen().len(),
        1,
        "the call must make one exchange: retries are the engine's task"
    );
    error
}

async fn create_error(kit: &Kit, answer: Answer) -> Error {
    let desk = kit.desk().await;
    desk.answer(CallKind::Create, answer);
    let (_, created) = kit.create(&desk).await;
    let error = created.expect_err("a no is an error");
    assert_eq!(
        desk.seen_of(CallKind::Create).len(),
        1,
        "nothing may be sent twice"
    );
    error
}

/// Checks the errors of a status and of a create that the provider refuses with `status`.
async fn refused(kit: &Kit, status: u16, expected: Expected, delivery: Delivery) {
    let own = |call| Answer::refusal(status, &kit.wire.refusal_of(call, status, "no"));
    let of_create = create_error(kit, own(CallKind::Create)).await;
    for error in [&status_error(kit, own(CallKind::Status)).await, &of_create] {
        assert_eq!(
            (error.kind(), error.retry()),
            expected,
            "HTTP {status}: {error}"
        );
        assert_eq!(error.http_status(), Some(status));
    }
    let found = of_create.delivery();
    assert_eq!(found, delivery, "HTTP {status}: {of_create}");
}

/// A 401 means that the key is not accepted: waiting does not help, and a create was refused.
pub async fn a_401_is_a_permanent_authentication_error(kit: &Kit) {
    let expected = (ErrorKind::ProviderAuth, Retry::Permanent);
    refused(kit, 401, expected, Delivery::Refused).await;
}

/// A 403 means that the key lacks a permission: waiting does not help, and a create was refused.
pub async fn a_403_is_a_permanent_permission_error(kit: &Kit) {
    let expected = (ErrorKind::ProviderAuth, Retry::Permanent);
    refused(kit, 403, expected, Delivery::Refused).await;
}

/// A 404 or 410 of a batch means that the batch does not exist; the error names it.
pub async fn a_404_of_a_batch_names_the_batch(kit: &Kit) {
    for status in [404, 410] {
        let body = kit.wire.refusal_of(CallKind::Status, status, "no");
        let error = status_error(kit, Answer::refusal(status, &body)).await;
        assert_eq!(error.kind(), ErrorKind::BatchNotFound, "{error}");
        assert_eq!(error.batch(), Some(&kit.wire.batch_id(1)));
        assert_eq!(error.retry(), Retry::Permanent);
    }
}

/// A 404 of a create is a refusal. It is not reported as a missing batch, since the call names none.
pub async fn a_404_of_a_create_is_a_refusal(kit: &Kit) {
    let body = kit.wire.refusal_of(CallKind::Create, 404, "no");
    let error = create_error(kit, Answer::refusal(404, &body)).await;
    assert_eq!(
        (error.delivery(), error.retry()),
        (Delivery::Refused, Retry::Permanent),
        "{error}"
    );
    assert_ne!(error.kind(), ErrorKind::BatchNotFound);
}

/// HTTP statuses with which a provider refuses a create that it has not accepted.
const REFUSING: [u16; 14] = [
    400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 422, 429, 431,
];

/// The errors of successive creates, one for each answer.
pub(super) async fn create_errors(kit: &Kit, answers: Vec<Answer>) -> Vec<Error> {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let staged = kit.intent(&*adapter, &shard).await;
    let intent = staged.expect("the input is staged");
    let mut errors = Vec::new();
    for answer in answers {
        desk.answer(CallKind::Create, answer);
        let created = adapter.create(&shard, &intent).await;
        errors.push(created.expect_err("an error response must be an error"));
        let creates = desk.seen_of(CallKind::Create).len();
        assert_eq!(creates, errors.len(), "nothing may be sent twice");
    }
    errors
}

/// A 4xx (400 to 405, 410, 411, 413 to 415, 422, 429, 431) with the provider's own error object means that the create
/// was refused and no batch exists.
pub async fn a_4xx_with_the_providers_own_error_is_a_refusal(kit: &Kit) {
    let own = |status: u16| {
        let body = kit.wire.refusal_of(CallKind::Create, status, "no");
        Answer::refusal(status, &body)
    };
    let errors = create_errors(kit, REFUSING.map(own).to_vec()).await;
    for (status, error) in REFUSING.into_iter().zip(errors) {
        assert_eq!(
            (error.delivery(), error.http_status()),
            (Delivery::Refused, Some(status)),
            "HTTP {status}: {error}"
        );
    }
}

/// A 4xx with anything but the provider's own error (an HTML page, an empty body, other JSON, a truncated error
/// object) may come from a proxy after the provider accepted the create: the delivery is unknown.
pub async fn a_4xx_without_the_providers_own_error_may_have_been_delivered(kit: &Kit) {
    for (place, status) in REFUSING.into_iter().enumerate() {
        let own = kit.wire.refusal_of(CallKind::Create, status, "no");
        let text = own.to_string();
        let mut bodies = vec![
            text[..text.len() - 1].to_owned(),
            format!("{text}<html>"),
            String::new(),
            FOREIGN[place % FOREIGN.len()].to_owned(),
        ];
        if matches!(status, 400 | 429) {
            bodies.extend(FOREIGN.map(str::to_owned));
        }
        let says = bodies.iter().map(|body| Says {
            status,
            body: body.clone().into_bytes(),
            mime: "application/json",
            ..Says::default()
        });
        let mut answers: Vec<_> = says.map(Answer::after).collect();
        answers.push(Answer::after(Says::web_page(status, "Forbidden")));
        answers.push(Answer {
            fault: Some(Fault::Truncated),
            ..Answer::after(Says::json(status, &own))
        });
        bodies.extend(["a web page".to_owned(), "a connection that ends".to_owned()]);
        let errors = create_errors(kit, answers).await;
        for (body, error) in bodies.iter().zip(errors) {
            assert_eq!(
                (error.delivery(), error.http_status()),
                (Delivery::Unknown, Some(status)),
                "HTTP {status} with {body}: {error}"
            );
        }
    }
}

/// Bodies that proxies and gateways send, and providers do not.
const FOREIGN: [&str; 9] = [
    " ",
    "no",
    "null",
    "[]",
    "{}",
    r#"{"message":"Forbidden"}"#,
    r#"{"detail":"Not Found"}"#,
    r#"{"error":"Forbidden","status":403,"path":"/"}"#,
    r#"{"error":null,"errors":[{"code":10000,"message":"no"}],"success":false}"#,
];

/// A 408 means that the provider timed out while reading; the create may have been complete.
pub async fn a_408_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::Timeout, Retry::Temporary);
    refused(kit, 408, expected, Delivery::Unknown).await;
}

/// A 409 means a conflict with another operation, which may be an earlier delivery of the same create.
pub async fn a_409_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderInternal, Retry::Temporary);
    refused(kit, 409, expected, Delivery::Unknown).await;
}

/// A 413 means that the input is too large; waiting does not help.
pub async fn a_413_is_a_permanent_input_error(kit: &Kit) {
    let expected = (ErrorKind::InvalidInput, Retry::Permanent);
    refused(kit, 413, expected, Delivery::Refused).await;
}

/// A 429 is a rate limit: nothing was accepted, and waiting helps.
pub async fn a_429_is_a_temporary_rate_limit(kit: &Kit) {
    let expected = (ErrorKind::ProviderRateLimit, Retry::Temporary);
    refused(kit, 429, expected, Delivery::Refused).await;
}

async fn wait(kit: &Kit, headers: &[(&'static str, &str)]) -> Option<Duration> {
    let mut answer = Answer::refusal(429, &kit.wire.refusal(429, "slow down"));
    for (name, value) in headers {
        answer = answer.with_header(name, *value);
    }
    status_error(kit, answer).await.retry_after()
}

/// `Retry-After` in seconds is returned as the delay.
pub async fn retry_after_in_seconds_is_returned(kit: &Kit) {
    assert_eq!(
        wait(kit, &[("retry-after", "7")]).await,
        Some(Duration::from_secs(7))
    );
}

/// `Retry-After` as an HTTP date is relative to the server's own `Date`, since the local clock may be wrong.
pub async fn retry_after_as_a_date_is_relative_to_the_date_of_the_server(kit: &Kit) {
    let date = ("date", "Mon, 23 Nov 2026 12:00:00 GMT");
    let later = ("retry-after", "Mon, 23 Nov 2026 12:00:37 GMT");
    assert_eq!(
        wait(kit, &[date, later]).await,
        Some(Duration::from_secs(37))
    );
    let earlier = ("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT");
    let wait = wait(kit, &[date, earlier]).await;
    let soon = Duration::from_secs(1);
    assert!(wait.is_none_or(|wait| wait <= soon), "{wait:?}");
}

/// `Retry-After` in milliseconds, which some providers send as well, is read in its own unit and not as seconds.
pub async fn retry_after_in_milliseconds_is_not_read_as_seconds(kit: &Kit) {
    let wait = wait(kit, &[("retry-after-ms", "1500"), ("retry-after", "2")]).await;
    let either = [1500, 2000].map(|ms| Some(Duration::from_millis(ms)));
    assert!(either.contains(&wait), "{wait:?}");
}

/// Without `Retry-After` the error has no delay; the engine chooses the back-off.
pub async fn without_retry_after_no_delay_is_returned(kit: &Kit) {
    assert_eq!(wait(kit, &[]).await, None);
}

/// A `Retry-After` that is not a valid time is ignored, without a panic.
pub async fn an_invalid_retry_after_is_ignored(kit: &Kit) {
    for garbage in ["soon", "-3", "NaN", "inf", "1e308", "", "7 apples"] {
        assert_eq!(
            wait(kit, &[("retry-after", garbage)]).await,
            None,
            "{garbage:?}"
        );
    }
}

/// A 500 is a temporary failure of the provider, which may have accepted the create before it.
pub async fn a_500_is_temporary_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderInternal, Retry::Temporary);
    refused(kit, 500, expected, Delivery::Unknown).await;
}

/// A 502 with a proxy's HTML page is temporary, may follow an accepted create, and the page is not parsed.
pub async fn a_502_with_an_html_page_is_temporary_and_may_have_been_delivered(kit: &Kit) {
    let answer = Answer {
        refuses: true,
        ..Answer::after(Says::web_page(502, "Bad gateway"))
    };
    for error in [
        status_error(kit, answer.clone()).await,
        create_error(kit, answer.clone()).await,
    ] {
        let found = (error.kind(), error.retry());
        assert_eq!(
            found,
            (ErrorKind::ProviderInternal, Retry::Temporary),
            "{error}"
        );
    }
    assert_eq!(
        create_error(kit, answer).await.delivery(),
        Delivery::Unknown
    );
}

/// A 503 is an overload of the provider, which may have accepted the create despite it.
pub async fn a_503_is_an_overload_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderOverloaded, Retry::Temporary);
    refused(kit, 503, expected, Delivery::Unknown).await;
}

/// A 529, which some providers send for an overload, is treated as a 503.
pub async fn a_529_is_an_overload_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderOverloaded, Retry::Temporary);
    refused(kit, 529, expected, Delivery::Unknown).await;
}

/// Every error names the provider and the operation.
pub async fn an_error_names_the_provider_and_the_operation(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let answer = Answer::refusal(500, &kit.wire.refusal(500, "no"));
    for error in [
        status_error(kit, answer.clone()).await,
        create_error(kit, answer).await,
    ] {
        assert_eq!(error.provider(), Some(adapter.codec().id()), "{error}");
        assert!(error.operation().is_some(), "{error}");
    }
}
