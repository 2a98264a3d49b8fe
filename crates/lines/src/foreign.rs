//! Syntax of a provider within a line of lmbatch's own form. The error names lmbatch's form of the same.

use std::borrow::Cow;

use lmbatch_core::Json;

use crate::members::{find, members};

/// Provider whose syntax was used.
#[derive(Debug, Clone, Copy)]
enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
}

use Dialect::{Anthropic, Gemini, OpenAi};

impl Dialect {
    fn name(self) -> &'static str {
        match self {
            OpenAi => "OpenAI",
            Anthropic => "Anthropic",
            Gemini => "Gemini",
        }
    }
}

/// Type or member that only a provider's form has, and lmbatch's form of it.
type Form = (&'static str, Dialect, &'static str);

const IMAGE: &str =
    r#"{"type": "image", "url": "https://…"}, or "path" or "data" in place of "url""#;
const DOCUMENT: &str =
    r#"{"type": "document", "path": "a.pdf"}, or "url", "data" or "file_id" in place of "path""#;
const CALL: &str = r#"a part {"type": "tool_call", "id": "…", "name": "…", "arguments": {…}} of an assistant message"#;
const RESULT: &str =
    r#"a part {"type": "tool_result", "id": "…", "output": "…"} of a user message"#;
const TEXT: &str = r#"{"type": "text", "text": "…"}, or the text alone"#;
const TOOL: &str = r#"{"name": "…", "description": "…", "parameters": {…}}"#;

/// Types of parts.
const PART_TYPES: [Form; 12] = [
    ("image_url", OpenAi, IMAGE),
    ("input_image", OpenAi, IMAGE),
    ("input_text", OpenAi, TEXT),
    ("output_text", OpenAi, TEXT),
    ("input_file", OpenAi, DOCUMENT),
    ("file", OpenAi, DOCUMENT),
    (
        "input_audio",
        OpenAi,
        r#"{"type": "audio", "data": "…", "mime_type": "audio/wav"}"#,
    ),
    ("function_call", OpenAi, CALL),
    ("function_call_output", OpenAi, RESULT),
    ("tool_use", Anthropic, CALL),
    (
        "redacted_thinking",
        Anthropic,
        r#"{"type": "thinking", "data": "…"}"#,
    ),
    (
        "search_result",
        Anthropic,
        r#"{"type": "text", "text": "…"}"#,
    ),
];

