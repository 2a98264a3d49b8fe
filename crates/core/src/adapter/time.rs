//! Times as text, and the times of providers' documents.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::Value;

/// Seconds from 1970 to 0000-01-01T00:00:00Z. RFC 3339 has no earlier years.
const FIRST_SECOND: i64 = -62_167_219_200;

/// Parses an RFC 3339 time of the years 0 to 9999, with any offset and any number of fractional digits;
/// `None` for any other text.
///
/// ```
/// let z = lmbatch_core::parse_time("2026-11-01T09:00:00.123456789Z");
/// assert!(z.is_some());
/// assert_eq!(lmbatch_core::parse_time("2026-11-01T11:00:00+02:00"), lmbatch_core::parse_time("2026-11-01T09:00:00Z"));
/// assert_eq!(lmbatch_core::parse_time("yesterday"), None);
/// ```
pub fn parse_time(text: &str) -> Option<SystemTime> {
    let at: Timestamp = text.parse().ok()?;
    (at.as_second() >= FIRST_SECOND).then(|| at.into())
}

/// Parses a time in a provider's document: RFC 3339 text, or seconds since 1970 as a number or as text. A
/// number too large for seconds (beyond the year 9999) is read as milliseconds. Any other value, zero and
/// negative numbers included, is `None`.
///
/// ```
/// use lmbatch_core::{parse_provider_time, parse_time};
/// use serde_json::json;
/// let expected = parse_time("2025-11-26T05:00:00Z");
/// for written in [json!(1_764_133_200), json!("1764133200"), json!(1_764_133_200_000_u64), json!("2025-11-26T05:00:00Z")] {
///     assert_eq!(parse_provider_time(&written), expected);
/// }
/// assert_eq!(parse_provider_time(&json!(i64::MAX)), None);
/// ```
pub fn parse_provider_time(value: &Value) -> Option<SystemTime> {
    match value {
        Value::Number(number) => match number.as_u64() {
            Some(whole) => since_epoch(whole, 0.0),
            None => split(number.as_f64()?),
        },
        Value::String(text) => {
            let text = text.trim();
            let number = || text.parse::<u64>().ok().and_then(|it| since_epoch(it, 0.0));
            let fraction = || text.parse::<f64>().ok().and_then(split);
            parse_time(text).or_else(number).or_else(fraction)
        }
        _ => None,
    }
}

fn split(number: f64) -> Option<SystemTime> {
    // Casting a number that is out of range gives the nearest end of the range.
    (number >= 0.0).then(|| since_epoch(number.trunc() as u64, number.fract()))?
}

fn since_epoch(number: u64, fraction: f64) -> Option<SystemTime> {
    let last = Timestamp::MAX.as_second().unsigned_abs();
    let since = match number {
        0 => return None,
        seconds if seconds <= last => {
            Duration::from_secs(seconds).checked_add(Duration::try_from_secs_f64(fraction).ok()?)?
        }
        millis if millis / 1000 <= last => Duration::from_millis(millis),
        _ => return None,
    };
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .filter(|at| in_calendar(*at).is_some())
}

/// Returns the time in a form that RFC 3339 can express; `None` outside of the years 0 to 9999.
fn in_calendar(at: SystemTime) -> Option<Timestamp> {
    let at = Timestamp::try_from(at).ok()?;
    (at.as_second() >= FIRST_SECOND).then_some(at)
}

/// Formats a time as RFC 3339 in UTC. A time outside of the years 0 to 9999 becomes the nearest time within
/// them, so that [`parse_time`] accepts every result.
///
/// ```
/// let at = lmbatch_core::parse_time("2026-11-01T11:00:00+02:00").unwrap();
/// assert_eq!(lmbatch_core::format_time(at), "2026-11-01T09:00:00Z");
/// ```
pub fn format_time(at: SystemTime) -> String {
    let nearest = || {
        if at < SystemTime::UNIX_EPOCH {
            Timestamp::from_second(FIRST_SECOND).unwrap_or(Timestamp::UNIX_EPOCH)
        } else {
            Timestamp::MAX
        }
    };
    in_calendar(at).unwrap_or_else(nearest).to_string()
}

