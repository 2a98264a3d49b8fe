//! Formats of an output: lines or a table, compressed or not, chosen by the file's extension.

use std::io::IsTerminal as _;
use std::path::Path;

use clap::ValueEnum;
use lmbatch::ResponseSchema;
use lmbatch_lines::{OutcomeTable, ProviderFormat};

use crate::exit::Failure;
use crate::target;

/// Extensions of output files, for messages.
const KNOWN: &str = ".jsonl, .csv, .tsv, each also with .gz or .zst; .parquet";

/// Advice where a build without Parquet meets it.
pub(crate) const INSTALL_PARQUET: &str =
    "install a build with Parquet: cargo install lmbatch-cli --features parquet";

/// Rows of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Rows {
    /// One JSON object per line.
    #[default]
    Jsonl,
    /// A table with commas.
    Csv,
    /// A table with tabs.
    Tsv,
    /// A table of typed columns.
    Parquet,
    /// Lines of the result files of OpenAI's Batch API.
    #[value(name = "openai")]
    OpenAi,
    /// Lines of the results of Anthropic's Message Batches API.
    Anthropic,
}

impl Rows {
    /// Returns the name of the format, as options and notes have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }

    /// Returns the table with columns for the `kept` members of the metadata and for the `properties` of the schema;
    /// `None` for lines.
    pub(crate) fn table(
        self,
        kept: &[String],
        properties: &[String],
        is_emulated: bool,
    ) -> Option<OutcomeTable> {
        let (kept, properties) = (kept.iter().cloned(), properties.iter().cloned());
        let table = match self {
            Self::Jsonl | Self::OpenAi | Self::Anthropic => return None,
            Self::Csv => OutcomeTable::new(b',', kept, properties),
            Self::Tsv => OutcomeTable::new(b'\t', kept, properties),
            Self::Parquet => OutcomeTable::parquet(kept, properties),
        };
        Some(match is_emulated {
            true => table.with_emulated(),
            false => table,
        })
    }

    /// Reports whether an output has one line per outcome.
    pub(crate) fn is_lines(self) -> bool {
        matches!(self, Self::Jsonl | Self::OpenAi | Self::Anthropic)
    }

    /// Returns the provider's format whose lines the output has, if any.
    pub(crate) fn of_provider(self) -> Option<ProviderFormat> {
        match self {
            Self::OpenAi => Some(ProviderFormat::OpenAi),
            Self::Anthropic => Some(ProviderFormat::Anthropic),
            _ => None,
        }
    }
}

