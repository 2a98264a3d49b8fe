//! Pure: a request into a line of JSON, a row of the results into an outcome. Acme speaks OpenAI's chat completions
//! but for a few names, and those are all that is said here.

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, ErrorKind, FollowUp, Frame, JsonView, Label,
    Limits, OpenedRow, OutcomeView, ProviderId, RequestError, RequestView, ResponseSchema,
    ResultPart, Retry, RowError, WireId,
};
use lmbatch_http::ApiError;
use lmbatch_openai::chat::{Chat, Dialect, Errors, Files, Parameters, Schemas, Tools};
use serde_json::json;

/// Requests go in a file that is uploaded first, or in the create itself.
pub(crate) const FILE: &str = "file";
pub(crate) const INLINE: &str = "inline";

/// Differences between Acme and OpenAI. Acme does not support the options that are not named here, and requests that
/// use them are refused.
const ACME: Dialect = Dialect {
    // The model stands on the batch.
    names_model: false,
    parameters: Parameters {
        seed: Some("random_seed"),
        ..Parameters::PLAIN
    },
    tools: Some(Tools {
        required: Some("any"),
        ..Tools::OPENAI
    }),
    schemas: Schemas::AsIs { strict: Some(true) },
    images: Some(Files::IMAGE_URL),
    errors: Errors {
        codes: &[
            ("no_credit", ErrorKind::Billing, Retry::Permanent),
            ("too_long", ErrorKind::ContextOverflow, Retry::Permanent),
        ],
        ..Errors::OPENAI
    },
    ..Dialect::plain("acme")
};

/// Classifies an error response. Anything but Acme's own error object may come from a proxy.
pub(crate) fn classify_error(http: u16, body: &[u8]) -> ApiError {
    ACME.classify_error(http, body)
}

/// Codec for Acme's batch API. Needs no key.
#[derive(Debug)]
pub(crate) struct AcmeCodec {
    id: ProviderId,
    capabilities: Capabilities,
    route: Box<str>,
    chat: Chat,
}

impl AcmeCodec {
    pub(crate) fn new(route: &str) -> Self {
        Self {
            id: ProviderId::new("acme"),
            capabilities: Capabilities {
                create: CreateProof::Labelled,
                // A create fails once its input file is deleted; an inline one has none.
                fence: route == FILE,
                list: true,
                status_page: Some(100),
                cancel: true,
                discard: true,
                ..Capabilities::default()
            },
            route: route.into(),
            chat: Chat::new(ACME),
        }
    }
}

impl BatchCodec for AcmeCodec {
    fn id(&self) -> &ProviderId {
        &self.id
    }
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    // A batch has one model.
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        Ok(BatchClass {
            model: Some(ACME.model_of(request, &[])?.into()),
            ..BatchClass::new("/batches", &self.route)
        })
    }

    fn limits(&self, class: &BatchClass) -> Limits {
        match &*class.route {
            INLINE => Limits::new(1_000, 10_000_000),
            _ => Limits::new(50_000, 500_000_000),
        }
    }

    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        let create = json!({"label": label, "model": class.model, "requests": []}).to_string();
        match &*class.route {
            INLINE => Frame::list(create.trim_end_matches("]}").to_owned(), "]}"),
            _ => Frame::LINES,
        }
    }

    fn body(
        &self,
        _: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.chat.body(request, out)
    }

    fn follow_up(
        &self,
        _: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.chat.follow_up(body, turns, out)
    }

    fn schema_notes(
        &self,
        _: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        self.chat.schema_notes(schema)
    }

    fn head(&self, _: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        let head = format!("{{\"custom_id\":{},\"body\":", json!(id.as_str()));
        out.extend_from_slice(head.as_bytes());
    }

    fn open<'a>(&self, _: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        ACME.open(row)
    }

    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        ACME.answer(answer)
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["custom_id"]]
    }
}
