//! Attachments of messages: images, documents, audio and video.

use std::fmt;
use std::path::PathBuf;

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine as _};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Kind of an attachment, as providers distinguish them.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::AttachmentKind;
/// assert_eq!(AttachmentKind::of_mime_type("audio/wav"), AttachmentKind::Audio);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentKind {
    /// An image, such as PNG or JPEG.
    Image,
    /// A document or plain text, such as a PDF.
    Document,
    /// A recording of sound, such as WAV or MP3.
    Audio,
    /// A video, such as MP4.
    Video,
}

impl AttachmentKind {
    /// Returns the kind as one lowercase word, as JSON holds it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// Returns the kind of a media type, such as `image/png`; [`Document`](Self::Document) for every type
    /// that is not `image/…`, `audio/…` or `video/…`.
    pub fn of_mime_type(mime_type: &str) -> Self {
        match mime_type.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::Document,
        }
    }
}

/// Source of an attachment's bytes.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Attachment, AttachmentSource};
/// let report = Attachment::from_url("https://example.com/report.pdf")?;
/// assert!(matches!(report.source, AttachmentSource::Url(_)));
/// # Ok::<(), lmbatch::AttachmentError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentSource {
    /// The bytes themselves, in memory; base64 in JSON.
    Bytes(#[serde(with = "in_base64")] Bytes),
    /// Path of a file on this machine, read when the request is encoded.
    Path(PathBuf),
    /// URL that the provider fetches. lmbatch never fetches it.
    Url(String),
    /// Id of a file that was uploaded to the provider before.
    File(String),
}

impl fmt::Debug for AttachmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} B)", bytes.len()),
            Self::Path(_) => f.write_str("Path"),
            Self::Url(_) => f.write_str("Url"),
            Self::File(_) => f.write_str("File"),
        }
    }
}

/// An image, document, audio or video in a message.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Attachment, AttachmentKind, LMInput, Message};
/// let photo = Attachment::from_path("photos/cat.png");
/// assert_eq!(photo.kind, AttachmentKind::Image);
/// let input = LMInput::from(Message::user(["What is this?".into(), photo.into()]));
/// assert_eq!(input.messages[0].contents.len(), 2);
/// let linked = Attachment::from_url("https://example.com/a.png")?;
/// assert_eq!(
///     serde_json::to_string(&linked)?,
///     r#"{"kind":"image","source":{"url":"https://example.com/a.png"},"mime_type":"image/png"}"#
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Kind of the attachment.
    pub kind: AttachmentKind,
    /// Source of the attachment's bytes.
    pub source: AttachmentSource,
    /// Media type, such as `image/png`; `None` where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// File name that the provider is given; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

