//! Conversions between the owned types of library users and the borrowed views of the engine.

use std::borrow::Cow;
use std::path::Path;

use lmbatch_core::{
    AnswerView, AnsweredRequest, Arguments, Attachment, AttachmentSource, AttachmentView,
    ContentView, Error, FailureView, GenerateOptions, GenerateView, IdView, ItemView, JsonBuf,
    LMOutput, Message, MessageContent, MessageView, Outcome, OutcomeView, OutputItem, OutputView,
    Request, RequestEntry, RequestError, RequestSource, RequestView, Result, SourceView,
    SourcedRequest, Structured, Text, Thinking, ThinkingView, ToolCall, ToolCallView,
    ToolResultView,
};

/// Source of owned requests, with default options for each request.
pub(crate) struct OwnedSource {
    requests: Requests,
    model: String,
    options: GenerateOptions,
    position: u64,
}

/// Requests in their order; the first error ends the source.
pub(crate) type Requests = Box<dyn Iterator<Item = Result<Request>> + Send>;

impl OwnedSource {
    pub(crate) fn new(requests: Requests, model: String, options: GenerateOptions) -> Box<Self> {
        Box::new(Self {
            requests,
            model,
            options,
            position: 0,
        })
    }
}

impl RequestSource for OwnedSource {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        let Some(request) = self.requests.next().transpose()? else {
            return Ok(false);
        };
        self.position += 1;
        let options = request.options.with_defaults(&self.options);
        let entry = if request.id.as_str().is_empty() {
            Err(RequestError::invalid_input("the id is empty"))
        } else if request.input.messages.is_empty() {
            Err(RequestError::invalid_input("there are no messages"))
        } else {
            Ok(RequestEntry {
                id: IdView::Text(Text::Plain(request.id.as_str())),
                request: RequestView::Generate(generate(
                    &self.model,
                    &request.input.messages,
                    &options,
                )),
                metadata: None,
                schema: options.schema.as_ref(),
                folder: None,
            })
        };
        visit(SourcedRequest {
            position: self.position,
            entry,
        });
        Ok(true)
    }
}

fn generate<'a>(
    model: &'a str,
    messages: &'a [Message],
    options: &'a GenerateOptions,
) -> GenerateView<'a> {
    GenerateView {
        model: Text::Plain(model),
        system: options.system.as_deref().map(Text::Plain),
        messages: messages
            .iter()
            .map(|message| MessageView {
                role: message.role,
                contents: message.contents.iter().map(content).collect(),
            })
            .collect(),
        tools: options.tools.as_deref().unwrap_or_default(),
        tool_choice: options.tool_choice.as_ref(),
        schema: options.schema.as_ref(),
        thinking: options.thinking.as_ref(),
        hyperparameters: Cow::Borrowed(&options.hyperparameters),
    }
}

fn content(content: &MessageContent) -> ContentView<'_> {
    match content {
        MessageContent::Text(text) => ContentView::Text(Text::Plain(text)),
        MessageContent::Attachment(attachment) => {
            ContentView::Attachment(attachment_view(attachment))
        }
        MessageContent::ToolCall(call) => ContentView::ToolCall(ToolCallView {
            id: call.id.as_str().into(),
            name: Text::Plain(&call.name),
            arguments: Arguments::Value(call.arguments.as_json()),
        }),
        MessageContent::ToolResult(result) => ContentView::ToolResult(ToolResultView {
            id: Text::Plain(&result.id),
            name: result.name.as_deref().map(Text::Plain),
            output: Cow::Borrowed(&result.output),
            attachments: result.attachments.iter().map(attachment_view).collect(),
            is_error: result.is_error,
        }),
        MessageContent::Thinking(thinking) => ContentView::Thinking(ThinkingView {
            text: (!thinking.text.is_empty()).then_some(Text::Plain(&thinking.text)),
            id: thinking.id.as_deref().map(Text::Plain),
            signature: thinking.signature.as_deref().map(Text::Plain),
            data: thinking.data.as_deref().map(Text::Plain),
        }),
    }
}

fn attachment_view(attachment: &Attachment) -> AttachmentView<'_> {
    AttachmentView {
        kind: attachment.kind,
        source: match &attachment.source {
            AttachmentSource::Bytes(bytes) => SourceView::Bytes(Cow::Borrowed(bytes)),
            AttachmentSource::Path(path) => SourceView::Path(Cow::Borrowed(Path::new(path))),
            AttachmentSource::Url(url) => SourceView::Url(Text::Plain(url)),
            AttachmentSource::File(id) => SourceView::File(Text::Plain(id)),
        },
        mime_type: attachment.mime_type.as_deref().map(Text::Plain),
        filename: attachment.filename.as_deref().map(Text::Plain),
    }
}

