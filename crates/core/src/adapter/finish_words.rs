//! Finish reasons by the words of providers and of compatible servers.

use std::borrow::Cow;

use crate::{FinishReason, Member, Problem};

/// Words for the end of an answer, in lower case. The documentation of each adapter names their sources.
const WORDS: &[(&str, FinishReason)] = &[
    ("stop", FinishReason::Stop),
    ("end_turn", FinishReason::Stop),
    ("stop_sequence", FinishReason::Stop),
    ("eos", FinishReason::Stop),
    ("eos_token", FinishReason::Stop),
    ("complete", FinishReason::Stop),
    ("completed", FinishReason::Stop),
    ("unspecified", FinishReason::Stop),
    ("length", FinishReason::Length),
    ("max_tokens", FinishReason::Length),
    ("max_output_tokens", FinishReason::Length),
    ("max_completion_tokens", FinishReason::Length),
    ("max_new_tokens", FinishReason::Length),
    ("max_length", FinishReason::Length),
    ("model_length", FinishReason::Length),
    ("context_length_exceeded", FinishReason::Length),
    ("context_window_exceeded", FinishReason::Length),
    ("model_context_window_exceeded", FinishReason::Length),
    ("tool_use", FinishReason::ToolUse),
    ("tool_call", FinishReason::ToolUse),
    ("tool_calls", FinishReason::ToolUse),
    ("function_call", FinishReason::ToolUse),
    ("refusal", FinishReason::Refusal),
    ("content_filter", FinishReason::ContentFilter),
    ("content_filtered", FinishReason::ContentFilter),
    ("content_policy_violation", FinishReason::ContentFilter),
    ("guardrail_intervened", FinishReason::ContentFilter),
    ("safety", FinishReason::ContentFilter),
    ("sensitive", FinishReason::ContentFilter),
    ("recitation", FinishReason::ContentFilter),
    ("blocklist", FinishReason::ContentFilter),
    ("prohibited_content", FinishReason::ContentFilter),
    ("spii", FinishReason::ContentFilter),
    ("image_safety", FinishReason::ContentFilter),
    ("image_prohibited_content", FinishReason::ContentFilter),
    ("image_recitation", FinishReason::ContentFilter),
    ("model_armor", FinishReason::ContentFilter),
    ("paused", FinishReason::Paused),
    ("pause_turn", FinishReason::Paused),
    ("continuation", FinishReason::Paused),
    ("compaction", FinishReason::Paused),
];

/// Prefixes of the words of enumerations, as in `FinishReason.MAX_TOKENS` and `FINISH_REASON_STOP`.
const PREFIXES: [&str; 2] = ["finishreason", "stopreason"];

/// Words of other reasons that mean that the answer was cut off.
const CUT_OFF: [&str; 4] = ["incomplete", "time_limit", "timeout", "truncated"];

impl FinishReason {
    /// Reads a provider's word for the end of an answer, in any case, with or without underscores, and with the
    /// name of an enumeration before it. A word that is not known becomes [`Other`](Self::Other), as written.
    ///
    /// ```
    /// use lmbatch_core::FinishReason;
    /// assert_eq!(FinishReason::of_provider("FinishReason.MAX_TOKENS"), FinishReason::Length);
    /// assert_eq!(FinishReason::of_provider("end_turn"), FinishReason::Stop);
    /// assert_eq!(FinishReason::of_provider("Sleepy").as_str(), "Sleepy");
    /// ```
    pub fn of_provider(word: &str) -> Self {
        let known = |found: &dyn Fn(&str) -> bool| {
            let mut words = WORDS.iter();
            words
                .find(|(known, _)| found(known))
                .map(|(_, reason)| reason.clone())
        };
        known(&|known| known == word)
            .or_else(|| {
                let bare = bare(word);
                known(&|known| is_same(known, &bare))
            })
            .unwrap_or_else(|| Self::Other(word.to_owned()))
    }

    /// Returns the problem of an answer that ended for this reason; `None` where the answer is complete. An answer
    /// that ended for an unknown reason is never usable without a check.
    ///
    /// ```
    /// use lmbatch_core::{FinishReason, Problem};
    /// assert_eq!(FinishReason::Stop.problem(), None);
    /// assert_eq!(FinishReason::Length.problem(), Some(Problem::Truncated));
    /// assert_eq!(FinishReason::of_provider("sleepy").problem(), Some(Problem::Unrecognized));
    /// ```
    pub fn problem(&self) -> Option<Problem> {
        match self {
            Self::Stop | Self::ToolUse => None,
            Self::Length | Self::Paused => Some(Problem::Truncated),
            Self::ContentFilter => Some(Problem::ContentFilter),
            Self::Refusal => Some(Problem::Refused),
            Self::Other(word) => {
                let bare = bare(word);
                match CUT_OFF.iter().any(|known| is_same(known, &bare)) {
                    true => Some(Problem::Truncated),
                    false => Some(Problem::Unrecognized),
                }
            }
        }
    }
}

