//! View of a request while it is planned.

use std::borrow::Cow;
use std::fmt;

use lmbatch_core::{ContentView, RequestView};

use crate::plan::shards::estimated_tokens;

/// Callback that sees each request of a plan.
pub(crate) type Visit = Box<dyn FnMut(&PlannedRequest<'_>) + Send>;

/// Request of an input that was encoded, and is not sent yet. Debug output shows no content.
pub struct PlannedRequest<'a> {
    pub(crate) place: u64,
    pub(crate) id: &'a str,
    pub(crate) request: &'a RequestView<'a>,
    pub(crate) endpoint: &'a str,
    pub(crate) row: &'a [u8],
}

impl PlannedRequest<'_> {
    /// Returns the position in the source, from 1: the line of a file, the index in a list.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Returns the caller's id of the request.
    pub fn id(&self) -> &str {
        self.id
    }

    /// Returns the endpoint for the request, such as `/v1/responses`.
    pub fn endpoint(&self) -> &str {
        self.endpoint
    }

    /// Returns the request as it is sent, without the bytes between requests.
    pub fn row(&self) -> &[u8] {
        self.row
    }

    /// Returns the name of the model; `None` for a body in the provider's format that names none.
    pub fn model(&self) -> Option<Cow<'_, str>> {
        match self.request {
            RequestView::Generate(generate) => Some(generate.model.decode()),
            RequestView::Embed(embed) => Some(embed.model.decode()),
            RequestView::Raw(raw) => raw.model.map(|model| model.decode()),
            _ => None,
        }
    }

    /// Returns the largest number of output tokens that the request asks for; `None` without a
    /// limit, and for a body in the provider's format.
    pub fn max_output_tokens(&self) -> Option<u32> {
        match self.request {
            RequestView::Generate(generate) => generate.hyperparameters.max_output_tokens,
            _ => None,
        }
    }

    /// Returns whether the request has images, documents, audio or video. A body in the provider's
    /// format is not searched.
    pub fn has_attachments(&self) -> bool {
        let RequestView::Generate(generate) = self.request else {
            return false;
        };
        let mut contents = generate.messages.iter().flat_map(|one| &one.contents);
        contents.any(|content| !ContentView::attachments(content).is_empty())
    }

    /// Returns the estimated number of input tokens: one for three bytes as sent. Text has about
    /// four bytes to a token, so that the estimate is usually too high; images and documents, which
    /// are counted by their bytes, have far fewer tokens than estimated.
    pub fn estimated_input_tokens(&self) -> u64 {
        estimated_tokens(self.row.len())
    }
}

impl fmt::Debug for PlannedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedRequest")
            .field("place", &self.place)
            .field("bytes", &self.row.len())
            .finish_non_exhaustive()
    }
}
