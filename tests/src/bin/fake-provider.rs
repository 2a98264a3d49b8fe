//! The least that passes for OpenAI: keeps ids, answers each with a kilobyte. For the floor bench.
#![expect(clippy::print_stdout, reason = "it says where it listens")]

use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

const MARK: &[u8] = b"\"custom_id\":\"";

#[derive(Default)]
struct World {
    ids: Vec<Vec<u8>>,
    polls: u32,
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("http://{}/v1", listener.local_addr()?);
    let world = Arc::new(Mutex::new(World::default()));
    for stream in listener.incoming() {
        let (stream, world) = (stream?, Arc::clone(&world));
        std::thread::spawn(move || {
            // A client that goes away ends its connection.
            let _ = serve(&stream, &world);
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, world: &Mutex<World>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
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
        let body = (&mut reader).take(length);
        answer(head.trim_end(), body, stream, world)?;
    }
}

fn answer(
    head: &str,
    mut body: impl Read,
    stream: &TcpStream,
    world: &Mutex<World>,
) -> io::Result<()> {
    let lock = || world.lock().unwrap_or_else(PoisonError::into_inner);
    let path = head.split(' ').nth(1).unwrap_or_default();
    if head.starts_with("POST /v1/files ") {
        let ids = ids(&mut body)?;
        let mut world = lock();
        world.ids = ids;
        world.polls = 0;
        return reply(stream, r#"{"id":"file-in"}"#);
    }
    io::copy(&mut body, &mut io::sink())?;
    match path {
        "/v1/batches" => reply(stream, r#"{"id":"batch_1","status":"validating"}"#),
        "/v1/batches/batch_1" => {
            let mut world = lock();
            world.polls += 1;
            let status = if world.polls > 1 {
                "completed"
            } else {
                "in_progress"
            };
            let total = world.ids.len();
            reply(
                stream,
                &format!(
                    r#"{{"id":"batch_1","status":"{status}","output_file_id":"file-out","request_counts":{{"total":{total},"completed":{total},"failed":0}}}}"#
                ),
            )
        }
        "/v1/files/file-out/content" => rows(stream, &lock().ids),
        _ if path.starts_with("/v1/batches?") => reply(stream, r#"{"data":[],"has_more":false}"#),
        _ => reply(stream, r#"{"id":"m"}"#),
    }
}

fn reply(mut stream: &TcpStream, body: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// The id of each line, without parsing it.
fn ids(body: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let mut ids = Vec::new();
    let mut lines = BufReader::with_capacity(256 << 10, body);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Some(at) = line.windows(MARK.len()).position(|window| window == MARK) {
            let rest = &line[at + MARK.len()..];
            let end = rest.iter().position(|byte| *byte == b'"').unwrap_or(0);
            ids.push(rest[..end].to_vec());
        }
        line.clear();
    }
    Ok(ids)
}

fn rows(stream: &TcpStream, ids: &[Vec<u8>]) -> io::Result<()> {
    let text = "word ".repeat(200);
    let (before, after) = (
        r#"{"id":"batch_req_1","custom_id":""#,
        format!(
            r#"","response":{{"status_code":200,"request_id":"r","body":{{"id":"resp_1","object":"response","status":"completed","error":null,"incomplete_details":null,"model":"m","output":[{{"id":"msg_1","type":"message","role":"assistant","content":[{{"type":"output_text","text":"{text}","annotations":[]}}]}}],"usage":{{"input_tokens":250,"input_tokens_details":{{"cached_tokens":0}},"output_tokens":250,"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":500}}}}}},"error":null}}"#
        ),
    );
    let bytes: usize = ids
        .iter()
        .map(|id| before.len() + id.len() + after.len() + 1)
        .sum();
    let mut out = BufWriter::with_capacity(256 << 10, stream);
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {bytes}\r\n\r\n"
    )?;
    // From the last to the first: order is not to be relied on.
    for id in ids.iter().rev() {
        for piece in [before.as_bytes(), id, after.as_bytes(), b"\n"] {
            out.write_all(piece)?;
        }
    }
    out.flush()
}
