//! Text files that arguments name.

use std::path::Path;
use std::{fs, io};

use lmbatch_lines::not_text;

use crate::exit::Failure;
use crate::remote;

/// Byte order mark that some editors put before text.
const MARK: &str = "\u{feff}";

/// Reads the text of a file, without its byte order mark.
///
/// # Errors
/// Those of the system; for a file that is not text, the format that it shows or the place that is not UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let why = not_text(error.as_bytes());
        let why = why.unwrap_or_else(|| error.to_string());
        io::Error::new(io::ErrorKind::InvalidData, why)
    })?;
    match text.strip_prefix(MARK) {
        Some(rest) => Ok(rest.to_owned()),
        None => Ok(text),
    }
}

/// Reads the text of a file that an option names.
///
/// # Errors
/// Usage, with the option and the file, for a URL and for a file that cannot be read.
pub(crate) fn of_option(option: &str, path: &Path) -> Result<String, Failure> {
    remote::local(option, path)?;
    read(path).map_err(|error| {
        Failure::usage(format!(
            "{option}: {} cannot be read: {error}",
            path.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_text_is_refused_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("schema.json");
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\0"[..], "it is compressed with gzip"),
            (b"{\"title\": \"na\xefve\"}", "byte 14 of line 1"),
            (b"\x1b\x07\x00\xf8\xa5", "brotli"),
        ] {
            fs::write(&path, bytes).unwrap();
            let failure = of_option("--schema", &path).unwrap_err();
            let begin = format!("--schema: {} cannot be read: ", path.display());
            assert!(failure.message.starts_with(&begin), "{}", failure.message);
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
        fs::write(&path, "\u{feff}{}").unwrap();
        assert_eq!(of_option("--schema", &path).unwrap(), "{}");
    }

    #[test]
    fn a_url_is_refused_where_an_option_takes_a_local_file() {
        let path = Path::new("s3://bucket/schema.json?sig=canary");
        let failure = of_option("--schema", path).unwrap_err();
        assert_eq!(
            failure.message,
            "--schema: s3://bucket/schema.json is a URL, and this option takes a path on this machine"
        );
        assert!(failure.hint.unwrap().contains("download it first"));
    }
}
