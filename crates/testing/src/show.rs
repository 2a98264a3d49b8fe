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

/// Returns an outcome with all its fields as JSON. Items and failure are rendered as in output lines; the items keep
/// their order.
pub fn outcome_value(outcome: &OutcomeView<'_>) -> Value {
    let item = |item: &ItemView<'_>| written(|json| lmbatch_lines::write_item(item, json));
    match outcome {
        OutcomeView::Succeeded(output) => json!({
            "items": output.items.iter().map(item).collect::<Vec<_>>(),
            "finish_reason": output.finish_reason.as_str(),
            "usage": output.usage,
            "model": plain(output.model),
            "response_id": plain(output.response_id),
            "problem": output.problem,
        }),
        OutcomeView::Errored(failure) => json!({
            "errored": written(|json| lmbatch_lines::write_failure(failure, json)),
        }),
        OutcomeView::Expired => json!("expired"),
        OutcomeView::Cancelled => json!("cancelled"),
    }
}

/// Returns the JSON that a part of an output line consists of; anything but JSON is shown as null.
fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut json = Vec::new();
    write(&mut json);
    serde_json::from_slice(&json).unwrap_or_default()
}
