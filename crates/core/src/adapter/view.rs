//! Borrowed views of requests and outcomes: what codecs read and write. Nothing here prints content.

use std::borrow::Cow;
use std::path::Path;

use crate::{
    AttachmentKind, Hyperparameters, ItemView, Json, JsonError, Member, RequestError,
    ResponseSchema, Role, Text, ThinkingOptions, Tool, ToolChoice,
};

/// Name under which an adapter takes images and documents in the results of tools; see
/// [`RequestView::generate`].
const TOOL_RESULT_ATTACHMENTS: &str = "tool_result_attachments";

/// One request, without its id: ids belong to the engine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestView<'a> {
    /// An answer from a language model.
    Generate(GenerateView<'a>),
    /// Vectors for texts.
    Embed(EmbedView<'a>),
    /// A provider's own body, passed on byte for byte.
    Raw(RawView<'a>),
}

impl<'a> RequestView<'a> {
    /// The conversation, if that is what it is, and if it asks for nothing but what `takes` names: what a
    /// provider has no word for is refused, and never left out in silence. The names are those of the
    /// members of [`GenerateView`] and of its hyperparameters, and `tool_result_attachments` for images and
    /// documents in the results of tools.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), naming what is.
    pub fn generate(
        &self,
        provider: &str,
        takes: &[&str],
    ) -> Result<&GenerateView<'a>, RequestError> {
        let Self::Generate(generate) = self else {
            let only = format!("{provider}: only generate requests");
            return Err(RequestError::unsupported(only));
        };
        // Without rests, so that what is added one day cannot be forgotten here.
        let GenerateView {
            model: _,
            system,
            messages,
            tools,
            tool_choice,
            schema,
            thinking,
            hyperparameters,
        } = generate;
        let mut contents = messages.iter().flat_map(|message| &message.contents);
        let has_attached_results = contents.any(|content| {
            matches!(content, ContentView::ToolResult(result) if !result.attachments.is_empty())
        });
        let Hyperparameters {
            max_output_tokens,
            temperature,
            top_p,
            top_k,
            stop,
            seed,
            presence_penalty,
            frequency_penalty,
            extra: _,
        } = &**hyperparameters;
        let asked = [
            ("system", system.is_some()),
            ("tools", !tools.is_empty()),
            ("tool_choice", tool_choice.is_some()),
            ("schema", schema.is_some()),
            ("thinking", thinking.is_some()),
            ("max_output_tokens", max_output_tokens.is_some()),
            ("temperature", temperature.is_some()),
            ("top_p", top_p.is_some()),
            ("top_k", top_k.is_some()),
            ("stop", stop.is_some()),
            ("seed", seed.is_some()),
            ("presence_penalty", presence_penalty.is_some()),
            ("frequency_penalty", frequency_penalty.is_some()),
            (TOOL_RESULT_ATTACHMENTS, has_attached_results),
        ];
        for (name, is_asked) in asked {
            if is_asked && !takes.contains(&name) {
                let no = format!("{provider} has no {name}");
                return Err(RequestError::unsupported(no));
            }
        }
        Ok(generate)
    }
}

/// Texts to embed.
#[derive(Debug, Clone)]
pub struct EmbedView<'a> {
    /// The model's name at the provider.
    pub model: Text<'a>,
    /// The texts.
    pub inputs: Vec<Text<'a>>,
}

/// A body in a provider's own words.
#[derive(Debug, Clone)]
pub struct RawView<'a> {
    /// The model that the body names.
    pub model: Option<Text<'a>>,
    /// The path it is meant for, such as `/v1/responses`.
    pub endpoint: Text<'a>,
    /// The body.
    pub body: Json<'a>,
}

