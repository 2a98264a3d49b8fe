//! Pure: a request into a line of an input file or an element of a create's body, a row into an outcome.

mod bounds;
mod content;
mod models;
mod names;
mod openapi;
mod outcome;
mod request;
mod schema;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lmbatch_core::schemas::{Cache, SentSchema};
use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, FollowUp, Frame, JsonView, Label, Limits,
    OpenedRow, OutcomeView, ProviderId, RawView, RequestError, RequestView, ResponseSchema,
    ResultPart, RowError, Text, TokenBounds, WireId, WireIdRule,
};

use crate::config::{GoogleConfig, Route, SafetySetting, SchemaField};
use crate::translate::names::Names;

/// Method that creates a batch.
const ENDPOINT: &str = "batchGenerateContent";

/// Endpoint of a request's own body: a `GenerateContentRequest`, as lines of input files hold it. Its members may be
/// spelled in either way; the parser of files checks them when the batch is created (batch guide, 2026-02-19).
const GENERATE: &str = "generateContent";

const ONLY: &str = "google: only generate requests and Gemini's own bodies";

/// Codec for the Gemini API. Needs no key.
///
/// ```
/// use lmbatch_core::BatchCodec;
/// use lmbatch_google::{GoogleCodec, GoogleConfig};
/// let codec = GoogleCodec::new(&GoogleConfig::default());
/// assert!(codec.capabilities().fence && codec.capabilities().wire_ids.allows("any/id, at all"));
/// ```
#[derive(Debug, Clone)]
pub struct GoogleCodec {
    id: ProviderId,
    capabilities: Capabilities,
    route: Route,
    schema_field: SchemaField,
    safety_settings: Vec<SafetySetting>,
    schemas: Cache,
}

impl GoogleCodec {
    /// Creates a codec with the given configuration. Results are read in the same way for every configuration.
    pub fn new(config: &GoogleConfig) -> Self {
        Self {
            id: ProviderId::new("google"),
            capabilities: Capabilities {
                create: CreateProof::Labelled,
                // A create fails once its input file is deleted; inline ones have none.
                fence: config.route == Route::File,
                ranges: false,
                list: true,
                // A page of the list holds the inline results of every ended batch on it, up to 20 MB each, and an
                // account has at most 100 batches at once: status calls are cheaper.
                status_page: None,
                cancel: true,
                discard: true,
                token_lifetime: None,
                // Any string came back as it was (recorded traffic, 2026-08-19); 256 is our choice.
                wire_ids: WireIdRule {
                    max_chars: 256,
                    ascii_word: false,
                },
                // Not published; taken to be that of uploaded files, 48 hours (Files API guide, 2026).
                retention: Some(Duration::from_secs(48 * 3600)),
                raw_endpoints: &[GENERATE],
            },
            route: config.route,
            schema_field: config.schema_field,
            safety_settings: config.safety_settings.clone(),
            schemas: Cache::default(),
        }
    }

    /// Returns true if schemas are sent in the field for JSON Schema.
    fn is_json_schema(&self, class: &BatchClass) -> bool {
        match self.schema_field {
            SchemaField::ByRoute => !is_inline(class),
            SchemaField::JsonSchema => true,
            SchemaField::OpenApi => false,
        }
    }

