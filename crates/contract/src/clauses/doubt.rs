//! Clauses about creates whose answer is lost: the batch may be there, and may have to be paid for.

use lmbatch_core::{
    BatchStatus, Certainty, CreateProof, Delivery, Error, ErrorKind, Intent, Retry,
};

use crate::desk::{Answer, Desk, Says};
use crate::kit::{Kit, said};
use crate::relay::Fault;
use crate::wire::CallKind;

/// Creates once, and gives the error that says what became of it.
async fn in_doubt(kit: &Kit, desk: &Desk, answer: Answer) -> (Intent, Error) {
    desk.answer(CallKind::Create, answer);
    let (intent, created) = kit.create(desk).await;
    let error = created.expect_err("a create without a readable yes is an error");
    assert_eq!(
        desk.seen_of(CallKind::Create).len(),
        1,
        "nothing is sent twice"
    );
    assert_eq!(error.delivery(), Delivery::Unknown, "{error}");
    (intent, error)
}

/// The connection is reset after the provider has taken the create: the delivery is unknown, and nothing
/// is sent twice.
pub async fn a_create_whose_answer_is_reset_is_in_doubt(kit: &Kit) {
    let desk = kit.desk().await;
    in_doubt(kit, &desk, Answer::lost(Fault::Reset)).await;
}

/// The same where the provider answers 500 although it has taken the create.
pub async fn a_create_that_is_answered_by_a_500_is_in_doubt(kit: &Kit) {
    let desk = kit.desk().await;
    let body = kit.wire.refusal(500, "internal");
    in_doubt(kit, &desk, Answer::after(Says::json(500, &body))).await;
}

/// The same where the answer ends in the middle.
pub async fn a_create_whose_answer_is_cut_short_is_in_doubt(kit: &Kit) {
    let desk = kit.desk().await;
    in_doubt(kit, &desk, Answer::lost(Fault::Truncated)).await;
}

/// A 200 whose body says that something went wrong is neither a batch nor a refusal, also where it bears an id:
/// that may be the id of a request, and a batch by that id would be waited for in vain.
pub async fn a_create_that_is_answered_200_with_an_error_is_in_doubt(kit: &Kit) {
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

/// A 200 with a web page comes from something that stands before the provider; what that did is unknown.
pub async fn a_create_that_is_answered_by_a_web_page_is_in_doubt(kit: &Kit) {
    let desk = kit.desk().await;
    let page = Says::web_page(200, "page-canary");
    let (_, error) = in_doubt(kit, &desk, Answer::after(page)).await;
    assert_eq!(error.kind(), ErrorKind::MalformedReply);
    assert!(
        !said(&error).contains("page-canary"),
        "the page is not repeated"
    );
}

/// A create for which no connection could be made was not sent, and may be tried again.
pub async fn a_create_that_found_no_connection_was_not_sent(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let intent = kit
        .intent(&*adapter, &shard)
        .await
        .expect("the input is staged");
    // A port that is held, and on which nobody listens. A free one would do but for this: a connection to
    // it that is given the same port to come from is connected with itself, and waits for ever.
    let held = tokio::net::TcpSocket::new_v4().expect("a socket");
    let bound = held.bind(([127, 0, 0, 1], 0).into());
    let port = bound.and_then(|()| held.local_addr());
    let nowhere = format!("http://{}", port.expect("a free port"));
    let adapter = kit.wire.adapter(&nowhere, crate::kit::KEY);
    let error = adapter
        .create(&shard, &intent)
        .await
        .expect_err("nobody is there");
    assert_eq!(
        (error.delivery(), error.retry()),
        (Delivery::NotSent, Retry::Temporary),
        "{error}"
    );
}

/// `find` gives the batch that a create made although its answer was lost, with how sure that is: proved
/// by our label, presumed by number and time. A provider that takes a token gives the same batch again.
pub async fn a_lost_create_is_found_again(kit: &Kit) {
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
            "the same create under the same token"
        );
        return;
    }
    let found = adapter.find(&intent, None).await.expect("a search");
    let ids: Vec<_> = found.candidates.iter().map(|one| &one.batch).collect();
    assert_eq!(
        ids,
        [&kit.wire.batch_id(1)],
        "the one batch that was made is found"
    );
    let expected = match proof {
        CreateProof::Labelled => Certainty::Proved,
        _ => Certainty::Presumed,
    };
    assert_eq!(found.candidates[0].certainty, expected);
}

/// `find` sees a batch of ours although the clock of this machine is a day ahead, by which the batch is
/// older than its create.
pub async fn a_wrong_clock_hides_no_batch(kit: &Kit) {
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
    assert_eq!(found.candidates.len(), 1, "the batch that was made is seen");
}

/// `find` passes over the batches of others: those of another label, or where none is kept, of another
/// number of requests.
pub async fn a_search_passes_over_the_batches_of_others(kit: &Kit) {
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

/// Through the engine a create whose answer is lost ends in one batch, with one create.
pub async fn a_lost_create_is_not_paid_for_twice(kit: &Kit) {
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
        // Number and time presume; whether that is enough is the caller's to say.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Doubt, "{error}"),
    }
}
