//! Responses with status 200 whose body is damaged in a way that the framing does not show.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::response::Parts;
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gzip;

/// Damage to the body of a response. The announced length is that of the damaged body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// An empty body of zero bytes.
    Empty,
    /// A single blank line.
    Blank,
    /// First half of the body, with the `Content-Length` of that half.
    Half,
    /// First half of the body, in chunks that are ended properly.
    HalfChunked,
    /// First half of the body, followed by the HTML page of a proxy.
    HalfThenPage,
    /// Rows with the ids of requests in another batch.
    OtherRows,
    /// The body without the row in the middle.
    DroppedRow,
    /// Plain text instead of the body.
    PlainText,
    /// An HTML page instead of the body.
    Page,
    /// An HTML page after a byte order mark.
    PageAfterMark,
    /// `{"detail": …}`, as FastAPI answers.
    Detail,
    /// `{"message": …}`, as AWS gateways answer.
    Message,
    /// `{"code": …}`, as many gateways answer.
    Code,
    /// `{"error": …}`, OpenAI's and Google's error object.
    Error,
    /// `{"type": "error", …}`, Anthropic's error object.
    TypedError,
    /// The JSON value `null`.
    Null,
    /// An empty JSON list.
    List,
    /// The body compressed, with `Content-Encoding: gzip`, without a request for it.
    Gzip,
}

impl Damage {
    /// Every kind of damage.
    pub const ALL: &[Self] = &[
        Self::Empty,
        Self::Blank,
        Self::Half,
        Self::HalfChunked,
        Self::HalfThenPage,
        Self::OtherRows,
        Self::DroppedRow,
        Self::PlainText,
        Self::Page,
        Self::PageAfterMark,
        Self::Detail,
        Self::Message,
        Self::Code,
        Self::Error,
        Self::TypedError,
        Self::Null,
        Self::List,
        Self::Gzip,
    ];

    pub(crate) fn apply(self, mut parts: Parts, whole: &Bytes) -> Response {
        for name in ["content-length", "content-range", "transfer-encoding"] {
            parts.headers.remove(name);
        }
        if self == Self::Gzip {
            let gzip = HeaderValue::from_static("gzip");
            parts.headers.insert("content-encoding", gzip);
        }
        let body = self.body(whole);
        let body = if self == Self::HalfChunked {
            let piece = Ok::<_, std::convert::Infallible>(body);
            Body::from_stream(futures::stream::iter([piece]))
        } else {
            Body::from(body)
        };
        Response::from_parts(parts, body)
    }

    fn body(self, whole: &Bytes) -> Vec<u8> {
        let half = || whole[..whole.len() / 2].to_vec();
        let said = "a fault on purpose";
        match self {
            Self::Empty => Vec::new(),
            Self::Blank => b"\n".to_vec(),
            Self::Half | Self::HalfChunked => half(),
            Self::HalfThenPage => [half(), PAGE.into()].concat(),
            Self::OtherRows => rows(whole, |rows| rows.iter_mut().for_each(give_away)),
            Self::DroppedRow => rows(whole, |rows| {
                let middle = rows.len() / 2;
                if middle < rows.len() {
                    rows.remove(middle);
                }
            }),
            Self::PlainText => said.into(),
            Self::Page => PAGE.into(),
            Self::PageAfterMark => format!("\u{feff}{PAGE}").into(),
            Self::Detail => json!({"detail": said}).to_string().into(),
            Self::Message => json!({"message": said}).to_string().into(),
            Self::Code => json!({"code": 503, "reason": said}).to_string().into(),
            Self::Error => {
                let error = json!({"message": said, "type": "server_error", "code": null});
                json!({ "error": error }).to_string().into()
            }
            Self::TypedError => {
                let error = json!({"type": "api_error", "message": said});
                json!({"type": "error", "error": error}).to_string().into()
            }
            Self::Null => b"null".to_vec(),
            Self::List => b"[]".to_vec(),
            Self::Gzip => gzip::pack(whole),
        }
    }
}

const PAGE: &str = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n";

/// JSON pointers to the rows of an inline batch in Gemini's response.
const INLINE: [&str; 2] = [
    "/metadata/output/inlinedResponses/inlinedResponses",
    "/response/inlinedResponses/inlinedResponses",
];

/// Changes the rows of results: lines, or the rows inside Gemini's operation.
fn rows(whole: &Bytes, change: impl Fn(&mut Vec<Value>)) -> Vec<u8> {
    if let Ok(mut document) = serde_json::from_slice::<Value>(whole)
        && INLINE.iter().any(|path| document.pointer(path).is_some())
    {
        for path in INLINE {
            if let Some(Value::Array(rows)) = document.pointer_mut(path) {
                change(rows);
            }
        }
        return document.to_string().into();
    }
    // A row that is not JSON stays unchanged.
    let lines = whole.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty()).map(|line| {
        serde_json::from_slice(line)
            .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(line).into_owned()))
    });
    let mut rows: Vec<Value> = lines.collect();
    change(&mut rows);
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    text.into()
}

/// Gives a row the id of a request in another batch.
fn give_away(row: &mut Value) {
    let other = |id: &mut Value| {
        if let Some(text) = id.as_str() {
            *id = format!("other-{text}").into();
        }
    };
    for name in ["custom_id", "key"] {
        if let Some(id) = row.get_mut(name) {
            other(id);
        }
    }
    if let Some(Value::Object(metadata)) = row.get_mut("metadata") {
        metadata.iter_mut().for_each(|(_, id)| other(id));
    }
}
