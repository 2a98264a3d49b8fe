//! Options of emulated providers: their pace and their answers.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use lmbatch_emulator::{EmulatorBuilder, Pace, Prompt};
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::text_file;

/// Answer for every prompt that a file of answers does not name.
const ANY: &str = "*";

/// Place of the prompt in a text of `--answers`.
const PROMPT: &str = "{prompt}";

/// Options of emulated providers.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct EmulatorArgs {
    /// Duration of emulated batches: real, about 2 minutes, as OpenAI took for two requests; fast, less than a second;
    /// instant, ended as soon as they are created [default: fast].
    #[arg(long, value_name = "PACE", value_enum)]
    pub(crate) pace: Option<PaceArg>,
    /// Answers of the emulator: a JSON object from prompt to answer, where "*" stands for every other prompt, or a text
    /// in which {prompt} is replaced [default: an echo of the prompt, or an instance of the schema].
    #[arg(long, value_name = "FILE")]
    pub(crate) answers: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PaceArg {
    Real,
    Fast,
    Instant,
}

impl EmulatorArgs {
    /// Refuses the options where no emulator is used.
    ///
    /// # Errors
    /// Usage, where an option is set.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        match (self.pace, &self.answers) {
            (None, None) => Ok(()),
            (Some(_), _) => Err(Failure::usage("--pace needs --emulate")),
            (None, Some(_)) => Err(Failure::usage("--answers needs --emulate")),
        }
    }

    /// Applies the options to an emulator.
    ///
    /// # Errors
    /// Usage, where the file of answers cannot be read or is JSON of another shape.
    pub(crate) fn apply(&self, builder: EmulatorBuilder) -> Result<EmulatorBuilder, Failure> {
        let builder = builder.pace(match self.pace {
            Some(PaceArg::Real) => Pace::REAL,
            Some(PaceArg::Instant) => Pace::INSTANT,
            Some(PaceArg::Fast) | None => Pace::FAST,
        });
        let Some(path) = &self.answers else {
            return Ok(builder);
        };
        let answers = Answers::read(path)?;
        Ok(builder.answers(move |prompt: Prompt<'_>| answers.to(prompt.text)))
    }
}

/// Answers of a file.
#[derive(Debug, PartialEq)]
enum Answers {
    /// Answers by prompt.
    ByPrompt(Map<String, Value>),
    /// Text for all prompts.
    Template(String),
}

impl Answers {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = text_file::of_option("--answers", path)?;
        Self::parse(&text)
            .map_err(|reason| Failure::usage(format!("--answers: {} {reason}", path.display())))
    }

    /// Reads a JSON object or a text. A text that begins with a brace and is no JSON is refused: it is a broken object
    /// more often than a template.
    fn parse(text: &str) -> Result<Self, String> {
        if !text.trim_start().starts_with('{') || text.trim_start().starts_with(PROMPT) {
            return Ok(Self::Template(text.trim_end().to_owned()));
        }
        let members = serde_json::from_str(text)
            .map_err(|error| format!("looks like JSON but cannot be parsed: {error}"))?;
        Ok(Self::ByPrompt(members))
    }

    fn to(&self, prompt: &str) -> Option<String> {
        match self {
            Self::Template(text) => Some(text.replace(PROMPT, prompt)),
            Self::ByPrompt(members) => match members.get(prompt).or_else(|| members.get(ANY))? {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_prompt_by_asterisk_or_from_the_template() {
        let by_prompt = r#"{"Hi": "Hello!", "Mood?": {"mood": "happy"}}"#;
        let any = r#"{"Hi": "Hello!", "*": "else"}"#;
        for (file, prompt, answer) in [
            (by_prompt, "Hi", Some("Hello!")),
            (by_prompt, "Mood?", Some(r#"{"mood":"happy"}"#)),
            (by_prompt, "Bye", None),
            (any, "Hi", Some("Hello!")),
            (any, "Bye", Some("else")),
            ("You said: {prompt}\n", "Hi", Some("You said: Hi")),
            ("{prompt}?", "Hi", Some("Hi?")),
            ("always this", "Hi", Some("always this")),
        ] {
            let answers = Answers::parse(file).unwrap();
            assert_eq!(answers.to(prompt).as_deref(), answer, "{file} {prompt}");
        }
    }

    #[test]
    fn a_broken_json_object_is_refused() {
        let reason = Answers::parse(r#"{"Hi": "Hello!""#).unwrap_err();
        assert!(reason.starts_with("looks like JSON but cannot be parsed: "));
    }
}
