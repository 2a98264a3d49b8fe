//! Inputs: requests, messages and their contents.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    Attachment, GenerateOptions, Hyperparameters, JsonBuf, RequestId, ResponseSchema,
    ThinkingOptions, Tool, ToolChoice,
};

/// Author of a message.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// assert_eq!(lmbatch::Role::Assistant.as_str(), "assistant");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The instructions to the model.
    System,
    /// The person, or the program that asks.
    User,
    /// The model that answers.
    Assistant,
}

impl Role {
    /// Returns the role as one lowercase word, as JSON holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Conversation that the model is to answer. A string, or contents, become one user message.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{LMInput, Message};
/// let text = LMInput::from("What is 2 + 2?");
/// let talk = LMInput::from([Message::user("Hi!"), Message::assistant("Hello."), Message::user("What is 2 + 2?")]);
/// assert_eq!((text.messages.len(), talk.messages.len()), (1, 3));
/// assert_eq!(
///     serde_json::to_string(&LMInput::from("Hi!"))?,
///     r#"[{"role":"user","contents":[{"text":"Hi!"}]}]"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LMInput {
    /// Messages of the conversation, oldest first.
    pub messages: Vec<Message>,
}

/// One message of a conversation.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Message, Role};
/// assert_eq!(Message::system("Be brief.").role, Role::System);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Author of the message.
    pub role: Role,
    /// Contents of the message, in order.
    pub contents: Vec<MessageContent>,
}

impl Message {
    /// Creates a message of an author, such as one that was read from elsewhere.
    ///
    /// ```
    /// use lmbatch_core::{Message, Role};
    /// assert_eq!(Message::new(Role::User, "Hi!"), Message::user("Hi!"));
    /// ```
    pub fn new(role: Role, contents: impl Into<Contents>) -> Self {
        Self {
            role,
            contents: contents.into().0,
        }
    }
    /// Creates a message with instructions.
    pub fn system(contents: impl Into<Contents>) -> Self {
        Self {
            role: Role::System,
            contents: contents.into().0,
        }
    }
    /// Creates a message of the user.
    pub fn user(contents: impl Into<Contents>) -> Self {
        Self {
            role: Role::User,
            contents: contents.into().0,
        }
    }
    /// Creates a message of the model, from an earlier answer.
    pub fn assistant(contents: impl Into<Contents>) -> Self {
        Self {
            role: Role::Assistant,
            contents: contents.into().0,
        }
    }
}

/// Contents of a message, made from a string, one content or several.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Attachment, Message};
/// let one = Message::user("Hello!");
/// let two = Message::user(["What is this?".into(), Attachment::from_path("cat.png").into()]);
/// assert_eq!((one.contents.len(), two.contents.len()), (1, 2));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Contents(Vec<MessageContent>);

impl<T: Into<MessageContent>> From<T> for Contents {
    fn from(content: T) -> Self {
        Self(vec![content.into()])
    }
}

impl From<Vec<MessageContent>> for Contents {
    fn from(contents: Vec<MessageContent>) -> Self {
        Self(contents)
    }
}

impl<const N: usize> From<[MessageContent; N]> for Contents {
    fn from(contents: [MessageContent; N]) -> Self {
        Self(contents.into())
    }
}

/// One piece of the contents of a message.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::MessageContent;
/// let text: MessageContent = "Hello!".into();
/// assert!(matches!(text, MessageContent::Text(_)));
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageContent {
    /// Plain text of the message.
    Text(String),
    /// An image, document, audio or video.
    Attachment(Attachment),
    /// A tool call that the model made.
    ToolCall(ToolCall),
    /// The result of a tool call.
    ToolResult(ToolResult),
    /// The model's reasoning (thinking) of an earlier answer.
    Thinking(Thinking),
}

impl fmt::Debug for MessageContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} B)", text.len()),
            Self::Attachment(attachment) => attachment.fmt(f),
            Self::ToolCall(call) => call.fmt(f),
            Self::ToolResult(result) => result.fmt(f),
            Self::Thinking(thinking) => thinking.fmt(f),
        }
    }
}

macro_rules! contents {
    ($($from:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$from> for MessageContent {
            fn from(content: $from) -> Self {
                Self::$variant(content.into())
            }
        }
    )+};
}

contents! {
    &str => Text,
    String => Text,
    Attachment => Attachment,
    ToolCall => ToolCall,
    ToolResult => ToolResult,
    Thinking => Thinking,
}

/// Tool call that a model made.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{JsonBuf, ToolCall};
/// let call = ToolCall { id: "1".into(), name: "add".into(), arguments: JsonBuf::from_text("[2,2]")? };
/// assert_eq!(call.arguments::<Vec<u8>>()?, [2, 2]);
/// assert_eq!(serde_json::to_string(&call)?, r#"{"id":"1","name":"add","arguments":[2,2]}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Id of the call, which its result repeats.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments of the call, as JSON.
    pub arguments: JsonBuf,
}

