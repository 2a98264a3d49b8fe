//! Arguments for reading tables: columns, templates, files and samples.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use lmbatch_lines::{InputFormat, KeptColumns, Sample, TableOptions};

use crate::exit::Failure;
use crate::text_arg::TextArg;
use crate::whole_path::whole_path;
use crate::{format, remote};

/// Columns, templates, files and samples of a table. They are kept with a run, so that later commands read its input
/// in the same way.
#[derive(Debug, Clone, Default, PartialEq, clap::Args)]
pub(crate) struct TableArgs {
    /// Template of the prompt, such as 'Summarise: {{ text }}', over the columns of CSV, TSV, Parquet or JSON Lines;
    /// @FILE reads it from a file. See "Tables" in the guide.
    #[arg(
        long,
        help_heading = "Tables",
        value_name = "TEXT|@FILE",
        conflicts_with = "prompt_field"
    )]
    pub(crate) prompt: Option<TextArg>,
    /// Column whose text is sent as the prompt, without a template [default: prompt].
    #[arg(long, help_heading = "Tables", value_name = "COL")]
    pub(crate) prompt_field: Option<String>,
    /// Column of the ids, which must be unique [default: id, or else the number of the row].
    #[arg(long, help_heading = "Tables", value_name = "COL")]
    pub(crate) id: Option<String>,
    /// Columns that the output repeats: names separated by commas, or * for all.
    #[arg(
        long,
        help_heading = "Tables",
        value_name = "COL,…|*",
        value_delimiter = ','
    )]
    pub(crate) keep: Vec<String>,
    /// Column of attachments: paths in the folder of attachments, or URLs, separated by |.
    #[arg(long, help_heading = "Tables", value_name = "COL")]
    pub(crate) attach: Option<String>,
    /// Column of the model of each request, of the same provider; rows with an empty cell use the model of -m.
    #[arg(long, help_heading = "Tables", value_name = "COL")]
    pub(crate) model_field: Option<String>,
    /// Send one request for each file that matches, such as '**/*.txt', in the folder INPUT. The id is the path; the
    /// columns are path, name and text; a file that is not text is sent as an attachment.
    #[arg(long, help_heading = "Tables", value_name = "GLOB", conflicts_with_all = ["input_format", "delimiter", "no_headers"])]
    pub(crate) files: Option<String>,
    /// Format of the input [default: that of its extension, with or without .gz or .zst; parquet for a file that begins
    /// like it; jsonl for any other].
    #[arg(long, help_heading = "Tables", value_name = "FORMAT")]
    pub(crate) input_format: Option<FormatArg>,
    /// Character between the cells of CSV, such as ';'; \t is a tab.
    #[arg(long, help_heading = "Tables", value_name = "C")]
    pub(crate) delimiter: Option<Delimiter>,
    /// Read the first record of CSV as a row; the columns are c1, c2 and so on.
    #[arg(long, help_heading = "Tables")]
    pub(crate) no_headers: bool,
    /// Read only the first N rows.
    #[arg(long, help_heading = "Tables", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Send a random sample of N rows, in the order of the input; the same seed draws the same rows [default seed: 0].
    #[arg(long, help_heading = "Tables", value_name = "N[:SEED]")]
    pub(crate) sample: Option<SampleArg>,
    /// Leave invalid rows out, and write each to FILE as {"line", "error", "row"}.
    #[arg(long, help_heading = "Tables", value_name = "FILE", value_parser = whole_path())]
    pub(crate) skip_invalid: Option<PathBuf>,
}

/// Format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArg {
    Csv,
    Tsv,
    Jsonl,
    Parquet,
}

/// Delimiter of CSV: one ASCII character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delimiter(pub(crate) u8);

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.as_bytes() {
            b"\\t" | b"tab" => Ok(Self(b'\t')),
            [b'"' | b'\r' | b'\n'] => {
                Err("a quote or a line break cannot separate cells".to_owned())
            }
            [byte] if byte.is_ascii() => Ok(Self(*byte)),
            _ => Err("the delimiter is one ASCII character, such as ; or \\t".to_owned()),
        }
    }
}

/// Random sample of rows, as `N` or `N:SEED`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SampleArg {
    pub(crate) count: u64,
    pub(crate) seed: u64,
}

