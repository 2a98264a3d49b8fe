//! Translation of one request and of one row of results, without a network.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_core::BatchProvider as _;
use lmbatch_openai::OpenAi;
use lmbatch_testing::CodecWork;

/// Row of results around the text of its answer.
const BEFORE: &str = r#"{"id":"batch_req_1","custom_id":"request-1","response":{"status_code":200,"request_id":"r","body":{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":""#;
const AFTER: &str = r#"","annotations":[]}]}],"usage":{"input_tokens":250,"input_tokens_details":{"cached_tokens":0},"output_tokens":250,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":500}}},"error":null}"#;

fn main() {
    divan::main();
}

type Measure<'a> = Box<dyn FnOnce(usize, &mut dyn FnMut()) + 'a>;

/// Measures work of the codec, and counts the bytes that it writes or reads.
fn bench(bencher: Bencher<'_, '_>, work: fn(CodecWork<'_>, Measure<'_>)) {
    let provider = OpenAi::builder().api_key("k").build().unwrap();
    let codec = CodecWork {
        codec: provider.codec(),
        model: "gpt-5-mini",
        before: BEFORE,
        after: AFTER,
        part: "output",
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
