//! Outcomes as the lines of a provider's result files, for tools that read those.

mod anthropic;
pub(crate) mod line;
mod openai;

use std::collections::BTreeSet;

use lmbatch_core::AnsweredRequest;

use self::line::Line;

/// Format of the result files of a provider's batch API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderFormat {
    /// Lines of the output and error files of OpenAI's Batch API, with bodies of `/v1/chat/completions`.
    OpenAi,
    /// Lines of the results of Anthropic's Message Batches API.
    Anthropic,
}

/// Writer of outcomes as lines of a provider's result files. The outcomes may be those of any provider.
///
/// ```json
/// {"id":"batch_req_0","custom_id":"a","response":{"status_code":200,"request_id":"","body":{…}},"error":null}
/// {"custom_id":"a","result":{"type":"succeeded","message":{…}}}
/// ```
#[derive(Debug, Clone)]
pub struct ProviderLines {
    format: ProviderFormat,
    model: String,
}

impl ProviderLines {
    /// Creates a writer. Lines of answers that name no model name `model`.
    pub fn new(format: ProviderFormat, model: impl Into<String>) -> Self {
        Self {
            format,
            model: model.into(),
        }
    }

    /// Appends the line of an outcome, line feed included. An id that is not a string becomes the string of its JSON.
    ///
    /// Returns the names of the parts of the outcome that the format cannot hold, such as `thinking` or `metadata`.
    /// They are left out of the line.
    pub fn write_outcome(
        &self,
        answered: &AnsweredRequest<'_>,
        out: &mut Vec<u8>,
    ) -> BTreeSet<&'static str> {
        let mut line = Line {
            model: &self.model,
            ordinal: answered.ordinal,
            out,
            left_out: BTreeSet::new(),
        };
        if answered.metadata.is_some() {
            line.left_out.insert("metadata");
        }
        match self.format {
            ProviderFormat::OpenAi => openai::write(answered, &mut line),
            ProviderFormat::Anthropic => anthropic::write(answered, &mut line),
        }
        line.out.push(b'\n');
        line.left_out
    }
}
