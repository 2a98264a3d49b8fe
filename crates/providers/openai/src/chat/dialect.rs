//! Differences between services that implement OpenAI's chat completions, as data.

use lmbatch_core::{CallIdRule, Effort, ErrorKind, FinishReason, Retry, ToolNames};

/// "tool_calls[0].id: string too long. Expected a string with maximum length 40" (error of the chat endpoint,
/// openclaw 875, 2026-01-13; dify 28987, 2025-12-01). Any character is accepted.
const CALL_IDS: CallIdRule = CallIdRule {
    min_len: 1,
    max_len: 40,
    is_legal: |letter| !letter.is_control(),
};

/// Differences of one service from the chat completions of OpenAI.
///
/// Options that a dialect does not support are refused by name when a request is written. Only the reasoning of
/// earlier answers is omitted from a conversation, if [`thoughts`](Self::thoughts) requires it; a message that holds
/// nothing else is refused. Start from [`plain`](Self::plain), which supports the fewest options, or from the
/// dialect of a similar service, and set the differences:
///
/// ```
/// use lmbatch_openai::chat::{Dialect, Parameters};
/// const ACME: Dialect = Dialect {
///     parameters: Parameters {
///         seed: Some("random_seed"),
///         ..Parameters::PLAIN
///     },
///     ..Dialect::plain("acme")
/// };
/// assert_eq!(ACME.parameters.max_output_tokens, Some("max_tokens"));
/// assert!(ACME.tools.is_none() && ACME.images.is_none());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Name of the service, with which the message of each refusal begins.
    pub service: &'static str,
    /// True if each body names the model; `false` if the batch names it.
    pub names_model: bool,
    /// Form of the contents of a message.
    pub contents: Contents,
    /// Names of the sampling parameters and of the maximum length of an answer.
    pub parameters: Parameters,
    /// Levels of thinking; `None` if the service has none.
    pub efforts: Option<Efforts>,
    /// Member for the most tokens of thinking; `None` if the service has none.
    pub thinking_budget: Option<&'static str>,
    /// Form in which thoughts of earlier answers are sent back.
    pub thoughts: Thoughts,
    /// Tools that the model may call; `None` if the service takes none, nor calls and results in a conversation.
    pub tools: Option<Tools>,
    /// Form of the schema of an answer.
    pub schemas: Schemas,
    /// Images in user messages; `None` if the service takes none.
    pub images: Option<Files>,
    /// Documents in user messages; `None` if the service takes none.
    pub documents: Option<Files>,
    /// Audio in user messages; `None` if the service takes none.
    pub audio: Option<Files>,
    /// Videos in user messages; `None` if the service takes none.
    pub videos: Option<Files>,
    /// Parameters of the service's own that a caller may set.
    pub extras: Extras,
    /// Words for the reason why an answer ended, beside OpenAI's own.
    pub finish_reasons: &'static [(&'static str, FinishReason)],
    /// True if the service's count of completion tokens excludes thinking tokens. They are then added, so that output
    /// tokens include them, as for every other provider.
    pub thinks_outside_completion: bool,
    /// Form of a row of the results.
    pub rows: Rows,
    /// Form of errors.
    pub errors: Errors,
}

/// Form of the contents of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// One text is a string, several are a list of parts.
    Parts,
    /// Several texts are joined to one string, for services that take no list; a message with an attachment is a
    /// list of parts.
    Strings,
}

/// Form in which thoughts of earlier answers are sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoughts {
    /// The service takes none back: they are left out, and a message of nothing else is refused.
    Omitted,
    /// Parts `{"type": "thinking", "thinking": [{"type": "text", "text": …}]}` of an assistant message. Thoughts
    /// without words are left out.
    Chunks,
}

/// Names of parameters in a body; `None` if the service has no such parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Name for the most tokens of an answer, thinking included.
    pub max_output_tokens: Option<&'static str>,
    /// Name for the sampling temperature.
    pub temperature: Option<&'static str>,
    /// Name for top-p.
    pub top_p: Option<&'static str>,
    /// Name for top-k.
    pub top_k: Option<&'static str>,
    /// Name for the list of texts that end an answer.
    pub stop: Option<&'static str>,
    /// Name for the seed.
    pub seed: Option<&'static str>,
    /// Name for the presence penalty.
    pub presence_penalty: Option<&'static str>,
    /// Name for the frequency penalty.
    pub frequency_penalty: Option<&'static str>,
}

impl Parameters {
    /// Names that OpenAI gives them: all but top-k.
    // "max_tokens" is deprecated and refused by reasoning models.
    pub const OPENAI: Self = Self {
        max_output_tokens: Some("max_completion_tokens"),
        temperature: Some("temperature"),
        top_p: Some("top_p"),
        top_k: None,
        stop: Some("stop"),
        seed: Some("seed"),
        presence_penalty: Some("presence_penalty"),
        frequency_penalty: Some("frequency_penalty"),
    };

    /// `max_tokens`, `temperature`, `top_p` and `stop`, which every service has.
    pub const PLAIN: Self = Self {
        max_output_tokens: Some("max_tokens"),
        seed: None,
        presence_penalty: None,
        frequency_penalty: None,
        ..Self::OPENAI
    };
}

/// Levels of thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Efforts {
    /// Member of the body that holds the level.
    pub member: &'static str,
    /// Levels that the service has, each with its word. Another level is refused.
    pub levels: &'static [(Effort, &'static str)],
}

