//! Media types of attachments: from the bytes first, then from the caller's declaration, then from the file
//! name.

use std::borrow::Cow;
use std::path::Path;

use crate::adapter::media::{OLE_TYPE, is_ole_media_type};
use crate::{
    AttachmentKind, AttachmentView, RequestError, SourceView, Text, is_data_url,
    is_office_media_type, is_same_format, is_text, is_text_media_type, known_media_type,
    media_type_of, split_data_url,
};

/// Number of base64 characters that is more than enough to recognise a file; a multiple of four.
const HEAD: usize = 12 << 10;

/// Smallest number of bytes for which an unrecognised file is refused: no header of a known format is longer.
const MIN_REFUSED: usize = 12;

/// Container formats that hold either audio or video.
const CONTAINERS: [&str; 8] = [
    "video/mp4",
    "video/x-m4v",
    "video/3gpp",
    "video/quicktime",
    "video/webm",
    "video/x-matroska",
    "video/x-ms-wmv",
    "audio/ogg",
];

/// Formats that are always recognised by their first bytes.
const RECOGNISED: [&str; 10] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/heic",
    "image/heif",
    "image/avif",
    "image/bmp",
    "image/tiff",
    "application/pdf",
];

impl<'a> AttachmentView<'a> {
    /// Returns the attachment as an adapter sends it. Bytes always have a media type: the one that the bytes
    /// show; otherwise the one that the caller declared; otherwise, for text, office documents, audio and
    /// video, the one of the file name `name`. Media types have their registered names. A data URL becomes
    /// bytes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for 0 bytes, for bytes that do not have
    /// the declared type, for bytes of unknown type, and for a URL that is neither `http` nor `https`,
    /// because no provider documents support for another scheme.
    pub fn resolve(&self, name: Option<&Path>) -> Result<AttachmentView<'_>, RequestError> {
        let refuse = |why: &str| RequestError::invalid_input(format!("{} {why}", self.name(name)));
        let mut view = AttachmentView {
            kind: self.kind,
            source: borrowed(&self.source),
            mime_type: self.mime_type.filter(|written| is_specific(*written)),
            filename: self.filename,
        };
        if let SourceView::Url(url) = &self.source
            && is_data_url(&url.decode())
        {
            view.open_data_url(*url).map_err(|why| refuse(&why))?;
        }
        if let SourceView::Url(url) = &view.source {
            check_url(&url.decode()).map_err(|why| refuse(&why))?;
        }
        let declared = view.mime_type.map(Text::decode);
        let known = declared.as_deref().and_then(known_media_type);
        if let Some(known) = known {
            view.mime_type = Some(Text::Plain(known));
        }
        if matches!(view.source, SourceView::Path(_)) {
            return Err(refuse("has not been read from its file"));
        }
        let Some(head) = view.source.head() else {
            return Ok(view);
        };
        if head.is_empty() {
            return Err(refuse("is empty (0 bytes)"));
        }
        let guess = match (name, self.filename) {
            (Some(name), _) => mime_guess::from_path(name).first_raw(),
            (None, Some(name)) => mime_guess::from_path(&*name.decode()).first_raw(),
            (None, None) => None,
        };
        let hints = Hints {
            kind: self.kind,
            declared: known.or(declared.as_deref()),
            guess: guess.and_then(known_media_type),
        };
        let chosen = hints.media_type(&head).map_err(|why| refuse(&why))?;
        drop(head);
        if let Chosen::Known(media_type) = chosen {
            if hints.declared.is_none() && self.kind == AttachmentKind::Document {
                view.kind = AttachmentKind::of_mime_type(media_type);
            }
            view.mime_type = Some(Text::Plain(media_type));
        }
        Ok(view)
    }

    /// Returns a sentence that states how the declared media type and the type of the resolved attachment
    /// differ; `None` where both are one format.
    pub fn disagreement(
        &self,
        resolved: &AttachmentView<'_>,
        name: Option<&Path>,
    ) -> Option<String> {
        let written = self.mime_type.filter(|written| is_specific(*written))?;
        let written = written.decode();
        let sent = resolved.mime_type?.decode();
        let declared = known_media_type(&written).unwrap_or(&written);
        if is_same_format(declared, &sent) || (is_text_media_type(declared) && sent == "text/plain")
        {
            return None;
        }
        Some(format!(
            "{} is declared as {written}, and its bytes are {sent}; it is sent as {sent}",
            self.name(name)
        ))
    }

    fn open_data_url(&mut self, url: Text<'_>) -> Result<(), String> {
        let url = url.decode();
        let (written, data) = split_data_url(&url)
            .ok_or("is a data URL, and not of the form data:TYPE;base64,DATA")?;
        let bytes = crate::user::attachment::decode_base64(data).ok_or("is not valid base64")?;
        if is_specific(Text::Plain(written)) {
            let known = known_media_type(written);
            self.mime_type = match known {
                Some(known) => Some(Text::Plain(known)),
                None if is_text_media_type(written) => Some(Text::Plain("text/plain")),
                None => return Err(no_media_type(written)),
            };
        }
        self.source = SourceView::Bytes(Cow::Owned(bytes));
        Ok(())
    }

    fn name(&self, path: Option<&Path>) -> String {
        match (path, &self.source, self.filename) {
            (Some(path), _, _) => format!("the attachment {}", path.display()),
            (None, SourceView::Path(path), _) => format!("the attachment {}", path.display()),
            (None, _, Some(name)) => format!("the attachment {}", name.decode()),
            (None, _, None) => format!("the {}", self.kind.as_str()),
        }
    }
}