/// Members of parts.
const PART_MEMBERS: [Form; 16] = [
    ("image_url", OpenAi, IMAGE),
    ("input_audio", OpenAi, r#"{"type": "audio", "data": "…"}"#),
    ("file", OpenAi, DOCUMENT),
    (
        "source",
        Anthropic,
        r#""url", "data" with "mime_type", or "file_id" beside "type""#,
    ),
    (
        "tool_use_id",
        Anthropic,
        r#"{"type": "tool_result", "id": "…", "output": "…"}"#,
    ),
    (
        "input",
        Anthropic,
        r#"{"type": "tool_call", "id": "…", "name": "…", "arguments": {…}}"#,
    ),
    (
        "thinking",
        Anthropic,
        r#"{"type": "thinking", "text": "…", "signature": "…"}"#,
    ),
    ("inlineData", Gemini, IMAGE_DATA),
    ("inline_data", Gemini, IMAGE_DATA),
    ("fileData", Gemini, FILE_DATA),
    ("file_data", Gemini, FILE_DATA),
    ("functionCall", Gemini, CALL),
    ("function_call", Gemini, CALL),
    ("functionResponse", Gemini, RESULT),
    ("function_response", Gemini, RESULT),
    ("parts", Gemini, PARTS),
];

const IMAGE_DATA: &str = r#"{"type": "image", "data": "…", "mime_type": "image/png"}"#;
const FILE_DATA: &str = r#"{"type": "document", "file_id": "…"}"#;
const PARTS: &str = r#""messages": [{"role": "user", "content": ["…"]}]"#;

/// Members of messages.
const MESSAGE_MEMBERS: [Form; 5] = [
    ("tool_calls", OpenAi, CALL),
    ("function_call", OpenAi, CALL),
    ("tool_call_id", OpenAi, RESULT),
    ("refusal", OpenAi, r#""content": "…""#),
    ("parts", Gemini, r#""content": ["…"]"#),
];

/// Roles of messages.
const ROLES: [Form; 4] = [
    ("tool", OpenAi, RESULT),
    ("function", OpenAi, RESULT),
    ("developer", OpenAi, r#""role": "system""#),
    ("model", Gemini, r#""role": "assistant""#),
];

/// Members of tools.
const TOOL_MEMBERS: [Form; 4] = [
    ("function", OpenAi, TOOL),
    ("input_schema", Anthropic, TOOL),
    ("functionDeclarations", Gemini, TOOL),
    ("function_declarations", Gemini, TOOL),
];

/// Members and words of choices of tools.
const CHOICE_MEMBERS: [Form; 4] = [
    ("function", OpenAi, CHOICE),
    ("name", Anthropic, CHOICE),
    ("functionCallingConfig", Gemini, CHOICE),
    ("type", Anthropic, CHOICE),
];
const CHOICES: [Form; 2] = [
    ("any", Anthropic, r#""required""#),
    ("ANY", Gemini, r#""required""#),
];
const CHOICE: &str = r#""auto", "none", "required" or {"tool": "NAME"}"#;

/// Returns what to write in place of a part of a message in a provider's form; `None` for any other part.
pub(crate) fn part(part: Json<'_>) -> Option<String> {
    let [kind] = find(part, ["type"]);
    let kind = kind.and_then(|kind| kind.parse::<Cow<'_, str>>().ok());
    let of_type = kind.and_then(|kind| known(&PART_TYPES, &kind));
    of_type
        .or_else(|| member(&PART_MEMBERS, part))
        .or_else(|| text_alone(part))
}

/// Returns what to write in place of the first message of a list in a provider's form, with its place; `None` where
/// there is none.
pub(crate) fn messages(messages: Json<'_>) -> Option<String> {
    let messages: Vec<Json<'_>> = messages.parse().ok()?;
    let mut messages = messages.into_iter().enumerate();
    messages.find_map(|(place, message)| {
        let said = member(&MESSAGE_MEMBERS, message)?;
        Some(format!("messages[{place}]: {said}"))
    })
}

/// Returns what to write in place of a role of a provider; `None` for any other value.
pub(crate) fn role(role: Json<'_>) -> Option<String> {
    known(&ROLES, &role.parse::<Cow<'_, str>>().ok()?)
}

/// Returns what to write in place of a choice of tools in a provider's form; `None` for any other value.
pub(crate) fn tool_choice(choice: Json<'_>) -> Option<String> {
    member(&CHOICE_MEMBERS, choice).or_else(|| {
        let word = choice.parse::<Cow<'_, str>>().ok()?;
        known(&CHOICES, &word)
    })
}

/// Returns what to write in place of the first tool in a provider's form; `None` where there is none.
pub(crate) fn tools(tools: Json<'_>) -> Option<String> {
    let tools: Vec<Json<'_>> = tools.parse().ok()?;
    tools.into_iter().find_map(|tool| {
        let [kind] = find(tool, ["type"]);
        let typed = kind.map(|_| said("type", OpenAi, TOOL));
        member(&TOOL_MEMBERS, tool).or(typed)
    })
}

/// Gemini's parts have no type.
fn text_alone(part: Json<'_>) -> Option<String> {
    let [kind, text] = find(part, ["type", "text"]);
    (kind.is_none() && text.is_some()).then(|| said("text", Gemini, TEXT))
}

fn member(forms: &[Form], object: Json<'_>) -> Option<String> {
    let names = members(object).ok()?;
    let mut forms = forms.iter();
    let (name, dialect, here) = forms.find(|(name, ..)| names.contains_key(*name))?;
    Some(said(name, *dialect, here))
}

fn known(forms: &[Form], word: &str) -> Option<String> {
    let mut forms = forms.iter();
    let (name, dialect, here) = forms.find(|(name, ..)| *name == word)?;
    Some(said(name, *dialect, here))
}

fn said(name: &str, dialect: Dialect, here: &str) -> String {
    let dialect = dialect.name();
    format!(
        "{name:?} is of {dialect}'s form; write {here}, or give the request as a line of {dialect}'s batch files"
    )
}
