//! Where requests come from: one at a time, borrowed, each good or bad on its own.

use std::path::Path;

use crate::{Error, Json, RequestError, RequestView, ResponseSchema, Text};

/// A stream of requests that can be read once.
pub trait RequestSource: Send {
    /// Hands the next request to `visit`, or returns `false` at the end. An error means that the
    /// rest cannot be read; a request that is merely bad is handed on as such.
    fn next(&mut self, visit: &mut dyn FnMut(Sourced<'_>)) -> Result<bool, Error>;

    /// Returns the word for the places of requests in messages: "number" by default, "line" for a file of lines.
    fn unit(&self) -> &'static str {
        "number"
    }
}

/// One request of a source, or why it is none.
#[derive(Debug)]
pub struct Sourced<'a> {
    /// Where it stands, from 1: the line of a file, the position in a list.
    pub place: u64,
    /// The request.
    pub entry: Result<Entry<'a>, RequestError>,
}

/// A request with what the engine keeps beside it.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The caller's id.
    pub id: IdView<'a>,
    /// The request.
    pub request: RequestView<'a>,
    /// The caller's notes, given back with the outcome.
    pub metadata: Option<Json<'a>>,
    /// What the answer is checked against.
    pub schema: Option<&'a ResponseSchema>,
    /// Folder that attachment paths start from and may not leave, for requests from outside of the program:
    /// their attachments must also be what their kind says. `None` where the program names paths itself.
    pub folder: Option<&'a Path>,
}

/// The caller's id, in the JSON type it came in.
#[derive(Debug, Clone, Copy)]
pub enum IdView<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number, as it was written.
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

    /// The id's characters: what makes it unique.
    pub fn decode(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Self::Text(text) => text.decode(),
            Self::Number(json) => json.as_str().into(),
        }
    }
}
