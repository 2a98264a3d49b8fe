//! Trait of the pure part of an adapter, which translates between lmbatch's types and the provider's JSON.

use std::fmt;

use crate::{
    BatchClass, Capabilities, FailureView, FollowUp, Frame, JsonView, Label, Limits, OutcomeView,
    ProviderId, RequestError, RequestView, ResponseSchema, ResultPart, ResultRow, RowError,
    RowView, ScannedRow, Text, TokenBounds, Verdict, WireId, readable_id,
};

/// Translation between lmbatch's types and a provider's JSON. Pure: no I/O and no clock.
///
/// An adapter writes four methods: [`head`](Self::head) and [`body`](Self::body) for requests,
/// [`open`](Self::open) and [`answer`](Self::answer) for results. The methods that the engine calls,
/// [`encode`](Self::encode), [`scan`](Self::scan) and [`decode`](Self::decode), are built from those four.
pub trait BatchCodec: fmt::Debug + Send + Sync + 'static {
    /// Returns the provider's name.
    fn id(&self) -> &ProviderId;

    /// Returns what the provider supports.
    fn capabilities(&self) -> &Capabilities;

    /// Returns the class of a request: the properties that it must share with other requests of its batch.
    ///
    /// # Errors
    /// [`RequestError`] where the provider cannot accept the request.
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError>;

    /// Returns whether [`class`](Self::class) gives exactly this class for a request. The engine asks it for
    /// each request of an input, and calls `class` only where the answer is no. By default `class` is called
    /// and compared; an adapter saves allocations by comparing members of the request instead.
    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        self.class(request).is_ok_and(|own| own == *class)
    }

    /// Returns the limits of a batch of the class.
    fn limits(&self, class: &BatchClass) -> Limits;

    /// Returns the bytes before, between and after encoded requests; one request per line by default.
    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        let _ = (class, label);
        Frame::LINES
    }

    /// Appends the request itself, on one line: the body that a real-time call would send.
    ///
    /// # Errors
    /// [`RequestError`] that names the option or content that the provider does not support.
    fn body(
        &self,
        class: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError>;

    /// Appends a body that was encoded earlier, with further turns at the end of its conversation. All other bytes
    /// stay as they are, so that [`body`](Self::body) of the longer conversation gives the same. Answers that do not
    /// fit their schema are sent back to be corrected in this way. By default conversations cannot be continued.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where no body of the class can be continued,
    /// which the engine finds out from the body `{}` before anything is sent;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a body in which the conversation is not
    /// found. `out` is then unchanged.
    fn follow_up(
        &self,
        class: &BatchClass,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let _ = (class, body, turns, out);
        Err(RequestError::unsupported(format!(
            "{} does not continue conversations",
            self.id()
        )))
    }

    /// Returns how the sent schema differs from the given one, as short phrases such as
    /// `oneOf sent as anyOf (#/properties/a)`. The caller sees them before anything is sent. By default there
    /// are none, because the schema is sent unchanged.
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the place in the schema, where the
    /// provider supports only a part of it and the schema is [strict](crate::SchemaMode::Strict).
    fn schema_notes(
        &self,
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        let _ = (class, schema);
        Ok(Vec::new())
    }

    /// Appends the bytes before the body in the batch line of a request, such as `{"custom_id":"a","body":`.
    fn head(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>);

    /// Appends the bytes after the body in the batch line of a request; `}` by default.
    fn tail(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        let _ = (class, id);
        out.push(b'}');
    }

    /// Opens a row of the results: returns the id of its request, and either the answer, still unread, or
    /// another outcome. Must not depend on the configuration of the provider.
    ///
    /// # Errors
    /// [`RowError`] for a row that cannot be read. Core then searches for the id itself: see
    /// [`id_members`](Self::id_members).
    fn open<'a>(&self, part: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError>;

    /// Reads an answer, from a row of results or from the reply to a real-time call.
    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a>;

    /// Returns the paths to the id of a row, each as a list of member names, such as `&[&["custom_id"]]`.
    /// Where a row is not JSON but has a readable id at one of them, it is assigned to that request: the
    /// answer was paid for, and the request is not sent again. By default there are none, and no such row is
    /// assigned.
    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// Returns upper bounds of the tokens for which the provider can charge a request, from its encoded row. By
    /// default there are none, and a run of the provider can have no cost limit; adapters list the names of
    /// members in [`BoundRules`](crate::BoundRules).
    fn token_bounds(&self, class: &BatchClass, row: &[u8]) -> TokenBounds {
        let _ = (class, row);
        TokenBounds {
            answers: 1,
            ..TokenBounds::default()
        }
    }

    /// Appends the request in the provider's format, on one line and without separators.
    ///
    /// # Errors
    /// Those of [`body`](Self::body); `out` is then unchanged.
    fn encode(
        &self,
        class: &BatchClass,
        id: &WireId,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        let at = out.len();
        self.head(class, id, out);
        if let Err(error) = self.body(class, request, out) {
            out.truncate(at);
            return Err(error);
        }
        self.tail(class, id, out);
        Ok(())
    }

    /// Returns the id and the verdict of a row, without reading the answer. The verdict differs from that of
    /// [`decode`](Self::decode) only for a succeeded row whose answer turns out to be malformed.
    ///
    /// # Errors
    /// [`RowError`] for a row that cannot be assigned to a request.
    fn scan<'a>(&self, part: &ResultPart, row: ResultRow<'a>) -> Result<ScannedRow<'a>, RowError> {
        let opened = opened(self, part, row)?;
        Ok(ScannedRow {
            id: opened.id,
            verdict: match opened.content {
                RowContent::Answer(_) => Verdict::Succeeded,
                RowContent::Ended(outcome) => outcome.verdict(),
            },
        })
    }

    /// Reads a whole row, the answer included.
    ///
    /// # Errors
    /// [`RowError`] for a row that cannot be assigned to a request.
    fn decode<'a>(&self, part: &ResultPart, row: ResultRow<'a>) -> Result<RowView<'a>, RowError> {
        let opened = opened(self, part, row)?;
        Ok(RowView {
            id: opened.id,
            outcome: match opened.content {
                RowContent::Answer(answer) => self.answer(answer).with_checked_calls(),
                RowContent::Ended(outcome) => outcome,
            },
        })
    }
}

