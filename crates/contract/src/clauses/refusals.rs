//! Clauses about answers that say no: what kind of no it is, whether waiting helps, and whether a create
//! may have been accepted all the same.

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
        "one exchange: trying again is the engine's business"
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
        "nothing is sent twice"
    );
    error
}

/// The error of a status and of a create that are refused so.
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

/// 401: the key is not accepted, waiting does not help, and a create was refused.
pub async fn a_401_is_about_the_key_and_permanent(kit: &Kit) {
    let expected = (ErrorKind::ProviderAuth, Retry::Permanent);
    refused(kit, 401, expected, Delivery::Refused).await;
}

/// 403: the key may not do this; the same.
pub async fn a_403_is_about_the_key_and_permanent(kit: &Kit) {
    let expected = (ErrorKind::ProviderAuth, Retry::Permanent);
    refused(kit, 403, expected, Delivery::Refused).await;
}

/// 404 on a batch, or 410: there is no such batch, and the error names it.
pub async fn a_404_of_a_batch_names_the_batch(kit: &Kit) {
    for status in [404, 410] {
        let body = kit.wire.refusal_of(CallKind::Status, status, "no");
        let error = status_error(kit, Answer::refusal(status, &body)).await;
        assert_eq!(error.kind(), ErrorKind::BatchNotFound, "{error}");
        assert_eq!(error.batch(), Some(&kit.wire.batch_id(1)));
        assert_eq!(error.retry(), Retry::Permanent);
    }
}

/// 404 on a create: no batch is missing, since none was asked for; the create was refused.
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

/// The statuses with which a provider refuses a create that it has not taken.
const REFUSING: [u16; 14] = [
    400, 401, 402, 403, 404, 405, 410, 411, 413, 414, 415, 422, 429, 431,
];

/// The errors of one create after another, each answered in turn.
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
        errors.push(created.expect_err("a no is an error"));
        let creates = desk.seen_of(CallKind::Create).len();
        assert_eq!(creates, errors.len(), "nothing is sent twice");
    }
    errors
}

/// A 4xx (400 to 405, 410, 411, 413 to 415, 422, 429, 431) with the provider's own error object: the create was
/// refused, and no batch exists.
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

/// The same statuses with anything else (a web page, nothing, another JSON, an error object that is cut): a
/// proxy may have answered after the provider accepted the create, so that its delivery is unknown.
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

/// What proxies and gateways say, and no provider.
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

/// 408: the provider has waited for us; a create may have been complete.
pub async fn a_408_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::Timeout, Retry::Temporary);
    refused(kit, 408, expected, Delivery::Unknown).await;
}

/// 409: something else is going on with the same thing, which may be our own create.
pub async fn a_409_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderInternal, Retry::Temporary);
    refused(kit, 409, expected, Delivery::Unknown).await;
}

/// 413: the input is too long, and stays so.
pub async fn a_413_is_about_the_input_and_permanent(kit: &Kit) {
    let expected = (ErrorKind::InvalidInput, Retry::Permanent);
    refused(kit, 413, expected, Delivery::Refused).await;
}

/// 429: too much for now; nothing was accepted.
pub async fn a_429_is_a_rate_limit_and_temporary(kit: &Kit) {
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

/// `Retry-After` in seconds is when to come back.
pub async fn a_retry_after_in_seconds_is_kept(kit: &Kit) {
    assert_eq!(
        wait(kit, &[("retry-after", "7")]).await,
        Some(Duration::from_secs(7))
    );
}

/// As an HTTP date it is counted from the server's own `Date`: our clock may be wrong.
pub async fn a_retry_after_as_a_date_is_counted_from_the_servers_date(kit: &Kit) {
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

/// Some say it in milliseconds as well: either is obeyed, neither is taken for the other.
pub async fn a_retry_after_in_milliseconds_is_not_one_in_seconds(kit: &Kit) {
    let wait = wait(kit, &[("retry-after-ms", "1500"), ("retry-after", "2")]).await;
    let either = [1500, 2000].map(|ms| Some(Duration::from_millis(ms)));
    assert!(either.contains(&wait), "{wait:?}");
}

/// Where nothing is said there is no wish: how long to wait is the engine's to choose.
pub async fn no_retry_after_is_no_wish(kit: &Kit) {
    assert_eq!(wait(kit, &[]).await, None);
}

/// What cannot be a time is no wish either, and no panic.
pub async fn a_retry_after_that_is_no_time_is_no_wish(kit: &Kit) {
    for garbage in ["soon", "-3", "NaN", "inf", "1e308", "", "7 apples"] {
        assert_eq!(
            wait(kit, &[("retry-after", garbage)]).await,
            None,
            "{garbage:?}"
        );
    }
}

/// 500: the provider failed, perhaps after it had accepted a create.
pub async fn a_500_is_temporary_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderInternal, Retry::Temporary);
    refused(kit, 500, expected, Delivery::Unknown).await;
}

/// 502 with the page of a proxy: the same, and the page is not read.
pub async fn a_502_with_a_web_page_is_temporary_and_may_have_been_delivered(kit: &Kit) {
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

/// 503: the provider is busy, and may have accepted a create all the same.
pub async fn a_503_is_an_overload_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderOverloaded, Retry::Temporary);
    refused(kit, 503, expected, Delivery::Unknown).await;
}

/// 529, which some use for the same.
pub async fn a_529_is_an_overload_and_may_have_been_delivered(kit: &Kit) {
    let expected = (ErrorKind::ProviderOverloaded, Retry::Temporary);
    refused(kit, 529, expected, Delivery::Unknown).await;
}

/// Every error says whose answer it was and what was being done.
pub async fn an_error_says_whose_it_is_and_what_was_being_done(kit: &Kit) {
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
