//! Thoughts of earlier answers, attachments of tools, and errors of rows, in the words of each service.

use lmbatch_core::{Text, ThinkingView};

use super::*;

fn thought(text: Option<&'static str>) -> ContentView<'static> {
    ContentView::Thinking(ThinkingView {
        text: text.map(Text::Plain),
        ..ThinkingView::default()
    })
}

fn answered(contents: Vec<ContentView<'static>>) -> View {
    let mut view = hello();
    let role = Role::Assistant;
    view.messages.push(MessageView { role, contents });
    view
}

#[test]
fn thoughts_go_back_where_the_service_takes_them_and_a_message_of_nothing_else_is_refused() {
    let text = || ContentView::Text("A".into());
    let refused = "takes no thinking back, and a message holds nothing else";
    for (dialect, contents, expected) in [
        (
            Dialect::MISTRAL,
            vec![thought(Some("hm")), text()],
            Ok(
                r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"A"}]"#,
            ),
        ),
        (
            Dialect::MISTRAL,
            vec![thought(Some("hm"))],
            Ok(r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]"#),
        ),
        (Dialect::MISTRAL, vec![thought(None)], Err(refused)),
        (
            Dialect::OPENAI,
            vec![thought(Some("hm")), text()],
            Ok(r#"[{"type":"text","text":"A"}]"#),
        ),
        (Dialect::OPENAI, vec![thought(Some("hm"))], Err(refused)),
        (
            Dialect::GROQ,
            vec![thought(Some("hm"))],
            Err("groq takes no thinking back"),
        ),
    ] {
        let found = body(dialect, answered(contents));
        match expected {
            Ok(content) => {
                let content = format!(r#"{{"role":"assistant","content":{content}}}"#);
                let found = found.unwrap();
                assert!(found.contains(&content), "{found}");
            }
            Err(words) => {
                let error = found.unwrap_err();
                assert!(error.message().unwrap().contains(words), "{error}");
            }
        }
    }
}

#[test]
fn an_attachment_in_the_result_of_a_tool_is_refused_in_the_name_of_the_service() {
    for (dialect, expected) in [
        (
            Dialect::OPENAI,
            "openai's chat endpoint takes no image in the result of a tool: set the endpoint to responses, which does",
        ),
        (Dialect::GROQ, "groq takes no image in the result of a tool"),
        (
            Dialect::MISTRAL,
            "mistral takes no image in the result of a tool",
        ),
        (Dialect::XAI, "xai takes no image in the result of a tool"),
    ] {
        let mut view = called();
        let result = view.messages[2].contents.first_mut().unwrap();
        let ContentView::ToolResult(result) = result else {
            panic!("no result");
        };
        result.attachments.push(AttachmentView {
            kind: AttachmentKind::Image,
            source: SourceView::Bytes(Cow::Borrowed(b"abc")),
            mime_type: Some("image/png".into()),
            filename: None,
        });
        let error = body(dialect, view).unwrap_err();
        assert_eq!(error.message(), Some(expected));
    }
}

#[test]
fn an_error_of_a_row_has_its_code_in_the_form_of_each_service() {
    let row = |status: u16, body: &str| {
        format!(r#"{{"custom_id":"a","response":{{"status_code":{status},"body":{body}}}}}"#)
    };
    let flat = r#"{"code":"invalid-argument","error":"words"}"#;
    let detail = r#"{"detail":[{"loc":["body"],"msg":"words"}]}"#;
    for (dialect, status, body, code) in [
        (Dialect::XAI, 400, flat, Some("invalid-argument")),
        (Dialect::XAI, 200, flat, Some("invalid-argument")),
        (Dialect::GROQ, 400, flat, None),
        (Dialect::MISTRAL, 422, detail, None),
    ] {
        let text = row(status, body);
        let mut outline = Outline::new();
        let opened = dialect.open(outline.read(&text).unwrap()).unwrap();
        let RowContent::Ended(OutcomeView::Errored(failure)) = opened.content else {
            panic!("{text}");
        };
        assert_eq!(failure.code.as_deref(), code, "{text}");
        assert_eq!(failure.message.unwrap().decode(), "words", "{text}");
    }
}