/// Row of results whose answer has not been read yet.
#[derive(Debug, Clone)]
pub struct OpenedRow<'a> {
    /// The request's id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// Answer, or an outcome without one.
    pub content: RowContent<'a>,
}

/// Content of a row of results.
#[derive(Clone)]
pub enum RowContent<'a> {
    /// An answer, to be read by [`BatchCodec::answer`].
    Answer(JsonView<'a>),
    /// An outcome without an answer, such as an error.
    Ended(OutcomeView<'a>),
}

impl fmt::Debug for RowContent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => write!(f, "Answer({} B)", answer.as_str().len()),
            Self::Ended(outcome) => f.debug_tuple("Ended").field(&outcome.verdict()).finish(),
        }
    }
}

impl<'a> OpenedRow<'a> {
    /// Creates a row with an answer.
    pub fn answer(id: Option<Text<'a>>, answer: JsonView<'a>) -> Self {
        Self {
            id,
            content: RowContent::Answer(answer),
        }
    }

    /// Creates a row without an answer.
    pub fn ended(id: Option<Text<'a>>, outcome: OutcomeView<'a>) -> Self {
        Self {
            id,
            content: RowContent::Ended(outcome),
        }
    }

    /// Creates a row whose id is readable and whose content is not.
    pub fn malformed(id: Option<Text<'a>>) -> Self {
        Self::ended(id, OutcomeView::Errored(FailureView::malformed()))
    }
}

/// Returns the row as the adapter opens it, or else a malformed row where at least its id is readable.
fn opened<'a, C: BatchCodec + ?Sized>(
    codec: &C,
    part: &ResultPart,
    row: ResultRow<'a>,
) -> Result<OpenedRow<'a>, RowError> {
    let opened = row.value().map(|value| codec.open(part, value));
    if let Some(Ok(opened)) = opened {
        return Ok(opened);
    }
    let mut members = codec.id_members().iter();
    let id = members.find_map(|path| readable_id(row.as_bytes(), path));
    let id = id.ok_or(RowError)?;
    Ok(OpenedRow::malformed(Some(id)))
}
