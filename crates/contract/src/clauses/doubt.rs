//! Clauses about creates whose response is lost: the batch may exist and may cost money.

use lmbatch_core::{
    BatchStatus, Certainty, CreateProof, Delivery, Error, ErrorKind, Intent, Retry,
};

use crate::desk::{Answer, Desk, Says};
use crate::kit::{Kit, said};
use crate::relay::Fault;
use crate::wire::CallKind;

/// Sends one create and returns its intent and the error.
async fn in_doubt(kit: &Kit, desk: &Desk, answer: Answer) -> (Intent, Error) {
    desk.answer(CallKind::Create, answer);
    let (intent, created) = kit.create(desk).await;
    let error = created.expect_err("a create without a readable yes is an error");
    assert_eq!(
        desk.seen_of(CallKind::Create).len(),
        1,
        "nothing may be sent twice"
    );
    assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    (intent, error)
}

/// After a connection reset that follows an accepted create, the delivery is unknown, and nothing is sent twice.
pub async fn a_create_is_in_doubt_after_a_connection_reset(kit: &Kit) {
    let desk = kit.desk().await;
    in_doubt(kit, &desk, Answer::lost(Fault::Reset)).await;
}

/// After a 500 for a create that the provider accepted, the delivery is unknown, and nothing is sent twice.
pub async fn a_create_is_in_doubt_after_a_500(kit: &Kit) {
    let desk = kit.desk().await;
    let body = kit.wire.refusal(500, "internal");
    in_doubt(kit, &desk, Answer::after(Says::json(500, &body))).await;
}

/// After a truncated response to a create, the delivery is unknown, and nothing is sent twice.
pub async fn a_create_is_in_doubt_after_a_truncated_response(kit: &Kit) {
    let desk = kit.desk().await;
    in_doubt(kit, &desk, Answer::lost(Fault::Truncated)).await;
}

/// A 200 whose body is an error is neither a batch nor a refusal, even if it carries an id: that may be the id of a
/// request, and a batch with that id would be polled in vain.
pub async fn a_create_is_in_doubt_after_a_200_with_an_error(kit: &Kit) {
    let refusal = kit.wire.refusal(500, "internal");
    let mut with_an_id = kit.wire.created(&kit.described(9, BatchStatus::InProgress));
    if let (Some(into), Some(from)) = (with_an_id.as_object_mut(), refusal.as_object()) {
        into.extend(from.clone());
    }
    for body in [refusal, with_an_id] {
        let desk = kit.desk().await;
        in_doubt(kit, &desk, Answer::after(Says::json(200, &body))).await;
    }
}

/// An HTML page with HTTP 200 comes from a proxy in front of the provider; whether the create reached the provider is
/// unknown.
pub async fn a_create_is_in_doubt_after_an_html_page(kit: &Kit) {
    let desk = kit.desk().await;
    let page = Says::web_page(200, "page-canary");
    let (_, error) = in_doubt(kit, &desk, Answer::after(page)).await;
    assert_eq!(error.kind(), ErrorKind::MalformedResponse);
    assert!(
        !said(&error).contains("page-canary"),
        "the page must not be quoted"
    );
}

/// A create for which no connection was established was not sent and can be retried.
pub async fn a_create_without_a_connection_was_not_sent(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let intent = kit
        .intent(&*adapter, &shard)
        .await
        .expect("the input is staged");
    // A bound port that does not listen. A free port would not do: a connection to it may be given the same source
    // port, connect to itself and wait forever.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    let bound = held.bind(([127, 0, 0, 1], 0).into());
    let port = bound.and_then(|()| held.local_addr());
    let nowhere = format!("http://{}", port.expect("a free port"));
    let adapter = kit.wire.adapter(&nowhere, crate::kit::KEY);
    let error = adapter
        .create(&shard, &intent)
        .await
        .expect_err("nothing listens on the port");
    assert_eq!(
        (error.delivery(), error.retry()),
        (Delivery::NotSent, Retry::Temporary),
        "{error}"
    );
}

/// `find` returns the batch of a create whose response was lost, with its certainty: proved by lmbatch's label, or
/// presumed from count and time. Where the provider takes tokens, a second create with the same token returns the same
/// batch.
pub async fn a_create_with_a_lost_response_is_found(kit: &Kit) {
    let desk = kit.desk().await;
    let (intent, _) = in_doubt(kit, &desk, Answer::lost(Fault::Reset)).await;
    let adapter = kit.adapter(&desk);
    let proof = adapter.codec().capabilities().create;
    if proof == CreateProof::Token {
        desk.answer_as_usual();
        let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
        drop(adapter.create(&shard, &intent).await);
        let creates = desk.seen_of(CallKind::Create);
        assert_eq!(
            creates[0].body, creates[1].body,
            "a second create with the same token"
        );
        return;
    }
    let found = adapter.find(&intent, None).await.expect("a search");
    let ids: Vec<_> = found.candidates.iter().map(|one| &one.batch).collect();
    assert_eq!(
        ids,
        [&kit.wire.batch_id(1)],
        "the created batch must be found"
    );
    let expected = match proof {
        CreateProof::Labelled => Certainty::Proved,
        _ => Certainty::Presumed,
    };
    assert_eq!(found.candidates[0].certainty, expected);
}

/// `find` returns the batch of a lost create even if the local clock is a day ahead, so that the batch seems older
/// than its create.
pub async fn a_wrong_clock_does_not_hide_a_batch(kit: &Kit) {
    let desk = kit.desk().await;
    let (intent, _) = in_doubt(kit, &desk, Answer::lost(Fault::Reset)).await;
    let adapter = kit.adapter(&desk);
    if adapter.codec().capabilities().create == CreateProof::Token {
        return assert!(!desk.seen_of(CallKind::Create).is_empty());
    }
    let day = std::time::Duration::from_secs(24 * 3600);
    let intent = Intent {
        posted_at: intent.posted_at.map(|at| at + day),
        ..intent
    };
    let found = adapter.find(&intent, None).await.expect("a search");
    assert_eq!(
        found.candidates.len(),
        1,
        "the created batch must be a candidate"
    );
}

/// `find` ignores unrelated batches: those with another label or, where the provider keeps no labels, with another
/// request count.
pub async fn a_search_ignores_unrelated_batches(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let intent = kit
        .intent(&*adapter, &shard)
        .await
        .expect("the input is staged");
    desk.keep(kit.described(7, BatchStatus::InProgress));
    if adapter.codec().capabilities().create == CreateProof::Token {
        return assert!(desk.seen_of(CallKind::Create).is_empty());
    }
    let found = adapter.find(&intent, None).await.expect("a search");
    assert!(found.candidates.is_empty(), "{:?}", found.candidates);
}

/// A create whose response is lost ends, through the engine, in one batch and one create.
pub async fn a_create_with_a_lost_response_is_paid_for_once(kit: &Kit) {
    let desk = kit.desk().await;
    desk.answer(CallKind::Create, Answer::lost(Fault::Reset));
    let invoker = kit.invoker(&desk);
    let created = invoker
        .batch()
        .create([("a", "Hello!"), ("b", "Hello!")])
        .await;
    if kit.adapter(&desk).codec().capabilities().create == CreateProof::Token {
        return assert!(!desk.seen_of(CallKind::Create).is_empty());
    }
    assert_eq!(desk.seen_of(CallKind::Create).len(), 1, "one create");
    match created {
        Ok(handle) => assert_eq!(handle.batch, kit.wire.batch_id(1)),
        // Count and time only presume the batch; the caller decides whether that is enough.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Doubt, "{error}"),
    }
}