/// Converts an outcome into the owned type of library users.
pub(crate) fn outcome(answered: &AnsweredRequest<'_>) -> Outcome {
    let problem = answered.answer.problem();
    match &answered.answer {
        AnswerView::Missing => Outcome::Missing,
        AnswerView::Malformed => Outcome::Errored(error(&FailureView::malformed())),
        AnswerView::Row {
            outcome,
            structured,
        } => match outcome {
            OutcomeView::Succeeded(view) => Outcome::Succeeded {
                value: output(view, structured, answered),
                problem,
            },
            OutcomeView::Errored(failure) => Outcome::Errored(error(failure)),
            OutcomeView::Expired => Outcome::Expired,
            OutcomeView::Cancelled => Outcome::Cancelled,
        },
    }
}

fn error(failure: &FailureView<'_>) -> RequestError {
    let mut error = RequestError::new(failure.kind).retryable(failure.retryable);
    if let Some(code) = &failure.code {
        error = error.with_code(code.clone());
    }
    if let Some(status) = failure.http_status {
        error = error.with_http_status(status);
    }
    if let Some(message) = failure.message {
        error = error.with_message(message.decode());
    }
    error
}

fn output(
    view: &OutputView<'_>,
    structured: &Structured<'_>,
    answered: &AnsweredRequest<'_>,
) -> LMOutput {
    let mut items: Vec<OutputItem> = view.items.iter().map(item).collect();
    if let Structured::Value(value) = structured
        && let Ok(value) = serde_json::from_str(value)
    {
        items.push(OutputItem::Structured(value));
    }
    let error = answered.answer.schema_error();
    items.extend(error.cloned().map(OutputItem::SchemaError));
    let mut output = LMOutput::new(items);
    output.finish_reason = view.finish_reason.clone();
    output.usage = view.usage;
    output.cost = answered.cost.map(|cost| cost.charged);
    output.model = view.model.map(owned);
    output.response_id = view.response_id.map(owned);
    output
}

fn item(item: &ItemView<'_>) -> OutputItem {
    match item {
        ItemView::Text(text) => OutputItem::Text(owned(*text)),
        ItemView::Refusal(text) => OutputItem::Refusal(owned(*text)),
        ItemView::ToolCall(call) => {
            let mut arguments = Vec::new();
            call.arguments.write_value(&mut arguments);
            // The bytes were written from checked JSON, so they are UTF-8 text that holds JSON.
            let arguments = std::str::from_utf8(&arguments).unwrap_or_default();
            OutputItem::ToolCall(ToolCall {
                id: call.id.clone().into_owned(),
                name: owned(call.name),
                arguments: JsonBuf::from_text(arguments)
                    .unwrap_or_else(|_| JsonBuf::from_value(&serde_json::Value::Null)),
            })
        }
        ItemView::Thinking(thinking) => OutputItem::Thinking(Thinking {
            text: thinking.text.map(owned).unwrap_or_default(),
            id: thinking.id.map(owned),
            signature: thinking.signature.map(owned),
            data: thinking.data.map(owned),
        }),
        ItemView::Attachment(view) => OutputItem::Attachment(Attachment {
            kind: view.kind,
            source: match &view.source {
                SourceView::Bytes(bytes) => AttachmentSource::Bytes(bytes.to_vec().into()),
                SourceView::Base64(_) => {
                    AttachmentSource::Bytes(view.source.decode_base64().unwrap_or_default().into())
                }
                SourceView::Path(path) => AttachmentSource::Path(path.to_path_buf()),
                SourceView::Url(url) => AttachmentSource::Url(owned(*url)),
                SourceView::File(id) => AttachmentSource::File(owned(*id)),
            },
            mime_type: view.mime_type.map(owned),
            filename: view.filename.map(owned),
        }),
        ItemView::Commentary(text) => OutputItem::Commentary(owned(*text)),
        ItemView::Detail { name, value } => OutputItem::Detail {
            name: (*name).to_owned(),
            value: value.parse().unwrap_or_default(),
        },
        ItemView::Citation(json) => OutputItem::Citation(json.parse().unwrap_or_default()),
        ItemView::Other(json) => OutputItem::Other(json.parse().unwrap_or_default()),
        other => OutputItem::Other(serde_json::Value::String(format!("{other:?}"))),
    }
}

fn owned(text: Text<'_>) -> String {
    text.decode().into_owned()
}
