//! Tool calls and results in the form that providers with strict rules accept: each call has a legal id of
//! its own, and parallel calls and their results are in one message each.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

use crate::{
    AttachmentView, ContentView, GenerateView, MessageView, RequestError, Role, SourceView,
    ToolCallView, ToolResultView,
};

/// Rule of a provider for the ids of tool calls.
#[derive(Debug, Clone, Copy)]
pub struct CallIdRule {
    /// Smallest length of an id in bytes; 1 unless the provider's ids have a fixed length.
    pub min_len: usize,
    /// Largest length of an id in bytes.
    pub max_len: usize,
    /// Function that returns whether a character is allowed in an id.
    pub is_legal: fn(char) -> bool,
}

impl CallIdRule {
    fn allows(&self, id: &str) -> bool {
        let lengths = self.min_len.max(1)..=self.max_len;
        lengths.contains(&id.len()) && id.chars().all(self.is_legal)
    }

    /// Returns the first of these characters that is allowed in an id.
    fn first_legal(&self, characters: &str) -> Option<char> {
        characters.chars().find(|one| (self.is_legal)(*one))
    }

    /// Returns the id with each illegal character replaced, cut to the largest length and padded to the
    /// smallest, with `suffix` at its end.
    fn legal(&self, id: &str, suffix: &str) -> String {
        let filler = self.first_legal("_-0x").unwrap_or('0');
        let room = self.max_len.saturating_sub(suffix.len());
        let id = if id.is_empty() { "call" } else { id };
        let mut out = String::new();
        for letter in id.chars() {
            let letter = if (self.is_legal)(letter) {
                letter
            } else {
                filler
            };
            if out.len() + letter.len_utf8() > room {
                break;
            }
            out.push(letter);
        }
        while out.len() + suffix.len() < self.min_len {
            out.push(filler);
        }
        out + suffix
    }
}

