//! A form with one streamed file, framed here so that its length is exact.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use lmbatch_core::ByteStream;

/// Cannot occur in JSON Lines: a line begins with `{`, and a line break inside a string is escaped.
const BOUNDARY: &str = "lmbatch-4c1f0a7be93d2865-boundary";

/// Fields, then one file.
pub struct Multipart {
    /// Names and values of the fields.
    pub fields: Vec<(String, String)>,
    /// The name of the field that holds the file, such as `file`.
    pub file_field: &'static str,
    /// The file's name.
    pub file_name: String,
    /// The file's type.
    pub content_type: &'static str,
    /// The file's bytes, counted.
    pub len: u64,
    /// The file's bytes.
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

    /// The whole body with its exact length.
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
