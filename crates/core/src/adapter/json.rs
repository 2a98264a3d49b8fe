//! A JSON value that is kept as text, ready to be spliced.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapter::text::{MAX_DEPTH, depth};
use crate::{Json, JsonError, exact_value};

/// One JSON value as compact text on one line. Where it is deserialized, a number that would change and a member
/// that stands twice are refused by name.
///
/// ```
/// use lmbatch_core::JsonBuf;
/// let big = JsonBuf::from_text(r#"{"n":12345678901234567890123}"#)?;
/// assert_eq!(big.as_str(), r#"{"n":12345678901234567890123}"#);
/// # Ok::<(), lmbatch_core::JsonError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct JsonBuf(Box<str>);

impl JsonBuf {
    /// Renders a value.
    pub fn from_value(value: &Value) -> Self {
        Self(value.to_string().into())
    }

    /// Takes JSON as it is written: numbers of any size stay as they are.
    ///
    /// # Errors
    /// [`JsonError`] for what is not one value on one line, nested at most [`MAX_DEPTH`] deep.
    pub fn from_text(text: &str) -> Result<Self, JsonError> {
        Json::new(text).map(|json| Self(json.as_str().into()))
    }

    /// Whether it has more brackets inside one another than can be sent.
    pub fn is_too_deep(&self) -> bool {
        depth(self.0.as_bytes()) > MAX_DEPTH
    }

    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, borrowed.
    pub fn as_json(&self) -> Json<'_> {
        Json::trusted(&self.0)
    }

    /// The value, parsed.
    pub fn to_value(&self) -> Value {
        // Rendered by us, so it parses.
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for JsonBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonBuf({} B)", self.0.len())
    }
}

impl Serialize for JsonBuf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonBuf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let value = exact_value(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self::from_value(&value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_would_change_is_refused_when_it_is_deserialized() {
        for (text, kept) in [
            (r#"{ "a": [1, 0.5] }"#, Some(r#"{"a":[1,0.5]}"#)),
            ("18446744073709551616", None),
            ("1e-400", None),
            (r#"{"a":1,"a":2}"#, None),
        ] {
            let found = serde_json::from_str::<JsonBuf>(text).ok();
            assert_eq!(found.as_ref().map(JsonBuf::as_str), kept, "{text}");
        }
        let value = serde_json::json!({"a": [1, 0.5]});
        let found: JsonBuf = serde_json::from_value(value).unwrap();
        assert_eq!(found.as_str(), r#"{"a":[1,0.5]}"#);
    }
}