/// Refuses a conversation in which a tool result answers no earlier call, or a call has no result later on, for the
/// providers that document that they refuse it. `service` is the provider's name in the error.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the id.
pub fn check_call_pairs(service: &str, messages: &[MessageView<'_>]) -> Result<(), RequestError> {
    let refuse = |what: &str, id: &str, hint: &str| {
        let id: String = id.chars().take(LONGEST_ID).collect();
        Err(RequestError::invalid_input(format!(
            "{service}: {what} {id:?}: {hint}"
        )))
    };
    // Calls that wait for a result, in order; providers without ids let calls share one.
    let mut waiting: Vec<Cow<'_, str>> = Vec::new();
    let mut called: HashSet<Cow<'_, str>> = HashSet::new();
    for content in messages.iter().flat_map(|message| &message.contents) {
        match content {
            ContentView::ToolCall(call) => {
                called.insert(id_of(call));
                waiting.push(id_of(call));
            }
            ContentView::ToolResult(result) => {
                let id = result.id.decode();
                if !called.contains(&id) {
                    let hint = "put the call before its result";
                    return refuse(
                        "no tool call before it has the id of the tool result",
                        &id,
                        hint,
                    );
                }
                let Some(at) = waiting.iter().position(|waiting| *waiting == id) else {
                    let hint = "give one result for each call";
                    return refuse("a second tool result answers the tool call", &id, hint);
                };
                waiting.remove(at);
            }
            _ => {}
        }
    }
    match waiting.first() {
        None => Ok(()),
        Some(id) => {
            let hint = "add its result, or leave the call out";
            refuse("no tool result answers the tool call", id, hint)
        }
    }
}

/// Longest id, in characters, that an error quotes.
const LONGEST_ID: usize = 80;

/// Ids that replace those of the tool calls of one request.
///
/// An id that the provider refuses is replaced by a legal one, in the call and in its results. Calls that
/// share an id get one id each, and results are assigned to them in order. The same request gets the same ids
/// every time.
#[derive(Debug)]
pub struct CallIds {
    /// One id for each call and each result, in order; empty where the conversation has neither.
    ids: Vec<String>,
}

impl CallIds {
    /// Chooses the ids for a conversation.
    pub fn of(messages: &[MessageView<'_>], rule: CallIdRule) -> Self {
        let all = messages.iter().flat_map(|message| &message.contents);
        // A legal id is reserved for the call that has it.
        let written: Vec<Cow<'_, str>> = all.clone().filter_map(original_id).collect();
        if written.is_empty() {
            return Self { ids: Vec::new() };
        }
        let mut taken: HashSet<String> = HashSet::new();
        taken.extend(
            written
                .iter()
                .filter(|id| rule.allows(id))
                .map(|id| id.to_string()),
        );
        let mut used = HashSet::new();
        let mut waiting: HashMap<Cow<'_, str>, VecDeque<String>> = HashMap::new();
        let mut latest: HashMap<Cow<'_, str>, String> = HashMap::new();
        let mut ids = Vec::with_capacity(written.len());
        let mut new = |id: &str, used: &mut HashSet<String>| {
            if rule.allows(id) && used.insert(id.to_owned()) {
                return id.to_owned();
            }
            let plain = rule.legal(id, "");
            let separator = rule.first_legal("-_").map(String::from);
            let separator = separator.unwrap_or_default();
            let numbered = (2_u32..).map(|number| rule.legal(id, &format!("{separator}{number}")));
            let mut candidates = std::iter::once(plain).chain(numbered);
            let free = candidates.find(|one| !taken.contains(one) && !used.contains(one));
            let free = free.unwrap_or_default();
            used.insert(free.clone());
            taken.insert(free.clone());
            free
        };
        for content in all {
            match content {
                ContentView::ToolCall(call) => {
                    let id = id_of(call);
                    let chosen = new(&id, &mut used);
                    latest.insert(id.clone(), chosen.clone());
                    waiting.entry(id).or_default().push_back(chosen.clone());
                    ids.push(chosen);
                }
                ContentView::ToolResult(result) => {
                    let id = result.id.decode();
                    let next = waiting.get_mut(&id).and_then(VecDeque::pop_front);
                    let chosen = next.or_else(|| latest.get(&id).cloned());
                    let chosen = chosen.unwrap_or_else(|| {
                        let chosen = new(&id, &mut used);
                        latest.insert(id, chosen.clone());
                        chosen
                    });
                    ids.push(chosen);
                }
                _ => {}
            }
        }
        Self { ids }
    }

    /// Returns the request with these ids. Adjacent messages of one role become one message where they hold
    /// tool calls or results; system messages between them come after it. `None` where the conversation has
    /// neither calls nor results, and is sent unchanged.
    pub fn apply<'b>(&'b self, view: &'b GenerateView<'_>) -> Option<GenerateView<'b>> {
        if self.ids.is_empty() {
            return None;
        }
        let mut ids = self.ids.iter();
        let mut messages: Vec<MessageView<'b>> = Vec::with_capacity(view.messages.len());
        for message in &view.messages {
            let contents = message.contents.iter();
            let contents: Vec<_> = contents
                .map(|content| with_new_id(content, &mut ids))
                .collect();
            let before = messages
                .iter()
                .rposition(|before| before.role != Role::System)
                .filter(|at| messages[*at].role == message.role)
                .filter(|at| has_tools(&messages[*at].contents) || has_tools(&contents));
            match before {
                Some(at) => messages[at].contents.extend(contents),
                None => messages.push(MessageView {
                    role: message.role,
                    contents,
                }),
            }
        }
        Some(GenerateView {
            model: view.model,
            system: view.system,
            messages,
            tools: view.tools,
            tool_choice: view.tool_choice,
            schema: view.schema,
            thinking: view.thinking,
            hyperparameters: Cow::Borrowed(&*view.hyperparameters),
        })
    }
}

fn id_of<'v>(call: &'v ToolCallView<'_>) -> Cow<'v, str> {
    Cow::Borrowed(&call.id)
}

fn original_id<'v>(content: &'v ContentView<'_>) -> Option<Cow<'v, str>> {
    match content {
        ContentView::ToolCall(call) => Some(id_of(call)),
        ContentView::ToolResult(result) => Some(result.id.decode()),
        _ => None,
    }
}

