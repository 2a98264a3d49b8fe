//! Work of a codec on one request and one row of results, for benchmarks.

use std::borrow::Cow;
use std::hint::black_box;

use lmbatch_core::{
    BatchCodec, BatchId, ContentView, GenerateView, Hyperparameters, MessageView, RequestView,
    ResultPart, Role, RowReader, Text, Verdict, WireId,
};

/// Repeated in each text, as JSON: words, escapes, and letters that are not ASCII.
const SENTENCE: &str = r#"The committee \"agreed\" on three points:\n- the café in Zürich stays open,\n- 漢字 are \u00e9qually fine, and\n- the path C:\\data is kept. "#;

/// Codec with a request and a row of results, each with a text of about one kilobyte.
///
/// Each method prepares its work and passes it to `measure`, with the number of bytes that the work writes or reads.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "a value of benchmarks is never printed"
)]
pub struct CodecWork<'a> {
    /// Codec whose work is measured.
    pub codec: &'a dyn BatchCodec,
    /// Model of the request.
    pub model: &'a str,
    /// Row of results before the text of its answer.
    pub before: &'a str,
    /// Row of results after the text of its answer.
    pub after: &'a str,
    /// Provider's name of the part of the row.
    pub part: &'a str,
}

impl CodecWork<'_> {
    /// Encodes a request with its head, body and tail.
    ///
    /// # Panics
    /// If the codec refuses the request.
    fn encode(&self, prompt: Text<'_>, measure: impl FnOnce(usize, &mut dyn FnMut())) {
        let request = RequestView::Generate(GenerateView {
            model: Text::Plain(self.model),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents: vec![ContentView::Text(prompt)],
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters {
                max_output_tokens: Some(500),
                ..Hyperparameters::default()
            }),
        });
        let class = self.codec.class(&request).expect("a class");
        let id = WireId::verbatim("request-1");
        let mut out = Vec::new();
        let mut work = || {
            out.clear();
            let encoded = self.codec.encode(&class, &id, &request, &mut out);
            encoded.expect("a request");
            black_box(&out).len()
        };
        let size = work();
        measure(size, &mut || {
            work();
        });
    }

    /// Encodes a request whose prompt is JSON already, as in an input line.
    ///
    /// # Panics
    /// If the codec refuses the request.
    pub fn encode_json_text(self, measure: impl FnOnce(usize, &mut dyn FnMut())) {
        let prompt = format!("\"{}\"", SENTENCE.repeat(7));
        let prompt = serde_json::from_str(&prompt).expect("a text");
        self.encode(prompt, measure);
    }

    /// Encodes a request whose prompt is a string of the program, which is escaped on the way.
    ///
    /// # Panics
    /// If the codec refuses the request.
    pub fn encode_plain_text(self, measure: impl FnOnce(usize, &mut dyn FnMut())) {
        let prompt = format!("\"{}\"", SENTENCE.repeat(7));
        let prompt: String = serde_json::from_str(&prompt).expect("a text");
        self.encode(Text::Plain(&prompt), measure);
    }

    /// Finds the structure of a row of about 1.5 KB, its id and its verdict.
    ///
    /// # Panics
    /// If the codec cannot read the row.
    pub fn scan_row(self, measure: impl FnOnce(usize, &mut dyn FnMut())) {
        self.read(measure, |codec, part, reader, row| {
            let scanned = codec.scan(part, reader.read(row)).expect("a row");
            assert_eq!(scanned.verdict, Verdict::Succeeded);
        });
    }

    /// Finds the structure of a row of about 1.5 KB, and reads all of it, the answer included.
    ///
    /// # Panics
    /// If the codec cannot read the row.
    pub fn decode_row(self, measure: impl FnOnce(usize, &mut dyn FnMut())) {
        self.read(measure, |codec, part, reader, row| {
            let decoded = codec.decode(part, reader.read(row)).expect("a row");
            assert_eq!(decoded.outcome.verdict(), Verdict::Succeeded);
            black_box(decoded);
        });
    }

    fn read(
        self,
        measure: impl FnOnce(usize, &mut dyn FnMut()),
        read: impl Fn(&dyn BatchCodec, &ResultPart, &mut RowReader, &[u8]),
    ) {
        let row = format!("{}{}{}", self.before, SENTENCE.repeat(7), self.after);
        let part = ResultPart::mixed(&BatchId::new("b"), "part", self.part);
        let mut reader = RowReader::new();
        measure(row.len(), &mut || {
            read(self.codec, &part, &mut reader, row.as_bytes());
        });
    }
}
