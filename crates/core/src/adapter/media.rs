//! Media types by their registered names, and recognition of a file by its first bytes.

/// Kind of content of a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Text in UTF-8 or another encoding.
    Text,
    /// An office document: an archive, or a container of the older kind.
    Office,
    /// Any other content.
    Binary,
}

/// Media types that providers document or that the first bytes of a file show, each under one name.
const TYPES: &[(&str, Layout)] = &[
    ("image/png", Layout::Binary),
    ("image/jpeg", Layout::Binary),
    ("image/gif", Layout::Binary),
    ("image/webp", Layout::Binary),
    ("image/heic", Layout::Binary),
    ("image/heif", Layout::Binary),
    ("image/avif", Layout::Binary),
    ("image/bmp", Layout::Binary),
    ("image/tiff", Layout::Binary),
    ("image/svg+xml", Layout::Text),
    ("application/pdf", Layout::Binary),
    ("application/json", Layout::Text),
    ("application/jsonl", Layout::Text),
    ("application/xml", Layout::Text),
    ("application/yaml", Layout::Text),
    ("application/rtf", Layout::Text),
    ("application/javascript", Layout::Text),
    ("application/x-javascript", Layout::Text),
    ("application/x-typescript", Layout::Text),
    ("application/x-python-code", Layout::Text),
    ("text/plain", Layout::Text),
    ("text/csv", Layout::Text),
    ("text/tab-separated-values", Layout::Text),
    ("text/markdown", Layout::Text),
    ("text/html", Layout::Text),
    ("text/css", Layout::Text),
    ("text/xml", Layout::Text),
    ("text/rtf", Layout::Text),
    ("text/calendar", Layout::Text),
    ("text/javascript", Layout::Text),
    ("text/x-typescript", Layout::Text),
    ("text/x-python", Layout::Text),
    ("application/msword", Layout::Office),
    ("application/vnd.ms-excel", Layout::Office),
    ("application/vnd.ms-powerpoint", Layout::Office),
    (
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Layout::Office,
    ),
    (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        Layout::Office,
    ),
    (
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        Layout::Office,
    ),
    ("application/vnd.oasis.opendocument.text", Layout::Office),
    (
        "application/vnd.oasis.opendocument.spreadsheet",
        Layout::Office,
    ),
    (
        "application/vnd.oasis.opendocument.presentation",
        Layout::Office,
    ),
    ("application/epub+zip", Layout::Office),
    ("audio/wav", Layout::Binary),
    ("audio/mpeg", Layout::Binary),
    ("audio/mp3", Layout::Binary),
    ("audio/mp4", Layout::Binary),
    ("audio/m4a", Layout::Binary),
    ("audio/aac", Layout::Binary),
    ("audio/ogg", Layout::Binary),
    ("audio/opus", Layout::Binary),
    ("audio/flac", Layout::Binary),
    ("audio/aiff", Layout::Binary),
    ("audio/webm", Layout::Binary),
    ("audio/amr", Layout::Binary),
    ("audio/pcm", Layout::Binary),
    ("video/mp4", Layout::Binary),
    ("video/x-m4v", Layout::Binary),
    ("video/mpeg", Layout::Binary),
    ("video/mpg", Layout::Binary),
    ("video/mov", Layout::Binary),
    ("video/quicktime", Layout::Binary),
    ("video/avi", Layout::Binary),
    ("video/x-msvideo", Layout::Binary),
    ("video/x-flv", Layout::Binary),
    ("video/webm", Layout::Binary),
    ("video/wmv", Layout::Binary),
    ("video/x-ms-wmv", Layout::Binary),
    ("video/3gpp", Layout::Binary),
    ("video/x-matroska", Layout::Binary),
];

