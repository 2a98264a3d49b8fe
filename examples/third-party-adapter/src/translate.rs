//! Pure: a request into a line of JSON, a row of the results into an outcome.

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, ErrorKind, FailureView, FinishReason, Frame,
    Label, Limits, Object, OutcomeView, OutputView, ProviderId, RequestError, RequestView,
    ResultPart, Retry, RowError, RowView, Text, WireId,
};
use lmbatch_http::{Told, kind_of};
use serde::Deserialize;
use serde_json::json;

/// Requests go in a file that is uploaded first, or in the create itself.
pub(crate) const FILE: &str = "file";
pub(crate) const INLINE: &str = "inline";

/// What a request may ask for besides its messages.
const TAKES: &[&str] = &["system", "max_output_tokens", "temperature"];

/// A row of the results. An answer that says no has the same `error`.
#[derive(Deserialize, Default)]
struct Row<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    answer: Option<Text<'a>>,
    end: Option<String>,
    error: Option<Failure<'a>>,
}

#[derive(Deserialize, Default)]
struct Failure<'a> {
    code: Option<String>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

/// How Acme says things. Needs no key.
#[derive(Debug)]
pub(crate) struct AcmeCodec {
    id: ProviderId,
    capabilities: Capabilities,
    route: Box<str>,
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
                cancel: true,
                discard: true,
                ..Capabilities::default()
            },
            route: route.into(),
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

    // Each line names its model, so that a batch may have many.
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        request.generate("acme", TAKES)?;
        Ok(BatchClass::new("/batches", &self.route))
    }

    fn limits(&self, class: &BatchClass) -> Limits {
        match &*class.route {
            INLINE => Limits::new(1_000, 10_000_000),
            _ => Limits::new(50_000, 500_000_000),
        }
    }

    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        let prefix = format!("{{\"label\":{},\"requests\":[", json!(label));
        match &*class.route {
            INLINE => Frame::list(prefix, "]}"),
            _ => Frame::LINES,
        }
    }

    fn encode(
        &self,
        _: &BatchClass,
        id: &WireId,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let generate = request.generate("acme", TAKES)?;
        let parameters = &generate.hyperparameters;
        let turns = generate.messages.iter().map(|turn| {
            let text = turn.text("acme")?;
            Ok(json!({"role": turn.role.as_str(), "text": text}))
        });
        let ask = json!({
            "model": generate.model.decode(), "system": generate.system.map(Text::decode),
            "turns": turns.collect::<Result<Vec<_>, RequestError>>()?,
            "max_tokens": parameters.max_output_tokens, "temperature": parameters.temperature,
        });
        let mut ask = ask.to_string().into_bytes();
        // The caller's own parameters go into the request, and never reach its id.
        parameters.lay_over(0, &mut ask)?;
        let mut line = Object::new(out);
        line.str("id", id.as_str());
        line.key("request").append(&mut ask);
        line.end();
        Ok(())
    }

    fn decode<'a>(&self, _: &ResultPart, row: &'a [u8]) -> Result<RowView<'a>, RowError> {
        let text = std::str::from_utf8(row).map_err(|_| RowError)?;
        let row: Row<'a> = serde_json::from_str(text).map_err(|_| RowError)?;
        let end = end(row.end.as_deref());
        let outcome = match (row.error, row.answer) {
            (Some(error), _) => OutcomeView::Errored(failed(error)),
            (None, Some(text)) => OutcomeView::Succeeded(OutputView::text(text, end)),
            // It is this request's row, and says nothing.
            (None, None) => OutcomeView::Errored(FailureView::malformed()),
        };
        let id = row.id;
        Ok(RowView { id, outcome })
    }
}

fn end(word: Option<&str>) -> FinishReason {
    match word {
        None | Some("full_stop") => FinishReason::Stop,
        Some("token_limit") => FinishReason::Length,
        Some(other) => FinishReason::Other(other.to_owned()),
    }
}

/// A code that we do not know is a failure of Acme's, and may be asked again.
fn failed(error: Failure<'_>) -> FailureView<'_> {
    let (kind, retry) = classify(500, error.code.as_deref());
    FailureView {
        code: error.code.map(Into::into),
        message: error.message,
        ..FailureView::new(kind, retry)
    }
}

/// Acme's own code first, then the HTTP status; never the prose.
fn classify(http: u16, code: Option<&str>) -> (ErrorKind, Retry) {
    match code {
        Some("bad_key") => (ErrorKind::ProviderAuth, Retry::Permanent),
        Some("no_credit") => (ErrorKind::Billing, Retry::Permanent),
        Some("too_long") => (ErrorKind::ContextOverflow, Retry::Permanent),
        _ => kind_of(http),
    }
}

/// Reads an answer that says no. Anything but Acme's own error may come from a proxy before it.
pub(crate) fn tell(http: u16, body: &[u8]) -> Told {
    let row = serde_json::from_slice::<Row<'_>>(body).unwrap_or_default();
    let error = row.error.unwrap_or_default();
    let known = classify(http, error.code.as_deref());
    Told {
        recognised: error.message.is_some(),
        code: error.code,
        message: error.message.map(Text::decode).map(Into::into),
        ..Told::new(known)
    }
}
