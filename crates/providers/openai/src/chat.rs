//! Chat completions as OpenAI shaped them, for any service that speaks them.
//!
//! Many services take OpenAI's chat bodies and give OpenAI's answers, but for a few names. An adapter for such a
//! service says those names as a [`Dialect`], which is data, and writes no body and reads no answer itself:
//!
//! ```
//! use lmbatch_core::{Hyperparameters, RequestView};
//! use lmbatch_http::Told;
//! use lmbatch_openai::chat::{Chat, Dialect, Files, Parameters, Tools};
//!
//! const ACME: Dialect = Dialect {
//!     // The model stands on the batch, not in each body.
//!     names_model: false,
//!     parameters: Parameters { seed: Some("random_seed"), ..Parameters::PLAIN },
//!     tools: Some(Tools { required: Some("any"), ..Tools::OPENAI }),
//!     images: Some(Files::IMAGE_URL),
//!     ..Dialect::plain("acme")
//! };
//!
//! // What an adapter's `tell` is.
//! fn tell(status: u16, body: &[u8]) -> Told {
//!     ACME.tell(status, body)
//! }
//! # use std::borrow::Cow;
//! # use lmbatch_core::{ContentView, GenerateView, MessageView, Role};
//! # let request = |parameters: Hyperparameters| RequestView::Generate(GenerateView {
//! #     model: "m".into(), system: None, tools: &[], tool_choice: None, schema: None, thinking: None,
//! #     messages: vec![MessageView { role: Role::User, contents: vec![ContentView::Text("hi".into())] }],
//! #     hyperparameters: Cow::Owned(parameters),
//! # });
//!
//! let chat = Chat::new(ACME);
//! let mut body = Vec::new();
//! chat.body(&request(Hyperparameters { seed: Some(7), ..Default::default() }), &mut body)?;
//! assert_eq!(body, br#"{"messages":[{"role":"user","content":"hi"}],"random_seed":7}"#);
//!
//! // What the service has no word for is refused.
//! let refused = chat.body(&request(Hyperparameters { top_k: Some(7), ..Default::default() }), &mut body);
//! assert_eq!(refused.unwrap_err().message(), Some("acme has no top_k"));
//! # Ok::<(), lmbatch_core::RequestError>(())
//! ```
//!
//! | part of an adapter | function |
//! |---|---|
//! | `BatchCodec::class` | [`Dialect::model_of`] |
//! | `BatchCodec::body` | [`Chat::body`] |
//! | `BatchCodec::schema_notes` | [`Chat::schema_notes`] |
//! | `BatchCodec::open` | [`Dialect::open`], where rows are those of OpenAI |
//! | `BatchCodec::answer` | [`Dialect::answer`] |
//! | every call | [`Dialect::tell`] |
//!
//! The adapter of OpenAI itself is written with [`Dialect::OPENAI`] and the same functions. Dialects of some other
//! services are constants beside it, with the sources of their names.

mod dialect;
mod services;

use std::sync::Arc;

use lmbatch_core::schemas::{Cache, Sent};
use lmbatch_core::{
    JsonView, Opened, OutcomeView, RequestError, RequestView, ResponseSchema, RowError,
};
use lmbatch_http::Told;

pub use dialect::{
    Contents, Dialect, Efforts, Errors, Extras, FilePart, Files, Parameters, Rows, Schemas,
    Thoughts, Tools,
};

use crate::error::tell_as;
use crate::translate::{chat, outcome};

/// Writes bodies in a dialect. Keeps the schema that it translated last, so that the requests of a run share it.
#[derive(Debug, Clone)]
pub struct Chat {
    dialect: Dialect,
    schemas: Cache,
}

