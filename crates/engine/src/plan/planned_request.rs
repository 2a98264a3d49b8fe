//! View of a request while it is planned.

use std::borrow::Cow;
use std::fmt;

use lmbatch_core::{ContentView, RequestView};
use memchr::memmem;
use serde::Deserialize;

use crate::plan::shards::estimated_tokens;

/// Callback that sees each request of a plan.
pub(crate) type Visit = Box<dyn FnMut(&PlannedRequest<'_>) + Send>;

/// Request of an input that was encoded, and is not sent yet. Debug output shows no content.
pub struct PlannedRequest<'a> {
    pub(crate) position: u64,
    pub(crate) id: &'a str,
    pub(crate) request: &'a RequestView<'a>,
    pub(crate) endpoint: &'a str,
    pub(crate) row: &'a [u8],
}

impl PlannedRequest<'_> {
    /// Returns the position in the source, from 1: the line of a file, the index in a list.
    pub fn position(&self) -> u64 {
        self.position
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
    /// limit. A body in the provider's format is searched for a limit under its usual names.
    pub fn max_output_tokens(&self) -> Option<u32> {
        match self.request {
            RequestView::Generate(generate) => generate.hyperparameters.max_output_tokens,
            // Most bodies without a limit are recognised without parsing them.
            RequestView::Raw(raw)
                if memmem::find(raw.body.as_str().as_bytes(), b"max").is_some() =>
            {
                raw.body.parse::<Limits>().ok()?.most()
            }
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

/// Limit of the output in a body, under one of its usual names.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Limits {
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    #[serde(alias = "maxOutputTokens")]
    max_output_tokens: Option<u32>,
    #[serde(alias = "generationConfig")]
    generation_config: Option<Box<Self>>,
}

impl Limits {
    fn most(self) -> Option<u32> {
        let own = self.max_output_tokens.or(self.max_completion_tokens);
        let nested = self.generation_config.and_then(|nested| nested.most());
        own.or(self.max_tokens).or(nested)
    }
}

impl fmt::Debug for PlannedRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlannedRequest")
            .field("position", &self.position)
            .field("bytes", &self.row.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{Json, RawView, Text};

    use super::*;

    #[test]
    fn the_limit_of_a_body_is_found_under_its_usual_names() {
        for (body, expected) in [
            (r#"{"model":"m","max_tokens":7}"#, Some(7)),
            (r#"{"max_completion_tokens":8}"#, Some(8)),
            (r#"{"input":"max_tokens","max_output_tokens":9}"#, Some(9)),
            (r#"{"generationConfig":{"maxOutputTokens":10}}"#, Some(10)),
            (r#"{"model":"m"}"#, None),
            (r#"{"max_tokens":"many"}"#, None),
        ] {
            let request = RequestView::Raw(RawView {
                model: Some(Text::Plain("m")),
                endpoint: Text::Plain("/v1/any"),
                body: Json::new(body).unwrap(),
            });
            let planned = PlannedRequest {
                position: 1,
                id: "a",
                request: &request,
                endpoint: "/v1/any",
                row: body.as_bytes(),
            };
            assert_eq!(planned.max_output_tokens(), expected, "{body}");
            assert_eq!(planned.model().as_deref(), Some("m"));
            assert!(!planned.has_attachments());
        }
    }
}
