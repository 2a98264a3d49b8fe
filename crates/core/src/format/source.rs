//! Sources of requests: one request at a time, borrowed, each valid or invalid on its own.

use std::path::Path;

use crate::{Error, Json, RequestError, RequestView, ResponseSchema, Text};

/// Stream of requests that can be read once.
pub trait RequestSource: Send {
    /// Passes the next request to `visit`, or returns `false` at the end. An error means that the
    /// rest cannot be read; an invalid request is passed to `visit` as an error of its own.
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error>;

    /// Returns the word for positions of requests in messages: "number" by default, "line" for a
    /// file of lines.
    fn unit(&self) -> &'static str {
        "number"
    }

    /// Receives the error of the request that was passed on last, and returns `true` if the source leaves the invalid
    /// request out. By default every request must be valid.
    ///
    /// # Errors
    /// A note about the invalid request that cannot be written.
    fn leave_out(&mut self, position: u64, error: &RequestError) -> Result<bool, Error> {
        let _ = (position, error);
        Ok(false)
    }
}

/// One request of a source, or the reason why it is invalid.
#[derive(Debug)]
pub struct SourcedRequest<'a> {
    /// Position in the source, from 1: the line of a file, the index in a list.
    pub position: u64,
    /// Request that was read, or the error that makes it invalid.
    pub entry: Result<RequestEntry<'a>, RequestError>,
}

/// Request together with what the engine keeps for its outcome.
#[derive(Debug)]
pub struct RequestEntry<'a> {
    /// Caller's id of the request.
    pub id: IdView<'a>,
    /// Request to be sent.
    pub request: RequestView<'a>,
    /// Caller's metadata, returned with the outcome.
    pub metadata: Option<Json<'a>>,
    /// Schema against which the answer is validated.
    pub schema: Option<&'a ResponseSchema>,
    /// Folder to which attachment paths are relative and inside which they must stay, for requests from
    /// outside of the program: the bytes of their attachments must also match their kind. `None` if the
    /// program itself names the paths.
    pub folder: Option<&'a Path>,
}

/// Caller's id of a request, in its JSON type.
#[derive(Debug, Clone, Copy)]
pub enum IdView<'a> {
    /// Id that is a JSON string.
    Text(Text<'a>),
    /// Id that is a JSON number, as it was written.
    Number(Json<'a>),
}

impl IdView<'_> {
    /// Appends the id as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => text.write_json(out),
            Self::Number(json) => json.write(out),
        }
    }

    /// Returns the characters of the id, which make it unique.
    pub fn decode(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.decode(),
            Self::Number(json) => json.as_str().into(),
        }
    }
}
