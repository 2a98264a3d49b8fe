//! Clauses about responses that contradict themselves: a batch, a list or a confirmation that also carries an error,
//! and error objects that are incomplete. Part of edition 2026-11.

use lmbatch_core::{BatchStatus, Delivery, ErrorKind, ListOptions, Retry};
use serde_json::Value;

use crate::desk::{Answer, Says};
use crate::kit::Kit;
use crate::mangle::{members, odd_values, remove};
use crate::wire::{CallKind, Described, ListPage};

use super::calls::to_fence;
use super::refusals::create_errors;
use super::status::not_believed;

/// Adds the members of the provider's own error object to a response.
fn beside_an_error(kit: &Kit, answer: Value) -> Value {
    with_members(answer, &kit.wire.refusal(500, "internal"))
}

fn with_members(mut answer: Value, refusal: &Value) -> Value {
    if let (Some(into), Some(from)) = (answer.as_object_mut(), refusal.as_object()) {
        into.extend(from.clone());
    }
    answer
}

/// Returns whether a failed batch carries members of the provider's error object, as long-running operations do.
fn fails_in_these_words(kit: &Kit) -> bool {
    let failed = Described {
        problems: vec!["words".to_owned()],
        ..kit.described(1, BatchStatus::Failed)
    };
    let (batch, refusal) = (kit.wire.batch(&failed), kit.wire.refusal(500, "internal"));
    let mut names = refusal.as_object().into_iter().flatten();
    kit.wire.statuses().contains(&BatchStatus::Failed)
        && names.all(|(name, _)| batch.get(name).is_some_and(|member| !member.is_null()))
}

/// A status with HTTP 200 that also carries the provider's own error is rejected, and so are results read from it.
/// Providers whose failed batches carry such an error are exempt.
pub async fn a_status_with_an_error_is_rejected(kit: &Kit) {
    if fails_in_these_words(kit) {
        return;
    }
    for status in [BatchStatus::InProgress, BatchStatus::Completed] {
        let batch = kit.wire.batch(&kit.described(1, status));
        not_believed(kit, &beside_an_error(kit, batch)).await;
    }
}

/// A list that also carries the provider's own error is a temporary error: batches may be missing from it and would be
/// created again.
pub async fn a_list_with_an_error_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let page = kit.wire.list_page(ListPage {
        batches: vec![kit.wire.batch(&kit.described(1, BatchStatus::Completed))],
        next: None,
        number: 0,
        size: 100,
        total: 1,
    });
    let says = Says::json(200, &beside_an_error(kit, page));
    desk.answer(CallKind::List, Answer::after(says));
    let listed = adapter.list(&ListOptions::default()).await;
    if !adapter.codec().capabilities().list {
        return assert!(
            listed.is_err() && desk.seen().is_empty(),
            "no request may be sent"
        );
    }
    let error = listed.expect_err("a list beside an error");
    let found = (error.kind(), error.retry());
    let expected = (ErrorKind::MalformedResponse, Retry::Temporary);
    assert_eq!(found, expected, "{error}");
}

/// A confirmed cancel that also carries the provider's own error is an error: the batch may still run and cost money.
pub async fn a_cancel_with_an_error_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let id = desk.keep(kit.described(1, BatchStatus::InProgress));
    let batch = kit.wire.batch(&kit.described(1, BatchStatus::Cancelling));
    let answer = Answer {
        refuses: true,
        ..Answer::after(Says::json(200, &beside_an_error(kit, batch)))
    };
    desk.answer(CallKind::Cancel, answer);
    let cancelled = adapter.cancel(&id).await;
    if !adapter.codec().capabilities().cancel {
        return assert!(
            cancelled.is_err() && desk.seen().is_empty(),
            "no request may be sent"
        );
    }
    let error = cancelled.expect_err("a cancel beside an error");
    assert_eq!(error.batch(), Some(&id), "{error}");
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
}

/// A confirmed deletion that also carries the provider's own error is not a fence: the input may still exist, and a
/// late create would be accepted in addition to the next one.
pub async fn a_fence_with_an_error_is_an_error(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let staged = to_fence(kit, &*adapter).await;
    desk.confirm_deletions();
    let refusal = kit.wire.refusal(500, "internal");
    desk.change(move |kind, value| match kind {
        CallKind::Discard => with_members(value, &refusal),
        _ => value,
    });
    let before = desk.seen().len();
    let fenced = adapter.fence(&staged).await;
    if !adapter.codec().capabilities().fence {
        let sent = desk.seen().len() - before;
        return assert!(fenced.is_err() && sent == 0, "no request may be sent");
    }
    let error = fenced.expect_err("a fence beside an error");
    assert_eq!(error.retry(), Retry::Temporary, "{error}");
}

/// An error object that lacks a documented member, or has one of another JSON type, is not the provider's own error:
/// the create that it answers may have been accepted. [`Wire::refusal_may_lack`](crate::Wire::refusal_may_lack) lists
/// members that the provider itself may omit.
pub async fn a_create_with_an_incomplete_error_may_have_been_delivered(kit: &Kit) {
    let may_lack = kit.wire.refusal_may_lack();
    for status in [400, 429] {
        let own = kit.wire.refusal_of(CallKind::Create, status, "no");
        let mut bodies = Vec::new();
        for at in members(&own) {
            if may_lack.contains(&at.as_str()) {
                continue;
            }
            let mut without = own.clone();
            remove(&mut without, &at);
            bodies.push((format!("without {at}"), without));
            let was = own.pointer(&at).expect("a member of the refusal");
            let odd = odd_values().into_iter();
            // A number may stand for a string and a string for a number, so neither counts as another type.
            let odd = odd.filter(|odd| odd.is_null() || odd.is_array() || odd.is_boolean());
            for odd in odd {
                if std::mem::discriminant(was) == std::mem::discriminant(&odd) {
                    continue;
                }
                let mut changed = own.clone();
                *changed.pointer_mut(&at).expect("a member of the refusal") = odd.clone();
                bodies.push((format!("{odd} for {at}"), changed));
            }
        }
        let says = bodies.iter().map(|(_, body)| Says::json(status, body));
        let answers = says.map(Answer::after).collect();
        let errors = create_errors(kit, answers).await;
        for ((what, _), error) in bodies.iter().zip(errors) {
            let found = (error.delivery(), error.http_status());
            let expected = (Delivery::Unknown, Some(status));
            assert_eq!(found, expected, "HTTP {status}, {what}: {error}");
        }
    }
}
