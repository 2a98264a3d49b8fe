//! Clauses about tokens: a create under a token that was used before makes no second batch. Where an adapter
//! declares no tokens, a create depends on none. Of edition 2026-11.

use lmbatch_core::{BatchProvider, CreateProof, Intent, Shard};

use crate::desk::Answer;
use crate::kit::Kit;
use crate::relay::Fault;
use crate::wire::CallKind;

/// Whether the adapter declares tokens.
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

/// A create carries its token, which is not the label, where the wire reads it. Without tokens a create is accepted
/// whatever the token is.
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

/// A create whose answer was lost is asked for again under its token, and is the same batch. Without tokens one
/// create is one batch.
pub async fn a_create_asked_again_under_its_token_is_the_same_batch(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let (shard, [intent]) = staged(kit, &*adapter, ["token-canary"]).await;
    desk.answer_next(CallKind::Create, 1, Answer::lost(Fault::Reset));
    let lost = adapter.create(&shard, &intent).await;
    lost.expect_err("the answer is lost");
    if takes_tokens(&*adapter) {
        let again = adapter.create(&shard, &intent).await;
        let again = again.expect("the provider knows the token");
        assert_eq!(again, kit.wire.batch_id(1), "it is the batch of the first");
    }
    assert_eq!(desk.batches(), 1, "one batch is paid for");
}

/// A create under another token is another batch: a token is of one create alone.
pub async fn a_create_under_another_token_is_another_batch(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let tokens = ["token-canary-1", "token-canary-2"];
    let (shard, intents) = staged(kit, &*adapter, tokens).await;
    for (place, intent) in intents.iter().enumerate() {
        let created = adapter.create(&shard, intent).await;
        let created = created.expect("the create is accepted");
        assert_eq!(created, kit.wire.batch_id(place as u32 + 1));
    }
    assert_eq!(desk.batches(), 2, "two creates are two batches");
}