/// Compression of an output file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Returns the compression that the name of a file asks for.
    pub(crate) fn of(path: &Path) -> Self {
        match extension(path).as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Returns the format of an output: the one that an option names, or else the one of the file's extension. Standard
/// output, streams and files without an extension have JSON Lines.
///
/// # Errors
/// Usage, for an unknown extension: a file must hold what its name says; for Parquet that is compressed as a whole, goes
/// to a terminal, or cannot be written by this build.
pub(crate) fn rows(path: &Path, said: Option<Rows>) -> Result<Rows, Failure> {
    let rows = named(path, said)?;
    if rows != Rows::Parquet {
        return Ok(rows);
    }
    let refused = |why: &str| Failure::usage(format!("output {}: {why}", path.display()));
    if !cfg!(feature = "parquet") {
        return Err(refused("this build does not write Parquet")
            .hint(format!("write .csv or .jsonl, or {INSTALL_PARQUET}")));
    }
    if Compression::of(path) != Compression::None {
        return Err(
            refused("Parquet is compressed inside, not as a whole").hint("name it .parquet")
        );
    }
    if target::is_standard(path) && std::io::stdout().is_terminal() {
        return Err(
            refused("Parquet is not text, and is not written to a terminal")
                .hint("name a file with -o, or send the output to a file or a pipe"),
        );
    }
    Ok(rows)
}

fn named(path: &Path, said: Option<Rows>) -> Result<Rows, Failure> {
    if target::is_standard(path) || path.starts_with("/dev") {
        return Ok(said.unwrap_or_default());
    }
    let inner = match Compression::of(path) {
        Compression::None => path.to_path_buf(),
        _ => path.with_extension(""),
    };
    if let Some(said) = said {
        return agreeing(path, extension(&inner).as_deref(), said);
    }
    let unknown = |extension: &str| {
        Failure::usage(format!(
            "output {}: .{extension} is not a format of outputs",
            path.display()
        ))
    };
    match extension(&inner).as_deref() {
        None | Some("jsonl" | "ndjson") => Ok(Rows::Jsonl),
        Some("csv") => Ok(Rows::Csv),
        Some("tsv") => Ok(Rows::Tsv),
        Some("parquet") => Ok(Rows::Parquet),
        Some("json") => Err(unknown("json").hint(
            "name it .jsonl: outputs have one JSON object per line, and no array around them",
        )),
        Some(other) => Err(unknown(other).hint(format!(
            "use one of {KNOWN}; or name the format with --output-format"
        ))),
    }
}

/// Returns the format that an option names, unless the extension of the file is that of another one.
fn agreeing(path: &Path, extension: Option<&str>, said: Rows) -> Result<Rows, Failure> {
    let lines = said.is_lines();
    let (agrees, own) = match extension {
        Some("jsonl" | "ndjson") => (lines, "JSON Lines"),
        Some("csv") => (said == Rows::Csv, "CSV"),
        Some("tsv") => (said == Rows::Tsv, "TSV"),
        Some("parquet") => (said == Rows::Parquet, "Parquet"),
        _ => return Ok(said),
    };
    if agrees {
        return Ok(said);
    }
    Err(Failure::usage(format!(
        "output {}: its extension is that of {own}, and --output-format is {}",
        path.display(),
        said.as_str()
    ))
    .hint("choose another extension, or leave out --output-format"))
}

/// Returns the format of an output that replaces one of the format `former`. Lines stay those of a provider.
///
/// # Errors
/// Usage, for an unknown extension.
pub(crate) fn moved(path: &Path, former: Rows) -> Result<Rows, Failure> {
    Ok(match (rows(path, None)?, former.of_provider()) {
        (Rows::Jsonl, Some(_)) => former,
        (found, _) => found,
    })
}

/// Refuses options that a provider's lines cannot represent.
///
/// # Errors
/// Usage, which names the option.
pub(crate) fn check_options(rows: Rows, is_raw: bool, keep: &[String]) -> Result<(), Failure> {
    if is_raw && rows != Rows::Jsonl {
        return Err(Failure::usage(format!(
            "--raw writes JSON Lines of its own, not the format {}",
            rows.as_str()
        ))
        .hint("name the output .jsonl, without --output-format; or leave out --raw"));
    }
    if rows.of_provider().is_some() && !keep.is_empty() {
        return Err(Failure::usage(format!(
            "--keep: lines of the format {} cannot represent columns of the input",
            rows.as_str()
        ))
        .hint("leave out --keep and join the lines to the input by custom_id, or choose another --output-format"));
    }
    Ok(())
}

/// Returns the top-level properties of a schema, in its order; those of a root `$ref` into the schema itself.
pub(crate) fn properties(schema: Option<&ResponseSchema>) -> Vec<String> {
    let Some(schema) = schema.map(|schema| schema.schema.to_value()) else {
        return Vec::new();
    };
    let reference = schema["$ref"].as_str();
    let root = match reference.and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => schema.pointer(pointer).unwrap_or(&schema),
        None => &schema,
    };
    let properties = root["properties"].as_object();
    properties.map_or_else(Vec::new, |members| members.keys().cloned().collect())
}

