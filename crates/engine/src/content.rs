//! What an attachment is: its bytes decide, then what was declared, then its name.

use std::borrow::Cow;
use std::path::Path;

use lmbatch_core::{
    AttachmentKind, AttachmentView, RequestError, SourceView, Text, known_media_type, media_type_of,
};

/// Characters of base64 that hold more than is needed to recognise a file; a multiple of four.
const HEAD: usize = 12 << 10;

/// Fewest bytes by which a sound or a film is judged: headers of containers are no shorter.
const JUDGED: usize = 12;

/// Sets the media type to that of the bytes where they are recognised, and to the usual name of what was
/// declared otherwise. What is `strict` must be what its kind says.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where a strict attachment is of
/// another kind, or of a media type that is not known.
pub(crate) fn check(
    attachment: &mut AttachmentView<'_>,
    path: Option<&Path>,
    strict: bool,
) -> Result<(), RequestError> {
    let name = || match (path, attachment.filename) {
        (Some(path), _) => format!("the attachment {}", path.display()),
        (None, Some(name)) => format!("the attachment {}", name.decode()),
        (None, None) => format!("the {}", attachment.kind.as_str()),
    };
    let bad = |why: &str| Err(RequestError::invalid_input(format!("{} {why}", name())));
    let written = attachment.mime_type.map(Text::decode);
    let written = written.as_deref().filter(|written| says_something(written));
    let declared = written.and_then(known_media_type);
    let is_text_type = |written: &str| {
        written
            .trim_start()
            .to_ascii_lowercase()
            .starts_with("text/")
    };
    if let (true, Some(written), None) = (strict, written, declared)
        && !is_text_type(written)
    {
        return bad(&format!(
            "is declared as {written:?}, which is no media type that a provider takes"
        ));
    }
    let head = match &attachment.source {
        SourceView::Bytes(bytes) => Cow::Borrowed(&bytes[..bytes.len().min(HEAD / 4 * 3)]),
        SourceView::Base64(text) => Cow::Owned(decoded_head(*text)),
        // Bytes elsewhere are the provider's to judge.
        _ => {
            if let Some(declared) = declared {
                attachment.mime_type = Some(Text::Plain(declared));
            }
            return Ok(());
        }
    };
    let guessed = path.and_then(|path| mime_guess::from_path(path).first_raw());
    let guessed = guessed.and_then(known_media_type);
    let found = Found::of(&head);
    if !strict {
        let of_kind = |it: &&str| AttachmentKind::of_mime_type(it) == attachment.kind;
        let sniffed = found.media_type();
        let media_type = match (sniffed.filter(of_kind), written) {
            (Some(sniffed), _) => Some(preferred(declared, sniffed)),
            (None, Some(_)) => declared,
            (None, None) => sniffed.or(guessed),
        };
        // A name that says nothing was taken for a document's.
        if let (AttachmentKind::Document, None, Some(media_type)) =
            (attachment.kind, written, media_type)
        {
            attachment.kind = AttachmentKind::of_mime_type(media_type);
        }
        if let Some(media_type) = media_type {
            attachment.mime_type = Some(Text::Plain(media_type));
        }
        return Ok(());
    }
    let media_type = match attachment.kind {
        AttachmentKind::Image => match found {
            Found::Of(it) if it.starts_with("image/") && known_media_type(it).is_some() => {
                preferred(declared, it)
            }
            other => {
                return bad(&format!(
                    "is no image that a provider takes: {}",
                    other.told()
                ));
            }
        },
        AttachmentKind::Document => {
            match document(&attachment.source, &found, declared.or(guessed)) {
                // A type of text that is not in the table is text all the same.
                Ok("text/plain") if written.is_some_and(is_text_type) && declared.is_none() => {
                    return Ok(());
                }
                Ok(media_type) => media_type,
                Err(why) => return bad(&why),
            }
        }
        kind => match recorded(kind, &found, head.len(), declared, guessed) {
            Ok(media_type) => media_type,
            Err(why) => return bad(&why),
        },
    };
    attachment.mime_type = Some(Text::Plain(media_type));
    Ok(())
}

/// Whether a declared media type is more than "bytes of some kind".
fn says_something(written: &str) -> bool {
    let nothing = ["", "application/octet-stream", "binary/octet-stream"];
    !nothing
        .iter()
        .any(|name| written.trim().eq_ignore_ascii_case(name))
}