impl ToolCall {
    /// Deserializes the arguments into a type.
    ///
    /// # Errors
    /// The error of `serde_json` where the arguments do not fit the type.
    pub fn arguments<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.arguments.as_str())
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolCall")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Result of a tool call, for the model to continue with.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Message, ToolResult};
/// let result = ToolResult {
///     id: "1".into(),
///     name: Some("weather".into()),
///     output: "sunny".into(),
///     attachments: Vec::new(),
///     is_error: false,
/// };
/// assert_eq!(
///     serde_json::to_string(&result)?,
///     r#"{"id":"1","name":"weather","output":"sunny","is_error":false}"#
/// );
/// assert_eq!(Message::user(result).contents.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Id of the call that the result answers.
    pub id: String,
    /// Name of the tool, which some providers require.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Output of the tool as text.
    pub output: String,
    /// Images and documents that the tool returned besides text, in order. A request with attachments in a
    /// tool result is refused for providers that accept none there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// `true` where the tool failed; `false` by default.
    #[serde(default)]
    pub is_error: bool,
}

impl fmt::Debug for ToolResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolResult")
            .field("name", &self.name)
            .field("is_error", &self.is_error)
            .finish_non_exhaustive()
    }
}

/// The model's reasoning (thinking), with what its provider needs to accept it back in a later request.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Message, Thinking};
/// let earlier = Thinking { text: "four".into(), signature: Some("seal".into()), ..Default::default() };
/// let turn = Message::assistant([earlier.into(), "4".into()]);
/// assert_eq!(turn.contents.len(), 2);
/// ```
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thinking {
    /// Text of the reasoning; empty where the provider hides it.
    pub text: String,
    /// The provider's id of the reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The provider's signature over the reasoning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The reasoning in encrypted form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl fmt::Debug for Thinking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thinking({} B)", self.text.len())
    }
}

impl From<&str> for LMInput {
    fn from(text: &str) -> Self {
        Self {
            messages: vec![Message::user(text)],
        }
    }
}

impl From<String> for LMInput {
    fn from(text: String) -> Self {
        Self {
            messages: vec![Message::user(text)],
        }
    }
}

impl From<Vec<MessageContent>> for LMInput {
    fn from(contents: Vec<MessageContent>) -> Self {
        Self {
            messages: vec![Message::user(contents)],
        }
    }
}

impl<const N: usize> From<[MessageContent; N]> for LMInput {
    fn from(contents: [MessageContent; N]) -> Self {
        Vec::from(contents).into()
    }
}

impl From<Vec<Message>> for LMInput {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages }
    }
}

impl<const N: usize> From<[Message; N]> for LMInput {
    fn from(messages: [Message; N]) -> Self {
        Self {
            messages: messages.into(),
        }
    }
}

impl From<Message> for LMInput {
    fn from(message: Message) -> Self {
        Self {
            messages: vec![message],
        }
    }
}

/// One input with its id and its own options.
///
/// Its JSON form, for jobs in a table or a queue, has the members `id`, `input` and, where they are set, `options`.
/// Members that this version does not know are ignored.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Hyperparameters, Request};
/// let request = Request::new("sum", "What is 2 + 2?")
///     .with_hyperparameters(Hyperparameters { temperature: Some(0.0), ..Default::default() });
/// assert_eq!(Request::from(("sum", "What is 2 + 2?")).input, request.input);
/// let stored = serde_json::to_string(&request)?;
/// assert_eq!(serde_json::from_str::<Request>(&stored)?, request);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The caller's key of the request, unique in a run.
    pub id: RequestId,
    /// Conversation that the model is to answer.
    pub input: LMInput,
    /// Options of this request, merged over those of the call and of the invoker.
    #[serde(default, skip_serializing_if = "GenerateOptions::is_default")]
    pub options: GenerateOptions,
}

impl Request {
    /// Creates a request with default options.
    pub fn new(id: impl Into<RequestId>, input: impl Into<LMInput>) -> Self {
        Self {
            id: id.into(),
            input: input.into(),
            options: GenerateOptions::default(),
        }
    }

