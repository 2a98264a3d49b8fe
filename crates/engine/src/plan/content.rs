//! Determines the media type of an attachment: from its bytes, then from the declaration, then from
//! its name.

use std::path::Path;

use lmbatch_core::{
    AttachmentKind, AttachmentView, RequestError, SourceView, Text, is_office_media_type,
    is_text_media_type, known_media_type, media_type_of,
};

/// Byte order mark that some editors write before text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Sets the media type to that of the bytes where they are recognised, and to the usual name of the
/// declared type otherwise; see [`AttachmentView::resolve`]. With `strict`, the bytes must match
/// the kind of the attachment. Returns the disagreement between the bytes and the declared type, if
/// there is one.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a strict attachment is
/// of another kind, or of an unknown media type.
pub(crate) fn check(
    attachment: &mut AttachmentView<'_>,
    path: Option<&Path>,
    strict: bool,
) -> Result<Option<String>, RequestError> {
    if strict {
        check_declared(attachment, path)?;
    }
    let resolved = attachment.resolve(path)?;
    if strict {
        let why = match attachment.kind {
            AttachmentKind::Image => image(&resolved),
            AttachmentKind::Document => document(&resolved),
            kind => recorded(kind, &resolved),
        };
        why.map_err(|why| refuse(attachment, path, &why))?;
    }
    let disagreement = attachment.disagreement(&resolved, path);
    let media_type = resolved.mime_type.map(Text::decode);
    let media_type = media_type.as_deref().and_then(known_media_type);
    let kind = resolved.kind;
    let opened = match (&attachment.source, resolved.source) {
        (SourceView::Url(_), SourceView::Bytes(bytes)) => Some(bytes.into_owned()),
        _ => None,
    };
    if let Some(bytes) = opened {
        attachment.source = SourceView::Bytes(bytes.into());
    }
    attachment.kind = kind;
    // A text type that is not in the table stays as declared.
    if let Some(media_type) = media_type {
        attachment.mime_type = Some(Text::Plain(media_type));
    }
    if path.is_some() && media_type.is_some_and(is_text_media_type) {
        strip_byte_order_mark(attachment);
    }
    Ok(disagreement)
}

fn refuse(attachment: &AttachmentView<'_>, path: Option<&Path>, why: &str) -> RequestError {
    let name = match (path, attachment.filename) {
        (Some(path), _) => format!("the attachment {}", path.display()),
        (None, Some(name)) => format!("the attachment {}", name.decode()),
        (None, None) => format!("the {}", attachment.kind.as_str()),
    };
    RequestError::invalid_input(format!("{name} {why}"))
}

fn check_declared(
    attachment: &AttachmentView<'_>,
    path: Option<&Path>,
) -> Result<(), RequestError> {
    let Some(written) = attachment.mime_type else {
        return Ok(());
    };
    let written = written.decode();
    let unspecific = ["", "application/octet-stream", "binary/octet-stream"];
    let essence = written.split(';').next().unwrap_or_default().trim();
    let is_specific = !unspecific.iter().any(|it| it.eq_ignore_ascii_case(essence));
    if is_specific && known_media_type(&written).is_none() && !is_text_media_type(&written) {
        let why = format!("is declared as {written:?}, which is not a supported media type");
        return Err(refuse(attachment, path, &why));
    }
    Ok(())
}

