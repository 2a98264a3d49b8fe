//! Reading of input lines and writing of output lines, in memory.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use std::io::{self, BufRead, Cursor, Read};

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_core::{
    AnswerView, AnsweredRequest, BatchId, FinishReason, Json, OutcomeView, OutputView,
    RequestSource as _, SourcedRequest, Structured, Text, TokenUsage,
};
use lmbatch_lines::{InputContext, InputLines, LineOrigin, OutcomeTable};

// The reader of lines is private to the crate, and is measured without the parser that follows it.
#[cfg_attr(
    test,
    expect(
        unused_imports,
        reason = "tests of the file are not part of a benchmark"
    )
)]
#[path = "../src/lines.rs"]
mod split;

/// Repeated in each text, as JSON: words, escapes, and letters that are not ASCII.
const SENTENCE: &str = r#"The committee \"agreed\" on three points:\n- the café in Zürich stays open,\n- 漢字 are \u00e9qually fine, and\n- the path C:\\data is kept. "#;

fn main() {
    divan::main();
}

/// Endless input: the same bytes again and again.
struct Repeated {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Repeated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.fill_buf()?.read(buffer)?;
        self.consume(size);
        Ok(size)
    }
}

impl BufRead for Repeated {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(&self.bytes[self.at..])
    }

    fn consume(&mut self, amount: usize) {
        self.at = (self.at + amount) % self.bytes.len();
    }
}

/// Returns an ordinary input line of about one kilobyte.
fn ordinary() -> String {
    let text = SENTENCE.repeat(7);
    format!("{{\"id\":\"request-1\",\"prompt\":\"{text}\",\"metadata\":{{\"page\":7}}}}\n")
}

/// Returns a line of OpenAI's batch format of about one kilobyte.
fn openai() -> String {
    let text = SENTENCE.repeat(7);
    format!(
        "{{\"custom_id\":\"request-1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{{\"model\":\"m\",\
         \"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}],\"max_completion_tokens\":500}}}}\n"
    )
}

/// Reads one line of an endless input into a request.
fn read(bencher: Bencher<'_, '_>, line: &str) {
    let input = Repeated {
        bytes: line.repeat(64).into_bytes(),
        at: 0,
    };
    let mut lines = InputLines::new(input, InputContext::new("openai", "m"));
    bencher
        .counter(BytesCount::new(line.len()))
        .bench_local(|| {
            let mut visit = |sourced: SourcedRequest<'_>| assert!(sourced.entry.is_ok());
            assert!(lines.next(&mut visit).unwrap());
        });
}

#[divan::bench]
fn read_ordinary_line(bencher: Bencher<'_, '_>) {
    read(bencher, &ordinary());
}

#[divan::bench]
fn read_openai_batch_line(bencher: Bencher<'_, '_>) {
    read(bencher, &openai());
}

/// Finds the ends of all lines in 1 MiB.
#[divan::bench]
fn split_one_mebibyte(bencher: Bencher<'_, '_>) {
    let line = ordinary();
    let mut bytes = line.repeat((1 << 20) / line.len() + 1).into_bytes();
    bytes.truncate(1 << 20);
    let bytes: &[u8] = bytes.leak();
    bencher
        .counter(BytesCount::of_slice(bytes))
        .bench_local(|| {
            let mut lines = split::Lines::new(Box::new(Cursor::new(bytes)));
            let mut found = 0;
            while lines.next(|_, line| found += line.len()).unwrap() {}
            divan::black_box(found)
        });
}

/// Calls `write` with an empty buffer and an answer of about one kilobyte; counts the bytes that are written.
fn write(bencher: Bencher<'_, '_>, write: impl Fn(&AnsweredRequest<'_>, &mut Vec<u8>)) {
    let text = format!("\"{}\"", SENTENCE.repeat(7));
    let text: Text<'_> = serde_json::from_str(&text).unwrap();
    let mut output = OutputView::text(text, FinishReason::Stop);
    output.usage = Some(TokenUsage {
        input_tokens: 250,
        output_tokens: 250,
        ..TokenUsage::default()
    });
    let batch = BatchId::new("batch_1");
    let answered = AnsweredRequest {
        ordinal: 0,
        id: Json::new("\"request-1\"").unwrap(),
        metadata: Some(Json::new("{\"page\":7}").unwrap()),
        batch: Some(&batch),
        schema_requested: false,
        raw: None,
        replaced: 0,
        answer: AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            structured: Structured::NotRequested,
        },
        cost: None,
    };
    let mut out = Vec::new();
    write(&answered, &mut out);
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        write(&answered, &mut out);
        divan::black_box(&out);
    });
}

#[divan::bench]
fn write_json_line(bencher: Bencher<'_, '_>) {
    let origin = LineOrigin {
        provider: "openai".to_owned(),
        emulated: false,
        raw: false,
    };
    write(bencher, |answered, out| {
        lmbatch_lines::write_outcome(answered, &origin, out);
    });
}

#[divan::bench]
fn write_csv_row(bencher: Bencher<'_, '_>) {
    let table = OutcomeTable::new(b',', ["page".to_owned()], []);
    write(bencher, |answered, out| {
        drop(table.write_outcome(answered, out))
    });
}
