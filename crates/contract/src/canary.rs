//! Sends requests through the adapter and searches for their values in what the provider received.

use std::sync::Arc;

use bytes::Bytes;
use lmbatch_core::{
    BatchClass, BatchProvider, CreateToken, GenerateView, Intent, Json, Label, RequestView, Shard,
    SourceView, Text, WireId,
};
use serde_json::Value;

use crate::kit::{Kit, generate};
use crate::wire::Sent;

/// Everything that the provider received for one batch.
pub(crate) struct Arrived {
    /// Model requests in order, as the wire reads them.
    pub(crate) sent: Vec<Sent>,
    /// URL and body of every HTTP request.
    pub(crate) requests: Vec<(String, Vec<u8>)>,
}

impl Kit {
    /// Returns a plain question, to which a clause adds its own feature.
    pub(crate) fn question<'a>(&'a self, text: &'a str) -> GenerateView<'a> {
        match generate(self.wire.model(), text) {
            RequestView::Generate(view) => view,
            _ => panic!("the sample question is a conversation"),
        }
    }

    /// Encodes requests for one batch; `None` if `class` or `encode` refuses one of them.
    pub(crate) fn encoded(
        &self,
        adapter: &dyn BatchProvider,
        label: &str,
        requests: &[RequestView<'_>],
    ) -> Option<Shard> {
        let codec = adapter.codec();
        let classes = requests.iter().map(|request| codec.class(request));
        let classes: Result<Vec<BatchClass>, _> = classes.collect();
        let class = classes.ok()?.first()?.clone();
        let label = Label::new(label);
        let frame = codec.frame(&class, &label);
        let mut rows = Vec::new();
        for (place, request) in requests.iter().enumerate() {
            if place > 0 {
                rows.extend_from_slice(&frame.separator);
            }
            let id = WireId::verbatim(&format!("r{place}"));
            codec.encode(&class, &id, request, &mut rows).ok()?;
        }
        Some(Shard {
            class,
            label,
            count: requests.len() as u32,
            frame,
            rows: Arc::new(Bytes::from(rows)),
        })
    }

    /// Sends requests in one batch; `None` if `class` or `encode` refuses one of them before anything is sent.
    pub(crate) async fn arrives(&self, requests: &[RequestView<'_>]) -> Option<Arrived> {
        let desk = self.desk().await;
        let adapter = self.adapter(&desk);
        let shard = self.encoded(&*adapter, "lmbatch-contract-0", requests)?;
        let intent = self.intent(&*adapter, &shard).await;
        let intent = intent.expect("what class and encode take can be staged");
        let created = adapter.create(&shard, &intent).await;
        created.expect("what class and encode take can be created");
        let seen = desk.seen().into_iter();
        let requests = seen.map(|(_, request)| (request.url.to_string(), request.body));
        Some(Arrived {
            sent: desk.sent(),
            requests: requests.collect(),
        })
    }

    /// Sends one conversation in a batch of its own; `None` if it is refused.
    pub(crate) async fn arrives_alone(&self, view: GenerateView<'_>) -> Option<Arrived> {
        let arrived = self.arrives(&[RequestView::Generate(view)]).await?;
        assert_eq!(
            arrived.sent.len(),
            1,
            "one request must be sent as one request"
        );
        Some(arrived)
    }

    /// Sends one conversation and checks that all canaries are received. A refusal before sending passes as well.
    pub(crate) async fn must_arrive(&self, what: &str, view: GenerateView<'_>, canaries: &[&str]) {
        if let Some(arrived) = self.arrives_alone(view).await {
            for canary in canaries {
                assert!(arrived.holds(canary), "{what}: {canary:?} is left out");
            }
        }
    }

    /// Returns whether a conversation can be encoded.
    pub(crate) async fn can_ask(&self, view: GenerateView<'_>) -> bool {
        let desk = self.desk().await;
        let adapter = self.adapter(&desk);
        let request = [RequestView::Generate(view)];
        self.encoded(&*adapter, "lmbatch-contract-0", &request)
            .is_some()
    }

    /// Stages a shard for a create with the given token.
    pub(crate) async fn intent_under(
        &self,
        adapter: &dyn BatchProvider,
        shard: &Shard,
        token: &str,
    ) -> Intent {
        let intent = self.intent(adapter, shard).await;
        Intent {
            token: CreateToken::new(token),
            ..intent.expect("the input is staged")
        }
    }
}

impl Arrived {
    /// Returns the body of the single request.
    pub(crate) fn body(&self) -> &Value {
        &self.sent[0].body
    }

    /// Returns whether a text of the single request contains the canary.
    pub(crate) fn holds(&self, canary: &str) -> bool {
        self.count(canary) > 0
    }

    /// Returns the number of texts of the single request that contain the canary.
    pub(crate) fn count(&self, canary: &str) -> usize {
        let texts = texts(self.body());
        texts.iter().filter(|text| text.contains(canary)).count()
    }

    /// Returns the first occurrence of the canary in the single request: index of the text, and byte offset in it.
    pub(crate) fn place(&self, canary: &str) -> Option<(usize, usize)> {
        let texts = texts(self.body());
        let mut places = texts.iter().enumerate();
        places.find_map(|(place, text)| Some((place, text.find(canary)?)))
    }

    /// Returns the JSON pointers to a number in the single request.
    pub(crate) fn places_of(&self, number: f64) -> Vec<String> {
        let mut places = Vec::new();
        numbers(self.body(), "", &mut |at, found| {
            if found == number {
                places.push(at.to_owned());
            }
        });
        places
    }

    /// Returns whether a URL or body of the batch contains the canary.
    pub(crate) fn holds_anywhere(&self, canary: &str) -> bool {
        let own = self.sent.iter().flat_map(|sent| texts(&sent.body));
        let mut own = own.filter(|text| text.contains(canary));
        own.next().is_some()
            || self.requests.iter().any(|(url, body)| {
                url.contains(canary) || String::from_utf8_lossy(body).contains(canary)
            })
    }
}

/// Returns every text of a value in order: member names, strings, and strings decoded from base64 or JSON.
pub(crate) fn texts(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(value, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let inner: Option<Value> = Some(text)
                .filter(|text| text.starts_with(['{', '[']))
                .and_then(|text| serde_json::from_str(text).ok());
            match inner {
                Some(inner) => collect(&inner, found),
                None => found.push(decoded(text).unwrap_or_else(|| text.clone())),
            }
        }
        Value::Array(list) => list.iter().for_each(|one| collect(one, found)),
        Value::Object(object) => {
            for (name, one) in object {
                found.push(name.clone());
                collect(one, found);
            }
        }
        _ => {}
    }
}

/// Decodes base64 or a `data:` URL. An ordinary word is rarely valid base64, and its decoded bytes then match no
/// canary.
fn decoded(text: &str) -> Option<String> {
    let data = text.rsplit_once(";base64,").map(|(_, data)| data);
    let long = data.is_some() || text.len() >= 24;
    let source = SourceView::Base64(Text::Plain(data.unwrap_or(text)));
    let bytes = source.decode_base64().filter(|_| long)?;
    // Both forms, so that a word that happens to be valid base64 is found as well.
    Some(format!("{text} {}", String::from_utf8_lossy(&bytes)))
}

fn numbers(value: &Value, at: &str, found: &mut impl FnMut(&str, f64)) {
    match value {
        Value::Number(number) => found(at, number.as_f64().unwrap_or(f64::NAN)),
        Value::Array(list) => {
            for (place, one) in list.iter().enumerate() {
                numbers(one, &format!("{at}/{place}"), found);
            }
        }
        Value::Object(object) => {
            for (name, one) in object {
                numbers(one, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Returns the `marks` in the smallest object that contains the canary and at least one of them.
pub(crate) fn beside<'m>(value: &Value, canary: &str, marks: &[&'m str]) -> Vec<&'m str> {
    let holds = |value: &Value, what: &str| texts(value).iter().any(|text| text.contains(what));
    let mut at = value;
    let mut smallest = Vec::new();
    loop {
        let found: Vec<&str> = marks
            .iter()
            .copied()
            .filter(|mark| holds(at, mark))
            .collect();
        if !holds(at, canary) || found.is_empty() {
            return smallest;
        }
        if at.is_object() {
            smallest = found;
        }
        let inner: Box<dyn Iterator<Item = &Value>> = match at {
            Value::Array(list) => Box::new(list.iter()),
            Value::Object(object) => Box::new(object.values()),
            _ => return smallest,
        };
        match inner.into_iter().find(|one| holds(one, canary)) {
            Some(one) => at = one,
            None => return smallest,
        }
    }
}

/// Parses a raw body in the provider's format.
pub(crate) fn json(text: &str) -> Json<'_> {
    Json::new(text).expect("JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_found_in_base64_in_json_and_in_data_urls() {
        let value = json!({
            "name": ["plain"],
            "data": "cGljdHVyZS1jYW5hcnktaW4tYmFzZTY0",
            "url": "data:image/png;base64,dXJs",
            "arguments": "{\"city\":\"inner\"}",
        });
        let found = texts(&value);
        for canary in ["name", "plain", "picture-canary", "url", "city", "inner"] {
            assert!(found.iter().any(|text| text.contains(canary)), "{canary}");
        }
        assert!(!found.iter().any(|text| text.contains("absent")));
    }

    #[test]
    fn marks_stand_with_what_is_in_the_same_object() {
        let value = json!([
            {"id": "a", "output": {"text": "one"}},
            {"id": "b", "output": {"text": "two"}},
        ]);
        assert_eq!(beside(&value, "one", &["a", "b"]), ["a"]);
        assert_eq!(beside(&value, "two", &["a", "b"]), ["b"]);
        assert!(beside(&json!([{"id": "a"}, "one"]), "one", &["a"]).is_empty());
    }
}
