//! Clauses about creating a batch: the one call that can cost money.

use lmbatch_core::{CreateProof, Json, RawView, RequestView, Text};

use crate::capped::Capped;
use crate::kit::{Kit, generate, prompt};
use crate::wire::CallKind;

/// Longest request in bytes that a clause builds.
const LONG: u64 = 1 << 28;

/// `create` gives the id that the provider issued, as it issued it.
pub async fn a_create_gives_the_providers_batch_id(kit: &Kit) {
    let desk = kit.desk().await;
    let (_, created) = kit.create(&desk).await;
    assert_eq!(
        created.expect("the create is accepted"),
        kit.wire.batch_id(1)
    );
}

/// Between the first upload and the answer to the create every request travels once, whole, under an id
/// of its own: what is sent twice is paid for twice.
pub async fn a_create_sends_every_request_once(kit: &Kit) {
    let desk = kit.desk().await;
    let (_, created) = kit.create(&desk).await;
    created.expect("the create is accepted");
    let sent = desk.sent();
    for place in 0..2 {
        let prompt = prompt(place);
        let with = sent
            .iter()
            .filter(|sent| sent.body.to_string().contains(&prompt));
        assert_eq!(with.count(), 1, "{prompt:?} is sent once");
    }
    assert_eq!(sent.len(), 2, "nothing but the requests is sent");
    assert_ne!(sent[0].id, sent[1].id);
}

/// One `create` is one call that can cost money, whatever it says: trying again is the engine's business.
pub async fn a_create_is_one_call(kit: &Kit) {
    let desk = kit.desk().await;
    let (_, created) = kit.create(&desk).await;
    created.expect("the create is accepted");
    assert_eq!(desk.seen_of(CallKind::Create).len(), 1);
}

/// `stage` of what is staged sends nothing. A provider that takes requests in the create itself stages
/// nothing at all.
pub async fn what_is_staged_is_not_uploaded_again(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let intent = kit
        .intent(&*adapter, &shard)
        .await
        .expect("the input is staged");
    let before = desk.seen().len();
    let again = adapter.stage(&shard, Some(intent.staged.clone())).await;
    assert_eq!(again.expect("it is staged"), intent.staged);
    assert_eq!(desk.seen().len(), before, "nothing is sent");
}

/// What the provider keeps of us is with the create: our label where it is declared to be kept, a token
/// where one is taken. Where neither is, a batch shows its size and the time when it was made.
pub async fn a_create_can_be_recognised(kit: &Kit) {
    let desk = kit.desk().await;
    let (intent, created) = kit.create(&desk).await;
    let created = created.expect("the create is accepted");
    let adapter = kit.adapter(&desk);
    let request = desk.seen_of(CallKind::Create).remove(0);
    match adapter.codec().capabilities().create {
        CreateProof::Labelled => {
            assert_eq!(
                kit.wire.label(&request).as_deref(),
                Some(intent.label.as_str())
            );
        }
        CreateProof::Token => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let said = format!("{:?} {body}", request.headers);
            assert!(said.contains(intent.token.as_str()), "the token is sent");
        }
        CreateProof::CountAndTime => {
            let snapshot = adapter.status(&created).await.expect("a status");
            assert_eq!(snapshot.counts.total, Some(2));
            assert!(snapshot.created_at.is_some());
        }
    }
}

async fn come_back(kit: &Kit, ids: &[&str]) {
    let open = kit.open(ids).await;
    let rows: Vec<_> = (0..ids.len())
        .map(|place| open.yes(place, ids[place]))
        .collect();
    open.end(lmbatch_core::BatchStatus::Completed, &rows);
    let outcomes = open.outcomes().await;
    for (id, (found, outcome)) in ids.iter().zip(&outcomes) {
        assert_eq!(found.as_str(), *id, "an id comes back byte for byte");
        assert_eq!(outcome.as_result().expect("an answer").text(), *id);
    }
}

/// An id of 64 characters comes back byte for byte, whether it is sent or stands for another on the wire.
pub async fn ids_of_64_characters_come_back(kit: &Kit) {
    let long = "0123456789abcdef".repeat(4);
    let other = format!("{}X", &long[1..]);
    come_back(kit, &[&long, &other]).await;
}

/// So does one with spaces, within and around it.
pub async fn ids_with_spaces_come_back(kit: &Kit) {
    come_back(kit, &["a b", " a", "a ", "a"]).await;
}

/// So does one that looks like a path or a query: it is never part of a URL.
pub async fn ids_that_look_like_paths_come_back(kit: &Kit) {
    come_back(kit, &["../../etc/passwd", "a/b?c=d&e#f", "%2e%2e", ".."]).await;
}

/// So does one of any letters, and quotes and backslashes with them; letters that look alike differ.
pub async fn ids_of_any_letters_come_back(kit: &Kit) {
    come_back(
        kit,
        &[
            "größe-日本語-🦀",
            "e\u{301}",
            "\u{e9}",
            "\"\\\"",
            "\u{2028}",
        ],
    )
    .await;
}

