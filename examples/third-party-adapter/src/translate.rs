//! Pure: a request into a line of JSON, a row of the results into an outcome.

use std::ops::Range;

use lmbatch_core::{
    BatchClass, BatchCodec, Capabilities, CreateProof, ErrorKind, FailureView, FinishReason, Frame,
    Label, Limits, Opened, OutcomeView, OutputView, ProviderId, RequestError, RequestView,
    ResultPart, Retry, RowError, Text, WireId, read_row, surround,
};
use lmbatch_http::{Told, kind_of};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

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
    error: Option<Failure<'a>>,
}

/// What else a row has that is an answer.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    answer: Option<Text<'a>>,
    end: Option<String>,
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

    fn body(
        &self,
        _: &BatchClass,
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
        let at = out.len();
        out.extend_from_slice(ask.to_string().as_bytes());
        // The caller's own parameters go into the request, and never reach its id.
        parameters.lay_over(at, out)
    }

    fn wrap(&self, _: &BatchClass, id: &WireId, body: Range<usize>, out: &mut Vec<u8>) {
        let before = format!("{{\"id\":{},\"request\":", json!(id.as_str()));
        surround(body, before.as_bytes(), b"}", out);
    }

    fn open<'a>(&self, _: &ResultPart, row: &'a [u8]) -> Result<Opened<'a>, RowError> {
        let (id, failed) = match read_row::<Row<'a>>(row)? {
            Row {
                id,
                error: Some(error),
            } => (id, failed(error)),
            Row { id, error: None } => return Ok(Opened::answer(id, read_row(row)?)),
        };
        Ok(Opened::ended(id, OutcomeView::Errored(failed)))
    }

    fn answer<'a>(&self, raw: &'a RawValue) -> OutcomeView<'a> {
        match serde_json::from_str(raw.get()) {
            Ok(Answer {
                answer: Some(text),
                end,
            }) => OutcomeView::Succeeded(OutputView::text(text, ended(end.as_deref()))),
            // It is this request's row, and says nothing.
            _ => OutcomeView::Errored(FailureView::malformed()),
        }
    }

    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[&["id"]]
    }
}

fn ended(word: Option<&str>) -> FinishReason {
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