/// Names of one format, or of formats that their bytes do not distinguish.
const SAME: [&[&str]; 11] = [
    &["audio/mpeg", "audio/mp3"],
    &["audio/m4a", "audio/mp4", "audio/aac"],
    &["audio/ogg", "audio/opus"],
    &["video/quicktime", "video/mov"],
    &["video/x-msvideo", "video/avi"],
    &["video/mpeg", "video/mpg"],
    &["video/mp4", "video/x-m4v", "video/3gpp"],
    &["video/x-ms-wmv", "video/wmv"],
    &["application/rtf", "text/rtf"],
    &["application/xml", "text/xml"],
    &[
        "application/javascript",
        "application/x-javascript",
        "text/javascript",
    ],
];

/// Aliases that tools write for media types of the table.
const ALIASES: &[(&str, &str)] = &[
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/x-png", "image/png"),
    ("image/x-webp", "image/webp"),
    ("image/x-bmp", "image/bmp"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/jpe", "image/jpeg"),
    ("image/jfif", "image/jpeg"),
    ("image/x-jpeg", "image/jpeg"),
    ("image/x-jpg", "image/jpeg"),
    ("image/apng", "image/png"),
    ("image/x-gif", "image/gif"),
    ("image/heic-sequence", "image/heic"),
    ("image/heif-sequence", "image/heif"),
    ("image/svg", "image/svg+xml"),
    ("image/tif", "image/tiff"),
    ("image/x-tiff", "image/tiff"),
    ("application/x-pdf", "application/pdf"),
    ("application/acrobat", "application/pdf"),
    ("text/pdf", "application/pdf"),
    ("application/x-rtf", "application/rtf"),
    ("application/x-csv", "text/csv"),
    ("text/x-csv", "text/csv"),
    ("text/tsv", "text/tab-separated-values"),
    ("application/xhtml+xml", "text/html"),
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
    ("audio/mpga", "audio/mpeg"),
    ("audio/x-ogg", "audio/ogg"),
    ("audio/x-opus", "audio/opus"),
    ("audio/x-aiff-c", "audio/aiff"),
    ("audio/mp4a-latm", "audio/m4a"),
    ("video/x-mpeg", "video/mpeg"),
    ("video/x-quicktime", "video/quicktime"),
    ("video/msvideo", "video/x-msvideo"),
    ("video/flv", "video/x-flv"),
    ("video/x-mp4", "video/mp4"),
];

/// First bytes of an OLE container (MS-CFB 2.2), the format of older documents of Word, Excel and PowerPoint.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

/// Media type of an OLE container whose content is not known.
pub(crate) const OLE_TYPE: &str = "application/x-ole-storage";

/// Returns whether a media type, under its registered name, is stored in an OLE container.
pub(crate) fn is_ole_media_type(media_type: &str) -> bool {
    let types = [
        "application/msword",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
    ];
    types.contains(&media_type)
}

/// Returns the registered name of a media type, such as `image/jpeg` for `image/JPG`. Case and parameters are
/// ignored. `None` for a type that no provider is known to accept.
///
/// ```
/// use lmbatch_core::known_media_type;
/// assert_eq!(known_media_type("image/jpg"), Some("image/jpeg"));
/// assert_eq!(known_media_type("Text/CSV; charset=utf-8"), Some("text/csv"));
/// assert_eq!(known_media_type("image/x-photo"), None);
/// ```
pub fn known_media_type(written: &str) -> Option<&'static str> {
    let essence = written.split(';').next().unwrap_or_default().trim();
    let alias = || {
        let mut aliases = ALIASES.iter();
        aliases.find(|(alias, _)| alias.eq_ignore_ascii_case(essence))
    };
    let known = TYPES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(essence));
    known
        .map(|(name, _)| *name)
        .or_else(|| alias().map(|(_, name)| *name))
}

fn layout(media_type: &str) -> Option<Layout> {
    let known = known_media_type(media_type)?;
    let row = TYPES.iter().find(|(name, _)| *name == known)?;
    Some(row.1)
}

