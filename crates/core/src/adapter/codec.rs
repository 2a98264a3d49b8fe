//! How a provider says things: the pure half of an adapter.

use std::fmt;

use crate::{
    BatchClass, Capabilities, FailureView, Frame, JsonView, Label, Limits, OutcomeView, ProviderId,
    RequestError, RequestView, ResponseSchema, ResultPart, ResultRow, RowError, RowView, Scanned,
    Text, Verdict, WireId, legible_id,
};

/// How a provider says things. Pure: no I/O, no clock.
///
/// An adapter writes four methods: [`head`](Self::head) and [`body`](Self::body) for requests,
/// [`open`](Self::open) and [`answer`](Self::answer) for results. What the engine calls,
/// [`encode`](Self::encode), [`scan`](Self::scan) and [`decode`](Self::decode), is built from them here.
pub trait BatchCodec: fmt::Debug + Send + Sync + 'static {
    /// The provider's name.
    fn id(&self) -> &ProviderId;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// What the request must share with others to share their batch; an error if the provider
    /// cannot take it.
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError>;

    /// Returns whether [`class`](Self::class) gives exactly this class for a request. The engine asks it for each
    /// request of an input, and for the class itself only where the answer is no. By default the class is made and
    /// compared; an adapter that compares members of the request instead saves its allocations.
    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        self.class(request).is_ok_and(|own| own == *class)
    }

    /// What a batch of the class may hold.
    fn limits(&self, class: &BatchClass) -> Limits;

    /// What stands around encoded requests; lines unless said otherwise.
    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        let _ = (class, label);
        Frame::LINES
    }

    /// Appends the request itself, on one line: the body that a real-time call would send.
    ///
    /// # Errors
    /// A [`RequestError`] that names what the provider has no word for.
    fn body(
        &self,
        class: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError>;

    /// Returns what sending a schema to the provider changes of it, one short sentence each, such as
    /// `oneOf sent as anyOf (#/properties/a)`. The caller is told before anything is sent. Nothing unless
    /// said otherwise: the schema goes as it is.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) with the place in the schema, where the
    /// provider cannot be told it and it is [strict](crate::SchemaMode::Strict).
    fn schema_notes(
        &self,
        class: &BatchClass,
        schema: &ResponseSchema,
    ) -> Result<Vec<String>, RequestError> {
        let _ = (class, schema);
        Ok(Vec::new())
    }

    /// Appends what stands before the body in the batch line of a request, such as
    /// `{"custom_id":"a","body":`.
    fn head(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>);

    /// Appends what stands after the body in the batch line of a request; `}` unless said otherwise.
    fn tail(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        let _ = (class, id);
        out.push(b'}');
    }

    /// Opens a row of the results: whose it is, and either the answer, still unread, or another outcome.
    /// Independent of how the provider is configured.
    ///
    /// # Errors
    /// [`RowError`] for a row that cannot be read. Core then looks for the id by itself: see
    /// [`id_members`](Self::id_members).
    fn open<'a>(&self, part: &ResultPart, row: JsonView<'a>) -> Result<Opened<'a>, RowError>;

    /// Reads an answer, of a row or of a real-time call.
    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a>;

    /// Returns where the id of a row stands, each as the names of the members that lead to it, such as
    /// `&[&["custom_id"]]`. A row that is not JSON, but whose id can be read there, belongs to its request:
    /// it was paid for, and is not asked again. Empty unless said otherwise: no such row is assigned.
    fn id_members(&self) -> &'static [&'static [&'static str]] {
        &[]
    }

    /// Appends the request as the provider wants it, without separators and on one line.
    ///
    /// # Errors
    /// Those of [`body`](Self::body); `out` is then as it was.
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

    /// Whose row it is and what came of it, without reading the answer. Its verdict differs from that of
    /// [`decode`](Self::decode) only by a succeeded row whose answer turns out to be malformed.
    ///
    /// # Errors
    /// [`RowError`] for a row that can be assigned to no request.
    fn scan<'a>(&self, part: &ResultPart, row: ResultRow<'a>) -> Result<Scanned<'a>, RowError> {
        let opened = opened(self, part, row)?;
        Ok(Scanned {
            id: opened.id,
            verdict: match opened.content {
                RowContent::Answer(_) => Verdict::Succeeded,
                RowContent::Ended(outcome) => outcome.verdict(),
            },
        })
    }

    /// The whole row.
    ///
    /// # Errors
    /// [`RowError`] for a row that can be assigned to no request.
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

/// A row of the results before its answer is read.
#[derive(Debug, Clone)]
pub struct Opened<'a> {
    /// The id on the wire; `None` for a row that names no request.
    pub id: Option<Text<'a>>,
    /// What it holds.
    pub content: RowContent<'a>,
}

/// What a row of the results holds.
#[derive(Clone)]
pub enum RowContent<'a> {
    /// An answer, for [`BatchCodec::answer`].
    Answer(JsonView<'a>),
    /// An outcome without an answer.
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

impl<'a> Opened<'a> {
    /// Returns a row with an answer.
    pub fn answer(id: Option<Text<'a>>, answer: JsonView<'a>) -> Self {
        Self {
            id,
            content: RowContent::Answer(answer),
        }
    }

    /// Returns a row without an answer.
    pub fn ended(id: Option<Text<'a>>, outcome: OutcomeView<'a>) -> Self {
        Self {
            id,
            content: RowContent::Ended(outcome),
        }
    }

    /// Returns a row of which only the id can be read.
    pub fn malformed(id: Option<Text<'a>>) -> Self {
        Self::ended(id, OutcomeView::Errored(FailureView::malformed()))
    }
}

/// The row as the adapter opens it, or else as far as its id is legible.
fn opened<'a, C: BatchCodec + ?Sized>(
    codec: &C,
    part: &ResultPart,
    row: ResultRow<'a>,
) -> Result<Opened<'a>, RowError> {
    let opened = row.value().map(|value| codec.open(part, value));
    if let Some(Ok(opened)) = opened {
        return Ok(opened);
    }
    let mut members = codec.id_members().iter();
    let id = members.find_map(|path| legible_id(row.as_bytes(), path));
    let id = id.ok_or(RowError)?;
    Ok(Opened::malformed(Some(id)))
}
