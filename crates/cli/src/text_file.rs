//! Text files that arguments name.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use lmbatch_lines::not_text;

use crate::exit::Failure;
use crate::remote;

/// Byte order mark that some editors put before text.
const MARK: &str = "\u{feff}";

/// Largest text file that an option names, in bytes.
const LONGEST: u64 = 64 << 20;

/// Largest list of ids, in bytes.
const LONGEST_LIST: u64 = 4 << 30;

/// Reads the text of a file of up to `longest` bytes, without its byte order mark. A device such as `/dev/zero` has no
/// end.
///
/// # Errors
/// Those of the system; for a file that is not text, the format that it shows or the place that is not UTF-8.
fn read_up_to(path: &Path, longest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut file = fs::File::open(path)?.take(longest + 1);
    file.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is longer than {} MiB", longest >> 20),
        ));
    }
    if let Some(why) = not_text(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    text(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Returns bytes as text, without a byte order mark.
///
/// # Errors
/// The first line that is not text in UTF-8.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String, NotText> {
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with(MARK) {
                text.drain(..MARK.len());
            }
            Ok(text)
        }
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = line_of(error.as_bytes(), at);
            Err(NotText { line })
        }
    }
}

/// Returns the number of the line of a byte, from 1.
pub(crate) fn line_of(bytes: &[u8], at: usize) -> usize {
    let before = bytes.iter().take(at);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Error of a file that is not text in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotText {
    /// Number of the first line that is wrong, from 1.
    pub(crate) line: usize,
}

/// Reads the text of a file that an option names.
///
/// # Errors
/// Usage, with the option and the file, for a URL and for a file that cannot be read.
pub(crate) fn of_option(option: &str, path: &Path) -> Result<String, Failure> {
    of_option_up_to(option, path, LONGEST)
}

/// Reads a list that an option names, which may hold an id of each request of a run.
///
/// # Errors
/// Those of [`of_option`].
pub(crate) fn list_of_option(option: &str, path: &Path) -> Result<String, Failure> {
    of_option_up_to(option, path, LONGEST_LIST)
}

fn of_option_up_to(option: &str, path: &Path, longest: u64) -> Result<String, Failure> {
    remote::local(option, path)?;
    read_up_to(path, longest).map_err(|error| {
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
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        for (bytes, expected) in [
            (&b"a\nb"[..], Ok("a\nb")),
            (b"\xef\xbb\xbfa", Ok("a")),
            (b"", Ok("")),
            (b"a\n\xff", Err(2)),
            (b"\xff\xfea\0", Err(1)),
            (b"a\n\n\xc3(", Err(3)),
        ] {
            let found = text(bytes.to_vec());
            let found = found.as_deref().map_err(|wrong| wrong.line);
            assert_eq!(found, expected, "{bytes:?}");
        }
    }

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
    fn a_file_without_an_end_is_refused() {
        let failure = of_option("--schema", Path::new("/dev/zero")).unwrap_err();
        assert_eq!(
            failure.message,
            "--schema: /dev/zero cannot be read: it is longer than 64 MiB"
        );
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
