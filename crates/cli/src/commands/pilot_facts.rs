//! Facts about a pilot in the record of its run: its part of the input, and the command that sends the other requests.

use lmbatch::engine::RunState;
use lmbatch::record::RunRecord;

use super::kept::Kept;
use crate::{format, hints};

/// Name of the note with the words of the command that sends the other requests.
pub(super) const NEXT: &str = "pilot_next";

/// Options of `run` that the command for the other requests does not repeat, and whether they have a value.
const NOT_REPEATED: [(&str, bool); 4] = [
    ("--pilot", true),
    ("--pilot-min-ok", true),
    ("--new", false),
    ("--update", false),
];

/// Returns the command that sends the requests after a pilot, with the options of the run as later commands have set
/// them; `None` where the record does not name it.
pub(crate) fn next(run: &RunRecord) -> Option<String> {
    let words: Vec<String> = serde_json::from_str(run.notes.get(NEXT)?).ok()?;
    Some(command(&Kept::read(run).renewed(words)))
}

/// Formats the words of a command.
pub(super) fn command(words: &[String]) -> String {
    hints::command(words.iter().map(String::as_str))
}

/// Returns what a pilot is a part of, such as `the first 100 of 10,000 requests`; `None` for other runs.
pub(crate) fn part(run: &RunRecord) -> Option<String> {
    let of = u64::from(run.pilot_of?);
    Some(format!(
        "the first {} of {}",
        format::number(u64::from(run.requests)),
        format::count(of, "request", "requests")
    ))
}

/// Returns lines about a pilot that has ended and awaits a decision.
pub(crate) fn awaited(run: &RunRecord, state: RunState) -> Vec<String> {
    if state != RunState::PilotEnded {
        return Vec::new();
    }
    let retrieve = hints::on_runs(["retrieve", &run.id]);
    let mut lines = vec![format!("to read the answers of the pilot:\n  {retrieve}")];
    if let Some(next) = next(run) {
        lines.push(format!("to send the other requests:\n  {next}"));
    }
    lines
}

/// Returns the words of this process's command that send the requests after a pilot.
pub(super) fn own_words() -> Vec<String> {
    let words = std::env::args_os().skip(1);
    let words = words.map(|word| word.to_string_lossy().into_owned());
    without(words, &NOT_REPEATED)
}

/// Returns the words of a command without some options, each named with whether it has a value.
fn without(words: impl IntoIterator<Item = String>, options: &[(&str, bool)]) -> Vec<String> {
    let (mut kept, mut is_value) = (Vec::new(), false);
    for word in words {
        if std::mem::take(&mut is_value) {
            continue;
        }
        let (name, has_own_value) = match word.split_once('=') {
            Some((name, _)) => (name, true),
            None => (&*word, false),
        };
        match options.iter().find(|(option, _)| *option == name) {
            Some((_, has_value)) => is_value = *has_value && !has_own_value,
            None => kept.push(word),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_is_this_one_without_the_options_of_the_pilot() {
        for (words, kept) in [
            ("run in.jsonl --pilot 10", "run in.jsonl"),
            (
                "run --pilot=10 in.jsonl --pilot-min-ok 95.5 -m openai/m --new",
                "run in.jsonl -m openai/m",
            ),
            (
                "run in.jsonl --update --pilot 3 --run pilot --set a=--new",
                "run in.jsonl --run pilot --set a=--new",
            ),
        ] {
            let words = words.split(' ').map(str::to_owned);
            assert_eq!(without(words, &NOT_REPEATED).join(" "), kept);
        }
    }
}
