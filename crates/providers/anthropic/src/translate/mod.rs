//! Pure: a request into an element of a create's body, a row of the results into an outcome.

mod bounds;
mod content;
mod models;
mod outcome;
mod request;
mod schema;

use std::collections::BTreeMap;
use std::time::Duration;

use lmbatch_core::schemas::Cache;
use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, ContentView, CreateProof, FollowUp, Frame, GenerateView,
    JsonView, Label, Limits, OpenedRow, OutcomeView, ProviderId, RequestError, RequestView,
    ResponseSchema, ResultPart, RowError, SourceView, TokenBounds, WireId, WireIdRule,
};

use crate::config::AnthropicConfig;
use crate::wire::RawSampling;

/// The endpoint of each request of a batch.
const ENDPOINT: &str = "/v1/messages";
/// Route of all batches: requests in the body of the create.
const ROUTE: &str = "inline";
/// The newest API version, of 2026-10-21.
pub(crate) const NEWEST: &str = "2026-10-21";
/// The version before. `temperature`, `top_p` and `top_k` exist only in it: "temperature: Extra inputs are
/// not permitted" (HTTP 400 of 2026-10-21; versioning page, and one public report, 2026-10-31).
const WITH_SAMPLING: &str = "2023-06-01";
/// Needed by requests that name files at the provider (SDK 2.12.0, 2026-11).
const FILES_BETA: &str = "files-api-2025-04-14";
/// Variants of the class: headers of the create, hence the same for a whole batch.
pub(crate) const VERSION: &str = "version";
pub(crate) const BETAS: &str = "betas";

const ONLY: &str = "anthropic: only generate requests and anthropic's own bodies";

/// Codec for Anthropic's Message Batches API. Needs no key.
///
/// ```
/// use lmbatch_anthropic::{AnthropicCodec, AnthropicConfig};
/// use lmbatch_core::BatchCodec;
/// let codec = AnthropicCodec::new(&AnthropicConfig::default());
/// assert!(codec.capabilities().wire_ids.allows("row_1") && !codec.capabilities().wire_ids.allows("any/id"));
/// ```
#[derive(Debug, Clone)]
pub struct AnthropicCodec {
    id: ProviderId,
    capabilities: Capabilities,
    version: Option<String>,
    betas: Vec<String>,
    max_tokens: u32,
    schemas: Cache,
}

impl AnthropicCodec {
    /// Creates a codec with the given configuration. Results are read in the same way for every configuration.
    pub fn new(config: &AnthropicConfig) -> Self {
        Self {
            id: ProviderId::new("anthropic"),
            capabilities: Capabilities {
                create: CreateProof::CountAndTime,
                fence: false,
                ranges: false,
                list: true,
                // "limit: ranges from 1 to 1000" (API reference, 2026-08).
                status_page: Some(1000),
                cancel: true,
                discard: true,
                token_lifetime: None,
                // "custom_id: 1 to 64 characters, ^[a-zA-Z0-9_-]{1,64}$" (API reference, 2026-08).
                wire_ids: WireIdRule {
                    max_chars: 64,
                    ascii_word: true,
                },
                // "Results are available for 29 days after creation" (batch guide, 2026-08).
                retention: Some(Duration::from_secs(29 * 24 * 3600)),
                raw_endpoints: &[ENDPOINT],
            },
            version: config.version.clone(),
            betas: config.betas.clone(),
            max_tokens: config.max_tokens,
            schemas: Cache::default(),
        }
    }

    fn version(&self, sampling: bool) -> &str {
        let needed = if sampling { WITH_SAMPLING } else { NEWEST };
        self.version.as_deref().unwrap_or(needed)
    }

    fn variant(&self, sampling: bool, files: bool) -> BTreeMap<Box<str>, Box<str>> {
        let mut variant = BTreeMap::from([(VERSION.into(), self.version(sampling).into())]);
        let mut betas: Vec<&str> = self.betas.iter().map(String::as_str).collect();
        betas.extend(files.then_some(FILES_BETA));
        betas.sort_unstable();
        betas.dedup();
        if !betas.is_empty() {
            variant.insert(BETAS.into(), betas.join(",").into());
        }
        variant
    }
}

impl BatchCodec for AnthropicCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    // Models and features may be mixed in a batch (batch guide, 2026-08); headers are the whole batch's.
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        let variant = match request {
            RequestView::Generate(generate) => {
                let sampling = request::sampling(generate);
                models::check_sampling(&generate.model.decode(), &sampling)?;
                self.variant(!sampling.is_empty(), names_files(generate))
            }
            RequestView::Raw(raw) => {
                raw.check("anthropic", &[ENDPOINT])?;
                let sampling = raw.body.parse::<RawSampling<'_>>().is_ok_and(|body| {
                    body.temperature.is_some() || body.top_p.is_some() || body.top_k.is_some()
                });
                self.variant(sampling, false)
            }
            _ => return Err(RequestError::unsupported(ONLY)),
        };
        Ok(BatchClass {
            model: None,
            endpoint: ENDPOINT.into(),
            route: ROUTE.into(),
            variant,
        })
    }

    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        match request {
            RequestView::Generate(generate) if self.betas.is_empty() && !names_files(generate) => {
                let sampling = request::sampling(generate);
                let version = self.version(!sampling.is_empty());
                models::check_sampling(&generate.model.decode(), &sampling).is_ok()
                    && class.model.is_none()
                    && *class.endpoint == *ENDPOINT
                    && *class.route == *ROUTE
                    && class.variant.len() == 1
                    && class
                        .variant
                        .get(VERSION)
                        .is_some_and(|own| **own == *version)
            }
            _ => self.class(request).is_ok_and(|own| own == *class),
        }
    }

    // "100,000 requests or 256 MB, whichever is reached first" (batch guide, 2026-08); megabytes taken as
    // the smaller.
    fn limits(&self, _: &BatchClass) -> Limits {
        Limits::new(100_000, 256_000_000)
    }

    fn frame(&self, _: &BatchClass, _: &Label) -> Frame {
        Frame::list("{\"requests\":[", "]}")
    }

    fn body(
        &self,
        _: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        match request {
            RequestView::Raw(raw) => raw.body.write(out),
            RequestView::Generate(generate) => {
                let at = out.len();
                let schema = generate.schema;
                let schema = schema.map(|schema| self.schemas.sent(schema, 0, schema::translate));
                let schema = schema.transpose()?;
                request::write(generate, schema.as_deref(), self.max_tokens, out)?;
                generate.hyperparameters.merge_into(at, out)?;
            }
            _ => return Err(RequestError::unsupported(ONLY)),
        }
        Ok(())
    }

    fn follow_up(
        &self,
        _: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        request::follow_up(body, turns, out)
    }

    fn schema_notes(
        &self,
        _: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        Ok(self
            .schemas
            .sent(schema, 0, schema::translate)?
            .notes
            .clone())
    }

    fn token_bounds(&self, _: &BatchClass, row: &[u8]) -> TokenBounds {
        bounds::bounds(row)
    }

    fn head(&self, _: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"custom_id\":");
        lmbatch_core::write_string(id.as_str(), out);
        out.extend_from_slice(b",\"params\":");
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        outcome::open(row)
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        outcome::answer(answer)
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["custom_id"]]
    }
}

fn names_files(generate: &GenerateView<'_>) -> bool {
    let contents = generate.messages.iter().flat_map(|turn| &turn.contents);
    let mut attachments = contents.flat_map(ContentView::attachments);
    attachments.any(|attachment| matches!(attachment.source, SourceView::File(_)))
}

#[cfg(test)]
mod tests;