impl FromStr for SampleArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, seed) = text.split_once(':').unwrap_or((text, "0"));
        match (count.parse(), seed.parse()) {
            (Ok(count @ 1..), Ok(seed)) => Ok(Self { count, seed }),
            _ => Err("a sample is N or N:SEED, such as 100 or 100:7".to_owned()),
        }
    }
}

impl TableArgs {
    /// Returns the options that shape what is sent, without those that choose rows, columns and ids.
    pub(crate) fn of_requests(&self) -> Self {
        Self {
            id: None,
            keep: Vec::new(),
            limit: None,
            sample: None,
            skip_invalid: None,
            ..self.clone()
        }
    }

    /// Returns the options for reading an input. The system message is a template if the input has columns.
    ///
    /// # Errors
    /// Usage, if the file of a template cannot be read.
    pub(crate) fn options(
        &self,
        input: &Path,
        system: Option<&TextArg>,
    ) -> Result<TableOptions, Failure> {
        let mut options = TableOptions::default();
        options.format = match self.input_format {
            Some(FormatArg::Csv) => InputFormat::Csv,
            Some(FormatArg::Tsv) => InputFormat::Tsv,
            Some(FormatArg::Jsonl) => InputFormat::JsonLines,
            Some(FormatArg::Parquet) => InputFormat::Parquet,
            None => InputFormat::of_file(input),
        };
        let other = match options.format {
            InputFormat::JsonLines => Some("JSON Lines"),
            InputFormat::Parquet => Some("Parquet"),
            _ => None,
        };
        if let Some(other) = other
            && (self.delimiter.is_some() || self.no_headers)
            && self.files.is_none()
        {
            return Err(Failure::usage(format!(
                "--delimiter and --no-headers are for CSV, and the input is read as {other}",
            ))
            .hint("--input-format csv reads the input as CSV"));
        }
        options.delimiter = self.delimiter.map(|Delimiter(byte)| byte);
        options.has_headers = !self.no_headers;
        let prompt = self.prompt.as_ref().map(|text| text.template("--prompt"));
        options.prompt = prompt.transpose()?;
        options.prompt_field.clone_from(&self.prompt_field);
        options.id.clone_from(&self.id);
        options.model_field.clone_from(&self.model_field);
        options.keep = self.kept();
        options.attach.clone_from(&self.attach);
        options.limit = self.limit;
        options.sample = self
            .sample
            .map(|SampleArg { count, seed }| Sample { count, seed });
        if options.has_columns() || self.files.is_some() {
            let system = system.map(|text| text.template("--system"));
            options.system = system.transpose()?;
        }
        Ok(options)
    }

    /// Refuses URLs where `--files` takes files of a folder on this machine.
    ///
    /// # Errors
    /// Usage, with the URL.
    pub(crate) fn check_files(&self, input: &Path) -> Result<(), Failure> {
        match &self.files {
            Some(pattern) => [input, Path::new(pattern)]
                .into_iter()
                .try_for_each(|path| remote::local("--files", path)),
            None => Ok(()),
        }
    }

    fn kept(&self) -> KeptColumns {
        let mut names: Vec<String> = Vec::new();
        for name in &self.keep {
            let name = name.trim();
            if name == "*" {
                return KeptColumns::All;
            }
            if !name.is_empty() && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        match names.is_empty() {
            true => KeptColumns::None,
            false => KeptColumns::Named(names),
        }
    }

    /// Returns the sample that is drawn, for a message.
    pub(crate) fn sample_note(&self) -> Option<String> {
        let SampleArg { count, seed } = self.sample?;
        Some(format!(
            "a sample of {} with the seed {seed}; --sample {count}:{seed} draws the same rows",
            format::count(count, "row", "rows")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_arguments_are_read_or_refused() {
        for (text, expected) in [
            (";", Some(b';')),
            ("\\t", Some(b'\t')),
            ("tab", Some(b'\t')),
            ("|", Some(b'|')),
            ("", None),
            ("\"", None),
            ("ab", None),
            ("é", None),
        ] {
            let read = text.parse::<Delimiter>().ok().map(|Delimiter(byte)| byte);
            assert_eq!(read, expected, "{text}");
        }
        for (text, expected) in [
            ("5", Some((5, 0))),
            ("5:9", Some((5, 9))),
            ("0", None),
            ("5:", None),
            ("x", None),
        ] {
            let read = text.parse::<SampleArg>().ok();
            assert_eq!(read.map(|read| (read.count, read.seed)), expected, "{text}");
        }
    }
}
