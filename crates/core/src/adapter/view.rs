//! Borrowed views of requests, which codecs read. Their debug output shows no content.

use std::borrow::Cow;
use std::path::Path;

use crate::{
    AttachmentKind, Hyperparameters, ItemView, Json, JsonError, Member, RequestError,
    ResponseSchema, Role, Text, ThinkingOptions, Tool, ToolChoice,
};

/// Name by which an adapter declares that it accepts images and documents in tool results; see
/// [`RequestView::generate`].
const TOOL_RESULT_ATTACHMENTS: &str = "tool_result_attachments";

/// Borrowed request without its id, which the engine manages.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestView<'a> {
    /// A conversation that a language model is to answer.
    Generate(GenerateView<'a>),
    /// Texts that an embedding model turns into vectors.
    Embed(EmbedView<'a>),
    /// A body in the provider's own format, passed on byte for byte.
    Raw(RawView<'a>),
}

impl<'a> RequestView<'a> {
    /// Returns the conversation, if the request is one and uses only options that `takes` names. An option
    /// that a provider does not support is refused, and never dropped silently. The names are those of the
    /// fields of [`GenerateView`] and of its hyperparameters, and `tool_result_attachments` for images and
    /// documents in tool results.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported), naming the option that is not supported.
    pub fn generate(
        &self,
        provider: &str,
        takes: &[&str],
    ) -> Result<&GenerateView<'a>, RequestError> {
        let Self::Generate(generate) = self else {
            let only = format!("{provider}: only generate requests are supported");
            return Err(RequestError::unsupported(only));
        };
        // Destructured without `..`, so that the compiler reports a new field here.
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

/// Borrowed request for embeddings.
#[derive(Debug, Clone)]
pub struct EmbedView<'a> {
    /// Name of the model at the provider.
    pub model: Text<'a>,
    /// Texts to embed, in order.
    pub inputs: Vec<Text<'a>>,
}

/// Borrowed request body in the provider's own format.
#[derive(Debug, Clone)]
pub struct RawView<'a> {
    /// Model that the body names, where it is known.
    pub model: Option<Text<'a>>,
    /// Endpoint for the body, such as `/v1/responses`.
    pub endpoint: Text<'a>,
    /// Body of the request.
    pub body: Json<'a>,
}

impl RawView<'_> {
    /// Checks that the body can be sent, and returns the model that it names. Bodies are checked because with
    /// some providers one bad line fails a whole batch.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for an endpoint that is not among
    /// `endpoints`, and for `stream`; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a body
    /// that is not a JSON object with a model.
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

/// Borrowed conversation that a model is to answer, with its options.
#[derive(Debug, Clone)]
pub struct GenerateView<'a> {
    /// Name of the model at the provider.
    pub model: Text<'a>,
    /// System prompt, placed before the conversation.
    pub system: Option<Text<'a>>,
    /// Messages of the conversation, oldest first.
    pub messages: Vec<MessageView<'a>>,
    /// Tools that the model may call.
    pub tools: &'a [Tool],
    /// Choice among the tools: free, none, any or one tool.
    pub tool_choice: Option<&'a ToolChoice>,
    /// Schema that the answer must fit.
    pub schema: Option<&'a ResponseSchema>,
    /// Amount of reasoning (thinking) before the answer.
    pub thinking: Option<&'a ThinkingOptions>,
    /// Sampling parameters and limits of the answer.
    pub hyperparameters: Cow<'a, Hyperparameters>,
}

impl<'a> GenerateView<'a> {
    /// Returns the texts of the system instruction and of every system message, without empty ones: for providers that
    /// take system texts apart from the conversation.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a system message with other contents.
    pub fn system_texts(&self, provider: &str) -> Result<Vec<Text<'a>>, RequestError> {
        let mut texts: Vec<Text<'a>> = self.system.into_iter().collect();
        let turns = self.messages.iter();
        for turn in turns.filter(|turn| turn.role == Role::System) {
            for content in &turn.contents {
                let ContentView::Text(text) = content else {
                    return Err(RequestError::unsupported(format!(
                        "{provider}: system messages hold text only"
                    )));
                };
                texts.push(*text);
            }
        }
        texts.retain(|text| !text.is_empty());
        Ok(texts)
    }

    /// Returns whether a system message with text follows a message of another role. A provider that has one
    /// place for system texts, before the conversation, cannot be sent it at its own place.
    pub fn has_late_system(&self) -> bool {
        let mut turns = self
            .messages
            .iter()
            .skip_while(|turn| turn.role == Role::System);
        let has_text = |content: &ContentView<'_>| match content {
            ContentView::Text(text) => !text.is_empty(),
            _ => true,
        };
        turns.any(|turn| turn.role == Role::System && turn.contents.iter().any(has_text))
    }
}

