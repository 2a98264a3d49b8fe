//! Batches of a self-test: a few short requests with unusual ids and texts.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use futures::stream::{self, StreamExt as _};
use lmbatch::adapter::{
    BatchCodec, ByteStream, ContentView, GenerateView, Intent, MessageView, RequestView, Shard,
    ShardBody, Staged, TokenBounds, WireIdRule,
};
use lmbatch::{BatchClass, CreateToken, Hyperparameters, Nonce, Role, WireId};

use super::label::label;
use crate::exit::Failure;

/// Texts of the requests, short enough for an echo of 16 tokens.
const PROMPTS: [&str; 3] = [
    "Reply with the word ok.",
    "Grüße, 漢字, 😀: reply ok.",
    "Reply \"ok\" to a\\b & <c>.",
];

/// Id of a request, for a provider that accepts any character.
const ANY_ID: &str = "id/2 with ümlauts, 漢字, 😀, \"quotes\", \\ and <tags>";

/// Id of a request, for a provider that accepts letters, digits, `_` and `-`.
const WORD_ID: &str = "-_2-ID_";

/// Rows of a batch, in memory.
#[derive(Debug)]
struct Rows(Vec<u8>);

impl ShardBody for Rows {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn open(&self, range: Range<u64>) -> ByteStream {
        let part = self.0[range.start as usize..range.end as usize].to_vec();
        stream::iter([Ok(part.into())]).boxed()
    }
}

/// Batch that a self-test may create.
#[derive(Debug)]
pub(super) struct TinyBatch {
    pub(super) shard: Shard,
    /// Ids of the requests on the wire, in order.
    pub(super) ids: Vec<String>,
    /// Bounds of the tokens of each request.
    pub(super) bounds: Vec<TokenBounds>,
}

impl TinyBatch {
    /// Returns the intent of a create, without the newest batch before it.
    pub(super) fn intent(&self, staged: Staged) -> Intent {
        let shard = &self.shard;
        Intent {
            label: shard.label.clone(),
            class: shard.class.clone(),
            count: shard.count,
            bytes: shard.len(),
            staged,
            token: CreateToken::new(shard.label.as_str()),
            posted_at: None,
            watermark: None,
            watermark_at: None,
            foreign_batches: Vec::new(),
        }
    }
}

/// Writer of batches for one model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) codec: &'a dyn BatchCodec,
    pub(super) model: &'a str,
    /// Largest number of output tokens of a request.
    pub(super) max_tokens: u32,
    pub(super) nonce: &'a Nonce,
}

impl Writer<'_> {
    /// Writes a batch of `count` requests, or of more where the provider needs more.
    ///
    /// # Errors
    /// Usage, where the adapter refuses a request.
    pub(super) fn batch(&self, number: u32, count: u32) -> Result<TinyBatch, Failure> {
        let refused = |error: lmbatch::RequestError| {
            let why = error
                .message()
                .map_or_else(|| error.to_string(), str::to_owned);
            Failure::usage(format!("the requests of the self-test are refused: {why}"))
        };
        let class = self
            .codec
            .class(&self.request(PROMPTS[0]))
            .map_err(refused)?;
        let count = count.max(self.codec.limits(&class).min_requests);
        let frame = self.codec.frame(&class, &label(self.nonce, number));
        let (mut rows, mut ids, mut bounds) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..count {
            let id = self.id(at);
            let mut row = Vec::new();
            let prompt = PROMPTS[at as usize % PROMPTS.len()];
            let request = self.request(prompt);
            let encoded = self.codec.encode(&class, &id, &request, &mut row);
            encoded.map_err(refused)?;
            if at > 0 {
                rows.extend_from_slice(&frame.separator);
            }
            bounds.push(self.bounds(&class, &row));
            rows.extend_from_slice(&row);
            ids.push(id.as_str().to_owned());
        }
        Ok(TinyBatch {
            shard: Shard {
                class,
                label: label(self.nonce, number),
                count,
                frame,
                rows: Arc::new(Rows(rows)),
            },
            ids,
            bounds,
        })
    }

    /// Returns the bounds of the tokens of a request, with its model where only the batch names it.
    fn bounds(&self, class: &BatchClass, row: &[u8]) -> TokenBounds {
        let mut bounds = self.codec.token_bounds(class, row);
        bounds.model.get_or_insert_with(|| self.model.to_owned());
        bounds
    }

    fn request<'p>(&'p self, prompt: &'p str) -> RequestView<'p> {
        RequestView::Generate(GenerateView {
            model: self.model.into(),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents: vec![ContentView::Text(prompt.into())],
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters {
                max_output_tokens: Some(self.max_tokens),
                ..Hyperparameters::default()
            }),
        })
    }

    /// Returns the id of a request: the first and all from the fourth on as runs number them, so that `doctor`
    /// recognises the batch by its rows; the second as long as the provider allows; the third of unusual characters.
    fn id(&self, at: u32) -> WireId {
        let rule = self.codec.capabilities().wire_ids;
        let special = match at {
            1 => Some(longest(rule)),
            2 if rule.ascii_word => Some(WORD_ID.to_owned()),
            2 => Some(ANY_ID.chars().take(rule.max_chars).collect()),
            _ => None,
        };
        match special.filter(|id| rule.allows(id)) {
            Some(id) => WireId::verbatim(&id),
            None => WireId::ordinal(self.nonce, at),
        }
    }
}

/// Returns an id of the largest number of characters that a rule allows.
fn longest(rule: WireIdRule) -> String {
    "Long-id_09".chars().cycle().take(rule.max_chars).collect()
}

#[cfg(test)]
mod tests {
    use lmbatch::engine::SystemRng;

    use super::*;
    use crate::commands::selftest::label::nonce;
    use crate::providers;

    #[test]
    fn every_route_accepts_the_requests_and_their_ids() {
        let nonce = nonce(&SystemRng);
        for provider in providers::all() {
            for route in provider.routes() {
                let codec = provider.codec(route);
                let writer = Writer {
                    codec: &*codec,
                    model: "gemini-2.5-flash-lite",
                    max_tokens: 16,
                    nonce: &nonce,
                };
                let batch = writer.batch(0, 3).unwrap();
                assert_eq!((batch.shard.count, batch.ids.len()), (3, 3), "{route}");
                let rule = codec.capabilities().wire_ids;
                assert_eq!(batch.ids[1].chars().count(), rule.max_chars);
                assert_ne!(batch.ids[2], WireId::ordinal(&nonce, 2).as_str(), "{route}");
                assert_eq!(WireId::parse_ordinal(&nonce, &batch.ids[0]), Some(0));
                for bounds in &batch.bounds {
                    assert_eq!(bounds.output, Some(16), "{route}");
                    assert!(bounds.input.is_some() && bounds.model.is_some(), "{route}");
                }
            }
        }
    }
}