/// What bytes are.
enum Found {
    /// A format that is recognised.
    Of(&'static str),
    Text,
    Unknown,
}

impl Found {
    fn of(head: &[u8]) -> Self {
        match media_type_of(head) {
            Some(media_type) => Self::Of(media_type),
            None if is_text(head) => Self::Text,
            None => Self::Unknown,
        }
    }

    fn media_type(&self) -> Option<&'static str> {
        match self {
            Self::Of(media_type) => Some(media_type),
            _ => None,
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Of(media_type) => format!("its bytes are {media_type}"),
            Self::Text => "its bytes are text".to_owned(),
            Self::Unknown => "its bytes are of no known format".to_owned(),
        }
    }
}

/// Whether bytes may be the beginning of UTF-8 text.
fn is_text(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    valid && !head.contains(&0)
}

/// The beginning of base64; empty where it is none.
fn decoded_head(text: Text<'_>) -> Vec<u8> {
    let text = text.decode();
    let head = text.get(..HEAD).unwrap_or(&text);
    SourceView::Base64(Text::Plain(head))
        .decode_base64()
        .unwrap_or_default()
}

/// The name that was declared for what was recognised, where both mean the same format.
fn preferred(declared: Option<&'static str>, sniffed: &'static str) -> &'static str {
    const SAME: [&[&str]; 9] = [
        &["image/heic", "image/heif"],
        &["audio/mpeg", "audio/mp3"],
        &["audio/m4a", "audio/mp4", "audio/aac"],
        &["audio/ogg", "audio/opus"],
        &["video/quicktime", "video/mov"],
        &["video/x-msvideo", "video/avi"],
        &["video/mpeg", "video/mpg"],
        &["video/mp4", "video/x-m4v", "video/3gpp"],
        &["video/x-ms-wmv", "video/wmv"],
    ];
    let same = |declared: &&str| {
        SAME.iter()
            .any(|names| names.contains(declared) && names.contains(&sniffed))
    };
    declared.filter(same).unwrap_or(sniffed)
}

/// Media types whose bytes are text.
fn is_texts(media_type: &str) -> bool {
    const TEXTS: [&str; 10] = [
        "application/json",
        "application/jsonl",
        "application/xml",
        "application/yaml",
        "application/rtf",
        "application/javascript",
        "application/x-javascript",
        "application/x-typescript",
        "application/x-python-code",
        "image/svg+xml",
    ];
    media_type.starts_with("text/") || TEXTS.contains(&media_type)
}

/// Media types of documents in containers, such as archives.
fn is_office(media_type: &str) -> bool {
    media_type == "application/msword"
        || media_type == "application/epub+zip"
        || media_type.starts_with("application/vnd.")
}

fn document(
    source: &SourceView<'_>,
    found: &Found,
    said: Option<&'static str>,
) -> Result<&'static str, String> {
    match (found, said) {
        (Found::Of("application/pdf"), _) => Ok("application/pdf"),
        (Found::Of(it), _) if is_office(it) && known_media_type(it).is_some() => Ok(it),
        (Found::Of("application/rtf"), _) => Ok("application/rtf"),
        // Documents of offices are archives, or containers of an older kind.
        (Found::Of("application/zip" | "application/x-ole-storage"), Some(said))
            if is_office(said) =>
        {
            Ok(said)
        }
        (Found::Of(it), _) if AttachmentKind::of_mime_type(it) != AttachmentKind::Document => {
            let kind = AttachmentKind::of_mime_type(it).as_str();
            Err(format!("is no document but {it}; attach it as {kind}"))
        }
        (Found::Text, Some(said)) if said == "application/pdf" || is_office(said) => Err(format!(
            "is named or declared as {said}, and its bytes are text"
        )),
        (Found::Text, said) => {
            if !is_whole_text(source) {
                return Err("is neither a PDF nor UTF-8 text".to_owned());
            }
            Ok(said.filter(|said| is_texts(said)).unwrap_or("text/plain"))
        }
        (other, _) => Err(format!("is neither a PDF nor UTF-8 text: {}", other.told())),
    }
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