impl SourceView<'_> {
    /// Returns the first bytes, enough to recognise a file; `None` where the source holds no bytes.
    pub fn head(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Bytes(bytes) => Some(Cow::Borrowed(&bytes[..bytes.len().min(HEAD / 4 * 3)])),
            Self::Base64(text) => Some(Cow::Owned(decoded_head(*text))),
            _ => None,
        }
    }
}

/// Refuses a URL that no provider fetches, such as the URL of a local file.
fn check_url(url: &str) -> Result<(), String> {
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    let is_web = ["http", "https"]
        .iter()
        .any(|web| scheme.eq_ignore_ascii_case(web));
    let host = rest.strip_prefix("//").unwrap_or_default();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    if is_web && !host.is_empty() {
        return Ok(());
    }
    if is_web {
        return Err("has a URL without a host".to_owned());
    }
    Err(format!(
        "has a URL that begins with \"{scheme}:\"; only http:// and https:// URLs can be sent, or its bytes"
    ))
}

fn no_media_type(written: &str) -> String {
    format!("is declared as {written:?}, which is not a supported media type")
}

fn borrowed<'b>(source: &'b SourceView<'_>) -> SourceView<'b> {
    match source {
        SourceView::Bytes(bytes) => SourceView::Bytes(Cow::Borrowed(bytes)),
        SourceView::Base64(text) => SourceView::Base64(*text),
        SourceView::Path(path) => SourceView::Path(Cow::Borrowed(path)),
        SourceView::Url(url) => SourceView::Url(*url),
        SourceView::File(id) => SourceView::File(*id),
    }
}

/// Returns whether a declared media type is more specific than "any bytes".
fn is_specific(written: Text<'_>) -> bool {
    let written = written.decode();
    let essence = written.split(';').next().unwrap_or_default().trim();
    let nothing = [
        "",
        "application/octet-stream",
        "binary/octet-stream",
        "application/x-binary",
        "*/*",
    ];
    !nothing
        .iter()
        .any(|name| essence.eq_ignore_ascii_case(name))
}

/// Returns the first bytes of base64; empty where it cannot be decoded.
fn decoded_head(text: Text<'_>) -> Vec<u8> {
    let text = text.decode();
    let head = text.get(..HEAD).unwrap_or(&text);
    SourceView::Base64(Text::Plain(head))
        .decode_base64()
        .unwrap_or_default()
}

/// Everything that is known of an attachment besides its bytes.
struct Hints<'t> {
    kind: AttachmentKind,
    declared: Option<&'t str>,
    guess: Option<&'static str>,
}

