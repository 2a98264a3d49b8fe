//! The floor: what any program must do to have a file answered by batch. It templates bytes and streams
//! them both ways; it checks nothing, joins nothing and survives nothing.
//!
//! `floor INPUT OUTPUT BASE_URL POLL_MILLISECONDS`

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, input, output, base, poll] = args.as_slice() else {
        return Err(io::Error::other(
            "floor INPUT OUTPUT BASE_URL POLL_MILLISECONDS",
        ));
    };
    let poll = Duration::from_millis(poll.parse().map_err(io::Error::other)?);
    let host = base
        .trim_start_matches("http://")
        .trim_end_matches("/v1")
        .to_owned();
    let body = std::env::temp_dir().join(format!("floor-{}.jsonl", std::process::id()));
    template(input, &body)?;
    upload(&host, &body)?;
    std::fs::remove_file(&body)?;
    call(&host, "GET /v1/batches?limit=1", "")?;
    call(
        &host,
        "POST /v1/batches",
        r#"{"input_file_id":"file-in","endpoint":"/v1/responses","completion_window":"24h"}"#,
    )?;
    while !call(&host, "GET /v1/batches/batch_1", "")?.contains("completed\",") {
        wait(poll);
    }
    download(&host, output)
}

#[expect(clippy::disallowed_methods, reason = "the floor has no Clock")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Each prompt, still a JSON token, into a line of the provider's.
fn template(input: &str, body: &std::path::Path) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(256 << 10, File::create(body)?);
    let mut lines = BufReader::with_capacity(256 << 10, File::open(input)?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    while lines.read_until(b'\n', &mut line)? > 0 {
        let mark = b"\"prompt\":";
        let at = line
            .windows(mark.len())
            .position(|window| window == mark)
            .unwrap_or(0)
            + mark.len();
        let prompt = &line[at..line.len() - 2];
        write!(
            out,
            "{{\"custom_id\":\"floor{number:014}\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{{\"model\":\"m\",\"input\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"input_text\",\"text\":"
        )?;
        out.write_all(prompt)?;
        out.write_all(b"}]}]}}\n")?;
        number += 1;
        line.clear();
    }
    out.flush()
}

fn head(stream: &mut TcpStream, host: &str, call: &str, length: u64) -> io::Result<()> {
    write!(
        stream,
        "{call} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer k\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn upload(host: &str, body: &std::path::Path) -> io::Result<()> {
    let mut file = File::open(body)?;
    let before = "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.jsonl\"\r\n\r\n";
    let after = "\r\n--b--\r\n";
    let length = before.len() as u64 + file.metadata()?.len() + after.len() as u64;
    let mut stream = TcpStream::connect(host)?;
    head(&mut stream, host, "POST /v1/files", length)?;
    stream.write_all(before.as_bytes())?;
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => stream.write_all(&piece[..read])?,
        }
    }
    stream.write_all(after.as_bytes())?;
    answer(&mut BufReader::new(stream)).map(drop)
}

fn call(host: &str, call: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(host)?;
    head(&mut stream, host, call, body.len() as u64)?;
    stream.write_all(body.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let length = answer(&mut reader)?;
    let mut text = String::new();
    reader.take(length).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads the head of an answer; the length of its body.
fn answer(reader: &mut BufReader<TcpStream>) -> io::Result<u64> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            return Ok(length);
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
}

fn download(host: &str, output: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect(host)?;
    head(&mut stream, host, "GET /v1/files/file-out/content", 0)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    let length = answer(&mut reader)?;
    let mut file = File::create(output)?;
    io::copy(&mut reader.take(length), &mut file)?;
    file.sync_all()
}
