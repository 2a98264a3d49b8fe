//! Lines of the providers' batch files, recognised by their members. They are sent unchanged to their own provider, and
//! translated for any other.

use lmbatch_core::{Json, RawView, RequestError, ResponseSchema, Text};

use crate::context::{InputContext, bad};
use crate::translated::{Translated, model, named_model, other_model};
use crate::{anthropic, gemini, openai};

/// Endpoint of an Anthropic batch line.
const MESSAGES: &str = "/v1/messages";

/// Endpoint of a Gemini batch line.
const GENERATE: &str = "generateContent";

/// Request of a batch line.
pub(crate) enum BatchLine<'a> {
    /// OpenAI batch line: `{"custom_id", "method", "url", "body"}`.
    OpenAi { url: Text<'a>, body: Json<'a> },
    /// Anthropic batch line: `{"custom_id", "params"}`.
    Anthropic(Json<'a>),
    /// Gemini batch line: `{"key", "request"}`.
    Gemini(Json<'a>),
}

impl<'a> BatchLine<'a> {
    /// Returns the name of the member that holds the request.
    pub(crate) fn member(&self) -> &'static str {
        match self {
            Self::OpenAi { .. } => "body",
            Self::Anthropic(_) => "params",
            Self::Gemini(_) => "request",
        }
    }

    /// Returns the request byte for byte, with the schema of its answer; `None` if the provider does not accept it so.
    pub(crate) fn raw<'c: 'a>(
        &self,
        context: &'c InputContext,
    ) -> Result<Option<(RawView<'a>, Option<ResponseSchema>)>, RequestError> {
        let (endpoint, body) = match self {
            Self::OpenAi { url, body } => (*url, *body),
            Self::Anthropic(params) => (Text::Plain(MESSAGES), *params),
            Self::Gemini(request) => (Text::Plain(GENERATE), *request),
        };
        if !context.raw_endpoints.contains(&&*endpoint.decode()) {
            return Ok(None);
        }
        let wanted = &context.model;
        let (model, schema) = match self {
            Self::OpenAi { .. } => {
                let schema = openai::asked_schema(body)?;
                (model(body, "the body", wanted)?, schema)
            }
            Self::Anthropic(_) => {
                let schema = anthropic::asked_schema(body)?;
                (model(body, "params", wanted)?, schema)
            }
            // Gemini sets the model once per batch; a request may repeat it.
            Self::Gemini(_) => {
                let plain = |name: &str| name.strip_prefix("models/").unwrap_or(name).to_owned();
                let named = named_model(body, "request")?.map(Text::decode);
                if let Some(named) = named.filter(|named| plain(named) != plain(wanted)) {
                    return Err(other_model("request", &named, wanted));
                }
                (Text::Plain(wanted), gemini::asked_schema(body)?)
            }
        };
        let raw = RawView {
            model: Some(model),
            endpoint,
            body,
        };
        Ok(Some((raw, schema)))
    }

    /// Translates the request for a provider that does not accept it unchanged. The model in the line is ignored, since
    /// another provider has its own models.
    pub(crate) fn translate(&self, provider: &str) -> Result<Translated<'a>, RequestError> {
        let (Self::OpenAi { body, .. } | Self::Anthropic(body) | Self::Gemini(body)) = self;
        lmbatch_core::check_exact(body.as_str())
            .map_err(|why| bad(format!("{}: {why}", self.member())))?;
        match self {
            Self::OpenAi { url, body } => openai::translate(&url.decode(), *body, provider),
            Self::Anthropic(params) => anthropic::translate(*params, provider),
            Self::Gemini(request) => gemini::translate(*request, provider),
        }
    }
}

/// Members of a line by which a batch line is recognised.
pub(crate) struct Marks<'a> {
    pub(crate) has_custom_id: bool,
    pub(crate) method: Option<&'a str>,
    pub(crate) url: Option<Text<'a>>,
    pub(crate) body: Option<Json<'a>>,
    pub(crate) params: Option<Json<'a>>,
    pub(crate) has_key: bool,
    pub(crate) request: Option<Json<'a>>,
}

impl<'a> Marks<'a> {
    /// Returns the batch line of these members; `None` for a line of lmbatch's own.
    pub(crate) fn batch_line(&self) -> Result<Option<BatchLine<'a>>, RequestError> {
        let is_openai = self.body.is_some() || self.url.is_some() || self.method.is_some();
        let is_gemini = self.request.is_some() || self.has_key;
        let dialects = [
            (is_openai, "OpenAI"),
            (self.params.is_some(), "Anthropic"),
            (is_gemini, "Gemini"),
        ];
        let mut found = dialects.iter().filter(|(is_it, _)| *is_it);
        if let (Some((_, one)), Some((_, other))) = (found.next(), found.next()) {
            return Err(bad(format!(
                "the line has members of {one} and of {other} batch lines; keep those of one"
            )));
        }
        if is_openai {
            let (true, Some(method), Some(url), Some(body)) =
                (self.has_custom_id, self.method, self.url, self.body)
            else {
                return Err(bad(
                    "an OpenAI batch line has custom_id, method, url and body",
                ));
            };
            if method != "POST" {
                return Err(bad("method must be POST"));
            }
            return Ok(Some(BatchLine::OpenAi { url, body }));
        }
        match (self.params, self.request) {
            (Some(_), _) if !self.has_custom_id => {
                Err(bad("an Anthropic batch line has custom_id and params"))
            }
            (Some(params), _) => Ok(Some(BatchLine::Anthropic(params))),
            (None, Some(request)) if self.has_key => Ok(Some(BatchLine::Gemini(request))),
            (None, None) if !self.has_key => Ok(None),
            _ => Err(bad("a Gemini batch line has key and request")),
        }
    }
}
