//! Writes JSON straight into a line.

use lmbatch_core::{AttachmentView, RequestError, SourceView, Text, ThinkingOptions};
use serde::Serialize;

/// An object whose members are written one after the other.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Object<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Writes the key; the value goes to what it returns. Keys are ours and need no escapes.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn text(&mut self, key: &str, text: Text<'_>) {
        text.write_json(self.key(key));
    }

    pub(super) fn str(&mut self, key: &str, text: &str) {
        Text::Plain(text).write_json(self.key(key));
    }

    pub(super) fn value(&mut self, key: &str, value: impl Serialize) {
        // Writing numbers, strings and lists of them to a Vec cannot fail.
        let _ = serde_json::to_writer(self.key(key), &value);
    }

    pub(super) fn some(&mut self, key: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// A list of things that are written one after the other.
pub(super) fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T) -> Result<(), RequestError>,
) -> Result<(), RequestError> {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item)?;
    }
    out.push(b']');
    Ok(())
}

/// A `data:` URL as a JSON string.
pub(super) fn data_url(
    attachment: &AttachmentView<'_>,
    otherwise: &str,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    out.extend_from_slice(b"\"data:");
    attachment
        .mime_type
        .unwrap_or(Text::Plain(otherwise))
        .write_json_inner(out);
    out.extend_from_slice(b";base64,");
    base64(attachment, out)?;
    out.push(b'"');
    Ok(())
}

/// An attachment's bytes in base64.
pub(super) fn base64(
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    if attachment.source.write_base64(out) {
        return Ok(());
    }
    Err(RequestError::invalid_input(
        "an attachment's bytes are not here",
    ))
}

/// A URL that holds the bytes itself.
pub(super) fn is_data_url(url: Text<'_>) -> bool {
    url.decode().starts_with("data:")
}

/// OpenAI's thinking has levels, not budgets.
pub(super) fn check_thinking(thinking: Option<&ThinkingOptions>) -> Result<(), RequestError> {
    match thinking.and_then(|thinking| thinking.budget_tokens) {
        Some(_) => Err(RequestError::unsupported(
            "openai has no thinking budget_tokens; set an effort",
        )),
        None => Ok(()),
    }
}

/// The URL of an image: its own, or its bytes.
pub(super) fn image_url(
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    match &attachment.source {
        SourceView::Url(url) => {
            url.write_json(out);
            Ok(())
        }
        _ => data_url(attachment, "image/png", out),
    }
}

/// A document's name, which OpenAI wants beside its bytes.
pub(super) fn file_name<'a>(attachment: &AttachmentView<'a>) -> Text<'a> {
    attachment.filename.unwrap_or_else(|| {
        let pdf = attachment
            .mime_type
            .is_none_or(|mime| mime.decode() == "application/pdf");
        Text::Plain(if pdf { "document.pdf" } else { "document.txt" })
    })
}

/// Whether a schema closes every object and requires every property, as OpenAI's strict mode wants.
pub(super) fn is_strict(schema: &serde_json::Value) -> bool {
    use serde_json::Value;
    let own = match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => {
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            schema.get("additionalProperties") == Some(&Value::Bool(false))
                && properties
                    .keys()
                    .all(|key| required.contains(&key.as_str()))
        }
        None => schema.get("type").is_none_or(|kind| kind != "object"),
    };
    own && match schema {
        Value::Object(members) => members.values().all(|value| match value {
            Value::Array(items) => items.iter().all(is_strict),
            Value::Object(_) => is_strict(value),
            _ => true,
        }),
        _ => true,
    }
}
