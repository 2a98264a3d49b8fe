//! Outcomes as the lines of a provider's result files, for tools that read those.

mod anthropic;
mod openai;

use std::collections::BTreeSet;

use lmbatch_core::{AnsweredRequest, ItemView, Json, Text, write_string};

use crate::output::number;

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

/// Line that is being written.
struct Line<'o> {
    /// Model of an answer that names none.
    model: &'o str,
    ordinal: u32,
    out: &'o mut Vec<u8>,
    /// Names of the parts that the line cannot represent.
    left_out: BTreeSet<&'static str>,
}

impl Line<'_> {
    /// Appends JSON as it is.
    fn json(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Appends a string.
    fn string(&mut self, text: &str) {
        write_string(text, self.out);
    }

    /// Appends several texts as one string.
    fn joined<'t>(&mut self, texts: impl Iterator<Item = Text<'t>>) {
        self.out.push(b'"');
        for text in texts {
            text.write_json_inner(self.out);
        }
        self.out.push(b'"');
    }

    /// Appends a number after its key.
    fn count(&mut self, key: &str, count: u64) {
        self.json(key);
        number(count, self.out);
    }

    /// Appends the id of a request as a string.
    fn custom_id(&mut self, id: Json<'_>) {
        match id.as_str().starts_with('"') {
            true => id.write(self.out),
            false => self.string(id.as_str()),
        }
    }

    /// Appends the id of an answer, or an id of the given kind and the number of the line.
    fn response_id(&mut self, id: Option<Text<'_>>, kind: &str) {
        match id {
            Some(id) => id.write_json(self.out),
            None => self.string(&format!("{kind}{}", self.ordinal)),
        }
    }

    /// Appends the model of an answer.
    fn model(&mut self, model: Option<Text<'_>>) {
        match model {
            Some(model) => model.write_json(self.out),
            None => self.string(self.model),
        }
    }

    /// Notes an item that the line cannot represent.
    fn leave_out(&mut self, item: &ItemView<'_>) {
        self.left_out.insert(match item {
            ItemView::ToolCall(_) => "tool_call",
            ItemView::Thinking(_) => "thinking",
            ItemView::Attachment(_) => "attachment",
            ItemView::Commentary(_) => "commentary",
            ItemView::Citation(_) => "citation",
            ItemView::Detail { name, .. } => name,
            _ => "other",
        });
    }
}