/// Serde format of optional times: RFC 3339 text, or null. A time outside of the years 0 to 9999 is written
/// as null, and text that is not a time is read as `None`, so that a time never makes a record unreadable.
pub(crate) mod optional {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use serde_json::Value;

    pub(crate) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let at = at.and_then(super::in_calendar);
        at.map(|at| at.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        Value::deserialize(deserializer).map(|value| super::parse_provider_time(&value))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Record {
        #[serde(with = "super::optional")]
        at: Option<SystemTime>,
    }

    fn through_the_record(at: SystemTime) -> Option<SystemTime> {
        let text = serde_json::to_string(&Record { at: Some(at) }).unwrap();
        serde_json::from_str::<Record>(&text).unwrap().at
    }

    #[test]
    fn any_time_round_trips_through_a_record_or_becomes_unknown() {
        let mut state = 1_u64;
        let mut next = || {
            // SplitMix64: a reproducible sequence of numbers.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^ (mixed >> 27)
        };
        let (mut kept, mut lost) = (0, 0);
        for _ in 0..20_000 {
            // Every order of magnitude is equally likely.
            let seconds = next() >> (next() % 64);
            let since = Duration::new(seconds, (next() % 1_000_000_000) as u32);
            let epoch = SystemTime::UNIX_EPOCH;
            for at in [epoch.checked_add(since), epoch.checked_sub(since)] {
                let Some(at) = at else { continue };
                let text = format_time(at);
                assert!(parse_time(&text).is_some(), "{text}");
                match through_the_record(at) {
                    Some(read) => {
                        assert_eq!(read, at);
                        kept += 1;
                    }
                    None => {
                        assert!(in_calendar(at).is_none(), "{text}");
                        lost += 1;
                    }
                }
            }
        }
        assert!(kept > 1000 && lost > 1000, "{kept} {lost}");
    }

    #[test]
    fn a_record_with_an_invalid_time_is_read_without_the_time() {
        for text in [
            json!("beyond the calendar"),
            json!("57874-05-06T00:00:00Z"),
            json!("+057874-05-06T00:00:00Z"),
            json!(null),
            json!({}),
            json!(true),
        ] {
            let record: Record = serde_json::from_value(json!({"at": text})).unwrap();
            assert_eq!(record.at, None, "{text}");
        }
    }

    #[test]
    fn a_provider_time_is_read_as_seconds_or_milliseconds_or_unknown() {
        let at = |text: &str| parse_time(text);
        for (written, expected) in [
            (json!(1_764_133_200), at("2025-11-26T05:00:00Z")),
            (json!("1764133200"), at("2025-11-26T05:00:00Z")),
            (json!(1_764_133_200.5), at("2025-11-26T05:00:00.5Z")),
            (json!("1764133200.5"), at("2025-11-26T05:00:00.5Z")),
            (json!(1_764_133_200_123_u64), at("2025-11-26T05:00:00.123Z")),
            (json!("1764133200123"), at("2025-11-26T05:00:00.123Z")),
            (
                json!("2025-11-26T07:00:00+02:00"),
                at("2025-11-26T05:00:00Z"),
            ),
            (json!(1.764e9), at("2025-11-24T16:00:00Z")),
            (json!(253_402_207_200_u64), at("9999-12-30T22:00:00Z")),
            (json!(0), None),
            (json!(-1), None),
            (json!(-1_764_133_200.5), None),
            (json!(i64::MAX), None),
            (json!(i64::MIN), None),
            (json!(u64::MAX), None),
            (json!(1e300), None),
            (json!("18446744073709551616"), None),
            (json!("NaN"), None),
            (json!("inf"), None),
            (json!(""), None),
            (json!("soon"), None),
            (json!("10000-01-01T00:00:00Z"), None),
            (json!(null), None),
            (json!([1_764_133_200]), None),
        ] {
            assert_eq!(parse_provider_time(&written), expected, "{written}");
        }
    }
}
