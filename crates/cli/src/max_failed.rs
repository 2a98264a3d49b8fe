//! Limit of `--max-failed`: the number of unusable outputs that are tolerated.

/// Maximum number of unusable outputs that are tolerated.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MaxFailed {
    Requests(u64),
    Percent(f64),
}

impl std::str::FromStr for MaxFailed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a number or a percentage such as 3%");
        match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|p| (0.0..=100.0).contains(p))
                .map(Self::Percent)
                .ok_or_else(bad),
            None => text.parse().map(Self::Requests).map_err(|_| bad()),
        }
    }
}

impl std::fmt::Display for MaxFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Requests(most) => write!(f, "{most}"),
            Self::Percent(most) => write!(f, "{most}%"),
        }
    }
}

impl Default for MaxFailed {
    fn default() -> Self {
        Self::Requests(0)
    }
}

impl MaxFailed {
    pub(crate) fn allows(self, failed: u64, of: u64) -> bool {
        match self {
            Self::Requests(most) => failed <= most,
            Self::Percent(most) => failed as f64 <= most / 100.0 * of as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_tolerated_up_to_the_limit() {
        for (text, failed, of, allowed) in [
            ("0", 0, 5, true),
            ("0", 1, 5, false),
            ("2", 2, 5, true),
            ("3%", 3, 100, true),
            ("3%", 4, 100, false),
            ("100%", 5, 5, true),
        ] {
            assert_eq!(
                text.parse::<MaxFailed>().unwrap().allows(failed, of),
                allowed,
                "{text}"
            );
        }
        assert!("x".parse::<MaxFailed>().is_err() && "101%".parse::<MaxFailed>().is_err());
    }
}
