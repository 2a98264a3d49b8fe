//! Names of models, and the patterns by which a priced model recognises them.

use regex_lite::Regex;

/// Words of models whose tokens have other prices than those of text, so that a pattern must not price them.
const SPECIAL: [&str; 6] = ["image", "tts", "audio", "live", "realtime", "transcribe"];

/// Patterns of the names of one model.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) eq: Vec<Box<str>>,
    pub(crate) prefix: Vec<Box<str>>,
    pub(crate) suffix: Vec<Box<str>>,
    pub(crate) contains: Vec<Box<str>>,
    pub(crate) re: Vec<Regex>,
    /// Endings that no pattern but `eq` may match.
    pub(crate) not: Vec<Box<str>>,
}

/// Strength of a match: kinds of patterns from the weakest to the strongest, then the length of the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Strength(u8, usize);

impl Names {
    /// Returns the strength with which a name in lower case is matched; `None` where no pattern matches.
    pub(crate) fn strength(&self, name: &str) -> Option<Strength> {
        let longest = |kind: u8, patterns: &[Box<str>], matches: &dyn Fn(&str) -> bool| {
            let found = patterns.iter().filter(|pattern| matches(pattern));
            let length = found.map(|pattern| pattern.len()).max();
            length.map(|length| Strength(kind, length))
        };
        if let Some(equal) = longest(4, &self.eq, &|pattern| name == pattern) {
            return Some(equal);
        }
        let is_special = SPECIAL.iter().any(|word| name.contains(word));
        if is_special || self.not.iter().any(|ending| name.ends_with(&**ending)) {
            return None;
        }
        longest(3, &self.prefix, &|pattern| name.starts_with(pattern))
            .or_else(|| longest(2, &self.suffix, &|pattern| name.ends_with(pattern)))
            .or_else(|| longest(1, &self.contains, &|pattern| name.contains(pattern)))
            .or_else(|| {
                let found = self.re.iter().filter(|re| re.is_match(name));
                let length = found.map(|re| re.as_str().len()).max();
                length.map(|length| Strength(0, length))
            })
    }
}

/// Returns a name as patterns are compared with it: in lower case, and without a leading `models/`.
pub(crate) fn normal(name: &str) -> String {
    let lower = name.to_lowercase();
    match lower.strip_prefix("models/") {
        Some(rest) => rest.to_owned(),
        None => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, patterns: &[&str]) -> Names {
        let mut names = Names::default();
        let all = patterns.iter().map(|pattern| Box::from(*pattern)).collect();
        match kind {
            "eq" => names.eq = all,
            "prefix" => names.prefix = all,
            "suffix" => names.suffix = all,
            "contains" => names.contains = all,
            _ => names.re = all.iter().map(|re| Regex::new(re).unwrap()).collect(),
        }
        names
    }

    #[test]
    fn kinds_of_patterns_rank_before_their_length() {
        let name = "acme-1-mini-2026";
        let ranked = [
            names("re", &["^acme-1-mini-\\d{4}$"]),
            names("contains", &["1-mini-202"]),
            names("suffix", &["-2026"]),
            names("suffix", &["-2026", "mini-2026"]),
            names("prefix", &["acme"]),
            names("prefix", &["acme-1"]),
            names("eq", &[name]),
        ];
        let strengths: Vec<_> = ranked.iter().map(|names| names.strength(name)).collect();
        assert!(strengths.iter().all(Option::is_some), "{strengths:?}");
        assert!(strengths.is_sorted_by(|a, b| a < b), "{strengths:?}");
        assert!(ranked.iter().all(|names| names.strength("other").is_none()));
    }

    #[test]
    fn an_ending_under_not_is_matched_by_the_whole_name_only() {
        let mut model = names("prefix", &["acme-1"]);
        model.not = vec!["-xl".into()];
        assert!(model.strength("acme-1-2026").is_some());
        assert!(model.strength("acme-1-xl").is_none());
        model.eq = vec!["acme-1-xl".into()];
        assert!(model.strength("acme-1-xl").is_some());
    }

    #[test]
    fn models_of_sound_and_images_are_matched_by_the_whole_name_only() {
        let model = names("prefix", &["acme-1"]);
        for word in SPECIAL {
            assert!(model.strength(&format!("acme-1-{word}-preview")).is_none());
        }
        assert!(
            names("eq", &["acme-1-tts"])
                .strength("acme-1-tts")
                .is_some()
        );
    }

    #[test]
    fn a_name_is_compared_in_lower_case_without_its_collection() {
        assert_eq!(normal("models/Gemini-2.5-Pro"), "gemini-2.5-pro");
        assert_eq!(normal("org/Model"), "org/model");
    }
}
