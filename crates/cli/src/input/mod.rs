//! Input lines into requests.

mod content;
mod context;
pub(crate) mod format;
mod line;
mod members;
mod openai;
mod openai_parts;
#[cfg(test)]
mod reports;
mod stream;
mod values;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lmbatch_core::{Error, GenerateOptions, RequestError};
use lmbatch_engine::{RequestSource, Sourced};

pub(crate) use self::context::Context;
use self::context::bad;
use self::stream::Stream;
use crate::exit::Failure;
use crate::model::Model;

/// Requests out of JSON Lines.
pub(crate) struct JsonlSource {
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    line: u64,
    context: Context,
}

/// Opens the input; `-` is standard input. Attachments are read from `attachments`, or else from the
/// folder of the input. Once `is_stopped` is set, reading ends, also of an input that sends nothing.
pub(crate) fn open(
    input: &Path,
    model: &Model,
    options: GenerateOptions,
    raw_endpoints: &'static [&'static str],
    attachments: Option<&Path>,
    is_stopped: &Arc<AtomicBool>,
) -> Result<JsonlSource, Failure> {
    let is_stdin = input == Path::new("-");
    if let Some(folder) = attachments.filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!(
            "--attachments: {} is not a folder",
            folder.display()
        )));
    }
    let unreadable =
        |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", input.display()));
    let reader: Box<dyn BufRead + Send> = if is_stdin {
        Box::new(Stream::new(io::stdin(), Arc::clone(is_stopped)).map_err(unreadable)?)
    } else {
        let file = File::open(input).map_err(unreadable)?;
        let facts = file.metadata().map_err(unreadable)?;
        if facts.is_dir() {
            return Err(Failure::usage(format!("{} is a folder", input.display())));
        }
        match facts.is_file() {
            true => Box::new(BufReader::with_capacity(256 << 10, file)),
            false => Box::new(Stream::new(file, Arc::clone(is_stopped)).map_err(unreadable)?),
        }
    };
    let folder = attachments.or_else(|| input.parent());
    let folder = folder.map(Path::to_path_buf).unwrap_or_default();
    let context = Context {
        provider: model.provider.id(),
        model: model.name.clone(),
        options,
        folder,
        reads_files: attachments.is_some() || !is_stdin,
        raw_endpoints,
    };
    Ok(JsonlSource {
        reader,
        buffer: Vec::new(),
        line: 0,
        context,
    })
}

/// Reads lines as a run at OpenAI would: for fuzzing.
///
/// # Panics
/// If they cannot be read, which they can.
pub fn read_lines(input: Vec<u8>, visit: &mut dyn FnMut(Sourced<'_>)) {
    let mut source = JsonlSource {
        reader: Box::new(io::Cursor::new(input)),
        buffer: Vec::new(),
        line: 0,
        context: Context {
            provider: "openai",
            model: "m".to_owned(),
            options: GenerateOptions::default(),
            folder: PathBuf::new(),
            reads_files: false,
            raw_endpoints: &["/v1/responses", "/v1/chat/completions"],
        },
    };
    while source.next(visit).unwrap_or_else(|error| panic!("{error}")) {}
}

impl RequestSource for JsonlSource {
    fn next(&mut self, visit: &mut dyn FnMut(Sourced<'_>)) -> Result<bool, Error> {
        loop {
            self.buffer.clear();
            let read = self
                .reader
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| Error::local("reading the input", error))?;
            if read == 0 {
                return Ok(false);
            }
            self.line += 1;
            let mut bytes = self.buffer.as_slice();
            if self.line == 1 {
                bytes = crate::text_file::without_mark(bytes);
            }
            let bytes = bytes.trim_ascii();
            if bytes.is_empty() {
                continue;
            }
            if self.line == 1
                && let Some(found) = format::other_than_json_lines(bytes)
            {
                visit(Sourced {
                    place: self.line,
                    entry: Err(bad(found)),
                });
                return Ok(true);
            }
            match simdutf8::basic::from_utf8(bytes) {
                Ok(text) => line::read(text, self.line, &self.context, visit),
                Err(_) => visit(Sourced {
                    place: self.line,
                    entry: Err(RequestError::invalid_input("the line is not UTF-8")),
                }),
            }
            return Ok(true);
        }
    }

    fn unit(&self) -> &'static str {
        "line"
    }
}