/// One message of a conversation, borrowed.
#[derive(Debug, Clone)]
pub struct MessageView<'a> {
    /// Author of the message.
    pub role: Role,
    /// Contents of the message, in order; at least one.
    pub contents: Vec<ContentView<'a>>,
}

impl MessageView<'_> {
    /// Returns the text of the message, for a provider that accepts nothing but text.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the message has other contents.
    pub fn text(&self, provider: &str) -> Result<String, RequestError> {
        let texts = self.contents.iter().map(|content| match content {
            ContentView::Text(text) => Ok(text.decode()),
            _ => Err(RequestError::unsupported(format!(
                "{provider}: only text is supported"
            ))),
        });
        texts.collect()
    }
}

/// One piece of the contents of a message, borrowed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ContentView<'a> {
    /// Plain text of the message.
    Text(Text<'a>),
    /// An image, document, audio or video.
    Attachment(AttachmentView<'a>),
    /// A tool call that the model made.
    ToolCall(ToolCallView<'a>),
    /// The result of a tool call.
    ToolResult(ToolResultView<'a>),
    /// The model's reasoning (thinking) of an earlier answer.
    Thinking(ThinkingView<'a>),
}

impl<'a> ContentView<'a> {
    /// Returns the attachments of the content: the attachment that it is, or those of a tool result.
    pub fn attachments(&self) -> &[AttachmentView<'a>] {
        match self {
            Self::Attachment(attachment) => std::slice::from_ref(attachment),
            Self::ToolResult(result) => &result.attachments,
            _ => &[],
        }
    }

    /// Returns the attachments of the content, mutably.
    pub fn attachments_mut(&mut self) -> &mut [AttachmentView<'a>] {
        match self {
            Self::Attachment(attachment) => std::slice::from_mut(attachment),
            Self::ToolResult(result) => &mut result.attachments,
            _ => &mut [],
        }
    }
}

/// Borrowed tool call that a model made.
#[derive(Clone)]
pub struct ToolCallView<'a> {
    /// Id of the call, which its result repeats.
    pub id: Cow<'a, str>,
    /// Name of the tool.
    pub name: Text<'a>,
    /// Arguments of the call.
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
    /// Creates a call to which the provider gave no id. The id is the name of the tool, followed by a number
    /// where an item of `before` has that id already.
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

/// Borrowed result of a tool call.
#[derive(Clone)]
pub struct ToolResultView<'a> {
    /// Id of the call that the result answers.
    pub id: Text<'a>,
    /// Name of the tool, where it is known; some providers require it.
    pub name: Option<Text<'a>>,
    /// Output of the tool as text.
    pub output: Cow<'a, str>,
    /// Images and documents that the tool returned besides text, in order.
    pub attachments: Vec<AttachmentView<'a>>,
    /// `true` where the tool failed.
    pub is_error: bool,
}

impl std::fmt::Debug for ToolResultView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ToolResult({} B)", self.output.len())
    }
}

/// Borrowed reasoning (thinking), with what its provider needs to accept it back in a later request.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThinkingView<'a> {
    /// Text of the reasoning; `None` where the provider hides it.
    pub text: Option<Text<'a>>,
    /// The provider's id of the reasoning.
    pub id: Option<Text<'a>>,
    /// The provider's signature over the reasoning.
    pub signature: Option<Text<'a>>,
    /// The reasoning in encrypted form.
    pub data: Option<Text<'a>>,
}

