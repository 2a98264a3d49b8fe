//! Media types by their registered names, and what the first bytes of a file say.

/// Media types that providers document, or that the beginning of a file tells, each by one name.
const TYPES: &[&str] = &[
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/heic",
    "image/heif",
    "image/avif",
    "image/bmp",
    "image/tiff",
    "image/svg+xml",
    "application/pdf",
    "application/json",
    "application/jsonl",
    "application/xml",
    "application/yaml",
    "application/rtf",
    "application/javascript",
    "application/x-javascript",
    "application/x-typescript",
    "application/x-python-code",
    "text/plain",
    "text/csv",
    "text/tab-separated-values",
    "text/markdown",
    "text/html",
    "text/css",
    "text/xml",
    "text/rtf",
    "text/calendar",
    "text/javascript",
    "text/x-typescript",
    "text/x-python",
    "application/msword",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.oasis.opendocument.text",
    "application/vnd.oasis.opendocument.spreadsheet",
    "application/vnd.oasis.opendocument.presentation",
    "application/epub+zip",
    "audio/wav",
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/m4a",
    "audio/aac",
    "audio/ogg",
    "audio/opus",
    "audio/flac",
    "audio/aiff",
    "audio/webm",
    "audio/amr",
    "audio/pcm",
    "video/mp4",
    "video/x-m4v",
    "video/mpeg",
    "video/mpg",
    "video/mov",
    "video/quicktime",
    "video/avi",
    "video/x-msvideo",
    "video/x-flv",
    "video/webm",
    "video/wmv",
    "video/x-ms-wmv",
    "video/3gpp",
    "video/x-matroska",
];

/// Other names that tools write for some of them.
const ALIASES: &[(&str, &str)] = &[
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/x-webp", "image/webp"),
    ("image/x-bmp", "image/bmp"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/tif", "image/tiff"),
    ("application/x-pdf", "application/pdf"),
    ("application/csv", "text/csv"),
    ("application/ndjson", "application/jsonl"),
    ("application/x-ndjson", "application/jsonl"),
    ("application/x-jsonlines", "application/jsonl"),
    ("application/x-yaml", "application/yaml"),
    ("text/yaml", "application/yaml"),
    ("text/x-yaml", "application/yaml"),
    ("text/json", "application/json"),
    ("text/md", "text/markdown"),
    ("text/x-markdown", "text/markdown"),
    ("audio/x-wav", "audio/wav"),
    ("audio/wave", "audio/wav"),
    ("audio/vnd.wave", "audio/wav"),
    ("audio/x-flac", "audio/flac"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-aiff", "audio/aiff"),
    ("audio/x-m4a", "audio/m4a"),
    ("audio/x-mp3", "audio/mp3"),
    ("audio/mpeg3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("application/ogg", "audio/ogg"),
    ("video/x-mpeg", "video/mpeg"),
];

/// Returns the usual name of a media type, whatever its case and parameters, such as `image/jpeg` for
/// `image/JPG`; `None` for a type that no provider is known to take.
///
/// ```
/// use lmbatch_core::known_media_type;
/// assert_eq!(known_media_type("image/jpg"), Some("image/jpeg"));
/// assert_eq!(known_media_type("Text/CSV; charset=utf-8"), Some("text/csv"));
/// assert_eq!(known_media_type("image/x-photo"), None);
/// ```
pub fn known_media_type(written: &str) -> Option<&'static str> {
    let essence = written.split(';').next().unwrap_or_default().trim();
    let same = |name: &&&str| name.eq_ignore_ascii_case(essence);
    let alias = || {
        let mut aliases = ALIASES.iter();
        aliases.find(|(alias, _)| alias.eq_ignore_ascii_case(essence))
    };
    let known = TYPES.iter().find(same).copied();
    known.or_else(|| alias().map(|(_, name)| *name))
}

/// Returns the media type that the beginning of a file tells; `None` for text and for what is not
/// recognised. The first 8 KiB are enough.
///
/// ```
/// assert_eq!(lmbatch_core::media_type_of(b"\x89PNG\r\n\x1a\n"), Some("image/png"));
/// assert_eq!(lmbatch_core::media_type_of(b"BMW is a maker of cars."), None);
/// ```
pub fn media_type_of(bytes: &[u8]) -> Option<&'static str> {
    let start = bytes.trim_ascii_start();
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    if start.starts_with(b"%PDF-") {
        return Some("application/pdf");
    }
    if is_text(&bytes[..bytes.len().min(8 << 10)]) {
        return None;
    }
    // Readers of PDF accept a header anywhere in the first kilobyte.
    let head = &bytes[..bytes.len().min(1 << 10)];
    if memchr::memmem::find(head, b"%PDF-").is_some() {
        return Some("application/pdf");
    }
    let found = infer::get(bytes)?.mime_type();
    Some(known_media_type(found).unwrap_or(found))
}

/// Whether bytes are UTF-8 text, or the beginning of such: no format of images, sounds or films is.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // A character that was cut off at the end.
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    };
    valid && memchr::memchr(0, bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_has_one_name() {
        for (written, expected) in [
            ("image/png", Some("image/png")),
            ("IMAGE/JPG", Some("image/jpeg")),
            ("audio/x-wav", Some("audio/wav")),
            (" text/plain ;charset=utf-8", Some("text/plain")),
            ("image/photo", None),
            ("", None),
            ("png", None),
        ] {
            assert_eq!(known_media_type(written), expected, "{written}");
        }
        for (alias, name) in ALIASES {
            assert!(TYPES.contains(name) && !TYPES.contains(alias), "{alias}");
        }
    }

    #[test]
    fn a_file_is_known_by_its_beginning_and_text_is_not_taken_for_a_picture() {
        for (bytes, expected) in [
            (
                &b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"[..],
                Some("image/jpeg"),
            ),
            (b"GIF89a\x01\0\x01\0\0\0\0", Some("image/gif")),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x24\0\0\0WAVEfmt ", Some("audio/wav")),
            (b"%PDF-1.7", Some("application/pdf")),
            (b"\xef\xbb\xbf%PDF-1.7", Some("application/pdf")),
            (b"\0\0junk\n%PDF-1.4", Some("application/pdf")),
            (b"A file that begins with %PDF- is a PDF.", None),
            (b"BM is how a bitmap begins", None),
            (b"MZ marks a program", None),
            (b"ID3 is a tag", None),
            ("größe".as_bytes(), None),
            (b"", None),
        ] {
            assert_eq!(media_type_of(bytes), expected, "{bytes:?}");
        }
    }
}
