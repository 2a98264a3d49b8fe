//! OpenAI's list and status calls for batches that never end, over loopback. For the bench of `watch`.
//!
//! `live-provider BATCHES`; `GET /calls` returns the number of calls so far as JSON.
#![expect(clippy::print_stdout, reason = "it prints its address")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// Number of calls by operation.
type Calls = Mutex<BTreeMap<&'static str, u64>>;

fn main() -> io::Result<()> {
    let batches = std::env::args().nth(1);
    let batches = batches.and_then(|batches| batches.parse().ok());
    let batches: u64 = batches.ok_or_else(|| io::Error::other("live-provider BATCHES"))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/v1", listener.local_addr()?);
    let calls = Arc::new(Calls::default());
    for stream in listener.incoming() {
        let (stream, calls) = (stream?, Arc::clone(&calls));
        std::thread::spawn(move || {
            // A client that disconnects ends its connection.
            let _ = serve(&stream, batches, &calls);
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, batches: u64, calls: &Calls) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        let body = answer(head.trim_end(), batches, calls);
        let mut stream = stream;
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        stream.write_all(body.as_bytes())?;
    }
}

fn answer(head: &str, batches: u64, calls: &Calls) -> String {
    let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
    let mut count = |operation| *calls.entry(operation).or_default() += 1;
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path == "/calls" {
        return format!("{calls:?}");
    }
    if !head.starts_with("GET ") {
        count("other");
        return String::from("{}");
    }
    if let Some(query) = path.strip_prefix("/v1/batches?") {
        count("list");
        return page(query, batches);
    }
    match path.strip_prefix("/v1/batches/batch_").map(str::parse) {
        Some(Ok(number)) => {
            count("status");
            let mut body = String::new();
            batch(number, &mut body);
            body
        }
        _ => {
            count("other");
            String::from(r#"{"id":"m"}"#)
        }
    }
}

/// Returns a page of the list, newest first: batches are numbered from 0, and the cursor is the last batch of the page
/// before.
fn page(query: &str, batches: u64) -> String {
    let of = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    let limit = of("limit").and_then(|limit| limit.parse().ok());
    let limit: u64 = limit.unwrap_or(20).min(100);
    let after = of("after").and_then(|after| after.strip_prefix("batch_")?.parse().ok());
    let end = after.unwrap_or(batches).min(batches);
    let start = end.saturating_sub(limit);
    let mut body = String::from(r#"{"object":"list","data":["#);
    for number in (start..end).rev() {
        if number + 1 < end {
            body.push(',');
        }
        batch(number, &mut body);
    }
    // Writing to a string cannot fail.
    let _ = write!(
        body,
        r#"],"last_id":"batch_{start}","has_more":{}}}"#,
        start > 0
    );
    body
}

fn batch(number: u64, out: &mut String) {
    let created = 1_793_523_600 + number;
    let expires = created + 86_400;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"id":"batch_{number}","object":"batch","endpoint":"/v1/responses","model":"m-2026-11-01","errors":null,"input_file_id":"file-{number}","completion_window":"24h","status":"in_progress","output_file_id":null,"error_file_id":null,"created_at":{created},"in_progress_at":{created},"expires_at":{expires},"finalizing_at":null,"completed_at":null,"failed_at":null,"expired_at":null,"cancelling_at":null,"cancelled_at":null,"request_counts":{{"total":1,"completed":0,"failed":0}},"usage":{{"input_tokens":0,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":0,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":0}},"metadata":{{"lmbatch_label":"lmbatch-0123456789ab-{number}"}}}}"#
    );
}
