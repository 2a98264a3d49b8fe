//! Clauses about tokens: a second create with the same token makes no second batch. Without declared tokens, a create
//! depends on none. Part of edition 2026-11.

use lmbatch_core::{BatchProvider, CreateProof, Intent, Shard};

use crate::desk::Answer;
use crate::kit::Kit;
use crate::relay::Fault;
use crate::wire::CallKind;

/// Returns whether the adapter declares tokens.
fn takes_tokens(adapter: &dyn BatchProvider) -> bool {
    adapter.codec().capabilities().create == CreateProof::Token
}

/// A shard that is staged for a create under each of these tokens.
async fn staged<const N: usize>(
    kit: &Kit,
    adapter: &dyn BatchProvider,
    tokens: [&str; N],
) -> (Shard, [Intent; N]) {
    let shard = kit.shard(adapter, 2, "lmbatch-contract-0");
    let first = kit.intent_under(adapter, &shard, tokens[0]).await;
    let intents = tokens.map(|token| Intent {
        token: lmbatch_core::CreateToken::new(token),
        ..first.clone()
    });
    (shard, intents)
}

/// A create carries its token, which differs from the label, where the wire reads it. Without declared tokens, a
/// create is accepted under any token.
pub async fn a_create_carries_its_token(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let (shard, [intent]) = staged(kit, &*adapter, ["token-canary"]).await;
    let created = adapter.create(&shard, &intent).await;
    created.expect("the create is accepted");
    let create = desk.seen_of(CallKind::Create).remove(0);
    let token = kit.wire.token(&create);
    let expected = takes_tokens(&*adapter).then_some("token-canary");
    assert_eq!(token.as_deref(), expected, "the token of the create");
}

/// A create whose response was lost, repeated with the same token, is the same batch. Without declared tokens, one
/// create is one batch.
pub async fn a_repeated_create_with_the_same_token_is_the_same_batch(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let (shard, [intent]) = staged(kit, &*adapter, ["token-canary"]).await;
    desk.answer_next(CallKind::Create, 1, Answer::lost(Fault::Reset));
    let lost = adapter.create(&shard, &intent).await;
    lost.expect_err("the answer is lost");
    if takes_tokens(&*adapter) {
        let again = adapter.create(&shard, &intent).await;
        let again = again.expect("the provider knows the token");
        assert_eq!(
            again,
            kit.wire.batch_id(1),
            "both creates must return the same batch"
        );
    }
    assert_eq!(desk.batches(), 1, "exactly one batch must exist");
}

/// A create with another token is another batch: a token belongs to one create.
pub async fn a_create_with_another_token_is_another_batch(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let tokens = ["token-canary-1", "token-canary-2"];
    let (shard, intents) = staged(kit, &*adapter, tokens).await;
    for (place, intent) in intents.iter().enumerate() {
        let created = adapter.create(&shard, intent).await;
        let created = created.expect("the create is accepted");
        assert_eq!(created, kit.wire.batch_id(place as u32 + 1));
    }
    assert_eq!(desk.batches(), 2, "two creates must make two batches");
}
