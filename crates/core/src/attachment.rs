//! Pictures, documents, sounds and films.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What an attachment is.
///
/// ```
/// use lmbatch_core::AttachmentKind;
/// assert_eq!(AttachmentKind::of_mime_type("audio/wav"), AttachmentKind::Audio);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentKind {
    /// A picture.
    Image,
    /// A text or document, such as a PDF.
    Document,
    /// A sound.
    Audio,
    /// A film.
    Video,
}

impl AttachmentKind {
    /// The kind as one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// What a media type is; a document if it is none of the others.
    pub fn of_mime_type(mime_type: &str) -> Self {
        match mime_type.split('/').next() {
            Some("image") => Self::Image,
            Some("audio") => Self::Audio,
            Some("video") => Self::Video,
            _ => Self::Document,
        }
    }
}

/// Where an attachment's bytes are.
///
/// ```
/// use lmbatch_core::{Attachment, AttachmentSource};
/// let report = Attachment::from_url("https://example.com/report.pdf")?;
/// assert!(matches!(report.source, AttachmentSource::Url(_)));
/// # Ok::<(), lmbatch_core::AttachmentError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttachmentSource {
    /// Here.
    Bytes(#[serde(with = "in_base64")] Bytes),
    /// In a file of this machine, read when the request is encoded.
    Path(PathBuf),
    /// Where the provider may fetch it. We never do.
    Url(String),
    /// At the provider, under its file id.
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

/// A picture, document, sound or film of a message.
///
/// ```
/// use lmbatch_core::{Attachment, AttachmentKind, LMInput, Message};
/// let photo = Attachment::from_path("photos/cat.png");
/// assert_eq!(photo.kind, AttachmentKind::Image);
/// let input = LMInput::from(Message::user(["What is this?".into(), photo.into()]));
/// assert_eq!(input.messages[0].contents.len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Which.
    pub kind: AttachmentKind,
    /// Where its bytes are.
    pub source: AttachmentSource,
    /// Its media type, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Its name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

impl Attachment {
    /// Bytes; what they are is read off their beginning.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let mime_type = crate::media_type_of(&bytes).unwrap_or("application/octet-stream");
        Self::new(AttachmentSource::Bytes(bytes), Some(mime_type))
    }

    /// A file of this machine; what it is is read off its name. Any path is taken: a program that attaches
    /// what others name checks the path itself. The file is read when the request is encoded, and must be
    /// a regular file of no more bytes than the provider takes in a request.
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let mime_type = mime_guess::from_path(&path).first_raw();
        let filename = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        Self {
            filename,
            ..Self::new(AttachmentSource::Path(path), mime_type)
        }
    }

    /// A URL that the provider may fetch, or a data URL.
    pub fn from_url(url: impl Into<String>) -> Result<Self, AttachmentError> {
        let url = url.into();
        if url.starts_with("data:") {
            return Self::from_data_url(&url);
        }
        let mime_type = mime_guess::from_path(url_path(&url)).first_raw();
        Ok(Self::new(AttachmentSource::Url(url), mime_type))
    }

    /// A `data:TYPE;base64,…` URL.
    pub fn from_data_url(url: &str) -> Result<Self, AttachmentError> {
        let (mime_type, data) = split_data_url(url).ok_or(AttachmentError::DataUrl)?;
        Self::from_base64(data, mime_type)
    }

    /// Base64 of a known type. Another name of a type, such as `image/jpg`, becomes the usual one.
    pub fn from_base64(data: &str, mime_type: &str) -> Result<Self, AttachmentError> {
        let mime_type = crate::known_media_type(mime_type).unwrap_or(mime_type);
        let bytes = STANDARD.decode(data).map_err(|_| AttachmentError::Base64)?;
        Ok(Self::new(
            AttachmentSource::Bytes(bytes.into()),
            Some(mime_type),
        ))
    }

    /// A file that the provider already has.
    pub fn from_file_id(id: impl Into<String>, kind: AttachmentKind) -> Self {
        Self {
            kind,
            ..Self::new(AttachmentSource::File(id.into()), None)
        }
    }

    /// Says what it is.
    pub fn with_kind(mut self, kind: AttachmentKind) -> Self {
        self.kind = kind;
        self
    }
    /// Says its media type.
    pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.mime_type = Some(mime_type.into());
        self
    }
    /// Says its name.
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

/// The path of a URL: the end of a host's name, such as `.com`, says nothing about a file.
fn url_path(url: &str) -> &str {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let rest = match url[..end].split_once("://") {
        Some((_, rest)) => rest,
        None => &url[..end],
    };
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// The media type and the data of a `data:TYPE;base64,…` URL.
pub fn split_data_url(url: &str) -> Option<(&str, &str)> {
    let (head, data) = url.strip_prefix("data:")?.split_once(',')?;
    let mime_type = head.strip_suffix(";base64")?.split(';').next()?;
    (!mime_type.is_empty()).then_some((mime_type, data))
}

/// Why something is no attachment.
///
/// ```
/// use lmbatch_core::{Attachment, AttachmentError};
/// assert_eq!(Attachment::from_url("data:nonsense").unwrap_err(), AttachmentError::DataUrl);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// Not a data URL.
    #[error("not a data URL of the form data:TYPE;base64,DATA")]
    DataUrl,
    /// Not base64.
    #[error("the data is not valid base64")]
    Base64,
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
    fn a_data_url_has_a_type_and_base64() {
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
            ("data:;base64,abc=", Err(AttachmentError::DataUrl)),
            ("data:image/png;base64,%%%", Err(AttachmentError::Base64)),
        ] {
            assert_eq!(Attachment::from_url(url).map(|a| a.kind), expected, "{url}");
        }
    }

    #[test]
    fn what_an_attachment_is_comes_from_its_bytes_or_its_name() {
        let png = Attachment::from_bytes(&b"\x89PNG\r\n\x1a\n0000"[..]);
        assert_eq!(
            (png.kind, png.mime_type.as_deref()),
            (AttachmentKind::Image, Some("image/png"))
        );
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
