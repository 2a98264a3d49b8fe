//! Providers that accept a token with a create: a second create under the token is the same create.

use std::collections::VecDeque;
use std::time::Duration;

use lmbatch_core::{Certainty, Delivery, Error, ErrorKind, Ledger as _, Retry, Spool as _};
use lmbatch_engine::RunOptions;
use lmbatch_testing::Script;

use super::world::{ASKED, World, outcomes_of};

fn lost() -> Error {
    Error::new(ErrorKind::Connection)
        .with_delivery(Delivery::Unknown)
        .with_retry(Retry::Temporary)
}

fn lost_times(count: usize) -> VecDeque<Option<Error>> {
    std::iter::repeat_with(|| Some(lost()))
        .take(count)
        .collect()
}

async fn certainty(world: &World) -> Certainty {
    let run = world.record().await;
    let shards = world.ledger.shards(&run.id).await.unwrap();
    shards[0].proof.as_ref().unwrap().certainty
}

#[tokio::test]
async fn a_lost_create_is_repeated_under_its_token_and_makes_one_batch() {
    for (what, exists) in [
        ("the same batch", None),
        ("exists already, by name", Some(true)),
        ("exists already, to be found", Some(false)),
    ] {
        let world = World::new(Script {
            tokens: Some(None),
            accepted_unseen: [lost()].into(),
            exists,
            ..Script::default()
        });
        let output = world.run(&ASKED).await.unwrap();
        assert_eq!(
            outcomes_of(&output).await,
            ["a: one", "b: two", "c: three"],
            "{what}"
        );
        assert_eq!(world.provider.accepted(), 1, "{what}");
        assert_eq!(world.provider.times("create").len(), 2, "{what}");
    }
}

#[tokio::test]
async fn a_create_that_never_arrived_is_repeated_and_accepted_once() {
    let world = World::new(Script {
        tokens: Some(None),
        creates: lost_times(2),
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap();
    assert_eq!(world.provider.accepted(), 1);
    assert_eq!(certainty(&world).await, Certainty::Token);
}

/// No search finds the batch, and every repeated create is lost, until another process resumes the
/// run.
#[tokio::test]
async fn a_create_in_doubt_is_repeated_by_the_next_process() {
    let world = World::new(Script {
        tokens: Some(None),
        accepted_unseen: [lost()].into(),
        creates: std::iter::once(None).chain(lost_times(20)).collect(),
        ..Script::default()
    });
    let held = world.run(&ASKED).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt, "{held}");
    world.provider.accept_all();
    let run = world.record().await;
    let finished = world.engine().resume(&run, RunOptions::default()).await;
    assert_eq!(finished.unwrap().requests(), 3);
    assert_eq!(world.provider.accepted(), 1);
}

#[tokio::test]
async fn a_token_that_may_have_lapsed_is_not_repeated() {
    let short = Some(Some(Duration::from_secs(60)));
    let found = World::new(Script {
        tokens: short,
        accepted_unseen: [lost()].into(),
        ..Script::default()
    });
    found.run(&ASKED).await.unwrap();
    assert_eq!(
        found.provider.times("create").len(),
        1,
        "it is searched for"
    );
    let unseen = World::new(Script {
        tokens: short,
        creates: lost_times(1),
        ..Script::default()
    });
    let held = unseen.run(&ASKED).await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::Doubt, "{held}");
    assert_eq!(unseen.provider.times("create").len(), 1);
}

#[tokio::test]
async fn a_repeated_create_sends_no_damaged_body() {
    let world = World::new(Script {
        tokens: Some(None),
        creates: lost_times(20),
        ..Script::default()
    });
    world.run(&ASKED).await.unwrap_err();
    world.provider.accept_all();
    let run = world.record().await;
    let name = format!("{}.body-0", run.nonce.as_str());
    let file = world.spool.open(&name).unwrap();
    let mut byte = [0];
    file.read_at(&mut byte, 7).unwrap();
    file.write_at(&[byte[0] ^ 4], 7).unwrap();
    let creates = world.provider.times("create").len();
    let options = RunOptions::default();
    let damaged = world.engine().resume(&run, options).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Local, "{damaged}");
    assert_eq!(world.provider.times("create").len(), creates);
    assert_eq!(world.provider.accepted(), 0);
}
