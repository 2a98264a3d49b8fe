//! Translation of one request and of one row of results, without a network.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_core::BatchProvider as _;
use lmbatch_google::Google;
use lmbatch_testing::CodecWork;

/// Row of results around the text of its answer.
const BEFORE: &str =
    r#"{"key":"request-1","response":{"candidates":[{"content":{"role":"model","parts":[{"text":""#;
const AFTER: &str = r#""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":250,"candidatesTokenCount":250,"totalTokenCount":500,"promptTokensDetails":[{"modality":"TEXT","tokenCount":250}]},"modelVersion":"m-001","responseId":"r1"}}"#;

fn main() {
    divan::main();
}

type Measure<'a> = Box<dyn FnOnce(usize, &mut dyn FnMut()) + 'a>;

/// Measures work of the codec, and counts the bytes that it writes or reads.
fn bench(bencher: Bencher<'_, '_>, work: fn(CodecWork<'_>, Measure<'_>)) {
    let provider = Google::builder().api_key("k").build().unwrap();
    let codec = CodecWork {
        codec: provider.codec(),
        model: "gemini-2.5-flash",
        before: BEFORE,
        after: AFTER,
        part: "file",
    };
    let measure = |bytes, work: &mut dyn FnMut()| {
        bencher.counter(BytesCount::new(bytes)).bench_local(work);
    };
    work(codec, Box::new(measure));
}

#[divan::bench]
fn encode_json_text(bencher: Bencher<'_, '_>) {
    bench(bencher, |codec, measure| codec.encode_json_text(measure));
}

#[divan::bench]
fn encode_plain_text(bencher: Bencher<'_, '_>) {
    bench(bencher, |codec, measure| codec.encode_plain_text(measure));
}

#[divan::bench]
fn scan_row(bencher: Bencher<'_, '_>) {
    bench(bencher, |codec, measure| codec.scan_row(measure));
}

#[divan::bench]
fn decode_row(bencher: Bencher<'_, '_>) {
    bench(bencher, |codec, measure| codec.decode_row(measure));
}
