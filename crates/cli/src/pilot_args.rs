//! Options of a pilot: the first requests of a run, which are sent before the others.

use std::fmt;
use std::str::FromStr;

/// Pilot of a run, and the decision about the other requests.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct PilotArgs {
    /// Send the first N requests as a pilot, show three of their answers, what they cost and what all requests will
    /// cost, and ask before the others are sent. In a pipe the command ends with exit code 4 and prints the command
    /// that sends them. Nothing is sent twice.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pilot: Option<u32>,
    /// Percentage of pilot requests that must have a usable output, 0 to 100: at or above it the others are sent without
    /// asking; below it the command ends with exit code 4.
    #[arg(long, value_name = "PCT", requires = "pilot")]
    pub(crate) pilot_min_ok: Option<Percentage>,
}

/// Percentage from 0 to 100, with at most 6 decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percentage {
    /// Millionths of a percent.
    millionths: u64,
}

impl Percentage {
    /// Decimals of a percent.
    const DECIMALS: usize = 6;

    /// 100 percent, in millionths.
    const WHOLE: u64 = 100_000_000;

    /// Reports whether a part is at least this percentage of a whole.
    pub(crate) fn is_reached(self, part: u64, of: u64) -> bool {
        u128::from(part) * u128::from(Self::WHOLE) >= u128::from(self.millionths) * u128::from(of)
    }
}

impl FromStr for Percentage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let number = text.strip_suffix('%').unwrap_or(text);
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            if !digits(whole) || !digits(fraction) || fraction.len() > Self::DECIMALS {
                return None;
            }
            let decimals = Self::DECIMALS;
            let millionths: u64 = format!("{whole}{fraction:0<decimals$}").parse().ok()?;
            (millionths <= Self::WHOLE).then_some(Self { millionths })
        };
        read().ok_or_else(|| "not a percentage from 0 to 100, such as 95 or 99.5".to_owned())
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.millionths / 1_000_000, self.millionths % 1_000_000);
        let fraction = format!("{fraction:06}");
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{whole}%"),
            fraction => write!(f, "{whole}.{fraction}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_reached_by_exactly_its_part_of_the_whole() {
        for (text, part, of, is_reached) in [
            ("0", 0, 7, true),
            ("95", 95, 100, true),
            ("95", 94, 100, false),
            ("95.5", 191, 200, true),
            ("95.5%", 190, 200, false),
            ("99.9", 999, 1_000, true),
            ("99.999999", 99_999_998, 100_000_000, false),
            ("100", 6, 7, false),
            ("100.0", 7, 7, true),
            ("66.666666", 2, 3, true),
            ("66.666667", 2, 3, false),
        ] {
            let percentage: Percentage = text.parse().unwrap();
            assert_eq!(percentage.is_reached(part, of), is_reached, "{text}");
        }
    }

    #[test]
    fn only_percentages_from_0_to_100_are_read() {
        for (text, shown) in [
            ("0", "0%"),
            ("95.50", "95.5%"),
            ("100%", "100%"),
            ("0.000001", "0.000001%"),
        ] {
            assert_eq!(text.parse::<Percentage>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "%",
            "-1",
            "+1",
            "101",
            "100.000001",
            "1e1",
            "nan",
            ".5",
            "5.",
            "0.0000001",
        ] {
            assert!(text.parse::<Percentage>().is_err(), "{text}");
        }
    }
}
