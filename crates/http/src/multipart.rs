//! Multipart form with one streamed file and a known length.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use lmbatch_core::ByteStream;

/// Boundary of the form. It cannot occur in JSON Lines: a line begins with `{`, and line breaks in strings are
/// escaped.
const BOUNDARY: &str = "lmbatch-4c1f0a7be93d2865-boundary";

/// Multipart form with text fields, followed by one streamed file.
pub struct Multipart {
    /// Names and values of the text fields, in order.
    pub fields: Vec<(String, String)>,
    /// Name of the form field that holds the file, such as `file`.
    pub file_field: &'static str,
    /// File name that the provider is given.
    pub file_name: String,
    /// Media type of the file.
    pub content_type: &'static str,
    /// Length of the file in bytes.
    pub len: u64,
    /// Content of the file, exactly `len` bytes.
    pub body: ByteStream,
}

impl std::fmt::Debug for Multipart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multipart")
            .field("file_name", &self.file_name)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Multipart {
    pub(crate) fn content_type() -> String {
        format!("multipart/form-data; boundary={BOUNDARY}")
    }

    /// Returns the whole body with its length in bytes.
    pub(crate) fn into_body(self) -> (u64, ByteStream) {
        let mut head = String::new();
        for (name, value) in &self.fields {
            head.push_str(&format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n{value}\r\n",
                quoted(name)
            ));
        }
        head.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
            quoted(self.file_field),
            quoted(&self.file_name),
            self.content_type
        ));
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let len = head.len() as u64 + self.len + tail.len() as u64;
        let edge = |text: String| stream::iter([Ok(Bytes::from(text))]);
        (len, edge(head).chain(self.body).chain(edge(tail)).boxed())
    }
}

fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace(['\r', '\n'], " ")
}