/// Tools that a service takes.
#[derive(Debug, Clone, Copy)]
pub struct Tools {
    /// Support of `strict` on a tool. Without it a strict tool is refused.
    pub strict: bool,
    /// Word of `tool_choice` for "call one of them", such as `required` or `any`; `None` where there is none.
    pub required: Option<&'static str>,
    /// Support of a tool choice that names one tool.
    pub named: bool,
    /// Rule for the ids of tool calls. Others are rewritten, in a call and in its result alike.
    pub call_ids: CallIdRule,
    /// Rule for the names of tools; `None` if the service documents none.
    pub names: Option<ToolNames>,
    /// Refusal, by the service, of tool results without their call and of calls without a result. Such conversations
    /// are then refused before anything is sent.
    pub paired: bool,
}

impl Tools {
    /// Tools of OpenAI: strict where wanted, `required`, a tool by its name, ids of up to 40 bytes, names of up to 64
    /// letters, digits, underscores and hyphens ("with a maximum length of 64", OpenAPI document 2.3.0, 2026-08-21).
    pub const OPENAI: Self = Self {
        strict: true,
        required: Some("required"),
        named: true,
        call_ids: CALL_IDS,
        names: Some(ToolNames {
            max_len: 64,
            punctuation: "_-",
            begins_with_letter: false,
        }),
        // "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'", and "An assistant
        // message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'" (errors of
        // the API; public threads of 2024 to 2026).
        paired: true,
    };

    /// Tools of OpenAI for a service that documents no rule for their names.
    pub(crate) const NAMED_FREELY: Self = Self {
        names: None,
        paired: false,
        ..Self::OPENAI
    };
}

/// Form of the schema of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemas {
    /// The service takes no schema. A strict one is refused; the answers to a lenient one are checked on this
    /// machine only.
    Unsupported,
    /// `{"type": "json_schema", "json_schema": {"name", "schema", "strict"}}`, rewritten into the part of JSON
    /// Schema that OpenAI's strict mode takes. What cannot be rewritten is sent as it is, and not strict.
    OpenAi,
    /// The same members with the caller's own schema, and with this `strict`; `None` leaves it out.
    AsIs {
        /// Value of the member `strict`.
        strict: Option<bool>,
    },
    /// `{"type": "json_object", "schema": {…}}` with the caller's own schema.
    JsonObject,
}

/// Attachments of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// Form of the part that holds one.
    pub part: FilePart,
    /// Media types that the service takes; any where empty. Not used for [`FilePart::InputAudio`], which has
    /// its own.
    pub media_types: &'static [&'static str],
    /// Support of bytes in the body.
    pub bytes: bool,
    /// Support of URLs, which the service fetches.
    pub urls: bool,
    /// Support of ids of uploaded files, for [`FilePart::File`].
    pub ids: bool,
    /// Advice at the end of the message that refuses an attachment: a fragment such as `set the endpoint to
    /// responses`; may be empty.
    pub hint: &'static str,
}

impl Files {
    /// `{"type": "image_url", "image_url": {"url": …}}` with a URL or a data URL: PNG, JPEG, WebP or GIF.
    pub const IMAGE_URL: Self = Self {
        part: FilePart::Url("image_url"),
        media_types: &["image/png", "image/jpeg", "image/webp", "image/gif"],
        bytes: true,
        urls: true,
        ids: false,
        hint: "",
    };
}

/// Form of the part of a message that holds an attachment. A URL is that of the attachment, or a data URL of its
/// bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePart {
    /// `{"type": NAME, NAME: {"url": …}}`
    Url(&'static str),
    /// `{"type": NAME, NAME: "…"}`
    PlainUrl(&'static str),
    /// `{"type": "file", "file": {"filename", "file_data"}}`, or `{"file_id"}` there.
    File,
    /// `{"type": "input_audio", "input_audio": {"data", "format"}}` with wav or mp3 in base64.
    InputAudio,
    /// `{"type": "input_audio", "input_audio": "…"}` with base64.
    PlainAudio,
}

/// Parameters of the service's own that a caller may set. `model` and `stream` never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extras {
    /// Any value of the member.
    Any,
    /// Any but these.
    Except(&'static [&'static str]),
    /// These and no others.
    Only(&'static [&'static str]),
}

/// Form of a row of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// `{"custom_id", "response": {"status_code", "body": {…}}, "error"}`
    Wrapped,
    /// `{"custom_id", "response": {…}, "error"}`: the response is the body itself.
    Bare,
}

/// Form of errors, of HTTP answers and of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errors {
    /// Codes that the service has beside OpenAI's, with what they mean. They come first.
    pub codes: &'static [(&'static str, ErrorKind, Retry)],
    /// Recognition of `{"code": "…", "error": "…"}`, both strings, as the service's own error object.
    pub flat: bool,
    /// Recognition of `{"detail": [{"loc", "msg", "type"}, …]}` under HTTP 422 as the service's own error object.
    pub detail: bool,
}

impl Errors {
    /// Error objects of OpenAI and of most that imitate it, and no codes beside OpenAI's.
    pub const OPENAI: Self = Self {
        codes: &[],
        flat: false,
        detail: false,
    };
}

impl Dialect {
    /// Returns the dialect with the fewest words: text, a system prompt and [`Parameters::PLAIN`]. What else a
    /// service takes is named by its author.
    pub const fn plain(service: &'static str) -> Self {
        Self {
            service,
            names_model: true,
            contents: Contents::Parts,
            parameters: Parameters::PLAIN,
            efforts: None,
            thinking_budget: None,
            thoughts: Thoughts::Omitted,
            tools: None,
            schemas: Schemas::Unsupported,
            images: None,
            documents: None,
            audio: None,
            videos: None,
            extras: Extras::Any,
            finish_reasons: &[],
            thinks_outside_completion: false,
            rows: Rows::Wrapped,
            errors: Errors::OPENAI,
        }
    }
}
