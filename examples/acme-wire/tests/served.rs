//! Acme as it is played on this machine, by its adapter.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;

use acme_wire::{AcmeWire, serve};
use bytes::Bytes;
use futures::TryStreamExt as _;
use lmbatch_contract::Wire as _;
use lmbatch_core::{
    BatchId, BatchProvider, BatchStatus, Chunk, ContentView, CreateToken, Delivery, ErrorKind,
    GenerateView, Intent, ItemView, Label, ListOptions, MessageView, OutcomeView, RemoteObject,
    RequestView, Result, Role, Shard, WireId,
};

/// A shard of requests, each with its id and what it asks.
fn shard(acme: &dyn BatchProvider, label: &str, asked: &[(&str, &str)]) -> Shard {
    let codec = acme.codec();
    let mut rows = Vec::new();
    let mut frame = None;
    for (id, text) in asked {
        let request = RequestView::Generate(GenerateView {
            model: "m".into(),
            system: Some("be brief".into()),
            messages: vec![MessageView {
                role: Role::User,
                contents: vec![ContentView::Text((*text).into())],
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::default(),
        });
        let class = codec.class(&request).unwrap();
        let around = codec.frame(&class, &Label::new(label));
        if !rows.is_empty() {
            rows.extend_from_slice(&around.separator);
        }
        let id = WireId::verbatim(id);
        codec.encode(&class, &id, &request, &mut rows).unwrap();
        frame = Some((class, around));
    }
    let (class, frame) = frame.unwrap();
    Shard {
        class,
        label: Label::new(label),
        count: asked.len() as u32,
        frame,
        rows: Arc::new(Bytes::from(rows)),
    }
}

async fn staged(acme: &dyn BatchProvider, shard: &Shard) -> Intent {
    Intent {
        label: shard.label.clone(),
        class: shard.class.clone(),
        count: shard.count,
        bytes: shard.len(),
        staged: acme.stage(shard, None).await.unwrap(),
        token: CreateToken::new(shard.label.as_str()),
        posted_at: None,
        watermark: None,
        watermark_at: None,
        foreign_batches: Vec::new(),
    }
}

async fn create(acme: &dyn BatchProvider, label: &str, asked: &[(&str, &str)]) -> BatchId {
    let shard = shard(acme, label, asked);
    let intent = staged(acme, &shard).await;
    acme.create(&shard, &intent).await.unwrap()
}

/// Asks for the status until the batch has ended.
async fn ended(acme: &dyn BatchProvider, batch: &BatchId) -> BatchStatus {
    for _ in 0..5 {
        let status = acme.status(batch).await.unwrap().status;
        if status.is_terminal() {
            return status;
        }
    }
    panic!("{batch:?} does not end");
}

/// Returns a text for each row by its id; fails if a row comes twice.
async fn outcome_of(acme: &dyn BatchProvider, batch: &BatchId) -> Result<BTreeMap<String, String>> {
    let set = acme.results(None, batch).await?;
    assert!(set.complete, "{set:?}");
    let mut told = BTreeMap::new();
    for part in set.parts {
        let chunks: Vec<Chunk> = acme.read(&part, 0).await?.try_collect().await?;
        let mut rows = Vec::new();
        for chunk in chunks {
            let Chunk::Bytes(bytes) = chunk else {
                panic!("one part")
            };
            rows.extend_from_slice(&bytes);
        }
        for row in rows
            .split(|byte| *byte == b'\n')
            .filter(|row| !row.is_empty())
        {
            let mut rows = lmbatch_core::RowReader::new();
            let view = acme.codec().decode(&part, rows.read(row)).unwrap();
            let said = match view.outcome {
                OutcomeView::Succeeded(output) => match &output.items[0] {
                    ItemView::Text(text) => text.decode().into_owned(),
                    other => panic!("{other:?}"),
                },
                OutcomeView::Errored(failure) => failure.kind.as_str().to_owned(),
                other => panic!("{other:?}"),
            };
            let id = view.id.unwrap().decode().into_owned();
            assert_eq!(told.insert(id, said), None, "one row a request");
        }
    }
    Ok(told)
}

fn pairs(told: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let told = told.iter();
    told.map(|(id, said)| (id.as_str(), said.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_are_created_side_by_side_have_the_results_of_their_own_requests() {
    for route in ["file", "inline"] {
        let server = serve(route).await.unwrap();
        let acme = AcmeWire(route).adapter(&server.url(), "key");
        let first = shard(&*acme, "one", &[("a", "first"), ("b", "fail")]);
        let second = shard(&*acme, "two", &[("a", "second"), ("c", "third")]);
        // Both are uploaded before either is created, and the later upload is created first.
        let (one, two) = (staged(&*acme, &first).await, staged(&*acme, &second).await);
        let two = acme.create(&second, &two).await.unwrap();
        let one = acme.create(&first, &one).await.unwrap();
        assert_eq!(server.creates(), 2);
        assert_eq!(ended(&*acme, &one).await, BatchStatus::Completed);
        assert_eq!(ended(&*acme, &two).await, BatchStatus::Completed);
        let told_of_one = outcome_of(&*acme, &one).await.unwrap();
        assert_eq!(
            pairs(&told_of_one),
            [("a", "FIRST"), ("b", "provider_internal")],
            "{route}"
        );
        let told_of_two = outcome_of(&*acme, &two).await.unwrap();
        assert_eq!(
            pairs(&told_of_two),
            [("a", "SECOND"), ("c", "THIRD")],
            "{route}"
        );
        let counts = acme.status(&one).await.unwrap().counts;
        assert_eq!(
            (counts.total, counts.succeeded, counts.errored),
            (Some(2), 1, 1)
        );
        let listed = acme.list(&ListOptions::default()).await.unwrap();
        let listed: Vec<_> = listed.items.iter().map(|batch| &batch.id).collect();
        assert_eq!(listed, [&one, &two], "newest first");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_cancelled_in_time_answers_nothing() {
    for route in ["file", "inline"] {
        let server = serve(route).await.unwrap();
        let acme = AcmeWire(route).adapter(&server.url(), "key");
        let batch = create(&*acme, "one", &[("a", "first"), ("b", "second")]).await;
        assert_eq!(
            acme.status(&batch).await.unwrap().status,
            BatchStatus::InProgress
        );
        acme.cancel(&batch).await.unwrap();
        assert_eq!(ended(&*acme, &batch).await, BatchStatus::Cancelled);
        assert!(outcome_of(&*acme, &batch).await.unwrap().is_empty());
        // One that has ended is ended, and stays as it is.
        acme.cancel(&batch).await.unwrap();
        let other = create(&*acme, "two", &[("a", "first")]).await;
        ended(&*acme, &other).await;
        acme.cancel(&other).await.unwrap();
        assert_eq!(outcome_of(&*acme, &other).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_acme_does_not_take_is_refused_in_its_own_words() {
    let server = serve("file").await.unwrap();
    let acme = AcmeWire("file").adapter(&server.url(), "key");
    let unknown = acme.status(&BatchId::new("batch-7")).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::BatchNotFound);
    let stranger = AcmeWire("file").adapter(&server.url(), "bad-key");
    let refused = stranger.list(&ListOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ProviderAuth);
    // Without its input a create is refused, also one that comes late.
    let shard = shard(&*acme, "one", &[("a", "first")]);
    let intent = staged(&*acme, &shard).await;
    let file = intent.staged.file().unwrap();
    acme.discard(&RemoteObject::File(file.into()))
        .await
        .unwrap();
    let late = acme.create(&shard, &intent).await.unwrap_err();
    assert_eq!(late.delivery(), Delivery::Refused);
    assert_eq!(server.creates(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_dropped_listens_no_more() {
    let server = serve("file").await.unwrap();
    let addr = server.addr();
    drop(TcpStream::connect(addr).unwrap());
    drop(server);
    let closed = (0..200).any(|_| {
        let connected = TcpStream::connect(addr).is_ok();
        std::thread::yield_now();
        !connected
    });
    assert!(closed, "{addr} still listens");
}