impl Chat {
    /// Returns the writer of a dialect.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            schemas: Cache::default(),
        }
    }

    /// Returns the dialect.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// Appends the body of a request on one line: a chat completion, with the caller's own parameters laid over it,
    /// or the body of a raw request byte for byte.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported), by name, for what the dialect has no word
    /// for, and [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for what no service takes, such
    /// as an attachment of an unknown type. `out` may then hold the beginning of a body.
    pub fn body(&self, request: &RequestView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        match request {
            RequestView::Raw(raw) => raw.body.write(out),
            RequestView::Generate(generate) => {
                let at = out.len();
                let schema = generate.schema.map(|schema| self.sent(schema));
                let schema = schema.transpose()?;
                chat::write(generate, schema.as_deref(), &self.dialect, out)?;
                generate.hyperparameters.lay_over(at, out)?;
            }
            _ => return Err(self.dialect.only_generate()),
        }
        Ok(())
    }

    /// Returns what sending a schema changes of it, one short sentence each.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) where the service cannot be told a strict
    /// schema.
    pub fn schema_notes(&self, schema: &ResponseSchema) -> Result<Vec<String>, RequestError> {
        Ok(self.sent(schema)?.notes.clone())
    }

    /// The schema as it is sent.
    pub(crate) fn sent(&self, schema: &ResponseSchema) -> Result<Arc<Sent>, RequestError> {
        let make = |schema: &ResponseSchema| chat::sent_schema(schema, &self.dialect);
        self.schemas.sent(schema, 0, make)
    }
}

impl Dialect {
    /// Returns the model of a request, for services whose batches hold one model. A raw body is checked as far as
    /// it would fail a whole batch: its endpoint must be among `endpoints`, it must name a model and not stream.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) for a request of another kind or a raw body
    /// of another endpoint, and [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for a raw body
    /// without a model.
    pub fn model_of(
        &self,
        request: &RequestView<'_>,
        endpoints: &[&str],
    ) -> Result<String, RequestError> {
        match request {
            RequestView::Generate(generate) => Ok(generate.model.decode().into_owned()),
            RequestView::Raw(raw) if !endpoints.is_empty() => raw.check(self.service, endpoints),
            _ => Err(self.only_generate()),
        }
    }

    fn only_generate(&self) -> RequestError {
        let service = self.service;
        RequestError::unsupported(format!(
            "{service}: only generate requests, and raw bodies where the service has endpoints for them"
        ))
    }

    /// Opens a row of OpenAI's shape, `{"custom_id", "response", "error"}`: an answer, which stays unread, or the
    /// reason why there is none.
    ///
    /// # Errors
    /// [`RowError`] for a row that is not of that shape.
    pub fn open<'a>(&self, row: JsonView<'a>) -> Result<Opened<'a>, RowError> {
        outcome::open(row, self)
    }

    /// Reads an answer: the body of a row, or of a real-time call. A body that holds no answer is a malformed
    /// outcome, and is not asked for again.
    ///
    /// ```
    /// use lmbatch_core::{FinishReason, OutcomeView, Outline};
    /// use lmbatch_openai::chat::Dialect;
    /// let body = r#"{"choices":[{"message":{"content":"4"},"finish_reason":"eos"}]}"#;
    /// let mut outline = Outline::new();
    /// let answer = outline.read(body)?;
    /// let OutcomeView::Succeeded(output) = Dialect::TOGETHER.answer(answer) else { panic!("an answer") };
    /// assert_eq!(output.finish_reason, FinishReason::Stop);
    /// # Ok::<(), lmbatch_core::JsonError>(())
    /// ```
    pub fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        outcome::answer(answer, self)
    }

    /// Reads an HTTP answer that says no: the service's own codes, then OpenAI's, then the status; never the prose.
    /// Only an error object of the service's own counts as recognised.
    ///
    /// ```
    /// use lmbatch_core::ErrorKind;
    /// use lmbatch_openai::chat::Dialect;
    /// let told = Dialect::MISTRAL.tell(429, br#"{"object":"error","message":"busy","type":"x","code":"3505"}"#);
    /// assert!(told.recognised);
    /// assert_eq!(told.kind, ErrorKind::ProviderOverloaded);
    /// ```
    pub fn tell(&self, status: u16, body: &[u8]) -> Told {
        tell_as(status, body, self)
    }
}

#[cfg(test)]
mod tests;
