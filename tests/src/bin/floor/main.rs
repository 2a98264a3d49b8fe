//! The floor: the least work with which any program gets a file answered by batch. It templates bytes and streams them
//! in both directions, without checks, joins or recovery.
//!
//! `floor DIALECT INPUT OUTPUT URL POLL_MILLISECONDS`, where the dialect is `openai`, `anthropic`, `google` or
//! `google-inline`.

mod dialect;
mod http;

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::dialect::Dialect;
use self::http::Host;

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let [_, dialect, input, output, url, poll] = args.as_slice() else {
        return Err(io::Error::other(
            "floor DIALECT INPUT OUTPUT URL POLL_MILLISECONDS",
        ));
    };
    let dialect = Dialect::named(dialect)?;
    let host = Host(url.trim_start_matches("http://").to_owned());
    let poll = Duration::from_millis(poll.parse().map_err(io::Error::other)?);
    let mut batches = Vec::new();
    for body in template(dialect, input)? {
        batches.push(dialect.create(&host, &body)?);
        std::fs::remove_file(&body)?;
    }
    let mut file = File::create(output)?;
    for batch in &batches {
        while !dialect.has_ended(&host, batch, &mut file)? {
            wait(poll);
        }
        dialect.download(&host, batch, &mut file)?;
    }
    file.sync_all()
}

#[expect(clippy::disallowed_methods, reason = "the floor has no Clock")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// Writes each prompt, still a JSON token, into a line of the provider's format; returns a file for each batch.
fn template(dialect: Dialect, input: &str) -> io::Result<Vec<PathBuf>> {
    let mut bodies = Vec::new();
    let mut lines = BufReader::with_capacity(256 << 10, File::open(input)?);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    let mark = b"\"prompt\":";
    while !lines.fill_buf()?.is_empty() {
        let path = body(bodies.len());
        let mut out = BufWriter::with_capacity(256 << 10, File::create(&path)?);
        out.write_all(dialect.before())?;
        let mut in_batch = 0;
        while in_batch < dialect.most() && lines.read_until(b'\n', &mut line)? > 0 {
            let at = line
                .windows(mark.len())
                .position(|window| window == mark)
                .unwrap_or(0)
                + mark.len();
            if in_batch > 0 {
                out.write_all(dialect.separator())?;
            }
            dialect.request(&mut out, number, &line[at..line.len() - 2])?;
            in_batch += 1;
            number += 1;
            line.clear();
        }
        out.write_all(dialect.after())?;
        out.flush()?;
        bodies.push(path);
    }
    Ok(bodies)
}

fn body(number: usize) -> PathBuf {
    let process = std::process::id();
    Path::new(&std::env::temp_dir()).join(format!("floor-{process}-{number}"))
}