impl RawView<'_> {
    /// The model that the body names, where nothing speaks against sending it: with some providers one
    /// bad line fails a whole batch.
    pub fn check(&self, provider: &str, endpoints: &[&str]) -> Result<String, RequestError> {
        self.named_model(provider, endpoints)?
            .ok_or_else(|| RequestError::invalid_input("the body names no model"))
    }

    /// Returns the model that the body names, if it names one: for providers that take the model of a batch beside
    /// its requests.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an endpoint that is not among `endpoints` and for
    /// a body that asks to stream, [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a body that is not
    /// a JSON object.
    pub fn named_model(
        &self,
        provider: &str,
        endpoints: &[&str],
    ) -> Result<Option<String>, RequestError> {
        #[derive(serde::Deserialize)]
        struct Body {
            stream: Option<serde_json::Value>,
            model: Option<String>,
        }
        let endpoint = self.endpoint.decode();
        if !endpoints.contains(&&*endpoint) {
            return Err(RequestError::unsupported(format!(
                "{provider} has no batches for the url {endpoint:?}; it has {}",
                endpoints.join(", ")
            )));
        }
        let body = Some(self.body).filter(|body| body.as_str().starts_with('{'));
        let body = body.map(|body| body.parse::<Body>().map_err(|error| error.to_string()));
        let body = match body {
            Some(Ok(body)) => body,
            Some(Err(error)) if error.starts_with("duplicate field") => {
                let error = error.split(" at line ").next().unwrap_or_default();
                return Err(RequestError::invalid_input(format!("the body: {error}")));
            }
            _ => {
                return Err(RequestError::invalid_input(
                    "the body is not a JSON object whose model is a string",
                ));
            }
        };
        if body
            .stream
            .is_some_and(|stream| stream != false && !stream.is_null())
        {
            return Err(RequestError::unsupported(
                "body.stream: a batch cannot stream",
            ));
        }
        Ok(body.model)
    }
}

/// A conversation to answer.
#[derive(Debug, Clone)]
pub struct GenerateView<'a> {
    /// The model's name at the provider.
    pub model: Text<'a>,
    /// What stands before every conversation.
    pub system: Option<Text<'a>>,
    /// The conversation.
    pub messages: Vec<MessageView<'a>>,
    /// What the model may call.
    pub tools: &'a [Tool],
    /// Whether it must.
    pub tool_choice: Option<&'a ToolChoice>,
    /// What the answer must look like.
    pub schema: Option<&'a ResponseSchema>,
    /// How much it should think.
    pub thinking: Option<&'a ThinkingOptions>,
    /// How it should write.
    pub hyperparameters: Cow<'a, Hyperparameters>,
}

/// One turn.
#[derive(Debug, Clone)]
pub struct MessageView<'a> {
    /// Who speaks.
    pub role: Role,
    /// What is said; at least one.
    pub contents: Vec<ContentView<'a>>,
}

impl MessageView<'_> {
    /// What is said, for a provider that takes nothing but words.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where something else is with them.
    pub fn text(&self, provider: &str) -> Result<String, RequestError> {
        let texts = self.contents.iter().map(|content| match content {
            ContentView::Text(text) => Ok(text.decode()),
            _ => Err(RequestError::unsupported(format!("{provider}: only text"))),
        });
        texts.collect()
    }
}

