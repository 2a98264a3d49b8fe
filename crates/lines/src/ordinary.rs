//! Ordinary input lines, with an id, texts and metadata, read in one scan.

use lmbatch_core::{ContentView, IdView, Json, JsonView, MessageView, Role, Text};

/// Line that holds only texts to be answered, with an id and metadata.
pub(crate) struct Ordinary<'a> {
    pub(crate) id: Option<IdView<'a>>,
    pub(crate) model: Option<Text<'a>>,
    pub(crate) system: Option<Text<'a>>,
    pub(crate) messages: Vec<MessageView<'a>>,
    pub(crate) metadata: Option<Json<'a>>,
}

impl<'a> Ordinary<'a> {
    /// Reads a line; `None` for a line with other members or an error, which the parser reports better.
    pub(crate) fn of(line: JsonView<'a>) -> Option<Self> {
        let (mut line_id, mut model, mut system, mut messages, mut metadata) =
            (None, None, None, None, None);
        for (name, value) in line.written_members() {
            let is_twice = match &*name? {
                "id" => line_id.replace(id(value)?).is_some(),
                "model" => model.replace(value.text()?).is_some(),
                "system" => system.replace(value.text()?).is_some(),
                "prompt" => {
                    let prompt = message(Role::User, value.text()?);
                    messages.replace(vec![prompt]).is_some()
                }
                "messages" => messages.replace(conversation(value)?).is_some(),
                "metadata" if !value.is_null() => metadata.replace(value.json().ok()?).is_some(),
                _ => return None,
            };
            if is_twice {
                return None;
            }
        }
        Some(Self {
            id: line_id,
            model,
            system,
            messages: messages?,
            metadata,
        })
    }
}

fn id(value: JsonView<'_>) -> Option<IdView<'_>> {
    if value.is_string() {
        let text = value.text().filter(|text| !text.is_empty());
        return text.map(IdView::Text);
    }
    let is_number = value
        .as_str()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let number = value.json().ok().filter(|_| is_number);
    number.map(IdView::Number)
}

fn message(role: Role, text: Text<'_>) -> MessageView<'_> {
    MessageView {
        role,
        contents: vec![ContentView::Text(text)],
    }
}

fn conversation(value: JsonView<'_>) -> Option<Vec<MessageView<'_>>> {
    let messages = value.values().map(turn);
    let messages: Vec<_> = messages.collect::<Option<_>>()?;
    (!messages.is_empty()).then_some(messages)
}

fn turn(value: JsonView<'_>) -> Option<MessageView<'_>> {
    let (mut role, mut content) = (None, None);
    for (name, value) in value.written_members() {
        let is_twice = match &*name? {
            "role" => role.replace(self::role(value)?).is_some(),
            "content" | "contents" => content.replace(value.text()?).is_some(),
            _ => return None,
        };
        if is_twice {
            return None;
        }
    }
    Some(message(role?, content?))
}

fn role(value: JsonView<'_>) -> Option<Role> {
    let roles = [Role::User, Role::Assistant, Role::System];
    let written = value.text()?.decode();
    roles.into_iter().find(|role| role.as_str() == written)
}

#[cfg(test)]
mod tests {
    use lmbatch_core::Outline;

    use super::*;

    fn shown(line: &str) -> Option<String> {
        let mut outline = Outline::new();
        let line = Ordinary::of(outline.read(line).ok()?)?;
        let text = |text: Text<'_>| text.decode().into_owned();
        let messages = line.messages.iter().map(|message| {
            let texts = message.contents.iter().map(|content| match content {
                ContentView::Text(one) => text(*one),
                other => panic!("{other:?}"),
            });
            format!("{} {}", message.role.as_str(), texts.collect::<String>())
        });
        Some(format!(
            "{:?} {:?} {:?} {:?}",
            line.id.map(|id| id.decode().into_owned()),
            line.system.map(text),
            messages.collect::<Vec<_>>(),
            line.metadata.map(Json::as_str)
        ))
    }

    #[test]
    fn a_line_of_texts_is_read_in_one_scan() {
        for (line, expected) in [
            (
                r#"{"id":7,"prompt":"a\n\u00e9"}"#,
                r#"Some("7") None ["user a\né"] None"#,
            ),
            (
                r#" { "i\u0064" : "x" , "system" : "s" , "prompt" : "" , "metadata" : {"a":[1e3]} } "#,
                r#"Some("x") Some("s") ["user "] Some("{\"a\":[1e3]}")"#,
            ),
            (
                r#"{"messages":[{"role":"system","content":"a"},{"contents":"b","role":"user"}]}"#,
                r#"None None ["system a", "user b"] None"#,
            ),
        ] {
            assert_eq!(shown(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn every_other_line_is_left_to_the_parser() {
        let deep = format!(
            r#"{{"prompt":"a","metadata":{}{}}}"#,
            "[".repeat(101),
            "]".repeat(101)
        );
        for line in [
            r#"{"id":"","prompt":"a"}"#,
            r#"{"id":null,"prompt":"a"}"#,
            r#"{"id":true,"prompt":"a"}"#,
            r#"{"id":1,"id":1,"prompt":"a"}"#,
            r#"{"id":1,"\u0069d":1,"prompt":"a"}"#,
            r#"{"id":1,"prompt":"\ud800"}"#,
            r#"{"id":"\ud800","prompt":"a"}"#,
            r#"{"\ud800":1,"prompt":"a"}"#,
            r#"{"prompt":"a","prompt":"a"}"#,
            r#"{"prompt":"a","messages":[{"role":"user","content":"a"}]}"#,
            r#"{"prompt":"a","metadata":null}"#,
            r#"{"prompt":"a","seed":1}"#,
            r#"{"prompt":["a"]}"#,
            r#"{"id":1}"#,
            r#"{"messages":[]}"#,
            r#"{"messages":"a"}"#,
            r#"{"messages":[{"role":"tool","content":"a"}]}"#,
            r#"{"messages":[{"role":"user","content":"a","contents":"a"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}"#,
            r#"{"messages":[{"role":"user"}]}"#,
            r#"["id"]"#,
            r#"{"prompt":"a"} {"#,
            "{\"prompt\":\"a\",\"metadata\":[1,\r2]}",
            &deep,
        ] {
            assert_eq!(shown(line), None, "{line}");
        }
    }
}