/// The ids that are sent are those that the declared rule allows: a provider refuses a batch for one that
/// it does not take.
pub async fn ids_on_the_wire_keep_the_declared_rule(kit: &Kit) {
    for ids in [["plain", "other"], ["größe 1", "größe 2"]] {
        let open = kit.open(&ids).await;
        let adapter = kit.adapter(&open.desk);
        let rule = adapter.codec().capabilities().wire_ids;
        for id in &open.wire_ids {
            assert!(rule.allows(id), "{id:?} is not what {rule:?} allows");
        }
        let sent_as_they_are = ids.iter().all(|id| rule.allows(id));
        assert_eq!(
            open.wire_ids == ids,
            sent_as_they_are,
            "ids that are allowed are sent as they are: {:?}",
            open.wire_ids
        );
    }
}

/// The limits make sense together: a batch of one request fits, and every number has a bound that can be
/// reached.
pub async fn limits_are_declared_and_agree(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 1, "lmbatch-contract-0");
    let limits = adapter.codec().limits(&shard.class);
    assert!(limits.min_requests <= 1, "{limits:?}");
    assert!(
        (1..=10_000_000).contains(&limits.max_requests),
        "{limits:?}"
    );
    assert!(limits.max_request_bytes <= limits.max_bytes, "{limits:?}");
    assert!(
        shard.len() <= limits.max_bytes && limits.max_bytes <= 1 << 40,
        "{limits:?}"
    );
}

/// A request that is longer than the provider takes is refused before anything is sent.
pub async fn a_request_over_the_limit_is_refused_before_anything_is_sent(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let class = kit.shard(&*adapter, 1, "l").class;
    let limits = adapter.codec().limits(&class);
    let text = |bytes: u64| "x".repeat(bytes as usize);
    let refused = if limits.max_request_bytes <= LONG {
        let long = text(limits.max_request_bytes + 1);
        let requests = [("a".to_owned(), "Hello!".to_owned()), ("long".into(), long)];
        kit.invoker(&desk).batch().create(requests).await
    } else {
        // A limit that no memory reaches is declared to be one that it does. The engine refuses by what is
        // declared, whatever the number is.
        let capped = Capped::over(kit.adapter(&desk), LONG >> 8);
        let requests = [
            ("a".to_owned(), "Hello!".to_owned()),
            ("long".into(), text(LONG >> 8)),
        ];
        kit.invoker_of(capped).batch().create(requests).await
    };
    let error = refused.expect_err("a batch over the limit is refused");
    assert_eq!(
        error.kind(),
        lmbatch_core::ErrorKind::InvalidInput,
        "{error}"
    );
    assert!(desk.seen().is_empty(), "nothing is sent");
}

/// A body for an endpoint that is not declared, and one that asks to stream, are refused by `class`,
/// before anything is sent: with some providers one such line fails a whole batch.
pub async fn a_body_for_an_undeclared_endpoint_is_refused(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let codec = adapter.codec();
    let raw = |endpoint, body| {
        RequestView::Raw(RawView {
            model: Some(Text::Plain(kit.wire.model())),
            endpoint: Text::Plain(endpoint),
            body: Json::new(body).expect("JSON"),
        })
    };
    let plain = format!("{{\"model\":\"{}\"}}", kit.wire.model());
    let stream = format!("{{\"model\":\"{}\",\"stream\":true}}", kit.wire.model());
    codec
        .class(&raw("/nowhere", &plain))
        .expect_err("an endpoint that is not declared is refused");
    for endpoint in codec.capabilities().raw_endpoints {
        codec
            .class(&raw(endpoint, &plain))
            .expect("a declared endpoint is taken");
        codec
            .class(&raw(endpoint, &stream))
            .expect_err("a batch cannot stream");
    }
    assert!(desk.seen().is_empty());
}

/// What is encoded is one line of JSON, however the question is written.
pub async fn a_request_is_one_line_of_json(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let codec = adapter.codec();
    let text = "one\ntwo\r\nthree\u{2028}four \"quoted\" \\ \u{0} 🦀";
    let view = generate(kit.wire.model(), text);
    let class = codec.class(&view).expect("a plain question is of a class");
    let mut row = Vec::new();
    let id = lmbatch_core::WireId::verbatim("r0");
    codec
        .encode(&class, &id, &view, &mut row)
        .expect("it can be sent");
    assert!(!row.contains(&b'\n') && !row.contains(&b'\r'), "one line");
    let value: serde_json::Value = serde_json::from_slice(&row).expect("JSON");
    assert!(
        strings(&value).any(|one| one == text),
        "the question is in it as it was asked"
    );
}

fn strings(value: &serde_json::Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match value {
        serde_json::Value::String(text) => Box::new(std::iter::once(text.as_str())),
        serde_json::Value::Array(list) => Box::new(list.iter().flat_map(strings)),
        serde_json::Value::Object(object) => Box::new(object.values().flat_map(strings)),
        _ => Box::new(std::iter::empty()),
    }
}