    fn sent(
        &self,
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Arc<SentSchema>, RequestError> {
        if self.is_json_schema(class) {
            self.schemas.sent(schema, 0, schema::translate)
        } else {
            self.schemas.sent(schema, 1, openapi::translate)
        }
    }
}

impl BatchCodec for GoogleCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    // The model is in the path of the create: one a batch (batch guide, 2026-02-19).
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        let model = match request {
            RequestView::Generate(generate) => generate.model.decode(),
            RequestView::Raw(raw) => raw_model(raw)?,
            _ => return Err(RequestError::unsupported(ONLY)),
        };
        let model = model.strip_prefix("models/").unwrap_or(&model);
        if model.is_empty() {
            return Err(RequestError::invalid_input("google: the model has no name"));
        }
        Ok(BatchClass {
            model: Some(model.into()),
            endpoint: ENDPOINT.into(),
            route: self.route.as_str().into(),
            variant: BTreeMap::new(),
        })
    }

    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        let RequestView::Generate(generate) = request else {
            return self.class(request).is_ok_and(|own| own == *class);
        };
        let model = generate.model.decode();
        let model = model.strip_prefix("models/").unwrap_or(&model);
        !model.is_empty()
            && class.model.as_deref() == Some(model)
            && *class.endpoint == *ENDPOINT
            && *class.route == *self.route.as_str()
            && class.variant.is_empty()
    }

    // "Inline requests: total size under 20 MB", "input file: up to 2 GB" (batch guide, 2026-02-19). No
    // number of requests is documented; 100,000 is our choice, since a batch that expires keeps nothing.
    fn limits(&self, class: &BatchClass) -> Limits {
        let max_bytes = if is_inline(class) {
            19_900_000
        } else {
            2_000_000_000
        };
        Limits::new(100_000, max_bytes)
    }

    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        if !is_inline(class) {
            return Frame::LINES;
        }
        let mut prefix = b"{\"batch\":{\"displayName\":".to_vec();
        lmbatch_core::write_string(label.as_str(), &mut prefix);
        prefix.extend_from_slice(b",\"model\":");
        let model = model_path(class.model.as_deref().unwrap_or_default());
        lmbatch_core::write_string(&model, &mut prefix);
        prefix.extend_from_slice(b",\"inputConfig\":{\"requests\":{\"requests\":[");
        Frame::list(prefix, "]}}}}")
    }

    fn body(
        &self,
        class: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let generate = match request {
            RequestView::Generate(generate) => generate,
            RequestView::Raw(raw) => {
                raw.body.write(out);
                return Ok(());
            }
            _ => return Err(RequestError::unsupported(ONLY)),
        };
        let inline = is_inline(class);
        let writer = request::Writer {
            names: if inline { Names::Camel } else { Names::Snake },
            json_schema: self.is_json_schema(class),
            safety_settings: &self.safety_settings,
        };
        let schema = generate.schema.map(|schema| self.sent(class, schema));
        writer.write(generate, schema.transpose()?.as_deref(), out)
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
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        Ok(self.sent(class, schema)?.notes.clone())
    }

    // "key" stands beside the request in files, "metadata" beside it inline (same guide; recorded traffic,
    // 2026-08-19).
    fn token_bounds(&self, _: &BatchClass, row: &[u8]) -> TokenBounds {
        bounds::bounds(row)
    }

    fn head(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        if is_inline(class) {
            out.extend_from_slice(b"{\"request\":");
            return;
        }
        out.extend_from_slice(b"{\"key\":");
        lmbatch_core::write_string(id.as_str(), out);
        out.extend_from_slice(b",\"request\":");
    }

    fn tail(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        if is_inline(class) {
            out.extend_from_slice(b",\"metadata\":{\"key\":");
            lmbatch_core::write_string(id.as_str(), out);
            out.push(b'}');
        }
        out.push(b'}');
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        outcome::open(row)
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        outcome::answer(answer)
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["key"], &["metadata", "key"]]
    }
}

/// Model of a raw body: it stands beside the body, which may repeat it.
fn raw_model<'a>(raw: &RawView<'a>) -> Result<Cow<'a, str>, RequestError> {
    let named = raw.named_model("google", &[GENERATE])?;
    let plain = |name: &str| name.strip_prefix("models/").unwrap_or(name).to_owned();
    match (raw.model.map(Text::decode), named) {
        (Some(model), Some(named)) if plain(&model) != plain(&named) => {
            Err(RequestError::invalid_input(format!(
                "google: the body names another model than {model:?}, the model of its batch"
            )))
        }
        (Some(model), _) => Ok(model),
        (None, Some(named)) => Ok(named.into()),
        (None, None) => Err(RequestError::invalid_input(
            "google: a body of its own needs a model",
        )),
    }
}

fn is_inline(class: &BatchClass) -> bool {
    *class.route == *Route::Inline.as_str()
}

/// Returns the resource name of a model: `models/x`, or the resource that it already names, such as `tunedModels/x`.
pub(crate) fn model_path(model: &str) -> String {
    if model.contains('/') {
        model.to_owned()
    } else {
        format!("models/{model}")
    }
}

#[cfg(test)]
mod tests;
