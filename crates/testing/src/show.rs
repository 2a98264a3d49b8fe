//! Requests and rows as an adapter translates them, rendered as text for snapshots.

use std::fmt::Write as _;

use lmbatch_core::{
    BatchCodec, GenerateView, ItemView, Json, OutcomeView, RequestView, ResultPart, RowReader,
    Text, WireId,
};
use serde_json::{Value, json};

/// Returns class and body of each request, or the message with which the adapter refuses it.
///
/// # Panics
/// If `is_in_class` denies that a request is in its own class.
pub fn show_requests<'a>(
    codec: &dyn BatchCodec,
    requests: impl IntoIterator<Item = (&'a str, GenerateView<'a>)>,
) -> String {
    let mut shown = String::new();
    for (name, view) in requests {
        let request = RequestView::Generate(view);
        let mut out = Vec::new();
        let encoded = codec.class(&request).and_then(|class| {
            assert!(codec.is_in_class(&class, &request), "{name}: {class:?}");
            codec.encode(&class, &WireId::verbatim("id"), &request, &mut out)?;
            Ok(class)
        });
        let text = match encoded {
            Ok(class) => {
                // Byte for byte; anything but one line of JSON is shown as null.
                let text = String::from_utf8_lossy(&out);
                let is_line = Json::new(&text).is_ok() && !text.contains('\n');
                let text = if is_line { &*text } else { "null" };
                let model = class.model.as_deref().unwrap_or("any model");
                format!("{model}, {}, {:?}\n{text}", class.route, class.variant)
            }
            Err(error) => {
                let words = error.message().unwrap_or("no words");
                format!("refused ({}): {words}", error.kind().as_str())
            }
        };
        // Writing to a string cannot fail.
        let _ = write!(shown, "== {name}\n{text}\n\n");
    }
    shown
}

/// Returns the outcome that the adapter reads from each row.
pub fn show_rows<'a>(
    codec: &dyn BatchCodec,
    part: &ResultPart,
    rows: impl IntoIterator<Item = (&'a str, String)>,
) -> String {
    let mut shown = String::new();
    for (name, row) in rows {
        let mut rows = RowReader::new();
        let row = rows.read(row.as_bytes());
        let scanned = codec.scan(part, row);
        let decoded = codec.decode(part, row);
        let text = match (&scanned, &decoded) {
            (Ok(scanned), Ok(decoded)) => format!(
                "{:?}, {:?}\n{}",
                scanned.id.map(|id| id.decode().into_owned()),
                scanned.verdict,
                outcome_value(&decoded.outcome)
            ),
            (Err(_), Err(_)) => "cannot be read".to_owned(),
            _ => "scan and decode disagree".to_owned(),
        };
        let _ = write!(shown, "== {name}\n{text}\n\n");
    }
    shown
}

fn plain(text: Option<Text<'_>>) -> Value {
    text.map(|text| text.decode().into_owned()).into()
}

/// Returns an outcome with all its fields as JSON.
pub fn outcome_value(outcome: &OutcomeView<'_>) -> Value {
    match outcome {
        OutcomeView::Succeeded(output) => json!({
            "items": output.items.iter().map(item).collect::<Vec<_>>(),
            "finish_reason": output.finish_reason.as_str(),
            "usage": output.usage,
            "model": plain(output.model),
            "response_id": plain(output.response_id),
            "problem": output.problem,
        }),
        OutcomeView::Errored(failure) => json!({"errored": {
            "kind": failure.kind, "code": failure.code, "http_status": failure.http_status,
            "message": plain(failure.message), "retryable": failure.retryable,
        }}),
        OutcomeView::Expired => json!("expired"),
        OutcomeView::Cancelled => json!("cancelled"),
    }
}

fn item(item: &ItemView<'_>) -> Value {
    let raw = |json: &Json<'_>| json.parse::<Value>().unwrap_or_default();
    match item {
        ItemView::Text(text) => json!({"text": text.decode()}),
        ItemView::Refusal(text) => json!({"refusal": text.decode()}),
        ItemView::ToolCall(call) => {
            let mut arguments = Vec::new();
            call.arguments.write_value(&mut arguments);
            let arguments: Value = serde_json::from_slice(&arguments).unwrap_or_default();
            json!({"tool_call": {"id": call.id, "name": call.name.decode(), "arguments": arguments}})
        }
        ItemView::Thinking(thinking) => json!({"thinking": {
            "text": plain(thinking.text), "id": plain(thinking.id),
            "signature": plain(thinking.signature), "data": plain(thinking.data),
        }}),
        ItemView::Attachment(attachment) => json!({"attachment": {
            "kind": attachment.kind, "mime_type": plain(attachment.mime_type),
            "source": format!("{:?}", attachment.source),
        }}),
        ItemView::Commentary(text) => json!({"commentary": text.decode()}),
        ItemView::Detail { name, value } => json!({"detail": {"name": name, "value": raw(value)}}),
        ItemView::Citation(json) => json!({"citation": raw(json)}),
        ItemView::Other(json) => json!({"other": raw(json)}),
        _ => json!("an item of a new kind"),
    }
}
