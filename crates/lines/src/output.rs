//! Writing of outcomes as output lines.

use lmbatch_core::{
    AnswerCost, AnswerView, AnsweredRequest, AttachmentView, CostRange, FailureView, ItemView,
    OutcomeView, OutputView, SourceView, Structured, Text, TokenUsage, ToolCallView, write_string,
};

/// Members that the output lines of a run have in common.
#[derive(Debug, Clone)]
pub struct LineOrigin {
    /// Provider's name, the member `provider` of each line.
    pub provider: String,
    /// True if an emulation gives the answers: each line has `"emulated": true`.
    pub emulated: bool,
    /// True for lines that hold the provider's own rows instead of outcomes: `{"id": "a", "raw": {…}}`, where `raw`
    /// is null for a request without a row.
    pub raw: bool,
}

/// Appends the output line of an outcome, line feed included. Absent members are left out.
///
/// ```json
/// {"id":"a","status":"succeeded","text":"Hello!","finish_reason":"stop","provider":"openai","batch":"batch_1"}
/// {"id":"b","status":"missing","provider":"openai","batch":null}
/// ```
pub fn write_outcome(answered: &AnsweredRequest<'_>, origin: &LineOrigin, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"id\":");
    answered.id.write(out);
    if origin.raw {
        out.extend_from_slice(b",\"raw\":");
        match answered.raw {
            Some(raw) => raw.write_json(out),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b"}\n");
        return;
    }
    word("status", answered.answer.status().as_str(), out);
    if let Some(problem) = answered.answer.problem() {
        word("problem", problem.as_str(), out);
    }
    match &answered.answer {
        AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            structured,
        } => succeeded(output, structured, answered.cost, out),
        _ if answered.schema_requested => out.extend_from_slice(b",\"structured\":null"),
        _ => {}
    }
    if let Some(error) = answered.answer.schema_error() {
        key("schema_error", out);
        // Writing two texts to a Vec cannot fail.
        let _ = serde_json::to_writer(&mut *out, error);
    }
    string("provider", &origin.provider, out);
    match answered.batch {
        Some(batch) => string("batch", batch.as_str(), out),
        None => out.extend_from_slice(b",\"batch\":null"),
    }
    if let AnswerView::Row {
        outcome: OutcomeView::Succeeded(output),
        ..
    } = &answered.answer
        && let Some(id) = output.response_id
    {
        text("response_id", id, out);
    }
    failed(&answered.answer, out);
    if answered.replaced > 0 {
        key("replaced_characters", out);
        number(answered.replaced.into(), out);
    }
    if let Some(metadata) = answered.metadata {
        out.extend_from_slice(b",\"metadata\":");
        metadata.write(out);
    }
    if origin.emulated {
        out.extend_from_slice(b",\"emulated\":true");
    }
    out.extend_from_slice(b"}\n");
}

