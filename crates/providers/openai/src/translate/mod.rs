//! Pure: a request into a line of an input file, a row of a result file into an outcome.

mod bounds;
pub(crate) mod chat;
mod items;
mod json;
pub(crate) mod outcome;
mod responses;
mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, FollowUp, JsonView, Limits, OpenedRow,
    OutcomeView, ProviderId, RequestError, RequestView, ResponseSchema, ResultPart, RowError,
    TokenBounds, WireId, WireIdRule,
};

use crate::chat::{Chat, Dialect};
use crate::config::Endpoint;

/// Endpoints whose bodies are passed on byte for byte (OpenAI's batch reference, 2026-11-12).
const RAW_ENDPOINTS: &[&str] = &[
    "/v1/responses",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
];

/// "Output files are deleted 30 days after the batch completes" (OpenAI batch guide, 2026), unless the
/// create says less.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Route of all batches: requests in an uploaded file of lines.
const ROUTE: &str = "file";

/// Returns the codec for an OpenAI endpoint. Needs no key.
pub fn codec(endpoint: Endpoint) -> OpenAiCodec {
    OpenAiCodec::new(endpoint)
}

/// Codec for OpenAI's batch API. Needs no key.
///
/// ```
/// use lmbatch_core::BatchCodec;
/// use lmbatch_openai::{Endpoint, OpenAiCodec};
/// let codec = OpenAiCodec::new(Endpoint::Responses);
/// assert!(codec.capabilities().fence && codec.capabilities().wire_ids.allows("any/id, at all"));
/// ```
#[derive(Debug, Clone)]
pub struct OpenAiCodec {
    id: ProviderId,
    capabilities: Capabilities,
    endpoint: Endpoint,
    /// Chat completions, and the schemas of both endpoints.
    chat: Chat,
}

impl OpenAiCodec {
    /// The codec of an endpoint. Results are read the same whichever it is.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            id: ProviderId::new("openai"),
            capabilities: Capabilities {
                create: CreateProof::Labelled,
                fence: true,
                // Not documented; a range that comes is the one that was asked for, or it is not read.
                ranges: true,
                list: true,
                // "limit: 1 to 100" (API reference, 2026-11).
                status_page: Some(100),
                cancel: true,
                discard: true,
                token_lifetime: None,
                // No maximum is documented; ids over 100 characters, with spaces and unicode, came back
                // byte for byte (third-party live capture, 2026-09-02). 256 is our choice.
                wire_ids: WireIdRule {
                    max_chars: 256,
                    ascii_word: false,
                },
                retention: Some(KEPT),
                raw_endpoints: RAW_ENDPOINTS,
            },
            endpoint,
            chat: Chat::new(Dialect::OPENAI),
        }
    }

    /// With files that are kept for less.
    pub(crate) fn keeping(mut self, expires: Option<Duration>) -> Self {
        self.capabilities.retention = Some(expires.unwrap_or(KEPT));
        self
    }
}

impl BatchCodec for OpenAiCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    // "Each input file can only include requests to a single model" (OpenAI batch guide, 2026).
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        let model = Dialect::OPENAI.model_of(request, RAW_ENDPOINTS)?;
        let endpoint = match request {
            RequestView::Raw(raw) => raw.endpoint.decode(),
            _ => self.endpoint.path().into(),
        };
        Ok(BatchClass {
            model: Some(model.into()),
            endpoint: endpoint.into(),
            route: ROUTE.into(),
            variant: BTreeMap::new(),
        })
    }

    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        match request {
            RequestView::Generate(generate) => {
                class.model.as_deref() == Some(&*generate.model.decode())
                    && *class.endpoint == *self.endpoint.path()
                    && *class.route == *ROUTE
                    && class.variant.is_empty()
            }
            _ => self.class(request).is_ok_and(|own| own == *class),
        }
    }

    // "up to 50,000 requests", "up to 200 MB in size" (OpenAI batch guide, 2026); megabytes taken as the smaller.
    fn limits(&self, _: &BatchClass) -> Limits {
        Limits {
            min_requests: 1,
            max_requests: 50_000,
            max_bytes: 200_000_000,
            max_request_bytes: 200_000_000,
            enqueued_tokens: None,
        }
    }

    fn body(
        &self,
        class: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let RequestView::Generate(generate) = request else {
            return self.chat.body(request, out);
        };
        // The class says where the batch goes: it may be older than this codec's configuration.
        if *class.endpoint == *Endpoint::ChatCompletions.path() {
            return self.chat.body(request, out);
        }
        let at = out.len();
        let schema = generate.schema;
        let schema = schema.map(|schema| self.chat.sent(schema)).transpose()?;
        responses::write(generate, schema.as_deref(), out)?;
        generate.hyperparameters.merge_into(at, out)
    }

    fn follow_up(
        &self,
        class: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        match &*class.endpoint {
            "/v1/responses" => responses::follow_up(body, turns, out),
            "/v1/chat/completions" => self.chat.follow_up(body, turns, out),
            endpoint => Err(RequestError::unsupported(format!(
                "openai's {endpoint} has no conversations"
            ))),
        }
    }

    fn schema_notes(
        &self,
        _: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        self.chat.schema_notes(schema)
    }

    fn token_bounds(&self, class: &BatchClass, row: &[u8]) -> TokenBounds {
        bounds::bounds(&class.endpoint, row)
    }

    fn head(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"custom_id\":");
        lmbatch_core::write_string(id.as_str(), out);
        out.extend_from_slice(b",\"method\":\"POST\",\"url\":");
        lmbatch_core::write_string(&class.endpoint, out);
        out.extend_from_slice(b",\"body\":");
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        Dialect::OPENAI.open(row)
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        Dialect::OPENAI.answer(answer)
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["custom_id"]]
    }
}

#[cfg(test)]
mod follow_up_tests;
#[cfg(test)]
mod tests;
