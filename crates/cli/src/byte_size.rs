//! Sizes in bytes, as options and the configuration file have them.

use std::str::FromStr;

/// Units of a size and their bytes; a size without a unit is in bytes.
const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSize(pub(crate) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let unit = unit.trim();
        let factor = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let number = number.parse::<u64>().ok();
        number
            .zip(factor)
            .and_then(|(number, (_, factor))| number.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| {
                format!("{text:?} is not a whole number of bytes, such as 10GB, 512MiB or 1000000")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_with_a_unit_or_without() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1000", Some(1_000)),
            ("7 B", Some(7)),
            ("5kB", Some(5_000)),
            ("10 GB", Some(10_000_000_000)),
            ("10gb", Some(10_000_000_000)),
            ("10GiB", Some(10 << 30)),
            ("2TiB", Some(2 << 40)),
            ("", None),
            ("GB", None),
            ("1.5GB", None),
            ("-1", None),
            ("1 XB", None),
            ("99999999999TB", None),
        ] {
            let read = text.parse::<ByteSize>().ok();
            assert_eq!(read, bytes.map(ByteSize), "{text:?}");
        }
    }
}