fn key(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn string(name: &str, value: &str, out: &mut Vec<u8>) {
    key(name, out);
    write_string(value, out);
}

/// Appends a member whose value is a string without characters to escape.
fn word(name: &str, value: &str, out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

/// Appends a number in decimal digits.
pub(crate) fn number(value: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at, mut left) = ([0; 20], 20, value);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn usage_of(usage: &TokenUsage, out: &mut Vec<u8>) {
    let fields = [
        (&b",\"usage\":{\"input_tokens\":"[..], usage.input_tokens),
        (b",\"cached_input_tokens\":", usage.cached_input_tokens),
        (b",\"cache_write_tokens\":", usage.cache_write_tokens),
        (b",\"output_tokens\":", usage.output_tokens),
        (b",\"thinking_tokens\":", usage.thinking_tokens),
    ];
    for (name, count) in fields {
        out.extend_from_slice(name);
        number(count, out);
    }
    out.push(b'}');
}

fn text(name: &str, value: Text<'_>, out: &mut Vec<u8>) {
    key(name, out);
    value.write_json(out);
}

fn list<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(b']');
}

fn succeeded(
    output: &OutputView<'_>,
    structured: &Structured<'_>,
    cost: Option<AnswerCost>,
    out: &mut Vec<u8>,
) {
    key("text", out);
    out.push(b'"');
    for item in &output.items {
        if let ItemView::Text(text) = item {
            text.write_json_inner(out);
        }
    }
    out.push(b'"');
    match structured {
        Structured::NotRequested => {}
        Structured::Absent | Structured::Invalid(_) => {
            out.extend_from_slice(b",\"structured\":null")
        }
        Structured::Value(value) => {
            key("structured", out);
            out.extend_from_slice(value.as_bytes());
        }
    }
    let calls = || {
        output.items.iter().filter_map(|item| {
            if let ItemView::ToolCall(call) = item {
                Some(call)
            } else {
                None
            }
        })
    };
    if calls().next().is_some() {
        key("tool_calls", out);
        list(calls(), out, |call, out| {
            out.extend_from_slice(b"{\"id\":");
            call_members(call, out);
        });
    }
    let others = || {
        output
            .items
            .iter()
            .filter(|item| !matches!(item, ItemView::Text(_) | ItemView::ToolCall(_)))
    };
    if others().next().is_some() {
        key("items", out);
        list(others(), out, write_item);
    }
    string("finish_reason", output.finish_reason.as_str(), out);
    if let Some(usage) = &output.usage {
        usage_of(usage, out);
    }
    if let Some(model) = output.model {
        text("model", model, out);
    }
    if let Some(cost) = cost {
        dollars(cost.charged, out);
    }
}

/// Appends the cost of an answer in US dollars, as an exact decimal number; the upper bound where a rate is not
/// published.
fn dollars(cost: CostRange, out: &mut Vec<u8>) {
    key(
        if cost.is_exact() {
            "cost_usd"
        } else {
            "cost_usd_at_most"
        },
        out,
    );
    cost.high.write_dollars(out);
}

/// Appends a call after the key of its id.
fn call_members(call: &ToolCallView<'_>, out: &mut Vec<u8>) {
    write_string(&call.id, out);
    text("name", call.name, out);
    key("arguments", out);
    call.arguments.write_value(out);
    out.push(b'}');
}

/// Appends one item of an answer as a JSON object with a `type`. An output line gathers texts and tool calls in
/// members of their own, and holds all other items so.
///
/// ```json
/// {"type":"text","text":"Hello!"}
/// {"type":"thinking","text":"The user greets.","signature":"c2VhbA=="}
/// ```
pub fn write_item(item: &ItemView<'_>, out: &mut Vec<u8>) {
    match item {
        ItemView::Text(said) => {
            out.extend_from_slice(b"{\"type\":\"text\"");
            text("text", *said, out);
            out.push(b'}');
        }
        ItemView::ToolCall(call) => {
            out.extend_from_slice(b"{\"type\":\"tool_call\",\"id\":");
            call_members(call, out);
        }
        ItemView::Thinking(thinking) => {
            out.extend_from_slice(b"{\"type\":\"thinking\"");
            for (name, value) in [
                ("text", thinking.text),
                ("id", thinking.id),
                ("signature", thinking.signature),
                ("data", thinking.data),
            ] {
                if let Some(value) = value {
                    text(name, value, out);
                }
            }
            out.push(b'}');
        }
        ItemView::Refusal(refusal) => {
            out.extend_from_slice(b"{\"type\":\"refusal\"");
            text("text", *refusal, out);
            out.push(b'}');
        }
        ItemView::Commentary(words) => {
            out.extend_from_slice(b"{\"type\":\"commentary\"");
            text("text", *words, out);
            out.push(b'}');
        }
        ItemView::Detail { name, value } => {
            out.extend_from_slice(b"{\"type\":\"detail\"");
            string("name", name, out);
            key("value", out);
            value.write(out);
            out.push(b'}');
        }
        ItemView::Citation(json) => {
            out.extend_from_slice(b"{\"type\":\"citation\",\"value\":");
            json.write(out);
            out.push(b'}');
        }
        ItemView::Other(json) => {
            out.extend_from_slice(b"{\"type\":\"other\",\"value\":");
            json.write(out);
            out.push(b'}');
        }
        ItemView::Attachment(attachment) => self::attachment(attachment, out),
        _ => out.extend_from_slice(b"null"),
    }
}

fn attachment(attachment: &AttachmentView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":");
    write_string(attachment.kind.as_str(), out);
    match &attachment.source {
        SourceView::Url(url) => text("url", *url, out),
        SourceView::File(id) => text("file_id", *id, out),
        source => {
            key("data", out);
            out.push(b'"');
            source.write_base64(out);
            out.push(b'"');
        }
    }
    if let Some(mime_type) = attachment.mime_type {
        text("mime_type", mime_type, out);
    }
    out.push(b'}');
}

