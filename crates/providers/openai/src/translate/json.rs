//! JSON that both endpoints share, and checks for `/v1/responses` only.

use lmbatch_core::{
    AttachmentKind, AttachmentView, CallIdRule, Object, RequestError, SourceView, Text,
    ThinkingOptions, ToolResultView, is_text_media_type,
};

/// "call_id: string too long. Expected a string with maximum length 64" (error of the API, public reports of
/// 2026-03 to 2026-07). Any character is accepted.
pub(super) const CALL_IDS: CallIdRule = CallIdRule {
    min_len: 1,
    max_len: 64,
    is_legal: |letter| !letter.is_control(),
};

/// Images: PNG, JPEG, WEBP and GIF without animation (images and vision guide, 2026).
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/// Documents of `/v1/responses` other than PDF and text (file inputs guide, 2026-11).
const DOCUMENTS: [&str; 7] = [
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
];

/// Refuses a known media type that `/v1/responses` does not accept.
pub(super) fn check_media_type(attachment: &AttachmentView<'_>) -> Result<(), RequestError> {
    let Some(media_type) = attachment.mime_type.map(Text::decode) else {
        return Ok(());
    };
    let media_type = &*media_type;
    let (is_taken, taken) = match attachment.kind {
        AttachmentKind::Image => (
            IMAGES.contains(&media_type),
            "images are png, jpeg, webp or gif",
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

/// Writes a `data:` URL as a JSON string.
pub(super) fn data_url(
    attachment: &AttachmentView<'_>,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let media_type = attachment.mime_type.ok_or_else(|| {
        RequestError::invalid_input("the media type of an attachment is not known; declare it")
    })?;
    out.extend_from_slice(b"\"data:");
    media_type.write_json_inner(out);
    out.extend_from_slice(b";base64,");
    base64(attachment, out)?;
    out.push(b'"');
    Ok(())
}

/// Writes the bytes of an attachment in base64.
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

/// Writes the output of a tool as a JSON string. OpenAI has no member for a failed call ("a string that
/// indicates success or failure", function calling guide, 2026): the text of a failed one is the member
/// `error` of an object.
pub(super) fn tool_output(result: &ToolResultView<'_>, out: &mut Vec<u8>) {
    if !result.is_error {
        return lmbatch_core::write_string(&result.output, out);
    }
    let mut words = Vec::new();
    let mut object = Object::new(&mut words);
    object.str("error", &result.output);
    object.end();
    Text::Plain(&String::from_utf8_lossy(&words)).write_json(out);
}

/// Refuses a thinking budget: OpenAI has effort levels only.
pub(super) fn check_thinking(thinking: Option<&ThinkingOptions>) -> Result<(), RequestError> {
    match thinking.and_then(|thinking| thinking.budget_tokens) {
        Some(_) => Err(RequestError::unsupported(
            "openai has no thinking budget_tokens; set an effort",
        )),
        None => Ok(()),
    }
}

/// Writes the URL of an attachment: its own, or a `data:` URL of its bytes.
pub(super) fn url(attachment: &AttachmentView<'_>, out: &mut Vec<u8>) -> Result<(), RequestError> {
    match &attachment.source {
        SourceView::Url(url) => {
            url.write_json(out);
            Ok(())
        }
        _ => data_url(attachment, out),
    }
}

/// File name of a document, which OpenAI requires with its bytes; the extension declares the type.
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
