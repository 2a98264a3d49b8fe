//! Translation of one request and of one row of results, without a network.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first error")]

use divan::Bencher;
use divan::counter::BytesCount;
use lmbatch_anthropic::Anthropic;
use lmbatch_core::BatchProvider as _;
use lmbatch_testing::CodecWork;

/// Row of results around the text of its answer.
const BEFORE: &str = r#"{"custom_id":"request-1","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":""#;
const AFTER: &str = r#""}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":250,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":250,"service_tier":"batch"}}}}"#;

fn main() {
    divan::main();
}

type Measure<'a> = Box<dyn FnOnce(usize, &mut dyn FnMut()) + 'a>;

/// Measures work of the codec, and counts the bytes that it writes or reads.
fn bench(bencher: Bencher<'_, '_>, work: fn(CodecWork<'_>, Measure<'_>)) {
    let provider = Anthropic::builder().api_key("k").build().unwrap();
    let codec = CodecWork {
        codec: provider.codec(),
        model: "claude-haiku-4-5",
        before: BEFORE,
        after: AFTER,
        part: "row",
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