/// Arguments of a tool call: some providers send a JSON value, others a string that should hold one.
#[derive(Debug, Clone, Copy)]
pub enum Arguments<'a> {
    /// Arguments as a JSON value.
    Value(Json<'a>),
    /// Arguments as a string that should hold JSON, but may not.
    Quoted(Text<'a>),
    /// Arguments as free text, for a tool that accepts any text.
    Free(Text<'a>),
}

impl<'a> Arguments<'a> {
    /// Reads a member that holds the arguments in either form. An absent member means `{}`, as for a tool
    /// without parameters.
    ///
    /// # Errors
    /// [`JsonError`] where the value cannot be passed on, such as one that is nested too deep.
    pub fn of(member: Member<'a>) -> Result<Self, JsonError> {
        Ok(match (member.text(), member.json()?) {
            (Some(text), _) => Self::Quoted(text),
            (None, Some(json)) => Self::Value(json),
            (None, None) => Self::Quoted(Text::Plain("{}")),
        })
    }

    /// Returns whether the text is blank: models write the empty string for a tool without parameters.
    fn are_empty(self) -> bool {
        matches!(self, Self::Quoted(text) | Self::Free(text) if text.decode().trim().is_empty())
    }

    /// Appends the arguments as a JSON value: `{}` where the text is blank. A string that does not hold JSON
    /// stays a string.
    pub fn write_value(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(json) => json.write(out),
            _ if self.are_empty() => out.extend_from_slice(b"{}"),
            Self::Quoted(text) | Self::Free(text) => {
                let decoded = text.decode();
                let compact = crate::compact(&decoded);
                // The text within the row's string may itself contain an escaped lone surrogate.
                let mut scratch = Vec::new();
                let (repaired, _) =
                    crate::replace_lone_surrogates(compact.as_bytes(), &mut scratch);
                match Json::new(&String::from_utf8_lossy(repaired)) {
                    Ok(json) => json.write(out),
                    Err(_) => text.write_json(out),
                }
            }
        }
    }

    /// Appends the arguments as a JSON string that contains them.
    pub fn write_quoted(self, out: &mut Vec<u8>) {
        match self {
            Self::Value(json) => Text::Plain(json.as_str()).write_json(out),
            _ if self.are_empty() => out.extend_from_slice(b"\"{}\""),
            Self::Quoted(text) | Self::Free(text) => text.write_json(out),
        }
    }
}

/// Borrowed image, document, audio or video.
#[derive(Debug, Clone)]
pub struct AttachmentView<'a> {
    /// Kind of the attachment.
    pub kind: AttachmentKind,
    /// Source of the attachment's bytes.
    pub source: SourceView<'a>,
    /// Media type, such as `image/png`; `None` where it is not known.
    pub mime_type: Option<Text<'a>>,
    /// File name that the provider is given; `None` where there is none.
    pub filename: Option<Text<'a>>,
}

/// Source of an attachment's bytes, borrowed.
#[derive(Clone)]
pub enum SourceView<'a> {
    /// The bytes themselves, in memory.
    Bytes(Cow<'a, [u8]>),
    /// The bytes as base64 text.
    Base64(Text<'a>),
    /// Path of a file on this machine. The engine reads the file before a codec sees the attachment.
    Path(Cow<'a, Path>),
    /// URL that the provider fetches.
    Url(Text<'a>),
    /// Id of a file that was uploaded to the provider before.
    File(Text<'a>),
}

impl<'a> SourceView<'a> {
    /// Creates a source from base64 that a caller wrote, in the standard or the URL-safe alphabet, with or
    /// without padding and line breaks; `None` for text that is not base64. Base64 of the standard form is
    /// kept as text, and any other form is decoded.
    pub fn from_base64(text: Text<'a>) -> Option<Self> {
        let view = Self::Base64(text);
        if view.decode_base64().is_some() {
            return Some(view);
        }
        let bytes = crate::user::attachment::decode_base64(&text.decode())?;
        Some(Self::Bytes(Cow::Owned(bytes)))
    }

    /// Appends the bytes as base64, without quotes; `false` where the source holds no bytes.
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

    /// Decodes a [`Base64`](Self::Base64) source; `None` for any other source, or malformed base64.
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
    fn options_that_a_provider_does_not_support_are_refused_by_name() {
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
            let message = found.as_ref().err().and_then(RequestError::message);
            assert_eq!(message, refused);
        }
        let raw = RequestView::Raw(RawView {
            model: None,
            endpoint: "/x".into(),
            body: Json::new("{}").unwrap(),
        });
        raw.generate("acme", &[]).unwrap_err();
    }

    #[test]
    fn a_message_is_read_as_text_only_if_it_holds_nothing_else() {
        let plain = |text| ContentView::Text(Text::Plain(text));
        let mut turn = MessageView {
            role: Role::User,
            contents: vec![plain("a"), plain("b")],
        };
        assert_eq!(turn.text("acme").unwrap(), "ab");
        let thought = ContentView::Thinking(ThinkingView::default());
        turn.contents.push(thought);
        turn.text("acme").unwrap_err();
    }
}
