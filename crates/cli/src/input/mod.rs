//! The input of a command: a file, standard input, or another stream.

mod stream;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lmbatch::GenerateOptions;
use lmbatch_lines::{InputContext, InputLines};

use self::stream::Stream;
use crate::exit::Failure;
use crate::model::Model;

/// Opens the input; `-` is standard input. Attachments are read from `attachments`, or else from the
/// folder of the input. Once `is_stopped` is set, reading ends, even from an input that sends nothing.
pub(crate) fn open(
    input: &Path,
    model: &Model,
    options: GenerateOptions,
    raw_endpoints: &'static [&'static str],
    attachments: Option<&Path>,
    is_stopped: &Arc<AtomicBool>,
) -> Result<InputLines, Failure> {
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
    let mut context = InputContext::new(model.provider.id(), &model.name)
        .with_options(options)
        .with_raw_endpoints(raw_endpoints);
    if attachments.is_some() || !is_stdin {
        let folder = attachments.or_else(|| input.parent());
        context = context.with_folder(folder.unwrap_or(Path::new("")));
    }
    Ok(InputLines::new(reader, context))
}