/// Returns whether content of a media type is text. Every `text/…` type is, known or not.
///
/// ```
/// use lmbatch_core::is_text_media_type;
/// assert!(is_text_media_type("application/json") && is_text_media_type("text/x-new"));
/// assert!(!is_text_media_type("application/pdf"));
/// ```
pub fn is_text_media_type(media_type: &str) -> bool {
    match layout(media_type) {
        Some(layout) => layout == Layout::Text,
        None => {
            let start = media_type.trim_start().as_bytes().get(..5);
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"text/"))
        }
    }
}

/// Returns whether a media type is an office document, in an archive or an older container.
pub fn is_office_media_type(media_type: &str) -> bool {
    layout(media_type) == Some(Layout::Office)
}

/// Returns whether two registered names mean one format, such as `audio/mpeg` and `audio/mp3`.
pub fn is_same_format(one: &str, other: &str) -> bool {
    let both = |names: &&[&str]| names.contains(&one) && names.contains(&other);
    one == other || SAME.iter().any(both)
}

/// Returns the media type that the first bytes of a file show; `None` for text and for unrecognised formats.
/// The first 8 KiB are enough.
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
    if let Some(found) = heif(bytes) {
        return Some(found);
    }
    // The content of an OLE container may be anywhere in it: the first bytes do not show it.
    if bytes.starts_with(OLE) {
        return Some(OLE_TYPE);
    }
    let found = infer::get(bytes)?.mime_type();
    Some(known_media_type(found).unwrap_or(found))
}

/// Returns the media type of a HEIF file by its major brand. Brands that the standard assigns to HEVC are
/// HEIC (ISO/IEC 23008-12, annex B).
fn heif(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(4..8)? != b"ftyp" {
        return None;
    }
    match bytes.get(8..12)? {
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"hevm" | b"hevs" => {
            Some("image/heic")
        }
        b"mif1" | b"mif2" | b"msf1" => Some("image/heif"),
        _ => None,
    }
}

/// Returns whether bytes are UTF-8 text, or the beginning of it. Formats of images, audio and video are not.
pub fn is_text(bytes: &[u8]) -> bool {
    let valid = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // A character is cut off at the end.
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
            let is_type = |wanted: &str| TYPES.iter().any(|(name, _)| *name == wanted);
            assert!(is_type(name) && !is_type(alias), "{alias}");
        }
    }

    #[test]
    fn media_types_are_classified_as_text_or_office_documents() {
        for (media_type, is_text, is_office) in [
            ("text/csv", true, false),
            ("TEXT/X-NEW; charset=utf-8", true, false),
            ("application/x-yaml", true, false),
            ("image/svg+xml", true, false),
            ("application/msword", false, true),
            ("application/epub+zip", false, true),
            ("application/vnd.unheard-of", false, false),
            ("application/pdf", false, false),
            ("image/png", false, false),
            ("tex", false, false),
            ("", false, false),
        ] {
            let found = (
                is_text_media_type(media_type),
                is_office_media_type(media_type),
            );
            assert_eq!(found, (is_text, is_office), "{media_type}");
        }
        for name in SAME.iter().copied().flatten() {
            assert_eq!(known_media_type(name), Some(*name), "{name}");
        }
    }

    #[test]
    fn a_file_is_recognised_by_its_first_bytes_and_text_is_not_mistaken_for_an_image() {
        for (bytes, expected) in [
            (
                &b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01"[..],
                Some("image/jpeg"),
            ),
            (b"GIF89a\x01\0\x01\0\0\0\0", Some("image/gif")),
            (b"RIFF\x24\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\x24\0\0\0WAVEfmt ", Some("audio/wav")),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", Some("image/heic")),
            (b"\0\0\0\x18ftyphevx\0\0\0\0msf1hevx", Some("image/heic")),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", Some("image/heif")),
            (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc", Some("image/heif")),
            (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", Some("image/avif")),
            (
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0",
                Some("application/x-ole-storage"),
            ),
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