/// A piece of a turn.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ContentView<'a> {
    /// Words.
    Text(Text<'a>),
    /// A picture, document, sound or film.
    Attachment(AttachmentView<'a>),
    /// A call that the model made.
    ToolCall(ToolCallView<'a>),
    /// What came of it.
    ToolResult(ToolResultView<'a>),
    /// What the model thought.
    Thinking(ThinkingView<'a>),
}

impl<'a> ContentView<'a> {
    /// Returns the attachments of this content: itself, or those of a tool's result.
    pub fn attachments(&self) -> &[AttachmentView<'a>] {
        match self {
            Self::Attachment(attachment) => std::slice::from_ref(attachment),
            Self::ToolResult(result) => &result.attachments,
            _ => &[],
        }
    }

    /// Returns the attachments of this content, to be changed.
    pub fn attachments_mut(&mut self) -> &mut [AttachmentView<'a>] {
        match self {
            Self::Attachment(attachment) => std::slice::from_mut(attachment),
            Self::ToolResult(result) => &mut result.attachments,
            _ => &mut [],
        }
    }
}

/// A call that the model made.
#[derive(Clone)]
pub struct ToolCallView<'a> {
    /// The call's id, which its result names.
    pub id: Cow<'a, str>,
    /// The tool.
    pub name: Text<'a>,
    /// Its arguments.
    pub arguments: Arguments<'a>,
}

impl std::fmt::Debug for ToolCallView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolCallView")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl<'a> ToolCallView<'a> {
    /// Returns a call that the provider gave no id: its name is its id, with a number where an earlier item
    /// of the answer has that id already.
    pub fn without_id(name: Text<'a>, arguments: Arguments<'a>, before: &[ItemView<'a>]) -> Self {
        let is_taken = |id: &str| {
            before
                .iter()
                .any(|item| matches!(item, ItemView::ToolCall(call) if call.id == id))
        };
        let plain = name.decode();
        let numbered = (2..).map(|number| Cow::Owned(format!("{plain}-{number}")));
        let id = std::iter::once(plain.clone()).chain(numbered);
        Self {
            id: id.into_iter().find(|id| !is_taken(id)).unwrap_or_default(),
            name,
            arguments,
        }
    }
}

/// What came of a call.
#[derive(Clone)]
pub struct ToolResultView<'a> {
    /// The call's id.
    pub id: Text<'a>,
    /// The tool, where known: some providers want it.
    pub name: Option<Text<'a>>,
    /// Output of the tool.
    pub output: Cow<'a, str>,
    /// Images and documents that the tool gave beside its text, in order; none for most tools.
    pub attachments: Vec<AttachmentView<'a>>,
    /// Whether it failed.
    pub is_error: bool,
}

impl std::fmt::Debug for ToolResultView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToolResult({} B)", self.output.len())
    }
}

/// What the model thought, with what its provider needs to take it back.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThinkingView<'a> {
    /// The words, if they are shown.
    pub text: Option<Text<'a>>,
    /// The provider's name of it.
    pub id: Option<Text<'a>>,
    /// The provider's seal on it.
    pub signature: Option<Text<'a>>,
    /// The same, encrypted.
    pub data: Option<Text<'a>>,
}

/// A tool's arguments: some providers send a value, some a string that should hold one.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// A JSON value.
    Value(Json<'a>),
    /// A string that should hold JSON, and may not.
    Quoted(Text<'a>),
    /// Words for a tool that takes any text.
    Free(Text<'a>),
}

impl<'a> Arguments<'a> {
    /// Reads a member that holds the arguments in either form. Absent ones are those of a tool without
    /// parameters.
    ///
    /// # Errors
    /// Where they are there and cannot be passed on, such as a value that is nested too deep.
    pub fn of(member: Member<'a>) -> Result<Self, JsonError> {
        Ok(match (member.text(), member.json()?) {
            (Some(text), _) => Self::Quoted(text),
            (None, Some(json)) => Self::Value(json),
            (None, None) => Self::Quoted(Text::Plain("{}")),
        })
    }

    /// Whether there are none: models write the empty string for a tool without parameters.
    fn are_empty(self) -> bool {
        matches!(self, Self::Quoted(text) | Self::Free(text) if text.decode().trim().is_empty())
    }

    /// Appends the arguments as a JSON value: `{}` where there are none; a string that holds no JSON stays a
    /// string.
    pub fn write_value(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(json) => json.write(out),
            _ if self.are_empty() => out.extend_from_slice(b"{}"),
            Self::Quoted(text) | Self::Free(text) => {
                let decoded = text.decode();
                let compact = crate::compact(&decoded);
                // A half of a character may be escaped in the text within the row's own text.
                let mut scratch = Vec::new();
                let (mended, _) = crate::mend_surrogates(compact.as_bytes(), &mut scratch);
                match Json::new(&String::from_utf8_lossy(mended)) {
                    Ok(json) => json.write(out),
                    Err(_) => text.write_json(out),
                }
            }
        }
    }

    /// Appends the arguments as a JSON string that holds them.
    pub fn write_quoted(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(json) => Text::Plain(json.as_str()).write_json(out),
            _ if self.are_empty() => out.extend_from_slice(b"\"{}\""),
            Self::Quoted(text) | Self::Free(text) => text.write_json(out),
        }
    }
}