/// Returns the extension of a file in lower case.
fn extension(path: &Path) -> Option<String> {
    path.extension()
        .map(|extension| extension.to_string_lossy().to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_names_the_format_and_an_unknown_one_is_refused() {
        for (path, expected) in [
            ("out.jsonl", Ok((Rows::Jsonl, Compression::None))),
            ("out.ndjson", Ok((Rows::Jsonl, Compression::None))),
            ("a.b/out", Ok((Rows::Jsonl, Compression::None))),
            ("-", Ok((Rows::Jsonl, Compression::None))),
            ("/dev/null", Ok((Rows::Jsonl, Compression::None))),
            ("out.CSV", Ok((Rows::Csv, Compression::None))),
            ("out.tsv", Ok((Rows::Tsv, Compression::None))),
            ("out.csv.gz", Ok((Rows::Csv, Compression::Gzip))),
            ("out.jsonl.zst", Ok((Rows::Jsonl, Compression::Zstd))),
            ("out.gz", Ok((Rows::Jsonl, Compression::Gzip))),
            ("out.json", Err("name it .jsonl")),
            ("out.json.gz", Err("name it .jsonl")),
            ("out.xlsx", Err(KNOWN)),
            #[cfg(feature = "parquet")]
            ("out.parquet", Ok((Rows::Parquet, Compression::None))),
            #[cfg(feature = "parquet")]
            ("out.parquet.gz", Err("name it .parquet")),
            #[cfg(not(feature = "parquet"))]
            ("out.parquet", Err("write .csv or .jsonl")),
        ] {
            let path = Path::new(path);
            let found = rows(path, None).map(|rows| (rows, Compression::of(path)));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{path:?}"),
                (Err(failure), Err(hint)) => {
                    assert!(failure.hint.unwrap_or_default().contains(hint), "{path:?}");
                }
                (found, _) => panic!("{path:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_named_format_and_an_extension_must_agree() {
        for (path, said, agrees) in [
            ("out.txt", Rows::Csv, true),
            ("out", Rows::Tsv, true),
            ("-", Rows::Csv, true),
            ("out.json", Rows::OpenAi, true),
            ("out.jsonl", Rows::Anthropic, true),
            ("out.jsonl.gz", Rows::OpenAi, true),
            ("out.csv.zst", Rows::Csv, true),
            ("a.csv", Rows::Anthropic, false),
            ("a.tsv.gz", Rows::Csv, false),
            ("a.jsonl", Rows::Csv, false),
            ("a.parquet", Rows::Jsonl, false),
        ] {
            let found = rows(Path::new(path), Some(said));
            match agrees {
                true => assert_eq!(found.unwrap(), said, "{path}"),
                false => {
                    let message = found.unwrap_err().message;
                    assert!(message.contains("its extension is that of"), "{message}");
                }
            }
        }
    }

    #[test]
    fn a_moved_output_keeps_the_lines_of_a_provider() {
        for (path, former, expected) in [
            ("new.jsonl", Rows::OpenAi, Rows::OpenAi),
            ("new.jsonl.gz", Rows::Anthropic, Rows::Anthropic),
            ("new.csv", Rows::OpenAi, Rows::Csv),
            ("new.jsonl", Rows::Csv, Rows::Jsonl),
        ] {
            assert_eq!(moved(Path::new(path), former).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn options_that_the_lines_cannot_represent_are_refused_by_name() {
        let keep = ["author".to_owned()];
        for (rows, is_raw, keep, expected) in [
            (Rows::Jsonl, true, &keep[..], None),
            (Rows::Csv, false, &keep, None),
            (Rows::OpenAi, false, &[], None),
            (Rows::Csv, true, &[], Some("--raw")),
            (Rows::OpenAi, true, &[], Some("--raw")),
            (Rows::OpenAi, false, &keep, Some("--keep")),
            (Rows::Anthropic, false, &keep, Some("--keep")),
        ] {
            match (check_options(rows, is_raw, keep), expected) {
                (Ok(()), None) => {}
                (Err(failure), Some(name)) => assert!(failure.message.starts_with(name)),
                (found, _) => panic!("{rows:?} {is_raw} {keep:?}: {found:?}"),
            }
        }
    }
}