    /// Sets options of this request, merged over options set before.
    ///
    /// ```
    /// use lmbatch_core::{GenerateOptions, Hyperparameters, Request};
    /// let precise = Hyperparameters { temperature: Some(0.0), ..Default::default() };
    /// let brief = GenerateOptions { system: Some("Be brief.".into()), ..Default::default() };
    /// let request = Request::new("a", "hi").with_hyperparameters(precise).with_options(brief);
    /// assert_eq!(request.options.hyperparameters.temperature, Some(0.0));
    /// ```
    #[expect(
        clippy::needless_pass_by_value,
        reason = "all methods of the builder take their arguments by value"
    )]
    pub fn with_options(mut self, options: GenerateOptions) -> Self {
        self.options = options.with_defaults(&self.options);
        self
    }

    /// Sets the system prompt of this request.
    ///
    /// ```
    /// use lmbatch_core::{Request, ResponseSchema, Tool};
    /// #[derive(schemars::JsonSchema)]
    /// struct City { name: String }
    ///
    /// let request = Request::new("a", "Where is it warmer than in Oslo?")
    ///     .with_system("Be brief.")
    ///     .with_tools([Tool::of::<City>().with_name("weather")])
    ///     .with_schema(ResponseSchema::of::<City>());
    /// assert_eq!(request.options.tools.unwrap()[0].name, "weather");
    /// ```
    pub fn with_system(mut self, system: impl Into<String>) -> Self {
        self.options.system = Some(system.into());
        self
    }
    /// Sets the tools that the model may call, in place of those of the call and of the invoker.
    pub fn with_tools(mut self, tools: impl IntoIterator<Item = Tool>) -> Self {
        self.options.tools = Some(tools.into_iter().collect());
        self
    }
    /// Sets the choice of the model among its tools.
    pub fn with_tool_choice(mut self, choice: ToolChoice) -> Self {
        self.options.tool_choice = Some(choice);
        self
    }
    /// Sets the JSON Schema of the answer.
    pub fn with_schema(mut self, schema: ResponseSchema) -> Self {
        self.options.schema = Some(schema);
        self
    }
    /// Sets the amount of thinking, as an effort or as a budget of tokens.
    pub fn with_thinking(mut self, thinking: ThinkingOptions) -> Self {
        self.options.thinking = Some(thinking);
        self
    }

    /// Sets hyperparameters of this request, merged over hyperparameters set before.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "all methods of the builder take their arguments by value"
    )]
    pub fn with_hyperparameters(mut self, hyperparameters: Hyperparameters) -> Self {
        self.options.hyperparameters = hyperparameters.with_defaults(&self.options.hyperparameters);
        self
    }
}

impl<I: Into<RequestId>, T: Into<LMInput>> From<(I, T)> for Request {
    fn from((id, input): (I, T)) -> Self {
        Self::new(id, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_or_contents_become_one_user_message() {
        let text = LMInput::from("hi");
        assert_eq!(text.messages, [Message::user("hi")]);
        let contents: [MessageContent; 2] = ["a".into(), Attachment::from_path("a.png").into()];
        let several = LMInput::from(contents);
        assert_eq!(
            (
                several.messages.len(),
                several.messages[0].role,
                several.messages[0].contents.len()
            ),
            (1, Role::User, 2)
        );
        let turns = LMInput::from([Message::system("s"), Message::user("u")]);
        assert_eq!(turns.messages.len(), 2);
        assert_eq!(Request::from(("id", "hi")).id.as_str(), "id");
    }

    #[test]
    fn debug_shows_no_content() {
        let input = LMInput::from([
            Message::user("canary"),
            Message::assistant(Thinking {
                text: "canary".into(),
                ..Thinking::default()
            }),
        ]);
        assert!(!format!("{input:?}").contains("canary"));
    }

    #[test]
    fn options_and_hyperparameters_of_a_request_add_up_in_any_order() {
        let tuned = |temperature, seed| Hyperparameters {
            temperature,
            seed,
            ..Hyperparameters::default()
        };
        let options = |hyperparameters| GenerateOptions {
            system: Some("s".into()),
            hyperparameters,
            ..GenerateOptions::default()
        };
        let new = || Request::new("a", "hi");
        for (request, temperature) in [
            (
                new()
                    .with_hyperparameters(tuned(Some(0.1), Some(1)))
                    .with_options(options(Hyperparameters::default())),
                0.1,
            ),
            (
                new()
                    .with_hyperparameters(tuned(Some(0.1), Some(1)))
                    .with_options(options(tuned(Some(0.2), None))),
                0.2,
            ),
            (
                new()
                    .with_options(options(tuned(Some(0.2), Some(1))))
                    .with_hyperparameters(tuned(Some(0.3), None)),
                0.3,
            ),
        ] {
            let merged = &request.options;
            assert_eq!(merged.system.as_deref(), Some("s"));
            assert_eq!(merged.hyperparameters, tuned(Some(temperature), Some(1)));
        }
    }

    #[test]
    fn a_request_round_trips_as_json_and_reads_that_of_a_later_version() {
        let plain = Request::new("a", "hi");
        let json = serde_json::to_string(&plain).unwrap();
        assert_eq!(
            json,
            r#"{"id":"a","input":[{"role":"user","contents":[{"text":"hi"}]}]}"#
        );
        let whole = Request::new("a", [Message::assistant("ho"), Message::user("hi")])
            .with_system("s")
            .with_tools([Tool::new("f", &serde_json::json!({"x": 1.0}))])
            .with_tool_choice(ToolChoice::Required)
            .with_schema(ResponseSchema::new(&serde_json::json!({"b": 1, "a": 2})))
            .with_thinking(ThinkingOptions::default())
            .with_hyperparameters(Hyperparameters::default().with_seed(7));
        for request in [plain, whole] {
            let json = serde_json::to_string(&request).unwrap();
            let later = json.replacen('{', r#"{"later":1,"#, 1);
            for json in [json, later] {
                assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request);
            }
        }
    }
}
