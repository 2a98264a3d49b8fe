//! JSON that is read into a value only where the value keeps its exact meaning.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads JSON into a value that keeps its meaning when it is written again: each number has its exact value,
/// and each member appears once.
///
/// ```
/// use lmbatch_core::exact_value;
/// assert_eq!(exact_value(r#"{"a":0.1}"#)?["a"], 0.1);
/// assert!(exact_value("18446744073709551616").unwrap_err().contains("18446744073709551616"));
/// assert!(exact_value(r#"{"a":1,"a":2}"#).unwrap_err().contains("\"a\""));
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// A message for text that is not JSON, for a number that neither a 64-bit integer nor a double-precision
/// float holds exactly, and for a member that appears twice in one object. The message names the number or
/// the member.
pub fn exact_value(text: &str) -> Result<Value, String> {
    check_exact(text)?;
    serde_json::from_str(text).map_err(|error| reason(&error))
}

/// Checks that JSON text can be passed on exactly, without keeping its value.
///
/// # Errors
/// A number that a value would round, a member that stands twice in one object, or text that is not JSON.
pub fn check_exact(text: &str) -> Result<(), String> {
    if let Some(number) = numbers(text).find(|number| !is_exact(number)) {
        return Err(format!(
            "the number {number} cannot be passed on exactly; write it as a string or with fewer digits"
        ));
    }
    serde_json::from_str::<UniqueMembers>(text)
        .map(drop)
        .map_err(|error| reason(&error))
}

/// Returns the message of a parser without the position, which is relative to the value.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message[..end].to_owned()
}

/// Returns the number tokens of JSON text.
fn numbers(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[at..];
            if rest.starts_with('"') {
                rest = after_string(rest);
                continue;
            }
            let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            rest = after;
            return Some(number);
        }
    })
}

/// Returns the text after the string token that `text` begins with; empty where the string has no end.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or("", |end| &text[end + 2..])
}

/// Returns whether a number keeps its written value when it is read. Tokens that are not numbers are left to
/// the parser.
fn is_exact(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        let is_digits = number.strip_prefix('-').unwrap_or(number);
        let is_digits = is_digits.bytes().all(|byte| byte.is_ascii_digit());
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() || !is_digits;
    }
    match serde_json::from_str::<f64>(number) {
        Ok(read) => decimal(number) == decimal(&format!("{read:e}")),
        // A float that is too large is nevertheless valid JSON.
        Err(_) => number.parse::<f64>().is_err(),
    }
}

/// Returns the digits of a number without zeros at either end, and the power of ten of the last digit.
fn decimal(number: &str) -> Option<(String, i64)> {
    let number = number.trim_start_matches('-');
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let exponent: i64 = exponent.parse().ok()?;
    let significant = digits.trim_end_matches('0');
    let power = exponent - fraction.len() as i64 + (digits.len() - significant.len()) as i64;
    match significant.trim_start_matches('0') {
        "" => Some((String::new(), 0)),
        significant => Some((significant.to_owned(), power)),
    }
}

/// Any JSON value in which no object has a member twice.
struct UniqueMembers;

impl<'de> Deserialize<'de> for UniqueMembers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for UniqueMembers {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        while list.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<Self>()?;
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!(
                    "the member {name:?} stands twice"
                )));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_a_value_cannot_hold_exactly_is_refused_by_name() {
        for text in [
            "0",
            "-1",
            "-0.0",
            "0.1",
            "0.10",
            "1.50e3",
            "1E-7",
            "1e300",
            "0.30000000000000004",
            "18446744073709551615",
            "-9223372036854775808",
            "1e22",
            "5e-324",
            r#""1e400 123456789012345678901234567890""#,
            r#"{"a \" 1e400":["b\\",1]}"#,
            r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#,
        ] {
            let value = exact_value(text);
            assert!(value.is_ok(), "{text}: {value:?}");
        }
        for (text, named) in [
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            (
                r#"{"a":[1,123456789012345678901234567890]}"#,
                "123456789012345678901234567890",
            ),
            ("1e-400", "1e-400"),
            ("1e400", "1e400"),
            (r#"{"a":-1E999}"#, "-1E999"),
            ("3.141592653589793238", "3.141592653589793238"),
            ("9007199254740993.0", "9007199254740993.0"),
            (r#"{"a":1,"b":2,"a":1}"#, "\"a\""),
            (r#"[{"x":{"a":1,"\u0061":2}}]"#, "\"a\""),
            ("{", "EOF"),
            ("--1", ""),
        ] {
            let error = exact_value(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
