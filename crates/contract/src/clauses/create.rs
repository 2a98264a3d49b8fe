//! Clauses about creating a batch, the only call that can cost money.

use lmbatch_core::{CreateProof, Json, RawView, RequestView, Text};

use crate::capped::Capped;
use crate::kit::{Kit, generate, prompt};
use crate::wire::CallKind;

/// Longest request that a clause builds, in bytes.
const LONG: u64 = 1 << 28;

/// `create` returns the batch id exactly as the provider issued it.
pub async fn a_create_returns_the_batch_id_of_the_provider(kit: &Kit) {
    let desk = kit.desk().await;
    let (_, created) = kit.create(&desk).await;
    assert_eq!(
        created.expect("the create is accepted"),
        kit.wire.batch_id(1)
    );
}

/// From the first upload to the response to the create, every request is sent once, complete, and under an id of its
/// own. A request that is sent twice is paid for twice.
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
        assert_eq!(with.count(), 1, "{prompt:?} must be sent once");
    }
    assert_eq!(sent.len(), 2, "only the requests may be sent");
    assert_ne!(sent[0].id, sent[1].id);
}

/// One call to `create` sends one create request, for any response; retries are the engine's task.
pub async fn a_create_makes_exactly_one_create_call(kit: &Kit) {
    let desk = kit.desk().await;
    let (_, created) = kit.create(&desk).await;
    created.expect("the create is accepted");
    assert_eq!(desk.seen_of(CallKind::Create).len(), 1);
}

/// `stage` sends nothing for an input that is already staged. An adapter whose create carries the requests inline
/// stages nothing at all.
pub async fn a_staged_input_is_not_uploaded_again(kit: &Kit) {
    let desk = kit.desk().await;
    let adapter = kit.adapter(&desk);
    let shard = kit.shard(&*adapter, 2, "lmbatch-contract-0");
    let intent = kit
        .intent(&*adapter, &shard)
        .await
        .expect("the input is staged");
    let before = desk.seen().len();
    let again = adapter.stage(&shard, Some(intent.staged.clone())).await;
    assert_eq!(again.expect("the input is staged"), intent.staged);
    assert_eq!(desk.seen().len(), before, "no request may be sent");
}

/// A created batch can be identified: it carries lmbatch's label where the adapter declares labels, or the token of
/// the create where it declares tokens. Where it declares neither, the batch shows its request count and creation
/// time.
pub async fn a_created_batch_can_be_identified(kit: &Kit) {
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
            assert!(
                said.contains(intent.token.as_str()),
                "the token must be sent"
            );
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
        assert_eq!(found.as_str(), *id, "an id must be returned byte for byte");
        assert_eq!(outcome.as_result().expect("an answer").text(), *id);
    }
}

/// Ids of 64 characters are returned byte for byte, whether they are sent or replaced by wire ids.
pub async fn ids_of_64_characters_are_returned_unchanged(kit: &Kit) {
    let long = "0123456789abcdef".repeat(4);
    let other = format!("{}X", &long[1..]);
    come_back(kit, &[&long, &other]).await;
}

/// Ids with spaces inside or around them are returned byte for byte.
pub async fn ids_with_spaces_are_returned_unchanged(kit: &Kit) {
    come_back(kit, &["a b", " a", "a ", "a"]).await;
}

/// Ids that look like a path or a query are returned byte for byte; no id becomes part of a URL.
pub async fn ids_that_look_like_paths_are_returned_unchanged(kit: &Kit) {
    come_back(kit, &["../../etc/passwd", "a/b?c=d&e#f", "%2e%2e", ".."]).await;
}

/// Ids with Unicode letters, quotes and backslashes are returned byte for byte; letters that look alike stay distinct.
pub async fn ids_with_unicode_and_quotes_are_returned_unchanged(kit: &Kit) {
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

/// Wire ids follow the declared rule, since a provider refuses a whole batch for one invalid id.
pub async fn wire_ids_follow_the_declared_rule(kit: &Kit) {
    for ids in [["plain", "other"], ["größe 1", "größe 2"]] {
        let open = kit.open(&ids).await;
        let adapter = kit.adapter(&open.desk);
        let rule = adapter.codec().capabilities().wire_ids;
        for id in &open.wire_ids {
            assert!(rule.allows(id), "{rule:?} does not allow the id {id:?}");
        }
        let sent_as_they_are = ids.iter().all(|id| rule.allows(id));
        assert_eq!(
            open.wire_ids == ids,
            sent_as_they_are,
            "allowed ids must be sent unchanged: {:?}",
            open.wire_ids
        );
    }
}

/// The declared limits are consistent: a batch of one request fits, and every quantity has a limit that can be
/// reached.
pub async fn declared_limits_are_consistent(kit: &Kit) {
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

/// A request that exceeds the provider's size limit is refused before anything is sent.
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
        // Limits larger than the memory of a test are replaced by a smaller declared limit. The engine refuses by the
        // declared limit of any size.
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
    assert!(desk.seen().is_empty(), "no request may be sent");
}

/// `class` refuses a body for an undeclared endpoint, and one that asks to stream, before anything is sent: at some
/// providers one such line fails a whole batch.
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

/// An encoded request is one line of JSON, for any characters in the question.
pub async fn an_encoded_request_is_one_line_of_json(kit: &Kit) {
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
        "the line must hold the question unchanged"
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