/// A picture, document, sound or film.
#[derive(Debug, Clone)]
pub struct AttachmentView<'a> {
    /// Which.
    pub kind: AttachmentKind,
    /// Where its bytes are.
    pub source: SourceView<'a>,
    /// Its media type, where known.
    pub mime_type: Option<Text<'a>>,
    /// Its name, where it has one.
    pub filename: Option<Text<'a>>,
}

/// Where an attachment's bytes are.
#[derive(Clone)]
pub enum SourceView<'a> {
    /// Here.
    Bytes(Cow<'a, [u8]>),
    /// Here, in base64.
    Base64(Text<'a>),
    /// In a file of this machine. The engine reads it before a codec sees it.
    Path(Cow<'a, Path>),
    /// Where the provider may fetch it.
    Url(Text<'a>),
    /// At the provider, under its file id.
    File(Text<'a>),
}

impl<'a> SourceView<'a> {
    /// Takes base64 that a caller wrote, in either alphabet, padded or not, with line breaks or without;
    /// `None` for what is not base64. Only the usual form is passed on as it is.
    pub fn from_base64(text: Text<'a>) -> Option<Self> {
        let view = Self::Base64(text);
        if view.decode_base64().is_some() {
            return Some(view);
        }
        let bytes = crate::user::attachment::decode_base64(&text.decode())?;
        Some(Self::Bytes(Cow::Owned(bytes)))
    }

    /// Appends the bytes in base64, without quotes; `false` if they are not here.
    pub fn write_base64(&self, out: &mut Vec<u8>) -> bool {
        use base64::Engine as _;
        match self {
            Self::Bytes(bytes) => {
                let at = out.len();
                out.resize(at + bytes.len().div_ceil(3) * 4, 0);
                let written =
                    base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[at..]);
                out.truncate(at + written.unwrap_or(0));
                true
            }
            Self::Base64(text) => {
                text.write_json_inner(out);
                true
            }
            _ => false,
        }
    }

    /// The bytes of a [`Base64`](Self::Base64) source, if they are well-formed.
    pub fn decode_base64(&self) -> Option<Vec<u8>> {
        use base64::Engine as _;
        match self {
            Self::Base64(text) => base64::engine::general_purpose::STANDARD
                .decode(&*text.decode())
                .ok(),
            _ => None,
        }
    }
}

impl std::fmt::Debug for SourceView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} B)", bytes.len()),
            Self::Base64(text) => write!(f, "Base64({} B)", text.encoded_len()),
            Self::Path(_) => f.write_str("Path"),
            Self::Url(_) => f.write_str("Url"),
            Self::File(_) => f.write_str("File"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_provider_has_no_word_for_is_refused_by_name() {
        let mut parameters = Hyperparameters::default();
        parameters.set("seed", json!(7)).unwrap();
        parameters.set("own", json!(1)).unwrap();
        let view = RequestView::Generate(GenerateView {
            model: "m".into(),
            system: Some("s".into()),
            messages: Vec::new(),
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(parameters),
        });
        for (takes, refused) in [
            (&["system", "seed"][..], None),
            (&["seed"], Some("acme has no system")),
            (&["system", "temperature"], Some("acme has no seed")),
        ] {
            let found = view.generate("acme", takes);
            let words = found.as_ref().err().and_then(RequestError::message);
            assert_eq!(words, refused);
        }
        let raw = RequestView::Raw(RawView {
            model: None,
            endpoint: "/x".into(),
            body: Json::new("{}").unwrap(),
        });
        raw.generate("acme", &[]).unwrap_err();
    }

    #[test]
    fn words_come_alone_or_not_at_all() {
        let words = |text| ContentView::Text(Text::Plain(text));
        let mut turn = MessageView {
            role: Role::User,
            contents: vec![words("a"), words("b")],
        };
        assert_eq!(turn.text("acme").unwrap(), "ab");
        let thought = ContentView::Thinking(ThinkingView::default());
        turn.contents.push(thought);
        turn.text("acme").unwrap_err();
    }
}
