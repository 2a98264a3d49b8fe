//! What both endpoints write the same way.

use lmbatch_core::{
    AttachmentView, Object, RequestError, SourceView, Text, ThinkingOptions, ToolResultView,
};

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

/// The output of a tool as a JSON string. OpenAI has no member that says that a call failed ("a string that
/// indicates success or failure", function calling guide, 2026): the words of a failed one are the member
/// `error` of an object.
pub(super) fn tool_output(result: &ToolResultView<'_>, out: &mut Vec<u8>) {
    if !result.is_error {
        return result.output.write_json(out);
    }
    let mut words = Vec::new();
    let mut object = Object::new(&mut words);
    object.text("error", result.output);
    object.end();
    Text::Plain(&String::from_utf8_lossy(&words)).write_json(out);
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
