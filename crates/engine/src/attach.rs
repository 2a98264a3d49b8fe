//! Attachments by path are read when their request is encoded, and let go right after.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use lmbatch_core::{
    AttachmentKind, AttachmentView, ContentView, RequestError, RequestView, SourceView, Text,
};

/// Replaces every path in the request by the bytes it leads to.
pub(crate) fn load(
    request: &mut RequestView<'_>,
    folder: Option<&Path>,
) -> Result<(), RequestError> {
    let RequestView::Generate(generate) = request else {
        return Ok(());
    };
    for message in &mut generate.messages {
        for content in &mut message.contents {
            if let ContentView::Attachment(attachment) = content {
                load_one(attachment, folder)?;
            }
        }
    }
    Ok(())
}

fn load_one(
    attachment: &mut AttachmentView<'_>,
    folder: Option<&Path>,
) -> Result<(), RequestError> {
    let SourceView::Path(path) = &attachment.source else {
        return Ok(());
    };
    let full = folder.map_or_else(|| path.to_path_buf(), |folder| folder.join(path));
    let bytes = fs::read(&full).map_err(|error| {
        RequestError::invalid_input(format!(
            "the attachment {} cannot be read: {error}",
            path.display()
        ))
    })?;
    if attachment.mime_type.is_none() {
        let sniffed = infer::get(&bytes).map(|kind| kind.mime_type());
        let guessed = sniffed.or_else(|| mime_guess::from_path(&full).first_raw());
        attachment.mime_type = guessed.map(Text::Plain);
        // A name that says nothing was taken for a document's.
        if let (AttachmentKind::Document, Some(guessed)) = (attachment.kind, guessed) {
            attachment.kind = AttachmentKind::of_mime_type(guessed);
        }
    }
    attachment.source = SourceView::Bytes(Cow::Owned(bytes));
    Ok(())
}