impl Attachment {
    /// Attaches bytes. The media type is recognised from the first bytes. Bytes that are neither of a known
    /// format nor text have no media type until [`with_mime_type`](Self::with_mime_type) sets it.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mime_type = crate::media_type_of(&bytes).or_else(|| {
            let head = &bytes[..bytes.len().min(8 << 10)];
            (!bytes.is_empty() && crate::is_text(head)).then_some("text/plain")
        });
        Self::new(AttachmentSource::Bytes(bytes), mime_type)
    }

    /// Attaches a file of this machine. The kind comes from the file name, and the media type from the bytes
    /// when the request is encoded.
    ///
    /// The path is not checked: a program that takes paths from others must check them itself. The file must
    /// be a regular file, no larger than the largest request that the provider accepts.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let guess = mime_guess::from_path(&path).first_raw();
        let filename = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Self {
            filename,
            kind: guess.map_or(AttachmentKind::Document, AttachmentKind::of_mime_type),
            ..Self::new(AttachmentSource::Path(path), None)
        }
    }

    /// Attaches the file that a URL names, which the provider fetches. Also takes a data URL, or base64 of a
    /// recognised format; their bytes are attached.
    ///
    /// # Errors
    /// [`AttachmentError`] for a data URL or base64 that cannot be decoded, and for any other text.
    pub fn from_url(url: impl Into<String>) -> Result<Self, AttachmentError> {
        let url = url.into();
        if is_data_url(&url) {
            return Self::from_data_url(&url);
        }
        if !has_scheme(&url) {
            let bytes = decode_base64(&url).ok_or(AttachmentError::Url)?;
            crate::media_type_of(&bytes).ok_or(AttachmentError::Url)?;
            return Ok(Self::from_bytes(bytes));
        }
        let mime_type = mime_guess::from_path(url_path(&url)).first_raw();
        Ok(Self::new(AttachmentSource::Url(url), mime_type))
    }

    /// Attaches the bytes of a `data:TYPE;base64,…` URL. Where the URL has no type, it is recognised from the
    /// bytes.
    ///
    /// # Errors
    /// [`AttachmentError`] where the text is not such a URL.
    pub fn from_data_url(url: &str) -> Result<Self, AttachmentError> {
        let (mime_type, data) = split_data_url(url).ok_or(AttachmentError::DataUrl)?;
        if mime_type.is_empty() {
            let bytes = decode_base64(data).ok_or(AttachmentError::Base64)?;
            return Ok(Self::from_bytes(bytes));
        }
        Self::from_base64(data, mime_type)
    }

    /// Attaches bytes given as base64, with their media type. A common alias of a type, such as `image/jpg`,
    /// is replaced by the registered name.
    ///
    /// # Errors
    /// [`AttachmentError::Base64`] where the data cannot be decoded.
    pub fn from_base64(data: &str, mime_type: &str) -> Result<Self, AttachmentError> {
        let mime_type = crate::known_media_type(mime_type).unwrap_or(mime_type);
        let bytes = decode_base64(data).ok_or(AttachmentError::Base64)?;
        Ok(Self::new(
            AttachmentSource::Bytes(bytes.into()),
            Some(mime_type),
        ))
    }

    /// Attaches a file that was uploaded to the provider before.
    pub fn from_file_id(id: impl Into<String>, kind: AttachmentKind) -> Self {
        Self {
            kind,
            ..Self::new(AttachmentSource::File(id.into()), None)
        }
    }

    /// Sets the kind, where it was not recognised.
    pub fn with_kind(mut self, kind: AttachmentKind) -> Self {
        self.kind = kind;
        self
    }
    /// Sets the media type, and the kind to match. Audio stays audio where the type is `video/…`, because a
    /// video container, such as MP4, may hold only sound.
    pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
        let mime_type = mime_type.into();
        let kind =
            AttachmentKind::of_mime_type(crate::known_media_type(&mime_type).unwrap_or(&mime_type));
        if (self.kind, kind) != (AttachmentKind::Audio, AttachmentKind::Video) {
            self.kind = kind;
        }
        self.mime_type = Some(mime_type);
        self
    }
    /// Sets the file name that the provider is given.
    pub fn with_filename(mut self, filename: impl Into<String>) -> Self {
        self.filename = Some(filename.into());
        self
    }

    fn new(source: AttachmentSource, mime_type: Option<&str>) -> Self {
        Self {
            kind: mime_type.map_or(AttachmentKind::Document, AttachmentKind::of_mime_type),
            source,
            mime_type: mime_type.map(str::to_owned),
            filename: None,
        }
    }
}

/// Returns the path of a URL. Host names are left out: an ending such as `.com` is not a file extension.
fn url_path(url: &str) -> &str {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let rest = match url[..end].split_once("://") {
        Some((_, rest)) => rest,
        None => &url[..end],
    };
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// Returns the media type and the base64 text of a `data:TYPE;base64,…` URL, in upper or lower case. The
/// media type is empty where the URL has none; `None` for any other text.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// let parts = lmbatch::split_data_url("data:image/png;base64,aGVsbG8=");
/// assert_eq!(parts, Some(("image/png", "aGVsbG8=")));
/// ```
pub fn split_data_url(url: &str) -> Option<(&str, &str)> {
    if !is_data_url(url) {
        return None;
    }
    let (head, data) = url.trim_start().get(5..)?.split_once(',')?;
    let (parameters, encoding) = head.rsplit_once(';')?;
    if !encoding.trim().eq_ignore_ascii_case("base64") {
        return None;
    }
    Some((parameters.split(';').next()?.trim(), data))
}

/// Returns whether a text begins with `data:`, well-formed or not.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// assert!(lmbatch::is_data_url("data:image/png;base64,aGVsbG8="));
/// assert!(!lmbatch::is_data_url("https://x.test/a.png"));
/// ```
pub fn is_data_url(text: &str) -> bool {
    let start = text.trim_start().as_bytes().get(..5);
    start.is_some_and(|start| start.eq_ignore_ascii_case(b"data:"))
}

/// Returns whether a text begins with a URL scheme, such as `https:`. Base64 never does, because it has no
/// colon.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// assert!(lmbatch::has_scheme("https://x.test/a.png"));
/// assert!(!lmbatch::has_scheme("aGVsbG8="));
/// ```
pub fn has_scheme(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let mut letters = scheme.bytes();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Decodes base64 of the standard or the URL-safe alphabet, with or without padding, line breaks and percent
/// escapes.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    if let Ok(bytes) = STANDARD.decode(text) {
        return Some(bytes);
    }
    let mut plain: String = text.split_ascii_whitespace().collect();
    for (escape, letter) in [("%2B", "+"), ("%2F", "/"), ("%3D", "=")] {
        if plain.contains('%') {
            plain = plain.replace(escape, letter);
            plain = plain.replace(&escape.to_ascii_lowercase(), letter);
        }
    }
    let plain = plain.replace('-', "+").replace('_', "/");
    LENIENT.decode(plain).ok()
}