/// Media type to send.
enum Chosen {
    Known(&'static str),
    AsDeclared,
}

impl Hints<'_> {
    fn media_type(&self, head: &[u8]) -> Result<Chosen, String> {
        let Some(found) = media_type_of(head) else {
            return self.unrecognised(head);
        };
        let of_kind = AttachmentKind::of_mime_type(found) == self.kind;
        let same = |declared: &str| is_same_format(declared, found);
        if self.declared.is_some_and(same) {
            return Ok(Chosen::AsDeclared);
        }
        if self.kind == AttachmentKind::Document {
            return match (self.declared.or(self.guess), found) {
                // Office documents are archives, or OLE containers of the older kind.
                (Some(said), "application/zip") if is_office_media_type(said) => {
                    Ok(self.chosen(said))
                }
                (Some(said), OLE_TYPE) if known_media_type(said).is_some_and(is_ole_media_type) => {
                    Ok(self.chosen(said))
                }
                (_, found) if of_kind || self.declared.is_none() => Ok(Chosen::Known(found)),
                _ => Err(self.mismatch(found)),
            };
        }
        if of_kind {
            return Ok(Chosen::Known(found));
        }
        let is_recorded = matches!(self.kind, AttachmentKind::Audio | AttachmentKind::Video);
        if is_recorded && CONTAINERS.contains(&found) {
            let said = self.declared.or(self.guess);
            let said = said.filter(|said| AttachmentKind::of_mime_type(said) == self.kind);
            return match (said, self.kind, found) {
                (Some(said), _, _) => Ok(self.chosen(said)),
                (None, AttachmentKind::Audio, "video/webm") => Ok(Chosen::Known("audio/webm")),
                (None, AttachmentKind::Audio, "video/mp4" | "video/x-m4v") => {
                    Ok(Chosen::Known("audio/mp4"))
                }
                _ => Err(self.mismatch(found)),
            };
        }
        Err(self.mismatch(found))
    }

    fn unrecognised(&self, head: &[u8]) -> Result<Chosen, String> {
        let is_text = is_text(head);
        let found = if is_text {
            "text"
        } else {
            "of no known format"
        };
        if self.kind == AttachmentKind::Document && is_text {
            return match (self.declared, self.guess) {
                (Some(said), _) if is_text_media_type(said) => Ok(self.chosen(said)),
                (Some(_), _) if head.len() < MIN_REFUSED => Ok(Chosen::AsDeclared),
                (Some(_), _) => Err(self.mismatch(found)),
                (None, Some(said)) if is_text_media_type(said) => Ok(Chosen::Known(said)),
                (None, Some(said)) if said == "application/pdf" || is_office_media_type(said) => {
                    Err(format!(
                        "has a file name of type {said}, and its bytes are text"
                    ))
                }
                // Markup of Rich Text Format, which not every provider reads.
                (None, _) if head.starts_with(b"{\\rtf") => Ok(Chosen::Known("application/rtf")),
                (None, _) => Ok(Chosen::Known("text/plain")),
            };
        }
        let is_recorded = matches!(self.kind, AttachmentKind::Audio | AttachmentKind::Video);
        let of_kind = |said: &&'static str| AttachmentKind::of_mime_type(said) == self.kind;
        match (self.declared, self.guess.filter(of_kind)) {
            (Some(_), _) if head.len() < MIN_REFUSED => Ok(Chosen::AsDeclared),
            // Some audio formats have no header.
            (Some(said), _)
                if !is_text && !RECOGNISED.contains(&said) && !is_text_media_type(said) =>
            {
                Ok(Chosen::AsDeclared)
            }
            (Some(said), _) if is_text && said == "image/svg+xml" => Ok(Chosen::AsDeclared),
            (None, Some(said)) if is_recorded && !is_text => Ok(Chosen::Known(said)),
            _ => Err(self.mismatch(found)),
        }
    }

    fn chosen(&self, said: &str) -> Chosen {
        known_media_type(said).map_or(Chosen::AsDeclared, Chosen::Known)
    }

