//! The input of a command: a file, an object of a store, standard input, or another stream.

mod skipped;
mod stream;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lmbatch::GenerateOptions;
use lmbatch_lines::{InputContext, InputFormat, TableFacts, TableInput};

use self::skipped::SkippedFile;
use self::stream::Stream;
use crate::args::SettingsArgs;
use crate::exit::Failure;
use crate::model::Model;
use crate::output_format::INSTALL_PARQUET;
use crate::{format, remote, terminal};

/// Opens the input; `-` is standard input. Attachments are read from the folder that the settings name, or else from
/// that of the input. Once `is_stopped` is set, reading ends, even from an input that sends nothing.
pub(crate) fn open(
    input: &Path,
    settings: &SettingsArgs,
    model: &Model,
    mut options: GenerateOptions,
    raw_endpoints: &'static [&'static str],
    is_stopped: &Arc<AtomicBool>,
) -> Result<TableInput, Failure> {
    let table = settings.table.options(input, settings.system.as_ref())?;
    if table.system.is_some() {
        options.system = None;
    }
    let is_stdin = input == Path::new("-");
    // An input at a URL has no folder of attachments.
    let has_folder = !is_stdin && remote::url(input).is_none();
    let attachments = settings.attachments.as_deref();
    if let Some(folder) = attachments {
        remote::local("--attachments", folder)?;
    }
    settings.table.check_files(input)?;
    if let Some(folder) = attachments.filter(|folder| !folder.is_dir()) {
        return Err(Failure::usage(format!(
            "--attachments: {} is not a folder",
            folder.display()
        )));
    }
    let context = InputContext::new(model.provider.id(), &model.name)
        .with_options(options)
        .with_raw_endpoints(raw_endpoints);
    if let Some(note) = settings.table.sample_note() {
        terminal::message(&note);
    }
    let source = match &settings.table.files {
        Some(_) if !input.is_dir() => {
            return Err(Failure::usage(format!(
                "--files: {} is not a folder",
                input.display()
            )));
        }
        Some(_) if attachments.is_some() => {
            return Err(Failure::usage(
                "--attachments: with --files the attachments are in the folder of the files",
            ));
        }
        Some(pattern) => TableInput::files(input, pattern, table, context.with_folder(input)),
        None => {
            let context = if attachments.is_some() || has_folder {
                let folder = attachments.or_else(|| input.parent());
                context.with_folder(folder.unwrap_or(Path::new("")))
            } else {
                context
            };
            let is_parquet = table.format == InputFormat::Parquet;
            match opened(input, is_stdin, is_stopped)? {
                Opened::File(_) if is_parquet && !cfg!(feature = "parquet") => {
                    let why = format!(
                        "{} is Parquet, which this build does not read",
                        input.display()
                    );
                    let hint = format!("convert it to CSV or JSON Lines, or {INSTALL_PARQUET}");
                    return Err(Failure::usage(why).hint(hint));
                }
                Opened::File(file) if is_parquet => TableInput::parquet(file, table, context),
                Opened::File(file) => {
                    let reader = BufReader::with_capacity(256 << 10, file);
                    TableInput::new(reader, table, context)
                }
                Opened::Stream(stream) => TableInput::new(stream, table, context),
            }
        }
    };
    Ok(match &settings.table.skip_invalid {
        Some(path) => source.with_skipped(SkippedFile::open(path, input)?),
        None => source,
    })
}

/// Input that is open.
enum Opened {
    File(File),
    /// Standard input, a FIFO or a device.
    Stream(Stream),
}

fn opened(input: &Path, is_stdin: bool, is_stopped: &Arc<AtomicBool>) -> Result<Opened, Failure> {
    let unreadable =
        |error: io::Error| Failure::usage(format!("{} cannot be read: {error}", input.display()));
    if is_stdin {
        let stream = Stream::new(io::stdin(), Arc::clone(is_stopped)).map_err(unreadable)?;
        return Ok(Opened::Stream(stream));
    }
    let file = match remote::input(input)? {
        Some(address) => address.download()?,
        None => File::open(input).map_err(unreadable)?,
    };
    let facts = file.metadata().map_err(unreadable)?;
    if facts.is_dir() {
        return Err(Failure::usage(format!("{} is a folder", input.display()))
            .hint("--files '*.txt' sends one request for each file that matches"));
    }
    Ok(match facts.is_file() {
        true => Opened::File(file),
        false => {
            let stream = Stream::new(file, Arc::clone(is_stopped));
            Opened::Stream(stream.map_err(unreadable)?)
        }
    })
}

/// Reports how many invalid rows were left out.
pub(crate) fn report_skipped(facts: &TableFacts, settings: &SettingsArgs) {
    if let (count @ 1.., Some(path)) = (facts.skipped(), &settings.table.skip_invalid) {
        terminal::message(&format!(
            "{} left out; see {}",
            format::count(count, "invalid row was", "invalid rows were"),
            path.display()
        ));
    }
}

/// Warns of prompts and system messages in which a null value stands as the word `null`.
pub(crate) fn report_nulls(facts: &TableFacts) {
    if let count @ 1.. = facts.rows_with_nulls() {
        terminal::warn(&format!(
            "{} no value where a template prints one, and the text has the word null there; {{{{ COLUMN if COLUMN is not none else '' }}}} prints nothing",
            format::count(count, "row has", "rows have"),
        ));
    }
}
