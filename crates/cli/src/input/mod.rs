//! Input lines into requests.

mod content;
mod context;
pub(crate) mod format;
mod line;
mod lines;
mod members;
mod openai;
mod openai_parts;
mod ordinary;
#[cfg(test)]
mod reports;
mod stream;
mod values;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lmbatch_core::{Error, GenerateOptions, Outline, RequestError};
use lmbatch_engine::{RequestSource, Sourced};

pub(crate) use self::context::Context;
use self::context::bad;
use self::lines::Lines;
use self::stream::Stream;
use crate::exit::Failure;
use crate::model::Model;

/// Requests out of JSON Lines.
pub(crate) struct JsonlSource {
    lines: Lines,
    outline: Outline,
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
        lines: Lines::new(reader),
        outline: Outline::new(),
        context,
    })
}

/// Reads lines as a run at OpenAI would: for fuzzing.
///
/// # Panics
/// If they cannot be read, which they can.
pub fn read_lines(input: Vec<u8>, visit: &mut dyn FnMut(Sourced<'_>)) {
    let mut source = JsonlSource {
        lines: Lines::new(Box::new(io::Cursor::new(input))),
        outline: Outline::new(),
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
        let (outline, context) = (&mut self.outline, &self.context);
        let mut is_read = false;
        while !is_read {
            let found = self.lines.next(|number, bytes| {
                is_read = read_line(number, bytes, context, outline, visit);
            });
            if !found.map_err(|error| Error::local("reading the input", error))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn unit(&self) -> &'static str {
        "line"
    }
}

/// Reads a line and hands it on, unless it is empty; then returns false.
fn read_line(
    number: u64,
    mut bytes: &[u8],
    context: &Context,
    outline: &mut Outline,
    visit: &mut dyn FnMut(Sourced<'_>),
) -> bool {
    if number == 1 {
        bytes = crate::text_file::without_mark(bytes);
    }
    let bytes = bytes.trim_ascii();
    if bytes.is_empty() {
        return false;
    }
    let mut refuse = |error| {
        visit(Sourced {
            place: number,
            entry: Err(error),
        });
    };
    if number == 1
        && let Some(found) = format::other_than_json_lines(bytes)
    {
        refuse(bad(found));
        return true;
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => line::read(text, number, context, outline, visit),
        Err(_) => refuse(RequestError::invalid_input("the line is not UTF-8")),
    }
    true
}
