//! Targets for rows of results and lines of input.

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use lmbatch::anthropic::Anthropic;
use lmbatch::google::Google;
use lmbatch::openai::OpenAi;
use lmbatch_core::{
    BatchId, BatchProvider, Chunk, Error, PartRole, RequestSource as _, ResultPart, RowReader,
    SourcedRequest, Text, Verdict, WireId,
};
use lmbatch_engine::Engine;
use lmbatch_lines::{InputContext, InputLines};
use lmbatch_testing::{MemoryProvider, MemorySpool, Script, TestClock};
use serde_json::Value;

use super::choose;

fn adapters() -> Vec<Box<dyn BatchProvider>> {
    let made = |adapter: Result<Box<dyn BatchProvider>, Error>| {
        adapter.unwrap_or_else(|error| panic!("{error}"))
    };
    let openai = OpenAi::builder().api_key("k").build();
    let anthropic = Anthropic::builder().api_key("k").build();
    let google = Google::builder().api_key("k").build();
    vec![
        made(openai.map(|adapter| Box::new(adapter) as Box<_>)),
        made(anthropic.map(|adapter| Box::new(adapter) as Box<_>)),
        made(google.map(|adapter| Box::new(adapter) as Box<_>)),
    ]
}

thread_local! {
    static ADAPTERS: Vec<Box<dyn BatchProvider>> = adapters();
}

fn id(text: Option<Text<'_>>) -> Option<String> {
    text.map(|text| text.decode().into_owned())
}

/// Every row that is scanned is decoded, with the same id and the same verdict unless its answer cannot be read.
pub fn result_lines(data: &[u8]) {
    const ROLES: [PartRole; 3] = [PartRole::Mixed, PartRole::Output, PartRole::Errors];
    const SHAPES: [&str; 5] = ["responses", "chat", "file", "inline", ""];
    ADAPTERS.with(|adapters| {
        let Some((adapter, rest)) = choose(data, adapters) else {
            return;
        };
        let Some((role, rest)) = choose(rest, &ROLES) else {
            return;
        };
        let Some((shape, row)) = choose(rest, &SHAPES) else {
            return;
        };
        let part = ResultPart {
            batch: BatchId::new("b"),
            name: "f".into(),
            role: *role,
            shape: (*shape).into(),
            bytes: None,
        };
        let codec = adapter.codec();
        let mut rows = RowReader::new();
        let row = rows.read(row);
        let (scanned, decoded) = (codec.scan(&part, row), codec.decode(&part, row));
        let Ok(scanned) = scanned else {
            return;
        };
        let decoded = decoded.unwrap_or_else(|error| panic!("scanned, not decoded: {error:?}"));
        assert_eq!(id(scanned.id), id(decoded.id));
        let verdict = decoded.outcome.verdict();
        assert!(
            verdict == scanned.verdict || scanned.verdict == Verdict::Succeeded,
            "{:?} {verdict:?}",
            scanned.verdict
        );
    });
}

/// Maximum size of a row in this target, in bytes.
const LONGEST: usize = 64;

/// Rows are split at line ends and nowhere else, and every line that is not blank is one row.
pub fn jsonl(data: &[u8]) {
    let script = Script {
        rows: Some(data.to_vec()),
        ..Script::default()
    };
    let clock = Arc::new(TestClock::default());
    let provider = MemoryProvider::new(clock.clone(), script);
    let engine = Engine::new(Arc::new(provider));
    let engine = engine.with_spool(Arc::new(MemorySpool::default()));
    let engine = engine.with_clock(clock).with_max_row_bytes(LONGEST);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
    let batch = BatchId::new("b");
    let finished = runtime.block_on(engine.retrieve_rows(&batch, Vec::new()));
    let whole = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let blank = |line: &&[u8]| line.trim_ascii().is_empty();
    let Ok(finished) = finished else {
        return;
    };
    // A row that exceeds the maximum size is not compared.
    let lines = whole.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !blank(line) || line.len() > LONGEST);
    // A line may hold several rows, each of which begins with a brace.
    let lines = lines.count() as u64;
    let braces = whole.iter().filter(|byte| **byte == b'{').count() as u64;
    let rows = finished.rows();
    assert!((lines..=lines + braces).contains(&rows), "{rows} rows");
    let mut reader = engine
        .outcomes(&finished)
        .unwrap_or_else(|error| panic!("{error}"));
    let mut outcomes = 0;
    while reader
        .next()
        .unwrap_or_else(|error| panic!("{error}"))
        .is_some()
    {
        outcomes += 1;
    }
    assert_eq!(outcomes, finished.requests());
}

/// Rows within a document are the same however the document is split into pieces.
pub fn documents(data: &[u8]) {
    const PATHS: &[&[&str]] = &[&["response", "rows"], &["rows", "*", "inner"], &["rows"]];
    let Some((first, body)) = data.split_first() else {
        return;
    };
    let rows = |pieces: Vec<Bytes>| {
        let body = stream::iter(pieces.into_iter().map(Ok)).boxed();
        let read = lmbatch_http::document_rows(body, PATHS).try_fold(
            Vec::new(),
            async |mut all: Vec<u8>, chunk| {
                if let Chunk::Bytes(bytes) = chunk {
                    all.extend_from_slice(&bytes);
                }
                Ok(all)
            },
        );
        block_on(read).map_err(|error| error.kind())
    };
    let whole = rows(vec![Bytes::copy_from_slice(body)]);
    let size = usize::from(*first).max(1);
    let cut = rows(body.chunks(size).map(Bytes::copy_from_slice).collect());
    assert_eq!(whole, cut);
    // A document that serde_json accepts is accepted, and each of its rows is one line.
    if let (Ok(document), Ok(rows)) = (serde_json::from_slice::<Value>(body), &whole) {
        let lists = [&document["response"]["rows"], &document["rows"]];
        if let Some(list) = lists.iter().find_map(|list| list.as_array()) {
            let lines = rows
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            let nested = list.iter().any(|row| row.get("inner").is_some());
            assert!(nested || lines.count() == list.len(), "{document}");
        }
    }
}

/// Every line of input is one request or one error, and an encoded request is one line of JSON.
pub fn input_lines(data: &[u8]) {
    ADAPTERS.with(|adapters| {
        let blank = |line: &&[u8]| line.trim_ascii().is_empty();
        let whole = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        let lines = whole
            .split(|byte| *byte == b'\n')
            .filter(|line| !blank(line));
        let mut read = 0;
        let mut row = Vec::new();
        let mut visit = |sourced: SourcedRequest<'_>| {
            read += 1;
            let Ok(entry) = sourced.entry else {
                return;
            };
            for adapter in adapters {
                let codec = adapter.codec();
                let Ok(class) = codec.class(&entry.request) else {
                    continue;
                };
                row.clear();
                let id = WireId::verbatim("id");
                if codec.encode(&class, &id, &entry.request, &mut row).is_ok() {
                    assert!(!row.contains(&b'\n'), "{}", codec.id());
                    let json = serde_json::from_slice::<Value>(&row);
                    assert!(json.is_ok_and(|json| json.is_object()), "{}", codec.id());
                }
            }
        };
        const ENDPOINTS: &[&str] = &["/v1/responses", "/v1/chat/completions"];
        let context = InputContext::new("openai", "m").with_raw_endpoints(ENDPOINTS);
        let mut input = InputLines::new(std::io::Cursor::new(data.to_vec()), context);
        while input
            .next(&mut visit)
            .unwrap_or_else(|error| panic!("{error}"))
        {}
        assert_eq!(read, lines.count());
    });
}
