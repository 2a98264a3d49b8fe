//! Retry delays from headers and bodies of responses.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

/// Longest retry delay, one day; a longer one is reduced to it.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Shortest retry delay, one second: `Retry-After: 0` must not make a caller retry without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// Returns the retry delay from `retry-after-ms`, `x-ms-retry-after-ms`, or `retry-after` in seconds or as a date.
/// A date is compared with the response's own `Date`, so that this machine's clock does not matter. The delay is at
/// least one second and at most one day.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    for name in ["retry-after-ms", "x-ms-retry-after-ms"] {
        if let Some(wait) = text(name).and_then(|ms| seconds(ms, 1000.0)) {
            return Some(wait);
        }
    }
    let value = text("retry-after")?;
    if let Some(wait) = seconds(value, 1.0) {
        return Some(wait);
    }
    let until: SystemTime = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(text("date")?).ok()?;
    Some(bounded(until.duration_since(now).unwrap_or_default()))
}

/// Parses a duration as Google's `RetryInfo` writes it (`37s`, `1.5s`). The result is at least one second and at most
/// one day.
pub fn retry_delay(text: &str) -> Option<Duration> {
    seconds(text.strip_suffix('s')?, 1.0)
}

fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let number: f64 = text.parse().ok()?;
    let sane = number.is_finite() && (0.0..1e12).contains(&number);
    sane.then(|| bounded(Duration::from_secs_f64(number / per_second)))
}

fn bounded(wait: Duration) -> Duration {
    wait.clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn retry_after_is_read_in_every_documented_form() {
        const DATE: (&str, &str) = ("date", "Mon, 23 Nov 2026 12:00:00 GMT");
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<u64>);
        let cases: &[Case<'_>] = &[
            (&[("retry-after", "7")], Some(7000)),
            (&[("retry-after", "0.5")], Some(1000)),
            (&[("retry-after", "0")], Some(1000)),
            (&[("retry-after", "-0")], Some(1000)),
            (&[("retry-after", "1e-400")], Some(1000)),
            (
                &[("retry-after-ms", "250"), ("retry-after", "7")],
                Some(1000),
            ),
            (&[("x-ms-retry-after-ms", "1500")], Some(1500)),
            (
                &[("retry-after", "Mon, 23 Nov 2026 12:00:37 GMT"), DATE],
                Some(37_000),
            ),
            (
                &[("retry-after", "Mon, 23 Nov 2026 11:00:00 GMT"), DATE],
                Some(1000),
            ),
            (&[("retry-after", "Mon, 23 Nov 2026 12:00:37 GMT")], None),
            (&[("retry-after", "99999999")], Some(24 * 3600 * 1000)),
            (&[("retry-after", "-3")], None),
            (&[("retry-after", "NaN")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "1e308")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| {
                    (
                        HeaderName::try_from(*name).unwrap(),
                        HeaderValue::from_static(value),
                    )
                })
                .collect();
            assert_eq!(
                retry_after(&headers).map(|wait| wait.as_millis() as u64),
                *expected,
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn googles_delay_is_read() {
        for (text, expected) in [
            ("37s", Some(37_000)),
            ("1.5s", Some(1500)),
            ("0s", Some(1000)),
            ("0.001s", Some(1000)),
            ("1e308s", None),
            ("37", None),
            ("-1s", None),
            ("s", None),
        ] {
            assert_eq!(
                retry_delay(text).map(|wait| wait.as_millis() as u64),
                expected,
                "{text}"
            );
        }
    }
}
