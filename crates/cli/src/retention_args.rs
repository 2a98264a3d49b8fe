//! Options about prompts and answers that are kept on this machine.

use std::str::FromStr;
use std::time::Duration;

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::byte_size::ByteSize;

/// Longest time for which emulated answers are kept: they cost nothing and can be made again.
const EMULATED: Duration = Duration::from_secs(24 * 60 * 60);

/// Retention of prompts and answers in the state folder.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RetentionArgs {
    /// Time after which the prompts and answers of an ended run are deleted from the state folder, such as 30d, or
    /// never. It is counted from the writing of the output, which must be there unchanged; the record of the run
    /// stays. Emulated runs keep theirs for at most a day. This option is applied at the end of the command; a time from
    /// the environment or a file is applied once a day.
    #[arg(
        long,
        value_name = "DUR|never",
        env = "LMBATCH_DELETE_ANSWERS_AFTER",
        default_value = "30d"
    )]
    pub(crate) delete_answers_after: DeleteAfter,
    /// Size of the state folder above which a warning is printed, once a day, such as 10GB.
    #[arg(
        long,
        value_name = "SIZE",
        env = "LMBATCH_WARN_ABOVE",
        default_value = "10GB"
    )]
    pub(crate) warn_above: ByteSize,
    /// True if an argument of this call sets one of the options, see [`RetentionArgs::note_sources`].
    #[arg(skip)]
    pub(crate) is_said: bool,
}

impl RetentionArgs {
    /// Notes whether an argument of this call sets one of the options. A default, the environment and a file do not
    /// count.
    pub(crate) fn note_sources(&mut self, matches: &ArgMatches) {
        let said = |matches: &ArgMatches| {
            ["delete_answers_after", "warn_above"]
                .iter()
                .any(|id| matches.value_source(id) == Some(ValueSource::CommandLine))
        };
        self.is_said = matches
            .subcommand()
            .is_some_and(|(_, matches)| said(matches));
    }
}

/// Time after which prompts and answers are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DeleteAfter {
    /// This long after the output was written.
    Time(Duration),
    /// Not at all.
    Never,
}

impl DeleteAfter {
    /// Returns the age of an output from which on its answers are deleted; `None` if they never are.
    pub(crate) fn age(self, is_emulated: bool) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Time(time) if is_emulated => Some(time.min(EMULATED)),
            Self::Time(time) => Some(time),
        }
    }
}

impl FromStr for DeleteAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        let time = humantime::parse_duration(text);
        time.map(Self::Time)
            .map_err(|error| format!("{error}; use a time such as 30d, or never"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulated_answers_are_kept_for_a_day_at_most() {
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3_600));
        for (text, paid, emulated) in [
            ("30d", hours(720), hours(24)),
            ("2h", hours(2), hours(2)),
            ("0s", hours(0), hours(0)),
            ("never", None, None),
        ] {
            let after: DeleteAfter = text.parse().unwrap();
            assert_eq!((after.age(false), after.age(true)), (paid, emulated));
        }
        for bad in ["", "30", "soon", "Never"] {
            let error = bad.parse::<DeleteAfter>().unwrap_err();
            assert!(
                error.ends_with("use a time such as 30d, or never"),
                "{error}"
            );
        }
    }
}
