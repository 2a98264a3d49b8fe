//! HTTP calls, each over a socket of its own.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

/// Address of the provider.
pub(crate) struct Host(pub(crate) String);

/// The head of a response, and the stream of its body.
pub(crate) struct Answer {
    pub(crate) length: u64,
    /// URL for the next part of an upload.
    pub(crate) upload_url: String,
    reader: BufReader<TcpStream>,
}

impl Answer {
    pub(crate) fn text(self) -> io::Result<String> {
        let mut text = String::new();
        self.reader.take(self.length).read_to_string(&mut text)?;
        Ok(text)
    }

    pub(crate) fn save(self, file: &mut File) -> io::Result<()> {
        io::copy(&mut self.reader.take(self.length), file).map(drop)
    }
}

impl Host {
    pub(crate) fn call(&self, call: &str, body: &str) -> io::Result<Answer> {
        let mut stream = self.begin(call, body.len() as u64)?;
        stream.write_all(body.as_bytes())?;
        answer(stream)
    }

    /// Sends a file with a prefix and a suffix.
    pub(crate) fn send(
        &self,
        call: &str,
        before: &str,
        body: &Path,
        after: &str,
    ) -> io::Result<Answer> {
        let mut file = File::open(body)?;
        let length = before.len() as u64 + file.metadata()?.len() + after.len() as u64;
        let mut stream = self.begin(call, length)?;
        stream.write_all(before.as_bytes())?;
        let mut piece = vec![0; 256 << 10];
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => stream.write_all(&piece[..read])?,
            }
        }
        stream.write_all(after.as_bytes())?;
        answer(stream)
    }

    fn begin(&self, call: &str, length: u64) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.0)?;
        write!(
            stream,
            "{call} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer k\r\ncontent-length: {length}\r\n\r\n",
            self.0
        )?;
        Ok(stream)
    }
}

fn answer(stream: TcpStream) -> io::Result<Answer> {
    let mut answer = Answer {
        length: 0,
        upload_url: String::new(),
        reader: BufReader::with_capacity(256 << 10, stream),
    };
    loop {
        let mut line = String::new();
        answer.reader.read_line(&mut line)?;
        let line = line.trim();
        if line.is_empty() {
            return Ok(answer);
        }
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => answer.length = value.parse().map_err(io::Error::other)?,
            "x-goog-upload-url" => value.clone_into(&mut answer.upload_url),
            _ => {}
        }
    }
}