    fn mismatch(&self, found: &str) -> String {
        match self.declared {
            Some(said) if AttachmentKind::of_mime_type(said) == self.kind => {
                format!("is declared as {said}, and its bytes are {found}")
            }
            Some(said) => format!(
                "is attached as {} and declared as {said}, and its bytes are {found}",
                self.kind.as_str()
            ),
            None if found.contains('/') => {
                let kind = AttachmentKind::of_mime_type(found).as_str();
                format!(
                    "is attached as {}, and its bytes are {found}; attach it as {kind}",
                    self.kind.as_str()
                )
            }
            None if self.kind == AttachmentKind::Document => {
                format!("is neither a PDF nor UTF-8 text: its bytes are {found}")
            }
            None => format!(
                "is not a recognised {} file: its bytes are {found}; declare its media type",
                self.kind.as_str()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01";
    const HEIF: &[u8] = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic";
    const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";
    const PDF: &[u8] = b"%PDF-1.7\n%\xe2\xe3";
    const FLAC: &[u8] = b"fLaC\0\0\0\x22\x10\0\x10\0";
    const MP4: &[u8] = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom";
    const ZIP: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0";
    const OLE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0\0\0\0\0";
    const XLS: &str = "application/vnd.ms-excel";
    const PPT: &str = "application/vnd.ms-powerpoint";
    const DOC: &str = "application/msword";
    const RTF: &[u8] = b"{\\rtf1\\ansi Hello.}";
    const NOISE: &[u8] = b"\x01\x02\xff\xfe\xc3\x28\0\0\0\0\0\0\0\0";
    const WORDS: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    fn resolved(
        kind: AttachmentKind,
        bytes: &[u8],
        declared: &str,
        name: &str,
    ) -> Result<String, String> {
        let view = AttachmentView {
            kind,
            source: SourceView::Bytes(Cow::Borrowed(bytes)),
            mime_type: Some(Text::Plain(declared)),
            filename: (!name.is_empty()).then_some(Text::Plain(name)),
        };
        match view.resolve(None) {
            Ok(found) => {
                let media_type = found.mime_type.unwrap().decode().into_owned();
                let again = found.resolve(None).unwrap();
                assert_eq!(again.mime_type.unwrap().decode(), media_type, "twice");
                Ok(media_type)
            }
            Err(error) => Err(error.message().unwrap().to_owned()),
        }
    }

    #[test]
    fn only_http_and_https_urls_are_sent() {
        for (url, refused) in [
            ("https://x.test/a.png", None),
            ("HTTP://x.test", None),
            ("http://[::1]:80/a", None),
            ("file:///etc/passwd", Some("\"file:\"")),
            ("javascript:1", Some("\"javascript:\"")),
            ("gs://bucket/a.png", Some("\"gs:\"")),
            ("ftp://x.test/a", Some("\"ftp:\"")),
            ("https:a.png", Some("without a host")),
            ("https:///a.png", Some("without a host")),
            ("a.png", Some("only http://")),
            ("", Some("only http://")),
        ] {
            for kind in [AttachmentKind::Image, AttachmentKind::Document] {
                let view = AttachmentView {
                    kind,
                    source: SourceView::Url(Text::Plain(url)),
                    mime_type: None,
                    filename: None,
                };
                let error = view.resolve(None).err();
                let message = error.as_ref().and_then(RequestError::message);
                match refused {
                    None => assert_eq!(message, None, "{url}"),
                    Some(named) => assert!(message.unwrap().contains(named), "{url}: {message:?}"),
                }
            }
        }
    }

    #[test]
    fn media_types_come_from_the_bytes_then_the_declaration_then_the_name_and_never_from_a_default()
    {
        use AttachmentKind::{Audio, Document, Image, Video};
        for (kind, bytes, declared, name, expected) in [
            (Image, PNG, "", "p.jpg", Ok("image/png")),
            (Image, PNG, "image/jpeg", "", Ok("image/png")),
            (Image, JPEG, "image/jpg", "", Ok("image/jpeg")),
            (Image, HEIC, "image/heic", "", Ok("image/heic")),
            (Image, HEIC, "image/heif", "", Ok("image/heic")),
            (Image, HEIC, "image/png", "", Ok("image/heic")),
            (Image, HEIF, "image/heic", "", Ok("image/heif")),
            (Image, HEIF, "image/heif", "", Ok("image/heif")),
            (Image, HEIF, "", "a.heic", Ok("image/heif")),
            (Image, PNG, "application/octet-stream", "", Ok("image/png")),
            (Image, NOISE, "image/png", "", Err("declared as image/png")),
            (Image, NOISE, "", "a.png", Err("of no known format")),
            (Image, WORDS, "", "a.png", Err("its bytes are text")),
            (Image, PDF, "image/png", "", Err("application/pdf")),
            (Image, PDF, "", "a.png", Err("attach it as document")),
            (Image, b"", "image/png", "", Err("0 bytes")),
            (Image, b"ABC", "image/webp", "", Ok("image/webp")),
            (Document, b"", "", "a.txt", Err("0 bytes")),
            (Document, PNG, "", "a.pdf", Ok("image/png")),
            (Document, PNG, "application/pdf", "", Err("image/png")),
            (Document, PDF, "text/plain", "a.txt", Ok("application/pdf")),
            (Document, OLE, XLS, "", Ok(XLS)),
            (Document, OLE, PPT, "a.doc", Ok(PPT)),
            (Document, OLE, "", "a.xls", Ok(XLS)),
            (Document, OLE, "", "a.ppt", Ok(PPT)),
            (Document, OLE, "application/octet-stream", "a.doc", Ok(DOC)),
            (Document, OLE, "", "", Ok("application/x-ole-storage")),
            (Document, OLE, DOCX, "", Ok("application/x-ole-storage")),
            (Document, ZIP, DOCX, "", Ok(DOCX)),
            (Document, ZIP, "", "a.docx", Ok(DOCX)),
            (Document, ZIP, "application/pdf", "", Ok("application/zip")),
            (
                Document,
                NOISE,
                "application/octet-stream",
                "a.pdf",
                Err("of no known format"),
            ),
            (Document, NOISE, "text/plain", "", Err("of no known format")),
            (
                Document,
                WORDS,
                "application/pdf",
                "",
                Err("its bytes are text"),
            ),
            (Document, WORDS, "", "a.csv", Ok("text/csv")),
            (Document, WORDS, "", "a.pdf", Err("its bytes are text")),
            (Document, WORDS, "text/x-new", "", Ok("text/x-new")),
            (Document, RTF, "", "", Ok("application/rtf")),
            (Document, RTF, "", "a.rtf", Ok("application/rtf")),
            (Document, RTF, "text/rtf", "", Ok("text/rtf")),
            (Document, RTF, "text/plain", "", Ok("text/plain")),
            (Audio, FLAC, "audio/mpeg", "", Ok("audio/flac")),
            (Audio, FLAC, "", "a.mp3", Ok("audio/flac")),
            (Audio, NOISE, "audio/mp3", "", Ok("audio/mp3")),
            (Audio, NOISE, "", "a.mp3", Ok("audio/mpeg")),
            (Audio, NOISE, "", "", Err("declare its media type")),
            (Audio, MP4, "", "", Ok("audio/mp4")),
            (Audio, MP4, "audio/m4a", "", Ok("audio/m4a")),
            (Audio, WORDS, "audio/wav", "", Err("its bytes are text")),
            (Audio, PNG, "audio/wav", "", Err("its bytes are image/png")),
            (Video, MP4, "video/webm", "", Ok("video/mp4")),
            (Video, FLAC, "video/mp4", "", Err("audio/flac")),
        ] {
            let found = resolved(kind, bytes, declared, name);
            let fits = match expected {
                Ok(media_type) => found.as_deref() == Ok(media_type),
                Err(words) => found.as_ref().is_err_and(|why| why.contains(words)),
            };
            assert!(
                fits,
                "{kind:?} {declared} {name}: {found:?}, not {expected:?}"
            );
        }
    }

    #[test]
    fn a_data_url_is_resolved_to_its_bytes() {
        for (url, expected) in [
            (
                "data:image/jpg;base64,/9j/4AAQSkZJRgABAQ==",
                Ok("image/jpeg"),
            ),
            ("data:;base64,iVBORw0KGgo=", Ok("image/png")),
            ("DATA:image/heic;base64,iVBORw0KGgo=", Ok("image/png")),
            ("data:image/png;base64,", Err("0 bytes")),
            (
                "data:image/photo;base64,iVBORw0KGgo=",
                Err("\"image/photo\""),
            ),
            ("data:image/png,abc", Err("not of the form")),
            ("data:image/png;base64,%%%", Err("not valid base64")),
        ] {
            let view = AttachmentView {
                kind: AttachmentKind::Image,
                source: SourceView::Url(Text::Plain(url)),
                mime_type: None,
                filename: None,
            };
            let found = view
                .resolve(None)
                .map_err(|error| error.message().unwrap().to_owned());
            match (found, expected) {
                (Ok(found), Ok(media_type)) => {
                    assert!(matches!(found.source, SourceView::Bytes(_)));
                    assert_eq!(found.mime_type.unwrap().decode(), media_type, "{url}");
                }
                (Err(why), Err(words)) => assert!(why.contains(words), "{url}: {why}"),
                (found, _) => panic!("{url}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_declared_type_that_differs_from_the_bytes_is_reported() {
        for (bytes, declared, expected) in [
            (
                PNG,
                "image/jpeg",
                Some("declared as image/jpeg, and its bytes are image/png"),
            ),
            (PNG, "image/png", None),
            (PNG, "IMAGE/X-PNG", None),
            (PNG, "", None),
            (PNG, "application/octet-stream", None),
            (JPEG, "image/jpg", None),
            (HEIC, "image/heic", None),
            (HEIC, "image/png", Some("sent as image/heic")),
            (HEIC, "image/heif", Some("sent as image/heic")),
        ] {
            let view = AttachmentView {
                kind: AttachmentKind::Image,
                source: SourceView::Bytes(Cow::Borrowed(bytes)),
                mime_type: Some(Text::Plain(declared)),
                filename: None,
            };
            let found = view.disagreement(&view.resolve(None).unwrap(), None);
            assert_eq!(found.is_some(), expected.is_some(), "{declared}: {found:?}");
            assert!(
                found
                    .unwrap_or_default()
                    .contains(expected.unwrap_or_default())
            );
        }
    }
}
