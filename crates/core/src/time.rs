//! Points in time as text.

use std::time::SystemTime;

use jiff::Timestamp;

/// Reads an RFC 3339 time with any offset and any number of fractional digits.
///
/// ```
/// let z = lmbatch_core::parse_time("2026-11-01T09:00:00.123456789Z");
/// assert!(z.is_some());
/// assert_eq!(lmbatch_core::parse_time("2026-11-01T11:00:00+02:00"), lmbatch_core::parse_time("2026-11-01T09:00:00Z"));
/// assert_eq!(lmbatch_core::parse_time("yesterday"), None);
/// ```
pub fn parse_time(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// Writes a time as RFC 3339 in UTC.
///
/// ```
/// let at = lmbatch_core::parse_time("2026-11-01T11:00:00+02:00").unwrap();
/// assert_eq!(lmbatch_core::format_time(at), "2026-11-01T09:00:00Z");
/// ```
pub fn format_time(at: SystemTime) -> String {
    Timestamp::try_from(at).map_or_else(|_| "beyond the calendar".to_owned(), |at| at.to_string())
}

/// Times of snapshots and handles, as text.
pub(crate) mod optional {
    use std::time::SystemTime;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(
        at: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(super::format_time).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else {
            return Ok(None);
        };
        let at = super::parse_time(&text);
        at.map(Some)
            .ok_or_else(|| D::Error::custom("not an RFC 3339 time"))
    }
}
