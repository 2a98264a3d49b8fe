//! OpenAI's chat completions, for any service that implements them.
//!
//! Many services accept OpenAI's chat bodies and return OpenAI's answers, except for a few names. An adapter for
//! such a service lists these names in a [`Dialect`], which is data; this module writes the bodies and reads the
//! answers:
//!
//! ```
//! use lmbatch_core::{Hyperparameters, RequestView};
//! use lmbatch_http::ApiError;
//! use lmbatch_openai::chat::{Chat, Dialect, Files, Parameters, Tools};
//!
//! const ACME: Dialect = Dialect {
//!     // The batch names the model, not each body.
//!     names_model: false,
//!     parameters: Parameters { seed: Some("random_seed"), ..Parameters::PLAIN },
//!     tools: Some(Tools { required: Some("any"), ..Tools::OPENAI }),
//!     images: Some(Files::IMAGE_URL),
//!     ..Dialect::plain("acme")
//! };
//!
//! // The `classify_error` function of an adapter.
//! fn classify_error(status: u16, body: &[u8]) -> ApiError {
//!     ACME.classify_error(status, body)
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
//! // Options that the service does not support are refused.
//! let refused = chat.body(&request(Hyperparameters { top_k: Some(7), ..Default::default() }), &mut body);
//! assert_eq!(refused.unwrap_err().message(), Some("acme has no top_k"));
//! # Ok::<(), lmbatch_core::RequestError>(())
//! ```
//!
//! | part of an adapter | function |
//! |---|---|
//! | `BatchCodec::class` | [`Dialect::model_of`] |
//! | `BatchCodec::body` | [`Chat::body`] |
//! | `BatchCodec::follow_up` | [`Chat::follow_up`] |
//! | `BatchCodec::schema_notes` | [`Chat::schema_notes`] |
//! | `BatchCodec::open` | [`Dialect::open`], where rows are those of OpenAI |
//! | `BatchCodec::answer` | [`Dialect::answer`] |
//! | every call | [`Dialect::classify_error`] |
//!
//! The OpenAI adapter uses [`Dialect::OPENAI`] and the same functions. Dialects of other services are further
//! constants of [`Dialect`], with the sources of their names.

mod dialect;
mod services;

use std::sync::Arc;

use lmbatch_core::schemas::{Cache, SentSchema};
use lmbatch_core::{
    FollowUp, JsonView, OpenedRow, OutcomeView, RequestError, RequestView, ResponseSchema,
    RowError, append_items, replace_member,
};
use lmbatch_http::ApiError;

pub use dialect::{
    Contents, Dialect, Efforts, Errors, Extras, FilePart, Files, Parameters, Rows, Schemas,
    Thoughts, Tools,
};

use crate::error::classify_error_as;
use crate::translate::{chat, outcome};

/// Writer of request bodies in a dialect. It caches the schema translated last, so that requests of a run share it.
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
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported), by name, for options that the dialect does
    /// not support, and [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for input that no service
    /// accepts, such as an attachment of an unknown type. `out` may then hold the beginning of a body.
    pub fn body(&self, request: &RequestView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
        match request {
            RequestView::Raw(raw) => raw.body.write(out),
            RequestView::Generate(generate) => {
                let at = out.len();
                let schema = generate.schema.map(|schema| self.sent(schema));
                let schema = schema.transpose()?;
                chat::write(generate, schema.as_deref(), &self.dialect, out)?;
                generate.hyperparameters.merge_into(at, out)?;
            }
            _ => return Err(self.dialect.only_generate()),
        }
        Ok(())
    }

    /// Appends a body with an answer and a message of the user at the end of its `messages`. All other bytes stay as they
    /// are.
    ///
    /// ```
    /// use lmbatch_core::{FinishReason, FollowUp, OutputView};
    /// use lmbatch_openai::chat::{Chat, Dialect};
    /// let answer = OutputView::text("7".into(), FinishReason::Stop);
    /// let mut out = Vec::new();
    /// let body = r#"{"messages":[{"role":"user","content":"Hi"}],"seed":7}"#;
    /// Chat::new(Dialect::OPENAI).follow_up(body, &FollowUp::new(&answer, "No."), &mut out)?;
    /// let expected = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"7"},{"role":"user","content":"No."}],"seed":7}"#;
    /// assert_eq!(out, expected.as_bytes());
    /// # Ok::<(), lmbatch_core::RequestError>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) for a body without a list of `messages`.
    pub fn follow_up(
        &self,
        body: &str,
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        replace_member(body, "messages", out, |list, out| {
            append_items(list, out, |out| chat::follow_up(turns, out))
        })
    }

    /// Returns the changes that are made to a schema before it is sent, one short sentence each.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) if the service does not support strict
    /// schemas.
    pub fn schema_notes(&self, schema: &ResponseSchema) -> Result<Vec<String>, RequestError> {
        Ok(self.sent(schema)?.notes.clone())
    }

    /// Returns the schema as it is sent.
    pub(crate) fn sent(&self, schema: &ResponseSchema) -> Result<Arc<SentSchema>, RequestError> {
        let make = |schema: &ResponseSchema| chat::sent_schema(schema, &self.dialect);
        self.schemas.sent(schema, 0, make)
    }
}

impl Dialect {
    /// Returns the model of a request, for services whose batches hold one model. A raw body is checked for
    /// errors that would fail the whole batch: its endpoint must be among `endpoints`, it must name a model and not
    /// stream.
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

    /// Opens a row of OpenAI's shape, `{"custom_id", "response", "error"}`: an unparsed answer, or the
    /// error in its place.
    ///
    /// # Errors
    /// [`RowError`] for a row that is not of that shape.
    pub fn open<'a>(&self, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        outcome::open(row, self)
    }

    /// Reads an answer: the body of a row, or of a real-time call. A body without an answer becomes a
    /// malformed outcome, which is not retried.
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

    /// Classifies an HTTP error response by the service's own codes, then OpenAI's, then the status; never by the
    /// message. Only the service's own error object counts as recognised.
    ///
    /// ```
    /// use lmbatch_core::ErrorKind;
    /// use lmbatch_openai::chat::Dialect;
    /// let error = Dialect::MISTRAL.classify_error(429, br#"{"object":"error","message":"busy","type":"x","code":"3505"}"#);
    /// assert!(error.recognised);
    /// assert_eq!(error.kind, ErrorKind::ProviderOverloaded);
    /// ```
    pub fn classify_error(&self, status: u16, body: &[u8]) -> ApiError {
        classify_error_as(status, body, self)
    }
}

#[cfg(test)]
mod tests;
