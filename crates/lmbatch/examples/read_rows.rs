//! Times the two reads of a row of results: `scan` when it arrives, `decode` when its outcome is written.
//!
//! ```sh
//! cargo run --release -p lmbatch --features all-providers --example read_rows
//! cargo run --release -p lmbatch --features all-providers --example read_rows -- openai 1000
//! ```

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use lmbatch_core::{BatchId, ProviderFactory, ResultPart, RowReader};
use serde_json::json;

/// Words of an answer, about a kilobyte with some line breaks and quotes.
fn words() -> String {
    "The parcel left the depot on Tuesday and is \"out for delivery\" today.\n\n".repeat(13)
}

fn openai() -> String {
    json!({
        "id": "batch_req_68b0c1f2a3d48190", "custom_id": "0197f3a2b4c5d6e7-00012345",
        "response": {"status_code": 200, "request_id": "9f8e7d6c5b4a39281706f5e4d3c2b1a0", "body": {
            "id": "resp_68b0c1f2a3d4819000112233445566778899aabbccddeeff", "object": "response",
            "created_at": 1_788_300_000, "status": "completed", "background": false, "error": null,
            "incomplete_details": null, "instructions": null, "max_output_tokens": 1000,
            "model": "gpt-5.4-mini",
            "output": [
                {"id": "rs_68b0c1f2a3d48190aa", "type": "reasoning", "summary": []},
                {"id": "msg_68b0c1f2a3d48190bb", "type": "message", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": words()}]},
            ],
            "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": "low", "summary": null},
            "service_tier": "default", "store": false, "temperature": 1.0, "text": {"format": {"type": "text"}},
            "tool_choice": "auto", "tools": [], "top_p": 1.0, "truncation": "disabled",
            "usage": {"input_tokens": 1234, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 345,
                      "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 1579},
            "user": null, "metadata": {},
        }},
        "error": null,
    })
    .to_string()
}

fn anthropic() -> String {
    json!({
        "custom_id": "0197f3a2b4c5d6e7-00012345",
        "result": {"type": "succeeded", "message": {
            "id": "msg_01AbCdEfGhIjKlMnOpQrStUv", "type": "message", "role": "assistant",
            "model": "claude-haiku-4-5-20251001", "content": [{"type": "text", "text": words()}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 1234, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
                      "output_tokens": 345, "service_tier": "batch"},
        }},
    })
    .to_string()
}

fn google() -> String {
    json!({
        "key": "0197f3a2b4c5d6e7-00012345",
        "response": {
            "candidates": [{
                "content": {"parts": [{"text": words(), "thoughtSignature": "CiQB0e2Kb1c4"}], "role": "model"},
                "finishReason": "STOP", "index": 0,
            }],
            "usageMetadata": {"promptTokenCount": 1234, "candidatesTokenCount": 345, "totalTokenCount": 1643,
                              "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1234}],
                              "thoughtsTokenCount": 64},
            "modelVersion": "gemini-2.5-flash", "responseId": "a1b2c3d4e5f6",
        },
    })
    .to_string()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let only = std::env::args().nth(1);
    let count = std::env::args()
        .nth(2)
        .map(|count| count.parse())
        .transpose()?;
    let count: u32 = count.unwrap_or(200_000);
    let part = ResultPart::mixed(&BatchId::new("b"), "f", "output");
    let adapters: [(&dyn ProviderFactory, &str, String); 3] = [
        (&lmbatch::openai::factory(), "responses", openai()),
        (&lmbatch::anthropic::factory(), "", anthropic()),
        (&lmbatch::google::factory(), "file", google()),
    ];
    let mut out = std::io::stdout();
    for (factory, route, row) in adapters {
        let (name, codec) = (factory.id(), factory.codec(route));
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let mut rows = RowReader::new();
        let begun = now();
        for _ in 0..count {
            let row = rows.read(black_box(row.as_bytes()));
            let scanned = codec.scan(&part, row)?;
            black_box(scanned);
        }
        let scan = begun.elapsed() / count;
        let begun = now();
        for _ in 0..count {
            let row = rows.read(black_box(row.as_bytes()));
            let decoded = codec.decode(&part, row)?;
            black_box(decoded);
        }
        let decode = begun.elapsed() / count;
        writeln!(
            out,
            "{name:10} {} bytes  scan {scan:?}  decode {decode:?}",
            row.len()
        )?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "what is measured has no Clock")]
fn now() -> Instant {
    Instant::now()
}
