//! What both endpoints write the same way.

use lmbatch_core::{
    AttachmentKind, AttachmentView, CallIdRule, RequestError, SourceView, Text, ThinkingOptions,
    is_text_media_type,
};

/// "call_id: string too long. Expected a string with maximum length 64" (error of the API, public reports of
/// 2026-03 to 2026-07). Any character is taken.
pub(super) const CALL_IDS: CallIdRule = CallIdRule {
    max_len: 64,
    is_legal: |letter| !letter.is_control(),
};

/// "tool_calls[0].id: string too long. Expected a string with maximum length 40" (error of the chat endpoint,
/// openclaw 875, 2026-01-13; dify 28987, 2025-12-01).
pub(super) const CHAT_CALL_IDS: CallIdRule = CallIdRule {
    max_len: 40,
    ..CALL_IDS
};

/// Images: PNG, JPEG, WEBP and GIF without animation (images and vision guide, 2026).
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// Documents of `/v1/responses` beside PDF and text (file inputs guide, 2026-11).
const DOCUMENTS: [&str; 7] = [
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
];

/// Refuses a media type that is known and not taken. "Chat Completions accepts only PDF files as file content
/// parts" (file inputs guide, 2026-11).
pub(super) fn check_media_type(
    attachment: &AttachmentView<'_>,
    is_chat: bool,
) -> Result<(), RequestError> {
    let Some(media_type) = attachment.mime_type.map(Text::decode) else {
        return Ok(());
    };
    let media_type = &*media_type;
    let (is_taken, taken) = match attachment.kind {
        AttachmentKind::Image => (
            IMAGES.contains(&media_type),
            "images are png, jpeg, webp or gif",
        ),
        AttachmentKind::Document if is_chat => (
            media_type == "application/pdf",
            "documents of the chat endpoint are PDF; set the endpoint to responses, which takes text and office documents",
        ),
        AttachmentKind::Document => (
            media_type == "application/pdf"
                || is_text_media_type(media_type)
                || DOCUMENTS.contains(&media_type),
            "documents are PDF, text, or documents of Word, Excel, PowerPoint and OpenDocument text",
        ),
        _ => (true, ""),
    };
    if is_taken {
        return Ok(());
    }
    Err(RequestError::unsupported(format!(
        "openai takes no {media_type}: {taken}"
    )))
}

/// A `data:` URL as a JSON string.
pub(super) fn data_url(
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let media_type = attachment.mime_type.ok_or_else(|| {
        RequestError::invalid_input(
            "openai: the media type of an attachment is not known; declare it",
        )
    })?;
    out.extend_from_slice(b"\"data:");
    media_type.write_json_inner(out);
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
        _ => data_url(attachment, out),
    }
}

/// A document's name, which OpenAI wants beside its bytes; the end of one that it has not tells its type.
pub(super) fn file_name<'a>(attachment: &AttachmentView<'a>) -> Text<'a> {
    attachment.filename.unwrap_or_else(|| {
        let media_type = attachment.mime_type.map(Text::decode).unwrap_or_default();
        Text::Plain(match &*media_type {
            "application/pdf" => "document.pdf",
            "application/msword" => "document.doc",
            "application/vnd.ms-excel" => "document.xls",
            "application/vnd.ms-powerpoint" => "document.ppt",
            "application/vnd.oasis.opendocument.text" => "document.odt",
            "application/rtf" | "text/rtf" => "document.rtf",
            "application/json" => "document.json",
            "text/csv" => "document.csv",
            "text/tab-separated-values" => "document.tsv",
            "text/html" => "document.html",
            "text/markdown" => "document.md",
            "text/xml" | "application/xml" => "document.xml",
            other if other.ends_with("wordprocessingml.document") => "document.docx",
            other if other.ends_with("spreadsheetml.sheet") => "document.xlsx",
            other if other.ends_with("presentationml.presentation") => "document.pptx",
            _ => "document.txt",
        })
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