/// Base64 decoder that accepts missing padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reason why a text could not be read as an attachment.
///
/// ```
/// # use lmbatch_core as lmbatch;
/// use lmbatch::{Attachment, AttachmentError};
/// assert_eq!(Attachment::from_url("data:nonsense").unwrap_err(), AttachmentError::DataUrl);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// The text is not a data URL of the form `data:TYPE;base64,DATA`.
    #[error("not a data URL of the form data:TYPE;base64,DATA")]
    DataUrl,
    /// The data is not valid base64.
    #[error("the data is not valid base64")]
    Base64,
    /// The text is neither a URL nor base64 of a known format.
    #[error("neither a URL, such as https://…, nor base64 of a known format")]
    Url,
}

mod in_base64 {
    use base64::Engine as _;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{Bytes, STANDARD};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_urls_and_bare_base64_are_decoded_or_refused() {
        for (url, expected) in [
            (
                "data:image/png;base64,iVBORw0KGgo=",
                Ok(AttachmentKind::Image),
            ),
            (
                "data:application/pdf;name=a;base64,JVBERi0=",
                Ok(AttachmentKind::Document),
            ),
            ("data:image/png,abc", Err(AttachmentError::DataUrl)),
            (
                "DATA:image/PNG;BASE64,iVBORw0KGgo=",
                Ok(AttachmentKind::Image),
            ),
            (
                "data:image/png;base64,iVBORw0K\nGgo",
                Ok(AttachmentKind::Image),
            ),
            (
                "data:image/png;base64,iVBORw0KGgo%3D",
                Ok(AttachmentKind::Image),
            ),
            ("data:;base64,iVBORw0KGgo=", Ok(AttachmentKind::Image)),
            ("data:;base64,//8=", Ok(AttachmentKind::Document)),
            ("data:text/plain,hello", Err(AttachmentError::DataUrl)),
            ("iVBORw0KGgo=", Ok(AttachmentKind::Image)),
            ("JVBERi0xLjQK", Ok(AttachmentKind::Document)),
            ("a.png", Err(AttachmentError::Url)),
            ("AAAA", Err(AttachmentError::Url)),
            ("", Err(AttachmentError::Url)),
            ("data:image/png;base64,%%%", Err(AttachmentError::Base64)),
        ] {
            assert_eq!(Attachment::from_url(url).map(|a| a.kind), expected, "{url}");
        }
    }

    #[test]
    fn kind_and_media_type_come_from_the_bytes_or_the_name() {
        let png = Attachment::from_bytes(&b"\x89PNG\r\n\x1a\n0000"[..]);
        assert_eq!(
            (png.kind, png.mime_type.as_deref()),
            (AttachmentKind::Image, Some("image/png"))
        );
        for (bytes, expected) in [
            (&b"a,b\n1,2\n"[..], Some("text/plain")),
            (b"\x00\x01", None),
            (b"", None),
        ] {
            let attachment = Attachment::from_bytes(bytes);
            assert_eq!(attachment.mime_type.as_deref(), expected);
            let svg = attachment.with_mime_type("image/svg+xml");
            assert_eq!(svg.kind, AttachmentKind::Image);
        }
        let pdf = Attachment::from_path("folder/a.pdf");
        assert_eq!(
            (pdf.kind, pdf.filename.as_deref()),
            (AttachmentKind::Document, Some("a.pdf"))
        );
        let url = Attachment::from_url("https://x.test/a.jpg?v=1").unwrap();
        assert_eq!(url.kind, AttachmentKind::Image);
        assert!(!format!("{png:?}").contains("PNG\\r"));
        for (url, expected) in [
            ("https://example.com", None),
            ("https://example.com/", None),
            ("https://x.ai?name=a.png", None),
            ("https://h.mov/a", None),
            ("https://h.test/b/a.PDF#x", Some("application/pdf")),
        ] {
            let mime_type = Attachment::from_url(url).unwrap().mime_type;
            assert_eq!(mime_type.as_deref(), expected, "{url}");
        }
        let json = serde_json::to_string(&png).unwrap();
        assert_eq!(serde_json::from_str::<Attachment>(&json).unwrap(), png);
    }
}