/// Returns the format of inline bytes, where it is recognised.
fn found(resolved: &AttachmentView<'_>) -> Option<&'static str> {
    resolved.source.head().and_then(|head| media_type_of(&head))
}

fn is_elsewhere(resolved: &AttachmentView<'_>) -> bool {
    matches!(resolved.source, SourceView::Url(_) | SourceView::File(_))
}

fn image(resolved: &AttachmentView<'_>) -> Result<(), String> {
    match found(resolved) {
        _ if is_elsewhere(resolved) => Ok(()),
        Some(it) if known_media_type(it).is_some() => Ok(()),
        Some(it) => Err(format!("is not a supported image: its bytes are {it}")),
        None => Err("is not a supported image: its bytes are of no known format".to_owned()),
    }
}

fn document(resolved: &AttachmentView<'_>) -> Result<(), String> {
    if is_elsewhere(resolved) {
        return Ok(());
    }
    let media_type = resolved.mime_type.map(Text::decode).unwrap_or_default();
    let found = found(resolved);
    if resolved.kind != AttachmentKind::Document {
        let kind = resolved.kind.as_str();
        return Err(format!(
            "is no document but {media_type}; attach it as {kind}"
        ));
    }
    match found {
        Some("application/pdf") => Ok(()),
        Some(it) if is_text_media_type(it) => Ok(()),
        Some(_) if is_office_media_type(&media_type) => Ok(()),
        None if is_text_media_type(&media_type) && is_whole_text(&resolved.source) => Ok(()),
        Some(it) => Err(format!(
            "is neither a PDF nor UTF-8 text: its bytes are {it}"
        )),
        None => Err("is neither a PDF nor UTF-8 text".to_owned()),
    }
}

fn recorded(kind: AttachmentKind, resolved: &AttachmentView<'_>) -> Result<(), String> {
    let media_type = resolved.mime_type.map(Text::decode).unwrap_or_default();
    if is_elsewhere(resolved)
        || (known_media_type(&media_type).is_some()
            && AttachmentKind::of_mime_type(&media_type) == kind)
    {
        return Ok(());
    }
    Err(format!(
        "is no {} that a provider takes: it is {media_type}",
        kind.as_str()
    ))
}

fn is_whole_text(source: &SourceView<'_>) -> bool {
    match source {
        SourceView::Bytes(bytes) => simdutf8::basic::from_utf8(bytes).is_ok(),
        source => {
            let bytes = source.decode_base64();
            bytes.is_some_and(|bytes| simdutf8::basic::from_utf8(&bytes).is_ok())
        }
    }
}

fn strip_byte_order_mark(attachment: &mut AttachmentView<'_>) {
    if let SourceView::Bytes(bytes) = &mut attachment.source
        && bytes.starts_with(BYTE_ORDER_MARK)
    {
        bytes.to_mut().drain(..BYTE_ORDER_MARK.len());
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use base64::Engine as _;

    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01";
    const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3";
    const WAV: &[u8] = b"RIFF\x24\0\0\0WAVEfmt \x10";
    const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0";
    const NOISE: &[u8] = b"\x01\x02\xff\xfe\xc3\x28\0\0\0\0\0\0\0\0";
    const WORDS: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    /// Returns the media type that is sent, or the reason why the attachment is refused.
    fn judged(
        kind: AttachmentKind,
        bytes: &[u8],
        declared: &str,
        path: Option<&str>,
        strict: bool,
    ) -> Result<String, String> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        let sources = [
            SourceView::Bytes(Cow::Borrowed(bytes)),
            SourceView::Base64(Text::Plain(&encoded)),
        ];
        let results = sources.map(|source| {
            let mut view = AttachmentView {
                kind,
                source,
                mime_type: (!declared.is_empty()).then_some(Text::Plain(declared)),
                filename: None,
            };
            check(&mut view, path.map(Path::new), strict)
                .map_err(|error| error.message().unwrap_or_default().to_owned())?;
            Ok(view
                .mime_type
                .map(|it| it.decode().into_owned())
                .unwrap_or_default())
        });
        let [plain, encoded] = results;
        assert_eq!(plain, encoded, "base64 is judged by the bytes it encodes");
        plain
    }

    #[test]
    fn the_bytes_of_an_attachment_decide_what_is_sent() {
        use AttachmentKind::{Audio, Document, Image, Video};
        for (kind, bytes, declared, path, expected) in [
            (Image, PNG, "", Some("p.jpg"), Ok("image/png")),
            (Image, PNG, "image/jpeg", None, Ok("image/png")),
            (Image, JPEG, "image/jpg", None, Ok("image/jpeg")),
            (Image, JPEG, "IMAGE/JPEG; q=1", None, Ok("image/jpeg")),
            (
                Image,
                PNG,
                "image/photo",
                None,
                Err("\"image/photo\", which is not a supported media type"),
            ),
            (Image, WORDS, "image/png", None, Err("its bytes are text")),
            (Image, WORDS, "", Some("id_rsa"), Err("its bytes are text")),
            (Image, NOISE, "image/png", None, Err("of no known format")),
            (
                Image,
                PDF,
                "image/png",
                None,
                Err("its bytes are application/pdf"),
            ),
            (
                Image,
                WAV,
                "",
                Some("a.png"),
                Err("its bytes are audio/wav"),
            ),
            (Image, b"", "image/png", None, Err("0 bytes")),
            (Document, PDF, "", Some("a.txt"), Ok("application/pdf")),
            (Document, PDF, "text/plain", None, Ok("application/pdf")),
            (Document, WORDS, "", Some("a.md"), Ok("text/markdown")),
            (Document, WORDS, "", Some("a.ts"), Ok("text/plain")),
            (Document, WORDS, "", Some("a"), Ok("text/plain")),
            (Document, WORDS, "text/csv", None, Ok("text/csv")),
            (
                Document,
                PDF,
                "application/octet-stream",
                None,
                Ok("application/pdf"),
            ),
            (
                Document,
                NOISE,
                "application/octet-stream",
                None,
                Err("of no known format"),
            ),
            (
                Document,
                WORDS,
                "text/x-unheard-of",
                None,
                Ok("text/x-unheard-of"),
            ),
            (
                Document,
                "größe".as_bytes(),
                "application/json",
                None,
                Ok("application/json"),
            ),
            (
                Document,
                WORDS,
                "application/pdf",
                None,
                Err("its bytes are text"),
            ),
            (
                Document,
                WORDS,
                "",
                Some("a.pdf"),
                Err("its bytes are text"),
            ),
            (
                Document,
                NOISE,
                "text/plain",
                None,
                Err("declared as text/plain, and its bytes are of no known format"),
            ),
            (
                Document,
                NOISE,
                "application/pdf",
                None,
                Err("declared as application/pdf, and its bytes are of no known format"),
            ),
            (Document, ZIP, DOCX, None, Ok(DOCX)),
            (Document, ZIP, "", Some("a.docx"), Ok(DOCX)),
            (Document, ZIP, "", Some("a.zip"), Err("application/zip")),
            (
                Document,
                PNG,
                "application/pdf",
                None,
                Err("declared as application/pdf, and its bytes are image/png"),
            ),
            (Document, PNG, "", Some("a.pdf"), Err("attach it as image")),
            (Document, b"", "", Some("a.txt"), Err("0 bytes")),
            (Audio, b"", "audio/wav", None, Err("0 bytes")),
            (
                Document,
                b"\xef\xbb\xbf",
                "text/plain",
                None,
                Ok("text/plain"),
            ),
            (Audio, WAV, "audio/mpeg", None, Ok("audio/wav")),
            (Audio, WAV, "audio/x-wav", None, Ok("audio/wav")),
            (Audio, NOISE, "audio/mp3", None, Ok("audio/mp3")),
            (Audio, NOISE, "", Some("a.flac"), Ok("audio/flac")),
            (Audio, NOISE, "", Some("a"), Err("declare its media type")),
            (Audio, WORDS, "audio/wav", None, Err("its bytes are text")),
            (
                Audio,
                PNG,
                "audio/wav",
                None,
                Err("its bytes are image/png"),
            ),
            (Audio, MP4, "audio/m4a", None, Ok("audio/m4a")),
            (Video, MP4, "video/webm", None, Ok("video/mp4")),
            (Video, MP4, "", None, Ok("video/mp4")),
            (Video, WORDS, "video/mp4", None, Err("its bytes are text")),
            (Video, b"AAA", "video/mp4", None, Ok("video/mp4")),
        ] {
            let found = judged(kind, bytes, declared, path, true);
            match expected {
                Ok(media_type) => assert_eq!(
                    found.as_deref(),
                    Ok(media_type),
                    "{kind:?} {declared} {path:?}"
                ),
                Err(words) => assert!(
                    found.clone().is_err_and(|why| why.contains(words)),
                    "{kind:?} {declared} {path:?}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn attachments_of_a_program_are_not_refused_but_get_the_media_type_of_their_bytes() {
        use AttachmentKind::{Document, Image};
        for (kind, bytes, declared, path, expected) in [
            (Image, PNG, "image/jpeg", None, "image/png"),
            (Image, JPEG, "image/jpg", None, "image/jpeg"),
            (Image, b"ABC", "image/webp", None, "image/webp"),
            (Image, b"ABC", "image/photo", None, "image/photo"),
            (Document, WORDS, "", Some("a.csv"), "text/csv"),
            (Document, PNG, "", Some("a"), "image/png"),
        ] {
            let found = judged(kind, bytes, declared, path, false);
            assert_eq!(found.as_deref(), Ok(expected), "{declared} {path:?}");
        }
    }

    #[test]
    fn invalid_text_is_found_far_behind_its_beginning() {
        let mut bytes = vec![b'a'; 100_000];
        bytes.push(0xff);
        let found = judged(AttachmentKind::Document, &bytes, "text/plain", None, true);
        assert!(found.is_err_and(|why| why.contains("neither a PDF nor UTF-8 text")));
    }
}
