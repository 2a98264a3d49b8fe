//! A JSON value that is kept as text, ready to be spliced.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapter::text::{MAX_DEPTH, depth};
use crate::{Json, JsonError};

/// One JSON value as compact text on one line. Deserialized, it holds what a [`Value`] does: check text whose numbers
/// and members count with [`exact_value`](crate::exact_value) first.
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
        // By way of a value, so that it can be read within enums whose tag stands beside it.
        Value::deserialize(deserializer).map(|value| Self::from_value(&value))
    }
}
