//! Options for reading a table.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Format of an input.
///
/// ```
/// use lmbatch_lines::InputFormat;
/// assert_eq!(InputFormat::of_path("tickets.csv.gz".as_ref()), InputFormat::Csv);
/// assert_eq!(InputFormat::of_path("requests.jsonl".as_ref()), InputFormat::JsonLines);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum InputFormat {
    /// One JSON object per line.
    #[default]
    JsonLines,
    /// Comma-separated values: cells may be quoted with `"`, and the first record names the columns.
    Csv,
    /// Tab-separated values, quoted as in CSV.
    Tsv,
    /// Parquet, which is read from a file only, by a build with the feature `parquet`.
    Parquet,
}

/// First bytes of Parquet.
const MAGIC: &[u8; 4] = b"PAR1";

impl InputFormat {
    /// Returns the format that the extension of a path names, in upper or lower case; JSON Lines for any other.
    /// Extensions of compressed files, such as `.gz` and `.zst`, are left out.
    pub fn of_path(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let mut name = name.to_lowercase();
        for compression in [".gz", ".gzip", ".zst", ".zstd"] {
            if let Some(inner) = name.strip_suffix(compression) {
                name = inner.to_owned();
                break;
            }
        }
        match name.rsplit('.').next() {
            Some("csv") => Self::Csv,
            Some("tsv" | "tab") => Self::Tsv,
            Some("parquet" | "pq") => Self::Parquet,
            _ => Self::JsonLines,
        }
    }

    /// Returns Parquet for a file that begins like it, and else the format that the extension of its path names. Of
    /// anything but a regular file nothing is read.
    ///
    /// ```
    /// use lmbatch_lines::InputFormat;
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("part-0000.bin");
    /// std::fs::write(&path, b"PAR1")?;
    /// assert_eq!(InputFormat::of_file(&path), InputFormat::Parquet);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn of_file(path: &Path) -> Self {
        let begins_like_parquet = || {
            let mut head = [0; MAGIC.len()];
            let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
            is_read.is_ok() && head == *MAGIC
        };
        match path.is_file() && begins_like_parquet() {
            true => Self::Parquet,
            false => Self::of_path(path),
        }
    }
}

/// Columns that are kept with a request and returned with its outcome.
///
/// ```
/// use lmbatch_lines::KeptColumns;
/// let kept = KeptColumns::Named(vec!["customer".to_owned()]);
/// assert_ne!(kept, KeptColumns::All);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum KeptColumns {
    /// No column is kept.
    #[default]
    None,
    /// Every column of the row.
    All,
    /// Columns by name, in this order.
    Named(Vec<String>),
}

/// Random sample of the rows of an input.
///
/// ```
/// let sample = lmbatch_lines::Sample { count: 100, seed: 7 };
/// assert_eq!(sample.seed, 7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Number of rows, which are kept in memory.
    pub count: u64,
    /// Seed of the sample. The same seed and input give the same rows.
    pub seed: u64,
}

/// Options for reading the rows of a table as requests.
///
/// ```
/// use lmbatch_lines::{InputFormat, TableOptions};
/// let mut options = TableOptions::default();
/// options.format = InputFormat::Csv;
/// options.prompt = Some("Summarise: {{ text }}".to_owned());
/// assert!(options.has_headers);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableOptions {
    /// Format of the input.
    pub format: InputFormat,
    /// Byte between the cells of CSV; a comma, or a tab for TSV, by default.
    pub delimiter: Option<u8>,
    /// True if the first record of CSV names the columns. Otherwise the columns are `c1`, `c2` and so on.
    pub has_headers: bool,
    /// Template of the prompt.
    pub prompt: Option<String>,
    /// Column that holds the prompt as it is; `prompt` by default, or `text` for files.
    pub prompt_field: Option<String>,
    /// Template of the system message.
    pub system: Option<String>,
    /// Column that holds the id; by default `id` if it exists, else the number of the row, or the path of a file.
    pub id: Option<String>,
    /// Column that holds the model, if it is not empty.
    pub model_field: Option<String>,
    /// Columns that are returned with the outcome, as members of its metadata.
    pub keep: KeptColumns,
    /// Column that holds paths and URLs of attachments, separated by `|`, or a JSON array of them.
    pub attach: Option<String>,
    /// Maximum number of rows to read; valid and invalid rows count.
    pub limit: Option<u64>,
    /// Random sample of the rows, in the order of the input.
    pub sample: Option<Sample>,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            format: InputFormat::default(),
            delimiter: None,
            has_headers: true,
            prompt: None,
            prompt_field: None,
            system: None,
            id: None,
            model_field: None,
            keep: KeptColumns::None,
            attach: None,
            limit: None,
            sample: None,
        }
    }
}

impl TableOptions {
    /// Reports whether the members of JSON lines are columns, rather than those of lmbatch's own form.
    pub fn has_columns(&self) -> bool {
        self.format != InputFormat::JsonLines
            || self.prompt.is_some()
            || self.prompt_field.is_some()
            || self.id.is_some()
            || self.model_field.is_some()
            || self.keep != KeptColumns::None
            || self.attach.is_some()
    }
}