fn has_tools(contents: &[ContentView<'_>]) -> bool {
    contents.iter().any(|content| {
        matches!(
            content,
            ContentView::ToolCall(_) | ContentView::ToolResult(_)
        )
    })
}

fn with_new_id<'b>(
    content: &'b ContentView<'_>,
    ids: &mut std::slice::Iter<'b, String>,
) -> ContentView<'b> {
    let mut next = || ids.next().map(String::as_str).unwrap_or_default();
    match content {
        ContentView::Text(text) => ContentView::Text(*text),
        ContentView::Attachment(attachment) => ContentView::Attachment(borrowed(attachment)),
        ContentView::ToolCall(call) => ContentView::ToolCall(ToolCallView {
            id: next().into(),
            name: call.name,
            arguments: call.arguments,
        }),
        ContentView::ToolResult(result) => ContentView::ToolResult(ToolResultView {
            id: next().into(),
            name: result.name,
            output: Cow::Borrowed(&*result.output),
            attachments: result.attachments.iter().map(borrowed).collect(),
            is_error: result.is_error,
        }),
        ContentView::Thinking(thinking) => ContentView::Thinking(*thinking),
    }
}

fn borrowed<'b>(attachment: &'b AttachmentView<'_>) -> AttachmentView<'b> {
    AttachmentView {
        kind: attachment.kind,
        source: match &attachment.source {
            SourceView::Bytes(bytes) => SourceView::Bytes(Cow::Borrowed(bytes)),
            source => source.clone(),
        },
        mime_type: attachment.mime_type,
        filename: attachment.filename,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Arguments, Text};

    const STRICT: CallIdRule = CallIdRule {
        min_len: 1,
        max_len: 8,
        is_legal: |letter| letter.is_ascii_alphanumeric() || "_-".contains(letter),
    };

    /// Returns a conversation of messages such as `a/x,y` (calls), `u/x` (results) and `s` (a system
    /// message).
    fn view(turns: &'static str) -> GenerateView<'static> {
        let messages = turns.split(' ').map(|turn| {
            let (role, ids) = turn.split_once('/').unwrap_or((turn, ""));
            let ids = ids.split(',').filter(|_| turn.contains('/'));
            let role = match role {
                "a" => Role::Assistant,
                "u" => Role::User,
                _ => Role::System,
            };
            let content = |id: &'static str| match role {
                Role::Assistant => ContentView::ToolCall(ToolCallView {
                    id: id.into(),
                    name: "f".into(),
                    arguments: Arguments::Quoted("{}".into()),
                }),
                _ => ContentView::ToolResult(ToolResultView {
                    id: id.into(),
                    name: None,
                    output: "1".into(),
                    attachments: Vec::new(),
                    is_error: false,
                }),
            };
            let mut contents: Vec<_> = ids.map(content).collect();
            if contents.is_empty() {
                contents.push(ContentView::Text("t".into()));
            }
            MessageView { role, contents }
        });
        GenerateView {
            model: Text::Plain("m"),
            system: None,
            messages: messages.collect(),
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(crate::Hyperparameters::default()),
        }
    }

    fn shown(view: &GenerateView<'_>) -> String {
        let turns = view.messages.iter().map(|message| {
            let ids = message
                .contents
                .iter()
                .map(|content| match original_id(content) {
                    Some(id) => id.into_owned(),
                    None => "t".to_owned(),
                });
            let ids: Vec<String> = ids.collect();
            format!("{}/{}", &message.role.as_str()[..1], ids.join(","))
        });
        turns.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ids_are_legal_and_distinct_and_results_follow_their_calls() {
        for (turns, expected) in [
            ("u a/c1 u/c1", "u/t a/c1 u/c1"),
            ("a/f.x:0 u/f.x:0", "a/f_x_0 u/f_x_0"),
            ("a/a.b,a:b u/a:b,a.b", "a/a_b,a_b-2 u/a_b-2,a_b"),
            // A legal id of another call stays with that call.
            ("a/a.b u/a.b a/a_b u/a_b", "a/a_b-2 u/a_b-2 a/a_b u/a_b"),
            ("a/f,f,f u/f,f,f", "a/f,f-2,f-3 u/f,f-2,f-3"),
            ("a/f u/f a/f u/f", "a/f u/f a/f-2 u/f-2"),
            ("a/, u/,", "a/call,call-2 u/call,call-2"),
            ("a/ü u/ü", "a/_ u/_"),
            (
                "a/123456789,12345678x u/12345678x",
                "a/12345678,123456-2 u/123456-2",
            ),
            // A result without a call, and a second result of one call.
            ("u/x.y", "u/x_y"),
            ("a/f u/f,f", "a/f u/f,f"),
            // Parallel calls and results are in one message each; a system message does not separate them.
            ("a/x a/y u/x u/y", "a/x,y u/x,y"),
            ("a/x,y u/x s u/y u", "a/x,y u/x,y,t s/t"),
            ("u u a/x u/x", "u/t u/t a/x u/x"),
        ] {
            let view = view(turns);
            let ids = CallIds::of(&view.messages, STRICT);
            let applied = ids.apply(&view).unwrap();
            assert_eq!(shown(&applied), expected, "{turns}");
            let again = CallIds::of(&applied.messages, STRICT);
            assert_eq!(shown(&again.apply(&applied).unwrap()), expected, "{turns}");
        }
    }

    #[test]
    fn ids_of_a_fixed_length_are_padded_and_stay_distinct() {
        const NINE: CallIdRule = CallIdRule {
            min_len: 9,
            max_len: 9,
            is_legal: |letter| letter.is_ascii_alphanumeric(),
        };
        for (turns, expected) in [
            ("a/abcdefghi u/abcdefghi", "a/abcdefghi u/abcdefghi"),
            ("a/call_1 u/call_1", "a/call01000 u/call01000"),
            ("a/, u/,", "a/call00000,call00002 u/call00000,call00002"),
            (
                "a/call_1234567,call_1234568 u/call_1234568,call_1234567",
                "a/call01234,call01232 u/call01232,call01234",
            ),
            ("a/ü u/ü", "a/000000000 u/000000000"),
        ] {
            let view = view(turns);
            let ids = CallIds::of(&view.messages, NINE);
            let applied = ids.apply(&view).unwrap();
            assert_eq!(shown(&applied), expected, "{turns}");
            let again = CallIds::of(&applied.messages, NINE);
            assert_eq!(shown(&again.apply(&applied).unwrap()), expected, "{turns}");
        }
    }

    #[test]
    fn calls_and_results_belong_together() {
        for (turns, refused) in [
            ("u a u", None),
            ("u a/x u/x", None),
            ("u a/x,y u/y,x", None),
            ("u a/f,f u/f,f", None),
            ("u a/f u/f a/f u/f", None),
            ("u a/x u a/y u/x,y", None),
            (
                "u/x",
                Some("no tool call before it has the id of the tool result \"x\""),
            ),
            ("u u/x a/x", Some("no tool call before it")),
            (
                "u a/x u/y",
                Some("no tool call before it has the id of the tool result \"y\""),
            ),
            (
                "u a/x u/x,x",
                Some("a second tool result answers the tool call \"x\""),
            ),
            ("u a/x", Some("no tool result answers the tool call \"x\"")),
            (
                "u a/x,y u/x",
                Some("no tool result answers the tool call \"y\""),
            ),
            (
                "u a/f u/f a/f u",
                Some("no tool result answers the tool call \"f\""),
            ),
        ] {
            let found = check_call_pairs("acme", &view(turns).messages).err();
            let message = found.as_ref().and_then(RequestError::message);
            match refused {
                None => assert_eq!(message, None, "{turns}"),
                Some(words) => assert!(message.unwrap().contains(words), "{turns}: {message:?}"),
            }
        }
    }

    #[test]
    fn a_conversation_without_tool_calls_is_sent_unchanged() {
        let view = view("s u a u u");
        assert!(CallIds::of(&view.messages, STRICT).apply(&view).is_none());
    }
}