/// The media type of a sound or a film. Not every format of sound has a header, so that only what is
/// recognised as something else is refused.
fn recorded(
    kind: AttachmentKind,
    found: &Found,
    length: usize,
    declared: Option<&'static str>,
    guessed: Option<&'static str>,
) -> Result<&'static str, String> {
    /// Containers of sounds and films alike.
    const CONTAINERS: [&str; 9] = [
        "video/mp4",
        "video/x-m4v",
        "video/quicktime",
        "video/webm",
        "video/x-matroska",
        "video/x-ms-wmv",
        "audio/ogg",
        "audio/m4a",
        "audio/opus",
    ];
    let of_kind = |it: &&str| AttachmentKind::of_mime_type(it) == kind;
    let said = declared.or(guessed).filter(of_kind);
    let refuse = || {
        Err(format!(
            "is not {} that a provider takes: {}",
            if kind == AttachmentKind::Audio {
                "a sound"
            } else {
                "a film"
            },
            found.told()
        ))
    };
    let unsaid = || {
        Err(format!(
            "is of no known format; say its media type, such as {}",
            if kind == AttachmentKind::Audio {
                "audio/wav"
            } else {
                "video/mp4"
            }
        ))
    };
    match found {
        Found::Of(it) if of_kind(it) && known_media_type(it).is_some() => Ok(preferred(said, it)),
        Found::Of(it) if CONTAINERS.contains(it) => match (said, *it) {
            (Some(said), _) => Ok(said),
            (None, "video/webm") => Ok("audio/webm"),
            (None, "video/mp4" | "video/x-m4v") => Ok("audio/mp4"),
            (None, _) => refuse(),
        },
        Found::Of(_) => refuse(),
        Found::Text if length >= JUDGED => refuse(),
        Found::Text | Found::Unknown => said.map_or_else(unsaid, Ok),
    }
}

#[cfg(test)]
mod tests {
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

    /// The media type that is sent, or why nothing is.
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
        assert_eq!(plain, encoded, "base64 is judged as its bytes are");
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
                Err("\"image/photo\", which is no media type"),
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
            (Image, b"", "image/png", None, Err("no image")),
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
                Err("neither a PDF nor UTF-8 text"),
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
                Err("neither a PDF nor UTF-8 text"),
            ),
            (
                Document,
                NOISE,
                "application/pdf",
                None,
                Err("neither a PDF nor UTF-8 text"),
            ),
            (Document, ZIP, DOCX, None, Ok(DOCX)),
            (Document, ZIP, "", Some("a.docx"), Ok(DOCX)),
            (Document, ZIP, "", Some("a.zip"), Err("application/zip")),
            (
                Document,
                PNG,
                "application/pdf",
                None,
                Err("attach it as image"),
            ),
            (Audio, WAV, "audio/mpeg", None, Ok("audio/wav")),
            (Audio, WAV, "audio/x-wav", None, Ok("audio/wav")),
            (Audio, NOISE, "audio/mp3", None, Ok("audio/mp3")),
            (Audio, NOISE, "", Some("a.flac"), Ok("audio/flac")),
            (Audio, NOISE, "", Some("a"), Err("say its media type")),
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
    fn a_program_may_attach_what_it_likes_and_its_media_type_is_still_that_of_the_bytes() {
        use AttachmentKind::{Document, Image};
        for (kind, bytes, declared, path, expected) in [
            (Image, PNG, "image/jpeg", None, "image/png"),
            (Image, JPEG, "image/jpg", None, "image/jpeg"),
            (Image, b"ABC", "image/webp", None, "image/webp"),
            (Image, b"ABC", "image/photo", None, "image/photo"),
            (Document, WORDS, "", Some("a.csv"), "text/csv"),
            (Document, PNG, "", Some("a"), "image/png"),
            (Document, NOISE, "", Some("a"), ""),
        ] {
            let found = judged(kind, bytes, declared, path, false);
            assert_eq!(found.as_deref(), Ok(expected), "{declared} {path:?}");
        }
    }

    #[test]
    fn text_that_breaks_off_is_found_far_behind_its_beginning() {
        let mut bytes = vec![b'a'; 100_000];
        bytes.push(0xff);
        let found = judged(AttachmentKind::Document, &bytes, "text/plain", None, true);
        assert!(found.is_err_and(|why| why.contains("neither a PDF nor UTF-8 text")));
    }
}