fn failed(answer: &AnswerView<'_>, out: &mut Vec<u8>) {
    match answer {
        AnswerView::Row {
            outcome: OutcomeView::Errored(failure),
            ..
        } => error(failure, out),
        AnswerView::Malformed => error(&FailureView::malformed(), out),
        _ => {}
    }
}

fn error(failure: &FailureView<'_>, out: &mut Vec<u8>) {
    key("error", out);
    write_failure(failure, out);
}

/// Appends the failure of a request as a JSON object, the member `error` of an output line. Absent members are left
/// out.
///
/// ```json
/// {"kind":"provider_overloaded","code":"overloaded","http_status":529,"retryable":true}
/// {"kind":"invalid_input","message":"max_tokens: too many","retryable":false}
/// ```
pub fn write_failure(failure: &FailureView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":");
    write_string(failure.kind.as_str(), out);
    if let Some(code) = &failure.code {
        string("code", code, out);
    }
    if let Some(message) = failure.message {
        text("message", message, out);
    }
    if let Some(status) = failure.http_status {
        key("http_status", out);
        number(status.into(), out);
    }
    key("retryable", out);
    out.extend_from_slice(if failure.retryable { b"true" } else { b"false" });
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use lmbatch_core::{Cost, Json};
    use serde_json::Value;

    use super::*;

    /// Returns the member `error` of an output line.
    fn error_of(answer: AnswerView<'_>) -> Value {
        let origin = LineOrigin {
            provider: "openai".to_owned(),
            emulated: false,
            raw: false,
        };
        let answered = AnsweredRequest {
            ordinal: 0,
            id: Json::new("\"a\"").unwrap(),
            metadata: None,
            batch: None,
            schema_requested: false,
            raw: None,
            replaced: 0,
            answer,
            cost: None,
        };
        let mut line = Vec::new();
        write_outcome(&answered, &origin, &mut line);
        let line: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["status"], "errored");
        line["error"].clone()
    }

    #[test]
    fn numbers_are_written_as_their_digits() {
        for value in [0, 7, 10, 999, u64::MAX] {
            let mut out = Vec::new();
            number(value, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
        }
        let usage = TokenUsage {
            input_tokens: 1,
            cached_input_tokens: 23,
            cache_write_tokens: 456,
            output_tokens: 0,
            thinking_tokens: u64::MAX,
            ..TokenUsage::default()
        };
        let mut out = Vec::new();
        usage_of(&usage, &mut out);
        let expected = format!(",\"usage\":{}", serde_json::to_string(&usage).unwrap());
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn costs_are_exact_numbers_and_ranges_say_at_most() {
        let cost = |picodollars| Cost::from_picodollars(picodollars);
        for (low, high, expected) in [
            (1, 1, r#","cost_usd":0.000000000001"#),
            (12_300_000_000, 12_300_000_000, r#","cost_usd":0.0123"#),
            (0, 0, r#","cost_usd":0.00"#),
            (1, 2_000_000_000_000, r#","cost_usd_at_most":2.00"#),
        ] {
            let range = CostRange {
                low: cost(low),
                high: cost(high),
            };
            let mut out = Vec::new();
            dollars(range, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn an_unreadable_row_is_a_malformed_answer_for_every_reader() {
        let by_the_reader = error_of(AnswerView::Malformed);
        let by_the_adapter = error_of(AnswerView::Row {
            outcome: OutcomeView::Errored(FailureView::malformed()),
            structured: Structured::NotRequested,
        });
        assert_eq!(by_the_reader, by_the_adapter);
        assert_eq!(by_the_reader["kind"], "malformed_answer");
        assert_eq!(by_the_reader["retryable"], false);
    }
}
