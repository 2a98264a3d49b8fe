//! Deserializers for members of a provider's JSON that may be absent, null, or of another type than documented. An
//! unexpected member must not make the status or the results of a paid batch unreadable.

use lmbatch_core::Member;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

/// Reads a string, or a number as it is written; anything else is absent.
///
/// # Errors
/// Invalid JSON; no other value is an error.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Reads a string as [`text`] does; an absent one becomes the empty string.
///
/// # Errors
/// Invalid JSON; no other value is an error.
pub fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    text(deserializer).map(Option::unwrap_or_default)
}

/// Reads a whole number that is not negative, also from a float such as `3.0` or from a string that holds
/// one; anything else, or one that does not fit, is absent.
///
/// # Errors
/// Invalid JSON; no other value is an error.
pub fn number<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    let value = Value::deserialize(deserializer)?;
    Ok(whole(&value).and_then(|number| number.try_into().ok()))
}

/// Reads the boolean that tells if a list has more pages. Absent and null are `None`; the strings `true` and `false`
/// are accepted in any case. Any other value is an error: if the list were read as complete, existing batches on later
/// pages would be missed.
///
/// # Errors
/// A value of another type, or another string.
pub fn paging_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(flag)),
        Value::String(word) => match word.to_ascii_lowercase().parse() {
            Ok(flag) => Ok(Some(flag)),
            Err(_) => Err(D::Error::custom("neither true nor false")),
        },
        _ => Err(D::Error::custom("neither true nor false")),
    }
}

/// Reads the page cursor of a list: a string, or a number as it is written. Absent, null and the empty string are
/// `None`.
///
/// # Errors
/// A value of another type: if the list were read as complete, existing batches on later pages would be missed.
pub fn page_cursor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(cursor) => Ok(Some(cursor).filter(|cursor| !cursor.is_empty())),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(D::Error::custom("not a page cursor")),
    }
}

/// Reads the `error` of a list, which must be absent or null: a list that failed is not an empty list.
///
/// # Errors
/// Any value other than null.
pub fn no_error<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match Option::<IgnoredAny>::deserialize(deserializer)? {
        None => Ok(()),
        Some(_) => Err(D::Error::custom("the list holds an error")),
    }
}

/// Reads an object; anything of another shape becomes `None`.
///
/// # Errors
/// Invalid JSON; no other value is an error.
pub fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let value = Value::deserialize(deserializer)?;
    // A derived `Deserialize` would accept an array of the members in order.
    let object = Some(value).filter(Value::is_object);
    Ok(object.and_then(|object| serde_json::from_value(object).ok()))
}

/// Returns the whole number that a value holds, as a number, a float without a fraction, or a string of either.
pub fn whole(value: &Value) -> Option<u64> {
    // 2^53: above it floats do not represent every whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let of_float = |float: f64| {
        let is_whole = (0.0..=EXACT).contains(&float) && float.fract() == 0.0;
        is_whole.then_some(float as u64)
    };
    match value {
        Value::Number(number) => number.as_u64().or_else(|| of_float(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| of_float(text.parse().ok()?))
        }
        _ => None,
    }
}

/// Returns the whole number that a member of an answer holds, as [`whole`] reads it.
pub fn whole_member(member: Member<'_>) -> Option<u64> {
    let digits = member.raw()?.as_str();
    // Fast path: most counts are plain digits.
    match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        true => digits.parse().ok(),
        false => None,
    }
    .or_else(|| whole(&member.parse()?))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq, Default)]
    struct Inner {
        a: u8,
    }

    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(default)]
    struct Document {
        #[serde(deserialize_with = "super::text")]
        text: Option<String>,
        #[serde(deserialize_with = "super::text_or_empty")]
        id: String,
        #[serde(deserialize_with = "super::number")]
        number: Option<u16>,
        #[serde(deserialize_with = "super::object")]
        object: Option<Inner>,
    }

    #[test]
    fn members_of_another_type_are_converted_or_absent() {
        let absent = Document::default();
        for odd in [
            json!(null),
            json!([]),
            json!({"b": 1}),
            json!([{}]),
            json!([1]),
        ] {
            let document = json!({"text": odd, "id": odd, "number": odd, "object": odd});
            assert_eq!(
                serde_json::from_value::<Document>(document).unwrap(),
                absent,
                "{odd}"
            );
        }
        let found: Document = serde_json::from_value(json!({
            "text": 7, "id": "b", "number": "3", "object": {"a": 1, "more": []},
        }))
        .unwrap();
        let expected = Document {
            text: Some("7".to_owned()),
            id: "b".to_owned(),
            number: Some(3),
            object: Some(Inner { a: 1 }),
        };
        assert_eq!(found, expected);
    }

    #[derive(Deserialize, Debug, PartialEq, Default)]
    #[serde(default)]
    struct List {
        #[serde(deserialize_with = "super::paging_flag")]
        more: Option<bool>,
        #[serde(deserialize_with = "super::page_cursor")]
        next: Option<String>,
        #[serde(deserialize_with = "super::no_error")]
        error: (),
    }

    #[test]
    fn a_list_with_an_unreadable_paging_flag_or_cursor_is_an_error() {
        let list = |more, next| List {
            more,
            next: Option::map(next, str::to_owned),
            error: (),
        };
        for (value, expected) in [
            (json!({}), list(None, None)),
            (
                json!({"more": null, "next": null, "error": null}),
                list(None, None),
            ),
            (
                json!({"more": true, "next": "c"}),
                list(Some(true), Some("c")),
            ),
            (
                json!({"more": "True", "next": 7}),
                list(Some(true), Some("7")),
            ),
            (
                json!({"more": "false", "next": ""}),
                list(Some(false), None),
            ),
        ] {
            let found: List = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(found, expected, "{value}");
        }
        for odd in [
            json!(1),
            json!(0),
            json!("yes"),
            json!(""),
            json!([]),
            json!([true]),
            json!({}),
        ] {
            let read = serde_json::from_value::<List>(json!({"more": odd}));
            assert!(read.is_err(), "more: {odd}");
        }
        for odd in [
            json!(true),
            json!(false),
            json!([]),
            json!(["c"]),
            json!({"c": 1}),
        ] {
            let read = serde_json::from_value::<List>(json!({"next": odd}));
            assert!(read.is_err(), "next: {odd}");
        }
        for odd in [json!({}), json!("no"), json!(false), json!({"code": 500})] {
            let read = serde_json::from_value::<List>(json!({"error": odd}));
            assert!(read.is_err(), "error: {odd}");
        }
    }

    #[test]
    fn counts_are_read_from_numbers_and_strings_only() {
        for (value, expected) in [
            (json!(3), Some(3)),
            (json!(3.0), Some(3)),
            (json!("3"), Some(3)),
            (json!(" 3.0 "), Some(3)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(3.5), None),
            (json!(-3), None),
            (json!(1e300), None),
            (json!("many"), None),
            (json!("NaN"), None),
            (json!(true), None),
            (json!([3]), None),
            (json!(null), None),
        ] {
            assert_eq!(whole(&value), expected, "{value}");
        }
    }
}
