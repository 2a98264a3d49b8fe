//! Results: one row for each id, with a text of one kilobyte.

use std::io::{self, BufWriter, Write as _};
use std::net::TcpStream;

/// The bytes of a row before its id, between the id and the text, and after the text.
pub(super) struct Rows {
    before: &'static str,
    between: &'static str,
    after: &'static str,
    separator: &'static str,
}

pub(super) const OPENAI: Rows = Rows {
    before: r#"{"id":"batch_req_1","custom_id":""#,
    between: r#"","response":{"status_code":200,"request_id":"r","body":{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":""#,
    after: r#"","annotations":[]}]}],"usage":{"input_tokens":250,"input_tokens_details":{"cached_tokens":0},"output_tokens":250,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":500}}},"error":null}"#,
    separator: "\n",
};

pub(super) const ANTHROPIC: Rows = Rows {
    before: r#"{"custom_id":""#,
    between: r#"","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":""#,
    after: r#""}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":250,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":250,"service_tier":"batch"}}}}"#,
    separator: "\n",
};

pub(super) const GOOGLE: Rows = Rows {
    before: r#"{"key":""#,
    between: r#"","response":{"candidates":[{"content":{"role":"model","parts":[{"text":""#,
    after: r#""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":250,"candidatesTokenCount":250,"totalTokenCount":500,"promptTokensDetails":[{"modality":"TEXT","tokenCount":250}]},"modelVersion":"m-001","responseId":"r1"}}"#,
    separator: "\n",
};

pub(super) const GOOGLE_INLINE: Rows = Rows {
    before: r#"{"metadata":{"key":""#,
    between: r#""},"response":{"candidates":[{"content":{"role":"model","parts":[{"text":""#,
    after: GOOGLE.after,
    separator: ",",
};

/// Repeated in each text: words, escapes, and non-ASCII letters.
const SENTENCE: &str = r#"The committee \"agreed\" on three points:\n- the café in Zürich stays open,\n- 漢字 are \u00e9qually fine, and\n- the path C:\\data is kept. "#;

impl Rows {
    /// Sends a response whose body consists of rows, with a prefix and a suffix.
    pub(super) fn send(
        &self,
        stream: &TcpStream,
        before: &str,
        ids: &[Box<[u8]>],
        after: &str,
    ) -> io::Result<()> {
        let text = SENTENCE.repeat(7);
        let around = [self.before, self.between, &text, self.after];
        let fixed: usize = around.iter().map(|piece| piece.len()).sum();
        let is_list = self.separator == ",";
        let separators = match is_list {
            true => ids.len().saturating_sub(1),
            false => ids.len(),
        };
        let rows: usize = ids.iter().map(|id| fixed + id.len()).sum();
        let length = before.len() + rows + separators + after.len();
        let mut out = BufWriter::with_capacity(256 << 10, stream);
        write!(
            out,
            "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n{before}"
        )?;
        // In reverse order, where the provider promises no order; Google's inline answers keep theirs.
        let mut backward = ids.iter().rev();
        let mut forward = ids.iter();
        for number in 0..ids.len() {
            let id = match is_list {
                true => forward.next(),
                false => backward.next(),
            };
            let id: &[u8] = id.map_or(b"", |id| id);
            if is_list && number > 0 {
                out.write_all(b",")?;
            }
            for piece in [
                self.before.as_bytes(),
                id,
                self.between.as_bytes(),
                text.as_bytes(),
                self.after.as_bytes(),
            ] {
                out.write_all(piece)?;
            }
            if !is_list {
                out.write_all(b"\n")?;
            }
        }
        write!(out, "{after}")?;
        out.flush()
    }
}
