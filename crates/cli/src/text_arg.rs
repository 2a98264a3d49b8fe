//! Texts that arguments hold, or that they read from files: `TEXT` or `@FILE`.

use std::borrow::Cow;
use std::convert::Infallible;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::Failure;
use crate::text_file;

/// Argument `TEXT` or `@FILE`. The text of a file is kept with the run, so that a later change of the file does not
/// change the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct TextArg {
    given: String,
    /// Text of the file, once it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Argument in the record of a run.
#[derive(Deserialize)]
struct Kept {
    given: String,
    text: Option<String>,
}

impl TryFrom<Value> for TextArg {
    type Error = serde_json::Error;

    fn try_from(stored: Value) -> Result<Self, serde_json::Error> {
        // Earlier versions kept the argument alone.
        if let Value::String(given) = stored {
            return Ok(Self { given, text: None });
        }
        let Kept { given, text } = serde_json::from_value(stored)?;
        Ok(Self { given, text })
    }
}

impl FromStr for TextArg {
    type Err = Infallible;

    fn from_str(given: &str) -> Result<Self, Infallible> {
        Ok(Self {
            given: given.to_owned(),
            text: None,
        })
    }
}

impl TextArg {
    /// Returns the file that the argument names.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.given.strip_prefix('@').map(Path::new)
    }

    /// Returns the text, which is read from the file unless it is kept.
    ///
    /// # Errors
    /// Usage, with the flag and the file, if the file cannot be read.
    pub(crate) fn text(&self, flag: &str) -> Result<Cow<'_, str>, Failure> {
        match (&self.text, self.file()) {
            (Some(text), _) => Ok(text.into()),
            (None, None) => Ok((&*self.given).into()),
            (None, Some(path)) => text_file::of_option(flag, path).map(Cow::Owned),
        }
    }

    /// Returns the text as a template: the line break at the end of a file is not part of it.
    pub(crate) fn template(&self, flag: &str) -> Result<String, Failure> {
        let mut text = self.text(flag)?.into_owned();
        if self.file().is_some() && text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }

    /// Reads the file, so that its text is kept with the run.
    pub(crate) fn keep_text(&mut self, flag: &str) -> Result<(), Failure> {
        if self.file().is_some() && self.text.is_none() {
            self.text = Some(self.text(flag)?.into_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_file_is_kept_with_the_argument() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("prompt.txt");
        std::fs::write(&path, "\u{feff}one\n\r\n").unwrap();
        let mut arg: TextArg = format!("@{}", path.display()).parse().unwrap();
        assert_eq!(arg.template("--prompt").unwrap(), "one\n");
        arg.keep_text("--prompt").unwrap();
        std::fs::write(&path, "two").unwrap();
        let stored = serde_json::to_string(&arg).unwrap();
        let read: TextArg = serde_json::from_str(&stored).unwrap();
        assert_eq!(read, arg);
        assert_eq!(read.text("--prompt").unwrap(), "one\n\r\n");
        let former: TextArg = serde_json::from_str("\"a text\\n\"").unwrap();
        assert_eq!(former.template("--prompt").unwrap(), "a text\n");
        let gone: TextArg = "@gone.txt".parse().unwrap();
        let failure = gone.text("--system").unwrap_err();
        assert!(
            failure
                .message
                .starts_with("--system: gone.txt cannot be read")
        );
    }
}