impl<'a> Member<'a> {
    /// Returns the word for the end of an answer, which some servers nest: a string, number or boolean as written,
    /// the first item of a list, and of an object the member `type`, `reason` or `name`; otherwise the JSON itself.
    /// `None` where the member is absent or empty.
    ///
    /// ```
    /// use lmbatch_core::{Member, Outline};
    /// let mut outline = Outline::new();
    /// let end = Member::from(outline.read(r#"{"type":"length"}"#)?);
    /// assert_eq!(end.finish_word().as_deref(), Some("length"));
    /// # Ok::<(), lmbatch_core::JsonError>(())
    /// ```
    pub fn finish_word(self) -> Option<Cow<'a, str>> {
        let value = self.raw().filter(|value| !value.is_empty())?;
        if let Some(word) = self.scalar_text() {
            return Some(word);
        }
        let within = match value.is_list() {
            true => value.values().next().map(Member::from),
            false => ["type", "reason", "name"].iter().find_map(|name| {
                let mut members = value.written_members();
                let (_, found) = members.find(|(key, _)| key.as_deref() == Some(name))?;
                Some(Member::from(found))
            }),
        };
        let word = within.and_then(Member::scalar_text);
        word.or_else(|| Some(Cow::Borrowed(value.as_str())))
    }
}

/// Returns the letters and digits of a word in lower case, without the name of an enumeration.
fn bare(word: &str) -> String {
    let word: String = word
        .chars()
        .filter(|letter| !matches!(letter, '_' | '-' | ' ' | '.'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let mut prefixes = PREFIXES.iter();
    let rest = prefixes.find_map(|prefix| word.strip_prefix(prefix));
    match rest {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => word,
    }
}

/// Returns whether a word of a table equals bare letters.
fn is_same(known: &str, bare: &str) -> bool {
    known.bytes().filter(|byte| *byte != b'_').eq(bare.bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_providers_are_read_in_any_spelling() {
        use FinishReason::{ContentFilter, Length, Paused, Refusal, Stop, ToolUse};
        for (word, expected) in [
            ("stop", Stop),
            ("STOP", Stop),
            ("EndTurn", Stop),
            ("FINISH_REASON_UNSPECIFIED", Stop),
            ("FINISH_REASON_STOP", Stop),
            ("maxTokens", Length),
            ("max-tokens", Length),
            ("FinishReason.MAX_TOKENS", Length),
            ("StopReason.max_tokens", Length),
            ("max_completion_tokens", Length),
            ("model_length", Length),
            ("tool_calls", ToolUse),
            ("Refusal", Refusal),
            ("RECITATION", ContentFilter),
            ("guardrail_intervened", ContentFilter),
            ("sensitive", ContentFilter),
            ("PAUSE_TURN", Paused),
        ] {
            assert_eq!(FinishReason::of_provider(word), expected, "{word}");
        }
        for word in [
            "",
            "7",
            "Sleepy",
            "finish_reason",
            "insufficient_system_resource",
        ] {
            let other = FinishReason::Other(word.to_owned());
            assert_eq!(FinishReason::of_provider(word), other);
        }
    }

    /// A word that stays another reason must not become one of lmbatch's own words when an outcome is read again.
    #[test]
    fn no_other_reason_reads_as_one_of_the_words_of_lmbatch() {
        let own = [
            FinishReason::Stop,
            FinishReason::Length,
            FinishReason::ToolUse,
            FinishReason::Refusal,
            FinishReason::ContentFilter,
            FinishReason::Paused,
        ];
        for reason in own {
            let word = reason.as_str().to_owned();
            assert_eq!(FinishReason::of_provider(&word), reason);
            assert_eq!(FinishReason::of_provider(&word.to_uppercase()), reason);
            assert_eq!(FinishReason::from(word), reason);
        }
    }

    #[test]
    fn an_unknown_end_is_a_problem() {
        for (word, problem) in [
            ("error", Problem::Unrecognized),
            ("cancelled", Problem::Unrecognized),
            ("insufficient_system_resource", Problem::Unrecognized),
            ("7", Problem::Unrecognized),
            ("time_limit", Problem::Truncated),
            ("TIMEOUT", Problem::Truncated),
            ("incomplete", Problem::Truncated),
        ] {
            let reason = FinishReason::of_provider(word);
            assert_eq!(reason.problem(), Some(problem), "{word}");
        }
    }
}
