//! Line of a provider's result file.

use std::collections::BTreeSet;

use lmbatch_core::{ItemView, Json, Text, write_string};

use crate::output::number;

/// Line that is being written.
pub(super) struct Line<'o> {
    /// Model of an answer that names none.
    pub(super) model: &'o str,
    pub(super) ordinal: u32,
    pub(super) out: &'o mut Vec<u8>,
    /// Names of the parts that the line cannot represent.
    pub(super) left_out: BTreeSet<&'static str>,
}

impl Line<'_> {
    /// Appends JSON as it is.
    pub(super) fn json(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Appends a string.
    pub(super) fn string(&mut self, text: &str) {
        write_string(text, self.out);
    }

    /// Appends several texts as one string.
    pub(super) fn joined<'t>(&mut self, texts: impl Iterator<Item = Text<'t>>) {
        self.out.push(b'"');
        for text in texts {
            text.write_json_inner(self.out);
        }
        self.out.push(b'"');
    }

    /// Appends a number after its key.
    pub(super) fn count(&mut self, key: &str, count: u64) {
        self.json(key);
        number(count, self.out);
    }

    /// Appends the id of a request as a string.
    pub(super) fn custom_id(&mut self, id: Json<'_>) {
        match id.as_str().starts_with('"') {
            true => id.write(self.out),
            false => self.string(id.as_str()),
        }
    }

    /// Appends the id of an answer, or an id of the given kind and the number of the line.
    pub(super) fn response_id(&mut self, id: Option<Text<'_>>, kind: &str) {
        match id {
            Some(id) => id.write_json(self.out),
            None => self.string(&format!("{kind}{}", self.ordinal)),
        }
    }

    /// Appends the model of an answer.
    pub(super) fn model(&mut self, model: Option<Text<'_>>) {
        match model {
            Some(model) => model.write_json(self.out),
            None => self.string(self.model),
        }
    }

    /// Notes an item that the line cannot represent.
    pub(super) fn leave_out(&mut self, item: &ItemView<'_>) {
        self.left_out.insert(item_name(item));
    }
}

/// Returns the name of an item for a list of what an output cannot represent.
pub(crate) fn item_name(item: &ItemView<'_>) -> &'static str {
    match item {
        ItemView::Text(_) => "text",
        ItemView::ToolCall(_) => "tool_call",
        ItemView::Thinking(_) => "thinking",
        ItemView::Refusal(_) => "refusal",
        ItemView::Attachment(_) => "attachment",
        ItemView::Commentary(_) => "commentary",
        ItemView::Citation(_) => "citation",
        ItemView::Detail { name, .. } => name,
        _ => "other",
    }
}
