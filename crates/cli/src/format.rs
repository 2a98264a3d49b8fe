//! Numbers, sizes, times and remaining data formatted for people.

use std::time::{Duration, SystemTime};

use lmbatch::Changes;
use lmbatch::adapter::format_time;
use lmbatch::engine::RemainingData;

/// Formats a size in bytes in the largest unit that it fills.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

/// Returns a time in seconds since 1970; `None` for an earlier time.
pub(crate) fn seconds(at: SystemTime) -> Option<u64> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

/// Formats a time to the second.
pub(crate) fn time(at: SystemTime) -> String {
    let text = format_time(at);
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Formats a duration: `2 days`, or with several units if it is not a number of whole days.
pub(crate) fn span(span: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match (span.as_secs() / DAY, span.as_secs() % DAY) {
        (days, 0) if days > 0 => count(days, "day", "days"),
        _ => humantime::format_duration(span).to_string(),
    }
}

/// Formats a time relative to now: `3 min ago`, or `in 22 h` for a later time.
pub(crate) fn relative(at: SystemTime, now: SystemTime) -> String {
    match now.duration_since(at) {
        Ok(past) if past < Duration::from_secs(1) => "just now".to_owned(),
        Ok(past) => format!("{} ago", coarse(past)),
        Err(later) => format!("in {}", coarse(later.duration())),
    }
}

/// Formats a duration in its largest unit, rounded down: `40 s`, `3 min`, `5 h`, `2 days`. Hours are used below two
/// days, since batches live for one.
pub(crate) fn coarse(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3_600 => format!("{} min", seconds / 60),
        seconds @ ..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Formats a wait in whole minutes, or in seconds if it is shorter than two minutes.
pub(crate) fn wait(wait: Duration) -> String {
    match wait.as_secs_f64().ceil() as u64 {
        seconds @ ..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// Formats the time until a call is repeated: `retrying in 5 s`, or `retrying at once` for less than half a second.
pub(crate) fn soon(wait: Duration) -> String {
    match wait.as_secs_f64().round() as u64 {
        0 => "retrying at once".to_owned(),
        _ => format!("retrying in {}", self::wait(wait)),
    }
}

/// Formats a number with commas between its thousands.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a number with its noun, such as `1 file` or `2 files`.
pub(crate) fn count(count: u64, one: &str, several: &str) -> String {
    let noun = if count == 1 { one } else { several };
    format!("{} {noun}", number(count))
}

/// Formats the differences between two inputs, such as `3 unchanged, 1 changed, 1,980 new, 0 gone`.
pub(crate) fn changes(changes: &Changes) -> String {
    format!(
        "{} unchanged, {} changed, {} new, {} gone",
        number(changes.unchanged),
        number(changes.changed),
        number(changes.new),
        number(changes.gone)
    )
}

/// Returns the data left at a provider, and until when; `None` if nothing is left.
pub(crate) fn left(left: &RemainingData) -> Option<String> {
    let mut what = Vec::new();
    if left.inputs > 0 {
        what.push(count(left.inputs, "input file", "input files"));
    }
    if left.batches > 0 {
        what.push(format!(
            "results of {}",
            count(left.batches, "batch", "batches")
        ));
    }
    if what.is_empty() {
        return None;
    }
    let until = match left.until.map(format_time) {
        // The day is enough, since providers do not delete at an exact time.
        Some(time) => format!(", until {}", time.split('T').next().unwrap_or(&time)),
        None => ", for as long as the provider keeps them".to_owned(),
    };
    Some(what.join(" and ") + &until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_their_largest_unit() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, past, later) in [
            (0, "just now", "just now"),
            (59, "59 s ago", "in 59 s"),
            (60, "1 min ago", "in 1 min"),
            (3_599, "59 min ago", "in 59 min"),
            (3_600, "1 h ago", "in 1 h"),
            (172_799, "47 h ago", "in 47 h"),
            (172_800, "2 days ago", "in 2 days"),
        ] {
            let span = Duration::from_secs(seconds);
            assert_eq!(relative(now - span, now), past);
            assert_eq!(relative(now + span, now), later);
        }
    }

    #[test]
    fn thousands_are_separated() {
        let said = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(number);
        let wanted = ["0", "999", "1,000", "12,345", "123,456", "1,234,567"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn a_wait_is_never_printed_as_shorter_than_it_is() {
        let said = [0, 1, 118_500, 120_000, 900_000, 901_000]
            .map(Duration::from_millis)
            .map(wait);
        assert_eq!(said, ["0 s", "1 s", "119 s", "2 min", "15 min", "16 min"]);
    }

    #[test]
    fn a_repeated_call_never_waits_zero_seconds() {
        let said = [0, 499, 500, 1_200, 15_000, 600_000]
            .map(Duration::from_millis)
            .map(soon);
        let wanted = [
            "at once",
            "at once",
            "in 1 s",
            "in 2 s",
            "in 15 s",
            "in 10 min",
        ];
        assert_eq!(said, wanted.map(|when| format!("retrying {when}")));
    }

    #[test]
    fn bytes_are_printed_in_the_largest_unit_that_they_fill() {
        let said = [0, 999, 1_000, 1_550, 200_000_000, 3_000_000_000_000_000].map(bytes);
        let wanted = ["0 B", "999 B", "1.0 kB", "1.6 kB", "200.0 MB", "3000.0 TB"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn remaining_data_is_printed_with_its_last_day() {
        let until = lmbatch::adapter::parse_time("2026-12-23T10:00:00Z");
        for (inputs, batches, until, wanted) in [
            (0, 0, until, None),
            (1, 0, until, Some("1 input file, until 2026-12-23")),
            (0, 2, until, Some("results of 2 batches, until 2026-12-23")),
            (
                2,
                1,
                None,
                Some(
                    "2 input files and results of 1 batch, for as long as the provider keeps them",
                ),
            ),
        ] {
            let mut left = RemainingData::default();
            (left.inputs, left.batches, left.until) = (inputs, batches, until);
            assert_eq!(super::left(&left).as_deref(), wanted);
        }
    }
}
